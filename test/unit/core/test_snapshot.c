/* Snapshots: how a generation of the journal begins, and what makes it whole. */
#include <herd/store.h>

#include "check.h"
#include "core/node.h"
#include "disk.h"
#include "edge.h"

#define AT_A "AT Hill +1699999900.000000000 a +1+1 100\n"

static struct driver *open_disk(struct disk *disk, enum herd_durability durability)
{
    struct herd_node_options options = driver_options("Hill");
    options.durability = durability;
    *disk = (struct disk){.is_slow = true};
    return disk_driver(disk, &options, NULL, NULL);
}

static void snapshot_holds_all_records(void **state)
{
    (void)state;
    enum { CLIENTS = 17000 }; /* more than one part */
    struct disk disk;
    struct driver *driver = open_disk(&disk, HERD_DURABILITY_INTERVAL);
    struct wire *flood = driver_accept(driver);
    disk.is_slow = false;
    for (unsigned i = 0; i < CLIENTS; i++)
        wire_sayf(flood, "FLOOD Jaquez c%u +1+1 1 2.0 Jaquez +0.0\n", i);
    driver_advance_ms(driver, 1000);
    disk.is_slow = true;
    herd_node_snapshot(driver->node);
    driver_run(driver);
    assert_true(disk.last_begins);
    assert_false(disk.last_is_snapshot);
    CHECK_INT(("nothing had changed"), disk.last_records, 0);
    unsigned parts = 0;
    for (unsigned update = 0; disk.pending != NULL; update++) {
        assert_true(update < 20);
        if (update < 6)
            wire_sayf(flood, "FLOOD Jaquez c%u +1+1 2 3.0 Jaquez +0.0\n", update * 2000);
        parts += disk.last_is_snapshot;
        disk_done(&disk, update == 3 ? -5 : 0);
        driver_advance_ms(driver, 1000);
    }
    assert_true(parts >= 2);
    CHECK_INT(("generation"), disk.ledger.generation_whole, 1);
    for (unsigned i = 0; i < CLIENTS; i += i < 12100 ? 100 : 1) {
        char name[16];
        snprintf(name, sizeof(name), "c%u", i);
        const struct ledger_row *row = disk_newest(&disk, name);
        CHECK_TRUE(("%s", name), row != NULL);
        bool updated = i % 2000 == 0 && i / 2000 < 6;
        CHECK_TRUE(("%s: %s", name, row->text),
                   strstr(row->text, updated ? " +1+1 2 " : " +1+1 1 ") != NULL);
    }
    driver_advance_ms(driver, 5000);
    assert_null(disk.pending);
    disk_free(&disk);
}

static void snapshot_of_nothing_begins_and_ends(void **state)
{
    (void)state;
    struct disk disk;
    struct driver *driver = open_disk(&disk, HERD_DURABILITY_COMMIT);
    herd_node_snapshot(driver->node);
    herd_node_snapshot(driver->node);
    driver_run(driver);
    assert_false(disk.last_is_snapshot);
    assert_true(disk.last_begins);
    assert_true(disk.last_ends);
    disk_done(&disk, 0);
    assert_null(disk.pending);
    CHECK_INT(("one generation"), disk.ledger.generation_whole, 1);
    disk_free(&disk);
}

/* An answer that waits for the disk does not wait for the snapshot's end. */
static void journal_takes_turns_with_the_snapshot(void **state)
{
    (void)state;
    struct disk disk;
    struct driver *driver = open_disk(&disk, HERD_DURABILITY_COMMIT);
    struct wire *client = driver_accept(driver), *flood = driver_accept(driver);
    disk.is_slow = false;
    for (unsigned i = 0; i < 18000; i++)
        wire_sayf(flood, "FLOOD Jaquez c%u +1+1 1 2.0 Jaquez +0.0\n", i);
    disk.is_slow = true;
    herd_node_snapshot(driver->node);
    driver_run(driver);
    disk_done(&disk, 0);
    assert_true(disk.last_is_snapshot);
    wire_say(client, "IAMAT a +1+1 100\n");
    disk_done(&disk, 0);
    assert_false(disk.last_is_snapshot);
    EDGE_EXPECT(client, "%s", "");
    disk_done(&disk, 0);
    EDGE_EXPECT(client, AT_A);
    assert_true(disk.last_is_snapshot);
    disk_free(&disk);
}

