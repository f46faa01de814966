"""Modules in a row as one op: a convolution with the batch norm and the activation after it, and a sum between the two; a
linear layer with its activation; a recurrent layer with the embedding in front of it.

This is how nn.Sequential and the blocks of nnrt.models run where no gradient is wanted; a linear layer with its relu and the last
of these also where one is.
Nothing is converted beforehand: the convolution keeps its folded filter for as long as no tensor that went into it changes
(ops/_folded.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..autograd import grad_enabled, on_tape
from ..ops.products import linear_activated
from ..tensor import Tensor
from . import activation as act
from .conv import Conv1d, Conv2d, Conv3d
from .linear import Identity, Linear
from .module import Module
from .norm import BatchNorm1d, BatchNorm2d, BatchNorm3d
from .rnn import GRU, LSTM, RNN
from .sparse import Embedding

_NORM_AFTER = {Conv1d: BatchNorm1d, Conv2d: BatchNorm2d, Conv3d: BatchNorm3d}
_ACTIVATIONS = {act.ReLU: "relu", act.Tanh: "tanh", act.Sigmoid: "sigmoid", act.SiLU: "silu"}
_APPLIED = {*_ACTIVATIONS, act.GELU}
_GELUS = {"none": "gelu", "tanh": "gelu_tanh"}


def fused(input: Any, conv: Module, norm: Module | None, activation: str | None, residual: Tensor | None = None) -> Tensor | None:
    """activation(norm(conv(input)) + residual) as one op, or None where it takes several.

    One op it is where no gradient is wanted, conv is a Conv1d to Conv3d with zero padding, norm (None or an Identity: none) its
    batch norm in evaluation mode with running statistics, and neither has hooks. activation: a name as activation_of gives it.
    """
    if norm is not None and norm.training and type(norm) is not Identity:  # first, for training's sake
        return None
    after = _NORM_AFTER.get(type(conv))
    if after is None or altered(conv) or conv.padding_mode != "zeros":
        return None
    if not isinstance(input, Tensor):
        return None
    given, eps = (conv.weight, conv.bias), 0.0
    if norm is not None:
        if type(norm) is after and input.ndim == conv.dims + 2:
            given, eps = (*given, norm.weight, norm.bias, norm.running_mean, norm.running_var), norm.eps
        elif type(norm) is not Identity:
            return None
        if altered(norm):
            return None
    if grad_enabled() and on_tape((input, residual, *given)):
        return None
    try:
        return conv.fused().run(input, given, activation, residual, eps)
    except RuntimeError:
        if residual is None:
            raise
        return None  # a sum that broadcasts; or the modules say what is wrong


def altered(module: Module) -> bool:
    """Whether a call of it is more than its class's forward: it has hooks, or a forward of its own."""
    return bool(module._hooks) or "forward" in module.__dict__


def activation_of(module: Module | None) -> str | None:
    """The name under which a convolution can apply this activation, None for other modules."""
    kind = type(module)
    name = _GELUS.get(module.approximate) if kind is act.GELU else _ACTIVATIONS.get(kind)
    return None if name is None or altered(module) else name


def _activated(input, linear, activation):
    """activation(linear(input)) as one op, or None where it takes two."""
    if altered(linear) or not isinstance(input, Tensor):
        return None
    return linear_activated(input, linear.weight, linear.bias, activation)


def embedded(ids: Any, embedding: Module, layer: Module, hx: Any = None, lengths: Any = None) -> Any:
    """layer(embedding(ids), hx, lengths) with W x computed once for each symbol, not for each of ids; or None.

    That is where ids [T, B] ([B, T] with batch_first) are more than twice as many as symbols, layer is an RNN, GRU or LSTM,
    neither module has hooks, and the embedding has no options: then all that it takes back are sums of rows.
    """
    if type(layer) not in (RNN, GRU, LSTM) or type(embedding) is not Embedding:
        return None
    options = (embedding.padding_idx, embedding.max_norm, embedding.scale_grad_by_freq or None, embedding.sparse or None)
    few = isinstance(ids, Tensor) and ids.ndim == 2 and ids.numel() > 2 * embedding.num_embeddings
    if not few or options != (None,) * 4 or altered(embedding) or altered(layer):
        return None
    return layer.over(embedding.weight, hx, lengths, ids)


def grouped(modules: Sequence[Module]) -> list[tuple[Module, Module | None, Module | None]]:
    """The modules of a row as (module, batch norm, activation) where these follow it and may be one op with it, else None."""
    groups, i, count = [], 0, len(modules)
    while i < count:
        module, norm, after = modules[i], None, None
        i += 1
        kind = type(module)
        if kind in _NORM_AFTER and i < count and type(modules[i]) is _NORM_AFTER[kind]:
            norm = modules[i]
            i += 1
        if i < count and (kind in _NORM_AFTER or kind is Linear or hasattr(kind, "rectified")) and type(modules[i]) in _APPLIED:
            after = modules[i]
            i += 1
        groups.append((module, norm, after))
    return groups


def run(groups: Sequence[tuple[Module, Module | None, Module | None]], x: Any) -> Any:
    """The modules of these groups one after the other, what can be one op as one."""
    for module, norm, after in groups:
        kind, activation = type(module), None if after is None else activation_of(after)
        y = None
        if kind in _NORM_AFTER:
            y = fused(x, module, norm, activation)
        elif activation is not None and kind is Linear:
            y = _activated(x, module, activation)
        if y is None:
            last = module
            if norm is not None:
                x, last = module(x), norm
            if activation == "relu" and hasattr(type(last), "rectified"):
                x = last.rectified(x)
                continue
            y, activation = last(x), None
        x = y if after is None or activation is not None else after(y)
    return x
