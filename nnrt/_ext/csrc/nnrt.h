/* What every kernel file shares: the kernel's type, the work header of its
 * arguments, the launch seam and the choice of instruction set.
 *
 * A kernel is a plain C function over a range of tasks. Tasks are cut from the
 * shapes alone, never from the number of threads, so the results are bit-equal
 * at any thread count. A kernel allocates nothing: what it needs beside its
 * arguments is `scratch`, private to the worker that runs it. */
#ifndef NNRT_H
#define NNRT_H

#include <stddef.h>
#include <stdint.h>

#define INLINE static inline __attribute__((always_inline))

/* dtype codes: the index into every per-dtype table of kernels. */
enum { NNRT_F32 = 0, NNRT_F64 = 1 };

/* Runs tasks begin..end-1 of a launch. */
typedef void (*nnrt_fn)(const void *args, int64_t begin, int64_t end, void *scratch);

typedef struct {
    const char *name; /* family/kernel/dtype/isa, for the profiler and error messages */
    nnrt_fn fn;
} nnrt_kernel;

/* A dense array of floats that a kernel writes. */
typedef struct {
    const void *data;
    int64_t count;
    int32_t dtype; /* NNRT_F32, NNRT_F64, or -1 for what holds no floats */
} nnrt_span;

/* First member of every args struct. Zero-initialise it; all fields are optional. */
typedef struct {
    double flops;      /* of the whole launch, for the profiler */
    double bytes;      /* read and written by the whole launch */
    size_t scratch;    /* bytes of scratch each worker needs, 64-byte aligned */
    nnrt_span out[2];  /* what the NaN check looks at; count 0: unused */
    int (*nan)(const void *args); /* the check where there are more outputs; NULL: those of out */
} nnrt_work;

/* The one seam: runs kernel over tasks 0..tasks-1, on the pool when tasks > 1
 * and on the calling thread otherwise (also inside another launch). Holds
 * flush-to-zero while it runs and restores the caller's mode. Callable from any
 * thread, with or without the GIL. Returns 0, or -1 when scratch could not be
 * had (nothing has run then). */
int nnrt_launch(const nnrt_kernel *kernel, const void *args, int64_t tasks);

/* Instruction set levels, in rising order. */
enum { NNRT_BASELINE = 0, NNRT_AVX2 = 1, NNRT_AVX512 = 2, NNRT_NEON = 3 };

/* Each kernel file is compiled once per level, with NNRT_ISA naming the level;
 * NNRT_SYM(activation) is then nnrt_activation_avx2 and so on. A file defines one
 * such symbol, its table of kernels, and keeps everything else static. */
#define NNRT_CAT_(a, b, c) a##b##_##c
#define NNRT_CAT(a, b, c) NNRT_CAT_(a, b, c)
#define NNRT_SYM(family) NNRT_CAT(nnrt_, family, NNRT_ISA)
#define NNRT_STR_(x) #x
#define NNRT_STR(x) NNRT_STR_(x)

/* Declares a family's tables, one per level compiled in, and nnrt_<family>(isa),
 * which picks one. NNRT_TABLES_AVX2: for kernels that wait for memory, to which
 * wider vectors bring nothing; AVX-512 runs what was compiled for AVX2.
 * NNRT_TABLES_PART: the same, but for the kernels that the table for AVX-512 has. */
#if defined(__x86_64__)
#define NNRT_TABLES_AVX2(family)                                                         \
    extern const nnrt_##family##_table nnrt_##family##_baseline, nnrt_##family##_avx2;   \
    static inline const nnrt_##family##_table *nnrt_##family(int isa)                    \
    {                                                                                    \
        return isa == NNRT_BASELINE ? &nnrt_##family##_baseline : &nnrt_##family##_avx2; \
    }
#define NNRT_TABLES(family)                                                              \
    extern const nnrt_##family##_table nnrt_##family##_baseline, nnrt_##family##_avx2,   \
        nnrt_##family##_avx512;                                                          \
    static inline const nnrt_##family##_table *nnrt_##family(int isa)                    \
    {                                                                                    \
        return isa == NNRT_AVX512 ? &nnrt_##family##_avx512                              \
             : isa == NNRT_AVX2   ? &nnrt_##family##_avx2                                \
                                  : &nnrt_##family##_baseline;                           \
    }
#define NNRT_TABLES_PART(family)                                                         \
    extern const nnrt_##family##_table nnrt_##family##_baseline, nnrt_##family##_avx2,   \
        nnrt_##family##_avx512;                                                          \
    static inline const nnrt_##family##_table *nnrt_##family(int isa)                    \
    {                                                                                    \
        static nnrt_##family##_table both;                                               \
        const nnrt_kernel *rest = (const nnrt_kernel *)&nnrt_##family##_avx2;            \
        const nnrt_kernel *part = (const nnrt_kernel *)&nnrt_##family##_avx512;          \
        for (size_t i = 0; i < sizeof both / sizeof *rest; i++)                          \
            ((nnrt_kernel *)&both)[i] = part[i].fn ? part[i] : rest[i];                  \
        return isa == NNRT_BASELINE ? &nnrt_##family##_baseline                          \
             : isa == NNRT_AVX2     ? &nnrt_##family##_avx2                              \
                                    : &both;                                             \
    }
#elif defined(__aarch64__)
#define NNRT_TABLES(family)                                                              \
    extern const nnrt_##family##_table nnrt_##family##_neon;                             \
    static inline const nnrt_##family##_table *nnrt_##family(int isa)                    \
    {                                                                                    \
        (void)isa;                                                                       \
        return &nnrt_##family##_neon;                                                    \
    }
#else
#define NNRT_TABLES(family)                                                              \
    extern const nnrt_##family##_table nnrt_##family##_baseline;                         \
    static inline const nnrt_##family##_table *nnrt_##family(int isa)                    \
    {                                                                                    \
        (void)isa;                                                                       \
        return &nnrt_##family##_baseline;                                                \
    }
#endif
#ifndef NNRT_TABLES_AVX2
#define NNRT_TABLES_AVX2 NNRT_TABLES
#define NNRT_TABLES_PART NNRT_TABLES
#endif

#endif
