/* The profiler's ring and the NaN check. */
#include "observe.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "threads.h"

enum { PROFILE = 1, NAN_CHECK = 2, ROOM = 1 << 16 };

int nnrt_observers;

static struct {
    nnrt_event *ring;
    int64_t written, taken; /* events ever */
    pthread_mutex_t mutex;
} profile = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static __thread const char *nan_kernel;

static void before_fork(void) { pthread_mutex_lock(&profile.mutex); }
static void after_fork(void) { pthread_mutex_unlock(&profile.mutex); }
__attribute__((constructor)) static void at_fork(void) { pthread_atfork(before_fork, after_fork, after_fork); }

static void record(const nnrt_kernel *kernel, const nnrt_work *work, int64_t tasks, int64_t start_ns)
{
    nnrt_event event = {kernel->name, start_ns,    nnrt_now(),
                        tasks,        work->flops, work->bytes, (uint64_t)(uintptr_t)pthread_self()};
    pthread_mutex_lock(&profile.mutex);
    if (profile.ring)
        profile.ring[profile.written++ % ROOM] = event;
    pthread_mutex_unlock(&profile.mutex);
}

/* Counts without a branch, so that the loop is vectorised. */
int nnrt_has_nan(const nnrt_span *span)
{
    int64_t found = 0;
    if (span->dtype == NNRT_F32) {
        const float *x = span->data;
        for (int64_t i = 0; i < span->count; i++)
            found += x[i] != x[i];
    } else if (span->dtype == NNRT_F64) {
        const double *x = span->data;
        for (int64_t i = 0; i < span->count; i++)
            found += x[i] != x[i];
    }
    return found != 0;
}

void nnrt_observe(const nnrt_kernel *kernel, const void *args, int64_t tasks, int64_t start_ns)
{
    const nnrt_work *work = args;
    int on = nnrt_observed();
    if (on & PROFILE)
        record(kernel, work, tasks, start_ns);
    if (!(on & NAN_CHECK) || nan_kernel) return;
    if (work->nan ? work->nan(args) : nnrt_has_nan(&work->out[0]) || nnrt_has_nan(&work->out[1])) {
        nan_kernel = kernel->name;
        fprintf(stderr, "nnrt: NaN: the first kernel to write one is %s\n", nan_kernel);
    }
}

void nnrt_profile(int on)
{
    pthread_mutex_lock(&profile.mutex);
    if (on && !profile.ring)
        profile.ring = calloc(ROOM, sizeof(nnrt_event));
    pthread_mutex_unlock(&profile.mutex);
    if (on)
        __atomic_fetch_or(&nnrt_observers, PROFILE, __ATOMIC_RELAXED);
    else
        __atomic_fetch_and(&nnrt_observers, ~PROFILE, __ATOMIC_RELAXED);
}

int64_t nnrt_profile_take(nnrt_event *events, int64_t room, int64_t *lost)
{
    pthread_mutex_lock(&profile.mutex);
    int64_t oldest = profile.written > ROOM ? profile.written - ROOM : 0;
    *lost = oldest > profile.taken ? oldest - profile.taken : 0;
    int64_t from = oldest > profile.taken ? oldest : profile.taken;
    int64_t count = profile.written - from < room ? profile.written - from : room;
    for (int64_t i = 0; i < count; i++)
        events[i] = profile.ring[(from + i) % ROOM];
    profile.taken = from + count;
    pthread_mutex_unlock(&profile.mutex);
    return count;
}

void nnrt_check_nan(int on)
{
    if (on)
        __atomic_fetch_or(&nnrt_observers, NAN_CHECK, __ATOMIC_RELAXED);
    else
        __atomic_fetch_and(&nnrt_observers, ~NAN_CHECK, __ATOMIC_RELAXED);
}

const char *nnrt_nan_kernel(void)
{
    const char *name = nan_kernel;
    nan_kernel = NULL;
    return name;
}
