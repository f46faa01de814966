/* First version: no cache yet. */
#include "memory.h"
#include <stdlib.h>

static int64_t allocated, peak, misses, limit;

void *nnrt_alloc(size_t bytes)
{
    if (bytes > (size_t)1 << 62)
        return NULL;
    void *block = aligned_alloc(64, (bytes + 64) & ~(size_t)63);
    if (block) {
        int64_t now = __atomic_add_fetch(&allocated, (int64_t)bytes, __ATOMIC_RELAXED);
        if (now > __atomic_load_n(&peak, __ATOMIC_RELAXED))
            __atomic_store_n(&peak, now, __ATOMIC_RELAXED);
        __atomic_add_fetch(&misses, 1, __ATOMIC_RELAXED);
    }
    return block;
}

void nnrt_free(void *block, size_t bytes)
{
    if (!block)
        return;
    __atomic_sub_fetch(&allocated, (int64_t)bytes, __ATOMIC_RELAXED);
    free(block);
}

void nnrt_memory_get(nnrt_memory_stats *stats)
{
    *stats = (nnrt_memory_stats){allocated, peak, 0, limit, 0, misses};
}

void nnrt_memory_reset_peak(void) { peak = allocated; }
void nnrt_memory_set_limit(int64_t bytes) { limit = bytes; }
void nnrt_memory_empty(void) {}

void *nnrt_realloc(void *block, size_t bytes) { return realloc(block, bytes); }
