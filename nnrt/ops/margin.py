"""Losses over distances, margins and densities, composed of other ops.

Legend: N batch, C classes, D features. reduction is "mean", "sum" or "none" everywhere.
"""

import math

import numpy as np

from .. import memory
from ..autograd import record
from ..tensor import Tensor, wrap
from . import binary, ternary, unary
from . import elementwise as E
from .distance import pairwise_distance
from .loss import reduced, refuse_legacy
from .pointwise import binary_cross_entropy_with_logits
from .promotion import as_tensor, check_tensors
from .reduce import mean, sum
from .shape import unsqueeze

# ---- densities ----


def poisson_nll_loss(
    input, target, log_input=True, full=False, size_average=None, eps=1e-8, reduce=None, reduction="mean"
) -> Tensor:
    """The negative log-likelihood of counts under Poisson(exp input), or Poisson(input) with log_input=False.

    full adds Stirling's approximation of log target! where target > 1. eps is added to what a logarithm is taken of.
    reduction: "mean", "sum" or "none".
    """
    refuse_legacy("poisson_nll_loss", size_average, reduce)
    check_tensors("poisson_nll_loss", input=input, target=target)
    if log_input:
        loss = E.sub(unary.exp(input), E.mul(target, input))
    else:
        loss = E.sub(input, E.mul(target, unary.log(E.add(input, eps))))
    if full:
        t = ternary.clamp_min(target, 1)  # whose gradient, as its approximation, counts above 1 alone
        log_factorial = E.sub(E.mul(E.add(t, 0.5), unary.log(t)), t)
        many = wrap(np.asarray(target.array > 1, target.array.dtype))
        loss = E.add(loss, E.mul(E.add(log_factorial, 0.5 * math.log(2 * math.pi)), many))
    return reduced(loss, reduction, "poisson_nll_loss")


def gaussian_nll_loss(input, target, var, full=False, eps=1e-6, reduction="mean") -> Tensor:
    """The negative log-likelihood of target under N(input, var), var at least eps.

    var: input's shape, that without the last axis, or with size 1 on one axis (or a number). ValueError for
    another shape or a negative variance. full adds log(2π)/2. reduction: "mean", "sum" or "none".
    """
    input = as_tensor("gaussian_nll_loss", input)
    if not isinstance(var, (Tensor, int, float)):
        raise TypeError(f"gaussian_nll_loss: var must be a Tensor or a number, got {type(var).__name__}")
    if not isinstance(var, Tensor):
        var = wrap(np.full(input.array.shape, var, input.array.dtype))
    v, shape = var.array, input.array.shape
    if v.shape != shape:
        if v.shape == shape[:-1]:
            var = unsqueeze(var, -1)
        elif v.ndim != len(shape) or [m for m, n in zip(v.shape, shape) if m != n] != [1]:
            raise ValueError(f"gaussian_nll_loss: var of shape {v.shape} does not go with input of shape {shape}")
    if (v < 0).any():
        raise ValueError("gaussian_nll_loss: var has a negative entry")
    v = var.array
    var = E.add(var, wrap(np.asarray(np.maximum(v, v.dtype.type(eps)) - v)))  # the bound is not differentiated
    d = E.sub(input, target)
    loss = E.mul(E.add(unary.log(var), E.div(E.mul(d, d), var)), 0.5)
    if full:
        loss = E.add(loss, 0.5 * math.log(2 * math.pi))
    return reduced(loss, reduction, "gaussian_nll_loss")


# ---- distances ----


def cosine_embedding_loss(input1, input2, target, margin=0.0, size_average=None, reduce=None, reduction="mean") -> Tensor:
    """1 - cos(input1, input2) where target is 1, max(0, cos - margin) where it is -1.

    input1, input2: [N, D] with target [N], or [D] with a 0-d target. reduction: "mean", "sum" or "none" ([N]).
    RuntimeError for other shapes.
    """
    input1 = as_tensor("cosine_embedding_loss", input1, "input1")
    refuse_legacy("cosine_embedding_loss", size_average, reduce)
    check_tensors("cosine_embedding_loss", input2=input2, target=target)
    want = input1.array.shape[:-1]
    if (
        input1.array.shape != input2.array.shape
        or input1.array.ndim not in (1, 2)
        or target.array.shape != want
    ):
        raise RuntimeError(
            "cosine_embedding_loss: wants inputs [N, D] with target [N] or [D] with a 0-d target, got "
            f"{input1.array.shape}, {input2.array.shape} and {target.array.shape}"
        )
    dtype = input1.array.dtype
    squares = E.mul(
        E.add(sum(E.mul(input1, input1), -1), 1e-12), E.add(sum(E.mul(input2, input2), -1), 1e-12)
    )
    cos = E.div(sum(E.mul(input1, input2), -1), unary.sqrt(squares))
    alike, unlike = _where(target, 1, dtype), _where(target, -1, dtype)
    loss = E.add(E.mul(E.sub(1, cos), alike), E.mul(ternary.clamp(E.sub(cos, margin), 0), unlike))
    return reduced(loss, reduction, "cosine_embedding_loss")


