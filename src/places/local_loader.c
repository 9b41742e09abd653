/*
 * on_watch (every second), local_loader_look or local_loader_want -> look -> on_work in a thread of
 * the crew's: open and read the file, if it is another one -> on_worked -> loaded. What changes
 * meanwhile is looked at again afterwards. Not libuv's uv_fs_poll: it takes one of libuv's threads
 * for as long as a disk does not answer.
 */
#include "places/local_loader.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <uv.h>

#include <herd/err.h>

#include "places/crew.h"
#include "places/local.h"

struct local_loader {
    struct crew *crew;
    uv_timer_t watch;
    struct crew_job job;
    char *data_file;
    char *path;                        /* NULL before it was looked for */
    int64_t max_bytes, max_read_bytes; /* wanted; of the last work */
    struct local_file last;            /* its status alone: what was read last, well or not */
    unsigned tries, pause; /* that failed in a row; seconds to the next one, changed or not */
    bool is_working, is_to_look_again, is_forced;
    bool is_new;                 /* it was never opened */
    bool has_failed;             /* the work: `error`, if there was memory for it */
    bool is_wanted;              /* in memory */
    bool was_wanted;             /* when the last work began */
    atomic_bool is_over;         /* nobody waits for the work any more */
    struct local_file *opened;   /* of the work: or NULL with */
    struct herd_buf error, told; /* of the work; the last one that `loaded` was told */
    local_loaded_cb *loaded;
    void *arg;
    bool is_watch_closed;
    void (*closed)(void *arg);
    void *closed_arg;
};

void local_loader_free(struct local_loader *loader)
{
    if (loader == NULL)
        return;
    herd_buf_free(&loader->error);
    herd_buf_free(&loader->told);
    free(loader->data_file);
    free(loader->path);
    free(loader);
}

static void free_when_closed(struct local_loader *loader)
{
    if (!loader->is_watch_closed || loader->is_working)
        return;
    void (*closed)(void *arg) = loader->closed;
    void *arg = loader->closed_arg;
    local_loader_free(loader);
    closed(arg);
}

/* What is too large for memory is asked on disk; what cannot be read there is broken. */
static void read_places(struct local_loader *loader)
{
    struct local_file *file = loader->opened;
    int rc = local_file_load(file, loader->max_read_bytes, &loader->is_over);
    if (rc != HERD_EIO)
        return;
    herd_buf_printf(&loader->error, "%s cannot be read: %s", loader->path,
                    local_db_reason(file->idle[0]));
    local_file_free(file);
    loader->opened = NULL;
}

static struct local_loader *loader_of(struct crew_job *job)
{
    return (struct local_loader *)((char *)job - offsetof(struct local_loader, job));
}

static int open_file(struct local_loader *loader)
{
    if (loader->path == NULL && places_file_path(loader->data_file, &loader->path) < 0)
        return HERD_ENOMEM;
    if (stat(loader->path, &loader->last.status) < 0)
        loader->last.status = (struct stat){0};
    return local_file_open(loader->path, &loader->opened, &loader->error);
}

static void on_work(struct crew_job *job)
{
    struct local_loader *loader = loader_of(job);
    if (!loader->is_forced && !local_file_has_changed(&loader->last, loader->path))
        return;
    int rc = open_file(loader);
    if (rc < 0 && loader->error.len == 0)
        herd_buf_append_text(&loader->error, herd_strerror(rc));
    if (rc == 0 && loader->was_wanted)
        read_places(loader);
    loader->has_failed = loader->opened == NULL;
    if (herd_buf_append(&loader->error, "", 1) < 0)
        loader->error.len = 0;
}

static void look(struct local_loader *loader);

/* Somebody may just have been writing into it, so that it will be good without another change. */
static void plan_next_try(struct local_loader *loader)
{
    enum { DOUBLINGS_MAX = 6 };
    loader->pause = 1U << (loader->tries < DOUBLINGS_MAX ? loader->tries : DOUBLINGS_MAX);
    loader->tries++;
}

