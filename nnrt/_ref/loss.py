"""Losses (specification).

    pointwise      l_i = f(x_i, t_i), the kinds listed below
    cross entropy  l = Σ_c q_c w_c (lse - x_c),  lse = log Σ_c exp x_c,
                   q = (1-ε) onehot(target) + ε/C, or (1-ε) target + ε/C for probabilities
    nll            l = -w_target x_target

Legend: the class axis is n of [outer, n, inner]; losses, lse and class indices are [outer, inner]. lse is float64
whatever x is: beside a large max x, log Σ exp(x - max) would have no digits left. A row that holds +inf has no
softmax, nor has one of -inf alone: its loss and gradient are NaN unless it is ignored, and with +inf its lse is.
weight is [n] or None. dy is one value for all losses or one for each.
"""

import numpy as np

from . import Out
from .reduce import _cube, _store


def _softplus(x):
    return np.log1p(np.exp(-np.abs(x))) + np.maximum(x, 0)


def _sigmoid(x):
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, e) / (1 + e)


def _log(x):
    return np.maximum(np.log(x), -100)


def _times_log(t):
    return np.where(t == 0, 0, t * np.log(np.where(t == 0, 1, t)))


def _log_or_zero(t):
    return np.where(t == 0, 0, np.log(np.where(t == 0, 1, t)) + 1)


def _plus(t, w):
    return 1 if w is None else 1 + (w - 1) * t


# kind: l, dl/dx, dl/dt as functions of x, t, the weight w of the positive term (None: 1, which no infinite t makes NaN), the
# constant a.
# fmt: off
_KINDS = {
    "mse": (
        lambda x, t, w, a: (x - t) ** 2,
        lambda x, t, w, a: 2 * (x - t),
        lambda x, t, w, a: -2 * (x - t),
    ),
    "l1": (
        lambda x, t, w, a: np.abs(x - t),
        lambda x, t, w, a: np.sign(x - t),
        lambda x, t, w, a: -np.sign(x - t),
    ),
    "smooth_l1": (
        lambda x, t, w, a: np.where(np.abs(x - t) < a, (x - t) ** 2 * (0.5 / a), np.abs(x - t) - 0.5 * a),
        lambda x, t, w, a: np.clip((x - t) / a, -1, 1),
        lambda x, t, w, a: -np.clip((x - t) / a, -1, 1),
    ),
    "huber": (
        lambda x, t, w, a: np.where(np.abs(x - t) <= a, 0.5 * (x - t) ** 2, a * (np.abs(x - t) - 0.5 * a)),
        lambda x, t, w, a: np.clip(x - t, -a, a),
        lambda x, t, w, a: -np.clip(x - t, -a, a),
    ),
    "bce": (
        lambda x, t, w, a: (t - 1) * _log(1 - x) - t * _log(x),
        lambda x, t, w, a: (x - t) / np.maximum((1 - x) * x, 1e-12),
        lambda x, t, w, a: _log(1 - x) - _log(x),
    ),
    "bce_logits": (
        lambda x, t, w, a: (1 - t) * x + _plus(t, w) * _softplus(-x),
        lambda x, t, w, a: _plus(t, w) * _sigmoid(x) - (t if w is None else w * t),
        lambda x, t, w, a: -x if w is None else (w - 1) * _softplus(-x) - x,
    ),
    "kl": (
        lambda x, t, w, a: _times_log(t) - t * x,
        lambda x, t, w, a: -t,
        lambda x, t, w, a: _log_or_zero(t) - np.where(t == 0, 0, x),
    ),
    "kl_log": (
        lambda x, t, w, a: np.exp(t) * (t - x),
        lambda x, t, w, a: -np.exp(t),
        lambda x, t, w, a: np.exp(t) * (t - x + 1),
    ),
}
# fmt: on


def pointwise(y: Out, x, t, w, kind, a):
    """y = l(x, t). All arrays of one shape and dense memory order; w may be None (1)."""
    with np.errstate(all="ignore"):
        y[...] = _KINDS[kind][0](x, t, w, x.dtype.type(a))


def pointwise_total(y: Out, x, t, w, kind, a, divisor):
    """y, 0-d, = Σ l(x, t) / divisor."""
    with np.errstate(all="ignore"):
        l = _KINDS[kind][0](x, t, w, x.dtype.type(a))
        y[...] = l.sum(dtype=np.float64) / np.float64(divisor)


def pointwise_backward(dx: Out, dt: Out, dy, x, t, w, kind, a, scale):
    """dx = dy scale dl/dx and dt = dy scale dl/dt; either may be None."""
    _, by_x, by_t = _KINDS[kind]
    g = (dy if dy.size == x.size else dy.reshape(())) * x.dtype.type(scale)
    if dy.size == x.size:
        g = g.reshape(x.shape)
    with np.errstate(all="ignore"):
        if dx is not None:
            dx[...] = g * by_x(x, t, w, x.dtype.type(a))
        if dt is not None:
            dt[...] = g * by_t(x, t, w, x.dtype.type(a))


