"""Reductions in Numba. See nnrt._ref.reduce for what each computes.

Sums run in float64; the compiler may reorder them within a row, the same way on every call.
dtypes other than float32 and float64 go to _ref.
"""

import numpy as np
from numba.extending import register_jitable

from nnrt._ref import reduce as ref

from .compiled import jit, ufunc
from .maps import run

# Reordering for vectors; NaN and infinities keep their meaning.
_SUMS = {"reassoc", "contract", "nsz"}


def _floats(*arrays):
    return all(a.dtype == arrays[0].dtype and a.dtype in (np.float32, np.float64) for a in arrays)


def _cube(a, outer, n, inner):
    return a.ravel(order="K").reshape(outer, n, inner)


def _flat(a, outer, inner):
    return a.ravel(order="K").reshape(outer, inner)


def _fold(start, step, finish):
    """A reduction: the total is start, then step(total, x_j, p) for each j; y = finish(total, p)."""

    @jit(fastmath=_SUMS)
    def fold(y, x, total, p):
        outer, n, inner = x.shape
        for o in range(outer):
            if inner == 1:
                t = start
                for j in range(n):
                    t = step(t, np.float64(x[o, j, 0]), p)
                y[o, 0] = finish(t, p)
                continue
            for i in range(inner):
                total[i] = start
            for j in range(n):
                for i in range(inner):
                    total[i] = step(total[i], np.float64(x[o, j, i]), p)
            for i in range(inner):
                y[o, i] = finish(total[i], p)

    return fold


# Module-level functions rather than compiled ones: those that a cached closure holds must be the same in
# every process.


@register_jitable
def _plus(t, x, p):
    return t + x


@register_jitable
def _times(t, x, p):
    return t * x


@register_jitable
def _divided(t, p):
    return t / p


@register_jitable
def _as_is(t, p):
    return t


@register_jitable
def _nonzero(t, x, p):
    return t + (1.0 if x != 0 else 0.0)


@register_jitable
def _plus_abs(t, x, p):
    return t + abs(x)


@register_jitable
def _plus_square(t, x, p):
    return t + x * x


@register_jitable
def _plus_power(t, x, p):
    return t + abs(x) ** p


@register_jitable
def _most(t, x, p):
    return abs(x) if abs(x) > t or x != x else t


@register_jitable
def _least(t, x, p):
    return abs(x) if abs(x) < t or x != x else t


@register_jitable
def _square_root(t, p):
    return np.sqrt(t)


@register_jitable
def _root(t, p):
    return t ** (1 / p)


_sum = _fold(0.0, _plus, _divided)
_prod = _fold(1.0, _times, _as_is)
_NORMS = {
    0: _fold(0.0, _nonzero, _as_is),
    1: _fold(0.0, _plus_abs, _as_is),
    2: _fold(0.0, _plus_square, _square_root),
    np.inf: _fold(0.0, _most, _as_is),
    -np.inf: _fold(np.inf, _least, _as_is),
}
_power_norm = _fold(0.0, _plus_power, _root)


def _folded(fold, y, x, outer, n, inner, p=0.0):
    fold(_flat(y, outer, inner), _cube(x, outer, n, inner), np.empty(inner), float(p))


def sum(y, x, outer, n, inner, divisor):
    if not _floats(y, x):
        return ref.sum(y, x, outer, n, inner, divisor)
    _folded(_sum, y, x, outer, n, inner, divisor)


def prod(y, x, outer, n, inner):
    if not _floats(y, x):
        return ref.prod(y, x, outer, n, inner)
    _folded(_prod, y, x, outer, n, inner)


def prod_backward(dx, dy, x, outer, n, inner):
    if not _floats(dx, dy, x):
        return ref.prod_backward(dx, dy, x, outer, n, inner)
    dx, x = (_cube(a, outer, n, inner) for a in (dx, x))
    _prod_backward(dx, _flat(dy, outer, inner), x, np.empty(n))


@jit
def _prod_backward(dx, dy, x, before):
    outer, n, inner = x.shape
    for o in range(outer):
        for i in range(inner):
            s = 1.0
            for j in range(n):
                before[j] = s
                s *= x[o, j, i]
            s = np.float64(1)
            for j in range(n - 1, -1, -1):
                dx[o, j, i] = before[j] * s * dy[o, i]
                s *= x[o, j, i]


def var(y, mean, x, outer, n, inner, divisor):
    if not _floats(y, x):
        return ref.var(y, mean, x, outer, n, inner, divisor)
    y, mean = _flat(y, outer, inner), _flat(mean, outer, inner)
    _var(y, mean, _cube(x, outer, n, inner), np.empty((3, inner)), float(divisor))


