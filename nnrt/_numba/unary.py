"""Functions of one number in Numba. See nnrt._ref.unary for what each computes.

numpy's ufuncs where numpy has the function: they are vectorised, and maps.run threads them.
"""

import math
from math import nan

import numpy as np

from nnrt._ref import unary as ref
from nnrt._ref.unary import (  # noqa: F401  as specified
    digamma,
    digamma_backward,
    erfinv,
    erfinv_backward,
    frac,
    lgamma,
    lgamma_backward,
    nan_to_num,
    nan_to_num_backward,
    sinc,
    sinc_backward,
)

from .compiled import ufunc
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
