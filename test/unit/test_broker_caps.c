/* The broker under virtual time: caps of a day and of a client, what is given instead of an error, and
 * all of it together at random. */
#include "broker_world.h"

#include <stdlib.h>

#include "places/broker_limits.h"

/* ---- Caps ----------------------------------------------------------------------------------- */

static void test_the_calls_of_a_day(void **state)
{
    struct world *world = *state;
    world->limits.calls_per_day = 100;
    world_configure(world, false);
    world_load(world, 10, 60000);
    assert_int_equal(world->calls_total, 100);
    assert_int_equal(world->disk.days[0].calls, 100);
    assert_int_equal(world->disk.days[0].day, WORLD_DAY);
    assert_metric(world, calls_today, 100);
    assert_int_equal(world->notices[BROKER_NOTICE_USED_UP], 1); /* not with each question */
    assert_int_equal(world_count(world, 0, PLACES_OVER_QUERY_LIMIT), 500);
    assert_metric(world, refused_day_total, 500);
    world->now.day++;
    broker_measure(world->broker, world->now); /* before anybody asks */
    assert_metric(world, calls_today, 0);
    world_load(world, 10, 60000);
    assert_int_equal(world->calls_total, 200);
    assert_metric(world, calls_today, 100);
    assert_int_equal(world->notices[BROKER_NOTICE_USED_UP], 2);
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
    assert_int_equal(world->disk.days[0].calls, 1000);
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

/* A clock that is ahead, and set right again: the calls of the real day are not forgotten. */
static void test_the_clock_is_ahead_for_a_while(void **state)
{
    struct world *world = *state;
    world->limits.calls_per_day = 10;
    world_configure(world, false);
    world_load(world, 10, 600);
    assert_int_equal(world->calls_total, 6);
    world->now.day++;
    world_load(world, 10, 300);
    assert_int_equal(world->calls_total, 9);
    world->now.day--;
    world_load(world, 10, 5000);
    assert_int_equal(world->calls_total, 10);
    assert_metric(world, calls_today, 10);
    world->now.day++; /* the last four count here too: they may have been of this day */
    world_load(world, 10, 5000);
    assert_int_equal(world->calls_total, 16);
    world->now.day++;
    world_load(world, 10, 5000);
    assert_int_equal(world->calls_total, 26);
    world->now.day -= 2;
    world_load(world, 10, 5000);
    assert_int_equal(world->calls_total, 26);
}

/* Over steps to several days, there and back, with kills in between: what was called in one real day
 * is never more than its cap. */
static void test_a_clock_that_wanders(void **state)
{
    static const int64_t steps[][6] = {
        {1, -1, 1, -1, 0, 0},         /* ahead by a day, twice */
        {3, -2, -1, 2, -2, 0},        /* several days ahead, and back bit by bit */
        {-1, 1, -1, 1, 0, 0},         /* behind, and right again */
        {-20000, 20000, -1, 1, 0, 0}, /* a machine that knows no time when it starts */
        {7, -7, 100, -100, 5000, -5000},
    };
    struct world *world = *state;
    world->limits.calls_per_day = 20;
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        for (int is_killed = 0; is_killed < 2; is_killed++) {
            world->now.day += 30;
            world_configure(world, false);
            world_load(world, 10, 500);
            int64_t before = world->calls_total - 5;
            for (size_t step = 0; step < 6; step++) {
                world->now.day += steps[i][step];
                if (is_killed)
                    world_kill(world);
                world_load(world, 10, 300);
                assert_true(world->calls_total - before <= 20);
            }
            world_load(world, 10, 5000);
            assert_true(world->calls_total - before <= 20);
            assert_true(is_killed || world->calls_total - before == 20);
            assert_true(world->disk.count <= ALLOWANCE_DAYS);
        }
    }
}

/* The clock was behind when a day began that nobody has counted in yet. */
static void test_a_clock_that_jumps_to_a_new_day(void **state)
{
    struct world *world = *state;
    world->limits.calls_per_day = 20;
    world_configure(world, false);
    world_load(world, 10, 500);
    world->now.day -= 20000;
    world_load(world, 10, 500); /* today's are counted on */
    assert_int_equal(world->calls_total, 10);
    assert_metric(world, calls_today, 10);
    world->now.day +=
        20001; /* the five since the start are this day's, the five of the day before are not */
    broker_measure(world->broker, world->now);
    assert_metric(world, calls_today, 5);
    world_load(world, 10, 5000);
    assert_int_equal(world->calls_total, 25);
}

