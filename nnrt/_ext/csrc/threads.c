/* The thread pool behind nnrt_launch.
 *
 * One launch at a time owns the pool; a launch that finds it taken, or that starts
 * inside another that owns it, runs all its tasks on its own thread, with the same results since
 * tasks are cut by shape. A launch opens the gate; workers that come by in time join,
 * and when no task is left the launcher closes the gate and waits for those inside
 * alone. So a worker that sleeps or has lost its core delays nobody.
 *
 * Tasks are dealt in one contiguous range per thread, the same for the same number
 * of tasks, so that a thread finds in its cache what it wrote a launch ago; who has
 * finished his own range takes from the others'. */
#define _GNU_SOURCE
#include "threads.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "memory.h"
#include "observe.h"

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

enum { MAX_THREADS = 256 };

typedef struct {
    int64_t next, end; /* unclaimed tasks of this thread's range; next is atomic */
    void *scratch;
    int asleep; /* atomic; set under the mutex */
    pthread_mutex_t mutex;
    pthread_cond_t cond;
} __attribute__((aligned(128))) slot; /* two lines: they are fetched in pairs */

/* The gate: generation in the upper half, then one bit for open, then how many workers
 * are inside. Workers read the job only after they have joined. */
#define OPEN ((uint64_t)1 << 31)
#define INSIDE (OPEN - 1)
#define GENERATION(gate) ((uint32_t)((gate) >> 32))

static struct {
    uint64_t gate __attribute__((aligned(128)));
    struct {
        nnrt_fn fn;
        const void *args;
        int64_t chunk;
        int width; /* threads that take part: slots 0..width-1, the launcher being 0 */
    } job;
    int core; /* the launcher's at its last launch; atomic, and where a worker looks for its job */
    slot slots[MAX_THREADS];
    int started __attribute__((aligned(128))); /* workers; changed by the pool's owner */
    int refused; /* the system had no more threads; asked again after set_threads */
    int taken;   /* a launch owns the pool */
    int threads;
    int64_t spin_ns;
    int cores; /* this process may use; more threads than that do not spin */
    int64_t looked; /* when a worker on the launcher's core last looked for another; atomic */
} pool; /* made by set_up: 32 kB that the file need not hold */

static __thread int inside; /* a launch on the pool: further ones are serial */

/* ---- flush to zero: denormals cost a hundred cycles each and carry nothing ---- */

#if defined(__x86_64__)
enum { FTZ_DAZ = 0x8040 };
static unsigned flush_on(void)
{
    unsigned before = _mm_getcsr();
    if ((before & FTZ_DAZ) != FTZ_DAZ)
        _mm_setcsr(before | FTZ_DAZ);
    return before;
}
static void flush_restore(unsigned before)
{
    _mm_setcsr(before); /* the kernel's exception flags go with it: numpy must not report them */
}
#elif defined(__aarch64__)
static unsigned flush_on(void)
{
    uint64_t before;
    __asm__ volatile("mrs %0, fpcr" : "=r"(before));
    if (!(before >> 24 & 1))
        __asm__ volatile("msr fpcr, %0" ::"r"(before | (uint64_t)1 << 24));
    return (unsigned)before;
}
static void flush_restore(unsigned before)
{
    if (!(before >> 24 & 1))
        __asm__ volatile("msr fpcr, %0" ::"r"((uint64_t)before));
}
#else
static unsigned flush_on(void) { return 0; }
static void flush_restore(unsigned before) { (void)before; }
#endif

static void pause_core(void)
{
#if defined(__x86_64__)
    _mm_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb");
#endif
}

/* ---- cores ---- */

#ifdef __linux__
static int this_core(void) { return sched_getcpu(); }

