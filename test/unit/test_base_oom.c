/* Fails the 1st, 2nd, 3rd … allocation of src/base and libherd (linked with --wrap), until all that
 * was asked for works: each time it must say so, and leak nothing (ASan tells). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <herd/err.h>

#include "base/log.h"
#include "base/metrics.h"
#include "config_fixture.h"

static size_t allocations_left; /* until one fails; 0: none does */
static bool has_failed;

static bool fails(void)
{
    if (allocations_left == 0 || --allocations_left > 0)
        return false;
    has_failed = true;
    errno = ENOMEM;
    return true;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
char *__real_strdup(const char *text);
char *__real_strndup(const char *text, size_t len);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t len);

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return fails() ? NULL : __real_realloc(old, size);
}

char *__wrap_strdup(const char *text)
{
    return fails() ? NULL : __real_strdup(text);
}

char *__wrap_strndup(const char *text, size_t len)
{
    return fails() ? NULL : __real_strndup(text, len);
}

/* Calls until nothing fails; gives how many allocations there were. */
static size_t fail_each(int (*call)(void *arg), void *arg, int expected)
{
    for (size_t i = 1;; i++) {
        allocations_left = i;
        has_failed = false;
        int rc = call(arg);
        allocations_left = 0;
        if (!has_failed) {
            assert_int_equal(rc, expected);
            return i - 1;
        }
        assert_int_equal(rc, HERD_ENOMEM);
    }
}

static int call_config_load(void *arg)
{
    struct config *config = NULL;
    struct herd_buf errors = {0};
    int rc = config_load(arg, &config, &errors);
    config_free(config);
    herd_buf_free(&errors);
    return rc;
}

static void test_config_load(void **state)
{
    struct config_fixture *fixture = *state;
    char *seed = testing_path(fixture->folder, "seed.conf");
    char *text = testing_read_file(HERD_CONF);
    testing_write_file(seed, text, strlen(text));
    free(text);
    assert_true(fail_each(call_config_load, seed, 0) > 40);
    free(seed);

    static const char bad[] = "conections_max = 1\nplaces { calls_max = many }\nsever X { }\n"
                              "server Hill { listen = \"127.0.0.1\" peers = {\"Hill\", Jaquez} }\n"
                              "security = open security = tls\n";
    testing_write_file(fixture->path, bad, strlen(bad));
    assert_true(fail_each(call_config_load, fixture->path, HERD_EINVAL) > 20);
}

static int call_config_warn(void *arg)
{
    struct herd_buf out = {0};
    int rc = config_warn(arg, &out);
    herd_buf_free(&out);
    return rc;
}

static void test_config_warn(void **state)
{
    static const char text[] =
        "places { provider = google }\n" HILL "server A { listen = \"127.0.0.1:2\" peers = {B} }\n"
        "server B { listen = \"127.0.0.1:3\" peers = {A} }\n";
    struct config *config = config_load_good_text(*state, text);
    assert_true(fail_each(call_config_warn, config, 0) > 4);
    config_free(config);
}

static int call_config_write_markdown(void *arg)
{
    (void)arg;
    struct herd_buf out = {0};
    int rc = config_write_markdown(&out);
    herd_buf_free(&out);
    return rc;
}

static int call_metrics_write_markdown(void *arg)
{
    (void)arg;
    struct herd_buf out = {0};
    int rc = metrics_write_markdown(&out);
    herd_buf_free(&out);
    return rc;
}

static int call_metrics_write_prometheus(void *arg)
{
    (void)arg;
    struct metrics metrics = {0};
    struct herd_buf out = {0};
    int rc = metrics_write_prometheus(&metrics, "Hill", &out);
    herd_buf_free(&out);
    return rc;
}

static void test_tables(void **state)
{
    (void)state;
    assert_true(fail_each(call_config_write_markdown, NULL, 0) > 0);
    assert_true(fail_each(call_metrics_write_markdown, NULL, 0) > 0);
    assert_true(fail_each(call_metrics_write_prometheus, NULL, 0) > 1);
}

static int call_log_open(void *arg)
{
    struct log *log = NULL;
    int rc = log_open(arg, LOG_INFO, &log);
    log_close(log);
    return rc;
}

static void test_log_open(void **state)
{
    struct config_fixture *fixture = *state;
    assert_int_equal(fail_each(call_log_open, fixture->path, 0), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CONFIG_TEST(test_config_load),
        CONFIG_TEST(test_config_warn),
        CONFIG_TEST(test_tables),
        CONFIG_TEST(test_log_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