# ---- classes ----


def check_classes(found: Out, target, classes, ignore_index):
    """found = (number of targets not ignored, flat position of the first outside [0, classes) or -1)."""
    flat = target.reshape(-1)
    kept = flat != ignore_index
    bad = np.flatnonzero(kept & ((flat < 0) | (flat >= classes)))
    found[0] = np.count_nonzero(kept)
    found[1] = bad[0] if bad.size else -1


def _one_hot(target, weight, outer, n, inner, ignore_index, dtype):
    """w_target at the target's class, 0 elsewhere and for ignored targets; and the mask of the kept."""
    t = target.reshape(outer, 1, inner)
    kept = t != ignore_index
    hot = (np.arange(n).reshape(1, n, 1) == t) & kept
    w = np.ones(n, dtype) if weight is None else weight
    return hot * w.reshape(1, n, 1), kept, w.reshape(1, n, 1)


def _shifted(x, outer, n, inner):
    """x - lse, and lse."""
    c = _cube(x, outer, n, inner)
    m = c.max(axis=1, keepdims=True, initial=-np.inf)
    m = np.where(m == -np.inf, 0, m).astype(np.float64)
    lse = np.log(np.exp(c - m).sum(axis=1, keepdims=True, dtype=np.float64))
    return (c - m) - lse, m + lse


def cross_entropy(loss: Out, lse: Out, x, target, weight, outer, n, inner, ignore_index, smoothing):
    """l = (1-ε) w_t (lse - x_t) + ε/C Σ_c w_c (lse - x_c), 0 where ignored. Targets are in range."""
    hot, kept, w = _one_hot(target, weight, outer, n, inner, ignore_index, x.dtype)
    at = np.arange(n).reshape(1, n, 1) == target.reshape(outer, 1, inner)
    with np.errstate(all="ignore"):
        logp, total = _shifted(x, outer, n, inner)
        l = -(1 - smoothing) * np.where(at, logp * hot, 0).sum(axis=1, keepdims=True)
        if smoothing:
            l = l - smoothing / max(n, 1) * (logp * w).sum(axis=1, keepdims=True)
        _store(loss, np.where(kept, l, 0))
        _store(lse, total)


def cross_entropy_backward(
    dx: Out, dy, x, lse, target, weight, outer, n, inner, ignore_index, smoothing, scale
):
    """dx_c = dy scale (p_c Σ_k b_k - b_c), 0 where ignored.

    p = exp(x - lse), b_c = (1-ε) w_t onehot_c + ε/C w_c.
    """
    hot, kept, w = _one_hot(target, weight, outer, n, inner, ignore_index, x.dtype)
    b = (1 - smoothing) * hot + smoothing / max(n, 1) * w
    g = (dy.reshape(1, 1, 1) if dy.size == 1 else dy.reshape(outer, 1, inner)) * scale
    with np.errstate(all="ignore"):
        p = np.exp(_cube(x, outer, n, inner) - lse.reshape(outer, 1, inner))
        _store(dx, np.where(kept, g * (p * b.sum(axis=1, keepdims=True) - b), 0))


def cross_entropy_soft(loss: Out, lse: Out, x, q, weight, outer, n, inner, smoothing):
    """l = Σ_c w_c ((1-ε) q_c + ε/C) (lse - x_c)."""
    w = np.ones(n, x.dtype) if weight is None else weight
    b = ((1 - smoothing) * _cube(q, outer, n, inner) + smoothing / max(n, 1)) * w.reshape(1, n, 1)
    with np.errstate(all="ignore"):
        logp, total = _shifted(x, outer, n, inner)
        _store(loss, -(logp * b).sum(axis=1))
        _store(lse, total)


def cross_entropy_soft_backward(dx: Out, dq: Out, dy, x, lse, q, weight, outer, n, inner, smoothing, scale):
    """dx_c = dy scale (p_c Σ_k b_k - b_c) and dq_c = dy scale (1-ε) w_c (lse - x_c).

    b_c = w_c ((1-ε) q_c + ε/C). dx or dq may be None.
    """
    w = (np.ones(n, x.dtype) if weight is None else weight).reshape(1, n, 1)
    g = (dy.reshape(1, 1, 1) if dy.size == 1 else dy.reshape(outer, 1, inner)) * scale
    with np.errstate(all="ignore"):
        logp = _cube(x, outer, n, inner) - lse.reshape(outer, 1, inner)
        if dx is not None:
            b = ((1 - smoothing) * _cube(q, outer, n, inner) + smoothing / max(n, 1)) * w
            _store(dx, g * (np.exp(logp) * b.sum(axis=1, keepdims=True) - b))
        if dq is not None:
            _store(dq, g * (-(1 - smoothing) * w * logp))


