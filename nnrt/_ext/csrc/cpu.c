/* CPU detection by cpuid and xgetbv. */
#include "cpu.h"
#include "nnrt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *nnrt_cpu_level_name(int level)
{
    static const char *const names[] = {"baseline", "avx2", "avx512", "neon"};
    return level >= 0 && level < 4 ? names[level] : NULL;
}

#if defined(__x86_64__)
#include <cpuid.h>

#define BIT(n) (1u << (n))
static int has(unsigned reg, unsigned bits) { return (reg & bits) == bits; }

unsigned nnrt_cpu_levels(void)
{
    unsigned a, b, c, d, c1, b7 = 0, c81 = 0;
    unsigned levels = 0, xcr0 = 0;
    if (!__get_cpuid(1, &a, &b, &c1, &d))
        return 0;
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d))
        b7 = b;
    if (__get_cpuid(0x80000001, &a, &b, &c, &d))
        c81 = c;
    /* x86-64-v2: SSE3, SSSE3, CMPXCHG16B, SSE4.1, SSE4.2, POPCNT */
    if (!has(c1, BIT(0) | BIT(9) | BIT(13) | BIT(19) | BIT(20) | BIT(23)))
        return 0;
    levels |= BIT(NNRT_BASELINE);
    if (has(c1, BIT(27))) { /* OSXSAVE: the system says which registers it saves */
        unsigned high;
        __asm__ volatile("xgetbv" : "=a"(xcr0), "=d"(high) : "c"(0));
    }
    /* x86-64-v3: FMA, MOVBE, AVX, F16C; BMI1, AVX2, BMI2; LZCNT; xmm and ymm saved */
    if (has(c1, BIT(12) | BIT(22) | BIT(28) | BIT(29)) && has(b7, BIT(3) | BIT(5) | BIT(8))
        && has(c81, BIT(5)) && has(xcr0, 0x06))
        levels |= BIT(NNRT_AVX2);
    /* x86-64-v4: AVX512F, DQ, CD, BW, VL; mask and zmm registers saved */
    if (has(levels, BIT(NNRT_AVX2)) && has(b7, BIT(16) | BIT(17) | BIT(28) | BIT(30) | BIT(31))
        && has(xcr0, 0xe6))
        levels |= BIT(NNRT_AVX512);
    return levels;
}

const char *nnrt_cpu_brand(void)
{
    static char brand[49];
    unsigned regs[12];
    if (__get_cpuid_max(0x80000000, NULL) < 0x80000004)
        return "";
    for (unsigned i = 0; i < 3; i++)
        __get_cpuid(0x80000002 + i, &regs[4 * i], &regs[4 * i + 1], &regs[4 * i + 2], &regs[4 * i + 3]);
    memcpy(brand, regs, 48);
    return brand;
}
#elif defined(__aarch64__)
/* Advanced SIMD is part of the base architecture. */
unsigned nnrt_cpu_levels(void) { return 1u << NNRT_NEON; }
const char *nnrt_cpu_brand(void) { return ""; }
#else
unsigned nnrt_cpu_levels(void) { return 1u << NNRT_BASELINE; }
const char *nnrt_cpu_brand(void) { return ""; }
#endif

/* A line of what Linux tells of one of the first core's caches; its length, 0 where there is none. */
static size_t cache_line(int index, const char *what, char *text, int size)
{
    char path[80];
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/%s", index, what);
    FILE *file = fopen(path, "re");
    text[0] = 0;
    if (file) {
        if (!fgets(text, size, file))
            text[0] = 0;
        fclose(file);
    }
    return strlen(text);
}

long nnrt_cpu_cache(int level)
{
    char text[32];
    for (int i = 0; cache_line(i, "level", text, sizeof text); i++)
        if (atoi(text) == level && cache_line(i, "type", text, sizeof text) && text[0] != 'I' /* of instructions */
            && cache_line(i, "size", text, sizeof text))
            return atol(text) << (strchr(text, 'M') ? 20 : strchr(text, 'K') ? 10 : 0);
    long bytes = 0;
#if defined(_SC_LEVEL1_DCACHE_SIZE) && defined(_SC_LEVEL2_CACHE_SIZE) && defined(_SC_LEVEL3_CACHE_SIZE)
    /* of some CPUs all L3 of the package */
    bytes = sysconf(level == 1   ? _SC_LEVEL1_DCACHE_SIZE
                    : level == 2 ? _SC_LEVEL2_CACHE_SIZE
                                 : _SC_LEVEL3_CACHE_SIZE);
#endif
    return bytes > 0 ? bytes : 0;
}
