/* The broker in front of a provider that answers when the test says so. */
#include "testing.h"

#include <stdlib.h>

#include <uv.h>

#include "base/metrics.h"
#include "places/broker.h"

enum { CALLS_MAX = 2, WAITING_MAX = 3, TIMEOUT_MS = 50 };

/* The provider's calls under way, oldest first. */
struct call {
    struct places_call base;
    places_done_cb *done;
    void *arg;
    bool cancelled;
};

static struct call *calls[16];
static size_t call_count;
static uv_idle_t cancelling;

static int fake_open(const struct places_options *options, struct provider **out,
                     struct herd_buf *error)
{
    (void)error;
    call_count = 0;
    uv_idle_init(options->loop, &cancelling);
    *out = NULL;
    return 0;
}

static void answer_call(size_t i, enum places_status status)
{
    struct call *call = calls[i];
    memmove(calls + i, calls + i + 1, (--call_count - i) * sizeof(*calls));
    call->done(call->arg, places_answer_new(status));
    free(call);
}

static void on_cancelling(uv_idle_t *idle)
{
    uv_idle_stop(idle);
    for (size_t i = call_count; i > 0; i--) {
        if (calls[i - 1]->cancelled)
            answer_call(i - 1, PLACES_UNKNOWN_ERROR);
    }
}

static int fake_ask(struct provider *provider, const struct places_query *query,
                    places_done_cb *done, void *arg, struct places_call **out)
{
    (void)provider;
    (void)query;
    struct call *call = calloc(1, sizeof(*call));
    call->done = done;
    call->arg = arg;
    calls[call_count++] = call;
    *out = &call->base;
    return 0;
}

static void fake_cancel(struct places_call *call)
{
    ((struct call *)call)->cancelled = true;
    uv_idle_start(&cancelling, on_cancelling);
}

static void (*provider_closed)(void *arg);
static void *provider_closed_arg;

static void on_idle_closed(uv_handle_t *handle)
{
    (void)handle;
    provider_closed(provider_closed_arg);
}

static void fake_close(struct provider *provider, void (*closed)(void *arg), void *arg)
{
    (void)provider;
    while (call_count > 0)
        answer_call(0, PLACES_UNKNOWN_ERROR);
    provider_closed = closed;
    provider_closed_arg = arg;
    uv_close((uv_handle_t *)&cancelling, on_idle_closed);
}

static const struct provider_type fake = {
    .name = "fake", .open = fake_open, .ask = fake_ask, .cancel = fake_cancel, .close = fake_close};

struct fixture {
    uv_loop_t loop;
    struct metrics metrics;
    struct broker *broker;
    int answered[PLACES_UNKNOWN_ERROR + 1];
    int order[16], count;
};

/* One question: who asked, and what for the order is checked by. */
struct asker {
    struct fixture *fixture;
    int number;
};

static void on_answer(void *arg, struct places_answer *take_answer)
{
    struct asker *asker = arg;
    struct fixture *fixture = asker->fixture;
    fixture->answered[places_answer_status(take_answer)]++;
    fixture->order[fixture->count++] = asker->number;
    places_answer_unref(take_answer);
    free(asker);
}

static void ask(struct fixture *fixture, int number)
{
    const struct places_query query = {1, 1, 1};
    struct asker *asker = malloc(sizeof(*asker));
    *asker = (struct asker){fixture, number};
    int before = fixture->count;
    assert_int_equal(broker_ask(fixture->broker, &query, on_answer, asker), 0);
    assert_int_equal(fixture->count, before); /* never inside the call */
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    struct herd_buf error = {0};
    assert_int_equal(uv_loop_init(&fixture->loop), 0);
    const struct broker_options options = {.type = &fake,
                                           .places = {.loop = &fixture->loop,
                                                      .metrics = &fixture->metrics,
                                                      .total_timeout_ms = TIMEOUT_MS},
                                           .calls_max = CALLS_MAX,
                                           .waiting_max = WAITING_MAX};
    assert_int_equal(broker_new(&options, &fixture->broker, &error), 0);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    if (fixture->broker != NULL)
        broker_close(fixture->broker, NULL, NULL);
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&fixture->loop), 0);
    free(fixture);
    return 0;
}

static void test_calls_are_limited_and_the_rest_waits(void **state)
{
    struct fixture *fixture = *state;
    for (int i = 0; i < CALLS_MAX + WAITING_MAX; i++)
        ask(fixture, i);
    assert_int_equal(call_count, CALLS_MAX);
    for (int i = 0; i < CALLS_MAX + WAITING_MAX; i++) {
        assert_true(call_count <= CALLS_MAX);
        answer_call(0, PLACES_OK);
        assert_int_equal(fixture->order[i], i);
    }
    assert_int_equal(fixture->answered[PLACES_OK], CALLS_MAX + WAITING_MAX);
    assert_int_equal(fixture->metrics.value[METRIC_places_calls_total], CALLS_MAX + WAITING_MAX);
}

static void test_one_too_many_is_refused_at_once(void **state)
{
    struct fixture *fixture = *state;
    for (int i = 0; i < CALLS_MAX + WAITING_MAX + 1; i++)
        ask(fixture, i);
    uv_run(&fixture->loop, UV_RUN_NOWAIT);
    assert_int_equal(fixture->count, 1);
    assert_int_equal(fixture->order[0], CALLS_MAX + WAITING_MAX);
    assert_int_equal(fixture->answered[PLACES_OVER_QUERY_LIMIT], 1);
}

static void test_no_question_takes_longer_than_its_time(void **state)
{
    struct fixture *fixture = *state;
    for (int i = 0; i < CALLS_MAX + WAITING_MAX; i++)
        ask(fixture, i);
    uint64_t began_ms = uv_now(&fixture->loop);
    while (fixture->count < CALLS_MAX + WAITING_MAX)
        uv_run(&fixture->loop, UV_RUN_ONCE);
    assert_true(uv_now(&fixture->loop) >= began_ms + TIMEOUT_MS);
    assert_int_equal(fixture->answered[PLACES_UNKNOWN_ERROR], CALLS_MAX + WAITING_MAX);
    assert_int_equal(call_count, 0);
    ask(fixture, 9);
    assert_int_equal(call_count, 1);
    answer_call(0, PLACES_OK);
    assert_int_equal(fixture->answered[PLACES_OK], 1);
}

static void test_closing_answers_everybody(void **state)
{
    struct fixture *fixture = *state;
    for (int i = 0; i < CALLS_MAX + WAITING_MAX + 1; i++)
        ask(fixture, i);
    broker_close(fixture->broker, NULL, NULL);
    fixture->broker = NULL;
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    assert_int_equal(fixture->count, CALLS_MAX + WAITING_MAX + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_calls_are_limited_and_the_rest_waits, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_one_too_many_is_refused_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_question_takes_longer_than_its_time, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_closing_answers_everybody, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
