"""Comparisons in Numba. See nnrt._ref.compare for what each computes.

numpy's ufuncs, threaded by maps.run; what is rare is as specified.
"""

import numpy as np

from nnrt._ref.compare import (  # noqa: F401  as specified
    bitwise_and,
    bitwise_left_shift,
    bitwise_not,
    bitwise_or,
    bitwise_right_shift,
    bitwise_xor,
    isclose,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
)

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
