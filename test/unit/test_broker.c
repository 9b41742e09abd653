/* The broker under virtual time: calls shared, limited, repeated and kept back. */
#include "broker_world.h"

#include <stdlib.h>

static void test_a_thousand_askers_of_one_place_are_one_call(void **state)
{
    struct world *world = *state;
    for (int i = 0; i < 1000; i++)
        world_ask(world, 7);
    world_run(world, 1000);
    assert_int_equal(world->calls_total, 1);
    assert_int_equal(world_count(world, 0, PLACES_OK), 1000);
    assert_metric(world, coalesced_total, 999);
    assert_metric(world, calls_total, 1);
    world_ask(world, 7); /* the answer is Google's: not kept */
    assert_int_equal(world->calls_total, 2);
}

static void test_calls_are_limited_and_the_rest_waits(void **state)
{
    struct world *world = *state;
    for (int i = 0; i < 32 + 256; i++)
        world_ask(world, i);
    assert_int_equal(world->calls_total, 32);
    assert_metric(world, calls_open, 32);
    assert_metric(world, calls_waiting, 256);
    size_t one_too_many = world_ask(world, 999);
    assert_int_equal(world->askers[one_too_many].status, PLACES_OVER_QUERY_LIMIT);
    assert_int_equal(world->askers[one_too_many].answered_ms, world->now.ms);
    assert_metric(world, refused_total, 1);
    assert_int_equal(world->limited[PLACES_LIMIT_WAITING], 1);
    size_t shares = world_ask(world, 31); /* who needs no call of his own is not refused */
    assert_int_equal(world->askers[shares].answered_ms, -1);
    world_run(world, 2000);
    assert_int_equal(world_count(world, 0, PLACES_OK), 32 + 256 + 1);
    for (size_t i = 1; i < 32 + 256; i++)
        assert_true(world->askers[i].answered_ms >= world->askers[i - 1].answered_ms);
    assert_int_equal(world->open_max, 32);
}

static void test_a_failed_call_is_made_again_after_a_while(void **state)
{
    struct world *world = *state;
    world->weather.status = PLACES_UNKNOWN_ERROR;
    size_t asker = world_ask(world, 1);
    world_run(world, 50);
    assert_int_equal(world->askers[asker].answered_ms, -1);
    world->weather.status = PLACES_OK;
    world_run(world, 2800);
    assert_int_equal(world->askers[asker].status, PLACES_OK);
    assert_int_equal(world->calls_total, 2);
    assert_metric(world, retries_total, 1);
    int64_t delay_ms = world->call_times_ms[1] - world->call_times_ms[0] - 50;
    assert_true(delay_ms >= 100 && delay_ms <= 1400); /* half of what was left */
}

/* HTTP 503 with a Retry-After. */
static void test_a_provider_that_says_when_is_not_asked_before(void **state)
{
    struct world *world = *state;
    world->weather.status = PLACES_UNKNOWN_ERROR;
    world->weather.retry_after_ms = 1200;
    world_ask(world, 1);
    world_run(world, 2850);
    assert_int_equal(world->calls_total, 2);
    assert_true(world->call_times_ms[1] - world->call_times_ms[0] >= 50 + 1200);
    world->weather.retry_after_ms = 120000;
    size_t asker = world_ask(world, 2);
    world_run(world, 2850);
    assert_int_equal(world->calls_total, 3);
    assert_int_equal(world->askers[asker].answered_ms, world->askers[asker].asked_ms + 50);
}

static void test_no_third_attempt(void **state)
{
    struct world *world = *state;
    world->weather.status = PLACES_UNKNOWN_ERROR;
    size_t asker = world_ask(world, 1);
    world_run(world, 2850);
    assert_int_equal(world->calls_total, 2);
    assert_int_equal(world->askers[asker].status, PLACES_UNKNOWN_ERROR);
    assert_metric(world, failures_total, 2);
    assert_metric(world, timeouts_total, 0);
}

static void test_an_answer_that_cost_its_call_is_not_asked_again(void **state)
{
    struct world *world = *state;
    world->weather.status = PLACES_UNKNOWN_ERROR;
    world->weather.is_final = true;
    world_ask(world, 1);
    world_run(world, 2850);
    assert_int_equal(world->calls_total, 1);
}

static void test_delays_are_jittered_over_the_whole_range(void **state)
{
    struct world *world = *state;
    int64_t least_ms = INT64_MAX, most_ms = 0;
    world->weather.status = PLACES_UNKNOWN_ERROR;
    world->limits.breaker_failures = 1000;
    world->limits.retry_percent = 100;
    world->limits.answer_within_ms = 10000;
    world_configure(world, false);
    for (int i = 0; i < 500; i++) {
        int64_t first = world->calls_total;
        world_ask(world, i);
        world_run(world, 5000);
        int64_t delay_ms =
            world->call_times_ms[first + 1] - world->call_times_ms[first] - world->weather.after_ms;
        least_ms = delay_ms < least_ms ? delay_ms : least_ms;
        most_ms = delay_ms > most_ms ? delay_ms : most_ms;
    }
    assert_in_range(least_ms, 100, 120);
    assert_in_range(most_ms, 1980, 2000);
}

