"""Losses: drivers of csrc/loss.c. See nnrt._ref.loss for what each computes."""

from libc.stdint cimport int64_t
from libc.string cimport memset
from numpy cimport PyArray_DATA, PyArray_DIM, PyArray_ITEMSIZE, PyArray_SIZE, ndarray

from nnrt._ext.runtime cimport (
    NNRT_F32, NNRT_F64, data, dtype_code, give, isa_level, launch, nnrt_kernel, nnrt_work, span, take,
)


cdef extern from "loss.h" nogil:
    ctypedef struct nnrt_pointwise_args:
        nnrt_work work
        void *y
        double *partial
        void *dx
        void *dt
        const void *x
        const void *t
        const void *w
        const void *dy
        int64_t n
        int dy_each
        double a, scale
    ctypedef struct nnrt_classes_args:
        nnrt_work work
        void *loss
        void *lse
        void *dx
        void *dq
        const void *x
        const void *q
        const void *weight
        const void *dy
        const int64_t *target
        int64_t outer, n, inner
        int64_t blocks, cols, group
        int64_t ignore_index
        int dy_each
        double smoothing, scale
    ctypedef struct nnrt_ctc_args:
        nnrt_work work
        void *loss
        void *alpha
        void *dx
        const void *x
        const void *dy
        const int64_t *targets
        const int64_t *starts
        const int64_t *frames
        const int64_t *sizes
        int64_t n, t, classes, width, blank
    enum:
        NNRT_LOSS_CHUNK
        NNRT_BCE_LOGITS
        NNRT_BCE_LOGITS_WEIGHTED
    ctypedef struct nnrt_loss_table:
        nnrt_kernel pointwise[9][2]
        nnrt_kernel total[9][2]
        nnrt_kernel backward[9][2]
        nnrt_kernel cross_entropy[2]
        nnrt_kernel cross_entropy_backward[2]
        nnrt_kernel cross_entropy_soft[2]
        nnrt_kernel cross_entropy_soft_backward[2]
        nnrt_kernel nll[2]
        nnrt_kernel nll_backward[2]
        nnrt_kernel ctc[2]
        nnrt_kernel ctc_backward[2]
    const nnrt_loss_table *nnrt_loss(int isa)

cdef extern from "softmax.h" nogil:
    int64_t nnrt_softmax_cut(int64_t outer, int64_t n, int64_t inner, int64_t *blocks, int64_t *cols,
                             int64_t *group)

cdef const nnrt_loss_table *table = nnrt_loss(isa_level())

# In the order of loss.h.
cdef dict KINDS = {"mse": 0, "l1": 1, "smooth_l1": 2, "huber": 3, "bce": 4, "bce_logits": 5, "kl": 7, "kl_log": 8}


cdef int kind_of(kind, ndarray w) except -1:
    cdef int code = KINDS[kind]
    return NNRT_BCE_LOGITS_WEIGHTED if code == NNRT_BCE_LOGITS and w is not None else code


cdef inline int64_t prepare(nnrt_pointwise_args *args, ndarray x, ndarray t, ndarray w, double a, int arrays) noexcept:
    """Fills what the three share; returns the number of tasks."""
    memset(args, 0, sizeof(nnrt_pointwise_args))
    args.n = PyArray_SIZE(x)
    args.work.flops = 10.0 * args.n
    args.work.bytes = <double>args.n * PyArray_ITEMSIZE(x) * arrays
    args.x = PyArray_DATA(x)
    args.t = PyArray_DATA(t)
    args.w = data(w)
    args.a = a
    return (args.n + NNRT_LOSS_CHUNK - 1) // NNRT_LOSS_CHUNK


def pointwise(ndarray y, ndarray x, ndarray t, ndarray w, kind, double a):
    cdef nnrt_pointwise_args args
    cdef int64_t tasks = prepare(&args, x, t, w, a, 3)
    span(&args.work.out[0], y)
    args.y = PyArray_DATA(y)
    launch(&table.pointwise[kind_of(kind, w)][dtype_code(x)], &args, tasks)


