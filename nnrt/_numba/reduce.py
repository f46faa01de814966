"""Reductions in Numba. See nnrt._ref.reduce for what each computes.

Sums run in float64; the compiler may reorder them within a row, the same way on every call.
dtypes other than float32 and float64 go to _ref.
"""

import numpy as np

from nnrt._ref import reduce as ref

from .compiled import jit

# Reordering for vectors; NaN and infinities keep their meaning.
_SUMS = {"reassoc", "contract", "nsz"}


def _floats(*arrays):
    return all(a.dtype == arrays[0].dtype and a.dtype in (np.float32, np.float64) for a in arrays)


def _cube(a, outer, n, inner):
    return a.ravel(order="K").reshape(outer, n, inner)


def _flat(a, outer, inner):
    return a.ravel(order="K").reshape(outer, inner)


def sum(y, x, outer, n, inner, divisor):
    if not _floats(y, x):
        return ref.sum(y, x, outer, n, inner, divisor)
    _sum(_flat(y, outer, inner), _cube(x, outer, n, inner), float(divisor))


@jit(fastmath=_SUMS)
def _sum(y, x, divisor):
    outer, n, inner = x.shape
    total = np.empty(inner)
    for o in range(outer):
        if inner == 1:
            s = 0.0
            for j in range(n):
                s += np.float64(x[o, j, 0])
            y[o, 0] = s / divisor
            continue
        total[:] = 0
        for j in range(n):
            for i in range(inner):
                total[i] += np.float64(x[o, j, i])
        for i in range(inner):
            y[o, i] = total[i] / divisor


def amax(y, x, outer, n, inner):
    if not _floats(y, x):
        return ref.amax(y, x, outer, n, inner)
    _best(_flat(y, outer, inner), _cube(x, outer, n, inner), 1)


def amin(y, x, outer, n, inner):
    if not _floats(y, x):
        return ref.amin(y, x, outer, n, inner)
    _best(_flat(y, outer, inner), _cube(x, outer, n, inner), -1)


@jit
def _best(y, x, sign):
    outer, n, inner = x.shape
    for o in range(outer):
        for i in range(inner):
            y[o, i] = x[o, 0, i]
        for j in range(1, n):
            for i in range(inner):
                v = x[o, j, i]
                if sign * v > sign * y[o, i] or v != v:
                    y[o, i] = v


def max_at(y, index, x, outer, n, inner):
    if not _floats(y, x):
        return ref.max_at(y, index, x, outer, n, inner)
    _at(_flat(y, outer, inner), _flat(index, outer, inner), _cube(x, outer, n, inner), 1)


def min_at(y, index, x, outer, n, inner):
    if not _floats(y, x):
        return ref.min_at(y, index, x, outer, n, inner)
    _at(_flat(y, outer, inner), _flat(index, outer, inner), _cube(x, outer, n, inner), -1)


@jit
def _at(y, index, x, sign):
    outer, n, inner = x.shape
    for o in range(outer):
        for i in range(inner):
            y[o, i] = x[o, 0, i]
            index[o, i] = 0
        for j in range(1, n):
            for i in range(inner):
                v = x[o, j, i]
                if sign * v > sign * y[o, i] or (v != v and y[o, i] == y[o, i]):
                    y[o, i] = v
                    index[o, i] = j


def select_backward(dx, dy, index, outer, n, m, inner):
    if not _floats(dx, dy):
        return ref.select_backward(dx, dy, index, outer, n, m, inner)
    _select_backward(_cube(dx, outer, n, inner), _cube(dy, outer, m, inner), _cube(index, outer, m, inner))


@jit
def _select_backward(dx, dy, index):
    dx[:] = 0
    outer, m, inner = dy.shape
    for o in range(outer):
        for j in range(m):
            for i in range(inner):
                dx[o, index[o, j, i], i] += dy[o, j, i]


def cumprod_backward(dx, dy, x, outer, n, inner):
    if not _floats(dx, x):
        return ref.cumprod_backward(dx, dy, x, outer, n, inner)
    _cumprod_backward(*[_cube(a, outer, n, inner) for a in (dx, dy, x)])


@jit
def _cumprod_backward(dx, dy, x):
    outer, n, inner = x.shape
    for o in range(outer):
        for i in range(inner):
            s = 1.0
            for j in range(n):
                dx[o, j, i] = s
                s *= np.float64(x[o, j, i])
            s = 0.0
            for j in range(n - 1, -1, -1):
                s = dy[o, j, i] + (x[o, j + 1, i] * s if j < n - 1 else 0.0)
                dx[o, j, i] *= s


def cummax(y, index, x, outer, n, inner):
    if not _floats(y, x):
        return ref.cummax(y, index, x, outer, n, inner)
    _cumulative(*[_cube(a, outer, n, inner) for a in (y, index, x)], 1)


def cummin(y, index, x, outer, n, inner):
    if not _floats(y, x):
        return ref.cummin(y, index, x, outer, n, inner)
    _cumulative(*[_cube(a, outer, n, inner) for a in (y, index, x)], -1)


@jit
def _cumulative(y, index, x, sign):
    outer, n, inner = x.shape
    for o in range(outer):
        for j in range(n):
            for i in range(inner):
                v = x[o, j, i]
                if j == 0 or sign * v >= sign * y[o, j - 1, i] or v != v:
                    y[o, j, i] = v
                    index[o, j, i] = j
                else:
                    y[o, j, i] = y[o, j - 1, i]
                    index[o, j, i] = index[o, j - 1, i]
