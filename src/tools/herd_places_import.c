#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <herd/err.h>

#include "herd_places.h"
#include "places/import.h"

static const char default_out[] = "places.db";

enum { BAR_WIDTH = 30, BAR_EVERY_MS = 100 };

/* A line on the terminal that is written over. */
struct bar {
    bool is_shown;
    int64_t last_ms;
};

static volatile sig_atomic_t is_interrupted;

static void on_interrupt(int number)
{
    (void)number;
    is_interrupted = 1;
}

/* A half-made file of gigabytes must not stay behind whoever has waited long enough. */
static void watch_interrupts(void)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = SA_RESETHAND};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        sigaction(numbers[i], &action, NULL);
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void draw(const struct import_progress *progress)
{
    int64_t all = progress->all, done = progress->done < all ? progress->done : all;
    int width = all > 0 ? (int)(done * BAR_WIDTH / all) : 0;
    fprintf(stderr, "\r%s [%.*s%*s] %3" PRId64 " %%  %" PRId64 " places ",
            progress->is_writing ? "writing" : "reading", width, "##############################",
            BAR_WIDTH - width, "", all > 0 ? done * 100 / all : 0, progress->places);
}

static int on_progress(void *arg, const struct import_progress *progress)
{
    struct bar *bar = arg;
    if (is_interrupted)
        return HERD_ECANCELED;
    if (!bar->is_shown || now_ms() - bar->last_ms < BAR_EVERY_MS)
        return 0;
    bar->last_ms = now_ms();
    draw(progress);
    return 0;
}

static void end_bar(const struct bar *bar)
{
    if (bar->last_ms > 0)
        fprintf(stderr, "\r%*s\r", BAR_WIDTH + 48, "");
}

/* Of this program alone: ru_maxrss has the process in it that started it, up to the exec. 0 where
 * there is no /proc. */
static long memory_max_kib(void)
{
    char line[256];
    long kib = 0;
    FILE *file = fopen("/proc/self/status", "re");
    if (file == NULL)
        return 0;
    while (fgets(line, sizeof line, file) != NULL && sscanf(line, "VmHWM: %ld kB", &kib) != 1)
        continue;
    fclose(file);
    return kib;
}

/* What it took: for who plans a larger file. */
static void print_costs(int64_t began_ms, int64_t places)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    double cpu_s = (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
                   (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
    printf("%.1f s, %.1f s of them on the processor (%.1f us a place), %ld MiB of memory at most\n",
           (double)(now_ms() - began_ms) / 1000, cpu_s, cpu_s * 1e6 / (double)places,
           memory_max_kib() >> 10);
}

static void print_examples(const char *from, const struct import_report *report)
{
    for (size_t i = 0; i < report->example_count; i++)
        fprintf(stderr, "%s:%" PRId64 ": left out: %s\n", from, report->examples[i].line,
                import_fault_text(report->examples[i].fault));
}

static void print_counts(FILE *to, const char *file, const struct import_report *report)
{
    int64_t skipped = 0;
    for (size_t i = 0; i < IMPORT_FAULT_COUNT; i++)
        skipped += report->faults[i];
    fprintf(to, "%s: %" PRId64 " places; %" PRId64 " left out", file, report->places, skipped);
    const char *before = ": ";
    for (enum import_fault i = 0; i < IMPORT_FAULT_COUNT; i++) {
        if (report->faults[i] == 0)
            continue;
        fprintf(to, "%s%" PRId64 " %s", before, report->faults[i], import_fault_text(i));
        before = ", ";
    }
    fputc('\n', to);
}

/* Why none came of it: what was left out of what was read is part of that. */
static int print_no_file(int rc, const struct herd_buf *error, const char *from,
                         const struct import_report *report)
{
    bool was_read = false;
    for (size_t i = 0; i < IMPORT_FAULT_COUNT && rc != HERD_ECANCELED; i++)
        was_read = was_read || report->faults[i] > 0;
    if (was_read) {
        print_examples(from, report);
        print_counts(stderr, from, report);
    }
    return print_failure(rc, error);
}

/* The names of the formats, as --format takes them. */
static bool find_format(const char *name, enum import_format *out)
{
    static const struct {
        const char *name;
        enum import_format format;
    } formats[] = {
        {"geojson", IMPORT_GEOJSON}, {"geojsonseq", IMPORT_GEOJSON}, {"geonames", IMPORT_GEONAMES}};
    *out = IMPORT_BY_LOOK;
    for (size_t i = 0; name != NULL && i < sizeof formats / sizeof formats[0]; i++) {
        if (strcmp(formats[i].name, name) == 0)
            *out = formats[i].format;
    }
    return name == NULL || *out != IMPORT_BY_LOOK;
}

int command_import(const struct arguments *arguments)
{
    enum import_format format;
    if (arguments->count == 0)
        return wrong_usage("import: no FROM");
    if (arguments->count > 1)
        return wrong_usage("import: one word too many: \"%s\"", arguments->words[1]);
    if (!find_format(arguments->format, &format))
        return wrong_usage("\"%s\" is no format: geojson, geojsonseq or geonames",
                           arguments->format);
    struct herd_buf error = {0};
    struct import_report report;
    struct bar bar = {.is_shown = isatty(STDERR_FILENO)};
    const struct import_options options = {
        .format = format,
        .name = arguments->name,
        .attribution = arguments->attribution,
        .licence = arguments->licence,
        .on_progress = on_progress,
        .arg = &bar,
    };
    const char *out = arguments->out != NULL ? arguments->out : default_out;
    int64_t began_ms = now_ms();
    watch_interrupts();
    int rc = import_file(out, arguments->words[0], &options, &report, &error);
    end_bar(&bar);
    int code = EXIT_DONE;
    if (rc < 0 && is_interrupted) { /* also while it waited for input */
        rc = HERD_ECANCELED;
        error.len = 0;
        herd_buf_printf(&error, "interrupted: %s is as it was", out);
    }
    if (rc < 0) {
        code = print_no_file(rc, &error, arguments->words[0], &report);
    } else {
        print_examples(arguments->words[0], &report);
        print_counts(stdout, out, &report);
        print_costs(began_ms, report.places);
    }
    herd_buf_free(&error);
    return code;
}
