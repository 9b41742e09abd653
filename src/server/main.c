/* herd-server [--config FILE] NAME */
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/output.h"
#include "base/program.h"
#include "server/server.h"
#include "server/signals.h"

enum { EXIT_START = 1, EXIT_USAGE = 2 };

static const char usage[] = "usage: herd-server [--config FILE] NAME\n"
                            "       herd-server --check [--config FILE]\n";

static const char help[] =
    "Runs the server NAME of a herd in the foreground.\n\n"
    "  -c, --config FILE   the herd's configuration (default: ./herd.conf, then "
    "/etc/herd/herd.conf)\n"
    "      --check         read the configuration, say every mistake with its line, and exit\n"
    "  -V, --version       print the version and exit\n"
    "  -h, --help          print this and exit\n\n"
    "SIGHUP reads the configuration again, SIGTERM and SIGINT stop. Exit status: 0 stopped as "
    "asked,\n"
    "1 the configuration or the start failed, 2 wrong usage.\n";

struct arguments {
    const char *config;
    const char *name;
    bool check;
};

/* -1 to go on, else the exit status. */
static int parse(int argc, char **argv, struct arguments *out)
{
    static const struct option options[] = {{"config", required_argument, NULL, 'c'},
                                            {"check", no_argument, NULL, 'k'},
                                            {"version", no_argument, NULL, 'V'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    int option;
    while ((option = getopt_long(argc, argv, "c:Vh", options, NULL)) != -1) {
        switch (option) {
        case 'c':
            out->config = optarg;
            break;
        case 'k':
            out->check = true;
            break;
        case 'V':
            puts("herd-server " HERD_VERSION);
            return 0;
        case 'h':
            printf("%s\n%s", usage, help);
            return 0;
        default:
            fputs(usage, stderr);
            return EXIT_USAGE;
        }
    }
    if (optind < argc)
        out->name = argv[optind++];
    if (optind == argc && (out->name != NULL) != out->check)
        return -1;
    fputs(usage, stderr);
    return EXIT_USAGE;
}

static int run(struct config *take_config, const struct arguments *arguments)
{
    if (config_find(take_config, arguments->name) == NULL) {
        output_no_server("herd-server", take_config, arguments->name);
        config_free(take_config);
        return EXIT_START;
    }
    struct log *log = server_open_log(&take_config->values, arguments->name);
    if (log == NULL) {
        config_free(take_config);
        return EXIT_START;
    }
    return server_run(take_config, arguments->config, arguments->name, log);
}

static int check(struct config *take_config, const char *path)
{
    struct herd_buf warnings = {0};
    int rc = config_warn(take_config, &warnings);
    if (warnings.len > 0)
        fwrite(warnings.data, 1, warnings.len, stderr);
    if (rc == 0)
        printf("%s: %zu server%s, no mistake\n", path, take_config->server_count,
               take_config->server_count == 1 ? "" : "s");
    else
        output_mistakes("herd-server", path, rc, &(struct herd_buf){0});
    herd_buf_free(&warnings);
    config_free(take_config);
    return output_end("herd-server", rc == 0 ? 0 : EXIT_START);
}

int main(int argc, char **argv)
{
    struct arguments arguments = {0};
    program_begin("herd-server");
    signals_block();
    int status = parse(argc, argv, &arguments);
    if (status >= 0)
        return output_end("herd-server", status);
    if (arguments.config == NULL)
        arguments.config = config_default_path();
    if (arguments.config == NULL) {
        fputs(
            "herd-server: no ./herd.conf and no /etc/herd/herd.conf; name one with --config FILE\n",
            stderr);
        return EXIT_START;
    }
    struct herd_buf errors = {0};
    struct config *config;
    int rc = config_load(arguments.config, &config, &errors);
    if (rc < 0) {
        output_mistakes("herd-server", arguments.config, rc, &errors);
        herd_buf_free(&errors);
        return EXIT_START;
    }
    herd_buf_free(&errors);
    return arguments.check ? check(config, arguments.config) : run(config, &arguments);
}
