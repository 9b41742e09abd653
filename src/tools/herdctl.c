/* herdctl [--config FILE] [--json] COMMAND …: talks to the servers of herd.conf. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jansson.h>

#include <herd/err.h>
#include <herd/posix_time.h>

#include "caller.h"
#include "herdctl.h"

static int ctl_iamat(const struct context *context, int argc, char **argv);
static int ctl_whatsat(const struct context *context, int argc, char **argv);

static const struct command {
    const char *name, *words, *text;
    int (*run)(const struct context *context, int argc, char **argv);
} commands[] = {
    {"iamat", "SERVER CLIENT LOCATION [TIME]",
     "tell SERVER where CLIENT is (TIME: POSIX seconds, else now)", ctl_iamat},
    {"whatsat", "SERVER CLIENT RADIUS COUNT [--after TIME]",
     "ask SERVER what is within RADIUS km of CLIENT, from an update sent at TIME or later",
     ctl_whatsat},
    {"status", "", "each server: up or not, clients held, digest equal or not, links", ctl_status},
};

enum { COMMANDS = sizeof(commands) / sizeof(commands[0]) };

static void print_usage(FILE *out)
{
    fputs("usage: herdctl [--config FILE] [--json] COMMAND …\n\n", out);
    for (size_t i = 0; i < COMMANDS; i++)
        fprintf(out, "  %-8s %-41s %s\n", commands[i].name, commands[i].words, commands[i].text);
    fputs("\n  -c, --config FILE   the herd's configuration (default: ./herd.conf, then "
          "/etc/herd/herd.conf)\n"
          "  -j, --json          answers for programs\n"
          "  -V, --version       print the version and exit\n"
          "  -h, --help          print this and exit\n\n"
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
    int rc = call_tcp(server->listen.host, server->listen.port, line, end, answer, &error);
    if (rc < 0)
        fprintf(stderr, "herdctl: %s: %.*s\n", name, (int)error.len, error.data);
    herd_buf_free(&error);
    if (rc == 0 && answer->data[0] == '?') {
        fprintf(stderr, "herdctl: %s does not take that line: %.*s", name, (int)answer->len,
                answer->data);
        return EXIT_ANSWER;
    }
    return rc < 0 ? EXIT_ANSWER : 0;
}

/* `AT server diff client location sent` as an object. */
static json_t *at_object(struct herd_slice line)
{
    static const char *const keys[] = {"server", "time_diff", "client", "location", "time_sent"};
    json_t *object = json_object();
    const char *at = line.data + strlen("AT ");
    const char *end = line.data + line.len;
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        const char *space = memchr(at, ' ', (size_t)(end - at));
        size_t len = (size_t)((space != NULL ? space : end) - at);
        json_object_set_new(object, keys[i], json_stringn(at, len));
        at += len + (space != NULL);
    }
    return object;
}

static int print(const struct context *context, const struct herd_buf *answer)
{
    const char *lf = memchr(answer->data, '\n', answer->len);
    size_t at_len = (size_t)(lf - answer->data);
    size_t rest_len = answer->len - at_len - 1;
    if (!context->json) {
        fwrite(answer->data, 1, answer->len, stdout);
        return 0;
    }
    json_t *object = json_pack("{s:o}", "at", at_object(herd_slice(answer->data, at_len)));
    if (rest_len > 0)
        json_object_set_new(object, "places", json_loadb(lf + 1, rest_len, 0, NULL));
    json_dumpf(object, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(object);
    return 0;
}

static int ask_and_print(const struct context *context, const char *server,
                         struct herd_buf *take_line, const char *end)
{
    struct herd_buf answer = {0};
    int status = EXIT_ANSWER;
    if (take_line->len > 0)
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
    if (argc < 3 || argc > 4)
        return EXIT_USAGE;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    herd_time_format((int64_t)now.tv_sec * HERD_NS_PER_S + now.tv_nsec, now_text);
    herd_buf_printf(&line, "IAMAT %s %s %s\n", argv[1], argv[2], argc == 4 ? argv[3] : now_text);
    return ask_and_print(context, argv[0], &line, "\n");
}

static int ctl_whatsat(const struct context *context, int argc, char **argv)
{
    struct herd_buf line = {0};
    bool after = argc == 6 && strcmp(argv[4], "--after") == 0;
    if (argc != 4 && !after)
        return EXIT_USAGE;
    herd_buf_printf(&line, "WHATSAT %s %s %s%s%s\n", argv[1], argv[2], argv[3],
                    after ? " AFTER " : "", after ? argv[5] : "");
    return ask_and_print(context, argv[0], &line, "\n\n");
}

static int run_command(const struct context *context, int argc, char **argv)
{
    for (size_t i = 0; argc > 0 && i < COMMANDS; i++) {
        if (strcmp(commands[i].name, argv[0]) != 0)
            continue;
        int status = commands[i].run(context, argc - 1, argv + 1);
        if (status == EXIT_USAGE)
            fprintf(stderr, "usage: herdctl %s %s\n", commands[i].name, commands[i].words);
        return status;
    }
    print_usage(stderr);
    return EXIT_USAGE;
}

static int with_config(const char *path, bool json, int argc, char **argv)
{
    struct herd_buf errors = {0};
    struct config *config;
    if (path == NULL)
        path = config_default_path();
    if (path == NULL) {
        fputs("herdctl: no ./herd.conf and no /etc/herd/herd.conf; name one with --config FILE\n",
              stderr);
        return EXIT_ANSWER;
    }
    int status = EXIT_ANSWER;
    if (config_load(path, &config, &errors) < 0) {
        fwrite(errors.data, 1, errors.len, stderr);
    } else {
        const struct context context = {config, json};
        status = run_command(&context, argc, argv);
        config_free(config);
    }
    herd_buf_free(&errors);
    return status;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"config", required_argument, NULL, 'c'},
                                            {"json", no_argument, NULL, 'j'},
                                            {"version", no_argument, NULL, 'V'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    const char *config = NULL;
    bool json = false;
    int option;
    /* `+`: options end at the command, so that a location may begin with a minus sign. */
    while ((option = getopt_long(argc, argv, "+c:jVh", options, NULL)) != -1) {
        switch (option) {
        case 'c':
            config = optarg;
            break;
        case 'j':
            json = true;
            break;
        case 'V':
            puts("herdctl " HERD_VERSION);
            return 0;
        case 'h':
            print_usage(stdout);
            return 0;
        default:
            print_usage(stderr);
            return EXIT_USAGE;
        }
    }
    return with_config(config, json, argc - optind, argv + optind);
}
