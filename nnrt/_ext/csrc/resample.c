/* Resampling by band matrices along D, H and W, and at the places of a grid. This file includes itself once per dtype; REAL is the dtype. */
#ifndef REAL

#include <math.h>
#include <string.h>

#include "resample.h"

#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

#define REAL float
#define K(name) name##_f32
#include "resample.c"
#undef REAL
#undef K
#define REAL double
#define K(name) name##_f64
#include "resample.c"

#define ENTRY(name)                                                              \
    .name = {{"resample/" #name "/f32/" NNRT_STR(NNRT_ISA), name##_f32},          \
             {"resample/" #name "/f64/" NNRT_STR(NNRT_ISA), name##_f64}}

const nnrt_resample_table NNRT_SYM(resample) = {ENTRY(resample), ENTRY(grid), ENTRY(grid_dgrid), ENTRY(grid_dx)};

#else

#include "rows.h"

#define STORE(p, v) (*(K(vec) *)(p) = (v))

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

static void K(resample)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    const nnrt_resample_args *p = args;
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
        K(pixels)(y, x, &p->w, from, to, c);
    }
}

/* ---- at the places of a grid; the formulas are those of nnrt._ref.resample ---- */

typedef struct {
    int64_t at[4]; /* -1: outside */
    REAL weight[4], slope[4];
    int n;
} K(taps);

/* t moved into 0..n-1 as the padding wants; *turned is multiplied by the derivative. */
static REAL K(moved)(REAL t, REAL *turned, int64_t n, const nnrt_grid_args *p)
{
    if (p->padding == NNRT_GRID_ZEROS)
        return t;
    const REAL most = (REAL)(n - 1);
    REAL sign = 1;
    if (t != t)
        t = 0;
    if (p->padding == NNRT_GRID_REFLECTION) {
        const double low = p->aligned ? 0 : -0.5, span = p->aligned ? n - 1 : n;
        if (span == 0)
            return *turned = 0;
        const double over = fabs(MIN(MAX(t, -1e30), 1e30) - low), rest = fmod(over, span);
        const int odd = fmod(floor(over / span), 2) == 1, far = t < low;
        t = (REAL)((odd ? span - rest : rest) + low);
        sign = odd == far ? 1 : -1;
    }
    *turned *= t > 0 && t < most ? sign : 0;
    return t < 0 ? 0 : t > most ? most : t;
}

static REAL K(keys)(REAL d, int slope)
{
    const REAL a = (REAL)-0.75, e = d < 0 ? -d : d;
    if (!slope)
        return e <= 1 ? ((a + 2) * e - (a + 3)) * e * e + 1 : e < 2 ? (((e - 5) * e + 8) * e - 4) * a : 0;
    const REAL s = e <= 1 ? (3 * (a + 2) * e - 2 * (a + 3)) * e : a * ((3 * e - 10) * e + 8);
    return d < 0 ? -s : s;
}

static void K(find_taps)(K(taps) *to, REAL g, int64_t n, const nnrt_grid_args *p)
{
    REAL rate = (REAL)(p->aligned ? n - 1 : n) / 2, none = 0;
    REAL t = p->aligned ? (g + 1) * rate : ((g + 1) * n - 1) / 2;
    if (p->mode != NNRT_GRID_BICUBIC)
        t = K(moved)(t, &rate, n, p);
    if (!(t < 1 << 30 && t > -(1 << 30))) /* NaN is outside too */
        t = -100;
    const REAL low = (REAL)(p->mode == NNRT_GRID_NEAREST ? rint(t) : floor(t));
    to->n = p->mode == NNRT_GRID_NEAREST ? 1 : p->mode == NNRT_GRID_BILINEAR ? 2 : 4;
    for (int i = 0; i < to->n; i++) {
        REAL at = low + i - (to->n == 4);
        to->weight[i] = to->n == 1 ? 1 : to->n == 4 ? K(keys)(t - at, 0) : i ? t - low : low + 1 - t;
        to->slope[i] = to->n == 1 ? 0 : to->n == 4 ? K(keys)(t - at, 1) * rate : i ? rate : -rate;
        if (to->n == 4)
            at = K(moved)(at, &none, n, p);
        to->at[i] = at >= 0 && at < n ? (int64_t)at : -1;
    }
}

/* A tap inside the image: its row of channels, its weight, and the weight's derivatives along d, h and w. */
typedef struct {
    int64_t row;
    REAL weight, slope[3];
} K(place);

/* The taps of a place g of image n, up to 64. */
static int K(find_place)(K(place) *to, const nnrt_grid_args *p, int64_t n, const REAL *g)
{
    K(taps) at[3];
    int count = 0;
    at[0].n = 1, at[0].at[0] = 0, at[0].weight[0] = 1;
    for (int64_t i = 0; i < p->axes; i++)
        K(find_taps)(&at[2 - i], g[i], p->size[2 - i], p);
    for (int d = 0; d < at[0].n; d++)
        for (int h = 0; h < at[1].n; h++) {
            if ((at[0].at[d] | at[1].at[h]) < 0)
                continue;
            const int64_t row = ((n * p->size[0] + at[0].at[d]) * p->size[1] + at[1].at[h]) * p->size[2];
            const REAL wd = at[0].weight[d], wh = at[1].weight[h], both = wd * wh;
            for (int w = 0; w < at[2].n; w++) {
                if (at[2].at[w] < 0)
                    continue;
                K(place) *tap = &to[count++];
                tap->row = row + at[2].at[w];
                tap->weight = both * at[2].weight[w];
                tap->slope[0] = p->axes == 3 ? at[0].slope[d] * wh * at[2].weight[w] : 0;
                tap->slope[1] = wd * at[1].slope[h] * at[2].weight[w];
                tap->slope[2] = both * at[2].slope[w];
            }
        }
    return count;
}

/* Places begin..end in blocks, each with its image. */
#define EACH_PLACE(p, begin, end)                                                                                 \
    for (int64_t q = (begin) * (p)->block, stop = MIN((end) * (p)->block, (p)->images * (p)->places),             \
                 image = q / (p)->places, next = (image + 1) * (p)->places;                                       \
         q < stop; image += ++q == next, next += q == next ? (p)->places : 0)

#define TAPS_OF(q, image) K(find_place)(taps, p, image, (const REAL *)p->grid + (q) * p->axes)

INLINE void K(add_row)(REAL *restrict y, REAL w, const REAL *restrict x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] += w * x[i];
}

