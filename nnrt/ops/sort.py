"""Order statistics: sorting, selection, quantiles, sets and histograms.

numpy sorts; this module chooses, checks and differentiates. NaN counts as larger than every
number, as in torch. The gradient of whatever picks elements goes to the elements picked.

Legend: dim is moved to the end for the work, [..., n], and back for the result.
"""

from collections import namedtuple

import numpy as np

from .. import memory, registry
from ..autograd import record, watched
from ..tensor import Tensor, wrap
from ._axes import axis_of, from_last, numpys, to_last
from .promotion import as_tensor, check_tensors
from .reduce import check_not_empty, extreme_backward

K = registry.family("reduce")
E = registry.family("elementwise")
I = registry.family("index")

SortResult = namedtuple("sort", ["values", "indices"])
TopkResult = namedtuple("topk", ["values", "indices"])
KthvalueResult = namedtuple("kthvalue", ["values", "indices"])
MedianResult = namedtuple("median", ["values", "indices"])
NanmedianResult = namedtuple("nanmedian", ["values", "indices"])
ModeResult = namedtuple("mode", ["values", "indices"])


# ---- picking elements along an axis ----


def _last(x, axis):
    """x's array as [..., n] in C order; 0-d tensors have n = 1."""
    a = x.array
    return a.reshape(1) if a.ndim == 0 else memory.contiguous(to_last(a, axis))


def _along(a, at):
    """a's elements at positions `at`: [..., n] and [..., m], both in C order, give [..., m]."""
    out = memory.empty(at.shape, a.dtype)
    if out.size:
        n, m = a.shape[-1], at.shape[-1]
        I.gather(out.reshape(-1, m, 1), a.reshape(-1, n, 1), at.reshape(-1, m, 1))
    return out


def _pick(x, a, axis, at, keepdim=True):
    """(values, indices) of a, x as [..., n], at positions `at`, [..., m], back at the axis; on the tape."""
    at = memory.contiguous(at)
    values = _along(a, at)
    shape = (a.shape, at.shape)
    if x.array.ndim == 0:
        values, out = values.reshape(()), at.reshape(())
    elif not keepdim:
        values, out = values[..., 0], at[..., 0]
    else:
        values, out = from_last(values, axis), from_last(at, axis)
    values, out = memory.contiguous(values), memory.contiguous(out)
    places = wrap(out)
    return watched(record(values, pick_backward, (x,), (shape, at, axis, x.array.ndim, keepdim)), places), places


def pick_backward(node, dy):
    (shape, picked), at, axis, ndim, keepdim = node.saved
    if ndim and keepdim:
        dy = to_last(dy, axis)
    n, m = shape[-1], picked[-1]
    rows = at.size // m if m else 0
    dx = memory.empty(shape, dy.dtype)
    if rows == 0:
        dx.fill(0)
    else:
        K.select_backward(dx, memory.contiguous(dy), memory.contiguous(at), rows, n, m, 1)
    return (from_last(dx, axis) if ndim else dx.reshape(()),)


def _order(a, descending, stable):
    """Sorting positions along the last axis; NaN counts as the largest."""
    if not descending:
        return a.argsort(-1, "stable" if stable else None)
    return (a.shape[-1] - 1 - memory.contiguous(a[..., ::-1]).argsort(-1, "stable"))[..., ::-1]


def sort(input, dim=-1, descending=False, stable=False, axis=None) -> SortResult:
    """(values, indices) in rising order along dim, descending: in falling order; NaN is the largest.

    stable: equal elements keep their order.
    """
    if axis is not None:
        dim = axis
    input = as_tensor("sort", input)
    axis = axis_of("sort", dim, input.array.ndim)
    a = _last(input, axis)
    return SortResult(*_pick(input, a, axis, _order(a, descending, stable)))


def msort(input) -> Tensor:
    """The values in rising order along the first axis."""
    input = as_tensor("msort", input)
    return sort(input, 0).values


def argsort(input, dim=-1, descending=False, stable=False, axis=None) -> Tensor:
    """The indices, int64, that sort along dim; descending and stable as :func:`sort`'s."""
    if axis is not None:
        dim = axis
    input = as_tensor("argsort", input)
    axis = axis_of("argsort", dim, input.array.ndim)
    at = _order(_last(input, axis), descending, stable)
    return wrap(at.reshape(()) if input.array.ndim == 0 else memory.contiguous(from_last(at, axis)))


