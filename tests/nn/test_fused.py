"""Convolutions that take the norm and the activation after them along, against the modules one by one."""

import copy
import io
import pickle
import threading

import numpy as np
import pytest

import nnrt
import nnrt.nn.functional as F
from nnrt import config, models, nn
from nnrt.models._layers import rectified
from nnrt.models.googlenet import Inception
from nnrt.models.resnet import Bottleneck, ResNet
from nnrt.nn.fused import fused


def seasoned(model):
    """The model in evaluation mode, with statistics and affine parameters that are not the initial ones."""
    rng = np.random.default_rng(1)
    with nnrt.no_grad():
        for m in model.modules():
            for t in (getattr(m, name, None) for name in ("running_mean", "running_var", "weight", "bias")):
                if t is not None and t.ndim == 1:
                    t.copy_(nnrt.tensor(rng.random(t.shape) + 0.5))
    return model.eval()


def one_by_one(modules, x):
    for module in modules:
        x = one_by_one(module, x) if isinstance(module, nn.Sequential) else module(x)
    return x


def close(got, want):
    """Equal up to the rounding of sums, whose terms are as large as the largest results, also where they cancel."""
    assert got.dtype == want.dtype
    want = want.numpy()
    scale = max(1.0, abs(want).max(initial=0))
    limit = {"rtol": 1e-10, "atol": 1e-12 * scale} if want.dtype == np.float64 else {"rtol": 2e-4, "atol": 2e-5 * scale}
    np.testing.assert_allclose(got.numpy(), want, **limit)


def right(model, x):
    """The model without gradients gives what its modules do; returns whether the first convolution has a norm in it."""
    with nnrt.enable_grad():
        want = one_by_one(model, x.detach().requires_grad_()).detach()
    with nnrt.no_grad():
        for _ in range(3):
            close(model(x), want)
    conv, norm = model[0], model[1]
    held = conv.__dict__.get("_fused")
    if held is None or held.folded is None or held.folded.bias is None:
        return False
    return held.folded.holds((conv.weight, conv.bias, norm.weight, norm.bias, norm.running_mean, norm.running_var), norm.eps)


def trio(dtype=None, bias=False, **options):
    parts = nn.Conv2d(16, 20, 3, padding=1, bias=bias, **options), nn.BatchNorm2d(20), nn.ReLU()
    return seasoned(nn.Sequential(*parts).to(dtype or nnrt.float32))


def row():
    """Convolutions one after the other: the third call finds what two before it have found out of all of them."""
    last = nn.Conv2d(20, 20, 3, padding=1, groups=20), nn.BatchNorm2d(20), nn.SiLU(), nn.Conv2d(20, 6, 1)
    return seasoned(nn.Sequential(*trio(), *last))


def learnt(model):
    (held,) = model._groups[1]
    return held.known is not None


IMAGES = nnrt.randn(2, 16, 9, 8)


@pytest.mark.parametrize("conv", ["auto", "direct", "winograd2", "winograd4", "columns"])
@pytest.mark.parametrize("dtype", [nnrt.float32, nnrt.float64])
def test_each_algorithm_and_dtype(conv, dtype):
    with config.use(conv=conv):
        assert right(trio(dtype, bias=True), IMAGES.to(dtype))


CONVOLUTIONS = {
    "1d": (nn.Conv1d(4, 6, 3, stride=2), nn.BatchNorm1d(6), (2, 4, 9)),
    "3d": (nn.Conv3d(4, 6, 3, dilation=2), nn.BatchNorm3d(6, affine=False), (1, 4, 7, 6, 5)),
    "pointwise": (nn.Conv2d(18, 20, 1), nn.BatchNorm2d(20, eps=0.1), (1, 18, 5, 4)),
    "one pixel": (nn.Conv2d(18, 20, 1), nn.BatchNorm2d(20), (1, 18, 1, 1)),
    "depthwise": (nn.Conv2d(6, 12, 3, groups=6), nn.BatchNorm2d(12, bias=False), (2, 6, 5, 6)),
    "grouped": (nn.Conv2d(32, 32, 3, groups=2, padding="same"), nn.BatchNorm2d(32), (1, 32, 6, 6)),
    "strided": (nn.Conv2d(16, 16, 4, 2, 1), nn.BatchNorm2d(16), (1, 16, 8, 8)),
    "long": (nn.Conv1d(16, 16, 129), nn.BatchNorm1d(16), (1, 16, 300)),
    "empty": (nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6), (0, 4, 5, 5)),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
