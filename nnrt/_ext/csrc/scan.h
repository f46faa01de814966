#ifndef NNRT_SCAN_H
#define NNRT_SCAN_H

#include "nnrt.h"

/* A sequence [T, B, ...]; strides in elements, that of the last axis is 1. */
typedef struct {
    void *data;
    int64_t t, b;
} nnrt_sequence;

/* A unit is `block` columns of one row of one chunk of the time; `group` units make a task, which walks
 * through time once for all of them. */
typedef struct {
    nnrt_work work;
    nnrt_sequence h, c, f, x, a, mask; /* scan: c is h; sru: a is u */
    nnrt_sequence dh, df, dx, da;
    const void *v, *b, *before; /* before: states that chunks begin with, [chunks, rows, cols]; NULL: zeros */
    void *carry;           /* [chunks, rows, cols]: gradients of the states before chunks */
    void *product;         /* [chunks, rows, cols]: f's product over chunks; sru_backward: [2, rows, cols], zeros */
    double *dv;            /* [2, rows, cols] */
    int64_t steps, rows, cols;
    int64_t chunks, length; /* steps of a chunk, the last one's rest apart */
    int64_t block, blocks, group, units;
    double keep, scale;
} nnrt_scan_args;

enum {
    NNRT_SCAN_BLOCK = 1024, /* columns */
    NNRT_SCAN_TASK = 512,   /* columns that are worth a task, */
    NNRT_SCAN_TASKS = 4,    /* and up to this many times as many, as long as there are so many tasks */
    NNRT_SCAN_SUMS = 32,    /* steps whose terms are added up before they meet the sum in double */
    NNRT_SCAN_FEW = 32,     /* time is cut into chunks below so many columns */
    NNRT_SCAN_LONG = 512,   /* of at least so many steps */
    NNRT_SCAN_CHUNKS = 64   /* at most */
};

typedef struct {
    nnrt_kernel scan[2], scan_backward[2];
    nnrt_kernel ends[2], ends_backward[2]; /* carry: what chunks end with when they begin with 0 */
    nnrt_kernel chain[2];                  /* then, what they begin with */
    nnrt_kernel qrnn[2], qrnn_backward[2], sru[2], sru_backward[2];
} nnrt_scan_table;

NNRT_TABLES_AVX2(scan)

#endif
