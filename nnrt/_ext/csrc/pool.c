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
                            ((q->d - w.start) / a->dilation * a[1].taps + l->tap) * a[2].taps, p->divisor ? 1 / p->divisor : w.scale * l->scale};
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
    ENTRY(max_pool), ENTRY(max_pool_backward), ENTRY(max_unpool), ENTRY(avg_pool), ENTRY(avg_pool_backward),
    .max_index = {{"pool/max_index/" NNRT_STR(NNRT_ISA), max_index}}};

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

/* Four vectors at a time by MANY(j), the rest by ONE(j, lanes). The last vector overlaps the one before it where it can. */
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

LANES_BEST(max, >)

/* Asks for what the next row of outputs reads and this one does not, the rows below, under output o: between the arithmetic, which
 * hides from the hardware what will be read. A call, since it costs those in cache 5% where it is inlined. */
static __attribute__((noinline)) void K(fetch)(const nnrt_pool_args *p, const unit *q, int64_t o)
{
    const int64_t row = p->axis[2].in * p->c, share = p->axis[2].stride * p->c;
    const REAL *x = (const REAL *)p->from + q->line[q->lines - 1].from + row + o * share;
    for (int64_t r = 0; r < p->axis[1].stride; r++, x += row)
        for (int64_t i = 0; i < share; i += 64 / (int64_t)sizeof(REAL))
            __builtin_prefetch(x + i, 0, 2);
    __asm__ volatile(""); /* gcc sees no effect, and would leave out the call */
}

/* Lines l0..l1-1 of output o; what was found before and is not finished is in the buffer. Unless `exact`, returns 0
 * and leaves all as it was where there may be a NaN, which a sum shows. names: whether anybody asks for p->at. */
INLINE int K(max_block)(const nnrt_pool_args *p, const unit *q, int64_t o, int64_t l0, int64_t l1, int64_t c, int vectors,
                        int64_t lanes, int exact, int names)
{
    window w = q->window[o - q->w0];
    int64_t step = p->axis[2].dilation * p->c, to = q->to + o * p->c + q->c0 + c;
    REAL *state = (REAL *)q->buffer + (o - q->w0) * (q->c1 - q->c0) + c, *state_at = state + p->cols * p->chunk;
    K(vec) best[4], all[2] = {{0}};
    K(ints) at[4];
    int64_t first = q->lines && w.first < w.last ? q->line[0].tap + w.first : 0;
    UNROLL for (int j = 0; j < vectors; j++) {
        best[j] = (K(vec)){0} - (REAL)INFINITY;
        at[j] = (K(ints)){0} + (INT)first;
        if (l0) {
            best[j] = K(get)(state + j * LANES, lanes);
            if (names)
                at[j] = (K(ints))K(get)(state_at + j * LANES, lanes);
        }
    }
    for (int64_t l = l0; l < l1; l++) {
        const REAL *x = (const REAL *)p->from + q->line[l].from + w.start * p->c + w.first * step + q->c0 + c;
        K(ints) t = (K(ints)){0} + (INT)(q->line[l].tap + w.first);
        for (int64_t k = w.first; k < w.last; k++, x += step, t += 1)
            UNROLL for (int j = 0; j < vectors; j++) {
                K(vec) v = K(get)(x + j * LANES, lanes);
                K(ints) better = (K(ints))(v > best[j]);
                if (exact)
                    better |= (K(ints))(v != v);
                else
                    all[j % 2] += v;
                best[j] = exact || names ? K(blend)(better, v, best[j]) : K(max)(v, best[j]);
                if (names)
                    at[j] = (K(ints))K(blend)(better, (K(vec))t, (K(vec))at[j]);
            }
    }
    if (!exact && K(any_nan)(all[0] + all[1]))
        return 0;
    if (l1 < q->lines) {
        K(put)(state, best, vectors, lanes, 0);
        if (names)
            K(put)(state_at, (const K(vec) *)at, vectors, lanes, 0);
        return 1;
    }
    K(put)((REAL *)p->to + to, best, vectors, lanes, p->stream);
    if (names && p->at && p->wide)
        UNROLL for (int j = 0; j < vectors; j++)
            K(put_at)(p, to + j * LANES, at[j], lanes, 1);
    else if (names && p->at)
        UNROLL for (int j = 0; j < vectors; j++)
            K(put_at)(p, to + j * LANES, at[j], lanes, 0);
    return 1;
}

static __attribute__((noinline)) void K(max_one)(const nnrt_pool_args *p, const unit *q, int64_t o, int64_t l0, int64_t l1,
                                                 int64_t c, int64_t lanes)
{
    K(max_block)(p, q, o, l0, l1, c, 1, lanes, 1, 1);
}

