/* Sums over the taps for several outputs in registers: tiles of every number of outputs. Included once per dtype.
 *
 *     y[i, c] = relu?(b[c] + Σ_taps x[tap + i, ..] w[tap, ..]) */

#ifndef COUNT
#define COUNT 8 /* most outputs of a tile; 6 of two vectors */
#define MOST_COUNT 14
#define CHUNK 16 /* vectors of channels side by side: three rows of a tile's inputs stay in L1 */
#define RUN_CHUNK 32 /* the same of a run: so does its filter */
#define LINE (64 / REAL_BYTES) /* channels of a cache line */
/* Output i and where its input lies: three to a pointer, so that every address is [pointer + 0, 1 or 2 steps]. */
#define EACH_OUTPUT(X)                                                                                  \
    X(0, p0, 0) X(1, p0, 1) X(2, p0, 2) X(3, p3, 0) X(4, p3, 1) X(5, p3, 2) X(6, p6, 0) X(7, p6, 1) \
    X(8, p6, 2) X(9, p9, 0) X(10, p9, 1) X(11, p9, 2) X(12, p12, 0) X(13, p12, 1)
enum { N = 99 }; /* none */
/* Input j of a row of three taps, and the outputs that read it through the first, the second and the third. */
#define EACH_INPUT(X)                                                                                   \
    X(0, 0, N, N, p0, 0) X(1, 1, 0, N, p0, 1) X(2, 2, 1, 0, p0, 2) X(3, 3, 2, 1, p3, 0) X(4, 4, 3, 2, p3, 1) \
    X(5, 5, 4, 3, p3, 2) X(6, 6, 5, 4, p6, 0) X(7, 7, 6, 5, p6, 1) X(8, 8, 7, 6, p6, 2) X(9, 9, 8, 7, p9, 0) \
    X(10, 10, 9, 8, p9, 1) X(11, 11, 10, 9, p9, 2) X(12, 12, 11, 10, p12, 0) X(13, 13, 12, 11, p12, 1) \
    X(14, N, 13, 12, p12, 2) X(15, N, N, 13, p15, 0)
#define POINTERS                                                                                        \
    const REAL *p0 = p, *p3 = p + 3 * step, *p6 = p + 6 * step, *p9 = p + 9 * step;                     \
    const REAL *p12 = p + 12 * step, *p15 = p + 15 * step;                                              \
    (void)p3, (void)p6, (void)p9, (void)p12, (void)p15;

#define INPUT(p, m) (edge ? K(load_lanes)(p + m * step, mask) : K(load)(p + m * step))
#define START(i, p, m) V a##i = w0, b##i = w1;
#define TIMES(i, p, m)                                                                                  \
    if (count > i) {                                                                                    \
        a##i += INPUT(p, m) * w0;                                                                       \
        if (vectors > 1)                                                                                \
            b##i += K(load)(p + m * step + VL) * w1;                                                    \
    }
#define SLIDE(j, i0, i1, i2, p, m)                                                                      \
    if (count + 2 > j) {                                                                                \
        V v = INPUT(p, m);                                                                              \
        if (count > i0)                                                                                 \
            a##i0 += v * w0;                                                                            \
        if (count > i1)                                                                                 \
            a##i1 += v * w1;                                                                            \
        if (count > i2)                                                                                 \
            a##i2 += v * w2;                                                                            \
    }
#define RUN_START(i, p, m) V a##i = vectors > i && bias ? K(load)(u + i * VL) : (V){0};
#define RUN_TIMES(i, p, m)                                                                              \
    if (vectors > i)                                                                                    \
        a##i += K(load)(from + i * VL) * K(load)(u + i * VL);
