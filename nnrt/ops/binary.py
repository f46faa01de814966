"""Functions of two operands, element by element, with broadcasting and torch's type promotion.

The arithmetic that every network runs through is in elementwise, these are the rest: rounded
divisions and remainders, powers, the larger and the smaller, angles, logarithms of sums, whole numbers.
"""

import numpy as np

from .. import memory, registry
from ..autograd import record
from ..memory import empty_like
from ..tensor import Tensor, wrap
from . import unary
from .elementwise import gradient, mul
from .promotion import (
    array_of,
    as_float,
    as_operand,
    common_type,
    converted,
    default_float,
    float_operands,
    operands,
    result,
    result_of,
    shape_of,
    sum_to,
    tensor_of,
)

K = registry.family("elementwise")


def rounded_division(op, kernel, x, other):
    a, b = operands(op, x, other)
    out = result(op, array_of(a), array_of(b))
    if out.size:
        _refuse_zero_divisor(op, b)
    if out.dtype.kind == "b":
        raise RuntimeError(f"{op}: bools cannot be divided with rounding")
    kernel(out, array_of(a), array_of(b))
    return record(
        out, rounded_backward, (tensor_of(a), tensor_of(b)), (shape_of(array_of(a)), shape_of(array_of(b)))
    )


def _refuse_zero_divisor(op, b):
    v = array_of(b)
    if isinstance(v, np.ndarray):
        if v.dtype.kind != "f" and (v == 0).any():
            raise RuntimeError(f"{op}: integer division by zero")
    elif not isinstance(v, float) and v == 0:
        raise RuntimeError(f"{op}: integer division by zero")


def rounded_backward(node, dy):
    """The gradient of a step function: zeros."""
    return tuple([memory.zeros(node.saved[i], dy.dtype) if node.needs(i) else None for i in (0, 1)])


def floor_divide(input, other) -> Tensor:
    """floor(input / other), in the common dtype. RuntimeError for an integer divided by zero."""
    return rounded_division("floor_divide", K.floor_divide, input, other)


def remainder(input, other) -> Tensor:
    """input - other floor(input / other), of other's sign. RuntimeError for an integer divided by zero."""
    return _modulo("remainder", K.remainder, remainder_backward, input, other)


def remainder_backward(node, dy):
    return _modulo_backward(node, dy, K.floor_divide)


def fmod(input, other) -> Tensor:
    """input - other trunc(input / other), of input's sign. RuntimeError for an integer divided by zero."""
    return _modulo("fmod", K.fmod, fmod_backward, input, other)


def fmod_backward(node, dy):
    return _modulo_backward(node, dy, K.trunc_divide)


def _modulo(op, kernel, backward, x, other):
    a, b = operands(op, x, other)
    out = result(op, array_of(a), array_of(b))
    if out.size:
        _refuse_zero_divisor(op, b)
    if out.dtype.kind == "b":
        raise RuntimeError(f"{op}: bools have no remainder")
    kernel(out, array_of(a), array_of(b))
    return record(out, backward, (tensor_of(a), tensor_of(b)), (a, b))


def _modulo_backward(node, dy, quotient):
    """y = a - b quotient  =>  db = -dy quotient"""
    a, b = node.saved
    da = sum_to(dy, shape_of(a)) if node.needs(0) else None
    db = None
    if node.needs(1):
        db = empty_like(dy)
        quotient(db, a, b)
        K.mul(db, db, dy)
        K.neg(db, db)
        db = sum_to(db, b.shape)
    return da, db


def pow(input, exponent) -> Tensor:
    """input to the power exponent. 0^0 = 1; a negative base with a fractional exponent gives NaN.

    Integers to negative powers of a Tensor are cut towards zero, RuntimeError for those of a number.
    """
    if isinstance(input, Tensor) and isinstance(exponent, (int, float)) and input.array.dtype.kind == "f":
        if exponent == 2:
            return unary.square(input)
        if exponent == 0.5:
            return unary.sqrt(input)
        if exponent == -1:
            return unary.reciprocal(input)
    a, b = operands("pow", input, exponent)
    u, v = array_of(a), array_of(b)
    out = result("pow", u, v)
    if out.dtype.kind == "b":
        raise RuntimeError("pow: bools have no powers")
    if out.dtype.kind in "iu" and np.any(np.less(exponent if isinstance(exponent, int) else v, 0)):
        if not isinstance(b, Tensor):
            raise RuntimeError(f"pow: {out.dtype} has no negative integer powers, got the exponent {exponent}")
        below, unit = np.less(v, 0), np.abs(u) == 1
        u, v = np.where(below & ~unit, 0, u), np.where(below, np.where(unit, v & 1, 1), v)  # 1 / u^-v towards zero
    K.pow(out, u, v)
    needs_b = isinstance(b, Tensor) and b.requires_grad
    return record(out, pow_backward, (tensor_of(a), tensor_of(b)), (a, b, out if needs_b else None))


