"""Functions of one number in Numba. See nnrt._ref.unary for what each computes.

numpy's ufuncs where numpy has the function: they are vectorised, and maps.run threads them.
"""

import math
from math import nan

import numpy as np

from nnrt._ref import unary as ref

from . import scalars
from .compiled import ufunc
from .maps import floating


def abs(y, x):
    floating(np.absolute, ref.abs, y, x)


@ufunc
def _abs_backward(dy, x):
    return dy if x > 0 else -dy if x < 0 else 0.0


def abs_backward(dx, dy, x):
    floating(_abs_backward, ref.abs_backward, dx, dy, x)


@ufunc
def _sign(x):
    return 1.0 if x > 0 else -1.0 if x < 0 else 0.0


def sign(y, x):
    floating(_sign, ref.sign, y, x)


def exp(y, x):
    floating(np.exp, ref.exp, y, x)


def exp2(y, x):
    floating(np.exp2, ref.exp2, y, x)


@ufunc
def _exp2_backward(dy, y):
    return dy * (y * 0.6931471805599453)


def exp2_backward(dx, dy, y):
    floating(_exp2_backward, ref.exp2_backward, dx, dy, y)


def expm1(y, x):
    floating(np.expm1, ref.expm1, y, x)


@ufunc
def _expm1_backward(dy, y):
    return dy * (y + 1)


def expm1_backward(dx, dy, y):
    floating(_expm1_backward, ref.expm1_backward, dx, dy, y)


def log(y, x):
    floating(np.log, ref.log, y, x)


def log2(y, x):
    floating(np.log2, ref.log2, y, x)


@ufunc
def _log2_backward(dy, x):
    return dy / (x * 0.6931471805599453)


def log2_backward(dx, dy, x):
    floating(_log2_backward, ref.log2_backward, dx, dy, x)


def log10(y, x):
    floating(np.log10, ref.log10, y, x)


@ufunc
def _log10_backward(dy, x):
    return dy / (x * 2.302585092994046)


def log10_backward(dx, dy, x):
    floating(_log10_backward, ref.log10_backward, dx, dy, x)


def log1p(y, x):
    floating(np.log1p, ref.log1p, y, x)


@ufunc
def _log1p_backward(dy, x):
    return dy / (1 + x)


def log1p_backward(dx, dy, x):
    floating(_log1p_backward, ref.log1p_backward, dx, dy, x)


def sqrt(y, x):
    floating(np.sqrt, ref.sqrt, y, x)


@ufunc
def _sqrt_backward(dy, y):
    return dy / (2 * y)


def sqrt_backward(dx, dy, y):
    floating(_sqrt_backward, ref.sqrt_backward, dx, dy, y)


@ufunc
def _rsqrt(x):
    return 1 / math.sqrt(x)


def rsqrt(y, x):
    floating(_rsqrt, ref.rsqrt, y, x)


@ufunc
def _rsqrt_backward(dy, y):
    return -0.5 * dy * (y * y * y)


def rsqrt_backward(dx, dy, y):
    floating(_rsqrt_backward, ref.rsqrt_backward, dx, dy, y)


@ufunc
def _square(x):
    return x * x


def square(y, x):
    floating(_square, ref.square, y, x)


@ufunc
def _square_backward(dy, x):
    return dy * (2 * x)


def square_backward(dx, dy, x):
    floating(_square_backward, ref.square_backward, dx, dy, x)


def reciprocal(y, x):
    floating(np.reciprocal, ref.reciprocal, y, x)


@ufunc
def _reciprocal_backward(dy, y):
    return -dy * (y * y)


def reciprocal_backward(dx, dy, y):
    floating(_reciprocal_backward, ref.reciprocal_backward, dx, dy, y)


def sin(y, x):
    floating(np.sin, ref.sin, y, x)


@ufunc
def _sin_backward(dy, x):
    return dy * math.cos(x)


def sin_backward(dx, dy, x):
    floating(_sin_backward, ref.sin_backward, dx, dy, x)


def cos(y, x):
    floating(np.cos, ref.cos, y, x)


@ufunc
def _cos_backward(dy, x):
    return -dy * math.sin(x)


def cos_backward(dx, dy, x):
    floating(_cos_backward, ref.cos_backward, dx, dy, x)


def tan(y, x):
    floating(np.tan, ref.tan, y, x)


@ufunc
def _tan_backward(dy, y):
    return dy * (1 + y * y)


def tan_backward(dx, dy, y):
    floating(_tan_backward, ref.tan_backward, dx, dy, y)


def asin(y, x):
    floating(np.arcsin, ref.asin, y, x)


@ufunc
def _asin_backward(dy, x):
    return dy / math.sqrt(1 - x * x)


def asin_backward(dx, dy, x):
    floating(_asin_backward, ref.asin_backward, dx, dy, x)


def acos(y, x):
    floating(np.arccos, ref.acos, y, x)


@ufunc
def _acos_backward(dy, x):
    return -dy / math.sqrt(1 - x * x)


def acos_backward(dx, dy, x):
    floating(_acos_backward, ref.acos_backward, dx, dy, x)


def atan(y, x):
    floating(np.arctan, ref.atan, y, x)


@ufunc
def _atan_backward(dy, x):
    return dy / (1 + x * x)


def atan_backward(dx, dy, x):
    floating(_atan_backward, ref.atan_backward, dx, dy, x)


def sinh(y, x):
    floating(np.sinh, ref.sinh, y, x)


@ufunc
def _sinh_backward(dy, x):
    return dy * math.cosh(x)


