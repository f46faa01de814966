"""Arithmetic: drivers of csrc/elementwise.c. See nnrt._ref.elementwise for what each computes."""

from libc.stdint cimport int32_t, int64_t
from libc.string cimport memset
from numpy cimport (
    NPY_FLOAT32,
    NPY_FLOAT64,
    PyArray_DATA,
    PyArray_DIM,
    PyArray_IS_C_CONTIGUOUS,
    PyArray_ITEMSIZE,
    PyArray_NDIM,
    PyArray_SIZE,
    PyArray_TYPE,
    ndarray,
)

from nnrt._ext.maps cimport gate, map1, map2, map3, map4
from nnrt._ext.runtime cimport alike, contiguous, dtype_code, empty, empty_like, isa_level, launch, nnrt_kernel, nnrt_work, span

import numpy as np

from nnrt._ref import elementwise as ref


cdef extern from "elementwise.h" nogil:
    ctypedef struct nnrt_elementwise_table:
        nnrt_kernel add[2]
        nnrt_kernel sub[2]
        nnrt_kernel mul[2]
        nnrt_kernel mul_backward[2]
        nnrt_kernel div[2]
        nnrt_kernel div_backward[2]
        nnrt_kernel axpy[2]
        nnrt_kernel neg[2]
        nnrt_kernel floor_divide[2]
        nnrt_kernel trunc_divide[2]
        nnrt_kernel remainder[2]
        nnrt_kernel fmod[2]
        nnrt_kernel pow[2]
        nnrt_kernel pow_backward[2]
        nnrt_kernel pow_backward_number[2]
        nnrt_kernel pow_backward_exponent[2]
        nnrt_kernel maximum[2]
        nnrt_kernel maximum_backward[2]
        nnrt_kernel minimum[2]
        nnrt_kernel minimum_backward[2]
        nnrt_kernel fmax[2]
        nnrt_kernel fmin[2]
        nnrt_kernel atan2[2]
        nnrt_kernel atan2_backward[2]
        nnrt_kernel hypot[2]
        nnrt_kernel hypot_backward[2]
        nnrt_kernel logaddexp[2]
        nnrt_kernel logaddexp_backward[2]
        nnrt_kernel xlogy[2]
        nnrt_kernel xlogy_backward[2]
        nnrt_kernel lerp[2]
        nnrt_kernel addcmul[2]
        nnrt_kernel addcdiv[2]
        nnrt_kernel where[2]
        nnrt_kernel clamp[2]
        nnrt_kernel clamp_numbers[2]
        nnrt_kernel clamp_backward[2]
        nnrt_kernel copysign[2]
        nnrt_kernel nextafter[2]
        nnrt_kernel sum_axis[2]
        nnrt_kernel sum_partials[2]
    ctypedef struct nnrt_sum_args:
        nnrt_work work
        void *out
        const void *x
        const void *z
        int64_t outer, length, inner, pieces, piece, blocks, group
        int32_t partial
    int64_t NNRT_SUM_COLUMNS
    int64_t NNRT_SUM_TASK
    const nnrt_elementwise_table *nnrt_elementwise(int isa)

cdef const nnrt_elementwise_table *table = nnrt_elementwise(isa_level())


def cast(out, x):
    ref.cast(out, x)


def add(out, a, b):
    if not map2(table.add, 1, out, a, b):
        ref.add(out, a, b)


def sub(out, a, b):
    if not map2(table.sub, 1, out, a, b):
        ref.sub(out, a, b)


def mul(out, a, b):
    if not map2(table.mul, 1, out, a, b):
        ref.mul(out, a, b)


def mul_backward(da, db, dy, a, b):
    if not gate(table.mul_backward, 2, da, db, dy, a, b):
        ref.mul_backward(da, db, dy, a, b)


def div(out, a, b):
    if not map2(table.div, 1, out, a, b):
        ref.div(out, a, b)


def div_backward(db, dy, a, b):
    if not map3(table.div_backward, 4, db, dy, a, b):
        ref.div_backward(db, dy, a, b)


def axpy(out, a, b, alpha):
    if not map2(table.axpy, 2, out, a, b, 0, alpha):
        ref.axpy(out, a, b, alpha)


def neg(out, a):
    if not map1(table.neg, 1, out, a):
        ref.neg(out, a)


def floor_divide(out, a, b):
    if not map2(table.floor_divide, 50, out, a, b):
        ref.floor_divide(out, a, b)


def trunc_divide(out, a, b):
    if not map2(table.trunc_divide, 2, out, a, b):
        ref.trunc_divide(out, a, b)


def remainder(out, a, b):
    if not map2(table.remainder, 50, out, a, b):
        ref.remainder(out, a, b)


def fmod(out, a, b):
    if not map2(table.fmod, 50, out, a, b):
        ref.fmod(out, a, b)


def pow(out, a, b):
    if not map2(table.pow, 60, out, a, b):
        ref.pow(out, a, b)


