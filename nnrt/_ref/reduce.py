"""Reductions along one group of axes (specification).

    sum   y = Σ_j x_j / divisor          var   y = Σ_j (x_j - mean)² / divisor
    prod  y = Π_j x_j                    norm  y = (Σ_j |x_j|^p)^(1/p)
    amax  y = max_j x_j, NaN if any x_j is NaN

Legend: x is dense memory read as [outer, n, inner], y as [outer, inner]; the axis n goes.
Float sums are accumulated in float64.
"""

import numpy as np

from . import Out


def _cube(x, outer, n, inner):
    """x's memory as [outer, n, inner]."""
    return x.ravel(order="K").reshape(outer, n, inner)


def _store(y, value):
    """y's memory = value, an [outer, inner] array."""
    y.ravel(order="K")[...] = value.reshape(-1)


def _wide(x):
    """The dtype in which sums over x are accumulated."""
    return np.float64 if x.dtype.kind == "f" else x.dtype


def sum(y: Out, x, outer, n, inner, divisor):
    """y = Σ_j x_j / divisor (1 for a sum, n for a mean); integer y takes no divisor but 1."""
    if y.dtype.kind != "f":
        np.add.reduce(_cube(x, outer, n, inner), 1, y.dtype, y.ravel(order="K").reshape(outer, inner))
        return
    with np.errstate(all="ignore"):
        _store(y, _cube(x, outer, n, inner).sum(axis=1, dtype=np.float64) / divisor)


def prod(y: Out, x, outer, n, inner):
    """y = Π_j x_j."""
    with np.errstate(all="ignore"):
        _store(
            y, _cube(x, outer, n, inner).prod(axis=1, dtype=np.float64 if y.dtype.kind == "f" else y.dtype)
        )


def prod_backward(dx: Out, dy, x, outer, n, inner):
    """dx_j = dy Π_{i≠j} x_i: the product before j times that after it, so no division by zeros."""
    c = _cube(x, outer, n, inner).astype(_wide(x))
    before, after = np.ones_like(c), np.ones_like(c)
    with np.errstate(all="ignore"):
        np.cumprod(c[:, :-1], axis=1, out=before[:, 1:])
        np.cumprod(c[:, :0:-1], axis=1, out=after[:, 1:])
        _store(dx, before * after[:, ::-1] * dy.ravel(order="K").reshape(outer, 1, inner))


def amax(y: Out, x, outer, n, inner):
    """y = max_j x_j; NaN wins."""
    _store(y, np.maximum.reduce(_cube(x, outer, n, inner), axis=1))


def amin(y: Out, x, outer, n, inner):
    """y = min_j x_j; NaN wins."""
    _store(y, np.minimum.reduce(_cube(x, outer, n, inner), axis=1))


def amax_backward(dx: Out, dy, x, y, outer, n, inner):
    """dx_j = dy / (number of j with x_j = y) where x_j = y, else 0. NaN equals NaN here. For amin too."""
    c = _cube(x, outer, n, inner)
    v = y.ravel(order="K").reshape(outer, 1, inner)
    hit = (c == v) | ((c != c) & (v != v))
    share = dy.ravel(order="K").reshape(outer, 1, inner) / np.maximum(hit.sum(axis=1, keepdims=True), 1)
    _store(dx, np.where(hit, share, 0))


def max_at(y: Out, index: Out, x, outer, n, inner):
    """y = max_j x_j and index the first j that attains it; the first NaN wins."""
    _at(y, index, _cube(x, outer, n, inner), np.ndarray.argmax)


def min_at(y: Out, index: Out, x, outer, n, inner):
    """y = min_j x_j and index the first j that attains it; the first NaN wins."""
    _at(y, index, _cube(x, outer, n, inner), np.ndarray.argmin)


def _at(y, index, c, arg):
    at = arg(c, 1)
    _store(index, at)
    _store(y, c[np.arange(c.shape[0])[:, None], at, np.arange(c.shape[2])])


def select_backward(dx: Out, dy, index, outer, n, m, inner):
    """dx = 0, then dx[o, index[o, j, i], i] += dy[o, j, i].

    dx is [outer, n, inner]; dy and index are [outer, m, inner], 0 <= index < n.
    """
    flat = np.zeros((outer, n, inner), dx.dtype)
    o, _, i = np.ogrid[:outer, :m, :inner]
    np.add.at(flat, (o, _cube(index, outer, m, inner), i), _cube(dy, outer, m, inner))
    _store(dx, flat)


def var(y: Out, mean: Out, x, outer, n, inner, divisor):
    """mean = Σ_j x_j / n and y = Σ_j (x_j - mean)² / divisor, in two passes (exact for large offsets)."""
    c = _cube(x, outer, n, inner)
    with np.errstate(all="ignore"):
        m = c.sum(axis=1, keepdims=True, dtype=np.float64) / np.float64(n)
        d = c - m
        _store(y, ((d * d).sum(axis=1) - d.sum(axis=1) ** 2 / np.float64(n)) / np.float64(divisor))
        _store(mean, m)


