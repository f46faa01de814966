/* Activations. This file includes itself once per dtype; REAL is the dtype. */
#ifndef REAL

#include "activation.h"
#include "vmath.h"
#include "vmath_wide.h"

#define GELU_WIDE WIDE_HERE
#define REAL float
#define K(name) name##_f32
#include "activation.c"
#undef REAL
#undef K
#undef GELU_WIDE
#define GELU_WIDE 0
#define REAL double
#define K(name) name##_f64
#include "activation.c"

#define ENTRY(name)                                                              \
    .name = {{"activation/" #name "/f32/" NNRT_STR(NNRT_ISA), map_##name##_f32}, \
             {"activation/" #name "/f64/" NNRT_STR(NNRT_ISA), map_##name##_f64}},

const nnrt_activation_table NNRT_SYM(activation) = {NNRT_ACTIVATION_MAPS(ENTRY)};

#else

/* The maps are map_gelu_f32 and so on: gelu_f32 is the function. c0, c1 and c2 are the
 * constants in the order of the kernel's arguments. */
#define M1(name, ...) MAP1(map_##name, __VA_ARGS__)
#define M2(name, ...) MAP2(map_##name, __VA_ARGS__)

#if GELU_WIDE
MAP_ROW(map_relu)
{
    float *out = (float *)d[0];
    const float *in = (const float *)d[1];
    if (!step)
        for (; n >= 16; n -= 16, in += 16, out += 16) /* of NaN and -0 x itself */
            _mm512_stream_ps(out, _mm512_max_ps(_mm512_setzero_ps(), WIDE_LOAD_AHEAD(in)));
    MAP_LOOP out[i] = in[i] < 0 ? 0 : in[i];
}
MAP_KERNEL(map_relu, MAP_STREAMS)
MAP_ROW(map_relu_backward)
{
    float *out = (float *)d[0];
    const float *dy = (const float *)d[1], *in = (const float *)d[2];
    if (!step)
        for (; n >= 16; n -= 16, in += 16, dy += 16, out += 16) {
            const __mmask16 passes = _mm512_cmp_ps_mask(WIDE_LOAD_AHEAD(in), _mm512_setzero_ps(), _CMP_NLE_UQ);
            _mm512_stream_ps(out, _mm512_maskz_mov_ps(passes, WIDE_LOAD_AHEAD(dy)));
        }
    MAP_LOOP out[i] = in[i] <= 0 ? 0 : dy[i];
}
MAP_KERNEL(map_relu_backward, MAP_STREAMS)
#else
M1(relu, x < 0 ? 0 : x)
M2(relu_backward, x <= 0 ? 0 : dy)
#endif
M1(hardtanh, x < c0 ? c0 : x > c1 ? c1 : x)
M2(hardtanh_backward, (x > c0) & (x < c1) ? dy : 0)
M1(leaky_relu, x > 0 ? x : x * c0)
M2(leaky_relu_backward, x > 0 ? dy : dy * c0)
MAP_PAIR(map_prelu, REAL, a > 0 ? a : b * a)

/* alpha, scale, inner */
M1(elu, x > 0 ? c1 * x : (c1 * c0) * K(expm1)(c2 * x))
M2(elu_backward, x > 0 ? c1 * dy : dy * ((c1 * c0 * c2) * K(exp)(c2 * x)))

static inline REAL K(gelu)(REAL x) { return x * K(normal)(x, 0); }
static inline REAL K(gelu_slope)(REAL x) { return K(normal)(x, (REAL)0.3989422804014327); } /* 1 / sqrt(2 pi) */
#if GELU_WIDE
#define GELU(i, LOAD, STORE) STORE(out + i, wide_gelu(LOAD(in + i)));
MAP_ROW(map_gelu)
{
    float *out = (float *)d[0];
    const float *in = (const float *)d[1];
    WIDE_LOOP(n, !step, GELU)
}
MAP_KERNEL(map_gelu, MAP_STREAMS)
#define GELU_BACKWARD(i, LOAD, STORE) STORE(out + i, _mm512_mul_ps(LOAD(dy + i), wide_gelu_slope(LOAD(in + i))));
MAP_ROW(map_gelu_backward)
{
    float *out = (float *)d[0];
    const float *dy = (const float *)d[1], *in = (const float *)d[2];
    WIDE_LOOP(n, !step, GELU_BACKWARD)
}
MAP_KERNEL(map_gelu_backward, 0)
#define GELU_SLOPED(i, LOAD, STORE)                                               \
    {                                                                             \
        const wide x = LOAD(in + i);                                              \
        wide bell, tail = wide_normal_tail(x, &bell);                             \
        STORE(y + i, _mm512_mul_ps(x, wide_either(x, tail)));                     \
        STORE(slope + i, wide_gelu_slope_of(x, tail, bell));                      \
    }
MAP_ROW(map_gelu_sloped)
{
    float *y = (float *)d[0], *slope = (float *)d[1];
    const float *in = (const float *)d[2];
    WIDE_LOOP(n, 0, GELU_SLOPED)
}
#else
M1(gelu, K(gelu)(x))
M2(gelu_backward, dy * K(gelu_slope)(x))
/* Both at once: they share what is dear. */
MAP_ROW(map_gelu_sloped)
{
    REAL *y = (REAL *)d[0], *slope = (REAL *)d[1];
    const REAL *in = (const REAL *)d[2];
    MAP_LOOP { const REAL x = in[i]; y[i] = K(gelu)(x), slope[i] = K(gelu_slope)(x); }
}
#endif
MAP_KERNEL(map_gelu_sloped, 0)

/* (1 + tanh u) / 2 = sigmoid(2u), u = sqrt(2/pi) (x + 0.044715 x^3) */
#define TWICE_U(x) ((x) * ((REAL)1.5957691216057308 + (REAL)0.07135481627260025 * (x) * (x)))
M1(gelu_tanh, x * K(sigmoid)(TWICE_U(x)))
static inline REAL K(gelu_tanh_slope)(REAL x)
{
    /* far out, where x^2 overflows, s (1 - s) is 0 long since */
    REAL near = x > 40 ? 40 : x < -40 ? -40 : x;
    REAL s = K(sigmoid)(TWICE_U(near));
    return s + near * (s * (1 - s)) * ((REAL)1.5957691216057308 + 3 * (REAL)0.07135481627260025 * near * near);
}
M2(gelu_tanh_backward, dy * K(gelu_tanh_slope)(x))
#undef TWICE_U

M1(silu, x * K(sigmoid)(c0 * x))
static inline REAL K(silu_slope)(REAL x, REAL beta)
{
    REAL s = K(sigmoid)(beta * x);
    return s * (1 + beta * x * (1 - s));
}
M2(silu_backward, dy * K(silu_slope)(x, c0))

/* tanh(log(1 + e^x)) = n / (n + 2) with n = e^x (e^x + 2); from z = e^-|x|, so that nothing overflows */
static inline REAL K(mish_tanh)(REAL x, REAL z)
{
    REAL n = x < 0 ? z * (z + 2) : 1 + 2 * z;
    return n / (n + (x < 0 ? 2 : 2 * z * z));
}
static inline REAL K(mish_slope)(REAL x)
{
    REAL z = K(exp_neg)(x < 0 ? x : -x);
    REAL t = K(mish_tanh)(x, z), s = (x < 0 ? z : 1) / (1 + z);
    return t + x * (1 - t * t) * s;
}
M1(mish, x * K(mish_tanh)(x, K(exp_neg)(x < 0 ? x : -x)))
M2(mish_backward, dy * K(mish_slope)(x))

/* beta, threshold */
M1(softplus, x * c0 > c1 ? x : K(softplus)(x * c0) / c0)
M2(softplus_backward, x * c0 > c1 ? dy : dy * K(sigmoid)(x * c0))

M1(softsign, x / (1 + (x < 0 ? -x : x)))
M2(softsign_backward, dy / ((1 + (x < 0 ? -x : x)) * (1 + (x < 0 ? -x : x))))

#define CUT6(x) ((x) < 0 ? 0 : (x) > 6 ? 6 : (x))
M1(hardsigmoid, CUT6(x + 3) / 6)
M2(hardsigmoid_backward, (x > -3) & (x < 3) ? dy / 6 : 0)
M1(hardswish, x * CUT6(x + 3) / 6)
M2(hardswish_backward, x <= -3 ? 0 : x < 3 ? dy * (x / 3 + (REAL)0.5) : dy)
#undef CUT6

M1(logsigmoid, -K(softplus)(-x))
M2(logsigmoid_backward, dy * K(sigmoid)(-x))
M1(tanhshrink, x - K(tanh)(x))
static inline REAL K(square_of)(REAL x) { return x * x; }
M2(tanhshrink_backward, dy * K(square_of)(K(tanh)(x)))
M1(softshrink, x > c0 ? x - c0 : x < -c0 ? x + c0 : x * 0)
M1(hardshrink, (x >= -c0) & (x <= c0) ? 0 : x)
M2(shrink_backward, (x >= -c0) & (x <= c0) ? 0 : dy)
M1(threshold, x <= c0 ? c1 : x)
M2(threshold_backward, x <= c0 ? 0 : dy)
M1(squared_relu, x < 0 ? 0 : x * x)
M2(squared_relu_backward, x > 0 ? dy * (2 * x) : x == x ? dy * 0 : x)
M1(step, x > 0 ? 1 : x == x ? 0 : x)

/* Gates: y = a f(b). Backward: out1 = dy f(b), out2 = dy a f'(b). */
#define GATE_BACKWARD(name, first, second) MAP_PAIR_BACKWARD(map_##name, first, second)
#define GATE(name, ...) MAP_PAIR(map_##name, REAL, a * (__VA_ARGS__))

GATE_BACKWARD(prelu_backward, a > 0 ? dy : b * dy, a > 0 ? 0 : a * dy)
GATE(glu, K(sigmoid)(b))
GATE_BACKWARD(glu_backward, dy * K(sigmoid)(b), dy * a * K(sigmoid_slope)(b))
GATE(reglu, b < 0 ? 0 : b)
GATE_BACKWARD(reglu_backward, dy * (b < 0 ? 0 : b), b > 0 ? dy * a : 0)
GATE(geglu, K(gelu)(b))
GATE_BACKWARD(geglu_backward, dy * K(gelu)(b), dy * a * K(gelu_slope)(b))
GATE(swiglu, b * K(sigmoid)(b))
GATE_BACKWARD(swiglu_backward, dy * (b * K(sigmoid)(b)), dy * a * K(silu_slope)(b, 1))
#undef M1
#undef M2
#undef GATE
#undef GATE_BACKWARD

#endif
