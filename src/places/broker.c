#include "places/broker.h"

#include <assert.h>
#include <stdlib.h>

#include <herd/err.h>

#include "places/broker_room.h"

void broker_call_set_data(struct broker_call *call, void *data)
{
    call->data = data;
}

void *broker_call_data(const struct broker_call *call)
{
    return call->data;
}

static void wait(struct broker *broker, struct broker_call *call)
{
    call->state = WAITING;
    TAILQ_INSERT_TAIL(&broker->waiting, call, link);
    broker->waiting_count++;
}

/* Takes a call out of the list of its state. */
static void leave(struct broker *broker, struct broker_call *call)
{
    switch (call->state) {
    case WAITING:
        TAILQ_REMOVE(&broker->waiting, call, link);
        broker->waiting_count--;
        break;
    case RESTING:
        TAILQ_REMOVE(&broker->resting, call, link);
        break;
    case CALLING:
    case ABANDONED:
        TAILQ_REMOVE(&broker->calling, call, link);
        broker->calling_count--;
        break;
    }
}

/* Who asks the same from now on needs another call. */
static void set_apart(struct broker *broker, struct broker_call *call)
{
    if (!call->is_apart)
        query_map_remove(&broker->map, &call->node);
    call->is_apart = true;
}

static void free_call(struct broker *broker, struct broker_call *call)
{
    assert(TAILQ_EMPTY(&call->questions));
    leave(broker, call);
    if (call->state != ABANDONED)
        set_apart(broker, call);
    free(call);
}

/* A probe that came to nothing, not even a failure: another one may try. */
static void end_call(struct broker *broker, struct broker_call *call)
{
    if (call->is_probe && broker->circuit.state == CIRCUIT_PROBING)
        broker->circuit.state = CIRCUIT_OPEN;
    free_call(broker, call);
}

static void fail_call(struct broker *broker, int64_t now_ms, struct broker_call *call,
                      struct places_answer *answer)
{
    struct question *question;
    while ((question = TAILQ_FIRST(&call->questions)) != NULL)
        broker_fail(broker, now_ms, question, answer);
    end_call(broker, call);
}

/* What is not under way would fare no better. Who had no call yet is counted as refused. */
static void fail_pending(struct broker *broker, int64_t now_ms, struct places_answer *answer,
                         enum metric refused)
{
    struct broker_call *call;
    while ((call = TAILQ_FIRST(&broker->waiting)) != NULL) {
        const struct question *question;
        TAILQ_FOREACH(question, &call->questions, of_call)
        {
            metrics_add(broker->metrics, refused, call->attempts == 0);
        }
        fail_call(broker, now_ms, call, answer);
    }
    while ((call = TAILQ_FIRST(&broker->resting)) != NULL)
        fail_call(broker, now_ms, call, answer);
}

static void begin(struct broker *broker, int64_t now_ms, struct broker_call *call)
{
    leave(broker, call);
    call->state = CALLING;
    broker->is_used_up = false;
    TAILQ_INSERT_TAIL(&broker->calling, call, link);
    broker->calling_count++;
    if (call->attempts++ == 0)
        retry_budget_call(&broker->budget, now_ms);
    metrics_add(broker->metrics, METRIC_places_calls_total, 1);
    TAILQ_INSERT_TAIL(&broker->to_call, call, order);
    call->is_ordered = true;
}

/* As many of those that wait as are free and granted. */
static void start_waiting(struct broker *broker, struct broker_now now)
{
    struct broker_call *call;
    while (broker->calling_count < broker->limits.calls_max &&
           (call = TAILQ_FIRST(&broker->waiting)) != NULL) {
        enum allowance_verdict verdict = allowance_take(&broker->allowance, now.day);
        if (verdict == ALLOWANCE_WAIT)
            return;
        if (verdict == ALLOWANCE_GRANTED) {
            begin(broker, now.ms, call);
            continue;
        }
        broker_note_used_up(broker);
        fail_pending(broker, now.ms, places_answer_error(PLACES_ERROR_DAY),
                     METRIC_places_refused_day_total);
    }
}

