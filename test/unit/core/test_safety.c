/* Answers that wait for the disk or a neighbour have a limit; and a disk that cannot be written
 * from the start. */
#include <herd/err.h>

#include "check.h"
#include "core/node.h"
#include "disk.h"
#include "edge.h"

enum { TIMEOUT_MS = 3000 };

#define AT(client, second, diff) "AT Hill +" #diff ".000000000 " client " +1+1 " #second "\n"
#define AT_A                     AT("a", 100, 1699999900)
#define AT_B                     AT("b", 100, 1699999900)

static struct driver *open_disk(struct disk *disk, enum herd_durability durability)
{
    struct herd_node_options options = driver_options("Hill");
    options.durability = durability;
    options.safety_timeout_ns = TIMEOUT_MS * HERD_NS_PER_MS;
    *disk = (struct disk){.is_slow = true};
    return disk_driver(disk, &options, NULL, NULL);
}

static struct driver *open_herd(void)
{
    struct herd_node_options options = driver_options("Hill");
    options.durability = HERD_DURABILITY_HERD;
    options.safety_timeout_ns = TIMEOUT_MS * HERD_NS_PER_MS;
    return driver_new_with(&options);
}

static uint64_t waiting(const struct driver *driver)
{
    return herd_node_stats(driver->node)->answers_waiting;
}

static uint64_t refused(const struct driver *driver)
{
    return herd_node_stats(driver->node)->answers_unsafe;
}

/* A new limit is that of all answers: the first does not keep the others waiting for its old one. */
static void a_new_limit_is_that_of_answers_that_wait_already(void **state)
{
    (void)state;
    struct disk disk;
    struct driver *driver = open_disk(&disk, HERD_DURABILITY_COMMIT);
    struct herd_node_options options = driver->node->options;
    struct wire *first = driver_accept(driver), *second = driver_accept(driver);
    wire_say(first, "IAMAT a +1+1 100\n");
    options.safety_timeout_ns = TIMEOUT_MS / 3 * HERD_NS_PER_MS;
    herd_node_configure(driver->node, &options);
    driver_advance_ms(driver, TIMEOUT_MS / 6);
    wire_say(second, "IAMAT b +1+1 100\n");
    driver_advance_ms(driver, TIMEOUT_MS / 6);
    EDGE_EXPECT(first, "? IAMAT a +1+1 100\n");
    EDGE_EXPECT(second, "%s", "");
    driver_advance_ms(driver, TIMEOUT_MS / 6);
    EDGE_EXPECT(second, "? IAMAT b +1+1 100\n");
    disk_free(&disk);
}

static void what_the_disk_does_not_take_in_time_is_refused(void **state)
{
    (void)state;
    struct disk disk;
    struct driver *driver = open_disk(&disk, HERD_DURABILITY_COMMIT);
    struct wire *client = driver_accept(driver);
    wire_say(client, "IAMAT a +1+1 100\n");
    driver_advance_ms(driver, TIMEOUT_MS - 1);
    EDGE_EXPECT(client, "%s", "");
    driver_advance_ms(driver, 1);
    EDGE_EXPECT(client, "? IAMAT a +1+1 100\n");
    CHECK_INT(("one"), refused(driver), 1);
    CHECK_INT(("by the limit"), herd_node_stats(driver->node)->answers_late, 1);
    CHECK_INT(("told"), herd_node_stats(driver->node)->limits_reached, 1);
    CHECK_INT(("no answer"), waiting(driver), 0);
    disk_done(&disk, 0); /* too late for the answer; but it is safe now */
    EDGE_EXPECT(client, "%s", "");
    wire_say(client, "IAMAT a +1+1 100\n");
    EDGE_EXPECT(client, AT_A);
    CHECK_INT(("one"), refused(driver), 1);
    disk_free(&disk);
}

static void what_no_neighbour_takes_in_time_is_refused(void **state)
{
    (void)state;
    struct driver *driver = open_herd();
    driver_add_neighbour(driver, "Jaquez");
    struct wire *client = driver_accept(driver);
    wire_say(client, "IAMAT a +1+1 100\n");
    driver_advance_ms(driver, TIMEOUT_MS);
    EDGE_EXPECT(client, "? IAMAT a +1+1 100\n");
    driver_free(driver);
}

/* Lines come back as they were, in their order, with what waited behind them. */
static void all_lines_of_a_turn_come_back(void **state)
{
    (void)state;
    struct disk disk;
    struct driver *driver = open_disk(&disk, HERD_DURABILITY_COMMIT);
    struct wire *client = driver_accept(driver), *other = driver_accept(driver);
    wire_say(client, "IAMAT  a\t+1+1 100 \r\nIAMAT b +1+1 100\nWHATSAT nobody 1 1\n");
    driver_advance_ms(driver, 1000);
    wire_say(other, "IAMAT c +1+1 100\n");
    wire_say(client, "PING\n");
    driver_advance_ms(driver, TIMEOUT_MS - 1000);
    EDGE_EXPECT(client, "? IAMAT  a\t+1+1 100 \n? IAMAT b +1+1 100\n? WHATSAT nobody 1 1\nPONG\n");
    CHECK_INT(("lines"), refused(driver), 2);
    EDGE_EXPECT(other, "%s", "");
    CHECK_INT(("the other's"), waiting(driver), 1);
    driver_advance_ms(driver, 1000);
    EDGE_EXPECT(other, "? IAMAT c +1+1 100\n");
    disk_free(&disk);
}

