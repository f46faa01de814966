/* What a launch promises to its caller, seen from C: flush-to-zero inside and the caller's mode
 * after, scratch of its own for every thread or nothing run at all, and forks at any time.
 * Prints the first broken promise and exits 1. */
#include <fenv.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "memory.h"
#include "threads.h"

enum { TASKS = 64 };
#define CHECK(what) do { if (!(what)) { printf("broken: %s\n", #what); exit(1); } } while (0)

typedef struct {
    nnrt_work work;
    int64_t ran[TASKS];
    int flushed[TASKS];
    void *scratch[TASKS];
} probe_args;

static volatile float tiny = 1e-40f, one = 1;

static void probe(const void *args, int64_t begin, int64_t end, void *scratch)
{
    probe_args *p = (probe_args *)args;
    for (int64_t i = begin; i < end; i++) {
        p->flushed[i] = tiny * one == 0;
        p->scratch[i] = scratch;
        if (p->work.scratch) {
            memset(scratch, (int)i, p->work.scratch);
            for (int spin = 0; spin < 1000; spin++)
                one = 1;
            for (size_t j = 0; j < p->work.scratch; j++)
                CHECK(((unsigned char *)scratch)[j] == i);
        }
        __atomic_add_fetch(&p->ran[i], 1, __ATOMIC_RELAXED);
    }
}
static const nnrt_kernel kernel = {"test/probe", probe};

static void check_launch(size_t scratch)
{
    probe_args a;
    memset(&a, 0, sizeof a);
    a.work.scratch = scratch;
    CHECK(nnrt_launch(&kernel, &a, TASKS) == 0);
    for (int i = 0; i < TASKS; i++) {
        CHECK(a.ran[i] == 1);
        CHECK(a.flushed[i]);
        CHECK(scratch == 0 || (uintptr_t)a.scratch[i] % 64 == 0);
    }
}

static void *launch_until(void *stop)
{
    while (!__atomic_load_n((int *)stop, __ATOMIC_RELAXED))
        check_launch(100);
    return NULL;
}

static void check_forks(int count)
{
    for (int i = 0; i < count; i++) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            alarm(20); /* a child that hangs dies of it */
            for (int r = 0; r < 3; r++)
                check_launch(r * 1000);
            _exit(0);
        }
        int status;
        CHECK(waitpid(child, &status, 0) == child);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
}

int main(void)
{
    nnrt_set_threads(3);

    check_launch(0);
    CHECK(tiny * one != 0); /* the caller's mode is back */
    feclearexcept(FE_ALL_EXCEPT);
    check_launch(4096);
    CHECK(!fetestexcept(FE_UNDERFLOW | FE_INVALID | FE_DIVBYZERO));

    probe_args a;
    memset(&a, 0, sizeof a);
    a.work.scratch = (size_t)1 << 46;
    nnrt_memory_stats before, after;
    nnrt_memory_get(&before);
    for (int tasks = 1; tasks <= TASKS; tasks *= TASKS) {
        CHECK(nnrt_launch(&kernel, &a, tasks) == -1);
        for (int i = 0; i < TASKS; i++)
            CHECK(a.ran[i] == 0);
    }
    nnrt_memory_get(&after);
    CHECK(after.allocated == before.allocated);
    check_launch(64); /* the pool is free again */
    CHECK(nnrt_launch(&kernel, &a, 0) == 0);

    check_forks(50);
    int stop = 0;
    pthread_t busy[2];
    for (int i = 0; i < 2; i++)
        pthread_create(&busy[i], NULL, launch_until, &stop);
    check_forks(50);
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    for (int i = 0; i < 2; i++)
        pthread_join(busy[i], NULL);

    for (int i = 0; i < 200; i++) { /* sleeping workers are woken */
        nnrt_set_spin(i % 2 ? 0 : 20000);
        nnrt_set_threads(1 + i % 6);
        check_launch(i % 3 * 100);
        if (i % 10 == 0)
            usleep(1000);
    }
    puts("passed");
    return 0;
}