@jit(fastmath=_SUMS)
def _var(y, mean, x, sums, divisor):
    """The deviations' own sum corrects the rounding of the mean."""
    outer, n, inner = x.shape
    for o in range(outer):
        if inner == 1:
            m, s, q = 0.0, 0.0, 0.0
            for j in range(n):
                m += x[o, j, 0]
            m /= n
            for j in range(n):
                d = x[o, j, 0] - m
                s += d
                q += d * d
            mean[o, 0] = m
            y[o, 0] = (q - s * s / n) / divisor
            continue
        for i in range(inner):
            sums[0, i] = sums[1, i] = sums[2, i] = 0
        for j in range(n):
            for i in range(inner):
                sums[0, i] += x[o, j, i]
        for j in range(n):
            for i in range(inner):
                d = x[o, j, i] - sums[0, i] / n
                sums[1, i] += d
                sums[2, i] += d * d
        for i in range(inner):
            mean[o, i] = sums[0, i] / n
            y[o, i] = (sums[2, i] - sums[1, i] * sums[1, i] / n) / divisor


@ufunc
def _var_backward(dy, x, mean, scale):
    return dy * scale * (x - mean)


def var_backward(dx, dy, x, mean, outer, n, inner, divisor):
    if not _floats(dx, dy, x):
        return ref.var_backward(dx, dy, x, mean, outer, n, inner, divisor)
    with np.errstate(divide="ignore"):
        scale = float(2 / np.float64(divisor))
    _spread(_var_backward, dx, (x,), (dy, mean), (scale,), outer, n, inner)


def _spread(function, dx, full, reduced, scalars, outer, n, inner):
    """dx = function(reduced[0], full..., reduced[1:]..., scalars...), the reduced the same for all j."""
    first, *rest = [_cube(a, outer, 1, inner) for a in reduced]
    full = [_cube(a, outer, n, inner) for a in full]
    run(function, _cube(dx, outer, n, inner), first, *full, *rest, *scalars)


def norm(y, x, outer, n, inner, p):
    if not _floats(y, x):
        return ref.norm(y, x, outer, n, inner, p)
    _folded(_NORMS.get(p, _power_norm), y, x, outer, n, inner, p)


@ufunc
def _slope_1(dy, x):
    return dy if x > 0 else -dy if x < 0 else dy * x


@ufunc
def _slope_2(dy, x, y):
    return 0.0 if y == 0 else x * (dy / y)


@ufunc
def _slope_p(dy, x, y, p):
    return 0.0 if y == 0 or x == 0 else np.sign(x) * (abs(x) / y) ** (p - 1) * dy


@ufunc
def _share(dy, x, y, count):
    return dy / count if x == y or (x != x and y != y) else 0.0


@ufunc
def _signed_share(dy, x, y, count):
    return np.sign(x) * (dy / count) if abs(x) == y or (x != x and y != y) else np.sign(x) * 0


def norm_backward(dx, dy, x, y, outer, n, inner, p):
    if not _floats(dx, dy, x, y):
        return ref.norm_backward(dx, dy, x, y, outer, n, inner, p)
    if p == 0:
        dx[...] = 0
    elif abs(p) == np.inf:
        _spread(_signed_share, dx, (x,), (dy, y, _ties(x, y, outer, n, inner, True)), (), outer, n, inner)
    elif p == 1:
        _spread(_slope_1, dx, (x,), (dy,), (), outer, n, inner)
    elif p == 2:
        _spread(_slope_2, dx, (x,), (dy, y), (), outer, n, inner)
    else:
        _spread(_slope_p, dx, (x,), (dy, y), (float(p),), outer, n, inner)


def amax_backward(dx, dy, x, y, outer, n, inner):
    if not _floats(dx, dy, x, y):
        return ref.amax_backward(dx, dy, x, y, outer, n, inner)
    _spread(_share, dx, (x,), (dy, y, _ties(x, y, outer, n, inner, False)), (), outer, n, inner)


def _ties(x, y, outer, n, inner, absolute):
    """How many x_j, or |x_j|, equal y, at least 1."""
    count = np.empty((outer, inner), x.dtype)
    _count_ties(count, _cube(x, outer, n, inner), _flat(y, outer, inner), absolute)
    return count


@jit
def _count_ties(count, x, y, absolute):
    outer, n, inner = x.shape
    for o in range(outer):
        for i in range(inner):
            count[o, i] = 0
        for j in range(n):
            for i in range(inner):
                v = abs(x[o, j, i]) if absolute else x[o, j, i]
                count[o, i] += v == y[o, i] or (v != v and y[o, i] != y[o, i])
        for i in range(inner):
            count[o, i] = max(count[o, i], 1)


def _scan(start, step):
    """The totals after each j, from the other end with reverse."""

    @jit
    def scan(y, x, total, reverse):
        outer, n, inner = x.shape
        for o in range(outer):
            for i in range(inner):
                total[i] = start
            for k in range(n):
                j = n - 1 - k if reverse else k
                for i in range(inner):
                    total[i] = step(total[i], np.float64(x[o, j, i]), 0.0)
                    y[o, j, i] = total[i]

    return scan


