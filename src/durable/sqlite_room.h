/* sqlite_room.h: what the parts of records.db's code share. */
#ifndef DURABLE_SQLITE_ROOM_H
#define DURABLE_SQLITE_ROOM_H

#include <sqlite3.h>

#include <herd/err.h>
#include <herd/record.h>

#include "durable/records.h"

enum {
    RECORDS_APPLICATION_ID = 0x68726563, /* "hrec", at byte 68 of the file */
    RECORDS_VERSION = 4,                 /* PRAGMA user_version; state_upgrade knows older ones */
    SEGMENT_MAX_BYTES = 16 << 20,        /* of rows: to drop such a table takes some 10 ms */
    ROW_MAX_BYTES = 2027,    /* if it has more than one record: a page has room for two such */
    CHECKPOINT_PAGES = 4096, /* of the write-ahead log: 16 MiB */
    CACHE_PAGES = 128,       /* 512 KiB: rows are appended, and never read again */
    REASON_MAX_BYTES = 256
};

/* Sequences that neighbours may have seen and the disk has not, at most, after a crash. */
#define SEQUENCES_RESERVED (INT64_C(1) << 32)

enum stream { JOURNAL, SNAPSHOT, STREAM_COUNT };

/*
 * A table segment_<id> of rows (sequence, text), appended in order. A generation's journal and
 * snapshot are cut into such, because one of a bounded size is dropped in a bounded time.
 *
 * A row has one record, or more: `sequence` and the first line of `text` are the first one, each
 * further line is `<sequence> <text>` of the next one. LF stands between lines, not behind the last.
 */
struct segment {
    int64_t id, generation;
    enum stream stream;
    int64_t records, bytes; /* bytes of text */
    int64_t last;           /* the highest sequence */
    uint64_t sum;  /* of its records' hashes (record_hash), mod 2^64: what a lost, a changed
                               or a repeated one gives away at the next start */
    uint64_t hash; /* of the above, for the state's sum */
};

/* What a neighbour had marked. */
struct named_mark {
    char name[HERD_NAME_MAX + 1];
    struct herd_mark mark;
    uint64_t hash; /* of both, part of state.sum */
    bool is_named; /* by the lines that are being written */
};

/* All of the file but the rows; it changes with each batch, in the same transaction. */
struct state {
    uint64_t epoch;
    int64_t sequence_free;    /* 0: nothing has been written yet */
    int64_t complete;         /* the newest generation with a whole snapshot; 0: none has */
    int64_t current;          /* the generation that is written */
    struct segment *segments; /* by id */
    size_t segment_count, segment_cap;
    struct herd_life lives[HERD_LIVES_MAX]; /* of the epoch, the oldest first */
    size_t life_count;
    uint64_t lives_sum; /* of their hashes */
    struct named_mark *marks;
    size_t mark_count, mark_cap;
    uint64_t sum; /* of all this, as it was read or written last */
};

enum statement {
    BEGIN,
    COMMIT,
    ROLLBACK,
    GET_SUM,
    SET_STATE,
    SET_SEGMENT,
    REMOVE_SEGMENT,
    PUT_MARK,
    REMOVE_MARK,
    ADD_LIFE,
    REMOVE_LIVES,
    STATEMENT_COUNT
};

struct records {
    char *folder, *path, *log, *lock; /* log: records.db-wal */
    int lock_fd;                      /* -1: none */
    sqlite3 *sqlite;
    sqlite3_stmt *statements[STATEMENT_COUNT];
    struct insert {
        sqlite3_stmt *statement;
        int64_t segment;
    } inserts[STREAM_COUNT];
    struct state state;
    bool is_stale; /* a transaction has failed: the state is to be read again */
    bool is_snapshotting;
    bool sync;
    bool is_ready; /* to write; else it could only be read, and is closed */
    enum given { GIVEN_NOTHING, GIVEN_IN_PART, GIVEN } given; /* of what is in it, to the caller */
    uint64_t read_sum;           /* of the state that was given; 0: the file was empty */
    uint64_t reserved_sum;       /* of the one that was to be written then */
    uint64_t committed_sum;      /* of the one that is in the file, unless another process wrote */
    int witness_fd;              /* -1: none */
    int64_t witnessed;           /* what the witness said at the start, as witness_open gives it */
    char lost[REASON_MAX_BYTES]; /* what of it, in words; empty: nothing */
    bool is_in_doubt;            /* whether that is lost */
    uint64_t log_device, log_inode; /* of the log that SQLite has open, once that is known */
    bool log_is_known;
    int wal_pages, checkpoint_at;
    int64_t vacuum_pages; /* to be given back to the file system */
    char reason[REASON_MAX_BYTES];
};

