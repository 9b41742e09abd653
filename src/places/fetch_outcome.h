/* fetch_outcome.h: what libcurl's results and a server's Retry-After mean to whoever has asked. */
#ifndef PLACES_FETCH_OUTCOME_H
#define PLACES_FETCH_OUTCOME_H

#include <curl/curl.h>

#include "places/fetch.h"

/* What became of a transfer that ended with this code. */
enum fetch_outcome fetch_outcome_of(CURLcode code);

/* The HERD_E… of an outcome; 0 for FETCH_ANSWERED. */
int fetch_outcome_error(enum fetch_outcome outcome);

/*
 * How long a server wants to be left alone, in ms, a day at most; -1: it did not say. `value` is
 * the header's (RFC 9110, 10.2.3: seconds or a date), NULL without one; `left_s` what libcurl makes
 * of it (CURLINFO_RETRY_AFTER): 0 for "at once", for a date that is over, and for what it cannot
 * read.
 */
int64_t fetch_retry_after_ms(const char *value, int64_t left_s);

#endif
