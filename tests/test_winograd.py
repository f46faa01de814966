"""Winograd against the plain sum over the taps in float64, on every back-end: a transformed filter's layout is its own."""

import numpy as np
import pytest

from nnrt import config, memory, registry
from nnrt._ref import conv as reference
from nnrt._ref.linear import ACTIVATIONS, _activate
from tests.cases.winograd import FORMS, ROWS, SHAPES, output_size, rows_problem
from tests.test_kernels import kernel_of

BACKENDS = [b for b in registry.available() if b in registry.order()]
pytestmark = pytest.mark.parametrize("backend", BACKENDS)
DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["f32", "f64"])
TILES = pytest.mark.parametrize("tile", [2, 4])
EACH_FORM = pytest.mark.parametrize(("tile", "taps"), FORMS)


def kernels(backend):
    class Namespace:
        def __getattr__(self, name):
            return kernel_of(backend, f"winograd.{name}") or pytest.skip(f"{backend} has no winograd.{name}")

    return Namespace()


def under(x, taps, size, _, pad_h, pad_w):
    """(i, j, x's pixels under tap i, j of every output pixel), zero outside x."""
    (n, _, h, w, c), (_, _, rows, cols, _) = x.shape, size
    wide = np.zeros((n, rows + h + 20, cols + w + 20, c))
    wide[:, 8 : 8 + h, 8 : 8 + w] = x[:, 0]
    for i in range(taps):
        for j in range(taps):
            yield i, j, wide[:, 8 + i - pad_h :, 8 + j - pad_w :][:, :rows, :cols]


def direct(x, w, size, padding):
    w = w.astype(np.float64)
    return sum(at @ w[:, :, 0, i, j].T for i, j, at in under(x, w.shape[4], size, *padding))[:, None]


def transformed(lib, w, tile, backward=False):
    u = np.full(lib.filter_size(w.shape, w.dtype, tile), np.nan, w.dtype)
    before = w.copy()
    lib.transform_filter(u, w, tile, backward)
    np.testing.assert_array_equal(w, before)
    return u


def close(actual, expected, terms):
    """The rms error is some 5 roundings of a sum of so many terms of size one; the largest of all, ten times that."""
    eps = np.finfo(actual.dtype).eps
    np.testing.assert_allclose(actual, expected, rtol=0, atol=200 * eps * (1 + np.sqrt(terms)))


def problem(rng, dtype, shape, taps=3):
    n, h, w, c, o, _, _ = shape
    x, f = (rng.standard_normal(s).astype(dtype) for s in ((n, 1, h, w, c), (o, c, 1, taps, taps)))
    return x, f, *output_size(taps, *shape)


@DTYPES
@EACH_FORM
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_agrees_with_the_sum_over_taps(backend, dtype, tile, taps, shape, rng):
    lib = kernels(backend)
    x, w, size, padding = problem(rng, dtype, shape, taps)
    y = np.full(size, np.nan, dtype)
    lib.conv(y, x, transformed(lib, w, tile), None, None, padding, taps, tile, None)
    close(y, direct(x, w, size, padding), taps**2 * x.shape[-1])


@DTYPES
@EACH_FORM
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_gradients_are_the_adjoints(backend, dtype, tile, taps, shape, rng):
    """y is linear in x and in w: the gradients by definition, from the taps."""
    lib = kernels(backend)
    x, w, size, padding = problem(rng, dtype, shape, taps)
    dy = rng.standard_normal(size).astype(dtype)
    dx, dw = np.full_like(x, np.nan), np.full_like(w, np.nan)
    u = transformed(lib, w, tile, backward=True)
    other = 0, taps - 1 - padding[1], taps - 1 - padding[2]
    lib.conv(dx, dy, u, None, None, other, taps, tile, None)
    rotated = w[:, :, :, ::-1, ::-1].swapaxes(0, 1)
    close(dx, direct(dy, rotated, x.shape, other), taps**2 * w.shape[0])
    lib.filter_backward(dw, None, x, dy, padding, tile)
    expected = np.zeros(w.shape)
    for i, j, at in under(x, taps, size, *padding):
        expected[:, :, 0, i, j] = np.einsum("nhwo,nhwc->oc", dy[:, 0].astype(np.float64), at)
    close(dw, expected, np.prod(size[:4]))


