/* WHATSAT … AFTER: questions that wait for the flood, and WANT on both sides. */
#include <inttypes.h>

#include <herd/store.h>

#include "check.h"
#include "driver.h"
#include "edge.h"

/* What a WHATSAT of radius 1 and count 1 at +1+1 is answered with, behind its AT line. */
#define PLACES "{\"lat\":1.000000,\"lon\":1.000000,\"radius\":1000.000,\"count\":1}\n\n"
/* The AT line of a record that `bring` has brought. */
#define BROUGHT(client, second) "AT Blake +0.5 " client " +1+1 " #second "\n"

static void bring(struct wire *from, const char *client, unsigned second)
{
    wire_sayf(from, "FLOOD Jaquez %s +1+1 %u %u.5 Blake +0.5\n", client, second, DRIVER_WALL_S);
}

static const struct herd_node_stats *stats(const struct driver *driver)
{
    return herd_node_stats(driver->node);
}

static void what_is_held_is_answered_at_once(void **state)
{
    (void)state;
    struct driver *driver = driver_new("Hill", 0);
    struct wire *client = driver_accept(driver);
    bring(client, "c", 100);
    wire_say(client, "WHATSAT c 1 1 AFTER 100\n");
    EDGE_EXPECT(client, BROUGHT("c", 100) PLACES);
    wire_say(client, "WHATSAT c 1 1 AFTER 99.999999999 WAIT 0\n");
    EDGE_EXPECT(client, BROUGHT("c", 100) PLACES);
    CHECK_INT(("none waited"), stats(driver)->waits, 0);
    driver_free(driver);
}

static void flood_answers_what_waits(void **state)
{
    (void)state;
    struct driver *driver = driver_new("Hill", 0);
    struct wire *client = driver_accept(driver), *other = driver_accept(driver);
    wire_say(client, "WHATSAT c 1 1 AFTER 100\n");
    EDGE_EXPECT(client, "%s", "");
    driver_advance_ms(driver, 30);
    bring(other, "c", 100);
    EDGE_EXPECT(client, BROUGHT("c", 100) PLACES);
    EDGE_EXPECT(other, "%s", "");
    CHECK_INT(("waits"), stats(driver)->waits, 1);
    CHECK_INT(("expired"), stats(driver)->waits_expired, 0);
    driver_advance_ms(driver, 10000);
    EDGE_EXPECT(client, "%s", "");
    driver_free(driver);
}

static void client_of_the_same_server_answers_it_too(void **state)
{
    (void)state;
    struct driver *driver = driver_new("Hill", 0);
    struct wire *client = driver_accept(driver);
    wire_say(client, "WHATSAT c 1 1 AFTER 100\nIAMAT c +1+1 100\n");
    EDGE_EXPECT(client, "AT Hill +1699999900.000000000 c +1+1 100\n" PLACES
                        "AT Hill +1699999900.000000000 c +1+1 100\n");
    driver_free(driver);
}

static void answers_keep_the_order_of_their_requests(void **state)
{
    (void)state;
    struct driver *driver = driver_new("Hill", 0);
    struct wire *client = driver_accept(driver), *other = driver_accept(driver);
    bring(other, "a", 1);
    wire_say(client, "WHATSAT a 1 1\nWHATSAT c 1 1 AFTER 100\nWHATSAT a 1 1\nbad\n"
                     "WHATSAT d 1 1 AFTER 100\nWHATSAT a 1 1\n");
    EDGE_EXPECT(client, BROUGHT("a", 1) PLACES);
    bring(other, "d", 100); /* the later one first */
    EDGE_EXPECT(client, "%s", "");
    bring(other, "c", 101);
    EDGE_EXPECT(client, BROUGHT("c", 101) PLACES BROUGHT("a", 1) PLACES "? bad\n" BROUGHT("d", 100)
                            PLACES BROUGHT("a", 1) PLACES);
    driver_free(driver);
}

