/* Places as the server drives them: what a turn of the loop does of them, and what memory it takes.
 * malloc, calloc and realloc are wrapped. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>
#include <uv.h>

#include <herd/err.h>

#include "base/config.h"
#include "base/metrics.h"
#include "places/places.h"
#include "testing.h"

enum { QUESTIONS = 1000, ANSWER_NS = 100000, TURN_MAX_ANSWERS = 6, LOCAL_MAX = 100000 };

enum { ONE_ANSWER_BYTES = 4096 }; /* at least, of 20 places */

enum { WARM_UPS = 1, ROUNDS = 3, CROWD = 50 * 64 };

/* Nobody listens at that port, and one call may be under way: the other questions are refused. */
static const char remote[] = "    provider = \"overpass\"\n"
                             "    base_url = \"http://127.0.0.1:9\"\n"
                             "    calls_max = 1\n"
                             "    waiting_max = 0\n"
                             "    attempts_max = 1\n";
static const char remote_with_fallback[] = "    provider = \"overpass\"\n"
                                           "    base_url = \"http://127.0.0.1:9\"\n"
                                           "    attempts_max = 1\n"
                                           "    fallback = \"local\"\n"
                                           "    total_timeout_ms = 60000\n";
static const char local[] = "    total_timeout_ms = 60000\n";

struct fixture {
    uv_loop_t loop;
    uv_prepare_t prepare;
    struct metrics metrics;
    struct places *places;
    int answers, refused, this_turn, most_in_a_turn, closed;
    int limited[PLACES_LIMIT_COUNT];
    bool was_on_disk; /* some question */
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
    fixture->was_on_disk |= fixture->metrics.value[METRIC_places_local_on_disk] > 0;
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
    int64_t *waiting = &fixture.metrics.value[METRIC_places_local_waiting];
    begin(&fixture, local);
    for (int i = 0; i < LOCAL_MAX; i++)
        assert_int_equal(places_ask(fixture.places, &in_the_sea, 0, on_counted, &fixture), 0);
    assert_int_equal(*refused, 0);
    assert_int_equal(*waiting, LOCAL_MAX);
    assert_int_equal(places_ask(fixture.places, &in_the_sea, 0, on_counted, &fixture), HERD_EBUSY);
    assert_int_equal(*refused, 1);
    assert_int_equal(fixture.limited[PLACES_LIMIT_LOCAL], 1);
    while (fixture.answers < LOCAL_MAX)
        uv_run(&fixture.loop, UV_RUN_ONCE);
    assert_int_equal(*waiting, 0);
    assert_int_equal(places_ask(fixture.places, &in_the_sea, 0, on_counted, &fixture), 0);
    close_places(&fixture);
    assert_int_equal(fixture.answers, LOCAL_MAX + 1);
    assert_int_equal(fixture.metrics.value[METRIC_places_local_total], LOCAL_MAX + 1);
}

/* ---- Memory --------------------------------------------------------------------------------- */

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);

static atomic_size_t allocations; /* malloc has no place to hand state through */

void *__wrap_malloc(size_t size)
{
    allocations++;
    return __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    allocations++;
    return __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    allocations++;
    return __real_realloc(old, size);
}

/* jansson's are counted too: it is a library of its own. */
static void *allocate_for_json(size_t size)
{
    return malloc(size);
}

/* Sends answers at once: renders them, cut, into a buffer that grows no more. */
struct reader {
    struct herd_buf out;
    size_t count; /* of places that are wanted */
    size_t answers, places, bytes;
};

static void on_read(void *arg, struct places_answer *take_answer)
{
    struct reader *reader = arg;
    size_t count = places_answer_count(take_answer);
    reader->out.len = 0;
    assert_int_equal(places_answer_render(take_answer, reader->count, &reader->out), 0);
    reader->answers++;
    reader->places += count < reader->count ? count : reader->count;
    reader->bytes += reader->out.len;
    places_answer_unref(take_answer);
}

static void ask_all(struct fixture *fixture, struct reader *reader,
                    const struct places_query *query, size_t at_once)
{
    size_t all = reader->answers + at_once;
    for (size_t i = 0; i < at_once; i++)
        assert_int_equal(places_ask(fixture->places, query, 0, on_read, reader), 0);
    while (reader->answers < all)
        uv_run(&fixture->loop, UV_RUN_ONCE);
}

