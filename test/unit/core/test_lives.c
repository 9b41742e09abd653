/* Servers that were read from disk: a mark of another life, also from a copy of the disk; words of a
 * former life that come late; and what is the same in the whole herd. */
#include <inttypes.h>

#include <herd/store.h>

#include "check.h"
#include "core/node.h"
#include "disk.h"
#include "edge.h"

#define LIFE_1     " - ttl=0 life=00000000000000a1 from=11\n"
#define LIFE_2     " - life=00000000000000a2 from=11\n"
#define FLOOD_LATE "Hill late +1+1 5 6.000000000 Jaquez +1.000000000\n"

/* Jaquez says HELLO in the epoch 7, with what else it has to say. */
static struct wire *say_hello(struct driver *driver, unsigned sequence, const char *words)
{
    struct wire *inbound = driver_accept(driver);
    wire_sayf(inbound, "HELLO Jaquez 2 0000000000000007 %u%s", sequence, words);
    return inbound;
}

static void mark_counts_as_far_as_both_lives_go(void **state)
{
    static const struct {
        unsigned marked;
        const char *before, *after;
        unsigned resume;
    } rows[] = {
        {20, LIFE_1, LIFE_2, 10}, /* the same disk twice: 11 to 20 are other records now */
        {20, LIFE_1, LIFE_1, 20},
        {10, LIFE_1, LIFE_2, 10},
        {11, LIFE_1, LIFE_2, 10},
        {20, LIFE_1, " - life=00000000000000a3 from=21\n", 20}, /* after a stop */
        {20, LIFE_1, " - life=00000000000000a3 from=16\n", 10}, /* a copy of another life's disk */
        {20, LIFE_1, " - life=00000000000000a3 from=6\n", 5},   /* an older copy */
        {20, " -\n", LIFE_1, 10},                               /* marked before a life was told */
        {9, " -\n", LIFE_1, 9},
        {20, LIFE_1, " -\n", 20}, /* one that does not tell */
        {20, LIFE_1, " - life=00000000000000a3\n", 20},
        {20, LIFE_1, " - life=xyz from=3\n", 20},
        {20, LIFE_1, " - life=00000000000000a3 from=0\n", 20},
        {20, LIFE_1, " - life=00000000000000a3 from=99999999999999999999\n", 20},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct wire *link = edge_new(0);
        struct wire *inbound = say_hello(link->driver, 20, rows[i].before);
        wire_sayf(inbound, "MARK 0000000000000007 %u\n", rows[i].marked);
        inbound = say_hello(link->driver, 30, rows[i].after);
        char expected[64];
        snprintf(expected, sizeof(expected), "RESUME 0000000000000007 %u\n", rows[i].resume);
        CHECK_TEXT(("%zu", i), wire_take(inbound), expected);
        driver_free(link->driver);
    }
}

static struct driver *open_disk(struct disk *disk, struct wire **link)
{
    struct herd_node_options options = driver_options("Hill");
    options.durability = HERD_DURABILITY_INTERVAL;
    options.seed = disk->ledger.writes + 1;
    return disk_driver(disk, &options, "Jaquez", link);
}

/* The listener's mark is on its own disk, with the life that it is of. */
static void mark_outlasts_the_listener_with_its_life(void **state)
{
    (void)state;
    struct disk disk = {0};
    struct wire *link;
    struct driver *driver = open_disk(&disk, &link);
    wire_say(say_hello(driver, 20, LIFE_1), "FLOOD Jaquez a +1+1 1 2.0 Jaquez +1.0\n"
                                            "MARK 0000000000000007 20\n");
    driver_advance_ms(driver, 300);
    CHECK_INT(("the life"), disk.ledger.marks[0].mark.life, 0xa1);
    CHECK_INT(("its beginning"), disk.ledger.marks[0].mark.life_from, 11);
    disk_crash(&disk);

    driver = open_disk(&disk, &link);
    struct wire *inbound = say_hello(driver, 30, LIFE_2);
    EDGE_EXPECT(inbound, "RESUME 0000000000000007 10 recovered life=%016" PRIx64 "\n",
                driver->node->life);
    /* It may not be that the disk still has the mark of the other life when a third one comes. */
    driver_advance_ms(driver, 300);
    CHECK_INT(("what both have"), disk.ledger.marks[0].mark.sequence, 10);
    CHECK_INT(("the life"), disk.ledger.marks[0].mark.life, 0xa2);
    disk_free(&disk);
}

