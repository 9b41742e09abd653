#include "herd_places.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
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

enum { IMPORT, BUILD, NEAR, INFO, COMMAND_COUNT };

static const struct command {
    const char *name;
    const char *words;
    const char *help;
    int (*run)(const struct arguments *arguments);
} commands[COMMAND_COUNT] = {
    [IMPORT] =
        {"import",
         "[--out FILE] [--format geojson|geojsonseq|geonames] [--name TEXT] [--attribution HTML]\n"
         "      [--licence SPDX] FROM",
         "makes a places file (places.db) of GeoJSON, GeoJSONSeq or GeoNames; - is standard input",
         command_import},
    [BUILD] = {"build", "--out FILE TABLE…",
               "makes a places file of tables (share/places-*.tsv.gz)", command_build},
    [NEAR] = {"near", "[--file FILE] [--json] [--repeat N] LAT,LON RADIUS_KM [COUNT]",
              "shows the places around a location; --repeat measures", command_near},
    [INFO] = {"info", "[--file FILE]",
              "shows where the places of a file come from, and their licences", command_info},
};

enum kind { KIND_FLAG, KIND_TEXT, KIND_REPEAT };

/* Every option, where it goes, and the commands that take it. */
static const struct option {
    const char *name;
    enum kind kind;
    size_t offset;
    unsigned commands; /* a bit for each */
} options[] = {
#define AT(field) offsetof(struct arguments, field)
    {"out", KIND_TEXT, AT(out), 1u << IMPORT | 1u << BUILD},
    {"file", KIND_TEXT, AT(file), 1u << NEAR | 1u << INFO},
    {"format", KIND_TEXT, AT(format), 1u << IMPORT},
    {"name", KIND_TEXT, AT(name), 1u << IMPORT},
    {"attribution", KIND_TEXT, AT(attribution), 1u << IMPORT},
    {"licence", KIND_TEXT, AT(licence), 1u << IMPORT},
    {"repeat", KIND_REPEAT, AT(repeat), 1u << NEAR},
    {"json", KIND_FLAG, AT(json), 1u << NEAR},
#undef AT
};

enum { OPTION_COUNT = sizeof options / sizeof options[0], REPEAT_MAX = 1000000000 };

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

/* Of an option that others take. EXIT_USAGE. */
static int refuse(const struct command *command, const struct option *option)
{
    const char *takers[COMMAND_COUNT] = {0};
    size_t count = 0;
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if ((option->commands & 1u << i) != 0)
            takers[count++] = commands[i].name;
    if (count == 1)
        return wrong_usage("%s takes no --%s: that is for %s", command->name, option->name,
                           takers[0]);
    return wrong_usage("%s takes no --%s: that is for %s and %s", command->name, option->name,
                       takers[0], takers[1]);
}

/* The option argv[0] with what may be its value. How many of them it is, or -EXIT_USAGE. */
static int take_option(const struct command *command, char **argv, struct arguments *out)
{
    const char *name = argv[0] + 2, *value = argv[1];
    const struct option *option = options;
    while (option < options + OPTION_COUNT && strcmp(option->name, name) != 0)
        option++;
    if (option == options + OPTION_COUNT)
        return -wrong_usage("no option --%s", name);
    if ((option->commands & 1u << (command - commands)) == 0)
        return -refuse(command, option);
    void *field = (char *)out + option->offset;
    switch (option->kind) {
    case KIND_FLAG:
        *(bool *)field = true;
        return 1;
    case KIND_TEXT:
        *(const char **)field = value;
        return value != NULL ? 2 : -wrong_usage("--%s: no value behind it", name);
    case KIND_REPEAT:
        break;
    }
    if (value == NULL || !parse_count(value, field))
        return -wrong_usage("--%s: a whole number from 1 to %d behind it", name, REPEAT_MAX);
    return 2;
}

/* 0 or EXIT_USAGE. */
static int parse_arguments(const struct command *command, char **argv, struct arguments *out)
{
    while (*argv != NULL) {
        if (strncmp(*argv, "--", 2) != 0) {
            out->words[out->count++] = *argv++;
            continue;
        }
        int taken = take_option(command, argv, out);
        if (taken < 0)
            return -taken;
        argv += taken;
    }
    return 0;
}

static int run_command(const struct command *command, int argc, char **argv)
{
    const char **words = calloc(argc > 0 ? (size_t)argc : 1, sizeof *words);
    if (words == NULL)
        return print_failure(HERD_ENOMEM, &(struct herd_buf){0});
    struct arguments arguments = {.words = words};
    int code = parse_arguments(command, argv, &arguments);
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
