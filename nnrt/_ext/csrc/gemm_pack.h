/* Packing: dst[k, j] = src[k, j] in panels whose rows over j are contiguous. */

#define Q ((int64_t)(16 / sizeof(REAL)))

/* Transposes Q x Q: dst[i, j] = src[j, i]. */
INLINE void K(transpose)(REAL *dst, int64_t dst_row, const REAL *s0, const REAL *s1, const REAL *s2, const REAL *s3)
{
#define LOAD(p) (*(const K(loose_quad) *)(p))
#define PUT(i, v) (*(K(loose_quad) *)(dst + (i)*dst_row) = (v))
    K(quad) a = LOAD(s0), b = LOAD(s1);
#if REAL_BYTES == 4
    K(quad) c = LOAD(s2), d = LOAD(s3);
    K(quad) ab = __builtin_shufflevector(a, b, 0, 4, 1, 5), AB = __builtin_shufflevector(a, b, 2, 6, 3, 7);
    K(quad) cd = __builtin_shufflevector(c, d, 0, 4, 1, 5), CD = __builtin_shufflevector(c, d, 2, 6, 3, 7);
    PUT(0, __builtin_shufflevector(ab, cd, 0, 1, 4, 5));
    PUT(1, __builtin_shufflevector(ab, cd, 2, 3, 6, 7));
    PUT(2, __builtin_shufflevector(AB, CD, 0, 1, 4, 5));
    PUT(3, __builtin_shufflevector(AB, CD, 2, 3, 6, 7));
#else
    (void)s2, (void)s3;
    PUT(0, __builtin_shufflevector(a, b, 0, 2));
    PUT(1, __builtin_shufflevector(a, b, 1, 3));
#endif
#undef LOAD
#undef PUT
}

/* One panel: dst[k, width] = src[k, cols], zero from cols to width; width a multiple of Q. */
static void K(pack_panel)(REAL *dst, int64_t width, const REAL *src, int64_t k, int64_t cols, int64_t k_stride,
                          int64_t j_stride)
{
    if (j_stride == 1 && cols == NR && width == NR) {
        for (int64_t p = 0; p < k; p++, dst += NR, src += k_stride) {
            K(vec) lo = K(load)(src), hi = K(load)(src + VL);
            K(store)(dst, lo);
            K(store)(dst + VL, hi);
        }
        return;
    }
    int64_t p = 0;
    if (k_stride == 1)
        for (; p + Q <= k; p += Q)
            for (int64_t j = 0; j < width; j += Q) {
                /* Rows beyond cols repeat the last one; they are overwritten below. */
                const REAL *s[4];
                for (int64_t i = 0; i < Q; i++)
                    s[i] = src + p + MIN(j + i, cols - 1) * j_stride;
                K(transpose)(dst + p * width + j, width, s[0], s[1], s[Q > 2 ? 2 : 0], s[Q > 2 ? 3 : 0]);
            }
    if (cols < width)
        for (int64_t q = 0; q < p; q++)
            for (int64_t j = cols; j < width; j++)
                dst[q * width + j] = 0;
    for (; p < k; p++) {
        REAL *d = dst + p * width;
        const REAL *s = src + p * k_stride;
        int64_t j = 0;
        if (j_stride == 1)
            for (; j + Q <= cols; j += Q)
                *(K(loose_quad) *)(d + j) = *(const K(loose_quad) *)(s + j);
        for (; j < cols; j++)
            d[j] = s[j * j_stride];
        for (; j < width; j++)
            d[j] = 0;
    }
}

static void K(gemm_pack)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    const nnrt_gemm_pack *g = args;
    int64_t deep = CEIL(g->k, g->depth), panels = CEIL(g->n, NR);
    const int64_t groups = CEIL(panels, g->panels);
    for (int64_t t = begin; t < end; t++) {
        int64_t k0 = t % deep * g->depth, k = MIN(g->depth, g->k - k0);
        int64_t p0 = t / deep % groups * g->panels, p1 = MIN(p0 + g->panels, panels), i = t / deep / groups;
        for (int64_t p = p0; p < p1; p++) {
            int64_t cols = MIN(NR, g->n - p * NR), width = CEIL(cols, VL) * VL;
            K(pack_panel)((REAL *)g->dst + i * g->dst_batch + p * NR * g->k + k0 * width, width,
                          (const REAL *)g->src + i * g->src_batch + k0 * g->k_stride + p * NR * g->n_stride, k, cols, g->k_stride,
                          g->n_stride);
        }
    }
}

static void K(gemm_copy)(void *dst, int64_t dst_row, const void *src, int64_t rows, int64_t cols, int64_t row_stride,
                         int64_t col_stride)
{
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < cols; j++)
            ((REAL *)dst)[i * dst_row + j] = ((const REAL *)src)[i * row_stride + j * col_stride];
}