/* All of c0 … c9 from one on, at once. */
static void say_ten(struct wire *client, unsigned first, unsigned time)
{
    char lines[10 * 32], *at = lines;
    for (unsigned i = first; i < 10; i++)
        at += sprintf(at, "IAMAT c%u +1+1 %u\n", i, time);
    wire_say(client, lines);
}

static void expect_ten(const struct disk *disk, unsigned first, const char *time)
{
    for (unsigned i = 0; i < 10; i++) {
        char name[8];
        snprintf(name, sizeof(name), "c%u", i);
        const struct ledger_row *row = disk_newest(disk, name);
        CHECK_TRUE(("%s", name), row != NULL);
        CHECK_TRUE(("%s: %s", name, row->text),
                   strstr(row->text, i < first ? " +1+1 100 " : time) != NULL);
    }
}

static struct driver *open_with_ten(struct disk *disk)
{
    struct herd_node_options options = driver_options("Hill");
    options.durability = HERD_DURABILITY_INTERVAL;
    options.batch_step_max = 2;
    *disk = (struct disk){0};
    struct driver *driver = disk_driver(disk, &options, NULL, NULL);
    say_ten(driver_accept(driver), 0, 100);
    driver_advance_ms(driver, 1000);
    disk->is_slow = true;
    return driver;
}

/* The batch that begins the generation has all that there is. */
static void a_batch_of_all_clients_is_its_own_snapshot(void **state)
{
    (void)state;
    struct disk disk;
    struct driver *driver = open_with_ten(&disk);
    struct wire *client = driver_accept(driver);
    herd_node_snapshot(driver->node);
    say_ten(client, 0, 200);
    assert_true(disk.last_begins && disk.last_ends && !disk.last_is_snapshot);
    disk_done(&disk, 0);
    CHECK_INT(("a generation"), disk.ledger.generation_whole, 1);
    expect_ten(&disk, 0, " +1+1 200 ");
    disk_free(&disk);
}

/* What is replaced meanwhile is not copied, and older generations go with the journal's batch that
 * has it. */
static void a_snapshot_ends_with_what_has_replaced_its_rest(void **state)
{
    (void)state;
    struct disk disk;
    struct driver *driver = open_with_ten(&disk);
    struct wire *client = driver_accept(driver);
    herd_node_snapshot(driver->node);
    driver_run(driver);
    assert_true(disk.last_begins && !disk.last_ends);
    disk_done(&disk, 0);
    assert_true(disk.last_is_snapshot);
    CHECK_INT(("c0 and c1"), disk.last_records, 2);
    say_ten(client, 4, 300);
    disk_done(&disk, 0);
    assert_true(disk.last_is_snapshot && !disk.last_ends);
    CHECK_INT(("c2 and c3"), disk.last_records, 2);
    disk_done(&disk, 0);
    assert_null(disk.pending); /* the journal's time has not come */
    CHECK_INT(("not yet"), disk.ledger.generation_whole, 0);
    expect_ten(&disk, 10, "");
    driver_advance_ms(driver, 250);
    assert_true(disk.last_ends && !disk.last_is_snapshot);
    CHECK_INT(("the rest"), disk.last_records, 6);
    disk_done(&disk, 0);
    CHECK_INT(("now"), disk.ledger.generation_whole, 1);
    expect_ten(&disk, 4, " +1+1 300 ");
    driver_advance_ms(driver, 1000);
    assert_null(disk.pending);
    disk_free(&disk);
}

/* One that is asked for while another is under way, up to its last part, is that one. */
static void a_snapshot_is_not_begun_twice(void **state)
{
    (void)state;
    struct disk disk;
    struct driver *driver = open_with_ten(&disk);
    herd_node_snapshot(driver->node);
    driver_run(driver);
    unsigned parts = 0;
    for (unsigned batch = 0; disk.pending != NULL; batch++) {
        CHECK_INT(("batch %u", batch), disk.last_begins, batch == 0);
        herd_node_snapshot(driver->node);
        parts += disk.last_is_snapshot;
        disk_done(&disk, 0);
        driver_advance_ms(driver, 1000);
    }
    CHECK_INT(("two records each, and no more"), parts, 10 / 2);
    disk_free(&disk);
}

