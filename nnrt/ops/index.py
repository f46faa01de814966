"""Reading by index: [], index_select, take, gather; masks are in masks.py.

Legend as in nnrt._ref.index: O outer, R rows along the indexed axis, N indices, D inner. What is
read once per index is added back once per index in the backward, repeated indices in their order.
"""

import math
from functools import lru_cache

import numpy as np

from .. import memory, registry
from ..autograd import record, watched
from ..tensor import Tensor, wrap
from . import create, shape
from .parts import part
from .promotion import as_tensor
from .shape import axis_of

K = registry.family("index")
E = registry.family("elementwise")

_BASIC = (int, slice, type(None), type(Ellipsis))


# ---- [] ----


def getitem(base, key):
    """base[key]: ints, slices, None and ... give views; tensors, arrays and lists of ints or bools copies.

    As in torch, ints and slices are applied first; the axes of adjacent index arrays are replaced in
    place, those of separated ones come first. IndexError names what does not fit.
    """
    a = base.array
    kind = type(key)
    try:
        if kind is int:
            key = (key, Ellipsis)
            return part(base, a[key], key)
        if kind is slice or key is None or key is Ellipsis:
            return part(base, a[key], key)
        if kind is tuple:
            for k in key:
                if type(k) not in _BASIC:
                    break
            else:
                try:
                    b = a[key]
                except IndexError:
                    if key.count(Ellipsis) < 2:
                        raise
                    key = parsed(key, a.ndim)[0]
                    b = a[key]
                if type(b) is not np.ndarray:
                    key = key + (Ellipsis,)
                    b = a[key]
                return part(base, b, key)
        if kind is Tensor and key.array.ndim == 1 and key.array.dtype == np.int64 and a.ndim:
            return watched(_take(base, 0, key.array, "getitem", True), key)
        basic, advanced = parsed(key, a.ndim)
        view = base if basic is None else part(base, a[basic], basic)
        if advanced is None:
            return view
        return watched(_pick(view, advanced), *(key if kind is tuple else (key,)))
    except IndexError as error:
        raise index_error("getitem", error, a) from None


def index_error(op, error, a):
    text = str(error)
    return IndexError(text if text.startswith(op) else f"{op}: {text} (a tensor of shape {a.shape})")


def parsed(key, ndim):
    """Splits an index into (basic, advanced), either of which may be None.

    basic: ints, slices, None and Ellipsis, with a full slice for each axis that an array indexes;
    advanced: applies to the result; arrays and full slices.
    """
    items = [_item(k) for k in (key if type(key) is tuple else (key,))]
    taken = sum([_axes_taken(k) for k in items])
    if taken > ndim:
        raise IndexError(f"{taken} indices are too many")
    if sum([k is Ellipsis for k in items]) > 1:
        items = _one_ellipsis(items, ndim - taken)
    basic, advanced = [], []
    for k in items:
        if type(k) is np.ndarray:
            basic.extend([slice(None)] * _axes_taken(k))
            advanced.append(k)
        elif k is Ellipsis:
            basic.append(k)
            advanced.extend([slice(None)] * (ndim - taken))
        else:
            basic.append(k)
            if type(k) is not int:
                advanced.append(slice(None))
    if not any([type(k) is np.ndarray for k in items]):
        return tuple(basic) if Ellipsis in basic else (*basic, Ellipsis), None
    trivial = all([k is Ellipsis or (type(k) is slice and k == slice(None)) for k in basic])
    return None if trivial else tuple(basic), tuple(advanced)


def _one_ellipsis(items, skipped):
    """items with the first ellipsis alone. Each stands for as many axes, as in torch: what follows the second must need none."""
    first, second = [i for i, k in enumerate(items) if k is Ellipsis][:2]
    if skipped and any([k is not Ellipsis for k in items[second:]]):
        raise IndexError(f"each ellipsis (...) stands for {skipped} axes, which leaves none for what follows the second")
    return [k for i, k in enumerate(items) if i == first or k is not Ellipsis]


def _item(k):
    """One part of an index as an int, a slice, None, Ellipsis or an array."""
    if k is None or k is Ellipsis or type(k) is int:
        return k
    if isinstance(k, slice):  # its bounds may be 0-d tensors
        return slice(*[v if v is None else v.__index__() for v in (k.start, k.stop, k.step)])
    if isinstance(k, (bool, np.bool_)):
        return np.asarray(k)
    if isinstance(k, (Tensor, np.ndarray, list, tuple, range)):
        array = _index_array(k)
        return int(array) if array.ndim == 0 and array.dtype.kind in "iu" else array
    if hasattr(k, "__index__"):
        return k.__index__()
    raise IndexError(
        f"an index is an int, slice, None, ... or a tensor or list of ints or bools, not {type(k).__name__}"
    )