static struct question *new_question(struct broker *broker, struct broker_now now,
                                     const struct places_query *query, void *asker)
{
    struct question *question = calloc(1, sizeof *question);
    if (question == NULL)
        return NULL;
    question->query = *query;
    question->asker = asker;
    question->deadline_ms = now.ms + broker->limits.answer_within_ms;
    question->fallback_until_ms = question->deadline_ms + broker->limits.fallback_ms;
    if (question->deadline_ms > broker->until_ms)
        question->deadline_ms = broker->until_ms;
    /* After a change to a shorter time nobody overtakes who asked before. */
    const struct question *youngest = TAILQ_LAST(&broker->questions, question_list);
    if (youngest != NULL && youngest->deadline_ms > question->deadline_ms)
        question->deadline_ms = youngest->deadline_ms;
    TAILQ_INSERT_TAIL(&broker->questions, question, by_age);
    broker->question_count++;
    return question;
}

static void join(struct broker_call *call, struct question *question)
{
    question->call = call;
    TAILQ_INSERT_TAIL(&call->questions, question, of_call);
}

static void refuse(struct broker *broker, int64_t now_ms, struct question *question,
                   struct places_answer *take_answer)
{
    broker_fail(broker, now_ms, question, take_answer);
    places_answer_unref(take_answer);
}

/* Makes a call of a question that nobody else has asked. 0 or HERD_ENOMEM. */
static int call_for(struct broker *broker, struct broker_now now, uint64_t client,
                    struct question *question)
{
    bool is_probe = false;
    struct places_answer *refusal = broker_refusal(broker, now, client, question, &is_probe);
    if (refusal != NULL) {
        refuse(broker, now.ms, question, refusal);
        return 0;
    }
    struct broker_call *call = calloc(1, sizeof *call);
    if (call == NULL) {
        if (is_probe)
            broker->circuit.state = CIRCUIT_OPEN;
        return HERD_ENOMEM;
    }
    call->node.query = question->query;
    call->is_probe = is_probe;
    TAILQ_INIT(&call->questions);
    query_map_add(&broker->map, &call->node);
    join(call, question);
    wait(broker, call);
    start_waiting(broker, now);
    return 0;
}

static void forget(struct broker *broker, struct question *question)
{
    TAILQ_REMOVE(&broker->questions, question, by_age);
    broker->question_count--;
    free(question);
}

int broker_ask(struct broker *broker, struct broker_now now, const struct places_query *query,
               uint64_t client, void *asker)
{
    struct question *question = new_question(broker, now, query, asker);
    if (question == NULL)
        return HERD_ENOMEM;
    struct places_answer *fresh =
        answer_cache_find(broker->cache, now.ms, query, broker->limits.cache_fresh_ms);
    if (fresh != NULL) {
        metrics_add(broker->metrics, METRIC_places_cached_total, 1);
        broker_answer(broker, question, fresh);
        return 0;
    }
    if (broker->question_count > BROKER_QUESTIONS_MAX) {
        refuse(broker, now.ms, question, broker_limit(broker, question, PLACES_LIMIT_HELD));
        return 0;
    }
    if (now.ms >= broker->until_ms) {
        metrics_add(broker->metrics, METRIC_places_timeouts_total, 1);
        refuse(broker, now.ms, question, places_answer_error(PLACES_ERROR_STOP));
        return 0;
    }
    struct broker_call *call = (struct broker_call *)query_map_find(&broker->map, query);
    if (call != NULL) {
        metrics_add(broker->metrics, METRIC_places_coalesced_total, 1);
        join(call, question);
        return 0;
    }
    int rc = call_for(broker, now, client, question);
    if (rc < 0)
        forget(broker, question);
    return rc;
}

/* ---- What became of a call ------------------------------------------------------------------ */

static void succeed(struct broker *broker, int64_t now_ms, struct broker_call *call,
                    struct places_answer *answer)
{
    struct question *question;
    if (call->era == broker->era) /* else it may be another provider's, which forbids it */
        answer_cache_put(broker->cache, now_ms, &call->node.query, answer);
    while ((question = TAILQ_FIRST(&call->questions)) != NULL)
        broker_answer(broker, question, answer);
    end_call(broker, call);
}

