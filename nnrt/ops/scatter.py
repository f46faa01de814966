"""Writing by index: scatter and its kin, out of place and differentiable.

Legend as in nnrt._ref.index. Sums over repeated indices run in the order of the sources, whatever the
number of threads; where repeated indices overwrite, the last one stays.
"""

import numpy as np

from .. import memory, registry
from ..autograd import record, watched
from ..tensor import Tensor, wrap
from . import parts, shape
from .index import (
    added_at,
    check_range,
    corner,
    folded,
    index_error,
    index_like,
    indices_of,
    parsed,
    scattered,
    wrapped,
)
from .promotion import as_tensor, check_tensors
from .shape import axis_of

K = registry.family("index")


def _operands(op, x, dim, index, src):
    """(dim, index, the part of src that index names) for x, all with at least one axis."""
    a = x.array
    dim = axis_of(op, dim, a.ndim)
    checked = index_like(op, index, a, dim)
    if checked is None or not checked.size:
        return dim, None, None
    check_range(op, checked, a.shape[dim], dim)
    if not isinstance(src, Tensor):
        if not isinstance(src, (int, float, np.generic)):
            raise TypeError(f"{op}: src must be a Tensor or a number, got {type(src).__name__}")
        return dim, checked, src
    s = src.array
    if s.shape == checked.shape and s.dtype == a.dtype:
        return dim, checked, s
    if s.ndim != checked.ndim or any([m > n for m, n in zip(checked.shape, s.shape)]):
        raise RuntimeError(f"{op}: index of shape {checked.shape} does not lie within src of shape {s.shape}")
    if s.dtype != a.dtype:
        raise RuntimeError(f"{op}: x is {a.dtype} but src {s.dtype}")
    return dim, checked, s[tuple([slice(n) for n in checked.shape])]


def _lifted(op, x, index, src, *more, **named):
    """op on a 0-d x, index and src as on 1-d ones."""
    index = wrap(indices_of(op.__name__, index).reshape(-1))
    src = shape.reshape(src, -1) if isinstance(src, Tensor) and not src.array.ndim else src
    return shape.reshape(op(shape.reshape(x, 1), 0, index, src, *more, **named), ())


def _copy(a):
    out = memory.empty(a.shape, a.dtype)
    out[...] = a
    return out


def _read(a, dim, index):
    """What `index` names in array a: out[i, j, k] = a[i, index[i, j, k], k] (for dim 1)."""
    out = memory.empty(index.shape, a.dtype)
    K.gather(folded(out, dim), folded(corner(a, dim, index), dim), folded(index, dim))
    return out


def _spread(values, size):
    """values at the corner of zeros of shape `size`, the shape of a src that index did not use up."""
    if values.shape == tuple(size):
        return values
    out = memory.zeros(size, values.dtype)
    out[tuple([slice(n) for n in values.shape])] = values
    return out


def scatter(input, dim, index, src=None, value=None, reduce=None) -> Tensor:
    """input with out[i, index[i, j, k], k] = src[i, j, k] (for dim 1).

    src: Tensor of input's dtype at least as large as index, or a number (also as value=). Where index repeats,
    the last source stays, and only it gets a gradient. reduce: "add" or "multiply" instead of overwriting.
    """
    check_tensors("scatter", input=input)
    if (src is None) == (value is None):
        raise RuntimeError("scatter: wants either src or value")
    src = value if src is None else src
    if reduce is not None:
        if reduce not in ("add", "multiply"):
            raise RuntimeError(f"scatter: reduce must be 'add' or 'multiply', got {reduce!r}")
        if not isinstance(src, Tensor):
            src = create.full(index.array.shape, src, dtype=input.array.dtype)
        return scatter_reduce(input, dim, index, src, "sum" if reduce == "add" else "prod")
    if not input.array.ndim:
        return _lifted(scatter, input, index, src)
    given = index
    dim, index, values = _operands("scatter", input, dim, index, src)
    src = src if isinstance(src, Tensor) else None
    out = _copy(input.array) if index is None else _put(input.array, dim, index, values)
    src_size = None if src is None else src.array.shape
    return watched(record(out, scatter_backward, (input, src), (dim, index, src_size)), given)


