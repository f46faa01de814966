/* Vectors of REAL at the level being compiled, and the register tile that fits its
 * register file. Included once per dtype, with REAL and K(name) defined. */

#ifndef VBYTES
#if defined(__AVX512F__)
#include <immintrin.h>
#define VBYTES 64
#define MR 14 /* 14 x 2 accumulators + 2 of b + 1 broadcast: 31 of 32 registers */
#define A_STEP 16
#define DEPTH_BYTES 4096 /* 128 B of b + 64 B of a per k come from L2 as fast as from L1 */
#elif defined(__AVX2__)
#include <immintrin.h>
#define VBYTES 32
#define MR 6 /* 6 x 2 + 2 + 1: 15 of 16 */
#define A_STEP 8
#define DEPTH_BYTES 4096 /* 64 B of b + 32 B of a per k come from L2 as fast as from L1 */
#elif defined(__aarch64__)
#define VBYTES 16
#define MR 8 /* 8 x 2 + 2 + 8 */
#define A_STEP 8
#define DEPTH_BYTES 1024
#else
#define VBYTES 16
#define MR 6
#define A_STEP 8
#define DEPTH_BYTES 1024
#endif
/* Whether whole tiles of so many rows or more sum nnrt_more: what an LSTM of 16
 * sequences or more cuts its rows into. */
#define JOINS(rows) (VBYTES == 64 && sizeof(REAL) == 4 && (rows) >= 7)
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define CEIL(a, b) (((a) + (b)-1) / (b))
/* First row of tile t: m rows in CEIL(m, MR) tiles whose heights differ by one at most. */
static inline int64_t gemm_row(int64_t m, int64_t t) { return t * m / CEIL(m, MR); }
/* Row i of a tile and where its element of a lies: three rows to a pointer, so that every
 * address is [pointer], [pointer + stride] or [pointer + 2 stride]. */
#define EACH_ROW(X)                                                                                     \
    X(0, a0, 0) X(1, a0, 1) X(2, a0, 2) X(3, a3, 0) X(4, a3, 1) X(5, a3, 2) X(6, a6, 0) X(7, a6, 1)     \
    X(8, a6, 2) X(9, a9, 0) X(10, a9, 1) X(11, a9, 2) X(12, a12, 0) X(13, a12, 1)
#endif

#define VL ((int64_t)(VBYTES / sizeof(REAL)))
#define NR (2 * VL)

typedef REAL K(vec) __attribute__((vector_size(VBYTES)));
/* The same at any address; never a value's type, only a pointer's target. */
typedef REAL K(loose) __attribute__((vector_size(VBYTES), aligned(sizeof(REAL)), may_alias));
/* 16 bytes: the unit of transposition, the same at every level. */
typedef REAL K(quad) __attribute__((vector_size(16)));
typedef REAL K(loose_quad) __attribute__((vector_size(16), aligned(sizeof(REAL)), may_alias));

INLINE K(vec) K(load)(const REAL *p) { return *(const K(loose) *)p; }
INLINE void K(store)(REAL *p, K(vec) v) { *(K(loose) *)p = v; }
INLINE K(vec) K(splat)(REAL x) { return x - (K(vec)){0}; }
/* sum + a b. In loops of many sums gcc otherwise lets results take a's register and moves or spills sums. */
INLINE K(vec) K(add_product)(K(vec) sum, K(vec) a, K(vec) b)
{
#if defined(__FMA__) && VBYTES == 32
    if (sizeof(REAL) == 4)
        __asm__("vfmadd231ps %2, %1, %0" : "+x"(sum) : "x"(a), "x"(b));
    else
        __asm__("vfmadd231pd %2, %1, %0" : "+x"(sum) : "x"(a), "x"(b));
    return sum;
#else
    return sum + a * b;
#endif
}

/* The first n lanes of a vector, 1 <= n <= VL: memory behind them is not touched. */
#if defined(__AVX512F__)
typedef __mmask16 K(mask);
INLINE K(mask) K(lanes)(int64_t n) { return (K(mask))((1u << n) - 1); }
INLINE K(vec) K(load_lanes)(const REAL *p, K(mask) m)
{
    return sizeof(REAL) == 4 ? (K(vec))_mm512_maskz_loadu_ps(m, p) : (K(vec))_mm512_maskz_loadu_pd((__mmask8)m, p);
}
INLINE void K(store_lanes)(REAL *p, K(mask) m, K(vec) v)
{
    if (sizeof(REAL) == 4)
        _mm512_mask_storeu_ps(p, m, (__m512)v);
    else
        _mm512_mask_storeu_pd(p, (__mmask8)m, (__m512d)v);
}
#elif defined(__AVX2__)
typedef __m256i K(mask);
INLINE K(mask) K(lanes)(int64_t n)
{
    static const int32_t ones[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
    return _mm256_loadu_si256((const __m256i *)(ones + 8 - n * (int64_t)(sizeof(REAL) / 4)));
}
INLINE K(vec) K(load_lanes)(const REAL *p, K(mask) m)
{
    return sizeof(REAL) == 4 ? (K(vec))_mm256_maskload_ps((const float *)p, m)
                             : (K(vec))_mm256_maskload_pd((const double *)p, m);
}
INLINE void K(store_lanes)(REAL *p, K(mask) m, K(vec) v)
{
    if (sizeof(REAL) == 4)
        _mm256_maskstore_ps((float *)p, m, (__m256)v);
    else
        _mm256_maskstore_pd((double *)p, m, (__m256d)v);
}
#else
typedef int64_t K(mask);
INLINE K(mask) K(lanes)(int64_t n) { return n; }
INLINE K(vec) K(load_lanes)(const REAL *p, K(mask) n)
{
    K(vec) v = {0};
    for (int64_t i = 0; i < n; i++)
        v[i] = p[i];
    return v;
}
INLINE void K(store_lanes)(REAL *p, K(mask) n, K(vec) v)
{
    for (int64_t i = 0; i < n; i++)
        p[i] = v[i];
}
#endif

/* The first n lanes, or all of them where n is more. */
INLINE K(vec) K(load_some)(const REAL *p, int64_t n)
{
    return n < VL ? K(load_lanes)(p, K(lanes)(n)) : K(load)(p);
}
INLINE void K(store_some)(REAL *p, int64_t n, K(vec) v)
{
    if (n < VL)
        K(store_lanes)(p, K(lanes)(n), v);
    else
        K(store)(p, v);
}

/* max(v, 0) that keeps NaN. */
INLINE K(vec) K(relu_vec)(K(vec) v)
{
    typedef __typeof__(v < v) bits;
    return (K(vec))((bits)v & ~(v < (K(vec)){0}));
}

/* Sum of the lanes, always in the same order: halves, then quarters, ... */
INLINE REAL K(sum_lanes)(K(vec) v)
{
    K(quad) *part = (K(quad) *)&v, q = part[0];
#if VBYTES == 64
    q = (part[0] + part[2]) + (part[1] + part[3]);
#elif VBYTES == 32
    q = part[0] + part[1];
#endif
    return sizeof(REAL) == 4 ? (q[0] + q[2 % (16 / sizeof(REAL))]) + (q[1] + q[3 % (16 / sizeof(REAL))]) : q[0] + q[1];
}
