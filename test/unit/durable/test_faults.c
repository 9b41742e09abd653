/* records.db on a disk that fails, fills up and loses power, and with too little memory: each call
 * of SQLite in turn, and each allocation. Nothing that was acknowledged is lost, nothing is wrong,
 * and what failed can be done again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sqlite3.h>

#include <herd/err.h>

#include "disk.h"
#include "durable/records.h"
#include "durable/sqlite_room.h"
#include "world.h"

enum { BATCHES = 10, TRIES_MAX = 4 };

/* Memory: SQLite's own allocations and, by --wrap, ours. Which one fails, from 1; 0: none. */
static struct memory {
    sqlite3_mem_methods real;
    uint64_t calls, at;
    bool has_failed;
} memory;

static bool memory_fails(void)
{
    if (memory.at == 0 || ++memory.calls != memory.at)
        return false;
    memory.has_failed = true;
    return true;
}

static void memory_arm(uint64_t at)
{
    memory.calls = 0;
    memory.at = at;
    memory.has_failed = false;
}

static void *sqlite_malloc(int bytes)
{
    return memory_fails() ? NULL : memory.real.xMalloc(bytes);
}

static void *sqlite_realloc(void *old, int bytes)
{
    return memory_fails() ? NULL : memory.real.xRealloc(old, bytes);
}

