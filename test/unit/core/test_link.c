/* A link to a neighbour that knows HELLO: where it goes on, what it sends, its window and its end.
 */
#include <herd/err.h>
#include <herd/proto.h>

#include "core/link.h"
#include "core/node.h"
#include "edge.h"

static uint64_t epoch_of(const struct wire *link)
{
    return herd_node_epoch(link->driver->node);
}

/* The FLOOD lines of clients c<first> to c<first+count-1>, each with its number as its time. */
static void expect_floods(struct wire *link, unsigned first, unsigned count)
{
    struct herd_buf text = {0};
    for (unsigned i = first; i < first + count; i++) {
        char name[16];
        snprintf(name, sizeof(name), "c%u", i);
        edge_flood(&text, name, i);
    }
    CHECK_SLICE(("%u from c%u", count, first), wire_take(link), herd_buf_slice(&text));
    herd_buf_free(&text);
}

static void expect_flood(struct wire *link, const char *client, unsigned second)
{
    struct herd_buf text = {0};
    edge_flood(&text, client, second);
    CHECK_SLICE(("%s %u", client, second), wire_take(link), herd_buf_slice(&text));
    herd_buf_free(&text);
}

static void expect_mark(struct wire *link, uint64_t sequence)
{
    EDGE_EXPECT(link, "MARK %016" PRIx64 " %" PRIu64 "\n", epoch_of(link), sequence);
}

/* An edge that is up, its records sent and marked. */
static struct wire *edge_up(unsigned clients)
{
    struct wire *link = edge_new(clients);
    edge_greet(link);
    edge_resume(link, 0);
    driver_advance_ms(link->driver, 100);
    wire_take(link);
    EDGE_STATE(link, "up");
    return link;
}

static void test_all_records_then_news(void **state)
{
    struct wire *link = edge_new(3);
    struct driver *driver = link->driver;
    (void)state;
    assert_true(link->dialling);
    EDGE_STATE(link, "dialling");
    edge_greet(link);
    edge_resume(link, 0);
    EDGE_STATE(link, "up");
    expect_floods(link, 0, 3);
    const struct herd_notice *up = driver_last_notice(driver, HERD_NOTICE_LINK_UP);
    assert_non_null(up);
    assert_string_equal(up->peer, "Jaquez");
    driver_advance_ms(driver, 99);
    EDGE_EXPECT(link, "%s", "");
    driver_advance_ms(driver, 1);
    expect_mark(link, 3);
    edge_update(driver, "c3", 3);
    expect_floods(link, 3, 1);
    driver_advance_ms(driver, 100);
    expect_mark(link, 4);
    driver_advance_ms(driver, 1000);
    EDGE_EXPECT(link, "%s", "");
    assert_int_equal(herd_node_stats(driver->node)->floods_sent, 4);
    driver_free(driver);
}

static void test_hello_has_the_skew(void **state)
{
    struct driver *driver = driver_new("Hill", 300 * HERD_NS_PER_S);
    struct wire *link = driver_add_neighbour(driver, "Jaquez");
    (void)state;
    wire_dialled(link, NULL);
    EDGE_EXPECT(link, "HELLO Hill 2 %016" PRIx64 " 0 300 ttl=0\n", epoch_of(link));
    driver_free(driver);
}

