/* google_client.h: what the two Google APIs share: key, address, calls under way, failures. */
#ifndef PLACES_GOOGLE_CLIENT_H
#define PLACES_GOOGLE_CLIENT_H

#include "places/fetch.h"
#include "places/google_key.h"
#include "places/google_reply.h"
#include "places/provider.h"

/* What a request is written from. */
struct google_settings {
    struct herd_buf origin; /* scheme, host and port, terminated */
    char language[17];      /* BCP 47: letters, digits, '-' */
    struct google_key key;
};

/* A request being written. What it holds is wiped once the call has started: the key is in it. */
struct google_request {
    struct herd_buf url;     /* terminated */
    struct herd_buf headers; /* "Name: value" NUL, one after the other */
    struct herd_buf body;
    bool post;
};

/* One of the two APIs: how it is asked, and how its answers are read. */
struct google_dialect {
    const struct provider_type *type;
    const char *origin; /* scheme and host of the API */
    /* 0 or HERD_ENOMEM. The radius is within 1..50,000 m, which both APIs take. */
    int (*write)(const struct google_settings *settings, const struct places_query *query,
                 struct google_request *out);
    /* Reads an HTTP answer that came whole, whatever it says, into a zeroed reply. */
    void (*read)(const struct fetch_result *result, struct google_reply *out);
};

/* The functions of struct provider_type, the first one with its dialect besides. */
int google_client_open(const struct google_dialect *dialect, const struct places_options *options,
                       struct provider **out, struct herd_buf *error);
int google_client_ask(struct provider *provider, const struct places_query *query,
                      places_done_cb *done, void *arg, struct places_call **out);
void google_client_cancel(struct places_call *call);
void google_client_close(struct provider *provider, void (*closed)(void *arg), void *arg);

#endif
