/* Losses. This file includes itself once per dtype; REAL is the dtype. */
#ifndef REAL

#include <math.h>
#include <string.h>

#include "loss.h"
#include "softmax.h"
#include "vmath.h"

typedef nnrt_pointwise_args pointwise_t;
typedef nnrt_classes_args classes_t;

#define REAL float
#define K(name) name##_f32
#include "loss.c"
#undef REAL
#undef K
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

#else

#include "rows.h"
#include "exprows.h"
#include "ctc.h"

/* ---- one loss for each element ---- */

#define RANGE                                                                     \
    const pointwise_t *p = args;                                                  \
    int64_t first = begin * NNRT_LOSS_CHUNK, stop = end * NNRT_LOSS_CHUNK;        \
    if (stop > p->n)                                                              \
        stop = p->n;                                                              \
    const REAL *xs = p->x, *ts = p->t, *ws = p->w;                                \
    REAL a = (REAL)p->a;                                                          \
    (void)ws, (void)a

/* L is the loss, DX and DT its derivatives, of x, t, the constant a and, w = W(i). */
#define LOSS(name, W, L, DX, DT)                                                  \
    static inline REAL K(name##_f)(REAL x, REAL t, REAL w, REAL a)                \
    {                                                                             \
        (void)w, (void)a;                                                         \
        return L;                                                                 \
    }                                                                             \
    static inline REAL K(name##_dx)(REAL x, REAL t, REAL w, REAL a)               \
    {                                                                             \
        (void)x, (void)t, (void)w, (void)a;                                       \
        return DX;                                                                \
    }                                                                             \
    static inline REAL K(name##_dt)(REAL x, REAL t, REAL w, REAL a)               \
    {                                                                             \
        (void)x, (void)t, (void)w, (void)a;                                       \
        return DT;                                                                \
    }                                                                             \
    static void K(name##_each)(const void *args, int64_t begin, int64_t end, void *scratch) \
    {                                                                             \
        RANGE;                                                                    \
        REAL *restrict y = p->y;                                                  \
        for (int64_t i = first; i < stop; i++)                                    \
            y[i] = K(name##_f)(xs[i], ts[i], W(i), a);                               \
    }                                                                             \
    static void K(name##_total)(const void *args, int64_t begin, int64_t end, void *scratch) \
    {                                                                             \
        RANGE;                                                                    \
        enum { WIDE = 64 };                                                       \
        for (; first < stop; first += NNRT_LOSS_CHUNK, begin++) {                 \
            int64_t i = first, to = first + NNRT_LOSS_CHUNK < stop ? first + NNRT_LOSS_CHUNK : stop; \
            REAL s[WIDE] = {0};                                                   \
            for (; i + WIDE <= to; i += WIDE)                                     \
                for (int j = 0; j < WIDE; j++) {                                  \
                    int64_t k = i + j;                                            \
                    s[j] += K(name##_f)(xs[k], ts[k], W(k), a);              \
                }                                                                 \
            for (int j = 0; i + j < to; j++) {                                    \
                int64_t k = i + j;                                                \
                s[j] += K(name##_f)(xs[k], ts[k], W(k), a);                  \
            }                                                                     \
            double total = 0;                                                     \
            for (int j = 0; j < WIDE; j++)                                        \
                total += s[j];                                                    \
            p->partial[begin] = total;                                            \
        }                                                                         \
    }                                                                             \
    static void K(name##_backward)(const void *args, int64_t begin, int64_t end, void *scratch) \
    {                                                                             \
        RANGE;                                                                    \
        REAL scale = (REAL)p->scale;                                              \
        const REAL *dy = p->dy;                                                   \
        REAL *restrict dx = p->dx, *restrict dt = p->dt;                          \
        if (p->dy_each) {                                                         \
            for (int64_t i = first; dx && i < stop; i++)                          \
                dx[i] = dy[i] * scale * K(name##_dx)(xs[i], ts[i], W(i), a);      \
            for (int64_t i = first; dt && i < stop; i++)                          \
                dt[i] = dy[i] * scale * K(name##_dt)(xs[i], ts[i], W(i), a);      \
            return;                                                               \
        }                                                                         \
        scale *= *dy;                                                             \
        if (dx && dt) {                                                           \
            for (int64_t i = first; i < stop; i++) {                              \
                dx[i] = scale * K(name##_dx)(xs[i], ts[i], W(i), a);              \
                dt[i] = scale * K(name##_dt)(xs[i], ts[i], W(i), a);              \
            }                                                                     \
            return;                                                               \
        }                                                                         \
        for (int64_t i = first; dx && i < stop; i++)                              \
            dx[i] = scale * K(name##_dx)(xs[i], ts[i], W(i), a);                  \
        for (int64_t i = first; dt && i < stop; i++)                              \
            dt[i] = scale * K(name##_dt)(xs[i], ts[i], W(i), a);                  \
    }
#define ONE(i) 1
#define EACH(i) ws[i]

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

LOSS(mse, ONE, (x - t) * (x - t), 2 * (x - t), -2 * (x - t))
LOSS(l1, ONE, K(abs_)(x - t), K(sign_)(x - t), -K(sign_)(x - t))
LOSS(smooth_l1, ONE,
     K(abs_)(x - t) < a ? (x - t) * (x - t) * ((REAL)0.5 / a) : K(abs_)(x - t) - (REAL)0.5 * a,
     K(clip_)((x - t) / a, 1), -K(clip_)((x - t) / a, 1))
LOSS(huber, ONE,
     K(abs_)(x - t) <= a ? (REAL)0.5 * (x - t) * (x - t) : a * (K(abs_)(x - t) - (REAL)0.5 * a),
     K(clip_)(x - t, a), -K(clip_)(x - t, a))
LOSS(bce, ONE, (t - 1) * K(log_)(1 - x) - t * K(log_)(x), (x - t) / K(variance_)(x),
     K(log_)(1 - x) - K(log_)(x))
LOSS(bce_logits, ONE, (1 - t) * x + K(softplus)(-x), K(sigmoid)(x) - t, -x)
LOSS(bce_logits_weighted, EACH, (1 - t) * x + (1 + (w - 1) * t) * K(softplus)(-x),
     (1 + (w - 1) * t) * K(sigmoid)(x) - w * t, (w - 1) * K(softplus)(-x) - x)
LOSS(kl, ONE, K(entropy_)(t) - t * x, -t, t == 0 ? 0 : K(log)(t) + 1 - x)
LOSS(kl_log, ONE, K(exp)(t) * (t - x), -K(exp)(t), K(exp)(t) * (t - x + 1))
#undef LOSS
#undef RANGE
#undef ONE
#undef EACH

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

static void K(cross_entropy)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    UNITS {
        UNIT;
        const REAL *x = (const REAL *)p->x + at;
        REAL *loss = (REAL *)p->loss + out, *lse = (REAL *)p->lse + out;
        const int64_t *target = p->target + out;
        K(lse_of)(lse, x, n, step, w);
        for (int64_t i = 0; i < w; i++) {
            int64_t t = target[i];
            if (t == p->ignore_index) {
                loss[i] = 0;
                continue;
            }
            loss[i] = sure * (weight ? weight[t] : 1) * (lse[i] - x[t * step + i]);
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
        const REAL *restrict lse = (const REAL *)p->lse + out;
        const REAL *dy = (const REAL *)p->dy + (p->dy_each ? out : 0);
        const int64_t *target = p->target + out;
        REAL *restrict dx = (REAL *)p->dx + at;
        REAL g[NNRT_SOFTMAX_COLS], scaled[NNRT_SOFTMAX_COLS], hot[NNRT_SOFTMAX_COLS];
        for (int64_t i = 0; i < w; i++) {
            int kept = target[i] != p->ignore_index;
            g[i] = kept ? dy[p->dy_each ? i : 0] * (REAL)p->scale : 0;
            hot[i] = kept ? g[i] * sure * (weight ? weight[target[i]] : 1) : 0;
            scaled[i] = hot[i] + g[i] * rest * (REAL)total;
            g[i] *= rest;
        }
        if (step == 1 && *target == p->ignore_index) {
            memset(dx, 0, (size_t)n * sizeof *dx);
        } else if (step == 1 && rest == 0) {
            REAL s = *scaled, l = *lse;
            for (int64_t r = 0; r < n; r++)
                dx[r] = s * K(exp_neg)(x[r] - l);
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

static void K(cross_entropy_soft)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    UNITS {
        UNIT;
        const REAL *x = (const REAL *)p->x + at, *q = (const REAL *)p->q + at;
        REAL *loss = (REAL *)p->loss + out, *lse = (REAL *)p->lse + out;
        double total[NNRT_SOFTMAX_COLS];
        K(lse_of)(lse, x, n, step, w);
        for (int64_t i = 0; i < w; i++)
            total[i] = 0;
        for (int64_t r = 0; r < n; r++) {
            REAL by = weight ? weight[r] : 1;
            for (int64_t i = 0; i < w; i++)
                total[i] += by * (sure * q[r * step + i] + rest) * (lse[i] - x[r * step + i]);
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
        const REAL *lse = (const REAL *)p->lse + out, *dy = (const REAL *)p->dy + (p->dy_each ? out : 0);
        REAL *dx = p->dx ? (REAL *)p->dx + at : NULL, *dq = p->dq ? (REAL *)p->dq + at : NULL;
        double total[NNRT_SOFTMAX_COLS];
        for (int64_t i = 0; i < w; i++)
            total[i] = 0;
        for (int64_t r = 0; dx && r < n; r++)
            for (int64_t i = 0; i < w; i++)
                total[i] += (weight ? weight[r] : 1) * (sure * q[r * step + i] + rest);
        for (int64_t i = 0; i < w; i++) {
            REAL g = dy[p->dy_each ? i : 0] * (REAL)p->scale, s = (REAL)total[i], l = lse[i];
            for (int64_t k = i, r = 0; dx && r < n; r++, k += step)
                dx[k] = g * (s * K(exp_neg)(x[k] - l) - (weight ? weight[r] : 1) * (sure * q[k] + rest));
            for (int64_t k = i, r = 0; dq && r < n; r++, k += step)
                dq[k] = g * sure * (weight ? weight[r] : 1) * (l - x[k]);
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

#undef UNITS
#undef UNIT

#endif
