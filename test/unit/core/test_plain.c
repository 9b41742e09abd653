/* A link to a neighbour of the simple kind, which knows FLOOD and nothing else. */
#include <herd/proto.h>

#include "core/link.h"
#include "edge.h"
#include "ledger.h"

static void expect_all(struct wire *link, unsigned count)
{
    struct herd_buf text = {0};
    for (unsigned i = 0; i < count; i++) {
        char name[16];
        snprintf(name, sizeof(name), "c%u", i);
        edge_flood(&text, name, i);
    }
    CHECK_SLICE(("all %u", count), wire_take(link), herd_buf_slice(&text));
    herd_buf_free(&text);
}

static void expect_flood(struct wire *link, const char *client, unsigned second)
{
    struct herd_buf text = {0};
    edge_flood(&text, client, second);
    CHECK_SLICE(("%s %u", client, second), wire_take(link), herd_buf_slice(&text));
    herd_buf_free(&text);
}

static void test_it_answers_hello_with_a_question_mark(void **state)
{
    struct wire *link = edge_new(3);
    struct driver *driver = link->driver;
    (void)state;
    edge_greet(link);
    wire_sayf(link, "? HELLO Hill 2 %016" PRIx64 " 3 -\n", herd_node_epoch(driver->node));
    EDGE_STATE(link, "plain");
    expect_all(link, 3);
    assert_int_equal(driver_count_notices(driver, HERD_NOTICE_LINK_PLAIN), 1);
    driver_advance_ms(driver, 60000); /* no MARK, no PING */
    EDGE_EXPECT(link, "%s", "");
    edge_update(driver, "c1", 7);
    expect_flood(link, "c1", 7);
    struct herd_link_status status;
    assert_true(herd_node_link(driver->node, 0, &status));
    assert_true(status.up);
    assert_int_equal(status.sequence, 4);
    driver_free(driver);
}

static void test_it_says_nothing(void **state)
{
    struct wire *link = edge_new(3);
    (void)state;
    edge_greet(link);
    driver_advance_ms(link->driver, 299);
    EDGE_STATE(link, "greeting");
    driver_advance_ms(link->driver, 1);
    EDGE_STATE(link, "plain");
    expect_all(link, 3);
    driver_free(link->driver);
}

static void test_it_closes_on_hello(void **state)
{
    struct wire *link = edge_new(3);
    struct driver *driver = link->driver;
    (void)state;
    edge_greet(link);
    wire_end(link);
    assert_int_equal(driver_advance_to_dial(driver, link), 0); /* at once */
    wire_dialled(link, NULL);
    EDGE_STATE(link, "plain");
    expect_all(link, 3);
    assert_int_equal(driver_count_notices(driver, HERD_NOTICE_LINK_DOWN), 0);
    driver_free(driver);
}

/* Other words than `? HELLO` are no answer to it. */
static void test_other_words(void **state)
{
    static const char *const lines[] = {"?\n", "? \n", "? HELL\n", "HELLO Hill\n", "? FLOOD a\n"};
    struct wire *link = edge_new(1);
    (void)state;
    edge_greet(link);
    for (size_t i = 0; i < COUNT_OF(lines); i++) {
        wire_say(link, lines[i]);
        EDGE_STATE(link, "greeting");
    }
    driver_free(link->driver);
}

/* All records have been sent by then, so whatever it holds, they need not be sent again. */
static void test_resume_that_comes_late(void **state)
{
    (void)state;
    for (uint64_t sequence = 0; sequence <= 3; sequence++) {
        struct wire *link = edge_new(3);
        struct driver *driver = link->driver;
        edge_greet(link);
        driver_advance_ms(driver, 300);
        expect_all(link, 3);
        edge_resume(link, sequence);
        EDGE_STATE(link, "up");
        EDGE_EXPECT(link, "%s", "");
        driver_advance_ms(driver, 100);
        if (sequence < 3)
            EDGE_EXPECT(link, "MARK %016" PRIx64 " 3\n", herd_node_epoch(driver->node));
        edge_update(driver, "c3", 3);
        expect_flood(link, "c3", 3);
        driver_free(driver);
    }
}

