/* Places as the server drives them: what a turn of the loop does of them. */
#include <stdlib.h>
#include <string.h>

#include <uv.h>

#include <herd/err.h>

#include "base/config.h"
#include "base/metrics.h"
#include "places/places.h"
#include "testing.h"

enum { QUESTIONS = 1000, ANSWER_NS = 100000, TURN_MAX_ANSWERS = 6, LOCAL_MAX = 100000 };

/* Nobody listens at that port, and one call may be under way: the other questions are refused. */
static const char remote[] = "    provider = \"overpass\"\n"
                             "    base_url = \"http://127.0.0.1:9\"\n"
                             "    calls_max = 1\n"
                             "    waiting_max = 0\n"
                             "    attempts_max = 1\n";
static const char local[] = "    total_timeout_ms = 60000\n";

struct fixture {
    uv_loop_t loop;
    uv_prepare_t prepare;
    struct metrics metrics;
    struct places *places;
    int answers, refused, this_turn, most_in_a_turn, closed;
    int limited[PLACES_LIMIT_COUNT];
};

static void on_limited(void *arg, enum places_limit limit)
{
    struct fixture *fixture = arg;
    fixture->limited[limit]++;
}

static void on_answer(void *arg, struct places_answer *take_answer)
{
    struct fixture *fixture = arg;
    fixture->answers++;
    fixture->this_turn++;
    fixture->refused += places_answer_status(take_answer) == PLACES_OVER_QUERY_LIMIT;
    places_answer_unref(take_answer);
    for (uint64_t began_ns = uv_hrtime(); uv_hrtime() < began_ns + ANSWER_NS;)
        continue; /* a large answer to render */
}

static void on_prepare(uv_prepare_t *prepare)
{
    struct fixture *fixture = prepare->data;
    if (fixture->this_turn > fixture->most_in_a_turn)
        fixture->most_in_a_turn = fixture->this_turn;
    fixture->this_turn = 0;
}

static void on_closed(void *arg)
{
    struct fixture *fixture = arg;
    fixture->closed++;
    uv_close((uv_handle_t *)&fixture->prepare, NULL);
}

static void open_places(struct fixture *fixture, const char *section)
{
    char *folder = testing_make_folder();
    char *path = testing_path(folder, "herd.conf");
    struct herd_buf error = {0}, conf = {0};
    struct config *config;
    herd_buf_printf(&conf,
                    "security = \"open\"\nplaces {\n%s}\n"
                    "server Hill { listen = \"127.0.0.1:1\" peers = {} }\n",
                    section);
    testing_write_file(path, conf.data, conf.len);
    herd_buf_free(&conf);
    if (config_load(path, &config, &error) < 0)
        fail_msg("%.*s", (int)error.len, error.data);
    const struct places_setup setup = {.loop = &fixture->loop,
                                       .metrics = &fixture->metrics,
                                       .values = &config->values,
                                       .folder = "",
                                       .seed = 1,
                                       .limited = on_limited,
                                       .arg = fixture};
    if (places_open(&setup, &fixture->places, &error) < 0)
        fail_msg("%.*s", (int)error.len, error.data);
    config_free(config);
    free(path);
    testing_remove_folder(folder);
}

static void close_places(struct fixture *fixture)
{
    places_close(fixture->places, on_closed, fixture);
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    assert_int_equal(fixture->closed, 1);
    assert_int_equal(uv_loop_close(&fixture->loop), 0);
}

static void begin(struct fixture *fixture, const char *section)
{
    assert_int_equal(uv_loop_init(&fixture->loop), 0);
    uv_prepare_init(&fixture->loop, &fixture->prepare);
    fixture->prepare.data = fixture;
    uv_prepare_start(&fixture->prepare, on_prepare);
    uv_unref((uv_handle_t *)&fixture->prepare);
    open_places(fixture, section);
}

/* Half a millisecond of answers a turn, whatever waits: the loop has others to serve. */
static void test_a_turn_gives_a_part_of_the_answers(void **state)
{
    (void)state;
    struct fixture fixture = {0};
    begin(&fixture, remote);
    for (int i = 0; i < QUESTIONS; i++) {
        const struct places_query query = {1, 2, 100 + i};
        assert_int_equal(places_ask(fixture.places, &query, 0, on_answer, &fixture), 0);
    }
    assert_int_equal(fixture.answers, 0);
    while (fixture.answers < QUESTIONS)
        uv_run(&fixture.loop, UV_RUN_ONCE);
    assert_int_equal(fixture.refused, QUESTIONS - 1);
    assert_int_equal(fixture.limited[PLACES_LIMIT_WAITING], QUESTIONS - 1);
    assert_in_range(fixture.most_in_a_turn, 1, TURN_MAX_ANSWERS);
    close_places(&fixture);
}

static void on_counted(void *arg, struct places_answer *take_answer)
{
    struct fixture *fixture = arg;
    fixture->answers++;
    places_answer_unref(take_answer);
}

/* local holds so many questions and refuses the next one, which is counted; then it takes more. */
static void test_local_refuses_what_is_too_much(void **state)
{
    (void)state;
    struct fixture fixture = {0};
    const struct places_query in_the_sea = {0, -30, 1000};
    int64_t *refused = &fixture.metrics.value[METRIC_places_refused_total];
    begin(&fixture, local);
    for (int i = 0; i < LOCAL_MAX; i++)
        assert_int_equal(places_ask(fixture.places, &in_the_sea, 0, on_counted, &fixture), 0);
    assert_int_equal(*refused, 0);
    assert_int_equal(places_ask(fixture.places, &in_the_sea, 0, on_counted, &fixture), HERD_EBUSY);
    assert_int_equal(*refused, 1);
    assert_int_equal(fixture.limited[PLACES_LIMIT_LOCAL], 1);
    while (fixture.answers < LOCAL_MAX)
        uv_run(&fixture.loop, UV_RUN_ONCE);
    assert_int_equal(places_ask(fixture.places, &in_the_sea, 0, on_counted, &fixture), 0);
    close_places(&fixture);
    assert_int_equal(fixture.answers, LOCAL_MAX + 1);
    assert_int_equal(fixture.metrics.value[METRIC_places_local_total], LOCAL_MAX + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_turn_gives_a_part_of_the_answers),
        cmocka_unit_test(test_local_refuses_what_is_too_much),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
