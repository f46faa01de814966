"""nn.utils: clipping, parameters as a vector, weight normalisation."""

import copy
import math
import pickle

import numpy as np
import pytest

import nnrt
from nnrt import nn
from nnrt.nn import utils


def parameters(lib, arrays):
    made = []
    for a in arrays:
        p = lib.nn.Parameter(lib.tensor(a))
        p.grad = lib.tensor(a * 3)
        made.append(p)
    unused = lib.nn.Parameter(lib.ones(2))
    return [*made, unused]


@pytest.mark.parametrize("norm_type", [1, 2, 2.5, math.inf])
@pytest.mark.parametrize("max_norm", [0.0, 0.7, 1e6])
def test_clipping_by_norm_agrees_with_torch(torch, norm_type, max_norm, rng):
    arrays = [rng.standard_normal(s).astype(np.float32) for s in ((3, 4), (5,), ())]
    ours, theirs = parameters(nnrt, arrays), parameters(torch, arrays)
    got = utils.clip_grad_norm_(ours, max_norm, norm_type)
    want = torch.nn.utils.clip_grad_norm_(theirs, max_norm, norm_type)
    np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=1e-5)
    assert got.dtype == nnrt.float32 and got.ndim == 0
    for p, q in zip(ours, theirs):
        assert (p.grad is None) == (q.grad is None)
        if p.grad is not None:
            np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-5, atol=1e-7)


def test_clipping_by_value_agrees_with_torch(torch, rng):
    arrays = [rng.standard_normal(s) for s in ((3, 4), (5,))]
    ours, theirs = parameters(nnrt, arrays), parameters(torch, arrays)
    utils.clip_grad_value_(ours, 0.5)
    torch.nn.utils.clip_grad_value_(theirs, 0.5)
    for p, q in zip(ours[:2], theirs):
        np.testing.assert_array_equal(p.grad.numpy(), q.grad.numpy())
    utils.clip_grad_value_(ours[0], 0.1)
    assert np.abs(ours[0].grad.numpy()).max() == 0.1


def test_norms_that_are_not_numbers():
    p = parameters(nnrt, [np.array([1.0, np.nan])])
    with pytest.raises(RuntimeError, match="nan"):
        utils.clip_grad_norm_(p, 1.0, error_if_nonfinite=True)
    assert p[0].grad.tolist()[0] == 3.0
    assert math.isnan(utils.clip_grad_norm_(p, 1.0).item())
    assert np.isnan(p[0].grad.numpy()).all()
    assert math.isnan(utils.get_total_norm([nnrt.tensor([np.nan, 1.0])], math.inf).item())
    p = parameters(nnrt, [np.array([np.inf, 1.0])])
    assert utils.clip_grad_norm_(p, 1.0).item() == math.inf
    assert p[0].grad.tolist()[1] == 0.0
    assert utils.get_total_norm([nnrt.ones(0), nnrt.ones(2)], math.inf).item() == 1
    assert utils.clip_grad_norm_([], 1.0).item() == 0 and utils.get_total_norm([]).item() == 0
    with pytest.raises(ValueError, match="norm_type"):
        utils.get_total_norm([nnrt.ones(1)], 0)
    for bad, kind in ((-1, ValueError), (None, TypeError), ("two", TypeError)):
        with pytest.raises(kind, match="clip_grad_norm_: norm_type must be"):
            utils.clip_grad_norm_([], 1.0, bad)


def test_norms_of_large_gradients_do_not_overflow():
    p = parameters(nnrt, [np.full(4, 1e30, np.float32), np.full(4, 1e30, np.float32)])
    total = utils.clip_grad_norm_(p, 1.0).item()
    assert abs(total / (3e30 * math.sqrt(8)) - 1) < 1e-5
    np.testing.assert_allclose(p[0].grad.numpy(), 1 / math.sqrt(8), rtol=1e-5)
    tiny = utils.get_total_norm([nnrt.full((4,), 1e-30)]).item()
    assert abs(tiny / 2e-30 - 1) < 1e-5


def test_clipping_with_a_given_norm():
    p = parameters(nnrt, [np.ones(2)])
    utils.clip_grads_with_norm_(p, 1.0, nnrt.tensor(3.0))
    np.testing.assert_allclose(p[0].grad.numpy(), 1.0, rtol=1e-5)


