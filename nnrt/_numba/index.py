"""Gathering and scattering in Numba. See nnrt._ref.index for what each computes.

take is numpy's own, which no loop beats.
"""

import numpy as np

from .._ref import index as _ref
from .compiled import jit

_FLOATS = (np.float32, np.float64)


def check(bad, index, size):
    bad[0] = _check(index.reshape(-1), size)


@jit
def _check(index, size):
    for i in range(index.size):
        if index[i] < 0 or index[i] >= size:
            return i
    return -1


def counting_sort(order, starts, index):
    _counting_sort(order, starts, index.reshape(-1))


@jit
def _counting_sort(order, starts, index):
    starts[:] = 0
    for k in range(index.size):
        starts[index[k] + 1] += 1
    for r in range(starts.size - 1):
        starts[r + 1] += starts[r]
    for k in range(index.size):
        order[starts[index[k]]] = k
        starts[index[k]] += 1
    for r in range(starts.size - 1, 0, -1):  # each start had moved to the next one
        starts[r] = starts[r - 1]
    starts[0] = 0


def take(out, x, index):
    index = index.ravel()
    np.take(x, index, axis=1, out=out, mode="clip")  # the indices are in range; "raise" would copy out
    absent = index < 0
    if absent.any():
        out[:, absent] = 0


def gather(out, x, index):
    if out.dtype not in _FLOATS:
        _ref.gather(out, x, index)
        return
    _gather(out, x, index)


@jit
def _gather(out, x, index):
    for o in range(index.shape[0]):
        for n in range(index.shape[1]):
            for j in range(index.shape[2]):
                out[o, n, j] = x[o, index[o, n, j], j]


def nonzero(out, mask):
    for i, places in enumerate(mask.nonzero() if mask.ndim else ()):
        out[:, i] = places


def segment_sum(out, base, weights, x, order, starts):
    if out.dtype not in _FLOATS:
        _ref.segment_sum(out, base, weights, x, order, starts)
        return
    weighted = weights is not None
    based = base is not None
    _segment_sum(
        out,
        base if based else out,
        based,
        weights if weighted else np.empty(0, out.dtype),
        weighted,
        x,
        order,
        starts,
    )


@jit
def _segment_sum(out, base, based, weights, weighted, x, order, starts):
    columns = out.shape[2]
    total = np.empty(columns, np.float64)
    for o in range(out.shape[0]):
        for r in range(out.shape[1]):
            total[:] = 0
            for k in range(starts[r], starts[r + 1]):
                w = np.float64(weights[k]) if weighted else 1.0
                for j in range(columns):
                    total[j] += w * x[o, order[k], j]
            for j in range(columns):
                out[o, r, j] = base[o, r, j] + total[j] if based else total[j]


def scatter(out, base, x, index):
    if out.dtype not in _FLOATS:
        _ref.scatter(out, base, x, index)
        return
    out[...] = 0 if base is None else base
    _scatter(out, x, index)


@jit
def _scatter(out, x, index):
    for o in range(index.shape[0]):
        for n in range(index.shape[1]):
            for j in range(index.shape[2]):
                out[o, index[o, n, j], j] = x[o, n, j]


def scatter_add(out, base, x, index):
    if out.dtype not in _FLOATS:
        _ref.scatter_add(out, base, x, index)
        return
    out[...] = 0 if base is None else base
    _scatter_add(out, x, index)


@jit
def _scatter_add(out, x, index):
    for o in range(index.shape[0]):
        for n in range(index.shape[1]):
            for j in range(index.shape[2]):
                out[o, index[o, n, j], j] += x[o, n, j]