def float_power(input, exponent) -> Tensor:
    """:func:`pow` in float64, whatever the dtypes: integers have negative powers here."""
    a, b = as_operand(input), as_operand(exponent)
    if not (isinstance(a, Tensor) or isinstance(b, Tensor)):
        raise TypeError(f"float_power: wants at least one Tensor, got {type(a).__name__} and {type(b).__name__}")
    common_type("float_power", a, b)  # refuses what is no number
    dtype = np.dtype(np.float64)
    return pow(converted(a, dtype), converted(b, dtype))


def pow_backward(node, dy):
    a, b, y = node.saved
    da = db = None
    if node.needs(0):
        da = gradient(K.pow_backward, dy, a.shape, dy, a, b)
    if node.needs(1):
        db = gradient(K.pow_backward_exponent, dy, b.shape, dy, a, b, y)
    return da, db


def maximum(input, other) -> Tensor:
    """The larger of the two, NaN if either is. Equal ones share the gradient."""
    return _pair("maximum", K.maximum, maximum_backward, input, other)


def maximum_backward(node, dy):
    a, b = node.saved
    da = gradient(K.maximum_backward, dy, shape_of(a), dy, a, b) if node.needs(0) else None
    db = gradient(K.maximum_backward, dy, shape_of(b), dy, b, a) if node.needs(1) else None
    return da, db


def minimum(input, other) -> Tensor:
    """The smaller of the two, NaN if either is. Equal ones share the gradient."""
    return _pair("minimum", K.minimum, minimum_backward, input, other)


def minimum_backward(node, dy):
    a, b = node.saved
    da = gradient(K.minimum_backward, dy, shape_of(a), dy, a, b) if node.needs(0) else None
    db = gradient(K.minimum_backward, dy, shape_of(b), dy, b, a) if node.needs(1) else None
    return da, db


def fmax(input, other) -> Tensor:
    """The larger of the two, the other one where one is NaN. Of equal ones input has the gradient."""
    return _pair("fmax", K.fmax, fmax_backward, input, other)


def fmax_backward(node, dy):
    a, b = node.saved
    return _masked_gradients(node, dy, np.greater_equal(a, b) | np.isnan(b), a, b)


def fmin(input, other) -> Tensor:
    """The smaller of the two, the other one where one is NaN. Of equal ones input has the gradient."""
    return _pair("fmin", K.fmin, fmin_backward, input, other)


def fmin_backward(node, dy):
    a, b = node.saved
    return _masked_gradients(node, dy, np.less_equal(a, b) | np.isnan(b), a, b)


def _pair(op, kernel, backward, x, other):
    """An op whose backward wants both operands."""
    a, b = operands(op, x, other)
    out = result(op, array_of(a), array_of(b))
    kernel(out, array_of(a), array_of(b))
    return record(out, backward, (tensor_of(a), tensor_of(b)), (a, b))


def _float_pair(op, kernel, backward, x, other):
    a, b = float_operands(op, x, other)
    out = result(op, array_of(a), array_of(b))
    kernel(out, array_of(a), array_of(b))
    return record(out, backward, (tensor_of(a), tensor_of(b)), (a, b))


def _masked_gradients(node, dy, mask, a, b):
    """dy to a where the mask holds, to b where it does not."""
    da = gradient(K.where, dy, shape_of(a), mask, dy, 0.0) if node.needs(0) else None
    db = gradient(K.where, dy, shape_of(b), mask, 0.0, dy) if node.needs(1) else None
    return da, db


def atan2(input, other) -> Tensor:
    """The angle of the point (other, input) in (-pi, pi]."""
    return _float_pair("atan2", K.atan2, atan2_backward, input, other)


def atan2_backward(node, dy):
    a, b = node.saved
    da = db = None
    if node.needs(0):
        da = gradient(K.atan2_backward, dy, shape_of(a), dy, a, b)
    if node.needs(1):
        db = gradient(K.atan2_backward, dy, shape_of(b), dy, b, a)
        K.neg(db, db)
    return da, db


def hypot(input, other) -> Tensor:
    """sqrt(input^2 + other^2), without overflow between."""
    a, b = float_operands("hypot", input, other)
    out = result("hypot", array_of(a), array_of(b))
    K.hypot(out, array_of(a), array_of(b))
    return record(out, hypot_backward, (tensor_of(a), tensor_of(b)), (a, b, out))


def hypot_backward(node, dy):
    a, b, y = node.saved
    da = gradient(K.hypot_backward, dy, shape_of(a), dy, a, y) if node.needs(0) else None
    db = gradient(K.hypot_backward, dy, shape_of(b), dy, b, y) if node.needs(1) else None
    return da, db


def logaddexp(input, other) -> Tensor:
    """log(e^input + e^other), without overflow between."""
    a, b = float_operands("logaddexp", input, other)
    out = result("logaddexp", array_of(a), array_of(b))
    K.logaddexp(out, array_of(a), array_of(b))
    return record(out, logaddexp_backward, (tensor_of(a), tensor_of(b)), (a, b))


