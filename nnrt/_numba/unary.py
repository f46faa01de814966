"""Functions of one number in Numba. See nnrt._ref.unary for what each computes.

numpy's ufuncs where numpy has the function: they are vectorised, and maps.run threads them.
"""

import math
from math import nan

import numpy as np

from nnrt._ref import unary as ref

from .compiled import jit, ufunc
from .maps import floats, run


def abs(y, x):
    if not floats(y):
        return ref.abs(y, x)
    run(np.absolute, y, x)


@ufunc
def _abs_backward(dy, x):
    return dy if x > 0 else -dy if x < 0 else 0.0


def abs_backward(dx, dy, x):
    run(_abs_backward, dx, dy, x)


@ufunc
def _sign(x):
    return 1.0 if x > 0 else -1.0 if x < 0 else 0.0


def sign(y, x):
    if not floats(y):
        return ref.sign(y, x)
    run(_sign, y, x)


def exp(y, x):
    if not floats(y):
        return ref.exp(y, x)
    run(np.exp, y, x)


def exp2(y, x):
    if not floats(y):
        return ref.exp2(y, x)
    run(np.exp2, y, x)


@ufunc
def _exp2_backward(dy, y):
    return dy * (y * 0.6931471805599453)


def exp2_backward(dx, dy, y):
    run(_exp2_backward, dx, dy, y)


def expm1(y, x):
    if not floats(y):
        return ref.expm1(y, x)
    run(np.expm1, y, x)


@ufunc
def _expm1_backward(dy, y):
    return dy * (y + 1)


def expm1_backward(dx, dy, y):
    run(_expm1_backward, dx, dy, y)


def log(y, x):
    if not floats(y):
        return ref.log(y, x)
    run(np.log, y, x)


def log2(y, x):
    if not floats(y):
        return ref.log2(y, x)
    run(np.log2, y, x)


@ufunc
def _log2_backward(dy, x):
    return dy / (x * 0.6931471805599453)


def log2_backward(dx, dy, x):
    run(_log2_backward, dx, dy, x)


def log10(y, x):
    if not floats(y):
        return ref.log10(y, x)
    run(np.log10, y, x)


@ufunc
def _log10_backward(dy, x):
    return dy / (x * 2.302585092994046)


def log10_backward(dx, dy, x):
    run(_log10_backward, dx, dy, x)


def log1p(y, x):
    if not floats(y):
        return ref.log1p(y, x)
    run(np.log1p, y, x)


@ufunc
def _log1p_backward(dy, x):
    return dy / (1 + x)


def log1p_backward(dx, dy, x):
    run(_log1p_backward, dx, dy, x)


def sqrt(y, x):
    if not floats(y):
        return ref.sqrt(y, x)
    run(np.sqrt, y, x)


@ufunc
def _sqrt_backward(dy, y):
    return dy / (2 * y)


def sqrt_backward(dx, dy, y):
    run(_sqrt_backward, dx, dy, y)


@ufunc
def _rsqrt(x):
    return 1 / math.sqrt(x)


def rsqrt(y, x):
    if not floats(y):
        return ref.rsqrt(y, x)
    run(_rsqrt, y, x)


@ufunc
def _rsqrt_backward(dy, y):
    return -0.5 * dy * (y * y * y)


def rsqrt_backward(dx, dy, y):
    run(_rsqrt_backward, dx, dy, y)


@ufunc
def _square(x):
    return x * x


def square(y, x):
    if not floats(y):
        return ref.square(y, x)
    run(_square, y, x)


@ufunc
def _square_backward(dy, x):
    return dy * (2 * x)


def square_backward(dx, dy, x):
    run(_square_backward, dx, dy, x)


def reciprocal(y, x):
    if not floats(y):
        return ref.reciprocal(y, x)
    run(np.reciprocal, y, x)


@ufunc
def _reciprocal_backward(dy, y):
    return -dy * (y * y)


def reciprocal_backward(dx, dy, y):
    run(_reciprocal_backward, dx, dy, y)


def sin(y, x):
    if not floats(y):
        return ref.sin(y, x)
    run(np.sin, y, x)


@ufunc
def _sin_backward(dy, x):
    return dy * math.cos(x)


def sin_backward(dx, dy, x):
    run(_sin_backward, dx, dy, x)


def cos(y, x):
    if not floats(y):
        return ref.cos(y, x)
    run(np.cos, y, x)


@ufunc
def _cos_backward(dy, x):
    return -dy * math.sin(x)


def cos_backward(dx, dy, x):
    run(_cos_backward, dx, dy, x)


def tan(y, x):
    if not floats(y):
        return ref.tan(y, x)
    run(np.tan, y, x)


@ufunc
def _tan_backward(dy, y):
    return dy * (1 + y * y)


def tan_backward(dx, dy, y):
    run(_tan_backward, dx, dy, y)


def asin(y, x):
    if not floats(y):
        return ref.asin(y, x)
    run(np.arcsin, y, x)


