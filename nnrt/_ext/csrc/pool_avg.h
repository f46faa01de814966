/* Means of windows. Included once per dtype. */

/* sum[i] = Σ scale * rows, up to four of them or eight; the first may be the sum itself. */
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
        ROWS(8, ((r * a[i] + s * b[i]) + (t * c[i] + u * d[i]))
              + ((scale[4] * x[4][i] + scale[5] * x[5][i]) + (scale[6] * x[6][i] + scale[7] * x[7][i])));
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

/* sum += `count` elements of x, in whole pixels. */
static void K(add_each)(REAL *sum, const REAL *x, int64_t count, int64_t n)
{
    for (const REAL *end = x + count; x < end; x += n)
        for (int64_t j = 0; j < n; j++)
            sum[j] += x[j];
}

/* sum = all, of 256 bytes, and `count` elements of x in whole pixels. */
static const REAL *K(add_rest)(REAL *sum, const void *all, const REAL *x, int64_t count, int64_t n)
{
    memset(sum, 0, (size_t)n * sizeof *x);
    K(add_each)(sum, all, EVEN * LANES, n);
    K(add_each)(sum, x, count, n);
    return sum;
}

/* The same of `count` elements in whole pixels, of which several or one make 256 bytes: those are summed in registers, and
 * four pieces of memory are fetched at once. */
static __attribute__((optimize("no-tree-vectorize"))) const REAL *K(add_quarters)(REAL *sum, const REAL *x, int64_t count,
                                                                                  int64_t n)
{
    const int64_t piece = count / (4 * EVEN * LANES), far = piece * EVEN * LANES;
    K(vec) all[EVEN] = {{0}};
    for (int64_t r = 0; r < piece;) {
        K(vec) part[EVEN] = {{0}};
        for (const int64_t stop = MIN(r + 64, piece); r < stop; r++, x += EVEN * LANES)
            UNROLL_EVEN for (int j = 0; j < EVEN; j++)
                part[j] += (K(load)(x + j * LANES) + K(load)(x + j * LANES + far))
                         + K(load)(x + j * LANES + 2 * far) + K(load)(x + j * LANES + 3 * far);
        for (int j = 0; j < EVEN; j++)
            all[j] += part[j];
    }
    return K(add_rest)(sum, all, x + 3 * far, count - 4 * far, n);
}

#if defined(__AVX2__)
/* For kernels of AVX-512. */
#define V4 __attribute__((target("avx512f")))
typedef REAL K(zmm) __attribute__((vector_size(64), aligned(sizeof(REAL)), may_alias));
#define Z ((int64_t)(64 / sizeof(REAL)))

/* The same from three pieces of memory, each with sums of its own: an instruction a line. */
V4 static const REAL *K(add_thirds)(REAL *sum, const REAL *x, int64_t count, int64_t n)
{
    const int64_t piece = count / (12 * Z), far = piece * 4 * Z;
    K(zmm) all[4] = {{0}};
    for (int64_t r = 0; r < piece;) {
        K(zmm) part[3][4] = {{{0}}};
        for (const int64_t stop = MIN(r + 64, piece); r < stop; r++, x += 4 * Z)
            UNROLL for (int k = 0; k < 3; k++)
                UNROLL for (int j = 0; j < 4; j++)
                    part[k][j] += *(const K(zmm) *)(x + j * Z + k * far);
        UNROLL for (int j = 0; j < 4; j++)
            all[j] += (part[0][j] + part[1][j]) + part[2][j];
    }
    return K(add_rest)(sum, all, x + 2 * far, count - 3 * far, n);
}
#endif

static const REAL *K(add_even)(const nnrt_pool_args *p, REAL *sum, const REAL *x, int64_t count)
{
#if defined(__AVX2__)
    if (p->avx512)
        return K(add_thirds)(sum, x, count, p->c);
#endif
    return K(add_quarters)(sum, x, count, p->c);
}