/* What it has said itself was not sent back to it: it was no plain one's, and may be lost to it. */
static void test_resume_that_comes_late_after_its_words(void **state)
{
    struct wire *link = edge_new(3);
    struct driver *driver = link->driver;
    (void)state;
    edge_greet(link);
    driver_advance_ms(driver, 300);
    expect_all(link, 3);
    wire_say(driver_accept(driver), "FLOOD Jaquez a +1+1 1 1.0 Jaquez +0.0\n");
    EDGE_EXPECT(link, "%s", "");
    edge_resume(link, 0);
    struct herd_buf text = {0};
    for (unsigned i = 0; i < 3; i++)
        edge_flood(&text, i == 0 ? "c0" : i == 1 ? "c1" : "c2", i);
    assert_int_equal(herd_buf_append_text(&text, "FLOOD Hill a +1+1 1 1.0 Jaquez +0.0\n"), 0);
    CHECK_SLICE(("all"), wire_take(link), herd_buf_slice(&text));
    herd_buf_free(&text);
    driver_free(driver);
}

/* Its own words, which it sends in FLOODs on connections of its own, do not go back to it. */
static void test_its_words_do_not_go_back(void **state)
{
    struct wire *link = edge_new(0);
    struct driver *driver = link->driver;
    struct wire *inbound = driver_accept(driver);
    (void)state;
    edge_greet(link);
    driver_advance_ms(driver, 300);
    wire_say(inbound, "FLOOD Jaquez a +1+1 1 1.0 Jaquez +0.0\n");
    EDGE_EXPECT(link, "%s", "");
    wire_say(inbound, "FLOOD Smith b +1+1 1 1.0 Smith +0.0\n"); /* somebody else's */
    EDGE_EXPECT(link, "FLOOD Hill b +1+1 1 1.0 Smith +0.0\n");
    driver_free(driver);
}

/* It was away, may have lost everything, and gets all records, its own as well. */
static void test_it_restarts(void **state)
{
    struct wire *link = edge_new(0);
    struct driver *driver = link->driver;
    struct wire *inbound = driver_accept(driver);
    (void)state;
    edge_greet(link);
    driver_advance_ms(driver, 300);
    wire_say(inbound, "FLOOD Jaquez a +1+1 1 1.0 Jaquez +0.0\n");
    edge_update(driver, "b", 1);
    expect_flood(link, "b", 1);
    wire_close(link, "reset");
    driver_advance_to_dial(driver, link);
    wire_dialled(link, "refused");
    driver_advance_to_dial(driver, link);
    wire_dialled(link, NULL);
    if (strcmp(driver_link_state(driver, "Jaquez"), "greeting") == 0) {
        wire_take(link);
        driver_advance_ms(driver, 300);
    }
    struct herd_buf text = {0};
    assert_int_equal(herd_buf_append_text(&text, "FLOOD Hill a +1+1 1 1.0 Jaquez +0.0\n"), 0);
    edge_flood(&text, "b", 1);
    CHECK_SLICE(("all"), wire_take(link), herd_buf_slice(&text));
    herd_buf_free(&text);
    driver_free(driver);
}

/* It has been replaced by one that knows HELLO, which shows when that one dials. */
static void test_it_learns_hello(void **state)
{
    struct wire *link = edge_new(2);
    struct driver *driver = link->driver;
    (void)state;
    edge_greet(link);
    driver_advance_ms(driver, 300);
    expect_all(link, 2);
    edge_hello(driver, 7, 0);
    assert_false(link->open);
    driver_advance_to_dial(driver, link);
    edge_greet(link);
    edge_resume(link, 0);
    expect_all(link, 2);
    EDGE_STATE(link, "up");
    driver_free(driver);
}

