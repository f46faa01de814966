"""Running reductions along one axis: y_j = x_0 ∘ x_1 ∘ ... ∘ x_j; and differences, which undo the sum.

cumsum    dx = Σ_{i≥j} dy_i
cumprod   dx_j = (Π_{i<j} x_i) S_j,  S_j = dy_j + x_{j+1} S_{j+1}
cummax    dx = dy added at the index that holds the maximum
"""

from collections import namedtuple

import numpy as np

from .. import memory, registry
from ..autograd import record, watched
from ..tensor import Tensor, wrap
from ._axes import axis_of, in_dtype, split
from .compare import logical_xor
from .elementwise import add, mul, sub
from .join import cat
from .parts import narrow
from .promotion import as_tensor
from .reduce import select_backward, sum
from .shape import clone, reshape

K = registry.family("reduce")

CummaxResult = namedtuple("cummax", ["values", "indices"])
CumminResult = namedtuple("cummin", ["values", "indices"])


def cumsum(input, dim=None, dtype=None, axis=None) -> Tensor:
    """Running sum along dim, accumulated in float64. Integers and bools give int64; dtype converts before."""
    if axis is not None:
        dim = axis
    input = as_tensor("cumsum", input)
    a, y, outer, n, inner = _prepare("cumsum", input, dim, dtype, True)
    K.cumsum(y, a, outer, n, inner, False)
    return record(y, cumsum_backward, (input,), (outer, n, inner, input.array.dtype))


def cumsum_backward(node, dy):
    outer, n, inner, dtype = node.saved
    dx = memory.empty(dy.shape, dy.dtype)
    K.cumsum(dx, memory.contiguous(dy), outer, n, inner, True)
    return (dx.astype(dtype, copy=False),)


def cumprod(input, dim=None, dtype=None, axis=None) -> Tensor:
    """Running product along dim, accumulated in float64. Arguments as for :func:`cumsum`."""
    if axis is not None:
        dim = axis
    input = as_tensor("cumprod", input)
    a, y, outer, n, inner = _prepare("cumprod", input, dim, dtype, True)
    K.cumprod(y, a, outer, n, inner)
    return record(y, cumprod_backward, (input,), (input if a is input.array else a, outer, n, inner, input.array.dtype))


def cumprod_backward(node, dy):
    a, outer, n, inner, dtype = node.saved
    dx = memory.empty(a.shape, a.dtype)
    K.cumprod_backward(dx, memory.contiguous(dy), a, outer, n, inner)
    return (dx.astype(dtype, copy=False),)


def cummax(input, dim=None, axis=None) -> CummaxResult:
    """(values, indices) of the running maximum along dim: the last of equal ones; NaN stays."""
    if axis is not None:
        dim = axis
    input = as_tensor("cummax", input)
    return CummaxResult(*_cumulative("cummax", K.cummax, input, dim))


def cummin(input, dim=None, axis=None) -> CumminResult:
    """(values, indices) of the running minimum along dim: the last of equal ones; NaN stays."""
    if axis is not None:
        dim = axis
    input = as_tensor("cummin", input)
    return CumminResult(*_cumulative("cummin", K.cummin, input, dim))


def logcumsumexp(input, dim=None, axis=None) -> Tensor:
    """log of the running sum of exp(input) along dim, without overflow; of input's shape. RuntimeError unless it is floating."""
    if axis is not None:
        dim = axis
    input = as_tensor("logcumsumexp", input)
    if input.array.dtype.kind != "f":
        raise RuntimeError(f"logcumsumexp: wants a floating tensor, got {input.array.dtype}")
    dim = axis_of("logcumsumexp", dim, input.array.ndim)
    with np.errstate(invalid="ignore"):
        y = np.logaddexp.accumulate(input.array, axis=dim) if input.array.ndim else input.array.copy()
    return record(y, logcumsumexp_backward, (input,), (input, y, dim))


def logcumsumexp_backward(node, dy):
    x, y, dim = node.saved
    if not dy.ndim:
        return (dy,)

    def later(part):  # e^x_j Σ_i≥j part_i e^-y_i, as logarithms
        terms = np.flip(np.where((part > 0) & (y != -np.inf), np.log(part) - y, -np.inf), dim)
        return np.exp(np.flip(np.logaddexp.accumulate(terms, axis=dim), dim) + x)

    with np.errstate(all="ignore"):
        return ((later(np.maximum(dy, 0)) - later(np.maximum(-dy, 0))).astype(dy.dtype, copy=False),)