def scatter_backward(node, dy):
    """dx = dy but 0 where a source went; dsrc = dy where it went, 0 if a later one overwrote it."""
    dim, index, src_size = node.saved
    if index is None:
        return dy, memory.zeros(src_size, dy.dtype) if node.needs(1) else None
    dx = dsrc = None
    if node.needs(0):
        dx = _put(dy, dim, index, 0)
    if node.needs(1):
        dsrc = _read(dy, dim, index)
        # The number of the source that stayed at each place tells winners from losers.
        number = np.arange(index.size).reshape(index.shape)
        last = _put(np.zeros(dy.shape, np.int64), dim, index, number)
        dsrc[_read(last, dim, index) != number] = 0
        dsrc = _spread(dsrc, src_size)
    return dx, dsrc


def _put(a, dim, index, values):
    """A copy of a with values (an array like index, or a number) at index along dim."""
    if not isinstance(values, np.ndarray):
        values = np.broadcast_to(np.full((), values, a.dtype), index.shape)
    return _written(K.scatter, a, dim, index, values)


def _written(kernel, a, dim, index, values):
    """A copy of a with values written at index along dim by K.scatter or K.scatter_add."""
    base = memory.contiguous(corner(a, dim, index))
    part = memory.empty(base.shape, a.dtype)
    kernel(folded(part, dim), folded(base, dim), folded(values, dim), folded(index, dim))
    if part.shape == a.shape:
        return part
    out = _copy(a)
    corner(out, dim, index)[...] = part
    return out


def scatter_add(input, dim, index, src) -> Tensor:
    """input with out[i, index[i, j, k], k] += src[i, j, k] (for dim 1), in the order of src."""
    input = as_tensor("scatter_add", input)
    check_tensors("scatter_add", src=src)
    a = input.array
    if not a.ndim:
        return _lifted(scatter_add, input, index, src)
    given = index
    dim, index, values = _operands("scatter_add", input, dim, index, src)
    out = _copy(a) if index is None else _written(K.scatter_add, a, dim, index, values)
    return watched(record(out, scatter_add_backward, (input, src), (dim, index, src.array.shape)), given)


def scatter_add_backward(node, dy):
    """out[index[n]] += src[n]  =>  dsrc[n] = dy[index[n]], dx = dy"""
    dim, index, size = node.saved
    if not node.needs(1):
        return dy, None
    if index is None:
        return dy, memory.zeros(size, dy.dtype)
    return dy, _spread(_read(dy, dim, index), size)


_IDENTITY = {"sum": 0, "mean": 0, "prod": 1, "amax": -np.inf, "amin": np.inf}
_STEP = {"sum": np.add, "mean": np.add, "prod": np.multiply, "amax": np.maximum, "amin": np.minimum}


