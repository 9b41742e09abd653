/* The way to disk, and the answers that wait for it: batches, failures. */
#include <time.h>

#include <herd/store.h>

#include "check.h"
#include "core/node.h"
#include "disk.h"
#include "edge.h"

#define AT(client, second, diff) "AT Hill +" #diff ".000000000 " client " +1+1 " #second "\n"
#define AT_A                     AT("a", 100, 1699999900)
#define AT_B                     AT("b", 100, 1699999900)
#define AT_C                     AT("c", 100, 1699999900)

static struct driver *open_disk(struct disk *disk, enum herd_durability durability)
{
    struct herd_node_options options = driver_options("Hill");
    options.durability = durability;
    *disk = (struct disk){.is_slow = true};
    return disk_driver(disk, &options, NULL, NULL);
}

static uint64_t answers_waiting(const struct driver *driver)
{
    return herd_node_stats(driver->node)->answers_waiting;
}

static void interval_answers_at_once_and_writes_every_250_ms(void **state)
{
    (void)state;
    struct disk disk;
    struct driver *driver = open_disk(&disk, HERD_DURABILITY_INTERVAL);
    struct wire *client = driver_accept(driver);
    assert_true(herd_node_is_persisted(driver->node));
    wire_say(client, "IAMAT a +1+1 100\n");
    EDGE_EXPECT(client, AT_A);
    assert_false(herd_node_is_persisted(driver->node));
    assert_non_null(disk.pending); /* the disk has rested long enough */
    disk_done(&disk, 0);
    assert_true(herd_node_is_persisted(driver->node));
    driver_advance_ms(driver, 100);
    wire_say(client, "IAMAT b +1+1 100\n");
    EDGE_EXPECT(client, AT_B);
    driver_advance_ms(driver, 149);
    assert_null(disk.pending);
    wire_say(client, "IAMAT c +1+1 100\nIAMAT a +1+1 200\n");
    driver_advance_ms(driver, 1);
    assert_non_null(disk.pending);
    CHECK_INT(("each once"), disk.last_records, 3);
    disk_done(&disk, 0);
    driver_advance_ms(driver, 10000);
    CHECK_INT(("nothing more to write"), disk.ledger.writes, 2);
    assert_int_equal(herd_node_wakeup(driver->node), INT64_MAX);
    assert_non_null(disk_newest(&disk, "c"));
    assert_string_equal(disk_newest(&disk, "a")->text,
                        "a +1+1 200 1700000000.000000000 Hill +1699999800.000000000");
    disk_free(&disk);
}

static void without_a_disk_nothing_is_written(void **state)
{
    (void)state;
    struct driver *driver = driver_new("Hill", 0); /* ends the program at a PERSIST */
    struct wire *client = driver_accept(driver);
    wire_say(client, "IAMAT a +1+1 100\n");
    EDGE_EXPECT(client, AT_A);
    assert_true(herd_node_is_persisted(driver->node));
    herd_node_snapshot(driver->node);
    driver_advance_ms(driver, 1000);
    driver_free(driver);
}

static void commit_answers_once_it_is_on_disk(void **state)
{
    (void)state;
    struct disk disk;
    struct driver *driver = open_disk(&disk, HERD_DURABILITY_COMMIT);
    struct wire *client = driver_accept(driver), *other = driver_accept(driver);
    wire_say(client, "IAMAT a +1+1 100\n");
    wire_say(other, "IAMAT b +1+1 100\n");
    CHECK_INT(("both"), answers_waiting(driver), 2);
    driver_advance_ms(driver, 5000);
    EDGE_EXPECT(client, "%s", "");
    disk_done(&disk, 0);
    EDGE_EXPECT(client, AT_A);
    EDGE_EXPECT(other, "%s", ""); /* its record came after the batch was made */
    CHECK_INT(("one"), answers_waiting(driver), 1);
    assert_non_null(disk.pending);
    disk_done(&disk, 0);
    EDGE_EXPECT(other, AT_B);
    CHECK_INT(("none"), answers_waiting(driver), 0);
    EDGE_EXPECT(client, "%s", "");
    disk_free(&disk);
}