static void without_a_limit_it_waits_on(void **state)
{
    (void)state;
    struct herd_node_options options = driver_options("Hill");
    options.durability = HERD_DURABILITY_HERD;
    struct driver *driver = driver_new_with(&options);
    struct wire *client = driver_accept(driver);
    wire_say(client, "IAMAT a +1+1 100\n");
    driver_advance_ms(driver, 3600000);
    EDGE_EXPECT(client, "%s", "");
    options.safety_timeout_ns = TIMEOUT_MS * HERD_NS_PER_MS; /* a reload */
    herd_node_configure(driver->node, &options);
    struct wire *later = driver_accept(driver);
    wire_say(later, "IAMAT b +1+1 100\n");
    wire_close(client, "reset");
    driver_advance_ms(driver, TIMEOUT_MS);
    EDGE_EXPECT(later, "? IAMAT b +1+1 100\n");
    driver_free(driver);
}

static void who_is_gone_waits_no_more(void **state)
{
    (void)state;
    struct driver *driver = open_herd();
    struct wire *client = driver_accept(driver), *ended = driver_accept(driver);
    wire_say(client, "IAMAT a +1+1 100\nIAMAT b +1+1 100\n");
    wire_say(ended, "IAMAT c +1+1 100\n");
    CHECK_INT(("two connections"), waiting(driver), 2);
    wire_close(client, "reset");
    CHECK_INT(("at once"), waiting(driver), 1);
    wire_end(ended); /* may still want its answer */
    driver_advance_ms(driver, TIMEOUT_MS - 1);
    assert_true(ended->open);
    driver_advance_ms(driver, 1);
    EDGE_EXPECT(ended, "? IAMAT c +1+1 100\n");
    assert_false(ended->open);
    CHECK_INT(("only who was told"), refused(driver), 1);
    driver_free(driver);
}

/* What waits counts against the limits of a connection until it has gone. */
static void refusals_make_room_again(void **state)
{
    (void)state;
    struct herd_node_options options = driver_options("Hill");
    options.durability = HERD_DURABILITY_HERD;
    options.safety_timeout_ns = TIMEOUT_MS * HERD_NS_PER_MS;
    options.output_max = 100; /* an answer and a refusal, and one more */
    struct driver *driver = driver_new_with(&options);
    struct wire *client = driver_accept(driver);
    wire_say(client, "IAMAT a +1+1 100\nIAMAT b +1+1 100\nIAMAT c +1+1 100\n");
    assert_false(client->reading);
    driver_advance_ms(driver, TIMEOUT_MS);
    EDGE_EXPECT(client, "? IAMAT a +1+1 100\n? IAMAT b +1+1 100\n");
    assert_true(client->reading);
    driver_advance_ms(driver, TIMEOUT_MS);
    EDGE_EXPECT(client, "? IAMAT c +1+1 100\n");
    CHECK_INT(("all"), refused(driver), 3);
    driver_free(driver);
}

static void many_are_refused_over_several_turns(void **state)
{
    (void)state;
    enum { CLIENTS = 2500 };
    static struct wire *clients[CLIENTS];
    struct driver *driver = open_herd();
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = driver_accept(driver);
        wire_say(clients[i], "IAMAT a +1+1 100\n");
    }
    CHECK_INT(("all"), waiting(driver), CLIENTS);
    driver->now.mono_ns += TIMEOUT_MS * HERD_NS_PER_MS;
    herd_node_tick(driver->node, driver->now);
    assert_in_range(refused(driver), 1, CLIENTS - 1);
    driver_run(driver);
    CHECK_INT(("all"), refused(driver), CLIENTS);
    driver_free(driver);
}

static void a_stop_does_not_wait_for_a_disk_that_fails(void **state)
{
    (void)state;
    struct disk disk;
    struct driver *driver = open_disk(&disk, HERD_DURABILITY_COMMIT);
    struct wire *client = driver_accept(driver);
    wire_say(client, "IAMAT a +1+1 100\n");
    disk_done(&disk, HERD_EFULL);
    assert_null(disk.pending);
    driver_stop(driver);
    assert_non_null(disk.pending); /* at once, for the last time */
    EDGE_EXPECT(client, "%s", "");
    disk_done(&disk, HERD_EFULL);
    EDGE_EXPECT(client, "? IAMAT a +1+1 100\n");
    assert_false(client->open);
    disk_free(&disk);
}

