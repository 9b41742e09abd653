/* web_client.h: what the providers over HTTP share: key, address, calls under way, failures. */
#ifndef PLACES_WEB_CLIENT_H
#define PLACES_WEB_CLIENT_H

#include "places/fetch.h"
#include "places/provider.h"
#include "places/web_key.h"
#include "places/web_reply.h"

/* What a request is written from. */
struct web_settings {
    struct herd_buf origin; /* scheme, host and port, terminated */
    struct herd_buf mask;   /* of fields, a whole header, terminated; empty: there is none */
    char language[17];      /* BCP 47: letters, digits, '-' */
    int64_t total_timeout_ms;
    int64_t json_depth_max; /* of an answer */
    struct web_key key;     /* all zero: there is none */
};

/* A request being written. What it holds is wiped once the call has started: the key is in it. */
struct web_request {
    struct herd_buf url;     /* terminated */
    struct herd_buf headers; /* "Name: value" NUL, one after the other */
    struct herd_buf body;
    bool post;
};

/* One API: how it is asked, and how its answers are read. */
struct web_dialect {
    const struct provider_type *type;
    const char *origin; /* scheme and host of the API */
    bool needs_key;
    /* What the API has of its own in the options: NULL, or 0 or a negative HERD_E… with a sentence
     * appended to `error`. */
    int (*configure)(const struct places_options *options, struct web_settings *settings,
                     struct herd_buf *error);
    /* 0 or HERD_ENOMEM. The radius is within 1..50,000 m, which all of them take. */
    int (*write)(const struct web_settings *settings, const struct places_query *query,
                 struct web_request *out);
    /* Reads an HTTP answer that came whole, whatever it says, into a zeroed reply. May run in
     * another thread, when the answer is long. */
    void (*read)(const struct web_settings *settings, const struct places_query *query,
                 const struct fetch_result *result, struct web_reply *out);
};

/* The functions of struct provider_type, the first one with its dialect besides. */
int web_client_open(const struct web_dialect *dialect, const struct places_options *options,
                    struct provider **out, struct herd_buf *error);
int web_client_ask(struct provider *provider, const struct places_query *query,
                   places_done_cb *done, void *arg, struct places_call **out);
void web_client_cancel(struct places_call *call);
void web_client_close(struct provider *provider, void (*closed)(void *arg), void *arg);

#endif
