/* What an ACK is worth where records end and a clock is wrong: of what was refused, in this life and
 * in the next one. */
#include <herd/store.h>

#include "check.h"
#include "core/digest.h"
#include "core/node.h"
#include "disk.h"
#include "edge.h"
#include "ended_rig.h"

#define LIFE_1 " - ttl=60 life=00000000000000a1 from=11\n"
#define LIFE_2 " - ttl=60 life=00000000000000a2 from=5000\n"
#define OF_1   " of=00000000000000a1"

/* The record that was refused has been replaced here before that is known: its client still waits,
 * and nobody else holds it. */
static void what_was_refused_may_have_been_replaced(void **state)
{
    struct herd herd;
    (void)state;
    herd_open(&herd);
    wire_say(herd.client, "IAMAT a +1+1 1700000000\n");
    herd.driver->now.wall_ns += HERD_NS_PER_S;
    wire_say(herd.client, "IAMAT a +2+2 1700000001\n");
    wire_sayf(herd.link, "ENDED %d\nACK %016" PRIx64 " 1\n", DRIVER_WALL_S, herd.epoch);
    EDGE_EXPECT(herd.client, "%s", "");
    wire_sayf(herd.link, "ENDED %d\nACK %016" PRIx64 " 2\n", DRIVER_WALL_S + 1, herd.epoch);
    EDGE_EXPECT(herd.client, "%s", "");
    driver_free(herd.driver);
}

/* The neighbour answers PING until its connection is given up, is dialled anew, and claims all that
 * was marked there. Returns how long that took. */
static int64_t dial_anew(struct herd *herd, uint64_t claim)
{
    int64_t took_ms = 0;
    while (conn_link(herd->link->conn)->state == LINK_UP) {
        driver_advance_ms(herd->driver, 100);
        wire_say(herd->link, "PONG\n");
        took_ms += 100;
    }
    driver_advance_to_dial(herd->driver, herd->link);
    wire_dialled(herd->link, NULL);
    wire_take(herd->link);
    edge_resume(herd->link, claim);
    return took_ms;
}

static void refuse_a(struct herd *herd)
{
    wire_sayf(herd->link, "ENDED %d\nACK %016" PRIx64 " 1\n", DRIVER_WALL_S, herd->epoch);
    EDGE_EXPECT(herd->client, "%s", "");
}

/* What was refused is sent again whatever is claimed, until it is not refused: then the client has
 * its answer, long before the record ends. */
static void what_was_refused_is_sent_again(void **state)
{
    static const int waits_ms[] = {2000, 4000, 8000, 16000, 32000, 32000};
    struct herd herd;
    (void)state;
    herd_open(&herd);
    wire_say(herd.client, "IAMAT a +1+1 1700000000\n");
    for (size_t i = 0; i < sizeof(waits_ms) / sizeof(waits_ms[0]); i++) {
        wire_take(herd.link);
        refuse_a(&herd);
        EDGE_EXPECT(herd.link, "%s", "");
        CHECK_INT(("ms"), dial_anew(&herd, 1), waits_ms[i]);
        EDGE_EXPECT(herd.link,
                    "FLOOD Hill a +1+1 1700000000 %d.000000000 Hill +0.000000000\n"
                    "MARK %016" PRIx64 " 1\n",
                    DRIVER_WALL_S, herd.epoch);
    }
    wire_sayf(herd.link, "ACK %016" PRIx64 " 1\n", herd.epoch);
    EDGE_EXPECT(herd.client, "AT Hill +0.000000000 a +1+1 1700000000\n");
    CHECK_INT(("told once"), driver_count_notices(herd.driver, HERD_NOTICE_CLOCKS_DIFFER), 1);

    wire_say(herd.client, "IAMAT b +1+1 1700000000\n");
    wire_sayf(herd.link, "ENDED %d\nACK %016" PRIx64 " 2\n", DRIVER_WALL_S, herd.epoch);
    CHECK_INT(("told again"), driver_count_notices(herd.driver, HERD_NOTICE_CLOCKS_DIFFER), 2);
    CHECK_INT(("ms"), dial_anew(&herd, 2), waits_ms[0]);
    driver_free(herd.driver);
}

