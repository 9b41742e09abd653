/* The provider `local`: its answers, and that each call comes back once, in a later turn of the
 * loop, whatever happens. */
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <uv.h>

#include <herd/err.h>

#include "base/log.h"
#include "base/metrics.h"
#include "local_fixture.h"
#include "places/local.h"
#include "testing.h"

enum { CALLS_MAX = 12 };

static const char rows[] =
    "gn:1\tWest \"wood\" Caf\xc3\xa9\t34.05612\t-118.43063\tsublocality,political\tPPLX\tUS\t2019\t"
    "500\tLos Angeles County, California\n"
    "ap:2\tHeli\t34\t-118.5\tairport\theliport\tUS\t\t150\tLos Angeles\n"
    "x:3\tFar away\t-16.8\t180\tlocality\t\t\t\t111195\tFiji\n"
    "x:4\tPole\t-90\t10\tlocality\t\t\t\t1000\t\n";

static const struct places_query westwood = {34.05612, -118.43063, 100};

struct fixture {
    struct folder *folder;
    uv_loop_t loop;
    struct log *log;
    struct provider *provider;
    struct metrics metrics;
    size_t closed;
    struct places_options options;
};

struct asked {
    struct places_call *call;
    size_t answers;
    enum places_status status;
    struct places_answer *answer;
};

static void on_answer(void *arg, struct places_answer *take_answer)
{
    struct asked *asked = arg;
    asked->answers++;
    asked->status = places_answer_status(take_answer);
    places_answer_unref(asked->answer);
    asked->answer = take_answer;
}

static void on_closed(void *arg)
{
    ((struct fixture *)arg)->closed++;
}

static int open_file(struct fixture *fixture, const char *data_file, struct herd_buf *error)
{
    struct places_options *options = &fixture->options;
    options->loop = &fixture->loop;
    options->log = fixture->log;
    options->metrics = &fixture->metrics;
    options->data_file = data_file;
    options->calls_max = CALLS_MAX;
    return provider_local.open(options, &fixture->provider, error);
}

static void refresh(struct fixture *fixture)
{
    fixture->provider->type->refresh(fixture->provider, &fixture->options);
}

static int setup_with(void **state, int64_t memory_max_bytes)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    fixture->options.memory_max_bytes = memory_max_bytes;
    folder_setup((void **)&fixture->folder);
    assert_int_equal(uv_loop_init(&fixture->loop), 0);
    build_places(fixture->folder, rows);
    struct herd_buf error = {0};
    assert_int_equal(open_file(fixture, fixture->folder->places, &error), 0);
    assert_int_equal(error.len, 0);
    *state = fixture;
    return 0;
}

static int setup(void **state)
{
    return setup_with(state, 0);
}

static void close_provider(struct fixture *fixture)
{
    fixture->provider->type->close(fixture->provider, on_closed, fixture);
    assert_int_equal(fixture->closed, 0);
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    assert_int_equal(fixture->closed, 1);
    fixture->provider = NULL;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    if (fixture->provider != NULL)
        close_provider(fixture);
    assert_int_equal(uv_loop_close(&fixture->loop), 0);
    folder_teardown((void **)&fixture->folder);
    free(fixture);
    return 0;
}

static void ask(struct fixture *fixture, const struct places_query *query, struct asked *asked)
{
    *asked = (struct asked){0};
    assert_int_equal(
        fixture->provider->type->ask(fixture->provider, query, on_answer, asked, &asked->call), 0);
    assert_int_equal(asked->answers, 0);
}

/* It was answered once, and so. */
static void end(struct asked *asked, enum places_status status)
{
    assert_int_equal(asked->answers, 1);
    assert_int_equal(asked->status, status);
    places_answer_unref(asked->answer);
}

static void ask_and_end(struct fixture *fixture, enum places_status status)
{
    struct asked asked;
    ask(fixture, &westwood, &asked);
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    end(&asked, status);
}

/* Asks, waits for the answer and returns it rendered. */
static char *answer_to(struct fixture *fixture, const struct places_query *query)
{
    struct asked asked;
    ask(fixture, query, &asked);
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    assert_int_equal(asked.answers, 1);
    struct herd_buf text = {0};
    assert_int_equal(places_answer_render(asked.answer, PLACES_RESULTS_MAX, &text), 0);
    places_answer_unref(asked.answer);
    return testing_take_text(&text);
}

