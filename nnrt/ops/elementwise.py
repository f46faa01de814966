"""Arithmetic, element by element, with broadcasting and torch's type promotion.

Operands are Tensors, numpy arrays or Python numbers; see nnrt.ops.promotion for the dtype and
shape of a result. The gradient of an operand that was broadcast is summed back to its shape.
"""

import numpy as np

from .. import memory, registry
from ..autograd import record, tracked
from ..memory import alike, empty_like
from ..tensor import Tensor, wrap
from . import unary
from .promotion import (
    all_operands,
    array_of,
    as_operand,
    as_tensor,
    float_operands,
    operands,
    result,
    result_of,
    result_type,
    shape_of,
    sum_to,
    tensor_of,
)

K = registry.family("elementwise")


def gradient(kernel, dy, shape, *args):
    """kernel(out, *args) in an array like dy, summed to the operand's shape."""
    out = empty_like(dy)
    kernel(out, *args)
    return sum_to(out, shape)


def add(x, other, alpha=1):
    """x + alpha other."""
    if alpha != 1:
        return _axpy("add", x, other, alpha)
    if isinstance(x, Tensor) and isinstance(other, Tensor):
        left, right = x, other
        if alike(left.array, right.array):
            out = empty_like(left.array)
            K.add(out, left.array, right.array)
            if not tracked(left, right):
                return wrap(out)
            return record(out, add_backward, (left, right), ())
    a, b = operands("add", x, other)
    u, v = array_of(a), array_of(b)
    out = result("add", u, v)
    K.add(out, u, v)
    return record(out, add_backward, (tensor_of(a), tensor_of(b)), (shape_of(u), shape_of(v)))


def add_backward(node, dy):
    if not node.saved_arrays:  # equal shapes: nothing was saved
        return dy, dy
    shape_a, shape_b = node.saved
    return sum_to(dy, shape_a) if node.needs(0) else None, sum_to(dy, shape_b) if node.needs(1) else None


def sub(x, other, alpha=1):
    """x - alpha other. Bools cannot be subtracted: RuntimeError."""
    if alpha != 1:
        return _axpy("sub", x, other, alpha)
    a, b = operands("sub", x, other)
    u, v = array_of(a), array_of(b)
    out = result("sub", u, v)
    if out.dtype.kind == "b" or isinstance(x, bool) or isinstance(other, bool):
        _refuse_bool("sub", x, other)
    K.sub(out, u, v)
    return record(out, sub_backward, (tensor_of(a), tensor_of(b)), (shape_of(u), shape_of(v)))


def sub_backward(node, dy):
    shape_a, shape_b = node.saved
    da = db = None
    if node.needs(0):
        da = sum_to(dy, shape_a)
    if node.needs(1):
        summed = sum_to(dy, shape_b)
        db = empty_like(summed)
        K.neg(db, summed)
    return da, db


def _refuse_bool(op, x, other):
    for value in (x, other):
        if isinstance(value, bool) or (isinstance(value, Tensor) and value.array.dtype.kind == "b"):
            raise RuntimeError(f"{op}: bools cannot be subtracted; use logical_xor or logical_not")


def rsub(x, other, alpha=1):
    """other - alpha x."""
    return sub(other, x, alpha)


def _axpy(op, x, other, alpha):
    a, b = operands(op, x, other)
    out = result(op, array_of(a), array_of(b))
    if out.dtype.kind == "b" and op == "sub":
        _refuse_bool(op, x, other)
    if not isinstance(alpha, (int, float)):
        raise TypeError(f"{op}: alpha must be a number, got {type(alpha).__name__}")
    if out.dtype.kind != "f" and isinstance(alpha, float):
        raise RuntimeError(f"{op}: alpha must be an integer for {out.dtype} tensors, got {alpha}")
    if op == "sub":
        alpha = -alpha
    K.axpy(out, array_of(a), array_of(b), alpha)
    return record(
        out,
        axpy_backward,
        (tensor_of(a), tensor_of(b)),
        (shape_of(array_of(a)), shape_of(array_of(b)), alpha),
    )


def axpy_backward(node, dy):
    shape_a, shape_b, alpha = node.saved
    da = db = None
    if node.needs(0):
        da = sum_to(dy, shape_a)
    if node.needs(1):
        summed = sum_to(dy, shape_b)
        db = empty_like(summed)
        K.mul(db, summed, alpha)
    return da, db


