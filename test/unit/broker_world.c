#include "broker_world.h"

#include <stdlib.h>

static struct broker_limits default_limits(void)
{
    return (struct broker_limits){
        .answer_within_ms = 2850,
        .calls_max = 32,
        .waiting_max = 256,
        .attempts_max = 2,
        .retry_min_ms = 100,
        .retry_max_ms = 2000,
        .retry_percent = 10,
        .retry_min = 3,
        .breaker_failures = 5,
        .breaker_open_ms = 30000,
        .quota_pause_ms = 60000,
    };
}

void world_begin(struct world *world, uint64_t seed)
{
    memset(world, 0, sizeof *world);
    world->limits = default_limits();
    world->rng.state = seed;
    world->now = (struct broker_now){1000000, WORLD_DAY};
    world->written_at_ms = INT64_MAX;
    world->weather = (struct weather){.status = PLACES_OK, .after_ms = 50, .retry_after_ms = -1};
    assert_int_equal(
        broker_new(&world->limits, rng_next(&world->rng), &world->metrics, &world->broker), 0);
}

void world_configure(struct world *world, bool is_other_provider)
{
    broker_configure(world->broker, &world->limits, is_other_provider);
}

static struct places_answer *make_answer(struct world *world, enum places_status status)
{
    struct places_answer *answer = places_answer_new(status);
    places_answer_set_failure(
        answer, (struct places_failure){world->weather.retry_after_ms, world->weather.is_final});
    if (status == PLACES_OK)
        places_answer_add_rendered(answer, herd_slice_of("{}"));
    else
        places_answer_set_error(answer, "as the weather is");
    return answer;
}

static void on_call(struct world *world, const struct broker_effect *effect)
{
    const struct weather *weather = &world->weather;
    bool fails = (int)rng_below(&world->rng, 100) < weather->fails_percent;
    assert_true(world->call_count < WORLD_CALLS);
    world->calls[world->call_count++] = (struct world_call){
        .call = effect->call,
        .query = effect->query,
        .due_ms = weather->after_ms < 0 ? INT64_MAX : world->now.ms + weather->after_ms,
        .status = fails ? PLACES_UNKNOWN_ERROR : weather->status,
    };
    if (world->calls_total < WORLD_TIMES)
        world->call_times_ms[world->calls_total] = world->now.ms;
    world->calls_total++;
    if ((int64_t)world->call_count > world->open_max)
        world->open_max = (int64_t)world->call_count;
    assert_true(world->open_max <= world->limits.calls_max);
}

static void on_cancel(struct world *world, const struct broker_effect *effect)
{
    for (size_t i = 0; i < world->call_count; i++) {
        if (world->calls[i].call != effect->call)
            continue;
        world->calls[i].due_ms = world->now.ms + 1; /* it takes the provider a moment */
        world->calls[i].status = PLACES_UNKNOWN_ERROR;
        return;
    }
    fail_msg("a call was cancelled that is not under way");
}

static void on_answer(struct world *world, const struct broker_effect *effect)
{
    struct world_asker *asker = effect->asker;
    assert_int_equal(asker->answered_ms, -1);
    asker->answered_ms = world->now.ms;
    asker->status = places_answer_status(effect->answer);
    asker->is_fallback = effect->kind == BROKER_FALLBACK;
    asker->fallback_until_ms = effect->until_ms;
    world->limited[effect->limit]++;
    places_answer_unref(effect->answer);
    world->answered_count++;
    world->refused_count += asker->answered_ms == asker->asked_ms && asker->status != PLACES_OK;
}

static void take_effects(struct world *world)
{
    struct broker_effect effect;
    while (broker_effect(world->broker, &effect)) {
        if (effect.kind == BROKER_CALL)
            on_call(world, &effect);
        else if (effect.kind == BROKER_CANCEL)
            on_cancel(world, &effect);
        else if (effect.kind == BROKER_NOTE)
            world->notices[effect.notice]++;
        else if (effect.kind == BROKER_RESERVE) {
            assert_int_equal(world->written_at_ms, INT64_MAX); /* one at a time */
            world->writing = effect.record;
            world->written_at_ms = world->now.ms + 5;
        } else {
            on_answer(world, &effect);
        }
    }
    broker_measure(world->broker, world->now);
}

