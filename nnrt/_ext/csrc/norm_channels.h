/* Batch, group and instance norm: moments and sums of columns, and the passes that write. Included once per dtype. */

/* ---- sums over rows, column by column ---- */

/* Four rows of w columns in the order of memory. */
#define TOUCH(x, stride) nnrt_touch(x, 4, (stride) * (int64_t)sizeof(REAL), w * (int64_t)sizeof(REAL))

/* Mean and Σ (x - mean)² of w columns, carried on over `turns` of `high` rows more, `far` apart, after `before` rows.
 * High is 4 or 1: memory is read faster in four places far apart than in one.
 * Sums run around the mean so far (Chan, Golub and LeVeque, 1983), first around that of NNRT_NORM_FIRST
 * turns. These are part of the run: however far from the others, they keep Σ (x - m)² below RUN / FIRST
 * times the result, give or take one. */
static void K(carry)(double *restrict mean, double *restrict square, const REAL *restrict x, int64_t turns,
                     int64_t high, int64_t far, int64_t stride, int64_t w, int64_t before, int wide)
{
    REAL m[NNRT_NORM_COLS] LINE, s[NNRT_NORM_COLS] LINE, q[NNRT_NORM_COLS] LINE;
    const int64_t rows = turns * high;
    if (!before) {
        const int64_t some = least(turns, NNRT_NORM_FIRST);
        memset(m, 0, (size_t)w * sizeof *m);
        LOOP(r, some)
            LOOP(k, high)
                LOOP(i, w) m[i] += x[r * stride + k * far + i];
        LOOP(i, w)
        {
            m[i] /= (REAL)(some * high);
            mean[i] = m[i];
            square[i] = 0;
        }
    } else
        LOOP(i, w) m[i] = (REAL)mean[i];
    memset(s, 0, (size_t)w * sizeof *s);
    memset(q, 0, (size_t)w * sizeof *q);
    if (wide) {
        wide_moments((void *)s, (void *)q, (void *)x, turns, far, stride, w, (void *)m);
        turns = 0;
    }
    for (; turns > 0; turns--, x += stride)
        if (high > 1)
            LOOP(i, w)
            {
#define T(k) const REAL t##k = x[i + k * far] - m[i];
                T(0) T(1) T(2) T(3)
                s[i] += (t0 + t1) + (t2 + t3);
                q[i] += (t0 * t0 + t1 * t1) + (t2 * t2 + t3 * t3);
            }
        else
            LOOP(i, w)
            {
                T(0)
                s[i] += t0;
                q[i] += t0 * t0;
            }
    double part = (double)rows / (double)(before + rows), each = 1 / (double)rows;
    LOOP(i, w)
    {
        double sum = s[i], d = sum * each + (m[i] - mean[i]);
        mean[i] += d * part;
        square[i] += (q[i] - sum * sum * each) + d * d * part * (double)before;
    }
}

static void K(moments)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    EACH_UNIT(p->n * p->parts * p->blocks)
    {
        unit_t t = unit_of(p, u);
        const REAL *x = (const REAL *)p->x + t.at;
        int64_t full = t.rows / p->times, rest = t.rows % p->times * p->c, turns = full / 4, done = 4 * turns;
        const int wide = WIDE(p, t.w);
        for (int64_t r = 0; r < turns; r += NNRT_NORM_TURNS)
            K(carry)(t.first, t.second, x + r * t.stride, least(NNRT_NORM_TURNS, turns - r), 4, turns * t.stride,
                     t.stride, t.w, 4 * r, wide);
        if (done < full)
            K(carry)(t.first, t.second, x + done * t.stride, full - done, 1, 0, t.stride, t.w, done, 0);
        if (rest)
            K(carry)(t.first, t.second, x + full * t.stride, 1, 1, 0, t.stride, rest, full, 0);
    }
}

