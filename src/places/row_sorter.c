/*
 * add: records fill the arena; a full one is sorted and written to the file as a run.
 * next: without a run the arena itself is read; else the last one is written too, and the runs are
 * merged, each through a buffer of its own (Knuth, The Art of Computer Programming 3, 5.4.1).
 */
#include "places/row_sorter.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <herd/err.h>

enum { RECORD_MAX_BYTES = 1 << 30, BUFFER_MIN_BYTES = 4096, ENTRIES_SHARE = 8 };

/* A record in the arena. */
struct entry {
    uint64_t key;
    uint32_t offset, len;
};

/* In front of a record in the file. */
struct head {
    uint64_t key;
    uint64_t len;
};

struct run {
    off_t at, end;     /* in the file, of what is not in the buffer yet */
    char *buffer;      /* NULL: nothing was read yet */
    size_t cap;        /* of the buffer */
    size_t begin, len; /* what is in it */
    struct head head;  /* of the record that is the run's next one */
    size_t number;     /* runs are written in the order their records came */
};

struct row_sorter {
    char *path;
    size_t memory_max_bytes;
    char *arena;
    size_t arena_len, arena_cap;
    struct entry *entries;
    size_t entry_count, entry_cap;
    FILE *file; /* NULL: there is no run */
    struct run *runs;
    size_t run_count, run_cap;
    struct run **heap; /* not NULL: they are being merged; the least key is first */
    size_t heap_count;
    bool is_sorted; /* the arena, to be read */
    size_t next;    /* entry of it */
    bool is_given;  /* the first run's next record: it goes with the next call */
};

int row_sorter_new(const char *path, size_t memory_max_bytes, struct row_sorter **out)
{
    struct row_sorter *sorter = calloc(1, sizeof *sorter);
    if (sorter == NULL)
        return HERD_ENOMEM;
    size_t entries_bytes = memory_max_bytes / ENTRIES_SHARE;
    sorter->memory_max_bytes = memory_max_bytes;
    sorter->entry_cap = entries_bytes / sizeof *sorter->entries;
    sorter->arena_cap = memory_max_bytes - 2 * entries_bytes; /* to sort them takes as much again */
    sorter->path = strdup(path);
    sorter->arena = malloc(sorter->arena_cap);
    sorter->entries = malloc(sorter->entry_cap * sizeof *sorter->entries);
    if (sorter->path == NULL || sorter->arena == NULL || sorter->entries == NULL) {
        row_sorter_free(sorter);
        return HERD_ENOMEM;
    }
    *out = sorter;
    return 0;
}

static void free_arena(struct row_sorter *sorter)
{
    free(sorter->arena);
    free(sorter->entries);
    sorter->arena = NULL;
    sorter->entries = NULL;
}

void row_sorter_free(struct row_sorter *sorter)
{
    if (sorter == NULL)
        return;
    free_arena(sorter);
    for (size_t i = 0; i < sorter->run_count; i++)
        free(sorter->runs[i].buffer);
    free(sorter->runs);
    free(sorter->heap);
    if (sorter->file != NULL)
        fclose(sorter->file);
    free(sorter->path);
    free(sorter);
}

/* ---- Runs ----------------------------------------------------------------------------------- */

/* By key; offsets tell which came first. */
static int compare_entries(const void *a, const void *b)
{
    const struct entry *left = a, *right = b;
    if (left->key != right->key)
        return left->key < right->key ? -1 : 1;
    return (left->offset > right->offset) - (left->offset < right->offset);
}

static void sort_arena(struct row_sorter *sorter)
{
    qsort(sorter->entries, sorter->entry_count, sizeof *sorter->entries, compare_entries);
}

static int make_file(struct row_sorter *sorter)
{
    char *name = NULL;
    if (asprintf(&name, "%s.XXXXXX", sorter->path) < 0)
        return HERD_ENOMEM;
    int fd = mkostemp(name, O_CLOEXEC);
    if (fd >= 0)
        unlink(name);
    free(name);
    sorter->file = fd >= 0 ? fdopen(fd, "w+") : NULL;
    if (sorter->file == NULL && fd >= 0)
        close(fd);
    return sorter->file != NULL ? 0 : HERD_EIO;
}

