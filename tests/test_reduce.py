"""Reductions: accuracy, bit-equality over threads, ties, layouts without copies, and errors."""

import numpy as np
import pytest

import nnrt
from nnrt import registry
from nnrt.ops import _axes

BACKENDS = [b for b in registry.available() if b in registry.order()]


def tensor(a, requires_grad=False):
    t = nnrt.from_numpy(np.asarray(a))
    return t.requires_grad_(True) if requires_grad else t


def grad_of(fn, a):
    x = tensor(np.array(a, dtype=np.float64), True)
    fn(x).backward()
    return x.grad.numpy().tolist()


@pytest.mark.parametrize("backend", BACKENDS)
def test_float32_sums_are_as_accurate_as_pairwise_ones(backend):
    x = np.random.default_rng(0).random(10_000_019, dtype=np.float32)
    exact = x.sum(dtype=np.float64)
    with registry.using(backend, "ref"):
        got = nnrt.sum(tensor(x)).item()
        rows = nnrt.sum(tensor(x[: 10_000_000].reshape(1_000_000, 10)), 0).numpy()
    # One rounding of the result is 2^-24; a plain running sum is off by 1e-4 and more.
    assert abs(got - exact) <= 2e-7 * exact
    want = x[:10_000_000].reshape(1_000_000, 10).sum(axis=0, dtype=np.float64)
    np.testing.assert_allclose(rows, want, rtol=3e-7)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("n", [75, 261])
def test_extremes_find_a_nan_anywhere_and_take_infinities_for_none(backend, n):
    x = np.random.default_rng(0).standard_normal((n, n)).astype(np.float32)
    nans = np.where(np.eye(n, dtype=bool), np.float32(np.nan), x)
    both = np.where(x > 0, np.float32(np.inf), np.float32(-np.inf))
    with registry.using(backend, "ref"):
        for op in (nnrt.amax, nnrt.amin):
            assert np.isnan(op(tensor(nans), 1).numpy()).all()
        assert (nnrt.amax(tensor(both), 1).numpy() == np.inf).all()
        assert (nnrt.amin(tensor(both), 1).numpy() == -np.inf).all()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("shape,axes", [((3_000_000,), 0), ((300_000, 10), 0), ((3, 1_000_000), 1)])
def test_variance_keeps_its_accuracy_under_a_large_offset(backend, shape, axes):
    x = (np.random.default_rng(1).standard_normal(shape) + 1e5).astype(np.float32)
    want = x.astype(np.float64).var(axis=axes, ddof=1)
    with registry.using(backend, "ref"):
        var, mean = nnrt.var_mean(tensor(x), axes)
    np.testing.assert_allclose(var.numpy(), want, rtol=1e-5)
    np.testing.assert_allclose(mean.numpy(), x.mean(axis=axes, dtype=np.float64), rtol=1e-7)


@pytest.mark.parametrize("rows,n", [(1, 192), (5, 192), (4, 257), (3, 1024), (7, 1029), (2, 8193), (1, 100_003)])
def test_sums_and_extremes_of_rows_do_not_depend_on_where_these_lie(rows, n, rng):
    x = rng.standard_normal((rows, n)).astype(np.float32)
    wide, want = x.astype(np.float64), None
    for at in range(0, 16, 3):  # elements into a line of cache
        memory = np.full(rows * n + 32, np.nan, np.float32)
        start = -memory.ctypes.data % 64 // 4 + at
        here = memory[start : start + rows * n].reshape(rows, n)
        here[:] = x
        got = [op(tensor(here), 1).numpy() for op in (nnrt.sum, nnrt.amax, nnrt.amin)]
        np.testing.assert_allclose(got[0], wide.sum(1), rtol=0, atol=2e-7 * np.abs(wide).sum(1).max())
        np.testing.assert_array_equal(got[1:], [x.max(1), x.min(1)])
        want = want or got
        assert all(a.tobytes() == b.tobytes() for a, b in zip(got, want))


@pytest.mark.skipif("cython" not in BACKENDS, reason="numba and ref do not use the pool")
@pytest.mark.parametrize("shape,dim", [((700_001,), 0), ((5000, 70), 0), ((5000, 70), 1), ((4, 9000, 33), 1)])
@pytest.mark.parametrize(
    "name", ["sum", "mean", "var", "amax", "norm", "logsumexp", "softmax", "cumsum", "log_softmax", "argmax"]
)
def test_results_are_bit_equal_at_any_thread_count(name, shape, dim):
    x = np.random.default_rng(2).standard_normal(shape).astype(np.float32)
    before = nnrt.get_num_threads()
    seen = []
    try:
        for threads in (1, 2, 3):
            nnrt.set_num_threads(threads)
            t = tensor(x, name != "argmax")
            y = nnrt.norm(t, 2, dim) if name == "norm" else getattr(nnrt, name)(t, dim)
            seen.append([y.detach().numpy().tobytes()])
            if name != "argmax":
                y.backward(tensor(np.ones(y.shape, np.float32)))
                seen[-1].append(t.grad.numpy().tobytes())
    finally:
        nnrt.set_num_threads(before)
    assert seen[0] == seen[1] == seen[2]


