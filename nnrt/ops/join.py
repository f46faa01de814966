"""Putting tensors together: along an axis, as a grid, as blocks."""

from .. import memory, registry
from ..autograd import record
from ..tensor import Tensor
from . import parts, shape
from .create import in_order_of
from .promotion import as_tensor, common_type, promote_types
from .shape import axis_of

K = registry.family("shape")


def cat(tensors, dim=0, axis=None) -> Tensor:
    """The tensors one after the other along an axis.

    All other sizes must agree (RuntimeError); 1-d tensors of size 0 are skipped, as in torch. dtypes are
    promoted. Memory order is that of the first tensor.
    """
    if axis is not None:
        dim = axis
    if isinstance(tensors, Tensor):
        raise TypeError("cat: tensors must be a list or tuple of Tensors, as in cat((a, b)), got one Tensor")
    try:
        tensors = tuple(tensors)
        arrays = [x.array for x in tensors]
        first = arrays[0]
    except (AttributeError, IndexError, TypeError):
        raise _refused("cat", tensors) from None
    dtype = first.dtype
    skipped = False
    for a in arrays:
        if a.dtype is not dtype:
            dtype = promote_types(dtype, a.dtype)
        if not a.size and a.ndim == 1:
            skipped = True
    if skipped:  # those without elements, but for the case that all are
        arrays = [a for a in arrays if a.shape != (0,)] or [first]
        first = arrays[0]
    ndim = first.ndim
    if not ndim:
        raise RuntimeError("cat: 0-d tensors cannot be joined; use stack")
    axis = dim if 0 <= dim < ndim else axis_of("cat", dim, ndim)
    shape0 = first.shape
    lead, tail = shape0[:axis], shape0[axis + 1 :]
    total = 0
    for a in arrays:
        s = a.shape
        if s != shape0 and (len(s) != ndim or s[:axis] != lead or s[axis + 1 :] != tail):
            raise RuntimeError(f"cat: along dim {dim}, a tensor of shape {s} does not fit the first one of shape {shape0}")
        total += s[axis]
    size = lead + (total,) + tail
    out = memory.empty(size, dtype) if memory.c_order(first) else in_order_of(first, size, dtype)
    K.cat(out, arrays, axis)
    return record(out, cat_backward, tensors, (axis, ndim, [(x.array.shape, x.array.dtype) for x in tensors]))


def _refused(op, tensors):
    if not hasattr(tensors, "__iter__"):
        return TypeError(f"{op}: tensors must be a list or tuple of Tensors, got {type(tensors).__name__}")
    for i, x in enumerate(tensors):
        if not isinstance(x, Tensor):
            return TypeError(f"{op}: tensors[{i}] must be a Tensor, got {type(x).__name__}")
    return ValueError(f"{op}: wants at least one tensor")


def _tensors(op, tensors):
    """The tensors as a tuple; TypeError where one is none."""
    if hasattr(tensors, "__iter__"):
        tensors = tuple(tensors)
        if all(isinstance(x, Tensor) for x in tensors):
            return tensors
    raise _refused(op, tensors)


def cat_backward(node, dy):
    """Each input's gradient is its part of dy: a view."""
    axis, ndim, inputs = node.saved
    lead = (slice(None),) * axis
    dxs = []
    start = 0
    for i, (size, dtype) in enumerate(inputs):
        if len(size) != ndim:  # a skipped one
            dxs.append(memory.zeros(size, dtype) if node.needs(i) else None)
            continue
        stop = start + size[axis]
        dx = dy[lead + (slice(start, stop),)] if node.needs(i) else None
        dxs.append(dx if dx is None or dx.dtype == dtype else dx.astype(dtype))
        start = stop
    return tuple(dxs)


concat = concatenate = cat


def stack(tensors, dim=0, axis=None) -> Tensor:
    """Tensors of one shape side by side along a new axis."""
    if axis is not None:
        dim = axis
    tensors = _tensors("stack", tensors)
    if not tensors:
        raise RuntimeError("stack: wants at least one tensor")
    arrays = [x.array for x in tensors]
    size = arrays[0].shape
    dtype = arrays[0].dtype
    axis = dim if 0 <= dim <= len(size) else axis_of("stack", dim, len(size) + 1)
    for i, a in enumerate(arrays):
        if a.shape != size:
            raise RuntimeError(f"stack: tensors[{i}] has shape {a.shape}, tensors[0] {size}: they must agree")
        if a.dtype is not dtype:
            dtype = promote_types(dtype, a.dtype)
    out = memory.empty(size[:axis] + (len(arrays),) + size[axis:], dtype)
    K.stack(out, arrays, axis)
    return record(out, stack_backward, tensors, (axis, [a.dtype for a in arrays]))


def stack_backward(node, dy):
    """Each input's gradient is its slice of dy: a view."""
    axis, dtypes = node.saved
    lead = (slice(None),) * axis
    dxs = []
    for i, dtype in enumerate(dtypes):
        dx = dy[lead + (i, Ellipsis)] if node.needs(i) else None
        dxs.append(dx if dx is None or dx.dtype == dtype else dx.astype(dtype))
    return tuple(dxs)


def _dtype_of(tensors):
    dtype = tensors[0].array.dtype
    for x in tensors:
        if x.array.dtype != dtype:
            dtype = promote_types(dtype, x.array.dtype)
    return dtype


