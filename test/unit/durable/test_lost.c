/* Part of what was written is lost: the log was damaged, cut short, lost, or exchanged for an older
 * one, or the file was. What is whole is given, and what is lost is said. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <herd/err.h>

#include "disk.h"
#include "durable/records.h"
#include "durable/wal.h"
#include "world.h"

enum { BATCHES = 40, OLD_AT = 15 };

struct fixture {
    char *folder; /* a life that was killed after BATCHES batches; not touched afterwards */
    char *old;    /* the same after OLD_AT batches */
    char *copy;   /* what the harm is done to */
    char *killed; /* what is left of the life after that */
    char *path, *log, *witness; /* in `copy` */
    struct world world;
    struct picture pictures[BATCHES];
};

static void write_history(struct fixture *fixture)
{
    struct found found = {0};
    struct records *records = found_opened(fixture->copy, true, &found);
    assert_non_null(records);
    world_restart(&fixture->world, &found);
    for (int i = 0; i < BATCHES; i++) {
        world_change(&fixture->world, 20);
        world_make_journal(&fixture->world, SIZE_MAX, false);
        assert_int_equal(records_write(records, &fixture->world.batch), 0);
        fixture->pictures[i] = fixture->world.disk;
        if (i == OLD_AT)
            copy_files(fixture->copy, fixture->old);
    }
    copy_files(fixture->copy, fixture->folder);
    records_close(records);
    found_free(&found);
}

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    fixture->folder = testing_make_folder();
    fixture->old = testing_make_folder();
    fixture->copy = testing_make_folder();
    fixture->killed = testing_make_folder();
    fixture->path = testing_path(fixture->copy, "records.db");
    fixture->log = testing_path(fixture->copy, "records.db-wal");
    fixture->witness = testing_path(fixture->copy, "records.db-witness");
    world_init(&fixture->world, 11);
    write_history(fixture);
    copy_files(fixture->folder, fixture->copy);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    world_free(&fixture->world);
    testing_remove_folder(fixture->folder);
    testing_remove_folder(fixture->old);
    testing_remove_folder(fixture->copy);
    testing_remove_folder(fixture->killed);
    free(fixture->path);
    free(fixture->log);
    free(fixture->witness);
    free(fixture);
    return 0;
}

static int64_t bytes_of(const char *path)
{
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    return status.st_size;
}

static void flip(const char *path, int64_t at)
{
    int64_t len = bytes_of(path);
    char *bytes = testing_read_file(path);
    assert_in_range(at, 0, len - 1);
    bytes[at] ^= 0x10;
    testing_write_file(path, bytes, (size_t)len);
    free(bytes);
}

static void take(const struct fixture *fixture, const char *name, const char *from)
{
    char *source = testing_path(from, name), *target = testing_path(fixture->copy, name);
    char *bytes = testing_read_file(source);
    testing_write_file(target, bytes, (size_t)bytes_of(source));
    free(bytes);
    free(source);
    free(target);
}

/* What was found is what was there after some batch, or nothing where the file was begun anew. */
static void assert_a_batch(const struct fixture *fixture, struct found *found)
{
    assert_int_equal(found->wrong_rows, 0);
    if (!found->has_state)
        return;
    struct picture picture = found->picture;
    picture.epoch = fixture->world.held.epoch;
    int i = 0;
    while (i < BATCHES - 1 && !picture_equal(&fixture->pictures[i], &picture))
        i++;
    assert_in_range(i, 0, BATCHES - 2);
}

/* It says so once; the life that begins counts in an epoch of its own, and is kept as any. */
static void assert_said(struct fixture *fixture, const char *what)
{
    struct found found = {0};
    struct records *records = found_opened(fixture->copy, true, &found);
    if (records == NULL)
        fail_msg("%s: %s", what, found.error);
    if (found.lost[0] == '\0' || !found.is_other_epoch)
        fail_msg("%s: nothing was said", what);
    assert_contains(found.lost, "records.db-wal");
    assert_a_batch(fixture, &found);
    struct world world = fixture->world;
    world.batch = (struct herd_batch){0};
    world_restart(&world, &found);
    found_free(&found);
    world_change(&world, 50);
    world_make_journal(&world, SIZE_MAX, false);
    assert_int_equal(records_write(records, &world.batch), 0);
    copy_files(fixture->copy, fixture->killed);
    records_close(records);
    found = found_in(fixture->killed);
    assert_string_equal(found.lost, "");
    assert_false(found.is_other_epoch);
    assert_true(picture_equal(&found.picture, &world.disk));
    found_free(&found);
    world_free(&world);
}

