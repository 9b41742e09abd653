/*
 * The file at the start: made if there is none, opened, told from others by its kind and version. A
 * new one is made in one transaction with a rollback journal, and gets its write-ahead log then: so
 * it is empty or whole, whatever happens to that log.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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
    [GET_SUM] = "SELECT sum FROM state",
    [SET_STATE] = "REPLACE INTO state (id, epoch, sequence_free, complete, current, sum)"
                  " VALUES (1, ?1, ?2, ?3, ?4, ?5)",
    [SET_SEGMENT] = "REPLACE INTO segment (id, generation, is_snapshot, rows, bytes, last, sum)"
                    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    [REMOVE_SEGMENT] = "DELETE FROM segment WHERE id = ?1",
    [PUT_MARK] = "REPLACE INTO neighbour (name, epoch, sequence, life, life_from)"
                 " VALUES (?1, ?2, ?3, ?4, ?5)",
    [REMOVE_MARK] = "DELETE FROM neighbour WHERE name = ?1",
    [ADD_LIFE] = "INSERT INTO life (number, life, life_from) VALUES (?1, ?2, ?3)",
    [REMOVE_LIVES] = "DELETE FROM life",
};

static int open_failed(struct records *records, int system_error)
{
    snprintf(records->reason, sizeof records->reason, "%s", strerror(system_error));
    return system_error == ENOSPC || system_error == EDQUOT ? HERD_EFULL : HERD_EIO;
}

/* All zero where there is no log beside it. */
static struct stat log_status(const struct records *records)
{
    struct stat status;
    return stat(records->log, &status) == 0 ? status : (struct stat){0};
}

static int64_t wal_bytes(const struct records *records)
{
    return log_status(records).st_size;
}

void file_note_log(struct records *records)
{
    struct stat status = log_status(records);
    records->log_device = status.st_dev;
    records->log_inode = status.st_ino;
}

bool file_has_log(const struct records *records)
{
    struct stat status = log_status(records);
    return status.st_ino != 0 && status.st_ino == records->log_inode &&
           status.st_dev == records->log_device;
}