def pow_backward(da, dy, a, b):
    if type(b) is float and b != 0 and map2(table.pow_backward_number, 30, da, dy, a, 0, b):
        return
    if not map3(table.pow_backward, 60, da, dy, a, b):
        ref.pow_backward(da, dy, a, b)


def pow_backward_exponent(db, dy, a, b, y):
    if not map4(table.pow_backward_exponent, 30, db, dy, a, b, y):
        ref.pow_backward_exponent(db, dy, a, b, y)


def maximum(out, a, b):
    if not map2(table.maximum, 1, out, a, b):
        ref.maximum(out, a, b)


def maximum_backward(da, dy, a, b):
    if not map3(table.maximum_backward, 3, da, dy, a, b):
        ref.maximum_backward(da, dy, a, b)


def minimum(out, a, b):
    if not map2(table.minimum, 1, out, a, b):
        ref.minimum(out, a, b)


def minimum_backward(da, dy, a, b):
    if not map3(table.minimum_backward, 3, da, dy, a, b):
        ref.minimum_backward(da, dy, a, b)


def fmax(out, a, b):
    if not map2(table.fmax, 1, out, a, b):
        ref.fmax(out, a, b)


def fmin(out, a, b):
    if not map2(table.fmin, 1, out, a, b):
        ref.fmin(out, a, b)


def atan2(out, a, b):
    if not map2(table.atan2, 60, out, a, b):
        ref.atan2(out, a, b)


def atan2_backward(da, dy, a, b):
    if not map3(table.atan2_backward, 4, da, dy, a, b):
        ref.atan2_backward(da, dy, a, b)


def hypot(out, a, b):
    if not map2(table.hypot, 30, out, a, b):
        ref.hypot(out, a, b)


def hypot_backward(da, dy, a, y):
    if not map3(table.hypot_backward, 2, da, dy, a, y):
        ref.hypot_backward(da, dy, a, y)


def copysign(out, a, b):
    if not map2(table.copysign, 1, out, a, b):
        ref.copysign(out, a, b)


def nextafter(out, a, b):
    if not map2(table.nextafter, 3, out, a, b):
        ref.nextafter(out, a, b)


def logaddexp(out, a, b):
    if not map2(table.logaddexp, 40, out, a, b):
        ref.logaddexp(out, a, b)


def logaddexp_backward(da, dy, a, b):
    if not map3(table.logaddexp_backward, 20, da, dy, a, b):
        ref.logaddexp_backward(da, dy, a, b)


def xlogy(out, a, b):
    if not map2(table.xlogy, 20, out, a, b):
        ref.xlogy(out, a, b)


def xlogy_backward(da, dy, a, b):
    if not map3(table.xlogy_backward, 20, da, dy, a, b):
        ref.xlogy_backward(da, dy, a, b)


def heaviside(out, a, b):
    ref.heaviside(out, a, b)


def lerp(out, a, b, w):
    if not map3(table.lerp, 4, out, a, b, w):
        ref.lerp(out, a, b, w)


def addcmul(out, x, a, b, value):
    if not map3(table.addcmul, 3, out, x, a, b, 0, value):
        ref.addcmul(out, x, a, b, value)


def addcdiv(out, x, a, b, value):
    if not map3(table.addcdiv, 3, out, x, a, b, 0, value):
        ref.addcdiv(out, x, a, b, value)


def where(out, condition, a, b):
    if not map3(table.where, 1, out, condition, a, b, 0b10):
        ref.where(out, condition, a, b)


def clamp(out, x, lo, hi):
    if type(lo) is float and type(hi) is float and lo == lo and hi == hi:
        if map1(table.clamp_numbers, 2, out, x, lo, hi):
            return
    if not map3(table.clamp, 2, out, x, lo, hi):
        ref.clamp(out, x, lo, hi)


def clamp_backward(dx, dy, x, lo, hi):
    if not map4(table.clamp_backward, 2, dx, dy, x, lo, hi):
        ref.clamp_backward(dx, dy, x, lo, hi)


def clamp_backward_lo(dlo, dy, x, lo, hi):
    ref.clamp_backward_lo(dlo, dy, x, lo, hi)


def clamp_backward_hi(dhi, dy, x, lo, hi):
    ref.clamp_backward_hi(dhi, dy, x, lo, hi)


def sum_to(ndarray out, ndarray x):
    if not _sum_simple(out, x, None):
        if PyArray_TYPE(x) != PyArray_TYPE(out) or (PyArray_TYPE(x) != NPY_FLOAT32 and PyArray_TYPE(x) != NPY_FLOAT64) \
                or not PyArray_IS_C_CONTIGUOUS(out) or PyArray_SIZE(x) == 0:
            ref.sum_to(out, x)
        else:
            _sum_general(out, x, PyArray_NDIM(x) - PyArray_NDIM(out))


