/* A records.db that an older version wrote: its records and marks are found, and it is one of this
 * version afterwards. */
#include <stdlib.h>
#include <string.h>

#include "durable/records.h"
#include "durable/sqlite_room.h"
#include "world.h"

static const char to_version_1[] = "ALTER TABLE neighbour DROP COLUMN life;"
                                   "ALTER TABLE neighbour DROP COLUMN life_from;"
                                   "PRAGMA user_version = 1";

/* A file of version 1, whose marks had no life. */
static void make_file(struct world *world, const char *folder, const char *path)
{
    struct found found = {0};
    struct durable_found callbacks = found_callbacks(&found);
    struct herd_buf error = {0};
    struct records *records;
    assert_int_equal(records_open(folder, false, &callbacks, &records, &error), 0);
    world_restart(world, &found);
    world_change(world, 100);
    world_make_journal(world, SIZE_MAX, false);
    char *life = memmem(world->batch.neighbours.data, world->batch.neighbours.len, "11fe 12", 7);
    memcpy(life, "0000 0 ", 7);
    assert_int_equal(records_write(records, &world->batch), 0);
    records_close(records);
    execute_sql(path, to_version_1);
}

static void version_1_is_taken(void **state)
{
    char *folder = testing_make_folder(), *path = testing_path(folder, "records.db");
    struct world world;
    (void)state;
    world_init(&world, 5);
    make_file(&world, folder, path);
    for (int times = 0; times < 2; times++) {
        struct found found = {.is_of_version_1 = true};
        struct durable_found callbacks = found_callbacks(&found);
        struct herd_buf error = {0};
        struct records *records = NULL;
        if (records_open(folder, false, &callbacks, &records, &error) < 0)
            fail_msg("%.*s", (int)error.len, error.data);
        assert_true(found.has_state);
        assert_int_equal(found.wrong_rows, 0);
        assert_true(picture_equal(&found.picture, &world.disk));
        int64_t version;
        assert_int_equal(records_number(records, "PRAGMA user_version", &version), 0);
        assert_int_equal(version, RECORDS_VERSION);
        records_close(records);
    }
    world_free(&world);
    testing_remove_folder(folder);
    free(path);
}

/* One that is damaged is refused, and left as it is. */
static void damaged_version_1_is_left_alone(void **state)
{
    char *folder = testing_make_folder(), *path = testing_path(folder, "records.db");
    struct world world;
    (void)state;
    world_init(&world, 5);
    make_file(&world, folder, path);
    execute_sql(path, "UPDATE neighbour SET sequence = sequence + 1");
    for (int times = 0; times < 2; times++) {
        struct found found = found_in(folder);
        assert_int_equal(found.result, HERD_EPROTO);
        assert_non_null(strstr(found.error, "its state is not the one that was written"));
        found_free(&found);
    }
    execute_sql(path, "SELECT count(*) FROM neighbour");
    execute_sql(path, "ALTER TABLE neighbour ADD COLUMN life INTEGER"); /* there is none */
    world_free(&world);
    testing_remove_folder(folder);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(version_1_is_taken),
        cmocka_unit_test(damaged_version_1_is_left_alone),
    };
    return cmocka_run_group_tests_name("upgrade", tests, NULL, NULL);
}
