"""Trigonometric and hyperbolic functions and their inverses, element by element; see unary.py."""

import math

from .. import registry
from ..autograd import record
from ..memory import empty_like
from .promotion import as_float
from .unary import input_saved, output_saved, saved_backward

K = registry.family("unary")
A = registry.family("elementwise")


def sin(x):
    """Sine of x in radians."""
    return input_saved("sin", x, K.sin, sin_backward)


def sin_backward(node, dy):
    return saved_backward(node, dy, K.sin_backward)


def cos(x):
    """Cosine of x in radians."""
    return input_saved("cos", x, K.cos, cos_backward)


def cos_backward(node, dy):
    return saved_backward(node, dy, K.cos_backward)


def tan(x):
    """Tangent of x in radians."""
    return output_saved("tan", x, K.tan, tan_backward)


def tan_backward(node, dy):
    return saved_backward(node, dy, K.tan_backward)


def deg2rad(x):
    """x degrees in radians."""
    return _scaled("deg2rad", x, math.pi / 180)


def rad2deg(x):
    """x radians in degrees."""
    return _scaled("rad2deg", x, 180 / math.pi)


def _scaled(op, x, factor):
    x = as_float(op, x)
    y = empty_like(x.array)
    A.mul(y, x.array, factor)
    return record(y, scaled_backward, (x,), (factor,))


def scaled_backward(node, dy):
    (factor,) = node.saved
    dx = empty_like(dy)
    A.mul(dx, dy, factor)
    return (dx,)


def asin(x):
    """The angle in [-pi/2, pi/2] whose sine is x."""
    return input_saved("asin", x, K.asin, asin_backward)


def asin_backward(node, dy):
    return saved_backward(node, dy, K.asin_backward)


def acos(x):
    """The angle in [0, pi] whose cosine is x."""
    return input_saved("acos", x, K.acos, acos_backward)


def acos_backward(node, dy):
    return saved_backward(node, dy, K.acos_backward)


def atan(x):
    """The angle in [-pi/2, pi/2] whose tangent is x."""
    return input_saved("atan", x, K.atan, atan_backward)


def atan_backward(node, dy):
    return saved_backward(node, dy, K.atan_backward)


def sinh(x):
    """(e^x - e^-x) / 2."""
    return input_saved("sinh", x, K.sinh, sinh_backward)


def sinh_backward(node, dy):
    return saved_backward(node, dy, K.sinh_backward)


def cosh(x):
    """(e^x + e^-x) / 2."""
    return input_saved("cosh", x, K.cosh, cosh_backward)


def cosh_backward(node, dy):
    return saved_backward(node, dy, K.cosh_backward)


def asinh(x):
    """The number whose sinh is x."""
    return input_saved("asinh", x, K.asinh, asinh_backward)


def asinh_backward(node, dy):
    return saved_backward(node, dy, K.asinh_backward)


def acosh(x):
    """The number >= 0 whose cosh is x."""
    return input_saved("acosh", x, K.acosh, acosh_backward)


def acosh_backward(node, dy):
    return saved_backward(node, dy, K.acosh_backward)


def atanh(x):
    """The number whose tanh is x."""
    return input_saved("atanh", x, K.atanh, atanh_backward)


def atanh_backward(node, dy):
    return saved_backward(node, dy, K.atanh_backward)


# torch's other names
arcsin = asin
arccos = acos
arctan = atan
arcsinh = asinh
arccosh = acosh
arctanh = atanh
