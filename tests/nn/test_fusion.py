"""fold_batch_norm, fuse and update_bn against the models they start from."""

import numpy as np
import pytest

import nnrt
from nnrt import models, nn, train
from nnrt.models.googlenet import Inception
from nnrt.models.resnet import BasicBlock, Bottleneck, ResNet
from nnrt.nn.utils import fold_batch_norm, fuse
from nnrt.nn.utils.fusion import FusedConv


def seasoned(model, *shape):
    """The model in evaluation mode, with statistics and affine parameters that are not the initial ones."""
    rng = np.random.default_rng(1)
    for m in model.modules():
        for t in (getattr(m, "running_mean", None), getattr(m, "running_var", None), getattr(m, "weight", None)):
            if t is not None and t.ndim == 1:
                t.array[...] = rng.random(t.shape) + 0.5
    return model.eval()


def same(model, made, x):
    with nnrt.no_grad():
        np.testing.assert_allclose(made(x).numpy(), model(x).numpy(), rtol=1e-4, atol=1e-5)


def kinds(model):
    return [type(m) for m in model.modules() if not list(m.children())]


LAYERS = [
    (nn.Linear(4, 6), nn.BatchNorm1d(6), (5, 4)),
    (nn.Linear(4, 6, bias=False), nn.BatchNorm1d(6, affine=False), (5, 4)),
    (nn.Conv1d(4, 6, 3, padding=1), nn.BatchNorm1d(6), (2, 4, 9)),
    (nn.Conv2d(4, 6, 3, stride=2, groups=2, bias=False), nn.BatchNorm2d(6, eps=0.1), (2, 4, 9, 8)),
    (nn.Conv2d(4, 6, 3, padding=1, padding_mode="circular"), nn.BatchNorm2d(6), (2, 4, 5, 6)),
    (nn.Conv3d(2, 3, 2, dilation=2), nn.BatchNorm3d(3), (1, 2, 5, 4, 6)),
    (nn.ConvTranspose1d(4, 6, 3, stride=2, groups=2), nn.BatchNorm1d(6), (2, 4, 5)),
    (nn.ConvTranspose2d(3, 6, 3), nn.BatchNorm2d(6, bias=False), (2, 3, 5, 4)),
]


@pytest.mark.parametrize("layer, norm, shape", LAYERS, ids=lambda v: type(v).__name__ if isinstance(v, nn.Module) else None)
def test_fold(layer, norm, shape):
    model = seasoned(nn.Sequential(layer, norm, nn.Tanh()))
    before = {k: v.numpy().copy() for k, v in model.state_dict().items()}
    made = fold_batch_norm(model)
    assert kinds(made) == [type(layer), nn.Identity, nn.Tanh] and kinds(model)[1] is type(norm)
    same(model, made, nnrt.randn(*shape))
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[name])
    assert all(p.requires_grad for p in made.parameters())


def test_nested_sequentials_are_one():
    model = seasoned(nn.Sequential(nn.Sequential(nn.Conv2d(3, 4, 3)), nn.Sequential(nn.BatchNorm2d(4), nn.ReLU())))
    made = fold_batch_norm(model)
    assert kinds(made) == [nn.Conv2d, nn.Identity, nn.ReLU]
    same(model, made, nnrt.randn(2, 3, 5, 5))


class Named(nn.Module):
    """No Sequential shows its order; `twice` uses the convolution's output beside the norm."""

    def __init__(self, twice=False):
        super().__init__()
        self.norm, self.conv, self.act = nn.BatchNorm2d(4), nn.Conv2d(3, 4, 3), nn.ReLU()
        self.twice = twice

    def forward(self, x):
        y = self.conv(x)
        z = self.act(self.norm(y))
        return z + y if self.twice else z


def test_example_inputs_show_the_order():
    model, x = seasoned(Named()), nnrt.randn(2, 3, 5, 5)
    assert kinds(fold_batch_norm(model)) == [nn.BatchNorm2d, nn.Conv2d, nn.ReLU]
    made = fold_batch_norm(model, x)
    assert kinds(made) == [nn.Identity, nn.Conv2d, nn.ReLU]
    same(model, made, x)
    made = fuse(model, x)
    assert kinds(made) == [nn.Identity, FusedConv, nn.Identity]
    same(model, made, x)
    assert model._hooks is None and model.conv._hooks is None
    with pytest.raises(RuntimeError, match="fold_batch_norm: the model gives other results than before"):
        fold_batch_norm(seasoned(Named(twice=True)), x)


def test_what_is_not_folded():
    conv, norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)
    for model in (
        nn.Sequential(conv, nn.ReLU(), norm),
        nn.Sequential(conv, norm, conv),
        nn.Sequential(conv, nn.BatchNorm2d(3, track_running_stats=False)),
        nn.Sequential(norm, conv),
        nn.ModuleList([conv, norm]),
    ):
        model.eval()
        assert kinds(fold_batch_norm(model)) == kinds(model)
    model = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)).eval()
    handle = model[0].register_forward_hook(lambda *args: None)
    assert kinds(fold_batch_norm(model)) == [nn.Conv2d, nn.BatchNorm2d]
    handle.remove()
    with pytest.raises(ValueError, match="'1', a BatchNorm2d, is in training mode; call eval"):
        fold_batch_norm(nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)))


