/* Room for places: what a client does not read is not rendered, however much it has asked for; what
 * it reads it gets all of, in order, once. */
#include <herd/err.h>

#include "check.h"
#include "core/node.h"
#include "driver.h"

#define AT_A "AT Hill +0.000000000 a +1+1 1700000000\n"

enum { PIPELINE = 64, OUTPUT_MAX = 65536, PADDING = 100000 };

/* A node that knows the client `a`, whose places are PADDING bytes long and more than a connection's
 * output may be, and that is told of writes by the test. */
static struct driver *start(void)
{
    struct herd_node_options options = driver_options("Hill");
    options.pipeline_max = PIPELINE;
    options.output_max = OUTPUT_MAX;
    struct driver *driver = driver_new_with(&options);
    struct wire *wire = driver_accept(driver);
    wire_say(wire, "IAMAT a +1+1 1700000000\n");
    wire_close(wire, "it has said all");
    driver->reports_writes = driver->answers_places = false;
    driver->places_padding = PADDING;
    return driver;
}

/* A client that has asked for places within 1, 2, … km. */
static struct wire *ask(struct driver *driver, unsigned questions)
{
    struct wire *wire = driver_accept(driver);
    for (unsigned i = 1; i <= questions; i++)
        wire_sayf(wire, "WHATSAT a %u.%u 20\n", i / 10, i % 10);
    return wire;
}

static size_t answer_bytes(unsigned i, char *text, size_t size)
{
    char at[] = AT_A;
    size_t len = sizeof(at) - 1;
    memcpy(text, at, len);
    memset(text + len, ' ', PADDING);
    len += PADDING;
    return len + driver_places((struct herd_location){1, 1}, i * 100.0, 20, text + len, size - len);
}

/* The answers to questions `first` to `last`. */
static void check_answers(struct wire *wire, unsigned first, unsigned last)
{
    static char text[PADDING + 1024];
    struct herd_slice got = wire_take(wire);
    for (unsigned i = first; i <= last; i++) {
        size_t len = answer_bytes(i, text, sizeof(text));
        CHECK_TRUE(("answer %u: %zu bytes are left", i, got.len), got.len >= len);
        CHECK_SLICE(("answer %u", i), herd_slice(got.data, len), herd_slice(text, len));
        got = herd_slice(got.data + len, got.len - len);
    }
    assert_int_equal(got.len, 0);
}

static void answer_all(struct driver *driver)
{
    while (driver->ask_count > 0)
        driver_answer(driver, 0);
}

/* How often the log is to tell of a limit, besides that of questions. */
static uint64_t times_told(const struct driver *driver)
{
    const struct herd_node_stats *stats = herd_node_stats(driver->node);
    return stats->limits_reached - stats->clients_paused;
}

static void test_who_does_not_read_has_one_answer_rendered(void **state)
{
    struct driver *driver = start();
    struct wire *wire = ask(driver, PIPELINE);
    (void)state;
    answer_all(driver);
    assert_int_equal(driver->renders, 1);
    assert_int_equal(driver->places_held, PIPELINE - 1);
    assert_true(wire->unwritten < OUTPUT_MAX + PADDING);
    check_answers(wire, 1, 1);
    assert_int_equal(herd_node_stats(driver->node)->places_held_back, 1);
    assert_int_equal(times_told(driver), 1);
    for (unsigned i = 2; i <= PIPELINE; i++) {
        while (wire->got.len == wire->taken)
            wire_wrote(wire, 7919);
        assert_true(wire->unwritten < OUTPUT_MAX + PADDING + 1024);
        check_answers(wire, i, i);
    }
    assert_int_equal(driver->renders, PIPELINE);
    assert_int_equal(driver->places_held, 0);
    assert_int_equal(herd_node_stats(driver->node)->places_held_back, PIPELINE - 1);
    assert_int_equal(times_told(driver), PIPELINE - 1);
    driver_free(driver);
}

/* Answers of a few bytes in one turn are no sign of a client that does not read. */
static void test_who_reads_is_not_held_back(void **state)
{
    struct driver *driver = start();
    (void)state;
    driver->reports_writes = true;
    struct wire *wire = ask(driver, PIPELINE);
    answer_all(driver);
    check_answers(wire, 1, PIPELINE);
    assert_int_equal(herd_node_stats(driver->node)->places_held_back, 0);
    assert_int_equal(times_told(driver), 0);
    driver_free(driver);
}

