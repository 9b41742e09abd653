/* limit.h: this room's limits, each of which keeps a question from being asked; for whoever tells
 * that they are reached. */
#ifndef PLACES_LIMIT_H
#define PLACES_LIMIT_H

enum places_limit {
    PLACES_LIMIT_NONE,
    PLACES_LIMIT_LOCAL,   /* LOCAL_QUESTIONS_MAX */
    PLACES_LIMIT_HELD,    /* BROKER_QUESTIONS_MAX */
    PLACES_LIMIT_WAITING, /* waiting_max */
    PLACES_LIMIT_CLIENT,  /* calls_per_client */
    PLACES_LIMIT_COUNT
};

#endif
