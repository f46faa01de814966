"""Scans beyond the cases: odd sizes, chunks of time, threads, bad input."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nnrt
from nnrt import config
from nnrt.nn import functional as F


def loop(f, x, h, dim, reverse):
    f, x = np.moveaxis(f, dim, 0), np.moveaxis(x, dim, 0)
    outs = np.empty_like(x)
    for t in range(len(x))[:: -1 if reverse else 1]:
        h = f[t] * h + x[t]
        outs[t] = h
    return np.moveaxis(outs, 0, dim)


@settings(max_examples=60)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=4), st.data())
def test_any_shape(shape, data):
    dim = data.draw(st.integers(-len(shape), len(shape) - 1))
    reverse, given_state = data.draw(st.booleans()), data.draw(st.booleans())
    rng = np.random.default_rng(0)
    f, x = rng.uniform(-1, 1, (2, *shape))
    rest = np.delete(shape, dim)
    h = rng.standard_normal(rest) if given_state else np.zeros(rest)
    got = F.scan(nnrt.tensor(f), nnrt.tensor(x), nnrt.tensor(h) if given_state else None, dim, reverse)
    np.testing.assert_allclose(got.numpy(), loop(f, x, h, dim, reverse), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(
    "shape, dim", [((70000,), 0), ((1024, 63), 0), ((1023, 63), 0), ((3, 3000, 17), 1), ((5, 2500), 1), ((3, 1, 17), 1)]
)
def test_long_sequences_in_chunks(shape, dim, reverse):
    rng = np.random.default_rng(1)
    f, x = rng.uniform(0.5, 1, shape), rng.standard_normal(shape)
    tensors = [nnrt.tensor(a, requires_grad=True) for a in (f, x, rng.standard_normal(np.delete(shape, dim)))]
    y = F.scan(*tensors, dim, reverse)
    np.testing.assert_allclose(y.detach().numpy(), loop(f, x, tensors[2].detach().numpy(), dim, reverse), rtol=1e-9, atol=1e-10)
    dy = rng.standard_normal(shape)
    y.backward(nnrt.tensor(dy))
    # dx is the scan of dy the other way, by the factors one step on
    shifted = np.roll(f, 1 if reverse else -1, dim)
    dx = loop(shifted, dy, np.zeros(np.delete(shape, dim)), dim, not reverse)
    np.testing.assert_allclose(tensors[1].grad.numpy(), dx, rtol=1e-9, atol=1e-10)
    end = -1 if reverse else 0
    np.testing.assert_allclose(tensors[2].grad.numpy(), (f * dx).take(end, dim), rtol=1e-9, atol=1e-10)
    before = np.roll(y.detach().numpy(), -1 if reverse else 1, dim)
    np.moveaxis(before, dim, 0)[end] = tensors[2].detach().numpy()
    np.testing.assert_allclose(tensors[0].grad.numpy(), dx * before, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("shape", [(5000, 3), (40, 3, 700), (30, 2000)])
def test_bits_do_not_depend_on_threads(shape):
    rng = np.random.default_rng(2)
    f, x = (nnrt.tensor(a.astype(np.float32), requires_grad=True) for a in rng.uniform(-1, 1, (2, *shape)))
    results = []
    for threads in (1, 2, 3):
        with config.use(num_threads=threads):
            f.grad = x.grad = None
            y = F.scan(f, x)
            y.square().sum().backward()
            results.append([a.tobytes() for a in (y.detach().numpy(), f.grad.numpy(), x.grad.numpy())])
    assert results[0] == results[1] == results[2]


def test_saturated_gates_and_nan():
    big = nnrt.tensor([[[100.0, -100.0, 100.0]], [[100.0, 100.0, -100.0]], [[np.nan, 0.0, 0.0]]])
    h, c = F.qrnn_pool(big)
    assert h.flatten().tolist()[:2] == [1.0, 0.0] and np.isnan(c.item())


def test_only_the_last_state_is_differentiated():
    a = nnrt.randn(4, 2, 9, dtype=nnrt.float64, requires_grad=True)
    assert nnrt.autograd.gradcheck(lambda a: F.qrnn_pool(a)[1], (a,))
    u, v = nnrt.randn(4, 2, 12, dtype=nnrt.float64, requires_grad=True), nnrt.randn(6, dtype=nnrt.float64)
    assert nnrt.autograd.gradcheck(lambda u: F.sru_scan(u, v, v)[1], (u,))


@pytest.mark.parametrize("how", [{}, {"batch_first": True}, {"reverse": True}])
def test_states_that_nobody_keeps(how):
    """Without a gradient only the last state has memory."""
    a, x, v = nnrt.randn(5, 4, 27), nnrt.randn(5, 4, 9), nnrt.randn(18)
    for op in (lambda: F.qrnn_pool(a, **how), lambda: F.sru_scan(a, v, v, x, **how)):
        h, c = op()
        a.requires_grad_()
        assert all(nnrt.equal(one, other) for one, other in zip((h, c), op(), strict=True))
        a.requires_grad_(False)


def test_no_steps():
    h, c = F.qrnn_pool(nnrt.zeros(0, 2, 9), nnrt.ones(2, 3))
    assert h.shape == (0, 2, 3) and nnrt.equal(c, nnrt.ones(2, 3))
    u = nnrt.zeros(0, 2, 12, requires_grad=True)
    h, c = F.sru_scan(u, nnrt.zeros(6), nnrt.zeros(6))
    (h.sum() + c.sum()).backward()
    assert u.grad.shape == (0, 2, 12) and nnrt.equal(c, nnrt.zeros(2, 3))


Z = nnrt.zeros


@pytest.mark.parametrize(
    "act, error, words",
    [
        (lambda: F.scan([1.0], Z(1)), TypeError, "scan"),
        (lambda: F.scan(Z(3, 2), Z(3)), RuntimeError, r"one shape.*got \(3, 2\) and \(3,\)"),
        (lambda: F.scan(Z(()), Z(())), RuntimeError, "at least 1 dimension"),
        (lambda: F.scan(Z(3, 2), Z(3, 2), Z(3)), RuntimeError, r"initial must have shape \(2,\)"),
        (lambda: F.scan(Z(3), Z(3), dim=1), IndexError, "dim 1 is out of range"),
        (lambda: F.scan(Z(3), Z(3, dtype=nnrt.float64)), RuntimeError, "one dtype, got f float32, x float64"),
        (lambda: F.scan(Z(3, dtype=nnrt.int64), Z(3, dtype=nnrt.int64)), RuntimeError, "float32 or float64"),
        (lambda: F.qrnn_pool(Z(3, 9)), RuntimeError, "3 dimensions"),
        (lambda: F.qrnn_pool(Z(3, 2, 8)), RuntimeError, "3 times the channels"),
        (lambda: F.qrnn_pool(Z(3, 2, 9), Z(3, 2)), RuntimeError, r"initial must be \[batch, channels\] = \(2, 3\)"),
        (lambda: F.qrnn_pool(Z(3, 2, 9), zoneout=2), ValueError, "zoneout"),
        (lambda: F.qrnn_pool(None), TypeError, "qrnn_pool"),
        (lambda: F.sru_scan(Z(3, 2, 9), Z(6), Z(6)), RuntimeError, "4 times the channels"),
        (lambda: F.sru_scan(Z(3, 2, 12), Z(6), Z(5)), RuntimeError, r"bias must have shape \(6,\)"),
        (lambda: F.sru_scan(Z(3, 2, 9), Z(6), Z(6), Z(2, 3, 3)), RuntimeError, r"x must have shape \(3, 2, 3\)"),
        (lambda: F.sru_scan(Z(3, 2, 12), 1.0, Z(6)), TypeError, "sru_scan"),
    ],
)  # fmt: skip
def test_bad_input(act, error, words):
    with pytest.raises(error, match=words):
        act()


def test_gradients_past_the_caches_are_those_of_parts():
    """16 MB of states: gradients are written past the caches; of half of the batch they are not."""
    rng = np.random.default_rng(5)
    a, x, dh = (rng.standard_normal((64, 64, n), dtype=np.float32) for n in (3072, 1024, 1024))
    v, b = rng.standard_normal((2, 2048), dtype=np.float32)

    def gradients(rows):
        u, y = (nnrt.tensor(np.ascontiguousarray(s[:, rows])).requires_grad_() for s in (a, x))
        F.qrnn_pool(u)[0].backward(nnrt.tensor(np.ascontiguousarray(dh[:, rows])))
        pooled, u.grad = u.grad.numpy(), None
        F.sru_scan(u, nnrt.tensor(v), nnrt.tensor(b), y)[0].backward(nnrt.tensor(np.ascontiguousarray(dh[:, rows])))
        return pooled, u.grad.numpy(), y.grad.numpy()

    whole, *parts = (gradients(rows) for rows in (slice(None), slice(32), slice(32, None)))
    for one, *both in zip(whole, *parts, strict=True):
        np.testing.assert_array_equal(one, np.concatenate(both, 1))