/* Nor is a turn that has more of them than there is room for. */
static void test_many_answers_in_a_turn_hold_nobody_back(void **state)
{
    enum { QUESTIONS = 3 };
    static char json[OUTPUT_MAX + 3];
    struct driver *driver = start();
    struct wire *wire = ask(driver, QUESTIONS);
    (void)state;
    memset(json, ' ', OUTPUT_MAX);
    memcpy(json + OUTPUT_MAX, "\n\n", 3);
    driver->reports_writes = true;
    driver->ask_count = 0; /* this test answers them */
    for (int i = 0; i < QUESTIONS; i++)
        herd_ask_answer(driver->asks[i].ask, driver->now, herd_places_of_text(json));
    driver_run(driver);
    assert_int_equal(wire_take(wire).len, QUESTIONS * (sizeof(AT_A) - 1 + OUTPUT_MAX + 2));
    assert_int_equal(herd_node_stats(driver->node)->places_held_back, 0);
    assert_int_equal(times_told(driver), 0);
    driver_free(driver);
}

/* What has been rendered is kept no more, also for a client that always has another question. */
static void test_who_asks_on_and_on_and_reads(void **state)
{
    struct driver *driver = start();
    struct wire *wire = ask(driver, 1);
    (void)state;
    driver->places_padding = 1000;
    driver->places_bytes = OUTPUT_MAX / 4;
    for (int i = 0; i < 100; i++) {
        wire_say(wire, "WHATSAT a 1 1\n");
        driver_answer(driver, 0);
        wire_wrote(wire, wire->unwritten);
        CHECK_INT(("question %d", i), wire->reading, true);
    }
    assert_int_equal(herd_node_stats(driver->node)->places_again, 0);
    assert_int_equal(herd_node_stats(driver->node)->clients_paused, 0);
    driver_free(driver);
}

/* Though it has asked for no more than it may: it is not read from until some of that has gone. */
static void test_what_is_kept_pauses_its_client(void **state)
{
    struct driver *driver = start();
    (void)state;
    driver->places_padding = 1000;
    driver->places_bytes = OUTPUT_MAX / 4;
    struct wire *wire = ask(driver, 6);
    while (driver->ask_count > 2)
        driver_answer(driver, driver->ask_count - 1);
    wire_say(wire, "WHATSAT a 1 1\n");
    assert_false(wire->reading);
    assert_int_equal(driver->ask_count, 2);
    assert_int_equal(herd_node_stats(driver->node)->clients_paused, 1);
    driver->reports_writes = driver->answers_places = true;
    answer_all(driver);
    assert_true(wire->reading);
    assert_int_equal(driver->renders, 7);
    driver_free(driver);
}

/* For the first one, while the client reads, or takes what is little. */
static void test_who_has_room(void **state)
{
    struct driver *driver = start();
    struct wire *wire = ask(driver, 3);
    struct herd_ask *first = driver->asks[0].ask, *second = driver->asks[1].ask,
                    *third = driver->asks[2].ask;
    (void)state;
    assert_true(herd_ask_has_room(first));
    assert_false(herd_ask_has_room(second));
    driver_answer(driver, 0);
    assert_false(herd_ask_has_room(second)); /* more than OUTPUT_MAX is on its way */
    while (wire->unwritten >= OUTPUT_MAX)
        wire_wrote(wire, 7919);
    assert_true(herd_ask_has_room(second));
    assert_false(herd_ask_has_room(third));
    wire_close(wire, "it is gone");
    assert_true(herd_ask_has_room(third)); /* nothing is kept */
    driver_free(driver);
}

/* Whether it reads cannot be known before what it has was handed out. */
static void test_who_was_not_tried_yet(void **state)
{
    struct driver *driver = start();
    struct wire *wire = ask(driver, 3);
    struct herd_ask *first = driver->asks[0].ask, *third = driver->asks[2].ask;
    (void)state;
    assert_false(herd_ask_try(third));                   /* nothing comes before it but questions */
    driver->asks[0] = driver->asks[--driver->ask_count]; /* this test answers it */
    herd_ask_answer(first, driver->now, herd_places_of_text("{}\n\n"));
    assert_false(herd_ask_is_unread(third));
    assert_true(herd_ask_try(third));
    driver_run(driver);
    assert_true(herd_ask_is_unread(third));
    assert_false(herd_ask_try(third));
    wire_wrote(wire, wire->unwritten);
    assert_false(herd_ask_try(third)); /* the second has no answer */
    wire_close(wire, "it is gone");
    assert_false(herd_ask_try(third));
    driver_free(driver);
}

