/* What the machine can do: dependent-free FMAs on registers, and a copy. The yardsticks of the
 * benchmark, nothing else uses them. */
#include "peak.h"

#include <string.h>

#if defined(__AVX512F__)
#define BYTES 64
#elif defined(__AVX__)
#define BYTES 32
#else
#define BYTES 16
#endif

/* Twelve chains cover latency (4 cycles) times throughput (2 per cycle) and fit every register file. */
#define CHAINS 12
#define EACH(do) do(0) do(1) do(2) do(3) do(4) do(5) do(6) do(7) do(8) do(9) do(10) do(11)

#define FMA_PEAK(name, real)                                                                     \
    static void name(const void *args, int64_t begin, int64_t end, void *scratch)                \
    {                                                                                            \
        typedef real vec __attribute__((vector_size(BYTES)));                                    \
        const nnrt_peak_args *p = args;                                                          \
        for (int64_t task = begin; task < end; task++) {                                         \
            vec a = {(real)0.999}, b = {(real)1e-9};                                             \
            EACH(START)                                                                          \
            for (int64_t i = 0; i < p->rounds; i++) {                                            \
                EACH(STEP)                                                                       \
                __asm__ volatile("" : : : "memory"); /* keeps the rounds apart */                \
            }                                                                                    \
            vec sum = c0 + c1 + c2 + c3 + c4 + c5 + c6 + c7 + c8 + c9 + c10 + c11;               \
            ((real *)p->y)[task] = sum[0];                                                       \
        }                                                                                        \
    }
#define START(i) vec c##i = a * (i + 1);
#define STEP(i) c##i = c##i * a + b;

FMA_PEAK(fma_f32, float)
FMA_PEAK(fma_f64, double)

static void copy(const void *args, int64_t begin, int64_t end, void *scratch)
{
    const nnrt_peak_args *p = args;
    int64_t start = begin * NNRT_PEAK_CHUNK, stop = end * NNRT_PEAK_CHUNK;
    if (stop > p->n) stop = p->n;
    for (; start < stop; start += NNRT_PEAK_CHUNK) {
        int64_t bytes = stop - start < NNRT_PEAK_CHUNK ? stop - start : NNRT_PEAK_CHUNK;
        memcpy((char *)p->y + start, (const char *)p->x + start, bytes);
    }
}

const nnrt_peak_table NNRT_SYM(peak) = {
    .fma = {{"peak/fma/f32/" NNRT_STR(NNRT_ISA), fma_f32}, {"peak/fma/f64/" NNRT_STR(NNRT_ISA), fma_f64}},
    .copy = {"peak/copy/" NNRT_STR(NNRT_ISA), copy},
    .flops_per_round = {2 * CHAINS * (BYTES / sizeof(float)), 2 * CHAINS * (BYTES / sizeof(double))},
};
