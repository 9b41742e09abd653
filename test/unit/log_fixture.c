#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "log_fixture.h"
#include "patience.h"

enum { READ_BYTES = 4096 };

int log_setup(void **state)
{
    struct log_fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    fixture->folder = testing_make_folder();
    fixture->path = testing_path(fixture->folder, "herd.log");
    fixture->stderr_fd = -1;
    unsetenv("JOURNAL_STREAM");
    patience_set(true);
    *state = fixture;
    return 0;
}

void log_fixture_restore_stderr(struct log_fixture *fixture)
{
    if (fixture->stderr_fd < 0)
        return;
    assert_int_equal(dup2(fixture->stderr_fd, STDERR_FILENO), STDERR_FILENO);
    close(fixture->stderr_fd);
    fixture->stderr_fd = -1;
}

int log_teardown(void **state)
{
    struct log_fixture *fixture = *state;
    log_fixture_restore_stderr(fixture);
    free(fixture->path);
    testing_remove_folder(fixture->folder);
    free(fixture);
    return 0;
}

void log_fixture_replace_stderr(struct log_fixture *fixture, int take_fd)
{
    fixture->stderr_fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 10);
    assert_true(fixture->stderr_fd >= 0);
    assert_int_equal(dup2(take_fd, STDERR_FILENO), STDERR_FILENO);
    close(take_fd);
}

int log_fixture_pipe_stderr(struct log_fixture *fixture)
{
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    log_fixture_replace_stderr(fixture, ends[1]);
    return ends[0];
}

struct log *log_fixture_open(const char *path)
{
    struct log *log = NULL;
    assert_int_equal(log_open(path, LOG_INFO, &log), 0);
    return log;
}

char *log_fixture_read_to_end(int take_fd)
{
    struct herd_buf bytes = {0};
    ssize_t len;
    do {
        assert_int_equal(herd_buf_reserve(&bytes, READ_BYTES), 0);
        len = read(take_fd, bytes.data + bytes.len, READ_BYTES);
        bytes.len += len > 0 ? (size_t)len : 0;
    } while (len > 0);
    close(take_fd);
    return testing_take_text(&bytes);
}

uint64_t count_lines(const char *text, const char *end)
{
    uint64_t count = 0;
    size_t end_len = strlen(end);
    for (const char *lf = strchr(text, '\n'); lf != NULL; lf = strchr(lf + 1, '\n'))
        count += (size_t)(lf - text) >= end_len && memcmp(lf - end_len, end, end_len) == 0;
    return count;
}

uint64_t sum_lost(const char *text)
{
    static const char notice[] = "group=log msg=\"lines lost\" count=";
    uint64_t sum = 0;
    for (const char *at = text; (at = strstr(at, notice)) != NULL; at++)
        sum += strtoull(at + strlen(notice), NULL, 10);
    return sum;
}
