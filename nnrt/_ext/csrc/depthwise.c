/* Convolutions with narrow groups. This file includes itself once per dtype; REAL is the dtype. */
#ifndef REAL

#include <string.h>

#include "depthwise.h"
#include "linear.h"
#include "stream.h"

/* What surrounds the loops over elements: small before fast, and one copy of it. */
#define SMALL __attribute__((cold, noinline))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

/* The first cache line at or behind p. */
#define LINES(p) ((REAL *)(((uintptr_t)(p) + 63) & -(uintptr_t)64))

/* Rows of taps inside the input: where they start in x and in w, in elements. */
typedef struct {
    int64_t x, w;
} row_at;

typedef nnrt_stretch stretch;

/* Upwards, also below zero. */
static inline int64_t ceil_div(int64_t a, int64_t b) { return a > 0 ? (a + b - 1) / b : -(-a / b); }

/* Asks for the lines from `at` on, of so many bytes, and goes on behind them. */
#define FETCH(at, bytes, write)                                            \
    for (const char *end = (at) + (bytes); (at) < end; (at) += 64)         \
        __builtin_prefetch(at, write, 2)

/* How output j of an axis reads its input. */
static SMALL nnrt_reach reach_of(const nnrt_axis *a, int64_t j)
{
    int64_t k = 0, at = j * a->stride - a->padding, tap = a->tap, low, high;
    if (a->tap < 0) { /* transposed */
        at = j + a->padding;
        while (k < a->k_step && (at - k * a->dilation) % a->stride)
            k++;
        at = (at - k * a->dilation) / a->stride;
    }
    const int64_t n = k < a->k_step ? ceil_div(a->taps - k, a->k_step) : 0;
    if (tap > 0) {
        low = at < 0 ? ceil_div(-at, tap) : 0;
        high = at < a->in ? (a->in - 1 - at) / tap + 1 : 0;
    } else {
        low = at >= a->in ? ceil_div(at - a->in + 1, -tap) : 0;
        high = at >= 0 ? at / -tap + 1 : 0;
    }
    if (high > n)
        high = n;
    return (nnrt_reach){k + low * a->k_step, at + low * tap, high > low ? high - low : 0};
}

/* Cuts an axis into stretches; returns how many. */
static SMALL int64_t stretches_of(const nnrt_axis *a, stretch *s)
{
    int64_t count = 0;
    for (int64_t phase = 0; phase < a->phases; phase++)
        for (int64_t j = phase, fresh = 1; j < a->out; j += a->phases, fresh = 0) {
            nnrt_reach r = reach_of(a, j);
            if (fresh || r.n != s[count - 1].reach.n || (r.n && r.k != s[count - 1].reach.k))
                s[count++] = (stretch){j, 0, r};
            s[count - 1].count++;
        }
    return count;
}

#define REAL float
#define REAL_BYTES 4
#define INT int32_t
#define K(name) name##_f32
#include "depthwise.c"
#undef REAL
#undef REAL_BYTES
#undef INT
#undef K
/* float32 alone: groups, and the commonest filter of channels of their own; others in AVX2's vectors */
#if VBYTES == 64
#define ENTRY(name) .name = {{"depthwise/" #name "/f32/" NNRT_STR(NNRT_ISA), depthwise_##name##_f32}}
#else
#define REAL double
#define REAL_BYTES 8
#define INT int64_t
#define K(name) name##_f64
#include "depthwise.c"

