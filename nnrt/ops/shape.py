"""Views: other shapes and orders of the same memory, and the copies where memory has no such view.

A view shares memory and version counter with its base, so that the tape notices changes in place
through either. Activations of the conv family lie in memory as NHWC while their shape reads NCHW:
`contiguous` undoes that, and `view`, which is `reshape`, copies where the memory order leaves no
view. The backward of a view is the inverse view of dy, or zeros with dy put where the view looked.
"""

import numpy as np

from .. import memory
from ..autograd import attach, grad_enabled, record
from ..dtypes import as_dtype
from ..tensor import Tensor, view_of
from ._axes import axis_of
from .create import sizes_of
from .promotion import as_tensor, check_tensors


def viewed(base, array, backward, saved):
    """The Tensor of a view `array` of base's memory, recorded on the tape where base needs it."""
    t = view_of(base, array)
    if base._requires_grad and grad_enabled():
        attach((t,), backward, (base,), saved)
    return t


def axes_of(op, dims, ndim):
    """A dim or a sequence of them as a tuple of numbers from 0, each at most once."""
    axes = tuple([axis_of(op, d, ndim) for d in ((dims,) if hasattr(dims, "__index__") else dims)])
    if len(set(axes)) != len(axes):
        raise RuntimeError(f"{op}: dims {tuple(dims)} name an axis twice")
    return axes


# ---- the same elements in another shape ----


def reshape(input, *size, shape=None) -> Tensor:
    """input in another shape: a view where memory allows one, else a copy. One size may be -1. shape: the sizes, by name.

    RuntimeError when the sizes do not hold input's elements. With a dtype of input's width instead of sizes the
    memory is reinterpreted (no gradient).
    """
    input = as_tensor("reshape", input)
    a = input.array
    size = size if shape is None else (shape,)
    if len(size) == 1 and type(size[0]) is not int:
        only = size[0]
        if type(only) is tuple or type(only) is list:
            size = tuple(only)
        elif isinstance(only, (np.dtype, type)):
            return _reinterpreted(input, only)
    try:
        for n in size:
            if n < -1:  # numpy takes every negative size for -1
                raise _reshape_error(a, size)
        if memory.c_order(a):
            b = a.reshape(size)
        else:
            b, shares = reshaped(a, size)
            if not shares:
                return record(b, reshape_backward, (input,), (a.shape,))
    except (ValueError, TypeError):
        raise _reshape_error(a, size) from None
    t = view_of(input, b)
    if input.requires_grad and grad_enabled():
        attach((t,), reshape_backward, (input,), (a.shape,))
    return t


view = reshape


def reshape_backward(node, dy):
    (shape,) = node.saved
    return (reshaped(dy, shape)[0],)


def reshaped(a, size):
    """(array a in another shape, whether it shares a's memory)."""
    if memory.c_order(a):
        return a.reshape(size), True
    try:
        return a.reshape(size, copy=False), True
    except ValueError:
        return memory.contiguous(a).reshape(size), False


def _reshape_error(a, size):
    try:
        sizes_of("reshape", (tuple([0 if s == -1 else s for s in size]),))
    except TypeError as error:
        return error
    except RuntimeError:
        return RuntimeError(f"reshape: sizes must not be negative, but for one -1, got {size}")
    if size.count(-1) > 1:
        return RuntimeError(f"reshape: only one size can be -1, got {size}")
    if a.size == 0 and -1 in size:
        return RuntimeError(f"reshape: -1 in {size} could stand for any size, the tensor {a.shape} is empty")
    return RuntimeError(
        f"reshape: a tensor of shape {a.shape} has {a.size} elements, which do not fill {size}"
    )


def _reinterpreted(x, dtype):
    dtype = as_dtype("view", dtype)
    try:
        return view_of(x, x.array.view(dtype))
    except ValueError:
        raise RuntimeError(
            f"view: {x.array.dtype} of shape {x.array.shape}, strides {x.stride()} cannot be read as {dtype}"
        ) from None


