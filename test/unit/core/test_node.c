/* The node as a whole: same calls, same effects; stopping; what it counts and reports. */
#include <herd/err.h>

#include "core/node.h"
#include "edge.h"

static void on_write_note(void *arg, struct wire *wire, struct herd_slice bytes)
{
    struct herd_buf *seen = arg;
    if (herd_buf_printf(seen, "%" PRId64 " %s:", wire->driver->now.mono_ns, wire->peer) < 0 ||
        herd_buf_append_slice(seen, bytes) < 0)
        driver_fail("no memory");
}

/* A busy hour of a node with three edges, of which some fail. */
static void live(uint64_t seed, struct herd_buf *seen)
{
    static const char *const names[] = {"Jaquez", "Smith", "Singleton"};
    struct wire *links[COUNT_OF(names)];
    struct herd_node_options options = driver_options("Hill");
    struct rng rng = {99};
    options.seed = seed;
    struct driver *driver = driver_new_with(&options);
    driver->on_write = on_write_note;
    driver->on_write_arg = seen;
    for (size_t i = 0; i < COUNT_OF(names); i++)
        links[i] = driver_add_neighbour(driver, names[i]);
    struct wire *wire = driver_accept(driver);
    for (unsigned step = 0; step < 3000; step++) {
        struct wire *link = links[rng_below(&rng, COUNT_OF(names))];
        driver_advance_ms(driver, (int64_t)rng_below(&rng, 100));
        wire_sayf(wire, "IAMAT c%u +1+1 %u\nWHATSAT c1 1 1\n", step % 7, step);
        if (link->dialling)
            wire_dialled(link, rng_below(&rng, 3) == 0 ? "refused" : NULL);
        else if (rng_below(&rng, 10) == 0)
            wire_close(link, "reset");
        else if (rng_below(&rng, 3) == 0)
            wire_say(link, "PONG\n");
        else
            edge_resume(link, rng_below(&rng, step + 1));
    }
    driver_free(driver);
}

static void test_same_calls_same_effects(void **state)
{
    struct herd_buf first = {0}, second = {0}, other = {0};
    (void)state;
    live(5, &first);
    live(5, &second);
    live(6, &other);
    assert_true(first.len > 100000);
    CHECK_SLICE(("again"), herd_buf_slice(&second), herd_buf_slice(&first));
    assert_false(herd_slice_equal(herd_buf_slice(&other), herd_buf_slice(&first)));
    herd_buf_free(&first);
    herd_buf_free(&second);
    herd_buf_free(&other);
}

static void test_epochs_differ(void **state)
{
    uint64_t epochs[100];
    (void)state;
    for (size_t i = 0; i < COUNT_OF(epochs); i++) {
        struct herd_node_options options = driver_options("Hill");
        options.seed = i;
        struct driver *driver = driver_new_with(&options);
        epochs[i] = herd_node_epoch(driver->node);
        driver_free(driver);
        for (size_t j = 0; j < i; j++)
            assert_true(epochs[i] != epochs[j]);
    }
}

static void test_name(void **state)
{
    char name[HERD_NAME_MAX + 1];
    (void)state;
    memset(name, 'n', HERD_NAME_MAX);
    name[HERD_NAME_MAX] = '\0';
    struct driver *driver = driver_new(name, 0);
    assert_string_equal(herd_node_name(driver->node), name);
    struct wire *link = driver_add_neighbour(driver, name + 1);
    struct wire *wire = driver_accept(driver);
    wire_dialled(link, NULL);
    driver_advance_ms(driver, 300);
    wire_take(link);
    wire_say(wire, "IAMAT a +1+1 1700000000\n");
    EDGE_EXPECT(wire, "AT %s +0.000000000 a +1+1 1700000000\n", name);
    EDGE_EXPECT(link, "FLOOD %s a +1+1 1700000000 1700000000.000000000 %s +0.000000000\n", name,
                name);
    driver_free(driver);
}

static void test_limits_change_while_it_runs(void **state)
{
    struct herd_node_options options = driver_options("Hill");
    struct driver *driver = driver_new_with(&options);
    struct wire *wire = driver_accept(driver);
    (void)state;
    driver->answers_places = false;
    wire_say(wire, "IAMAT a +1+1 1\n");
    options.pipeline_max = 2;
    herd_node_configure(driver->node, &options);
    wire_say(wire, "WHATSAT a 1 1\nWHATSAT a 1 1\nWHATSAT a 1 1\n");
    assert_int_equal(driver->ask_count, 2);
    options.pipeline_max = 4;
    herd_node_configure(driver->node, &options);
    driver_answer(driver, 0); /* one of four is left: it goes on */
    assert_int_equal(driver->ask_count, 2);
    assert_true(wire->reading);
    driver_free(driver);
}

