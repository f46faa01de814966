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

/* Of up to a cache line, two moves that may overlap: a call of memcpy takes longer than they do. */
static inline void copy_run(char *to, const char *from, size_t bytes)
{
    typedef char half __attribute__((vector_size(32), aligned(1), may_alias));
    typedef char quarter __attribute__((vector_size(16), aligned(1), may_alias));
    if (bytes > 64 || bytes < 16)
        memcpy(to, from, bytes);
    else if (bytes < 32) {
        const quarter a = *(const quarter *)from, b = *(const quarter *)(from + bytes - 16);
        *(quarter *)to = a, *(quarter *)(to + bytes - 16) = b;
    } else {
        const half a = *(const half *)from, b = *(const half *)(from + bytes - 32);
        *(half *)to = a, *(half *)(to + bytes - 32) = b;
    }
}

static void interleave_32(const nnrt_join_args *p, int64_t begin, int64_t end);
static void interleave_64(const nnrt_join_args *p, int64_t begin, int64_t end);

static void join(const void *args, int64_t begin, int64_t end, void *s)
{
    const nnrt_join_args *p = args;
    int64_t stop = end * p->rows < p->outer ? end * p->rows : p->outer;
    if (p->each) {
        (p->each == 4 ? interleave_32 : interleave_64)(p, begin * p->rows, stop);
        return;
    }
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

static void triangle(const void *args, int64_t begin, int64_t end, void *s)
{
    const nnrt_triangle_args *p = args;
    const int64_t wide = p->columns * p->each, stop = end * p->task < p->total ? end * p->task : p->total;
    for (int64_t i = begin * p->task; i < stop; i++) {
        int64_t cut = i % p->rows + p->diagonal;
        cut = (cut < 0 ? 0 : cut > p->columns ? p->columns : cut) * p->each;
        char *out = p->out + i * wide;
        const char *x = p->x + i * wide;
        if (p->upper) {
            memset(out, 0, (size_t)cut);
            memcpy(out + cut, x + cut, (size_t)(wide - cut));
        } else {
            memcpy(out, x, (size_t)cut);
            memset(out + cut, 0, (size_t)(wide - cut));
        }
    }
}

/* Blocks of a row one after the other: their lines are written while they are in L1. */
static void blocks(const void *args, int64_t begin, int64_t end, void *s)
{
    const nnrt_blocks_args *p = args;
    const int64_t run = p->run, left = p->left, stop = end * p->task < p->total ? end * p->task : p->total;
    for (int64_t k = begin * p->task * p->s; k < stop * p->s; k++) {
        const int64_t t = k / p->s, n = t / p->down, i = k - n * p->down * p->s - p->top;
        const int64_t wide = i >= 0 && i < p->rows ? p->wide : 0;
        const char *from = p->x + (n * p->rows + i) * p->wide - left;
        char *to = p->out + (t * p->across * p->s + k % p->s) * run;
        for (int64_t e = -left; e < p->across * run - left; e += run, from += run, to += p->s * run)
            if (e >= 0 && e + run <= wide) {
                __builtin_prefetch(from + p->s * wide); /* the next blocks' */
                copy_run(to, from, (size_t)run);
            } else {
                const int64_t before = e < 0 ? -e : 0, after = wide - e < run ? wide - e : run;
                memset(to, 0, (size_t)run);
                if (after > before)
                    memcpy(to + before, from + before, (size_t)(after - before));
            }
    }
}

#ifdef __F16C__
#include <immintrin.h>

static void to_half(const void *args, int64_t begin, int64_t end, void *s)
{
    const nnrt_flat_args *p = args;
    int64_t n = p->bytes / 2, stop = end * NNRT_SHAPE_TASK < n ? end * NNRT_SHAPE_TASK : n, i = begin * NNRT_SHAPE_TASK;
    const float *x = (const float *)p->x;
    uint16_t *out = (uint16_t *)p->out;
    for (; i + 8 <= stop; i += 8)
        _mm_storeu_si128((__m128i *)(out + i), _mm256_cvtps_ph(_mm256_loadu_ps(x + i), 0)); /* to the nearest, even */
    for (; i < stop; i++)
        out[i] = _cvtss_sh(x[i], 0);
}

static void from_half(const void *args, int64_t begin, int64_t end, void *s)
{
    const nnrt_flat_args *p = args;
    int64_t n = p->bytes / 4, stop = end * NNRT_SHAPE_TASK < n ? end * NNRT_SHAPE_TASK : n, i = begin * NNRT_SHAPE_TASK;
    const uint16_t *x = (const uint16_t *)p->x;
    float *out = (float *)p->out;
    for (; i + 8 <= stop; i += 8)
        _mm256_storeu_ps(out + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(x + i))));
    for (; i < stop; i++)
        out[i] = _cvtsh_ss(x[i]);
}
#endif

