"""Comparisons, logic and bits (specification).

Inputs broadcast to the output's shape and may have any strides; `a` and `b` may also be numbers.
Comparisons and logic write bool; a comparison with NaN is False, `ne` True.
"""

import numpy as np

from . import Out, quiet


def eq(out: Out, a, b):
    """out = a == b"""
    np.equal(a, b, out=out)


def ne(out: Out, a, b):
    """out = a != b"""
    np.not_equal(a, b, out=out)


def lt(out: Out, a, b):
    """out = a < b"""
    np.less(a, b, out=out)


def le(out: Out, a, b):
    """out = a <= b"""
    np.less_equal(a, b, out=out)


def gt(out: Out, a, b):
    """out = a > b"""
    np.greater(a, b, out=out)


def ge(out: Out, a, b):
    """out = a >= b"""
    np.greater_equal(a, b, out=out)


def logical_and(out: Out, a, b):
    """out = a is not 0 and b is not 0"""
    np.logical_and(a, b, out=out)


def logical_or(out: Out, a, b):
    """out = a is not 0 or b is not 0"""
    np.logical_or(a, b, out=out)


def logical_xor(out: Out, a, b):
    """out = just one of them is not 0"""
    np.logical_xor(a, b, out=out)


def logical_not(out: Out, a):
    """out = a is 0"""
    np.logical_not(a, out=out)


def bitwise_and(out: Out, a, b):
    """out = a & b"""
    np.bitwise_and(a, b, out=out)


def bitwise_or(out: Out, a, b):
    """out = a | b"""
    np.bitwise_or(a, b, out=out)


def bitwise_xor(out: Out, a, b):
    """out = a ^ b"""
    np.bitwise_xor(a, b, out=out)


def bitwise_not(out: Out, a):
    """out = ~a"""
    np.invert(a, out=out)


def bitwise_left_shift(out: Out, a, b):
    """out = a << b; 0 when all bits are shifted out"""
    np.left_shift(a, b, out=out)


def bitwise_right_shift(out: Out, a, b):
    """out = a >> b, the sign shifted in"""
    np.right_shift(a, b, out=out)


def isnan(out: Out, a):
    """out = a is NaN"""
    np.isnan(a, out=out)


def isinf(out: Out, a):
    """out = a is inf or -inf"""
    np.isinf(a, out=out)


def isfinite(out: Out, a):
    """out = a is neither NaN nor infinite"""
    np.isfinite(a, out=out)


@quiet
def isclose(out: Out, a, b, rtol, atol, equal_nan):
    """out = a == b or |a - b| <= atol + rtol |b| < inf"""
    limit = atol + np.abs(rtol * b)
    difference = np.abs(a - b)
    out[...] = (a == b) | (np.isfinite(difference) & (difference <= limit))
    if equal_nan:
        out |= (a != a) & (b != b)
