/*
 * crew_run -> waiting -> a thread: work -> ended -> on_ended, on the loop: done. One that hangs in
 * a read takes its thread with it, and nothing else.
 */
#include "places/crew.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include <uv.h>

#include <herd/err.h>

#include "base/thread.h"

TAILQ_HEAD(job_list, crew_job);

struct crew {
    uv_async_t ended_some;
    pthread_mutex_t lock;
    pthread_cond_t changed;

    /* Under the lock. */
    struct job_list waiting, ended;
    size_t waiting_count, idle_count; /* jobs; threads that wait for one */
    bool is_over;

    /* The loop's own. */
    pthread_t threads[CREW_THREADS_MAX];
    size_t thread_count;
    size_t jobs; /* whose `done` has not run */
    void (*closed)(void *arg);
    void *closed_arg;
};

/* ---- In a thread ---------------------------------------------------------------------------- */

/* Under the lock. NULL: the crew is over. */
static struct crew_job *next_job(struct crew *crew)
{
    while (crew->waiting_count == 0 && !crew->is_over) {
        crew->idle_count++;
        pthread_cond_wait(&crew->changed, &crew->lock);
        crew->idle_count--;
    }
    struct crew_job *job = TAILQ_FIRST(&crew->waiting);
    if (job == NULL)
        return NULL;
    TAILQ_REMOVE(&crew->waiting, job, link);
    crew->waiting_count--;
    job->is_waiting = false;
    return job;
}

static void *run(void *arg)
{
    struct crew *crew = arg;
    struct crew_job *job;
    pthread_mutex_lock(&crew->lock);
    while ((job = next_job(crew)) != NULL) {
        pthread_mutex_unlock(&crew->lock);
        job->work(job);
        pthread_mutex_lock(&crew->lock);
        TAILQ_INSERT_TAIL(&crew->ended, job, link);
        uv_async_send(&crew->ended_some);
    }
    pthread_mutex_unlock(&crew->lock);
    return NULL;
}

/* 0, or HERD_EIO with errno. */
static int start_thread(struct crew *crew)
{
    if (thread_start(&crew->threads[crew->thread_count], "herd-places", run, crew) != 0)
        return HERD_EIO;
    crew->thread_count++;
    return 0;
}

/* ---- On the loop ---------------------------------------------------------------------------- */

static void free_crew(struct crew *crew)
{
    pthread_cond_destroy(&crew->changed);
    pthread_mutex_destroy(&crew->lock);
    free(crew);
}

static void on_closed(uv_handle_t *handle)
{
    struct crew *crew = handle->data;
    void (*closed)(void *arg) = crew->closed;
    void *arg = crew->closed_arg;
    free_crew(crew);
    closed(arg);
}

/* All threads wait for a job, so that they are here at once. */
static void end_threads(struct crew *crew)
{
    pthread_mutex_lock(&crew->lock);
    crew->is_over = true;
    pthread_cond_broadcast(&crew->changed);
    pthread_mutex_unlock(&crew->lock);
    while (crew->thread_count > 0)
        pthread_join(crew->threads[--crew->thread_count], NULL);
}

static void close_when_done(struct crew *crew)
{
    if (crew->closed == NULL || crew->jobs > 0)
        return;
    end_threads(crew);
    uv_close((uv_handle_t *)&crew->ended_some, on_closed);
}

static struct crew_job *take_ended(struct crew *crew)
{
    pthread_mutex_lock(&crew->lock);
    struct crew_job *job = TAILQ_FIRST(&crew->ended);
    if (job != NULL)
        TAILQ_REMOVE(&crew->ended, job, link);
    pthread_mutex_unlock(&crew->lock);
    return job;
}

static void on_ended(uv_async_t *async)
{
    struct crew *crew = async->data;
    struct crew_job *job;
    while ((job = take_ended(crew)) != NULL) {
        job->done(job);
        crew->jobs--; /* only now: until then it is not closed */
    }
    if (crew->jobs == 0)
        uv_unref((uv_handle_t *)&crew->ended_some);
    close_when_done(crew);
}

void crew_run(struct crew *crew, struct crew_job *job)
{
    assert(crew->closed == NULL);
    job->is_cancelled = false;
    job->is_waiting = true;
    crew->jobs++;
    uv_ref((uv_handle_t *)&crew->ended_some);
    pthread_mutex_lock(&crew->lock);
    TAILQ_INSERT_TAIL(&crew->waiting, job, link);
    bool is_short = ++crew->waiting_count > crew->idle_count;
    pthread_cond_signal(&crew->changed);
    pthread_mutex_unlock(&crew->lock);
    if (is_short && crew->thread_count < CREW_THREADS_MAX)
        start_thread(crew); /* if it cannot, the job waits for one that is there */
}

bool crew_cancel(struct crew *crew, struct crew_job *job)
{
    pthread_mutex_lock(&crew->lock);
    bool was_waiting = job->is_waiting;
    if (was_waiting) {
        TAILQ_REMOVE(&crew->waiting, job, link);
        crew->waiting_count--;
        job->is_waiting = false;
        job->is_cancelled = true;
        TAILQ_INSERT_TAIL(&crew->ended, job, link);
        uv_async_send(&crew->ended_some);
    }
    pthread_mutex_unlock(&crew->lock);
    return was_waiting;
}

int crew_new(struct uv_loop_s *loop, struct crew **out)
{
    struct crew *crew = calloc(1, sizeof *crew);
    if (crew == NULL)
        return HERD_ENOMEM;
    TAILQ_INIT(&crew->waiting);
    TAILQ_INIT(&crew->ended);
    pthread_mutex_init(&crew->lock, NULL);
    pthread_cond_init(&crew->changed, NULL);
    int rc = start_thread(crew);
    if (rc < 0) {
        free_crew(crew);
        return rc;
    }
    rc = uv_async_init(loop, &crew->ended_some, on_ended);
    if (rc < 0) {
        end_threads(crew);
        free_crew(crew);
        errno = -rc;
        return HERD_EIO;
    }
    crew->ended_some.data = crew;
    uv_unref((uv_handle_t *)&crew->ended_some);
    *out = crew;
    return 0;
}

void crew_close(struct crew *crew, void (*closed)(void *arg), void *arg)
{
    crew->closed = closed;
    crew->closed_arg = arg;
    close_when_done(crew);
}