/* The records of both days would be written at once, and the older one might come last. */
static void test_midnight_comes_while_calls_are_reserved(void **state)
{
    struct world *world = *state;
    world->limits.calls_per_day = 10;
    world_configure(world, false);
    world_ask_as(world, 1, 1);
    assert_true(world->written_at_ms != INT64_MAX);
    world->now.day++;
    world_ask_as(world, 2, 2);
    world_run(world, 1000);
    assert_int_equal(world->calls_total, 2);
    assert_int_equal(world->writing.days[0].day, world->now.day);
}

static void test_nothing_is_reserved_that_nobody_asked_for(void **state)
{
    struct world *world = *state;
    world->limits.calls_per_day = 1000;
    world_configure(world, false);
    world_run(world, 100000);
    assert_int_equal(world->disk.days[0].calls, 0);
    world_ask(world, 1);
    world_run(world, 1000);
    struct allowance_record last;
    assert_true(broker_final(world->broker, &last));
    assert_int_equal(last.days[0].calls, 1);
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
    world_ask(world, 3);
    world_run(world, 100);
    assert_int_equal(world->notices[BROKER_NOTICE_UNWRITTEN], 1);
    assert_metric(world, refused_day_total, 2);
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
    assert_int_equal(world->limited[PLACES_LIMIT_CLIENT], 40);
    world_run(world, 12000); /* a fifth of a minute: two tokens */
    for (int i = 0; i < 50; i++)
        world_ask_as(world, 2000 + i, 1);
    assert_int_equal(world->calls_total, 17);
    world_run(world, 600000); /* who asks nothing for long saves no more than a minute's */
    for (int i = 0; i < 50; i++)
        world_ask_as(world, 3000 + i, 1);
    assert_int_equal(world->calls_total, 27);
}

/* Also of those that have a free call, and wait for it to be written down. */
static void test_the_questions_that_wait_to_be_counted(void **state)
{
    struct world *world = *state;
    world->limits.waiting_max = 5;
    world->limits.calls_per_day = 1000;
    world_configure(world, false);
    for (int i = 0; i < 12; i++)
        world_ask(world, i);
    assert_int_equal(world->calls_total, 0);
    assert_metric(world, refused_total, 7);
    assert_int_equal(world->limited[PLACES_LIMIT_WAITING], 7);
    world_run(world, 1000);
    assert_int_equal(world_count(world, 0, PLACES_OK), 5);
}

/* Those that share a call are held, too; a refused one says why to whoever tells of limits. */
static void test_the_questions_that_are_held(void **state)
{
    struct world *world = *state;
    for (int i = 0; i < BROKER_QUESTIONS_MAX; i++)
        world_ask(world, 1);
    assert_metric(world, refused_total, 0);
    size_t beyond = world_ask(world, 1);
    assert_int_equal(world->askers[beyond].status, PLACES_OVER_QUERY_LIMIT);
    assert_metric(world, refused_total, 1);
    assert_int_equal(world->limited[PLACES_LIMIT_HELD], 1);
    world_run(world, 1000);
    assert_int_equal(world->calls_total, 1);
    assert_int_equal(world->limited[PLACES_LIMIT_NONE], BROKER_QUESTIONS_MAX);
    size_t again = world_ask(world, 1);
    world_run(world, 1000);
    assert_int_equal(world->askers[again].status, PLACES_OK);
}

/* ---- Instead of an error -------------------------------------------------------------------- */

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
    broker_measure(world->broker, world->now);
    assert_metric(world, cache_bytes, 0);
}

/* A key that was refused is remembered until a reload: not by a call that was made before it. */
static void test_a_call_from_before_a_reload_says_nothing_of_the_time_after(void **state)
{
    struct world *world = *state;
    world->weather.status = PLACES_REQUEST_DENIED;
    size_t before = world_ask(world, 1);
    world_configure(world, false);
    world->weather.status = PLACES_OK;
    world_run(world, 1000);
    assert_int_equal(world->askers[before].status, PLACES_REQUEST_DENIED);
    size_t after = world_ask(world, 2);
    world_run(world, 1000);
    assert_int_equal(world->askers[after].status, PLACES_OK);
    assert_int_equal(world->notices[BROKER_NOTICE_REFUSED], 0);

    world_ask(world, 3); /* of a provider that forbids to keep its answers */
    world->limits.cache_max_bytes = 1 << 20;
    world_configure(world, true);
    world_run(world, 1000);
    assert_metric(world, cache_bytes, 0);
    int64_t calls = world->calls_total;
    world_ask(world, 3);
    assert_int_equal(world->calls_total, calls + 1);

    world->weather.status = PLACES_UNKNOWN_ERROR;
    world->limits.breaker_failures = 1;
    world->limits.attempts_max = 1;
    world_configure(world, false);
    world_ask(world, 4);
    world_configure(world, true);
    world_run(world, 1000);
    assert_int_equal(broker_circuit(world->broker), CIRCUIT_CLOSED);
}

