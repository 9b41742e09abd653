/*
 * The provider `local`. A call waits until a connection is idle, is asked with it in libuv's thread
 * pool, and comes back to the loop with its answer:
 *
 *     ask -> WAITING -> start -> RUNNING -> on_work (a thread) -> on_worked -> done
 *
 * A call that is cancelled while it waits is finished by on_wake, in a later turn of the loop; one
 * that runs is interrupted and comes back through on_worked. Once closed, the provider ends its
 * calls in these ways, and its memory goes with the wake handle, after the last of them.
 */
#include "places/local.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>

#include <uv.h>

#include <herd/err.h>

#include "base/log.h"
#include "places/local_answer.h"
#include "places/local_db.h"

/* libuv has four threads unless told otherwise; one stays free for names and files. */
enum { CONNECTIONS = 3 };

struct local_call {
    struct places_call base;
    uv_work_t work;
    struct places_query query;
    places_done_cb *done;
    void *arg;
    struct local_db *db;          /* while it runs; NULL: it waits */
    struct places_answer *answer; /* once it ran */
    bool cancelled;
    struct local_call *previous, *next;
};

struct local {
    struct provider base;
    uv_loop_t *loop;
    struct log *log; /* or NULL */
    char *path;
    bool is_failing; /* the last answer said that the file cannot be read */
    uv_async_t wake;
    struct local_db *idle[CONNECTIONS];
    size_t idle_count;
    struct local_call *first, *last; /* in the order they were asked */
    int64_t calls, calls_max;
    void (*closed)(void *arg); /* not NULL: no more calls */
    void *closed_arg;
};

static void free_local(struct local *local)
{
    while (local->idle_count > 0)
        local_db_close(local->idle[--local->idle_count]);
    free(local->path);
    free(local);
}

static void on_wake_closed(uv_handle_t *handle)
{
    struct local *local = handle->data;
    void (*closed)(void *arg) = local->closed;
    void *arg = local->closed_arg;
    free_local(local);
    closed(arg);
}

static void close_when_done(struct local *local)
{
    uv_handle_t *wake = (uv_handle_t *)&local->wake;
    if (local->closed != NULL && local->calls == 0 && !uv_is_closing(wake))
        uv_close(wake, on_wake_closed);
}

static void link_call(struct local *local, struct local_call *call)
{
    call->previous = local->last;
    *(local->last != NULL ? &local->last->next : &local->first) = call;
    local->last = call;
    local->calls++;
}

static void unlink_call(struct local *local, struct local_call *call)
{
    *(call->previous != NULL ? &call->previous->next : &local->first) = call->next;
    *(call->next != NULL ? &call->next->previous : &local->last) = call->previous;
    local->calls--;
}

static struct places_answer *cancelled_answer(void)
{
    struct places_answer *answer = places_answer_new(PLACES_UNKNOWN_ERROR);
    places_answer_set_error(answer, herd_strerror(HERD_ECANCELED));
    return answer;
}

/* The last that is done with a call; `done` may ask, cancel and close. */
static void finish(struct local *local, struct local_call *call)
{
    struct places_answer *answer = call->answer;
    if (call->cancelled) {
        places_answer_unref(answer);
        answer = cancelled_answer();
    }
    places_done_cb *done = call->done;
    void *arg = call->arg;
    unlink_call(local, call);
    free(call);
    done(arg, answer);
    close_when_done(local);
}

static struct local_call *find_waiting(const struct local *local, bool cancelled)
{
    struct local_call *call = local->first;
    while (call != NULL && (call->db != NULL || call->cancelled != cancelled))
        call = call->next;
    return call;
}

static void on_work(uv_work_t *work)
{
    struct local_call *call = work->data;
    call->answer = local_answer(call->db, &call->query);
}

static void on_worked(uv_work_t *work, int status);

static void start_waiting(struct local *local)
{
    struct local_call *call;
    while (local->idle_count > 0 && (call = find_waiting(local, false)) != NULL) {
        call->db = local->idle[--local->idle_count];
        call->work.data = call;
        int rc = uv_queue_work(local->loop, &call->work, on_work, on_worked);
        assert(rc == 0);
    }
}

/* A broken file is said once, not with every answer. */
static void log_failure(struct local *local, const struct local_call *call)
{
    bool is_failing = places_answer_status(call->answer) == PLACES_UNKNOWN_ERROR;
    if (local->log != NULL && is_failing && !local->is_failing)
        LOG(local->log, LOG_ERROR, "places", "the places file cannot be read",
            log_text("file", local->path), log_text("reason", local_db_reason(call->db)));
    if (local->log != NULL && !is_failing && local->is_failing)
        LOG(local->log, LOG_INFO, "places", "the places file can be read again",
            log_text("file", local->path));
    local->is_failing = is_failing;
}

