"""Softmax and its relatives along one axis (specification).

    softmax      y_j = exp(x_j - m) / Σ_i exp(x_i - m),  m = max_i x_i
    log_softmax  y_j = x_j - m - log Σ_i exp(x_i - m)
    logsumexp    y   = m + log Σ_i exp(x_i - m)

Legend: memory is dense and read as [outer, n, inner]; the axis n is the softmax's. A row that is
-inf throughout has no softmax: NaN.
"""

import numpy as np

from . import Out
from .reduce import _cube, _store


def softmax(y: Out, x, outer, n, inner):
    """y = exp(x - max x) / Σ."""
    c = _cube(x, outer, n, inner)
    with np.errstate(all="ignore"):
        e = np.exp(c - c.max(axis=1, keepdims=True, initial=-np.inf))
        _store(y, e / e.sum(axis=1, keepdims=True, dtype=np.float64))


def softmax_backward(dx: Out, dy, y, outer, n, inner):
    """dx = y (dy - Σ dy y)."""
    p, g = _cube(y, outer, n, inner), _cube(dy, outer, n, inner)
    _store(dx, p * (g - (p * g).sum(axis=1, keepdims=True, dtype=np.float64)))


def log_softmax(y: Out, x, outer, n, inner):
    """y = x - max x - log Σ exp(x - max x)."""
    c = _cube(x, outer, n, inner)
    with np.errstate(all="ignore"):
        d = c - c.max(axis=1, keepdims=True, initial=-np.inf)
        _store(y, d - np.log(np.exp(d).sum(axis=1, keepdims=True, dtype=np.float64)))


def log_softmax_backward(dx: Out, dy, y, outer, n, inner):
    """dx = dy - exp(y) Σ dy."""
    l, g = _cube(y, outer, n, inner), _cube(dy, outer, n, inner)
    _store(dx, g - np.exp(l) * g.sum(axis=1, keepdims=True, dtype=np.float64))


def logsumexp(y: Out, x, outer, n, inner):
    """y = log Σ exp x; -inf for a row of -inf, inf where some x is inf."""
    c = _cube(x, outer, n, inner)
    with np.errstate(all="ignore"):
        m = c.max(axis=1, keepdims=True, initial=-np.inf)
        m = np.where(np.isinf(m), 0, m)
        _store(y, m + np.log(np.exp(c - m).sum(axis=1, keepdims=True, dtype=np.float64)))


def logsumexp_backward(dx: Out, dy, x, y, outer, n, inner):
    """dx_j = dy exp(x_j - y)."""
    c = _cube(x, outer, n, inner)
    v, g = (a.ravel(order="K").reshape(outer, 1, inner) for a in (y, dy))
    with np.errstate(all="ignore"):
        _store(dx, g * np.exp(c - v))
