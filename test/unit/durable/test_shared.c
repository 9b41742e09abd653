/* Who removes the lock lets a second process in: one of the two writes, and says so where it does
 * not. Here they are two openings, as locks and SQLite count them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <herd/err.h>

#include "durable/records.h"
#include "world.h"

struct opening {
    struct world world;
    struct records *records;
};

static void open_folder(struct opening *opening, const char *folder)
{
    struct found found = {0};
    world_init(&opening->world, 1);
    opening->records = found_opened(folder, true, &found);
    if (opening->records == NULL)
        fail_msg("%s", found.error);
    world_restart(&opening->world, &found);
    found_free(&found);
}

static void close_folder(struct opening *opening)
{
    records_close(opening->records);
    world_free(&opening->world);
}

static int write_some(struct opening *opening)
{
    world_change(&opening->world, 5);
    world_make_journal(&opening->world, SIZE_MAX, false);
    return records_write(opening->records, &opening->world.batch);
}

/* What is tried again is the same batch. */
static void expect_refused(struct opening *opening, const char *reason)
{
    assert_int_equal(records_write(opening->records, &opening->world.batch), HERD_EIO);
    if (strstr(records_reason(opening->records), reason) == NULL)
        fail_msg("%s", records_reason(opening->records));
}

static void remove_lock(const char *folder)
{
    char *lock = testing_path(folder, "lock");
    assert_int_equal(unlink(lock), 0);
    free(lock);
}

static void lock_is_taken_anew(void **state)
{
    char *folder = *state;
    struct opening first;
    open_folder(&first, folder);
    assert_int_equal(write_some(&first), 0);
    remove_lock(folder);
    assert_int_equal(write_some(&first), 0);
    struct found found = found_in(folder);
    assert_int_equal(found.result, HERD_EBUSY);
    found_free(&found);
    assert_int_equal(write_some(&first), 0);
    struct picture disk = first.world.disk;
    close_folder(&first);
    assert_found_in(folder, &disk);
}

static void first_of_two_writes_no_more(void **state)
{
    char *folder = *state;
    struct opening first, second;
    open_folder(&first, folder);
    assert_int_equal(write_some(&first), 0);
    remove_lock(folder);
    open_folder(&second, folder);
    assert_true(picture_equal(&second.world.disk, &first.world.disk));
    char reason[64];
    snprintf(reason, sizeof reason, "is in use by process %ld", (long)getpid());
    assert_int_equal(write_some(&first), HERD_EIO);
    expect_refused(&first, reason);
    assert_int_equal(write_some(&second), 0);
    expect_refused(&first, reason);
    struct picture disk = second.world.disk;
    close_folder(&second);
    expect_refused(&first, "another process has written to it");
    expect_refused(&first, "another process has written to it");
    while (records_tidy(first.records) > 0)
        ;
    close_folder(&first);
    assert_found_in(folder, &disk);
}

/* The first one writes just after the second has read. */
struct race {
    struct opening first;
    const char *folder;
};

static int on_state(void *arg, uint64_t epoch, uint64_t sequence_free)
{
    struct race *race = arg;
    (void)epoch;
    (void)sequence_free;
    remove_lock(race->folder);
    assert_int_equal(write_some(&race->first), 0);
    return 0;
}

static int on_record(void *arg, uint64_t sequence, struct herd_slice text)
{
    (void)arg;
    (void)sequence;
    (void)text;
    return 0;
}

static int on_neighbour(void *arg, struct herd_slice name, const struct herd_mark *mark)
{
    (void)arg;
    (void)name;
    (void)mark;
    return 0;
}

static void second_begins_with_nothing_outdated(void **state)
{
    struct race race = {.folder = *state};
    struct records *records = NULL;
    struct herd_buf error = {0};
    open_folder(&race.first, race.folder);
    assert_int_equal(write_some(&race.first), 0);
    remove_lock(race.folder);
    const struct durable_found found = {
        .arg = &race, .state = on_state, .record = on_record, .neighbour = on_neighbour};
    assert_int_equal(records_open(race.folder, true, &found, &records, &error), HERD_EBUSY);
    char *sentence = testing_take_text(&error);
    assert_non_null(strstr(sentence, "another process has written to it"));
    free(sentence);
    assert_int_equal(write_some(&race.first), 0);
    struct picture disk = race.first.world.disk;
    close_folder(&race.first);
    assert_found_in(race.folder, &disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(lock_is_taken_anew, testing_setup_folder,
                                        testing_teardown_folder),
        cmocka_unit_test_setup_teardown(first_of_two_writes_no_more, testing_setup_folder,
                                        testing_teardown_folder),
        cmocka_unit_test_setup_teardown(second_begins_with_nothing_outdated, testing_setup_folder,
                                        testing_teardown_folder),
    };
    return cmocka_run_group_tests_name("shared", tests, NULL, NULL);
}
