#include <string.h>

#include "disk.h"

static void check(const char *wrong)
{
    if (wrong != NULL)
        driver_fail(wrong);
}

static size_t count_lines(struct herd_slice bytes)
{
    size_t count = 0;
    struct herd_slice line;
    while (ledger_next_line(&bytes, &line))
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
    check(ledger_write(&disk->ledger, batch));
    disk->pending = NULL;
    herd_node_persisted(disk->driver->node, disk->driver->now, 0);
}

void disk_done(struct disk *disk, int status)
{
    if (disk->pending == NULL)
        driver_fail("no batch is under way");
    if (status == 0)
        check(ledger_write(&disk->ledger, disk->pending));
    disk->pending = NULL;
    herd_node_persisted(disk->driver->node, disk->driver->now, status);
    driver_run(disk->driver);
}

struct driver *disk_driver(struct disk *disk, struct herd_node_options *options,
                           const char *neighbour, struct wire **out_link)
{
    options->has_disk = true;
    disk->driver = driver_new_with(options);
    if (disk->driver == NULL)
        driver_fail("no memory for the test itself");
    disk->driver->on_persist = on_persist;
    disk->driver->on_persist_arg = disk;
    if (neighbour != NULL)
        *out_link = driver_add_neighbour(disk->driver, neighbour);
    if (disk->ledger.writes > 0)
        check(ledger_restore(&disk->ledger, disk->driver->node, disk->driver->now));
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
    ledger_clear(&disk->ledger);
    *disk = (struct disk){0};
}

const struct ledger_row *disk_newest(const struct disk *disk, const char *client)
{
    const struct ledger_row *newest = NULL;
    size_t len = strlen(client);
    for (size_t i = 0; i < disk->ledger.row_count; i++) {
        const struct ledger_row *row = &disk->ledger.rows[i];
        if (strncmp(row->text, client, len) == 0 && row->text[len] == ' ' &&
            (newest == NULL || row->sequence > newest->sequence))
            newest = row;
    }
    return newest;
}
