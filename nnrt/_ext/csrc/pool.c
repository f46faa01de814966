/* First version: every launch runs on the calling thread. */
#include "pool.h"
#include "memory.h"

static int threads = 1;
void nnrt_set_threads(int n) { threads = n < 1 ? 1 : n; }
int nnrt_get_threads(void) { return threads; }

int nnrt_launch(const nnrt_kernel *kernel, const void *args, int64_t tasks)
{
    const nnrt_work *work = args;
    void *scratch = NULL;
    if (tasks <= 0)
        return 0;
    if (work->scratch && !(scratch = nnrt_alloc(work->scratch)))
        return -1;
    kernel->fn(args, 0, tasks, scratch);
    if (scratch)
        nnrt_free(scratch, work->scratch);
    return 0;
}

void nnrt_profile(int on) { (void)on; }
int64_t nnrt_profile_take(nnrt_event *events, int64_t room, int64_t *lost)
{
    (void)events, (void)room;
    *lost = 0;
    return 0;
}
void nnrt_check_nan(int on) { (void)on; }
const char *nnrt_nan_kernel(void) { return NULL; }
