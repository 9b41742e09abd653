#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "log_fixture.h"
#include "patience.h"

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void write_filling(struct log *log)
{
    char filling[512];
    memset(filling, 'x', sizeof filling);
    LOG(log, LOG_INFO, "test", "fill", log_bytes("filling", filling, sizeof filling),
        log_int("end", 1));
}

/* Writes lines into a log that nobody reads until one is lost; gives how many were written. */
static uint64_t write_until_lost(struct log *log)
{
    uint64_t written = 0;
    for (; log_lost(log) == 0; written++) {
        write_filling(log);
        assert_true(written < LOG_QUEUE_MAX_BYTES);
    }
    return written;
}

struct drain {
    int fd;
    sem_t queue_has_room;
    struct herd_buf bytes;
};

static void *run_drain(void *arg)
{
    enum { ENOUGH_BYTES = 512 * 1024, READ_BYTES = 4096 };
    struct drain *drain = arg;
    ssize_t len;
    do {
        herd_buf_reserve(&drain->bytes, READ_BYTES);
        len = read(drain->fd, drain->bytes.data + drain->bytes.len, READ_BYTES);
        size_t before = drain->bytes.len;
        drain->bytes.len += len > 0 ? (size_t)len : 0;
        if (before < ENOUGH_BYTES && drain->bytes.len >= ENOUGH_BYTES)
            sem_post(&drain->queue_has_room);
    } while (len > 0);
    close(drain->fd);
    return NULL;
}

/* So that it takes nothing of the log's, whichever of its threads is faster. */
static void fill_stderr(void)
{
    char filling[4096];
    memset(filling, 'x', sizeof filling);
    int flags = fcntl(STDERR_FILENO, F_GETFL);
    assert_int_equal(fcntl(STDERR_FILENO, F_SETFL, flags | O_NONBLOCK), 0);
    while (write(STDERR_FILENO, filling, sizeof filling) > 0)
        continue;
    assert_int_equal(fcntl(STDERR_FILENO, F_SETFL, flags), 0);
}

/* What follows the last notice of lines that were lost. */
static const char *behind_notices(const char *text)
{
    const char *behind = NULL;
    for (const char *at = text; (at = strstr(at, "msg=\"lines lost\"")) != NULL;)
        behind = at = strchr(at, '\n') + 1;
    assert_non_null(behind);
    return behind;
}

/* The writer may take one piece out of the full queue, when it comes to that: then a few lines more
 * have room, and there is a notice of those before, and one of those after. */
static void test_a_full_queue_loses_lines_and_says_so(void **state)
{
    struct log_fixture *fixture = *state;
    struct drain drain = {.fd = log_fixture_pipe_stderr(fixture)};
    int flags = fcntl(STDERR_FILENO, F_GETFL);
    fill_stderr();
    struct log *log = log_fixture_open(NULL);
    uint64_t written = write_until_lost(log);
    for (int i = 0; i < 99; i++, written++)
        write_filling(log);
    uint64_t lost = log_lost(log);
    assert_int_equal(fcntl(STDERR_FILENO, F_GETFL), flags);

    pthread_t thread;
    sem_init(&drain.queue_has_room, 0, 0);
    assert_int_equal(pthread_create(&thread, NULL, run_drain, &drain), 0);
    sem_wait(&drain.queue_has_room);
    LOG(log, LOG_INFO, "test", "after", log_int("end", 1));
    log_close(log);
    log_fixture_restore_stderr(fixture);
    pthread_join(thread, NULL);
    sem_destroy(&drain.queue_has_room);

    char *text = testing_take_text(&drain.bytes);
    assert_int_equal(count_lines(text, " end=1") - 1 + lost, written);
    assert_int_equal(sum_lost(text), lost);
    const char *behind = behind_notices(text);
    assert_contains(behind, "msg=after end=1\n");
    assert_int_equal(count_lines(behind, ""), 1);
    free(text);
}

static void test_closing_does_not_wait_for_a_stuck_reader(void **state)
{
    struct log_fixture *fixture = *state;
    int read_fd = log_fixture_pipe_stderr(fixture);
    struct log *log = log_fixture_open(NULL);
    write_until_lost(log);
    patience_set(false);
    int64_t start_ms = now_ms();
    log_close(log);
    assert_in_range(now_ms() - start_ms, 1000, 60000);
    /* The end of the pipe shows that the writer, left behind, has gone. */
    log_fixture_restore_stderr(fixture);
    free(log_fixture_read_to_end(read_fd));
}

