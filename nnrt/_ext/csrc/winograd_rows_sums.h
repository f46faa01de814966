/* A filter's gradient by Winograd along rows alone, float32 in vectors of 64 bytes: of up
 * to 4 channels of x, or groups of 16.
 *
 *     dw[i] = G^T Σ (B^T x[y + i, k pixels]) ⊙ (A dy[y, 4 pixels])        over the tiles of four pixels of dy's rows y
 *
 * and the taps i along h one by one: k = 6 products instead of 12 of 3 taps, 8 instead of 20 of 5 taps. A square has
 * fewer, but transforms that few channels do not pay for. Here dy is transformed once, and sums stay in registers:
 *
 *     s[e][i][c][o] += v[e][row + i][tile][c] q[e][row][tile][o]
 *
 * for one point e after the other over some rows, whose v and q are in L1. */

/* 5 taps, tile 4: points 0, ±1, ±2, ±1/2. */
LINE(bt_rows)
{
    const K(vec) even1 = d[2] - (REAL)4.25 * d[4] + d[6], odd1 = d[1] - (REAL)4.25 * d[3] + d[5];
    const K(vec) even2 = (REAL)0.25 * d[2] - (REAL)1.25 * d[4] + d[6];
    const K(vec) odd2 = (REAL)0.5 * d[1] - (REAL)2.5 * d[3] + 2 * d[5];
    const K(vec) even3 = 4 * d[2] - 5 * d[4] + d[6], odd3 = 2 * d[1] - (REAL)2.5 * d[3] + (REAL)0.5 * d[5];
    r[0] = (d[0] - d[6]) - (REAL)5.25 * (d[2] - d[4]);
    r[1] = even1 + odd1, r[2] = even1 - odd1;
    r[3] = even2 + odd2, r[4] = even2 - odd2;
    r[5] = even3 + odd3, r[6] = even3 - odd3;
    r[7] = (d[7] - d[1]) + (REAL)5.25 * (d[3] - d[5]);
}
LINE(a_rows)
{
    const K(vec) even1 = d[0] + d[2], even2 = d[0] + 4 * d[2], even3 = d[0] + (REAL)0.25 * d[2];
    const K(vec) odd1 = d[1] + d[3], odd2 = 2 * d[1] + 8 * d[3], odd3 = (REAL)0.5 * d[1] + (REAL)0.125 * d[3];
    r[0] = d[0];
    r[1] = even1 + odd1, r[2] = even1 - odd1;
    r[3] = even2 + odd2, r[4] = even2 - odd2;
    r[5] = even3 + odd3, r[6] = even3 - odd3;
    r[7] = d[3];
}
LINE(gt_rows)
{
    const K(vec) sum1 = (REAL)(-2.0 / 9) * (d[1] + d[2]), diff1 = (REAL)(-2.0 / 9) * (d[1] - d[2]);
    const K(vec) sum2 = (REAL)(1.0 / 90) * (d[3] + d[4]), diff2 = (REAL)(1.0 / 90) * (d[3] - d[4]);
    const K(vec) sum3 = (REAL)(32.0 / 45) * (d[5] + d[6]), diff3 = (REAL)(32.0 / 45) * (d[5] - d[6]);
    r[0] = d[0] + sum1 + sum2 + sum3;
    r[1] = diff1 + 2 * diff2 + (REAL)0.5 * diff3;
    r[2] = sum1 + 4 * sum2 + (REAL)0.25 * sum3;
    r[3] = diff1 + 8 * diff2 + (REAL)0.125 * diff3;
    r[4] = d[7] + sum1 + 16 * sum2 + (REAL)0.0625 * sum3;
}

/* n tiles, OF_V rows of v under one of q or OF_Q rows of q over one of v: one for each tap along h. Meanwhile lines are
 * asked for, one for each vector, `step` bytes from tile to tile. Sums begin at zero: those of n tiles round less. */
#define ROWS_ARGS                                                                                                     \
    int64_t n, const REAL *v, int64_t v_row, const REAL *q, int64_t q_pixel, int64_t q_row, REAL *s, int64_t s_row,   \
    const char *ahead, int64_t step
