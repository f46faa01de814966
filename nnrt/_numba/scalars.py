"""Functions of one number that kernels are made of. Those from lgamma on compute in float64; _ref.unary has their formulas."""

import math

import numpy as np

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


_NEAR = (2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087,
         -0.00125372503, -0.00417768164, 0.246640727, 1.50140941)  # fmt: skip
_FAR = (-0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773,
        -0.0076224613, 0.00943887047, 1.00167406, 2.83297682)  # fmt: skip


@jit
def erfinv(x):
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
