/* Copies between memory orders. This file includes itself once per width; BITS is an element. */
#ifndef BITS

#include <string.h>

#include "shape.h"
#include "stream.h"

/* Where an odometer over the first `inner` axes stands. */
typedef struct {
    int64_t at[NNRT_SHAPE_AXES], to, from;
} place;

static void start(const nnrt_shape_args *p, int inner, int64_t i, place *q)
{
    q->to = q->from = 0;
    for (int a = inner - 1; a >= 0; a--) {
        q->at[a] = i % p->size[a];
        i /= p->size[a];
        q->to += q->at[a] * p->dst[a];
        q->from += q->at[a] * p->src[a];
    }
}

static inline void advance(const nnrt_shape_args *p, int inner, place *q)
{
    for (int a = inner - 1; a >= 0; a--) {
        q->to += p->dst[a];
        q->from += p->src[a];
        if (++q->at[a] < p->size[a]) return;
        q->at[a] = 0;
        q->to -= p->size[a] * p->dst[a];
        q->from -= p->size[a] * p->src[a];
    }
}

static void join(const void *args, int64_t begin, int64_t end, void *s)
{
    const nnrt_join_args *p = args;
    int64_t stop = end * p->rows < p->outer ? end * p->rows : p->outer;
    for (int64_t o = begin * p->rows; o < stop; o++) {
        char *out = p->out + o * p->width;
        for (int k = 0; k < p->count; k++) {
            memcpy(out, p->x[k] + o * p->widths[k], (size_t)p->widths[k]);
            out += p->widths[k];
        }
    }
}

static void flat(const void *args, int64_t begin, int64_t end, void *s)
{
    const nnrt_flat_args *p = args;
    int64_t from = begin * NNRT_SHAPE_BYTES, to = end * NNRT_SHAPE_BYTES < p->bytes ? end * NNRT_SHAPE_BYTES : p->bytes;
    if (p->stream) {
        nnrt_stream(p->out + from, p->x + from, to - from);
        nnrt_stream_end();
    } else
        memcpy(p->out + from, p->x + from, (size_t)(to - from));
}

#define BITS uint32_t
#define LANES 8
#define K(name) name##_32
#include "shape.c"
#undef BITS
#undef LANES
#undef K
#define BITS uint64_t
#define LANES 4
#define K(name) name##_64
#include "shape.c"