static void all_that_wait_for_a_client_are_answered(void **state)
{
    (void)state;
    enum { WAITERS = 40 };
    struct driver *driver = driver_new("Hill", 0);
    struct wire *clients[WAITERS], *other = driver_accept(driver);
    for (unsigned i = 0; i < WAITERS; i++) {
        clients[i] = driver_accept(driver);
        wire_sayf(clients[i], "WHATSAT c 1 1 AFTER %u\nWHATSAT c%u 1 1 AFTER 1\n", 100 + i % 2, i);
    }
    bring(other, "c", 100);
    for (unsigned i = 0; i < WAITERS; i++)
        EDGE_EXPECT(clients[i], "%s", i % 2 == 0 ? BROUGHT("c", 100) PLACES : "");
    bring(other, "c", 200);
    for (unsigned i = 1; i < WAITERS; i += 2)
        EDGE_EXPECT(clients[i], BROUGHT("c", 200) PLACES);
    bring(other, "c7", 1);
    EDGE_EXPECT(clients[7], BROUGHT("c7", 1) PLACES);
    EDGE_EXPECT(clients[8], "%s", "");
    driver_free(driver);
}

static void newer_is_not_enough_if_it_is_too_old(void **state)
{
    (void)state;
    struct driver *driver = driver_new("Hill", 0);
    struct wire *client = driver_accept(driver), *other = driver_accept(driver);
    bring(other, "c", 50);
    wire_say(client, "WHATSAT c 1 1 AFTER 100\n");
    bring(other, "c", 99); /* newer than what is held */
    EDGE_EXPECT(client, "%s", "");
    bring(other, "c", 60); /* older */
    EDGE_EXPECT(client, "%s", "");
    bring(other, "cc", 200);
    EDGE_EXPECT(client, "%s", "");
    bring(other, "c", 100);
    EDGE_EXPECT(client, BROUGHT("c", 100) PLACES);
    driver_free(driver);
}

static void expiry_is_the_command_with_a_question_mark(void **state)
{
    (void)state;
    struct driver *driver = driver_new("Hill", 0);
    struct wire *client = driver_accept(driver);
    wire_say(client, "  WHATSAT\tnobody  1 1 AFTER 100 WAIT 300 \r\nWHATSAT nobody 1 1\n");
    driver_advance_ms(driver, 299);
    EDGE_EXPECT(client, "%s", "");
    uint64_t invalid = stats(driver)->lines_invalid;
    driver_advance_ms(driver, 1);
    struct herd_slice got = wire_take(client);
    CHECK_TEXT(("the line as it came"), got,
               "?   WHATSAT\tnobody  1 1 AFTER 100 WAIT 300 \n? WHATSAT nobody 1 1\n");
    CHECK_INT(("expired"), stats(driver)->waits_expired, 1);
    CHECK_INT(("as invalid as an unknown client"), stats(driver)->lines_invalid - invalid, 1);
    bring(client, "nobody", 100);
    EDGE_EXPECT(client, "%s", "");
    driver_free(driver);
}

static void waits_as_long_as_it_is_told(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        int64_t ms;
    } rows[] = {
        {"WHATSAT c 1 1 AFTER 100", 2000},
        {"WHATSAT c 1 1 AFTER 100 WAIT 0", 0},
        {"WHATSAT c 1 1 AFTER 100 WAIT 1", 1},
        {"WHATSAT c 1 1 AFTER 100 WAIT 49", 49},
        {"WHATSAT c 1 1 AFTER 100 WAIT 50", 50},
        {"WHATSAT c 1 1 AFTER 100 WAIT 51", 51},
        {"WHATSAT c 1 1 AFTER 100 WAIT 5000", 5000},
        {"WHATSAT c 1 1 AFTER 100 WAIT 5001", 0},
        {"WHATSAT c 1 1 AFTER 100 WAIT -1", 0},
        {"WHATSAT c 1 1 AFTER 100 WAIT", 0},
        {"WHATSAT c 1 1 AFTER", 0},
        {"WHATSAT c 1 1 AFTER x", 0},
        {"WHATSAT c 1 1 AFTER 100 LATER 5", 0},
        {"WHATSAT c 1 1 AFTER 100 WAIT 5 6", 0},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct driver *driver = driver_new("Hill", 0);
        struct wire *client = driver_accept(driver);
        wire_sayf(client, "%s\n", rows[i].line);
        if (rows[i].ms > 0) {
            driver_advance_ms(driver, rows[i].ms - 1);
            EDGE_EXPECT(client, "%s", "");
            driver_advance_ms(driver, 1);
        }
        EDGE_EXPECT(client, "? %s\n", rows[i].line);
        driver_free(driver);
    }
}