@pytest.mark.parametrize("shape", [(1, 2_100_007), (3, 700_001), (21, 100_003), (300, 7001), (33_000, 65)])
def test_sums_and_extremes_of_rows_beyond_the_caches(shape, rng):
    x = rng.standard_normal(shape, dtype=np.float32)
    want = x.sum(1, dtype=np.float64)
    seen = []
    for threads in (1, 2, 3):
        with nnrt.config.use(num_threads=threads):
            seen.append([tensor(x).sum(1).numpy(), tensor(x).mean(1).numpy()])
    np.testing.assert_allclose(seen[0][0], want, rtol=1e-6, atol=1e-5 * shape[1] ** 0.5)
    np.testing.assert_allclose(seen[0][1], want / shape[1], rtol=1e-6, atol=1e-5 / shape[1] ** 0.5)
    assert all(np.array_equal(a, b) for other in seen[1:] for a, b in zip(other, seen[0]))
    np.testing.assert_array_equal(nnrt.amax(tensor(x), 1).numpy(), x.max(1))
    np.testing.assert_array_equal(nnrt.amin(tensor(x), 1).numpy(), x.min(1))
    np.testing.assert_array_equal(nnrt.amin(tensor(np.abs(x) + 1), 1).numpy(), (np.abs(x) + 1).min(1))
    np.testing.assert_array_equal(nnrt.amax(tensor(-np.abs(x) - 1), 1).numpy(), (-np.abs(x) - 1).max(1))
    for column in (-1, 7):
        x[-1, column] = np.nan
        for name in ("sum", "amax", "amin"):
            found = np.isnan(getattr(nnrt, name)(tensor(x), 1).numpy())
            assert found.tolist() == [False] * (shape[0] - 1) + [True], name
        x[-1, column] = 0


def test_gradients_of_ties():
    rows = [[1, 3, 3], [2, 2, 2]]
    assert grad_of(lambda x: nnrt.amax(x, 1).sum(), rows) == [[0, 0.5, 0.5], [1 / 3] * 3]
    assert grad_of(lambda x: nnrt.max(x, 1).values.sum(), rows) == [[0, 1, 0], [1, 0, 0]]
    assert grad_of(nnrt.max, rows) == [[0, 0.5, 0.5], [0, 0, 0]]
    assert grad_of(nnrt.min, [[1, 1], [2, 3]]) == [[0.5, 0.5], [0, 0]]
    assert grad_of(lambda x: nnrt.norm(x, np.inf), [[1, -3, 3]]) == [[0, -0.5, 0.5]]
    assert grad_of(nnrt.median, [[1, 2, 2, 2, 9]]) == [[0, 1 / 3, 1 / 3, 1 / 3, 0]]


def test_gradients_where_a_formula_would_divide_by_zero():
    assert grad_of(nnrt.norm, [0, 0]) == [0, 0]
    assert grad_of(nnrt.std, [2, 2, 2]) == [0, 0, 0]
    assert grad_of(lambda x: nnrt.norm(x, 0.5), [0, 4]) == [0, 1]
    assert grad_of(nnrt.prod, [0, 2, 3]) == [6, 0, 0]
    assert grad_of(nnrt.prod, [0, 0, 3]) == [0, 0, 0]


def test_gradient_of_nan_goes_to_the_nan():
    assert grad_of(nnrt.max, [1, np.nan, 2]) == [0, 1, 0]


def test_gradient_of_sum_is_a_view():
    seen = []
    x = tensor(np.ones((3, 4), np.float32), True)
    y = x * 1
    y.register_hook(lambda g: seen.append(g.numpy().strides))
    y.sum().backward()
    assert seen == [(0, 0)]
    assert x.grad.numpy().tolist() == [[1] * 4] * 3


@pytest.mark.parametrize("axes", [(1,), (2, 3), (0, 2, 3), (0,), (0, 1, 2, 3)])
def test_nhwc_memory_is_reduced_without_a_copy(axes):
    a = np.random.default_rng(3).standard_normal((2, 5, 6, 3)).transpose(0, 3, 1, 2)
    b, y, outer, n, inner = _axes.arrange(a, axes, False, a.dtype)
    assert b is a
    assert outer * n * inner == a.size and y.size == outer * inner
    registry.family("reduce").sum(y, b, outer, n, inner, 1)
    np.testing.assert_allclose(y, a.sum(axis=axes), rtol=1e-12, atol=1e-12)


