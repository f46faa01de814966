/* Winograd convolution: arguments and table of csrc/winograd.c. */
#ifndef NNRT_WINOGRAD_H
#define NNRT_WINOGRAD_H

#include "linear.h"

/* 3x3, 4x4 and 5x5 filters with stride 1: y = A^T [ sum_c (B^T d B) * (G w G^T) ] A for each tile of m x m outputs, k =
 * m + taps - 1; see nnrt._ref.winograd.
 * What is transformed is k² matrices, `step` elements apart:
 *   v[tiles, c] of x, products m[tiles, o];
 *   for dw: v and q of dy, q in panels [tiles, nr] of o, v in such panels of c for each group and phase;
 *   products s[o, c];
 *   u of w: for each panel of nr columns its k² matrices [depth, width].
 * 4x4 filters with stride 2 are four of 2x2 taps, one for each phase of x's rows and columns, whose channels are summed
 * like 4 c of one x; transposed, four passes write y's phases. k = m + 1 then. */

/* From one matrix of so many bytes to the next: an odd number of cache lines, so that the k² places that a
 * transform visits lie in different sets. */
static inline int64_t nnrt_winograd_step(int64_t bytes) { return (((bytes + 63) / 64) | 1) * 64; }

/* u from w. */
typedef struct {
    nnrt_work work;
    void *u;
    const void *w;
    int64_t depth, columns;
    int64_t depth_step, column_step; /* of w; the taps are contiguous */
    int64_t whole, rows, u_pass; /* rows of a matrix; with stride 2: rows, or elements of u, from phase to phase */
    int64_t part;        /* of depth per task */
    int64_t u_group, w_group; /* elements from group to group */
    int32_t rotate;
} nnrt_winograd_filter;

typedef struct {
    nnrt_work work;
    const nnrt_gemm_ops *gemm;
    int64_t n, h, w, c;  /* x; c and o: of a group */
    int64_t groups, x_pixel, y_pixel; /* elements between pixels: the channels of all groups */
    int64_t step;        /* of x's pixels that a square reads, and that its channels count step² times for: 1 or 2 */
    int64_t depth;       /* step² c */
    int64_t oh, ow, o;   /* y */
    int64_t spread;      /* of y's pixels that a pass writes: 1 or 2 */
    int64_t pad_h, pad_w;
    int64_t tile, down, across; /* a tile's side, and tiles of an image; along rows alone: strips and tiles */
    const void *x;
    void *y;             /* conv: output; otherwise dy */
    const void *u, *bias, *residual;
    const nnrt_winograd_filter *filter; /* instead of u: tasks are groups, or columns, which they transform; these
                                         * share a v for each pass */
    int64_t u_pass;      /* elements of u for one of the spread² passes, or for a group */
    void *dw;
    void *totals;        /* of filter_backward: [tasks of kernel `output`, or parts; channels], sums of dy, or NULL */
    int32_t soon;        /* along rows alone: whether the next group's pixels, or rows of y, are asked for */
    int32_t relu;
    int32_t past;        /* y bypasses the caches: whole lines of it, with vectors of 64 bytes */

    /* The plan. */
    int64_t first, last; /* tiles of this launch; of conv: all */
    int64_t block;       /* tiles that are transformed at a time; along rows alone: rows of y per task */
    int64_t group;       /* columns of y per task; groups */
    int32_t by_columns;  /* of conv with a v that tasks share: those of the same columns follow one another */
    int64_t chunk;       /* columns of y whose products are held at a time */
    void *v, *q;         /* of filter_backward; of conv: v that tasks share, NULL where each has its own as scratch */
    int64_t v_row, v_step, v_panel, v_set, v_pass; /* set: from group to group, phase to phase */
    int64_t q_step, q_panel, q_set, m_row, m_step;
    int64_t rows, panels, squares; /* of filter_backward: of o and of c per block, matrices per task */
    int64_t parts;       /* of the tiles, which tasks of kernel `sum` transform near the core; 0: v and q are there */
    void *s;             /* NULL: scratch */
    int64_t s_row, s_step, s_block;
    int32_t complete;    /* whether dw follows at once */
    int32_t turned;      /* with parts: o is that of x, c that of y */
    int64_t high;        /* along rows: of dy, whose x is transformed at a time; across: tiles of them; rows: of dy */
} nnrt_winograd_args;

typedef struct {
    nnrt_kernel filter;  /* tasks: groups x ceil(columns/nr) x ceil(depth/part) */
    nnrt_kernel input;   /* v of x; tasks: ceil(tiles/block) */
    nnrt_kernel output;  /* q of dy; the same */
    nnrt_kernel conv;    /* tasks: spread² x ceil(tiles/block) x ceil(o/group) x groups */
    nnrt_kernel sum;     /* s += q^T v; tasks: groups x blocks of o x blocks of c x ceil(k²/squares) */
    nnrt_kernel finish;  /* dw = G^T s G; tasks: blocks */
} nnrt_winograd_ops;

typedef struct {
    nnrt_winograd_ops dtype[2];   /* of 3x3 filters, tile 4 */
    nnrt_winograd_ops small;      /* tile 2; this and what follows: float32 */
    nnrt_winograd_ops strided[2]; /* of 4x4 filters with stride 2, tiles 2 and 4; from 16 channels on, like */
    nnrt_winograd_ops wide;       /* 5x5 filters, tile 2 */
    nnrt_winograd_ops even;       /* 4x4 filters, tile 3, of any channels */
    nnrt_winograd_ops rows;       /* along rows alone, with AVX-512, else NULL. 3x3 filters, tile 4: filter; conv,
                                   * tasks: images x strips x groups/group. Up to 4 channels of x, or groups of 16 and
                                   * 3 taps: sum, of s, or of dw of groups, tasks: parts x groups; finish, tasks:
                                   * ceil(o/16) */
} nnrt_winograd_table;

NNRT_TABLES(winograd)

#endif
