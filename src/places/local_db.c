#include "places/local_db.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sqlite3.h>

#include <herd/err.h>
#include <herd/geo.h>

#include "places/local_area.h"
#include "places/local_nearest.h"
#include "places/local_vfs.h"

/* What the haversine formula may be off by; not a place more, not a place less. */
static const double rounding_m = 1e-6;

enum { BUSY_TIMEOUT_MS = 100, REASON_MAX_BYTES = 160 };

enum { CIRCLES_SMALLEST = 64, CIRCLES_FACTOR = 4, CIRCLE_MIN_M = 50 };

enum statement { BEGIN, FIND, PLACE, COMMIT, STATEMENT_COUNT };

static const char *const statement_texts[STATEMENT_COUNT] = {
    [BEGIN] = "BEGIN",
    [COMMIT] = "COMMIT",
    [FIND] = "SELECT id, lat_min, lon_min FROM place_at"
             " WHERE lat_max >= ?1 AND lat_min <= ?2 AND lon_max >= ?3 AND lon_min <= ?4",
    [PLACE] = "SELECT place_id, name, types, vicinity, extent_m, source FROM place"
              " JOIN type_list ON type_list.id = place.type_list"
              " JOIN area ON area.id = place.area WHERE place.id = ?1",
};

struct local_db {
    sqlite3 *sqlite;
    sqlite3_stmt *statements[STATEMENT_COUNT];
    char reason[REASON_MAX_BYTES];
    size_t source_count;
    struct local_source sources[LOCAL_SOURCES_MAX];
};

const char *local_db_reason(const struct local_db *db)
{
    return db->reason;
}

/* `reason` is one of ours, or NULL: SQLite's, kept because its next call forgets it. */
static int fail(struct local_db *db, const char *reason)
{
    snprintf(db->reason, sizeof db->reason, "%s",
             reason != NULL ? reason : sqlite3_errmsg(db->sqlite));
    return HERD_EIO;
}

void local_db_interrupt(struct local_db *db)
{
    sqlite3_interrupt(db->sqlite);
}

const struct local_source *local_db_source(const struct local_db *db, size_t i)
{
    return i < db->source_count ? &db->sources[i] : NULL;
}

void local_db_close(struct local_db *db)
{
    if (db == NULL)
        return;
    for (size_t i = 0; i < db->source_count; i++) {
        free(db->sources[i].name);
        free(db->sources[i].attribution);
        free(db->sources[i].licence);
        free(db->sources[i].version);
    }
    for (size_t i = 0; i < STATEMENT_COUNT; i++)
        sqlite3_finalize(db->statements[i]);
    int rc = sqlite3_close(db->sqlite);
    assert(rc == SQLITE_OK);
    free(db);
}

/* The one number that `sql` gives. 0 or HERD_EIO. */
static int read_number(struct local_db *db, const char *sql, int64_t *out)
{
    sqlite3_stmt *statement;
    if (sqlite3_prepare_v2(db->sqlite, sql, -1, &statement, NULL) != SQLITE_OK)
        return fail(db, NULL);
    int rc = sqlite3_step(statement);
    if (rc == SQLITE_ROW)
        *out = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return rc == SQLITE_ROW ? 0 : fail(db, NULL);
}

/* A text that is NULL is empty here; one that there is no memory for is not. */
static int copy_text(sqlite3_stmt *statement, int column, char **out)
{
    bool is_null = sqlite3_column_type(statement, column) == SQLITE_NULL;
    const unsigned char *text = sqlite3_column_text(statement, column);
    if (text == NULL && !is_null)
        return HERD_ENOMEM;
    *out = strdup(text != NULL ? (const char *)text : "");
    return *out != NULL ? 0 : HERD_ENOMEM;
}

static int add_source(struct local_db *db, sqlite3_stmt *row)
{
    if (db->source_count == LOCAL_SOURCES_MAX)
        return fail(db, "too many sources");
    struct local_source *source = &db->sources[db->source_count++];
    source->id = sqlite3_column_int64(row, 0);
    source->places = sqlite3_column_int64(row, 1);
    int rc = copy_text(row, 2, &source->name);
    if (rc == 0)
        rc = copy_text(row, 3, &source->attribution);
    if (rc == 0)
        rc = copy_text(row, 4, &source->licence);
    return rc == 0 ? copy_text(row, 5, &source->version) : rc;
}