/* RESUME of each kind, when c0 to c9 were applied as 1 to 10 and then c2 again as 11. */
static void test_resume(void **state)
{
    static const struct {
        int64_t epoch_delta;
        uint64_t sequence;
        unsigned first, count; /* of c0, c1, c3, … c9 */
    } rows[] = {
        {0, 0, 0, 10},          {0, 1, 1, 9},   {0, 2, 2, 8},   {0, 5, 4, 6},
        {0, 10, 9, 1},          {0, 11, 10, 0}, {0, 12, 0, 10}, /* more than there is: not this
                                                                   memory */
        {0, UINT64_MAX, 0, 10}, {1, 5, 0, 10},  {1, 0, 0, 10},
    };
    static const char *const names[] = {"c0", "c1", "c3", "c4", "c5", "c6", "c7", "c8", "c9", "c2"};
    static const unsigned seconds[] = {0, 1, 3, 4, 5, 6, 7, 8, 9, 12};
    struct herd_link_status status;
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct wire *link = edge_new(10);
        struct herd_buf text = {0};
        edge_update(link->driver, "c2", 12);
        edge_greet(link);
        wire_sayf(link, "RESUME %016" PRIx64 " %" PRIu64 "\n",
                  epoch_of(link) + (uint64_t)rows[i].epoch_delta, rows[i].sequence);
        for (unsigned j = rows[i].first; j < rows[i].first + rows[i].count; j++)
            edge_flood(&text, names[j], seconds[j]);
        CHECK_SLICE(("row %zu", i), wire_take(link), herd_buf_slice(&text));
        /* An ACK may have been lost, and there is no other one where nothing is left to be sent. */
        assert_true(herd_node_link(link->driver->node, 0, &status));
        assert_int_equal(status.acked, rows[i].count < 10 ? rows[i].sequence : 0);
        driver_advance_ms(link->driver, 100);
        if (rows[i].count > 0)
            expect_mark(link, 11);
        EDGE_EXPECT(link, "%s", "");
        herd_buf_free(&text);
        driver_free(link->driver);
    }
}

/* On the way back from an outage, one for all. */
static void test_one_mark_for_a_catch_up(void **state)
{
    struct wire *link = edge_new(150);
    struct herd_buf text = {0};
    (void)state;
    edge_greet(link);
    edge_resume(link, 0);
    for (unsigned i = 0; i < 150; i++) {
        char name[16];
        snprintf(name, sizeof(name), "c%u", i);
        edge_flood(&text, name, i);
    }
    CHECK_SLICE(("batch"), wire_take(link), herd_buf_slice(&text));
    driver_advance_ms(link->driver, 100);
    expect_mark(link, 150);
    herd_buf_free(&text);
    driver_free(link->driver);
}

static void test_words_of_the_neighbour_do_not_go_back(void **state)
{
    struct wire *link = edge_up(0);
    struct driver *driver = link->driver;
    struct wire *inbound = edge_hello(driver, 7, 1);
    (void)state;
    wire_say(inbound, "FLOOD Jaquez x +1+1 1 1.0 Jaquez +0.0\n");
    EDGE_EXPECT(link, "PING\n"); /* it may have lost this connection */
    wire_say(link, "PONG\n");
    driver_advance_ms(driver, 100);
    expect_mark(link, 1); /* passed over is passed on */
    edge_update(driver, "x", 2);
    expect_flood(link, "x", 2);
    driver_free(driver);
}

/* The neighbour has lost its memory: it says so by its epoch, or by where it wants to go on. */
static void test_words_of_the_neighbour_go_back_when_it_lost_them(void **state)
{
    static const char flood[] = "FLOOD Hill x +1+1 1 1.0 Jaquez +0.0\n";
    (void)state;
    for (int how = 0; how < 3; how++) {
        struct wire *link = edge_up(1);
        struct driver *driver = link->driver;
        struct wire *inbound = edge_hello(driver, 7, 5);
        wire_say(inbound, "FLOOD Jaquez x +1+1 1 1.0 Jaquez +0.0\nMARK 0000000000000007 5\n");
        wire_close(inbound, "reset");
        wire_close(link, "reset");
        driver_advance_to_dial(driver, link);
        if (how == 0) /* another epoch */
            edge_hello(driver, 8, 0);
        else if (how == 1) /* the same, but from further back: the end of its journal is gone */
            edge_hello(driver, 7, 4);
        wire_dialled(link, NULL);
        wire_take(link);
        edge_resume(link, how == 2 ? 0 : 1);
        struct herd_slice got = wire_take(link);
        size_t len = sizeof(flood) - 1;
        CHECK_TRUE(("%d: %zu bytes", how, got.len), got.len >= len);
        CHECK_TEXT(("%d", how), herd_slice(got.data + got.len - len, len), flood);
        driver_free(driver);
    }
}

