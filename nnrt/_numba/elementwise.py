"""Arithmetic in Numba. See nnrt._ref.elementwise for what each computes.

numpy's ufuncs where numpy has the function: they are vectorised, and maps.run threads them.
"""

import math

import numpy as np

from nnrt._ref import elementwise as ref

from . import reduce
from .compiled import ufunc
from .maps import floating, floats, run


def add(out, a, b):
    floating(np.add, ref.add, out, a, b)


def sub(out, a, b):
    floating(np.subtract, ref.sub, out, a, b)


def mul(out, a, b):
    floating(np.multiply, ref.mul, out, a, b)


def mul_backward(da, db, dy, a, b):
    mul(da, dy, b)
    mul(db, dy, a)


def div(out, a, b):
    floating(np.divide, ref.div, out, a, b)


def floor_divide(out, a, b):
    floating(np.floor_divide, ref.floor_divide, out, a, b)


def remainder(out, a, b):
    floating(np.remainder, ref.remainder, out, a, b)


def fmod(out, a, b):
    floating(np.fmod, ref.fmod, out, a, b)


def pow(out, a, b):
    floating(np.power, ref.pow, out, a, b)


def maximum(out, a, b):
    floating(np.maximum, ref.maximum, out, a, b)


def minimum(out, a, b):
    floating(np.minimum, ref.minimum, out, a, b)


def fmax(out, a, b):
    floating(np.fmax, ref.fmax, out, a, b)


def fmin(out, a, b):
    floating(np.fmin, ref.fmin, out, a, b)


def atan2(out, a, b):
    floating(np.arctan2, ref.atan2, out, a, b)


def hypot(out, a, b):
    floating(np.hypot, ref.hypot, out, a, b)


def copysign(out, a, b):
    floating(np.copysign, ref.copysign, out, a, b)


def nextafter(out, a, b):
    floating(np.nextafter, ref.nextafter, out, a, b)


def logaddexp(out, a, b):
    floating(np.logaddexp, ref.logaddexp, out, a, b)


def neg(out, a):
    floating(np.negative, ref.neg, out, a)


@ufunc
def _div_backward(dy, a, b):
    return -dy * ((a / b) / b)


def div_backward(db, dy, a, b):
    floating(_div_backward, ref.div_backward, db, dy, a, b)


@ufunc
def _pow_backward(dy, a, b):
    return 0.0 if b == 0 else dy * (b * a ** (b - 1))


def pow_backward(da, dy, a, b):
    floating(_pow_backward, ref.pow_backward, da, dy, a, b)


@ufunc
def _pow_backward_exponent(dy, a, b, y):
    return 0.0 if a == 0 and b >= 0 else dy * (y * math.log(a))


def pow_backward_exponent(db, dy, a, b, y):
    floating(_pow_backward_exponent, ref.pow_backward_exponent, db, dy, a, b, y)


@ufunc
def _maximum_backward(dy, a, b):
    return dy / 2 if a == b else 0.0 if a < b else dy


def maximum_backward(da, dy, a, b):
    floating(_maximum_backward, ref.maximum_backward, da, dy, a, b)


@ufunc
def _minimum_backward(dy, a, b):
    return dy / 2 if a == b else 0.0 if a > b else dy


def minimum_backward(da, dy, a, b):
    floating(_minimum_backward, ref.minimum_backward, da, dy, a, b)


@ufunc
def _atan2_backward(dy, a, b):
    return 0.0 if a * a + b * b == 0 else dy * b / (a * a + b * b)


def atan2_backward(da, dy, a, b):
    floating(_atan2_backward, ref.atan2_backward, da, dy, a, b)


@ufunc
def _hypot_backward(dy, a, y):
    return dy * (a / y)


def hypot_backward(da, dy, a, y):
    floating(_hypot_backward, ref.hypot_backward, da, dy, a, y)


@ufunc
def _logaddexp_backward(dy, a, b):
    return dy / 2 if a == b else dy / (1 + math.exp(b - a))


def logaddexp_backward(da, dy, a, b):
    floating(_logaddexp_backward, ref.logaddexp_backward, da, dy, a, b)