_cumsum = _scan(0.0, _plus)
_cumprod = _scan(1.0, _times)


def cumsum(y, x, outer, n, inner, reverse):
    if not _floats(y, x):
        return ref.cumsum(y, x, outer, n, inner, reverse)
    _cumsum(_cube(y, outer, n, inner), _cube(x, outer, n, inner), np.empty(inner), bool(reverse))


def cumprod(y, x, outer, n, inner):
    if not _floats(y, x):
        return ref.cumprod(y, x, outer, n, inner)
    _cumprod(_cube(y, outer, n, inner), _cube(x, outer, n, inner), np.empty(inner), False)


def amax(y, x, outer, n, inner):
    if not _floats(y, x):
        return ref.amax(y, x, outer, n, inner)
    _best(_flat(y, outer, inner), _cube(x, outer, n, inner), 1)


def amin(y, x, outer, n, inner):
    if not _floats(y, x):
        return ref.amin(y, x, outer, n, inner)
    _best(_flat(y, outer, inner), _cube(x, outer, n, inner), -1)


@jit
def _best(y, x, sign):
    outer, n, inner = x.shape
    for o in range(outer):
        for i in range(inner):
            y[o, i] = x[o, 0, i]
        for j in range(1, n):
            for i in range(inner):
                v = x[o, j, i]
                if sign * v > sign * y[o, i] or v != v:
                    y[o, i] = v


def max_at(y, index, x, outer, n, inner):
    if not _floats(y, x):
        return ref.max_at(y, index, x, outer, n, inner)
    _at(_flat(y, outer, inner), _flat(index, outer, inner), _cube(x, outer, n, inner), 1)


def min_at(y, index, x, outer, n, inner):
    if not _floats(y, x):
        return ref.min_at(y, index, x, outer, n, inner)
    _at(_flat(y, outer, inner), _flat(index, outer, inner), _cube(x, outer, n, inner), -1)


@jit
def _at(y, index, x, sign):
    outer, n, inner = x.shape
    for o in range(outer):
        for i in range(inner):
            y[o, i] = x[o, 0, i]
            index[o, i] = 0
        for j in range(1, n):
            for i in range(inner):
                v = x[o, j, i]
                if sign * v > sign * y[o, i] or (v != v and y[o, i] == y[o, i]):
                    y[o, i] = v
                    index[o, i] = j


def select_backward(dx, dy, index, outer, n, m, inner):
    if not _floats(dx, dy):
        return ref.select_backward(dx, dy, index, outer, n, m, inner)
    _select_backward(_cube(dx, outer, n, inner), _cube(dy, outer, m, inner), _cube(index, outer, m, inner))


@jit
def _select_backward(dx, dy, index):
    dx[:] = 0
    outer, m, inner = dy.shape
    for o in range(outer):
        for j in range(m):
            for i in range(inner):
                dx[o, index[o, j, i], i] += dy[o, j, i]


def cumprod_backward(dx, dy, x, outer, n, inner):
    if not _floats(dx, x):
        return ref.cumprod_backward(dx, dy, x, outer, n, inner)
    _cumprod_backward(*[_cube(a, outer, n, inner) for a in (dx, dy, x)])


@jit
def _cumprod_backward(dx, dy, x):
    outer, n, inner = x.shape
    for o in range(outer):
        for i in range(inner):
            s = 1.0
            for j in range(n):
                dx[o, j, i] = s
                s *= np.float64(x[o, j, i])
            s = 0.0
            for j in range(n - 1, -1, -1):
                s = dy[o, j, i] + (x[o, j + 1, i] * s if j < n - 1 else 0.0)
                dx[o, j, i] *= s


def cummax(y, index, x, outer, n, inner):
    if not _floats(y, x):
        return ref.cummax(y, index, x, outer, n, inner)
    _cumulative(*[_cube(a, outer, n, inner) for a in (y, index, x)], 1)


def cummin(y, index, x, outer, n, inner):
    if not _floats(y, x):
        return ref.cummin(y, index, x, outer, n, inner)
    _cumulative(*[_cube(a, outer, n, inner) for a in (y, index, x)], -1)


@jit
def _cumulative(y, index, x, sign):
    outer, n, inner = x.shape
    for o in range(outer):
        for j in range(n):
            for i in range(inner):
                v = x[o, j, i]
                if j == 0 or sign * v >= sign * y[o, j - 1, i] or v != v:
                    y[o, j, i] = v
                    index[o, j, i] = j
                else:
                    y[o, j, i] = y[o, j - 1, i]
                    index[o, j, i] = index[o, j - 1, i]