/* The sum of the unit's lines over pixels first..last-1 and its channels; backward each by its scale.
 * The error grows with the sides of a window, not with its area. */
static const REAL *K(add_lines)(const nnrt_pool_args *p, const unit *q, int64_t first, int64_t last)
{
    int64_t wide = q->c1 - q->c0, runs = wide == p->c ? 1 : last - first, run = wide == p->c ? (last - first) * wide : wide;
    for (int64_t r = 0; r < runs; r++) {
        REAL *sum = (REAL *)q->buffer + r * p->chunk;
        for (int64_t l = 0; l < q->lines;) {
            const REAL *rows[8];
            REAL scale[8];
            const int most = q->lines - l >= 8 - !!l ? 8 : 4;
            int count = 0;
            if (l)
                rows[count] = sum, scale[count++] = 1;
            for (; count < most && l < q->lines; l++, count++) {
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

INLINE void K(square)(const REAL *x, int64_t c, int64_t row, REAL scale, REAL *y, int vectors, int stream)
{
    K(vec) v[4];
    UNROLL for (int j = 0; j < vectors; j++, x += LANES)
        v[j] = ((K(load)(x) + K(load)(x + c)) + (K(load)(x + row) + K(load)(x + row + c))) * scale;
    K(put)(y, v, vectors, LANES, stream);
}

#if defined(__AVX2__)
/* Means of 2 x 2: `count` times `vectors` of them, from and to so far apart. Few instructions, and no loop in a loop: those
 * in sight ask for memory. */
V4 INLINE void K(means)(const REAL *x, int64_t c, int64_t row, REAL scale, REAL *y, int64_t count, int64_t from,
                        int64_t to, int vectors, int stream)
{
    const REAL *right = x + c, *below = x + row, *last = below + c;
    for (; count > 0; count--, x += from, right += from, below += from, last += from, y += to)
        UNROLL for (int64_t j = 0; j < vectors * Z; j += Z) {
            const K(zmm) v = ((*(const K(zmm) *)(x + j) + *(const K(zmm) *)(right + j))
                            + (*(const K(zmm) *)(below + j) + *(const K(zmm) *)(last + j))) * scale;
            if (stream)
                _mm512_stream_si512((void *)(y + j), (__m512i)v);
            else
                *(K(zmm) *)(y + j) = v;
        }
}

/* Whole windows of 2 x 2 in the order of memory, which vectors of whole lines keep up with. */
V4 static void K(avg_lines)(const nnrt_pool_args *p, int64_t begin, int64_t end)
{
    const int64_t c = p->c, row = p->axis[2].in * c, high = p->axis[1].out, wide = p->axis[2].out, many = c / (4 * Z);
    const REAL scale = (REAL)(p->divisor ? 1 / p->divisor : 0.25);
    for (int64_t u = begin * p->group; u < MIN(end * p->group, p->units); u++) {
        const REAL *x = (const REAL *)p->from + (u / high * p->axis[1].in + u % high * 2) * row;
        REAL *y = (REAL *)p->to + u * wide * c;
        if (c == 4 * Z) {
            K(means)(x, c, row, scale, y, wide, 2 * c, c, 4, p->stream);
            continue;
        }
        for (int64_t o = 0; o < wide; o++, x += 2 * c, y += c) {
            const int64_t j = many * 4 * Z;
            K(means)(x, c, row, scale, y, many, 4 * Z, 4 * Z, 4, p->stream);
            K(means)(x + j, c, row, scale, y + j, (c - j) / Z, Z, Z, 1, p->stream);
        }
    }
}
#endif

/* Whole windows of 2 x 2, a task's two halves at a time: memory is read faster in more places, and by few instructions,
 * since those in sight ask for it. */
static void K(avg_squares)(const nnrt_pool_args *p, int64_t begin, int64_t end)
{
    int64_t u = begin * p->group;
    const int64_t stop = MIN(end * p->group, p->units), half = (stop - u + 1) / 2, c = p->c, row = p->axis[2].in * c;
    const REAL scale = (REAL)(p->divisor ? 1 / p->divisor : 0.25);
    for (const int64_t middle = u + half; u < middle; u++) {
        const REAL *x[2];
        REAL *y[2];
        for (int k = 0; k < 2; k++) {
            const int64_t r = u + k * half, h = p->axis[1].out;
            x[k] = (const REAL *)p->from + (r / h * p->axis[1].in + r % h * 2) * row;
            y[k] = (REAL *)p->to + r * p->axis[2].out * c;
        }
        const int rows = u + half < stop ? 2 : 1;
        for (int64_t o = 0; o < p->axis[2].out; o++)
            for (int k = 0; k < rows; k++, x[k - 1] += 2 * c, y[k - 1] += c) {
                int64_t j = 0;
                for (; j + 4 * LANES <= c; j += 4 * LANES)
                    K(square)(x[k] + j, c, row, scale, y[k] + j, 4, p->stream);
                for (; j < c; j += LANES)
                    K(square)(x[k] + j, c, row, scale, y[k] + j, 1, p->stream);
            }
    }
}

#define ONE(j, lanes) K(avg_one)(p, x + j, lines, high, step, taps, count, scale, y + j, lanes)
#define MANY(j) K(avg_block)(p, x + j, lines, high, step, taps, count, scale, y + j, 4, LANES)

static void K(avg_pool)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    if (((const nnrt_pool_args *)args)->squares) {
#if defined(__AVX2__)
        if (((const nnrt_pool_args *)args)->lined)
            K(avg_lines)(args, begin, end);
        else
#endif
            K(avg_squares)(args, begin, end);
        end = begin;
    }
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
                    ? K(add_even)(p, q.buffer, (const REAL *)p->from + q.line->from, q.lines * pixels * wide)
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

/* y = scale x over n channels: a pixel that one window covers. In one loop, to keep up with memory. */
static __attribute__((noinline)) void K(avg_alone)(REAL *y, const REAL *x, REAL scale, int64_t n, int stream)
{
    int64_t j = 0;
    for (; j + 2 * LANES <= n; j += 2 * LANES) {
        const K(vec) v[2] = {K(load)(x + j) * scale, K(load)(x + j + LANES) * scale};
        K(put)(y + j, v, 2, LANES, stream);
    }
    for (; j + LANES <= n; j += LANES) {
        const K(vec) v = K(load)(x + j) * scale;
        K(put)(y + j, &v, 1, LANES, stream);
    }
    for (; j < n; j++)
        y[j] = x[j] * scale;
}

/* dx[i] = Σ dy[o] / count[o] over the windows o that cover i. */
static void K(avg_pool_backward)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    UNITS {
        int64_t wide = q.c1 - q.c0;
        cover left = cover_of(p->axis + 2, q.w0), right = cover_of(p->axis + 2, q.w1 - 1);
        const int one = q.lines == 1 && wide == p->c; /* line: read where it lies */
        const REAL scale = one ? (REAL)q.line->scale : 1;
        const REAL *x = one ? (const REAL *)p->from + q.line->from
                            : (const REAL *)K(add_lines)(p, &q, left.first, right.last) - left.first * p->chunk;
        for (int64_t i = q.w0; i < q.w1; i++) {
            window w = q.window[i - q.w0];
            const int64_t count = w.last - w.first;
            const line *taps = q.tap + w.first, *lines = NULL;
            const int64_t high = 0, step = 0;
            REAL *y = (REAL *)p->to + q.to + i * p->c + q.c0;
            if (count == 1) {
                K(avg_alone)(y, x + taps->from, scale * (REAL)taps->scale, wide, p->stream);
                continue;
            }
            CHANNELS(wide, MANY, ONE);
        }
    }
    if (((const nnrt_pool_args *)args)->stream)
        nnrt_stream_end();
}

#undef ONE
#undef MANY

#if defined(__AVX2__)
/* Means of 3 x 3 with stride 1 for AVX-512, which arithmetic keeps from memory's speed; forward and backward. */
/* sum = Σ scale * rows, three of them, over n elements in whole vectors. */
V4 static void K(add_three)(REAL *sum, const REAL *const *x, const REAL *scale, int64_t n)
{
    const REAL *a = x[0], *b = x[1], *c = x[2];
    const REAL r = scale[0], s = scale[1], t = scale[2];
    for (int64_t i = 0; i < n; i += Z)
        *(K(zmm) *)(sum + i) = *(const K(zmm) *)(a + i) * r + *(const K(zmm) *)(b + i) * s + *(const K(zmm) *)(c + i) * t;
}

/* y = scale (x + x[step..] + x[2 step..]). */
V4 static void K(mean_three)(REAL *y, const REAL *x, int64_t step, REAL scale, int64_t n, int stream)
{
    for (int64_t i = 0; i < n; i += Z) {
        const K(zmm) v = (*(const K(zmm) *)(x + i) + *(const K(zmm) *)(x + i + step) + *(const K(zmm) *)(x + i + 2 * step)) * scale;
        if (stream)
            _mm512_stream_si512((void *)(y + i), (__m512i)v);
        else
            *(K(zmm) *)(y + i) = v;
    }
}

/* How many pixels from w0 + i on have three taps of one scale, `most` at most: they make a run. */
static int64_t K(run)(const nnrt_pool_args *p, const unit *q, int64_t i, int64_t most)
{
    int64_t n = 0;
    for (const window *w = q->window + i; n < most && w->last - w->first == 3; n++, w++) {
        const line *tap = q->tap + w->first;
        if (p->backward && (tap->scale != tap[1].scale || tap->scale != tap[2].scale))
            break;
    }
    return n;
}

static void K(avg_threes)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    UNITS {
        const window *w = q.window, *right = w + (q.w1 - 1 - q.w0);
        const int64_t c = p->c, first = p->backward ? cover_of(p->axis + 2, q.w0).first : w->start + w->first;
        const int64_t last = p->backward ? cover_of(p->axis + 2, q.w1 - 1).last : right->start + right->last;
        const REAL *sum = q.buffer;
        if (q.lines == 3) {
            const REAL *rows[3], scale[3] = {p->backward ? (REAL)q.line[0].scale : 1, p->backward ? (REAL)q.line[1].scale : 1,
                                             p->backward ? (REAL)q.line[2].scale : 1};
            for (int l = 0; l < 3; l++)
                rows[l] = (const REAL *)p->from + q.line[l].from + first * c;
            K(add_three)(q.buffer, rows, scale, (last - first) * c);
        } else
            K(add_lines)(p, &q, first, last);
        sum -= first * c;
        for (int64_t o = q.w0, n; o < q.w1; o += n, w += n) {
            REAL *y = (REAL *)p->to + q.to + o * c;
            const line *taps = p->backward ? q.tap + w->first : NULL, none = {0};
            const REAL *x = p->backward ? sum : sum + (w->start + w->first) * c;
            const REAL scale = p->backward ? 1 : (REAL)(p->divisor ? 1 / p->divisor : q.line->scale * w->scale);
            n = K(run)(p, &q, o - q.w0, MIN(p->ahead ? 4 : q.w1, q.w1 - o));
            for (int64_t i = o; p->ahead && i < o + (n ? n : 1); i++)
                K(fetch)(p, &q, i);
            if (n)
                K(mean_three)(y, taps ? x + taps->from : x, c, taps ? (REAL)taps->scale : scale, n * c, p->stream);
            else
                for (int64_t j = 0; j < c; j += LANES)
                    K(avg_one)(p, x + j, &none, 1, c, taps, w->last - w->first, scale, y + j, LANES);
            n = n ? n : 1;
        }
    }
    if (((const nnrt_pool_args *)args)->stream)
        nnrt_stream_end();
}
#undef V4
#undef Z
#else
#define avg_threes_f32 NULL
#define avg_threes_f64 NULL
#endif
