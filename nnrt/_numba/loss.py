"""Losses in Numba. See nnrt._ref.loss for what each computes."""

from math import exp, log

import numpy as np

from .compiled import jit, ufunc
from .maps import run
from .reduce import _cube, _flat
from .scalars import sigmoid, softplus
from .softmax import _exp_sum, _top
from .threads import share

CHUNK = 1 << 14


@jit
def _log(x):
    l = log(x)
    return -100.0 if l < -100 else l


@jit
def _clip(x, a):
    return -a if x < -a else a if x > a else x


@jit
def _sign(x):
    return 1.0 if x > 0 else -1.0 if x < 0 else x * 0


# kind: l, dl/dx, dl/dt as functions of x, t, the weight w of the positive term, the constant a.
# fmt: off
_KINDS = {
    "mse": (
        ufunc(lambda x, t, w, a: (x - t) * (x - t)),
        ufunc(lambda x, t, w, a: 2 * (x - t)),
        ufunc(lambda x, t, w, a: -2 * (x - t)),
    ),
    "l1": (
        ufunc(lambda x, t, w, a: abs(x - t)),
        ufunc(lambda x, t, w, a: _sign(x - t)),
        ufunc(lambda x, t, w, a: -_sign(x - t)),
    ),
    "smooth_l1": (
        ufunc(lambda x, t, w, a: (x - t) * (x - t) * (0.5 / a) if abs(x - t) < a else abs(x - t) - 0.5 * a),
        ufunc(lambda x, t, w, a: _clip((x - t) / a, 1.0)),
        ufunc(lambda x, t, w, a: -_clip((x - t) / a, 1.0)),
    ),
    "huber": (
        ufunc(lambda x, t, w, a: 0.5 * (x - t) * (x - t) if abs(x - t) <= a else a * (abs(x - t) - 0.5 * a)),
        ufunc(lambda x, t, w, a: _clip(x - t, a)),
        ufunc(lambda x, t, w, a: -_clip(x - t, a)),
    ),
    "bce": (
        ufunc(lambda x, t, w, a: (t - 1) * _log(1 - x) - t * _log(x)),
        ufunc(lambda x, t, w, a: (x - t) / (1e-12 if (1 - x) * x < 1e-12 else (1 - x) * x)),
        ufunc(lambda x, t, w, a: _log(1 - x) - _log(x)),
    ),
    "bce_logits": (
        ufunc(lambda x, t, w, a: (1 - t) * x + (1 + (w - 1) * t) * softplus(-x)),
        ufunc(lambda x, t, w, a: (1 + (w - 1) * t) * sigmoid(x) - w * t),
        ufunc(lambda x, t, w, a: (w - 1) * softplus(-x) - x),
    ),
    "bce_logits, w = 1": (
        ufunc(lambda x, t, w, a: (1 - t) * x + softplus(-x)),
        ufunc(lambda x, t, w, a: sigmoid(x) - t),
        ufunc(lambda x, t, w, a: -x),
    ),
    "kl": (
        ufunc(lambda x, t, w, a: (0.0 if t == 0 else t * log(t)) - t * x),
        ufunc(lambda x, t, w, a: -t),
        ufunc(lambda x, t, w, a: 0.0 if t == 0 else log(t) + 1 - x),
    ),
    "kl_log": (
        ufunc(lambda x, t, w, a: exp(t) * (t - x)),
        ufunc(lambda x, t, w, a: -exp(t)),
        ufunc(lambda x, t, w, a: exp(t) * (t - x + 1)),
    ),
}
# fmt: on


def _kind(kind, w):
    """The kind's functions. Without w an infinite t meets no 0 of w - 1."""
    return _KINDS["bce_logits, w = 1" if kind == "bce_logits" and w is None else kind]


def pointwise(y, x, t, w, kind, a):
    run(_kind(kind, w)[0], y, x, t, 1.0 if w is None else w, float(a))