static void life_is_told_once_there_is_more_than_one(void **state)
{
    (void)state;
    struct disk disk = {0}, copy = {0};
    struct wire *link;
    struct driver *driver = open_disk(&disk, &link);
    CHECK_INT(("of an empty store the epoch says it"), driver->node->life, 0);
    edge_greet(link);
    wire_say(driver_accept(driver), "IAMAT a +1+1 100\n");
    driver_advance_ms(driver, 300);
    disk_crash(&disk);
    ledger_copy(&copy.ledger, &disk.ledger);

    driver = open_disk(&disk, &link);
    uint64_t life = driver->node->life, from = driver->node->life_from;
    CHECK_TRUE(("a life"), life != 0);
    CHECK_INT(("its beginning"), from, herd_store_sequence(herd_node_store(driver->node)) + 1);
    edge_greet(link); /* HELLO has both */
    disk_free(&disk);

    copy.ledger.writes++; /* another seed */
    driver = open_disk(&copy, &link);
    CHECK_TRUE(("another life of the same disk"), driver->node->life != life);
    CHECK_INT(("the same beginning"), driver->node->life_from, from);
    edge_greet(link);
    disk_free(&copy);
}

/* Jaquez has crashed and come back from disk, with the same epoch; its link from here stands. */
static struct wire *come_back(struct driver *driver, struct wire *link)
{
    wire_close(link, "reset");
    driver_advance_to_dial(driver, link);
    edge_greet(link);
    wire_sayf(link, "RESUME %016" PRIx64 " 1 recovered life=00000000000000a2\n",
              herd_node_epoch(driver->node));
    return link;
}

/*
 * Words of the life before arrive when the link is up with the next one already: they are passed
 * over, and marked as held. Once that has said HELLO they go back to it, also when it claims them.
 */
static void late_words_of_the_same_epoch_go_back(void **state)
{
    struct wire *link = edge_new(1);
    struct driver *driver = link->driver;
    uint64_t epoch = herd_node_epoch(driver->node);
    (void)state;
    edge_greet(link);
    edge_resume(link, 0);
    struct wire *former = say_hello(driver, 20, LIFE_1);
    wire_say(former, "FLOOD Jaquez early +1+1 5 6.000000000 Jaquez +1.000000000\n");
    driver_advance_ms(driver, 100);
    come_back(driver, link);
    EDGE_EXPECT(link, "FLOOD Hill early +1+1 5 6.000000000 Jaquez +1.000000000\n");
    wire_sayf(former, "FLOOD Jaquez late +1+1 5 6.000000000 Jaquez +1.000000000\n");
    driver_advance_ms(driver, 100);
    EDGE_EXPECT(link, "MARK %016" PRIx64 " 3\n", epoch);
    say_hello(driver, 20, LIFE_2);
    assert_false(link->open);
    for (int times = 0; times < 2; times++) { /* RESUME may claim it more than once */
        driver_advance_to_dial(driver, link);
        edge_greet(link);
        edge_resume(link, 3);
        EDGE_EXPECT(link, "FLOOD " FLOOD_LATE);
        wire_close(link, "reset");
    }
    driver_free(driver);
}

/* It crashes once more before it has said HELLO, and its disk has the mark. */
static void late_words_go_back_to_the_life_after_next(void **state)
{
    struct wire *link = edge_new(1);
    struct driver *driver = link->driver;
    (void)state;
    edge_greet(link);
    edge_resume(link, 0);
    struct wire *former = say_hello(driver, 20, LIFE_1);
    driver_advance_ms(driver, 100);
    come_back(driver, link);
    wire_sayf(former, "FLOOD Jaquez late +1+1 5 6.000000000 Jaquez +1.000000000\n");
    driver_advance_ms(driver, 100);
    wire_close(link, "reset");
    driver_advance_to_dial(driver, link);
    edge_greet(link);
    wire_sayf(link, "RESUME %016" PRIx64 " 2 recovered life=00000000000000a3\n",
              herd_node_epoch(driver->node));
    EDGE_EXPECT(link, "FLOOD " FLOOD_LATE);
    driver_free(driver);
}

/* What the new life says after its HELLO is its own: a restart is no reason to send it back. */
static void words_of_the_present_life_stay(void **state)
{
    struct wire *link = edge_new(1);
    struct driver *driver = link->driver;
    (void)state;
    edge_greet(link);
    edge_resume(link, 0);
    say_hello(driver, 20, LIFE_1);
    for (int order = 0; order < 2; order++) {
        if (order == 0)
            come_back(driver, link);
        struct wire *inbound = say_hello(driver, 20, LIFE_2);
        if (order == 1)
            come_back(driver, link);
        wire_take(link);
        wire_say(inbound, "FLOOD Jaquez own +1+1 5 6.0 Jaquez +1.0\n");
        driver_advance_ms(driver, 100);
        say_hello(driver, 20, " - life=00000000000000a3 from=30\n");
        assert_true(link->open);
        struct herd_slice got = wire_take(link);
        CHECK_TRUE(("%.*s", (int)got.len, got.data), memmem(got.data, got.len, "FLOOD", 5) == NULL);
        say_hello(driver, 20, LIFE_1);
    }
    driver_free(driver);
}