/* Large windows are gone through line by line, along which memory is read in order. */
static void K(max_pool)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    UNITS {
        int64_t step = p->axis[2].taps < NNRT_POOL_TAPS ? NNRT_POOL_TAPS / p->axis[2].taps : 1, l = 0, next;
        const int ahead = p->ahead && q.lines;
        do {
            next = MIN(l + step, q.lines);
            for (int64_t o = q.w0; o < q.w1; o++) {
                if (ahead)
                    K(fetch)(p, &q, o);
#define ONE(j, lanes) K(max_one)(p, &q, o, l, next, j, lanes)
#define MANY(j)                                                  \
    if (!(p->at || sizeof(REAL) > 4 ? K(max_block)(p, &q, o, l, next, j, 4, LANES, 0, 1)                    \
                                    : K(max_block)(p, &q, o, l, next, j, 4, LANES, 0, 0)))                   \
        for (int64_t i = j; i < j + 4 * LANES; i += LANES)       \
            ONE(i, LANES)
                CHANNELS(q.c1 - q.c0, MANY, ONE);
#undef ONE
#undef MANY
            }
            l = next;
        } while (l < q.lines);
    }
    if (((const nnrt_pool_args *)args)->stream)
        nnrt_stream_end();
}

/* dx[i] = Σ dy[o] over the windows o that cover i and have their maximum there. */
INLINE void K(max_backward_block)(const nnrt_pool_args *p, const unit *q, int64_t i, int64_t c, int vectors, int64_t lanes,
                                  int wide)
{
    window w = q->window[i - q->w0];
    K(vec) sum[4];
    UNROLL for (int j = 0; j < vectors; j++)
        sum[j] = (K(vec)){0};
    for (int64_t l = 0; l < q->lines; l++)
        for (const line *o = q->tap + w.first; o < q->tap + w.last; o++) {
            int64_t from = q->line[l].from + o->from + q->c0 + c;
            K(ints) t = (K(ints)){0} + (INT)(q->line[l].tap + o->tap);
            UNROLL for (int j = 0; j < vectors; j++) {
                K(ints) hit = (K(ints))(K(get_at)(p, from + j * LANES, lanes, wide) == t);
                sum[j] += (K(vec))(hit & (K(ints))K(get)((const REAL *)p->from + from + j * LANES, lanes));
            }
        }
    K(put)((REAL *)p->to + q->to + i * p->c + q->c0 + c, sum, vectors, lanes, p->stream);
}

static __attribute__((noinline)) void K(max_backward_one)(const nnrt_pool_args *p, const unit *q, int64_t i, int64_t c,
                                                          int64_t lanes)
{
    K(max_backward_block)(p, q, i, c, 1, lanes, p->wide);
}

static void K(max_pool_backward)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    UNITS {
        for (int64_t i = q.w0; i < q.w1; i++) {
#define ONE(j, lanes) K(max_backward_one)(p, &q, i, j, lanes)
#define MANY(j)                                              \
    if (p->wide)                                             \
        K(max_backward_block)(p, &q, i, j, 4, LANES, 1);     \
    else                                                     \
        K(max_backward_block)(p, &q, i, j, 4, LANES, 0)
            CHANNELS(q.c1 - q.c0, MANY, ONE);
#undef ONE
#undef MANY
        }
    }
    if (((const nnrt_pool_args *)args)->stream)
        nnrt_stream_end();
}

static void K(max_unpool)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    const nnrt_pool_args *p = args;
    int64_t in = p->axis[0].in, out = p->axis[0].out, c = p->c;
    for (int64_t n = begin; n < end; n++) {
        REAL *y = (REAL *)p->to + n * out * c;
        const REAL *x = (const REAL *)p->from + n * in * c;
        const int64_t *index = p->index + n * in * c;
        memset(y, 0, (size_t)(out * c) * sizeof(REAL));
        for (int64_t i = 0; i < in; i++)
            for (int64_t j = 0; j < c; j++)
                y[index[i * c + j] * c + j] = x[i * c + j];
    }
}

/* sum[i] = Σ scale * rows, up to four of them; the first may be the sum itself. */
static void K(add_rows)(REAL *sum, const REAL *const *x, const REAL *scale, int rows, int64_t n)
{
    const REAL *a = x[0], *b = x[1], *c = x[2], *d = x[3];
    REAL r = scale[0], s = scale[1], t = scale[2], u = scale[3];
#define ROWS(count, TERM)                        \
    case count:                                  \
        _Pragma("GCC ivdep")                     \
        for (int64_t i = 0; i < n; i++)          \
            sum[i] = TERM;                       \
        break
    switch (rows) {
        ROWS(1, r * a[i]);
        ROWS(2, r * a[i] + s * b[i]);
        ROWS(3, r * a[i] + s * b[i] + t * c[i]);
        ROWS(4, (r * a[i] + s * b[i]) + (t * c[i] + u * d[i]));
    }
#undef ROWS
}

