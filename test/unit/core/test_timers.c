/* The heap of deadlines against a naive model: an array, searched for its smallest. */
#include "core/timers.h"

#include "check.h"
#include "core/rng.h"

enum { TIMERS = 300, STEPS = 50000 };

struct model {
    struct timers timers;
    struct rng rng;
    struct timer items[TIMERS];
    bool is_set[TIMERS];
    int64_t at_ns[TIMERS];
};

static int64_t random_time(struct rng *rng)
{
    switch (rng_below(rng, 20)) {
    case 0:
        return INT64_MIN;
    case 1:
        return INT64_MAX;
    default:
        return (int64_t)rng_below(rng, 100); /* ties are frequent */
    }
}

static void check_first(const struct model *model, int step)
{
    size_t count = 0;
    int64_t first_ns = INT64_MAX;
    for (size_t i = 0; i < TIMERS; i++) {
        CHECK_INT(("step %d, timer %zu", step, i), model->items[i].place != 0, model->is_set[i]);
        if (!model->is_set[i])
            continue;
        count++;
        first_ns = model->at_ns[i] < first_ns ? model->at_ns[i] : first_ns;
    }
    const struct timer *first = timers_first(&model->timers);
    CHECK_INT(("step %d", step), model->timers.count, count);
    CHECK_INT(("step %d", step), first != NULL, count > 0);
    if (first != NULL)
        CHECK_INT(("step %d", step), first->at_ns, first_ns);
}

static void heap_is_as_the_model(void **state)
{
    (void)state;
    static struct model model;
    model = (struct model){.rng = {7}};
    for (int step = 0; step < STEPS; step++) {
        size_t i = rng_below(&model.rng, TIMERS);
        if (rng_below(&model.rng, 5) < 3) {
            model.at_ns[i] = random_time(&model.rng);
            model.is_set[i] = true;
            assert_int_equal(timers_set(&model.timers, &model.items[i], model.at_ns[i]), 0);
        } else {
            model.is_set[i] = false;
            timers_clear(&model.timers, &model.items[i]);
        }
        if (step % 16 == 0)
            check_first(&model, step);
    }
    timers_close(&model.timers);
}

static void first_ones_come_in_order(void **state)
{
    (void)state;
    static struct timer items[1000];
    struct timers timers = {0};
    struct rng rng = {11};
    for (size_t i = 0; i < COUNT_OF(items); i++)
        assert_int_equal(timers_set(&timers, &items[i], (int64_t)rng_below(&rng, 5000)), 0);
    int64_t last_ns = INT64_MIN;
    for (size_t i = 0; i < COUNT_OF(items); i++) {
        struct timer *first = timers_first(&timers);
        assert_non_null(first);
        CHECK_TRUE(("%zu: %lld after %lld", i, (long long)first->at_ns, (long long)last_ns),
                   first->at_ns >= last_ns);
        last_ns = first->at_ns;
        timers_clear(&timers, first);
    }
    assert_null(timers_first(&timers));
    timers_close(&timers);
}

static void clearing_what_is_not_set_does_nothing(void **state)
{
    (void)state;
    struct timers timers = {0};
    struct timer timer = {0};
    timers_clear(&timers, &timer);
    assert_null(timers_first(&timers));
    assert_int_equal(timers_set(&timers, &timer, 5), 0);
    assert_int_equal(timers_set(&timers, &timer, 3), 0);
    assert_int_equal(timers.count, 1);
    assert_int_equal(timers_first(&timers)->at_ns, 3);
    timers_clear(&timers, &timer);
    timers_clear(&timers, &timer);
    assert_null(timers_first(&timers));
    timers_close(&timers);
}

static void what_was_not_needed_goes(void **state)
{
    (void)state;
    static struct timer items[1000];
    struct timers timers = {0};
    assert_int_equal(timers_give_back(&timers), 0);
    for (size_t i = 0; i < COUNT_OF(items); i++)
        assert_int_equal(timers_set(&timers, &items[i], (int64_t)i), 0);
    for (size_t i = 10; i < COUNT_OF(items); i++)
        timers_clear(&timers, &items[i]);
    assert_int_equal(timers_give_back(&timers), 0); /* all were set until just now */
    assert_int_equal(timers_give_back(&timers), (1024 - 32) * sizeof(struct timer *));
    assert_int_equal(timers_give_back(&timers), 0);
    for (size_t i = 0; i < COUNT_OF(items); i++)
        assert_int_equal(timers_set(&timers, &items[i], (int64_t)i), 0);
    for (size_t i = 0; i < COUNT_OF(items); i++) {
        assert_ptr_equal(timers_first(&timers), &items[i]);
        timers_clear(&timers, &items[i]);
    }
    timers_close(&timers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heap_is_as_the_model),
        cmocka_unit_test(first_ones_come_in_order),
        cmocka_unit_test(clearing_what_is_not_set_does_nothing),
        cmocka_unit_test(what_was_not_needed_goes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
