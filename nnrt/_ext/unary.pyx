"""Functions of one number: drivers of csrc/unary.c. See nnrt._ref.unary for what each computes."""

from nnrt._ext.maps cimport map1, map2
from nnrt._ext.runtime cimport isa_level, nnrt_kernel

from nnrt._ref import unary as ref


cdef extern from "unary.h" nogil:
    ctypedef struct nnrt_unary_table:
        nnrt_kernel abs[2]
        nnrt_kernel abs_backward[2]
        nnrt_kernel sign[2]
        nnrt_kernel exp[2]
        nnrt_kernel exp2[2]
        nnrt_kernel exp2_backward[2]
        nnrt_kernel expm1[2]
        nnrt_kernel expm1_backward[2]
        nnrt_kernel log[2]
        nnrt_kernel log2[2]
        nnrt_kernel log2_backward[2]
        nnrt_kernel log10[2]
        nnrt_kernel log10_backward[2]
        nnrt_kernel log1p[2]
        nnrt_kernel log1p_backward[2]
        nnrt_kernel sqrt[2]
        nnrt_kernel sqrt_backward[2]
        nnrt_kernel rsqrt[2]
        nnrt_kernel rsqrt_backward[2]
        nnrt_kernel square[2]
        nnrt_kernel square_backward[2]
        nnrt_kernel reciprocal[2]
        nnrt_kernel reciprocal_backward[2]
        nnrt_kernel sin[2]
        nnrt_kernel sin_backward[2]
        nnrt_kernel cos[2]
        nnrt_kernel cos_backward[2]
        nnrt_kernel tan[2]
        nnrt_kernel tan_backward[2]
        nnrt_kernel asin[2]
        nnrt_kernel asin_backward[2]
        nnrt_kernel acos[2]
        nnrt_kernel acos_backward[2]
        nnrt_kernel atan[2]
        nnrt_kernel atan_backward[2]
        nnrt_kernel sinh[2]
        nnrt_kernel sinh_backward[2]
        nnrt_kernel cosh[2]
        nnrt_kernel cosh_backward[2]
        nnrt_kernel asinh[2]
        nnrt_kernel asinh_backward[2]
        nnrt_kernel acosh[2]
        nnrt_kernel acosh_backward[2]
        nnrt_kernel atanh[2]
        nnrt_kernel atanh_backward[2]
        nnrt_kernel tanh[2]
        nnrt_kernel tanh_backward[2]
        nnrt_kernel sigmoid[2]
        nnrt_kernel sigmoid_backward[2]
        nnrt_kernel erf[2]
        nnrt_kernel erf_backward[2]
        nnrt_kernel erfc[2]
        nnrt_kernel erfc_backward[2]
        nnrt_kernel erfinv[2]
        nnrt_kernel erfinv_backward[2]
        nnrt_kernel lgamma[2]
        nnrt_kernel lgamma_backward[2]
        nnrt_kernel digamma[2]
        nnrt_kernel digamma_backward[2]
        nnrt_kernel floor[2]
        nnrt_kernel ceil[2]
        nnrt_kernel round[2]
        nnrt_kernel trunc[2]
        nnrt_kernel frac[2]
        nnrt_kernel logit[2]
        nnrt_kernel logit_backward[2]
        nnrt_kernel sinc[2]
        nnrt_kernel sinc_backward[2]
        nnrt_kernel nan_to_num[2]
        nnrt_kernel nan_to_num_backward[2]
    const nnrt_unary_table *nnrt_unary(int isa)

cdef const nnrt_unary_table *table = nnrt_unary(isa_level())


def abs(y, x):
    if not map1(table.abs, 1, y, x):
        ref.abs(y, x)


def abs_backward(dx, dy, x):
    if not map2(table.abs_backward, 2, dx, dy, x):
        ref.abs_backward(dx, dy, x)


def sign(y, x):
    if not map1(table.sign, 2, y, x):
        ref.sign(y, x)


def exp(y, x):
    if not map1(table.exp, 20, y, x):
        ref.exp(y, x)


def exp2(y, x):
    if not map1(table.exp2, 20, y, x):
        ref.exp2(y, x)


def exp2_backward(dx, dy, y):
    if not map2(table.exp2_backward, 2, dx, dy, y):
        ref.exp2_backward(dx, dy, y)


