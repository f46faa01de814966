"""What every optimiser shares: groups, memory orders, versions, errors, hooks, checkpoints, sparse rows."""

import copy
import pickle
import threading

import numpy as np
import pytest

import nnrt
from nnrt import optim
from nnrt.sparse import SparseRows

ALL = ["SGD", "Adam", "AdamW", "NAdam", "RAdam", "Adamax", "Adagrad", "Adadelta", "RMSprop", "Rprop", "ASGD"]
OPTIONS = {
    "SGD": dict(momentum=0.9),
    "RMSprop": dict(momentum=0.9, centered=True),
    "Adam": dict(amsgrad=True),
}


def parameter(array):
    return nnrt.from_numpy(np.array(array)).requires_grad_()


def make(name, params):
    return getattr(optim, name)(params, **OPTIONS.get(name, {}))


def set_gradients(params, rng):
    for p in params:
        p.grad = nnrt.from_numpy(rng.standard_normal(p.shape).astype(p.dtype))


@pytest.mark.parametrize("name", ALL)
def test_memory_orders(name, rng):
    """NHWC-strided, transposed, gapped and 0-d parameters, gradients of other orders and broadcast ones."""
    a = rng.standard_normal((2, 3, 4, 5))
    gapped = np.zeros((6, 8))[::2, ::2]
    gapped[...] = a[0, 0, :3, :4]
    arrays = [a.transpose(0, 2, 3, 1).copy().transpose(0, 3, 1, 2), a[0, 0].T, gapped, np.array(3.0)]
    strange = [nnrt.from_numpy(x.copy() if x.ndim == 0 else x).requires_grad_() for x in arrays]
    assert not strange[0].array.flags.c_contiguous and not strange[2].array.flags.contiguous
    plain = [parameter(np.array(x, order="C")) for x in arrays]
    one, two = make(name, strange), make(name, plain)
    for step in range(4):
        for i, (p, q) in enumerate(zip(strange, plain)):
            g = rng.standard_normal(p.shape)
            if i == step:
                g = np.broadcast_to(g.ravel()[0], p.shape)
            p.grad = nnrt.from_numpy(np.array(g, order="F") if step % 2 else g)
            q.grad = nnrt.from_numpy(np.array(g, order="C"))
        one.step()
        two.step()
        for p, q in zip(strange, plain):
            np.testing.assert_array_equal(p.array, q.array)
    assert strange[2].array is gapped or np.shares_memory(strange[2].array, gapped)


@pytest.mark.parametrize("name", ALL)
def test_dtypes_in_one_group(name, rng):
    values = rng.standard_normal((2, 3))
    params = [parameter(values), parameter(values.astype(np.float32))]
    optimizer = make(name, params)
    for _ in range(3):
        g = rng.standard_normal((2, 3))
        for p in params:
            p.grad = nnrt.from_numpy(g.astype(p.dtype))
        optimizer.step()
    assert params[0].dtype == np.float64 and params[1].dtype == np.float32
    np.testing.assert_allclose(params[0].array, params[1].array, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ALL)
def test_equal_at_any_thread_count(name, rng):
    runtime = pytest.importorskip("nnrt._ext.runtime")
    start = rng.standard_normal(70_001).astype(np.float32)
    grads = rng.standard_normal((3, start.size)).astype(np.float32)
    before, results = runtime.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            runtime.set_num_threads(threads)
            p = parameter(start)
            optimizer = make(name, [p])
            for g in grads:
                p.grad = nnrt.from_numpy(g)
                optimizer.step()
            results.append(p.array)
    finally:
        runtime.set_num_threads(before)
    for r in results[1:]:
        np.testing.assert_array_equal(r, results[0])


@pytest.mark.parametrize("name", ALL)
def test_masked_parameters_stay_at_minus_infinity(name):
    """A parameter of -inf with gradient 0, as masks have it, is not turned into NaN by the step itself."""
    p = parameter([-np.inf, 1.0])
    optimizer = make(name, [p])
    for group in optimizer.param_groups:
        if "weight_decay" in group:
            group["weight_decay"] = 0
    for _ in range(3):
        p.grad = nnrt.from_numpy(np.array([0.0, 1.0]))
        optimizer.step()
    if name != "ASGD":  # whose average of it is not a number
        assert p.array[0] == -np.inf
    assert np.isfinite(p.array[1]) and p.array[1] < 1


