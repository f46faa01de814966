/* Optimiser steps. A task is CHUNK elements of all tensors in a row: many small tensors share
 * one, a large tensor is cut. This file includes itself once per dtype; REAL is the dtype. */
#ifndef REAL

#include "optim.h"
#include "vmath_wide.h"

#include <math.h>

#define REAL float
#define SQRT sqrtf
#define ABS fabsf
#define K(name) name##_f32
#include "optim.c"
#undef REAL
#undef SQRT
#undef ABS
#undef K

#if WIDE_HERE /* Adam of floats, which waits for square roots and divisions; the rest is AVX2's */

const nnrt_optim_table NNRT_SYM(optim) = {.adam = {{"optim/adam/f32/avx512", adam_f32}}};

#else

#define REAL double
#define SQRT sqrt
#define ABS fabs
#define K(name) name##_f64
#include "optim.c"

#define ENTRY(name)                                                         \
    .name = {{"optim/" #name "/f32/" NNRT_STR(NNRT_ISA), name##_f32},       \
             {"optim/" #name "/f64/" NNRT_STR(NNRT_ISA), name##_f64}}

const nnrt_optim_table NNRT_SYM(optim) = {
    ENTRY(sgd),     ENTRY(adam),  ENTRY(nadam), ENTRY(radam),       ENTRY(adamax),    ENTRY(adagrad), ENTRY(adadelta),
    ENTRY(rmsprop), ENTRY(rprop), ENTRY(asgd),  ENTRY(sparse_adam), ENTRY(grad_norm), ENTRY(scale),   ENTRY(clamp)};

#endif

#else

typedef void (*K(rule_fn))(const nnrt_optim_args *q, REAL *p, REAL *s0, REAL *s1, REAL *s2, const REAL *g, int64_t n);

/* Calls rule on the piece of every tensor that lies in tasks begin..end-1. */
static inline void K(pieces)(const nnrt_optim_args *q, int64_t begin, int64_t end, K(rule_fn) rule)
{
    int64_t from = begin * NNRT_OPTIM_CHUNK, to = end * NNRT_OPTIM_CHUNK;
    int64_t low = 0, high = q->count; /* the last tensor that starts at or before `from` */
    while (high - low > 1) {
        int64_t mid = (low + high) / 2;
        if (q->tensors[mid].start <= from) low = mid;
        else high = mid;
    }
    for (const nnrt_optim_tensor *t = q->tensors + low; t < q->tensors + q->count && t->start < to; t++) {
        int64_t first = from > t->start ? from - t->start : 0;
        int64_t n = (to - t->start < t->n ? to - t->start : t->n) - first;
        if (n <= 0) continue;
        REAL *s[3];
        for (int i = 0; i < 3; i++) s[i] = t->s[i] ? (REAL *)t->s[i] + first : 0;
        rule(q, t->p ? (REAL *)t->p + first : 0, s[0], s[1], s[2], t->g ? (const REAL *)t->g + first : 0, n);
    }
}

/* A rule is a loop body over x (the parameter), g (its gradient, signed and decayed) and the state
 * streams. `variant` and the kind of decay are constants in each copy of the loop: 0 * x would not do
 * for no decay, it turns a parameter of -inf into NaN. */
#define LOOP(VARIANT, DECAY, ...)                                                                  \
    {                                                                                              \
        enum { variant = VARIANT };                                                                \
        _Pragma("GCC ivdep") /* the streams are different arrays */                                \
        for (int64_t i = 0; i < n; i++) {                                                          \
            REAL x = p[i], g = sign * gs[i];                                                       \
            if (DECAY == 1) g += decay * x;                                                        \
            if (DECAY == 2) x *= shrink;                                                           \
            __VA_ARGS__                                                                            \
            p[i] = x;                                                                              \
        }                                                                                          \
    }
#define CASE(V, ...)                                                                               \
    case V:                                                                                        \
        if (decay != 0) LOOP(V, 1, __VA_ARGS__)                                                    \
        else if (shrink != 1) LOOP(V, 2, __VA_ARGS__)                                              \
        else LOOP(V, 0, __VA_ARGS__)                                                               \
        break;
#define RULE(name, CASES, ...)                                                                     \
    static void K(name##_rule)(const nnrt_optim_args *q, REAL *p, REAL *s0, REAL *s1, REAL *s2,    \
                               const REAL *gs, int64_t n)                                          \
    {                                                                                              \
        const REAL lr = q->lr, decay = q->decay, shrink = q->shrink, sign = q->sign, a = q->a,     \
                   b = q->b, c = q->c, d = q->d, eps = q->eps;                                     \
        (void)lr, (void)a, (void)b, (void)c, (void)d, (void)eps, (void)s0, (void)s1, (void)s2;     \
        switch (q->variant) { CASES(__VA_ARGS__) }                                                 \
    }                                                                                              \
    static void K(name)(const void *args, int64_t begin, int64_t end, void *scratch)               \
    {                                                                                              \
        K(pieces)(args, begin, end, K(name##_rule));                                               \
    }
#define ONE(...) CASE(0, __VA_ARGS__)
#define TWO(...) CASE(0, __VA_ARGS__) CASE(1, __VA_ARGS__)
#define FOUR(...) CASE(0, __VA_ARGS__) CASE(1, __VA_ARGS__) CASE(2, __VA_ARGS__) CASE(3, __VA_ARGS__)
#define SIX(...) FOUR(__VA_ARGS__) CASE(4, __VA_ARGS__) CASE(5, __VA_ARGS__)

/* a 1 - beta1, b beta2, c 1 - beta2, d 1 / sqrt(1 - beta2^t), lr over 1 - beta1^t. variant 1 amsgrad */
RULE(adam, TWO,
    REAL m = s0[i] += a * (g - s0[i]);
    REAL v = s1[i] = b * s1[i] + c * (g * g);
    if (variant == 1) v = s2[i] = v > s2[i] || v != v ? v : s2[i];
    x -= lr * m / (SQRT(v) * d + eps);)

#if !WIDE_HERE

/* a momentum, b 1 - dampening. variant 0 no momentum, 2 momentum, 4 its first step; + 1 nesterov */
RULE(sgd, SIX,
    if (variant >= 2) {
        REAL buffer = s0[i] = variant >= 4 ? g : a * s0[i] + b * g;
        g = variant & 1 ? g + a * buffer : buffer;
    }
    x -= lr * g;)

/* a 1 - beta1, b beta2, c the factor of g, d 1 / sqrt(1 - beta2^t), lr that of m */
RULE(nadam, ONE,
    REAL m = s0[i] += a * (g - s0[i]);
    REAL v = s1[i] = b * s1[i] + (1 - b) * (g * g);
    x -= (c * g + lr * m) / (SQRT(v) * d + eps);)

/* a 1 - beta1, b beta2, c 1 - beta2, lr with all factors of m. variant 1 adapted, 0 not yet */
RULE(radam, TWO,
    REAL m = s0[i] += a * (g - s0[i]);
    REAL v = s1[i] = b * s1[i] + c * (g * g);
    x -= variant == 1 ? lr * m / (SQRT(v) + eps) : lr * m;)

/* a 1 - beta1, b beta2, lr over 1 - beta1^t */
RULE(adamax, ONE,
    REAL m = s0[i] += a * (g - s0[i]);
    REAL now = ABS(g) + eps, before = b * s1[i];
    REAL u = s1[i] = now > before || now != now ? now : before;
    x -= lr * m / u;)

/* lr decayed */
RULE(adagrad, ONE,
    REAL s = s0[i] += g * g;
    x -= lr * g / (SQRT(s) + eps);)

/* a rho, b 1 - rho */
RULE(adadelta, ONE,
    REAL v = s0[i] = a * s0[i] + b * (g * g);
    REAL delta = SQRT((s1[i] + eps) / (v + eps)) * g;
    s1[i] = a * s1[i] + b * (delta * delta);
    x -= lr * delta;)

/* a alpha, b 1 - alpha, c momentum. variant 1 centred, 2 momentum, 3 both */
RULE(rmsprop, FOUR,
    REAL v = s0[i] = a * s0[i] + b * (g * g);
    if (variant & 1) {
        REAL mean = s1[i] += b * (g - s1[i]);
        v -= mean * mean;
        v = v < 0 ? 0 : v;
    }
    g = g / (SQRT(v) + eps);
    if (variant & 2) g = s2[i] = c * s2[i] + g;
    x -= lr * g;)

/* a etaminus, b etaplus, c and d the least and largest step. Signs are compared, not multiplied: no underflow */
RULE(rprop, ONE,
    REAL last = s0[i];
    REAL now = g > 0 ? 1 : g < 0 ? -1 : g;
    REAL then = last > 0 ? 1 : last < 0 ? -1 : last;
    REAL agree = now * then;
    REAL step = s1[i] * (agree > 0 ? b : agree < 0 ? a : 1);
    step = step < c ? c : step > d ? d : step;
    s1[i] = step;
    s0[i] = agree < 0 ? 0 : g;
    x -= (agree < 0 ? 0 : now) * step;)

/* lr eta, a mu, c 1 - lambd eta. variant 1: mu is 1 */
RULE(asgd, TWO,
    x = c * x - lr * g;
    s0[i] = variant == 1 ? x : s0[i] + a * (x - s0[i]);)

/* a 1 - beta1, b 1 - beta2, lr with both corrections */
static void K(sparse_adam)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    const nnrt_optim_rows_args *q = args;
    const REAL a = q->a, b = q->b, lr = q->lr, eps = q->eps, sign = q->sign;
    int64_t d = q->width, stop = end * q->block < q->count ? end * q->block : q->count;
    for (int64_t r = begin * q->block; r < stop; r++) {
        REAL *p = (REAL *)q->p + q->rows[r] * d, *m = (REAL *)q->m + q->rows[r] * d, *v = (REAL *)q->v + q->rows[r] * d;
        const REAL *g = (const REAL *)q->g + r * d;
        _Pragma("GCC ivdep")
        for (int64_t i = 0; i < d; i++) {
            REAL x = sign * g[i];
            m[i] += a * (x - m[i]);
            v[i] += b * (x * x - v[i]);
            p[i] -= lr * m[i] / (SQRT(v[i]) + eps);
        }
    }
}

/* Clipping. a the order of the norm; a task is one tensor's piece, as _ref counts them: `start` is
 * a multiple of CHUNK here. Sixteen running sums hide the latency and fix the order. */
static void K(grad_norm)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    const nnrt_optim_args *q = args;
    const double order = q->a;
    const nnrt_optim_tensor *t = q->tensors;
    for (int64_t task = begin; task < end; task++) {
        int64_t from = task * NNRT_OPTIM_CHUNK;
        while (t->start + t->n <= from) t++;
        const REAL *g = (const REAL *)t->g + (from - t->start);
        int64_t n = t->start + t->n - from;
        if (n > NNRT_OPTIM_CHUNK) n = NNRT_OPTIM_CHUNK;
        double sums[16] = {0}, x[16];
        for (int64_t i = 0; i < n; i += 16) {
            for (int j = 0; j < 16; j++) x[j] = 0;
            if (n - i >= 16)
                for (int j = 0; j < 16; j++) x[j] = ABS(g[i + j]);
            else
                for (int j = 0; j < n - i; j++) x[j] = ABS(g[i + j]);
            if (order == 2)
                for (int j = 0; j < 16; j++) sums[j] += x[j] * x[j];
            else if (order == 1)
                for (int j = 0; j < 16; j++) sums[j] += x[j];
            else if (isinf(order))
                for (int j = 0; j < 16; j++) sums[j] = x[j] > sums[j] || x[j] != x[j] ? x[j] : sums[j];
            else
                for (int j = 0; j < 16; j++) sums[j] += pow(x[j], order);
        }
        double total = sums[0];
        for (int j = 1; j < 16; j++)
            if (isinf(order)) total = sums[j] > total || sums[j] != sums[j] ? sums[j] : total;
            else total += sums[j];
        q->partials[task] = total;
    }
}

/* a the factor */
static void K(scale_rule)(const nnrt_optim_args *q, REAL *p, REAL *s0, REAL *s1, REAL *s2, const REAL *g, int64_t n)
{
    const REAL a = q->a;
    for (int64_t i = 0; i < n; i++) p[i] *= a;
}

static void K(scale)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    K(pieces)(args, begin, end, K(scale_rule));
}

/* c and d the bounds */
static void K(clamp_rule)(const nnrt_optim_args *q, REAL *p, REAL *s0, REAL *s1, REAL *s2, const REAL *g, int64_t n)
{
    const REAL c = q->c, d = q->d;
    for (int64_t i = 0; i < n; i++) {
        REAL x = p[i] < c ? c : p[i];
        p[i] = x > d ? d : x;
    }
}

static void K(clamp)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    K(pieces)(args, begin, end, K(clamp_rule));
}

#endif /* !WIDE_HERE */

#undef LOOP
#undef CASE
#undef RULE
#undef ONE
#undef TWO
#undef FOUR
#undef SIX

#endif