/* Until an answer comes that no thread had to look for. */
static void wait_for_memory(struct fixture *fixture)
{
    const struct places_query anywhere = {0, -30, 1000};
    struct reader reader = {0};
    do {
        fixture->was_on_disk = false;
        ask_all(fixture, &reader, &anywhere, 1);
    } while (fixture->was_on_disk);
    herd_buf_free(&reader.out);
}

static const struct places_query ucla = {34.06893, -118.445127, 10000};

static const struct {
    const char *name;
    struct places_query query;
    size_t count, found; /* places that are wanted, and that come */
} questions[] = {
    {"20 places", {34.06893, -118.445127, 10000}, 20, 20},
    {"5 of 20", {34.06893, -118.445127, 10000}, 5, 5},
    {"1 of 20", {34.06893, -118.445127, 10000}, 1, 1},
    {"0 of 20", {34.06893, -118.445127, 10000}, 0, 0},
    {"none", {0, -30, 1000}, 20, 0},
    {"off the earth", {91, 0, 1000}, 20, 0},
};

static void test_nothing_is_allocated_for_a_question_to_memory(void **state)
{
    static const size_t crowds[] = {1, 16, 64, CROWD};
    (void)state;
    struct fixture fixture = {0};
    struct reader reader = {0};
    json_set_alloc_funcs(allocate_for_json, free);
    begin(&fixture, local);
    wait_for_memory(&fixture);
    for (size_t q = 0; q < sizeof questions / sizeof questions[0]; q++) {
        for (size_t c = 0; c < sizeof crowds / sizeof crowds[0]; c++) {
            size_t before = 0, places = 0, kept = 0;
            reader.count = questions[q].count;
            for (int i = 0; i < WARM_UPS + ROUNDS; i++) {
                if (i == WARM_UPS) {
                    before = allocations;
                    places = reader.places;
                }
                ask_all(&fixture, &reader, &questions[q].query, crowds[c]);
                places_give_back(fixture.places, &kept); /* not what the next ones need */
            }
            size_t more = allocations - before;
            assert_int_equal(reader.places - places, ROUNDS * crowds[c] * questions[q].found);
            if (more > 0)
                fail_msg("%s, %zu at once: %zu allocations in %d rounds", questions[q].name,
                         crowds[c], more, ROUNDS);
        }
    }
    close_places(&fixture);
    herd_buf_free(&reader.out);
}

/* As with a provider: whether they are answered from memory, or too late, when the server stops. */
static void test_a_turn_gives_a_part_of_the_answers_of_local(void **state)
{
    (void)state;
    for (int is_late = 0; is_late < 2; is_late++) {
        struct fixture fixture = {0};
        begin(&fixture, local);
        wait_for_memory(&fixture);
        fixture.most_in_a_turn = 0;
        for (int i = 0; i < QUESTIONS; i++)
            assert_int_equal(places_ask(fixture.places, &ucla, 0, on_answer, &fixture), 0);
        if (is_late)
            places_hurry(fixture.places, 0, 0);
        while (fixture.answers < QUESTIONS)
            uv_run(&fixture.loop, UV_RUN_NOWAIT); /* ONCE looks at its timers twice */
        assert_int_equal(fixture.metrics.value[METRIC_places_timeouts_total],
                         is_late ? QUESTIONS : 0);
        /* Those that are late have a part of their own in a turn. */
        assert_in_range(fixture.most_in_a_turn, 1, (1 + is_late) * TURN_MAX_ANSWERS);
        close_places(&fixture);
    }
}

/* Who asks next finds that all is as it was. */
static void test_a_crowd_leaves_nothing_behind(void **state)
{
    (void)state;
    struct fixture fixture = {0};
    struct reader reader = {.count = 20};
    begin(&fixture, local);
    wait_for_memory(&fixture);
    for (int round = 0; round < 3; round++) {
        size_t kept = 0, left = 0, freed;
        ask_all(&fixture, &reader, &ucla, CROWD);
        places_give_back(fixture.places, &kept);
        assert_true(kept > 0);
        freed = places_give_back(fixture.places, &left);
        assert_int_equal(left, 0);
        assert_true(freed >= kept);
    }
    assert_int_equal(reader.places, 3 * CROWD * 20);
    close_places(&fixture);
    herd_buf_free(&reader.out);
}

