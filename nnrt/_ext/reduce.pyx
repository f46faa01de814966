"""Reductions: drivers of csrc/reduce.c. See nnrt._ref.reduce for what each computes.

dtypes other than float32 and float64 go to _ref, as does an axis too long for the index type.
"""

from libc.stdint cimport int64_t
from libc.string cimport memset
from numpy cimport (
    NPY_FLOAT32, NPY_FLOAT64, NPY_INT64, PyArray_DATA, PyArray_ITEMSIZE, PyArray_SIZE, PyArray_TYPE, ndarray,
)

from nnrt._ext.runtime cimport (
    dtype_code, empty_like, give, isa_level, launch, nnrt_kernel, nnrt_work, span, take,
)
from nnrt._ref import reduce as ref


cdef extern from "reduce.h" nogil:
    ctypedef struct nnrt_reduce_args:
        nnrt_work work
        void *y
        void *second
        int64_t *index
        const void *x
        const void *dy
        const void *v
        double *partial
        double *wide
        int64_t outer, n, inner, m
        int64_t parts, rows, blocks, cols, group
        double divisor
        int reverse
    ctypedef struct nnrt_reduce_table:
        nnrt_kernel sum[2]
        nnrt_kernel norm1[2]
        nnrt_kernel norm2[2]
        nnrt_kernel count[2]
        nnrt_kernel squares[2]
        nnrt_kernel prod[2]
        nnrt_kernel amax[2]
        nnrt_kernel amin[2]
        nnrt_kernel finish_sum[2]
        nnrt_kernel finish_norm2[2]
        nnrt_kernel finish_mean[2]
        nnrt_kernel finish_var[2]
        nnrt_kernel finish_prod[2]
        nnrt_kernel finish_amax[2]
        nnrt_kernel finish_amin[2]
        nnrt_kernel var[2]
        nnrt_kernel max_at[2]
        nnrt_kernel min_at[2]
        nnrt_kernel amax_backward[2]
        nnrt_kernel var_backward[2]
        nnrt_kernel norm1_backward[2]
        nnrt_kernel norm2_backward[2]
        nnrt_kernel select_backward[2]
        nnrt_kernel prod_backward[2]
        nnrt_kernel cumsum[2]
        nnrt_kernel cumprod[2]
        nnrt_kernel cumprod_backward[2]
        nnrt_kernel cummax[2]
        nnrt_kernel cummin[2]
    enum:
        NNRT_REDUCE_TASK
    int64_t nnrt_reduce_cut(nnrt_reduce_args *args, int cut)
    const nnrt_reduce_table *nnrt_reduce(int isa)

cdef const nnrt_reduce_table *table = nnrt_reduce(isa_level())


cdef inline bint floats(ndarray y, ndarray x) noexcept:
    """Do the C kernels take these two?"""
    cdef int num = PyArray_TYPE(x)
    return num == PyArray_TYPE(y) and (num == NPY_FLOAT32 or num == NPY_FLOAT64)


cdef inline void fill(nnrt_reduce_args *a, ndarray y, ndarray x, int64_t outer, int64_t n, int64_t inner) noexcept:
    memset(a, 0, sizeof(nnrt_reduce_args))
    a.work.flops = <double>(outer * n * inner)
    a.work.bytes = <double>(PyArray_SIZE(x) + PyArray_SIZE(y)) * PyArray_ITEMSIZE(x)
    span(&a.work.out[0], y)
    a.y = PyArray_DATA(y)
    a.x = PyArray_DATA(x)
    a.outer = outer
    a.n = n
    a.inner = inner
    a.divisor = 1


cdef int reduce(const nnrt_kernel *kernels, const nnrt_kernel *finish, nnrt_reduce_args *a, int code) except -1:
    """Runs a kernel over the units, then, where n was cut, the finish over the parts."""
    cdef int64_t tasks = nnrt_reduce_cut(a, 1)
    cdef size_t bytes
    if a.outer * a.inner == 0:
        return 0
    if a.parts == 1:
        return launch(&kernels[code], a, tasks)
    bytes = <size_t>(a.outer * a.parts * a.inner) * sizeof(double)
    a.partial = <double *>take(bytes)
    if a.partial == NULL:
        raise MemoryError(f"reduce: no memory for {bytes} bytes of partial results")
    try:
        launch(&kernels[code], a, tasks)
        fold(&finish[code], a)
    finally:
        give(a.partial, bytes)
    return 0


