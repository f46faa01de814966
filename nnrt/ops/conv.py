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

import numpy as np

from .. import config, memory, registry
from ..autograd import grad_enabled, on_tape, record
from ..tensor import Tensor, wrap
from . import _columns, _dilated, _spectra
from ._folded import Folded
from ._geometry import conv_geometry, ints, transposed_geometry
from ._layout import as_nchw, channels_last, empty_nchw
from ._packed import cell_of, packed
from .promotion import not_tensors

D = registry.family("depthwise")
K = registry.family("conv")
L = registry.family("linear")
W = registry.family("winograd")


# ---- which algorithm ----


def choose_conv(task, geometry, dtype, conv="auto", precision="fast", once=False):
    """The algorithm for one of a convolution's products: a pure function.

    task: "forward", "input" (the adjoint) or "filter"; geometry: see _geometry.Geometry; conv, precision: the
    settings of these names; once: the filter changes before it is used again, as in training. Returns "pointwise",
    "depthwise", "winograd2", "winograd4", "columns", "fft" or "direct". The thresholds are where the algorithms crossed on
    one core with AVX2, in float32.
    """
    g = geometry
    possible = _possible(g, dtype, precision)
    if g.op == "fft_conv" and "fft" in possible:
        return "fft"
    if conv in possible:
        return conv
    # y's channels per group fill the lanes of the direct forward pass and of the filter's gradient, x's those of the adjoint.
    lanes, depth = g.w[0] // g.groups, g.w[1]
    if task == "input":
        lanes, depth = depth, lanes
    if precision == "fast" and "fft" in possible and _long(task, g, lanes, depth):
        return "fft"
    if "depthwise" in possible and (lanes < 16 if g.groups > 1 else lanes == depth == 1 and task != "filter"):
        return "depthwise"
    if "pointwise" in possible:
        if g.stride == (1, 1, 1):
            return "direct" if task == "forward" and lanes <= 16 else "pointwise"
        return "pointwise" if task == "filter" or (task == "input" and lanes >= 64) else "direct"
    use = "filter" if task == "filter" else "once" if once else "kept"
    hows = ("direct", "winograd4", "winograd2") + (("columns",) if use != "kept" else ())
    if use == "filter" and g.groups > 1 and min(lanes, depth) < 32:
        hows = ("direct",)  # products of 16 x 16 took 1.1 to 2 times as long
    return min([how for how in hows if how in possible], key=lambda how: _cost(how, use, g, lanes, depth, dtype))


