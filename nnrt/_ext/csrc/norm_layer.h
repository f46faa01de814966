/* Layer norm and RMS norm, whose mean is NULL: row by row. Included once per dtype. */

ROW_SUM(sum, v, v)

/* Two sums over a row at once: Σ of FIRST and of SECOND, vectors that g (of dy and w) and t = x - m make. */
#define ROW_SUMS(name, G, FIRST, SECOND)                                          \
    static void K(name)(const REAL *restrict x, const REAL *restrict dy, const REAL *restrict w, REAL m, \
                        int64_t c, double *first, double *second)                 \
    {                                                                             \
        double s = 0, q = 0;                                                      \
        int64_t j = 0;                                                            \
        while (c - j >= LANES) {                                                  \
            K(vec) s0 = {0}, s1 = s0, s2 = s0, s3 = s0, q0 = s0, q1 = s0, q2 = s0, q3 = s0; \
            int64_t stop = least(c, j + RUN);                                     \
            for (; j + 4 * LANES <= stop; j += 4 * LANES) {                       \
                ADD(0, G, FIRST, SECOND) ADD(1, G, FIRST, SECOND)                 \
                ADD(2, G, FIRST, SECOND) ADD(3, G, FIRST, SECOND)                 \
            }                                                                     \
            for (; j + LANES <= stop; j += LANES)                                 \
                ADD(0, G, FIRST, SECOND)                                          \
            s += K(total)((s0 + s1) + (s2 + s3));                                 \
            q += K(total)((q0 + q1) + (q2 + q3));                                 \
        }                                                                         \
        for (; j < c; j++) {                                                      \
            REAL t = x[j] - m, g = G(*, j);                                       \
            (void)g, (void)t;                                                     \
            s += FIRST;                                                           \
            q += SECOND;                                                          \
        }                                                                         \
        *first = s;                                                               \
        *second = q;                                                              \
    }
#define ADD(k, G, FIRST, SECOND)                                                  \
    {                                                                             \
        K(vec) t = K(load)(x + j + k * LANES) - m, g = G(K(load), j + k * LANES); \
        (void)g;                                                                  \
        s##k += FIRST;                                                            \
        q##k += SECOND;                                                           \
    }
#define NO_GRADIENT(load, at) t
#define WEIGHTED(load, at) load(dy + (at)) * load(w + (at))
ROW_SUMS(row_moments, NO_GRADIENT, t, t * t)
ROW_SUMS(row_products, WEIGHTED, g, g * t)

/* w and b, or ones and zeros in their place. */
static const REAL *K(given)(const void *v, REAL *room, int64_t c, REAL value)
{
    if (v)
        return v;
    for (int64_t j = 0; j < c; j++)
        room[j] = value;
    return room;
}

static void K(layer_norm)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    int64_t c = ((const args_t *)args)->c, bytes = c * (int64_t)sizeof(REAL);
    const REAL *restrict w = K(given)(((const args_t *)args)->w, scratch, c, 1);
    const REAL *restrict b = K(given)(((const args_t *)args)->b, (REAL *)scratch + c, c, 0);
    REAL *sum = (REAL *)scratch + 2 * c;
    EACH_UNIT(p->rows)
    {
        const REAL *restrict x = (const REAL *)p->x + u * c;
        REAL *restrict y = (REAL *)p->y + u * c;
        if (p->more) {
            const REAL *restrict r = (const REAL *)p->more + u * c;
            REAL *restrict t = p->stream ? sum : (REAL *)p->total + u * c;
            FREE_LOOP(j, c) t[j] = x[j] + r[j];
            x = t;
        }
        REAL m = p->mean ? (REAL)(K(sum_row)(x, x, c, 0) / (double)c) : 0;
        double low, var; /* mean - m; mean of (x - m)^2 */
        K(row_moments)(x, NULL, NULL, m, c, &low, &var);
        low = p->mean ? low / (double)c : 0;
        var = var / (double)c - low * low;
        double rstd = 1 / sqrt((var < 0 ? 0 : var) + p->eps);
        REAL r = (REAL)rstd, shift = (REAL)(-low * rstd);
        if (p->mean)
            p->mean[u] = m + low;
        p->rstd[u] = rstd;
        int64_t j = 0;
        for (; j + LANES <= c; j += LANES) {
            const K(vec) v = ((K(load)(x + j) - m) * r + shift) * K(load)(w + j) + K(load)(b + j);
            if (p->stream)
                nnrt_stream((char *)(y + j), (const char *)&v, sizeof v);
            else
                *(K(vec) *)(y + j) = v;
        }
        for (; j < c; j++)
            y[j] = ((x[j] - m) * r + shift) * w[j] + b[j];
        if (p->stream && p->more)
            nnrt_stream((char *)p->total + u * bytes, (const char *)sum, bytes);
    }
    if (((const args_t *)args)->stream)
        nnrt_stream_end();
}

/* What a row of a layer norm's backward pass needs: x^ = (x - m) r + shift, dx = r (dy w + first + x^ second). */
typedef struct {
    REAL m, r, shift, first, second;
} K(row_t);

