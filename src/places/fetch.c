/*
 * A call's way: fetch_start hands an easy handle to the multi handle -> on_timer_wanted, and on the
 * wakeup on_wakeup: libcurl resolves and connects -> on_socket: this socket is to be watched ->
 * on_poll, again and again: libcurl writes the request, on_header and on_body take the answer ->
 * take_completed -> done.
 *
 * What may go wrong: libcurl ends the call itself on an error or a timeout (the same way, as a
 * message); on_header and on_body end it when the answer is too long; end_early takes the easy
 * handle away at once and leaves `done` to on_later. No `done` runs below a function of libcurl,
 * so each of them may start, cancel and close.
 */
#include <assert.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <unistd.h>

#include <curl/curl.h>
#include <uv.h>

#include <herd/err.h>

#include "places/fetch_outcome.h"
#include "places/secret.h"
#include "places/secret_http2.h"
#include "places/secret_openssl.h"

enum { FETCH_STREAMS_MAX = 8, BODY_FIRST_BYTES = 16 << 10 };

struct fetch {
    uv_loop_t *loop;
    CURLM *multi;
    uv_timer_t wakeup; /* libcurl's only one */
    uv_timer_t later;  /* runs the `done` of calls that ended early */
    size_t handles;    /* of the loop, that are not closed yet */
    TAILQ_HEAD(, fetch_call) started;
    STAILQ_HEAD(ended_list, fetch_call) ended_early;
    size_t calls;
    bool is_suspect; /* the last call had no answer: the next ones take new connections */
    struct fetch_options options;
    char *ca_file;
    bool closing;
    void (*closed)(void *arg);
    void *closed_arg;
};

struct fetch_call {
    TAILQ_ENTRY(fetch_call) link;        /* of started */
    STAILQ_ENTRY(fetch_call) ended_link; /* of ended_early */
    struct fetch *fetch;
    CURL *easy; /* NULL once the call is over for libcurl */
    struct curl_slist *headers;
    char *body; /* secret: the provider may echo the key */
    size_t body_len, body_cap;
    size_t header_bytes;
    enum fetch_outcome outcome; /* why we ended it, else FETCH_ANSWERED */
    fetch_done_cb *done;
    void *arg;
};

/* A socket of libcurl's while libcurl wants it watched. */
struct watch {
    uv_poll_t poll;
    struct fetch *fetch;
    curl_socket_t fd;
    int events;
};

static void on_handle_closed(struct fetch *fetch)
{
    if (--fetch->handles > 0)
        return;
    assert(fetch->calls == 0);
    void (*closed)(void *arg) = fetch->closed;
    void *arg = fetch->closed_arg;
    free(fetch->ca_file);
    free(fetch);
    curl_global_cleanup();
    closed(arg);
}

static void on_timer_closed(uv_handle_t *handle)
{
    on_handle_closed(handle->data);
}

static void on_watch_closed(uv_handle_t *handle)
{
    struct watch *watch = handle->data;
    struct fetch *fetch = watch->fetch;
    free(watch);
    on_handle_closed(fetch);
}

static void free_call(struct fetch_call *call)
{
    curl_easy_cleanup(call->easy);
    curl_slist_free_all(call->headers);
    secret_free(call->body);
    free(call);
}

/* Takes the call away from libcurl, which forgets its sockets and messages too. */
static void release_easy(struct fetch_call *call)
{
    curl_multi_remove_handle(call->fetch->multi, call->easy);
    curl_easy_cleanup(call->easy);
    call->easy = NULL;
}

/* The call is in no list any more. */
static void finish(struct fetch_call *call, const struct fetch_result *result)
{
    call->fetch->calls--;
    call->fetch->is_suspect = result->error == HERD_ETIMEDOUT || result->error == HERD_ECANCELED;
    call->done(call->arg, result);
    free_call(call);
}

static int64_t retry_after_ms(CURL *easy)
{
    curl_off_t left_s = 0;
    struct curl_header *header;
    bool is_said = curl_easy_header(easy, "Retry-After", 0, CURLH_HEADER, -1, &header) == CURLHE_OK;
    curl_easy_getinfo(easy, CURLINFO_RETRY_AFTER, &left_s);
    return fetch_retry_after_ms(is_said ? header->value : NULL, left_s);
}

