/* durability = "herd": answers that wait for a neighbour; and ACK on both sides. */
#include <inttypes.h>

#include <herd/store.h>

#include "check.h"
#include "core/link.h"
#include "disk.h"
#include "edge.h"

#define AT(client, second, diff) "AT Hill +" #diff ".000000000 " client " +1+1 " #second "\n"
#define AT_A                     AT("a", 100, 1699999900)
#define AT_B                     AT("b", 100, 1699999900)

struct herd {
    struct driver *driver;
    struct wire *link, *client;
    uint64_t epoch;
};

static void herd_open(struct herd *herd)
{
    struct herd_node_options options = driver_options("Hill");
    options.durability = HERD_DURABILITY_HERD;
    herd->driver = driver_new_with(&options);
    herd->link = driver_add_neighbour(herd->driver, "Jaquez");
    herd->client = driver_accept(herd->driver);
    herd->epoch = herd_node_epoch(herd->driver->node);
}

static void herd_up(struct herd *herd, uint64_t sequence)
{
    edge_greet(herd->link);
    edge_resume(herd->link, sequence);
}

static void say_ack(struct herd *herd, uint64_t sequence)
{
    wire_sayf(herd->link, "ACK %016" PRIx64 " %" PRIu64 "\n", herd->epoch, sequence);
}

static void herd_answers_once_a_neighbour_holds_it(void **state)
{
    (void)state;
    struct herd herd;
    herd_open(&herd);
    herd_up(&herd, 0);
    wire_take(herd.link);
    wire_say(herd.client, "IAMAT a +1+1 100\n");
    EDGE_EXPECT(herd.link, /* the MARK does not wait for 100 ms */
                "FLOOD Hill a +1+1 100 1700000000.000000000 Hill +1699999900.000000000\n"
                "MARK %016" PRIx64 " 1\n",
                herd.epoch);
    EDGE_EXPECT(herd.client, "%s", "");
    wire_say(herd.client, "IAMAT b +1+1 100\n");
    say_ack(&herd, 1);
    EDGE_EXPECT(herd.client, AT_A);
    say_ack(&herd, 2);
    EDGE_EXPECT(herd.client, AT_B);
    wire_say(herd.client, "IAMAT b +1+1 100\n"); /* it is held */
    EDGE_EXPECT(herd.client, AT_B);
    driver_free(herd.driver);
}

static void herd_waits_for_a_neighbour_to_come(void **state)
{
    (void)state;
    struct herd herd;
    herd_open(&herd);
    wire_say(herd.client, "IAMAT a +1+1 100\n");
    driver_advance_ms(herd.driver, 2000);
    EDGE_EXPECT(herd.client, "%s", "");
    herd_up(&herd, 0);
    say_ack(&herd, 1);
    EDGE_EXPECT(herd.client, AT_A);
    driver_free(herd.driver);
}

static void acks_that_say_nothing_answer_nothing(void **state)
{
    (void)state;
    struct herd herd;
    herd_open(&herd);
    herd_up(&herd, 0);
    wire_say(herd.client, "IAMAT a +1+1 100\n");
    wire_sayf(herd.link, "ACK %016" PRIx64 " 1\n", herd.epoch + 1); /* another life's */
    say_ack(&herd, 0);
    say_ack(&herd, 2); /* of no MARK */
    say_ack(&herd, UINT64_MAX);
    wire_say(herd.link, "ACK\nACK 1\nACK x y\nACK 0000000000000000 1\n");
    wire_sayf(herd.client, "ACK %016" PRIx64 " 1\n", herd.epoch); /* not on a link */
    EDGE_EXPECT(herd.client, "%s", "");
    EDGE_STATE(herd.link, "up");
    say_ack(&herd, 1);
    EDGE_EXPECT(herd.client, AT_A "? ACK %016" PRIx64 " 1\n", herd.epoch);
    driver_free(herd.driver);
}

/* A record that was replaced before it was sent is held nowhere until the newer one is. */
static void mark_with_something_behind_it_proves_nothing(void **state)
{
    (void)state;
    struct herd herd;
    herd_open(&herd);
    struct wire *flood = driver_accept(herd.driver);
    wire_say(herd.client, "IAMAT a +1+1 100\n");
    for (unsigned i = 0; i < 200; i++)
        wire_sayf(flood, "FLOOD Blake c%u +1+1 1 2.0 Jaquez +0.0\n", i);
    wire_say(flood, "FLOOD Blake a +1+1 200 2.0 Jaquez +0.0\n"); /* in its place: the last */
    herd_up(&herd, 0);
    say_ack(&herd, 65); /* 64 lines: c0 … c63 */
    EDGE_EXPECT(herd.client, "%s", "");
    say_ack(&herd, 202);
    EDGE_EXPECT(herd.client, AT_A);
    driver_free(herd.driver);
}