/* Σ dy and Σ dy (x - m) of one unit, the rows where relu gave 0 left out. */
static inline __attribute__((always_inline)) void K(products)(const args_t *p, unit_t t, const REAL *restrict m,
                                                              const REAL *restrict a, const REAL *restrict b,
                                                              int relu)
{
    REAL s[NNRT_NORM_COLS] LINE, q[NNRT_NORM_COLS] LINE;
    const REAL *restrict x = (const REAL *)p->x + t.at, *restrict dy = (const REAL *)p->dy + t.at;
    const int64_t full = t.rows / p->times, rest = t.rows % p->times * p->c, w = t.w;
    const int64_t quarter = full / 4, far = quarter * t.stride, more = full - 4 * quarter + (rest > 0);
    memset(t.first, 0, (size_t)w * sizeof(double));
    memset(t.second, 0, (size_t)w * sizeof(double));
    /* turns of four rows, then the rows that are left */
    for (int64_t r = 0; r < quarter + more;) {
        const int64_t last = least(r + NNRT_NORM_TURNS, quarter + more);
        memset(s, 0, (size_t)w * sizeof *s);
        memset(q, 0, (size_t)w * sizeof *q);
        if (WIDE(p, w) && r < quarter) {
            const int64_t turns = least(last, quarter) - r;
            wide_products((void *)s, (void *)q, (void *)(x + r * t.stride), (void *)(dy + r * t.stride), turns, far,
                          t.stride, w, (void *)m, (void *)a, (void *)b, relu);
            r += turns;
        }
        for (; r < least(last, quarter); r++) {
            const REAL *restrict v = x + r * t.stride, *restrict g = dy + r * t.stride;
            LOOP(i, w)
            {
#define G(k)                                                                      \
    const REAL t##k = v[i + k * far] - m[i];                                      \
    const REAL h##k = g[i + k * far], g##k = relu && t##k * a[i] + b[i] <= 0 ? 0 : h##k;
                G(0) G(1) G(2) G(3)
                s[i] += (g0 + g1) + (g2 + g3);
                q[i] += (g0 * t0 + g1 * t1) + (g2 * t2 + g3 * t3);
            }
        }
        for (; r < last; r++) {
            const int64_t at = (r + 3 * quarter) * t.stride;
            const REAL *restrict v = x + at, *restrict g = dy + at;
            LOOP(i, rest && r == quarter + more - 1 ? rest : w)
            {
                G(0)
                s[i] += g0;
                q[i] += g0 * t0;
            }
        }
        LOOP(i, w)
        {
            t.first[i] += s[i];
            t.second[i] += q[i];
        }
    }
}

/* The same, where dy counts only where `above` is positive; what counts is written to `total`. */
static void K(passed)(const args_t *p, unit_t t, const REAL *restrict m)
{
    REAL s[NNRT_NORM_COLS], q[NNRT_NORM_COLS];
    int64_t rows = nnrt_norm_ceil(t.rows, p->times), rest = t.rows % p->times * p->c, w = t.w;
    memset(t.first, 0, (size_t)w * sizeof(double));
    memset(t.second, 0, (size_t)w * sizeof(double));
    for (int64_t r = 0, last; r < rows;) {
        last = least(rows, r + NNRT_NORM_RUN);
        memset(s, 0, (size_t)w * sizeof *s);
        memset(q, 0, (size_t)w * sizeof *q);
        for (; r < last; r++) {
            const int64_t at = t.at + r * t.stride, some = r == rows - 1 && rest ? rest : w;
            const REAL *restrict x = (const REAL *)p->x + at, *restrict dy = (const REAL *)p->dy + at;
            const REAL *restrict y = (const REAL *)p->above + at;
            REAL *restrict dr = (REAL *)p->total + at;
            FREE_LOOP(i, some)
            {
                const REAL h = dy[i], g = y[i] <= 0 ? 0 : h;
                dr[i] = g;
                s[i] += g;
                q[i] += g * (x[i] - m[i]);
            }
        }
        LOOP(i, w)
        {
            t.first[i] += s[i];
            t.second[i] += q[i];
        }
    }
}

/* For w columns from `col` on, repeated as the wide rows repeat them: m, the mean in REAL, and a, b of
 * y = (x - m) a + b; b has what rounding took from the mean. */
