/* local_answer.h: a question to a places file, answered in the shape of Google's Nearby Search. */
#ifndef PLACES_LOCAL_ANSWER_H
#define PLACES_LOCAL_ANSWER_H

#include "places/local_db.h"
#include "places/provider.h"

/*
 * The answer; never NULL, the caller's. A query off the earth is INVALID_REQUEST, a file that
 * cannot be read UNKNOWN_ERROR with the reason.
 */
struct places_answer *local_answer(struct local_db *db, const struct places_query *query);

/* The answer to a query that local_is_on_earth refuses. */
struct places_answer *local_answer_off_earth(void);

/* Degrees in their range, and a radius that is one. */
bool local_is_on_earth(const struct places_query *query);

#endif
