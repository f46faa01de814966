"""Comparisons in Numba. See nnrt._ref.compare for what each computes.

numpy's ufuncs, threaded by maps.run.
"""

import numpy as np

from nnrt._ref.compare import isclose  # noqa: F401  as specified

from .maps import run


def eq(out, a, b):
    run(np.equal, out, a, b)


def ne(out, a, b):
    run(np.not_equal, out, a, b)


def lt(out, a, b):
    run(np.less, out, a, b)


def le(out, a, b):
    run(np.less_equal, out, a, b)


def gt(out, a, b):
    run(np.greater, out, a, b)


def ge(out, a, b):
    run(np.greater_equal, out, a, b)


def isnan(out, a):
    run(np.isnan, out, a)


def isinf(out, a):
    run(np.isinf, out, a)


def isfinite(out, a):
    run(np.isfinite, out, a)


def logical_and(out, a, b):
    run(np.logical_and, out, a, b)


def logical_or(out, a, b):
    run(np.logical_or, out, a, b)


def logical_xor(out, a, b):
    run(np.logical_xor, out, a, b)


def bitwise_and(out, a, b):
    run(np.bitwise_and, out, a, b)


def bitwise_or(out, a, b):
    run(np.bitwise_or, out, a, b)


def bitwise_xor(out, a, b):
    run(np.bitwise_xor, out, a, b)


def bitwise_left_shift(out, a, b):
    run(np.left_shift, out, a, b)


def bitwise_right_shift(out, a, b):
    run(np.right_shift, out, a, b)


def logical_not(out, a):
    run(np.logical_not, out, a)


def bitwise_not(out, a):
    run(np.invert, out, a)