def _axes_taken(k):
    if type(k) is np.ndarray and k.dtype.kind == "b":
        return k.ndim
    return 0 if k is None or k is Ellipsis else 1


def _index_array(k):
    if type(k) is np.ndarray:
        array = k.copy()  # the caller may change it, the tape keeps it
    else:
        array = k.array if isinstance(k, Tensor) else np.asarray(create.tensor(k).array)
    if array.dtype == np.uint8:
        raise IndexError("a uint8 index could mean a mask or positions: convert it to bool or int64")
    if array.dtype.kind not in "iub":
        if array.size == 0 and not isinstance(k, (Tensor, np.ndarray)):
            return array.astype(np.int64)
        raise IndexError(f"an index tensor must hold ints or bools, this one is {array.dtype}")
    return array


def _pick(x, key):
    """x[key] for a key of arrays and full slices."""
    a = x.array
    arrays = [i for i, k in enumerate(key) if type(k) is np.ndarray]
    if len(arrays) == 1 and key[arrays[0]].dtype == np.int64:
        return _take(x, arrays[0], key[arrays[0]], "getitem", True)
    return record(a[key], pick_backward, (x,), (a.shape, key))


def pick_backward(node, dy):
    size, key = node.saved
    return (added_at(size, key, dy),)


def added_at(size, key, values):
    """Zeros of shape `size` with values added at key (arrays and full slices), repeats in their order."""
    where = [i for i, k in enumerate(key) if type(k) is np.ndarray]
    if all([key[i].dtype.kind == "b" for i in where]):
        out = memory.zeros(size, values.dtype)
        out[key] = values
        return out
    axes, arrays, owns = [], [], []
    axis = 0
    for k in key:
        if type(k) is not np.ndarray:
            axis += 1
        elif k.ndim == 0:  # True or False: an axis of size 1 or 0 in the result, none in x
            arrays.append(np.zeros(int(k), np.int64))
            owns.append(False)
        elif k.dtype.kind == "b":
            arrays.extend(k.nonzero())
            owns.extend([True] * k.ndim)
            axes.extend(range(axis, axis + k.ndim))
            axis += k.ndim
        else:
            arrays.append(wrapped(k, size[axis]))
            owns.append(True)
            axes.append(axis)
            axis += 1
    common = np.broadcast_shapes(*[k.shape for k in arrays])
    positions = [np.broadcast_to(k, common) for k, own in zip(arrays, owns) if own]
    picked = [size[d] for d in axes]
    rows = np.ravel_multi_index(positions, picked).reshape(-1) if positions[0].size else np.zeros(0, np.int64)
    # Axes of the index stand where the first array stood, or first of all when a slice parts the arrays.
    first = where[0] if where[-1] - where[0] == len(where) - 1 else 0
    values = np.moveaxis(values, range(first, first + len(common)), range(len(common)))
    others = [d for d in range(len(size)) if d not in axes]
    inner = [size[d] for d in others]
    out = memory.empty((1, math.prod(picked), math.prod(inner)), values.dtype)
    source = memory.contiguous(values).reshape(1, rows.size, out.shape[2])
    scattered(out, None, None, source, memory.contiguous(rows))
    return np.moveaxis(out.reshape(picked + inner), range(len(axes)), axes)


def wrapped(index, size):
    """Negative indices counted from the end; those out of range as they came, for the error's text."""
    return np.where((index < 0) & (index >= -size), index + size, index)


def setitem(base, key, value):
    """base[key] = value, in place; the value is broadcast and converted."""
    a = base.array
    value = value.array if isinstance(value, Tensor) else value
    if type(value) is int and a.dtype.kind == "u":
        value = np.int64(value).astype(a.dtype)  # wraps around
    try:
        target, rest = placed(a, *parsed(key, a.ndim))
        with np.errstate(invalid="ignore"):
            target[rest] = value
    except IndexError as error:
        raise index_error("setitem", error, a) from None
    except ValueError as error:
        if not a.flags.writeable:
            raise RuntimeError(
                "setitem: an expanded or read-only tensor cannot be changed in place; clone() it"
            ) from None
        raise RuntimeError(f"setitem: {error} (a tensor of shape {a.shape})") from None


