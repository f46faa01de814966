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


def viewed(base, array, backward, saved):
    """The Tensor of a view `array` of base's memory, recorded on the tape where base needs it."""
    t = view_of(base, array)
    if base.requires_grad and grad_enabled():
        attach((t,), backward, (base,), saved)
    return t


def axes_of(op, dims, ndim):
    """A dim or a sequence of them as a tuple of numbers from 0, each at most once."""
    axes = tuple([axis_of(op, d, ndim) for d in ((dims,) if hasattr(dims, "__index__") else dims)])
    if len(set(axes)) != len(axes):
        raise RuntimeError(f"{op}: dims {tuple(dims)} name an axis twice")
    return axes


# ---- the same elements in another shape ----


def reshape(x, *size):
    """x in another shape: a view where memory allows one, else a copy. One size may be -1.

    RuntimeError when the sizes do not hold x's elements. With a dtype of x's width instead of sizes the
    memory is reinterpreted (no gradient).
    """
    a = x.array
    if len(size) == 1 and type(size[0]) is not int:
        only = size[0]
        if type(only) is tuple or type(only) is list:
            size = tuple(only)
        elif isinstance(only, (np.dtype, type)):
            return _reinterpreted(x, only)
    try:
        for n in size:
            if n < -1:  # numpy takes every negative size for -1
                raise _reshape_error(a, size)
        if memory.c_order(a):
            b = a.reshape(size)
        else:
            b, shares = reshaped(a, size)
            if not shares:
                return record(b, reshape_backward, (x,), (a.shape,))
    except (ValueError, TypeError):
        raise _reshape_error(a, size) from None
    t = view_of(x, b)
    if x.requires_grad and grad_enabled():
        attach((t,), reshape_backward, (x,), (a.shape,))
    return t


view = reshape


def reshape_backward(node, dy):
    (shape,) = node.saved
    return (reshaped(dy, shape)[0],)


def reshaped(a, size):
    """(array a in another shape, whether it shares a's memory)."""
    if memory.c_order(a):
        return a.reshape(size), True
    # numpy merges axes where strides allow; a view's base is then a or a's own base.
    b = a[...]
    try:
        b.shape = size
        return b, True
    except AttributeError:
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


def view_as(x, other):
    """x in the shape of other."""
    return reshape(x, other.array.shape)


def reshape_as(x, other):
    """x in the shape of other."""
    return reshape(x, other.array.shape)


def flatten(x, start_dim=0, end_dim=-1):
    """Axes start_dim..end_dim merged into one."""
    shape = x.array.shape
    if start_dim == 0 and end_dim == -1 and len(shape) != 1:
        return reshape(x, x.array.size)
    first, last = axis_of("flatten", start_dim, len(shape)), axis_of("flatten", end_dim, len(shape))
    if first > last:
        raise RuntimeError(f"flatten: start_dim {start_dim} comes after end_dim {end_dim} for shape {shape}")
    if first == last and shape:
        return x
    merged = 1
    for n in shape[first : last + 1]:
        merged *= n
    return reshape(x, shape[:first] + (merged,) + shape[last + 1 :])


def ravel(x):
    """All axes merged into one."""
    return reshape(x, (-1,) if x.array.size else (0,))


def unflatten(x, dim, sizes):
    """Axis dim split into axes of the given sizes, one of which may be -1."""
    shape = x.array.shape
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
    return reshape(x, shape[:dim] + sizes + shape[dim + 1 :])


def squeeze(x, dim=None):
    """Without the axes of size 1: all of them, or those among dim (an int or a tuple)."""
    a = x.array
    if dim is None:
        return viewed(x, a.squeeze(), reshape_backward, (a.shape,))
    axes = [i for i in axes_of("squeeze", dim, a.ndim) if a.ndim and a.shape[i] == 1]
    return viewed(x, a.squeeze(tuple(axes)), reshape_backward, (a.shape,))


def unsqueeze(x, dim):
    """With an axis of size 1 put in at dim (-ndim-1 to ndim)."""
    a = x.array
    dim = axis_of("unsqueeze", dim, a.ndim + 1)
    return viewed(x, a[(slice(None),) * dim + (None,)], reshape_backward, (a.shape,))


def atleast_1d(x):
    """x with at least one axis."""
    return reshape(x, 1) if x.array.ndim == 0 else x


def atleast_2d(x):
    """x with at least two axes, new ones in front."""
    return unsqueeze(atleast_1d(x), 0) if x.array.ndim < 2 else x


def atleast_3d(x):
    """x with at least three axes: (n,) becomes (1, n, 1), (n, m) becomes (n, m, 1)."""
    return unsqueeze(atleast_2d(x), -1) if x.array.ndim < 3 else x


# ---- the same elements in another order of axes ----


