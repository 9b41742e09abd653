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
#define OF_1       " of=00000000000000a1"
#define FLOOD_LATE "Hill late +1+1 5 6.000000000 Jaquez +1.000000000\n"

/* Jaquez says HELLO in the epoch 7, with what else it has to say. */
static struct wire *say_hello(struct driver *driver, unsigned sequence, const char *words)
{
    struct wire *inbound = driver_accept(driver);
    wire_sayf(inbound, "HELLO Jaquez 2 0000000000000007 %u%s", sequence, words);
    return inbound;
}

/* The listener: what can count at most, and in which life it was marked. */
static void mark_is_told_with_its_life(void **state)
{
    static const struct {
        unsigned marked;
        const char *before, *after, *resume;
    } rows[] = {
        {20, LIFE_1, LIFE_2, "10" OF_1}, /* the same disk twice: 11 to 20 are other records now */
        {20, LIFE_1, LIFE_1, "20"},
        {10, LIFE_1, LIFE_2, "10" OF_1},
        {11, LIFE_1, LIFE_2, "10" OF_1},
        {20, LIFE_1, " - life=00000000000000a3 from=21\n", "20" OF_1}, /* after a stop */
        {20, LIFE_1, " - life=00000000000000a3 from=16\n", "10" OF_1}, /* another life's copy */
        {20, LIFE_1, " - life=00000000000000a3 from=6\n", "5" OF_1},   /* an older copy */
        {20, LIFE_1, " - life=00000000000000a3 from=1\n", "0"},
        {20, " -\n", LIFE_1, "10 of=0000000000000000"}, /* marked before a life was told */
        {9, " -\n", LIFE_1, "9 of=0000000000000000"},
        {20, LIFE_1, " -\n", "20"}, /* one that does not tell */
        {20, LIFE_1, " - life=00000000000000a3\n", "20"},
        {20, LIFE_1, " - life=xyz from=3\n", "20"},
        {20, LIFE_1, " - life=00000000000000a3 from=0\n", "20"},
        {20, LIFE_1, " - life=00000000000000a3 from=99999999999999999999\n", "20"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct wire *link = edge_new(0);
        struct wire *inbound = say_hello(link->driver, 20, rows[i].before);
        wire_sayf(inbound, "MARK 0000000000000007 %u\n", rows[i].marked);
        inbound = say_hello(link->driver, 30, rows[i].after);
        char expected[64];
        snprintf(expected, sizeof(expected), "RESUME 0000000000000007 %s\n", rows[i].resume);
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
    EDGE_EXPECT(inbound, "RESUME 0000000000000007 10" OF_1 " recovered life=%016" PRIx64 "\n",
                driver->node->life.id);
    /* A third life may not tell its own. */
    driver_advance_ms(driver, 300);
    CHECK_INT(("what both can have"), disk.ledger.marks[0].mark.sequence, 10);
    CHECK_INT(("the life"), disk.ledger.marks[0].mark.life, 0xa1);
    wire_say(inbound, "MARK 0000000000000007 10\n");
    driver_advance_ms(driver, 300);
    CHECK_INT(("the life of the next mark"), disk.ledger.marks[0].mark.life, 0xa2);
    disk_free(&disk);
}

static void mark_stays_of_its_life_until_the_next(void **state)
{
    (void)state;
    struct wire *link = edge_new(0);
    struct wire *inbound = say_hello(link->driver, 20, LIFE_1);
    wire_say(inbound, "MARK 0000000000000007 10\n");
    for (int times = 0; times < 2; times++) { /* a connection may end before its first MARK */
        inbound = say_hello(link->driver, 30, LIFE_2);
        EDGE_EXPECT(inbound, "RESUME 0000000000000007 10" OF_1 "\n");
    }
    wire_say(inbound, "MARK 0000000000000007 15\n");
    inbound = say_hello(link->driver, 30, LIFE_2);
    EDGE_EXPECT(inbound, "RESUME 0000000000000007 15\n");
    driver_free(link->driver);
}

/* A server that was read from disk, in the epoch 7 and the life 0xb4 from 41 on, holds the records
 * 10, 20 and 30. */
static struct driver *open_with_lives(struct wire **out_link)
{
    static const struct herd_life former[] = {{0, 0}, {0xb2, 11}, {0xb3, 21}};
    struct herd_node_options options = driver_options("Hill");
    struct driver *driver = driver_new_with(&options);
    struct herd_node *node = driver->node;
    *out_link = driver_add_neighbour(driver, "Jaquez");
    herd_node_restore_epoch(node, 7);
    for (size_t i = 0; i < COUNT_OF(former); i++)
        herd_node_restore_life(node, &former[i]);
    for (unsigned sequence = 10; sequence <= 30; sequence += 10) {
        char text[64];
        snprintf(text, sizeof(text), "c%u +1+1 5 6.0 Hill +1.0", sequence);
        CHECK_INT(("%u", sequence),
                  herd_node_restore_record(node, driver->now, sequence, herd_slice_of(text)), 0);
    }
    herd_node_restore_end(node, 40);
    node->life.id = 0xb4;
    driver_run(driver);
    return driver;
}

/* The dialler: in a life that the present one came to be from, up to where the next one began. */
static void mark_counts_as_far_as_its_life_is_ours(void **state)
{
#define C(n) "FLOOD Hill c" #n " +1+1 5 6.0 Hill +1.0\n"
    static const struct {
        const char *resume, *sent;
    } rows[] = {
        {"40", ""},
        {"40 of=00000000000000b4", ""},
        {"30", ""},
        {"30 of=00000000000000b3", ""},
        {"29 of=00000000000000b3", C(30)},
        {"40 of=00000000000000b3", ""},
        {"30 of=00000000000000b2", C(30)}, /* its disk was put back from a copy, from 21 on */
        {"20 of=00000000000000b2", C(30)},
        {"19 of=00000000000000b2", C(20) C(30)},
        {"30 of=0000000000000000", C(20) C(30)},
        {"9 of=0000000000000000", C(10) C(20) C(30)},
        {"30 of=00000000000000c3", C(10) C(20) C(30)}, /* beside ours, from who knows where on */
        {"10 of=00000000000000c3", C(10) C(20) C(30)},
        {"30 of=xyz", ""}, /* nothing that is understood */
        {"30 of=", ""},
        {"30 of=00000000000000b2 recovered life=00000000000000a1", C(30)},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct wire *link;
        struct driver *driver = open_with_lives(&link);
        edge_greet(link);
        wire_sayf(link, "RESUME 0000000000000007 %s\n", rows[i].resume);
        CHECK_TEXT(("%zu", i), wire_take(link), rows[i].sent);
        driver_free(driver);
    }
#undef C
}

/* Hill is killed, and comes back from its disk, or from a copy that takes its place. */
static struct driver *come_back_from(struct disk *disk, const struct ledger *copy,
                                     struct wire **link)
{
    unsigned writes = disk->ledger.writes;
    disk_crash(disk);
    if (copy != NULL)
        ledger_copy(&disk->ledger, copy);
    disk->ledger.writes = writes + 1; /* another seed */
    struct driver *driver = open_disk(disk, link);
    edge_greet(*link);
    return driver;
}

static void tell(struct driver *driver, const char *client)
{
    struct wire *phone = driver_accept(driver);
    wire_sayf(phone, "IAMAT %s +1+1 100\n", client);
    driver_advance_ms(driver, 300);
    wire_end(phone);
}

/* What is sent for a RESUME at the end of what the node had in a life of this epoch. */
static void expect_all(struct driver *driver, struct wire *link, const struct herd_life *life,
                       uint64_t sequence, const char *const clients[2])
{
    wire_sayf(link, "RESUME %016" PRIx64 " %" PRIu64 " of=%016" PRIx64 "\n",
              herd_node_epoch(driver->node), sequence, life->id);
    struct herd_slice got = wire_take(link);
    for (int i = 0; i < 2; i++) {
        char line[32];
        int len = snprintf(line, sizeof(line), "FLOOD Hill %s ", clients[i]);
        CHECK_TRUE(("%s in %.*s", clients[i], (int)got.len, got.data),
                   memmem(got.data, got.len, line, (size_t)len) != NULL);
    }
}

/* Jaquez was away during the second life with the copy, and comes back in the one after that, which
 * begins above its mark. */
static void disk_put_back_twice_and_a_restart(void **state)
{
    (void)state;
    struct disk disk = {0};
    struct ledger copy = {0};
    struct wire *link;
    struct driver *driver = open_disk(&disk, &link);
    tell(driver, "a");
    ledger_copy(&copy, &disk.ledger);
    driver = come_back_from(&disk, &copy, &link);
    tell(driver, "b");
    struct herd_life life = driver->node->life;
    uint64_t marked = herd_store_sequence(herd_node_store(driver->node));
    driver = come_back_from(&disk, &copy, &link);
    tell(driver, "c");
    CHECK_INT(("the same sequence"), herd_store_sequence(herd_node_store(driver->node)), marked);
    driver = come_back_from(&disk, NULL, &link);
    CHECK_TRUE(("above the mark"), driver->node->life.from > marked);
    expect_all(driver, link, &life, marked, (const char *const[]){"a", "c"});
    ledger_clear(&copy);
    disk_free(&disk);
}

/* Jaquez was away when Hill learnt b, and there when it had a copy of before. */
static void disk_that_was_there_before_comes_back(void **state)
{
    (void)state;
    struct disk disk = {0};
    struct ledger copy = {0}, newest = {0};
    struct wire *link;
    struct driver *driver = open_disk(&disk, &link);
    tell(driver, "a");
    ledger_copy(&copy, &disk.ledger);
    tell(driver, "b");
    ledger_copy(&newest, &disk.ledger);
    driver = come_back_from(&disk, &copy, &link);
    tell(driver, "c");
    struct herd_life life = driver->node->life;
    uint64_t marked = herd_store_sequence(herd_node_store(driver->node));
    driver = come_back_from(&disk, &newest, &link);
    expect_all(driver, link, &life, marked, (const char *const[]){"a", "b"});
    ledger_clear(&copy);
    ledger_clear(&newest);
    disk_free(&disk);
}

static void lives_that_are_too_many_are_forgotten(void **state)
{
    (void)state;
    struct herd_node_options options = driver_options("Hill");
    struct driver *driver = driver_new_with(&options);
    struct herd_node *node = driver->node;
    herd_node_restore_epoch(node, 7);
    for (uint64_t i = 0; i <= HERD_LIVES_MAX; i++)
        herd_node_restore_life(node, &(struct herd_life){i + 1, 10 * i});
    herd_node_restore_end(node, 10 * (HERD_LIVES_MAX + 1));
    CHECK_INT(("the first is forgotten"), lives_held(node, 1, 5), 0);
    CHECK_INT(("the second"), lives_held(node, 2, 15), 15);
    CHECK_INT(("and where it ended"), lives_held(node, 2, 25), 19);
    CHECK_INT(("the last"), lives_held(node, HERD_LIVES_MAX + 1, 10 * HERD_LIVES_MAX + 5),
              10 * HERD_LIVES_MAX + 5);
    driver_free(driver);
}

static void new_epoch_has_no_former_lives(void **state)
{
    (void)state;
    struct wire *link;
    struct driver *driver = open_with_lives(&link);
    CHECK_INT(("as it was"), lives_held(driver->node, 0xb3, 25), 25);
    herd_node_restore_anew(driver->node);
    CHECK_INT(("in another epoch"), lives_held(driver->node, 0xb3, 25), 0);
    driver_free(driver);
}

static void life_is_told_once_there_is_more_than_one(void **state)
{
    (void)state;
    struct disk disk = {0}, copy = {0};
    struct wire *link;
    struct driver *driver = open_disk(&disk, &link);
    CHECK_INT(("of an empty store the epoch says it"), driver->node->life.id, 0);
    edge_greet(link);
    wire_say(driver_accept(driver), "IAMAT a +1+1 100\n");
    driver_advance_ms(driver, 300);
    disk_crash(&disk);
    ledger_copy(&copy.ledger, &disk.ledger);

    driver = open_disk(&disk, &link);
    struct herd_life life = driver->node->life;
    CHECK_TRUE(("a life"), life.id != 0);
    CHECK_INT(("its beginning"), life.from, herd_store_sequence(herd_node_store(driver->node)) + 1);
    edge_greet(link); /* HELLO has both */
    disk_free(&disk);

    copy.ledger.writes++; /* another seed */
    driver = open_disk(&copy, &link);
    CHECK_TRUE(("another life of the same disk"), driver->node->life.id != life.id);
    CHECK_INT(("the same beginning"), driver->node->life.from, life.from);
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
        cmocka_unit_test(mark_is_told_with_its_life),
        cmocka_unit_test(mark_stays_of_its_life_until_the_next),
        cmocka_unit_test(mark_counts_as_far_as_its_life_is_ours),
        cmocka_unit_test(disk_put_back_twice_and_a_restart),
        cmocka_unit_test(disk_that_was_there_before_comes_back),
        cmocka_unit_test(lives_that_are_too_many_are_forgotten),
        cmocka_unit_test(new_epoch_has_no_former_lives),
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