static void several_waits_of_a_connection_end_in_their_time(void **state)
{
    (void)state;
    struct driver *driver = driver_new("Hill", 0);
    struct wire *client = driver_accept(driver);
    wire_say(client, "WHATSAT a 1 1 AFTER 1 WAIT 500\nWHATSAT b 1 1 AFTER 1 WAIT 100\n"
                     "WHATSAT c 1 1 AFTER 1 WAIT 1000\n");
    driver_advance_ms(driver, 499);
    EDGE_EXPECT(client, "%s", ""); /* b's is over, and behind a's */
    driver_advance_ms(driver, 1);
    EDGE_EXPECT(client, "? WHATSAT a 1 1 AFTER 1 WAIT 500\n? WHATSAT b 1 1 AFTER 1 WAIT 100\n");
    driver_advance_ms(driver, 500);
    EDGE_EXPECT(client, "? WHATSAT c 1 1 AFTER 1 WAIT 1000\n");
    driver_free(driver);
}

/* Jaquez has dialled Hill and been dialled, Juzang has only been dialled, Blake cannot be. */
struct trio {
    struct driver *driver;
    struct wire *client, *jaquez_in, *jaquez, *juzang, *blake;
};

static void trio_open(struct trio *trio)
{
    trio->driver = driver_new("Hill", 0);
    trio->client = driver_accept(trio->driver);
    trio->jaquez = driver_add_neighbour(trio->driver, "Jaquez");
    trio->juzang = driver_add_neighbour(trio->driver, "Juzang");
    trio->blake = driver_add_neighbour(trio->driver, "Blake");
    edge_greet(trio->jaquez);
    edge_resume(trio->jaquez, 0);
    edge_greet(trio->juzang);
    edge_resume(trio->juzang, 0);
    wire_dialled(trio->blake, "refused");
    trio->jaquez_in = edge_hello(trio->driver, 1, 0);
    wire_take(trio->jaquez_in);
    wire_take(trio->jaquez);
    wire_say(trio->jaquez, "PONG\n");
}

static void neighbours_are_asked_after_50_ms(void **state)
{
    (void)state;
    struct trio trio;
    trio_open(&trio);
    wire_say(trio.client, "WHATSAT c 1 1 AFTER 100\n");
    driver_advance_ms(trio.driver, 49);
    EDGE_EXPECT(trio.jaquez_in, "%s", "");
    EDGE_EXPECT(trio.jaquez, "%s", "");
    EDGE_EXPECT(trio.juzang, "%s", "");
    driver_advance_ms(trio.driver, 1);
    EDGE_EXPECT(trio.jaquez_in, "WANT c\n");
    EDGE_EXPECT(trio.jaquez, "%s", "");
    EDGE_EXPECT(trio.juzang, "WANT c\n");
    bring(trio.jaquez_in, "c", 100);
    EDGE_EXPECT(trio.client, BROUGHT("c", 100) PLACES);
    driver_advance_ms(trio.driver, 1900);
    EDGE_EXPECT(trio.jaquez_in, "%s", ""); /* once */
    driver_free(trio.driver);
}

static void nobody_is_asked_for_what_came_or_need_not_be_waited_for(void **state)
{
    (void)state;
    struct trio trio;
    trio_open(&trio);
    wire_say(trio.client, "WHATSAT c 1 1 AFTER 100\nWHATSAT d 1 1 AFTER 100 WAIT 50\n");
    driver_advance_ms(trio.driver, 49);
    bring(trio.jaquez_in, "c", 100);
    EDGE_EXPECT(trio.client, BROUGHT("c", 100) PLACES);
    driver_advance_ms(trio.driver, 1000);
    EDGE_EXPECT(trio.client, "? WHATSAT d 1 1 AFTER 100 WAIT 50\n");
    EDGE_EXPECT(trio.jaquez_in, "%s", "");
    driver_free(trio.driver);
}

/* A neighbour that takes no bytes is not asked without end. */
static void questions_to_a_full_connection_are_left_out(void **state)
{
    (void)state;
    struct trio trio;
    trio_open(&trio);
    size_t told = 0;
    trio.driver->reports_writes = false;
    for (unsigned round = 0; round < 200; round++) {
        struct wire *client = driver_accept(trio.driver);
        for (unsigned i = 0; i < 60; i++)
            wire_sayf(client, "WHATSAT %060u%0190u 1 1 AFTER 100 WAIT 51\n", i, round);
        driver_advance_ms(trio.driver, 50);
        wire_say(trio.jaquez_in, "PING\n");
        wire_say(trio.juzang, "PONG\n");
        wire_close(client, "gone");
        told += wire_take(trio.jaquez_in).len;
        wire_take(trio.juzang);
    }
    CHECK_TRUE(("%zu bytes", told), told < 80000);
    CHECK_TRUE(("%zu bytes", trio.juzang->unwritten), trio.juzang->unwritten < 300000);
    driver_free(trio.driver);
}

