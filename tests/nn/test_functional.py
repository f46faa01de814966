"""nn.functional: torch's names, and the wrappers that are more than a name."""

import inspect

import numpy as np
import pytest

import nnrt
import nnrt.nn.functional as F
from nnrt import nn


def functions():
    return {n: f for n, f in vars(F).items() if callable(f) and not isinstance(f, type) and not n.startswith("_")}


# What torch does not have, or has elsewhere.
OWN = {
    "add_layer_norm",
    "add_rms_norm",
    "bilinear_gate",
    "clamp_min",
    "div",
    "fft_conv",
    "feature_dropout",
    "feed_forward",
    "geglu",
    "projected_attention",
    "qrnn_pool",
    "reglu",
    "rotary_embedding",
    "scan",
    "squared_relu",
    "sru_scan",
    "step",
    "swiglu",
}
OWN |= {"swish", "vector_norm"}


def test_names_and_arguments_are_torchs(torch):
    for name, function in functions().items():
        if name in OWN:
            continue
        theirs = getattr(torch.nn.functional, name)
        try:
            wanted = list(inspect.signature(theirs).parameters.values())
        except ValueError:  # a built-in of torch
            continue
        dropped = {"_stacklevel", "out"}
        wanted = [p for p in wanted if p.name not in dropped and p.kind is not p.VAR_POSITIONAL]
        got = {p.name: p for p in inspect.signature(function).parameters.values()}
        for p in wanted[1:]:
            assert p.name in got, (name, p.name)
            assert got[p.name].default == p.default, (name, p.name, got[p.name].default, p.default)
        if name.endswith(("_loss", "_div", "entropy", "_logits")):
            assert list(got) == [p.name for p in wanted], name  # also by position


@pytest.mark.parametrize("name", [n for n in functions() if "size_average" in inspect.signature(functions()[n]).parameters])
def test_old_names_of_reduction_are_refused_by_the_new_one(name):
    function = functions()[name]
    required = [p for p in inspect.signature(function).parameters.values() if p.default is p.empty]
    arguments = [nnrt.ones(2, 3)] * len(required)
    for old, new in (({"size_average": False}, "sum"), ({"reduce": False}, "none"), ({"reduce": True}, "mean")):
        with pytest.raises(ValueError, match=f"^{name}: size_average and reduce are .* reduction='{new}'"):
            function(*arguments, **old)


def test_every_layer_has_its_function():
    assert {
        "relu",
        "linear",
        "embedding",
        "cross_entropy",
        "dropout",
        "one_hot",
        "normalize",
        "bilinear",
    } <= set(functions())


@pytest.mark.parametrize("kwargs", [{}, {"p": 1.0, "dim": 0}, {"dim": (1, 2)}, {"p": 3.0, "eps": 10.0}])
def test_normalize_agrees_with_torch(torch, kwargs, rng):
    a = rng.standard_normal((3, 4, 5))
    a[0, :, 0] = 0
    x, y = nnrt.tensor(a, requires_grad=True), torch.tensor(a, requires_grad=True)
    got, want = F.normalize(x, **kwargs), torch.nn.functional.normalize(y, **kwargs)
    np.testing.assert_allclose(got.detach().numpy(), want.detach().numpy(), rtol=1e-12)
    w = rng.standard_normal(a.shape)
    got.backward(nnrt.tensor(w))
    want.backward(torch.tensor(w))
    np.testing.assert_allclose(x.grad.numpy(), y.grad.numpy(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    "name, args", [("relu", ()), ("leaky_relu", (0.2,)), ("elu", ()), ("celu", (2.0,)), ("selu", ()),
                   ("hardtanh", (-0.5, 0.5)), ("rrelu", ()), ("threshold", (0.1, 3.0))]
)  # fmt: skip
def test_in_place_names(name, args, rng):
    a = rng.standard_normal(10).astype(np.float32)
    want = getattr(F, name)(nnrt.tensor(a), *args).numpy()
    x = nnrt.tensor(a)
    assert getattr(F, name + "_")(x, *args) is x
    np.testing.assert_array_equal(x.numpy(), want)
    leaf = nnrt.tensor(a, requires_grad=True)
    getattr(F, name + "_")(leaf, *args).sum().backward()
    np.testing.assert_array_equal(leaf.detach().numpy(), a)
    assert leaf.grad is not None


def test_dropout_is_off_when_not_training():
    x = nnrt.ones(3, 4)
    for name in ("dropout", "alpha_dropout", "feature_alpha_dropout"):
        assert getattr(F, name)(x, 0.9, training=False).tolist() == x.tolist()
    assert (F.dropout(x, 1.0).numpy() == 0).all()
    for name, shape in (("dropout1d", (3,)), ("dropout2d", (3, 4)), ("dropout3d", (3, 4, 5))):
        with pytest.raises(RuntimeError, match=f"{name}: wants"):
            getattr(F, name)(nnrt.ones(shape))
    with pytest.raises(ValueError, match="p must be"):
        F.dropout(x, 2.0)


def test_inplace_layers_leave_leaves_and_saved_values_alone():
    """An in-place activation after a layer overwrites nothing that a backward needs."""
    model = nn.Sequential(nn.Linear(3, 4), nn.Sigmoid(), nn.ReLU(inplace=True), nn.Linear(4, 1)).double()
    x = nnrt.randn(5, 3, dtype=nnrt.float64, requires_grad=True)
    assert nnrt.autograd.gradcheck(model, [x])
