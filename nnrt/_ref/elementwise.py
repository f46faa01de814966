"""Arithmetic with broadcasting (specification).

Inputs broadcast to the output's shape and may have any strides; an input written `a`, `b`, `w`,
`lo`, `hi` may also be a Python number. The output may be one of the inputs. Divisions by zero and
their like give inf and NaN silently, as IEEE 754 says.
"""

import numpy as np

from . import Out, quiet


def cast(out: Out, x):
    """out = x in out's dtype: floats are cut towards zero, anything but 0 is True."""
    with np.errstate(all="ignore"):
        out[...] = x


@quiet
def add(out: Out, a, b):
    """out = a + b"""
    np.add(a, b, out=out)


@quiet
def sub(out: Out, a, b):
    """out = a - b"""
    np.subtract(a, b, out=out)


@quiet
def mul(out: Out, a, b):
    """out = a b"""
    np.multiply(a, b, out=out)


@quiet
def mul_backward(da: Out, db: Out, dy, a, b):
    """y = a b  =>  da = dy b, db = dy a; neither is one of the inputs"""
    np.multiply(dy, b, out=da)
    np.multiply(dy, a, out=db)


@quiet
def div(out: Out, a, b):
    """out = a / b"""
    np.divide(a, b, out=out)


@quiet
def div_backward(db: Out, dy, a, b):
    """y = a / b  =>  db = -dy (a / b) / b"""
    db[...] = -dy * ((a / b) / b)


@quiet
def axpy(out: Out, a, b, alpha):
    """out = a + alpha b"""
    out[...] = a + alpha * np.asarray(b)


@quiet
def neg(out: Out, a):
    """out = -a"""
    np.negative(a, out=out)


@quiet
def floor_divide(out: Out, a, b):
    """out = floor(a / b), computed so that a = out b + remainder(a, b)."""
    np.floor_divide(a, b, out=out)


@quiet
def trunc_divide(out: Out, a, b):
    """out = trunc(a / b)"""
    if out.dtype.kind == "f":
        np.trunc(np.true_divide(a, b, dtype=out.dtype), out=out)
    else:
        quotient = np.floor_divide(a, b)
        inexact = quotient * b != a
        np.add(quotient, (quotient < 0) & inexact, out=out, casting="unsafe")


@quiet
def remainder(out: Out, a, b):
    """out = a - b floor(a / b): the sign is b's."""
    np.remainder(a, b, out=out)


@quiet
def fmod(out: Out, a, b):
    """out = a - b trunc(a / b): the sign is a's."""
    np.fmod(a, b, out=out)


@quiet
def pow(out: Out, a, b):
    """out = a^b; a^0 = 1 for every a, NaN for a negative base and a fractional exponent."""
    np.power(a, b, out=out)


@quiet
def pow_backward(da: Out, dy, a, b):
    """y = a^b  =>  da = dy b a^(b - 1), and 0 where b = 0"""
    b = np.asarray(b, da.dtype)
    da[...] = np.where(b == 0, 0, dy * (b * np.power(a, b - 1)))


@quiet
def pow_backward_exponent(db: Out, dy, a, b, y):
    """y = a^b  =>  db = dy y log a, and 0 where a = 0 and b >= 0"""
    a = np.asarray(a, db.dtype)
    db[...] = np.where((a == 0) & (b >= 0), 0, dy * (y * np.log(a)))


def maximum(out: Out, a, b):
    """out = the larger, NaN if either is."""
    np.maximum(a, b, out=out)


def maximum_backward(da: Out, dy, a, b):
    """y = max(a, b)  =>  da = dy where a > b, dy / 2 where a = b. For db exchange a and b."""
    da[...] = np.where(a == b, dy / 2, np.where(a < b, 0, dy))


def minimum(out: Out, a, b):
    """out = the smaller, NaN if either is."""
    np.minimum(a, b, out=out)


def minimum_backward(da: Out, dy, a, b):
    """y = min(a, b)  =>  da = dy where a < b, dy / 2 where a = b. For db exchange a and b."""
    da[...] = np.where(a == b, dy / 2, np.where(a > b, 0, dy))


def fmax(out: Out, a, b):
    """out = the larger, the other one where one is NaN."""
    np.fmax(a, b, out=out)


def fmin(out: Out, a, b):
    """out = the smaller, the other one where one is NaN."""
    np.fmin(a, b, out=out)


@quiet
def atan2(out: Out, a, b):
    """out = the angle of the point (b, a), in (-pi, pi]."""
    np.arctan2(a, b, out=out)


