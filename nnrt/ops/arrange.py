"""Copies that rearrange: mirrored, rolled, repeated, with parts set to zero, along diagonals."""

import numpy as np

from .. import memory, registry
from ..autograd import record
from ..tensor import Tensor, wrap
from . import parts, shape
from .create import sizes_of
from .promotion import as_tensor
from .shape import axes_of, axis_of

K = registry.family("shape")


def flip(input, *axes, dims=None) -> Tensor:
    """A copy with the order along some axes reversed: flip(0, 1), flip((0, 1)) or flip(dims=(0, 1))."""
    input = as_tensor("flip", input)
    a = input.array
    dims = axes if dims is None else dims
    if dims == (None,):
        raise TypeError(f"flip: dims must be ints, got {dims!r}")
    dims = axes_of("flip", dims[0] if type(dims) is tuple and len(dims) == 1 else dims, a.ndim)
    key = tuple([slice(None, None, -1) if i in dims else slice(None) for i in range(a.ndim)])
    return record(_mirrored(a, key), flip_backward, (input,), (key,))


def flip_backward(node, dy):
    (key,) = node.saved
    return (_mirrored(dy, key),)


def _mirrored(a, key):
    y = memory.empty_like(a)
    K.copy(y, a[(*key, ...)])  # an array even of a number
    return y


def fliplr(input) -> Tensor:
    """flip along axis 1."""
    input = as_tensor("fliplr", input)
    if input.array.ndim < 2:
        raise RuntimeError(f"fliplr: wants at least 2 dimensions, got shape {input.array.shape}")
    return flip(input, 1)


def flipud(input) -> Tensor:
    """flip along axis 0."""
    input = as_tensor("flipud", input)
    if input.array.ndim < 1:
        raise RuntimeError("flipud: wants at least 1 dimension, got a 0-d tensor")
    return flip(input, 0)


def roll(input, shifts, dims=None) -> Tensor:
    """A copy with elements moved on by shifts along dims; those that leave at the end come in at the start.

    shifts and dims: ints or sequences of the same length; without dims the flattened tensor is rolled.
    """
    input = as_tensor("roll", input)
    a = input.array
    shifts = (shifts,) if hasattr(shifts, "__index__") else tuple(shifts)
    if dims is None:
        if len(shifts) != 1:
            raise RuntimeError(f"roll: {len(shifts)} shifts need dims")
        return shape.reshape(roll(shape.ravel(input), shifts, (0,)), a.shape)
    dims = (dims,) if hasattr(dims, "__index__") else tuple(dims)
    if len(shifts) != len(dims):
        raise RuntimeError(f"roll: {len(shifts)} shifts but {len(dims)} dims")
    dims = tuple([axis_of("roll", d, a.ndim) for d in dims])
    if not a.ndim:
        return shape.clone(input)
    return record(_rolled(a, shifts, dims), roll_backward, (input,), (shifts, dims))


def roll_backward(node, dy):
    shifts, dims = node.saved
    return (_rolled(dy, tuple([-s for s in shifts]), dims),)


def _rolled(a, shifts, dims):
    total = dict.fromkeys(dims, 0)
    for s, d in zip(shifts, dims):
        total[d] += s
    y = memory.empty_like(a)
    # Each rolled axis is two runs: what stays in front of the cut, and what wraps.
    runs = [((), ())]
    for d, n in enumerate(a.shape):
        s = total.get(d, 0) % n if n else 0
        parts = (
            [(slice(s, None), slice(0, n - s)), (slice(0, s), slice(n - s, None))]
            if s
            else [(slice(None),) * 2]
        )
        runs = [(to + (p,), of + (q,)) for to, of in runs for p, q in parts]
    for to, of in runs:
        y[to] = a[of]
    return y


def rot90(input, k=1, dims=(0, 1)) -> Tensor:
    """input turned by k quarter turns in the plane of dims, from the first towards the second."""
    input = as_tensor("rot90", input)
    if len(dims) != 2:
        raise RuntimeError(f"rot90: dims must be two axes, got {dims}")
    d0, d1 = axes_of("rot90", dims, input.array.ndim)
    k %= 4
    if k == 0:
        return shape.clone(input)
    if k == 2:
        return flip(input, d0, d1)
    return shape.transpose(flip(input, d1), d0, d1) if k == 1 else flip(shape.transpose(input, d0, d1), d1)


def repeat(x, *repeats) -> Tensor:
    """x laid side by side repeats[i] times along axis i; further repeats make new axes in front."""
    a = x.array
    repeats = sizes_of("repeat", repeats)
    lead = len(repeats) - a.ndim
    if lead < 0:
        raise RuntimeError(f"repeat: {len(repeats)} repeats for a tensor of shape {a.shape}")
    size = (1,) * lead + a.shape
    # Axis i becomes (repeats[i], size[i]): a broadcast copy, whose gradient is a sum over the former.
    wide = tuple([n for pair in zip(repeats, size) for n in pair])
    y = memory.empty(wide, a.dtype)
    y[...] = a.reshape(tuple([n for m in size for n in (1, m)]))
    y = y.reshape(tuple([r * n for r, n in zip(repeats, size)]))
    return record(y, repeat_backward, (x,), (a.shape, wide))


def repeat_backward(node, dy):
    size, wide = node.saved
    narrow = tuple([1 if i % 2 == 0 else n for i, n in enumerate(wide)])
    return (elementwise.sum_to(shape.reshaped(dy, wide)[0], narrow).reshape(size),)