def scatter_reduce(input, dim, index, src, reduce, include_self=True) -> Tensor:
    """input with the elements of src at each place, as :func:`scatter` does with index and dim, reduced there.

    reduce: "sum", "prod", "mean", "amax" or "amin". src: at least as large as index.
    include_self=False leaves input's own value out at places that get a source. Equal extrema share the gradient.
    """
    check_tensors("scatter_reduce", input=input, src=src)
    if reduce not in _STEP:
        raise RuntimeError(f"scatter_reduce: reduce must be one of {', '.join(_STEP)}, got {reduce!r}")
    a = input.array
    if not a.ndim:
        return _lifted(scatter_reduce, input, index, src, reduce, include_self)
    dim, index, values = _operands("scatter_reduce", input, dim, index, src)
    if index is None:
        return record(_copy(a), scatter_add_backward, (input, src), (dim, None, src.array.shape))
    flat, places = _places(a.shape, dim, index)
    out = _copy(a).reshape(-1)
    if not include_self:
        out[places] = _identity(reduce, a.dtype)
    sources = values.reshape(-1)
    _STEP[reduce].at(out, places, sources)
    counts = None
    if reduce == "mean":
        counts = np.bincount(places, minlength=flat) + (1 if include_self else 0)
        counts[counts == 0] = 1
        out = (out / counts if a.dtype.kind == "f" else out // counts).astype(a.dtype)
    saved = (reduce, include_self, places, a.shape, src.array.shape, index.shape, counts)
    kept = (None, None, None)
    if reduce in ("prod", "amax", "amin"):
        kept = (input, src, out)
    out = record(out.reshape(a.shape), scatter_reduce_backward, (input, src), saved + kept)
    return watched(out, out)


def scatter_reduce_backward(node, dy):
    """Per place p: sum: dsrc = dy_p. mean: dy_p / n_p. prod: dy_p times the product of the others.
    amax, amin: dy_p / (number of equals) for those that equal out_p."""
    reduce, include_self, places, size, src_size, index_size, counts, x, src, out = node.saved
    g = dy.reshape(-1)
    own = np.ones(g.size, bool)  # whether x's value takes part
    if not include_self:
        own[places] = False
    if reduce == "mean":
        g = (g / counts).astype(dy.dtype)
    if reduce in ("sum", "mean"):
        gx, gs = np.where(own, g, 0), g[places]
    else:
        part = tuple([slice(n) for n in index_size])
        xs, sources = x.reshape(-1), (src[part] if src.ndim else src).reshape(-1)
        if reduce == "prod":
            zeros = np.where(own, xs == 0, False).astype(np.int64)
            np.add.at(zeros, places, (sources == 0).astype(np.int64))
            rest = np.where(own & (xs != 0), xs, 1)  # product of what is not zero
            np.multiply.at(rest, places, np.where(sources == 0, 1, sources))
            gx = np.where(own, g * _others(xs, zeros, rest), 0)
            gs = g[places] * _others(sources, zeros[places], rest[places])
        else:
            mine, theirs = own & (xs == out), sources == out[places]
            equals = mine.astype(g.dtype)
            np.add.at(equals, places, theirs.astype(g.dtype))
            g = g / np.maximum(equals, 1)
            gx, gs = np.where(mine, g, 0), np.where(theirs, g[places], 0)
    gx = gx.astype(dy.dtype).reshape(size) if node.needs(0) else None
    gs = _spread(gs.astype(dy.dtype).reshape(index_size), src_size) if node.needs(1) else None
    return gx, gs


def _others(v, zeros, rest):
    """The product without v, where `rest` is that of the nonzero factors and `zeros` how many are zero."""
    safe = np.where(v == 0, 1, v)
    return np.where(v == 0, np.where(zeros == 1, rest, 0), np.where(zeros == 0, rest / safe, 0))


def _places(size, dim, index):
    """(number of elements, flat positions in an array of shape `size` that index along dim names)."""
    flat = 1
    for n in size:
        flat *= n
    grid = list(np.indices(index.shape, sparse=True))
    grid[dim] = index
    return flat, np.ravel_multi_index(np.broadcast_arrays(*grid), size).reshape(-1)


def _identity(reduce, dtype):
    if reduce in ("amax", "amin") and dtype.kind != "f":
        if dtype.kind == "b":
            return reduce == "amin"
        info = np.iinfo(dtype)
        return info.min if reduce == "amax" else info.max
    return _IDENTITY[reduce]


# ---- what a view shows ----


def select_scatter(input, src, dim, index) -> Tensor:
    """input with src in place of its slice `index` along dim, which has no such axis."""
    return _replaced("select_scatter", input, src, lambda x: parts.select(x, dim, index))


def slice_scatter(input, src, dim=0, start=None, end=None, step=1) -> Tensor:
    """input with src in place of start:end:step along dim."""
    input = as_tensor("slice_scatter", input)
    axis = axis_of("slice_scatter", dim, input.array.ndim)
    return _replaced("slice_scatter", input, src, lambda x: x[(slice(None),) * axis + (slice(start, end, step),)])


def diagonal_scatter(input, src, offset=0, dim1=0, dim2=1) -> Tensor:
    """input with src in place of the diagonals that `diagonal` shows."""
    return _replaced("diagonal_scatter", input, src, lambda x: parts.diagonal(x, offset, dim1, dim2))


def _replaced(op, input, src, view):
    input, src = as_tensor(op, input), as_tensor(op, src)
    out = _copy(input.array)
    part = view(wrap(out)).array
    if part.shape != src.array.shape:
        raise RuntimeError(f"{op}: src must have the shape {part.shape} of what it replaces, got {src.array.shape}")
    part[...] = src.array
    return record(out, replaced_backward, (input, src), (view,))


def replaced_backward(node, dy):
    (view,) = node.saved
    dx = _copy(dy)
    view(wrap(dx)).array[...] = 0
    return dx, view(wrap(dy)).array


# ---- whole slices along an axis ----


def _slices(op, x, dim, index, source, from_end=False):
    """(dim, index [N] int64), checked against x and source; both with at least one axis. from_end: index may be negative."""
    dim = axis_of(op, dim, x.array.ndim)
    index = memory.contiguous(indices_of(op, index).reshape(-1))
    size = x.array.shape or (1,)
    if from_end:
        index = wrapped(index, size[dim])
    check_range(op, index, size[dim], dim)
    if source is None:
        return dim, index
    wanted = size[:dim] + (index.size,) + size[dim + 1 :]
    if (source.array.shape or (1,)) != wanted:
        raise RuntimeError(
            f"{op}: source of shape {source.array.shape} should be {wanted} for x of shape {x.array.shape} "
            f"and {index.size} indices along dim {dim}"
        )
    if source.array.dtype != x.array.dtype:
        raise RuntimeError(f"{op}: x is {x.array.dtype} but source {source.array.dtype}")
    return dim, index


def index_add(input, dim, index, source, alpha=1) -> Tensor:
    """input with alpha * source[n] added to its slice index[n] along dim, in the order of n."""
    input = as_tensor("index_add", input)
    check_tensors("index_add", source=source)
    given = index
    dim, index = _slices("index_add", input, dim, index, source)
    a = memory.contiguous(input.array)
    b = memory.contiguous(source.array)
    out = memory.empty(a.shape, a.dtype)
    if not a.ndim:
        a, b, out = a.reshape(1), b.reshape(index.size), out.reshape(1)
    scaled = None
    if alpha != 1:
        scaled = memory.empty((index.size,), a.dtype)
        scaled.fill(np.int64(alpha).astype(a.dtype) if a.dtype.kind == "u" else alpha)  # wraps around
    scattered(folded(out, dim), folded(a, dim), scaled, folded(b, dim), index)
    saved = (dim, index, alpha, source.array.shape)
    return watched(record(out.reshape(input.array.shape), index_add_backward, (input, source), saved), given)


def index_add_backward(node, dy):
    """out[index[n]] += alpha source[n]  =>  dsource[n] = alpha dy[index[n]], dx = dy"""
    dim, index, alpha, size = node.saved
    if not node.needs(1):
        return dy, None
    dsource = dy.reshape(-1)[index] if not dy.ndim else dy.take(index, axis=dim)
    if alpha != 1:
        dsource *= dsource.dtype.type(alpha)
    return dy, dsource.reshape(size)


def index_copy(input, dim, index, source) -> Tensor:
    """input with its slice index[n] along dim replaced by source[n]; where index repeats, the last stays."""
    input = as_tensor("index_copy", input)
    check_tensors("index_copy", source=source)
    given = index
    dim, index = _slices("index_copy", input, dim, index, source)
    out = _copy(input.array)
    lead = (slice(None),) * dim
    if out.ndim:
        out[lead + (index,)] = source.array
    elif index.size:
        out[...] = source.array.reshape(-1)[-1]
    return watched(record(out, index_copy_backward, (input, source), (dim, index, source.array.shape)), given)


def index_copy_backward(node, dy):
    """dx = dy but 0 in the replaced slices; dsource[n] = dy[index[n]], 0 where a later one replaced it."""
    dim, index, size = node.saved
    dx = dsource = None
    view = dy if dy.ndim else dy.reshape(1)
    lead = (slice(None),) * dim
    if node.needs(0):
        dx = _copy(view)
        dx[lead + (index,)] = 0
        dx = dx.reshape(dy.shape)
    if node.needs(1):
        dsource = view.take(index, axis=dim)
        last = np.zeros(view.shape[dim], np.int64)
        last[index] = np.arange(index.size)
        dsource[lead + (last[index] != np.arange(index.size),)] = 0
        dsource = dsource.reshape(size)
    return dx, dsource


def index_fill(input, dim, index, value) -> Tensor:
    """input with its slices index along dim filled with value (a number or a 0-d tensor).

    Negative indices count from the end, as in torch (and unlike those of :func:`index_copy`).
    """
    input = as_tensor("index_fill", input)
    given = index
    dim, index = _slices("index_fill", input, dim, index, None, True)
    source = value if isinstance(value, Tensor) else None
    if source is not None:
        if source.array.ndim:
            raise RuntimeError(f"index_fill: value must be a number or a 0-d tensor, got shape {source.array.shape}")
        value = source.array
    out = _copy(input.array)
    if out.ndim:
        out[(slice(None),) * dim + (index,)] = value
    elif index.size:
        out[...] = value
    return watched(record(out, index_fill_backward, (input, source), (dim, index)), given)


def index_fill_backward(node, dy):
    dim, index = node.saved
    dx = dvalue = None
    view = dy if dy.ndim else dy.reshape(1)
    if node.needs(0):
        dx = _copy(view)
        dx[(slice(None),) * dim + (index,)] = 0
        dx = dx.reshape(dy.shape)
    if node.needs(1):
        dvalue = elementwise.sum_to(memory.contiguous(view.take(np.unique(index), axis=dim)), ())
    return dx, dvalue


def index_put(input, indices, values, accumulate=False) -> Tensor:
    """input with input[indices] = values, or += with accumulate; indices: a tuple of int or bool tensors."""
    input = as_tensor("index_put", input)
    a = input.array
    values = values if isinstance(values, Tensor) else create.tensor(values, a.dtype)
    try:
        _, key = parsed(tuple(indices), a.ndim)
        picked = a[key].shape
    except IndexError as error:
        raise index_error("index_put", error, a) from None
    try:
        wide = np.broadcast_to(values.array, picked)
    except ValueError:
        raise RuntimeError(
            f"index_put: values of shape {values.array.shape} do not fit the indexed {picked}"
        ) from None
    if accumulate:
        out = a + added_at(a.shape, key, wide.astype(a.dtype))
    else:
        out = _copy(a)
        out[key] = wide
    return watched(record(out, index_put_backward, (input, values), (key, accumulate, values.array.shape)), *indices)


def index_put_backward(node, dy):
    key, accumulate, size = node.saved
    dx = dvalues = None
    if node.needs(0):
        dx = dy
        if not accumulate:
            dx = _copy(dy)
            dx[key] = 0
    if node.needs(1):
        dvalues = dy[key]
        if not accumulate:
            number = np.arange(dvalues.size).reshape(dvalues.shape)
            last = np.zeros(dy.shape, np.int64)
            last[key] = number
            dvalues = np.where(last[key] == number, dvalues, 0).astype(dy.dtype)
        dvalues = elementwise.sum_to(memory.contiguous(dvalues), size)
    return dx, dvalues


from . import create, elementwise  # noqa: E402
