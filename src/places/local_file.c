#include "places/local_file.h"

#include <assert.h>
#include <stdlib.h>

#include <herd/err.h>

#include "places/crew.h"

static bool is_same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

bool local_file_has_changed(const struct local_file *file, const char *path)
{
    struct stat now;
    const struct stat *then = &file->status;
    if (stat(path, &now) < 0)
        return false;
    return now.st_dev != then->st_dev || now.st_ino != then->st_ino ||
           now.st_size != then->st_size || !is_same_time(now.st_mtim, then->st_mtim);
}

static int open_connections(struct local_file *file, const char *path, struct herd_buf *error)
{
    /* Before it is opened: one that is put there meanwhile is then a change. */
    if (stat(path, &file->status) < 0)
        file->status = (struct stat){0};
    while (file->idle_count < LOCAL_CONNECTIONS) {
        int rc = local_db_open(path, &file->idle[file->idle_count], error);
        if (rc < 0)
            return rc;
        file->idle_count++;
    }
    const struct local_source *source;
    for (size_t i = 0; (source = local_db_source(file->idle[0], i)) != NULL; i++)
        file->places += source->places;
    return 0;
}

int local_file_open(const char *path, struct local_file **out, struct herd_buf *error)
{
    struct local_file *file = calloc(1, sizeof *file);
    if (file == NULL)
        return HERD_ENOMEM;
    int rc = open_connections(file, path, error);
    if (rc < 0) {
        local_file_free(file);
        return rc;
    }
    *out = file;
    return 0;
}

int local_file_load(struct local_file *file, int64_t max_bytes, const atomic_bool *is_over)
{
    assert(file->idle_count > 0 && file->memory == NULL);
    return local_memory_load(file->idle[0], max_bytes, is_over, &file->memory);
}

void local_file_free(struct local_file *file)
{
    if (file == NULL)
        return;
    assert(file->running == 0);
    while (file->idle_count > 0)
        local_db_close(file->idle[--file->idle_count]);
    local_memory_free(file->memory);
    free(file);
}

struct retired {
    struct crew_job job; /* its first member */
    struct local_file *file;
};

static void on_free(struct crew_job *job)
{
    local_file_free(((struct retired *)job)->file);
}

static void on_freed(struct crew_job *job)
{
    free(job);
}

void local_file_retire(struct local_file *file, struct crew *crew)
{
    if (!file->is_retired || file->running > 0)
        return;
    struct retired *retired = malloc(sizeof *retired);
    if (retired == NULL) {
        local_file_free(file);
        return;
    }
    *retired = (struct retired){.job = {.work = on_free, .done = on_freed}, .file = file};
    crew_run(crew, &retired->job);
}
