/*
 * Every second, what the rooms keep for the next requests and have not needed for a second is freed.
 * malloc by itself gives the system only what is free at the end of its heap, and one small piece
 * that is still used there keeps all that is before it; so it is asked to give back whole pages
 * wherever they are. That takes time by the free pieces of a page and more, not by the memory that
 * is used (docs/performance.md), and it is not asked unless the rooms have freed something.
 */
#include "server/memory.h"

#include <assert.h>
#include <time.h>

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include <herd/posix_time.h>

#include "server/room.h"

/* Where others have the processor meanwhile, that is no reason to do it less often. */
static int64_t used_ns(void)
{
    struct timespec used;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    return (int64_t)used.tv_sec * HERD_NS_PER_S + used.tv_nsec;
}

/* In a thread: the loop waits for it only where it needs memory of malloc's meanwhile, which no
 * request does that is like those before it. */
static void trim(uv_work_t *work)
{
    struct memory *memory = work->data;
    int64_t begin_ns = used_ns();
#ifdef __GLIBC__
    malloc_trim(0);
#endif
    memory->took_ns = used_ns() - begin_ns;
}

static void on_trimmed(uv_work_t *work, int status)
{
    struct memory *memory = work->data;
    struct server *server = memory->timer.data;
    assert(status == 0); /* it is never cancelled */
    memory->trimming = false;
    metrics_add(&server->metrics, METRIC_memory_given_back_total, (int64_t)memory->trim_bytes);
    metrics_max(&server->metrics, METRIC_memory_trim_max_ns, memory->took_ns);
    memory->trim_at_ns = (int64_t)uv_hrtime() + memory->took_ns * MEMORY_TRIM_SHARE;
}

static void begin_trim(struct server *server)
{
    struct memory *memory = &server->memory;
    memory->trim.data = memory;
    if (uv_queue_work(&server->loop, &memory->trim, trim, on_trimmed) < 0)
        return;
    memory->trimming = true;
    memory->trim_bytes = memory->freed_bytes;
    memory->freed_bytes = 0;
}

static void on_timer(uv_timer_t *timer)
{
    struct server *server = timer->data;
    struct memory *memory = &server->memory;
    size_t kept_bytes = 0;
    if (server->net != NULL)
        memory->freed_bytes += net_give_back(server->net, &kept_bytes);
    if (server->places != NULL)
        memory->freed_bytes += places_give_back(server->places, &kept_bytes);
    memory->freed_bytes += blocks_give_back(&server->questions, &kept_bytes);
    metrics_set(&server->metrics, METRIC_memory_kept_bytes, (int64_t)kept_bytes);
    if (memory->freed_bytes >= MEMORY_TRIM_BYTES && !memory->trimming &&
        (int64_t)uv_hrtime() >= memory->trim_at_ns)
        begin_trim(server);
    metrics_set(&server->metrics, METRIC_memory_freed_bytes, (int64_t)memory->freed_bytes);
}

void memory_begin(struct server *server)
{
    uv_timer_t *timer = &server->memory.timer;
    uv_timer_init(&server->loop, timer);
    timer->data = server;
    uv_timer_start(timer, on_timer, MEMORY_MS, MEMORY_MS);
    uv_unref((uv_handle_t *)timer);
}

void memory_close(struct memory *memory)
{
    if (memory->timer.data != NULL)
        uv_close((uv_handle_t *)&memory->timer, NULL);
}
