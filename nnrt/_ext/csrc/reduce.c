/* Reductions. This file includes itself once per dtype; REAL is the dtype. */
#ifndef REAL

#include <math.h>
#include <string.h>

#include "reduce.h"
#include "stream.h"

/* Rows whose extremes are looked for in four places, or four at a time: not on CPUs of before
 * 2013, where it takes twice the code. */
#if defined(__AVX__)
#define LONG(n) ((n) >= 4 * RUN)
#define WIDE(rows) rows
#else
#define LONG(n) 0
#define WIDE(rows) (0 ? rows : NULL)
#endif

typedef nnrt_reduce_args args_t;

/* One unit of a launch; see reduce.h. */
typedef struct {
    int64_t o, part, row, rows, col, cols;
} unit_t;

static inline unit_t unit_of(const args_t *p, int64_t u)
{
    unit_t t;
    if (p->blocks == 1 && p->parts == 1) /* no division: rows may be short */
        return (unit_t){u, 0, 0, p->n, 0, p->inner};
    t.col = u % p->blocks * p->cols;
    t.part = u / p->blocks % p->parts;
    t.o = u / p->blocks / p->parts;
    t.row = t.part * p->rows;
    t.rows = p->n - t.row < p->rows ? p->n - t.row : p->rows;
    t.cols = p->inner - t.col < p->cols ? p->inner - t.col : p->cols;
    return t;
}

static inline int64_t units_end(const args_t *p, int64_t end)
{
    int64_t units = p->outer * p->parts * p->blocks;
    return end * p->group < units ? end * p->group : units;
}

/* Short rows are read several at a time, as one row of `times` copies of the columns. */
static inline int64_t times_of(const args_t *p, int64_t rows)
{
    int64_t times = p->blocks == 1 ? NNRT_REDUCE_COLS / p->inner : 1;
    return times < rows ? times : rows;
}

#if defined(__AVX512F__) /* sums and extremes of rows; the rest is AVX2's */

#include <immintrin.h>

/* STRETCH: elements that are added up in float, 128 to a lane. AHEAD: 16 kB, beyond what the hardware fetches by
 * itself, which pays from LARGE elements on. */
enum { CHAINS = 4, BLOCK = 16 * CHAINS, LEAST = 3 * BLOCK, STRETCH = 8192, AHEAD = 4096, LARGE = 2 << 20 };
typedef enum { SUM, MAX, MIN } fold;

/* Sums come from three places at once, an instruction a line; extremes, which take three, from one, asking ahead. */
#define STREAMS(f) (f == SUM ? 3 : 1)
#define EACH(k, count) _Pragma("GCC unroll 8") for (int k = 0; k < (count); k++)
#define EACH_STREAM(j, f) EACH(j, 3) if (j < STREAMS(f)) /* gcc unrolls what ends at a constant */

INLINE __m512 with(fold f, __m512 v, __m512 s)
{
    return f == SUM ? _mm512_add_ps(v, s) : f == MAX ? _mm512_max_ps(v, s) : _mm512_min_ps(v, s);
}

INLINE double also(fold f, double v, double s)
{
    return f == SUM ? s + v : (f == MAX ? v > s : v < s) | (v != v) ? v : s;
}

INLINE __m512 halves(fold f, __m512 a, __m512 b)
{
    return with(f, _mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xee));
}

INLINE __mmask16 nans(const __m512 *v)
{
    return _mm512_cmp_ps_mask(v[0], v[1], _CMP_UNORD_Q) | _mm512_cmp_ps_mask(v[2], v[3], _CMP_UNORD_Q);
}

/* STREAMS rows of BLOCK elements or more. Loads begin at lines of cache, wherever the rows do, and the order of the
 * additions does not depend on that: the sums of elements BLOCK apart form a ring, which a row enters anywhere, and
 * opposite elements of a ring are added until one is left. */
