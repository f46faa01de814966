/* Normalisation. This file includes itself once per dtype; REAL is the dtype. */
#ifndef REAL

#include <math.h>
#include <string.h>

#include "norm.h"
#include "stream.h"

typedef nnrt_norm_args args_t;

#define LOOP(i, n) for (int64_t i = 0; i < (n); i++)
/* The same over pointers that cannot meet, though the compiler does not see it. */
#define FREE_LOOP(i, n) _Pragma("GCC ivdep") LOOP(i, n)
#define EACH_UNIT(count)                                                          \
    const args_t *p = args;                                                       \
    int64_t all = (count), stop = end * p->group < all ? end * p->group : all;    \
    for (int64_t u = begin * p->group; u < stop; u++)

static inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* One unit of a sum; see norm.h. */
typedef struct {
    int64_t i, rows, at, w, stride; /* i: of n; at: offset in x; w columns, stride from row to row */
    double *first, *second;
} unit_t;

static inline unit_t unit_of(const args_t *p, int64_t u)
{
    int64_t col = u % p->blocks * p->cols, k = u / p->blocks, row = k % p->parts * p->part;
    unit_t t = {.i = k / p->parts, .rows = least(p->part, p->rows - row), .stride = p->wide};
    t.at = (t.i * p->rows + row) * p->c + col;
    t.w = p->blocks == 1 ? p->wide : least(p->cols, p->c - col);
    t.first = p->partial + 2 * k * p->wide + col;
    t.second = t.first + p->wide;
    return t;
}

/* Rows that column j of the wide ones has in part k. */
static inline int64_t count_of(const args_t *p, int64_t k, int64_t time)
{
    int64_t rows = least(p->part, p->rows - k * p->part);
    return rows / p->times + (time < rows % p->times);
}

/* Where a piece of a pass that writes lies. */
static inline int64_t piece_of(const args_t *p, int64_t u, int64_t *i, int64_t *count)
{
    int64_t row = u % p->pieces * p->piece;
    *i = u / p->pieces;
    *count = least(p->piece, p->rows - row) * p->c;
    return (*i * p->rows + row) * p->c;
}

#define REAL float
#define K(name) name##_f32
#include "norm.c"
#undef REAL
#undef K
#define REAL double
#define K(name) name##_f64
#include "norm.c"

