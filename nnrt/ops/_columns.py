"""Convolutions as matrix products with the weight as it lies, w[O, C K]: for fewer outputs than a filter is worth packing for.

    y = columns(x) wᵀ            columns(x)[p, (c, k)] = x[what output p meets at k, c], 0 outside
    x = columnsᵀ(y w)            each column added to where it came from; for few channels, too, as in an image
    dw = dyᵀ columns(x)

Legend: P outputs (all of N, OD, OH, OW), C channels in, O channels out, K the filter's taps. One group.
"""

import math

from .. import memory, registry
from .fold import taps

copies, sums = registry.family("shape"), registry.family("elementwise")
L, C = registry.family("linear"), registry.family("conv")
# Elements of columns that are made before they are added up.
FOLDED = 1 << 18


def forward(y, x, w, b, residual, g, activation):
    """y = act(x * w + b + residual)."""
    residual = None if residual is None else _rows(residual)
    L.gemm(_rows(y), _columns(x, g), _matrix(w).T, b, residual, 1.0, 0.0, activation)


def adjoint(x, y, w, b, g):
    """x = y *ᵀ w + b."""
    rows, taps = math.prod(g.y[:-1]), math.prod(g.w[2:])
    if rows >= g.w[0]:
        # Columns are more than the weight, which is turned: a pixel's taps lie side by side then, and its channels.
        w = memory.contiguous(w.reshape(g.w[0], g.w[1], taps).swapaxes(1, 2))
        each = max(1, FOLDED * g.y[0] // (rows * taps * g.w[1]))
        columns = memory.empty((each, *g.y[1:-1], *g.w[2:], g.w[1]), y.dtype)
        for n in range(0, g.y[0], each):
            part = columns[: g.y[0] - n]
            L.gemm(part.reshape(-1, taps * g.w[1]), _rows(y[n : n + each]), _matrix(w), None, None, 1.0, 0.0, None)
            C.fold(x[n : n + each], part, b, g.stride, g.padding, g.dilation)
        return
    columns = memory.empty((rows, math.prod(g.w[1:])), y.dtype)
    L.gemm(columns, _rows(y), _matrix(w), None, None, 1.0, 0.0, None)
    x[...] = 0 if b is None else b
    for seen, looked in _taps(x, columns, g):
        sums.add(seen, seen, looked)


def filter_grad(dw, x, dy, g):
    """dw = Σ dy x."""
    L.gemm(_matrix(dw), _rows(dy).T, _columns(x, g), None, None, 1.0, 0.0, None)


def _columns(x, g):
    # Not every tap of every output meets an element: behind the end also without padding in front, as with padding="same".
    steps = zip(g.x[1:4], g.y[1:4], g.w[2:], g.stride, g.padding, g.dilation)
    inside = all([p == 0 and (o - 1) * s + (k - 1) * d < n for n, o, k, s, p, d in steps])
    columns = (memory.empty if inside else memory.zeros)((math.prod(g.y[:-1]), math.prod(g.w[1:])), x.dtype)
    for seen, looked in _taps(x, columns, g):
        copies.copy(looked, seen)
    return columns


def _taps(x, columns, g):
    """Views of x and of columns that hold the same elements, for each tap."""
    columns = columns.reshape(*g.y[:-1], *g.w[1:]).transpose(0, 4, 5, 6, 7, 1, 2, 3)
    x = x.transpose(0, 4, 1, 2, 3)
    for seen, looked in taps(g.x[1:4], g.y[1:4], (g.w[2:], g.dilation, g.padding, g.stride)):
        yield x[seen], columns[looked]


def _rows(a):
    return a.reshape(-1, a.shape[-1])


def _matrix(w):
    return memory.contiguous(w).reshape(w.shape[0], -1)
