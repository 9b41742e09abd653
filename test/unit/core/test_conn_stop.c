/* What a connection has said when the node stops. */
#include "check.h"
#include "conn_rig.h"
#include "core/node.h"

static void test_stop_answers_what_was_received(void **state)
{
    struct wire *wire = conn_start_usual();
    struct driver *driver = wire->driver;
    struct wire *idle = driver_accept(driver);
    (void)state;
    wire_say(wire, "WHATSAT a 1 1\nx\nhalf a li");
    driver_stop(driver);
    assert_false(idle->open);
    assert_true(wire->open);
    wire_say(wire, "ne\ny\n");
    driver_answer(driver, 0);
    CHECK_TEXT(("all"), wire_take(wire), AT_A PLACES_1("1") "? x\n");
    assert_false(wire->open);
    driver_free(driver);
}

/* Who had said that no more follows has its last line answered even though the server stops. */
static void test_stop_after_a_half_close(void **state)
{
    struct wire *wire = conn_start_usual();
    struct driver *driver = wire->driver;
    (void)state;
    driver->ticks = false;
    conn_say_numbered(wire, 0, CONN_LINES_PER_TURN);
    wire_say(wire, "last");
    wire_end(wire);
    driver->ticks = true;
    driver_stop(driver);
    struct herd_slice got = wire_take(wire);
    CHECK_TEXT(("end"), herd_slice(got.data + got.len - 7, 7), "? last\n");
    assert_false(wire->open);
    driver_free(driver);
}

/* What was received before the stop comes in behind it where the driver had yet to read it. */
static void test_stop_while_more_is_unread(void **state)
{
    (void)state;
    for (int is_ended = 0; is_ended < 2; is_ended++) {
        struct wire *wire = conn_start_usual();
        struct driver *driver = wire->driver;
        wire_say(wire, "x\nhalf");
        herd_conn_has_more(wire->conn);
        driver_stop(driver);
        assert_true(wire->open);
        wire_say(wire, " a line\nlast");
        CHECK_TEXT(("so far"), wire_take(wire), "? x\n? half a line\n");
        if (is_ended)
            wire_end(wire);
        else
            herd_conn_cut(wire->conn, driver->now);
        driver_run(driver);
        CHECK_TEXT(("the end"), wire_take(wire), is_ended ? "? last\n" : "");
        assert_false(wire->open);
        driver_free(driver);
    }
}

/* What comes behind the last of it is not taken, nor kept while lines of before wait. */
static void test_what_comes_behind_a_cut_is_not_taken(void **state)
{
    (void)state;
    struct wire *wire = conn_start_usual();
    struct driver *driver = wire->driver;
    const struct herd_node_stats *stats = herd_node_stats(driver->node);
    uint64_t before = stats->lines_received;
    driver->ticks = false;
    herd_conn_has_more(wire->conn);
    driver_stop(driver);
    conn_say_numbered(wire, 0, 2 * CONN_LINES_PER_TURN);
    herd_conn_cut(wire->conn, driver->now);
    herd_conn_receive(wire->conn, driver->now, "late\n", 5);
    driver->ticks = true;
    driver_run(driver);
    assert_int_equal(stats->lines_received - before, 2 * CONN_LINES_PER_TURN);
    assert_false(wire->open);
    driver_free(driver);
}

static void test_abort_closes_all_at_once(void **state)
{
    struct wire *wire = conn_start_usual();
    struct driver *driver = wire->driver;
    struct wire *idle = driver_accept(driver);
    (void)state;
    wire_say(wire, "WHATSAT a 1 1\n");
    herd_node_abort(driver->node);
    driver_run(driver);
    assert_true(!wire->open && wire->aborted);
    assert_true(!idle->open && idle->aborted);
    driver_free(driver);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stop_answers_what_was_received),
        cmocka_unit_test(test_stop_after_a_half_close),
        cmocka_unit_test(test_stop_while_more_is_unread),
        cmocka_unit_test(test_what_comes_behind_a_cut_is_not_taken),
        cmocka_unit_test(test_abort_closes_all_at_once),
    };
    return cmocka_run_group_tests_name("conn_stop", tests, NULL, NULL);
}
