#include <inttypes.h>
#include <stdio.h>
#include <string.h>
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

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void on_progress(void *arg, int64_t bytes, int64_t bytes_all, int64_t places)
{
    struct bar *bar = arg;
    if (!bar->is_shown || now_ms() - bar->last_ms < BAR_EVERY_MS)
        return;
    bar->last_ms = now_ms();
    int done = bytes_all > 0 ? (int)(bytes * BAR_WIDTH / bytes_all) : 0;
    fprintf(stderr, "\r[%.*s%*s] %3" PRId64 " %%  %" PRId64 " places ", done,
            "##############################", BAR_WIDTH - done, "",
            bytes_all > 0 ? bytes * 100 / bytes_all : 0, places);
}

static void end_bar(const struct bar *bar)
{
    if (bar->last_ms > 0)
        fprintf(stderr, "\r%*s\r", BAR_WIDTH + 40, "");
}

static void print_report(const char *out, const char *from, const struct import_report *report)
{
    int64_t skipped = 0;
    for (size_t i = 0; i < report->example_count; i++)
        fprintf(stderr, "%s:%" PRId64 ": left out: %s\n", from, report->examples[i].line,
                import_fault_text(report->examples[i].fault));
    for (size_t i = 0; i < IMPORT_FAULT_COUNT; i++)
        skipped += report->faults[i];
    printf("%s: %" PRId64 " places; %" PRId64 " left out", out, report->places, skipped);
    const char *before = ": ";
    for (enum import_fault i = 0; i < IMPORT_FAULT_COUNT; i++) {
        if (report->faults[i] == 0)
            continue;
        printf("%s%" PRId64 " %s", before, report->faults[i], import_fault_text(i));
        before = ", ";
    }
    putchar('\n');
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
    if (arguments->count != 1 || !find_format(arguments->format, &format))
        return EXIT_USAGE;
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
    int rc = import_file(out, arguments->words[0], &options, &report, &error);
    end_bar(&bar);
    int code = EXIT_DONE;
    if (rc < 0)
        code = print_failure(rc, &error);
    else
        print_report(out, arguments->words[0], &report);
    herd_buf_free(&error);
    return code;
}
