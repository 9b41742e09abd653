/* provider.h: what a source of places looks like to the rest of the server, and the answer they all
 * give. */
#ifndef PLACES_PROVIDER_H
#define PLACES_PROVIDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <herd/buf.h>

struct uv_loop_s;
struct log;
struct metrics;

enum {
    PLACES_RESULTS_MAX = 20,
    /* Questions that are over are kept for the next ones, so many of each kind: those that 64
     * connections may ask in a turn of the loop. */
    PLACES_SPARES_MAX = 4096
};

/* Google's words for how a call ended (docs/protocol.md). */
enum places_status {
    PLACES_OK,
    PLACES_ZERO_RESULTS,
    PLACES_INVALID_REQUEST,
    PLACES_OVER_QUERY_LIMIT,
    PLACES_REQUEST_DENIED,
    PLACES_UNKNOWN_ERROR
};

const char *places_status_name(enum places_status status);

/* Where to look: degrees, and metres (0..50,000). Always for PLACES_RESULTS_MAX places, nearest
 * first where the provider can. */
struct places_query {
    double latitude, longitude;
    double radius_m;
};

/*
 * An answer: immutable once given to a callback, counted by references so that several askers may
 * share it. Each result is one JSON object rendered once, indented to its place in the answer;
 * cutting to count is then a matter of appending fewer of them. One thread at a time: the one that
 * made it hands it over whole.
 */
struct places_answer;

/* Never NULL: without memory it is one shared answer, UNKNOWN_ERROR "out of memory". */
struct places_answer *places_answer_new(enum places_status status);

/* UNKNOWN_ERROR, with a message of its own. Never NULL. */
struct places_answer *places_answer_unknown(const char *message);

/* Errors of ours that many questions may come to while nobody reads the answers: each is one answer
 * that all share and that takes no memory. */
enum places_error {
    PLACES_ERROR_QUESTIONS,        /* too many are waiting */
    PLACES_ERROR_CLIENT_QUESTIONS, /* … of this client */
    PLACES_ERROR_DAY,              /* the calls of the day are used up, */
    PLACES_ERROR_DAY_UNCOUNTED,    /* or cannot be written down */
    PLACES_ERROR_DOWN,             /* the circuit is open */
    PLACES_ERROR_LATE,             /* no answer in time, */
    PLACES_ERROR_NO_CALL,          /* or not even a call */
    PLACES_ERROR_STOP,             /* of the server */
    PLACES_ERROR_UNREAD,           /* the client does not read */
    PLACES_ERROR_BEHIND,           /* too much waits for the answers to earlier questions */
    PLACES_ERROR_OFF_EARTH,        /* location or radius */
};

struct places_answer *places_answer_error(enum places_error which);
/* No places, shared in the same way: OK where none were asked for (`is_found`), or ZERO_RESULTS. */
struct places_answer *places_answer_none(bool is_found);

/*
 * These fill in a new answer. 0, or HERD_ENOMEM: the answer is then UNKNOWN_ERROR "out of memory"
 * for good, so that a caller may go on and hand it over without looking at every result.
 * Bytes of `message` and `html` that are not UTF-8 become question marks.
 */
int places_answer_set_error(struct places_answer *answer, const char *message);
/* Besides, HERD_EINVAL when all attributions come to more than 64 KiB: nothing is added. An empty
 * one is none. */
int places_answer_add_attribution(struct places_answer *answer, const char *html);

/* The same for one that is rendered already. */
int places_answer_add_rendered_attribution(struct places_answer *answer, struct herd_slice html);

/* Appends `html` as it is to stand in an answer; nothing for an empty one. 0, HERD_ENOMEM, or
 * HERD_EINVAL when it is longer than all attributions of an answer may be; then a part of it is
 * there. */
int places_answer_render_attribution(const char *html, struct herd_buf *out);

/* `object` is one result as jansson holds it (struct json_t, borrowed). Besides, HERD_EFULL at
 * PLACES_RESULTS_MAX results and HERD_EINVAL when it is not an object, or one that is longer than
 * any place's when it is rendered: nothing is added. */
struct json_t;
int places_answer_add_result(struct places_answer *answer, const struct json_t *object);

/* The same for an object that is appended by a function, as it is to stand in the answer: indented
 * by 3 spaces a level, its own level being the second, the first line not indented. The function's
 * failure is given back, and nothing is added. */
typedef int places_append_cb(void *arg, struct herd_buf *out);
int places_answer_append_result(struct places_answer *answer, places_append_cb *append, void *arg);

/* The same for an object that is rendered already. */
int places_answer_add_rendered(struct places_answer *answer, struct herd_slice object);

struct places_answer *places_answer_ref(struct places_answer *answer);
void places_answer_unref(struct places_answer *answer); /* NULL is allowed */
enum places_status places_answer_status(const struct places_answer *answer);
size_t places_answer_count(const struct places_answer *answer);
/* Whether it has results or attributions; one that has not is a few hundred bytes, 4 KiB at most. */
bool places_answer_is_long(const struct places_answer *answer);
/* What it takes in memory, roughly. Results have 64 KiB each at most, all attributions as much. */
enum { PLACES_ANSWER_MAX_BYTES = (PLACES_RESULTS_MAX + 1) * (64 << 10) };
size_t places_answer_bytes(const struct places_answer *answer);

/* For an answer that is to wait: gives back what its texts do not need. One that others have a
 * reference to, or that is kept, stays as it is. */