def permute(x, *dims):
    """A view with the axes in the order dims: permute(2, 0, 1) or permute((2, 0, 1))."""
    a = x.array
    if len(dims) == 1 and type(dims[0]) is not int:
        dims = tuple(dims[0])
    try:
        b = a.transpose(dims) if dims or not a.ndim else None
    except ValueError:
        b = None
    if b is None:
        axes_of("permute", dims, a.ndim)
        raise RuntimeError(f"permute: wants {a.ndim} dims for a tensor of shape {a.shape}, got {dims}")
    return viewed(x, b, permute_backward, dims)


def permute_backward(node, dy):
    dims = node.saved
    inverse = [0] * len(dims)
    for i, d in enumerate(dims):
        inverse[d] = i
    return (dy.transpose(inverse),)


def transpose(x, dim0, dim1):
    """A view with two axes exchanged."""
    a = x.array
    try:
        b = a.swapaxes(dim0, dim1)
    except ValueError:
        axis_of("transpose", dim0, a.ndim), axis_of("transpose", dim1, a.ndim)
        b = a  # 0-d
        dim0 = dim1 = None
    return viewed(x, b, transpose_backward, (dim0, dim1))


def transpose_backward(node, dy):
    dim0, dim1 = node.saved
    return (dy if dim0 is None else dy.swapaxes(dim0, dim1),)


def swapaxes(x, axis0, axis1):
    """transpose() under numpy's name."""
    return transpose(x, axis0, axis1)


def swapdims(x, dim0, dim1):
    """transpose() under its other name."""
    return transpose(x, dim0, dim1)


def movedim(x, source, destination):
    """A view with the axes `source` at the positions `destination` and the others in their order."""
    n = x.array.ndim
    source, destination = axes_of("movedim", source, n), axes_of("movedim", destination, n)
    if len(source) != len(destination):
        raise RuntimeError(f"movedim: {len(source)} source dims but {len(destination)} destination dims")
    order = [i for i in range(n) if i not in source]
    for to, axis in sorted(zip(destination, source)):
        order.insert(to, axis)
    return permute(x, *order) if n else viewed(x, x.array, transpose_backward, (None, None))


def moveaxis(x, source, destination):
    """movedim() under numpy's name."""
    return movedim(x, source, destination)


def t(x):
    """A matrix transposed; 0-d and 1-d tensors as they are."""
    if x.array.ndim > 2:
        raise RuntimeError(f"t: wants at most 2 dimensions, got shape {x.array.shape}")
    return x if x.array.ndim < 2 else transpose(x, 0, 1)


# ---- the same elements seen often ----


def expand(x, *size):
    """A view in which axes of size 1 (and new ones in front) repeat without memory; -1 keeps a size.

    RuntimeError where an axis is neither 1 nor the wanted size. The view cannot be changed in place.
    """
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
    b = memory.strided(a, 0, wanted, tuple(strides), wanted == sizes)
    return viewed(x, b, expand_backward, (sizes,))


def expand_backward(node, dy):
    (shape,) = node.saved
    return (elementwise.sum_to(dy, shape),)


def expand_as(x, other):
    """x expanded to other's shape."""
    return expand(x, other.array.shape)


def broadcast_to(x, size):
    """x expanded to size."""
    return expand(x, size)


def broadcast_tensors(*tensors):
    """The tensors expanded to their common shape, as a tuple."""
    size = broadcast_shapes(*[x.array.shape for x in tensors])
    return tuple([expand(x, size) for x in tensors])


def broadcast_shapes(*shapes):
    """The shape that these shapes broadcast to; RuntimeError where they do not."""
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        raise RuntimeError(
            f"broadcast_shapes: {', '.join(map(str, shapes))} do not broadcast together"
        ) from None


# ---- some of the elements ----


def part(base, array, key):
    """The Tensor of the view `array` = base.array[key] for a basic index, recorded where base needs it."""
    t = view_of(base, array)
    if base.requires_grad and grad_enabled():
        attach((t,), put_backward, (base,), (base.array.shape, key))
    return t


def put_backward(node, dy):
    """Zeros with dy at the basic index `key`."""
    shape, key = node.saved
    dx = memory.zeros(shape, dy.dtype)
    dx[key] = dy
    return (dx,)


def select(x, dim, index):
    """A view of x at one index of an axis, without that axis."""
    a = x.array
    dim = axis_of("select", dim, a.ndim)
    if not a.ndim or not -a.shape[dim] <= index < a.shape[dim]:
        raise IndexError(
            f"select: index {index} is out of range for dim {dim} of a tensor of shape {a.shape}"
        )
    key = (slice(None),) * dim + (index, Ellipsis)
    return part(x, a[key], key)


def narrow(x, dim, start, length):
    """A view of `length` elements of an axis from `start` (negative: from the end)."""
    a = x.array
    dim = axis_of("narrow", dim, a.ndim)
    start = start.__index__()
    n = a.shape[dim] if a.ndim else 0
    first = start + n if start < 0 else start
    if not a.ndim or length < 0 or not 0 <= first <= n - length:
        raise (IndexError if not -n <= start <= n else RuntimeError)(
            f"narrow: {length} elements from {start} are not within dim {dim} of a tensor of shape {a.shape}"
        )
    key = (slice(None),) * dim + (slice(first, first + length),)
    return part(x, a[key], key)


