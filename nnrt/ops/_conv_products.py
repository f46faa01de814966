"""A convolution's three products on channels-last arrays, each by the algorithm chosen for it.

    y = x * w + b        x = y *ᵀ w + b        dw = Σ dy x

Filters are packed or transformed in the order in which the algorithm's kernel reads them (`_packed`).
"""

import math

from .. import config, memory, registry
from . import _columns, _dilated, _phases, _spectra
from ._conv_choice import blocks, chosen, strided
from ._folded import Folded
from ._packed import packed

D = registry.family("depthwise")
K = registry.family("conv")
L = registry.family("linear")
W = registry.family("winograd")

bound = {}  # (geometry, dtype, once): what bind made; another dict once settings or back-ends changed


def forward(y, x, w, cell, b, residual, g, once, activation=None):
    """y = act(x * w + b + residual); returns what filter_grad takes as `made`."""
    return bind(g, y.dtype, once)(w, cell, b, activation)(y, x, residual)


def bind(g, dtype, once):
    """The forward product of a geometry: a function of (w, cell, b, activation) that gives one of (y, x, residual).

    What each call would find out again is found out here, what stays the same with a filter where that is given: the
    kernel, and the filter as it reads it.
    """
    made = bound.get((g, dtype, once))
    if made is not None:
        return made
    if g.part:
        product = bind(g.part[1], dtype, True)
        made = bound[g, dtype, once] = lambda w, cell, b, activation: product(_part(w, cell, g), None, b, activation)
        return made
    how = chosen("forward", g, dtype, once)
    w_shape, stride, padding, dilation, groups = g.w, g.stride, g.padding, g.dilation, g.groups
    rows, (outputs, inputs), sampled = math.prod(g.y[:-1]), g.w[:2], g.x[1:4] != g.y[1:4]
    taps_first = g.w[1] == 1 and g.w[0] == groups and not once
    tile, taps = int(how[-1]) if "winograd" in how else 0, g.w[4]
    flat = _flat if g.x[1] != 1 else _same

    def columns(w, cell, b, activation):
        w = _lying(w, cell)
        return lambda y, x, residual: _columns.forward(y, x, w, b, residual, g, activation)

    def pointwise(w, cell, b, activation):
        lies = once or cell is None or rows < 3  # one or two rows read a matrix as fast as its packed copy
        p = _lying(w, cell).reshape(w_shape[:2]).T if lies else _packed_matrix(w, cell, g)
        gemm, packed = L.gemm, L.gemm_packed

        def product(y, x, residual):
            y, a = y.reshape(rows, outputs), (_sampled(x, g) if sampled else x).reshape(rows, inputs)
            r = None if residual is None else residual.reshape(rows, outputs)
            if lies:
                gemm(y, a, p, b, r, 1.0, 0.0, activation)
            else:
                packed(y, a, p, outputs, b, r, 1.0, 0.0, activation)

        return product

    def depthwise(w, cell, b, activation):
        w, conv = _taps_first(w, cell, g) if taps_first and cell is not None else _whole(_lying(w, cell), g), D.conv
        return lambda y, x, residual: conv(y, x, w, b, residual, stride, padding, dilation, groups, activation)

    def direct(w, cell, b, activation):
        if how == "fft" and activation is None:
            return lambda y, x, residual: _spectra.forward(y, x, w, cell, b, residual, g)
        p, conv = _packed_direct(w, cell, g, False), K.conv
        return lambda y, x, residual: conv(y, x, p, w_shape, b, residual, stride, padding, dilation, groups, activation)

    def strided_winograd(w, cell, b, activation):
        u, conv = _four_taps(_whole(w, g)) if once else _packed_strided(w, cell, g, tile, False), W.strided_conv
        return lambda y, x, residual: conv(flat(y), flat(x), u, b, flat(residual), padding, tile, activation)

    def blockwise(w, cell, b, activation):
        over, s = blocks(g), stride[1]
        u, conv, size = _packed_blocks(w, cell, g, tile, over), W.conv, g.y[2:4]
        kept = once and "winograd" in chosen("filter", g, dtype, True)

        def product(y, x, residual):
            z = _phases.split(flat(x), size, over, s, padding[1:])
            conv(flat(y), z, u, b, flat(residual), (0, 0, 0), over, tile, activation)
            return z if kept else None

        return product

    def winograd(w, cell, b, activation):
        u, conv = _transformed(w, cell, g, tile, False, once), W.conv
        if dilation[1:] != (1, 1):
            return lambda y, x, residual: _winograd(flat(y), flat(x), u, b, flat(residual), padding, g, tile, activation)
        return lambda y, x, residual: conv(flat(y), flat(x), u, b, flat(residual), padding, taps, tile, activation, groups)

    def along_rows(w, cell, b, activation):
        u, conv = _along_rows(w, cell, g, False, once), W.rows_conv
        return lambda y, x, residual: conv(flat(y), flat(x), u, b, flat(residual), padding, activation, groups)

    if len(bound) >= 1 << 14:
        bound.clear()
    named = {"columns": columns, "pointwise": pointwise, "depthwise": depthwise, "direct": direct, "fft": direct}
    named["rows"] = along_rows
    made = bound[g, dtype, once] = named.get(how) or (strided_winograd if strided(g) else blockwise if blocks(g) else winograd)
    return made


