/*
 * A call's way: web_client_ask -> the dialect writes the request -> fetch_start -> on_fetched: it
 * is a failure of the network, or the dialect reads the answer: a short one at once, a long one in
 * libuv's thread pool (on_read -> on_was_read), as a megabyte of JSON takes too long for the loop
 * -> done with an answer, always.
 *
 * The client and its calls live in secret memory: the key is in the one, and may be in what a
 * provider says to the other.
 */
#include "places/web_client.h"

#include <assert.h>
#include <ctype.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include <uv.h>

#include <herd/err.h>

#include "base/log.h"
#include "places/secret.h"
#include "places/web_url.h"

enum {
    HEADERS_MAX = 8,  /* that a dialect writes */
    RADIUS_MIN_M = 1, /* the APIs refuse 0, which asks for what is right here */
    RADIUS_MAX_M = 50000,
    REQUEST_BYTES = 4096, /* enough for any: growing would leave copies of the key behind */
    READ_AT_ONCE_BYTES = 64 << 10
};

struct web_client {
    struct provider base;
    const struct web_dialect *dialect;
    struct web_settings settings;
    uv_loop_t *loop;
    struct fetch *fetch; /* NULL once it is closed */
    struct log *log;
    size_t reading;             /* calls in the thread pool */
    enum places_status trouble; /* of the last answer; PLACES_OK: it was none */
    void (*closed)(void *arg);
    void *closed_arg;
};

struct web_call {
    struct places_call base;
    struct places_query query;
    struct fetch_call *fetch_call; /* NULL once it is fetched */
    places_done_cb *done;
    void *arg;
    struct fetch_result result; /* while it is read, its body a copy of our own */
    struct web_reply reply;
    uv_work_t work;
    bool is_cancelled; /* while it is read */
};

static struct web_client *client_of(struct provider *provider)
{
    return (struct web_client *)provider;
}

static void free_client(struct web_client *client)
{
    herd_buf_free(&client->settings.origin);
    herd_buf_free(&client->settings.mask);
    secret_free(client);
}

/*
 * Says when trouble begins, changes and ends, not at every call. In the provider's words only why
 * it refuses the key, which is for the operator: what else it says may name coordinates.
 */
static void note(struct web_client *client, const struct web_call *call)
{
    enum places_status status = call->reply.status;
    bool is_trouble = status != PLACES_OK && status != PLACES_ZERO_RESULTS;
    enum places_status trouble = is_trouble ? status : PLACES_OK;
    if (trouble == client->trouble)
        return;
    client->trouble = trouble;
    if (!is_trouble) {
        LOG(client->log, LOG_INFO, "places", "answers again",
            log_text("provider", client->base.type->name));
        return;
    }
    bool is_shown = !call->reply.is_quoted || trouble == PLACES_REQUEST_DENIED;
    LOG(client->log, LOG_WARNING, "places", "fails", log_text("provider", client->base.type->name),
        log_text("status", places_status_name(trouble)),
        log_text("why", is_shown ? call->reply.message : "see the answers' error_message"),
        log_int("http", call->result.http_status));
}

static void close_when_done(struct web_client *client)
{
    if (client->fetch != NULL || client->reading > 0)
        return;
    void (*closed)(void *arg) = client->closed;
    void *closed_arg = client->closed_arg;
    free_client(client);
    closed(closed_arg);
}

/* The reply is made. */
static void finish(struct web_call *call)
{
    struct web_client *client = client_of(call->base.provider);
    struct places_answer *answer = web_reply_finish(&call->reply, &client->settings.key);
    if (call->result.error != HERD_ECANCELED)
        note(client, call);
    call->done(call->arg, answer);
    secret_free((void *)(uintptr_t)call->result.body.data);
    secret_free(call);
}

static void fail(struct web_call *call, enum fetch_outcome outcome)
{
    web_reply_fail_because(&call->reply, PLACES_UNKNOWN_ERROR, fetch_outcome_text(outcome));
    call->reply.failure.is_final = outcome == FETCH_TOO_LONG || outcome == FETCH_CANCELED;
    finish(call);
}

static void read_reply(struct web_call *call)
{
    const struct web_client *client = client_of(call->base.provider);
    call->reply.failure.retry_after_ms = -1;
    client->dialect->read(&client->settings, &call->query, &call->result, &call->reply);
    if (call->reply.failure.retry_after_ms < 0)
        call->reply.failure.retry_after_ms = call->result.retry_after_ms;
}

static void on_read(uv_work_t *work)
{
    read_reply(work->data);
}

static void on_was_read(uv_work_t *work, int status)
{
    struct web_call *call = work->data;
    struct web_client *client = client_of(call->base.provider);
    assert(status == 0);
    client->reading--;
    if (call->is_cancelled) {
        places_answer_unref(call->reply.answer);
        call->reply.answer = NULL;
        call->result.error = HERD_ECANCELED;
        fail(call, FETCH_CANCELED);
    } else {
        finish(call);
    }
    if (client->closed != NULL)
        close_when_done(client);
}

