/*
 * The loop's side of records.db, and the thread that writes it:
 *
 *     durable_write -> run: records_write -> on_wake -> done
 *     durable_close -> run: the batch under way, records_close -> on_wake -> on_wake_closed ->
 * closed
 *
 * A batch is lent to the thread until on_wake has taken its outcome, so there is one at a time.
 * Between batches the thread tidies the file, a step after each batch and on while there is none:
 * under constant load too, that gets done.
 */
#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uv.h>

#include <herd/err.h>

#include "base/log.h"
#include "base/metrics.h"
#include "base/thread.h"
#include "durable/records.h"

enum {
    /* A journal this long in rows is worth a snapshot: below the first it is read in no time;
     * above the second, writing the snapshot adds at most half to what is written anyway. */
    JOURNAL_ROWS_MIN = 65536,
    JOURNAL_ROWS_PER_RECORD = 2
};

struct outcome {
    int status;
    int64_t journal_rows;
    bool is_snapshotting;
    char reason[160];
};

struct durable {
    struct log *log; /* or NULL */
    char *path;
    uv_async_t wake;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;

    /* Under the lock. */
    const struct herd_batch *batch; /* to be written, or being written */
    bool is_written;                /* the outcome is that of the batch */
    bool is_closing, has_stopped;
    bool is_abandoned; /* nobody is to be woken */
    struct outcome outcome;

    /* The loop's own. */
    struct outcome last;
    bool is_failing;
    void (*done)(void *arg, int status); /* NULL: no batch is under way */
    void *done_arg;
    void (*closed)(void *arg);
    void *closed_arg;

    /* The thread's own. */
    struct records *records;
    bool is_tidying_failing;
};

/* The thread */

static struct outcome outcome_of(const struct records *records, int status)
{
    struct outcome outcome = {.status = status};
    if (status < 0)
        snprintf(outcome.reason, sizeof outcome.reason, "%s", records_reason(records));
    outcome.journal_rows = records_journal_rows(records);
    outcome.is_snapshotting = records_is_snapshotting(records);
    return outcome;
}

static void write_batch(struct durable *durable, const struct herd_batch *batch)
{
    int status = records_write(durable->records, batch);
    struct outcome outcome = outcome_of(durable->records, status);
    pthread_mutex_lock(&durable->lock);
    durable->outcome = outcome;
    durable->is_written = true;
    durable->batch = NULL;
    pthread_mutex_unlock(&durable->lock);
    uv_async_send(&durable->wake);
}

/* One step. False: there is no more to do, or it cannot be done for now. */
static bool tidy(struct durable *durable)
{
    int rc = records_tidy(durable->records);
    if (rc < 0 && !durable->is_tidying_failing)
        LOG(durable->log, LOG_WARNING, "durable", "the file cannot be tidied",
            log_text("file", durable->path), log_text("reason", records_reason(durable->records)));
    durable->is_tidying_failing = rc < 0;
    return rc > 0;
}

/* The batch to write, or NULL: tidy, or stop. Waits while there is nothing to do. */
static const struct herd_batch *next_batch(struct durable *durable, bool is_untidy, bool *out_stop)
{
    pthread_mutex_lock(&durable->lock);
    while (durable->batch == NULL && !durable->is_closing && !is_untidy)
        pthread_cond_wait(&durable->changed, &durable->lock);
    const struct herd_batch *batch = durable->batch;
    *out_stop = batch == NULL && durable->is_closing;
    pthread_mutex_unlock(&durable->lock);
    return batch;
}

static void *run(void *arg)
{
    struct durable *durable = arg;
    bool is_untidy = true, stop;
    const struct herd_batch *batch;
    while (batch = next_batch(durable, is_untidy, &stop), !stop) {
        if (batch != NULL)
            write_batch(durable, batch);
        is_untidy = tidy(durable);
    }
    records_close(durable->records);
    pthread_mutex_lock(&durable->lock);
    durable->has_stopped = true;
    bool is_abandoned = durable->is_abandoned;
    pthread_mutex_unlock(&durable->lock);
    if (!is_abandoned)
        uv_async_send(&durable->wake);
    return NULL;
}

/* The loop */

static void free_durable(struct durable *durable)
{
    pthread_cond_destroy(&durable->changed);
    pthread_mutex_destroy(&durable->lock);
    free(durable->path);
    free(durable);
}

static void on_wake_closed(uv_handle_t *handle)
{
    struct durable *durable = handle->data;
    void (*closed)(void *arg) = durable->closed;
    void *arg = durable->closed_arg;
    free_durable(durable);
    closed(arg);
}

/* Said once when it begins and once when it is over, not once a second. */
static void log_change(struct durable *durable)
{
    bool is_failing = durable->last.status < 0;
    if (is_failing && !durable->is_failing)
        LOG(durable->log, LOG_ERROR, "durable",
            "records cannot be written to disk; they are kept in memory and tried again",
            log_text("file", durable->path), log_text("error", herd_strerror(durable->last.status)),
            log_text("reason", durable->last.reason));
    else if (!is_failing && durable->is_failing)
        LOG(durable->log, LOG_INFO, "durable", "records are written to disk again",
            log_text("file", durable->path));
    durable->is_failing = is_failing;
}

static void finish_batch(struct durable *durable)
{
    void (*done)(void *arg, int status) = durable->done;
    log_change(durable);
    durable->done = NULL;
    if (durable->closed == NULL) /* else the loop goes on until it is closed */
        uv_unref((uv_handle_t *)&durable->wake);
    done(durable->done_arg, durable->last.status);
}