/*
 * The link is up with the neighbour's next life already when words of the former one arrive: they
 * are passed over, and marked as held. Once the next life has said HELLO they go back to it, also
 * when its RESUME claims them.
 */
static void test_words_of_a_former_life_go_back(void **state)
{
    struct wire *link = edge_up(1);
    struct driver *driver = link->driver;
    struct wire *former = edge_hello(driver, 1, 0);
    (void)state;
    wire_close(link, "reset");
    driver_advance_to_dial(driver, link);
    edge_greet(link);
    edge_resume(link, 0);
    expect_flood(link, "c0", 0);
    wire_say(former, "FLOOD Jaquez late +1+1 5 6.000000000 Jaquez +1.000000000\n");
    driver_advance_ms(driver, 100);
    expect_mark(link, 2);
    edge_hello(driver, 2, 0);
    assert_false(link->open);
    for (int times = 0; times < 2; times++) { /* RESUME may claim it more than once */
        driver_advance_to_dial(driver, link);
        edge_greet(link);
        edge_resume(link, 2);
        EDGE_EXPECT(link, "FLOOD Hill late +1+1 5 6.000000000 Jaquez +1.000000000\n");
        wire_close(link, "reset");
    }
    driver_free(driver);
}

/* A MARK behind what was owed says that it has come. */
static void test_what_was_owed_is_owed_no_more(void **state)
{
    struct wire *link = edge_up(1);
    struct driver *driver = link->driver;
    (void)state;
    wire_say(edge_hello(driver, 1, 0), "FLOOD Jaquez late +1+1 5 6.0 Jaquez +1.0\n");
    edge_hello(driver, 2, 0);
    driver_advance_to_dial(driver, link);
    edge_greet(link);
    edge_resume(link, 2);
    edge_update(driver, "c1", 1);
    driver_advance_ms(driver, 100);
    wire_close(link, "reset");
    driver_advance_to_dial(driver, link);
    edge_greet(link);
    edge_resume(link, 3);
    EDGE_EXPECT(link, "%s", "");
    driver_free(driver);
}

static void test_a_slow_neighbour_gets_the_newest_only(void **state)
{
    struct wire *link = edge_up(0);
    struct driver *driver = link->driver;
    (void)state;
    driver->reports_writes = false;
    unsigned i = 0;
    for (; link_has_room(conn_link(link->conn)); i++) {
        char name[16];
        snprintf(name, sizeof(name), "x%u", i);
        edge_update(driver, name, 1);
        assert_true(i < 10000);
    }
    wire_take(link);
    assert_in_range(link->unwritten, LINK_WINDOW_BYTES - 200, LINK_WINDOW_BYTES + 200);
    edge_update(driver, "a", 1);
    edge_update(driver, "b", 1);
    edge_update(driver, "a", 2);
    edge_update(driver, "a", 3);
    EDGE_EXPECT(link, "%s", "");
    driver_advance_ms(driver, 1);
    wire_wrote(link, SIZE_MAX); /* the kernel has it: that is nothing that it has read */
    EDGE_EXPECT(link, "%s", "");
    driver->answers_pings = true;
    wire_answer_pings(link);
    driver_run(driver);
    struct herd_buf text = {0};
    edge_flood(&text, "b", 1);
    edge_flood(&text, "a", 3);
    struct herd_slice got = wire_take(link);
    assert_true(got.len >= text.len);
    CHECK_SLICE(("newest"), herd_slice(got.data, text.len), herd_buf_slice(&text));
    herd_buf_free(&text);
    driver_free(driver);
}

