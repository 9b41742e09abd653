/*
 * broker.h: decides which questions for places become calls to a provider that costs something:
 * one call for all who ask the same, so many at once and a day, a second attempt within a budget,
 * none while the provider is down, and old answers kept where that is allowed.
 *
 * A state machine without clock, socket, thread and log: events go in with their time, effects are
 * pulled out until there are none. So days of outages are tested in milliseconds, and always the
 * same way for the same seed. places.h drives it.
 *
 *     broker_ask -> effect CALL -> broker_called -> effect ANSWER (or FALLBACK)
 */
#ifndef PLACES_BROKER_H
#define PLACES_BROKER_H

#include "places/allowance.h"
#include "places/circuit.h"
#include "places/limit.h"
#include "places/provider.h"

struct broker;
struct metrics;

/* How much and how long; each a key of herd.conf, section places. They may change while it runs. */
struct broker_limits {
    int64_t answer_within_ms; /* after this a question is answered, whatever is missing */
    int64_t fallback_ms;      /* that the fallback has besides, if the provider took all of it */
    int64_t calls_max;        /* under way at once */
    int64_t waiting_max;      /* that wait for a free one; the next question is refused */
    int64_t attempts_max;     /* calls for one question */
    int64_t retry_min_ms, retry_max_ms;
    int64_t retry_percent, retry_min; /* retry_budget.h */
    int64_t breaker_failures, breaker_open_ms;
    int64_t quota_pause_ms;   /* unless the provider says how long */
    int64_t calls_per_day;    /* 0: no cap */
    int64_t calls_per_client; /* a minute; 0: no cap */
    int64_t cache_max_bytes;  /* 0: nothing is kept */
    int64_t cache_fresh_ms;   /* for so long a kept answer is as good as a call */
    int64_t cache_stale_ms;   /* and for so long better than an error */
    bool has_fallback;        /* what the provider does not answer is asked elsewhere */
};

/* Longest pause that a provider may ask for: a mistake of its must not last for ever. */
enum { BROKER_PAUSE_MAX_MS = 60 * 60 * 1000 };
/* And the shortest: "asked too much, come back at once" is no answer for each question to fetch. */
enum { BROKER_PAUSE_MIN_MS = 1000 };

/* Questions held at once, those included that share a call; one more is refused. */
enum { BROKER_QUESTIONS_MAX = 1 << 16 };

struct broker_now {
    int64_t ms;  /* of a clock that only goes forward */
    int64_t day; /* since 1970-01-01, UTC */
};

/* A call under way. `data` is the driver's. */
struct broker_call;
void broker_call_set_data(struct broker_call *call, void *data);
void *broker_call_data(const struct broker_call *call);

/* 0 or HERD_ENOMEM. Counts in `metrics` (borrowed). */
int broker_new(const struct broker_limits *limits, uint64_t seed, struct metrics *metrics,
               struct broker **out);

/* After broker_stop, when every call was reported and every effect taken. */
void broker_free(struct broker *broker);

/* New limits; a refused key and a pause are forgotten, and a provider that is down is tried at the
 * next question. `is_other_provider` (provider_identity): so is all that is known of the one
 * before, its answers included, and nobody joins a call to it. */
void broker_configure(struct broker *broker, const struct broker_limits *limits,
                      bool is_other_provider);

/* What is on disk of an earlier life; before the first question. */
void broker_load(struct broker *broker, const struct allowance_record *record);

/*
 * A question. `client` tells who asks (0: nobody, uncapped), `asker` comes back with its answer: in
 * an effect, exactly once, at the latest answer_within_ms from now (at the first broker_tick then).
 * 0, or HERD_ENOMEM and there is no answer.
 */
int broker_ask(struct broker *broker, struct broker_now now, const struct places_query *query,
               uint64_t client, void *asker);

/* A call has ended: once for each effect CALL, also after CANCEL. */
void broker_called(struct broker *broker, struct broker_now now, struct broker_call *call,
                   struct places_answer *take_answer);

/* What an effect RESERVE asked for is on disk, or cannot be written. */
void broker_reserved(struct broker *broker, struct broker_now now,
                     const struct allowance_record *record, bool is_written);

/* When broker_tick has to be called, in ms; INT64_MAX for never. */
int64_t broker_wakeup(const struct broker *broker);
void broker_tick(struct broker *broker, struct broker_now now);

/* The server stops: all is answered by `until_ms` of the clock, and what is asked from then on at
 * once, with an old answer, by the fallback, or with an error. */
void broker_hurry(struct broker *broker, int64_t until_ms);

/* Answers all that is asked, cancels all calls. */
void broker_stop(struct broker *broker);

/* What to leave on disk at the end. False: nothing. */
bool broker_final(const struct broker *broker, struct allowance_record *out);

enum circuit_state broker_circuit(const struct broker *broker);

/* Brings the gauges of `metrics` up to date. */
void broker_measure(const struct broker *broker, struct broker_now now);

enum broker_notice {
    BROKER_NOTICE_OPENED, /* number: ms until the next try */
    BROKER_NOTICE_MENDED,
    BROKER_NOTICE_PAUSED,    /* number: ms */
    BROKER_NOTICE_REFUSED,   /* the key */
    BROKER_NOTICE_USED_UP,   /* number: calls a day */
    BROKER_NOTICE_UNWRITTEN, /* the reservation */
    BROKER_NOTICE_COUNT
};

enum broker_effect_kind {
    BROKER_CALL,     /* call, query: ask the provider, then broker_called */
    BROKER_CANCEL,   /* call: end it early */
    BROKER_ANSWER,   /* asker, limit, answer (yours) */
    BROKER_FALLBACK, /* asker, limit, query, answer (yours), until_ms: ask elsewhere; `answer` if
                        that fails too, or is not there by then */
    BROKER_RESERVE,  /* record: write it, then broker_reserved */
    BROKER_NOTE      /* notice, number: for the log */
};

struct broker_effect {
    enum broker_effect_kind kind;
    struct broker_call *call;
    struct places_query query;
    void *asker;
    enum places_limit limit; /* that kept the question from the provider, or none */
    struct places_answer *answer;
    struct allowance_record record;
    enum broker_notice notice;
    int64_t number;
    int64_t until_ms; /* of the clock */
};

/* Takes the next effect: true and *out, or false when there is none. */
bool broker_effect(struct broker *broker, struct broker_effect *out);

#endif