@pytest.mark.parametrize("act", [None, nn.ReLU(inplace=True), nn.GELU("tanh"), nn.SiLU(), nn.ReLU6()], ids=str)
def test_geometries_and_activations(name, act):
    conv, norm, shape = CONVOLUTIONS[name]
    model = seasoned(nn.Sequential(copy.deepcopy(conv), copy.deepcopy(norm), *([act] if act else [])))
    assert right(model, nnrt.randn(*shape))


@pytest.mark.parametrize("act", [nn.ReLU(), nn.GELU(), nn.Tanh(), nn.Sigmoid(), nn.SiLU()], ids=str)
def test_an_activation_without_a_norm(act):
    model = nn.Sequential(nn.Conv2d(16, 20, 3), nn.Identity(), act, nn.Conv2d(20, 4, 1))
    right(model, IMAGES)
    right(model, IMAGES[0])


@pytest.mark.parametrize("act", [nn.ReLU(), nn.GELU(), nn.GELU("tanh"), nn.Tanh(), nn.Sigmoid(), nn.SiLU()], ids=str)
@pytest.mark.parametrize("shape", [(6,), (1, 6), (5, 6), (2, 3, 6), (0, 6)])
def test_linear_layers(shape, act):
    for bias in (True, False):
        model = nn.Sequential(nn.Linear(6, 7, bias=bias), act, nn.Linear(7, 3))
        right(model, nnrt.randn(*shape))
        right(model.double(), nnrt.randn(*shape, dtype=nnrt.float64))
    calls = []
    with nnrt.no_grad():
        assert len(shape) == 1 or "activation" not in kernels(model, nnrt.randn(*shape, dtype=nnrt.float64))
        with model[0].register_forward_hook(lambda *args: calls.append(args)):
            model(nnrt.randn(*shape, dtype=nnrt.float64))
        assert len(calls) == 1
        for x, what in ((nnrt.randn(2, 5), "linear: input of shape"), (nnrt.randn(2, 6), "linear: arguments must have")):
            with pytest.raises(RuntimeError, match=what):
                model(x)


@pytest.mark.parametrize("shape", [(5, 6), (2, 3, 6), (0, 6)])
def test_a_linear_layer_and_its_relu_in_training(shape):
    for bias in (True, False):
        model = nn.Sequential(nn.Linear(6, 7, bias=bias), nn.ReLU(), nn.Linear(7, 3)).double()
        x = nnrt.randn(*shape, dtype=nnrt.float64, requires_grad=True)
        assert nnrt.autograd.gradcheck(model, (x,))
        wanted = [x, *model.parameters()]
        got = nnrt.autograd.grad(model(x).sum(), wanted)
        for a, b in zip(got, nnrt.autograd.grad(one_by_one(model, x).sum(), wanted)):
            assert np.array_equal(a.numpy(), b.numpy())
    y = model[:2](x)
    with nnrt.no_grad():
        y.add_(1)
    with pytest.raises(RuntimeError, match="changed in place"):
        y.sum().backward()


def test_layouts_of_the_input():
    model = trio()
    assert right(model, IMAGES.contiguous(memory_format=nnrt.channels_last))
    assert right(model, IMAGES.flip(3)[:, :, ::2])
    with nnrt.no_grad():
        model[0].weight.data = model[0].weight.contiguous(memory_format=nnrt.channels_last)
    assert right(model, IMAGES)


def kernels(model, x):
    with nnrt.no_grad(), nnrt.profiler.profile() as p:
        model(x)
    return p.table()


def test_one_kernel_runs_instead_of_three():
    model = nn.Sequential(trio(), nn.Sequential(nn.Conv2d(20, 20, 3), nn.Identity()), seasoned(nn.BatchNorm2d(20)), nn.ReLU())
    names = kernels(model, IMAGES)
    assert "winograd" in names and "normalize" not in names and "relu" not in names
    with nnrt.no_grad():
        close(model(IMAGES), one_by_one(model, IMAGES))
    frozen = trio().requires_grad_(False)
    with nnrt.profiler.profile() as p:
        frozen(IMAGES)
    assert "normalize" not in p.table()
    assert "forward winograd" in nnrt.explain("conv2d")