@EACH_FORM
@pytest.mark.parametrize("act", ACTIVATIONS, ids=str)
@pytest.mark.parametrize("residual", [False, True], ids=["", "residual"])
def test_epilogue(backend, tile, taps, act, residual, rng):
    lib = kernels(backend)
    for shape in SHAPES[6], SHAPES[9]:
        x, w, size, padding = problem(rng, np.float32, shape, taps)
        b = rng.standard_normal(size[-1]).astype(np.float32)
        r = rng.standard_normal(size).astype(np.float32) if residual else None
        y = np.full(size, np.nan, np.float32)
        lib.conv(y, x, transformed(lib, w, tile), b, r, padding, taps, tile, act)
        expected = direct(x, w, size, padding) + b + (r if residual else 0)
        close(y, _activate(expected, act), taps**2 * x.shape[-1])


@pytest.mark.parametrize("o", [32, 24])
def test_outputs_larger_than_the_caches(backend, o, rng):
    """Whole lines of them bypass the caches: the same values as image by image."""
    if backend != "cython":
        pytest.skip("the compiled kernels' alone")
    lib = kernels(backend)
    n = (16 << 20) // (129 * 126 * 4 * o) + 1
    x, f, size, padding = problem(rng, np.float32, (n, 130, 127, 3, o, (1, 1), 0), 4)
    b, u, y = rng.standard_normal(o).astype(np.float32), transformed(lib, f, 3), memory.empty(size, np.float32)
    r = np.full(size, 0.25, np.float32)
    assert y.nbytes >= 16 << 20 and y.ctypes.data % 64 == 0
    lib.conv(y, x, u, b, r, padding, 4, 3, "relu")
    one = memory.empty((1, *size[1:]), np.float32)
    for i in range(n):
        lib.conv(one, x[i : i + 1], u, b, r[:1], padding, 4, 3, "relu")
        np.testing.assert_array_equal(y[i : i + 1], one)


@EACH_FORM
def test_bit_equal_at_any_number_of_threads(backend, tile, taps, rng):
    lib = kernels(backend)
    for shape in (1, 15, 14, 70, 40, (1, 1), 0), (5, 30, 33, 24, 24, (1, 1), 0), (2, 6, 6, 200, 260, (1, 1), 0):
        x, w, size, padding = problem(rng, np.float32, shape, taps)
        dy, results = rng.standard_normal(size).astype(np.float32), []
        for threads in (1, 2, 3):
            with config.use(num_threads=threads):
                y, dw = np.full(size, np.nan, np.float32), np.full_like(w, np.nan)
                lib.conv(y, x, transformed(lib, w, tile), None, None, padding, taps, tile, None)
                lib.filter_backward(dw, None, x, dy, padding, tile)
                results.append((y, dw))
        close(results[0][0], direct(x, w, size, padding), taps**2 * x.shape[-1])  # 260 channels of 8 tiles are cut by columns
        for y, dw in results[1:]:
            np.testing.assert_array_equal(y, results[0][0])
            np.testing.assert_array_equal(dw, results[0][1])


