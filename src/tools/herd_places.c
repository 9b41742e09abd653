#include "herd_places.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <herd/err.h>

#include "base/json_load.h"
#include "base/output.h"
#include "base/program.h"
#include "places/local.h"
#include "places/local_build.h"
#include "places/local_db.h"

static const struct command {
    const char *name;
    const char *words;
    const char *help;
    int (*run)(const struct arguments *arguments);
} commands[] = {
    {"import",
     "[--out FILE] [--format geojson|geojsonseq|geonames] [--name TEXT] [--attribution HTML]\n"
     "      [--licence SPDX] FROM",
     "makes a places file (places.db) of GeoJSON, GeoJSONSeq or GeoNames; - is standard input",
     command_import},
    {"build", "--out FILE TABLE…", "makes a places file of tables (share/places-*.tsv.gz)",
     command_build},
    {"near", "[--file FILE] [--json] [--repeat N] LAT,LON RADIUS_KM [COUNT]",
     "shows the places around a location; --repeat measures", command_near},
    {"info", "[--file FILE]", "shows where the places of a file come from, and their licences",
     command_info},
};

enum { COMMAND_COUNT = sizeof commands / sizeof commands[0], REPEAT_MAX = 1000000000 };

static void print_command(FILE *to, const struct command *command)
{
    fprintf(to, "  herd-places %s %s\n      %s\n", command->name, command->words, command->help);
}

static int print_usage(FILE *to, int code)
{
    fputs("Usage:\n", to);
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        print_command(to, &commands[i]);
    fputs("  herd-places --help | --version\n"
          "      prints this, or the version, and exits\n\n"
          "FILE is the data set that came with herd, unless it is given; import makes places.db.\n"
          "Exit status: 0 done, 1 it failed (the last line on stderr says why), 2 wrong usage.\n",
          to);
    return code;
}

int wrong_usage(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("herd-places: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    return EXIT_USAGE;
}

int print_failure(int rc, const struct herd_buf *error)
{
    if (error->len > 0)
        fprintf(stderr, "herd-places: %.*s\n", (int)error->len, error->data);
    else
        fprintf(stderr, "herd-places: %s\n", herd_strerror(rc));
    return EXIT_FAILED;
}

int find_places_file(const struct arguments *arguments, struct herd_buf *out)
{
    int rc = arguments->file != NULL ? herd_buf_append_text(out, arguments->file)
                                     : places_default_file(out);
    return rc == 0 ? herd_buf_append(out, "", 1) : rc;
}

int command_build(const struct arguments *arguments)
{
    if (arguments->out == NULL || arguments->count == 0)
        return wrong_usage("build: no %s", arguments->out == NULL ? "--out FILE" : "TABLE");
    struct herd_buf error = {0};
    int64_t places;
    int rc = local_build(arguments->out, arguments->words, arguments->count, &places, &error);
    int code = EXIT_DONE;
    if (rc < 0)
        code = print_failure(rc, &error);
    else
        printf("%s: %" PRId64 " places\n", arguments->out, places);
    herd_buf_free(&error);
    return code;
}

static void print_shown(const char *label, const char *text)
{
    fputs(label, stdout);
    output_shown(stdout, herd_slice_of(text));
}

static void print_without_tags(const char *html)
{
    while (*html != '\0') {
        size_t len = strcspn(html, "<");
        output_shown(stdout, herd_slice(html, len));
        html += len;
        html += strcspn(html, ">");
        html += *html == '>';
    }
}

static void print_info(const char *path, const struct local_db *db)
{
    printf("%s: version %d\n", path, LOCAL_DB_VERSION);
    const struct local_source *source;
    for (size_t i = 0; (source = local_db_source(db, i)) != NULL; i++) {
        print_shown("\n", source->name);
        printf(": %" PRId64 " places", source->places);
        print_shown("\n  licence  ", source->licence);
        print_shown("\n  made of  ", source->version);
        fputs("\n  credit   ", stdout);
        print_without_tags(source->attribution[0] != '\0' ? source->attribution : "none");
        putchar('\n');
    }
}

int command_info(const struct arguments *arguments)
{
    if (arguments->count != 0)
        return wrong_usage("info: one word too many: \"%s\"", arguments->words[0]);
    struct herd_buf path = {0}, error = {0};
    struct local_db *db = NULL;
    int rc = find_places_file(arguments, &path);
    if (rc == 0)
        rc = local_db_open(path.data, &db, &error);
    int code = EXIT_DONE;
    if (rc < 0)
        code = print_failure(rc, &error);
    else
        print_info(path.data, db);
    local_db_close(db);
    herd_buf_free(&path);
    herd_buf_free(&error);
    return code;
}

static bool parse_count(const char *text, int64_t *out)
{
    char *end;
    errno = 0;
    *out = strtoll(text, &end, 10);
    return end != text && *end == '\0' && errno == 0 && *out > 0 && *out <= REPEAT_MAX;
}

/* The option `name` with its value; NULL: none stands behind it. 0 or EXIT_USAGE. */
static int take_option(const char *name, const char *value, struct arguments *out)
{
    const struct {
        const char *name;
        const char **value;
    } options[] = {
        {"out", &out->out},   {"file", &out->file},       {"format", &out->format},
        {"name", &out->name}, {"licence", &out->licence}, {"attribution", &out->attribution},
    };
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        if (strcmp(options[i].name, name) != 0)
            continue;
        *options[i].value = value;
        return value != NULL ? 0 : wrong_usage("--%s: no value behind it", name);
    }
    if (strcmp(name, "repeat") != 0)
        return wrong_usage("no option --%s", name);
    if (value == NULL || !parse_count(value, &out->repeat))
        return wrong_usage("--repeat: a whole number from 1 to %d behind it", REPEAT_MAX);
    return 0;
}

/* 0 or EXIT_USAGE. */
static int parse_arguments(int argc, char **argv, struct arguments *out)
{
    int code = 0;
    for (int at = 0; at < argc && code == 0; at++) {
        if (strncmp(argv[at], "--", 2) != 0) {
            out->words[out->count++] = argv[at];
        } else if (strcmp(argv[at], "--json") == 0) {
            out->json = 1;
        } else {
            code = take_option(argv[at] + 2, argv[at + 1], out);
            at++;
        }
    }
    return code;
}

static int run_command(const struct command *command, int argc, char **argv)
{
    const char **words = calloc(argc > 0 ? (size_t)argc : 1, sizeof *words);
    if (words == NULL)
        return print_failure(HERD_ENOMEM, &(struct herd_buf){0});
    struct arguments arguments = {.words = words};
    int code = parse_arguments(argc, argv, &arguments);
    if (code == 0)
        code = command->run(&arguments);
    free(words);
    if (code == EXIT_USAGE) {
        fputs("Usage:\n", stderr);
        print_command(stderr, command);
    }
    return code;
}

static int run(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";
    if (strcmp(name, "--help") == 0 || (argc > 2 && strcmp(argv[2], "--help") == 0))
        return print_usage(stdout, EXIT_DONE);
    if (strcmp(name, "--version") == 0) {
        puts("herd-places " HERD_VERSION);
        return EXIT_DONE;
    }
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(commands[i].name, name) == 0)
            return run_command(&commands[i], argc - 2, argv + 2);
    }
    if (argc > 1)
        wrong_usage("no command \"%s\"", name);
    return print_usage(stderr, EXIT_USAGE);
}

int main(int argc, char **argv)
{
    program_begin("herd-places");
    json_load_watch();
    return output_end("herd-places", run(argc, argv));
}