@quiet
def atan2_backward(da: Out, dy, a, b):
    """y = atan2(a, b)  =>  da = dy b / (a^2 + b^2), 0 at the origin. db is -this with a and b exchanged."""
    square = a * a + b * np.asarray(b)
    da[...] = np.where(square == 0, 0, dy * b / square)


@quiet
def hypot(out: Out, a, b):
    """out = sqrt(a^2 + b^2) without overflow between."""
    np.hypot(a, b, out=out)


@quiet
def hypot_backward(da: Out, dy, a, y):
    """y = sqrt(a^2 + b^2)  =>  da = dy a / y"""
    da[...] = dy * (a / y)


def copysign(out: Out, a, b):
    """out = |a| with b's sign, that of -0.0 being minus"""
    np.copysign(a, b, out=out)


@quiet
def nextafter(out: Out, a, b):
    """out = the next number after a in the direction of b"""
    np.nextafter(a, b, out=out)


@quiet
def logaddexp(out: Out, a, b):
    """out = log(e^a + e^b) without overflow between."""
    np.logaddexp(a, b, out=out)


@quiet
def logaddexp_backward(da: Out, dy, a, b):
    """y = log(e^a + e^b)  =>  da = dy e^(a - y) = dy / (1 + e^(b - a)), in which no large y has lost the log 2"""
    da[...] = dy / (1 + np.where(a == b, 1, np.exp(np.asarray(b, da.dtype) - a)))


@quiet
def xlogy(out: Out, a, b):
    """out = a log b, and 0 where a = 0 unless b is NaN."""
    a, b = np.asarray(a, out.dtype), np.asarray(b, out.dtype)
    out[...] = np.where(np.isnan(b), np.nan, np.where(a == 0, 0, a * np.log(b)))


@quiet
def xlogy_backward(da: Out, dy, a, b):
    """y = a log b  =>  da = dy log b, 0 where a = 0 and b <= 0"""
    a, b = np.asarray(a, da.dtype), np.asarray(b, da.dtype)
    da[...] = np.where((a == 0) & (b <= 0), 0, dy * np.log(b))


def heaviside(out: Out, a, b):
    """out = b where a = 0, 1 where a > 0, else 0 (also for NaN, as torch has it)."""
    a = np.asarray(a, out.dtype)
    out[...] = np.where(a == 0, b, a > 0)


@quiet
def lerp(out: Out, a, b, w):
    """out = a + w (b - a), reckoned from the nearer end."""
    w = np.asarray(w, out.dtype)
    out[...] = np.where(np.abs(w) < 0.5, a + w * (b - a), b - (b - a) * (1 - w))


@quiet
def addcmul(out: Out, x, a, b, value):
    """out = x + value a b"""
    out[...] = x + value * a * b


@quiet
def addcdiv(out: Out, x, a, b, value):
    """out = x + value a / b"""
    out[...] = x + value * a / b


def where(out: Out, condition, a, b):
    """out = a where the condition (bool) holds, else b."""
    out[...] = np.where(condition, a, b)


def clamp(out: Out, x, lo, hi):
    """out = min(max(x, lo), hi); NaN where any of them is."""
    np.asarray(x).clip(lo, hi, out=out, casting="same_kind")


def clamp_backward(dx: Out, dy, x, lo, hi):
    """y = min(max(x, lo), hi)  =>  dx = dy where lo <= x <= hi, bounds included, else 0"""
    dx[...] = np.where((x >= lo) & (x <= hi), dy, 0)


def clamp_backward_lo(dlo: Out, dy, x, lo, hi):
    """y = min(max(x, lo), hi)  =>  dlo = dy where x < lo < hi, else 0"""
    dlo[...] = np.where((x < lo) & (lo < hi), dy, 0)


def clamp_backward_hi(dhi: Out, dy, x, lo, hi):
    """y = min(max(x, lo), hi)  =>  dhi = dy where x > hi or lo > hi, else 0"""
    dhi[...] = np.where((x > hi) | (lo > hi), dy, 0)


@quiet
def sum_to(out: Out, x):
    """out = x summed over the axes that broadcasting out's shape to x's would repeat.

    float32 is summed in float64, float64 in blocks.
    """
    extra = x.ndim - out.ndim
    ones = tuple(extra + i for i in range(out.ndim) if out.shape[i] == 1 and x.shape[extra + i] != 1)
    wide = np.float64 if x.dtype.itemsize < 8 and x.dtype.kind == "f" else x.dtype
    summed = x.sum(axis=(*range(extra), *ones), dtype=wide)
    out[...] = summed.reshape(out.shape)


@quiet
def mul_sum_to(out: Out, a, b):
    """out = a b summed as by sum_to; a and b are arrays of one shape."""
    sum_to(out, a * b)
