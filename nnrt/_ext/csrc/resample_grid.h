/* Images sampled at the places of a grid, a vector of them at a time, and the adjoint passes; the formulas are those of
 * nnrt._ref.resample. Included once per dtype. */

INLINE K(vec) K(floors)(K(vec) t, int nearest)
{
#if defined(__AVX__)
    if (sizeof(REAL) == 4)
        return nearest ? (K(vec))_mm256_round_ps((__m256)t, 4) : (K(vec))_mm256_floor_ps((__m256)t);
    return nearest ? (K(vec))_mm256_round_pd((__m256d)t, 4) : (K(vec))_mm256_floor_pd((__m256d)t);
#else
    for (int l = 0; l < LANES; l++)
        t[l] = (REAL)(nearest ? rint(t[l]) : floor(t[l]));
    return t;
#endif
}

/* Element k of each of `count` groups of n, one after the other: x[l n + k]. */
INLINE K(vec) K(every)(const REAL *x, int64_t n, int64_t k, int64_t count)
{
    if (n == 1 && count == LANES)
        return K(load)(x);
    K(ints) at, lane;
    for (int l = 0; l < LANES; l++)
        lane[l] = (INT)l;
#if defined(__AVX2__)
    if (sizeof(REAL) == 4 && n == 2 && count == LANES) {
        const __m256 a = _mm256_loadu_ps((const void *)x), b = _mm256_loadu_ps((const void *)(x + LANES));
        const __m256 v = k ? _mm256_shuffle_ps(a, b, 0xdd) : _mm256_shuffle_ps(a, b, 0x88);
        return (K(vec))_mm256_permute4x64_pd((__m256d)v, 0xd8);
    }
#endif
    at = lane * (INT)n + (INT)k;
    return K(gather)(x, at | (K(ints))(lane >= (INT)count));
}

/* Mirrors t, which lies outside 0..n-1; *sign: the derivative. */
static REAL K(mirrored)(REAL t, REAL *sign, int64_t n, int aligned)
{
    const REAL low = aligned ? 0 : (REAL)-0.5, span = (REAL)(aligned ? n - 1 : n);
    if (span == 0 || t - t != 0)
        return 0; /* where slopes are 0 in any case */
    const REAL rest = (REAL)fmod(fabs(t - low), 2 * span);
    const int odd = rest >= span;
    *sign = odd == (t < low) ? 1 : -1;
    return (odd ? 2 * span - rest : rest) + low;
}

/* t moved into 0..n-1 as the padding wants; *turned is multiplied by the derivative. */
static K(vec) K(moved)(K(vec) t, K(vec) *turned, int64_t n, const nnrt_grid_args *p)
{
    if (p->padding == NNRT_GRID_ZEROS)
        return t;
    const K(vec) none = {0}, most = none + (REAL)(n - 1);
    K(vec) sign = none + 1;
    t = K(pick)(t == t, t, none);
    if (p->padding == NNRT_GRID_REFLECTION)
        for (int l = 0; l < LANES; l++)
            if (t[l] < 0 || t[l] > most[l]) {
                REAL turn = 1;
                t[l] = K(mirrored)(t[l], &turn, n, p->aligned);
                sign[l] = turn;
            }
    *turned *= K(pick)((t > 0) & (t < most), sign, none);
    return K(pick)(t < 0, none, K(pick)(t > most, most, t));
}

static K(vec) K(keys)(K(vec) d, int slope)
{
    const REAL a = (REAL)-0.75;
    const K(vec) e = K(vabs)(d);
    if (!slope)
        return K(pick)(e <= 1, ((a + 2) * e - (a + 3)) * e * e + 1,
                       K(pick)(e < 2, (((e - 5) * e + 8) * e - 4) * a, (K(vec)){0}));
    const K(vec) s = K(pick)(e <= 1, (3 * (a + 2) * e - 2 * (a + 3)) * e, a * ((3 * e - 10) * e + 8));
    return K(pick)(d < 0, -s, s);
}

/* Where the places g are along an axis of n; *low: the pixel of the first of two taps
 * or the only one, *rate: d t / dg. */