@pytest.mark.parametrize("name", ALL)
def test_a_nan_in_the_gradient_shows_and_stays_where_it_is(name):
    p = parameter([1.0, 1.0])
    optimizer = make(name, [p])
    p.grad = nnrt.from_numpy(np.array([np.nan, 1.0]))
    optimizer.step()
    assert np.isnan(p.array[0]) and np.isfinite(p.array[1])


def test_the_tape_notices_a_step():
    p = parameter([1.0, 2.0])
    out = nnrt.relu(p) * p
    p.grad = nnrt.from_numpy(np.ones(2))
    optim.SGD([p], lr=0.1).step()
    with pytest.raises(RuntimeError, match="changed in place"):
        out.backward(nnrt.from_numpy(np.ones(2)))


def test_state_follows_a_parameter_that_changes_its_memory(rng):
    p, q = parameter(rng.standard_normal((3, 4))), None
    q = parameter(p.array)
    one, two = optim.Adam([p]), optim.Adam([q])
    for step in range(4):
        g = rng.standard_normal((3, 4))
        p.grad, q.grad = nnrt.from_numpy(g.copy()), nnrt.from_numpy(g.copy())
        if step == 2:
            p.data = np.asfortranarray(p.array)
        one.step()
        two.step()
        np.testing.assert_array_equal(p.array, q.array)


def test_errors_change_nothing(rng):
    params = [parameter(rng.standard_normal((2, 3))) for _ in range(3)]
    optimizer = optim.Adam([{"params": params[:1]}, {"params": params[1:]}])
    set_gradients(params, rng)
    optimizer.step()
    before = [p.array.copy() for p in params], copy.deepcopy(optimizer.state_dict())
    for bad, error, text in [
        (nnrt.from_numpy(np.zeros((3, 2))), RuntimeError, r"shape \(2, 3\).*shape \(3, 2\)"),
        (nnrt.from_numpy(np.zeros((2, 3), np.float32)), RuntimeError, "float64.*float32"),
        (SparseRows(np.array([0]), np.zeros((1, 3)), (2, 3)), RuntimeError, "row-sparse"),
    ]:
        set_gradients(params, rng)
        params[2]._grad = bad  # what a change of .data leaves behind; .grad = refuses it
        with pytest.raises(error, match=f"Adam.*{text}"):
            optimizer.step()
        for p, then in zip(params, before[0]):
            np.testing.assert_array_equal(p.array, then)
        now = optimizer.state_dict()
        for i, state in before[1]["state"].items():
            for key, value in state.items():
                np.testing.assert_array_equal(now["state"][i][key].array, value.array)
    half = nnrt.from_numpy(np.zeros(3, np.float16))
    half.grad = nnrt.from_numpy(np.zeros(3, np.float16))
    with pytest.raises(TypeError, match="float16"):
        optim.SGD([half]).step()


def test_parameters_need_memory_that_can_be_written():
    lent = np.ones(3, np.float32)
    lent.setflags(write=False)
    for array in (lent, np.broadcast_to(np.float32(1), 3)):
        with pytest.raises(ValueError, match=r"SGD: params\[0\] has read-only memory .*clone"):
            optim.SGD([nnrt.from_numpy(array).requires_grad_()], lr=1.0)


