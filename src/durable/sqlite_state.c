/*
 * What the file says about its rows. All of it is summed up in state.sum, and a segment's rows in
 * segment.sum: SQLite itself would not notice a bit that has changed in a text or a number.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "durable/sqlite_room.h"

enum { LIVES_SINCE = 3 }; /* PRAGMA user_version */

#define LIFE_TABLE                                                                                 \
    "CREATE TABLE life (\n"                                                                        \
    "    number INTEGER PRIMARY KEY, -- from 1, the oldest\n"                                      \
    "    life INTEGER NOT NULL, -- that this file has come from, in its epoch; 0: the first\n"     \
    "    life_from INTEGER NOT NULL -- the first sequence of that life\n"                          \
    ") STRICT;\n"

/* SQLite keeps this text, with its comments, in the file. */
static const char schema[] =
    "CREATE TABLE state (\n"
    "    id INTEGER PRIMARY KEY CHECK (id = 1),\n"
    "    epoch INTEGER NOT NULL,\n"
    "    sequence_free INTEGER NOT NULL, -- above all that were ever used; 0: none was\n"
    "    complete INTEGER NOT NULL, -- the newest generation with a whole snapshot, or 0\n"
    "    current INTEGER NOT NULL, -- the generation that is written\n"
    "    sum INTEGER NOT NULL -- of this row and those of segment and neighbour\n"
    ") STRICT;\n"
    "CREATE TABLE segment (\n"
    "    id INTEGER PRIMARY KEY, -- its rows are in the table segment_<id>\n"
    "    generation INTEGER NOT NULL,\n"
    "    is_snapshot INTEGER NOT NULL, -- 0: it belongs to the journal\n"
    "    rows INTEGER NOT NULL, -- records in them\n"
    "    bytes INTEGER NOT NULL, -- of their texts\n"
    "    last INTEGER NOT NULL, -- the highest sequence\n"
    "    sum INTEGER NOT NULL -- of its records\n"
    ") STRICT;\n"
    "CREATE TABLE neighbour (\n"
    "    name TEXT PRIMARY KEY,\n"
    "    epoch INTEGER NOT NULL,\n"
    "    sequence INTEGER NOT NULL, -- all that it applied up to this one is here\n"
    "    life INTEGER NOT NULL DEFAULT 0, -- in which it did so; 0: it has not told\n"
    "    life_from INTEGER NOT NULL DEFAULT 0 -- the first sequence of that life\n"
    ") STRICT, WITHOUT ROWID;\n" LIFE_TABLE;

/* What makes a version the next one. The marks of version 1 had no life, version 2 kept none of the
 * server's own, and version 3 had one record in each row, as a row of this one may have. */
static const char *const upgrades[RECORDS_VERSION] = {
    [1] = "BEGIN IMMEDIATE;"
          "ALTER TABLE neighbour ADD COLUMN life INTEGER NOT NULL DEFAULT 0;"
          "ALTER TABLE neighbour ADD COLUMN life_from INTEGER NOT NULL DEFAULT 0;"
          "PRAGMA user_version = 2;"
          "COMMIT",
    [2] = "BEGIN IMMEDIATE;" LIFE_TABLE "PRAGMA user_version = 3;"
          "COMMIT",
    [3] = "PRAGMA user_version = 4",
};

static const char select_marks[] = "SELECT name, epoch, sequence, life, life_from FROM neighbour";
static const char select_marks_1[] = "SELECT name, epoch, sequence, 0, 0 FROM neighbour";

uint64_t record_hash(int64_t sequence, struct herd_slice text)
{
    return XXH3_64bits_withSeed(text.data, text.len, (uint64_t)sequence);
}

uint64_t state_hash(const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    assert(len > 0 && (size_t)len < sizeof text);
    return XXH3_64bits(text, (size_t)len);
}

static uint64_t segment_hash(const struct segment *segment)
{
    return state_hash("segment %" PRId64 " %" PRId64 " %d %" PRId64 " %" PRId64 " %" PRId64
                      " %016" PRIx64,
                      segment->id, segment->generation, (int)segment->stream, segment->records,
                      segment->bytes, segment->last, segment->sum);
}