static void commit_keeps_the_order_of_a_connection(void **state)
{
    (void)state;
    struct disk disk;
    struct driver *driver = open_disk(&disk, HERD_DURABILITY_COMMIT);
    struct wire *client = driver_accept(driver);
    wire_say(client, "PING\nIAMAT a +1+1 100\nIAMAT b +1+1 100\nWHATSAT a 1 1\nbad\n");
    wire_say(client, "IAMAT c +1+1 100\nWHATSAT nobody 1 1 AFTER 5 WAIT 100\nPING\n");
    EDGE_EXPECT(client, "PONG\n");
    disk_done(&disk, 0);
    EDGE_EXPECT(client, AT_A AT_B AT_A
                "{\"lat\":1.000000,\"lon\":1.000000,\"radius\":1000.000,\"count\":1}\n\n? bad\n");
    disk_done(&disk, 0);
    EDGE_EXPECT(client, AT_C);
    driver_advance_ms(driver, 100);
    EDGE_EXPECT(client, "? WHATSAT nobody 1 1 AFTER 5 WAIT 100\nPONG\n");
    disk_free(&disk);
}

static void commit_of_what_is_not_newer_waits_for_the_newer(void **state)
{
    (void)state;
    struct disk disk;
    struct driver *driver = open_disk(&disk, HERD_DURABILITY_COMMIT);
    struct wire *client = driver_accept(driver), *other = driver_accept(driver);
    wire_say(client, "IAMAT a +1+1 100\n");
    wire_say(other, "IAMAT a +1+1 100\n"); /* again: the first may not be safe yet */
    EDGE_EXPECT(other, "%s", "");
    disk_done(&disk, 0);
    EDGE_EXPECT(client, AT_A);
    EDGE_EXPECT(other, AT_A);
    wire_say(other, "IAMAT a +1+1 100\n");
    EDGE_EXPECT(other, AT_A); /* all is on disk */
    assert_null(disk.pending);
    disk_free(&disk);
}

static void failed_batch_is_written_again(void **state)
{
    (void)state;
    struct disk disk;
    struct driver *driver = open_disk(&disk, HERD_DURABILITY_COMMIT);
    struct wire *client = driver_accept(driver);
    wire_say(client, "IAMAT a +1+1 100\n");
    const struct herd_batch *first = disk.pending;
    struct herd_buf copy = {0};
    assert_int_equal(herd_buf_append_slice(&copy, herd_buf_slice(&first->records)), 0);
    for (int round = 0; round < 3; round++) {
        disk_done(&disk, -5);
        wire_say(client, "IAMAT b +1+1 100\n");
        driver_advance_ms(driver, 999);
        assert_null(disk.pending);
        driver_advance_ms(driver, 1);
        assert_non_null(disk.pending);
        CHECK_SLICE(("round %d", round), herd_buf_slice(&disk.pending->records),
                    herd_buf_slice(&copy));
        EDGE_EXPECT(client, "%s", "");
        assert_false(herd_node_is_persisted(driver->node));
    }
    CHECK_INT(("told once"), driver_count_notices(driver, HERD_NOTICE_DISK_FAILED), 1);
    CHECK_INT(("not yet"), driver_count_notices(driver, HERD_NOTICE_DISK_WORKS), 0);
    disk_done(&disk, 0);
    EDGE_EXPECT(client, AT_A);
    CHECK_INT(("works"), driver_count_notices(driver, HERD_NOTICE_DISK_WORKS), 1);
    disk_done(&disk, 0);
    EDGE_EXPECT(client, AT_B AT_B AT_B);
    wire_say(client, "IAMAT c +1+1 100\n");
    disk_done(&disk, -5);
    CHECK_INT(("told again"), driver_count_notices(driver, HERD_NOTICE_DISK_FAILED), 2);
    herd_buf_free(&copy);
    disk_free(&disk);
}

/* What does not fit into one batch is not claimed by it. */
static void cut_batch_proves_nothing(void **state)
{
    (void)state;
    enum { CLIENTS = 18000 }; /* more than BATCH_STEP_RECORDS */
    struct disk disk;
    struct driver *driver = open_disk(&disk, HERD_DURABILITY_COMMIT);
    struct wire *client = driver_accept(driver), *flood = driver_accept(driver);
    wire_say(client, "IAMAT a +1+1 100\n"); /* a first batch is under way */
    for (unsigned i = 0; i < CLIENTS; i++)
        wire_sayf(flood, "FLOOD Jaquez c%u +1+1 1 2.0 Jaquez +0.0\n", i);
    wire_say(client, "IAMAT b +1+1 100\nIAMAT a +1+1 200\n");
    disk_done(&disk, 0);
    EDGE_EXPECT(client, AT_A);
    CHECK_INT(("as many as a batch takes"), disk.last_records, 16384);
    wire_say(client, "IAMAT c0 +1+1 200\n"); /* replaces one that is in the batch */
    wire_say(client, "IAMAT c17999 +1+1 200\n");
    disk_done(&disk, 0);
    EDGE_EXPECT(client, "%s", "");
    assert_false(herd_node_is_persisted(driver->node));
    CHECK_INT(("the rest"), disk.last_records, CLIENTS - 16384 + 2 + 1);
    disk_done(&disk, 0);
    EDGE_EXPECT(client, AT_B AT("a", 200, 1699999800) AT("c0", 200, 1699999800)
                            AT("c17999", 200, 1699999800));
    assert_true(herd_node_is_persisted(driver->node));
    disk_free(&disk);
}

