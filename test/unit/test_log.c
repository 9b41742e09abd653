#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <herd/err.h>

#include "base/log.h"
#include "testing.h"

enum { PIPE_READ_BYTES = 4096 };

struct fixture {
    char *folder;
    char *path;
    int stderr_fd; /* the real one, while a test has put something else in its place; else -1 */
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    fixture->folder = testing_make_folder();
    fixture->path = testing_path(fixture->folder, "herd.log");
    fixture->stderr_fd = -1;
    unsetenv("JOURNAL_STREAM");
    *state = fixture;
    return 0;
}

static void restore_stderr(struct fixture *fixture)
{
    if (fixture->stderr_fd < 0)
        return;
    assert_int_equal(dup2(fixture->stderr_fd, STDERR_FILENO), STDERR_FILENO);
    close(fixture->stderr_fd);
    fixture->stderr_fd = -1;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    restore_stderr(fixture);
    free(fixture->path);
    testing_remove_folder(fixture->folder);
    free(fixture);
    return 0;
}

/* Takes `fd` for stderr, until restore_stderr. */
static void replace_stderr(struct fixture *fixture, int take_fd)
{
    fixture->stderr_fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 10);
    assert_true(fixture->stderr_fd >= 0);
    assert_int_equal(dup2(take_fd, STDERR_FILENO), STDERR_FILENO);
    close(take_fd);
}

/* Makes stderr a pipe; gives its other end. */
static int pipe_stderr(struct fixture *fixture)
{
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    replace_stderr(fixture, ends[1]);
    return ends[0];
}

static struct log *open_log(const char *path)
{
    struct log *log = NULL;
    assert_int_equal(log_open(path, LOG_INFO, &log), 0);
    return log;
}

/* Everything until all writers have closed their end; free with free(). */
static char *read_to_end(int fd)
{
    struct herd_buf bytes = {0};
    ssize_t len;
    do {
        assert_int_equal(herd_buf_reserve(&bytes, PIPE_READ_BYTES), 0);
        len = read(fd, bytes.data + bytes.len, PIPE_READ_BYTES);
        bytes.len += len > 0 ? (size_t)len : 0;
    } while (len > 0);
    close(fd);
    return testing_take_text(&bytes);
}

/* How many lines end in `end`. */
static uint64_t count_lines(const char *text, const char *end)
{
    uint64_t count = 0;
    size_t end_len = strlen(end);
    for (const char *lf = strchr(text, '\n'); lf != NULL; lf = strchr(lf + 1, '\n'))
        count += (size_t)(lf - text) >= end_len && memcmp(lf - end_len, end, end_len) == 0;
    return count;
}