/* Half of the calls fail, never enough in a row to open the circuit for long. */
static void test_retries_are_a_tenth_of_the_calls(void **state)
{
    struct world *world = *state;
    world->weather.fails_percent = 50;
    world->limits.breaker_failures = 1000;
    world_configure(world, false);
    world_load(world, 100, 60000);
    world_run(world, 3000);
    double per_question = (double)world->calls_total / (double)world->asker_count;
    print_message("half of the calls fail: %.3f calls a question\n", per_question);
    assert_true(per_question <= 1.1);
    assert_true(per_question > 1.05);
    assert_true(world->metrics.value[METRIC_places_retries_refused_total] > 0);
}

static void test_what_is_never_in_time_is_cancelled(void **state)
{
    struct world *world = *state;
    world->weather.after_ms = -1;
    size_t first = world_ask(world, 1);
    world_run(world, 2000);
    size_t second = world_ask(world, 1); /* shares the call, and has its own time */
    world_run(world, 850);
    assert_int_equal(world->askers[first].status, PLACES_UNKNOWN_ERROR);
    assert_int_equal(world->askers[second].answered_ms, -1);
    assert_int_equal(world->call_count, 1);
    world_run(world, 2000);
    assert_int_equal(world->askers[second].status, PLACES_UNKNOWN_ERROR);
    world_run(world, 1);
    assert_int_equal(world->call_count, 0);
    assert_metric(world, timeouts_total, 2);
    assert_metric(world, failures_total, 1);
}

/* ---- The circuit ---------------------------------------------------------------------------- */

/* 100 questions a second for `s` seconds of an outage; then it is over. */
static void check_outage(struct world *world, const char *name, int64_t s)
{
    world_load(world, 100, 1000); /* a good second before */
    int64_t calls_before = world->calls_total;
    size_t asked_before = world->asker_count;
    struct weather good = world->weather;
    bool hangs = strcmp(name, "hangs") == 0;
    world->weather.status = PLACES_UNKNOWN_ERROR;
    world->weather.after_ms = hangs ? -1 : world->weather.after_ms;

    size_t asked_closed = 0;
    int64_t calls_closed = 0;
    while (broker_circuit(world->broker) == CIRCUIT_CLOSED) {
        world_load(world, 100, 10);
        asked_closed = world->asker_count - asked_before;
        calls_closed = world->calls_total - calls_before;
    }
    int64_t opened_ms = world->now.ms;
    world_load(world, 100, s * 1000);
    int64_t probes = world->calls_total - calls_before - calls_closed;
    double per_question = (double)calls_closed / (double)asked_closed;
    print_message("%s: %.3f calls a question until the circuit opened, then %lld probes in %lld s "
                  "of %zu questions\n",
                  name, per_question, (long long)probes, (long long)s,
                  world->asker_count - asked_before - asked_closed);
    assert_true(per_question <= 1.1);
    assert_in_range(probes, s / 40, s / 24 + 1);
    for (int64_t i = calls_before + calls_closed; i < world->calls_total; i++) {
        int64_t pause_ms = world->call_times_ms[i] - opened_ms;
        opened_ms = world->call_times_ms[i] + (hangs ? 2850 : 50);
        assert_in_range(pause_ms, 24000 - 20, 36000 + 20);
    }

    world->weather = good;
    size_t asked = world->asker_count;
    int64_t calls = world->calls_total;
    while (broker_circuit(world->broker) != CIRCUIT_CLOSED && world->now.ms < opened_ms + 40000)
        world_load(world, 100, 10);
    assert_int_equal(broker_circuit(world->broker), CIRCUIT_CLOSED);
    assert_in_range(world->calls_total, calls + 1, calls + 2); /* one probe */
    assert_true(world_count(world, asked, PLACES_OK) >= 1);
    asked = world->asker_count;
    world_load(world, 100, 1000);
    world_run(world, 100);
    assert_int_equal(world_count(world, asked, PLACES_OK), world->asker_count - asked);
    assert_int_equal(world->notices[BROKER_NOTICE_MENDED], 1);
}

static void test_an_outage_that_refuses(void **state)
{
    check_outage(*state, "refuses", 600);
}

static void test_an_outage_that_hangs(void **state)
{
    check_outage(*state, "hangs", 600);
}

