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
from ..ops._conv_fused import Fused, again
from ..ops.products import linear_activated
from ..tensor import Tensor
from . import activation as act
from . import module as modules
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
    asked = conv.__dict__.get("_asked")
    if asked is None or asked[0] != modules.changes or asked[1] is not norm:
        asked = modules.changes, norm, _asked(conv, norm)
        if type(conv) in _NORM_AFTER:
            conv.__dict__["_asked"] = asked
    if asked[2] is None:
        return None
    part, ndim, given, eps = asked[2]
    if not isinstance(input, Tensor) or (ndim is not None and input.ndim != ndim):
        return None
    if grad_enabled() and on_tape((input, residual, *given)):
        return None
    try:
        return part.run(input, given, activation, residual, eps)
    except RuntimeError:
        if residual is None:
            raise
        return None  # a sum that broadcasts; or the modules say what is wrong


def _asked(conv, norm):
    """What stays the same until a module changes: Fused, the axes that a norm wants, tensors and eps; None where it takes two."""
    after = _NORM_AFTER.get(type(conv))
    if after is None or altered(conv) or conv.padding_mode != "zeros" or (norm is not None and altered(norm)):
        return None
    if norm is not None and type(norm) is not Identity and (norm.training or type(norm) is not after):
        return None
    given, eps = _given(conv, norm)
    return conv.fused(), conv.dims + 2 if len(given) > 2 else None, given, eps


def _given(conv, norm):
    """The tensors and the eps that Fused.run takes."""
    own = conv.weight, conv.bias
    if norm is None or type(norm) is Identity:
        return own, 0.0
    return (*own, norm.weight, norm.bias, norm.running_mean, norm.running_var), norm.eps


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


class FusedConv(Module):
    """act(conv(x) + bias + residual) in one pass, without a gradient."""

    def __init__(self, conv: Module, activation: str | None = None) -> None:
        super().__init__()
        self.weight = conv.weight
        self.register_parameter("bias", conv.bias)
        self._fused = Fused(conv.stride, conv.padding, conv.dilation, conv.groups)
        self.activation = activation
        self.description = conv.extra_repr()

    def forward(self, input: Tensor, residual: Tensor | None = None) -> Tensor:
        return self._fused.run(input, (self.weight, self.bias), self.activation, residual)

    def fused(self) -> Fused:
        return self._fused

    def extra_repr(self) -> str:
        return f"{self.description}, activation={self.activation}"


Group = tuple[Module, Module | None, Module | None]


class Row:
    """Groups of convolutions that follow one another, and what one call has found out of them for the next."""

    def __init__(self, groups: Sequence[Group]) -> None:
        self.groups = groups
        self.seen = -1  # modules.changes at the last call that went through the groups one by one
        # A tuple, which threads replace at once: modules.changes, settings and back-ends, x's shape; tensors, arrays and
        # versions, products and the shapes of their results of all convolutions in their order; the axes of the last result.
        self.known = None

    def __call__(self, x: Any) -> Any:
        mark = modules.changes
        y = again(self.known, x, mark)
        if y is not None:
            return y
        one = True
        for group in self.groups:
            x, alone = _applied(x, *group)
            one = one and alone
        self.known = self._learnt(mark) if one and self.seen == mark else None
        self.seen = mark
        return x

    def _learnt(self, mark):
        """What `again` takes, or None: after a call of each convolution as one op, on what the one before has made."""
        knowns = [conv.fused().known for conv, _, _ in self.groups]
        shape, settings, ndim = knowns[0][0], knowns[0][5], knowns[0][8]
        x_shape = shape
        for (conv, norm, after), known in zip(self.groups, knowns):
            given, eps = _given(conv, norm)
            activation = conv.activation if type(conv) is FusedConv else activation_of(after)
            found, _, _, *use, product, y, _, own = known
            # A convolution that is used elsewhere, too, may know another use of it.
            if product is None or found != x_shape or use != [activation, eps, settings] or not _same(own, given):
                return None
            x_shape = y[0], y[4], *y[6 - ndim : 4]
        given, arrays, marks = [tuple([item for known in knowns for item in known[i]]) for i in (9, 1, 2)]
        return mark, settings, shape, given, arrays, marks, *[tuple([known[i] for known in knowns]) for i in (6, 7)], ndim


def _same(these, those):
    return len(these) == len(those) and all([a is b for a, b in zip(these, those)])


def grouped(row: Sequence[Module]) -> list[Group | Row]:
    """The modules of a row as (module, batch norm, activation) where these follow it and may be one op with it, else None;
    several convolutions one after the other as a Row."""
    made, convolutions, i, count = [], [], 0, len(row)
    while i < count:
        module, norm, after = row[i], None, None
        i += 1
        kind = type(module)
        if kind in _NORM_AFTER and i < count and type(row[i]) is _NORM_AFTER[kind]:
            norm = row[i]
            i += 1
        if i < count and (kind in _NORM_AFTER or kind is Linear or hasattr(kind, "rectified")) and type(row[i]) in _APPLIED:
            after = row[i]
            i += 1
        single = kind not in _NORM_AFTER and kind is not FusedConv
        if not single:
            convolutions.append((module, norm, after))
        if convolutions and (single or i == count):
            made += [Row(convolutions)] if len(convolutions) > 1 else convolutions
            convolutions = []
        if single:
            made.append((module, norm, after))
    return made


def run(groups: Sequence[Group | Row], x: Any) -> Any:
    """The modules of these groups one after the other, what can be one op as one."""
    for group in groups:
        x = group(x) if type(group) is Row else _applied(x, *group)[0]
    return x


def _applied(x, module, norm, after):
    """What a group makes of x, and whether as one op."""
    kind, activation = type(module), None if after is None else activation_of(after)
    y = None
    if kind in _NORM_AFTER:
        y = fused(x, module, norm, activation)
    elif activation is not None and kind is Linear:
        y = _activated(x, module, activation)
    if y is not None:
        return (y, True) if after is None or activation is not None else (after(y), False)
    last = module
    if norm is not None:
        x, last = module(x), norm
    if activation == "relu" and hasattr(type(last), "rectified"):
        return last.rectified(x), False
    y = last(x)
    return y if after is None else after(y), kind is FusedConv and not altered(module)
