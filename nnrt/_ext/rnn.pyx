"""Recurrences over time: how they are cut into tasks for csrc/rnn.c. See nnrt._ref.rnn.

Sequences do not meet: a task walks a slice of the batch through all steps. Larger weights are shared out instead, each
task has a part of the units, and every step is a launch of its own.
"""

from libc.stdint cimport int32_t, int64_t
from libc.string cimport memset
from numpy cimport PyArray_DATA, PyArray_DIMS, ndarray

from nnrt._ext.linear cimport linear_table, nnrt_gemm_ops, pack as pack_panels, packed_count
from nnrt._ext.runtime cimport (
    NNRT_F32, NNRT_F64, ceil_div, data, dtype_code, isa_level, launch_nogil, nnrt_kernel, nnrt_work,
    pool_threads, span,
)

import numpy as np


cdef extern from "rnn.h" nogil:
    ctypedef struct nnrt_rnn_args:
        nnrt_work work
        const nnrt_gemm_ops *gemm
        int32_t cell
        int64_t t, b, h, p, d
        void *y
        void *hn
        void *cn
        void *gates
        void *kept
        void *hidden
        const void *h0
        const void *c0
        const void *w[2]
        const void *v[2]
        const void *bias[2]
        int64_t w_gate
        const void *x
        const void *wx[2]
        const void *offset[2]
        int64_t i, wx_gate
        const int64_t *starts
        int32_t ragged
        void *dgates
        void *dh0
        void *dc0
        void *dproj
        const void *dy
        const void *dhn
        const void *dcn
        int64_t slice, slices, together, part, parts, threads, first, last
    ctypedef struct nnrt_rnn_table:
        nnrt_kernel forward[2]
        nnrt_kernel backward[2]
    const nnrt_rnn_table *nnrt_rnn(int isa)

cdef const nnrt_rnn_table *table = nnrt_rnn(isa_level())

CELLS = ("tanh", "relu", "gru", "lstm")

# From this many bytes of recurrent weights on, units are shared out, in an even number of parts of at least so many. One
# thread takes the same time either way; two take 108 instead of 139 us (LSTM of 128 units, batch 1, 30 steps), 270 instead
# of 507 (256 units). Parts of half the size make rows too short for the gates' gradients (256 units: a tenth of the walk).
# Two directions are tasks already: twice as many, and each has its weights in L2.
cdef int64_t SHARED_BYTES = 256 << 10, PART_BYTES = 256 << 10
# Sequences of a slice, at least as many as make good tiles, and of the most of them; multiply-adds below which one task
# walks alone: 20 us.
cdef int64_t SLICE = 16, FEWEST = 4, WIDEST = 64, ALONE = 1 << 20
# From so many rows on sums do not depend on how many a slice has (JOINS of gemm_vec.h); a single row's may everywhere.
cdef int64_t ALIKE = 7
# Weights that one step reads from the last-level cache for longer than two threads need to meet.
cdef int64_t STREAMED = 512 << 10
# Sequences whose steps read W as fast as all steps at once do: of 8 an LSTM of 256 inputs and units takes 1.05 of the time.
cdef int64_t TAKEN = 16


