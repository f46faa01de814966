/* Philox4x32-10; the streams are those of nnrt/_ref/random.py. This file includes
 * itself once per dtype; REAL is the dtype. */
#ifndef REAL

#include "philox.h"
#include "random.h"

#include <math.h>

enum {
    LANES = PHILOX_LANES,
    PIECE = 64, /* blocks per call of blocks(): their words are 1 KiB of stack */
};

/* words[4 i ..] = block (first + i) of a stream, i < count <= PIECE, count rounded up to
 * whole LANES; indices wrap at 2^bits. */
static void blocks(uint32_t *words, uint64_t seed, uint32_t stream, uint64_t first, int64_t count, int bits)
{
    for (int at = 0; at < count; at += LANES) {
        uint32_t c0[LANES], c1[LANES], c2[LANES], c3[LANES];
        for (int i = 0; i < LANES; i++) {
            uint64_t block = (first + (uint64_t)(at + i)) & (((uint64_t)1 << bits) - 1);
            c0[i] = (uint32_t)block;
            c1[i] = (uint32_t)(block >> 32);
            c2[i] = stream;
            c3[i] = 0;
        }
        philox(c0, c1, c2, c3, seed);
        uint32_t *to = words + 4 * at;
        for (int i = 0; i < LANES; i++) {
            to[4 * i] = c0[i];
            to[4 * i + 1] = c1[i];
            to[4 * i + 2] = c2[i];
            to[4 * i + 3] = c3[i];
        }
    }
}

static uint64_t pair(const uint32_t *w) { return w[0] | (uint64_t)w[1] << 32; }

/* Runs STATEMENT with the words of up to PIECE blocks at a time: out index i, `count`
 * elements, the first of them at element `skip` of `words`. PER: elements in a block. */
#define PIECES(PER, STREAM, BITS, ...)                                                       \
    int64_t stop = end * NNRT_RANDOM_CHUNK < p->n ? end * NNRT_RANDOM_CHUNK : p->n;          \
    uint32_t words[4 * PIECE] __attribute__((aligned(64)));                                  \
    for (int64_t i = begin * NNRT_RANDOM_CHUNK, count; i < stop; i += count) {               \
        uint64_t e = p->offset + (uint64_t)i;                                                \
        int64_t skip = (int64_t)(e % PER);                                                   \
        count = PER * PIECE - skip < stop - i ? PER * PIECE - skip : stop - i;               \
        blocks(words, p->seed, STREAM, e / PER, (skip + count + PER - 1) / PER, BITS);       \
        __VA_ARGS__                                                                          \
    }
#define WORDS(...) PIECES(4, 0, 62, const uint32_t *w = words + skip; __VA_ARGS__)
#define DOUBLES(...) PIECES(2, 1, 63, const uint32_t *w = words + 2 * skip; __VA_ARGS__)

/* z[0], z[1] from u in (0, 1] and v in [0, 1). */
static void box_muller_f64(double *z, double u, double v)
{
    double r = sqrt(-2 * log(u)), angle = 6.283185307179586476925 * v;
    z[0] = r * cos(angle);
    z[1] = r * sin(angle);
}

/* The same without branches or calls, so that the loop around it is vectorised. */
static inline void box_muller_f32(float *z, float u, float v)
{
    /* u = m 2^e with m in [sqrt(1/2), sqrt(2)); log m = 2 atanh(s), s = (m - 1) / (m + 1),
     * whose series up to s^9 is below 2e-9 off. */
    union { float f; int32_t i; } m = {u};
    int32_t e = (m.i - 0x3f3504f3) >> 23;
    m.i -= (int32_t)((uint32_t)e << 23);
    float s = (m.f - 1) / (m.f + 1), t = s * s;
    float log_m = 2 * s + 2 * s * t * (1 / 3.0f + t * (1 / 5.0f + t * (1 / 7.0f + t * (1 / 9.0f))));
    float log_u = (float)e * 0.693359375f + (log_m - (float)e * 2.12194440e-4f);
    float r = sqrtf(-2 * log_u);

    /* angle = q pi/2 + x, |x| <= pi/4; pi/2 = 1.5703125 + 4.838...e-4, the first with few bits. */
    float angle = 6.283185307179586476925f * v;
    int32_t q = (int32_t)(angle * 0.636619772f + 0.5f);
    float x = (angle - (float)q * 1.5703125f) - (float)q * 4.83826794897e-4f, y = x * x;
    float sin_x = x + x * y * (-1 / 6.0f + y * (1 / 120.0f + y * (-1 / 5040.0f + y * (1 / 362880.0f))));
    float cos_x = 1 - y * (1 / 2.0f - y * (1 / 24.0f - y * (1 / 720.0f - y * (1 / 40320.0f - y / 3628800.0f))));
    float c = q & 1 ? sin_x : cos_x, d = q & 1 ? cos_x : sin_x;
    z[0] = (q + 1) & 2 ? -r * c : r * c;
    z[1] = q & 2 ? -r * d : r * d;
}

