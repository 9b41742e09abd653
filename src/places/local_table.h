/* local_table.h: reads a table of places (share/places-*.tsv.gz), row by row, and checks it. */
#ifndef PLACES_LOCAL_TABLE_H
#define PLACES_LOCAL_TABLE_H

#include <stdint.h>

#include <herd/buf.h>
#include <herd/geo.h>

/* What a table says of itself. */
struct local_table_head {
    char *name;        /* of the source */
    char *attribution; /* HTML */
    char *licence;     /* SPDX identifier */
    char *version;
};

/* Strings are the table's, until its next row. */
struct local_row {
    const char *place_id;
    const char *name;
    struct herd_location location;
    const char *types;   /* Google's, comma-separated */
    const char *kind;    /* the source's own word, or "" */
    const char *country; /* ISO 3166-1 alpha-2, or "" */
    int64_t population;  /* -1: not known */
    int64_t extent_m;
    const char *vicinity;
};

struct local_table;

/*
 * The format is UTF-8 text, gzipped or not: lines `#key<TAB>value` (herd-places, which is the
 * format's version, 1; name, attribution, licence, version, columns), then one line a place with
 * the columns place_id, name, latitude, longitude, types, kind, country, population, extent_m,
 * vicinity. scripts/make-places writes it.
 *
 * 0, or a negative HERD_E… with a sentence `FILE:LINE: …` appended to `error`.
 */
int local_table_open(const char *path, struct local_table **out, struct herd_buf *error);
void local_table_close(struct local_table *table); /* NULL is allowed */
const struct local_table_head *local_table_head(const struct local_table *table);

/* 1 with the next row, 0 at the end, or a negative HERD_E… as above. */
int local_table_next(struct local_table *table, struct local_row *out, struct herd_buf *error);

#endif