void places_answer_trim(struct places_answer *answer);

/*
 * One reference is kept for a client: what the answer takes, if it is long, is added to *total while
 * there is any such, once however many there are. `total` is the same for all answers, and outlives them.
 */
void places_answer_keep(struct places_answer *answer, size_t *total);
bool places_answer_is_kept(const struct places_answer *answer);
/* Gives up a reference that is kept. */
void places_answer_let_go(struct places_answer *answer);

/*
 * What a provider knows of a failure besides its status: how long it wants to be left alone (-1: it
 * did not say), and whether asking once more would only cost another call.
 */
struct places_failure {
    int64_t retry_after_ms;
    bool is_final;
};

/* Only for a new answer. */
void places_answer_set_failure(struct places_answer *answer, struct places_failure failure);
struct places_failure places_answer_failure(const struct places_answer *answer);

/*
 * Appends the JSON object of protocol.md section 2 (html_attributions, results cut to `count`,
 * status, error_message on errors), indented by 3 spaces, without a blank line inside, ending with
 * LF LF. 0, or HERD_ENOMEM with `out` unchanged.
 */
int places_answer_render(const struct places_answer *answer, size_t count, struct herd_buf *out);
/* Bytes that it appends. */
size_t places_answer_length(const struct places_answer *answer, size_t count);

/* What all providers are opened with; strings are copied where they are kept. */
struct places_options {
    struct uv_loop_s *loop;
    struct log *log;
    struct metrics *metrics;
    const char *base_url;  /* "" = the provider's own */
    const char *key_file;  /* "" = none */
    const char *ca_file;   /* certificates to trust; "" = the system's */
    const char *data_file; /* "" = the installed one */
    const char *language;
    const char *price_class;  /* "pro", "enterprise" */
    const char *field_mask;   /* "" = that of the price class */
    int64_t memory_max_bytes; /* of places held in memory */
    int64_t connect_timeout_ms, total_timeout_ms;
    int64_t calls_max;
    int64_t body_max_bytes; /* of an answer over the network */
    int64_t json_depth_max; /* in it */
};

/* An open provider. Each provider's own struct begins with one. */
struct provider {
    const struct provider_type *type;
};

/* One question under way. Each provider's own struct begins with one. */
struct places_call {
    struct provider *provider;
};

/* Called exactly once for each call, never inside provider_ask; `answer` is owned by the callee
 * (one reference). Never NULL. */
typedef void places_done_cb(void *arg, struct places_answer *take_answer);

/* How an open_later ended: NULL, or the sentence that says what is wrong. */
typedef void provider_opened_cb(void *arg, const char *error);

struct provider_type {
    const char *name; /* as in herd.conf */
    bool is_remote;   /* a call costs something, so the broker decides on it */
    bool is_billed;   /* and that is money */
    bool may_keep;    /* its terms allow to keep answers */
    /* Opens. 0, or a negative HERD_E… with a sentence appended to `error` that says what is wrong
     * and what would be right. */
    int (*open)(const struct places_options *options, struct provider **out,
                struct herd_buf *error);
    /* The same on a loop that runs: what may wait for a disk is done in a thread. `opened` runs
     * once, later, unless it is closed before, and nobody asks until then. NULL: `open` waits for
     * no disk. */
    int (*open_later)(const struct places_options *options, provider_opened_cb *opened, void *arg,
                      struct provider **out, struct herd_buf *error);
    /* Starts a call. 0 with *out, which is valid until `done` ran, or HERD_ENOMEM, HERD_EBUSY (too
     * many are under way) or HERD_EINVAL (not on the earth), and `done` is not called. */
    int (*ask)(struct provider *provider, const struct places_query *query, places_done_cb *done,
               void *arg, struct places_call **out);
    /* Ends a call early: `done` still runs, once, later, with UNKNOWN_ERROR. */
    void (*cancel)(struct places_call *call);
    /* A call has so long from now, or less: what is left of another provider's time. NULL: it is no
     * fallback. */
    void (*limit)(struct places_call *call, int64_t within_ms);
    /* A reload with the same data_file: takes the other options, and looks in a thread whether what
     * it reads from has changed. NULL: it is opened anew. */
    void (*refresh)(struct provider *provider, const struct places_options *options);
    /* The server stops: all is answered within so long, what is asked later too. NULL: only the
     * broker asks, and cancels what takes too long. */
    void (*hurry)(struct provider *provider, int64_t within_ms);
    /* As herd_node_give_back; NULL: nothing is kept. */
    size_t (*give_back)(struct provider *provider, size_t *kept_bytes);
    /* Cancels all calls, then closes handles; `closed` runs once nothing is left on the loop. */
    void (*close)(struct provider *provider, void (*closed)(void *arg), void *arg);
};

/*
 * What tells one provider from another, as a text for free(): who is asked and trusted, and what
 * for (base_url, ca_file, language, price_class, field_mask). An answer, a failure or a pause of
 * one says nothing of another. Key, times and limits are not part of it: they change no answer.
 * NULL when memory is short.
 */
char *provider_identity(const struct provider_type *type, const struct places_options *options);

/* The provider of that name in the table (local, google, google-legacy, overpass), or NULL. */
const struct provider_type *provider_find(const char *name);
/* Names in the table: i = 0, 1, … until NULL. */
const char *provider_name(size_t i);

#endif