/* A long catch-up comes to its end all the same. */
static void catch_up_is_not_broken_off(void **state)
{
    struct herd_node_options options = options_of(HERD_DURABILITY_HERD);
    struct driver *driver = driver_new_with(&options);
    struct wire *link = driver_add_neighbour(driver, "Jaquez");
    (void)state;
    wire_dialled(link, NULL);
    for (int i = 0; i < 5000; i++)
        wire_sayf(driver_accept(driver), "IAMAT c%d +1+1 1700000000\n", i);
    driver->reports_writes = false;
    edge_resume(link, 0);
    wire_sayf(link, "ENDED %d\n", DRIVER_WALL_S);
    for (int i = 0; i < 10; i++) {
        driver_advance_ms(driver, 1000);
        wire_say(link, "PONG\n");
    }
    CHECK_INT(("refused"), conn_link(link->conn)->refused, true);
    CHECK_INT(("up"), conn_link(link->conn)->state, LINK_UP);
    wire_wrote(link, link->unwritten);
    wire_wrote(link, link->unwritten);
    driver_advance_ms(driver, 0);
    CHECK_TRUE(("all was sent"), conn_link(link->conn)->sent == 5000);
    CHECK_TRUE(("given up"), conn_link(link->conn)->state != LINK_UP);
    driver_free(driver);
}

/* Where nobody waits for it, too: once a connection. */
static void clocks_that_differ_are_told_whatever_the_durability(void **state)
{
    struct herd_node_options options = options_of(HERD_DURABILITY_INTERVAL);
    struct driver *driver = driver_new_with(&options);
    struct wire *link = driver_add_neighbour(driver, "Jaquez");
    (void)state;
    wire_dialled(link, NULL);
    edge_resume(link, 0);
    wire_say(driver_accept(driver), "IAMAT a +1+1 1700000000\nIAMAT b +1+1 1700000000\n");
    driver_advance_ms(driver, 200); /* until MARK */
    wire_sayf(link, "ENDED %d\n", DRIVER_WALL_S);
    wire_sayf(link, "ENDED %d\n", DRIVER_WALL_S);
    CHECK_INT(("told"), driver_count_notices(driver, HERD_NOTICE_CLOCKS_DIFFER), 1);
    wire_sayf(link, "ACK %016" PRIx64 " 2\n", herd_node_epoch(driver->node));
    CHECK_INT(("acked"), conn_link(link->conn)->acked, 2);
    driver_free(driver);
}

/* Under load there is always a MARK on its way. */
static void marks_without_an_ack_put_nothing_off(void **state)
{
    struct herd herd;
    (void)state;
    herd_open(&herd);
    wire_say(herd.client, "IAMAT a +1+1 1700000000\n");
    wire_say(herd.client, "IAMAT b +1+1 1700000000\n");
    refuse_a(&herd);
    CHECK_INT(("ms"), dial_anew(&herd, 2), 2000);
    driver_free(herd.driver);
}

/* What another neighbour holds is not sent again for it. */
static void what_another_one_holds_is_not_sent_again(void **state)
{
    struct herd herd;
    (void)state;
    herd_open(&herd);
    struct wire *other = driver_add_neighbour(herd.driver, "Smith");
    wire_dialled(other, NULL);
    edge_resume(other, 0);
    wire_say(herd.client, "IAMAT a +1+1 1700000000\n");
    wire_sayf(herd.link, "ENDED %d\nACK %016" PRIx64 " 1\n", DRIVER_WALL_S, herd.epoch);
    wire_sayf(other, "ACK %016" PRIx64 " 1\n", herd.epoch);
    EDGE_EXPECT(herd.client, "AT Hill +0.000000000 a +1+1 1700000000\n");
    wire_say(herd.client, "IAMAT b +1+1 1700000000\n");
    wire_sayf(herd.link, "ACK %016" PRIx64 " 2\n", herd.epoch);
    dial_anew(&herd, 2);
    EDGE_EXPECT(herd.link,
                "FLOOD Hill b +1+1 1700000000 %d.000000000 Hill +0.000000000\n"
                "MARK %016" PRIx64 " 2\n",
                DRIVER_WALL_S, herd.epoch);
    driver_free(herd.driver);
}

