/*
 * A call's way: web_client_ask -> the dialect writes the request -> fetch_start -> on_fetched:
 * the dialect reads the answer, or it is a failure of the network -> done with an answer, always.
 */
#include <assert.h>
#include <ctype.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include <uv.h>

#include <herd/err.h>

#include "base/log.h"
#include "places/web_client.h"
#include "places/web_url.h"

enum {
    HEADERS_MAX = 8,  /* that a dialect writes */
    RADIUS_MIN_M = 1, /* the APIs refuse 0, which asks for what is right here */
    RADIUS_MAX_M = 50000,
    REQUEST_BYTES = 4096 /* enough for any: growing would leave copies of the key behind */
};

struct web_client {
    struct provider base;
    const struct web_dialect *dialect;
    struct web_settings settings;
    struct fetch *fetch;
    struct log *log;
    enum places_status trouble; /* of the last answer; PLACES_OK: it was none */
    void (*closed)(void *arg);
    void *closed_arg;
};

struct web_call {
    struct places_call base;
    struct fetch_call *fetch_call;
    places_done_cb *done;
    void *arg;
};

static struct web_client *client_of(struct provider *provider)
{
    return (struct web_client *)provider;
}

static void free_client(struct web_client *client)
{
    herd_buf_free(&client->settings.origin);
    web_key_wipe(&client->settings.key);
    free(client);
}

/*
 * Says when trouble begins, changes and ends, not at every call. In the provider's words only why
 * it refuses the key, which is for the operator: what else it says may name coordinates.
 */
static void note(struct web_client *client, const struct fetch_result *result,
                 const struct web_reply *reply)
{
    bool is_trouble = reply->status != PLACES_OK && reply->status != PLACES_ZERO_RESULTS;
    enum places_status trouble = is_trouble ? reply->status : PLACES_OK;
    if (trouble == client->trouble)
        return;
    client->trouble = trouble;
    if (!is_trouble) {
        LOG(client->log, LOG_INFO, "places", "answers again",
            log_text("provider", client->base.type->name));
        return;
    }
    bool is_shown = !reply->is_quoted || trouble == PLACES_REQUEST_DENIED;
    LOG(client->log, LOG_WARNING, "places", "fails", log_text("provider", client->base.type->name),
        log_text("status", places_status_name(trouble)),
        log_text("why", is_shown ? reply->message : "see the answers' error_message"),
        log_int("http", result->http_status));
}

static void on_fetched(void *arg, const struct fetch_result *result)
{
    struct web_call *call = arg;
    struct web_client *client = client_of(call->base.provider);
    struct web_reply reply = {0};
    if (result->error == 0)
        client->dialect->read(result, &reply);
    else
        web_reply_fail_because(&reply, PLACES_UNKNOWN_ERROR, fetch_outcome_text(result->outcome));
    struct places_answer *answer = web_reply_finish(&reply, &client->settings.key);
    if (result->error != HERD_ECANCELED)
        note(client, result, &reply);
    call->done(call->arg, answer);
    free(call);
}

/* Starts a call with what the dialect wrote. */
static int send_request(struct web_client *client, const struct web_request *request,
                        struct web_call *call)
{
    const char *headers[HEADERS_MAX + 1] = {0};
    const char *end = request->headers.data + request->headers.len;
    size_t count = 0;
    for (const char *at = request->headers.data; at != end; at += strlen(at) + 1) {
        assert(count < HEADERS_MAX);
        headers[count++] = at;
    }
    const struct fetch_request fetch_request = {
        .url = request->url.data,
        .headers = headers,
        .post = request->post,
        .body = herd_buf_slice(&request->body),
    };
    return fetch_start(client->fetch, &fetch_request, on_fetched, call, &call->fetch_call);
}

static void wipe(struct herd_buf *buf)
{
    if (buf->data != NULL)
        explicit_bzero(buf->data, buf->cap);
    herd_buf_free(buf);
}

