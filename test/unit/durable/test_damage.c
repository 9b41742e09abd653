/* Folders and files that are not as they should be: each is refused with a sentence that helps, or
 * gives what was written; never something else, never a crash. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sqlite3.h>

#include <herd/err.h>

#include "disk.h"
#include "durable/records.h"
#include "world.h"

struct fixture {
    char *folder, *copy, *path; /* path: folder/records.db */
    struct world world;
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    fixture->folder = testing_make_folder();
    fixture->copy = testing_make_folder();
    fixture->path = testing_path(fixture->folder, "records.db");
    world_init(&fixture->world, 3);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    world_free(&fixture->world);
    testing_remove_folder(fixture->folder);
    testing_remove_folder(fixture->copy);
    free(fixture->path);
    free(fixture);
    return 0;
}

static void write_batches(struct fixture *fixture, struct records *records, int count)
{
    for (int i = 0; i < count; i++) {
        world_make_any(&fixture->world);
        assert_int_equal(records_write(records, &fixture->world.batch), 0);
    }
}

/* A file with a history: journals, a snapshot, free pages. */
static void make_file(struct fixture *fixture)
{
    struct found found = {0};
    struct records *records = found_opened(fixture->folder, false, &found);
    assert_non_null(records);
    world_restart(&fixture->world, &found);
    write_batches(fixture, records, 60);
    while (records_tidy(records) > 0)
        ;
    records_close(records);
    found_free(&found);
}

static void assert_refused(const char *folder, int expected, const char *sentence)
{
    struct found found = found_in(folder);
    if (found.result != expected)
        fail_msg("%d instead of %d: %s", found.result, expected, found.error);
    assert_contains(found.error, sentence);
    found_free(&found);
}

static void test_files_of_another_kind(void **state)
{
    static const char junk[5000] = "no database";
    static const struct {
        const char *bytes;
        size_t len;
        const char *sentence;
    } cases[] = {
        {"x", 1, "is damaged: it has 1 bytes: "},
        {"This is a text that is longer than the header of a database, which has a hundred bytes,"
         " so that it could be one, if it began as one.",
         130, "is damaged: it has 130 bytes: "},
        {junk, sizeof junk, "is damaged: file is not a database: "},
        {"SQLite format 3\0 and nothing more", 33, "is damaged: it has 33 bytes: "},
    };
    struct fixture *fixture = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        testing_write_file(fixture->path, cases[i].bytes, cases[i].len);
        assert_refused(fixture->folder, HERD_EPROTO, cases[i].sentence);
        assert_refused(fixture->folder, HERD_EPROTO, "records.db* ");
        char *bytes = testing_read_file(fixture->path);
        assert_memory_equal(bytes, cases[i].bytes, cases[i].len);
        free(bytes);
    }
}

static void test_the_advice_works(void **state)
{
    struct fixture *fixture = *state;
    testing_write_file(fixture->path, "x", 1);
    struct found found = found_in(fixture->folder);
    char *begin = strchr(found.error, '`');
    assert_non_null(begin);
    char *end = strchr(begin + 1, '`');
    assert_non_null(end);
    *end = '\0';
    assert_int_equal(system(begin + 1), 0); /* NOLINT(cert-env33-c) */
    found_free(&found);
    found = found_in(fixture->folder);
    assert_int_equal(found.result, 0);
    found_free(&found);
}

static void test_databases_of_another_kind(void **state)
{
    static const struct {
        const char *sql, *sentence;
    } cases[] = {
        {"CREATE TABLE t (a)", "is a database, but not one of herd's records"},
        {"PRAGMA application_id = 1751478372", "is a database, but not one of herd's records"},
        {"DROP TABLE t; PRAGMA application_id = 0x68726563; PRAGMA user_version = 5",
         "was written by a newer herd (format 5, this one reads 4)"},
        {"PRAGMA user_version = 4", "is damaged: no such table: state"},
        {"PRAGMA user_version = 3", "is damaged: no such table: state"},
        {"PRAGMA user_version = 2", "is damaged: no such table: state"},
        {"PRAGMA user_version = 1", "is damaged: no such table: state"},
    };
    struct fixture *fixture = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        execute_sql(fixture->path, cases[i].sql);
        assert_refused(fixture->folder, HERD_EPROTO, cases[i].sentence);
    }
}