#define UNROLL(i, count) _Pragma("GCC unroll 8") for (int i = 0; i < count; i++)
#define CORE(name, OF_V, OF_Q, CHANNELS, VECTORS, V_PIXEL)                                                            \
    static __attribute__((hot, noinline)) void K(name)(ROWS_ARGS)                                                     \
    {                                                                                                                 \
        enum { ROWS_OF_S = OF_V > OF_Q ? OF_V : OF_Q };                                                               \
        K(vec) sum[ROWS_OF_S][CHANNELS][VECTORS];                                                                     \
        UNROLL(i, ROWS_OF_S) UNROLL(c, CHANNELS) UNROLL(l, VECTORS)                                                   \
            sum[i][c][l] = (K(vec)){0};                                                                               \
        for (; n > 0; n--, v += V_PIXEL, q += q_pixel, ahead += step) {                                               \
            K(vec) dy[OF_Q][VECTORS];                                                                                 \
            UNROLL(j, OF_Q) UNROLL(l, VECTORS) dy[j][l] = K(load)(q - j * q_row + l * VL);                            \
            UNROLL(l, VECTORS) __builtin_prefetch(ahead + 64 * l, 0, 3);                                              \
            UNROLL(i, OF_V) UNROLL(c, CHANNELS) {                                                                     \
                const K(vec) x = K(splat)(v[i * v_row + c]);                                                          \
                UNROLL(j, OF_Q) UNROLL(l, VECTORS) sum[i + j][c][l] += x * dy[j][l];                                  \
            }                                                                                                         \
        }                                                                                                             \
        UNROLL(i, ROWS_OF_S) UNROLL(c, CHANNELS) UNROLL(l, VECTORS)                                                   \
        {                                                                                                             \
            REAL *to = s + i * s_row + (c * VECTORS + l) * VL;                                                        \
            K(store)(to, K(load)(to) + sum[i][c][l]);                                                                 \
        }                                                                                                             \
    }
typedef void (*K(rows_core_fn))(ROWS_ARGS);
CORE(rows_of_1, 3, 1, 1, 2, 4)
CORE(rows_of_2, 3, 1, 2, 2, 4)
CORE(rows_of_3, 3, 1, 3, 2, 4)
CORE(rows_of_4, 3, 1, 4, 2, 4)
CORE(rows_of_five, 5, 1, 1, 2, 4)
CORE(rows_slide, 1, 3, 8, 1, 16)
#undef CORE
#undef UNROLL

/* Four tiles of up to four channels, `step` elements apart, in a vector. */
INLINE K(vec) K(four_tiles)(const REAL *p, int64_t step)
{
    __m512 v = _mm512_castps128_ps512(_mm_loadu_ps(p));
    v = _mm512_insertf32x4(v, _mm_loadu_ps(p + step), 1);
    v = _mm512_insertf32x4(v, _mm_loadu_ps(p + 2 * step), 2);
    return (K(vec))_mm512_insertf32x4(v, _mm_loadu_ps(p + 3 * step), 3);
}

