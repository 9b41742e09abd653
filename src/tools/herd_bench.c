/* herd-bench [OPTION…] HOST:PORT…: loads servers, checks every answer, measures. */
#include <getopt.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <herd/err.h>

#include "base/program.h"
#include "herd_bench.h"
#include "herd_bench_process.h"

enum { EXIT_WRONG = 1, EXIT_USAGE = 2, PREFIX_MAX = 32 };

enum kind { KIND_FLAG, KIND_NUMBER, KIND_WHOLE, KIND_TEXT, KIND_PID, KIND_WATCH, KIND_SERVER };

/* Every option: where it goes, what it may be, what help says. */
static const struct option_row {
    const char *name;
    char letter;
    enum kind kind;
    size_t offset;
    double min, max;
    const char *arg, *text;
} rows[] = {
#define AT(field) offsetof(struct bench_options, field)
    {"speech", 's', KIND_TEXT, AT(speech), 0, 0, "NAME",
     "herd (default), bare, redis or memcached"},
    {"connections", 'c', KIND_WHOLE, AT(connections), 1, 100000, "N", "connections in all (50)"},
    {"pipeline", 'p', KIND_WHOLE, AT(pipeline), 1, BENCH_PIPELINE_MAX, "N",
     "requests in flight a connection (1)"},
    {"clients", 'n', KIND_WHOLE, AT(clients), 1, 99999999, "N", "client ids in all (10000)"},
    {"prefix", 0, KIND_TEXT, AT(prefix), 0, 0, "TEXT",
     "what ids begin with; 8 digits follow (bench-device)"},
    {"sequential", 0, KIND_FLAG, AT(sequential), 0, 0, NULL,
     "ids one after the other, not at random"},
    {"rate", 'r', KIND_NUMBER, AT(rate), 0, 1e8, "N",
     "open loop: requests a second in all (0: closed loop)"},
    {"duration", 'd', KIND_NUMBER, AT(duration_s), 0, 1e6, "S", "measured seconds (5)"},
    {"warmup", 'w', KIND_NUMBER, AT(warmup_s), 0, 1e6, "S", "seconds before (0)"},
    {"requests", 'q', KIND_WHOLE, AT(requests), 0, 1e12, "N", "end after that many (0: no limit)"},
    {"timeout", 't', KIND_NUMBER, AT(timeout_s), 0.1, 3600, "S",
     "give up after that long without any answer (10)"},
    {"whatsat", 0, KIND_NUMBER, AT(whatsat_share), 0, 1, "SHARE",
     "share of WHATSAT among the requests, 0 to 1 (0)"},
    {"radius", 0, KIND_NUMBER, AT(radius_km), 0, 50, "KM", "of a WHATSAT, to the metre (10)"},
    {"count", 0, KIND_WHOLE, AT(count), 0, 20, "N", "of a WHATSAT (5)"},
    {"places", 0, KIND_TEXT, AT(places), 0, 0, "FILE",
     "the places file that the servers answer from: a WHATSAT must bring all that is there"},
    {"known", 0, KIND_FLAG, AT(known), 0, 0, NULL,
     "an earlier run has told the servers all ids: WHATSAT may ask for any"},
    {"server", 0, KIND_SERVER, 0, 0, 0, "NAME",
     "the name that must stand in AT lines (any, but one a connection); one for each HOST:PORT"},
    {"skew", 0, KIND_NUMBER, AT(skew_s), 0, 1e6, "S",
     "how far the servers' clocks may be from this one's (0: one machine, one clock)"},
    {"seed", 0, KIND_WHOLE, AT(seed), 0, 1e15, "N", "of the random ids (1)"},
    {"pid", 0, KIND_PID, 0, 1, 1e9, "PID", "measure this process's CPU time; may be repeated"},
    {"watch", 0, KIND_WATCH, 0, 0, 0, "HOST:PORT",
     "listen there as a plain neighbour and time what arrives; may be repeated"},
    {"cpu", 0, KIND_WHOLE, AT(cpu), 0, 1023, "N", "keep herd-bench itself on this processor"},
    {"crowd", 0, KIND_TEXT, AT(crowd), 0, 0, "KIND",
     "no load, but connections that are a nuisance, see below"},
    {"json", 'j', KIND_FLAG, AT(json), 0, 0, NULL, "one JSON object instead of a table"},
    {"version", 'V', KIND_FLAG, AT(version), 0, 0, NULL, "print the version and exit"},
    {"help", 'h', KIND_FLAG, AT(help), 0, 0, NULL, "print this and exit"},
#undef AT
};

enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

static void print_usage(FILE *out)
{
    fputs("usage: herd-bench [OPTION…] HOST:PORT…\n\n", out);
    for (size_t i = 0; i < ROWS; i++) {
        char name[40], letter[8] = "    ";
        snprintf(name, sizeof(name), "--%s %s", rows[i].name,
                 rows[i].arg != NULL ? rows[i].arg : "");
        if (rows[i].letter != 0)
            snprintf(letter, sizeof(letter), "-%c, ", rows[i].letter);
        fprintf(out, "  %s%-20s %s\n", letter, name, rows[i].text);
    }
    fputs("\nCrowds, of --connections, held for --duration or until SIGTERM:\n", out);
    const char *text;
    for (unsigned i = 0; bench_crowd_kind(i, &text) != NULL; i++)
        fprintf(out, "  %-24s %s\n", bench_crowd_kind(i, &text), text);
    fputs("\nWith several servers, every so many-th id belongs to one of them.\n"
          "Exit status: 0 all answers were right, 1 one was wrong or missing, 2 wrong usage.\n",
          out);
}

static int wrong(const char *what, const char *why)
{
    fprintf(stderr, "herd-bench: %s: %s\n", what, why);
    return HERD_EINVAL;
}

static int wrong_option(const char *name, const char *why)
{
    fprintf(stderr, "herd-bench: --%s: %s\n", name, why);
    return HERD_EINVAL;
}

static int read_number(const struct option_row *row, const char *text, double *out)
{
    char *end, range[96];
    *out = strtod(text, &end);
    bool may_be_part = row->kind != KIND_WHOLE && row->kind != KIND_PID;
    if (end != text && *end == '\0' && *out >= row->min && *out <= row->max &&
        (may_be_part || *out == floor(*out)))
        return 0;
    snprintf(range, sizeof(range), "\"%.20s\" is not a %snumber from %g to %g", text,
             may_be_part ? "" : "whole ", row->min, row->max);
    return wrong_option(row->name, range);
}

static int take_address(const char *text, struct bench_target *list, unsigned *count)
{
    struct bench_target *target = &list[*count];
    const char *colon = strrchr(text, ':');
    size_t len = colon != NULL ? (size_t)(colon - text) : 0;
    if (*count == BENCH_TARGETS_MAX)
        return wrong(text, "too many addresses");
    if (len == 0 || len >= sizeof(target->host) || strlen(colon + 1) >= sizeof(target->port))
        return wrong(text, "not HOST:PORT");
    if (text[0] == '[' && text[len - 1] == ']') {
        text++;
        len -= 2;
    }
    memcpy(target->host, text, len);
    memcpy(target->port, colon + 1, strlen(colon + 1));
    ++*count;
    return 0;
}

static int take_server(struct bench_options *options, const char *name)
{
    if (options->server_count == BENCH_TARGETS_MAX)
        return wrong_option("server", "too many");
    if (name[0] == '\0' || strlen(name) > BENCH_NAME_MAX)
        return wrong_option("server", "1 to 64 bytes");
    options->servers[options->server_count++] = name;
    return 0;
}

static int take_option(struct bench_options *options, const struct option_row *row,
                       const char *text)
{
    void *field = (char *)options + row->offset;
    double number;
    switch (row->kind) {
    case KIND_FLAG:
        *(bool *)field = true;
        return 0;
    case KIND_TEXT:
        *(const char **)field = text;
        return 0;
    case KIND_NUMBER:
    case KIND_WHOLE:
        return read_number(row, text, field);
    case KIND_WATCH:
        return take_address(text, options->watches, &options->watch_count);
    case KIND_SERVER:
        return take_server(options, text);
    case KIND_PID:
        break;
    }
    if (options->pid_count == BENCH_PIDS_MAX)
        return wrong_option(row->name, "too many");
    int rc = read_number(row, text, &number);
    options->pids[options->pid_count++] = (int)number;
    return rc;
}

