/* The caching allocator.
 *
 * A block is a 64-byte header followed by the payload. Freed blocks stay on the
 * list of their size class: multiples of 64 up to 1 KiB, then four steps per
 * power of two, so that at most a fifth of a block is unused. Small blocks come
 * from malloc, and a class keeps SMALL_KEEP bytes of them at most. Big blocks are
 * mappings of their own, on 2 MiB borders with huge pages where they are large
 * enough; besides their class they are on one list by age, whose oldest go first.
 *
 * What bounds the memory: `limit` on the bytes cached, and, so that a program with
 * ever new shapes does not fill the cache up to that limit with sizes that it will
 * not ask for again, `budget` on what is cached and in use together: twice what was in use at once, since a net whose
 * arrays halve from stage to stage asks for twice the largest ones. With less, each call maps and clears them anew. */
#include "memory.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <sys/mman.h>

enum {
    HEADER = 64,
    SMALL_CLASSES = 40, /* up to 64 KiB; below malloc's own threshold for mappings */
    CLASSES = 16 + 4 * (47 - 10),
    SMALL_KEEP = 1 << 20,
    NEAR = 4, /* a big request may take a block of the next classes, less than 2x its size */
};
#define HUGE_PAGE ((size_t)2 << 20)
#define MAX_BYTES ((size_t)1 << 47)

typedef struct block {
    struct block *next, *prev;   /* in the class */
    struct block *newer, *older; /* among all cached big blocks */
    size_t size;                 /* of the payload */
    size_t mapped;               /* of a big block's mapping */
    uint32_t class, offset;      /* offset: of the payload in the mapping */
} block;
_Static_assert(sizeof(block) <= HEADER, "the header holds the block's fields");

static struct {
    block *list[CLASSES];
    int64_t kept[SMALL_CLASSES]; /* bytes on the list of a small class */
    block *newest, *oldest;
    nnrt_memory_stats stats;
    int64_t high; /* most bytes in use before the last reset of the peak */
    uint32_t colour;
    int lock;
} cache = {.stats.limit = (int64_t)1 << 30};

static void lock(void)
{
    for (int i = 0; __atomic_exchange_n(&cache.lock, 1, __ATOMIC_ACQUIRE); i++)
        if (i > 100)
            sched_yield(); /* the holder has lost its core */
}

static void unlock(void) { __atomic_store_n(&cache.lock, 0, __ATOMIC_RELEASE); }

/* A child must not inherit a lock whose holder it lacks. */
__attribute__((constructor)) static void at_fork(void) { pthread_atfork(lock, unlock, unlock); }

static block *header(void *payload) { return (block *)((char *)payload - HEADER); }
static void *payload(block *b) { return (char *)b + HEADER; }

static uint32_t class_of(size_t bytes)
{
    if (bytes <= 1024)
        return bytes ? (uint32_t)((bytes - 1) >> 6) : 0;
    size_t last = bytes - 1;
    int octave = 63 - __builtin_clzll(last);
    return 16 + 4 * (octave - 10) + ((last >> (octave - 2)) & 3);
}

static size_t class_size(uint32_t class)
{
    if (class < 16)
        return ((size_t)class + 1) << 6;
    return (size_t)(5 + (class & 3)) << (8 + (class - 16) / 4);
}

/* ---- from and to the system; never under the lock ---- */

