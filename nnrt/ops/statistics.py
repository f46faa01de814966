"""Statistics along axes: variances, norms, sums that leave out NaN, log-sum-exp.

dim and keepdim are as in reduce, whose kernels these are. NaN propagates unless the name says otherwise.
"""

import math

import numpy as np

from .. import memory, registry
from ..autograd import record, record_many
from ..dtypes import check_whole
from ..tensor import Tensor, wrap
from . import elementwise, shape, ternary
from ._axes import arrange, axes_of, axis_of, expand, in_dtype, numpys
from .promotion import as_float, as_tensor
from .reduce import sum_array

K = registry.family("reduce")
S = registry.family("softmax")


def nansum(input, dim=None, keepdim=False, dtype=None, axis=None, keepdims=None) -> Tensor:
    """Σ over dim of what is not NaN."""
    if axis is not None or keepdims is not None:
        dim, keepdim = numpys(dim, keepdim, axis, keepdims)
    input = as_tensor("nansum", input)
    a = input.array if dtype is None else in_dtype("nansum", input.array, dtype)
    axes = axes_of("nansum", dim, a.ndim)
    valid = a == a
    y = sum_array(np.where(valid, a, a.dtype.type(0)), axes, keepdim)
    y = y if dtype is None else in_dtype("nansum", y, dtype)
    return record(y, nansum_backward, (input,), (valid, axes, keepdim, None, input.array.dtype))


def nansum_backward(node, dy):
    valid, axes, keepdim, count, dtype = node.saved
    if count is not None:
        with np.errstate(all="ignore"):
            dy = dy / count
    return ((expand(np.asarray(dy), valid.shape, axes, keepdim) * valid).astype(dtype, copy=False),)


def nanmean(input, dim=None, keepdim=False, dtype=None, axis=None, keepdims=None) -> Tensor:
    """The mean over dim of what is not NaN; NaN where there is nothing else."""
    if axis is not None or keepdims is not None:
        dim, keepdim = numpys(dim, keepdim, axis, keepdims)
    input = as_tensor("nanmean", input)
    a = input.array if dtype is None else in_dtype("nanmean", input.array, dtype)
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
    return record(y, nansum_backward, (input,), (valid, axes, keepdim, count, input.array.dtype))


def cov(input, *, correction=1, fweights=None, aweights=None) -> Tensor:
    """The covariances of input's rows [variables, observations], or the variance of a vector of observations.

    fweights: how often each observation counts (integers); aweights: how much it weighs.
    """
    x = as_float("cov", input)
    if x.ndim > 2:
        raise RuntimeError(f"cov: wants at most 2 dimensions, got shape {x.shape}")
    rows = shape.atleast_2d(x)
    n = rows.shape[1]
    weights, total, lost = None, n, correction
    for name, w in (("fweights", fweights), ("aweights", aweights)):
        if w is None:
            continue
        w = as_tensor("cov", w, name)
        if w.shape != (n,) or (w.dtype.kind == "f") != (name == "aweights"):
            kind = "floating" if name == "aweights" else "integer"
            raise RuntimeError(f"cov: {name} must be {n} {kind} numbers, got {w.dtype} of shape {w.shape}")
        weights = w if weights is None else weights * w
    if weights is not None:
        total = float(weights.array.sum())
        if total == 0:
            raise RuntimeError("cov: the weights' sum is 0")
        if aweights is not None:
            lost = correction * float((weights.array * as_tensor("cov", aweights, "aweights").array).sum()) / total
        weights = weights.to(x.dtype)
    weighted = rows if weights is None else rows * weights
    centred = rows - weighted.sum(1, keepdim=True) / total
    y = centred @ (centred if weights is None else centred * weights).T
    return (y / max(total - lost, 0)).squeeze()


def corrcoef(input) -> Tensor:
    """The correlations of input's rows [variables, observations]; of a vector the number 1."""
    c = cov(input)
    if c.ndim == 0:
        return c / c
    spread = c.diagonal().sqrt()
    return (c / spread[:, None] / spread).clamp(-1, 1)


def count_nonzero(input, dim=None, axis=None) -> Tensor:
    """How many elements over dim (an axis, several, or None for all) are not zero (NaN is not), int64."""
    if axis is not None:
        dim = axis
    input = as_tensor("count_nonzero", input)
    a = input.array
    if dim is None:
        return wrap(np.array(np.count_nonzero(a)))
    return wrap(sum_array(np.asarray(a != 0), axes_of("count_nonzero", dim, a.ndim)))


