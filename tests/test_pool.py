"""Pooling of random shapes against the specification; torch's meaning in the corners; bad input; threads."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nnrt
import nnrt.nn.functional as F
from nnrt import config, nn, registry
from nnrt._ref import pool as ref

K = registry.family("pool")
ONES = (1, 1, 1)


@st.composite
def windows(draw):
    """(x's shape, y's shape, kernel, stride, padding, dilation) that fit each other; kernel None: adaptive."""
    sizes = [draw(st.integers(1, most)) for most in (3, 7, 9)]
    n, c = draw(st.integers(1, 2)), draw(st.sampled_from([1, 3, 7, 8, 9, 31, 32, 41, 64, 70]))
    if draw(st.booleans()):
        out = [draw(st.integers(1, most)) for most in (3, 5, 9)]
        return (n, *sizes, c), (n, *out, c), None, ONES, (0, 0, 0), ONES
    axes = []
    for size in sizes:
        k = draw(st.integers(1, 4))
        d = draw(st.integers(1, 3))
        p = draw(st.integers(0, ((k - 1) * d + 1) // 2))
        s = draw(st.integers(1, 5))
        room = size + 2 * p - (k - 1) * d - 1
        if room < 0:
            k, d, p, room = 1, 1, 0, size - 1
        out = room // s + 1
        if draw(st.booleans()) and room % s and out * s < size + p:  # ceil_mode's last window
            out += 1
        axes.append((out, k, s, p, d))
    out, *geometry = zip(*axes)
    return (n, *sizes, c), (n, *out, c), *geometry


@settings(max_examples=100)
@given(windows(), st.sampled_from([np.float32, np.float64]), st.integers(0, 2**31), st.booleans(), st.booleans())
def test_kernels_agree_with_the_specification(window, dtype, seed, special, include_pad):
    x_shape, y_shape, *geometry = window
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(x_shape).astype(dtype)
    odd = x.copy()
    if special:
        odd[rng.random(x_shape) < 0.2] = np.nan
        odd[rng.random(x_shape) < 0.5] = -np.inf
    dy = rng.standard_normal(y_shape).astype(dtype)
    wide = np.prod(ref.taps(x_shape, y_shape, geometry[0])) > 256
    tol = dict(rtol=1e-5, atol=2e-5)
    results = []
    for kernels in (ref, K):
        y, mean = np.full((2, *y_shape), np.nan, dtype)
        dx, dmean = np.full((2, *x_shape), np.nan, dtype)
        at, index = np.full(y_shape, 77, np.int32 if wide else np.uint8), np.full(y_shape, -1)
        kernels.max_pool(y, at, odd, *geometry)
        kernels.max_pool_backward(dx, dy, at, *geometry)
        kernels.max_index(index, at, x_shape, *geometry)
        kernels.avg_pool(mean, x, *geometry[:3], include_pad, None)
        kernels.avg_pool_backward(dmean, dy, *geometry[:3], include_pad, None)
        results.append((y, at, index, dx, mean, dmean))
    (y, at, index, *sums), (y2, at2, index2, *sums2) = results
    np.testing.assert_array_equal(y2, y)
    np.testing.assert_array_equal(at2, at)
    np.testing.assert_array_equal(index2, index)
    if geometry[3] == ONES or geometry[0] is None:
        for got, want in zip(sums2, sums):
            np.testing.assert_allclose(got, want, **tol)
    else:  # the average knows no dilation
        np.testing.assert_allclose(sums2[0], sums[0], **tol)


@pytest.mark.parametrize("shape", [(3, 40, 23, 31), (1, 300, 9, 9), (1, 8, 1, 70000)])
def test_results_are_bit_equal_at_any_number_of_threads(shape, rng):
    a = rng.standard_normal(shape).astype(np.float32)

    def results():
        x = nnrt.from_numpy(a).requires_grad_(True)
        wide = (1, 3) if shape[2] == 1 else 3
        pad = (0, 1) if shape[2] == 1 else 1
        outs = [F.max_pool2d(x, wide, 2, pad), F.avg_pool2d(x, wide, 1, pad), F.adaptive_avg_pool2d(x, 1)]
        sum([(y * y).sum() for y in outs]).backward()
        return [y.detach().numpy().tobytes() for y in outs] + [x.grad.numpy().tobytes()]

    with config.use(num_threads=1):
        one = results()
    for threads in (2, 5):
        with config.use(num_threads=threads):
            assert results() == one


def test_large_results_bypass_the_caches_unchanged(rng):
    a = rng.standard_normal((2, 64, 400, 180), dtype=np.float32)
    a = np.ascontiguousarray(a.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    x = nnrt.from_numpy(a).requires_grad_(True)
    y = F.max_pool2d(x, 2)
    blocks = a.reshape(2, 64, 200, 2, 90, 2)
    np.testing.assert_array_equal(y.detach().numpy(), blocks.max((3, 5)))
    y.backward(y.detach())
    want = np.where(blocks == blocks.max((3, 5), keepdims=True), blocks, 0).reshape(a.shape)
    np.testing.assert_array_equal(x.grad.numpy(), want)


@pytest.mark.parametrize("memory", ["nchw", "nhwc", "gaps"])
def test_any_memory_order(memory, rng, torch):
    a = rng.standard_normal((2, 5, 6, 7)).astype(np.float32)
    if memory == "nhwc":
        a = np.ascontiguousarray(a.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    if memory == "gaps":
        a = np.repeat(a, 2, 3)[..., ::2]
    b = torch.from_numpy(a.copy())
    for name, args in (("max_pool2d", (3, 2, 1)), ("avg_pool2d", (3, 2, 1)), ("adaptive_avg_pool2d", (4,))):
        x, z = nnrt.from_numpy(a).requires_grad_(True), b.clone().requires_grad_(True)
        y, want = getattr(F, name)(x, *args), getattr(torch.nn.functional, name)(z, *args)
        np.testing.assert_allclose(y.detach().numpy(), want.detach().numpy(), rtol=1e-5, atol=1e-6)
        y.backward(y.detach())
        want.backward(want.detach())
        np.testing.assert_allclose(x.grad.numpy(), z.grad.numpy(), rtol=1e-5, atol=1e-6)


def test_nan_and_equal_values_are_as_in_torch(torch):
    rows = [[1, np.nan, 3, np.nan, 5], [2, 2, 2, 2, 2], [-np.inf] * 5, [0, -0.0, np.inf, np.inf, 1]]
    a = np.array(rows, np.float32)[None]
    for channels in (1, 9, 32):  # by single values, with an overlap, by fours
        b = np.repeat(a, channels, 0)
        got = F.max_pool1d(nnrt.from_numpy(b), 3, 1, 1, return_indices=True)
        want = torch.nn.functional.max_pool1d(torch.from_numpy(b), 3, 1, 1, return_indices=True)
        for g, w in zip(got, want):
            np.testing.assert_array_equal(g.numpy(), w.numpy())


def test_windows_far_larger_than_the_image():
    x = nnrt.ones(1, 1, 3, 4, requires_grad=True)
    kernel, padding = 2**31 - 1, 2**30 - 1
    y = F.max_pool2d(x.detach(), kernel, 1, padding)
    np.testing.assert_array_equal(y.numpy(), np.ones((1, 1, 3, 4)))
    F.avg_pool2d(x, kernel, 1, padding, count_include_pad=False).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), np.ones((1, 1, 3, 4)), rtol=1e-6)


def test_a_window_of_zeros_has_no_gradient_in_a_p_norm(torch):
    a = np.array([0, 0, 0, 0, 3, 4, -1, 0], np.float32).reshape(1, 1, 2, 4)
    for p in (1, 2, 3.5):
        x, z = nnrt.tensor(a, requires_grad=True), torch.tensor(a, requires_grad=True)
        F.lp_pool2d(x.abs(), p, (1, 2)).sum().backward()
        torch.nn.functional.lp_pool2d(z.abs(), p, (1, 2)).sum().backward()
        np.testing.assert_allclose(x.grad.numpy(), z.grad.numpy(), rtol=1e-6)


def test_images_without_channels(torch):
    a = np.zeros((2, 0, 4, 4), np.float32)
    for library in (torch, nnrt):
        f, x = library.nn.functional, library.tensor(a, requires_grad=True)
        ys = f.adaptive_avg_pool2d(x, 3), f.grid_sample(x, library.zeros(2, 3, 5, 2), align_corners=False)
        assert [tuple(y.shape) for y in ys] == [(2, 0, 3, 3), (2, 0, 3, 5)]
    sum(y.sum() for y in ys).backward()
    assert x.grad.shape == a.shape


def test_unpool_inverts_pool(rng):
    x = nnrt.from_numpy(rng.standard_normal((2, 3, 7, 9)))
    y, index = F.max_pool2d(x, 2, return_indices=True)
    back = F.max_unpool2d(y, index, 2, output_size=x.shape)
    assert back.shape == x.shape
    np.testing.assert_array_equal(back.numpy()[back.numpy() != 0], x.numpy()[back.numpy() != 0])
    assert np.count_nonzero(back.numpy()) == y.numel()


@pytest.mark.parametrize("dims", [2, 3])
def test_fractional_layers(dims, rng, torch):
    a, samples = rng.standard_normal((2, 3, *(9,) * dims)), rng.random((2, 3, dims))
    a[0, 0, 0, ..., :3] = np.nan
    a[1] = np.round(a[1])
    name, args = f"FractionalMaxPool{dims}d", dict(kernel_size=2, output_ratio=0.7, return_indices=True)
    got = getattr(nn, name)(**args, _random_samples=nnrt.from_numpy(samples))(nnrt.from_numpy(a))
    want = getattr(torch.nn, name)(**args, _random_samples=torch.from_numpy(samples))(torch.from_numpy(a))
    for g, w in zip(got, want):
        np.testing.assert_array_equal(g.numpy(), w.numpy())


def test_fractional_windows_are_drawn_anew(rng):
    x = nnrt.from_numpy(rng.standard_normal((1, 1, 50, 50)))
    layer = nn.FractionalMaxPool2d(2, output_size=30)
    one, other = layer(x).numpy(), layer(x).numpy()
    assert one.shape == (1, 1, 30, 30) and (one != other).any()
    nnrt.manual_seed(3)
    one = layer(x).numpy()
    nnrt.manual_seed(3)
    np.testing.assert_array_equal(layer(x).numpy(), one)


def test_integers(torch):
    a = np.arange(24).reshape(1, 2, 3, 4)[..., ::-1].copy()
    got = F.max_pool2d(nnrt.from_numpy(a), 2, 1, 1, return_indices=True)
    want = torch.nn.functional.max_pool2d(torch.from_numpy(a), 2, 1, 1, return_indices=True)
    for g, w in zip(got, want):
        np.testing.assert_array_equal(g.numpy(), w.numpy())


def test_indices_changed_after_the_forward_pass_are_noticed():
    x = nnrt.ones(1, 1, 4, 4, requires_grad=True)
    y, index = F.max_pool2d(x, 2, return_indices=True)
    back = F.max_unpool2d(y, index, 2)
    index += 1
    with pytest.raises(RuntimeError, match="max_unpool: saved argument .* was changed in place"):
        back.sum().backward()


X = nnrt.ones(2, 3, 6, 6)
INDEX = nnrt.tensor(np.zeros((2, 3, 6, 6), np.int64))
BAD = {
    "dimensions": (lambda: F.max_pool2d(nnrt.ones(6, 6), 2), RuntimeError, r"max_pool2d: wants 4 dim.*\(6, 6\)"),
    "more": (lambda: F.avg_pool1d(X, 2), RuntimeError, "avg_pool1d: wants 3 dimensions, or 2 without a batch"),
    "array": (lambda: F.max_pool2d(np.ones((1, 1, 2, 2)), 2), TypeError, "max_pool2d"),
    "kernel": (lambda: F.max_pool2d(X, 0), RuntimeError, "max_pool2d: kernel_size must be at least 1, got 0"),
    "kernels": (lambda: F.max_pool2d(X, (2, 2, 2)), TypeError, r"kernel_size must be an int or 2 of them, got \(2"),
    "float": (lambda: F.max_pool2d(X, 2.5), TypeError, "max_pool2d: kernel_size must be an int or 2 of them, got 2.5"),
    "stride": (lambda: F.avg_pool2d(X, 2, (1, 0)), RuntimeError, r"avg_pool2d: stride must be at least 1, got \(1, 0\)"),
    "dilation": (lambda: F.max_pool2d(X, 2, dilation=0), RuntimeError, "max_pool2d: dilation must be at least 1, got 0"),
    "negative": (lambda: F.max_pool2d(X, 2, padding=-1), RuntimeError, "max_pool2d: padding must be at least 0, got -1"),
    "padding": (lambda: F.max_pool2d(X, 2, padding=2), RuntimeError, r"padding \(2, 2\) is more than half of .*\(2, 2\)"),
    "dilated": (lambda: F.max_pool1d(X[0], 2, padding=2, dilation=3), RuntimeError, "more than half of kernel_size"),
    "large": (lambda: F.max_pool2d(X, 7), RuntimeError, r"max_pool2d: input .*6\) is too small for kernel_size \(7, 7\)"),
    "deep": (lambda: F.avg_pool3d(X, 7, 1, 3), RuntimeError, r"avg_pool3d: input .*6\) is smaller than kernel_size \(7, 7, 7\)"),
    "deep norm": (lambda: F.lp_pool3d(X, 2, 4, 5, True), RuntimeError, r"lp_pool3d: input .* is smaller than kernel_size \(4, 4"),
    "huge kernel": (lambda: F.avg_pool2d(X, 2**62, 1, 2**61), RuntimeError, r"kernel_size must be below 2\*\*31, got 4611"),
    "huge windows": (lambda: F.max_pool3d(X, 2**31 - 1, 1, 2**30 - 1), RuntimeError, "max_pool3d: windows of .* are too large"),
    "huge output": (lambda: F.adaptive_avg_pool2d(X, 2**40), RuntimeError, "adaptive_avg_pool2d: the result's shape .* beyond"),
    "divisors": (lambda: F.avg_pool2d(X, 2, divisor_override=1.5), TypeError, "divisor_override must be an int or None, got 1.5"),
    "norm": (lambda: F.lp_pool2d(X, "2", 2), TypeError, "lp_pool2d: norm_type must be a number, got '2'"),
    "no norm": (lambda: F.lp_pool2d(X, 0, 2), ZeroDivisionError, "lp_pool2d: norm_type must not be 0"),
    "output type": (lambda: F.max_unpool2d(X, INDEX, 2, output_size=12), TypeError, "output_size must be a tuple of ints, got 1"),
    "divisor": (lambda: F.avg_pool2d(X, 2, divisor_override=0), RuntimeError, "avg_pool2d: divisor_override must not be zero"),
    "empty": (lambda: F.max_pool2d(nnrt.ones(2, 0, 4, 4), 2), RuntimeError, "max_pool2d: no dimension but the batch"),
    "bool": (lambda: F.max_pool2d(X > 0, 2), RuntimeError, "max_pool2d: wants a numeric tensor, got bool"),
    "integers": (lambda: F.avg_pool2d(X.int(), 2), RuntimeError, "avg_pool2d: wants a floating tensor, got int32"),
    "adaptive": (lambda: F.adaptive_avg_pool2d(X, -1), RuntimeError, "adaptive_avg_pool2d: output_size must not be negative"),
    "sizes": (lambda: F.adaptive_max_pool2d(X, (1, 2, 3)), TypeError, "adaptive_max_pool2d: output_size must be an int, None"),
    "fraction": (lambda: F.fractional_max_pool2d(X, 3, 5), RuntimeError, r"windows \(3, 3\) are too large for \(5, 5\) of them"),
    "no fraction": (lambda: F.fractional_max_pool2d(X, 2), ValueError, "wants an output_size or an output_ratio"),
    "small fraction": (lambda: F.fractional_max_pool2d(X, 2, None, 0.1), RuntimeError, "output_ratio 0.1 makes no output"),
    "samples": (lambda: F.fractional_max_pool2d(X, 2, 3, None, False, X), RuntimeError, r"_random_samples must .*\(2, 3, 2\)"),
    "sampled": (lambda: F.fractional_max_pool2d(X, 2, 3, None, False, X[..., 0, :2] + 1), RuntimeError, "within 0 and 1"),
    "two fractions": (lambda: nn.FractionalMaxPool3d(2, 3, 0.5), ValueError, "FractionalMaxPool3d: wants one of output_size and"),
    "whole fraction": (lambda: nn.FractionalMaxPool2d(2, None, 1.0), ValueError, "output_ratio must be between 0 and 1"),
    "index": (lambda: F.max_unpool2d(X, INDEX + 144, 2), RuntimeError, r"max_unpool2d: index 144 .* size \(12, 12\)"),
    "below": (lambda: F.max_unpool2d(X, INDEX - 1, 2), RuntimeError, "max_unpool2d: index -1 lies outside"),
    "index type": (lambda: F.max_unpool2d(X, X, 2), RuntimeError, "max_unpool2d: indices must be int64"),
    "index shape": (lambda: F.max_unpool2d(X, INDEX[:1], 2), RuntimeError, "max_unpool2d: indices must be int64"),
    "output": (lambda: F.max_unpool2d(X, INDEX, 2, output_size=(14, 12)), ValueError, r"\(14, 12\) must differ .*\(12, 12\)"),
    "no output": (lambda: F.max_unpool2d(X, INDEX, 2, 1, 4), RuntimeError, r"output of size \(-1, -1\) is too small"),
}


@pytest.mark.parametrize("id", BAD)
def test_bad_input(id):
    call, error, text = BAD[id]
    with pytest.raises(error, match=text):
        call()


@pytest.mark.parametrize("pool", [F.adaptive_avg_pool3d, F.adaptive_max_pool3d])
def test_an_empty_output_of_any_length_is_no_work(pool):
    x = nnrt.ones(1, 2, 3, 4, 5, requires_grad=True)
    y = pool(x, (2**50, 0, 2))
    assert y.shape == (1, 2, 2**50, 0, 2)
    y.sum().backward()
    assert x.grad.tolist() == nnrt.zeros(1, 2, 3, 4, 5).tolist()


def test_the_gradient_of_a_leaf_is_channels_last_and_not_copied():
    for shape in ((2, 3, 4, 6), (1, 1, 4, 4), (3, 4, 6), (0, 3, 4, 4)):
        x = nnrt.ones(*shape, requires_grad=True)
        for y in (F.max_pool2d(x, 2), F.avg_pool2d(x, 2)):
            x.grad = None
            y.sum().backward()
            g = x.grad.numpy()
            assert g.shape == shape and np.moveaxis(g, -3, -1).flags.c_contiguous


@pytest.mark.parametrize("shape", [(2, 64, 30, 31), (3, 1000, 40), (1, 8, 16, 16, 17)], ids=str)
def test_means_of_large_images(shape, rng):
    values = rng.standard_normal(shape)
    x = nnrt.tensor(values, requires_grad=True)
    y = getattr(F, f"adaptive_avg_pool{len(shape) - 2}d")(x, 1)
    axes = tuple(range(2, len(shape)))
    np.testing.assert_allclose(y.detach().numpy(), values.mean(axes, keepdims=True), rtol=1e-12, atol=1e-14)
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), np.full(shape, 1 / np.prod(shape[2:])))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "shape", [(2, 1, 1, 1, 32), (1, 1, 2, 2, 32), (2, 1, 3, 5, 32), (1, 1, 7, 20, 16), (1, 4, 5, 9, 32), (2, 1, 4, 5, 24)]
)
@pytest.mark.parametrize("include_pad, divisor", [(True, None), (False, None), (True, 5)])
def test_means_of_three_by_three_with_stride_one(shape, include_pad, divisor, dtype):
    """They have a kernel of their own for AVX-512, both ways."""
    kernels = registry.family("pool")
    x, dy = (np.random.default_rng(i).standard_normal(shape).astype(dtype) for i in range(2))
    deep = 3 if shape[1] > 1 else 1
    geometry = (deep, 3, 3), (1, 1, 1), (deep // 2, 1, 1), include_pad, divisor
    for name, value in (("avg_pool", x), ("avg_pool_backward", dy)):
        got, want = np.full(shape, np.nan, dtype), np.empty(shape, dtype)
        getattr(kernels, name)(got, value, *geometry)
        getattr(ref, name)(want, value, *geometry)
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)