#define ENTRY(name)                                                              \
    .name = {{"norm/" #name "/f32/" NNRT_STR(NNRT_ISA), name##_f32},             \
             {"norm/" #name "/f64/" NNRT_STR(NNRT_ISA), name##_f64}}

const nnrt_norm_table NNRT_SYM(norm) = {
    ENTRY(moments), ENTRY(finish_moments), ENTRY(normalize),
    ENTRY(backward_sums), ENTRY(finish_sums), ENTRY(finish_weights), ENTRY(normalize_backward),
    ENTRY(layer_norm), ENTRY(layer_norm_backward), ENTRY(finish_layer),
};

#else

#include "rows.h"

/* ---- sums over rows, column by column ---- */

/* Reads w columns of `rows` rows in the order of memory, one element of each line. Loops that go down several rows
 * at once hide that order from the hardware, which then fetches 10 GB/s instead of 30 (Zen 4, 1 kB rows);
 * prefetch instructions do not help. */
INLINE void K(touch)(const REAL *x, int64_t rows, int64_t stride, int64_t w)
{
    if (w == stride)
        w *= rows, rows = 1;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < w; i += 64 / (int64_t)sizeof *x)
            (void)*(const volatile REAL *)(x + r * stride + i);
}

/* Mean and Σ (x - mean)² of w columns, carried on over `rows` more rows after `before` of them.
 * Sums run around the mean so far (of the first rows: their own mean): nothing cancels
 * (Chan, Golub and LeVeque, 1983). */
static void K(carry)(double *restrict mean, double *restrict square, const REAL *restrict x, int64_t rows,
                     int64_t stride, int64_t w, int64_t before)
{
    REAL m[NNRT_NORM_COLS], s[NNRT_NORM_COLS], q[NNRT_NORM_COLS];
    int64_t r = 0;
    if (!before) {
        memset(m, 0, (size_t)w * sizeof *m);
        for (; r < rows; r++)
            LOOP(i, w) m[i] += x[r * stride + i];
        LOOP(i, w)
        {
            m[i] /= (REAL)rows;
            mean[i] = m[i];
            square[i] = 0;
        }
    } else
        LOOP(i, w) m[i] = (REAL)mean[i];
    memset(s, 0, (size_t)w * sizeof *s);
    memset(q, 0, (size_t)w * sizeof *q);
    for (r = 0; r + 4 <= rows; r += 4) {
        const REAL *a = x + r * stride;
        K(touch)(a, 4, stride, w);
        LOOP(i, w)
        {
#define T(k) const REAL t##k = a[i + k * stride] - m[i];
            T(0) T(1) T(2) T(3)
            s[i] += (t0 + t1) + (t2 + t3);
            q[i] += (t0 * t0 + t1 * t1) + (t2 * t2 + t3 * t3);
        }
    }
    for (; r < rows; r++)
        LOOP(i, w)
        {
            REAL t = x[r * stride + i] - m[i];
            s[i] += t;
            q[i] += t * t;
        }
    double part = (double)rows / (double)(before + rows), each = 1 / (double)rows;
    LOOP(i, w)
    {
        double sum = s[i], d = sum * each + (m[i] - mean[i]);
        mean[i] += d * part;
        square[i] += (q[i] - sum * sum * each) + d * d * part * (double)before;
    }
}

static void K(moments)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    EACH_UNIT(p->n * p->parts * p->blocks)
    {
        unit_t t = unit_of(p, u);
        const REAL *x = (const REAL *)p->x + t.at;
        int64_t full = t.rows / p->times, rest = t.rows % p->times * p->c;
        for (int64_t r = 0; r < full; r += NNRT_NORM_RUN)
            K(carry)(t.first, t.second, x + r * t.stride, least(NNRT_NORM_RUN, full - r), t.stride, t.w, r);
        if (rest)
            K(carry)(t.first, t.second, x + full * t.stride, 1, t.stride, rest, full);
    }
}

/* Σ dy and Σ dy (x - m) of one unit, the rows where relu gave 0 left out. */
static inline __attribute__((always_inline)) void K(products)(const args_t *p, unit_t t, const REAL *restrict m,
                                                              const REAL *restrict a, const REAL *restrict b,
                                                              int relu)
{
    REAL s[NNRT_NORM_COLS], q[NNRT_NORM_COLS];
    const REAL *restrict x = (const REAL *)p->x + t.at, *restrict dy = (const REAL *)p->dy + t.at;
    int64_t rows = nnrt_norm_ceil(t.rows, p->times), rest = t.rows % p->times * p->c, w = t.w;
    memset(t.first, 0, (size_t)w * sizeof(double));
    memset(t.second, 0, (size_t)w * sizeof(double));
    for (int64_t from = 0; from < rows; from += NNRT_NORM_RUN) {
        int64_t r = from, last = least(rows, from + NNRT_NORM_RUN), whole = last - (last == rows && rest);
        memset(s, 0, (size_t)w * sizeof *s);
        memset(q, 0, (size_t)w * sizeof *q);
        for (; r + 4 <= whole; r += 4) {
            const REAL *restrict v = x + r * t.stride, *restrict g = dy + r * t.stride;
            K(touch)(v, 4, t.stride, w);
            K(touch)(g, 4, t.stride, w);
            LOOP(i, w)
            {
#define G(k)                                                                      \
    const REAL t##k = v[i + k * t.stride] - m[i];                                 \
    const REAL h##k = g[i + k * t.stride], g##k = relu && t##k * a[i] + b[i] <= 0 ? 0 : h##k;
                G(0) G(1) G(2) G(3)
                s[i] += (g0 + g1) + (g2 + g3);
                q[i] += (g0 * t0 + g1 * t1) + (g2 * t2 + g3 * t3);
            }
        }
        for (; r < last; r++) {
            const REAL *restrict v = x + r * t.stride, *restrict g = dy + r * t.stride;
            LOOP(i, r < whole ? w : rest)
            {
                G(0)
                s[i] += g0;
                q[i] += g0 * t0;
            }
        }
        LOOP(i, w)
        {
            t.first[i] += s[i];
            t.second[i] += q[i];
        }
    }
}

/* For w columns from `col` on, repeated as the wide rows repeat them: m, the mean in REAL, and a, b of
 * y = (x - m) a + b; b has what rounding took from the mean. */
static void K(affine)(const args_t *p, int64_t i, int64_t col, int64_t w, REAL *restrict m, REAL *restrict a,
                      REAL *restrict b)
{
    int64_t each = p->c / p->groups, own = least(w, p->c - col);
    const REAL *weight = (const REAL *)p->w + col, *bias = (const REAL *)p->b + col;
    for (int64_t j = 0, last; j < own; j = last) {
        int64_t g = each == 1 ? col + j : (col + j) / each;
        double mean = p->mean[i * p->groups + g], rstd = p->rstd[i * p->groups + g], low = mean - (REAL)mean;
        last = least(own, (g + 1) * each - col);
        for (int64_t k = j; k < last; k++) {
            m[k] = (REAL)mean;
            a[k] = (REAL)rstd;
        }
        if (p->w)
            for (int64_t k = j; k < last; k++)
                a[k] = (REAL)(rstd * weight[k]);
        for (int64_t k = j; k < last; k++)
            b[k] = (REAL)(-low * a[k]);
        if (p->b)
            for (int64_t k = j; k < last; k++)
                b[k] = (REAL)(bias[k] - low * a[k]);
    }
    for (int64_t j = own; j < w; j++)
        m[j] = m[j - own], a[j] = a[j - own], b[j] = b[j - own];
}

static void K(backward_sums)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    EACH_UNIT(p->n * p->parts * p->blocks)
    {
        unit_t t = unit_of(p, u);
        REAL m[NNRT_NORM_COLS], a[NNRT_NORM_COLS], b[NNRT_NORM_COLS];
        K(affine)(p, t.i, u % p->blocks * p->cols, t.w, m, a, b);
        if (p->relu)
            K(products)(p, t, m, a, b, 1);
        else
            K(products)(p, t, m, a, b, 0);
    }
}

