/* What a neighbour has marked goes to disk with the records that bear it out. */
#include <herd/store.h>

#include "check.h"
#include "core/node.h"
#include "disk.h"
#include "edge.h"

#define AT(client, second, diff) "AT Hill +" #diff ".000000000 " client " +1+1 " #second "\n"
#define AT_A                     AT("a", 100, 1699999900)
#define AT_B                     AT("b", 100, 1699999900)
#define AT_C                     AT("c", 100, 1699999900)

/* A record that was replaced by one which the batch has no room for is on no disk, and neither is
 * what a neighbour had marked when it told that one. */
static void cut_batch_bears_out_nothing(void **state)
{
    struct disk disk = {.is_slow = true};
    struct herd_node_options options = driver_options("Hill");
    struct wire *link;
    (void)state;
    options.durability = HERD_DURABILITY_COMMIT;
    options.batch_records_max = 2;
    struct driver *driver = disk_driver(&disk, &options, "Jaquez", &link);
    driver->keeps_upkeep = true;
    struct wire *inbound = edge_hello(driver, 5, 0);
    struct wire *client = driver_accept(driver);
    wire_say(client, "IAMAT z +1+1 100\n"); /* a first batch is under way */
    wire_say(client, "IAMAT a +1+1 100\nIAMAT b +1+1 100\nIAMAT c +1+1 100\n");
    wire_say(inbound, "FLOOD Jaquez a +1+1 200 200.5 Jaquez +0.5\n");
    wire_say(inbound, "MARK 0000000000000005 7\n");
    disk_done(&disk, 0);
    EDGE_EXPECT(client, AT("z", 100, 1699999900));
    CHECK_INT(("b and c"), disk.last_records, 2);
    CHECK_SLICE(("no marks"), herd_buf_slice(&disk.pending->neighbours), herd_slice_of(""));
    wire_take(inbound);
    disk_done(&disk, 0);
    EDGE_EXPECT(client, "%s", "");
    CHECK_TRUE(("no ACK"), wire_take(inbound).len == 0);
    CHECK_INT(("a"), disk.last_records, 1);
    CHECK_SLICE(("marks"), herd_buf_slice(&disk.pending->neighbours),
                herd_slice_of("Jaquez 0000000000000005 7 0000000000000000 0\n"));
    disk_done(&disk, 0);
    EDGE_EXPECT(client, AT_A AT_B AT_C);
    EDGE_EXPECT(inbound, "ACK 0000000000000005 7\n");
    disk_free(&disk);
}

#define EXPECT_MARKS(disk, text)                                                                   \
    CHECK_SLICE(("marks"), herd_buf_slice(&(disk)->pending->neighbours), herd_slice_of(text))

/* A neighbour that `driver`'s node has told a record and a mark of it. */
static struct wire *tell_and_mark(struct driver *driver, unsigned epoch, unsigned sequence)
{
    struct wire *inbound = edge_hello(driver, epoch, 0);
    wire_sayf(inbound, "FLOOD Jaquez a +1+1 %u %u.5 Jaquez +0.5\n", epoch, epoch);
    wire_sayf(inbound, "MARK %016x %u\n", epoch, sequence);
    return inbound;
}

/* Another server has taken Jaquez's name, at another address, while the old one hangs: of one name
 * there is one mark. What it says counts for the server that made it alone. */
static void mark_of_a_removed_neighbour_is_not_written(void **state)
{
    struct disk disk = {.is_slow = true};
    struct herd_node_options options = driver_options("Hill");
    struct wire *link;
    (void)state;
    struct driver *driver = disk_driver(&disk, &options, "Jaquez", &link);
    driver->keeps_upkeep = true;
    edge_greet(link);
    edge_resume(link, 0);
    tell_and_mark(driver, 5, 7);
    disk_done(&disk, 0); /* made before the mark came */
    driver_advance_ms(driver, 250);
    EXPECT_MARKS(&disk, "Jaquez 0000000000000005 7 0000000000000000 0\n");
    disk_done(&disk, 0);
    driver->closes = false;
    driver_remove_neighbour(driver, "Jaquez");
    assert_true(link->open);
    driver_add_neighbour(driver, "Jaquez");
    wire_say(driver_accept(driver), "IAMAT b +1+1 100\n");
    driver_advance_ms(driver, 250);
    EXPECT_MARKS(&disk, "");
    disk_done(&disk, 0);
    driver_advance_ms(driver, 250);
    tell_and_mark(driver, 6, 3);
    disk_done(&disk, 0);
    driver_advance_ms(driver, 250);
    EXPECT_MARKS(&disk, "Jaquez 0000000000000006 3 0000000000000000 0\n");
    assert_true(link->open);
    disk_crash(&disk); /* the mark that is there is that of the old one */
    driver = disk_driver(&disk, &options, "Jaquez", &link);
    driver->keeps_upkeep = true;
    EDGE_EXPECT(edge_hello(driver, 6, 3), "RESUME 0000000000000006 0\n");
    disk_crash(&disk);
    driver = disk_driver(&disk, &options, "Jaquez", &link);
    driver->keeps_upkeep = true;
    EDGE_EXPECT(edge_hello(driver, 5, 9),
                "RESUME 0000000000000005 7 recovered life=%016" PRIx64 "\n", driver->node->life.id);
    disk_free(&disk);
}

