/* Places files: made of tables whole or not at all, and opened with a sentence that helps when they
 * cannot be. */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <sqlite3.h>

#include <herd/err.h>

#include "local_fixture.h"
#include "places/local_build.h"
#include "places/local_db.h"
#include "testing.h"

static const char two_rows[] = "t:1\tOne\t34.05612\t-118.43063\tlocality,political\tPPL\tUS\t2019\t"
                               "500\tCalifornia\n"
                               "t:2\tTwo\t-90\t180\tairport\t\t\t\t0\t\n";

static int64_t read_number(const char *path, const char *sql)
{
    sqlite3 *sqlite;
    sqlite3_stmt *statement;
    assert_int_equal(sqlite3_open_v2(path, &sqlite, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(sqlite, sql, -1, &statement, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    int64_t number = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    sqlite3_close(sqlite);
    return number;
}

static void execute(const char *path, const char *sql)
{
    sqlite3 *sqlite;
    assert_int_equal(sqlite3_open_v2(path, &sqlite, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_exec(sqlite, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(sqlite);
}

static size_t files_in(const struct folder *folder)
{
    size_t count = 0;
    DIR *dir = opendir(folder->path);
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
        count += entry->d_name[0] != '.';
    closedir(dir);
    return count;
}

static void test_rows_are_kept(void **state)
{
    const struct folder *folder = *state;
    build_places(folder, two_rows);
    static const struct {
        const char *sql;
        int64_t expected;
    } cases[] = {
        {"PRAGMA application_id", 0x68657264},
        {"PRAGMA user_version", LOCAL_DB_VERSION},
        {"SELECT places FROM source WHERE name = 'Test'", 2},
        {"SELECT population FROM place WHERE place_id = 't:1'", 2019},
        {"SELECT count(*) FROM place WHERE place_id = 't:2' AND population IS NULL", 1},
        {"SELECT count(*) FROM place_at JOIN place USING (id) WHERE lat_min = 340561200"
         " AND lon_max = -1184306300 AND place_id = 't:1'",
         1},
        {"SELECT rtreecheck('place_at') = 'ok'", 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(read_number(folder->places, cases[i].sql), cases[i].expected);
    struct stat status;
    assert_int_equal(stat(folder->places, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0644);
    assert_int_equal(files_in(folder), 2);
}

static void test_the_same_tables_give_the_same_file(void **state)
{
    const struct folder *folder = *state;
    struct herd_buf bytes[2] = {{0}};
    for (int i = 0; i < 2; i++) {
        build_places(folder, two_rows);
        struct stat status;
        assert_int_equal(stat(folder->places, &status), 0);
        bytes[i].len = (size_t)status.st_size;
        bytes[i].data = testing_read_file(folder->places);
    }
    assert_true(bytes[0].len > 4096);
    assert_int_equal(bytes[0].len, bytes[1].len);
    assert_memory_equal(bytes[0].data, bytes[1].data, bytes[0].len);
    herd_buf_free(&bytes[0]);
    herd_buf_free(&bytes[1]);
}

static void assert_contains_and_free(struct herd_buf *error, const char *sentence)
{
    char *text = testing_take_text(error);
    assert_contains(text, sentence);
    free(text);
}

static void assert_rejected(const struct folder *folder, const char *table, const char *sentence)
{
    struct herd_buf error = {0};
    int64_t places;
    assert_true(local_build(folder->places, &table, 1, &places, &error) < 0);
    assert_contains_and_free(&error, sentence);
}

static void test_wrong_rows_are_rejected_with_their_line(void **state)
{
    static const struct {
        const char *row, *sentence;
    } cases[] = {
        {"t\tn\t91\t0\tlocality\t\t\t\t0\t\n", "table.tsv:8: latitude must be"},
        {"t\tn\t1x\t0\tlocality\t\t\t\t0\t\n", "table.tsv:8: latitude must be"},
        {"t\tn\tnan\t0\tlocality\t\t\t\t0\t\n", "table.tsv:8: latitude must be"},
        {"t\tn\t\t0\tlocality\t\t\t\t0\t\n", "table.tsv:8: latitude must be"},
        {"t\tn\t0\t-180.1\tlocality\t\t\t\t0\t\n", "longitude must be"},
        {"t\tn\t0\t0\tlocality\t\t\t-1\t0\t\n", "population must be"},
        {"t\tn\t0\t0\tlocality\t\t\t\t\t\n", "extent_m must be"},
        {"t\tn\t0\t0\tLocality\t\t\t\t0\t\n", "types must be"},
        {"t\tn\t0\t0\tlocality,\t\t\t\t0\t\n", "types must be"},
        {"t\t\t0\t0\tlocality\t\t\t\t0\t\n", "must not be empty"},
        {"t\tn\t0\t0\tlocality\t\t\t\t0\n", "10 columns"},
        {"t\tn\t0\t0\tlocality\t\t\t\t0\t\t\n", "10 columns"},
        {"t\tcaf\xe9\t0\t0\tlocality\t\t\t\t0\t\n", "not UTF-8"},
        {"t\tn\t0\t0\tlocality\t\t\t\t0\t", "the file ends within it"},
    };
    const struct folder *folder = *state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct herd_buf rows = {0};
        assert_int_equal(
            herd_buf_printf(&rows, "t:0\tok\t0\t0\tlocality\t\t\t\t0\t\n%s", cases[i].row), 0);
        write_table(folder, rows.data);
        herd_buf_free(&rows);
        assert_rejected(folder, folder->table, cases[i].sentence);
    }
    assert_int_equal(files_in(folder), 1);
}

static void test_other_files_are_rejected(void **state)
{
    static const struct {
        const char *text, *sentence;
    } cases[] = {
        {"", "no table of places"},
        {"t:1\tOne\n", "no table of places"},
        {"#herd-places\t2\n", "no table of places of version 1"},
        {"#herd-places\t1\n#name\tx\n", "must come first"},
        {"#herd-places\t1\n#columns\tname\n", "columns are not those"},
        {"#herd-places\t1\n#name\n", "needs a key"},
        {"\x1f\x8b\x08 and no gzip", "table.tsv:1: "},
    };
    const struct folder *folder = *state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        testing_write_file(folder->table, cases[i].text, strlen(cases[i].text));
        assert_rejected(folder, folder->table, cases[i].sentence);
    }
    assert_rejected(folder, "/nowhere/none.tsv", "/nowhere/none.tsv: No such file or directory");
}

static void test_a_failure_keeps_the_old_file(void **state)
{
    const struct folder *folder = *state;
    build_places(folder, two_rows);
    write_table(folder, "not a row\n");
    assert_rejected(folder, folder->table, "10 columns");
    assert_int_equal(read_number(folder->places, "SELECT count(*) FROM place"), 2);
    assert_int_equal(files_in(folder), 2);
}

static void test_a_folder_that_is_not_there(void **state)
{
    const struct folder *folder = *state;
    write_table(folder, two_rows);
    const char *table = folder->table;
    struct herd_buf error = {0};
    int64_t places;
    assert_int_equal(local_build("/nowhere/x.db", &table, 1, &places, &error), HERD_EIO);
    assert_contains_and_free(&error, "cannot be written: No such file or directory");
}

static void assert_not_opened(const char *path, int expected, const char *sentence)
{
    struct local_db *db = NULL;
    struct herd_buf error = {0};
    assert_int_equal(local_db_open(path, &db, &error), expected);
    assert_null(db);
    assert_contains_and_free(&error, sentence);
}

static void test_files_that_cannot_be_opened(void **state)
{
    const struct folder *folder = *state;
    const char *path = folder->places;
    assert_not_opened(path, HERD_ENOTFOUND, "No such file or directory");
    assert_not_opened(folder->path, HERD_EIO, folder->path);

    static const char text[] =
        "This is a text, and long enough to be the header of a database file,"
        " were it one; but it is none, so it must not be opened.";
    testing_write_file(path, text, sizeof text);
    assert_not_opened(path, HERD_EIO,
                      "file is not a database: make a places file with `herd-places import`");
    testing_write_file(path, "", 0);
    assert_not_opened(path, HERD_EPROTO, "is no places file");

    build_places(folder, two_rows);
    execute(path, "PRAGMA user_version = 7");
    assert_not_opened(path, HERD_EPROTO, "of version 7, this herd reads version 1");
    execute(path, "PRAGMA user_version = 1; DROP TABLE area");
    assert_not_opened(path, HERD_EIO, "no such table: area");
    execute(path, "PRAGMA application_id = 0");
    assert_not_opened(path, HERD_EPROTO, "herd-places import");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_rows_are_kept, folder_setup, folder_teardown),
        cmocka_unit_test_setup_teardown(test_the_same_tables_give_the_same_file, folder_setup,
                                        folder_teardown),
        cmocka_unit_test_setup_teardown(test_wrong_rows_are_rejected_with_their_line, folder_setup,
                                        folder_teardown),
        cmocka_unit_test_setup_teardown(test_other_files_are_rejected, folder_setup,
                                        folder_teardown),
        cmocka_unit_test_setup_teardown(test_a_failure_keeps_the_old_file, folder_setup,
                                        folder_teardown),
        cmocka_unit_test_setup_teardown(test_a_folder_that_is_not_there, folder_setup,
                                        folder_teardown),
        cmocka_unit_test_setup_teardown(test_files_that_cannot_be_opened, folder_setup,
                                        folder_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