static int read_sources(struct local_db *db)
{
    sqlite3_stmt *statement;
    const char *sql = "SELECT id, places, name, attribution, licence, version FROM source"
                      " ORDER BY id";
    if (sqlite3_prepare_v2(db->sqlite, sql, -1, &statement, NULL) != SQLITE_OK)
        return fail(db, NULL);
    int step, rc = 0;
    while ((step = sqlite3_step(statement)) == SQLITE_ROW && rc == 0)
        rc = add_source(db, statement);
    sqlite3_finalize(statement);
    if (rc < 0)
        return rc;
    return step == SQLITE_DONE ? 0 : fail(db, NULL);
}

static int prepare(struct local_db *db)
{
    for (size_t i = 0; i < STATEMENT_COUNT; i++) {
        if (sqlite3_prepare_v3(db->sqlite, statement_texts[i], -1, SQLITE_PREPARE_PERSISTENT,
                               &db->statements[i], NULL) != SQLITE_OK)
            return fail(db, NULL);
    }
    return 0;
}

/* The file itself is open: what else SQLite wants is what lies beside it. */
static const char *reason_of_first_read(const struct local_db *db)
{
    switch (sqlite3_errcode(db->sqlite)) {
    case SQLITE_CANTOPEN:
        return "it is in WAL mode, which is for files that are written (or a -wal file lies beside "
               "it): set `PRAGMA journal_mode = DELETE` in it";
    case SQLITE_READONLY:
        return "a write into it was interrupted, and its journal lies beside it: open it once with "
               "`sqlite3`";
    case SQLITE_NOTADB:
        return "file is not a database: make a places file with `herd-places import`";
    default:
        return local_db_reason(db);
    }
}

/* SQLite opens lazily: the first read says whether this is a database at all. */
static int check_version(struct local_db *db, const char *path, struct herd_buf *error)
{
    int64_t application = 0, version = 0;
    if (read_number(db, "PRAGMA application_id", &application) < 0 ||
        read_number(db, "PRAGMA user_version", &version) < 0) {
        herd_buf_printf(error, "%s cannot be read: %s", path, reason_of_first_read(db));
        return HERD_EIO;
    }
    if (application != LOCAL_DB_APPLICATION_ID) {
        herd_buf_printf(error, "%s is no places file: make one with `herd-places import`", path);
        return HERD_EPROTO;
    }
    if (version != LOCAL_DB_VERSION) {
        herd_buf_printf(error,
                        "%s is a places file of version %lld, this herd reads version %d: make it "
                        "again with `herd-places import` of this herd",
                        path, (long long)version, LOCAL_DB_VERSION);
        return HERD_EPROTO;
    }
    return 0;
}

static int open_sqlite(struct local_db *db, const char *path, struct herd_buf *error)
{
    /* Not immutable=1: the lock costs a few microseconds, and whoever writes into the file in place
     * instead of renaming a new one over it is then answered late, not wrongly. */
    int flags = SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX;
    const char *vfs = local_vfs();
    if (vfs == NULL) /* never SQLite's own, which would hold up the records */
        return HERD_ENOMEM;
    if (sqlite3_open_v2(path, &db->sqlite, flags, vfs) == SQLITE_OK) {
        sqlite3_busy_timeout(db->sqlite, BUSY_TIMEOUT_MS);
        return check_version(db, path, error);
    }
    if (db->sqlite == NULL)
        return HERD_ENOMEM;
    int system_error = sqlite3_system_errno(db->sqlite);
    herd_buf_printf(error, "%s cannot be opened: %s", path,
                    system_error != 0 ? strerror(system_error) : sqlite3_errmsg(db->sqlite));
    return system_error == ENOENT ? HERD_ENOTFOUND : HERD_EIO;
}

int local_db_open(const char *path, struct local_db **out, struct herd_buf *error)
{
    struct local_db *db = calloc(1, sizeof *db);
    if (db == NULL)
        return HERD_ENOMEM;
    int rc = open_sqlite(db, path, error);
    if (rc == 0) {
        rc = prepare(db);
        if (rc == 0)
            rc = read_sources(db);
        if (rc < 0)
            herd_buf_printf(error, "%s cannot be read: %s", path,
                            rc == HERD_EIO ? local_db_reason(db) : herd_strerror(rc));
    }
    if (rc < 0) {
        local_db_close(db);
        return rc;
    }
    *out = db;
    return 0;
}

