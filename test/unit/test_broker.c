/* The broker under virtual time: calls shared, limited, repeated, kept back and counted. */
#include "broker_world.h"

#include <stdlib.h>

static int set_up(void **state)
{
    struct world *world = malloc(sizeof *world);
    assert_non_null(world);
    world_begin(world, 17);
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    world_end(*state);
    free(*state);
    return 0;
}

static size_t count_status(const struct world *world, size_t from, enum places_status status)
{
    size_t count = 0;
    for (size_t i = from; i < world->asker_count; i++)
        count += world->askers[i].answered_ms >= 0 && world->askers[i].status == status;
    return count;
}

static void test_a_thousand_askers_of_one_place_are_one_call(void **state)
{
    struct world *world = *state;
    for (int i = 0; i < 1000; i++)
        world_ask(world, 7);
    world_run(world, 1000);
    assert_int_equal(world->calls_total, 1);
    assert_int_equal(count_status(world, 0, PLACES_OK), 1000);
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
    size_t shares = world_ask(world, 31); /* who needs no call of his own is not refused */
    assert_int_equal(world->askers[shares].answered_ms, -1);
    world_run(world, 2000);
    assert_int_equal(count_status(world, 0, PLACES_OK), 32 + 256 + 1);
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

/* ---- The circuit -------------------------------------------------------------------------------
 */

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
    assert_true(count_status(world, asked, PLACES_OK) >= 1);
    asked = world->asker_count;
    world_load(world, 100, 1000);
    world_run(world, 100);
    assert_int_equal(count_status(world, asked, PLACES_OK), world->asker_count - asked);
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
    assert_int_equal(count_status(world, 0, PLACES_UNKNOWN_ERROR), 100);
    size_t next = world_ask(world, 200);
    assert_int_equal(world->askers[next].answered_ms, world->now.ms);
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
    world->weather.status = PLACES_UNKNOWN_ERROR;
    for (int i = 0; i < 5; i++)
        world_ask(world, i);
    world_run(world, 30000 + 6100);
    world->weather.status = PLACES_OK;
    assert_int_equal(world->calls_total, 5);
    for (int i = 0; i < 2; i++) { /* the second one has no token left for a probe */
        world_ask_as(world, 100 + i, 5);
        world_run(world, 100);
        world_run(world, i == 0 ? 0 : 100);
    }
    assert_int_equal(broker_circuit(world->broker), CIRCUIT_CLOSED);
    assert_int_equal(world->calls_total, 6);
}

/* ---- What the provider says of all calls
 * --------------------------------------------------------- */

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
    assert_int_equal(count_status(world, first, PLACES_OVER_QUERY_LIMIT),
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
    assert_int_equal(world->notices[BROKER_NOTICE_PAUSED], 3);
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
    assert_int_equal(count_status(world, 0, PLACES_REQUEST_DENIED), world->asker_count);
    world->weather.status = PLACES_OK;
    world_configure(world, false);
    size_t next = world_ask(world, 0);
    world_run(world, 50);
    assert_int_equal(world->askers[next].status, PLACES_OK);
}

/* ---- Caps
 * ---------------------------------------------------------------------------------------- */

static void test_the_calls_of_a_day(void **state)
{
    struct world *world = *state;
    world->limits.calls_per_day = 100;
    world_configure(world, false);
    world_load(world, 10, 60000);
    assert_int_equal(world->calls_total, 100);
    assert_int_equal(world->disk.calls, 100);
    assert_int_equal(world->disk.day, WORLD_DAY);
    assert_metric(world, calls_today, 100);
    assert_true(world->notices[BROKER_NOTICE_USED_UP] > 0);
    assert_int_equal(count_status(world, 0, PLACES_OVER_QUERY_LIMIT), 500);
    world->now.day++;
    world_load(world, 10, 60000);
    assert_int_equal(world->calls_total, 200);
}

/* Killed at any moment, again and again: never more, and never much less. */
static void test_the_calls_of_a_day_over_kills(void **state)
{
    struct world *world = *state;
    world->limits.calls_per_day = 1000;
    world_configure(world, false);
    int kills = 0;
    for (; kills < 12; kills++) {
        world_load(world, 20, (int64_t)rng_below(&world->rng, 2000));
        world_kill(world);
    }
    world_load(world, 20, 100000);
    print_message("1,000 calls a day, %d kills: %lld calls\n", kills,
                  (long long)world->calls_total);
    assert_true(world->calls_total <= 1000);
    assert_true(world->calls_total >= 1000 - kills * 93); /* a block and a half each */
    assert_int_equal(world->disk.calls, 1000);
}

static void test_a_small_cap(void **state)
{
    struct world *world = *state;
    world->limits.calls_per_day = 1;
    world_configure(world, false);
    world_load(world, 10, 5000);
    assert_int_equal(world->calls_total, 1);
    world_kill(world);
    world_load(world, 10, 5000);
    assert_int_equal(world->calls_total, 1);
}

