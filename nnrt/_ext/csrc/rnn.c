/* Recurrences over time. This file includes itself once per dtype. */
#ifndef REAL

#include <string.h>

#include "rnn.h"
#include "vmath.h"

#define EACH_DTYPE "rnn.c"
#include "each_dtype.h"

#define ENTRY(name)                                                     \
    .name = {{"rnn/" #name "/f32/" NNRT_STR(NNRT_ISA), name##_f32},     \
             {"rnn/" #name "/f64/" NNRT_STR(NNRT_ISA), name##_f64}}

const nnrt_rnn_table NNRT_SYM(rnn) = {ENTRY(forward), ENTRY(backward)};

#else

#include "gemm_vec.h"
#include "gates.h"

/* ---- products ---- */

/* Bytes of panels of which several do not stay in L1 and all not in L2. */
enum { K(FETCHED) = 32 << 10 };

/* out[count][NR] = src + a[k] times `count` panels: one row, whose sums fill the registers that a tile's rows would. */
INLINE void K(thin)(const int count, const int vectors, int64_t k, const REAL *a, const REAL *const *panel,
                    const REAL *const *src, const int64_t cols, REAL *out)
{
#define EACH_PANEL(X) X(0) X(1) X(2) X(3)
#define DECLARE(g) K(vec) x##g = {0}, y##g = {0};                     \
    const REAL *b##g = panel[g % count];
#define ADD(g)                                                        \
    if (count > g) {                                                  \
        x##g += t * K(load)(b##g + i * vectors * VL);                 \
        if (vectors > 1)                                              \
            y##g += t * K(load)(b##g + i * 2 * VL + VL);              \
    }
#define FINISH(g)                                                     \
    if (count > g) {                                                  \
        if (src[g]) {                                                 \
            x##g += K(load_some)(src[g], cols);                       \
            if (vectors > 1)                                          \
                y##g += K(load_some)(src[g] + VL, cols - VL);         \
        }                                                             \
        K(store)(out + g * NR, x##g);                                 \
        if (vectors > 1)                                              \
            K(store)(out + g * NR + VL, y##g);                        \
    }
    EACH_PANEL(DECLARE)
    for (int64_t i = 0; i < k; i++) {
        const K(vec) t = K(splat)(a[i]);
        EACH_PANEL(ADD)
    }
    EACH_PANEL(FINISH)
#undef EACH_PANEL
#undef DECLARE
#undef ADD
#undef FINISH
}

#define THIN(c, v)                                                                                               \
    static void K(thin_##c##_##v)(int64_t k, const REAL *a, const REAL *const *panel, const REAL *const *src,    \
                                  int64_t cols, REAL *out)                                                       \
    {                                                                                                            \
        K(thin)(c, v, k, a, panel, src, cols, out);                                                              \
    }
THIN(1, 1) THIN(2, 1) THIN(3, 1) THIN(4, 1) THIN(1, 2) THIN(2, 2) THIN(3, 2) THIN(4, 2)
#undef THIN

typedef void (*K(thin_fn))(int64_t, const REAL *, const REAL *const *, const REAL *const *, int64_t, REAL *);
static const K(thin_fn) K(thin_table)[4][2] = {{K(thin_1_1), K(thin_1_2)},
                                               {K(thin_2_1), K(thin_2_2)},
                                               {K(thin_3_1), K(thin_3_2)},
                                               {K(thin_4_1), K(thin_4_2)}};

/* out[rows, count NR] of `count` panels of the same width; src as out but with rows src_row apart, NULL: none. Where the
 * panels come from the last-level cache, the last tile of each fetches the one that follows, in the end `then`.
 * more: what the sums of the only panel have besides, or NULL; its ahead counts as `then` does. */
static void K(panels)(const nnrt_gemm_ops *ops, int64_t rows, int64_t cols, int64_t k, const REAL *a, int64_t a_row,
                      int count, const REAL *const *panel, const REAL *then, const REAL *const *src, int64_t src_row,
                      const REAL *bias, const nnrt_more *more, REAL *out, int64_t out_row)
{
    const int64_t width = cols > VL ? NR : VL, depth = k + (more ? more->k : 0);
    const int joined = more && JOINS(rows) && cols == NR;
    if (rows == 1) {
        const REAL *sum[4];
        for (int g = 0; g < count; g++)
            sum[g] = bias && g == count - 1 ? bias : src[g]; /* where there is a bias, no src is */
        K(thin_table)[count - 1][width > VL](k, a, panel, sum, cols, out);
    }
    nnrt_tail tail = {.alpha = 1, .beta = 1, .src_row = src_row, .line = width * (int64_t)sizeof(REAL)};
    for (int g = 0; g < count && rows > 1; g++) {
        const REAL *following = depth * tail.line < K(FETCHED) ? NULL : g + 1 < count ? panel[g + 1] : then;
        tail.bias = g == count - 1 ? bias : NULL;
        for (int64_t i = 0, t = 0, next; i < rows; i = next, t++) {
            next = gemm_row(rows, t + 1);
            nnrt_more rest;
            tail.src = src[g] ? src[g] + i * src_row : NULL;
            if (joined) {
                rest = *more;
                rest.a = (const REAL *)rest.a + i * rest.a_row;
                tail.more = &rest;
            }
            tail.ahead = next == rows ? (const char *)following : NULL;
            /* Every row is a line of its own, which the hardware does not see coming. */
            for (int64_t r = i; r < next && src[g]; r++)
                __builtin_prefetch(src[g] + r * src_row), __builtin_prefetch(src[g] + r * src_row + cols - 1);
            ops->tile(next - i, cols, k, a + i * a_row, a_row, 1, panel[g], width, out + i * out_row + g * NR, out_row,
                      &tail);
        }
    }
    if (more && !joined) {
        const REAL *b = more->b, *sum = out;
        K(panels)(ops, rows, cols, more->k, more->a, more->a_row, 1, &b, (const REAL *)more->ahead, &sum, out_row, NULL,
                  NULL, out, out_row);
    }
}

/* c[rows, n0..n1] = a[rows, k] times packed b, plus c itself where `add`; from the last columns on where `turned`. */
static void K(product)(const nnrt_gemm_ops *ops, int64_t rows, int64_t n0, int64_t n1, int64_t k, const REAL *a,
                       int64_t a_row, const REAL *b, REAL *c, int64_t c_row, int add, int turned)
{
    REAL out[4 * NR];
    const int64_t wide = rows > 1 ? NR : 4 * NR, blocks = CEIL(n1 - n0, wide);
    for (int64_t block = 0, j; block < blocks; block++) {
        j = n0 + (turned ? blocks - 1 - block : block) * wide;
        for (int64_t end = MIN(j + wide, n1); j < end;) {
            const REAL *panel[4], *src[4];
            const int64_t cols = MIN(end - j, NR);
            const int count = cols < NR ? 1 : (int)((end - j) / NR);
            for (int g = 0; g < count; g++)
                panel[g] = b + (j + g * NR) * k, src[g] = add ? c + j + g * NR : NULL;
            K(panels)(ops, rows, cols, k, a, a_row, count, panel, panel[0] + (turned ? -NR : NR) * k, src, c_row, NULL, NULL,
                      rows > 1 ? c + j : out, c_row);
            if (rows == 1)
                memcpy(c + j, out, sizeof(REAL) * (count > 1 ? count * NR : cols));
            j += count > 1 ? count * NR : cols;
        }
    }
}

/* ---- the walk ---- */

INLINE int K(gates)(const nnrt_rnn_args *p) { return p->cell == NNRT_CELL_LSTM ? 4 : p->cell == NNRT_CELL_GRU ? 3 : 1; }
/* Elements of a row of dgates. */
INLINE int64_t K(columns)(const nnrt_rnn_args *p) { return (p->cell == NNRT_CELL_GRU ? 4 : K(gates)(p)) * p->h; }

/* Direction d; sequences r0, r0 + every, ..., `rows` of them; units u0..u1. */
typedef struct {
    int64_t d, r0, every, rows, u0, u1;
} K(task);

/* Task i's. Every other step goes through the weights from their end on, each thread through its range of tasks:
 * what the step before read last is still in cache. */
INLINE K(task) K(task_of)(const nnrt_rnn_args *p, int64_t i)
{
    if (p->parts > 1 && p->first % 2) {
        const int64_t tasks = p->d * p->slices * p->parts;
        int64_t n = 1, from = 0;
        while (i >= tasks * n / p->threads)
            from = tasks * n++ / p->threads;
        i = from + tasks * n / p->threads - 1 - i;
    }
    const int64_t part = i % p->parts, s = i / p->parts % p->slices, r0 = p->ragged ? s : s * p->slice;
    const int64_t every = p->ragged ? p->slices : 1;
    return (K(task)){i / p->parts / p->slices, r0, every, MIN(p->slice, CEIL(p->b - r0, every)), part * p->part,
                     MIN((part + 1) * p->part, p->h)};
}

/* Task *i's and, as far as they come below `end`, its neighbours': higher tiles, and weights that are read less often.
 * What is summed does not depend on it. */
static __attribute__((noinline)) K(task) K(next_task)(const nnrt_rnn_args *p, int64_t *i, int64_t end)
{
    K(task) k = K(task_of)(p, (*i)++);
    while (*i < end && *i % p->slices && k.rows + p->slice <= p->together)
        k.rows += K(task_of)(p, (*i)++).rows;
    return k;
}

/* Where row r of step t lies in what has a row for each step of each sequence. */
INLINE int64_t K(place)(const nnrt_rnn_args *p, int64_t d, int64_t t, int64_t r)
{
    return d * p->starts[p->t] + p->starts[t] + r;
}

/* How many of the task's sequences have step t: the first ones. */
INLINE int64_t K(live)(const nnrt_rnn_args *p, const K(task) *k, int64_t t)
{
    if (t < 0 || t == p->t)
        return 0;
    const int64_t n = p->starts[t + 1] - p->starts[t] - k->r0;
    return n <= 0 ? 0 : MIN(k->rows, CEIL(n, k->every));
}

/* The task's rows, columns j0..j1, of state[d, b, n] from another array, NULL: zeros. */
static void K(begin)(REAL *state, const REAL *from, const nnrt_rnn_args *p, const K(task) *k, int64_t n, int64_t j0,
                     int64_t j1)
{
    for (int64_t i = 0; i < k->rows; i++) {
        const int64_t at = (k->d * p->b + k->r0 + i * k->every) * n + j0;
        if (from)
            memcpy(state + at, from + at, sizeof(REAL) * (j1 - j0));
        else
            memset(state + at, 0, sizeof(REAL) * (j1 - j0));
    }
}

#define GET(a) K(load_some)((a) + j, n - j)
#define PUT(a, v) K(store_some)((a) + j, n - j, v)
/* The statements for each vector of columns j.. of each row. */
#define ROWS(rows, ...)                                                           \
    for (int64_t i = 0; i < (rows); i++)                                          \
        for (int64_t j = 0; j < n; j += VL) {                                     \
            __VA_ARGS__                                                           \
        }
#define OF(a) ((a) + i * a##_row)

/* One step of units u..u+n of `live` rows, `going` of which have one before; s[live][gates * NR] holds a + U h'. In two passes, for a
 * processor finds work only within a window of about two such vectors of operations. */
static void K(cell_step)(const nnrt_rnn_args *p, const K(task) *k, int64_t t, int64_t live, int64_t going, const REAL *y,
                         const REAL *h0, int64_t u, int64_t n, REAL *s)
{
    const int64_t h = p->h, gates = K(gates)(p), at = K(place)(p, k->d, t, k->r0), s_row = gates * NR;
    const int64_t y_row = k->every * p->d * p->p, h0_row = k->every * p->p, c_row = k->every * h;
    const int64_t g_row = c_row * gates, kept_row = c_row, m_row = p->hidden ? c_row : y_row;
    REAL *g = (REAL *)p->gates + at * gates * h + u, *kept = p->kept ? (REAL *)p->kept + at * h + u : NULL;
    REAL *m = p->hidden ? (REAL *)p->hidden + at * h + u
                        : (REAL *)p->y + (p->starts[t] + k->r0) * p->d * p->p + k->d * p->p + u;
    if (p->cell == NNRT_CELL_LSTM && VBYTES == 64 && n == NR) {
        REAL *c = (REAL *)p->cn + (k->d * p->b + k->r0) * h + u;
        for (int64_t i = 0; i < live; i++) {
            /* i, f and g of two vectors; c = f c' + i g */
            K(vec) v[6], now[2];
#define BOTH _Pragma("GCC unroll 2") for (int j = 0; j < 2; j++)
            BOTH v[j] = K(load)(OF(s) + j * VL), v[2 + j] = K(load)(OF(s) + NR + j * VL),
                 v[4 + j] = K(load)(OF(s) + 2 * NR + j * VL);
            K(in_step)(6, 4, v);
            BOTH now[j] = v[2 + j] * K(load)(OF(c) + j * VL) + v[j] * v[4 + j];
            BOTH K(store)(OF(c) + j * VL, now[j]);
            if (kept) {
                BOTH K(store)(OF(g) + j * VL, v[j]);
                BOTH K(store)(OF(g) + h + j * VL, v[2 + j]);
                BOTH K(store)(OF(g) + 2 * h + j * VL, v[4 + j]);
                BOTH K(store)(OF(kept) + j * VL, now[j]);
            }
        }
        for (int64_t i = 0; i < live; i++) {
            /* h = o tanh(c) */
            K(vec) v[4];
            BOTH v[j] = K(load)(OF(s) + 3 * NR + j * VL), v[2 + j] = K(load)(OF(c) + j * VL);
            K(in_step)(4, 2, v);
            BOTH K(store)(OF(m) + j * VL, v[j] * v[2 + j]);
            if (kept)
                BOTH K(store)(OF(g) + 3 * h + j * VL, v[j]);
        }
#undef BOTH
    } else if (p->cell == NNRT_CELL_LSTM) {
        REAL *c = (REAL *)p->cn + (k->d * p->b + k->r0) * h + u;
        ROWS(live,
            /* c = f c' + i g */
            const K(vec) a = K(sigmoid_vec)(K(load)(OF(s) + j)), f = K(sigmoid_vec)(K(load)(OF(s) + NR + j));
            const K(vec) z = K(tanh_vec)(K(load)(OF(s) + 2 * NR + j)), now = f * GET(OF(c)) + a * z;
            PUT(OF(c), now);
            if (kept) {
                PUT(OF(g), a);
                PUT(OF(g) + h, f);
                PUT(OF(g) + 2 * h, z);
                PUT(OF(kept), now);
            }
        )
        ROWS(live,
            /* h = o tanh(c) */
            const K(vec) o = K(sigmoid_vec)(K(load)(OF(s) + 3 * NR + j));
            PUT(OF(m), o * K(tanh_vec)(GET(OF(c))));
            if (kept)
                PUT(OF(g) + 3 * h, o);
        )
    } else if (p->cell == NNRT_CELL_GRU) {
        ROWS(live,
            /* a + r q in place of q */
            const K(vec) r = K(sigmoid_vec)(K(load)(OF(s) + j)), q = K(load)(OF(s) + 2 * NR + j);
            K(store)(OF(s) + 2 * NR + j, GET(OF(g) + 2 * h) + r * q);
            if (kept) {
                PUT(OF(g), r);
                PUT(OF(kept), q);
            }
        )
        ROWS(live,
            /* n = tanh(a + r q), h = n + z (h' - n) */
            const K(vec) z = K(sigmoid_vec)(K(load)(OF(s) + NR + j)), w = K(tanh_vec)(K(load)(OF(s) + 2 * NR + j));
            const K(vec) before = i < going ? GET(OF(y) + u) : h0 ? GET(OF(h0) + u) : (K(vec)){0};
            PUT(OF(m), w + z * (before - w));
            if (kept) {
                PUT(OF(g) + h, z);
                PUT(OF(g) + 2 * h, w);
            }
        )
    } else if (p->cell == NNRT_CELL_TANH) {
        ROWS(live, PUT(OF(m), K(tanh_vec)(K(load)(OF(s) + j)));)
    } else {
        ROWS(live, PUT(OF(m), K(relu_vec)(K(load)(OF(s) + j)));)
    }
}

/* h = V m: into the rows of y. */
static void K(project)(const nnrt_rnn_args *p, const K(task) *k, int64_t t, int64_t live, REAL *room)
{
    const int64_t n = p->p, y_row = p->d * n;
    K(product)(p->gemm, live, 0, n, p->h, (const REAL *)p->hidden + K(place)(p, k->d, t, k->r0) * p->h, k->every * p->h,
               p->v[k->d], room, n, 0, 0);
    for (int64_t i = 0, r = k->r0; i < live; i++, r += k->every)
        memcpy((REAL *)p->y + (p->starts[t] + r) * y_row + k->d * n, room + i * n, sizeof(REAL) * n);
}

/* s[live][4 NR] = W x + offset + U h' of an LSTM's units u..u+cols, `towards` 1 or -1. h' is y for the first `going`
 * rows and h0, NULL: 0, for the rest. Meanwhile g, where the first gate goes, and the others are asked for. */
static void K(of_inputs)(const nnrt_rnn_args *p, const K(task) *k, int64_t t, int64_t live, int64_t going, const REAL *y,
                         const REAL *h0, int64_t u, int64_t cols, int64_t towards, const REAL *g, REAL *s)
{
    const int64_t every = k->every, to_next = towards * NR;
    const REAL *none = NULL;
    const REAL *x = (const REAL *)p->x + (p->starts[t] + k->r0) * p->i;
    for (int j = 0; j < 4; j++) {
        const REAL *panel = (const REAL *)p->wx[k->d] + j * p->wx_gate + u * p->i;
        const REAL *then = panel + (j < 3 ? p->wx_gate : to_next * p->i - 3 * p->wx_gate);
        const REAL *recurrent = (const REAL *)p->w[k->d] + j * p->w_gate + u * p->p;
        const REAL *behind = recurrent + (j < 3 ? p->w_gate : to_next * p->p - 3 * p->w_gate);
        const REAL *offset = p->offset[k->d] ? (const REAL *)p->offset[k->d] + j * p->h + u : NULL;
        for (int64_t r = 0; r < live && p->kept; r++) {
            const REAL *to = g + j * p->h + r * every * 4 * p->h;
            __builtin_prefetch(to, 1), __builtin_prefetch(to + cols - 1, 1);
        }
        for (int64_t r = 0, next; r < live; r = next) {
            const REAL *from = r < going ? y : h0 ? h0 + r * every * p->p : NULL;
            const nnrt_more more = {from, recurrent, every * (r < going ? p->d : 1) * p->p, p->p, (const char *)behind};
            next = r < going ? going : live;
            K(panels)(p->gemm, next - r, cols, p->i, x + r * every * p->i, every * p->i, 1, &panel, then, &none, 0, offset,
                      from ? &more : NULL, s + r * 4 * NR + j * NR, 4 * NR);
        }
    }
}

static void K(forward)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    const nnrt_rnn_args *p = args;
    const int64_t h = p->h, steps = p->t, y_row = p->d * p->p;
    const int gates = K(gates)(p), gru = p->cell == NNRT_CELL_GRU;
    const int64_t step = gates * NR;
    REAL *s = scratch;
    for (int64_t i = begin; i < end;) {
        const K(task) k = K(next_task)(p, &i, end);
        const int64_t j0 = p->hidden ? 0 : k.u0, j1 = p->hidden ? p->p : k.u1;
        const REAL *h0 = p->h0 ? (const REAL *)p->h0 + (k.d * p->b + k.r0) * p->p : NULL;
        if (p->first == 0 && p->cn)
            K(begin)(p->cn, p->c0, p, &k, h, k.u0, k.u1);
        for (int64_t walked = p->first; walked < p->last; walked++) {
            const int64_t t = k.d ? steps - 1 - walked : walked, before = k.d ? t + 1 : t - 1;
            const REAL *g = (const REAL *)p->gates + K(place)(p, k.d, t, k.r0) * gates * h;
            const int64_t live = K(live)(p, &k, t), going = MIN(live, K(live)(p, &k, before));
            const REAL *y = going ? (const REAL *)p->y + (p->starts[before] + k.r0) * y_row + k.d * p->p : NULL;
            /* The rows of x that this task reads in its next step. */
            if (p->x && walked + 1 < p->last) {
                const REAL *x = (const REAL *)p->x + (p->starts[k.d ? t - 1 : t + 1] + k.r0) * p->i;
                for (int64_t r = 0; r < live; r++)
                    for (int64_t j = 0; j < p->i; j += VL)
                        __builtin_prefetch(x + r * k.every * p->i + j);
            }
            /* One gate and one row: several panels of units fill the registers. */
            const int64_t wide = gates > 1 || live != 1 ? NR : 4 * NR, blocks = CEIL(k.u1 - k.u0, wide);
            for (int64_t block = 0, u; block < blocks; block++) {
                u = k.u0 + (walked % 2 ? blocks - 1 - block : block) * wide;
                for (int64_t end = MIN(u + wide, k.u1); u < end;) {
                    const int64_t cols = MIN(end - u, NR);
                    const int count = gates > 1 || live != 1 || cols < NR ? 1 : (int)((end - u) / NR);
                    const int64_t src_row = k.every * gates * h;
                    const REAL *panel[4], *src[4], *bias = p->bias[k.d] ? (const REAL *)p->bias[k.d] + u : NULL;
                    for (int j = 0; j < gates * count; j++) {
                        const int64_t at = gates > 1 ? u : u + j * NR;
                        panel[j] = (const REAL *)p->w[k.d] + (gates > 1 ? j * p->w_gate : 0) + at * p->p;
                        src[j] = gru && j == 2 ? NULL : g + (gates > 1 ? j * h : 0) + at;
                    }
                    for (int64_t r = 0; p->kept && live > 1 && r < live; r++) {
                        const REAL *to = (const REAL *)p->kept + (K(place)(p, k.d, t, k.r0) + r * k.every) * h + u;
                        __builtin_prefetch(to, 1), __builtin_prefetch(to + cols - 1, 1);
                    }
                    const REAL *then = panel[0] + (walked % 2 ? -wide : wide) * p->p;
                    /* Rows that have a step before this one, then those that start with it. */
                    if (p->x)
                        K(of_inputs)(p, &k, t, live, going, y, h0, u, cols, walked % 2 ? -1 : 1, src[0], s);
                    else if (going)
                        K(panels)(p->gemm, going, cols, p->p, y, k.every * y_row, gates * count, panel, then, src, src_row,
                                  bias, NULL, s, step);
                    if (going < live && !p->x) {
                        for (int j = 0; j < gates * count && going; j++)
                            src[j] = src[j] ? src[j] + going * src_row : NULL;
                        K(panels)(p->gemm, live - going, cols, h0 ? p->p : 0, h0 ? h0 + going * k.every * p->p : s,
                                  k.every * p->p, gates * count, panel, then, src, src_row, bias, NULL, s + going * step,
                                  step);
                    }
                    for (int j = 0; j < count; j++, u += cols)
                        K(cell_step)(p, &k, t, live, going, y, h0, u, cols, s + j * NR);
                }
            }
            if (p->hidden)
                K(project)(p, &k, t, live, s + k.rows * step);
            /* Rows that end here. */
            for (int64_t r = K(live)(p, &k, k.d ? t - 1 : t + 1); r < live; r++)
                memcpy((REAL *)p->hn + (k.d * p->b + k.r0 + r * k.every) * p->p + j0,
                       (const REAL *)p->y + (p->starts[t] + k.r0 + r * k.every) * y_row + k.d * p->p + j0,
                       sizeof(REAL) * (j1 - j0));
        }
    }
}

/* ---- backward ---- */

/* A cell's gradients for a row of units. Meanwhile it asks for what lies `far` rows ahead, short pieces of many arrays. */
enum { K(AHEAD) = 4 };
#define ASK(a, row) __builtin_prefetch((a) + far * (row) + j);
#define CLAIM(a, row) __builtin_prefetch((a) + far * (row) + j, 1);

/* m = o tanh(c)  =>  do = dm tanh(c), dc += dm o (1 - tanh(c)^2)
 * c = f c' + i g  =>  di = dc g, df = dc c', dg = dc i, dc' = dc f; dm + dy where dy is given */
INLINE void K(lstm_backward)(int64_t n, int64_t h, const REAL *dm, const REAL *dy, REAL *dc, const REAL *g, const REAL *c,
                             const REAL *before, REAL *da, int64_t far, int64_t y_row)
{
    for (int64_t j = 0; j < n; j += VL) {
        ASK(g, 4 * h) ASK(g + h, 4 * h) ASK(g + 2 * h, 4 * h) ASK(g + 3 * h, 4 * h) ASK(before, h)
        CLAIM(da, 4 * h) CLAIM(da + h, 4 * h) CLAIM(da + 2 * h, 4 * h) CLAIM(da + 3 * h, 4 * h)
        if (dy)
            ASK(dy, y_row)
        const K(vec) i = GET(g), f = GET(g + h), m = GET(g + 2 * h), o = GET(g + 3 * h), tc = K(tanh_vec)(GET(c));
        const K(vec) d = dy ? GET(dm) + GET(dy) : GET(dm), e = GET(dc) + d * o * (1 - tc * tc);
        PUT(da, e * m * i * (1 - i));
        PUT(da + h, e * GET(before) * f * (1 - f));
        PUT(da + 2 * h, e * i * (1 - m * m));
        PUT(da + 3 * h, d * tc * o * (1 - o));
        PUT(dc, e * f);
    }
}

/* h = (1 - z) n + z h', n = tanh(a + r q)  =>  dz = dh (h' - n), da = dh (1 - z) (1 - n^2), dr = da q, dq = da r;
 * what goes through z alone stays in dh */
INLINE void K(gru_backward)(int64_t n, int64_t h, REAL *dh, const REAL *dy, const REAL *g, const REAL *q, const REAL *before,
                            REAL *da, int64_t far, int64_t y_row)
{
    for (int64_t j = 0; j < n; j += VL) {
        ASK(g, 3 * h) ASK(g + h, 3 * h) ASK(g + 2 * h, 3 * h) ASK(q, h) ASK(before, y_row)
        CLAIM(da, 4 * h) CLAIM(da + h, 4 * h) CLAIM(da + 2 * h, 4 * h) CLAIM(da + 3 * h, 4 * h)
        if (dy)
            ASK(dy, y_row)
        const K(vec) r = GET(g), z = GET(g + h), m = GET(g + 2 * h), d = dy ? GET(dh) + GET(dy) : GET(dh);
        const K(vec) e = d * (1 - z) * (1 - m * m);
        PUT(da, e * r);
        PUT(da + h, e * GET(q) * r * (1 - r));
        PUT(da + 2 * h, d * (GET(before) - m) * z * (1 - z));
        PUT(da + 3 * h, e);
        PUT(dh, d * z);
    }
}

INLINE void K(rnn_backward)(int64_t n, int relu, const REAL *dh, const REAL *dy, const REAL *y, REAL *da, int64_t far,
                            int64_t h, int64_t y_row)
{
    typedef __typeof__((K(vec)){0} > (K(vec)){0}) bits;
    for (int64_t j = 0; j < n; j += VL) {
        ASK(y, y_row) CLAIM(da, h)
        if (dy)
            ASK(dy, y_row)
        const K(vec) v = GET(y), d = dy ? GET(dh) + GET(dy) : GET(dh);
        PUT(da, relu ? (K(vec))((bits)d & (v > (K(vec)){0})) : d * (1 - v * v));
    }
}

INLINE void K(add)(int64_t n, REAL *restrict x, const REAL *restrict y)
{
    for (int64_t j = 0; j < n; j++)
        x[j] += y[j];
}

/* dgates of step t, from dh and dc behind it. dm: gradients of m, where there is a projection. */
static void K(cell_backward)(const nnrt_rnn_args *p, const K(task) *k, int64_t t, int64_t live, const REAL *dm,
                             const REAL *zeros)
{
    const int64_t b = p->b, h = p->h, d = k->d, u = k->u0, n = k->u1 - k->u0, y_row = p->d * p->p;
    const int64_t before = d ? t + 1 : t - 1, going = K(live)(p, k, before);
    for (int64_t i = 0, r = k->r0; i < live; i++, r += k->every) {
        const int64_t at = K(place)(p, d, t, r), held = i < going ? K(place)(p, d, before, r) : 0;
        const int64_t y = (p->starts[t] + r) * y_row + d * p->p + u;
        REAL *da = (REAL *)p->dgates + at * K(columns)(p) + u;
        REAL *dh = (REAL *)p->dh0 + (d * b + r) * p->p + u;
        const REAL *g = (const REAL *)p->gates + at * K(gates)(p) * h + u;
        const REAL *kept = (const REAL *)p->kept + at * h + u;
        const REAL *dy = p->dy && !dm ? (const REAL *)p->dy + y : NULL;
        /* Row i + AHEAD, or of the step that comes next, if any, the first ones. */
        const int64_t past = i + K(AHEAD) - live;
        const int64_t far = past < 0 ? K(AHEAD) * k->every
                            : going  ? K(place)(p, d, before, k->r0 + MIN(past, going) * k->every) - at
                                     : 0;
        if (p->cell == NNRT_CELL_LSTM) {
            const REAL *c = i < going ? (const REAL *)p->kept + held * h + u
                            : p->c0   ? (const REAL *)p->c0 + (d * b + r) * h + u
                                      : zeros;
            K(lstm_backward)(n, h, dm ? dm + i * h : dh, dy, (REAL *)p->dc0 + (d * b + r) * h + u, g, kept, c, da, far, y_row);
        } else if (p->cell == NNRT_CELL_GRU) {
            const REAL *hp = i < going ? (const REAL *)p->y + y + (p->starts[before] - p->starts[t]) * y_row
                             : p->h0   ? (const REAL *)p->h0 + (d * b + r) * p->p + u
                                       : zeros;
            K(gru_backward)(n, h, dh, dy, g, kept, hp, da, far, y_row);
        } else {
            K(rnn_backward)(n, p->cell == NNRT_CELL_RELU, dh, dy, (const REAL *)p->y + y, da, far, h, y_row);
        }
    }
}

/* dm = V^T dh, with dh = what comes from behind and dy, which dproj keeps. */
static void K(project_backward)(const nnrt_rnn_args *p, const K(task) *k, int64_t t, int64_t live, REAL *dm)
{
    const int64_t n = p->p, y_row = p->d * n;
    REAL *total = (REAL *)p->dproj + K(place)(p, k->d, t, k->r0) * n;
    for (int64_t i = 0, r = k->r0; i < live; i++, r += k->every) {
        REAL *to = total + i * k->every * n;
        memcpy(to, (REAL *)p->dh0 + (k->d * p->b + r) * n, sizeof(REAL) * n);
        if (p->dy)
            K(add)(n, to, (const REAL *)p->dy + (p->starts[t] + r) * y_row + k->d * n);
    }
    K(product)(p->gemm, live, 0, p->h, n, total, k->every * n, p->v[k->d], dm, p->h, 0, 0);
}

static void K(backward)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    const nnrt_rnn_args *p = args;
    const int64_t b = p->b, h = p->h, steps = p->t;
    REAL *zeros = scratch;
    memset(zeros, 0, sizeof(REAL) * h);
    for (int64_t i = begin; i < end;) {
        const K(task) k = K(next_task)(p, &i, end);
        const int64_t j0 = p->dproj ? 0 : k.u0, j1 = p->dproj ? p->p : k.u1;
        REAL *dh = (REAL *)p->dh0 + (k.d * b + k.r0) * p->p;
        if (p->first == 0) {
            K(begin)(p->dh0, p->dhn, p, &k, p->p, j0, j1);
            if (p->dc0)
                K(begin)(p->dc0, p->dcn, p, &k, h, k.u0, k.u1);
        }
        for (int64_t walked = p->first; walked < p->last; walked++) {
            const int64_t t = k.d ? walked : steps - 1 - walked, behind = k.d ? t - 1 : t + 1, live = K(live)(p, &k, t);
            const int64_t rows = walked ? K(live)(p, &k, behind) : 0, wanted = p->h0 ? rows : MIN(rows, live);
            if (wanted)
                /* s = U h'  =>  dh' = U^T ds */
                K(product)(p->gemm, wanted, j0, j1, K(gates)(p) * h,
                           (const REAL *)p->dgates + K(place)(p, k.d, behind, k.r0) * K(columns)(p), k.every * K(columns)(p),
                           p->w[k.d], dh, k.every * p->p, p->cell == NNRT_CELL_GRU, walked % 2);
            if (walked == steps) {
                if (!p->h0)
                    K(begin)(p->dh0, NULL, p, &k, p->p, j0, j1);
                break;
            }
            if (p->dproj)
                K(project_backward)(p, &k, t, live, zeros + h);
            K(cell_backward)(p, &k, t, live, p->dproj ? zeros + h : NULL, zeros);
        }
    }
}

#undef ASK
#undef CLAIM
#undef GET
#undef ROWS
#undef OF
#undef PUT
#undef VL
#undef NR

#endif
