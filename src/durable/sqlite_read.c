/* The rows at the start: those of the newest whole snapshot and of the journals since its
 * beginning, merged by sequence. */
#include <inttypes.h>

#include "durable/sqlite_room.h"

enum { SEQUENCE_DIGITS_MAX = 19 }; /* as INT64_MAX has */

/* One stream's segments, row after row. */
struct reader {
    enum stream stream;
    size_t next;                   /* the segment to look at next */
    const struct segment *segment; /* being read; NULL: none */
    sqlite3_stmt *row;
    struct herd_slice rest; /* of the row: lines behind the record, if it has_more */
    bool has_more;
    int64_t records; /* of this segment, so far */
    uint64_t sum;
    bool has_record;
    int64_t sequence; /* of the record, which is above all before it */
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
        reader->records = 0;
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
    if (reader->records == segment->records && reader->sum == segment->sum &&
        reader->sequence == segment->last)
        return 0;
    return records_damaged(
        records, "the rows of segment_%" PRId64 " are not those that were written", segment->id);
}

/* Cuts the text of a record, which comes next in the row, off that. */
static int take_text(struct records *records, struct reader *reader, int64_t sequence)
{
    if (sequence <= reader->sequence || sequence >= records->state.sequence_free)
        return records_damaged(records, "record %" PRId64 " is out of order", sequence);
    const char *rest = reader->rest.data;
    size_t len = reader->rest.len;
    const char *end = len > 0 ? memchr(rest, '\n', len) : NULL;
    reader->has_more = end != NULL;
    size_t text_len = end != NULL ? (size_t)(end - rest) : len;
    size_t used = end != NULL ? text_len + 1 : len;
    reader->sequence = sequence;
    reader->text = herd_slice(rest, text_len);
    reader->rest = herd_slice(rest + used, len - used);
    reader->sum += record_hash(sequence, reader->text);
    reader->records++;
    reader->has_record = true;
    return 0;
}

static int take_row(struct records *records, struct reader *reader)
{
    /* Not as text: SQLite would convert it, were the file's encoding another one. */
    const char *text = sqlite3_column_blob(reader->row, 1);
    size_t len = (size_t)sqlite3_column_bytes(reader->row, 1);
    reader->rest = herd_slice(text != NULL ? text : "", len); /* an empty value has no address */
    return take_text(records, reader, sqlite3_column_int64(reader->row, 0));
}

/* Cuts `<sequence> ` off what is left of the row. */
static bool take_sequence(struct herd_slice *rest, int64_t *out)
{
    uint64_t sequence = 0;
    size_t len = 0;
    for (; len < rest->len && len < SEQUENCE_DIGITS_MAX; len++) {
        unsigned digit = (unsigned char)rest->data[len] - (unsigned)'0';
        if (digit > 9)
            break;
        sequence = 10 * sequence + digit;
    }
    if (len == 0 || len == rest->len || rest->data[len] != ' ' || sequence > INT64_MAX)
        return false;
    *rest = herd_slice(rest->data + len + 1, rest->len - len - 1);
    *out = (int64_t)sequence;
    return true;
}

static int take_line(struct records *records, struct reader *reader)
{
    int64_t sequence;
    if (!take_sequence(&reader->rest, &sequence))
        return records_damaged(records, "what follows record %" PRId64 " has no sequence",
                               reader->sequence);
    return take_text(records, reader, sequence);
}

/* Goes on to the next record; has_record is false behind the last. */
static int advance(struct records *records, struct reader *reader)
{
    reader->has_record = false;
    int rc = 0;
    if (reader->has_more)
        return take_line(records, reader);
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
    while (rc == 0 && (journal->has_record || snapshot->has_record)) {
        bool is_snapshot = snapshot->has_record &&
                           (!journal->has_record || snapshot->sequence <= journal->sequence);
        bool is_both =
            is_snapshot && journal->has_record && journal->sequence == snapshot->sequence;
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