static void K(affine)(const args_t *p, int64_t i, int64_t col, int64_t w, REAL *restrict m, REAL *restrict a,
                      REAL *restrict b)
{
    int64_t each = p->c / p->groups, own = least(w, p->c - col);
    const REAL *weight = (const REAL *)p->w + col, *bias = (const REAL *)p->b + col;
    for (int64_t j = 0, last; j < own; j = last) {
        int64_t g = each == 1 ? col + j : (col + j) / each;
        double mean = p->mean[i * p->groups + g], rstd = p->rstd[i * p->groups + g], low = mean - (REAL)mean;
        last = least(own, (g + 1) * each - col);
        for (int64_t k = j; k < last; k++) {
            m[k] = (REAL)mean;
            a[k] = (REAL)rstd;
        }
        if (p->w)
            for (int64_t k = j; k < last; k++)
                a[k] = (REAL)(rstd * weight[k]);
        for (int64_t k = j; k < last; k++)
            b[k] = (REAL)(-low * a[k]);
        if (p->b)
            for (int64_t k = j; k < last; k++)
                b[k] = (REAL)(bias[k] - low * a[k]);
    }
    for (int64_t j = own; j < w; j++)
        m[j] = m[j - own], a[j] = a[j - own], b[j] = b[j - own];
}

static void K(backward_sums)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    EACH_UNIT(p->n * p->parts * p->blocks)
    {
        unit_t t = unit_of(p, u);
        REAL m[NNRT_NORM_COLS] LINE, a[NNRT_NORM_COLS] LINE, b[NNRT_NORM_COLS] LINE;
        K(affine)(p, t.i, u % p->blocks * p->cols, t.w, m, a, b);
        if (p->above)
            K(passed)(p, t, m);
        else if (p->relu)
            K(products)(p, t, m, a, b, 1);
        else
            K(products)(p, t, m, a, b, 0);
    }
}

/* ---- folding the parts ---- */

/* The task's units in stretches of one i: from, how many, their first column and the columns of each. Parts are folded
 * for a stretch at a time, so that they are read in the order of memory. */
#define EACH_STRETCH                                                              \
    const args_t *p = args;                                                       \
    const int64_t each = p->c / p->groups, stop = least(end * p->group, p->n * p->groups); \
    for (int64_t from = begin * p->group, units, i, col;                          \
         units = least(stop, (from / p->groups + 1) * p->groups) - from, i = from / p->groups, \
                 col = from % p->groups * each, from < stop; from += units)

static void K(finish_moments)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    EACH_STRETCH
    {
        double *restrict mean = p->mean + from, *restrict square = p->rstd + from;
        double total = (double)p->rows * (double)each;
        memset(mean, 0, (size_t)units * sizeof *mean);
        memset(square, 0, (size_t)units * sizeof *square);
        /* for every column: its group u, count, mean v[0] and square v[wide] */
#define EACH_COLUMN(...)                                                          \
    for (int64_t k = 0; k < p->parts; k++)                                        \
        for (int64_t t = 0; t < p->times; t++) {                                  \
            double count = (double)count_of(p, k, t);                             \
            const double *v = p->partial + 2 * (i * p->parts + k) * p->wide + t * p->c + col; \
            for (int64_t u = 0; u < units && count > 0; u++)                      \
                for (int64_t j = 0; j < each; j++, v++) {                         \
                    __VA_ARGS__;                                                  \
                }                                                                 \
        }
        EACH_COLUMN(mean[u] += count * v[0])
        LOOP(u, units) mean[u] /= total;
        EACH_COLUMN(square[u] += v[p->wide] + count * ((v[0] - mean[u]) * (v[0] - mean[u])))
        LOOP(u, units) square[u] = square[u] < 0 ? 0 : square[u] / total;
    }
}

static void K(finish_sums)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    EACH_STRETCH
    {
        double *restrict sum = p->sums + 2 * i * p->c + col, *restrict dot = sum + p->c;
        memset(sum, 0, (size_t)(units * each) * sizeof *sum);
        memset(dot, 0, (size_t)(units * each) * sizeof *dot);
        for (int64_t k = 0; k < p->parts; k++)
            for (int64_t t = 0; t < p->times; t++) {
                const double *restrict v = p->partial + 2 * (i * p->parts + k) * p->wide + t * p->c + col;
                LOOP(j, units * each)
                {
                    sum[j] += v[j];
                    dot[j] += v[p->wide + j];
                }
            }
        for (int64_t u = from; u < from + units; u++, sum += each, dot += each, col += each) {
            double mean = p->mean[u], rstd = p->rstd[u], low = mean - (REAL)mean, first = 0, second = 0;
            for (int64_t j = 0; j < each; j++) {
                double w = p->w ? ((const REAL *)p->w)[col + j] : 1;
                dot[j] = (dot[j] - low * sum[j]) * rstd;
                first += w * sum[j];
                second += w * dot[j];
            }
            /* dx = rstd (w dy - Σ w dy / M - x^ Σ w dy x^ / M) */
            double scale = p->fixed ? 0 : -rstd / ((double)p->rows * (double)each);
            p->slope[2 * u] = scale * rstd * second;
            p->slope[2 * u + 1] = scale * (first - low * rstd * second);
        }
    }
}

