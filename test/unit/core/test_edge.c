/* The life of an edge: dialling, delays, heartbeats both ways, and edges that come and go. */
#include <herd/err.h>

#include "core/link.h"
#include "core/node.h"
#include "edge.h"

static struct wire *edge_up(void)
{
    struct wire *link = edge_new(0);
    edge_greet(link);
    edge_resume(link, 0);
    EDGE_STATE(link, "up");
    return link;
}

/* The delay before each dial is below a ceiling that doubles from 100 ms to 5 s, and anything below
 * it. */
static void test_delays(void **state)
{
    static const int64_t ceilings_ms[] = {100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000};
    enum { ROUNDS = 200 };
    int64_t sums_ms[COUNT_OF(ceilings_ms)] = {0};
    (void)state;
    for (uint64_t seed = 0; seed < ROUNDS; seed++) {
        struct herd_node_options options = driver_options("Hill");
        options.seed = seed;
        struct driver *driver = driver_new_with(&options);
        struct wire *link = driver_add_neighbour(driver, "Jaquez");
        for (size_t i = 0; i < COUNT_OF(ceilings_ms); i++) {
            wire_dialled(link, "refused");
            EDGE_STATE(link, "waiting");
            int64_t delay_ms = driver_advance_to_dial(driver, link);
            CHECK_TRUE(("attempt %zu: %" PRId64 " ms", i, delay_ms), delay_ms < ceilings_ms[i]);
            sums_ms[i] += delay_ms;
        }
        assert_int_equal(driver_count_notices(driver, HERD_NOTICE_LINK_FAILED), 1);
        assert_int_equal(herd_node_stats(driver->node)->link_failures, COUNT_OF(ceilings_ms));
        driver_free(driver);
    }
    for (size_t i = 0; i < COUNT_OF(ceilings_ms); i++) {
        int64_t mean_ms = sums_ms[i] / ROUNDS;
        CHECK_TRUE(("attempt %zu: %" PRId64 " ms on average", i, mean_ms),
                   mean_ms > ceilings_ms[i] * 2 / 5 && mean_ms < ceilings_ms[i] * 3 / 5);
    }
}

static void test_delays_begin_anew_after_it_was_up(void **state)
{
    struct wire *link = edge_new(0);
    struct driver *driver = link->driver;
    (void)state;
    for (int i = 0; i < 9; i++) {
        wire_dialled(link, "refused");
        driver_advance_to_dial(driver, link);
    }
    edge_greet(link);
    edge_resume(link, 0);
    wire_close(link, "reset");
    assert_true(driver_advance_to_dial(driver, link) < 100);
    assert_int_equal(driver_count_notices(driver, HERD_NOTICE_LINK_FAILED), 1);
    wire_dialled(link, "refused"); /* news again, since it was up */
    assert_int_equal(driver_count_notices(driver, HERD_NOTICE_LINK_FAILED), 2);
    assert_string_equal(driver_last_notice(driver, HERD_NOTICE_LINK_FAILED)->reason, "refused");
    driver_free(driver);
}

/* One that answers HELLO and closes comes to nothing, however often: the delays grow. */
static void test_neighbour_that_greets_and_closes(void **state)
{
    enum { ENDS = 40 };
    struct wire *link = edge_new(0);
    struct driver *driver = link->driver;
    int64_t took_ms = 0;
    (void)state;
    for (int i = 0; i < ENDS; i++) {
        edge_greet(link);
        edge_resume(link, 0);
        wire_close(link, "reset");
        int64_t delay_ms = driver_advance_to_dial(driver, link);
        CHECK_TRUE(("end %d: %" PRId64 " ms", i, delay_ms), delay_ms < (i > 0 ? 5000 : 100));
        took_ms += delay_ms;
    }
    CHECK_TRUE(("%d ends in %" PRId64 " ms", ENDS, took_ms), took_ms > ENDS * 5000 / 2 / 2);
    edge_greet(link);
    edge_resume(link, 0);
    driver_advance_ms(driver, 2000); /* this one stands */
    wire_close(link, "reset");
    for (int i = 0; i < 2; i++) {
        assert_true(driver_advance_to_dial(driver, link) < 100 << i);
        wire_dialled(link, "refused");
    }
    driver_advance_to_dial(driver, link);
    edge_greet(link);
    edge_resume(link, 0);
    wire_close(link, "reset"); /* the first in a row again */
    assert_true(driver_advance_to_dial(driver, link) < 100);
    driver_free(driver);
}