static void assert_nothing_is_said(struct fixture *fixture)
{
    struct found found = found_in(fixture->copy);
    assert_int_equal(found.result, 0);
    assert_string_equal(found.lost, "");
    assert_false(found.is_other_epoch);
    found_free(&found);
}

static void flip_in_the_middle(struct fixture *fixture)
{
    flip(fixture->log, bytes_of(fixture->log) / 2);
}

static void flip_the_header(struct fixture *fixture)
{
    flip(fixture->log, 17);
}

static void flip_near_the_end(struct fixture *fixture)
{
    flip(fixture->log, bytes_of(fixture->log) - 3000);
}

static void cut(struct fixture *fixture)
{
    assert_int_equal(truncate(fixture->log, bytes_of(fixture->log) / 2), 0);
}

static void cut_all(struct fixture *fixture)
{
    assert_int_equal(truncate(fixture->log, 0), 0);
}

static void remove_log(struct fixture *fixture)
{
    assert_int_equal(unlink(fixture->log), 0);
}

static void exchange_log(struct fixture *fixture)
{
    take(fixture, "records.db-wal", fixture->old);
}

static void exchange_both(struct fixture *fixture)
{
    take(fixture, "records.db-wal", fixture->old);
    take(fixture, "records.db", fixture->old);
}

static void remove_both(struct fixture *fixture)
{
    remove_log(fixture);
    assert_int_equal(unlink(fixture->path), 0);
}

static const struct {
    void (*harm)(struct fixture *fixture);
    const char *name;
} harms[] = {
    {flip_in_the_middle, "a bit in the middle of the log"},
    {flip_the_header, "a bit in its header"},
    {flip_near_the_end, "a bit in its last frame"},
    {cut, "half of it"},
    {cut_all, "all of it, and the file is there"},
    {remove_log, "the log"},
    {exchange_log, "the log, for an older one"},
    {exchange_both, "all, for older ones"},
    {remove_both, "all"},
};

static void test_each_harm_is_said(void **state)
{
    struct fixture *fixture = *state;
    for (size_t i = 0; i < sizeof harms / sizeof *harms; i++) {
        copy_files(fixture->folder, fixture->copy);
        harms[i].harm(fixture);
        assert_said(fixture, harms[i].name);
    }
}

/* Wherever it is: what is found is whole, and less than was written only where that is said. */
static void test_a_bit_anywhere_in_the_log(void **state)
{
    struct fixture *fixture = *state;
    int64_t bytes = bytes_of(fixture->log);
    const struct picture *newest = &fixture->pictures[BATCHES - 1];
    for (int round = 0; round < 200; round++) {
        copy_files(fixture->folder, fixture->copy);
        flip(fixture->log, (int64_t)world_random(&fixture->world, (uint64_t)bytes));
        struct found found = found_in(fixture->copy);
        assert_int_equal(found.result, 0);
        assert_int_equal(found.wrong_rows, 0);
        assert_true(picture_equal(&found.picture, newest) || found.lost[0] != '\0');
        found_free(&found);
    }
}

/* As a power loss may leave it: what the witness knew is gone. The log itself still shows damage
 * within it, but not that its end is missing. */
static void test_without_a_witness(void **state)
{
    struct fixture *fixture = *state;
    int64_t at = bytes_of(fixture->log) / 2;
    char sentence[64];
    unlink(fixture->witness);
    flip_in_the_middle(fixture);
    struct found found = found_in(fixture->copy);
    int64_t frame_at = 32 + (at - 32) / (24 + 4096) * (24 + 4096);
    snprintf(sentence, sizeof sentence, "damaged at byte %lld: ", (long long)frame_at);
    assert_contains(found.lost, sentence);
    assert_true(found.is_other_epoch);
    found_free(&found);
    static void (*const unseen[])(struct fixture * fixture) = {flip_near_the_end, cut, remove_log};
    for (size_t i = 0; i < sizeof unseen / sizeof *unseen; i++) {
        copy_files(fixture->folder, fixture->copy);
        unlink(fixture->witness);
        unseen[i](fixture);
        found = found_in(fixture->copy);
        assert_int_equal(found.result, 0);
        assert_string_equal(found.lost, "");
        found_free(&found);
    }
}

