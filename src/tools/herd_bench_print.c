/* What a run has shown, for people and for programs. */
#include <stdio.h>

#include <jansson.h>

#include "herd_bench.h"
#include "json_print.h"

static const struct {
    const char *name;
    double share;
} quantiles[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p999", 0.999}};

enum { QUANTILES = sizeof(quantiles) / sizeof(quantiles[0]) };

static double us(uint64_t ns)
{
    return (double)ns / 1000.0;
}

static double ratio(double a, double b)
{
    return b > 0 ? a / b : 0;
}

/* NULL where a part of it could not be put in. */
static json_t *whole(json_t *take_value, int rc)
{
    if (rc == 0)
        return take_value;
    json_decref(take_value);
    return NULL;
}

static json_t *latency_object(const struct histogram *histogram)
{
    json_t *object = json_pack("{s:I, s:f, s:f}", "count", (json_int_t)histogram->count, "mean_us",
                               ratio(us(histogram->sum_ns), (double)histogram->count), "max_us",
                               us(histogram->max_ns));
    int rc = 0;
    for (unsigned i = 0; i < QUANTILES; i++) {
        char name[16];
        snprintf(name, sizeof(name), "%s_us", quantiles[i].name);
        rc |= json_object_set_new(
            object, name, json_real(us(histogram_quantile_ns(histogram, quantiles[i].share))));
    }
    return whole(object, rc);
}

static json_t *processes_array(const struct bench_options *options,
                               const struct bench_result *result)
{
    json_t *array = json_array();
    int rc = 0;
    for (unsigned i = 0; i < options->pid_count; i++)
        rc |=
            json_array_append_new(array, json_pack("{s:i, s:f, s:I}", "pid", options->pids[i],
                                                   "cpu_s", (double)result->pid_cpu_ns[i] / 1e9,
                                                   "rss_kib", (json_int_t)result->pid_rss_kib[i]));
    return whole(array, rc);
}

static json_t *watched_array(const struct bench_options *options, const struct bench_result *result)
{
    json_t *array = json_array();
    int rc = 0;
    for (unsigned i = 0; i < options->watch_count; i++)
        rc |= json_array_append_new(array, latency_object(&result->watched[i]));
    return whole(array, rc);
}

static int print_json(const struct bench_options *options, const struct bench_result *result)
{
    double measured = (double)result->measured, elapsed_s = (double)result->elapsed_ns / 1e9;
    json_t *object = json_pack(
        "{s:s, s:f, s:f, s:f, s:f, s:f, s:I, s:I, s:I, s:f, s:f, s:f, s:I, s:I, s:o, s:o, s:o, "
        "s:o, s:o}",
        "speech", options->speech, "connections", options->connections, "pipeline",
        options->pipeline, "clients", options->clients, "rate", options->rate, "elapsed_s",
        elapsed_s, "answered", (json_int_t)result->answered, "measured",
        (json_int_t)result->measured, "wrong", (json_int_t)result->wrong, "per_s",
        ratio(measured, elapsed_s), "server_cpu_us", ratio(us(result->server_cpu_ns), measured),
        "own_cpu_us", ratio(us(result->own_cpu_ns), measured), "late", (json_int_t)result->late,
        "unsent", (json_int_t)result->unsent, "latency", latency_object(&result->latency),
        "question_latency", latency_object(&result->question_latency), "watched",
        watched_array(options, result), "everywhere", latency_object(&result->everywhere),
        "processes", processes_array(options, result));
    return json_print("herd-bench", object, JSON_COMPACT | JSON_REAL_PRECISION(9));
}

static void print_latency(const char *what, const struct histogram *histogram)
{
    if (histogram->count == 0)
        return;
    printf("%-24s", what);
    for (unsigned i = 0; i < QUANTILES; i++)
        printf(" %s %.1f", quantiles[i].name,
               us(histogram_quantile_ns(histogram, quantiles[i].share)));
    printf(" max %.1f us\n", us(histogram->max_ns));
}

static int print_table(const struct bench_options *options, const struct bench_result *result)
{
    double measured = (double)result->measured, elapsed_s = (double)result->elapsed_ns / 1e9;
    printf("%-24s %llu right, %llu wrong\n", "answers", (unsigned long long)result->answered,
           (unsigned long long)result->wrong);
    printf("%-24s %llu in %.3f s: %.0f a second\n", "measured",
           (unsigned long long)result->measured, elapsed_s, ratio(measured, elapsed_s));
    if (options->rate > 0)
        printf("%-24s %llu at the end, %llu never\n", "due, but not sent",
               (unsigned long long)result->late, (unsigned long long)result->unsent);
    print_latency("latency", &result->latency);
    print_latency("latency of WHATSAT", &result->question_latency);
    for (unsigned i = 0; i < options->watch_count; i++) {
        char what[32];
        snprintf(what, sizeof(what), "until at watch %u", i + 1);
        print_latency(what, &result->watched[i]);
    }
    print_latency("until everywhere", &result->everywhere);
    if (options->pid_count > 0)
        printf("%-24s %.3f us\n", "server CPU a request",
               ratio(us(result->server_cpu_ns), measured));
    printf("%-24s %.3f us\n", "own CPU a request", ratio(us(result->own_cpu_ns), measured));
    for (unsigned i = 0; i < options->pid_count; i++)
        printf("process %-16d %.3f s CPU, %lld KiB resident\n", options->pids[i],
               (double)result->pid_cpu_ns[i] / 1e9, (long long)result->pid_rss_kib[i]);
    return 0;
}

int bench_print(const struct bench_options *options, const struct bench_result *result)
{
    return (options->json ? print_json : print_table)(options, result);
}