static sem_t write_entered, write_released;
static atomic_bool next_write_is_stuck;

ssize_t __real_write(int fd, const void *bytes, size_t len);
ssize_t __wrap_write(int fd, const void *bytes, size_t len);

/* Stands in for write() (linked with --wrap): poll() said yes, and another program was faster. */
ssize_t __wrap_write(int fd, const void *bytes, size_t len)
{
    if (atomic_exchange(&next_write_is_stuck, false)) {
        sem_post(&write_entered);
        sem_wait(&write_released);
    }
    return __real_write(fd, bytes, len);
}

static void test_closing_does_not_wait_for_a_stuck_write(void **state)
{
    struct log_fixture *fixture = *state;
    int read_fd = log_fixture_pipe_stderr(fixture);
    sem_init(&write_entered, 0, 0);
    sem_init(&write_released, 0, 0);
    struct log *log = log_fixture_open(NULL);
    atomic_store(&next_write_is_stuck, true);
    LOG(log, LOG_INFO, "test", "stuck");
    sem_wait(&write_entered);
    patience_set(false);
    int64_t start_ms = now_ms();
    log_close(log);
    assert_in_range(now_ms() - start_ms, 1000, 60000);
    sem_post(&write_released);
    log_fixture_restore_stderr(fixture);
    char *text =
        log_fixture_read_to_end(read_fd); /* ends when the writer, left behind, has freed the log */
    assert_int_equal(count_lines(text, "msg=stuck"), 1);
    free(text);
    sem_destroy(&write_entered);
    sem_destroy(&write_released);
}

static void test_closing_does_not_wait_for_a_stuck_terminal(void **state)
{
    struct log_fixture *fixture = *state;
    int master_fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    char name[64];
    if (master_fd < 0 || grantpt(master_fd) != 0 || unlockpt(master_fd) != 0 ||
        ptsname_r(master_fd, name, sizeof name) != 0)
        skip();
    int fd = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(fd >= 0);
    log_fixture_replace_stderr(fixture, fd);
    struct log *log = log_fixture_open(NULL);
    write_until_lost(log);
    patience_set(false);
    int64_t start_ms = now_ms();
    log_close(log);
    assert_in_range(now_ms() - start_ms, 1000, 60000);
    log_fixture_restore_stderr(fixture);
    free(log_fixture_read_to_end(master_fd));
}

static void test_reopen_frees_a_log_with_a_stuck_reader(void **state)
{
    struct log_fixture *fixture = *state;
    int read_fd = log_fixture_pipe_stderr(fixture);
    struct log *log = log_fixture_open(NULL);
    uint64_t written = write_until_lost(log);
    assert_int_equal(log_reopen(log, fixture->path), 0);
    log_fixture_restore_stderr(fixture);
    char *piped = log_fixture_read_to_end(read_fd); /* ends when the log has let go of the pipe */
    LOG(log, LOG_INFO, "test", "fill", log_int("end", 1));
    uint64_t lost = log_lost(log);
    log_close(log);
    char *text = testing_read_file(fixture->path);
    uint64_t filed = count_lines(text, " end=1");
    assert_true(filed > LOG_QUEUE_MAX_BYTES / 1024);
    assert_int_equal(count_lines(piped, " end=1") + filed + lost, written + 1);
    free(piped);
    free(text);
}

static void test_a_reader_that_has_gone(void **state)
{
    struct log_fixture *fixture = *state;
    close(log_fixture_pipe_stderr(fixture));
    struct log *log = log_fixture_open(NULL);
    for (int i = 0; i < 10; i++)
        LOG(log, LOG_INFO, "test", "m");
    while (log_lost(log) < 10)
        sched_yield();
    assert_int_equal(log_reopen(log, fixture->path), 0);
    LOG(log, LOG_INFO, "test", "after");
    log_close(log);
    log_fixture_restore_stderr(fixture);
    char *text = testing_read_file(fixture->path);
    assert_int_equal(sum_lost(text), 10);
    assert_int_equal(count_lines(text, "msg=after"), 1);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOG_TEST(test_a_full_queue_loses_lines_and_says_so),
        LOG_TEST(test_closing_does_not_wait_for_a_stuck_reader),
        LOG_TEST(test_closing_does_not_wait_for_a_stuck_write),
        LOG_TEST(test_closing_does_not_wait_for_a_stuck_terminal),
        LOG_TEST(test_reopen_frees_a_log_with_a_stuck_reader),
        LOG_TEST(test_a_reader_that_has_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
