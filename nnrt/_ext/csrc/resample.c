/* Resampling by band matrices along D, H and W; at the places of a grid by resample_grid.h. This file includes itself
 * once per dtype; REAL is the dtype. */
#ifndef REAL

#include <math.h>
#include <string.h>

#include "resample.h"

#define MIN(a, b) ((a) < (b) ? (a) : (b))
/* Are elements of neighbouring places gathered? For float64 and older CPUs it is not worth its size. */
#if defined(__AVX2__)
#define GATHERS (sizeof(REAL) == 4)
#else
#define GATHERS 0
#endif
#define MAX(a, b) ((a) > (b) ? (a) : (b))

#define REAL float
#define INT int32_t
#define K(name) name##_f32
#include "resample.c"
#undef REAL
#undef INT
#undef K
#define REAL double
#define INT int64_t
#define K(name) name##_f64
#include "resample.c"

#define ENTRY(name)                                                              \
    .name = {{"resample/" #name "/f32/" NNRT_STR(NNRT_ISA), name##_f32},          \
             {"resample/" #name "/f64/" NNRT_STR(NNRT_ISA), name##_f64}}

const nnrt_resample_table NNRT_SYM(resample) = {ENTRY(resample), ENTRY(grid), ENTRY(grid_dgrid), ENTRY(grid_dx)};

#else

#include "rows.h"

#define UNROLL _Pragma("GCC unroll 4")
#define STORE(p, v) (*(K(vec) *)(p) = (v))

typedef INT K(ints) __attribute__((vector_size(VECTOR), aligned(sizeof(REAL)), may_alias));

/* x[at], 0 where at is negative */
INLINE K(vec) K(gather)(const REAL *x, K(ints) at)
{
#if defined(__AVX2__)
    const __m256i in = (__m256i)~at;
    return sizeof(REAL) == 4
        ? (K(vec))_mm256_mask_i32gather_ps(_mm256_setzero_ps(), (const void *)x, (__m256i)at, (__m256)in, 4)
        : (K(vec))_mm256_mask_i64gather_pd(_mm256_setzero_pd(), (const void *)x, (__m256i)at, (__m256d)in, 8);
#else
    K(vec) v = {0};
    for (int l = 0; l < LANES; l++)
        v[l] = at[l] < 0 ? 0 : x[at[l]];
    return v;
#endif
}

/* t = Σ_{d, h} wd wh x over nd times nh rows of x, sd and sh elements apart. */
static void K(blend)(REAL *restrict t, const REAL *restrict x, int64_t n, int64_t nd, const REAL *wd, int64_t sd,
                     int64_t nh, const REAL *wh, int64_t sh)
{
    int64_t k = 0;
    for (; k + 4 * LANES <= n; k += 4 * LANES) {
        K(vec) a = {0}, b = a, c = a, e = a;
        for (int64_t d = 0; d < nd; d++)
            for (int64_t h = 0; h < nh; h++) {
                const REAL *r = x + d * sd + h * sh + k, w = wd[d] * wh[h];
                a += w * K(load)(r);
                b += w * K(load)(r + LANES);
                c += w * K(load)(r + 2 * LANES);
                e += w * K(load)(r + 3 * LANES);
            }
        STORE(t + k, a);
        STORE(t + k + LANES, b);
        STORE(t + k + 2 * LANES, c);
        STORE(t + k + 3 * LANES, e);
    }
    for (; k < n; k++) {
        REAL a = 0;
        for (int64_t d = 0; d < nd; d++)
            for (int64_t h = 0; h < nh; h++)
                a += wd[d] * wh[h] * x[d * sd + h * sh + k];
        t[k] = a;
    }
}

/* y = Σ_i w_i x_i over n pixels of c channels, side by side; c is a constant where it is small. */
INLINE void K(pixel)(REAL *restrict y, const REAL *restrict x, int64_t n, const REAL *w, int64_t c)
{
    int64_t k = 0;
    for (; k + 4 * LANES <= c; k += 4 * LANES) {
        K(vec) a = w[0] * K(load)(x + k), b = w[0] * K(load)(x + k + LANES);
        K(vec) d = w[0] * K(load)(x + k + 2 * LANES), e = w[0] * K(load)(x + k + 3 * LANES);
        for (int64_t i = 1; i < n; i++) {
            const REAL *r = x + i * c + k;
            a += w[i] * K(load)(r);
            b += w[i] * K(load)(r + LANES);
            d += w[i] * K(load)(r + 2 * LANES);
            e += w[i] * K(load)(r + 3 * LANES);
        }
        STORE(y + k, a);
        STORE(y + k + LANES, b);
        STORE(y + k + 2 * LANES, d);
        STORE(y + k + 3 * LANES, e);
    }
    for (; k + LANES <= c; k += LANES) {
        K(vec) a = w[0] * K(load)(x + k);
        for (int64_t i = 1; i < n; i++)
            a += w[i] * K(load)(x + i * c + k);
        STORE(y + k, a);
    }
    for (; k < c; k++) {
        REAL a = w[0] * x[k];
        for (int64_t i = 1; i < n; i++)
            a += w[i] * x[i * c + k];
        y[k] = a;
    }
}

/* The same for pixels of one to four channels, whose sums stay in registers side by side. */
INLINE void K(small)(REAL *restrict y, const REAL *restrict x, int64_t n, const REAL *w, int64_t c)
{
    REAL a[4];
    for (int64_t k = 0; k < c; k++)
        a[k] = w[0] * x[k];
    for (int64_t i = 1; i < n; i++)
        for (int64_t k = 0; k < c; k++)
            a[k] += w[i] * x[i * c + k];
    for (int64_t k = 0; k < c; k++)
        y[k] = a[k];
}

#define PIXELS(one, c)                                                              \
    for (int64_t o = from; o < to; o++, y += (c)) {                                 \
        int64_t n = p->offset[o + 1] - p->offset[o];                                \
        if (n)                                                                      \
            K(one)(y, x + p->first[o] * (c), n, (const REAL *)p->weight + p->offset[o], c); \
        else                                                                        \
            memset(y, 0, (size_t)(c) * sizeof(REAL));                               \
    }

static void K(pixels)(REAL *y, const REAL *x, const nnrt_band *p, int64_t from, int64_t to, int64_t c)
{
    switch (c) {
    case 1: PIXELS(small, 1) break;
    case 2: PIXELS(small, 2) break;
    case 3: PIXELS(small, 3) break;
    case 4: PIXELS(small, 4) break;
    default: PIXELS(pixel, c)
    }
}

/* The band along w spread out over the elements of a row of few channels: for each tap the element it reads, -1
 * where there is none, and its weight. */
static void K(spread)(const nnrt_resample_args *p, INT *index, REAL *weight)
{
    const nnrt_band *w = &p->w;
    for (int64_t t = 0; t < p->taps; t++)
        for (int64_t e = 0; e < p->spread; e++) {
            const int64_t o = e / p->c;
            const int there = o < w->out && t < w->offset[o + 1] - w->offset[o];
            *index++ = there ? (INT)((w->first[o] + t) * p->c + e % p->c) : -1;
            *weight++ = there ? ((const REAL *)w->weight)[w->offset[o] + t] : 0;
        }
}

/* Elements from..to-1 of a row of y. */
static void K(elements)(REAL *y, const REAL *x, const nnrt_resample_args *p, const INT *index, const REAL *weight,
                        int64_t from, int64_t to)
{
    const int64_t last = p->taps * p->spread;
    int64_t e = from;
    for (; e + LANES <= to; e += LANES, y += LANES) {
        K(vec) sum = K(load)(weight + e) * K(gather)(x, *(const K(ints) *)(index + e));
        for (int64_t t = e + p->spread; t < last; t += p->spread)
            sum += K(load)(weight + t) * K(gather)(x, *(const K(ints) *)(index + t));
        STORE(y, sum);
    }
    for (; e < to; e++, y++) {
        *y = index[e] < 0 ? 0 : weight[e] * x[index[e]];
        for (int64_t t = e + p->spread; t < last; t += p->spread)
            *y += index[t] < 0 ? 0 : weight[t] * x[index[t]];
    }
}

static void K(resample)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    const nnrt_resample_args *p = args;
    INT *index = (INT *)((char *)scratch + p->room);
    REAL *weight = (REAL *)(index + p->taps * p->spread);
    if (GATHERS && p->taps)
        K(spread)(p, index, weight);
    int64_t stop = end * p->group < p->units ? end * p->group : p->units, c = p->c, row = p->w.n * c;
    for (int64_t u = begin * p->group; u < stop; u++) {
        int64_t q = u / p->blocks, from = u % p->blocks * p->cols;
        int64_t to = from + p->cols < p->w.out ? from + p->cols : p->w.out;
        REAL *y = (REAL *)p->y + (q * p->w.out + from) * c;
        int64_t h = q % p->h.out, d = (q /= p->h.out) % p->d.out, n = q / p->d.out;
        int64_t nd = p->d.offset[d + 1] - p->d.offset[d], nh = p->h.offset[h + 1] - p->h.offset[h];
        const REAL *wd = (const REAL *)p->d.weight + p->d.offset[d], *wh = (const REAL *)p->h.weight + p->h.offset[h];
        if (nd * nh == 0) {
            memset(y, 0, (size_t)((to - from) * c) * sizeof(REAL));
            continue;
        }
        const REAL *x = (const REAL *)p->x + ((n * p->d.n + p->d.first[d]) * p->h.n + p->h.first[h]) * row;
        if (nd * nh > 1 || wd[0] != 1 || wh[0] != 1) {
            int64_t left = p->w.n, right = 0;
            for (int64_t o = from; o < to; o++) {
                int64_t i = p->w.first[o], k = p->w.offset[o + 1] - p->w.offset[o];
                left = k && i < left ? i : left;
                right = k && i + k > right ? i + k : right;
            }
            if (left < right)
                K(blend)(scratch, x + left * c, (right - left) * c, nd, wd, p->h.n * row, nh, wh, row);
            x = (const REAL *)scratch - left * c;
        }
        if (GATHERS && p->taps)
            K(elements)(y, x, p, index, weight, from * c, to * c);
        else
            K(pixels)(y, x, &p->w, from, to, c);
    }
}

#include "resample_grid.h"

#undef STORE
#undef UNROLL
#undef PIXELS

#endif