/* The same again is no news, unless somebody has asked for it. */
static void tell_failure(struct local_loader *loader)
{
    bool is_news = loader->is_forced ||
                   !herd_slice_equal(herd_buf_slice(&loader->error), herd_buf_slice(&loader->told));
    loader->told.len = 0;
    if (herd_buf_append(&loader->told, loader->error.data, loader->error.len) < 0)
        loader->told.len = 0;
    if (is_news)
        loader->loaded(loader->arg, NULL,
                       loader->error.len > 0 ? loader->error.data : herd_strerror(HERD_ENOMEM));
}

static void on_worked(struct crew_job *job)
{
    struct local_loader *loader = loader_of(job);
    struct local_file *file = loader->opened;
    loader->is_working = false;
    loader->opened = NULL;
    if (loader->closed != NULL) {
        local_file_retire(file, loader->crew);
        free_when_closed(loader);
        return;
    }
    if (loader->has_failed)
        plan_next_try(loader);
    if (file != NULL) {
        loader->tries = loader->pause = 0;
        loader->told.len = 0;
        loader->loaded(loader->arg, file, NULL);
    } else if (loader->has_failed && loader->is_to_look_again) {
        loader->is_new = true; /* whoever has asked meanwhile may have put it right */
    } else if (loader->has_failed) {
        tell_failure(loader);
    }
    loader->error.len = 0;
    loader->has_failed = false;
    if (loader->is_to_look_again && loader->closed == NULL)
        look(loader);
}

static void look(struct local_loader *loader)
{
    if (loader->is_working) {
        loader->is_to_look_again = true;
        return;
    }
    loader->is_working = true;
    loader->is_to_look_again = false;
    loader->is_forced =
        loader->is_new ||
        (loader->is_wanted && (!loader->was_wanted || loader->max_read_bytes != loader->max_bytes));
    loader->is_new = false;
    loader->was_wanted = loader->is_wanted;
    loader->max_read_bytes = loader->max_bytes;
    loader->job.work = on_work;
    loader->job.done = on_worked;
    crew_run(loader->crew, &loader->job);
}

/* Work that is under way may have begun without it. */
void local_loader_want(struct local_loader *loader)
{
    if (loader->is_wanted)
        return;
    loader->is_wanted = true;
    look(loader);
}

void local_loader_look(struct local_loader *loader, int64_t max_bytes)
{
    loader->max_bytes = max_bytes;
    look(loader);
}

static void on_watch(uv_timer_t *watch)
{
    struct local_loader *loader = watch->data;
    if (loader->is_working)
        return;
    if (loader->pause > 0 && --loader->pause == 0)
        loader->last.status = (struct stat){0};
    look(loader);
}

int local_loader_new(const char *data_file, int64_t max_bytes, const struct local_file *file,
                     local_loaded_cb *loaded, void *arg, struct local_loader **out)
{
    struct local_loader *loader = calloc(1, sizeof *loader);
    if (loader == NULL)
        return HERD_ENOMEM;
    loader->data_file = strdup(data_file);
    if (file != NULL)
        loader->path = strdup(file->path);
    if (loader->data_file == NULL || (file != NULL && loader->path == NULL)) {
        local_loader_free(loader);
        return HERD_ENOMEM;
    }
    loader->max_bytes = loader->max_read_bytes = max_bytes;
    if (file != NULL)
        loader->last.status = file->status;
    loader->is_new = file == NULL;
    loader->loaded = loaded;
    loader->arg = arg;
    *out = loader;
    return 0;
}

void local_loader_start(struct local_loader *loader, uv_loop_t *loop, struct crew *crew)
{
    loader->crew = crew;
    uv_timer_init(loop, &loader->watch);
    loader->watch.data = loader;
    uv_unref((uv_handle_t *)&loader->watch);
    uv_timer_start(&loader->watch, on_watch, LOCAL_WATCH_MS, LOCAL_WATCH_MS);
}

static void on_watch_closed(uv_handle_t *handle)
{
    struct local_loader *loader = handle->data;
    loader->is_watch_closed = true;
    free_when_closed(loader);
}

void local_loader_close(struct local_loader *loader, void (*closed)(void *arg), void *arg)
{
    loader->closed = closed;
    loader->closed_arg = arg;
    atomic_store(&loader->is_over, true);
    uv_close((uv_handle_t *)&loader->watch, on_watch_closed);
}
