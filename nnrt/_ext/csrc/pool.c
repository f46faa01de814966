/* Pooling over [n, d, h, w, c], vectors over the channels. This file includes itself once per dtype.
 *
 * Forward, an output gathers its window; backward, an input gathers from the windows that cover it,
 * so that all is written once and in order. */
#ifndef REAL

#include <math.h>
#include <string.h>

#include "pool.h"
#include "stream.h"

#define MIN(a, b) ((a) < (b) ? (a) : (b))

typedef nnrt_pool_axis axis;
typedef nnrt_pool_window window;
typedef nnrt_pool_line line;

static window window_of(const axis *a, int64_t o, int include_pad)
{
    if (!a->kernel) {
        int64_t start = o * a->in / a->out, stop = ((o + 1) * a->in + a->out - 1) / a->out;
        return (window){start, 0, stop - start, 1 / (double)(stop - start)};
    }
    int64_t start = o * a->stride - a->padding, first = -start, last = a->in - start;
    if (a->dilation > 1) {
        first = (first + a->dilation - 1) / a->dilation;
        last = (last + a->dilation - 1) / a->dilation;
    }
    first = first < 0 ? 0 : first;
    last = MIN(last, a->kernel);
    int64_t count = include_pad ? MIN(a->kernel, a->in + a->padding - start) : last - first;
    return (window){start, first, last, 1 / (double)count};
}

/* Outputs first..last-1, whose windows reach over input i. */
typedef struct {
    int64_t first, last;
} cover;

static cover cover_of(const axis *a, int64_t i)
{
    if (!a->kernel)
        return (cover){i * a->out / a->in, ((i + 1) * a->out + a->in - 1) / a->in};
    int64_t j = i + a->padding, before = j - (a->kernel - 1) * a->dilation - 1, last = j / a->stride + 1;
    return (cover){before < 0 ? 0 : before / a->stride + 1, MIN(last, a->out)};
}

static inline int64_t pixel(const axis *a, int output, int64_t n, int64_t d, int64_t h)
{
    return output ? ((n * a[0].out + d) * a[1].out + h) * a[2].out : ((n * a[0].in + d) * a[1].in + h) * a[2].in;
}

/* A unit: pixels w0..w1-1 of a row of `to`, channels c0..c1-1; the lines it reads; per pixel its window,
 * backward with a range of `tap` in place of taps. */
typedef struct {
    int64_t n, d, h, w0, w1, c0, c1;
    int64_t to; /* the first element of the row */
    int64_t lines, known;
    line *line, *tap;
    window *window;
    void *buffer;
} unit;

static void start(const nnrt_pool_args *p, unit *q, void *scratch)
{
    q->known = -1;
    q->buffer = scratch;
    q->window = (window *)((char *)scratch + p->buffer);
    q->line = (line *)(q->window + p->cols);
    q->tap = q->line + p->lines;
}

/* The outputs that cover i, one by one. */
static int64_t list(const nnrt_pool_args *p, const axis *a, int64_t i, line *to)
{
    cover c = cover_of(a, i);
    int64_t count = 0;
    for (int64_t o = c.first; o < c.last; o++) {
        window w = window_of(a, o, p->include_pad);
        if ((i - w.start) % a->dilation == 0)
            to[count++] = (line){o, (i - w.start) / a->dilation, p->divisor ? 1 : w.scale};
    }
    return count;
}

static void find(const nnrt_pool_args *p, unit *q, int64_t u)
{
    const axis *a = p->axis;
    q->c0 = u % p->chunks * p->chunk, u /= p->chunks;
    q->h = u % p->size[1], u /= p->size[1];
    q->d = u % p->size[0], u /= p->size[0];
    q->w0 = u % p->blocks * p->cols;
    q->n = u / p->blocks;
    q->c1 = MIN(q->c0 + p->chunk, p->c);
    q->w1 = MIN(q->w0 + p->cols, p->size[2]);
    q->to = pixel(a, !p->backward, q->n, q->d, q->h) * p->c;
    q->lines = 0;
    if (p->backward) {
        cover d = cover_of(a, q->d);
        for (int64_t od = d.first; od < d.last; od++) {
            window w = window_of(a, od, p->include_pad);
            if ((q->d - w.start) % a->dilation)
                continue;
            line *first = q->line + q->lines;
            int64_t count = list(p, a + 1, q->h, first);
            q->lines += count;
            for (line *l = first; l < first + count; l++)
                *l = (line){pixel(a, 1, q->n, od, l->from) * p->c,
                            ((q->d - w.start) / a->dilation * a[1].taps + l->tap) * a[2].taps,
                            p->divisor ? 1 / p->divisor : w.scale * l->scale};
        }
    } else {
        window d = window_of(a, q->d, p->include_pad), h = window_of(a + 1, q->h, p->include_pad);
        for (int64_t kd = d.first; kd < d.last; kd++)
            for (int64_t kh = h.first; kh < h.last; kh++)
                q->line[q->lines++] = (line){
                    pixel(a, 0, q->n, d.start + kd * a[0].dilation, h.start + kh * a[1].dilation) * p->c,
                    (kd * a[1].taps + kh) * a[2].taps, d.scale * h.scale};
    }
    if (q->w0 == q->known)
        return;
    q->known = q->w0;
    for (int64_t i = q->w0, at = 0, count; i < q->w1; i++, at += count)
        if (p->backward) {
            count = list(p, a + 2, i, q->tap + at);
            for (line *o = q->tap + at; o < q->tap + at + count; o++)
                o->from *= p->sums ? p->chunk : p->c;
            q->window[i - q->w0] = (window){0, at, at + count, 0};
        } else {
            count = 0;
            q->window[i - q->w0] = window_of(a + 2, i, p->include_pad);
        }
}