def _possible(g, dtype, precision):
    """The algorithms that can compute a convolution of this geometry and dtype."""
    found, whole = ["direct"], min(g.x) and min(g.y)
    if whole:
        found.append("fft")
    if g.w[2:] == (1, 1, 1) and g.padding == (0, 0, 0) and g.groups == 1:
        found.append("pointwise")
    elif whole and g.groups == 1:
        found.append("columns")
    if g.groups > 1 or g.w[1] == 1:
        found.append("depthwise")
    fits = g.groups == 1 or min(g.w[0] // g.groups, g.w[1]) >= 16
    if precision == "fast" and whole and g.padding[0] == 0 and fits and math.prod(g.dilation) <= 64:
        square, single = g.w[2:] if g.stride == (1, 1, 1) else None, dtype.itemsize == 4
        if square == (1, 3, 3) or _strided(g) and single:
            found += ["winograd4"]
        if single and (square == (1, 3, 3) or square == (1, 5, 5) and min(g.w[0] // g.groups, g.w[1]) >= 16 or _strided(g)):
            found += ["winograd2"]
    return found


def _strided(g):
    """Whether it is one of those with 4 x 4 taps and stride 2 whose phases Winograd takes."""
    fits = g.w[2:] == (1, 4, 4) and g.stride == (1, 2, 2) and g.dilation == (1, 1, 1)
    return fits and g.padding[0] == 0 and g.groups == 1 and min(g.w[:2]) >= 16 and min(g.x) > 0 and min(g.y) > 0


def _long(task, g, lanes, depth):
    """Whether a filter along one axis takes longer to sum than to transform, its spectrum below 64 MB of float32."""
    least = (128 if min(lanes, depth) >= 16 else 1024) << (task == "filter")
    length = g.x[3] + g.w[4]
    return g.w[4] >= least and g.w[2:4] == g.stride[:2] == (1, 1) and g.stride[2] == 1 and length * lanes * depth <= 1 << 24


# Multiply-adds that an element of the filter is worth, by the megabytes of them: up to 1, 8, 16, more. A filter that is
# kept is read; one that is used once is packed or transformed first; its gradient is gathered or summed over Winograd's squares.
_EACH = {
    "direct": {"kept": (0, 0, 0, 0), "once": (15, 25, 50, 50), "filter": (15, 30, 60, 60)},
    "columns": {"once": (5, 10, 20, 20), "filter": (5, 10, 20, 20)},
    "winograd": {"kept": (2, 2, 4, 11), "once": (2, 3, 16, 40), "filter": (11, 11, 14, 40)},
    "strided": {"kept": (2, 2, 4, 15), "once": (3, 10, 16, 40), "filter": (11, 16, 30, 60)},
}


def _cost(how, use, g, lanes, depth, dtype):
    """A model of the time of a product, in multiply-adds at the peak rate."""
    n, d, h, w, _ = g.y
    vector = 64 // dtype.itemsize
    wide = -(-lanes // vector) * vector
    taps, family = math.prod(g.w[2:]), how.rstrip("24")
    squares = (int(how[-1]) + g.w[4] - 1) ** 2 if family == "winograd" else taps
    if family == "winograd" and _strided(g):
        squares, family = 4 * (int(how[-1]) + 1) ** 2, "strided"
    size = 4 * squares * depth * lanes * g.groups >> 20
    each = _EACH[family][use][(size >= 1) + (size >= (8 if g.groups == 1 else 2)) + (size >= 16)] * squares * depth * lanes
    if "winograd" in how:
        tile, phases = int(how[-1]), math.prod(g.dilation)
        tiles = n * d * phases * -(-h // g.dilation[1] // tile) * -(-w // g.dilation[2] // tile)
        # Dilated, an element of x and of y is copied, and a phase is two calls.
        split = 0 if phases == 1 else 10 * n * d * h * w * (depth + lanes) + phases * 200_000
        # Of groups, the gradients are products of their own.
        split += 100_000 * (use == "filter" and g.groups > 1)
        # Products of fewer than 4 tiles at a time leave sums idle; 16: transforming an element.
        return squares * (max(tiles, 4) * depth * wide + tiles * 16 * (depth + lanes)) + each + split
    sums = (1.25 if use == "filter" else 1.15) * n * d * h * w * taps * depth * wide
    # An element of the columns costs 1 ns to place, a tap a call.
    return sums + each + (taps * (n * d * h * w * g.w[1] * 40 + 100_000) if how == "columns" else 0)


_chosen = {}  # (task, geometry, dtype, once): algorithm, of the convolutions so far


def _choice(task, g, dtype, once):
    how = _chosen.get((task, g, dtype, once))
    if how is None:
        if len(_chosen) >= 1 << 14:
            _chosen.clear()
        settings = config.settings
        how = _chosen[task, g, dtype, once] = choose_conv(task, g, dtype, settings.conv, settings.precision, once)
    return how


_KERNELS = {  # where an algorithm's forward product, adjoint and filter's gradient are
    "pointwise": ("linear.gemm",) * 3,
    "depthwise": ("depthwise.conv", "depthwise.conv_transposed", "depthwise.filter_backward"),
    "winograd": ("winograd.conv", "winograd.conv", "winograd.filter_backward"),
    "strided": ("winograd.strided_conv", "winograd.strided_conv_transposed", "winograd.strided_filter_backward"),
    "columns": ("linear.gemm",) * 3,
    "direct": ("conv.conv", "conv.conv_transposed", "conv.filter_backward"),
}


def explain(op, input=None, weight=None, dtype="float32", **options):
    """Which algorithms the convolutions of this name have taken, or one of these shapes would take; a text.

    `nnrt.explain("conv2d")`; `nnrt.explain("conv2d", (8, 64, 56, 56), (64, 64, 3, 3), padding=1)`.
    """
    if input is None:
        ran = {}
        for (task, g, kind, once), how in list(_chosen.items()):
            if g.op == op:
                ran.setdefault((g, kind), {})[task, once] = how
        lines = [_line(g, kind, hows) for (g, kind), hows in ran.items()]
        return "\n".join(lines) or f"no {op} has run yet"
    kind, dims = np.dtype(dtype), len(weight) - 2
    full = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1, **options}
    names = ["stride", "padding", "dilation", "groups"]
    build = conv_geometry
    if "transpose" in op:
        full, build = {"output_padding": 0, **full}, transposed_geometry
        names.insert(2, "output_padding")
    if set(full) != set(names):
        raise TypeError(f"explain: {op} has no option {', '.join(set(full) - set(names))}")
    values = [v if name == "groups" or isinstance(v, str) else ints(op, name, v) for name in names for v in [full[name]]]
    g = build(op, dims, tuple(input), tuple(weight), None, *values)
    first, second = ("input", "forward") if "transpose" in op else ("forward", "input")
    tasks = [(first, False), (second, True), ("filter", True)]
    settings = config.settings
    hows = {(task, once): choose_conv(task, g, kind, settings.conv, settings.precision, once) for task, once in tasks}
    return _line(g, kind, hows)


def _line(g, dtype, hows):
    first = "input" if "transpose" in g.op else "forward"
    parts = []
    for (task, once), how in hows.items():
        name = {"filter": "filter's gradient", first: "forward in training" if once else "forward"}.get(task, "input's gradient")
        where = "numpy.fft"
        if how != "fft":
            family = "strided" if "winograd" in how and _strided(g) else how.rstrip("24")
            kernel = _KERNELS[family][("forward", "input", "filter").index(task)]
            where = f"{kernel}, {registry.resolve(*kernel.split('.'))[0]}"
        parts.append(f"{name} {how} ({where})")
    return f"{g.text}, {dtype}: {'; '.join(parts)}"


# ---- the three products, on channels-last arrays ----


def _forward(y, x, w, cell, b, residual, g, once, activation=None):
    """y = act(x * w + b + residual)."""
    _run_of(g, y.dtype, once)(y, x, w, cell, b, residual, activation)


_runs = {}  # (geometry, dtype, once): what _run_of made


def _run_of(g, dtype, once):
    """The forward product of a geometry as a function: what each call would find out again is found out here."""
    run = _runs.get((g, dtype, once))
    if run is not None:
        return run
    how = _choice("forward", g, dtype, once)
    w_shape, stride, padding, dilation, groups = g.w, g.stride, g.padding, g.dilation, g.groups
    rows, (outputs, inputs), sampled = math.prod(g.y[:-1]), g.w[:2], g.x[1:4] != g.y[1:4]
    taps_first = g.w[1] == 1 and g.w[0] == groups and not once
    tile = int(how[-1]) if "winograd" in how else 0

    def columns(y, x, w, cell, b, residual, activation):
        _columns.forward(y, x, _lying(w, cell), b, residual, g, activation)

    def pointwise(y, x, w, cell, b, residual, activation):
        y, a = y.reshape(rows, outputs), (_sampled(x, g) if sampled else x).reshape(rows, inputs)
        r = None if residual is None else residual.reshape(rows, outputs)
        if once or cell is None or rows < 3:  # one or two rows read a matrix as fast as its packed copy
            L.gemm(y, a, _lying(w, cell).reshape(w_shape[:2]).T, b, r, 1.0, 0.0, activation)
        else:
            L.gemm_packed(y, a, _packed_matrix(w, cell, g), outputs, b, r, 1.0, 0.0, activation)

    def depthwise(y, x, w, cell, b, residual, activation):
        w = _taps_first(w, cell, g) if taps_first and cell is not None else _whole(_lying(w, cell), g)
        D.conv(y, x, w, b, residual, stride, padding, dilation, groups, activation)

    def direct(y, x, w, cell, b, residual, activation):
        if how == "fft" and activation is None:
            _spectra.forward(y, x, w, cell, b, residual, g)
        else:
            K.conv(y, x, _packed_direct(w, cell, g, False), w_shape, b, residual, stride, padding, dilation, groups, activation)

    def strided(y, x, w, cell, b, residual, activation):
        r = None if residual is None else _flat(residual)
        u = _packed_strided(w, None if once else cell, g, tile, False)
        W.strided_conv(_flat(y), _flat(x), u, b, r, padding, tile, activation)

    def winograd(y, x, w, cell, b, residual, activation):
        r = None if residual is None else _flat(residual)
        u = _packed_winograd(w, cell, g, tile, False)
        _winograd(_flat(y), _flat(x), u, b, r, padding, g, tile, activation)

    if len(_runs) >= 1 << 14:
        _runs.clear()
    named = {"columns": columns, "pointwise": pointwise, "depthwise": depthwise, "direct": direct, "fft": direct}
    run = _runs[g, dtype, once] = named.get(how) or (strided if _strided(g) else winograd)
    return run


def _adjoint(x, y, w, cell, b, g, once):
    """x = y *ᵀ w + b."""
    how = _choice("input", g, x.dtype, once)
    if how == "fft":
        _spectra.adjoint(x, y, w, cell, b, g)
    elif how == "columns":
        _columns.adjoint(x, y, w, b, g)
    elif how == "pointwise":
        part = x if g.x[1:4] == g.y[1:4] else memory.empty(y.shape[:-1] + x.shape[-1:], x.dtype)
        L.gemm(_rows(part), _rows(y), w.reshape(g.w[:2]), b, None, 1.0, 0.0, None)
        if part is not x:
            x[...] = 0 if b is None else b
            x[_sample(g)] = part
    elif how == "depthwise":
        D.conv_transposed(x, y, _whole(w, g), b, None, g.stride, g.padding, g.dilation, g.groups, None)
    elif how == "direct":
        p = _packed_direct(w, cell, g, True)
        K.conv_transposed(x, y, p, g.w, b, None, g.stride, g.padding, g.dilation, g.groups, None)
    elif _strided(g):
        tile = int(how[-1])
        u = _packed_strided(w, None if once else cell, g, tile, True)
        W.strided_conv_transposed(_flat(x), _flat(y), u, b, g.padding, tile)
    else:
        tile = int(how[-1])
        padding = (0, *[(k - 1) * d - p for k, d, p in zip(g.w[3:], g.dilation[1:], g.padding[1:])])
        _winograd(_flat(x), _flat(y), _packed_winograd(w, cell, g, tile, True), b, None, padding, g, tile, None)


def _winograd(y, x, u, b, residual, padding, g, tile, activation):
    """W.conv, of a dilated filter over phases of x."""
    d = g.dilation[1:]
    if d == (1, 1):
        W.conv(y, x, u, b, residual, padding, g.w[4], tile, activation, g.groups)
        return
    size = y.shape[2:4]
    z = _dilated.split(x, size, g.w[4] - 1, d, padding[1:])
    r = None if residual is None else _dilated.split(residual, size, 0, d, (0, 0))
    parts = memory.empty((len(z), 1, *[-(-s // f) for s, f in zip(size, d)], y.shape[4]), y.dtype)
    W.conv(parts, z, u, b, r, (0, 0, 0), g.w[4], tile, activation, g.groups)
    _dilated.join(y, parts, d)


def _filter_grad(dw, x, dy, g):
    """dw = Σ dy x."""
    how = _choice("filter", g, x.dtype, True)
    if how == "fft":
        _spectra.filter_grad(dw.reshape(g.w), x, dy, g)
    elif how == "columns":
        _columns.filter_grad(dw, x, dy, g)
    elif how == "pointwise":
        L.gemm(dw.reshape(g.w[:2]), _rows(dy).T, _rows(_sampled(x, g)), None, None, 1.0, 0.0, None)
    elif how == "depthwise":
        D.filter_backward(dw.reshape(g.w), x, dy, g.stride, g.padding, g.dilation, g.groups)
    elif how == "direct":
        K.filter_backward(dw.reshape(g.w), x, dy, g.stride, g.padding, g.dilation, g.groups)
    elif _strided(g):
        W.strided_filter_backward(dw.reshape(g.w), _flat(x), _flat(dy), g.padding, int(how[-1]))
    else:
        x, dy, padding, d = _flat(x), _flat(dy), g.padding, g.dilation[1:]
        if d != (1, 1):
            size = dy.shape[2:4]
            x, padding = _dilated.split(x, size, g.w[4] - 1, d, padding[1:]), (0, 0, 0)
            dy = _dilated.split(dy, size, 0, d, (0, 0))
        W.filter_backward(dw.reshape(g.w), x, dy, padding, int(how[-1]), g.groups)


def _once(weight):
    """Whether this call is a training step's, after which the weight changes."""
    return weight.requires_grad and grad_enabled()


def _packed_matrix(w, cell, g):
    return packed(cell, w, ("matrix", L.pack_b), _pack_matrix, lambda: L.packed_size(g.w[1], g.w[0], w.dtype))


def _pack_matrix(p, w):
    L.pack_b(p, w.reshape(w.shape[:2]).T)


def _taps_first(w, cell, g):
    """A depthwise filter in the order in which its kernel reads it."""
    p = packed(cell, w, ("taps first",), _turn, lambda: w.size)
    return p.reshape(*g.w[2:], 1, g.w[0]).transpose(4, 3, 0, 1, 2)


def _turn(p, w):
    p.reshape(-1, len(w))[...] = w.reshape(len(w), -1).T


def _packed_direct(w, cell, g, backward):
    def size():
        return K.filter_size(g.w, g.groups, w.dtype, backward)

    kind = ("direct", g.stride, g.dilation, g.groups, True) if backward else ("direct", g.groups, False)
    return packed(cell, w, kind, K.pack_filter, size, g.stride, g.dilation, g.groups, backward)


def _packed_winograd(w, cell, g, tile, backward):
    def size():
        return g.groups * W.filter_size((g.w[0] // g.groups, *g.w[1:]), w.dtype, tile)

    kind = "winograd", tile, backward, g.groups
    return packed(cell, w, kind, W.transform_filter, size, tile, backward, g.groups)


def _packed_strided(w, cell, g, tile, backward):
    """In training nothing is kept: DCGAN's step uses a version twice, and 124 of its 341 MB were copies for no gain."""
    def size():
        return W.strided_size(g.w, w.dtype, tile)

    return packed(cell, w, ("strided", tile, backward), W.transform_strided, size, tile, backward)


def _sample(g):
    """Where a pointwise convolution looks at x."""
    return (slice(None), *[slice(0, n * s, s) for n, s in zip(g.y[1:], g.stride)])


def _sampled(x, g):
    return x if g.x[1:4] == g.y[1:4] else memory.contiguous(x[_sample(g)])


def _lying(w, cell):
    """The weight as no algorithm has packed it."""
    return cell.filter(w) if type(cell) is Folded else w


def _whole(w, g):
    """The weight with three spatial axes."""
    return memory.contiguous(w).reshape(g.w)


def _flat(a):
    """[N, D, H, W, C] as [N D, 1, H, W, C]."""
    n, d, h, w, c = a.shape
    return a if d == 1 else a.reshape(n * d, 1, h, w, c)


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
    if not isinstance(weight, Tensor):
        raise not_tensors("fused", input=x, weight=weight)
    _refuse_gradient(x, weight, bias, residual)
    dims = len(weight.shape) - 2
    if dims not in (1, 2, 3):
        raise RuntimeError(f"fused: weight must have 3, 4 or 5 dimensions, got shape {tuple(weight.shape)}")
    return _conv("fused", dims, x, weight, bias, stride, padding, dilation, groups, activation, residual)


def _refuse_gradient(*given):
    if on_tape(tuple([t for t in given if isinstance(t, Tensor)])):
        raise RuntimeError("fused: has no gradient; call it under no_grad()")


class Fused:
    """act(norm(conv(x)) + residual) without a gradient, for calls that repeat: what has passed the checks once passes again."""

    def __init__(self, stride, padding, dilation, groups):
        self.options = *[v if isinstance(v, str) else ints("fused", "an option", v) for v in (stride, padding, dilation)], groups
        self.known = (None,) * 6  # x's shape, a weight and a bias, their Geometry, what _run_of made of it and of which settings
        self.folded = None

    def __call__(self, x, weight, bias, activation, residual=None, norm=None, eps=0.0):
        """norm: weight, bias, running mean and variance of a batch norm; None is returned where they do not fit."""
        a, w = x.array, weight.array
        if norm is None:
            cell, b = cell_of(weight), None if bias is None else bias.array
        else:
            given, cell = (weight, bias, *norm), self.folded
            if cell is None or not cell.holds(given, eps):
                cell = self.folded = Folded(given, eps)
            b = cell.bias
            if b is None:
                return None
        shape, known_w, known_b, g, run, settings = self.known
        if (
            known_w is not w or known_b is not b or shape != a.shape or settings is not _runs or a.dtype is not w.dtype
            or grad_enabled()
        ):  # fmt: skip
            _refuse_gradient(x, weight, bias, residual, *(norm or ()))
            op, dims = f"conv{w.ndim - 2}d", w.ndim - 2
            _arrays(op, x, weight, bias)
            g = conv_geometry(op, dims, a.shape, w.shape, None if b is None else b.shape, *self.options)
            if a.ndim == dims + 1:
                x, residual = wrap(a[None]), None if residual is None else wrap(residual.array[None])
                return wrap(self(x, weight, bias, activation, residual, norm, eps).array[0])
            run = _run_of(g, w.dtype, False)
            if b is None or b.flags.c_contiguous:
                self.known = a.shape, w, b, g, run, _runs
            else:
                b = memory.contiguous(b)
        y = memory.empty(g.y, w.dtype)
        out = as_nchw(y, w.ndim)
        if residual is not None:
            residual = _residual("fused", residual, out, True)
        run(y, channels_last(a), w, cell, b, residual, activation)
        return wrap(out)

    def __reduce__(self):  # copies know nothing yet
        return Fused, self.options


def fft_conv(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """conv1d, conv2d or conv3d, whichever weight's axes say, as a product of spectra.

    For long filters: the time depends on the input's size, hardly on the filter's. conv1d takes this way by itself
    from some 128 taps on (16 channels or more; else 1024). A NaN or infinity spreads over its whole image.
    """
    dims = len(weight.shape) - 2 if isinstance(weight, Tensor) else 1
    if dims not in (1, 2, 3):
        raise RuntimeError(f"fft_conv: weight must have 3, 4 or 5 dimensions, got shape {tuple(weight.shape)}")
    return _conv("fft_conv", dims, input, weight, bias, stride, padding, dilation, groups)


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
    _forward(y, xl, w, cell, b, residual, g, _once(weight), activation)
    out = as_nchw(y, dims + 2)
    return record(out if batched else out[0], conv_backward, (input, weight, bias), (input, weight, xl, g, cell))


def conv_backward(node, dy):
    x, w, xl, g, cell = node.saved
    batched = x.ndim == w.ndim
    dyl = channels_last(dy if batched else dy[None])
    dx = dw = db = None
    if node.needs(0):
        dx = empty_nchw(x.shape if batched else (1, *x.shape), x.dtype)
        _adjoint(channels_last(dx), dyl, w, cell, None, g, node.needs(1))
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
    _adjoint(x, yl, w, cell, b, g, _once(weight))
    out = as_nchw(x, dims + 2)
    return record(out if batched else out[0], conv_transpose_backward, (input, weight, bias), (input, weight, yl, g, cell))


def conv_transpose_backward(node, dx):
    y, w, yl, g, cell = node.saved
    batched = y.ndim == w.ndim
    dxl = channels_last(dx if batched else dx[None])
    dy = dw = db = None
    if node.needs(0):
        dy = empty_nchw(y.shape if batched else (1, *y.shape), y.dtype)
        _forward(channels_last(dy), dxl, w, cell, None, None, g, node.needs(1))
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


def _choose_again(_):
    global _runs
    _chosen.clear()
    _runs = {}


config.on_change("conv", _choose_again)
config.on_change("precision", _choose_again)
for _op in (*[f"conv{d}d" for d in (1, 2, 3)], *[f"conv_transpose{d}d" for d in (1, 2, 3)], "fused", "fft_conv"):
    registry.explains(_op, explain)