def mul_sum_to(ndarray out, ndarray a, ndarray b):
    if not _sum_simple(out, a, b):
        product = empty_like(a)
        mul(product, a, b)
        sum_to(out, product)


cdef int _sum_simple(ndarray out, ndarray x, ndarray z) except -1:
    """The sum where x (and z) is contiguous and the summed axes are neighbours; 0 where that is not so."""
    cdef int num = PyArray_TYPE(x), i, nd = PyArray_NDIM(x), extra = nd - PyArray_NDIM(out), phase = 0
    cdef int64_t outer = 1, length = 1, inner = 1, size
    if num != PyArray_TYPE(out) or (num != NPY_FLOAT32 and num != NPY_FLOAT64) or PyArray_SIZE(x) == 0 \
            or not PyArray_IS_C_CONTIGUOUS(out) or not PyArray_IS_C_CONTIGUOUS(x):
        return 0
    if z is not None and (PyArray_TYPE(z) != num or not PyArray_IS_C_CONTIGUOUS(z) or not alike(x, z)):
        return 0
    for i in range(nd):
        size = PyArray_DIM(x, i)
        if size == 1:
            continue
        if i < extra or PyArray_DIM(out, i - extra) == 1:  # summed
            if phase > 1:
                return 0
            phase = 1
            length *= size
        elif phase == 0:
            outer *= size
        else:
            phase = 2
            inner *= size
    sum_axis(out, x, z, outer, length, inner)
    return 1


cdef object _sum_general(ndarray out, ndarray x, int extra):
    """Axes in memory order, neighbours of one kind merged, then one sum per group of summed axes."""
    shape, strides = x.shape, x.strides
    order = sorted([i for i in range(x.ndim) if shape[i] != 1], key=lambda i: -abs(strides[i]))
    kept = [i for i in order if i >= extra and out.shape[i - extra] != 1]
    expected = x.itemsize
    dense = True
    for i in reversed(order):
        dense = dense and strides[i] == expected
        expected *= shape[i]
    if not dense or kept != sorted(kept):
        x = contiguous(x)
        order.sort()
    groups = []  # [is it kept?, size] in memory order
    for i in order:
        keep = i >= extra and out.shape[i - extra] != 1
        if groups and groups[-1][0] == keep:
            groups[-1][1] *= shape[i]
        else:
            groups.append([keep, shape[i]])
    inner = 1
    while groups:
        keep, size = groups.pop()
        if keep:
            inner *= size
            continue
        outer = 1
        for _, other in groups:
            outer *= other
        last = all([k for k, _ in groups])
        summed = out if last else empty((outer * inner,), x.dtype)
        sum_axis(summed, x, None, outer, size, inner)
        if last:
            return
        x = summed
    out.reshape(-1)[...] = x.reshape(-1)  # nothing was summed


cdef int sum_axis(ndarray out, ndarray x, ndarray z, int64_t outer, int64_t length, int64_t inner) except -1:
    """out[outer, inner] = sum of x[outer, length, inner] (times z, unless None) over its middle axis."""
    cdef nnrt_sum_args args
    cdef ndarray partials
    cdef int dtype = dtype_code(x)
    cdef int64_t columns = inner if inner < NNRT_SUM_COLUMNS else NNRT_SUM_COLUMNS
    memset(&args.work, 0, sizeof(nnrt_work))
    args.work.flops = <double>outer * length * inner
    args.work.bytes = args.work.flops * PyArray_ITEMSIZE(x)
    args.outer, args.length, args.inner = outer, length, inner
    args.blocks = (inner + NNRT_SUM_COLUMNS - 1) // NNRT_SUM_COLUMNS
    args.piece = NNRT_SUM_TASK // columns
    args.pieces = (length + args.piece - 1) // args.piece
    # Enough tasks without cutting the axis: then partial sums are not worth their traffic.
    if outer * args.blocks >= 32:
        args.piece, args.pieces = length, 1
    args.group = NNRT_SUM_TASK // (columns * (args.piece if args.piece < length else length)) + 1
    args.x = PyArray_DATA(x)
    args.z = NULL if z is None else PyArray_DATA(z)
    args.partial = args.pieces > 1
    if not args.partial:
        args.out = PyArray_DATA(out)
        span(&args.work.out[0], out)
        return launch(&table.sum_axis[dtype], &args, (outer * args.blocks + args.group - 1) // args.group)
    partials = empty((outer * args.pieces * inner,), np.float64)
    args.out = PyArray_DATA(partials)
    launch(&table.sum_axis[dtype], &args, (outer * args.pieces * args.blocks + args.group - 1) // args.group)
    args.x = PyArray_DATA(partials)
    args.out = PyArray_DATA(out)
    span(&args.work.out[0], out)
    args.work.flops = <double>outer * args.pieces * inner
    args.work.bytes = 8 * args.work.flops
    return launch(&table.sum_partials[dtype], &args, outer)
