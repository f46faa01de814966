"""Normalisation: drivers of csrc/norm.c. See nnrt._ref.norm for what each computes."""

from libc.stdint cimport int64_t, uintptr_t
from libc.string cimport memset
from numpy cimport PyArray_DATA, PyArray_DIM, PyArray_ITEMSIZE, PyArray_NBYTES, PyArray_SIZE, PyArray_STRIDE, ndarray

from nnrt._ext.runtime cimport data, dtype_code, give, isa_level, launch, nnrt_kernel, nnrt_work, span, take


cdef extern from "nnrt.h" nogil:
    enum:
        NNRT_AVX512

cdef extern from "stream.h" nogil:
    enum:
        NNRT_STREAM_BYTES

cdef extern from "norm.h" nogil:
    ctypedef struct nnrt_norm_args:
        nnrt_work work
        void *y
        const void *x
        const void *dy
        const void *w
        const void *b
        const void *more
        void *total
        const void *above
        void *dw
        void *db
        double *mean
        double *rstd
        double *partial
        double *sums
        double *slope
        int64_t n, rows, c, groups
        int64_t times, wide, parts, part, blocks, cols, pieces, piece, batch, group
        int relu, fixed, stream, avx512
        double eps
    ctypedef struct nnrt_norm_table:
        nnrt_kernel moments[2]
        nnrt_kernel finish_moments[2]
        nnrt_kernel normalize[2]
        nnrt_kernel backward_sums[2]
        nnrt_kernel finish_sums[2]
        nnrt_kernel finish_weights[2]
        nnrt_kernel normalize_backward[2]
        nnrt_kernel layer_norm[2]
        nnrt_kernel layer_norm_backward[2]
        nnrt_kernel finish_layer[2]
        void (*move[2])(void *y, const void *x, const double *value, int64_t c, double momentum, double scale) noexcept
        void (*rsqrt)(double *v, int64_t c, double eps) noexcept
    int64_t nnrt_norm_cut_sums(nnrt_norm_args *a)
    int64_t nnrt_norm_cut_pass(nnrt_norm_args *a)
    int64_t nnrt_norm_cut_small(nnrt_norm_args *a, int64_t count, int64_t each)
    int64_t nnrt_norm_cut_rows(nnrt_norm_args *a)
    int64_t nnrt_norm_parts(nnrt_norm_args *a, int64_t units, int64_t each, int64_t unit)
    const nnrt_norm_table *nnrt_norm(int isa)

cdef const nnrt_norm_table *table = nnrt_norm(isa_level())


cdef int fill(nnrt_norm_args *a, ndarray x, ndarray y, ndarray dy, ndarray w, ndarray b, ndarray dw, ndarray db,
              ndarray mean, ndarray rstd) except -1:
    """The arguments that are arrays; returns the code of the dtype."""
    memset(a, 0, sizeof(nnrt_norm_args))
    a.x = PyArray_DATA(x)
    a.y = data(y)
    a.dy = data(dy)
    a.w = data(w)
    a.b = data(b)
    a.dw = data(dw)
    a.db = data(db)
    a.mean = <double *>data(mean)
    a.rstd = <double *>data(rstd)
    return dtype_code(x)


cdef void channels(nnrt_norm_args *a, ndarray x, int64_t groups) noexcept:
    a.n = PyArray_DIM(x, 0)
    a.rows = PyArray_DIM(x, 1)
    a.c = PyArray_DIM(x, 2)
    a.groups = groups
    a.avx512 = isa_level() == NNRT_AVX512


cdef inline void work(nnrt_norm_args *a, ndarray x, double flops, double passes) noexcept:
    memset(&a.work, 0, sizeof(nnrt_work))
    a.work.flops = flops * PyArray_SIZE(x)
    a.work.bytes = passes * PyArray_NBYTES(x)


