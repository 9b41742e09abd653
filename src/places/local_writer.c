/*
 * A file is there whole or not at all: it is written beside, brought to the disk, and renamed.
 *
 * Places wait in a sorter until all are there, and are written along a curve that stays near
 * itself. So each page of the tables and of the index is filled once, however many there are, and
 * places that are near each other are so in the file.
 */
#include "places/local_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sqlite3.h>

#include <herd/err.h>

#include "places/local_area.h"
#include "places/local_db.h"
#include "places/row_sorter.h"

enum { FILE_MODE = 0644, SORTER_BYTES = 32 << 20 };

static const char schema[] =
    "PRAGMA journal_mode = OFF;"
    "PRAGMA synchronous = OFF;"
    "PRAGMA cache_size = -8192;"
    "BEGIN;"
    "CREATE TABLE source (\n"
    "    id INTEGER PRIMARY KEY,\n"
    "    places INTEGER NOT NULL, -- how many rows of place are from it\n"
    "    name TEXT NOT NULL,\n"
    "    attribution TEXT NOT NULL, -- HTML, to be shown with its places\n"
    "    licence TEXT NOT NULL, -- SPDX identifier\n"
    "    version TEXT NOT NULL\n"
    ");"
    "CREATE TABLE type_list (\n"
    "    id INTEGER PRIMARY KEY,\n"
    "    types TEXT NOT NULL UNIQUE -- Google's, comma-separated\n"
    ");"
    "CREATE TABLE area (\n"
    "    id INTEGER PRIMARY KEY,\n"
    "    vicinity TEXT NOT NULL -- where its places are, for people\n"
    ");"
    "CREATE TABLE place (\n"
    "    id INTEGER PRIMARY KEY,\n"
    "    source INTEGER NOT NULL REFERENCES source,\n"
    "    type_list INTEGER NOT NULL REFERENCES type_list,\n"
    "    area INTEGER NOT NULL REFERENCES area,\n"
    "    extent_m INTEGER NOT NULL, -- half the side of the square that shows it\n"
    "    population INTEGER, -- NULL: not known\n"
    "    country TEXT NOT NULL, -- ISO 3166-1 alpha-2, or ''\n"
    "    kind TEXT NOT NULL, -- the source's own word, or ''\n"
    "    place_id TEXT NOT NULL,\n"
    "    name TEXT NOT NULL\n"
    ");"
    /* A place is the point lat_min = lat_max, lon_min = lon_max, in whole 1e-7 degrees. */
    "CREATE VIRTUAL TABLE place_at USING rtree_i32(id, lat_min, lat_max, lon_min, lon_max);";

enum statement {
    SOURCE,
    SOURCE_SAID,
    FIND_TYPE_LIST,
    TYPE_LIST,
    AREA,
    PLACE,
    PLACE_AT,
    STATEMENT_COUNT
};

static const char *const statement_texts[STATEMENT_COUNT] = {
    [SOURCE] = "INSERT INTO source VALUES (?1, 0, '', '', '', '')",
    [SOURCE_SAID] = "UPDATE source SET name = ?2, attribution = ?3, licence = ?4, version = ?5,"
                    " places = ?6 WHERE id = ?1",
    [FIND_TYPE_LIST] = "SELECT id FROM type_list WHERE types = ?1",
    [TYPE_LIST] = "INSERT INTO type_list (types, id) VALUES (?1, ?2)",
    [AREA] = "INSERT INTO area (vicinity, id) VALUES (?1, ?2)",
    [PLACE] = "INSERT INTO place (id, source, type_list, area, extent_m, population, country, kind,"
              " place_id, name) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    [PLACE_AT] = "INSERT INTO place_at VALUES (?1, ?2, ?2, ?3, ?3)",
};

struct local_writer {
    char *path, *temporary;
    sqlite3 *sqlite;
    sqlite3_stmt *statements[STATEMENT_COUNT];
    int64_t source, places, places_before;
    int64_t type_lists, areas; /* how many: the last one's id */
    /* The last row's: tables are sorted by area, so most rows need no look-up. */
    int64_t type_list, area;
    struct herd_buf types, vicinity;
    struct row_sorter *waiting;
    struct herd_buf record; /* of the sorter's, being made */
    struct herd_buf *error;
};

/* What a place is besides its texts, which follow it in a sorter's record: country, kind, place_id,
 * name, each with its NUL. */
