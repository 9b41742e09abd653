/* A life continued from disk: what was acknowledged is there, and what only neighbours have comes
 * back. */
#include <inttypes.h>

#include <herd/store.h>

#include "check.h"
#include "core/node.h"
#include "disk.h"
#include "edge.h"

enum { CLIENTS = 6, LIVES = 8, STEPS = 120, SEEDS = 200 };

struct life {
    struct disk disk;
    struct driver *driver;
    struct wire *wires[CLIENTS], *flood;
    struct rng rng;
    unsigned clock_s;
    unsigned acknowledged_s[CLIENTS]; /* the latest time_sent that was answered */
};

static void begin(struct life *life, enum herd_durability durability)
{
    struct herd_node_options options = driver_options("Hill");
    options.durability = durability;
    options.seed = rng_next(&life->rng);
    life->disk.is_slow = true;
    life->driver = disk_driver(&life->disk, &options, NULL, NULL);
    life->flood = driver_accept(life->driver);
    for (size_t i = 0; i < CLIENTS; i++)
        life->wires[i] = driver_accept(life->driver);
}

/* Every acknowledged update, or a newer one of its client, is there. */
static void check_life(const struct life *life, uint64_t seed, const char *when)
{
    const struct herd_store *store = herd_node_store(life->driver->node);
    for (unsigned i = 0; i < CLIENTS; i++) {
        char name[8];
        struct herd_record record = {0};
        if (life->acknowledged_s[i] == 0)
            continue;
        snprintf(name, sizeof(name), "c%u", i);
        CHECK_TRUE(("seed %" PRIu64 ", %s, %s", seed, when, name),
                   herd_store_find(store, herd_slice_of(name), &record));
        CHECK_TRUE(("seed %" PRIu64 ", %s, %s: %lld, acknowledged %u", seed, when, name,
                    (long long)(record.sent_ns / HERD_NS_PER_S), life->acknowledged_s[i]),
                   record.sent_ns >= life->acknowledged_s[i] * HERD_NS_PER_S);
    }
}

static void take_answers(struct life *life)
{
    for (size_t i = 0; i < CLIENTS; i++) {
        struct herd_slice got = wire_take(life->wires[i]);
        while (got.len > 0) {
            const char *lf = memchr(got.data, '\n', got.len);
            const char *space = memrchr(got.data, ' ', (size_t)(lf - got.data));
            unsigned second = (unsigned)strtoul(space + 1, NULL, 10);
            if (second > life->acknowledged_s[i])
                life->acknowledged_s[i] = second;
            got = herd_slice(lf + 1, got.len - (size_t)(lf + 1 - got.data));
        }
    }
}

static void step(struct life *life)
{
    size_t i = rng_below(&life->rng, CLIENTS);
    switch (rng_below(&life->rng, 12)) {
    case 0:
        driver_advance_ms(life->driver, (int64_t)rng_below(&life->rng, 1500));
        break;
    case 1:
        wire_sayf(life->flood, "FLOOD Jaquez c%zu +1+1 %u 2.0 Jaquez +0.0\n", i,
                  life->clock_s + (unsigned)rng_below(&life->rng, 5));
        break;
    case 2:
        if (rng_below(&life->rng, 4) == 0)
            herd_node_snapshot(life->driver->node);
        driver_run(life->driver);
        break;
    case 3:
    case 4:
    case 5:
        if (life->disk.pending != NULL)
            disk_done(&life->disk, rng_below(&life->rng, 6) == 0 ? -5 : 0);
        break;
    default:
        wire_sayf(life->wires[i], "IAMAT c%zu +1+1 %u\n", i,
                  life->clock_s + (unsigned)rng_below(&life->rng, 5));
    }
    life->clock_s++;
    take_answers(life);
}

