#ifndef NNRT_PEAK_H
#define NNRT_PEAK_H

#include "nnrt.h"

typedef struct {
    nnrt_work work;
    int64_t rounds; /* FMA: rounds per task */
    void *y;        /* copy: one chunk per task; FMA: one value per task, so that the work is not elided */
    const void *x;
    int64_t n;      /* copy: bytes in all */
} nnrt_peak_args;

enum { NNRT_PEAK_CHUNK = 1 << 20 };

typedef struct {
    nnrt_kernel fma[2]; /* by dtype */
    nnrt_kernel copy;
    int64_t flops_per_round[2];
} nnrt_peak_table;

NNRT_TABLES(peak)

#endif