/* One that takes a single line a connection: each connection brings one line, none is lost. */
static void test_it_takes_one_line_a_connection(void **state)
{
    enum { CLIENTS = 20 };
    struct wire *link = edge_new(CLIENTS);
    struct driver *driver = link->driver;
    bool known[CLIENTS + 1] = {false};
    (void)state;
    edge_greet(link);
    wire_end(link); /* HELLO was its line */
    for (unsigned connections = 0; connections < CLIENTS + 5; connections++) {
        if (!link->dialling && driver_advance_to_dial(driver, link) > 0)
            break;
        wire_dialled(link, NULL);
        struct herd_slice got = wire_take(link);
        if (got.len == 0)
            break;
        size_t len = (size_t)((char *)memchr(got.data, '\n', got.len) - got.data);
        CHECK_TRUE(("connection %u", connections), connections == 0 || len + 1 == got.len);
        struct herd_command command;
        assert_int_equal(herd_command_parse(herd_slice(got.data, len), &command), 0);
        known[command.record.sent_ns / HERD_NS_PER_S] = true;
        wire_end(link);
    }
    for (unsigned i = 0; i < CLIENTS; i++)
        CHECK_TRUE(("client %u", i), known[i]);
    assert_int_equal(driver_count_notices(driver, HERD_NOTICE_LINK_DOWN), 0);
    /* The next news go over the connection that waits for them, one line again. */
    edge_update(driver, "x", 1);
    edge_update(driver, "y", 1);
    expect_flood(link, "x", 1);
    wire_end(link);
    assert_int_equal(driver_advance_to_dial(driver, link), 0);
    wire_dialled(link, NULL);
    expect_flood(link, "y", 1);
    driver_free(driver);
}

/* It closed once behind several lines, but takes more after all. */
static void test_it_takes_more_lines_after_all(void **state)
{
    struct wire *link = edge_new(3);
    struct driver *driver = link->driver;
    (void)state;
    edge_greet(link);
    driver_advance_ms(driver, 300);
    expect_all(link, 3);
    wire_close(link, "restarted");
    driver_advance_to_dial(driver, link);
    wire_dialled(link, NULL);
    expect_flood(link, "c0", 0);
    driver_advance_ms(driver, 999);
    EDGE_EXPECT(link, "%s", "");
    driver_advance_ms(driver, 1);
    struct herd_buf text = {0};
    edge_flood(&text, "c1", 1);
    edge_flood(&text, "c2", 2);
    CHECK_SLICE(("the others"), wire_take(link), herd_buf_slice(&text));
    herd_buf_free(&text);
    driver_free(driver);
}

/* It may have died and come back, however soon it can be dialled again: it gets all records. */
static void test_it_closes_when_idle(void **state)
{
    struct wire *link = edge_new(2);
    struct driver *driver = link->driver;
    (void)state;
    edge_greet(link);
    driver_advance_ms(driver, 300);
    expect_all(link, 2);
    int64_t waited_ms = 0;
    for (int i = 0; i < 6; i++) {
        wire_end(link);
        int64_t delay_ms = driver_advance_to_dial(driver, link);
        CHECK_TRUE(("close %d", i), i >= 2 || delay_ms == 0);
        waited_ms += delay_ms;
        wire_dialled(link, NULL);
        expect_flood(link, "c0", 0); /* until it is sure that it takes more than one line */
        driver_advance_ms(driver, 8000);
        expect_flood(link, "c1", 1);
    }
    CHECK_TRUE(("waited %" PRId64 " ms", waited_ms), waited_ms > 0);
    driver_free(driver);
}

/* Its death and its return, both within a moment: nothing but the end of a connection shows them.
 */
