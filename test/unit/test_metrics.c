#include <stdlib.h>

#include "base/metrics.h"
#include "testing.h"

/* Free with free(). */
static char *prometheus_of(const struct metrics *metrics, const char *server)
{
    struct herd_buf out = {0};
    assert_int_equal(metrics_write_prometheus(metrics, server, &out), 0);
    return testing_take_text(&out);
}

static void test_values(void **state)
{
    (void)state;
    struct metrics metrics = {0};
    metrics_add(&metrics, METRIC_iamat_total, 2);
    metrics_add(&metrics, METRIC_iamat_total, 3);
    metrics_set(&metrics, METRIC_clients, 7);
    metrics_set(&metrics, METRIC_clients, -1);
    metrics_max(&metrics, METRIC_loop_turn_max_ns, 900);
    metrics_max(&metrics, METRIC_loop_turn_max_ns, 300);

    char *text = prometheus_of(&metrics, "Hill");
    assert_contains(text, "# HELP herd_iamat_total IAMAT commands answered\n"
                          "# TYPE herd_iamat_total counter\n"
                          "herd_iamat_total{server=\"Hill\"} 5\n");
    assert_contains(text, "# TYPE herd_clients gauge\nherd_clients{server=\"Hill\"} -1\n");
    assert_contains(text, "# TYPE herd_loop_turn_max_ns gauge\n"
                          "herd_loop_turn_max_ns{server=\"Hill\"} 900\n");
    free(text);
}

static void test_extreme_values(void **state)
{
    (void)state;
    struct metrics metrics = {0};
    metrics_set(&metrics, METRIC_clients, INT64_MIN);
    metrics_set(&metrics, METRIC_links_up, INT64_MAX);
    char *text = prometheus_of(&metrics, "Hill");
    assert_contains(text, "herd_clients{server=\"Hill\"} -9223372036854775808\n");
    assert_contains(text, "herd_links_up{server=\"Hill\"} 9223372036854775807\n");
    free(text);
}

static void test_label_is_escaped(void **state)
{
    (void)state;
    struct metrics metrics = {0};
    char *text = prometheus_of(&metrics, "a\"b\\c\nd\xc3\xa9");
    assert_contains(text, "herd_clients{server=\"a\\\"b\\\\c\\nd\xc3\xa9\"} 0\n");
    free(text);
    text = prometheus_of(&metrics, "");
    assert_contains(text, "herd_clients{server=\"\"} 0\n");
    free(text);
}

/* Each metric is three lines in the order HELP, TYPE, value, and all are there. */
static void test_every_metric_is_written_once(void **state)
{
    (void)state;
    struct metrics metrics = {0};
    for (enum metric which = 0; which < METRIC_COUNT; which++)
        metrics_set(&metrics, which, 1000 + (int64_t)which);
    char *text = prometheus_of(&metrics, "Hill");
    char *rest = text;
    for (enum metric which = 0; which < METRIC_COUNT; which++) {
        struct herd_buf expected = {0};
        const char *name = metrics_name(which);
        assert_int_equal(
            herd_buf_printf(&expected, "# HELP herd_%s %s\n", name, metrics_help(which)), 0);
        assert_true(strlen(rest) >= expected.len);
        assert_memory_equal(rest, expected.data, expected.len);
        rest = strchr(strchr(rest, '\n') + 1, '\n') + 1;
        expected.len = 0;
        assert_int_equal(
            herd_buf_printf(&expected, "herd_%s{server=\"Hill\"} %d\n", name, 1000 + (int)which),
            0);
        assert_true(strlen(rest) >= expected.len);
        assert_memory_equal(rest, expected.data, expected.len);
        rest += expected.len;
        herd_buf_free(&expected);
    }
    assert_string_equal(rest, "");
    free(text);
}

/* Prometheus' rules for names; a counter, and nothing else, ends in _total. */
static void test_names_are_prometheus_names(void **state)
{
    (void)state;
    struct metrics metrics = {0};
    char *text = prometheus_of(&metrics, "Hill");
    for (enum metric which = 0; which < METRIC_COUNT; which++) {
        const char *name = metrics_name(which);
        assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_"), strlen(name));
        assert_true(metrics_unit(which)[0] != '\0');
        assert_true(metrics_help(which)[0] != '\0');
        size_t len = strlen(name);
        bool total = len > 6 && strcmp(name + len - 6, "_total") == 0;
        struct herd_buf type = {0};
        assert_int_equal(
            herd_buf_printf(&type, "# TYPE herd_%s %s\n", name, total ? "counter" : "gauge") |
                herd_buf_append(&type, "", 1),
            0);
        assert_contains(text, type.data);
        herd_buf_free(&type);
        for (enum metric other = 0; other < which; other++)
            assert_string_not_equal(name, metrics_name(other));
    }
    free(text);
}

static void test_markdown(void **state)
{
    (void)state;
    struct herd_buf out = {0};
    assert_int_equal(metrics_write_markdown(&out), 0);
    char *text = testing_take_text(&out);
    assert_contains(text, "\n| `herd_iamat_total` | counter | requests | IAMAT commands "
                          "answered |\n");
    size_t lines = 0;
    for (const char *at = text; (at = strchr(at, '\n')) != NULL; at++)
        lines++;
    assert_int_equal(lines, METRIC_COUNT + 2);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_extreme_values),
        cmocka_unit_test(test_label_is_escaped),
        cmocka_unit_test(test_every_metric_is_written_once),
        cmocka_unit_test(test_names_are_prometheus_names),
        cmocka_unit_test(test_markdown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