def test_construction_errors():
    p = parameter([1.0])
    for params, error, text in [
        (p, TypeError, "iterable"),
        ([], ValueError, "empty"),
        ([1.0], TypeError, r"params\[0\]"),
        ([p * 2], ValueError, "leaf"),
        ([p, p], ValueError, "before"),
        ([{"params": p}, {"params": [p]}], ValueError, "before"),
        ([{"params": {p}}], TypeError, "set"),
        ([("a", p), parameter([2.0])], ValueError, "names"),
        ([{"params": [("a", p)]}, {"params": [parameter([2.0])]}], ValueError, "names"),
        ([{"params": p}, [p]], TypeError, "dict"),
    ]:
        with pytest.raises(error, match=f"SGD.*{text}"):
            optim.SGD(params)
    for options in (dict(differentiable=True), dict(capturable=True)):
        with pytest.raises(RuntimeError, match="Adam"):
            optim.Adam([p], **options)
    optim.Adam([p], foreach=True)
    optim.Adam([p], fused=True)
    with pytest.raises(NotImplementedError, match="must define step"):
        optim.Optimizer([p], {}).step()


def test_names_of_parameters(rng):
    optimizer = optim.SGD([("weight", parameter([1.0])), ("bias", parameter([2.0]))], momentum=0.5)
    assert optimizer.param_groups[0]["param_names"] == ["weight", "bias"]
    assert optimizer.state_dict()["param_groups"][0]["param_names"] == ["weight", "bias"]
    plain = optim.SGD([parameter([1.0]), parameter([2.0])], momentum=0.5)
    named = optim.SGD([("a", parameter([1.0])), ("b", parameter([2.0]))])
    named.load_state_dict(plain.state_dict())
    assert named.param_groups[0]["param_names"] == ["a", "b"]


def test_closure_runs_with_the_tape_on_and_its_value_is_returned():
    p = parameter([3.0])
    optimizer = optim.SGD([p], lr=0.5)

    def closure():
        optimizer.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        return loss

    with nnrt.no_grad():
        assert optimizer.step(closure).item() == 9
    assert p.array[0] == 0


def test_zero_grad():
    p, q = parameter([3.0]), parameter([4.0])
    optimizer = optim.SGD([p, q])
    p.grad = kept = nnrt.from_numpy(np.ones(1))
    optimizer.zero_grad(set_to_none=False)
    assert p.grad is kept and p.grad.array[0] == 0 and q.grad is None
    optimizer.zero_grad()
    assert p.grad is None


def test_hooks():
    p = parameter([1.0])
    optimizer, calls = optim.SGD([p], lr=1.0), []
    before = optimizer.register_step_pre_hook(lambda o, args, kwargs: calls.append(("before", p.array[0])))
    after = optimizer.register_step_post_hook(lambda o, args, kwargs: calls.append(("after", p.array[0])))
    p.grad = nnrt.from_numpy(np.ones(1))
    optimizer.step()
    assert calls == [("before", 1.0), ("after", 0.0)]
    before.remove()
    after.remove()
    optimizer.step()
    assert len(calls) == 2
    replaced = optimizer.register_step_pre_hook(lambda o, args, kwargs: ((lambda: "new",), {}))
    assert optimizer.step(lambda: "old") == "new"
    replaced.remove()


@pytest.mark.parametrize("name", ALL)
def test_pickle_deepcopy_and_checkpoints_resume_to_the_bit(name, rng):
    params = [parameter(rng.standard_normal(s).astype(np.float32)) for s in ((3, 4), (5,))]
    optimizer = make(name, params)
    for _ in range(3):
        set_gradients(params, rng)
        optimizer.step()
    copies = [copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))]
    fresh = make(name, [parameter(p.array) for p in params])
    fresh.load_state_dict(pickle.loads(pickle.dumps(optimizer.state_dict())))
    copies.append(fresh)
    for _ in range(3):
        set_gradients(params, rng)
        for other in copies:
            for p, q in zip(params, other.param_groups[0]["params"]):
                q.grad = nnrt.from_numpy(p.grad.array.copy())
            other.step()
        optimizer.step()
        for other in copies:
            for p, q in zip(params, other.param_groups[0]["params"]):
                assert p is not q
                np.testing.assert_array_equal(p.array, q.array)


