/* herdctl status: each server of herd.conf, as its control socket tells it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include <herd/err.h>

#include "caller.h"
#include "herdctl.h"

/* What is known of one server: its own words, or why there are none. */
struct row {
    const char *name;
    json_t *status;
    struct herd_buf error;
};

static void ask(const struct config *config, const struct config_server *server, struct row *row)
{
    struct herd_buf path = {0}, answer = {0};
    row->name = server->name;
    if (config->values.data_dir[0] == '\0') {
        herd_buf_append_text(&row->error, "data_dir is empty, so there is no control socket");
        return;
    }
    herd_buf_printf(&path, "%s/%s/control.sock", config->values.data_dir, server->name);
    if (call_unix(path.data, herd_slice_of("STATUS\n"), "\n", &answer, &row->error) == 0) {
        row->status = json_loadb(answer.data, answer.len, 0, NULL);
        if (row->status == NULL)
            herd_buf_append_text(&row->error, "its answer is not JSON");
    }
    herd_buf_free(&path);
    herd_buf_free(&answer);
}

static const char *text_of(const json_t *status, const char *key)
{
    const char *text = json_string_value(json_object_get(status, key));
    return text != NULL ? text : "";
}

static long long number_of(const json_t *status, const char *key)
{
    return json_integer_value(json_object_get(status, key));
}

/* The digest that most servers have. */
static const char *common_digest(const struct row *rows, size_t count)
{
    const char *best = "";
    size_t best_votes = 0;
    for (size_t i = 0; i < count; i++) {
        size_t votes = 0;
        for (size_t j = 0; j < count; j++)
            votes +=
                rows[j].status != NULL && rows[i].status != NULL &&
                strcmp(text_of(rows[i].status, "digest"), text_of(rows[j].status, "digest")) == 0;
        if (votes > best_votes) {
            best_votes = votes;
            best = text_of(rows[i].status, "digest");
        }
    }
    return best;
}

static void print_links(const json_t *status)
{
    const json_t *links = json_object_get(status, "links");
    for (size_t i = 0; i < json_array_size(links); i++) {
        const json_t *link = json_array_get(links, i);
        printf("%s%s:%s", i > 0 ? " " : "", text_of(link, "peer"), text_of(link, "state"));
    }
    putchar('\n');
}

static void print_row(const struct row *row, const char *digest)
{
    if (row->status == NULL) {
        printf("%-12s down   %.*s\n", row->name, (int)row->error.len, row->error.data);
        return;
    }
    bool equal = strcmp(text_of(row->status, "digest"), digest) == 0;
    printf("%-12s up     %9lld  %-8s %8.0f s  ", row->name, number_of(row->status, "clients"),
           equal ? "equal" : "differs",
           json_number_value(json_object_get(row->status, "uptime_s")));
    print_links(row->status);
}

static void print_json(const struct row *rows, size_t count)
{
    json_t *all = json_object();
    for (size_t i = 0; i < count; i++) {
        if (rows[i].status != NULL)
            json_object_set_new(all, rows[i].name,
                                json_pack("{s:b, s:O}", "up", 1, "status", rows[i].status));
        else
            json_object_set_new(
                all, rows[i].name,
                json_pack("{s:b, s:s%}", "up", 0, "error", rows[i].error.data, rows[i].error.len));
    }
    json_dumpf(all, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(all);
}

int ctl_status(const struct context *context, int argc, char **argv)
{
    const struct config *config = context->config;
    (void)argv;
    if (argc != 0)
        return EXIT_USAGE;
    struct row *rows = calloc(config->server_count, sizeof(*rows));
    if (rows == NULL)
        return EXIT_ANSWER;
    for (size_t i = 0; i < config->server_count; i++)
        ask(config, &config->servers[i], &rows[i]);
    const char *digest = common_digest(rows, config->server_count);
    bool well = true;
    for (size_t i = 0; i < config->server_count; i++)
        well = well && rows[i].status != NULL &&
               strcmp(text_of(rows[i].status, "digest"), digest) == 0;
    if (context->json) {
        print_json(rows, config->server_count);
    } else {
        printf("%-12s %-6s %9s  %-8s %10s  %s\n", "SERVER", "STATE", "CLIENTS", "DIGEST", "UPTIME",
               "LINKS");
        for (size_t i = 0; i < config->server_count; i++)
            print_row(&rows[i], digest);
    }
    for (size_t i = 0; i < config->server_count; i++) {
        json_decref(rows[i].status);
        herd_buf_free(&rows[i].error);
    }
    free(rows);
    return well ? 0 : EXIT_ANSWER;
}