/* By this clock, too: it is ahead. So nobody is told that it is safe, and it is gone from here before
 * the clock can be set back; what was received later is not about it. */
static void what_has_ended_there_and_here_is_refused(void **state)
{
    struct herd herd;
    (void)state;
    herd_open(&herd);
    wire_say(herd.client, "IAMAT a +1+1 1700000000\n");
    herd.driver->now.wall_ns += (TTL_S + 1) * HERD_NS_PER_S;
    wire_say(herd.client, "IAMAT b +1+1 1700000061\n");
    wire_sayf(herd.link, "ENDED %d\nACK %016" PRIx64 " 2\n", DRIVER_WALL_S, herd.epoch);
    EDGE_EXPECT(herd.client, "? IAMAT a +1+1 1700000000\nAT Hill +0.000000000 b +1+1 1700000061\n");
    driver_advance_ms(herd.driver, 0);
    CHECK_INT(("a is gone"), herd_store_count(herd_node_store(herd.driver->node)), 1);
    CHECK_INT(("told"), driver_count_notices(herd.driver, HERD_NOTICE_CLOCKS_DIFFER), 0);
    driver_free(herd.driver);
}

/* A neighbour whose clock is a few seconds ahead: its ACKs go on to count, and what it has refused is
 * gone from here too, though this clock is set back at once. */
static void what_ends_there_a_little_early_ends_here(void **state)
{
    struct herd herd;
    (void)state;
    herd_open(&herd);
    wire_say(herd.client, "IAMAT a +1+1 1700000000\n");
    herd.driver->now.wall_ns += (TTL_S - 3) * HERD_NS_PER_S;
    wire_say(herd.client, "IAMAT b +1+1 1700000057\n");
    herd.driver->ticks = false;
    wire_sayf(herd.link, "ENDED %d\nACK %016" PRIx64 " 2\n", DRIVER_WALL_S, herd.epoch);
    herd.driver->ticks = true;
    CHECK_INT(("refused"), conn_link(herd.link->conn)->refused, false);
    EDGE_EXPECT(herd.client, "? IAMAT a +1+1 1700000000\nAT Hill +0.000000000 b +1+1 1700000057\n");
    herd.driver->now.wall_ns -= (TTL_S - 3) * HERD_NS_PER_S;
    driver_advance_ms(herd.driver, 0);
    CHECK_INT(("a is gone"), herd_store_count(herd_node_store(herd.driver->node)), 1);
    wire_say(herd.client, "IAMAT a +1+1 1700000000\n");
    EDGE_EXPECT(herd.client, "%s", "");
    driver_free(herd.driver);
}

static void what_ends_there_too_early_is_refused(void **state)
{
    struct herd herd;
    (void)state;
    herd_open(&herd);
    wire_say(herd.client, "IAMAT a +1+1 1700000000\n");
    herd.driver->now.wall_ns += (TTL_S - 3) * HERD_NS_PER_S - 1;
    wire_sayf(herd.link, "ENDED %d\nACK %016" PRIx64 " 1\n", DRIVER_WALL_S, herd.epoch);
    CHECK_INT(("refused"), conn_link(herd.link->conn)->refused, true);
    driver_advance_ms(herd.driver, 0);
    CHECK_INT(("a stays"), herd_store_count(herd_node_store(herd.driver->node)), 1);
    driver_free(herd.driver);
}

/* Where answers wait for the disk alone, a neighbour's word ends nothing. */
static void ended_says_nothing_of_the_disk(void **state)
{
    (void)state;
    struct disk disk = {.is_slow = true};
    struct wire *link;
    struct herd_node_options options = options_of(HERD_DURABILITY_COMMIT);
    struct driver *driver = disk_driver(&disk, &options, "Jaquez", &link);
    wire_dialled(link, NULL);
    edge_resume(link, 0);
    struct wire *client = driver_accept(driver);
    wire_say(client, "IAMAT a +1+1 1700000000\n");
    driver->now.wall_ns += (TTL_S - 1) * HERD_NS_PER_S;
    driver_advance_ms(driver, 200); /* until MARK */
    wire_sayf(link, "ENDED %d\nACK %016" PRIx64 " 1\n", DRIVER_WALL_S,
              herd_node_epoch(driver->node));
    disk_done(&disk, 0);
    EDGE_EXPECT(client, "AT Hill +0.000000000 a +1+1 1700000000\n");
    CHECK_INT(("a stays"), herd_store_count(herd_node_store(driver->node)), 1);
    disk_free(&disk);
}

