/* The register tile: up to MR rows by two vectors of c, summed over k in registers.
 *
 *   acc[i, j] = sum over k of a[i, k] b[k, j]        (b's rows contiguous, a any strides)
 *   c = relu?(alpha acc + beta src + bias)
 *
 * With keep, the rows of b are stored there, too, as a panel: what a copy costs hides behind the multiply-adds.
 * With parts, k is summed for each of them: part p of a starts at a + jumps[p], those of b follow one another.
 * With more, a second product is summed, of another a and another b.
 *
 * One function body; rows, vectors, edge and packed are constants in each copy of it,
 * so that the accumulators are 2 rows variables and the loop over k is straight line. */

#ifndef DECLARE
#define DECLARE(i, p, s) V x##i = {0}, y##i = {0};
#define STEP(i, p, s)                                                                                   \
    if (rows > i) {                                                                                     \
        V t = K(splat)(p[s * a_row]);                                                                   \
        x##i = K(add_product)(x##i, t, b0);                                                             \
        if (vectors > 1)                                                                                \
            y##i = K(add_product)(y##i, t, b1);                                                         \
    }
#define STEP_Y(i, p, s)                                                                                 \
    if (rows > i)                                                                                       \
        y##i += K(splat)(p[s * a_row]) * b0;
#define MERGE(i, p, s)                                                                                  \
    if (rows > i)                                                                                       \
        x##i += y##i;
#define SCALE(i, p, s)                                                                                  \
    if (rows > i)                                                                                       \
        x##i *= scale, y##i *= scale;
#define ADD_SRC(i, p, s)                                                                                \
    if (rows > i) {                                                                                     \
        const REAL *q = src + i * tail->src_row;                                                        \
        if (vectors > 1) {                                                                              \
            x##i += scale * K(load)(q);                                                                 \
            y##i += scale * (edge ? K(load_lanes)(q + VL, mask) : K(load)(q + VL));                     \
        } else                                                                                          \
            x##i += scale * (edge ? K(load_lanes)(q, mask) : K(load)(q));                               \
    }
#define ADD_BIAS(i, p, s)                                                                               \
    if (rows > i)                                                                                       \
        x##i += b0, y##i += b1;
#define RELU(i, p, s)                                                                                   \
    if (rows > i)                                                                                       \
        x##i = K(relu_vec)(x##i), y##i = K(relu_vec)(y##i);