def mul(x, other):
    """x other."""
    if isinstance(x, Tensor) and isinstance(other, Tensor):
        left, right = x, other
        if alike(left.array, right.array):
            out = empty_like(left.array)
            K.mul(out, left.array, right.array)
            if not tracked(left, right):
                return wrap(out)
            saved = (left if right.requires_grad else None, right if left.requires_grad else None)
            return record(out, mul_backward, (left, right), saved)
    a, b = operands("mul", x, other)
    u, v = array_of(a), array_of(b)
    out = result("mul", u, v)
    K.mul(out, u, v)
    a_saved = a if not isinstance(b, Tensor) or b.requires_grad else None
    b_saved = b if not isinstance(a, Tensor) or a.requires_grad else None
    return record(
        out, mul_backward, (tensor_of(a), tensor_of(b)), (a_saved, b_saved, shape_of(u), shape_of(v))
    )


def mul_backward(node, dy):
    saved = node.saved
    da = db = None
    if len(saved) > 2:
        if node.needs(0):
            da = product_to(dy, saved[1], saved[2])
        if node.needs(1):
            db = product_to(dy, saved[0], saved[3])
        return da, db
    if node.needs(0):
        da = empty_like(dy)
        K.mul(da, dy, saved[1])
    if node.needs(1):
        db = empty_like(dy)
        K.mul(db, dy, saved[0])
    return da, db


def product_to(dy, other, shape):
    """dy other, summed to `shape`; other is an array that broadcasts to dy's shape, or a number."""
    if shape != dy.shape and shape_of(other) == dy.shape:
        out = memory.empty(shape, dy.dtype)
        K.mul_sum_to(out, dy, other)
        return out
    out = empty_like(dy)
    K.mul(out, dy, other)
    return sum_to(out, shape)


def div(x, other, rounding_mode=None):
    """x / other; integers give the default float dtype.

    rounding_mode: None, "trunc" (towards zero) or "floor"; with these integers stay integers,
    and the gradient is 0.
    """
    if rounding_mode is not None:
        if rounding_mode == "floor":
            return _rounded_division("div", K.floor_divide, x, other)
        if rounding_mode == "trunc":
            return _rounded_division("div", K.trunc_divide, x, other)
        raise RuntimeError(f"div: rounding_mode must be None, 'trunc' or 'floor', got {rounding_mode!r}")
    a, b = float_operands("div", x, other)
    u, v = array_of(a), array_of(b)
    out = result("div", u, v)
    K.div(out, u, v)
    if isinstance(b, Tensor):
        keep = a if b.requires_grad else shape_of(u)
        return record(out, div_backward, (tensor_of(a), b), (keep, b))
    return record(out, div_backward, (a, None), (u.shape, b))


def div_backward(node, dy):
    a, b = node.saved  # a: only its shape when b needs no gradient
    da = db = None
    if node.needs(0):
        shape = a if isinstance(a, tuple) else a.shape
        da = gradient(K.div, dy, shape, dy, b)
    if node.needs(1):
        db = gradient(K.div_backward, dy, b.shape, dy, a, b)
    return da, db


def _rounded_division(op, kernel, x, other):
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


def floor_divide(x, other):
    """floor(x / other), in the common dtype. RuntimeError for an integer divided by zero."""
    return _rounded_division("floor_divide", K.floor_divide, x, other)


def remainder(x, other):
    """x - other floor(x / other), of other's sign. RuntimeError for an integer divided by zero."""
    return _modulo("remainder", K.remainder, remainder_backward, x, other)


def remainder_backward(node, dy):
    return _modulo_backward(node, dy, K.remainder_backward)


def fmod(x, other):
    """x - other trunc(x / other), of x's sign. RuntimeError for an integer divided by zero."""
    return _modulo("fmod", K.fmod, fmod_backward, x, other)


def fmod_backward(node, dy):
    return _modulo_backward(node, dy, K.fmod_backward)


def _modulo(op, kernel, backward, x, other):
    a, b = operands(op, x, other)
    out = result(op, array_of(a), array_of(b))
    if out.size:
        _refuse_zero_divisor(op, b)
    if out.dtype.kind == "b":
        raise RuntimeError(f"{op}: bools have no remainder")
    kernel(out, array_of(a), array_of(b))
    return record(out, backward, (tensor_of(a), tensor_of(b)), (a, b))