/* The sum of N over all lines `msg="lines lost" count=N`. */
static uint64_t sum_lost(const char *text)
{
    static const char notice[] = "group=log msg=\"lines lost\" count=";
    uint64_t sum = 0;
    for (const char *at = text; (at = strstr(at, notice)) != NULL; at++)
        sum += strtoull(at + strlen(notice), NULL, 10);
    return sum;
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void test_a_line_in_a_file(void **state)
{
    struct fixture *fixture = *state;
    struct log *log = open_log(fixture->path);
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
    struct fixture *fixture = *state;
    static const char *const names[] = {"error", "warning", "info", "debug", "lines"};
    enum log_level level;
    for (enum log_level i = LOG_ERROR; i <= LOG_LINES; i++) {
        assert_int_equal(log_level_parse(names[i], &level), 0);
        assert_int_equal(level, i);
        assert_string_equal(log_level_name(i), names[i]);
    }
    assert_int_equal(log_level_parse("INFO", &level), HERD_EINVAL);
    assert_int_equal(log_level_parse("", &level), HERD_EINVAL);

    struct log *log = open_log(fixture->path);
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
    struct fixture *fixture = *state;
    mode_t mask = umask(0);
    struct log *log = open_log(fixture->path);
    umask(mask);
    struct stat status;
    assert_int_equal(stat(fixture->path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0640);

    int found = 0;
    for (int fd = 3; fd < 64; fd++) {
        struct stat other;
        if (fstat(fd, &other) != 0 || other.st_ino != status.st_ino)
            continue;
        found++;
        assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
        assert_int_equal(fcntl(fd, F_GETFL) & O_APPEND, O_APPEND);
    }
    assert_int_equal(found, 1);

    LOG(log, LOG_INFO, "test", "first");
    log_close(log);
    log = open_log(fixture->path);
    LOG(log, LOG_INFO, "test", "second");
    log_close(log);
    char *text = testing_read_file(fixture->path);
    assert_int_equal(count_lines(text, "msg=first"), 1);
    assert_int_equal(count_lines(text, "msg=second"), 1);
    free(text);
}

static void test_open_errors(void **state)
{
    struct fixture *fixture = *state;
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
    struct fixture *fixture = *state;
    char *rotated = testing_path(fixture->folder, "herd.log.1");
    char *nowhere = testing_path(fixture->folder, "no/herd.log");
    struct log *log = open_log(fixture->path);
    LOG(log, LOG_INFO, "test", "first");
    log_close(log);
    log = open_log(fixture->path);
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
    struct fixture *fixture = *state;
    struct log *log = open_log(fixture->path);
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
    struct fixture *fixture = *state;
    int read_fd = pipe_stderr(fixture);
    struct stat status;
    assert_int_equal(fstat(STDERR_FILENO, &status), 0);
    char stream[64];
    snprintf(stream, sizeof stream, "%ju:%ju", (uintmax_t)status.st_dev, (uintmax_t)status.st_ino);
    setenv("JOURNAL_STREAM", stream, 1);
    struct log *log = open_log(NULL);
    unsetenv("JOURNAL_STREAM");
    log_set_level(log, LOG_LINES);
    for (enum log_level level = LOG_ERROR; level <= LOG_LINES; level++)
        LOG(log, level, "test", "m");
    log_close(log);
    restore_stderr(fixture);
    char *text = read_to_end(read_fd);
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
    struct fixture *fixture = *state;
    int read_fd = pipe_stderr(fixture);
    setenv("JOURNAL_STREAM", "1:1", 1);
    struct log *log = open_log(NULL);
    LOG(log, LOG_INFO, "test", "m");
    log_close(log);
    restore_stderr(fixture);
    char *text = read_to_end(read_fd);
    assert_memory_equal(text, "time=2", 6);
    assert_int_equal(count_lines(text, " level=info group=test msg=m"), 1);
    free(text);
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
    enum { ENOUGH_BYTES = 512 * 1024 };
    struct drain *drain = arg;
    ssize_t len;
    do {
        herd_buf_reserve(&drain->bytes, PIPE_READ_BYTES);
        len = read(drain->fd, drain->bytes.data + drain->bytes.len, PIPE_READ_BYTES);
        size_t before = drain->bytes.len;
        drain->bytes.len += len > 0 ? (size_t)len : 0;
        if (before < ENOUGH_BYTES && drain->bytes.len >= ENOUGH_BYTES)
            sem_post(&drain->queue_has_room);
    } while (len > 0);
    close(drain->fd);
    return NULL;
}

static void test_a_full_queue_loses_lines_and_says_so(void **state)
{
    struct fixture *fixture = *state;
    struct drain drain = {.fd = pipe_stderr(fixture)};
    int flags = fcntl(STDERR_FILENO, F_GETFL);
    struct log *log = open_log(NULL);
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
    restore_stderr(fixture);
    pthread_join(thread, NULL);
    sem_destroy(&drain.queue_has_room);

    char *text = testing_take_text(&drain.bytes);
    assert_int_equal(count_lines(text, " end=1") - 1 + lost, written);
    assert_int_equal(sum_lost(text), lost);
    struct herd_buf buf = {0};
    assert_int_equal(
        herd_buf_printf(&buf, "level=warning group=log msg=\"lines lost\" count=%" PRIu64 "\n",
                        lost),
        0);
    char *notice = testing_take_text(&buf);
    assert_contains(text, notice);
    const char *next = strstr(text, notice) + strlen(notice);
    assert_contains(next, "msg=after end=1\n");
    assert_int_equal(count_lines(next, ""), 1);
    free(notice);
    free(text);
}

static void test_closing_does_not_wait_for_a_stuck_reader(void **state)
{
    struct fixture *fixture = *state;
    int read_fd = pipe_stderr(fixture);
    struct log *log = open_log(NULL);
    write_until_lost(log);
    int64_t start_ms = now_ms();
    log_close(log);
    assert_in_range(now_ms() - start_ms, 1000, 60000);
    /* The end of the pipe shows that the writer, left behind, has gone. */
    restore_stderr(fixture);
    free(read_to_end(read_fd));
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
    struct fixture *fixture = *state;
    int read_fd = pipe_stderr(fixture);
    sem_init(&write_entered, 0, 0);
    sem_init(&write_released, 0, 0);
    struct log *log = open_log(NULL);
    atomic_store(&next_write_is_stuck, true);
    LOG(log, LOG_INFO, "test", "stuck");
    sem_wait(&write_entered);
    int64_t start_ms = now_ms();
    log_close(log);
    assert_in_range(now_ms() - start_ms, 1000, 60000);
    sem_post(&write_released);
    restore_stderr(fixture);
    char *text = read_to_end(read_fd); /* ends when the writer, left behind, has freed the log */
    assert_int_equal(count_lines(text, "msg=stuck"), 1);
    free(text);
    sem_destroy(&write_entered);
    sem_destroy(&write_released);
}

static void test_closing_does_not_wait_for_a_stuck_terminal(void **state)
{
    struct fixture *fixture = *state;
    int master_fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    char name[64];
    if (master_fd < 0 || grantpt(master_fd) != 0 || unlockpt(master_fd) != 0 ||
        ptsname_r(master_fd, name, sizeof name) != 0)
        skip();
    int fd = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(fd >= 0);
    replace_stderr(fixture, fd);
    struct log *log = open_log(NULL);
    write_until_lost(log);
    int64_t start_ms = now_ms();
    log_close(log);
    assert_in_range(now_ms() - start_ms, 1000, 60000);
    restore_stderr(fixture);
    free(read_to_end(master_fd));
}

static void test_reopen_frees_a_log_with_a_stuck_reader(void **state)
{
    struct fixture *fixture = *state;
    int read_fd = pipe_stderr(fixture);
    struct log *log = open_log(NULL);
    uint64_t written = write_until_lost(log);
    assert_int_equal(log_reopen(log, fixture->path), 0);
    restore_stderr(fixture);
    char *piped = read_to_end(read_fd); /* ends when the log has let go of the pipe */
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
    struct fixture *fixture = *state;
    close(pipe_stderr(fixture));
    struct log *log = open_log(NULL);
    for (int i = 0; i < 10; i++)
        LOG(log, LOG_INFO, "test", "m");
    while (log_lost(log) < 10)
        sched_yield();
    assert_int_equal(log_reopen(log, fixture->path), 0);
    LOG(log, LOG_INFO, "test", "after");
    log_close(log);
    restore_stderr(fixture);
    char *text = testing_read_file(fixture->path);
    assert_int_equal(sum_lost(text), 10);
    assert_int_equal(count_lines(text, "msg=after"), 1);
    free(text);
}

enum { LIMIT_BYTES = 1 << 20, LEFT_BYTES = 1000 };

/* What came behind the hole that the test has made; free with free(). */
static char *read_tail(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(lseek(fd, LIMIT_BYTES - LEFT_BYTES, SEEK_SET), LIMIT_BYTES - LEFT_BYTES);
    return read_to_end(fd);
}

/* A limit on the file's size stands for a disk that is full: a write comes up short, then fails. */
static void test_a_full_disk(void **state)
{
    enum { LINES = 200 };
    struct fixture *fixture = *state;
    struct log *log = open_log(fixture->path);
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
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_in_range(written, LEFT_BYTES / 100, LINES - 1);
    LOG(log, LOG_INFO, "test", "after", log_int("end", 1));
    uint64_t lost = log_lost(log);
    log_close(log);

    char *text = read_tail(fixture->path);
    assert_int_equal(count_lines(text, " end=1"), written + 1);
    assert_int_equal(lost, LINES - written);
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
    struct fixture *fixture = *state;
    char *other = testing_path(fixture->folder, "other.log");
    struct log *log = open_log(fixture->path);
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

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_line_in_a_file),
        TEST(test_levels),
        TEST(test_the_file_is_appended_to_and_private),
        TEST(test_open_errors),
        TEST(test_reopen_after_rotation),
        TEST(test_server_name),
        TEST(test_the_journal_gets_priorities),
        TEST(test_another_stderr_gets_times),
        TEST(test_a_full_queue_loses_lines_and_says_so),
        TEST(test_closing_does_not_wait_for_a_stuck_reader),
        TEST(test_closing_does_not_wait_for_a_stuck_write),
        TEST(test_closing_does_not_wait_for_a_stuck_terminal),
        TEST(test_reopen_frees_a_log_with_a_stuck_reader),
        TEST(test_a_reader_that_has_gone),
        TEST(test_a_full_disk),
        TEST(test_many_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
