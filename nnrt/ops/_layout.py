"""Channels-last memory: how the kernels of the convolution family read arrays of shape (N, C, *spatial)."""

import numpy as np

from .. import memory

_TO_LAST = {3: (0, 2, 1), 4: (0, 2, 3, 1), 5: (0, 2, 3, 4, 1)}
_FROM_LAST = {3: (0, 2, 1), 4: (0, 3, 1, 2), 5: (0, 4, 1, 2, 3)}


def channels_last(a):
    """a (N, C, *spatial), 1 to 3 spatial axes, as a C-ordered [N, D, H, W, C]; missing axes are 1, in front.

    A view where a's memory already lies so.
    """
    a = memory.contiguous(a.transpose(_TO_LAST[a.ndim]))
    return a.reshape(a.shape[:1] + (1,) * (5 - a.ndim) + a.shape[1:])


def empty_channels_last(n, spatial, c, dtype):
    """An uninitialised [N, D, H, W, C] for 1 to 3 spatial sizes."""
    return memory.empty((n, *(1,) * (3 - len(spatial)), *spatial, c), dtype)


def as_nchw(y, ndim):
    """y [N, D, H, W, C] as (N, C, *spatial) of ndim dimensions: a view."""
    if ndim < 5:
        y = y.reshape(y.shape[:1] + y.shape[6 - ndim :])
    return y.transpose(_FROM_LAST[ndim])


def empty_nchw(shape, dtype):
    """An uninitialised (N, C, *spatial) whose memory is channels-last, and its own: a leaf keeps it as its gradient.

    channels_last() of it is a view.
    """
    n, c, *spatial = shape
    step = np.dtype(dtype).itemsize
    strides = [step]
    step *= c
    for size in reversed(spatial):
        strides.insert(1, step)
        step *= size
    return memory.empty_like(memory.strided(np.empty(1, dtype), 0, tuple(shape), (step, *strides), False))