INLINE K(vec) K(locate)(K(vec) g, int64_t n, const nnrt_grid_args *p, int mode, K(vec) *low, K(vec) *rate)
{
    const K(vec) zero = {0};
    *rate = zero + (REAL)(p->aligned ? n - 1 : n) / 2;
    K(vec) t = p->aligned ? (g + 1) * *rate : ((g + 1) * (REAL)n - 1) / 2;
    if (mode != NNRT_GRID_BICUBIC && p->padding != NNRT_GRID_ZEROS)
        t = K(moved)(t, rate, n, p);
    t = K(pick)((t < 1 << 30) & (t > -(1 << 30)), t, zero - 100); /* NaN is outside too */
    *low = K(floors)(t, mode == NNRT_GRID_NEAREST);
    return t;
}

/* at, or a negative number outside 0..n-1 */
INLINE K(ints) K(within)(K(vec) at, int64_t n)
{
    return __builtin_convertvector(at, K(ints)) | (K(ints))(at >= (REAL)n);
}

/* The taps of places along an axis. */
typedef struct {
    K(ints) at[4];
    K(vec) weight[4], slope[4];
    int n;
} K(axis);

static void K(find_axis)(K(axis) *to, K(vec) g, int64_t n, const nnrt_grid_args *p)
{
    K(vec) low, rate, none = {0}, t = K(locate)(g, n, p, p->mode, &low, &rate);
    to->n = p->mode == NNRT_GRID_NEAREST ? 1 : p->mode == NNRT_GRID_BILINEAR ? 2 : 4;
    for (int i = 0; i < to->n; i++) {
        K(vec) at = low + (REAL)(i - (to->n == 4));
        to->weight[i] = (REAL)(1 - i) + (REAL)(2 * i - 1) * (t - low);
        to->slope[i] = (REAL)(2 * i - 1) * rate;
        if (to->n == 1) {
            to->weight[i] = none + 1;
        } else if (to->n == 4) {
            to->weight[i] = K(keys)(t - at, 0);
            to->slope[i] = K(keys)(t - at, 1) * rate;
            at = K(moved)(at, &none, n, p);
        }
        to->at[i] = K(within)(at, n);
    }
}

/* Their products: up to 16 taps, with their rows of channels in the image (negative: outside), weights, and the
 * weights' derivatives along w, h and d. */
typedef struct {
    K(ints) row[16];
    K(vec) weight[16], slope[3][16];
    int n;
} K(taps);

/* The taps of `count` places g. */
static __attribute__((noinline)) void K(find_taps)(K(taps) *to, const nnrt_grid_args *p, const REAL *g, int64_t count,
                                                   int slopes)
{
    K(axis) a[3];
    a[2].n = 1, a[2].at[0] = (K(ints)){0}, a[2].weight[0] = (K(vec)){0} + 1;
    for (int64_t i = 0; i < p->axes; i++)
        K(find_axis)(a + i, K(every)(g, p->axes, i, count), p->size[2 - i], p);
    int t = 0;
    for (int d = 0; d < a[2].n; d++)
        for (int h = 0; h < a[1].n; h++)
            for (int w = 0; w < a[0].n; w++, t++) {
                const K(vec) wd = a[2].weight[d], wh = a[1].weight[h], ww = a[0].weight[w], both = wd * wh;
                const K(ints) z = a[2].at[d], y = a[1].at[h], x = a[0].at[w];
                to->row[t] = ((z * (INT)p->size[1] + y) * (INT)p->size[2] + x)
                             | ((z | y | x) >> (8 * sizeof(REAL) - 1));
                to->weight[t] = both * ww;
                if (!slopes)
                    continue;
                to->slope[0][t] = both * a[0].slope[w];
                to->slope[1][t] = wd * a[1].slope[h] * ww;
                if (p->axes == 3)
                    to->slope[2][t] = a[2].slope[d] * wh * ww;
            }
    to->n = t;
}

/* The same for one tap or two by two in an image. */
INLINE void K(find_usual)(K(taps) *to, const nnrt_grid_args *p, const REAL *g, int64_t count, int nearest)
{
    K(ints) at[2][2];
    K(vec) weight[2][2], rate[2], low;
    UNROLL for (int i = 0; i < 2; i++) {
        const int64_t n = p->size[2 - i];
        K(vec) t = K(locate)(K(every)(g, 2, i, count), n, p, nearest ? NNRT_GRID_NEAREST : NNRT_GRID_BILINEAR,
                             &low, rate + i);
        weight[i][1] = t - low, weight[i][0] = 1 - weight[i][1];
        at[i][0] = K(within)(low, n), at[i][1] = K(within)(low + 1, n);
    }
    UNROLL for (int i = 0; i < 4; i++) {
        const int h = i / 2, w = i % 2;
        const K(ints) y = at[1][h], x = at[0][w];
        if (nearest && i)
            break;
        to->row[i] = (y * (INT)p->size[2] + x) | ((y | x) >> (8 * sizeof(REAL) - 1));
        to->weight[i] = nearest ? (K(vec)){0} + 1 : weight[1][h] * weight[0][w];
        to->slope[0][i] = w ? rate[0] * weight[1][h] : -rate[0] * weight[1][h];
        to->slope[1][i] = h ? rate[1] * weight[0][w] : -rate[1] * weight[0][w];
    }
}