def expm1(y, x):
    if not map1(table.expm1, 22, y, x):
        ref.expm1(y, x)


def expm1_backward(dx, dy, y):
    if not map2(table.expm1_backward, 2, dx, dy, y):
        ref.expm1_backward(dx, dy, y)


def log(y, x):
    if not map1(table.log, 20, y, x):
        ref.log(y, x)


def log2(y, x):
    if not map1(table.log2, 22, y, x):
        ref.log2(y, x)


def log2_backward(dx, dy, x):
    if not map2(table.log2_backward, 3, dx, dy, x):
        ref.log2_backward(dx, dy, x)


def log10(y, x):
    if not map1(table.log10, 22, y, x):
        ref.log10(y, x)


def log10_backward(dx, dy, x):
    if not map2(table.log10_backward, 3, dx, dy, x):
        ref.log10_backward(dx, dy, x)


def log1p(y, x):
    if not map1(table.log1p, 26, y, x):
        ref.log1p(y, x)


def log1p_backward(dx, dy, x):
    if not map2(table.log1p_backward, 3, dx, dy, x):
        ref.log1p_backward(dx, dy, x)


def sqrt(y, x):
    if not map1(table.sqrt, 5, y, x):
        ref.sqrt(y, x)


def sqrt_backward(dx, dy, y):
    if not map2(table.sqrt_backward, 4, dx, dy, y):
        ref.sqrt_backward(dx, dy, y)


def rsqrt(y, x):
    if not map1(table.rsqrt, 8, y, x):
        ref.rsqrt(y, x)


def rsqrt_backward(dx, dy, y):
    if not map2(table.rsqrt_backward, 4, dx, dy, y):
        ref.rsqrt_backward(dx, dy, y)


def square(y, x):
    if not map1(table.square, 1, y, x):
        ref.square(y, x)


def square_backward(dx, dy, x):
    if not map2(table.square_backward, 2, dx, dy, x):
        ref.square_backward(dx, dy, x)


def reciprocal(y, x):
    if not map1(table.reciprocal, 4, y, x):
        ref.reciprocal(y, x)


def reciprocal_backward(dx, dy, y):
    if not map2(table.reciprocal_backward, 3, dx, dy, y):
        ref.reciprocal_backward(dx, dy, y)


def sin(y, x):
    if not map1(table.sin, 25, y, x):
        ref.sin(y, x)


def sin_backward(dx, dy, x):
    if not map2(table.sin_backward, 25, dx, dy, x):
        ref.sin_backward(dx, dy, x)


def cos(y, x):
    if not map1(table.cos, 25, y, x):
        ref.cos(y, x)


def cos_backward(dx, dy, x):
    if not map2(table.cos_backward, 25, dx, dy, x):
        ref.cos_backward(dx, dy, x)


def tan(y, x):
    if not map1(table.tan, 30, y, x):
        ref.tan(y, x)


def tan_backward(dx, dy, y):
    if not map2(table.tan_backward, 3, dx, dy, y):
        ref.tan_backward(dx, dy, y)


def asin(y, x):
    if not map1(table.asin, 20, y, x):
        ref.asin(y, x)


def asin_backward(dx, dy, x):
    if not map2(table.asin_backward, 8, dx, dy, x):
        ref.asin_backward(dx, dy, x)


def acos(y, x):
    if not map1(table.acos, 20, y, x):
        ref.acos(y, x)


def acos_backward(dx, dy, x):
    if not map2(table.acos_backward, 8, dx, dy, x):
        ref.acos_backward(dx, dy, x)


def atan(y, x):
    if not map1(table.atan, 20, y, x):
        ref.atan(y, x)


def atan_backward(dx, dy, x):
    if not map2(table.atan_backward, 5, dx, dy, x):
        ref.atan_backward(dx, dy, x)


def sinh(y, x):
    if not map1(table.sinh, 45, y, x):
        ref.sinh(y, x)


def sinh_backward(dx, dy, x):
    if not map2(table.sinh_backward, 36, dx, dy, x):
        ref.sinh_backward(dx, dy, x)


def cosh(y, x):
    if not map1(table.cosh, 35, y, x):
        ref.cosh(y, x)


