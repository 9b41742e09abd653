/* local_db.h: a places file, open for reading: a SQLite database with an R*Tree. */
#ifndef PLACES_LOCAL_DB_H
#define PLACES_LOCAL_DB_H

#include <stddef.h>
#include <stdint.h>

#include <herd/buf.h>
#include <herd/geo.h>

#include "places/provider.h"

/* In the database's header, so that `file` and herd itself can tell what it is: "herd". */
enum { LOCAL_DB_APPLICATION_ID = 0x68657264, LOCAL_DB_VERSION = 1 };

enum { LOCAL_SOURCES_MAX = 64 };

/* Where places come from. */
struct local_source {
    int64_t id;
    int64_t places; /* how many */
    char *name;
    char *attribution; /* HTML */
    char *licence;     /* SPDX identifier */
    char *version;
};

/* One place that was found; the strings are the connection's, until the callback returns. */
struct local_place {
    struct herd_location location;
    double distance_m;
    const char *place_id;
    const char *name;
    const char *types; /* Google's, comma-separated */
    const char *vicinity;
    int64_t extent_m; /* half the side of the square that shows it */
    size_t source;    /* for local_db_source */
};

/* The length of the first of comma-separated types: lower-case letters, digits and underscores up
 * to a comma or the end; 0 when it is anything else. */
size_t local_type_length(const char *types);

/* 0, or negative to stop. */
typedef int local_place_cb(void *arg, const struct local_place *place);

/* One connection, for one thread at a time. */
struct local_db;

/*
 * Opens the places file at `path` for reading. 0, or HERD_ENOMEM, HERD_ENOTFOUND, HERD_EIO or
 * HERD_EPROTO (not a places file, or of another version), with a sentence appended to `error` that
 * says what is wrong and what to do.
 */
int local_db_open(const char *path, struct local_db **out, struct herd_buf *error);
void local_db_close(struct local_db *db); /* NULL is allowed */

/*
 * Calls `on_place` for the PLACES_RESULTS_MAX nearest places within `query`, nearest first; one at
 * the radius is within. 0 with the number of all places within (`within` NULL: they are not
 * counted, which takes a fraction of the time where there are many), what `on_place` returned, or
 * HERD_EIO with the reason in local_db_reason.
 */
int local_db_near(struct local_db *db, const struct places_query *query, local_place_cb *on_place,
                  void *arg, size_t *within);

/* A place as it is in the file; the strings are the connection's, until the callback returns. */
struct local_record {
    int64_t id;
    int32_t lat, lon; /* LOCAL_UNITS_PER_DEGREE */
    int64_t extent_m;
    int64_t types, area; /* their ids */
    size_t source;
    const char *place_id, *name;
};

/* 0, or negative to stop. */
typedef int local_record_cb(void *arg, const struct local_record *record);
typedef int local_text_cb(void *arg, int64_t id, const char *text);

/* All places, all lists of types, all vicinities, by id. 0, what the callback returned, or HERD_EIO
 * with the reason in local_db_reason. */
int local_db_each(struct local_db *db, local_record_cb *on_record, void *arg);
int local_db_each_types(struct local_db *db, local_text_cb *on_text, void *arg);
int local_db_each_area(struct local_db *db, local_text_cb *on_text, void *arg);

/* Sources i = 0, 1, … until NULL; the connection's. */
const struct local_source *local_db_source(const struct local_db *db, size_t i);

/* Why the last call failed. The connection's, until its next call. */
const char *local_db_reason(const struct local_db *db);

/* Lets the call that is running fail soon. From any thread. */
void local_db_interrupt(struct local_db *db);

#endif
