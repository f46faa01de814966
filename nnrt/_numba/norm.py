"""Normalisation in Numba. See nnrt._ref.norm for what each computes.

Work is cut along N and the rows into pieces of PIECE elements; what pieces add up in float64 is summed in their order.
"""

import numpy as np

from nnrt._ref.norm import move  # noqa: F401  as specified

from .compiled import jit
from .reduce import _SUMS
from .threads import share

PIECE, PARTS = 1 << 16, 64


def _pieces(batch, rows, columns):
    """(i, start, stop) of every piece of [batch, rows, columns], and how many there are for each i."""
    parts = max(1, min(rows * columns // PIECE, PARTS))
    cuts = [rows * k // parts for k in range(parts + 1)]
    return [(i, a, b) for i in range(batch) for a, b in zip(cuts, cuts[1:])], parts


def _each(function, pieces):
    """function(number, *piece) for all; the first alone, which compiles."""
    function(0, *pieces[0])
    if len(pieces) > 1:
        share(lambda t: function(t + 1, *pieces[t + 1]), len(pieces) - 1)


# ---- channels-last memory ----


def moments(mean, var, x, groups):
    n, rows, c = x.shape
    if mean.size == 0:
        return
    pieces, parts = _pieces(n, rows, c)
    sums, count = np.empty((len(pieces), c)), rows * (c // groups)

    def grouped():
        return sums.reshape(n, parts, groups, c // groups).sum(axis=(1, 3)) / count

    _each(lambda t, i, a, b: _sums(sums[t], x[i, a:b]), pieces)
    mean[...] = grouped()
    wide = _wide(mean, c)
    _each(lambda t, i, a, b: _squares(sums[t], x[i, a:b], wide[i]), pieces)
    var[...] = grouped()


def batch_moments(mean, rstd, mean1, var1, x, mean0, var0, momentum, eps):
    moments(mean, rstd, x, x.shape[2])
    if mean1 is not None:
        move(mean1, mean0, mean, momentum, 1.0)
        move(var1, var0, rstd, momentum, x.shape[1] / max(x.shape[1] - 1, 1))
    rstd += eps
    np.divide(1, np.sqrt(rstd, out=rstd), out=rstd)


def _wide(statistics, c):
    """[N, G] as [N, C]."""
    return np.repeat(statistics, c // statistics.shape[1], axis=1)


@jit
def _sums(sums, x):
    sums[:] = 0
    for r in range(x.shape[0]):
        for i in range(x.shape[1]):
            sums[i] += x[r, i]


@jit
def _squares(sums, x, mean):
    sums[:] = 0
    for r in range(x.shape[0]):
        for i in range(x.shape[1]):
            d = x[r, i] - mean[i]
            sums[i] += d * d


def _affine(x, mean, rstd, weight, bias):
    """m, a, b [N, C] of x's dtype with y = (x - m) a + b; b has what rounding took from the mean."""
    c = x.shape[2]
    mean, scale = _wide(mean, c), _wide(rstd, c)
    scale = scale if weight is None else scale * weight
    m = mean.astype(x.dtype)
    shift = (0 if bias is None else bias) - (mean - m) * scale
    return m, scale.astype(x.dtype), shift.astype(x.dtype)


def normalize(y, x, mean, rstd, weight, bias, residual=None, activation=None):
    if x.size == 0:
        return
    if residual is not None:
        normalize(y, x, mean, rstd, weight, bias)
        np.add(y, residual, out=y)
        if activation == "relu":
            y[y < 0] = 0
        return
    m, a, b = _affine(x, mean, rstd, weight, bias)
    pass_ = _forward_relu if activation == "relu" else _forward
    pieces, _ = _pieces(*x.shape)
    _each(lambda t, i, s, e: pass_(y[i, s:e], x[i, s:e], m[i], a[i], b[i]), pieces)


@jit
def _forward(y, x, m, a, b):
    for r in range(x.shape[0]):
        for i in range(x.shape[1]):
            y[r, i] = (x[r, i] - m[i]) * a[i] + b[i]


@jit
def _forward_relu(y, x, m, a, b):
    for r in range(x.shape[0]):
        for i in range(x.shape[1]):
            z = (x[r, i] - m[i]) * a[i] + b[i]
            y[r, i] = 0 if z < 0 else z


def normalize_backward(dx, dr, dw, db, dy, x, y, mean, rstd, weight, bias, activation, fixed):
    if y is not None:
        dr[...] = dy
        dr[y <= 0] = 0
        dy, activation = dr, None
    n, rows, c = x.shape
    groups, relu = mean.shape[1], activation == "relu"
    m, a, b = _affine(x, mean, rstd, weight, bias)
    pieces, parts = _pieces(n, rows, c)
    sums = np.empty((len(pieces), 2, c))
    _each(lambda t, i, s, e: _products(sums[t], dy[i, s:e], x[i, s:e], m[i], a[i], b[i], relu), pieces)
    first, second = np.moveaxis(sums.reshape(n, parts, 2, c).sum(axis=1), 1, 0)
    low = _wide(mean, c) - m
    second = (second - low * first) * _wide(rstd, c)  # Σ dy x̂
    if dw is not None:
        dw[...] = second.sum(axis=0)
    if db is not None:
        db[...] = first.sum(axis=0)
    scale = 0.0 if fixed else -1 / (rows * (c // groups))
    first, second = (
        _wide((v if weight is None else v * weight).reshape(n, groups, -1).sum(axis=2) * rstd * scale, c)
        for v in (first, second)
    )
    slope = second * _wide(rstd, c)
    d = (first + slope * -low).astype(x.dtype)
    slope = slope.astype(x.dtype)

    def piece(t, i, s, e):
        _backward(dx[i, s:e], dy[i, s:e], x[i, s:e], m[i], a[i], b[i], slope[i], d[i], relu)

    _each(piece, pieces)


@jit
def _products(sums, dy, x, m, a, b, relu):
    sums[:] = 0
    for r in range(x.shape[0]):
        for i in range(x.shape[1]):
            t = x[r, i] - m[i]
            g = np.float64(0 if relu and t * a[i] + b[i] <= 0 else dy[r, i])
            sums[0, i] += g
            sums[1, i] += g * t


@jit
def _backward(dx, dy, x, m, a, b, slope, d, relu):
    for r in range(x.shape[0]):
        for i in range(x.shape[1]):
            t = x[r, i] - m[i]
            g = dy[r, i]
            if relu and t * a[i] + b[i] <= 0:
                g = x.dtype.type(0)
            dx[r, i] = a[i] * g + (slope[i] * t + d[i])


# ---- rows ----


def layer_norm(y, total, mean, rstd, x, residual, weight, bias, eps):
    if x.size == 0:
        return
    if residual is not None:
        np.add(x, residual, out=total)
        x = total
    w, b = _given(x, weight, 1), _given(x, bias, 0)
    centred = mean is not None
    means = mean if centred else rstd
    pieces, _ = _pieces(1, *x.shape)
    _each(lambda t, i, s, e: _layer(y[s:e], means[s:e], rstd[s:e], x[s:e], w, b, eps, centred), pieces)


def _given(x, v, value):
    return np.full(x.shape[1], value, x.dtype) if v is None else v


@jit(fastmath=_SUMS)
def _layer(y, mean, rstd, x, w, b, eps, centred):
    rows, c = x.shape
    for r in range(rows):
        m = 0.0
        if centred:
            for i in range(c):
                m += np.float64(x[r, i])
            m /= c
            mean[r] = m
        square = 0.0
        for i in range(c):
            d = x[r, i] - m
            square += d * d
        s = 1 / np.sqrt(square / c + eps)
        rstd[r] = s
        for i in range(c):
            y[r, i] = (x[r, i] - m) * s * w[i] + b[i]


def layer_norm_backward(dx, dw, db, dy, x, mean, rstd, weight, more):
    w, centred = _given(x, weight, 1), mean is not None
    means = mean if centred else rstd
    pieces, parts = _pieces(1, *x.shape)
    sums = np.empty((parts, 2, x.shape[1]))

    def piece(t, i, s, e):
        _layer_backward(dx[s:e], sums[t], dy[s:e], x[s:e], means[s:e], rstd[s:e], w, centred)

    _each(piece, pieces)
    for d, total in ((dw, sums[:, 0]), (db, sums[:, 1])):
        if d is not None:
            d[...] = total.sum(axis=0)
    if more is not None:
        dx += more


@jit(fastmath=_SUMS)
def _layer_backward(dx, sums, dy, x, mean, rstd, w, centred):
    rows, c = x.shape
    sums[:] = 0
    for r in range(rows):
        m, s = mean[r] if centred else 0.0, rstd[r]
        first = second = 0.0
        for i in range(c):
            g, z = np.float64(dy[r, i]), (x[r, i] - m) * s
            sums[0, i] += g * z
            sums[1, i] += g
            first += g * w[i]
            second += g * w[i] * z
        first = first / c if centred else 0.0
        second /= c
        for i in range(c):
            dx[r, i] = s * (np.float64(dy[r, i]) * w[i] - first - (x[r, i] - m) * s * second)