/* Its answer is in memory that the desk of the provider, or of the fallback, keeps for the next. */
static void test_what_a_desk_keeps_is_given_back(void **state)
{
    static const char *const sections[] = {local, remote_with_fallback};
    (void)state;
    for (size_t i = 0; i < sizeof sections / sizeof sections[0]; i++) {
        struct fixture fixture = {0};
        struct reader reader = {.count = 20};
        size_t kept = 0, left = 0;
        begin(&fixture, sections[i]);
        wait_for_memory(&fixture);
        ask_all(&fixture, &reader, &ucla, 1);
        assert_int_equal(reader.places, 20);
        places_give_back(fixture.places, &kept);
        assert_true(kept > ONE_ANSWER_BYTES);
        assert_true(places_give_back(fixture.places, &left) > ONE_ANSWER_BYTES);
        assert_int_equal(left, 0);
        close_places(&fixture);
        herd_buf_free(&reader.out);
    }
}

/* What is left then goes with the desks. */
static void test_nothing_is_given_back_while_it_closes(void **state)
{
    (void)state;
    struct fixture fixture = {0};
    struct reader reader = {.count = 20};
    size_t kept = 0;
    begin(&fixture, local);
    ask_all(&fixture, &reader, &ucla, 1);
    places_close(fixture.places, on_closed, &fixture);
    while (fixture.closed == 0) {
        assert_int_equal(places_give_back(fixture.places, &kept), 0);
        assert_int_equal(kept, 0);
        uv_run(&fixture.loop, UV_RUN_ONCE);
    }
    uv_run(&fixture.loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&fixture.loop), 0);
    herd_buf_free(&reader.out);
}

struct collector {
    struct places_answer *answers[QUESTIONS];
    size_t count;
};

static void on_collected(void *arg, struct places_answer *take_answer)
{
    struct collector *collector = arg;
    collector->answers[collector->count++] = take_answer;
}

static char *rendered(const struct places_answer *answer)
{
    struct herd_buf out = {0};
    assert_int_equal(places_answer_render(answer, PLACES_RESULTS_MAX, &out), 0);
    return testing_take_text(&out);
}

/* A client that does not read has its answers longer than the server has its places. */
static void test_answers_outlive_who_made_them(void **state)
{
    (void)state;
    struct fixture fixture = {0};
    struct collector *collector = calloc(1, sizeof *collector);
    assert_non_null(collector);
    begin(&fixture, local);
    wait_for_memory(&fixture);
    for (int i = 0; i < QUESTIONS; i++)
        assert_int_equal(places_ask(fixture.places, &ucla, 0, on_collected, collector), 0);
    while (collector->count < QUESTIONS)
        uv_run(&fixture.loop, UV_RUN_ONCE);
    char *first = rendered(collector->answers[0]);
    for (size_t i = 0; i < QUESTIONS / 2; i++)
        places_answer_unref(collector->answers[i]);
    close_places(&fixture);
    for (size_t i = QUESTIONS / 2; i < QUESTIONS; i++) {
        char *text = rendered(collector->answers[i]);
        assert_string_equal(text, first);
        places_answer_unref(collector->answers[i]);
        free(text);
    }
    free(first);
    free(collector);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_turn_gives_a_part_of_the_answers),
        cmocka_unit_test(test_a_turn_gives_a_part_of_the_answers_of_local),
        cmocka_unit_test(test_local_refuses_what_is_too_much),
        cmocka_unit_test(test_nothing_is_allocated_for_a_question_to_memory),
        cmocka_unit_test(test_a_crowd_leaves_nothing_behind),
        cmocka_unit_test(test_what_a_desk_keeps_is_given_back),
        cmocka_unit_test(test_nothing_is_given_back_while_it_closes),
        cmocka_unit_test(test_answers_outlive_who_made_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
