/* A connection's bytes: the order of answers, half-close, pausing, the budget of a turn. */
#include <herd/err.h>

#include "check.h"
#include "conn_rig.h"
#include "core/node.h"
#include "core/rng.h"

static void test_answers_keep_the_order_of_requests(void **state)
{
    struct wire *wire = conn_start_usual();
    struct driver *driver = wire->driver;
    (void)state;
    wire_say(wire, "first\nWHATSAT a 1 1\nsecond\nWHATSAT a 2 1\nWHATSAT a 3 1\nthird\n");
    CHECK_TEXT(("before any"), wire_take(wire), "? first\n");
    assert_int_equal(driver->ask_count, 3);
    driver_answer(driver, 2);
    CHECK_TEXT(("the last"), wire_take(wire), "");
    driver_answer(driver, 0);
    CHECK_TEXT(("the first"), wire_take(wire), AT_A PLACES_1("1") "? second\n");
    wire_say(wire, "fourth\n");
    driver_answer(driver, 0);
    CHECK_TEXT(("the rest"), wire_take(wire),
               AT_A PLACES_1("2") AT_A PLACES_1("3") "? third\n? fourth\n");
    driver_free(driver);
}

static void test_connections_do_not_wait_for_each_other(void **state)
{
    struct wire *wire = conn_start_usual();
    struct driver *driver = wire->driver;
    struct wire *other = driver_accept(driver);
    (void)state;
    wire_say(wire, "WHATSAT a 1 1\n");
    wire_say(other, "WHATSAT a 2 1\nx\n");
    driver_answer(driver, 1);
    CHECK_TEXT(("the other"), wire_take(other), AT_A PLACES_1("2") "? x\n");
    CHECK_TEXT(("the first"), wire_take(wire), "");
    driver_free(driver);
}