def _modulo_backward(node, dy, kernel):
    a, b = node.saved
    da = sum_to(dy, shape_of(a)) if node.needs(0) else None
    db = gradient(kernel, dy, b.shape, dy, a, b) if node.needs(1) else None
    return da, db


def pow(x, exponent):
    """x to the power exponent. 0^0 = 1; a negative base with a fractional exponent gives NaN.

    RuntimeError for integers to negative integer powers.
    """
    if isinstance(x, Tensor) and isinstance(exponent, (int, float)) and x.array.dtype.kind == "f":
        if exponent == 2:
            return unary.square(x)
        if exponent == 0.5:
            return unary.sqrt(x)
        if exponent == -1:
            return unary.reciprocal(x)
    a, b = operands("pow", x, exponent)
    u, v = array_of(a), array_of(b)
    out = result("pow", u, v)
    if out.dtype.kind == "b":
        raise RuntimeError("pow: bools have no powers")
    if out.dtype.kind == "i" and np.any(np.less(v, 0)):
        raise RuntimeError("pow: integers to negative integer powers are not allowed")
    K.pow(out, u, v)
    needs_b = isinstance(b, Tensor) and b.requires_grad
    return record(out, pow_backward, (tensor_of(a), tensor_of(b)), (a, b, out if needs_b else None))


def pow_backward(node, dy):
    a, b, y = node.saved
    da = db = None
    if node.needs(0):
        da = gradient(K.pow_backward, dy, a.shape, dy, a, b)
    if node.needs(1):
        db = gradient(K.pow_backward_exponent, dy, b.shape, dy, a, b, y)
    return da, db


def maximum(x, other):
    """The larger of the two, NaN if either is. Equal ones share the gradient."""
    return _pair("maximum", K.maximum, maximum_backward, x, other)


def maximum_backward(node, dy):
    a, b = node.saved
    da = gradient(K.maximum_backward, dy, shape_of(a), dy, a, b) if node.needs(0) else None
    db = gradient(K.maximum_backward, dy, shape_of(b), dy, b, a) if node.needs(1) else None
    return da, db


def minimum(x, other):
    """The smaller of the two, NaN if either is. Equal ones share the gradient."""
    return _pair("minimum", K.minimum, minimum_backward, x, other)


def minimum_backward(node, dy):
    a, b = node.saved
    da = gradient(K.minimum_backward, dy, shape_of(a), dy, a, b) if node.needs(0) else None
    db = gradient(K.minimum_backward, dy, shape_of(b), dy, b, a) if node.needs(1) else None
    return da, db


def fmax(x, other):
    """The larger of the two, the other one where one is NaN. Of equal ones x has the gradient."""
    return _pair("fmax", K.fmax, fmax_backward, x, other)


def fmax_backward(node, dy):
    a, b = node.saved
    return _masked_gradients(node, dy, np.greater_equal(a, b) | np.isnan(b), a, b)


def fmin(x, other):
    """The smaller of the two, the other one where one is NaN. Of equal ones x has the gradient."""
    return _pair("fmin", K.fmin, fmin_backward, x, other)


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


def atan2(x, other):
    """The angle of the point (other, x) in (-pi, pi]."""
    return _float_pair("atan2", K.atan2, atan2_backward, x, other)


def atan2_backward(node, dy):
    a, b = node.saved
    da = db = None
    if node.needs(0):
        da = gradient(K.atan2_backward, dy, shape_of(a), dy, a, b)
    if node.needs(1):
        db = gradient(K.atan2_backward, dy, shape_of(b), dy, b, a)
        K.neg(db, db)
    return da, db


def hypot(x, other):
    """sqrt(x^2 + other^2), without overflow between."""
    a, b = float_operands("hypot", x, other)
    out = result("hypot", array_of(a), array_of(b))
    K.hypot(out, array_of(a), array_of(b))
    return record(out, hypot_backward, (tensor_of(a), tensor_of(b)), (a, b, out))


def hypot_backward(node, dy):
    a, b, y = node.saved
    da = gradient(K.hypot_backward, dy, shape_of(a), dy, a, y) if node.needs(0) else None
    db = gradient(K.hypot_backward, dy, shape_of(b), dy, b, y) if node.needs(1) else None
    return da, db


def logaddexp(x, other):
    """log(e^x + e^other), without overflow between."""
    a, b = float_operands("logaddexp", x, other)
    out = result("logaddexp", array_of(a), array_of(b))
    K.logaddexp(out, array_of(a), array_of(b))
    return record(out, logaddexp_backward, (tensor_of(a), tensor_of(b)), (a, b, out))