CHANGES = {
    "a training step": lambda m: step(m),
    "statistics": lambda m: (m.train(), m(IMAGES), m.eval()),
    "weight": lambda m: m[0].weight.mul_(2),
    "a view of weight": lambda m: m[0].weight.view(-1).mul_(2),
    "gamma": lambda m: m[1].weight.add_(1),
    "beta": lambda m: m[1].bias.add_(1),
    "mean": lambda m: m[1].running_mean.add_(1),
    "variance": lambda m: m[1].running_var.add_(1),
    "eps": lambda m: setattr(m[1], "eps", 0.5),
    "stride": lambda m: setattr(m[0], "stride", (2, 1)),
    "another parameter": lambda m: setattr(m[0], "weight", nn.Parameter(nnrt.randn(20, 16, 3, 3))),
    "another buffer": lambda m: setattr(m[1], "running_mean", nnrt.ones(20)),
    "data": lambda m: setattr(m[1].weight, "data", nnrt.ones(20)),
    "a bias": lambda m: setattr(m[0], "bias", nn.Parameter(nnrt.ones(20))),
    "load_state_dict": lambda m: m.load_state_dict(trio().state_dict(), strict=False),
    "initial values": lambda m: (m[0].reset_parameters(), m[1].reset_parameters()),
    "copies through float64": lambda m: m.double().float(),
}


def step(model):
    with nnrt.enable_grad():
        optimizer = nnrt.optim.Adam(model.parameters(), 0.1)
        model.train()(IMAGES).square().sum().backward()
        optimizer.step()
    model.eval()


@pytest.mark.parametrize("make", [trio, row])
@pytest.mark.parametrize("name", CHANGES)
def test_whatever_changes_is_folded_anew(name, make):
    model = make()
    assert right(model, IMAGES)
    with nnrt.no_grad():
        before = model(IMAGES)
        CHANGES[name](model)
        after = model(IMAGES)
    assert before.shape != after.shape or name.startswith("copies") or not np.allclose(before.numpy(), after.numpy())
    assert right(model, IMAGES)


@pytest.mark.parametrize("name", ["weight", "bias", "running_mean", "running_var"])
def test_memory_that_numpy_has_is_watched(name):
    model = trio()
    assert right(model, IMAGES)
    lent = getattr(model[1], name).detach().numpy()
    for _ in range(2):
        lent += 1
        assert right(model, IMAGES)
    lent = model[0].weight.detach().numpy()
    for _ in range(2):
        lent *= 2
        assert not right(model, IMAGES)  # folded at every call


def test_another_back_end_packs_anew():
    model = trio()
    assert right(model, IMAGES)
    with config.use(backend="ref"):
        assert right(model, IMAGES)
    assert right(model, IMAGES)


def test_what_is_called_one_by_one():
    for change in (
        lambda m: m[1].train(),
        lambda m: setattr(m[1], "running_var", nnrt.full((20,), -1.0)),  # no real square root
        lambda m: setattr(m[1], "forward", lambda x: x * 2),
        lambda m: setattr(m[0], "forward", lambda x: x.repeat(1, 2, 1, 1)[:, :20]),
    ):
        model = trio()
        change(model)
        with nnrt.no_grad():
            assert fused(IMAGES, model[0], model[1], "relu") is None
            np.testing.assert_array_equal(copy.deepcopy(model)(IMAGES).numpy(), one_by_one(model, IMAGES).numpy())
    for model in (
        seasoned(nn.Sequential(nn.Conv2d(16, 20, 3), nn.BatchNorm2d(20, track_running_stats=False))),
        trio(padding_mode="reflect"),
    ):
        with nnrt.no_grad():
            assert fused(IMAGES, model[0], model[1], "relu") is None
            np.testing.assert_array_equal(model(IMAGES).numpy(), one_by_one(model, IMAGES).numpy())

    class Own(nn.BatchNorm2d):
        pass

    model = seasoned(nn.Sequential(nn.Conv2d(16, 20, 3), Own(20)))
    assert not right(model, IMAGES)
    with nnrt.no_grad():
        for model, x, what in (
            (seasoned(nn.Sequential(nn.Conv2d(16, 20, 3), nn.BatchNorm2d(19))), IMAGES, "batch_norm"),
            (trio(), IMAGES[0], "expected 4D input, got 3D"),
            (trio(), IMAGES.double(), "conv2d: arguments must all be float32"),
            (trio(), IMAGES[:, :3], "conv2d: input of shape"),
        ):
            with pytest.raises((RuntimeError, ValueError), match=what):
                model(x)


