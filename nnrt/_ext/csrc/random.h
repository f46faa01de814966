#ifndef NNRT_RANDOM_H
#define NNRT_RANDOM_H

#include "nnrt.h"

typedef struct {
    nnrt_work work;
    void *out;         /* or y, dx */
    uint8_t *mask;     /* dropout: written by the forward, read by the backward */
    const void *x;     /* or dy */
    int64_t n;
    uint64_t seed, offset;
    uint64_t below;    /* a word under this is a one (bernoulli) or a drop (dropout) */
    uint64_t span;     /* integers: high - low */
    int64_t low;
    double scale;      /* dropout: 1 / (1 - p) */
} nnrt_random_args;

/* Elements per task: about 20 us of generating. */
enum { NNRT_RANDOM_CHUNK = 16384 };

typedef struct {
    nnrt_kernel uniform[2], normal[2], bernoulli[2], dropout_forward[2], dropout_backward[2];
    nnrt_kernel integers[1], permutation[1]; /* int64 only */
} nnrt_random_table;

NNRT_TABLES(random)

#endif
