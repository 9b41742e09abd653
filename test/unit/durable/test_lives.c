/* The lives that a records.db has come from: found in their order, so many and no more, of its epoch. */
#include "durable/records.h"
#include "world.h"

/* Writes a batch in a life that begins with what is there, or leaves it at the beginning. */
static void live(struct world *world, const char *folder, bool writes, bool anew)
{
    struct found found = {0};
    struct records *records = found_opened(folder, false, &found);
    assert_non_null(records);
    world_restart(world, &found);
    if (anew)
        world->held.epoch++;
    for (int batches = 0; writes && batches < 2; batches++) { /* told of once */
        world_change(world, 5);
        world_make_journal(world, SIZE_MAX, false);
        assert_int_equal(records_write(records, &world->batch), 0);
    }
    records_close(records);
    found_free(&found);
}

/* What is there is `count` lives, each of which begins above the one before, up to the last. */
static void expect_lives(const char *folder, size_t count, const struct herd_life *last)
{
    struct found found = found_in(folder);
    assert_int_equal(found.result, 0);
    assert_int_equal(found.life_count, count);
    for (size_t i = 1; i < count; i++)
        assert_true(found.lives[i].from > found.lives[i - 1].from);
    assert_int_equal(found.lives[count - 1].id, last->id);
    assert_int_equal(found.lives[count - 1].from, last->from);
    found_free(&found);
}

static void lives_are_found_in_their_order(void **state)
{
    char *folder = *state;
    struct world world;
    world_init(&world, 3);
    live(&world, folder, true, false);
    expect_lives(folder, 1, &(struct herd_life){0, 0});
    live(&world, folder, true, false);
    expect_lives(folder, 2, &world.held.life);
    struct herd_life second = world.held.life;
    live(&world, folder, false, false); /* nobody has heard of it */
    expect_lives(folder, 2, &second);
    live(&world, folder, true, false);
    expect_lives(folder, 3, &world.held.life);
    struct found found = found_in(folder);
    assert_int_equal(found.lives[0].id, 0);
    assert_int_equal(found.lives[1].id, second.id);
    found_free(&found);
    world_free(&world);
}

static void the_oldest_goes_when_there_are_too_many(void **state)
{
    char *folder = *state;
    struct world world;
    world_init(&world, 3);
    struct herd_life third = {0};
    for (int i = 0; i < HERD_LIVES_MAX + 2; i++) {
        live(&world, folder, true, false);
        if (i == 2)
            third = world.held.life;
    }
    expect_lives(folder, HERD_LIVES_MAX, &world.held.life);
    struct found found = found_in(folder);
    assert_int_equal(found.lives[0].id, third.id);
    found_free(&found);
    world_free(&world);
}

static void a_new_epoch_has_had_no_other(void **state)
{
    char *folder = *state;
    struct world world;
    world_init(&world, 3);
    for (int i = 0; i < 3; i++)
        live(&world, folder, true, false);
    live(&world, folder, true, true);
    expect_lives(folder, 1, &world.held.life);
    live(&world, folder, true, false);
    expect_lives(folder, 2, &world.held.life);
    world_free(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(lives_are_found_in_their_order, testing_setup_folder,
                                        testing_teardown_folder),
        cmocka_unit_test_setup_teardown(the_oldest_goes_when_there_are_too_many,
                                        testing_setup_folder, testing_teardown_folder),
        cmocka_unit_test_setup_teardown(a_new_epoch_has_had_no_other, testing_setup_folder,
                                        testing_teardown_folder),
    };
    return cmocka_run_group_tests_name("lives", tests, NULL, NULL);
}