ROW_CHANGES = {
    "another dtype": lambda m: m.double(),
    "a norm in training mode": lambda m: m[4].train(),
    "a last bias": lambda m: m[6].bias.mul_(2),
    "no last bias": lambda m: m[6].register_parameter("bias", None),
    "no bias left": lambda m: delattr(m[6], "bias"),
    "a buffer registered anew": lambda m: m[4].register_buffer("running_var", nnrt.full((20,), 9.0)),
    "a buffer put": lambda m: m[4]._buffers.__setitem__("running_var", nnrt.full((20,), 9.0)),
    "all memory": lambda m: [t.fill_(1) for t in m.to_empty().state_dict().values()],
    "dilation": lambda m: setattr(m[3], "dilation", (2, 2)),
    "an activation": lambda m: setattr(m, "5", nn.GELU()),
    "an activation's forward": lambda m: setattr(m[5], "forward", lambda x: x + 3),
    "padding": lambda m: setattr(m[3], "padding_mode", "circular"),
}


def test_a_block_of_a_model_sees_its_modules_change():
    conv, norm, relu = trio()
    r = nnrt.randn(2, 20, 9, 8)
    changes = (
        lambda: setattr(norm, "eps", 0.5),
        lambda: setattr(norm, "running_var", nnrt.full((20,), 4.0)),
        lambda: setattr(conv, "weight", nn.Parameter(nnrt.randn(20, 16, 3, 3))),
        lambda: setattr(conv, "bias", nn.Parameter(nnrt.ones(20))),
        lambda: norm.train(),
        lambda: norm.eval(),
        lambda: setattr(conv, "padding_mode", "circular"),
        lambda: norm.register_forward_hook(lambda *args: args[2] + 1.0),
    )
    with nnrt.no_grad():
        for change in changes:
            before = rectified(conv, norm, IMAGES, relu, r)
            change()
            after = rectified(conv, norm, IMAGES, relu, r)
            assert not np.allclose(before.numpy(), after.numpy())
            close(after, F.relu(norm(conv(IMAGES)) + r))
        other = seasoned(nn.BatchNorm2d(20, eps=0.2))
        close(rectified(conv, other, IMAGES, relu, r), F.relu(other(conv(IMAGES)) + r))
    for copied in (copy.deepcopy(conv), pickle.loads(pickle.dumps(conv))):
        assert not {"_asked", "_fused"} & set(copied.__dict__)


@pytest.mark.parametrize("name", ROW_CHANGES)
def test_whatever_changes_in_a_row_that_was_learnt(name):
    model, other = row(), row()
    other.load_state_dict(model.state_dict())
    with nnrt.no_grad():
        for _ in range(3):
            before = model(IMAGES)
        assert learnt(model) and not model[4].training
        for m in (model, other):
            ROW_CHANGES[name](m)
        if name == "no bias left":
            with pytest.raises(AttributeError, match="bias"):
                model(IMAGES)
            return
        x = IMAGES.double() if name == "another dtype" else IMAGES
        want = one_by_one(other, x)
        assert want.shape != before.shape or not np.allclose(want.numpy(), before.numpy(), rtol=1e-12)
        for _ in range(4):
            if name == "a norm in training mode":
                want = one_by_one(other, x)
            close(model(x), want)


def test_a_row_goes_on_as_it_was():
    model, calls = row(), []
    with nnrt.no_grad():
        want = model(IMAGES)
        assert not learnt(model)
        for x in (IMAGES, IMAGES, IMAGES.contiguous(memory_format=nnrt.channels_last), IMAGES.clone()):
            np.testing.assert_array_equal(model(x).numpy(), want.numpy())
            assert learnt(model)
        for x in (IMAGES[:1], IMAGES, nnrt.randn(2, 16, 5, 4), nnrt.randn(16, 9, 8)):
            if x.ndim == 4:
                close(model(x), one_by_one(model, x))
        model(IMAGES), model(IMAGES)
        assert learnt(model)
        with model[4].register_forward_hook(lambda *args: calls.append(args)):
            close(model(IMAGES), want)
        assert len(calls) == 1
        model[3].weight.detach().numpy()[...] *= 2
        close(model(IMAGES), one_by_one(model, IMAGES))
        for what in (None, IMAGES.numpy(), IMAGES.double(), IMAGES[:, :3]):
            with pytest.raises((TypeError, RuntimeError)):
                model(what)
    model = row()
    with nnrt.no_grad():
        model(IMAGES), model(IMAGES)
    x = IMAGES.detach().requires_grad_()
    assert learnt(model) and model(x).requires_grad and model(IMAGES).requires_grad
    with nnrt.no_grad(), config.use(backend="ref"):
        close(model(IMAGES), one_by_one(model, IMAGES))