def triplet_margin_loss(
    anchor, positive, negative, margin=1.0, p=2, eps=1e-6,
    swap=False, size_average=None, reduce=None, reduction="mean",
) -> Tensor:
    """max(0, margin + d(anchor, positive) - d(anchor, negative)) with the p-norm distance.

    anchor, positive, negative: [N, D] or [D]; d(a, b) = |a - b + eps|_p. swap takes the nearer of anchor and positive for
    the negative (Balntas et al. 2016). reduction: "mean", "sum" or "none" ([N]). RuntimeError for different numbers of
    dimensions, ValueError for a margin that is not above 0.
    """
    anchor = as_tensor("triplet_margin_loss", anchor, "anchor")
    refuse_legacy("triplet_margin_loss", size_average, reduce)

    def distance(a, b):
        return pairwise_distance(a, b, p, eps)

    return _triplet("triplet_margin_loss", anchor, positive, negative, distance, margin, swap, reduction)


def triplet_margin_with_distance_loss(
    anchor, positive, negative, *, distance_function=None, margin=1.0, swap=False, reduction="mean"
) -> Tensor:
    """:func:`triplet_margin_loss` with a distance of one's own (default: pairwise_distance)."""
    anchor = as_tensor("triplet_margin_with_distance_loss", anchor, "anchor")
    return _triplet(
        "triplet_margin_with_distance_loss", anchor, positive, negative,
        distance_function or pairwise_distance, margin, swap, reduction,
    )  # fmt: skip


def _triplet(op, anchor, positive, negative, distance, margin, swap, reduction):
    check_tensors(op, anchor=anchor, positive=positive, negative=negative)
    if margin <= 0:
        raise ValueError(f"{op}: margin must be > 0, got {margin}")
    if not anchor.array.ndim == positive.array.ndim == negative.array.ndim:
        raise RuntimeError(
            f"{op}: anchor, positive and negative must have as many dimensions, got shapes "
            f"{anchor.array.shape}, {positive.array.shape}, {negative.array.shape}"
        )
    far = distance(anchor, negative)
    if swap:
        far = binary.minimum(far, distance(positive, negative))
    loss = ternary.clamp(E.add(E.sub(distance(anchor, positive), far), margin), 0)
    return reduced(loss, reduction, op)


# ---- margins ----


def hinge_embedding_loss(input, target, margin=1.0, size_average=None, reduce=None, reduction="mean") -> Tensor:
    """input where target is 1, max(0, margin - input) where it is -1. reduction: "mean", "sum" or "none"."""
    refuse_legacy("hinge_embedding_loss", size_average, reduce)
    far = ternary.where(target != 1, ternary.clamp(E.sub(margin, input), 0), 0)
    loss = E.add(far, ternary.where(target != -1, input, 0))
    return reduced(loss, reduction, "hinge_embedding_loss")


def margin_ranking_loss(input1, input2, target, margin=0.0, size_average=None, reduce=None, reduction="mean") -> Tensor:
    """max(0, -target (input1 - input2) + margin), target 1 or -1, of shapes that broadcast.

    reduction: "mean", "sum" or "none". RuntimeError for different numbers of dimensions.
    """
    input1 = as_tensor("margin_ranking_loss", input1, "input1")
    refuse_legacy("margin_ranking_loss", size_average, reduce)
    check_tensors("margin_ranking_loss", input2=input2, target=target)
    if not input1.array.ndim == input2.array.ndim == target.array.ndim:
        raise RuntimeError(
            "margin_ranking_loss: input1, input2 and target must have as many dimensions, got shapes "
            f"{input1.array.shape}, {input2.array.shape}, {target.array.shape}"
        )
    loss = ternary.clamp(E.add(E.mul(E.sub(input2, input1), target), margin), 0)
    return reduced(loss, reduction, "margin_ranking_loss")


def soft_margin_loss(input, target, size_average=None, reduce=None, reduction="mean") -> Tensor:
    """log(1 + exp(-target input)), target -1 or 1, of shapes that broadcast. reduction: "mean", "sum" or "none"."""
    refuse_legacy("soft_margin_loss", size_average, reduce)
    z = E.mul(input, target)
    return binary_cross_entropy_with_logits(z, wrap(np.ones_like(z.array)), reduction=reduction)


def multilabel_soft_margin_loss(input, target, weight=None, size_average=None, reduce=None, reduction="mean") -> Tensor:
    """The mean over the classes (last axis) of binary cross entropy of sigmoid(input) with target, 0 or 1, of its shape.

    weight: a factor for each class [C], or None. reduction: "mean", "sum" or "none" (input's shape without classes).
    """
    refuse_legacy("multilabel_soft_margin_loss", size_average, reduce)
    loss = binary_cross_entropy_with_logits(input, target, weight, reduction="none")
    return reduced(mean(loss, -1), reduction, "multilabel_soft_margin_loss")


