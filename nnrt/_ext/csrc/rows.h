/* Reductions over n consecutive elements, for the kernels that work row by row.
 * Included once per dtype, with REAL and K(name) defined.
 *
 * Vectors of 32 bytes on every instruction set, so that the order of the additions,
 * and with it the result, is the same on all of them. Sums run over RUN elements in
 * REAL and over the runs in double: the error grows with RUN / 64 additions, not with n. */

#ifndef NNRT_ROWS_H
#define NNRT_ROWS_H
enum { RUN = 8192, VECTOR = 32 };
#define INLINE static inline __attribute__((always_inline))
#endif

typedef REAL K(vec) __attribute__((vector_size(VECTOR), aligned(sizeof(REAL)), may_alias));
typedef __typeof__((K(vec)){0} < (K(vec)){0}) K(mask);

#define LANES ((int64_t)(VECTOR / sizeof(REAL)))

INLINE K(vec) K(load)(const REAL *x) { return *(const K(vec) *)x; }
INLINE K(vec) K(pick)(K(mask) m, K(vec) a, K(vec) b)
{
    return (K(vec))((m & (K(mask))a) | (~m & (K(mask))b));
}
INLINE K(vec) K(vabs)(K(vec) v) { return K(pick)(v < 0, -v, v); }

/* The lanes as a tree: 8 in float, 4 in double. */
INLINE REAL K(total)(K(vec) v)
{
    if (LANES == 4)
        return (v[0] + v[2]) + (v[1] + v[3]);
    return ((v[0] + v[4 % LANES]) + (v[2] + v[6 % LANES])) + ((v[1] + v[5 % LANES]) + (v[3] + v[7 % LANES]));
}

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

/* The element of a row that beats the others: BETTER of v and the best m so far, for vectors and values. */
#define ROW_BEST(name, START, BETTER)                                             \
    INLINE K(vec) K(name##_v)(K(vec) v, K(vec) m) { return K(pick)(BETTER, v, m); } \
    INLINE REAL K(name##_f)(REAL v, REAL m) { return (BETTER) ? v : m; }          \
    static REAL K(name##_row)(const REAL *x, int64_t n)                           \
    {                                                                             \
        REAL best = START;                                                        \
        int64_t i = 0;                                                            \
        if (n >= LANES) {                                                         \
            K(vec) a = K(load)(x), b = a, c = a, d = a;                           \
            for (; i + 4 * LANES <= n; i += 4 * LANES) {                          \
                a = K(name##_v)(K(load)(x + i), a);                               \
                b = K(name##_v)(K(load)(x + i + LANES), b);                       \
                c = K(name##_v)(K(load)(x + i + 2 * LANES), c);                   \
                d = K(name##_v)(K(load)(x + i + 3 * LANES), d);                   \
            }                                                                     \
            for (; i + LANES <= n; i += LANES)                                    \
                a = K(name##_v)(K(load)(x + i), a);                               \
            a = K(name##_v)(K(name##_v)(a, b), K(name##_v)(c, d));                \
            for (int j = 0; j < LANES; j++)                                       \
                best = K(name##_f)(a[j], best);                                   \
        }                                                                         \
        for (; i < n; i++)                                                        \
            best = K(name##_f)(x[i], best);                                       \
        return best;                                                              \
    }