static void test_what_waits_fails_when_the_circuit_opens(void **state)
{
    struct world *world = *state;
    world->weather.status = PLACES_UNKNOWN_ERROR;
    for (int i = 0; i < 100; i++)
        world_ask(world, i);
    world_run(world, 50);
    assert_metric(world, calls_waiting, 0);
    world_run(world, 50); /* the few that had taken the place of the first ones */
    assert_int_equal(broker_circuit(world->broker), CIRCUIT_OPEN);
    assert_metric(world, circuit, 1);
    assert_metric(world, circuit_opened_total, 1);
    assert_int_equal(world_count(world, 0, PLACES_UNKNOWN_ERROR), 100);
    int64_t without_call = 100 - world->calls_total;
    assert_in_range(without_call, 50, 68);
    assert_metric(world, refused_circuit_total, without_call);
    size_t next = world_ask(world, 200);
    assert_int_equal(world->askers[next].answered_ms, world->now.ms);
    assert_metric(world, refused_circuit_total, without_call + 1);
}

/* Its time is over, but it was called once. */
static void test_what_waits_to_be_called_again_is_not_counted_as_refused(void **state)
{
    struct world *world = *state;
    world->limits.calls_max = 1;
    world->limits.retry_min_ms = world->limits.retry_max_ms = 10;
    world->limits.breaker_failures = 2;
    world_configure(world, false);
    world->weather.status = PLACES_UNKNOWN_ERROR;
    world->weather.after_ms = 50;
    world_ask(world, 0);
    world_ask(world, 1);
    world_run(world, 70); /* the first has failed, and waits for the second */
    assert_metric(world, retries_total, 1);
    assert_metric(world, calls_waiting, 1);
    world_ask(world, 2);
    world_run(world, 30);
    assert_int_equal(broker_circuit(world->broker), CIRCUIT_OPEN);
    assert_int_equal(world_count(world, 0, PLACES_UNKNOWN_ERROR), 3);
    assert_metric(world, refused_circuit_total, 1);
}

static void test_a_reload_tries_at_once(void **state)
{
    struct world *world = *state;
    world->weather.status = PLACES_UNKNOWN_ERROR;
    for (int i = 0; i < 10; i++)
        world_ask(world, i);
    world_run(world, 3000);
    assert_int_equal(broker_circuit(world->broker), CIRCUIT_OPEN);
    world->weather.status = PLACES_OK;
    world_configure(world, false);
    size_t next = world_ask(world, 100);
    world_run(world, 50);
    assert_int_equal(world->askers[next].status, PLACES_OK);
    assert_int_equal(broker_circuit(world->broker), CIRCUIT_CLOSED);
}

static void test_an_answer_in_between_keeps_it_closed(void **state)
{
    struct world *world = *state;
    world->limits.attempts_max = 1;
    world_configure(world, false);
    for (int i = 0; i < 100; i++) {
        world->weather.status = i % 5 == 4 ? PLACES_ZERO_RESULTS : PLACES_UNKNOWN_ERROR;
        world_ask(world, i);
        world_run(world, 60);
        assert_int_equal(broker_circuit(world->broker), CIRCUIT_CLOSED);
    }
    world->weather.status = PLACES_INVALID_REQUEST; /* an answer too */
    for (int i = 0; i < 10; i++)
        world_ask(world, i);
    world_run(world, 60);
    assert_int_equal(broker_circuit(world->broker), CIRCUIT_CLOSED);
}

static void test_a_probe_that_is_not_made_leaves_the_next_one_free(void **state)
{
    struct world *world = *state;
    world->limits.calls_per_client = 1;
    world->limits.attempts_max = 1;
    world_configure(world, false);
    world_ask_as(world, 50, 5); /* takes the one that this client has in a minute */
    world_run(world, 100);
    world->weather.status = PLACES_UNKNOWN_ERROR;
    for (int i = 0; i < 5; i++)
        world_ask(world, i);
    world_run(world, 30000 + 6100);
    world->weather.status = PLACES_OK;
    assert_int_equal(world->calls_total, 6);
    world_ask_as(world, 100, 5); /* would be the probe */
    assert_int_equal(world->limited[PLACES_LIMIT_CLIENT], 1);
    assert_int_equal(broker_circuit(world->broker), CIRCUIT_OPEN);
    world_ask_as(world, 101, 6);
    world_run(world, 100);
    assert_int_equal(broker_circuit(world->broker), CIRCUIT_CLOSED);
    assert_int_equal(world->calls_total, 7);
}

/* ---- What the provider says of all calls ---------------------------------------------------- */

