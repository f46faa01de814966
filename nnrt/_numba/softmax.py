"""Softmax and its relatives in Numba. See nnrt._ref.softmax for what each computes."""

import numpy as np

from .compiled import jit, ufunc
from .reduce import _SUMS, _cube, _flat, _spread


def softmax(y, x, outer, n, inner):
    _softmax(_cube(y, outer, n, inner), _cube(x, outer, n, inner))


@jit(fastmath=_SUMS)
def _softmax(y, x):
    outer, n, inner = x.shape
    for o in range(outer):
        for i in range(inner):
            m = _top(x, o, i)
            s = 0.0
            for j in range(n):
                e = np.exp(x[o, j, i] - m)
                y[o, j, i] = e
                s += np.float64(e)
            for j in range(n):
                y[o, j, i] /= s


@jit
def _top(x, o, i):
    m = -np.inf
    for j in range(x.shape[1]):
        if x[o, j, i] > m:
            m = x[o, j, i]
    return x.dtype.type(m)


@jit(fastmath=_SUMS)
def _exp_sum(x, o, i, m):
    s = 0.0
    for j in range(x.shape[1]):
        s += np.float64(np.exp(x[o, j, i] - m))
    return s


def softmax_backward(dx, dy, y, outer, n, inner):
    _softmax_backward(*[_cube(a, outer, n, inner) for a in (dx, dy, y)])


@jit(fastmath=_SUMS)
def _softmax_backward(dx, dy, y):
    outer, n, inner = y.shape
    for o in range(outer):
        for i in range(inner):
            s = 0.0
            for j in range(n):
                s += np.float64(dy[o, j, i] * y[o, j, i])
            for j in range(n):
                dx[o, j, i] = y[o, j, i] * (dy[o, j, i] - s)


def log_softmax(y, x, outer, n, inner):
    _log_softmax(_cube(y, outer, n, inner), _cube(x, outer, n, inner))


@jit
def _log_softmax(y, x):
    outer, n, inner = x.shape
    for o in range(outer):
        for i in range(inner):
            m = _top(x, o, i)
            l = np.log(_exp_sum(x, o, i, m))
            for j in range(n):
                y[o, j, i] = (x[o, j, i] - m) - l


def log_softmax_backward(dx, dy, y, outer, n, inner):
    _log_softmax_backward(*[_cube(a, outer, n, inner) for a in (dx, dy, y)])


@jit(fastmath=_SUMS)
def _log_softmax_backward(dx, dy, y):
    outer, n, inner = y.shape
    for o in range(outer):
        for i in range(inner):
            s = 0.0
            for j in range(n):
                s += np.float64(dy[o, j, i])
            for j in range(n):
                dx[o, j, i] = dy[o, j, i] - np.exp(y[o, j, i]) * s


def logsumexp(y, x, outer, n, inner):
    _logsumexp(_flat(y, outer, inner), _cube(x, outer, n, inner))


@jit
def _logsumexp(y, x):
    outer, n, inner = x.shape
    for o in range(outer):
        for i in range(inner):
            m = _top(x, o, i)
            if np.isinf(m):
                m = x.dtype.type(0)
            y[o, i] = m + np.log(_exp_sum(x, o, i, m))


@ufunc
def _logsumexp_backward(dy, x, y):
    return dy * np.exp(x - y)


def logsumexp_backward(dx, dy, x, y, outer, n, inner):
    _spread(_logsumexp_backward, dx, (x,), (dy, y), (), outer, n, inner)