/* A catch-up that takes many turns, in which others get theirs. */
static void test_long_catch_up(void **state)
{
    enum { CLIENTS = 3 * LINK_STEPS_PER_TURN };
    struct driver *driver = driver_new("Hill", 0);
    struct wire *wire = driver_accept(driver);
    (void)state;
    for (unsigned i = 0; i < CLIENTS; i++)
        wire_sayf(wire, "IAMAT c%u +1+1 %u\n", i, i);
    struct wire *link = driver_add_neighbour(driver, "Jaquez");
    driver->answers_pings = true;
    edge_greet(link);
    edge_resume(link, 0);
    driver_advance_ms(driver, 100);
    struct herd_slice got = wire_take(link), line;
    struct herd_frame frame = {0};
    unsigned next = 0;
    uint64_t marked = 0;
    while (herd_frame_next(&frame, &got, &line) == 1) {
        struct herd_command command;
        assert_int_equal(herd_command_parse(line, &command), 0);
        if (command.verb == HERD_VERB_MARK) {
            assert_true(command.sequence == next && command.sequence > marked);
            marked = command.sequence;
            continue;
        }
        if (command.verb == HERD_VERB_PING)
            continue;
        assert_int_equal(command.verb, HERD_VERB_FLOOD);
        assert_int_equal(command.record.sent_ns, next++ * HERD_NS_PER_S);
    }
    assert_int_equal(next, CLIENTS);
    assert_int_equal(marked, CLIENTS);
    driver_free(driver);
}

/* From the end of the list back to an old sequence, a few thousand records a turn. */
static void test_long_way_back(void **state)
{
    enum { CLIENTS = 3 * LINK_STEPS_PER_TURN };
    struct driver *driver = driver_new("Hill", 0);
    struct wire *wire = driver_accept(driver);
    (void)state;
    for (unsigned i = 0; i < CLIENTS; i++)
        wire_sayf(wire, "IAMAT c%u +1+1 %u\n", i, i);
    struct wire *link = driver_add_neighbour(driver, "Jaquez");
    edge_greet(link);
    driver->ticks = false;
    edge_resume(link, 1);
    EDGE_STATE(link, "seeking");
    EDGE_EXPECT(link, "%s", "");
    wire_say(wire, "PING\n");
    driver->ticks = true;
    driver_run(driver);
    EDGE_STATE(link, "up");
    struct herd_slice got = wire_take(link);
    CHECK_TEXT(("first"), herd_slice(got.data, 20), "FLOOD Hill c1 +1+1 1");
    driver_free(driver);
}

/* Nothing of an old connection may wake the node while it waits to dial again. */
static void test_no_rest_of_a_connection_wakes_the_node(void **state)
{
    struct wire *link = edge_up(0);
    struct driver *driver = link->driver;
    (void)state;
    driver->ticks = false;
    for (int round = 0; round < 20; round++) {
        edge_update(driver, "a", (unsigned)round); /* to be marked in 100 ms */
        driver->now.mono_ns += 90 * HERD_NS_PER_MS;
        wire_close(link, "reset");
        EDGE_STATE(link, "waiting");
        assert_string_equal(driver_last_notice(driver, HERD_NOTICE_LINK_DOWN)->reason, "reset");
        while (!link->dialling) {
            int64_t wakeup = herd_node_wakeup(driver->node);
            CHECK_TRUE(("round %d: again at once", round), wakeup > driver->now.mono_ns);
            driver->now.mono_ns = wakeup;
            herd_node_tick(driver->node, driver->now);
            driver_run(driver);
        }
        wire_dialled(link, NULL);
        edge_resume(link, 0);
    }
    driver_free(driver);
}