static struct fetch_result result_of(struct fetch_call *call, CURLcode code)
{
    long http_status = 0;
    curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &http_status);
    enum fetch_outcome outcome = call->outcome;
    if (outcome == FETCH_ANSWERED)
        outcome = fetch_outcome_of(code);
    return (struct fetch_result){
        .error = fetch_outcome_error(outcome),
        .outcome = outcome,
        .http_status = (int)http_status,
        .retry_after_ms = retry_after_ms(call->easy),
        .body = herd_slice(call->body, outcome == FETCH_ANSWERED ? call->body_len : 0),
    };
}

/* The `done` of calls that ended early up to now; those that they end have a turn of their own. */
static void on_later(uv_timer_t *timer)
{
    struct fetch *fetch = timer->data;
    struct ended_list ending = STAILQ_HEAD_INITIALIZER(ending);
    STAILQ_CONCAT(&ending, &fetch->ended_early);
    while (!STAILQ_EMPTY(&ending)) {
        struct fetch_call *call = STAILQ_FIRST(&ending);
        const struct fetch_result result = {.error = fetch_outcome_error(call->outcome),
                                            .outcome = call->outcome,
                                            .retry_after_ms = -1};
        STAILQ_REMOVE_HEAD(&ending, ended_link);
        finish(call, &result);
    }
    if (fetch->closing && STAILQ_EMPTY(&fetch->ended_early))
        uv_close((uv_handle_t *)&fetch->later, on_timer_closed);
}

static void end_early(struct fetch_call *call, enum fetch_outcome outcome)
{
    struct fetch *fetch = call->fetch;
    call->outcome = outcome;
    release_easy(call);
    TAILQ_REMOVE(&fetch->started, call, link);
    STAILQ_INSERT_TAIL(&fetch->ended_early, call, ended_link);
    uv_timer_start(&fetch->later, on_later, 0, 0);
}

void fetch_cancel(struct fetch_call *call)
{
    if (call->easy != NULL)
        end_early(call, FETCH_CANCELED);
}

static void complete(struct fetch *fetch, CURL *easy, CURLcode code)
{
    struct fetch_call *call = NULL;
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&call);
    struct fetch_result result = result_of(call, code);
    release_easy(call);
    TAILQ_REMOVE(&fetch->started, call, link);
    finish(call, &result);
}

/* After every libcurl action, also one that left no transfer running: the last one may just have
 * ended. A `done` may close `fetch`: the multi handle is gone then. */
static void take_completed(struct fetch *fetch)
{
    int left = 0;
    CURLMsg *message = NULL;
    while (!fetch->closing && (message = curl_multi_info_read(fetch->multi, &left)) != NULL) {
        if (message->msg == CURLMSG_DONE)
            complete(fetch, message->easy_handle, message->data.result);
    }
}

/*
 * An action fails when memory does. libcurl does not ask for its timer then, and its table of
 * sockets may be half made: none of the calls under way would be sure to end.
 */
static void act(struct fetch *fetch, curl_socket_t fd, int flags)
{
    int running = 0;
    CURLMcode code = curl_multi_socket_action(fetch->multi, fd, flags, &running);
    secret_burn();
    take_completed(fetch);
    while (code != CURLM_OK && !TAILQ_EMPTY(&fetch->started))
        end_early(TAILQ_FIRST(&fetch->started), FETCH_WITHOUT_MEMORY);
}

static void on_wakeup(uv_timer_t *timer)
{
    act(timer->data, CURL_SOCKET_TIMEOUT, 0);
}

/* libcurl asks for its timer. It may only be set here: libcurl must not be called from inside. */
static int on_timer_wanted(CURLM *multi, long timeout_ms, void *arg)
{
    (void)multi;
    struct fetch *fetch = arg;
    if (timeout_ms < 0)
        uv_timer_stop(&fetch->wakeup);
    else
        uv_timer_start(&fetch->wakeup, on_wakeup, (uint64_t)timeout_ms, 0);
    return 0;
}

/*
 * On POLLERR libuv gives a negative status and stops watching. The answer may lie complete in the
 * socket's buffer all the same (a server that resets after it), so libcurl is told to read and
 * write, and finds the error when it comes to it; until then the socket has to be watched on.
 */
