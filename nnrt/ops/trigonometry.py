"""Trigonometric and hyperbolic functions and their inverses, element by element; see unary.py."""

import math

from .. import registry
from ..autograd import record
from ..memory import empty_like
from ..tensor import Tensor
from .promotion import as_float
from .unary import input_saved, output_saved, saved_backward

K = registry.family("unary")
A = registry.family("elementwise")


def sin(input) -> Tensor:
    """Sine of input in radians."""
    return input_saved("sin", input, K.sin, sin_backward)


def sin_backward(node, dy):
    return saved_backward(node, dy, K.sin_backward)


def cos(input) -> Tensor:
    """Cosine of input in radians."""
    return input_saved("cos", input, K.cos, cos_backward)


def cos_backward(node, dy):
    return saved_backward(node, dy, K.cos_backward)


def tan(input) -> Tensor:
    """Tangent of input in radians."""
    return output_saved("tan", input, K.tan, tan_backward)


def tan_backward(node, dy):
    return saved_backward(node, dy, K.tan_backward)


def deg2rad(input) -> Tensor:
    """input degrees in radians."""
    return _scaled("deg2rad", input, math.pi / 180)


def rad2deg(input) -> Tensor:
    """input radians in degrees."""
    return _scaled("rad2deg", input, 180 / math.pi)


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


def asin(input) -> Tensor:
    """The angle in [-pi/2, pi/2] whose sine is input."""
    return input_saved("asin", input, K.asin, asin_backward)


def asin_backward(node, dy):
    return saved_backward(node, dy, K.asin_backward)


def acos(input) -> Tensor:
    """The angle in [0, pi] whose cosine is input."""
    return input_saved("acos", input, K.acos, acos_backward)


def acos_backward(node, dy):
    return saved_backward(node, dy, K.acos_backward)


def atan(input) -> Tensor:
    """The angle in [-pi/2, pi/2] whose tangent is input."""
    return input_saved("atan", input, K.atan, atan_backward)


def atan_backward(node, dy):
    return saved_backward(node, dy, K.atan_backward)


def sinh(input) -> Tensor:
    """(e^input - e^-input) / 2."""
    return input_saved("sinh", input, K.sinh, sinh_backward)


def sinh_backward(node, dy):
    return saved_backward(node, dy, K.sinh_backward)


def cosh(input) -> Tensor:
    """(e^input + e^-input) / 2."""
    return input_saved("cosh", input, K.cosh, cosh_backward)


def cosh_backward(node, dy):
    return saved_backward(node, dy, K.cosh_backward)


def asinh(input) -> Tensor:
    """The number whose sinh is input."""
    return input_saved("asinh", input, K.asinh, asinh_backward)


def asinh_backward(node, dy):
    return saved_backward(node, dy, K.asinh_backward)


def acosh(input) -> Tensor:
    """The number >= 0 whose cosh is input."""
    return input_saved("acosh", input, K.acosh, acosh_backward)


def acosh_backward(node, dy):
    return saved_backward(node, dy, K.acosh_backward)


def atanh(input) -> Tensor:
    """The number whose tanh is input."""
    return input_saved("atanh", input, K.atanh, atanh_backward)


def atanh_backward(node, dy):
    return saved_backward(node, dy, K.atanh_backward)


# torch's other names
arcsin = asin
arccos = acos
arctan = atan
arcsinh = asinh
arccosh = acosh
arctanh = atanh
