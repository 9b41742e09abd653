/* The providers google and google-legacy: opening, many calls at once, closing, what is logged. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/log.h"
#include "places_rig.h"

enum { TICK_MS = 10 };

/* The APIs refuse a radius of 0 and clamp above 50 km: neither gets there. */
static void test_radius(void **state)
{
    struct fixture *fixture = *state;
    static const struct {
        double radius_m;
        const char *in_body, *in_target;
    } cases[] = {
        {0, "\"radius\":1.0}", "&radius=1&"},
        {0.4, "\"radius\":1.0}", "&radius=1&"},
        {1609.344, "\"radius\":1609.344}", "&radius=1609&"},
        {50000, "\"radius\":50000.0}", "&radius=50000&"},
        {60000, "\"radius\":50000.0}", "&radius=50000&"},
        {(double)INFINITY, "\"radius\":50000.0}", "&radius=50000&"},
    };
    standin_behave(&fixture->standin, "normal");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct places_query query = {-12.5, 179.9999, cases[i].radius_m};
        json_decref(ask_once(fixture, &provider_google, &query, PLENTY_MS));
        json_t *stats = standin_stats(&fixture->standin);
        assert_contains(text_of(json_object_get(stats, "last"), "body"), cases[i].in_body);
        assert_contains(text_of(json_object_get(stats, "last"), "body"), "\"languageCode\":\"en\"");
        json_decref(stats);
        json_decref(ask_once(fixture, &provider_google_legacy, &query, PLENTY_MS));
        stats = standin_stats(&fixture->standin);
        assert_contains(text_of(json_object_get(stats, "last"), "target"), cases[i].in_target);
        assert_contains(text_of(json_object_get(stats, "last"), "target"), "&language=en&");
        json_decref(stats);
    }
    assert_standin_content(&fixture->standin);
}

static void test_no_query(void **state)
{
    struct fixture *fixture = *state;
    static const struct places_query queries[] = {
        {(double)NAN, 0, 1}, {0, (double)NAN, 1}, {0, 0, (double)NAN},
        {90.1, 0, 1},        {0, -180.1, 1},      {0, 0, -1},
    };
    struct asker asker = {0};
    open_provider(fixture, &provider_google, PLENTY_MS);
    for (size_t i = 0; i < sizeof queries / sizeof queries[0]; i++)
        assert_int_equal(try_ask(fixture, &asker, &queries[i]), HERD_EINVAL);
    close_provider(fixture);
    assert_int_equal(asker.done, 0);
}

static uint64_t cpu_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

struct ticker {
    uv_timer_t timer;
    uint64_t last_ns, longest_ns;
    uint64_t last_cpu_ns, longest_cpu_ns; /* of this thread: what others took is not in it */
    size_t ticks;
};

static void on_tick(uv_timer_t *timer)
{
    struct ticker *ticker = timer->data;
    uint64_t now_ns = uv_hrtime(), now_cpu_ns = cpu_ns();
    if (now_ns - ticker->last_ns > ticker->longest_ns)
        ticker->longest_ns = now_ns - ticker->last_ns;
    if (now_cpu_ns - ticker->last_cpu_ns > ticker->longest_cpu_ns)
        ticker->longest_cpu_ns = now_cpu_ns - ticker->last_cpu_ns;
    ticker->last_ns = now_ns;
    ticker->last_cpu_ns = now_cpu_ns;
    ticker->ticks++;
}

static void start_ticking(struct fixture *fixture, struct ticker *ticker)
{
    *ticker = (struct ticker){.last_ns = uv_hrtime(), .last_cpu_ns = cpu_ns()};
    assert_int_equal(uv_timer_init(&fixture->loop, &ticker->timer), 0);
    ticker->timer.data = ticker;
    assert_int_equal(uv_timer_start(&ticker->timer, on_tick, TICK_MS, TICK_MS), 0);
}

/* While one call hangs the others are answered, and the loop goes on turning. How late it was is
 * told, not judged: the machine may be busy with something else. */