/* The same while a long catch-up is cut off. */
static void test_no_rest_of_a_catch_up_wakes_the_node(void **state)
{
    struct driver *driver = driver_new("Hill", 0);
    struct wire *wire = driver_accept(driver);
    (void)state;
    for (unsigned i = 0; i < 2 * LINK_STEPS_PER_TURN; i++)
        wire_sayf(wire, "FLOOD Jaquez c%u +1+1 %u 1.0 Jaquez +0.0\n", i, i);
    struct wire *link = driver_add_neighbour(driver, "Jaquez");
    edge_greet(link);
    driver->ticks = false;
    edge_resume(link, 1);
    wire_close(link, "reset");
    EDGE_STATE(link, "waiting");
    assert_true(herd_node_wakeup(driver->node) >= driver->now.mono_ns);
    driver_free(driver);
}

/* Answers to PING are no way round the window. */
static void test_pings_are_bounded(void **state)
{
    struct wire *link = edge_up(0);
    struct driver *driver = link->driver;
    struct herd_buf pings = {0};
    (void)state;
    for (int i = 0; i < 10000; i++)
        assert_int_equal(herd_buf_append_text(&pings, "PING\n"), 0);
    driver->reports_writes = false;
    for (int i = 0; i < 50; i++)
        wire_send(link, herd_buf_slice(&pings));
    assert_true(link->unwritten <= 2 * LINK_WINDOW_BYTES);
    assert_true(link->open);
    /* It goes on once the neighbour reads. */
    driver->reports_writes = driver->answers_pings = true;
    wire_wrote(link, link->unwritten);
    wire_take(link);
    wire_say(link, "PING\n");
    EDGE_EXPECT(link, "PONG\n");
    edge_update(driver, "a", 1);
    expect_flood(link, "a", 1);
    herd_buf_free(&pings);
    driver_free(driver);
}

/* Something new for the first link while the effects of the second are being taken. */
static void test_news_while_effects_are_taken(void **state)
{
    struct wire *link = edge_up(0);
    struct driver *driver = link->driver;
    struct wire *other = driver_add_neighbour(driver, "Smith");
    struct herd_conn *conn;
    struct herd_effect effect;
    struct wire source = {.open = true, .driver = driver};
    unsigned floods = 0;
    (void)state;
    wire_dialled(other, NULL);
    wire_sayf(other, "RESUME %016" PRIx64 " 0\n", epoch_of(link));
    assert_int_equal(herd_node_accept(driver->node, &source, &conn), 0);
    static const char first[] = "FLOOD Singleton a +1+1 1 1.0 Singleton +0.0\n";
    static const char second[] = "FLOOD Singleton b +1+1 1 1.0 Singleton +0.0\n";
    herd_conn_receive(conn, driver->now, first, sizeof(first) - 1);
    while (herd_node_effect(driver->node, driver->now, &effect)) {
        assert_int_equal(effect.kind, HERD_EFFECT_WRITE);
        if (herd_conn_data(effect.conn) == other)
            herd_conn_receive(conn, driver->now, second, sizeof(second) - 1);
        size_t len = effect.output.len;
        for (size_t i = 0; i < len; i++)
            floods += effect.output.data[i] == '\n';
        herd_node_recycle(driver->node, &effect.output);
        herd_conn_wrote(effect.conn, driver->now, len);
    }
    assert_int_equal(floods, 4); /* two records, two neighbours */
    herd_conn_closed(conn, driver->now, "the test is over");
    driver_free(driver);
}

static void test_refused(void **state)
{
    struct wire *link = edge_new(0);
    struct driver *driver = link->driver;
    (void)state;
    edge_greet(link);
    wire_say(link, "REFUSE max_skew_s differs, says \xc3\xa9\n");
    assert_false(link->open);
    assert_true(link->aborted);
    EDGE_STATE(link, "waiting");
    const struct herd_notice *notice = driver_last_notice(driver, HERD_NOTICE_LINK_REFUSED);
    assert_non_null(notice);
    assert_string_equal(notice->reason, "max_skew_s differs, says \xc3\xa9");
    assert_true(driver_advance_to_dial(driver, link) < 5000);
    edge_greet(link); /* it tries again, and says HELLO again */
    driver_free(driver);
}