def packed_size(shape, int64_t gates, dtype, bint backward):
    """Elements of the buffer that pack fills for a weight of this shape; the layout is the back-end's own."""
    cdef int code = NNRT_F32 if np.dtype(dtype).itemsize == 4 else NNRT_F64
    if backward:
        return packed_count(shape[0], shape[1], code)
    return gates * packed_count(shape[1], shape[0] // gates, code)


def pack(ndarray packed not None, ndarray w not None, int64_t gates, bint backward):
    """U[G H, P] in panels: forward those of each gate by themselves, backward with the rows of gru as n r z."""
    cdef int dtype = dtype_code(w), rc = 0
    cdef int64_t rows = PyArray_DIMS(w)[0], p = PyArray_DIMS(w)[1], h = rows // gates, g
    cdef int64_t size = 4 if dtype == NNRT_F32 else 8, each = packed_count(p, h, dtype)
    cdef char *to = <char *>PyArray_DATA(packed)
    cdef char *src
    if backward and gates == 3:
        w = np.concatenate((w[2 * h :], w[: 2 * h]))
    src = <char *>PyArray_DATA(w)
    with nogil:
        if backward:
            rc = pack_panels(to, src, rows, p, p, 1, dtype)
        else:
            for g in range(gates):
                if rc == 0:
                    rc = pack_panels(to + g * each * size, src + g * h * p * size, p, h, 1, p, dtype)
    if rc != 0:
        raise MemoryError("rnn.pack: out of memory")


def takes_inputs(int64_t batch):
    """Whether recur, of so many sequences of an LSTM, had better be given x than the gates: in tiles of AVX-512, of enough rows."""
    return batch >= TAKEN and linear_table().dtype[NNRT_F32].nr == 32


cdef int fill(nnrt_rnn_args *a, ndarray gates, int64_t p, int64_t h, cell, list weights, list projections, ndarray starts, int64_t b) except -1:
    cdef int dtype = dtype_code(gates)
    cdef int64_t i
    memset(a, 0, sizeof(a[0]))
    a.gemm = &linear_table().dtype[dtype]
    a.cell = CELLS.index(cell)
    a.d, a.t, a.b = PyArray_DIMS(gates)[0], PyArray_DIMS(starts)[0] - 1, b
    a.p, a.h = p, h
    a.starts = <const int64_t *>PyArray_DATA(starts)
    a.ragged = a.starts[a.t] != a.t * b
    for i in range(a.d):
        a.w[i] = data(weights[i])
        if projections:
            a.v[i] = data(projections[i])
    a.w_gate = packed_count(p, a.h, dtype)
    return dtype


cdef int run(nnrt_rnn_args *a, const nnrt_kernel *kernel, int64_t steps, int64_t size, bint walks) noexcept nogil:
    cdef int64_t columns = a.h * (4 if a.cell == 3 else 3 if a.cell == 2 else 1), nr = a.gemm.nr
    cdef int64_t rows = a.d * a.starts[a.t], macs = rows * columns * a.p, weights = columns * a.p * size
    cdef int64_t panels = ceil_div(a.h, nr)
    cdef int rc = 0
    a.work.flops = 2.0 * (macs + rows * columns * a.i)
    a.work.bytes = <double>size * rows * (2 * columns + 3 * a.p + a.i)
    a.slices = a.parts = 1
    if macs < ALONE and weights < STREAMED:
        pass
    elif weights >= SHARED_BYTES * a.d and panels > 1 and not walks:
        a.slices = ceil_div(a.b, WIDEST)
        a.parts = max(2, min(panels, weights // PART_BYTES, 16) // 2 * 2)
    else:
        a.slices = max(2 if a.b >= 2 * FEWEST else 1, a.b // SLICE)
    a.slice, a.part = ceil_div(a.b, a.slices), ceil_div(panels, a.parts) * nr
    a.slices, a.parts = ceil_div(a.b, a.slice), ceil_div(a.h, a.part)
    if a.parts == 1 and not a.ragged and a.b - (a.slices - 1) * a.slice >= (ALIKE if a.x != NULL else 2):
        a.together = WIDEST
    a.work.scratch = size * (max(a.slice, min(a.b, a.together)) * (4 * nr + max(a.p, a.h)) + 5 * a.h + 4 * nr)
    if a.parts == 1:
        a.last = steps
        return launch_nogil(kernel, a, a.d * a.slices)
    a.threads = min(<int64_t>pool_threads(), a.d * a.slices * a.parts)
    a.work.flops /= steps
    a.work.bytes /= steps
    while a.first < steps and rc == 0:
        a.last = a.first + 1
        rc = launch_nogil(kernel, a, a.d * a.slices * a.parts)
        a.first += 1
    return rc


def recur(ndarray y not None, ndarray hn not None, ndarray cn, ndarray gates not None, ndarray kept, ndarray hidden,
          ndarray h0, ndarray c0, list weights, list projections, list biases, ndarray x, list inputs, list offsets,
          ndarray starts not None, cell):
    """y, hn and cn from gates = W x + biases, or from x. See nnrt._ref.rnn."""
    cdef nnrt_rnn_args a
    cdef int dtype = fill(&a, gates, PyArray_DIMS(hn)[2], PyArray_DIMS(hn if cn is None else cn)[2], cell, weights, projections,
                          starts, PyArray_DIMS(hn)[1]), rc
    cdef int64_t i, size = 4 if dtype == NNRT_F32 else 8
    a.y, a.hn, a.cn, a.gates = data(y), data(hn), data(cn), data(gates)
    a.kept, a.hidden, a.h0, a.c0 = data(kept), data(hidden), data(h0), data(c0)
    for i in range(len(biases)):
        a.bias[i] = data(biases[i])
    if x is not None:
        a.x, a.i, a.wx_gate = data(x), PyArray_DIMS(x)[1], packed_count(PyArray_DIMS(x)[1], a.h, dtype)
        for i in range(a.d):
            a.wx[i], a.offset[i] = data(inputs[i]), data(offsets[i])
    if a.b == 0:
        return
    span(&a.work.out[0], hn)
    with nogil:
        rc = run(&a, &table.forward[dtype], a.t, size, hidden is not None)
    if rc != 0:
        raise MemoryError("rnn.recur: out of memory")


def recur_backward(ndarray dgates not None, ndarray dh0 not None, ndarray dc0, ndarray dproj, ndarray dy, ndarray dhn,
                   ndarray dcn, ndarray y not None, ndarray gates not None, ndarray kept, ndarray h0, ndarray c0,
                   list weights, list projections, ndarray starts not None, cell):
    """dgates and the gradients of the first state. See nnrt._ref.rnn."""
    cdef nnrt_rnn_args a
    cdef int dtype = fill(&a, gates, PyArray_DIMS(dh0)[2], PyArray_DIMS(dh0 if dc0 is None else dc0)[2], cell, weights,
                          projections, starts, PyArray_DIMS(dh0)[1]), rc
    cdef int64_t size = 4 if dtype == NNRT_F32 else 8
    a.y, a.gates, a.kept, a.h0, a.c0 = data(y), data(gates), data(kept), data(h0), data(c0)
    a.dgates, a.dh0, a.dc0, a.dproj = data(dgates), data(dh0), data(dc0), data(dproj)
    a.dy, a.dhn, a.dcn = data(dy), data(dhn), data(dcn)
    if a.b == 0:
        return
    span(&a.work.out[0], dh0)
    with nogil:
        rc = run(&a, &table.backward[dtype], a.t + 1, size, dproj is not None)
    if rc != 0:
        raise MemoryError("rnn.recur_backward: out of memory")
