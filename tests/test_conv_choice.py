"""Convolutions: which algorithm a shape takes, and that all algorithms agree."""

import itertools

import numpy as np
import pytest

import nnrt
import nnrt.nn.functional as F
from nnrt import config
from nnrt.ops._conv_choice import choose_conv, possible
from nnrt.ops._geometry import conv_geometry

# x, w, options: forward with a filter that stays, input's gradient and filter's gradient of a training step
CHOICES = [
    ((8, 64, 56, 56), (64, 64, 3, 3), dict(padding=1), "winograd4 winograd4 winograd4"),
    ((8, 256, 14, 14), (256, 256, 3, 3), dict(padding=1), "winograd4 winograd4 winograd4"),
    ((8, 512, 7, 7), (512, 512, 3, 3), dict(padding=1), "winograd4 winograd4 winograd4"),
    ((8, 512, 4, 4), (512, 512, 3, 3), dict(padding=1), "winograd4 winograd2 winograd2"),
    ((1, 512, 7, 7), (512, 512, 3, 3), dict(padding=1), "winograd2 columns columns"),
    ((8, 512, 2, 2), (512, 512, 3, 3), dict(padding=1), "winograd2 columns columns"),
    ((8, 256, 4, 4), (512, 256, 3, 3), dict(padding=1, stride=2), "direct columns columns"),
    ((4, 256, 4, 4), (256, 256, 4, 4), dict(padding=1, stride=2), "direct columns columns"),
    ((16, 64, 32, 32), (128, 64, 4, 4), dict(padding=1, stride=2), "winograd4 winograd4 winograd4"),
    ((16, 256, 8, 8), (512, 256, 4, 4), dict(padding=1, stride=2), "winograd2 winograd2 winograd2"),
    ((16, 3, 64, 64), (64, 3, 4, 4), dict(padding=1, stride=2), "direct columns direct"),
    ((16, 64, 32, 32), (128, 64, 4, 4), dict(padding=1, stride=(2, 1)), "direct direct direct"),
    ((1, 256, 7, 7), (256, 256, 3, 3), dict(padding=1), "winograd4 winograd2 winograd2"),
    ((1, 256, 14, 14), (256, 256, 3, 3), dict(padding=1), "winograd4 winograd2 winograd2"),
    ((1, 128, 14, 14), (128, 128, 3, 3), dict(padding=1), "winograd4 winograd4 winograd4"),
    ((1, 16, 32, 32), (16, 16, 3, 3), dict(padding=1), "winograd4 winograd4 winograd4"),
    ((8, 64, 2, 2), (64, 64, 3, 3), dict(padding=1), "winograd2 winograd2 winograd2"),
    ((8, 16, 14, 14), (32, 16, 3, 3), dict(padding=1), "winograd4 winograd4 winograd4"),
    ((8, 3, 32, 32), (16, 3, 3, 3), dict(padding=1), "direct winograd4 direct"),
    ((8, 1, 28, 28), (16, 1, 5, 5), dict(padding=2), "direct columns direct"),
    ((8, 64, 56, 56), (64, 64, 3, 3), dict(padding=1, stride=2), "winograd4 winograd4 winograd4"),
    ((8, 16, 32, 32), (32, 16, 3, 3), dict(padding=1, stride=2), "direct direct direct"),
    ((8, 64, 56, 56), (64, 64, 3, 3), dict(padding=2, dilation=2), "winograd4 winograd4 winograd4"),
    ((8, 64, 28, 28), (64, 64, 3, 3), dict(padding=(1, 7), dilation=(3, 2)), "winograd4 winograd4 winograd4"),
    ((8, 64, 28, 28), (64, 64, 5, 5), dict(padding=4, dilation=2), "winograd2 winograd2 winograd2"),
    ((8, 64, 28, 28), (64, 64, 3, 3), dict(padding=9, dilation=9), "direct direct direct"),
    ((8, 64, 56, 56), (64, 64, 5, 5), dict(padding=2), "winograd2 winograd2 winograd2"),
    ((8, 64, 56, 56), (8, 64, 5, 5), dict(padding=2), "direct direct direct"),
    ((8, 64, 28, 28), (64, 64, 4, 4), dict(padding=1), "winograd3 winograd3 winograd3"),
    ((8, 3, 224, 224), (64, 3, 7, 7), dict(padding=3, stride=2), "winograd3 columns winograd3"),
    ((8, 3, 224, 224), (16, 3, 7, 7), dict(padding=3, stride=2), "direct direct direct"),
    ((1, 3, 224, 224), (64, 3, 11, 11), dict(padding=2, stride=4), "winograd4 columns winograd4"),
    ((8, 32, 56, 56), (64, 32, 5, 5), dict(padding=2, stride=2), "winograd4 direct winograd4"),
    ((8, 64, 56, 56), (128, 64, 1, 1), dict(), "pointwise pointwise pointwise"),
    ((8, 64, 56, 56), (10, 64, 1, 1), dict(), "direct pointwise pointwise"),
    ((8, 64, 56, 56), (128, 64, 1, 1), dict(stride=2), "direct pointwise pointwise"),
    ((8, 16, 56, 56), (128, 16, 1, 1), dict(stride=2), "direct direct pointwise"),
    ((8, 64, 56, 56), (128, 64, 1, 1), dict(padding=1), "direct direct direct"),
    ((8, 64, 56, 56), (64, 1, 3, 3), dict(padding=1, groups=64), "depthwise depthwise depthwise"),
    ((8, 64, 56, 56), (128, 1, 3, 3), dict(stride=2, groups=64), "depthwise depthwise depthwise"),
    ((8, 64, 56, 56), (64, 8, 3, 3), dict(padding=1, groups=8), "depthwise depthwise depthwise"),
    ((8, 64, 56, 56), (64, 16, 3, 3), dict(padding=1, groups=4), "winograd4 winograd4 direct"),
    ((8, 1024, 7, 7), (1024, 32, 3, 3), dict(padding=1, groups=32), "winograd4 winograd4 winograd4"),
    ((1, 1024, 7, 7), (1024, 32, 3, 3), dict(padding=1, groups=32), "winograd4 winograd4 direct"),
    ((8, 96, 28, 28), (96, 32, 3, 3), dict(padding=1, groups=3), "winograd4 winograd4 winograd4"),
    ((8, 60, 14, 14), (105, 20, 3, 3), dict(padding=(2, 0), groups=3, dilation=(1, 2)), "winograd4 winograd4 direct"),
    ((8, 12, 56, 56), (96, 4, 3, 3), dict(padding=1, groups=3), "direct depthwise direct"),
    ((8, 1, 4000), (1, 1, 63), dict(padding=31), "depthwise depthwise direct"),
    ((8, 1, 4000), (1, 1, 1024), dict(padding=31), "fft fft direct"),
    ((8, 16, 4000), (16, 16, 127), dict(), "direct direct direct"),
    ((8, 16, 4000), (16, 16, 128), dict(), "fft fft direct"),
    ((8, 16, 4000), (16, 16, 256), dict(), "fft fft fft"),
    ((8, 16, 4000), (16, 16, 256), dict(stride=2), "direct direct direct"),
    ((8, 512, 4000), (512, 512, 256), dict(), "direct direct direct"),
    ((8, 64, 8, 20, 20), (64, 64, 1, 3, 3), dict(padding=(0, 1, 1)), "winograd4 winograd4 winograd4"),
    ((8, 64, 8, 20, 20), (64, 64, 3, 3, 3), dict(padding=1), "direct direct direct"),
    ((8, 32, 8, 20, 20), (64, 32, 1, 1, 1), dict(), "pointwise pointwise pointwise"),
    ((0, 64, 56, 56), (64, 64, 3, 3), dict(padding=1), "direct direct direct"),
]
# the same with vectors of 16 elements
WIDE_CHOICES = [
    ((8, 64, 56, 56), (64, 64, 3, 3), dict(padding=1), "winograd4 winograd4 winograd4"),
    ((8, 256, 28, 28), (256, 8, 3, 3), dict(padding=1, groups=32), "depthwise depthwise depthwise"),
    ((8, 512, 14, 14), (512, 16, 3, 3), dict(padding=1, groups=32), "rows rows rows"),
    ((8, 512, 28, 28), (512, 16, 3, 3), dict(padding=1, groups=32), "rows rows rows"),
    ((3, 512, 14, 14), (512, 16, 3, 3), dict(padding=1, groups=32), "rows rows rows"),
    ((1, 512, 14, 14), (512, 16, 3, 3), dict(padding=1, groups=32), "rows rows rows"),
    ((1, 512, 6, 6), (512, 16, 3, 3), dict(padding=1, groups=32), "rows rows depthwise"),
    ((1, 512, 56, 56), (512, 16, 3, 3), dict(padding=1, groups=32), "rows rows winograd4"),
    ((1, 256, 56, 56), (256, 16, 3, 3), dict(padding=1, groups=16), "rows rows rows"),
    ((8, 48, 14, 14), (48, 16, 3, 3), dict(padding=1, groups=3), "rows rows depthwise"),
    ((8, 112, 14, 14), (112, 16, 3, 3), dict(padding=1, groups=7), "rows rows rows"),
    ((8, 512, 14, 14), (512, 16, 3, 3), dict(padding=1, groups=32, stride=2), "direct direct direct"),
    ((8, 512, 14, 14), (512, 16, 3, 3), dict(padding=2, groups=32, dilation=2), "direct direct rows"),
    ((1, 1024, 7, 7), (1024, 32, 3, 3), dict(padding=1, groups=32), "rows rows depthwise"),
    ((8, 1024, 7, 7), (1024, 32, 3, 3), dict(padding=1, groups=32), "winograd4 winograd4 winograd4"),
    ((1, 192, 7, 7), (192, 48, 3, 3), dict(padding=1, groups=4), "winograd4 winograd4 winograd2"),
    ((64, 3, 32, 32), (32, 3, 3, 3), dict(padding=1), "rows columns rows"),
    ((64, 1, 28, 28), (32, 1, 5, 5), dict(padding=2), "direct columns rows"),
    ((64, 3, 32, 32), (32, 3, 3, 3), dict(padding=1, dilation=2), "direct columns direct"),
    ((64, 3, 32, 32), (32, 3, 3, 3), dict(), "rows columns direct"),
    ((64, 3, 34, 34), (48, 3, 3, 3), dict(), "rows columns rows"),
    ((64, 3, 32, 32), (16, 3, 3, 3), dict(padding=1), "rows winograd4 direct"),
    ((2, 3, 32, 32), (32, 3, 3, 3), dict(padding=1), "rows columns direct"),
    ((2, 3, 32, 32), (64, 3, 3, 3), dict(padding=1), "rows columns rows"),
    ((2, 4, 32, 32), (8, 4, 3, 3), dict(padding=1), "rows winograd4 direct"),
    ((64, 3, 32, 32), (8, 3, 4, 4), dict(padding=1), "direct winograd3 direct"),
    ((64, 1, 64, 64), (2, 1, 6, 6), dict(stride=2), "direct direct direct"),
    ((64, 16, 32, 32), (16, 16, 3, 3), dict(padding=1), "rows rows winograd4"),
    ((64, 16, 32, 32), (32, 16, 3, 3), dict(padding=1), "winograd4 winograd4 winograd4"),
    ((64, 1, 28, 28), (32, 1, 3, 3), dict(padding=1), "direct columns rows"),
    ((64, 1, 28, 28), (32, 1, 5, 5), dict(), "direct columns rows"),
    ((64, 1, 18, 18), (32, 1, 5, 5), dict(), "direct columns direct"),
]
TASKS = (("forward", False), ("input", True), ("filter", True))