size_t local_type_length(const char *types)
{
    size_t len = strspn(types, "abcdefghijklmnopqrstuvwxyz_0123456789");
    return types[len] == ',' || types[len] == '\0' ? len : 0;
}

static int find_in_box(struct local_db *db, const struct places_query *query,
                       const struct local_box *box, struct local_nearest *out)
{
    sqlite3_stmt *row = db->statements[FIND];
    struct herd_location centre = {query->latitude, query->longitude};
    const int sides[] = {box->lat_min, box->lat_max, box->lon_min, box->lon_max};
    for (int i = 0; i < 4; i++) {
        if (sqlite3_bind_int(row, 1 + i, sides[i]) != SQLITE_OK)
            return fail(db, NULL);
    }
    int step;
    while ((step = sqlite3_step(row)) == SQLITE_ROW) {
        struct local_found found = {
            .id = sqlite3_column_int64(row, 0),
            .location = {local_degrees(sqlite3_column_int(row, 1)),
                         local_degrees(sqlite3_column_int(row, 2))},
        };
        found.distance_m = herd_geo_distance_m(centre, found.location);
        if (found.distance_m <= query->radius_m + rounding_m)
            local_nearest_offer(out, found);
    }
    sqlite3_reset(row);
    return step == SQLITE_DONE ? 0 : fail(db, NULL);
}

