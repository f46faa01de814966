"""Reductions along axes: sums, products, extremes, moments, norms.

Every op takes dim as an int, a sequence of ints, or None for all axes (where torch allows it),
negative counted from the end, and keepdim, which leaves size 1 in the place of the reduced axes.
NaN propagates unless the name says otherwise.

Legend: the kernels read memory as [outer, n, inner] and reduce n; see _axes.arrange.
"""

import math
from collections import namedtuple

import numpy as np

from .. import memory, registry
from ..autograd import record, record_many
from ..tensor import Tensor, wrap
from ._axes import arrange, axes_of, axis_of, expand, reduced_shape

K = registry.family("reduce")
S = registry.family("softmax")

MaxResult = namedtuple("max", ["values", "indices"])
MinResult = namedtuple("min", ["values", "indices"])
AminmaxResult = namedtuple("aminmax", ["min", "max"])


# ---- sum and mean ----


def sum(x, dim=None, keepdim=False, dtype=None):
    """Σ over dim. Integers and bools are summed in int64; dtype converts before summing.

    float32 is accumulated in float32 over short runs and in float64 over those, in an order that
    depends on the shape alone.
    """
    a = x.array if dtype is None else x.array.astype(dtype, copy=False)
    axes, b, y, outer, n, inner = _arranged("sum", a, dim, keepdim, np.int64 if a.dtype.kind in "iub" else a.dtype)
    K.sum(y, b, outer, n, inner, 1)
    if dtype is not None and y.dtype != a.dtype:
        y = np.asarray(y.astype(a.dtype))
    return record(y, sum_backward, (x,), (a.shape, axes, keepdim, 1, x.array.dtype))


def _arranged(op, a, dim, keepdim, dtype):
    """(axes, *arrange(a, axes, ...)); the short way to all axes or one of memory in C order. axes are () for all."""
    if not keepdim and memory.c_order(a):
        if dim is None:
            return (), a, memory.empty((), dtype), 1, a.size, 1
        shape = a.shape
        if type(dim) is int and -len(shape) <= dim < len(shape):
            axis = dim % len(shape)
            before, after = shape[:axis], shape[axis + 1 :]
            outer = inner = 1
            for size in before:
                outer *= size
            for size in after:
                inner *= size
            return (axis,), a, memory.empty(before + after, dtype), outer, shape[axis], inner
    axes = axes_of(op, dim, a.ndim)
    return (axes, *arrange(a, axes, keepdim, dtype))


def sum_array(a, axes, keepdim=False):
    """Σ a over a tuple of axes, on arrays."""
    dtype = a.dtype
    if dtype.kind in "iub":
        dtype = np.int64
    b, y, outer, n, inner = arrange(a, axes, keepdim, dtype)
    K.sum(y, b, outer, n, inner, 1)
    return y


def sum_backward(node, dy):
    shape, axes, keepdim, divisor, dtype = node.saved
    if divisor > 1:
        dy = dy / dy.dtype.type(divisor)
    if dy.dtype != dtype:
        dy = dy.astype(dtype)
    return (expand(np.asarray(dy), shape, axes, keepdim),)


def mean(x, dim=None, keepdim=False, dtype=None):
    """Σ over dim / n; NaN where n is 0. RuntimeError for integers without a floating dtype."""
    a = x.array if dtype is None else x.array.astype(dtype, copy=False)
    if a.dtype.kind != "f":
        raise RuntimeError(
            f"mean: wants a floating tensor, got {a.dtype}; pass dtype=nnrt.float32 to convert"
        )
    axes, b, y, outer, n, inner = _arranged("mean", a, dim, keepdim, a.dtype)
    K.sum(y, b, outer, n, inner, n)
    return record(y, sum_backward, (x,), (a.shape, axes, keepdim, n, x.array.dtype))


def nansum(x, dim=None, keepdim=False, dtype=None):
    """Σ over dim of what is not NaN."""
    a = x.array if dtype is None else x.array.astype(dtype, copy=False)
    axes = axes_of("nansum", dim, a.ndim)
    valid = a == a
    y = sum_array(np.where(valid, a, a.dtype.type(0)), axes, keepdim)
    return record(y, nansum_backward, (x,), (valid, axes, keepdim, None, x.array.dtype))


def nansum_backward(node, dy):
    valid, axes, keepdim, count, dtype = node.saved
    if count is not None:
        dy = dy / count
    return ((expand(np.asarray(dy), valid.shape, axes, keepdim) * valid).astype(dtype, copy=False),)


