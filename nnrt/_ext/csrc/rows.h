/* Reductions over n consecutive elements, for the kernels that work row by row.
 * Included once per dtype, with REAL and K(name) defined. Its macros stay: they read the same for each.
 *
 * Vectors of 32 bytes on every instruction set, so that the order of the additions,
 * and with it the result, is the same on all of them. Sums run over RUN elements in
 * REAL and over the runs in double: the error grows with RUN / 64 additions, not with n. */

#ifndef NNRT_ROWS_H
#define NNRT_ROWS_H
#if defined(__AVX__)
#include <immintrin.h>
#endif
enum { RUN = 8192, VECTOR = 32 };
#endif

typedef REAL K(vec) __attribute__((vector_size(VECTOR), aligned(sizeof(REAL)), may_alias));
typedef __typeof__((K(vec)){0} < (K(vec)){0}) K(mask);

#define LANES ((int64_t)(VECTOR / sizeof(REAL)))

INLINE K(vec) K(load)(const REAL *x) { return *(const K(vec) *)x; }
INLINE K(vec) K(pick)(K(mask) m, K(vec) a, K(vec) b)
{
    return (K(vec))((m & (K(mask))a) | (~m & (K(mask))b));
}
INLINE K(vec) K(vabs)(K(vec) v) { return (K(vec))((K(mask))v & ~(K(mask))-(K(vec)){0}); }

/* The lanes as a tree: 8 in float, 4 in double. */
#define TREE(F, v)                                                                \
    (LANES == 4 ? F(F(v[0], v[2]), F(v[1], v[3]))                                 \
                : F(F(F(v[0], v[4 % LANES]), F(v[2], v[6 % LANES])),              \
                    F(F(v[1], v[5 % LANES]), F(v[3], v[7 % LANES]))))
#define PLUS(a, b) ((a) + (b))
INLINE REAL K(total)(K(vec) v) { return TREE(PLUS, v); }

/* Σ f over a row x and, where f uses w, a second row z (else z is x again). TERM is f of
 * vectors v and w, ONE of single values; both may use m, one value for the whole row. */
#define ROW_SUM(name, TERM, ONE)                                                  \
    INLINE K(vec) K(name##_v)(K(vec) v, K(vec) w, REAL m)                         \
    {                                                                             \
        (void)w, (void)m;                                                         \
        return TERM;                                                              \
    }                                                                             \
    INLINE REAL K(name##_f)(REAL v, REAL w, REAL m)                               \
    {                                                                             \
        (void)w, (void)m;                                                         \
        return ONE;                                                               \
    }                                                                             \
    static double K(name##_row)(const REAL *x, const REAL *z, int64_t n, REAL m)  \
    {                                                                             \
        double sum = 0;                                                           \
        int64_t i = 0;                                                            \
        while (n - i >= LANES) {                                                  \
            K(vec) a = {0}, b = a, c = a, d = a, e = a, f = a, g = a, h = a;      \
            int64_t stop = n - i < RUN ? n : i + RUN;                             \
            for (; i + 8 * LANES <= stop; i += 8 * LANES) {                       \
                a += AT(name, 0);                                                 \
                b += AT(name, 1);                                                 \
                c += AT(name, 2);                                                 \
                d += AT(name, 3);                                                 \
                e += AT(name, 4);                                                 \
                f += AT(name, 5);                                                 \
                g += AT(name, 6);                                                 \
                h += AT(name, 7);                                                 \
            }                                                                     \
            for (; i + LANES <= stop; i += LANES)                                 \
                a += AT(name, 0);                                                 \
            sum += K(total)(((a + b) + (c + d)) + ((e + f) + (g + h)));           \
        }                                                                         \
        for (; i < n; i++)                                                        \
            sum += K(name##_f)(x[i], z[i], m);                                    \
        return sum;                                                               \
    }
#define AT(name, k) K(name##_v)(K(load)(x + i + k * LANES), K(load)(z + i + k * LANES), m)

/* Lane by lane the larger or the smaller of v and m; m where one is NaN. */
#if defined(__AVX__)
#define LANES_BEST(name, OP)                                                      \
    INLINE K(vec) K(name)(K(vec) v, K(vec) m)                                     \
    {                                                                             \
        return sizeof(REAL) == 4 ? (K(vec))_mm256_##name##_ps((__m256)v, (__m256)m) \
                                 : (K(vec))_mm256_##name##_pd((__m256d)v, (__m256d)m); \
    }
#else
#define LANES_BEST(name, OP) INLINE K(vec) K(name)(K(vec) v, K(vec) m) { return K(pick)(v OP m, v, m); }
#endif

/* The largest or smallest element of a row, read in four places far apart at once where FAR. Sums show whether
 * there may be a NaN, which wins: then the elements are looked at one by one. */
#define ROW_BEST(name, START, BEST, OP, FAR)                                      \
    LANES_BEST(BEST, OP)                                                          \
    INLINE REAL K(name##_of)(REAL v, REAL m) { return v OP m ? v : m; }           \
    INLINE REAL K(name##_f)(REAL v, REAL m) { return (v OP m) | (v != v) ? v : m; } \
    static REAL K(name##_row)(const REAL *x, int64_t n)                           \
    {                                                                             \
        REAL best = START;                                                        \
        K(vec) a = (K(vec)){0} + best, b = a, c = a, d = a, e = {0}, f = e, g = e, h = e; \
        int64_t i = 0;                                                            \
        if (FAR) {                                                                \
            const int64_t far = n / (4 * LANES) * LANES;                          \
            for (; i < far; i += LANES)                                           \
                BEST_FOUR(BEST, far);                                             \
            i = 4 * far;                                                          \
        }                                                                         \
        for (; i + 4 * LANES <= n; i += 4 * LANES)                                \
            BEST_FOUR(BEST, LANES);                                               \
        for (; i + LANES <= n; i += LANES)                                        \
            BEST_AT(BEST, a, e, x, 0);                                               \
        a = K(BEST)(K(BEST)(a, b), K(BEST)(c, d));                                \
        e = (e + f) + (g + h);                                                    \
        REAL sum = K(total)(e);                                                   \
        if (sum != sum)                                                           \
            i = 0;                                                                \
        else                                                                      \
            best = TREE(K(name##_of), a);                                         \
        for (; i < n; i++)                                                        \
            best = K(name##_f)(x[i], best);                                       \
        return best;                                                              \
    }
#define BEST_AT(BEST, m, sum, x, at) (m = K(BEST)(K(load)(x + i + (at)), m), sum += K(load)(x + i + (at)))
#define BEST_FOUR(BEST, far)                                                      \
    (BEST_AT(BEST, a, e, x, 0), BEST_AT(BEST, b, f, x, far), BEST_AT(BEST, c, g, x, 2 * (far)), \
     BEST_AT(BEST, d, h, x, 3 * (far)))
