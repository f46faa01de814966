"""Modules in a row as one op: a convolution with the batch norm and the activation after it, and a sum between the two; a
linear layer with its activation.

This is how nn.Sequential and the blocks of nnrt.models run where no gradient is wanted. Nothing is converted beforehand:
the convolution keeps its folded filter for as long as no tensor that went into it changes (ops/_folded.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..autograd import on_tape
from ..ops.products import linear_activated
from ..tensor import Tensor
from . import activation as act
from .conv import Conv1d, Conv2d, Conv3d
from .linear import Identity, Linear
from .module import Module
from .norm import BatchNorm1d, BatchNorm2d, BatchNorm3d

_NORM_AFTER = {Conv1d: BatchNorm1d, Conv2d: BatchNorm2d, Conv3d: BatchNorm3d}
_ACTIVATIONS = {act.ReLU: "relu", act.Tanh: "tanh", act.Sigmoid: "sigmoid", act.SiLU: "silu"}
_GELUS = {"none": "gelu", "tanh": "gelu_tanh"}


def fused(input: Any, conv: Module, norm: Module | None, activation: str | None, residual: Tensor | None = None) -> Tensor | None:
    """activation(norm(conv(input)) + residual) as one op, or None where it takes several.

    One op it is where no gradient is wanted, conv is a Conv1d to Conv3d with zero padding, norm (None or an Identity: none) its
    batch norm in evaluation mode with running statistics, and neither has hooks. activation: a name as activation_of gives it.
    """
    after = _NORM_AFTER.get(type(conv))
    if after is None or altered(conv) or conv.padding_mode != "zeros":
        return None
    if not isinstance(input, Tensor):
        return None
    weight, bias, vectors, eps = conv.weight, conv.bias, None, 0.0
    if norm is not None:
        if type(norm) is after and not norm.training and input.ndim == conv.dims + 2:
            vectors, eps = (norm.weight, norm.bias, norm.running_mean, norm.running_var), norm.eps
        elif type(norm) is not Identity:
            return None
        if altered(norm):
            return None
    if on_tape((input, weight, bias, residual, *(vectors or ()))):
        return None
    try:
        return conv.fused()(input, weight, bias, activation, residual, vectors, eps)
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
    weight, bias = linear.weight, linear.bias
    if altered(linear) or not isinstance(input, Tensor) or on_tape((input, weight, bias)):
        return None
    return linear_activated(input, weight, bias, activation)


def run(modules: Sequence[Module], x: Any) -> Any:
    """The modules one after the other, what can be one op as one."""
    i, count = 0, len(modules)
    while i < count:
        module = modules[i]
        i += 1
        after = modules[i] if i < count else None
        if type(module) in _NORM_AFTER:
            norm, at = None, i
            if type(after) is _NORM_AFTER[type(module)]:
                norm, at = after, i + 1
                after = modules[at] if at < count else None
            activation = activation_of(after)
            y = fused(x, module, norm, activation)
            if y is not None:
                x, i = y, at if activation is None else at + 1
                continue
        elif type(module) is Linear:
            activation = activation_of(after)
            y = None if activation is None else _activated(x, module, activation)
            if y is not None:
                x, i = y, i + 1
                continue
        elif hasattr(type(module), "rectified") and activation_of(after) == "relu":
            x = module.rectified(x)
            i += 1
            continue
        x = module(x)
    return x
