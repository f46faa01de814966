"""Connectionist temporal classification. Graves et al., 2006.

    loss = -log Σ over the paths that spell the target of Π_t p_t(path_t)

A path has a class for every frame; it spells what is left when repeated classes count once and blanks are dropped.

Legend: T frames, N batch, C classes, S labels of a target. The derivative is the loss's own, -Σ of the paths through
(t, c). torch's has exp(log_probs) added, which is 0 again behind log_softmax.
"""

import numpy as np

from .. import memory, registry
from ..autograd import record
from ..tensor import Tensor
from .loss import reduced
from .promotion import check_tensors

K = registry.family("loss")


def ctc_loss(log_probs, targets, input_lengths, target_lengths, blank=0, reduction="mean", zero_infinity=False) -> Tensor:
    """The loss of log_probs [T, N, C] (or [T, C]), which log_softmax has made, for targets without an alignment.

    targets: integers [N, S], or all targets joined, [Σ target_lengths]; input_lengths (at most T) and target_lengths:
    integers [N] as a tensor or tuple, or one. blank: the class that stands for none. reduction "mean" divides each loss by its
    target's length (at least 1) and takes the mean, "sum" and "none" do not. A target that is too long for its frames
    has loss inf; zero_infinity: 0, gradient included.
    RuntimeError for shapes, dtypes and lengths that do not fit, IndexError for a class out of range.
    """
    op = "ctc_loss"
    check_tensors(op, log_probs=log_probs, targets=targets)
    a, t = log_probs.array, targets.array
    if a.ndim not in (2, 3) or a.dtype.char not in "fd":
        raise RuntimeError(f"{op}: log_probs must be float32 or float64 [T, N, C] or [T, C], got {a.dtype} {a.shape}")
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"{op}: reduction must be 'mean', 'sum' or 'none', got {reduction!r}")
    x = memory.contiguous(a if a.ndim == 3 else a[:, None])
    frames, n, classes = x.shape
    if not 0 <= blank < classes:
        raise RuntimeError(f"{op}: blank must be one of the {classes} classes, got {blank}")
    inputs = _lengths(op, "input_lengths", input_lengths, n, frames)
    t, starts, sizes = _targets(op, t, target_lengths, n, batched=a.ndim == 3)
    bad = (t < 0) | (t >= classes)
    for start, size in zip(starts.tolist(), sizes.tolist()):
        if bad[start : start + size].any():
            label = t[start + np.flatnonzero(bad[start : start + size])[0]]
            raise IndexError(f"{op}: target {label} is no class: there are {classes} classes")
    loss = memory.empty((n,), x.dtype)
    alpha = memory.empty((n, frames, 2 * int(sizes.max(initial=0)) + 1), x.dtype)
    K.ctc(loss, alpha, x, t, starts, inputs, sizes, blank)
    found = loss
    if zero_infinity:
        found = memory.copy(loss)
        found[np.isinf(loss)] = 0
    saved = (log_probs, x, alpha, loss, t, starts, inputs, sizes, blank, zero_infinity)
    y = record(found if a.ndim == 3 else found.reshape(()), ctc_loss_backward, (log_probs,), saved)
    if reduction == "mean":
        from .create import from_numpy

        shares = np.maximum(sizes, 1).astype(x.dtype)
        y = y / from_numpy(shares if a.ndim == 3 else shares.reshape(()))
    return reduced(y, reduction, op)


def ctc_loss_backward(node, dy):
    a, x, alpha, loss, t, starts, inputs, sizes, blank, zero_infinity = node.saved
    dx = memory.empty(x.shape, x.dtype)
    K.ctc_backward(dx, memory.contiguous(dy).reshape(-1), x, alpha, loss, t, starts, inputs, sizes, blank)
    if zero_infinity:
        dx[:, np.isinf(loss)] = 0
    return (dx.reshape(a.shape),)


def _lengths(op, name, lengths, n, most):
    """int64 [n] of a tensor, a sequence or a number, each within 0..most."""
    given = np.asarray(lengths.array if isinstance(lengths, Tensor) else lengths)
    if given.dtype.kind not in "iu" and given.size:
        raise RuntimeError(f"{op}: {name} must be integers, got {given.dtype}")
    if given.size != n or given.ndim > 1:
        raise RuntimeError(f"{op}: {name} must have a length for each of {n} samples, got shape {given.shape}")
    given = np.ascontiguousarray(given.reshape(-1), np.int64)
    if n and not (given.min() >= 0 and given.max() <= most):
        raise RuntimeError(f"{op}: {name} must be within 0 and {most}, got {given.min()} to {given.max()}")
    return given


def _targets(op, t, lengths, n, batched):
    """(labels in one row, where each target starts, lengths)"""
    if t.dtype.kind not in "iu" or t.ndim > 2 or t.ndim == 0 or t.ndim == 2 and len(t) != n:
        raise RuntimeError(f"{op}: targets must be integers [{n}, S] or in one row, got {t.dtype} {t.shape}")
    sizes = _lengths(op, "target_lengths", lengths, n, t.shape[-1])
    if t.ndim == 2:
        starts = np.arange(n, dtype=np.int64) * t.shape[1]
    else:
        starts = np.cumsum(sizes) - sizes
        if batched and sizes.sum() != t.size:
            raise RuntimeError(f"{op}: target_lengths add up to {sizes.sum()}, targets in one row are {t.size}")
    return memory.contiguous(t.astype(np.int64)).reshape(-1), starts, sizes