INLINE void together(double *result, const float *const *x, int64_t n, int64_t ahead, fold f)
{
    const __m512 none = _mm512_set1_ps(f == SUM ? 0 : f == MAX ? -INFINITY : INFINITY);
    const float *at[3];
    int64_t i = BLOCK, off[3], most = 0;
    __m512 s[3][CHAINS], v[CHAINS];
    __mmask16 nan[3];
    EACH_STREAM(j, f) {
        off[j] = (int64_t)((uintptr_t)x[j] % 64 / sizeof(float));
        most = off[j] > most ? off[j] : most;
        at[j] = x[j] - off[j];
        s[j][0] = _mm512_mask_loadu_ps(none, (__mmask16)(0xffff << off[j]), at[j]);
        EACH(k, CHAINS - 1)
            s[j][k + 1] = _mm512_loadu_ps(at[j] + 16 * (k + 1));
        nan[j] = nans(s[j]);
        EACH(k, CHAINS)
            if (f != SUM)
                __builtin_prefetch(at[j] + 16 * k + ahead);
    }
    for (; i + BLOCK <= n; i += BLOCK)
        EACH_STREAM(j, f) {
            EACH(k, CHAINS) {
                if (f != SUM)
                    __builtin_prefetch(at[j] + i + 16 * k + ahead);
                v[k] = _mm512_loadu_ps(at[j] + i + 16 * k);
                s[j][k] = with(f, v[k], s[j][k]);
            }
            nan[j] |= nans(v);
        }
    for (; i < n + most; i += BLOCK)
        EACH(k, CHAINS) {
            if (i + 16 * k >= n + most)
                break;
            EACH_STREAM(j, f) {
                const int64_t left = n + off[j] - i - 16 * k;
                const __mmask16 some = (__mmask16)(left > 15 ? 0xffff : left < 0 ? 0 : (1 << left) - 1);
                v[0] = _mm512_mask_loadu_ps(none, some, at[j] + i + 16 * k);
                s[j][k] = with(f, v[0], s[j][k]);
                nan[j] |= _mm512_cmp_ps_mask(v[0], v[0], _CMP_UNORD_Q);
            }
        }
    EACH_STREAM(j, f)
        s[j][0] = with(f, with(f, s[j][0], s[j][2]), with(f, s[j][1], s[j][3]));
    __m512 a = halves(f, s[0][0], s[STREAMS(f) / 2][0]), b = halves(f, s[STREAMS(f) - 1][0], s[STREAMS(f) - 1][0]);
    a = with(f, _mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd));
    a = with(f, a, _mm512_permute_ps(a, 0x4e));
    a = with(f, a, _mm512_permute_ps(a, 0xb1));
    EACH_STREAM(j, f)
        result[j] = f != SUM && nan[j] ? NAN : a[4 * j];
}

typedef void together_fn(double *, const float *const *, int64_t, int64_t);

/* One row, in as many places. */
INLINE double row(const float *x, int64_t n, int64_t ahead, fold f, together_fn *all)
{
    const int64_t far = n < LEAST ? 0 : n / STREAMS(f);
    double s = f == SUM ? 0 : f == MAX ? -INFINITY : INFINITY, part[3];
    for (int64_t i = 0, stop; i < far; i = stop) {
        const float *from[3];
        stop = far - i < STRETCH + BLOCK ? far : i + STRETCH;
        EACH_STREAM(j, f)
            from[j] = x + j * far + i;
        all(part, from, stop - i, ahead);
        EACH_STREAM(j, f)
            s = also(f, part[j], s);
    }
    for (int64_t i = STREAMS(f) * far; i < n; i++)
        s = also(f, x[i], s);
    return s;
}

/* Units first..stop-1. Which way a row goes depends on shapes alone. */
INLINE void rows(const args_t *p, int64_t first, int64_t stop, fold f, together_fn *all)
{
    const int64_t n = p->n, ahead = p->outer * n < LARGE ? 0 : AHEAD;
    const float *x = p->x;
    float *y = p->y;
    if (p->outer < STREAMS(f) || n > STRETCH) {
        for (; first < stop; first++) {
            const unit_t t = unit_of(p, first);
            const double s = row(x + t.o * n + t.row, t.rows, ahead, f, all);
            if (p->parts > 1)
                p->partial[t.o * p->parts + t.part] = s;
            else
                y[t.o] = (float)(f == SUM ? s / p->divisor : s);
        }
        return;
    }
    for (const int64_t far = (stop - first + STREAMS(f) - 1) / STREAMS(f), end = first + far; first < end; first++) {
        const float *from[3];
        double s[3];
        int64_t to[3];
        EACH_STREAM(j, f) {
            to[j] = first + j * far < stop ? first + j * far : stop - 1;
            from[j] = x + to[j] * n;
        }
        all(s, from, n, ahead);
        EACH_STREAM(j, f)
            y[to[j]] = (float)(f == SUM ? s[j] / p->divisor : s[j]);
    }
}