/* What an IAMAT waits for that is older than what is held: for that to be safe. */
static void who_repeats_what_was_refused_is_refused(void **state)
{
    struct herd herd;
    (void)state;
    herd_open(&herd);
    wire_say(herd.client, "IAMAT a +1+1 1700000000\n");
    herd.driver->now.wall_ns += (TTL_S - 1) * HERD_NS_PER_S;
    wire_say(herd.client, "IAMAT a +1+1 1600000000\n");
    wire_sayf(herd.link, "ENDED %d\nACK %016" PRIx64 " 1\n", DRIVER_WALL_S, herd.epoch);
    EDGE_EXPECT(herd.client, "? IAMAT a +1+1 1700000000\n? IAMAT a +1+1 1600000000\n");
    driver_free(herd.driver);
}

/* Many marks on their way: what the array of them has no room for is not forgotten. */
static void marks_without_room_keep_their_oldest(void **state)
{
    struct herd herd;
    (void)state;
    herd_open(&herd);
    for (int i = 0; i < 3 * LINK_CLEAN_MARKS_MAX; i++) {
        wire_sayf(herd.client, "IAMAT a +1+1 %d\n", DRIVER_WALL_S + i);
        herd.driver->now.wall_ns += HERD_NS_PER_S / 10;
    }
    CHECK_INT(("marks"), conn_link(herd.link->conn)->clean_mark_count, LINK_CLEAN_MARKS_MAX);
    wire_sayf(herd.link, "ACK %016" PRIx64 " %d\n", herd.epoch, LINK_CLEAN_MARKS_MAX - 1);
    wire_take(herd.client);
    wire_sayf(herd.link, "ENDED %d.500000000\nACK %016" PRIx64 " %d\n", DRIVER_WALL_S + 1,
              herd.epoch, 3 * LINK_CLEAN_MARKS_MAX);
    EDGE_EXPECT(herd.client, "%s", "");
    driver_free(herd.driver);
}

/* Jaquez says HELLO in the epoch 7. */
static struct wire *say_hello(struct driver *driver, unsigned sequence, const char *words)
{
    struct wire *inbound = driver_accept(driver);
    wire_sayf(inbound, "HELLO Jaquez 2 0000000000000007 %u%s", sequence, words);
    return inbound;
}

static void expect_resume(struct driver *driver, const char *words, const char *claim)
{
    EDGE_EXPECT(say_hello(driver, 6000, words), "RESUME 0000000000000007 %s\n", claim);
}

/* Jaquez tells two records: one is kept and marked as 12; the next one has ended, by this clock, and
 * is marked as 13. */
static void tell_two(struct driver *driver)
{
    wire_sayf(say_hello(driver, 13, LIFE_1),
              "FLOOD Jaquez a +1+1 5 %d.000000000 Jaquez +1.0\nMARK 0000000000000007 12\n"
              "FLOOD Jaquez b +1+1 5 %d.000000000 Jaquez +1.0\nMARK 0000000000000007 13\n",
              DRIVER_WALL_S, DRIVER_WALL_S - TTL_S - 1);
}

static struct driver *refuse_one(void)
{
    struct herd_node_options options = options_of(HERD_DURABILITY_HERD);
    struct driver *driver = driver_new_with(&options);
    driver_add_neighbour(driver, "Jaquez");
    tell_two(driver);
    return driver;
}

/* The life that was told of it knows that its ACK says nothing, the next one does not: a client may
 * ask it again for what nobody else holds. */
