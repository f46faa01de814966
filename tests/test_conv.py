"""Convolutions: bad input, the filters that weights keep packed, layers; and random shapes against the specification."""

import copy
import gc
import itertools
import pickle
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nnrt
import nnrt.nn.functional as F
from nnrt import config, nn, registry
from nnrt.ops._conv_choice import choose_conv, possible
from nnrt.ops._conv_fused import Fused
from nnrt.ops._geometry import conv_geometry
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
        (lambda: F.conv2d(X, None), "conv2d: .*must be a Tensor"),
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
    F.conv2d(X, W, padding=(1, 1))  # what is remembered of it must not let (1.0, 1) pass
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
    y = F.conv2d(ones(1, 0, 5, 5), ones(4, 0, 3, 3), nnrt.arange(4.0))
    assert y.shape == (1, 4, 3, 3) and y[0, :, 1, 2].tolist() == [0, 1, 2, 3]


def test_a_huge_stride_takes_the_first_output():
    np.testing.assert_allclose(F.conv2d(X, W, stride=2**62).numpy(), np.full((2, 4, 1, 1), 27.0), rtol=1e-5)


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


# ---- packed filters ----


@pytest.fixture
def packs(monkeypatch):
    """How many filters were packed: a list that grows."""
    from nnrt.ops import _conv_products as ops

    made = []
    pack = ops.K.pack_filter

    def counted(*args):
        made.append(args)
        pack(*args)

    monkeypatch.setattr(ops.K, "pack_filter", counted)
    with config.use(conv="direct"):
        yield made


def test_a_weight_is_packed_until_it_is_used_twice_between_changes(packs):
    layer = nn.Conv2d(3, 4, 3)
    with nnrt.no_grad():
        y = layer(X)
        layer(X), F.conv2d(X, layer.weight), F.conv2d(X, layer.weight, stride=2)
        assert len(packs) == 2
        layer.weight.mul_(2)
        z = layer(X)
        assert len(packs) == 3
        layer(X), layer(X)
        assert len(packs) == 4
        b = layer.bias.view(-1, 1, 1)
        np.testing.assert_allclose((z - b).numpy(), 2 * (y - b).numpy(), rtol=1e-4)
        F.conv2d(ones(2, 6, 8, 8), nnrt.cat([layer.weight, layer.weight], 1)), F.conv2d(X, layer.weight * 1)
        assert len(packs) == 6
    for made in (7, 8, 8):  # forward kept, backward made
        layer(nnrt.ones(2, 3, 8, 8, requires_grad=True)).sum().backward()
        assert len(packs) == made


def test_a_training_step_keeps_no_packed_filter():
    layer = nn.Conv2d(64, 64, 3, padding=1)
    x = nnrt.ones(1, 64, 9, 9, requires_grad=True)
    with config.use(conv="direct"):
        for _ in range(2):
            layer.weight.grad = x.grad = None
            gc.collect()  # what earlier tests left would go meanwhile
            nnrt.memory.empty_cache()  # and larger blocks that were kept count in full
            before = nnrt.memory.stats().get("allocated", 0)
            y = layer(x)
            y.sum().backward()
            del y
            made = layer.weight.nbytes + layer.bias.nbytes + x.nbytes  # gradients
            assert nnrt.memory.stats().get("allocated", 0) - before < 1.3 * made
            with nnrt.no_grad():
                layer.weight.mul_(1.0)


def test_a_weight_that_lies_channels_last_is_kept(packs):
    layer = nn.Conv2d(3, 4, 3)
    layer.weight.data = layer.weight.data.contiguous(memory_format=nnrt.channels_last)
    with nnrt.no_grad():
        y = layer(X)
        assert not layer.weight.array.flags.c_contiguous
        for _ in range(2):
            np.testing.assert_array_equal(layer(X).numpy(), y.numpy())
        assert len(packs) == 2


def load(layer):
    layer.load_state_dict({"weight": layer.weight + 1})


def step(layer):
    layer.weight.grad = nnrt.ones_like(layer.weight)
    nnrt.optim.SGD([layer.weight], lr=1.0, maximize=True).step()


def sourced(layer):
    source = layer.weight.detach().clone()
    layer.weight.data = source
    layer(ones(1, 16, 8, 8)), layer(ones(1, 16, 8, 8))
    return source


