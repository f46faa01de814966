"""Arithmetic, element by element, with broadcasting and torch's type promotion.

Operands are Tensors, numpy arrays or Python numbers; see nnrt.ops.promotion for the dtype and
shape of a result. The gradient of an operand that was broadcast is summed back to its shape.
"""

import numpy as np

from .. import memory, registry
from ..autograd import record, tracked
from ..memory import alike, empty_like
from ..tensor import Tensor, wrap
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
_add = None  # K.add, held here: to look it up costs a tenth of a small sum


def _drop():
    global _add
    _add = None


registry.on_forget(_drop)


def _hold():
    global _add
    _add = K.add


def gradient(kernel, dy, shape, *args):
    """kernel(out, *args) in an array like dy, summed to the operand's shape."""
    out = empty_like(dy)
    kernel(out, *args)
    return sum_to(out, shape)


def add(input, other, alpha=1) -> Tensor:
    """input + alpha other."""
    if alpha != 1:
        return _axpy("add", input, other, alpha)
    if isinstance(input, Tensor) and isinstance(other, Tensor):
        left, right = input, other
        if alike(left.array, right.array):
            if _add is None:
                _hold()
            out = empty_like(left.array)
            _add(out, left.array, right.array)
            if not tracked(left, right):
                return wrap(out)
            return record(out, add_backward, (left, right), ())
    a, b = operands("add", input, other)
    u, v = array_of(a), array_of(b)
    out = result("add", u, v)
    K.add(out, u, v)
    return record(out, add_backward, (tensor_of(a), tensor_of(b)), (shape_of(u), shape_of(v)))


def add_backward(node, dy):
    if not node.saved_arrays:  # equal shapes: nothing was saved
        return dy, dy
    shape_a, shape_b = node.saved
    return sum_to(dy, shape_a) if node.needs(0) else None, sum_to(dy, shape_b) if node.needs(1) else None


def sub(input, other, alpha=1) -> Tensor:
    """input - alpha other. Bools cannot be subtracted: RuntimeError."""
    if alpha != 1:
        return _axpy("sub", input, other, alpha)
    a, b = operands("sub", input, other)
    u, v = array_of(a), array_of(b)
    out = result("sub", u, v)
    if out.dtype.kind == "b" or isinstance(input, bool) or isinstance(other, bool):
        _refuse_bool("sub", input, other)
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


def rsub(input, other, alpha=1) -> Tensor:
    """other - alpha input."""
    return sub(other, input, alpha)


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
    if out.dtype.kind == "u":
        alpha = int(np.int64(alpha).astype(out.dtype))  # wraps around
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


def mul(input, other) -> Tensor:
    """input other."""
    if isinstance(input, Tensor) and isinstance(other, Tensor):
        left, right = input, other
        if alike(left.array, right.array):
            out = empty_like(left.array)
            K.mul(out, left.array, right.array)
            if not tracked(left, right):
                return wrap(out)
            saved = (left if right._requires_grad else None, right if left._requires_grad else None)
            return record(out, mul_backward, (left, right), saved)
    a, b = operands("mul", input, other)
    u, v = array_of(a), array_of(b)
    out = result("mul", u, v)
    K.mul(out, u, v)
    a_saved = a if not isinstance(a, Tensor) or (isinstance(b, Tensor) and b.requires_grad) else None
    b_saved = b if not isinstance(b, Tensor) or (isinstance(a, Tensor) and a.requires_grad) else None
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
    if node.needs(0) and node.needs(1):
        da, db = empty_like(dy), empty_like(dy)
        K.mul_backward(da, db, dy, saved[0], saved[1])
    elif node.needs(0):
        da = empty_like(dy)
        K.mul(da, dy, saved[1])
    elif node.needs(1):
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


def div(input, other, rounding_mode=None) -> Tensor:
    """input / other; integers give the default float dtype.

    rounding_mode: None, "trunc" (towards zero) or "floor"; with these integers stay integers,
    and the gradient is 0.
    """
    if rounding_mode is not None:
        from .binary import rounded_division

        if rounding_mode == "floor":
            return rounded_division("div", K.floor_divide, input, other)
        if rounding_mode == "trunc":
            return rounded_division("div", K.trunc_divide, input, other)
        raise RuntimeError(f"div: rounding_mode must be None, 'trunc' or 'floor', got {rounding_mode!r}")
    a, b = float_operands("div", input, other)
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


# torch's other names
subtract = sub
multiply = mul
divide = true_divide = div