static void test_one_hangs(void **state)
{
    struct fixture *fixture = *state;
    struct asker hanging = {0}, askers[CALLS_MAX - 1] = {0};
    struct ticker ticker;
    const struct places_query elsewhere = {34.06893, -118.445127, 777};
    standin_behave_at_radius(&fixture->standin, "late:50", 777, "hang");
    open_provider(fixture, &provider_google, 2000);
    ask(fixture, &hanging, &elsewhere);
    for (size_t i = 0; i < CALLS_MAX - 1; i++)
        ask(fixture, &askers[i], &ucla);
    start_ticking(fixture, &ticker);
    run_until_done(fixture, &hanging);
    print_message("%zu ticks of %d ms; the longest %.1f ms, %.1f ms of CPU\n", ticker.ticks,
                  TICK_MS, (double)ticker.longest_ns / 1e6, (double)ticker.longest_cpu_ns / 1e6);
    uv_close((uv_handle_t *)&ticker.timer, NULL);
    close_provider(fixture);
    assert_int_equal(hanging.status, PLACES_UNKNOWN_ERROR);
    assert_true(ticker.ticks > 0);
    json_decref(hanging.answer);
    for (size_t i = 0; i < CALLS_MAX - 1; i++) {
        assert_int_equal(askers[i].done, 1);
        json_decref(askers[i].answer);
    }
    assert_true(standin_count(&fixture->standin, "open_max") <= CALLS_MAX);
}

static void test_calls_max(void **state)
{
    struct fixture *fixture = *state;
    struct asker askers[CALLS_MAX] = {0}, one_more = {0};
    standin_behave(&fixture->standin, "hang");
    open_provider(fixture, &provider_google_legacy, PLENTY_MS);
    for (size_t i = 0; i < CALLS_MAX; i++)
        ask(fixture, &askers[i], &ucla);
    assert_int_equal(try_ask(fixture, &one_more, &ucla), HERD_EBUSY);
    askers[7].call->provider->type->cancel(askers[7].call);
    assert_int_equal(askers[7].done, 0);
    run_until_done(fixture, &askers[7]);
    assert_answer(askers[7].answer, "UNKNOWN_ERROR", 0, "cancelled");
    ask(fixture, &one_more, &ucla);
    close_provider(fixture); /* with all of them under way */
    for (size_t i = 0; i < CALLS_MAX; i++) {
        assert_int_equal(askers[i].done, 1);
        assert_answer(askers[i].answer, "UNKNOWN_ERROR", 0, "cancelled");
        json_decref(askers[i].answer);
    }
    assert_int_equal(one_more.done, 1);
    json_decref(one_more.answer);
}

/* A connection that the host has closed meanwhile is no answer's end. */
static void test_connections_come_and_go(void **state)
{
    struct fixture *fixture = *state;
    static const char *const behaviours[] = {"normal",      "normal", "http10",  "normal",
                                             "reset_after", "normal", "garbage", "normal"};
    open_provider(fixture, &provider_google, PLENTY_MS);
    for (size_t i = 0; i < sizeof behaviours / sizeof behaviours[0]; i++) {
        struct asker asker = {0};
        standin_behave(&fixture->standin, behaviours[i]);
        ask(fixture, &asker, &ucla);
        run_until_done(fixture, &asker);
        bool is_well = strcmp(behaviours[i], "garbage") != 0;
        assert_int_equal(asker.status, is_well ? PLACES_OK : PLACES_UNKNOWN_ERROR);
        json_decref(asker.answer);
    }
    close_provider(fixture);
}

static void test_certificate(void **state)
{
    struct fixture *fixture = *state;
    struct standin plain = fixture->standin;
    char *folder = testing_make_folder();
    standin_start(&fixture->standin, folder, "IP:127.0.0.1");
    json_t *answer = ask_once(fixture, &provider_google, &ucla, PLENTY_MS);
    assert_answer(answer, "UNKNOWN_ERROR", 0, "certificate");
    assert_int_equal(standin_count(&fixture->standin, "requests"), 0);
    json_decref(answer);
    standin_stop(&fixture->standin);
    testing_remove_folder(folder);
    fixture->standin = plain;
}

static void assert_not_opened(struct fixture *fixture, struct places_options options, int error,
                              const char *part)
{
    static const struct provider_type *const types[] = {&provider_google, &provider_google_legacy};
    for (size_t i = 0; i < 2; i++) {
        struct herd_buf sentence = {0};
        assert_int_equal(uv_loop_init(&fixture->loop), 0);
        options.loop = &fixture->loop;
        assert_int_equal(types[i]->open(&options, &fixture->provider, &sentence), error);
        assert_int_equal(uv_loop_close(&fixture->loop), 0);
        char *text = testing_take_text(&sentence);
        assert_contains(text, part);
        free(text);
    }
}

