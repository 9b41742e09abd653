/* The bridge between libcurl and the loop: calls that are answered, cancelled, refused, closed. */
#include <stdio.h>
#include <stdlib.h>

#include <jansson.h>

#include "fetch_rig.h"

static void test_answer(void **state)
{
    struct fixture *fixture = *state;
    struct asker asker = {0};
    standin_behave(&fixture->standin, "normal");
    open_fetch(fixture, NULL, PLENTY_MS);
    start(fixture, &asker, fixture->standin.origin);
    assert_int_equal(fetch_calls(fixture->fetch), 1);
    run_until_done(fixture, &asker);
    assert_int_equal(fetch_calls(fixture->fetch), 0);
    close_fetch(fixture);
    assert_contains(asker.body, "Juniper Hall");
    assert_int_equal(asker.result.http_status, 200);
    assert_int_equal(asker.result.retry_after_ms, -1);
    assert_outcome(&asker, FETCH_ANSWERED, 0);
    assert_standin_content(&fixture->standin);
}

static void test_failed_status(void **state)
{
    struct fixture *fixture = *state;
    struct asker asker = {0};
    standin_behave(&fixture->standin, "http:429");
    open_fetch(fixture, NULL, PLENTY_MS);
    start(fixture, &asker, fixture->standin.origin);
    run_until_done(fixture, &asker);
    close_fetch(fixture);
    assert_contains(asker.body, "RESOURCE_EXHAUSTED");
    assert_int_equal(asker.result.http_status, 429);
    assert_int_equal(asker.result.retry_after_ms, 41000);
    assert_outcome(&asker, FETCH_ANSWERED, 0);
}

/* "At once" is something else than nothing, and so is a date that is over; nonsense is nothing. */
static void test_retry_after(void **state)
{
    static const struct {
        const char *behaviour;
        int64_t ms;
    } rows[] = {
        {"http:429:", -1},     {"http:429:0", 0},    {"http:429:Thu, 01 Jan 1998 00:00:00 GMT", 0},
        {"http:429:soon", -1}, {"http:503:7", 7000}, {"http:503:9999999", 86400000},
    };
    struct fixture *fixture = *state;
    open_fetch(fixture, NULL, PLENTY_MS);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct asker asker = {0};
        standin_behave(&fixture->standin, rows[i].behaviour);
        start(fixture, &asker, fixture->standin.origin);
        run_until_done(fixture, &asker);
        assert_int_equal(asker.result.retry_after_ms, rows[i].ms);
        free(asker.body);
    }
    close_fetch(fixture);
}

/* What is sent: the headers asked for and our own, the body byte for byte, nothing of the
 * environment's. */
static void test_request(void **state)
{
    struct fixture *fixture = *state;
    struct asker asker = {0};
    char url[100];
    static const char *const headers[] = {"Content-Type: text/x", "X-One: 1", NULL};
    snprintf(url, sizeof url, "%s/v1/x", fixture->standin.origin);
    standin_behave(&fixture->standin, "normal");
    open_fetch(fixture, NULL, PLENTY_MS);
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    assert_int_equal(try_start(fixture, &asker,
                               &(struct fetch_request){.url = url,
                                                       .headers = headers,
                                                       .post = true,
                                                       .body = herd_slice("a\nb\xc3\xa9", 5)}),
                     0);
    run_until_done(fixture, &asker);
    unsetenv("http_proxy");
    close_fetch(fixture);
    assert_outcome(&asker, FETCH_ANSWERED, 0);
    json_t *stats = standin_stats(&fixture->standin);
    const json_t *last = json_object_get(stats, "last");
    const json_t *sent = json_object_get(last, "headers");
    assert_string_equal(json_string_value(json_object_get(last, "method")), "POST");
    assert_string_equal(json_string_value(json_object_get(last, "target")), "/v1/x");
    assert_string_equal(json_string_value(json_object_get(last, "body")), "a\nbé");
    assert_string_equal(json_string_value(json_object_get(sent, "content-type")), "text/x");
    assert_string_equal(json_string_value(json_object_get(sent, "x-one")), "1");
    assert_string_equal(json_string_value(json_object_get(sent, "accept-encoding")), "gzip");
    assert_contains(json_string_value(json_object_get(sent, "user-agent")), "herd/");
    json_decref(stats);
}