def tile(input, *repeats, dims=None) -> Tensor:
    """repeat() that takes fewer repeats than axes: those in front are 1. dims: the repeats, by name."""
    input = as_tensor("tile", input)
    repeats = sizes_of("tile", repeats if dims is None else (dims,))
    return repeat(input, (1,) * (input.array.ndim - len(repeats)) + repeats)


def repeat_interleave(input, repeats, dim=None, output_size=None) -> Tensor:
    """Each element along dim repeated in place: `repeats` times, or repeats[i] times the i-th.

    repeats: int or 1-d int tensor. Without dim the flattened tensor is used.
    """
    input = as_tensor("repeat_interleave", input)
    if dim is None:
        return repeat_interleave(shape.ravel(input), repeats, 0)
    a = input.array
    dim = axis_of("repeat_interleave", dim, a.ndim)
    if not a.ndim:
        return repeat_interleave(shape.reshape(input, 1), repeats, 0)
    n = a.shape[dim]
    counts = repeats.array if hasattr(repeats, "array") else np.asarray(repeats)
    if counts.dtype.kind not in "iu":
        raise RuntimeError(f"repeat_interleave: repeats must be integers, got {counts.dtype}")
    if counts.ndim > 1 or counts.size not in (1, n):
        raise RuntimeError(
            f"repeat_interleave: {counts.shape} repeats for dim {dim} of a tensor of shape {a.shape}"
        )
    try:
        source = np.arange(n).repeat(counts)
    except ValueError:
        raise RuntimeError("repeat_interleave: repeats must not be negative") from None
    if output_size is not None and output_size != source.size:
        raise RuntimeError(f"repeat_interleave: output_size {output_size}, but the repeats add up to {source.size}")
    return index.index_select(input, dim, wrap(source))


# ---- triangles and diagonals ----


def tril(input, diagonal=0) -> Tensor:
    """input on and below diagonal `diagonal` of its last two axes, zeros elsewhere."""
    input = as_tensor("tril", input)
    return record(_triangle("tril", input.array, diagonal, False), tril_backward, (input,), (diagonal,))


def tril_backward(node, dy):
    (diagonal,) = node.saved
    return (_triangle("tril", dy, diagonal, False),)


def triu(input, diagonal=0) -> Tensor:
    """input on and above diagonal `diagonal` of its last two axes, zeros elsewhere."""
    input = as_tensor("triu", input)
    return record(_triangle("triu", input.array, diagonal, True), triu_backward, (input,), (diagonal,))


def triu_backward(node, dy):
    (diagonal,) = node.saved
    return (_triangle("triu", dy, diagonal, True),)


def _triangle(op, a, diagonal, upper):
    if a.ndim < 2:
        raise RuntimeError(f"{op}: wants at least 2 dimensions, got shape {a.shape}")
    a = memory.contiguous(a)
    y = memory.empty(a.shape, a.dtype)
    K.triangle(y, a, diagonal, upper)
    return y


def diag(input, diagonal=0) -> Tensor:
    """A vector as the diagonal of a matrix of zeros, or the diagonal of a matrix as a copy."""
    input = as_tensor("diag", input)
    if input.array.ndim == 1:
        return diag_embed(input, diagonal)
    if input.array.ndim != 2:
        raise RuntimeError(f"diag: wants 1 or 2 dimensions, got shape {input.array.shape}")
    return shape.clone(parts.diagonal(input, diagonal))


def diagflat(input, offset=0) -> Tensor:
    """All elements of input as diagonal `offset` of a square matrix of zeros."""
    return diag_embed(shape.ravel(as_tensor("diagflat", input)), offset)


def diag_embed(input, offset=0, dim1=-2, dim2=-1) -> Tensor:
    """The last axis of input as the diagonals of square planes (dim1, dim2) of zeros."""
    input = as_tensor("diag_embed", input)
    a = input.array
    if not a.ndim:
        raise RuntimeError("diag_embed: wants at least 1 dimension, got a 0-d tensor")
    axis1, axis2 = axes_of("diag_embed", (dim1, dim2), a.ndim + 1)
    n = a.shape[-1] + abs(offset)
    size = list(a.shape[:-1])
    for axis in sorted((axis1, axis2)):
        size.insert(axis, n)
    y = memory.zeros(tuple(size), a.dtype)
    parts.diagonal_of(y, offset, axis1, axis2)[...] = a
    return record(y, diag_embed_backward, (input,), (offset, axis1, axis2))


def diag_embed_backward(node, dy):
    offset, axis1, axis2 = node.saved
    return (parts.diagonal_of(dy, offset, axis1, axis2),)


def trace(input) -> Tensor:
    """The sum of a matrix's main diagonal."""
    input = as_tensor("trace", input)
    if input.array.ndim != 2:
        raise RuntimeError(f"trace: wants 2 dimensions, got shape {input.array.shape}")
    return record(reduce.sum_array(input.array.diagonal(), (0,)), trace_backward, (input,), (input.array.shape,))


def trace_backward(node, dy):
    (size,) = node.saved
    dx = memory.zeros(size, dy.dtype)
    parts.diagonal_of(dx, 0, 0, 1)[...] = dy
    return (dx,)


from . import elementwise, index, reduce  # noqa: E402