static void link_that_is_lost_before_the_ack_is_asked_again(void **state)
{
    (void)state;
    struct herd herd;
    herd_open(&herd);
    herd_up(&herd, 0);
    wire_say(herd.client, "IAMAT a +1+1 100\n");
    wire_close(herd.link, "reset"); /* Jaquez has the MARK, its ACK is lost */
    driver_advance_to_dial(herd.driver, herd.link);
    herd_up(&herd, 1);
    EDGE_EXPECT(herd.link, "MARK %016" PRIx64 " 1\n", herd.epoch);
    EDGE_EXPECT(herd.client, "%s", "");
    say_ack(&herd, 1);
    EDGE_EXPECT(herd.client, AT_A);
    driver_free(herd.driver);
}

static void ack_of_an_earlier_connection_says_nothing(void **state)
{
    (void)state;
    struct herd herd;
    herd_open(&herd);
    herd_up(&herd, 0);
    wire_say(herd.client, "IAMAT a +1+1 100\n");
    wire_close(herd.link, "reset");
    driver_advance_to_dial(herd.driver, herd.link);
    edge_greet(herd.link);
    say_ack(&herd, 1); /* before RESUME */
    EDGE_EXPECT(herd.client, "%s", "");
    edge_resume(herd.link, 0);
    say_ack(&herd, 1);
    EDGE_EXPECT(herd.client, AT_A);
    driver_free(herd.driver);
}

static void what_came_from_the_neighbour_is_held_by_it(void **state)
{
    (void)state;
    struct herd herd;
    herd_open(&herd);
    herd_up(&herd, 0);
    struct wire *inbound = edge_hello(herd.driver, 9, 0);
    wire_take(herd.link);
    wire_say(inbound, "FLOOD Jaquez a +1+1 100 1700000000.000000000 Jaquez +1.0\n");
    wire_say(herd.client, "IAMAT a +1+1 99\n"); /* not newer */
    EDGE_EXPECT(herd.client, "%s", "");
    EDGE_EXPECT(herd.link, "MARK %016" PRIx64 " 1\n", herd.epoch);
    say_ack(&herd, 1);
    EDGE_EXPECT(herd.client, AT("a", 99, 1699999901));
    driver_free(herd.driver);
}

static void one_of_two_neighbours_is_enough(void **state)
{
    (void)state;
    struct herd herd;
    herd_open(&herd);
    struct wire *other = driver_add_neighbour(herd.driver, "Blake");
    herd_up(&herd, 0);
    edge_greet(other);
    edge_resume(other, 0);
    wire_say(herd.client, "IAMAT a +1+1 100\n");
    wire_close(herd.link, "reset");
    EDGE_EXPECT(herd.client, "%s", "");
    wire_sayf(other, "ACK %016" PRIx64 " 1\n", herd.epoch);
    EDGE_EXPECT(herd.client, AT_A);
    driver_free(herd.driver);
}

static void restarted_server_asks_for_what_it_does_not_know(void **state)
{
    (void)state;
    struct disk disk = {0};
    struct herd_node_options options = driver_options("Hill");
    options.durability = HERD_DURABILITY_HERD;
    struct wire *link;
    struct driver *driver = disk_driver(&disk, &options, "Jaquez", &link);
    struct wire *client = driver_accept(driver);
    uint64_t epoch = herd_node_epoch(driver->node);
    wire_say(client, "IAMAT a +1+1 100\n"); /* on disk, with no neighbour */
    driver_advance_ms(driver, 300);
    CHECK_INT(("written"), disk.ledger.writes, 1);
    disk_crash(&disk);
    driver = disk_driver(&disk, &options, "Jaquez", &link);
    uint64_t sequence = herd_store_sequence(herd_node_store(driver->node));
    assert_int_equal(herd_node_epoch(driver->node), epoch);
    client = driver_accept(driver);
    edge_greet(link);
    edge_resume(link, sequence); /* it holds all there is */
    wire_say(client, "IAMAT a +1+1 100\n");
    EDGE_EXPECT(client, "%s", "");
    EDGE_EXPECT(link, "MARK %016" PRIx64 " %" PRIu64 "\n", epoch, sequence);
    wire_sayf(link, "ACK %016" PRIx64 " %" PRIu64 "\n", epoch, sequence);
    EDGE_EXPECT(client, AT_A);
    disk_free(&disk);
}

/* The listener's side of ACK. */

