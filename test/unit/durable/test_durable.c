/* durable.h as the server uses it: a loop, batches one after another, and the ends that a process
 * may come to. */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <uv.h>

#include <herd/err.h>

#include "base/log.h"
#include "world.h"

struct fixture {
    char *folder;
    uv_loop_t loop;
    struct log *log;
    struct durable *durable;
    struct world world;
    size_t done, closed, outages;
    int status;
    bool is_closed_from_done;
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    fixture->folder = testing_make_folder();
    assert_int_equal(uv_loop_init(&fixture->loop), 0);
    world_init(&fixture->world, 11);
    *state = fixture;
    return 0;
}

static void on_closed(void *arg)
{
    struct fixture *fixture = arg;
    fixture->closed++;
    fixture->durable = NULL;
}

static void close_durable(struct fixture *fixture)
{
    size_t before = fixture->closed;
    durable_close(fixture->durable, on_closed, fixture);
    assert_int_equal(fixture->closed, before);
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    assert_int_equal(fixture->closed, before + 1);
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    if (fixture->durable != NULL)
        close_durable(fixture);
    assert_int_equal(uv_loop_close(&fixture->loop), 0);
    log_close(fixture->log);
    world_free(&fixture->world);
    testing_remove_folder(fixture->folder);
    free(fixture);
    return 0;
}

static int open_durable(struct fixture *fixture, bool sync, struct found *found)
{
    const struct durable_options options = {
        .loop = &fixture->loop,
        .log = fixture->log,
        .folder = fixture->folder,
        .sync = sync,
    };
    struct durable_found callbacks = found_callbacks(found);
    struct herd_buf error = {0};
    struct durable *durable = NULL;
    found->result = durable_open(&options, &callbacks, &durable, &error);
    found->error = testing_take_text(&error);
    assert_true((found->result == 0) == (durable != NULL));
    if (durable != NULL)
        fixture->durable = durable;
    return found->result;
}

static void begin_life(struct fixture *fixture, bool sync)
{
    struct found found = {0};
    if (open_durable(fixture, sync, &found) < 0)
        fail_msg("%s", found.error);
    assert_true(picture_equal(&found.picture, &fixture->world.disk));
    world_restart(&fixture->world, &found);
    found_free(&found);
}

static void on_done(void *arg, int status)
{
    struct fixture *fixture = arg;
    fixture->done++;
    fixture->outages += status < 0 && fixture->status == 0;
    fixture->status = status;
    assert_int_equal(fixture->closed, 0);
    if (fixture->is_closed_from_done)
        durable_close(fixture->durable, on_closed, fixture);
}

/* Writes the world's batch and waits for the outcome. */
static int write_batch(struct fixture *fixture)
{
    size_t before = fixture->done;
    durable_write(fixture->durable, &fixture->world.batch, on_done, fixture);
    assert_int_equal(fixture->done, before);
    while (fixture->done == before)
        assert_int_not_equal(uv_run(&fixture->loop, UV_RUN_ONCE) == 0 && fixture->done == before,
                             1);
    assert_int_equal(fixture->done, before + 1);
    return fixture->status;
}

static void test_batches_come_back(void **state)
{
    struct fixture *fixture = *state;
    for (int life = 0; life < 6; life++) {
        begin_life(fixture, life % 2);
        for (int i = 0; i < 30; i++) {
            world_make_any(&fixture->world);
            assert_int_equal(write_batch(fixture), 0);
        }
        fixture->closed = 0;
        close_durable(fixture);
        fixture->closed = 0;
    }
    assert_found_in(fixture->folder, &fixture->world.disk);
}

