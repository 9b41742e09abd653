/*
 * herdctl status: each server of herd.conf, as its control socket tells it. Where that gives no
 * answer (another user's, another machine's, none at all) a line to the address that the server
 * listens on tells at least whether somebody is there.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include <herd/err.h>

#include "base/config_mistakes.h"
#include "base/json_load.h"
#include "base/output.h"
#include "caller.h"
#include "herdctl.h"
#include "herdctl_answer.h"
#include "json_print.h"
#include "json_text.h"

enum { STATUS_TIMEOUT_MS = 2000, ASKERS_MAX = 64 };

enum state {
    STATE_UP,     /* it answers */
    STATE_SILENT, /* it takes connections and answers nothing: it hangs, or was stopped */
    STATE_OTHER,  /* who answers is no server of herd, or another one */
    STATE_DOWN
};

static const char *const state_names[] = {"up", "silent", "other", "down"};

/* What is known of one server: its own words, or why there are none. */
struct row {
    const char *name;
    enum state state;
    json_t *status;
    struct herd_buf error;
    bool lacks_memory; /* here, to ask it */
};

static const char *text_of(const json_t *status, const char *key)
{
    const char *text = json_string_value(json_object_get(status, key));
    return text != NULL ? text : "";
}

static long long number_of(const json_t *status, const char *key)
{
    return json_integer_value(json_object_get(status, key));
}

/* Whether all that is shown of a status is there, and of this server. */
static bool is_status_of(const json_t *status, const char *name)
{
    const json_t *links = json_object_get(status, "links");
    bool is_one = strcmp(text_of(status, "server"), name) == 0 &&
                  text_of(status, "digest")[0] != '\0' &&
                  json_is_integer(json_object_get(status, "clients")) &&
                  json_is_number(json_object_get(status, "uptime_s")) && json_is_array(links);
    for (size_t i = 0; i < json_array_size(links) && is_one; i++) {
        const json_t *link = json_array_get(links, i);
        is_one = text_of(link, "peer")[0] != '\0' && text_of(link, "state")[0] != '\0';
    }
    return is_one;
}

/* Who answers so is no server of herd, or another one. */
static void take_foreign(struct row *row, const char *where, struct herd_slice answer)
{
    struct herd_slice line = answer_first_line(answer);
    row->state = STATE_OTHER;
    row->error.len = 0;
    herd_buf_printf(&row->error, "%s does not answer as this server does: \"%s\"", where,
                    config_show(line.data, line.len).text);
}

static void take_status(struct row *row, const char *path, struct herd_slice answer)
{
    json_error_t error;
    int rc = json_load_bytes(answer, 0, &row->status, &error);
    row->lacks_memory = rc == HERD_ENOMEM;
    if (row->lacks_memory || (rc == 0 && is_status_of(row->status, row->name)))
        return;
    json_decref(row->status);
    row->status = NULL;
    take_foreign(row, path, answer);
}

static void ask_control(const struct config *config, struct row *row)
{
    struct herd_buf path = {0}, answer = {0};
    if (config->values.data_dir[0] == '\0') {
        herd_buf_append_text(&row->error, "data_dir is empty, so there is no control socket");
        return;
    }
    int rc = herd_buf_printf(&path, "%s/%s/control.sock", config->values.data_dir, row->name);
    if (rc == 0)
        rc = call_unix(path.data, herd_slice_of("STATUS\n"), "\n", STATUS_TIMEOUT_MS, &answer,
                       &row->error);
    row->lacks_memory = rc == HERD_ENOMEM;
    if (rc == 0)
        take_status(row, path.data, herd_buf_slice(&answer));
    else if (rc != HERD_ENOMEM && access(path.data, W_OK) != 0 && errno == EACCES)
        herd_buf_append_text(&row->error, "; ask as the user that the server runs as");
    herd_buf_free(&path);
    herd_buf_free(&answer);
}

/* Each server answers it: with PONG, or, a plain one, with a question mark and the line. */
static void ask_listener(const struct config_server *server, struct row *row)
{
    struct herd_buf answer = {0}, error = {0};
    int rc = call_tcp(&server->listen, herd_slice_of("PING\n"), "\n", STATUS_TIMEOUT_MS, &answer,
                      &error);
    struct herd_slice line = answer_first_line(herd_buf_slice(&answer));
    row->state = rc == 0 ? STATE_UP : rc == HERD_ETIMEDOUT ? STATE_SILENT : STATE_DOWN;
    row->lacks_memory = rc == HERD_ENOMEM;
    if (rc < 0) {
        herd_buf_free(&row->error);
        row->error = error;
    }
    if (rc != HERD_ENOMEM && answer.len > 0 && !herd_slice_equal(line, herd_slice_of("PONG")) &&
        !answer_refuses(line, herd_slice_of("PING")))
        take_foreign(row, "who listens at its address", line);
    herd_buf_free(&answer);
}

struct asking {
    const struct config *config;
    struct row *rows;
    atomic_size_t next;
};