void *__real_calloc(size_t count, size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__real_realloc(void *old, size_t bytes);
void *__wrap_realloc(void *old, size_t bytes);

void *__wrap_calloc(size_t count, size_t bytes)
{
    return memory_fails() ? NULL : __real_calloc(count, bytes);
}

void *__wrap_realloc(void *old, size_t bytes)
{
    return memory_fails() ? NULL : __real_realloc(old, bytes);
}

/* What each round begins with: a life with a history, and the files as a crash left them. */
struct fixture {
    char *origin, *folder, *copy;
    struct world world; /* as the origin has it */
    struct picture pictures[BATCHES + 1];
    size_t written; /* batches */
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    fixture->origin = testing_make_folder();
    fixture->folder = testing_make_folder();
    fixture->copy = testing_make_folder();
    world_init(&fixture->world, 7);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    world_free(&fixture->world);
    testing_remove_folder(fixture->origin);
    testing_remove_folder(fixture->folder);
    testing_remove_folder(fixture->copy);
    free(fixture);
    return 0;
}

static struct records *open_records(const char *folder, bool sync, struct found *found)
{
    struct durable_found callbacks = found_callbacks(found);
    struct records *records = NULL;
    struct herd_buf error = {0};
    found->result = records_open(folder, sync, &callbacks, &records, &error);
    assert_true(found->result == 0 || records == NULL);
    herd_buf_free(&error);
    return records;
}

static void make_origin(struct fixture *fixture)
{
    struct found found = {0};
    struct records *records = open_records(fixture->copy, false, &found);
    assert_non_null(records);
    world_restart(&fixture->world, &found);
    for (int i = 0; i < 20; i++) {
        world_make_any(&fixture->world);
        assert_int_equal(records_write(records, &fixture->world.batch), 0);
    }
    assert_int_equal(records_tidy(records), 0);
    copy_files(fixture->copy, fixture->origin);
    records_close(records);
}

/* The same for every round: the batch's memory is the round's own. */
static struct world begin_round(struct fixture *fixture)
{
    struct world world = fixture->world;
    world.batch = (struct herd_batch){0};
    copy_files(fixture->origin, fixture->folder);
    fixture->pictures[0] = world.disk;
    fixture->written = 0;
    return world;
}

/* Opens; what fails once is tried again. */
static struct records *open_at_last(struct fixture *fixture, bool sync, struct world *world)
{
    struct records *records = NULL;
    for (int i = 0; i < TRIES_MAX && records == NULL; i++) {
        struct found found = {0};
        records = open_records(fixture->folder, sync, &found);
        if (records != NULL) {
            assert_int_equal(found.wrong_rows, 0);
            assert_true(picture_equal(&found.picture, &world->disk));
            world_restart(world, &found);
        }
    }
    return records;
}

/* Writes the world's next batches, with checkpoints between. False: one failed for good. */
static bool write_batches(struct fixture *fixture, struct records *records, struct world *world,
                          int tries_max, int expected)
{
    while (fixture->written < BATCHES) {
        world_make_any(world);
        fixture->pictures[fixture->written + 1] = world->disk;
        int rc = -1;
        for (int i = 0; i < tries_max && rc < 0; i++) {
            rc = records_write(records, &world->batch);
            if (rc < 0) {
                if (rc != expected)
                    fail_msg("%d: %s", rc, records_reason(records));
                assert_true(strlen(records_reason(records)) > 0);
            }
        }
        if (rc < 0)
            return false;
        fixture->written++;
        records->checkpoint_at = fixture->written % 3 == 0 ? 0 : CHECKPOINT_PAGES;
        for (int i = 0; i < TRIES_MAX && records_tidy(records) != 0; i++)
            ;
    }
    return true;
}

static void test_each_call_of_the_disk_fails(void **state)
{
    struct fixture *fixture = *state;
    make_origin(fixture);
    uint64_t at = 0;
    bool has_failed = true;
    while (has_failed) {
        struct world world = begin_round(fixture);
        disk_arm(DISK_FAILS_ONCE, ++at);
        struct records *records = open_at_last(fixture, at % 2, &world);
        assert_non_null(records);
        assert_true(write_batches(fixture, records, &world, TRIES_MAX, HERD_EIO));
        records_close(records);
        has_failed = disk_has_failed();
        disk_mend();
        assert_found_in(fixture->folder, &world.disk);
        world_free(&world);
    }
    assert_true(at > 200);
}

static void test_a_new_file_on_a_disk_that_fails(void **state)
{
    struct fixture *fixture = *state;
    uint64_t at = 0;
    bool has_failed = true;
    while (has_failed) {
        struct world world = begin_round(fixture); /* the origin is empty */
        disk_arm(DISK_FAILS_ONCE, ++at);
        struct records *records = open_at_last(fixture, true, &world);
        assert_non_null(records);
        world_change(&world, 50);
        assert_true(write_batches(fixture, records, &world, TRIES_MAX, HERD_EIO));
        records_close(records);
        has_failed = disk_has_failed();
        disk_mend();
        assert_found_in(fixture->folder, &world.disk);
        world_free(&world);
    }
    assert_true(at > 100);
}

static void test_the_disk_is_full_from_any_write_on(void **state)
{
    struct fixture *fixture = *state;
    make_origin(fixture);
    uint64_t at = 0;
    bool has_failed = true;
    while (has_failed) {
        struct world world = begin_round(fixture);
        disk_arm(DISK_IS_FULL, ++at);
        struct records *records = open_at_last(fixture, true, &world);
        if (records == NULL) {
            disk_mend();
            records = open_at_last(fixture, true, &world);
        } else if (!write_batches(fixture, records, &world, 2, HERD_EFULL)) {
            disk_mend(); /* there is room again: the same batch, now */
            assert_int_equal(records_write(records, &world.batch), 0);
            fixture->written++;
            disk_arm(DISK_IS_FULL, UINT64_MAX);
            at++; /* one of the calls that the batch had made */
        } else {
            has_failed = disk_has_failed();
        }
        assert_non_null(records);
        disk_mend();
        assert_true(write_batches(fixture, records, &world, 1, 0));
        records_close(records);
        assert_found_in(fixture->folder, &world.disk);
        world_free(&world);
    }
    assert_true(at > 100);
}

static void test_each_allocation_fails(void **state)
{
    struct fixture *fixture = *state;
    make_origin(fixture);
    uint64_t at = 0;
    bool has_failed = true;
    while (has_failed) {
        struct world world = begin_round(fixture);
        /* Room for any batch: what the test itself allocates is not to fail. */
        assert_int_equal(herd_buf_reserve(&world.batch.records, 1 << 20), 0);
        assert_int_equal(herd_buf_reserve(&world.batch.neighbours, 1 << 10), 0);
        at += at < 2000 ? 1 : 37;
        memory_arm(at);
        struct records *records = open_at_last(fixture, true, &world);
        assert_non_null(records);
        assert_true(write_batches(fixture, records, &world, TRIES_MAX, HERD_EIO));
        records_close(records);
        has_failed = memory.has_failed;
        memory_arm(0);
        assert_found_in(fixture->folder, &world.disk);
        world_free(&world);
    }
    assert_true(at > 500);
}

/* Crashes */

/* One of the batches from the first-th on, and a sequence above all that were `used`. Without sync
 * batches may be lost that were written, and that may be noticed: then there is no epoch. */
static void assert_history_in(const struct fixture *fixture, const char *folder, size_t first,
                              uint64_t used)
{
    struct found found = found_in(folder);
    if (found.result != 0)
        fail_msg("after %zu batches: %s", fixture->written, found.error);
    assert_int_equal(found.wrong_rows, 0);
    if (found.is_other_epoch && first < fixture->written)
        found.picture.epoch = fixture->pictures[fixture->written].epoch;
    else if (found.is_other_epoch)
        fail_msg("after %zu batches: nothing is lost, and it says so", fixture->written);
    size_t last = fixture->written < BATCHES ? fixture->written + 1 : BATCHES;
    size_t i = first;
    while (i <= last && !picture_equal(&fixture->pictures[i], &found.picture))
        i++;
    if (i > last)
        fail_msg("%zu batches were acknowledged, and what is found is none of %zu..%zu",
                 fixture->written, first, last);
    assert_true(found.sequence_free > used);
    found_free(&found);
}

/*
 * Nothing works from the n-th change on. What the files hold then is what a killed process leaves,
 * whose writes are all there; what the platter holds is what a power loss leaves.
 */
static void crash_at_each_change(struct fixture *fixture, bool sync)
{
    make_origin(fixture);
    uint64_t at = 0;
    bool has_failed = true;
    while (has_failed) {
        struct world world = begin_round(fixture);
        disk_arm(DISK_DIES, ++at);
        struct records *records = open_at_last(fixture, sync, &world);
        if (records != NULL)
            write_batches(fixture, records, &world, 1, HERD_EIO);
        bool goes_on = world.held.epoch == fixture->pictures[0].epoch;
        uint64_t used = records != NULL && goes_on ? world.sequence : 0;
        has_failed = disk_has_failed();
        copy_files(fixture->folder, fixture->copy);
        records_close(records);
        char *lost = testing_make_folder();
        disk_lose_power(fixture->folder, lost, at);
        disk_mend();
        copy_witness(fixture->folder, lost); /* the newest, which never says too much */
        assert_history_in(fixture, fixture->copy, fixture->written, used);
        assert_history_in(fixture, lost, sync ? fixture->written : 0, used);
        testing_remove_folder(lost);
        world_free(&world);
    }
    assert_true(at > 100);
}

static void test_a_crash_at_each_change_with_sync(void **state)
{
    crash_at_each_change(*state, true);
}

static void test_a_crash_at_each_change_without_sync(void **state)
{
    crash_at_each_change(*state, false);
}

int main(void)
{
    sqlite3_mem_methods methods;
    assert_int_equal(sqlite3_config(SQLITE_CONFIG_GETMALLOC, &methods), SQLITE_OK);
    memory.real = methods;
    methods.xMalloc = sqlite_malloc;
    methods.xRealloc = sqlite_realloc;
    assert_int_equal(sqlite3_config(SQLITE_CONFIG_MALLOC, &methods), SQLITE_OK);
    disk_install();
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_each_call_of_the_disk_fails),
        TEST(test_a_new_file_on_a_disk_that_fails),
        TEST(test_the_disk_is_full_from_any_write_on),
        TEST(test_each_allocation_fails),
        TEST(test_a_crash_at_each_change_with_sync),
        TEST(test_a_crash_at_each_change_without_sync),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
