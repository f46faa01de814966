/* Winograd along rows alone: y = A^T [ sum over the filter's rows and c of (B^T d) * (G w) ] for four outputs side by
 * side, 6 products for each row of the filter. Float32 with 32 registers of a line: sums of one of the 6 for up to 7
 * rows of 4 tiles stay in registers, where what comes of a row of x is broadcast once for all rows of the filter.
 *
 *   v[c / VL][6][rows][tiles][VL] of some rows of x; s[6][rows][tiles][VL] of one vector of o;
 *   u[o / VL][6][c][3][VL] of a group. */

#define MOST_ROWS 7
#define MOST_TILES 4
#define UNROLL _Pragma("GCC unroll 16")

/* B^T of the 6 pixels of a row of w from left on, e_step apart; the row is zero
 * outside. Pixels `ahead` are asked for. */
INLINE void K(rows_of)(REAL *v, int64_t e_step, const REAL *row, int64_t pixel, int64_t left, int64_t w, K(mask) mask,
                       int64_t ahead)
{
    K(vec) d[6], r[6], edge[6];
    row += left * pixel;
    if (ahead)
        for (int j = 2; j < 6; j++)
            __builtin_prefetch(row + j * pixel + ahead);
    if (left < 0 || left + 6 > w) {
        for (int64_t j = 0; j < 6; j++)
            edge[j] = left + j >= 0 && left + j < w ? K(load_lanes)(row + j * pixel, mask) : (K(vec)){0};
        row = (const REAL *)edge, pixel = VL;
    }
    UNROLL for (int j = 0; j < 6; j++)
        d[j] = K(load_lanes)(row + j * pixel, mask);
    K(bt_4)(r, d);
    UNROLL for (int e = 0; e < 6; e++)
        K(store)(v + e * e_step, r[e]);
}

/* v of the rows top..top+rows-1 and the tiles t0..t0+tiles-1 of an image's c channels from x on. */
HOT static __attribute__((noinline)) void K(rows_input)(const nnrt_winograd_args *p, const REAL *x,
                                                        int64_t top, int64_t rows, int64_t t0, int64_t tiles,
                                                        REAL *v, int64_t e_step)
{
    const int64_t ahead = p->soon && p->groups > 1 ? p->c : 0;
    for (int64_t c = 0; c < p->c; c += VL, x += VL) {
        const K(mask) mask = K(lanes)(MIN(p->c - c, VL));
        REAL *to = v + c * 6 * e_step / VL;
        for (int64_t y = top; y < top + rows; y++)
            for (int64_t t = t0; t < t0 + tiles; t++, to += VL)
                if (y >= 0 && y < p->h)
                    K(rows_of)(to, e_step, x + y * p->w * p->x_pixel, p->x_pixel, t * p->tile - p->pad_w, p->w,
                               mask, ahead);
                else
                    UNROLL for (int e = 0; e < 6; e++)
                        K(store)(to + e * e_step, (K(vec)){0});
    }
}

/* v_set: from VL of the channels to the next. */
typedef void (*K(product))(REAL *s, const REAL *v, const REAL *u, int64_t c, int64_t v_set);