def topk(input, k, dim=-1, largest=True, sorted=True, axis=None) -> TopkResult:
    """(values, indices) of the k largest (smallest) elements along dim, in falling (rising) order.

    largest=False: of the smallest. sorted changes nothing. RuntimeError when k is not in [0, n].
    """
    if axis is not None:
        dim = axis
    input = as_tensor("topk", input)
    axis = axis_of("topk", dim, input.array.ndim)
    a = _last(input, axis)
    n = a.shape[-1]
    if not 0 <= k <= n or input.array.ndim == k == 0:
        raise RuntimeError(f"topk: k must be in [0, {n}] for dim {dim} of shape {input.array.shape}, got {k}")
    return TopkResult(*_pick(input, a, axis, _top(a, k, largest)))


def smallest(a, k):
    """Positions [..., k] of the k smallest along the last axis, in rising order."""
    return _top(a, k, False)


def _top(a, k, largest):
    n = a.shape[-1]
    if k == 0 or a.size == 0:
        return np.zeros((*a.shape[:-1], k), np.int64)
    if k * 4 > n or n <= 32:  # short rows take less time to sort
        return _order(a, largest, True)[..., :k]
    best = _top_of_groups(a.reshape(-1, n), k, largest)
    if best is not None:
        return best.reshape(*a.shape[:-1], k)
    part = a.argpartition(n - k, -1)[..., n - k :] if largest else a.argpartition(k - 1, -1)[..., :k]
    part = np.sort(part, axis=-1)
    return _along(part, memory.contiguous(_order(_along(a, part), largest, True)))


