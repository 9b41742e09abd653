/* How a places file is read beside somebody who writes into it in place, with SQLite's own VFS. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sqlite3.h>

#include <herd/err.h>

#include "local_fixture.h"
#include "places/local_db.h"
#include "testing.h"

static const char rows[] = "x:1\tWest\t34\t-118\tlocality\t\t\t\t0\t\n";
static const struct places_query there = {34, -118, 100};

struct fixture {
    struct folder *folder;
    struct local_db *reader;
    sqlite3 *writer;
    int writes; /* what the writer got while the reader was at it */
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    folder_setup((void **)&fixture->folder);
    build_places(fixture->folder, rows);
    assert_int_equal(sqlite3_open(fixture->folder->places, &fixture->writer), SQLITE_OK);
    struct herd_buf error = {0};
    assert_int_equal(local_db_open(fixture->folder->places, &fixture->reader, &error), 0);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    local_db_close(fixture->reader);
    assert_int_equal(sqlite3_close(fixture->writer), SQLITE_OK);
    folder_teardown((void **)&fixture->folder);
    free(fixture);
    return 0;
}

static int write_with(struct fixture *fixture, const char *sql)
{
    return sqlite3_exec(fixture->writer, sql, NULL, NULL, NULL);
}

static int on_place(void *arg, const struct local_place *place)
{
    (void)place;
    ++*(int *)arg;
    return 0;
}

static void test_a_file_that_is_being_written_is_not_read(void **state)
{
    struct fixture *fixture = *state;
    int places = 0;
    assert_int_equal(write_with(fixture, "BEGIN EXCLUSIVE; DELETE FROM place_at"), SQLITE_OK);
    assert_int_equal(local_db_near(fixture->reader, &there, on_place, &places, NULL), HERD_EIO);
    assert_string_equal(local_db_reason(fixture->reader), "database is locked");
    assert_int_equal(write_with(fixture, "COMMIT"), SQLITE_OK);
    assert_int_equal(local_db_near(fixture->reader, &there, on_place, &places, NULL), 0);
    assert_int_equal(places, 0); /* as it is now */
}

static void test_a_writer_that_only_began_holds_nobody_up(void **state)
{
    struct fixture *fixture = *state;
    int places = 0;
    assert_int_equal(write_with(fixture, "BEGIN IMMEDIATE; DELETE FROM place_at"), SQLITE_OK);
    assert_int_equal(local_db_near(fixture->reader, &there, on_place, &places, NULL), 0);
    assert_int_equal(places, 1);
    assert_int_equal(write_with(fixture, "ROLLBACK"), SQLITE_OK);
}

/* Another connection of the process to the same file comes and goes: with a process's own locks
 * that would have ended the reader's. */
static int on_place_written(void *arg, const struct local_place *place)
{
    struct fixture *fixture = arg;
    struct local_db *other;
    struct herd_buf error = {0};
    (void)place;
    assert_int_equal(local_db_open(fixture->folder->places, &other, &error), 0);
    local_db_close(other);
    fixture->writes = write_with(fixture, "DELETE FROM place_at");
    return 0;
}

static void test_a_file_that_is_being_read_is_not_written(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(local_db_near(fixture->reader, &there, on_place_written, fixture, NULL), 0);
    assert_int_equal(fixture->writes, SQLITE_BUSY);
    assert_int_equal(write_with(fixture, "DELETE FROM place_at"), SQLITE_OK);
}

static void test_a_file_in_wal_mode_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct local_db *other;
    struct herd_buf error = {0};
    assert_int_equal(write_with(fixture, "PRAGMA journal_mode = WAL"), SQLITE_OK);
    assert_int_equal(local_db_open(fixture->folder->places, &other, &error), HERD_EIO);
    char *text = testing_take_text(&error);
    assert_contains(text, "it is in WAL mode");
    free(text);
    assert_int_equal(write_with(fixture, "PRAGMA journal_mode = DELETE"), SQLITE_OK);
    assert_int_equal(local_db_open(fixture->folder->places, &other, &error), 0);
    local_db_close(other);
}

/* What a writer that was killed leaves: half of a write in the file, the rest of it beside. */
static void test_a_write_that_was_interrupted_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct local_db *other;
    struct herd_buf error = {0};
    char journal[512], link[512];
    snprintf(journal, sizeof(journal), "%s-journal", fixture->folder->places);
    snprintf(link, sizeof(link), "%s-link", fixture->folder->places);
    FILE *file = fopen(journal, "w");
    assert_non_null(file);
    assert_int_equal(fputs("what was there before", file) >= 0 && fclose(file) == 0, true);
    assert_int_equal(symlink(fixture->folder->places, link), 0);
    const char *const paths[] = {fixture->folder->places, link};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        assert_int_equal(local_db_open(paths[i], &other, &error), HERD_EIO);
        char *text = testing_take_text(&error);
        assert_contains(text, "a write into it was interrupted");
        free(text);
    }
    unlink(journal);
    assert_int_equal(local_db_open(link, &other, &error), 0);
    local_db_close(other);
    unlink(link);
}

static void test_a_pipe_is_refused_at_once(void **state)
{
    struct fixture *fixture = *state;
    struct local_db *other;
    struct herd_buf error = {0};
    char pipe[512];
    snprintf(pipe, sizeof(pipe), "%s-pipe", fixture->folder->places);
    assert_int_equal(mkfifo(pipe, 0600), 0);
    assert_true(local_db_open(pipe, &other, &error) < 0);
    assert_true(error.len > 0);
    herd_buf_free(&error);
    unlink(pipe);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_file_that_is_being_written_is_not_read, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_writer_that_only_began_holds_nobody_up, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_file_that_is_being_read_is_not_written, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_file_in_wal_mode_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_write_that_was_interrupted_is_refused, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_pipe_is_refused_at_once, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