/* What the table cannot say. */
static int check_options(const struct bench_options *options)
{
    if (options->target_count == 0)
        return wrong("HOST:PORT", "none is given");
    if (speech_find(options->speech) == NULL)
        return wrong_option("speech", "herd, bare, redis or memcached");
    if (strlen(options->prefix) > PREFIX_MAX || strpbrk(options->prefix, " \t\r\n") != NULL)
        return wrong_option("prefix", "at most 32 bytes without white space");
    if (options->server_count != 0 && options->server_count != options->target_count)
        return wrong_option("server", "one for each HOST:PORT, or none");
    if (options->clients < options->target_count)
        return wrong_option("clients", "less than there are servers");
    if (options->duration_s <= 0 && options->requests <= 0)
        return wrong_option("duration", "0, and no --requests: it would never end");
    bool asks = options->whatsat_share > 0 && strcmp(options->speech, "herd") == 0;
    if (options->places != NULL && !asks)
        return wrong_option("places", "nothing asks for any: --whatsat, and --speech herd");
    int64_t ns;
    for (unsigned i = 0; i < options->pid_count; i++)
        if (process_cpu_ns(options->pids[i], &ns) < 0)
            return wrong_option("pid", "there is no such process");
    return 0;
}

static int read_options(struct bench_options *options, int argc, char **argv)
{
    struct option longs[ROWS + 1] = {0};
    char shorts[2 * ROWS + 1] = "", *at = shorts;
    for (size_t i = 0; i < ROWS; i++) {
        int has_arg = rows[i].arg != NULL ? required_argument : no_argument;
        longs[i] = (struct option){rows[i].name, has_arg, NULL, 256 + (int)i};
        if (rows[i].letter == 0)
            continue;
        *at++ = rows[i].letter;
        if (has_arg == required_argument)
            *at++ = ':';
    }
    int option, rc = 0;
    while (rc == 0 && (option = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
        size_t i = option >= 256 ? (size_t)option - 256 : 0;
        while (option < 256 && i < ROWS && rows[i].letter != option)
            i++;
        rc = i < ROWS ? take_option(options, &rows[i], optarg) : HERD_EINVAL;
    }
    for (int i = optind; rc == 0 && i < argc; i++)
        rc = take_address(argv[i], options->targets, &options->target_count);
    return rc;
}

static int run(const struct bench_options *options)
{
    if (options->cpu >= 0 && process_pin((unsigned)options->cpu) < 0) {
        wrong_option("cpu", "there is no such processor here");
        return EXIT_USAGE;
    }
    process_raise_files();
    if (options->crowd != NULL)
        return bench_crowd(options) < 0 ? EXIT_WRONG : 0;
    struct bench_result *result = calloc(1, sizeof(*result));
    if (result == NULL) {
        fprintf(stderr, "herd-bench: %s\n", herd_strerror(HERD_ENOMEM));
        return EXIT_WRONG;
    }
    int rc = bench_load(options, result);
    if (bench_print(options, result) < 0)
        rc = HERD_ENOMEM;
    free(result);
    return rc < 0 ? EXIT_WRONG : 0;
}

int main(int argc, char **argv)
{
    struct bench_options options = {.speech = "herd",
                                    .prefix = "bench-device",
                                    .connections = 50,
                                    .pipeline = 1,
                                    .clients = 10000,
                                    .duration_s = 5,
                                    .timeout_s = 10,
                                    .radius_km = 10,
                                    .count = 5,
                                    .seed = 1,
                                    .cpu = -1};
    program_begin("herd-bench");
    int rc = read_options(&options, argc, argv);
    if (options.help || options.version) {
        if (options.version)
            puts("herd-bench " HERD_VERSION);
        else
            print_usage(stdout);
        return 0;
    }
    if (rc == 0)
        rc = check_options(&options);
    if (rc < 0) {
        fputs("herd-bench --help tells how it is used\n", stderr);
        return EXIT_USAGE;
    }
    return run(&options);
}
