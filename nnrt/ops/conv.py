"""Convolutions and their adjoints over one, two or three axes.

    y = x * w + b                         dx = dy *ᵀ w        dw = Σ_{n, positions} dy x       db = Σ dy
    x = y *ᵀ w + b (conv_transpose)       dy = dx * w         dw = Σ_{n, positions} y dx       db = Σ dx

Legend: N batch, C channels in, O channels out, G groups, P positions (all of N, D, H, W), K the filter's size.

Three products are all there is (`_conv_products`), each with its choice of algorithm (`_conv_choice`): the forward one, y;
the adjoint, which is a convolution's input gradient and a transposed convolution's forward pass; and the
filter's gradient. Shapes are torch's, memory is channels last (`_layout`). A causal convolution pads
d (K - 1) in front alone: F.pad(x, (d * (K - 1), 0)) and padding=0; a full one has padding = d (K - 1).
"""

from .. import memory, registry
from ..autograd import grad_enabled, on_tape, record
from ..tensor import Tensor
from ._conv_choice import explain
from ._conv_products import adjoint, bias_grad, filter_grad, forward
from ._geometry import conv_geometry, ints, transposed_geometry
from ._layout import as_nchw, channels_last, empty_nchw
from ._packed import cell_of
from .promotion import check_tensors, not_tensors

ACTIVATIONS = (None, "relu", "gelu", "gelu_tanh", "tanh", "sigmoid", "silu")

# ---- convolutions ----


def conv1d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1) -> Tensor:
    """y[n, o, l] = Σ_{c, k} x[n, c, l s - p + k d] w[o, c, k] + b[o], x being 0 outside.

    input x: [N, C, L] or [C, L]; weight w: [O, C/groups, K]; bias b: [O] or None; all float32 or all float64. Result:
    [N, O, (L + 2 p - d (K - 1) - 1) // s + 1]. stride s and dilation d: 1 or more; groups: each part of C / groups channels has
    O / groups filters of its own. padding p: a number for both ends, "valid" (none) or "same" (stride 1: the output has the
    input's size; of an odd total the end gets one more). RuntimeError for sizes that do not fit, TypeError for other types.
    """
    return _conv("conv1d", 1, input, weight, bias, stride, padding, dilation, groups)


def conv2d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1) -> Tensor:
    """conv1d over two axes: input [N, C, H, W] or [C, H, W], weight [O, C/groups, KH, KW].

    bias: [O] or None; stride, padding, dilation: an int or a pair. groups, "same", "valid" and errors as conv1d's.
    """
    return _conv("conv2d", 2, input, weight, bias, stride, padding, dilation, groups)


def conv3d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1) -> Tensor:
    """conv1d over three axes: input [N, C, D, H, W] or [C, D, H, W], weight [O, C/groups, KD, KH, KW].

    stride, padding, dilation: an int or a triple. Other arguments and errors as conv1d's.
    """
    return _conv("conv3d", 3, input, weight, bias, stride, padding, dilation, groups)


def fused(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1, activation=None, residual=None):
    """act(conv(x, weight) + bias + residual) in one pass, without a gradient; the number of axes is weight's.

    activation: None, "relu", "gelu", "gelu_tanh", "tanh", "sigmoid" or "silu"; residual: of the result's shape.
    RuntimeError where a gradient is asked for.
    """
    check_tensors("fused", input=x, weight=weight)
    if on_tape(tuple([t for t in (x, weight, bias, residual) if isinstance(t, Tensor)])):
        raise refuse_gradient()
    dims = len(weight.shape) - 2
    if dims not in (1, 2, 3):
        raise RuntimeError(f"fused: weight must have 3, 4 or 5 dimensions, got shape {tuple(weight.shape)}")
    if activation not in ACTIVATIONS:
        raise ValueError(f"fused: activation must be one of {', '.join(map(str, ACTIVATIONS))}, got {activation!r}")
    return _conv("fused", dims, x, weight, bias, stride, padding, dilation, groups, activation, residual)


def refuse_gradient():
    return RuntimeError("fused: has no gradient; call it under no_grad()")


def fft_conv(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1) -> Tensor:
    """conv1d, conv2d or conv3d, whichever weight's axes say, as a product of spectra.

    For long filters: the time depends on the input's size, hardly on the filter's. conv1d takes this way by itself
    from some 128 taps on (16 channels or more; else 1024). A NaN or infinity spreads over its whole image. stride, padding,
    dilation, groups and errors as conv1d's.
    """
    dims = len(weight.shape) - 2 if isinstance(weight, Tensor) else 1
    if dims not in (1, 2, 3):
        raise RuntimeError(f"fft_conv: weight must have 3, 4 or 5 dimensions, got shape {tuple(weight.shape)}")
    return _conv("fft_conv", dims, input, weight, bias, stride, padding, dilation, groups)