static void test_dial_that_hangs(void **state)
{
    struct wire *link = edge_new(0);
    struct driver *driver = link->driver;
    (void)state;
    driver_advance_ms(driver, 2999);
    assert_true(link->dialling);
    driver_advance_ms(driver, 1);
    assert_true(link->aborted);
    assert_int_equal(driver_count_notices(driver, HERD_NOTICE_LINK_FAILED), 1);
    if (!link->dialling)
        driver_advance_to_dial(driver, link);
    edge_greet(link);
    driver_free(driver);
}

/* It may turn out either way that a dial was given up: closed, or failed. */
static void test_dial_that_hangs_and_fails_then(void **state)
{
    struct wire *link = edge_new(0);
    struct driver *driver = link->driver;
    (void)state;
    driver->closes = false;
    driver_advance_ms(driver, 3000);
    assert_true(link->closing);
    EDGE_STATE(link, "closing");
    wire_dialled(link, "cancelled");
    EDGE_STATE(link, "waiting");
    driver_advance_to_dial(driver, link);
    edge_greet(link);
    driver_free(driver);
}

static void test_neighbour_that_says_hello_is_dialled_at_once(void **state)
{
    struct wire *link = edge_new(0);
    struct driver *driver = link->driver;
    (void)state;
    for (int i = 0; i < 9; i++) {
        wire_dialled(link, "refused");
        driver_advance_to_dial(driver, link);
    }
    wire_dialled(link, "refused");
    EDGE_STATE(link, "waiting");
    struct wire *inbound = edge_hello(driver, 7, 0);
    assert_true(link->dialling);
    EDGE_EXPECT(inbound, "RESUME 0000000000000007 0\n");
    struct herd_link_status status;
    assert_true(herd_node_link(driver->node, 0, &status));
    assert_true(status.inbound);
    assert_false(status.up);
    assert_false(herd_node_link(driver->node, 1, &status));
    wire_close(inbound, "reset");
    assert_true(herd_node_link(driver->node, 0, &status));
    assert_false(status.inbound);
    driver_free(driver);
}

/* A plain neighbour says no HELLO; its first FLOOD shows that it is there. The others do not make
 * this server dial as often as they come. */
static void test_flood_makes_it_dial_once_a_connection(void **state)
{
    struct wire *link = edge_new(0);
    struct driver *driver = link->driver;
    (void)state;
    wire_dialled(link, "refused");
    for (unsigned i = 0; i < 3; i++) {
        struct wire *inbound = driver_accept(driver);
        if (link->dialling)
            wire_dialled(link, "refused");
        wire_sayf(inbound, "FLOOD Jaquez a +1+1 %u 1.0 Jaquez +0.0\n", i);
        assert_true(link->dialling);
        wire_dialled(link, "refused");
        unsigned dials = link->dials;
        for (unsigned j = 0; j < 100; j++)
            wire_sayf(inbound, "FLOOD Jaquez b +1+1 %u 1.0 Jaquez +0.0\n", i * 100 + j);
        assert_int_equal(link->dials, dials);
    }
    driver_free(driver);
}

static void test_silence_on_a_link(void **state)
{
    struct wire *link = edge_up();
    struct driver *driver = link->driver;
    (void)state;
    for (int round = 0; round < 3; round++) {
        driver_advance_ms(driver, 1999);
        EDGE_EXPECT(link, "%s", "");
        driver_advance_ms(driver, 1);
        EDGE_EXPECT(link, "PING\n");
        driver_advance_ms(driver, 3999);
        EDGE_EXPECT(link, "%s", "");
        assert_true(link->open);
        wire_say(link, "PONG\n");
    }
    driver_advance_ms(driver, 2000);
    EDGE_EXPECT(link, "PING\n");
    driver_advance_ms(driver, 3999);
    assert_true(link->open);
    driver_advance_ms(driver, 1);
    assert_false(link->open);
    assert_true(link->aborted);
    const struct herd_notice *down = driver_last_notice(driver, HERD_NOTICE_LINK_DOWN);
    assert_non_null(down);
    assert_string_equal(down->reason, "no answer to PING");
    driver_free(driver);
}

/* Who talks is not asked. */
static void test_no_ping_to_who_talks(void **state)
{
    struct wire *link = edge_up();
    struct driver *driver = link->driver;
    (void)state;
    for (int i = 0; i < 10; i++) {
        driver_advance_ms(driver, 1900);
        wire_say(link, "PING\n");
        EDGE_EXPECT(link, "PONG\n");
    }
    driver_free(driver);
}