static block *map(uint32_t class)
{
    /* Blocks of one size at one distance share cache sets: start each on another line. */
    size_t offset = HEADER * (1 + __atomic_fetch_add(&cache.colour, 5, __ATOMIC_RELAXED) % 32);
    size_t size = class_size(class), mapped = (offset + size + 4095) & ~(size_t)4095;
    size_t slack = mapped >= HUGE_PAGE ? HUGE_PAGE : 0;
    char *at = mmap(NULL, mapped + slack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
        return NULL;
    if (slack) {
        size_t before = -(uintptr_t)at & (HUGE_PAGE - 1);
        if (before)
            munmap(at, before);
        at += before;
        munmap(at + mapped, slack - before);
#ifdef MADV_HUGEPAGE
        madvise(at, mapped, MADV_HUGEPAGE);
#endif
    }
    block *b = header(at + offset);
    *b = (block){.size = size, .mapped = mapped, .class = class, .offset = (uint32_t)offset};
    return b;
}

static block *from_system(uint32_t class, size_t bytes)
{
    void *at;
    if (class >= SMALL_CLASSES)
        return map(class);
    if (posix_memalign(&at, 64, HEADER + bytes))
        return NULL;
    *(block *)at = (block){.size = bytes, .class = class};
    return at;
}

static void to_system(block *b)
{
    if (b->mapped)
        munmap((char *)payload(b) - b->offset, b->mapped);
    else
        free(b);
}

static void all_to_system(block *chain)
{
    while (chain) {
        block *next = chain->next;
        to_system(chain);
        chain = next;
    }
}

/* ---- the lists; under the lock ---- */

static void push_big(block *b)
{
    b->prev = NULL;
    if ((b->next = cache.list[b->class]))
        b->next->prev = b;
    cache.list[b->class] = b;
    b->newer = NULL;
    if ((b->older = cache.newest))
        b->older->newer = b;
    else
        cache.oldest = b;
    cache.newest = b;
    cache.stats.cached += (int64_t)b->size;
}

static void remove_big(block *b)
{
    *(b->prev ? &b->prev->next : &cache.list[b->class]) = b->next;
    if (b->next)
        b->next->prev = b->prev;
    *(b->newer ? &b->newer->older : &cache.newest) = b->older;
    *(b->older ? &b->older->newer : &cache.oldest) = b->newer;
    cache.stats.cached -= (int64_t)b->size;
}

/* Takes the oldest big blocks off until no more than `bytes` are cached. */
static block *evict(int64_t bytes)
{
    block *chain = NULL;
    while (cache.oldest && cache.stats.cached > bytes) {
        block *b = cache.oldest;
        remove_big(b);
        b->next = chain;
        chain = b;
    }
    return chain;
}

static block *take(uint32_t class)
{
    if (class < SMALL_CLASSES) {
        block *b = cache.list[class];
        if (b) {
            cache.list[class] = b->next;
            cache.kept[class] -= (int64_t)b->size;
            cache.stats.cached -= (int64_t)b->size;
        }
        return b;
    }
    for (uint32_t c = class; c < class + NEAR && c < CLASSES; c++)
        if (cache.list[c]) {
            block *b = cache.list[c];
            remove_big(b);
            return b;
        }
    return NULL;
}

static void count(size_t size)
{
    int64_t now = cache.stats.allocated += (int64_t)size;
    if (now > cache.stats.peak_allocated)
        cache.stats.peak_allocated = now;
}

static void raise_high(void)
{
    if (cache.high < cache.stats.peak_allocated)
        cache.high = cache.stats.peak_allocated;
}

/* ---- the interface ---- */

#ifdef __SANITIZE_ADDRESS__
#define CACHES 0 /* the sanitizer then sees the end of every block, and its free */
#else
#define CACHES 1
#endif

static void *alloc_slow(uint32_t class, size_t bytes)
{
    block *old = NULL;
    lock();
    cache.stats.misses++;
    if (class >= SMALL_CLASSES) {
        raise_high();
        int64_t budget = 2 * cache.high + (16 << 20);
        old = evict(budget - cache.stats.allocated - (int64_t)class_size(class));
    }
    unlock();
    all_to_system(old);
    size_t size = CACHES ? class_size(class) : bytes;
    block *b = from_system(class, size);
    if (!b) {
        nnrt_memory_empty();
        if (!(b = from_system(class, size)))
            return NULL;
    }
    lock();
    count(b->size);
    unlock();
    return payload(b);
}

void *nnrt_alloc(size_t bytes)
{
    if (__builtin_expect(bytes > MAX_BYTES, 0))
        return NULL;
    uint32_t class = CACHES ? class_of(bytes) : 0;
    lock();
    block *b = take(class);
    if (__builtin_expect(!b, 0)) {
        unlock();
        return alloc_slow(class, bytes);
    }
    cache.stats.hits++;
    count(b->size);
    unlock();
    return payload(b);
}

void nnrt_free(void *at, size_t bytes __attribute__((unused)))
{
    if (!at)
        return;
    block *b = header(at), *old = NULL;
    uint32_t class = b->class;
    int64_t size = (int64_t)b->size;
    lock();
    cache.stats.allocated -= size;
    if (CACHES && class >= SMALL_CLASSES) {
        push_big(b);
        old = evict(cache.stats.limit);
    } else if (CACHES && cache.kept[class] + size <= SMALL_KEEP
               && cache.stats.cached + size <= cache.stats.limit) {
        b->next = cache.list[class];
        cache.list[class] = b;
        cache.kept[class] += size;
        cache.stats.cached += size;
    } else {
        b->next = NULL;
        old = b;
    }
    unlock();
    if (__builtin_expect(old != NULL, 0))
        all_to_system(old);
}

void *nnrt_realloc(void *at, size_t bytes)
{
    if (!at)
        return nnrt_alloc(bytes);
    block *b = header(at);
    if (CACHES && bytes <= b->size && bytes > b->size / 2)
        return at;
    void *moved = nnrt_alloc(bytes);
    if (moved) {
        memcpy(moved, at, bytes < b->size ? bytes : b->size);
        nnrt_free(at, b->size);
    }
    return moved;
}

int64_t nnrt_size(void *at) { return (int64_t)header(at)->size; }

void nnrt_memory_get(nnrt_memory_stats *stats)
{
    lock();
    *stats = cache.stats;
    unlock();
}

void nnrt_memory_reset_peak(void)
{
    lock();
    raise_high();
    cache.stats.peak_allocated = cache.stats.allocated;
    unlock();
}

void nnrt_memory_set_limit(int64_t bytes)
{
    lock();
    cache.stats.limit = bytes;
    int over = cache.stats.cached > bytes;
    block *old = evict(bytes);
    over = over && cache.stats.cached > bytes; /* small blocks alone exceed it */
    unlock();
    all_to_system(old);
    if (over)
        nnrt_memory_empty();
}

void nnrt_memory_empty(void)
{
    lock();
    block *old = evict(-1), *next;
    for (int class = 0; class < SMALL_CLASSES; class++) {
        for (block *b = cache.list[class]; b; b = next) {
            next = b->next;
            b->next = old;
            old = b;
        }
        cache.list[class] = NULL;
        cache.stats.cached -= cache.kept[class];
        cache.kept[class] = 0;
    }
    raise_high();
    unlock();
    all_to_system(old);
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}
