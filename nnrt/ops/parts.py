"""Views of a part of a tensor: slices, windows, diagonals, pieces.

They share memory and version counter with their base; the backward puts dy where the view looked (_slice_grad).
"""

import math

import numpy as np

from .. import memory, registry
from .._slice_grad import SliceGrad
from ..autograd import attach, grad_enabled
from ..tensor import Tensor, view_of
from ._axes import axis_of
from .promotion import as_tensor, check_tensors
from .shape import axes_of, viewed

K = registry.family("shape")

# ---- some of the elements ----


def part(base, array, key):
    """The Tensor of the view `array` = base.array[key] for a basic index, recorded where base needs it."""
    t = view_of(base, array)
    if base.requires_grad and grad_enabled():
        a = base.array
        order = None if a.flags.c_contiguous else memory.axis_order(a)
        attach((t,), put_backward, (base,), (a.shape, order, key))
    return t


def put_backward(node, dy):
    """Zeros with dy at the basic index `key`, in the base's order of memory: what is added to it lies so too."""
    return (SliceGrad(*node.saved, dy),)


def select(input, dim, index) -> Tensor:
    """A view of input at one index (negative: from the end) of dim, without that axis."""
    input = as_tensor("select", input)
    a = input.array
    dim = axis_of("select", dim, a.ndim)
    if not a.ndim or not -a.shape[dim] <= index < a.shape[dim]:
        raise IndexError(
            f"select: index {index} is out of range for dim {dim} of a tensor of shape {a.shape}"
        )
    key = (slice(None),) * dim + (index, Ellipsis)
    return part(input, a[key], key)


def narrow(input, dim, start, length) -> Tensor:
    """A view of `length` elements of dim from `start` (negative: from the end)."""
    input = as_tensor("narrow", input)
    a = input.array
    dim = axis_of("narrow", dim, a.ndim)
    start = start.__index__()
    n = a.shape[dim] if a.ndim else 0
    first = start + n if start < 0 else start
    if not a.ndim or length < 0 or not 0 <= first <= n - length:
        raise (IndexError if not -n <= start <= n else RuntimeError)(
            f"narrow: {length} elements from {start} are not within dim {dim} of a tensor of shape {a.shape}"
        )
    key = (slice(None),) * dim + (slice(first, first + length),)
    return part(input, a[key], key)


def diagonal(input, offset=0, dim1=0, dim2=1) -> Tensor:
    """A view of the diagonals of the planes (dim1, dim2) as the last axis; offset > 0: above the main one."""
    input = as_tensor("diagonal", input)
    a = input.array
    axis1, axis2 = axes_of("diagonal", (dim1, dim2), a.ndim)
    return viewed(input, diagonal_of(a, offset, axis1, axis2), diagonal_backward, (a.shape, offset, axis1, axis2))


def diagonal_backward(node, dy):
    shape, offset, axis1, axis2 = node.saved
    dx = memory.zeros(shape, dy.dtype)
    diagonal_of(dx, offset, axis1, axis2)[...] = dy
    return (dx,)


def diagonal_of(a, offset, axis1, axis2):
    """The diagonals of array a as a view, writable where a is (numpy's own never is)."""
    b = a.diagonal(offset, axis1, axis2)
    if a.flags.writeable:
        b.flags.writeable = True
    return b


def unfold(x, dimension, size, step) -> Tensor:
    """A view of windows of `size` elements along the axis dimension, `step` apart; their elements make the last axis.

    The view cannot be changed in place where windows overlap.
    """
    a = x.array
    dim = axis_of("unfold", dimension, a.ndim)
    n = a.shape[dim] if a.ndim else 1
    if size < 0 or size > n:
        raise RuntimeError(f"unfold: size {size} is not within 0..{n}, the size of dim {dimension}")
    if step <= 0:
        raise RuntimeError(f"unfold: step must be positive, got {step}")
    return viewed(x, _windows(a, dim, size, step), unfold_backward, (a.shape, dim, size, step))


def unfold_backward(node, dy):
    """dx[.. j ..] = sum of dy[.. w .., k] over windows w and places k with w step + k = j, in order of k."""
    shape, dim, size, step = node.saved
    dx = memory.zeros(shape, dy.dtype)
    if shape:
        count = dy.shape[dim]
        for k in range(size):
            stop = k + (count - 1) * step + 1
            dx[(slice(None),) * dim + (slice(k, stop, step),)] += dy[..., k]
    elif size:
        dx[...] = dy[0]
    return (dx,)