static int write_arena(struct row_sorter *sorter)
{
    for (size_t i = 0; i < sorter->entry_count; i++) {
        const struct entry *entry = &sorter->entries[i];
        const struct head head = {entry->key, entry->len};
        if (fwrite(&head, sizeof head, 1, sorter->file) != 1 ||
            fwrite(sorter->arena + entry->offset, 1, entry->len, sorter->file) != entry->len)
            return HERD_EIO;
    }
    return fflush(sorter->file) == 0 ? 0 : HERD_EIO;
}

static struct run *add_run(struct row_sorter *sorter)
{
    if (sorter->run_count == sorter->run_cap) {
        size_t cap = sorter->run_cap > 0 ? 2 * sorter->run_cap : 16;
        struct run *runs = realloc(sorter->runs, cap * sizeof *runs);
        if (runs == NULL)
            return NULL;
        sorter->runs = runs;
        sorter->run_cap = cap;
    }
    struct run *run = &sorter->runs[sorter->run_count];
    *run = (struct run){.number = sorter->run_count++};
    return run;
}

/* Sorts what is in the arena, and writes it as a run behind the others. */
static int write_run(struct row_sorter *sorter)
{
    int rc = sorter->file == NULL ? make_file(sorter) : 0;
    if (rc < 0)
        return rc;
    struct run *run = add_run(sorter);
    if (run == NULL)
        return HERD_ENOMEM;
    sort_arena(sorter);
    run->at = ftello(sorter->file);
    rc = write_arena(sorter);
    run->end = ftello(sorter->file);
    sorter->arena_len = sorter->entry_count = 0;
    return rc;
}

/* ---- Adding --------------------------------------------------------------------------------- */

static int make_room(struct row_sorter *sorter, size_t len)
{
    if (sorter->entry_count > 0 &&
        (sorter->entry_count == sorter->entry_cap || sorter->arena_cap - sorter->arena_len < len)) {
        int rc = write_run(sorter);
        if (rc < 0)
            return rc;
    }
    if (len <= sorter->arena_cap)
        return 0;
    char *arena = realloc(sorter->arena, len);
    if (arena == NULL)
        return HERD_ENOMEM;
    sorter->arena = arena;
    sorter->arena_cap = len;
    return 0;
}

int row_sorter_add(struct row_sorter *sorter, uint64_t key, struct herd_slice record)
{
    if (record.len >= RECORD_MAX_BYTES)
        return HERD_ETOOLONG;
    int rc = make_room(sorter, record.len);
    if (rc < 0)
        return rc;
    sorter->entries[sorter->entry_count++] =
        (struct entry){key, (uint32_t)sorter->arena_len, (uint32_t)record.len};
    if (record.len > 0)
        memcpy(sorter->arena + sorter->arena_len, record.data, record.len);
    sorter->arena_len += record.len;
    return 0;
}

/* ---- Merging -------------------------------------------------------------------------------- */

static int grow_buffer(struct run *run, size_t cap)
{
    if (cap <= run->cap)
        return 0;
    char *buffer = realloc(run->buffer, cap);
    if (buffer == NULL)
        return HERD_ENOMEM;
    run->buffer = buffer;
    run->cap = cap;
    return 0;
}

/* Sees to it that so many bytes are in the buffer. */
static int fill(const struct row_sorter *sorter, struct run *run, size_t need)
{
    if (run->len >= need)
        return 0;
    int rc = grow_buffer(run, need);
    if (rc < 0)
        return rc;
    memmove(run->buffer, run->buffer + run->begin, run->len);
    run->begin = 0;
    while (run->len < need) {
        size_t room = run->cap - run->len;
        if ((off_t)room > run->end - run->at)
            room = (size_t)(run->end - run->at);
        ssize_t got = pread(fileno(sorter->file), run->buffer + run->len, room, run->at);
        if (got == 0)
            errno = EIO; /* somebody has cut it short */
        if (got <= 0)
            return HERD_EIO;
        run->len += (size_t)got;
        run->at += got;
    }
    return 0;
}

