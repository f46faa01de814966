"""Functions of one number, element by element (specification).

x, y and dy have the output's shape and may have any strides; the output may be one of the inputs.
What is undefined in the reals gives NaN or inf silently, as IEEE 754 says.
"""

import math

import numpy as np

from . import Out, quiet

_erf = np.vectorize(math.erf, otypes=[np.float64])
_erfc = np.vectorize(math.erfc, otypes=[np.float64])


def abs(y: Out, x):
    """y = |x|"""
    np.absolute(x, out=y)


def abs_backward(dx: Out, dy, x):
    """dx = dy sign(x): 0 at 0 and at NaN"""
    dx[...] = np.where(x > 0, dy, np.where(x < 0, -dy, 0))


def sign(y: Out, x):
    """y = -1, 0 or 1; 0 for NaN"""
    y[...] = (x > 0) * np.int8(1) - (x < 0)


@quiet
def exp(y: Out, x):
    """y = e^x"""
    np.exp(x, out=y)


@quiet
def exp2(y: Out, x):
    """y = 2^x"""
    np.exp2(x, out=y)


def exp2_backward(dx: Out, dy, y):
    """dx = dy y log 2"""
    dx[...] = dy * (y * math.log(2))


@quiet
def expm1(y: Out, x):
    """y = e^x - 1, exact near 0 too"""
    np.expm1(x, out=y)


def expm1_backward(dx: Out, dy, y):
    """dx = dy e^x = dy (y + 1)"""
    dx[...] = dy * (y + 1)


@quiet
def log(y: Out, x):
    """y = natural logarithm of x"""
    np.log(x, out=y)


@quiet
def log2(y: Out, x):
    """y = logarithm of x to base 2"""
    np.log2(x, out=y)


@quiet
def log2_backward(dx: Out, dy, x):
    """dx = dy / (x log 2)"""
    dx[...] = dy / (x * math.log(2))


@quiet
def log10(y: Out, x):
    """y = logarithm of x to base 10"""
    np.log10(x, out=y)


@quiet
def log10_backward(dx: Out, dy, x):
    """dx = dy / (x log 10)"""
    dx[...] = dy / (x * math.log(10))


@quiet
def log1p(y: Out, x):
    """y = log(1 + x), exact near 0 too"""
    np.log1p(x, out=y)


@quiet
def log1p_backward(dx: Out, dy, x):
    """dx = dy / (1 + x)"""
    dx[...] = dy / (1 + x)


@quiet
def sqrt(y: Out, x):
    """y = x^(1/2)"""
    np.sqrt(x, out=y)


@quiet
def sqrt_backward(dx: Out, dy, y):
    """dx = dy / (2 y): infinite at 0"""
    dx[...] = dy / (2 * y)


@quiet
def rsqrt(y: Out, x):
    """y = x^(-1/2)"""
    y[...] = 1 / np.sqrt(x)


@quiet
def rsqrt_backward(dx: Out, dy, y):
    """dx = -dy y^3 / 2"""
    dx[...] = -0.5 * dy * (y * y * y)


@quiet
def square(y: Out, x):
    """y = x^2"""
    np.multiply(x, x, out=y)


@quiet
def square_backward(dx: Out, dy, x):
    """dx = 2 dy x"""
    dx[...] = dy * (2 * x)


@quiet
def reciprocal(y: Out, x):
    """y = 1 / x"""
    np.divide(1, x, out=y)


@quiet
def reciprocal_backward(dx: Out, dy, y):
    """dx = -dy y^2"""
    dx[...] = -dy * (y * y)


@quiet
def sin(y: Out, x):
    """y = sin x"""
    np.sin(x, out=y)


@quiet
def sin_backward(dx: Out, dy, x):
    """dx = dy cos x"""
    dx[...] = dy * np.cos(x)


@quiet
def cos(y: Out, x):
    """y = cos x"""
    np.cos(x, out=y)


