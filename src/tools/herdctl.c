/* herdctl [--config FILE] [--json] COMMAND …: talks to the servers of herd.conf. */
#include <ctype.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jansson.h>

#include <herd/err.h>
#include <herd/posix_time.h>

#include "base/config_mistakes.h"
#include "base/json_load.h"
#include "base/output.h"
#include "base/program.h"
#include "caller.h"
#include "herdctl.h"
#include "herdctl_answer.h"
#include "herdctl_words.h"
#include "json_print.h"
#include "json_text.h"

static int ctl_iamat(const struct context *context, int argc, char **argv);
static int ctl_whatsat(const struct context *context, int argc, char **argv);

enum { WORDS_MAX = 4 };

static const struct command {
    const char *name, *words, *text;
    int words_min, words_max;
    enum word_kind kinds[WORDS_MAX];
    bool takes_after;
    int (*run)(const struct context *context, int argc, char **argv);
} commands[] = {
    {.name = "iamat",
     .words = "SERVER CLIENT LOCATION [TIME]",
     .text = "tell SERVER where CLIENT is (TIME: POSIX seconds, else now)",
     .words_min = 3,
     .words_max = 4,
     .kinds = {WORD_SERVER, WORD_CLIENT, WORD_LOCATION, WORD_TIME},
     .run = ctl_iamat},
    {.name = "whatsat",
     .words = "SERVER CLIENT RADIUS COUNT [--after TIME]",
     .text = "ask SERVER what is within RADIUS km of CLIENT, from an update sent at TIME or later",
     .words_min = 4,
     .words_max = 4,
     .kinds = {WORD_SERVER, WORD_CLIENT, WORD_RADIUS, WORD_COUNT},
     .takes_after = true,
     .run = ctl_whatsat},
    {.name = "status",
     .words = "",
     .text = "each server: up or not, clients held, digest equal or not, links",
     .run = ctl_status},
};

enum { COMMANDS = sizeof(commands) / sizeof(commands[0]) };

static void print_usage(FILE *out)
{
    fputs("usage: herdctl [OPTION…] COMMAND [WORD…]\n\n", out);
    for (size_t i = 0; i < COMMANDS; i++)
        fprintf(out, "  %-8s %-41s %s\n", commands[i].name, commands[i].words, commands[i].text);
    fputs("\n  -c, --config FILE   the herd's configuration (default: ./herd.conf, then "
          "/etc/herd/herd.conf)\n"
          "  -j, --json          answers for programs\n"
          "  -V, --version       print the version and exit\n"
          "  -h, --help          print this and exit\n\n"
          "Options may stand anywhere, but not behind --: a CLIENT may begin with a minus there.\n"
          "Exit status: 0 all is well, 1 a server is down, refused the line or differs, 2 wrong "
          "usage.\n",
          out);
}

/* How long the answer may take: what herd.conf gives the server for it, and then some. */
static int64_t patience_ms(const struct config_values *values, const struct herd_command *asked)
{
    enum { MORE_MS = 2000 };
    int64_t most_ms = 0;
    if (asked->verb == HERD_VERB_WHATSAT)
        most_ms = values->places_total_timeout_ms + (asked->has_after ? asked->wait_ms : 0);
    else if (strcmp(values->durability, "commit") == 0 || strcmp(values->durability, "herd") == 0)
        most_ms = values->safety_timeout_ms;
    return most_ms + MORE_MS > CALL_TIMEOUT_MS ? most_ms + MORE_MS : CALL_TIMEOUT_MS;
}

/* What came back to `asked`, or EXIT_ANSWER after saying on stderr why it is no answer. */
static int ask(const struct context *context, const char *name, const struct herd_command *asked,
               const struct herd_buf *line, struct herd_buf *bytes, struct answer *out)
{
    const struct config_server *server = config_find(context->config, name);
    const char *end = asked->verb == HERD_VERB_WHATSAT ? "\n\n" : "\n";
    struct herd_buf error = {0};
    if (server == NULL) {
        output_no_server("herdctl", context->config, name);
        return EXIT_ANSWER;
    }
    int rc = call_tcp(&server->listen, herd_buf_slice(line), end,
                      patience_ms(&context->config->values, asked), bytes, &error);
    enum answer_kind kind = answer_read(herd_buf_slice(bytes), asked, out);
    struct herd_slice why =
        error.len > 0 ? herd_buf_slice(&error) : herd_slice_of(herd_strerror(rc));
    bool is_cut = rc < 0 && answer_may_go_on(herd_buf_slice(bytes));
    if (kind == ANSWER_FOREIGN && !is_cut && rc != HERD_ENOMEM)
        fprintf(stderr, "herdctl: %s does not speak this protocol: it answered \"%s\"\n", name,
                config_show(out->first_line.data, out->first_line.len).text);
    else if (rc < 0)
        fprintf(stderr, "herdctl: %s: %.*s\n", name, (int)why.len, why.data);
    else if (kind == ANSWER_REFUSED)
        answer_explain_refusal(name, asked);
    herd_buf_free(&error);
    return rc == 0 && kind == ANSWER_AT ? 0 : EXIT_ANSWER;
}