def logaddexp_backward(node, dy):
    a, b, y = node.saved
    da = gradient(K.logaddexp_backward, dy, shape_of(a), dy, a, y) if node.needs(0) else None
    db = gradient(K.logaddexp_backward, dy, shape_of(b), dy, b, y) if node.needs(1) else None
    return da, db


def xlogy(x, other):
    """x log(other), 0 where x = 0 (unless other is NaN)."""
    return _float_pair("xlogy", K.xlogy, xlogy_backward, x, other)


def xlogy_backward(node, dy):
    a, b = node.saved
    da = db = None
    if node.needs(0):
        da = gradient(K.xlogy_backward, dy, shape_of(a), dy, a, b)
    if node.needs(1):
        db = gradient(K.div, dy, shape_of(b), np.multiply(dy, a), b)
    return da, db


def heaviside(x, values):
    """0 where x < 0, values where x = 0, 1 where x > 0. Not differentiable; the dtypes must agree."""
    if isinstance(values, Tensor) and isinstance(x, Tensor) and values.array.dtype != x.array.dtype:
        raise RuntimeError(f"heaviside: x is {x.array.dtype}, values {values.array.dtype}; they must agree")
    a, b = operands("heaviside", x, values)
    out = result("heaviside", array_of(a), array_of(b))
    K.heaviside(out, array_of(a), array_of(b))
    return wrap(out)


def lerp(x, end, weight):
    """x + weight (end - x). weight: a number or Tensor; all Tensors of one dtype."""
    for name, value in (("end", end), ("weight", weight)):
        if isinstance(value, Tensor) and value.array.dtype != x.array.dtype:
            raise RuntimeError(f"lerp: {name} is {value.array.dtype}, x is {x.array.dtype}; they must agree")
    if not isinstance(end, (Tensor, np.ndarray)):
        raise TypeError(f"lerp: end must be a Tensor, got {type(end).__name__}")
    a, b, w = all_operands("lerp", x, end, weight)
    arrays = (a.array, b.array, array_of(w))
    out = result_of("lerp", arrays, a.array.dtype)
    K.lerp(out, *arrays)
    return record(out, lerp_backward, (a, b, tensor_of(w)), (a, b, w))


def lerp_backward(node, dy):
    a, b, w = node.saved
    da = db = dw = None
    if node.needs(0):  # y = a (1 - w) + w b
        da = gradient(K.mul, dy, a.shape, dy, 1 - w)
    if node.needs(1):
        db = gradient(K.mul, dy, b.shape, dy, w)
    if node.needs(2):
        dw = gradient(K.mul, dy, w.shape, dy, b - a)
    return da, db, dw


def addcmul(x, tensor1, tensor2, value=1):
    """x + value tensor1 tensor2."""
    a, b, c = all_operands("addcmul", x, tensor1, tensor2)
    arrays = (array_of(a), array_of(b), array_of(c))
    out = result_of("addcmul", arrays, _dtype_of(a, b, c))
    if out.dtype.kind != "f" and isinstance(value, float):
        raise RuntimeError(f"addcmul: value must be an integer for {out.dtype} tensors, got {value}")
    K.addcmul(out, *arrays, value)
    return record(
        out, addcmul_backward, (tensor_of(a), tensor_of(b), tensor_of(c)), (shape_of(arrays[0]), b, c, value)
    )


def addcmul_backward(node, dy):
    shape, b, c, value = node.saved
    da = db = dc = None
    if node.needs(0):
        da = sum_to(dy, shape)
    if node.needs(1) or node.needs(2):
        scaled = empty_like(dy)
        K.mul(scaled, dy, value)
        if node.needs(1):
            db = gradient(K.mul, dy, shape_of(b), scaled, c)
        if node.needs(2):
            dc = gradient(K.mul, dy, shape_of(c), scaled, b)
    return da, db, dc


def addcdiv(x, tensor1, tensor2, value=1):
    """x + value tensor1 / tensor2. RuntimeError when all are integers."""
    a, b, c = all_operands("addcdiv", x, tensor1, tensor2)
    arrays = (array_of(a), array_of(b), array_of(c))
    dtype = _dtype_of(a, b, c)
    if dtype.kind != "f":
        raise RuntimeError(f"addcdiv: wants floating tensors, got {dtype}; use div with a rounding_mode")
    out = result_of("addcdiv", arrays, dtype)
    K.addcdiv(out, *arrays, value)
    return record(
        out, addcdiv_backward, (tensor_of(a), tensor_of(b), tensor_of(c)), (shape_of(arrays[0]), b, c, value)
    )


