#include "places/local_file.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <herd/err.h>

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
    file->path = strdup(path);
    int rc = file->path != NULL ? open_connections(file, path, error) : HERD_ENOMEM;
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

static void free_contents(struct local_file *file)
{
    assert(file->running == 0);
    while (file->idle_count > 0)
        local_db_close(file->idle[--file->idle_count]);
    local_memory_free(file->memory);
    free(file->path);
}

void local_file_free(struct local_file *file)
{
    if (file == NULL)
        return;
    free_contents(file);
    free(file);
}

static struct local_file *file_of(struct crew_job *job)
{
    return (struct local_file *)((char *)job - offsetof(struct local_file, retirement));
}

static void on_retire(struct crew_job *job)
{
    free_contents(file_of(job));
}

/* The job is the crew's until now. */
static void on_retired(struct crew_job *job)
{
    free(file_of(job));
}

static void retire_unless_asked(struct local_file *file, struct crew *crew)
{
    if (!file->is_retired || file->running > 0)
        return;
    file->retirement.work = on_retire;
    file->retirement.done = on_retired;
    crew_run(crew, &file->retirement);
}

void local_file_retire(struct local_file *take_file, struct crew *crew)
{
    if (take_file == NULL)
        return;
    take_file->is_retired = true;
    retire_unless_asked(take_file, crew);
}

void local_file_leave(struct local_file *file, struct crew *crew)
{
    file->running--;
    retire_unless_asked(file, crew);
}
