/*
 * Opening: the folder's lock -> the file, made if there is none -> its kind and version -> all that
 * is in it, to the caller -> sequences reserved for this life. Each way to fail ends in a sentence
 * for whoever starts the server.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "durable/lock.h"
#include "durable/sqlite_room.h"

enum {
    FILE_MODE = 0600,
    FILE_MIN_BYTES = 512, /* SQLite's smallest page */
    BUSY_TIMEOUT_MS = 1000
};

static const char *const statement_texts[STATEMENT_COUNT] = {
    [BEGIN] = "BEGIN IMMEDIATE",
    [COMMIT] = "COMMIT",
    [ROLLBACK] = "ROLLBACK",
    [SET_STATE] = "REPLACE INTO state (id, epoch, sequence_free, complete, current, sum)"
                  " VALUES (1, ?1, ?2, ?3, ?4, ?5)",
    [SET_SEGMENT] = "REPLACE INTO segment (id, generation, is_snapshot, rows, bytes, last, sum)"
                    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    [REMOVE_SEGMENT] = "DELETE FROM segment WHERE id = ?1",
    [ADD_MARK] = "INSERT INTO neighbour (name, epoch, sequence, life, life_from)"
                 " VALUES (?1, ?2, ?3, ?4, ?5)",
    [REMOVE_MARKS] = "DELETE FROM neighbour",
};

const char *records_reason(const struct records *records)
{
    return records->reason;
}

const char *records_path(const struct records *records)
{
    return records->path;
}

int64_t records_journal_rows(const struct records *records)
{
    int64_t rows = 0;
    for (size_t i = 0; i < records->state.segment_count; i++) {
        const struct segment *segment = &records->state.segments[i];
        if (segment->stream == JOURNAL && state_needs(records, segment))
            rows += segment->rows;
    }
    return rows;
}

bool records_is_snapshotting(const struct records *records)
{
    return records->is_snapshotting;
}

/* What to say of a failure that has not been explained where it was found. */
static int explain(const struct records *records, int rc, struct herd_buf *error)
{
    const char *path = records->path, *folder = records->folder;
    switch (rc) {
    case HERD_EFULL:
        herd_buf_printf(error, "%s cannot be written: %s: make room on its file system", path,
                        records->reason);
        return HERD_EIO;
    case HERD_EBUSY:
        herd_buf_printf(error, "%s is locked by another program (%s): end that one first", path,
                        records->reason);
        return rc;
    case HERD_EIO:
        herd_buf_printf(error,
                        "%s cannot be read and written: %s: the server's user has to own %s "
                        "and all that is in it",
                        path, records->reason, folder);
        return rc;
    case HERD_ECANCELED:
        herd_buf_printf(error, "%s was not read to its end: %s", path, herd_strerror(rc));
        return rc;
    case HERD_ENOMEM:
        herd_buf_printf(error, "no memory to read %s/records.db", folder);
        return rc;
    default:
        herd_buf_printf(error,
                        "%s is damaged: %s: put a good copy in its place, or set it aside with "
                        "`mkdir -p %s/bad && mv %s/records.db* %s/bad/` and start again: the "
                        "neighbours then send all that they hold",
                        path, records->reason, folder, folder, folder);
        return rc;
    }
}

static int open_failed(struct records *records, int system_error)
{
    snprintf(records->reason, sizeof records->reason, "%s", strerror(system_error));
    return system_error == ENOSPC || system_error == EDQUOT ? HERD_EFULL : HERD_EIO;
}

/* SQLite would take the place of a lost file with an empty one, and remove the log. */
static int refuse_orphan(const struct records *records, struct herd_buf *error)
{
    struct stat status;
    struct herd_buf log = {0};
    int rc = herd_buf_printf(&log, "%s-wal", records->path);
    if (rc == 0 && stat(log.data, &status) == 0 && status.st_size > 0) {
        herd_buf_printf(error,
                        "%s has the newest part of %s, which is not there: put that back, or move "
                        "this one away as well",
                        log.data, records->path);
        rc = HERD_EPROTO;
    }
    herd_buf_free(&log);
    return rc;
}

/* A file that has just been made is found again after a power loss only if its folder was written.
 */
