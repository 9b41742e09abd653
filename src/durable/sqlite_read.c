/* The rows at the start: those of the newest whole snapshot and of the journals since its
 * beginning, merged by sequence. */
#include <inttypes.h>

#include "durable/sqlite_room.h"

/* One stream's segments, row after row. */
struct reader {
    enum stream stream;
    size_t next;                   /* the segment to look at next */
    const struct segment *segment; /* being read; NULL: none */
    sqlite3_stmt *row;
    int64_t rows; /* of this segment, so far */
    uint64_t sum;
    bool has_row;
    int64_t sequence; /* of the row, which is above all before it */
    struct herd_slice text;
};

static int open_segment(struct records *records, struct reader *reader)
{
    const struct state *state = &records->state;
    for (; reader->next < state->segment_count; reader->next++) {
        const struct segment *segment = &state->segments[reader->next];
        if (segment->stream != reader->stream || !state_needs(records, segment))
            continue;
        reader->segment = segment;
        reader->next++;
        reader->rows = 0;
        reader->sum = 0;
        return records_prepare(records, "SELECT sequence, text FROM segment_%lld ORDER BY sequence",
                               segment->id, &reader->row);
    }
    return 0;
}

static int close_segment(struct records *records, struct reader *reader)
{
    const struct segment *segment = reader->segment;
    sqlite3_finalize(reader->row);
    reader->row = NULL;
    reader->segment = NULL;
    if (reader->rows == segment->rows && reader->sum == segment->sum &&
        reader->sequence == segment->last)
        return 0;
    return records_damaged(
        records, "the rows of segment_%" PRId64 " are not those that were written", segment->id);
}

static int take_row(struct records *records, struct reader *reader)
{
    int64_t sequence = sqlite3_column_int64(reader->row, 0);
    if (sequence <= reader->sequence || sequence >= records->state.sequence_free)
        return records_damaged(records, "record %" PRId64 " is out of order", sequence);
    reader->sequence = sequence;
    /* Not as text: SQLite would convert it, were the file's encoding another one. */
    const char *text = sqlite3_column_blob(reader->row, 1);
    size_t len = (size_t)sqlite3_column_bytes(reader->row, 1);
    reader->text = herd_slice(text != NULL ? text : "", len); /* an empty value has no address */
    reader->sum += row_hash(sequence, reader->text);
    reader->rows++;
    reader->has_row = true;
    return 0;
}

/* Goes on to the next row; has_row is false behind the last. */
static int advance(struct records *records, struct reader *reader)
{
    reader->has_row = false;
    int rc = 0;
    while (rc == 0) {
        if (reader->segment == NULL)
            rc = open_segment(records, reader);
        if (rc < 0 || reader->segment == NULL)
            break;
        int step = sqlite3_step(reader->row);
        if (step == SQLITE_ROW)
            return take_row(records, reader);
        rc = step == SQLITE_DONE ? close_segment(records, reader) : records_fail(records);
    }
    return rc;
}

static int give(struct records *records, const struct reader *reader,
                const struct durable_found *found)
{
    int rc = found->record(found->arg, (uint64_t)reader->sequence, reader->text);
    if (rc < 0 && rc != HERD_ECANCELED)
        records_damaged(records, "record %" PRId64 " cannot be taken: %s", reader->sequence,
                        herd_strerror(rc));
    return rc;
}

/* A snapshot is made while the journal goes on, so both may have a row. */
static int merge(struct records *records, struct reader *journal, struct reader *snapshot,
                 const struct durable_found *found)
{
    int rc = advance(records, journal);
    if (rc == 0)
        rc = advance(records, snapshot);
    while (rc == 0 && (journal->has_row || snapshot->has_row)) {
        bool is_snapshot =
            snapshot->has_row && (!journal->has_row || snapshot->sequence <= journal->sequence);
        bool is_both = is_snapshot && journal->has_row && journal->sequence == snapshot->sequence;
        struct reader *reader = is_snapshot ? snapshot : journal;
        if (!is_both)
            rc = give(records, reader, found);
        if (rc == 0)
            rc = advance(records, reader);
    }
    return rc;
}

int rows_read(struct records *records, const struct durable_found *found)
{
    struct reader journal = {.stream = JOURNAL}, snapshot = {.stream = SNAPSHOT};
    int rc = merge(records, &journal, &snapshot, found);
    sqlite3_finalize(journal.row);
    sqlite3_finalize(snapshot.row);
    return rc;
}
