/* places.h: what the server knows of places: ask, and an answer comes. Drives the broker, the
 * providers and the ledger on the server's loop. */
#ifndef PLACES_PLACES_H
#define PLACES_PLACES_H

#include "base/config.h"
#include "places/limit.h"
#include "places/provider.h"

struct places;

struct places_setup {
    struct uv_loop_s *loop;
    struct log *log;
    struct metrics *metrics;
    const struct config_values *values; /* of section places; borrowed for the call */
    const char *folder;                 /* that keeps the calls of the day; "" = none */
    uint64_t seed;                      /* of jitter; random */
    /* A limit has kept one question more from being asked; counted in the metrics already. May be
     * NULL. Runs at any time between places_open and places_close's `closed`. */
    void (*limited)(void *arg, enum places_limit limit);
    void *arg;
};

/* Opens the provider that the values name, and the fallback. 0, or a negative HERD_E… with a
 * sentence appended to `error`. */
int places_open(const struct places_setup *setup, struct places **out, struct herd_buf *error);

/*
 * New values: the provider is opened anew (its key may have changed in the file), what is under way
 * goes on with the old one. 0, or as above and everything stays as it was. What has to be read from
 * a disk that may not answer, a places file with another name, is opened in a thread: the values
 * are taken as a whole once it is open, or, if it cannot be, are dropped with a line in the log; or
 * when there are newer ones before.
 */
int places_reload(struct places *places, const struct config_values *values,
                  struct herd_buf *error);

/*
 * Asks. `client` tells the askers apart (0: nobody). `done` runs exactly once, later, within
 * total_timeout_ms. 0, or HERD_ENOMEM, HERD_EBUSY (too many questions), HERD_EINVAL (not on the
 * earth), and it does not run.
 */
int places_ask(struct places *places, const struct places_query *query, uint64_t client,
               places_done_cb *done, void *arg);

/* Whether an answer costs a call: of the provider in service, which after a reload may still be the
 * one before. */
bool places_is_paid(const struct places *places);

/* Brings the gauges up to date: a day's calls are over at midnight, also if nobody asks. */
void places_measure(struct places *places);

/* As herd_node_give_back: of calls, questions and answers. */
size_t places_give_back(struct places *places, size_t *kept_bytes);

/* The server stops: `done` has run for all questions within_ms from now and fallback_ms, which the
 * fallback has to itself; questions that come later are answered at once. */
void places_hurry(struct places *places, int64_t within_ms, int64_t fallback_ms);

/* Answers all that is asked, closes everything, frees; then `closed` (may be NULL) runs. */
void places_close(struct places *places, void (*closed)(void *arg), void *arg);

#endif
