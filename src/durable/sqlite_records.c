/* Calls of SQLite, and what their failures mean. */
#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "durable/sqlite_room.h"
#include "durable/witness.h"

static const struct {
    int code; /* SQLite's primary one */
    int error;
} meanings[] = {
    {SQLITE_FULL, HERD_EFULL},    {SQLITE_NOMEM, HERD_ENOMEM},      {SQLITE_BUSY, HERD_EBUSY},
    {SQLITE_LOCKED, HERD_EBUSY},  {SQLITE_CORRUPT, HERD_EPROTO},    {SQLITE_NOTADB, HERD_EPROTO},
    {SQLITE_ERROR, HERD_EPROTO}, /* a table or column that is not there */
    {SQLITE_SCHEMA, HERD_EPROTO}, {SQLITE_CONSTRAINT, HERD_EPROTO}, {SQLITE_MISMATCH, HERD_EPROTO}};

/* SQLite says SQLITE_FULL for ENOSPC where it writes a file, but not for the other ways to be out
 * of room, and not where it makes the index of its log. */
static bool is_out_of_room(int extended_code, int system_error)
{
    return extended_code == SQLITE_IOERR_SHMSIZE || system_error == ENOSPC ||
           system_error == EDQUOT || system_error == EFBIG;
}

static int meaning(int extended_code, int system_error)
{
    int code = extended_code & 0xff;
    if (extended_code == SQLITE_IOERR_NOMEM)
        return HERD_ENOMEM;
    if (code == SQLITE_IOERR && is_out_of_room(extended_code, system_error))
        return HERD_EFULL;
    for (size_t i = 0; i < sizeof meanings / sizeof *meanings; i++) {
        if (meanings[i].code == code)
            return meanings[i].error;
    }
    return HERD_EIO;
}

int records_fail(struct records *records)
{
    /* What sqlite3_system_errno gives as well, but not for a COMMIT. */
    int system_error = errno;
    int code = sqlite3_extended_errcode(records->sqlite);
    bool is_system = (code & 0xff) == SQLITE_IOERR || (code & 0xff) == SQLITE_CANTOPEN;
    if (!is_system)
        system_error = 0;
    snprintf(records->reason, sizeof records->reason, "%s%s%s", sqlite3_errmsg(records->sqlite),
             system_error != 0 ? ": " : "", system_error != 0 ? strerror(system_error) : "");
    return meaning(code, system_error);
}

int records_damaged(struct records *records, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(records->reason, sizeof records->reason, format, args);
    va_end(args);
    return HERD_EPROTO;
}

int records_execute(struct records *records, const char *sql)
{
    return sqlite3_exec(records->sqlite, sql, NULL, NULL, NULL) == SQLITE_OK
               ? 0
               : records_fail(records);
}

int records_number(struct records *records, const char *sql, int64_t *out)
{
    sqlite3_stmt *statement;
    if (sqlite3_prepare_v2(records->sqlite, sql, -1, &statement, NULL) != SQLITE_OK)
        return records_fail(records);
    int step = sqlite3_step(statement);
    int rc = 0;
    if (step == SQLITE_ROW)
        *out = sqlite3_column_int64(statement, 0);
    else
        rc = step == SQLITE_DONE ? records_damaged(records, "%s gives nothing", sql)
                                 : records_fail(records);
    sqlite3_finalize(statement);
    return rc;
}

int records_each(struct records *records, const char *sql,
                 int (*on_row)(struct records *records, sqlite3_stmt *row))
{
    sqlite3_stmt *statement;
    if (sqlite3_prepare_v2(records->sqlite, sql, -1, &statement, NULL) != SQLITE_OK)
        return records_fail(records);
    int rc = 0;
    int step;
    while ((step = sqlite3_step(statement)) == SQLITE_ROW && rc == 0)
        rc = on_row(records, statement);
    if (rc == 0 && step != SQLITE_DONE)
        rc = records_fail(records);
    sqlite3_finalize(statement);
    return rc;
}

int records_run(struct records *records, enum statement which)
{
    sqlite3_stmt *statement = records->statements[which];
    int rc = sqlite3_step(statement) == SQLITE_DONE ? 0 : records_fail(records);
    sqlite3_reset(statement);
    return rc;
}

int records_prepare(struct records *records, const char *format, int64_t id, sqlite3_stmt **out)
{
    char sql[128];
    sqlite3_snprintf(sizeof sql, sql, format, (long long)id);
    return sqlite3_prepare_v3(records->sqlite, sql, -1, SQLITE_PREPARE_PERSISTENT, out, NULL) ==
                   SQLITE_OK
               ? 0
               : records_fail(records);
}

/* Ends a transaction that an error has not ended already. Where that fails too, it is tried again
 * before the next one begins. */
static void roll_back(struct records *records)
{
    if (sqlite3_get_autocommit(records->sqlite))
        return;
    sqlite3_step(records->statements[ROLLBACK]);
    sqlite3_reset(records->statements[ROLLBACK]);
}

/* Who removes the lock lets another process in; what that has written, this one does not know. Within
 * a transaction, so that it does not do so just after. */
static int check_sum(struct records *records)
{
    sqlite3_stmt *get = records->statements[GET_SUM];
    int step = sqlite3_step(get);
    uint64_t sum = step == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(get, 0) : 0;
    int rc = step == SQLITE_ROW || step == SQLITE_DONE ? 0 : records_fail(records);
    sqlite3_reset(get);
    if (rc == 0 && sum != records->committed_sum) {
        records_damaged(records, "another process has written to it: end that one, and start this "
                                 "server again");
        rc = HERD_EBUSY;
    }
    return rc;
}

int records_begin(struct records *records)
{
    roll_back(records);
    errno = 0;
    int rc = records->is_stale ? state_read(records) : 0;
    if (rc < 0)
        return rc;
    records->is_stale = false;
    rc = records_run(records, BEGIN);
    if (rc < 0)
        return rc;
    rc = check_sum(records);
    records->is_stale = rc < 0;
    if (rc < 0)
        roll_back(records);
    return rc;
}

void records_bear_witness(const struct records *records)
{
    if (records->sync)
        witness_write(records->witness_fd, records->state.sequence_free);
}

int records_end(struct records *records, int rc)
{
    if (rc == 0)
        rc = records_run(records, COMMIT);
    if (rc == 0) {
        records->committed_sum = records->state.sum;
        records_bear_witness(records);
        return 0;
    }
    records->is_stale = true;
    /* The table that a statement is about may be gone with the transaction. */
    for (size_t i = 0; i < STREAM_COUNT; i++) {
        sqlite3_finalize(records->inserts[i].statement);
        records->inserts[i] = (struct insert){0};
    }
    roll_back(records);
    return rc;
}