def nanmean(x, dim=None, keepdim=False, dtype=None):
    """The mean over dim of what is not NaN; NaN where there is nothing else."""
    a = x.array if dtype is None else x.array.astype(dtype, copy=False)
    if a.dtype.kind != "f":
        raise RuntimeError(
            f"nanmean: wants a floating tensor, got {a.dtype}; pass dtype=nnrt.float32 to convert"
        )
    axes = axes_of("nanmean", dim, a.ndim)
    valid = a == a
    total = sum_array(np.where(valid, a, a.dtype.type(0)), axes, keepdim)
    count = sum_array(np.asarray(valid), axes, keepdim).astype(a.dtype)
    with np.errstate(all="ignore"):
        y = np.asarray(total / count)
    return record(y, nansum_backward, (x,), (valid, axes, keepdim, count, x.array.dtype))


def count_nonzero(x, dim=None):
    """How many elements are not zero (NaN is not), int64."""
    a = x.array
    return wrap(sum_array(np.asarray(a != 0), axes_of("count_nonzero", dim, a.ndim)))


# ---- product ----


def prod(x, dim=None, keepdim=False, dtype=None):
    """Π over one axis or all. Integers and bools are multiplied in int64; dtype converts before."""
    a = x.array if dtype is None else x.array.astype(dtype, copy=False)
    axes = axes_of("prod", dim if dim is None else axis_of("prod", dim, a.ndim), a.ndim)
    b, y, outer, n, inner = arrange(a, axes, keepdim, np.int64 if a.dtype.kind in "iub" else a.dtype)
    K.prod(y, b, outer, n, inner)
    return record(y, prod_backward, (x,), (b, y, outer, n, inner, x.array.dtype))


def prod_backward(node, dy):
    b, y, outer, n, inner, dtype = node.saved
    dx = memory.empty_like(b)
    K.prod_backward(dx, memory.as_like(dy, y), b, outer, n, inner)
    return (dx.astype(dtype, copy=False),)


# ---- extremes ----


def max(x, dim=None, keepdim=False, *, other=None):
    """max(x): the largest element. max(x, dim): (values, indices) along an axis, a namedtuple.
    max(x, other): the larger of two tensors, element by element.

    indices are those of the first largest element. The gradient of max(x) is shared evenly
    between equal elements, that of max(x, dim) goes to the index. RuntimeError/IndexError when empty.
    """
    if other is not None or isinstance(dim, Tensor):
        from .elementwise import maximum

        return maximum(x, dim if other is None else other)
    if dim is None:
        return _extreme("max", K.amax, x, None, False)
    return MaxResult(*_extreme_at("max", K.max_at, x, dim, keepdim))


def min(x, dim=None, keepdim=False, *, other=None):
    """As :func:`max`, for the smallest."""
    if other is not None or isinstance(dim, Tensor):
        from .elementwise import minimum

        return minimum(x, dim if other is None else other)
    if dim is None:
        return _extreme("min", K.amin, x, None, False)
    return MinResult(*_extreme_at("min", K.min_at, x, dim, keepdim))


def amax(x, dim=None, keepdim=False):
    """The largest element over dim. The gradient is shared evenly between equal elements."""
    return _extreme("amax", K.amax, x, dim, keepdim)


def amin(x, dim=None, keepdim=False):
    """The smallest element over dim. The gradient is shared evenly between equal elements."""
    return _extreme("amin", K.amin, x, dim, keepdim)


def aminmax(x, *, dim=None, keepdim=False):
    """(amin, amax) over one axis or all, a namedtuple (min, max)."""
    return AminmaxResult(
        _extreme("aminmax", K.amin, x, dim, keepdim), _extreme("aminmax", K.amax, x, dim, keepdim)
    )


def _extreme(op, kernel, x, dim, keepdim):
    a = x.array
    if a.size == 0:
        check_not_empty(op, a.shape, axes_of(op, dim, a.ndim), dim)
    _, b, y, outer, n, inner = _arranged(op, a, dim, keepdim, a.dtype)
    kernel(y, b, outer, n, inner)
    saved = (x if b is a else b, y, outer, n, inner)
    return record(y, extreme_backward, (x,), saved)


def extreme_backward(node, dy):
    b, y, outer, n, inner = node.saved
    dx = memory.empty_like(b)
    K.amax_backward(dx, memory.as_like(dy, y), b, y, outer, n, inner)
    return (dx,)


def _extreme_at(op, kernel, x, dim, keepdim):
    a = x.array
    axes = axes_of(op, axis_of(op, dim, a.ndim), a.ndim)
    if a.size == 0:
        check_not_empty(op, a.shape, axes, dim)
    b, y, outer, n, inner = arrange(a, axes, keepdim, a.dtype)
    index = np.empty_like(y, dtype=np.int64)
    kernel(y, index, b, outer, n, inner)
    return record(y, select_backward, (x,), (b, y, index, outer, n, 1, inner)), wrap(index)


