/* Packing: dst[k, j] = src[k, j] in panels whose rows over j are contiguous. */

#define ELEMENT REAL
#define ELEMENT_BYTES REAL_BYTES
#include "transpose.h"
#define STRETCH ((int64_t)(512 / sizeof(REAL)))

/* dst[width] = src[cols], both contiguous; what lies behind cols is undefined. */
INLINE void K(copy_row)(REAL *dst, const REAL *src, int64_t cols, K(mask) tail)
{
    int64_t j = 0;
    for (; j + VL <= cols; j += VL)
        K(store)(dst + j, K(load)(src + j));
    if (j < cols)
        K(store)(dst + j, K(load_lanes)(src + j, tail));
}

/* One panel: dst[k, width] = src[k, cols]; width is a whole number of vectors, and what lies
 * behind cols is undefined: tiles never read it. */
static void K(pack_panel)(REAL *dst, int64_t width, const REAL *src, int64_t k, int64_t cols, int64_t k_stride,
                          int64_t j_stride)
{
    int64_t p = 0;
    if (j_stride == 1) {
        const K(mask) tail = K(lanes)(cols % VL);
        for (; p < k; p++)
            K(copy_row)(dst + p * width, src + p * k_stride, cols, tail);
    }
    if (k_stride == 1)
        for (int64_t step; p + SIDE <= k; p += step) {
            /* Of SIDE rows at a time a stretch that the hardware prefetches, short enough that rows whose
             * lines compete for the same sets are done with before the next ones come. */
            step = MIN(STRETCH, (k - p) / SIDE * SIDE);
            for (int64_t j = 0; j < cols; j += SIDE)
                for (int64_t q = 0; q < step; q += SIDE) {
                    const REAL *rows[SIDE]; /* rows beyond cols repeat the last one */
                    for (int64_t i = 0; i < SIDE; i++)
                        rows[i] = src + p + q + MIN(j + i, cols - 1) * j_stride;
                    K(transpose_tile)(dst + (p + q) * width + j, width, rows);
                }
        }
    for (; p < k; p++)
        for (int64_t j = 0; j < cols; j++)
            dst[p * width + j] = src[p * k_stride + j * j_stride];
}

/* n columns as panels of NR, panel_step apart. */
static void K(pack_panels)(REAL *dst, int64_t panel_step, const REAL *src, int64_t k, int64_t n, int64_t k_stride,
                           int64_t j_stride)
{
    int64_t j = 0;
    /* Along the rows of src: a panel's piece of a row is one cache line, and a few of
     * them are too little for the hardware. */
    if (j_stride == 1 && n >= NR) {
        for (int64_t p = 0; p < k; p++) {
            REAL *d = dst + p * NR;
            const REAL *s = src + p * k_stride;
            for (j = 0; j + NR <= n; j += NR, d += panel_step) {
                __builtin_prefetch(s + j + 8 * k_stride, 0, 2);
                K(vec) lo = K(load)(s + j), hi = K(load)(s + j + VL);
                K(store)(d, lo);
                K(store)(d + VL, hi);
            }
        }
    }
    for (; j < n; j += NR) {
        const int64_t cols = MIN(NR, n - j);
        K(pack_panel)(dst + j / NR * panel_step, CEIL(cols, VL) * VL, src + j * j_stride, k, cols, k_stride, j_stride);
    }
}