static void test_changed_contents(void **state)
{
    static const struct {
        const char *sql, *sentence;
    } cases[] = {
        {"UPDATE state SET sequence_free = sequence_free - 1", "its state is not the one"},
        {"UPDATE state SET epoch = epoch + 1", "its state is not the one"},
        {"UPDATE neighbour SET sequence = sequence + 1", "its state is not the one"},
        {"UPDATE neighbour SET life = life + 1 WHERE name = 'Smith'", "its state is not the one"},
        {"UPDATE neighbour SET life_from = 1 WHERE name = 'Smith'", "its state is not the one"},
        {"DELETE FROM neighbour WHERE name = 'Smith'", "its state is not the one"},
        {"INSERT INTO neighbour VALUES (hex(zeroblob(33)), 1, 1, 0, 0)", "name has 66 bytes"},
        {"UPDATE life SET life = life + 1", "its state is not the one"},
        {"UPDATE life SET life_from = life_from + 1", "its state is not the one"},
        {"DELETE FROM life", "its state is not the one"},
        {"DROP TABLE life", "no such table: life"},
        {"UPDATE segment SET generation = generation + 1", "its state is not the one"},
        {"DELETE FROM segment WHERE id = (SELECT max(id) FROM segment)", "its state is not"},
        {"DELETE FROM state", "its state is not the one"},
        {"DROP TABLE neighbour", "no such table: neighbour"},
    };
    struct fixture *fixture = *state;
    make_file(fixture);
    copy_files(fixture->folder, fixture->copy);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        copy_files(fixture->copy, fixture->folder);
        execute_sql(fixture->path, cases[i].sql);
        assert_refused(fixture->folder, HERD_EPROTO, cases[i].sentence);
    }
}

static void test_changed_rows(void **state)
{
    static const struct {
        const char *sql, *sentence;
    } cases[] = {
        {"DELETE FROM %s WHERE sequence = (SELECT max(sequence) FROM %s)", "are not those"},
        {"DELETE FROM %s WHERE sequence = (SELECT min(sequence) FROM %s)", "are not those"},
        {"UPDATE %s SET text = substr(text, 1, length(text) - 1)", "are not those"},
        {"UPDATE %s SET text = replace(text, char(10), ' ')", "are not those"},
        {"UPDATE %s SET text = text || char(10)", "has no sequence"},
        {"UPDATE %s SET text = text || char(10) || 'x'", "has no sequence"},
        {"UPDATE %s SET text = text || char(10) || '9'", "has no sequence"},
        {"UPDATE %s SET text = text || char(10) || ' x'", "has no sequence"},
        {"UPDATE %s SET text = text || char(10) || '9223372036854775808 x'", "has no sequence"},
        {"UPDATE %s SET text = text || char(10) || '00000000000000000001 x'", "has no sequence"},
        {"UPDATE %s SET text = text || char(10) || '9223372036854775807 x'", "is out of order"},
        {"UPDATE %s SET text = text || char(10) || '1 x'", "is out of order"},
        {"UPDATE %s SET sequence = -sequence WHERE sequence = (SELECT min(sequence) FROM %s)",
         "is out of order"},
        {"INSERT INTO %s VALUES (9000000000000000000, 'x')", "is out of order"},
        {"DROP TABLE %s", "no such table: segment_"},
    };
    struct fixture *fixture = *state;
    make_file(fixture);
    copy_files(fixture->folder, fixture->copy);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        copy_files(fixture->copy, fixture->folder);
        sqlite3 *sqlite;
        sqlite3_stmt *newest;
        char sql[256], table[32];
        assert_int_equal(sqlite3_open(fixture->path, &sqlite), SQLITE_OK);
        assert_int_equal(sqlite3_prepare_v2(sqlite,
                                            "SELECT max(id) FROM segment WHERE NOT is_snapshot", -1,
                                            &newest, NULL),
                         SQLITE_OK);
        assert_int_equal(sqlite3_step(newest), SQLITE_ROW);
        snprintf(table, sizeof table, "segment_%lld", sqlite3_column_int64(newest, 0));
        sqlite3_finalize(newest);
        sqlite3_snprintf(sizeof sql, sql, cases[i].sql, table, table);
        assert_int_equal(sqlite3_exec(sqlite, sql, NULL, NULL, NULL), SQLITE_OK);
        sqlite3_close(sqlite);
        assert_refused(fixture->folder, HERD_EPROTO, cases[i].sentence);
    }
}