/* Who only waits for the answer to its first question reads. */
static void test_who_does_not_read(void **state)
{
    struct driver *driver = start();
    struct wire *wire = ask(driver, 3);
    struct herd_ask *second = driver->asks[1].ask, *third = driver->asks[2].ask;
    (void)state;
    assert_false(herd_ask_is_unread(second));
    driver_answer(driver, 0);
    assert_true(herd_ask_is_unread(second));
    assert_true(herd_ask_is_unread(third));
    wire_wrote(wire, wire->unwritten);
    assert_false(herd_ask_is_unread(second));
    assert_false(herd_ask_has_room(third)); /* the second comes first */
    assert_false(herd_ask_is_unread(third));
    wire_close(wire, "it is gone");
    assert_false(herd_ask_is_unread(third));
    driver_free(driver);
}

static void test_what_waits_for_the_first_is_not_rendered(void **state)
{
    struct driver *driver = start();
    struct wire *wire = ask(driver, PIPELINE);
    (void)state;
    driver->places_bytes = OUTPUT_MAX / 4;
    while (driver->ask_count > 1)
        driver_answer(driver, driver->ask_count - 1);
    assert_int_equal(driver->renders, 0);
    assert_int_equal(herd_node_stats(driver->node)->places_again,
                     0); /* as far as is known, it reads */
    driver_answer(driver, 0);
    assert_int_equal(driver->renders, 1);
    driver->answers_places = true;
    driver->reports_writes = true;
    wire_wrote(wire, wire->unwritten);
    check_answers(wire, 1, PIPELINE);
    driver_free(driver);
}

static uint64_t open_questions(const struct driver *driver)
{
    return herd_node_stats(driver->node)->places_open;
}

/* From the moment they are received, whether or not anybody still waits. */
static void test_questions_are_open_until_the_places_come(void **state)
{
    static const char question[] = "WHATSAT a 1 1\n";
    struct driver *driver = start();
    struct wire *wire = ask(driver, 3), *hasty = driver_accept(driver);
    (void)state;
    assert_int_equal(open_questions(driver), 3);
    driver_answer(driver, 2); /* it waits for those before it */
    assert_int_equal(open_questions(driver), 2);
    herd_conn_receive(hasty->conn, driver->now, question, sizeof(question) - 1);
    assert_int_equal(open_questions(driver), 3);
    wire_close(hasty, "gone before anybody was asked");
    assert_int_equal(open_questions(driver), 2);
    wire_close(wire, "gone before its places came");
    assert_int_equal(open_questions(driver), 2);
    answer_all(driver);
    assert_int_equal(open_questions(driver), 0);
    driver_free(driver);
}

/* Its places were not kept, as more than OUTPUT_MAX was on its way: it waits as others do. */
static void test_what_will_be_asked_again_is_held_back(void **state)
{
    struct driver *driver = start();
    struct wire *wire = ask(driver, 3);
    (void)state;
    driver->places_bytes = OUTPUT_MAX / 4;
    driver_answer(driver, 0);
    driver_answer(driver, 1); /* the third */
    assert_int_equal(herd_node_stats(driver->node)->places_again, 1);
    assert_int_equal(herd_node_stats(driver->node)->places_held_back, 0); /* the second is first */
    wire_wrote(wire, wire->unwritten);
    answer_all(driver);
    wire_wrote(wire, 1); /* the client does not take it all at once */
    assert_int_equal(herd_node_stats(driver->node)->places_held_back, 1);
    assert_int_equal(times_told(driver), 1);
    while (wire->unwritten > 0) {
        wire_wrote(wire, wire->unwritten);
        answer_all(driver);
    }
    check_answers(wire, 1, 3);
    assert_int_equal(herd_node_stats(driver->node)->places_held_back, 1);
    driver_free(driver);
}