#define STORE(i, p, s)                                                                                  \
    if (rows > i) {                                                                                     \
        REAL *q = c + i * c_row;                                                                        \
        if (vectors > 1) {                                                                              \
            K(store)(q, x##i);                                                                          \
            if (edge)                                                                                   \
                K(store_lanes)(q + VL, mask, y##i);                                                     \
            else                                                                                        \
                K(store)(q + VL, y##i);                                                                 \
        } else if (edge && last < VL) /* masked stores are slow on AMD's AVX2 */                        \
            K(store_lanes)(q, mask, x##i);                                                              \
        else                                                                                            \
            K(store)(q, x##i);                                                                          \
    }
/* Tiles that can copy the b they read. */
#define KEEPS(rows, vectors, edge) (VBYTES == 64 && rows >= NNRT_KEEP_ROWS && vectors == 2 && !edge)
#define A_NEXT a0 += a_col, a3 += a_col, a6 += a_col, a9 += a_col, a12 += a_col;
#define TILE_ARGS                                                                                       \
    int64_t k, const REAL *a, int64_t a_row, int64_t a_col, const REAL *b, int64_t b_row, REAL *c,      \
        int64_t c_row, const nnrt_tail *tail, int64_t last
#endif

/* last: columns in the last vector, when edge. */
INLINE void K(tile_body)(const int rows, const int vectors, const int edge, const int by_four, const int joins,
                         TILE_ARGS)
{
    typedef K(vec) V;
    const K(mask) mask = K(lanes)(edge ? last : VL);
    V b0 = {0}, b1 = {0};
    const char *ahead = tail->ahead ? tail->ahead : (const char *)b;
    const int64_t line = tail->ahead ? tail->line : 0;
    REAL *keep = KEEPS(rows, vectors, edge) ? tail->keep : NULL;
    const nnrt_more *more = joins ? tail->more : NULL;
    EACH_ROW(DECLARE)
    for (int64_t part = 0;;) {
        const REAL *p = tail->parts ? a + tail->jumps[part] : a;
        const REAL *a0 = p, *a3 = p + 3 * a_row, *a6 = p + 6 * a_row, *a9 = p + 9 * a_row, *a12 = p + 12 * a_row;
        int64_t left = k;
        if (vectors == 1) {
            /* One vector leaves too few sums in flight to hide an FMA's latency: even k go to x, odd to y. */
            for (; left > 1; left -= 2) {
                b0 = edge ? K(load_lanes)(b, mask) : K(load)(b);
                EACH_ROW(STEP)
                A_NEXT
                b0 = edge ? K(load_lanes)(b + b_row, mask) : K(load)(b + b_row);
                EACH_ROW(STEP_Y)
                A_NEXT
                b += 2 * b_row;
            }
        }
        if (by_four) {
            for (; left > 3; left -= 4) {
                if (line)
                    for (int u = 0; u < 4; u++, ahead += line) {
                        __builtin_prefetch(ahead);
                        if (VBYTES > 32)
                            __builtin_prefetch(ahead + 64);
                    }
#pragma GCC unroll 4
                for (int u = 0; u < 4; u++) {
                    b0 = K(load)(b + u * b_row);
                    b1 = K(load)(b + u * b_row + VL);
                    EACH_ROW(STEP)
                    A_NEXT
                }
                b += 4 * b_row;
            }
        }
        if (KEEPS(rows, vectors, edge) && keep) {
            const int split = tail->split;
#pragma GCC unroll 1
            for (; left > 0; left--, ahead += line, b += b_row, keep += NR) {
                __builtin_prefetch(ahead);
                __builtin_prefetch(ahead + 64);
                if (split)
                    __builtin_prefetch(ahead + 127);
                b0 = K(load)(b), b1 = K(load)(b + VL);
                K(store)(keep, b0);
                K(store)(keep + VL, b1);
                EACH_ROW(STEP)
                A_NEXT
            }
        }
#pragma GCC unroll 1
        for (; left > 0; left--) {
            if (vectors > 1 && !edge) {
                __builtin_prefetch(ahead);
                if (VBYTES > 32)
                    __builtin_prefetch(ahead + 64);
                ahead += line;
            }
            b0 = edge && vectors == 1 ? K(load_lanes)(b, mask) : K(load)(b);
            if (vectors > 1)
                b1 = edge ? K(load_lanes)(b + VL, mask) : K(load)(b + VL);
            EACH_ROW(STEP)
            A_NEXT
            b += b_row;
        }
        if (++part < tail->parts)
            continue;
        if (!joins || !more)
            break;
        a = more->a, a_row = more->a_row, b = more->b, k = more->k;
        ahead = line ? more->ahead : (const char *)b;
        more = NULL;
    }
    if (vectors == 1) {
        EACH_ROW(MERGE)
    }
    if (tail->alpha != 1) {
        V scale = K(splat)((REAL)tail->alpha);
        EACH_ROW(SCALE)
    }
    if (tail->src) {
        const REAL *src = tail->src;
        V scale = K(splat)((REAL)tail->beta);
        EACH_ROW(ADD_SRC)
    }
    if (tail->bias) {
        const REAL *bias = tail->bias;
        b0 = edge && vectors == 1 ? K(load_lanes)(bias, mask) : K(load)(bias);
        if (vectors > 1)
            b1 = edge ? K(load_lanes)(bias + VL, mask) : K(load)(bias + VL);
        EACH_ROW(ADD_BIAS)
    }
    if (tail->relu) {
        EACH_ROW(RELU)
    }
    EACH_ROW(STORE)
}

typedef void (*K(tile_fn))(TILE_ARGS);

#define TILE(r)                                                                                         \
    static void K(tile_##r##_two)(TILE_ARGS)                                                            \
    {                                                                                                   \
        K(tile_body)(r, 2, 0, 0, JOINS(r), k, a, a_row, a_col, b, b_row, c, c_row, tail, last);                   \
    }                                                                                                   \
    static void K(tile_##r##_two_edge)(TILE_ARGS)                                                       \
    {                                                                                                   \
        K(tile_body)(r, 2, 1, 0, 0, k, a, a_row, a_col, b, b_row, c, c_row, tail, last);                   \
    }                                                                                                   \
    static void K(tile_##r##_one)(TILE_ARGS)                                                            \
    {                                                                                                   \
        K(tile_body)(r, 1, 1, 0, 0, k, a, a_row, a_col, b, b_row, c, c_row, tail, last);                   \
    }
#define ENTRY(r) {K(tile_##r##_two), K(tile_##r##_two_edge), K(tile_##r##_one)},

#if MR == 14
#define EACH_HEIGHT(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14)
#elif MR == 8
#define EACH_HEIGHT(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8)
#else
#define EACH_HEIGHT(X) X(1) X(2) X(3) X(4) X(5) X(6)
#endif

EACH_HEIGHT(TILE)
#if VBYTES == 32
/* Whole tiles whose rows or columns of a lie side by side take four k at a time, at addresses of [pointer + constant]:
 * a core that shares its front end with another thread waits for each instruction beside the multiply-adds. Of few k,
 * stretches of four and what is left take longer. */
#define BY_FOUR(r)                                                                                      \
    static void K(tile_##r##_along)(TILE_ARGS)                                                          \
    {                                                                                                   \
        K(tile_body)(r, 2, 0, 1, 0, k, a, a_row, 1, b, b_row, c, c_row, tail, last);                       \
    }                                                                                                   \
    static void K(tile_##r##_across)(TILE_ARGS)                                                         \
    {                                                                                                   \
        K(tile_body)(r, 2, 0, 1, 0, k, a, 1, a_col, b, b_row, c, c_row, tail, last);                       \
    }
BY_FOUR(5)
BY_FOUR(6)
#undef BY_FOUR
/* [rows - MR + 1][a_col == 1, a_row == 1] */
static const K(tile_fn) K(tiles_by_four)[2][2] = {{K(tile_5_along), K(tile_5_across)},
                                                  {K(tile_6_along), K(tile_6_across)}};
#else
/* A packed panel of a: constant strides, so every address is [pointer + constant]. */
static void K(tile_packed)(TILE_ARGS)
{
    K(tile_body)(MR, 2, 0, 0, 0, k, a, 1, A_STEP, b, b_row, c, c_row, tail, last);
}
#endif

/* [rows - 1][two vectors; two, the second partly used; one, partly or fully used] */
static const K(tile_fn) K(tiles_table)[MR][3] = {EACH_HEIGHT(ENTRY)};

INLINE void K(tile)(int64_t rows, int64_t cols, int64_t k, const REAL *a, int64_t a_row, int64_t a_col,
                    const REAL *b, int64_t b_row, REAL *c, int64_t c_row, const nnrt_tail *tail)
{
    if (cols == NR) {
        K(tile_fn) whole = K(tiles_table)[rows - 1][0];
#if VBYTES == 32
        if (k >= 32 && rows >= MR - 1 && (a_col == 1 || a_row == 1))
            whole = K(tiles_by_four)[rows - MR + 1][a_col != 1];
#else
        if (rows == MR && a_row == 1 && a_col == A_STEP)
            whole = K(tile_packed);
#endif
        whole(k, a, a_row, a_col, b, b_row, c, c_row, tail, VL);
    } else if (cols > VL)
        K(tiles_table)[rows - 1][1](k, a, a_row, a_col, b, b_row, c, c_row, tail, cols - VL);
    else
        K(tiles_table)[rows - 1][2](k, a, a_row, a_col, b, b_row, c, c_row, tail, cols);
}

static void K(any_tile)(int64_t rows, int64_t cols, int64_t k, const void *a, int64_t a_row, int64_t a_col,
                        const void *b, int64_t b_row, void *c, int64_t c_row, const nnrt_tail *tail)
{
    K(tile)(rows, cols, k, a, a_row, a_col, b, b_row, c, c_row, tail);
}

#undef TILE
#undef ENTRY
#undef EACH_HEIGHT