static void answered(struct broker *broker)
{
    if (circuit_answered(&broker->circuit))
        broker_note(broker, BROKER_NOTICE_MENDED, 0);
}

/* True: it opened, and what was pending has failed. */
static bool failed(struct broker *broker, int64_t now_ms, const struct broker_call *call,
                   struct places_answer *answer)
{
    metrics_add(broker->metrics, METRIC_places_failures_total, 1);
    if (call->era != broker->era)
        return false;
    if (!circuit_failed(&broker->circuit, now_ms, call->is_probe, broker->limits.breaker_failures,
                        broker->limits.breaker_open_ms, &broker->rng))
        return false;
    metrics_add(broker->metrics, METRIC_places_circuit_opened_total, 1);
    broker_note(broker, BROKER_NOTICE_OPENED, broker->circuit.open_until - now_ms);
    fail_pending(broker, now_ms, answer, METRIC_places_refused_circuit_total);
    return true;
}

static int64_t pause_ms_of(const struct broker *broker, const struct places_answer *answer)
{
    int64_t said_ms = places_answer_failure(answer).retry_after_ms;
    if (said_ms < 0)
        return broker->limits.quota_pause_ms;
    if (said_ms < BROKER_PAUSE_MIN_MS)
        return BROKER_PAUSE_MIN_MS;
    return said_ms < BROKER_PAUSE_MAX_MS ? said_ms : BROKER_PAUSE_MAX_MS;
}

/* The provider wants no calls: for a while, or with this key. */
static void stop_calling(struct broker *broker, int64_t now_ms, struct broker_call *call,
                         struct places_answer *answer)
{
    bool is_quota = places_answer_status(answer) == PLACES_OVER_QUERY_LIMIT;
    struct places_answer **kept = is_quota ? &broker->paused : &broker->refused;
    metrics_add(broker->metrics, METRIC_places_failures_total, 1);
    if (call->era != broker->era) { /* the key may be another one now */
        fail_call(broker, now_ms, call, answer);
        return;
    }
    answered(broker);
    places_answer_unref(*kept);
    *kept = places_answer_ref(answer);
    if (is_quota) {
        int64_t pause_ms = pause_ms_of(broker, answer);
        broker->paused_until_ms = now_ms + pause_ms;
        broker_note(broker, BROKER_NOTICE_PAUSED, pause_ms);
    } else {
        broker_note(broker, BROKER_NOTICE_REFUSED, 0);
    }
    fail_call(broker, now_ms, call, answer);
    fail_pending(broker, now_ms, answer,
                 is_quota ? METRIC_places_refused_quota_total : METRIC_places_refused_key_total);
}

/* Half of the time that the last one of its askers has left is for the second call itself. -1: the
 * provider wants to be left alone for longer than that. */
static int64_t retry_delay_ms(struct broker *broker, int64_t now_ms, const struct broker_call *call,
                              const struct places_answer *answer)
{
    const struct broker_limits *limits = &broker->limits;
    const struct question *last = TAILQ_LAST(&call->questions, question_list);
    int64_t max_ms = (last->deadline_ms - now_ms) / 2;
    if (max_ms > limits->retry_max_ms)
        max_ms = limits->retry_max_ms;
    int64_t min_ms = places_answer_failure(answer).retry_after_ms;
    if (min_ms < limits->retry_min_ms)
        min_ms = limits->retry_min_ms;
    if (max_ms < min_ms)
        return -1;
    return min_ms + (int64_t)rng_below(&broker->rng, (uint64_t)(max_ms - min_ms) + 1);
}

static bool may_retry(struct broker *broker, int64_t now_ms, const struct broker_call *call,
                      const struct places_answer *answer)
{
    const struct broker_limits *limits = &broker->limits;
    if (call->is_probe || call->attempts >= limits->attempts_max ||
        places_answer_failure(answer).is_final)
        return false;
    if (retry_budget_take(&broker->budget, now_ms, limits->retry_percent, limits->retry_min))
        return true;
    metrics_add(broker->metrics, METRIC_places_retries_refused_total, 1);
    return false;
}

