/*
 * The threads that are tried are all there at once, and wait for each other's end; then for the
 * kernel to have taken them off its counts, which is after pthread_join. What is left between that
 * and libuv's own is that another process of the same user takes their places: then libuv aborts,
 * before anything was promised.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <uv.h>

#include <herd/err.h>

#include "base/thread.h"
#include "server/thread_pool.h"

/* threadpool.c of libuv: 4, or what the environment says, 1 to 1024. */
enum { THREADS = 4, THREADS_MAX = 1024, GONE_LOOKS_MAX = 1000 };

struct trial {
    pthread_mutex_t lock;
    pthread_cond_t over;
    bool is_over;
};

struct tried {
    struct trial *trial;
    pthread_t thread;
    pid_t id;
};

static size_t threads_wanted(void)
{
    const char *text = getenv("UV_THREADPOOL_SIZE");
    int count = text != NULL ? atoi(text) : THREADS;
    return count < 1 ? 1 : count > THREADS_MAX ? THREADS_MAX : (size_t)count;
}

static void *wait_for_the_end(void *arg)
{
    struct tried *tried = arg;
    struct trial *trial = tried->trial;
    pthread_mutex_lock(&trial->lock);
    tried->id = gettid();
    while (!trial->is_over)
        pthread_cond_wait(&trial->over, &trial->lock);
    pthread_mutex_unlock(&trial->lock);
    return NULL;
}

/* Until the kernel no longer knows it: there is nothing to wait for, and it is soon. */
static void wait_until_gone(pid_t id)
{
    const struct timespec moment = {.tv_nsec = 1000000};
    for (int i = 0; i < GONE_LOOKS_MAX && tgkill(getpid(), id, 0) == 0; i++)
        nanosleep(&moment, NULL);
}

/* 0, or the errno of the thread that could not be had. */
static int try_threads(struct tried *tried, size_t count)
{
    struct trial trial = {.lock = PTHREAD_MUTEX_INITIALIZER, .over = PTHREAD_COND_INITIALIZER};
    int error = 0;
    size_t begun = 0;
    while (error == 0 && begun < count) {
        tried[begun].trial = &trial;
        error = pthread_create(&tried[begun].thread, NULL, wait_for_the_end, &tried[begun]);
        begun += error == 0;
    }
    pthread_mutex_lock(&trial.lock);
    trial.is_over = true;
    pthread_cond_broadcast(&trial.over);
    pthread_mutex_unlock(&trial.lock);
    for (size_t i = 0; i < begun; i++)
        pthread_join(tried[i].thread, NULL);
    for (size_t i = 0; i < begun; i++)
        wait_until_gone(tried[i].id);
    return error;
}

static void do_nothing(uv_work_t *work)
{
    (void)work;
}

static void on_done(uv_work_t *work, int status)
{
    (void)work;
    (void)status;
}

/* On a loop of its own, which ends with it. 0, or an error of libuv. */
static int use_pool(void)
{
    uv_loop_t loop;
    uv_work_t work;
    int rc = uv_loop_init(&loop);
    if (rc < 0)
        return rc;
    rc = uv_queue_work(&loop, &work, do_nothing, on_done);
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_loop_close(&loop);
    return rc;
}

int thread_pool_make(struct herd_buf *error)
{
    size_t count = threads_wanted();
    struct tried *tried = calloc(count, sizeof(*tried));
    if (tried == NULL)
        return HERD_ENOMEM;
    sigset_t before;
    thread_block_signals(&before);
    int failure = try_threads(tried, count);
    int rc = failure == 0 ? use_pool() : 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    free(tried);
    if (failure != 0)
        herd_buf_printf(error, "the %zu threads of the loop cannot be started: %s", count,
                        strerror(failure));
    else if (rc < 0)
        herd_buf_printf(error, "the threads of the loop cannot be used: %s", uv_strerror(rc));
    return failure != 0 || rc < 0 ? HERD_EIO : 0;
}
