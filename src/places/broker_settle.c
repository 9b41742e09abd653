/* How questions get their answers, and why some are refused at once; what is counted. */
#include <stdlib.h>

#include "places/broker_room.h"

void broker_note(struct broker *broker, enum broker_notice notice, int64_t number)
{
    broker->notes[notice] = true;
    broker->numbers[notice] = number;
}

void broker_note_used_up(struct broker *broker)
{
    if (!broker->is_used_up)
        broker_note(broker, BROKER_NOTICE_USED_UP, broker->allowance.cap);
    broker->is_used_up = true;
}

void broker_answer(struct broker *broker, struct question *question, struct places_answer *answer)
{
    if (question->call != NULL)
        TAILQ_REMOVE(&question->call->questions, question, of_call);
    question->call = NULL;
    TAILQ_REMOVE(&broker->questions, question, by_age);
    question->answer = places_answer_ref(answer);
    STAILQ_INSERT_TAIL(&broker->answered, question, answered);
}

void broker_fail(struct broker *broker, int64_t now_ms, struct question *question,
                 struct places_answer *answer)
{
    const struct broker_limits *limits = &broker->limits;
    bool is_asked_wrongly = places_answer_status(answer) == PLACES_INVALID_REQUEST;
    struct places_answer *stale = NULL;
    if (!is_asked_wrongly)
        stale = answer_cache_find(broker->cache, now_ms, &question->query,
                                  limits->cache_fresh_ms + limits->cache_stale_ms);
    if (stale != NULL) {
        metrics_add(broker->metrics, METRIC_places_stale_total, 1);
        broker_answer(broker, question, stale);
        return;
    }
    if (limits->has_fallback && !is_asked_wrongly) {
        metrics_add(broker->metrics, METRIC_places_fallback_total, 1);
        question->is_for_fallback = true;
    }
    broker_answer(broker, question, answer);
}

static struct places_answer *refuse(struct broker *broker, enum metric metric,
                                    enum places_error why)
{
    metrics_add(broker->metrics, metric, 1);
    return places_answer_error(why);
}

struct places_answer *broker_limit(struct broker *broker, struct question *question,
                                   enum places_limit limit)
{
    question->refused_by = limit;
    return limit == PLACES_LIMIT_CLIENT
               ? refuse(broker, METRIC_places_refused_client_total, PLACES_ERROR_CLIENT_QUESTIONS)
               : refuse(broker, METRIC_places_refused_total, PLACES_ERROR_QUESTIONS);
}

/* What the provider has said of all calls. */
static struct places_answer *refusal_of_provider(struct broker *broker, int64_t now_ms)
{
    if (broker->refused != NULL) {
        metrics_add(broker->metrics, METRIC_places_refused_key_total, 1);
        return places_answer_ref(broker->refused);
    }
    if (broker->paused != NULL && now_ms < broker->paused_until_ms) {
        metrics_add(broker->metrics, METRIC_places_refused_quota_total, 1);
        return places_answer_ref(broker->paused);
    }
    places_answer_unref(broker->paused);
    broker->paused = NULL;
    return NULL;
}

struct places_answer *broker_refusal(struct broker *broker, struct broker_now now, uint64_t client,
                                     struct question *question, bool *is_probe)
{
    const struct broker_limits *limits = &broker->limits;
    struct places_answer *said = refusal_of_provider(broker, now.ms);
    if (said != NULL)
        return said;
    bool is_free = broker->calling_count < limits->calls_max && broker->waiting_count == 0;
    if (!is_free && broker->waiting_count >= limits->waiting_max)
        return broker_limit(broker, question, PLACES_LIMIT_WAITING);
    if (allowance_is_used_up(&broker->allowance, now.day)) {
        broker_note_used_up(broker);
        return refuse(broker, METRIC_places_refused_day_total, PLACES_ERROR_DAY);
    }
    bool was_closed = broker->circuit.state == CIRCUIT_CLOSED;
    if (!circuit_admits(&broker->circuit, now.ms))
        return refuse(broker, METRIC_places_refused_circuit_total, PLACES_ERROR_DOWN);
    *is_probe = !was_closed;
    if (client_cap_take(&broker->clients, now.ms, client, limits->calls_per_client))
        return NULL;
    if (*is_probe)
        broker->circuit.state = CIRCUIT_OPEN; /* the next one may try */
    return broker_limit(broker, question, PLACES_LIMIT_CLIENT);
}

void broker_measure(const struct broker *broker, struct broker_now now)
{
    const struct {
        enum metric metric;
        int64_t value;
    } gauges[] = {
        {METRIC_places_calls_open, broker->calling_count},
        {METRIC_places_calls_waiting, broker->waiting_count},
        {METRIC_places_calls_today, allowance_used(&broker->allowance, now.day)},
        {METRIC_places_cache_bytes, answer_cache_bytes(broker->cache)},
        {METRIC_places_circuit, (int64_t)broker->circuit.state},
    };
    for (size_t i = 0; i < sizeof gauges / sizeof gauges[0]; i++)
        metrics_set(broker->metrics, gauges[i].metric, gauges[i].value);
}
