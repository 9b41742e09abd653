/* answer_room.h: what an answer consists of, for those who make and keep it. */
#ifndef PLACES_ANSWER_ROOM_H
#define PLACES_ANSWER_ROOM_H

#include "places/provider.h"

struct answer_spares;

struct places_answer {
    size_t references;
    size_t keepers;               /* of them */
    size_t *kept;                 /* the total that it is counted in while there are any */
    struct answer_spares *spares; /* that it goes back to, or NULL */
    enum places_status status;
    bool without_memory;
    const char *shared; /* its error or "", of a constant; NULL: it is an object of its own */
    struct places_failure failure;
    struct herd_buf error;        /* a JSON string, or empty */
    struct herd_buf attributions; /* the elements of html_attributions, as they are rendered */
    struct herd_buf results;      /* those of results */
    size_t count;
    size_t ends[PLACES_RESULTS_MAX]; /* where in results the first 1, 2, … of them end */
};

/* Makes a new one of an answer that is all 0 or that nobody has a reference to any more; it has no
 * error text then. What its results and attributions took in memory stays its own. */
void answer_begin(struct places_answer *answer, enum places_status status);

/* Nobody has a reference to it. */
void answer_free(struct places_answer *answer);

#endif