def pointwise_total(y, x, t, w, kind, a, divisor):
    value, a = _kind(kind, w)[0], x.dtype.type(a)
    w = np.broadcast_to(x.dtype.type(1), x.shape) if w is None else w
    flat = [v.ravel(order="K") for v in (x, t)] + [w.ravel(order="K") if w.strides == x.strides else w.reshape(-1)]
    chunks = -(-x.size // CHUNK)
    sums = np.zeros(chunks)

    def chunk(i, *edges):
        start, stop = edges or (i * CHUNK, (i + 1) * CHUNK)
        parts = [v[start:stop] for v in flat]
        with np.errstate(all="ignore"):
            sums[i] = value(*parts, a, out=np.empty_like(parts[0])).sum(dtype=np.float64)

    if x.size:
        chunk(0, 0, 0)  # compiles, if nothing has yet
        share(chunk, chunks)
    with np.errstate(all="ignore"):
        y[...] = sums.sum() / np.float64(divisor)


@ufunc
def _scaled(d, dy, scale):
    return dy * scale * d


def pointwise_backward(dx, dt, dy, x, t, w, kind, a, scale):
    dy = dy.reshape(x.shape if dy.size == x.size else ())
    for d, function in zip((dx, dt), _kind(kind, w)[1:]):
        if d is not None:
            run(function, d, x, t, 1.0 if w is None else w, float(a))
            run(_scaled, d, d, dy, float(scale))


# ---- classes


def check_classes(found, target, classes, ignore_index):
    _check_classes(found, target.reshape(-1), classes, ignore_index)


@jit
def _check_classes(found, target, classes, ignore_index):
    found[0], found[1] = 0, -1
    for i in range(target.size):
        t = target[i]
        if t != ignore_index:
            found[0] += 1
            if found[1] < 0 and (t < 0 or t >= classes):
                found[1] = i


def _weights(weight, n, dtype):
    return np.ones(n, dtype) if weight is None else weight


def _per_row(dy, outer, inner):
    """dy for every row, be it one value or one for each."""
    return np.broadcast_to(dy.reshape(1, 1), (outer, inner)) if dy.size == 1 else _flat(dy, outer, inner)


def cross_entropy(loss, lse, x, target, weight, outer, n, inner, ignore_index, smoothing):
    loss, lse, target = [_flat(a, outer, inner) for a in (loss, lse, target)]
    w = _weights(weight, n, x.dtype)
    _cross_entropy(loss, lse, _cube(x, outer, n, inner), target, w, ignore_index, float(smoothing))


@jit
def _rounded(lse, x):
    """lse in x's dtype, and what exp(x - that) is to be multiplied by instead."""
    top = x.dtype.type(lse)
    off = top - lse
    return top, 1.0 if np.isnan(off) else exp(off)


@jit
def _cross_entropy(loss, lse, x, target, weight, ignore_index, smoothing):
    outer, n, inner = x.shape
    for o in range(outer):
        for i in range(inner):
            m = _top(x, o, i)
            if m == -np.inf:  # +inf stays: NaN, as there is no softmax
                m = x.dtype.type(0)
            l = np.float64(m) + np.log(_exp_sum(x, o, i, m))
            lse[o, i] = l
            t = target[o, i]
            if t == ignore_index:
                loss[o, i] = 0
                continue
            value = (1 - smoothing) * weight[t] * (l - x[o, t, i])
            if smoothing != 0:
                for j in range(n):
                    value += smoothing / n * weight[j] * (l - x[o, j, i])
            loss[o, i] = value


def cross_entropy_backward(dx, dy, x, lse, target, weight, outer, n, inner, ignore_index, smoothing, scale):
    w = _weights(weight, n, x.dtype)
    lse, target = _flat(lse, outer, inner), _flat(target, outer, inner)
    dx, x = _cube(dx, outer, n, inner), _cube(x, outer, n, inner)
    constants = float(w.sum()), ignore_index, float(smoothing), float(scale)
    _cross_entropy_backward(dx, _per_row(dy, outer, inner), x, lse, target, w, *constants)


@jit
def _cross_entropy_backward(dx, dy, x, lse, target, weight, total, ignore_index, smoothing, scale):
    outer, n, inner = x.shape
    for o in range(outer):
        for i in range(inner):
            t = target[o, i]
            if t == ignore_index:
                for j in range(n):
                    dx[o, j, i] = 0
                continue
            g = dy[o, i] * scale
            a = (1 - smoothing) * weight[t]
            b = smoothing / n
            l, by = _rounded(lse[o, i], x)
            by *= a + b * total
            for j in range(n):
                dx[o, j, i] = g * (by * np.exp(x[o, j, i] - l) - b * weight[j])
            dx[o, t, i] -= g * a


def cross_entropy_soft(loss, lse, x, q, weight, outer, n, inner, smoothing):
    loss, lse = _flat(loss, outer, inner), _flat(lse, outer, inner)
    x, q = _cube(x, outer, n, inner), _cube(q, outer, n, inner)
    _cross_entropy_soft(loss, lse, x, q, _weights(weight, n, x.dtype), float(smoothing))


@jit
def _cross_entropy_soft(loss, lse, x, q, weight, smoothing):
    outer, n, inner = x.shape
    for o in range(outer):
        for i in range(inner):
            m = _top(x, o, i)
            if m == -np.inf:
                m = x.dtype.type(0)
            l = np.log(_exp_sum(x, o, i, m))
            lse[o, i] = np.float64(m) + l
            value = 0.0
            for j in range(n):
                value -= weight[j] * ((1 - smoothing) * q[o, j, i] + smoothing / n) * (x[o, j, i] - m - l)
            loss[o, i] = value


def cross_entropy_soft_backward(dx, dq, dy, x, lse, q, weight, outer, n, inner, smoothing, scale):
    none = np.empty((0, 0, 0), x.dtype)
    dx, dq = (none if d is None else _cube(d, outer, n, inner) for d in (dx, dq))
    x, q, lse = _cube(x, outer, n, inner), _cube(q, outer, n, inner), _flat(lse, outer, inner)
    w, dy = _weights(weight, n, x.dtype), _per_row(dy, outer, inner)
    _cross_entropy_soft_backward(dx, dq, dy, x, lse, q, w, float(smoothing), float(scale))


@jit
def _cross_entropy_soft_backward(dx, dq, dy, x, lse, q, weight, smoothing, scale):
    outer, n, inner = x.shape
    for o in range(outer):
        for i in range(inner):
            g, total = dy[o, i] * scale, 0.0
            if dx.size:
                l, by = _rounded(lse[o, i], x)
                for j in range(n):
                    total += weight[j] * ((1 - smoothing) * q[o, j, i] + smoothing / n)
                by *= total
                for j in range(n):
                    b = weight[j] * ((1 - smoothing) * q[o, j, i] + smoothing / n)
                    dx[o, j, i] = g * (np.exp(x[o, j, i] - l) * by - b)
            if dq.size:
                for j in range(n):
                    dq[o, j, i] = g * (smoothing - 1) * weight[j] * (x[o, j, i] - lse[o, i])


def nll(loss, x, target, weight, outer, n, inner, ignore_index):
    loss, target = _flat(loss, outer, inner), _flat(target, outer, inner)
    _nll(loss, _cube(x, outer, n, inner), target, _weights(weight, n, x.dtype), ignore_index)


@jit
def _nll(loss, x, target, weight, ignore_index):
    outer, n, inner = x.shape
    for o in range(outer):
        for i in range(inner):
            t = target[o, i]
            loss[o, i] = 0 if t == ignore_index or n == 0 else -weight[t] * x[o, t, i]


def nll_backward(dx, dy, target, weight, outer, n, inner, ignore_index, scale):
    target, w = _flat(target, outer, inner), _weights(weight, n, dx.dtype)
    dx[...] = 0
    _nll_backward(_cube(dx, outer, n, inner), _per_row(dy, outer, inner), target, w, ignore_index, float(scale))


@jit
def _nll_backward(dx, dy, target, weight, ignore_index, scale):
    outer, n, inner = dx.shape
    for o in range(outer):
        for i in range(inner):
            t = target[o, i]
            if t != ignore_index:
                dx[o, t, i] = -dy[o, i] * scale * weight[t]


# ---- connectionist temporal classification ----


def ctc(loss, alpha, x, targets, starts, frames, sizes, blank):
    _samples(lambda n: _ctc(loss, alpha[n], x[:, n], targets[starts[n] :], frames[n], sizes[n], blank, n), len(loss))


def ctc_backward(dx, dy, x, alpha, loss, targets, starts, frames, sizes, blank):
    def sample(n):
        _ctc_backward(dx[:, n], x[:, n], alpha[n], targets[starts[n] :], frames[n], sizes[n], blank, dy[n], loss[n])

    _samples(sample, len(loss))


def _samples(function, count):
    """function(n) for all; the first alone, which compiles."""
    if count:
        function(0)
        share(lambda n: function(n + 1), count - 1)


@jit
def _log_sum(a, b, c):
    m = max(a, b, c)
    return m if np.isinf(m) else m + log(exp(a - m) + exp(b - m) + exp(c - m))


@jit
def _label(targets, s, blank):
    return targets[s // 2] if s % 2 else blank


@jit
def _skips(targets, s, blank):
    """May place s be reached from s - 2?"""
    return s % 2 and s > 1 and targets[s // 2] != blank and targets[s // 2] != targets[s // 2 - 1]


@jit
def _ctc(loss, alpha, x, targets, frames, size, blank, n):
    alpha[:] = -np.inf
    last = 2 * size
    for t in range(frames):
        for s in range(last + 1):
            if t == 0:
                reached = 0.0 if s < 2 else -np.inf
            else:
                one = alpha[t - 1, s - 1] if s else -np.inf
                two = alpha[t - 1, s - 2] if _skips(targets, s, blank) else -np.inf
                reached = _log_sum(alpha[t - 1, s], one, two)
            alpha[t, s] = reached + x[t, _label(targets, s, blank)]
    if frames:
        before = alpha[frames - 1, last - 1] if last else -np.inf
        loss[n] = -_log_sum(alpha[frames - 1, last], before, -np.inf)
    else:
        loss[n] = np.inf if size else 0.0


@jit
def _ctc_backward(dx, x, alpha, targets, frames, size, blank, dy, loss):
    dx[:] = 0
    places = 2 * size + 1
    beta, ahead = np.full(places, -np.inf), np.empty(places)
    beta[max(places - 2, 0) :] = 0
    for t in range(frames - 1, -1, -1):
        if t < frames - 1:
            for s in range(places):
                ahead[s] = beta[s] + x[t + 1, _label(targets, s, blank)]
            for s in range(places):
                one = ahead[s + 1] if s + 1 < places else -np.inf
                two = ahead[s + 2] if s + 2 < places and _skips(targets, s + 2, blank) else -np.inf
                beta[s] = _log_sum(ahead[s], one, two)
        for s in range(places):
            dx[t, _label(targets, s, blank)] -= dy * exp(alpha[t, s] + beta[s] + loss)