def geometry(x, w, **options):
    full = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1, **options}
    return conv_geometry("test", len(w) - 2, x, w, None, *full.values())


@pytest.mark.parametrize("x, w, options, want", CHOICES, ids=str)
def test_the_algorithm_is_chosen_by_shape(x, w, options, want):
    g, float32 = geometry(x, w, **options), np.dtype(np.float32)
    assert [choose_conv(task, g, float32, once=once) for task, once in TASKS] == want.split()
    strict = [choose_conv(task, g, float32, precision="strict", once=once) for task, once in TASKS]
    assert not any("winograd" in how or how in ("rows", "fft") for how in strict)
    for task, once in TASKS:
        assert choose_conv(task, g, float32, conv="direct", once=once) == "direct"
        for how in ("winograd2", "winograd3", "winograd4", "rows", "pointwise", "depthwise", "columns", "fft"):
            forced = choose_conv(task, g, float32, conv=how, once=once)
            assert forced in (how, choose_conv(task, g, float32, once=once))


@pytest.mark.parametrize("x, w, options, want", WIDE_CHOICES, ids=str)
def test_groups_and_first_layers_take_wide_vectors(x, w, options, want):
    g, float32 = geometry(x, w, **options), np.dtype(np.float32)
    assert [choose_conv(task, g, float32, once=once, vector=16) for task, once in TASKS] == want.split()
    for task, once in TASKS:
        assert choose_conv(task, g, float32, precision="strict", once=once, vector=16) in ("direct", "depthwise", "columns")
        assert choose_conv(task, g, np.dtype(np.float64), once=once, vector=16) != "rows"