static void K(finish_weights)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    const args_t *p = args;
    int64_t stop = least(end * p->group, p->c);
    for (int64_t from = begin * p->group, w; from < stop; from += w) {
        double s[NNRT_NORM_COLS] = {0}, q[NNRT_NORM_COLS] = {0};
        w = least(NNRT_NORM_COLS, stop - from);
        for (int64_t i = 0; i < p->n; i++) {
            const double *v = p->sums + 2 * i * p->c + from;
            for (int64_t j = 0; j < w; j++) {
                s[j] += v[j];
                q[j] += v[p->c + j];
            }
        }
        /* Not in one loop with the choice: that would store by mask, and slowly to NULL. */
        if (p->db)
            LOOP(j, w) ((REAL *)p->db)[from + j] = (REAL)s[j];
        if (p->dw)
            LOOP(j, w) ((REAL *)p->dw)[from + j] = (REAL)q[j];
    }
}

/* ---- passes that write ---- */

/* y[i] = F(i, j): i runs over count elements, j over the columns w, again and again; four rows at a time. */
#define PASS(F, READ)                                                             \
    {                                                                             \
        int64_t i = 0;                                                            \
        for (; i + 4 * w <= count; i += 4 * w) {                                  \
            READ;                                                                 \
            FREE_LOOP(j, w)                                                       \
            {                                                                     \
                const REAL y0 = F(i, j), y1 = F(i + w, j), y2 = F(i + 2 * w, j), y3 = F(i + 3 * w, j); \
                y[i + j] = y0;                                                    \
                y[i + w + j] = y1;                                                \
                y[i + 2 * w + j] = y2;                                            \
                y[i + 3 * w + j] = y3;                                            \
            }                                                                     \
        }                                                                         \
        for (; i < count; i += w) {                                               \
            int64_t some = least(w, count - i);                                   \
            FREE_LOOP(j, some) y[i + j] = F(i, j);                                \
        }                                                                         \
    }

static void K(forward_pass)(REAL *restrict y, const REAL *restrict x, int64_t count, int64_t w,
                            const REAL *restrict m, const REAL *restrict a, const REAL *restrict b,
                            const REAL *restrict more, int relu)
{
#define VALUE(i, j) ((x[(i) + j] - m[j]) * a[j] + b[j])
#define ABOVE(i, j) (VALUE(i, j) < 0 ? 0 : VALUE(i, j))
    if (more) {
        const REAL low = relu ? 0 : -(REAL)INFINITY;
        for (int64_t i = 0; i < count; i += w)
            FREE_LOOP(j, least(w, count - i))
            {
                const REAL v = VALUE(i, j) + more[i + j];
                y[i + j] = v < low ? low : v;
            }
    } else if (relu)
        PASS(ABOVE, TOUCH(x + i, w))
    else
        PASS(VALUE, TOUCH(x + i, w))
}

/* relu's gradient; a function, so that dy is read in any case and the choice needs no branch. */
INLINE REAL K(through)(REAL y, REAL dy) { return y <= 0 ? 0 : dy; }

static void K(backward_pass)(REAL *y, const REAL *restrict x, const REAL *dy, int64_t count,
                             int64_t w, const REAL *restrict m, const REAL *restrict a, const REAL *restrict b,
                             const REAL *restrict s, const REAL *restrict d, int relu)
{
#define SLOPE(i, j) (a[j] * dy[(i) + j] + (s[j] * (x[(i) + j] - m[j]) + d[j]))
#define SLOPE_ABOVE(i, j) \
    (a[j] * K(through)(VALUE(i, j), dy[(i) + j]) + (s[j] * (x[(i) + j] - m[j]) + d[j]))
    if (relu)
        PASS(SLOPE_ABOVE, TOUCH(x + i, w); TOUCH(dy + i, w))
    else
        PASS(SLOPE, TOUCH(x + i, w); TOUCH(dy + i, w))
}