/* v of a row's tiles of few channels; up to three more are written. */
#define ROWS_V_ARGS REAL *v, int64_t v_step, const REAL *x, int64_t pixel, int64_t tiles
INLINE void K(rows_v)(const int points, ROWS_V_ARGS)
{
    for (int64_t t = 0; t < tiles; t += 4, v += VL, x += 16 * pixel) {
        K(vec) d[8], r[8];
#pragma GCC unroll 8
        for (int j = 0; j < points; j++)
            d[j] = K(four_tiles)(x + j * pixel, 4 * pixel);
        points == 6 ? K(bt_4)(r, d) : K(bt_rows)(r, d);
#pragma GCC unroll 8
        for (int e = 0; e < points; e++)
            K(store)(v + e * v_step, r[e]);
    }
}
#define ROWS_V(points)                                                                                                \
    static __attribute__((hot, noinline)) void K(rows_v_##points)(ROWS_V_ARGS)                                        \
    {                                                                                                                 \
        K(rows_v)(points, v, v_step, x, pixel, tiles);                                                                \
    }
ROWS_V(6)
ROWS_V(8)

/* q of one vector of a row's tiles, `lanes` from tile to tile, and the sums of dy. The first point and the last are
 * pixels of dy, where they are read, unless `all` are wanted. */
#define ROWS_Q_ARGS                                                                                                   \
    REAL *q, int64_t q_step, const REAL *dy, int64_t pixel, int64_t tiles, int64_t lanes, REAL *totals, int all
INLINE void K(rows_q)(const int points, ROWS_Q_ARGS)
{
    K(vec) total = K(load)(totals), other = {0};
    for (; tiles > 0; tiles--, dy += 4 * pixel, q += lanes) {
        K(vec) d[4], r[8];
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++)
            d[j] = K(load)(dy + j * pixel);
        points == 6 ? K(a_4)(r, d) : K(a_rows)(r, d);
        total += d[0] + d[1], other += d[2] + d[3];
#pragma GCC unroll 6
        for (int e = 1; e < points - 1; e++)
            K(store)(q + e * q_step, r[e]);
        if (all)
            K(store)(q, r[0]), K(store)(q + (points - 1) * q_step, r[points - 1]);
    }
    K(store)(totals, total + other);
}
#define ROWS_Q(points)                                                                                                \
    static __attribute__((hot, noinline)) void K(rows_q_##points)(ROWS_Q_ARGS)                                        \
    {                                                                                                                 \
        K(rows_q)(points, q, q_step, dy, pixel, tiles, lanes, totals, all);                                           \
    }
ROWS_Q(6)
ROWS_Q(8)
typedef void (*K(rows_q_fn))(ROWS_Q_ARGS);

/* n <= 16 columns of each pixel. */
static __attribute__((hot, noinline)) void K(rows_copy)(REAL *to, const REAL *from, int64_t pixel,
                                                        int64_t pixels, int64_t n)
{
    const K(mask) mask = K(lanes)(n);
    for (; pixels > 0; pixels--, to += VL, from += pixel)
        K(store)(to, K(load_lanes)(from, mask));
}

/* dw of n <= 16 columns of y from s[e][i][c][lanes]; parts of s are added up. */
HOT static void K(rows_put)(const nnrt_winograd_args *p, const REAL *s, int64_t parts, int64_t lanes, REAL *dw,
                            int64_t n, REAL *taps)
{
    const int64_t points = p->squares, count = points - 3, each = count * p->c * lanes;
    for (int64_t i = 0; i < count; i++)
        for (int64_t c = 0; c < p->c; c++) {
            K(vec) d[8], r[5];
            const REAL *from = s + (i * p->c + c) * lanes;
#pragma GCC unroll 8
            for (int e = 0; e < 8; e++)
                d[e] = K(load)(from + MIN(e, points - 1) * each);
            for (int64_t part = 1; part < parts; part++) {
                from += p->s_block;
#pragma GCC unroll 8
                for (int e = 0; e < 8; e++)
                    d[e] += K(load)(from + MIN(e, points - 1) * each);
            }
            r[3] = r[4] = d[0];
            points == 6 ? K(gt_4)(r, d) : K(gt_rows)(r, d);
#pragma GCC unroll 5
            for (int j = 0; j < 5; j++)
                if (j < count)
                    K(store)(taps + ((c * count + i) * count + j) * VL, r[j]);
        }
    K(put_taps)(dw, p->c * count * count, taps, p->c * count * count, n);
}

/* Some rows of an image's dy, and some tiles along them. */
typedef struct {
    const REAL *x, *dy;         /* x's image; the first pixel of dy */
    int64_t left, across, cols; /* tiles before, tiles, and the pixels that they have */
    int64_t high;               /* rows of dy */
    int64_t y0, near, far;      /* x's rows begin at y0; those from near to far exist */
    int there;                  /* all of its tiles are full and side by side in memory */
} K(band);

static int64_t K(bands)(const nnrt_winograd_args *p)
{
    return p->n * CEIL(p->oh, p->high) * CEIL(CEIL(p->ow, 4), p->across);
}

static K(band) K(band_of)(const nnrt_winograd_args *p, int64_t group, int64_t u)
{
    const int64_t tiles = CEIL(p->ow, 4), blocks = CEIL(tiles, p->across), down = CEIL(p->oh, p->high);
    const int64_t left = u % blocks * p->across, top = u / blocks % down * p->high, image = u / blocks / down;
    K(band) b = {.left = left, .across = MIN(p->across, tiles - left),
                 .high = MIN(p->high, p->oh - top), .y0 = top - p->pad_h};
    const int64_t y1 = b.y0 + b.high + p->squares - 4;
    b.x = (const REAL *)p->x + image * p->h * p->w * p->x_pixel + group * p->c;
    b.dy = (const REAL *)p->y + ((image * p->oh + top) * p->ow + left * 4) * p->y_pixel + group * p->o;
    b.cols = MIN(b.across * 4, p->ow - left * 4);
    b.near = MIN(MAX(b.y0, 0), y1), b.far = MAX(MIN(y1, p->h), b.near);
    b.there = blocks == 1 && b.cols == b.across * 4;
    return b;
}

/* v of x's rows of few channels, which are copied between zeros before: what is read in other pieces than it was
 * written has to leave the core first. */
static void K(rows_of_x)(const nnrt_winograd_args *p, const K(band) *b, REAL *v, REAL *lines, int64_t line)
{
    void (*const transform)(ROWS_V_ARGS) = p->squares == 6 ? K(rows_v_6) : K(rows_v_8);
    const int64_t row = b->across * 4, need = b->across * 4 + p->squares - 4, x0 = b->left * 4 - p->pad_w;
    const int64_t before = MIN(MAX(-x0, 0), need), end = MAX(MIN(p->w - x0, need), before);
    for (int64_t y = b->near; y < b->far; y++) {
        REAL *to = lines + (y - b->near) * line;
        if (b->left + b->across < CEIL(p->ow, 4) || b->left) { /* other columns than of the band before */
            memset(to, 0, before * p->c * sizeof(REAL));
            memset(to + end * p->c, 0, (line - end * p->c) * sizeof(REAL));
        }
        memcpy(to + before * p->c, b->x + (y * p->w + x0 + before) * p->c, (end - before) * p->c * sizeof(REAL));
    }
    for (int64_t y = b->y0; y < b->y0 + b->high + p->squares - 4; y++)
        if (y >= b->near && y < b->far)
            transform(v + (y - b->y0) * row, p->v_step, lines + (y - b->near) * line, p->c, b->across);
        else
            for (int e = 0; e < p->squares; e++)
                memset(v + e * p->v_step + (y - b->y0) * row, 0, row * sizeof(REAL));
}

/* q of some of dy's rows, `lanes` columns from o on, and their totals. Pixels are read where they lie unless these are
 * fewer columns or their tile is not full. */
static void K(rows_of_dy)(const nnrt_winograd_args *p, const K(band) *b, const REAL *dy, int64_t rows, int64_t o,
                          int64_t lanes, REAL *q, REAL *line, REAL *totals)
{
    const K(rows_q_fn) transform = p->squares == 6 ? K(rows_q_6) : K(rows_q_8);
    const int64_t whole = p->c > 4 || p->o - o < lanes ? 0 : b->cols / 4, rest = b->cols - whole * 4;
    const int there = b->there && !rest;
    const int64_t together = there ? rows : 1;
    for (int64_t r = 0; r < rows; r += together, dy += p->ow * p->y_pixel, q += b->across * lanes)
        for (int64_t l = 0; l < lanes; l += VL) {
            if (whole)
                transform(q + l, p->q_step, dy + l, p->y_pixel, together * whole, lanes, totals + l, !there);
            if (!rest)
                continue;
            K(rows_copy)(line, dy + whole * 4 * p->y_pixel + l, p->y_pixel, rest, MAX(MIN(VL, p->o - o - l), 0));
            memset(line + rest * VL, 0, ((b->across - whole) * 4 - rest) * VL * sizeof(REAL));
            transform(q + whole * lanes + l, p->q_step, line, VL, b->across - whole, lanes, totals + l, 1);
        }
}

/* Of up to four channels of x: 32 columns of dy at a time. */
static void K(rows_few)(const nnrt_winograd_args *p, const K(band) *b, const REAL *v, REAL *q, REAL *line,
                        REAL *totals, REAL *s)
{
    static const K(rows_core_fn) cores[] = {K(rows_of_1), K(rows_of_2), K(rows_of_3), K(rows_of_4)};
    const int64_t points = p->squares;
    const K(rows_core_fn) core = points == 8 ? K(rows_of_five) : cores[p->c - 1];
    const int64_t lanes = 2 * VL, row = b->across * 4, each = (points - 3) * p->c * lanes;
    const int64_t once = points == 8 ? 1 : p->c;
    for (int64_t r = 0, rows; r < b->high; r += rows) {
        rows = MIN(p->rows, b->high - r);
        for (int64_t o = 0; o < p->o; o += lanes) {
            const REAL *dy = b->dy + r * p->ow * p->y_pixel + o;
            const int64_t n = rows * b->across, panel = o / lanes;
            K(rows_of_dy)(p, b, dy, rows, o, lanes, q, line, totals + o);
            /* of the next rows' dy this panel's share: two lines for each tile and four of the points */
            const char *ahead = (const char *)(b->dy + (r + rows) * p->ow * p->y_pixel) + panel * 4 * n * 128;
            for (int64_t e = 0; e < points; e++, ahead += e <= 4 ? n * 128 : 0) {
                const int pixels = b->there && p->o - o >= lanes && e % (points - 1) == 0;
                const REAL *of = pixels ? dy + (e ? 3 : 0) * p->y_pixel : q + e * p->q_step;
                for (int64_t c = 0; c < p->c; c += once)
                    core(n, v + e * p->v_step + r * row + c, row, of, pixels ? 4 * p->y_pixel : lanes, 0,
                         s + (panel * points + e) * each + c * lanes, p->c * lanes, ahead, e < 4 ? 128 : 0);
            }
        }
    }
}

/* Of 16 channels: each row of x meets three of dy, those around the band zeros. next: the band after it. */
static void K(rows_wide)(const nnrt_winograd_args *p, const K(band) *b, const K(band) *next, const REAL *v, REAL *q,
                         REAL *line, REAL *totals, REAL *s)
{
    const int64_t row = b->across * VL, n = (b->far - b->near) * b->across, first = b->near - b->y0;
    for (int e = 0; e < 6; e++) {
        memset(q + e * p->q_step, 0, 2 * row * sizeof(REAL));
        memset(q + e * p->q_step + (b->high + 2) * row, 0, 2 * row * sizeof(REAL));
    }
    K(rows_of_dy)(p, b, b->dy, b->high, 0, VL, q + 2 * row, line, totals);
    for (int64_t e = 0; e < 6; e++)
        for (int64_t c = 0; c < VL; c += 8) {
            /* of the pixels to come four of a tile in x, then four in dy */
            const int64_t call = 2 * e + c / 8, pixel = call < 4 ? p->x_pixel : p->y_pixel;
            const REAL *soon = (call < 4 ? next->x + next->near * p->w * pixel : next->dy) + call % 4 * n * pixel;
            K(rows_slide)(n, v + e * p->v_step + first * row + c, 0, q + e * p->q_step + (first + 2) * row, VL, row,
                          s + (e * 3 * VL + c) * VL, VL * VL, (const char *)soon,
                          call < 8 && b->across * 4 >= p->ow ? pixel * (int64_t)sizeof(REAL) : 0);
        }
}

/* s of a group's bands in one of p->parts; of groups dw follows. */
static void K(rows_sum)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    const nnrt_winograd_args *p = args;
    const int few = p->c <= 4;
    const int64_t lanes = few ? 2 * VL : VL, wide = CEIL(p->across, 4) * 4 * 4 + 8, line = wide * p->c + VL;
    REAL *const v = scratch, *const q = v + p->squares * p->v_step, *const lines = q + p->squares * p->q_step;
    REAL *const dy_line = lines + (few ? p->high + p->squares - 4 : 1) * line, *const totals = dy_line + wide * VL;
    REAL *const own = totals + CEIL(p->o, lanes) * lanes;
    for (int64_t t = begin; t < end; t++) {
        const int64_t group = t % p->groups, part = t / p->groups;
        const int64_t first = K(bands)(p) * part / p->parts, last = K(bands)(p) * (part + 1) / p->parts;
        REAL *s = p->s ? (REAL *)p->s + part * p->s_block : own;
        memset(s, 0, p->s_block * sizeof(REAL));
        memset(lines, 0, (own - lines) * sizeof(REAL));
        for (int64_t u = first; u < last; u++) {
            const K(band) b = K(band_of)(p, group, u);
            const K(band) next = K(band_of)(p, group + (u + 1 == last), u + 1 < last ? u + 1 : first);
            if (few) {
                K(rows_of_x)(p, &b, v, lines, line);
                K(rows_few)(p, &b, v, q, dy_line, totals, s);
            } else {
                K(rows_input)(p, b.x, b.y0, b.high + 2, b.left, b.across, v, p->v_step);
                K(rows_wide)(p, &b, &next, v, q, dy_line, totals, s);
            }
        }
        if (p->totals)
            memcpy((REAL *)p->totals + part * p->y_pixel + group * p->o, totals, p->o * sizeof(REAL));
        if (!p->s)
            K(rows_put)(p, s, 1, lanes, (REAL *)p->dw + group * p->o * p->c * 9, p->o, own + p->s_block);
    }
}

/* dw from all parts, 16 columns of y a task. */
COLD static void K(rows_finish)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    const nnrt_winograd_args *p = args;
    const int64_t taps = p->squares - 3, each = p->squares * taps * p->c * 2 * VL;
    for (int64_t t = begin; t < end; t++)
        K(rows_put)(p, (const REAL *)p->s + t / 2 * each + t % 2 * VL, p->parts, 2 * VL,
                    (REAL *)p->dw + t * VL * p->c * taps * taps, MIN(VL, p->o - t * VL), scratch);
}
