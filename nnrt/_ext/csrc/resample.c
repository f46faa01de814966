/* Resampling by band matrices along D, H and W, and at the places of a grid. This file includes itself once per dtype; REAL is the dtype. */
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

/* The band along w spread out over the elements of a row of few channels: for each tap the element it reads, -1 where there is
 * none, and its weight. */
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
static void K(elements)(REAL *y, const REAL *x, const nnrt_resample_args *p, const INT *index, const REAL *weight, int64_t from,
                        int64_t to)
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

/* ---- at the places of a grid, a vector of them at a time; the formulas are those of nnrt._ref.resample ---- */

INLINE K(vec) K(floors)(K(vec) t, int nearest)
{
#if defined(__AVX__)
    if (sizeof(REAL) == 4)
        return nearest ? (K(vec))_mm256_round_ps((__m256)t, 4) : (K(vec))_mm256_floor_ps((__m256)t);
    return nearest ? (K(vec))_mm256_round_pd((__m256d)t, 4) : (K(vec))_mm256_floor_pd((__m256d)t);
#else
    for (int l = 0; l < LANES; l++)
        t[l] = (REAL)(nearest ? rint(t[l]) : floor(t[l]));
    return t;
#endif
}

/* Element k of each of `count` groups of n, one after the other: x[l n + k]. */
INLINE K(vec) K(every)(const REAL *x, int64_t n, int64_t k, int64_t count)
{
    if (n == 1 && count == LANES)
        return K(load)(x);
    K(ints) at, lane;
    for (int l = 0; l < LANES; l++)
        lane[l] = (INT)l;
#if defined(__AVX2__)
    if (sizeof(REAL) == 4 && n == 2 && count == LANES) {
        const __m256 a = _mm256_loadu_ps((const void *)x), b = _mm256_loadu_ps((const void *)(x + LANES));
        const __m256 v = k ? _mm256_shuffle_ps(a, b, 0xdd) : _mm256_shuffle_ps(a, b, 0x88);
        return (K(vec))_mm256_permute4x64_pd((__m256d)v, 0xd8);
    }
#endif
    at = lane * (INT)n + (INT)k;
    return K(gather)(x, at | (K(ints))(lane >= (INT)count));
}

/* Mirrors t, which lies outside 0..n-1; *sign: the derivative. */
static REAL K(mirrored)(REAL t, REAL *sign, int64_t n, int aligned)
{
    const REAL low = aligned ? 0 : (REAL)-0.5, span = (REAL)(aligned ? n - 1 : n);
    if (span == 0 || t - t != 0)
        return 0; /* where slopes are 0 in any case */
    const REAL rest = (REAL)fmod(fabs(t - low), 2 * span);
    const int odd = rest >= span;
    *sign = odd == (t < low) ? 1 : -1;
    return (odd ? 2 * span - rest : rest) + low;
}

/* t moved into 0..n-1 as the padding wants; *turned is multiplied by the derivative. */
static K(vec) K(moved)(K(vec) t, K(vec) *turned, int64_t n, const nnrt_grid_args *p)
{
    if (p->padding == NNRT_GRID_ZEROS)
        return t;
    const K(vec) none = {0}, most = none + (REAL)(n - 1);
    K(vec) sign = none + 1;
    t = K(pick)(t == t, t, none);
    if (p->padding == NNRT_GRID_REFLECTION)
        for (int l = 0; l < LANES; l++)
            if (t[l] < 0 || t[l] > most[l]) {
                REAL turn = 1;
                t[l] = K(mirrored)(t[l], &turn, n, p->aligned);
                sign[l] = turn;
            }
    *turned *= K(pick)((t > 0) & (t < most), sign, none);
    return K(pick)(t < 0, none, K(pick)(t > most, most, t));
}

static K(vec) K(keys)(K(vec) d, int slope)
{
    const REAL a = (REAL)-0.75;
    const K(vec) e = K(vabs)(d);
    if (!slope)
        return K(pick)(e <= 1, ((a + 2) * e - (a + 3)) * e * e + 1,
                       K(pick)(e < 2, (((e - 5) * e + 8) * e - 4) * a, (K(vec)){0}));
    const K(vec) s = K(pick)(e <= 1, (3 * (a + 2) * e - 2 * (a + 3)) * e, a * ((3 * e - 10) * e + 8));
    return K(pick)(d < 0, -s, s);
}