cdef int fold(const nnrt_kernel *finish, nnrt_reduce_args *a) except -1:
    cdef int64_t values = a.outer * a.inner
    a.group = NNRT_REDUCE_TASK // a.parts
    a.work.flops = <double>(values * a.parts)
    a.work.bytes = 8 * a.work.flops
    return launch(finish, a, (values + a.group - 1) // a.group)


cdef bint reduced(const nnrt_kernel *kernels, const nnrt_kernel *finish, ndarray y, ndarray x, int64_t outer, int64_t n,
                  int64_t inner, double divisor=1) except -1:
    """reduce of x to y; False where they are no floats, which are _ref's."""
    cdef nnrt_reduce_args a
    if not floats(y, x):
        return False
    fill(&a, y, x, outer, n, inner)
    a.divisor = divisor
    reduce(kernels, finish, &a, dtype_code(x))
    return True


def sum(ndarray y, ndarray x, int64_t outer, int64_t n, int64_t inner, double divisor):
    if not reduced(table.sum, table.finish_sum, y, x, outer, n, inner, divisor):
        ref.sum(y, x, outer, n, inner, divisor)


def prod(ndarray y, ndarray x, int64_t outer, int64_t n, int64_t inner):
    if not reduced(table.prod, table.finish_prod, y, x, outer, n, inner):
        ref.prod(y, x, outer, n, inner)


def amax(ndarray y, ndarray x, int64_t outer, int64_t n, int64_t inner):
    if not reduced(table.amax, table.finish_amax, y, x, outer, n, inner):
        ref.amax(y, x, outer, n, inner)


def amin(ndarray y, ndarray x, int64_t outer, int64_t n, int64_t inner):
    if not reduced(table.amin, table.finish_amin, y, x, outer, n, inner):
        ref.amin(y, x, outer, n, inner)


def norm(ndarray y, ndarray x, int64_t outer, int64_t n, int64_t inner, double p):
    if p == 1 and reduced(table.norm1, table.finish_sum, y, x, outer, n, inner):
        return
    if p == 2 and reduced(table.norm2, table.finish_norm2, y, x, outer, n, inner):
        return
    ref.norm(y, x, outer, n, inner, p)


def var(ndarray y, ndarray mean, ndarray x, int64_t outer, int64_t n, int64_t inner, double divisor):
    cdef nnrt_reduce_args a
    cdef int64_t tasks
    cdef int code
    cdef size_t bytes
    if not floats(y, x):
        ref.var(y, mean, x, outer, n, inner, divisor)
        return
    if outer * inner == 0:
        return
    code = dtype_code(x)
    fill(&a, y, x, outer, n, inner)
    a.divisor = divisor
    a.second = PyArray_DATA(mean)
    a.v = a.second
    tasks = nnrt_reduce_cut(&a, 1)
    if a.parts == 1:
        launch(&table.var[code], &a, tasks)
        return
    bytes = <size_t>(outer * (a.parts + 1) * inner) * sizeof(double)
    a.partial = <double *>take(bytes)
    if a.partial == NULL:
        raise MemoryError(f"var: no memory for {bytes} bytes of partial results")
    a.wide = a.partial + outer * a.parts * inner
    try:
        launch(&table.sum[code], &a, tasks)
        a.y = a.second
        fold(&table.finish_mean[code], &a)
        tasks = nnrt_reduce_cut(&a, 1)
        launch(&table.squares[code], &a, tasks)
        a.y = PyArray_DATA(y)
        fold(&table.finish_var[code], &a)
    finally:
        give(a.partial, bytes)


def max_at(ndarray y, ndarray index, ndarray x, int64_t outer, int64_t n, int64_t inner):
    if not floats(y, x) or n >= 1 << 31:
        ref.max_at(y, index, x, outer, n, inner)
        return
    at(table.max_at, y, index, x, outer, n, inner)


def min_at(ndarray y, ndarray index, ndarray x, int64_t outer, int64_t n, int64_t inner):
    if not floats(y, x) or n >= 1 << 31:
        ref.min_at(y, index, x, outer, n, inner)
        return
    at(table.min_at, y, index, x, outer, n, inner)


cdef int at(const nnrt_kernel *kernels, ndarray y, ndarray index, ndarray x,
            int64_t outer, int64_t n, int64_t inner) except -1:
    """Kernels that never cut n."""
    cdef nnrt_reduce_args a
    cdef int64_t tasks
    if outer * n * inner == 0:
        return 0
    fill(&a, y, x, outer, n, inner)
    a.index = <int64_t *>PyArray_DATA(index)
    tasks = nnrt_reduce_cut(&a, 0)
    return launch(&kernels[dtype_code(x)], &a, tasks)


cdef int spread(const nnrt_kernel *kernels, ndarray dx, ndarray dy, ndarray x, ndarray v, double divisor,
                const void *second, int64_t outer, int64_t n, int64_t inner) except -1:
    """Gradients that a value for each [outer, inner] spreads over n."""
    cdef nnrt_reduce_args a
    cdef int64_t tasks
    if outer * n * inner == 0:
        return 0
    fill(&a, dx, x, outer, n, inner)
    a.dy = PyArray_DATA(dy)
    a.v = PyArray_DATA(v)
    a.second = <void *>second
    a.divisor = divisor
    tasks = nnrt_reduce_cut(&a, 1)
    return launch(&kernels[dtype_code(x)], &a, tasks)


def amax_backward(ndarray dx, ndarray dy, ndarray x, ndarray y, int64_t outer, int64_t n, int64_t inner):
    cdef nnrt_reduce_args a
    cdef ndarray ties
    if not floats(dx, x):
        ref.amax_backward(dx, dy, x, y, outer, n, inner)
        return
    ties = empty_like(y)
    fill(&a, ties, x, outer, n, inner)
    a.v = PyArray_DATA(y)
    reduce(table.count, table.finish_sum, &a, dtype_code(x))
    spread(table.amax_backward, dx, dy, x, y, 1, PyArray_DATA(ties), outer, n, inner)


def var_backward(ndarray dx, ndarray dy, ndarray x, ndarray mean, int64_t outer, int64_t n, int64_t inner,
                 double divisor):
    if not floats(dx, x):
        ref.var_backward(dx, dy, x, mean, outer, n, inner, divisor)
        return
    spread(table.var_backward, dx, dy, x, mean, divisor, NULL, outer, n, inner)


def norm_backward(ndarray dx, ndarray dy, ndarray x, ndarray y, int64_t outer, int64_t n, int64_t inner, double p):
    if not floats(dx, x) or (p != 1 and p != 2):
        ref.norm_backward(dx, dy, x, y, outer, n, inner, p)
    elif p == 1:
        spread(table.norm1_backward, dx, dy, x, y, 1, NULL, outer, n, inner)
    else:
        spread(table.norm2_backward, dx, dy, x, y, 1, NULL, outer, n, inner)


def select_backward(ndarray dx, ndarray dy, ndarray index, int64_t outer, int64_t n, int64_t m, int64_t inner):
    cdef nnrt_reduce_args a
    if not floats(dx, dy) or PyArray_TYPE(index) != NPY_INT64:
        ref.select_backward(dx, dy, index, outer, n, m, inner)
        return
    if outer * n * inner == 0:
        return
    fill(&a, dx, dy, outer, n, inner)
    a.dy = PyArray_DATA(dy)
    a.index = <int64_t *>PyArray_DATA(index)
    a.m = m
    a.group = max(1, NNRT_REDUCE_TASK // max(1, n * inner))
    launch(&table.select_backward[dtype_code(dx)], &a, (outer + a.group - 1) // a.group)


cdef int scan(const nnrt_kernel *kernels, ndarray y, ndarray x, ndarray dy, bint reverse,
              int64_t outer, int64_t n, int64_t inner) except -1:
    cdef nnrt_reduce_args a
    cdef int64_t tasks
    if outer * n * inner == 0:
        return 0
    fill(&a, y, x, outer, n, inner)
    a.dy = NULL if dy is None else PyArray_DATA(dy)
    a.reverse = reverse
    tasks = nnrt_reduce_cut(&a, 0)
    return launch(&kernels[dtype_code(x)], &a, tasks)


def cumsum(ndarray y, ndarray x, int64_t outer, int64_t n, int64_t inner, bint reverse):
    if not floats(y, x):
        ref.cumsum(y, x, outer, n, inner, reverse)
        return
    scan(table.cumsum, y, x, None, reverse, outer, n, inner)


def cumprod(ndarray y, ndarray x, int64_t outer, int64_t n, int64_t inner):
    if not floats(y, x):
        ref.cumprod(y, x, outer, n, inner)
        return
    scan(table.cumprod, y, x, None, False, outer, n, inner)


def cumprod_backward(ndarray dx, ndarray dy, ndarray x, int64_t outer, int64_t n, int64_t inner):
    if not floats(dx, x):
        ref.cumprod_backward(dx, dy, x, outer, n, inner)
        return
    scan(table.cumprod_backward, dx, x, dy, False, outer, n, inner)


def prod_backward(ndarray dx, ndarray dy, ndarray x, int64_t outer, int64_t n, int64_t inner):
    if not floats(dx, x):
        ref.prod_backward(dx, dy, x, outer, n, inner)
        return
    scan(table.prod_backward, dx, x, dy, False, outer, n, inner)


def cummax(ndarray y, ndarray index, ndarray x, int64_t outer, int64_t n, int64_t inner):
    if not floats(y, x):
        ref.cummax(y, index, x, outer, n, inner)
        return
    at(table.cummax, y, index, x, outer, n, inner)


def cummin(ndarray y, ndarray index, ndarray x, int64_t outer, int64_t n, int64_t inner):
    if not floats(y, x):
        ref.cummin(y, index, x, outer, n, inner)
        return
    at(table.cummin, y, index, x, outer, n, inner)
