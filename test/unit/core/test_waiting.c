/* Which answers a record refuses that ends here before it is safe. */
#include <herd/store.h>

#include "check.h"
#include "core/node.h"
#include "disk.h"
#include "ended_rig.h"

/* This clock goes ahead and back: the record is gone here, and no mark tells whether it has been
 * anywhere else. */
static void what_has_ended_unsafe_is_refused(void **state)
{
    struct herd herd;
    (void)state;
    herd_open(&herd);
    wire_say(herd.client, "IAMAT a +1+1 1700000000\n");
    herd.driver->now.wall_ns += (TTL_S + 1) * HERD_NS_PER_S;
    driver_advance_ms(herd.driver, 2000);
    EDGE_EXPECT(herd.client, "? IAMAT a +1+1 1700000000\n");
    CHECK_INT(("refused"), herd_node_stats(herd.driver->node)->answers_unsafe, 1);
    CHECK_INT(("not as too late"), herd_node_stats(herd.driver->node)->answers_late, 0);
    herd.driver->now.wall_ns -= (TTL_S + 1) * HERD_NS_PER_S;
    wire_sayf(herd.link, "ACK %016" PRIx64 " 1\n", herd.epoch);
    EDGE_EXPECT(herd.client, "%s", "");
    wire_say(herd.client, "IAMAT b +1+1 1700000000\n");
    wire_sayf(herd.link, "ACK %016" PRIx64 " 2\n", herd.epoch);
    EDGE_EXPECT(herd.client, "AT Hill +0.000000000 b +1+1 1700000000\n");
    driver_free(herd.driver);
}

/* Jaquez is away for long; others' records end before anybody else holds them, which is no news to who
 * waits for another one. */
static void what_has_ended_unsafe_refuses_no_other(void **state)
{
    struct herd herd;
    (void)state;
    herd_open(&herd);
    struct wire *others = driver_accept(herd.driver);
    for (int i = 0; i < 100; i++)
        wire_sayf(others, "FLOOD Smith c%d +1+1 5 %d.000000000 Smith +1.0\n", i,
                  DRIVER_WALL_S - TTL_S + 1 + i / 10);
    for (int s = 0; s < 12; s++) {
        wire_sayf(herd.client, "IAMAT a%d +1+1 %d\n", s, DRIVER_WALL_S);
        herd.driver->now.wall_ns += HERD_NS_PER_S;
        driver_advance_ms(herd.driver, 1000);
        wire_say(herd.link, "PONG\n");
    }
    CHECK_INT(("left"), herd_store_count(herd_node_store(herd.driver->node)), 12);
    CHECK_INT(("refused"), (int)herd_node_stats(herd.driver->node)->answers_unsafe, 0);
    EDGE_EXPECT(herd.client, "%s", "");
    wire_sayf(herd.link, "ACK %016" PRIx64 " 112\n", herd.epoch);
    CHECK_INT(("wait"), (int)herd_node_stats(herd.driver->node)->answers_waiting, 0);
    CHECK_INT(("refused"), (int)herd_node_stats(herd.driver->node)->answers_unsafe, 0);
    driver_free(herd.driver);
}

/* One that was received when this clock was behind has replaced it, and ends before it. */
static void what_was_replaced_by_what_has_ended_is_refused(void **state)
{
    struct herd herd;
    (void)state;
    herd_open(&herd);
    struct wire *second = driver_accept(herd.driver), *third = driver_accept(herd.driver);
    struct wire *other = driver_accept(herd.driver);
    wire_say(herd.client, "IAMAT a +1+1 1700000000\n");
    wire_say(other, "IAMAT b +1+1 1700000000\n");
    herd.driver->now.wall_ns -= (TTL_S + 1) * HERD_NS_PER_S;
    wire_say(second, "IAMAT a +1+1 1700000009\n");
    herd.driver->now.wall_ns += (TTL_S + 1) * HERD_NS_PER_S;
    wire_say(third, "IAMAT a +1+1 1699999999\n");
    driver_advance_ms(herd.driver, 0);
    EDGE_EXPECT(herd.client, "? IAMAT a +1+1 1700000000\n");
    EDGE_EXPECT(second, "? IAMAT a +1+1 1700000009\n");
    wire_sayf(herd.link, "ACK %016" PRIx64 " 4\n", herd.epoch);
    EDGE_EXPECT(third, "AT Hill +1.000000000 a +1+1 1699999999\n");
    EDGE_EXPECT(other, "AT Hill +0.000000000 b +1+1 1700000000\n");
    driver_free(herd.driver);
}