static void next_life_is_told_from_before_what_was_refused(void **state)
{
    (void)state;
    struct driver *driver = refuse_one();
    expect_resume(driver, LIFE_1, "13");
    expect_resume(driver, LIFE_2, "12" OF_1);
    expect_resume(driver, LIFE_2, "12" OF_1);
    struct wire *inbound = say_hello(driver, 6000, LIFE_2);
    wire_sayf(inbound, "FLOOD Jaquez b +1+1 5 %d.000000000 Jaquez +1.0\nMARK 0000000000000007 13\n",
              DRIVER_WALL_S - TTL_S - 1);
    expect_resume(driver, LIFE_2, "13");
    /* What the second life made of that 12 is not known here. */
    expect_resume(driver, " - ttl=60 life=00000000000000a3 from=9000\n", "0");
    driver_free(driver);
}

/* When it has ended there as well, nothing is sent twice any more. */
static void doubt_ends_with_the_record(void **state)
{
    (void)state;
    struct driver *driver = refuse_one();
    driver_advance_ms(driver, 2 * TTL_S * 1000 - 1);
    expect_resume(driver, LIFE_2, "12" OF_1);
    driver_free(driver);

    driver = refuse_one();
    driver_advance_ms(driver, 2 * TTL_S * 1000);
    expect_resume(driver, LIFE_2, "13" OF_1);
    driver_free(driver);
}

/* What the listener says once it is back from its disk: up to where it has all. */
static void check_doubt_on_disk(bool has_ended, const char *sequence)
{
    struct disk disk = {0};
    struct wire *link;
    struct herd_node_options options = options_of(HERD_DURABILITY_HERD);
    struct driver *driver = disk_driver(&disk, &options, "Jaquez", &link);
    tell_two(driver);
    if (has_ended) {
        driver_advance_ms(driver, 2 * TTL_S * 1000);
        say_hello(driver, 13, LIFE_1);
    }
    driver_advance_ms(driver, 1000);
    disk_crash(&disk);

    options.seed = 3;
    driver = disk_driver(&disk, &options, "Jaquez", &link);
    EDGE_EXPECT(say_hello(driver, 6000, LIFE_2),
                "RESUME 0000000000000007 %s" OF_1 " recovered life=%016" PRIx64 "\n", sequence,
                driver->node->life.id);
    disk_free(&disk);
}

/* And both may restart. */
static void doubt_is_on_the_listeners_disk(void **state)
{
    (void)state;
    check_doubt_on_disk(false, "12");
}

/* And that it has ended. */
static void doubt_that_has_ended_is_none_on_disk(void **state)
{
    (void)state;
    check_doubt_on_disk(true, "13");
}

/* All of it: Hill has told x to Jaquez, whose clock was ahead, crashes, and is read from disk. Its
 * client says x again, which Hill holds. The RESUME is what Jaquez says in the test before. */
static void restarted_dialler_does_not_claim_what_was_refused(void **state)
{
    (void)state;
    struct disk disk = {0};
    struct wire *link;
    struct herd_node_options options = options_of(HERD_DURABILITY_HERD);
    struct driver *driver = disk_driver(&disk, &options, "Jaquez", &link);
    wire_dialled(link, NULL);
    edge_resume(link, 0);
    wire_say(driver_accept(driver), "IAMAT before +1+1 1700000000\nIAMAT x +1+1 1700000000\n");
    driver_advance_ms(driver, 500);
    disk_crash(&disk);

    options.seed = 3;
    driver = disk_driver(&disk, &options, "Jaquez", &link);
    struct wire *client = driver_accept(driver);
    wire_dialled(link, NULL);
    wire_take(link);
    edge_resume(link, 1);
    wire_say(client, "IAMAT x +1+1 1700000000\n");
    struct herd_slice got = wire_take(link);
    CHECK_TRUE(("%.*s", (int)got.len, got.data), memmem(got.data, got.len, " x ", 3) != NULL);
    wire_sayf(link, "ENDED %d\nACK %016" PRIx64 " %" PRIu64 "\n", DRIVER_WALL_S,
              herd_node_epoch(driver->node), conn_link(link->conn)->marked);
    EDGE_EXPECT(client, "%s", "");

    /* What is claimed of an earlier life is believed the first time alone. */
    driver_advance_to_dial(driver, link);
    wire_dialled(link, NULL);
    wire_take(link);
    edge_resume(link, 2);
    got = wire_take(link);
    CHECK_TRUE(("%.*s", (int)got.len, got.data), memmem(got.data, got.len, " x ", 3) != NULL);
    disk_free(&disk);
}