def test_a_row_of_convolutions_that_are_used_elsewhere_too():
    conv, norms = nn.Conv2d(16, 16, 3, padding=1), [nn.BatchNorm2d(16), nn.BatchNorm2d(16, eps=0.3)]
    model = seasoned(nn.Sequential(conv, norms[0], conv, norms[1], nn.ReLU()))
    other = nn.Sequential(conv, nn.Tanh())
    assert right(model, IMAGES) is not None
    with nnrt.no_grad():
        want = one_by_one(model, IMAGES)
        for _ in range(4):
            close(model(IMAGES), want)
            close(other(IMAGES), one_by_one(other, IMAGES))
    assert not learnt(model)
    again = seasoned(nn.Sequential(conv, norms[0], nn.ReLU(), conv, norms[0], nn.ReLU()))
    right(again, IMAGES)
    assert learnt(again)


def test_a_row_whose_modules_change_at_every_call_learns_nothing():
    class Counting(nn.Module):
        calls = 0

        def forward(self, x):
            self.calls += 1
            return x

    model = nn.Sequential(Counting(), row())
    with nnrt.no_grad():
        for _ in range(4):
            close(model(IMAGES), one_by_one(model[1], IMAGES))
    assert model._groups[1][1].known is None and model[0].calls == 4


@pytest.mark.parametrize("place", [0, 1, 2])
def test_hooks_are_called(place):
    model, calls = trio(), []
    assert right(model, IMAGES)
    with nnrt.no_grad():
        want = model(IMAGES)
        with model[place].register_forward_hook(lambda m, args, y: calls.append((m, y))):
            close(model(IMAGES), want)
        assert len(calls) == 1 and calls[0][0] is model[place]
        model(IMAGES)
        assert len(calls) == 1
        close(calls[0][1], one_by_one(list(model)[: place + 1], IMAGES))


def test_one_convolution_with_two_norms_and_two_with_one():
    conv, norm, second, third = nn.Conv2d(16, 16, 3, padding=1), nn.BatchNorm2d(16), nn.Conv2d(16, 16, 1), nn.Conv2d(16, 16, 1)
    twice = conv, norm, nn.ReLU(), conv, nn.BatchNorm2d(16, eps=0.3), conv
    right(seasoned(nn.Sequential(*twice, second, norm, third, norm, nn.SiLU())), IMAGES)


def test_gradients_are_as_ever():
    """Under grad mode nothing is fused but what was before, and what was folded does not show."""
    def run(model):
        x = IMAGES.detach().requires_grad_()
        y = model(x)
        y.square().sum().backward()
        return [y.detach().numpy(), x.grad.numpy(), *[p.grad.numpy() for p in model.parameters()]]

    model = trio()
    fresh, used = copy.deepcopy(model), model
    right(used, IMAGES)
    for got, want in zip(run(used), run(fresh)):
        np.testing.assert_array_equal(got, want)
    with nnrt.autograd.detect_anomaly():
        assert model(IMAGES.detach().requires_grad_()).grad_fn is not None


def test_copies_and_states_know_nothing_of_it():
    model = trio()
    keys, size = list(model.state_dict()), len(pickle.dumps(model))
    assert right(model, IMAGES)
    assert list(model.state_dict()) == keys and len(pickle.dumps(model)) == size
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert "_fused" not in other[0].__dict__
        with nnrt.no_grad():
            np.testing.assert_array_equal(other(IMAGES).numpy(), model(IMAGES).numpy())
            other[1].weight.mul_(3)
        assert right(other, IMAGES) and right(model, IMAGES)
    nnrt.save(model.state_dict(), io.BytesIO())