@ufunc
def _asin_backward(dy, x):
    return dy / math.sqrt(1 - x * x)


def asin_backward(dx, dy, x):
    run(_asin_backward, dx, dy, x)


def acos(y, x):
    if not floats(y):
        return ref.acos(y, x)
    run(np.arccos, y, x)


@ufunc
def _acos_backward(dy, x):
    return -dy / math.sqrt(1 - x * x)


def acos_backward(dx, dy, x):
    run(_acos_backward, dx, dy, x)


def atan(y, x):
    if not floats(y):
        return ref.atan(y, x)
    run(np.arctan, y, x)


@ufunc
def _atan_backward(dy, x):
    return dy / (1 + x * x)


def atan_backward(dx, dy, x):
    run(_atan_backward, dx, dy, x)


def sinh(y, x):
    if not floats(y):
        return ref.sinh(y, x)
    run(np.sinh, y, x)


@ufunc
def _sinh_backward(dy, x):
    return dy * math.cosh(x)


def sinh_backward(dx, dy, x):
    run(_sinh_backward, dx, dy, x)


def cosh(y, x):
    if not floats(y):
        return ref.cosh(y, x)
    run(np.cosh, y, x)


@ufunc
def _cosh_backward(dy, x):
    return dy * math.sinh(x)


def cosh_backward(dx, dy, x):
    run(_cosh_backward, dx, dy, x)


def asinh(y, x):
    if not floats(y):
        return ref.asinh(y, x)
    run(np.arcsinh, y, x)


@ufunc
def _asinh_backward(dy, x):
    return dy / math.sqrt(x * x + 1)


def asinh_backward(dx, dy, x):
    run(_asinh_backward, dx, dy, x)


def acosh(y, x):
    if not floats(y):
        return ref.acosh(y, x)
    run(np.arccosh, y, x)


@ufunc
def _acosh_backward(dy, x):
    return dy / math.sqrt(x * x - 1)


def acosh_backward(dx, dy, x):
    run(_acosh_backward, dx, dy, x)


def atanh(y, x):
    if not floats(y):
        return ref.atanh(y, x)
    run(np.arctanh, y, x)


@ufunc
def _atanh_backward(dy, x):
    return dy / (1 - x * x)


def atanh_backward(dx, dy, x):
    run(_atanh_backward, dx, dy, x)


def tanh(y, x):
    if not floats(y):
        return ref.tanh(y, x)
    run(np.tanh, y, x)


@ufunc
def _tanh_backward(dy, y):
    return dy * (1 - y * y)


def tanh_backward(dx, dy, y):
    run(_tanh_backward, dx, dy, y)


@ufunc
def _sigmoid(x):
    return (math.exp(-math.fabs(x)) if x < 0 else 1.0) / (1 + math.exp(-math.fabs(x)))


def sigmoid(y, x):
    if not floats(y):
        return ref.sigmoid(y, x)
    run(_sigmoid, y, x)


@ufunc
def _sigmoid_backward(dy, y):
    return dy * (y * (1 - y))


def sigmoid_backward(dx, dy, y):
    run(_sigmoid_backward, dx, dy, y)


@ufunc
def _erf(x):
    return math.erf(x)


def erf(y, x):
    if not floats(y):
        return ref.erf(y, x)
    run(_erf, y, x)


@ufunc
def _erf_backward(dy, x):
    return dy * (1.1283791670955126 * math.exp(-x * x))


def erf_backward(dx, dy, x):
    run(_erf_backward, dx, dy, x)


@ufunc
def _erfc(x):
    return math.erfc(x)


def erfc(y, x):
    if not floats(y):
        return ref.erfc(y, x)
    run(_erfc, y, x)


@ufunc
def _erfc_backward(dy, x):
    return -dy * (1.1283791670955126 * math.exp(-x * x))


def erfc_backward(dx, dy, x):
    run(_erfc_backward, dx, dy, x)


def floor(y, x):
    if not floats(y):
        return ref.floor(y, x)
    run(np.floor, y, x)


def ceil(y, x):
    if not floats(y):
        return ref.ceil(y, x)
    run(np.ceil, y, x)


def round(y, x):
    if not floats(y):
        return ref.round(y, x)
    run(np.rint, y, x)


def trunc(y, x):
    if not floats(y):
        return ref.trunc(y, x)
    run(np.trunc, y, x)


@ufunc
def _logit(x):
    return math.log(x / (1 - x))


def logit(y, x):
    if not floats(y):
        return ref.logit(y, x)
    run(_logit, y, x)


@ufunc
def _logit_backward(dy, x):
    return nan if x < 0 or x > 1 else dy / (x * (1 - x))


def logit_backward(dx, dy, x):
    run(_logit_backward, dx, dy, x)


@ufunc
def _frac(x):
    return x - np.trunc(x)


def frac(y, x):
    if not floats(y):
        return ref.frac(y, x)
    run(_frac, y, x)