/* Whatever else a listener says on a link changes nothing. */
static void test_other_lines_on_a_link(void **state)
{
    static const char *const lines[] = {
        "\n",
        "x\n",
        "? FLOOD what\n",
        "? HELLO what\n",
        "IAMAT a +1+1 1\n",
        "WHATSAT a 1 1\n",
        "FLOOD Jaquez a +1+1 1 1.0 Jaquez +0.0\n",
        "HELLO Jaquez 2 0000000000000001 1 -\n",
        "MARK 0000000000000001 1\n",
        "RESUME 0000000000000001 1\n",
        "PONG\n",
        "PONG\n",
    };
    struct wire *link = edge_up(1);
    (void)state;
    for (size_t i = 0; i < COUNT_OF(lines); i++) {
        wire_say(link, lines[i]);
        EDGE_EXPECT(link, "%s", "");
        EDGE_STATE(link, "up");
    }
    assert_int_equal(herd_store_count(herd_node_store(link->driver->node)), 1);
    driver_free(link->driver);
}

static void test_stop_sends_what_clients_were_told(void **state)
{
    struct wire *link = edge_up(0);
    struct driver *driver = link->driver;
    struct wire *wire = driver_accept(driver);
    (void)state;
    driver->reports_writes = false; /* the FLOOD is still on its way when the server stops */
    wire_say(wire, "IAMAT a +1+1 1\n");
    driver_stop(driver);
    expect_flood(link, "a", 1);
    assert_false(link->open);
    assert_false(link->aborted);
    driver_advance_ms(driver, 60000);
    assert_int_equal(link->dials, 1);
    driver_free(driver);
}

/* The loop stood still when it was to be dialled, and then the server is told to stop: there is no
 * connection that could be closed. */
static void test_what_was_not_dialled_is_not_given_up(void **state)
{
    struct herd_node_options options = driver_options("Hill");
    struct herd_now now = {.wall_ns = DRIVER_WALL_S * HERD_NS_PER_S};
    struct herd_effect effect;
    struct herd_node *node;
    (void)state;
    assert_int_equal(herd_node_new(&options, &node), 0);
    assert_int_equal(herd_node_add_neighbour(node, now, "Jaquez", NULL), 0);
    now.mono_ns += 4 * HERD_NS_PER_S;
    herd_node_tick(node, now);
    herd_node_stop(node, now);
    while (herd_node_effect(node, now, &effect))
        CHECK_TRUE(("effect %d", effect.kind), effect.kind == HERD_EFFECT_NOTICE);
    herd_node_free(node);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_records_then_news),
        cmocka_unit_test(test_hello_has_the_skew),
        cmocka_unit_test(test_what_was_not_dialled_is_not_given_up),
        cmocka_unit_test(test_resume),
        cmocka_unit_test(test_one_mark_for_a_catch_up),
        cmocka_unit_test(test_words_of_the_neighbour_do_not_go_back),
        cmocka_unit_test(test_words_of_the_neighbour_go_back_when_it_lost_them),
        cmocka_unit_test(test_words_of_a_former_life_go_back),
        cmocka_unit_test(test_what_was_owed_is_owed_no_more),
        cmocka_unit_test(test_a_slow_neighbour_gets_the_newest_only),
        cmocka_unit_test(test_long_catch_up),
        cmocka_unit_test(test_long_way_back),
        cmocka_unit_test(test_no_rest_of_a_connection_wakes_the_node),
        cmocka_unit_test(test_no_rest_of_a_catch_up_wakes_the_node),
        cmocka_unit_test(test_pings_are_bounded),
        cmocka_unit_test(test_news_while_effects_are_taken),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_other_lines_on_a_link),
        cmocka_unit_test(test_stop_sends_what_clients_were_told),
    };
    return cmocka_run_group_tests_name("link", tests, NULL, NULL);
}