/* Lane l's taps inside the image. */
typedef struct {
    int64_t row;
    REAL weight;
    int tap;
} K(place);

static int K(place_of)(K(place) *to, const K(taps) *t, int64_t l)
{
    int count = 0;
    for (int i = 0; i < t->n; i++)
        if (t->row[i][l] >= 0)
            to[count++] = (K(place)){t->row[i][l], t->weight[i][l], i};
    return count;
}

/* Places q..q+count-1 in tasks begin..end, a vector of them at most and of one image. */
#define EACH_PLACES                                                                                                    \
    for (int64_t q = begin * p->block, stop = MIN(end * p->block, p->images * p->places), image = q / p->places,       \
                 next = (image + 1) * p->places, count;                                                                \
         q < stop && (count = MIN(MIN(LANES, stop - q), next - q), 1);                                                 \
         q += count, image += q == next, next += q == next ? p->places : 0)

/* Too few channels for vectors of them, in an image that gathers can index? */
#define FEW (GATHERS && p->c < LANES && pixels * p->c < INT32_MAX)
/* Then what is usual stays in registers: torch's speed instead of half of it. */
#define USUAL(way) (FEW && p->axes == 2 && p->mode == (way))

/* y of few channels at `count` places with n taps each. */
INLINE void K(sample)(REAL *y, const REAL *x, const K(taps) *t, int n, int64_t c, int64_t count)
{
    for (int64_t k = 0; k < c; k++) {
        REAL lanes[VECTOR / sizeof(REAL)];
        K(vec) sum = {0};
        for (int from = 0; from < n; from += 4)
            UNROLL for (int i = from; i < from + 4; i++)
                if (n > 1 || i == 0)
                    sum += t->weight[i] * K(gather)(x + k, t->row[i] * (INT)c);
        if (c == 1 && count == LANES) {
            STORE(y, sum);
            break;
        }
        STORE(lanes, sum);
        for (int64_t l = 0; l < count; l++)
            y[l * c + k] = lanes[l];
    }
}

static void K(grid)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    const nnrt_grid_args *p = args;
    const int64_t c = p->c, pixels = p->size[0] * p->size[1] * p->size[2];
    EACH_PLACES {
        const REAL *x = (const REAL *)p->in + image * pixels * c, *g = (const REAL *)p->grid + q * p->axes;
        REAL *y = (REAL *)p->out + q * c;
        K(taps) t;
        K(place) taps[16];
        if (USUAL(NNRT_GRID_BILINEAR)) {
            K(taps) four;
            K(find_usual)(&four, p, g, count, 0);
            K(sample)(y, x, &four, 4, c, count);
            continue;
        }
        if (USUAL(NNRT_GRID_NEAREST)) {
            K(taps) one;
            K(find_usual)(&one, p, g, count, 1);
            K(sample)(y, x, &one, 1, c, count);
            continue;
        }
        K(find_taps)(&t, p, g, count, 0);
        if (FEW)
            K(sample)(y, x, &t, t.n, c, count);
        for (int64_t l = 0; !FEW && l < count; l++, y += c) {
            const int n = K(place_of)(taps, &t, l);
            int64_t k = 0;
            for (; k + LANES <= c; k += LANES) {
                K(vec) sum = {0};
                for (int i = 0; i < n; i++)
                    sum += taps[i].weight * K(load)(x + taps[i].row * c + k);
                STORE(y + k, sum);
            }
            for (; k < c; k++) {
                REAL sum = 0;
                for (int i = 0; i < n; i++)
                    sum += taps[i].weight * x[taps[i].row * c + k];
                y[k] = sum;
            }
        }
    }
}

INLINE void K(add_row)(REAL *restrict y, REAL w, const REAL *restrict x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] += w * x[i];
}

