/*
 * A batch is one transaction. Rows are only ever appended, so that a table grows at its right edge:
 * a page is written once or twice, whatever the number of clients.
 */
#include <assert.h>
#include <stdlib.h>

#include "durable/lock.h"
#include "durable/sqlite_room.h"

static int prepare_insert(struct records *records, const struct segment *segment,
                          sqlite3_stmt **out)
{
    struct insert *insert = &records->inserts[segment->stream];
    if (insert->segment != segment->id) {
        sqlite3_finalize(insert->statement);
        *insert = (struct insert){0};
        int rc =
            records_prepare(records, "INSERT INTO segment_%lld (sequence, text) VALUES (?1, ?2)",
                            segment->id, &insert->statement);
        if (rc < 0)
            return rc;
        insert->segment = segment->id;
    }
    *out = insert->statement;
    return 0;
}

/* A line `<sequence> <text>` LF of a batch. */
struct line {
    int64_t sequence;
    struct herd_slice text;
};

static struct line first_line(struct herd_slice lines)
{
    const char *end = memchr(lines.data, '\n', lines.len);
    char *space;
    assert(end != NULL);
    uint64_t sequence = strtoull(lines.data, &space, 10);
    assert(*space == ' ' && space < end && sequence > 0 && sequence <= INT64_MAX);
    return (struct line){(int64_t)sequence, herd_slice(space + 1, (size_t)(end - space - 1))};
}

/* Counts as many of the lines as a row takes, one at least, as a segment's, and cuts them off. The
 * row is what they are but for the first sequence, which is its key, and the last LF. */
static struct herd_slice take_row(struct segment *segment, struct herd_slice *lines,
                                  int64_t *out_sequence)
{
    struct line line = first_line(*lines);
    struct herd_slice row = line.text;
    *out_sequence = line.sequence;
    do {
        assert(line.sequence > segment->last);
        segment->records++;
        segment->last = line.sequence;
        segment->sum += record_hash(line.sequence, line.text);
        const char *end = line.text.data + line.text.len;
        row.len = (size_t)(end - row.data);
        *lines = herd_slice(end + 1, lines->len - (size_t)(end + 1 - lines->data));
        if (lines->len == 0)
            break;
        line = first_line(*lines);
    } while ((size_t)(line.text.data + line.text.len - row.data) <= ROW_MAX_BYTES);
    segment->bytes += (int64_t)row.len;
    return row;
}

/* Appends lines to a segment until there are none or it is full. */
static int fill_segment(struct records *records, struct segment *segment, struct herd_slice *lines)
{
    sqlite3_stmt *insert;
    int rc = prepare_insert(records, segment, &insert);
    while (rc == 0 && lines->len > 0 && segment->bytes < SEGMENT_MAX_BYTES) {
        int64_t sequence;
        struct herd_slice row = take_row(segment, lines, &sequence);
        sqlite3_bind_int64(insert, 1, sequence);
        sqlite3_bind_text(insert, 2, row.data, (int)row.len, SQLITE_STATIC);
        if (sqlite3_step(insert) != SQLITE_DONE)
            rc = records_fail(records);
        sqlite3_reset(insert);
    }
    return rc == 0 ? state_write_segment(records, segment) : rc;
}

static int append_rows(struct records *records, enum stream stream, struct herd_slice lines)
{
    int rc = 0;
    while (rc == 0 && lines.len > 0) {
        struct segment *segment = state_open_segment(&records->state, stream);
        if (segment == NULL)
            rc = state_add_segment(records, stream, &segment);
        if (rc == 0)
            rc = fill_segment(records, segment, &lines);
    }
    return rc;
}

static int write_journal(struct records *records, const struct herd_batch *batch)
{
    struct state *state = &records->state;
    if (batch->begins)
        state->current++;
    int rc = append_rows(records, JOURNAL, herd_buf_slice(&batch->records));
    if (rc < 0)
        return rc;
    rc = lives_write(records, batch->epoch, &batch->life);
    if (rc < 0)
        return rc;
    state->epoch = batch->epoch;
    int64_t sequence_free = (int64_t)batch->upto + SEQUENCES_RESERVED;
    if (sequence_free > state->sequence_free)
        state->sequence_free = sequence_free;
    /* A batch without marks is one that bears no new ones out; those that are there stay true,
     * because what is on disk only becomes newer. */
    struct herd_slice marks = herd_buf_slice(&batch->neighbours);
    if (marks.len > 0)
        rc = state_write_marks(records, marks);
    if (batch->ends)
        state->complete = state->current;
    return rc;
}

static int write_snapshot(struct records *records, const struct herd_batch *batch)
{
    assert(records->is_snapshotting);
    int rc = append_rows(records, SNAPSHOT, herd_buf_slice(&batch->records));
    if (batch->ends)
        records->state.complete = records->state.current;
    return rc;
}

/* Who removes the file takes what is written to it afterwards, too, and SQLite writes on. The same
 * goes for its log; what that has is brought into the file at once. */
static int check_place(struct records *records)
{
    int has_moved = 0;
    sqlite3_file_control(records->sqlite, "main", SQLITE_FCNTL_HAS_MOVED, &has_moved);
    if (!has_moved && (!records->log_is_known || file_has_log(records)))
        return 0;
    if (!has_moved)
        sqlite3_wal_checkpoint_v2(records->sqlite, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    records_damaged(records, "%s was moved or removed: put it back, or start the server again",
                    has_moved ? "it" : "its log, records.db-wal,");
    return HERD_EIO;
}

/* Who removes the lock lets another process in. It is taken anew, unless one has come. */
static int check_lock(struct records *records)
{
    struct herd_buf error = {0};
    int fd;
    if (lock_has_name(records->lock_fd, records->lock))
        return 0;
    int rc = lock_take(records->folder, &fd, &error);
    if (rc == 0) {
        lock_release(records->lock_fd);
        records->lock_fd = fd;
    } else {
        records_damaged(records, "the file lock was moved or removed: %.*s", (int)error.len,
                        error.data != NULL ? error.data : "");
    }
    herd_buf_free(&error);
    return rc;
}

/* A file that is removed while it is written to shows as one that cannot be found, in its log. */
static int failed(struct records *records, int rc)
{
    if (rc == HERD_EFULL)
        return rc;
    if (records->sqlite != NULL)
        check_place(records);
    return HERD_EIO;
}

int records_write(struct records *records, const struct herd_batch *batch)
{
    assert(!batch->is_snapshot || !batch->begins);
    assert(batch->upto <= INT64_MAX - SEQUENCES_RESERVED);
    int rc = records_get_ready(records);
    if (rc == 0)
        rc = check_place(records);
    if (rc == 0)
        rc = check_lock(records);
    if (rc < 0)
        return failed(records, rc);
    rc = records_begin(records);
    if (rc == 0) {
        rc = batch->is_snapshot ? write_snapshot(records, batch) : write_journal(records, batch);
        if (rc == 0)
            rc = state_write(records);
        rc = records_end(records, rc);
    }
    if (rc == 0 && (batch->begins || batch->ends))
        records->is_snapshotting = !batch->ends;
    if (rc < 0)
        records->checkpoint_at = 0; /* a checkpoint may make room in the log */
    return rc == 0 ? rc : failed(records, rc);
}