static struct driver *open_small_batches(struct disk *disk, enum herd_durability durability)
{
    struct herd_node_options options = driver_options("Hill");
    options.durability = durability;
    options.batch_records_max = 2;
    *disk = (struct disk){.is_slow = true};
    return disk_driver(disk, &options, NULL, NULL);
}

static void cut_batch_answers_for_what_it_has(void **state)
{
    (void)state;
    struct disk disk;
    struct driver *driver = open_small_batches(&disk, HERD_DURABILITY_COMMIT);
    struct wire *a = driver_accept(driver), *b = driver_accept(driver);
    struct wire *both = driver_accept(driver), *newer = driver_accept(driver);
    wire_say(a, "IAMAT z +1+1 100\n"); /* a first batch is under way */
    wire_say(a, "IAMAT a +1+1 100\n");
    wire_say(b, "IAMAT b +1+1 100\n");
    wire_say(
        both,
        "IAMAT c +1+1 100\nIAMAT a +1+1 50\n"); /* older: for a, the other one has to be there */
    wire_say(newer, "IAMAT a +1+1 200\n");
    disk_done(&disk, 0);
    EDGE_EXPECT(a, AT("z", 100, 1699999900));
    CHECK_INT(("b and c"), disk.last_records, 2);
    disk_done(&disk, 0);
    EDGE_EXPECT(b, AT_B);
    EDGE_EXPECT(a, "%s", "");
    EDGE_EXPECT(both, "%s", "");
    EDGE_EXPECT(newer, "%s", "");
    CHECK_INT(("three of four"), answers_waiting(driver), 3);
    disk_done(&disk, 0);
    EDGE_EXPECT(a, AT_A);
    EDGE_EXPECT(both, AT_C AT("a", 50, 1699999950));
    EDGE_EXPECT(newer, AT("a", 200, 1699999800));
    disk_free(&disk);
}

/* Their own disk is not what these wait for. */
static void cut_batch_answers_nobody_who_waits_for_a_neighbour(void **state)
{
    (void)state;
    struct disk disk;
    struct driver *driver = open_small_batches(&disk, HERD_DURABILITY_HERD);
    struct wire *clients[] = {driver_accept(driver), driver_accept(driver), driver_accept(driver)};
    struct wire *flood = driver_accept(driver);
    for (unsigned i = 0; i < COUNT_OF(clients); i++)
        wire_sayf(clients[i], "IAMAT c%u +1+1 100\n", i);
    for (unsigned i = 0; i < 5; i++)
        wire_sayf(flood, "FLOOD Jaquez f%u +1+1 1 2.0 Jaquez +0.0\n", i);
    CHECK_INT(("all wait"), answers_waiting(driver), COUNT_OF(clients));
    while (disk.pending != NULL) {
        disk_done(&disk, 0);
        CHECK_INT(("all wait"), answers_waiting(driver), COUNT_OF(clients));
        driver_advance_ms(driver, 250);
    }
    assert_true(herd_node_is_persisted(driver->node));
    disk_free(&disk);
}

static void answers_between_those_that_wait_keep_their_place(void **state)
{
    (void)state;
    struct disk disk;
    struct driver *driver = open_disk(&disk, HERD_DURABILITY_COMMIT);
    struct wire *client = driver_accept(driver);
    wire_say(client, "IAMAT a +1+1 100\nPING\nIAMAT b +1+1 100\nwhat\nIAMAT c +1+1 100\n");
    EDGE_EXPECT(client, "%s", "");
    disk_done(&disk, 0);
    EDGE_EXPECT(client, "%s", AT_A "PONG\n" AT_B "? what\n" AT_C);
    disk_free(&disk);
}