def test_parameters_as_a_vector():
    model = nn.Sequential(nn.Linear(3, 2), nn.PReLU())
    vector = utils.parameters_to_vector(model.parameters())
    assert vector.shape == (9,) and vector.requires_grad
    np.testing.assert_array_equal(vector.detach().numpy()[:6], model[0].weight.detach().numpy().ravel())
    vector.sum().backward()
    assert all((p.grad.numpy() == 1).all() for p in model.parameters())
    weight = model[0].weight
    utils.vector_to_parameters(nnrt.arange(9.0), model.parameters())
    assert model[0].weight is weight and weight.tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    assert model[1].weight.tolist() == [8.0] and weight.requires_grad
    with pytest.raises(ValueError, match=r"shape \(8,\), the parameters take \(9,\)"):
        utils.vector_to_parameters(nnrt.zeros(8), model.parameters())
    with pytest.raises(TypeError, match="Tensor"):
        utils.vector_to_parameters(np.zeros(9), model.parameters())
    assert weight.tolist()[0] == [0.0, 1.0, 2.0]


def normalised(lib, new, dim):
    layer = lib.nn.Linear(4, 3)
    where = lib.nn.utils.parametrizations if new else lib.nn.utils
    return where.weight_norm(layer, dim=dim)


@pytest.mark.parametrize("new", [False, True], ids=["weight_g", "original0"])
@pytest.mark.parametrize("dim", [0, 1, None])
@pytest.mark.filterwarnings("ignore")
def test_weight_norm_agrees_with_torch(torch, dim, new, rng):
    ours, theirs = normalised(nnrt, new, dim), normalised(torch, new, dim)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict())
    x = rng.standard_normal((5, 4)).astype(np.float32)
    w = rng.standard_normal((5, 3)).astype(np.float32)
    y, z = ours(nnrt.tensor(x)), theirs(torch.tensor(x))
    y.backward(nnrt.tensor(w))
    z.backward(torch.tensor(w))
    np.testing.assert_allclose(y.detach().numpy(), z.detach().numpy(), rtol=1e-4, atol=1e-6)
    want = dict(theirs.named_parameters())
    for name, p in ours.named_parameters():
        assert tuple(p.shape) == tuple(want[name].shape)
        np.testing.assert_allclose(
            p.grad.numpy(), want[name].grad.numpy(), rtol=1e-4, atol=1e-5, err_msg=name
        )


@pytest.mark.parametrize("new", [False, True], ids=["weight_g", "original0"])
def test_weight_norm_is_added_copied_and_removed(new):
    plain = nn.Linear(4, 3)
    x = nnrt.randn(2, 4)
    want = plain(x).detach().numpy()
    layer = (utils.parametrizations if new else utils).weight_norm(copy.deepcopy(plain))
    assert not isinstance(layer.weight, nn.Parameter) and layer.weight.requires_grad
    for m in (layer, copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        np.testing.assert_allclose(m(x).detach().numpy(), want, rtol=1e-5, atol=1e-6)
        m(x).sum().backward()
        assert all(p.grad is not None for p in m.parameters()) and len(list(m.parameters())) == 3
    if new:
        assert utils.parametrize.is_parametrized(layer) and utils.parametrize.is_parametrized(layer, "weight")
        with pytest.raises(ValueError, match="leave_parametrized"):
            utils.parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)
        assert utils.parametrize.remove_parametrizations(layer, "weight") is layer
        assert not utils.parametrize.is_parametrized(layer)
    else:
        with pytest.raises(RuntimeError, match="already"):
            utils.weight_norm(layer)
        assert utils.remove_weight_norm(layer) is layer
    assert sorted(layer.state_dict()) == ["bias", "weight"] and isinstance(layer.weight, nn.Parameter)
    np.testing.assert_allclose(layer(x).detach().numpy(), want, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="not"):
        (utils.parametrize.remove_parametrizations if new else utils.remove_weight_norm)(layer, "weight")
    for function in (utils.weight_norm, utils.parametrizations.weight_norm):
        with pytest.raises(ValueError, match="no parameter 'zzz'"):
            function(layer, "zzz")
        with pytest.raises(IndexError, match="dim 5"):
            function(layer, dim=5)
    assert sorted(layer.state_dict()) == ["bias", "weight"]