def test_one_copy_of_a_filter_is_kept():
    model = seasoned(nn.Sequential(nn.Conv2d(64, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU()))
    x = nnrt.randn(1, 64, 8, 8)
    with config.use(conv="direct"), nnrt.no_grad():
        model(x)
        held = model[0].fused().folded
        for _ in range(3):
            model(x)
        assert model[0].fused().folded is held and held.whole is None and len(held.packed) == 1
        assert sum(entry[3].nbytes for entry in held.packed.values()) < 1.1 * model[0].weight.nbytes
        assert not model[0].weight.version.packed


@pytest.mark.parametrize("make", [trio, row])
def test_threads_share_a_model(make):
    model, results = make(), []
    with nnrt.no_grad():
        want = model(IMAGES).numpy()
        for _ in range(5):
            model[1].bias.add_(0)

            def work():
                with nnrt.no_grad():
                    results.append(model(IMAGES).numpy())

            threads = [threading.Thread(target=work) for _ in range(4)]
            [t.start() for t in threads], [t.join() for t in threads]
    assert len(results) == 20
    for got in results:
        np.testing.assert_array_equal(got, want)


MODELS = {
    "resnet18": (lambda: models.resnet18(num_classes=3), 64),
    "resnet20": (lambda: models.resnet20(), 32),
    "resnext": (lambda: ResNet(Bottleneck, [1, 1, 1, 1], 3, groups=2, width_per_group=16), 64),
    "googlenet": (lambda: Inception(3, 4, 5, 6, 7, 8, 9), 16),
    "densenet": (lambda: models.DenseNet(8, (2, 2), 16, num_classes=3), 64),
    "mobilenet": (lambda: models.mobilenet_v1(num_classes=3, width_mult=0.25), 64),
    "mobilenet v2": (lambda: models.mobilenet_v2(num_classes=3, width_mult=0.25), 64),
}


@pytest.mark.parametrize("name", MODELS)
def test_models_give_the_same(name):
    make, size = MODELS[name]
    model, x = seasoned(make()), nnrt.randn(2, 3, size, size)
    want = model(x.requires_grad_()).detach()
    with nnrt.no_grad():
        got = model(x)
    np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=1e-3, atol=1e-4 * np.abs(want.numpy()).max())
    assert ("normalize" in kernels(model, x)) == (name == "densenet")


def test_a_residual_of_another_shape_is_broadcast():
    conv, norm, relu = trio()
    r = nnrt.randn(1, 20, 1, 1)
    with nnrt.no_grad():
        close(rectified(conv, norm, IMAGES, relu, r), F.relu(norm(conv(IMAGES)) + r))
        close(rectified(conv, norm, IMAGES, relu, IMAGES[:, :1]), F.relu(norm(conv(IMAGES)) + IMAGES[:, :1]))


@pytest.mark.parametrize("kind", [nn.Identity, nn.ReLU, nn.Sequential])
def test_a_forward_of_a_modules_own_is_called(kind):
    model = trio().append(kind())
    model[3].forward = lambda x: x + 1.0
    with nnrt.no_grad():
        close(model(IMAGES), model[:3](IMAGES) + 1.0)


def test_changes_inside_a_sequential_that_has_run():
    model, calls = nn.Sequential(trio(), nn.Sequential(nn.Conv2d(20, 4, 1), nn.ReLU())), []
    x = nnrt.randn(2, 16, 5, 5)
    changes = (
        lambda: model[1].register_forward_hook(lambda *args: calls.append(args)),
        lambda: model[1].append(nn.Tanh()),
        lambda: model.insert(1, nn.LazyConv2d(20, 3, padding=1)),
        lambda: model[1].__setattr__("forward", lambda x: x * 2),
        lambda: model[1].__delattr__("forward"),
        lambda: model[0].__setitem__(1, seasoned(nn.BatchNorm2d(20))),
        lambda: model[0].__delitem__(2),
        lambda: model._modules.pop("0"),
    )
    with nnrt.no_grad():
        for change in (lambda: None, *changes):
            change()
            want = x if "0" in model._modules else nnrt.randn(2, 20, 5, 5)
            got = model(want)
            for module in model:
                want = module(want) if module._hooks or "forward" in module.__dict__ else one_by_one([module], want)
            close(got, want)
    assert len(calls) == 2 * len(changes)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(trio()))):
        assert "_groups" not in other.__dict__
    inner = trio()
    outer = nn.Sequential(inner)
    with nnrt.no_grad():
        outer(IMAGES)
        copied = copy.deepcopy(outer)
        copied[0][1].bias.add_(1)
        close(outer(IMAGES), one_by_one(inner, IMAGES))
        close(copied(IMAGES), one_by_one(copied[0], IMAGES))


@pytest.mark.parametrize("channels", [7, 32])
def test_depthwise_filters_are_turned_once(channels):
    model = nn.Sequential(nn.Conv2d(channels, channels, 3, groups=channels), nn.BatchNorm2d(channels), nn.ReLU())
    x = nnrt.randn(2, channels, 6, 7)
    assert right(seasoned(model), x)
    plain = model[:1]
    with nnrt.no_grad():
        for _ in range(3):
            close(plain(x), one_by_one(plain, x))
            assert "depthwise/pack" not in kernels(plain, x) or channels == 7
        model[0].weight.add_(1)
        close(plain(x), F.conv2d(x, model[0].weight.detach().clone(), model[0].bias, groups=channels))