CHANGES = {
    "in place": lambda layer: layer.weight.add_(1),
    "through a view": lambda layer: layer.weight.view(-1).add_(1),
    "detached": lambda layer: layer.weight.detach().add_(1),
    "data": lambda layer: layer.weight.data.add_(1),
    "set data": lambda layer: setattr(layer.weight, "data", layer.weight.detach() + 1),
    "item by item": lambda layer: layer.weight.detach().__setitem__(..., layer.weight + 1),
    "optimiser": step,
    "state": load,
    "numpy": lambda layer: np.add(layer.weight.detach().numpy(), 1, out=layer.weight.detach().numpy()),
    "dlpack": lambda layer: np.from_dlpack(layer.weight.detach()).__iadd__(1),
    "data's source": lambda layer: sourced(layer).add_(1),
    "copy_": lambda layer: layer.weight.copy_(layer.weight + 1),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("choice", ["auto", "direct"])
def test_every_change_of_a_weight_is_noticed(change, k, choice):
    with nnrt.no_grad(), config.use(conv=choice):
        layer = nn.Conv2d(16, 16, k, bias=False)
        x = ones(1, 16, 8, 8)
        before = layer(x)
        layer(x)  # its filter is kept
        CHANGES[change](layer)
        np.testing.assert_allclose((layer(x) - before).numpy(), np.full(before.shape, 16 * k * k), rtol=1e-3)


def test_memory_that_numpy_shares_is_packed_every_time(packs):
    shared = np.ones((4, 3, 3, 3), np.float32)
    lent = nn.Conv2d(3, 4, 3, bias=False)
    view = lent.weight.detach().numpy()
    with nnrt.no_grad():
        given = nn.Parameter(ones(1))
        given.data = shared
        lent_too = nn.Parameter(ones(1))
        lent_too.data = nnrt.from_numpy(shared.transpose(0, 1, 3, 2))
        weights = (nn.Parameter(shared), nnrt.from_numpy(shared), given, lent_too)
        for weight, memory in (*[(w, shared) for w in weights], (lent.weight, view)):
            before = F.conv2d(X, weight)
            F.conv2d(X, weight)
            memory += 1
            np.testing.assert_allclose((F.conv2d(X, weight) - before).numpy(), np.full(before.shape, 27), rtol=1e-4)


def test_another_backend_packs_anew(rng):
    layer = nn.Conv2d(5, 20, 3)
    x = nnrt.tensor(rng.standard_normal((2, 5, 9, 10)), dtype=nnrt.float32)
    with nnrt.no_grad(), config.use(conv="direct"):
        results = []
        for backend in (*registry.available(), *registry.available()):
            with registry.using(backend, "ref"):
                results += [layer(x).numpy(), layer(x).numpy()]
    for y in results:
        np.testing.assert_allclose(y, results[0], rtol=1e-4, atol=1e-5)


def test_copies_take_no_packed_filters_along():
    layer = nn.Conv2d(3, 4, 3)
    layer(X), layer(X)
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        with nnrt.no_grad():
            other.weight.zero_()
            assert not (other(X) - other.bias.view(-1, 1, 1)).any() and (layer(X) != other(X)).any()


def test_threads_share_a_packed_filter():
    layer = nn.Conv2d(16, 32, 3, padding=1)
    x = nnrt.randn(1, 16, 12, 12)
    want = F.conv2d(x, layer.weight.detach().clone(), layer.bias, padding=1).detach().numpy()
    start, wrong = threading.Barrier(8), []

    def work():
        start.wait()
        for _ in range(20):
            with nnrt.no_grad():
                if not np.array_equal(layer(x).numpy(), want):
                    wrong.append(1)

    threads = [threading.Thread(target=work) for _ in range(8)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert not wrong


def test_backward_notices_a_changed_input_or_weight():
    for changed in (0, 1):
        x, w = nnrt.ones(1, 3, 5, 5, requires_grad=True), nnrt.ones(2, 3, 3, 3, requires_grad=True)
        y = F.conv2d(x, w).sum()
        (x, w)[changed].detach().mul_(2)
        with pytest.raises(RuntimeError, match="changed in place"):
            y.backward()


# ---- layers ----


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


# ---- algorithms ----

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
    ((16, 3, 64, 64), (64, 3, 4, 4), dict(padding=1, stride=2), "direct direct direct"),
    ((16, 64, 32, 32), (128, 64, 4, 4), dict(padding=1, stride=(2, 1)), "direct direct direct"),
    ((1, 256, 7, 7), (256, 256, 3, 3), dict(padding=1), "winograd4 winograd2 winograd2"),
    ((1, 256, 14, 14), (256, 256, 3, 3), dict(padding=1), "winograd4 winograd2 winograd2"),
    ((1, 128, 14, 14), (128, 128, 3, 3), dict(padding=1), "winograd4 winograd4 winograd4"),
    ((1, 16, 32, 32), (16, 16, 3, 3), dict(padding=1), "winograd4 winograd4 winograd4"),
    ((8, 64, 2, 2), (64, 64, 3, 3), dict(padding=1), "winograd2 winograd2 winograd2"),
    ((8, 16, 14, 14), (32, 16, 3, 3), dict(padding=1), "winograd4 winograd4 winograd4"),
    ((8, 3, 32, 32), (16, 3, 3, 3), dict(padding=1), "direct winograd4 direct"),
    ((8, 1, 28, 28), (16, 1, 5, 5), dict(padding=2), "direct direct direct"),
    ((8, 64, 56, 56), (64, 64, 3, 3), dict(padding=1, stride=2), "winograd4 winograd4 winograd4"),
    ((8, 16, 32, 32), (32, 16, 3, 3), dict(padding=1, stride=2), "direct direct direct"),
    ((8, 64, 56, 56), (64, 64, 3, 3), dict(padding=2, dilation=2), "winograd4 winograd4 winograd4"),
    ((8, 64, 28, 28), (64, 64, 3, 3), dict(padding=(1, 7), dilation=(3, 2)), "winograd4 winograd4 winograd4"),
    ((8, 64, 28, 28), (64, 64, 5, 5), dict(padding=4, dilation=2), "winograd2 winograd2 winograd2"),
    ((8, 64, 28, 28), (64, 64, 3, 3), dict(padding=9, dilation=9), "direct direct direct"),
    ((8, 64, 56, 56), (64, 64, 5, 5), dict(padding=2), "winograd2 winograd2 winograd2"),
    ((8, 64, 56, 56), (8, 64, 5, 5), dict(padding=2), "direct direct direct"),
    ((8, 64, 28, 28), (64, 64, 4, 4), dict(padding=1), "winograd3 winograd3 winograd3"),
    ((8, 3, 224, 224), (64, 3, 7, 7), dict(padding=3, stride=2), "winograd3 direct winograd3"),
    ((8, 3, 224, 224), (16, 3, 7, 7), dict(padding=3, stride=2), "direct direct direct"),
    ((1, 3, 224, 224), (64, 3, 11, 11), dict(padding=2, stride=4), "winograd4 direct winograd4"),
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
TASKS = (("forward", False), ("input", True), ("filter", True))


def geometry(x, w, **options):
    full = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1, **options}
    return conv_geometry("test", len(w) - 2, x, w, None, *full.values())


@pytest.mark.parametrize("x, w, options, want", CHOICES, ids=str)
def test_the_algorithm_is_chosen_by_shape(x, w, options, want):
    g, float32 = geometry(x, w, **options), np.dtype(np.float32)
    assert [choose_conv(task, g, float32, once=once) for task, once in TASKS] == want.split()
    strict = [choose_conv(task, g, float32, precision="strict", once=once) for task, once in TASKS]
    assert not any("winograd" in how or how == "fft" for how in strict)
    for task, once in TASKS:
        assert choose_conv(task, g, float32, conv="direct", once=once) == "direct"
        for how in ("winograd2", "winograd3", "winograd4", "pointwise", "depthwise", "columns", "fft"):
            forced = choose_conv(task, g, float32, conv=how, once=once)
            assert forced in (how, choose_conv(task, g, float32, once=once))


def test_explain_says_what_ran_and_what_would():
    with config.use(precision="strict"):  # forgets what ran before
        x = nnrt.ones(2, 16, 9, 9, requires_grad=True)
        F.conv2d(x, ones(32, 16, 3, 3), padding=1).sum().backward()
        first, *rest = nnrt.explain("conv2d").split("\n")
        assert first.startswith("conv2d (2, 16, 9, 9) * (32, 16, 3, 3), padding=1, float32: forward direct (conv.conv, ")
        assert "input's gradient direct (conv.conv_transposed, " in first and "filter" not in first and not rest
        assert nnrt.explain("conv3d") == "no conv3d has run yet"
    text = nnrt.explain("conv2d", (8, 64, 56, 56), (64, 64, 3, 3), padding=1)
    assert text.count("winograd4 (winograd.conv, ") == 2 and "filter's gradient winograd4 (winograd.filter_backward" in text
    text = nnrt.explain("conv_transpose2d", (8, 64, 9, 9), (64, 8, 3, 3), stride=2, output_padding=1)
    assert "output_padding=1" in text and "forward direct (conv.conv_transposed, " in text
    assert "fft (numpy.fft)" in nnrt.explain("conv1d", (8, 16, 4000), (16, 16, 256))
    with pytest.raises(TypeError, match="conv2d has no option pading"):
        nnrt.explain("conv2d", (8, 64, 56, 56), (64, 64, 3, 3), pading=1)
    with pytest.raises(RuntimeError, match="conv2d: input of shape"):
        nnrt.explain("conv2d", (8, 32, 56, 56), (64, 64, 3, 3))


@pytest.mark.parametrize("how", ["winograd2", "winograd3", "winograd4", "depthwise", "columns", "fft", "pointwise"])
def test_every_algorithm_agrees_with_the_direct_one(how, rng):
    for (x, w, options, _), batch in itertools.product(CHOICES, (2, 0)):
        x = (min(x[0], batch), x[1], *[min(n, 9 if len(w) > 3 else 1100) for n in x[2:]])
        if np.prod(w) > 1 << 20 or how not in possible(geometry(x, w, **options), np.dtype(np.float32), "fast"):
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
    y = F.fft_conv(ones(1, 1, 100), ones(1, 1, 100), ones(1))
    assert y.dtype == np.float32 and abs(y.item() - 101) < 1e-3


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
