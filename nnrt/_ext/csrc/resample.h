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
    int64_t room;         /* bytes of scratch for a row blended along d and h */
    int64_t taps, spread; /* few channels: the most taps along w, elements of a row; else 0 */
} nnrt_resample_args;

/* Images looked at where a grid says. A place has up to 4 taps along d, h and w; of 2 axes, d is of size 1. */
typedef struct {
    nnrt_work work;
    void *out;       /* y or dx or dgrid */
    const void *in;  /* x, or dy where out is dx */
    const void *dy;  /* for dgrid */
    const void *grid;
    int64_t images, places, axes, size[3], c;
    int32_t mode, padding, aligned;
    int64_t block; /* places of a task, or, for dx, channels */
} nnrt_grid_args;

enum { NNRT_GRID_NEAREST, NNRT_GRID_BILINEAR, NNRT_GRID_BICUBIC };
enum { NNRT_GRID_ZEROS, NNRT_GRID_BORDER, NNRT_GRID_REFLECTION };

enum {
    NNRT_RESAMPLE_ROW = 2048,  /* elements of a unit: 8 kB, so that it and what it reads stay in L1 */
    NNRT_RESAMPLE_TASK = 16384, /* elements that are worth a task */
    NNRT_RESAMPLE_FEW = 4,      /* channels, and */
    NNRT_RESAMPLE_TAPS = 8      /* taps, up to which elements are gathered */
};

typedef struct {
    nnrt_kernel resample[2];
    nnrt_kernel grid[2], grid_dgrid[2]; /* tasks: ceil(images x places / block) */
    nnrt_kernel grid_dx[2];             /* tasks: images x ceil(c / block) */
} nnrt_resample_table;

NNRT_TABLES_AVX2(resample)

#endif