static void K(grid)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    const nnrt_grid_args *p = args;
    K(place) taps[64];
    EACH_PLACE(p, begin, end) {
        REAL *y = (REAL *)p->out + q * p->c;
        const REAL *x = p->in;
        const int n = TAPS_OF(q, image);
        int64_t k = 0;
        for (; k + LANES <= p->c; k += LANES) {
            K(vec) sum = {0};
            for (int i = 0; i < n; i++)
                sum += taps[i].weight * K(load)(x + taps[i].row * p->c + k);
            STORE(y + k, sum);
        }
        for (; k < p->c; k++) {
            REAL sum = 0;
            for (int i = 0; i < n; i++)
                sum += taps[i].weight * x[taps[i].row * p->c + k];
            y[k] = sum;
        }
    }
}

static void K(grid_dx)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    const nnrt_grid_args *p = args;
    const int64_t c = p->c, parts = (c + p->block - 1) / p->block, pixels = p->size[0] * p->size[1] * p->size[2];
    K(place) taps[64];
    for (int64_t t = begin; t < end; t++) {
        const int64_t n = t / parts, c0 = t % parts * p->block, count = MIN(p->block, c - c0);
        REAL *dx = (REAL *)p->out + c0;
        for (int64_t i = n * pixels; i < (n + 1) * pixels; i++)
            memset(dx + i * c, 0, (size_t)count * sizeof(REAL));
        for (int64_t q = n * p->places; q < (n + 1) * p->places; q++)
            for (int i = 0, m = TAPS_OF(q, n); i < m; i++)
                K(add_row)(dx + taps[i].row * c, taps[i].weight, (const REAL *)p->in + q * c + c0, count);
    }
}

static void K(grid_dgrid)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    const nnrt_grid_args *p = args;
    const int64_t c = p->c;
    K(place) taps[64];
    EACH_PLACE(p, begin, end) {
        const REAL *dy = (const REAL *)p->dy + q * c;
        REAL sum[3] = {0};
        for (int i = 0, n = TAPS_OF(q, image); i < n; i++) {
            const REAL *x = (const REAL *)p->in + taps[i].row * c;
            K(vec) lanes = {0};
            int64_t k = 0;
            for (; k + LANES <= c; k += LANES)
                lanes += K(load)(x + k) * K(load)(dy + k);
            REAL s = K(total)(lanes);
            for (; k < c; k++)
                s += x[k] * dy[k];
            for (int j = 0; j < 3; j++)
                sum[j] += s * taps[i].slope[j];
        }
        for (int64_t i = 0; i < p->axes; i++)
            ((REAL *)p->out)[q * p->axes + i] = sum[2 - i];
    }
}

#undef EACH_PLACE
#undef TAPS_OF
#undef STORE
#undef PIXELS

#endif