def addcdiv_backward(node, dy):
    shape, b, c, value = node.saved
    da = db = dc = None
    if node.needs(0):
        da = sum_to(dy, shape)
    if node.needs(1) or node.needs(2):
        scaled = empty_like(dy)
        K.mul(scaled, dy, value)
        if node.needs(1):
            db = gradient(K.div, dy, shape_of(b), scaled, c)
        if node.needs(2):
            dc = gradient(K.div_backward, dy, shape_of(c), scaled, b, c)
    return da, db, dc


def _dtype_of(*values):
    for value in values:
        if isinstance(value, Tensor):
            return value.array.dtype
    raise TypeError("wants at least one Tensor")


def where(condition, input=None, other=None):
    """input where condition (a bool Tensor) holds, else other; operands broadcast, numbers are allowed.

    With condition alone: the indices of its nonzero elements, one Tensor per axis.
    """
    condition = as_operand(condition)
    if not isinstance(condition, Tensor):
        raise TypeError(f"where: condition must be a Tensor, got {type(condition).__name__}")
    if input is None and other is None:
        return tuple([wrap(i) for i in np.nonzero(np.atleast_1d(condition.array))])
    if condition.array.dtype.kind != "b":
        raise RuntimeError(f"where: condition must be a bool tensor, got {condition.array.dtype}")
    a, b = all_operands("where", input, other)
    dtype = a.array.dtype if isinstance(a, Tensor) else b.array.dtype if isinstance(b, Tensor) else None
    if dtype is None:
        dtype = result_type(a, b)
    u, v, c = array_of(a), array_of(b), condition.array
    out = result_of("where", (u, v, c), dtype)
    K.where(out, c, u, v)
    return record(out, where_backward, (tensor_of(a), tensor_of(b)), (condition, shape_of(u), shape_of(v)))


def where_backward(node, dy):
    condition, shape_a, shape_b = node.saved
    da = gradient(K.where, dy, shape_a, condition, dy, 0.0) if node.needs(0) else None
    db = gradient(K.where, dy, shape_b, condition, 0.0, dy) if node.needs(1) else None
    return da, db


def clamp(x, min=None, max=None):
    """min(max(x, min), max): bounds are numbers, Tensors or None (at least one is not).

    NaN stays NaN, and max wins where it is below min. At a bound the gradient is 1.
    """
    x = as_tensor("clamp", x)
    if min is None and max is None:
        raise RuntimeError("clamp: at least one of min and max must be given")
    given = [x] + [v for v in (min, max) if v is not None]
    a, *bounds = all_operands("clamp", *given)
    lo = bounds[0] if min is not None else _lowest(a.array.dtype)
    hi = bounds[-1] if max is not None else _highest(a.array.dtype)
    u, low, high = a.array, array_of(lo), array_of(hi)
    out = result_of("clamp", (u, low, high), u.dtype)
    K.clamp(out, u, low, high)
    return record(out, clamp_backward, (a, tensor_of(lo), tensor_of(hi)), (a, lo, hi))


def clamp_backward(node, dy):
    x, lo, hi = node.saved
    dx = gradient(K.clamp_backward, dy, x.shape, dy, x, lo, hi) if node.needs(0) else None
    dlo = gradient(K.clamp_backward_lo, dy, shape_of(lo), dy, x, lo, hi) if node.needs(1) else None
    dhi = gradient(K.clamp_backward_hi, dy, shape_of(hi), dy, x, lo, hi) if node.needs(2) else None
    return dx, dlo, dhi


def _lowest(dtype):
    return -np.inf if dtype.kind == "f" else False if dtype.kind == "b" else int(np.iinfo(dtype).min)


def _highest(dtype):
    return np.inf if dtype.kind == "f" else True if dtype.kind == "b" else int(np.iinfo(dtype).max)


def clamp_min(x, min):
    """max(x, min)."""
    return clamp(x, min, None)


def clamp_max(x, max):
    """min(x, max)."""
    return clamp(x, None, max)


# torch's other names
subtract = sub
multiply = mul
divide = true_divide = div
arctan2 = atan2
clip = clamp
