/* Softmax and its relatives. This file includes itself once per dtype; REAL is the dtype. */
#ifndef REAL

#include <math.h>

#include "softmax.h"
#include "vmath.h"
#include "vmath_wide.h"

typedef nnrt_softmax_args args_t;

enum { INF_SUMS = 1 };

#define EXP_WIDE WIDE_HERE
#define REAL float
#define K(name) name##_f32
#include "softmax.c"
#undef EXP_WIDE
#undef REAL
#undef K
#define EXP_WIDE 0
#define REAL double
#define K(name) name##_f64
#include "softmax.c"

#define ENTRY(name)                                                              \
    .name = {{"softmax/" #name "/f32/" NNRT_STR(NNRT_ISA), name##_f32},          \
             {"softmax/" #name "/f64/" NNRT_STR(NNRT_ISA), name##_f64}}

const nnrt_softmax_table NNRT_SYM(softmax) = {
    ENTRY(softmax),   ENTRY(softmax_backward), ENTRY(log_softmax), ENTRY(log_softmax_backward),
    ENTRY(logsumexp), ENTRY(logsumexp_backward),
};

#else

#include "rows.h"
#include "exprows.h"

/* for (the units of the tasks): o, first column, columns w, offset `at` of the unit in [outer, n, inner] */
#define UNITS                                                                     \
    const args_t *p = args;                                                       \
    int64_t n = p->n, step = p->inner, units = p->outer * p->blocks;              \
    int64_t last = end * p->group < units ? end * p->group : units;               \
    for (int64_t u = begin * p->group; u < last; u++)
#define UNIT                                                                      \
    int64_t o = p->blocks == 1 ? u : u / p->blocks, col = (u - o * p->blocks) * p->cols; \
    int64_t w = p->inner - col < p->cols ? p->inner - col : p->cols;              \
    int64_t at = o * n * step + col;                                              \
    (void)w

static void K(softmax)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    UNITS {
        UNIT;
        const REAL *restrict x = (const REAL *)p->x + at;
        REAL *restrict y = (REAL *)p->y + at;
        if (step == 1) {
            REAL scale = (REAL)(1 / K(exp_keep)(y, x, n, K(top_row)(x, n), y + n));
            for (int64_t i = 0; i < n; i++)
                y[i] *= scale;
            continue;
        }
        REAL m[NNRT_SOFTMAX_COLS];
        double s[NNRT_SOFTMAX_COLS];
        K(top_cols)(m, x, n, step, w);
        K(exp_cols)(s, y, x, m, n, step, w);
        for (int64_t i = 0; i < w; i++)
            m[i] = (REAL)(1 / s[i]);
        for (int64_t r = 0; r < n; r++)
            for (int64_t i = 0; i < w; i++)
                y[r * step + i] *= m[i];
    }
}

static void K(log_softmax)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    UNITS {
        UNIT;
        const REAL *restrict x = (const REAL *)p->x + at;
        REAL *restrict y = (REAL *)p->y + at;
        if (step == 1) {
            REAL m = K(top_row)(x, n), l = (REAL)log(K(exp_sum)(NULL, x, n, m, y));
            for (int64_t i = 0; i < n; i++)
                y[i] = (x[i] - m) - l;
            continue;
        }
        REAL m[NNRT_SOFTMAX_COLS], l[NNRT_SOFTMAX_COLS];
        double s[NNRT_SOFTMAX_COLS];
        K(top_cols)(m, x, n, step, w);
        K(exp_cols)(s, NULL, x, m, n, step, w);
        for (int64_t i = 0; i < w; i++)
            l[i] = (REAL)log_f64(s[i]);
        for (int64_t r = 0; r < n; r++)
            for (int64_t i = 0; i < w; i++)
                y[r * step + i] = (x[r * step + i] - m[i]) - l[i];
    }
}

/* The same over columns, in double: few rows of them are in cache at a time. */
#define COLUMN_SUM(name)                                                          \
    static void K(name##_cols)(REAL *restrict sums, const REAL *restrict a, const REAL *restrict b, \
                               int64_t n, int64_t step, int64_t w)                \
    {                                                                             \
        double s[NNRT_SOFTMAX_COLS];                                              \
        for (int64_t i = 0; i < w; i++)                                           \
            s[i] = 0;                                                             \
        for (int64_t r = 0; r < n; r++)                                           \
            for (int64_t i = 0; i < w; i++)                                       \
                s[i] += K(name##_f)(a[r * step + i], b[r * step + i], 0);         \
        for (int64_t i = 0; i < w; i++)                                           \
            sums[i] = (REAL)s[i];                                                 \
    }

#define BY_ELEMENT(EXPR)                                                          \
    for (int64_t i = 0; i < n; i++) {                                             \
        REAL g = dy[i], v = y[i];                                                 \
        dx[i] = EXPR;                                                             \
    }
#define BY_EXP(EXPR) K(add_exp)(dx, dy, y, -s, 0, n);
/* Both backward passes: dx = EXPR of g = dy, v = y and s = the column's sum. */
#define BACKWARD(name, SUM, EXPR, ROW)                                            \
    static void K(name)(const void *args, int64_t begin, int64_t end, void *scratch) \
    {                                                                             \
        UNITS {                                                                   \
            UNIT;                                                                 \
            const REAL *restrict y = (const REAL *)p->x + at, *restrict dy = (const REAL *)p->dy + at; \
            REAL *restrict dx = (REAL *)p->y + at;                                \
            if (step == 1) {                                                      \
                REAL s = (REAL)K(SUM##_row)(dy, y, n, 0);                         \
                ROW(EXPR)                                                         \
                continue;                                                         \
            }                                                                     \
            REAL sums[NNRT_SOFTMAX_COLS];                                         \
            K(SUM##_cols)(sums, dy, y, n, step, w);                               \
            for (int64_t r = 0; r < n; r++)                                       \
                for (int64_t i = 0; i < w; i++) {                                 \
                    REAL g = dy[r * step + i], v = y[r * step + i], s = sums[i];  \
                    dx[r * step + i] = EXPR;                                      \
                }                                                                 \
        }                                                                         \
    }

ROW_SUM(dot, v * w, v * w)
ROW_SUM(plain, v, v)
COLUMN_SUM(dot)
COLUMN_SUM(plain)
BACKWARD(softmax_backward, dot, v * (g - s), BY_ELEMENT)
BACKWARD(log_softmax_backward, plain, g - K(exp_neg)(v) * s, BY_EXP)
#undef BY_ELEMENT
#undef BY_EXP
#undef COLUMN_SUM
#undef BACKWARD

static void K(logsumexp)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    UNITS {
        UNIT;
        REAL *y = (REAL *)p->y + o * step + col;
        double lse[NNRT_SOFTMAX_COLS];
        K(lse_of)(lse, (const REAL *)p->x + at, n, step, w);
        for (int64_t i = 0; i < w; i++)
            y[i] = (REAL)lse[i];
    }
}

static void K(logsumexp_backward)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    UNITS {
        UNIT;
        const REAL *restrict x = (const REAL *)p->x + at;
        const REAL *restrict dy = (const REAL *)p->dy + o * step + col;
        const REAL *restrict lse = (const REAL *)p->lse + o * step + col;
        REAL *restrict dx = (REAL *)p->y + at;
        if (step == 1) {
            K(add_exp)(dx, NULL, x, *dy, *lse, n);
            continue;
        }
        for (int64_t r = 0; r < n; r++)
            for (int64_t i = 0; i < w; i++)
                dx[r * step + i] = dy[i] * K(exp_neg)(x[r * step + i] - lse[i]);
    }
}

#undef UNITS
#undef UNIT

#endif
