/* log_fixture.h: logs in a folder of their own or on a stderr that a test reads, for the tests of
 * log.h. */
#ifndef LOG_FIXTURE_H
#define LOG_FIXTURE_H

#include "base/log.h"
#include "testing.h"

struct log_fixture {
    char *folder;
    char *path;    /* of herd.log in it, which is not there yet */
    int stderr_fd; /* the real one, while a test has put something else in its place; else -1 */
};

int log_setup(void **state);
int log_teardown(void **state);

/* At level info. */
struct log *log_fixture_open(const char *path);

/* Takes `take_fd` for stderr, until log_fixture_restore_stderr. */
void log_fixture_replace_stderr(struct log_fixture *fixture, int take_fd);
void log_fixture_restore_stderr(struct log_fixture *fixture);

/* Makes stderr a pipe; gives its other end. */
int log_fixture_pipe_stderr(struct log_fixture *fixture);

/* Everything until all writers have closed their end; closes fd. Free with free(). */
char *log_fixture_read_to_end(int take_fd);

/* How many lines end in `end`. */
uint64_t count_lines(const char *text, const char *end);

/* The sum of N over all lines `msg="lines lost" count=N`. */
uint64_t sum_lost(const char *text);

#define LOG_TEST(name) cmocka_unit_test_setup_teardown(name, log_setup, log_teardown)

#endif