static void a_stop_answers_what_the_disk_still_takes(void **state)
{
    (void)state;
    struct disk disk;
    struct driver *driver = open_disk(&disk, HERD_DURABILITY_COMMIT);
    struct wire *client = driver_accept(driver);
    wire_say(client, "IAMAT a +1+1 100\n");
    disk_done(&disk, HERD_EFULL);
    driver_stop(driver);
    disk_done(&disk, 0); /* there is room again */
    EDGE_EXPECT(client, AT_A);
    disk_free(&disk);
}

static void a_stop_does_not_wait_for_neighbours_that_are_not_there(void **state)
{
    (void)state;
    struct driver *driver = open_herd();
    struct wire *link = driver_add_neighbour(driver, "Jaquez");
    struct wire *client = driver_accept(driver);
    edge_greet(link);
    edge_resume(link, 0);
    wire_say(client, "IAMAT a +1+1 100\n");
    driver_stop(driver);
    EDGE_EXPECT(client, "%s", ""); /* Jaquez may still say that it holds it */
    wire_close(link, "reset");
    driver_run(driver);
    EDGE_EXPECT(client, "? IAMAT a +1+1 100\n");
    driver_free(driver);
    driver = open_herd();
    client = driver_accept(driver);
    wire_say(client, "IAMAT b +1+1 100\n");
    driver_stop(driver);
    EDGE_EXPECT(client, "? IAMAT b +1+1 100\n");
    driver_free(driver);
}

/* Neither the disk nor the neighbour says anything, for as long as a client might wait. */
static void a_stop_refuses_what_still_waits_while_that_can_go_out(void **state)
{
    (void)state;
    struct disk disk;
    struct driver *driver = open_disk(&disk, HERD_DURABILITY_COMMIT);
    struct herd_node_options options = driver->node->options;
    options.safety_timeout_ns = 600 * HERD_NS_PER_S;
    herd_node_configure(driver->node, &options);
    struct wire *client = driver_accept(driver);
    wire_say(client, "IAMAT a +1+1 100\n");
    driver_stop(driver);
    driver_advance_ms(driver, SAFETY_STOP_MS - 1);
    EDGE_EXPECT(client, "%s", "");
    driver_advance_ms(driver, 1);
    EDGE_EXPECT(client, "? IAMAT a +1+1 100\n");
    assert_false(client->open);
    CHECK_INT(("one"), refused(driver), 1);
    CHECK_INT(("not by the limit"), herd_node_stats(driver->node)->answers_late, 0);
    disk_free(&disk);
}

/* As after a batch that has failed: tried each second, even with nothing new, and nothing is
 * safe. */
static void a_disk_that_cannot_be_written_at_the_start_is_tried_again(void **state)
{
    (void)state;
    struct disk disk;
    struct driver *driver = open_disk(&disk, HERD_DURABILITY_COMMIT);
    uint64_t before = herd_node_epoch(driver->node);
    herd_node_restore_anew(driver->node);
    herd_node_restore_failing(driver->node);
    assert_int_not_equal(herd_node_epoch(driver->node), before);
    driver_run(driver);
    assert_non_null(disk.pending);
    disk_done(&disk, HERD_EFULL);
    CHECK_INT(("said by who opened it"), driver_count_notices(driver, HERD_NOTICE_DISK_FAILED), 0);
    struct wire *client = driver_accept(driver);
    wire_say(client, "IAMAT b +1+1 100\n");
    driver_advance_ms(driver, 999);
    assert_null(disk.pending);
    driver_advance_ms(driver, 1);
    disk_done(&disk, 0);
    EDGE_EXPECT(client, "%s", ""); /* that one was not of this batch */
    CHECK_INT(("it works"), driver_count_notices(driver, HERD_NOTICE_DISK_WORKS), 1);
    disk_done(&disk, 0);
    EDGE_EXPECT(client, AT_B);
    disk_free(&disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_disk_does_not_take_in_time_is_refused),
        cmocka_unit_test(a_new_limit_is_that_of_answers_that_wait_already),
        cmocka_unit_test(what_no_neighbour_takes_in_time_is_refused),
        cmocka_unit_test(all_lines_of_a_turn_come_back),
        cmocka_unit_test(without_a_limit_it_waits_on),
        cmocka_unit_test(who_is_gone_waits_no_more),
        cmocka_unit_test(refusals_make_room_again),
        cmocka_unit_test(many_are_refused_over_several_turns),
        cmocka_unit_test(a_stop_does_not_wait_for_a_disk_that_fails),
        cmocka_unit_test(a_stop_answers_what_the_disk_still_takes),
        cmocka_unit_test(a_stop_does_not_wait_for_neighbours_that_are_not_there),
        cmocka_unit_test(a_stop_refuses_what_still_waits_while_that_can_go_out),
        cmocka_unit_test(a_disk_that_cannot_be_written_at_the_start_is_tried_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
