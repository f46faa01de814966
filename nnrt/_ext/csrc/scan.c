/* Recurrences along time. This file includes itself once per dtype; REAL is the dtype.
 *
 * Each step is a handful of loops over a block of columns, whose rows stay in L1 from one loop to the next. */
#ifndef REAL

#include "scan.h"
#include "vmath.h"

static const double zeros[NNRT_SCAN_BLOCK];

/* A step t of a unit: n columns from `at` of a row, its place among the states, the first step of its chunk; the
 * step that comes next, or t. */
typedef struct {
    int64_t t, n, at, row, state, start, next;
} unit;

typedef void (*step_fn)(const nnrt_scan_args *p, const unit *w, void *scratch);

static void walk(const nnrt_scan_args *p, int64_t begin, int64_t end, void *scratch, int backward, step_fn step)
{
    if (p->chunks > 1 && end - begin > 1) { /* one after the other: each lies in memory as one piece */
        for (; begin < end; begin++)
            walk(p, begin, begin + 1, scratch, backward, step);
        return;
    }
    int64_t from = begin * p->group, stop = end * p->group < p->units ? end * p->group : p->units;
    int64_t longest = p->steps - (p->chunks - 1) * p->length;
    for (int64_t s = 0; s < longest; s++) {
        int64_t line = from / p->blocks, at = (from - line * p->blocks) * p->block;
        int64_t k = line / p->rows, row = line - k * p->rows;
        for (int64_t i = from; i < stop; i++) {
            int64_t steps = k + 1 < p->chunks ? p->length : longest, n = p->cols - at;
            unit u = {.n = n < p->block ? n : p->block, .at = at, .row = row, .state = (k * p->rows + row) * p->cols + at};
            u.start = k * p->length;
            u.t = u.start + (backward ? steps - 1 - s : s);
            u.next = s + 1 < steps ? u.t + 1 - 2 * backward : u.t;
            if (s < steps)
                step(p, &u, scratch);
            if ((at += p->block) >= p->cols) {
                at = 0;
                if (++row == p->rows)
                    row = 0, k++;
            }
        }
    }
}

static __attribute__((noinline)) void fetch(const void *from, int64_t bytes)
{
    for (int64_t i = 0; i < bytes; i += 64)
        __builtin_prefetch((const char *)from + i);
}

#define REAL float
#define K(name) name##_f32
#include "scan.c"
#undef REAL
#undef K
#define REAL double
#define K(name) name##_f64
#include "scan.c"

