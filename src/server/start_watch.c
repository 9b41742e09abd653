/*
 * The start has no loop yet: it reads and syncs files where it stands, and a disk that does not
 * answer holds it for as long as it likes. So another thread looks after it:
 *
 *   a step takes 1 s       warning, again after 2, 4, 8 … s; and one when it has ended after all.
 *                          Both say what of the time went by on a processor, and what in the queue
 *                          for one: the rest was the disk's
 *   told to stop           the start ends by itself where it can: between two records, or steps
 *   told, and out of time  error, and the process ends: nothing is lost, for nothing was promised
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <uv.h>

#include <herd/err.h>
#include <herd/posix_time.h>

#include "base/log.h"
#include "places/secret.h"
#include "server/signals.h"
#include "server/start_watch.h"

enum { LOOK_MS = 50, LONG_MS = 1000, EXIT_UNFINISHED = 1 };

/* Since the process began. */
struct used {
    int64_t cpu_ns;    /* on a processor, all threads */
    int64_t queued_ns; /* the first thread, ready to run; 0 where the kernel does not tell */
};

struct start_watch {
    struct log *log;
    int64_t stop_after_ns;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t ended;

    /* Under the lock. */
    const char *step;
    int64_t since_ns; /* when it began: uv_hrtime, as the others */
    struct used used; /* when it began */
    int64_t tell_ns;  /* when it is told of next */
    int64_t told_to_stop_ns;
    bool is_told, is_over;
};

/* proc(5) of /proc/PID/schedstat: time on a processor, time in the queue, turns. */
static int64_t queued_ns(void)
{
    char text[96] = "";
    int fd = open("/proc/self/schedstat", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t len = read(fd, text, sizeof(text) - 1);
    close(fd);
    const char *second = len > 0 ? strchr(text, ' ') : NULL;
    return second != NULL ? strtoll(second, NULL, 10) : 0;
}

static struct used used_so_far(void)
{
    struct timespec cpu = {0};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    return (struct used){.cpu_ns = cpu.tv_sec * HERD_NS_PER_S + cpu.tv_nsec,
                         .queued_ns = queued_ns()};
}

/* All of these under the lock. */

static void begin_step(struct start_watch *watch, const char *step, int64_t now_ns)
{
    watch->step = step;
    watch->since_ns = now_ns;
    watch->used = used_so_far();
    watch->tell_ns = now_ns + LONG_MS * HERD_NS_PER_MS;
    watch->is_told = false;
}

static void tell(const struct start_watch *watch, const char *message, int64_t now_ns)
{
    struct used used = used_so_far();
    LOG(watch->log, LOG_WARNING, "server", message, log_text("step", watch->step),
        log_ms("took", now_ns - watch->since_ns), log_ms("cpu", used.cpu_ns - watch->used.cpu_ns),
        log_ms("queued", used.queued_ns - watch->used.queued_ns));
}

static void end_step(const struct start_watch *watch, int64_t now_ns)
{
    if (watch->is_told)
        tell(watch, "the start goes on", now_ns);
}

static void tell_if_long(struct start_watch *watch, int64_t now_ns)
{
    if (now_ns < watch->tell_ns)
        return;
    tell(watch, "the start takes long", now_ns);
    watch->tell_ns = now_ns + (now_ns - watch->since_ns);
    watch->is_told = true;
}

/* The start may come back from its call at any time, and waits for the lock, which is kept, at its
 * next step. Until then it may still log, so the log stays. */
static void end_if_told(struct start_watch *watch, int64_t now_ns)
{
    if (watch->told_to_stop_ns == 0 && signals_want_stop())
        watch->told_to_stop_ns = now_ns;
    if (watch->told_to_stop_ns == 0 || now_ns - watch->told_to_stop_ns < watch->stop_after_ns)
        return;
    LOG(watch->log, LOG_ERROR, "server",
        "told to stop during the start, which does not end: the disk does not answer",
        log_text("step", watch->step), log_ms("took", now_ns - watch->since_ns));
    log_finish(watch->log);
    secret_wipe_all();
    _exit(EXIT_UNFINISHED);
}

static void wait_a_moment(struct start_watch *watch)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += LOOK_MS * HERD_NS_PER_MS;
    until.tv_sec += until.tv_nsec / HERD_NS_PER_S;
    until.tv_nsec %= HERD_NS_PER_S;
    pthread_cond_timedwait(&watch->ended, &watch->lock, &until);
}

static void *run(void *arg)
{
    struct start_watch *watch = arg;
    pthread_mutex_lock(&watch->lock);
    while (!watch->is_over) {
        int64_t now_ns = (int64_t)uv_hrtime();
        tell_if_long(watch, now_ns);
        end_if_told(watch, now_ns);
        wait_a_moment(watch);
    }
    pthread_mutex_unlock(&watch->lock);
    return NULL;
}

static void free_watch(struct start_watch *watch)
{
    pthread_cond_destroy(&watch->ended);
    pthread_mutex_destroy(&watch->lock);
    free(watch);
}

int start_watch_new(struct log *log, int64_t stop_after_ms, struct start_watch **out)
{
    struct start_watch *watch = calloc(1, sizeof(*watch));
    pthread_condattr_t attributes;
    if (watch == NULL)
        return HERD_ENOMEM;
    watch->log = log;
    watch->stop_after_ns = stop_after_ms * HERD_NS_PER_MS;
    begin_step(watch, "beginning", (int64_t)uv_hrtime());
    pthread_mutex_init(&watch->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&watch->ended, &attributes);
    pthread_condattr_destroy(&attributes);
    int rc = pthread_create(&watch->thread, NULL, run, watch);
    if (rc != 0) {
        free_watch(watch);
        errno = rc;
        return HERD_EIO;
    }
    pthread_setname_np(watch->thread, "herd-start");
    *out = watch;
    return 0;
}

void start_watch_step(struct start_watch *watch, const char *step)
{
    if (watch == NULL)
        return;
    int64_t now_ns = (int64_t)uv_hrtime();
    pthread_mutex_lock(&watch->lock);
    end_step(watch, now_ns);
    begin_step(watch, step, now_ns);
    pthread_mutex_unlock(&watch->lock);
}

int64_t start_watch_end(struct start_watch *watch)
{
    pthread_mutex_lock(&watch->lock);
    end_step(watch, (int64_t)uv_hrtime());
    watch->is_over = true;
    pthread_cond_signal(&watch->ended);
    pthread_mutex_unlock(&watch->lock);
    pthread_join(watch->thread, NULL);
    int64_t told_to_stop_ns = watch->told_to_stop_ns;
    free_watch(watch);
    return told_to_stop_ns;
}