def test_explain_says_what_ran_and_what_would():
    with config.use(precision="strict"):  # forgets what ran before
        x = nnrt.ones(2, 16, 9, 9, requires_grad=True)
        F.conv2d(x, nnrt.ones(32, 16, 3, 3), padding=1).sum().backward()
        first, *rest = nnrt.explain("conv2d").split("\n")
        assert first.startswith("conv2d (2, 16, 9, 9) * (32, 16, 3, 3), padding=1, float32: forward direct (conv.conv, ")
        assert "input's gradient direct (conv.conv_transposed, " in first and "filter" not in first and not rest
        assert nnrt.explain("conv3d") == "no conv3d has run yet with these settings"
    text = nnrt.explain("conv2d", (8, 64, 56, 56), (64, 64, 3, 3), padding=1)
    assert text.count("winograd4 (winograd.conv, ") == 2 and "filter's gradient winograd4 (winograd.filter_backward" in text
    text = nnrt.explain("conv_transpose2d", (8, 64, 9, 9), (64, 8, 3, 3), stride=2, output_padding=1)
    assert "output_padding=1" in text and "forward columns (linear.gemm, " in text
    assert "fft (numpy.fft)" in nnrt.explain("conv1d", (8, 16, 4000), (16, 16, 256))
    with pytest.raises(TypeError, match="conv2d has no option pading"):
        nnrt.explain("conv2d", (8, 64, 56, 56), (64, 64, 3, 3), pading=1)
    with pytest.raises(RuntimeError, match="conv2d: input of shape"):
        nnrt.explain("conv2d", (8, 32, 56, 56), (64, 64, 3, 3))
    with pytest.raises(RuntimeError, match=r"conv2d: weight must have 4 dimensions .* got shape \(64, 64, 3\)"):
        nnrt.explain("conv2d", (8, 64, 56, 56), (64, 64, 3))
    with pytest.raises(RuntimeError, match=r"fft_conv: weight must have 3, 4 or 5 dimensions, got shape \(3,\)"):
        nnrt.explain("fft_conv", (8, 64), (3,))


