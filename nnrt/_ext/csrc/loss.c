/* Losses. This file includes itself once per dtype; REAL is the dtype. */
#ifndef REAL

#include <math.h>
#include <string.h>

#include "loss.h"
#include "softmax.h"
#include "vmath.h"
#include "vmath_wide.h"

typedef nnrt_pointwise_args pointwise_t;
typedef nnrt_classes_args classes_t;

enum { INF_SUMS = 0 };

#define NOINLINE __attribute__((noinline))

enum { MULTIPLE = 16, WIDE = 64 };

static inline int64_t before(int64_t a, int64_t b) { return a < b ? a : b; }

#define EXP_WIDE WIDE_HERE
#define REAL float
#define K(name) name##_f32
#include "loss.c"
#undef EXP_WIDE
#undef REAL
#undef K

#if WIDE_HERE /* what waits for exponentials of floats; the rest is AVX2's */

#define ENTRY(name) .name = {{"loss/" #name "/f32/avx512", name##_f32}}
const nnrt_loss_table NNRT_SYM(loss) = {ENTRY(cross_entropy), ENTRY(cross_entropy_backward)};

#else

#define EXP_WIDE 0
#define REAL double
#define K(name) name##_f64
#include "loss.c"

#define ENTRY(name)                                                              \
    {{"loss/" #name "/f32/" NNRT_STR(NNRT_ISA), name##_f32},                     \
     {"loss/" #name "/f64/" NNRT_STR(NNRT_ISA), name##_f64}}
#define KINDS(suffix)                                                            \
    {                                                                            \
        ENTRY(mse##suffix), ENTRY(l1##suffix), ENTRY(smooth_l1##suffix), ENTRY(huber##suffix), \
        ENTRY(bce##suffix), ENTRY(bce_logits##suffix), ENTRY(bce_logits_weighted##suffix), \
        ENTRY(kl##suffix), ENTRY(kl_log##suffix)                                 \
    }

const nnrt_loss_table NNRT_SYM(loss) = {
    .pointwise = KINDS(_each),
    .total = KINDS(_total),
    .backward = KINDS(_backward),
    .cross_entropy = ENTRY(cross_entropy),
    .cross_entropy_backward = ENTRY(cross_entropy_backward),
    .cross_entropy_soft = ENTRY(cross_entropy_soft),
    .cross_entropy_soft_backward = ENTRY(cross_entropy_soft_backward),
    .nll = ENTRY(nll),
    .nll_backward = ENTRY(nll_backward),
    .ctc = ENTRY(ctc),
    .ctc_backward = ENTRY(ctc_backward),
};

#endif

#else

#include "rows.h"
#include "exprows.h"
#if !WIDE_HERE
#include "ctc.h"

/* ---- one loss for each element ---- */

/* y = g f(x, t, w, a), or y[j % WIDE] += f, for n elements, a multiple of MULTIPLE or WIDE: no formula is compiled a
 * second time for what is left. */
typedef void K(formula)(REAL *restrict y, const REAL *restrict xs, const REAL *restrict ts,
                        const REAL *restrict ws, REAL a, REAL g, int64_t n);

/* y = g f of any n elements from i on; the last ones go through padded copies. */
static NOINLINE void K(apply)(K(formula) *f, REAL *y, const pointwise_t *p, REAL g, int64_t i, int64_t n)
{
    const REAL *x = (const REAL *)p->x + i, *t = (const REAL *)p->t + i, *w = p->w ? (const REAL *)p->w + i : x;
    const int64_t whole = n & -MULTIPLE;
    const size_t rest = (size_t)(n - whole) * sizeof(REAL);
    f(y, x, t, w, (REAL)p->a, g, whole);
    if (rest) {
        REAL in[3][MULTIPLE] = {{0}}, out[MULTIPLE];
        memcpy(in[0], x + whole, rest);
        memcpy(in[1], t + whole, rest);
        memcpy(in[2], w + whole, rest);
        f(out, in[0], in[1], in[2], (REAL)p->a, g, MULTIPLE);
        memcpy(y + whole, out, rest);
    }
}

static NOINLINE void K(write_all)(const pointwise_t *p, int64_t begin, int64_t end, K(formula) *f)
{
    int64_t i = begin * NNRT_LOSS_CHUNK;
    K(apply)(f, (REAL *)p->y + i, p, 1, i, before(end * NNRT_LOSS_CHUNK, p->n) - i);
}

static NOINLINE void K(sum_all)(const pointwise_t *p, int64_t begin, int64_t end, K(formula) *f, K(formula) *add)
{
    const REAL *x = p->x, *t = p->t, *w = p->w ? p->w : x;
    for (; begin < end; begin++) {
        int64_t i = begin * NNRT_LOSS_CHUNK, rest = before(i + NNRT_LOSS_CHUNK, p->n) - i, whole = rest & -WIDE;
        REAL s[WIDE] __attribute__((aligned(64))) = {0}, last[WIDE]; /* aligned: a vector in two lines costs 4% */
        add(s, x + i, t + i, w + i, (REAL)p->a, 1, whole);
        K(apply)(f, last, p, 1, i + whole, rest -= whole);
        double total = 0;
        for (int64_t j = 0; j < rest; j++)
            s[j] += last[j];
        for (int j = 0; j < WIDE; j++)
            total += s[j];
        p->partial[begin] = total;
    }
}

/* dx = dy scale f, for single dy in blocks that are still in L1 when they are multiplied. */
static NOINLINE void K(write_slope)(REAL *dx, const pointwise_t *p, int64_t begin, int64_t end, K(formula) *f)
{
    const int64_t stop = before(end * NNRT_LOSS_CHUNK, p->n), block = p->dy_each ? 512 : stop;
    const REAL *restrict dy = p->dy, scale = (REAL)p->scale * (p->dy_each ? 1 : *dy);
    for (int64_t i = begin * NNRT_LOSS_CHUNK; dx && i < stop; i += block) {
        const int64_t n = before(block, stop - i);
        REAL *restrict d = dx + i;
        K(apply)(f, d, p, scale, i, n);
        for (int64_t j = 0; p->dy_each && j < n; j++)
            d[j] *= dy[i + j];
    }
}

#define FORMULA(name, EACH, VALUE)                                                \
    static void K(name)(REAL *restrict y, const REAL *restrict xs, const REAL *restrict ts, \
                        const REAL *restrict ws, REAL a, REAL g, int64_t n)       \
    {                                                                             \
        (void)a, (void)g;                                                         \
        EACH {                                                                    \
            REAL x = xs[i], t = ts[i], w = ws[i];                                 \
            (void)x, (void)t, (void)w;                                            \
            VALUE;                                                                \
        }                                                                         \
    }
#define ONE_BY_ONE                                                                \
    n &= -MULTIPLE;                                                               \
    for (int64_t i = 0; i < n; i++)
#define IN_LANES                                                                  \
    for (int64_t k = 0; k < n; k += WIDE)                                         \
        for (int64_t j = 0, i = k; j < WIDE; j++, i++)
/* L is the loss, DX and DT its derivatives, of x, t, the constant a and the weight w. */
#define LOSS(name, L, DX, DT)                                                     \
    FORMULA(name##_f, ONE_BY_ONE, y[i] = L)                                       \
    FORMULA(name##_add, IN_LANES, y[j] += L)                                      \
    FORMULA(name##_dx, ONE_BY_ONE, y[i] = g * (DX))                               \
    FORMULA(name##_dt, ONE_BY_ONE, y[i] = g * (DT))                               \
    static void K(name##_each)(const void *args, int64_t begin, int64_t end, void *scratch) \
    {                                                                             \
        K(write_all)(args, begin, end, K(name##_f));                              \
    }                                                                             \
    static void K(name##_total)(const void *args, int64_t begin, int64_t end, void *scratch) \
    {                                                                             \
        K(sum_all)(args, begin, end, K(name##_f), K(name##_add));                 \
    }                                                                             \
    static void K(name##_backward)(const void *args, int64_t begin, int64_t end, void *scratch) \
    {                                                                             \
        const pointwise_t *p = args;                                              \
        K(write_slope)(p->dx, p, begin, end, K(name##_dx));                       \
        K(write_slope)(p->dt, p, begin, end, K(name##_dt));                       \
    }

static inline REAL K(abs_)(REAL d) { return d < 0 ? -d : d; }
static inline REAL K(sign_)(REAL d) { return d > 0 ? 1 : d < 0 ? -1 : d; }
static inline REAL K(clip_)(REAL d, REAL a) { return d > a ? a : d < -a ? -a : d; }
/* At least -100, as in torch: a probability of 0 costs 100. */
static inline REAL K(log_)(REAL x)
{
    REAL l = K(log)(x);
    return l < -100 ? -100 : l;
}
static inline REAL K(entropy_)(REAL t) { return t == 0 ? 0 : t * K(log)(t); }
static inline REAL K(variance_)(REAL x)
{
    REAL v = (1 - x) * x;
    return v < (REAL)1e-12 ? (REAL)1e-12 : v;
}

LOSS(mse, (x - t) * (x - t), 2 * (x - t), -2 * (x - t))
LOSS(l1, K(abs_)(x - t), K(sign_)(x - t), -K(sign_)(x - t))
LOSS(smooth_l1,
     K(abs_)(x - t) < a ? (x - t) * (x - t) * ((REAL)0.5 / a) : K(abs_)(x - t) - (REAL)0.5 * a,
     K(clip_)((x - t) / a, 1), -K(clip_)((x - t) / a, 1))
LOSS(huber,
     K(abs_)(x - t) <= a ? (REAL)0.5 * (x - t) * (x - t) : a * (K(abs_)(x - t) - (REAL)0.5 * a),
     K(clip_)(x - t, a), -K(clip_)(x - t, a))
LOSS(bce, (t - 1) * K(log_)(1 - x) - t * K(log_)(x), (x - t) / K(variance_)(x),
     K(log_)(1 - x) - K(log_)(x))
LOSS(bce_logits, (1 - t) * x + K(softplus)(-x), K(sigmoid)(x) - t, -x)
LOSS(bce_logits_weighted, (1 - t) * x + (1 + (w - 1) * t) * K(softplus)(-x),
     (1 + (w - 1) * t) * K(sigmoid)(x) - w * t, (w - 1) * K(softplus)(-x) - x)
LOSS(kl, K(entropy_)(t) - t * x, -t, t == 0 ? 0 : K(log)(t) + 1 - x)
LOSS(kl_log, K(exp)(t) * (t - x), -K(exp)(t), K(exp)(t) * (t - x + 1))
#undef LOSS
#undef FORMULA
#undef ONE_BY_ONE
#undef IN_LANES
#endif

/* ---- classes ---- */

/* for (the units of the tasks): `at` is the unit's offset in [outer, n, inner], `out` in [outer, inner] */
#define UNITS                                                                     \
    const classes_t *p = args;                                                    \
    int64_t n = p->n, step = p->inner, units = p->outer * p->blocks;              \
    int64_t last = end * p->group < units ? end * p->group : units;               \
    const REAL *weight = p->weight;                                               \
    REAL sure = (REAL)(1 - p->smoothing), rest = n ? (REAL)(p->smoothing / (double)n) : 0; \
    (void)weight, (void)sure, (void)rest;                                         \
    for (int64_t u = begin * p->group; u < last; u++)
#define UNIT                                                                      \
    int64_t o = p->blocks == 1 ? u : u / p->blocks, col = (u - o * p->blocks) * p->cols; \
    int64_t w = step - col < p->cols ? step - col : p->cols;                      \
    int64_t at = o * n * step + col, out = o * step + col

/* *to = lse as REAL; returns what exp(x - *to) is to be multiplied by instead: exp(*to - lse). */
static inline REAL K(rounded)(REAL *to, double lse)
{
    *to = (REAL)lse;
    double off = *to - lse;
    if (fabs(off) < 1e-5 || off != off) /* infinite lse */
        return off != off ? 1 : (REAL)(1 + off);
    return (REAL)exp(off);
}

static void K(cross_entropy)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    UNITS {
        UNIT;
        const REAL *x = (const REAL *)p->x + at;
        REAL *loss = (REAL *)p->loss + out;
        double *lse = (double *)p->lse + out;
        const int64_t *target = p->target + out;
        K(lse_of)(lse, x, n, step, w);
        for (int64_t i = 0; i < w; i++) {
            int64_t t = target[i];
            if (t == p->ignore_index) {
                loss[i] = 0;
                continue;
            }
            loss[i] = sure * (weight ? weight[t] : 1) * (REAL)(lse[i] - x[t * step + i]);
            if (rest == 0)
                continue;
            double all = 0;
            for (int64_t r = 0; r < n; r++)
                all += (weight ? weight[r] : 1) * (lse[i] - x[r * step + i]);
            loss[i] += rest * (REAL)all;
        }
    }
}

/* dx_c = g (A p_c - b_c), A = Σ b, b_c = sure w_t onehot_c + rest w_c; the onehot is put in afterwards. */
static void K(cross_entropy_backward)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    const classes_t *q = args;
    double total = 0;
    for (int64_t c = 0; c < q->n; c++)
        total += q->weight ? (double)((const REAL *)q->weight)[c] : 1;
    UNITS {
        UNIT;
        const REAL *restrict x = (const REAL *)p->x + at;
        const REAL *dy = (const REAL *)p->dy + (p->dy_each ? out : 0);
        const int64_t *target = p->target + out;
        REAL *restrict dx = (REAL *)p->dx + at;
        REAL g[NNRT_SOFTMAX_COLS], scaled[NNRT_SOFTMAX_COLS], hot[NNRT_SOFTMAX_COLS], lse[NNRT_SOFTMAX_COLS];
        for (int64_t i = 0; i < w; i++) {
            int kept = target[i] != p->ignore_index;
            g[i] = kept ? dy[p->dy_each ? i : 0] * (REAL)p->scale : 0;
            hot[i] = kept ? g[i] * sure * (weight ? weight[target[i]] : 1) : 0;
            scaled[i] = (hot[i] + g[i] * rest * (REAL)total) * K(rounded)(lse + i, ((const double *)p->lse)[out + i]);
            g[i] *= rest;
        }
        if (step == 1 && *target == p->ignore_index) {
            memset(dx, 0, (size_t)n * sizeof *dx);
        } else if (step == 1 && rest == 0) {
            K(add_exp)(dx, NULL, x, *scaled, *lse, n);
        } else if (step == 1) {
            REAL s = *scaled, l = *lse, b = *g;
            for (int64_t r = 0; r < n; r++)
                dx[r] = s * K(exp_neg)(x[r] - l) - b * (weight ? weight[r] : 1);
        } else {
            for (int64_t r = 0; r < n; r++) {
                REAL by = weight ? weight[r] : 1;
                for (int64_t i = 0; i < w; i++)
                    dx[r * step + i] = scaled[i] * K(exp_neg)(x[r * step + i] - lse[i]) - g[i] * by;
            }
            for (int64_t i = 0; i < w; i++) /* not 0 * inf */
                for (int64_t r = 0; target[i] == p->ignore_index && r < n; r++)
                    dx[r * step + i] = 0;
        }
        for (int64_t i = 0; i < w; i++)
            if (target[i] != p->ignore_index)
                dx[target[i] * step + i] -= hot[i];
    }
}

#if !WIDE_HERE
static void K(cross_entropy_soft)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    UNITS {
        UNIT;
        const REAL *x = (const REAL *)p->x + at, *q = (const REAL *)p->q + at;
        REAL *loss = (REAL *)p->loss + out;
        double *lse = (double *)p->lse + out, total[NNRT_SOFTMAX_COLS];
        K(lse_of)(lse, x, n, step, w);
        for (int64_t i = 0; i < w; i++)
            total[i] = 0;
        for (int64_t r = 0; r < n; r++) {
            REAL by = weight ? weight[r] : 1;
            for (int64_t i = 0; i < w; i++)
                total[i] += by * (sure * q[r * step + i] + rest) * (REAL)(lse[i] - x[r * step + i]);
        }
        for (int64_t i = 0; i < w; i++)
            loss[i] = (REAL)total[i];
    }
}

static void K(cross_entropy_soft_backward)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    UNITS {
        UNIT;
        const REAL *x = (const REAL *)p->x + at, *q = (const REAL *)p->q + at;
        const REAL *dy = (const REAL *)p->dy + (p->dy_each ? out : 0);
        const double *lse = (const double *)p->lse + out;
        REAL *dx = p->dx ? (REAL *)p->dx + at : NULL, *dq = p->dq ? (REAL *)p->dq + at : NULL;
        double total[NNRT_SOFTMAX_COLS];
        for (int64_t i = 0; i < w; i++)
            total[i] = 0;
        for (int64_t r = 0; dx && r < n; r++)
            for (int64_t i = 0; i < w; i++)
                total[i] += (weight ? weight[r] : 1) * (sure * q[r * step + i] + rest);
        for (int64_t i = 0; i < w; i++) {
            REAL g = dy[p->dy_each ? i : 0] * (REAL)p->scale, l, s = (REAL)total[i] * K(rounded)(&l, lse[i]);
            for (int64_t k = i, r = 0; dx && r < n; r++, k += step)
                dx[k] = g * (s * K(exp_neg)(x[k] - l) - (weight ? weight[r] : 1) * (sure * q[k] + rest));
            for (int64_t k = i, r = 0; dq && r < n; r++, k += step)
                dq[k] = g * sure * (weight ? weight[r] : 1) * (REAL)(lse[i] - x[k]);
        }
    }
}

static void K(nll)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    UNITS {
        UNIT;
        const REAL *x = (const REAL *)p->x + at;
        for (int64_t i = 0; i < w; i++) {
            int64_t t = p->target[out + i];
            ((REAL *)p->loss)[out + i] =
                t == p->ignore_index ? 0 : -(weight ? weight[t] : 1) * x[t * step + i];
        }
    }
}

static void K(nll_backward)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    UNITS {
        UNIT;
        REAL *dx = (REAL *)p->dx + at;
        const REAL *dy = (const REAL *)p->dy + (p->dy_each ? out : 0);
        for (int64_t r = 0; r < n; r++)
            memset(dx + r * step, 0, (size_t)w * sizeof *dx);
        for (int64_t i = 0; i < w; i++) {
            int64_t t = p->target[out + i];
            if (t != p->ignore_index)
                dx[t * step + i] = -dy[p->dy_each ? i : 0] * (REAL)p->scale * (weight ? weight[t] : 1);
        }
    }
}
#endif

#undef UNITS
#undef UNIT

#endif