# ---- moments ----


def var(input, dim=None, unbiased=None, keepdim=False, axis=None, keepdims=None, *, correction=None) -> Tensor:
    """Σ (input - mean)² / max(0, n - correction) over dim: an axis, several, or None for all; keepdim leaves size 1.

    correction is 1 by default, 0 with unbiased=False. Two passes, so a large common offset costs
    no accuracy. RuntimeError for integers.
    """
    if axis is not None or keepdims is not None:
        dim, keepdim = numpys(dim, keepdim, axis, keepdims)
    input = as_tensor("var", input)
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    return _moment("var", input, dim, unbiased, keepdim, correction, False, False)


def std(input, dim=None, unbiased=None, keepdim=False, axis=None, keepdims=None, *, correction=None) -> Tensor:
    """The square root of :func:`var`, whose dim, unbiased, keepdim and correction it takes; gradient 0 where it is 0."""
    if axis is not None or keepdims is not None:
        dim, keepdim = numpys(dim, keepdim, axis, keepdims)
    input = as_tensor("std", input)
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    return _moment("std", input, dim, unbiased, keepdim, correction, True, False)


def var_mean(input, dim=None, unbiased=None, keepdim=False, axis=None, keepdims=None, *, correction=None) -> tuple[Tensor, ...]:
    """(var, mean) over dim; unbiased, keepdim and correction as :func:`var`'s."""
    if axis is not None or keepdims is not None:
        dim, keepdim = numpys(dim, keepdim, axis, keepdims)
    input = as_tensor("var_mean", input)
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    return _moment("var_mean", input, dim, unbiased, keepdim, correction, False, True)


def std_mean(input, dim=None, unbiased=None, keepdim=False, axis=None, keepdims=None, *, correction=None) -> tuple[Tensor, ...]:
    """(std, mean) over dim; unbiased, keepdim and correction as :func:`var`'s."""
    if axis is not None or keepdims is not None:
        dim, keepdim = numpys(dim, keepdim, axis, keepdims)
    input = as_tensor("std_mean", input)
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    return _moment("std_mean", input, dim, unbiased, keepdim, correction, True, True)


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
        if a.dtype == np.float32:
            _beyond_squares(y, b, outer, n, inner, divisor)
    saved = (x if b is a else b, m, y if root else None, outer, n, inner, divisor, axes, keepdim)
    if with_mean:
        return record_many((y, m), moment_backward, (x,), saved)
    return record(y, moment_backward, (x,), saved)


