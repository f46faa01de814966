/* Matrix products: arguments and table of csrc/linear.c. */
#ifndef NNRT_LINEAR_H
#define NNRT_LINEAR_H

#include "nnrt.h"

enum {
    NNRT_ACT_NONE,
    NNRT_ACT_RELU,
    NNRT_ACT_GELU,
    NNRT_ACT_GELU_TANH,
    NNRT_ACT_TANH,
    NNRT_ACT_SIGMOID,
    NNRT_ACT_SILU
};

/* c = act(alpha a @ b + beta c + bias + residual) for each matrix of a batch.
 * Strides count elements. c has unit column stride; a and b have any strides.
 * The second half of the struct is the plan: how the driver cut the work. */
typedef struct {
    nnrt_work work;
    int64_t batch, m, n, k;
    void *c;
    int64_t c_batch, c_row;
    const void *a;
    int64_t a_batch, a_row, a_col;
    const void *b;
    int64_t b_batch, b_row, b_col;
    const void *bias;     /* [n] or NULL */
    const void *row_bias; /* [m] or NULL; kernel `finish` alone reads it */
    const void *residual; /* [m, n] or NULL; kernel `tiles` wants residual_col 1 */
    int64_t residual_row, residual_col;
    double alpha, beta;
    int32_t activation;

    int32_t pack_a;     /* copy a's block to scratch before using it */
    int32_t packed_a;   /* a points to panels written by kernel `pack` */
    int32_t pack_b;     /* panels of b to copy to scratch at a time, or 0 */
    int32_t packed_b;   /* b points to panels written by kernel `pack` */
    int64_t rows, cols; /* of c per task; kernel `tiles` takes tiles of rows instead of rows */
    int64_t tiles, high; /* tiles of rows in all, as many as mr asks for or more, and of a task */
    int64_t block;      /* tiles of rows that stay in L2 while several panels of b pass */
    int64_t depth;      /* of k between two visits of the same tile of c */
    int64_t splits;     /* parts of k that are summed separately, into partial */
    int64_t split;      /* length of one part */
    void *partial;      /* [splits, m, n] */
} nnrt_gemm;

/* dst = panels of src[k, n], one after the other. Of b: `nr` columns side by side, each panel
 * [k, nr], the last one as wide as the vectors that cover its columns. Of a (src is its
 * transpose, n its rows): panels [k, a_step] of mr columns or one less, see gemm_row. */
typedef struct {
    nnrt_work work;
    void *dst;
    const void *src;
    int64_t batch, dst_batch, src_batch; /* matrices, one after the other */
    int64_t k, n, k_stride, n_stride;
    int64_t panels, depth; /* per task */
    int64_t block;         /* of k, whose panels lie together: far apart they would share few places in L2 */
    int32_t of_a;
} nnrt_gemm_pack;

/* sum[n] = column sums of x[m, n]; rows are summed in chunks, then the chunks. */
typedef struct {
    nnrt_work work;
    void *sum;
    const void *x;
    int64_t m, n, x_row, x_col;
    int64_t rows, cols, chunks; /* per task; chunks of rows */
    void *partial;              /* [chunks, n] */
} nnrt_colsum;

/* A second product for a tile to sum: of rows that lie elsewhere. */
typedef struct {
    const void *a, *b; /* b as the first one's, k rows of it */
    int64_t a_row, k;
    const char *ahead; /* what is fetched meanwhile, where the first product fetches */
} nnrt_more;

/* What a tile sums besides one stretch of k, and what happens to its accumulators before they are stored:
 * c = relu?(alpha acc + beta src + bias). */
typedef struct {
    double alpha, beta;
    const void *src; /* tile with row stride src_row, or NULL */
    int64_t src_row;
    const void *bias;
    int32_t relu;
    const char *ahead;    /* what is fetched meanwhile, every `line` bytes for each k; or NULL */
    int64_t line;
    void *keep;           /* where a whole tile of NNRT_KEEP_ROWS or more copies b, as a panel, or NULL */
    int32_t split;        /* each of these rows lies in three lines of cache: the third is fetched, too */
    int64_t parts;        /* of k, or 0: one */
    const int64_t *jumps; /* where each part of a starts, in elements */
    const nnrt_more *more; /* or NULL; without parts, in tiles that JOINS names */
} nnrt_tail;

/* Bytes that a stream of b is fetched ahead: 4 rows times 1024 x 1024 from the last-level cache 28 to 69 GFLOP/s, 16
 * rows times 512 x 512 59 to 74; 4 kB are too few, 16 kB no better. */
enum { NNRT_AHEAD = 8192 };

/* Tiles of fewer rows are never three in a column; rows of b that are asked for ahead (16 and 32 are no better). Under
 * fewer tiles the third line of a row is still in cache, from the panel before. */
enum { NNRT_KEEP_ROWS = 9, NNRT_KEEP_AHEAD = 24, NNRT_KEEP_SPLIT = 16 };

/* One register tile: c[rows, cols] from a[rows, k] (any strides) and k rows of b,
 * `b_row` apart, each contiguous. rows <= mr, cols <= nr. */
typedef void (*nnrt_tile_fn)(int64_t rows, int64_t cols, int64_t k, const void *a, int64_t a_row, int64_t a_col,
                             const void *b, int64_t b_row, void *c, int64_t c_row, const nnrt_tail *tail);

typedef struct {
    int64_t mr, nr;      /* register tile */
    int64_t vl;          /* elements in a vector */
    int64_t a_step;      /* elements per k in a packed panel of a (mr, rounded up) */
    int64_t depth;       /* most of k between two visits of the same tile of c */
    int64_t keep;        /* rows from which on a tile copies the b it reads; 0: none does */
    nnrt_tile_fn tile;   /* the micro-kernel, for other families */
    void (*activate)(int activation, void *y, int64_t n); /* y[n], in place: what the tile does not fuse */
    /* dst[rows, cols] = src, rows of dst contiguous and dst_row apart */
    void (*copy)(void *dst, int64_t dst_row, const void *src, int64_t rows, int64_t cols, int64_t row_stride,
                 int64_t col_stride);
    nnrt_kernel tiles;   /* tasks: batch x splits x ceil(m/rows) x ceil(n/cols) */
    nnrt_kernel dot;     /* a and b contiguous along k; same tasks, splits 1 */
    nnrt_kernel axpy;    /* m = 1, b contiguous along n; same tasks */
    nnrt_kernel finish;  /* c = act(alpha sum(partial) + beta c + ...); tasks by rows, cols */
    nnrt_kernel pack;    /* tasks: batch x ceil(panels in all/panels) x ceil(k/block) x ceil(block/depth) */
    nnrt_kernel colsum;  /* tasks: chunks x ceil(n/cols) */
} nnrt_gemm_ops;

typedef struct {
    nnrt_gemm_ops dtype[2];
} nnrt_linear_table;

NNRT_TABLES(linear)

#endif
