/* fetch.h: HTTP requests on the server's loop, each bounded in time and size and answered exactly
 * once; libcurl's multi interface wired to libuv. */
#ifndef PLACES_FETCH_H
#define PLACES_FETCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <herd/buf.h>

struct uv_loop_s;

enum { FETCH_HEADERS_MAX_BYTES = 64 << 10 }; /* of an answer's status line and headers together */

/* What became of a call, one row each: the result's `error`, what a person reads. */
#define FETCH_OUTCOME_TABLE(X)                                                                     \
    X(FETCH_ANSWERED, HERD_OK, "answered")                                                         \
    X(FETCH_NOT_RESOLVED, HERD_EIO, "the host's name could not be resolved")                       \
    X(FETCH_NOT_CONNECTED, HERD_EIO, "no connection to the host")                                  \
    X(FETCH_NOT_TRUSTED, HERD_EPROTO, "no TLS session with the host, or an invalid certificate")   \
    X(FETCH_TIMED_OUT, HERD_ETIMEDOUT, "no answer in time")                                        \
    X(FETCH_BROKEN, HERD_EPROTO, "the answer broke off or was not HTTP")                           \
    X(FETCH_TOO_LONG, HERD_ETOOLONG, "the answer was too long")                                    \
    X(FETCH_WITHOUT_MEMORY, HERD_ENOMEM, "out of memory")                                          \
    X(FETCH_CANCELED, HERD_ECANCELED, "cancelled")

enum fetch_outcome {
#define FETCH_OUTCOME_ENUM(name, error, text) name,
    FETCH_OUTCOME_TABLE(FETCH_OUTCOME_ENUM)
#undef FETCH_OUTCOME_ENUM
        FETCH_OUTCOME_COUNT
};

/* What `outcome` means, in English, without a full stop; static. */
const char *fetch_outcome_text(enum fetch_outcome outcome);

/* How a call ended. Borrowed: gone when the callback returns. */
struct fetch_result {
    int error; /* 0: an HTTP answer came whole, whatever its status; else a negative HERD_E… */
    enum fetch_outcome outcome;
    int http_status;        /* 0 without an answer */
    int64_t retry_after_ms; /* Retry-After of the answer; -1 without one */
    struct herd_slice body; /* empty unless error is 0 */
};

struct fetch_request {
    const char *url;            /* http or https */
    const char *const *headers; /* "Name: value" each, up to a NULL; NULL = none */
    bool post;                  /* with `body`; otherwise GET */
    struct herd_slice body;
};

struct fetch_options {
    struct uv_loop_s *loop;
    const char *ca_file; /* certificates to trust instead of the system's; NULL = the system's */
    int64_t connect_timeout_ms;
    int64_t total_timeout_ms; /* resolving, connecting and the whole answer */
    int64_t calls_max;        /* under way at once */
    int64_t body_max_bytes;   /* of an answer, after decompression */
};

struct fetch;
struct fetch_call;

typedef void fetch_done_cb(void *arg, const struct fetch_result *result);

/* 0 with *out, or HERD_ENOMEM / HERD_EIO (libcurl could not be initialised). Strings are copied.
 * End it with fetch_close. */
int fetch_new(const struct fetch_options *options, struct fetch **out);

/*
 * Starts a request. 0 with *out, which is valid until `done` has returned: `done` runs exactly
 * once, in a later turn of the loop. HERD_EBUSY when calls_max are under way, HERD_ECLOSED after
 * fetch_close, HERD_ENOMEM, HERD_EINVAL (libcurl refuses a part of the request): `done` does not
 * run. What the request points at is copied, by libcurl into secret memory (secret.h), if it was
 * not in use in this process before.
 */
int fetch_start(struct fetch *fetch, const struct fetch_request *request, fetch_done_cb *done,
                void *arg, struct fetch_call **out);

/* Ends a call early: `done` runs in a later turn, with HERD_ECANCELED. May be called again. */
void fetch_cancel(struct fetch_call *call);

/* Cancels all calls and closes everything; after the last `done`, and when nothing is left on the
 * loop, frees `fetch` and calls `closed`. Once. */
void fetch_close(struct fetch *fetch, void (*closed)(void *arg), void *arg);

/* Calls under way, those included whose `done` is still to run. */
size_t fetch_calls(const struct fetch *fetch);

#endif