def _beyond_squares(y, x, outer, n, inner, divisor):
    """Deviations y of float32 whose squares left its range, although they did not: those again, in float64."""
    if y.size == 0:
        return
    least = most = y
    if y.size > 1:
        least, most = memory.empty((), y.dtype), memory.empty((), y.dtype)
        K.amin(least, y, 1, y.size, 1)
        K.amax(most, y, 1, y.size, 1)
    if 1e-15 < least.item() and most.item() < np.inf:
        return
    flat = y.ravel(order="K")
    odd = np.flatnonzero((flat <= 1e-15) | (flat == np.inf))
    rows = x.ravel(order="K").reshape(outer, n, inner)[odd // inner, :, odd % inner].astype(np.float64)
    wide = memory.empty((len(odd),), np.float64)
    K.var(wide, memory.empty_like(wide), rows, len(odd), n, 1, divisor)
    with np.errstate(over="ignore"):
        flat[odd] = np.sqrt(wide)


def moment_backward(node, dy, dmean=None):
    b, m, deviation, outer, n, inner, divisor, axes, keepdim = node.saved
    dx = None
    if dy is not None:
        if deviation is not None:
            with np.errstate(all="ignore"):
                dy = np.where(deviation == 0, 0, dy / deviation * 0.5).astype(m.dtype, copy=False)
        dx = memory.empty_like(b)
        K.var_backward(dx, memory.as_like(dy, m), b, m, outer, n, inner, divisor)
    if dmean is not None:
        dm = expand(np.asarray(dmean * (m.dtype.type(1 / n) if n else np.nan)), b.shape, axes, keepdim)
        dx = dm if dx is None else np.add(dx, dm, out=dx)
    return (dx,)


# ---- norms ----


def norm(input, p="fro", dim=None, keepdim=False, dtype=None) -> Tensor:
    """(Σ |input|^p)^(1/p) over dim. p: "fro" (2), "nuc" (sum of singular values), a number, inf, -inf or 0.

    dtype converts before. RuntimeError for another string and for integers.
    """
    input = as_tensor("norm", input)
    if p is None or p == "fro":
        return vector_norm(input, 2, dim, keepdim, dtype)
    if p == "nuc":
        from .linalg import matrix_norm  # imported when it is used

        return matrix_norm(input, "nuc", axes_of("norm", dim, input.array.ndim), keepdim, dtype=dtype)
    if isinstance(p, str):
        raise RuntimeError(f"norm: p must be a number, 'fro' or 'nuc', got {p!r}")
    return vector_norm(input, p, dim, keepdim, dtype)


def vector_norm(x, ord=2, dim=None, keepdim=False, dtype=None) -> Tensor:
    """(Σ |x|^ord)^(1/ord) over dim; ord 0 counts what is not 0, ±inf takes the largest or smallest |x|.

    The gradient at 0 is 0. RuntimeError for integers, and for ord = ±inf over an empty axis.
    """
    x = as_tensor("vector_norm", x, "x")
    a = x.array if dtype is None else in_dtype("vector_norm", x.array, dtype)
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


def dist(input, other, p=2) -> Tensor:
    """|input - other|_p over all elements, a 0-d tensor. Shapes broadcast. RuntimeError for integers."""
    difference = elementwise.sub(as_tensor("dist", input), other)
    if difference.array.dtype.kind != "f":
        raise RuntimeError(f"dist: wants floating tensors, got {difference.array.dtype}")
    return vector_norm(difference, p)


def renorm(input, p, dim, maxnorm) -> Tensor:
    """input with every slice along dim whose p-norm is above maxnorm scaled down to it; the others are as they were.

    input: at least 2-d, floating; p > 0; maxnorm >= 0. RuntimeError otherwise.
    """
    input = as_tensor("renorm", input)
    a = input.array
    if a.ndim < 2 or a.dtype.kind != "f":
        raise RuntimeError(f"renorm: input must be floating with at least 2 dimensions, got {a.dtype} of shape {a.shape}")
    if not p > 0 or not maxnorm >= 0:
        raise RuntimeError(f"renorm: wants p > 0 and maxnorm >= 0, got p={p} and maxnorm={maxnorm}")
    dim = axis_of("renorm", dim, a.ndim)
    if not a.size:
        return shape.clone(input)
    norms = vector_norm(input, p, [i for i in range(a.ndim) if i != dim], True)
    scale = elementwise.div(maxnorm, elementwise.add(norms, 1e-7))  # torch's
    return elementwise.mul(input, ternary.where(wrap(norms.array > maxnorm), scale, 1.0))


def norm_backward(node, dy):
    b, y, outer, n, inner, p, dtype = node.saved
    if p == 0:
        return (None,)  # a count does not move
    dx = memory.empty_like(b)
    K.norm_backward(dx, memory.as_like(dy, y), b, y, outer, n, inner, p)
    return (dx.astype(dtype, copy=False),)


def logsumexp(input, dim=None, keepdim=False, axis=None, keepdims=None) -> Tensor:
    """log Σ exp(input) over dim (an axis or several; keepdim leaves size 1), without overflow. Integers are taken as float32."""
    if axis is not None or keepdims is not None:
        dim, keepdim = numpys(dim, keepdim, axis, keepdims)
    input = as_tensor("logsumexp", input)
    a = input.array if input.array.dtype.kind == "f" else input.array.astype(np.float32)
    check_whole("logsumexp", a.dtype)
    axes = axes_of("logsumexp", dim, a.ndim)
    b, y, outer, n, inner = arrange(a, axes, keepdim, a.dtype)
    S.logsumexp(y, b, outer, n, inner)
    return record(y, logsumexp_backward, (input,), (input if b is input.array else b, y, outer, n, inner))


def logsumexp_backward(node, dy):
    b, y, outer, n, inner = node.saved
    dx = memory.empty_like(b)
    S.logsumexp_backward(dx, memory.as_like(dy, y), b, y, outer, n, inner)
    return (dx,)
