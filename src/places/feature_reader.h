/* feature_reader.h: takes the features out of a GeoJSON or GeoJSONSeq file one after the other, so
 * that a file of any size needs the memory of its largest feature. */
#ifndef PLACES_FEATURE_READER_H
#define PLACES_FEATURE_READER_H

#include <stdbool.h>
#include <stdint.h>

#include <herd/buf.h>

enum { FEATURE_MAX_BYTES = 16 << 20 };

enum feature_state {
    FEATURE_WHOLE,
    FEATURE_TOO_LARGE, /* of more than FEATURE_MAX_BYTES: its text is not there */
    FEATURE_CUT_OFF,   /* its line, or the file, ends within it */
    FEATURE_STRAY      /* no object: what stands between two features; its text is not there */
};

struct feature {
    enum feature_state state;
    struct herd_slice text; /* an object, or its beginning; the reader's, until its next one */
    int64_t line;           /* that it begins in */
};

struct feature_reader;

/*
 * Reads more of the file: fills `data` with 1 to `size` bytes and gives their number, 0 at the end,
 * or a negative HERD_E… with a sentence in the error of whoever made it.
 */
typedef int64_t feature_source_cb(void *arg, char *data, size_t size);

/* 0 or HERD_ENOMEM. */
int feature_reader_new(feature_source_cb *source, void *arg, struct feature_reader **out);
void feature_reader_free(struct feature_reader *reader); /* NULL is allowed */

/*
 * 1 with the next feature, 0 at the end, HERD_ESYNTAX (neither a FeatureCollection nor features one
 * after the other, RFC 7946 and 8142, with or without record separators) in line
 * feature_reader_line, or what the source gave. Features are told apart by their braces: whether
 * one is well-formed within is for its reader to find out.
 */
int feature_reader_next(struct feature_reader *reader, struct feature *out);
int64_t feature_reader_line(const struct feature_reader *reader);

#endif