def view_as(x, other) -> Tensor:
    """x in the shape of other."""
    check_tensors("view_as", other=other)
    return reshape(x, other.array.shape)


def reshape_as(x, other) -> Tensor:
    """x in the shape of other."""
    check_tensors("reshape_as", other=other)
    return reshape(x, other.array.shape)


def flatten(input, start_dim=0, end_dim=-1) -> Tensor:
    """Axes start_dim..end_dim merged into one."""
    input = as_tensor("flatten", input)
    shape = input.array.shape
    if start_dim == 0 and end_dim == -1 and len(shape) != 1:
        return reshape(input, input.array.size)
    first, last = axis_of("flatten", start_dim, len(shape)), axis_of("flatten", end_dim, len(shape))
    if first > last:
        raise RuntimeError(f"flatten: start_dim {start_dim} comes after end_dim {end_dim} for shape {shape}")
    if first == last and shape:
        return input
    merged = 1
    for n in shape[first : last + 1]:
        merged *= n
    return reshape(input, shape[:first] + (merged,) + shape[last + 1 :])


def ravel(input) -> Tensor:
    """All axes merged into one."""
    input = as_tensor("ravel", input)
    return reshape(input, (-1,) if input.array.size else (0,))


def unflatten(input, dim, sizes) -> Tensor:
    """Axis dim split into axes of the given sizes, one of which may be -1."""
    input = as_tensor("unflatten", input)
    shape = input.array.shape
    if not shape:
        raise IndexError(f"unflatten: dim {dim} is out of range for a 0-d tensor")
    dim = axis_of("unflatten", dim, len(shape))
    sizes = tuple(sizes) if hasattr(sizes, "__len__") else (sizes,)
    known = 1
    for n in sizes:
        known *= 1 if n == -1 else n
    if sizes.count(-1) > 1 or (known != shape[dim] if -1 not in sizes else known == 0 or shape[dim] % known):
        raise RuntimeError(
            f"unflatten: sizes {sizes} do not multiply up to {shape[dim]}, the size of dim {dim}"
        )
    sizes = tuple([shape[dim] // known if n == -1 else n for n in sizes])
    return reshape(input, shape[:dim] + sizes + shape[dim + 1 :])


def squeeze(input, dim=None, axis=None) -> Tensor:
    """Without the axes of size 1: all of them, or those among dim (an int or a tuple)."""
    if axis is not None:
        dim = axis
    input = as_tensor("squeeze", input)
    a = input.array
    if dim is None:
        return viewed(input, a.squeeze(), reshape_backward, (a.shape,))
    axes = [i for i in axes_of("squeeze", dim, a.ndim) if a.ndim and a.shape[i] == 1]
    return viewed(input, a.squeeze(tuple(axes)), reshape_backward, (a.shape,))


def unsqueeze(input, dim=None, axis=None) -> Tensor:
    """With an axis of size 1 put in at dim (-ndim-1 to ndim)."""
    if axis is not None:
        dim = axis
    input = as_tensor("unsqueeze", input)
    a = input.array
    dim = axis_of("unsqueeze", dim, a.ndim + 1)
    return viewed(input, a[(slice(None),) * dim + (None,)], reshape_backward, (a.shape,))


def atleast_1d(x, *more):
    """x with at least one axis; of several, or of a sequence: a tuple."""
    if more or isinstance(x, (list, tuple)):
        return tuple([atleast_1d(t) for t in ((x, *more) if more else x)])
    x = as_tensor("atleast_1d", x)
    return reshape(x, 1) if x.array.ndim == 0 else x


def atleast_2d(x, *more):
    """x with at least two axes, new ones in front; of several, or of a sequence: a tuple."""
    if more or isinstance(x, (list, tuple)):
        return tuple([atleast_2d(t) for t in ((x, *more) if more else x)])
    x = as_tensor("atleast_2d", x)
    return unsqueeze(atleast_1d(x), 0) if x.array.ndim < 2 else x


def atleast_3d(x, *more):
    """x with at least three axes: (n,) becomes (1, n, 1), (n, m) becomes (n, m, 1); of several: a tuple."""
    if more or isinstance(x, (list, tuple)):
        return tuple([atleast_3d(t) for t in ((x, *more) if more else x)])
    x = as_tensor("atleast_3d", x)
    return unsqueeze(atleast_2d(x), -1) if x.array.ndim < 3 else x


# ---- the same elements in another order of axes ----


def permute(input, *axes, dims=None) -> Tensor:
    """A view with the axes in another order: permute(2, 0, 1), permute((2, 0, 1)) or permute(dims=(2, 0, 1))."""
    input = as_tensor("permute", input)
    dims = axes if dims is None else dims
    a = input.array
    if len(dims) == 1 and type(dims[0]) is not int:
        dims = dims[0]
    dims = tuple(dims)
    try:
        b = a.transpose(dims) if dims or not a.ndim else None
    except ValueError:
        b = None
    if b is None:
        axes_of("permute", dims, a.ndim)
        raise RuntimeError(f"permute: wants {a.ndim} dims for a tensor of shape {a.shape}, got {dims}")
    return viewed(input, b, permute_backward, dims)


def permute_backward(node, dy):
    dims = node.saved
    inverse = [0] * len(dims)
    for i, d in enumerate(dims):
        inverse[d] = i
    return (dy.transpose(inverse),)


def transpose(input, dim0, dim1) -> Tensor:
    """A view with two axes exchanged."""
    input = as_tensor("transpose", input)
    a = input.array
    try:
        b = a.swapaxes(dim0, dim1)
    except ValueError:
        axis_of("transpose", dim0, a.ndim), axis_of("transpose", dim1, a.ndim)
        b = a  # 0-d
        dim0 = dim1 = None
    return viewed(input, b, transpose_backward, (dim0, dim1))


def transpose_backward(node, dy):
    dim0, dim1 = node.saved
    return (dy if dim0 is None else dy.swapaxes(dim0, dim1),)


def swapaxes(input, axis0, axis1) -> Tensor:
    """transpose() under numpy's name."""
    return transpose(input, axis0, axis1)


def swapdims(input, dim0, dim1) -> Tensor:
    """transpose() under its other name."""
    return transpose(input, dim0, dim1)


def movedim(input, source, destination) -> Tensor:
    """A view with the axes `source` at the positions `destination` and the others in their order."""
    input = as_tensor("movedim", input)
    n = input.array.ndim
    source, destination = axes_of("movedim", source, n), axes_of("movedim", destination, n)
    if len(source) != len(destination):
        raise RuntimeError(f"movedim: {len(source)} source dims but {len(destination)} destination dims")
    order = [i for i in range(n) if i not in source]
    for to, axis in sorted(zip(destination, source)):
        order.insert(to, axis)
    return permute(input, *order) if n else viewed(input, input.array, transpose_backward, (None, None))


def moveaxis(input, source, destination) -> Tensor:
    """movedim() under numpy's name."""
    return movedim(input, source, destination)


def t(input) -> Tensor:
    """A matrix transposed; 0-d and 1-d tensors as they are."""
    input = as_tensor("t", input)
    if input.array.ndim > 2:
        raise RuntimeError(f"t: wants at most 2 dimensions, got shape {input.array.shape}")
    return input if input.array.ndim < 2 else transpose(input, 0, 1)


# ---- the same elements seen often ----


def expand(x, *size) -> Tensor:
    """A view in which axes of size 1 (and new ones in front) repeat without memory; -1 keeps a size.

    RuntimeError where an axis is neither 1 nor the wanted size. The view cannot be changed in place.
    """
    x = as_tensor("expand", x)
    a = x.array
    if len(size) == 1 and type(size[0]) is not int and not hasattr(size[0], "__index__"):
        size = tuple(size[0])
    sizes, steps = a.shape, a.strides
    lead = len(size) - len(sizes)
    wanted, strides = [], []
    for i in range(len(size)):
        n = size[i]
        old = sizes[i - lead] if i >= lead else 1
        if n == -1 and i >= lead or n == old:
            wanted.append(old)
            strides.append(steps[i - lead] if i >= lead else 0)
        elif old == 1 and n >= 0:
            wanted.append(n)
            strides.append(0)
        else:
            lead = -1
            break
    if lead < 0:
        raise RuntimeError(f"expand: a tensor of shape {sizes} cannot be expanded to {size}")
    wanted = tuple(wanted)
    try:
        b = memory.strided(a, 0, wanted, tuple(strides), wanted == sizes)
    except (OverflowError, ValueError):
        raise RuntimeError(
            f"expand: a tensor of shape {sizes} cannot be expanded to {wanted}: more elements or axes than an array can have"
        ) from None
    return viewed(x, b, expand_backward, (sizes,))


def expand_backward(node, dy):
    (shape,) = node.saved
    return (elementwise.sum_to(dy, shape),)


def expand_as(x, other) -> Tensor:
    """x expanded to other's shape."""
    check_tensors("expand_as", other=other)
    return expand(x, other.array.shape)


def broadcast_to(input, size) -> Tensor:
    """input expanded to size."""
    return expand(input, size)


def broadcast_tensors(*tensors) -> tuple[Tensor, ...]:
    """The tensors expanded to their common shape, as a tuple."""
    tensors = [as_tensor("broadcast_tensors", x, "tensors") for x in tensors]
    size = broadcast_shapes(*[x.array.shape for x in tensors])
    return tuple([expand(x, size) for x in tensors])


def broadcast_shapes(*shapes) -> tuple[int, ...]:
    """The shape that these shapes broadcast to; RuntimeError where they do not."""
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        raise RuntimeError(
            f"broadcast_shapes: {', '.join(map(str, shapes))} do not broadcast together"
        ) from None


# ---- copies ----


def clone(input, memory_format=None) -> Tensor:
    """A copy in input's memory order, on the tape."""
    input = as_tensor("clone", input)
    a = input.array
    if memory_format is not None and memory_format != "preserve_format":
        return record(in_format(a, memory_format, True), same_backward, (input,))
    y = memory.empty_like(a)
    y[...] = a
    return record(y, same_backward, (input,))


def contiguous(x, memory_format=None):
    """x itself where its memory already has the order, else a copy: C order, or NHWC for "channels_last"."""
    b = in_format(x.array, memory_format, False)
    return x if b is x.array else record(b, same_backward, (x,))


def same_backward(node, dy):
    return (dy,)


def in_format(a, memory_format, copy):
    """Array a in C order (None, "contiguous_format") or with axis 1 innermost ("channels_last", "_3d")."""
    if memory_format is None or memory_format == "contiguous_format":
        b = memory.contiguous(a)
    elif memory_format in ("channels_last", "channels_last_3d"):
        wanted = 4 if memory_format == "channels_last" else 5
        if a.ndim != wanted:
            raise RuntimeError(f"{memory_format}: wants {wanted} dimensions, got shape {a.shape}")
        b = a if is_channels_last(a) else np.moveaxis(memory.contiguous(np.moveaxis(a, 1, -1)), -1, 1)
    else:
        raise TypeError(f"memory_format: {memory_format!r} is not one of nnrt's memory formats")
    if b is a and copy:
        b = memory.empty_like(a)
        b[...] = a
    return b


def is_channels_last(a):
    return a.ndim > 2 and np.moveaxis(a, 1, -1).flags.c_contiguous


from . import elementwise  # noqa: E402