static void on_wake(uv_async_t *wake)
{
    struct durable *durable = wake->data;
    pthread_mutex_lock(&durable->lock);
    bool is_written = durable->is_written;
    bool has_stopped = durable->has_stopped;
    if (is_written)
        durable->last = durable->outcome;
    durable->is_written = false;
    pthread_mutex_unlock(&durable->lock);
    if (is_written)
        finish_batch(durable);
    if (has_stopped) {
        pthread_join(durable->thread, NULL);
        uv_close((uv_handle_t *)wake, on_wake_closed);
    }
}

void durable_write(struct durable *durable, const struct herd_batch *batch,
                   void (*done)(void *arg, int status), void *arg)
{
    assert(durable->done == NULL && durable->closed == NULL && done != NULL);
    durable->done = done;
    durable->done_arg = arg;
    uv_ref((uv_handle_t *)&durable->wake);
    pthread_mutex_lock(&durable->lock);
    durable->batch = batch;
    pthread_cond_signal(&durable->changed);
    pthread_mutex_unlock(&durable->lock);
}

bool durable_wants_snapshot(const struct durable *durable, size_t records_held)
{
    int64_t rows = durable->last.journal_rows;
    return !durable->last.is_snapshotting && rows > JOURNAL_ROWS_MIN &&
           (uint64_t)rows / JOURNAL_ROWS_PER_RECORD > records_held;
}

void durable_close(struct durable *durable, void (*closed)(void *arg), void *arg)
{
    assert(durable->closed == NULL && closed != NULL);
    durable->closed = closed;
    durable->closed_arg = arg;
    uv_ref((uv_handle_t *)&durable->wake);
    pthread_mutex_lock(&durable->lock);
    durable->is_closing = true;
    pthread_cond_signal(&durable->changed);
    pthread_mutex_unlock(&durable->lock);
}

/* Blocks until the thread has ended. */
static void abandon(struct durable *durable)
{
    pthread_mutex_lock(&durable->lock);
    durable->is_closing = durable->is_abandoned = true;
    pthread_cond_signal(&durable->changed);
    pthread_mutex_unlock(&durable->lock);
    pthread_join(durable->thread, NULL);
    free_durable(durable);
}

/* The thread comes before the handle, because that can only be closed by a loop that runs. */
static int start(struct durable *durable, uv_loop_t *loop, struct herd_buf *error)
{
    int rc = thread_start(&durable->thread, "herd-durable", run, durable);
    if (rc != 0) {
        herd_buf_printf(error, "the thread that writes records cannot be started: %s",
                        strerror(rc));
        records_close(durable->records);
        free_durable(durable);
        return HERD_EIO;
    }
    rc = uv_async_init(loop, &durable->wake, on_wake);
    if (rc != 0) {
        herd_buf_printf(error, "the thread that writes records cannot be heard: %s",
                        uv_strerror(rc));
        abandon(durable);
        return HERD_EIO;
    }
    durable->wake.data = durable;
    uv_unref((uv_handle_t *)&durable->wake); /* an idle one keeps no loop running */
    return 0;
}

bool durable_is_failing(const struct durable *durable)
{
    return durable->is_failing;
}

/* What was found that is no reason not to start. */
static void report(const struct durable_options *options, const struct records *records,
                   struct herd_slice failure)
{
    const char *lost = records_lost(records);
    if (options->metrics != NULL)
        metrics_set(options->metrics, METRIC_disk_damaged, lost[0] != '\0');
    if (lost[0] != '\0')
        LOG(options->log, LOG_ERROR, "durable",
            records_is_in_doubt(records)
                ? "part of what was written may be lost; what is there is served, and neighbours "
                  "send what they hold: look after the disk"
                : "part of what was written is lost; the rest is served, and neighbours send what "
                  "they hold: look after the disk; a server without neighbours needs its backup",
            log_text("file", records_path(records)), log_text("reason", lost));
    if (!records_is_ready(records))
        LOG(options->log, LOG_ERROR, "durable",
            "nothing can be written; records are kept in memory, and written once that can be",
            log_text("file", records_path(records)),
            log_bytes("reason", failure.data, failure.len));
}

int durable_open(const struct durable_options *options, const struct durable_found *found,
                 struct durable **out, struct herd_buf *error)
{
    struct records *records;
    size_t before = error->len;
    int rc = records_open(options->folder, options->sync, found, &records, error);
    if (rc < 0)
        return rc;
    struct durable *durable = calloc(1, sizeof *durable);
    char *path = strdup(records_path(records));
    if (durable == NULL || path == NULL) {
        records_close(records);
        free(durable);
        free(path);
        herd_buf_append_text(error, herd_strerror(HERD_ENOMEM));
        return HERD_ENOMEM;
    }
    durable->log = options->log;
    durable->path = path;
    durable->records = records;
    durable->last = outcome_of(records, 0);
    durable->is_failing = !records_is_ready(records);
    report(options, records,
           error->len > before ? herd_slice(error->data + before, error->len - before)
                               : herd_slice("", 0));
    error->len = before;
    pthread_mutex_init(&durable->lock, NULL);
    pthread_cond_init(&durable->changed, NULL);
    rc = start(durable, options->loop, error);
    if (rc == 0)
        *out = durable;
    return rc;
}
