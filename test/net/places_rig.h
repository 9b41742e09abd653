/* places_rig.h: a provider on a loop of its own, its stand-in, and those who ask it. */
#ifndef PLACES_RIG_H
#define PLACES_RIG_H

#include <jansson.h>
#include <uv.h>

#include <herd/err.h>

#include "places/google.h"
#include "places/overpass.h"
#include "standin.h"
#include "testing.h"

enum {
    PLENTY_MS = 60000, /* for what is to succeed, on a busy machine too */
    SHORT_MS = 400,    /* for what is to time out */
    SLACK_MS = 20000,  /* how late a busy machine may be */
    CALLS_MAX = 32
};

static const struct places_query ucla = {34.06893, -118.445127, 10000};

/* One for all tests of a program: stand-in and key stay, loop and provider are made for each. */
struct fixture {
    struct standin standin;
    char *folder, *key_file;
    uv_loop_t loop;
    struct provider *provider;
    size_t fds;
    int closed;
};

struct asker {
    struct places_call *call;
    int done;
    bool in_ask;
    json_t *answer; /* as it was rendered */
    enum places_status status;
};

/* The setup and teardown of the program's tests. */
int places_rig_setup(void **state);
int places_rig_teardown(void **state);

struct places_options options_of(struct fixture *fixture, int64_t total_timeout_ms);
void open_with(struct fixture *fixture, const struct provider_type *type,
               const struct places_options *options);
void open_provider(struct fixture *fixture, const struct provider_type *type,
                   int64_t total_timeout_ms);

/* Closes it and ends the loop: nothing is left, neither handle nor descriptor. */
void close_provider(struct fixture *fixture);

/* Asks; `done` must not run within. */
int try_ask(struct fixture *fixture, struct asker *asker, const struct places_query *query);
void ask(struct fixture *fixture, struct asker *asker, const struct places_query *query);
void run_until_done(struct fixture *fixture, const struct asker *asker);

/* Asks once and closes: the answer's JSON. Free with json_decref. */
json_t *ask_once(struct fixture *fixture, const struct provider_type *type,
                 const struct places_query *query, int64_t total_timeout_ms);

/* The string of that name, or "". */
const char *text_of(const json_t *object, const char *name);

/* That status, that many results, and on errors a message with that part in it. */
void assert_answer(const json_t *answer, const char *status, size_t count,
                   const char *message_part);

#endif