#define BITS uint32_t
#define ELEMENT_BYTES 4
#define K(name) name##_32
#include "shape.c"
#undef BITS
#undef ELEMENT_BYTES
#undef K
#define BITS uint64_t
#define ELEMENT_BYTES 8
#define K(name) name##_64
#include "shape.c"

#define ENTRY(name)                                                   \
    .name = {{"shape/" #name "/32/" NNRT_STR(NNRT_ISA), name##_32},   \
             {"shape/" #name "/64/" NNRT_STR(NNRT_ISA), name##_64}}

const nnrt_shape_table NNRT_SYM(shape) = {
    ENTRY(rows), ENTRY(transpose), .join = {{"shape/join/" NNRT_STR(NNRT_ISA), join}},
    .flat = {{"shape/flat/" NNRT_STR(NNRT_ISA), flat}},
    .triangle = {{"shape/triangle/" NNRT_STR(NNRT_ISA), triangle}},
    .blocks = {{"shape/blocks/" NNRT_STR(NNRT_ISA), blocks}},
#ifdef __F16C__
    .half = {{"shape/convert/f16/" NNRT_STR(NNRT_ISA), to_half}, {"shape/convert/f32/" NNRT_STR(NNRT_ISA), from_half}},
#endif
};

#else

#define ELEMENT BITS
#include "transpose.h"

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
            copy_run((char *)out, (const char *)x, (size_t)n * sizeof(BITS));
        else if (step == 0) { /* not streamed: to memory that was written before plain stores are faster, to 64 MB */
            const BITS v = *x;
            for (int64_t j = 0; j < n; j++)
                out[j] = v;
        } else if (step == -1) /* mirrored: vectors are turned round */
            for (int64_t j = 0; j < n; j++)
                out[j] = x[-j];
        else
            for (int64_t j = 0; j < n; j++)
                out[j] = x[j * step];
    }
}

/* Inputs of single elements. */
static void K(interleave)(const nnrt_join_args *p, int64_t begin, int64_t end)
{
    const int64_t count = p->count;
    BITS *out = (BITS *)p->out;
    if (count == 2) {
        const BITS *a = (const BITS *)p->x[0], *b = (const BITS *)p->x[1];
        for (int64_t o = begin; o < end; o++) {
            out[2 * o] = a[o];
            out[2 * o + 1] = b[o];
        }
        return;
    }
    for (int64_t at = begin; at < end; at += 256) {
        const int64_t stop = at + 256 < end ? at + 256 : end;
        for (int64_t k = 0; k < count; k++)
            for (int64_t o = at; o < stop; o++)
                out[o * count + k] = ((const BITS *)p->x[k])[o];
    }
}

/* Several tiles by as many: whole cache lines on both sides. */
enum { K(SQUARE) = 64 / ELEMENT_BYTES };

static inline void K(square)(BITS *out, const BITS *x, int64_t i, int64_t i1, int64_t j, int64_t nj, int64_t to,
                             int64_t from)
{
    if (i1 > i + K(SQUARE)) i1 = i + K(SQUARE);
    if (nj > j + K(SQUARE)) nj = j + K(SQUARE);
    for (int64_t b = j; b < nj; b += SIDE)
        for (int64_t a = i; a < i1; a += SIDE)
            if (a + SIDE <= i1 && b + SIDE <= nj) {
                const BITS *rows[SIDE];
                for (int64_t d = 0; d < SIDE; d++)
                    rows[d] = x + (b + d) * from + a;
                K(transpose_tile)(out + a * to + b, to, rows);
            } else
                for (int64_t c = a; c < i1 && c < a + SIDE; c++)
                    for (int64_t d = b; d < nj && d < b + SIDE; d++)
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
        if (nj == 3 && to == 3) /* images: the compiler shuffles three vectors into three */
            for (int64_t i = i0; i < i1; i++) {
                out[3 * i] = x[i];
                out[3 * i + 1] = x[from + i];
                out[3 * i + 2] = x[2 * from + i];
            }
        else if (ni < nj)
            for (int64_t i = i0; i < i1; i += K(SQUARE))
                for (int64_t j = 0; j < nj; j += K(SQUARE))
                    K(square)(out, x, i, i1, j, nj, to, from);
        else
            for (int64_t j = 0; j < nj; j += K(SQUARE))
                for (int64_t i = i0; i < i1; i += K(SQUARE))
                    K(square)(out, x, i, i1, j, nj, to, from);
    }
}

#undef SIDE
#undef ELEMENT

#endif
