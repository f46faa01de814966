"""Masks, and where things are: masked_select, masked_fill, nonzero, one_hot, search."""

import math

import numpy as np

from .. import memory, registry
from ..autograd import record, watched
from ..tensor import Tensor, wrap
from . import elementwise, shape
from ._geometry import check_addressable
from .create import sizes_of
from .index import check_range, indices_of
from .promotion import array_of, as_tensor, check_tensors, operands

E = registry.family("elementwise")
K = registry.family("index")


def masked_select(input, mask) -> Tensor:
    """The elements of input where mask (bool, broadcast against input) is True, as a 1-d tensor."""
    check_tensors("masked_select", input=input)
    where = mask_of("masked_select", mask)
    size = shape.broadcast_shapes(input.array.shape, where.shape)
    wide, where = np.broadcast_to(input.array, size), np.broadcast_to(where, size)
    return watched(record(wide[where], masked_select_backward, (input,), (input.array.shape, where)), mask)


def masked_select_backward(node, dy):
    size, mask = node.saved
    wide = memory.zeros(mask.shape, dy.dtype)
    wide[mask] = dy
    return (elementwise.sum_to(wide, size),)


def masked_fill(input, mask, value) -> Tensor:
    """input with value (a number or a 0-d tensor) where mask (bool, broadcast against input) is True."""
    input = as_tensor("masked_fill", input)
    a = input.array
    where = mask_of("masked_fill", mask)
    given = value if isinstance(value, Tensor) else None
    if given is None and not isinstance(value, (int, float, np.generic)):
        raise TypeError(f"masked_fill: value must be a number or a 0-d tensor, got {value!r}")
    if given is not None and given.array.ndim:
        raise RuntimeError(
            f"masked_fill: value must be a number or a 0-d tensor, got shape {given.array.shape}"
        )
    size = a.shape
    if where.shape != size:
        size = shape.broadcast_shapes(size, where.shape)
    out = memory.empty_like(a) if size == a.shape else memory.empty(size, a.dtype)
    if out.dtype.kind == "f":
        E.where(out, where, float(value) if given is None else given.array.astype(out.dtype), a)
    else:
        out[...] = a
        with np.errstate(invalid="ignore"):  # NaN becomes an integer
            np.copyto(out, np.asarray(value) if given is None else given.array, casting="unsafe", where=where)
    return watched(record(out, masked_fill_backward, (input, given), (where, a.shape)), mask)


def masked_fill_backward(node, dy):
    mask, size = node.saved
    dx = dvalue = None
    if node.needs(0):
        dx = memory.empty_like(dy)
        E.where(dx, mask, 0.0, dy)
        dx = elementwise.sum_to(dx, size)
    if node.needs(1):
        dvalue = elementwise.sum_to(memory.contiguous(dy[np.broadcast_to(mask, dy.shape)]), ())
    return dx, dvalue


def masked_scatter(input, mask, source) -> Tensor:
    """input with the elements of source, in order, where mask (bool, broadcast to input) is True."""
    check_tensors("masked_scatter", input=input, source=source)
    where = mask_of("masked_scatter", mask)
    size = shape.broadcast_shapes(input.array.shape, where.shape)
    where = np.broadcast_to(where, size)
    count = int(np.count_nonzero(where))
    if source.array.dtype != input.array.dtype:
        raise RuntimeError(f"masked_scatter: x is {input.array.dtype} but source {source.array.dtype}")
    if source.array.size < count:
        raise RuntimeError(
            f"masked_scatter: mask has {count} True but source only {source.array.size} elements"
        )
    out = memory.empty(size, input.array.dtype)
    out[...] = input.array
    out[where] = source.array.reshape(-1)[:count]
    saved = (where, input.array.shape, source.array.shape)
    return watched(record(out, masked_scatter_backward, (input, source), saved), mask)


def masked_scatter_backward(node, dy):
    mask, size, source_size = node.saved
    dx = elementwise.sum_to(np.where(mask, 0, dy).astype(dy.dtype), size) if node.needs(0) else None
    if not node.needs(1):
        return dx, None
    dsource = memory.zeros(source_size, dy.dtype)
    picked = dy[mask]
    dsource.reshape(-1)[: picked.size] = picked
    return dx, dsource


def mask_of(op, mask):
    array = mask.array if isinstance(mask, Tensor) else np.asarray(mask)
    if array.dtype != np.bool_:
        raise RuntimeError(f"{op}: mask must be bool, got {array.dtype}")
    return array


# ---- where things are ----


def nonzero(input, as_tuple=False):
    """Positions of the elements that are not zero: int64 [n, ndim], or with as_tuple [n] per axis."""
    input = as_tensor("nonzero", input)
    if as_tuple:
        return tuple([wrap(i) for i in np.atleast_1d(input.array).nonzero()])
    mask = input.array if input.array.dtype == np.bool_ else np.asarray(input.array != 0)
    found = memory.empty((np.count_nonzero(mask), mask.ndim), np.int64)
    K.nonzero(found, memory.contiguous(mask))
    return wrap(found)


