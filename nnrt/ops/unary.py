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
from ..tensor import Tensor, wrap
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


def neg(input) -> Tensor:
    """-input. RuntimeError for bools."""
    input = as_tensor("neg", input)
    if input.array.dtype.kind == "b":
        raise RuntimeError("neg: bools have no negative; use logical_not")
    y = empty_like(input.array)
    A.neg(y, input.array)
    return record(y, neg_backward, (input,))


def neg_backward(node, dy):
    dx = empty_like(dy)
    A.neg(dx, dy)
    return (dx,)


def positive(input) -> Tensor:
    """input itself. RuntimeError for bools."""
    input = as_tensor("positive", input)
    if input.array.dtype.kind == "b":
        raise RuntimeError("positive: bools have no sign")
    return input


def abs(input) -> Tensor:
    """|input|; the gradient at 0 is 0."""
    input = as_tensor("abs", input)
    if input.array.dtype.kind == "b":
        raise RuntimeError("abs: bools have no absolute value")
    y = empty_like(input.array)
    K.abs(y, input.array)
    return record(y, abs_backward, (input,), (input,))


def abs_backward(node, dy):
    return saved_backward(node, dy, K.abs_backward)


def square(input) -> Tensor:
    """input^2."""
    input = as_tensor("square", input)
    if input.array.dtype.kind == "b":
        return square(input.to(np.int64))
    y = empty_like(input.array)
    K.square(y, input.array)
    return record(y, square_backward, (input,), (input,))


def square_backward(node, dy):
    return saved_backward(node, dy, K.square_backward)


def exp(input) -> Tensor:
    """e^input."""
    return output_saved("exp", input, K.exp, exp_backward)


def exp_backward(node, dy):
    return saved_backward(node, dy, A.mul)


def exp2(input) -> Tensor:
    """2^input."""
    return output_saved("exp2", input, K.exp2, exp2_backward)


def exp2_backward(node, dy):
    return saved_backward(node, dy, K.exp2_backward)


def expm1(input) -> Tensor:
    """e^input - 1, exact near 0 too."""
    return output_saved("expm1", input, K.expm1, expm1_backward)


def expm1_backward(node, dy):
    return saved_backward(node, dy, K.expm1_backward)


def log(input) -> Tensor:
    """Natural logarithm."""
    return input_saved("log", input, K.log, log_backward)


def log_backward(node, dy):
    return saved_backward(node, dy, A.div)


def log2(input) -> Tensor:
    """Logarithm to base 2."""
    return input_saved("log2", input, K.log2, log2_backward)


def log2_backward(node, dy):
    return saved_backward(node, dy, K.log2_backward)


def log10(input) -> Tensor:
    """Logarithm to base 10."""
    return input_saved("log10", input, K.log10, log10_backward)


def log10_backward(node, dy):
    return saved_backward(node, dy, K.log10_backward)


def log1p(input) -> Tensor:
    """log(1 + input), exact near 0 too."""
    return input_saved("log1p", input, K.log1p, log1p_backward)


def log1p_backward(node, dy):
    return saved_backward(node, dy, K.log1p_backward)


def sqrt(input) -> Tensor:
    """Square root; its gradient at 0 is infinite."""
    return output_saved("sqrt", input, K.sqrt, sqrt_backward)


def sqrt_backward(node, dy):
    return saved_backward(node, dy, K.sqrt_backward)


def rsqrt(input) -> Tensor:
    """1 / sqrt(input)."""
    return output_saved("rsqrt", input, K.rsqrt, rsqrt_backward)


def rsqrt_backward(node, dy):
    return saved_backward(node, dy, K.rsqrt_backward)


def reciprocal(input) -> Tensor:
    """1 / input."""
    return output_saved("reciprocal", input, K.reciprocal, reciprocal_backward)


def reciprocal_backward(node, dy):
    return saved_backward(node, dy, K.reciprocal_backward)


def tanh(input) -> Tensor:
    """Hyperbolic tangent."""
    return output_saved("tanh", input, K.tanh, tanh_backward)


def tanh_backward(node, dy):
    return saved_backward(node, dy, K.tanh_backward)


def sigmoid(input) -> Tensor:
    """1 / (1 + e^-input)."""
    return output_saved("sigmoid", input, K.sigmoid, sigmoid_backward)


def sigmoid_backward(node, dy):
    return saved_backward(node, dy, K.sigmoid_backward)


