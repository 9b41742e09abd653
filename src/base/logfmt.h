/* logfmt.h: one line of the log as text, key=value after key=value, in storage of a fixed size. */
#ifndef BASE_LOGFMT_H
#define BASE_LOGFMT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/log.h"

enum { LOGFMT_LINE_MAX_BYTES = 16384 };

/*
 * A line being written. What does not fit is cut, and the line says so with `truncated=true`; it
 * never holds half an escape, an open quote or a line end other than its last byte.
 */
struct logfmt {
    char *bytes;
    size_t cap;
    size_t len;
    bool has_pairs;
    bool full;
};

/* Begins a line in the caller's storage; `cap` is at least 64. */
void logfmt_begin(struct logfmt *line, char *storage, size_t cap);

/* Appends `text` as it stands; for what comes before the first pair. */
void logfmt_raw(struct logfmt *line, const char *text);

/*
 * Appends key=value, after a space when it is not the line's first pair. The value is any bytes; it
 * is quoted and escaped where log.h says so.
 */
void logfmt_pair(struct logfmt *line, const char *key, const char *value, size_t value_len);
void logfmt_field(struct logfmt *line, const struct log_field *field);

/* Ends the line with LF. */
void logfmt_end(struct logfmt *line);

#endif
