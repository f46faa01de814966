/* The pool under ThreadSanitizer: several threads launch at once, nested launches, the thread count
 * changes meanwhile, the profiler and the NaN check are switched on and off. Exits 1 on a wrong sum. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "threads.h"

enum { TASKS = 97, THREADS = 4, ROUNDS = 300 };

typedef struct {
    nnrt_work work;
    float *out;
    int nested;
} sum_args;

static void fill(const void *args, int64_t begin, int64_t end, void *scratch);
static const nnrt_kernel kernel = {"test/fill", fill};

static void fill(const void *args, int64_t begin, int64_t end, void *scratch)
{
    const sum_args *p = args;
    float *mine = scratch;
    for (int64_t i = begin; i < end; i++) {
        mine[0] = (float)i; /* scratch is private to the worker */
        p->out[i] = mine[0] + 1;
        if (p->nested && i % 16 == 0) {
            float inner[3] = {0};
            sum_args a = {.out = inner};
            a.work.scratch = 64;
            nnrt_launch(&kernel, &a, 3);
            if (inner[2] != 3) abort();
        }
    }
}

static void *launches(void *seed)
{
    for (int round = 0; round < ROUNDS; round++) {
        float out[TASKS];
        memset(out, 0, sizeof out);
        sum_args a = {.out = out, .nested = (int)(long)seed % 2};
        a.work.scratch = 256 << (round % 4);
        a.work.out[0] = (nnrt_span){out, TASKS, NNRT_F32};
        if (nnrt_launch(&kernel, &a, TASKS)) return "no scratch";
        for (int i = 0; i < TASKS; i++)
            if (out[i] != i + 1) return "wrong result";
        if ((long)seed == 0) {
            nnrt_set_threads(1 + round % 5);
            nnrt_profile(round % 2);
            nnrt_check_nan(round % 3 == 0);
            nnrt_event events[8];
            int64_t lost;
            nnrt_profile_take(events, 8, &lost);
        }
    }
    return NULL;
}

int main(void)
{
    pthread_t threads[THREADS];
    int failed = 0;
    nnrt_set_threads(3);
    for (long i = 0; i < THREADS; i++) pthread_create(&threads[i], NULL, launches, (void *)i);
    for (int i = 0; i < THREADS; i++) {
        void *error;
        pthread_join(threads[i], &error);
        if (error) {
            fprintf(stderr, "thread %d: %s\n", i, (char *)error);
            failed = 1;
        }
    }
    puts(failed ? "pool: failed" : "pool: passed");
    return failed;
}
