/* sim.h: virtual time: a queue of events, counters, and the first check that failed. */
#ifndef SIM_SIM_H
#define SIM_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <herd/posix_time.h>

#include "core/rng.h"

/* What a run checks: name, and what must hold. */
#define SIM_CHECK_TABLE(X)                                                                         \
    X(SIM_ORDER, "order", "a server keeps what is newer in the total order, and nothing else")     \
    X(SIM_EQUAL, "equal", "without faults all stores become equal, and hold the newest")           \
    X(SIM_LOST, "lost", "what was acknowledged is lost only if all who held it crashed")           \
    X(SIM_ANSWER, "answer", "answers are right, and come in the order of their requests")          \
    X(SIM_SAME, "same", "a record's text, and its AT line, is the same at all servers")            \
    X(SIM_WINDOW, "window", "no more than the window is on its way to a neighbour")                \
    X(SIM_GROWTH, "growth", "nothing grows without a bound")                                       \
    X(SIM_MARK, "mark", "what a MARK claims, its listener holds")                                  \
    X(SIM_QUIET, "quiet",                                                                          \
      "floods end: then nothing is said but PING, PONG, and HELLO to a plain one")                 \
    X(SIM_COUNT, "count", "an update causes 2E-(V-1) FLOODs in a quiet herd")                      \
    X(SIM_STALE, "stale", "WHATSAT … AFTER is answered from nothing older")                        \
    X(SIM_DURABLE, "durable", "what has to be on a disk is there after each crash")                \
    X(SIM_SPREAD, "spread", "with durability herd, what was answered another server has held")     \
    X(SIM_PROMPT, "prompt", "where nothing befalls the herd, an answer comes within 1 s")          \
    X(SIM_LIVE, "live", "without faults links come up, requests are answered, servers stop")

enum sim_check {
#define SIM_CHECK_ENUM(id, name, text) id,
    SIM_CHECK_TABLE(SIM_CHECK_ENUM)
#undef SIM_CHECK_ENUM
        SIM_CHECKS
};

const char *sim_check_name(enum sim_check check);
const char *sim_check_text(enum sim_check check);

#define SIM_NEVER INT64_MAX
#define SIM_US    INT64_C(1000)
#define SIM_MS    INT64_C(1000000)
#define SIM_S     INT64_C(1000000000)

/* Something that happens to `owner`; `arg` is its own. */
typedef void (*sim_fn)(void *owner, uint64_t arg);

struct sim_event {
    int64_t at_ns;
    uint64_t order; /* of events at one time: first asked for, first served */
    sim_fn fn;
    void *owner;
    uint64_t arg;
};

struct sim {
    int64_t now_ns;
    struct sim_event *heap; /* binary, the next event on top */
    size_t count, cap;
    uint64_t order;
    uint64_t at_once; /* events at this very time */
    uint64_t hash;    /* of all that happened: two runs of a seed have the same */
    FILE *trace;      /* NULL: none */
    int decimals;     /* of the trace's seconds */
    int name_width;
    unsigned checks; /* bits of those that count */
    bool failed;
    enum sim_check failed_check;
    int64_t failed_at_ns;
    char failure[600];
};

void sim_init(struct sim *sim);
void sim_close(struct sim *sim);

/* Asks for fn(owner, arg) at a time that is not before now. */
void sim_at(struct sim *sim, int64_t at_ns, sim_fn fn, void *owner, uint64_t arg);

/* Runs the events up to and including `until_ns`, and ends at that time; or at a failed check. */
void sim_run(struct sim *sim, int64_t until_ns);

/* A check has failed. Only the first one of a run is kept. */
void sim_fail(struct sim *sim, enum sim_check check, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Folds something that happened into the hash. */
void sim_mix(struct sim *sim, uint64_t value);
void sim_mix_bytes(struct sim *sim, const char *data, size_t len);

/* One line of the trace, when there is one: `time  from -> to  text`. */
void sim_trace(struct sim *sim, const char *from, const char *arrow, const char *to,
               const char *format, ...) __attribute__((format(printf, 5, 6)));

/* Memory of the simulator itself, which has no plan for living without it. Zeroed. */
void *sim_alloc(size_t count, size_t size);
void *sim_grow(void *data, size_t count, size_t size);

/* min <= result <= max. */
static inline int64_t rng_between(struct rng *rng, int64_t min, int64_t max)
{
    return min + (int64_t)rng_below(rng, (uint64_t)(max - min) + 1);
}

/* True in so many of a hundred cases. */
static inline bool rng_percent(struct rng *rng, unsigned percent)
{
    return rng_below(rng, 100) < percent;
}

#endif