/* A mark without a life has the hash that it had before marks had any. */
static uint64_t mark_hash(const struct named_mark *named)
{
    const struct herd_mark *mark = &named->mark;
    char life[48] = "";
    if (mark->life != 0)
        snprintf(life, sizeof life, " %016" PRIx64 " %016" PRIx64, mark->life, mark->life_from);
    return state_hash("neighbour %s %016" PRIx64 " %016" PRIx64 "%s", named->name, mark->epoch,
                      mark->sequence, life);
}

static uint64_t sum_of(const struct state *state)
{
    uint64_t sum = state_hash("state %016" PRIx64 " %" PRId64 " %" PRId64 " %" PRId64, state->epoch,
                              state->sequence_free, state->complete, state->current);
    for (size_t i = 0; i < state->segment_count; i++)
        sum += state->segments[i].hash;
    for (size_t i = 0; i < state->mark_count; i++)
        sum += state->marks[i].hash;
    return sum + state->lives_sum;
}

void state_free(struct state *state)
{
    free(state->segments);
    free(state->marks);
    *state = (struct state){0};
}

/* The array with room for one element more, or NULL with the old one unchanged. */
static void *grown(void *array, size_t count, size_t *cap, size_t element_bytes)
{
    if (count < *cap)
        return array;
    size_t new_cap = *cap > 0 ? 2 * *cap : 8;
    void *bigger = realloc(array, new_cap * element_bytes);
    if (bigger != NULL)
        *cap = new_cap;
    return bigger;
}

static int append_segment(struct state *state, const struct segment *segment)
{
    struct segment *segments =
        grown(state->segments, state->segment_count, &state->segment_cap, sizeof *segments);
    if (segments == NULL)
        return HERD_ENOMEM;
    state->segments = segments;
    segments[state->segment_count++] = *segment;
    return 0;
}

static int append_mark(struct state *state, struct herd_slice name, const struct herd_mark *mark)
{
    struct named_mark *marks =
        grown(state->marks, state->mark_count, &state->mark_cap, sizeof *marks);
    if (marks == NULL)
        return HERD_ENOMEM;
    state->marks = marks;
    struct named_mark *named = &marks[state->mark_count++];
    *named = (struct named_mark){.mark = *mark, .is_named = true};
    memcpy(named->name, name.data, name.len);
    named->hash = mark_hash(named);
    return 0;
}

/* Reading */

static int on_state(struct records *records, sqlite3_stmt *row)
{
    records->state.epoch = (uint64_t)sqlite3_column_int64(row, 0);
    records->state.sequence_free = sqlite3_column_int64(row, 1);
    records->state.complete = sqlite3_column_int64(row, 2);
    records->state.current = sqlite3_column_int64(row, 3);
    records->state.sum = (uint64_t)sqlite3_column_int64(row, 4);
    return 0;
}

static int on_segment(struct records *records, sqlite3_stmt *row)
{
    struct segment segment = {
        .id = sqlite3_column_int64(row, 0),
        .generation = sqlite3_column_int64(row, 1),
        .stream = sqlite3_column_int64(row, 2) == 0 ? JOURNAL : SNAPSHOT,
        .records = sqlite3_column_int64(row, 3),
        .bytes = sqlite3_column_int64(row, 4),
        .last = sqlite3_column_int64(row, 5),
        .sum = (uint64_t)sqlite3_column_int64(row, 6),
    };
    segment.hash = segment_hash(&segment);
    return append_segment(&records->state, &segment);
}

static int on_mark(struct records *records, sqlite3_stmt *row)
{
    const char *name = sqlite3_column_blob(row, 0);
    size_t len = (size_t)sqlite3_column_bytes(row, 0);
    if (name == NULL || len > HERD_NAME_MAX)
        return records_damaged(records, "a neighbour's name has %zu bytes", len);
    const struct herd_mark mark = {.epoch = (uint64_t)sqlite3_column_int64(row, 1),
                                   .sequence = (uint64_t)sqlite3_column_int64(row, 2),
                                   .life = (uint64_t)sqlite3_column_int64(row, 3),
                                   .life_from = (uint64_t)sqlite3_column_int64(row, 4)};
    return append_mark(&records->state, herd_slice(name, len), &mark);
}

