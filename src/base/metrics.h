/* metrics.h: the counters and gauges of one server; the table is metrics.def. Used by the loop's
 * thread alone. */
#ifndef BASE_METRICS_H
#define BASE_METRICS_H

#include <stdint.h>

#include <herd/buf.h>

enum metric {
#define METRIC(name, type, unit, help) METRIC_##name,
#include "metrics.def"
#undef METRIC
    METRIC_COUNT
};

struct metrics {
    int64_t value[METRIC_COUNT];
};

static inline void metrics_add(struct metrics *metrics, enum metric which, int64_t by)
{
    metrics->value[which] += by;
}

static inline void metrics_set(struct metrics *metrics, enum metric which, int64_t value)
{
    metrics->value[which] = value;
}

static inline void metrics_max(struct metrics *metrics, enum metric which, int64_t value)
{
    if (value > metrics->value[which])
        metrics->value[which] = value;
}

/* The metric's name without the prefix, its unit, its help text: static. */
const char *metrics_name(enum metric which);
const char *metrics_unit(enum metric which);
const char *metrics_help(enum metric which);

/*
 * Appends all of them in Prometheus' text format 0.0.4 with a label server="…", in the order of the
 * table. 0, or HERD_ENOMEM with what did fit appended.
 */
int metrics_write_prometheus(const struct metrics *metrics, const char *server,
                             struct herd_buf *out);

/* Appends the table of docs/metrics.md (Markdown). 0, or HERD_ENOMEM with what did fit appended. */
int metrics_write_markdown(struct herd_buf *out);

#endif