/* ---- folding the parts ---- */

static void K(finish_moments)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    EACH_UNIT(p->n * p->groups)
    {
        int64_t i = u / p->groups, each = p->c / p->groups, col = u % p->groups * each;
        double total = (double)p->rows * (double)each, mean = 0, square = 0;
        /* for every column of the group: its count, mean v[0] and square v[wide] */
#define EACH_COLUMN(...)                                                          \
    for (int64_t k = 0; k < p->parts; k++)                                        \
        for (int64_t t = 0; t < p->times; t++) {                                  \
            double count = (double)count_of(p, k, t);                             \
            const double *v = p->partial + 2 * (i * p->parts + k) * p->wide + t * p->c + col; \
            if (count > 0)                                                        \
                for (int64_t j = 0; j < each; j++, v++) {                         \
                    __VA_ARGS__;                                                  \
                }                                                                 \
        }
        EACH_COLUMN(mean += count * v[0])
        mean /= total;
        EACH_COLUMN(square += v[p->wide] + count * ((v[0] - mean) * (v[0] - mean)))
        p->mean[u] = mean;
        p->rstd[u] = square < 0 ? 0 : square / total;
    }
}

static void K(finish_sums)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    EACH_UNIT(p->n * p->groups)
    {
        int64_t i = u / p->groups, each = p->c / p->groups, col = u % p->groups * each;
        double mean = p->mean[u], rstd = p->rstd[u], low = mean - (REAL)mean, first = 0, second = 0;
        double *restrict sum = p->sums + 2 * i * p->c + col, *restrict dot = sum + p->c;
        memset(sum, 0, (size_t)each * sizeof *sum);
        memset(dot, 0, (size_t)each * sizeof *dot);
        for (int64_t k = 0; k < p->parts; k++)
            for (int64_t t = 0; t < p->times; t++) {
                const double *v = p->partial + 2 * (i * p->parts + k) * p->wide + t * p->c + col;
                for (int64_t j = 0; j < each; j++) {
                    sum[j] += v[j];
                    dot[j] += v[p->wide + j];
                }
            }
        for (int64_t j = 0; j < each; j++) {
            double w = p->w ? ((const REAL *)p->w)[col + j] : 1;
            dot[j] = (dot[j] - low * sum[j]) * rstd;
            first += w * sum[j];
            second += w * dot[j];
        }
        /* dx = rstd (w dy - Σ w dy / M - x^ Σ w dy x^ / M) */
        double scale = p->fixed ? 0 : -rstd / ((double)p->rows * (double)each);
        p->slope[2 * u] = scale * rstd * second;
        p->slope[2 * u + 1] = scale * (first - low * rstd * second);
    }
}