def _top_of_groups(a, k, largest):
    """Of a [rows, n]; None where n is too small for it, or where too many elements are equal.

    The k-th best of the bests of m groups of a row is no better than the row's k-th best: few others are as good.
    """
    n = a.shape[-1]
    size = min(n // max(8 * k, 64), 64)  # few groups are short rows, which take longer
    if size < 2:
        return None
    m = n // size
    best = (np.maximum if largest else np.minimum).reduce(a[:, : m * size].reshape(-1, size, m), axis=1)
    last = m - k if largest else k - 1
    bound = np.partition(best, last, -1)[:, last, None]
    out = a < bound if largest else a > bound
    found = np.flatnonzero(np.logical_not(out, out=out))  # and what is NaN
    if found.size * 4 > a.size:
        return None
    row = found // n
    ends = np.cumsum(np.bincount(row, minlength=len(a)))[:, None]
    if largest:  # backwards, so that the first of equal ones comes first
        found, row, ends = found[::-1], row[::-1], ends - 1 - np.arange(k)
    else:
        ends = ends - np.diff(ends, axis=0, prepend=0) + np.arange(k)
    return found[np.lexsort((a.reshape(-1)[found], row))[ends]] % n


def kthvalue(input, k, dim=-1, keepdim=False) -> KthvalueResult:
    """(values, indices) of the k-th smallest element along dim. keepdim leaves the axis with size 1.

    RuntimeError for k outside [1, n].
    """
    input = as_tensor("kthvalue", input)
    axis = axis_of("kthvalue", dim, input.array.ndim)
    a = _last(input, axis)
    if not 1 <= k <= a.shape[-1]:
        raise RuntimeError(
            f"kthvalue: k must be in [1, {a.shape[-1]}] for dim {dim} of shape {input.array.shape}, got {k}"
        )
    return KthvalueResult(*_pick(input, a, axis, a.argpartition(k - 1, -1)[..., k - 1 : k], keepdim))


def median(input, dim=None, keepdim=False, axis=None, keepdims=None):
    """The lower median of all elements; with dim, (values, indices) along it. NaN if there is a NaN."""
    if axis is not None or keepdims is not None:
        dim, keepdim = numpys(dim, keepdim, axis, keepdims)
    input = as_tensor("median", input)
    return _median("median", input, dim, keepdim, False)


def nanmedian(input, dim=None, keepdim=False, axis=None, keepdims=None):
    """As :func:`median`, of the elements that are not NaN."""
    if axis is not None or keepdims is not None:
        dim, keepdim = numpys(dim, keepdim, axis, keepdims)
    input = as_tensor("nanmedian", input)
    return _median("nanmedian", input, dim, keepdim, True)


def _median(op, x, dim, keepdim, skip_nan):
    if dim is None:
        flat = memory.contiguous(x.array.reshape(1, -1))
        if flat.size == 0:
            return wrap(
                np.full((), np.nan if flat.dtype.kind == "f" else np.iinfo(flat.dtype).min, flat.dtype)
            )
        if (flat != flat).any():
            y = _along(flat, memory.contiguous(_median_at(flat, skip_nan))).reshape(())
        else:
            k = (flat.size - 1) // 2
            y = np.asarray(np.partition(flat[0], k)[k])
        return watched(record(y, extreme_backward, (x,), (flat.reshape(x.array.shape), y, 1, flat.size, 1)), x)
    axis = axis_of(op, dim, x.array.ndim)
    a = _last(x, axis)
    if a.shape[-1] == 0:
        check_not_empty(op, x.array.shape, (axis,), dim)
    result = NanmedianResult if skip_nan else MedianResult
    return result(*_pick(x, a, axis, _median_at(a, skip_nan), keepdim))


def _median_at(a, skip_nan):
    """Positions [..., 1] of the lower medians."""
    n = a.shape[-1]
    k = (n - 1) // 2
    nan = a != a
    if not nan.any():
        return a.argpartition(k, -1)[..., k : k + 1]
    order = np.argsort(a, axis=-1, kind="stable")
    count = n - nan.sum(axis=-1, keepdims=True)
    if skip_nan:
        return _along(order, np.maximum(count - 1, 0) // 2)
    k = np.where(count < n, np.minimum(count, n - 1), k)  # the first NaN follows the numbers
    return _along(order, k)


def mode(input, dim=-1, keepdim=False, axis=None, keepdims=None) -> ModeResult:
    """(values, indices) of the most frequent value along dim, the smallest of several; its last index."""
    if axis is not None or keepdims is not None:
        dim, keepdim = numpys(dim, keepdim, axis, keepdims)
    input = as_tensor("mode", input)
    axis = axis_of("mode", dim, input.array.ndim)
    a = _last(input, axis)
    n = a.shape[-1]
    if n == 0:
        check_not_empty("mode", input.array.shape, (axis,), dim)
    order = np.argsort(a, axis=-1, kind="stable")
    s = _along(a, order)
    starts = np.ones(s.shape, bool)
    starts[..., 1:] = s[..., 1:] != s[..., :-1]
    first = np.maximum.accumulate(np.where(starts, np.arange(n), 0), axis=-1)
    length = np.arange(n) - first + 1
    # argmax takes the first end of a longest run, hence the smallest value.
    end = np.argmax(length, axis=-1)[..., None]
    return ModeResult(*_pick(input, a, axis, _along(order, end), keepdim))


# ---- quantiles ----


def quantile(input, q, dim=None, keepdim=False, axis=None, keepdims=None, *, interpolation="linear") -> Tensor:
    """The q-quantiles along dim (all elements when None): a leading axis for a 1-d q, none for a number.

    interpolation: linear, lower, higher, midpoint or nearest. NaN if there is a NaN. q has a gradient where it is linear.
    RuntimeError for q outside [0, 1], wrong dtypes or an empty axis.
    """
    if axis is not None or keepdims is not None:
        dim, keepdim = numpys(dim, keepdim, axis, keepdims)
    input = as_tensor("quantile", input)
    return _quantile("quantile", input, q, dim, keepdim, interpolation, False)


def nanquantile(input, q, dim=None, keepdim=False, axis=None, keepdims=None, *, interpolation="linear") -> Tensor:
    """As :func:`quantile`, of the elements that are not NaN."""
    if axis is not None or keepdims is not None:
        dim, keepdim = numpys(dim, keepdim, axis, keepdims)
    input = as_tensor("nanquantile", input)
    return _quantile("nanquantile", input, q, dim, keepdim, interpolation, True)


def _quantile(op, x, q, dim, keepdim, interpolation, skip_nan):
    a = x.array
    if a.dtype.kind != "f":
        raise RuntimeError(f"{op}: wants a floating tensor, got {a.dtype}")
    if isinstance(q, Tensor) and q.array.dtype != a.dtype:
        raise RuntimeError(f"{op}: q must have the dtype of x, {a.dtype}, got {q.array.dtype}")
    levels = q.array if isinstance(q, Tensor) else np.asarray(q, np.float64)
    if levels.ndim > 1:
        raise RuntimeError(f"{op}: q must be a number or 1-dimensional, got shape {levels.shape}")
    if not ((levels >= 0) & (levels <= 1)).all():
        raise RuntimeError(f"{op}: q must be in [0, 1], got {levels.tolist()}")
    if interpolation not in ("linear", "lower", "higher", "midpoint", "nearest"):
        raise RuntimeError(
            f"{op}: interpolation must be linear, lower, higher, midpoint or nearest, got {interpolation!r}"
        )
    if dim is None:
        rows, axis = memory.contiguous(a).reshape(1, -1), None
    else:
        axis = axis_of(op, dim, a.ndim)
        rows = _last(x, axis)
    if rows.shape[-1] == 0:
        raise RuntimeError(f"{op}: x must not be empty, got shape {a.shape}")
    shape, n = rows.shape, rows.shape[-1]
    rows = rows.reshape(-1, n)
    order = np.argsort(rows, axis=-1, kind="stable")
    count = n - (rows != rows).sum(axis=-1, keepdims=True)
    last = np.maximum(count - 1, 0) if skip_nan else n - 1
    rank = levels.reshape(1, -1).astype(np.float64) * last
    if not skip_nan:
        rank = np.where(count < n, n - 1, rank)  # NaNs sort last: any rank is that of a NaN
    low = np.floor(rank)
    if interpolation == "linear":
        weight = rank - low
    elif interpolation == "midpoint":
        weight = np.where(rank > low, 0.5, 0.0)
    elif interpolation == "lower":
        weight = np.zeros_like(rank)
    elif interpolation == "higher":
        low, weight = np.ceil(rank), np.zeros_like(rank)
    else:
        low, weight = np.round(rank), np.zeros_like(rank)
    low = low.astype(np.int64)
    lower = _along(order, low)
    upper = _along(order, np.minimum(low + (weight > 0), n - 1))
    weight = weight.astype(a.dtype)
    v, u = _along(rows, lower), _along(rows, upper)
    y = v
    if (weight > 0).any():
        y = memory.empty_like(v)
        E.lerp(y, v, u, weight)
        y = np.where(weight > 0, y, v)  # not inf - inf
    out = y.T.reshape(levels.size, *shape[:-1])
    if keepdim:
        if axis is None:
            out = out.reshape(-1, *([1] * a.ndim))
        elif a.ndim:
            out = np.expand_dims(out, axis + 1)
    elif axis is None:
        out = out[:, 0]
    out = memory.contiguous(out[0, ...] if levels.ndim == 0 else out)
    picks = np.concatenate([lower, upper], axis=-1)
    q = q if isinstance(q, Tensor) else None
    slope = None  # of each row's quantile along q
    if q is not None and q.requires_grad and interpolation == "linear":
        with np.errstate(invalid="ignore"):
            slope = np.where(weight > 0, (u - v) * last, 0)
    return record(out, quantile_backward, (x, q), (picks, weight, shape, axis, a.shape, slope, levels.shape))


def quantile_backward(node, dy):
    """y = v + w (u - v), w = q last - floor(q last)  =>  dv = dy (1 - w), du = dy w, dq = Σ dy (u - v) last"""
    picks, weight, shape, axis, x_shape, slope, q_shape = node.saved
    rows, m = weight.shape
    g = dy.reshape(m, rows).T
    dq = None
    if slope is not None:
        dq = (g * slope).sum(axis=0).astype(dy.dtype).reshape(q_shape)
    g = np.concatenate([g * (1 - weight), g * weight], axis=-1)
    dx = memory.empty((rows, shape[-1]), dy.dtype)
    K.select_backward(dx, memory.contiguous(g), memory.contiguous(picks), rows, shape[-1], 2 * m, 1)
    if axis is None or not x_shape:
        return dx.reshape(x_shape), dq
    return from_last(dx.reshape(shape), axis), dq


# ---- sets and histograms ----


def unique(input, sorted=True, return_inverse=False, return_counts=False, dim=None):
    """The distinct elements in rising order, or the distinct slices along dim.

    With return_inverse the index of each element among them follows, with return_counts how often
    each occurs. The result is always sorted; every NaN is distinct, as in torch.
    """
    input = as_tensor("unique", input)
    a = input.array
    axis = _slices_along("unique", dim, a.ndim)
    if not (return_inverse or return_counts):
        if axis is not None:
            return wrap(np.unique(a, axis=axis, equal_nan=False))
        rows = np.sort(a, axis=None)
        starts = np.ones(rows.shape, bool)
        np.not_equal(rows[1:], rows[:-1], out=starts[1:])
        return wrap(rows[starts])
    found = np.unique(a, return_inverse=True, return_counts=True, axis=axis, equal_nan=False)
    inverse = found[1].reshape(a.shape if axis is None else -1).astype(np.int64, copy=False)
    return _unique_result(found[0], inverse, found[2], return_inverse, return_counts)


def unique_consecutive(input, return_inverse=False, return_counts=False, dim=None):
    """The elements (or slices along dim) without immediate repetitions; outputs as for :func:`unique`."""
    input = as_tensor("unique_consecutive", input)
    a = input.array
    axis = _slices_along("unique_consecutive", dim, a.ndim)
    rows = a.reshape(-1) if axis is None else np.moveaxis(a, axis, 0)
    starts = np.ones(len(rows), bool)
    starts[1:] = (rows[1:] != rows[:-1]).any(axis=tuple(range(1, rows.ndim)))
    at = np.flatnonzero(starts)
    values = rows[at] if axis is None else np.take(a, at, axis=axis)
    inverse = (np.cumsum(starts) - 1).reshape(a.shape if axis is None else -1)
    counts = np.diff(np.append(at, len(rows)))
    return _unique_result(values, inverse, counts, return_inverse, return_counts)


def _slices_along(op, dim, ndim):
    if dim is not None and not ndim:
        raise IndexError(f"{op}: dim {dim} is out of range for a 0-d tensor")
    return None if dim is None else axis_of(op, dim, ndim)


def _unique_result(values, inverse, counts, return_inverse, return_counts):
    out = [wrap(values)]
    if return_inverse:
        out.append(wrap(inverse))
    if return_counts:
        out.append(wrap(counts.astype(np.int64, copy=False)))
    return out[0] if len(out) == 1 else tuple(out)


def histc(input, bins=100, min=0, max=0) -> Tensor:
    """How many elements fall in each of `bins` equal intervals of [min, max], by default the data's range.

    Elements outside and NaN are not counted. RuntimeError for bins < 1, min > max or an infinite range.
    """
    input = as_tensor("histc", input)
    a = input.array
    if bins < 1:
        raise RuntimeError(f"histc: bins must be at least 1, got {bins}")
    if a.dtype.kind != "f":
        raise RuntimeError(f"histc: wants a floating tensor, got {a.dtype}")
    low, high = float(min), float(max)
    if low == high and a.size:
        low, high = float(a.min()), float(a.max())
    if low == high:
        low, high = low - 1, high + 1
    if not (np.isfinite(low) and np.isfinite(high)):
        raise RuntimeError(f"histc: the range [{low}, {high}] is not finite")
    if low > high:
        raise RuntimeError(f"histc: min must not be above max, got [{low}, {high}]")
    inside = a[(a >= low) & (a <= high)].astype(np.float64)
    at = np.minimum((inside - low) * (bins / (high - low)), bins - 1).astype(np.int64)
    return wrap(np.bincount(at, minlength=bins).astype(a.dtype))


def bincount(input, weights=None, minlength=0) -> Tensor:
    """How often each value 0, 1, ... occurs in a 1-d tensor of integers >= 0, or the sum of its weights.

    The result has max(input) + 1 entries, at least minlength. RuntimeError for anything else.
    """
    input = as_tensor("bincount", input)
    a = input.array
    if a.ndim != 1 or a.dtype.kind not in "iu" or (a.size and a.min() < 0):
        raise RuntimeError(
            f"bincount: wants a 1-dimensional tensor of integers >= 0, got {a.dtype} of shape {a.shape}"
        )
    if minlength < 0:
        raise RuntimeError(f"bincount: minlength must be >= 0, got {minlength}")
    if weights is not None:
        check_tensors("bincount", weights=weights)
    w = None if weights is None else weights.array
    if w is not None and w.shape != a.shape:
        raise RuntimeError(f"bincount: weights must have the shape of x, {a.shape}, got {w.shape}")
    counts = np.bincount(a, weights=w, minlength=minlength)
    return wrap(counts if w is None or w.dtype != np.float32 else counts.astype(np.float32))