@pytest.mark.parametrize("act", [nn.ReLU(), nn.GELU(), nn.GELU("tanh"), nn.Tanh(), nn.Sigmoid(), nn.SiLU()], ids=str)
def test_fuse_activations(act):
    model = seasoned(nn.Sequential(nn.Conv2d(3, 4, 3, padding="same"), nn.BatchNorm2d(4), act, nn.Conv2d(4, 2, 1), act))
    model[4] = type(act)(*([act.approximate] if isinstance(act, nn.GELU) else []))
    made = fuse(model)
    assert kinds(made) == [FusedConv, nn.Identity, nn.Identity, FusedConv, nn.Identity]
    assert not any(p.requires_grad for p in made.parameters())
    same(model, made, nnrt.randn(2, 3, 6, 5))


def test_fuse_residual_blocks():
    def block():
        return nn.Residual(
            nn.Sequential(
                nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)
            )
        )

    model = seasoned(nn.Sequential(nn.Conv2d(3, 4, 1), nn.LeakyReLU(), block(), nn.ReLU(), block(), nn.LeakyReLU()))
    made = fuse(model)
    found = kinds(made)
    assert found.count(FusedConv) == 4 and found.count(nn.LeakyReLU) == 2 and nn.ReLU not in found and nn.BatchNorm2d not in found
    assert [m.activation for m in made.modules() if isinstance(m, FusedConv)].count("relu") == 3
    same(model, made, nnrt.randn(2, 3, 6, 5))
    with pytest.raises(RuntimeError, match="fused: has no gradient"):
        made(nnrt.randn(2, 3, 6, 5).requires_grad_())


# models that say what is `fusable`
BLOCKS = {
    "basic": lambda: ResNet(BasicBlock, [1, 1, 1, 1], num_classes=3),
    "bottleneck": lambda: ResNet(Bottleneck, [1, 1, 1, 1], num_classes=3),
    "cifar": lambda: models.ResNetCIFAR(8),
    "inception": lambda: Inception(3, 4, 5, 6, 7, 8, 9),
}


@pytest.mark.parametrize("name", BLOCKS)
def test_fuse_blocks_of_models(name):
    model, x = seasoned(BLOCKS[name]()), nnrt.randn(1, 3, 32, 32)
    for example in ((), (x,)):
        made = fuse(model, *example)
        assert nn.BatchNorm2d not in kinds(made)
        same(model, made, x)
        with nnrt.no_grad(), nnrt.profiler.profile() as p:
            made(x)
        assert "normalize" not in p.table() and "relu" not in p.table() and "add" not in p.table()


@pytest.mark.parametrize("make", [lambda: models.ResNetCIFAR(8), lambda: models.DenseNet(4, (2, 1), 8, num_classes=3)])
def test_models_say_what_a_run_shows(make):
    model, x = seasoned(make()), nnrt.randn(1, 3, 32, 32)
    assert kinds(fold_batch_norm(model)) == kinds(fold_batch_norm(model, x))


def test_update_bn_is_torchs(torch, rng):
    batches = [rng.standard_normal((n, 3)).astype(np.float32) + 2 for n in (8, 8, 8)]

    def made(lib):
        return lib.nn.Sequential(lib.nn.Linear(3, 4), lib.nn.BatchNorm1d(4), lib.nn.ReLU(), lib.nn.BatchNorm1d(4, momentum=0.5))

    ours, theirs = made(nnrt).eval(), made(torch).eval()
    ours.load_state_dict(theirs.state_dict())
    ours(nnrt.tensor(batches[0]))
    train.update_bn([(nnrt.tensor(b), None) for b in batches], ours)
    torch.optim.swa_utils.update_bn([torch.tensor(b) for b in batches], theirs)
    for key, value in theirs.state_dict().items():
        np.testing.assert_allclose(ours.state_dict()[key].numpy(), value.numpy(), rtol=1e-5, atol=1e-6)
    assert not ours[1].training and ours[3].momentum == 0.5


def test_update_bn_that_fails_changes_nothing():
    model = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(0.5)).train()
    model[1].eval()
    model(nnrt.randn(6, 3))
    before = {k: v.numpy().copy() for k, v in model.state_dict().items()}
    with pytest.raises(RuntimeError):
        train.update_bn([nnrt.randn(4, 3), nnrt.randn(4, 2)], model)
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[name])
    assert model[0].training and not model[1].training and model[0].momentum == 0.1
    train.update_bn([nnrt.randn(4, 3)], nn.Linear(3, 2))  # nothing to do
