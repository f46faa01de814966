/* Gathering and scattering. This file includes itself once per dtype: REAL is the dtype, BITS the
 * unsigned integer of its width (what is only moved is moved as bits). */
#ifndef REAL

#include <string.h>

#include "index.h"
#include "stream.h"
#include "widen.h"

enum { STRIP = 32 }; /* columns that a segment's sums take at a time */
/* Unrolled, so that sums are registers. */
#define EACH_REGISTER _Pragma("GCC unroll 16") for (int i = 0; i < STRIP; i += LANES)

/* Rows asked for ahead, by their size: 4 kB. */
static inline int64_t ahead_of(int64_t bytes) { return bytes < 1024 ? 4096 / (bytes + 1) + 1 : 4; }

static void take(const void *args, int64_t begin, int64_t end, void *s)
{
    const nnrt_index_args *p = args;
    int64_t total = p->o * p->n, stop = end * p->rows, each = p->each, ahead = ahead_of(each);
    if (stop > total) stop = total;
    for (int64_t i = begin * p->rows; i < stop; i++) {
        const int64_t o = i / p->n, n = i - o * p->n, from = p->index[n];
        const char *rows = (const char *)p->x + o * p->r * each;
        char *out = (char *)p->out + i * each;
        if (p->far && n + ahead < p->n)
            for (int64_t j = 0; j < each; j += 64)
                __builtin_prefetch(rows + p->index[n + ahead] * each + j);
        if (from < 0)
            memset(out, 0, (size_t)each);
        else if (p->stream)
            nnrt_stream(out, rows + from * each, each);
        else
            memcpy(out, rows + from * each, (size_t)each);
    }
    if (p->stream)
        nnrt_stream_end();
}