@ufunc
def _xlogy(a, b):
    return b if b != b else 0.0 if a == 0 else a * math.log(b)


def xlogy(out, a, b):
    floating(_xlogy, ref.xlogy, out, a, b)


@ufunc
def _xlogy_backward(dy, a, b):
    return 0.0 if a == 0 and b <= 0 else dy * math.log(b)


def xlogy_backward(da, dy, a, b):
    floating(_xlogy_backward, ref.xlogy_backward, da, dy, a, b)


@ufunc
def _lerp(a, b, w):
    return a + w * (b - a) if abs(w) < 0.5 else b - (b - a) * (1 - w)


def lerp(out, a, b, w):
    floating(_lerp, ref.lerp, out, a, b, w)


@ufunc
def _addcmul(x, a, b, value):
    return x + value * a * b


def addcmul(out, x, a, b, value):
    floating(_addcmul, ref.addcmul, out, x, a, b, value)


@ufunc
def _addcdiv(x, a, b, value):
    return x + value * a / b


def addcdiv(out, x, a, b, value):
    floating(_addcdiv, ref.addcdiv, out, x, a, b, value)


@ufunc
def _axpy(a, b, alpha):
    return a + alpha * b


def axpy(out, a, b, alpha):
    floating(_axpy, ref.axpy, out, a, b, alpha)


@ufunc
def _where(condition, a, b):
    return a if condition else b


def where(out, condition, a, b):
    floating(_where, ref.where, out, condition, a, b)


@ufunc
def _clamp_backward(dy, x, lo, hi):
    return dy if lo <= x <= hi else 0.0


def clamp_backward(dx, dy, x, lo, hi):
    floating(_clamp_backward, ref.clamp_backward, dx, dy, x, lo, hi)


def cast(out, x):
    run(_convert, out, x)


def _convert(x, out):
    out[...] = x


@ufunc
def _trunc_divide(a, b):
    return np.trunc(a / b)


def trunc_divide(out, a, b):
    floating(_trunc_divide, ref.trunc_divide, out, a, b)


@ufunc
def _heaviside(a, b):
    return b if a == 0 else 1.0 if a > 0 else 0.0


def heaviside(out, a, b):
    floating(_heaviside, ref.heaviside, out, a, b)


@ufunc
def _clamp(x, lo, hi):
    x = x if x > lo or x != x else lo
    return x if x < hi or x != x else hi


def clamp(out, x, lo, hi):
    floating(_clamp, ref.clamp, out, x, lo, hi)


@ufunc
def _clamp_backward_lo(dy, x, lo, hi):
    return dy if x < lo and lo < hi else 0.0


def clamp_backward_lo(dlo, dy, x, lo, hi):
    floating(_clamp_backward_lo, ref.clamp_backward_lo, dlo, dy, x, lo, hi)


@ufunc
def _clamp_backward_hi(dy, x, lo, hi):
    return dy if x > hi or lo > hi else 0.0


def clamp_backward_hi(dhi, dy, x, lo, hi):
    floating(_clamp_backward_hi, ref.clamp_backward_hi, dhi, dy, x, lo, hi)


def sum_to(out, x):
    """By reduce.sum where the axes to sum are neighbours."""
    kept = (1,) * (x.ndim - out.ndim) + out.shape
    gone = [i for i in range(x.ndim) if kept[i] != x.shape[i]]
    first, beyond = (gone[0], gone[-1] + 1) if gone else (0, 0)
    neighbours = all(kept[i] == 1 for i in range(first, beyond))
    if not (floats(out) and neighbours and x.dtype == out.dtype and x.size and _c_order(x, out)):
        return ref.sum_to(out, x)
    reduce.sum(out, x, *(math.prod(x.shape[i:j]) for i, j in ((0, first), (first, beyond), (beyond, x.ndim))), 1.0)


def _c_order(*arrays):
    return all(a.flags.c_contiguous for a in arrays)


def mul_sum_to(out, a, b):
    product = np.empty_like(a)
    mul(product, a, b)
    sum_to(out, product)