/* The caller's refusal of a record ends the reading, and is the result. */
static int refuse(void *arg, uint64_t sequence, struct herd_slice text)
{
    (void)sequence;
    (void)text;
    ++*(int *)arg;
    return HERD_ESYNTAX;
}

static int take_state(void *arg, uint64_t epoch, uint64_t sequence_free)
{
    (void)arg;
    (void)epoch;
    (void)sequence_free;
    return 0;
}

static void test_a_record_that_is_not_taken(void **state)
{
    struct fixture *fixture = *state;
    make_file(fixture);
    int calls = 0;
    struct durable_found found = {.arg = &calls, .state = take_state, .record = refuse};
    struct records *records = NULL;
    struct herd_buf error = {0};
    assert_int_equal(records_open(fixture->folder, true, &found, &records, &error), HERD_ESYNTAX);
    assert_null(records);
    assert_int_equal(calls, 1);
    char *text = testing_take_text(&error);
    assert_contains(text, "cannot be taken: not of the expected form");
    free(text);
}

static void test_a_log_without_its_file(void **state)
{
    struct fixture *fixture = *state;
    char *log = testing_path(fixture->folder, "records.db-wal");
    testing_write_file(log, "not empty", 9);
    for (int i = 0; i < 2; i++)
        assert_refused(fixture->folder, HERD_EPROTO, "has the newest part of");
    char *bytes = testing_read_file(log);
    assert_string_equal(bytes, "not empty");
    free(bytes);
    testing_write_file(log, "", 0);
    struct found found = found_in(fixture->folder);
    assert_int_equal(found.result, 0);
    found_free(&found);
    free(log);
}

static void test_paths_that_are_no_files(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(mkdir(fixture->path, 0700), 0);
    assert_refused(fixture->folder, HERD_EIO, "records.db cannot be read and written: Is a dir");
    assert_int_equal(rmdir(fixture->path), 0);
    assert_int_equal(mkfifo(fixture->path, 0600), 0);
    assert_refused(fixture->folder, HERD_EPROTO, "records.db is not a file: move it away");
    assert_refused("/nowhere/at/all", HERD_EIO,
                   "/nowhere/at/all/lock cannot be opened: No such file or directory");
}

