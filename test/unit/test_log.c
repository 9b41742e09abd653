#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <herd/err.h>

#include "log_fixture.h"

static void test_a_line_in_a_file(void **state)
{
    struct log_fixture *fixture = *state;
    struct log *log = log_fixture_open(fixture->path);
    LOG(log, LOG_INFO, "link", "up", log_text("peer", "Jaquez"), log_hex("epoch", 0xfeed));
    assert_int_equal(log_set_server(log, "Hill"), 0);
    LOG(log, LOG_ERROR, "start", "cannot listen", log_text("why", "address in use"));
    LOG(log, LOG_INFO, "stop", "done");
    log_write(log, LOG_WARNING, "stop", "no fields", NULL);
    log_close(log);

    char *text = testing_read_file(fixture->path);
    static const char *const expected[] = {
        " level=info group=link msg=up peer=Jaquez epoch=000000000000feed",
        " level=error server=Hill group=start msg=\"cannot listen\" why=\"address in use\"",
        " level=info server=Hill group=stop msg=done",
        " level=warning server=Hill group=stop msg=\"no fields\"",
    };
    char *rest = text;
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        char *line = strsep(&rest, "\n");
        struct tm utc;
        const char *after = strptime(line, "time=%Y-%m-%dT%H:%M:%S.", &utc);
        assert_non_null(after);
        assert_int_equal(strspn(after, "0123456789"), 6);
        assert_int_equal(after[6], 'Z');
        assert_string_equal(after + 7, expected[i]);
    }
    assert_string_equal(rest, "");
    free(text);
}

static void test_levels(void **state)
{
    struct log_fixture *fixture = *state;
    static const char *const names[] = {"error", "warning", "info", "debug", "lines"};
    enum log_level level;
    for (enum log_level i = LOG_ERROR; i <= LOG_LINES; i++) {
        assert_int_equal(log_level_parse(names[i], &level), 0);
        assert_int_equal(level, i);
        assert_string_equal(log_level_name(i), names[i]);
    }
    assert_int_equal(log_level_parse("INFO", &level), HERD_EINVAL);
    assert_int_equal(log_level_parse("", &level), HERD_EINVAL);

    struct log *log = log_fixture_open(fixture->path);
    assert_true(log_enabled(log, LOG_INFO));
    assert_false(log_enabled(log, LOG_DEBUG));
    assert_false(log_enabled(NULL, LOG_ERROR));
    LOG(log, LOG_DEBUG, "test", "not this");
    log_set_level(log, LOG_LINES);
    assert_true(log_enabled(log, LOG_LINES));
    LOG(log, LOG_LINES, "test", "this");
    log_set_level(log, LOG_ERROR);
    LOG(log, LOG_WARNING, "test", "nor this");
    log_close(log);
    char *text = testing_read_file(fixture->path);
    assert_int_equal(count_lines(text, ""), 1);
    assert_int_equal(count_lines(text, " level=lines group=test msg=this"), 1);
    free(text);
}

