"""Attention: how the passes are cut into tasks for csrc/attention.c. See nnrt._ref.attention."""

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from libc.string cimport memset
from numpy cimport PyArray_DATA, PyArray_DIMS, PyArray_STRIDES, PyArray_TYPE, NPY_BOOL, ndarray

from nnrt._ext.linear cimport linear_table, nnrt_gemm_ops
from nnrt._ext.runtime cimport (
    NNRT_F32, ceil_div, dtype_code, empty, give, has_nan, isa_level, launch_nogil, nnrt_kernel, nnrt_span, nnrt_work,
    take,
)


cdef extern from "attention.h" nogil:
    enum:
        NNRT_ATTENTION_ROWS
        NNRT_ATTENTION_COLS
        NNRT_ATTENTION_LONG
        NNRT_ATTENTION_TASKS
    ctypedef struct nnrt_attention_array:
        void *data
        int64_t step[3]
    ctypedef struct nnrt_attention_part:
        const int64_t *q_index
        const int64_t *k_index
        const int64_t *q_at
        const int64_t *k_at
        const int64_t *first
        const int64_t *block
        const int64_t *mask
        const uint64_t *words
        int64_t q_blocks
        int32_t again
    ctypedef struct nnrt_attention_args:
        nnrt_work work
        const nnrt_gemm_ops *gemm
        nnrt_attention_array q, k, v, out, dout, dq, dk, dv
        void *lse
        int64_t batch, heads, groups, queries, keys, size, width
        double scale
        int64_t first
        int32_t causal, boolean, dropout
        const void *mask
        int64_t mask_step[4]
        const void *slopes
        nnrt_attention_array relative, mass, drelative, dmass
        int64_t reach
        double kept
        uint32_t below
        uint64_t seed, offset
        const nnrt_attention_part *part
        int64_t rows, cols, chunks
        int32_t stretches
        int64_t met[NNRT_ATTENTION_TASKS][2]
        void *partial
        void *dmask
        int64_t dmask_size[4]
    ctypedef struct nnrt_attention_ops:
        nnrt_kernel forward, backward, gather, of_mask, decode, merge
        size_t (*scratch)(const nnrt_attention_args *a, int backward)
    ctypedef struct nnrt_attention_table:
        nnrt_attention_ops dtype[2]
    const nnrt_attention_table *nnrt_attention(int isa)

cdef const nnrt_attention_table *table = nnrt_attention(isa_level())

# Tasks that a backward pass wants, and multiply-adds below which one is not worth the sums of its own.
cdef int64_t TASKS = NNRT_ATTENTION_TASKS
cdef double TASK_MACS = 16e6
# Keys of a decoding task: 64 kB of keys and values of 64 floats each.
cdef int64_t DECODE_KEYS = 128


cdef void place(nnrt_attention_array *to, ndarray a) noexcept:
    cdef int i
    cdef int64_t size
    if a is None:
        to.data = NULL
        return
    size = 4 if dtype_of(a) == NNRT_F32 else 8
    to.data = PyArray_DATA(a)
    for i in range(3):
        to.step[i] = PyArray_STRIDES(a)[i] // size


cdef int dtype_of(ndarray a) noexcept:
    try:
        return dtype_code(a)
    except TypeError:
        return -1


cdef int nan_in(const nnrt_attention_array *x, int64_t b, int64_t h, int64_t rows, int64_t size, int dtype) noexcept nogil:
    cdef nnrt_span row
    cdef int64_t i, j, l, each = 4 if dtype == NNRT_F32 else 8
    row.count, row.dtype = size, dtype
    if x.data == NULL:
        return 0
    for i in range(b):
        for j in range(h):
            for l in range(rows):
                row.data = <const char *>x.data + (i * x.step[0] + j * x.step[1] + l * x.step[2]) * each
                if has_nan(&row):
                    return 1
    return 0


cdef int forward_nan(const void *args) noexcept nogil:
    cdef const nnrt_attention_args *a = <const nnrt_attention_args *>args
    cdef nnrt_span lse
    lse.data, lse.count, lse.dtype = a.lse, a.batch * a.heads * a.queries, a.work.out[0].dtype
    return (
        nan_in(&a.out, a.batch, a.heads, a.queries, a.width, lse.dtype)
        or nan_in(&a.mass, a.batch, a.heads, a.queries, 2 * a.reach + 1, lse.dtype)
        or a.lse != NULL and has_nan(&lse)
    )