def placed(a, basic, advanced):
    """(view of array a, index into that view) of an index that was parsed()."""
    view = a if basic is None else a[(*basic, ...) if Ellipsis not in basic else basic]  # never a scalar
    return view, ... if advanced is None else advanced


# ---- helpers of all families of indices ----


def indices_of(op, index):
    """An index argument as an array of int64. RuntimeError for other than integers."""
    array = index.array if isinstance(index, Tensor) else np.asarray(index)
    if array.dtype.kind not in "iu":
        if array.size or isinstance(index, Tensor):
            raise RuntimeError(f"{op}: index must be of an integer dtype, got {array.dtype}")
    return array if array.dtype == np.int64 else array.astype(np.int64)


def check_range(op, index, size, dim):
    """IndexError naming the first index outside 0..size-1. index: C-ordered int64."""
    bad = memory.empty((1,), np.int64)
    K.check(bad, index, size)
    if bad[0] >= 0:
        place = tuple(map(int, np.unravel_index(bad[0], index.shape)))
        raise IndexError(
            f"{op}: index {index[place]} at position {place} is out of range for dim {dim} of size {size}"
        )


@lru_cache(4096)
def _around(size, dim):
    """(O, R, D) of a shape around axis dim."""
    return math.prod(size[:dim]), size[dim], math.prod(size[dim + 1 :])


def folded(a, dim):
    """A C-ordered array as [O, R, D] around axis dim."""
    return a.reshape(_around(a.shape, dim))


def scattered(out, base, weights, x, index):
    """segment_sum of x [O, N, D] to rows index [N] of out [O, R, D], the same at any number of threads."""
    order = memory.empty((index.size,), np.int64)
    starts = memory.empty((out.shape[1] + 1,), np.int64)
    K.counting_sort(order, starts, index)
    K.segment_sum(out, base, weights, x, order, starts)


# ---- index_select, take ----


def index_select(input, dim, index) -> Tensor:
    """The slices of input along dim at a 1-d index: out[..., n, ...] = input[..., index[n], ...]."""
    input = as_tensor("index_select", input)
    dim = axis_of("index_select", dim, input.array.ndim)
    positions = indices_of("index_select", index)
    if positions.ndim > 1:
        raise IndexError(f"index_select: index must be 1-d, got shape {positions.shape}")
    if not input.array.ndim:
        return shape.reshape(index_select(shape.reshape(input, 1), 0, index), ())
    return watched(_take(input, dim, positions.reshape(-1), "index_select"), index)


def _take(x, dim, index, op, wrapping=False):
    """Slices of x along dim at an index of any shape. wrapping: negative ones count from the end."""
    a = memory.contiguous(x.array)
    index = memory.contiguous(index)
    n = a.shape[dim]
    bad = memory.empty((1,), np.int64)
    K.check(bad, index, n)
    if bad[0] >= 0:
        if wrapping:
            index = wrapped(index, n)
        check_range(op, index, n, dim)
    if dim == 0 and a.ndim == 2 and index.ndim == 1:
        out = memory.empty((index.size, a.shape[1]), a.dtype)
        K.take(out[None], a[None], index)
    else:
        wide = folded(a, dim)
        out = memory.empty((wide.shape[0], index.size, wide.shape[2]), a.dtype)
        K.take(out, wide, index)
        out = out.reshape(a.shape[:dim] + index.shape + a.shape[dim + 1 :])
    return record(out, index_select_backward, (x,), (a.shape, dim, index))


def index_select_backward(node, dy):
    """out[n] = x[index[n]]  =>  dx[r] = sum of dy[n] over index[n] = r"""
    size, dim, index = node.saved
    dx = memory.empty(size, dy.dtype)
    wide = folded(dx, dim)
    dy = memory.contiguous(dy).reshape(wide.shape[0], index.size, wide.shape[2])
    scattered(wide, None, None, dy, index)
    return (dx,)


def take(input, index) -> Tensor:
    """The elements at index of input read as if flattened, in index's shape; negative ones count from the end."""
    input = as_tensor("take", input)
    return watched(_take(shape.ravel(input), 0, indices_of("take", index), "take", True), index)


# ---- gather ----


