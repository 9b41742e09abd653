/* The file records.db: what was written is found, after any number of lives and after a crash at
 * any point, and the file stays as small as it may. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sqlite3.h>

#include <herd/err.h>

#include "durable/records.h"
#include "durable/sqlite_room.h"
#include "world.h"

struct fixture {
    char *folder, *copy;
    struct world world;
    struct records *records;
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    fixture->folder = testing_make_folder();
    fixture->copy = testing_make_folder();
    world_init(&fixture->world, 1);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    records_close(fixture->records);
    world_free(&fixture->world);
    testing_remove_folder(fixture->folder);
    testing_remove_folder(fixture->copy);
    free(fixture);
    return 0;
}

/* Begins a life with what is found. */
static void begin_life(struct fixture *fixture, bool sync)
{
    struct found found = {0};
    struct durable_found callbacks = found_callbacks(&found);
    struct herd_buf error = {0};
    if (records_open(fixture->folder, sync, &callbacks, &fixture->records, &error) < 0)
        fail_msg("%.*s", (int)error.len, error.data);
    assert_int_equal(error.len, 0);
    assert_int_equal(found.wrong_rows, 0);
    assert_true(picture_equal(&found.picture, &fixture->world.disk));
    world_restart(&fixture->world, &found);
}

static void end_life(struct fixture *fixture)
{
    records_close(fixture->records);
    fixture->records = NULL;
}

static void write_batch(struct fixture *fixture)
{
    int rc = records_write(fixture->records, &fixture->world.batch);
    if (rc < 0)
        fail_msg("%s: %s", herd_strerror(rc), records_reason(fixture->records));
}

static void tidy_all(struct fixture *fixture)
{
    int rc;
    while ((rc = records_tidy(fixture->records)) > 0)
        ;
    assert_int_equal(rc, 0);
}

