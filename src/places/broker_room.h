/* broker_room.h: what the files of the broker share: its questions, its calls, its state. */
#ifndef PLACES_BROKER_ROOM_H
#define PLACES_BROKER_ROOM_H

#include <sys/queue.h>

#include "base/metrics.h"
#include "core/rng.h"
#include "places/answer_cache.h"
#include "places/broker.h"
#include "places/client_cap.h"
#include "places/query_map.h"
#include "places/retry_budget.h"

struct question {
    TAILQ_ENTRY(question) by_age;    /* of all that are not answered */
    TAILQ_ENTRY(question) of_call;   /* of those that share its call */
    STAILQ_ENTRY(question) answered; /* of those whose answer waits to be taken */
    struct broker_call *call;
    struct places_query query;
    int64_t deadline_ms;
    int64_t fallback_until_ms;
    void *asker;
    struct places_answer *answer; /* once it has one; a reference of its own */
    bool is_for_fallback;
    enum places_limit refused_by;
};

TAILQ_HEAD(question_list, question);

/*
 *   WAITING --a call is free and granted--> CALLING --answered, or failed for good--> gone
 *      ^                                      |  |
 *      |                                      |  +--nobody waits for it any more--> ABANDONED
 *      +-- its time has come -- RESTING <-----+ failed, within the budget               |
 *                                                          the provider has let it go  gone
 */
enum call_state { WAITING, CALLING, RESTING, ABANDONED };

struct broker_call {
    struct query_node node; /* in the map, unless ABANDONED or is_apart */
    enum call_state state;
    TAILQ_ENTRY(broker_call) link;  /* of waiting, resting or calling (which has ABANDONED too) */
    TAILQ_ENTRY(broker_call) order; /* of to_call or to_cancel */
    bool is_ordered;                /* in one of them */
    struct question_list questions; /* oldest first */
    int64_t attempts;
    int64_t era;         /* the broker's when it was made */
    int64_t retry_at_ms; /* while RESTING */
    bool is_probe;
    bool is_apart; /* of a provider that was exchanged: not in the map, nobody joins it any more */
    void *data;
};

TAILQ_HEAD(call_list, broker_call);

struct broker {
    struct broker_limits limits;
    struct metrics *metrics;
    struct rng rng;
    struct query_map map;
    struct call_list waiting, resting, calling;
    int64_t waiting_count, calling_count;
    struct question_list questions; /* oldest first: the first deadline is the first's */
    int64_t question_count;
    struct circuit circuit;
    struct retry_budget budget;
    struct allowance allowance;
    struct client_cap clients;
    struct answer_cache *cache;
    struct places_answer *paused, *refused; /* what is said meanwhile; NULL: it is not */
    int64_t paused_until_ms;
    int64_t era; /* one more with each configuration: what an older call says is not of this one */
    int64_t until_ms; /* when the last question is answered; INT64_MAX: it is not known */
    bool is_stopped;  /* nothing is reserved any more */
    /* Effects. */
    struct call_list to_call, to_cancel;
    STAILQ_HEAD(, question) answered;
    bool notes[BROKER_NOTICE_COUNT];
    bool is_used_up, is_unwritten; /* as the notes have it */
    int64_t numbers[BROKER_NOTICE_COUNT];
};

/* ---- broker_settle.c: how questions get their answers --------------------------------------- */

/* The question is answered, in the next effects. `answer` is borrowed. */
void broker_answer(struct broker *broker, struct question *question, struct places_answer *answer);

/* Likewise, but an old answer or the fallback are better than this one. */
void broker_fail(struct broker *broker, int64_t now_ms, struct question *question,
                 struct places_answer *answer);

void broker_note(struct broker *broker, enum broker_notice notice, int64_t number);

/* Once, until there are calls again. */
void broker_note_used_up(struct broker *broker);

/* Why a question is refused by a limit, which it then names: an answer, the caller's. */
struct places_answer *broker_limit(struct broker *broker, struct question *question,
                                   enum places_limit limit);

/* Why a question for a new call is refused: an answer, the caller's; or NULL. When the circuit is
 * open and it is time to try, *is_probe is set. */
struct places_answer *broker_refusal(struct broker *broker, struct broker_now now, uint64_t client,
                                     struct question *question, bool *is_probe);

#endif