@ufunc
def _sinc(x):
    return 1.0 if x == 0 else math.sin(math.pi * x) / (math.pi * x)


def sinc(y, x):
    if not floats(y):
        return ref.sinc(y, x)
    run(_sinc, y, x)


@ufunc
def _sinc_backward(dy, x):
    p = math.pi * x
    q = p * p
    if q >= 0.25 or q != q:
        return dy * math.pi * ((math.cos(p) * p - math.sin(p)) / q)
    # Σ (-q)^(k - 1) 2k / (2k + 1)!
    s = 1 / 3991680 - q * (1 / 518918400 - q / 93405312000)
    return -dy * math.pi * p * (1 / 3 - q * (1 / 30 - q * (1 / 840 - q * (1 / 45360 - q * s))))


def sinc_backward(dx, dy, x):
    run(_sinc_backward, dx, dy, x)


@ufunc
def _nan_to_num(x, nan, posinf, neginf):
    return nan if x != x else posinf if x == math.inf else neginf if x == -math.inf else x


def nan_to_num(y, x, nan, posinf, neginf):
    if not floats(y):
        return ref.nan_to_num(y, x, nan, posinf, neginf)
    run(_nan_to_num, y, x, nan, posinf, neginf)


@ufunc
def _nan_to_num_backward(dy, x):
    return dy if math.isfinite(x) else 0.0


def nan_to_num_backward(dx, dy, x):
    run(_nan_to_num_backward, dx, dy, x)


# ---- special functions, in float64; see _ref for the formulas


@ufunc
def _lgamma(x):
    if x != x or math.isinf(x):
        return math.inf if x == x else x
    return math.inf if x <= 0 and x == math.floor(x) else math.lgamma(np.float64(x))


def lgamma(y, x):
    if not floats(y):
        return ref.lgamma(y, x)
    run(_lgamma, y, x)


@jit
def _psi(x):
    z = np.float64(x)
    if z == 0:
        return math.copysign(math.inf, -z)
    value = 0.0
    if z < 0:
        fraction = z - np.rint(z)
        if fraction == 0:
            return math.nan
        value = -math.pi / math.tan(math.pi * fraction)
        z = 1 - z
    while z < 10:
        value -= 1 / z
        z += 1
    r = 1 / (z * z)
    series = 1 / 12 - r * (1 / 120 - r * (1 / 252 - r * (1 / 240 - r * (1 / 132 - r * (691 / 32760 - r / 12)))))
    return value + math.log(z) - 0.5 / z - r * series


@ufunc
def _lgamma_backward(dy, x):
    return dy * _psi(x)


def lgamma_backward(dx, dy, x):
    run(_lgamma_backward, dx, dy, x)


@ufunc
def _digamma(x):
    return _psi(x)


def digamma(y, x):
    if not floats(y):
        return ref.digamma(y, x)
    run(_digamma, y, x)


@ufunc
def _digamma_backward(dy, x):
    z, sign, value = np.float64(x), 1.0, 0.0
    if z < 0.5:
        value = (math.pi / math.sin(math.pi * (z - np.rint(z)))) ** 2
        z, sign = 1 - z, -1.0
    while z < 10:
        value += sign / (z * z)
        z += 1
    r = 1 / (z * z)
    series = 1 / 6 - r * (1 / 30 - r * (1 / 42 - r * (1 / 30 - r * (5 / 66 - r * (691 / 2730 - r * 7 / 6)))))
    return dy * (value + sign * (1 / z + r / 2 + series * r / z))


def digamma_backward(dx, dy, x):
    run(_digamma_backward, dx, dy, x)


_NEAR = (2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087,
         -0.00125372503, -0.00417768164, 0.246640727, 1.50140941)  # fmt: skip
_FAR = (-0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773,
        -0.0076224613, 0.00943887047, 1.00167406, 2.83297682)  # fmt: skip


@ufunc
def _erfinv(x):
    z = np.float64(x)
    if math.fabs(z) == 1:
        return math.copysign(math.inf, z)
    w = -math.log((1 - z) * (1 + z))
    at = w - 2.5 if w < 5 else math.sqrt(w) - 3
    guess = 0.0
    for near, far in zip(_NEAR, _FAR):
        guess = guess * at + (near if w < 5 else far)
    guess *= z
    for _ in range(2):  # from the nearer of erf and erfc, so that the residual does not cancel
        if math.fabs(z) < 0.5:
            error = math.erf(guess) - z
        else:
            error = ((1 - math.fabs(z)) - math.erfc(math.fabs(guess))) * (1.0 if z > 0 else -1.0)
        guess -= error / (2 / math.sqrt(math.pi) * math.exp(-guess * guess))
    return guess


def erfinv(y, x):
    if not floats(y):
        return ref.erfinv(y, x)
    run(_erfinv, y, x)


@ufunc
def _erfinv_backward(dy, y):
    return dy * (0.886226925452758 * math.exp(y * y))


def erfinv_backward(dx, dy, y):
    run(_erfinv_backward, dx, dy, y)