def test_load_state_dict_errors_change_nothing():
    p, q = parameter([1.0]), parameter([2.0])
    optimizer = optim.Adam([p])
    with pytest.raises(ValueError, match="2 parameters.*1"):
        optimizer.load_state_dict(optim.Adam([parameter([1.0]), q]).state_dict())
    with pytest.raises(ValueError, match="2 parameter groups"):
        optimizer.load_state_dict(optim.Adam([{"params": [q]}, {"params": [parameter([1.0])]}]).state_dict())
    with pytest.raises(ValueError, match=r"wants the keys state and param_groups, got \['state'\]"):
        optimizer.load_state_dict({"state": {}})
    assert optimizer.param_groups[0]["params"] == [p] and not optimizer.state


def test_a_loaded_state_is_a_copy(rng):
    p, q = parameter([1.0]), parameter([1.0])
    one, two = optim.Adam([p]), optim.Adam([q])
    set_gradients([p], rng)
    one.step()
    two.load_state_dict(one.state_dict())
    assert not np.shares_memory(one.state[p]["exp_avg"].array, two.state[q]["exp_avg"].array)


def test_a_subclass_with_its_own_step():
    class Sign(optim.Optimizer):
        def __init__(self, params, lr):
            super().__init__(params, {"lr": lr})

        def step(self, closure=None):
            for group in self.param_groups:
                for p in group["params"]:
                    state = self.state[p]
                    state["step"] = state.get("step", 0) + 1
                    with nnrt.no_grad():
                        p.sub_(nnrt.sign(p.grad) * group["lr"])

    p = parameter([1.0, 1.0])
    optimizer = Sign([p], 0.25)
    scheduler = optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    p.grad = nnrt.from_numpy(np.array([3.0, -2.0]))
    optimizer.step()
    scheduler.step()
    assert p.tolist() == [0.75, 1.25] and optimizer.param_groups[0]["lr"] == 0.125
    assert optimizer.state_dict()["state"] == {0: {"step": 1}}