def select_backward(node, dy):
    b, y, index, outer, n, m, inner = node.saved
    dx = memory.empty_like(b)
    K.select_backward(dx, memory.as_like(dy, y), index, outer, n, m, inner)
    return (dx,)


def check_not_empty(op, shape, axes, dim):
    """Raises as torch does when an axis without elements is to be reduced by an op without identity."""
    if dim is None:
        raise RuntimeError(
            f"{op}: a tensor of shape {shape} has no element; pass dim to reduce an axis that is not empty"
        )
    for i in axes:
        if shape[i] == 0:
            raise IndexError(f"{op}: dim {i} of shape {shape} is empty, and {op} of nothing is undefined")


def argmax(x, dim=None, keepdim=False):
    """The index of the first largest element along dim, or in the flattened tensor; int64."""
    return _arg("argmax", K.max_at, x, dim, keepdim)


def argmin(x, dim=None, keepdim=False):
    """The index of the first smallest element along dim, or in the flattened tensor; int64."""
    return _arg("argmin", K.min_at, x, dim, keepdim)


def _arg(op, kernel, x, dim, keepdim):
    a = x.array
    if dim is None:
        axes = tuple(range(a.ndim))
        a = memory.contiguous(a)
    else:
        axes = axes_of(op, axis_of(op, dim, a.ndim), a.ndim)
    if a.size == 0:
        if dim is None:
            raise IndexError(f"{op}: a tensor of shape {a.shape} has no element")
        check_not_empty(op, a.shape, axes, dim)
    b, y, outer, n, inner = arrange(a, axes, keepdim, a.dtype)
    index = np.empty_like(y, dtype=np.int64)
    kernel(y, index, b, outer, n, inner)
    return wrap(index)


# ---- truth ----


def all(x, dim=None, keepdim=False):
    """Whether every element over dim is not zero; bool (uint8 for uint8)."""
    return _truth("all", np.logical_and, x, dim, keepdim)


def any(x, dim=None, keepdim=False):
    """Whether some element over dim is not zero; bool (uint8 for uint8)."""
    return _truth("any", np.logical_or, x, dim, keepdim)


def _truth(op, ufunc, x, dim, keepdim):
    a = x.array
    axes = axes_of(op, dim, a.ndim)
    if isinstance(dim, (tuple, list)) and not dim:
        axes = ()
    y = np.asarray(ufunc.reduce(a, axis=axes, keepdims=bool(keepdim), dtype=bool))
    return wrap(y.astype(np.uint8) if a.dtype == np.uint8 else y)


# ---- moments ----


def var(x, dim=None, unbiased=None, keepdim=False, *, correction=None):
    """Σ (x - mean)² / max(0, n - correction) over dim.

    correction is 1 by default, 0 with unbiased=False. Two passes, so a large common offset costs
    no accuracy. RuntimeError for integers.
    """
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    return _moment("var", x, dim, unbiased, keepdim, correction, False, False)


def std(x, dim=None, unbiased=None, keepdim=False, *, correction=None):
    """The square root of :func:`var`; its gradient is 0 where the deviation is 0."""
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    return _moment("std", x, dim, unbiased, keepdim, correction, True, False)


def var_mean(x, dim=None, unbiased=None, keepdim=False, *, correction=None):
    """(var, mean) over dim."""
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    return _moment("var_mean", x, dim, unbiased, keepdim, correction, False, True)


def std_mean(x, dim=None, unbiased=None, keepdim=False, *, correction=None):
    """(std, mean) over dim."""
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    return _moment("std_mean", x, dim, unbiased, keepdim, correction, True, True)


def _moment(op, x, dim, unbiased, keepdim, correction, root, with_mean):
    a = x.array
    if a.dtype.kind != "f":
        raise RuntimeError(f"{op}: wants a floating tensor, got {a.dtype}")
    if unbiased is not None and correction is not None:
        raise TypeError(f"{op}: unbiased and correction say the same thing; pass one of them")
    if correction is None:
        correction = 1 if unbiased is None or unbiased else 0
    axes = axes_of(op, dim, a.ndim)
    b, y, outer, n, inner = arrange(a, axes, keepdim, a.dtype)
    divisor = float(n - correction) if n > correction else 0.0
    m = memory.empty_like(y)
    K.var(y, m, b, outer, n, inner, divisor)
    if root:
        np.sqrt(y, out=y)
    saved = (x if b is a else b, m, y if root else None, outer, n, inner, divisor, axes, keepdim)
    if with_mean:
        return record_many((y, m), moment_backward, (x,), saved)
    return record(y, moment_backward, (x,), saved)