def multi_margin_loss(input, target, p=1, margin=1.0, weight=None, size_average=None, reduce=None, reduction="mean") -> Tensor:
    """Σ_{j≠t} max(0, margin - x_t + x_j)^p w_t / C for input [N, C] or [C] and class indices [N] or a 0-d one.

    t are the classes of target; weight w: [C] or None. reduction: "mean", "sum" or "none" ([N]). ValueError for p other
    than 1 and 2, RuntimeError for shapes, IndexError for a class out of range.
    """
    input = as_tensor("multi_margin_loss", input)
    refuse_legacy("multi_margin_loss", size_average, reduce)
    if p not in (1, 2):
        raise ValueError(f"multi_margin_loss: p must be 1 or 2, got {p}")
    a, t = _rows("multi_margin_loss", input, target, 0)
    n, classes = a.shape
    bad = np.flatnonzero((t < 0) | (t >= classes))
    if bad.size:
        raise IndexError(
            f"multi_margin_loss: target {t[bad[0]]} at position {bad[0]} is no class: "
            f"there are {classes} classes"
        )
    if weight is not None:
        check_tensors("multi_margin_loss", weight=weight)
    w = np.ones(classes, a.dtype) if weight is None else weight.array
    if w.shape != (classes,):
        raise RuntimeError(f"multi_margin_loss: weight must have shape ({classes},), got {w.shape}")
    rows = np.arange(n)
    z = np.maximum(margin - a[rows, t][:, None] + a, 0).astype(a.dtype, copy=False)
    z[rows, t] = 0
    factor = (w[t] / classes).astype(a.dtype)[:, None] if classes else np.zeros((n, 1), a.dtype)
    slope = (z > 0) * factor if p == 1 else 2 * z * factor
    slope[rows, t] = -slope.sum(axis=1)
    loss = ((z if p == 1 else z * z) * factor).sum(axis=1).reshape(target.array.shape)
    out = record(memory.contiguous(loss), row_loss_backward, (input,), (slope.reshape(input.array.shape),))
    return reduced(out, reduction, "multi_margin_loss")


def multilabel_margin_loss(input, target, size_average=None, reduce=None, reduction="mean") -> Tensor:
    """Σ_{j in target} Σ_{i not in target} max(0, 1 - x_j + x_i) / C for input [N, C] or [C].

    target: class indices of input's shape, in front; -1 ends them. reduction: "mean", "sum" or "none" ([N]).
    RuntimeError for shapes, IndexError for a class out of range.
    """
    input = as_tensor("multilabel_margin_loss", input)
    refuse_legacy("multilabel_margin_loss", size_average, reduce)
    a, t = _rows("multilabel_margin_loss", input, target, 1)
    n, classes = a.shape
    listed = np.cumprod(t >= 0, axis=1, dtype=bool) if classes else np.zeros_like(t, bool)
    if (t[listed] >= classes).any():
        raise IndexError(
            f"multilabel_margin_loss: target {t[listed].max()} is no class: there are {classes} classes"
        )
    times = np.zeros((n, classes), a.dtype)
    row, place = np.nonzero(listed)
    np.add.at(times, (row, t[row, place]), 1)
    z = np.maximum(1 - a[:, :, None] + a[:, None, :], 0)  # [N, j, i]
    active = (z > 0) * times[:, :, None] * (times == 0)[:, None, :]
    scale = a.dtype.type(1 / classes if classes else 0)
    slope = (active.sum(axis=1) - active.sum(axis=2)) * scale
    loss = ((z * active).sum(axis=(1, 2)) * scale).reshape(input.array.shape[:-1])
    saved = (slope.reshape(input.array.shape).astype(a.dtype, copy=False),)
    out = record(memory.contiguous(loss.astype(a.dtype, copy=False)), row_loss_backward, (input,), saved)
    return reduced(out, reduction, "multilabel_margin_loss")


def row_loss_backward(node, dy):
    (slope,) = node.saved
    return (slope * dy[..., None],)


def _rows(op, x, target, target_axes):
    """x as [N, C] and target as [N] or, with target_axes 1, [N, C]."""
    check_tensors(op, input=x, target=target)
    a, t = x.array, target.array
    want = a.shape if target_axes else a.shape[:-1]
    if a.ndim not in (1, 2) or t.shape != want or t.dtype.kind not in "iu":
        raise RuntimeError(
            f"{op}: wants x [N, C] or [C] and integer target of shape {want}, "
            f"got {a.shape} and {t.dtype} {t.shape}"
        )
    a = a.reshape(1, -1) if a.ndim == 1 else a
    return a, t.reshape(a.shape if target_axes else -1)


def _where(target, value, dtype):
    return wrap(np.asarray(target.array == value, dtype))