/* The file is in memory when the test begins. */
static int setup_in_memory(void **state)
{
    setup_with(state, 1 << 20);
    free(answer_to(*state, &westwood)); /* the first one lets it be read */
    return 0;
}

static void assert_answer_contains(struct fixture *fixture, struct places_query query,
                                   const char *part)
{
    char *text = answer_to(fixture, &query);
    assert_contains(text, part);
    free(text);
}

static void test_an_answer_to_the_byte(void **state)
{
    char *text = answer_to(*state, &westwood);
    assert_string_equal(text, "{\n"
                              "   \"html_attributions\": [\n"
                              "      \"<b>\\\"Test\\\"</b>\"\n"
                              "   ],\n"
                              "   \"results\": [\n"
                              "      {\n"
                              "         \"geometry\": {\n"
                              "            \"location\": {\n"
                              "               \"lat\": 34.05612,\n"
                              "               \"lng\": -118.43063\n"
                              "            },\n"
                              "            \"viewport\": {\n"
                              "               \"northeast\": {\n"
                              "                  \"lat\": 34.0606166,\n"
                              "                  \"lng\": -118.4252025\n"
                              "               },\n"
                              "               \"southwest\": {\n"
                              "                  \"lat\": 34.0516234,\n"
                              "                  \"lng\": -118.4360575\n"
                              "               }\n"
                              "            }\n"
                              "         },\n"
                              "         \"name\": \"West \\\"wood\\\" Caf\xc3\xa9\",\n"
                              "         \"place_id\": \"gn:1\",\n"
                              "         \"reference\": \"gn:1\",\n"
                              "         \"scope\": \"HERD\",\n"
                              "         \"types\": [\n"
                              "            \"sublocality\",\n"
                              "            \"political\"\n"
                              "         ],\n"
                              "         \"vicinity\": \"Los Angeles County, California\"\n"
                              "      }\n"
                              "   ],\n"
                              "   \"status\": \"OK\"\n"
                              "}\n\n");
    free(text);
}

static void test_nothing_within(void **state)
{
    struct places_query sea = {0, -150, 50000};
    char *text = answer_to(*state, &sea);
    assert_string_equal(text, "{\n"
                              "   \"html_attributions\": [],\n"
                              "   \"results\": [],\n"
                              "   \"status\": \"ZERO_RESULTS\"\n"
                              "}\n\n");
    free(text);
}

static void test_viewports_at_the_edges_of_the_map(void **state)
{
    /* 111,195 m are one degree: 180 + 1 / cos 16.8° wraps. */
    assert_answer_contains(*state, (struct places_query){-16.8, -180, 10},
                           "               \"northeast\": {\n"
                           "                  \"lat\": -15.8000007,\n"
                           "                  \"lng\": -178.9554174\n"
                           "               },\n"
                           "               \"southwest\": {\n"
                           "                  \"lat\": -17.7999993,\n"
                           "                  \"lng\": 178.9554174\n");
    assert_answer_contains(*state, (struct places_query){-90, 0, 0},
                           "               \"northeast\": {\n"
                           "                  \"lat\": -89.9910068,\n"
                           "                  \"lng\": 180.0\n"
                           "               },\n"
                           "               \"southwest\": {\n"
                           "                  \"lat\": -90.0,\n"
                           "                  \"lng\": -180.0\n");
}

static void test_a_query_off_the_earth(void **state)
{
    static const struct places_query queries[] = {
        {90.1, 0, 10}, {0, -180.1, 10}, {0, 0, -1}, {0. / 0., 0, 10}, {0, 0, 1. / 0.}};
    for (size_t i = 0; i < sizeof queries / sizeof queries[0]; i++)
        assert_answer_contains(*state, queries[i], "\"INVALID_REQUEST\"");
}

static void test_more_calls_than_allowed(void **state)
{
    struct fixture *fixture = *state;
    struct asked asked[CALLS_MAX + 1];
    for (size_t i = 0; i < CALLS_MAX; i++)
        ask(fixture, &westwood, &asked[i]);
    struct asked *refused = &asked[CALLS_MAX];
    *refused = (struct asked){0};
    assert_int_equal(fixture->provider->type->ask(fixture->provider, &westwood, on_answer, refused,
                                                  &refused->call),
                     HERD_EBUSY);
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    assert_int_equal(refused->answers, 0);
    for (size_t i = 0; i < CALLS_MAX; i++) {
        assert_int_equal(places_answer_count(asked[i].answer), 1);
        end(&asked[i], PLACES_OK);
    }
    ask_and_end(fixture, PLACES_OK);
}