#define ENTRY(name)                                                              \
    .name = {{"scan/" #name "/f32/" NNRT_STR(NNRT_ISA), name##_f32},              \
             {"scan/" #name "/f64/" NNRT_STR(NNRT_ISA), name##_f64}}

const nnrt_scan_table NNRT_SYM(scan) = {
    ENTRY(scan), ENTRY(scan_backward), ENTRY(ends), ENTRY(ends_backward), ENTRY(chain),
    ENTRY(qrnn), ENTRY(qrnn_backward), ENTRY(sru),  ENTRY(sru_backward),
};

#else

/* The sequence's rows and the states of a unit. */
#define AT(a, step) ((REAL *)p->a.data + (step) * p->a.t + w->row * p->a.b + w->at)
#define STATE(a) ((REAL *)p->a + w->state)
/* The state before step t: that of `before` at step `start`. */
#define BEFORE(c, start)                                                          \
    (t > (start) ? AT(c, t - 1) : p->before ? (const REAL *)STATE(before) : (const REAL *)zeros)
/* A step's row of a, from column `from`: what comes next, fetched while this is computed. */
#define FETCH(a, step, from) fetch(AT(a, step) + (from), n * (int64_t)sizeof(REAL));
/* No two rows overlap, save one with itself. */
#define EACH _Pragma("GCC ivdep") for (int64_t i = 0; i < n; i++)

/* name: a step of a unit, and the kernel made of it. */
#define STEP(name, backward)                                                      \
    static void K(name##_step)(const nnrt_scan_args *p, const unit *w, void *scratch); \
    static void K(name)(const void *args, int64_t begin, int64_t end, void *scratch) \
    {                                                                             \
        walk(args, begin, end, scratch, backward, K(name##_step));                \
    }                                                                             \
    static void K(name##_step)(const nnrt_scan_args *p, const unit *w, void *scratch) \
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

static const REAL K(ones)[] = {[0 ... NNRT_SCAN_BLOCK - 1] = 1};

STEP(qrnn, 0)
    const REAL *a = AT(a, t), *restrict before = BEFORE(c, 0);
    const REAL *restrict mask = p->mask.data ? AT(mask, t) : K(ones);
    REAL *restrict c = AT(c, t), keep = (REAL)p->keep;
    FETCH(a, w->next, 0)
    FETCH(a, w->next, p->cols)
    EACH {
        REAL y, by_y, z, by_z; /* y / by_y: what the sigmoid leaves; z / by_z: the tangent */
        K(sigmoid_parts)(-a[p->cols + i], &y, &by_y);
        K(tanh_parts)(a[i], &z, &by_z);
        c[i] = before[i] + keep * mask[i] * y * (z - before[i] * by_z) / (by_y * by_z);
    }
    if (p->h.data) {
        REAL *restrict h = AT(h, t);
        FETCH(a, w->next, 2 * p->cols)
        EACH h[i] = K(sigmoid)(a[2 * p->cols + i]) * c[i];
    }
}

STEP(qrnn_backward, 1)
    const REAL *a = AT(a, t), *restrict c = AT(c, t), *restrict before = BEFORE(c, 0), *restrict dh = AT(dh, t);
    REAL *restrict da = AT(da, t), *restrict carry = STATE(carry);
    const REAL *restrict mask = p->mask.data ? AT(mask, t) : K(ones);
    REAL keep = (REAL)p->keep;
    FETCH(dh, w->next, 0)
    if (p->h.data) { /* h = o c */
        FETCH(a, w->next, 2 * p->cols)
        EACH {
            REAL o = K(sigmoid)(a[2 * p->cols + i]), d = dh[i] * o;
            da[2 * p->cols + i] = d * c[i] * (1 - o);
            carry[i] += d;
        }
    } else
        EACH carry[i] += dh[i];
    FETCH(a, w->next, p->cols)
    FETCH(a, w->next, 0)
    FETCH(c, w->next - (w->next > 0), 0)
    /* c = before + keep mask y (z - before) */
    EACH {
        REAL y, by_y, z, by_z;
        K(sigmoid_parts)(-a[p->cols + i], &y, &by_y);
        K(tanh_parts)(a[i], &z, &by_z);
        REAL once = 1 / (by_y * by_z);
        y *= once * by_z;
        z *= once * by_y;
        REAL d = carry[i] * keep * mask[i] * y;
        da[i] = d * (1 - z * z);
        da[p->cols + i] = d * (before[i] - z) * (1 - y);
        carry[i] -= d;
    }
}

/* f = sigmoid(u + v before + b), and behind it r */
#define GATE(at) K(sigmoid)(u[((at) + 1) * m + i] + (v[(at) * m + i] * before[i] + b[(at) * m + i]))

STEP(sru, 0)
    const REAL *restrict u = AT(a, t), *restrict x = AT(x, t), *restrict before = BEFORE(c, 0);
    const REAL *restrict v = (const REAL *)p->v + w->at, *restrict b = (const REAL *)p->b + w->at;
    REAL *restrict c = AT(c, t), *restrict h = AT(h, t), scale = (REAL)p->scale;
    int64_t m = p->cols;
    FETCH(a, w->next, 0)
    FETCH(a, w->next, m)
    FETCH(a, w->next, 2 * m)
    FETCH(x, w->next, 0)
    EACH {
        REAL y = scale * x[i], r = GATE(1), now = u[i] + GATE(0) * (before[i] - u[i]);
        c[i] = now;
        h[i] = y + r * (now - y);
    }
}

STEP(sru_backward, 1)
    const REAL *restrict u = AT(a, t), *restrict x = AT(x, t), *restrict before = BEFORE(c, 0);
    const REAL *restrict v = (const REAL *)p->v + w->at, *restrict b = (const REAL *)p->b + w->at;
    const REAL *restrict c = AT(c, t), *restrict dh = AT(dh, t);
    REAL *restrict du = AT(da, t), *restrict dx = AT(dx, t), *restrict carry = STATE(carry), scale = (REAL)p->scale;
    double *restrict df_before = p->dv + w->state, *restrict dr_before = df_before + p->rows * p->cols;
    int64_t m = p->cols;
    REAL *restrict of_f = scratch, *restrict of_r = of_f + n; /* what they add to dv */
    FETCH(a, w->next, 0)
    FETCH(a, w->next, m)
    FETCH(a, w->next, 2 * m)
    FETCH(x, w->next, 0)
    FETCH(dh, w->next, 0)
    FETCH(c, w->next - (w->next > 0), 0)
    EACH {
        REAL f = GATE(0), r = GATE(1);
        /* h = y + r (c - y) */
        REAL d = dh[i] * r, y = scale * x[i], gr = d * (c[i] - y) * (1 - r);
        REAL g = carry[i] + d;
        dx[i] = scale * (dh[i] - d);
        du[2 * m + i] = gr;
        /* c = u + f (before - u) */
        REAL e = g * f, gf = e * (before[i] - u[i]) * (1 - f);
        du[i] = g - e;
        du[m + i] = gf;
        carry[i] = e + gf * v[i] + gr * v[m + i];
        of_f[i] = gf * before[i];
        of_r[i] = gr * before[i];
    }
    EACH {
        df_before[i] += of_f[i];
        dr_before[i] += of_r[i];
    }
}

#undef AT
#undef STATE
#undef BEFORE
#undef FETCH
#undef EACH
#undef STEP
#undef GATE

#endif
