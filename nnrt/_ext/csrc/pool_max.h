/* Largest elements of windows, and back to where they came from. Included once per dtype. */

LANES_BEST(max, >)

/* Asks for what the next row of outputs reads and this one does not, the rows below, under output o:
 * between the arithmetic, which hides from the hardware what will be read. A call, since it costs
 * those in cache 5% where it is inlined. */
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
INLINE int K(max_block)(const nnrt_pool_args *p, const unit *q, int64_t o, int64_t l0, int64_t l1, int64_t c,
                        int vectors, int64_t lanes, int exact, int names)
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

static __attribute__((noinline)) void K(max_one)(const nnrt_pool_args *p, const unit *q, int64_t o, int64_t l0,
                                                 int64_t l1, int64_t c, int64_t lanes)
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
INLINE void K(max_backward_block)(const nnrt_pool_args *p, const unit *q, int64_t i, int64_t c, int vectors,
                                  int64_t lanes, int wide)
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

/* The same of n channels of a pixel that one window covers, by its tap t. In one loop, to keep up with memory. */
static __attribute__((noinline)) void K(max_backward_alone)(REAL *y, const REAL *dy, const uint8_t *at, INT t,
                                                            int64_t n, int stream)
{
    for (int64_t j = 0; j < n; j += 2 * LANES) {
        K(vec) v[2];
        UNROLL for (int k = 0; k < 2; k++)
            v[k] = (K(vec))((K(ints))(K(widen)(*(const K(bytes) *)(at + j + k * LANES)) == t)
                            & (K(ints))K(load)(dy + j + k * LANES));
        K(put)(y + j, v, 2, LANES, stream);
    }
}

static void K(max_pool_backward)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    UNITS {
        const int even = !p->wide && q.lines == 1 && (q.c1 - q.c0) % (2 * LANES) == 0;
        for (int64_t i = q.w0; i < q.w1; i++) {
            const window w = q.window[i - q.w0];
            if (even && w.last - w.first == 1) {
                const line *o = q.tap + w.first;
                const int64_t from = q.line->from + o->from + q.c0;
                K(max_backward_alone)((REAL *)p->to + q.to + i * p->c + q.c0, (const REAL *)p->from + from,
                                      (const uint8_t *)p->at + from, (INT)(q.line->tap + o->tap), q.c1 - q.c0,
                                      p->stream);
                continue;
            }
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