static void listener_acks_what_it_holds(void **state)
{
    (void)state;
    struct driver *driver = driver_new("Hill", 0);
    driver_add_neighbour(driver, "Jaquez");
    driver->keeps_upkeep = true;
    struct wire *inbound = edge_hello(driver, 9, 0), *stranger = driver_accept(driver);
    EDGE_EXPECT(inbound, "RESUME 0000000000000009 0\n");
    wire_say(inbound, "FLOOD Jaquez a +1+1 100 1700000000.000000000 Jaquez +1.0\n"
                      "MARK 0000000000000009 5\n");
    EDGE_EXPECT(inbound, "ACK 0000000000000009 5\n");
    wire_say(inbound, "MARK 0000000000000008 6\n"); /* another life's */
    wire_say(stranger, "MARK 0000000000000009 7\n");
    EDGE_EXPECT(inbound, "%s", "");
    EDGE_EXPECT(stranger, "%s", "");
    driver_free(driver);
}

/* What follows a mark in one read will be marked as well: its ACK may be for several. */
static void ack_of_a_stream_is_for_several_marks(void **state)
{
    enum { MARKS_PER_ACK = 8 };
    (void)state;
    struct driver *driver = driver_new("Hill", 0);
    driver_add_neighbour(driver, "Jaquez");
    driver->keeps_upkeep = true;
    struct wire *inbound = edge_hello(driver, 9, 0);
    wire_take(inbound);
    wire_say(inbound, "FLOOD Jaquez a +1+1 1 2.0 Jaquez +1.0\nMARK 0000000000000009 1\n"
                      "FLOOD Jaquez a +1+1 2 2.0 Jaquez +1.0\n");
    EDGE_EXPECT(inbound, "%s", "");
    /* Nothing of the store is behind this one, only PING. */
    wire_say(inbound, "MARK 0000000000000009 2\nPING\n");
    EDGE_EXPECT(inbound, "PONG\nACK 0000000000000009 2\n");
    for (unsigned i = 3; i < 3 + MARKS_PER_ACK; i++) {
        EDGE_EXPECT(inbound, "%s", "");
        wire_sayf(inbound, "MARK 0000000000000009 %u\nFLOOD Jaquez a +1+1 %u 2.0 Jaquez +1.0\n", i,
                  i);
    }
    EDGE_EXPECT(inbound, "ACK 0000000000000009 %d\n", 2 + MARKS_PER_ACK);
    wire_say(inbound, "MARK 0000000000000009 11\nFLOOD Jaquez a +1+1 11 2.0 Jaquez +1.0\n");
    inbound = edge_hello(driver, 9, 11); /* what was owed to a connection ends with it */
    EDGE_EXPECT(inbound, "RESUME 0000000000000009 11\n");
    wire_say(inbound, "FLOOD Jaquez a +1+1 12 2.0 Jaquez +1.0\n");
    EDGE_EXPECT(inbound, "%s", "");
    driver_free(driver);
}

static struct wire *ack_listener(struct driver **out_driver)
{
    *out_driver = driver_new("Hill", 0);
    driver_add_neighbour(*out_driver, "Jaquez");
    (*out_driver)->keeps_upkeep = true;
    struct wire *inbound = edge_hello(*out_driver, 9, 0);
    wire_take(inbound);
    return inbound;
}

/* An answer goes out in any case: what is to be ACKed need not wait for a write of its own. */
static void ack_of_a_stream_goes_with_pong(void **state)
{
    (void)state;
    struct driver *driver;
    struct wire *inbound = ack_listener(&driver);
    wire_say(inbound, "MARK 0000000000000009 1\nFLOOD Jaquez a +1+1 1 2.0 Jaquez +1.0\n");
    EDGE_EXPECT(inbound, "%s", "");
    wire_say(inbound, "PING\nFLOOD Jaquez a +1+1 2 2.0 Jaquez +1.0\n");
    EDGE_EXPECT(inbound, "PONG\nACK 0000000000000009 1\n");
    wire_say(inbound, "PING\nFLOOD Jaquez a +1+1 3 2.0 Jaquez +1.0\n");
    EDGE_EXPECT(inbound, "PONG\n");
    driver_advance_ms(driver, 150);
    EDGE_EXPECT(inbound, "%s", ""); /* none is owed */
    driver_free(driver);
}

/* What came behind it answers a WANT, and is never marked. */
static void ack_of_a_mark_with_lines_behind_it_comes_in_time(void **state)
{
    (void)state;
    struct driver *driver;
    struct wire *inbound = ack_listener(&driver);
    wire_say(inbound, "FLOOD Jaquez a +1+1 1 2.0 Jaquez +1.0\nMARK 0000000000000009 1\n"
                      "FLOOD Jaquez a +1+1 1 2.0 Jaquez +1.0\n");
    driver_advance_ms(driver, 99);
    EDGE_EXPECT(inbound, "%s", "");
    driver_advance_ms(driver, 1);
    EDGE_EXPECT(inbound, "ACK 0000000000000009 1\n");
    /* Another mark does not put it off. */
    for (unsigned i = 2; i < 4; i++) {
        wire_sayf(inbound, "MARK 0000000000000009 %u\nFLOOD Jaquez a +1+1 1 2.0 Jaquez +1.0\n", i);
        EDGE_EXPECT(inbound, "%s", "");
        driver_advance_ms(driver, 50);
    }
    EDGE_EXPECT(inbound, "ACK 0000000000000009 3\n");
    driver_free(driver);
}