def pointwise_total(ndarray y, ndarray x, ndarray t, ndarray w, kind, double a, double divisor):
    cdef nnrt_pointwise_args args
    cdef double few[64]
    cdef double total = 0
    cdef int64_t i, tasks = prepare(&args, x, t, w, a, 2)
    cdef int code = dtype_code(x)
    cdef size_t bytes = <size_t>tasks * sizeof(double)
    if tasks <= 64:
        args.partial = &few[0]
    else:
        args.partial = <double *>take(bytes)
    if args.partial == NULL:
        raise MemoryError(f"pointwise_total: no memory for {bytes} bytes of partial results")
    try:
        args.work.out[0].data, args.work.out[0].count, args.work.out[0].dtype = args.partial, tasks, NNRT_F64
        launch(&table.total[kind_of(kind, w)][code], &args, tasks)
        for i in range(tasks):
            total += args.partial[i]
    finally:
        if tasks > 64:
            give(args.partial, bytes)
    if code == NNRT_F32:
        (<float *>PyArray_DATA(y))[0] = <float>(total / divisor)
    else:
        (<double *>PyArray_DATA(y))[0] = total / divisor


def pointwise_backward(ndarray dx, ndarray dt, ndarray dy, ndarray x, ndarray t, ndarray w, kind, double a,
                       double scale):
    cdef nnrt_pointwise_args args
    cdef int64_t tasks = prepare(&args, x, t, w, a, 3 + (dx is not None and dt is not None))
    if dx is not None:
        span(&args.work.out[0], dx)
    if dt is not None:
        span(&args.work.out[1], dt)
    args.dx = data(dx)
    args.dt = data(dt)
    args.dy = PyArray_DATA(dy)
    args.dy_each = PyArray_SIZE(dy) == args.n
    args.scale = scale
    launch(&table.backward[kind_of(kind, w)][dtype_code(x)], &args, tasks)


def check_classes(ndarray found, ndarray target, int64_t classes, int64_t ignore_index):
    cdef const int64_t *t = <const int64_t *>PyArray_DATA(target)
    cdef int64_t *out = <int64_t *>PyArray_DATA(found)
    cdef int64_t i, kept = 0, bad = -1
    for i in range(PyArray_SIZE(target)):
        if t[i] == ignore_index:
            continue
        kept += 1
        if bad < 0 and not 0 <= t[i] < classes:
            bad = i
    out[0] = kept
    out[1] = bad


cdef int run(const nnrt_kernel *kernels, nnrt_classes_args *args, ndarray x, ndarray out, ndarray weight, ndarray dy,
             int64_t outer, int64_t n, int64_t inner, double flops, int arrays) except -1:
    """Fills what the class kernels share and launches. out: what the NaN check looks at."""
    cdef int64_t tasks
    if outer * inner == 0:
        return 0
    args.work.flops = flops * outer * n * inner
    args.work.bytes = <double>(outer * n * inner) * PyArray_ITEMSIZE(x) * arrays
    span(&args.work.out[0], out)
    args.x = PyArray_DATA(x)
    args.weight = data(weight)
    args.dy = data(dy)
    args.dy_each = dy is not None and PyArray_SIZE(dy) == outer * inner
    args.outer = outer
    args.n = n
    args.inner = inner
    tasks = nnrt_softmax_cut(outer, n, inner, &args.blocks, &args.cols, &args.group)
    return launch(&kernels[dtype_code(x)], args, tasks)


def cross_entropy(ndarray loss, ndarray lse, ndarray x, ndarray target, ndarray weight,
                  int64_t outer, int64_t n, int64_t inner, int64_t ignore_index, double smoothing):
    cdef nnrt_classes_args args
    memset(&args, 0, sizeof(args))
    args.loss = PyArray_DATA(loss)
    args.lse = PyArray_DATA(lse)
    args.target = <const int64_t *>PyArray_DATA(target)
    args.ignore_index = ignore_index
    args.smoothing = smoothing
    run(table.cross_entropy, &args, x, loss, weight, None, outer, n, inner, 14, 1)


def cross_entropy_backward(ndarray dx, ndarray dy, ndarray x, ndarray lse, ndarray target, ndarray weight,
                           int64_t outer, int64_t n, int64_t inner, int64_t ignore_index, double smoothing,
                           double scale):
    cdef nnrt_classes_args args
    memset(&args, 0, sizeof(args))
    args.dx = PyArray_DATA(dx)
    args.lse = PyArray_DATA(lse)
    args.target = <const int64_t *>PyArray_DATA(target)
    args.ignore_index = ignore_index
    args.smoothing = smoothing
    args.scale = scale
    run(table.cross_entropy_backward, &args, x, dx, weight, dy, outer, n, inner, 14, 2)