/* sum = Σ x over n channels of whole lines of `pixels`, one behind the other, `step` apart; a line is summed behind sum. */
static const REAL *K(add_pixels)(REAL *restrict sum, const REAL *restrict x, int64_t lines, int64_t pixels, int64_t step, int64_t n)
{
    REAL *restrict line = sum + n;
    const int64_t bytes = n * (int64_t)sizeof *x;
    memset(sum, 0, (size_t)bytes);
    for (; lines > 0; lines--) {
        int64_t i = 0;
        memset(line, 0, (size_t)bytes);
        for (; i + 4 <= pixels; i += 4, x += 4 * step) {
            nnrt_touch(x, 4, step * (int64_t)sizeof *x, bytes);
            for (int64_t j = 0; j < n; j++)
                line[j] += (x[j] + x[j + step]) + (x[j + 2 * step] + x[j + 3 * step]);
        }
        for (; i < pixels; i++, x += step)
            for (int64_t j = 0; j < n; j++)
                line[j] += x[j];
        for (int64_t j = 0; j < n; j++)
            sum[j] += line[j];
    }
    return sum;
}

/* The same of `count` elements in whole pixels, of which several or one make 256 bytes: those are summed in registers, and
 * four quarters of memory are fetched at once. */
static __attribute__((optimize("no-tree-vectorize"))) const REAL *K(add_even)(REAL *sum, const REAL *x, int64_t count, int64_t n)
{
    const int64_t quarter = count / (4 * EVEN * LANES), far = quarter * EVEN * LANES;
    K(vec) all[EVEN] = {{0}};
    for (int64_t r = 0; r < quarter;) {
        K(vec) part[EVEN] = {{0}};
        for (const int64_t stop = MIN(r + 64, quarter); r < stop; r++, x += EVEN * LANES)
            UNROLL_EVEN for (int j = 0; j < EVEN; j++)
                part[j] += (K(load)(x + j * LANES) + K(load)(x + j * LANES + far))
                         + (K(load)(x + j * LANES + 2 * far) + K(load)(x + j * LANES + 3 * far));
        for (int j = 0; j < EVEN; j++)
            all[j] += part[j];
    }
    x += 3 * far;
    memset(sum, 0, (size_t)n * sizeof *x);
    for (int64_t i = 0; i < EVEN * LANES; i++)
        sum[i % n] += ((const REAL *)all)[i];
    for (int64_t i = 0; i < count - 4 * far; i++)
        sum[i % n] += x[i];
    return sum;
}

/* The sum of the unit's lines over pixels first..last-1 and its channels; backward each by its scale.
 * The error grows with the sides of a window, not with its area. */
static const REAL *K(add_lines)(const nnrt_pool_args *p, const unit *q, int64_t first, int64_t last)
{
    int64_t wide = q->c1 - q->c0, runs = wide == p->c ? 1 : last - first, run = wide == p->c ? (last - first) * wide : wide;
    for (int64_t r = 0; r < runs; r++) {
        REAL *sum = (REAL *)q->buffer + r * p->chunk;
        for (int64_t l = 0; l < q->lines;) {
            const REAL *rows[4];
            REAL scale[4];
            int count = 0;
            if (l)
                rows[count] = sum, scale[count++] = 1;
            for (; count < 4 && l < q->lines; l++, count++) {
                rows[count] = (const REAL *)p->from + q->line[l].from + (first + r) * p->c + q->c0;
                scale[count] = p->backward ? (REAL)q->line[l].scale : 1;
            }
            K(add_rows)(sum, rows, scale, count, run);
        }
        if (!q->lines && run > 0)
            memset(sum, 0, (size_t)run * sizeof(REAL));
    }
    return q->buffer;
}

/* y = scale Σ x over pixels `step` apart of each of the lines, or over taps each by its own scale. */
INLINE void K(avg_block)(const nnrt_pool_args *p, const REAL *x, const line *lines, int64_t high, int64_t step,
                         const line *taps, int64_t count, REAL scale, REAL *y, int vectors, int64_t lanes)
{
    K(vec) sum[4];
    UNROLL for (int j = 0; j < vectors; j++)
        sum[j] = (K(vec)){0};
    if (taps)
        for (const line *o = taps; o < taps + count; o++)
            UNROLL for (int j = 0; j < vectors; j++)
                sum[j] += K(get)(x + o->from + j * LANES, lanes) * (REAL)o->scale;
    else
        for (int64_t l = 0; l < high; l++) {
            const REAL *v = x + lines[l].from;
            for (int64_t k = 0; k < count; k++, v += step)
                UNROLL for (int j = 0; j < vectors; j++)
                    sum[j] += K(get)(v + j * LANES, lanes);
        }
    UNROLL for (int j = 0; j < vectors; j++)
        sum[j] *= scale;
    K(put)(y, sum, vectors, lanes, p->stream);
}

