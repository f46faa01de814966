"""Comparisons and tests: drivers of csrc/compare.c. See nnrt._ref.compare for what each computes."""

from nnrt._ext.maps cimport map2
from nnrt._ext.runtime cimport isa_level, nnrt_kernel

from nnrt._ref import compare as ref


cdef extern from "compare.h" nogil:
    ctypedef struct nnrt_compare_table:
        nnrt_kernel eq[2]
        nnrt_kernel ne[2]
        nnrt_kernel lt[2]
        nnrt_kernel le[2]
        nnrt_kernel gt[2]
        nnrt_kernel ge[2]
        nnrt_kernel logical_and[2]
        nnrt_kernel logical_or[2]
        nnrt_kernel logical_xor[2]
        nnrt_kernel logical_not[2]
        nnrt_kernel isnan[2]
        nnrt_kernel isinf[2]
        nnrt_kernel isfinite[2]
    const nnrt_compare_table *nnrt_compare(int isa)

cdef const nnrt_compare_table *table = nnrt_compare(isa_level())


def eq(out, a, b):
    if not map2(table.eq, 1, out, a, b, 0b1):
        ref.eq(out, a, b)


def ne(out, a, b):
    if not map2(table.ne, 1, out, a, b, 0b1):
        ref.ne(out, a, b)


def lt(out, a, b):
    if not map2(table.lt, 1, out, a, b, 0b1):
        ref.lt(out, a, b)


def le(out, a, b):
    if not map2(table.le, 1, out, a, b, 0b1):
        ref.le(out, a, b)


def gt(out, a, b):
    if not map2(table.gt, 1, out, a, b, 0b1):
        ref.gt(out, a, b)


def ge(out, a, b):
    if not map2(table.ge, 1, out, a, b, 0b1):
        ref.ge(out, a, b)


def logical_and(out, a, b):
    if not map2(table.logical_and, 1, out, a, b, 0b1):
        ref.logical_and(out, a, b)


def logical_or(out, a, b):
    if not map2(table.logical_or, 1, out, a, b, 0b1):
        ref.logical_or(out, a, b)


def logical_xor(out, a, b):
    if not map2(table.logical_xor, 1, out, a, b, 0b1):
        ref.logical_xor(out, a, b)


def logical_not(out, a):
    if not map2(table.logical_not, 1, out, a, 0.0, 0b1):
        ref.logical_not(out, a)


def isnan(out, a):
    if not map2(table.isnan, 1, out, a, 0.0, 0b1):
        ref.isnan(out, a)


def isinf(out, a):
    if not map2(table.isinf, 1, out, a, 0.0, 0b1):
        ref.isinf(out, a)


def isfinite(out, a):
    if not map2(table.isfinite, 1, out, a, 0.0, 0b1):
        ref.isfinite(out, a)


def bitwise_and(out, a, b):
    ref.bitwise_and(out, a, b)


def bitwise_or(out, a, b):
    ref.bitwise_or(out, a, b)


def bitwise_xor(out, a, b):
    ref.bitwise_xor(out, a, b)


def bitwise_left_shift(out, a, b):
    ref.bitwise_left_shift(out, a, b)


def bitwise_right_shift(out, a, b):
    ref.bitwise_right_shift(out, a, b)


def bitwise_not(out, a):
    ref.bitwise_not(out, a)


def isclose(out, a, b, rtol, atol, equal_nan):
    ref.isclose(out, a, b, rtol, atol, equal_nan)