static int64_t number_in(const struct fixture *fixture, const char *sql)
{
    sqlite3 *sqlite;
    sqlite3_stmt *statement;
    char *path = testing_path(fixture->folder, "records.db");
    assert_int_equal(sqlite3_open_v2(path, &sqlite, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    free(path);
    if (sqlite3_prepare_v2(sqlite, sql, -1, &statement, NULL) != SQLITE_OK)
        fail_msg("%s", sqlite3_errmsg(sqlite));
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    int64_t number = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    sqlite3_close(sqlite);
    return number;
}

static int64_t file_bytes(const struct fixture *fixture, const char *name)
{
    struct stat status;
    char *path = testing_path(fixture->folder, name);
    int rc = stat(path, &status);
    free(path);
    return rc == 0 ? (int64_t)status.st_size : -1;
}

static void test_a_new_folder(void **state)
{
    struct fixture *fixture = *state;
    struct found found = found_in(fixture->folder);
    assert_int_equal(found.result, 0);
    assert_string_equal(found.error, "");
    assert_false(found.has_state);
    assert_int_equal(found.rows, 0);
    found_free(&found);
    /* Once more: a life in which nothing was written leaves nothing. */
    found = found_in(fixture->folder);
    assert_int_equal(found.result, 0);
    assert_false(found.has_state);
    found_free(&found);
}

static void test_files_are_the_owners_alone(void **state)
{
    struct fixture *fixture = *state;
    mode_t before = umask(0);
    begin_life(fixture, true);
    world_change(&fixture->world, 5);
    world_make_journal(&fixture->world, SIZE_MAX, false);
    write_batch(fixture);
    umask(before);
    static const char *const names[] = {"records.db", "records.db-wal", "records.db-shm", "lock"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct stat status;
        char *path = testing_path(fixture->folder, names[i]);
        assert_int_equal(stat(path, &status), 0);
        assert_int_equal(status.st_mode & 0777, 0600);
        free(path);
    }
}

static void test_a_batch_comes_back(void **state)
{
    struct fixture *fixture = *state;
    for (int sync = 0; sync < 2; sync++) {
        begin_life(fixture, sync);
        world_change(&fixture->world, 1000);
        world_make_journal(&fixture->world, SIZE_MAX, false);
        write_batch(fixture);
        end_life(fixture);
        assert_found_in(fixture->folder, &fixture->world.disk);
    }
}

static void test_marks_stay_until_new_ones_come(void **state)
{
    struct fixture *fixture = *state;
    begin_life(fixture, false);
    world_change(&fixture->world, 100);
    world_make_journal(&fixture->world, SIZE_MAX, false);
    write_batch(fixture);
    uint64_t mark = fixture->world.mark;
    world_change(&fixture->world, 100);
    world_make_journal(&fixture->world, 10, false); /* is cut short: bears no marks out */
    assert_int_equal(fixture->world.batch.neighbours.len, 0);
    write_batch(fixture);
    end_life(fixture);
    assert_int_equal(fixture->world.disk.mark, mark);
    assert_found_in(fixture->folder, &fixture->world.disk);
}

/* The node makes no such batch, but if one came, it would never be written, nor what follows. */
static void test_last_mark_of_a_name_counts(void **state)
{
    struct fixture *fixture = *state;
    struct herd_buf *marks = &fixture->world.batch.neighbours, once = {0};
    begin_life(fixture, false);
    for (int batches = 0; batches < 2; batches++) {
        world_change(&fixture->world, 100);
        world_make_journal(&fixture->world, SIZE_MAX, false);
        assert_int_equal(herd_buf_append_slice(&once, herd_buf_slice(marks)), 0);
        marks->len = 0;
        assert_int_equal(herd_buf_append_text(marks, "Smith 0000000000000001 2 3 4\n"), 0);
        assert_int_equal(herd_buf_append_slice(marks, herd_buf_slice(&once)), 0);
        once.len = 0;
        write_batch(fixture);
    }
    herd_buf_free(&once);
    end_life(fixture);
    assert_int_equal(number_in(fixture, "SELECT count(*) FROM neighbour"), 2);
    assert_found_in(fixture->folder, &fixture->world.disk);
}

static void test_long_texts(void **state)
{
    struct fixture *fixture = *state;
    fixture->world.text_max = WORLD_TEXT_MAX;
    begin_life(fixture, false);
    for (int i = 0; i < 20; i++) {
        world_make_any(&fixture->world);
        write_batch(fixture);
    }
    end_life(fixture);
    assert_found_in(fixture->folder, &fixture->world.disk);
}

/* Also in a life that wrote nothing, neighbours may have seen sequences. */
static void test_no_sequence_is_used_twice(void **state)
{
    struct fixture *fixture = *state;
    begin_life(fixture, false);
    world_change(&fixture->world, 10);
    world_make_journal(&fixture->world, SIZE_MAX, false);
    write_batch(fixture);
    end_life(fixture);
    uint64_t upto = fixture->world.batch.upto;
    for (int life = 0; life < 3; life++) {
        struct found found = found_in(fixture->folder);
        assert_int_equal(found.result, 0);
        assert_true(found.sequence_free >= upto + UINT32_MAX);
        upto = found.sequence_free;
        found_free(&found);
    }
}

static void test_many_lives(void **state)
{
    struct fixture *fixture = *state;
    struct world *world = &fixture->world;
    size_t snapshots = 0;
    for (int life = 0; life < 30; life++) {
        begin_life(fixture, life % 2);
        size_t batches = world_random(world, 60);
        for (size_t i = 0; i < batches; i++) {
            world_make_any(world);
            write_batch(fixture);
            snapshots += world->batch.ends;
            if (world_random(world, 3) > 0)
                records_tidy(fixture->records);
        }
        end_life(fixture);
    }
    assert_true(snapshots > 10);
    assert_found_in(fixture->folder, &world->disk);
    assert_int_equal(
        number_in(fixture, "SELECT integrity_check = 'ok' FROM pragma_integrity_check"), 1);
}

static void test_a_hundred_thousand_records(void **state)
{
    struct fixture *fixture = *state;
    struct world *world = &fixture->world;
    size_t rows = 0, generations = 0;
    begin_life(fixture, false);
    while (rows < 100000) {
        bool is_snapshot = world->is_snapshotting && world_random(world, 2) == 0;
        if (is_snapshot) {
            world_make_snapshot(world, 50);
        } else {
            world_change(world, 300 + world_random(world, 600));
            world_make_journal(world, SIZE_MAX,
                               !world->is_snapshotting && rows / 5000 > generations);
        }
        generations += world->batch.ends;
        for (size_t i = 0; i < world->batch.records.len; i++)
            rows += world->batch.records.data[i] == '\n';
        write_batch(fixture);
        records_tidy(fixture->records);
    }
    assert_true(generations > 5);
    tidy_all(fixture);
    /* The journals since the last snapshot began, and little more than that. */
    assert_true(records_journal_rows(fixture->records) < 20000);
    assert_true(file_bytes(fixture, "records.db") < 40 << 20);
    end_life(fixture);
    assert_found_in(fixture->folder, &world->disk);
}

static void test_what_a_snapshot_replaces_goes(void **state)
{
    struct fixture *fixture = *state;
    struct world *world = &fixture->world;
    begin_life(fixture, false);
    for (int i = 0; i < 3; i++) {
        world_change(world, 1000);
        world_make_journal(world, SIZE_MAX, i == 2);
        write_batch(fixture);
    }
    assert_true(records_is_snapshotting(fixture->records));
    assert_true(records_journal_rows(fixture->records) > 500);
    tidy_all(fixture);
    assert_int_equal(number_in(fixture, "SELECT count(DISTINCT generation) FROM segment"), 2);
    world_make_snapshot(world, SIZE_MAX);
    assert_true(world->batch.ends);
    write_batch(fixture);
    assert_false(records_is_snapshotting(fixture->records));
    tidy_all(fixture);
    assert_int_equal(number_in(fixture, "SELECT count(DISTINCT generation) FROM segment"), 1);
    assert_int_equal(number_in(fixture, "SELECT count(*) FROM sqlite_schema WHERE name LIKE "
                                        "'segment\\__%' ESCAPE '\\'"),
                     number_in(fixture, "SELECT count(*) FROM segment"));
    end_life(fixture);
    assert_found_in(fixture->folder, &world->disk);
}

/* A life that ends in the middle of a snapshot: the next one reads both journals, and makes a new
 * snapshot; the half-made one goes. */
static void test_a_snapshot_that_was_cut_short(void **state)
{
    struct fixture *fixture = *state;
    struct world *world = &fixture->world;
    for (int life = 0; life < 4; life++) {
        begin_life(fixture, false);
        tidy_all(fixture);
        assert_int_equal(number_in(fixture, "SELECT count(*) FROM segment WHERE is_snapshot"), 0);
        world_change(world, 500);
        world_make_journal(world, SIZE_MAX, true);
        write_batch(fixture);
        world_make_snapshot(world, 40);
        assert_false(world->batch.ends);
        write_batch(fixture);
        assert_int_equal(number_in(fixture, "SELECT count(*) FROM segment WHERE is_snapshot"), 1);
        end_life(fixture);
    }
    begin_life(fixture, false);
    world_make_journal(world, SIZE_MAX, true);
    write_batch(fixture);
    world_make_snapshot(world, SIZE_MAX);
    assert_true(world->batch.ends);
    write_batch(fixture);
    tidy_all(fixture);
    assert_int_equal(number_in(fixture, "SELECT count(*) FROM segment WHERE NOT is_snapshot"), 0);
    end_life(fixture);
    assert_found_in(fixture->folder, &world->disk);
}

/* Tables are cut at a size, so that each can be dropped in a short time. */
static void test_a_long_journal_is_cut_into_segments(void **state)
{
    struct fixture *fixture = *state;
    struct world *world = &fixture->world;
    world->text_max = WORLD_TEXT_MAX;
    begin_life(fixture, false);
    for (int i = 0; i < 90; i++) {
        world_change(world, 1000);
        world_make_journal(world, SIZE_MAX, false);
        write_batch(fixture);
        records_tidy(fixture->records);
    }
    int64_t segments = number_in(fixture, "SELECT count(*) FROM segment");
    assert_in_range(segments, 3, 5);
    assert_true(number_in(fixture, "SELECT max(bytes) FROM segment") <=
                SEGMENT_MAX_BYTES + WORLD_TEXT_MAX);
    end_life(fixture);
    assert_found_in(fixture->folder, &world->disk);
}

/* A row costs more than what it holds: short records share one, long ones have one of their own. */
static void test_rows_of_many_records(void **state)
{
    struct fixture *fixture = *state;
    struct world *world = &fixture->world;
    int64_t records = 0;
    begin_life(fixture, false);
    for (unsigned i = 0; i < 100; i++) {
        world->text_max = i % 3 == 0 ? WORLD_TEXT_MAX : 1 + i;
        world_change(world, 40);
        world_make_journal(world, i % 4 == 0 ? 1 : SIZE_MAX, i == 50);
        write_batch(fixture);
        for (size_t at = 0; at < world->batch.records.len; at++)
            records += world->batch.records.data[at] == '\n';
    }
    char sql[128];
    int len = sprintf(sql, "SELECT count(*) FROM segment_2 WHERE length(CAST(text AS BLOB)) > %d",
                      ROW_MAX_BYTES);
    assert_true(number_in(fixture, sql) > 0);
    snprintf(sql + len, sizeof sql - (size_t)len, " AND instr(text, char(10)) > 0");
    assert_int_equal(number_in(fixture, sql), 0);
    assert_int_equal(number_in(fixture, "SELECT sum(rows) FROM segment"), records);
    assert_true(number_in(fixture, "SELECT count(*) FROM segment_1") < records / 4);
    end_life(fixture);
    assert_found_in(fixture->folder, &world->disk);
}

/* A file that has been large, and will not be again, gives its space back. */
static void test_a_file_shrinks(void **state)
{
    struct fixture *fixture = *state;
    struct world *world = &fixture->world;
    world->text_max = WORLD_TEXT_MAX;
    begin_life(fixture, false);
    for (int i = 0; i < 150; i++) {
        world_change(world, 1000);
        world_make_journal(world, SIZE_MAX, i == 149);
        write_batch(fixture);
    }
    world_make_snapshot(world, SIZE_MAX);
    write_batch(fixture);
    end_life(fixture);
    assert_true(file_bytes(fixture, "records.db") > 70 << 20);
    begin_life(fixture, false); /* tidies what the last life had no time for */
    tidy_all(fixture);
    end_life(fixture);
    assert_in_range(file_bytes(fixture, "records.db"), 16 << 20, 32 << 20);
    assert_int_equal(file_bytes(fixture, "records.db-wal"), -1);
    assert_found_in(fixture->folder, &world->disk);
}

/* Without it, the log would grow until the end. */
static void test_the_log_is_short(void **state)
{
    struct fixture *fixture = *state;
    struct world *world = &fixture->world;
    int64_t log_max = (int64_t)CHECKPOINT_PAGES * 4120;
    begin_life(fixture, false);
    int64_t written = 0;
    while (written < 4 * log_max) {
        world_change(world, 3000);
        world_make_journal(world, SIZE_MAX, false);
        write_batch(fixture);
        written += (int64_t)world->batch.records.len;
        records_tidy(fixture->records);
    }
    assert_true(file_bytes(fixture, "records.db-wal") < log_max + (2 << 20));
    end_life(fixture);
    assert_int_equal(file_bytes(fixture, "records.db-wal"), -1);
}

/* A program that reads the file holds checkpoints up, but not the writer. */
static void test_a_backup_while_it_is_written(void **state)
{
    struct fixture *fixture = *state;
    struct world *world = &fixture->world;
    sqlite3 *reader;
    sqlite3_stmt *statement;
    char sql[512];
    begin_life(fixture, true);
    world_change(world, 1000);
    world_make_journal(world, SIZE_MAX, false);
    write_batch(fixture);
    struct picture then = world->disk;
    char *path = testing_path(fixture->folder, "records.db");
    assert_int_equal(sqlite3_open_v2(path, &reader, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    free(path);
    assert_int_equal(sqlite3_exec(reader, "BEGIN", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(
        sqlite3_prepare_v2(reader, "SELECT count(*) FROM segment_1", -1, &statement, NULL),
        SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    for (int i = 0; i < 50; i++) {
        world_change(world, 3000);
        world_make_journal(world, SIZE_MAX, i == 10);
        write_batch(fixture);
        tidy_all(fixture);
    }
    sqlite3_finalize(statement);
    assert_int_equal(sqlite3_exec(reader, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    snprintf(sql, sizeof sql, "VACUUM INTO '%s/records.db'", fixture->copy);
    assert_int_equal(sqlite3_exec(reader, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(reader);
    assert_false(picture_equal(&then, &world->disk));
    assert_found_in(fixture->copy, &world->disk);
    end_life(fixture);
}

/* Crashes: the files as they are after each step, opened elsewhere. */

static void assert_copy_is(struct fixture *fixture, const struct picture *expected)
{
    copy_files(fixture->folder, fixture->copy);
    assert_found_in(fixture->copy, expected);
}

static void test_a_crash_after_any_step(void **state)
{
    struct fixture *fixture = *state;
    struct world *world = &fixture->world;
    for (int life = 0; life < 4; life++) {
        begin_life(fixture, false);
        assert_copy_is(fixture, &world->disk);
        for (int i = 0; i < 40; i++) {
            world_make_any(world);
            write_batch(fixture);
            assert_copy_is(fixture, &world->disk);
            while (records_tidy(fixture->records) > 0)
                assert_copy_is(fixture, &world->disk);
        }
        /* The life ends without a last checkpoint: the next one begins with the copy. */
        copy_files(fixture->folder, fixture->copy);
        end_life(fixture);
        copy_files(fixture->copy, fixture->folder);
    }
}

enum { BATCHES = 60 };

static size_t index_of(const struct picture *pictures, const struct picture *found)
{
    size_t i = 0;
    while (i < BATCHES && !picture_equal(&pictures[i], found))
        i++;
    return i;
}

/* Writes BATCHES batches; pictures[i] is what is on disk after the i-th. */
static void write_history(struct fixture *fixture, struct picture *pictures)
{
    begin_life(fixture, false);
    for (int i = 0; i < BATCHES; i++) {
        world_make_any(&fixture->world);
        write_batch(fixture);
        pictures[i] = fixture->world.disk;
    }
    copy_files(fixture->folder, fixture->copy);
    end_life(fixture);
    copy_files(fixture->copy, fixture->folder);
}

/* The end of the log is lost, as after a power loss with sync off: all up to some batch is there.
 */
static void test_a_log_that_ends_early(void **state)
{
    struct fixture *fixture = *state;
    static struct picture pictures[BATCHES];
    write_history(fixture, pictures);
    int64_t bytes = file_bytes(fixture, "records.db-wal");
    char *log = testing_path(fixture->copy, "records.db-wal");
    size_t last = 0, found_some = 0;
    for (int64_t len = 0; len <= bytes; len += 1 + (int64_t)world_random(&fixture->world, 9000)) {
        copy_files(fixture->folder, fixture->copy);
        assert_int_equal(truncate(log, len), 0);
        struct found found = found_in(fixture->copy);
        if (found.result != 0)
            fail_msg("%lld of %lld bytes: %s", (long long)len, (long long)bytes, found.error);
        assert_int_equal(found.wrong_rows, 0);
        if (found.has_state) {
            size_t i = index_of(pictures, &found.picture);
            assert_in_range(i, last, BATCHES - 1);
            last = i;
            found_some++;
        } else {
            assert_int_equal(found_some, 0);
        }
        found_free(&found);
    }
    assert_true(last >= BATCHES - 5 && found_some > 50);
    free(log);
}

/* The same with a bit that has changed: the log ends there. */
static void test_a_log_that_is_damaged(void **state)
{
    struct fixture *fixture = *state;
    static struct picture pictures[BATCHES];
    write_history(fixture, pictures);
    int64_t bytes = file_bytes(fixture, "records.db-wal");
    char *log = testing_path(fixture->copy, "records.db-wal");
    for (int round = 0; round < 100; round++) {
        copy_files(fixture->folder, fixture->copy);
        char *text = testing_read_file(log);
        text[world_random(&fixture->world, (uint64_t)bytes)] ^=
            (char)(1 << world_random(&fixture->world, 8));
        testing_write_file(log, text, (size_t)bytes);
        free(text);
        struct found found = found_in(fixture->copy);
        if (found.result != 0)
            fail_msg("%s", found.error);
        assert_int_equal(found.wrong_rows, 0);
        if (found.is_other_epoch) /* it was noticed */
            found.picture.epoch = fixture->world.held.epoch;
        assert_true(!found.has_state || index_of(pictures, &found.picture) < BATCHES);
        found_free(&found);
    }
    free(log);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_new_folder),
        TEST(test_files_are_the_owners_alone),
        TEST(test_a_batch_comes_back),
        TEST(test_marks_stay_until_new_ones_come),
        TEST(test_last_mark_of_a_name_counts),
        TEST(test_long_texts),
        TEST(test_no_sequence_is_used_twice),
        TEST(test_many_lives),
        TEST(test_a_hundred_thousand_records),
        TEST(test_what_a_snapshot_replaces_goes),
        TEST(test_a_snapshot_that_was_cut_short),
        TEST(test_a_long_journal_is_cut_into_segments),
        TEST(test_rows_of_many_records),
        TEST(test_a_file_shrinks),
        TEST(test_the_log_is_short),
        TEST(test_a_backup_while_it_is_written),
        TEST(test_a_crash_after_any_step),
        TEST(test_a_log_that_ends_early),
        TEST(test_a_log_that_is_damaged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
