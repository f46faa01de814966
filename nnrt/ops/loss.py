"""Losses of classes: cross entropy and negative log-likelihood; pointwise.py and margin.py have the others.

    cross entropy  Σ_c q_c w_c (log Σ_k exp x_k - x_c)                  (see nnrt._ref.loss)

reduction is "mean" (over the losses; for weighted classes over the weights), "sum" or "none".
Cross entropy keeps the log-sum-exp of each row only.

Legend: N batch, C classes, d1 d2 ... further axes.
"""

import numpy as np

from .. import memory, registry
from ..autograd import record, watched
from ..dtypes import check_whole
from ..tensor import Tensor
from .linear import linear
from .promotion import not_tensors

K = registry.family("loss")
R = registry.family("reduce")


def reduced(loss, reduction, op):
    """A tensor of losses reduced as told; ValueError for an unknown reduction."""
    from .reduce import mean, sum

    if reduction == "mean":
        return mean(loss)
    if reduction == "sum":
        return sum(loss)
    if reduction != "none":
        refuse_reduction(op, reduction)
    return loss


def refuse_legacy(op, size_average, reduce):
    """ValueError where either is given: torch says by reduction what it said by these two before."""
    if size_average is None and reduce is None:
        return
    meant = "none" if reduce is False else "sum" if size_average is False else "mean"
    raise ValueError(f"{op}: size_average and reduce are old names that are not taken: pass reduction={meant!r}")


def refuse_reduction(op, reduction):
    raise ValueError(f"{op}: reduction must be 'mean', 'sum' or 'none', got {reduction!r}")


def cross_entropy(
    input, target, weight=None, size_average=None, ignore_index=-100,
    reduce=None, reduction="mean", label_smoothing=0.0,
) -> Tensor:
    """Cross entropy of softmax(input) with classes or class probabilities.

    input: [C], [N, C] or [N, C, d1, ...] unnormalised; target: class indices of input's shape without C
    (integers), or probabilities of input's shape. weight: [C]. Targets equal to ignore_index count for
    nothing, neither in the sum nor in the mean's divisor, which is the sum of the targets' weights
    (for probabilities, N d1 ...). label_smoothing in [0, 1] mixes the target with the uniform
    distribution (Szegedy et al. 2016, section 7). reduction: "mean", "sum" or "none" (a loss for each
    target). size_average and reduce are torch's old names of it, and refused. ValueError or RuntimeError for shapes and dtypes,
    IndexError for a class out of range.
    """
    refuse_legacy("cross_entropy", size_average, reduce)
    try:
        a, t = input.array, target.array
    except AttributeError:
        raise not_tensors("cross_entropy", input=input, target=target) from None
    if reduction not in ("mean", "sum", "none"):
        refuse_reduction("cross_entropy", reduction)
    if not 0.0 <= label_smoothing <= 1.0:
        raise RuntimeError(f"cross_entropy: label_smoothing must be in [0, 1], got {label_smoothing}")
    if t.shape == a.shape and (t.dtype.kind == "f" or a.ndim == 0):
        if ignore_index >= 0:
            raise RuntimeError(f"cross_entropy: ignore_index={ignore_index} names a class; target holds probabilities")
        return _cross_entropy_soft(input, target, weight, reduction, label_smoothing)
    b, outer, n, inner = _classes("cross_entropy", a, t, weight)
    t = t if t.dtype == np.int64 and t.flags.c_contiguous else memory.contiguous(t.astype(np.int64))
    count = _checked("cross_entropy", t, n, ignore_index)
    w = None if weight is None else memory.contiguous(weight.array)
    loss = memory.empty(t.shape, b.dtype)
    lse = memory.empty(t.shape, np.float64)
    K.cross_entropy(loss, lse, b, t, w, outer, n, inner, ignore_index, label_smoothing)
    y, scale = _reduced_classes(loss, reduction, t, w, count, ignore_index)
    saved = (
        input if b is a else b,
        lse,
        target if t is target.array else t,
        w,
        outer,
        n,
        inner,
        ignore_index,
        label_smoothing,
        scale,
    )
    return watched(record(y, cross_entropy_backward, (input,), saved), weight)


def cross_entropy_backward(node, dy):
    b, lse, t, w, outer, n, inner, ignore_index, smoothing, scale = node.saved
    dx = memory.empty_like(b)
    K.cross_entropy_backward(
        dx, memory.contiguous(dy), b, lse, t, w, outer, n, inner, ignore_index, smoothing, scale
    )
    return (dx,)


