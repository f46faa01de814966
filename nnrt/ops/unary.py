"""Functions of one number, element by element; those of angles are in trigonometry.py.

Integers and bools become the default float dtype where the function has no meaning on them, as
in torch. What is undefined in the reals gives NaN or inf. Each backward uses the input or the
output, whichever is cheaper; see nnrt._ref.unary for the formulas.
"""

import math

import numpy as np

from .. import memory, registry
from ..autograd import record
from ..memory import empty_like
from ..tensor import wrap
from .promotion import as_float, as_tensor

K = registry.family("unary")
A = registry.family("elementwise")


def input_saved(op, x, kernel, backward):
    """y = kernel(x); the backward uses x."""
    x = as_float(op, x)
    y = empty_like(x.array)
    kernel(y, x.array)
    return record(y, backward, (x,), (x,))


def output_saved(op, x, kernel, backward):
    """y = kernel(x); the backward uses y."""
    x = as_float(op, x)
    y = empty_like(x.array)
    kernel(y, x.array)
    return record(y, backward, (x,), (y,))


def saved_backward(node, dy, kernel):
    (saved,) = node.saved
    dx = empty_like(saved)
    kernel(dx, dy, saved)
    return (dx,)


def neg(x):
    """-x. RuntimeError for bools."""
    x = as_tensor("neg", x)
    if x.array.dtype.kind == "b":
        raise RuntimeError("neg: bools have no negative; use logical_not")
    y = empty_like(x.array)
    A.neg(y, x.array)
    return record(y, neg_backward, (x,))


def neg_backward(node, dy):
    dx = empty_like(dy)
    A.neg(dx, dy)
    return (dx,)


def positive(x):
    """x itself. RuntimeError for bools."""
    x = as_tensor("positive", x)
    if x.array.dtype.kind == "b":
        raise RuntimeError("positive: bools have no sign")
    return x


def abs(x):
    """|x|; the gradient at 0 is 0."""
    x = as_tensor("abs", x)
    if x.array.dtype.kind == "b":
        raise RuntimeError("abs: bools have no absolute value")
    y = empty_like(x.array)
    K.abs(y, x.array)
    return record(y, abs_backward, (x,), (x,))


def abs_backward(node, dy):
    return saved_backward(node, dy, K.abs_backward)


def square(x):
    """x^2."""
    x = as_tensor("square", x)
    if x.array.dtype.kind == "b":
        return square(x.to(np.int64))
    y = empty_like(x.array)
    K.square(y, x.array)
    return record(y, square_backward, (x,), (x,))


def square_backward(node, dy):
    return saved_backward(node, dy, K.square_backward)


def exp(x):
    """e^x."""
    return output_saved("exp", x, K.exp, exp_backward)


def exp_backward(node, dy):
    return saved_backward(node, dy, A.mul)


def exp2(x):
    """2^x."""
    return output_saved("exp2", x, K.exp2, exp2_backward)


def exp2_backward(node, dy):
    return saved_backward(node, dy, K.exp2_backward)


def expm1(x):
    """e^x - 1, exact near 0 too."""
    return output_saved("expm1", x, K.expm1, expm1_backward)


def expm1_backward(node, dy):
    return saved_backward(node, dy, K.expm1_backward)


def log(x):
    """Natural logarithm."""
    return input_saved("log", x, K.log, log_backward)


def log_backward(node, dy):
    return saved_backward(node, dy, A.div)


def log2(x):
    """Logarithm to base 2."""
    return input_saved("log2", x, K.log2, log2_backward)


def log2_backward(node, dy):
    return saved_backward(node, dy, K.log2_backward)


def log10(x):
    """Logarithm to base 10."""
    return input_saved("log10", x, K.log10, log10_backward)


def log10_backward(node, dy):
    return saved_backward(node, dy, K.log10_backward)


def log1p(x):
    """log(1 + x), exact near 0 too."""
    return input_saved("log1p", x, K.log1p, log1p_backward)


def log1p_backward(node, dy):
    return saved_backward(node, dy, K.log1p_backward)


def sqrt(x):
    """Square root; its gradient at 0 is infinite."""
    return output_saved("sqrt", x, K.sqrt, sqrt_backward)


def sqrt_backward(node, dy):
    return saved_backward(node, dy, K.sqrt_backward)


def rsqrt(x):
    """1 / sqrt(x)."""
    return output_saved("rsqrt", x, K.rsqrt, rsqrt_backward)


def rsqrt_backward(node, dy):
    return saved_backward(node, dy, K.rsqrt_backward)


def reciprocal(x):
    """1 / x."""
    return output_saved("reciprocal", x, K.reciprocal, reciprocal_backward)


def reciprocal_backward(node, dy):
    return saved_backward(node, dy, K.reciprocal_backward)


def tanh(x):
    """Hyperbolic tangent."""
    return output_saved("tanh", x, K.tanh, tanh_backward)


def tanh_backward(node, dy):
    return saved_backward(node, dy, K.tanh_backward)


def sigmoid(x):
    """1 / (1 + e^-x)."""
    return output_saved("sigmoid", x, K.sigmoid, sigmoid_backward)


def sigmoid_backward(node, dy):
    return saved_backward(node, dy, K.sigmoid_backward)


