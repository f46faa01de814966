"""Models for inference: batch norms folded into the layer before them, convolutions fused with what follows.

How a norm is folded stands in ops/_folded.py; nn/fused.py does both without a copy, wherever it sees what follows what.
Here that is read from nn.Sequential (nested ones count as one), and with example inputs also from
a run of the model: where a layer's output is the very tensor that a norm is called with.

A class can say which norm follows which convolution: fusable = (("conv1", "bn1"), ("conv2", "bn2")).
"""

from __future__ import annotations

import copy
from collections import Counter
from typing import Any

import numpy as np

from ...autograd import no_grad
from ...ops._folded import scale_and_offset
from ...tensor import Tensor, wrap
from ..container import Sequential
from ..conv import Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from ..fused import FusedConv, activation_of
from ..linear import Identity, Linear
from ..module import Module
from ..norm import BatchNorm1d, BatchNorm2d, BatchNorm3d
from ..parameter import Parameter
from ..residual import Residual

_NORM_AFTER = {
    Linear: BatchNorm1d,
    Conv1d: BatchNorm1d, Conv2d: BatchNorm2d, Conv3d: BatchNorm3d,
    ConvTranspose1d: BatchNorm1d, ConvTranspose2d: BatchNorm2d, ConvTranspose3d: BatchNorm3d,
}  # fmt: skip
_CONVOLUTIONS = (Conv1d, Conv2d, Conv3d)


def fold_batch_norm(model: Module, *example: Any) -> Module:
    """A copy of model in which batch norms are part of the convolution or linear layer before them.

    Each folded norm leaves an Identity in its place. A norm is folded when it directly follows the
    layer (see the module's text), both are used once and have no hooks, and the norm has running
    statistics; a Linear is taken to make [N, features]. Every new layer is held against the two that
    it replaces, and with example inputs the whole copy against the model: RuntimeError where they differ.
    ValueError for a norm in training mode: call eval() first.
    """
    made = copy.deepcopy(model)
    for layer, norm in _following(made, example):
        if _NORM_AFTER.get(type(layer[2])) is type(norm[2]) and norm[2].running_mean is not None:
            _fold(layer, norm)
    _compare("fold_batch_norm", model, made, example)
    return made


def fuse(model: Module, *example: Any) -> Module:
    """fold_batch_norm, then convolutions that apply the activation after them, and the sum of an nn.Residual, themselves.

    The copy is for inference: its parameters require no gradient. Fused are ReLU, GELU, Tanh, Sigmoid and
    SiLU after a Conv1d to Conv3d with zero padding, the Residual whose module ends in such a convolution, and
    the activation after that. Arguments and errors as for fold_batch_norm. nn.Sequential and the models of nnrt.models do as
    much by themselves where no gradient is wanted (nn/fused.py): what is left for fuse is a module's own forward,
    Residuals, and transposed convolutions and Linear before a norm.
    """
    made = fold_batch_norm(model, *example).requires_grad_(False).eval()
    paths = _paths(made)
    for name, module in list(made.named_modules(remove_duplicate=False)):
        if type(module) is Residual and name and paths[module] == 1 and module._hooks is None:
            chain = _chain(module.module) if _open(module.module) else []
            chain = [place for place in chain if type(place[2]) is not Identity]
            if chain and _plain_convolution(chain[-1][2]) and paths[chain[-1][2]] == 1:
                made.set_submodule(name, _FusedResidual(module.module, chain[-1]))
    for layer, after in _following(made, example, (*_CONVOLUTIONS, _FusedResidual)):
        activation = activation_of(after[2])
        if activation is None:
            continue
        if type(layer[2]) is _FusedResidual and layer[2].last.activation is None:
            layer[2].last.activation = activation
        elif _plain_convolution(layer[2]):
            _replace(layer, FusedConv(layer[2], activation))
        else:
            continue
        _replace(after, Identity())
    _compare("fuse", model, made, example)
    return made


class _FusedResidual(Module):
    """x + f(x), whose last convolution adds x."""

    def __init__(self, module: Module, last: tuple) -> None:
        super().__init__()
        self.last = FusedConv(last[2])
        _replace(last, Identity())
        self.module = module

    def forward(self, input: Tensor) -> Tensor:
        return self.last(self.module(input), input)