static void crashes_lose_nothing_acknowledged(void **state)
{
    (void)state;
    static struct life life;
    size_t acknowledged = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        life = (struct life){.rng = {seed}, .clock_s = 1000};
        for (unsigned n = 0; n < LIVES; n++) {
            begin(&life, HERD_DURABILITY_COMMIT);
            check_life(&life, seed, "begins");
            uint64_t steps = 1 + rng_below(&life.rng, STEPS);
            for (uint64_t i = 0; i < steps; i++)
                step(&life);
            check_life(&life, seed, "ends");
            disk_crash(&life.disk);
        }
        for (size_t i = 0; i < CLIENTS; i++)
            acknowledged += life.acknowledged_s[i] > 0;
        disk_free(&life.disk);
    }
    CHECK_TRUE(("%zu: it was no empty test", acknowledged), acknowledged > SEEDS * CLIENTS / 2);
}

/* The check can fail: with answers that do not wait, a crash loses some. */
static void crashes_do_lose_what_did_not_wait(void **state)
{
    (void)state;
    static struct life life;
    unsigned lost = 0;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        life = (struct life){.rng = {seed}, .clock_s = 1000};
        begin(&life, HERD_DURABILITY_INTERVAL);
        for (unsigned i = 0; i < STEPS; i++)
            step(&life);
        disk_crash(&life.disk);
        begin(&life, HERD_DURABILITY_INTERVAL);
        for (unsigned i = 0; i < CLIENTS; i++) {
            char name[8];
            struct herd_record record;
            snprintf(name, sizeof(name), "c%u", i);
            lost += !herd_store_find(herd_node_store(life.driver->node), herd_slice_of(name),
                                     &record) ||
                    record.sent_ns < life.acknowledged_s[i] * HERD_NS_PER_S;
        }
        disk_free(&life.disk);
    }
    assert_true(lost > 0);
}

static struct driver *open_edge(struct disk *disk, struct wire **link)
{
    struct herd_node_options options = driver_options("Hill");
    options.durability = HERD_DURABILITY_INTERVAL;
    options.seed = disk->ledger.writes + 1;
    return disk_driver(disk, &options, "Jaquez", link);
}

static void life_goes_on_where_it_was(void **state)
{
    (void)state;
    struct disk disk = {0};
    struct wire *link;
    struct driver *driver = open_edge(&disk, &link);
    struct wire *client = driver_accept(driver), *inbound = edge_hello(driver, 0xabc, 0);
    wire_take(inbound);
    wire_say(inbound, "FLOOD Jaquez a +1+1 1 2.0 Jaquez +1.0\nMARK 0000000000000abc 7\n");
    wire_say(client, "IAMAT b +1+1 100\nIAMAT c +1+1 100\nIAMAT b +1+1 200\n");
    driver_advance_ms(driver, 300);
    uint64_t epoch = herd_node_epoch(driver->node);
    uint64_t digest = herd_store_digest(herd_node_store(driver->node));
    uint64_t sequence = herd_store_sequence(herd_node_store(driver->node));
    disk_crash(&disk);

    driver = open_edge(&disk, &link);
    const struct herd_store *store = herd_node_store(driver->node);
    CHECK_INT(("epoch"), herd_node_epoch(driver->node), epoch);
    CHECK_INT(("digest"), herd_store_digest(store), digest);
    CHECK_INT(("clients"), herd_store_count(store), 3);
    CHECK_TRUE(("a new sequence"), herd_store_sequence(store) > sequence);
    CHECK_INT(("nothing to be written"), herd_node_is_persisted(driver->node), 1);
    inbound = edge_hello(driver, 0xabc, 9);
    EDGE_EXPECT(inbound, "RESUME 0000000000000abc 7 recovered life=%016" PRIx64 "\n",
                driver->node->life.id);
    /* What Jaquez lacks is found by the old sequences. */
    edge_greet(link);
    edge_resume(link, 3);
    EDGE_EXPECT(link, "FLOOD Hill b +1+1 200 1700000000.000000000 Hill +1699999800.000000000\n");
    wire_say(inbound, "MARK 0000000000000abc 9\n");
    inbound = edge_hello(driver, 0xabc, 9); /* it has had its first MARK */
    EDGE_EXPECT(inbound, "RESUME 0000000000000abc 9\n");
    inbound = edge_hello(driver, 0xabd, 1); /* Jaquez has lost its memory */
    EDGE_EXPECT(inbound, "RESUME 0000000000000abd 0\n");
    disk_free(&disk);
}