def test_ten_threads_at_once(rng):
    start = rng.standard_normal(20_000).astype(np.float32)
    grads = rng.standard_normal((5, start.size)).astype(np.float32)
    results = [None] * 10

    def work(i):
        p = parameter(start)
        optimizer = optim.Adam([p])
        for g in grads:
            p.grad = nnrt.from_numpy(g)
            optimizer.step()
        results[i] = p.array

    threads = [threading.Thread(target=work, args=(i,)) for i in range(10)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for r in results[1:]:
        np.testing.assert_array_equal(r, results[0])


@pytest.mark.parametrize("backend", [b for b in nnrt.registry.available() if b in nnrt.registry.order()])
def test_matching_knows_what_the_steps_can_take(backend):
    f32 = np.zeros((3, 4), np.float32)
    turned = np.zeros((4, 3), np.float32).T
    gapped = np.zeros((6, 4), np.float32)[::2]
    one = np.zeros((1, 4), np.float32)
    with nnrt.registry.using(backend, "ref"):
        matching = nnrt.registry.family("optim").matching
        for params, others, wanted in [
            ([], [[]], True),
            ([f32, turned], [[f32, turned], None], True),
            ([np.zeros(())], [[np.ones(())]], True),
            ([np.zeros((0, 3))], [[np.ones((0, 3))]], True),
            ([f32], [[turned]], False),
            ([f32], [[f32], [f32.astype(np.float64)]], False),
            ([f32, np.zeros(2)], [], False),
            ([gapped], [[gapped]], False),
            ([f32], [[gapped]], False),
            ([f32], [[np.broadcast_to(one[0], (3, 4))]], False),
            ([one], [[one[0]]], False),
            ([np.zeros((2, 3))], [[np.zeros((3, 2))]], False),
            ([np.zeros(3, np.float16)], [], False),
            ([np.zeros(3, np.int64)], [], False),
        ]:
            assert matching(params, *others) is wanted


# Row-sparse gradients


def sparse(torch, rng, shape=(7, 3), rows=(4, 1, 4)):
    """The same gradient with a repeated row in both libraries."""
    values = rng.standard_normal((len(rows), *shape[1:]))
    ours = SparseRows(np.array(rows, np.int64), values.copy(), shape)
    theirs = torch.sparse_coo_tensor(torch.tensor([list(rows)]), torch.from_numpy(values.copy()), shape)
    return ours, theirs


SPARSE = [
    ("SparseAdam", {}),
    ("SparseAdam", dict(lr=0.1, betas=(0.8, 0.9), eps=1e-3, maximize=True)),
    ("SGD", dict(lr=0.1)),
    ("SGD", dict(lr=0.1, maximize=True)),
    ("SGD", dict(lr=0.1, momentum=0.9)),
    ("Adagrad", dict(lr=0.1, lr_decay=0.1, initial_accumulator_value=0.1)),
    ("Adagrad", dict(lr=0.1, maximize=True)),
]


@pytest.mark.parametrize(("name", "options"), SPARSE, ids=[f"{n}-{o}" for n, o in SPARSE])
def test_sparse_steps_agree_with_torch(torch, rng, name, options):
    start = rng.standard_normal((7, 3))
    p, q = parameter(start), torch.nn.Parameter(torch.from_numpy(start.copy()))
    a, b = getattr(optim, name)([p], **options), getattr(torch.optim, name)([q], **options)
    for step in range(20):
        rows = rng.integers(0, 7, 1 + step % 4)
        p.grad, q.grad = sparse(torch, rng, rows=tuple(rows.tolist()))
        a.step()
        b.step()
        np.testing.assert_allclose(p.array, q.detach().numpy(), rtol=1e-9, atol=1e-12, err_msg=f"step {step}")
    mine, theirs = a.state_dict()["state"], b.state_dict()["state"]
    assert mine.keys() == theirs.keys() and [s.keys() for s in mine.values()] == [
        s.keys() for s in theirs.values()
    ]


def test_sparse_adam_leaves_other_rows_alone_and_resumes(rng):
    p = parameter(rng.standard_normal((5, 2)).astype(np.float32))
    before = p.array.copy()
    optimizer = optim.SparseAdam([p], lr=0.1)
    p.grad = SparseRows(np.array([3]), np.ones((1, 2), np.float32), (5, 2))
    optimizer.step()
    changed = (p.array != before).any(axis=1)
    assert changed.tolist() == [False, False, False, True, False]
    q = parameter(p.array)
    other = optim.SparseAdam([q])
    other.load_state_dict(optimizer.state_dict())
    q.grad = p.grad
    other.step()
    optimizer.step()
    np.testing.assert_array_equal(p.array, q.array)


def test_sparse_errors(rng):
    p = parameter(rng.standard_normal((5, 2)))
    p.grad = nnrt.from_numpy(np.ones((5, 2)))
    with pytest.raises(RuntimeError, match="SparseAdam.*dense"):
        optim.SparseAdam([p]).step()
    p._grad = SparseRows(np.array([3]), np.ones((1, 2)), (4, 2))
    for name in ("SparseAdam", "SGD", "Adagrad"):
        with pytest.raises(RuntimeError, match=rf"{name}.*\(5, 2\).*\(4, 2\)"):
            getattr(optim, name)([p]).step()
    p.grad = SparseRows(np.array([3]), np.ones((1, 2)), (5, 2))
    for name in ("SGD", "Adagrad"):
        with pytest.raises(RuntimeError, match=f"{name}.*weight_decay"):
            getattr(optim, name)([p], weight_decay=0.1).step()


@pytest.mark.parametrize("name", ["SparseAdam", "SGD", "Adagrad"])
def test_sparse_steps_on_strided_parameters(name, rng):
    start = rng.standard_normal((5, 2))
    options = dict(momentum=0.9) if name == "SGD" else {}
    p, q = nnrt.from_numpy(np.asfortranarray(start)).requires_grad_(), parameter(start)
    one, two = getattr(optim, name)([p], **options), getattr(optim, name)([q], **options)
    for _ in range(3):
        g = SparseRows(np.array([4, 0, 4]), rng.standard_normal((3, 2)), (5, 2))
        p.grad = q.grad = g
        one.step()
        two.step()
        np.testing.assert_allclose(p.array, q.array, rtol=1e-12)