def diagonal(x, offset=0, dim1=0, dim2=1):
    """A view of the diagonals of the planes (dim1, dim2) as the last axis; offset > 0: above the main one."""
    a = x.array
    axis1, axis2 = axes_of("diagonal", (dim1, dim2), a.ndim)
    return viewed(x, diagonal_of(a, offset, axis1, axis2), diagonal_backward, (a.shape, offset, axis1, axis2))


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


def unfold(x, dimension, size, step):
    """A view of windows of `size` elements along an axis, `step` apart; their elements make the last axis.

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
    return memory.strided(a, 0, shape, strides, step >= size)


def as_strided(x, size, stride, storage_offset=None):
    """A view with the given sizes and strides (in elements) into the memory that x lies in.

    storage_offset counts from the start of that memory (default: where x starts). RuntimeError where
    the view would leave it. The view can be changed in place only where x can.
    """
    a = x.array
    size, stride = tuple(size), tuple(stride)
    if len(size) != len(stride) or min(size, default=0) < 0 or min(stride, default=0) < 0:
        raise RuntimeError(f"as_strided: size {size} and stride {stride} must be as long and not negative")
    owner = link = a
    while link is not None:
        if isinstance(link, np.ndarray):
            owner = link
        link = getattr(link, "base", None)
    flat = owner.transpose(sorted(range(owner.ndim), key=lambda i: -abs(owner.strides[i])))
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
    geometry = (start, a.shape, x.stride())
    return viewed(x, b, as_strided_backward, (room, geometry, (offset, size, stride)))


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
        attach(outs, pieces_backward, (base,), (a.shape, keys))
    return outs


def pieces_backward(node, *dys):
    """Each dy at its place, zeros where a piece was not used."""
    shape, keys = node.saved
    for dy in dys:
        if dy is not None:
            break
    dx = memory.empty(shape, dy.dtype)
    for key, dy in zip(keys, dys):
        dx[key] = 0 if dy is None else dy
    return (dx,)


def unbind(x, dim=0):
    """The slices of x along an axis, without that axis, as a tuple of views."""
    a = x.array
    dim = axis_of("unbind", dim, a.ndim)
    if not a.ndim:
        raise IndexError("unbind: a 0-d tensor has no axis")
    lead = (slice(None),) * dim
    keys = tuple([lead + (i, Ellipsis) for i in range(a.shape[dim])])
    return pieces(x, keys)


def split(x, split_size, dim=0):
    """Views along an axis of split_size elements each (the last may have fewer), or of the sizes listed."""
    a = x.array
    dim = axis_of("split", dim, a.ndim)
    if not a.ndim:
        raise RuntimeError("split: a 0-d tensor has no axis")
    n = a.shape[dim]
    if hasattr(split_size, "__index__"):
        step = split_size.__index__()
        if step < 0 or (step == 0 and n):
            raise RuntimeError(f"split: split_size must be positive, got {step}")
        sizes = [min(step, n - start) for start in range(0, n, step)] if n else [0]
    else:
        sizes = [s.__index__() for s in split_size]
        if sum(sizes) != n or min(sizes, default=0) < 0:
            raise RuntimeError(
                f"split: sizes {sizes} do not sum up to {n}, the size of dim {dim} of shape {a.shape}"
            )
    return _cut(x, dim, sizes)


def _cut(x, dim, sizes):
    lead = (slice(None),) * dim
    keys = []
    start = 0
    for s in sizes:
        keys.append(lead + (slice(start, start + s),))
        start += s
    return pieces(x, tuple(keys))


def chunk(x, chunks, dim=0):
    """At most `chunks` views of equal size along an axis (the last may be shorter)."""
    if chunks <= 0:
        raise RuntimeError(f"chunk: chunks must be positive, got {chunks}")
    n = x.array.shape[axis_of("chunk", dim, x.array.ndim)] if x.array.ndim else 0
    if n == 0 and x.array.ndim:
        return _cut(x, axis_of("chunk", dim, x.array.ndim), [0] * chunks)
    return split(x, max(-(-n // chunks), 1), dim)


def tensor_split(x, indices_or_sections, dim=0):
    """Views along an axis: n of nearly equal size (the first ones longer), or cut at the indices listed."""
    a = x.array
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
        return _cut(x, dim, [n // count + (i < n % count) for i in range(count)])
    lead = (slice(None),) * dim
    bounds = [0, *indices_or_sections, n]
    keys = tuple([lead + (slice(a, b),) for a, b in zip(bounds, bounds[1:])])
    # Pieces may overlap or leave gaps here: one node each.
    return tuple([part(x, a[key], key) for key in keys])


# ---- copies ----


def clone(x, memory_format=None):
    """A copy in x's memory order, on the tape."""
    a = x.array
    if memory_format is not None and memory_format != "preserve_format":
        return record(in_format(a, memory_format, True), same_backward, (x,))
    y = memory.empty_like(a)
    y[...] = a
    return record(y, same_backward, (x,))


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