def hstack(tensors) -> Tensor:
    """Joined along axis 1, 1-d tensors along axis 0."""
    tensors = [shape.atleast_1d(x) for x in _tensors("hstack", tensors)]
    return cat(tensors, 0 if tensors and tensors[0].array.ndim == 1 else 1)


def vstack(tensors) -> Tensor:
    """Joined along axis 0, 1-d tensors as rows."""
    return cat([shape.atleast_2d(x) for x in _tensors("vstack", tensors)], 0)


row_stack = vstack


def dstack(tensors) -> Tensor:
    """Joined along axis 2 after atleast_3d."""
    return cat([shape.atleast_3d(x) for x in _tensors("dstack", tensors)], 2)


def column_stack(tensors) -> Tensor:
    """Joined along axis 1, 1-d and 0-d tensors as columns."""
    tensors = _tensors("column_stack", tensors)
    return cat([x if x.array.ndim > 1 else shape.reshape(x, x.array.size, 1) for x in tensors], 1)


def meshgrid(*tensors, indexing="ij") -> tuple[Tensor, ...]:
    """As many tensors of shape (n_0, n_1, ...) as 1-d ones of n_0, n_1, ..., each varying along its own axis.

    indexing "xy" exchanges the first two axes. The results are expanded views.
    """
    if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)):
        tensors = tuple(tensors[0])
    if indexing not in ("ij", "xy"):
        raise RuntimeError(f"meshgrid: indexing must be 'ij' or 'xy', got {indexing!r}")
    for i, x in enumerate(_tensors("meshgrid", tensors)):
        if x.array.ndim > 1:
            raise RuntimeError(f"meshgrid: tensors[{i}] must be 1-d or 0-d, got shape {x.array.shape}")
    tensors = [shape.atleast_1d(x) for x in tensors]
    swapped = indexing == "xy" and len(tensors) > 1
    if swapped:
        tensors[0], tensors[1] = tensors[1], tensors[0]
    size = tuple([x.array.size for x in tensors])
    n = len(size)
    grids = [
        shape.expand(shape.reshape(x, (1,) * i + (size[i],) + (1,) * (n - i - 1)), size)
        for i, x in enumerate(tensors)
    ]
    if swapped:
        grids[0], grids[1] = grids[1], grids[0]
    return tuple(grids)


def cartesian_prod(*tensors) -> Tensor:
    """All combinations of one element from each 1-d tensor, [product of the sizes, number of tensors]."""
    for i, x in enumerate(_tensors("cartesian_prod", tensors)):
        if x.array.ndim != 1:
            raise RuntimeError(f"cartesian_prod: tensors[{i}] must be 1-d, got shape {x.array.shape}")
    if len(tensors) == 1:
        return tensors[0]
    return stack([shape.ravel(g) for g in meshgrid(*tensors)], 1)


def block_diag(*tensors) -> Tensor:
    """Matrices (or vectors as rows, numbers) along the diagonal of a matrix of zeros."""
    if not tensors:
        return Tensor()
    for i, x in enumerate(_tensors("block_diag", tensors)):
        if x.array.ndim > 2:
            raise RuntimeError(
                f"block_diag: tensors[{i}] must have at most 2 dimensions, got shape {x.array.shape}"
            )
    blocks = tuple([shape.atleast_2d(x) for x in tensors])
    out = memory.zeros(tuple(map(sum, zip(*[b.array.shape for b in blocks]))), common_type("block_diag", *tensors))
    keys = []
    row = column = 0
    for b in blocks:
        r, c = b.array.shape
        keys.append((slice(row, row + r), slice(column, column + c)))
        out[keys[-1]] = b.array
        row, column = row + r, column + c
    return record(out, block_diag_backward, blocks, (tuple(keys),))


def block_diag_backward(node, dy):
    (keys,) = node.saved
    return tuple([dy[key] if node.needs(i) else None for i, key in enumerate(keys)])


def hsplit(input, indices_or_sections) -> tuple[Tensor, ...]:
    """input cut along axis 1 (of a 1-d tensor along axis 0) into equal sections, or at indices."""
    input = as_tensor("hsplit", input)
    if not input.array.ndim:
        raise RuntimeError("hsplit: wants at least 1 dimension, got a 0-d tensor")
    return _cut("hsplit", input, indices_or_sections, 0 if input.array.ndim == 1 else 1)


def vsplit(input, indices_or_sections) -> tuple[Tensor, ...]:
    """input, of at least two dimensions, cut along axis 0 into equal sections, or at indices."""
    input = as_tensor("vsplit", input)
    if input.array.ndim < 2:
        raise RuntimeError(f"vsplit: wants at least 2 dimensions, got shape {input.array.shape}")
    return _cut("vsplit", input, indices_or_sections, 0)


def dsplit(input, indices_or_sections) -> tuple[Tensor, ...]:
    """input, of at least three dimensions, cut along axis 2 into equal sections, or at indices."""
    input = as_tensor("dsplit", input)
    if input.array.ndim < 3:
        raise RuntimeError(f"dsplit: wants at least 3 dimensions, got shape {input.array.shape}")
    return _cut("dsplit", input, indices_or_sections, 2)


def _cut(op, x, where, axis):
    if isinstance(where, int) and (where < 1 or x.array.shape[axis] % where):
        raise RuntimeError(f"{op}: dim {axis} of shape {x.array.shape} cannot be cut into {where} equal sections")
    return parts.tensor_split(x, where, axis)
