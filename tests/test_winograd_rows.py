"""A filter's gradient by Winograd along rows alone: of few channels of x, or groups of 16, where vectors hold 16 floats."""

import numpy as np
import pytest

import nnrt
import nnrt.nn.functional as F
from nnrt import config, registry
from tests.test_kernels import kernel_of
from tests.test_winograd import close, under

BACKENDS = [b for b in registry.available() if b in registry.order()]
EACH_BACKEND = pytest.mark.parametrize("backend", BACKENDS)
EACH_TAPS = pytest.mark.parametrize("taps", [3, 5])


def gradients(backend, x, dy, taps, padding, groups=1, bias=True):
    """dw and db of the kernel, checked against sums over the taps."""
    c, o = x.shape[4] // groups, dy.shape[4]
    dw, db = np.full((o, c, 1, taps, taps), np.nan, x.dtype), np.full(o, np.nan, x.dtype) if bias else None
    kernel_of(backend, "winograd.rows_filter_backward")(dw, db, x, dy, (0, *padding), groups)
    terms = dy[..., 0].size
    for i, j, at in under(x, taps, dy.shape, 0, *padding):
        parts = (a.reshape(-1, groups, a.shape[-1] // groups) for a in (dy[:, 0].astype(np.float64), at))
        close(dw[:, :, 0, i, j], np.einsum("pgo,pgc->goc", *parts).reshape(o, c), terms)
    if bias:
        close(db, dy.sum((0, 1, 2, 3), dtype=np.float64), terms)
    return dw, db


def arrays(rng, n, h, w, c, o, taps, padding):
    size = n, 1, h + 2 * padding[0] - taps + 1, w + 2 * padding[1] - taps + 1, o
    return rng.standard_normal((n, 1, h, w, c)).astype(np.float32), rng.standard_normal(size).astype(np.float32)


@EACH_BACKEND
@EACH_TAPS
@pytest.mark.parametrize("padding", [(0, 0), (1, 1), (2, 2), (2, 0), (0, 1)], ids=str)
def test_every_width(backend, taps, padding, rng):
    """One to four channels and any number of outputs, tiles that are not full, some blocks of them."""
    outputs = (1, 16, 20, 32, 33, 64)
    for w in (*range(1, 21), 35, 67, 130):
        if w + 2 * padding[1] >= taps:
            c, o, h = 1 + w % 4, outputs[w % 6], taps + w % 7
            gradients(backend, *arrays(rng, 2, h, w, c, o, taps, padding), taps, padding, bias=w % 3 > 0)


@EACH_BACKEND
@pytest.mark.parametrize("c", [1, 2, 3, 4])
def test_every_number_of_channels(backend, c, rng):
    """Of images so high that they are cut into bands, more than there are parts."""
    for taps in 3, 5:
        gradients(backend, *arrays(rng, 3, 90, 31, c, 48, taps, (1, 1)), taps, (1, 1))


@EACH_BACKEND
@pytest.mark.parametrize("padding", [(0, 0), (1, 1), (2, 2), (2, 0), (0, 1)], ids=str)
def test_groups_of_16(backend, padding, rng):
    for w in (*range(1, 21), 35, 67):
        if w + 2 * padding[1] >= 3:
            h, groups = 3 + w % 7 if w < 35 else 40, 9 if w % 5 == 0 else 2
            gradients(backend, *arrays(rng, 2, h, w, 16 * groups, 16 * groups, 3, padding), 3, padding, groups, w % 3 > 0)


@EACH_BACKEND
@EACH_TAPS
def test_padding_on_one_side_and_cut_away(backend, taps, rng):
    """The far side's follows from dy's size; where it is negative, pixels of x meet nothing."""
    for c, groups in ((3, 1), (16, 8)) if taps == 3 else ((3, 1),):
        x = rng.standard_normal((2, 1, 9, 13, c * groups)).astype(np.float32)
        for padding, size in ((-2, 1), (5, 6)), ((0, -1), (12, 18)), ((6, 7), (14, 15)):
            dy = rng.standard_normal((2, 1, *size, 16 * groups)).astype(np.float32)
            gradients(backend, x, dy, taps, padding, groups)


@EACH_BACKEND
@EACH_TAPS
def test_no_images(backend, taps, rng):
    x, dy = arrays(rng, 0, 9, 9, 3, 32, taps, (1, 1))
    dw, db = gradients(backend, x, dy, taps, (1, 1))
    assert not dw.any() and not db.any()


@EACH_BACKEND
@pytest.mark.parametrize("taps, c, o, groups", [(3, 3, 40, 1), (5, 1, 32, 1), (3, 16, 16, 11)])
def test_bit_equal_at_any_number_of_threads(backend, taps, c, o, groups, rng):
    x, dy = arrays(rng, 13, 17, 23, c * groups, o * groups, taps, (1, 1))
    results = []
    for threads in (1, 2, 3, 10):
        with config.use(num_threads=threads):
            results.append(gradients(backend, x, dy, taps, (1, 1), groups))
    for dw, db in results[1:]:
        np.testing.assert_array_equal(dw, results[0][0])
        np.testing.assert_array_equal(db, results[0][1])


@pytest.mark.parametrize(
    "x, w, options",
    [
        ((5, 3, 32, 32), (32, 3, 3, 3), dict(padding=1)),
        ((8, 1, 28, 28), (64, 1, 5, 5), dict(padding=2)),
        ((2, 512, 14, 14), (512, 16, 3, 3), dict(padding=1, groups=32)),
        ((1, 512, 27, 14), (512, 16, 3, 3), dict(padding=2, groups=32, dilation=(3, 2))),
    ],
)
def test_gradients_of_the_op(x, w, options, rng):
    """y is linear in w: along a random direction v its derivative is the convolution with v. Filters lie the other way round."""
    x, w, v, b = (rng.standard_normal(shape) for shape in (x, w, w, w[:1]))
    turned = nnrt.tensor(w.transpose(3, 2, 1, 0).astype(np.float32)).permute(3, 2, 1, 0).requires_grad_()
    image, bias = nnrt.tensor(x.astype(np.float32)), nnrt.tensor(b.astype(np.float32), requires_grad=True)
    y = F.conv2d(image, turned, bias, **options)
    dy = rng.standard_normal(y.shape)
    y.backward(nnrt.tensor(dy.astype(np.float32)))
    with config.use(conv="direct"):
        along = (F.conv2d(nnrt.tensor(x), nnrt.tensor(v), **options).numpy() * dy).sum()
    scale = np.sqrt(dy.size * w[0].size)
    assert abs((turned.grad.numpy() * v).sum() - along) < 3e-6 * scale
    np.testing.assert_allclose(bias.grad.numpy(), dy.sum((0, 2, 3)), rtol=0, atol=1e-3)
    lanes = registry.resolve("depthwise", "lanes")[1](np.dtype(np.float32))
    assert ("filter's gradient rows" in nnrt.explain("conv2d", x.shape, w.shape, **options)) == (lanes == 16)
    with config.use(precision="strict"):
        assert "rows" not in nnrt.explain("conv2d", x.shape, w.shape, **options)