/* Many wait for one record: a turn refuses so many of them, whatever becomes safe meanwhile. */
static void refusals_take_turns(void **state)
{
    struct herd herd;
    (void)state;
    herd_open(&herd);
    for (int i = 0; i < 3 * REFUSALS_PER_TURN; i++)
        wire_say(driver_accept(herd.driver), "IAMAT a +1+1 1700000000\n");
    herd.driver->now.wall_ns += (TTL_S + 1) * HERD_NS_PER_S;
    wire_say(herd.client, "IAMAT b +1+1 1700000061\n");
    const struct herd_node_stats *stats = herd_node_stats(herd.driver->node);
    herd.driver->now.mono_ns += HERD_NS_PER_S;
    herd_node_tick(herd.driver->node, herd.driver->now);
    CHECK_INT(("a turn"), (int)stats->answers_unsafe, REFUSALS_PER_TURN);
    wire_sayf(herd.link, "ACK %016" PRIx64 " %" PRIu64 "\n", herd.epoch,
              herd_store_sequence(herd_node_store(herd.driver->node)));
    driver_advance_ms(herd.driver, 1000);
    CHECK_TRUE(("all"), stats->answers_unsafe == 3 * REFUSALS_PER_TURN);
    EDGE_EXPECT(herd.client, "AT Hill +0.000000000 b +1+1 1700000061\n");
    driver_free(herd.driver);
}

/* Before its end is looked for, an older one takes its place: so the first of the two is not safe. */
static void what_has_ended_and_was_replaced_is_refused(void **state)
{
    struct herd herd;
    (void)state;
    herd_open(&herd);
    wire_say(herd.client, "IAMAT a +1+1 1700000009\n");
    herd.driver->now.wall_ns += (TTL_S + 1) * HERD_NS_PER_S;
    wire_say(herd.client, "IAMAT a +1+1 1700000001\n");
    wire_sayf(herd.link, "ACK %016" PRIx64 " 2\n", herd.epoch);
    driver_advance_ms(herd.driver, 0);
    EDGE_EXPECT(herd.client,
                "? IAMAT a +1+1 1700000009\nAT Hill +60.000000000 a +1+1 1700000001\n");
    driver_free(herd.driver);
}

/* What was acknowledged ends as it should, and keeps nobody waiting. */
static void what_has_ended_safe_refuses_nobody(void **state)
{
    struct herd herd;
    (void)state;
    herd_open(&herd);
    wire_say(herd.client, "IAMAT a +1+1 1700000000\n");
    wire_sayf(herd.link, "ACK %016" PRIx64 " 1\n", herd.epoch);
    EDGE_EXPECT(herd.client, "AT Hill +0.000000000 a +1+1 1700000000\n");
    herd.driver->now.wall_ns += (TTL_S + 1) * HERD_NS_PER_S;
    wire_say(herd.client, "IAMAT b +1+1 1700000061\n");
    driver_advance_ms(herd.driver, 2000);
    CHECK_INT(("a has ended"), herd_store_count(herd_node_store(herd.driver->node)), 1);
    EDGE_EXPECT(herd.client, "%s", "");
    wire_sayf(herd.link, "ACK %016" PRIx64 " 2\n", herd.epoch);
    EDGE_EXPECT(herd.client, "AT Hill +0.000000000 b +1+1 1700000061\n");
    driver_free(herd.driver);
}

/* Who says something older meanwhile waits for what has come since, and for nothing else. */
static void what_has_ended_safe_refuses_nobody_who_is_late(void **state)
{
    struct herd herd;
    (void)state;
    herd_open(&herd);
    struct wire *other = driver_accept(herd.driver);
    wire_say(herd.client, "IAMAT a +1+1 1700000000\n");
    wire_sayf(herd.link, "ACK %016" PRIx64 " 1\n", herd.epoch);
    wire_take(herd.client);
    herd.driver->now.wall_ns += (TTL_S - 10) * HERD_NS_PER_S;
    wire_say(other, "IAMAT b +1+1 1700000050\n");
    wire_say(herd.client, "IAMAT a +1+1 1699999999\n");
    herd.driver->now.wall_ns += 11 * HERD_NS_PER_S;
    driver_advance_ms(herd.driver, 2000);
    CHECK_INT(("a has ended"), herd_store_count(herd_node_store(herd.driver->node)), 1);
    EDGE_EXPECT(herd.client, "%s", "");
    wire_sayf(herd.link, "ACK %016" PRIx64 " 2\n", herd.epoch);
    EDGE_EXPECT(herd.client, "AT Hill +51.000000000 a +1+1 1699999999\n");
    EDGE_EXPECT(other, "AT Hill +0.000000000 b +1+1 1700000050\n");
    driver_free(herd.driver);
}