#define ENTRY(name)                                                   \
    .name = {{"shape/" #name "/32/" NNRT_STR(NNRT_ISA), name##_32},   \
             {"shape/" #name "/64/" NNRT_STR(NNRT_ISA), name##_64}}

const nnrt_shape_table NNRT_SYM(shape) = {
    ENTRY(rows), ENTRY(transpose), .join = {{"shape/join/" NNRT_STR(NNRT_ISA), join}},
    .flat = {{"shape/flat/" NNRT_STR(NNRT_ISA), flat}}};

#else

typedef BITS K(vec) __attribute__((vector_size(32)));
typedef BITS K(loose) __attribute__((vector_size(32), aligned(sizeof(BITS)), may_alias));

/* Both innermost along the same axis, or x has no axis of stride one: row by row. */
static void K(rows)(const void *args, int64_t begin, int64_t end, void *s)
{
    const nnrt_shape_args *p = args;
    int last = p->axes - 1;
    int64_t n = p->size[last], step = p->src[last], total = 1;
    for (int a = 0; a < last; a++)
        total *= p->size[a];
    int64_t stop = end * p->rows < total ? end * p->rows : total;
    place q;
    start(p, last, begin * p->rows, &q);
    for (int64_t i = begin * p->rows; i < stop; i++, advance(p, last, &q)) {
        BITS *out = (BITS *)p->out + q.to;
        const BITS *x = (const BITS *)p->x + q.from;
        if (step == 1)
            memcpy(out, x, (size_t)n * sizeof(BITS));
        else
            for (int64_t j = 0; j < n; j++)
                out[j] = x[j * step];
    }
}

/* A LANES x LANES tile, transposed in registers. */
static inline void K(tile)(BITS *out, const BITS *x, int64_t to, int64_t from)
{
#define LOAD(k) *(const K(loose) *)(x + (k) * from)
#define STORE(k, v) *(K(loose) *)(out + (k) * to) = v
#define MIX __builtin_shufflevector
#if LANES == 8
    K(vec) a0 = LOAD(0), a1 = LOAD(1), a2 = LOAD(2), a3 = LOAD(3), a4 = LOAD(4), a5 = LOAD(5), a6 = LOAD(6), a7 = LOAD(7);
#define LOW(u, v) MIX(u, v, 0, 8, 1, 9, 4, 12, 5, 13)
#define HIGH(u, v) MIX(u, v, 2, 10, 3, 11, 6, 14, 7, 15)
    K(vec) b0 = LOW(a0, a1), b1 = HIGH(a0, a1), b2 = LOW(a2, a3), b3 = HIGH(a2, a3);
    K(vec) b4 = LOW(a4, a5), b5 = HIGH(a4, a5), b6 = LOW(a6, a7), b7 = HIGH(a6, a7);
#undef LOW
#undef HIGH
#define LOW(u, v) MIX(u, v, 0, 1, 8, 9, 4, 5, 12, 13)
#define HIGH(u, v) MIX(u, v, 2, 3, 10, 11, 6, 7, 14, 15)
    a0 = LOW(b0, b2), a1 = HIGH(b0, b2), a2 = LOW(b1, b3), a3 = HIGH(b1, b3);
    a4 = LOW(b4, b6), a5 = HIGH(b4, b6), a6 = LOW(b5, b7), a7 = HIGH(b5, b7);
#undef LOW
#undef HIGH
#define LOW(u, v) MIX(u, v, 0, 1, 2, 3, 8, 9, 10, 11)
#define HIGH(u, v) MIX(u, v, 4, 5, 6, 7, 12, 13, 14, 15)
    STORE(0, LOW(a0, a4)), STORE(1, LOW(a1, a5)), STORE(2, LOW(a2, a6)), STORE(3, LOW(a3, a7));
    STORE(4, HIGH(a0, a4)), STORE(5, HIGH(a1, a5)), STORE(6, HIGH(a2, a6)), STORE(7, HIGH(a3, a7));
#else
    K(vec) a0 = LOAD(0), a1 = LOAD(1), a2 = LOAD(2), a3 = LOAD(3);
    K(vec) b0 = MIX(a0, a1, 0, 4, 2, 6), b1 = MIX(a0, a1, 1, 5, 3, 7);
    K(vec) b2 = MIX(a2, a3, 0, 4, 2, 6), b3 = MIX(a2, a3, 1, 5, 3, 7);
#define LOW(u, v) MIX(u, v, 0, 1, 4, 5)
#define HIGH(u, v) MIX(u, v, 2, 3, 6, 7)
    STORE(0, LOW(b0, b2)), STORE(1, LOW(b1, b3)), STORE(2, HIGH(b0, b2)), STORE(3, HIGH(b1, b3));
#endif
#undef LOW
#undef HIGH
#undef MIX
#undef LOAD
#undef STORE
}

/* Two tiles by two: whole cache lines on both sides. */
enum { K(SIDE) = 2 * LANES };

static inline void K(square)(BITS *out, const BITS *x, int64_t i, int64_t i1, int64_t j, int64_t nj, int64_t to,
                             int64_t from)
{
    if (i1 > i + K(SIDE)) i1 = i + K(SIDE);
    if (nj > j + K(SIDE)) nj = j + K(SIDE);
    for (int64_t b = j; b < nj; b += LANES)
        for (int64_t a = i; a < i1; a += LANES)
            if (a + LANES <= i1 && b + LANES <= nj)
                K(tile)(out + a * to + b, x + b * from + a, to, from);
            else
                for (int64_t c = a; c < i1 && c < a + LANES; c++)
                    for (int64_t d = b; d < nj && d < b + LANES; d++)
                        out[c * to + d] = x[d * from + c];
}

/* out[i][j] = x[j][i]: i is x's innermost axis, j out's. A task is a band of i in one plane, walked along the
 * longer axis: few streams there, which the hardware prefetches. */
static void K(transpose)(const void *args, int64_t begin, int64_t end, void *s)
{
    const nnrt_shape_args *p = args;
    int last = p->axes - 1;
    int64_t ni = p->size[last - 1], nj = p->size[last], to = p->dst[last - 1], from = p->src[last];
    for (int64_t t = begin; t < end; t++) {
        place q;
        start(p, last - 1, t / p->blocks, &q);
        int64_t i0 = t % p->blocks * p->rows, i1 = i0 + p->rows < ni ? i0 + p->rows : ni;
        BITS *out = (BITS *)p->out + q.to;
        const BITS *x = (const BITS *)p->x + q.from;
        if (ni < nj)
            for (int64_t i = i0; i < i1; i += K(SIDE))
                for (int64_t j = 0; j < nj; j += K(SIDE))
                    K(square)(out, x, i, i1, j, nj, to, from);
        else
            for (int64_t j = 0; j < nj; j += K(SIDE))
                for (int64_t i = i0; i < i1; i += K(SIDE))
                    K(square)(out, x, i, i1, j, nj, to, from);
    }
}

#endif