int state_read(struct records *records)
{
    struct state *state = &records->state;
    int64_t version;
    state->segment_count = state->mark_count = state->life_count = 0;
    state->lives_sum = 0;
    state->current = 0; /* found out below, if there is no row */
    int rc = records_each(records, "SELECT epoch, sequence_free, complete, current, sum FROM state",
                          on_state);
    if (rc == 0)
        rc = records_each(records,
                          "SELECT id, generation, is_snapshot, rows, bytes, last, sum FROM segment"
                          " ORDER BY id",
                          on_segment);
    if (rc == 0)
        rc = records_number(records, "PRAGMA user_version", &version);
    if (rc == 0)
        rc = records_each(records, version == 1 ? select_marks_1 : select_marks, on_mark);
    if (rc == 0 && version >= LIVES_SINCE)
        rc = lives_read(records);
    if (rc == 0 && (state->current < 1 || state->sum != sum_of(state)))
        rc = records_damaged(records, "its state is not the one that was written");
    return rc;
}

/* Writing */

int state_create(struct records *records)
{
    return records_execute(records, schema);
}

int state_upgrade(struct records *records)
{
    int64_t version;
    int rc = records_number(records, "PRAGMA user_version", &version);
    for (; rc == 0 && version < RECORDS_VERSION; version++)
        rc = records_execute(records, upgrades[version]);
    return rc;
}

int state_write(struct records *records)
{
    struct state *state = &records->state;
    sqlite3_stmt *set = records->statements[SET_STATE];
    state->sum = sum_of(state);
    sqlite3_bind_int64(set, 1, (int64_t)state->epoch);
    sqlite3_bind_int64(set, 2, state->sequence_free);
    sqlite3_bind_int64(set, 3, state->complete);
    sqlite3_bind_int64(set, 4, state->current);
    sqlite3_bind_int64(set, 5, (int64_t)state->sum);
    return records_run(records, SET_STATE);
}

int state_write_segment(struct records *records, struct segment *segment)
{
    sqlite3_stmt *set = records->statements[SET_SEGMENT];
    segment->hash = segment_hash(segment);
    sqlite3_bind_int64(set, 1, segment->id);
    sqlite3_bind_int64(set, 2, segment->generation);
    sqlite3_bind_int(set, 3, segment->stream == SNAPSHOT);
    sqlite3_bind_int64(set, 4, segment->records);
    sqlite3_bind_int64(set, 5, segment->bytes);
    sqlite3_bind_int64(set, 6, segment->last);
    sqlite3_bind_int64(set, 7, (int64_t)segment->sum);
    return records_run(records, SET_SEGMENT);
}

struct segment *state_open_segment(struct state *state, enum stream stream)
{
    for (size_t i = state->segment_count; i-- > 0;) {
        struct segment *segment = &state->segments[i];
        if (segment->stream == stream)
            return segment->generation == state->current && segment->bytes < SEGMENT_MAX_BYTES
                       ? segment
                       : NULL;
    }
    return NULL;
}

/* The last sequence of what a new segment goes on from. */
static int64_t last_sequence(const struct state *state, enum stream stream)
{
    for (size_t i = state->segment_count; i-- > 0;) {
        const struct segment *segment = &state->segments[i];
        if (segment->stream == stream)
            return stream == JOURNAL || segment->generation == state->current ? segment->last : 0;
    }
    return 0;
}

int state_add_segment(struct records *records, enum stream stream, struct segment **out)
{
    struct state *state = &records->state;
    size_t count = state->segment_count;
    const struct segment segment = {
        .id = count > 0 ? state->segments[count - 1].id + 1 : 1,
        .generation = state->current,
        .stream = stream,
        .last = last_sequence(state, stream),
    };
    char sql[128];
    snprintf(sql, sizeof sql,
             "CREATE TABLE segment_%" PRId64 " (sequence INTEGER PRIMARY KEY, text TEXT NOT NULL)",
             segment.id);
    int rc = append_segment(state, &segment);
    if (rc == 0)
        rc = records_execute(records, sql);
    *out = &state->segments[count];
    return rc;
}

int state_remove_segment(struct records *records, size_t i)
{
    struct state *state = &records->state;
    sqlite3_bind_int64(records->statements[REMOVE_SEGMENT], 1, state->segments[i].id);
    memmove(&state->segments[i], &state->segments[i + 1],
            (state->segment_count - i - 1) * sizeof *state->segments);
    state->segment_count--;
    return records_run(records, REMOVE_SEGMENT);
}