size_t world_ask_as(struct world *world, int place, uint64_t client)
{
    const struct places_query query = {place / 1000.0, 1, 1000};
    struct world_asker *asker = &world->askers[world->asker_count];
    assert_true(world->asker_count < WORLD_ASKERS);
    *asker = (struct world_asker){.asked_ms = world->now.ms, .answered_ms = -1};
    size_t before = world->answered_count;
    assert_int_equal(broker_ask(world->broker, world->now, &query, client, asker), 0);
    assert_int_equal(world->answered_count, before); /* never inside the call */
    take_effects(world);
    return world->asker_count++;
}

size_t world_ask(struct world *world, int place)
{
    return world_ask_as(world, place, 0);
}

static int64_t next_event_ms(const struct world *world)
{
    int64_t at_ms = broker_wakeup(world->broker);
    if (world->written_at_ms < at_ms)
        at_ms = world->written_at_ms;
    for (size_t i = 0; i < world->call_count; i++) {
        if (world->calls[i].due_ms < at_ms)
            at_ms = world->calls[i].due_ms;
    }
    return at_ms;
}

static void end_due_calls(struct world *world)
{
    for (size_t i = 0; i < world->call_count;) {
        struct world_call due = world->calls[i];
        if (due.due_ms > world->now.ms) {
            i++;
            continue;
        }
        world->calls[i] = world->calls[--world->call_count];
        broker_called(world->broker, world->now, due.call, make_answer(world, due.status));
        take_effects(world);
    }
}

static void end_writing(struct world *world)
{
    if (world->written_at_ms > world->now.ms)
        return;
    world->written_at_ms = INT64_MAX;
    if (!world->disk_is_full)
        world->disk = world->writing;
    broker_reserved(world->broker, world->now, &world->writing, !world->disk_is_full);
    take_effects(world);
}

void world_run(struct world *world, int64_t ms)
{
    int64_t end_ms = world->now.ms + ms, at_ms;
    while ((at_ms = next_event_ms(world)) <= end_ms) {
        if (at_ms > world->now.ms)
            world->now.ms = at_ms;
        end_writing(world);
        end_due_calls(world);
        broker_tick(world->broker, world->now);
        take_effects(world);
    }
    world->now.ms = end_ms;
}

void world_load(struct world *world, int per_s, int64_t ms)
{
    int64_t begin_ms = world->now.ms;
    for (int64_t i = 0; i * 1000 / per_s < ms; i++) {
        world_run(world, begin_ms + i * 1000 / per_s - world->now.ms);
        world_ask(world, (int)world->asker_count);
    }
    world_run(world, begin_ms + ms - world->now.ms);
}

static void stop(struct world *world)
{
    broker_stop(world->broker);
    take_effects(world);
    for (size_t i = 0; i < world->call_count; i++)
        world->calls[i].due_ms = world->now.ms;
    end_due_calls(world);
    broker_free(world->broker);
}

void world_kill(struct world *world)
{
    stop(world); /* what it says on its way reaches nobody */
    world->written_at_ms = INT64_MAX;
    assert_int_equal(
        broker_new(&world->limits, rng_next(&world->rng), &world->metrics, &world->broker), 0);
    broker_load(world->broker, &world->disk);
}

/* Each asker was answered once, in time. */
void world_end(struct world *world)
{
    stop(world);
    assert_int_equal(world->answered_count, world->asker_count);
    for (size_t i = 0; i < world->asker_count; i++) {
        int64_t took_ms = world->askers[i].answered_ms - world->askers[i].asked_ms;
        if (took_ms > world->limits.answer_within_ms)
            fail_msg("asker %zu waited %lld ms", i, (long long)took_ms);
    }
}

size_t world_count(const struct world *world, size_t from, enum places_status status)
{
    size_t count = 0;
    for (size_t i = from; i < world->asker_count; i++)
        count += world->askers[i].answered_ms >= 0 && world->askers[i].status == status;
    return count;
}

int world_setup(void **state)
{
    struct world *world = malloc(sizeof *world);
    assert_non_null(world);
    world_begin(world, 17);
    *state = world;
    return 0;
}

int world_teardown(void **state)
{
    world_end(*state);
    free(*state);
    return 0;
}