@quiet
def cos_backward(dx: Out, dy, x):
    """dx = -dy sin x"""
    dx[...] = -dy * np.sin(x)


@quiet
def tan(y: Out, x):
    """y = tan x"""
    np.tan(x, out=y)


@quiet
def tan_backward(dx: Out, dy, y):
    """dx = dy (1 + y^2)"""
    dx[...] = dy * (1 + y * y)


@quiet
def asin(y: Out, x):
    """y = the angle in [-pi/2, pi/2] whose sine is x"""
    np.arcsin(x, out=y)


@quiet
def asin_backward(dx: Out, dy, x):
    """dx = dy / sqrt(1 - x^2)"""
    dx[...] = dy / np.sqrt(1 - x * x)


@quiet
def acos(y: Out, x):
    """y = the angle in [0, pi] whose cosine is x"""
    np.arccos(x, out=y)


@quiet
def acos_backward(dx: Out, dy, x):
    """dx = -dy / sqrt(1 - x^2)"""
    dx[...] = -dy / np.sqrt(1 - x * x)


def atan(y: Out, x):
    """y = the angle in [-pi/2, pi/2] whose tangent is x"""
    np.arctan(x, out=y)


@quiet
def atan_backward(dx: Out, dy, x):
    """dx = dy / (1 + x^2)"""
    dx[...] = dy / (1 + x * x)


@quiet
def sinh(y: Out, x):
    """y = (e^x - e^-x) / 2"""
    np.sinh(x, out=y)


@quiet
def sinh_backward(dx: Out, dy, x):
    """dx = dy cosh x"""
    dx[...] = dy * np.cosh(x)


@quiet
def cosh(y: Out, x):
    """y = (e^x + e^-x) / 2"""
    np.cosh(x, out=y)


@quiet
def cosh_backward(dx: Out, dy, x):
    """dx = dy sinh x"""
    dx[...] = dy * np.sinh(x)


@quiet
def asinh(y: Out, x):
    """y = log(x + sqrt(x^2 + 1))"""
    np.arcsinh(x, out=y)


@quiet
def asinh_backward(dx: Out, dy, x):
    """dx = dy / sqrt(x^2 + 1)"""
    dx[...] = dy / np.sqrt(x * x + 1)


@quiet
def acosh(y: Out, x):
    """y = log(x + sqrt(x^2 - 1))"""
    np.arccosh(x, out=y)


@quiet
def acosh_backward(dx: Out, dy, x):
    """dx = dy / sqrt(x^2 - 1)"""
    dx[...] = dy / np.sqrt(x * x - 1)


@quiet
def atanh(y: Out, x):
    """y = log((1 + x) / (1 - x)) / 2"""
    np.arctanh(x, out=y)


@quiet
def atanh_backward(dx: Out, dy, x):
    """dx = dy / (1 - x^2)"""
    dx[...] = dy / (1 - x * x)


def tanh(y: Out, x):
    """y = (e^x - e^-x) / (e^x + e^-x)"""
    np.tanh(x, out=y)


def tanh_backward(dx: Out, dy, y):
    """dx = dy (1 - y^2)"""
    dx[...] = dy * (1 - y * y)


@quiet
def sigmoid(y: Out, x):
    """y = 1 / (1 + e^-x)"""
    y[...] = 1 / (1 + np.exp(-x))


def sigmoid_backward(dx: Out, dy, y):
    """dx = dy y (1 - y)"""
    dx[...] = dy * (y * (1 - y))


def erf(y: Out, x):
    """y = 2 / sqrt(pi) times the integral of e^(-t^2) from 0 to x"""
    y[...] = _erf(x)


@quiet
def erf_backward(dx: Out, dy, x):
    """dx = dy 2 / sqrt(pi) e^(-x^2)"""
    dx[...] = dy * (2 / math.sqrt(math.pi) * np.exp(-x * x))


def erfc(y: Out, x):
    """y = 1 - erf x, exact for large x too"""
    y[...] = _erfc(x)


