#ifndef NNRT_RESAMPLE_H
#define NNRT_RESAMPLE_H

#include "nnrt.h"

/* A band matrix [out, n]: row o holds weight[offset[o]..offset[o + 1]) from column first[o] on. */
typedef struct {
    const int64_t *first, *offset;
    const void *weight;
    int64_t n, out;
} nnrt_band;

/* A unit is `cols` pixels of one row of y; `group` units make a task. */
typedef struct {
    nnrt_work work;
    void *y;       /* [N, d.out, h.out, w.out, c] */
    const void *x; /* [N, d.n, h.n, w.n, c] */
    nnrt_band d, h, w;
    int64_t c, blocks, cols, group, units;
} nnrt_resample_args;

enum {
    NNRT_RESAMPLE_ROW = 2048,  /* elements of a unit: 8 kB, so that it and what it reads stay in L1 */
    NNRT_RESAMPLE_TASK = 16384 /* elements that are worth a task */
};

typedef struct {
    nnrt_kernel resample[2];
} nnrt_resample_table;

NNRT_TABLES_AVX2(resample)

#endif