#define UNITS                                                                         \
    const nnrt_pool_args *p = args;                                                   \
    unit q;                                                                           \
    start(p, &q, scratch);                                                            \
    for (int64_t u = begin * p->group; u < MIN(end * p->group, p->units) && (find(p, &q, u), 1); u++)

static void max_index(const void *args, int64_t begin, int64_t end, void *scratch)
{
    UNITS {
        const axis *a = p->axis;
        window d = window_of(a, q.d, 0), h = window_of(a + 1, q.h, 0);
        for (int64_t ow = q.w0; ow < q.w1; ow++) {
            window w = q.window[ow - q.w0];
            int64_t o = q.to + ow * p->c;
            for (int64_t c = o + q.c0; c < o + q.c1; c++) {
                int64_t t = p->wide ? ((const int32_t *)p->at)[c] : ((const uint8_t *)p->at)[c];
                int64_t kd = t / a[2].taps / a[1].taps, kh = t / a[2].taps % a[1].taps, kw = t % a[2].taps;
                int64_t row = pixel(a, 0, 0, d.start + kd * a[0].dilation, h.start + kh * a[1].dilation);
                p->index[c] = q.lines && w.first < w.last ? row + w.start + kw * a[2].dilation : 0;
            }
        }
    }
}

#define REAL float
#define INT int32_t
#define K(name) name##_f32
#include "pool.c"
#undef REAL
#undef INT
#undef K
#define REAL double
#define INT int64_t
#define K(name) name##_f64
#include "pool.c"