static void test_the_file_is_appended_to_and_private(void **state)
{
    struct log_fixture *fixture = *state;
    mode_t mask = umask(0);
    struct log *log = log_fixture_open(fixture->path);
    umask(mask);
    struct stat status;
    assert_int_equal(stat(fixture->path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0640);

    int found = 0;
    for (int fd = 3; fd < 64; fd++) {
        struct stat other;
        if (fstat(fd, &other) != 0 || other.st_ino != status.st_ino ||
            other.st_dev != status.st_dev)
            continue;
        found++;
        assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
        assert_int_equal(fcntl(fd, F_GETFL) & O_APPEND, O_APPEND);
    }
    assert_int_equal(found, 1);

    LOG(log, LOG_INFO, "test", "first");
    log_close(log);
    log = log_fixture_open(fixture->path);
    LOG(log, LOG_INFO, "test", "second");
    log_close(log);
    char *text = testing_read_file(fixture->path);
    assert_int_equal(count_lines(text, "msg=first"), 1);
    assert_int_equal(count_lines(text, "msg=second"), 1);
    free(text);
}

static void test_open_errors(void **state)
{
    struct log_fixture *fixture = *state;
    struct log *log = NULL;
    char *nowhere = testing_path(fixture->folder, "no/herd.log");
    assert_int_equal(log_open(nowhere, LOG_INFO, &log), HERD_EIO);
    assert_int_equal(errno, ENOENT);
    assert_int_equal(log_open(fixture->folder, LOG_INFO, &log), HERD_EIO);
    assert_int_equal(errno, EISDIR);
    assert_null(log);
    free(nowhere);
    /* A FIFO that nobody reads is an error, too, and does not hold us up. */
    assert_int_equal(mkfifo(fixture->path, 0600), 0);
    assert_int_equal(log_open(fixture->path, LOG_INFO, &log), HERD_EIO);
    assert_int_equal(errno, ENXIO);
    log_close(NULL);
}

static void test_reopen_after_rotation(void **state)
{
    struct log_fixture *fixture = *state;
    char *rotated = testing_path(fixture->folder, "herd.log.1");
    char *nowhere = testing_path(fixture->folder, "no/herd.log");
    struct log *log = log_fixture_open(fixture->path);
    LOG(log, LOG_INFO, "test", "first");
    log_close(log);
    log = log_fixture_open(fixture->path);
    assert_int_equal(rename(fixture->path, rotated), 0);
    assert_int_equal(log_reopen(log, fixture->path), 0);
    LOG(log, LOG_INFO, "test", "second");
    assert_int_equal(log_reopen(log, nowhere), HERD_EIO);
    assert_int_equal(errno, ENOENT);
    LOG(log, LOG_INFO, "test", "third");
    log_close(log);

    char *text = testing_read_file(rotated);
    assert_int_equal(count_lines(text, ""), 1);
    assert_int_equal(count_lines(text, "msg=first"), 1);
    free(text);
    text = testing_read_file(fixture->path);
    assert_int_equal(count_lines(text, ""), 2);
    assert_int_equal(count_lines(text, "msg=second"), 1);
    assert_int_equal(count_lines(text, "msg=third"), 1);
    free(text);
    free(rotated);
    free(nowhere);
}

static void test_server_name(void **state)
{
    struct log_fixture *fixture = *state;
    struct log *log = log_fixture_open(fixture->path);
    char name[600];
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    assert_int_equal(log_set_server(log, name), HERD_ETOOLONG);
    LOG(log, LOG_INFO, "test", "none");
    assert_int_equal(log_set_server(log, "a b"), 0);
    LOG(log, LOG_INFO, "test", "quoted");
    log_close(log);
    char *text = testing_read_file(fixture->path);
    assert_int_equal(count_lines(text, " level=info group=test msg=none"), 1);
    assert_int_equal(count_lines(text, " level=info server=\"a b\" group=test msg=quoted"), 1);
    free(text);
}

static void test_the_journal_gets_priorities(void **state)
{
    struct log_fixture *fixture = *state;
    int read_fd = log_fixture_pipe_stderr(fixture);
    struct stat status;
    assert_int_equal(fstat(STDERR_FILENO, &status), 0);
    char stream[64];
    snprintf(stream, sizeof stream, "%ju:%ju", (uintmax_t)status.st_dev, (uintmax_t)status.st_ino);
    setenv("JOURNAL_STREAM", stream, 1);
    struct log *log = log_fixture_open(NULL);
    unsetenv("JOURNAL_STREAM");
    log_set_level(log, LOG_LINES);
    for (enum log_level level = LOG_ERROR; level <= LOG_LINES; level++)
        LOG(log, level, "test", "m");
    log_close(log);
    log_fixture_restore_stderr(fixture);
    char *text = log_fixture_read_to_end(read_fd);
    assert_string_equal(text, "<3>level=error group=test msg=m\n"
                              "<4>level=warning group=test msg=m\n"
                              "<6>level=info group=test msg=m\n"
                              "<7>level=debug group=test msg=m\n"
                              "<7>level=lines group=test msg=m\n");
    free(text);
}

/* JOURNAL_STREAM is inherited: it must name the very stderr that we have. */
static void test_another_stderr_gets_times(void **state)
{
    struct log_fixture *fixture = *state;
    int read_fd = log_fixture_pipe_stderr(fixture);
    setenv("JOURNAL_STREAM", "1:1", 1);
    struct log *log = log_fixture_open(NULL);
    LOG(log, LOG_INFO, "test", "m");
    log_close(log);
    log_fixture_restore_stderr(fixture);
    char *text = log_fixture_read_to_end(read_fd);
    assert_memory_equal(text, "time=2", 6);
    assert_int_equal(count_lines(text, " level=info group=test msg=m"), 1);
    free(text);
}

enum { LIMIT_BYTES = 1 << 20, LEFT_BYTES = 1000 };

/* What came behind the hole that the test has made; free with free(). */
static char *read_tail(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(lseek(fd, LIMIT_BYTES - LEFT_BYTES, SEEK_SET), LIMIT_BYTES - LEFT_BYTES);
    return log_fixture_read_to_end(fd);
}

/* A limit on the file's size stands for a disk that is full: a write comes up short, then fails. */
static void test_a_full_disk(void **state)
{
    enum { LINES = 200 };
    struct log_fixture *fixture = *state;
    struct log *log = log_fixture_open(fixture->path);
    assert_int_equal(truncate(fixture->path, LIMIT_BYTES - LEFT_BYTES), 0);
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    struct rlimit limit = {.rlim_cur = LIMIT_BYTES, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    for (int i = 0; i < LINES; i++)
        LOG(log, LOG_INFO, "test", "fill", log_int("end", 1));
    uint64_t written = 0;
    while (written + log_lost(log) < LINES) {
        sched_yield();
        char *text = read_tail(fixture->path);
        written = count_lines(text, " end=1");
        free(text);
    }
    /* One more, with the notice of those that are lost in front: that is lost as well. */
    LOG(log, LOG_INFO, "test", "fill", log_int("end", 1));
    while (log_lost(log) < LINES - written + 1)
        sched_yield();
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_in_range(written, LEFT_BYTES / 100, LINES - 1);
    LOG(log, LOG_INFO, "test", "after", log_int("end", 1));
    uint64_t lost = log_lost(log);
    log_close(log);

    char *text = read_tail(fixture->path);
    assert_int_equal(count_lines(text, " end=1"), written + 1);
    assert_int_equal(lost, LINES - written + 1);
    assert_int_equal(sum_lost(text), lost);
    /* The torn line is alone on its line. */
    char *rest = text;
    for (char *line; (line = strsep(&rest, "\n")) != NULL && rest != NULL;) {
        assert_memory_equal(line, "time=2", strlen(line) < 6 ? strlen(line) : 6);
        assert_null(line[0] != '\0' ? strstr(line + 1, "time=") : NULL);
    }
    free(text);
}

enum { THREADS = 4, LINES_EACH = 2000 };

static void *run_many_lines(void *arg)
{
    struct log *log = arg;
    for (int i = 0; i < LINES_EACH; i++)
        LOG(log, LOG_INFO, "test", "many lines", log_int("i", i), log_int("end", 1));
    return NULL;
}

/* All of log.h at once, from several threads: for ThreadSanitizer. */
static void test_many_threads(void **state)
{
    struct log_fixture *fixture = *state;
    char *other = testing_path(fixture->folder, "other.log");
    struct log *log = log_fixture_open(fixture->path);
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run_many_lines, log), 0);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(log_reopen(log, i % 2 == 0 ? other : fixture->path), 0);
        assert_int_equal(log_set_server(log, i % 2 == 0 ? "Hill" : "Jaquez"), 0);
        log_set_level(log, i % 2 == 0 ? LOG_INFO : LOG_DEBUG);
        assert_true(log_enabled(log, LOG_INFO));
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    uint64_t lost = log_lost(log);
    log_close(log);

    uint64_t written = 0;
    const char *const paths[] = {fixture->path, other};
    for (size_t i = 0; i < 2; i++) {
        char *text = testing_read_file(paths[i]);
        written += count_lines(text, " end=1");
        char *rest = text;
        for (char *line; (line = strsep(&rest, "\n")) != NULL && rest != NULL;)
            assert_memory_equal(line, "time=2", 6);
        free(text);
    }
    assert_int_equal(written + lost, THREADS * LINES_EACH);
    free(other);
}

/* What others still say is neither written nor a use of memory that is gone. */
static void test_a_log_that_is_finished_stays(void **state)
{
    struct log_fixture *fixture = *state;
    struct log *log = log_fixture_open(fixture->path);
    LOG(log, LOG_INFO, "stop", "before");
    log_finish(log);
    LOG(log, LOG_INFO, "stop", "after");
    log_finish(log);
    char *text = testing_read_file(fixture->path);
    assert_int_equal(count_lines(text, "msg=before"), 1);
    assert_int_equal(count_lines(text, "msg=after"), 0);
    free(text);
    log_close(log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOG_TEST(test_a_line_in_a_file),
        LOG_TEST(test_levels),
        LOG_TEST(test_the_file_is_appended_to_and_private),
        LOG_TEST(test_open_errors),
        LOG_TEST(test_reopen_after_rotation),
        LOG_TEST(test_server_name),
        LOG_TEST(test_a_log_that_is_finished_stays),
        LOG_TEST(test_the_journal_gets_priorities),
        LOG_TEST(test_another_stderr_gets_times),
        LOG_TEST(test_a_full_disk),
        LOG_TEST(test_many_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