def nll(loss: Out, x, target, weight, outer, n, inner, ignore_index):
    """l = -w_t x_t, 0 where ignored. Targets are in range."""
    c = _cube(x, outer, n, inner)
    t = target.reshape(outer, 1, inner)
    kept = t != ignore_index
    at = np.where(kept, t, 0)
    if n == 0:
        loss[...] = 0
        return
    picked = np.take_along_axis(c, at, axis=1)
    w = 1 if weight is None else weight[at]
    _store(loss, np.where(kept, -picked * w, 0))


def nll_backward(dx: Out, dy, target, weight, outer, n, inner, ignore_index, scale):
    """dx_t = -dy scale w_t, 0 elsewhere and where ignored."""
    hot, _, _ = _one_hot(target, weight, outer, n, inner, ignore_index, dx.dtype)
    g = (dy.reshape(1, 1, 1) if dy.size == 1 else dy.reshape(outer, 1, inner)) * scale
    _store(dx, np.where(hot != 0, -g * hot, 0))


# ---- connectionist temporal classification ----


def ctc(loss: Out, alpha: Out, x, targets, starts, frames, sizes, blank):
    """loss[N] = -log Σ exp of all paths' log-probabilities x[T, N, C], for paths that spell the N-th target.

    A target has sizes[n] labels from starts[n] on; between them, before and after may stand blanks:
    l = (blank, t_1, blank, t_2, ..., blank). alpha[N, T, L], L = 2 max(sizes) + 1, is the log-probability
    of the paths that have spelt l_0 .. l_s after frame t, -inf outside the target and its frames[n] frames:

        alpha_t(s) = x_t(l_s) + log(e^alpha_t-1(s) + e^alpha_t-1(s-1) + [l_s not l_s-2] e^alpha_t-1(s-2))
    """
    alpha[...] = -np.inf
    for n in range(len(loss)):
        count = frames[n]
        emit, skip = _emissions(x, targets, starts, sizes, blank, n)
        if count == 0:
            loss[n] = 0 if sizes[n] == 0 else np.inf
            continue
        a = alpha[n, :, : emit.shape[1]]
        a[0, :2] = emit[0, :2]
        for t in range(1, count):
            a[t] = emit[t] + _added(a[t - 1], _moved(a[t - 1], 1), _moved(a[t - 1], 2) + skip)
        loss[n] = -_added(*a[count - 1, -2:]) if sizes[n] else -a[count - 1, 0]


def ctc_backward(dx: Out, dy, x, alpha, loss, targets, starts, frames, sizes, blank):
    """dx_t(c) = -dy Σ_{l_s = c} e^(alpha_t(s) + beta_t(s) + loss), 0 after the last frame.

    beta_t(s) is the log-probability of what is still to be spelt after frame t, by alpha's recursion from the end.
    """
    dx[...] = 0
    for n in range(len(loss)):
        emit, skip = _emissions(x, targets, starts, sizes, blank, n)
        labels = _labels(targets, starts, sizes, blank, n)
        beta = np.where(np.arange(len(labels)) >= len(labels) - 2, 0, -np.inf).astype(x.dtype)
        for t in reversed(range(frames[n])):
            if t < frames[n] - 1:
                ahead = beta + emit[t + 1]
                beta = _added(ahead, _moved(ahead, -1), _moved(ahead + skip, -2))
            with np.errstate(all="ignore"):
                share = np.exp(alpha[n, t, : len(labels)] + beta + loss[n])
            np.subtract.at(dx[t, n], labels, dy[n] * share)


def _labels(targets, starts, sizes, blank, n):
    labels = np.full(2 * sizes[n] + 1, blank)
    labels[1::2] = targets[starts[n] : starts[n] + sizes[n]]
    return labels


def _emissions(x, targets, starts, sizes, blank, n):
    """x_t(l_s), [T, S], and what keeps s from being reached from s - 2: -inf, or 0 where it may."""
    labels = _labels(targets, starts, sizes, blank, n)
    free = (labels != blank) & (labels != np.roll(labels, 2))
    free[:2] = False
    return x[:, n, labels], np.where(free, 0, -np.inf).astype(x.dtype)


def _added(*logs):
    return np.logaddexp.reduce(logs)


def _moved(a, by):
    """a shifted by places, -inf coming in."""
    out = np.full_like(a, -np.inf)
    if by > 0:
        out[by:] = a[:-by]
    else:
        out[:by] = a[-by:]
    return out