/* Runs it in a child as nobody, for whom permissions hold. */
static void as_nobody(void (*check)(const struct fixture *fixture), const struct fixture *fixture)
{
    enum { NOBODY = 65534 };
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (geteuid() == 0 && (setgid(NOBODY) != 0 || setuid(NOBODY) != 0))
            _exit(2);
        check(fixture);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* In the child a failed assertion would go on as the parent: it says so by its exit instead. */
static void expect(bool condition, const struct found *found)
{
    if (condition)
        return;
    fprintf(stderr, "%d: %s\n", found->result, found->error);
    _exit(1);
}

/* What is there is given, and it says why nothing can be written. */
static void expect_read(const struct fixture *fixture, const char *why)
{
    struct found found = found_in(fixture->folder);
    struct picture expected = fixture->world.disk;
    expect(found.result == 0 && strstr(found.error, why) != NULL && found.is_other_epoch &&
               picture_equal(&found.picture, &expected),
           &found);
    found_free(&found);
}

static void check_read_only_folder(const struct fixture *fixture)
{
    expect_read(fixture, "/lock cannot be opened: Permission denied: the server's user has to own");
}

/* The lock may be had, but not the database. */
static void check_read_only_file(const struct fixture *fixture)
{
    expect_read(fixture, "records.db cannot be read and written: Permission denied");
}

/* And neither may its log. */
static void check_folder_without_log(const struct fixture *fixture)
{
    expect_read(fixture, "records.db cannot be read and written");
}

static void check_hidden_file(const struct fixture *fixture)
{
    struct found found = found_in(fixture->folder);
    expect(found.result == HERD_EIO &&
               strstr(found.error, "records.db cannot be read and written: Permission denied"),
           &found);
    found_free(&found);
}

static void check_hidden_folder(const struct fixture *fixture)
{
    struct found found = found_in(fixture->folder);
    expect(found.result == HERD_EIO &&
               strstr(found.error, "/lock cannot be opened: Permission denied"),
           &found);
    found_free(&found);
}

static void test_folders_and_files_that_cannot_be_written(void **state)
{
    struct fixture *fixture = *state;
    char *lock = testing_path(fixture->folder, "lock");
    fixture->world.disk = (struct picture){0};
    assert_int_equal(chmod(fixture->folder, 0555), 0);
    as_nobody(check_read_only_folder, fixture);
    assert_int_equal(chmod(fixture->folder, 0700), 0);
    make_file(fixture);
    assert_int_equal(chmod(lock, 0666), 0);
    assert_int_equal(chmod(fixture->path, 0444), 0);
    assert_int_equal(chmod(fixture->folder, 0555), 0);
    as_nobody(check_read_only_file, fixture);
    assert_int_equal(chmod(fixture->path, 0666), 0);
    as_nobody(check_folder_without_log, fixture);
    assert_int_equal(chmod(fixture->folder, 0700), 0);
    free(lock);
}

static void test_folders_and_files_that_cannot_be_read(void **state)
{
    struct fixture *fixture = *state;
    char *lock = testing_path(fixture->folder, "lock");
    make_file(fixture);
    assert_int_equal(chmod(lock, 0666), 0);
    assert_int_equal(chmod(fixture->path, 0200), 0);
    assert_int_equal(chmod(fixture->folder, 0777), 0);
    as_nobody(check_hidden_file, fixture);
    assert_int_equal(chmod(fixture->folder, 0300), 0);
    as_nobody(check_hidden_folder, fixture);
    assert_int_equal(chmod(fixture->folder, 0700), 0);
    assert_found_in(fixture->folder, &fixture->world.disk);
    free(lock);
}

static void test_another_program_writes_into_the_file(void **state)
{
    struct fixture *fixture = *state;
    make_file(fixture);
    sqlite3 *other;
    assert_int_equal(sqlite3_open(fixture->path, &other), SQLITE_OK);
    assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    assert_refused(fixture->folder, HERD_EBUSY, "is locked by another program");
    assert_int_equal(sqlite3_exec(other, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
    struct found found = {0};
    struct records *records = found_opened(fixture->folder, false, &found);
    assert_non_null(records);
    found_free(&found);
    assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    world_restart(&fixture->world, &found);
    world_make_any(&fixture->world);
    assert_int_equal(records_write(records, &fixture->world.batch), HERD_EIO);
    assert_string_equal(records_reason(records), "database is locked");
    assert_int_equal(sqlite3_exec(other, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(other);
    assert_int_equal(records_write(records, &fixture->world.batch), 0);
    records_close(records);
    assert_found_in(fixture->folder, &fixture->world.disk);
}

/* The lock */

static void test_one_process_at_a_time(void **state)
{
    struct fixture *fixture = *state;
    int ready[2];
    char byte;
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct found found = {0};
        struct records *records = found_opened(fixture->folder, false, &found);
        if (records == NULL || write(ready[1], "x", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    char sentence[128];
    snprintf(sentence, sizeof sentence, "%s is in use by process %ld: stop that one first",
             fixture->folder, (long)child);
    assert_refused(fixture->folder, HERD_EBUSY, sentence);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    struct found found = found_in(fixture->folder);
    assert_int_equal(found.result, 0);
    found_free(&found);
    close(ready[0]);
}

static void test_a_lock_whose_owner_is_not_known(void **state)
{
    struct fixture *fixture = *state;
    struct found found = {0};
    struct records *records = found_opened(fixture->folder, false, &found);
    assert_non_null(records);
    char *lock = testing_path(fixture->folder, "lock");
    testing_write_file(lock, "", 0);
    assert_refused(fixture->folder, HERD_EBUSY, "is in use by another process");
    records_close(records);
    found_free(&found);
    free(lock);
}

/* Bits that have changed */

/* Opens a file that may be damaged; if that goes well, writes to it and opens it again. */
static bool try_file(struct fixture *fixture)
{
    struct picture before = fixture->world.disk;
    struct found found = {0};
    struct records *records = found_opened(fixture->copy, false, &found);
    assert_true(found.result == 0 || strlen(found.error) > 20);
    bool is_open = records != NULL;
    if (is_open) {
        assert_int_equal(found.wrong_rows, 0);
        assert_true(picture_equal(&found.picture, &before));
        struct world world = fixture->world;
        world.batch = (struct herd_batch){0};
        world_restart(&world, &found);
        bool is_written = true;
        for (int i = 0; i < 12 && is_written; i++) {
            before = world.disk;
            world_make_any(&world);
            is_written = records_write(records, &world.batch) == 0;
            records_tidy(records);
        }
        records_close(records);
        struct found again = found_in(fixture->copy);
        if (again.result == 0) {
            assert_int_equal(again.wrong_rows, 0);
            assert_true(picture_equal(&again.picture, is_written ? &world.disk : &before));
        }
        found_free(&again);
        world_free(&world);
    }
    found_free(&found);
    return is_open;
}

/* A copy of the good file, damaged from `at` on, is tried. True if it was opened. */
static bool try_damage(struct fixture *fixture, size_t bytes, size_t at, const char *damage,
                       size_t len)
{
    char *path = testing_path(fixture->copy, "records.db");
    copy_files(fixture->folder, fixture->copy);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    if (len > 0)
        assert_int_equal(pwrite(fd, damage, len, (off_t)at), len);
    assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
    close(fd);
    free(path);
    return try_file(fixture);
}

static size_t file_bytes(const struct fixture *fixture)
{
    struct stat status;
    assert_int_equal(stat(fixture->path, &status), 0);
    return (size_t)status.st_size;
}

static void test_bits_that_have_changed(void **state)
{
    struct fixture *fixture = *state;
    make_file(fixture);
    size_t bytes = file_bytes(fixture);
    char *good = testing_read_file(fixture->path);
    size_t opened = 0;
    enum { ROUNDS = 800 };
    for (size_t round = 0; round < ROUNDS; round++) {
        /* Each byte of the header, then any. */
        size_t at = round < 100 ? round : world_random(&fixture->world, bytes);
        char damage = (char)(good[at] ^ (1 << world_random(&fixture->world, 8)));
        opened += try_damage(fixture, bytes, at, &damage, 1);
    }
    assert_in_range(opened, ROUNDS / 20, ROUNDS * 9 / 10);
    free(good);
}

static void test_sectors_that_are_lost(void **state)
{
    struct fixture *fixture = *state;
    make_file(fixture);
    size_t bytes = file_bytes(fixture);
    char damage[512] = "";
    for (size_t at = 0; at < bytes; at += sizeof damage) {
        for (size_t i = 0; i < sizeof damage; i++)
            damage[i] = (char)(at % 1024 == 0 ? 0 : world_random(&fixture->world, 256));
        try_damage(fixture, bytes, at, damage, sizeof damage);
    }
}

static void test_a_file_that_was_cut_short(void **state)
{
    struct fixture *fixture = *state;
    make_file(fixture);
    size_t bytes = file_bytes(fixture);
    for (size_t len = 1; len < bytes; len += 1024)
        try_damage(fixture, len, 0, NULL, 0);
}

int main(void)
{
    disk_install(); /* which works, and does not wait for the real one: thousands of files */
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_files_of_another_kind),
        TEST(test_the_advice_works),
        TEST(test_databases_of_another_kind),
        TEST(test_changed_contents),
        TEST(test_changed_rows),
        TEST(test_a_record_that_is_not_taken),
        TEST(test_a_log_without_its_file),
        TEST(test_paths_that_are_no_files),
        TEST(test_folders_and_files_that_cannot_be_written),
        TEST(test_folders_and_files_that_cannot_be_read),
        TEST(test_another_program_writes_into_the_file),
        TEST(test_one_process_at_a_time),
        TEST(test_a_lock_whose_owner_is_not_known),
        TEST(test_bits_that_have_changed),
        TEST(test_sectors_that_are_lost),
        TEST(test_a_file_that_was_cut_short),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
