"""Comparisons, logic, bits and tests for special values. Nothing here is differentiable.

Comparisons and logic give bool; a comparison with NaN is False, `ne` True.
"""

import numpy as np

from .. import memory, registry
from ..tensor import Tensor, wrap
from .promotion import BOOL, array_of, as_operand, as_tensor, empty_as, operands, result, result_of

K = registry.family("compare")


def _comparison(op, kernel, x, other):
    a, b = operands(op, x, other)
    u, v = array_of(a), array_of(b)
    out = result(op, u, v, BOOL)
    kernel(out, u, v)
    return wrap(out)


def eq(x, other):
    """x == other."""
    if other is None or isinstance(other, str):
        return NotImplemented  # the operator then compares identities
    return _comparison("eq", K.eq, x, other)


def ne(x, other):
    """x != other."""
    if other is None or isinstance(other, str):
        return NotImplemented
    return _comparison("ne", K.ne, x, other)


def lt(x, other):
    """x < other."""
    return _comparison("lt", K.lt, x, other)


def le(x, other):
    """x <= other."""
    return _comparison("le", K.le, x, other)


def gt(x, other):
    """x > other."""
    return _comparison("gt", K.gt, x, other)


def ge(x, other):
    """x >= other."""
    return _comparison("ge", K.ge, x, other)


def logical_and(x, other):
    """x and other are both not 0."""
    return _logic("logical_and", K.logical_and, x, other)


def logical_or(x, other):
    """x or other is not 0."""
    return _logic("logical_or", K.logical_or, x, other)


def logical_xor(x, other):
    """Just one of x and other is not 0."""
    return _logic("logical_xor", K.logical_xor, x, other)


def _logic(op, kernel, x, other):
    a, b = as_tensor(op, x), as_operand(other)
    v = array_of(b)
    if not isinstance(v, (np.ndarray, bool, int, float)):
        raise TypeError(f"{op}: other must be a Tensor or a number, got {type(other).__name__}")
    out = result_of(op, (a.array, v), BOOL)
    kernel(out, a.array, v)
    return wrap(out)


def logical_not(x):
    """x is 0."""
    return _predicate("logical_not", K.logical_not, x)


def bitwise_and(x, other):
    """x & other, for integers and bools."""
    return _bits("bitwise_and", K.bitwise_and, x, other)


def bitwise_or(x, other):
    """x | other, for integers and bools."""
    return _bits("bitwise_or", K.bitwise_or, x, other)


def bitwise_xor(x, other):
    """x ^ other, for integers and bools."""
    return _bits("bitwise_xor", K.bitwise_xor, x, other)


def bitwise_left_shift(x, other):
    """x << other, for integers."""
    return _bits("bitwise_left_shift", K.bitwise_left_shift, x, other)


def bitwise_right_shift(x, other):
    """x >> other, for integers; the sign is shifted in."""
    return _bits("bitwise_right_shift", K.bitwise_right_shift, x, other)


def _bits(op, kernel, x, other):
    a, b = operands(op, x, other)
    out = result(op, array_of(a), array_of(b))
    if out.dtype.kind == "f" or (
        out.dtype.kind == "b" and kernel in (K.bitwise_left_shift, K.bitwise_right_shift)
    ):
        raise RuntimeError(f"{op}: wants integer tensors, got {out.dtype}")
    kernel(out, array_of(a), array_of(b))
    return wrap(out)


def bitwise_not(x):
    """~x, for integers and bools."""
    x = as_tensor("bitwise_not", x)
    if x.array.dtype.kind == "f":
        raise RuntimeError(f"bitwise_not: wants an integer tensor, got {x.array.dtype}")
    out = memory.empty_like(x.array)
    K.bitwise_not(out, x.array)
    return wrap(out)


def isnan(x):
    """x is NaN."""
    return _predicate("isnan", K.isnan, x)


def isinf(x):
    """x is inf or -inf."""
    return _predicate("isinf", K.isinf, x)


def isfinite(x):
    """x is neither NaN nor infinite."""
    return _predicate("isfinite", K.isfinite, x)


def isposinf(x):
    """x is inf."""
    return _comparison("isposinf", K.eq, x, np.inf)


def isneginf(x):
    """x is -inf."""
    return _comparison("isneginf", K.eq, x, -np.inf)


def signbit(x):
    """The sign bit of x is set; so it is for -0.0."""
    x = as_tensor("signbit", x)
    if x.array.dtype.kind != "f":
        return _comparison("signbit", K.lt, x, 0)
    return wrap(np.signbit(x.array, out=empty_as(x.array, BOOL)))


def _predicate(op, kernel, x):
    x = as_tensor(op, x)
    out = empty_as(x.array, BOOL)
    kernel(out, x.array)
    return wrap(out)


def isclose(x, other, rtol=1e-05, atol=1e-08, equal_nan=False):
    """|x - other| <= atol + rtol |other|, element by element; infinities must be equal.

    Both must be Tensors of one dtype. equal_nan: two NaN count as close.
    """
    a, b = as_tensor("isclose", x), as_tensor("isclose", other)
    if a.array.dtype != b.array.dtype:
        raise RuntimeError(f"isclose: x is {a.array.dtype}, other {b.array.dtype}; they must agree")
    if rtol < 0 or atol < 0:
        raise RuntimeError(f"isclose: rtol and atol must not be negative, got {rtol} and {atol}")
    if a.array.dtype.kind == "b":
        return eq(a, b)
    out = result("isclose", a.array, b.array, BOOL)
    K.isclose(out, a.array, b.array, float(rtol), float(atol), bool(equal_nan))
    return wrap(out)


def allclose(x, other, rtol=1e-05, atol=1e-08, equal_nan=False):
    """Whether isclose holds everywhere, as a bool."""
    return bool(isclose(x, other, rtol, atol, equal_nan).array.all())


def equal(x, other):
    """Whether shapes and all elements are equal, as a bool."""
    x = as_tensor("equal", x)
    if not isinstance(other, Tensor):
        raise TypeError(f"equal: other must be a Tensor, got {type(other).__name__}")
    if x.array.shape != other.array.shape:
        return False
    return bool(eq(x, other).array.all())


# torch's other names
not_equal = ne
less = lt
less_equal = le
greater = gt
greater_equal = ge