static void test_cancelled_calls_come_back_once(void **state)
{
    struct fixture *fixture = *state;
    struct asked asked[CALLS_MAX];
    for (size_t i = 0; i < CALLS_MAX; i++)
        ask(fixture, &westwood, &asked[i]);
    for (size_t i = 1; i < CALLS_MAX; i++) { /* the first runs on, the others run or wait */
        provider_local.cancel(asked[i].call);
        provider_local.cancel(asked[i].call);
        assert_int_equal(asked[i].answers, 0);
    }
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    for (size_t i = 0; i < CALLS_MAX; i++)
        end(&asked[i], i == 0 ? PLACES_OK : PLACES_UNKNOWN_ERROR);
    assert_answer_contains(fixture, westwood, "\"OK\"");
}

static void test_closing_ends_all_calls(void **state)
{
    struct fixture *fixture = *state;
    struct asked asked[CALLS_MAX];
    for (size_t i = 0; i < CALLS_MAX; i++)
        ask(fixture, &westwood, &asked[i]);
    provider_local.cancel(asked[1].call);
    close_provider(fixture);
    for (size_t i = 0; i < CALLS_MAX; i++)
        end(&asked[i], PLACES_UNKNOWN_ERROR);
}

/* Asks again from within `done`, cancels what it asked, and closes at last. */
struct chain {
    struct fixture *fixture;
    size_t answers;
};

static void on_link(void *arg, struct places_answer *take_answer)
{
    struct chain *chain = arg;
    struct provider *provider = chain->fixture->provider;
    places_answer_unref(take_answer);
    chain->answers++;
    if (chain->answers == 10) {
        provider->type->close(provider, on_closed, chain->fixture);
        chain->fixture->provider = NULL;
        return;
    }
    struct places_call *call;
    assert_int_equal(provider->type->ask(provider, &westwood, on_link, chain, &call), 0);
    if (chain->answers % 3 == 0)
        provider->type->cancel(call);
}

static void test_done_may_ask_cancel_and_close(void **state)
{
    struct fixture *fixture = *state;
    struct chain chain = {.fixture = fixture};
    struct places_call *call;
    assert_int_equal(
        fixture->provider->type->ask(fixture->provider, &westwood, on_link, &chain, &call), 0);
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    assert_int_equal(chain.answers, 10);
    assert_int_equal(fixture->closed, 1);
}

/* Everything behind the database's first page is overwritten; the open file. */
static int spoil_file(const struct folder *folder)
{
    int fd = open(folder->places, O_WRONLY | O_CLOEXEC);
    struct stat status = {0};
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &status), 0);
    static const char garbage[4096] = {1, 2, 3};
    for (off_t at = 4096; at < status.st_size; at += (off_t)sizeof garbage)
        assert_int_equal(pwrite(fd, garbage, sizeof garbage, at), sizeof garbage);
    return fd;
}

static void test_a_file_that_goes_bad(void **state)
{
    struct fixture *fixture = *state;
    int fd = spoil_file(fixture->folder);
    assert_answer_contains(fixture, westwood, "\"UNKNOWN_ERROR\"");
    assert_answer_contains(fixture, westwood,
                           "\"error_message\": \"the places file cannot be read: ");
    assert_int_equal(ftruncate(fd, 4096), 0);
    assert_answer_contains(fixture, westwood, "\"UNKNOWN_ERROR\"");
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_answer_contains(fixture, westwood, "\"UNKNOWN_ERROR\"");
    close(fd);
}

static size_t count_of(const char *text, const char *part)
{
    size_t count = 0;
    for (; (text = strstr(text, part)) != NULL; text++)
        count++;
    return count;
}

static void test_a_file_that_goes_bad_is_logged_once(void **state)
{
    struct fixture *fixture = *state;
    close_provider(fixture);
    fixture->closed = 0;
    char *path = testing_path(fixture->folder->path, "log");
    assert_int_equal(log_open(path, LOG_INFO, &fixture->log), 0);
    struct herd_buf error = {0};
    assert_int_equal(open_file(fixture, fixture->folder->places, &error), 0);
    close(spoil_file(fixture->folder));
    for (int i = 0; i < 3; i++)
        assert_answer_contains(fixture, westwood, "\"UNKNOWN_ERROR\"");
    close_provider(fixture);
    log_close(fixture->log);
    char *text = testing_read_file(path);
    assert_contains(text, "group=places msg=opened file=");
    assert_contains(text, " places=4");
    assert_int_equal(count_of(text, "msg=\"the places file cannot be read\""), 1);
    assert_null(strstr(text, "34.05")); /* where a person is, is personal */
    free(text);
    free(path);
}