static void test_the_clock_is_set(void **state)
{
    struct world *world = *state;
    world->limits.calls_per_day = 10;
    world_configure(world, false);
    world_load(world, 10, 5000);
    world->now.day--; /* yesterday's calls were made already */
    world_load(world, 10, 5000);
    assert_int_equal(world->calls_total, 10);
    world->now.day -= 3000; /* it was eight years ahead: those calls are today's */
    world_load(world, 10, 5000);
    assert_int_equal(world->calls_total, 10);
    world->now.day++;
    world_load(world, 10, 5000);
    assert_int_equal(world->calls_total, 20);
}

static void test_nothing_is_reserved_that_nobody_asked_for(void **state)
{
    struct world *world = *state;
    world->limits.calls_per_day = 1000;
    world_configure(world, false);
    world_run(world, 100000);
    assert_int_equal(world->disk.calls, 0);
    world_ask(world, 1);
    world_run(world, 1000);
    struct allowance_record last;
    assert_true(broker_final(world->broker, &last));
    assert_int_equal(last.calls, 1);
}

static void test_no_call_when_it_cannot_be_counted(void **state)
{
    struct world *world = *state;
    world->limits.calls_per_day = 1000;
    world_configure(world, false);
    world->disk_is_full = true;
    size_t asker = world_ask(world, 1);
    world_run(world, 100);
    assert_int_equal(world->calls_total, 0);
    assert_int_equal(world->askers[asker].status, PLACES_OVER_QUERY_LIMIT);
    assert_int_equal(world->notices[BROKER_NOTICE_UNWRITTEN], 1);
    world->disk_is_full = false;
    asker = world_ask(world, 2);
    world_run(world, 100);
    assert_int_equal(world->askers[asker].status, PLACES_OK);
}

static void test_the_calls_of_a_client(void **state)
{
    struct world *world = *state;
    world->limits.calls_per_client = 10;
    world_configure(world, false);
    for (int i = 0; i < 50; i++)
        world_ask_as(world, i, 1);
    for (int i = 0; i < 5; i++)
        world_ask_as(world, 1000 + i, 2);
    world_run(world, 1000);
    assert_int_equal(world->calls_total, 15);
    assert_metric(world, refused_client_total, 40);
    world_run(world, 12000); /* a fifth of a minute: two tokens */
    for (int i = 0; i < 50; i++)
        world_ask_as(world, 2000 + i, 1);
    assert_int_equal(world->calls_total, 17);
}

/* ---- Instead of an error
 * ------------------------------------------------------------------------- */

static void allow_cache(struct world *world, int64_t max_bytes)
{
    world->limits.cache_max_bytes = max_bytes;
    world->limits.cache_fresh_ms = 60000;
    world->limits.cache_stale_ms = 600000;
    world_configure(world, false);
}

static void test_cache(void **state)
{
    struct world *world = *state;
    allow_cache(world, 1 << 20);
    world_ask(world, 1);
    world_run(world, 1000);
    size_t fresh = world_ask(world, 1);
    assert_int_equal(world->askers[fresh].status, PLACES_OK);
    assert_int_equal(world->askers[fresh].answered_ms, world->now.ms);
    assert_metric(world, cached_total, 1);
    assert_true(world->metrics.value[METRIC_places_cache_bytes] > 0);
    world_run(world, 60000); /* no longer fresh: called, and when that fails, good enough */
    world->weather.status = PLACES_UNKNOWN_ERROR;
    size_t stale = world_ask(world, 1);
    world_run(world, 2850);
    assert_int_equal(world->askers[stale].status, PLACES_OK);
    assert_metric(world, stale_total, 1);
    assert_int_equal(world->calls_total, 3);
    world_run(world, 600000);
    size_t too_old = world_ask(world, 1);
    world_run(world, 2850);
    assert_int_equal(world->askers[too_old].status, PLACES_UNKNOWN_ERROR);
    world_configure(world, true); /* another provider's answers are another's */
    broker_measure(world->broker);
    assert_metric(world, cache_bytes, 0);
}

static void test_cache_is_bounded_and_keeps_what_is_used(void **state)
{
    struct world *world = *state;
    allow_cache(world, 4096);
    for (int i = 0; i < 200; i++) {
        world_ask(world, i);
        world_run(world, 60);
        size_t again = world_ask(world, 0);
        assert_int_equal(world->askers[again].answered_ms, world->now.ms);
        assert_true(world->metrics.value[METRIC_places_cache_bytes] <= 4096);
    }
    assert_int_equal(world->calls_total, 200);
    world_ask(world, 1); /* gone meanwhile */
    assert_int_equal(world->calls_total, 201);
}

static void test_fallback(void **state)
{
    struct world *world = *state;
    world->limits.has_fallback = true;
    world_configure(world, false);
    static const enum places_status failures[] = {PLACES_UNKNOWN_ERROR, PLACES_OVER_QUERY_LIMIT,
                                                  PLACES_REQUEST_DENIED};
    for (size_t i = 0; i < sizeof failures / sizeof failures[0]; i++) {
        world->weather.status = failures[i];
        size_t asker = world_ask(world, (int)i);
        world_run(world, 2850);
        assert_true(world->askers[asker].is_fallback);
        assert_int_equal(world->askers[asker].status, failures[i]);
        asker = world_ask(world, 100 + (int)i); /* refused at once, the last two times */
        world_run(world, 2850);
        assert_true(world->askers[asker].is_fallback);
        world_configure(world, true);
    }
    world->weather.status = PLACES_INVALID_REQUEST;
    size_t asker = world_ask(world, 50);
    world_run(world, 2850);
    assert_false(world->askers[asker].is_fallback);
    assert_metric(world, fallback_total, 6);
}

