/* With durability interval and herd: IAMAT that wait because the disk is behind, and that do not
 * because it fails. */
#include <herd/store.h>

#include "check.h"
#include "core/pace.h"
#include "core/persist.h"
#include "disk.h"
#include "edge.h"

enum { BATCH = 10, WRITE_MS = 20 };

static struct driver *open_disk(struct disk *disk, enum herd_durability durability)
{
    struct herd_node_options options = driver_options("Hill");
    options.durability = durability;
    options.batch_records_max = BATCH;
    *disk = (struct disk){.is_slow = true};
    return disk_driver(disk, &options, NULL, NULL);
}

static const struct herd_node_stats *stats(const struct driver *driver)
{
    return herd_node_stats(driver->node);
}

static int64_t unwritten_ms(const struct driver *driver)
{
    return herd_node_unwritten_ns(driver->node, driver->now) / HERD_NS_PER_MS;
}

static void expect_at(struct wire *wire, const char *client)
{
    EDGE_EXPECT(wire, "AT Hill +1699999900.000000000 %s +1+1 100\n", client);
}

static void say_iamat(struct wire *wire, const char *client)
{
    wire_sayf(wire, "IAMAT %s +1+1 100\n", client);
}

/* More answered than a batch takes, the first of them `age_ms` ago; the batch of one record before
 * these is under way. */
static struct driver *fall_behind(struct disk *disk, int64_t age_ms)
{
    struct driver *driver = open_disk(disk, HERD_DURABILITY_INTERVAL);
    struct wire *client = driver_accept(driver);
    say_iamat(client, "first");
    assert_non_null(disk->pending);
    for (unsigned i = 0; i < 3 * BATCH; i++)
        wire_sayf(client, "IAMAT c%u +1+1 100\n", i);
    driver_advance_ms(driver, age_ms);
    return driver;
}

static void iamat_wait_while_the_disk_is_behind(void **state)
{
    (void)state;
    struct disk disk;
    /* The batch under way was to take 20 ms, and so is each of the four to come. Where it takes 100,
     * four times that is as much as those who wait may have before them. */
    struct driver *driver = fall_behind(&disk, 99);
    struct wire *client = driver_accept(driver), *other = driver_accept(driver);
    say_iamat(client, "a");
    expect_at(client, "a");
    driver_advance_ms(driver, 1);
    wire_say(client, "PING\n IAMAT b +1+1 1");
    wire_say(client, "00\r\nIAMAT d +1+1 100\nPING\n");
    EDGE_EXPECT(client, "PONG\n");
    assert_false(client->reading);
    wire_say(other, "PING\nWHATSAT nobody 1 1\n");
    EDGE_EXPECT(other, "PONG\n? WHATSAT nobody 1 1\n");
    assert_true(other->reading);
    CHECK_INT(("told"), stats(driver)->clients_paused_disk, 1);
    CHECK_INT(("among the limits"), stats(driver)->limits_reached, 1);
    driver_advance_ms(driver, 450); /* then it is quick */
    for (int batch = 0; batch < 3; batch++) {
        disk_done(&disk, 0);
        EDGE_EXPECT(client, "%s", "");
    }
    disk_done(&disk, 0);
    EDGE_EXPECT(client, "AT Hill +1699999900.000000000 b +1+1 100\n"
                        "AT Hill +1699999900.000000000 d +1+1 100\nPONG\n");
    assert_true(client->reading);
    CHECK_INT(("once"), stats(driver)->clients_paused_disk, 1);
    CHECK_INT(("nothing refused"), stats(driver)->lines_invalid, 1);
    disk_free(&disk);
}

static void a_batch_that_takes_long_is_not_waited_for(void **state)
{
    (void)state;
    struct disk disk;
    struct driver *driver = open_disk(&disk, HERD_DURABILITY_INTERVAL);
    struct wire *client = driver_accept(driver);
    for (int second = 0; second < 3; second++) {
        say_iamat(client, second == 0 ? "a" : second == 1 ? "b" : "c");
        expect_at(client, second == 0 ? "a" : second == 1 ? "b" : "c");
        assert_non_null(disk.pending); /* it has that */
        driver_advance_ms(driver, 900);
        disk_done(&disk, 0);
    }
    CHECK_INT(("never"), stats(driver)->clients_paused_disk, 0);
    disk_free(&disk);
}

