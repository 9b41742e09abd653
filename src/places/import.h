/* import.h: makes a places file of what others have: GeoJSON, GeoJSONSeq, GeoNames' tables. */
#ifndef PLACES_IMPORT_H
#define PLACES_IMPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <herd/buf.h>

enum import_format { IMPORT_BY_LOOK, IMPORT_GEOJSON, IMPORT_GEONAMES };

/* Why something of a file is no place in the end. */
enum import_fault {
    IMPORT_NO_NAME,
    IMPORT_LONG_TEXT,
    IMPORT_NO_GEOMETRY,
    IMPORT_NO_FEATURE,
    IMPORT_NOT_JSON,
    IMPORT_TOO_LARGE,
    IMPORT_CUT_OFF,
    IMPORT_BAD_LINE,
    IMPORT_FAULT_COUNT
};

/* "without a name", "not JSON", …: static. */
const char *import_fault_text(enum import_fault fault);

enum { IMPORT_EXAMPLES_MAX = 10, IMPORT_TEXT_MAX_BYTES = 1024 };

struct import_report {
    int64_t places;
    int64_t faults[IMPORT_FAULT_COUNT];
    /* The first ones, those alone excepted that have no name: most of an extract has none. */
    size_t example_count;
    struct {
        int64_t line;
        enum import_fault fault;
    } examples[IMPORT_EXAMPLES_MAX];
};

/* While the file is read: bytes of it. Then, while the places are written: places. */
struct import_progress {
    bool is_writing;
    int64_t done, all; /* all is 0 when it is not known */
    int64_t places;    /* read so far */
};

struct import_options {
    enum import_format format;
    /* What is said of the source; NULL: what its ids let expect (OpenStreetMap, GeoNames), else the
     * file's name, and no licence that is known. */
    const char *name, *attribution, *licence;
    /* From time to time; 0, or negative to stop. May be NULL. */
    int (*on_progress)(void *arg, const struct import_progress *progress);
    void *arg;
};

/*
 * Makes the places file `path` of the file `from`, gzipped or not ("-": standard input), in memory
 * that does not grow with it. The file that was at `path` stays until the new one is whole, and if
 * none comes of it. 0, what on_progress returned, or a negative HERD_E… with a sentence appended to
 * `error`; HERD_ENOTFOUND: there was not one place in it.
 */
int import_file(const char *path, const char *from, const struct import_options *options,
                struct import_report *report, struct herd_buf *error);

#endif