/* Panels p0 to p1 of a matrix a of n rows, panel_step apart. */
static void K(pack_a)(REAL *dst, int64_t panel_step, const REAL *src, int64_t k, int64_t n, int64_t p0, int64_t p1,
                      int64_t k_stride, int64_t n_stride)
{
    if (n_stride != 1) {
        for (int64_t p = p0; p < p1; p++, dst += panel_step) {
            const int64_t j = gemm_row(n, p);
            K(pack_panel)(dst, A_STEP, src + j * n_stride, k, gemm_row(n, p + 1) - j, k_stride, n_stride);
        }
        return;
    }
    /* A few long rows of memory at a time, whose cache lines several panels share: whole lines are written, since
     * those of panels a power of two apart push each other out of L1. */
    enum { TOGETHER = 128, ROWS = 4 };
    for (int64_t p = p0; p < p1; p += TOGETHER) {
        const int64_t count = MIN(TOGETHER, p1 - p);
        int64_t first[TOGETHER + 1];
        for (int64_t i = 0; i <= count; i++)
            first[i] = gemm_row(n, p + i);
        for (int64_t q = 0; q < k; q += ROWS) {
            const int64_t rows = MIN(ROWS, k - q);
            REAL *to = dst + (p - p0) * panel_step + q * A_STEP;
            for (int64_t i = 0; i < count; i++, to += panel_step) {
                const REAL *s = src + q * k_stride + first[i];
                if (rows == ROWS && first[i] + A_STEP <= n) {
                    for (int64_t u = 0; u < ROWS; u++)
                        for (int64_t j = 0; j < A_STEP; j += VL)
                            K(store)(to + u * A_STEP + j, K(load)(s + u * k_stride + j));
                } else {
                    const K(mask) tail = K(lanes)((first[i + 1] - first[i]) % VL);
                    for (int64_t u = 0; u < rows; u++)
                        K(copy_row)(to + u * A_STEP, s + u * k_stride, first[i + 1] - first[i], tail);
                }
            }
        }
    }
}

static void K(gemm_pack)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    const nnrt_gemm_pack *g = args;
    const int64_t pieces = CEIL(g->block, g->depth), deep = CEIL(g->k, g->block) * pieces;
    const int64_t panels = CEIL(g->n, g->of_a ? MR : NR), groups = CEIL(panels, g->panels);
    for (int64_t t = begin; t < end; t++) {
        const int64_t start = t % deep / pieces * g->block, tall = MIN(g->block, g->k - start);
        const int64_t k0 = start + t % deep % pieces * g->depth, k = MIN(g->depth, start + tall - k0);
        const int64_t i = t / deep / groups;
        const int64_t p0 = t / deep % groups * g->panels, p1 = MIN(p0 + g->panels, panels);
        if (k <= 0)
            continue;
        REAL *dst = (REAL *)g->dst + i * g->dst_batch;
        const REAL *src = (const REAL *)g->src + i * g->src_batch + k0 * g->k_stride;
        if (g->of_a) {
            K(pack_a)(dst + (start * panels + p0 * tall + k0 - start) * A_STEP, tall * A_STEP, src, k, g->n, p0, p1,
                      g->k_stride, g->n_stride);
            continue;
        }
        /* The last panel of the matrix may be narrower, and k0 lies at another place in it. */
        const int64_t full = MIN(p1, g->n / NR), rest = g->n - full * NR;
        if (full > p0)
            K(pack_panels)(dst + (p0 * g->k + k0) * NR, g->k * NR, src + p0 * NR * g->n_stride, k, (full - p0) * NR,
                           g->k_stride, g->n_stride);
        if (full < p1) {
            const int64_t width = CEIL(rest, VL) * VL;
            K(pack_panel)(dst + full * NR * g->k + k0 * width, width, src + full * NR * g->n_stride, k, rest,
                          g->k_stride, g->n_stride);
        }
    }
}

static void K(gemm_copy)(void *dst, int64_t dst_row, const void *src, int64_t rows, int64_t cols, int64_t row_stride,
                         int64_t col_stride)
{
    int64_t done = 0;
    if (row_stride == 1) {
        done = cols / SIDE * SIDE;
        K(pack_panel)(dst, dst_row, src, rows, done, 1, col_stride);
    }
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = done; j < cols; j++)
            ((REAL *)dst)[i * dst_row + j] = ((const REAL *)src)[i * row_stride + j * col_stride];
}
