"""Reductions along axes: sums, products, extremes; statistics.py has moments and norms.

Every op takes dim as an int, a sequence of ints, or None for all axes (where torch allows it),
negative counted from the end, and keepdim, which leaves size 1 in the place of the reduced axes.
NaN propagates unless the name says otherwise.

Legend: the kernels read memory as [outer, n, inner] and reduce n; see _axes.arrange.
"""

from collections import namedtuple

import numpy as np

from .. import memory, registry
from ..autograd import record, watched
from ..tensor import Tensor, wrap
from ._axes import arrange, axes_of, axis_of, expand, in_dtype, numpys
from .promotion import INT64, as_tensor, empty_as

K = registry.family("reduce")
S = registry.family("softmax")

MaxResult = namedtuple("max", ["values", "indices"])
MinResult = namedtuple("min", ["values", "indices"])
AminmaxResult = namedtuple("aminmax", ["min", "max"])


# ---- sum and mean ----


def sum(input, dim=None, keepdim=False, dtype=None, axis=None, keepdims=None) -> Tensor:
    """Σ over dim: an axis, several, or None for all; keepdim leaves them with size 1.

    Integers and bools are summed in int64; dtype converts before summing.
    float32 is accumulated in float32 over short runs and in float64 over those, in an order that
    depends on the shape alone.
    """
    if axis is not None or keepdims is not None:
        dim, keepdim = numpys(dim, keepdim, axis, keepdims)
    input = as_tensor("sum", input)
    a = input.array if dtype is None else in_dtype("sum", input.array, dtype)
    axes, b, y, outer, n, inner = _arranged("sum", a, dim, keepdim, np.int64 if a.dtype.kind in "iub" else a.dtype)
    K.sum(y, b, outer, n, inner, 1)
    if dtype is not None and y.dtype != a.dtype:
        y = np.asarray(in_dtype("sum", y, a.dtype))
    return record(y, sum_backward, (input,), (a.shape, axes, keepdim, 1, input.array.dtype))


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


def mean(input, dim=None, keepdim=False, dtype=None, axis=None, keepdims=None) -> Tensor:
    """Σ over dim / n; NaN where n is 0. dim, keepdim and dtype as :func:`sum`'s; RuntimeError for integers without dtype."""
    if axis is not None or keepdims is not None:
        dim, keepdim = numpys(dim, keepdim, axis, keepdims)
    input = as_tensor("mean", input)
    a = input.array if dtype is None else in_dtype("mean", input.array, dtype)
    if a.dtype.kind != "f":
        raise RuntimeError(
            f"mean: wants a floating tensor, got {a.dtype}; pass dtype=nnrt.float32 to convert"
        )
    axes, b, y, outer, n, inner = _arranged("mean", a, dim, keepdim, a.dtype)
    K.sum(y, b, outer, n, inner, n)
    return record(y, sum_backward, (input,), (a.shape, axes, keepdim, n, input.array.dtype))


# ---- product ----


def prod(input, dim=None, keepdim=False, dtype=None, axis=None, keepdims=None) -> Tensor:
    """Π over dim: one axis, or None for all; keepdim leaves size 1. Integers and bools in int64; dtype converts before."""
    if axis is not None or keepdims is not None:
        dim, keepdim = numpys(dim, keepdim, axis, keepdims)
    input = as_tensor("prod", input)
    a = input.array if dtype is None else in_dtype("prod", input.array, dtype)
    axes = axes_of("prod", dim if dim is None else axis_of("prod", dim, a.ndim), a.ndim)
    b, y, outer, n, inner = arrange(a, axes, keepdim, np.int64 if a.dtype.kind in "iub" else a.dtype)
    K.prod(y, b, outer, n, inner)
    y = y if dtype is None else in_dtype("prod", y, dtype)
    return watched(record(y, prod_backward, (input,), (b, y, outer, n, inner, input.array.dtype)), input)


def prod_backward(node, dy):
    b, y, outer, n, inner, dtype = node.saved
    dx = memory.empty_like(b)
    K.prod_backward(dx, memory.as_like(dy, y), b, outer, n, inner)
    return (dx.astype(dtype, copy=False),)


# ---- extremes ----


def max(input, dim=None, keepdim=False, axis=None, keepdims=None, *, other=None):
    """max(input): the largest element. max(input, dim): (values, indices) along an axis, a namedtuple.
    max(input, other): the larger of two tensors, element by element.

    keepdim leaves the axis with size 1. indices are those of the first largest element. The gradient of max(input) is
    shared evenly between equal elements, that of max(input, dim) goes to the index. RuntimeError/IndexError when empty.
    """
    if axis is not None or keepdims is not None:
        dim, keepdim = numpys(dim, keepdim, axis, keepdims)
    input = as_tensor("max", input)
    if other is not None or isinstance(dim, Tensor):
        from .binary import maximum

        return maximum(input, dim if other is None else other)
    if dim is None:
        return _extreme("max", K.amax, input, None, False)
    return MaxResult(*_extreme_at("max", K.max_at, input, dim, keepdim))