static void test_silence_of_a_neighbour_that_has_dialled(void **state)
{
    struct wire *link = edge_new(0);
    struct driver *driver = link->driver;
    struct wire *inbound = edge_hello(driver, 7, 0);
    (void)state;
    wire_take(inbound);
    for (int round = 0; round < 3; round++) {
        driver_advance_ms(driver, 1999);
        EDGE_EXPECT(inbound, "%s", "");
        driver_advance_ms(driver, 1);
        EDGE_EXPECT(inbound, "PING\n");
        driver_advance_ms(driver, 3999);
        assert_true(inbound->open);
        if (round == 1)
            wire_say(inbound, "MARK 0000000000000007 1\n"); /* any word will do */
        else
            wire_say(inbound, "PONG\n");
    }
    driver_advance_ms(driver, 6000);
    assert_false(inbound->open);
    assert_true(inbound->aborted);
    driver_free(driver);
}

/* A client is never asked, however long it is silent. */
static void test_silence_of_a_client(void **state)
{
    struct driver *driver = driver_new("Hill", 0);
    struct wire *wire = driver_accept(driver);
    (void)state;
    assert_true(herd_node_wakeup(driver->node) == INT64_MAX);
    driver_advance_ms(driver, 86400000);
    assert_int_equal(wire->got.len, 0);
    assert_true(wire->open);
    driver_free(driver);
}

/* PING does not wait behind a question of the same connection, and leaves its books in order. */
static void test_ping_while_places_are_awaited(void **state)
{
    struct wire *link = edge_new(1);
    struct driver *driver = link->driver;
    struct wire *inbound = edge_hello(driver, 7, 0);
    (void)state;
    wire_take(inbound);
    driver->answers_places = false;
    wire_say(inbound, "WHATSAT c0 1 1\n");
    driver_advance_ms(driver, 2000);
    EDGE_EXPECT(inbound, "PING\n");
    wire_say(inbound, "PONG\n");
    driver_answer(driver, 0);
    CHECK_TEXT(("AT"), herd_slice(wire_take(inbound).data, 8), "AT Hill ");
    assert_int_equal(inbound->conn->work->held, 0);
    wire_say(inbound, "PING\n");
    EDGE_EXPECT(inbound, "PONG\n");
    assert_true(inbound->reading);
    driver_free(driver);
}

/* A neighbour that dials anew may have lost the connection this server holds to it as well. */
static void test_hello_makes_a_link_ask(void **state)
{
    struct wire *link = edge_up();
    struct driver *driver = link->driver;
    (void)state;
    edge_hello(driver, 7, 0);
    EDGE_EXPECT(link, "PING\n");
    edge_hello(driver, 7, 0);
    EDGE_EXPECT(link, "%s", ""); /* asked already */
    driver_advance_ms(driver, 4000);
    assert_int_equal(driver_count_notices(driver, HERD_NOTICE_LINK_DOWN), 1);
    driver_free(driver);
}

static void test_end_of_a_link(void **state)
{
    struct wire *link = edge_up();
    struct driver *driver = link->driver;
    (void)state;
    wire_end(link);
    assert_false(link->open);
    EDGE_STATE(link, "waiting");
    assert_true(driver_advance_to_dial(driver, link) < 100);
    driver_free(driver);
}

/* A loop may take its time to close; the node does not ask to be called all the while. */
static void test_slow_close_after_the_end(void **state)
{
    struct wire *link = edge_up();
    struct driver *driver = link->driver;
    (void)state;
    edge_update(driver, "a", 1);
    driver->closes = false;
    wire_end(link);
    assert_true(link->closing);
    driver_advance_ms(driver, 60000); /* the driver counts the calls */
    wire_close(link, "closed");
    driver->closes = true;
    driver_advance_to_dial(driver, link);
    driver_free(driver);
}

static void bring_to(struct wire *link, const char *state)
{
    struct driver *driver = link->driver;
    if (strcmp(state, "waiting") == 0)
        wire_dialled(link, "refused");
    if (strcmp(state, "greeting") == 0 || strcmp(state, "up") == 0 || strcmp(state, "plain") == 0)
        wire_dialled(link, NULL);
    if (strcmp(state, "up") == 0)
        edge_resume(link, 0);
    if (strcmp(state, "plain") == 0)
        driver_advance_ms(driver, 300);
    if (strcmp(state, "closing") == 0) {
        wire_dialled(link, NULL);
        driver->closes = false;
        wire_say(link, "REFUSE no\n");
    }
    EDGE_STATE(link, state);
}