def logaddexp_backward(node, dy):
    a, b = node.saved
    da = gradient(K.logaddexp_backward, dy, shape_of(a), dy, a, b) if node.needs(0) else None
    db = gradient(K.logaddexp_backward, dy, shape_of(b), dy, b, a) if node.needs(1) else None
    return da, db


def logaddexp2(input, other) -> Tensor:
    """log2(2^input + 2^other), without overflow between."""
    a, b = float_operands("logaddexp2", input, other)
    out = result("logaddexp2", array_of(a), array_of(b))
    with np.errstate(invalid="ignore"):
        np.logaddexp2(array_of(a), array_of(b), out=out)
    return record(out, logaddexp2_backward, (tensor_of(a), tensor_of(b)), (a, b))


def logaddexp2_backward(node, dy):
    a, b = node.saved  # y' = 2^(a - y) = 1 / (1 + 2^(b - a)); two infinities of one sign share evenly
    with np.errstate(all="ignore"):
        da, db = (1 / (1 + np.where(a == b, 1, np.exp2(v))).astype(dy.dtype) for v in (np.subtract(b, a), np.subtract(a, b)))
    return (
        sum_to(dy * da, shape_of(a)) if node.needs(0) else None,
        sum_to(dy * db, shape_of(b)) if node.needs(1) else None,
    )


def xlogy(input, other) -> Tensor:
    """input log(other), 0 where input = 0 (unless other is NaN)."""
    return _float_pair("xlogy", K.xlogy, xlogy_backward, input, other)


def xlogy_backward(node, dy):
    a, b = node.saved
    da = db = None
    if node.needs(0):
        da = gradient(K.xlogy_backward, dy, shape_of(a), dy, a, b)
    if node.needs(1):
        db = gradient(K.div, dy, shape_of(b), np.multiply(dy, a), b)
    return da, db


def heaviside(input, values) -> Tensor:
    """0 where input < 0, values where input = 0, 1 where input > 0. Not differentiable; the dtypes must agree."""
    if isinstance(values, Tensor) and isinstance(input, Tensor) and values.array.dtype != input.array.dtype:
        raise RuntimeError(f"heaviside: x is {input.array.dtype}, values {values.array.dtype}; they must agree")
    a, b = operands("heaviside", input, values)
    out = result("heaviside", array_of(a), array_of(b))
    K.heaviside(out, array_of(a), array_of(b))
    return wrap(out)


def copysign(input, other) -> Tensor:
    """|input| with other's sign (that of -0.0 is minus). other has no gradient, nor has input where it is 0."""
    a, b = float_operands("copysign", input, other)
    out = result("copysign", array_of(a), array_of(b))
    K.copysign(out, array_of(a), array_of(b))
    return record(out, copysign_backward, (tensor_of(a), tensor_of(b)), (a, shape_of(array_of(b)), out))


def copysign_backward(node, dy):
    a, shape_b, y = node.saved
    da = sum_to(dy * (np.sign(a) * np.sign(y)), shape_of(a)) if node.needs(0) else None
    return da, memory.zeros(shape_b, dy.dtype) if node.needs(1) else None


def nextafter(input, other) -> Tensor:
    """The next number after input in the direction of other. Not differentiable."""
    a, b = float_operands("nextafter", input, other)
    out = result("nextafter", array_of(a), array_of(b))
    K.nextafter(out, array_of(a), array_of(b))
    return wrap(out)


def ldexp(input, other) -> Tensor:
    """input 2^other. other: a tensor; input: one that broadcasts with it, or a number."""
    whole = as_operand(other)
    if not isinstance(whole, Tensor) or whole.array.dtype.kind == "f":
        return mul(input, pow(2.0, other))
    x = as_float("ldexp", input if isinstance(input, Tensor) else wrap(np.asarray(input, default_float())))
    exponent = whole.array.astype(np.int32)
    return record(_ldexp(x.array, exponent), ldexp_backward, (x,), (exponent, x.array.shape))


def ldexp_backward(node, dy):
    exponent, shape = node.saved
    return (sum_to(_ldexp(dy, exponent), shape),)


def _ldexp(a, exponent):
    out = result_of("ldexp", (a, exponent), a.dtype)
    with np.errstate(all="ignore"):
        return np.ldexp(a, exponent, out=out)


def gcd(input, other) -> Tensor:
    """The greatest common divisor of integers, at least 0; gcd(0, 0) = 0. They broadcast; RuntimeError for other dtypes."""
    return _whole("gcd", np.gcd, input, other)


def lcm(input, other) -> Tensor:
    """The least common multiple of integers, at least 0; lcm(input, 0) = 0. They broadcast; RuntimeError for other dtypes."""
    return _whole("lcm", np.lcm, input, other)


def _whole(op, ufunc, x, other):
    a, b = operands(op, x, other)
    out = result(op, array_of(a), array_of(b))
    if out.dtype.kind not in "iu":
        raise RuntimeError(f"{op}: wants integers, got a result of {out.dtype}")
    ufunc(array_of(a), array_of(b), out=out)
    return wrap(out)


# torch's other name
arctan2 = atan2
