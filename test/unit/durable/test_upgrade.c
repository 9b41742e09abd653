/* A records.db that an older version wrote: its records and marks are found, and it is one of this
 * version afterwards. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "durable/records.h"
#include "durable/sqlite_room.h"
#include "world.h"

enum { VERSION_LAST = 3 };

/* What turns a file of this version, with one record a row, into an older one, and so on. */
static const char to_version_3[] = "PRAGMA user_version = 3";
static const char to_version_2[] = "DROP TABLE life;"
                                   "PRAGMA user_version = 2";
static const char to_version_1[] = "ALTER TABLE neighbour DROP COLUMN life;"
                                   "ALTER TABLE neighbour DROP COLUMN life_from;"
                                   "PRAGMA user_version = 1";

/* The sum of the state does not have what is not there. */
static void take_out_lives(const struct state *state, const char *path)
{
    char sql[96];
    snprintf(sql, sizeof sql, "UPDATE state SET sum = %" PRId64,
             (int64_t)(state->sum - state->lives_sum));
    execute_sql(path, sql);
    execute_sql(path, to_version_2);
}

/* With marks in the last batch. */
static void write_one_by_one(struct world *world, struct records *records, int version)
{
    do {
        world_make_journal(world, 1, false);
        struct herd_buf *marks = &world->batch.neighbours;
        if (version == 1 && marks->len > 0)
            memcpy(memmem(marks->data, marks->len, "11fe 12", 7), "0000 0 ", 7);
        assert_int_equal(records_write(records, &world->batch), 0);
    } while (world->batch.neighbours.len == 0);
}

/* A file of version 1, whose marks had no life, of version 2, which knew no lives of its own, or of
 * version 3, which had one record in a row. */
static void make_file(struct world *world, const char *folder, const char *path, int version)
{
    struct found found = {0};
    struct durable_found callbacks = found_callbacks(&found);
    struct herd_buf error = {0};
    struct records *records;
    assert_int_equal(records_open(folder, false, &callbacks, &records, &error), 0);
    world_restart(world, &found);
    world_change(world, 100);
    write_one_by_one(world, records, version);
    const struct state before = {.sum = records->state.sum, .lives_sum = records->state.lives_sum};
    records_close(records);
    execute_sql(path, to_version_3);
    if (version <= 2)
        take_out_lives(&before, path);
    if (version == 1)
        execute_sql(path, to_version_1);
}

static void check_taken(int version)
{
    char *folder = testing_make_folder(), *path = testing_path(folder, "records.db");
    struct world world;
    world_init(&world, 5);
    make_file(&world, folder, path, version);
    for (int times = 0; times < 2; times++) {
        struct found found = {.is_of_version_1 = version == 1};
        struct durable_found callbacks = found_callbacks(&found);
        struct herd_buf error = {0};
        struct records *records = NULL;
        if (records_open(folder, false, &callbacks, &records, &error) < 0)
            fail_msg("%.*s", (int)error.len, error.data);
        assert_true(found.has_state);
        assert_int_equal(found.wrong_rows, 0);
        assert_true(picture_equal(&found.picture, &world.disk));
        assert_int_equal(found.life_count, version < 3 ? 0 : 1);
        int64_t now;
        assert_int_equal(records_number(records, "PRAGMA user_version", &now), 0);
        assert_int_equal(now, RECORDS_VERSION);
        records_close(records);
    }
    world_free(&world);
    testing_remove_folder(folder);
    free(path);
}

static void older_versions_are_taken(void **state)
{
    (void)state;
    for (int version = 1; version <= VERSION_LAST; version++)
        check_taken(version);
}

/* One that is damaged is refused, and left as it is. */
static void damaged_version_1_is_left_alone(void **state)
{
    char *folder = testing_make_folder(), *path = testing_path(folder, "records.db");
    struct world world;
    (void)state;
    world_init(&world, 5);
    make_file(&world, folder, path, 1);
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
        cmocka_unit_test(older_versions_are_taken),
        cmocka_unit_test(damaged_version_1_is_left_alone),
    };
    return cmocka_run_group_tests_name("upgrade", tests, NULL, NULL);
}