/* The result's body becomes a copy, in which the key is no more, should the provider echo it. */
static int keep_body(struct web_call *call)
{
    const struct web_client *client = client_of(call->base.provider);
    size_t len = call->result.body.len;
    char *copy = secret_malloc(len + 1);
    if (copy == NULL) {
        call->result.body = (struct herd_slice){0};
        return HERD_ENOMEM;
    }
    if (len > 0)
        memcpy(copy, call->result.body.data, len);
    copy[len] = '\0';
    call->result.body.data = copy;
    web_key_hide(&client->settings.key, copy);
    secret_burn();
    return 0;
}

static void on_fetched(void *arg, const struct fetch_result *result)
{
    struct web_call *call = arg;
    struct web_client *client = client_of(call->base.provider);
    call->fetch_call = NULL;
    call->result = *result;
    if (result->error < 0) {
        call->result.body = (struct herd_slice){0};
        fail(call, result->outcome);
    } else if (keep_body(call) < 0) {
        fail(call, FETCH_WITHOUT_MEMORY);
    } else if (result->body.len <= READ_AT_ONCE_BYTES) {
        read_reply(call);
        finish(call);
    } else {
        call->work.data = call;
        if (uv_queue_work(client->loop, &call->work, on_read, on_was_read) == 0)
            client->reading++;
        else
            fail(call, FETCH_WITHOUT_MEMORY);
    }
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
    secret_burn();
    herd_buf_free(&request.body);
    return rc;
}

int web_client_ask(struct provider *provider, const struct places_query *query,
                   places_done_cb *done, void *arg, struct places_call **out)
{
    struct web_client *client = client_of(provider);
    if (!(fabs(query->latitude) <= 90) || !(fabs(query->longitude) <= 180) ||
        !(query->radius_m >= 0))
        return HERD_EINVAL;
    struct web_call *call = secret_calloc(1, sizeof *call);
    if (call == NULL)
        return HERD_ENOMEM;
    call->base.provider = provider;
    call->done = done;
    call->arg = arg;
    call->query = *query;
    call->query.radius_m = fmin(fmax(query->radius_m, RADIUS_MIN_M), RADIUS_MAX_M);
    int rc = write_and_send(client, &call->query, call);
    if (rc < 0) {
        secret_free(call);
        return rc;
    }
    *out = &call->base;
    return 0;
}

void web_client_cancel(struct places_call *base)
{
    struct web_call *call = (struct web_call *)base;
    if (call->fetch_call != NULL)
        fetch_cancel(call->fetch_call);
    else
        call->is_cancelled = true;
}

static void on_fetch_closed(void *arg)
{
    struct web_client *client = arg;
    client->fetch = NULL;
    close_when_done(client);
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

static int take_settings(struct web_client *client, const struct places_options *options,
                         struct herd_buf *error)
{
    const struct web_dialect *dialect = client->dialect;
    client->settings.total_timeout_ms = options->total_timeout_ms;
    client->settings.json_depth_max = options->json_depth_max;
    int rc = take_language(client, options->language, error);
    if (rc == 0)
        rc = take_origin(client, options->base_url, error);
    if (rc == 0 && dialect->configure != NULL)
        rc = dialect->configure(options, &client->settings, error);
    if (rc == 0 && dialect->needs_key)
        rc = web_key_read(options->key_file, getenv("CREDENTIALS_DIRECTORY"), &client->settings.key,
                          error);
    secret_burn();
    return rc;
}

static int set_up(struct web_client *client, const struct places_options *options,
                  struct herd_buf *error)
{
    int rc = take_settings(client, options, error);
    if (rc < 0)
        return rc;
    const struct fetch_options fetch_options = {
        .loop = options->loop,
        .ca_file = options->ca_file[0] != '\0' ? options->ca_file : NULL,
        .connect_timeout_ms = options->connect_timeout_ms,
        .total_timeout_ms = options->total_timeout_ms,
        .calls_max = options->calls_max,
        .body_max_bytes = options->body_max_bytes,
    };
    rc = fetch_new(&fetch_options, &client->fetch);
    if (rc < 0)
        herd_buf_printf(error, "libcurl: %s", herd_strerror(rc));
    return rc;
}

int web_client_open(const struct web_dialect *dialect, const struct places_options *options,
                    struct provider **out, struct herd_buf *error)
{
    struct web_client *client = secret_calloc(1, sizeof *client);
    if (client == NULL)
        return HERD_ENOMEM;
    client->base.type = dialect->type;
    client->dialect = dialect;
    client->loop = options->loop;
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