/* A neighbour brings as much as is written, so that no batch reaches the end. */
static void catch_up_does_not_keep_answers_waiting(void **state)
{
    (void)state;
    struct disk disk;
    struct driver *driver = open_small_batches(&disk, HERD_DURABILITY_COMMIT);
    struct wire *client = driver_accept(driver), *flood = driver_accept(driver);
    unsigned flooded = 0, batches = 0;
    for (; flooded < 20; flooded++)
        wire_sayf(flood, "FLOOD Jaquez c%u +1+1 1 2.0 Jaquez +0.0\n", flooded);
    wire_say(client, "IAMAT a +1+1 100\n");
    struct herd_slice answer = {0};
    for (; answer.len == 0 && batches < 100; batches++) {
        for (int i = 0; i < 2; i++, flooded++)
            wire_sayf(flood, "FLOOD Jaquez c%u +1+1 1 2.0 Jaquez +0.0\n", flooded);
        disk_done(&disk, 0);
        assert_false(herd_node_is_persisted(driver->node));
        answer = wire_take(client);
    }
    CHECK_SLICE(("after %u batches", batches), answer, herd_slice_of(AT_A));
    CHECK_INT(("one record, then two each"), batches, 11);
    assert_non_null(disk_newest(&disk, "a"));
    disk_free(&disk);
}

static void closed_connections_wait_no_more(void **state)
{
    (void)state;
    struct disk disk;
    struct driver *driver = open_disk(&disk, HERD_DURABILITY_COMMIT);
    struct wire *clients[5];
    for (unsigned i = 0; i < 5; i++) {
        clients[i] = driver_accept(driver);
        wire_sayf(clients[i], "IAMAT a%u +1+1 100\nIAMAT b%u +1+1 100\n", i, i);
    }
    wire_close(clients[0], "gone");
    wire_close(clients[4], "gone"); /* the last that waits */
    CHECK_INT(("of the others"), answers_waiting(driver), 3);
    wire_close(clients[2], "gone");
    CHECK_INT(("of the others"), answers_waiting(driver), 2);
    wire_say(clients[1], "IAMAT a +1+1 100\n");
    while (disk.pending != NULL)
        disk_done(&disk, 0);
    CHECK_INT(("three answers"), wire_take(clients[1]).len,
              2 * strlen(AT("a0", 100, 1699999900)) + strlen(AT_A));
    CHECK_INT(("two answers"), wire_take(clients[3]).len, 2 * strlen(AT("a0", 100, 1699999900)));
    disk_free(&disk);
}

/* Resets connections whose answers wait, from one end; the CPU time that took. */
static clock_t time_of_resets(bool newest_first)
{
    enum { CLIENTS = 300, ANSWERS = 60 };
    struct disk disk;
    struct driver *driver = open_disk(&disk, HERD_DURABILITY_COMMIT);
    struct wire *clients[CLIENTS];
    for (unsigned i = 0; i < CLIENTS; i++) {
        clients[i] = driver_accept(driver);
        for (unsigned n = 0; n < ANSWERS; n++)
            wire_sayf(clients[i], "IAMAT a%u +1+1 %u\n", i, n + 1);
    }
    clock_t begin = clock();
    for (unsigned i = 0; i < CLIENTS; i++)
        wire_close(clients[newest_first ? CLIENTS - 1 - i : i], "gone");
    clock_t took = clock() - begin;
    while (disk.pending != NULL)
        disk_done(&disk, 0);
    disk_free(&disk);
    return took;
}

/* A walk of the list for each answer that is let go would take a hundred times as long. */
static void resets_cost_the_same_from_either_end(void **state)
{
    (void)state;
    clock_t oldest_first = time_of_resets(false), newest_first = time_of_resets(true);
    CHECK_TRUE(("%ld us, %ld us the other way round", (long)newest_first, (long)oldest_first),
               newest_first < 8 * oldest_first + CLOCKS_PER_SEC / 20);
}

static void half_closed_connection_gets_its_answer(void **state)
{
    (void)state;
    struct disk disk;
    struct driver *driver = open_disk(&disk, HERD_DURABILITY_COMMIT);
    struct wire *client = driver_accept(driver);
    wire_say(client, "IAMAT a +1+1 100");
    wire_end(client);
    assert_true(client->open);
    disk_done(&disk, 0);
    EDGE_EXPECT(client, AT_A);
    assert_false(client->open);
    disk_free(&disk);
}