static void test_an_idle_one_keeps_no_loop_running(void **state)
{
    struct fixture *fixture = *state;
    begin_life(fixture, true);
    assert_int_equal(uv_run(&fixture->loop, UV_RUN_DEFAULT), 0);
    world_make_journal(&fixture->world, SIZE_MAX, false);
    durable_write(fixture->durable, &fixture->world.batch, on_done, fixture);
    assert_int_equal(uv_run(&fixture->loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(fixture->done, 1);
}

static void test_closing_waits_for_the_batch_under_way(void **state)
{
    struct fixture *fixture = *state;
    begin_life(fixture, true);
    world_change(&fixture->world, 2000);
    world_make_journal(&fixture->world, SIZE_MAX, false);
    durable_write(fixture->durable, &fixture->world.batch, on_done, fixture);
    close_durable(fixture);
    assert_int_equal(fixture->done, 1);
    assert_int_equal(fixture->status, 0);
    assert_found_in(fixture->folder, &fixture->world.disk);
}

static void test_it_may_be_closed_when_a_batch_is_done(void **state)
{
    struct fixture *fixture = *state;
    begin_life(fixture, true);
    fixture->is_closed_from_done = true;
    world_make_any(&fixture->world);
    durable_write(fixture->durable, &fixture->world.batch, on_done, fixture);
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    assert_int_equal(fixture->done, 1);
    assert_int_equal(fixture->closed, 1);
    assert_found_in(fixture->folder, &fixture->world.disk);
}

static void test_a_folder_in_use(void **state)
{
    struct fixture *fixture = *state;
    begin_life(fixture, true);
    struct found found = {0};
    assert_int_equal(open_durable(fixture, true, &found), HERD_EBUSY);
    assert_contains(found.error, "is in use by process");
    found_free(&found);
}

static void test_a_snapshot_is_wanted_when_it_is_worth_it(void **state)
{
    struct fixture *fixture = *state;
    struct world *world = &fixture->world;
    begin_life(fixture, false);
    int64_t rows = 0;
    while (rows <= 65536) {
        assert_false(durable_wants_snapshot(fixture->durable, 10));
        world_change(world, 3000);
        world_make_journal(world, SIZE_MAX, false);
        for (size_t i = 0; i < world->batch.records.len; i++)
            rows += world->batch.records.data[i] == '\n';
        assert_int_equal(write_batch(fixture), 0);
    }
    size_t half = (size_t)rows / 2;
    for (int life = 0; life < 2; life++) {
        assert_true(durable_wants_snapshot(fixture->durable, 10));
        assert_true(durable_wants_snapshot(fixture->durable, half - 1));
        assert_false(durable_wants_snapshot(fixture->durable, half));
        close_durable(fixture);
        fixture->closed = 0;
        begin_life(fixture, false); /* which has counted them */
    }
    world_make_journal(world, SIZE_MAX, true);
    assert_int_equal(write_batch(fixture), 0);
    assert_false(durable_wants_snapshot(fixture->durable, 10));
    world_make_snapshot(world, SIZE_MAX);
    assert_true(world->batch.ends);
    assert_int_equal(write_batch(fixture), 0);
    assert_false(durable_wants_snapshot(fixture->durable, 10));
}

/* A disk without room */

static size_t count_in(const char *text, const char *part)
{
    size_t count = 0;
    while ((text = strstr(text, part)) != NULL) {
        text++;
        count++;
    }
    return count;
}

/* Until a batch cannot be written however often it is tried. A checkpoint after the first failure
 * may have made room in the log. */
static void write_until_it_fails(struct fixture *fixture)
{
    enum { TRIES = 5 };
    size_t batches = 0, failures = 0;
    while (failures < TRIES) {
        world_change(&fixture->world, 500);
        world_make_journal(&fixture->world, SIZE_MAX, false);
        for (failures = 0; failures < TRIES && write_batch(fixture) < 0; failures++)
            assert_int_equal(fixture->status, HERD_EFULL);
        assert_true(++batches < 10000);
    }
}

/* Not each time that it is tried again. */
static void assert_log_says_it_once(struct fixture *fixture, const char *path)
{
    log_close(fixture->log);
    fixture->log = NULL;
    char *text = testing_read_file(path);
    assert_int_equal(
        count_in(
            text,
            "msg=\"records cannot be written to disk; they are kept in memory and tried again\""),
        fixture->outages);
    assert_contains(text, "/records.db error=full reason=\"disk I/O error: File too large\"");
    free(text);
}

/* SIGXFSZ keeps its meaning, which is to end the process, in all threads but the writer's. */
static void test_files_that_may_not_grow(void **state)
{
    struct fixture *fixture = *state;
    char *log_path = testing_path(fixture->folder, "log");
    assert_int_equal(log_open(log_path, LOG_INFO, &fixture->log), 0);
    struct rlimit before, limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = before;
    limit.rlim_cur = 3 << 20;
    begin_life(fixture, false);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    write_until_it_fails(fixture);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(write_batch(fixture), 0);
    close_durable(fixture);
    assert_log_says_it_once(fixture, log_path);
    assert_found_in(fixture->folder, &fixture->world.disk);
    free(log_path);
}

/* Only this process sees it, and it is gone with it. */
static bool mount_small_disk(const char *folder)
{
    return unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("herd-test", folder, "tmpfs", 0, "size=4m") == 0;
}

static void test_a_full_disk(void **state)
{
    struct fixture *fixture = *state;
    if (!mount_small_disk(fixture->folder))
        skip();
    begin_life(fixture, true);
    write_until_it_fails(fixture);
    assert_int_equal(mount("herd-test", fixture->folder, "tmpfs", MS_REMOUNT, "size=16m"), 0);
    assert_int_equal(write_batch(fixture), 0);
    close_durable(fixture);
    assert_found_in(fixture->folder, &fixture->world.disk);
    assert_int_equal(umount(fixture->folder), 0);
}

/* Killed */

static void on_written_by_child(void *arg, int status);

static int acknowledge_fd; /* the child's */

static void write_next(struct fixture *fixture)
{
    world_make_any(&fixture->world);
    durable_write(fixture->durable, &fixture->world.batch, on_written_by_child, fixture);
}

static void on_written_by_child(void *arg, int status)
{
    if (status < 0 || write(acknowledge_fd, "x", 1) != 1)
        _exit(1);
    write_next(arg);
}

/* Writes, and says so, until it is killed. */
static void be_killed(struct fixture *fixture, bool sync)
{
    struct found found = {0};
    if (open_durable(fixture, sync, &found) < 0)
        _exit(1);
    write_next(fixture);
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    _exit(1);
}

/* Batches that were acknowledged before the child was dead. */
static size_t kill_after(pid_t child, int fd, size_t batches)
{
    size_t acknowledged = 0;
    char bytes[64];
    ssize_t len;
    while ((len = read(fd, bytes, sizeof bytes)) > 0) {
        acknowledged += (size_t)len;
        if (acknowledged >= batches)
            kill(child, SIGKILL);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    return acknowledged;
}

static void kill_a_child(struct fixture *fixture, bool sync, uint64_t seed)
{
    struct world world;
    int ends[2];
    world_init(&world, seed);
    world_free(&fixture->world);
    world_init(&fixture->world, seed);
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(ends[0]);
        acknowledge_fd = ends[1];
        assert_int_equal(uv_loop_fork(&fixture->loop), 0);
        be_killed(fixture, sync);
    }
    close(ends[1]);
    size_t acknowledged = kill_after(child, ends[0], 20 + seed * 7 % 80);
    close(ends[0]);
    /* What the child has had in its hands, made again. */
    for (size_t i = 0; i < acknowledged; i++)
        world_make_any(&world);
    struct picture last = world.disk;
    world_make_any(&world);
    struct found found = found_in(fixture->folder);
    if (found.result < 0)
        fail_msg("%s", found.error);
    assert_int_equal(found.wrong_rows, 0);
    if (!picture_equal(&found.picture, &last) && !picture_equal(&found.picture, &world.disk))
        fail_msg("not what was acknowledged, after %zu batches", acknowledged);
    found_free(&found);
    world_free(&world);
}

static void test_killed_at_any_time(void **state)
{
    struct fixture *fixture = *state;
    for (uint64_t round = 0; round < 12; round++) {
        kill_a_child(fixture, round % 2, 100 + round);
        testing_remove_folder(fixture->folder);
        fixture->folder = testing_make_folder();
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_killed_at_any_time), /* the first: before there were threads */
        TEST(test_batches_come_back),
        TEST(test_an_idle_one_keeps_no_loop_running),
        TEST(test_closing_waits_for_the_batch_under_way),
        TEST(test_it_may_be_closed_when_a_batch_is_done),
        TEST(test_a_folder_in_use),
        TEST(test_a_snapshot_is_wanted_when_it_is_worth_it),
        TEST(test_files_that_may_not_grow),
        TEST(test_a_full_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