def var_backward(dx: Out, dy, x, mean, outer, n, inner, divisor):
    """dx_j = dy · 2 (x_j - mean) / divisor."""
    with np.errstate(all="ignore"):
        scale = dy.ravel(order="K").reshape(outer, 1, inner) * (2 / np.float64(divisor))
        _store(dx, scale * (_cube(x, outer, n, inner) - mean.ravel(order="K").reshape(outer, 1, inner)))


def norm(y: Out, x, outer, n, inner, p):
    """y = (Σ_j |x_j|^p)^(1/p); p = 0 counts what is not 0, p = ±inf takes the largest or smallest |x_j|."""
    a = np.abs(_cube(x, outer, n, inner)).astype(np.float64)
    with np.errstate(all="ignore"):
        if p == 0:
            total = (a != 0).sum(axis=1)
        elif p == np.inf:
            total = np.maximum.reduce(a, axis=1, initial=0)
        elif p == -np.inf:
            total = np.minimum.reduce(a, axis=1, initial=np.inf)
        elif p == 1:
            total = a.sum(axis=1)
        elif p == 2:
            total = np.sqrt((a * a).sum(axis=1))
        else:
            total = (a**p).sum(axis=1) ** (1 / p)
        _store(y, total)


def norm_backward(dx: Out, dy, x, y, outer, n, inner, p):
    """dx_j = dy sign(x_j) (|x_j| / y)^(p-1), 0 where y or, for p < 1, x_j is 0.

    For p = ±inf dy is divided evenly among the |x_j| that equal y; for p = 0 dx is 0.
    """
    c = _cube(x, outer, n, inner)
    v = y.ravel(order="K").reshape(outer, 1, inner)
    g = dy.ravel(order="K").reshape(outer, 1, inner)
    with np.errstate(all="ignore"):
        if p == 0:
            d = np.zeros_like(c)
        elif abs(p) == np.inf:
            hit = (np.abs(c) == v) | ((c != c) & (v != v))
            d = np.sign(c) * hit * (g / np.maximum(hit.sum(axis=1, keepdims=True), 1))
        elif p == 1:
            d = np.sign(c) * g
        elif p == 2:
            d = np.where(v == 0, 0, c * (g / v))
        else:
            d = np.where((v == 0) | (c == 0), 0, np.sign(c) * (np.abs(c) / v) ** (p - 1) * g)
        _store(dx, d)


def cumsum(y: Out, x, outer, n, inner, reverse):
    """y_j = Σ_{i≤j} x_i, or Σ_{i≥j} x_i with reverse."""
    c = _cube(x, outer, n, inner)
    step = -1 if reverse else 1
    _store(
        y, np.cumsum(c[:, ::step], axis=1, dtype=np.float64 if y.dtype.kind == "f" else y.dtype)[:, ::step]
    )


def cumprod(y: Out, x, outer, n, inner):
    """y_j = Π_{i≤j} x_i."""
    with np.errstate(all="ignore"):
        wide = np.float64 if y.dtype.kind == "f" else y.dtype
        _store(y, np.cumprod(_cube(x, outer, n, inner), axis=1, dtype=wide))


def cumprod_backward(dx: Out, dy, x, outer, n, inner):
    """dx_j = P_{j-1} S_j, P_j = Π_{i≤j} x_i, S_j = dy_j + x_{j+1} S_{j+1}: no division by zeros."""
    c = _cube(x, outer, n, inner).astype(np.float64)
    g = _cube(dy, outer, n, inner).astype(np.float64)
    before = np.ones_like(c)
    with np.errstate(all="ignore"):
        np.cumprod(c[:, :-1], axis=1, out=before[:, 1:])
        for j in range(n - 2, -1, -1):
            g[:, j] += c[:, j + 1] * g[:, j + 1]
        _store(dx, before * g)


def cummax(y: Out, index: Out, x, outer, n, inner):
    """y_j = max_{i≤j} x_i and index_j the last such i; once NaN, always NaN."""
    _cumulative(y, index, _cube(x, outer, n, inner), np.maximum)


def cummin(y: Out, index: Out, x, outer, n, inner):
    """y_j = min_{i≤j} x_i and index_j the last such i; once NaN, always NaN."""
    _cumulative(y, index, _cube(x, outer, n, inner), np.minimum)


def _cumulative(y, index, c, best):
    found = (c == best.accumulate(c, axis=1)) | (c != c)
    at = np.maximum.accumulate(np.where(found, np.arange(c.shape[1])[:, None], 0), axis=1)
    _store(y, np.take_along_axis(c, at, axis=1))
    _store(index, at)