def test_named_results():
    x = tensor(np.arange(6.0).reshape(2, 3))
    assert nnrt.max(x, 1)._fields == ("values", "indices")
    assert x.aminmax()._fields == ("min", "max")
    values, indices = x.topk(2)
    assert values.numpy().tolist() == [[2, 1], [5, 4]] and indices.numpy().tolist() == [[2, 1], [2, 1]]


def test_maximum_of_two_tensors():
    x, y = tensor(np.array([1.0, 5])), tensor(np.array([3.0, 2]))
    assert nnrt.max(x, y).numpy().tolist() == [3, 5] and nnrt.min(x, other=y).numpy().tolist() == [1, 2]


def test_var_of_one_element_is_nan():
    assert np.isnan(nnrt.var(tensor(np.ones(1))).item())


@pytest.mark.parametrize("dtype", [np.int32, np.uint8, np.bool_])
def test_sums_of_integers_are_int64(dtype):
    assert nnrt.sum(tensor(np.ones((2, 3), dtype)), 1).dtype == np.int64
    assert nnrt.cumsum(tensor(np.ones(3, dtype)), 0).dtype == np.int64


@pytest.mark.parametrize("name", ["sum", "prod", "nansum"])
def test_integers_are_summed_in_the_dtype_named(name):
    y = getattr(nnrt, name)(tensor(np.full((2, 2), 2.5)), 1, dtype=nnrt.int32)
    assert y.dtype == np.int32 and y.tolist() == [4, 4]


X = np.zeros((2, 3), np.float32)


@pytest.mark.parametrize(
    "call,error,text",
    [
        (lambda x: x.sum(2), IndexError, "sum: dim 2 is out of range for a tensor with 2 dimensions"),
        (lambda x: x.sum((0, -2)), RuntimeError, "dim 0 appears twice"),
        (lambda x: x.sum("a"), TypeError, "sum: dim must be an int, got str"),
        (lambda x: x.long().mean(), RuntimeError, "mean: wants a floating tensor, got int64"),
        (lambda x: x.long().var(), RuntimeError, "var: wants a floating tensor"),
        (lambda x: x.var(unbiased=True, correction=1), TypeError, "unbiased and correction"),
        (lambda x: x[:0].max(), RuntimeError, r"max: a tensor of shape \(0, 3\) has no element"),
        (lambda x: x[:0].max(0), IndexError, r"max: dim 0 of shape \(0, 3\) is empty"),
        (lambda x: x[:0].amin(0), IndexError, "amin: dim 0"),
        (lambda x: x[:0].argmax(), IndexError, "argmax"),
        (lambda x: x[:0].median(0), IndexError, "median: dim 0"),
        (lambda x: x.norm("abc"), RuntimeError, "norm: p must be a number"),
        (lambda x: x.long().norm(), RuntimeError, "vector_norm: wants a floating tensor"),
        (lambda x: x[:0].norm(np.inf), RuntimeError, "of an empty axis is undefined"),
        (lambda x: x.topk(4), RuntimeError, r"topk: k must be in \[0, 3\]"),
        (lambda x: x.kthvalue(0), RuntimeError, r"kthvalue: k must be in \[1, 3\]"),
        (lambda x: x.quantile(1.5), RuntimeError, r"quantile: q must be in \[0, 1\]"),
        (lambda x: x.quantile(0.5, interpolation="no"), RuntimeError, "interpolation must be"),
        (lambda x: x[:0].quantile(0.5), RuntimeError, "must not be empty"),
        (lambda x: x.histc(0), RuntimeError, "bins must be at least 1"),
        (lambda x: x.histc(4, 2, 1), RuntimeError, "min must not be above max"),
        (lambda x: x.bincount(), RuntimeError, "bincount: wants a 1-dimensional tensor of integers"),
        (lambda x: x.long()[0].bincount(minlength=-1), RuntimeError, "minlength must be >= 0"),
        (lambda x: x.cumsum(5), IndexError, "cumsum: dim 5"),
        (lambda x: x.sort(-3), IndexError, "sort: dim -3"),
        (lambda x: x.long().softmax(0), RuntimeError, "softmax: wants a floating tensor, got int64"),
        (lambda x: x.log_softmax(2), IndexError, "log_softmax: dim 2"),
    ],
)  # fmt: skip
def test_refusals(call, error, text):
    with pytest.raises(error, match=text):
        call(tensor(X))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("dim, shape", [(None, (0,)), (1, (2, 0)), ((0, 1), (0, 3))])
def test_mean_of_nothing_has_an_empty_gradient(dim, shape):
    x = nnrt.zeros(shape, requires_grad=True)
    y = x.mean(dim)
    y.sum().backward()
    assert np.isnan(y.detach().numpy()).all() and x.grad.shape == shape