static void K(finish_weights)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    const args_t *p = args;
    int64_t stop = least(end * p->group, p->c);
    for (int64_t from = begin * p->group, w; from < stop; from += w) {
        double s[NNRT_NORM_COLS] = {0}, q[NNRT_NORM_COLS] = {0};
        w = least(NNRT_NORM_COLS, stop - from);
        for (int64_t i = 0; i < p->n; i++) {
            const double *v = p->sums + 2 * i * p->c + from;
            for (int64_t j = 0; j < w; j++) {
                s[j] += v[j];
                q[j] += v[p->c + j];
            }
        }
        for (int64_t j = 0; p->db && j < w; j++)
            ((REAL *)p->db)[from + j] = (REAL)s[j];
        for (int64_t j = 0; p->dw && j < w; j++)
            ((REAL *)p->dw)[from + j] = (REAL)q[j];
    }
}

/* ---- passes that write ---- */

/* y[i] = F(i, j): i runs over count elements, j over the columns w, again and again; four rows at a time. */
#define PASS(F, TOUCH)                                                            \
    {                                                                             \
        int64_t i = 0;                                                            \
        for (; i + 4 * w <= count; i += 4 * w) {                                  \
            TOUCH;                                                                \
            FREE_LOOP(j, w)                                                       \
            {                                                                     \
                const REAL y0 = F(i, j), y1 = F(i + w, j), y2 = F(i + 2 * w, j), y3 = F(i + 3 * w, j); \
                y[i + j] = y0;                                                    \
                y[i + w + j] = y1;                                                \
                y[i + 2 * w + j] = y2;                                            \
                y[i + 3 * w + j] = y3;                                            \
            }                                                                     \
        }                                                                         \
        for (; i < count; i += w) {                                               \
            int64_t some = least(w, count - i);                                   \
            FREE_LOOP(j, some) y[i + j] = F(i, j);                                \
        }                                                                         \
    }

static void K(forward_pass)(REAL *restrict y, const REAL *restrict x, int64_t count, int64_t w,
                            const REAL *restrict m, const REAL *restrict a, const REAL *restrict b, int relu)
{
#define VALUE(i, j) ((x[(i) + j] - m[j]) * a[j] + b[j])
#define ABOVE(i, j) (VALUE(i, j) < 0 ? 0 : VALUE(i, j))
    if (relu)
        PASS(ABOVE, K(touch)(x + i, 4, w, w))
    else
        PASS(VALUE, K(touch)(x + i, 4, w, w))
}

/* relu's gradient; a function, so that dy is read in any case and the choice needs no branch. */
INLINE REAL K(through)(REAL y, REAL dy) { return y <= 0 ? 0 : dy; }

static void K(backward_pass)(REAL *restrict y, const REAL *restrict x, const REAL *restrict dy, int64_t count,
                             int64_t w, const REAL *restrict m, const REAL *restrict a, const REAL *restrict b,
                             const REAL *restrict s, const REAL *restrict d, int relu)
{
#define SLOPE(i, j) (a[j] * dy[(i) + j] + (s[j] * (x[(i) + j] - m[j]) + d[j]))
#define SLOPE_ABOVE(i, j) \
    (a[j] * K(through)(VALUE(i, j), dy[(i) + j]) + (s[j] * (x[(i) + j] - m[j]) + d[j]))
    if (relu)
        PASS(SLOPE_ABOVE, K(touch)(x + i, 4, w, w); K(touch)(dy + i, 4, w, w))
    else
        PASS(SLOPE, K(touch)(x + i, 4, w, w); K(touch)(dy + i, 4, w, w))
}

