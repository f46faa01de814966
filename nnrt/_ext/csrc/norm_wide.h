/* The loops of channels' norms for floats with AVX-512: columns in whole vectors of 64 bytes. They are compiled beside
 * AVX2's kernels, which call them: these loops alone gain, and the family is not there twice. */
#ifndef NNRT_NORM_WIDE_H
#define NNRT_NORM_WIDE_H
#if defined(__AVX2__)
#include <immintrin.h>

#define V4 __attribute__((target("avx512f")))
typedef float zmm __attribute__((vector_size(64), aligned(4), may_alias));
typedef int32_t zmm_mask __attribute__((vector_size(64)));
#define FOUR _Pragma("GCC unroll 4")
#define Z(x) (*(const zmm *)(x))
#define PUT(x) (*(zmm *)(x))

/* s += Σ x - m, q += Σ (x - m)² over `turns` of four rows, `far` apart. */
V4 static void wide_moments(float *s, float *q, const float *x, int64_t turns, int64_t far, int64_t stride, int64_t w,
                            const float *m)
{
    for (; turns > 0; turns--, x += stride)
        for (int64_t i = 0; i < w; i += 16) {
            zmm t[4];
            FOUR for (int k = 0; k < 4; k++)
                t[k] = Z(x + i + k * far) - Z(m + i);
            PUT(s + i) += (t[0] + t[1]) + (t[2] + t[3]);
            PUT(q + i) += (t[0] * t[0] + t[1] * t[1]) + (t[2] * t[2] + t[3] * t[3]);
        }
}

/* dy, but 0 where relu's y <= 0 */
V4 INLINE zmm wide_through(zmm t, zmm dy, const float *a, const float *b, int relu)
{
    return relu ? (zmm)((zmm_mask)dy & ~(zmm_mask)(t * Z(a) + Z(b) <= 0)) : dy;
}

/* s += Σ g, q += Σ g (x - m) the same way; g is what passes of dy. */
V4 INLINE void wide_sums(float *s, float *q, const float *x, const float *dy, int64_t turns, int64_t far,
                         int64_t stride, int64_t w, const float *m, const float *a, const float *b, int relu)
{
    for (; turns > 0; turns--, x += stride, dy += stride)
        for (int64_t i = 0; i < w; i += 16) {
            zmm t[4], g[4];
            FOUR for (int k = 0; k < 4; k++) {
                t[k] = Z(x + i + k * far) - Z(m + i);
                g[k] = wide_through(t[k], Z(dy + i + k * far), a + i, b + i, relu);
            }
            PUT(s + i) += (g[0] + g[1]) + (g[2] + g[3]);
            PUT(q + i) += (g[0] * t[0] + g[1] * t[1]) + (g[2] * t[2] + g[3] * t[3]);
        }
}

V4 static void wide_products(float *s, float *q, const float *x, const float *dy, int64_t turns, int64_t far,
                             int64_t stride, int64_t w, const float *m, const float *a, const float *b, int relu)
{
    if (relu)
        wide_sums(s, q, x, dy, turns, far, stride, w, m, a, b, 1);
    else
        wide_sums(s, q, x, dy, turns, far, stride, w, m, a, b, 0);
}

V4 INLINE void wide_put(float *y, zmm v, int stream)
{
    if (stream)
        _mm512_stream_ps(y, (__m512)v);
    else
        PUT(y) = v;
}

/* Passes over whole rows, whose results go past the caches as they are made where `stream`. */
V4 static void wide_forward(float *y, const float *x, int64_t count, int64_t w, const float *m, const float *a,
                            const float *b, int relu, int stream)
{
    const zmm low = (zmm){0} - (relu ? 0 : INFINITY);
    for (int64_t i = 0; i < count; i += w)
        for (int64_t j = 0; j < w; j += 16) {
            __builtin_prefetch(x + i + j + 2048);
            const zmm v = (Z(x + i + j) - Z(m + j)) * Z(a + j) + Z(b + j);
            wide_put(y + i + j, (zmm)_mm512_max_ps((__m512)low, (__m512)v), stream); /* of NaN and -0 the second one */
        }
}

V4 INLINE void wide_slopes(float *y, const float *x, const float *dy, int64_t count, int64_t w, const float *m,
                           const float *a, const float *b, const float *s, const float *d, int relu, int stream)
{
    for (int64_t i = 0; i < count; i += w)
        for (int64_t j = 0; j < w; j += 16) {
            const zmm t = Z(x + i + j) - Z(m + j), g = wide_through(t, Z(dy + i + j), a + j, b + j, relu);
            wide_put(y + i + j, Z(a + j) * g + (Z(s + j) * t + Z(d + j)), stream);
        }
}

V4 static void wide_backward(float *y, const float *x, const float *dy, int64_t count, int64_t w, const float *m,
                             const float *a, const float *b, const float *s, const float *d, int relu, int stream)
{
    if (relu)
        wide_slopes(y, x, dy, count, w, m, a, b, s, d, 1, stream);
    else
        wide_slopes(y, x, dy, count, w, m, a, b, s, d, 0, stream);
}

#undef V4
#undef FOUR
#undef Z
#undef PUT
/* w: columns that are read at a time */
#define WIDE(p, w) (sizeof(REAL) == 4 && (p)->avx512 && (w) % 16 == 0)
#else
#define WIDE(p, w) 0
#define wide_moments(...) (void)0
#define wide_products(...) (void)0
#define wide_forward(...) (void)0
#define wide_backward(...) (void)0
#endif
#endif