/* Clocks differ by a little: what has ended there alone will have ended here soon. */
static void what_is_about_to_end_mends_nothing(void **state)
{
    struct herd herd;
    char keys[16];
    (void)state;
    herd_open(&herd);
    wire_say(herd.client, "IAMAT a +1+1 1700000000\n");
    snprintf(keys, sizeof(keys), "KEYS %04x\n",
             (unsigned)digest_leaf(digest_client_hash(herd_slice_of("a"))));
    wire_take(herd.link);
    herd.driver->now.wall_ns += (TTL_S - 5) * HERD_NS_PER_S;
    wire_say(herd.link, keys);
    EDGE_EXPECT(herd.link, "FLOOD Hill a +1+1 1700000000 %d.000000000 Hill +0.000000000\n",
                DRIVER_WALL_S);
    herd.driver->now.wall_ns += HERD_NS_PER_S;
    wire_say(herd.link, keys);
    EDGE_EXPECT(herd.link, "%s", "");
    driver_free(herd.driver);
}

/* Jaquez has let x go and taken an older one in its place, for that one's clock; here x has some
 * seconds left. What comes of it, and what is said before the ACK. */
static void let_go_there(int left_s, int received_s, const char *where, const char *said)
{
    struct herd_node_options options = options_of(HERD_DURABILITY_HERD);
    struct driver *driver = driver_new_with(&options);
    struct herd_record held;
    driver->keeps_upkeep = true;
    driver_add_neighbour(driver, "Jaquez");
    struct wire *inbound = edge_hello(driver, 7, 0);
    wire_sayf(inbound, "FLOOD Jaquez x +1+1 1700000010 %d.000000000 Jaquez -10.0\n", DRIVER_WALL_S);
    driver->now.wall_ns += (TTL_S - left_s) * HERD_NS_PER_S;
    wire_sayf(inbound, "MARK 0000000000000007 1\n");
    wire_take(inbound);
    wire_sayf(inbound, "FLOOD Jaquez x +2+2 1700000001 %d.000000000 Jaquez +9.0\n",
              DRIVER_WALL_S + received_s);
    wire_sayf(inbound, "MARK 0000000000000007 2\n");
    assert_true(herd_store_find(herd_node_store(driver->node), herd_slice_of("x"), &held));
    CHECK_SLICE(("%d s left, received after %d s", left_s, received_s), held.location,
                herd_slice_of(where));
    EDGE_EXPECT(inbound, "%sACK 0000000000000007 2\n", said);
    driver_free(driver);
}

static void clock_behind_claims_nothing_of_what_it_lacks(void **state)
{
    char ended[64];
    (void)state;
    snprintf(ended, sizeof(ended), "ENDED %d.000000000\n", DRIVER_WALL_S + TTL_S);
    let_go_there(3, TTL_S, "+2+2", "");     /* it is kept: x ends here soon, too */
    let_go_there(3, TTL_S - 1, "+1+1", ""); /* x had not ended there: it is newer */
    let_go_there(4, TTL_S, "+1+1", ended);  /* it is not held, and the other side is told */
    let_go_there(4, TTL_S - 1, "+1+1", "");
}

/* Though it waits for its turn to be removed, whatever the other one's time. */
static void what_has_ended_here_gives_way(void **state)
{
    (void)state;
    struct herd_node_options options = options_of(HERD_DURABILITY_NONE);
    struct driver *driver = driver_new_with(&options);
    struct herd_record held;
    driver_add_neighbour(driver, "Jaquez");
    struct wire *inbound = edge_hello(driver, 7, 0);
    wire_sayf(inbound, "FLOOD Jaquez x +1+1 1700000010 %d.000000000 Jaquez -10.0\n", DRIVER_WALL_S);
    driver->ticks = false;
    driver->now.wall_ns += (TTL_S + 1) * HERD_NS_PER_S;
    wire_sayf(inbound, "FLOOD Jaquez x +2+2 1700000001 %d.000000000 Jaquez +9.0\n",
              DRIVER_WALL_S + TTL_S - 2);
    assert_true(herd_store_find(herd_node_store(driver->node), herd_slice_of("x"), &held));
    CHECK_TEXT(("x"), held.location, "+2+2");
    driver_free(driver);
}

