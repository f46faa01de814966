"""Losses of single elements, between a prediction x and a target t of the same shape.

    mse        (x - t)²
    l1         |x - t|
    smooth l1  d²/(2β) if |d| < β else |d| - β/2,  d = x - t           (Girshick, Fast R-CNN, eq. 3)
    huber      d²/2 if |d| <= δ else δ (|d| - δ/2)                      (Huber 1964)
    bce        -t log x - (1-t) log(1-x), logarithms at least -100
    kl         t (log t - x), x a log-probability

reduction is "mean" (over the losses), "sum" or "none". Reduced losses never exist in memory as single
values: one kernel forms and sums them, and the backward forms the gradient from x and t.
"""

import numpy as np

from .. import memory, registry
from ..autograd import record
from ..dtypes import check_whole
from ..tensor import Tensor
from .elementwise import div, mul
from .loss import reduced, refuse_legacy, refuse_reduction
from .promotion import cast, check_tensors, not_tensors, sum_to
from .reduce import sum

K = registry.family("loss")
R = registry.family("reduce")

_PROMOTES = ("mse", "l1", "smooth_l1", "kl", "kl_log", "bce_logits")  # float32 with float64, as in torch


def mse_loss(input, target, size_average=None, reduce=None, reduction="mean", weight=None) -> Tensor:
    """(input - target)², each element's or, with reduction "mean" or "sum" in the place of "none", one 0-d tensor.

    input and target: floating, of shapes that broadcast (float32 with float64 gives float64); weight: a factor for each element;
    with it "mean" divides by the sum of weights.
    size_average and reduce are torch's old names of reduction, and refused. RuntimeError for shapes, TypeError for other
    arguments, ValueError for an unknown reduction.
    """
    refuse_legacy("mse_loss", size_average, reduce)
    return _pointwise("mse_loss", "mse", input, target, reduction, 0.0, weight, True)


def l1_loss(input, target, size_average=None, reduce=None, reduction="mean", weight=None) -> Tensor:
    """|input - target|, whose derivative at 0 is 0. weight, reduction and errors as for :func:`mse_loss`."""
    refuse_legacy("l1_loss", size_average, reduce)
    return _pointwise("l1_loss", "l1", input, target, reduction, 0.0, weight, True)


def smooth_l1_loss(input, target, size_average=None, reduce=None, reduction="mean", beta=1.0) -> Tensor:
    """Quadratic where |input - target| < beta, linear beyond; beta 0 is l1_loss. ValueError for beta < 0.

    reduction as for :func:`mse_loss`. Girshick, Fast R-CNN (2015), equation 3.
    """
    refuse_legacy("smooth_l1_loss", size_average, reduce)
    if beta < 0:
        raise ValueError(f"smooth_l1_loss: beta must be >= 0, got {beta}")
    if beta == 0:
        return _pointwise("smooth_l1_loss", "l1", input, target, reduction, 0.0, None, False)
    return _pointwise("smooth_l1_loss", "smooth_l1", input, target, reduction, beta, None, False)


def huber_loss(input, target, reduction="mean", delta=1.0, weight=None) -> Tensor:
    """Quadratic where |input - target| <= delta, linear with slope delta beyond. ValueError for delta <= 0.

    weight: a factor for each element, which "mean", unlike that of :func:`mse_loss`, does not divide by. reduction as there.
    Huber, Robust Estimation of a Location Parameter (1964).
    """
    if not delta > 0:
        raise ValueError(f"huber_loss: delta must be > 0, got {delta}")
    if weight is None:
        return _pointwise("huber_loss", "huber", input, target, reduction, delta, None, False)
    loss = _pointwise("huber_loss", "huber", input, target, "none", delta, None, False)
    return reduced(mul(loss, weight), reduction, "huber_loss")


def kl_div(input, target, size_average=None, reduce=None, reduction="mean", log_target=False) -> Tensor:
    """target (log target - input) for log-probabilities input; target is log-probabilities too with log_target.

    reduction "batchmean" divides the sum by the first size, which is the divergence's definition; others as for :func:`mse_loss`.
    """
    refuse_legacy("kl_div", size_average, reduce)
    kind = "kl_log" if log_target else "kl"
    if reduction == "batchmean":
        total = _pointwise("kl_div", kind, input, target, "sum", 0.0, None, False)
        return div(total, input.array.shape[0]) if input.array.ndim else total
    return _pointwise("kl_div", kind, input, target, reduction, 0.0, None, False)


def binary_cross_entropy(input, target, weight=None, size_average=None, reduce=None, reduction="mean") -> Tensor:
    """-t log input - (1-t) log(1-input) for probabilities input; weight multiplies and is broadcast to target.

    reduction as for :func:`mse_loss`. ValueError when the shapes differ, RuntimeError when some input is outside [0, 1].
    """
    refuse_legacy("binary_cross_entropy", size_average, reduce)
    _same_shape("binary_cross_entropy", input, target)
    a = input.array
    if a.size:
        low, high = memory.empty((), a.dtype), memory.empty((), a.dtype)
        b = memory.dense(a)
        R.amin(low, b, 1, a.size, 1)
        R.amax(high, b, 1, a.size, 1)
        if not (low >= 0 and high <= 1):
            raise RuntimeError(f"binary_cross_entropy: input must be in [0, 1], got values from {low} to {high}")
    if weight is not None:
        return reduced(
            mul(_pointwise("binary_cross_entropy", "bce", input, target, "none", 0.0, None, False), weight),
            reduction,
            "binary_cross_entropy",
        )
    return _pointwise("binary_cross_entropy", "bce", input, target, reduction, 0.0, None, False)