static void test_a_new_file_leaves_the_open_one_alone(void **state)
{
    struct fixture *fixture = *state;
    build_places(fixture->folder, "n:1\tNew\t34.05612\t-118.43063\tlocality\t\t\t\t0\t\n");
    assert_answer_contains(fixture, westwood, "gn:1");
}

static void assert_not_opened(struct fixture *fixture, const char *data_file, int expected,
                              const char *sentence)
{
    struct herd_buf error = {0};
    struct provider *open = fixture->provider;
    assert_int_equal(open_file(fixture, data_file, &error), expected);
    assert_ptr_equal(fixture->provider, open);
    char *text = testing_take_text(&error);
    assert_contains(text, sentence);
    free(text);
}

static void test_a_file_that_cannot_be_opened(void **state)
{
    struct fixture *fixture = *state;
    assert_not_opened(fixture, "/nowhere/places.db", HERD_ENOTFOUND,
                      "/nowhere/places.db cannot be opened: No such file or directory: make it "
                      "with `herd-places import`");
    assert_not_opened(fixture, fixture->folder->table, HERD_EIO, "cannot be read");
}

static void test_the_default_file(void **state)
{
    struct fixture *fixture = *state;
    close_provider(fixture);
    fixture->closed = 0;
    struct herd_buf error = {0};
    assert_int_equal(open_file(fixture, "", &error), 0);
    struct places_query ucla = {34.06893, -118.445127, 10000};
    struct asked asked;
    ask(fixture, &ucla, &asked);
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    assert_int_equal(asked.status, PLACES_OK);
    assert_int_equal(places_answer_count(asked.answer), PLACES_RESULTS_MAX);
    struct herd_buf text = {0};
    assert_int_equal(places_answer_render(asked.answer, PLACES_RESULTS_MAX, &text), 0);
    char *json = testing_take_text(&text);
    assert_contains(json, "https://www.geonames.org/");
    assert_contains(json, "https://ourairports.com/");
    assert_contains(json, "\"name\": \"Westwood\",\n         \"place_id\": \"gn:");
    free(json);
    places_answer_unref(asked.answer);
}

/* ---- New files, and time -------------------------------------------------------------------- */

/* Asks until the answer has that part; the deadline is only a defect's. */
static void wait_for(struct fixture *fixture, const char *part)
{
    uint64_t end_ns = uv_hrtime() + UINT64_C(60000000000);
    for (;;) {
        char *text = answer_to(fixture, &westwood);
        bool has_part = strstr(text, part) != NULL;
        free(text);
        if (has_part)
            return;
        assert_true(uv_hrtime() < end_ns);
    }
}

static const char other_rows[] =
    "gn:1\tEastwood\t34.05612\t-118.43063\tlocality\tPPLX\tUS\t\t500\tElsewhere\n";

static void check_new_file(struct fixture *fixture)
{
    wait_for(fixture, "West ");
    build_places(fixture->folder, other_rows);
    refresh(fixture);
    wait_for(fixture, "Eastwood");
    testing_write_file(fixture->folder->places, "no places", 9);
    refresh(fixture);
    if (fixture->options.memory_max_bytes > 0) { /* what is in memory is not hurt by it */
        uv_run(&fixture->loop, UV_RUN_DEFAULT);
        wait_for(fixture, "Eastwood");
    }
    build_places(fixture->folder, rows);
    refresh(fixture);
    wait_for(fixture, "West ");
}

static void test_a_new_file_is_taken(void **state)
{
    check_new_file(*state);
}

static void test_a_new_file_is_seen(void **state)
{
    struct fixture *fixture = *state;
    wait_for(fixture, "West ");
    build_places(fixture->folder, other_rows);
    wait_for(fixture, "Eastwood");
}

