"""Resampling, padding, blocks and grids over random shapes: against the specification, numpy, and their own adjoints."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nnrt
import nnrt.nn.functional as F
from nnrt import registry
from nnrt._ref import resample as ref
from nnrt.ops.resample import ROWS, band, transposed_band

BACKENDS = [b for b in registry.available() if b != "ref" and b in registry.order()]
KINDS = ["nearest", "nearest-exact", *ROWS]


@st.composite
def axes(draw, largest=40):
    kind = draw(st.sampled_from(KINDS))
    n, out = draw(st.integers(1, largest)), draw(st.integers(1, largest))
    return kind, n, out, draw(st.sampled_from([None, out / n, (out + 0.9) / n])), draw(st.booleans())


@settings(max_examples=40)
@given(axes=st.tuples(axes(6), axes(), axes()), c=st.integers(1, 70), turned=st.booleans(), double=st.booleans())
@pytest.mark.parametrize("backend", BACKENDS)
def test_random_axes_agree_with_ref(backend, axes, c, turned, double):
    dtype = np.dtype(np.float64 if double else np.float32)
    bands = [(transposed_band if turned else band)(*a, dtype) for a in axes]
    before, after = [[a[i] for a in axes] for i in ((2, 1) if turned else (1, 2))]
    rng = np.random.default_rng(3)
    x = rng.standard_normal((2, *before, c)).astype(dtype)
    got, want = np.full((2, *after, c), np.nan, dtype), np.empty((2, *after, c), dtype)
    ref.resample(want, x, *bands)
    with registry.using(backend, "ref"):
        registry.family("resample").resample(got, x, *bands)
    scale = np.abs(want).max() + 1
    np.testing.assert_allclose(got / scale, want / scale, rtol=0, atol=1e-13 if double else 2e-6)


@settings(max_examples=200)
@given(axis=axes())
def test_transposed_bands_are_adjoint(axis):
    """<B x, y> = <x, B' y>, and rows of B sum to one."""
    _, n, out, _, _ = axis
    matrix, turned = np.zeros((out, n)), np.zeros((n, out))
    for dense, make in ((matrix, band), (turned, transposed_band)):
        first, offset, weight = make(*axis, np.dtype(np.float64))
        for o, i in enumerate(first):
            row = weight[offset[o] : offset[o + 1]]
            dense[o, i : i + len(row)] = row
    np.testing.assert_array_equal(matrix, turned.T)
    np.testing.assert_allclose(matrix.sum(1), 1, rtol=1e-12)


@settings(max_examples=60)
@given(
    shape=st.lists(st.integers(1, 7), min_size=2, max_size=4),
    amounts=st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=4, max_size=4),
    mode=st.sampled_from(["constant", "reflect", "replicate", "circular"]),
    last=st.booleans(),
)
def test_random_pads_agree_with_numpy(shape, amounts, mode, last):
    most = [n - 1 if mode == "reflect" else n for n in shape]
    axes = range(len(shape)) if mode == "constant" else range(1, len(shape))
    amounts = [(min(p, m), min(q, m)) if i in axes else (0, 0) for i, ((p, q), m) in enumerate(zip(amounts, most))]
    a = np.random.default_rng(4).standard_normal(shape).astype(np.float32)
    want = np.pad(a, amounts, {"replicate": "edge", "circular": "wrap"}.get(mode, mode))
    x = nnrt.from_numpy(np.ascontiguousarray(a.T).T if last else a)
    got = F.pad(x, [p for i in reversed(axes) for p in amounts[i]], mode)
    np.testing.assert_array_equal(got.numpy(), want)