def _windows(a, dim, size, step):
    if not a.ndim:
        return a.reshape(1)[:size]
    count = (a.shape[dim] - size) // step + 1
    shape = a.shape[:dim] + (count,) + a.shape[dim + 1 :] + (size,)
    strides = a.strides[:dim] + (a.strides[dim] * step,) + a.strides[dim + 1 :] + (a.strides[dim],)
    return memory.strided(a, 0, shape, strides, step >= size or count < 2)


def as_strided(input, size, stride, storage_offset=None) -> Tensor:
    """A view with the given sizes and strides (in elements) into the memory that input lies in.

    storage_offset counts from the start of that memory (default: where input starts). RuntimeError where
    the view would leave it. The view can be changed in place only where input can.
    """
    input = as_tensor("as_strided", input)
    a = input.array
    size, stride = tuple(size), tuple(stride)
    if len(size) != len(stride) or min(size, default=0) < 0 or min(stride, default=0) < 0:
        raise RuntimeError(f"as_strided: size {size} and stride {stride} must be as long and not negative")
    owner = link = a
    while link is not None:
        if isinstance(link, np.ndarray):
            owner = link
        link = getattr(link, "base", None)
    flat = owner.transpose(memory.axis_order(owner))
    if not flat.flags.c_contiguous:
        raise RuntimeError("as_strided: the memory that the tensor lies in has gaps")
    start = (a.ctypes.data - flat.ctypes.data) // a.itemsize
    offset = start if storage_offset is None else storage_offset
    room = flat.nbytes // a.itemsize
    last = offset + sum((n - 1) * s for n, s in zip(size, stride)) if 0 not in size else offset
    if offset < 0 or (last >= room and 0 not in size):
        raise RuntimeError(
            f"as_strided: size {size}, stride {stride}, storage_offset {offset} reach "
            f"element {last} of {room}"
        )
    strides = tuple([s * a.itemsize for s in stride])
    b = memory.strided(a, (offset - start) * a.itemsize, size, strides)
    geometry = (start, a.shape, input.stride())
    return viewed(input, b, as_strided_backward, (room, geometry, (offset, size, stride)))


def as_strided_backward(node, dy):
    """x's part of the gradient of the memory, whose elements sum over the places where the view saw them."""
    room, (x_offset, x_size, x_stride), (offset, size, stride) = node.saved
    places = _places(offset, size, stride)
    flat = np.zeros(room, np.float64)
    np.add.at(flat, places.ravel(), dy.ravel())
    seen = _places(x_offset, x_size, x_stride)
    dx = memory.empty(x_size, dy.dtype)
    dx[...] = flat[seen]
    often = np.bincount(seen.ravel(), minlength=1)
    if often.max() > 1:
        dx /= often[seen]  # x itself repeats elements: each carries its share
    return (dx,)


def _places(offset, size, stride):
    places = np.full(size, offset, np.int64)
    for axis, (n, s) in enumerate(zip(size, stride)):
        places += (np.arange(n) * s).reshape((n,) + (1,) * (len(size) - axis - 1))
    return places


# ---- several views at once ----


def pieces(base, keys):
    """The views base[key], which together cover it and do not overlap, recorded as one node."""
    a = base.array
    outs = tuple([view_of(base, a[key]) for key in keys])
    if outs and base.requires_grad and grad_enabled():
        order = memory.axis_order(a)
        attach(outs, pieces_backward, (base,), (a.shape, order, keys))
    return outs


def pieces_backward(node, *dys):
    """Each dy at its place, zeros where a piece was not used; in the base's order, to which views of it lead back."""
    shape, order, keys = node.saved
    for dy in dys:
        if dy is not None:
            break
    ordered, back = tuple([shape[i] for i in order]), memory.inverse_order(order)
    if _same_base(dys, ordered):
        dx = dy.base.reshape(ordered).transpose(back)
        if all([_same_memory(dx[key], dy) for key, dy in zip(keys, dys)]):
            return (dx,)  # an op laid them out so
    dx = memory.empty(ordered, dy.dtype).transpose(back)
    for key, dy in zip(keys, dys):
        if dy is None:
            dx[key] = 0
        else:
            K.copy(dx[key], dy)
    return (dx,)