@pytest.mark.parametrize("name, taps", [("conv1d", (2,)), ("conv2d", (2, 4)), ("conv2d", (1, 2)), ("conv3d", (2, 1, 4))])
@pytest.mark.parametrize("how", config.CONVS)
def test_filters_reach_behind_the_end_alone(how, name, taps, rng, monkeypatch):
    """padding="same" of 2 taps: nothing in front, an element behind."""
    values = [rng.standard_normal(s) for s in ((2, 16, *(9, 6, 5)[: len(taps)]), (16, 16, *taps), (16,))]
    results = []
    with monkeypatch.context() as patch:  # what is not written is not a number
        patch.setattr("nnrt.memory.empty", lambda shape, dtype=float: np.full(shape, np.nan, dtype))
        for choice in ("direct", how):
            with config.use(conv=choice):
                tensors = [nnrt.tensor(v.astype(np.float32), requires_grad=True) for v in values]
                y = getattr(F, name)(*tensors, padding="same")
                (y * y).sum().backward()
                results.append([y.detach().numpy(), *[t.grad.numpy() for t in tensors]])
    x = np.pad(values[0], [(0, 0), (0, 0), *[((k - 1) // 2, k // 2) for k in taps]])
    seen = np.lib.stride_tricks.sliding_window_view(x, taps, tuple(range(2, x.ndim)))
    want = np.moveaxis(np.tensordot(seen, values[1], ([1, *range(x.ndim, seen.ndim)], [1, *range(2, x.ndim)])), -1, 1)
    want += values[2].reshape(-1, *[1] * len(taps))
    np.testing.assert_allclose(results[0][0], want, rtol=0, atol=2e-5 * abs(want).max())
    for direct, other in zip(*results):
        np.testing.assert_allclose(other, direct, rtol=0, atol=2e-5 * abs(direct).max())


@pytest.mark.parametrize("how", ["winograd2", "winograd3", "winograd4", "depthwise", "columns", "fft", "pointwise"])
def test_every_algorithm_agrees_with_the_direct_one(how, rng):
    for (x, w, options, _), batch in itertools.product(CHOICES, (2, 0)):
        x = (min(x[0], batch), x[1], *[min(n, 9 if len(w) > 3 else 1100) for n in x[2:]])
        if np.prod(w) > 1 << 20 or how not in possible("forward", geometry(x, w, **options), np.dtype(np.float32), "fast"):
            continue
        results = []
        values = [rng.standard_normal(s) for s in (x, w)]
        for choice in ("direct", how):
            with config.use(conv=choice):
                tensors = [nnrt.tensor(v, requires_grad=True) for v in values]
                y = getattr(F, f"conv{len(w) - 2}d")(*tensors, **options)
                (y * y).sum().backward()
                results.append([y.detach().numpy(), *[t.grad.numpy() for t in tensors]])
        for direct, other in zip(*results):
            np.testing.assert_allclose(other, direct, rtol=1e-9, atol=1e-9 * abs(direct).max(initial=0))


@pytest.mark.parametrize("images", [1, 2, 5])
def test_columns_of_few_channels_are_folded_some_images_at_a_time(images, rng, monkeypatch):
    """With a bias, strides and dilations apart along the axes; 5 images in pieces of 2."""
    values = [rng.standard_normal(s) for s in ((images, 24, 3, 6, 5), (24, 3, 2, 4, 3), (3,))]
    monkeypatch.setattr("nnrt.ops._columns.FOLDED", 2 * 3 * 6 * 5 * 72)
    options, results = dict(stride=(1, 2, 3), padding=(1, 2, 0), dilation=(1, 1, 2), output_padding=(0, 1, 2)), []
    for how in ("direct", "columns"):
        with config.use(conv=how):
            tensors = [nnrt.tensor(v, requires_grad=True) for v in values]
            y = F.conv_transpose3d(*tensors, **options)
            (y * y).sum().backward()
            results.append([y.detach().numpy(), *[t.grad.numpy() for t in tensors]])
            assert f"forward in training {how} " in nnrt.explain("conv_transpose3d")
    for direct, other in zip(*results):
        np.testing.assert_allclose(other, direct, rtol=1e-9, atol=1e-9 * abs(direct).max())


@pytest.mark.parametrize(
    "taps, stride, hows",
    [(3, 2, ["winograd2", "winograd4"]), (4, 2, ["winograd2", "winograd4"]), (5, 1, ["winograd2"]), (4, 1, ["winograd3"])],
)
@pytest.mark.parametrize("name", ["conv2d", "conv_transpose2d"])
def test_strided_3x3_4x4_and_5x5_filters_take_winograd(name, taps, stride, hows, rng):
    values = [rng.standard_normal(s).astype(np.float32) for s in ((2, 24, 13, 10), (24, 24, taps, taps), (24,))]
    results = []
    for how in ("direct", *hows):
        with config.use(conv=how):
            tensors = [nnrt.tensor(v, requires_grad=True) for v in values]
            y = getattr(F, name)(*tensors, stride=stride, padding=1)
            (y * y).sum().backward()
            results.append([y.detach().numpy(), *[t.grad.numpy() for t in tensors]])
            assert how in nnrt.explain(name)
    for direct, *others in zip(*results):
        for other in others:
            np.testing.assert_allclose(other, direct, rtol=0, atol=2e-5 * abs(direct).max())
            assert (other != direct).any()


@pytest.mark.parametrize("c, o, groups", [(32, 32, 2), (64, 64, 2), (3, 32, 1), (1, 5, 1), (16, 16, 1)])
@pytest.mark.parametrize("name", ["conv2d", "conv_transpose2d"])
def test_3x3_filters_go_along_rows_alone(name, c, o, groups, rng):
    """With a filter that lies in another order, in training and, twice, without."""
    x, b = (rng.standard_normal(s).astype(np.float32) for s in ((2, c, 13, 10), (o,)))
    w = rng.standard_normal((3, o // groups if "transpose" in name else c // groups, 3, c if "transpose" in name else o))
    narrow = c == 16 * groups if groups > 1 else (o if "transpose" in name else c) <= 4
    results = []
    for how in ("direct", "rows"):
        with config.use(conv=how):
            tensors = [nnrt.tensor(v.astype(np.float32), requires_grad=True) for v in (x, w, b)]
            turned = tensors[1].permute(3, 1, 0, 2)
            y = getattr(F, name)(tensors[0], turned, tensors[2], padding=1, groups=groups)
            (y * y).sum().backward()
            results.append([y.detach().numpy(), *[t.grad.numpy() for t in tensors]])
            with nnrt.no_grad():
                results[-1] += [getattr(F, name)(tensors[0], turned, padding=1, groups=groups).numpy() for _ in range(2)]
            ran = nnrt.explain(name)
            assert f"forward {how} " in ran and f"input's gradient {how} " in ran
            assert ("filter's gradient rows " in ran) == (how == "rows" and narrow)
    for direct, other in zip(*results):
        np.testing.assert_allclose(other, direct, rtol=0, atol=2e-5 * abs(direct).max())
        assert (other != direct).any()


@pytest.mark.parametrize("size", [(9, 50), (5, 11), (48, 48)])
@pytest.mark.parametrize(
    "taps, stride, padding", [((7, 8), 2, (0, 5)), ((5, 6), 2, (7, 1)), ((9, 12), 4, (4, 6)), ((12, 10), 3, (11, 13))]
)
def test_strided_filters_go_over_blocks_of_pixels(size, taps, stride, padding, rng):
    """Blocks that reach over the image's border, wholly or in part."""
    how = f"winograd{7 - -(-taps[0] // stride)}"
    values = [rng.standard_normal(s).astype(np.float32) for s in ((2, 3, *size), (6, 3, *taps))]
    if any(n + 2 * p < k + stride for n, p, k in zip(size, padding, taps)):
        return  # one output: the stride counts for nothing
    results = []
    for choice in ("direct", how):
        with config.use(conv=choice):
            x, w = (nnrt.tensor(v, requires_grad=True) for v in values)
            y = F.conv2d(x, w, stride=stride, padding=padding)
            (y * y).sum().backward()
            results.append([y.detach().numpy(), x.grad.numpy(), w.grad.numpy()])
            assert choice in nnrt.explain("conv2d")
    for direct, other in zip(*results):
        np.testing.assert_allclose(other, direct, rtol=0, atol=2e-5 * abs(direct).max())


def test_fft_conv(torch, rng):
    for x, w, options in [
        ((2, 3, 50), (4, 3, 21), dict(padding=10, dilation=2)),
        ((3, 50), (4, 3, 21), dict(stride=3)),
        ((2, 4, 12, 13), (6, 2, 9, 3), dict(padding=(4, 9), groups=2, stride=(1, 2))),
        ((2, 4, 12, 1), (6, 2, 9, 1), dict(groups=2)),
        ((1, 2, 5, 6, 7), (3, 2, 2, 3, 4), dict(padding="same")),
    ]:
        results = []
        values = [rng.standard_normal(s) for s in (x, w, w[:1])]
        for lib in (nnrt, torch):
            tensors = [lib.tensor(v).requires_grad_() for v in values]
            call = F.fft_conv if lib is nnrt else getattr(torch, f"conv{len(w) - 2}d")
            y = call(*tensors, **options)
            (y * y).sum().backward()
            results.append([y.detach().numpy(), *[t.grad.numpy() for t in tensors]])
        for got, want in zip(*results):
            np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-9)
    y = F.fft_conv(nnrt.ones(1, 1, 100), nnrt.ones(1, 1, 100), nnrt.ones(1))
    assert y.dtype == np.float32 and abs(y.item() - 101) < 1e-3
