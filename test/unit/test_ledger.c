/* The ledger: what is on disk of the calls of a day. fsync and uv_queue_work are wrapped. */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <uv.h>

#include <herd/err.h>

#include "places/ledger.h"
#include "testing.h"

static bool folders_cannot_be_synced;
static int threads_left = -1; /* to be had; below zero: as many as are wanted */

int __real_fsync(int fd);
int __wrap_fsync(int fd);

int __wrap_fsync(int fd)
{
    struct stat status;
    if (folders_cannot_be_synced && fstat(fd, &status) == 0 && S_ISDIR(status.st_mode)) {
        errno = EIO;
        return -1;
    }
    return __real_fsync(fd);
}

int __real_uv_queue_work(uv_loop_t *loop, uv_work_t *work, uv_work_cb run, uv_after_work_cb done);
int __wrap_uv_queue_work(uv_loop_t *loop, uv_work_t *work, uv_work_cb run, uv_after_work_cb done);

int __wrap_uv_queue_work(uv_loop_t *loop, uv_work_t *work, uv_work_cb run, uv_after_work_cb done)
{
    if (threads_left == 0)
        return UV_ENOMEM;
    threads_left -= threads_left > 0;
    return __real_uv_queue_work(loop, work, run, done);
}

struct fixture {
    char *folder, *path;
    uv_loop_t loop;
    struct ledger *ledger;
    struct allowance_record read, written[8];
    const char *error;
    int count, closed;
};

static void on_written(void *arg, const struct allowance_record *record, const char *error)
{
    struct fixture *fixture = arg;
    fixture->written[fixture->count++] = *record;
    fixture->error = error;
}

static void on_closed(void *arg)
{
    ((struct fixture *)arg)->closed++;
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    fixture->folder = testing_make_folder();
    fixture->path = testing_path(fixture->folder, "places-calls");
    assert_int_equal(uv_loop_init(&fixture->loop), 0);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(uv_loop_close(&fixture->loop), 0);
    free(fixture->path);
    testing_remove_folder(fixture->folder);
    free(fixture);
    return 0;
}

static struct allowance_record one_day(int64_t day, int64_t calls)
{
    return (struct allowance_record){.count = 1, .days = {{day, calls}}};
}

static void write_day(struct fixture *fixture, int64_t day, int64_t calls)
{
    struct allowance_record record = one_day(day, calls);
    assert_int_equal(ledger_write(fixture->ledger, &record), 0);
}

static void open_ledger(struct fixture *fixture, const char *folder)
{
    struct herd_buf error = {0};
    assert_int_equal(ledger_open(&fixture->loop, folder, on_written, fixture, &fixture->ledger,
                                 &fixture->read, &error),
                     0);
}

static void close_ledger(struct fixture *fixture, const struct allowance_record *record)
{
    fixture->closed = 0;
    ledger_close(fixture->ledger, record, on_closed, fixture);
    assert_int_equal(fixture->closed, 0);
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    assert_int_equal(fixture->closed, 1);
}