/* ---- All together
 * --------------------------------------------------------------------------------- */

static void change_weather(struct world *world)
{
    static const int64_t after_ms[] = {0, 1, 50, 500, 2849, 2850, 2851, 5000, -1};
    world->weather = (struct weather){
        .status =
            rng_below(&world->rng, 2) ? PLACES_OK : (enum places_status)rng_below(&world->rng, 6),
        .after_ms = after_ms[rng_below(&world->rng, sizeof after_ms / sizeof after_ms[0])],
        .retry_after_ms = rng_below(&world->rng, 2) ? -1 : (int64_t)rng_below(&world->rng, 3000),
        .fails_percent = (int)rng_below(&world->rng, 100),
        .is_final = rng_below(&world->rng, 2),
    };
}

static void run_seed(struct world *world, uint64_t seed)
{
    world_begin(world, seed);
    world->limits.calls_max = 1 + (int64_t)rng_below(&world->rng, 8);
    world->limits.waiting_max = (int64_t)rng_below(&world->rng, 8);
    world->limits.breaker_open_ms = 1000;
    world->limits.calls_per_day = (int64_t)rng_below(&world->rng, 3) * 100;
    world->limits.calls_per_client = (int64_t)rng_below(&world->rng, 2) * 100;
    world->limits.has_fallback = rng_below(&world->rng, 2);
    if (rng_below(&world->rng, 2))
        allow_cache(world, 2000);
    world_configure(world, false);
    int64_t calls_of_day = 0;
    for (int i = 0; i < 200; i++) {
        int64_t before = world->calls_total;
        change_weather(world);
        world->disk_is_full = rng_below(&world->rng, 8) == 0;
        for (uint64_t j = rng_below(&world->rng, 20); j > 0; j--) {
            world_ask_as(world, (int)rng_below(&world->rng, 10), rng_below(&world->rng, 3));
            world_run(world, (int64_t)rng_below(&world->rng, 400));
        }
        calls_of_day += world->calls_total - before;
        if (world->limits.calls_per_day > 0)
            assert_true(calls_of_day <= world->limits.calls_per_day);
        if (rng_below(&world->rng, 20) == 0)
            world_configure(world, rng_below(&world->rng, 2));
        if (rng_below(&world->rng, 30) == 0)
            world_kill(world);
        if (rng_below(&world->rng, 30) == 0) {
            world->now.day++;
            calls_of_day = 0;
        }
    }
    world_end(world);
}

static void test_swarm(void **state)
{
    (void)state;
    struct world *world = malloc(sizeof *world);
    assert_non_null(world);
    for (uint64_t seed = 1; seed <= 300; seed++)
        run_seed(world, seed);
    free(world);
}

#define WORLD_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(test_a_thousand_askers_of_one_place_are_one_call),
        WORLD_TEST(test_calls_are_limited_and_the_rest_waits),
        WORLD_TEST(test_a_failed_call_is_made_again_after_a_while),
        WORLD_TEST(test_no_third_attempt),
        WORLD_TEST(test_an_answer_that_cost_its_call_is_not_asked_again),
        WORLD_TEST(test_delays_are_jittered_over_the_whole_range),
        WORLD_TEST(test_retries_are_a_tenth_of_the_calls),
        WORLD_TEST(test_what_is_never_in_time_is_cancelled),
        WORLD_TEST(test_an_outage_that_refuses),
        WORLD_TEST(test_an_outage_that_hangs),
        WORLD_TEST(test_what_waits_fails_when_the_circuit_opens),
        WORLD_TEST(test_a_reload_tries_at_once),
        WORLD_TEST(test_an_answer_in_between_keeps_it_closed),
        WORLD_TEST(test_a_probe_that_is_not_made_leaves_the_next_one_free),
        WORLD_TEST(test_quota),
        WORLD_TEST(test_a_refused_key_is_not_tried_until_a_reload),
        WORLD_TEST(test_the_calls_of_a_day),
        WORLD_TEST(test_the_calls_of_a_day_over_kills),
        WORLD_TEST(test_a_small_cap),
        WORLD_TEST(test_the_clock_is_set),
        WORLD_TEST(test_nothing_is_reserved_that_nobody_asked_for),
        WORLD_TEST(test_no_call_when_it_cannot_be_counted),
        WORLD_TEST(test_the_calls_of_a_client),
        WORLD_TEST(test_cache),
        WORLD_TEST(test_cache_is_bounded_and_keeps_what_is_used),
        WORLD_TEST(test_fallback),
        cmocka_unit_test(test_swarm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
