"""Names that programs written for torch use: methods in place, constants, distances, sampling."""

import inspect
import math

import numpy as np
import pytest

import nnrt
import nnrt.nn.functional as F
from nnrt import nn
from nnrt.ops import inplace

X = np.linspace(-0.9, 0.9, 12).reshape(3, 4)
Y = np.arange(1.0, 13).reshape(3, 4) / 3
ONE = np.array([1])
OTHERS = {
    "addmm": (np.ones((3, 2)), Y[:2]), "addmv": (np.eye(4), np.ones(4)), "addbmm": (np.ones((2, 3, 5)), np.ones((2, 5, 4))),
    "baddbmm": (np.ones((1, 3, 5)), np.ones((1, 5, 4))), "masked_scatter": (X > 0, Y), "index_fill": (0, ONE, 2.0),
    "index_copy": (0, ONE, Y[:1]), "index_put": ((ONE,), Y[:1]), "scatter_reduce": (0, np.zeros((3, 4), int), Y, "sum"),
    "cumsum": (1,), "cumprod": (0,), "clip": (-0.5, 0.5), "clamp_min": (0.1,), "clamp_max": (0.1,), "tril": (-1,), "triu": (1,),
}  # fmt: skip
SELVES = {"addmv": X[0], "baddbmm": X[None]}
NEED_INTEGERS = ("gcd", "lcm", "bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_not")
TWO = {"elementwise", "binary", "compare"}


def stored():
    for family, names in inplace._STORING.items():
        for name in names.split():
            two = family.__name__.rpartition(".")[2] in TWO and not name.endswith("_not")
            yield pytest.param(name, OTHERS.get(name, (Y,) if two else ()), id=name)


def tensors(value, library=nnrt):
    if isinstance(value, tuple):
        return tuple(tensors(v, library) for v in value)
    return library.tensor(value) if isinstance(value, np.ndarray) else value


@pytest.mark.parametrize("name, args", list(stored()))
def test_methods_in_place_store_what_the_function_returns(name, args, torch):
    a = SELVES.get(name, X)
    if name in NEED_INTEGERS:
        a, args = np.arange(12).reshape(3, 4), (np.full((3, 4), 6),) * len(args)
    x, t = nnrt.tensor(a), torch.tensor(a)
    view = x.detach()
    assert getattr(x, name + "_")(*tensors(args)) is x and view.data_ptr() == x.data_ptr() and view._version == 1
    np.testing.assert_allclose(x.numpy(), getattr(t, name + "_")(*tensors(args, torch)).numpy(), rtol=1e-9)
    with pytest.raises(RuntimeError, match=rf"{name}_: changes in place are not recorded"):
        getattr(nnrt.tensor(X, requires_grad=True), name + "_")(*tensors(args))


def test_shapes_change_in_place():
    x = nnrt.arange(6.0).reshape(2, 3)
    assert x.unsqueeze_(0) is x and x.shape == (1, 2, 3)
    assert x.transpose_(1, 2).shape == (1, 3, 2) and x.squeeze_(0).t_().tolist() == [[0, 1, 2], [3, 4, 5]]
    with pytest.raises(RuntimeError, match="unsqueeze_: changes in place"):
        nnrt.ones(2, requires_grad=True).unsqueeze_(0)
    assert nnrt.zeros(2, 3).fill_diagonal_(4).tolist() == [[4, 0, 0], [0, 4, 0]]


def test_samples_in_place():
    nnrt.manual_seed(0)
    x = nnrt.empty(20000)
    assert abs(x.exponential_(2.0).mean().item() - 0.5) < 0.02 and x.min().item() > 0
    assert x.random_(3).unique().tolist() == [0, 1, 2] and x.random_(2, 4).unique().tolist() == [2, 3]
    assert nnrt.empty(50, dtype=nnrt.uint8).random_().max().item() > 100


def test_questions_and_conversions():
    x = nnrt.ones(2, 3)
    assert (x.nelement(), x.ndimension(), x.is_cuda, x.is_signed(), nnrt.is_complex(x)) == (6, 2, False, True, False)
    assert [x.half().dtype, x.short().dtype, x.char().dtype, x.byte().dtype] == ["float16", "int16", "int8", "uint8"]
    assert nnrt.is_nonzero(nnrt.tensor(2)) and x.where(x > 1, nnrt.zeros(3)).sum().item() == 0
    assert not nnrt.cuda.is_available() and nnrt.cuda.device_count() == 0
    with pytest.raises(RuntimeError, match="device 'cuda' is not available"):
        x.cuda()
    assert nnrt.Size([2, 3]) == x.size() and x[nnrt.newaxis].shape == (1, 2, 3)
    assert (nnrt.pi, nnrt.e, nnrt.inf) == (math.pi, math.e, math.inf) and nnrt.nan != nnrt.nan
    for make in (nnrt.zeros, nnrt.ones, nnrt.empty, nnrt.rand, nnrt.randn):
        assert make(size=(2, 3)).shape == (2, 3)