/* Pieces of y, past the caches where it is large: made in a buffer that lies behind the vectors. */
#define PIECES(vectors, AFFINE, RUN_PASS)                                         \
    int64_t w = ((const args_t *)args)->wide, known = -1, i, count;               \
    REAL *m = scratch, *a = m + w, *b = a + w, *s = b + w, *d = s + w, *buffer = m + (vectors) * w; \
    (void)s, (void)d;                                                             \
    EACH_UNIT(p->n * p->pieces)                                                   \
    {                                                                             \
        int64_t at = piece_of(p, u, &i, &count);                                  \
        const REAL *x = (const REAL *)p->x + at, *dy = (const REAL *)p->dy + at;  \
        REAL *y = (REAL *)p->y + at;                                              \
        (void)dy;                                                                 \
        if (i != known) {                                                         \
            AFFINE;                                                               \
            known = i;                                                            \
        }                                                                         \
        if (!p->stream) {                                                         \
            RUN_PASS(y, 0, count);                                                \
            continue;                                                             \
        }                                                                         \
        for (int64_t from = 0; from < count; from += p->batch) {                  \
            int64_t some = least(p->batch, count - from);                         \
            RUN_PASS(buffer, from, some);                                         \
            nnrt_stream((char *)(y + from), (const char *)buffer, some * (int64_t)sizeof(REAL)); \
        }                                                                         \
    }                                                                             \
    if (((const args_t *)args)->stream)                                           \
        nnrt_stream_end();

static void K(normalize)(const void *args, int64_t begin, int64_t end, void *scratch)
{
#define FORWARD(to, from, some) K(forward_pass)(to, x + (from), some, w, m, a, b, p->relu)
    PIECES(3, K(affine)(p, i, 0, w, m, a, b), FORWARD)
}

static void K(slopes)(const args_t *p, int64_t i, REAL *s, REAL *d)
{
    int64_t each = p->c / p->groups, j = 0;
    const double *slope = p->slope + 2 * i * p->groups;
    for (; j < p->c; slope += 2)
        for (int64_t stop = j + each; j < stop; j++) {
            s[j] = (REAL)slope[0];
            d[j] = (REAL)slope[1];
        }
    for (; j < p->wide; j++)
        s[j] = s[j - p->c], d[j] = d[j - p->c];
}

static void K(normalize_backward)(const void *args, int64_t begin, int64_t end, void *scratch)
{
#define BACKWARD(to, from, some) K(backward_pass)(to, x + (from), dy + (from), some, w, m, a, b, s, d, p->relu)
    PIECES(5, K(affine)(p, i, 0, w, m, a, b); K(slopes)(p, i, s, d), BACKWARD)
}

/* ---- rows: layer norm, and RMS norm, whose mean is NULL ---- */

ROW_SUM(sum, v, v)

/* Two sums over a row at once: Σ of FIRST and of SECOND, vectors that g (of dy and w) and t = x - m make. */
#define ROW_SUMS(name, G, FIRST, SECOND)                                          \
    static void K(name)(const REAL *restrict x, const REAL *restrict dy, const REAL *restrict w, REAL m, \
                        int64_t c, double *first, double *second)                 \
    {                                                                             \
        double s = 0, q = 0;                                                      \
        int64_t j = 0;                                                            \
        while (c - j >= LANES) {                                                  \
            K(vec) s0 = {0}, s1 = s0, s2 = s0, s3 = s0, q0 = s0, q1 = s0, q2 = s0, q3 = s0; \
            int64_t stop = least(c, j + RUN);                                     \
            for (; j + 4 * LANES <= stop; j += 4 * LANES) {                       \
                ADD(0, G, FIRST, SECOND) ADD(1, G, FIRST, SECOND)                 \
                ADD(2, G, FIRST, SECOND) ADD(3, G, FIRST, SECOND)                 \
            }                                                                     \
            for (; j + LANES <= stop; j += LANES)                                 \
                ADD(0, G, FIRST, SECOND)                                          \
            s += K(total)((s0 + s1) + (s2 + s3));                                 \
            q += K(total)((q0 + q1) + (q2 + q3));                                 \
        }                                                                         \
        for (; j < c; j++) {                                                      \
            REAL t = x[j] - m, g = G(*, j);                                       \
            (void)g, (void)t;                                                     \
            s += FIRST;                                                           \
            q += SECOND;                                                          \
        }                                                                         \
        *first = s;                                                               \
        *second = q;                                                              \
    }
