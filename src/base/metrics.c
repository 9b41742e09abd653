#include <assert.h>
#include <inttypes.h>

#include <herd/err.h>

#include "base/metrics.h"

enum metric_type { COUNTER, GAUGE, GAUGE_MAX };

static const char *const type_names[] = {
    [COUNTER] = "counter", [GAUGE] = "gauge", [GAUGE_MAX] = "gauge"};

static const struct {
    const char *name;
    enum metric_type type;
    const char *unit;
    const char *help;
} rows[METRIC_COUNT] = {
#define METRIC(name, type, unit, help) {#name, type, #unit, help},
#include "base/metrics.def"
#undef METRIC
};

const char *metrics_name(enum metric which)
{
    assert(which < METRIC_COUNT);
    return rows[which].name;
}

const char *metrics_unit(enum metric which)
{
    assert(which < METRIC_COUNT);
    return rows[which].unit;
}

const char *metrics_help(enum metric which)
{
    assert(which < METRIC_COUNT);
    return rows[which].help;
}

/* Appends `text` with a backslash before each byte of `special`, a line end as \n. */
static int append_escaped(struct herd_buf *out, const char *text, const char *special)
{
    int rc = 0;
    for (; *text != '\0' && rc == 0; text++) {
        if (*text == '\n')
            rc = herd_buf_append_text(out, "\\n");
        else if (strchr(special, *text) != NULL)
            rc = herd_buf_printf(out, "\\%c", *text);
        else
            rc = herd_buf_append(out, text, 1);
    }
    return rc;
}

/* https://prometheus.io/docs/instrumenting/exposition_formats/ (text format 0.0.4) */
static int write_metric(struct herd_buf *out, enum metric which, const char *label, int64_t value)
{
    const char *name = rows[which].name;
    int rc = herd_buf_printf(out, "# HELP herd_%s ", name);
    if (rc == 0)
        rc = append_escaped(out, rows[which].help, "\\");
    if (rc == 0)
        rc = herd_buf_printf(out, "\n# TYPE herd_%s %s\nherd_%s{server=\"%s\"} %" PRId64 "\n", name,
                             type_names[rows[which].type], name, label, value);
    return rc;
}

int metrics_write_prometheus(const struct metrics *metrics, const char *server,
                             struct herd_buf *out)
{
    struct herd_buf label = {0};
    int rc = append_escaped(&label, server, "\\\"");
    if (rc == 0)
        rc = herd_buf_append(&label, "", 1);
    for (enum metric which = 0; which < METRIC_COUNT && rc == 0; which++)
        rc = write_metric(out, which, label.data, metrics->value[which]);
    herd_buf_free(&label);
    return rc;
}

int metrics_write_markdown(struct herd_buf *out)
{
    int rc = herd_buf_append_text(out, "| Metric | Type | Unit | What it counts |\n"
                                       "|---|---|---|---|\n");
    for (enum metric which = 0; which < METRIC_COUNT && rc == 0; which++)
        rc = herd_buf_printf(out, "| `herd_%s` | %s | %s | %s |\n", rows[which].name,
                             type_names[rows[which].type], rows[which].unit, rows[which].help);
    return rc;
}
