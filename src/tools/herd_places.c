#include "herd_places.h"

#include <errno.h>
#include <inttypes.h>
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

enum { COMMAND_COUNT = sizeof commands / sizeof commands[0] };

static int print_usage(FILE *to, int code)
{
    fputs("Usage:\n", to);
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        fprintf(to, "  herd-places %s %s\n      %s\n", commands[i].name, commands[i].words,
                commands[i].help);
    fputs("FILE is the data set that came with herd, unless it is given.\n", to);
    return code;
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
        return EXIT_USAGE;
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

static void print_without_tags(const char *html)
{
    bool inside = false;
    for (; *html != '\0'; html++) {
        inside = inside || *html == '<';
        if (!inside)
            putchar(*html);
        inside = inside && *html != '>';
    }
}

static void print_info(const char *path, const struct local_db *db)
{
    printf("%s: version %d\n", path, LOCAL_DB_VERSION);
    const struct local_source *source;
    for (size_t i = 0; (source = local_db_source(db, i)) != NULL; i++) {
        printf("\n%s: %" PRId64 " places\n  licence  %s\n  made of  %s\n  credit   ", source->name,
               source->places, source->licence, source->version);
        print_without_tags(source->attribution);
        putchar('\n');
    }
}

int command_info(const struct arguments *arguments)
{
    if (arguments->count != 0)
        return EXIT_USAGE;
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
    return end != text && *end == '\0' && errno == 0 && *out > 0 && *out <= 1000000000;
}

/* One option of `argv`, at *at, which is left at its last word. */
static bool parse_option(int argc, char **argv, int *at, struct arguments *out)
{
    const char *name = argv[*at] + 2;
    if (strcmp(name, "json") == 0) {
        out->json = 1;
        return true;
    }
    if (++*at == argc)
        return false;
    const char *value = argv[*at];
    if (strcmp(name, "repeat") == 0)
        return parse_count(value, &out->repeat);
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
        return true;
    }
    return false;
}

static bool parse_arguments(int argc, char **argv, struct arguments *out)
{
    for (int at = 0; at < argc; at++) {
        if (strncmp(argv[at], "--", 2) != 0)
            out->words[out->count++] = argv[at];
        else if (!parse_option(argc, argv, &at, out))
            return false;
    }
    return true;
}

static int run_command(const struct command *command, int argc, char **argv)
{
    const char **words = calloc(argc > 0 ? (size_t)argc : 1, sizeof *words);
    if (words == NULL)
        return print_failure(HERD_ENOMEM, &(struct herd_buf){0});
    struct arguments arguments = {.words = words};
    int code = parse_arguments(argc, argv, &arguments) ? command->run(&arguments) : EXIT_USAGE;
    free(words);
    return code == EXIT_USAGE ? print_usage(stderr, code) : code;
}

static int run(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";
    if (strcmp(name, "--help") == 0)
        return print_usage(stdout, EXIT_DONE);
    if (strcmp(name, "--version") == 0) {
        puts("herd-places " HERD_VERSION);
        return EXIT_DONE;
    }
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(commands[i].name, name) == 0)
            return run_command(&commands[i], argc - 2, argv + 2);
    }
    return print_usage(stderr, EXIT_USAGE);
}

int main(int argc, char **argv)
{
    program_begin("herd-places");
    json_load_watch();
    return output_end("herd-places", run(argc, argv));
}