/* The disk was slow, and is in time for what has not ended alone. */
static void what_has_ended_before_the_disk_had_it_is_refused(void **state)
{
    (void)state;
    struct disk disk = {.is_slow = true};
    struct wire *link;
    struct herd_node_options options = options_of(HERD_DURABILITY_COMMIT);
    struct driver *driver = disk_driver(&disk, &options, NULL, &link);
    struct wire *client = driver_accept(driver);
    wire_say(client, "IAMAT a +1+1 1700000000\n"); /* its batch is under way */
    wire_say(client, "IAMAT b +1+1 1700000000\n");
    driver->now.wall_ns += (TTL_S + 1) * HERD_NS_PER_S;
    driver_advance_ms(driver, 2000);
    EDGE_EXPECT(client, "? IAMAT a +1+1 1700000000\n? IAMAT b +1+1 1700000000\n");
    disk_done(&disk, 0);
    disk_free(&disk);
}

/* What is noted of each IAMAT counts as waiting for its client, as the answer and the refusal do. */
static void lines_that_wait_are_bounded_and_counted(void **state)
{
    enum { LINES = 40, LINES_MAX = 10 };
    static const char line[] = "IAMAT a +1+1 1700000000\n";
    static const char at[] = "AT Hill +0.000000000 a +1+1 1700000000\n";
    const size_t each = sizeof(at) - 1 + sizeof(line) - 1 + 2 + sizeof(struct waiting_line);
    struct herd_node_options options = options_of(HERD_DURABILITY_HERD);
    struct herd herd;
    (void)state;
    options.output_max = LINES_MAX * each;
    herd_open_with(&herd, &options);
    const struct herd_node_stats *stats = herd_node_stats(herd.driver->node);
    for (int i = 0; i < LINES; i++)
        wire_say(herd.client, line);
    CHECK_INT(("as many as the limit lets"), (int)stats->answer_lines_waiting, LINES_MAX);
    CHECK_INT(("then it is not read from"), (int)stats->clients_paused, 1);
    for (int i = LINES_MAX; i <= LINES; i += LINES_MAX)
        wire_sayf(herd.link, "ACK %016" PRIx64 " %" PRIu64 "\n", herd.epoch,
                  herd_store_sequence(herd_node_store(herd.driver->node)));
    CHECK_INT(("none is left"), (int)stats->answer_lines_waiting, 0);
    driver_free(herd.driver);
}

/* A client that leaves takes its lines along. */
static void lines_of_who_has_left_are_not_counted(void **state)
{
    struct herd herd;
    (void)state;
    herd_open(&herd);
    const struct herd_node_stats *stats = herd_node_stats(herd.driver->node);
    wire_say(herd.client, "IAMAT a +1+1 1700000000\nIAMAT b +1+1 1700000000\n");
    CHECK_INT(("wait"), (int)stats->answer_lines_waiting, 2);
    wire_close(herd.client, "reset");
    CHECK_INT(("has left"), (int)stats->answer_lines_waiting, 0);
    driver_free(herd.driver);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_has_ended_unsafe_is_refused),
        cmocka_unit_test(what_has_ended_unsafe_refuses_no_other),
        cmocka_unit_test(what_was_replaced_by_what_has_ended_is_refused),
        cmocka_unit_test(refusals_take_turns),
        cmocka_unit_test(what_has_ended_and_was_replaced_is_refused),
        cmocka_unit_test(what_has_ended_safe_refuses_nobody),
        cmocka_unit_test(what_has_ended_safe_refuses_nobody_who_is_late),
        cmocka_unit_test(what_has_ended_before_the_disk_had_it_is_refused),
        cmocka_unit_test(lines_that_wait_are_bounded_and_counted),
        cmocka_unit_test(lines_of_who_has_left_are_not_counted),
    };
    return cmocka_run_group_tests_name("waiting", tests, NULL, NULL);
}