@EACH_FORM
@DTYPES
@pytest.mark.parametrize("c, o", [(16, 16), (5, 9), (32, 20), (17, 32)])
@pytest.mark.parametrize("n, size", [(1, 7), (3, 19)])
def test_gradients_of_many_groups_filters(backend, dtype, tile, taps, c, o, n, size, rng):
    """A task sums a group, of few tiles and of more than it transforms at a time."""
    lib, groups = kernels(backend), 9
    x, f, shape, padding = problem(rng, dtype, (n, size, size + 3, groups * c, groups * o, (1, 1), 0), taps)
    dy, dw, db = rng.standard_normal(shape).astype(dtype), np.full((groups * o, *f[:, :c].shape[1:]), np.nan, dtype), None
    for db in None, np.full(groups * o, np.nan, dtype):
        dw[...] = np.nan
        lib.filter_backward(dw, db, x, dy, padding, tile, groups)
        for i, j, at in under(x, taps, shape, *padding):
            parts = (a.reshape(-1, groups, a.shape[-1] // groups) for a in (dy[:, 0], at))
            close(dw[:, :, 0, i, j], np.einsum("pgo,pgc->goc", *parts).reshape(groups * o, c), dy[..., 0].size)
    close(db, dy.sum((0, 1, 2, 3)), dy[..., 0].size)


@EACH_FORM
@DTYPES
@pytest.mark.parametrize("c, o", [(5, 9), (16, 16), (20, 37)])
def test_groups_are_what_each_would_be_alone(backend, dtype, tile, taps, c, o, rng):
    lib, groups = kernels(backend), 3
    x, f, size, padding = problem(rng, dtype, (2, 9, 10, 3 * c, 3 * o, (1, 0), 1), taps)
    w, b, r = f[:, :c].copy(), rng.standard_normal(3 * o).astype(dtype), rng.standard_normal(size).astype(dtype)
    got, want = (np.full(size, np.nan, dtype) for _ in range(2))
    each = lib.filter_size((o, *w.shape[1:]), w.dtype, tile)
    for backward in (False, True):
        u = np.full(groups * each, np.nan, dtype)
        lib.transform_filter(u, w, tile, backward, groups)
        for g in range(groups):
            part = transformed(lib, w[g * o : (g + 1) * o], tile, backward)
            np.testing.assert_array_equal(u[g * each : (g + 1) * each], part)
    other = 0, taps - 1 - padding[1], taps - 1 - padding[2]
    for n in 1, 2:  # few tiles and more
        dx = [np.full_like(x[:n], np.nan) for _ in range(2)]
        lib.conv(dx[0], r[:n], u, None, None, other, taps, tile, None, groups)
        lib.conv(dx[1], r[:n], w, None, None, other, taps, tile, None, groups, True)
        np.testing.assert_array_equal(*dx)
    lib.transform_filter(u, w, tile, False, groups)
    lib.conv(got, x, u, b, r, padding, taps, tile, "relu", groups)
    lib.conv(want, x, w, b, r, padding, taps, tile, "relu", groups)
    np.testing.assert_array_equal(want, got)
    dw = np.full(w.shape, np.nan, dtype)
    db = np.full(3 * o, np.nan, dtype)
    lib.filter_backward(dw, db, x, r, padding, tile, groups)
    close(db, r.sum((0, 1, 2, 3)), 2 * 9 * 10)
    for g in range(groups):
        ins, outs = slice(g * c, (g + 1) * c), slice(g * o, (g + 1) * o)
        x1, r1, y1 = x[..., ins].copy(), r[..., outs].copy(), np.full((*size[:4], o), np.nan, dtype)
        lib.conv(y1, x1, transformed(lib, w[outs], tile), b[outs], r1, padding, taps, tile, "relu")
        want[..., outs] = y1
        dw1 = np.full(w[outs].shape, np.nan, dtype)
        lib.filter_backward(dw1, None, x1, r1, padding, tile)
        close(dw[outs], dw1, 2 * 9 * 10)
    close(got, want, 9 * c)


@EACH_FORM
def test_nan_stays_where_it_is(backend, tile, taps, rng):
    """A NaN of x reaches the tiles whose patches hold it, and no other."""
    lib = kernels(backend)
    x, w, size, padding = problem(rng, np.float32, (1, 17, 17, 16, 16, (1, 1), 0), taps)
    x[0, 0, 8, 8, 3] = np.nan
    y = np.full(size, 5, np.float32)
    lib.conv(y, x, transformed(lib, w, tile), None, None, padding, taps, tile, "relu")
    bad = np.isnan(y[0, 0]).any(-1)
    assert bad[7:10, 7:10].all() and not bad[:4].any() and not bad[13:].any() and not bad[:, :4].any()


def test_bad_arguments(backend):
    lib = kernels(backend)
    w = np.ones((2, 3, 1, 3, 3), np.float32)
    with pytest.raises(ValueError, match="tile 2 or 4"):
        lib.transform_filter(np.empty(lib.filter_size(w.shape, w.dtype, 4), np.float32), w, 3, False)


def of_groups(x, w, size, padding, groups):
    """direct, group by group."""
    parts, size = zip(np.split(x, groups, 4), np.split(w, groups)), (*size[:4], size[4] // groups)
    return np.concatenate([direct(*part, size, padding) for part in parts], 4)


def rows(lib, x, w, b, residual, size, padding, groups, act=None, backward=False):
    """rows_conv with the filter transformed before; with the filter itself it must be the same."""
    each = lib.rows_size((len(w) // groups, *w.shape[1:]), w.dtype)
    u, y, once = np.full(groups * each, np.nan, w.dtype), *[np.full(size, np.nan, x.dtype) for _ in range(2)]
    lib.transform_rows(u, w, backward, groups)
    lib.rows_conv(y, x, u, b, residual, padding, act, groups, backward)
    lib.rows_conv(once, x, w, b, residual, padding, act, groups, backward)
    np.testing.assert_array_equal(once, y)
    return y


@DTYPES
@pytest.mark.parametrize("shape", ROWS, ids=str)
def test_rows_agree_with_the_sum_over_taps(backend, dtype, shape, rng):
    lib = kernels(backend)
    x, w, size, padding, groups = rows_problem(rng, dtype, shape)
    b, r = (rng.standard_normal(s).astype(dtype) for s in (size[4], size))
    expected = of_groups(x, w, size, padding, groups)
    close(rows(lib, x, w, None, None, size, padding, groups), expected, 9 * w.shape[1])
    for act in ("relu", "gelu"):
        for bias, residual in (b, None), (None, r), (b, r):
            whole = expected + (0 if bias is None else b) + (0 if residual is None else r)
            close(rows(lib, x, w, bias, residual, size, padding, groups, act), _activate(whole, act), 9 * w.shape[1])
    other = 0, 2 - padding[1], 2 - padding[2]
    rotated = np.concatenate([part[:, :, :, ::-1, ::-1].swapaxes(0, 1) for part in np.split(w, groups)])
    got = rows(lib, r, w, None, None, x.shape, other, groups, backward=True)
    close(got, of_groups(r, rotated, x.shape, other, groups), 9 * len(w) // groups)


def test_rows_are_bit_equal_at_any_number_of_threads(backend, rng):
    for shape in ROWS[22], ROWS[23], (3, 60, 33, 16, 48, 1, (1, 1), 0), (1, 20, 21, 16, 16, 70, (1, 1), 0):
        x, w, size, padding, groups = rows_problem(rng, np.float32, shape)
        results = []
        for threads in (1, 2, 3, 10):
            with config.use(num_threads=threads):
                results.append(rows(kernels(backend), x, w, None, None, size, padding, groups))
        for y in results[1:]:
            np.testing.assert_array_equal(y, results[0])


def test_a_nan_stays_in_its_rows_tiles(backend, rng):
    x, w, size, padding, _ = rows_problem(rng, np.float32, (1, 17, 17, 16, 16, 1, (1, 1), 0))
    x[0, 0, 8, 8, 3] = np.nan
    bad = np.isnan(rows(kernels(backend), x, w, None, None, size, padding, 1, "relu")[0, 0]).any(-1)
    assert bad[7:10, 7:10].all() and not bad[:7].any() and not bad[10:].any() and not bad[:, :4].any() and not bad[:, 12:].any()


# (n, h, w, c, o, (pad_h, pad_w)) of 4x4 filters with stride 2
STRIDED = [
    (1, 4, 4, 16, 16, (1, 1)),
    (2, 8, 8, 16, 24, (1, 1)),
    (1, 9, 10, 3, 5, (1, 1)),
    (2, 16, 14, 20, 17, (1, 1)),
    (2, 13, 11, 17, 33, (0, 2)),
    (1, 30, 32, 64, 40, (1, 0)),
    (3, 7, 9, 130, 230, (3, 2)),  # used once, tasks transform their columns
    (9, 16, 16, 256, 32, (1, 1)),
    (0, 8, 8, 16, 16, (1, 1)),
]


def strided_problem(rng, dtype, shape):
    n, h, w, c, o, (pad_h, pad_w) = shape
    size = n, 1, (h + 2 * pad_h - 2) // 2, (w + 2 * pad_w - 2) // 2, o
    x, f, dy, b, db = (rng.standard_normal(s).astype(dtype) for s in ((n, 1, h, w, c), (o, c, 1, 4, 4), size, (o,), (c,)))
    return x, f, dy, b, db, (0, pad_h, pad_w)


def strided(lib, x, w, dy, b, residual, db, padding, tile, act):
    """y, dx and dw."""
    u = np.full(lib.strided_size(w.shape, w.dtype, tile), np.nan, w.dtype)
    y, dx, dw = np.full_like(dy, np.nan), np.full_like(x, np.nan), np.full_like(w, np.nan)
    lib.transform_strided(u, w, tile, False)
    lib.strided_conv(y, x, u, b, residual, padding, tile, act)
    u[...] = np.nan
    lib.transform_strided(u, w, tile, True)
    lib.strided_conv_transposed(dx, dy, u, db, padding, tile)
    sums = np.full_like(b, np.nan)
    lib.strided_filter_backward(dw, sums, x, dy, padding, tile)
    close(sums, dy.sum((0, 1, 2, 3), dtype=np.float64), 1 + dy[..., 0].size)
    once = np.full_like(dy, np.nan), np.full_like(x, np.nan)
    lib.strided_conv(once[0], x, w, b, residual, padding, tile, act)
    lib.strided_conv_transposed(once[1], dy, w, db, padding, tile)
    np.testing.assert_array_equal(once[0], y)
    np.testing.assert_array_equal(once[1], dx)
    return y, dx, dw


@DTYPES
@TILES
@pytest.mark.parametrize("shape", STRIDED, ids=str)
def test_strided_agrees_with_the_plain_sums(backend, dtype, tile, shape, rng):
    x, w, dy, b, db, padding = strided_problem(rng, dtype, shape)
    plain = (1, 2, 2), padding, (1, 1, 1), 1
    x8, w8, dy8 = (a.astype(np.float64) for a in (x, w, dy))
    y, dx, dw = (np.zeros_like(a) for a in (dy8, x8, w8))
    reference.conv_transposed(dx, dy8, w8.ravel(), w.shape, db.astype(np.float64), None, *plain, None)
    reference.filter_backward(dw, None, x8, dy8, *plain)
    for act in (None, "relu", "gelu") if shape == STRIDED[3] else ("relu",):
        got = strided(kernels(backend), x, w, dy, b, dy, db, padding, tile, act)
        reference.conv(y, x8, w8.ravel(), w.shape, b.astype(np.float64), dy8, *plain, act)
        for a, expected, terms in zip(got, (y, dx, dw), (16 * w.shape[1], 4 * w.shape[0], np.prod(dy.shape[:4]))):
            close(a, expected, terms)


@TILES
def test_strided_is_bit_equal_at_any_number_of_threads(backend, tile, rng):
    x, w, dy, b, db, padding = strided_problem(rng, np.float32, (3, 30, 34, 64, 64, (1, 1)))
    results = []
    for threads in (1, 2, 3):
        with config.use(num_threads=threads):
            results.append(strided(kernels(backend), x, w, dy, b, None, db, padding, tile, None))
    for other in results[1:]:
        for a, expected in zip(other, results[0]):
            np.testing.assert_array_equal(a, expected)
