"""Channels-last memory: how the kernels of the convolution family read arrays of shape (N, C, *spatial)."""

import numpy as np

from .. import memory

_ALL = slice(None)
_TO_LAST = {3: ((0, 2, 1), (_ALL, None, None)), 4: ((0, 2, 3, 1), (_ALL, None)), 5: ((0, 2, 3, 4, 1), (_ALL,))}

# y [N, D, H, W, C] and ndim: y as (N, C, *spatial) of ndim dimensions, a view.
as_nchw = memory.as_nchw


def channels_last(a):
    """a (N, C, *spatial), 1 to 3 spatial axes, as a C-ordered [N, D, H, W, C]; missing axes are 1, in front.

    A view where a's memory already lies so.
    """
    view = memory.channels_last(a)
    if view is not None:
        return view
    order, axes = _TO_LAST[a.ndim]
    return memory.contiguous(a.transpose(order))[axes]


def empty_channels_last(n, spatial, c, dtype):
    """An uninitialised [N, D, H, W, C] for 1 to 3 spatial sizes."""
    return memory.empty((n, *(1,) * (3 - len(spatial)), *spatial, c), dtype)


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