def min(input, dim=None, keepdim=False, axis=None, keepdims=None, *, other=None):
    """As :func:`max`, for the smallest."""
    if axis is not None or keepdims is not None:
        dim, keepdim = numpys(dim, keepdim, axis, keepdims)
    input = as_tensor("min", input)
    if other is not None or isinstance(dim, Tensor):
        from .binary import minimum

        return minimum(input, dim if other is None else other)
    if dim is None:
        return _extreme("min", K.amin, input, None, False)
    return MinResult(*_extreme_at("min", K.min_at, input, dim, keepdim))


def amax(input, dim=None, keepdim=False, axis=None, keepdims=None) -> Tensor:
    """The largest element over dim: an axis, several, or None for all; keepdim leaves them with size 1.

    The gradient is shared evenly between equal elements, and between NaNs if it is NaN.
    """
    if axis is not None or keepdims is not None:
        dim, keepdim = numpys(dim, keepdim, axis, keepdims)
    input = as_tensor("amax", input)
    return _extreme("amax", K.amax, input, dim, keepdim)


def amin(input, dim=None, keepdim=False, axis=None, keepdims=None) -> Tensor:
    """The smallest element over dim; dim, keepdim and the gradient as :func:`amax`'s."""
    if axis is not None or keepdims is not None:
        dim, keepdim = numpys(dim, keepdim, axis, keepdims)
    input = as_tensor("amin", input)
    return _extreme("amin", K.amin, input, dim, keepdim)


def aminmax(input, *, dim=None, keepdim=False, axis=None, keepdims=None) -> AminmaxResult:
    """(amin, amax) over dim, a namedtuple (min, max); dim and keepdim as :func:`amax`'s."""
    if axis is not None or keepdims is not None:
        dim, keepdim = numpys(dim, keepdim, axis, keepdims)
    input = as_tensor("aminmax", input)
    return AminmaxResult(
        _extreme("aminmax", K.amin, input, dim, keepdim), _extreme("aminmax", K.amax, input, dim, keepdim)
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
    axis = axis_of(op, dim, a.ndim)
    if a.size == 0:
        check_not_empty(op, a.shape, axes_of(op, axis, a.ndim), dim)
    _, b, y, outer, n, inner = _arranged(op, a, axis, keepdim, a.dtype)
    index = empty_as(y, INT64)
    kernel(y, index, b, outer, n, inner)
    places = wrap(index)
    return watched(record(y, select_backward, (x,), (b, y, index, outer, n, 1, inner)), places), places


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


def argmax(input, dim=None, keepdim=False, axis=None, keepdims=None) -> Tensor:
    """The index of the first largest element along dim, or (dim None) in the flattened tensor; int64. keepdim: with size 1."""
    if axis is not None or keepdims is not None:
        dim, keepdim = numpys(dim, keepdim, axis, keepdims)
    input = as_tensor("argmax", input)
    return _arg("argmax", K.max_at, input, dim, keepdim)


def argmin(input, dim=None, keepdim=False, axis=None, keepdims=None) -> Tensor:
    """The index of the first smallest element along dim, or (dim None) in the flattened tensor; int64. keepdim: with size 1."""
    if axis is not None or keepdims is not None:
        dim, keepdim = numpys(dim, keepdim, axis, keepdims)
    input = as_tensor("argmin", input)
    return _arg("argmin", K.min_at, input, dim, keepdim)


def _arg(op, kernel, x, dim, keepdim):
    a = x.array
    if dim is None:
        a = memory.contiguous(a)
    else:
        dim = axis_of(op, dim, a.ndim)
    if a.size == 0:
        if dim is None:
            raise IndexError(f"{op}: a tensor of shape {a.shape} has no element")
        check_not_empty(op, a.shape, axes_of(op, dim, a.ndim), dim)
    _, b, y, outer, n, inner = _arranged(op, a, dim, keepdim, a.dtype)
    index = empty_as(y, INT64)
    kernel(y, index, b, outer, n, inner)
    return wrap(index)


# ---- truth ----


def all(input, dim=None, keepdim=False, axis=None, keepdims=None) -> Tensor:
    """Whether every element over dim is not zero; bool (uint8 for uint8).

    dim: an axis, several, or None for all; keepdim leaves them with size 1.
    """
    if axis is not None or keepdims is not None:
        dim, keepdim = numpys(dim, keepdim, axis, keepdims)
    input = as_tensor("all", input)
    return _truth("all", np.logical_and, input, dim, keepdim)


def any(input, dim=None, keepdim=False, axis=None, keepdims=None) -> Tensor:
    """Whether some element over dim is not zero; bool (uint8 for uint8).

    dim: an axis, several, or None for all; keepdim leaves them with size 1.
    """
    if axis is not None or keepdims is not None:
        dim, keepdim = numpys(dim, keepdim, axis, keepdims)
    input = as_tensor("any", input)
    return _truth("any", np.logical_or, input, dim, keepdim)


def _truth(op, ufunc, x, dim, keepdim):
    a = x.array
    axes = axes_of(op, dim, a.ndim)
    if isinstance(dim, (tuple, list)) and not dim:
        axes = ()
    y = np.asarray(ufunc.reduce(a, axis=axes, keepdims=bool(keepdim), dtype=bool))
    return wrap(y.astype(np.uint8) if a.dtype == np.uint8 else y)