def test_two_weights_of_a_module_are_normalised():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Parameter(nnrt.ones(2, 2))
            self.b = nn.Parameter(nnrt.ones(2, 2))

        def forward(self, x):
            return x @ self.a @ self.b

    x = nnrt.ones(1, 2)
    for where in (utils, utils.parametrizations):
        m = Two()
        where.weight_norm(m, "a")
        where.weight_norm(m, "b", dim=None)
        assert m(x).tolist() == [[4.0, 4.0]]
        m(x).sum().backward()
        assert len(list(m.parameters())) == 4
    utils.parametrize.remove_parametrizations(m, "a")
    assert utils.parametrize.is_parametrized(m, "b") and isinstance(m.a, nn.Parameter)
    np.testing.assert_allclose(m(x).tolist(), [[4.0, 4.0]], rtol=1e-6)


@pytest.mark.parametrize(
    "name, sizes, shape",
    [("Linear", (5, 4), (3, 5)), ("Conv2d", (2, 4, 3), (2, 2, 5, 5)), ("ConvTranspose1d", (3, 2, 3), (2, 3, 4))],
)
def test_spectral_norm_agrees_with_torch(torch, name, sizes, shape, rng):
    theirs = torch.nn.utils.spectral_norm(getattr(torch.nn, name)(*sizes).double(), n_power_iterations=2)
    ours = utils.spectral_norm(getattr(nn, name)(*sizes).double(), n_power_iterations=2)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict({k: nnrt.from_numpy(v.numpy().copy()) for k, v in theirs.state_dict().items()})
    for training in (True, True, False):
        ours.train(training)
        theirs.train(training)
        x = rng.standard_normal(shape)
        y, want = ours(nnrt.tensor(x)), theirs(torch.tensor(x))
        np.testing.assert_allclose(y.detach().numpy(), want.detach().numpy(), rtol=1e-10, atol=1e-12)
        ours.zero_grad()
        theirs.zero_grad()
        y.square().sum().backward()
        want.square().sum().backward()
        np.testing.assert_allclose(ours.weight_orig.grad.numpy(), theirs.weight_orig.grad.numpy(), rtol=1e-9, atol=1e-10)
        for key, value in ours.state_dict().items():
            np.testing.assert_allclose(value.numpy(), theirs.state_dict()[key].numpy(), rtol=1e-10, atol=1e-12)
    utils.remove_spectral_norm(ours)
    torch.nn.utils.remove_spectral_norm(theirs)
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    np.testing.assert_allclose(ours.weight.detach().numpy(), theirs.weight.detach().numpy(), rtol=1e-10, atol=1e-12)


def test_spectral_norm_brings_the_largest_singular_value_to_1():
    nnrt.manual_seed(0)
    layer = utils.spectral_norm(nn.Conv2d(3, 6, 3), n_power_iterations=50)
    loss = layer(nnrt.ones(1, 3, 4, 4)).sum() - layer(nnrt.zeros(1, 3, 4, 4)).sum()
    loss.backward()
    assert abs(np.linalg.norm(layer.weight.detach().numpy().reshape(6, -1), 2) - 1) < 1e-5
    assert [key for key, _ in layer.named_parameters()] == ["bias", "weight_orig"]
    for made in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        net, x = nn.Sequential(made, nn.BatchNorm2d(6), nn.ReLU()).eval(), nnrt.ones(1, 3, 4, 4)
        with nnrt.no_grad():
            np.testing.assert_allclose(net(x).numpy(), net[2](net[1](layer.eval()(x))).numpy(), atol=1e-5)
    for wrong, message in (
        (lambda: utils.spectral_norm(layer), "normalised already"),
        (lambda: utils.spectral_norm(nn.ReLU()), "no parameter 'weight'"),
        (lambda: utils.spectral_norm(nn.Linear(2, 2), n_power_iterations=0), "at least 1, got 0"),
        (lambda: utils.remove_spectral_norm(nn.Linear(2, 2)), "not normalised"),
    ):
        with pytest.raises((ValueError, RuntimeError), match=message):
            wrong()