/* Where the places g are along an axis of n; *low: the pixel of the first of two taps or the only one, *rate: d t / dg. */
INLINE K(vec) K(locate)(K(vec) g, int64_t n, const nnrt_grid_args *p, int mode, K(vec) *low, K(vec) *rate)
{
    const K(vec) zero = {0};
    *rate = zero + (REAL)(p->aligned ? n - 1 : n) / 2;
    K(vec) t = p->aligned ? (g + 1) * *rate : ((g + 1) * (REAL)n - 1) / 2;
    if (mode != NNRT_GRID_BICUBIC && p->padding != NNRT_GRID_ZEROS)
        t = K(moved)(t, rate, n, p);
    t = K(pick)((t < 1 << 30) & (t > -(1 << 30)), t, zero - 100); /* NaN is outside too */
    *low = K(floors)(t, mode == NNRT_GRID_NEAREST);
    return t;
}

/* at, or a negative number outside 0..n-1 */
INLINE K(ints) K(within)(K(vec) at, int64_t n)
{
    return __builtin_convertvector(at, K(ints)) | (K(ints))(at >= (REAL)n);
}

/* The taps of places along an axis. */
typedef struct {
    K(ints) at[4];
    K(vec) weight[4], slope[4];
    int n;
} K(axis);

static void K(find_axis)(K(axis) *to, K(vec) g, int64_t n, const nnrt_grid_args *p)
{
    K(vec) low, rate, none = {0}, t = K(locate)(g, n, p, p->mode, &low, &rate);
    to->n = p->mode == NNRT_GRID_NEAREST ? 1 : p->mode == NNRT_GRID_BILINEAR ? 2 : 4;
    for (int i = 0; i < to->n; i++) {
        K(vec) at = low + (REAL)(i - (to->n == 4));
        to->weight[i] = (REAL)(1 - i) + (REAL)(2 * i - 1) * (t - low);
        to->slope[i] = (REAL)(2 * i - 1) * rate;
        if (to->n == 1) {
            to->weight[i] = none + 1;
        } else if (to->n == 4) {
            to->weight[i] = K(keys)(t - at, 0);
            to->slope[i] = K(keys)(t - at, 1) * rate;
            at = K(moved)(at, &none, n, p);
        }
        to->at[i] = K(within)(at, n);
    }
}

/* Their products: up to 16 taps, with their rows of channels in the image (negative: outside), weights, and the weights'
 * derivatives along w, h and d. */
typedef struct {
    K(ints) row[16];
    K(vec) weight[16], slope[3][16];
    int n;
} K(taps);

/* The taps of `count` places g. */
static __attribute__((noinline)) void K(find_taps)(K(taps) *to, const nnrt_grid_args *p, const REAL *g, int64_t count,
                                                   int slopes)
{
    K(axis) a[3];
    a[2].n = 1, a[2].at[0] = (K(ints)){0}, a[2].weight[0] = (K(vec)){0} + 1;
    for (int64_t i = 0; i < p->axes; i++)
        K(find_axis)(a + i, K(every)(g, p->axes, i, count), p->size[2 - i], p);
    int t = 0;
    for (int d = 0; d < a[2].n; d++)
        for (int h = 0; h < a[1].n; h++)
            for (int w = 0; w < a[0].n; w++, t++) {
                const K(vec) wd = a[2].weight[d], wh = a[1].weight[h], ww = a[0].weight[w], both = wd * wh;
                const K(ints) z = a[2].at[d], y = a[1].at[h], x = a[0].at[w];
                to->row[t] = ((z * (INT)p->size[1] + y) * (INT)p->size[2] + x) | ((z | y | x) >> (8 * sizeof(REAL) - 1));
                to->weight[t] = both * ww;
                if (!slopes)
                    continue;
                to->slope[0][t] = both * a[0].slope[w];
                to->slope[1][t] = wd * a[1].slope[h] * ww;
                if (p->axes == 3)
                    to->slope[2][t] = a[2].slope[d] * wh * ww;
            }
    to->n = t;
}