static void check_pause(struct world *world, int64_t said_ms, int64_t expected_ms)
{
    world->weather = (struct weather){
        .status = PLACES_OVER_QUERY_LIMIT, .after_ms = 50, .retry_after_ms = said_ms};
    size_t first = world_ask(world, (int)world->asker_count);
    world_run(world, 50);
    assert_int_equal(world->askers[first].status, PLACES_OVER_QUERY_LIMIT);
    int64_t calls = world->calls_total;
    world->weather = (struct weather){.status = PLACES_OK, .after_ms = 50, .retry_after_ms = -1};
    world_load(world, 1, expected_ms / 1000 * 1000);
    assert_int_equal(world->calls_total, calls);
    assert_int_equal(world_count(world, first, PLACES_OVER_QUERY_LIMIT),
                     world->asker_count - first);
    world_run(world, expected_ms % 1000);
    size_t next = world_ask(world, (int)world->asker_count);
    world_run(world, 50);
    assert_int_equal(world->askers[next].status, PLACES_OK);
}

static void test_quota(void **state)
{
    struct world *world = *state;
    check_pause(world, -1, 60000);
    check_pause(world, 41000, 41000);
    check_pause(world, 24 * 60 * 60 * 1000, BROKER_PAUSE_MAX_MS);
    check_pause(world, 0, BROKER_PAUSE_MIN_MS);
    assert_int_equal(world->notices[BROKER_NOTICE_PAUSED], 4);
    assert_int_equal(broker_circuit(world->broker), CIRCUIT_CLOSED);
}

static void test_a_refused_key_is_not_tried_until_a_reload(void **state)
{
    struct world *world = *state;
    world->weather.status = PLACES_REQUEST_DENIED;
    world_load(world, 100, 1000);
    int64_t calls = world->calls_total;
    assert_true(calls <= 6); /* those that were made before the first one came back */
    world_load(world, 1, 1000000);
    assert_int_equal(world->calls_total, calls);
    assert_int_equal(world_count(world, 0, PLACES_REQUEST_DENIED), world->asker_count);
    assert_metric(world, refused_key_total, (int64_t)world->asker_count - calls);
    world->weather.status = PLACES_OK;
    world_configure(world, false);
    size_t next = world_ask(world, 0);
    world_run(world, 50);
    assert_int_equal(world->askers[next].status, PLACES_OK);
}

/* The server stops: with a provider that hangs and a minute for an answer, who has asked has his at
 * the time that is left, who asks before it too, and who comes later at once; and no call is made
 * that nobody can wait for. */
static void test_a_stop_answers_all_in_time(void **state)
{
    struct world *world = *state;
    world->limits.answer_within_ms = 57000;
    world_configure(world, false);
    world->weather.after_ms = -1;
    for (int i = 0; i < 100; i++)
        world_ask(world, i);
    world_run(world, 1000);
    int64_t until_ms = world->now.ms + 3000;
    broker_hurry(world->broker, until_ms);
    world_run(world, 1000);
    for (int i = 0; i < 10; i++)
        world_ask(world, 50 + 10 * i);
    assert_int_equal(world->answered_count, 0);
    world_run(world, 2000);
    assert_int_equal(world->answered_count, 110);
    for (size_t i = 0; i < 110; i++)
        assert_int_equal(world->askers[i].answered_ms, until_ms);
    int64_t calls = world->calls_total;
    size_t late = world_ask(world, 1000);
    assert_int_equal(world->askers[late].answered_ms, world->now.ms);
    assert_int_equal(world->askers[late].status, PLACES_UNKNOWN_ERROR);
    assert_int_equal(world->calls_total, calls);
    assert_metric(world, timeouts_total, 33); /* the circuit opens: the others had no call */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(test_a_thousand_askers_of_one_place_are_one_call),
        WORLD_TEST(test_calls_are_limited_and_the_rest_waits),
        WORLD_TEST(test_a_failed_call_is_made_again_after_a_while),
        WORLD_TEST(test_a_provider_that_says_when_is_not_asked_before),
        WORLD_TEST(test_no_third_attempt),
        WORLD_TEST(test_an_answer_that_cost_its_call_is_not_asked_again),
        WORLD_TEST(test_delays_are_jittered_over_the_whole_range),
        WORLD_TEST(test_retries_are_a_tenth_of_the_calls),
        WORLD_TEST(test_what_is_never_in_time_is_cancelled),
        WORLD_TEST(test_an_outage_that_refuses),
        WORLD_TEST(test_an_outage_that_hangs),
        WORLD_TEST(test_what_waits_fails_when_the_circuit_opens),
        WORLD_TEST(test_what_waits_to_be_called_again_is_not_counted_as_refused),
        WORLD_TEST(test_a_reload_tries_at_once),
        WORLD_TEST(test_an_answer_in_between_keeps_it_closed),
        WORLD_TEST(test_a_probe_that_is_not_made_leaves_the_next_one_free),
        WORLD_TEST(test_quota),
        WORLD_TEST(test_a_refused_key_is_not_tried_until_a_reload),
        WORLD_TEST(test_a_stop_answers_all_in_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