def adjoint(x, y, w, cell, b, g, once):
    """x = y *ᵀ w + b."""
    if g.part:
        w, cell, g, once = _part(w, cell, g), None, g.part[1], True
    how = chosen("input", g, x.dtype, once)
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
    elif how == "rows":
        padding = 0, 2 - g.padding[1], 2 - g.padding[2]
        W.rows_conv(_flat(x), _flat(y), _along_rows(w, cell, g, True, once), b, None, padding, None, g.groups, True)
    elif strided(g):
        tile = int(how[-1])
        u = _four_taps(_whole(w, g)) if once else _packed_strided(w, cell, g, tile, True)
        W.strided_conv_transposed(_flat(x), _flat(y), u, b, g.padding, tile)
    else:
        tile = int(how[-1])
        padding = (0, *[(k - 1) * d - p for k, d, p in zip(g.w[3:], g.dilation[1:], g.padding[1:])])
        _winograd(_flat(x), _flat(y), _transformed(w, cell, g, tile, True, once), b, None, padding, g, tile, None, True)


def _winograd(y, x, u, b, residual, padding, g, tile, activation, backward=False):
    """W.conv, of a dilated filter over phases of x."""
    d = g.dilation[1:]
    if d == (1, 1):
        W.conv(y, x, u, b, residual, padding, g.w[4], tile, activation, g.groups, backward)
        return
    size = y.shape[2:4]
    z = _dilated.split(x, size, g.w[4] - 1, d, padding[1:])
    r = None if residual is None else _dilated.split(residual, size, 0, d, (0, 0))
    parts = memory.empty((len(z), 1, *[-(-s // f) for s, f in zip(size, d)], y.shape[4]), y.dtype)
    W.conv(parts, z, u, b, r, (0, 0, 0), g.w[4], tile, activation, g.groups, backward)
    _dilated.join(y, parts, d)


def filter_grad(dw, x, dy, g, db=None, made=None):
    """dw = Σ dy x, and db = Σ dy unless it is None. made: blocks of x that the forward product made, or None."""
    if g.part:
        at, few = g.part
        part = memory.empty(few.w, dw.dtype)
        filter_grad(part, x, dy, few, db, made)
        dw[...] = 0
        dw.reshape(g.w)[at] = part
        return
    how = chosen("filter", g, x.dtype, True)
    if db is not None and how in ("fft", "columns", "pointwise"):  # the others sum dy where they read it
        L.bias_grad(db, _rows(dy))
    if how == "fft":
        _spectra.filter_grad(dw.reshape(g.w), x, dy, g)
    elif how == "columns":
        _columns.filter_grad(dw, x, dy, g)
    elif how == "pointwise":
        L.gemm(dw.reshape(g.w[:2]), _rows(dy).T, _rows(_sampled(x, g)), None, None, 1.0, 0.0, None)
    elif how == "depthwise":
        D.filter_backward(dw.reshape(g.w), db, x, dy, g.stride, g.padding, g.dilation, g.groups)
    elif how == "direct":
        K.filter_backward(dw.reshape(g.w), db, x, dy, g.stride, g.padding, g.dilation, g.groups)
    elif strided(g):
        four = dw.reshape(g.w) if g.w[4] == 4 else memory.empty((*g.w[:3], 4, 4), dw.dtype)
        W.strided_filter_backward(four, db, _flat(x), _flat(dy), g.padding, int(how[-1]))
        if g.w[4] < 4:
            dw.reshape(g.w)[...] = four[..., :3, :3]
    elif over := blocks(g):
        s, dv = g.stride[1], memory.empty((g.w[0], g.w[1] * g.stride[1] ** 2, 1, over, over), dw.dtype)
        z = _phases.split(_flat(x), g.y[2:4], over, s, g.padding[1:]) if made is None else made
        W.filter_backward(dv, db, z, _flat(dy), (0, 0, 0), int(how[-1]))
        _phases.join_filter(dw.reshape(g.w), dv, s)
    else:
        x, dy, padding, d = _flat(x), _flat(dy), g.padding, g.dilation[1:]
        if d != (1, 1):
            size = dy.shape[2:4]
            x, padding = _dilated.split(x, size, g.w[4] - 1, d, padding[1:]), (0, 0, 0)
            dy = _dilated.split(dy, size, 0, d, (0, 0))
        if how == "rows":
            W.rows_filter_backward(dw.reshape(g.w), db, x, dy, padding, g.groups)
        else:
            W.filter_backward(dw.reshape(g.w), db, x, dy, padding, int(how[-1]), g.groups)


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


def _transformed(w, cell, g, tile, backward, once):
    """The filter as W.conv takes it: of groups that use it once, itself."""
    if once and g.groups > 1:
        return _whole(w, g)

    def size():
        return g.groups * W.filter_size((g.w[0] // g.groups, *g.w[1:]), w.dtype, tile)

    kind = "winograd", tile, backward, g.groups
    return packed(cell, w, kind, W.transform_filter, size, tile, backward, g.groups)


def _along_rows(w, cell, g, backward, once):
    """The filter as W.rows_conv takes it: what is used once, itself."""
    if once:
        return _whole(w, g)

    def size():
        return g.groups * W.rows_size((g.w[0] // g.groups, *g.w[1:]), w.dtype)

    return packed(cell, w, ("rows", backward, g.groups), W.transform_rows, size, backward, g.groups)


def _packed_blocks(w, cell, g, tile, over):
    """Of a strided filter over blocks of pixels."""
    s = g.stride[1]

    def size():
        return W.filter_size((g.w[0], g.w[1] * s * s, 1, over, over), w.dtype, tile)

    return packed(cell, w, ("blocks", tile, s, W.transform_filter), _pack_blocks, size, tile, over, s)


def _pack_blocks(u, w, tile, over, s):
    W.transform_filter(u, _phases.split_filter(w, over, s), tile, False)


def _packed_strided(w, cell, g, tile, backward):
    """Not in training: DCGAN's step uses a version twice, and 124 of its 341 MB were copies for no gain."""
    def size():
        return W.strided_size(g.w, w.dtype, tile)

    return packed(cell, w, ("strided", tile, backward, W.transform_strided), _pack_strided, size, tile, backward)


def _pack_strided(u, w, tile, backward):
    W.transform_strided(u, _four_taps(w), tile, backward)


def _four_taps(w):
    """A filter of 3 x 3 taps as one of 4 x 4, the last of them zeros."""
    if w.shape[4] == 4:
        return w
    four = memory.zeros((*w.shape[:3], 4, 4), w.dtype)
    four[..., :3, :3] = w
    return four


def _sample(g):
    """Where a pointwise convolution looks at x."""
    return (slice(None), *[slice(0, n * s, s) for n, s in zip(g.y[1:], g.stride)])


def _sampled(x, g):
    return x if g.x[1:4] == g.y[1:4] else memory.contiguous(x[_sample(g)])


def _lying(w, cell):
    """The weight as no algorithm has packed it."""
    return cell.filter(w) if type(cell) is Folded else w


def _part(w, cell, g):
    """The weight's taps that can meet x."""
    return memory.contiguous(_lying(w, cell).reshape(g.w)[g.part[0]])


def _whole(w, g):
    """The weight with three spatial axes."""
    return memory.contiguous(w).reshape(g.w)


def _flat(a):
    """[N, D, H, W, C] as [N D, 1, H, W, C]."""
    if a is None or a.shape[1] == 1:
        return a
    n, d, h, w, c = a.shape
    return a.reshape(n * d, 1, h, w, c)


def _same(a):
    return a


def _rows(a):
    """[N, D, H, W, C] as [P, C]."""
    return a.reshape(math.prod(a.shape[:-1]), a.shape[-1])


def bias_grad(dy):
    db = memory.empty(dy.shape[-1:], dy.dtype)
    L.bias_grad(db, _rows(dy))
    return db


def _drop(*_):
    global bound
    bound = {}


config.on_change("conv", _drop)
config.on_change("precision", _drop)
registry.on_forget(_drop)