def _same_base(dys, shape):
    """Are all views of one contiguous array that has room for this shape and no more?"""
    base = None if dys[0] is None else dys[0].base
    return (
        isinstance(base, np.ndarray) and base.size == math.prod(shape) and base.flags.c_contiguous
        and all([dy is not None and dy.base is base and dy.dtype == base.dtype for dy in dys])
    )  # fmt: skip


def _same_memory(a, b):
    return a.shape == b.shape and a.strides == b.strides and a.ctypes.data == b.ctypes.data


def unbind(input, dim=0, axis=None) -> tuple[Tensor, ...]:
    """The slices of input along dim, without that axis, as a tuple of views."""
    if axis is not None:
        dim = axis
    input = as_tensor("unbind", input)
    a = input.array
    dim = axis_of("unbind", dim, a.ndim)
    if not a.ndim:
        raise IndexError("unbind: a 0-d tensor has no axis")
    lead = (slice(None),) * dim
    keys = tuple([lead + (i, Ellipsis) for i in range(a.shape[dim])])
    return pieces(input, keys)


def split(tensor, split_size_or_sections, dim=0) -> tuple[Tensor, ...]:
    """Views of tensor along dim of split_size_or_sections elements each (the last may have fewer), or of the sizes listed."""
    tensor = as_tensor("split", tensor, "tensor")
    a = tensor.array
    dim = axis_of("split", dim, a.ndim)
    if not a.ndim:
        raise RuntimeError("split: a 0-d tensor has no axis")
    n = a.shape[dim]
    if hasattr(split_size_or_sections, "__index__"):
        step = split_size_or_sections.__index__()
        if step < 0 or (step == 0 and n):
            raise RuntimeError(f"split: split_size_or_sections must be positive, got {step}")
        sizes = [min(step, n - start) for start in range(0, n, step)] if n else [0]
    else:
        sizes = [s.__index__() for s in split_size_or_sections]
        if sum(sizes) != n or min(sizes, default=0) < 0:
            raise RuntimeError(
                f"split: sizes {sizes} do not sum up to {n}, the size of dim {dim} of shape {a.shape}"
            )
    return _cut(tensor, dim, sizes)


def split_with_sizes(input, split_sizes, dim=0) -> tuple[Tensor, ...]:
    """:func:`split` into the sizes listed. TypeError for one number."""
    if hasattr(split_sizes, "__index__"):
        raise TypeError(f"split_with_sizes: split_sizes must be a sequence of integers, got {split_sizes}")
    return split(input, split_sizes, dim)


def _cut(x, dim, sizes):
    lead = (slice(None),) * dim
    keys = []
    start = 0
    for s in sizes:
        keys.append(lead + (slice(start, start + s),))
        start += s
    return pieces(x, tuple(keys))


def chunk(input, chunks, dim=0, axis=None) -> tuple[Tensor, ...]:
    """At most `chunks` views of equal size along dim (the last may be shorter)."""
    if axis is not None:
        dim = axis
    check_tensors("chunk", input=input)
    if chunks <= 0:
        raise RuntimeError(f"chunk: chunks must be positive, got {chunks}")
    n = input.array.shape[axis_of("chunk", dim, input.array.ndim)] if input.array.ndim else 0
    if n == 0 and input.array.ndim:
        return _cut(input, axis_of("chunk", dim, input.array.ndim), [0] * chunks)
    return split(input, max(-(-n // chunks), 1), dim)


def tensor_split(input, indices_or_sections, dim=0) -> tuple[Tensor, ...]:
    """Views along dim. indices_or_sections: n of nearly equal size (the first ones longer), or cut at the indices listed."""
    input = as_tensor("tensor_split", input)
    a = input.array
    dim = axis_of("tensor_split", dim, a.ndim)
    if not a.ndim:
        raise RuntimeError("tensor_split: a 0-d tensor has no axis")
    n = a.shape[dim]
    if isinstance(indices_or_sections, Tensor):
        indices_or_sections = indices_or_sections.tolist()
    if hasattr(indices_or_sections, "__index__"):
        count = indices_or_sections.__index__()
        if count <= 0:
            raise RuntimeError(f"tensor_split: sections must be positive, got {count}")
        return _cut(input, dim, [n // count + (i < n % count) for i in range(count)])
    lead = (slice(None),) * dim
    bounds = [0, *indices_or_sections, n]
    keys = tuple([lead + (slice(a, b),) for a, b in zip(bounds, bounds[1:])])
    # Pieces may overlap or leave gaps here: one node each.
    return tuple([part(input, a[key], key) for key in keys])