def moment_backward(node, dy, dmean=None):
    b, m, deviation, outer, n, inner, divisor, axes, keepdim = node.saved
    dx = None
    if dy is not None:
        if deviation is not None:
            with np.errstate(all="ignore"):
                dy = np.where(deviation == 0, 0, dy / (2 * deviation)).astype(m.dtype, copy=False)
        dx = memory.empty_like(b)
        K.var_backward(dx, memory.as_like(dy, m), b, m, outer, n, inner, divisor)
    if dmean is not None:
        dm = expand(np.asarray(dmean / m.dtype.type(n)), b.shape, axes, keepdim)
        dx = dm if dx is None else np.add(dx, dm, out=dx)
    return (dx,)


# ---- norms ----


def norm(x, p="fro", dim=None, keepdim=False, dtype=None):
    """(Σ |x|^p)^(1/p) over dim. p: "fro" (2), "nuc" (sum of singular values), a number, inf, -inf or 0.

    dtype converts before. ValueError for another string, RuntimeError for integers.
    """
    if p is None or p == "fro":
        return vector_norm(x, 2, dim, keepdim, dtype)
    if p == "nuc":
        return _nuclear(x, dim, keepdim, dtype)
    if isinstance(p, str):
        raise RuntimeError(f"norm: p must be a number, 'fro' or 'nuc', got {p!r}")
    return vector_norm(x, p, dim, keepdim, dtype)


def vector_norm(x, ord=2, dim=None, keepdim=False, dtype=None):
    """(Σ |x|^ord)^(1/ord) over dim; ord 0 counts what is not 0, ±inf takes the largest or smallest |x|.

    The gradient at 0 is 0. RuntimeError for integers, and for ord = ±inf over an empty axis.
    """
    a = x.array if dtype is None else x.array.astype(dtype, copy=False)
    if a.dtype.kind != "f":
        raise RuntimeError(
            f"vector_norm: wants a floating tensor, got {a.dtype}; pass dtype=nnrt.float32 to convert"
        )
    axes = axes_of("vector_norm", dim, a.ndim)
    p = float(ord)
    if a.size == 0 and (math.isinf(p) or p < 0) and 0 in [a.shape[i] for i in axes]:
        raise RuntimeError(
            f"vector_norm: ord={ord} of an empty axis is undefined (shape {a.shape}, dim {axes})"
        )
    b, y, outer, n, inner = arrange(a, axes, keepdim, a.dtype)
    K.norm(y, b, outer, n, inner, p)
    return record(y, norm_backward, (x,), (x if b is x.array else b, y, outer, n, inner, p, x.array.dtype))


def norm_backward(node, dy):
    b, y, outer, n, inner, p, dtype = node.saved
    if p == 0:
        return (None,)  # a count does not move
    dx = memory.empty_like(b)
    K.norm_backward(dx, memory.as_like(dy, y), b, y, outer, n, inner, p)
    return (dx.astype(dtype, copy=False),)


def _nuclear(x, dim, keepdim, dtype):
    """The sum of the singular values over two axes (by default a matrix's)."""
    a = x.array if dtype is None else x.array.astype(dtype, copy=False)
    axes = axes_of("norm", dim, a.ndim)
    if len(axes) != 2:
        raise RuntimeError(f"norm: p='nuc' wants two axes, got dim={dim} for a tensor of shape {a.shape}")
    matrices = np.moveaxis(a, axes, (-2, -1))
    u, s, v = np.linalg.svd(matrices, full_matrices=False)
    y = np.asarray(s.sum(axis=-1)).reshape(reduced_shape(a.shape, axes, keepdim))
    return record(y, nuclear_backward, (x,), (u @ v, axes, keepdim, x.array.dtype))


def nuclear_backward(node, dy):
    uv, axes, keepdim, dtype = node.saved
    dx = np.moveaxis(uv, (-2, -1), axes)
    return ((expand(np.asarray(dy), dx.shape, axes, keepdim) * dx).astype(dtype, copy=False),)


def logsumexp(x, dim, keepdim=False):
    """log Σ exp(x) over dim, without overflow. Integers are taken as float32."""
    a = x.array if x.array.dtype.kind == "f" else x.array.astype(np.float32)
    axes = axes_of("logsumexp", dim, a.ndim)
    b, y, outer, n, inner = arrange(a, axes, keepdim, a.dtype)
    S.logsumexp(y, b, outer, n, inner)
    return record(y, logsumexp_backward, (x,), (x if b is x.array else b, y, outer, n, inner))


def logsumexp_backward(node, dy):
    b, y, outer, n, inner = node.saved
    dx = memory.empty_like(b)
    S.logsumexp_backward(dx, memory.as_like(dy, y), b, y, outer, n, inner)
    return (dx,)
