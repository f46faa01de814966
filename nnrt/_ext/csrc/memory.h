/* The caching allocator: 64-byte aligned blocks in size classes, bounded. */
#ifndef NNRT_MEMORY_H
#define NNRT_MEMORY_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    int64_t allocated;      /* bytes in use now, in whole size classes */
    int64_t peak_allocated; /* most bytes in use since the last reset */
    int64_t cached;         /* bytes kept for reuse */
    int64_t limit;          /* most bytes kept for reuse */
    int64_t hits, misses;   /* allocations served from the cache, from the system */
} nnrt_memory_stats;

void *nnrt_alloc(size_t bytes);          /* NULL when memory is out (after emptying the cache) */
void nnrt_free(void *block, size_t bytes); /* the block knows its size; bytes are a hint */
/* As realloc; the block keeps its contents and is untouched when NULL comes back. */
void *nnrt_realloc(void *block, size_t bytes);
int64_t nnrt_size(void *block);          /* bytes of the block's size class */
void nnrt_memory_get(nnrt_memory_stats *stats);
void nnrt_memory_reset_peak(void);
void nnrt_memory_set_limit(int64_t bytes);
void nnrt_memory_empty(void);            /* gives all cached blocks back */

#endif
