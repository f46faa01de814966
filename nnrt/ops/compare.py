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


def eq(input, other) -> Tensor:
    """input == other as bool, element by element; other: a Tensor (shapes broadcast) or a number. NaN equals nothing."""
    if other is None or isinstance(other, str):
        return NotImplemented  # the operator then compares identities
    return _comparison("eq", K.eq, input, other)


def ne(input, other) -> Tensor:
    """input != other, as :func:`eq`."""
    if other is None or isinstance(other, str):
        return NotImplemented
    return _comparison("ne", K.ne, input, other)


def lt(input, other) -> Tensor:
    """input < other, as :func:`eq`."""
    return _comparison("lt", K.lt, input, other)


def le(input, other) -> Tensor:
    """input <= other, as :func:`eq`."""
    return _comparison("le", K.le, input, other)


def gt(input, other) -> Tensor:
    """input > other, as :func:`eq`."""
    return _comparison("gt", K.gt, input, other)


def ge(input, other) -> Tensor:
    """input >= other, as :func:`eq`."""
    return _comparison("ge", K.ge, input, other)


def logical_and(input, other) -> Tensor:
    """input and other are both not 0."""
    return _logic("logical_and", K.logical_and, input, other)


def logical_or(input, other) -> Tensor:
    """input or other is not 0."""
    return _logic("logical_or", K.logical_or, input, other)


def logical_xor(input, other) -> Tensor:
    """Just one of input and other is not 0."""
    return _logic("logical_xor", K.logical_xor, input, other)


def _logic(op, kernel, x, other):
    a, b = as_tensor(op, x), as_operand(other)
    v = array_of(b)
    if not isinstance(v, (np.ndarray, bool, int, float)):
        raise TypeError(f"{op}: other must be a Tensor or a number, got {type(other).__name__}")
    out = result_of(op, (a.array, v), BOOL)
    kernel(out, a.array, v)
    return wrap(out)


def logical_not(input) -> Tensor:
    """input is 0."""
    return _predicate("logical_not", K.logical_not, input)


def bitwise_and(input, other) -> Tensor:
    """input & other, for integers and bools."""
    return _bits("bitwise_and", K.bitwise_and, input, other)


def bitwise_or(input, other) -> Tensor:
    """input | other, for integers and bools."""
    return _bits("bitwise_or", K.bitwise_or, input, other)


def bitwise_xor(input, other) -> Tensor:
    """input ^ other, for integers and bools."""
    return _bits("bitwise_xor", K.bitwise_xor, input, other)


def bitwise_left_shift(input, other) -> Tensor:
    """input << other, for integers."""
    return _bits("bitwise_left_shift", K.bitwise_left_shift, input, other)


def bitwise_right_shift(input, other) -> Tensor:
    """input >> other, for integers; the sign is shifted in."""
    return _bits("bitwise_right_shift", K.bitwise_right_shift, input, other)


def _bits(op, kernel, x, other):
    a, b = operands(op, x, other)
    out = result(op, array_of(a), array_of(b))
    if out.dtype.kind == "f" or (
        out.dtype.kind == "b" and kernel in (K.bitwise_left_shift, K.bitwise_right_shift)
    ):
        raise RuntimeError(f"{op}: wants integer tensors, got {out.dtype}")
    kernel(out, array_of(a), array_of(b))
    return wrap(out)


def bitwise_not(input) -> Tensor:
    """~input, for integers and bools."""
    input = as_tensor("bitwise_not", input)
    if input.array.dtype.kind == "f":
        raise RuntimeError(f"bitwise_not: wants an integer tensor, got {input.array.dtype}")
    out = memory.empty_like(input.array)
    K.bitwise_not(out, input.array)
    return wrap(out)


def isnan(input) -> Tensor:
    """input is NaN."""
    return _predicate("isnan", K.isnan, input)


def isinf(input) -> Tensor:
    """input is inf or -inf."""
    return _predicate("isinf", K.isinf, input)


def isfinite(input) -> Tensor:
    """input is neither NaN nor infinite."""
    return _predicate("isfinite", K.isfinite, input)


def isposinf(input) -> Tensor:
    """input is inf."""
    return _comparison("isposinf", K.eq, input, np.inf)


def isneginf(input) -> Tensor:
    """input is -inf."""
    return _comparison("isneginf", K.eq, input, -np.inf)


def signbit(input) -> Tensor:
    """The sign bit of input is set; so it is for -0.0."""
    input = as_tensor("signbit", input)
    if input.array.dtype.kind != "f":
        return _comparison("signbit", K.lt, input, 0)
    return wrap(np.signbit(input.array, out=empty_as(input.array, BOOL)))


def _predicate(op, kernel, x):
    x = as_tensor(op, x)
    out = empty_as(x.array, BOOL)
    kernel(out, x.array)
    return wrap(out)


def isclose(input, other, rtol=1e-05, atol=1e-08, equal_nan=False) -> Tensor:
    """|x - other| <= atol + rtol |other|, element by element; infinities must be equal.

    Both must be Tensors of one dtype. equal_nan: two NaN count as close.
    """
    a, b = as_tensor("isclose", input), as_tensor("isclose", other, "other")
    if a.array.dtype != b.array.dtype:
        raise RuntimeError(f"isclose: x is {a.array.dtype}, other {b.array.dtype}; they must agree")
    if rtol < 0 or atol < 0:
        raise RuntimeError(f"isclose: rtol and atol must not be negative, got {rtol} and {atol}")
    if a.array.dtype.kind == "b":
        return eq(a, b)
    out = result("isclose", a.array, b.array, BOOL)
    K.isclose(out, a.array, b.array, float(rtol), float(atol), bool(equal_nan))
    return wrap(out)


def allclose(input, other, rtol=1e-05, atol=1e-08, equal_nan=False) -> bool:
    """Whether isclose holds everywhere, as a bool."""
    return bool(isclose(input, other, rtol, atol, equal_nan).array.all())


def equal(input, other) -> bool:
    """Whether shapes and all elements are equal, as a bool."""
    input = as_tensor("equal", input)
    if not isinstance(other, Tensor):
        raise TypeError(f"equal: other must be a Tensor, got {type(other).__name__}")
    if input.array.shape != other.array.shape:
        return False
    return bool(eq(input, other).array.all())


# torch's other names
not_equal = ne
less = lt
less_equal = le
greater = gt
greater_equal = ge