def _cross_entropy_soft(x, target, weight, reduction, smoothing):
    a, q = x.array, target.array
    if a.ndim == 0 or a.dtype.kind != "f" or q.dtype != a.dtype:
        raise RuntimeError(
            "cross_entropy: probabilities want floating x with a class axis and target of its dtype, got "
            f"{a.dtype} and {q.dtype}, shape {a.shape}"
        )
    check_whole("cross_entropy", a.dtype)
    b, outer, n, inner = _class_layout(a)
    _check_weight("cross_entropy", weight, n, a.dtype)
    q = memory.as_like(q, b)
    w = None if weight is None else memory.contiguous(weight.array)
    shape = a.shape[:1] + a.shape[2:] if a.ndim > 1 else ()
    loss = memory.empty(shape, b.dtype)
    lse = memory.empty(shape, np.float64)
    K.cross_entropy_soft(loss, lse, b, q, w, outer, n, inner, smoothing)
    y, scale = _reduced_classes(loss, reduction, None, None, loss.size, 0)
    saved = (
        x if b is a else b,
        lse,
        target if q is target.array else q,
        w,
        outer,
        n,
        inner,
        smoothing,
        scale,
    )
    return watched(record(y, cross_entropy_soft_backward, (x, target), saved), weight)


def cross_entropy_soft_backward(node, dy):
    b, lse, q, w, outer, n, inner, smoothing, scale = node.saved
    dx = memory.empty_like(b) if node.needs(0) else None
    dq = memory.empty_like(b) if node.needs(1) else None
    K.cross_entropy_soft_backward(
        dx, dq, memory.contiguous(dy), b, lse, q, w, outer, n, inner, smoothing, scale
    )
    return dx, dq


def linear_cross_entropy(
    input, linear_weight, target, *, linear_bias=None, weight=None, reduction="mean", ignore_index=None,
    label_smoothing=0.0, options=None,
) -> Tensor:
    """cross_entropy(linear(input, linear_weight, linear_bias), target, ...) in one call.

    input: [in] or [N, in]; linear_weight: [C, in], or [C, d1, ..., in] for logits [N, C, d1, ...]; linear_bias:
    linear_weight's shape without `in`. ignore_index: None is -100, the only value for probabilities; the rest is as for
    :func:`cross_entropy`. options of torch cut the logits into pieces; here they are formed whole, and only None is taken.
    """
    op = "linear_cross_entropy"
    try:
        x, w = input.array, linear_weight.array
        shape = None if linear_bias is None else linear_bias.array.shape
    except AttributeError:
        raise not_tensors(op, input=input, linear_weight=linear_weight, linear_bias=linear_bias) from None
    if options is not None:
        raise NotImplementedError(f"{op}: the logits are formed whole: options must be None, got {options!r}")
    if x.ndim not in (1, 2) or w.ndim < 2 or x.shape[-1] != w.shape[-1] or x.ndim < min(w.ndim - 1, 2):
        raise RuntimeError(
            f"{op}: wants input (in,) with linear_weight (C, in), or (N, in) with (C, ..., in), got {x.shape} and {w.shape}"
        )
    if shape not in (None, w.shape[:-1]):
        raise RuntimeError(f"{op}: linear_bias must be of shape {w.shape[:-1]}, got {shape}")
    further = w.ndim > 2
    if further:
        linear_weight = linear_weight.reshape(-1, w.shape[-1])
        linear_bias = None if linear_bias is None else linear_bias.reshape(-1)
    logits = linear(input, linear_weight, linear_bias)
    if further:
        logits = logits.reshape(len(x), *w.shape[:-1])
    if ignore_index is None:
        ignore_index = -100
    elif isinstance(target, Tensor) and target.shape == logits.shape:
        raise RuntimeError(f"{op}: ignore_index={ignore_index} names a class; target holds probabilities")
    return cross_entropy(logits, target, weight, None, ignore_index, None, reduction, label_smoothing)


