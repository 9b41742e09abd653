/* The marks of neighbours in records.db: a batch has those of all of them, of which few have changed
 * since the last one. Only these are written, and nothing is formatted for the others. */
#include <stdlib.h>
#include <string.h>

#include <sqlite3.h>

#include "durable/records.h"
#include "durable/sqlite_room.h"
#include "formats.h"
#include "world.h"

struct fixture {
    char *folder, *path;
    struct world world;
    struct records *records;
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    struct found found = {0};
    assert_non_null(fixture);
    fixture->folder = testing_make_folder();
    fixture->path = testing_path(fixture->folder, "records.db");
    world_init(&fixture->world, 1);
    fixture->records = found_opened(fixture->folder, false, &found);
    assert_non_null(fixture->records);
    found_free(&found);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    records_close(fixture->records);
    world_free(&fixture->world);
    testing_remove_folder(fixture->folder);
    free(fixture->path);
    free(fixture);
    return 0;
}

/* The first column of the first row, for free(). */
static char *text_of(const struct fixture *fixture, const char *sql)
{
    sqlite3 *sqlite;
    sqlite3_stmt *statement;
    assert_int_equal(sqlite3_open_v2(fixture->path, &sqlite, SQLITE_OPEN_READONLY, NULL),
                     SQLITE_OK);
    if (sqlite3_prepare_v2(sqlite, sql, -1, &statement, NULL) != SQLITE_OK)
        fail_msg("%s", sqlite3_errmsg(sqlite));
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    char *text = strdup((const char *)sqlite3_column_text(statement, 0));
    assert_non_null(text);
    sqlite3_finalize(statement);
    sqlite3_close(sqlite);
    return text;
}

struct effort {
    unsigned formatted;
    int rows; /* written or removed, whatever they are */
};

/* Writes a batch of one record with these marks. */
static struct effort write_batch(struct fixture *fixture, const char *marks)
{
    struct herd_batch *batch = &fixture->world.batch;
    world_change(&fixture->world, 1);
    world_make_journal(&fixture->world, SIZE_MAX, false);
    batch->neighbours.len = 0;
    assert_int_equal(herd_buf_append_text(&batch->neighbours, marks), 0);
    formats.on = true;
    formats.count = 0;
    int rows = sqlite3_total_changes(fixture->records->sqlite);
    assert_int_equal(records_write(fixture->records, batch), 0);
    formats.on = false;
    return (struct effort){formats.count, sqlite3_total_changes(fixture->records->sqlite) - rows};
}

/* ---- The tests ------------------------------------------------------------------------------- */

#define SMITH  "Smith 0000000000000001 7 0000000000000002 3\n"
#define JAQUEZ "Jaquez 0000000000000005 8 0000000000000000 0\n"

static void test_what_has_changed_is_written(void **state)
{
    static const struct {
        const char *marks;
        int rows;
        const char *held;
    } steps[] = {
        {SMITH JAQUEZ, 2, "Jaquez 8, Smith 7"},
        {SMITH JAQUEZ, 0, "Jaquez 8, Smith 7"},
        {JAQUEZ SMITH, 0, "Jaquez 8, Smith 7"},
        {"Smith 0000000000000001 9 0000000000000002 3\n" JAQUEZ, 1, "Jaquez 8, Smith 9"},
        {SMITH "Jaquez 0000000000000006 8 0000000000000000 0\n", 2,
         "Jaquez 8, Smith 7"}, /* of another epoch, */
        {SMITH "Jaquez 0000000000000006 8 0000000000000001 0\n", 1,
         "Jaquez 8, Smith 7"}, /* of another life, */
        {SMITH "Jaquez 0000000000000006 8 0000000000000001 2\n", 1,
         "Jaquez 8, Smith 7"}, /* that began elsewhere */
        {"", 0, "Jaquez 8, Smith 7"},
        {SMITH, 1, "Smith 7"}, /* the other one is no neighbour any more, */
        {JAQUEZ, 2, "Jaquez 8"},
        {SMITH JAQUEZ, 1, "Jaquez 8, Smith 7"}, /* but now it is */
        {"Smit 0000000000000001 7 0000000000000002 3\n" JAQUEZ, 2, "Jaquez 8, Smit 7"},
    };
    struct fixture *fixture = *state;
    write_batch(fixture, "");
    int without = write_batch(fixture, "").rows;
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        assert_int_equal(write_batch(fixture, steps[i].marks).rows - without, steps[i].rows);
        char *held = text_of(fixture, "SELECT group_concat(name || ' ' || sequence, ', ')"
                                      " FROM neighbour");
        assert_string_equal(held, steps[i].held);
        free(held);
    }
    world_change(&fixture->world, 1);
    world_make_journal(&fixture->world, SIZE_MAX, false); /* with the marks of a made-up server */
    assert_int_equal(records_write(fixture->records, &fixture->world.batch), 0);
    records_close(fixture->records);
    fixture->records = NULL;
    assert_found_in(fixture->folder, &fixture->world.disk);
}