/* They may be why it failed; records do not wait for them. */
static void failed_batch_is_written_again_without_marks(void **state)
{
    struct disk disk = {.is_slow = true};
    struct herd_node_options options = driver_options("Hill");
    struct wire *link;
    (void)state;
    struct driver *driver = disk_driver(&disk, &options, "Jaquez", &link);
    tell_and_mark(driver, 5, 7);
    disk_done(&disk, 0); /* made before the mark came */
    driver_advance_ms(driver, 250);
    EXPECT_MARKS(&disk, "Jaquez 0000000000000005 7 0000000000000000 0\n");
    disk_done(&disk, -5);
    driver_advance_ms(driver, 1000);
    EXPECT_MARKS(&disk, "");
    disk_done(&disk, 0);
    assert_false(herd_node_is_persisted(driver->node));
    driver_advance_ms(driver, 250);
    EXPECT_MARKS(&disk, "Jaquez 0000000000000005 7 0000000000000000 0\n");
    disk_done(&disk, 0);
    assert_true(herd_node_is_persisted(driver->node));
    disk_free(&disk);
}

/* A batch without marks leaves those on disk as they are. */
static void marks_are_written_when_they_have_changed(void **state)
{
    struct disk disk = {.is_slow = true};
    struct herd_node_options options = driver_options("Hill");
    struct wire *link;
    (void)state;
    struct driver *driver = disk_driver(&disk, &options, "Jaquez", &link);
    struct wire *inbound = tell_and_mark(driver, 5, 7), *client = driver_accept(driver);
    disk_done(&disk, 0); /* made before the mark came */
    driver_advance_ms(driver, 250);
    EXPECT_MARKS(&disk, "Jaquez 0000000000000005 7 0000000000000000 0\n");
    disk_done(&disk, 0);
    wire_say(client, "IAMAT b +1+1 100\n");
    driver_advance_ms(driver, 250);
    CHECK_INT(("b"), disk.last_records, 1);
    EXPECT_MARKS(&disk, "");
    disk_done(&disk, 0);
    wire_say(inbound, "MARK 0000000000000005 18446744073709551615\n");
    driver_advance_ms(driver, 250);
    EXPECT_MARKS(&disk, "Jaquez 0000000000000005 18446744073709551615 0000000000000000 0\n");
    disk_done(&disk, 0);
    wire_say(inbound, "MARK 0000000000000005 18446744073709551615\n"); /* it is there */
    driver_advance_ms(driver, 250);
    assert_null(disk.pending);
    disk_crash(&disk);
    driver = disk_driver(&disk, &options, "Jaquez", &link);
    driver->keeps_upkeep = true;
    EDGE_EXPECT(edge_hello(driver, 5, UINT64_MAX),
                "RESUME 0000000000000005 18446744073709551615 recovered life=%016" PRIx64 "\n",
                driver->node->life.id);
    disk_free(&disk);
}

/* What a neighbour marked in another epoch does not stand on disk beside what others mark. */
static void marks_of_a_neighbour_reborn_go(void **state)
{
    struct disk disk = {.is_slow = true};
    struct herd_node_options options = driver_options("Hill");
    struct wire *link;
    (void)state;
    struct driver *driver = disk_driver(&disk, &options, "Jaquez", &link);
    driver_add_neighbour(driver, "Smith");
    tell_and_mark(driver, 5, 7);
    struct wire *smith = driver_accept(driver);
    wire_say(smith, "HELLO Smith 2 00000000000000ff 0 -\n");
    wire_say(smith, "MARK 00000000000000ff 1\n");
    disk_done(&disk, 0); /* made before the marks came */
    driver_advance_ms(driver, 250);
    EXPECT_MARKS(&disk, "Jaquez 0000000000000005 7 0000000000000000 0\n"
                        "Smith 00000000000000ff 1 0000000000000000 0\n");
    disk_done(&disk, 0);
    edge_hello(driver, 6, 0);
    driver_advance_ms(driver, 250);
    EXPECT_MARKS(&disk, "Smith 00000000000000ff 1 0000000000000000 0\n");
    disk_done(&disk, 0);
    driver_remove_neighbour(driver, "Smith");
    driver_advance_ms(driver, 250);
    EXPECT_MARKS(&disk, "");
    disk_done(&disk, 0);
    disk_free(&disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cut_batch_bears_out_nothing),
        cmocka_unit_test(mark_of_a_removed_neighbour_is_not_written),
        cmocka_unit_test(failed_batch_is_written_again_without_marks),
        cmocka_unit_test(marks_are_written_when_they_have_changed),
        cmocka_unit_test(marks_of_a_neighbour_reborn_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