static void test_what_was_written_is_read(void **state)
{
    struct fixture *fixture = *state;
    open_ledger(fixture, fixture->folder);
    assert_int_equal(fixture->read.count, 0);
    for (int i = 1; i <= 3; i++)
        write_day(fixture, 20782, i * 10);
    assert_int_equal(fixture->count, 0);
    struct allowance_record last = one_day(20782, 17);
    close_ledger(fixture, &last);
    assert_int_equal(fixture->count, 3);
    assert_int_equal(fixture->written[2].days[0].calls, 30);
    assert_null(fixture->error);
    char *text = testing_read_file(fixture->path);
    assert_string_equal(text, "2026-11-25 17\n");
    free(text);
    struct stat status;
    assert_int_equal(stat(fixture->path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    open_ledger(fixture, fixture->folder);
    assert_int_equal(fixture->read.count, 1);
    assert_int_equal(fixture->read.days[0].day, 20782);
    assert_int_equal(fixture->read.days[0].calls, 17);
    close_ledger(fixture, NULL);
    open_ledger(fixture, fixture->folder);
    assert_int_equal(fixture->read.days[0].calls, 17);
    close_ledger(fixture, NULL);
}

static void test_several_days(void **state)
{
    struct fixture *fixture = *state;
    struct allowance_record record = {.count = ALLOWANCE_DAYS};
    for (int i = 0; i < ALLOWANCE_DAYS; i++)
        record.days[i] =
            (struct allowance_day){20782 - i * 3000, i == 0 ? 9 : 1000000000000000 - i};
    open_ledger(fixture, fixture->folder);
    close_ledger(fixture, &record);
    char *text = testing_read_file(fixture->path);
    static const char begins[] = "2026-11-25 9\n2018-09-08 999999999999999\n";
    assert_memory_equal(text, begins, sizeof begins - 1);
    free(text);
    open_ledger(fixture, fixture->folder);
    assert_memory_equal(&fixture->read, &record, sizeof record);
    close_ledger(fixture, NULL);
}

static void test_no_folder(void **state)
{
    struct fixture *fixture = *state;
    open_ledger(fixture, "");
    write_day(fixture, 1, 2);
    struct allowance_record last = one_day(1, 1);
    close_ledger(fixture, &last);
    assert_int_equal(fixture->count, 1);
    assert_null(fixture->error);
}

static void test_a_disk_that_does_not_write(void **state)
{
    struct fixture *fixture = *state;
    char *in_the_way = testing_path(fixture->folder, "places-calls.new");
    assert_int_equal(mkdir(in_the_way, 0700), 0);
    open_ledger(fixture, fixture->folder);
    write_day(fixture, 1, 2);
    close_ledger(fixture, NULL);
    assert_non_null(fixture->error);
    assert_int_equal(access(fixture->path, F_OK), -1);
    free(in_the_way);
}

/* The new file may not be there after a power loss: it is not written. */
static void test_a_folder_that_cannot_be_synced(void **state)
{
    struct fixture *fixture = *state;
    open_ledger(fixture, fixture->folder);
    folders_cannot_be_synced = true;
    write_day(fixture, 1, 2);
    close_ledger(fixture, NULL);
    folders_cannot_be_synced = false;
    assert_int_equal(fixture->count, 1);
    assert_string_equal(fixture->error, "Input/output error");
}

/* What waits behind the one under way is not written then, and its owner hears of it. */
static void test_no_thread_for_the_next_one(void **state)
{
    struct fixture *fixture = *state;
    open_ledger(fixture, fixture->folder);
    threads_left = 1;
    write_day(fixture, 1, 2);
    write_day(fixture, 1, 3);
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    threads_left = -1;
    assert_int_equal(fixture->count, 2);
    assert_non_null(fixture->error);
    char *text = testing_read_file(fixture->path);
    assert_string_equal(text, "1970-01-02 2\n");
    free(text);
    close_ledger(fixture, NULL);
}

/* Nobody can say how many calls were made: better none than too many. */
static void test_a_file_that_is_none(void **state)
{
    struct fixture *fixture = *state;
    static const char *const texts[] = {"",
                                        "2026-11-25\n",
                                        "2026-11-25 17",
                                        "2026-11-25 -1\n",
                                        "x y\n",
                                        "2026-11-25 9223372036854775807\n",
                                        "2026-11-25 17\n2026-11-25 1\n",
                                        "2026-11-25 17\n\n2026-11-26 1\n",
                                        "2026-11-25 17\n2026-11-26\n",
                                        "2026-11-25 1\n2026-11-24 1\n2026-11-23 1\n2026-11-22 1\n"
                                        "2026-11-21 1\n2026-11-20 1\n2026-11-19 1\n2026-11-18 1\n"
                                        "2026-11-17 1\n"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct herd_buf error = {0};
        testing_write_file(fixture->path, texts[i], strlen(texts[i]));
        int rc = ledger_open(&fixture->loop, fixture->folder, on_written, fixture, &fixture->ledger,
                             &fixture->read, &error);
        if (i == 2) { /* the last LF may have been an editor's victim */
            assert_int_equal(rc, 0);
            close_ledger(fixture, NULL);
            continue;
        }
        assert_int_equal(rc, HERD_ESYNTAX);
        char *text = testing_take_text(&error);
        assert_contains(text, fixture->path);
        free(text);
    }
}

#define LEDGER_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LEDGER_TEST(test_what_was_written_is_read),
        LEDGER_TEST(test_several_days),
        LEDGER_TEST(test_no_folder),
        LEDGER_TEST(test_a_disk_that_does_not_write),
        LEDGER_TEST(test_a_folder_that_cannot_be_synced),
        LEDGER_TEST(test_no_thread_for_the_next_one),
        LEDGER_TEST(test_a_file_that_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