def erf(x):
    """2 / sqrt(pi) times the integral of e^(-t^2) from 0 to x."""
    return input_saved("erf", x, K.erf, erf_backward)


def erf_backward(node, dy):
    return saved_backward(node, dy, K.erf_backward)


def erfc(x):
    """1 - erf(x), exact for large x too."""
    return input_saved("erfc", x, K.erfc, erfc_backward)


def erfc_backward(node, dy):
    return saved_backward(node, dy, K.erfc_backward)


def erfinv(x):
    """The number whose erf is x."""
    return output_saved("erfinv", x, K.erfinv, erfinv_backward)


def erfinv_backward(node, dy):
    return saved_backward(node, dy, K.erfinv_backward)


def lgamma(x):
    """log |gamma(x)|."""
    return input_saved("lgamma", x, K.lgamma, lgamma_backward)


def lgamma_backward(node, dy):
    return saved_backward(node, dy, K.lgamma_backward)


def digamma(x):
    """The derivative of lgamma."""
    return input_saved("digamma", x, K.digamma, digamma_backward)


def digamma_backward(node, dy):
    return saved_backward(node, dy, K.digamma_backward)


def sinc(x):
    """sin(pi x) / (pi x), 1 at 0."""
    return input_saved("sinc", x, K.sinc, sinc_backward)


def sinc_backward(node, dy):
    return saved_backward(node, dy, K.sinc_backward)


def logit(x, eps=None):
    """log(x / (1 - x)). eps: x is clamped to [eps, 1 - eps] first; without it, NaN outside [0, 1]."""
    x = as_float("logit", x)
    u = x.array
    z = u
    if eps is not None:
        z = empty_like(u)
        A.clamp(z, u, float(eps), 1 - float(eps))
    y = empty_like(u)
    K.logit(y, z)
    return record(y, logit_backward, (x,), (x, eps))


def logit_backward(node, dy):
    x, eps = node.saved
    dx = empty_like(x)
    K.logit_backward(dx, dy, x)
    if eps is not None:
        A.where(dx, (x >= eps) & (x <= 1 - eps), dx, 0.0)
    return (dx,)


def nan_to_num(x, nan=0.0, posinf=None, neginf=None):
    """x with NaN, inf and -inf replaced; None stands for the dtype's largest or smallest number."""
    x = as_tensor("nan_to_num", x)
    u = x.array
    y = empty_like(u)
    if u.dtype.kind != "f":
        y[...] = u
        return wrap(y)
    limit = float(np.finfo(u.dtype).max)
    K.nan_to_num(
        y,
        u,
        0.0 if nan is None else float(nan),
        limit if posinf is None else float(posinf),
        -limit if neginf is None else float(neginf),
    )
    return record(y, nan_to_num_backward, (x,), (x,))


def nan_to_num_backward(node, dy):
    return saved_backward(node, dy, K.nan_to_num_backward)


# Step functions: constant between the steps, so the gradient is 0.


def zero_backward(node, dy):
    return (memory.zeros(dy.shape, dy.dtype),)


def _step(op, x, kernel):
    """kernel(x) for floats; whole numbers are themselves."""
    x = as_tensor(op, x)
    u = x.array
    y = empty_like(u)
    if u.dtype.kind == "f":
        kernel(y, u)
    elif u.dtype.kind == "b":
        raise RuntimeError(f"{op}: bools cannot be rounded")
    else:
        y[...] = u
    return record(y, zero_backward, (x,))


def sign(x):
    """-1, 0 or 1; 0 for NaN, as in torch."""
    x = as_tensor("sign", x)
    y = empty_like(x.array)
    K.sign(y, x.array)
    return record(y, zero_backward, (x,))


def floor(x):
    """The largest whole number that is not above x."""
    return _step("floor", x, K.floor)


def ceil(x):
    """The smallest whole number that is not below x."""
    return _step("ceil", x, K.ceil)


def trunc(x):
    """x without its fraction."""
    return _step("trunc", x, K.trunc)


def round(x, decimals=0):
    """Rounded to `decimals` places, halves to even; negative: to tens, hundreds, ..."""
    if decimals == 0:
        return _step("round", x, K.round)
    x = as_tensor("round", x)
    u = x.array
    if u.dtype.kind != "f":
        raise RuntimeError(f"round: decimals other than 0 want a floating tensor, got {u.dtype}")
    y = empty_like(u)
    power = math.pow(10.0, decimals if decimals > 0 else -decimals)
    scale, unscale = (A.mul, A.div) if decimals > 0 else (A.div, A.mul)
    scale(y, u, power)
    K.round(y, y)
    unscale(y, y, power)
    return record(y, zero_backward, (x,))


def frac(x):
    """x - trunc(x)."""
    x = as_tensor("frac", x)
    if x.array.dtype.kind != "f":
        raise RuntimeError(f"frac: wants a floating tensor, got {x.array.dtype}")
    y = empty_like(x.array)
    K.frac(y, x.array)
    return record(y, frac_backward, (x,))


def frac_backward(node, dy):
    return (dy,)


# torch's other names
absolute = abs
negative = neg
fix = trunc
sgn = sign
expit = sigmoid