def binary_cross_entropy_with_logits(
    input, target, weight=None, size_average=None, reduce=None, reduction="mean", pos_weight=None
) -> Tensor:
    """Binary cross entropy of sigmoid(input), without overflow.

    pos_weight, broadcast to target, multiplies the term of t = 1 (it is not differentiated);
    weight multiplies the loss; reduction as for :func:`mse_loss`. ValueError when the shapes of input and target differ.
    """
    refuse_legacy("binary_cross_entropy_with_logits", size_average, reduce)
    op = "binary_cross_entropy_with_logits"
    _same_shape(op, input, target)
    if weight is not None:
        return reduced(
            mul(_pointwise(op, "bce_logits", input, target, "none", 0.0, pos_weight, False), weight),
            reduction,
            op,
        )
    return _pointwise(op, "bce_logits", input, target, reduction, 0.0, pos_weight, False)


def _same_shape(op, x, target):
    check_tensors(op, input=x, target=target)
    if x.array.shape != target.array.shape:
        raise ValueError(f"{op}: target must have the shape of input, {x.array.shape}, got {target.array.shape}")


def _pointwise(op, kind, x, target, reduction, constant, weight, weighted):
    """The loss `kind`. weight is the whole element's with `weighted`, else bce_logits' pos_weight."""
    try:
        a, t = x.array, target.array
    except AttributeError:
        raise not_tensors(op, input=x, target=target) from None
    if reduction not in ("mean", "sum", "none"):
        refuse_reduction(op, reduction)
    if a.dtype.char not in "fd" or t.dtype != a.dtype:
        if kind in _PROMOTES and a.dtype.char in "fd" and t.dtype.char in "fd":
            return _pointwise(op, kind, cast(x, np.float64), cast(target, np.float64), reduction, constant, weight, weighted)
        a, t = _promoted(op, a, t)
    if weighted and weight is not None:
        return _weighted(op, kind, x, target, reduction, constant, weight)
    if a.shape != t.shape:
        a, t = _broadcast(op, a, t)
    a = memory.dense(a)
    t = memory.as_like(t, a)
    w = None
    if weight is not None:
        check_tensors(op, pos_weight=weight)
        try:
            w = memory.as_like(np.broadcast_to(weight.array.astype(a.dtype, copy=False), a.shape), a)
        except ValueError:
            raise RuntimeError(f"{op}: pos_weight of shape {weight.array.shape} does not broadcast to {a.shape}") from None
    scale = 1.0
    if reduction == "none":
        y = memory.empty_like(a)
        K.pointwise(y, a, t, w, kind, constant)
    else:
        y = memory.empty((), a.dtype)
        n = a.size if reduction == "mean" else 1
        K.pointwise_total(y, a, t, w, kind, constant, n)
        scale = 1.0 / n if n else 0.0
    saved = (
        x if a is x.array else a,
        target if t is target.array else t,
        w,
        kind,
        constant,
        scale,
        x.array.shape,
        target.array.shape,
    )
    return record(y, pointwise_backward, (x, target), saved)


def pointwise_backward(node, dy):
    a, t, w, kind, constant, scale, x_shape, t_shape = node.saved
    dx = memory.empty_like(a) if node.needs(0) else None
    dt = memory.empty_like(a) if node.needs(1) else None
    K.pointwise_backward(
        dx, dt, dy if dy.ndim == 0 else memory.as_like(dy, a), a, t, w, kind, constant, scale
    )
    if dx is not None and dx.shape != x_shape:
        dx = sum_to(dx, x_shape)
    if dt is not None and dt.shape != t_shape:
        dt = sum_to(dt, t_shape)
    return dx, dt


def _promoted(op, a, t):
    """t in a's dtype, which is floating: only an input that keeps its dtype can have a gradient."""
    if a.dtype.kind != "f":
        raise RuntimeError(f"{op}: input must be floating, got {a.dtype}")
    check_whole(op, a.dtype)
    if t.dtype.kind in "iub":
        return a, t.astype(a.dtype)
    raise RuntimeError(f"{op}: input and target must have one dtype, got {a.dtype} and {t.dtype}")


def _broadcast(op, a, t):
    try:
        shape = np.broadcast_shapes(a.shape, t.shape)
    except ValueError:
        raise RuntimeError(f"{op}: shapes {a.shape} of input and {t.shape} of target do not broadcast") from None
    return (
        a if a.shape == shape else memory.contiguous(np.broadcast_to(a, shape)),
        t if t.shape == shape else np.broadcast_to(t, shape),
    )


def _weighted(op, kind, x, target, reduction, constant, weight):
    """weight · loss; "mean" divides by the sum of the weights."""
    loss = mul(_pointwise(op, kind, x, target, "none", constant, None, False), weight)
    if reduction == "mean":
        if weight.array.shape != loss.array.shape:
            raise ValueError(f"{op}: weight must have the shape {loss.array.shape}, got {weight.array.shape}")
        return div(sum(loss), sum(weight))
    return reduced(loss, reduction, op)
