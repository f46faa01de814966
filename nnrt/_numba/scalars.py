"""Functions of one number that kernels are made of. Those from lgamma on compute in float64; _ref.unary has their formulas."""

import math

import numpy as np

from nnrt._ref.unary import ERFINV_FAR, ERFINV_NEAR

from .compiled import jit


@jit
def sigmoid(x):
    z = math.exp(-abs(x))
    return (z if x < 0 else 1.0) / (1 + z)


@jit
def softplus(x):
    """log(1 + e^x)."""
    return (0.0 if x < 0 else x) + math.log1p(math.exp(-abs(x)))


@jit
def normal(x):
    """The standard normal distribution's function, and its density below."""
    return 0.5 * math.erfc(-x * 0.7071067811865476)


@jit
def density(x):
    return 0.3989422804014327 * math.exp(-0.5 * x * x)


@jit
def lgamma(x):
    if x != x or math.isinf(x):
        return math.inf if x == x else x
    return math.inf if x <= 0 and x == math.floor(x) else math.lgamma(np.float64(x))


@jit
def digamma(x):
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


@jit
def trigamma(x):
    z, sign, value = np.float64(x), 1.0, 0.0
    if z < 0.5:
        value = (math.pi / math.sin(math.pi * (z - np.rint(z)))) ** 2
        z, sign = 1 - z, -1.0
    while z < 10:
        value += sign / (z * z)
        z += 1
    r = 1 / (z * z)
    series = 1 / 6 - r * (1 / 30 - r * (1 / 42 - r * (1 / 30 - r * (5 / 66 - r * (691 / 2730 - r * 7 / 6)))))
    return value + sign * (1 / z + r / 2 + series * r / z)


@jit
def erfinv(x):
    z = np.float64(x)
    if math.fabs(z) == 1:
        return math.copysign(math.inf, z)
    w = -math.log((1 - z) * (1 + z)) if math.fabs(z) < 1 else math.nan
    value = 0.0
    if w < 6.25:
        for c in ERFINV_NEAR:
            value = value * (w - 3.125) + c
    else:
        for c in ERFINV_FAR:
            value = value * (math.sqrt(w) - 4.25) + c
    return value * z
