/* Recurrences along time. This file includes itself once per dtype; REAL is the dtype.
 *
 * A step is a loop or two over a block of columns. Gates are computed in vectors, each of which fetches its columns of
 * the next step: fetched a block at a time they fill the queue of misses, and everything waits. */
#ifndef REAL

#include "scan.h"
#include "vmath.h"

static double zeros[NNRT_SCAN_BLOCK]; /* const they would be in the file */

/* A step t of a unit: n columns from `at` of a row, its place among the states, the first step of its chunk; the
 * step that comes next, or t. */
typedef struct {
    int64_t t, n, at, row, state, start, next;
} unit;

typedef void (*step_fn)(const nnrt_scan_args *p, const unit *w);

static void walk(const nnrt_scan_args *p, int64_t begin, int64_t end, int backward, step_fn step)
{
    if (p->chunks > 1 && end - begin > 1) { /* one after the other: each lies in memory as one piece */
        for (; begin < end; begin++)
            walk(p, begin, begin + 1, backward, step);
        return;
    }
    int64_t from = begin * p->group, stop = end * p->group < p->units ? end * p->group : p->units;
    int64_t longest = p->steps - (p->chunks - 1) * p->length;
    for (int64_t s = 0; s < longest; s++) {
        int64_t line = from / p->blocks, at = (from - line * p->blocks) * p->block;
        int64_t k = line / p->rows, row = line - k * p->rows;
        for (int64_t i = from; i < stop; i++) {
            int64_t steps = k + 1 < p->chunks ? p->length : longest, n = p->cols - at;
            unit u = {.n = n < p->block ? n : p->block, .at = at, .row = row,
                      .state = (k * p->rows + row) * p->cols + at};
            u.start = k * p->length;
            u.t = u.start + (backward ? steps - 1 - s : s);
            u.next = s + 1 < steps ? u.t + 1 - 2 * backward : u.t;
            if (s < steps)
                step(p, &u);
            if ((at += p->block) >= p->cols) {
                at = 0;
                if (++row == p->rows)
                    row = 0, k++;
            }
        }
    }
}

#define EACH_DTYPE "scan.c"
#include "each_dtype.h"