static void test_last_line_without_lf(void **state)
{
    static const struct {
        const char *sent, *before_end, *after_end;
    } rows[] = {
        {"", "", ""},
        {"x", "", "? x\n"},
        {"x\n", "? x\n", ""},
        {"x\ny", "? x\n", "? y\n"},
        {"x\ny\r", "? x\n", "? y\n"},
        {"x\r", "", "? x\n"},
        {"PING", "", "PONG\n"},
        {"\n\n \n ", "", ""},
        {"IAMAT b +1+1 1700000000", "", "AT Hill +0.000000000 b +1+1 1700000000\n"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct wire *wire = conn_start_usual();
        wire_say(wire, rows[i].sent);
        CHECK_TEXT(("%s", rows[i].sent), wire_take(wire), rows[i].before_end);
        CHECK_TRUE(("%s", rows[i].sent), wire->open);
        wire_end(wire);
        CHECK_TEXT(("%s", rows[i].sent), wire_take(wire), rows[i].after_end);
        CHECK_TRUE(("%s", rows[i].sent), !wire->open && !wire->aborted);
        driver_free(wire->driver);
    }
}

static void test_all_is_answered_after_a_half_close(void **state)
{
    struct wire *wire = conn_start_usual();
    struct driver *driver = wire->driver;
    (void)state;
    wire_say(wire, "WHATSAT a 1 1\nx\nWHATSAT a 2 1");
    wire_end(wire);
    assert_true(wire->open);
    assert_int_equal(driver->ask_count, 2);
    driver_answer(driver, 1);
    assert_true(wire->open);
    CHECK_TEXT(("not yet"), wire_take(wire), "");
    driver_answer(driver, 0);
    assert_false(wire->open);
    assert_false(wire->aborted);
    CHECK_TEXT(("all"), wire_take(wire),
               AT_A PLACES_1("1") "? x\nAT Hill +0.000000000 a +1+1 1700000000\n" PLACES_1("2"));
    driver_free(driver);
}

static void test_answers_that_come_too_late(void **state)
{
    struct wire *wire = conn_start_usual();
    struct driver *driver = wire->driver;
    (void)state;
    wire_say(wire, "WHATSAT a 1 1\nWHATSAT a 2 1\nWHATSAT a 3 1\n");
    driver_answer(driver, 1); /* done, but behind the first */
    wire_close(wire, "reset");
    driver_answer(driver, 1);
    driver_answer(driver, 0);
    assert_int_equal(wire->got.len - wire->taken, 0);
    driver_free(driver);
}

/* The budget of a turn: two that send a lot get their turns, one after the other. */
static void test_one_client_does_not_hold_up_another(void **state)
{
    struct wire *wire = conn_start_usual();
    struct driver *driver = wire->driver;
    struct wire *other = driver_accept(driver);
    (void)state;
    driver->ticks = false;
    conn_say_numbered(wire, 0, 200);
    conn_say_numbered(other, 0, 100);
    conn_check_numbered(wire, 0, CONN_LINES_PER_TURN);
    conn_check_numbered(other, 0, CONN_LINES_PER_TURN);
    assert_false(wire->reading);
    for (int done = CONN_LINES_PER_TURN; done < 200; done += CONN_LINES_PER_TURN) {
        int left = 200 - done < CONN_LINES_PER_TURN ? 200 - done : CONN_LINES_PER_TURN;
        assert_true(herd_node_wakeup(driver->node) <= driver->now.mono_ns);
        herd_node_tick(driver->node, driver->now);
        driver_run(driver);
        conn_check_numbered(wire, done, left);
        if (done == CONN_LINES_PER_TURN)
            conn_check_numbered(other, done, 100 - done);
    }
    assert_true(wire->reading);
    assert_int_equal(herd_node_stats(driver->node)->turns_full_client, 4); /* 200: 3, 100: 1 */
    assert_int_equal(herd_node_stats(driver->node)->limits_reached, 4);
    assert_true(herd_node_wakeup(driver->node) > driver->now.mono_ns);
    driver_free(driver);
}

/* The budget of all clients together: who finds it used up has its turn in the next one. */
static void test_many_clients_do_not_make_a_long_turn(void **state)
{
    enum { WIRES = TURN_LINES / CONN_LINES_PER_TURN + 2 };
    struct wire *first = conn_start_usual(), *wires[WIRES] = {first};
    struct driver *driver = first->driver;
    struct herd_buf lines = {0};
    (void)state;
    for (int i = 0; i < CONN_LINES_PER_TURN; i++)
        assert_int_equal(herd_buf_printf(&lines, "line %d\n", i), 0);
    for (int i = 1; i < WIRES; i++)
        wires[i] = driver_accept(driver);
    driver->ticks = false;
    for (int i = 0; i < WIRES; i++)
        herd_conn_receive(wires[i]->conn, driver->now, lines.data, lines.len);
    driver_run(driver);
    for (int i = 0; i < WIRES - 2; i++)
        conn_check_numbered(wires[i], 0, CONN_LINES_PER_TURN);
    conn_check_numbered(wires[WIRES - 2], 0, 0);
    assert_false(wires[WIRES - 1]->reading);
    assert_int_equal(herd_node_stats(driver->node)->turns_full_clients, 2);
    herd_node_tick(driver->node, driver->now);
    driver_run(driver);
    conn_check_numbered(wires[WIRES - 2], 0, CONN_LINES_PER_TURN);
    conn_check_numbered(wires[WIRES - 1], 0, CONN_LINES_PER_TURN);
    assert_true(wires[WIRES - 1]->reading);
    herd_buf_free(&lines);
    driver_free(driver);
}

/* Of all three, as the options say, and as they say after a reload. */
static void test_limits_of_a_turn_are_options(void **state)
{
    struct herd_node_options options = driver_options("Hill");
    options.turn_lines_client = 3;
    options.turn_lines_clients = 5;
    options.turn_lines_link = 2;
    struct wire *wire = conn_start(&options), *other = driver_accept(wire->driver);
    struct driver *driver = wire->driver;
    const struct herd_node_stats *stats = herd_node_stats(driver->node);
    struct herd_slice lines = herd_slice_of("a\nb\nc\nd\n");
    (void)state;
    driver->ticks = false;
    herd_conn_receive(wire->conn, driver->now, lines.data, lines.len);
    herd_conn_receive(other->conn, driver->now, lines.data, lines.len);
    driver_run(driver);
    CHECK_TEXT(("its own limit"), wire_take(wire), "? a\n? b\n? c\n");
    CHECK_TEXT(("that of all"), wire_take(other), "? a\n? b\n");
    assert_int_equal(stats->turns_full_client, 1);
    assert_int_equal(stats->turns_full_clients, 1);
    options.turn_lines_client = 1;
    herd_node_configure(driver->node, &options);
    herd_node_tick(driver->node, driver->now);
    driver_run(driver);
    CHECK_TEXT(("reloaded"), wire_take(other), "? c\n");
    assert_int_equal(stats->turns_full_client, 2);
    driver->ticks = true;
    struct wire *link = driver_add_neighbour(driver, "Jaquez");
    wire_dialled(link, NULL);
    uint64_t before = stats->lines_received;
    wire_say(link, "PONG\nPONG\nPONG\nPONG\nPONG\n");
    assert_int_equal(stats->lines_received - before, 5);
    assert_int_equal(stats->turns_full_link, 2);
    driver_free(driver);
}

/* What comes while lines still wait for their turn stays behind them. */
static void test_bytes_between_turns_wait_behind_the_others(void **state)
{
    struct wire *wire = conn_start_usual();
    struct driver *driver = wire->driver;
    (void)state;
    driver->ticks = false;
    conn_say_numbered(wire, 0, 100);
    conn_say_numbered(wire, 100, 1);
    wire_say(wire, "line ");
    wire_say(wire, "101\nlast");
    wire_end(wire);
    assert_true(wire->open);
    driver->ticks = true;
    driver_run(driver);
    struct herd_slice got = wire_take(wire);
    CHECK_TEXT(("end"), herd_slice(got.data + got.len - 29, 29),
               "? line 100\n? line 101\n? last\n");
    assert_false(wire->open);
    driver_free(driver);
}

static void test_too_many_questions_pause_a_client(void **state)
{
    struct herd_node_options options = driver_options("Hill");
    options.pipeline_max = 4;
    struct wire *wire = conn_start(&options);
    struct driver *driver = wire->driver;
    (void)state;
    for (int i = 0; i < 10; i++)
        wire_say(wire, "WHATSAT a 1 1\n");
    assert_int_equal(driver->ask_count, 4);
    assert_false(wire->reading);
    assert_int_equal(herd_node_stats(driver->node)->clients_paused, 1);
    assert_int_equal(herd_node_stats(driver->node)->clients_paused_pipeline, 1);
    driver_answer(driver, 3);
    driver_answer(driver, 2);
    driver_answer(driver, 1); /* they wait for the first */
    assert_int_equal(driver->ask_count, 1);
    assert_false(wire->reading);
    driver_answer(driver, 0);
    assert_int_equal(driver->ask_count, 4);
    assert_false(wire->reading);
    driver_answer(driver, 0);
    assert_int_equal(driver->ask_count, 3); /* more than half still wait */
    driver_answer(driver, 0);
    assert_int_equal(driver->ask_count, 4);
    driver_answer(driver, 0);
    driver_answer(driver, 0);
    assert_true(wire->reading);
    assert_int_equal(wire->resumes, 1);
    driver_answer(driver, 0);
    driver_answer(driver, 0);
    assert_int_equal(wire->got.len - wire->taken, 10 * (strlen(AT_A) + strlen(PLACES_1("1"))));
    driver_free(driver);
}

static void test_slow_reader_is_not_read_from(void **state)
{
    struct herd_node_options options = driver_options("Hill");
    options.output_max = 100;
    struct wire *wire = conn_start(&options);
    struct driver *driver = wire->driver;
    (void)state;
    driver->reports_writes = false;
    conn_say_numbered(wire, 0, 30);
    conn_check_numbered(wire, 0, 11); /* of 9 bytes, the last of 10 */
    assert_false(wire->reading);
    assert_int_equal(wire->unwritten, 100);
    wire_wrote(wire, 49);
    CHECK_TEXT(("more than half"), wire_take(wire), "");
    assert_false(wire->reading);
    wire_wrote(wire, 1);
    conn_check_numbered(wire, 11, 5);
    while (wire->unwritten > 0)
        wire_wrote(wire, 17);
    conn_check_numbered(wire, 16, 14);
    assert_true(wire->reading);
    assert_true(herd_node_stats(driver->node)->clients_paused >= 2);
    assert_int_equal(herd_node_stats(driver->node)->clients_paused_pipeline, 0);
    driver_free(driver);
}

/* Answers behind a question that has no answer yet count too. */
static void test_held_answers_are_bounded(void **state)
{
    struct herd_node_options options = driver_options("Hill");
    options.output_max = 100;
    struct wire *wire = conn_start(&options);
    struct driver *driver = wire->driver;
    (void)state;
    wire_say(wire, "WHATSAT a 1 1\n");
    conn_say_numbered(wire, 0, 30);
    assert_false(wire->reading);
    driver_answer(driver, 0);
    struct herd_slice got = wire_take(wire);
    assert_true(got.len > 30 * 9);
    CHECK_TEXT(("end"), herd_slice(got.data + got.len - 10, 10), "? line 29\n");
    assert_true(wire->reading);
    driver_free(driver);
}

static void test_end_while_paused(void **state)
{
    struct herd_node_options options = driver_options("Hill");
    options.pipeline_max = 1;
    struct wire *wire = conn_start(&options);
    struct driver *driver = wire->driver;
    (void)state;
    wire_say(wire, "WHATSAT a 1 1\nWHATSAT a 2 1\nx");
    wire_end(wire);
    assert_true(wire->open);
    driver_answer(driver, 0);
    assert_true(wire->open);
    driver_answer(driver, 0);
    assert_false(wire->open);
    CHECK_TEXT(("all"), wire_take(wire), AT_A PLACES_1("1") AT_A PLACES_1("2") "? x\n");
    driver_free(driver);
}

/* A line that is too long, behind a question: it is answered behind the places. */
static void test_long_line_behind_a_question(void **state)
{
    static char line[HERD_LINE_MAX + 2];
    struct wire *wire = conn_start_usual();
    struct driver *driver = wire->driver;
    (void)state;
    memset(line, 'x', sizeof(line));
    line[sizeof(line) - 1] = '\n';
    wire_say(wire, "WHATSAT a 1 1\n");
    wire_send(wire, herd_slice(line, sizeof(line)));
    assert_true(wire->open);
    assert_int_equal(wire->got.len - wire->taken, 0);
    assert_int_equal(wire->conn->work->held, strlen(AT_A) + HERD_LINE_MAX + 3);
    driver_answer(driver, 0);
    struct herd_slice got = wire_take(wire);
    assert_int_equal(got.len, strlen(AT_A) + strlen(PLACES_1("1")) + HERD_LINE_MAX + 3);
    assert_false(wire->open);
    assert_false(wire->aborted);
    driver_free(driver);
}

/* In a turn of the loop what goes to neighbours leaves first. */
static void on_write_note_order(void *arg, struct wire *wire, struct herd_slice bytes)
{
    struct herd_buf *order = arg;
    (void)bytes;
    if (herd_buf_append_text(order, wire->peer[0] != '\0' ? "neighbour " : "client ") < 0)
        driver_fail("no memory");
}

static void test_neighbours_hear_it_before_the_client(void **state)
{
    struct herd_buf order = {0};
    struct wire *wire = conn_start_usual();
    struct driver *driver = wire->driver;
    struct wire *link = driver_add_neighbour(driver, "Jaquez");
    (void)state;
    wire_dialled(link, NULL);
    wire_sayf(link, "RESUME %016llx 0\n", (unsigned long long)herd_node_epoch(driver->node));
    driver->on_write = on_write_note_order;
    driver->on_write_arg = &order;
    wire_say(wire, "IAMAT b +1+1 1700000000\n");
    CHECK_TEXT(("order"), herd_buf_slice(&order), "neighbour client ");
    herd_buf_free(&order);
    driver_free(driver);
}

static void on_line_note(void *arg, const struct herd_conn *conn, enum herd_direction direction,
                         struct herd_slice line)
{
    struct herd_buf *seen = arg;
    const struct wire *wire = herd_conn_data(conn);
    if (herd_buf_printf(seen, "%s %s %.*s|", wire->peer, direction == HERD_SENT ? "<" : ">",
                        (int)line.len, line.data) < 0)
        driver_fail("no memory");
}

static void test_every_line_can_be_seen(void **state)
{
    struct herd_buf seen = {0};
    struct herd_node_options options = driver_options("Hill");
    (void)state;
    options.on_line = on_line_note;
    options.on_line_arg = &seen;
    struct driver *driver = driver_new_with(&options);
    struct wire *wire = driver_accept(driver);
    wire_say(wire, "x\r\nWHATSAT a 1 1\n");
    wire_end(wire);
    CHECK_TEXT(("seen"), herd_buf_slice(&seen), " > x| > WHATSAT a 1 1| < ? x| < ? WHATSAT a 1 1|");
    herd_buf_free(&seen);
    driver_free(driver);
}

/* Whatever it did before: an idle connection keeps no more than it began with. */
static void test_an_idle_connection_has_no_work(void **state)
{
    struct wire *wire = conn_start_usual();
    struct driver *driver = wire->driver;
    (void)state;
    assert_null(wire->conn->work);
    wire_say(wire, "half a l");
    assert_non_null(wire->conn->work);
    wire_say(wire, "ine\n");
    CHECK_TEXT(("the line"), wire_take(wire), "? half a line\n");
    assert_null(wire->conn->work);
    wire_say(wire, "WHATSAT a 1 1\n");
    assert_non_null(wire->conn->work);
    driver_answer(driver, 0);
    CHECK_TEXT(("the ask"), wire_take(wire), AT_A PLACES_1("1"));
    assert_null(wire->conn->work);
    wire_end(wire);
    assert_false(wire->open);
    driver_free(driver);
}

/* Many connections with an answer each: it can be had before the turn ends, and the turn's budget
 * goes on. */
static void test_early_effects(void **state)
{
    struct herd_node_options options = driver_options("Hill");
    struct driver *driver = driver_new_with(&options);
    struct herd_conn *conns[3];
    struct herd_effect effect;
    (void)state;
    for (int i = 0; i < 3; i++)
        assert_int_equal(herd_node_accept(driver->node, NULL, &conns[i]), 0);
    for (int i = 0; i < 3; i++)
        herd_conn_receive(conns[i], driver->now, "x\n", 2);
    assert_int_equal(driver->node->dirty_count, 3);
    for (int i = 0; i < 3; i++) {
        assert_true(herd_node_early_effect(driver->node, driver->now, &effect));
        assert_int_equal(effect.kind, HERD_EFFECT_WRITE);
        assert_ptr_equal(effect.conn, conns[i]);
        herd_conn_wrote(effect.conn, driver->now, effect.output.len);
        herd_node_recycle(driver->node, &effect.output);
    }
    assert_false(herd_node_early_effect(driver->node, driver->now, &effect));
    assert_int_equal(driver->node->dirty_count, 0);
    assert_int_equal(driver->node->lines_left, TURN_LINES - 3);
    assert_false(herd_node_effect(driver->node, driver->now, &effect));
    assert_int_equal(driver->node->lines_left, TURN_LINES);
    for (int i = 0; i < 3; i++)
        herd_conn_closed(conns[i], driver->now, "over");
    driver_free(driver);
}

/* A few with long answers are a crowd as many with short ones are. */
static void test_bytes_make_a_crowd(void **state)
{
    enum { LINE = 2048, LINES = 32, CONNS = HERD_TOUCHED_BYTES / (LINE * LINES) };
    struct herd_node_options options = driver_options("Hill");
    struct driver *driver = driver_new_with(&options);
    struct herd_conn *conns[CONNS];
    unsigned count = 0;
    static char lines[LINE * LINES];
    (void)state;
    memset(lines, '1', sizeof(lines));
    for (size_t i = 0; i < LINES; i++) {
        memcpy(lines + i * LINE, "WHATSAT ", 8);
        lines[(i + 1) * LINE - 1] = '\n';
    }
    for (; count < CONNS && !herd_node_is_crowded(driver->node); count++) {
        assert_int_equal(herd_node_accept(driver->node, NULL, &conns[count]), 0);
        herd_conn_receive(conns[count], driver->now, lines, sizeof(lines));
    }
    assert_true(herd_node_is_crowded(driver->node));
    assert_in_range(driver->node->dirty_count, CONNS / 4, CONNS);
    struct herd_effect effect;
    while (herd_node_early_effect(driver->node, driver->now, &effect)) {
        if (effect.kind == HERD_EFFECT_WRITE)
            herd_node_recycle(driver->node, &effect.output);
    }
    assert_false(herd_node_is_crowded(driver->node));
    while (count > 0)
        herd_conn_closed(conns[--count], driver->now, "over");
    driver_free(driver);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_idle_connection_has_no_work),
        cmocka_unit_test(test_early_effects),
        cmocka_unit_test(test_bytes_make_a_crowd),
        cmocka_unit_test(test_answers_keep_the_order_of_requests),
        cmocka_unit_test(test_connections_do_not_wait_for_each_other),
        cmocka_unit_test(test_last_line_without_lf),
        cmocka_unit_test(test_all_is_answered_after_a_half_close),
        cmocka_unit_test(test_answers_that_come_too_late),
        cmocka_unit_test(test_one_client_does_not_hold_up_another),
        cmocka_unit_test(test_many_clients_do_not_make_a_long_turn),
        cmocka_unit_test(test_limits_of_a_turn_are_options),
        cmocka_unit_test(test_bytes_between_turns_wait_behind_the_others),
        cmocka_unit_test(test_too_many_questions_pause_a_client),
        cmocka_unit_test(test_slow_reader_is_not_read_from),
        cmocka_unit_test(test_held_answers_are_bounded),
        cmocka_unit_test(test_end_while_paused),
        cmocka_unit_test(test_long_line_behind_a_question),
        cmocka_unit_test(test_neighbours_hear_it_before_the_client),
        cmocka_unit_test(test_every_line_can_be_seen),
    };
    return cmocka_run_group_tests_name("conn", tests, NULL, NULL);
}
