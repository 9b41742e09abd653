/*
 * ask -> (a call is free) provider ask -> done
 *     -> (none is free) waiting -> a call ends -> provider ask -> done
 *     -> (waiting is full, or the provider will not) -> answered on the next turn of the loop ->
 * done
 */
#include <assert.h>
#include <stdlib.h>

#include <uv.h>

#include <herd/err.h>

#include "base/metrics.h"
#include "places/broker.h"

struct question {
    struct broker *broker;
    struct question *next;
    struct places_query query;
    places_done_cb *done;
    void *arg;
    struct places_answer *answer; /* of one that was refused */
    struct places_call *call;
};

struct queue {
    struct question *first, **end;
    int64_t count;
};

struct broker {
    const struct provider_type *type;
    struct provider *provider;
    struct metrics *metrics;
    int64_t calls_max, waiting_max;
    int64_t calls; /* under way */
    struct queue waiting, refused;
    uv_idle_t refusing; /* runs while `refused` has any */
    bool closing;
    void (*closed)(void *arg);
    void *closed_arg;
};

static void start(struct question *question);

static void push(struct queue *queue, struct question *question)
{
    question->next = NULL;
    *queue->end = question;
    queue->end = &question->next;
    queue->count++;
}

static struct question *pop(struct queue *queue)
{
    struct question *question = queue->first;
    if (question == NULL)
        return NULL;
    queue->first = question->next;
    if (queue->first == NULL)
        queue->end = &queue->first;
    queue->count--;
    return question;
}

static void finish(struct question *question, struct places_answer *take_answer)
{
    question->done(question->arg, take_answer);
    free(question);
}

static void on_refusing(uv_idle_t *idle)
{
    struct broker *broker = idle->data;
    struct question *question;
    uv_idle_stop(idle);
    while ((question = pop(&broker->refused)) != NULL)
        finish(question, question->answer);
}

/* A callback never runs inside the call that asked for it, so a refusal waits for the next turn. */
static void refuse(struct question *question, enum places_status status, const char *message)
{
    struct broker *broker = question->broker;
    metrics_add(broker->metrics, METRIC_places_refused_total, 1);
    question->answer = places_answer_new(status);
    places_answer_set_error(question->answer, message);
    push(&broker->refused, question);
    uv_idle_start(&broker->refusing, on_refusing);
}

static void on_done(void *arg, struct places_answer *take_answer)
{
    struct question *question = arg;
    struct broker *broker = question->broker;
    broker->calls--;
    enum places_status status = places_answer_status(take_answer);
    if (status != PLACES_OK && status != PLACES_ZERO_RESULTS)
        metrics_add(broker->metrics, METRIC_places_failures_total, 1);
    finish(question, take_answer);
    if (!broker->closing && broker->calls < broker->calls_max) {
        struct question *next = pop(&broker->waiting);
        if (next != NULL)
            start(next);
    }
}

static void start(struct question *question)
{
    struct broker *broker = question->broker;
    int rc =
        broker->type->ask(broker->provider, &question->query, on_done, question, &question->call);
    if (rc < 0) {
        refuse(question, PLACES_UNKNOWN_ERROR, herd_strerror(rc));
        return;
    }
    broker->calls++;
    metrics_add(broker->metrics, METRIC_places_calls_total, 1);
}

int broker_new(const struct broker_options *options, struct broker **out, struct herd_buf *error)
{
    struct broker *broker = calloc(1, sizeof(*broker));
    if (broker == NULL)
        return HERD_ENOMEM;
    int rc = options->type->open(&options->places, &broker->provider, error);
    if (rc < 0) {
        free(broker);
        return rc;
    }
    broker->type = options->type;
    broker->metrics = options->places.metrics;
    broker->calls_max = options->calls_max;
    broker->waiting_max = options->waiting_max;
    broker->waiting.end = &broker->waiting.first;
    broker->refused.end = &broker->refused.first;
    uv_idle_init(options->places.loop, &broker->refusing);
    broker->refusing.data = broker;
    *out = broker;
    return 0;
}

int broker_ask(struct broker *broker, const struct places_query *query, places_done_cb *done,
               void *arg)
{
    struct question *question = malloc(sizeof(*question));
    assert(!broker->closing);
    if (question == NULL)
        return HERD_ENOMEM;
    *question = (struct question){.broker = broker, .query = *query, .done = done, .arg = arg};
    if (broker->calls < broker->calls_max)
        start(question);
    else if (broker->waiting.count < broker->waiting_max)
        push(&broker->waiting, question);
    else
        refuse(question, PLACES_OVER_QUERY_LIMIT, "too many questions are waiting for places");
    return 0;
}

static void on_idle_closed(uv_handle_t *handle)
{
    struct broker *broker = handle->data;
    void (*closed)(void *arg) = broker->closed;
    void *arg = broker->closed_arg;
    free(broker);
    if (closed != NULL)
        closed(arg);
}

static void on_provider_closed(void *arg)
{
    struct broker *broker = arg;
    assert(broker->calls == 0);
    on_refusing(&broker->refusing);
    uv_close((uv_handle_t *)&broker->refusing, on_idle_closed);
}

void broker_close(struct broker *broker, void (*closed)(void *arg), void *arg)
{
    struct question *question;
    broker->closing = true;
    broker->closed = closed;
    broker->closed_arg = arg;
    while ((question = pop(&broker->waiting)) != NULL)
        refuse(question, PLACES_UNKNOWN_ERROR, "the server stops");
    broker->type->close(broker->provider, on_provider_closed, broker);
}