cdef void past_caches(nnrt_norm_args *a, ndarray y) noexcept:
    """Whether y is written past the caches: when it is large and every write there is aligned."""
    cdef int64_t item = PyArray_ITEMSIZE(y)
    a.stream = (
        PyArray_NBYTES(y) >= NNRT_STREAM_BYTES and <uintptr_t>a.y % 64 == 0
        and a.batch * item % 64 == 0 and (a.n == 1 or a.rows * a.c * item % 64 == 0)
    )


cdef double *room(int64_t count) except NULL:
    cdef void *block = take(count * sizeof(double))
    if block == NULL:
        raise MemoryError(f"norm: no memory for {count * sizeof(double)} bytes of partial results")
    return <double *>block


def moments(ndarray mean, ndarray var, ndarray x, int64_t groups):
    cdef nnrt_norm_args a
    cdef int code = fill(&a, x, None, None, None, None, None, None, mean, var)
    cdef int64_t tasks, count
    channels(&a, x, groups)
    if PyArray_SIZE(mean) == 0:
        return
    tasks = nnrt_norm_cut_sums(&a)
    count = 2 * a.n * a.parts * a.wide
    a.partial = room(count)
    try:
        work(&a, x, 4, 1)
        launch(&table.moments[code], &a, tasks)
        work(&a, mean, 8, 1)
        span(&a.work.out[0], mean)
        span(&a.work.out[1], var)
        tasks = nnrt_norm_cut_small(&a, a.n * groups, count // (a.n * groups))
        launch(&table.finish_moments[code], &a, tasks)
    finally:
        give(a.partial, count * sizeof(double))


def move(ndarray y, ndarray x, ndarray value, double momentum, double scale):
    cdef bint gapless = PyArray_STRIDE(x, 0) == PyArray_ITEMSIZE(x) and PyArray_STRIDE(y, 0) == PyArray_ITEMSIZE(y)
    cdef ndarray old = x if gapless else x.copy(), new = y if gapless else old
    cdef const double *measured = <const double *>PyArray_DATA(value)
    table.move[dtype_code(x)](PyArray_DATA(new), PyArray_DATA(old), measured, PyArray_SIZE(value), momentum, scale)
    if not gapless:
        y[...] = new


def batch_moments(ndarray mean, ndarray rstd, ndarray mean1, ndarray var1, ndarray x, ndarray mean0, ndarray var0,
                  double momentum, double eps):
    cdef double count = PyArray_DIM(x, 1)
    moments(mean, rstd, x, PyArray_DIM(x, 2))
    if mean1 is not None:
        move(mean1, mean0, mean, momentum, 1)
        move(var1, var0, rstd, momentum, count / (count - 1))
    table.rsqrt(<double *>PyArray_DATA(rstd), PyArray_SIZE(rstd), eps)


def normalize(ndarray y, ndarray x, ndarray mean, ndarray rstd, ndarray weight, ndarray bias, ndarray residual=None,
              activation=None):
    cdef nnrt_norm_args a
    cdef int code = fill(&a, x, y, None, weight, bias, None, None, mean, rstd)
    cdef int64_t tasks
    channels(&a, x, PyArray_DIM(mean, 1))
    if PyArray_SIZE(x) == 0:
        return
    tasks = nnrt_norm_cut_pass(&a)
    a.more = data(residual)
    work(&a, x, 3, 2 if residual is None else 3)
    past_caches(&a, y)
    a.relu = activation == "relu"
    a.work.scratch = (3 * a.wide + a.batch) * PyArray_ITEMSIZE(x)
    span(&a.work.out[0], y)
    launch(&table.normalize[code], &a, tasks)


def normalize_backward(ndarray dx, ndarray dr, ndarray dw, ndarray db, ndarray dy, ndarray x, ndarray y, ndarray mean,
                       ndarray rstd, ndarray weight, ndarray bias, activation, bint fixed):
    cdef nnrt_norm_args a
    cdef int code = fill(&a, x, dx, dy, weight, bias, dw, db, mean, rstd)
    cdef int64_t tasks, partial, sums, slopes
    channels(&a, x, PyArray_DIM(mean, 1))
    a.relu = activation == "relu"
    a.fixed = fixed
    a.above, a.total = data(y), data(dr)
    tasks = nnrt_norm_cut_sums(&a)
    partial, sums, slopes = 2 * a.n * a.parts * a.wide, 2 * a.n * a.c, 2 * a.n * a.groups
    a.partial = room(partial + sums + slopes)
    a.sums = a.partial + partial
    a.slope = a.sums + sums
    try:
        work(&a, x, 5, 2 if y is None else 4)
        if dr is not None:
            span(&a.work.out[0], dr)
        launch(&table.backward_sums[code], &a, tasks)
        if dr is not None:  # where relu stopped dy is settled
            a.dy, a.relu = a.total, False
        work(&a, mean, 10, 2)
        tasks = nnrt_norm_cut_small(&a, a.n * a.groups, partial // (a.n * a.groups))
        launch(&table.finish_sums[code], &a, tasks)
        if a.dw != NULL or a.db != NULL:
            work(&a, mean, 2, 2)
            if dw is not None:
                span(&a.work.out[0], dw)
            if db is not None:
                span(&a.work.out[1], db)
            launch(&table.finish_weights[code], &a, nnrt_norm_cut_small(&a, a.c, a.n))
        tasks = nnrt_norm_cut_pass(&a)
        work(&a, x, 6, 3)
        past_caches(&a, dx)
        a.stream = a.stream and a.y != a.dy  # what was just read is in the caches
        a.work.scratch = (5 * a.wide + a.batch) * PyArray_ITEMSIZE(x)
        span(&a.work.out[0], dx)
        launch(&table.normalize_backward[code], &a, tasks)
    finally:
        give(a.partial, (partial + sums + slopes) * sizeof(double))


def layer_norm(ndarray y, ndarray total, ndarray mean, ndarray rstd, ndarray x, ndarray residual, ndarray weight,
               ndarray bias, double eps):
    cdef nnrt_norm_args a
    cdef int code = fill(&a, x, y, None, weight, bias, None, None, mean, rstd)
    a.more = data(residual)
    a.total = data(total)
    a.n = 1
    a.rows = PyArray_DIM(x, 0)
    a.c = a.batch = PyArray_DIM(x, 1)
    a.eps = eps
    if PyArray_SIZE(x) == 0:
        return
    work(&a, x, 8, 2 if residual is None else 4)
    past_caches(&a, y)
    a.stream = a.stream and <uintptr_t>a.total % 64 == 0
    a.work.scratch = 3 * a.c * PyArray_ITEMSIZE(x)
    span(&a.work.out[0], y)
    launch(&table.layer_norm[code], &a, nnrt_norm_cut_rows(&a))


def layer_norm_backward(ndarray dx, ndarray dw, ndarray db, ndarray dy, ndarray x, ndarray mean, ndarray rstd,
                        ndarray weight, ndarray more):
    cdef nnrt_norm_args a
    cdef int code = fill(&a, x, dx, dy, weight, None, dw, db, mean, rstd)
    cdef int64_t tasks, partial
    a.more = data(more)
    a.n = 1
    a.rows = PyArray_DIM(x, 0)
    a.c = a.cols = a.batch = PyArray_DIM(x, 1)
    past_caches(&a, dx)
    tasks = nnrt_norm_parts(&a, 1, a.rows * a.c, 4)
    partial = 2 * a.parts * a.c
    a.partial = room(partial)
    try:
        work(&a, x, 14, 3 if more is None else 4)
        a.work.scratch = 3 * a.c * PyArray_ITEMSIZE(x)
        span(&a.work.out[0], dx)
        launch(&table.layer_norm_backward[code], &a, tasks)
        if a.dw != NULL or a.db != NULL:
            memset(&a.work, 0, sizeof(nnrt_work))
            if dw is not None:
                span(&a.work.out[0], dw)
            if db is not None:
                span(&a.work.out[1], db)
            launch(&table.finish_layer[code], &a, nnrt_norm_cut_small(&a, a.c, 2 * a.parts))
    finally:
        give(a.partial, partial * sizeof(double))