/* Pieces of y, past the caches where it is large: made in a buffer that lies behind the vectors. */
#define PIECES(vectors, AFFINE, RUN_WIDE, RUN_PASS)                               \
    int64_t w = ((const args_t *)args)->wide, known = -1, i, count;               \
    REAL *m = scratch, *a = m + w, *b = a + w, *s = b + w, *d = s + w, *buffer = m + (vectors) * w; \
    (void)s, (void)d;                                                             \
    EACH_UNIT(p->n * p->pieces)                                                   \
    {                                                                             \
        int64_t at = piece_of(p, u, &i, &count);                                  \
        const REAL *x = (const REAL *)p->x + at, *dy = (const REAL *)p->dy + at;  \
        const REAL *more = p->more ? (const REAL *)p->more + at : NULL;           \
        REAL *y = (REAL *)p->y + at;                                              \
        (void)dy, (void)more;                                                            \
        if (i != known) {                                                         \
            AFFINE;                                                               \
            known = i;                                                            \
        }                                                                         \
        int64_t from = 0;                                                         \
        if (WIDE(p, w) && !more)                                                  \
            RUN_WIDE(y, from = count - count % w);                                \
        if (!p->stream) {                                                         \
            RUN_PASS(y + from, from, count - from);                               \
            continue;                                                             \
        }                                                                         \
        for (; from < count; from += p->batch) {                                  \
            int64_t some = least(p->batch, count - from);                         \
            RUN_PASS(buffer, from, some);                                         \
            nnrt_stream((char *)(y + from), (const char *)buffer, some * (int64_t)sizeof(REAL)); \
        }                                                                         \
    }                                                                             \
    if (((const args_t *)args)->stream)                                           \
        nnrt_stream_end();

static void K(normalize)(const void *args, int64_t begin, int64_t end, void *scratch)
{
#define FORWARD(to, from, some) K(forward_pass)(to, x + (from), some, w, m, a, b, more ? more + (from) : NULL, p->relu)
#define FORWARD_WIDE(to, some) \
    wide_forward((void *)(to), (void *)x, some, w, (void *)m, (void *)a, (void *)b, p->relu, p->stream)
    PIECES(3, K(affine)(p, i, 0, w, m, a, b), FORWARD_WIDE, FORWARD)
}

static void K(slopes)(const args_t *p, int64_t i, REAL *s, REAL *d)
{
    int64_t each = p->c / p->groups, j = 0;
    const double *slope = p->slope + 2 * i * p->groups;
    for (; j < p->c; slope += 2)
        for (int64_t stop = j + each; j < stop; j++) {
            s[j] = (REAL)slope[0];
            d[j] = (REAL)slope[1];
        }
    for (; j < p->wide; j++)
        s[j] = s[j - p->c], d[j] = d[j - p->c];
}

static void K(normalize_backward)(const void *args, int64_t begin, int64_t end, void *scratch)
{
#define BACKWARD(to, from, some) K(backward_pass)(to, x + (from), dy + (from), some, w, m, a, b, s, d, p->relu)
#define BACKWARD_WIDE(to, some)                                                                                     \
    wide_backward((void *)(to), (void *)x, (void *)dy, some, w, (void *)m, (void *)a, (void *)b, (void *)s, \
                  (void *)d, p->relu, p->stream)
    PIECES(5, K(affine)(p, i, 0, w, m, a, b); K(slopes)(p, i, s, d), BACKWARD_WIDE, BACKWARD)
}

/* y = (1 - momentum) x + momentum value; y may be x. */
static void K(move)(void *to, const void *from, const double *value, int64_t c, double momentum, double scale)
{
    REAL *y = to;
    const REAL *x = from;
    const double keep = 1 - momentum, take = momentum * scale;
    FREE_LOOP(i, c) y[i] = (REAL)(keep * x[i] + take * value[i]);
}

#undef TOUCH
#undef G
#undef VALUE
#undef ABOVE
#undef SLOPE
#undef SLOPE_ABOVE
#undef PASS
#undef PIECES
#undef FORWARD
#undef FORWARD_WIDE
#undef BACKWARD
#undef BACKWARD_WIDE
#undef EACH_COLUMN
#undef EACH_STRETCH
#undef T