/* What need not be kept is asked for again, a part at a time; so little is kept of it, too. */
static void test_what_costs_nothing_is_asked_again(void **state)
{
    struct driver *driver = start();
    (void)state;
    driver->places_bytes = OUTPUT_MAX / 4;
    struct wire *wire = ask(driver, PIPELINE);
    answer_all(driver);
    assert_int_equal(driver->renders, 1);
    assert_int_equal(driver->places_held, 0); /* the first one takes all the room */
    assert_int_equal(herd_node_stats(driver->node)->places_again, PIPELINE - 1);
    assert_int_equal(driver->ask_count, 0);
    assert_int_equal(open_questions(driver), 0);
    check_answers(wire, 1, 1);
    for (unsigned i = 2; i <= PIPELINE; i++) {
        while (wire->got.len == wire->taken) {
            wire_wrote(wire, 7919);
            assert_in_range(driver->ask_count, 0, 4);
            assert_int_equal(open_questions(driver), driver->ask_count);
            answer_all(driver);
        }
        assert_in_range(driver->places_held, 0, 4);
        assert_true(wire->unwritten < OUTPUT_MAX + PADDING + 1024);
        check_answers(wire, i, i);
    }
    assert_int_equal(driver->renders, PIPELINE);
    wire_wrote(wire, wire->unwritten);
    assert_true(wire->reading);
    driver_free(driver);
}

/* All that waits for it together is bounded: what it was sent, what is to be, and places for that. */
static void test_what_is_kept_counts_with_what_is_on_its_way(void **state)
{
    enum { PLACES_BYTES = OUTPUT_MAX / 16, WRITTEN = PLACES_BYTES };
    struct driver *driver = start();
    (void)state;
    driver->places_padding = driver->places_bytes = PLACES_BYTES;
    struct wire *wire = ask(driver, PIPELINE);
    answer_all(driver);
    for (unsigned steps = 0; driver->renders < PIPELINE; steps++) {
        size_t all = wire->unwritten + driver->places_held * PLACES_BYTES;
        CHECK_TRUE(("%u: %zu and %zu", steps, wire->unwritten, driver->places_held),
                   all < OUTPUT_MAX + PLACES_BYTES + 1024);
        wire_wrote(wire, WRITTEN);
        answer_all(driver);
    }
    assert_true(herd_node_stats(driver->node)->places_again > 0);
    assert_true(wire->unwritten > 0);
    wire_wrote(wire, wire->unwritten);
    assert_true(wire->reading);
    driver_free(driver);
}

/* A client that goes, or closes its half, while some are to be asked again. */
static void test_an_end_before_it_is_asked_again(void **state)
{
    (void)state;
    for (int is_gone = 0; is_gone < 2; is_gone++) {
        struct driver *driver = start();
        driver->places_bytes = OUTPUT_MAX / 4;
        struct wire *wire = ask(driver, PIPELINE);
        answer_all(driver);
        if (is_gone) {
            wire_close(wire, "reset");
            assert_int_equal(driver->places_held, 0);
        } else {
            driver->answers_places = true;
            wire_end(wire);
            while (wire->open)
                wire_wrote(wire, 7919);
            check_answers(wire, 1, PIPELINE);
        }
        driver_free(driver);
    }
}

/* Other answers between them stand where they belong. */
static void test_lines_between_places(void **state)
{
    struct driver *driver = start();
    struct wire *wire = driver_accept(driver);
    (void)state;
    driver->places_padding = OUTPUT_MAX;
    wire_say(wire, "WHATSAT a 1 1\none\nWHATSAT a 1 1\ntwo\n");
    answer_all(driver);
    struct herd_slice got = wire_take(wire);
    CHECK_TEXT(("end"), herd_slice(got.data + got.len - 7, 7), "\n? one\n");
    wire_say(wire, "three\n"); /* of a client that is not read from: it stays where it is */
    CHECK_TEXT(("nothing"), wire_take(wire), "");
    wire_wrote(wire, wire->unwritten);
    got = wire_take(wire);
    CHECK_TEXT(("end"), herd_slice(got.data + got.len - 7, 7), "\n? two\n");
    wire_wrote(wire, wire->unwritten);
    CHECK_TEXT(("last"), wire_take(wire), "? three\n");
    driver_free(driver);
}