static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct watch *watch = poll->data;
    int flags = status < 0 ? CURL_CSELECT_IN | CURL_CSELECT_OUT | CURL_CSELECT_ERR : 0;
    if (events & UV_READABLE)
        flags |= CURL_CSELECT_IN;
    if (events & UV_WRITABLE)
        flags |= CURL_CSELECT_OUT;
    act(watch->fetch, watch->fd, flags);
    if (status < 0 && !uv_is_closing((uv_handle_t *)poll))
        uv_poll_start(poll, watch->events, on_poll);
}

static struct watch *watch_new(struct fetch *fetch, curl_socket_t fd)
{
    struct watch *watch = calloc(1, sizeof *watch);
    if (watch == NULL)
        return NULL;
    watch->fetch = fetch;
    watch->fd = fd;
    if (uv_poll_init_socket(fetch->loop, &watch->poll, fd) < 0) {
        free(watch);
        return NULL;
    }
    watch->poll.data = watch;
    fetch->handles++;
    curl_multi_assign(fetch->multi, fd, watch);
    return watch;
}

static void watch_close(struct watch *watch)
{
    uv_poll_stop(&watch->poll);
    curl_multi_assign(watch->fetch->multi, watch->fd, NULL);
    uv_close((uv_handle_t *)&watch->poll, on_watch_closed);
}

/* Always 0: another result would end the multi handle for good. A socket that cannot be watched
 * (memory) leaves its call to the total timeout. */
static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
    (void)easy;
    struct watch *watch = socket_arg;
    if (what == CURL_POLL_REMOVE) {
        if (watch != NULL)
            watch_close(watch);
        return 0;
    }
    if (watch == NULL)
        watch = watch_new(arg, fd);
    if (watch == NULL)
        return 0;
    watch->events =
        (what & CURL_POLL_IN ? UV_READABLE : 0) | (what & CURL_POLL_OUT ? UV_WRITABLE : 0);
    uv_poll_start(&watch->poll, watch->events, on_poll);
    return 0;
}

static size_t on_header(char *data, size_t size, size_t count, void *arg)
{
    (void)data;
    struct fetch_call *call = arg;
    call->header_bytes += size * count;
    if (call->header_bytes <= FETCH_HEADERS_MAX_BYTES)
        return size * count;
    call->outcome = FETCH_TOO_LONG;
    return 0;
}

static int append_body(struct fetch_call *call, const char *data, size_t len)
{
    size_t cap = call->body_cap > 0 ? call->body_cap : BODY_FIRST_BYTES;
    while (cap - call->body_len < len)
        cap *= 2;
    if (cap != call->body_cap) {
        char *body = secret_realloc(call->body, cap);
        if (body == NULL)
            return HERD_ENOMEM;
        call->body = body;
        call->body_cap = cap;
    }
    memcpy(call->body + call->body_len, data, len);
    call->body_len += len;
    return 0;
}

static size_t on_body(char *data, size_t size, size_t count, void *arg)
{
    struct fetch_call *call = arg;
    size_t len = size * count;
    if (len > (size_t)call->fetch->options.body_max_bytes - call->body_len)
        call->outcome = FETCH_TOO_LONG;
    else if (append_body(call, data, len) < 0)
        call->outcome = FETCH_WITHOUT_MEMORY;
    return call->outcome == FETCH_ANSWERED ? len : 0;
}

struct number_option {
    CURLoption option;
    long value;
};

/* Not 0 when libcurl refuses one. */
static int set_numbers(CURL *easy, const struct number_option *numbers, size_t count)
{
    int failed = 0;
    for (size_t i = 0; i < count; i++)
        failed |= (int)curl_easy_setopt(easy, numbers[i].option, numbers[i].value);
    return failed;
}

/* The system gives a connection up whose other end has not acknowledged for as long as a call may
 * take: HTTP/2 would go on putting calls on it. */
static int on_socket_made(void *arg, curl_socket_t fd, curlsocktype purpose)
{
    const struct fetch *fetch = arg;
    unsigned timeout_ms = (unsigned)fetch->options.total_timeout_ms;
    (void)purpose;
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof timeout_ms);
    return CURL_SOCKOPT_OK;
}

/*
 * HTTP/2 over TLS where the host speaks it (and the key stays secret with it), else HTTP/1.1. No
 * redirects: they would carry the key to whoever is named there. CURLOPT_QUICK_EXIT: a resolver
 * that does not answer must not hold up the loop when its call is over.
 */
