"""Functions of three operands, element by element, with broadcasting: choices, bounds, blends."""

import numpy as np

from .. import registry
from ..autograd import record
from ..memory import empty_like
from ..tensor import Tensor, wrap
from .elementwise import gradient
from .promotion import (
    all_operands,
    array_of,
    as_operand,
    as_tensor,
    converted,
    result_of,
    result_type,
    shape_of,
    sum_to,
    tensor_of,
)

K = registry.family("elementwise")


def lerp(input, end, weight) -> Tensor:
    """input + weight (end - input). weight: a number or Tensor; all Tensors of one dtype."""
    input = as_tensor("lerp", input)
    for name, value in (("end", end), ("weight", weight)):
        if isinstance(value, Tensor) and value.array.dtype != input.array.dtype:
            raise RuntimeError(f"lerp: {name} is {value.array.dtype}, x is {input.array.dtype}; they must agree")
    if not isinstance(end, (Tensor, np.ndarray)):
        raise TypeError(f"lerp: end must be a Tensor, got {type(end).__name__}")
    a, b, w = all_operands("lerp", input, end, weight)
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


def addcmul(input, tensor1, tensor2, value=1) -> Tensor:
    """input + value tensor1 tensor2."""
    a, b, c = all_operands("addcmul", input, tensor1, tensor2)
    arrays = (array_of(a), array_of(b), array_of(c))
    out = result_of("addcmul", arrays, _dtype_of(a, b, c))
    if out.dtype.kind != "f" and isinstance(value, float):
        raise RuntimeError(f"addcmul: value must be an integer for {out.dtype} tensors, got {value}")
    if out.dtype.kind == "u":
        value = int(np.int64(value).astype(out.dtype))  # wraps around
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


def addcdiv(input, tensor1, tensor2, value=1) -> Tensor:
    """input + value tensor1 / tensor2. RuntimeError when all are integers."""
    a, b, c = all_operands("addcdiv", input, tensor1, tensor2)
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


def clamp(input, min=None, max=None) -> Tensor:
    """min(max(input, min), max): bounds are numbers, Tensors or None (at least one is not).

    NaN stays NaN, and max wins where it is below min. At a bound the gradient is 1.
    """
    input = as_tensor("clamp", input)
    if min is None and max is None:
        raise RuntimeError("clamp: at least one of min and max must be given")
    dtype = input.array.dtype
    if dtype.kind in "fi" and type(min) in _NUMBER[dtype.kind] and type(max) in _NUMBER[dtype.kind]:
        lo = _lowest(dtype) if min is None else converted(min, dtype)
        hi = _highest(dtype) if max is None else converted(max, dtype)
        out = empty_like(input.array)
        K.clamp(out, input.array, lo, hi)
        return record(out, clamp_backward, (input, None, None), (input, lo, hi, max is None))
    given = [input] + [v for v in (min, max) if v is not None]
    a, *bounds = all_operands("clamp", *given)
    lo = bounds[0] if min is not None else _lowest(a.array.dtype)
    hi = bounds[-1] if max is not None else _highest(a.array.dtype)
    u, low, high = a.array, array_of(lo), array_of(hi)
    out = result_of("clamp", (u, low, high), u.dtype)
    K.clamp(out, u, low, high)
    return record(out, clamp_backward, (a, tensor_of(lo), tensor_of(hi)), (a, lo, hi, max is None))


# Bounds that leave the dtype as it is, by its kind.
_NUMBER = {"f": (float, int, type(None)), "i": (int, type(None))}


def clamp_backward(node, dy):
    x, lo, hi, unbounded = node.saved
    dx = gradient(K.clamp_backward, dy, x.shape, dy, x, lo, hi) if node.needs(0) else None
    dlo = None
    if node.needs(1) and unbounded:  # lo may be inf
        dlo = gradient(K.where, dy, shape_of(lo), np.less(x, lo), dy, 0.0)
    elif node.needs(1):
        dlo = gradient(K.clamp_backward_lo, dy, shape_of(lo), dy, x, lo, hi)
    dhi = gradient(K.clamp_backward_hi, dy, shape_of(hi), dy, x, lo, hi) if node.needs(2) else None
    return dx, dlo, dhi


def _lowest(dtype):
    return -np.inf if dtype.kind == "f" else False if dtype.kind == "b" else int(np.iinfo(dtype).min)


def _highest(dtype):
    return np.inf if dtype.kind == "f" else True if dtype.kind == "b" else int(np.iinfo(dtype).max)


def clamp_min(input, min) -> Tensor:
    """max(input, min)."""
    return clamp(input, min, None)


def clamp_max(input, max) -> Tensor:
    """min(input, max)."""
    return clamp(input, None, max)


# torch's other name
clip = clamp
