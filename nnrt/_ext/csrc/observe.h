/* What hangs on the launch seam: the profiler and the NaN check (interface in threads.h). */
#ifndef NNRT_OBSERVE_H
#define NNRT_OBSERVE_H

#include <time.h>

#include "nnrt.h"

/* Nonzero while the profiler or the NaN check is on. */
extern int nnrt_observers;
static inline int nnrt_observed(void) { return __atomic_load_n(&nnrt_observers, __ATOMIC_RELAXED); }

/* Whether the span holds a NaN. */
int nnrt_has_nan(const nnrt_span *span);

/* Called after each launch while nnrt_observed(). */
void nnrt_observe(const nnrt_kernel *kernel, const void *args, int64_t tasks, int64_t start_ns);

static inline int64_t nnrt_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

#endif