static void connection_that_closes_waits_no_more(void **state)
{
    (void)state;
    struct driver *driver = driver_new("Hill", 0);
    struct wire *client = driver_accept(driver), *other = driver_accept(driver);
    driver->answers_places = false;
    wire_say(client, "WHATSAT c 1 1 AFTER 100\nWHATSAT d 1 1 AFTER 100\n");
    wire_close(client, "gone");
    bring(other, "c", 100);
    driver_advance_ms(driver, 10000);
    CHECK_INT(("no call of the provider"), driver->ask_count, 0);
    CHECK_INT(("nobody was told"), stats(driver)->waits_expired, 0);
    assert_int_equal(herd_node_wakeup(driver->node), INT64_MAX);

    /* Gone between the record and its places. */
    client = driver_accept(driver);
    wire_say(client, "WHATSAT c 1 1 AFTER 200\n");
    bring(other, "c", 200);
    CHECK_INT(("a call"), driver->ask_count, 1);
    wire_close(client, "gone");
    driver_answer(driver, 0);
    driver_free(driver);
}

static void half_closed_connection_gets_its_answer(void **state)
{
    (void)state;
    struct driver *driver = driver_new("Hill", 0);
    struct wire *client = driver_accept(driver), *other = driver_accept(driver);
    wire_say(client, "WHATSAT c 1 1 AFTER 100");
    wire_end(client);
    assert_true(client->open);
    bring(other, "c", 100);
    EDGE_EXPECT(client, BROUGHT("c", 100) PLACES);
    assert_false(client->open);
    driver_free(driver);
}

static void node_that_stops_waits_no_more(void **state)
{
    (void)state;
    struct driver *driver = driver_new("Hill", 0);
    struct wire *client = driver_accept(driver), *slow = driver_accept(driver);
    wire_say(client, "WHATSAT c 1 1 AFTER 100\n");
    driver->ticks = false;
    for (unsigned i = 0; i < 70; i++) /* more than a turn takes, so that some are left */
        wire_say(slow, "bad\n");
    struct herd_buf lines = {0};
    for (unsigned i = 0; i < 70; i++)
        assert_int_equal(herd_buf_append_text(&lines, "bad\n"), 0);
    assert_int_equal(herd_buf_append_text(&lines, "WHATSAT c 1 1 AFTER 100\n"), 0);
    wire_send(slow, herd_buf_slice(&lines));
    herd_buf_free(&lines);
    driver->ticks = true;
    driver_stop(driver);
    EDGE_EXPECT(client, "? WHATSAT c 1 1 AFTER 100\n");
    assert_false(client->open);
    struct herd_slice got = wire_take(slow);
    CHECK_TEXT(("a line that was read before"), herd_slice(got.data + got.len - 26, 26),
               "? WHATSAT c 1 1 AFTER 100\n");
    assert_false(slow->open);
    driver_free(driver);
}

static void record_that_has_ended_is_no_answer(void **state)
{
    (void)state;
    struct herd_node_options options = driver_options("Hill");
    options.record_ttl_ns = 60 * HERD_NS_PER_S;
    struct driver *driver = driver_new_with(&options);
    struct wire *client = driver_accept(driver);
    wire_sayf(client, "FLOOD Jaquez c +1+1 100 %u.0 Blake +0.5\n", DRIVER_WALL_S - 30);
    wire_say(client, "WHATSAT c 1 1 AFTER 100\n");
    EDGE_EXPECT(client, BROUGHT("c", 100) PLACES);
    driver->now.wall_ns += 30 * HERD_NS_PER_S;
    wire_say(client, "WHATSAT c 1 1\n");
    EDGE_EXPECT(client, "? WHATSAT c 1 1\n");
    wire_say(client, "WHATSAT c 1 1 AFTER 100\n");
    wire_sayf(client, "FLOOD Jaquez c +1+1 200 %u.0 Blake +0.5\n", DRIVER_WALL_S - 30);
    driver_advance_ms(driver, 2000);
    EDGE_EXPECT(client, "? WHATSAT c 1 1 AFTER 100\n");
    driver_free(driver);
}