def argwhere(input) -> Tensor:
    """nonzero() under numpy's name."""
    return nonzero(input)


def one_hot(tensor, num_classes=-1) -> Tensor:
    """int64 zeros (*tensor.shape, num_classes) with a 1 at each class; by default the largest class + 1."""
    index = memory.contiguous(indices_of("one_hot", tensor))
    if not hasattr(num_classes, "__index__") or isinstance(num_classes, bool):
        raise TypeError(f"one_hot: num_classes must be an int, got {num_classes!r}")
    if num_classes == -1:
        if not index.size:
            raise RuntimeError(
                "one_hot: an empty tensor does not say how many classes there are; pass num_classes"
            )
        num_classes = int(index.max()) + 1
    if num_classes < 1 and index.size:
        raise RuntimeError(f"one_hot: num_classes must be positive, got {num_classes}")
    check_addressable("one_hot", (*index.shape, num_classes))
    try:
        check_range("one_hot", index, num_classes, "num_classes")
    except IndexError as error:
        raise RuntimeError(str(error)) from None  # torch's type here
    out = memory.zeros(index.shape + (num_classes,), np.int64)
    out.reshape(-1)[index.reshape(-1) + np.arange(index.size) * num_classes] = 1
    return wrap(out)


def isin(elements, test_elements, *, assume_unique=False, invert=False) -> Tensor:
    """Which elements are among test_elements, as bools of elements' shape; with invert which are not.

    One of the two may be a number. assume_unique: a promise that neither repeats itself, which saves sorting. NaN equals nothing.
    """
    a, b = operands("isin", elements, test_elements)
    return wrap(np.asarray(np.isin(array_of(a), array_of(b), assume_unique=assume_unique, invert=invert)))


def unravel_index(indices, shape) -> tuple[Tensor, ...]:
    """Coordinates of elements by their place in C order: one int64 tensor of indices' shape for every axis of shape.

    shape: sizes, or one. Raises RuntimeError for indices that are no integers and for sizes below 0, IndexError for one outside.
    """
    indices = as_tensor("unravel_index", indices, "indices")
    if indices.array.dtype.kind not in "iu":
        raise RuntimeError(f"unravel_index: indices must be integers, got {indices.array.dtype}")
    sizes = sizes_of("unravel_index", (shape.tolist() if isinstance(shape, Tensor) else shape,))
    rest = memory.contiguous(indices.array.astype(np.int64, copy=False))
    check_range("unravel_index", rest, math.prod(sizes), 0)
    found = []
    for size in reversed(sizes):
        rest, place = np.divmod(rest, max(size, 1))
        found.append(wrap(np.asarray(place)))
    return tuple(found[::-1])


def searchsorted(sorted_sequence, input, *, out_int32=False, right=False, side=None, sorter=None) -> Tensor:
    """Where each element of input would go into a sorted sequence (along the last axis) to keep it sorted.

    Before equal elements, or after them with right=True (side="right"). A 1-d sequence takes input of any
    shape; otherwise both agree on all axes but the last. int64 (int32 with out_int32).
    """
    sorted_sequence = as_tensor("searchsorted", sorted_sequence, "sorted_sequence")
    if side not in (None, "left", "right") or (side == "left" and right):
        raise RuntimeError(f"searchsorted: side={side!r} does not go with right={right}")
    place = "right" if right or side == "right" else "left"
    a = sorted_sequence.array
    v = input.array if isinstance(input, Tensor) else np.asarray(input, a.dtype)
    if sorter is not None:
        a = np.take_along_axis(a, indices_of("searchsorted", sorter), -1)
    if a.ndim == 1:
        found = np.searchsorted(a, v, place)
    elif a.shape[:-1] != v.shape[:-1]:
        raise RuntimeError(f"searchsorted: shapes {a.shape} and {v.shape} differ before the last axis")
    else:
        found = np.empty(v.shape, np.int64)
        for i in np.ndindex(a.shape[:-1]):
            found[i] = np.searchsorted(a[i], v[i], place)
    return wrap(np.asarray(found, np.int32 if out_int32 else np.int64))


def bucketize(input, boundaries, *, out_int32=False, right=False) -> Tensor:
    """The bucket between rising 1-d boundaries that each element of input falls into."""
    check_tensors("bucketize", boundaries=boundaries)
    if boundaries.array.ndim != 1:
        raise RuntimeError(f"bucketize: boundaries must be 1-d, got shape {boundaries.array.shape}")
    return searchsorted(boundaries, input, out_int32=out_int32, right=right)
