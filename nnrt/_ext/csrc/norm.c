/* Normalisation. This file includes itself once per dtype; REAL is the dtype. */
#ifndef REAL

#include <math.h>
#include <string.h>

#include "norm.h"
#include "norm_wide.h"
#include "stream.h"

typedef nnrt_norm_args args_t;

#define LOOP(i, n) for (int64_t i = 0; i < (n); i++)
/* The same over pointers that cannot meet, though the compiler does not see it. */
#define FREE_LOOP(i, n) _Pragma("GCC ivdep") LOOP(i, n)
#define LINE __attribute__((aligned(64)))
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

#define EACH_DTYPE "norm.c"
#include "each_dtype.h"

static void rsqrt(double *v, int64_t c, double eps)
{
    FREE_LOOP(i, c) v[i] = 1 / sqrt(v[i] + eps);
}

#define ENTRY(name)                                                              \
    .name = {{"norm/" #name "/f32/" NNRT_STR(NNRT_ISA), name##_f32},             \
             {"norm/" #name "/f64/" NNRT_STR(NNRT_ISA), name##_f64}}

const nnrt_norm_table NNRT_SYM(norm) = {
    ENTRY(moments), ENTRY(finish_moments), ENTRY(normalize),
    ENTRY(backward_sums), ENTRY(finish_sums), ENTRY(finish_weights), ENTRY(normalize_backward),
    ENTRY(layer_norm), ENTRY(layer_norm_backward), ENTRY(finish_layer),
    .move = {move_f32, move_f64}, .rsqrt = rsqrt,
};

#else

#include "rows.h"

#include "norm_channels.h"
#include "norm_layer.h"

#endif
