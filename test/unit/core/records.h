/* records.h: records for tests: from a FLOOD line, and random ones that tie often. */
#ifndef TEST_RECORDS_H
#define TEST_RECORDS_H

#include <herd/record.h>

#include "core/rng.h"

enum { RECORD_TEXT_MAX = HERD_LINE_MAX };

/* A record and the bytes that its fields point into. */
struct text_record {
    char text[RECORD_TEXT_MAX];
    struct herd_record record;
};

/* Makes a record of `client location sent received origin diff`; the text has to be valid. */
void record_of(const char *text, struct text_record *out);

/*
 * A random record of a client: few times, origins and locations, so that ties are frequent, written
 * in more than one way (1.5 and 1.50).
 */
void record_random(struct rng *rng, const char *client, struct text_record *out);

#endif
