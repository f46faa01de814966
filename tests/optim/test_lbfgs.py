"""L-BFGS against torch, step by step, and on a function whose minimum is known."""

import numpy as np
import pytest

import nnrt
from nnrt.optim import LBFGS
from nnrt.optim.lbfgs import Point, strong_wolfe

OPTIONS = [
    {},
    dict(lr=0.5, max_iter=4),
    dict(lr=0.05, max_iter=7, history_size=3),
    dict(line_search_fn="strong_wolfe"),
    dict(line_search_fn="strong_wolfe", lr=20.0, max_iter=5, history_size=2),
    dict(line_search_fn="strong_wolfe", lr=0.01, max_iter=3, max_eval=4),
]


def rosenbrock(x, y):
    """Loss and gradient of the chained Rosenbrock function of the joined vector (x, y)."""
    v = np.concatenate([x.ravel(), y.ravel()]).astype(np.float64)
    a, b = v[1:] - v[:-1] ** 2, 1 - v[:-1]
    g = np.zeros_like(v)
    g[1:] += 2 * a
    g[:-1] += -4 * v[:-1] * a - 2 * b
    return float((a * a).sum() + (b * b).sum()), g[: x.size].reshape(x.shape), g[x.size :].reshape(y.shape)


def ours(options, x, y):
    params = [nnrt.from_numpy(v.copy()).requires_grad_() for v in (x, y)]
    optimizer = LBFGS(params, **options)
    calls = []

    def closure():
        loss, *grads = rosenbrock(*(p.array for p in params))
        for p, g in zip(params, grads):
            p.grad = nnrt.from_numpy(g)
        calls.append(loss)
        return loss

    return params, optimizer, closure, calls


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_steps(torch, rng, options):
    x, y = rng.standard_normal((2, 3)), rng.standard_normal(4)
    params, a, closure, calls = ours(options, x, y)
    others = [torch.from_numpy(v.copy()).requires_grad_() for v in (x, y)]
    b = torch.optim.LBFGS(others, **options)
    seen = []

    def their_closure():
        loss, *grads = rosenbrock(*(p.detach().numpy() for p in others))
        for p, g in zip(others, grads):
            p.grad = torch.from_numpy(g)
        seen.append(loss)
        return torch.tensor(loss, dtype=torch.float64)

    for step in range(6):
        assert a.step(closure) == pytest.approx(float(b.step(their_closure)), rel=1e-7, abs=1e-14)
        for p, q in zip(params, others):
            want = q.detach().numpy()
            np.testing.assert_allclose(p.array, want, rtol=1e-6, atol=1e-9, err_msg=f"step {step}")
        if seen[-1] < 1e-12:
            break
        assert len(calls) == len(seen), f"step {step}"
        mine, their = a.state_dict()["state"][0], b.state_dict()["state"][0]
        assert mine["n_iter"] == their["n_iter"] and mine["func_evals"] == their["func_evals"]
        assert set(mine) == set(their) - {"al"}


def test_finds_the_minimum(rng):
    options = dict(line_search_fn="strong_wolfe", max_iter=100)
    params, optimizer, closure, _ = ours(options, *rng.standard_normal((2, 5)))
    for _ in range(5):
        optimizer.step(closure)
    for p in params:
        np.testing.assert_allclose(p.array, 1, atol=1e-5)


def test_resumes_where_it_was(rng):
    x, y = rng.standard_normal((2, 5))
    params, optimizer, closure, _ = ours(dict(max_iter=3, line_search_fn="strong_wolfe"), x, y)
    optimizer.step(closure)
    again, resumed, other, _ = ours({}, *(p.array for p in params))
    resumed.load_state_dict(optimizer.state_dict())
    for _ in range(3):
        optimizer.step(closure)
        resumed.step(other)
    for p, q in zip(params, again):
        np.testing.assert_array_equal(p.array, q.array)


@pytest.mark.parametrize("search", [None, "strong_wolfe"])
def test_a_closure_that_raises_leaves_everything_as_it_was(rng, search):
    x, y = rng.standard_normal((2, 5))
    whole, steps, smooth, _ = ours(dict(max_iter=3, line_search_fn=search), x, y)
    params, optimizer, closure, calls = ours(dict(max_iter=3, line_search_fn=search), x, y)
    for _ in range(3):
        values, state = [p.array.copy() for p in params], optimizer.state_dict()["state"]
        for good in range(3):  # evaluations before the one that fails
            left = [None] * good

            def failing(left=left):
                loss = closure()
                if not left:
                    raise MemoryError("no memory")
                left.pop()
                return loss

            with pytest.raises(MemoryError):
                optimizer.step(failing)
            for p, value in zip(params, values):
                np.testing.assert_array_equal(p.array, value)
            now = optimizer.state_dict()["state"]
            assert now.get(0, {}).keys() == state.get(0, {}).keys()
            assert all(now[0][name] == state[0][name] for name in ("n_iter", "func_evals") if state.get(0))
        steps.step(smooth)
        optimizer.step(closure)
    for p, q in zip(params, whole):
        np.testing.assert_array_equal(p.array, q.array)


def test_a_missing_gradient_counts_as_zero():
    p, q = (nnrt.from_numpy(np.ones(2)).requires_grad_() for _ in range(2))

    def closure():
        p.grad = nnrt.from_numpy(p.array.copy())
        return float(0.5 * (p.array**2).sum())

    LBFGS([p, q]).step(closure)
    np.testing.assert_allclose(p.array, 0, atol=1e-9)
    np.testing.assert_array_equal(q.array, 1)


def test_line_search_meets_the_conditions():
    def at(t):  # f(t) = cos(t) - t / 10
        return Point(t, np.cos(t) - t / 10, None, -np.sin(t) - 0.1)

    start = at(0.0)
    for first in (1e-4, 0.1, 3.0, 20.0, 1e4):
        found, _ = strong_wolfe(at, first, start, 1.0, 50, 1e-12)
        assert found.f <= start.f + 1e-4 * found.t * start.slope
        assert abs(found.slope) <= 0.9 * abs(start.slope)


def test_errors():
    p = nnrt.from_numpy(np.ones(2)).requires_grad_()
    q = nnrt.from_numpy(np.ones(2)).requires_grad_()
    with pytest.raises(ValueError, match="one parameter group"):
        LBFGS([{"params": [p]}, {"params": [q]}])
    with pytest.raises(RuntimeError, match="line_search_fn"):
        LBFGS([p], line_search_fn="armijo").step(lambda: 0.0)
