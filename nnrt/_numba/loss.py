"""Cross entropy in Numba. See nnrt._ref.loss for what each computes; the other losses run there."""

import numpy as np

from .compiled import jit
from .reduce import _cube, _flat
from .softmax import _exp_sum, _top


def cross_entropy(loss, lse, x, target, weight, outer, n, inner, ignore_index, smoothing):
    w = np.ones(n, x.dtype) if weight is None else weight
    loss, lse, target = [_flat(a, outer, inner) for a in (loss, lse, target)]
    _cross_entropy(loss, lse, _cube(x, outer, n, inner), target, w, ignore_index, float(smoothing))


@jit
def _cross_entropy(loss, lse, x, target, weight, ignore_index, smoothing):
    outer, n, inner = x.shape
    for o in range(outer):
        for i in range(inner):
            m = _top(x, o, i)
            if np.isinf(m):
                m = x.dtype.type(0)
            l = m + np.log(_exp_sum(x, o, i, m))
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
    w = np.ones(n, x.dtype) if weight is None else weight
    lse, target = _flat(lse, outer, inner), _flat(target, outer, inner)
    g = np.broadcast_to(dy.reshape(1, 1), (outer, inner)) if dy.size == 1 else _flat(dy, outer, inner)
    dx, x = _cube(dx, outer, n, inner), _cube(x, outer, n, inner)
    _cross_entropy_backward(dx, g, x, lse, target, w, ignore_index, float(smoothing), float(scale))


@jit
def _cross_entropy_backward(dx, dy, x, lse, target, weight, ignore_index, smoothing, scale):
    outer, n, inner = x.shape
    total = weight.sum()
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
            l = lse[o, i]
            for j in range(n):
                dx[o, j, i] = g * ((a + b * total) * np.exp(x[o, j, i] - l) - b * weight[j])
            dx[o, t, i] -= g * a