#define ENTRY(name)                                                                                     \
    .name = {{"depthwise/" #name "/f32/" NNRT_STR(NNRT_ISA), depthwise_##name##_f32},                   \
             {"depthwise/" #name "/f64/" NNRT_STR(NNRT_ISA), depthwise_##name##_f64}}
#endif

const nnrt_depthwise_table NNRT_SYM(depthwise) = {
    ENTRY(pack), ENTRY(conv), ENTRY(filter), ENTRY(gather), .vector = VBYTES,
#if VBYTES == 64
    .square = {"depthwise/square/f32/" NNRT_STR(NNRT_ISA), depthwise_square_f32},
    .squares = {"depthwise/squares/f32/" NNRT_STR(NNRT_ISA), depthwise_squares_f32},
#endif
};

#else

#include "gemm_vec.h"
#define ELEMENT REAL
#define ELEMENT_BYTES REAL_BYTES
#include "transpose.h"
#include "depthwise_tile.h"
#include "depthwise_grid.h"
#include "depthwise_filter.h"
#if VBYTES == 64
#include "depthwise_square.h"
#endif

/* ---- filters: torch's layout to and from the kernels' ---- */

/* dst[i, j] = src[j, i] for i < rows, j < cols. */
static void K(flip)(REAL *dst, int64_t dst_row, const REAL *src, int64_t src_row, int64_t rows, int64_t cols)
{
    int64_t i = 0;
    for (; i + SIDE <= rows; i += SIDE) {
        int64_t j = 0;
        for (; j + SIDE <= cols; j += SIDE) {
            const REAL *lines[SIDE];
            for (int64_t s = 0; s < SIDE; s++)
                lines[s] = src + (j + s) * src_row + i;
            K(transpose_tile)(dst + i * dst_row + j, dst_row, lines);
        }
        for (; j < cols; j++)
            for (int64_t s = 0; s < SIDE; s++)
                dst[(i + s) * dst_row + j] = src[j * src_row + i + s];
    }
    for (; i < rows; i++)
        for (int64_t j = 0; j < cols; j++)
            dst[i * dst_row + j] = src[j * src_row + i];
}

static void K(depthwise_pack)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    const nnrt_depthwise_args *p = args;
    const int64_t taps = p->axis[0].taps * p->axis[1].taps * p->axis[2].taps;
    for (int64_t block = begin * p->part; block < MIN(end * p->part, p->blocks); block++) {
        const REAL *w = p->w;
        REAL *to = (REAL *)p->packed;
        if (p->kind == NNRT_EACH) { /* a task's channels at once */
            const int64_t count = MIN(p->part, p->blocks - block);
            K(flip)(to + block, p->lanes, w + block * taps, taps, taps, count);
            for (int64_t t = 0; t < taps; t++)
                for (int64_t r = 1; r < p->repeat; r++)
                    for (int64_t c = block; c < block + count; c++)
                        to[t * p->lanes + r * p->blocks + c] = to[t * p->lanes + c];
            if (p->b && p->repeat > 1)
                for (int64_t r = 0; r < p->repeat; r++)
                    memcpy(to + taps * p->lanes + r * p->blocks, p->b, (size_t)p->blocks * sizeof(REAL));
            block += count - 1;
            continue;
        }
        to += block * p->in * taps * p->lanes;
        const int64_t group = p->in * p->out * taps, last = MIN((block + 1) * p->together, p->groups);
        for (int64_t g = block * p->together; g < last; g++, to += p->out)
            if (p->transposed)
                for (int64_t i = 0; i < p->in; i++)
                    K(flip)(to + i * taps * p->lanes, p->lanes, w + g * group + i * p->out * taps, taps, taps, p->out);
            else
                K(flip)(to, p->lanes, w + g * group, p->in * taps, p->in * taps, p->out);
    }
}

/* dw = the sum of the splits, in order, in torch's layout. */
static void K(depthwise_gather)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    const nnrt_depthwise_args *p = args;
    const int64_t taps = p->axis[0].taps * p->axis[1].taps * p->axis[2].taps;
    for (int64_t t = begin; t < end; t++) {
        const int64_t block = t * p->part, count = MIN(p->part, p->blocks - block);
        REAL *sums = p->packed, *dw = p->y;
        if (p->kind == NNRT_EACH) {
            for (int64_t s = 1; s < p->splits; s++)
                for (int64_t k = 0; k <= taps; k++)
                    for (int64_t c = block; c < block + count; c++)
                        sums[k * p->lanes + c] += sums[s * p->packed_count + k * p->lanes + c];
            K(flip)(dw + block * taps, taps, sums + block, p->lanes, count, taps);
            if (p->db)
                memcpy((REAL *)p->db + block, sums + taps * p->lanes + block, (size_t)count * sizeof(REAL));
            continue;
        }
        const int64_t each = p->in * taps * p->lanes, group = p->in * p->out * taps;
        sums += block * each;
        for (int64_t s = 1; s < p->splits; s++)
            for (int64_t i = 0; i < count * each; i++)
                sums[i] += sums[s * p->packed_count + i];
        REAL *totals = p->packed, *db = p->db;
        totals += p->blocks * each;
        for (int64_t g = block * p->together; g < MIN((block + count) * p->together, p->groups) && db; g++)
            for (int64_t o = 0; o < p->out; o++) {
                db[g * p->out + o] = 0;
                for (int64_t s = 0; s < p->splits; s++)
                    db[g * p->out + o] += totals[s * p->packed_count + g / p->together * p->lanes
                                                 + g % p->together * p->out + o];
            }
        for (int64_t g = block * p->together; g < MIN((block + count) * p->together, p->groups); g++) {
            REAL *from = sums + (g / p->together - block) * each + g % p->together * p->out;
            K(flip)(dw + g * group, p->in * taps, from, p->lanes, p->out, p->in * taps);
        }
    }
}

#undef NEAR
#undef RUNS
#undef VL
#undef NR
#undef SIDE
#undef ELEMENT
#undef ELEMENT_BYTES

#endif