/* As a power loss may leave it. */
static void test_a_witness_that_says_nothing(void **state)
{
    static const char zeros[37];
    struct fixture *fixture = *state;
    for (size_t len = 0; len <= sizeof zeros; len += sizeof zeros) {
        copy_files(fixture->folder, fixture->copy);
        testing_write_file(fixture->witness, zeros, len);
        assert_nothing_is_said(fixture);
    }
}

/* What was never written shows it, whatever else is damaged; and that nobody knows more. */
static void test_a_damaged_witness_is_said(void **state)
{
    static void (*const others[])(struct fixture * fixture) = {flip_near_the_end, cut, remove_log,
                                                               exchange_both, remove_both};
    static const char *const texts[] = {"0", "9000000000000000000 0000000000000000\n",
                                        "-000000000000000001 0123456789abcdef\n"};
    struct fixture *fixture = *state;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        copy_files(fixture->folder, fixture->copy);
        flip(fixture->witness, (int64_t)i);
        others[i](fixture);
        assert_said(fixture, "a bit of the witness");
    }
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        copy_files(fixture->folder, fixture->copy);
        testing_write_file(fixture->witness, texts[i], strlen(texts[i]));
        struct found found = found_in(fixture->copy);
        assert_contains(found.lost, "records.db-witness is damaged");
        assert_true(found.is_in_doubt && found.is_other_epoch);
        found.picture.epoch = fixture->world.held.epoch; /* it is another one then */
        assert_true(picture_equal(&found.picture, &fixture->pictures[BATCHES - 1]));
        found_free(&found);
    }
}

/* Then it is certain. */
static void test_damage_that_shows_in_the_log_is_no_doubt(void **state)
{
    struct fixture *fixture = *state;
    flip(fixture->witness, 5);
    flip_in_the_middle(fixture);
    struct found found = found_in(fixture->copy);
    assert_contains(found.lost, "damaged at byte");
    assert_false(found.is_in_doubt);
    found_free(&found);
}

static void test_no_harm_nothing_said(void **state)
{
    struct fixture *fixture = *state;
    assert_nothing_is_said(fixture); /* after a kill */
    assert_nothing_is_said(fixture); /* after an end as it should be */
    copy_files(fixture->folder, fixture->copy);
    execute_sql(fixture->path,
                "SELECT * FROM state"); /* who reads it takes the log into the file */
    assert_int_equal(access(fixture->log, F_OK), -1);
    assert_nothing_is_said(fixture);
}

/* A log whose last transaction was torn, and the next one as well, is not damaged. */
static void test_torn_ends_are_no_damage(void **state)
{
    struct fixture *fixture = *state;
    unlink(fixture->witness);
    for (int64_t back = 1; back < 3 * 4120; back += 700) {
        struct wal_damage damage;
        copy_files(fixture->folder, fixture->copy);
        flip(fixture->log, bytes_of(fixture->log) - back);
        assert_false(wal_is_damaged(fixture->log, &damage));
    }
    struct wal_damage damage;
    assert_false(wal_is_damaged(fixture->witness, &damage));
    assert_false(wal_is_damaged("/nowhere", &damage));
}

static void assert_refused_as_it_is(const struct fixture *fixture, const char *sentence)
{
    int64_t len = bytes_of(fixture->path);
    char *before = testing_read_file(fixture->path);
    struct found found = found_in(fixture->copy);
    assert_int_equal(found.result, HERD_EPROTO);
    assert_contains(found.error, sentence);
    assert_contains(found.error, fixture->path);
    char *after = testing_read_file(fixture->path);
    assert_int_equal(bytes_of(fixture->path), len);
    assert_memory_equal(before, after, (size_t)len);
    free(before);
    free(after);
    found_free(&found);
}

