#include "nth_sqlite.h"

#include <assert.h>
#include <stddef.h>

#include <sqlite3.h>

#include "nth.h"

static sqlite3_mem_methods real;

static void *allocate(int bytes)
{
    return nth_fails(NTH_SQLITE_ALLOCATION) ? NULL : real.xMalloc(bytes);
}

static void *reallocate(void *old, int bytes)
{
    return nth_fails(NTH_SQLITE_ALLOCATION) ? NULL : real.xRealloc(old, bytes);
}

void nth_sqlite_begin(void)
{
    int rc = sqlite3_config(SQLITE_CONFIG_GETMALLOC, &real);
    assert(rc == SQLITE_OK);
    sqlite3_mem_methods methods = real;
    methods.xMalloc = allocate;
    methods.xRealloc = reallocate;
    rc = sqlite3_config(SQLITE_CONFIG_MALLOC, &methods);
    assert(rc == SQLITE_OK);
}

int __real_sqlite3_open_v2(const char *path, sqlite3 **out, int flags, const char *vfs);
int __wrap_sqlite3_open_v2(const char *path, sqlite3 **out, int flags, const char *vfs);
int __real_sqlite3_prepare_v2(sqlite3 *db, const char *sql, int len, sqlite3_stmt **out,
                              const char **tail);
int __wrap_sqlite3_prepare_v2(sqlite3 *db, const char *sql, int len, sqlite3_stmt **out,
                              const char **tail);
int __real_sqlite3_prepare_v3(sqlite3 *db, const char *sql, int len, unsigned flags,
                              sqlite3_stmt **out, const char **tail);
int __wrap_sqlite3_prepare_v3(sqlite3 *db, const char *sql, int len, unsigned flags,
                              sqlite3_stmt **out, const char **tail);
int __real_sqlite3_bind_int(sqlite3_stmt *row, int at, int value);
int __wrap_sqlite3_bind_int(sqlite3_stmt *row, int at, int value);
int __real_sqlite3_bind_int64(sqlite3_stmt *row, int at, sqlite3_int64 value);
int __wrap_sqlite3_bind_int64(sqlite3_stmt *row, int at, sqlite3_int64 value);
int __real_sqlite3_bind_null(sqlite3_stmt *row, int at);
int __wrap_sqlite3_bind_null(sqlite3_stmt *row, int at);
int __real_sqlite3_bind_text(sqlite3_stmt *row, int at, const char *text, int len,
                             void (*let_go)(void *));
int __wrap_sqlite3_bind_text(sqlite3_stmt *row, int at, const char *text, int len,
                             void (*let_go)(void *));
int __real_sqlite3_step(sqlite3_stmt *row);
int __wrap_sqlite3_step(sqlite3_stmt *row);
const unsigned char *__real_sqlite3_column_text(sqlite3_stmt *row, int column);
const unsigned char *__wrap_sqlite3_column_text(sqlite3_stmt *row, int column);
int __real_sqlite3_exec(sqlite3 *db, const char *sql, int (*each)(void *, int, char **, char **),
                        void *arg, char **error);
int __wrap_sqlite3_exec(sqlite3 *db, const char *sql, int (*each)(void *, int, char **, char **),
                        void *arg, char **error);

int __wrap_sqlite3_open_v2(const char *path, sqlite3 **out, int flags, const char *vfs)
{
    if (!nth_fails(NTH_SQLITE_OPEN))
        return __real_sqlite3_open_v2(path, out, flags, vfs);
    *out = NULL;
    return SQLITE_NOMEM;
}

int __wrap_sqlite3_prepare_v2(sqlite3 *db, const char *sql, int len, sqlite3_stmt **out,
                              const char **tail)
{
    if (!nth_fails(NTH_SQLITE_PREPARE))
        return __real_sqlite3_prepare_v2(db, sql, len, out, tail);
    *out = NULL;
    return SQLITE_IOERR;
}

int __wrap_sqlite3_prepare_v3(sqlite3 *db, const char *sql, int len, unsigned flags,
                              sqlite3_stmt **out, const char **tail)
{
    if (!nth_fails(NTH_SQLITE_PREPARE))
        return __real_sqlite3_prepare_v3(db, sql, len, flags, out, tail);
    *out = NULL;
    return SQLITE_IOERR;
}

int __wrap_sqlite3_bind_int(sqlite3_stmt *row, int at, int value)
{
    return nth_fails(NTH_SQLITE_BIND) ? SQLITE_MISUSE : __real_sqlite3_bind_int(row, at, value);
}

int __wrap_sqlite3_bind_int64(sqlite3_stmt *row, int at, sqlite3_int64 value)
{
    return nth_fails(NTH_SQLITE_BIND) ? SQLITE_MISUSE : __real_sqlite3_bind_int64(row, at, value);
}

int __wrap_sqlite3_bind_null(sqlite3_stmt *row, int at)
{
    return nth_fails(NTH_SQLITE_BIND) ? SQLITE_MISUSE : __real_sqlite3_bind_null(row, at);
}

int __wrap_sqlite3_bind_text(sqlite3_stmt *row, int at, const char *text, int len,
                             void (*let_go)(void *))
{
    return nth_fails(NTH_SQLITE_BIND) ? SQLITE_NOMEM
                                      : __real_sqlite3_bind_text(row, at, text, len, let_go);
}

int __wrap_sqlite3_step(sqlite3_stmt *row)
{
    return nth_fails(NTH_SQLITE_STEP) ? SQLITE_IOERR : __real_sqlite3_step(row);
}

const unsigned char *__wrap_sqlite3_column_text(sqlite3_stmt *row, int column)
{
    return nth_fails(NTH_SQLITE_TEXT) ? NULL : __real_sqlite3_column_text(row, column);
}

int __wrap_sqlite3_exec(sqlite3 *db, const char *sql, int (*each)(void *, int, char **, char **),
                        void *arg, char **error)
{
    return nth_fails(NTH_SQLITE_EXEC) ? SQLITE_FULL
                                      : __real_sqlite3_exec(db, sql, each, arg, error);
}