/* Of several: the dialler knows then that none after it was. */
static void the_latest_that_was_refused_is_told(void **state)
{
    (void)state;
    struct herd_node_options options = options_of(HERD_DURABILITY_HERD);
    struct driver *driver = driver_new_with(&options);
    driver->keeps_upkeep = true;
    driver_add_neighbour(driver, "Jaquez");
    struct wire *inbound = edge_hello(driver, 7, 0);
    wire_take(inbound);
    for (int s = 1; s < 10; s += 4)
        wire_sayf(inbound, "FLOOD Jaquez x%d +1+1 5 %d.000000000 Jaquez +1.0\n", s,
                  DRIVER_WALL_S - TTL_S - (s + 4) % 9);
    wire_say(inbound, "MARK 0000000000000007 3\n");
    EDGE_EXPECT(inbound, "ENDED %d.000000000\nACK 0000000000000007 3\n", DRIVER_WALL_S - TTL_S);
    driver_free(driver);
}

/* A quarter of it, where that is less than three seconds. */
static void what_ends_early_has_little_of_a_short_life_left(void **state)
{
    enum { SHORT_TTL_S = 4 };
    (void)state;
    for (int is_early = 0; is_early < 2; is_early++) {
        struct herd_node_options options = options_of(HERD_DURABILITY_HERD);
        struct herd herd;
        options.record_ttl_ns = SHORT_TTL_S * HERD_NS_PER_S;
        herd_open_with(&herd, &options);
        wire_say(herd.client, "IAMAT a +1+1 1700000000\n");
        herd.driver->now.wall_ns += (SHORT_TTL_S - 1) * HERD_NS_PER_S - is_early;
        wire_sayf(herd.link, "ENDED %d\nACK %016" PRIx64 " 1\n", DRIVER_WALL_S, herd.epoch);
        CHECK_INT(("too early: %d", is_early), conn_link(herd.link->conn)->refused, is_early);
        driver_free(herd.driver);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_refused_may_have_been_replaced),
        cmocka_unit_test(what_was_refused_is_sent_again),
        cmocka_unit_test(catch_up_is_not_broken_off),
        cmocka_unit_test(clocks_that_differ_are_told_whatever_the_durability),
        cmocka_unit_test(marks_without_an_ack_put_nothing_off),
        cmocka_unit_test(what_another_one_holds_is_not_sent_again),
        cmocka_unit_test(what_has_ended_there_and_here_is_refused),
        cmocka_unit_test(what_ends_there_a_little_early_ends_here),
        cmocka_unit_test(what_ends_there_too_early_is_refused),
        cmocka_unit_test(ended_says_nothing_of_the_disk),
        cmocka_unit_test(who_repeats_what_was_refused_is_refused),
        cmocka_unit_test(marks_without_room_keep_their_oldest),
        cmocka_unit_test(next_life_is_told_from_before_what_was_refused),
        cmocka_unit_test(doubt_ends_with_the_record),
        cmocka_unit_test(doubt_is_on_the_listeners_disk),
        cmocka_unit_test(doubt_that_has_ended_is_none_on_disk),
        cmocka_unit_test(restarted_dialler_does_not_claim_what_was_refused),
        cmocka_unit_test(what_is_about_to_end_mends_nothing),
        cmocka_unit_test(clock_behind_claims_nothing_of_what_it_lacks),
        cmocka_unit_test(what_has_ended_here_gives_way),
        cmocka_unit_test(the_latest_that_was_refused_is_told),
        cmocka_unit_test(what_ends_early_has_little_of_a_short_life_left),
    };
    return cmocka_run_group_tests_name("ended", tests, NULL, NULL);
}