struct fixed {
    int64_t source, type_list, area, extent_m, population;
    int32_t lat, lon;
};

enum { TEXTS = 4 };

static int fail(struct local_writer *writer)
{
    herd_buf_printf(writer->error, "%s cannot be written: %s", writer->temporary,
                    sqlite3_errmsg(writer->sqlite));
    return HERD_EIO;
}

static int fail_errno(struct local_writer *writer, const char *path)
{
    herd_buf_printf(writer->error, "%s cannot be written: %s", path, strerror(errno));
    return HERD_EIO;
}

/* Runs a statement whose parameters are bound. 0 with the id that it returns, if any; `id` may be
 * NULL. */
static int run(struct local_writer *writer, enum statement which, int64_t *id)
{
    sqlite3_stmt *statement = writer->statements[which];
    int step = sqlite3_step(statement);
    if (step == SQLITE_ROW) {
        if (id != NULL)
            *id = sqlite3_column_int64(statement, 0);
        step = sqlite3_step(statement);
    }
    int rc = step == SQLITE_DONE ? 0 : fail(writer);
    sqlite3_reset(statement);
    return rc;
}

static int bind_text(struct local_writer *writer, enum statement which, int parameter,
                     const char *text)
{
    int rc = sqlite3_bind_text(writer->statements[which], parameter, text, -1, SQLITE_STATIC);
    return rc == SQLITE_OK ? 0 : fail(writer);
}

static int bind_number(struct local_writer *writer, enum statement which, int parameter,
                       int64_t number)
{
    int rc = sqlite3_bind_int64(writer->statements[which], parameter, number);
    return rc == SQLITE_OK ? 0 : fail(writer);
}

/* From parameter 1 on. */
static int bind_numbers(struct local_writer *writer, enum statement which, const int64_t *numbers,
                        int count)
{
    int rc = 0;
    for (int i = 0; i < count && rc == 0; i++)
        rc = bind_number(writer, which, 1 + i, numbers[i]);
    return rc;
}

/* Whether `text` is the row before's; else it is from now on. 1, 0, or HERD_ENOMEM. */
static int is_last(struct herd_buf *last, const char *text)
{
    if (last->len > 0 && strcmp(last->data, text) == 0)
        return 1;
    last->len = 0;
    return herd_buf_append(last, text, strlen(text) + 1);
}

static int add_text(struct local_writer *writer, enum statement which, const char *text, int64_t id)
{
    int rc = bind_text(writer, which, 1, text);
    if (rc == 0)
        rc = bind_number(writer, which, 2, id);
    return rc == 0 ? run(writer, which, NULL) : rc;
}

static int find_type_list(struct local_writer *writer, const char *types)
{
    int rc = is_last(&writer->types, types);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    writer->type_list = 0;
    rc = bind_text(writer, FIND_TYPE_LIST, 1, types);
    if (rc == 0)
        rc = run(writer, FIND_TYPE_LIST, &writer->type_list);
    if (rc < 0 || writer->type_list > 0)
        return rc;
    writer->type_list = ++writer->type_lists;
    return add_text(writer, TYPE_LIST, types, writer->type_list);
}

static int find_area(struct local_writer *writer, const char *vicinity)
{
    int rc = is_last(&writer->vicinity, vicinity);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    writer->area = ++writer->areas;
    return add_text(writer, AREA, vicinity, writer->area);
}

/* Every other bit of the result is one of the number's. */
static uint64_t spread(uint32_t number)
{
    static const uint64_t masks[] = {UINT64_C(0x0000ffff0000ffff), UINT64_C(0x00ff00ff00ff00ff),
                                     UINT64_C(0x0f0f0f0f0f0f0f0f), UINT64_C(0x3333333333333333),
                                     UINT64_C(0x5555555555555555)};
    uint64_t bits = number;
    for (int i = 0; i < 5; i++)
        bits = (bits | bits << (16 >> i)) & masks[i];
    return bits;
}

/* Along the Z-order curve (Morton 1966) of both coordinates, counted from the south-west. */
static uint64_t curve_of(int32_t lat, int32_t lon)
{
    uint32_t north = (uint32_t)lat + (UINT32_C(1) << 31),
             east = (uint32_t)lon + (UINT32_C(1) << 31);
    return spread(north) << 1 | spread(east);
}