/* SQLite would take the place of a lost file with an empty one, and remove the log. */
static int refuse_orphan(const struct records *records, struct herd_buf *error)
{
    if (wal_bytes(records) == 0)
        return 0;
    herd_buf_printf(error,
                    "%s-wal has the newest part of %s, which is not there: put that back, or move "
                    "this one away as well",
                    records->path, records->path);
    return HERD_EPROTO;
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

static int open_sqlite(struct records *records, const char *path, int flags, const char *vfs)
{
    /* What no file of ours has, but a damaged or made-up one might. */
    static const int off[] = {SQLITE_DBCONFIG_ENABLE_TRIGGER, SQLITE_DBCONFIG_ENABLE_VIEW,
                              SQLITE_DBCONFIG_TRUSTED_SCHEMA};
    flags |= SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    if (sqlite3_open_v2(path, &records->sqlite, flags, vfs) != SQLITE_OK)
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
    int64_t application, version, tables, pages;
    int rc = records_number(records, "PRAGMA application_id", &application);
    if (rc == 0)
        rc = records_number(records, "PRAGMA user_version", &version);
    if (rc == 0)
        rc = records_number(records, "SELECT count(*) FROM sqlite_schema", &tables);
    if (rc == 0)
        rc = records_number(records, "PRAGMA page_count", &pages);
    if (rc < 0)
        return rc;
    *out_is_new = pages == 0;
    if (pages > 0 && application == 0 && version == 0 && tables == 0)
        return records_damaged(records, "it is a database with nothing in it, as is left when %s",
                               "its log, records.db-wal, is lost");
    return *out_is_new ? 0 : check_version(records, application, version, error);
}

int file_open(struct records *records, bool *out_is_new, struct herd_buf *error)
{
    int rc = make_file(records, error);
    if (rc == 0)
        rc = open_sqlite(records, records->path, SQLITE_OPEN_READWRITE, NULL);
    return rc == 0 ? check_kind(records, out_is_new, error) : rc;
}

/* `file:` and the path, in which no byte means anything. */
static int append_uri(struct herd_buf *out, const char *path)
{
    int rc = herd_buf_append_text(out, "file:");
    for (; rc == 0 && *path != '\0'; path++)
        rc = herd_buf_printf(out, strchr("?#%", *path) != NULL ? "%%%02X" : "%c",
                             (unsigned char)*path);
    return rc < 0 ? rc : herd_buf_printf(out, "%s", "?immutable=1");
}

/* What is in the log stays there. */
static int open_and_leave_log(struct records *records, int flags, const char *vfs)
{
    int rc = open_sqlite(records, records->path, flags, vfs);
    if (rc == 0)
        sqlite3_db_config(records->sqlite, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    return rc;
}

/* Without a file for the log's index, for which there may be no room. */
static int open_alone(struct records *records)
{
    return open_and_leave_log(records, SQLITE_OPEN_READWRITE, "unix-excl");
}

/* Its index is in memory where no other may read the file, and SQLite wants a lock for that which
 * only a file that can be written can have: so there is none, but the folder's. */
static int open_with_log(struct records *records)
{
    int rc = open_and_leave_log(records, SQLITE_OPEN_READONLY, "unix-none");
    return rc == 0 ? records_execute(records, "PRAGMA locking_mode = EXCLUSIVE") : rc;
}

/* Without anything. */
static int open_read_only(struct records *records)
{
    struct herd_buf uri = {0};
    if (wal_bytes(records) > 0)
        return open_with_log(records);
    int rc = append_uri(&uri, records->path);
    if (rc == 0)
        rc = open_sqlite(records, uri.data, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, NULL);
    herd_buf_free(&uri);
    return rc;
}

int file_open_to_read(struct records *records, bool *out_is_new, struct herd_buf *error)
{
    struct stat status = {0};
    if (stat(records->path, &status) != 0 && errno != ENOENT)
        return open_failed(records, errno);
    *out_is_new = status.st_size == 0;
    if (*out_is_new)
        return refuse_orphan(records, error);
    if (!S_ISREG(status.st_mode))
        return HERD_EIO;
    int rc = open_alone(records);
    if (rc == 0)
        rc = check_kind(records, out_is_new, error);
    if (rc != HERD_EIO && rc != HERD_EFULL)
        return rc;
    file_close(records);
    rc = open_read_only(records);
    return rc == 0 ? check_kind(records, out_is_new, error) : rc;
}

static int on_journal_mode(struct records *records, sqlite3_stmt *row)
{
    const unsigned char *mode = sqlite3_column_text(row, 0);
    if (mode != NULL && strcmp((const char *)mode, "wal") == 0)
        return 0;
    records_damaged(records, "its file system cannot have a write-ahead log (no shared memory)");
    return HERD_EIO;
}

int file_use_log(struct records *records)
{
    return records_each(records, "PRAGMA journal_mode = WAL", on_journal_mode);
}

int file_prepare(struct records *records)
{
    for (size_t i = 0; i < STATEMENT_COUNT; i++) {
        if (sqlite3_prepare_v3(records->sqlite, statement_texts[i], -1, SQLITE_PREPARE_PERSISTENT,
                               &records->statements[i], NULL) != SQLITE_OK)
            return records_fail(records);
    }
    return 0;
}

int file_create(struct records *records)
{
    char sql[128];
    sqlite3_snprintf(sizeof sql, sql, "PRAGMA application_id = %d; PRAGMA user_version = %d",
                     RECORDS_APPLICATION_ID, RECORDS_VERSION);
    /* By itself, the second PRAGMA would write a page with nothing in it. */
    int rc = records_execute(records,
                             "PRAGMA page_size = 4096; BEGIN; PRAGMA auto_vacuum = INCREMENTAL");
    if (rc == 0)
        rc = records_execute(records, sql);
    if (rc == 0)
        rc = state_create(records);
    if (rc == 0)
        rc = file_prepare(records);
    records->state.current = 1;
    if (rc == 0)
        rc = state_write(records);
    if (rc == 0)
        rc = records_run(records, COMMIT);
    records->committed_sum = records->state.sum;
    return rc == 0 ? file_use_log(records) : rc;
}

void file_close(struct records *records)
{
    for (size_t i = 0; i < STATEMENT_COUNT; i++)
        sqlite3_finalize(records->statements[i]);
    for (size_t i = 0; i < STREAM_COUNT; i++)
        sqlite3_finalize(records->inserts[i].statement);
    int rc = sqlite3_close(records->sqlite);
    assert(rc == SQLITE_OK);
    memset(records->statements, 0, sizeof records->statements);
    memset(records->inserts, 0, sizeof records->inserts);
    records->sqlite = NULL;
}