static void a_disk_that_fails_is_not_waited_for(void **state)
{
    (void)state;
    struct disk disk;
    struct driver *driver = fall_behind(&disk, 900);
    struct wire *client = driver_accept(driver);
    say_iamat(client, "a");
    EDGE_EXPECT(client, "%s", "");
    disk_done(&disk, -5);
    expect_at(client, "a");
    driver_advance_ms(driver, 5000); /* tried again, and under way */
    say_iamat(client, "b");
    expect_at(client, "b");
    disk_done(&disk, 0);
    say_iamat(client, "c"); /* it works again: what was answered meanwhile goes first */
    EDGE_EXPECT(client, "%s", "");
    for (int batch = 0; batch < 4; batch++)
        disk_done(&disk, 0);
    expect_at(client, "c");
    disk_free(&disk);
}

static void a_disk_that_does_not_answer_is_not_waited_for(void **state)
{
    (void)state;
    struct disk disk;
    struct driver *driver = fall_behind(&disk, 400);
    struct wire *client = driver_accept(driver);
    say_iamat(client, "a");
    driver_advance_ms(driver, 599);
    EDGE_EXPECT(client, "%s", "");
    driver_advance_ms(driver, 1);
    expect_at(client, "a");
    driver_advance_ms(driver, 60000);
    say_iamat(client, "b");
    expect_at(client, "b");
    CHECK_INT(("the age"), unwritten_ms(driver), 61000);
    disk_free(&disk);
}

static void a_stop_waits_for_nothing(void **state)
{
    (void)state;
    struct disk disk;
    struct driver *driver = fall_behind(&disk, 400);
    struct wire *client = driver_accept(driver), *ended = driver_accept(driver);
    say_iamat(client, "a");
    wire_say(ended, "IAMAT b +1+1 100");
    wire_end(ended);
    EDGE_EXPECT(ended, "%s", "");
    assert_true(ended->open);
    driver_stop(driver);
    expect_at(client, "a");
    expect_at(ended, "b");
    assert_false(ended->open);
    disk_free(&disk);
}

static void one_that_has_ended_its_half_is_answered(void **state)
{
    (void)state;
    struct disk disk;
    struct driver *driver = fall_behind(&disk, 400);
    struct wire *ended = driver_accept(driver), *gone = driver_accept(driver);
    wire_say(ended, "IAMAT a +1+1 100\nIAMAT b +1+1 100");
    wire_end(ended);
    say_iamat(gone, "c");
    wire_close(gone, "gone");
    for (int batch = 0; batch < 4; batch++)
        disk_done(&disk, 0);
    EDGE_EXPECT(ended, "AT Hill +1699999900.000000000 a +1+1 100\n"
                       "AT Hill +1699999900.000000000 b +1+1 100\n");
    assert_false(ended->open);
    struct herd_record record;
    assert_false(herd_store_find(herd_node_store(driver->node), herd_slice_of("c"), &record));
    disk_free(&disk);
}

/* Records that have ended are not written, so there is nothing to wait for. */
static void what_has_ended_is_not_waited_for(void **state)
{
    (void)state;
    struct disk disk = {.is_slow = true};
    struct herd_node_options options = driver_options("Hill");
    options.durability = HERD_DURABILITY_INTERVAL;
    options.record_ttl_ns = 10 * HERD_NS_PER_S;
    struct driver *driver = disk_driver(&disk, &options, NULL, NULL);
    struct wire *client = driver_accept(driver);
    say_iamat(client, "a");
    say_iamat(client, "b");
    disk_done(&disk, -5);
    driver->now.wall_ns += 12 * HERD_NS_PER_S;
    driver_advance_ms(driver, 12000);
    CHECK_INT(("both have ended"), herd_store_count(herd_node_store(driver->node)), 0);
    disk_done(&disk, 0);
    CHECK_INT(("nothing to write"), unwritten_ms(driver), 0);
    wire_say(client, "PING\n");
    wire_take(client);
    say_iamat(client, "c");
    CHECK_TRUE(("at once"), wire_take(client).len > 0);
    disk_free(&disk);
}