static void on_worked(uv_work_t *work, int status)
{
    struct local_call *call = work->data;
    struct local *local = (struct local *)call->base.provider;
    assert(status == 0 || call->cancelled);
    if (!call->cancelled)
        log_failure(local, call);
    local->idle[local->idle_count++] = call->db;
    start_waiting(local);
    finish(local, call);
}

static void on_wake(uv_async_t *wake)
{
    struct local *local = wake->data;
    struct local_call *call;
    while ((call = find_waiting(local, true)) != NULL)
        finish(local, call);
}

static int ask(struct provider *provider, const struct places_query *query, places_done_cb *done,
               void *arg, struct places_call **out)
{
    struct local *local = (struct local *)provider;
    assert(local->closed == NULL);
    if (local->calls == local->calls_max)
        return HERD_EBUSY;
    struct local_call *call = calloc(1, sizeof *call);
    if (call == NULL)
        return HERD_ENOMEM;
    call->base.provider = provider;
    call->query = *query;
    call->done = done;
    call->arg = arg;
    link_call(local, call);
    start_waiting(local);
    *out = &call->base;
    return 0;
}

static void cancel(struct places_call *base)
{
    struct local_call *call = (struct local_call *)base;
    struct local *local = (struct local *)base->provider;
    if (call->cancelled)
        return;
    call->cancelled = true;
    if (call->db == NULL)
        uv_async_send(&local->wake);
    else if (uv_cancel((uv_req_t *)&call->work) != 0)
        local_db_interrupt(call->db);
}

static void close_provider(struct provider *provider, void (*closed)(void *arg), void *arg)
{
    struct local *local = (struct local *)provider;
    assert(local->closed == NULL && closed != NULL);
    local->closed = closed;
    local->closed_arg = arg;
    for (struct local_call *call = local->first; call != NULL; call = call->next)
        cancel(&call->base);
    close_when_done(local);
}

static int open_connections(struct local *local, struct herd_buf *error)
{
    while (local->idle_count < CONNECTIONS) {
        int rc = local_db_open(local->path, &local->idle[local->idle_count], error);
        if (rc < 0)
            return rc;
        local->idle_count++;
    }
    return 0;
}

/* The path to open, for free(). 0 or HERD_ENOMEM. */
static int find_file(const char *data_file, char **out)
{
    struct herd_buf path = {0};
    int rc =
        data_file[0] != '\0' ? herd_buf_append_text(&path, data_file) : places_default_file(&path);
    if (rc == 0)
        rc = herd_buf_append(&path, "", 1);
    if (rc < 0)
        herd_buf_free(&path);
    *out = path.data;
    return rc;
}

static int open_file(struct local *local, const char *data_file, struct herd_buf *error)
{
    int rc = find_file(data_file, &local->path);
    if (rc == 0)
        rc = open_connections(local, error);
    if (rc == HERD_ENOTFOUND)
        herd_buf_append_text(error, data_file[0] != '\0'
                                        ? ": make it with `herd-places build`, or leave data_file "
                                          "empty for the data set installed with herd"
                                        : ": install herd's data set, or name another places file "
                                          "with data_file in herd.conf");
    return rc;
}

static void log_opened(struct local *local)
{
    int64_t places = 0;
    const struct local_source *source;
    for (size_t i = 0; (source = local_db_source(local->idle[0], i)) != NULL; i++)
        places += source->places;
    if (local->log != NULL)
        LOG(local->log, LOG_INFO, "places", "opened", log_text("file", local->path),
            log_int("places", places));
}

static int open_provider(const struct places_options *options, struct provider **out,
                         struct herd_buf *error)
{
    struct local *local = calloc(1, sizeof *local);
    if (local == NULL)
        return HERD_ENOMEM;
    local->base.type = &provider_local;
    local->loop = options->loop;
    local->log = options->log;
    local->calls_max = options->calls_max;
    int rc = open_file(local, options->data_file, error);
    if (rc == 0 && uv_async_init(local->loop, &local->wake, on_wake) != 0) {
        herd_buf_append_text(error, "no file descriptor is left");
        rc = HERD_EIO;
    }
    if (rc < 0) {
        free_local(local);
        return rc;
    }
    local->wake.data = local;
    uv_unref((uv_handle_t *)&local->wake); /* an idle provider keeps no loop running */
    log_opened(local);
    *out = &local->base;
    return 0;
}

const struct provider_type provider_local = {
    .name = "local",
    .open = open_provider,
    .ask = ask,
    .cancel = cancel,
    .close = close_provider,
};
