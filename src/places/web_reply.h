/* web_reply.h: what an answer of a provider came to: places in the legacy shape, or why not. */
#ifndef PLACES_WEB_REPLY_H
#define PLACES_WEB_REPLY_H

#include <stdbool.h>

#include "places/provider.h"
#include "places/web_key.h"

enum {
    WEB_MESSAGE_MAX = 512,                              /* bytes that a client is shown */
    WEB_MESSAGE_RAW_MAX = WEB_MESSAGE_MAX + WEB_KEY_MAX /* with room for half a key */
};

struct web_reply {
    enum places_status status;
    struct places_answer *answer; /* owned; NULL unless status is OK or ZERO_RESULTS */
    bool is_quoted;               /* the message is in the provider's words, else in ours */
    struct places_failure failure;
    char message[WEB_MESSAGE_RAW_MAX + 1]; /* why not */
};

/* Makes the reply a failure. `message` is cut to WEB_MESSAGE_RAW_MAX bytes; the key may be in it
 * until web_reply_finish. */
void web_reply_fail(struct web_reply *reply, enum places_status status, const char *message);

/* A failure with a message of ours: "The places provider failed: <why>". */
void web_reply_fail_because(struct web_reply *reply, enum places_status status, const char *why);

/* Likewise for an answer that came whole and is none: it was paid for, and would come again. */
void web_reply_fail_malformed(struct web_reply *reply, const char *why);

/* Likewise: "The places provider failed: HTTP 503", with web_status_of_http's status. */
void web_reply_fail_http(struct web_reply *reply, int http_status);

/* Makes the reply an answer: OK with the first PLACES_RESULTS_MAX of `results`, an array of legacy
 * results (borrowed), or ZERO_RESULTS. */
struct json_t;
void web_reply_places(struct web_reply *reply, const struct json_t *results);

/* What a failed HTTP status means in Google's words. */
enum places_status web_status_of_http(int http_status);

/*
 * Gives the reply its answer, if it has none yet: a failure with its message, from which the key is
 * hidden and which is then cut to WEB_MESSAGE_MAX bytes (in this order: half a key would not be
 * found). The caller owns the answer; never NULL.
 */
struct places_answer *web_reply_finish(struct web_reply *reply, const struct web_key *key);

#endif