def sinh_backward(dx, dy, x):
    floating(_sinh_backward, ref.sinh_backward, dx, dy, x)


def cosh(y, x):
    floating(np.cosh, ref.cosh, y, x)


@ufunc
def _cosh_backward(dy, x):
    return dy * math.sinh(x)


def cosh_backward(dx, dy, x):
    floating(_cosh_backward, ref.cosh_backward, dx, dy, x)


def asinh(y, x):
    floating(np.arcsinh, ref.asinh, y, x)


@ufunc
def _asinh_backward(dy, x):
    return dy / math.sqrt(x * x + 1)


def asinh_backward(dx, dy, x):
    floating(_asinh_backward, ref.asinh_backward, dx, dy, x)


def acosh(y, x):
    floating(np.arccosh, ref.acosh, y, x)


@ufunc
def _acosh_backward(dy, x):
    return dy / math.sqrt(x * x - 1)


def acosh_backward(dx, dy, x):
    floating(_acosh_backward, ref.acosh_backward, dx, dy, x)


def atanh(y, x):
    floating(np.arctanh, ref.atanh, y, x)


@ufunc
def _atanh_backward(dy, x):
    return dy / (1 - x * x)


def atanh_backward(dx, dy, x):
    floating(_atanh_backward, ref.atanh_backward, dx, dy, x)


def tanh(y, x):
    floating(np.tanh, ref.tanh, y, x)


@ufunc
def _tanh_backward(dy, y):
    return dy * (1 - y * y)


def tanh_backward(dx, dy, y):
    floating(_tanh_backward, ref.tanh_backward, dx, dy, y)


@ufunc
def _sigmoid(x):
    return scalars.sigmoid(x)


def sigmoid(y, x):
    floating(_sigmoid, ref.sigmoid, y, x)


@ufunc
def _sigmoid_backward(dy, y):
    return dy * (y * (1 - y))


def sigmoid_backward(dx, dy, y):
    floating(_sigmoid_backward, ref.sigmoid_backward, dx, dy, y)


@ufunc
def _erf(x):
    return math.erf(x)


def erf(y, x):
    floating(_erf, ref.erf, y, x)


@ufunc
def _erf_backward(dy, x):
    return dy * (1.1283791670955126 * math.exp(-x * x))


def erf_backward(dx, dy, x):
    floating(_erf_backward, ref.erf_backward, dx, dy, x)


@ufunc
def _erfc(x):
    return math.erfc(x)


def erfc(y, x):
    floating(_erfc, ref.erfc, y, x)


@ufunc
def _erfc_backward(dy, x):
    return -dy * (1.1283791670955126 * math.exp(-x * x))


def erfc_backward(dx, dy, x):
    floating(_erfc_backward, ref.erfc_backward, dx, dy, x)


def floor(y, x):
    floating(np.floor, ref.floor, y, x)


def ceil(y, x):
    floating(np.ceil, ref.ceil, y, x)


def round(y, x):
    floating(np.rint, ref.round, y, x)


def trunc(y, x):
    floating(np.trunc, ref.trunc, y, x)


@ufunc
def _logit(x):
    return math.log(x / (1 - x))


def logit(y, x):
    floating(_logit, ref.logit, y, x)


@ufunc
def _logit_backward(dy, x):
    return nan if x < 0 or x > 1 else dy / (x * (1 - x))


def logit_backward(dx, dy, x):
    floating(_logit_backward, ref.logit_backward, dx, dy, x)


@ufunc
def _frac(x):
    return x - np.trunc(x)


def frac(y, x):
    floating(_frac, ref.frac, y, x)


@ufunc
def _sinc(x):
    return 1.0 if x == 0 else math.sin(math.pi * x) / (math.pi * x)


def sinc(y, x):
    floating(_sinc, ref.sinc, y, x)


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
    floating(_sinc_backward, ref.sinc_backward, dx, dy, x)


@ufunc
def _nan_to_num(x, nan, posinf, neginf):
    return nan if x != x else posinf if x == math.inf else neginf if x == -math.inf else x


def nan_to_num(y, x, nan, posinf, neginf):
    floating(_nan_to_num, ref.nan_to_num, y, x, nan, posinf, neginf)


@ufunc
def _nan_to_num_backward(dy, x):
    return dy if math.isfinite(x) else 0.0


def nan_to_num_backward(dx, dy, x):
    floating(_nan_to_num_backward, ref.nan_to_num_backward, dx, dy, x)


@ufunc
def _lgamma(x):
    return scalars.lgamma(x)


def lgamma(y, x):
    floating(_lgamma, ref.lgamma, y, x)


@ufunc
def _lgamma_backward(dy, x):
    return dy * scalars.digamma(x)


def lgamma_backward(dx, dy, x):
    floating(_lgamma_backward, ref.lgamma_backward, dx, dy, x)


@ufunc
def _digamma(x):
    return scalars.digamma(x)


def digamma(y, x):
    floating(_digamma, ref.digamma, y, x)


@ufunc
def _digamma_backward(dy, x):
    return dy * scalars.trigamma(x)


def digamma_backward(dx, dy, x):
    floating(_digamma_backward, ref.digamma_backward, dx, dy, x)


@ufunc
def _erfinv(x):
    return scalars.erfinv(x)


def erfinv(y, x):
    floating(_erfinv, ref.erfinv, y, x)


@ufunc
def _erfinv_backward(dy, y):
    return dy * (0.886226925452758 * math.exp(y * y))


def erfinv_backward(dx, dy, y):
    floating(_erfinv_backward, ref.erfinv_backward, dx, dy, y)
