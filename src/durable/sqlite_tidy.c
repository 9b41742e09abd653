/*
 * What a batch leaves to be done, in steps between batches: one that comes meanwhile waits for a
 * step at most.
 *
 * checkpoint: the log has grown to checkpoint_at pages; its pages are copied into the file, and the
 * log begins anew. A program that reads the file (a backup) holds that up: then it is tried again
 * when as much has been added.
 *
 * drop: the segments that no start would read.
 *
 * vacuum: their pages are for the next generations. But what is more than these will need is given
 * back, once there is much of it.
 */
#include "durable/sqlite_room.h"
#include "durable/witness.h"

enum {
    VACUUM_STEP_PAGES = 256,
    /* Just after a snapshot, three quarters of the file are free, and the next generation fills
     * them. Beyond that it has shrunk. */
    FREE_PAGES_PER_USED = 4,
    FREE_PAGES_MIN = 4096
};

static int checkpoint(struct records *records)
{
    int pages = 0, copied = 0;
    int code = sqlite3_wal_checkpoint_v2(records->sqlite, NULL, SQLITE_CHECKPOINT_PASSIVE, &pages,
                                         &copied);
    records->checkpoint_at = CHECKPOINT_PAGES;
    if (code != SQLITE_OK || copied < pages)
        records->checkpoint_at += records->wal_pages;
    records->wal_pages = 0;            /* until the next commit says */
    witness_sync(records->witness_fd); /* now and then, for the next power loss */
    return code == SQLITE_OK || code == SQLITE_BUSY ? 1 : records_fail(records);
}

static int plan_vacuum(struct records *records)
{
    int64_t pages, free_pages;
    int rc = records_number(records, "PRAGMA page_count", &pages);
    if (rc == 0)
        rc = records_number(records, "PRAGMA freelist_count", &free_pages);
    if (rc < 0)
        return rc;
    int64_t excess = free_pages - FREE_PAGES_PER_USED * (pages - free_pages) - FREE_PAGES_MIN;
    records->vacuum_pages = excess > 0 ? excess : 0;
    return 0;
}

static int drop_segment(struct records *records, size_t i)
{
    char sql[64];
    sqlite3_snprintf(sizeof sql, sql, "DROP TABLE segment_%lld",
                     (long long)records->state.segments[i].id);
    int rc = records_begin(records);
    if (rc < 0)
        return rc;
    rc = records_execute(records, sql);
    if (rc == 0)
        rc = state_remove_segment(records, i);
    if (rc == 0)
        rc = state_write(records);
    return records_end(records, rc);
}

static int vacuum(struct records *records)
{
    char sql[64];
    sqlite3_snprintf(sizeof sql, sql, "PRAGMA incremental_vacuum(%d)", VACUUM_STEP_PAGES);
    records->vacuum_pages -= VACUUM_STEP_PAGES;
    return records_execute(records, sql);
}

/* The first segment that no start would read; segment_count: there is none. */
static size_t find_garbage(const struct records *records)
{
    size_t i = 0;
    while (i < records->state.segment_count && state_needs(records, &records->state.segments[i]))
        i++;
    return i;
}

int records_tidy(struct records *records)
{
    if (!records->is_ready)
        return 0;
    if (records->wal_pages > records->checkpoint_at)
        return checkpoint(records);
    if (records->is_stale)
        return 0;
    size_t garbage = find_garbage(records);
    int rc = 0;
    if (garbage < records->state.segment_count) {
        rc = drop_segment(records, garbage);
        if (rc == 0 && find_garbage(records) == records->state.segment_count)
            rc = plan_vacuum(records);
        return rc == 0 ? 1 : rc;
    }
    if (records->vacuum_pages <= 0)
        return 0;
    rc = vacuum(records);
    return rc == 0 ? 1 : rc;
}