static void check(const void *args, int64_t begin, int64_t end, void *s)
{
    const nnrt_index_args *p = args;
    const uint64_t size = (uint64_t)p->r;
    int64_t last = end * NNRT_INDEX_CHECKED < p->n ? end * NNRT_INDEX_CHECKED : p->n;
    for (int64_t i = begin * NNRT_INDEX_CHECKED; i < last; i += 1024) {
        int64_t stop = i + 1024 < last ? i + 1024 : last;
        int wrong = 0;
        for (int64_t j = i; j < stop; j++)
            wrong |= (uint64_t)p->index[j] >= size; /* negative ones are huge */
        if (!wrong) continue;
        while ((uint64_t)p->index[i] < size) i++;
        int64_t least = *p->ends; /* the first of all tasks' */
        while (i < least && !__atomic_compare_exchange_n(p->ends, &least, i, 1, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
            ;
        return;
    }
}

/* Stable: equal indices keep their order. */
static void counting_sort(const void *args, int64_t begin, int64_t end, void *s)
{
    const nnrt_index_args *p = args;
    int64_t *starts = p->ends;
    memset(starts, 0, (size_t)(p->r + 1) * sizeof *starts);
    for (int64_t k = 0; k < p->n; k++)
        starts[p->index[k] + 1]++;
    for (int64_t r = 0; r < p->r; r++)
        starts[r + 1] += starts[r];
    for (int64_t k = 0; k < p->n; k++)
        p->order[starts[p->index[k]]++] = k;
    memmove(starts + 1, starts, (size_t)p->r * sizeof *starts); /* each start had moved to the next one */
    starts[0] = 0;
}

/* Coordinates of the n bytes of x that are not 0, d each; index: x's sizes. Written
 * before it is known whether they count. */
static void nonzero(const void *args, int64_t begin, int64_t end, void *s)
{
    const nnrt_index_args *p = args;
    const uint8_t *x = p->x;
    const int64_t d = p->d, count = p->n, size = p->index[d - 1];
    int64_t *out = p->out, at[64] = {0};
    for (int64_t k = 0; k < count; x += size) {
        if (d <= 2)
            for (int64_t j = 0; j < size && k < count; j++) {
                out[k * d] = at[0];
                out[k * d + d - 1] = j;
                k += x[j] != 0;
            }
        else
            for (int64_t j = 0; j < size; j++)
                if (x[j]) {
                    for (int64_t a = 0; a < d - 1; a++)
                        out[k * d + a] = at[a];
                    out[k++ * d + d - 1] = j;
                }
        for (int64_t a = d - 2; a >= 0 && ++at[a] == p->index[a]; a--)
            at[a] = 0;
    }
}

#define REAL float
#define BITS uint32_t
#define K(name) name##_f32
#include "index.c"
#undef REAL
#undef BITS
#undef K
#define REAL double
#define BITS uint64_t
#define K(name) name##_f64
#include "index.c"

#define ENTRY(name)                                                         \
    .name = {{"index/" #name "/f32/" NNRT_STR(NNRT_ISA), name##_f32},       \
             {"index/" #name "/f64/" NNRT_STR(NNRT_ISA), name##_f64}}
#define PLAIN(name) .name = {{"index/" #name "/" NNRT_STR(NNRT_ISA), name}}

const nnrt_index_table NNRT_SYM(index) = {
    PLAIN(take),   PLAIN(check),   PLAIN(counting_sort), PLAIN(nonzero),     ENTRY(pick),
    ENTRY(gather), ENTRY(scatter), ENTRY(scatter_add),   ENTRY(segment_sum),
};

#else

/* out[row] = base[row] + sum_k w[k] x[order[k]] over STRIP columns, in registers, or n of them. Sums of 64 are summed
 * up in turn, all in double: the error of a float sum is that of its final rounding. */
static void K(strip)(const nnrt_index_args *p, REAL *out, const REAL *base, const REAL *x, int64_t k, int64_t stop,
                     int64_t ahead)
{
    vec total[STRIP / LANES] = {{0}};
    while (k < stop) {
        vec part[STRIP / LANES] = {{0}};
        for (int64_t until = stop - k > 64 ? k + 64 : stop; k < until; k++) {
            const REAL *row = x + p->index[k] * p->d;
            const double by = p->weights ? (double)((const REAL *)p->weights)[k] : 1;
            if (k + ahead < p->n)
                for (int j = 0; j < STRIP; j += 64 / (int)sizeof(REAL))
                    __builtin_prefetch(x + p->index[k + ahead] * p->d + j);
            EACH_REGISTER
                part[i / LANES] += by * K(widen)(*(const K(load) *)(row + i));
        }
        EACH_REGISTER
            total[i / LANES] += part[i / LANES];
    }
    EACH_REGISTER
    {
        if (base)
            total[i / LANES] += K(widen)(*(const K(load) *)(base + i));
        *(K(load) *)(out + i) = __builtin_convertvector(total[i / LANES], K(load));
    }
}

static void K(narrow)(const nnrt_index_args *p, REAL *out, const REAL *base, const REAL *x, int64_t k, int64_t stop,
                      int64_t n, int64_t ahead)
{
    double total[STRIP] = {0};
    while (k < stop) {
        double part[STRIP] = {0};
        for (int64_t until = stop - k > 64 ? k + 64 : stop; k < until; k++) {
            const REAL *row = x + p->index[k] * p->d;
            const double by = p->weights ? (double)((const REAL *)p->weights)[k] : 1;
            if (k + ahead < p->n)
                __builtin_prefetch(x + p->index[k + ahead] * p->d);
            for (int64_t j = 0; j < n; j++)
                part[j] += by * row[j];
        }
        for (int64_t j = 0; j < n; j++)
            total[j] += part[j];
    }
    if (base) /* not within the loop: a masked load from NULL reads nothing and takes 100 ns */
        for (int64_t j = 0; j < n; j++)
            total[j] += base[j];
    for (int64_t j = 0; j < n; j++)
        out[j] = (REAL)total[j];
}

/* The same for a single column. */
static REAL K(single)(const nnrt_index_args *p, const REAL *base, const REAL *x, int64_t k, int64_t stop)
{
    double total = 0;
    while (k < stop) {
        double part = 0;
        for (int64_t until = stop - k > 64 ? k + 64 : stop; k < until; k++)
            part += p->weights ? (double)((const REAL *)p->weights)[k] * x[p->index[k]] : (double)x[p->index[k]];
        total += part;
    }
    return (REAL)(base ? total + *base : total);
}

static void K(segment)(const nnrt_index_args *p, REAL *out, const REAL *base, const REAL *x, int64_t k, int64_t stop,
                       int64_t c, int64_t ahead)
{
    if (k == stop) {
        if (base)
            memcpy(out, base, (size_t)c * sizeof(REAL));
        else
            memset(out, 0, (size_t)c * sizeof(REAL));
        return;
    }
    if (p->d == 1) {
        *out = K(single)(p, base, x, k, stop);
        return;
    }
    int64_t j = 0;
    for (; j + STRIP <= c; j += STRIP)
        K(strip)(p, out + j, base ? base + j : NULL, x + j, k, stop, ahead);
    if (j < c)
        K(narrow)(p, out + j, base ? base + j : NULL, x + j, k, stop, c - j, ahead);
}

/* A task is a block of rows by a block of columns of one o. */
static void K(segment_sum)(const void *args, int64_t begin, int64_t end, void *s)
{
    const nnrt_index_args *p = args;
    int64_t high = (p->r + p->rows - 1) / p->rows, wide = (p->d + p->columns - 1) / p->columns;
    for (int64_t t = begin; t < end; t++) {
        int64_t o = t / (high * wide), block = t / wide % high, j = t % wide * p->columns;
        int64_t c = p->d - j < p->columns ? p->d - j : p->columns;
        int64_t stop = (block + 1) * p->rows < p->r ? (block + 1) * p->rows : p->r;
        int64_t ahead = 2 * ahead_of(c * (int64_t)sizeof(REAL));
        for (int64_t r = block * p->rows; r < stop; r++) {
            int64_t at = (o * p->r + r) * p->d + j;
            K(segment)(p, (REAL *)p->out + at, p->base ? (const REAL *)p->base + at : NULL,
                       (const REAL *)p->x + o * p->m * p->d + j, p->starts[r], p->starts[r + 1], c, ahead);
        }
    }
}

/* take of single elements. */
static void K(pick)(const void *args, int64_t begin, int64_t end, void *s)
{
    const nnrt_index_args *p = args;
    int64_t total = p->o * p->n, stop = end * p->rows;
    if (stop > total) stop = total;
    for (int64_t i = begin * p->rows; i < stop;) {
        const int64_t o = i / p->n, until = (o + 1) * p->n < stop ? (o + 1) * p->n : stop;
        const BITS *x = (const BITS *)p->x + o * p->r;
        const int64_t *index = p->index - o * p->n;
        for (; i < until; i++)
            ((BITS *)p->out)[i] = index[i] < 0 ? 0 : x[index[i]];
    }
}

static void K(gather)(const void *args, int64_t begin, int64_t end, void *s)
{
    const nnrt_index_args *p = args;
    const int64_t d = p->d, sr = p->stride[1], sd = p->stride[2];
    int64_t total = p->o * p->n, stop = end * p->rows;
    if (stop > total) stop = total;
    for (int64_t i = begin * p->rows; i < stop;) {
        const int64_t o = i / p->n, until = (o + 1) * p->n < stop ? (o + 1) * p->n : stop;
        const BITS *x = (const BITS *)p->x + o * p->stride[0];
        BITS *out = p->out;
        const int64_t *index = p->index;
        if (d == 1)
            for (; i < until; i++)
                out[i] = x[index[i] * sr];
        else
            for (; i < until; i++)
                for (int64_t j = 0; j < d; j++)
                    out[i * d + j] = x[index[i * d + j] * sr + j * sd];
    }
}

/* A task is a block of columns of one o, or several o where d is small; within it n runs in order. */
static inline __attribute__((always_inline)) void K(write)(const nnrt_index_args *p, int64_t begin, int64_t end,
                                                           int add)
{
    const int64_t d = p->d, count = p->n, step = p->stride[1], sd = p->stride[2];
    const int64_t wide = (d + p->columns - 1) / p->columns;
    int64_t total = p->o * wide, last = end * p->rows < total ? end * p->rows : total;
    for (int64_t t = begin * p->rows; t < last; t++) {
        int64_t o = t / wide, j0 = t % wide * p->columns;
        int64_t j1 = j0 + p->columns < d ? j0 + p->columns : d;
        /* Rows of the block follow each other where it has all columns. */
        int64_t rows = wide == 1 ? 1 : p->r, bytes = (wide == 1 ? p->r * d : j1 - j0) * (int64_t)sizeof(REAL);
        REAL *out = (REAL *)p->out + o * p->r * d;
        const REAL *base = p->base ? (const REAL *)p->base + o * p->r * d : NULL;
        for (int64_t at = j0, r = 0; r < rows; r++, at += d)
            if (base)
                memcpy(out + at, base + at, (size_t)bytes);
            else
                memset(out + at, 0, (size_t)bytes);
        const REAL *x = (const REAL *)p->x + o * p->stride[0];
        const int64_t *index = p->index + o * count * d;
        if (d == 1)
            for (int64_t n = 0; n < count; n++)
                if (add)
                    out[index[n]] += x[n * step];
                else
                    ((BITS *)out)[index[n]] = ((const BITS *)x)[n * step];
        else
            for (int64_t n = 0; n < count; n++, x += step, index += d)
                for (int64_t j = j0; j < j1; j++)
                    if (add)
                        out[index[j] * d + j] += x[j * sd];
                    else
                        ((BITS *)out)[index[j] * d + j] = ((const BITS *)x)[j * sd];
    }
}

static void K(scatter)(const void *args, int64_t begin, int64_t end, void *s) { K(write)(args, begin, end, 0); }
static void K(scatter_add)(const void *args, int64_t begin, int64_t end, void *s) { K(write)(args, begin, end, 1); }

#endif
