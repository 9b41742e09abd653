/* broker_world.h: a broker under virtual time, with a provider that answers as it is told, a disk
 * that writes, and askers who keep book of what they got. */
#ifndef BROKER_WORLD_H
#define BROKER_WORLD_H

#include "base/metrics.h"
#include "core/rng.h"
#include "places/broker.h"
#include "testing.h"

enum { WORLD_CALLS = 512, WORLD_ASKERS = 1 << 17, WORLD_DAY = 20000, WORLD_TIMES = 4096 };

/* How the provider fares from now on. */
struct weather {
    enum places_status status;
    int64_t after_ms; /* from the call; < 0: it hangs until it is cancelled */
    int64_t retry_after_ms;
    int fails_percent; /* so many calls end in UNKNOWN_ERROR instead */
    bool is_final;
};

struct world_call {
    struct broker_call *call;
    struct places_query query;
    int64_t due_ms; /* INT64_MAX: it hangs */
    enum places_status status;
};

struct world_asker {
    int64_t asked_ms, answered_ms; /* -1: not yet */
    enum places_status status;
    bool is_fallback;
    int64_t fallback_until_ms;
    char name; /* of the answer: which call it is from */
};

struct world {
    struct broker_limits limits;
    struct broker *broker;
    struct metrics metrics;
    struct broker_now now;
    struct rng rng;
    struct weather weather;
    struct world_call calls[WORLD_CALLS];
    size_t call_count;
    int64_t calls_total, open_max;
    int64_t call_times_ms[WORLD_TIMES]; /* of the first calls */
    struct world_asker askers[WORLD_ASKERS];
    size_t asker_count, answered_count, refused_count;
    struct allowance_record disk, writing;
    int64_t written_at_ms; /* INT64_MAX: nothing is being written */
    bool disk_is_full;
    int notices[BROKER_NOTICE_COUNT];
    int limited[PLACES_LIMIT_COUNT]; /* answers to questions that the limit kept back */
};

/* The defaults of herd.conf, 3 s in all. */
void world_begin(struct world *world, uint64_t seed);
void world_end(struct world *world);

/* Takes the new `limits`. */
void world_configure(struct world *world, bool is_other_provider);

/* Kills the server and starts another one: only the disk stays. */
void world_kill(struct world *world);

/* Question number i of a place each, or all of one. The asker's number. */
size_t world_ask(struct world *world, int place);
size_t world_ask_as(struct world *world, int place, uint64_t client);

/* Lets time pass, with everything that happens in it. */
void world_run(struct world *world, int64_t ms);

/* Asks `per_s` questions a second, a place each, for so long. */
void world_load(struct world *world, int per_s, int64_t ms);

/* Askers from number `from` on whose answer has that status. */
size_t world_count(const struct world *world, size_t from, enum places_status status);

/* cmocka's setup and teardown of a test: *state is a world. */
int world_setup(void **state);
int world_teardown(void **state);

#define WORLD_TEST(test) cmocka_unit_test_setup_teardown(test, world_setup, world_teardown)

#define assert_metric(world, name, expected)                                                       \
    assert_int_equal((world)->metrics.value[METRIC_places_##name], (expected))

#endif