/* A break would repeat all that was not acknowledged. */
static void acks_of_large_batches_are_not_put_off(void **state)
{
    (void)state;
    struct driver *driver;
    struct wire *inbound = ack_listener(&driver);
    for (unsigned i = 1; i <= 512; i++)
        wire_sayf(inbound, "FLOOD Jaquez c%u +1+1 1 2.0 Jaquez +1.0\n", i);
    wire_say(inbound, "MARK 0000000000000009 512\nFLOOD Jaquez a +1+1 1 2.0 Jaquez +1.0\n");
    EDGE_EXPECT(inbound, "ACK 0000000000000009 512\n");
    driver_free(driver);
}

static void commit_listener_acks_what_is_on_disk(void **state)
{
    (void)state;
    struct disk disk = {.is_slow = true};
    struct herd_node_options options = driver_options("Hill");
    options.durability = HERD_DURABILITY_COMMIT;
    struct wire *link;
    struct driver *driver = disk_driver(&disk, &options, "Jaquez", &link);
    driver->keeps_upkeep = true;
    struct wire *inbound = edge_hello(driver, 9, 0);
    wire_take(inbound);
    wire_say(inbound, "FLOOD Jaquez a +1+1 1 2.0 Jaquez +1.0\nMARK 0000000000000009 1\n");
    /* A stream of marks does not put the first off. */
    for (unsigned i = 2; i < 10; i++)
        wire_sayf(inbound, "FLOOD Jaquez a +1+1 %u 2.0 Jaquez +1.0\nMARK 0000000000000009 %u\n", i,
                  i);
    EDGE_EXPECT(inbound, "%s", "");
    disk_done(&disk, 0);
    EDGE_EXPECT(inbound, "ACK 0000000000000009 1\n");
    disk_done(&disk, -5);
    driver_advance_ms(driver, 1000);
    EDGE_EXPECT(inbound, "%s", "");
    disk_done(&disk, 0);
    EDGE_EXPECT(inbound, "ACK 0000000000000009 9\n");
    wire_say(inbound, "MARK 0000000000000009 12\n"); /* nothing new */
    EDGE_EXPECT(inbound, "ACK 0000000000000009 12\n");
    disk_free(&disk);
}

static void ack_that_waits_ends_with_its_connection(void **state)
{
    (void)state;
    struct disk disk = {.is_slow = true};
    struct herd_node_options options = driver_options("Hill");
    options.durability = HERD_DURABILITY_COMMIT;
    struct wire *link;
    struct driver *driver = disk_driver(&disk, &options, "Jaquez", &link);
    driver->keeps_upkeep = true;
    struct wire *inbound = edge_hello(driver, 9, 0);
    wire_say(inbound, "FLOOD Jaquez a +1+1 1 2.0 Jaquez +1.0\nMARK 0000000000000009 1\n");
    wire_close(inbound, "reset");
    inbound = edge_hello(driver, 9, 1);
    EDGE_EXPECT(inbound, "RESUME 0000000000000009 1\n");
    disk_done(&disk, 0);
    EDGE_EXPECT(inbound, "%s", "");
    wire_say(inbound, "MARK 0000000000000009 1\n");
    EDGE_EXPECT(inbound, "ACK 0000000000000009 1\n");
    disk_free(&disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(herd_answers_once_a_neighbour_holds_it),
        cmocka_unit_test(herd_waits_for_a_neighbour_to_come),
        cmocka_unit_test(acks_that_say_nothing_answer_nothing),
        cmocka_unit_test(mark_with_something_behind_it_proves_nothing),
        cmocka_unit_test(link_that_is_lost_before_the_ack_is_asked_again),
        cmocka_unit_test(ack_of_an_earlier_connection_says_nothing),
        cmocka_unit_test(what_came_from_the_neighbour_is_held_by_it),
        cmocka_unit_test(one_of_two_neighbours_is_enough),
        cmocka_unit_test(restarted_server_asks_for_what_it_does_not_know),
        cmocka_unit_test(listener_acks_what_it_holds),
        cmocka_unit_test(ack_of_a_stream_is_for_several_marks),
        cmocka_unit_test(ack_of_a_stream_goes_with_pong),
        cmocka_unit_test(ack_of_a_mark_with_lines_behind_it_comes_in_time),
        cmocka_unit_test(acks_of_large_batches_are_not_put_off),
        cmocka_unit_test(commit_listener_acks_what_is_on_disk),
        cmocka_unit_test(ack_that_waits_ends_with_its_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