#define ROWS(name, F)                                                             \
    static __attribute__((noinline)) void name##_together(double *s, const float *const *x, int64_t n, int64_t ahead) \
    {                                                                             \
        together(s, x, n, ahead, F);                                              \
    }                                                                             \
    static void name##_f32(const void *args, int64_t begin, int64_t end, void *scratch) \
    {                                                                             \
        const args_t *p = args;                                                   \
        if (p->inner == 1 && p->n >= LEAST)                                       \
            rows(p, begin * p->group, units_end(p, end), F, name##_together);     \
        else                                                                      \
            nnrt_reduce_avx2.name[NNRT_F32].fn(args, begin, end, scratch);        \
    }
ROWS(sum, SUM)
ROWS(amax, MAX)
ROWS(amin, MIN)

#define ENTRY(name) .name = {{"reduce/" #name "/f32/avx512", name##_f32}}
const nnrt_reduce_table NNRT_SYM(reduce) = {ENTRY(sum), ENTRY(amax), ENTRY(amin)};

#else

#define REAL float
#define INDEX int32_t
#define K(name) name##_f32
#include "reduce.c"
#undef REAL
#undef INDEX
#undef K
#define REAL double
#define INDEX int64_t
#define K(name) name##_f64
#include "reduce.c"

#define ENTRY(name)                                                              \
    .name = {{"reduce/" #name "/f32/" NNRT_STR(NNRT_ISA), name##_f32},           \
             {"reduce/" #name "/f64/" NNRT_STR(NNRT_ISA), name##_f64}}

const nnrt_reduce_table NNRT_SYM(reduce) = {
    ENTRY(sum), ENTRY(norm1), ENTRY(norm2), ENTRY(count), ENTRY(squares), ENTRY(prod), ENTRY(amax), ENTRY(amin),
    ENTRY(finish_sum), ENTRY(finish_norm2), ENTRY(finish_mean), ENTRY(finish_var), ENTRY(finish_prod),
    ENTRY(finish_amax), ENTRY(finish_amin),
    ENTRY(var), ENTRY(max_at), ENTRY(min_at),
    ENTRY(amax_backward), ENTRY(var_backward), ENTRY(norm1_backward), ENTRY(norm2_backward),
    ENTRY(select_backward), ENTRY(prod_backward),
    ENTRY(cumsum), ENTRY(cumprod), ENTRY(cumprod_backward), ENTRY(cummax), ENTRY(cummin),
};

#endif

#else

#include "rows.h"

/* ---- sums ---- */

/* Memory is read 1.3 to 1.4 times as fast in four places far apart as in one: several pages then come at once. */
#define FOUR_ROWS(name)                                                           \
    /* The totals of four rows x[0..3] of n elements, m[0..3]. */                 \
    static __attribute__((noinline)) void K(name##_four)(                         \
        double *restrict sum, const REAL *const *x, int64_t n, const REAL *m)     \
    {                                                                             \
        const REAL *x0 = x[0], *x1 = x[1], *x2 = x[2], *x3 = x[3];                \
        const REAL m0 = m[0], m1 = m[1], m2 = m[2], m3 = m[3];                    \
        int64_t i = 0;                                                            \
        sum[0] = sum[1] = sum[2] = sum[3] = 0;                                    \
        while (n - i >= LANES) {                                                  \
            K(vec) a0 = {0}, a1 = a0, a2 = a0, a3 = a0, b0 = a0, b1 = a0, b2 = a0, b3 = a0; \
            int64_t stop = n - i < RUN / 4 ? n : i + RUN / 4;                     \
            for (; i + 2 * LANES <= stop; i += 2 * LANES) {                       \
                a0 += OF(name, 0, 0), b0 += OF(name, 0, LANES);                   \
                a1 += OF(name, 1, 0), b1 += OF(name, 1, LANES);                   \
                a2 += OF(name, 2, 0), b2 += OF(name, 2, LANES);                   \
                a3 += OF(name, 3, 0), b3 += OF(name, 3, LANES);                   \
            }                                                                     \
            if (i + LANES <= stop) {                                              \
                a0 += OF(name, 0, 0), a1 += OF(name, 1, 0), a2 += OF(name, 2, 0), a3 += OF(name, 3, 0); \
                i += LANES;                                                       \
            }                                                                     \
            sum[0] += K(total)(a0 + b0), sum[1] += K(total)(a1 + b1);             \
            sum[2] += K(total)(a2 + b2), sum[3] += K(total)(a3 + b3);             \
        }                                                                         \
        for (; i < n; i++)                                                        \
            for (int k = 0; k < 4; k++)                                           \
                sum[k] += K(name##_f)(x[k][i], 0, m[k]);                          \
    }                                                                             \
    /* The total of one row, however long. */                                     \
    static __attribute__((noinline)) double K(name##_long)(const REAL *x, int64_t n, REAL m)                \
    {                                                                             \
        double sum = 0, part[4];                                                  \
        for (; n >= 4 * RUN; n -= 4 * RUN, x += 4 * RUN) {                        \
            K(name##_four)(part, (const REAL *[]){x, x + RUN, x + 2 * RUN, x + 3 * RUN}, RUN, (REAL[]){m, m, m, m}); \
            sum += (part[0] + part[1]) + (part[2] + part[3]);                     \
        }                                                                         \
        return sum + K(name##_row)(x, x, n, m);                                   \
    }
#define OF(name, k, at) K(name##_v)(K(load)(x##k + i + at), (K(vec)){0}, m##k)

/* total[i] = Σ_r f(x[r, i], m[i]) over rows of w <= COLS columns; rows of four quarters at a
 * time into a buffer in REAL, the buffer into the double totals every RUN rows. */
#define COLUMN_SUM(name)                                                          \
    static void K(name##_cols)(double *restrict total, const REAL *restrict x,    \
                               int64_t rows, int64_t stride, int64_t w, const REAL *restrict m) \
    {                                                                             \
        REAL s[NNRT_REDUCE_COLS];                                                 \
        memset(total, 0, (size_t)w * sizeof *total);                              \
        for (int64_t from = 0; from < rows; from += NNRT_REDUCE_RUN) {                    \
            int64_t r = from, stop = from + NNRT_REDUCE_RUN < rows ? from + NNRT_REDUCE_RUN : rows; \
            memset(s, 0, (size_t)w * sizeof *s);                                  \
            const int64_t far = (stop - from) / 4;                                \
            for (; r < from + far; r++) {                                         \
                const REAL *a = x + r * stride, *b = a + far * stride, *c = b + far * stride, *d = c + far * stride; \
                for (int64_t i = 0; i < w; i++)                                   \
                    s[i] += (K(name##_f)(a[i], 0, m[i]) + K(name##_f)(b[i], 0, m[i]))  \
                          + (K(name##_f)(c[i], 0, m[i]) + K(name##_f)(d[i], 0, m[i])); \
            }                                                                     \
            r += 3 * far;                                                         \
            for (; r < stop; r++)                                                 \
                for (int64_t i = 0; i < w; i++)                                   \
                    s[i] += K(name##_f)(x[r * stride + i], 0, m[i]);                 \
            for (int64_t i = 0; i < w; i++)                                       \
                total[i] += s[i];                                                 \
        }                                                                         \
    }

/* The totals of one unit; m points at the unit's columns. */
#define UNIT_SUM(name, ROW)                                                       \
    COLUMN_SUM(name)                                                              \
    static void K(name##_unit)(double *total, const args_t *p, unit_t t, const REAL *m) \
    {                                                                             \
        const REAL *x = (const REAL *)p->x + (t.o * p->n + t.row) * p->inner + t.col; \
        if (p->inner == 1) {                                                      \
            *total = ROW;                                                         \
            return;                                                               \
        }                                                                         \
        int64_t times = times_of(p, t.rows), w = t.cols, most = t.rows;           \
        if (times < 2) {                                                          \
            K(name##_cols)(total, x, t.rows, p->inner, w, m);                     \
            return;                                                               \
        }                                                                         \
        double wide[NNRT_REDUCE_COLS], rest[NNRT_REDUCE_COLS];                    \
        REAL copies[NNRT_REDUCE_COLS] = {0};                                      \
        most -= most % times;                                                     \
        for (int64_t k = 0; k < times; k++)                                       \
            for (int64_t i = 0; i < w; i++)                                       \
                copies[k * w + i] = m[i];                                         \
        K(name##_cols)(wide, x, most / times, times * w, times * w, copies);      \
        K(name##_cols)(rest, x + most * w, t.rows - most, w, w, m);               \
        for (int64_t i = 0; i < w; i++) {                                         \
            double s = rest[i];                                                   \
            for (int64_t k = 0; k < times; k++)                                   \
                s += wide[k * w + i];                                             \
            total[i] = s;                                                         \
        }                                                                         \
    }

/* y of rows u..stop-1, which are short, four at a time. */
#define FINISH_ROWS(name, FOUR, WITH_M, FINISH)                                         \
    static __attribute__((noinline)) void K(name##_rows)(const args_t *p, int64_t u, int64_t stop)          \
    {                                                                             \
        for (const int64_t far = (stop - u + 3) / 4, last = stop - 1, end = u + far; u < end; u++) { \
            const REAL *x[4];                                                     \
            REAL m[4];                                                            \
            double sum[4];                                                        \
            for (int k = 0; k < 4; k++) {                                         \
                const int64_t row = u + k * far < last ? u + k * far : last;      \
                x[k] = (const REAL *)p->x + row * p->n;                           \
                m[k] = WITH_M ? ((const REAL *)p->v)[row] : 0;                    \
            }                                                                     \
            FOUR(sum, x, p->n, m);                                                \
            for (int k = 0; k < 4; k++) {                                         \
                const double s = sum[k];                                          \
                ((REAL *)p->y)[u + k * far < last ? u + k * far : last] = (REAL)(FINISH); \
            }                                                                     \
        }                                                                         \
    }

/* A kernel whose units end in y, or with several parts in partial. WITH_M: is there an
 * operand v for every column? FINISH: y of the total s. ROW: the total of one row x. ROWS: of many
 * short ones, or NULL. */
#define KERNEL(name, UNIT, WITH_M, ROW, ROWS, FINISH)                             \
    static void K(name)(const void *args, int64_t begin, int64_t end, void *scratch) \
    {                                                                             \
        const args_t *p = args;                                                   \
        static REAL none[NNRT_REDUCE_COLS]; /* zeros; const they would be in the file */ \
        double total[NNRT_REDUCE_COLS];                                           \
        int64_t stop = units_end(p, end), n = p->n;                               \
        void (*const rows)(const args_t *, int64_t, int64_t) = ROWS;              \
        if (rows && p->inner == 1 && p->parts == 1 && p->outer >= 4 && n >= NNRT_REDUCE_SHORT && n <= RUN) { \
            rows(p, begin * p->group, stop);                                      \
            return;                                                               \
        }                                                                         \
        for (int64_t u = begin * p->group; u < stop; u++) {                       \
            if (p->inner == 1 && p->parts == 1) { /* rows may be short */         \
                const REAL *x = (const REAL *)p->x + u * n, m = WITH_M ? ((const REAL *)p->v)[u] : 0; \
                double s = ROW;                                                   \
                (void)m;                                                          \
                ((REAL *)p->y)[u] = (REAL)(FINISH);                               \
                continue;                                                         \
            }                                                                     \
            unit_t t = unit_of(p, u);                                             \
            int64_t at = t.o * p->inner + t.col;                                  \
            const REAL *m = WITH_M ? (const REAL *)p->v + at : none;              \
            if (p->parts > 1) {                                                   \
                UNIT(p->partial + (t.o * p->parts + t.part) * p->inner + t.col, p, t, m); \
                continue;                                                         \
            }                                                                     \
            UNIT(total, p, t, m);                                                 \
            for (int64_t i = 0; i < t.cols; i++) {                                \
                double s = total[i];                                              \
                ((REAL *)p->y)[at + i] = (REAL)(FINISH);                          \
            }                                                                     \
        }                                                                         \
    }

ROW_SUM(sum, v, v)
ROW_SUM(norm1, K(vabs)(v), v < 0 ? -v : v)
ROW_SUM(count, K(pick)((v == m) | ((v != v) & (m != m ? -1 : 0)), (K(vec)){0} + 1, (K(vec)){0}),
        (v == m) | ((v != v) & (m != m)))
ROW_SUM(squares, (v - m) * (v - m), (v - m) * (v - m))
FOUR_ROWS(sum)
FOUR_ROWS(squares)
UNIT_SUM(sum, K(sum_long)(x, t.rows, *m))
UNIT_SUM(norm1, K(norm1_row)(x, x, t.rows, *m))
UNIT_SUM(count, K(count_row)(x, x, t.rows, *m))
UNIT_SUM(squares, K(squares_long)(x, t.rows, *m))
FINISH_ROWS(sum, K(sum_four), 0, s / p->divisor)
FINISH_ROWS(norm2, K(squares_four), 0, sqrt(s))
FINISH_ROWS(squares, K(squares_four), 1, s)
KERNEL(sum, K(sum_unit), 0, K(sum_long)(x, n, m), K(sum_rows), s / p->divisor)
KERNEL(norm1, K(norm1_unit), 0, K(norm1_row)(x, x, n, m), NULL, s)
KERNEL(norm2, K(squares_unit), 0, K(squares_long)(x, n, m), K(norm2_rows), sqrt(s)) /* around m = 0 */
KERNEL(count, K(count_unit), 1, K(count_row)(x, x, n, m), NULL, s)
KERNEL(squares, K(squares_unit), 1, K(squares_long)(x, n, m), K(squares_rows), s)

/* ---- products ---- */

/* Folds x over rows and columns with F(v, s); products in double, whose range float leaves early. */
#define UNIT_FOLD(name, TYPE, START, F, ROW)                                      \
    static void K(name##_unit)(double *total, const args_t *p, unit_t t, const REAL *m) \
    {                                                                             \
        const REAL *x = (const REAL *)p->x + (t.o * p->n + t.row) * p->inner + t.col; \
        (void)m;                                                                  \
        if (p->inner == 1) {                                                      \
            *total = (double)ROW(x, t.rows);                                      \
            return;                                                               \
        }                                                                         \
        int64_t times = times_of(p, t.rows), w = t.cols;                          \
        TYPE s[NNRT_REDUCE_COLS];                                                 \
        if (times < 1)                                                            \
            times = 1;                                                            \
        int64_t wide = times * w, groups = t.rows / times;                        \
        for (int64_t i = 0; i < wide; i++)                                        \
            s[i] = START;                                                         \
        for (int64_t r = 0; r < groups; r++)                                      \
            for (int64_t i = 0; i < wide; i++)                                    \
                s[i] = F(x[r * (times > 1 ? wide : p->inner) + i], s[i]);         \
        for (int64_t r = groups * times; r < t.rows; r++)                         \
            for (int64_t i = 0; i < w; i++)                                       \
                s[i] = F(x[r * p->inner + i], s[i]);                              \
        for (int64_t k = 1; k < times; k++)                                       \
            for (int64_t i = 0; i < w; i++)                                       \
                s[i] = F(s[k * w + i], s[i]);                                     \
        for (int64_t i = 0; i < w; i++)                                           \
            total[i] = (double)s[i];                                              \
    }

static inline double K(prod_f)(double v, double s) { return s * v; }

static double K(prod_row)(const REAL *restrict x, int64_t n)
{
    enum { WIDE = 16 };
    double s[WIDE], total = 1;
    int64_t i = 0;
    for (int j = 0; j < WIDE; j++)
        s[j] = 1;
    for (; i + WIDE <= n; i += WIDE)
        for (int j = 0; j < WIDE; j++)
            s[j] *= x[i + j];
    for (; i < n; i++)
        total *= x[i];
    for (int j = 0; j < WIDE; j++)
        total *= s[j];
    return total;
}

UNIT_FOLD(prod, double, 1, K(prod_f), K(prod_row))
KERNEL(prod, K(prod_unit), 0, K(prod_row)(x, n), NULL, s)

/* ---- folding the parts ---- */

/* y[o, i] = FINISH of s, the fold of partial[o, :, i]; a task is `group` values of o, i. */
#define FINISH(name, START, F, STORE)                                             \
    static void K(finish_##name)(const void *args, int64_t begin, int64_t end, void *scratch) \
    {                                                                             \
        const args_t *p = args;                                                   \
        REAL *y = p->y;                                                           \
        int64_t stop = end * p->group;                                            \
        if (stop > p->outer * p->inner)                                           \
            stop = p->outer * p->inner;                                           \
        for (int64_t at = begin * p->group; at < stop; at++) {                    \
            const double *part = p->partial + at / p->inner * p->parts * p->inner + at % p->inner; \
            double s = START;                                                     \
            for (int64_t k = 0; k < p->parts; k++)                                \
                s = F(part[k * p->inner], s);                                     \
            STORE;                                                                \
        }                                                                         \
    }

static inline double K(add_f)(double v, double s) { return s + v; }
static inline double K(larger_f)(double v, double s) { return (v > s) | (v != v) ? v : s; }
static inline double K(smaller_f)(double v, double s) { return (v < s) | (v != v) ? v : s; }

/* Σ (x - m)² with m rounded to REAL exceeds Σ (x - mean)² by n (mean - m)². */
static inline double K(squares_at)(const args_t *p, double s, double mean, REAL m)
{
    double d = mean - m, rest = (double)p->n * d * d;
    return s > rest || s != s ? s - (isfinite(rest) ? rest : 0) : 0;
}

FINISH(sum, 0, K(add_f), y[at] = (REAL)(s / p->divisor))
FINISH(norm2, 0, K(add_f), y[at] = (REAL)sqrt(s))
FINISH(mean, 0, K(add_f), {
    p->wide[at] = s / (double)p->n;
    y[at] = (REAL)p->wide[at];
})
FINISH(var, 0, K(add_f),
       y[at] = (REAL)(K(squares_at)(p, s, p->wide[at], ((const REAL *)p->v)[at]) / p->divisor))
FINISH(prod, 1, K(prod_f), y[at] = (REAL)s)
FINISH(amax, -(double)INFINITY, K(larger_f), y[at] = (REAL)s)
FINISH(amin, (double)INFINITY, K(smaller_f), y[at] = (REAL)s)

/* mean and variance of units that are not cut: the second pass finds the rows in cache. */
static void K(var)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    const args_t *p = args;
    double total[NNRT_REDUCE_COLS], mean[NNRT_REDUCE_COLS];
    for (int64_t u = begin * p->group; u < units_end(p, end); u++) {
        unit_t t = unit_of(p, u);
        int64_t at = t.o * p->inner + t.col;
        REAL *y = (REAL *)p->y + at, *m = (REAL *)p->second + at;
        K(sum_unit)(mean, p, t, m);
        for (int64_t i = 0; i < t.cols; i++)
            m[i] = (REAL)(mean[i] /= (double)p->n);
        K(squares_unit)(total, p, t, m);
        for (int64_t i = 0; i < t.cols; i++)
            y[i] = (REAL)(K(squares_at)(p, total[i], mean[i], m[i]) / p->divisor);
    }
}

#include "reduce_extremes.h"
#include "reduce_backward.h"
#include "reduce_along.h"

#undef FINISH
#undef KERNEL
#undef FINISH_ROWS
#undef FOUR_ROWS
#undef OF
#undef UNIT_FOLD
#undef UNIT_SUM
#undef COLUMN_SUM

#endif