static void ttl_is_the_same_in_the_whole_herd(void **state)
{
    static const struct {
        int64_t ttl_s;
        const char *words, *answer;
    } rows[] = {
        {0, " -\n", "RESUME "},         {0, " - ttl=0\n", "RESUME "},
        {0, " - ttl=60\n", "REFUSE "},  {60, " -\n", "RESUME "}, /* an older one does not tell */
        {60, " - ttl=0\n", "REFUSE "},  {60, " - prune ttl=60\n", "RESUME "},
        {60, " - ttl=61\n", "REFUSE "}, {60, " - ttl=\n", "RESUME "},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct herd_node_options options = driver_options("Hill");
        options.record_ttl_ns = rows[i].ttl_s * HERD_NS_PER_S;
        struct driver *driver = driver_new_with(&options);
        struct wire *link = driver_add_neighbour(driver, "Jaquez");
        wire_dialled(link, NULL);
        EDGE_EXPECT(link, "HELLO Hill 2 %016" PRIx64 " 0 - ttl=%" PRId64 "\n",
                    herd_node_epoch(driver->node), rows[i].ttl_s);
        struct wire *inbound = say_hello(driver, 20, rows[i].words);
        CHECK_TEXT(("%zu", i), herd_slice(wire_take(inbound).data, 7), rows[i].answer);
        CHECK_INT(("%zu", i), inbound->open, rows[i].answer[2] == 'S');
        driver_free(driver);
    }
}

/* The listener: before the ACK, what it has refused. */
static void what_has_ended_is_told(void **state)
{
    struct herd_node_options options = driver_options("Hill");
    options.record_ttl_ns = 60 * HERD_NS_PER_S;
    struct driver *driver = driver_new_with(&options);
    driver_add_neighbour(driver, "Jaquez");
    driver->keeps_upkeep = true;
    struct wire *inbound = say_hello(driver, 20, " - ttl=60\n");
    (void)state;
    wire_take(inbound);
    wire_sayf(inbound,
              "FLOOD Jaquez a +1+1 5 %d.500000000 Jaquez +1.0\n"
              "FLOOD Jaquez b +1+1 5 %d.000000000 Jaquez +1.0\n"
              "FLOOD Jaquez c +1+1 5 %d.000000000 Jaquez +1.0\nMARK 0000000000000007 20\n",
              DRIVER_WALL_S - 61, DRIVER_WALL_S - 62, DRIVER_WALL_S);
    EDGE_EXPECT(inbound, "ENDED %d.500000000\nACK 0000000000000007 20\n", DRIVER_WALL_S - 61);
    wire_say(inbound, "MARK 0000000000000007 21\n");
    EDGE_EXPECT(inbound, "ACK 0000000000000007 21\n");
    driver_free(driver);
}

struct herd {
    struct driver *driver;
    struct wire *link, *client;
};

static void herd_open(struct herd *herd)
{
    struct herd_node_options options = driver_options("Hill");
    options.record_ttl_ns = 60 * HERD_NS_PER_S;
    options.durability = HERD_DURABILITY_HERD;
    herd->driver = driver_new_with(&options);
    herd->link = driver_add_neighbour(herd->driver, "Jaquez");
    herd->client = driver_accept(herd->driver);
    wire_dialled(herd->link, NULL);
    edge_resume(herd->link, 0);
    wire_take(herd->link);
}

/* The same; Jaquez holds the first record, which is sequence 1. */
static uint64_t herd_open_with_a(struct herd *herd)
{
    herd_open(herd);
    uint64_t epoch = herd_node_epoch(herd->driver->node);
    wire_say(herd->client, "IAMAT a +1+1 1700000000\n");
    wire_sayf(herd->link, "ACK %016" PRIx64 " 1\n", epoch);
    EDGE_EXPECT(herd->client, "AT Hill +0.000000000 a +1+1 1700000000\n");
    return epoch;
}

/* The dialler: an ACK of one whose clock is ahead answers nobody, and it is not asked for over and
 * over. */