static void test_it_restarts_in_a_moment(void **state)
{
    for (int records = 0; records < 3; records++) {
        struct wire *link = edge_new(0);
        struct driver *driver = link->driver;
        struct wire *inbound = driver_accept(driver);
        (void)state;
        edge_greet(link);
        driver_advance_ms(driver, 300);
        wire_say(inbound, "FLOOD Jaquez own +1+1 1 1.0 Jaquez +0.0\n");
        for (int i = 0; i < records; i++)
            edge_update(driver, i == 0 ? "c0" : "c1", (unsigned)i);
        for (int life = 0; life < 4; life++) {
            wire_take(link);
            wire_end(link);
            driver_advance_to_dial(driver, link);
            wire_dialled(link, NULL);
            driver_advance_ms(driver, 8000);
            struct herd_buf text = {0};
            assert_int_equal(herd_buf_append_text(&text, "FLOOD Hill own +1+1 1 1.0 Jaquez +0.0\n"),
                             0);
            for (int i = 0; i < records; i++)
                edge_flood(&text, i == 0 ? "c0" : "c1", (unsigned)i);
            CHECK_SLICE(("life %d, %d records", life, records), wire_take(link),
                        herd_buf_slice(&text));
            herd_buf_free(&text);
        }
        driver_free(driver);
    }
}

/* It dies right behind its one line, twice within the time in which one that takes one line closes
 * it: it was taken for such a one, which shows, and what it may have lost is sent. */
static void test_it_dies_behind_its_first_line(void **state)
{
    struct wire *link = edge_new(3);
    struct driver *driver = link->driver;
    (void)state;
    edge_greet(link);
    driver_advance_ms(driver, 300);
    expect_all(link, 3);
    for (unsigned life = 0; life < 2; life++) {
        wire_end(link);
        driver_advance_to_dial(driver, link);
        wire_dialled(link, NULL);
        expect_flood(link, life == 0 ? "c0" : "c1", life);
    }
    driver_advance_ms(driver, 8000);
    expect_all(link, 3);
    driver_free(driver);
}

static unsigned count_floods(struct wire *link)
{
    struct herd_slice got = wire_take(link), line;
    unsigned count = 0;
    while (ledger_next_line(&got, &line))
        count += line.len > 6 && memcmp(line.data, "FLOOD ", 6) == 0;
    return count;
}

/* A plain neighbour that does not read costs a window, not its backlog; once it reads it has all, as
 * it answers nothing that could tell so. */
static void test_window(void **state)
{
    enum { CLIENTS = 10000 };
    struct wire *link = edge_new(0);
    struct driver *driver = link->driver;
    struct wire *wire = driver_accept(driver);
    (void)state;
    edge_greet(link);
    driver_advance_ms(driver, 300);
    driver->reports_writes = false;
    for (unsigned i = 0; i < CLIENTS; i++) {
        wire_sayf(wire, "IAMAT c%u +1+1 %u\n", i, i);
        wire_wrote(wire, wire->unwritten);
    }
    assert_true(link->unwritten >= LINK_PLAIN_BYTES);
    assert_true(link->unwritten < LINK_PLAIN_BYTES + HERD_LINE_MAX);
    driver->reports_writes = true;
    wire_wrote(link, link->unwritten);
    assert_int_equal(count_floods(link), CLIENTS);
    driver_free(driver);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_answers_hello_with_a_question_mark),
        cmocka_unit_test(test_it_says_nothing),
        cmocka_unit_test(test_it_closes_on_hello),
        cmocka_unit_test(test_other_words),
        cmocka_unit_test(test_resume_that_comes_late),
        cmocka_unit_test(test_resume_that_comes_late_after_its_words),
        cmocka_unit_test(test_its_words_do_not_go_back),
        cmocka_unit_test(test_it_restarts),
        cmocka_unit_test(test_it_learns_hello),
        cmocka_unit_test(test_it_takes_one_line_a_connection),
        cmocka_unit_test(test_it_takes_more_lines_after_all),
        cmocka_unit_test(test_it_closes_when_idle),
        cmocka_unit_test(test_it_restarts_in_a_moment),
        cmocka_unit_test(test_it_dies_behind_its_first_line),
        cmocka_unit_test(test_window),
    };
    return cmocka_run_group_tests_name("plain", tests, NULL, NULL);
}