static int fail_waiting(struct local_writer *writer, int rc)
{
    if (rc == HERD_EIO)
        return fail_errno(writer, writer->temporary);
    herd_buf_printf(writer->error, "%s: %s", writer->temporary, herd_strerror(rc));
    return rc;
}

int local_writer_add(struct local_writer *writer, const struct local_row *row)
{
    int rc = find_type_list(writer, row->types);
    if (rc == 0)
        rc = find_area(writer, row->vicinity);
    if (rc < 0)
        return rc;
    const struct fixed fixed = {
        .source = writer->source,
        .type_list = writer->type_list,
        .area = writer->area,
        .extent_m = row->extent_m,
        .population = row->population,
        .lat = local_units(row->location.latitude),
        .lon = local_units(row->location.longitude),
    };
    const char *const texts[TEXTS] = {row->country, row->kind, row->place_id, row->name};
    struct herd_buf *record = &writer->record;
    record->len = 0;
    rc = herd_buf_append(record, &fixed, sizeof fixed);
    for (int i = 0; i < TEXTS && rc == 0; i++)
        rc = herd_buf_append(record, texts[i], strlen(texts[i]) + 1);
    if (rc == 0)
        rc =
            row_sorter_add(writer->waiting, curve_of(fixed.lat, fixed.lon), herd_buf_slice(record));
    if (rc < 0)
        return fail_waiting(writer, rc);
    writer->places++;
    return 0;
}

/* Negative: it is not known. */
static int bind_population(struct local_writer *writer, int64_t population)
{
    if (population >= 0)
        return bind_number(writer, PLACE, 6, population);
    return sqlite3_bind_null(writer->statements[PLACE], 6) == SQLITE_OK ? 0 : fail(writer);
}

/* Writes a place that has waited, as number `id`. */
static int write_place(struct local_writer *writer, struct herd_slice record, int64_t id)
{
    struct fixed fixed;
    memcpy(&fixed, record.data, sizeof fixed);
    const int64_t numbers[] = {id, fixed.source, fixed.type_list, fixed.area, fixed.extent_m};
    const int64_t box[] = {id, fixed.lat, fixed.lon};
    const char *text = record.data + sizeof fixed;
    int rc = bind_numbers(writer, PLACE, numbers, 5);
    if (rc == 0)
        rc = bind_population(writer, fixed.population);
    for (int i = 0; i < TEXTS && rc == 0; i++, text += strlen(text) + 1)
        rc = bind_text(writer, PLACE, 7 + i, text);
    if (rc == 0)
        rc = run(writer, PLACE, NULL);
    if (rc == 0)
        rc = bind_numbers(writer, PLACE_AT, box, 3);
    return rc == 0 ? run(writer, PLACE_AT, NULL) : rc;
}

static int write_places(struct local_writer *writer, local_writer_progress_cb *on_progress,
                        void *arg)
{
    struct herd_slice record;
    int64_t id = 0;
    int rc;
    while ((rc = row_sorter_next(writer->waiting, &record)) > 0) {
        rc = write_place(writer, record, ++id);
        if (rc == 0 && on_progress != NULL && id % LOCAL_WRITER_PROGRESS_PLACES == 0)
            rc = on_progress(arg, id, writer->places);
        if (rc < 0)
            return rc;
    }
    return rc < 0 ? fail_waiting(writer, rc) : 0;
}

static int execute(struct local_writer *writer, const char *sql)
{
    return sqlite3_exec(writer->sqlite, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : fail(writer);
}

static int open_writer(struct local_writer *writer)
{
    int fd = mkstemp(writer->temporary);
    if (fd < 0)
        return fail_errno(writer, writer->temporary);
    close(fd);
    if (sqlite3_open_v2(writer->temporary, &writer->sqlite, SQLITE_OPEN_READWRITE, NULL) !=
        SQLITE_OK)
        return fail(writer);
    int rc = execute(writer, schema);
    if (rc < 0)
        return rc;
    char header[96];
    snprintf(header, sizeof header, "PRAGMA application_id = %d; PRAGMA user_version = %d;",
             LOCAL_DB_APPLICATION_ID, LOCAL_DB_VERSION);
    rc = execute(writer, header);
    for (size_t i = 0; i < STATEMENT_COUNT && rc == 0; i++) {
        if (sqlite3_prepare_v2(writer->sqlite, statement_texts[i], -1, &writer->statements[i],
                               NULL) != SQLITE_OK)
            rc = fail(writer);
    }
    return rc;
}

static void close_writer(struct local_writer *writer)
{
    for (size_t i = 0; i < STATEMENT_COUNT; i++) {
        sqlite3_finalize(writer->statements[i]);
        writer->statements[i] = NULL;
    }
    sqlite3_close(writer->sqlite);
    writer->sqlite = NULL;
    row_sorter_free(writer->waiting);
    writer->waiting = NULL;
    herd_buf_free(&writer->types);
    herd_buf_free(&writer->vicinity);
    herd_buf_free(&writer->record);
}

/* Brings what was written to `path` onto the disk. */
static int sync_path(struct local_writer *writer, const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC);
    if (fd < 0)
        return fail_errno(writer, path);
    int rc = fsync(fd) == 0 ? 0 : fail_errno(writer, path);
    close(fd);
    return rc;
}

