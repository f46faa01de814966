"""How axes are named and laid out for kernels that work along one group of them.

A kernel sees dense memory as [outer, n, inner] and works along n. :func:`arrange` finds that
view of an array in whatever order its memory is, and copies only where the axes are not
neighbours there.
"""

import numpy as np

from .. import memory
from ..dtypes import as_dtype


def in_dtype(op, a, dtype):
    """An array in the dtype asked for; NaN and what is out of range become integers silently."""
    with np.errstate(invalid="ignore"):
        return a.astype(as_dtype(op, dtype), copy=False)


def axis_of(op, dim, ndim):
    """dim as an axis 0 <= axis < max(ndim, 1). IndexError when out of range, TypeError for what is no int."""
    try:
        axis = dim.__index__()
    except AttributeError:
        raise TypeError(f"{op}: dim must be an int, got {type(dim).__name__}") from None
    limit = ndim if ndim else 1
    if axis < 0:
        axis += limit
    if not 0 <= axis < limit:
        raise IndexError(f"{op}: dim {dim} is out of range for a tensor with {ndim} dimensions")
    return axis


def numpys(dim, keepdim, axis, keepdims):
    """dim and keepdim, or what came under numpy's names of them, axis and keepdims, which torch takes, too."""
    return dim if axis is None else axis, keepdim if keepdims is None else keepdims


def axes_of(op, dim, ndim):
    """dim (int, sequence, or None or empty for all) as a rising tuple of axes; () for a 0-d tensor.

    IndexError when out of range, RuntimeError for an axis named twice.
    """
    if dim is None:
        return tuple(range(ndim))
    if not isinstance(dim, (tuple, list)):
        axis = axis_of(op, dim, ndim)
        return (axis,) if ndim else ()
    if not dim:
        return tuple(range(ndim))
    axes = sorted([axis_of(op, d, ndim) for d in dim])
    for i in range(1, len(axes)):
        if axes[i] == axes[i - 1]:
            raise RuntimeError(f"{op}: dim {axes[i]} appears twice in {tuple(dim)}")
    return tuple(axes) if ndim else ()


def to_last(a, axis):
    """Array a with the axis as the last one, a view; np.moveaxis takes 4 us to find that."""
    if axis == a.ndim - 1:
        return a
    return a.transpose(*range(axis), *range(axis + 1, a.ndim), axis)


def from_last(a, axis):
    """Array a with its last axis moved to the place of `axis`, a view."""
    last = a.ndim - 1
    return a if axis == last else a.transpose(*range(axis), last, *range(axis, last))


def reduced_shape(shape, axes, keepdim):
    """The shape without the axes, or with size 1 there."""
    if keepdim:
        return tuple([1 if i in axes else s for i, s in enumerate(shape)])
    return tuple([s for i, s in enumerate(shape) if i not in axes])


def split(shape, axes):
    """(outer, n, inner) of the C-ordered shape around rising axes, or None when they are no neighbours."""
    ndim = len(shape)
    if len(axes) == ndim:
        n = 1
        for size in shape:
            n *= size
        return 1, n, 1
    first, last = axes[0], axes[-1]
    outer = n = inner = 1
    i = 0
    for size in shape:
        if i < first:
            outer *= size
        elif i > last:
            inner *= size
        else:
            if i not in axes and size != 1:
                return None
            n *= size
        i += 1
    return outer, n, inner


def arrange(a, axes, keepdim, dtype):
    """(b, y, outer, n, inner): b is `a` in dense memory read as [outer, n, inner], y an empty result.

    b has a's shape (it is `a` itself where possible); y has the reduced shape, the dtype, and
    the memory order [outer, inner].
    """
    b = memory.dense(a)
    shape = b.shape
    if b.flags.c_contiguous:
        if not axes:
            return b, memory.empty(shape, dtype), b.size, 1, 1
        found = split(shape, axes)
        if found is not None:
            outer, n, inner = found
            return b, memory.empty(reduced_shape(shape, axes, keepdim), dtype), outer, n, inner
    return _arrange_any(b, axes, keepdim, dtype)


def _arrange_any(b, axes, keepdim, dtype):
    """arrange() for dense memory in any order of the axes."""
    shape = b.shape
    order = sorted(range(len(shape)), key=lambda i: (shape[i] != 1, -b.strides[i]))
    places = [place for place, i in enumerate(order) if i in axes and shape[i] != 1]
    if places and places[-1] - places[0] != len(places) - 1:
        order = [i for i in order if i not in axes] + list(axes)
        copy = memory.empty(tuple([shape[i] for i in order]), b.dtype)
        copy[...] = b.transpose(order)
        b = copy.transpose(memory.inverse_order(order))
    outer = n = inner = 1
    seen = False
    for i in order:
        if i in axes:
            n *= shape[i]
            seen = seen or shape[i] != 1
        elif seen:
            inner *= shape[i]
        else:
            outer *= shape[i]
    kept = order if keepdim else [i for i in order if i not in axes]
    y = memory.empty(tuple([1 if i in axes else shape[i] for i in kept]), dtype)
    return b, y.transpose(memory.inverse_order(kept)), outer, n, inner


def expand(dy, shape, axes, keepdim):
    """dy, of the reduced shape, spread over the axes again: a view with stride 0 there."""
    if dy.size == 1 and dy.flags.c_contiguous:
        return np.ndarray(shape, dy.dtype, dy, 0, (0,) * len(shape))
    if not keepdim:
        dy = dy.reshape(tuple([1 if i in axes else s for i, s in enumerate(shape)]))
    return np.broadcast_to(dy, shape)