static void test_stop_without_connections(void **state)
{
    static const char *const states[] = {"dialling", "waiting", "greeting", "up"};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(states); i++) {
        struct wire *link = edge_new(0);
        struct driver *driver = link->driver;
        if (i == 1)
            wire_dialled(link, "refused");
        if (i >= 2)
            edge_greet(link);
        if (i == 3)
            edge_resume(link, 0);
        EDGE_STATE(link, states[i]);
        driver_stop(driver);
        CHECK_TRUE(("%s", states[i]), !link->open && !link->dialling);
        CHECK_INT(("%s", states[i]), link->aborted, i == 0);
        driver_advance_ms(driver, 60000);
        CHECK_INT(("%s", states[i]), link->dials, 1);
        CHECK_TRUE(("%s", states[i]), herd_node_wakeup(driver->node) == INT64_MAX);
        driver_free(driver);
    }
}

/* Links stay until the last client has its answer, for what it was told has to go out. */
static void test_links_stop_last(void **state)
{
    struct wire *link = edge_new(1);
    struct driver *driver = link->driver;
    struct wire *wire = driver_accept(driver);
    (void)state;
    edge_greet(link);
    edge_resume(link, 1);
    driver->answers_places = false;
    wire_say(wire, "WHATSAT c0 1 1\nIAMAT late +1+1 1\n");
    driver_stop(driver);
    assert_true(wire->open);
    assert_true(link->open);
    struct herd_buf text = {0};
    edge_flood(&text, "late", 1);
    CHECK_SLICE(("late"), wire_take(link), herd_buf_slice(&text));
    herd_buf_free(&text);
    driver_answer(driver, 0);
    assert_false(wire->open);
    assert_false(link->open);
    driver_free(driver);
}

/* Notices nobody takes are bounded: the oldest go. */
static void test_notices_are_bounded(void **state)
{
    struct driver *driver = driver_new("Hill", 0);
    struct herd_conn *conn;
    struct herd_effect effect;
    struct wire wire = {.driver = driver};
    unsigned notices = 0;
    (void)state;
    assert_int_equal(herd_node_accept(driver->node, &wire, &conn), 0);
    for (unsigned i = 0; i < NODE_NOTICES_MAX + 10; i++)
        node_notice(driver->node, HERD_NOTICE_HELLO, "Jaquez", 1, i, "%s", "");
    while (herd_node_effect(driver->node, driver->now, &effect)) {
        assert_int_equal(effect.kind, HERD_EFFECT_NOTICE);
        assert_int_equal(effect.notice.sequence, 10 + notices);
        notices++;
    }
    assert_int_equal(notices, NODE_NOTICES_MAX);
    assert_int_equal(herd_node_stats(driver->node)->notices_lost, 10);
    assert_int_equal(herd_node_stats(driver->node)->limits_reached, 10);
    herd_conn_closed(conn, driver->now, "the test is over");
    driver_free(driver);
}

static void test_counts(void **state)
{
    struct driver *driver = driver_new("Hill", 0);
    struct wire *wire = driver_accept(driver);
    (void)state;
    wire_say(wire, "IAMAT a +1+1 5\nIAMAT a +1+1 4\nWHATSAT a 1 1\nWHATSAT b 1 1\nx\n\n"
                   "FLOOD Smith b +1+1 1 1.0 Smith +0.0\nFLOOD Smith b +1+1 1 1.0 Smith +0.0\n");
    const struct herd_node_stats *stats = herd_node_stats(driver->node);
    assert_int_equal(stats->lines_received, 8);
    assert_int_equal(stats->lines_invalid, 2);
    assert_int_equal(stats->iamat, 2);
    assert_int_equal(stats->whatsat, 2);
    assert_int_equal(stats->floods_received, 2);
    assert_int_equal(stats->records_applied, 2);
    assert_int_equal(stats->records_old, 2);
    driver_free(driver);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_calls_same_effects),
        cmocka_unit_test(test_epochs_differ),
        cmocka_unit_test(test_name),
        cmocka_unit_test(test_limits_change_while_it_runs),
        cmocka_unit_test(test_stop_without_connections),
        cmocka_unit_test(test_links_stop_last),
        cmocka_unit_test(test_notices_are_bounded),
        cmocka_unit_test(test_counts),
    };
    return cmocka_run_group_tests_name("node", tests, NULL, NULL);
}