#define ADD(k, G, FIRST, SECOND)                                                  \
    {                                                                             \
        K(vec) t = K(load)(x + j + k * LANES) - m, g = G(K(load), j + k * LANES); \
        (void)g;                                                                  \
        s##k += FIRST;                                                            \
        q##k += SECOND;                                                           \
    }
#define NO_GRADIENT(load, at) t
#define WEIGHTED(load, at) load(dy + (at)) * load(w + (at))
ROW_SUMS(row_moments, NO_GRADIENT, t, t * t)
ROW_SUMS(row_products, WEIGHTED, g, g * t)

/* w and b, or ones and zeros in their place. */
static const REAL *K(given)(const void *v, REAL *room, int64_t c, REAL value)
{
    if (v)
        return v;
    for (int64_t j = 0; j < c; j++)
        room[j] = value;
    return room;
}

/* Asks for the rows to come while those at hand are worked on: a row is often a page, where the hardware stops. */
INLINE void K(ahead)(const REAL *x, int64_t count)
{
    for (int64_t j = 0; j < count; j += 64 / (int64_t)sizeof *x)
        __builtin_prefetch(x + j);
}

static void K(layer_norm)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    int64_t c = ((const args_t *)args)->c, bytes = c * (int64_t)sizeof(REAL);
    const REAL *restrict w = K(given)(((const args_t *)args)->w, scratch, c, 1);
    const REAL *restrict b = K(given)(((const args_t *)args)->b, (REAL *)scratch + c, c, 0);
    REAL *sum = (REAL *)scratch + 2 * c, *buffer = sum + c;
    EACH_UNIT(p->rows)
    {
        const REAL *restrict x = (const REAL *)p->x + u * c;
        REAL *restrict y = p->stream ? buffer : (REAL *)p->y + u * c;
        if (u + 1 < p->rows)
            K(ahead)(x + c, c);
        if (p->more) {
            const REAL *restrict r = (const REAL *)p->more + u * c;
            REAL *restrict t = p->stream ? sum : (REAL *)p->total + u * c;
            if (u + 1 < p->rows)
                K(ahead)(r + c, c);
            FREE_LOOP(j, c) t[j] = x[j] + r[j];
            x = t;
        }
        REAL m = p->mean ? (REAL)(K(sum_row)(x, x, c, 0) / (double)c) : 0;
        double low, var; /* mean - m; mean of (x - m)^2 */
        K(row_moments)(x, NULL, NULL, m, c, &low, &var);
        low = p->mean ? low / (double)c : 0;
        var = var / (double)c - low * low;
        double rstd = 1 / sqrt((var < 0 ? 0 : var) + p->eps);
        REAL r = (REAL)rstd, shift = (REAL)(-low * rstd);
        if (p->mean)
            p->mean[u] = m + low;
        p->rstd[u] = rstd;
        FREE_LOOP(j, c) y[j] = ((x[j] - m) * r + shift) * w[j] + b[j];
        if (p->stream) {
            nnrt_stream((char *)p->y + u * bytes, (const char *)buffer, bytes);
            if (p->more)
                nnrt_stream((char *)p->total + u * bytes, (const char *)sum, bytes);
        }
    }
    if (((const args_t *)args)->stream)
        nnrt_stream_end();
}

/* What a row of a layer norm's backward pass needs: x^ = (x - m) r + shift, dx = r (dy w + first + x^ second). */
typedef struct {
    REAL m, r, shift, first, second;
} K(row_t);

static K(row_t) K(row_of)(const args_t *p, int64_t row, const REAL *w)
{
    double mean = p->mean ? p->mean[row] : 0, rstd = p->rstd[row], s, q, c = (double)p->c;
    REAL m = (REAL)mean;
    int64_t at = row * p->c;
    K(row_products)((const REAL *)p->x + at, (const REAL *)p->dy + at, w, m, p->c, &s, &q);
    q = (q - (mean - m) * s) * rstd;
    return (K(row_t)){m, (REAL)rstd, (REAL)((m - mean) * rstd), (REAL)(p->mean ? -s / c : 0), (REAL)(-q / c)};
}