static K(row_t) K(row_of)(const args_t *p, int64_t row, const REAL *w)
{
    double mean = p->mean ? p->mean[row] : 0, rstd = p->rstd[row], s, q, c = (double)p->c;
    REAL m = (REAL)mean;
    int64_t at = row * p->c;
    K(row_products)((const REAL *)p->x + at, (const REAL *)p->dy + at, w, m, p->c, &s, &q);
    q = (q - (mean - m) * s) * rstd;
    return (K(row_t)){m, (REAL)rstd, (REAL)((m - mean) * rstd), (REAL)(p->mean ? -s / c : 0), (REAL)(-q / c)};
}

/* dx of one row or of four, and what they add to dw and db. */
#define X(k) const REAL x##k = (x[j + k * c] - t[k].m) * t[k].r + t[k].shift, g##k = dy[j + k * c];
#define DX(k) dx[j + k * c] = t[k].r * (g##k * w[j] + (x##k * t[k].second + t[k].first));
static void K(one_row)(REAL *restrict dx, REAL *restrict dw, REAL *restrict db, const REAL *restrict x,
                       const REAL *restrict dy, const REAL *restrict w, const K(row_t) *restrict t, int64_t c)
{
    LOOP(j, c)
    {
        X(0)
        dw[j] += g0 * x0;
        db[j] += g0;
        DX(0)
    }
}

static void K(four_rows)(REAL *restrict dx, REAL *restrict dw, REAL *restrict db, const REAL *restrict x,
                         const REAL *restrict dy, const REAL *restrict w, const K(row_t) *restrict t, int64_t c)
{
    FREE_LOOP(j, c)
    {
        X(0) X(1) X(2) X(3)
        dw[j] += (g0 * x0 + g1 * x1) + (g2 * x2 + g3 * x3);
        db[j] += (g0 + g1) + (g2 + g3);
        DX(0) DX(1) DX(2) DX(3)
    }
}

/* The same of a row that goes past the caches: four, a power of two apart, would push each other out of L1. */
static void K(far_row)(const args_t *p, REAL *restrict dw, REAL *restrict db, const REAL *restrict w, int64_t row)
{
    const int64_t c = p->c, at = row * c;
    const REAL *x = (const REAL *)p->x + at, *dy = (const REAL *)p->dy + at;
    const REAL *more = p->more ? (const REAL *)p->more + at : NULL;
    const K(row_t) t = K(row_of)(p, row, w);
    for (int64_t j = 0; j < c; j += LANES) {
        const K(vec) n = (K(load)(x + j) - t.m) * t.r + t.shift, g = K(load)(dy + j);
        K(vec) dx = t.r * (g * K(load)(w + j) + (n * t.second + t.first));
        if (more)
            dx += K(load)(more + j);
        *(K(vec) *)(dw + j) += g * n;
        *(K(vec) *)(db + j) += g;
        nnrt_stream((char *)((REAL *)p->y + at + j), (const char *)&dx, sizeof dx);
    }
}

/* dx = rstd (dy w - Σ dy w / c - x^ Σ dy w x^ / c); a unit is a part of the rows, which leaves Σ dy x^ and Σ dy. */
static void K(layer_norm_backward)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    int64_t c = ((const args_t *)args)->c;
    REAL *dw = scratch, *db = dw + c;
    const REAL *w = K(given)(((const args_t *)args)->w, db + c, c, 1);
    EACH_UNIT(p->parts)
    {
        int64_t last = least(p->rows, (u + 1) * p->part), run = 0;
        double *sums = p->partial + 2 * u * c;
        memset(sums, 0, 2 * (size_t)c * sizeof *sums);
        memset(dw, 0, 2 * (size_t)c * sizeof *dw);
        for (int64_t row = u * p->part; row < last;) {
            int64_t some = last - row >= 4 && !p->stream ? 4 : 1, at = row * c;
            if (p->stream)
                K(far_row)(p, dw, db, w, row);
            else {
                K(row_t) t[4];
                for (int64_t k = 0; k < some; k++)
                    t[k] = K(row_of)(p, row + k, w);
                REAL *restrict dx = (REAL *)p->y + at;
                (some == 4 ? K(four_rows) : K(one_row))(dx, dw, db, (const REAL *)p->x + at, (const REAL *)p->dy + at,
                                                        w, t, c);
                if (p->more) {
                    const REAL *restrict more = (const REAL *)p->more + at;
                    FREE_LOOP(j, some * c) dx[j] += more[j];
                }
            }
            row += some;
            run += some;
            if (run >= NNRT_NORM_RUN || row == last) {
                FREE_LOOP(j, 2 * c)
                {
                    sums[j] += dw[j];
                    dw[j] = 0;
                }
                run = 0;
            }
        }
    }
    if (((const args_t *)args)->stream)
        nnrt_stream_end();
}

static void K(finish_layer)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    EACH_UNIT(p->c)
    {
        double q = 0, s = 0;
        for (int64_t k = 0; k < p->parts; k++) {
            q += p->partial[2 * k * p->c + u];
            s += p->partial[(2 * k + 1) * p->c + u];
        }
        if (p->dw)
            ((REAL *)p->dw)[u] = (REAL)q;
        if (p->db)
            ((REAL *)p->db)[u] = (REAL)s;
    }
}

#undef ADD
#undef ROW_SUMS
#undef NO_GRADIENT
#undef WEIGHTED
#undef X
#undef DX