/* The other side of WANT. */

static void link_that_is_wanted_from_sends_that_record_alone(void **state)
{
    (void)state;
    struct wire *link = edge_new(5);
    edge_greet(link);
    edge_resume(link, 5);
    wire_take(link);
    struct herd_buf flood = {0};
    edge_flood(&flood, "c3", 3);
    wire_say(link, "WANT c3\n");
    CHECK_SLICE(("one"), wire_take(link), herd_buf_slice(&flood));
    wire_say(link, "WANT nobody\n");
    EDGE_EXPECT(link, "%s", "");
    edge_flood(&flood, "c1", 1);
    wire_say(link, "WANT c3 nobody c1\n");
    CHECK_SLICE(("two"), wire_take(link), herd_buf_slice(&flood));
    wire_say(link, "WANT\n"); /* no more than a line that is not understood */
    driver_advance_ms(link->driver, 500);
    EDGE_EXPECT(link, "%s", "");
    EDGE_STATE(link, "up");
    herd_buf_free(&flood);
    driver_free(link->driver);
}

static void listener_that_is_wanted_from_sends_over_its_own_link(void **state)
{
    (void)state;
    struct wire *link = edge_new(5);
    struct wire *inbound = edge_hello(link->driver, 7, 0), *stranger = driver_accept(link->driver);
    wire_take(inbound);
    wire_say(inbound, "WANT c3\n"); /* its link is not up: what is up to RESUME comes then */
    edge_greet(link);
    edge_resume(link, 5);
    wire_take(link);
    struct herd_buf flood = {0};
    edge_flood(&flood, "c3", 3);
    wire_say(inbound, "WANT nobody c3\n");
    CHECK_SLICE(("over the link"), wire_take(link), herd_buf_slice(&flood));
    EDGE_EXPECT(inbound, "%s", "");
    wire_say(stranger, "WANT c3\n");
    EDGE_EXPECT(link, "%s", "");
    EDGE_EXPECT(stranger, "%s", "");
    herd_buf_free(&flood);
    driver_free(link->driver);
}

static void longest_line_of_wants_is_bounded_by_the_window(void **state)
{
    (void)state;
    struct wire *link = edge_new(1);
    edge_greet(link);
    edge_resume(link, 1);
    wire_take(link);
    struct herd_buf want = {0};
    assert_int_equal(herd_buf_append_text(&want, "WANT"), 0);
    while (want.len + 3 <= HERD_LINE_MAX)
        assert_int_equal(herd_buf_append_text(&want, " c0"), 0);
    assert_int_equal(herd_buf_append_text(&want, "\n"), 0);
    link->driver->reports_writes = false;
    for (int i = 0; i < 20; i++)
        wire_send(link, herd_buf_slice(&want));
    CHECK_TRUE(("%zu bytes", link->unwritten), link->unwritten < 260 * 1024);
    CHECK_TRUE(("%zu bytes", link->unwritten), link->unwritten > 200 * 1024);
    herd_buf_free(&want);
    driver_free(link->driver);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_held_is_answered_at_once),
        cmocka_unit_test(flood_answers_what_waits),
        cmocka_unit_test(client_of_the_same_server_answers_it_too),
        cmocka_unit_test(answers_keep_the_order_of_their_requests),
        cmocka_unit_test(all_that_wait_for_a_client_are_answered),
        cmocka_unit_test(newer_is_not_enough_if_it_is_too_old),
        cmocka_unit_test(expiry_is_the_command_with_a_question_mark),
        cmocka_unit_test(waits_as_long_as_it_is_told),
        cmocka_unit_test(several_waits_of_a_connection_end_in_their_time),
        cmocka_unit_test(neighbours_are_asked_after_50_ms),
        cmocka_unit_test(nobody_is_asked_for_what_came_or_need_not_be_waited_for),
        cmocka_unit_test(questions_to_a_full_connection_are_left_out),
        cmocka_unit_test(connection_that_closes_waits_no_more),
        cmocka_unit_test(half_closed_connection_gets_its_answer),
        cmocka_unit_test(node_that_stops_waits_no_more),
        cmocka_unit_test(record_that_has_ended_is_no_answer),
        cmocka_unit_test(link_that_is_wanted_from_sends_that_record_alone),
        cmocka_unit_test(listener_that_is_wanted_from_sends_over_its_own_link),
        cmocka_unit_test(longest_line_of_wants_is_bounded_by_the_window),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
