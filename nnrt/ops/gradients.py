"""Norms and bounds of many gradients at once: what nn.utils.clip_grad_norm_ and its kin are made of."""

import numpy as np

from .. import memory, registry
from .._ref import optim as reference

K = registry.family("optim")

CHUNK = 16384  # elements per partial sum, as the kernel is documented


def total_norm(arrays, order=2.0):
    """(sum |x|^order)^(1/order) over all elements of floating arrays, or max |x| for order = inf; a float.

    Sums are taken in float64, in an order that the shapes alone decide.
    """
    order = float(order)
    partials = [np.zeros(0)]
    for kernels, group in _by_dtype(arrays):
        pieces = sum(-(-a.size // CHUNK) for a in group)
        part = memory.empty((pieces,), np.dtype(np.float64))
        kernels.grad_norm(part, [memory.dense(a) for a in group], order)
        partials.append(part)
    sums = np.concatenate(partials)
    if order == np.inf:
        return float(sums.max()) if sums.size else 0.0
    return float(sums.sum() ** (1 / order))


def scale(arrays, factor):
    """a *= factor for every array, in place."""
    _in_place(arrays, "scale", float(factor))


def clamp(arrays, low, high):
    """a = min(max(a, low), high) for every array, in place; NaN stays NaN."""
    _in_place(arrays, "clamp", float(low), float(high))


def _in_place(arrays, kernel, *scalars):
    for kernels, group in _by_dtype(arrays):
        dense = [memory.dense(a) for a in group]
        getattr(kernels, kernel)(dense, *scalars)
        for a, work in zip(group, dense):
            if work is not a:
                a[...] = work


def _by_dtype(arrays):
    """(kernels, arrays) per dtype; float16 is left to the specification."""
    groups = {}
    for a in arrays:
        groups.setdefault(a.dtype, []).append(a)
    return [(K if dtype.itemsize >= 4 else reference, group) for dtype, group in groups.items()]
