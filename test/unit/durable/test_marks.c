/* Neighbours' marks in records.db: a batch that bears out those that are there writes none. */
#include <sqlite3.h>

#include "durable/sqlite_room.h"
#include "world.h"

/* Rows that a batch of one record and this mark of a neighbour changes. */
static int changed_by(struct records *records, struct world *world, uint64_t mark)
{
    int before = sqlite3_total_changes(records->sqlite);
    world_change(world, 1);
    world->mark = mark;
    world_make_journal(world, SIZE_MAX, false);
    assert_true(world->batch.neighbours.len > 0);
    assert_int_equal(records_write(records, &world->batch), 0);
    return sqlite3_total_changes(records->sqlite) - before;
}

static void marks_are_written_when_they_have_changed(void **state)
{
    char *folder = *state;
    struct world world;
    world_init(&world, 3);
    struct found found = {0};
    struct records *records = found_opened(folder, false, &found);
    assert_non_null(records);
    world_restart(&world, &found);
    changed_by(records, &world, 6); /* the first batch writes more than others */
    int changed = changed_by(records, &world, 7), same = changed_by(records, &world, 7);
    assert_in_range(same, 1, changed - 2); /* the marks of two neighbours */
    assert_int_equal(changed_by(records, &world, 7), same);
    assert_int_equal(changed_by(records, &world, 8), changed);
    records_close(records);
    found_free(&found);
    assert_found_in(folder, &world.disk);
    world_free(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(marks_are_written_when_they_have_changed,
                                        testing_setup_folder, testing_teardown_folder),
    };
    return cmocka_run_group_tests_name("marks", tests, NULL, NULL);
}
