"""Convolutions: bad input, layers, memory orders; and random shapes against the specification."""

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nnrt
import nnrt.nn.functional as F
from nnrt import config, nn, registry
from nnrt.ops._conv_fused import Fused
from nnrt.ops._layout import as_nchw, channels_last
from nnrt.ops.conv import fused


def ones(*shape, dtype=np.float32):
    return nnrt.ones(*shape, dtype=dtype)


X, W, T = ones(2, 3, 8, 8), ones(4, 3, 3, 3), ones(3, 4, 3, 3)

BAD = {
    "input rank": (lambda: F.conv2d(ones(3, 3), W), r"conv2d: input must be \[N, C, H, W\] or \[C, H, W\], got shape \(3, 3\)"),
    "weight rank": (lambda: F.conv2d(X, ones(4, 3, 3)), r"4 dimensions \[O, C/groups, kH, kW\], got shape \(4, 3, 3\)"),
    "channels": (lambda: F.conv2d(ones(2, 5, 8, 8), W), r"input of shape \(2, 5, 8, 8\) has 5 channels; weight .* wants 3"),
    "groups": (lambda: F.conv2d(X, W, groups=2), "has 3 channels; weight .* groups = 2 wants 6"),
    "groups of O": (lambda: F.conv2d(X, ones(4, 1, 3, 3), groups=3), r"\(4, 1, 3, 3\) .* divisible by groups = 3"),
    "no groups": (lambda: F.conv2d(X, W, groups=0), "groups must be positive, got 0"),
    "no outputs": (lambda: F.conv2d(X, ones(0, 3, 3, 3)), r"weight of shape \(0, 3, 3, 3\)"),
    "empty filter": (lambda: F.conv2d(X, ones(4, 3, 0, 3)), r"weight of shape \(4, 3, 0, 3\) has an axis without elements"),
    "empty image": (lambda: F.conv2d(ones(1, 3, 0, 8), W, padding=2), r"\(1, 3, 0, 8\) has a spatial axis without"),
    "large filter": (lambda: F.conv2d(ones(2, 3, 2, 9), W), r"reaches over \(3, 3\) elements .* more than the input's \(2, 9\)"),
    "large dilation": (lambda: F.conv2d(X, W, dilation=2**62), "reaches over"),
    "stride 0": (lambda: F.conv2d(X, W, stride=0), "stride must be positive, got 0"),
    "stride -1": (lambda: F.conv2d(X, W, stride=(1, -1)), r"stride must be positive, got \(1, -1\)"),
    "three strides": (lambda: F.conv2d(X, W, stride=(1, 1, 1)), r"stride must be one int or 2, .* H, W, got \(1, 1, 1\)"),
    "no strides": (lambda: F.conv2d(X, W, stride=()), r"stride must be one int or 2, .* got \(\)"),
    "dilation 0": (lambda: F.conv2d(X, W, dilation=0), "dilation must be positive"),
    "padding -1": (lambda: F.conv2d(X, W, padding=-1), "padding must be at least 0, got -1"),
    "padding text": (lambda: F.conv2d(X, W, padding="full"), "padding must be 'same', 'valid', .* got 'full'"),
    "same stride": (lambda: F.conv2d(X, W, stride=2, padding="same"), r"padding='same' wants stride 1, got \(2, 2\)"),
    "padding 2**40": (lambda: F.conv2d(X, W, padding=2**40), r"padding must be below 2\*\*31"),
    "result 2**63": (lambda: F.conv3d(ones(1, 3, 2, 2, 2), ones(1, 3, 1, 1, 1), padding=2**30), "beyond what memory can address"),
    "dtypes": (lambda: F.conv2d(X, W.double()), "must all be float32 or all float64, got input float32, weight float64"),
    "bias dtype": (lambda: F.conv2d(X, W, ones(4).double()), "got input float32, weight float32, bias float64"),
    "integers": (lambda: F.conv2d(X.long(), W.long()), "must all be float32 or all float64, got input int64, weight int64"),
    "bias size": (lambda: F.conv2d(X, W, ones(3)), r"bias must have shape \(4,\) for weight .* got \(3,\)"),
    "bias rank": (lambda: F.conv2d(X, W, ones(4, 1)), r"bias must have shape \(4,\) for weight .* got \(4, 1\)"),
    "transposed channels": (lambda: F.conv_transpose2d(ones(2, 5, 8, 8), T), r"5 channels; weight .*\(3, 4, 3, 3\) .* wants 3"),
    "transposed groups": (lambda: F.conv_transpose2d(X, T, groups=2), "divisible by groups = 2"),
    "transposed bias": (lambda: F.conv_transpose2d(X, T, ones(4), groups=3), r"bias must have shape \(12,\)"),
    "output padding": (lambda: F.conv_transpose2d(X, T, output_padding=1), r"smaller than stride or dilation, got \(1, 1\)"),
    "output padding -1": (lambda: F.conv_transpose2d(X, T, stride=2, output_padding=-1), "output_padding must be at least 0"),
    "transposed padding": (lambda: F.conv_transpose2d(X, T, padding=6), r"padding \(6, 6\) leaves nothing .* \(-2, -2\)"),
    "transposed to nothing": (lambda: F.conv_transpose2d(X, T, padding=5), r"padding \(5, 5\) leaves nothing .* \(0, 0\)"),
    "transposed empty": (lambda: F.conv_transpose2d(ones(1, 3, 0, 8), T), "a spatial axis without elements"),
    "transposed 2**63": (lambda: F.conv_transpose2d(X, T, stride=2**62), "beyond what memory can address"),
    "residual": (lambda: fused(X, W, residual=ones(2, 4, 8, 8)), r"residual must be float32 of .* \(2, 4, 6, 6\)"),
    "fused gradient": (lambda: fused(X, nn.Parameter(W)), "fused: has no gradient"),
    "fused rank": (lambda: fused(X, ones(3, 3)), r"fused: weight must have 3, 4 or 5 dimensions, got shape \(3, 3\)"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_named(name):
    call, message = BAD[name]
    for _ in range(2):
        with pytest.raises(RuntimeError, match=message):
            call()


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: F.conv2d([1.0], W), "conv2d: input must be a Tensor, got list"),
        (lambda: F.conv2d(X, None), "conv2d: weight must be a Tensor, got None"),
        (lambda: fused(X, W, residual=3), "fused: residual must be a Tensor, got int"),
        (lambda: F.conv2d(X, W, [1.0]), "conv2d: bias must be a Tensor, got list"),
        (lambda: F.conv2d(X, W, stride=1.0), "conv2d: stride must be an int or a tuple of ints, got 1.0"),
        (lambda: F.conv2d(X, W, stride=True), "stride must be an int or a tuple of ints, got True"),
        (lambda: F.conv2d(X, W, padding=(1.0, 1)), r"padding must be an int or a tuple of ints, got \(1.0, 1\)"),
        (lambda: F.conv2d(X, W, dilation=None), "dilation must be an int or a tuple of ints, got None"),
        (lambda: F.conv2d(X, W, groups=1.0), "groups must be an int, got 1.0"),
        (lambda: F.conv_transpose2d(X, T, padding="same"), "padding must be an int or a tuple of ints, got 'same'"),
        (lambda: nn.Conv2d(3, 4, 3.0), "Conv2d: kernel_size must be an integer or a tuple of them, got 3.0"),
        (lambda: nn.Conv2d(3.0, 4, 3), "Conv2d: in_channels must be an integer, got float"),
        (lambda: nn.ConvTranspose2d(3, 4, 3, padding="same"), "ConvTranspose2d: padding must be numbers, got 'same'"),
    ],
)
def test_other_types_are_named(call, message):
    F.conv2d(X, W, padding=(1, 1))  # what is remembered of these must not let (1.0, 1) pass
    F.conv2d(X, W, groups=1)
    with pytest.raises(TypeError, match=message):
        call()


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: nn.Conv2d(3, 4, 3, groups=2), "in_channels = 3 must be divisible by groups = 2"),
        (lambda: nn.Conv2d(4, 3, 3, groups=2), "out_channels = 3 must be divisible by groups = 2"),
        (lambda: nn.LazyConv2d(3, 3, groups=2), "out_channels = 3 must be divisible by groups = 2"),
        (lambda: nn.LazyConv2d(4, 3, groups=2)(X), "the input's 3 channels must be divisible by groups = 2"),
        (lambda: nn.Conv2d(3, 4, 3, groups=0), "groups must be positive, got 0"),
        (lambda: nn.Conv2d(-3, 4, 3), "in_channels must not be negative"),
        (lambda: nn.Conv2d(2**40, 2**40, 3), r"Conv2d: its weight of shape \(1099511627776, 1099511627776, 3, 3\)"),
        (lambda: nn.Conv2d(3, 4, (3, 3, 3)), "kernel_size must be one integer or 2"),
        (lambda: nn.Conv2d(3, 4, 0), "kernel_size must be positive"),
        (lambda: nn.Conv2d(3, 4, 3, padding="full"), "padding must be 'same', 'valid' or numbers, got 'full'"),
        (lambda: nn.Conv2d(3, 4, 3, 2, padding="same"), "padding='same' wants stride 1"),
        (lambda: nn.Conv2d(3, 4, 3, padding_mode="mirror"), "padding_mode must be one of zeros, .* got 'mirror'"),
        (lambda: nn.ConvTranspose2d(3, 4, 3, padding_mode="reflect"), "padding_mode can only be 'zeros'"),
        (lambda: nn.ConvTranspose2d(3, 4, 3, 2)(X, (19, 18)), r"output_size \(19, 18\) is not between \[17, 17\] and \[18, 18\]"),
        (lambda: nn.ConvTranspose2d(3, 4, 3, 2)(X, (4, 18, 18)), "output_size must have 2 or 4 numbers"),
    ],
)
def test_bad_layers_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_output_size_chooses_among_the_sizes():
    layer = nn.ConvTranspose2d(3, 4, 3, stride=2)
    assert layer(X, (17, 18)).shape == (2, 4, 17, 18)
    assert layer(X, output_size=(2, 4, 18, 17)).shape == (2, 4, 18, 17)
    assert layer(X[0], (18, 18)).shape == (4, 18, 18)