static void marks_are_written_with_what_bears_them_out(void **state)
{
    (void)state;
    struct disk disk = {0};
    struct wire *link;
    struct driver *driver = open_edge(&disk, &link);
    disk.is_slow = true;
    struct wire *inbound = edge_hello(driver, 0xabc, 0);
    wire_say(inbound, "FLOOD Jaquez a +1+1 1 2.0 Jaquez +1.0\n"); /* its batch goes out */
    wire_say(inbound, "FLOOD Jaquez b +1+1 1 2.0 Jaquez +1.0\nMARK 0000000000000abc 2\n");
    disk_done(&disk, 0);
    CHECK_INT(("b is not there yet"), disk.ledger.mark_count, 0);
    driver_advance_ms(driver, 250);
    disk_done(&disk, 0);
    CHECK_INT(("now it is"), disk.ledger.mark_count, 1);
    CHECK_INT(("its sequence"), disk.ledger.marks[0].mark.sequence, 2);
    assert_string_equal(disk.ledger.marks[0].name, "Jaquez");
    assert_non_null(disk_newest(&disk, "b"));
    disk_free(&disk);
}

/* Jaquez's side: the server that says `recovered` gets its own words back. */
static void recovered_neighbour_gets_its_own_words(void **state)
{
    (void)state;
    struct wire *link = edge_new(0);
    struct driver *driver = link->driver;
    edge_greet(link);
    edge_resume(link, 0);
    struct wire *inbound = edge_hello(driver, 5, 0);
    wire_say(inbound, "FLOOD Jaquez a +1+1 1 2.0 Jaquez +1.0\nFLOOD Jaquez b +1+1 1 2.0 Jaquez "
                      "+1.0\nFLOOD Jaquez c +1+1 1 2.0 Jaquez +1.0\n");
    wire_take(link);
    wire_close(link, "killed");
    wire_close(inbound, "killed");
    driver_advance_to_dial(driver, link);
    edge_greet(link);
    wire_sayf(link, "RESUME %016" PRIx64 " 1 recovered\n", herd_node_epoch(driver->node));
    EDGE_EXPECT(link, "FLOOD Hill b +1+1 1 2.0 Jaquez +1.0\nFLOOD Hill c +1+1 1 2.0 Jaquez +1.0\n");
    /* Cut off before its MARK: it still does not have them. */
    wire_close(link, "killed");
    driver_advance_to_dial(driver, link);
    edge_greet(link);
    edge_resume(link, 1);
    EDGE_EXPECT(link, "FLOOD Hill b +1+1 1 2.0 Jaquez +1.0\nFLOOD Hill c +1+1 1 2.0 Jaquez +1.0\n");
    driver_free(driver);
}

static void records_that_have_ended_are_left_out(void **state)
{
    (void)state;
    struct disk disk = {0};
    struct herd_node_options options = driver_options("Hill");
    options.durability = HERD_DURABILITY_COMMIT;
    options.record_ttl_ns = 60 * HERD_NS_PER_S;
    struct driver *driver = disk_driver(&disk, &options, NULL, NULL);
    struct wire *flood = driver_accept(driver);
    wire_sayf(flood, "FLOOD Jaquez a +1+1 1 %u.0 Jaquez +1.0\n", DRIVER_WALL_S - 30);
    wire_sayf(flood, "FLOOD Jaquez b +1+1 1 %u.0 Jaquez +1.0\n", DRIVER_WALL_S);
    disk_crash(&disk);
    driver = disk_driver(&disk, &options, NULL, NULL);
    CHECK_INT(("both"), herd_store_count(herd_node_store(driver->node)), 2);
    disk_crash(&disk);
    options.record_ttl_ns = 30 * HERD_NS_PER_S;
    driver = disk_driver(&disk, &options, NULL, NULL);
    CHECK_INT(("one"), herd_store_count(herd_node_store(driver->node)), 1);
    driver->now.wall_ns += 31 * HERD_NS_PER_S;
    driver_advance_ms(driver, 3000);
    CHECK_INT(("none"), herd_store_count(herd_node_store(driver->node)), 0);
    CHECK_INT(("counted"), herd_node_stats(driver->node)->records_expired, 1);
    disk_free(&disk);
}

