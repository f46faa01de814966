"""Convolutions and their adjoints over one, two or three axes.

    y = x * w + b                         dx = dy *ᵀ w        dw = Σ_{n, positions} dy x       db = Σ dy
    x = y *ᵀ w + b (conv_transpose)       dy = dx * w         dw = Σ_{n, positions} y dx       db = Σ dx

Legend: N batch, C channels in, O channels out, G groups, P positions (all of N, D, H, W), K the filter's size.

Three products are all there is, each with its choice of algorithm (`choose_conv`): the forward one, y;
the adjoint, which is a convolution's input gradient and a transposed convolution's forward pass; and the
filter's gradient. Shapes are torch's, memory is channels last (`_layout`). A causal convolution pads
d (K - 1) in front alone: F.pad(x, (d * (K - 1), 0)) and padding=0; a full one has padding = d (K - 1).
"""

import math
from functools import lru_cache

from .. import config, memory, registry
from ..autograd import grad_enabled, record
from ._geometry import conv_geometry, ints, transposed_geometry
from ._layout import as_nchw, channels_last
from ._packed import cell_of, packed
from .promotion import not_tensors

K = registry.family("conv")
L = registry.family("linear")


# ---- which algorithm ----


def choose_conv(task, geometry, dtype, conv="auto", precision="fast"):
    """The algorithm for one of a convolution's products: a pure function.

    task: "forward", "input" (the adjoint) or "filter"; geometry: see _geometry.Geometry; conv, precision: the
    settings of these names. Returns "pointwise" or "direct".
    """
    if conv in ("auto", "pointwise") and _pointwise(geometry):
        return "pointwise"
    return "direct"


def _pointwise(g):
    return g.w[2:] == (1, 1, 1) and g.stride == (1, 1, 1) and g.padding == (0, 0, 0) and g.groups == 1


@lru_cache(4096)
def _choices(geometry, dtype):
    settings = config.settings
    return {
        task: choose_conv(task, geometry, dtype, settings.conv, settings.precision)
        for task in ("forward", "input", "filter")
    }


# ---- the three products, on channels-last arrays ----


def _forward(y, x, w, cell, b, residual, g, activation=None):
    """y = act(x * w + b + residual)."""
    how = _choices(g, y.dtype)["forward"]
    if how == "pointwise":
        L.gemm(_rows(y), _rows(x), w.reshape(g.w[:2]).T, b, None if residual is None else _rows(residual), 1.0, 0.0, activation)
    else:
        p = _packed_direct(w, cell, g, False)
        K.conv(y, x, p, g.w, b, residual, g.stride, g.padding, g.dilation, g.groups, activation)


def _adjoint(x, y, w, cell, b, residual, g, activation=None):
    """x = act(y *ᵀ w + b + residual)."""
    how = _choices(g, x.dtype)["input"]
    if how == "pointwise":
        L.gemm(_rows(x), _rows(y), w.reshape(g.w[:2]), b, None if residual is None else _rows(residual), 1.0, 0.0, activation)
    else:
        p = _packed_direct(w, cell, g, True)
        K.conv_transposed(x, y, p, g.w, b, residual, g.stride, g.padding, g.dilation, g.groups, activation)


def _filter_grad(dw, x, dy, g):
    """dw = Σ dy x."""
    how = _choices(g, x.dtype)["filter"]
    if how == "pointwise":
        L.gemm(dw.reshape(g.w[:2]), _rows(dy).T, _rows(x), None, None, 1.0, 0.0, None)
    else:
        K.filter_backward(dw.reshape(g.w), x, dy, g.stride, g.padding, g.dilation, g.groups)


def _packed_direct(w, cell, g, backward):
    def size():
        return K.filter_size(g.w, g.groups, w.dtype, backward)

    kind = ("direct", g.stride, g.dilation, g.groups, True) if backward else ("direct", g.groups, False)
    return packed(cell, w, kind, K.pack_filter, size, g.stride, g.dilation, g.groups, backward)