static int set_limits(CURL *easy, const struct fetch_options *options)
{
    const struct number_option numbers[] = {
        {CURLOPT_NOSIGNAL, 1},
        {CURLOPT_QUICK_EXIT, 1},
        {CURLOPT_HTTP_VERSION,
         secret_http2_works() ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1},
        {CURLOPT_FOLLOWLOCATION, 0},
        {CURLOPT_DISALLOW_USERNAME_IN_URL, 1},
        {CURLOPT_CONNECTTIMEOUT_MS, (long)options->connect_timeout_ms},
        {CURLOPT_TIMEOUT_MS, (long)options->total_timeout_ms},
    };
    int failed = set_numbers(easy, numbers, sizeof numbers / sizeof numbers[0]);
    failed |= (int)curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    failed |= (int)curl_easy_setopt(easy, CURLOPT_PROXY, "");
    failed |= (int)curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "gzip");
    failed |= (int)curl_easy_setopt(easy, CURLOPT_USERAGENT, "herd/" HERD_VERSION);
    failed |=
        (int)curl_easy_setopt(easy, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)options->body_max_bytes);
    return failed ? HERD_EINVAL : 0;
}

static int set_trust(CURL *easy, const char *ca_file)
{
    static const struct number_option numbers[] = {
        {CURLOPT_SSL_VERIFYPEER, 1},
        {CURLOPT_SSL_VERIFYHOST, 2},
        {CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2},
    };
    int failed = set_numbers(easy, numbers, sizeof numbers / sizeof numbers[0]);
    if (ca_file != NULL) {
        failed |= (int)curl_easy_setopt(easy, CURLOPT_CAINFO, ca_file);
        failed |= (int)curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    }
    return failed ? HERD_EINVAL : 0;
}

static int add_headers(struct fetch_call *call, const char *const *headers)
{
    for (size_t i = 0; headers != NULL && headers[i] != NULL; i++) {
        struct curl_slist *list = curl_slist_append(call->headers, headers[i]);
        if (list == NULL)
            return HERD_ENOMEM;
        call->headers = list;
    }
    return 0;
}

static int set_request(struct fetch_call *call, const struct fetch_request *request)
{
    int rc = add_headers(call, request->headers);
    if (rc < 0)
        return rc;
    CURL *easy = call->easy;
    int failed = (int)curl_easy_setopt(easy, CURLOPT_URL, request->url);
    failed |= (int)curl_easy_setopt(easy, CURLOPT_HTTPHEADER, call->headers);
    if (request->post) {
        failed |=
            (int)curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body.len);
        failed |= (int)curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS,
                                        request->body.len > 0 ? request->body.data : "");
    }
    failed |= (int)curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    failed |= (int)curl_easy_setopt(easy, CURLOPT_HEADERDATA, call);
    failed |= (int)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    failed |= (int)curl_easy_setopt(easy, CURLOPT_WRITEDATA, call);
    failed |= (int)curl_easy_setopt(easy, CURLOPT_PRIVATE, call);
    return failed ? HERD_EINVAL : 0;
}

static int set_up(struct fetch_call *call, const struct fetch_request *request)
{
    const struct fetch_options *options = &call->fetch->options;
    call->easy = curl_easy_init();
    if (call->easy == NULL)
        return HERD_ENOMEM;
    int rc = set_limits(call->easy, options);
    curl_easy_setopt(call->easy, CURLOPT_SOCKOPTFUNCTION, on_socket_made);
    curl_easy_setopt(call->easy, CURLOPT_SOCKOPTDATA, call->fetch);
    curl_easy_setopt(call->easy, CURLOPT_FRESH_CONNECT, call->fetch->is_suspect ? 1L : 0L);
    if (rc == 0)
        rc = set_trust(call->easy, options->ca_file);
    return rc < 0 ? rc : set_request(call, request);
}