static void test_not_opened(void **state)
{
    struct fixture *fixture = *state;
    struct places_options options = options_of(fixture, PLENTY_MS);
    unsetenv("CREDENTIALS_DIRECTORY");
    options.key_file = "";
    assert_not_opened(fixture, options, HERD_ENOTFOUND, "key_file");
    options.key_file = "/nonexistent/places.key";
    assert_not_opened(fixture, options, HERD_EIO, "/nonexistent/places.key");
    options = options_of(fixture, PLENTY_MS);
    options.base_url = "http://places.googleapis.com";
    assert_not_opened(fixture, options, HERD_EINVAL, "https");
    options = options_of(fixture, PLENTY_MS);
    static const char *const languages[] = {"",      "e",  "en&key=x",         "en\"",
                                            "en US", "dé", "abcdefghijklmnopq"};
    for (size_t i = 0; i < sizeof languages / sizeof languages[0]; i++) {
        options.language = languages[i];
        assert_not_opened(fixture, options, HERD_EINVAL, "language");
    }
}

static void test_systemd_credential(void **state)
{
    struct fixture *fixture = *state;
    struct places_options options = options_of(fixture, PLENTY_MS);
    struct asker asker = {0};
    options.key_file = "";
    setenv("CREDENTIALS_DIRECTORY", fixture->folder, 1);
    standin_behave(&fixture->standin, "normal");
    open_with(fixture, &provider_google, &options);
    unsetenv("CREDENTIALS_DIRECTORY");
    ask(fixture, &asker, &ucla);
    run_until_done(fixture, &asker);
    close_provider(fixture);
    assert_answer(asker.answer, "OK", 20, "");
    json_decref(asker.answer);
}

static size_t count_of(const char *text, const char *part)
{
    size_t count = 0;
    for (const char *at = text; (at = strstr(at, part)) != NULL; at += strlen(part))
        count++;
    return count;
}

/* Says when trouble begins and ends, not at every call; neither the key nor where anybody is. */
static void test_log(void **state)
{
    struct fixture *fixture = *state;
    static const char *const behaviours[] = {"normal",   "http:503", "http:503", "http:503",
                                             "echo_key", "http:400", "normal",   "normal"};
    struct places_options options = options_of(fixture, PLENTY_MS);
    char *path = testing_path(fixture->folder, "log");
    assert_int_equal(log_open(path, LOG_DEBUG, &options.log), 0);
    open_with(fixture, &provider_google, &options);
    for (size_t i = 0; i < sizeof behaviours / sizeof behaviours[0]; i++) {
        struct asker asker = {0};
        standin_behave(&fixture->standin, behaviours[i]);
        ask(fixture, &asker, &ucla);
        run_until_done(fixture, &asker);
        json_decref(asker.answer);
    }
    close_provider(fixture);
    log_close(options.log);
    char *text = testing_read_file(path);
    assert_int_equal(count_of(text, "provider ready"), 1);
    assert_int_equal(count_of(text, "level=warning"), 3);
    assert_int_equal(count_of(text, "status=UNKNOWN_ERROR"), 1);
    assert_int_equal(count_of(text, "status=REQUEST_DENIED"), 1);
    assert_int_equal(count_of(text, "may not do this"), 1);
    assert_int_equal(count_of(text, "status=INVALID_REQUEST"), 1);
    assert_int_equal(count_of(text, "answers again"), 1);
    assert_int_equal(count_of(text, STANDIN_KEY), 0);
    assert_int_equal(count_of(text, "34.06"), 0);
    assert_int_equal(count_of(text, "118.4"), 0);
    free(text);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_radius),
        cmocka_unit_test(test_no_query),
        cmocka_unit_test(test_one_hangs),
        cmocka_unit_test(test_calls_max),
        cmocka_unit_test(test_connections_come_and_go),
        cmocka_unit_test(test_certificate),
        cmocka_unit_test(test_not_opened),
        cmocka_unit_test(test_systemd_credential),
        cmocka_unit_test(test_log),
    };
    return cmocka_run_group_tests(tests, places_rig_setup, places_rig_teardown);
}