static void test_nothing_is_formatted_for_what_has_not_changed(void **state)
{
    enum { MARK_FORMATS = 2 };
    struct fixture *fixture = *state;
    struct herd_buf marks = {0};
    for (int i = 0; i < 20; i++)
        assert_int_equal(
            herd_buf_printf(&marks, "Neighbour%d 0000000000000001 7 0000000000000002 3\n", i), 0);
    assert_int_equal(herd_buf_append(&marks, "", 1), 0);
    write_batch(fixture, "");
    unsigned without = write_batch(fixture, "").formatted;
    assert_int_equal(write_batch(fixture, marks.data).formatted, without + 20 * MARK_FORMATS);
    assert_int_equal(write_batch(fixture, marks.data).formatted, without);
    assert_int_equal(write_batch(fixture, "").formatted, without);
    *strchr(marks.data, '7') = '8';
    assert_int_equal(write_batch(fixture, marks.data).formatted, without + MARK_FORMATS);
    herd_buf_free(&marks);
}

static int refuse(void *arg)
{
    (void)arg;
    return 1;
}

/* What it would have written, changed and removed is not taken for what is there. */
static void test_a_batch_that_fails_has_written_none(void **state)
{
    static const char changed[] = "Smith 0000000000000001 9 0000000000000002 3\n"
                                  "Campbell 0000000000000003 4 0000000000000000 0\n";
    struct fixture *fixture = *state;
    struct herd_batch *batch = &fixture->world.batch;
    write_batch(fixture, SMITH JAQUEZ);
    world_change(&fixture->world, 1);
    world_make_journal(&fixture->world, SIZE_MAX, false);
    batch->neighbours.len = 0;
    assert_int_equal(herd_buf_append_text(&batch->neighbours, changed), 0);
    sqlite3_commit_hook(fixture->records->sqlite, refuse, NULL);
    assert_int_equal(records_write(fixture->records, batch), HERD_EIO);
    sqlite3_commit_hook(fixture->records->sqlite, NULL, NULL);
    assert_int_equal(records_write(fixture->records, batch), 0);
    char *held = text_of(fixture, "SELECT group_concat(name || ' ' || sequence, ', ')"
                                  " FROM neighbour");
    assert_string_equal(held, "Campbell 4, Smith 9");
    free(held);
    world_change(&fixture->world, 1);
    world_make_journal(&fixture->world, SIZE_MAX, false); /* with the marks of a made-up server */
    assert_int_equal(records_write(fixture->records, batch), 0);
    records_close(fixture->records);
    fixture->records = NULL;
    assert_found_in(fixture->folder, &fixture->world.disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_has_changed_is_written, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_batch_that_fails_has_written_none, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nothing_is_formatted_for_what_has_not_changed, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