/* What is in no batch yet is only in the older generation, as it was. */
static void a_batch_that_is_cut_short_ends_no_snapshot(void **state)
{
    (void)state;
    struct disk disk;
    struct driver *driver = open_with_ten(&disk);
    struct wire *client = driver_accept(driver);
    driver->node->options.batch_records_max = 4;
    herd_node_snapshot(driver->node);
    driver_run(driver);
    disk_done(&disk, 0);
    assert_true(disk.last_is_snapshot);
    CHECK_INT(("c0 and c1"), disk.last_records, 2);
    say_ten(client, 2, 300);
    disk_done(&disk, 0);
    assert_true(!disk.last_is_snapshot && !disk.last_ends);
    CHECK_INT(("c2 to c5"), disk.last_records, 4);
    disk_done(&disk, 0);
    CHECK_INT(("not yet"), disk.ledger.generation_whole, 0);
    assert_true(!disk.last_is_snapshot && disk.last_ends);
    CHECK_INT(("c6 to c9"), disk.last_records, 4);
    disk_done(&disk, 0);
    CHECK_INT(("now"), disk.ledger.generation_whole, 1);
    expect_ten(&disk, 2, " +1+1 300 ");
    disk_free(&disk);
}

/* Its parts do not put off what was answered. */
static void a_long_snapshot_leaves_the_journal_its_time(void **state)
{
    (void)state;
    enum { PART_MS = 100 };
    struct disk disk;
    struct driver *driver = open_with_ten(&disk);
    struct wire *client = driver_accept(driver);
    herd_node_snapshot(driver->node);
    driver_run(driver);
    disk_done(&disk, 0);
    wire_say(client, "IAMAT a +1+1 100\n");
    int waited_ms = 0;
    for (; disk.last_is_snapshot; waited_ms += PART_MS) {
        driver_advance_ms(driver, PART_MS);
        disk_done(&disk, 0);
    }
    CHECK_INT(("three parts of five, then a"), waited_ms, 3 * PART_MS);
    CHECK_INT(("a"), disk.last_records, 1);
    disk_done(&disk, 0);
    assert_non_null(disk_newest(&disk, "a"));
    assert_true(disk.last_is_snapshot && !disk.last_ends);
    disk_free(&disk);
}

/* Who comes back brings more than the disk takes: what was answered is behind that. */
static void a_journal_that_is_behind_has_most_of_the_batches(void **state)
{
    (void)state;
    struct disk disk;
    struct driver *driver = open_with_ten(&disk);
    struct wire *flood = driver_accept(driver);
    driver->node->options.batch_records_max = 2;
    herd_node_snapshot(driver->node);
    driver_run(driver);
    disk_done(&disk, 0);
    assert_true(disk.last_is_snapshot);
    for (unsigned i = 0; i < 100; i++)
        wire_sayf(flood, "FLOOD Jaquez f%u +1+1 1 2.0 Jaquez +0.0\n", i);
    for (unsigned part = 1; part < 4; part++) {
        unsigned journal = 0;
        disk_done(&disk, 0);
        for (; !disk.last_is_snapshot && journal < 100; journal++)
            disk_done(&disk, 0);
        CHECK_INT(("before part %u", part), journal, BATCH_JOURNAL_SHARE);
    }
    disk_free(&disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(snapshot_holds_all_records),
        cmocka_unit_test(snapshot_of_nothing_begins_and_ends),
        cmocka_unit_test(journal_takes_turns_with_the_snapshot),
        cmocka_unit_test(a_batch_of_all_clients_is_its_own_snapshot),
        cmocka_unit_test(a_snapshot_ends_with_what_has_replaced_its_rest),
        cmocka_unit_test(a_snapshot_is_not_begun_twice),
        cmocka_unit_test(a_batch_that_is_cut_short_ends_no_snapshot),
        cmocka_unit_test(a_long_snapshot_leaves_the_journal_its_time),
        cmocka_unit_test(a_journal_that_is_behind_has_most_of_the_batches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