/* Who asks after the change has the new provider's answer; who asked before, the old one's. */
static void test_nobody_joins_a_call_to_another_provider(void **state)
{
    struct world *world = *state;
    world->limits.attempts_max = 2;
    world_configure(world, false);
    world->weather.status = PLACES_ZERO_RESULTS;
    world->weather.after_ms = 500;
    size_t before = world_ask(world, 1);
    world_configure(world, false); /* the same provider */
    size_t joins = world_ask(world, 1);
    assert_int_equal(world->calls_total, 1);
    world_configure(world, true);
    world->weather.status = PLACES_OK;
    size_t after = world_ask(world, 1);
    assert_int_equal(world->calls_total, 2);
    size_t joins_after = world_ask(world, 1);
    assert_int_equal(world->calls_total, 2);
    world_run(world, 1000);
    assert_int_equal(world->askers[before].status, PLACES_ZERO_RESULTS);
    assert_int_equal(world->askers[joins].status, PLACES_ZERO_RESULTS);
    assert_int_equal(world->askers[after].status, PLACES_OK);
    assert_int_equal(world->askers[joins_after].status, PLACES_OK);

    world->weather.status = PLACES_UNKNOWN_ERROR; /* a call that is made again */
    size_t again = world_ask(world, 2);
    world_configure(world, true);
    world->weather.status = PLACES_OK;
    size_t other = world_ask(world, 2);
    world_run(world, 2850);
    assert_int_equal(world->askers[again].status, PLACES_OK);
    assert_int_equal(world->askers[other].status, PLACES_OK);
    assert_int_equal(world->calls_total, 5);
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

/* The provider's time and the fallback's are all that there is, and leave something for the way. */
static void test_the_fallback_has_what_the_provider_left(void **state)
{
    struct world *world = *state;
    const struct provider_type type = {.is_remote = true};
    char local[] = "local", none[] = "none";
    struct config_values values = {.places_total_timeout_ms = 3000, .places_fallback = local};
    struct broker_limits limits = broker_limits_of(&values, &type);
    assert_int_equal(limits.answer_within_ms, 2400);
    assert_int_equal(limits.answer_within_ms + limits.fallback_ms, 2850);
    world->limits.has_fallback = true;
    world->limits.answer_within_ms = limits.answer_within_ms;
    world->limits.fallback_ms = limits.fallback_ms;
    world_configure(world, false);
    world->weather.after_ms = -1;
    size_t late = world_ask(world, 1);
    world_run(world, 2850);
    assert_int_equal(world->askers[late].answered_ms, world->askers[late].asked_ms + 2400);
    assert_int_equal(world->askers[late].fallback_until_ms, world->askers[late].asked_ms + 2850);
    world->weather = (struct weather){.status = PLACES_UNKNOWN_ERROR, .is_final = true};
    size_t early = world_ask(world, 2);
    world_run(world, 2850);
    assert_int_equal(world->askers[early].answered_ms, world->askers[early].asked_ms);
    assert_int_equal(world->askers[early].fallback_until_ms, world->askers[early].asked_ms + 2850);
    values.places_fallback = none;
    assert_int_equal(broker_limits_of(&values, &type).answer_within_ms, 2850);
}

/* ---- All together --------------------------------------------------------------------------- */

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(test_the_calls_of_a_day),
        WORLD_TEST(test_the_calls_of_a_day_over_kills),
        WORLD_TEST(test_a_small_cap),
        WORLD_TEST(test_the_clock_is_set),
        WORLD_TEST(test_the_clock_is_ahead_for_a_while),
        WORLD_TEST(test_a_clock_that_wanders),
        WORLD_TEST(test_a_clock_that_jumps_to_a_new_day),
        WORLD_TEST(test_midnight_comes_while_calls_are_reserved),
        WORLD_TEST(test_nothing_is_reserved_that_nobody_asked_for),
        WORLD_TEST(test_no_call_when_it_cannot_be_counted),
        WORLD_TEST(test_the_calls_of_a_client),
        WORLD_TEST(test_the_questions_that_wait_to_be_counted),
        WORLD_TEST(test_the_questions_that_are_held),
        WORLD_TEST(test_cache),
        WORLD_TEST(test_a_call_from_before_a_reload_says_nothing_of_the_time_after),
        WORLD_TEST(test_nobody_joins_a_call_to_another_provider),
        WORLD_TEST(test_cache_is_bounded_and_keeps_what_is_used),
        WORLD_TEST(test_fallback),
        WORLD_TEST(test_the_fallback_has_what_the_provider_left),
        cmocka_unit_test(test_swarm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