#define ENTRY(name)                                                   \
    .name = {{"pool/" #name "/f32/" NNRT_STR(NNRT_ISA), name##_f32},  \
             {"pool/" #name "/f64/" NNRT_STR(NNRT_ISA), name##_f64}}

const nnrt_pool_table NNRT_SYM(pool) = {
    ENTRY(max_pool), ENTRY(max_pool_backward), ENTRY(max_unpool),
    ENTRY(avg_pool), ENTRY(avg_pool_backward), ENTRY(avg_threes),
    .max_index = {{"pool/max_index/" NNRT_STR(NNRT_ISA), max_index}},
};

#else

#include "rows.h"

#define UNROLL _Pragma("GCC unroll 4")
#define EVEN 8 /* vectors, of 256 bytes */
#if defined(__AVX__)
#define UNROLL_EVEN _Pragma("GCC unroll 8")
#else /* they do not fit the registers */
#define UNROLL_EVEN
#endif

typedef INT K(ints) __attribute__((vector_size(VECTOR), aligned(sizeof(REAL)), may_alias));
typedef uint8_t K(bytes) __attribute__((vector_size(VECTOR / sizeof(REAL)), aligned(1), may_alias));
typedef int32_t K(words) __attribute__((vector_size(4 * VECTOR / sizeof(REAL)), aligned(4), may_alias));

/* Vectors of `lanes` channels: all of them, but for arrays with fewer channels than a vector has. */

INLINE K(vec) K(get)(const REAL *x, int64_t lanes)
{
    K(vec) v = {0};
    if (lanes == LANES)
        return K(load)(x);
    memcpy(&v, x, (size_t)lanes * sizeof(REAL));
    return v;
}

INLINE void K(put)(REAL *y, const K(vec) *v, int vectors, int64_t lanes, int stream)
{
#if defined(__AVX__)
    if (lanes == LANES && stream) {
        UNROLL for (int j = 0; j < vectors; j++)
            _mm256_stream_si256((__m256i *)(y + j * LANES), (__m256i)v[j]);
        return;
    }
#endif
    if (lanes == LANES)
        UNROLL for (int j = 0; j < vectors; j++)
            *(K(vec) *)(y + j * LANES) = v[j];
    else
        memcpy(y, v, (size_t)lanes * sizeof(REAL));
}

INLINE int K(any_nan)(K(vec) v)
{
#if defined(__AVX__)
    return sizeof(REAL) == 4 ? _mm256_movemask_ps((__m256)(v != v)) : _mm256_movemask_pd((__m256d)(v != v));
#else
    REAL sum = K(total)(v);
    return sum != sum;
#endif
}

/* gcc 12 converts between bytes and words one by one. */
INLINE K(ints) K(widen)(K(bytes) b)
{
#if defined(__AVX2__)
    if (sizeof(REAL) == 4) {
        int64_t bits;
        memcpy(&bits, &b, sizeof(b));
        return (K(ints))_mm256_cvtepu8_epi32(_mm_cvtsi64_si128(bits));
    }
    int32_t bits;
    memcpy(&bits, &b, sizeof(bits));
    return (K(ints))_mm256_cvtepu8_epi64(_mm_cvtsi32_si128(bits));
#else
    return __builtin_convertvector(b, K(ints));
#endif
}

INLINE K(bytes) K(narrow)(K(ints) k)
{
#if defined(__AVX2__)
    K(bytes) b;
    __m256i low = _mm256_shuffle_epi8((__m256i)k, sizeof(REAL) == 4 ? _mm256_set1_epi32(0x0c080400)
                                                                    : _mm256_set1_epi32(0x08000800));
    __m128i even = _mm256_castsi256_si128(low), odd = _mm256_extracti128_si256(low, 1);
    int64_t bits = _mm_cvtsi128_si64(sizeof(REAL) == 4 ? _mm_unpacklo_epi32(even, odd) : _mm_unpacklo_epi16(even, odd));
    memcpy(&b, &bits, sizeof(b));
    return b;
#else
    return __builtin_convertvector(k, K(bytes));
#endif
}

INLINE K(ints) K(get_at)(const nnrt_pool_args *p, int64_t o, int64_t lanes, int wide)
{
    const uint8_t *bytes = (const uint8_t *)p->at + o;
    const int32_t *words = (const int32_t *)p->at + o;
    K(bytes) b = {0};
    K(words) w = {0};
    if (lanes < LANES) {
        memcpy(wide ? (void *)&w : &b, wide ? (const void *)words : bytes, (size_t)(wide ? 4 * lanes : lanes));
        words = (const int32_t *)&w, bytes = (const uint8_t *)&b;
    }
    return wide ? __builtin_convertvector(*(const K(words) *)words, K(ints)) : K(widen)(*(const K(bytes) *)bytes);
}

INLINE void K(put_at)(const nnrt_pool_args *p, int64_t o, K(ints) k, int64_t lanes, int wide)
{
    if (wide) {
        K(words) w = __builtin_convertvector(k, K(words));
        memcpy((int32_t *)p->at + o, &w, (size_t)lanes * 4);
    } else {
        K(bytes) b = K(narrow)(k);
        memcpy((uint8_t *)p->at + o, &b, (size_t)lanes);
    }
}

#if defined(__AVX__)
INLINE K(vec) K(blend)(K(ints) m, K(vec) a, K(vec) b)
{
    return sizeof(REAL) == 4 ? (K(vec))_mm256_blendv_ps((__m256)b, (__m256)a, (__m256)m)
                             : (K(vec))_mm256_blendv_pd((__m256d)b, (__m256d)a, (__m256d)m);
}
#else
INLINE K(vec) K(blend)(K(ints) m, K(vec) a, K(vec) b) { return K(pick)((K(mask))m, a, b); }
#endif

/* Four vectors at a time by MANY(j), the rest by ONE(j, lanes). The last vector
 * overlaps the one before it where it can. */
#define CHANNELS(count, MANY, ONE)                              \
    do {                                                        \
        int64_t j = 0, channels = count;                        \
        for (; j + 4 * LANES <= channels; j += 4 * LANES)       \
            MANY(j);                                            \
        for (; j + LANES <= channels; j += LANES)               \
            ONE(j, LANES);                                      \
        if (j < channels && channels > LANES)                   \
            ONE(channels - LANES, LANES);                       \
        else if (j < channels)                                  \
            ONE(j, channels);                                   \
    } while (0)

#include "pool_max.h"
#include "pool_avg.h"

#undef UNROLL
#undef EVEN
#undef UNROLL_EVEN
#undef CHANNELS

#endif