static void stop_writes_and_answers_all(void **state)
{
    (void)state;
    struct disk disk;
    struct driver *driver = open_disk(&disk, HERD_DURABILITY_INTERVAL);
    struct wire *client = driver_accept(driver);
    wire_say(client, "IAMAT a +1+1 100\n");
    disk_done(&disk, 0);
    wire_say(client, "IAMAT b +1+1 100\n");
    assert_null(disk.pending);
    driver_stop(driver);
    assert_non_null(disk.pending);
    disk_done(&disk, 0);
    assert_true(herd_node_is_persisted(driver->node));
    disk_free(&disk);
    driver = open_disk(&disk, HERD_DURABILITY_COMMIT);
    client = driver_accept(driver);
    wire_say(client, "IAMAT a +1+1 100\n");
    driver_stop(driver);
    assert_true(client->open);
    disk_done(&disk, 0);
    EDGE_EXPECT(client, AT_A);
    assert_false(client->open);
    disk_free(&disk);
}

static void unread_answers_hold_the_lines_back(void **state)
{
    (void)state;
    struct disk disk;
    struct driver *driver = open_disk(&disk, HERD_DURABILITY_COMMIT);
    struct wire *client = driver_accept(driver);
    for (unsigned i = 0; i < 10000; i++)
        wire_say(client, "IAMAT a +1+1 100\n");
    assert_false(client->reading);
    CHECK_TRUE(("held back"), herd_node_stats(driver->node)->iamat < 2500);
    size_t len = 0;
    for (unsigned i = 0; i < 10; i++) {
        if (disk.pending != NULL)
            disk_done(&disk, 0);
        len += wire_take(client).len;
    }
    CHECK_INT(("all in the end"), len, 10000 * strlen(AT_A));
    assert_true(client->reading);
    disk_free(&disk);
}

/* Snapshots */

/* Safe or not: the places before it may never come, and it is kept until then. */
static void answers_behind_places_hold_the_lines_back(void **state)
{
    (void)state;
    enum { OUTPUT_MAX = 16384, LINES = 60, DIGITS = 2000 };
    struct herd_node_options options = driver_options("Hill");
    options.durability = HERD_DURABILITY_COMMIT;
    options.output_max = OUTPUT_MAX;
    struct disk disk = {0};
    struct driver *driver = disk_driver(&disk, &options, NULL, NULL);
    driver->answers_places = false;
    struct wire *client = driver_accept(driver);
    wire_say(client, "IAMAT a +1+1 100\nWHATSAT a 1 1\n");
    EDGE_EXPECT(client, AT_A);
    for (int i = 0; i < LINES; i++)
        wire_sayf(client, "IAMAT b +1+1.%0*d 100\n", DIGITS, i);
    CHECK_INT(("none waits for the disk"), answers_waiting(driver), 0);
    uint64_t handled = herd_node_stats(driver->node)->lines_received;
    CHECK_TRUE(("%llu lines", (unsigned long long)handled), handled <= OUTPUT_MAX / DIGITS + 3);
    driver_answer(driver, 0);
    struct herd_slice got = wire_take(client);
    CHECK_TRUE(("%zu bytes", got.len), got.len > (size_t)LINES * DIGITS);
    CHECK_INT(("lines"), herd_node_stats(driver->node)->lines_received, LINES + 2);
    disk_free(&disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(interval_answers_at_once_and_writes_every_250_ms),
        cmocka_unit_test(without_a_disk_nothing_is_written),
        cmocka_unit_test(commit_answers_once_it_is_on_disk),
        cmocka_unit_test(commit_keeps_the_order_of_a_connection),
        cmocka_unit_test(commit_of_what_is_not_newer_waits_for_the_newer),
        cmocka_unit_test(failed_batch_is_written_again),
        cmocka_unit_test(cut_batch_proves_nothing),
        cmocka_unit_test(cut_batch_answers_for_what_it_has),
        cmocka_unit_test(cut_batch_answers_nobody_who_waits_for_a_neighbour),
        cmocka_unit_test(answers_between_those_that_wait_keep_their_place),
        cmocka_unit_test(catch_up_does_not_keep_answers_waiting),
        cmocka_unit_test(closed_connections_wait_no_more),
        cmocka_unit_test(resets_cost_the_same_from_either_end),
        cmocka_unit_test(half_closed_connection_gets_its_answer),
        cmocka_unit_test(stop_writes_and_answers_all),
        cmocka_unit_test(unread_answers_hold_the_lines_back),
        cmocka_unit_test(answers_behind_places_hold_the_lines_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