def nll_loss(input, target, weight=None, size_average=None, ignore_index=-100, reduce=None, reduction="mean") -> Tensor:
    """-weight[target] input[target] for log-probabilities input: [C], [N, C] or [N, C, d1, ...].

    target, weight, ignore_index, reduction and errors are as for :func:`cross_entropy` with class indices.
    """
    refuse_legacy("nll_loss", size_average, reduce)
    try:
        a, t = input.array, target.array
    except AttributeError:
        raise not_tensors("nll_loss", input=input, target=target) from None
    if reduction not in ("mean", "sum", "none"):
        refuse_reduction("nll_loss", reduction)
    b, outer, n, inner = _classes("nll_loss", a, t, weight)
    t = t if t.dtype == np.int64 and t.flags.c_contiguous else memory.contiguous(t.astype(np.int64))
    count = _checked("nll_loss", t, n, ignore_index)
    w = None if weight is None else memory.contiguous(weight.array)
    loss = memory.empty(t.shape, b.dtype)
    K.nll(loss, b, t, w, outer, n, inner, ignore_index)
    y, scale = _reduced_classes(loss, reduction, t, w, count, ignore_index)
    saved = (b, target if t is target.array else t, w, outer, n, inner, ignore_index, scale)
    return watched(record(y, nll_backward, (input,), saved), weight)


def nll_backward(node, dy):
    b, t, w, outer, n, inner, ignore_index, scale = node.saved
    dx = memory.empty_like(b)
    K.nll_backward(dx, memory.contiguous(dy), t, w, outer, n, inner, ignore_index, scale)
    return (dx,)


def _classes(op, a, t, weight):
    """Checks x and class indices against each other; x in a layout the kernels take."""
    if (
        a.ndim == 0
        or t.ndim != (a.ndim - 1)
        or t.shape[1:] != a.shape[2:]
        or (t.ndim and t.shape[0] != a.shape[0])
    ):
        _refuse_targets(op, a, t)
    if a.dtype.kind != "f" or t.dtype.kind not in "iu":
        raise RuntimeError(f"{op}: wants a floating input and a target of integer class indices, got {a.dtype} and {t.dtype}")
    check_whole(op, a.dtype)
    b, outer, n, inner = _class_layout(a)
    if weight is not None:
        _check_weight(op, weight, n, a.dtype)
    return b, outer, n, inner


def _class_layout(a):
    """(b, outer, n, inner) with classes along n: C order as it is; NHWC order with inner = 1; else a copy."""
    ndim, shape = a.ndim, a.shape
    if ndim == 1:
        return memory.contiguous(a), 1, shape[0], 1
    if ndim == 2:
        return memory.contiguous(a), shape[0], shape[1], 1
    inner = 1
    for size in shape[2:]:
        inner *= size
    if not a.flags.c_contiguous:
        if a.transpose((0, *range(2, ndim), 1)).flags.c_contiguous:
            return a, shape[0] * inner, shape[1], 1
        a = memory.contiguous(a)
    return a, shape[0], shape[1], inner


def _check_weight(op, weight, n, dtype):
    if weight is not None and not isinstance(weight, Tensor):
        raise not_tensors(op, weight=weight)
    if weight is not None and (weight.array.shape != (n,) or weight.array.dtype != dtype):
        raise RuntimeError(
            f"{op}: weight must be {dtype} of shape ({n},), one for each class, "
            f"got {weight.array.dtype} of shape {weight.array.shape}"
        )


def _refuse_targets(op, a, t):
    if a.ndim == 0:
        raise ValueError(f"{op}: input must have a class axis, got a 0-dimensional tensor")
    want = () if a.ndim == 1 else a.shape[:1] + a.shape[2:]
    raise ValueError(f"{op}: input of shape {a.shape} wants class indices of shape {want}, got {t.shape}")


def _checked(op, t, classes, ignore_index):
    """How many targets are not ignored; IndexError when one of them is no class."""
    found = memory.empty((2,), np.int64)
    K.check_classes(found, t, classes, ignore_index)
    count, bad = found.tolist()
    if bad >= 0:
        where = tuple(int(i) for i in np.unravel_index(bad, t.shape)) if t.ndim else ()
        raise IndexError(
            f"{op}: target {int(t[where])} at position {where} is no class: there are {classes} classes"
        )
    return count


def _reduced_classes(loss, reduction, t, w, count, ignore_index):
    """(result, factor that the backward multiplies each loss's gradient by)."""
    if reduction == "none":
        return loss, 1.0
    total = 1.0
    if reduction == "mean":
        total = count
        if w is not None:
            kept = t != ignore_index
            total = float((w[np.where(kept, t, 0)] * kept).sum(dtype=np.float64)) if w.size else 0.0
    y = memory.empty((), loss.dtype)
    R.sum(y, loss, 1, loss.size, 1, total)
    return y, 1.0 / total if total else 0.0