def cosh_backward(dx, dy, x):
    if not map2(table.cosh_backward, 46, dx, dy, x):
        ref.cosh_backward(dx, dy, x)


def asinh(y, x):
    if not map1(table.asinh, 40, y, x):
        ref.asinh(y, x)


def asinh_backward(dx, dy, x):
    if not map2(table.asinh_backward, 8, dx, dy, x):
        ref.asinh_backward(dx, dy, x)


def acosh(y, x):
    if not map1(table.acosh, 40, y, x):
        ref.acosh(y, x)


def acosh_backward(dx, dy, x):
    if not map2(table.acosh_backward, 8, dx, dy, x):
        ref.acosh_backward(dx, dy, x)


def atanh(y, x):
    if not map1(table.atanh, 35, y, x):
        ref.atanh(y, x)


def atanh_backward(dx, dy, x):
    if not map2(table.atanh_backward, 5, dx, dy, x):
        ref.atanh_backward(dx, dy, x)


def tanh(y, x):
    if not map1(table.tanh, 25, y, x):
        ref.tanh(y, x)


def tanh_backward(dx, dy, y):
    if not map2(table.tanh_backward, 3, dx, dy, y):
        ref.tanh_backward(dx, dy, y)


def sigmoid(y, x):
    if not map1(table.sigmoid, 25, y, x):
        ref.sigmoid(y, x)


def sigmoid_backward(dx, dy, y):
    if not map2(table.sigmoid_backward, 3, dx, dy, y):
        ref.sigmoid_backward(dx, dy, y)


def erf(y, x):
    if not map1(table.erf, 40, y, x):
        ref.erf(y, x)


def erf_backward(dx, dy, x):
    if not map2(table.erf_backward, 22, dx, dy, x):
        ref.erf_backward(dx, dy, x)


def erfc(y, x):
    if not map1(table.erfc, 45, y, x):
        ref.erfc(y, x)


def erfc_backward(dx, dy, x):
    if not map2(table.erfc_backward, 22, dx, dy, x):
        ref.erfc_backward(dx, dy, x)


def erfinv(y, x):
    if not map1(table.erfinv, 60, y, x):
        ref.erfinv(y, x)


def erfinv_backward(dx, dy, y):
    if not map2(table.erfinv_backward, 25, dx, dy, y):
        ref.erfinv_backward(dx, dy, y)


def lgamma(y, x):
    if not map1(table.lgamma, 80, y, x):
        ref.lgamma(y, x)


def lgamma_backward(dx, dy, x):
    if not map2(table.lgamma_backward, 60, dx, dy, x):
        ref.lgamma_backward(dx, dy, x)


def digamma(y, x):
    if not map1(table.digamma, 60, y, x):
        ref.digamma(y, x)


def digamma_backward(dx, dy, x):
    if not map2(table.digamma_backward, 70, dx, dy, x):
        ref.digamma_backward(dx, dy, x)


def floor(y, x):
    if not map1(table.floor, 1, y, x):
        ref.floor(y, x)


def ceil(y, x):
    if not map1(table.ceil, 1, y, x):
        ref.ceil(y, x)


def round(y, x):
    if not map1(table.round, 1, y, x):
        ref.round(y, x)


def trunc(y, x):
    if not map1(table.trunc, 1, y, x):
        ref.trunc(y, x)


def frac(y, x):
    if not map1(table.frac, 2, y, x):
        ref.frac(y, x)


def logit(y, x):
    if not map1(table.logit, 25, y, x):
        ref.logit(y, x)


def logit_backward(dx, dy, x):
    if not map2(table.logit_backward, 5, dx, dy, x):
        ref.logit_backward(dx, dy, x)


def sinc(y, x):
    if not map1(table.sinc, 30, y, x):
        ref.sinc(y, x)


def sinc_backward(dx, dy, x):
    if not map2(table.sinc_backward, 50, dx, dy, x):
        ref.sinc_backward(dx, dy, x)


def nan_to_num(y, x, nan, posinf, neginf):
    if not map1(table.nan_to_num, 3, y, x, nan, posinf, neginf):
        ref.nan_to_num(y, x, nan, posinf, neginf)


def nan_to_num_backward(dx, dy, x):
    if not map2(table.nan_to_num_backward, 2, dx, dy, x):
        ref.nan_to_num_backward(dx, dy, x)