static void the_age_is_that_of_the_oldest_answered(void **state)
{
    (void)state;
    struct disk disk;
    struct driver *driver = open_disk(&disk, HERD_DURABILITY_INTERVAL);
    struct wire *client = driver_accept(driver), *flood = driver_accept(driver);
    wire_say(flood, "FLOOD Jaquez x +1+1 1 2.0 Jaquez +0.0\n");
    driver_advance_ms(driver, 100);
    CHECK_INT(("nothing answered"), unwritten_ms(driver), 0);
    say_iamat(client, "a");
    driver_advance_ms(driver, 50);
    CHECK_INT(("a"), unwritten_ms(driver), 50);
    disk_done(&disk, 0);
    driver_advance_ms(driver, 100);
    CHECK_INT(("a, in a batch now"), unwritten_ms(driver), 150);
    say_iamat(client, "b");
    driver_advance_ms(driver, 30);
    disk_done(&disk, 0);
    CHECK_INT(("b"), unwritten_ms(driver), 30);
    driver_advance_ms(driver, 250);
    disk_done(&disk, 0);
    CHECK_INT(("none"), unwritten_ms(driver), 0);
    say_iamat(client, "b"); /* again: it is on disk */
    driver_advance_ms(driver, 1000);
    CHECK_INT(("none"), unwritten_ms(driver), 0);
    disk_free(&disk);
}

enum { MANY = 17000 }; /* more than PACE_MUCH */

static void say_many(struct wire *client, unsigned time)
{
    for (unsigned i = 0; i < MANY; i++)
        wire_sayf(client, "IAMAT m%u +1+1 %u\n", i, time);
    CHECK_TRUE(("answered"), wire_take(client).len > 0);
}

static struct driver *open_fast(struct disk *disk)
{
    struct herd_node_options options = driver_options("Hill");
    options.durability = HERD_DURABILITY_INTERVAL;
    *disk = (struct disk){.is_slow = true};
    return disk_driver(disk, &options, NULL, NULL);
}

/* How long it takes until a batch is asked for, which then takes `write_ms`. */
static int wait_for_batch(struct disk *disk, int write_ms)
{
    int waited_ms = 0;
    for (; disk->pending == NULL; waited_ms++) {
        CHECK_TRUE(("%d ms", waited_ms), waited_ms < 1000);
        driver_advance_ms(disk->driver, 1);
    }
    driver_advance_ms(disk->driver, write_ms);
    disk_done(disk, 0);
    return waited_ms;
}

static void where_much_changes_a_batch_begins_late(void **state)
{
    (void)state;
    struct disk disk;
    struct driver *driver = open_fast(&disk);
    struct wire *client = driver_accept(driver);
    say_iamat(client, "first");
    disk_done(&disk, 0);
    say_iamat(client, "one");
    CHECK_INT(("little"), wait_for_batch(&disk, 0), 250);
    for (unsigned time = 1; time <= 3; time++)
        say_many(client, time);
    CHECK_INT(("much"), wait_for_batch(&disk, 0), 500);
    CHECK_INT(("each of them once"), disk.last_records, MANY);
    CHECK_INT(("nobody waited"), stats(driver)->clients_paused_disk, 0);
    disk_free(&disk);
}

/* So that it is on disk in time if it takes twice as long. */
static void a_slow_disk_has_its_batches_earlier(void **state)
{
    (void)state;
    struct disk disk;
    struct driver *driver = open_fast(&disk);
    struct wire *client = driver_accept(driver);
    say_iamat(client, "first");
    disk_done(&disk, 0);
    int last_ms = 501;
    for (unsigned time = 1; time < 6; time++) {
        say_many(client, time);
        int waited_ms = wait_for_batch(&disk, 200);
        CHECK_TRUE(("%d, then %d ms", last_ms, waited_ms), waited_ms <= last_ms);
        last_ms = waited_ms;
    }
    CHECK_TRUE(("%d ms after the last one's 200", last_ms), last_ms < 220);
    for (unsigned time = 6; time < 20; time++) {
        say_many(client, time);
        last_ms = wait_for_batch(&disk, 10);
    }
    CHECK_INT(("late again"), last_ms, 490);
    disk_free(&disk);
}

static void say_some(struct wire *wire, unsigned count, unsigned time)
{
    for (unsigned i = 0; i < count; i++)
        wire_sayf(wire, "IAMAT some%u +1+1 %u\n", i, time);
}

/* What is expected of a record makes batches small, and these must show that it is too much. */
static void a_disk_that_was_slow_once_is_not_so_for_ever(void **state)
{
    (void)state;
    struct disk disk;
    struct driver *driver = open_fast(&disk);
    struct wire *client = driver_accept(driver);
    say_iamat(client, "first");
    disk_done(&disk, 0);
    say_some(client, 2 * PACE_MANY, 1);
    wait_for_batch(&disk, 5000);
    say_some(client, PACE_MANY / 2, 2);
    CHECK_TRUE(("at once"), wait_for_batch(&disk, 10) < 240);
    int last_ms = 0;
    for (unsigned time = 3; time < 100; time++) {
        say_some(client, PACE_MANY / 2, time);
        last_ms = wait_for_batch(&disk, 10);
    }
    CHECK_INT(("as ever"), last_ms, 240);
    disk_free(&disk);
}

