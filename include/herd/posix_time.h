/* posix_time.h: POSIX time in text and in int64 nanoseconds, never through a double. */
#ifndef HERD_POSIX_TIME_H
#define HERD_POSIX_TIME_H

#include <herd/buf.h>

enum {
    HERD_TIME_TEXT_MAX = 24, /* bytes of the longest formatted time or difference */
    HERD_TIME_DECIMALS = 9
};

#define HERD_NS_PER_S  INT64_C(1000000000)
#define HERD_NS_PER_MS INT64_C(1000000)

/*
 * Parses `digits[.digits]`, seconds since 1970-01-01T00:00:00Z. Digits of the fraction beyond the
 * ninth are accepted and ignored. 0, HERD_ESYNTAX, or HERD_ERANGE for what an int64 of nanoseconds
 * cannot hold (after 2262-04-11).
 */
int herd_time_parse(struct herd_slice text, int64_t *out_ns);

enum { HERD_TIME_USUAL_LEN = 20 };

/* Whether a text begins with a time in the usual form, ten digits, the mark and nine digits, and
 * what it says. Nothing is said about what stands behind it. */
bool herd_time_begins(struct herd_slice text, int64_t *out_ns);

/* Writes seconds with 9 decimals, `1700000000.000000001`; ns >= 0. Returns the bytes written, no
 * NUL. */
size_t herd_time_format(int64_t ns, char out[HERD_TIME_TEXT_MAX]);

/* The same with a sign always: `+0.263873386`, `-0.000012000`. */
size_t herd_time_diff_format(int64_t ns, char out[HERD_TIME_TEXT_MAX]);

/* Writes nanoseconds (less than a second) as the nine decimals that both end with. */
void herd_time_decimals_format(uint32_t ns, char out[HERD_TIME_DECIMALS]);

/* Whether `text` is a difference as a server may send it: `[+-]digits[.digits]`. */
bool herd_time_diff_valid(struct herd_slice text);

#endif
