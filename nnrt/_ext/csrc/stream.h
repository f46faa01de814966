/* What is larger than the caches: reads in the order of memory, and writes that bypass them. */
#ifndef NNRT_STREAM_H
#define NNRT_STREAM_H

#include <stdint.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* Reads `bytes` of each of `rows` rows in the order of memory, one element of each line. Loops that go down
 * several rows at once hide that order from the hardware, which then fetches 10 GB/s instead of 30 (Zen 4, 1
 * kB rows). What lies further ahead than a page is asked for besides: the hardware stops at its end. The
 * next rows at once would be too near. */
enum { NNRT_FAR = 6 << 10 };
static __attribute__((noinline, unused)) void nnrt_touch(const void *x, int64_t rows, int64_t stride, int64_t bytes)
{
    const int64_t far = bytes == stride ? NNRT_FAR : 0;
    if (bytes == stride)
        bytes *= rows, rows = 1;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < bytes; i += 64) {
            __builtin_prefetch((const char *)x + r * stride + i + far, 0, 2);
            (void)*((const volatile char *)x + r * stride + i);
        }
}

/* Outputs of at least this many bytes are written past the caches: they would not stay there.
 * Measured on a 32 MB L3. */
enum { NNRT_STREAM_BYTES = 16 << 20 };

/* `to` is 64-byte aligned. */
static inline void nnrt_stream(char *to, const char *from, int64_t bytes)
{
    int64_t i = 0;
#if defined(__AVX512F__)
    for (; i + 64 <= bytes; i += 64)
        _mm512_stream_si512((void *)(to + i), _mm512_loadu_si512((const void *)(from + i)));
#elif defined(__AVX2__)
    for (; i + 32 <= bytes; i += 32)
        _mm256_stream_si256((__m256i *)(to + i), _mm256_loadu_si256((const __m256i *)(from + i)));
#elif defined(__SSE2__)
    for (; i + 16 <= bytes; i += 16)
        _mm_stream_si128((__m128i *)(to + i), _mm_loadu_si128((const __m128i *)(from + i)));
#endif
    memcpy(to + i, from + i, (size_t)(bytes - i));
}

/* Makes what was streamed visible to other threads; once per task. */
static inline void nnrt_stream_end(void)
{
#if defined(__x86_64__)
    _mm_sfence();
#endif
}

#endif