static void fail_or_retry(struct broker *broker, int64_t now_ms, struct broker_call *call,
                          struct places_answer *answer)
{
    bool has_opened = failed(broker, now_ms, call, answer);
    int64_t delay_ms = has_opened ? -1 : retry_delay_ms(broker, now_ms, call, answer);
    if (delay_ms < 0 || broker->circuit.state != CIRCUIT_CLOSED ||
        !may_retry(broker, now_ms, call, answer)) {
        fail_call(broker, now_ms, call, answer);
        return;
    }
    metrics_add(broker->metrics, METRIC_places_retries_total, 1);
    leave(broker, call);
    call->state = RESTING;
    call->retry_at_ms = now_ms + delay_ms;
    TAILQ_INSERT_TAIL(&broker->resting, call, link);
}

void broker_called(struct broker *broker, struct broker_now now, struct broker_call *call,
                   struct places_answer *take_answer)
{
    assert((call->state == CALLING && !call->is_ordered) || call->state == ABANDONED);
    if (call->state == ABANDONED) { /* its failure was counted then */
        if (call->is_ordered)
            TAILQ_REMOVE(&broker->to_cancel, call, order);
        free_call(broker, call);
    } else {
        switch (places_answer_status(take_answer)) {
        case PLACES_OK:
        case PLACES_ZERO_RESULTS:
            answered(broker);
            succeed(broker, now.ms, call, take_answer);
            break;
        case PLACES_INVALID_REQUEST:
            answered(broker);
            metrics_add(broker->metrics, METRIC_places_failures_total, 1);
            fail_call(broker, now.ms, call, take_answer);
            break;
        case PLACES_OVER_QUERY_LIMIT:
        case PLACES_REQUEST_DENIED:
            stop_calling(broker, now.ms, call, take_answer);
            break;
        case PLACES_UNKNOWN_ERROR:
            fail_or_retry(broker, now.ms, call, take_answer);
            break;
        }
    }
    places_answer_unref(take_answer);
    start_waiting(broker, now);
}

void broker_reserved(struct broker *broker, struct broker_now now,
                     const struct allowance_record *record, bool is_written)
{
    allowance_reserved(&broker->allowance, record, is_written);
    if (is_written)
        broker->is_unwritten = false;
    if (!is_written) {
        if (!broker->is_unwritten)
            broker_note(broker, BROKER_NOTICE_UNWRITTEN, 0);
        broker->is_unwritten = true;
        fail_pending(broker, now.ms, places_answer_error(PLACES_ERROR_DAY_UNCOUNTED),
                     METRIC_places_refused_day_total);
    }
    start_waiting(broker, now);
}

/* ---- Time ----------------------------------------------------------------------------------- */

/* Nobody waits for the call any more. */
static void abandon(struct broker *broker, struct broker_call *call)
{
    if (call->state != CALLING) {
        end_call(broker, call);
        return;
    }
    if (call->is_ordered) { /* nobody was told of it */
        TAILQ_REMOVE(&broker->to_call, call, order);
        end_call(broker, call);
        return;
    }
    set_apart(broker, call);
    call->state = ABANDONED;
    call->is_ordered = true;
    TAILQ_INSERT_TAIL(&broker->to_cancel, call, order);
}

static void expire(struct broker *broker, int64_t now_ms, struct question *question)
{
    struct broker_call *call = question->call;
    bool was_calling = call->state == CALLING && !call->is_ordered;
    struct places_answer *answer =
        places_answer_error(was_calling ? PLACES_ERROR_LATE : PLACES_ERROR_NO_CALL);
    metrics_add(broker->metrics, METRIC_places_timeouts_total, 1);
    broker_fail(broker, now_ms, question, answer);
    if (TAILQ_EMPTY(&call->questions)) {
        if (was_calling)
            failed(broker, now_ms, call, answer);
        abandon(broker, call);
    }
}

static void wake(struct broker *broker, int64_t now_ms)
{
    struct broker_call *next, *call = TAILQ_FIRST(&broker->resting);
    for (; call != NULL; call = next) {
        next = TAILQ_NEXT(call, link);
        if (call->retry_at_ms > now_ms)
            continue;
        TAILQ_REMOVE(&broker->resting, call, link);
        wait(broker, call);
    }
}