cdef int backward_nan(const void *args) noexcept nogil:
    cdef const nnrt_attention_args *a = <const nnrt_attention_args *>args
    cdef int dtype = a.work.out[0].dtype
    return (
        nan_in(&a.dq, a.batch, a.heads, a.queries, a.size, dtype) or nan_in(&a.dk, a.batch, a.groups, a.keys, a.size, dtype)
        or nan_in(&a.dv, a.batch, a.groups, a.keys, a.width, dtype)
        or nan_in(&a.drelative, a.batch, a.heads, a.queries, 2 * a.reach + 1, dtype)
    )


cdef int fill(nnrt_attention_args *a, ndarray q, ndarray k, ndarray v, ndarray mask, ndarray slopes, ndarray relative,
              double scale, bint causal, int64_t first, double p, uint64_t seed, uint64_t offset) except -1:
    """Everything that all passes share; returns the dtype's code."""
    cdef int i, dtype = dtype_code(q)
    cdef int64_t size = 4 if dtype == NNRT_F32 else 8
    memset(a, 0, sizeof(a[0]))
    a.gemm = &linear_table().dtype[dtype]
    place(&a.q, q)
    place(&a.k, k)
    place(&a.v, v)
    place(&a.relative, relative)
    a.batch, a.heads, a.queries, a.size = PyArray_DIMS(q)[0], PyArray_DIMS(q)[1], PyArray_DIMS(q)[2], PyArray_DIMS(q)[3]
    a.groups, a.keys, a.width = PyArray_DIMS(k)[1], PyArray_DIMS(k)[2], PyArray_DIMS(v)[3]
    a.scale, a.causal, a.first = scale, causal, first
    if mask is not None:
        a.mask, a.boolean = PyArray_DATA(mask), PyArray_TYPE(mask) == NPY_BOOL
        for i in range(4):
            a.mask_step[i] = PyArray_STRIDES(mask)[i] // (1 if a.boolean else size)
    a.slopes = NULL if slopes is None else PyArray_DATA(slopes)
    a.reach = 0 if relative is None else PyArray_DIMS(relative)[3] // 2
    a.dropout, a.kept, a.below = p > 0, 1 / (1 - p) if p < 1 else 0, <uint32_t>(p * 65536 + 0.5)
    a.seed, a.offset = seed, offset
    a.rows, a.cols = NNRT_ATTENTION_ROWS, NNRT_ATTENTION_COLS
    a.chunks = 1
    a.work.flops = <double>a.batch * a.heads * a.queries * a.keys * (a.size + a.width) * (1 if causal else 2)
    a.work.out[0].dtype = dtype
    return dtype


cdef inline int64_t *numbers(ndarray a) noexcept:
    return NULL if a is None else <int64_t *>PyArray_DATA(a)


cdef int read_part(nnrt_attention_part *to, tuple arrays, bint again) except -1:
    q_index, k_index, q_at, k_at, first, block, mask, words = arrays
    to.q_index, to.k_index, to.q_at, to.k_at = numbers(q_index), numbers(k_index), numbers(q_at), numbers(k_at)
    to.first, to.block, to.mask = numbers(first), numbers(block), numbers(mask)
    to.words = <uint64_t *>numbers(words)
    to.q_blocks, to.again = len(first) - 1, again
    return 0


cdef double met(tuple arrays) noexcept:
    # Pairs of query and key, counting blocks as full.
    return 4096.0 * len(arrays[5])


cdef int run(const nnrt_kernel *kernel, nnrt_attention_args *a, int64_t tasks) except -1:
    cdef int rc
    with nogil:
        rc = launch_nogil(kernel, a, tasks)
    if rc != 0:
        raise MemoryError(f"{kernel.name.decode()}: no memory for {a.work.scratch} bytes of scratch per thread")
    return 0


