"""Arrays in nnrt's cached memory; numpy's own where the extension is missing."""

import weakref

import numpy as np

from . import registry

K = registry.family("shape")

try:
    from ._ext.runtime import (
        alike,
        as_nchw,
        c_order,
        channels_last,
        contiguous,
        copy,
        dense,
        empty,
        empty_cache,
        empty_like,
        empty_product,
        lone,
        reset_peak,
        set_copy_kernel,
        strided,
        zeros,
    )
    from ._ext.runtime import memory_stats as stats
    from ._ext.runtime import set_cache_limit as set_limit

    set_copy_kernel(lambda out, x: K.copy(out, x))
except ImportError:
    from numpy import empty_like

    def _made(maker):
        def make(shape, dtype):
            try:
                return maker(shape, dtype)
            except ValueError as error:
                raise ValueError(f"empty: shape {shape} has more elements than can be addressed ({error})") from None

        return make

    empty, zeros = _made(np.empty), _made(np.zeros)

    def contiguous(a):
        return np.asarray(a, order="C")  # ascontiguousarray would give a 0-d array an axis

    def c_order(a):
        return a.flags.c_contiguous

    def alike(a, b):
        return a.shape == b.shape and a.dtype == b.dtype

    def lone(a):
        return False  # the interpreter's own references cannot be told apart

    def channels_last(a):
        return None

    def as_nchw(y, nd):
        y = y.reshape(y.shape[:1] + y.shape[6 - nd :])
        return np.moveaxis(y, -1, 1)

    def copy(a):
        return a.copy(order="K")

    def empty_product(a, b):
        if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[0] or a.dtype != b.dtype or a.dtype.char not in "fd":
            return None
        return empty((a.shape[0], b.shape[1]), a.dtype)

    def dense(a):
        return a if a.transpose(axis_order(a)).flags.c_contiguous else np.ascontiguousarray(a)

    def strided(a, offset, shape, strides, writeable=True):
        first = np.lib.stride_tricks.as_strided(a, (2,), (offset,))[1:]
        return np.lib.stride_tricks.as_strided(first, shape, strides, writeable=writeable and a.flags.writeable)

    def stats():
        return {}

    def empty_cache():
        pass

    def reset_peak():
        pass

    def set_limit(bytes):
        pass


def axis_order(a):
    """The axes of a as they lie in memory: by falling strides. np.argsort takes 3 us."""
    return sorted(range(a.ndim), key=lambda i: -abs(a.strides[i]))


def inverse_order(order):
    """Where each axis, the smallest first, stands in an order of axes: what undoes a.transpose(order)."""
    return sorted(range(len(order)), key=order.__getitem__)


def as_like(a, other):
    """a in the memory order of `other`, an array of the same shape; a itself when it already is."""
    if a.strides == other.strides:
        return a
    copy = empty_like(other)
    if a.size < 4096 or a.dtype != copy.dtype:
        copy[...] = a
    else:
        K.copy(copy, a)
    return copy


_lenders = {}


def lent(array):
    """A view for a tensor: the lender may change the shape of its own object, and cannot move the memory.

    numpy refuses to resize, even with refcheck=False, what has a weak reference.
    """
    owner = array
    while isinstance(owner.base, np.ndarray):
        owner = owner.base
    key = id(owner)
    if key not in _lenders:
        _lenders[key] = weakref.ref(owner, lambda dead: _lenders.pop(key, None))
    return array.view(np.ndarray)


__all__ = [
    "alike",
    "as_like",
    "axis_order",
    "c_order",
    "contiguous",
    "copy",
    "dense",
    "empty",
    "empty_cache",
    "empty_like",
    "empty_product",
    "inverse_order",
    "lent",
    "reset_peak",
    "set_limit",
    "stats",
    "strided",
    "zeros",
]