def erf(input) -> Tensor:
    """2 / sqrt(pi) times the integral of e^(-t^2) from 0 to input."""
    return input_saved("erf", input, K.erf, erf_backward)


def erf_backward(node, dy):
    return saved_backward(node, dy, K.erf_backward)


def erfc(input) -> Tensor:
    """1 - erf(input), exact for large input too."""
    return input_saved("erfc", input, K.erfc, erfc_backward)


def erfc_backward(node, dy):
    return saved_backward(node, dy, K.erfc_backward)


def erfinv(input) -> Tensor:
    """The number whose erf is input."""
    return output_saved("erfinv", input, K.erfinv, erfinv_backward)


def erfinv_backward(node, dy):
    return saved_backward(node, dy, K.erfinv_backward)


def lgamma(input) -> Tensor:
    """log |gamma(input)|."""
    return input_saved("lgamma", input, K.lgamma, lgamma_backward)


def lgamma_backward(node, dy):
    return saved_backward(node, dy, K.lgamma_backward)


def digamma(input) -> Tensor:
    """The derivative of lgamma."""
    return input_saved("digamma", input, K.digamma, digamma_backward)


def digamma_backward(node, dy):
    return saved_backward(node, dy, K.digamma_backward)


def sinc(input) -> Tensor:
    """sin(pi input) / (pi input), 1 at 0."""
    return input_saved("sinc", input, K.sinc, sinc_backward)


def sinc_backward(node, dy):
    return saved_backward(node, dy, K.sinc_backward)


def logit(input, eps=None) -> Tensor:
    """log(input / (1 - input)). eps: input is clamped to [eps, 1 - eps] first; without it, NaN outside [0, 1]."""
    input = as_float("logit", input)
    u = input.array
    z = u
    if eps is not None:
        z = empty_like(u)
        A.clamp(z, u, float(eps), 1 - float(eps))
    y = empty_like(u)
    K.logit(y, z)
    return record(y, logit_backward, (input,), (input, eps))


def logit_backward(node, dy):
    x, eps = node.saved
    dx = empty_like(x)
    K.logit_backward(dx, dy, x)
    if eps is not None:
        A.where(dx, (x >= eps) & (x <= 1 - eps), dx, 0.0)
    return (dx,)


def nan_to_num(input, nan=0.0, posinf=None, neginf=None) -> Tensor:
    """input with NaN, inf and -inf replaced by nan, posinf and neginf; None: by the dtype's largest or smallest number."""
    input = as_tensor("nan_to_num", input)
    u = input.array
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
    return record(y, nan_to_num_backward, (input,), (input,))


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


def sign(input) -> Tensor:
    """-1, 0 or 1; 0 for NaN, as in torch."""
    input = as_tensor("sign", input)
    y = empty_like(input.array)
    K.sign(y, input.array)
    return record(y, zero_backward, (input,))


def floor(input) -> Tensor:
    """The largest whole number that is not above input."""
    return _step("floor", input, K.floor)


def ceil(input) -> Tensor:
    """The smallest whole number that is not below input."""
    return _step("ceil", input, K.ceil)


def trunc(input) -> Tensor:
    """input without its fraction."""
    return _step("trunc", input, K.trunc)


def round(input, decimals=0) -> Tensor:
    """Rounded to `decimals` places, halves to even; negative: to tens, hundreds, ..."""
    if decimals == 0:
        return _step("round", input, K.round)
    input = as_tensor("round", input)
    u = input.array
    if u.dtype.kind != "f":
        raise RuntimeError(f"round: decimals other than 0 want a floating tensor, got {u.dtype}")
    y = empty_like(u)
    power = math.pow(10.0, decimals if decimals > 0 else -decimals)
    scale, unscale = (A.mul, A.div) if decimals > 0 else (A.div, A.mul)
    scale(y, u, power)
    K.round(y, y)
    unscale(y, y, power)
    return record(y, zero_backward, (input,))


def frac(input) -> Tensor:
    """input - trunc(input)."""
    input = as_tensor("frac", input)
    if input.array.dtype.kind != "f":
        raise RuntimeError(f"frac: wants a floating tensor, got {input.array.dtype}")
    y = empty_like(input.array)
    K.frac(y, input.array)
    return record(y, frac_backward, (input,))


def frac_backward(node, dy):
    return (dy,)


# torch's other names
absolute = abs
negative = neg
fix = trunc
sgn = sign
expit = sigmoid