cdef int run_parts(const nnrt_kernel *kernel, nnrt_attention_args *a, parts, int kind) except -1:
    """kind: 0 forward, 1 backward, 2 a mask's gradient. One launch, or one for each part."""
    cdef nnrt_attention_part part
    cdef tuple arrays
    cdef int i
    cdef int64_t tasks = a.batch * a.heads
    if kind == 0:
        a.cols = max(a.cols, min(NNRT_ATTENTION_LONG, 32768 // max(1, a.size, a.width)))
        # Keys whose rows lie apart are copied for each block of queries that meets more than one run of them: larger
        # blocks, while they are tasks enough.
        while parts is None and a.queries > a.cols and a.rows < 512 and a.batch * a.heads * a.queries >= 4 * TASKS * a.rows:
            a.rows *= 2
    elif kind == 1:
        tasks = a.batch * a.groups * a.chunks
    elif kind == 2:
        tasks = a.dmask_size[0] * a.dmask_size[1]
    if parts is None:
        if kind == 0:
            tasks *= ceil_div(a.queries, a.rows)
        elif kind == 2:
            tasks *= ceil_div(a.dmask_size[2], a.rows) * ceil_div(a.dmask_size[3], a.cols)
        a.work.scratch = table.dtype[a.work.out[0].dtype].scratch(a, kind > 0)
        return run(kernel, a, tasks)
    a.rows = 64
    a.work.scratch = table.dtype[a.work.out[0].dtype].scratch(a, kind > 0)
    a.part = &part
    for i, arrays in enumerate(parts):
        read_part(&part, arrays, i > 0)
        a.work.flops = 2 * met(arrays) * a.batch * a.heads * (a.size + a.width) * (1 if kind == 0 else 2.5)
        run(kernel, a, tasks * part.q_blocks if kind == 0 else tasks)
    return 0


def attention(ndarray out, ndarray lse, ndarray mass, ndarray q, ndarray k, ndarray v, ndarray mask, ndarray slopes,
              ndarray relative, parts, double scale, bint causal, int64_t first, double p, uint64_t seed, uint64_t offset):
    cdef nnrt_attention_args a
    cdef int dtype
    if dtype_of(q) < 0:
        _ref.attention(out, lse, mass, q, k, v, mask, slopes, relative, parts, scale, causal, first, p, seed, offset)
        return
    dtype = fill(&a, q, k, v, mask, slopes, relative, scale, causal, first, p, seed, offset)
    if a.batch * a.heads * a.queries == 0:
        return
    if lse is None and parts is not None and len(parts) > 1:
        lse = empty((a.batch, a.heads, a.queries), q.dtype)
    a.lse = NULL if lse is None else PyArray_DATA(lse)
    place(&a.out, out)
    place(&a.mass, mass)
    a.work.nan = forward_nan
    if a.queries == 1 and lse is None and mass is None and relative is None and parts is None and p == 0:
        decode(&a, dtype)
    else:
        run_parts(&table.dtype[dtype].forward, &a, parts, 0)


cdef int decode(nnrt_attention_args *a, int dtype) except -1:
    cdef int64_t size = 4 if dtype == NNRT_F32 else 8, heads = a.batch * a.heads, bytes
    a.cols = DECODE_KEYS
    # Heads alone keep the threads busy, or parts of the keys do.
    a.chunks = max(1, min(ceil_div(TASKS, heads), a.keys // (4 * DECODE_KEYS)))
    a.work.scratch = (a.cols + a.width) * size
    if a.chunks == 1:
        return run(&table.dtype[dtype].decode, a, heads)
    bytes = heads * a.chunks * (a.width + 2) * size
    a.partial = take(bytes)
    if a.partial == NULL:
        raise MemoryError("attention: out of memory")
    try:
        a.work.nan = NULL
        run(&table.dtype[dtype].decode, a, heads * a.chunks)
        a.work.nan = forward_nan
        return run(&table.dtype[dtype].merge, a, heads)
    finally:
        give(a.partial, bytes)


def attention_backward(ndarray dq, ndarray dk, ndarray dv, ndarray drelative, ndarray dout, ndarray dmass, ndarray out,
                       ndarray lse, ndarray mass, ndarray q, ndarray k, ndarray v, ndarray mask, ndarray slopes,
                       ndarray relative, parts, double scale, bint causal, int64_t first, double p, uint64_t seed,
                       uint64_t offset):
    cdef nnrt_attention_args a
    cdef int dtype
    cdef int64_t size, bytes = 0, units
    cdef double macs
    if dtype_of(q) < 0:
        _ref.attention_backward(dq, dk, dv, drelative, dout, dmass, out, lse, mass, q, k, v, mask, slopes, relative, parts, scale,
                                causal, first, p, seed, offset)
        return
    dtype = fill(&a, q, k, v, mask, slopes, relative, scale, causal, first, p, seed, offset)
    size = 4 if dtype == NNRT_F32 else 8
    backward_of(&a, dout, dmass, out, lse, mass)
    place(&a.dq, dq)
    place(&a.dk, dk)
    place(&a.dv, dv)
    place(&a.drelative, drelative)
    a.work.nan = backward_nan
    units = a.batch * a.groups
    if units == 0:
        return
    macs = a.work.flops * 1.25
    if parts is not None:
        macs = sum([met(arrays) for arrays in parts]) * a.batch * a.heads * (a.size + a.width) * 2.5
    # Many heads are tasks by themselves; few are cut by queries, and what they give the keys is added up afterwards.
    a.chunks = max(1, min(ceil_div(TASKS, units), <int64_t>(macs / (TASK_MACS * units)),
                          a.heads // a.groups * ceil_div(a.queries, 64 if parts is not None else a.rows)))
    find_met(&a, parts)
    if a.chunks > 1:
        bytes = a.chunks * units * a.keys * (a.size + a.width) * size
        a.partial = take(bytes)
        if a.partial == NULL:
            raise MemoryError("attention_backward: out of memory")
    try:
        if a.partial != NULL:
            a.work.nan = NULL
        run_parts(&table.dtype[dtype].backward, &a, parts, 1)
        if a.partial != NULL:
            a.work.nan = backward_nan
            run(&table.dtype[dtype].gather, &a, units * ceil_div(a.keys, 256))
    finally:
        if a.partial != NULL:
            give(a.partial, bytes)


cdef int find_met(nnrt_attention_args *a, parts) except -1:
    """Which keys each chunk meets. Where tokens stand in their own order, a stretch of queries may meet few of them."""
    cdef nnrt_attention_part part
    cdef int64_t unit, units, t, i
    for i in range(a.chunks):
        a.met[i][0], a.met[i][1] = 0, a.keys
    if a.chunks == 1 or parts is None or len(parts) != 1:
        return 0
    read_part(&part, parts[0], False)
    if part.k_index != NULL:
        return 0
    a.stretches = 1
    units = a.heads // a.groups * part.q_blocks
    for i in range(a.chunks):
        a.met[i][0], a.met[i][1] = a.keys, 0
        for unit in range(i * units // a.chunks, (i + 1) * units // a.chunks):
            t = part.q_blocks - 1 - unit % part.q_blocks
            if part.first[t] < part.first[t + 1]:
                a.met[i][0] = min(a.met[i][0], part.k_at[part.block[part.first[t]]])
                a.met[i][1] = max(a.met[i][1], part.k_at[part.block[part.first[t + 1] - 1] + 1])
    return 0


cdef int backward_of(nnrt_attention_args *a, ndarray dout, ndarray dmass, ndarray out, ndarray lse, ndarray mass) except -1:
    place(&a.dout, dout)
    place(&a.dmass, dmass)
    place(&a.out, out)
    place(&a.mass, mass)
    a.lse = PyArray_DATA(lse)
    a.work.flops *= 2.5
    return 0


def mask_backward(ndarray dmask, ndarray dout, ndarray dmass, ndarray out, ndarray lse, ndarray mass, ndarray q,
                  ndarray k, ndarray v, ndarray mask, ndarray slopes, ndarray relative, parts, double scale, bint causal,
                  int64_t first, double p, uint64_t seed, uint64_t offset):
    cdef nnrt_attention_args a
    cdef int i, dtype
    if dtype_of(q) < 0:
        _ref.mask_backward(dmask, dout, dmass, out, lse, mass, q, k, v, mask, slopes, relative, parts, scale, causal, first,
                           p, seed, offset)
        return
    dtype = fill(&a, q, k, v, mask, slopes, relative, scale, causal, first, p, seed, offset)
    backward_of(&a, dout, dmass, out, lse, mass)
    a.dmask = PyArray_DATA(dmask)
    for i in range(4):
        a.dmask_size[i] = PyArray_DIMS(dmask)[i]
    a.work.out[0].data, a.work.out[0].count = a.dmask, a.dmask_size[0] * a.dmask_size[1] * a.dmask_size[2] * a.dmask_size[3]
    if a.work.out[0].count:
        run_parts(&table.dtype[dtype].of_mask, &a, parts, 2)


from nnrt._ref import attention as _ref