static void K(grid_dx)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    const nnrt_grid_args *p = args;
    const int64_t c = p->c, parts = (c + p->block - 1) / p->block, pixels = p->size[0] * p->size[1] * p->size[2];
    K(taps) t;
    K(place) taps[16];
    for (int64_t task = begin; task < end; task++) {
        const int64_t n = task / parts, c0 = task % parts * p->block, some = MIN(p->block, c - c0);
        const REAL *dy = (const REAL *)p->in + n * p->places * c + c0;
        const REAL *g = (const REAL *)p->grid + n * p->places * p->axes;
        REAL *dx = (REAL *)p->out + n * pixels * c + c0;
        for (int64_t i = 0; i < pixels; i++)
            memset(dx + i * c, 0, (size_t)some * sizeof(REAL));
        for (int64_t q = 0; q < p->places; q += LANES) {
            const int64_t count = MIN(LANES, p->places - q);
            K(find_taps)(&t, p, g + q * p->axes, count, 0);
            for (int64_t l = 0; c == 1 && l < count; l++)
                for (int i = 0; i < t.n; i++)
                    if (t.row[i][l] >= 0)
                        dx[t.row[i][l]] += t.weight[i][l] * dy[l];
            for (int64_t l = 0; c > 1 && l < count; l++)
                for (int i = 0, m = K(place_of)(taps, &t, l); i < m; i++)
                    K(add_row)(dx + taps[i].row * c, taps[i].weight, dy + l * c, some);
            dy += count * c;
        }
    }
}

/* dgrid of few channels. */
INLINE void K(sample_slopes)(REAL *dg, const REAL *x, const REAL *dy, const K(taps) *t, int n, int64_t c,
                             int64_t count, int64_t axes)
{
    K(vec) sum[3] = {{0}};
    for (int64_t k = 0; k < c; k++) {
        const K(vec) d = K(every)(dy, c, k, count);
        for (int from = 0; from < n; from += 4)
            UNROLL for (int i = from; i < from + 4; i++) {
                const K(vec) product = d * K(gather)(x + k, t->row[i] * (INT)c);
                UNROLL for (int64_t j = 0; j < axes; j++)
                    sum[j] += product * t->slope[j][i];
            }
    }
    for (int64_t j = 0; j < axes; j++) {
        REAL lanes[VECTOR / sizeof(REAL)];
        STORE(lanes, sum[j]);
        for (int64_t l = 0; l < count; l++)
            dg[l * axes + j] = lanes[l];
    }
}

static void K(grid_dgrid)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    const nnrt_grid_args *p = args;
    const int64_t c = p->c, pixels = p->size[0] * p->size[1] * p->size[2];
    EACH_PLACES {
        const REAL *x = (const REAL *)p->in + image * pixels * c, *dy = (const REAL *)p->dy + q * c;
        const REAL *g = (const REAL *)p->grid + q * p->axes;
        REAL *dg = (REAL *)p->out + q * p->axes;
        K(taps) t;
        K(place) taps[16];
        if (p->mode == NNRT_GRID_NEAREST) {
            memset(dg, 0, (size_t)(count * p->axes) * sizeof(REAL));
            continue;
        }
        if (USUAL(NNRT_GRID_BILINEAR)) {
            K(taps) four;
            K(find_usual)(&four, p, g, count, 0);
            K(sample_slopes)(dg, x, dy, &four, 4, c, count, 2);
            continue;
        }
        K(find_taps)(&t, p, g, count, 1);
        if (FEW)
            K(sample_slopes)(dg, x, dy, &t, t.n, c, count, p->axes);
        for (int64_t l = 0; !FEW && l < count; l++, dy += c, dg += p->axes) {
            REAL sum[3] = {0};
            for (int i = 0, n = K(place_of)(taps, &t, l); i < n; i++) {
                const REAL *row = x + taps[i].row * c;
                K(vec) lanes = {0};
                int64_t k = 0;
                for (; k + LANES <= c; k += LANES)
                    lanes += K(load)(row + k) * K(load)(dy + k);
                REAL s = K(total)(lanes);
                for (; k < c; k++)
                    s += row[k] * dy[k];
                for (int64_t j = 0; j < p->axes; j++)
                    sum[j] += s * t.slope[j][taps[i].tap][l];
            }
            for (int64_t j = 0; j < p->axes; j++)
                dg[j] = sum[j];
        }
    }
}

#undef FEW
#undef USUAL
#undef EACH_PLACES