def test_results_lie_channels_last_and_sums_over_nothing_are_the_bias():
    y = F.conv2d(X, W, padding=1)
    assert y.is_contiguous(memory_format=nnrt.channels_last) and y.shape == (2, 4, 8, 8)
    assert F.conv1d(ones(2, 3, 8), ones(4, 3, 3)).stride() == (24, 1, 4)
    for groups in (1, 2, 4):
        x, w, b = ones(1, 0, 5, 5), ones(4, 0, 3, 3), nnrt.arange(4.0)
        y = F.conv2d(x.requires_grad_(), w.requires_grad_(), b.requires_grad_(), groups=groups)
        assert y.shape == (1, 4, 3, 3) and y[0, :, 1, 2].tolist() == [0, 1, 2, 3]
        y.sum().backward()
        assert x.grad.shape == x.shape and w.grad.shape == w.shape and b.grad.tolist() == [9] * 4


def test_a_huge_stride_takes_the_first_output():
    np.testing.assert_allclose(F.conv2d(X, W, stride=2**62).numpy(), np.full((2, 4, 1, 1), 27.0), rtol=1e-5)


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("channels, outputs, groups", [(1, 1, 1), (16, 16, 1), (3, 8, 1), (8, 8, 8), (32, 32, 2)])
def test_taps_that_look_beside_the_input_need_no_memory(dims, channels, outputs, groups, rng):
    """Where torch answers: of filters dilated by a billion one tap meets x, or two; of others none."""
    far, size, k = 1 << 30, (12,) * dims, 3

    def pair(*shape):
        a = rng.standard_normal(shape)
        return nnrt.tensor(a).requires_grad_(), nnrt.tensor(a).requires_grad_()

    for name, shape in (("conv", (outputs, channels // groups)), ("conv_transpose", (channels, outputs // groups))):
        conv = getattr(F, f"{name}{dims}d")
        (x, x1), (w, w1), (b, b1) = pair(2, channels, *size), pair(*shape, *(k,) * dims), pair(outputs)
        y = conv(x, w, b, padding=far, dilation=far, groups=groups)
        y1 = conv(x1, w1[(..., *(slice(1, 2),) * dims)], b1, groups=groups)
        dy = nnrt.tensor(rng.standard_normal(y1.shape))
        y.backward(dy), y1.backward(dy)
        for a, a1 in ((y, y1), (x.grad, x1.grad), (w.grad, w1.grad), (b.grad, b1.grad)):
            np.testing.assert_allclose(a.detach(), a1.detach(), atol=1e-12)
    (x, x1), (w, w1) = pair(2, channels, *(200,) + (1,) * (dims - 1)), pair(outputs, channels // groups, 9, *(1,) * (dims - 1))
    conv, rest = getattr(F, f"conv{dims}d"), (0,) * (dims - 1)
    y = conv(x, w, padding=(4 * 90, *rest), dilation=(90, *(1,) * (dims - 1)), groups=groups)
    y1 = conv(x1, w1[:, :, 2:7], padding=(2 * 90, *rest), dilation=(90, *(1,) * (dims - 1)), groups=groups)
    y.sum().backward(), y1.sum().backward()
    for a, a1 in ((y, y1), (x.grad, x1.grad), (w.grad, w1.grad)):
        np.testing.assert_allclose(a.detach(), a1.detach(), atol=1e-12)
    y = conv(x, nnrt.ones(1 if groups == 1 else groups, channels // groups, 2, *(1,) * (dims - 1), dtype="float64"),
             nnrt.ones(groups, dtype="float64"), padding=(far, *rest), dilation=(2 * far - 1, *(1,) * (dims - 1)),
             stride=(200, *(1,) * (dims - 1)), groups=groups)  # fmt: skip
    assert y.shape[2] == 2 and float(y.detach().sum()) == 2 * y.shape[1] * 2  # both taps look beside x: the bias is left


@pytest.mark.parametrize("activation", [None, "relu", "gelu", "gelu_tanh", "tanh", "sigmoid", "silu"])
@pytest.mark.parametrize("k", [1, 3])
def test_fused_is_the_composition(activation, k, rng):
    x, w, b, r = (nnrt.tensor(rng.standard_normal(s)) for s in ((2, 5, 6, 7), (20, 5, k, k), (20,), (2, 20, 6, 7)))
    y = F.conv2d(x, w, b, padding=k // 2) + r
    if activation:
        y = F.gelu(y, approximate="tanh") if activation == "gelu_tanh" else getattr(F, activation)(y)
    got = fused(x, w, b, padding=k // 2, activation=activation, residual=r)
    np.testing.assert_allclose(got.numpy(), y.numpy(), rtol=1e-9, atol=1e-11)
    with nnrt.no_grad():
        got = fused(x[0], nn.Parameter(w), b, padding=k // 2, activation=activation, residual=r[0])
    np.testing.assert_allclose(got.numpy(), y[0].numpy(), rtol=1e-9, atol=1e-11)


def test_fused_again_notices_whatever_is_different(rng):
    again, made = Fused((1, 1), (1, 1), (1, 1), 1), [0]

    def right(x, w, b, residual=None):
        made[0] += 1
        with nnrt.no_grad():
            got = again.run(x, (w, b), "relu", residual)
            want = fused(x, w, b, padding=1, activation="relu", residual=residual)
        assert got.dtype == x.dtype
        np.testing.assert_array_equal(got.numpy(), want.numpy(), err_msg=f"call {made[0]}")
        assert got.ndim == 3 or got.is_contiguous(memory_format=nnrt.channels_last)

    x, y, w, b = (nnrt.tensor(rng.standard_normal(s)) for s in ((2, 5, 6, 7), (2, 9, 6, 7), (9, 5, 3, 3), (9,)))
    for _ in range(2):
        right(x, w, b)
        right(x.contiguous(memory_format=nnrt.channels_last), w, b, y)
    right(x[:1], w, b)
    right(x[0], w, b)
    right(x, w, None)
    w.mul_(2)
    right(x, w, b)
    right(x, w.clone(), b)
    with nnrt.no_grad(), pytest.raises(RuntimeError, match="residual"):
        again.run(x, (w, b), None, y[:1])
    with nnrt.no_grad(), pytest.raises(RuntimeError, match="float32"):
        again.run(x.float(), (w, b), None)
    with pytest.raises(RuntimeError, match="no gradient"):
        again.run(x.requires_grad_(), (w, b), None)
    same = copy.deepcopy(again)
    assert same.options == again.options and same.known[0] is None


@pytest.mark.parametrize("shape", [(2, 3, 4), (2, 3, 4, 5), (2, 3, 4, 5, 6), (1, 1, 1, 1), (0, 3, 4, 5), (2, 0, 4, 5)])
def test_channels_last_and_back(shape, rng):
    n, c, *spatial = shape
    plain = rng.standard_normal(shape)
    last = np.moveaxis(np.ascontiguousarray(np.moveaxis(plain, 1, -1)), -1, 1)
    wider = rng.standard_normal((*shape[:-1], shape[-1] + 1))[..., :-1]
    for a in (plain, last, wider, wider[..., ::-1]):
        y = channels_last(a)
        assert y.shape == (n, *(1,) * (3 - len(spatial)), *spatial, c) and y.flags.c_contiguous
        back = as_nchw(y, len(shape))
        np.testing.assert_array_equal(back, a)
        assert a is not last or a.size == 0 or np.shares_memory(back, a)


def test_backward_notices_a_changed_input_or_weight():
    for changed in (0, 1):
        x, w = nnrt.ones(1, 3, 5, 5, requires_grad=True), nnrt.ones(2, 3, 3, 3, requires_grad=True)
        y = F.conv2d(x, w).sum()
        (x, w)[changed].detach().mul_(2)
        with pytest.raises(RuntimeError, match="changed in place"):
            y.backward()


@pytest.mark.parametrize("name, shape", [("1d", (2, 6, 9)), ("2d", (2, 6, 7, 8)), ("3d", (2, 6, 4, 5, 6))])
@pytest.mark.parametrize("kind", ["Conv", "ConvTranspose"])
def test_lazy_layers(kind, name, shape):
    plain = getattr(nn, kind + name)
    for unbatched in (False, True):
        layer = getattr(nn, "Lazy" + kind + name)(4, 3, stride=2, padding=1, groups=2, dtype=nnrt.float64)
        assert repr(layer) == repr(plain(6, 4, 3, 2, 1, groups=2)).replace("(6, 4", "(0, 4").replace(kind, "Lazy" + kind, 1)
        layer = pickle.loads(pickle.dumps(layer))
        parameter = layer.weight
        y = layer(nnrt.ones(*shape[unbatched:], dtype=nnrt.float64))
        assert type(layer) is plain and layer.weight is parameter and layer.in_channels == 6
        assert layer.weight.shape == plain(6, 4, 3, groups=2).weight.shape and layer.weight.any()
        assert y.dtype == np.float64 and y.ndim == len(shape) - unbatched
    with pytest.raises(RuntimeError, match=f"Lazy{kind}{name}: input must have"):
        getattr(nn, f"Lazy{kind}{name}")(4, 3)(nnrt.ones(3))


def test_layers_start_as_torchs_do():
    nnrt.manual_seed(0)
    for layer in (nn.Conv2d(40, 300, 3), nn.ConvTranspose2d(300, 40, 3), nn.Conv2d(80, 300, 3, groups=2)):
        for p in (layer.weight, layer.bias):
            values = p.detach().numpy()
            bound = 1 / np.sqrt(layer.weight.shape[1] * 9)
            assert 0.9 * bound < abs(values).max() <= bound
        assert abs(layer.weight.detach().numpy().std() - bound / np.sqrt(3)) < 0.02 * bound
    assert nn.Conv2d(0, 4, 3)(ones(1, 0, 5, 5)).shape == (1, 4, 3, 3)


@settings(max_examples=150)
@given(data=st.data())
def test_random_shapes_agree_with_the_specification(data):
    """Every back-end's kernels through the ops, whatever algorithm the shape takes, against the sum over taps."""

    def draw(least, most):
        return data.draw(st.integers(least, most))

    dims, transposed = draw(1, 3), data.draw(st.booleans())
    dtype = data.draw(st.sampled_from([np.float32, np.float64]))
    groups = data.draw(st.sampled_from([1, 1, 1, 2, 3, 5]))
    c, o = groups * draw(1, 20), groups * draw(1, 36)
    k, stride, dilation = ([draw(1, most) for _ in range(dims)] for most in (5, 4, 3))
    padding = [draw(0, 4) for _ in range(dims)]
    reach = [d * (n - 1) + 1 for d, n in zip(dilation, k)]
    size = [max(1, r - 2 * p) + draw(0, (40, 12, 6)[dims - 1]) for r, p in zip(reach, padding)]
    if transposed:
        padding = [min(p, ((n - 1) * s + r - 1) // 2) for p, n, s, r in zip(padding, size, stride, reach)]
    rng = np.random.default_rng(draw(0, 2**32))
    options = dict(stride=tuple(stride), padding=tuple(padding), dilation=tuple(dilation), groups=groups)
    x = rng.standard_normal((draw(0, 3), c, *size)).astype(dtype)
    w = rng.standard_normal((c, o // groups, *k) if transposed else (o, c // groups, *k)).astype(dtype)
    b = rng.standard_normal(o).astype(dtype) if data.draw(st.booleans()) else None
    call = getattr(F, f"conv{'_transpose' * transposed}{dims}d")
    results = []
    for order, conv in ((registry.order(), data.draw(st.sampled_from(config.CONVS))), (("ref",), "direct")):
        with registry.using(*order), config.use(conv=conv):
            tensors = [None if v is None else nnrt.tensor(v, requires_grad=True) for v in (x, w, b)]
            y = call(*tensors, **options)
            y.backward(nnrt.tensor(np.random.default_rng(1).standard_normal(y.shape).astype(dtype)))
            results.append([y.detach().numpy(), *[t.grad.numpy() for t in tensors if t is not None]])
    tol = 2e-4 if dtype == np.float32 else 1e-10
    for got, want in zip(*results):
        np.testing.assert_allclose(got, want, rtol=tol, atol=tol * (1 + abs(want).max(initial=0)))


def test_a_gradient_that_bypasses_the_caches_is_that_of_its_images():
    """From 16 MB on."""
    nnrt.manual_seed(0)
    x, w = nnrt.randn(2, 16, 264, 512), nnrt.randn(16, 1, 3, 3)
    options = {"stride": 2, "padding": 1, "groups": 16}
    dy = nnrt.randn(2, 16, 132, 256)

    def gradient(x, dy):
        x = x.contiguous(memory_format=nnrt.channels_last).detach().requires_grad_()
        F.conv2d(x, w, **options).backward(dy)
        return x.grad.numpy()

    whole = gradient(x, dy)
    for i in range(2):
        np.testing.assert_array_equal(whole[i : i + 1], gradient(x[i : i + 1], dy[i : i + 1]))
