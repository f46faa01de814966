/* A worker on the launcher's core leaves it where another core is idle, and only there. The system's
 * answers are this file's: the test names its functions here in place of the system's.
 * Prints the first broken promise and exits 1. */
#define _GNU_SOURCE
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "threads.h"

#define CHECK(what) do { if (!(what)) { printf("broken: %s\n", #what); exit(1); } } while (0)

static int runnable, looked, moves; /* atomic */
static cpu_set_t sets[2];           /* of the first moves */

int test_getcpu(void) { return 1; } /* all threads share a core */

int test_getaffinity(pid_t who, size_t size, cpu_set_t *set)
{
    CPU_ZERO(set);
    CPU_SET(0, set);
    CPU_SET(1, set);
    return 0;
}

int test_setaffinity(pid_t who, size_t size, const cpu_set_t *set)
{
    int move = __atomic_load_n(&moves, __ATOMIC_RELAXED);
    CHECK(who == 0);
    if (move < 2)
        sets[move] = *set;
    __atomic_store_n(&moves, move + 1, __ATOMIC_RELEASE);
    return 0;
}

int test_open(const char *path, int flags, ...)
{
    int ends[2];
    char text[64];
    CHECK(strcmp(path, "/proc/loadavg") == 0 && pipe(ends) == 0);
    int now = __atomic_load_n(&runnable, __ATOMIC_RELAXED);
    int size = snprintf(text, sizeof text, "10.50 9.25 0.00 %d/345 6789\n", now);
    CHECK(write(ends[1], text, size) == size);
    close(ends[1]);
    __atomic_add_fetch(&looked, 1, __ATOMIC_RELEASE);
    return ends[0];
}

static void wait_a_little(const void *args, int64_t begin, int64_t end, void *scratch) { usleep(200); }
static const nnrt_kernel kernel = {"test/wait", wait_a_little};

static void launch_until(const int *count, int wanted)
{
    nnrt_work work = {0};
    time_t limit = time(NULL) + 30;
    while (__atomic_load_n(count, __ATOMIC_ACQUIRE) < wanted) {
        CHECK(time(NULL) < limit);
        CHECK(nnrt_launch(&kernel, &work, 8) == 0);
    }
}

int main(void)
{
    nnrt_set_threads(2);
    runnable = 3;
    launch_until(&looked, 3);
    CHECK(moves == 0); /* both cores may be busy */

    __atomic_store_n(&runnable, 2, __ATOMIC_RELAXED);
    launch_until(&moves, 2);
    CHECK(CPU_COUNT(&sets[0]) == 1 && CPU_ISSET(0, &sets[0]));
    CHECK(CPU_COUNT(&sets[1]) == 2); /* it may come back */
    puts("passed");
    return 0;
}