/* Asks one server after the other, until there is none left that nobody asks. */
static void *ask_some(void *arg)
{
    struct asking *asking = arg;
    size_t i;
    while ((i = atomic_fetch_add(&asking->next, 1)) < asking->config->server_count) {
        const struct config_server *server = &asking->config->servers[i];
        struct row *row = &asking->rows[i];
        *row = (struct row){.name = server->name, .state = STATE_UP};
        ask_control(asking->config, row);
        if (row->status == NULL && row->state == STATE_UP && !row->lacks_memory)
            ask_listener(server, row);
    }
    return NULL;
}

/* All at once, so that those that hang cost no more time than one. */
static void ask_all(const struct config *config, struct row *rows)
{
    struct asking asking = {.config = config, .rows = rows};
    pthread_t helpers[ASKERS_MAX];
    size_t count = 0;
    while (count < ASKERS_MAX && count + 1 < config->server_count &&
           pthread_create(&helpers[count], NULL, ask_some, &asking) == 0)
        count++;
    ask_some(&asking);
    for (size_t i = 0; i < count; i++)
        pthread_join(helpers[i], NULL);
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
        if (i > 0)
            putchar(' ');
        output_shown(stdout, herd_slice_of(text_of(link, "peer")));
        putchar(':');
        output_shown(stdout, herd_slice_of(text_of(link, "state")));
    }
    putchar('\n');
}

static void print_row(const struct row *row, const char *digest)
{
    printf("%-12s %-6s ", row->name, state_names[row->state]);
    if (row->status == NULL) {
        fputs(row->state == STATE_UP ? "no status: " : "", stdout);
        output_shown(stdout, herd_buf_slice(&row->error));
        putchar('\n');
        return;
    }
    bool equal = strcmp(text_of(row->status, "digest"), digest) == 0;
    printf("%9lld  %-8s %8.0f s  ", number_of(row->status, "clients"), equal ? "equal" : "differs",
           json_number_value(json_object_get(row->status, "uptime_s")));
    print_links(row->status);
}

static void print_table(const struct row *rows, size_t count, const char *digest)
{
    printf("%-12s %-6s %9s  %-8s %10s  %s\n", "SERVER", "STATE", "CLIENTS", "DIGEST", "UPTIME",
           "LINKS");
    for (size_t i = 0; i < count; i++)
        print_row(&rows[i], digest);
}

/* NULL: no memory. */
static json_t *row_object(const struct row *row)
{
    const char *state = state_names[row->state];
    if (row->status != NULL)
        return json_pack("{s:b, s:s, s:O}", "up", row->state == STATE_UP, "state", state, "status",
                         row->status);
    return json_pack("{s:b, s:s, s:o}", "up", row->state == STATE_UP, "state", state, "error",
                     json_text(herd_buf_slice(&row->error)));
}

static int print_json(const struct row *rows, size_t count)
{
    json_t *all = json_object();
    for (size_t i = 0; i < count; i++) {
        if (json_object_set_new(all, rows[i].name, row_object(&rows[i])) == 0)
            continue;
        json_decref(all);
        all = NULL;
    }
    return json_print("herdctl", all, JSON_INDENT(2));
}

/* Every server is up, and no two that told it have different records. What could not be asked
 * is no failure, but worth a word when nobody could be: nothing was compared. */
static int judge(const struct row *rows, size_t count, const char *digest)
{
    bool well = true;
    size_t asked = 0;
    for (size_t i = 0; i < count; i++) {
        const json_t *status = rows[i].status;
        asked += status != NULL;
        well = well && rows[i].state == STATE_UP &&
               (status == NULL || strcmp(text_of(status, "digest"), digest) == 0);
    }
    if (well && asked == 0)
        fputs("herdctl: no server gave its status: whether their records are equal is not known\n",
              stderr);
    return well ? 0 : EXIT_ANSWER;
}

static bool lacks_memory(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (rows[i].lacks_memory || (rows[i].status == NULL && rows[i].error.len == 0))
            return true;
    }
    return false;
}

static int show(const struct context *context, const struct row *rows, size_t count)
{
    const char *digest = common_digest(rows, count);
    if (lacks_memory(rows, count)) {
        fprintf(stderr, "herdctl: %s\n", herd_strerror(HERD_ENOMEM));
        return EXIT_ANSWER;
    }
    if (!context->json)
        print_table(rows, count, digest);
    else if (print_json(rows, count) < 0)
        return EXIT_ANSWER;
    return judge(rows, count, digest);
}

int ctl_status(const struct context *context, int argc, char **argv)
{
    const struct config *config = context->config;
    size_t count = config->server_count;
    (void)argc;
    (void)argv;
    struct row *rows = calloc(count, sizeof(*rows));
    if (rows == NULL) {
        fprintf(stderr, "herdctl: %s\n", herd_strerror(HERD_ENOMEM));
        return EXIT_ANSWER;
    }
    ask_all(config, rows);
    int status = show(context, rows, count);
    for (size_t i = 0; i < count; i++) {
        json_decref(rows[i].status);
        herd_buf_free(&rows[i].error);
    }
    free(rows);
    return status;
}