/* Threads that run or would run, on the whole machine; many if the system does not tell. */
static int runnable(void)
{
    char text[64] = "", *at = text; /* three averages, then runnable/all */
    int file = open("/proc/loadavg", O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return MAX_THREADS;
    ssize_t size = read(file, text, sizeof text - 1);
    close(file);
    for (int i = 0; size > 0 && at && i < 3; i++)
        at = strchr(at + 1, ' ');
    return size > 0 && at ? atoi(at) : MAX_THREADS;
}

enum { LOOK_AGAIN = 2000000 }; /* ns */

/* A worker that finds itself on the launcher's core leaves it if another is idle, which is so when no more
 * threads are runnable than this one has cores. The system often wakes a thread on the waker's core
 * while others are idle, and takes tens of milliseconds to part the two. */
static void keep_apart(void)
{
    int core = this_core();
    if (core < 0 || core != __atomic_load_n(&pool.core, __ATOMIC_RELAXED))
        return;
    int64_t now = nnrt_now();
    cpu_set_t all, others;
    if (now - __atomic_load_n(&pool.looked, __ATOMIC_RELAXED) < LOOK_AGAIN)
        return;
    __atomic_store_n(&pool.looked, now, __ATOMIC_RELAXED);
    if (sched_getaffinity(0, sizeof all, &all) || runnable() > CPU_COUNT(&all))
        return;
    others = all;
    CPU_CLR(core, &others);
    if (!sched_setaffinity(0, sizeof others, &others))
        sched_setaffinity(0, sizeof all, &all); /* from there it may go where it might before */
}
#else
static int this_core(void) { return -1; }
static void keep_apart(void) {}
#endif

/* ---- waiting: spin for a while, then sleep ---- */

enum { POLITE = 20000 }; /* ns of spinning before other processes are let go first */

typedef int (*condition)(uint64_t gate, uint32_t generation);

static int gate_opened(uint64_t gate, uint32_t seen) { return GENERATION(gate) != seen; }
static int gate_left(uint64_t gate, uint32_t seen) { return !(gate & INSIDE); }

static uint64_t await(slot *me, condition done, uint32_t seen)
{
    uint64_t gate;
    int crowded = nnrt_get_threads() > pool.cores;
    int64_t limit = crowded ? 0 : __atomic_load_n(&pool.spin_ns, __ATOMIC_RELAXED), deadline = 0;
    for (int i = 0; limit; i++) {
        gate = __atomic_load_n(&pool.gate, __ATOMIC_ACQUIRE);
        if (done(gate, seen))
            return gate;
        pause_core();
        if (i % 32 == 31) { /* the clock costs as much as two pauses */
            int64_t now = nnrt_now();
            if (!deadline)
                deadline = now + limit;
            else if (now >= deadline)
                break;
            else if (now >= deadline - limit + POLITE) {
                if (me != pool.slots)
                    keep_apart();
                sched_yield();
            }
        }
    }
    /* Sequentially consistent on both sides: either this thread sees the gate change,
     * or who changed it sees this thread asleep and signals. */
    pthread_mutex_lock(&me->mutex);
    __atomic_store_n(&me->asleep, 1, __ATOMIC_SEQ_CST);
    while (!done(gate = __atomic_load_n(&pool.gate, __ATOMIC_SEQ_CST), seen))
        pthread_cond_wait(&me->cond, &me->mutex);
    __atomic_store_n(&me->asleep, 0, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&me->mutex);
    return gate;
}

static void wake(slot *who)
{
    if (!__atomic_load_n(&who->asleep, __ATOMIC_SEQ_CST))
        return;
    pthread_mutex_lock(&who->mutex);
    pthread_cond_signal(&who->cond);
    pthread_mutex_unlock(&who->mutex);
}

/* ---- workers ---- */

static void work(int self)
{
    void *scratch = pool.slots[self].scratch;
    int64_t chunk = pool.job.chunk;
    for (int i = 0; i < pool.job.width; i++) {
        slot *range = &pool.slots[(self + i) % pool.job.width];
        int64_t end = range->end;
        while (__atomic_load_n(&range->next, __ATOMIC_RELAXED) < end) {
            int64_t begin = __atomic_fetch_add(&range->next, chunk, __ATOMIC_RELAXED);
            if (begin >= end)
                break;
            pool.job.fn(pool.job.args, begin, begin + chunk < end ? begin + chunk : end, scratch);
        }
    }
}

static void *worker(void *arg)
{
    int self = (int)(intptr_t)arg;
    slot *me = &pool.slots[self];
    /* Started before the gate opens for the launch that wanted it. A gate already open
     * when this thread gets here is that one or a later one: join it. */
    uint32_t seen = GENERATION(__atomic_load_n(&pool.gate, __ATOMIC_ACQUIRE)) - 1;
    inside = 1;
    flush_on();
    for (;;) {
        uint64_t gate = await(me, gate_opened, seen);
        seen = GENERATION(gate);
        keep_apart();
        int joined = 0;
        while ((gate & OPEN) && GENERATION(gate) == seen && !joined)
            joined = __atomic_compare_exchange_n(&pool.gate, &gate, gate + 1, 1, __ATOMIC_ACQUIRE,
                                                 __ATOMIC_ACQUIRE);
        if (!joined)
            continue;
        if (self < pool.job.width)
            work(self);
        gate = __atomic_sub_fetch(&pool.gate, 1, __ATOMIC_SEQ_CST);
        if (!(gate & (OPEN | INSIDE)))
            wake(&pool.slots[0]);
    }
    return NULL;
}

/* Called by the pool's owner: workers 1..threads-1. */
static void start_workers(int threads)
{
    if (pool.started >= threads - 1 || __atomic_load_n(&pool.refused, __ATOMIC_RELAXED))
        return;
    pthread_attr_t attr;
    sigset_t all, before;
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, 1 << 20); /* musl's default is too small, glibc's needlessly large */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are for Python's threads */
    while (pool.started < threads - 1) {
        pthread_t id;
        if (pthread_create(&id, &attr, worker, (void *)(intptr_t)(pool.started + 1))) {
            __atomic_store_n(&pool.refused, 1, __ATOMIC_RELAXED);
            break;
        }
        pool.started++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
}

/* The child of a fork has no workers: it starts its own at its first launch. Whoever
 * owned the pool in the parent is not here either. */
static void in_child(void)
{
    for (int i = 0; i < MAX_THREADS; i++) {
        pthread_mutex_init(&pool.slots[i].mutex, NULL);
        pthread_cond_init(&pool.slots[i].cond, NULL);
        pool.slots[i].asleep = 0;
        pool.slots[i].scratch = NULL;
    }
    pool.gate = 0;
    pool.started = pool.refused = pool.taken = 0;
    inside = 0;
}

__attribute__((constructor)) static void set_up(void)
{
    pool.threads = pool.cores = 1;
    pool.spin_ns = 500000;
    pool.core = -1;
    in_child();
    pthread_atfork(NULL, NULL, in_child);
#ifdef __linux__
    cpu_set_t set;
    if (!sched_getaffinity(0, sizeof set, &set))
        pool.cores = CPU_COUNT(&set);
#endif
}

/* ---- launching ---- */

static int run_serial(const nnrt_kernel *kernel, const void *args, int64_t tasks)
{
    size_t bytes = ((const nnrt_work *)args)->scratch;
    void *scratch = NULL;
    if (bytes && !(scratch = nnrt_alloc(bytes)))
        return -1;
    /* `inside` is left alone: finding a thread's own variable takes a tenth of a small launch */
    unsigned mode = flush_on();
    kernel->fn(args, 0, tasks, scratch);
    flush_restore(mode);
    nnrt_free(scratch, bytes);
    return 0;
}

/* The pool is this thread's: all scratch first, then the job. */
static int run_pool(const nnrt_kernel *kernel, const void *args, int64_t tasks, int width)
{
    size_t bytes = ((const nnrt_work *)args)->scratch;
    int ready = 0;
    for (; bytes && ready < width; ready++)
        if (!(pool.slots[ready].scratch = nnrt_alloc(bytes)))
            break;
    int rc = bytes && ready < width ? -1 : 0;
    if (rc == 0) {
        for (int i = 0; i < width; i++) {
            __atomic_store_n(&pool.slots[i].next, tasks * i / width, __ATOMIC_RELAXED);
            pool.slots[i].end = tasks * (i + 1) / width;
        }
        pool.job.fn = kernel->fn;
        pool.job.args = args;
        pool.job.width = width;
        pool.job.chunk = (tasks + 8 * width - 1) / (8 * width); /* an eighth of a range at a time */
        __atomic_store_n(&pool.core, this_core(), __ATOMIC_RELAXED);
        uint32_t generation = GENERATION(__atomic_load_n(&pool.gate, __ATOMIC_RELAXED)) + 1;
        __atomic_store_n(&pool.gate, (uint64_t)generation << 32 | OPEN, __ATOMIC_SEQ_CST);
        for (int i = 1; i < width; i++)
            wake(&pool.slots[i]);
        unsigned mode = flush_on();
        inside = 1;
        work(0);
        inside = 0;
        flush_restore(mode);
        uint64_t gate = __atomic_and_fetch(&pool.gate, ~OPEN, __ATOMIC_SEQ_CST);
        if (gate & INSIDE)
            await(&pool.slots[0], gate_left, 0);
    }
    while (ready-- > 0) { /* in reverse: each thread gets its block again next time */
        nnrt_free(pool.slots[ready].scratch, bytes);
        pool.slots[ready].scratch = NULL;
    }
    return rc;
}

static int run(const nnrt_kernel *kernel, const void *args, int64_t tasks)
{
    int width = __atomic_load_n(&pool.threads, __ATOMIC_RELAXED);
    if (tasks < width)
        width = (int)tasks;
    if (width < 2 || inside || __atomic_exchange_n(&pool.taken, 1, __ATOMIC_ACQUIRE))
        return run_serial(kernel, args, tasks);
    start_workers(width);
    if (width > pool.started + 1)
        width = pool.started + 1;
    int rc = width < 2 ? run_serial(kernel, args, tasks) : run_pool(kernel, args, tasks, width);
    __atomic_store_n(&pool.taken, 0, __ATOMIC_RELEASE);
    return rc;
}

int nnrt_launch(const nnrt_kernel *kernel, const void *args, int64_t tasks)
{
    if (tasks <= 0)
        return 0;
    if (__builtin_expect(!nnrt_observed(), 1))
        return run(kernel, args, tasks);
    int64_t start = nnrt_now();
    int rc = run(kernel, args, tasks);
    if (rc == 0)
        nnrt_observe(kernel, args, tasks, start);
    return rc;
}

/* ---- settings ---- */

void nnrt_set_threads(int threads)
{
    threads = threads < 1 ? 1 : threads > MAX_THREADS ? MAX_THREADS : threads;
    __atomic_store_n(&pool.threads, threads, __ATOMIC_RELAXED);
    __atomic_store_n(&pool.refused, 0, __ATOMIC_RELAXED);
}

int nnrt_get_threads(void) { return __atomic_load_n(&pool.threads, __ATOMIC_RELAXED); }

void nnrt_set_spin(int64_t ns) { __atomic_store_n(&pool.spin_ns, ns, __ATOMIC_RELAXED); }