static void test_connections_are_kept(void **state)
{
    struct fixture *fixture = *state;
    standin_behave(&fixture->standin, "normal");
    open_fetch(fixture, NULL, PLENTY_MS);
    for (int turn = 0; turn < 3; turn++) {
        struct asker askers[CALLS_MAX] = {0};
        for (size_t i = 0; i < CALLS_MAX; i++)
            start(fixture, &askers[i], fixture->standin.origin);
        for (size_t i = 0; i < CALLS_MAX; i++) {
            run_until_done(fixture, &askers[i]);
            assert_outcome(&askers[i], FETCH_ANSWERED, 0);
        }
    }
    assert_true(standin_count(&fixture->standin, "connections") <= CALLS_MAX);
    assert_int_equal(standin_count(&fixture->standin, "requests"), 3 * CALLS_MAX);
    close_fetch(fixture);
}

static void test_busy(void **state)
{
    struct fixture *fixture = *state;
    struct asker askers[CALLS_MAX] = {0}, one_more = {0};
    standin_behave(&fixture->standin, "hang");
    open_fetch(fixture, NULL, PLENTY_MS);
    for (size_t i = 0; i < CALLS_MAX; i++)
        start(fixture, &askers[i], fixture->standin.origin);
    const struct fetch_request request = {.url = fixture->standin.origin};
    assert_int_equal(try_start(fixture, &one_more, &request), HERD_EBUSY);
    fetch_cancel(askers[3].call);
    assert_int_equal(try_start(fixture, &one_more, &request), HERD_EBUSY);
    run_until_done(fixture, &askers[3]);
    assert_int_equal(try_start(fixture, &one_more, &request), 0);
    close_fetch(fixture);
    for (size_t i = 0; i < CALLS_MAX; i++)
        assert_outcome(&askers[i], FETCH_CANCELED, HERD_ECANCELED);
    assert_outcome(&one_more, FETCH_CANCELED, HERD_ECANCELED);
}

static void test_timeout(void **state)
{
    struct fixture *fixture = *state;
    struct asker asker = {0};
    standin_behave(&fixture->standin, "hang");
    open_fetch(fixture, NULL, SHORT_MS);
    start(fixture, &asker, fixture->standin.origin);
    run_until_done(fixture, &asker);
    close_fetch(fixture);
    assert_outcome(&asker, FETCH_TIMED_OUT, HERD_ETIMEDOUT);
}

static void test_cancel(void **state)
{
    struct fixture *fixture = *state;
    struct asker asker = {0};
    standin_behave(&fixture->standin, "hang");
    open_fetch(fixture, NULL, PLENTY_MS);
    start(fixture, &asker, fixture->standin.origin);
    while (standin_count(&fixture->standin, "requests") == 0)
        uv_run(&fixture->loop, UV_RUN_NOWAIT);
    fetch_cancel(asker.call);
    fetch_cancel(asker.call);
    assert_int_equal(asker.done, 0);
    run_until_done(fixture, &asker);
    close_fetch(fixture);
    assert_outcome(&asker, FETCH_CANCELED, HERD_ECANCELED);
}

/* Before libcurl has had a turn. */
static void test_cancel_at_once(void **state)
{
    struct fixture *fixture = *state;
    struct asker asker = {0};
    open_fetch(fixture, NULL, PLENTY_MS);
    start(fixture, &asker, fixture->standin.origin);
    fetch_cancel(asker.call);
    assert_int_equal(asker.done, 0);
    close_fetch(fixture);
    assert_outcome(&asker, FETCH_CANCELED, HERD_ECANCELED);
}

static void then_cancel_both(struct asker *asker)
{
    fetch_cancel(asker->call); /* itself: nothing to do */
    fetch_cancel(asker->other->call);
    assert_int_equal(asker->other->done, 0);
}

