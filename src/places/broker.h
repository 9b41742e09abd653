/* broker.h: stands between those who ask for places and the provider: at most so many calls at
 * once, the rest wait, bounded. */
#ifndef PLACES_BROKER_H
#define PLACES_BROKER_H

#include "places/provider.h"

struct broker;

struct broker_options {
    const struct provider_type *type;
    struct places_options places;
    int64_t calls_max;   /* calls under way */
    int64_t waiting_max; /* questions that wait for a free call; one more is answered
                            OVER_QUERY_LIMIT */
};

/* Opens the provider too. 0, or a negative HERD_E… with a sentence appended to `error`. */
int broker_new(const struct broker_options *options, struct broker **out, struct herd_buf *error);

/* Asks. `done` runs exactly once, later, and at the latest a turn after places.total_timeout_ms. 0,
 * or HERD_ENOMEM and it does not run. */
int broker_ask(struct broker *broker, const struct places_query *query, places_done_cb *done,
               void *arg);

/* Answers all that wait with UNKNOWN_ERROR, closes the provider, frees; then `closed` (may be NULL)
 * runs. */
void broker_close(struct broker *broker, void (*closed)(void *arg), void *arg);

#endif