int fetch_start(struct fetch *fetch, const struct fetch_request *request, fetch_done_cb *done,
                void *arg, struct fetch_call **out)
{
    if (fetch->closing)
        return HERD_ECLOSED;
    if (fetch->calls >= (size_t)fetch->options.calls_max)
        return HERD_EBUSY;
    struct fetch_call *call = calloc(1, sizeof *call);
    if (call == NULL)
        return HERD_ENOMEM;
    *call = (struct fetch_call){.fetch = fetch, .done = done, .arg = arg};
    int rc = set_up(call, request);
    if (rc == 0 && curl_multi_add_handle(fetch->multi, call->easy) != CURLM_OK)
        rc = HERD_ENOMEM;
    if (rc < 0) {
        free_call(call);
        return rc;
    }
    TAILQ_INSERT_TAIL(&fetch->started, call, link);
    fetch->calls++;
    *out = call;
    return 0;
}

size_t fetch_calls(const struct fetch *fetch)
{
    return fetch->calls;
}

/* Connections are kept for the next calls, so as many of them as calls may be under way. Few calls
 * share one of HTTP/2, so that one that hangs takes few with it. */
static int set_multi(struct fetch *fetch)
{
    CURLM *multi = fetch->multi;
    int failed = (int)curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    failed |= (int)curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, fetch);
    failed |= (int)curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timer_wanted);
    failed |= (int)curl_multi_setopt(multi, CURLMOPT_TIMERDATA, fetch);
    failed |= (int)curl_multi_setopt(multi, CURLMOPT_PIPELINING, CURLPIPE_MULTIPLEX);
    failed |=
        (int)curl_multi_setopt(multi, CURLMOPT_MAX_CONCURRENT_STREAMS, (long)FETCH_STREAMS_MAX);
    failed |= (int)curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long)fetch->options.calls_max);
    return failed ? HERD_EIO : 0;
}

/*
 * To parse the system's certificates takes 50 ms of the loop. libcurl does so at each connection,
 * unless it has them from one file and no folder: then it keeps them with the multi handle for a
 * day. So the file that it was built for is named, and the folder (set_trust) is not.
 */
static const char *system_ca_file(void)
{
    const char *path = curl_version_info(CURLVERSION_NOW)->cainfo;
    return path != NULL && access(path, R_OK) == 0 ? path : NULL;
}

static int fill_in(struct fetch *fetch, const struct fetch_options *options)
{
    const char *ca_file = options->ca_file != NULL ? options->ca_file : system_ca_file();
    assert(options->calls_max > 0 && options->body_max_bytes > 0);
    fetch->loop = options->loop;
    fetch->options = *options;
    TAILQ_INIT(&fetch->started);
    STAILQ_INIT(&fetch->ended_early);
    if (ca_file != NULL) {
        fetch->ca_file = strdup(ca_file);
        if (fetch->ca_file == NULL)
            return HERD_ENOMEM;
    }
    fetch->options.ca_file = fetch->ca_file;
    fetch->multi = curl_multi_init();
    return fetch->multi != NULL ? set_multi(fetch) : HERD_ENOMEM;
}

int fetch_new(const struct fetch_options *options, struct fetch **out)
{
    secret_openssl_begin(); /* once; not again at the next reload */
    if (curl_global_init_mem(CURL_GLOBAL_DEFAULT, secret_malloc, secret_free, secret_realloc,
                             secret_strdup, secret_calloc) != CURLE_OK)
        return HERD_EIO;
    struct fetch *fetch = calloc(1, sizeof *fetch);
    int rc = fetch != NULL ? fill_in(fetch, options) : HERD_ENOMEM;
    if (rc < 0) {
        if (fetch != NULL) {
            curl_multi_cleanup(fetch->multi);
            free(fetch->ca_file);
        }
        free(fetch);
        curl_global_cleanup();
        return rc;
    }
    uv_timer_init(fetch->loop, &fetch->wakeup);
    uv_timer_init(fetch->loop, &fetch->later);
    fetch->wakeup.data = fetch;
    fetch->later.data = fetch;
    fetch->handles = 2;
    *out = fetch;
    return 0;
}

void fetch_close(struct fetch *fetch, void (*closed)(void *arg), void *arg)
{
    assert(!fetch->closing);
    while (!TAILQ_EMPTY(&fetch->started))
        fetch_cancel(TAILQ_FIRST(&fetch->started));
    fetch->closing = true;
    fetch->closed = closed;
    fetch->closed_arg = arg;
    curl_multi_cleanup(fetch->multi);
    fetch->multi = NULL;
    uv_close((uv_handle_t *)&fetch->wakeup, on_timer_closed);
    uv_timer_start(&fetch->later, on_later, 0, 0);
}