static int rename_to_path(struct local_writer *writer)
{
    const char *path = writer->path;
    if (chmod(writer->temporary, FILE_MODE) < 0)
        return fail_errno(writer, writer->temporary);
    int rc = sync_path(writer, writer->temporary, O_RDONLY);
    char *copy = rc == 0 ? strdup(path) : NULL; /* dirname writes into it */
    if (rc == 0 && copy == NULL)
        rc = HERD_ENOMEM;
    if (rc == 0 && rename(writer->temporary, path) < 0)
        rc = fail_errno(writer, path);
    if (rc == 0)
        rc = sync_path(writer, dirname(copy), O_RDONLY | O_DIRECTORY);
    free(copy);
    return rc;
}

static void free_writer(struct local_writer *writer)
{
    close_writer(writer);
    free(writer->path);
    free(writer->temporary);
    free(writer);
}

int local_writer_open(const char *path, struct local_writer **out, struct herd_buf *error)
{
    struct local_writer *writer = calloc(1, sizeof *writer);
    if (writer == NULL)
        return HERD_ENOMEM;
    writer->error = error;
    writer->path = strdup(path);
    if (writer->path == NULL || asprintf(&writer->temporary, "%s.XXXXXX", path) < 0) {
        writer->temporary = NULL;
        free_writer(writer);
        return HERD_ENOMEM;
    }
    int rc = row_sorter_new(path, SORTER_BYTES, &writer->waiting);
    if (rc == 0)
        rc = open_writer(writer);
    if (rc < 0) {
        local_writer_drop(writer);
        return rc;
    }
    *out = writer;
    return 0;
}

int64_t local_writer_places(const struct local_writer *writer)
{
    return writer->places;
}

int local_writer_begin_source(struct local_writer *writer)
{
    if (writer->source == LOCAL_SOURCES_MAX) {
        herd_buf_printf(writer->error, "a places file has at most %d sources", LOCAL_SOURCES_MAX);
        return HERD_ERANGE;
    }
    writer->places_before = writer->places;
    int rc = bind_number(writer, SOURCE, 1, ++writer->source);
    return rc == 0 ? run(writer, SOURCE, NULL) : rc;
}

int local_writer_end_source(struct local_writer *writer, const struct local_table_head *head)
{
    const char *const texts[] = {head->name, head->attribution, head->licence, head->version};
    int rc = bind_number(writer, SOURCE_SAID, 1, writer->source);
    for (int i = 0; i < 4 && rc == 0; i++)
        rc = bind_text(writer, SOURCE_SAID, 2 + i, texts[i]);
    if (rc == 0)
        rc = bind_number(writer, SOURCE_SAID, 6, writer->places - writer->places_before);
    return rc == 0 ? run(writer, SOURCE_SAID, NULL) : rc;
}

int local_writer_publish(struct local_writer *writer, local_writer_progress_cb *on_progress,
                         void *arg)
{
    int rc = write_places(writer, on_progress, arg);
    if (rc == 0)
        rc = execute(writer, "COMMIT");
    close_writer(writer);
    if (rc == 0)
        rc = rename_to_path(writer);
    if (rc < 0)
        unlink(writer->temporary); /* gone already when only the folder could not be synced */
    free_writer(writer);
    return rc;
}

void local_writer_drop(struct local_writer *writer)
{
    if (writer == NULL)
        return;
    unlink(writer->temporary);
    free_writer(writer);
}