static void ack_of_what_was_refused_answers_nobody(void **state)
{
    struct herd herd;
    uint64_t epoch;
    (void)state;
    herd_open(&herd);
    epoch = herd_node_epoch(herd.driver->node);
    wire_say(herd.client, "IAMAT a +1+1 1700000000\n");
    wire_take(herd.link);
    wire_sayf(herd.link, "ENDED %d\nACK %016" PRIx64 " 1\n", DRIVER_WALL_S, epoch);
    EDGE_EXPECT(herd.client, "%s", "");
    EDGE_EXPECT(herd.link, "%s", "");
    CHECK_INT(("told"), driver_count_notices(herd.driver, HERD_NOTICE_CLOCKS_DIFFER), 1);
    wire_sayf(herd.link, "ENDED %d\n", DRIVER_WALL_S);
    CHECK_INT(("once"), driver_count_notices(herd.driver, HERD_NOTICE_CLOCKS_DIFFER), 1);
    driver_free(herd.driver);
}

/* What was sent again because the stores differ has been ACKed long ago, when it was held. */
static void what_has_ended_there_since_its_ack_is_no_sign(void **state)
{
    struct herd herd;
    (void)state;
    uint64_t epoch = herd_open_with_a(&herd);
    herd.driver->now.wall_ns += HERD_NS_PER_S;
    wire_say(herd.client, "IAMAT b +1+1 1700000000\n");
    wire_sayf(herd.link, "ENDED %d\nACK %016" PRIx64 " 2\n", DRIVER_WALL_S, epoch);
    EDGE_EXPECT(herd.client, "AT Hill +1.000000000 b +1+1 1700000000\n");
    CHECK_INT(("told"), driver_count_notices(herd.driver, HERD_NOTICE_CLOCKS_DIFFER), 0);
    driver_free(herd.driver);
}

/* On its way over, a record may end. */
static void what_has_ended_here_as_well_is_no_sign(void **state)
{
    struct herd herd;
    (void)state;
    herd_open(&herd);
    wire_say(herd.client, "IAMAT a +1+1 1700000000\n");
    wire_sayf(herd.link, "ENDED %d\nENDED 99999999999999999999\nENDED\nACK %016" PRIx64 " 1\n",
              DRIVER_WALL_S - 58, herd_node_epoch(herd.driver->node));
    EDGE_EXPECT(herd.client, "AT Hill +0.000000000 a +1+1 1700000000\n");
    CHECK_INT(("told"), driver_count_notices(herd.driver, HERD_NOTICE_CLOCKS_DIFFER), 0);
    driver_free(herd.driver);
}

/* The ACK, and with it what was refused, may be lost with its connection; RESUME claims that too. */
static void what_was_not_acknowledged_is_sent_again(void **state)
{
    struct herd herd;
    (void)state;
    uint64_t epoch = herd_open_with_a(&herd);
    wire_say(herd.client, "IAMAT b +1+1 1700000000\n");
    wire_close(herd.link, "reset");
    driver_advance_to_dial(herd.driver, herd.link);
    wire_dialled(herd.link, NULL);
    wire_take(herd.link);
    edge_resume(herd.link, 2);
    EDGE_EXPECT(herd.link,
                "FLOOD Hill b +1+1 1700000000 %d.000000000 Hill +0.000000000\n"
                "MARK %016" PRIx64 " 2\n",
                DRIVER_WALL_S, epoch);
    wire_sayf(herd.link, "ENDED %d\nACK %016" PRIx64 " 2\n", DRIVER_WALL_S, epoch);
    EDGE_EXPECT(herd.client, "%s", "");
    driver_free(herd.driver);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mark_counts_as_far_as_both_lives_go),
        cmocka_unit_test(mark_outlasts_the_listener_with_its_life),
        cmocka_unit_test(life_is_told_once_there_is_more_than_one),
        cmocka_unit_test(late_words_of_the_same_epoch_go_back),
        cmocka_unit_test(late_words_go_back_to_the_life_after_next),
        cmocka_unit_test(words_of_the_present_life_stay),
        cmocka_unit_test(ttl_is_the_same_in_the_whole_herd),
        cmocka_unit_test(what_has_ended_is_told),
        cmocka_unit_test(ack_of_what_was_refused_answers_nobody),
        cmocka_unit_test(what_has_ended_there_since_its_ack_is_no_sign),
        cmocka_unit_test(what_has_ended_here_as_well_is_no_sign),
        cmocka_unit_test(what_was_not_acknowledged_is_sent_again),
    };
    return cmocka_run_group_tests_name("lives", tests, NULL, NULL);
}