static void a_large_batch_leaves_nothing_behind(void **state)
{
    static const char padding[] =
        "----------------------------------------------------------------"
        "----------------------------------------------------------------";
    (void)state;
    struct disk disk;
    struct driver *driver = open_fast(&disk);
    struct wire *client = driver_accept(driver);
    size_t kept;
    say_iamat(client, "first");
    disk_done(&disk, 0);
    for (unsigned i = 0; i < 2 * MANY; i++)
        wire_sayf(client, "IAMAT %s%u +1+1 100\n", padding, i);
    wire_take(client);
    driver_advance_ms(driver, 500);
    CHECK_TRUE(("a batch is under way"), disk.pending != NULL);
    CHECK_TRUE(("it is lent"), herd_node_give_back(driver->node, &kept) < BATCH_KEPT_BYTES);
    disk_done(&disk, 0);
    CHECK_INT(("in one"), disk.last_records, 2 * MANY);
    CHECK_TRUE(("given back"), herd_node_give_back(driver->node, &kept) > BATCH_KEPT_BYTES);
    CHECK_TRUE(("once"), herd_node_give_back(driver->node, &kept) < BATCH_KEPT_BYTES);
    disk_free(&disk);
}

/* What comes between the turns in which a batch is copied is in it, too, however much that is. */
static void a_batch_is_cut_over_several_turns(void **state)
{
    (void)state;
    struct disk disk = {.is_slow = true};
    struct herd_node_options options = driver_options("Hill");
    options.durability = HERD_DURABILITY_INTERVAL;
    options.batch_step_max = 10;
    struct driver *driver = disk_driver(&disk, &options, NULL, NULL);
    struct wire *client = driver_accept(driver);
    say_iamat(client, "first");
    disk_done(&disk, 0);
    for (unsigned i = 0; i < 25; i++)
        wire_sayf(client, "IAMAT c%u +1+1 100\n", i);
    driver_advance_ms(driver, 249);
    driver->ticks = false; /* one turn each */
    driver->now.mono_ns += HERD_NS_PER_MS;
    wire_say(client, "PING\n");
    assert_null(disk.pending);
    char lines[40 * 32], *at = lines;
    for (unsigned i = 0; i < 40; i++)
        at += sprintf(at, "IAMAT c%u +1+1 200\n", 20 + i);
    wire_say(client, lines);
    assert_null(disk.pending);
    wire_say(client, "PING\n");
    driver->ticks = true;
    assert_non_null(disk.pending);
    CHECK_INT(("c0 to c19, and c20 to c59 as they are now"), disk.last_records, 60);
    disk_done(&disk, 0);
    CHECK_INT(("all is written"), unwritten_ms(driver), 0);
    assert_true(herd_node_is_persisted(driver->node));
    disk_free(&disk);
}

/* Clients in a closed loop, far more than the disk takes; some ids come again and again. What was
 * answered more than a second ago is on disk, at each moment. */
enum { CHECKS_A_SECOND = 10, CHECK_MS = 100, WIRES = 20, LINES = 8, IDS = 4000, HOT = 7 };

struct load {
    struct disk disk;
    struct driver *driver;
    struct wire *wires[WIRES];
    unsigned waiting[WIRES]; /* lines without an answer */
    unsigned next;
    unsigned sent[IDS];                      /* the time in the IAMAT: 1, 2, … */
    unsigned answered[CHECKS_A_SECOND][IDS]; /* the newest at each check of the last second */
    unsigned on_disk[IDS];
    size_t rows_seen;
    unsigned answers;
};

static void say_more(struct load *load, unsigned i)
{
    char lines[LINES * 48], *at = lines;
    for (unsigned line = 0; line < LINES; line++) {
        load->next = (load->next + 1) % IDS;
        unsigned id = load->next % HOT == 0 ? (load->next / HOT + i) % HOT : load->next;
        at += sprintf(at, "IAMAT i%u +1+1 %u\n", id, ++load->sent[id]);
    }
    load->waiting[i] = LINES;
    wire_say(load->wires[i], lines);
}

