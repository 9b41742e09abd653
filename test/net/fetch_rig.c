#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "fetch_rig.h"

static void on_done(void *arg, const struct fetch_result *result)
{
    struct asker *asker = arg;
    assert_false(asker->in_starter);
    asker->done++;
    asker->result = *result;
    asker->body = strndup(result->body.len > 0 ? result->body.data : "", result->body.len);
    if (asker->then != NULL)
        asker->then(asker);
}

int try_start(struct fixture *fixture, struct asker *asker, const struct fetch_request *request)
{
    asker->fixture = fixture;
    asker->in_starter = true;
    int rc = fetch_start(fixture->fetch, request, on_done, asker, &asker->call);
    asker->in_starter = false;
    return rc;
}

void start(struct fixture *fixture, struct asker *asker, const char *origin)
{
    char url[300];
    snprintf(url, sizeof url,
             "%s/maps/api/place/nearbysearch/json?location=1.0,2.0&radius=1000&key=" STANDIN_KEY,
             origin);
    assert_int_equal(try_start(fixture, asker, &(struct fetch_request){.url = url}), 0);
}

void run_until_done(struct fixture *fixture, const struct asker *asker)
{
    while (asker->done == 0) {
        bool is_alive = uv_run(&fixture->loop, UV_RUN_ONCE) != 0;
        assert_true(is_alive || asker->done > 0);
    }
}

void open_fetch(struct fixture *fixture, const char *ca_file, int64_t total_timeout_ms)
{
    const struct fetch_options options = {
        .loop = &fixture->loop,
        .ca_file = ca_file,
        .connect_timeout_ms = total_timeout_ms,
        .total_timeout_ms = total_timeout_ms,
        .calls_max = CALLS_MAX,
        .body_max_bytes = 1 << 20,
    };
    fixture->closed = 0;
    fixture->fds = testing_count_fds();
    assert_int_equal(uv_loop_init(&fixture->loop), 0);
    assert_int_equal(fetch_new(&options, &fixture->fetch), 0);
}

void on_closed(void *arg)
{
    struct fixture *fixture = arg;
    fixture->closed++;
}

void finish_loop(struct fixture *fixture)
{
    assert_int_equal(uv_run(&fixture->loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(fixture->closed, 1);
    assert_int_equal(uv_loop_close(&fixture->loop), 0);
    assert_int_equal(testing_count_fds(), fixture->fds);
}

void close_fetch(struct fixture *fixture)
{
    fetch_close(fixture->fetch, on_closed, fixture);
    assert_int_equal(fixture->closed, 0);
    finish_loop(fixture);
}

void assert_outcome(struct asker *asker, enum fetch_outcome outcome, int error)
{
    assert_int_equal(asker->done, 1);
    assert_string_equal(fetch_outcome_text(asker->result.outcome), fetch_outcome_text(outcome));
    assert_int_equal(asker->result.error, error);
    if (error < 0)
        assert_int_equal(asker->result.body.len, 0);
    free(asker->body);
    asker->body = NULL;
}

/* libuv keeps a pipe of its own from the first loop on: it is no leak of ours. */
int fetch_rig_setup(void **state)
{
    signal(SIGPIPE, SIG_IGN);
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    assert_int_equal(uv_loop_init(&fixture->loop), 0);
    assert_int_equal(uv_loop_close(&fixture->loop), 0);
    standin_start(&fixture->standin, NULL, NULL);
    *state = fixture;
    return 0;
}

int fetch_rig_teardown(void **state)
{
    struct fixture *fixture = *state;
    standin_stop(&fixture->standin);
    free(fixture);
    return 0;
}