bool state_needs(const struct records *records, const struct segment *segment)
{
    const struct state *state = &records->state;
    if (segment->stream == JOURNAL)
        return segment->generation >= state->complete;
    return segment->generation == state->complete ||
           (records->is_snapshotting && segment->generation == state->current);
}

/* Cuts the first word off a line. */
static struct herd_slice take_word(struct herd_slice *line)
{
    const char *space = memchr(line->data, ' ', line->len);
    size_t len = space != NULL ? (size_t)(space - line->data) : line->len;
    struct herd_slice word = herd_slice(line->data, len);
    size_t used = space != NULL ? len + 1 : len;
    *line = herd_slice(line->data + used, line->len - used);
    return word;
}

static struct named_mark *find_mark(struct state *state, struct herd_slice name)
{
    for (size_t i = 0; i < state->mark_count; i++) {
        struct named_mark *named = &state->marks[i];
        if (name.len < sizeof named->name && named->name[name.len] == '\0' &&
            memcmp(named->name, name.data, name.len) == 0)
            return named;
    }
    return NULL;
}

static bool is_same(const struct herd_mark *a, const struct herd_mark *b)
{
    return a->epoch == b->epoch && a->sequence == b->sequence && a->life == b->life &&
           a->life_from == b->life_from;
}

static int put_mark(struct records *records, struct herd_slice name, const struct herd_mark *mark)
{
    sqlite3_stmt *put = records->statements[PUT_MARK];
    sqlite3_bind_text(put, 1, name.data, (int)name.len, SQLITE_STATIC);
    sqlite3_bind_int64(put, 2, (int64_t)mark->epoch);
    sqlite3_bind_int64(put, 3, (int64_t)mark->sequence);
    sqlite3_bind_int64(put, 4, (int64_t)mark->life);
    sqlite3_bind_int64(put, 5, (int64_t)mark->life_from);
    return records_run(records, PUT_MARK);
}

/* The last one of a name counts. One that is there as it is has been written. */
static int write_mark(struct records *records, struct herd_slice line)
{
    struct herd_slice name = take_word(&line);
    /* Each line ends with LF, where the digits end at the latest. */
    struct herd_mark mark;
    mark.epoch = strtoull(take_word(&line).data, NULL, 16);
    mark.sequence = strtoull(take_word(&line).data, NULL, 10);
    mark.life = strtoull(take_word(&line).data, NULL, 16);
    mark.life_from = strtoull(take_word(&line).data, NULL, 10);
    assert(name.len > 0 && name.len <= HERD_NAME_MAX);
    struct named_mark *named = find_mark(&records->state, name);
    if (named != NULL)
        named->is_named = true;
    if (named != NULL && is_same(&named->mark, &mark))
        return 0;
    int rc = put_mark(records, name, &mark);
    if (rc < 0 || named == NULL)
        return rc < 0 ? rc : append_mark(&records->state, name, &mark);
    named->mark = mark;
    named->hash = mark_hash(named);
    return 0;
}

static int remove_mark(struct records *records, size_t i)
{
    struct state *state = &records->state;
    struct named_mark *named = &state->marks[i];
    sqlite3_bind_text(records->statements[REMOVE_MARK], 1, named->name, -1, SQLITE_STATIC);
    int rc = records_run(records, REMOVE_MARK);
    if (rc == 0)
        *named = state->marks[--state->mark_count];
    return rc;
}

int state_write_marks(struct records *records, struct herd_slice lines)
{
    struct state *state = &records->state;
    int rc = 0;
    for (size_t i = 0; i < state->mark_count; i++)
        state->marks[i].is_named = false;
    while (lines.len > 0 && rc == 0) {
        const char *end = memchr(lines.data, '\n', lines.len);
        assert(end != NULL);
        struct herd_slice line = herd_slice(lines.data, (size_t)(end - lines.data));
        rc = write_mark(records, line);
        lines = herd_slice(end + 1, lines.len - line.len - 1);
    }
    for (size_t i = state->mark_count; i-- > 0 && rc == 0;)
        rc = state->marks[i].is_named ? 0 : remove_mark(records, i);
    return rc;
}