static int find(struct local_db *db, const struct places_query *query, struct local_nearest *out)
{
    struct herd_location centre = {query->latitude, query->longitude};
    struct local_area area = local_area_around(centre, query->radius_m);
    *out = (struct local_nearest){0};
    for (size_t i = 0; i < area.count; i++) {
        int rc = find_in_box(db, query, &area.boxes[i], out);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* A large city has tens of thousands of places within 10 km. So circles are searched from a small
 * one on: the first one that has enough of them has the nearest. */
static int find_nearest(struct local_db *db, const struct places_query *query,
                        struct local_nearest *out)
{
    struct places_query circle = *query;
    circle.radius_m /= CIRCLES_SMALLEST;
    for (; circle.radius_m < query->radius_m && circle.radius_m >= CIRCLE_MIN_M;
         circle.radius_m *= CIRCLES_FACTOR) {
        int rc = find(db, &circle, out);
        if (rc < 0 || out->offered >= PLACES_RESULTS_MAX)
            return rc;
    }
    return find(db, query, out);
}

static const char *text_of(sqlite3_stmt *row, int column)
{
    return (const char *)sqlite3_column_text(row, column);
}

/* Each has one; SQLite gives none for want of memory, too. */
static int fail_without_text(struct local_db *db)
{
    return fail(db, sqlite3_errcode(db->sqlite) == SQLITE_NOMEM ? NULL : "a place has no text");
}

static int read_place(struct local_db *db, sqlite3_stmt *row, struct local_place *out)
{
    out->place_id = text_of(row, 0);
    out->name = text_of(row, 1);
    out->types = text_of(row, 2);
    out->vicinity = text_of(row, 3);
    out->extent_m = sqlite3_column_int64(row, 4);
    if (out->place_id == NULL || out->name == NULL || out->types == NULL || out->vicinity == NULL)
        return fail_without_text(db);
    if (out->extent_m < 0)
        return fail(db, "a place has a negative extent");
    int64_t source = sqlite3_column_int64(row, 5);
    while (out->source < db->source_count && db->sources[out->source].id != source)
        out->source++;
    return out->source < db->source_count ? 0 : fail(db, "a place has no source");
}

static int show(struct local_db *db, const struct local_found *found, local_place_cb *on_place,
                void *arg)
{
    sqlite3_stmt *row = db->statements[PLACE];
    struct local_place place = {.location = found->location, .distance_m = found->distance_m};
    if (sqlite3_bind_int64(row, 1, found->id) != SQLITE_OK)
        return fail(db, NULL);
    int step = sqlite3_step(row);
    int rc;
    if (step == SQLITE_ROW)
        rc = read_place(db, row, &place);
    else
        rc = fail(db, step == SQLITE_DONE ? "a place of the index is missing" : NULL);
    if (rc == 0)
        rc = on_place(arg, &place);
    sqlite3_reset(row);
    return rc;
}

static int run(struct local_db *db, enum statement which)
{
    int rc = sqlite3_step(db->statements[which]);
    if (rc != SQLITE_DONE)
        fail(db, NULL);
    sqlite3_reset(db->statements[which]);
    return rc == SQLITE_DONE ? 0 : HERD_EIO;
}

int local_db_near(struct local_db *db, const struct places_query *query, local_place_cb *on_place,
                  void *arg, size_t *within)
{
    /* One transaction: the file is locked once, not once a place. An interrupted COMMIT may have
     * left one open, and some errors end it. */
    if (sqlite3_get_autocommit(db->sqlite)) {
        int rc = run(db, BEGIN);
        if (rc < 0)
            return rc;
    }
    struct local_nearest nearest;
    int rc = within != NULL ? find(db, query, &nearest) : find_nearest(db, query, &nearest);
    for (size_t i = 0; i < nearest.count && rc == 0; i++)
        rc = show(db, &nearest.found[i], on_place, arg);
    if (within != NULL)
        *within = nearest.offered;
    if (sqlite3_get_autocommit(db->sqlite))
        return rc;
    int ended = run(db, COMMIT);
    return rc != 0 ? rc : ended;
}

/* ---- All of it ------------------------------------------------------------------------------ */

/* 0 with *out, which sqlite3_finalize ends, or HERD_EIO. */
static int begin_all(struct local_db *db, const char *sql, sqlite3_stmt **out)
{
    return sqlite3_prepare_v2(db->sqlite, sql, -1, out, NULL) == SQLITE_OK ? 0 : fail(db, NULL);
}

static int end_all(struct local_db *db, sqlite3_stmt *rows, int step, int rc)
{
    if (rc == 0 && step != SQLITE_DONE)
        rc = fail(db, NULL);
    sqlite3_finalize(rows);
    return rc;
}

static int find_source(struct local_db *db, int64_t id, size_t *out)
{
    for (*out = 0; *out < db->source_count; ++*out) {
        if (db->sources[*out].id == id)
            return 0;
    }
    return fail(db, "a place has no source");
}

static int read_record(struct local_db *db, sqlite3_stmt *row, struct local_record *out)
{
    *out = (struct local_record){
        .id = sqlite3_column_int64(row, 0),
        .lat = sqlite3_column_int(row, 1),
        .lon = sqlite3_column_int(row, 2),
        .extent_m = sqlite3_column_int64(row, 3),
        .types = sqlite3_column_int64(row, 4),
        .area = sqlite3_column_int64(row, 5),
        .place_id = text_of(row, 7),
        .name = text_of(row, 8),
    };
    if (out->place_id == NULL || out->name == NULL)
        return fail_without_text(db);
    if (out->extent_m < 0)
        return fail(db, "a place has a negative extent");
    return find_source(db, sqlite3_column_int64(row, 6), &out->source);
}

int local_db_each(struct local_db *db, local_record_cb *on_record, void *arg)
{
    sqlite3_stmt *rows;
    int step = SQLITE_DONE;
    int rc = begin_all(db,
                       "SELECT place.id, lat_min, lon_min, extent_m, type_list, area, source,"
                       " place_id, name FROM place_at JOIN place ON place.id = place_at.id",
                       &rows);
    while (rc == 0 && (step = sqlite3_step(rows)) == SQLITE_ROW) {
        struct local_record record;
        rc = read_record(db, rows, &record);
        if (rc == 0)
            rc = on_record(arg, &record);
    }
    return end_all(db, rows, step, rc);
}

static int each_text(struct local_db *db, const char *sql, local_text_cb *on_text, void *arg)
{
    sqlite3_stmt *rows;
    int step = SQLITE_DONE;
    int rc = begin_all(db, sql, &rows);
    while (rc == 0 && (step = sqlite3_step(rows)) == SQLITE_ROW) {
        const char *text = text_of(rows, 1);
        rc = text != NULL ? on_text(arg, sqlite3_column_int64(rows, 0), text)
                          : fail_without_text(db);
    }
    return end_all(db, rows, step, rc);
}

int local_db_each_types(struct local_db *db, local_text_cb *on_text, void *arg)
{
    return each_text(db, "SELECT id, types FROM type_list ORDER BY id", on_text, arg);
}

int local_db_each_area(struct local_db *db, local_text_cb *on_text, void *arg)
{
    return each_text(db, "SELECT id, vicinity FROM area ORDER BY id", on_text, arg);
}
