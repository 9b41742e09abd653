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
#include "json_print.h"
#include "json_text.h"

static int ctl_iamat(const struct context *context, int argc, char **argv);
static int ctl_whatsat(const struct context *context, int argc, char **argv);

static const struct command {
    const char *name, *words, *text;
    int words_min, words_max;
    bool takes_after;
    int (*run)(const struct context *context, int argc, char **argv);
} commands[] = {
    {"iamat", "SERVER CLIENT LOCATION [TIME]",
     "tell SERVER where CLIENT is (TIME: POSIX seconds, else now)", 3, 4, false, ctl_iamat},
    {"whatsat", "SERVER CLIENT RADIUS COUNT [--after TIME]",
     "ask SERVER what is within RADIUS km of CLIENT, from an update sent at TIME or later", 4, 4,
     true, ctl_whatsat},
    {"status", "", "each server: up or not, clients held, digest equal or not, links", 0, 0, false,
     ctl_status},
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

/* The server's answer to a line: on stdout, or why there is none on stderr. */
static int ask(const struct context *context, const char *name, struct herd_slice line,
               const char *end, struct herd_buf *answer)
{
    const struct config_server *server = config_find(context->config, name);
    struct herd_buf error = {0};
    if (server == NULL) {
        fprintf(stderr, "herdctl: no server \"%s\" in %s\n", name, context->config->path);
        return EXIT_ANSWER;
    }
    int rc = call_tcp(&server->listen, line, end, CALL_TIMEOUT_MS, answer, &error);
    if (rc < 0 && error.len == 0)
        fprintf(stderr, "herdctl: %s: %s\n", name, herd_strerror(rc));
    else if (rc < 0)
        fprintf(stderr, "herdctl: %s: %.*s\n", name, (int)error.len, error.data);
    herd_buf_free(&error);
    if (rc == 0 && answer->data[0] == '?') {
        fprintf(stderr, "herdctl: %s does not take that line: %.*s", name, (int)answer->len,
                answer->data);
        return EXIT_ANSWER;
    }
    return rc < 0 ? EXIT_ANSWER : 0;
}

/* `AT server diff client location sent` as an object. NULL: no memory. */
static json_t *at_object(struct herd_slice line)
{
    static const char *const keys[] = {"server", "time_diff", "client", "location", "time_sent"};
    json_t *object = json_object();
    const char *at = line.data + strlen("AT ");
    const char *end = line.data + line.len;
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        const char *space = memchr(at, ' ', (size_t)(end - at));
        size_t len = (size_t)((space != NULL ? space : end) - at);
        if (json_object_set_new(object, keys[i], json_text(herd_slice(at, len))) < 0) {
            json_decref(object);
            return NULL;
        }
        at += len + (space != NULL);
    }
    return object;
}

static int print_json(struct herd_slice at_line, struct herd_slice places_text)
{
    json_t *places = NULL;
    json_error_t error;
    int rc = places_text.len > 0 ? json_load_bytes(places_text, 0, &places, &error) : 0;
    if (rc < 0) {
        fprintf(stderr, "herdctl: the places are no JSON: %s\n",
                rc == HERD_ENOMEM ? herd_strerror(rc) : error.text);
        return EXIT_ANSWER;
    }
    json_t *object = json_pack("{s:o, s:o*}", "at", at_object(at_line), "places", places);
    return json_print("herdctl", object, JSON_INDENT(2)) < 0 ? EXIT_ANSWER : 0;
}

static int print(const struct context *context, const struct herd_buf *answer)
{
    const char *lf = memchr(answer->data, '\n', answer->len);
    size_t at_len = (size_t)(lf - answer->data);
    if (context->json)
        return print_json(herd_slice(answer->data, at_len),
                          herd_slice(lf + 1, answer->len - at_len - 1));
    fwrite(answer->data, 1, answer->len, stdout);
    return 0;
}

static int ask_and_print(const struct context *context, const char *server,
                         struct herd_buf *take_line, const char *end)
{
    struct herd_buf answer = {0};
    int status = EXIT_ANSWER;
    if (take_line->len == 0)
        fprintf(stderr, "herdctl: %s\n", herd_strerror(HERD_ENOMEM));
    else
        status = ask(context, server, herd_buf_slice(take_line), end, &answer);
    if (status == 0)
        status = print(context, &answer);
    herd_buf_free(&answer);
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
    return ask_and_print(context, argv[0], &line, "\n");
}

static int ctl_whatsat(const struct context *context, int argc, char **argv)
{
    struct herd_buf line = {0};
    (void)argc;
    bool after = context->after != NULL;
    herd_buf_printf(&line, "WHATSAT %s %s %s%s%s\n", argv[1], argv[2], argv[3],
                    after ? " AFTER " : "", after ? context->after : "");
    return ask_and_print(context, argv[0], &line, "\n\n");
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

/* Whether `word` can be a field of a line: it would be two, none, or end the line else. */
static bool is_field(const char *word)
{
    enum { DEL = 127 };
    for (const unsigned char *at = (const unsigned char *)word; *at != '\0'; at++)
        if (*at <= ' ' || *at == DEL)
            return false;
    return word[0] != '\0';
}

static bool check_field(const char *word)
{
    if (is_field(word))
        return true;
    fprintf(stderr, "herdctl: \"%s\" is %s\n", config_show(word, strlen(word)).text,
            word[0] == '\0' ? "empty" : "no word: white space or a control byte in it");
    return false;
}

/* 0, or EXIT_USAGE after saying what is wrong. */
static int check_words(const struct command *command, const struct arguments *arguments)
{
    int count = arguments->count - 1;
    bool right = count >= command->words_min && count <= command->words_max;
    for (int i = 1; i <= count && right; i++)
        right = check_field(arguments->words[i]);
    if (right && arguments->after != NULL)
        right = command->takes_after && check_field(arguments->after);
    if (!right)
        fprintf(stderr, "usage: herdctl %s %s\n", command->name, command->words);
    return right ? 0 : EXIT_USAGE;
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