def _rows(a):
    """[N, D, H, W, C] as [P, C]."""
    return a.reshape(math.prod(a.shape[:-1]), a.shape[-1])


def _bias_grad(dy):
    db = memory.empty(dy.shape[-1:], dy.dtype)
    L.bias_grad(db, _rows(dy))
    return db


# ---- convolutions ----


def conv1d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """y[n, o, l] = Σ_{c, k} x[n, c, l s - p + k d] w[o, c, k] + b[o], x being 0 outside.

    input: [N, C, L] or [C, L]; weight: [O, C/groups, K]; bias: [O] or None; all float32 or all float64.
    padding: a number for both ends, "valid" (none) or "same" (the output has the input's size; of an odd total the
    end gets one more). RuntimeError for sizes that do not fit, TypeError for arguments of other types.
    """
    return _conv("conv1d", 1, input, weight, bias, stride, padding, dilation, groups)


def conv2d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """conv1d over two axes: input [N, C, H, W] or [C, H, W], weight [O, C/groups, KH, KW]; arguments are ints or pairs."""
    return _conv("conv2d", 2, input, weight, bias, stride, padding, dilation, groups)


def conv3d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """conv1d over three axes: input [N, C, D, H, W] or [C, D, H, W], weight [O, C/groups, KD, KH, KW]."""
    return _conv("conv3d", 3, input, weight, bias, stride, padding, dilation, groups)


def fused(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1, activation=None, residual=None):
    """act(conv(x, weight) + bias + residual) in one pass, without a gradient; the number of axes is weight's.

    activation: None, "relu", "gelu", "gelu_tanh", "tanh", "sigmoid" or "silu"; residual: of the result's shape.
    RuntimeError where a gradient is asked for.
    """
    given = (x, weight, bias, residual)
    if grad_enabled() and any([t is not None and getattr(t, "requires_grad", False) for t in given]):
        raise RuntimeError("fused: has no gradient; call it under no_grad()")
    dims = len(weight.shape) - 2
    if dims not in (1, 2, 3):
        raise RuntimeError(f"fused: weight must have 3, 4 or 5 dimensions, got shape {tuple(weight.shape)}")
    return _conv("fused", dims, x, weight, bias, stride, padding, dilation, groups, activation, residual)


def _conv(op, dims, input, weight, bias, stride, padding, dilation, groups, activation=None, residual=None):
    x, w, b = _arrays(op, input, weight, bias)
    if not isinstance(padding, str):
        padding = ints(op, "padding", padding)
    stride, dilation = ints(op, "stride", stride), ints(op, "dilation", dilation)
    b_shape = None if b is None else b.shape
    g = conv_geometry(op, dims, x.shape, w.shape, b_shape, stride, padding, dilation, groups)
    batched = x.ndim == dims + 2
    xl = channels_last(x if batched else x[None])
    y = memory.empty(g.y, x.dtype)
    if residual is not None:
        residual = _residual(op, residual, as_nchw(y, dims + 2) if batched else as_nchw(y, dims + 2)[0], batched)
    cell = cell_of(weight)
    _forward(y, xl, w, cell, b, residual, g, activation)
    out = as_nchw(y, dims + 2)
    return record(out if batched else out[0], conv_backward, (input, weight, bias), (input, weight, xl, g, cell))


def conv_backward(node, dy):
    x, w, xl, g, cell = node.saved
    batched = x.ndim == w.ndim
    dyl = channels_last(dy if batched else dy[None])
    dx = dw = db = None
    if node.needs(0):
        dxl = memory.empty(g.x, x.dtype)
        _adjoint(dxl, dyl, w, cell, None, None, g)
        dx = as_nchw(dxl, w.ndim)
        dx = dx if batched else dx[0]
    if node.needs(1):
        dw = memory.empty(w.shape, w.dtype)
        _filter_grad(dw, xl, dyl, g)
    if node.needs(2):
        db = _bias_grad(dyl)
    return dx, dw, db