def _conv(op, dims, input, weight, bias, stride, padding, dilation, groups, activation=None, residual=None):
    x, w, b = arrays_of(op, input, weight, bias)
    if not isinstance(padding, str):
        padding = ints(op, "padding", padding)
    stride, dilation = ints(op, "stride", stride), ints(op, "dilation", dilation)
    b_shape = None if b is None else b.shape
    g = conv_geometry(op, dims, x.shape, w.shape, b_shape, stride, padding, dilation, groups)
    batched = x.ndim == dims + 2
    xl = channels_last(x if batched else x[None])
    y = memory.empty(g.y, x.dtype)
    if residual is not None:
        residual = residual_of(op, residual, as_nchw(y, dims + 2) if batched else as_nchw(y, dims + 2)[0], batched)
    cell = cell_of(weight)
    made = forward(y, xl, w, cell, b, residual, g, _once(weight), activation)
    out = as_nchw(y, dims + 2)
    return record(out if batched else out[0], conv_backward, (input, weight, bias), (input, weight, xl, g, cell, made))


def conv_backward(node, dy):
    x, w, xl, g, cell, made = node.saved
    batched = x.ndim == w.ndim
    dyl = channels_last(dy if batched else dy[None])
    dx = dw = db = None
    if node.needs(0):
        lies = batched and memory.channels_last(x) is not None
        dx = memory.empty_like(x) if lies else empty_nchw(x.shape if batched else (1, *x.shape), x.dtype)
        adjoint(channels_last(dx), dyl, w, cell, None, g, node.needs(1))
        dx = dx if batched else dx[0]
    if node.needs(1):
        dw = memory.empty(w.shape, w.dtype)
        db = memory.empty(dyl.shape[-1:], dyl.dtype) if node.needs(2) else None
        filter_grad(dw, xl, dyl, g, db, made)
    elif node.needs(2):
        db = bias_grad(dyl)
    return dx, dw, db


# ---- transposed convolutions ----


def conv_transpose1d(
    input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1
) -> Tensor:
    """The adjoint of conv1d: x[n, c, i] = Σ_{o, k: i = l s - p + k d} y[n, o, l] w[o, c, k] + b[c], as a layer.

    input: [N, C, L] or [C, L]; weight: [C, O/groups, K]; bias: [O] or None; result: [N, O, (L - 1) s - 2 p + d (K - 1)
    + output_padding + 1]. output_padding, less than stride or dilation, says which of the s sizes that conv1d maps to L is
    meant. stride s, padding p (a number), dilation d, groups and errors as conv1d's.
    """
    return _conv_transpose("conv_transpose1d", 1, input, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose2d(
    input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1
) -> Tensor:
    """conv_transpose1d over two axes: input [N, C, H, W] or [C, H, W], weight [C, O/groups, KH, KW].

    bias: [O] or None; stride, padding, output_padding, dilation: an int or a pair. groups and errors as conv_transpose1d's.
    """
    return _conv_transpose("conv_transpose2d", 2, input, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose3d(
    input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1
) -> Tensor:
    """conv_transpose1d over three axes: input [N, C, D, H, W] or [C, D, H, W], weight [C, O/groups, KD, KH, KW].

    stride, padding, output_padding, dilation: an int or a triple. Other arguments and errors as conv_transpose1d's.
    """
    return _conv_transpose("conv_transpose3d", 3, input, weight, bias, stride, padding, output_padding, groups, dilation)


def _conv_transpose(op, dims, input, weight, bias, stride, padding, output_padding, groups, dilation):
    y, w, b = arrays_of(op, input, weight, bias)
    stride, padding = ints(op, "stride", stride), ints(op, "padding", padding)
    output_padding, dilation = ints(op, "output_padding", output_padding), ints(op, "dilation", dilation)
    b_shape = None if b is None else b.shape
    g = transposed_geometry(op, dims, y.shape, w.shape, b_shape, stride, padding, output_padding, dilation, groups)
    batched = y.ndim == dims + 2
    yl = channels_last(y if batched else y[None])
    x = memory.empty(g.x, y.dtype)
    cell = cell_of(weight)
    adjoint(x, yl, w, cell, b, g, _once(weight))
    out = as_nchw(x, dims + 2)
    return record(out if batched else out[0], conv_transpose_backward, (input, weight, bias), (input, weight, yl, g, cell))


def conv_transpose_backward(node, dx):
    y, w, yl, g, cell = node.saved
    batched = y.ndim == w.ndim
    dxl = channels_last(dx if batched else dx[None])
    dy = dw = db = None
    if node.needs(0):
        dy = empty_nchw(y.shape if batched else (1, *y.shape), y.dtype)
        forward(channels_last(dy), dxl, w, cell, None, None, g, node.needs(1))
        dy = dy if batched else dy[0]
    if node.needs(1):
        dw = memory.empty(w.shape, w.dtype)
        filter_grad(dw, dxl, yl, g)
    if node.needs(2):
        db = bias_grad(dxl)
    return dy, dw, db


# ---- arguments ----


def _once(weight):
    """Whether this call is a training step's, after which the weight changes."""
    return weight.requires_grad and grad_enabled()


def arrays_of(op, input, weight, bias):
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


def residual_of(op, residual, y, batched):
    check_tensors(op, residual=residual)
    r = residual.array
    if r.shape != y.shape or r.dtype != y.dtype:
        raise RuntimeError(f"{op}: residual must be {y.dtype} of the result's shape {y.shape}, got {r.dtype} of shape {r.shape}")
    return channels_last(r if batched else r[None])


for _op in (*[f"conv{d}d" for d in (1, 2, 3)], *[f"conv_transpose{d}d" for d in (1, 2, 3)], "fused", "fft_conv"):
    registry.explains(_op, explain)