/* The AT line as an object. NULL: no memory. */
static json_t *at_object(const struct herd_slice at[AT_FIELDS])
{
    static const char *const keys[AT_FIELDS] = {"server", "time_diff", "client", "location",
                                                "time_sent"};
    json_t *object = json_object();
    for (size_t i = 0; i < AT_FIELDS; i++) {
        if (json_object_set_new(object, keys[i], json_text(at[i])) < 0) {
            json_decref(object);
            return NULL;
        }
    }
    return object;
}

/* The places behind the AT line; NULL: there are none. 0, or EXIT_ANSWER after saying why. */
static int read_places(const char *server, struct herd_slice text, json_t **out)
{
    json_error_t error;
    *out = NULL;
    int rc = text.len > 0 ? json_load_bytes(text, 0, out, &error) : 0;
    if (rc == HERD_ENOMEM)
        fprintf(stderr, "herdctl: %s\n", herd_strerror(rc));
    else if (rc < 0 || (*out != NULL && !json_is_object(*out)))
        fprintf(stderr, "herdctl: %s does not speak this protocol: the places are no JSON object\n",
                server);
    else
        return 0;
    json_decref(*out);
    *out = NULL;
    return EXIT_ANSWER;
}

static int print(const struct context *context, const char *server, const struct answer *answer,
                 const struct herd_buf *bytes)
{
    json_t *places;
    int status = read_places(server, answer->rest, &places);
    if (status == 0 && !context->json) {
        output_shown_lines(stdout, herd_buf_slice(bytes));
        json_decref(places);
    } else if (status == 0) {
        json_t *object = json_pack("{s:o, s:o*}", "at", at_object(answer->at), "places", places);
        status = json_print("herdctl", object, JSON_INDENT(2)) < 0 ? EXIT_ANSWER : 0;
    }
    return status;
}

/* `line`: with its LF. */
static int ask_and_print(const struct context *context, const char *server,
                         struct herd_buf *take_line)
{
    struct herd_buf bytes = {0};
    struct herd_command asked;
    struct answer answer;
    int status = EXIT_ANSWER;
    int rc = take_line->len > 0
                 ? herd_command_parse(herd_slice(take_line->data, take_line->len - 1), &asked)
                 : HERD_ENOMEM;
    if (rc < 0)
        fprintf(stderr, "herdctl: %s\n", herd_strerror(rc));
    else
        status = ask(context, server, &asked, take_line, &bytes, &answer);
    if (status == 0)
        status = print(context, server, &answer, &bytes);
    herd_buf_free(&bytes);
    herd_buf_free(take_line);
    return status;
}

static int ctl_iamat(const struct context *context, int argc, char **argv)
{
    char now_text[HERD_TIME_TEXT_MAX + 1] = {0};
    struct herd_buf line = {0};
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    herd_time_format((int64_t)now.tv_sec * HERD_NS_PER_S + now.tv_nsec, now_text);
    herd_buf_printf(&line, "IAMAT %s %s %s\n", argv[1], argv[2], argc == 4 ? argv[3] : now_text);
    return ask_and_print(context, argv[0], &line);
}

static int ctl_whatsat(const struct context *context, int argc, char **argv)
{
    struct herd_buf line = {0};
    (void)argc;
    bool after = context->after != NULL;
    herd_buf_printf(&line, "WHATSAT %s %s %s%s%s\n", argv[1], argv[2], argv[3],
                    after ? " AFTER " : "", after ? context->after : "");
    return ask_and_print(context, argv[0], &line);
}

struct arguments {
    const char *config;
    bool json;
    const char *after; /* NULL: not given */
    int count;
    char **words; /* the command and what it is given */
};