static void test_a_client_that_goes(void **state)
{
    struct driver *driver = start();
    struct wire *wire = ask(driver, PIPELINE);
    (void)state;
    for (int i = 0; i < PIPELINE / 2; i++)
        driver_answer(driver, 0);
    assert_int_equal(driver->places_held, PIPELINE / 2 - 1);
    wire_close(wire, "reset");
    assert_int_equal(driver->places_held, 0);
    answer_all(driver);
    assert_int_equal(driver->places_held, 0);
    assert_int_equal(driver->renders, 1);
    driver_free(driver);
}

/* Its half closed, or the server stopped: all that was asked is still answered, then it closes. */
static void test_an_end_while_places_wait(void **state)
{
    (void)state;
    for (int is_stop = 0; is_stop < 2; is_stop++) {
        struct driver *driver = start();
        struct wire *wire = ask(driver, 5);
        answer_all(driver);
        if (is_stop)
            driver_stop(driver);
        else
            wire_end(wire);
        assert_false(wire->closing);
        while (wire->open)
            wire_wrote(wire, 7919);
        check_answers(wire, 1, 5);
        assert_false(wire->aborted);
        driver_free(driver);
    }
}

static void test_a_stop_that_has_no_more_time(void **state)
{
    struct driver *driver = start();
    struct wire *wire = ask(driver, 5);
    (void)state;
    answer_all(driver);
    driver_stop(driver);
    herd_node_abort(driver->node);
    driver_run(driver);
    assert_true(wire->aborted);
    assert_int_equal(driver->places_held, 0);
    driver_free(driver);
}

/* Many have room at once: a turn renders so much, the next ones the rest. */
static void test_room_for_many_does_not_make_a_long_turn(void **state)
{
    enum { CLIENTS = 40 };
    struct driver *driver = start();
    struct wire *wires[CLIENTS];
    (void)state;
    for (int i = 0; i < CLIENTS; i++)
        wires[i] = ask(driver, 2);
    answer_all(driver);
    assert_int_equal(driver->renders, CLIENTS);
    driver->ticks = false;
    for (int i = 0; i < CLIENTS; i++) /* in one turn */
        herd_conn_wrote(wires[i]->conn, driver->now, wires[i]->unwritten);
    unsigned rendered = driver->renders - CLIENTS;
    assert_int_equal(rendered, TURN_PLACES_BYTES / PADDING + 1);
    for (int i = 0; i < CLIENTS; i++)
        wires[i]->unwritten = 0;
    driver_run(driver);
    assert_true(herd_node_wakeup(driver->node) <= driver->now.mono_ns);
    herd_node_tick(driver->node, driver->now);
    assert_int_equal(driver->renders - CLIENTS, 2 * rendered);
    driver->ticks = true;
    driver_run(driver);
    for (int i = 0; i < CLIENTS; i++)
        check_answers(wires[i], 1, 2);
    driver_free(driver);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_does_not_read_has_one_answer_rendered),
        cmocka_unit_test(test_who_reads_is_not_held_back),
        cmocka_unit_test(test_many_answers_in_a_turn_hold_nobody_back),
        cmocka_unit_test(test_who_asks_on_and_on_and_reads),
        cmocka_unit_test(test_what_is_kept_pauses_its_client),
        cmocka_unit_test(test_who_has_room),
        cmocka_unit_test(test_who_was_not_tried_yet),
        cmocka_unit_test(test_who_does_not_read),
        cmocka_unit_test(test_what_waits_for_the_first_is_not_rendered),
        cmocka_unit_test(test_questions_are_open_until_the_places_come),
        cmocka_unit_test(test_what_will_be_asked_again_is_held_back),
        cmocka_unit_test(test_what_costs_nothing_is_asked_again),
        cmocka_unit_test(test_what_is_kept_counts_with_what_is_on_its_way),
        cmocka_unit_test(test_an_end_before_it_is_asked_again),
        cmocka_unit_test(test_lines_between_places),
        cmocka_unit_test(test_a_client_that_goes),
        cmocka_unit_test(test_an_end_while_places_wait),
        cmocka_unit_test(test_a_stop_that_has_no_more_time),
        cmocka_unit_test(test_room_for_many_does_not_make_a_long_turn),
    };
    return cmocka_run_group_tests_name("room", tests, NULL, NULL);
}
