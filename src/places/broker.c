/*
 * ask -> (a call is free) provider ask -> done
 *     -> (none is free) waiting -> a call ends -> provider ask -> done
 *     -> (waiting is full, or the provider will not) refused: on the next turn of the loop -> done
 * A question whose time is up is refused while it waits, or its call is cancelled. All have the
 * same time, so they are in a list by age and one timer is set for the oldest.
 */
#include <assert.h>
#include <stdlib.h>

#include <uv.h>

#include <herd/err.h>

#include "base/metrics.h"
#include "places/broker.h"

struct question {
    struct broker *broker;
    struct question *next;            /* of those that wait, or were refused */
    struct question *younger, *older; /* of all that are not answered */
    int64_t deadline_ms;              /* uv_now */
    struct places_query query;
    places_done_cb *done;
    void *arg;
    struct places_answer *answer; /* of one that was refused */
    struct places_call *call;     /* under way */
    bool cancelled;
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
    int64_t total_timeout_ms;
    struct queue waiting, refused;
    struct question *oldest, *youngest;
    uv_idle_t refusing;  /* runs while `refused` has any */
    uv_timer_t deadline; /* of the oldest */
    int handles;         /* still open */
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

static void leave_all(struct question *question)
{
    struct broker *broker = question->broker;
    if (question->older != NULL)
        question->older->younger = question->younger;
    else
        broker->oldest = question->younger;
    if (question->younger != NULL)
        question->younger->older = question->older;
    else
        broker->youngest = question->older;
}

static void join_all(struct question *question)
{
    struct broker *broker = question->broker;
    question->older = broker->youngest;
    if (question->older != NULL)
        question->older->younger = question;
    else
        broker->oldest = question;
    broker->youngest = question;
}

static void finish(struct question *question, struct places_answer *take_answer)
{
    leave_all(question);
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

static void take_out(struct queue *queue, struct question *question)
{
    struct question **at = &queue->first;
    while (*at != question)
        at = &(*at)->next;
    *at = question->next;
    if (queue->end == &question->next)
        queue->end = at;
    queue->count--;
}

/* Everything that is older than its time; then the timer is set for the oldest of the rest. */
static void on_deadline(uv_timer_t *timer)
{
    struct broker *broker = timer->data;
    int64_t now_ms = (int64_t)uv_now(timer->loop);
    struct question *question = broker->oldest;
    for (; question != NULL && question->deadline_ms <= now_ms; question = question->younger) {
        if (question->call != NULL) {
            broker->type->cancel(question->call);
            question->call = NULL;
            question->cancelled = true; /* its end may take the provider a while */
        } else if (question->answer == NULL && !question->cancelled) {
            take_out(&broker->waiting, question);
            refuse(question, PLACES_UNKNOWN_ERROR, "no call was free in time");
        }
    }
    if (question != NULL)
        uv_timer_start(timer, on_deadline, (uint64_t)(question->deadline_ms - now_ms), 0);
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
        question->call = NULL;
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
    broker->total_timeout_ms = options->places.total_timeout_ms;
    broker->waiting.end = &broker->waiting.first;
    broker->refused.end = &broker->refused.first;
    uv_idle_init(options->places.loop, &broker->refusing);
    uv_timer_init(options->places.loop, &broker->deadline);
    broker->refusing.data = broker->deadline.data = broker;
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
    question->deadline_ms = (int64_t)uv_now(broker->deadline.loop) + broker->total_timeout_ms;
    join_all(question);
    if (!uv_is_active((uv_handle_t *)&broker->deadline))
        uv_timer_start(&broker->deadline, on_deadline, (uint64_t)broker->total_timeout_ms, 0);
    if (broker->calls < broker->calls_max)
        start(question);
    else if (broker->waiting.count < broker->waiting_max)
        push(&broker->waiting, question);
    else
        refuse(question, PLACES_OVER_QUERY_LIMIT, "too many questions are waiting for places");
    return 0;
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct broker *broker = handle->data;
    if (--broker->handles > 0)
        return;
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
    broker->handles = 2;
    uv_close((uv_handle_t *)&broker->refusing, on_handle_closed);
    uv_close((uv_handle_t *)&broker->deadline, on_handle_closed);
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
