#include <stdio.h>
#include <stdlib.h>

#include "disk.h"

/* `<sequence> <text>` LF */
static void write_row(struct disk *disk, struct herd_slice line, bool is_snapshot)
{
    char *end;
    char *copy = strndup(line.data, line.len);
    uint64_t sequence = strtoull(copy, &end, 10);
    if (end == copy || *end != ' ' || disk->row_count == DISK_ROWS_MAX)
        driver_fail("no row of a batch");
    disk->rows[disk->row_count++] =
        (struct disk_row){sequence, strdup(end + 1), disk->generation, is_snapshot};
    free(copy);
}

/* `<name> <epoch> <sequence>` LF */
static void write_mark(struct disk *disk, struct herd_slice line)
{
    struct disk_mark mark;
    char copy[128];
    unsigned long long epoch, sequence;
    snprintf(copy, sizeof(copy), "%.*s", (int)line.len, line.data);
    if (sscanf(copy, "%64s %16llx %llu", mark.name, &epoch, &sequence) != 3)
        driver_fail("no mark of a batch");
    mark.epoch = epoch;
    mark.sequence = sequence;
    size_t i = 0;
    while (i < disk->mark_count && strcmp(disk->marks[i].name, mark.name) != 0)
        i++;
    if (i == DISK_MARKS_MAX)
        driver_fail("too many marks");
    disk->marks[i] = mark;
    disk->mark_count += i == disk->mark_count;
}

static bool next_line(struct herd_slice *bytes, struct herd_slice *line)
{
    if (bytes->len == 0)
        return false;
    const char *lf = memchr(bytes->data, '\n', bytes->len);
    if (lf == NULL)
        driver_fail("a batch ends within a line");
    *line = herd_slice(bytes->data, (size_t)(lf - bytes->data));
    *bytes = herd_slice(lf + 1, bytes->len - line->len - 1);
    return true;
}

static void drop_older(struct disk *disk, unsigned generation)
{
    size_t kept = 0;
    for (size_t i = 0; i < disk->row_count; i++) {
        if (disk->rows[i].generation >= generation)
            disk->rows[kept++] = disk->rows[i];
        else
            free(disk->rows[i].text);
    }
    disk->row_count = kept;
}

static void write_batch(struct disk *disk, const struct herd_batch *batch)
{
    struct herd_slice bytes = herd_buf_slice(&batch->records), line;
    if (batch->is_snapshot ? batch->begins || batch->neighbours.len > 0 : batch->ends)
        driver_fail("a batch of both kinds");
    disk->generation += batch->begins;
    while (next_line(&bytes, &line))
        write_row(disk, line, batch->is_snapshot);
    bytes = herd_buf_slice(&batch->neighbours);
    while (next_line(&bytes, &line))
        write_mark(disk, line);
    if (batch->ends) {
        disk->generation_whole = disk->generation;
        drop_older(disk, disk->generation);
    }
    disk->epoch = batch->epoch;
    if (!batch->is_snapshot)
        disk->upto = batch->upto;
    disk->writes++;
}

static size_t count_lines(struct herd_slice bytes)
{
    size_t count = 0;
    struct herd_slice line;
    while (next_line(&bytes, &line))
        count++;
    return count;
}

static void on_persist(void *arg, const struct herd_batch *batch)
{
    struct disk *disk = arg;
    if (disk->pending != NULL)
        driver_fail("two batches at once");
    disk->pending = batch;
    disk->last_records = count_lines(herd_buf_slice(&batch->records));
    disk->last_is_snapshot = batch->is_snapshot;
    disk->last_begins = batch->begins;
    disk->last_ends = batch->ends;
    if (disk->is_slow)
        return;
    write_batch(disk, batch);
    disk->pending = NULL;
    herd_node_persisted(disk->driver->node, disk->driver->now, 0);
}

void disk_done(struct disk *disk, int status)
{
    if (disk->pending == NULL)
        driver_fail("no batch is under way");
    if (status == 0)
        write_batch(disk, disk->pending);
    disk->pending = NULL;
    herd_node_persisted(disk->driver->node, disk->driver->now, status);
    driver_run(disk->driver);
}

static int by_sequence(const void *a, const void *b)
{
    const struct disk_row *x = a, *y = b;
    return x->sequence < y->sequence ? -1 : x->sequence > y->sequence;
}

static void restore(struct disk *disk)
{
    struct herd_node *node = disk->driver->node;
    uint64_t last = 0;
    qsort(disk->rows, disk->row_count, sizeof(disk->rows[0]), by_sequence);
    herd_node_restore_epoch(node, disk->epoch);
    for (size_t i = 0; i < disk->row_count; i++) {
        const struct disk_row *row = &disk->rows[i];
        if (row->sequence == last) /* in the journal and in the snapshot */
            continue;
        last = row->sequence;
        if (herd_node_restore_record(node, disk->driver->now, row->sequence,
                                     herd_slice_of(row->text)) < 0)
            driver_fail("a row that is no record");
    }
    for (size_t i = 0; i < disk->mark_count; i++)
        herd_node_restore_neighbour(node, herd_slice_of(disk->marks[i].name), disk->marks[i].epoch,
                                    disk->marks[i].sequence);
    /* No record has had it: what was not written reached no further. */
    herd_node_restore_end(node, disk->upto + 1000000);
}

struct driver *disk_driver(struct disk *disk, struct herd_node_options *options,
                           const char *neighbour, struct wire **out_link)
{
    options->has_disk = true;
    if (disk->rows == NULL)
        disk->rows = calloc(DISK_ROWS_MAX, sizeof(disk->rows[0]));
    disk->driver = driver_new_with(options);
    if (disk->driver == NULL || disk->rows == NULL)
        driver_fail("no memory for the test itself");
    disk->driver->on_persist = on_persist;
    disk->driver->on_persist_arg = disk;
    if (neighbour != NULL)
        *out_link = driver_add_neighbour(disk->driver, neighbour);
    if (disk->writes > 0)
        restore(disk);
    driver_run(disk->driver);
    return disk->driver;
}

static void lose_batch(void *arg, const struct herd_batch *batch)
{
    (void)arg;
    (void)batch;
}

void disk_crash(struct disk *disk)
{
    disk->pending = NULL;
    disk->driver->on_persist = lose_batch;
    driver_free(disk->driver);
    disk->driver = NULL;
}

void disk_free(struct disk *disk)
{
    if (disk->driver != NULL)
        disk_crash(disk);
    for (size_t i = 0; i < disk->row_count; i++)
        free(disk->rows[i].text);
    free(disk->rows);
    *disk = (struct disk){0};
}

const struct disk_row *disk_newest(const struct disk *disk, const char *client)
{
    const struct disk_row *newest = NULL;
    size_t len = strlen(client);
    for (size_t i = 0; i < disk->row_count; i++) {
        const struct disk_row *row = &disk->rows[i];
        if (strncmp(row->text, client, len) == 0 && row->text[len] == ' ' &&
            (newest == NULL || row->sequence > newest->sequence))
            newest = row;
    }
    return newest;
}