static int sync_folder(struct records *records)
{
    int fd = open(records->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = fd >= 0 && fsync(fd) == 0 ? 0 : open_failed(records, errno);
    if (fd >= 0)
        close(fd);
    return rc;
}

/* The file by its descriptor: SQLite makes one with other permissions, and says less of one that
 * cannot be opened. */
static int check_file(struct records *records, int fd, struct herd_buf *error)
{
    struct stat status;
    if (fstat(fd, &status) != 0)
        return open_failed(records, errno);
    if (!S_ISREG(status.st_mode)) {
        herd_buf_printf(error, "%s is not a file: move it away", records->path);
        return HERD_EPROTO;
    }
    /* SQLite takes one of a single byte for a new one. */
    if (status.st_size > 0 && status.st_size < FILE_MIN_BYTES)
        return records_damaged(records, "it has %d bytes", (int)status.st_size);
    if (status.st_size > 0) {
        posix_fadvise(fd, 0, 0, POSIX_FADV_WILLNEED);
        return 0;
    }
    int rc = refuse_orphan(records, error);
    return rc == 0 ? sync_folder(records) : rc;
}

static int make_file(struct records *records, struct herd_buf *error)
{
    int fd = open(records->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, FILE_MODE);
    if (fd < 0)
        return open_failed(records, errno);
    int rc = check_file(records, fd, error);
    close(fd); /* before SQLite opens it: this ends all POSIX locks that the process has on it */
    return rc;
}

static int open_sqlite(struct records *records)
{
    /* What no file of ours has, but a damaged or made-up one might. */
    static const int off[] = {SQLITE_DBCONFIG_ENABLE_TRIGGER, SQLITE_DBCONFIG_ENABLE_VIEW,
                              SQLITE_DBCONFIG_TRUSTED_SCHEMA};
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    if (sqlite3_open_v2(records->path, &records->sqlite, flags, NULL) != SQLITE_OK)
        return records->sqlite != NULL ? records_fail(records) : HERD_ENOMEM;
    sqlite3_busy_timeout(records->sqlite, BUSY_TIMEOUT_MS);
    for (size_t i = 0; i < sizeof off / sizeof *off; i++)
        sqlite3_db_config(records->sqlite, off[i], 0, NULL);
    return records_execute(records, "PRAGMA cell_size_check = ON");
}

static int check_version(const struct records *records, int64_t application, int64_t version,
                         struct herd_buf *error)
{
    if (application != RECORDS_APPLICATION_ID || version < 1)
        herd_buf_printf(error, "%s is a database, but not one of herd's records: move it away",
                        records->path);
    else if (version > RECORDS_VERSION)
        herd_buf_printf(error,
                        "%s was written by a newer herd (format %lld, this one reads %d): start "
                        "that one",
                        records->path, (long long)version, RECORDS_VERSION);
    else
        return 0;
    return HERD_EPROTO;
}

/* SQLite opens lazily: the first read says whether this is a database at all. */
static int check_kind(struct records *records, bool *out_is_new, struct herd_buf *error)
{
    int64_t application, version, tables;
    int rc = records_number(records, "PRAGMA application_id", &application);
    if (rc == 0)
        rc = records_number(records, "PRAGMA user_version", &version);
    if (rc == 0)
        rc = records_number(records, "SELECT count(*) FROM sqlite_schema", &tables);
    if (rc < 0)
        return rc;
    *out_is_new = application == 0 && version == 0 && tables == 0;
    return *out_is_new ? 0 : check_version(records, application, version, error);
}

static int on_journal_mode(struct records *records, sqlite3_stmt *row)
{
    const unsigned char *mode = sqlite3_column_text(row, 0);
    if (mode != NULL && strcmp((const char *)mode, "wal") == 0)
        return 0;
    records_damaged(records, "its file system cannot have a write-ahead log (no shared memory)");
    return HERD_EIO;
}

static int use_log(struct records *records)
{
    return records_each(records, "PRAGMA journal_mode = WAL", on_journal_mode);
}

static int prepare(struct records *records)
{
    for (size_t i = 0; i < STATEMENT_COUNT; i++) {
        if (sqlite3_prepare_v3(records->sqlite, statement_texts[i], -1, SQLITE_PREPARE_PERSISTENT,
                               &records->statements[i], NULL) != SQLITE_OK)
            return records_fail(records);
    }
    return 0;
}

static int create(struct records *records)
{
    char sql[128];
    sqlite3_snprintf(sizeof sql, sql, "PRAGMA application_id = %d; PRAGMA user_version = %d",
                     RECORDS_APPLICATION_ID, RECORDS_VERSION);
    int rc = records_execute(records, "PRAGMA page_size = 4096; PRAGMA auto_vacuum = INCREMENTAL");
    if (rc == 0)
        rc = use_log(records);
    if (rc == 0)
        rc = records_execute(records, "BEGIN IMMEDIATE");
    if (rc == 0)
        rc = records_execute(records, sql);
    if (rc == 0)
        rc = state_create(records);
    if (rc == 0)
        rc = prepare(records);
    records->state.current = 1;
    if (rc == 0)
        rc = state_write(records);
    return rc == 0 ? records_run(records, COMMIT) : rc;
}

static int give_state(const struct records *records, const struct durable_found *found)
{
    const struct state *state = &records->state;
    if (state->sequence_free == 0)
        return 0;
    return found->state(found->arg, state->epoch, (uint64_t)state->sequence_free);
}

static int give_marks(const struct records *records, const struct durable_found *found)
{
    const struct state *state = &records->state;
    int rc = 0;
    for (size_t i = 0; i < state->mark_count && rc == 0; i++)
        rc = found->neighbour(found->arg, herd_slice_of(state->marks[i].name),
                              &state->marks[i].mark);
    return rc;
}

static int read_all(struct records *records, const struct durable_found *found)
{
    int rc = use_log(records);
    if (rc == 0)
        rc = records_execute(records, "BEGIN"); /* locked once, not once a table */
    if (rc == 0)
        rc = state_upgrade(records); /* undone, if what follows fails */
    if (rc == 0)
        rc = prepare(records);
    if (rc == 0)
        rc = state_read(records);
    if (rc == 0)
        rc = give_state(records, found);
    if (rc == 0)
        rc = rows_read(records, found);
    if (rc == 0)
        rc = give_marks(records, found);
    return rc == 0 ? records_run(records, COMMIT) : rc;
}

/*
 * This life begins behind the sequence that was given to the caller, and neighbours may see its
 * first ones before a batch has been written. So the next life, if this one does not come to that,
 * has to begin behind these, and that has to be on disk now, whatever `sync` says.
 */
static int reserve_sequences(struct records *records)
{
    struct state *state = &records->state;
    if (state->sequence_free == 0)
        return 0;
    if (state->sequence_free > INT64_MAX - SEQUENCES_RESERVED)
        return records_damaged(records, "its sequences are used up");
    int rc = records_begin(records);
    if (rc < 0)
        return rc;
    state->sequence_free += SEQUENCES_RESERVED;
    return records_end(records, state_write(records));
}

static int on_commit(void *arg, sqlite3 *sqlite, const char *name, int pages)
{
    (void)sqlite;
    (void)name;
    ((struct records *)arg)->wal_pages = pages;
    return SQLITE_OK;
}

/* Debian's SQLite overwrites what is deleted; here that is what has been written elsewhere. */
static int set_up_writing(struct records *records, bool sync)
{
    char sql[192];
    sqlite3_snprintf(sizeof sql, sql,
                     "PRAGMA secure_delete = OFF; PRAGMA cache_size = %d;"
                     "PRAGMA journal_size_limit = %d; PRAGMA synchronous = %s",
                     CACHE_PAGES, 4 * CHECKPOINT_PAGES * 4096, sync ? "FULL" : "NORMAL");
    sqlite3_wal_hook(records->sqlite, on_commit, records);
    records->checkpoint_at = CHECKPOINT_PAGES;
    return records_execute(records, sql);
}

static int open_file(struct records *records, bool sync, const struct durable_found *found,
                     struct herd_buf *error)
{
    bool is_new;
    int rc = make_file(records, error);
    if (rc == 0)
        rc = open_sqlite(records);
    if (rc == 0)
        rc = check_kind(records, &is_new, error);
    if (rc == 0)
        rc = records_execute(records, "PRAGMA synchronous = FULL");
    if (rc == 0)
        rc = is_new ? create(records) : read_all(records, found);
    if (rc == 0)
        rc = reserve_sequences(records);
    return rc == 0 ? set_up_writing(records, sync) : rc;
}

/* "folder/name", for free(), or NULL. */
static char *join(const char *folder, const char *name)
{
    struct herd_buf path = {0};
    if (herd_buf_printf(&path, "%s%s", folder, name) < 0)
        herd_buf_free(&path);
    return path.data;
}

int records_open(const char *folder, bool sync, const struct durable_found *found,
                 struct records **out, struct herd_buf *error)
{
    struct records *records = calloc(1, sizeof *records);
    if (records == NULL) {
        herd_buf_append_text(error, herd_strerror(HERD_ENOMEM));
        return HERD_ENOMEM;
    }
    records->lock_fd = -1;
    records->folder = join(folder, "");
    records->path = join(folder, "/records.db");
    int rc = records->folder != NULL && records->path != NULL ? 0 : HERD_ENOMEM;
    size_t before = error->len;
    if (rc == 0)
        rc = lock_take(folder, &records->lock_fd, error);
    if (rc == 0)
        rc = open_file(records, sync, found, error);
    if (rc == 0) {
        *out = records;
        return 0;
    }
    if (error->len == before)
        rc = explain(records, rc, error);
    records_close(records);
    return rc;
}

void records_close(struct records *records)
{
    if (records == NULL)
        return;
    for (size_t i = 0; i < STATEMENT_COUNT; i++)
        sqlite3_finalize(records->statements[i]);
    for (size_t i = 0; i < STREAM_COUNT; i++)
        sqlite3_finalize(records->inserts[i].statement);
    int rc = sqlite3_close(records->sqlite);
    assert(rc == SQLITE_OK);
    if (records->lock_fd >= 0)
        lock_release(records->lock_fd);
    state_free(&records->state);
    free(records->folder);
    free(records->path);
    free(records);
}