#define ENTRY(name)                                                              \
    .name = {{"scan/" #name "/f32/" NNRT_STR(NNRT_ISA), name##_f32},              \
             {"scan/" #name "/f64/" NNRT_STR(NNRT_ISA), name##_f64}}

const nnrt_scan_table NNRT_SYM(scan) = {
    ENTRY(scan), ENTRY(scan_backward), ENTRY(ends), ENTRY(ends_backward), ENTRY(chain),
    ENTRY(qrnn), ENTRY(qrnn_backward), ENTRY(sru),  ENTRY(sru_backward),
};

#else

#include "gemm_vec.h"

/* The sequence's rows and the states of a unit. */
#define AT(a, step) ((REAL *)p->a.data + (step) * p->a.t + w->row * p->a.b + w->at)
#define STATE(a) ((REAL *)p->a + w->state)
/* The state before step t: that of `before` at step `start`. */
#define BEFORE(c, start)                                                          \
    (t > (start) ? AT(c, t - 1) : p->before ? (const REAL *)STATE(before) : (const REAL *)zeros)
/* No two rows overlap, save one with itself. */
#define EACH _Pragma("GCC ivdep") for (int64_t i = 0; i < n; i++)

/* name: a step of a unit, and the kernel made of it. */
#define STEP(name, backward)                                                      \
    static void K(name##_step)(const nnrt_scan_args *p, const unit *w);           \
    static void K(name)(const void *args, int64_t begin, int64_t end, void *scratch) \
    {                                                                             \
        walk(args, begin, end, backward, K(name##_step));                         \
    }                                                                             \
    static void K(name##_step)(const nnrt_scan_args *p, const unit *w)            \
    {                                                                             \
        int64_t t = w->t, n = w->n;

STEP(scan, 0)
    const REAL *restrict f = AT(f, t), *restrict x = AT(x, t), *restrict before = BEFORE(h, w->start);
    REAL *restrict h = AT(h, t);
    EACH h[i] = f[i] * before[i] + x[i];
}

STEP(scan_backward, 1)
    const REAL *restrict dh = AT(dh, t), *restrict f = AT(f, t), *restrict before = BEFORE(h, 0);
    REAL *restrict carry = STATE(carry), *restrict dx = AT(dx, t);
    /* h = f before + x */
    REAL *restrict df = AT(df, t);
    EACH {
        REAL r = dh[i] + carry[i];
        dx[i] = r;
        df[i] = r * before[i];
        carry[i] = f[i] * r;
    }
}

/* A chunk that begins with s ends with product s + carry. */
#define ENDS(name, backward, x, NEXT)                                             \
    STEP(name, backward)                                                          \
        const REAL *restrict f = AT(f, t), *restrict v = AT(x, t);                \
        REAL *restrict carry = STATE(carry), *restrict product = STATE(product);  \
        EACH {                                                                    \
            carry[i] = NEXT;                                                      \
            product[i] *= f[i];                                                   \
        }                                                                         \
    }
ENDS(ends, 0, x, f[i] * carry[i] + v[i])
ENDS(ends_backward, 1, dh, f[i] * (carry[i] + v[i]))
#undef ENDS

/* What the chunks begin with, in place of what they end with when they begin with 0. */
static void K(chain)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    const nnrt_scan_args *p = args;
    int64_t n = p->rows * p->cols;
    REAL *carry = p->carry;
    const REAL *product = p->product, *before = p->before;
    EACH {
        REAL state = before ? before[i] : 0;
        for (int64_t k = 0; k < p->chunks; k++) {
            int64_t j = (p->dh.data ? p->chunks - 1 - k : k) * n + i;
            REAL ends = carry[j];
            carry[j] = state;
            state = product[j] * state + ends;
        }
    }
}

/* ---- gates ---- */

#include "gates.h"

/* The statements for each vector of columns i.., or for the lanes of what is left. */
#define VECTORS(...)                                                              \
    const K(mask) lanes = K(lanes)(n % VL);                                       \
    for (int64_t i = 0; i < n; i += VL) {                                         \
        const int whole = n - i >= VL;                                            \
        __VA_ARGS__                                                               \
    }
#define GET(a) (whole ? K(load)((a) + i) : K(load_lanes)((a) + i, lanes))
#define PUT(a, v) (whole ? K(store)((a) + i, v) : K(store_lanes)((a) + i, lanes, v))
/* Fetches a's columns of the next step, from column `from`. */
#define AHEAD(a, step, from) const REAL *next_##a##_##from = AT(a, step) + (from) * p->cols;
#define FETCH(a, from) __builtin_prefetch(next_##a##_##from + i);

STEP(qrnn, 0)
    const REAL *a = AT(a, t), *before = BEFORE(c, 0), *mask = p->mask.data ? AT(mask, t) : NULL;
    const REAL *f = a + p->cols, *o = f + p->cols;
    REAL *c = AT(c, t), *h = p->h.data ? AT(h, t) : NULL, keep = (REAL)p->keep;
    AHEAD(a, w->next, 0) AHEAD(a, w->next, 1) AHEAD(a, w->next, 2)
    VECTORS(
        FETCH(a, 0) FETCH(a, 1)
        K(vec) z, by_z, m = GET(before), by_f = K(inverse)(GET(f), 1, PART), k = K(splat)(keep);
        if (mask)
            k *= GET(mask);
        K(tangent)(GET(a), &z, &by_z);
        m += k * (z - m * by_z) / (by_f * by_z);
        PUT(c, m);
        if (h) {
            FETCH(a, 2)
            PUT(h, m / K(inverse)(GET(o), -1, MOST));
        }
    )
}

STEP(qrnn_backward, 1)
    const REAL *a = AT(a, t), *c = AT(c, t), *before = BEFORE(c, 0), *dh = AT(dh, t);
    const REAL *mask = p->mask.data ? AT(mask, t) : NULL, *f = a + p->cols, *o = f + p->cols;
    REAL *da = AT(da, t), *df = da + p->cols, *d_o = df + p->cols, *carry = STATE(carry), keep = (REAL)p->keep;
    const int gated = p->h.data != NULL;
    AHEAD(a, w->next, 0) AHEAD(a, w->next, 1) AHEAD(a, w->next, 2) AHEAD(dh, w->next, 0)
    AHEAD(c, w->next - (w->next > 0), 0)
    VECTORS(
        FETCH(a, 0) FETCH(a, 1) FETCH(dh, 0) FETCH(c, 0)
        K(vec) d = GET(dh), m = GET(before), k = K(splat)(keep), z, by_z;
        if (gated) { /* h = o c */
            FETCH(a, 2)
            K(vec) s = K(sigmoid_vec)(GET(o));
            d *= s;
            PUT(d_o, d * GET(c) * (1 - s));
        }
        if (mask)
            k *= GET(mask);
        d += GET(carry);
        /* c = before + k y (z - before), y = 1 - sigmoid(f) */
        K(tangent)(GET(a), &z, &by_z);
        K(vec) y = 1 / K(inverse)(GET(f), 1, MOST);
        K(vec) g = d * k * y;
        z /= by_z;
        PUT(da, g * (1 - z * z));
        PUT(df, g * (m - z) * (1 - y));
        PUT(carry, d - g);
    )
}

/* 1 / f, f = sigmoid(u + v before + b), and behind it r */
#define GATE(at) K(inverse)(GET(u##at) + (GET(v##at) * m + GET(b##at)), -1, MOST)
#define GATES                                                                     \
    const REAL *u = AT(a, t), *x = AT(x, t), *before = BEFORE(c, 0);              \
    const REAL *u0 = u + p->cols, *u1 = u0 + p->cols;                             \
    const REAL *v0 = (const REAL *)p->v + w->at;                                  \
    const REAL *b0 = (const REAL *)p->b + w->at;                                  \
    const REAL *v1 = v0 + p->cols, *b1 = b0 + p->cols;                            \
    const REAL scale = (REAL)p->scale;                                            \
    AHEAD(a, w->next, 0) AHEAD(a, w->next, 1) AHEAD(a, w->next, 2) AHEAD(x, w->next, 0)

STEP(sru, 0)
    GATES
    REAL *c = AT(c, t), *h = AT(h, t);
    VECTORS(
        FETCH(a, 0) FETCH(a, 1) FETCH(a, 2) FETCH(x, 0)
        K(vec) m = GET(before), value = GET(u), y = scale * GET(x), by_r = GATE(1);
        m = value + (m - value) / GATE(0);
        PUT(c, m);
        PUT(h, y + (m - y) / by_r);
    )
}

STEP(sru_backward, 1)
    GATES
    const REAL *c = AT(c, t), *dh = AT(dh, t);
    REAL *du = AT(da, t), *df = du + p->cols, *dr = df + p->cols, *dx = AT(dx, t), *carry = STATE(carry);
    REAL *of_f = STATE(product), *of_r = of_f + p->rows * p->cols; /* what they add to dv */
    AHEAD(dh, w->next, 0) AHEAD(c, w->next - (w->next > 0), 0)
    VECTORS(
        FETCH(a, 0) FETCH(a, 1) FETCH(a, 2) FETCH(x, 0) FETCH(dh, 0) FETCH(c, 0)
        K(vec) m = GET(before), value = GET(u), y = scale * GET(x), g = GET(dh), f = 1 / GATE(0), r = 1 / GATE(1);
        /* h = y + r (c - y) */
        K(vec) d = g * r, gr = d * (GET(c) - y) * (1 - r);
        PUT(dx, scale * (g - d));
        PUT(dr, gr);
        /* c = u + f (before - u) */
        g = GET(carry) + d;
        d = g * f;
        K(vec) gf = d * (m - value) * (1 - f);
        PUT(du, g - d);
        PUT(df, gf);
        PUT(carry, d + gf * GET(v0) + gr * GET(v1));
        PUT(of_f, GET(of_f) + gf * m);
        PUT(of_r, GET(of_r) + gr * m);
    )
    if (t % NNRT_SCAN_SUMS == 0) {
        double *sum = p->dv + w->state;
        for (int k = 0; k < 2; k++, sum += p->rows * p->cols, of_f = of_r)
            EACH {
                sum[i] += of_f[i];
                of_f[i] = 0;
            }
    }
}

#undef AT
#undef STATE
#undef BEFORE
#undef VECTORS
#undef GET
#undef PUT
#undef AHEAD
#undef FETCH
#undef EACH
#undef STEP
#undef GATE
#undef GATES
#undef VL
#undef NR

#endif