/* The same for one tap or two by two in an image. */
INLINE void K(find_usual)(K(taps) *to, const nnrt_grid_args *p, const REAL *g, int64_t count, int nearest)
{
    K(ints) at[2][2];
    K(vec) weight[2][2], rate[2], low;
    UNROLL for (int i = 0; i < 2; i++) {
        const int64_t n = p->size[2 - i];
        K(vec) t = K(locate)(K(every)(g, 2, i, count), n, p, nearest ? NNRT_GRID_NEAREST : NNRT_GRID_BILINEAR, &low, rate + i);
        weight[i][1] = t - low, weight[i][0] = 1 - weight[i][1];
        at[i][0] = K(within)(low, n), at[i][1] = K(within)(low + 1, n);
    }
    UNROLL for (int i = 0; i < 4; i++) {
        const int h = i / 2, w = i % 2;
        const K(ints) y = at[1][h], x = at[0][w];
        if (nearest && i)
            break;
        to->row[i] = (y * (INT)p->size[2] + x) | ((y | x) >> (8 * sizeof(REAL) - 1));
        to->weight[i] = nearest ? (K(vec)){0} + 1 : weight[1][h] * weight[0][w];
        to->slope[0][i] = w ? rate[0] * weight[1][h] : -rate[0] * weight[1][h];
        to->slope[1][i] = h ? rate[1] * weight[0][w] : -rate[1] * weight[0][w];
    }
}

/* Lane l's taps inside the image. */
typedef struct {
    int64_t row;
    REAL weight;
    int tap;
} K(place);

static int K(place_of)(K(place) *to, const K(taps) *t, int64_t l)
{
    int count = 0;
    for (int i = 0; i < t->n; i++)
        if (t->row[i][l] >= 0)
            to[count++] = (K(place)){t->row[i][l], t->weight[i][l], i};
    return count;
}

/* Places q..q+count-1 in tasks begin..end, a vector of them at most and of one image. */
#define EACH_PLACES                                                                                                    \
    for (int64_t q = begin * p->block, stop = MIN(end * p->block, p->images * p->places), image = q / p->places,       \
                 next = (image + 1) * p->places, count;                                                                \
         q < stop && (count = MIN(MIN(LANES, stop - q), next - q), 1);                                                 \
         q += count, image += q == next, next += q == next ? p->places : 0)

/* Too few channels for vectors of them, in an image that gathers can index? */
#define FEW (GATHERS && p->c < LANES && pixels * p->c < INT32_MAX)
/* Then what is usual stays in registers: torch's speed instead of half of it. */
#define USUAL(way) (FEW && p->axes == 2 && p->mode == (way))

/* y of few channels at `count` places with n taps each. */
INLINE void K(sample)(REAL *y, const REAL *x, const K(taps) *t, int n, int64_t c, int64_t count)
{
    for (int64_t k = 0; k < c; k++) {
        REAL lanes[VECTOR / sizeof(REAL)];
        K(vec) sum = {0};
        for (int from = 0; from < n; from += 4)
            UNROLL for (int i = from; i < from + 4; i++)
                if (n > 1 || i == 0)
                    sum += t->weight[i] * K(gather)(x + k, t->row[i] * (INT)c);
        if (c == 1 && count == LANES) {
            STORE(y, sum);
            break;
        }
        STORE(lanes, sum);
        for (int64_t l = 0; l < count; l++)
            y[l * c + k] = lanes[l];
    }
}

static void K(grid)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    const nnrt_grid_args *p = args;
    const int64_t c = p->c, pixels = p->size[0] * p->size[1] * p->size[2];
    EACH_PLACES {
        const REAL *x = (const REAL *)p->in + image * pixels * c, *g = (const REAL *)p->grid + q * p->axes;
        REAL *y = (REAL *)p->out + q * c;
        K(taps) t;
        K(place) taps[16];
        if (USUAL(NNRT_GRID_BILINEAR)) {
            K(taps) four;
            K(find_usual)(&four, p, g, count, 0);
            K(sample)(y, x, &four, 4, c, count);
            continue;
        }
        if (USUAL(NNRT_GRID_NEAREST)) {
            K(taps) one;
            K(find_usual)(&one, p, g, count, 1);
            K(sample)(y, x, &one, 1, c, count);
            continue;
        }
        K(find_taps)(&t, p, g, count, 0);
        if (FEW)
            K(sample)(y, x, &t, t.n, c, count);
        for (int64_t l = 0; !FEW && l < count; l++, y += c) {
            const int n = K(place_of)(taps, &t, l);
            int64_t k = 0;
            for (; k + LANES <= c; k += LANES) {
                K(vec) sum = {0};
                for (int i = 0; i < n; i++)
                    sum += taps[i].weight * K(load)(x + taps[i].row * c + k);
                STORE(y + k, sum);
            }
            for (; k < c; k++) {
                REAL sum = 0;
                for (int i = 0; i < n; i++)
                    sum += taps[i].weight * x[taps[i].row * c + k];
                y[k] = sum;
            }
        }
    }
}

INLINE void K(add_row)(REAL *restrict y, REAL w, const REAL *restrict x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] += w * x[i];
}

