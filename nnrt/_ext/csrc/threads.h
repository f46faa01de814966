/* The thread pool behind nnrt_launch, its settings, and the profiler and NaN
 * check that hang on it. Compiled once, for the baseline. */
#ifndef NNRT_THREADS_H
#define NNRT_THREADS_H

#include "nnrt.h"

/* Threads that a launch may use, the caller's own included; at least 1. Takes
 * effect at the next launch. */
void nnrt_set_threads(int threads);
int nnrt_get_threads(void);

/* How long an idle thread of the pool spins before it sleeps. More threads than
 * cores do not spin. */
void nnrt_set_spin(int64_t ns);

/* Profiler: while on, every launch is recorded in a bounded ring. */
typedef struct {
    const char *name;
    int64_t start_ns, stop_ns; /* CLOCK_MONOTONIC */
    int64_t tasks;
    double flops, bytes;
    uint64_t thread; /* the launching thread */
} nnrt_event;
void nnrt_profile(int on);
/* Copies up to `room` recorded events, oldest first, and forgets them; returns how
 * many. `lost` receives the number overwritten since the last call. */
int64_t nnrt_profile_take(nnrt_event *events, int64_t room, int64_t *lost);

/* NaN check: while on, a launch looks at its out spans; the first kernel that wrote
 * a NaN is remembered (per thread) until asked for. */
void nnrt_check_nan(int on);
const char *nnrt_nan_kernel(void); /* name or NULL; forgets it */

#endif