/* s[rows][tiles] = the sum over c and a filter's 3 rows of v u. */
INLINE void K(rows_product)(const int rows, const int tiles, REAL *s, const REAL *v, const REAL *u, int64_t c,
                            int64_t v_set)
{
    K(vec) sums[MOST_ROWS][MOST_TILES];
    UNROLL for (int i = 0; i < rows; i++)
        UNROLL for (int t = 0; t < tiles; t++)
            sums[i][t] = (K(vec)){0};
    for (; c > 0; c -= VL, v += v_set) {
        const REAL *end = v + MIN(c, VL);
        for (const REAL *at = v; at < end; at++, u += 3 * VL) {
            const K(vec) w0 = K(load)(u), w1 = K(load)(u + VL), w2 = K(load)(u + 2 * VL);
            UNROLL for (int i = 0; i < rows + 2; i++)
                UNROLL for (int t = 0; t < tiles; t++) {
                    const K(vec) b = K(splat)(at[(i * tiles + t) * VL]);
/* Written out, results stay where they are: without it gcc takes b's register and moves sums. */
#define ADD(sum, w) __asm__("vfmadd231ps %2, %1, %0" : "+v"(sum) : "v"(b), "v"(w))
                    if (i < rows)
                        ADD(sums[i][t], w0);
                    if (i >= 1 && i <= rows)
                        ADD(sums[i - 1][t], w1);
                    if (i >= 2)
                        ADD(sums[i - 2][t], w2);
                }
        }
    }
    UNROLL for (int i = 0; i < rows; i++)
        UNROLL for (int t = 0; t < tiles; t++)
            K(store)(s + (i * tiles + t) * VL, sums[i][t]);
}
#undef ADD
#define EACH_PRODUCT(X) X(4, 2) X(4, 3) X(4, 4) X(7, 2) X(7, 3) X(7, 4)
#define ROWS_PRODUCT(rows, tiles)                                                                                  \
    HOT static void K(rows_product_##rows##tiles)(REAL *s, const REAL *v, const REAL *u, int64_t c, int64_t v_set) \
    {                                                                                                              \
        K(rows_product)(rows, tiles, s, v, u, c, v_set);                                                           \
    }
EACH_PRODUCT(ROWS_PRODUCT)
#undef ROWS_PRODUCT
#define ROWS_PRODUCT(rows, tiles) K(rows_product_##rows##tiles),
static const K(product) K(rows_products)[] = {EACH_PRODUCT(ROWS_PRODUCT)};
#undef ROWS_PRODUCT

/* Rows of sums that are to become y. */
typedef struct {
    REAL *y;
    const REAL *residual, *bias, *s;
    int64_t rows, tiles, cols, lanes, s_step;
} K(waiting);

/* The next rows of them. */
HOT static __attribute__((noinline)) void K(rows_output)(const nnrt_winograd_args *p, K(waiting) *a, int64_t rows)
{
    const int relu = p->relu;
    const int64_t pixel = p->y_pixel, line = p->ow * pixel;
    const int64_t ahead = !p->soon ? 0 : p->groups > 1 ? p->o : MOST_ROWS * line;
    rows = MIN(rows, a->rows);
    if (rows <= 0)
        return;
    const K(vec) bias = a->bias ? K(load_some)(a->bias, a->lanes) : (K(vec)){0};
    const K(mask) mask = K(lanes)(a->lanes);
    for (a->rows -= rows; rows > 0; rows--, a->y += line, a->residual += a->residual ? line : 0)
        for (int64_t t = 0; t < a->tiles; t++, a->s += VL) {
            const int64_t cols = a->cols - t * 4;
            K(vec) d[6], r[4];
            UNROLL for (int e = 0; e < 6; e++)
                d[e] = K(load)(a->s + e * a->s_step);
            K(at_4)(r, d);
            UNROLL for (int j = 0; j < 4; j++) {
                const int64_t to = (t * 4 + j) * pixel;
                K(vec) z = r[j] + bias;
                if (j >= cols)
                    break;
                if (a->residual)
                    z += K(load_lanes)(a->residual + to, mask);
                if (relu)
                    z = K(relu_vec)(z);
                K(store_lanes)(a->y + to, mask, z);
                if (ahead)
                    __builtin_prefetch(a->y + to + ahead, 1);
            }
        }
}

/* Vector `column` of u, [6][depth][3][VL], from the 3x3 taps of the columns from VL * column on of a group. */
HOT static __attribute__((noinline)) void K(rows_filter)(const nnrt_winograd_filter *p, const REAL *w,
                                                         int64_t column, REAL *u)
{
    typedef __m512 v;
    const __mmask16 nine = 0x1ff;
    const REAL *rows[VL]; /* lanes behind the last one repeat it */
    for (int64_t l = 0; l < VL; l++)
        rows[l] = w + MIN(column * VL + l, p->columns - 1) * p->column_step;
    for (int64_t k = 0; k < p->depth; k++, u += 3 * VL) {
        v a[16], b[16], taps[9];
        UNROLL for (int l = 0; l < 16; l += 2) {
            const v r0 = _mm512_maskz_loadu_ps(nine, rows[l] + k * p->depth_step);
            const v r1 = _mm512_maskz_loadu_ps(nine, rows[l + 1] + k * p->depth_step);
            a[l] = _mm512_unpacklo_ps(r0, r1), a[l + 1] = _mm512_unpackhi_ps(r0, r1);
        }
        UNROLL for (int l = 0; l < 16; l += 4)
            UNROLL for (int i = 0; i < 2; i++) {
                const __m512d low = (__m512d)a[l + i], high = (__m512d)a[l + 2 + i];
                b[l + 2 * i] = (v)_mm512_unpacklo_pd(low, high), b[l + 2 * i + 1] = (v)_mm512_unpackhi_pd(low, high);
            }
        UNROLL for (int i = 0; i < 4; i++) {
            const v low = _mm512_shuffle_f32x4(b[i], b[4 + i], 0x44);
            const v high = _mm512_shuffle_f32x4(b[8 + i], b[12 + i], 0x44);
            taps[i] = _mm512_shuffle_f32x4(low, high, 0x88), taps[4 + i] = _mm512_shuffle_f32x4(low, high, 0xdd);
        }
        taps[8] = _mm512_shuffle_f32x4(_mm512_shuffle_f32x4(b[0], b[4], 0xee),
                                       _mm512_shuffle_f32x4(b[8], b[12], 0xee), 0x88);
        UNROLL for (int i = 0; i < 3; i++) {
            K(vec) d[3], r[6];
            UNROLL for (int j = 0; j < 3; j++)
                d[j] = (K(vec))taps[p->rotate ? 8 - i * 3 - j : i * 3 + j];
            K(g_4)(r, d);
            UNROLL for (int e = 0; e < 6; e++)
                K(store)(u + (e * p->depth * 3 + i) * VL, r[e]);
        }
    }
}

/* Of how many blocks of seven rows, and of how many of four, so many are made: of as few as go beyond them. */
INLINE void K(cut_rows)(int64_t high, int64_t *sevens, int64_t *fours)
{
    static const int8_t left[7] = {0, 1, 2, 0, 0, 1, 2}, more[7] = {0, 2, 4, 1, 1, 3, 5};
    const int64_t rest = high % 7;
    *sevens = high / 7, *fours = rest > 0 && rest < 5;
    if (*sevens >= left[rest])
        *sevens -= left[rest], *fours = more[rest];
    else
        *sevens += rest >= 5;
}

/* y of a task's groups. Sums become y while the next ones are multiplied: y's lines are written one by one, pixels
 * apart, and the core has them wait in a queue. scratch: v, twice s, u where the task makes it. */
COLD static void conv_rows_f32(const void *args, int64_t begin, int64_t end, void *scratch)
{
    const nnrt_winograd_args *p = args;
    const int64_t parts = CEIL(p->groups, p->group), chunks = CEIL(p->across, MOST_TILES);
    const int64_t e_step = p->v_step, s_step = p->m_step, u_step = p->c * 3 * VL;
    REAL *v = scratch, *s = v + CEIL(p->c, VL) * 6 * e_step, *other = s + 6 * s_step, *own = other + 6 * s_step;
    K(waiting) before = {.rows = 0};
    for (int64_t t = begin; t < end; t++) {
        const int64_t image = t / parts / p->down, strip = t / parts % p->down, first = strip * p->oh / p->down;
        const int64_t high = (strip + 1) * p->oh / p->down - first;
        const int64_t last = MIN((t % parts + 1) * p->group, p->groups);
        int64_t sevens, fours;
        K(cut_rows)(high, &sevens, &fours);
        for (int64_t set = t % parts * p->group; set < last; set++) {
            const REAL *u = (const REAL *)p->u + set * p->u_pass, *x = p->x;
            if (p->filter) {
                for (int64_t i = 0; i < CEIL(p->o, VL); i++)
                    K(rows_filter)(p->filter, (const REAL *)p->filter->w + set * p->filter->w_group, i,
                                   own + i * 6 * u_step);
                u = own;
            }
            x += image * p->h * p->w * p->x_pixel + set * p->c;
            for (int64_t chunk = 0; chunk < chunks; chunk++) {
                const int64_t t0 = chunk * p->across / chunks, tiles = MAX((chunk + 1) * p->across / chunks - t0, 2);
                K(rows_input)(p, x, first - p->pad_h, 7 * sevens + 4 * fours + 2, t0, tiles, v, e_step);
                for (int64_t row = 0, rows; row < high; row += rows) {
                    const K(product) product = K(rows_products)[(row < 7 * sevens) * 3 + tiles - 2];
                    rows = MIN(row < 7 * sevens ? 7 : 4, high - row);
                    for (int64_t o = 0; o < p->o; o += VL) {
                        const int64_t at = set * p->o + o;
                        const int64_t y = ((image * p->oh + first + row) * p->ow + t0 * p->tile) * p->y_pixel + at;
                        for (int64_t e = 0; e < 6; e++) {
                            product(s + e * s_step, v + e * e_step + row * tiles * VL, u + (o / VL * 6 + e) * u_step,
                                    p->c, 6 * e_step);
                            K(rows_output)(p, &before, e ? 1 : 2);
                        }
                        before = (K(waiting)){(REAL *)p->y + y, p->residual ? (const REAL *)p->residual + y : NULL,
                                              p->bias ? (const REAL *)p->bias + at : NULL, s, rows, tiles,
                                              p->ow - t0 * p->tile, MIN(p->o - o, VL), s_step};
                        REAL *swap = s;
                        s = other, other = swap;
                    }
                }
            }
        }
    }
    K(rows_output)(p, &before, MOST_ROWS);
}

/* tasks: groups x vectors of columns */
COLD static void filter_rows_f32(const void *args, int64_t begin, int64_t end, void *scratch)
{
    const nnrt_winograd_filter *p = args;
    const int64_t each = CEIL(p->columns, VL);
    for (int64_t t = begin; t < end; t++) {
        REAL *u = (REAL *)p->u + t / each * p->u_group + t % each * 18 * VL * p->depth;
        K(rows_filter)(p, (const REAL *)p->w + t / each * p->w_group, t % each, u);
    }
}

#undef EACH_PRODUCT
#undef UNROLL