static void test_edge_removed_in_every_state(void **state)
{
    static const char *const states[] = {"waiting", "dialling", "greeting",
                                         "up",      "plain",    "closing"};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(states); i++) {
        struct wire *link = edge_new(3);
        struct driver *driver = link->driver;
        /* One that has said HELLO is never taken for a plain one. */
        bool is_plain = strcmp(states[i], "plain") == 0;
        struct wire *inbound = is_plain ? driver_accept(driver) : edge_hello(driver, 7, 0);
        bring_to(link, states[i]);
        driver_remove_neighbour(driver, "Jaquez");
        wire_close(link, "closed");
        CHECK_TRUE(("%s", states[i]), !link->open);
        EDGE_STATE(link, "");
        assert_int_equal(herd_node_remove_neighbour(driver->node, driver->now, "Jaquez"),
                         HERD_ENOTFOUND);
        driver->closes = true;
        wire_close(inbound, "closed");
        driver_advance_ms(driver, 60000);
        CHECK_INT(("%s", states[i]), link->dials, 1);
        CHECK_TRUE(("%s", states[i]), herd_node_wakeup(driver->node) == INT64_MAX);
        driver_free(driver);
    }
}

/* The same neighbour again, while the old link is still being closed. */
static void test_edge_removed_and_added(void **state)
{
    struct wire *link = edge_up();
    struct driver *driver = link->driver;
    (void)state;
    assert_int_equal(herd_node_add_neighbour(driver->node, driver->now, "Jaquez", NULL),
                     HERD_EEXISTS);
    driver->closes = false;
    driver_remove_neighbour(driver, "Jaquez");
    struct wire *next = driver_add_neighbour(driver, "Jaquez");
    assert_true(next->dialling);
    wire_close(link, "closed");
    edge_greet(next);
    edge_resume(next, 0);
    EDGE_STATE(next, "up");
    driver_free(driver);
}

/* What its own connection says afterwards is heard as from anyone. */
static void test_neighbour_that_is_none_any_more(void **state)
{
    struct wire *link = edge_up();
    struct driver *driver = link->driver;
    struct wire *inbound = edge_hello(driver, 7, 0);
    (void)state;
    wire_take(inbound);
    driver->closes = false;
    driver_remove_neighbour(driver, "Jaquez");
    assert_true(inbound->closing);
    assert_null(herd_conn_peer(inbound->conn));
    wire_say(inbound, "FLOOD Jaquez a +1+1 1 1.0 Jaquez +0.0\n"); /* too late */
    assert_int_equal(herd_store_count(herd_node_store(driver->node)), 0);
    wire_close(inbound, "closed");
    wire_close(link, "closed");
    driver_free(driver);
}

/* It has said HELLO before the configuration named it: it says so again, and its marks count. */
static void test_stranger_that_becomes_a_neighbour(void **state)
{
    struct driver *driver = driver_new("Hill", 0);
    struct wire *early = edge_hello(driver, 7, 9), *client = driver_accept(driver);
    (void)state;
    driver->keeps_upkeep = true;
    EDGE_EXPECT(early, "RESUME 0000000000000007 0\n");
    assert_true(early->open);
    driver_add_neighbour(driver, "Jaquez");
    assert_false(early->open);
    assert_true(client->open);
    struct wire *inbound = edge_hello(driver, 7, 9);
    assert_string_equal(herd_conn_peer(inbound->conn), "Jaquez");
    EDGE_EXPECT(inbound, "RESUME 0000000000000007 0\n");
    wire_say(inbound, "MARK 0000000000000007 9\n");
    EDGE_EXPECT(inbound, "ACK 0000000000000007 9\n");
    driver_add_neighbour(driver, "Smith");
    assert_true(inbound->open);
    driver_free(driver);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_delays),
        cmocka_unit_test(test_delays_begin_anew_after_it_was_up),
        cmocka_unit_test(test_neighbour_that_greets_and_closes),
        cmocka_unit_test(test_dial_that_hangs),
        cmocka_unit_test(test_dial_that_hangs_and_fails_then),
        cmocka_unit_test(test_neighbour_that_says_hello_is_dialled_at_once),
        cmocka_unit_test(test_flood_makes_it_dial_once_a_connection),
        cmocka_unit_test(test_silence_on_a_link),
        cmocka_unit_test(test_no_ping_to_who_talks),
        cmocka_unit_test(test_silence_of_a_neighbour_that_has_dialled),
        cmocka_unit_test(test_silence_of_a_client),
        cmocka_unit_test(test_ping_while_places_are_awaited),
        cmocka_unit_test(test_hello_makes_a_link_ask),
        cmocka_unit_test(test_end_of_a_link),
        cmocka_unit_test(test_slow_close_after_the_end),
        cmocka_unit_test(test_edge_removed_in_every_state),
        cmocka_unit_test(test_edge_removed_and_added),
        cmocka_unit_test(test_neighbour_that_is_none_any_more),
        cmocka_unit_test(test_stranger_that_becomes_a_neighbour),
    };
    return cmocka_run_group_tests_name("edge", tests, NULL, NULL);
}