def diff(input, n=1, dim=-1, prepend=None, append=None, axis=None) -> Tensor:
    """n times over, each element along dim but the first, less the one before it. Bools are compared.

    prepend, append: tensors that are first joined on along dim. n = 0: a copy of input alone.
    RuntimeError for n < 0 or a 0-d input.
    """
    if axis is not None:
        dim = axis
    input = as_tensor("diff", input)
    if input.array.ndim == 0:
        raise RuntimeError("diff: x must have at least 1 dimension, got a 0-d tensor")
    if not hasattr(n, "__index__"):
        raise TypeError(f"diff: n must be an int, got {n!r}")
    if n < 0:
        raise RuntimeError(f"diff: n must be at least 0, got {n}")
    dim = axis_of("diff", dim, input.array.ndim)
    if n == 0:
        return clone(input)
    parts = [t for t in (prepend, input, append) if t is not None]
    if len(parts) > 1:
        input = cat(parts, dim)
    minus = logical_xor if input.array.dtype.kind == "b" else sub
    for _ in range(n):
        rows = input.array.shape[dim]
        input = minus(narrow(input, dim, min(rows, 1), max(rows - 1, 0)), narrow(input, dim, 0, max(rows - 1, 0)))
    return input


def trapezoid(y, x=None, *, dx=None, dim=-1) -> Tensor:
    """The integral along dim by the trapezoidal rule: Σ (y_i + y_i+1) / 2 (x_i+1 - x_i). 0 for fewer than two samples.

    y: at least 1-d; x: where the samples are, 1-d of dim's size, or broadcast against y; dx: their distance
    instead (1 by default). Raises RuntimeError for both, for a 0-d y, for bools and for shapes that do not fit.
    """
    return _integral("trapezoid", sum, y, x, dx, dim)


def cumulative_trapezoid(y, x=None, *, dx=None, dim=-1) -> Tensor:
    """The integrals up to each sample but the first; arguments as trapezoid's."""
    return _integral("cumulative_trapezoid", cumsum, y, x, dx, dim)


def _integral(op, total, y, x, dx, dim):
    y = as_tensor(op, y, "y")
    if not y.array.ndim:
        raise RuntimeError(f"{op}: y must have at least 1 dimension, got a 0-d tensor")
    if x is not None and dx is not None:
        raise RuntimeError(f"{op}: x and dx say the same thing; pass one of them")
    if y.array.dtype.kind == "b":
        raise RuntimeError(f"{op}: y must be of numbers, got bool")
    if y.array.dtype.kind in "iu":
        y = wrap(y.array.astype(np.int64))  # a sum of two of them must not wrap around
    dim = axis_of(op, dim, y.array.ndim)
    n = y.array.shape[dim]
    if x is not None:
        x = as_tensor(op, x, "x")
        if x.array.ndim == 1:
            if x.array.shape != (n,):
                raise RuntimeError(f"{op}: x has {x.array.size} points, y {n} samples along dim {dim}")
            x = reshape(x, (n,) + (1,) * (y.array.ndim - 1 - dim))
        axis = dim - y.array.ndim  # from the end: x may have fewer axes
        if not -axis <= x.array.ndim <= y.array.ndim or x.array.shape[axis] != n:
            raise RuntimeError(f"{op}: x of shape {x.array.shape} does not fit y of shape {y.array.shape} along dim {dim}")
    pairs = max(n - 1, 0)
    both = add(narrow(y, dim, 0, pairs), narrow(y, dim, n - pairs, pairs))
    if x is None:
        return mul(total(both, dim), 0.5 if dx is None else 0.5 * dx)
    step = sub(narrow(x, axis, n - pairs, pairs), narrow(x, axis, 0, pairs))
    return mul(total(mul(both, step), axis), 0.5)


trapz = trapezoid


def _cumulative(op, kernel, x, dim):
    a, y, outer, n, inner = _prepare(op, x, dim, None, False)
    index = memory.empty(a.shape, np.int64)
    kernel(y, index, a, outer, n, inner)
    places = wrap(index)
    return watched(record(y, select_backward, (x,), (a, y, index, outer, n, n, inner)), places), places


def _prepare(op, x, dim, dtype, widen):
    """(a, y, outer, n, inner): x in C order and an empty result of its shape."""
    a = x.array if dtype is None else in_dtype(op, x.array, dtype)
    axis = axis_of(op, dim, a.ndim)
    a = memory.contiguous(a)
    outer, n, inner = split(a.shape, (axis,))
    if widen and dtype is None and a.dtype.kind in "iub":
        return a, memory.empty(a.shape, np.int64), outer, n, inner
    return a, memory.empty(a.shape, a.dtype), outer, n, inner