@quiet
def erfc_backward(dx: Out, dy, x):
    """dx = -dy 2 / sqrt(pi) e^(-x^2)"""
    dx[...] = -dy * (2 / math.sqrt(math.pi) * np.exp(-x * x))


# erfinv(x) / x by w - 3.125, w < 6.25, and by sqrt(w) - 4.25 beyond: Chebyshev fits, the highest power first
ERFINV_NEAR = (
    3.240704459379902e-21, -1.113483769832702e-21, -3.4996044354754177e-19, 1.150022252066253e-18,
    1.557432024623325e-17, -1.3016928016796445e-16, -4.0282154327661744e-17, 6.596407712420834e-15,
    -4.001237735091896e-14, -8.118399443074353e-14, 2.6304834740560442e-12, -1.2976885526532075e-11,
    -5.414287198084716e-11, 1.0512181539804126e-09, -4.11266082002324e-09, -2.9070382262927266e-08,
    4.234788173782339e-07, -1.3654691850603575e-06, -1.3882523394405316e-05, 0.00018673420802464837,
    -0.000740702534154477, -0.00603367087142785, 0.2401581824255883, 1.6536545626831027,
)  # fmt: skip
ERFINV_FAR = (
    4.994109867463605e-16, -9.599117576005519e-16, -1.5329894692147394e-14, 5.5357380663372865e-14,
    5.2442413863423347e-14, -5.164813362913278e-13, 1.1365910629608298e-12, -2.9516972459334954e-12,
    4.4790884062226995e-12, 2.978626943491487e-11, -1.9210504408416398e-10, 4.728196676100834e-10,
    -1.798063883345826e-10, -3.084983385664055e-09, 1.3424821848038925e-08, -3.0120575961569274e-08,
    2.562348190534966e-08, 9.327240859925412e-08, -5.152672352708825e-07, 1.4901851903269014e-06,
    -3.211125941112318e-06, 5.807264696473426e-06, -1.0197665338895134e-05, 2.1980128895453253e-05,
    -6.441975072298072e-05, 0.0002121767132056046, -0.0006078940274627185, 0.0007127499726621096,
    1.0099782771612555, 4.09222342366813,
)  # fmt: skip


@quiet
def erfinv(y: Out, x):
    """y with erf y = x: x times a polynomial in w = -log(1 - x^2) or its root, as in Giles, "Approximating the erfinv
    function", GPU Computing Gems 2, 2011."""
    z = x.astype(np.float64)
    w = -np.log((1 - z) * (1 + z))
    value = z * np.where(w < 6.25, np.polyval(ERFINV_NEAR, w - 3.125), np.polyval(ERFINV_FAR, np.sqrt(w) - 4.25))
    y[...] = np.where(np.abs(z) == 1, np.copysign(np.inf, z), value)


@quiet
def erfinv_backward(dx: Out, dy, y):
    """dx = dy sqrt(pi) / 2 e^(y^2)"""
    dx[...] = dy * (math.sqrt(math.pi) / 2 * np.exp(y * y))


def _lgamma(x):
    try:
        return math.lgamma(x)
    except (ValueError, OverflowError):  # at 0, -1, ... and beyond the largest number
        return math.inf


@quiet
def lgamma(y: Out, x):
    """y = log |gamma(x)|"""
    y[...] = np.vectorize(_lgamma, otypes=[np.float64])(x)


def lgamma_backward(dx: Out, dy, x):
    """dx = dy digamma(x)"""
    dx[...] = dy * _digamma(x)


def digamma(y: Out, x):
    """y = d/dx log gamma(x)"""
    y[...] = _digamma(x)