/* dx of one row or of four, and what they add to dw and db. */
#define X(k) const REAL x##k = (x[j + k * c] - t[k].m) * t[k].r + t[k].shift, g##k = dy[j + k * c];
#define DX(k) dx[j + k * c] = t[k].r * (g##k * w[j] + (x##k * t[k].second + t[k].first));
static void K(one_row)(REAL *restrict dx, REAL *restrict dw, REAL *restrict db, const REAL *restrict x,
                       const REAL *restrict dy, const REAL *restrict w, const K(row_t) *restrict t, int64_t c)
{
    LOOP(j, c)
    {
        X(0)
        dw[j] += g0 * x0;
        db[j] += g0;
        DX(0)
    }
}

static void K(four_rows)(REAL *restrict dx, REAL *restrict dw, REAL *restrict db, const REAL *restrict x,
                         const REAL *restrict dy, const REAL *restrict w, const K(row_t) *restrict t, int64_t c)
{
    FREE_LOOP(j, c)
    {
        X(0) X(1) X(2) X(3)
        dw[j] += (g0 * x0 + g1 * x1) + (g2 * x2 + g3 * x3);
        db[j] += (g0 + g1) + (g2 + g3);
        DX(0) DX(1) DX(2) DX(3)
    }
}

/* dx = rstd (dy w - Σ dy w / c - x^ Σ dy w x^ / c); a unit is a part of the rows, which leaves Σ dy x^ and Σ dy. */
static void K(layer_norm_backward)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    int64_t c = ((const args_t *)args)->c;
    REAL *dw = scratch, *db = dw + c, *buffer = db + 2 * c;
    const REAL *w = K(given)(((const args_t *)args)->w, db + c, c, 1);
    EACH_UNIT(p->parts)
    {
        int64_t last = least(p->rows, (u + 1) * p->part), run = 0;
        double *sums = p->partial + 2 * u * c;
        memset(sums, 0, 2 * (size_t)c * sizeof *sums);
        memset(dw, 0, 2 * (size_t)c * sizeof *dw);
        for (int64_t row = u * p->part; row < last;) {
            K(row_t) t[4];
            int64_t some = last - row >= 4 ? 4 : 1, at = row * c;
            for (int64_t k = 0; k < some; k++)
                t[k] = K(row_of)(p, row + k, w);
            REAL *restrict dx = p->stream ? buffer : (REAL *)p->y + at;
            (some == 4 ? K(four_rows) : K(one_row))(dx, dw, db, (const REAL *)p->x + at, (const REAL *)p->dy + at, w, t, c);
            if (p->more) {
                const REAL *restrict more = (const REAL *)p->more + at;
                FREE_LOOP(j, some * c) dx[j] += more[j];
            }
            if (p->stream)
                nnrt_stream((char *)((REAL *)p->y + at), (const char *)dx, some * c * (int64_t)sizeof *dx);
            row += some;
            run += some;
            if (run >= NNRT_NORM_RUN || row == last) {
                FREE_LOOP(j, 2 * c)
                {
                    sums[j] += dw[j];
                    dw[j] = 0;
                }
                run = 0;
            }
        }
    }
    if (((const args_t *)args)->stream)
        nnrt_stream_end();
}

static void K(finish_layer)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    EACH_UNIT(p->c)
    {
        double q = 0, s = 0;
        for (int64_t k = 0; k < p->parts; k++) {
            q += p->partial[2 * k * p->c + u];
            s += p->partial[(2 * k + 1) * p->c + u];
        }
        if (p->dw)
            ((REAL *)p->dw)[u] = (REAL)q;
        if (p->db)
            ((REAL *)p->db)[u] = (REAL)s;
    }
}

#undef T
#undef G
#undef ADD
#undef ROW_SUMS
#undef NO_GRADIENT
#undef WEIGHTED
#undef X
#undef DX
#undef VALUE
#undef ABOVE
#undef SLOPE
#undef SLOPE_ABOVE
#undef PASS
#undef PIECES
#undef FORWARD
#undef BACKWARD
#undef EACH_COLUMN

#endif