static int write_and_send(struct web_client *client, const struct places_query *query,
                          struct web_call *call)
{
    struct web_request request = {0};
    int rc = herd_buf_reserve(&request.url, REQUEST_BYTES);
    if (rc == 0)
        rc = herd_buf_reserve(&request.headers, REQUEST_BYTES);
    if (rc == 0)
        rc = client->dialect->write(&client->settings, query, &request);
    if (rc == 0)
        rc = send_request(client, &request, call);
    wipe(&request.url);
    wipe(&request.headers);
    herd_buf_free(&request.body);
    return rc;
}

int web_client_ask(struct provider *provider, const struct places_query *query,
                   places_done_cb *done, void *arg, struct places_call **out)
{
    struct web_client *client = client_of(provider);
    struct places_query bounded = *query;
    if (!(fabs(query->latitude) <= 90) || !(fabs(query->longitude) <= 180) ||
        !(query->radius_m >= 0))
        return HERD_EINVAL;
    bounded.radius_m = fmin(fmax(query->radius_m, RADIUS_MIN_M), RADIUS_MAX_M);
    struct web_call *call = malloc(sizeof *call);
    if (call == NULL)
        return HERD_ENOMEM;
    *call = (struct web_call){.base = {provider}, .done = done, .arg = arg};
    int rc = write_and_send(client, &bounded, call);
    if (rc < 0) {
        free(call);
        return rc;
    }
    *out = &call->base;
    return 0;
}

void web_client_cancel(struct places_call *call)
{
    fetch_cancel(((struct web_call *)call)->fetch_call);
}

static void on_fetch_closed(void *arg)
{
    struct web_client *client = arg;
    void (*closed)(void *arg) = client->closed;
    void *closed_arg = client->closed_arg;
    free_client(client);
    closed(closed_arg);
}

void web_client_close(struct provider *provider, void (*closed)(void *arg), void *arg)
{
    struct web_client *client = client_of(provider);
    client->closed = closed;
    client->closed_arg = arg;
    fetch_close(client->fetch, on_fetch_closed, client);
}

static int take_language(struct web_client *client, const char *language, struct herd_buf *error)
{
    size_t len = strlen(language);
    bool is_tag = len >= 2 && len < sizeof client->settings.language;
    for (size_t i = 0; is_tag && i < len; i++)
        is_tag = (isascii(language[i]) && isalnum(language[i])) || language[i] == '-';
    if (!is_tag) {
        herd_buf_append_text(error, "language: should be a BCP 47 tag such as en or pt-BR");
        return HERD_EINVAL;
    }
    memcpy(client->settings.language, language, len + 1);
    return 0;
}

static int take_origin(struct web_client *client, const char *base_url, struct herd_buf *error)
{
    struct herd_buf *origin = &client->settings.origin;
    int rc = web_url_origin(base_url, client->dialect->origin, origin, error);
    return rc < 0 ? rc : herd_buf_append(origin, "", 1);
}

static int set_up(struct web_client *client, const struct places_options *options,
                  struct herd_buf *error)
{
    int rc = take_language(client, options->language, error);
    if (rc == 0)
        rc = take_origin(client, options->base_url, error);
    if (rc == 0)
        rc = web_key_read(options->key_file, getenv("CREDENTIALS_DIRECTORY"), &client->settings.key,
                          error);
    if (rc < 0)
        return rc;
    const struct fetch_options fetch_options = {
        .loop = options->loop,
        .connect_timeout_ms = options->connect_timeout_ms,
        .total_timeout_ms = options->total_timeout_ms,
        .calls_max = options->calls_max,
    };
    rc = fetch_new(&fetch_options, &client->fetch);
    if (rc < 0)
        herd_buf_printf(error, "libcurl: %s", herd_strerror(rc));
    return rc;
}

int web_client_open(const struct web_dialect *dialect, const struct places_options *options,
                    struct provider **out, struct herd_buf *error)
{
    struct web_client *client = calloc(1, sizeof *client);
    if (client == NULL)
        return HERD_ENOMEM;
    client->base.type = dialect->type;
    client->dialect = dialect;
    client->log = options->log;
    int rc = set_up(client, options, error);
    if (rc < 0) {
        free_client(client);
        return rc;
    }
    LOG(client->log, LOG_INFO, "places", "provider ready",
        log_text("provider", dialect->type->name), log_text("at", client->settings.origin.data));
    *out = &client->base;
    return 0;
}