@quiet
def _digamma(x):
    # Reflection psi(x) = psi(1 - x) - pi cot(pi x), recurrence psi(x) = psi(x + 1) - 1/x up to 10,
    # then the asymptotic series (Abramowitz and Stegun 6.3.5, 6.3.7, 6.3.18).
    z = x.astype(np.float64)
    below = z < 0
    fraction = z - np.round(z)
    reflected = np.where(below, -math.pi / np.tan(math.pi * fraction), 0)
    z = np.where(below, 1 - z, z)
    total = np.zeros_like(z)
    for _ in range(10):
        small = z < 10
        total = np.where(small, total - 1 / z, total)
        z = np.where(small, z + 1, z)
    r = 1 / (z * z)
    series = np.polyval((1 / 12, -691 / 32760, 1 / 132, -1 / 240, 1 / 252, -1 / 120, 1 / 12), r) * r
    value = total + np.log(z) - 0.5 / z - series + reflected
    value = np.where(below & (fraction == 0), np.nan, value)
    return np.where(x == 0, np.copysign(np.inf, -x), value)


@quiet
def digamma_backward(dx: Out, dy, x):
    """dx = dy trigamma(x)"""
    # As _digamma: reflection, recurrence, series (Abramowitz and Stegun 6.4.6, 6.4.7, 6.4.12).
    z = x.astype(np.float64)
    below = z < 0.5
    sign = np.where(below, -1, 1)
    reflected = np.where(below, (math.pi / np.sin(math.pi * (z - np.round(z)))) ** 2, 0)
    z = np.where(below, 1 - z, z)
    total = np.zeros_like(z)
    for _ in range(10):
        small = z < 10
        total = np.where(small, total + 1 / (z * z), total)
        z = np.where(small, z + 1, z)
    r = 1 / (z * z)
    series = np.polyval((7 / 6, -691 / 2730, 5 / 66, -1 / 30, 1 / 42, -1 / 30, 1 / 6), r) * r / z
    dx[...] = dy * (reflected + sign * (total + 1 / z + r / 2 + series))


def floor(y: Out, x):
    """y = the largest whole number that is not above x"""
    np.floor(x, out=y)


def ceil(y: Out, x):
    """y = the smallest whole number that is not below x"""
    np.ceil(x, out=y)


def round(y: Out, x):
    """y = the nearest whole number, halves to even"""
    np.rint(x, out=y)


def trunc(y: Out, x):
    """y = x without its fraction"""
    np.trunc(x, out=y)


@quiet
def frac(y: Out, x):
    """y = x - trunc x"""
    np.subtract(x, np.trunc(x), out=y)


@quiet
def logit(y: Out, x):
    """y = log(x / (1 - x))"""
    y[...] = np.log(x / (1 - x))


@quiet
def logit_backward(dx: Out, dy, x):
    """dx = dy / (x (1 - x)), NaN outside [0, 1]"""
    dx[...] = np.where((x < 0) | (x > 1), np.nan, dy / (x * (1 - x)))


@quiet
def sinc(y: Out, x):
    """y = sin(pi x) / (pi x), 1 at 0"""
    p = math.pi * x
    y[...] = np.where(x == 0, 1, np.sin(p) / p)


@quiet
def sinc_backward(dx: Out, dy, x):
    """dx = dy pi (p cos p - sin p) / p^2, p = pi x; near 0, where the difference would cancel, by its series"""
    p = math.pi * x
    q = p * p
    series = np.zeros_like(q)
    for k in range(7, 0, -1):
        series = 2 * k / math.factorial(2 * k + 1) - q * series
    dx[...] = dy * math.pi * np.where(q < 0.25, -p * series, (np.cos(p) * p - np.sin(p)) / q)


def nan_to_num(y: Out, x, nan, posinf, neginf):
    """y = x with NaN, inf and -inf replaced by the three numbers"""
    y[...] = np.where(x != x, nan, np.where(x == np.inf, posinf, np.where(x == -np.inf, neginf, x)))


def nan_to_num_backward(dx: Out, dy, x):
    """dx = dy where x is finite, else 0"""
    dx[...] = np.where(np.isfinite(x), dy, 0)