static void integers(const void *args, int64_t begin, int64_t end, void *scratch)
{
    const nnrt_random_args *p = args;
    int64_t *out = p->out;
    DOUBLES(for (int64_t j = 0; j < count; j++)
                out[i + j] = (int64_t)((uint64_t)p->low
                                       + (uint64_t)((unsigned __int128)pair(w + 2 * j) * p->span >> 64));)
}

/* One task: each exchange needs the ones before it. */
static void permutation(const void *args, int64_t begin, int64_t end, void *scratch)
{
    const nnrt_random_args *p = args;
    int64_t *restrict out = p->out;
    const double *restrict u = p->x;
    for (int64_t i = 0; i < p->n; i++) {
        const int64_t at = (int64_t)(u[i] * (double)(i + 1));
        out[i] = out[at];
        out[at] = i;
    }
}

#define EACH_DTYPE "random.c"
#include "each_dtype.h"

#define ENTRY(name)                                                        \
    .name = {{"random/" #name "/f32/" NNRT_STR(NNRT_ISA), name##_f32},     \
             {"random/" #name "/f64/" NNRT_STR(NNRT_ISA), name##_f64}}

const nnrt_random_table NNRT_SYM(random) = {
    ENTRY(uniform),         ENTRY(normal),           ENTRY(bernoulli),
    ENTRY(dropout_forward), ENTRY(dropout_backward),
    .integers = {{"random/integers/i64/" NNRT_STR(NNRT_ISA), integers}},
    .permutation = {{"random/permutation/i64/" NNRT_STR(NNRT_ISA), permutation}},
};

#else

static void K(uniform)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    const nnrt_random_args *p = args;
    REAL *out = p->out;
#if REAL_BYTES == 8
    DOUBLES(for (int64_t j = 0; j < count; j++)
                out[i + j] = (double)(int64_t)(pair(w + 2 * j) >> 11) * 0x1p-53;)
#else
    /* Through int32: AVX2 converts that in one instruction, uint32 in several. */
    WORDS(for (int64_t j = 0; j < count; j++) out[i + j] = (float)(int32_t)(w[j] >> 8) * 0x1p-24f;)
#endif
}

static void K(normal)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    const nnrt_random_args *p = args;
    REAL *out = p->out;
#if REAL_BYTES == 8
    DOUBLES(REAL z[2 * PIECE]; (void)w;
            for (int64_t b = 0; b < (skip + count + 1) / 2; b++)
                box_muller_f64(z + 2 * b, (REAL)(int64_t)((pair(words + 4 * b) >> 11) + 1) * 0x1p-53,
                              (REAL)(int64_t)(pair(words + 4 * b + 2) >> 11) * 0x1p-53);
            for (int64_t j = 0; j < count; j++) out[i + j] = z[skip + j];)
#else
    WORDS(REAL z[4 * PIECE]; (void)w;
          for (int64_t b = 0; b < (skip + count + 1) / 2; b++)
              box_muller_f32(z + 2 * b, (REAL)(int32_t)((words[2 * b] >> 8) + 1) * 0x1p-24f,
                            (REAL)(int32_t)(words[2 * b + 1] >> 8) * 0x1p-24f);
          for (int64_t j = 0; j < count; j++) out[i + j] = z[skip + j];)
#endif
}

static void K(bernoulli)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    const nnrt_random_args *p = args;
    REAL *out = p->out;
    /* below <= 2^32: compare w with below - 1 in 32 bits; below = 0 gives no ones. */
    uint32_t most = (uint32_t)(p->below - 1);
    REAL one = p->below != 0;
    WORDS(for (int64_t j = 0; j < count; j++) out[i + j] = w[j] <= most ? one : 0;)
}

static void K(dropout_forward)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    const nnrt_random_args *p = args;
    const REAL *x = p->x;
    REAL *y = p->out, scale = (REAL)p->scale;
    uint8_t *mask = p->mask;
    uint32_t most = (uint32_t)(p->below - 1);
    uint8_t dropped = p->below == 0;
    WORDS(for (int64_t j = 0; j < count; j++) mask[i + j] = w[j] <= most ? dropped : 1;
          for (int64_t j = 0; j < count; j++) y[i + j] = mask[i + j] ? x[i + j] * scale : 0;)
}

static void K(dropout_backward)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    const nnrt_random_args *p = args;
    const REAL *dy = p->x;
    REAL *dx = p->out, scale = (REAL)p->scale;
    const uint8_t *mask = p->mask;
    int64_t stop = end * NNRT_RANDOM_CHUNK < p->n ? end * NNRT_RANDOM_CHUNK : p->n;
    _Pragma("GCC ivdep") /* dx may be dy itself */
    for (int64_t i = begin * NNRT_RANDOM_CHUNK; i < stop; i++)
        dx[i] = mask[i] ? dy[i] * scale : 0;
}

#endif