static void test_closing_while_it_is_read(void **state)
{
    struct fixture *fixture = *state;
    struct asked asked;
    build_places(fixture->folder, other_rows);
    refresh(fixture);
    ask(fixture, &westwood, &asked);
    close_provider(fixture);
    assert_int_equal(asked.answers, 1);
    places_answer_unref(asked.answer);
}

/* The first turn of the loop comes too late for it. */
static void test_a_question_whose_time_is_over(void **state)
{
    struct fixture *fixture = *state;
    struct herd_buf error = {0};
    struct asked asked;
    close_provider(fixture);
    fixture->closed = 0;
    fixture->options.total_timeout_ms = 1;
    assert_int_equal(open_file(fixture, fixture->folder->places, &error), 0);
    ask(fixture, &westwood, &asked);
    uint64_t asked_ms = uv_now(&fixture->loop);
    while (uv_now(&fixture->loop) < asked_ms + 1)
        uv_update_time(&fixture->loop);
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    end(&asked, PLACES_UNKNOWN_ERROR);
    assert_int_equal(fixture->metrics.value[METRIC_places_timeouts_total], 1);
}

/* The server stops: no question waits longer than is left. */
static void test_a_hurry(void **state)
{
    struct fixture *fixture = *state;
    struct asked before, after;
    ask(fixture, &westwood, &before);
    fixture->provider->type->hurry(fixture->provider, 0);
    ask(fixture, &westwood, &after);
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    end(&before, PLACES_UNKNOWN_ERROR);
    end(&after, PLACES_UNKNOWN_ERROR);
    fixture->provider->type->hurry(fixture->provider, 600000);
    ask_and_end(fixture, PLACES_OK);
}

/* What is left of another provider's time may be less than the next question has. */
static void test_a_question_with_less_time_than_the_one_before(void **state)
{
    struct fixture *fixture = *state;
    struct asked patient[CALLS_MAX - 1], hasty;
    for (size_t i = 0; i < CALLS_MAX - 1; i++)
        ask(fixture, &westwood, &patient[i]);
    ask(fixture, &westwood, &hasty);
    fixture->provider->type->limit(hasty.call, 0);
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    end(&hasty, PLACES_UNKNOWN_ERROR);
    assert_int_equal(fixture->metrics.value[METRIC_places_timeouts_total], 1);
    for (size_t i = 0; i < CALLS_MAX - 1; i++)
        end(&patient[i], PLACES_OK);
}

#define CASE(test)           cmocka_unit_test_setup_teardown(test, setup, teardown)
#define CASE_IN_MEMORY(test) cmocka_unit_test_setup_teardown(test, setup_in_memory, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_an_answer_to_the_byte),
        CASE(test_nothing_within),
        CASE(test_viewports_at_the_edges_of_the_map),
        CASE(test_a_query_off_the_earth),
        CASE(test_more_calls_than_allowed),
        CASE(test_cancelled_calls_come_back_once),
        CASE(test_closing_ends_all_calls),
        CASE(test_done_may_ask_cancel_and_close),
        CASE(test_a_file_that_goes_bad),
        CASE(test_a_file_that_goes_bad_is_logged_once),
        CASE(test_a_new_file_leaves_the_open_one_alone),
        CASE(test_a_file_that_cannot_be_opened),
        CASE(test_the_default_file),
        CASE(test_a_new_file_is_taken),
        CASE(test_a_new_file_is_seen),
        CASE(test_closing_while_it_is_read),
        CASE(test_a_question_whose_time_is_over),
        CASE(test_a_hurry),
        CASE(test_a_question_with_less_time_than_the_one_before),
        CASE_IN_MEMORY(test_an_answer_to_the_byte),
        CASE_IN_MEMORY(test_nothing_within),
        CASE_IN_MEMORY(test_viewports_at_the_edges_of_the_map),
        CASE_IN_MEMORY(test_a_query_off_the_earth),
        CASE_IN_MEMORY(test_more_calls_than_allowed),
        CASE_IN_MEMORY(test_cancelled_calls_come_back_once),
        CASE_IN_MEMORY(test_closing_ends_all_calls),
        CASE_IN_MEMORY(test_done_may_ask_cancel_and_close),
        CASE_IN_MEMORY(test_a_new_file_is_taken),
        CASE_IN_MEMORY(test_a_new_file_is_seen),
        CASE_IN_MEMORY(test_closing_while_it_is_read),
        CASE_IN_MEMORY(test_a_question_whose_time_is_over),
        CASE_IN_MEMORY(test_a_hurry),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