# ---- transposed convolutions ----


def conv_transpose1d(
    input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1
):
    """The adjoint of conv1d: x[n, c, i] = Σ_{o, k: i = l s - p + k d} y[n, o, l] w[o, c, k] + b[c], as a layer.

    input: [N, C, L] or [C, L]; weight: [C, O/groups, K]; bias: [O] or None; result: [N, O, (L - 1) s - 2 p + d (K - 1)
    + output_padding + 1]. output_padding says which of the s sizes that conv1d maps to L is meant. Errors as conv1d's.
    """
    return _conv_transpose("conv_transpose1d", 1, input, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose2d(
    input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1
):
    """conv_transpose1d over two axes: input [N, C, H, W] or [C, H, W], weight [C, O/groups, KH, KW]."""
    return _conv_transpose("conv_transpose2d", 2, input, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose3d(
    input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1
):
    """conv_transpose1d over three axes: input [N, C, D, H, W] or [C, D, H, W], weight [C, O/groups, KD, KH, KW]."""
    return _conv_transpose("conv_transpose3d", 3, input, weight, bias, stride, padding, output_padding, groups, dilation)


def _conv_transpose(op, dims, input, weight, bias, stride, padding, output_padding, groups, dilation):
    y, w, b = _arrays(op, input, weight, bias)
    stride, padding = ints(op, "stride", stride), ints(op, "padding", padding)
    output_padding, dilation = ints(op, "output_padding", output_padding), ints(op, "dilation", dilation)
    b_shape = None if b is None else b.shape
    g = transposed_geometry(op, dims, y.shape, w.shape, b_shape, stride, padding, output_padding, dilation, groups)
    batched = y.ndim == dims + 2
    yl = channels_last(y if batched else y[None])
    x = memory.empty(g.x, y.dtype)
    cell = cell_of(weight)
    _adjoint(x, yl, w, cell, b, None, g)
    out = as_nchw(x, dims + 2)
    return record(out if batched else out[0], conv_transpose_backward, (input, weight, bias), (input, weight, yl, g, cell))


def conv_transpose_backward(node, dx):
    y, w, yl, g, cell = node.saved
    batched = y.ndim == w.ndim
    dxl = channels_last(dx if batched else dx[None])
    dy = dw = db = None
    if node.needs(0):
        dyl = memory.empty(g.y, y.dtype)
        _forward(dyl, dxl, w, cell, None, None, g)
        dy = as_nchw(dyl, w.ndim)
        dy = dy if batched else dy[0]
    if node.needs(1):
        dw = memory.empty(w.shape, w.dtype)
        _filter_grad(dw, dxl, yl, g)
    if node.needs(2):
        db = _bias_grad(dxl)
    return dy, dw, db


# ---- arguments ----


def _arrays(op, input, weight, bias):
    """The arguments' arrays, of one floating dtype."""
    try:
        x, w = input.array, weight.array
        b = None if bias is None else memory.contiguous(bias.array)
    except AttributeError:
        raise not_tensors(op, input=input, weight=weight, bias=bias) from None
    if x.dtype != w.dtype or x.dtype.char not in "fd" or (b is not None and b.dtype != x.dtype):
        got = ", ".join([f"{name} {a.dtype}" for name, a in (("input", x), ("weight", w), ("bias", b)) if a is not None])
        raise RuntimeError(f"{op}: arguments must all be float32 or all float64, got {got}")
    return x, w, b


def _residual(op, residual, y, batched):
    r = residual.array
    if r.shape != y.shape or r.dtype != y.dtype:
        raise RuntimeError(f"{op}: residual must be {y.dtype} of the result's shape {y.shape}, got {r.dtype} of shape {r.shape}")
    return channels_last(r if batched else r[None])


config.on_change("conv", lambda _: _choices.cache_clear())
config.on_change("precision", lambda _: _choices.cache_clear())