/* What is not empty is never taken for a new file. */
static void test_files_that_are_not_ours(void **state)
{
    struct fixture *fixture = *state;
    static const char zeros[8192];
    unlink(fixture->log);
    unlink(fixture->witness);
    testing_write_file(fixture->path, zeros, sizeof zeros);
    assert_refused_as_it_is(fixture, "is damaged: file is not a database: ");
    unlink(fixture->path);
    execute_sql(fixture->path, "PRAGMA journal_mode = WAL");
    assert_refused_as_it_is(fixture, "is damaged: it is a database with nothing in it, as is left "
                                     "when its log, records.db-wal, is lost: ");
    execute_sql(fixture->path, "PRAGMA application_id = 4711");
    assert_refused_as_it_is(fixture, "is a database, but not one of herd's records: move it away");
}

/* A new file does not need its log to be known as one of ours. */
static void test_a_new_file_whose_log_is_lost(void **state)
{
    struct fixture *fixture = *state;
    remove_both(fixture);
    unlink(fixture->witness);
    struct found found = {0};
    struct records *records = found_opened(fixture->copy, true, &found);
    assert_non_null(records);
    found_free(&found);
    copy_files(fixture->copy, fixture->old);
    records_close(records);
    copy_files(fixture->old, fixture->copy);
    if (access(fixture->log, F_OK) == 0)
        remove_log(fixture);
    found = found_in(fixture->copy);
    assert_int_equal(found.result, 0);
    assert_string_equal(found.lost, ""); /* nothing was in it */
    found_free(&found);
}

/* The copy's file, open for a life that has written a batch. */
static struct records *opened_and_written(struct fixture *fixture)
{
    struct found found = {0};
    struct records *records = found_opened(fixture->copy, false, &found);
    assert_non_null(records);
    world_restart(&fixture->world, &found);
    found_free(&found);
    world_make_any(&fixture->world);
    assert_int_equal(records_write(records, &fixture->world.batch), 0);
    return records;
}

/* Batches fail while a file of it is away, and are written once it is back. */
static void check_file_taken_away(struct fixture *fixture, const char *name, const char *reason)
{
    struct records *records = opened_and_written(fixture);
    char *path = testing_path(fixture->copy, name);
    char *away = testing_path(fixture->copy, "away");
    assert_int_equal(rename(path, away), 0);
    world_make_any(&fixture->world);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(records_write(records, &fixture->world.batch), HERD_EIO);
        assert_string_equal(records_reason(records), reason);
    }
    assert_int_equal(rename(away, path), 0);
    assert_int_equal(records_write(records, &fixture->world.batch), 0);
    records_close(records);
    assert_found_in(fixture->copy, &fixture->world.disk);
    free(path);
    free(away);
}

static void test_a_file_removed_while_it_is_written(void **state)
{
    check_file_taken_away(*state, "records.db",
                          "it was moved or removed: put it back, or start the server again");
}

static void test_a_log_removed_while_it_is_written(void **state)
{
    check_file_taken_away(*state, "records.db-wal",
                          "its log, records.db-wal, was moved or removed: put it back, or start "
                          "the server again");
}

/* Else it would be lost with the log where the server is killed before that is put back. */
static void test_what_a_removed_log_had_is_in_the_file(void **state)
{
    struct fixture *fixture = *state;
    struct records *records = opened_and_written(fixture);
    struct picture written = fixture->world.disk;
    assert_int_equal(unlink(fixture->log), 0);
    world_make_any(&fixture->world);
    assert_int_equal(records_write(records, &fixture->world.batch), HERD_EIO);
    copy_files(fixture->copy, fixture->killed);
    assert_found_in(fixture->killed, &written);
    records_close(records);
}

int main(void)
{
    disk_install(); /* which works, and does not wait for the real one */
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_file_removed_while_it_is_written),
        TEST(test_a_log_removed_while_it_is_written),
        TEST(test_what_a_removed_log_had_is_in_the_file),
        TEST(test_each_harm_is_said),
        TEST(test_a_bit_anywhere_in_the_log),
        TEST(test_without_a_witness),
        TEST(test_a_witness_that_says_nothing),
        TEST(test_a_damaged_witness_is_said),
        TEST(test_damage_that_shows_in_the_log_is_no_doubt),
        TEST(test_no_harm_nothing_said),
        TEST(test_torn_ends_are_no_damage),
        TEST(test_files_that_are_not_ours),
        TEST(test_a_new_file_whose_log_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