static void test_cancel_in_a_callback(void **state)
{
    struct fixture *fixture = *state;
    struct asker hanging = {0};
    struct asker asker = {.then = then_cancel_both, .other = &hanging};
    struct asker last = {.then = then_cancel_both};
    standin_behave_at_radius(&fixture->standin, "hang", 1000, "normal");
    open_fetch(fixture, NULL, PLENTY_MS);
    char url[100];
    snprintf(url, sizeof url, "%s/v1/x", fixture->standin.origin);
    assert_int_equal(try_start(fixture, &hanging, &(struct fetch_request){.url = url}), 0);
    start(fixture, &asker, fixture->standin.origin);
    run_until_done(fixture, &hanging);
    assert_outcome(&asker, FETCH_ANSWERED, 0);
    assert_outcome(&hanging, FETCH_CANCELED, HERD_ECANCELED);
    /* … and in the callback of one that was cancelled itself */
    hanging = (struct asker){0};
    last.other = &hanging;
    assert_int_equal(try_start(fixture, &hanging, &(struct fetch_request){.url = url}), 0);
    assert_int_equal(try_start(fixture, &last, &(struct fetch_request){.url = url}), 0);
    fetch_cancel(last.call);
    run_until_done(fixture, &hanging);
    close_fetch(fixture);
    assert_outcome(&last, FETCH_CANCELED, HERD_ECANCELED);
    assert_outcome(&hanging, FETCH_CANCELED, HERD_ECANCELED);
}

static void then_start_another(struct asker *asker)
{
    start(asker->fixture, asker->other, asker->fixture->standin.origin);
}

static void test_start_in_a_callback(void **state)
{
    struct fixture *fixture = *state;
    struct asker second = {0};
    struct asker first = {.then = then_start_another, .other = &second};
    standin_behave(&fixture->standin, "normal");
    open_fetch(fixture, NULL, PLENTY_MS);
    start(fixture, &first, fixture->standin.origin);
    run_until_done(fixture, &second);
    close_fetch(fixture);
    assert_outcome(&first, FETCH_ANSWERED, 0);
    assert_outcome(&second, FETCH_ANSWERED, 0);
    assert_int_equal(standin_count(&fixture->standin, "connections"), 1);
}

static void then_close(struct asker *asker)
{
    struct fixture *fixture = asker->fixture;
    fetch_close(fixture->fetch, on_closed, fixture);
    assert_int_equal(fixture->closed, 0);
    const struct fetch_request request = {.url = fixture->standin.origin};
    struct asker late = {0};
    assert_int_equal(try_start(fixture, &late, &request), HERD_ECLOSED);
}

static void test_close_in_a_callback(void **state)
{
    struct fixture *fixture = *state;
    struct asker closer = {.then = then_close}, hanging = {0}, cancelled = {0};
    standin_behave_at_radius(&fixture->standin, "hang", 1000, "normal");
    open_fetch(fixture, NULL, PLENTY_MS);
    char url[100];
    snprintf(url, sizeof url, "%s/v1/x", fixture->standin.origin);
    assert_int_equal(try_start(fixture, &hanging, &(struct fetch_request){.url = url}), 0);
    start(fixture, &closer, fixture->standin.origin);
    run_until_done(fixture, &closer);
    finish_loop(fixture);
    assert_outcome(&closer, FETCH_ANSWERED, 0);
    assert_outcome(&hanging, FETCH_CANCELED, HERD_ECANCELED);
    /* … and in the callback of one that was cancelled */
    closer = (struct asker){.then = then_close};
    hanging = (struct asker){0};
    open_fetch(fixture, NULL, PLENTY_MS);
    start(fixture, &closer, fixture->standin.origin);
    start(fixture, &cancelled, fixture->standin.origin);
    start(fixture, &hanging, fixture->standin.origin);
    fetch_cancel(closer.call);
    fetch_cancel(cancelled.call);
    run_until_done(fixture, &closer);
    finish_loop(fixture);
    assert_outcome(&closer, FETCH_CANCELED, HERD_ECANCELED);
    assert_outcome(&cancelled, FETCH_CANCELED, HERD_ECANCELED);
    assert_outcome(&hanging, FETCH_CANCELED, HERD_ECANCELED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answer),
        cmocka_unit_test(test_failed_status),
        cmocka_unit_test(test_retry_after),
        cmocka_unit_test(test_request),
        cmocka_unit_test(test_connections_are_kept),
        cmocka_unit_test(test_busy),
        cmocka_unit_test(test_timeout),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_cancel_at_once),
        cmocka_unit_test(test_cancel_in_a_callback),
        cmocka_unit_test(test_start_in_a_callback),
        cmocka_unit_test(test_close_in_a_callback),
    };
    return cmocka_run_group_tests(tests, fetch_rig_setup, fetch_rig_teardown);
}