def gather(input, dim, index, sparse_grad=False) -> Tensor:
    """out[i, j, k] = input[i, index[i, j, k], k] (for dim 1), in index's shape.

    index: integers, as many axes as input, at most input's size along the other axes. sparse_grad is torch's and unused.
    """
    input = as_tensor("gather", input)
    a = input.array
    dim = axis_of("gather", dim, a.ndim)
    given, index = index, index_like("gather", index, a, dim)
    if index is None:
        return record(memory.empty((0,), a.dtype), gather_backward, (input,), (a.shape, 0, None))
    if not a.ndim:
        return shape.reshape(gather(shape.reshape(input, 1), 0, wrap(index.reshape(1))), indices_of("gather", given).shape)
    check_range("gather", index, a.shape[dim], dim)
    out = memory.empty(index.shape, a.dtype)
    K.gather(folded(out, dim), folded(corner(a, dim, index), dim), folded(index, dim))
    return watched(record(out, gather_backward, (input,), (a.shape, dim, index)), given)


def gather_backward(node, dy):
    """out[o, n, d] = x[o, index[o, n, d], d]  =>  dx[o, r, d] = sum of dy[o, n, d] over index[o, n, d] = r"""
    size, dim, index = node.saved
    if index is None:
        return (memory.zeros(size, dy.dtype),)
    return (summed_along(size, dim, index, dy),)


def summed_along(size, dim, index, values):
    """Zeros of shape `size` with values [index's shape] added along dim at index."""
    reached = index.shape[:dim] + (size[dim],) + index.shape[dim + 1 :]
    part = memory.empty(reached, values.dtype)
    K.scatter_add(folded(part, dim), None, folded(memory.contiguous(values), dim), folded(index, dim))
    if reached == tuple(size):
        return part
    out = memory.zeros(size, values.dtype)
    out[tuple([slice(n) for n in reached])] = part
    return out


def index_like(op, index, a, dim):
    """An index along dim as C-ordered int64, checked against array a; None for one of shape (0,)."""
    index = memory.contiguous(indices_of(op, index))
    if index.shape == a.shape and a.ndim:
        return index
    if index.ndim != a.ndim:
        if index.shape == (0,):
            return None
        if max(index.ndim, 1) != max(a.ndim, 1) or index.size != 1:
            raise RuntimeError(
                f"{op}: index of shape {index.shape} must have as many axes as x of shape {a.shape}"
            )
        index = index.reshape(a.shape if not a.ndim else (1,))
    for i, n in enumerate(index.shape):
        if i != dim and n > a.shape[i]:
            raise RuntimeError(
                f"{op}: index of shape {index.shape} is larger than x of shape {a.shape} along axis {i} "
                f"(only dim {dim} may be)"
            )
    return index


def corner(a, dim, index):
    """The part of a that an index along dim can reach."""
    if a.shape == index.shape:
        return a
    return a[tuple([slice(None) if i == dim else slice(n) for i, n in enumerate(index.shape)])]


def take_along_dim(input, indices, dim=None) -> Tensor:
    """gather() with input and indices broadcast along the other axes; of the flattened input without dim."""
    input = as_tensor("take_along_dim", input)
    index = indices_of("take_along_dim", indices)
    if dim is None:
        input, index, dim = shape.ravel(input), index.reshape(-1), 0
    a = input.array
    if index.ndim != a.ndim:
        raise RuntimeError(
            f"take_along_dim: indices of shape {index.shape} must have as many axes as x {a.shape}"
        )
    dim = axis_of("take_along_dim", dim, a.ndim)
    index = memory.contiguous(wrapped(index, a.shape[dim]))
    check_range("take_along_dim", index, a.shape[dim], dim)
    lead, tail = a.shape[:dim], a.shape[dim + 1 :]
    try:
        common = np.broadcast_shapes(lead + (1,) + tail, index.shape[:dim] + (1,) + index.shape[dim + 1 :])
    except ValueError:
        raise RuntimeError(
            f"take_along_dim: indices of shape {index.shape} and x {a.shape} do not broadcast beside dim {dim}"
        ) from None
    input = shape.expand(input, common[:dim] + (a.shape[dim],) + common[dim + 1 :])
    index = memory.contiguous(np.broadcast_to(index, common[:dim] + (index.shape[dim],) + common[dim + 1 :]))
    out = memory.empty(index.shape, a.dtype)
    K.gather(folded(out, dim), folded(input.array, dim), folded(index, dim))
    return record(out, gather_backward, (input,), (input.array.shape, dim, index))