static __attribute__((noinline)) void K(avg_one)(const nnrt_pool_args *p, const REAL *x, const line *lines, int64_t high,
                                                 int64_t step, const line *taps, int64_t count, REAL scale, REAL *y,
                                                 int64_t lanes)
{
    K(avg_block)(p, x, lines, high, step, taps, count, scale, y, 1, lanes);
}

#define ONE(j, lanes) K(avg_one)(p, x + j, lines, high, step, taps, count, scale, y + j, lanes)
#define MANY(j) K(avg_block)(p, x + j, lines, high, step, taps, count, scale, y + j, 4, LANES)

static void K(avg_pool)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    UNITS {
        window left = q.window[0], right = q.window[q.w1 - 1 - q.w0];
        int64_t wide = q.c1 - q.c0, first = left.start + left.first, last = right.start + right.last;
        int64_t pixels = p->axis[2].in;
        /* one window of whole lines, one behind the other */
        const int whole = q.lines && q.w1 - q.w0 == 1 && last - first == pixels && pixels > 1
            && q.line[q.lines - 1].from - q.line->from == (q.lines - 1) * pixels * p->c;
        /* windows of four taps that do not overlap take no sums of lines before; of nine, 3 x 3, they lose a tenth */
        const int64_t taps_w = p->axis[2].kernel; /* 0: adaptive */
        const int few = !whole && wide >= LANES && taps_w && taps_w <= p->axis[2].stride && q.lines * taps_w <= 4;
        const line none = {0}, *lines = few ? q.line : &none, *taps = NULL;
        const int64_t high = few ? q.lines : 1, step = few ? p->c : p->chunk;
        const REAL *sum = few ? (const REAL *)p->from + first * p->c + q.c0
                    : whole && sizeof(REAL) == 4 && wide == p->c && EVEN * LANES % wide == 0
                    ? K(add_even)(q.buffer, (const REAL *)p->from + q.line->from, q.lines * pixels * wide, wide)
                    : whole ? K(add_pixels)(q.buffer, (const REAL *)p->from + q.line->from + q.c0, q.lines, pixels, p->c, wide)
                    : K(add_lines)(p, &q, first, last);
        const int ahead = p->ahead && q.lines && !whole;
        for (int64_t o = q.w0; o < q.w1; o++) {
            window w = q.window[o - q.w0];
            if (ahead)
                K(fetch)(p, &q, o);
            const int64_t count = whole ? 1 : w.last - w.first;
            const REAL *x = sum + (w.start + w.first - first) * step;
            REAL *y = (REAL *)p->to + q.to + o * p->c + q.c0;
            REAL scale = (REAL)(p->divisor ? 1 / p->divisor : q.line->scale * w.scale);
            CHANNELS(wide, MANY, ONE);
        }
    }
    if (((const nnrt_pool_args *)args)->stream)
        nnrt_stream_end();
}

/* dx[i] = Σ dy[o] / count[o] over the windows o that cover i. */
static void K(avg_pool_backward)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    UNITS {
        int64_t wide = q.c1 - q.c0;
        cover left = cover_of(p->axis + 2, q.w0), right = cover_of(p->axis + 2, q.w1 - 1);
        const REAL *x = (const REAL *)K(add_lines)(p, &q, left.first, right.last) - left.first * p->chunk;
        for (int64_t i = q.w0; i < q.w1; i++) {
            window w = q.window[i - q.w0];
            const int64_t count = w.last - w.first;
            const line *taps = q.tap + w.first, *lines = NULL;
            const int64_t high = 0, step = 0;
            REAL *y = (REAL *)p->to + q.to + i * p->c + q.c0, scale = 1;
            CHANNELS(wide, MANY, ONE);
        }
    }
    if (((const nnrt_pool_args *)args)->stream)
        nnrt_stream_end();
}

#undef ONE
#undef MANY
#undef UNROLL
#undef EVEN
#undef UNROLL_EVEN
#undef CHANNELS
#undef ROW_SUM
#undef ROW_BEST
#undef LANES_BEST
#undef TREE
#undef PLUS
#undef BEST_AT
#undef BEST_FOUR
#undef AT
#undef LANES

#endif