static void K(grid_dx)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    const nnrt_grid_args *p = args;
    const int64_t c = p->c, parts = (c + p->block - 1) / p->block, pixels = p->size[0] * p->size[1] * p->size[2];
    K(taps) t;
    K(place) taps[16];
    for (int64_t task = begin; task < end; task++) {
        const int64_t n = task / parts, c0 = task % parts * p->block, some = MIN(p->block, c - c0);
        const REAL *dy = (const REAL *)p->in + n * p->places * c + c0, *g = (const REAL *)p->grid + n * p->places * p->axes;
        REAL *dx = (REAL *)p->out + n * pixels * c + c0;
        for (int64_t i = 0; i < pixels; i++)
            memset(dx + i * c, 0, (size_t)some * sizeof(REAL));
        for (int64_t q = 0; q < p->places; q += LANES) {
            const int64_t count = MIN(LANES, p->places - q);
            K(find_taps)(&t, p, g + q * p->axes, count, 0);
            for (int64_t l = 0; c == 1 && l < count; l++)
                for (int i = 0; i < t.n; i++)
                    if (t.row[i][l] >= 0)
                        dx[t.row[i][l]] += t.weight[i][l] * dy[l];
            for (int64_t l = 0; c > 1 && l < count; l++)
                for (int i = 0, m = K(place_of)(taps, &t, l); i < m; i++)
                    K(add_row)(dx + taps[i].row * c, taps[i].weight, dy + l * c, some);
            dy += count * c;
        }
    }
}

/* dgrid of few channels. */
INLINE void K(sample_slopes)(REAL *dg, const REAL *x, const REAL *dy, const K(taps) *t, int n, int64_t c, int64_t count, int64_t axes)
{
    K(vec) sum[3] = {{0}};
    for (int64_t k = 0; k < c; k++) {
        const K(vec) d = K(every)(dy, c, k, count);
        for (int from = 0; from < n; from += 4)
            UNROLL for (int i = from; i < from + 4; i++) {
                const K(vec) product = d * K(gather)(x + k, t->row[i] * (INT)c);
                UNROLL for (int64_t j = 0; j < axes; j++)
                    sum[j] += product * t->slope[j][i];
            }
    }
    for (int64_t j = 0; j < axes; j++) {
        REAL lanes[VECTOR / sizeof(REAL)];
        STORE(lanes, sum[j]);
        for (int64_t l = 0; l < count; l++)
            dg[l * axes + j] = lanes[l];
    }
}

static void K(grid_dgrid)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    const nnrt_grid_args *p = args;
    const int64_t c = p->c, pixels = p->size[0] * p->size[1] * p->size[2];
    EACH_PLACES {
        const REAL *x = (const REAL *)p->in + image * pixels * c, *dy = (const REAL *)p->dy + q * c;
        const REAL *g = (const REAL *)p->grid + q * p->axes;
        REAL *dg = (REAL *)p->out + q * p->axes;
        K(taps) t;
        K(place) taps[16];
        if (p->mode == NNRT_GRID_NEAREST) {
            memset(dg, 0, (size_t)(count * p->axes) * sizeof(REAL));
            continue;
        }
        if (USUAL(NNRT_GRID_BILINEAR)) {
            K(taps) four;
            K(find_usual)(&four, p, g, count, 0);
            K(sample_slopes)(dg, x, dy, &four, 4, c, count, 2);
            continue;
        }
        K(find_taps)(&t, p, g, count, 1);
        if (FEW)
            K(sample_slopes)(dg, x, dy, &t, t.n, c, count, p->axes);
        for (int64_t l = 0; !FEW && l < count; l++, dy += c, dg += p->axes) {
            REAL sum[3] = {0};
            for (int i = 0, n = K(place_of)(taps, &t, l); i < n; i++) {
                const REAL *row = x + taps[i].row * c;
                K(vec) lanes = {0};
                int64_t k = 0;
                for (; k + LANES <= c; k += LANES)
                    lanes += K(load)(row + k) * K(load)(dy + k);
                REAL s = K(total)(lanes);
                for (; k < c; k++)
                    s += row[k] * dy[k];
                for (int64_t j = 0; j < p->axes; j++)
                    sum[j] += s * t.slope[j][taps[i].tap][l];
            }
            for (int64_t j = 0; j < p->axes; j++)
                dg[j] = sum[j];
        }
    }
}

#undef FEW
#undef USUAL
#undef EACH_PLACES
#undef STORE
#undef UNROLL
#undef PIXELS

#endif