def _following(model, example, layers=tuple(_NORM_AFTER)):
    """Pairs of (parent, name, module): a layer, and what is called with its output alone. Identities are passed over."""
    paths = _paths(model)
    found = []
    for module in model.modules():
        if _open(module):
            found.extend(_chain(module))
            found.append(None)
    pairs = {}
    before = None
    for place in found:
        if place is not None and type(place[2]) is Identity:
            continue
        if before is not None and place is not None:
            pairs.setdefault(before[2], (before, place))
        before = place
    for module in model.modules():
        for names in getattr(type(module), "fusable", ()):
            layer, after = [(module, name, getattr(module, name)) for name in names]
            pairs.setdefault(layer[2], (layer, after))
    for layer, after in _called(model, example):
        pairs.setdefault(layer[2], (layer, after))
    return [
        pair
        for layer, pair in pairs.items()
        if type(layer) in layers and all(paths[m] == 1 and m._hooks is None for _, _, m in pair)
    ]


def _paths(model):
    """How many names each module has."""
    return Counter(module for _, module in model.named_modules(remove_duplicate=False))


def _open(module):
    return isinstance(module, Sequential) and type(module).forward is Sequential.forward and module._hooks is None


def _chain(sequential):
    """(parent, name, module) in the order of their calls, nested Sequentials unfolded."""
    places = []
    for name, module in sequential._children_with_names():
        places.extend(_chain(module) if _open(module) else [(sequential, name, module)])
    return places


def _called(model, example):
    """The pairs that a run shows: modules that are called once, the second with the output of the first."""
    if not example:
        return []
    watched, calls = copy.deepcopy(model), []
    names = {module: name for name, module in watched.named_modules()}
    for module, name in names.items():
        if type(module) is not Identity and not list(module.children()):
            module.register_forward_hook(lambda m, args, y, name=name: calls.append((name, args, y)))
    with no_grad():
        watched(*example)
    times = Counter(name for name, _, _ in calls)
    found, made = [], {}  # made: who returned a tensor last, in place or not; calls keeps it, so that an id is one tensor's
    for name, args, y in calls:
        before = made.get(id(args[0])) if len(args) == 1 else None
        if before is not None and times[before] == times[name] == 1:
            found.append((_place(model, before), _place(model, name)))
        made[id(y)] = name
    return found


def _place(model, path):
    parent, _, name = path.rpartition(".")
    return model.get_submodule(parent), name, model.get_submodule(path)


def _replace(place, module):
    parent, name, _ = place
    parent._register(name, module, parent._kinds[name])


def _fold(layer, norm):
    """Puts the layer with the norm in it in the layer's place, and an Identity in the norm's."""
    old, bn = layer[2], norm[2]
    if bn.training:
        raise ValueError(f"fold_batch_norm: {norm[1]!r}, a {type(bn).__name__}, is in training mode; call eval() first")
    x = wrap(_sample(old).astype(old.weight.dtype))
    with no_grad():
        want = bn(old(x)).array
    vectors = (old.bias, bn.weight, bn.bias, bn.running_mean, bn.running_var)
    scale, shift = scale_and_offset(*[None if t is None else t.array for t in vectors], bn.eps)
    w = old.weight.array.astype(np.float64)
    if isinstance(old, (ConvTranspose1d, ConvTranspose2d, ConvTranspose3d)):  # [C, O / G, ...]
        parts = w.reshape(old.groups, -1, *w.shape[1:])
        w = (parts * scale.reshape(old.groups, 1, -1, *(1,) * (w.ndim - 2))).reshape(w.shape)
    else:
        w = w * scale.reshape(-1, *(1,) * (w.ndim - 1))
    new = copy.deepcopy(old)
    for name, value in (("weight", w), ("bias", shift)):
        setattr(new, name, Parameter(wrap(value.astype(old.weight.dtype)), old.weight.requires_grad))
    with no_grad():
        _close("fold_batch_norm", f"{type(old).__name__} {layer[1]!r}", new(x).array, want)
    _replace(layer, new)
    _replace(norm, Identity())


def _sample(layer):
    """A small input of the layer."""
    if type(layer) is Linear:
        shape = (4, layer.in_features)
    else:
        shape = (2, layer.in_channels, *[d * (k - 1) + 3 for d, k in zip(layer.dilation, layer.kernel_size)])
    return np.random.default_rng(0).standard_normal(shape)


def _plain_convolution(module):
    return type(module) in _CONVOLUTIONS and module.padding_mode == "zeros" and module._hooks is None


def _compare(op, model, made, example):
    if example and not any(module.training for module in model.modules()):
        with no_grad():
            want, got = model(*example), made(*example)
        if isinstance(want, Tensor):
            _close(op, "the model", got.array, want.array)


def _close(op, what, got, want):
    """Rounding adds up with the layers: a hundredth of the largest value would be another function."""
    limit = (1e-2 if want.dtype == np.float32 else 1e-6) * (np.abs(want).max(initial=0) + 1e-6)
    if not np.abs(got - want).max(initial=0) <= limit:
        off = np.abs(got - want).max()
        raise RuntimeError(f"{op}: {what} gives other results than before, up to {off:.3g} away: is a layer used elsewhere too?")