@settings(max_examples=60)
@given(
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    dilation=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    padding=st.tuples(st.integers(0, 9), st.integers(0, 9)),
    stride=st.tuples(st.integers(1, 4), st.integers(1, 4)),
)
def test_fold_is_the_adjoint_of_unfold(size, kernel, dilation, padding, stride):
    """Also against the blocks cut from a padded image."""
    geometry = dict(kernel_size=kernel, dilation=dilation, padding=padding, stride=stride)
    blocks = [(n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, d, p, s in zip(size, *geometry.values())]
    rng = np.random.default_rng(5)
    x = rng.standard_normal((2, 3, *size))
    if min(blocks) < 1:
        with pytest.raises(RuntimeError, match="leaves no block"):
            F.unfold(nnrt.from_numpy(x), **geometry)
        return
    wide = np.pad(x, [(0, 0), (0, 0), *[(p, p) for p in padding]])
    want = np.empty((2, 3, *kernel, *blocks))
    for i, j, h, w in np.ndindex(*kernel, *blocks):
        want[:, :, i, j, h, w] = wide[:, :, h * stride[0] + i * dilation[0], w * stride[1] + j * dilation[1]]
    columns = F.unfold(nnrt.from_numpy(x), **geometry).numpy()
    np.testing.assert_array_equal(columns, want.reshape(columns.shape))
    y = rng.standard_normal(columns.shape)
    folded = F.fold(nnrt.from_numpy(y), size, **geometry).numpy()
    np.testing.assert_allclose((columns * y).sum(), (x * folded).sum(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic", "area"])
def test_results_do_not_depend_on_threads(mode):
    rng, results = np.random.default_rng(6), []
    a = rng.standard_normal((2, 70, 30, 70)).astype(np.float32)
    before = nnrt.get_num_threads()
    try:
        for threads in (1, 2, 3):
            nnrt.set_num_threads(threads)
            x = nnrt.from_numpy(a).requires_grad_()
            y = F.interpolate(x, (41, 133), mode=mode)
            y.backward(y.detach())
            results.append((y.detach().numpy(), x.grad.numpy()))
    finally:
        nnrt.set_num_threads(before)
    for y, dx in results[1:]:
        np.testing.assert_array_equal(y, results[0][0])
        np.testing.assert_array_equal(dx, results[0][1])


@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
@pytest.mark.parametrize("align_corners", [False, True])
def test_the_identitys_grid_shows_the_image_itself(mode, align_corners):
    x = nnrt.randn(2, 3, 5, 6)
    theta = nnrt.tensor([[[1.0, 0, 0], [0, 1, 0]]] * 2)
    grid = F.affine_grid(theta, (2, 3, 5, 6), align_corners)
    y = F.grid_sample(x, grid, mode, "border", align_corners)
    np.testing.assert_allclose(y.numpy(), x.numpy(), atol=1e-5)


@pytest.mark.parametrize("padding_mode", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
def test_places_that_are_no_numbers_are_harmless(mode, padding_mode):
    grid = nnrt.tensor([[[[np.nan, 0.0], [np.inf, 0.0], [-np.inf, 1e30], [0.0, 0.0]]]])
    y = F.grid_sample(nnrt.ones(1, 2, 3, 3), grid, mode, padding_mode)
    assert y.shape == (1, 2, 1, 4) and (y[..., 3].numpy() == 1).all()
    assert np.allclose(y[..., 0].numpy(), padding_mode != "zeros", atol=1e-6)


@pytest.mark.parametrize("backend", ["ref", *BACKENDS])
def test_places_far_outside_are_mirrored(backend):
    """What is not finite becomes the first pixel, as torch has it for images."""
    x, places = nnrt.arange(1.0, 6).reshape(1, 1, 1, 5), [np.inf, -np.inf, np.nan, 1e7, 1e30, -3.4]
    grid = nnrt.tensor([[[[g, 0.0] for g in places]]], requires_grad=True)
    with registry.using(backend, "ref"):
        y = F.grid_sample(x, grid, "bilinear", "reflection", align_corners=False)
        y.sum().backward()
    np.testing.assert_allclose(y.detach().numpy().ravel(), [1, 1, 1, 2.5, 4.5, 4.5], atol=1e-5)
    assert (grid.grad[0, 0, :3] == 0).all() and grid.grad.isfinite().all()


def test_nothing_leaks_into_other_pixels():
    """A NaN stays where weights reach; the nearest pixel keeps its bits."""
    x = nnrt.zeros(1, 1, 4, 4)
    x[0, 0, 0, 0] = float("nan")
    assert np.isnan(F.interpolate(x, scale_factor=2).numpy()).sum() == 4
    assert np.isnan(F.interpolate(x, (2, 2), mode="area").numpy()).sum() == 1
    assert np.isnan(F.interpolate(x, (7, 7), mode="bilinear", align_corners=True).numpy()).sum() == 4
    assert np.signbit(F.interpolate(-nnrt.zeros(1, 1, 3), scale_factor=2).numpy()).all()


@pytest.mark.parametrize("backend", ["ref", *BACKENDS])
def test_areas_may_come_to_nothing(backend):
    with registry.using(backend, "ref"):
        x = nnrt.randn(2, 3, 4, 5, requires_grad=True)
        y = F.interpolate(x, (0, 2), mode="area")
        y.sum().backward()
    assert y.shape == (2, 3, 0, 2) and (x.grad.numpy() == 0).all()