@pytest.mark.parametrize("p", [0.0, 1.0, 2.0, 3.0, math.inf])
def test_distances(p, torch):
    a, b = Y.reshape(2, 2, 3), X.reshape(2, 2, 3)
    args = nnrt.tensor(a, requires_grad=True), nnrt.tensor(b, requires_grad=True)
    np.testing.assert_allclose(nnrt.cdist(*args, p).detach().numpy(), torch.cdist(torch.tensor(a), torch.tensor(b), p))
    np.testing.assert_allclose(F.pdist(nnrt.tensor(X), p).numpy(), torch.pdist(torch.tensor(X), p))
    if p:
        assert nnrt.autograd.gradcheck(lambda x, y: nnrt.cdist(x, y, p), args)


def test_gumbel_softmax():
    nnrt.manual_seed(0)
    p = nnrt.tensor([0.1, 0.2, 0.7])
    y = F.gumbel_softmax(p.log().expand(20000, 3), hard=True)
    assert set(y.flatten().tolist()) == {0.0, 1.0} and np.abs((y.mean(0) - p).numpy()).max() < 0.02
    x = nnrt.zeros(5, 3, requires_grad=True)
    F.gumbel_softmax(x, tau=0.5, hard=True)[:, 0].sum().backward()
    assert (x.grad[:, 0] > 0).all() and np.abs(x.grad.sum(1).numpy()).max() < 1e-6


@pytest.mark.parametrize("n", [0, 1, 9])
def test_adaptive_log_softmax_is_torchs(n, torch):
    args = (16, 30, [5, 12], 2.0, True)
    theirs, ours = torch.nn.AdaptiveLogSoftmaxWithLoss(*args).double(), nn.AdaptiveLogSoftmaxWithLoss(*args).double()
    ours.load_state_dict({k: nnrt.tensor(v.numpy()) for k, v in theirs.state_dict().items()})
    rng = np.random.default_rng(n)
    x, t = rng.standard_normal((n, 16)), rng.integers(0, 30, n)
    ends = []
    for library, layer in ((nnrt, ours), (torch, theirs)):
        z = library.tensor(x, requires_grad=True)
        y = layer(z, library.tensor(t))
        y.output.sum().backward()
        found = [y.output.detach(), y.loss.detach(), z.grad, layer.head.weight.grad]
        ends.append([*found, layer.log_prob(z).detach(), layer.predict(z)])
    for got, wanted in zip(*ends):
        np.testing.assert_allclose(got.numpy(), wanted.numpy(), rtol=1e-9, atol=1e-12)
    with pytest.raises(RuntimeError, match="within 0 and 29, got 30 to 30"):
        ours(nnrt.zeros(1, 16, dtype=nnrt.float64), nnrt.tensor([30]))
    with pytest.raises(ValueError, match="cutoffs must rise between 0 and n_classes = 30"):
        nn.AdaptiveLogSoftmaxWithLoss(16, 30, [12, 5])


# Parameters of torch's functions that nnrt has not (README, Limits), and functions that torch's list itself names otherwise.
WITHOUT = {
    "out", "layout", "pin_memory", "memory_format", "requires_grad", "device", "dtype", "generator", "copy", "out_dtype", "names",
    "compute_mode", "cudnn_enabled", "pickle_module", "pickle_load_args", "pickle_protocol", "kwargs",
}  # fmt: skip
OTHERWISE = {
    "alpha_dropout", "dropout", "atleast_1d", "atleast_2d", "atleast_3d", "broadcast_to", "diag_embed", "isfinite", "isinf",
    "lstm", "msort", "permute", "swapaxes", "swapdims", "topk", "where", "xlogy",
}  # fmt: skip


def test_parameters_have_torchs_names(torch):
    known = torch.overrides.get_testing_overrides()
    compared, wrong = 0, []
    for ours, theirs in ((nnrt, torch), (F, torch.nn.functional)):
        for name, function in vars(ours).items():
            declared = known.get(getattr(theirs, name, None)) if callable(function) else None
            if declared is None or name in OTHERWISE:
                continue
            want = {n for n in inspect.signature(declared).parameters if n not in WITHOUT and not n.startswith("_")}
            wrong += [f"{name}: {missing}" for missing in want - set(inspect.signature(function).parameters)]
            compared += 1
    assert compared > 300 and not wrong, wrong
    x = nnrt.arange(6.0)
    assert nnrt.reshape(input=x, shape=(2, 3)).permute(dims=(1, 0)).tile(dims=(1, 2)).shape == (3, 4)
    assert x.view(2, 3).scatter_(1, nnrt.tensor([[0], [2]]), value=-1.0).tolist() == [[-1, 1, 2], [3, 4, -1]]
    assert nnrt.tensor([7.0, -7.0]).div_(2, rounding_mode="floor").tolist() == [3, -4]
