#ifndef NNRT_INDEX_H
#define NNRT_INDEX_H

#include "nnrt.h"

/* Gathering and scattering between [o, r, d] and [o, n, d]; see nnrt/_ref/index.py. */
typedef struct {
    nnrt_work work;
    void *out;
    const void *base, *weights, *x;
    const int64_t *index, *starts;
    int64_t *order, *ends;  /* counting sort's outputs */
    int64_t o, r, n, d, m;  /* m: rows of x in segment_sum */
    int64_t stride[3];      /* of x in elements, where it may be strided */
    int64_t each;           /* bytes of a row of d elements (take) */
    int64_t rows, columns;  /* of one task */
    int far, stream;        /* are rows asked for ahead, is out written past the caches? (take) */
} nnrt_index_args;

/* Bytes of output per task: a core's L2 holds a few of them. Columns of one task of a sum: its
 * float64 accumulators (4 kB) stay in L1. Indices of one task of check: 20 us. An x of
 * NNRT_INDEX_FAR bytes lies beyond L2: rows are asked for ahead. */
enum { NNRT_INDEX_TASK = 65536, NNRT_INDEX_COLUMNS = 256, NNRT_INDEX_CHECKED = 65536, NNRT_INDEX_FAR = 4 << 20 };

typedef struct {
    nnrt_kernel take[1], check[1], counting_sort[1], nonzero[1];
    nnrt_kernel pick[2], gather[2], scatter[2], scatter_add[2], segment_sum[2];
} nnrt_index_table;

NNRT_TABLES_AVX2(index)

#endif