static int run_command(const struct command *command, const struct arguments *arguments)
{
    struct herd_buf errors = {0};
    struct config *config;
    const char *config_path = arguments->config;
    if (config_path == NULL)
        config_path = config_default_path();
    if (config_path == NULL) {
        fputs("herdctl: no ./herd.conf and no /etc/herd/herd.conf; name one with --config FILE\n",
              stderr);
        return EXIT_ANSWER;
    }
    int status = EXIT_ANSWER;
    int rc = config_load(config_path, &config, &errors);
    if (rc < 0) {
        output_mistakes("herdctl", config_path, rc, &errors);
    } else {
        const struct context context = {config, arguments->json, arguments->after};
        status = command->run(&context, arguments->count - 1, arguments->words + 1);
        config_free(config);
    }
    herd_buf_free(&errors);
    return status;
}

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < COMMANDS; i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

/* Whether there are as many words as the command takes. */
static bool check_count(const struct command *command, const struct arguments *arguments)
{
    int count = arguments->count - 1;
    if (count < command->words_min)
        fprintf(stderr, "herdctl: %s: no %s\n", command->name, word_name(command->kinds[count]));
    if (count > command->words_max) {
        const char *word = arguments->words[1 + command->words_max];
        fprintf(stderr, "herdctl: %s: one word too many: \"%s\"\n", command->name,
                config_show(word, strlen(word)).text);
    }
    return count >= command->words_min && count <= command->words_max;
}

/* 0, or the exit status after saying what is wrong. */
static int check_words(const struct command *command, const struct arguments *arguments)
{
    int status = check_count(command, arguments) ? 0 : EXIT_USAGE;
    for (int i = 1; i < arguments->count && status == 0; i++)
        status = word_check(command->kinds[i - 1], arguments->words[i]);
    if (status == 0 && arguments->after != NULL && !command->takes_after) {
        fprintf(stderr, "herdctl: %s takes no --after\n", command->name);
        status = EXIT_USAGE;
    }
    if (status == 0 && arguments->after != NULL)
        status = word_check(WORD_TIME, arguments->after);
    if (status == EXIT_USAGE)
        fprintf(stderr, "usage: herdctl %s%s%s\n", command->name,
                command->words[0] != '\0' ? " " : "", command->words);
    return status;
}

/* An option begins with a minus and a letter, or with two; a location may begin with a minus. */
static bool is_option(const char *word)
{
    return word[0] == '-' && (word[1] == '-' || isalpha((unsigned char)word[1]));
}

/* 0 to go on, 1 to stop well, -1: wrong usage. */
static int take_option(int option, struct arguments *out)
{
    switch (option) {
    case 'c':
        out->config = optarg;
        return 0;
    case 'j':
        out->json = true;
        return 0;
    case 'a':
        out->after = optarg;
        return 0;
    case 'V':
        puts("herdctl " HERD_VERSION);
        return 1;
    case 'h':
        print_usage(stdout);
        return 1;
    default:
        print_usage(stderr);
        return -1;
    }
}

/* Options from anywhere; the words move to the front of argv. As take_option. */
static int parse(int argc, char **argv, struct arguments *out)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'}, {"json", no_argument, NULL, 'j'},
        {"after", required_argument, NULL, 'a'},  {"version", no_argument, NULL, 'V'},
        {"help", no_argument, NULL, 'h'},         {0}};
    int rc = 0, option = 0;
    *out = (struct arguments){.words = argv + 1};
    while (optind < argc && rc == 0) {
        if (option == -1 || !is_option(argv[optind]))
            out->words[out->count++] = argv[optind++];
        else if ((option = getopt_long(argc, argv, "+c:jVh", options, NULL)) != -1)
            rc = take_option(option, out);
    }
    return rc;
}

static int run(int argc, char **argv)
{
    struct arguments arguments;
    int rc = parse(argc, argv, &arguments);
    if (rc != 0)
        return rc > 0 ? 0 : EXIT_USAGE;
    const char *name = arguments.count > 0 ? arguments.words[0] : "";
    const struct command *command = find_command(name);
    if (command == NULL) {
        if (arguments.count > 0)
            fprintf(stderr, "herdctl: no command \"%s\"\n", config_show(name, strlen(name)).text);
        print_usage(stderr);
        return EXIT_USAGE;
    }
    int status = check_words(command, &arguments);
    return status != 0 ? status : run_command(command, &arguments);
}

int main(int argc, char **argv)
{
    program_begin("herdctl");
    json_load_watch();
    return output_end("herdctl", run(argc, argv));
}