/* sqlite_records.c: calls of SQLite. All give 0 or a negative HERD_E…, with the reason kept:
 * HERD_EPROTO for a file that is not as it should be. */

/* The result of a call of SQLite that has just failed. */
int records_fail(struct records *records);
int records_damaged(struct records *records, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Runs statements that give no rows, or whose rows do not matter. */
int records_execute(struct records *records, const char *sql);
/* The number in the first column of the first row. */
int records_number(struct records *records, const char *sql, int64_t *out);
/* Calls on_row for each row until that gives an error. */
int records_each(struct records *records, const char *sql,
                 int (*on_row)(struct records *records, sqlite3_stmt *row));
/* Runs a statement of the table, with what is bound to it. */
int records_run(struct records *records, enum statement which);
/* Prepares a statement about a segment's table; `format` has one %lld, its id. */
int records_prepare(struct records *records, const char *format, int64_t id, sqlite3_stmt **out);
/* Begins a transaction, after having read the state again if the last one failed. HERD_EBUSY where
 * another process has written to the file. */
int records_begin(struct records *records);
/* Ends it: commits if `rc` is 0, else rolls back. Gives `rc`, or the commit's result. */
int records_end(struct records *records, int rc);

/* Lets the witness know what has been committed. */
void records_bear_witness(const struct records *records);

/* sqlite_file.c: all give 0 or a negative HERD_E… with the reason kept, or a sentence in `error`. */

/* Opens the file, which is made if there is none; new is one with nothing in it yet. */
int file_open(struct records *records, bool *out_is_new, struct herd_buf *error);
/* Opens one that cannot be written, or whose log cannot, as far as there is one. */
int file_open_to_read(struct records *records, bool *out_is_new, struct herd_buf *error);
/* Makes what is in a new one. */
int file_create(struct records *records);
/* Gives it a write-ahead log, if it has none. */
int file_use_log(struct records *records);
/* Prepares the statements of the table. */
int file_prepare(struct records *records);
/* Notes which file its log is: SQLite has it open now, and keeps to it whatever its name does. */
void file_note_log(struct records *records);
/* Whether that one still has its name. */
bool file_has_log(const struct records *records);
void file_close(struct records *records);

/* sqlite_open.c: opens what could only be read at the start. 0, or negative with the reason kept. */
int records_get_ready(struct records *records);

/* sqlite_state.c */

/* Makes the tables of a new file. */
int state_create(struct records *records);
/* Makes the tables of an older version's file those of this one; its state has been read. */
int state_upgrade(struct records *records);
int state_read(struct records *records);
/* Writes all but segments and marks. */
int state_write(struct records *records);
int state_write_segment(struct records *records, struct segment *segment);
/* Those of the lines are all there are from now on. */
int state_write_marks(struct records *records, struct herd_slice lines);

/* sqlite_lives.c */

int lives_read(struct records *records);
/* The life that writes, in an epoch. Nothing is written where that is the last one already. */
int lives_write(struct records *records, uint64_t epoch, const struct herd_life *life);

/* sqlite_state.c, again */

/* Numbers as text, so that a file means the same on any machine. */
uint64_t state_hash(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The segment that the next row of a stream goes to, as far as there is one with room, or NULL. */
struct segment *state_open_segment(struct state *state, enum stream stream);
/* Makes a new one and its table; other pointers to segments end. */
int state_add_segment(struct records *records, enum stream stream, struct segment **out);
/* Takes one out; its table is the caller's matter. */
int state_remove_segment(struct records *records, size_t i);
/* Whether the next start reads a segment, or would, were the snapshot under way complete. */
bool state_needs(const struct records *records, const struct segment *segment);
void state_free(struct state *state);

uint64_t record_hash(int64_t sequence, struct herd_slice text);

/* sqlite_read.c: gives all rows to `found`, and checks that they are those that were written. */
int rows_read(struct records *records, const struct durable_found *found);

#endif
