/* fetch_rig.h: a fetch on a loop of its own and those who ask it, for the tests of the bridge. */
#ifndef FETCH_RIG_H
#define FETCH_RIG_H

#include <uv.h>

#include <herd/err.h>

#include "places/fetch.h"
#include "standin.h"
#include "testing.h"

enum { PLENTY_MS = 60000, SHORT_MS = 300, CALLS_MAX = 8 };

/* One for all tests of a program: its stand-in stays, loop and fetch are made for each. */
struct fixture {
    struct standin standin;
    uv_loop_t loop;
    struct fetch *fetch;
    size_t fds;
    int closed;
};

/* A call, and what it is to do in its callback. */
struct asker {
    struct fixture *fixture;
    struct fetch_call *call;
    int done;
    bool in_starter;
    struct fetch_result result; /* its body is a copy, below */
    char *body;
    void (*then)(struct asker *asker);
    struct asker *other;
};

/* The setup and teardown of the program's tests. */
int fetch_rig_setup(void **state);
int fetch_rig_teardown(void **state);

/* Starts a request; its `done` must not run within. */
int try_start(struct fixture *fixture, struct asker *asker, const struct fetch_request *request);

/* Starts a question that the stand-in understands, to whom it may concern. */
void start(struct fixture *fixture, struct asker *asker, const char *origin);
void run_until_done(struct fixture *fixture, const struct asker *asker);

void open_fetch(struct fixture *fixture, const char *ca_file, int64_t total_timeout_ms);
void close_fetch(struct fixture *fixture);

/* For fetch_close, when a test calls it itself and then finish_loop. */
void on_closed(void *arg);

/* Runs the loop to its end after fetch_close: nothing is left, neither handle nor descriptor. */
void finish_loop(struct fixture *fixture);

/* It is done, once, so, and without a body on an error; frees the body. */
void assert_outcome(struct asker *asker, enum fetch_outcome outcome, int error);

#endif