void broker_tick(struct broker *broker, struct broker_now now)
{
    struct question *question;
    while ((question = TAILQ_FIRST(&broker->questions)) != NULL && question->deadline_ms <= now.ms)
        expire(broker, now.ms, question);
    wake(broker, now.ms);
    start_waiting(broker, now);
}

int64_t broker_wakeup(const struct broker *broker)
{
    const struct question *oldest = TAILQ_FIRST(&broker->questions);
    int64_t at_ms = oldest != NULL ? oldest->deadline_ms : INT64_MAX;
    const struct broker_call *call;
    TAILQ_FOREACH(call, &broker->resting, link)
    {
        if (call->retry_at_ms < at_ms)
            at_ms = call->retry_at_ms;
    }
    return at_ms;
}

/* ---- From the beginning to the end ---------------------------------------------------------- */

int broker_new(const struct broker_limits *limits, uint64_t seed, struct metrics *metrics,
               struct broker **out)
{
    struct broker *broker = calloc(1, sizeof *broker);
    if (broker == NULL)
        return HERD_ENOMEM;
    broker->metrics = metrics;
    broker->until_ms = INT64_MAX;
    broker->rng.state = seed;
    broker->map.seed = rng_next(&broker->rng);
    broker->clients.seed = rng_next(&broker->rng);
    TAILQ_INIT(&broker->waiting);
    TAILQ_INIT(&broker->resting);
    TAILQ_INIT(&broker->calling);
    TAILQ_INIT(&broker->questions);
    TAILQ_INIT(&broker->to_call);
    TAILQ_INIT(&broker->to_cancel);
    STAILQ_INIT(&broker->answered);
    if (answer_cache_new(rng_next(&broker->rng), 0, &broker->cache) < 0) {
        free(broker);
        return HERD_ENOMEM;
    }
    broker_configure(broker, limits, false);
    *out = broker;
    return 0;
}

static void forget_said(struct broker *broker)
{
    places_answer_unref(broker->paused);
    places_answer_unref(broker->refused);
    broker->paused = broker->refused = NULL;
}

void broker_free(struct broker *broker)
{
    assert(broker->question_count == 0 && broker->calling_count == 0);
    forget_said(broker);
    answer_cache_free(broker->cache);
    free(broker);
}

/* What is under way with the old provider, or comes back to it from there, is the old one's. */
static void forget_provider(struct broker *broker)
{
    struct broker_call *call;
    broker->circuit = (struct circuit){0};
    answer_cache_limit(broker->cache, 0);
    TAILQ_FOREACH(call, &broker->calling, link)
    {
        if (call->state == CALLING && !call->is_ordered)
            set_apart(broker, call);
    }
}

void broker_configure(struct broker *broker, const struct broker_limits *limits,
                      bool is_other_provider)
{
    broker->limits = *limits;
    broker->era++;
    broker->allowance.cap = limits->calls_per_day;
    forget_said(broker);
    broker->circuit.open_until = 0; /* who reloads has repaired something: it is tried at once */
    if (is_other_provider)
        forget_provider(broker);
    answer_cache_limit(broker->cache, limits->cache_max_bytes);
}

void broker_load(struct broker *broker, const struct allowance_record *record)
{
    allowance_load(&broker->allowance, record);
}

void broker_hurry(struct broker *broker, int64_t until_ms)
{
    struct question *question;
    broker->until_ms = until_ms;
    TAILQ_FOREACH(question, &broker->questions, by_age)
    {
        if (question->deadline_ms > until_ms)
            question->deadline_ms = until_ms;
    }
}

void broker_stop(struct broker *broker)
{
    struct places_answer *answer = places_answer_error(PLACES_ERROR_STOP);
    struct question *question;
    broker->is_stopped = true;
    while ((question = TAILQ_FIRST(&broker->questions)) != NULL) {
        struct broker_call *call = question->call;
        broker_answer(broker, question, answer);
        if (TAILQ_EMPTY(&call->questions))
            abandon(broker, call);
    }
}

bool broker_final(const struct broker *broker, struct allowance_record *out)
{
    return allowance_final(&broker->allowance, out);
}

enum circuit_state broker_circuit(const struct broker *broker)
{
    return broker->circuit.state;
}