def cross_entropy_soft(ndarray loss, ndarray lse, ndarray x, ndarray q, ndarray weight,
                       int64_t outer, int64_t n, int64_t inner, double smoothing):
    cdef nnrt_classes_args args
    memset(&args, 0, sizeof(args))
    args.loss = PyArray_DATA(loss)
    args.lse = PyArray_DATA(lse)
    args.q = PyArray_DATA(q)
    args.smoothing = smoothing
    run(table.cross_entropy_soft, &args, x, loss, weight, None, outer, n, inner, 18, 2)


def cross_entropy_soft_backward(ndarray dx, ndarray dq, ndarray dy, ndarray x, ndarray lse, ndarray q,
                                ndarray weight, int64_t outer, int64_t n, int64_t inner, double smoothing,
                                double scale):
    cdef nnrt_classes_args args
    memset(&args, 0, sizeof(args))
    args.dx = data(dx)
    args.dq = data(dq)
    args.lse = PyArray_DATA(lse)
    args.q = PyArray_DATA(q)
    args.smoothing = smoothing
    args.scale = scale
    if dq is not None:
        span(&args.work.out[1], dq)
    run(table.cross_entropy_soft_backward, &args, x, dq if dx is None else dx, weight, dy, outer, n, inner, 18, 3)


def nll(ndarray loss, ndarray x, ndarray target, ndarray weight, int64_t outer, int64_t n, int64_t inner,
        int64_t ignore_index):
    cdef nnrt_classes_args args
    memset(&args, 0, sizeof(args))
    args.loss = PyArray_DATA(loss)
    args.target = <const int64_t *>PyArray_DATA(target)
    args.ignore_index = ignore_index
    run(table.nll, &args, x, loss, weight, None, outer, n, inner, 0, 0)


def nll_backward(ndarray dx, ndarray dy, ndarray target, ndarray weight, int64_t outer, int64_t n, int64_t inner,
                 int64_t ignore_index, double scale):
    cdef nnrt_classes_args args
    memset(&args, 0, sizeof(args))
    args.dx = PyArray_DATA(dx)
    args.target = <const int64_t *>PyArray_DATA(target)
    args.ignore_index = ignore_index
    args.scale = scale
    run(table.nll_backward, &args, dx, dx, weight, dy, outer, n, inner, 0, 1)


cdef int ctc_run(const nnrt_kernel *kernels, ndarray out, ndarray dy, ndarray x, ndarray alpha, ndarray loss, ndarray targets,
                 ndarray starts, ndarray frames, ndarray sizes, int64_t blank) except -1:
    """Fills what both share and launches; out is loss or dx."""
    cdef nnrt_ctc_args a
    memset(&a, 0, sizeof(a))
    a.loss = PyArray_DATA(loss)
    a.alpha = PyArray_DATA(alpha)
    a.dx = PyArray_DATA(out)
    a.x = PyArray_DATA(x)
    a.dy = data(dy)
    a.targets = <const int64_t *>PyArray_DATA(targets)
    a.starts = <const int64_t *>PyArray_DATA(starts)
    a.frames = <const int64_t *>PyArray_DATA(frames)
    a.sizes = <const int64_t *>PyArray_DATA(sizes)
    a.n = PyArray_DIM(alpha, 0)
    a.t = PyArray_DIM(alpha, 1)
    a.width = PyArray_DIM(alpha, 2)
    a.classes = PyArray_DIM(x, 2)
    a.blank = blank
    a.work.flops = 60.0 * PyArray_SIZE(alpha)
    a.work.bytes = <double>(PyArray_SIZE(x) + PyArray_SIZE(alpha)) * PyArray_ITEMSIZE(x)
    a.work.scratch = (4 * a.width + 8) * PyArray_ITEMSIZE(x)
    span(&a.work.out[0], out)
    return launch(&kernels[dtype_code(x)], &a, a.n)


def ctc(ndarray loss, ndarray alpha, ndarray x, ndarray targets, ndarray starts, ndarray frames, ndarray sizes,
        int64_t blank):
    ctc_run(table.ctc, loss, None, x, alpha, loss, targets, starts, frames, sizes, blank)


def ctc_backward(ndarray dx, ndarray dy, ndarray x, ndarray alpha, ndarray loss, ndarray targets, ndarray starts,
                 ndarray frames, ndarray sizes, int64_t blank):
    ctc_run(table.ctc_backward, dx, dy, x, alpha, loss, targets, starts, frames, sizes, blank)