static void rows_that_cannot_be_are_told(void **state)
{
    (void)state;
    struct driver *driver = driver_new("Hill", 0);
    struct herd_node *node = driver->node;
    struct herd_slice good = herd_slice_of("a +1+1 1 2.0 Jaquez +1.0");
    herd_node_restore_epoch(node, 1);
    assert_true(herd_node_restore_record(node, driver->now, 5, herd_slice_of("a +1+1 1")) < 0);
    assert_true(herd_node_restore_record(node, driver->now, 5, herd_slice_of("")) < 0);
    assert_int_equal(herd_node_restore_record(node, driver->now, 5, good), 0);
    assert_true(herd_node_restore_record(node, driver->now, 5, good) < 0);
    assert_true(herd_node_restore_record(node, driver->now, 4, good) < 0);
    assert_int_equal(herd_node_restore_record(node, driver->now, 6, good), 0); /* not newer */
    herd_node_restore_neighbour(node, herd_slice_of("Nobody"),
                                &(struct herd_mark){.epoch = 1, .sequence = 1});
    herd_node_restore_end(node, 10);
    assert_int_equal(herd_store_count(herd_node_store(node)), 1);
    assert_int_equal(herd_store_sequence(herd_node_store(node)), 10);
    driver_free(driver);
}

static void clock_that_goes_back_does_no_harm(void **state)
{
    (void)state;
    struct disk disk = {0};
    struct herd_node_options options = driver_options("Hill");
    options.durability = HERD_DURABILITY_COMMIT;
    options.record_ttl_ns = 60 * HERD_NS_PER_S;
    struct driver *driver = disk_driver(&disk, &options, NULL, NULL);
    struct wire *client = driver_accept(driver);
    wire_say(client, "IAMAT a +1+1 100\n");
    driver->now.wall_ns -= 3600 * HERD_NS_PER_S;
    driver_advance_ms(driver, 5000);
    wire_take(client);
    wire_say(client, "IAMAT b +1+1 1699999999\nIAMAT a +1+1 99\n");
    EDGE_EXPECT(client, "AT Hill -3599.000000000 b +1+1 1699999999\n"
                        "AT Hill +1699996301.000000000 a +1+1 99\n");
    wire_say(client, "WHATSAT a 1 1 AFTER 100 WAIT 0\n");
    CHECK_TEXT(("held"), herd_slice(wire_take(client).data, 8), "AT Hill ");
    driver_advance_ms(driver, 5000);
    CHECK_INT(("both"), herd_store_count(herd_node_store(driver->node)), 2);
    driver->now.wall_ns += 3600 * HERD_NS_PER_S;
    driver_advance_ms(driver, 5000); /* b has ended, by the clock that was */
    CHECK_INT(("one"), herd_store_count(herd_node_store(driver->node)), 1);
    driver->now.wall_ns += 61 * HERD_NS_PER_S;
    driver_advance_ms(driver, 5000);
    CHECK_INT(("none"), herd_store_count(herd_node_store(driver->node)), 0);
    driver->now.wall_ns = 0; /* no battery */
    wire_say(client, "IAMAT c +1+1 1\n");
    driver_advance_ms(driver, 5000);
    CHECK_INT(("one"), herd_store_count(herd_node_store(driver->node)), 1);
    disk_free(&disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crashes_lose_nothing_acknowledged),
        cmocka_unit_test(crashes_do_lose_what_did_not_wait),
        cmocka_unit_test(life_goes_on_where_it_was),
        cmocka_unit_test(marks_are_written_with_what_bears_them_out),
        cmocka_unit_test(recovered_neighbour_gets_its_own_words),
        cmocka_unit_test(records_that_have_ended_are_left_out),
        cmocka_unit_test(rows_that_cannot_be_are_told),
        cmocka_unit_test(clock_that_goes_back_does_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