#define RUN_WRITE(i, p, m)                                                                              \
    if (vectors > i) {                                                                                  \
        V v = relu ? K(relu_vec)(a##i) : a##i;                                                          \
        if (past)                                                                                       \
            K(store_past)(to + i * VL, v);                                                              \
        else                                                                                            \
            K(store)(to + i * VL, v);                                                                   \
    }
#define DY(i, p, m) const V d##i = count > i ? INPUT(p, m) : w0;
#define DY_TIMES(i, p, m)                                                                               \
    if (count > i)                                                                                      \
        w0 += INPUT(p, m) * d##i;
#define DY_SLIDE(j, i0, i1, i2, p, m)                                                                   \
    if (count + 2 > j) {                                                                                \
        V v = INPUT(p, m);                                                                              \
        if (count > i0)                                                                                 \
            w0 += v * d##i0;                                                                            \
        if (count > i1)                                                                                 \
            w1 += v * d##i1;                                                                            \
        if (count > i2)                                                                                 \
            w2 += v * d##i2;                                                                            \
    }
#define DY_TOTAL(i, p, m)                                                                               \
    if (count > i)                                                                                      \
        w0 += d##i;
#define SPLAT_TIMES(i, p, m)                                                                            \
    if (count > i) {                                                                                    \
        V v = K(splat)(p[m * step]);                                                                    \
        a##i += v * w0;                                                                                 \
        if (vectors > 1)                                                                                \
            b##i += v * w1;                                                                             \
    }
#define SPLAT_SLIDE(j, i0, i1, i2, p, m)                                                                \
    if (count + 2 > j) {                                                                                \
        const V v = K(splat)(p[m * step]);                                                              \
        if (count > i0)                                                                                 \
            a##i0 += v * w0;                                                                            \
        if (count > i1)                                                                                 \
            a##i1 += v * w1;                                                                            \
        if (count > i2)                                                                                 \
            a##i2 += v * w2;                                                                            \
        if (vectors > 1 && count > i0)                                                                  \
            b##i0 += v * u0;                                                                            \
        if (vectors > 1 && count > i1)                                                                  \
            b##i1 += v * u1;                                                                            \
        if (vectors > 1 && count > i2)                                                                  \
            b##i2 += v * u2;                                                                            \
    }
#define WINDOW(i, p, m) V x##i = count > i ? K(load_lanes)(p + m * step, window) : w0;
#define SPREAD_TIMES(i, p, m)                                                                           \
    if (count > i)                                                                                      \
        a##i += K(permute)(x##i, order, near) * w0;
#define WINDOWS(j, i0, i1, i2, p, m) V x##j = count + 2 > j ? K(load_lanes)(p + m * step, window) : w0;
#define SPREAD_SLIDE(j, i0, i1, i2, p, m)                                                               \
    if (count + 2 > j) {                                                                                \
        const V v = K(permute)(x##j, order, near);                                                      \
        if (count > i0)                                                                                 \
            a##i0 += v * w0;                                                                            \
        if (count > i1)                                                                                 \
            a##i1 += v * w1;                                                                            \
        if (count > i2)                                                                                 \
            a##i2 += v * w2;                                                                            \
    }
#define NOT_NEGATIVE(i, p, m)                                                                           \
    if (count > i)                                                                                      \
        a##i = K(relu_vec)(a##i), b##i = K(relu_vec)(b##i);
/* Stores by lanes take some 20 operations on AMD. */
#define WRITE(i, p, m)                                                                                  \
    if (count > i) {                                                                                    \
        if (edge && lanes < VL)                                                                         \
            K(store_lanes)(p + m * step, mask, a##i);                                                   \
        else                                                                                            \
            K(store)(p + m * step, a##i);                                                               \
        if (vectors > 1)                                                                                \
            K(store)(p + m * step + VL, b##i);                                                          \
    }
#define WRITE_ALL(to, by)                                                                               \
    {                                                                                                   \
        const int64_t step = by;                                                                        \
        REAL *p0 = to, *p3 = p0 + 3 * step, *p6 = p0 + 6 * step, *p9 = p0 + 9 * step, *p12 = p0 + 12 * step; \
        (void)p3, (void)p6, (void)p9, (void)p12;                                                        \
        EACH_OUTPUT(WRITE)                                                                              \
    }
#endif

/* What the tiles of a grid share. */
typedef struct {
    const row_at *rows;
    int64_t n, taps;              /* rows of taps; taps in a row */
    row_at *threes, *ones, *end;  /* EACH: the same, by three taps whose inputs outputs share, and one by one */
    int64_t x_tap, w_tap, w_in;   /* from tap to tap, and from one channel read to the next in w */
    int64_t x_step, y_step;       /* from output to output */
    int64_t in, window;           /* channels read by a lane; SPREAD: by a vector */
    int32_t relu, past, filter;   /* filter: its gradient is summed, in w, and that of the bias; y is dy */
    int32_t cleared;              /* what surrounds copies is, of whole images, the same zeros */
    const char *next_x, *next_y;  /* what comes after these rows, to be had in L2 by then */
    int64_t lines_x;              /* 64 B lines to read for each that is written */
    const char *soon;             /* SPREAD and WIDE: what is copied next, so many bytes of each pixel */
    int64_t soon_step, soon_bytes;
    INT order[VBYTES / REAL_BYTES][VBYTES / REAL_BYTES]; /* SPREAD: which of the window's channels a lane reads */
    int32_t near;                 /* all within its 16 bytes */
    int32_t runs;                 /* EACH, strided: worth it: lines come from memory, or compete for places of L1 */
    int64_t across;               /* outputs of a run */
} K(shared);

typedef INT K(order) __attribute__((vector_size(VBYTES), aligned(sizeof(INT)), may_alias));

/* Across 16 bytes it takes twice as long as within them (Zen 3). */
#if VBYTES == 32 && REAL_BYTES == 4
#define NEAR(in, out) ((in) == (out) && 4 % (in) == 0)
#else
#define NEAR(in, out) 0
#endif

/* Whether the groups of a vector are spread once for three taps: with 32 registers. */
#define SPREAD_SLIDES (VBYTES == 64)

INLINE K(vec) K(permute)(K(vec) v, K(order) order, const int near)
{
#if VBYTES == 32 && REAL_BYTES == 4
    if (near)
        return _mm256_permutevar_ps(v, (__m256i)order);
#elif VBYTES == 64 && REAL_BYTES == 4
    return _mm512_permutexvar_ps((__m512i)order, v);
#endif
    return __builtin_shuffle(v, (__typeof__(v < v))order);
}

/* Lane l of a vector of groups reads channel c of its group: channel orders[c][l] of the window. */
static void K(orders)(INT (*orders)[VBYTES / REAL_BYTES], int64_t in, int64_t out)
{
    for (int64_t c = 0; c < in; c++)
        for (int64_t l = 0; l < VL; l++)
            orders[c][l] = (INT)((l / out * in + c) % VL);
}

/* A store that bypasses the caches. */
INLINE void K(store_past)(REAL *p, K(vec) v)
{
#if defined(__AVX512F__)
    _mm512_stream_si512((void *)p, (__m512i)v);
#elif defined(__AVX2__)
    _mm256_stream_si256((__m256i *)p, (__m256i)v);
#else
    K(store)(p, v);
#endif
}

/* Asks for the lines to be read and written next, as many as make up for `bytes` of outputs. A few at a time, between
 * the arithmetic: more than the queue of misses holds would stop it. */
INLINE void K(ahead)(K(shared) *s, int64_t bytes, int past)
{
    FETCH(s->next_x, s->lines_x * bytes, 0);
    if (!past)
        FETCH(s->next_y, bytes, 1);
}

#define TILE_ARGS K(shared) *s, const REAL *x, const REAL *w, const REAL *bias, REAL *y, int64_t lanes

/* A channel reads its own. Whole vectors, one or two at a time, or when edge the lanes of one. What s holds is read
 * first: as far as the compiler knows, stores to y may change it. */
INLINE void K(each_tile)(const int count, const int vectors, const int edge, TILE_ARGS)
{
    typedef K(vec) V;
    const int64_t step = s->x_step, w_tap = s->w_tap, y_step = s->y_step;
    const row_at *const threes = s->threes, *const ones = s->ones, *const end = s->end;
    const int32_t relu = s->relu;
    const K(mask) mask = K(lanes)(edge ? lanes : VL);
    for (int64_t c = 0; c < lanes; c += vectors * VL) {
        if (count * vectors > 1 && !edge && s->next_x)
            K(ahead)(s, count * vectors * VBYTES, 0);
        V w0 = {0}, w1 = {0}, w2, aN;
        if (bias) {
            w0 = edge ? K(load_lanes)(bias + c, mask) : K(load)(bias + c);
            w1 = vectors > 1 ? K(load)(bias + c + VL) : w1;
        }
        EACH_OUTPUT(START)
        const row_at *r = threes;
        for (; vectors == 1 && r < ones; r++) {
            const REAL *p = x + r->x + c, *u = w + r->w + c;
            POINTERS
            w0 = K(load)(u), w1 = K(load)(u + w_tap), w2 = K(load)(u + 2 * w_tap);
            EACH_INPUT(SLIDE)
        }
        for (; r < end; r++) {
            const REAL *p = x + r->x + c, *u = w + r->w + c;
            POINTERS
            w0 = K(load)(u);
            if (vectors > 1)
                w1 = K(load)(u + VL);
            EACH_OUTPUT(TIMES)
        }
        (void)aN, (void)b0;
        if (relu) {
            EACH_OUTPUT(NOT_NEGATIVE)
        }
        WRITE_ALL(y + c, y_step)
    }
}

/* Outputs one by one, `across` of them, several vectors of each at a time: x is read in the order of memory, which its
 * filter, loaded for each, is worth where that waits. */
INLINE void K(each_run)(const int vectors, const int past, TILE_ARGS)
{
    typedef K(vec) V;
    const int64_t x_step = s->x_step, y_step = s->y_step, across = s->across;
    const row_at *const ones = s->ones, *const end = s->end;
    const int32_t relu = s->relu;
    for (int64_t i = 0; i < across; i++, x += x_step, y += y_step)
        for (int64_t c = 0; c < lanes; c += vectors * VL) {
            if (s->next_x)
                K(ahead)(s, vectors * VBYTES, past);
            const REAL *u = bias ? bias + c : w;
            REAL *to = y + c;
            EACH_OUTPUT(RUN_START)
            for (const row_at *r = ones; r < end; r++) {
                const REAL *from = x + r->x + c;
                u = w + r->w + c;
                EACH_OUTPUT(RUN_TIMES)
            }
            EACH_OUTPUT(RUN_WRITE)
        }
}

/* The filter's gradient: w[tap, c] += Σ_i x[tap + i, c] y[i, c] and bias[c] += Σ_i y[i, c]. Of a row of three taps each
 * input is read once; outputs stay in registers. */
INLINE void K(filter_tile)(const int count, const int edge, TILE_ARGS)
{
    typedef K(vec) V;
    const int64_t x_step = s->x_step, w_tap = s->w_tap, y_step = s->y_step;
    const row_at *const threes = s->threes, *const ones = s->ones, *const end = s->end;
    const K(mask) mask = K(lanes)(edge ? lanes : VL);
    const V zero = {0};
    for (int64_t c = 0; c < lanes; c += VL) {
        if (count > 1 && !edge && s->next_x)
            K(ahead)(s, count * VBYTES, 0);
        V w0 = zero, w1, w2, dN;
        const REAL *p = y + c;
        int64_t step = y_step;
        POINTERS
        EACH_OUTPUT(DY)
        (void)d8, (void)d9, (void)d10, (void)d11, (void)d12, (void)d13, (void)dN;
        step = x_step;
        const row_at *r = threes;
        for (; r < ones; r++) {
            const REAL *p = x + r->x + c;
            REAL *u = (REAL *)w + r->w + c;
            POINTERS
            w0 = w1 = w2 = zero;
            EACH_INPUT(DY_SLIDE)
            K(store)(u, K(load)(u) + w0);
            K(store)(u + w_tap, K(load)(u + w_tap) + w1);
            K(store)(u + 2 * w_tap, K(load)(u + 2 * w_tap) + w2);
        }
        for (; r < end; r++) {
            const REAL *p = x + r->x + c;
            REAL *u = (REAL *)w + r->w + c;
            POINTERS
            w0 = zero;
            EACH_OUTPUT(DY_TIMES)
            K(store)(u, K(load)(u) + w0);
        }
        if (bias) {
            w0 = K(load)(bias + c);
            EACH_OUTPUT(DY_TOTAL)
            K(store)((REAL *)bias + c, w0);
        }
    }
}

/* The groups of one vector (SPREAD), or one or two vectors of one group (WIDE). */
INLINE void K(group_tile)(const int kind, const int near, const int count, const int vectors, const int edge, TILE_ARGS)
{
    typedef K(vec) V;
    const int64_t step = s->x_step;
    const K(mask) mask = K(lanes)(edge ? lanes : VL), window = K(lanes)(kind == NNRT_SPREAD ? s->window : VL);
    const int64_t x_tap = s->x_tap, w_tap = s->w_tap, w_in = s->w_in, in = s->in;
    const int slides = SPREAD_SLIDES || (kind == NNRT_WIDE && vectors == 1);
    const int64_t threes = slides && x_tap == step ? s->taps / 3 : 0; /* as above */
    V w0 = {0}, w1 = {0}, w2, u0 = w0, u1 = w0, u2 = w0, aN, bN;
    if (bias) {
        w0 = edge ? K(load_lanes)(bias, mask) : K(load)(bias);
        if (vectors > 1)
            w1 = K(load)(bias + VL);
    }
    EACH_OUTPUT(START)
    for (int64_t r = 0; r < s->n; r++) {
        const REAL *line = x + s->rows[r].x, *u = w + s->rows[r].w;
        for (int64_t k = threes; k > 0; k--, line += 3 * step, u += 3 * w_tap) {
            const REAL *p = line, *q = u;
            if (kind == NNRT_SPREAD && slides) {
                POINTERS
                EACH_INPUT(WINDOWS)
                for (int64_t c = 0; c < in; c++, q += w_in) {
                    const K(order) order = *(const K(order) *)s->order[c];
                    w0 = K(load)(q), w1 = K(load)(q + w_tap), w2 = K(load)(q + 2 * w_tap);
                    EACH_INPUT(SPREAD_SLIDE)
                }
                continue;
            }
            for (int64_t c = in; c > 0; c--, p++, q += w_in) {
                POINTERS
                w0 = K(load)(q), w1 = K(load)(q + w_tap), w2 = K(load)(q + 2 * w_tap);
                if (vectors > 1)
                    u0 = K(load)(q + VL), u1 = K(load)(q + w_tap + VL), u2 = K(load)(q + 2 * w_tap + VL);
                EACH_INPUT(SPLAT_SLIDE)
            }
        }
        for (int64_t k = s->taps - 3 * threes; k > 0; k--, line += x_tap, u += w_tap) {
            const REAL *p = line, *q = u;
            if (kind == NNRT_WIDE)
                for (int64_t c = in; c > 0; c--, p++, q += w_in) {
                    POINTERS
                    w0 = K(load)(q);
                    if (vectors > 1)
                        w1 = K(load)(q + VL);
                    EACH_OUTPUT(SPLAT_TIMES)
                }
            else {
                POINTERS
                EACH_OUTPUT(WINDOW)
                for (int64_t c = 0; c < in; c++, q += w_in) {
                    K(order) order = *(const K(order) *)s->order[c];
                    w0 = K(load)(q);
                    EACH_OUTPUT(SPREAD_TIMES)
                }
            }
        }
    }
    (void)aN, (void)bN;
    if (s->relu) {
        EACH_OUTPUT(NOT_NEGATIVE)
    }
    WRITE_ALL(y, s->y_step)
}

typedef void (*K(tile_fn))(TILE_ARGS);

/* Of every number of outputs that is worth its code; the others are made of these. */
#if REAL_BYTES == 4 && VBYTES > 16
#define COUNTS(X, Y) X(1, Y) X(2, Y) X(4, Y) X(5, Y) X(7, Y) X(8, Y)
#define FEW(X, Y) X(1, Y) X(2, Y) X(5, Y) X(6, Y)
#define PAIRS(X, Y) X(1, Y) X(2, Y) X(4, Y) X(5, Y) X(6, Y)
#define LEAST(X, Y) X(1, Y) X(4, Y)
#define RUNS(X, Y) X(4, Y) X(8, Y)
#define TEN(X, Y) X(10, Y)
#else
#define TEN(X, Y)
#define PAIRS(X, Y) X(1, Y)
#define LEAST(X, Y) X(1, Y)
#define RUNS(X, Y)
#define COUNTS(X, Y) X(1, Y) X(4, Y)
#define FEW(X, Y) X(1, Y) X(4, Y)
#endif
#define RUN_PAST(n) K(each_run)(n, 1, s, x, w, bias, y, lanes);
#define RUN(n) K(each_run)(n, 0, s, x, w, bias, y, lanes);
#define EACH_TWO(n) K(each_tile)(n, 2, 0, s, x, w, bias, y, lanes);
#define EACH_FULL(n) K(each_tile)(n, 1, 0, s, x, w, bias, y, lanes);
#define EACH_EDGE(n) K(each_tile)(n, 1, 1, s, x, w, bias, y, lanes);
#define FILTER_FULL(n) K(filter_tile)(n, 0, s, x, w, bias, y, lanes);
#define FILTER_EDGE(n) K(filter_tile)(n, 1, s, x, w, bias, y, lanes);
#define WIDE_TWO(n) K(group_tile)(NNRT_WIDE, 0, n, 2, 0, s, x, w, bias, y, lanes);
#define WIDE_ONE(n) K(group_tile)(NNRT_WIDE, 0, n, 1, 1, s, x, w, bias, y, lanes);
#define SPREAD_FAR(n) K(group_tile)(NNRT_SPREAD, 0, n, 1, 1, s, x, w, bias, y, lanes);
#define SPREAD_NEAR(n) K(group_tile)(NNRT_SPREAD, 1, n, 1, 1, s, x, w, bias, y, lanes);
#define DEFINE(n, F) static void K(F##_##n)(TILE_ARGS) { F(n) }
#define LIST(n, F) [n] = K(F##_##n),
enum { K(EACH_ONE), K(EACH_ALL), K(EACH_PAIR), K(EACH_RUN), K(EACH_BYPASS), K(SPREAD), K(NEARBY), K(WIDE), K(WIDE_PAIR),
       K(FILTER_ONE), K(FILTER_ALL), K(KINDS) };
#if SPREAD_SLIDES /* groups alone: channels of their own wait for memory, in AVX2's vectors */
#define SPREAD_COUNT 10 /* with their inputs in registers */
#define WIDE_COUNT 14
#define PAIR_COUNT 7
#define SPREADS(X, Y) X(1, Y) X(2, Y) X(4, Y) X(5, Y) X(7, Y) X(8, Y) X(10, Y)
#define WIDES(X, Y) X(1, Y) X(4, Y) X(7, Y) X(14, Y)
#define WIDE_PAIRS(X, Y) X(1, Y) X(4, Y) X(7, Y)
WIDES(DEFINE, WIDE_ONE)
WIDE_PAIRS(DEFINE, WIDE_TWO)
SPREADS(DEFINE, SPREAD_FAR)
static const K(tile_fn) K(tiles)[K(KINDS)][MOST_COUNT + 1] = {
    [K(SPREAD)] = {SPREADS(LIST, SPREAD_FAR)},
    [K(WIDE)] = {WIDES(LIST, WIDE_ONE)},
    [K(WIDE_PAIR)] = {WIDE_PAIRS(LIST, WIDE_TWO)},
};
#undef SPREADS
#undef WIDES
#undef WIDE_PAIRS
#else
#define SPREAD_COUNT (COUNT - 2)
#define WIDE_COUNT 10 /* of one vector of a group: with 8, sums wait for each other's end */
#define PAIR_COUNT (COUNT - 2)
COUNTS(DEFINE, WIDE_ONE)
TEN(DEFINE, WIDE_ONE)
FEW(DEFINE, WIDE_TWO)
COUNTS(DEFINE, EACH_FULL)
PAIRS(DEFINE, EACH_TWO)
RUNS(DEFINE, RUN)
RUNS(DEFINE, RUN_PAST)
LEAST(DEFINE, EACH_EDGE)
COUNTS(DEFINE, FILTER_FULL)
LEAST(DEFINE, FILTER_EDGE)
LEAST(DEFINE, SPREAD_FAR)
FEW(DEFINE, SPREAD_NEAR)
static const K(tile_fn) K(tiles)[K(KINDS)][MOST_COUNT + 1] = {
    {LEAST(LIST, EACH_EDGE)}, {COUNTS(LIST, EACH_FULL)}, {PAIRS(LIST, EACH_TWO)},
    {RUNS(LIST, RUN)}, {RUNS(LIST, RUN_PAST)},
    {LEAST(LIST, SPREAD_FAR)}, {FEW(LIST, SPREAD_NEAR)},
    {COUNTS(LIST, WIDE_ONE) TEN(LIST, WIDE_ONE)}, {FEW(LIST, WIDE_TWO)},
    {LEAST(LIST, FILTER_EDGE)}, {COUNTS(LIST, FILTER_FULL)},
};
#endif