static unsigned *answered_at(struct load *load, int64_t ms)
{
    return load->answered[ms / CHECK_MS % CHECKS_A_SECOND];
}

static void take_answers(struct load *load, unsigned i, int64_t ms)
{
    unsigned *newest = answered_at(load, ms);
    struct herd_slice got = wire_take(load->wires[i]);
    while (got.len > 0) {
        const char *end = memchr(got.data, '\n', got.len);
        unsigned id, sent;
        CHECK_INT(("%.*s", (int)got.len, got.data),
                  sscanf(got.data, "AT Hill %*s i%u +1+1 %u", &id, &sent), 2);
        if (sent > newest[id])
            newest[id] = sent;
        load->answers++;
        load->waiting[i]--;
        got = herd_slice(end + 1, got.len - (size_t)(end + 1 - got.data));
    }
    if (load->waiting[i] == 0)
        say_more(load, i);
}

/* What has been written since the last look. */
static void look_at_disk(struct load *load)
{
    const struct ledger *ledger = &load->disk.ledger;
    for (; load->rows_seen < ledger->row_count; load->rows_seen++) {
        unsigned id, sent;
        if (sscanf(ledger->rows[load->rows_seen].text, "i%u +1+1 %u", &id, &sent) == 2 &&
            sent > load->on_disk[id])
            load->on_disk[id] = sent;
    }
}

/* At the end of a tenth of a second: what was answered nine of them ago, or before. */
static void check_old_ones(struct load *load, int64_t ms)
{
    unsigned *newest = answered_at(load, ms), *oldest = answered_at(load, ms + CHECK_MS);
    look_at_disk(load);
    for (unsigned id = 0; id < IDS; id++)
        CHECK_TRUE(("at %d ms: i%u %u, on disk: %u", (int)ms, id, oldest[id], load->on_disk[id]),
                   load->on_disk[id] >= oldest[id]);
    memcpy(oldest, newest, sizeof(load->answered[0]));
}

static void under_overload_all_is_on_disk_within_a_second(enum herd_durability durability)
{
    static struct load load;
    load = (struct load){0};
    load.driver = open_disk(&load.disk, durability);
    for (unsigned i = 0; i < WIRES; i++)
        load.wires[i] = driver_accept(load.driver);
    for (unsigned i = 0; i < WIRES; i++)
        say_more(&load, i);
    for (int ms = 1; ms < 6000; ms++) {
        driver_advance_ms(load.driver, 1);
        for (unsigned i = 0; ms % 3 == 0 && i < WIRES; i++)
            take_answers(&load, i, ms);
        if (ms % WRITE_MS == 0 && load.disk.pending != NULL)
            disk_done(&load.disk, 0);
        if (ms % CHECK_MS == CHECK_MS - 1)
            check_old_ones(&load, ms);
        CHECK_TRUE(("the age at %d ms: %d", ms, (int)unwritten_ms(load.driver)),
                   unwritten_ms(load.driver) < 1000);
    }
    CHECK_TRUE(("%u answers", load.answers), load.answers > 2500); /* and no less than the disk */
    CHECK_INT(("nothing refused"), stats(load.driver)->lines_invalid, 0);
    assert_true(stats(load.driver)->clients_paused_disk > 0);
    disk_free(&load.disk);
}

static void interval_is_a_second_under_overload(void **state)
{
    (void)state;
    under_overload_all_is_on_disk_within_a_second(HERD_DURABILITY_INTERVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(iamat_wait_while_the_disk_is_behind),
        cmocka_unit_test(a_batch_that_takes_long_is_not_waited_for),
        cmocka_unit_test(a_disk_that_fails_is_not_waited_for),
        cmocka_unit_test(a_disk_that_does_not_answer_is_not_waited_for),
        cmocka_unit_test(a_stop_waits_for_nothing),
        cmocka_unit_test(one_that_has_ended_its_half_is_answered),
        cmocka_unit_test(what_has_ended_is_not_waited_for),
        cmocka_unit_test(the_age_is_that_of_the_oldest_answered),
        cmocka_unit_test(where_much_changes_a_batch_begins_late),
        cmocka_unit_test(a_slow_disk_has_its_batches_earlier),
        cmocka_unit_test(a_disk_that_was_slow_once_is_not_so_for_ever),
        cmocka_unit_test(a_large_batch_leaves_nothing_behind),
        cmocka_unit_test(a_batch_is_cut_over_several_turns),
        cmocka_unit_test(interval_is_a_second_under_overload),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
