/* Arithmetic with broadcasting, and sums back over what was broadcast. This file includes
 * itself once per dtype; REAL is the dtype. */
#ifndef REAL

#include "elementwise.h"
#include "vmath.h"
#include "widen.h"

enum { MODULI = 64 }; /* pairs whose remainders are found at a time */

#define REAL float
#define LIBM(name) name##f
#define WORD int32_t
#define K(name) name##_f32
#include "elementwise.c"
#undef REAL
#undef LIBM
#undef WORD
#undef K
#define REAL double
#define LIBM(name) name
#define WORD int64_t
#define K(name) name##_f64
#include "elementwise.c"

#define ENTRY(name)                                                              \
    .name = {{"elementwise/" #name "/f32/" NNRT_STR(NNRT_ISA), name##_f32},      \
             {"elementwise/" #name "/f64/" NNRT_STR(NNRT_ISA), name##_f64}},

const nnrt_elementwise_table NNRT_SYM(elementwise) = {
    NNRT_ELEMENTWISE_MAPS(ENTRY)
    ENTRY(sum_axis)
    ENTRY(sum_partials)
};

#else

/* ---- maps; b, x and so on may be the names in nnrt._ref.elementwise or MAP3's p, q, r ---- */

MAP_PAIR(add, REAL, a + b)
MAP_PAIR(sub, REAL, a - b)
MAP_PAIR(mul, REAL, a * b)
MAP_PAIR_BACKWARD(mul_backward, dy * b, dy * a)
MAP_PAIR(div, REAL, a / b)
MAP_PAIR(axpy, REAL, a + c0 * b)
MAP1(neg, -x)
MAP3(div_backward, -p * ((q / r) / r))

#define IS_F64 (sizeof(REAL) == 8)

/* m = fmod(a, b) for n <= MODULI pairs. Where the quotient is near, a - b trunc(a / b) is exact in one rounding, and
 * the quotient has rounded up to the next integer at worst: the rest's sign tells. */
static void K(moduli)(REAL *restrict m, const REAL *restrict pa, const REAL *restrict pb, int64_t n)
{
    const REAL most = IS_F64 ? (REAL)0x1p51 : (REAL)0x1p22;
    WORD near = NNRT_FUSED;
    for (int64_t i = 0; NNRT_FUSED && i < n; i++) {
        const REAL a = pa[i], b = LIBM(__builtin_fabs)(pb[i]), quotient = LIBM(__builtin_fabs)(a) / b;
        const REAL rest = LIBM(__builtin_fma)(-LIBM(__builtin_floor)(quotient), b, LIBM(__builtin_fabs)(a));
        near &= (quotient < most) & (b < (REAL)INFINITY);
        m[i] = LIBM(__builtin_copysign)(rest < 0 ? rest + b : rest, a);
    }
    for (int64_t i = 0; !near && i < n; i++)
        m[i] = (REAL)fmod(pa[i], pb[i]);
}
/* out[i] = expression of a, b and m = fmod(a, b) */
#define MAP_MODULI(name, ...)                                                     \
    MAP_ROW(name)                                                                 \
    {                                                                             \
        REAL pa[MODULI], pb[MODULI], pm[MODULI];                                  \
        for (int64_t from = 0, count; from < n; from += count) {                  \
            count = n - from < MODULI ? n - from : MODULI;                        \
            for (int64_t i = 0; i < count; i++) {                                 \
                pa[i] = ((const REAL *)d[1])[step[1] ? from + i : 0];             \
                pb[i] = ((const REAL *)d[2])[step[2] ? from + i : 0];             \
            }                                                                     \
            K(moduli)(pm, pa, pb, count);                                         \
            REAL *out = (REAL *)d[0] + from;                                      \
            for (int64_t i = 0; i < count; i++) {                                 \
                const REAL a = pa[i], b = pb[i], m = pm[i];                       \
                (void)a, (void)b;                                                 \
                out[i] = (__VA_ARGS__);                                           \
            }                                                                     \
        }                                                                         \
    }                                                                             \
    MAP_KERNEL(name, MAP_REPEATS)

/* Python's, of b's sign: floor(a / b) comes from it, so that both agree. */
#define TURNS(b, m) ((m != 0) & ((b < 0) != (m < 0)))
INLINE REAL K(floored)(REAL a, REAL b, REAL m)
{
    REAL quotient = (a - m) / b;
    quotient = TURNS(b, m) ? quotient - 1 : quotient;
    const REAL whole = LIBM(__builtin_floor)(quotient);
    const REAL nearest = quotient - whole > (REAL)0.5 ? whole + 1 : whole;
    const REAL y = quotient == 0 ? LIBM(__builtin_copysign)(0, a / b) : nearest;
    return b == 0 ? a / b : y;
}
MAP_MODULI(floor_divide, K(floored)(a, b, m))
MAP_PAIR(trunc_divide, REAL, (REAL)__builtin_trunc(a / b))
MAP_MODULI(remainder, m == 0 ? LIBM(__builtin_copysign)(0, b) : TURNS(b, m) ? m + b : m)
MAP_MODULI(fmod, m)

/* a^b. For float by double's exp and log, which leaves no error to see, with the cases of
 * C99's pow: the sign of negative bases, 1^b = a^0 = 1. */
INLINE REAL K(power)(REAL a, REAL b)
{
    if (IS_F64)
        return (REAL)pow(a, b);
    double base = a, x = __builtin_fabs(base), y = b, half = 0.5 * y;
    double r = exp_f64(y * log_f64(x)); /* NaN for 1^inf and 0 * inf */
    r = x == 1 ? 1 : r;
    double fractional = y - __builtin_floor(y); /* NaN for infinities, which count as even */
    r = base < 0 ? (fractional > 0 ? (x == INFINITY ? r : NAN) : r) : r;
    double odd = half - __builtin_floor(half);
    r = odd == 0.5 ? __builtin_copysign(r, base) : r;
    r = base != base ? base : r;
    r = y != y ? y : r;
    r = base == 1 ? 1 : r;
    r = y == 0 ? 1 : r;
    return (REAL)r;
}
/* a^b for one b: the common exponents without exp and log. a + 0 makes -0 a 0, as pow does. */
static void K(power_row)(REAL *out, const REAL *pa, REAL b, int64_t n)
{
#define EACH(...) MAP_LOOP { const REAL a = pa[i]; out[i] = (__VA_ARGS__); }
    if (b == 1)
        EACH(a)
    else if (b == 2)
        EACH(a * a)
    else if (b == 3)
        EACH(a * a * a)
    else if (b == (REAL)0.5)
        EACH(a == -(REAL)INFINITY ? (REAL)INFINITY : LIBM(__builtin_sqrt)(a + 0))
    else if (b == (REAL)1.5)
        EACH(a == -(REAL)INFINITY ? (REAL)INFINITY : (a + 0) * LIBM(__builtin_sqrt)(a + 0))
    else if (b == (REAL)-0.5)
        EACH(a == -(REAL)INFINITY ? 0 : 1 / LIBM(__builtin_sqrt)(a + 0))
    else if (b == -1)
        EACH(1 / a)
    else if (b == -2)
        EACH(1 / (a * a))
    else
        EACH(K(power)(a, b))
#undef EACH
}
MAP_ROW(pow)
{
    REAL *out = (REAL *)d[0];
    const REAL *pa = (const REAL *)d[1], *pb = (const REAL *)d[2];
    if (step[2] == 0) {
        K(power_row)(out, pa, *pb, n);
    } else if (step[1] == 0) {
        const REAL a = *pa;
        MAP_LOOP out[i] = K(power)(a, pb[i]);
    } else
        MAP_LOOP out[i] = K(power)(pa[i], pb[i]);
}
MAP_KERNEL(pow, MAP_REPEATS)
MAP3(pow_backward, r == 0 ? 0 : p * (r * K(power)(q, r - 1)))
MAP_ROW(pow_backward_number)
{
    const REAL b = (REAL)c[0], *dy = (const REAL *)d[1];
    REAL *out = (REAL *)d[0];
    K(power_row)(out, (const REAL *)d[2], (REAL)(c[0] - 1), n);
    MAP_LOOP out[i] = dy[i] * (b * out[i]);
}
MAP_KERNEL(pow_backward_number, 0)
MAP4(pow_backward_exponent, (q == 0) & (r >= 0) ? 0 : p * (t * K(log)(q)))

MAP_PAIR(maximum, REAL, (a >= b) | (a != a) ? a : b)
MAP_PAIR(minimum, REAL, (a <= b) | (a != a) ? a : b)
MAP3(maximum_backward, q == r ? p / 2 : q < r ? 0 : p)
MAP3(minimum_backward, q == r ? p / 2 : q > r ? 0 : p)
MAP_PAIR(fmax, REAL, (a >= b) | (b != b) ? a : b)
MAP_PAIR(fmin, REAL, (a <= b) | (b != b) ? a : b)
/* The angle within the first octant is atan of a quotient below 1; atan is the polynomial of
 * vmath.h, once more reduced by pi/4 above tan(pi/8). */
INLINE REAL K(angle)(REAL y, REAL x)
{
    REAL ay = y < 0 ? -y : y, ax = x < 0 ? -x : x;
    int steep = ay > ax;
    REAL low = steep ? ax : ay, high = steep ? ay : ax;
    int mid = (low > (REAL)0.41421356237309503 * high) | (low == (REAL)INFINITY);
    REAL r = (mid ? low - high : low) / (mid ? low + high : high);
    r = (low == high) ? 0 : r; /* also 0 / 0 and inf / inf */
    REAL z = r * r;
    REAL v = r + r * z * K(atan_poly)(z);
    v = mid ? (REAL)0.78539816339744831 + v : v;
    v = steep ? (REAL)1.5707963267948966 - v : v;
    int left = LIBM(__builtin_copysign)(1, x) < 0;
    v = left ? (REAL)3.1415926535897931 - v : v;
    v = (x != x) | (y != y) ? x + y : v;
    return LIBM(__builtin_copysign)(v, y);
}
MAP_PAIR(atan2, REAL, K(angle)(a, b))
MAP3(atan2_backward, q * q + r * r == 0 ? 0 : p * r / (q * q + r * r))
INLINE REAL K(length)(REAL a, REAL b)
{
    if (IS_F64)
        return (REAL)hypot(a, b);
    REAL r = (REAL)__builtin_sqrt((double)a * a + (double)b * b);
    REAL x = a < 0 ? -a : a, y = b < 0 ? -b : b;
    return (x == (REAL)INFINITY) | (y == (REAL)INFINITY) ? (REAL)INFINITY : r;
}
MAP_PAIR(hypot, REAL, K(length)(a, b))
MAP3(hypot_backward, p * (q / r))
MAP_PAIR(copysign, REAL, LIBM(__builtin_copysign)(a, b))

/* By whole numbers in the order of the reals, -0 being -1: comparisons of reals take what is denormal for 0. */
INLINE REAL K(next)(REAL a, REAL b)
{
    enum { SIGN = 8 * sizeof(REAL) - 1 };
    const WORD most = (WORD)(((uint64_t)1 << SIGN) - 1), i = (WORD)K(bits)(a), j = (WORD)K(bits)(b);
    const WORD from = i ^ (i >> SIGN & most), to = j ^ (j >> SIGN & most);
    const WORD start = from == -1 ? 0 : from, end = to == -1 ? 0 : to, up = start < end;
    const WORD next = from + ((from == -1) & up) - ((from == 0) & !up) + (up ? 1 : -1);
    const REAL y = K(real)(next ^ (next >> SIGN & most));
    const REAL same = (a != a) | (b != b) ? a + b : b;
    return (a != a) | (b != b) | (start == end) ? same : y;
}
MAP_PAIR(nextafter, REAL, K(next)(a, b))

INLINE REAL K(logaddexp_of)(REAL a, REAL b)
{
    REAL top = a > b ? a : b, difference = a - b;
    REAL y = top + K(log1p)(K(exp_neg)(difference > 0 ? -difference : difference));
    y = a == b ? a + (REAL)0.69314718055994531 : y; /* infinities too */
    return (a != a) | (b != b) ? a + b : y;
}
MAP_PAIR(logaddexp, REAL, K(logaddexp_of)(a, b))
MAP3(logaddexp_backward, p / (1 + (q == r ? 1 : K(exp)(r - q))))
MAP_PAIR(xlogy, REAL, b != b ? b : a == 0 ? 0 : a * K(log)(b))
MAP3(xlogy_backward, (q == 0) & (r <= 0) ? 0 : p * K(log)(r))
INLINE REAL K(cut)(REAL x, REAL lo, REAL hi)
{
    REAL y = x < lo ? lo : x;
    return y > hi ? hi : y;
}
MAP3(lerp, (r < (REAL)0.5) & (r > (REAL)-0.5) ? p + r * (q - p) : q - (q - p) * (1 - r))
MAP3(addcmul, p + c0 * q * r)
MAP3(addcdiv, p + c0 * q / r)

MAP1(clamp_numbers, K(cut)(x, c0, c1))

INLINE REAL K(clamped)(REAL x, REAL lo, REAL hi)
{
    REAL y = (x < lo) | (lo != lo) ? lo : x;
    return (y > hi) | (hi != hi) ? (x == x && lo == lo) ? hi : y : y;
}
MAP3(clamp, K(clamped)(p, q, r))
MAP4(clamp_backward, (q >= r) & (q <= t) ? p : 0)

MAP_ROW(where)
{
    REAL *out = (REAL *)d[0];
    const uint8_t *condition = (const uint8_t *)d[1];
    const REAL *a = (const REAL *)d[2], *b = (const REAL *)d[3];
    MAP_LOOP out[i] = condition[i] ? a[i] : b[i];
}
MAP_KERNEL(where, 0)

/* ---- sums ---- */

#define AT(p, k) (*(const K(load) *)(p + i + k * LANES))
#define ADD(k) s##k += product ? K(widen)(AT(x, k) * AT(z, k)) : K(widen)(AT(x, k))

/* Sum of n contiguous elements, or of their products with z: some running sums per 2048 elements,
 * then those one by one. */
__attribute__((always_inline)) static inline double K(sum_row_of)(const REAL *x, const REAL *z, int64_t n, int product)
{
    double total = 0;
    while (n > 0) {
        int64_t m = n < 2048 ? n : 2048, i = 0;
        double rest = 0;
        vec s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0}, s4 = {0}, s5 = {0}, s6 = {0}, s7 = {0};
        for (; i + 8 * LANES <= m; i += 8 * LANES) {
            ADD(0), ADD(1), ADD(2), ADD(3), ADD(4), ADD(5), ADD(6), ADD(7);
        }
        for (; i < m; i++)
            rest += product ? x[i] * z[i] : x[i];
        vec s = ((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7));
        for (int k = 0; k < LANES; k++)
            rest += s[k];
        total += rest;
        x += m;
        z += product ? m : 0;
        n -= m;
    }
    return total;
}
static double K(sum_row)(const REAL *x, const REAL *z, int64_t n)
{
    return z ? K(sum_row_of)(x, z, n, 1) : K(sum_row_of)(x, x, n, 0);
}

/* columns[c] = sum over rows of x[row, c] (times z[row, c]), m columns; 64 rows at a time. */
__attribute__((always_inline)) static inline void K(sum_columns_of)(double *columns, const REAL *x, const REAL *z,
                                                                    int64_t rows, int64_t stride, int64_t m,
                                                                    int product)
{
    double some[NNRT_SUM_COLUMNS];
    memset(columns, 0, (size_t)m * sizeof *columns);
    for (int64_t r = 0; r < rows; r += 64) {
        int64_t last = r + 64 < rows ? r + 64 : rows;
        for (int64_t i = 0; i < m; i++)
            some[i] = product ? x[r * stride + i] * z[r * stride + i] : x[r * stride + i];
        for (int64_t k = r + 1; k < last; k++)
            for (int64_t i = 0; i < m; i++)
                some[i] += product ? x[k * stride + i] * z[k * stride + i] : x[k * stride + i];
        for (int64_t i = 0; i < m; i++)
            columns[i] += some[i];
    }
}

static void K(sum_columns)(double *columns, const REAL *x, const REAL *z, int64_t rows, int64_t stride, int64_t m)
{
    if (z)
        K(sum_columns_of)(columns, x, z, rows, stride, m, 1);
    else
        K(sum_columns_of)(columns, x, x, rows, stride, m, 0);
}

static void K(sum_axis)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    const nnrt_sum_args *p = args;
    double columns[NNRT_SUM_COLUMNS];
    int64_t items = p->outer * p->pieces * p->blocks, stop = end * p->group < items ? end * p->group : items;
    for (int64_t t = begin * p->group; t < stop; t++) {
        int64_t block = t % p->blocks, piece = t / p->blocks % p->pieces, o = t / p->blocks / p->pieces;
        int64_t first = piece * p->piece, column = block * NNRT_SUM_COLUMNS;
        int64_t length = p->length - first < p->piece ? p->length - first : p->piece;
        int64_t m = p->inner - column < NNRT_SUM_COLUMNS ? p->inner - column : NNRT_SUM_COLUMNS;
        int64_t at = (o * p->pieces + piece) * p->inner + column;
        int64_t from = (o * p->length + first) * p->inner + column;
        const REAL *x = (const REAL *)p->x + from, *z = p->z ? (const REAL *)p->z + from : NULL;
        if (p->inner == 1)
            columns[0] = K(sum_row)(x, z, length);
        else
            K(sum_columns)(columns, x, z, length, p->inner, m);
        for (int64_t i = 0; i < m; i++)
            if (p->partial)
                ((double *)p->out)[at + i] = columns[i];
            else
                ((REAL *)p->out)[at + i] = (REAL)columns[i];
    }
}

#undef AT
#undef ADD

/* out[o, c] = sum over the pieces of the partial sums x[o, piece, c]; one task per o */
static void K(sum_partials)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    const nnrt_sum_args *p = args;
    for (int64_t o = begin; o < end; o++)
        for (int64_t i = 0; i < p->inner; i++) {
            const double *x = (const double *)p->x + o * p->pieces * p->inner + i;
            double total = 0;
            for (int64_t k = 0; k < p->pieces; k++)
                total += x[k * p->inner];
            ((REAL *)p->out)[o * p->inner + i] = (REAL)total;
        }
}

#endif