/* Reads the run's next record into its buffer. 1, 0 at the end, or negative. */
static int read_record(const struct row_sorter *sorter, struct run *run)
{
    if (run->len == 0 && run->at == run->end)
        return 0;
    int rc = fill(sorter, run, sizeof run->head);
    if (rc < 0)
        return rc;
    memcpy(&run->head, run->buffer + run->begin, sizeof run->head);
    rc = fill(sorter, run, sizeof run->head + (size_t)run->head.len);
    return rc < 0 ? rc : 1;
}

static bool is_before(const struct run *a, const struct run *b)
{
    return a->head.key != b->head.key ? a->head.key < b->head.key : a->number < b->number;
}

static void sink(struct row_sorter *sorter, size_t at)
{
    struct run **heap = sorter->heap;
    for (;;) {
        size_t least = at;
        for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < sorter->heap_count; child++)
            least = is_before(heap[child], heap[least]) ? child : least;
        if (least == at)
            return;
        struct run *kept = heap[at];
        heap[at] = heap[least];
        heap[least] = kept;
        at = least;
    }
}

static int begin_merge(struct row_sorter *sorter)
{
    free_arena(sorter);
    size_t each = sorter->memory_max_bytes / sorter->run_count;
    if (each < BUFFER_MIN_BYTES)
        each = BUFFER_MIN_BYTES;
    sorter->heap = malloc(sorter->run_count * sizeof(struct run *));
    if (sorter->heap == NULL)
        return HERD_ENOMEM;
    for (size_t i = 0; i < sorter->run_count; i++) {
        int rc = grow_buffer(&sorter->runs[i], each);
        if (rc == 0)
            rc = read_record(sorter, &sorter->runs[i]);
        if (rc < 0)
            return rc;
        if (rc > 0)
            sorter->heap[sorter->heap_count++] = &sorter->runs[i];
    }
    for (size_t i = sorter->heap_count; i-- > 0;)
        sink(sorter, i);
    return 0;
}

/* Goes on behind the record that was given. */
static int leave_record(struct row_sorter *sorter)
{
    struct run *run = sorter->heap[0];
    size_t taken = sizeof run->head + (size_t)run->head.len;
    run->begin += taken;
    run->len -= taken;
    sorter->is_given = false;
    int rc = read_record(sorter, run);
    if (rc == 0)
        sorter->heap[0] = sorter->heap[--sorter->heap_count];
    if (rc >= 0)
        sink(sorter, 0);
    return rc < 0 ? rc : 0;
}

static int next_merged(struct row_sorter *sorter, struct herd_slice *out)
{
    int rc = sorter->is_given ? leave_record(sorter) : 0;
    if (rc < 0 || sorter->heap_count == 0)
        return rc;
    const struct run *run = sorter->heap[0];
    *out = herd_slice(run->buffer + run->begin + sizeof run->head, (size_t)run->head.len);
    sorter->is_given = true;
    return 1;
}

static int begin(struct row_sorter *sorter)
{
    if (sorter->run_count == 0) {
        sort_arena(sorter);
        sorter->is_sorted = true;
        return 0;
    }
    int rc = write_run(sorter);
    return rc == 0 ? begin_merge(sorter) : rc;
}

int row_sorter_next(struct row_sorter *sorter, struct herd_slice *out)
{
    int rc = !sorter->is_sorted && sorter->heap == NULL ? begin(sorter) : 0;
    if (rc < 0)
        return rc;
    if (!sorter->is_sorted)
        return next_merged(sorter, out);
    if (sorter->next == sorter->entry_count)
        return 0;
    const struct entry *entry = &sorter->entries[sorter->next++];
    *out = herd_slice(sorter->arena + entry->offset, entry->len);
    return 1;
}
