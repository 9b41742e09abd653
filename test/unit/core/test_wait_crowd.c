/* Many WHATSAT … AFTER at once: what they cost, counted in steps, and how many there may be. */
#include <inttypes.h>

#include "core/digest.h"
#include "core/node.h"

#include "check.h"
#include "driver.h"
#include "edge.h"

static void bring(struct wire *from, const char *client, unsigned second)
{
    wire_sayf(from, "FLOOD Jaquez %s +1+1 %u %u.5 Blake +0.5\n", client, second, DRIVER_WALL_S);
}

static const struct herd_node_stats *stats(const struct driver *driver)
{
    return herd_node_stats(driver->node);
}

enum { CROWD = 6000, PIPELINE = 4096 };

static struct driver *driver_for_crowds(void)
{
    struct herd_node_options options = driver_options("Hill");
    options.pipeline_max = PIPELINE;
    options.output_max = 16 * 1024 * 1024;
    return driver_new_with(&options);
}

enum order { ASCENDING, DESCENDING, EQUAL, MIXED };

/* The time that the i-th of a crowd waits for: 1000 to 1000 + CROWD. */
static unsigned after(enum order order, unsigned i)
{
    const unsigned times[] = {i, CROWD - i, 0, i * 997 % CROWD};
    return 1000 + times[order];
}

static void crowd_waits(struct driver *driver, unsigned count, enum order order, unsigned wait_ms)
{
    struct herd_buf lines = {0};
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(
            herd_buf_printf(&lines, "WHATSAT c 1 1 AFTER %u WAIT %u\n", after(order, i), wait_ms),
            0);
        if (i % PIPELINE != PIPELINE - 1 && i + 1 < count)
            continue;
        wire_send(driver_accept(driver), herd_buf_slice(&lines));
        lines.len = 0;
    }
    herd_buf_free(&lines);
}

static const struct waits *waits(const struct driver *driver)
{
    return &driver->node->waits;
}

static void crowd_of_one_client_ends_in_few_steps(void **state)
{
    (void)state;
    for (enum order order = ASCENDING; order <= MIXED; order++) {
        struct driver *driver = driver_for_crowds();
        crowd_waits(driver, CROWD, order, 1000);
        CHECK_INT(("order %d", order), waits(driver)->count, CROWD);
        driver_advance_ms(driver, 1000);
        CHECK_INT(("order %d", order), stats(driver)->waits_expired, CROWD);
        CHECK_INT(("order %d", order), waits(driver)->count, 0);
        CHECK_TRUE(("order %d: %" PRIu64 " steps", order, waits(driver)->steps),
                   waits(driver)->steps < CROWD * 30);
        driver_free(driver);
    }
}

static void connections_of_a_crowd_close_in_few_steps(void **state)
{
    (void)state;
    for (enum order order = ASCENDING; order <= MIXED; order++) {
        struct driver *driver = driver_for_crowds();
        crowd_waits(driver, CROWD, order, 1000);
        for (size_t i = 0; i < driver->wire_count; i++)
            wire_close(driver->wires[i], "gone");
        CHECK_INT(("order %d", order), waits(driver)->count, 0);
        CHECK_TRUE(("order %d: %" PRIu64 " steps", order, waits(driver)->steps),
                   waits(driver)->steps < CROWD * 30);
        driver_free(driver);
    }
}

/* Each is answered by the first record that will do, and by no other. */
static void record_looks_at_those_it_answers(void **state)
{
    (void)state;
    for (enum order order = ASCENDING; order <= MIXED; order++) {
        struct driver *driver = driver_for_crowds();
        struct wire *other = driver_accept(driver);
        crowd_waits(driver, CROWD, order, 5000);
        uint64_t before = waits(driver)->steps;
        for (unsigned second = 1; second <= 900; second++)
            bring(other, "c", second);
        CHECK_INT(("order %d: none looked at", order), waits(driver)->steps - before, 0);
        for (unsigned second = 1500; second <= 7000; second += 500) {
            unsigned left = 0;
            for (unsigned i = 0; i < CROWD; i++)
                left += after(order, i) > second;
            bring(other, "c", second);
            CHECK_INT(("order %d: %u", order, second), waits(driver)->count, left);
        }
        CHECK_INT(("order %d", order), waits(driver)->count, 0);
        CHECK_TRUE(("order %d: %" PRIu64 " steps", order, waits(driver)->steps),
                   waits(driver)->steps < CROWD * 30);
        driver_free(driver);
    }
}

static void crowd_is_answered_over_several_ticks(void **state)
{
    (void)state;
    struct driver *driver = driver_for_crowds();
    struct wire *other = driver_accept(driver);
    crowd_waits(driver, CROWD, MIXED, 5000);
    driver->ticks = false;
    bring(other, "c", 9000);
    for (unsigned left = CROWD - WAITS_PER_TURN;; left -= WAITS_PER_TURN) {
        CHECK_INT(("left"), waits(driver)->count, left);
        if (left < WAITS_PER_TURN)
            break;
        assert_true(herd_node_wakeup(driver->node) <= driver->now.mono_ns);
        herd_node_tick(driver->node, driver->now);
    }
    driver->ticks = true;
    driver_run(driver);
    CHECK_INT(("left"), waits(driver)->count, 0);
    CHECK_INT(("expired"), stats(driver)->waits_expired, 0);
    driver_free(driver);
}

/* Records end after a minute. */
static struct driver *driver_that_forgets(void)
{
    struct herd_node_options options = driver_options("Hill");
    options.pipeline_max = PIPELINE;
    options.record_ttl_ns = 60 * HERD_NS_PER_S;
    return driver_new_with(&options);
}

/* What the rest would have been answered with has ended: they go on waiting. */
static void record_that_ends_between_two_ticks_answers_no_more(void **state)
{
    (void)state;
    struct driver *driver = driver_that_forgets();
    struct wire *other = driver_accept(driver);
    enum { LEFT = 10 };
    crowd_waits(driver, WAITS_PER_TURN + LEFT, EQUAL, 5000);
    driver->ticks = false;
    bring(other, "c", 9000);
    CHECK_INT(("left"), waits(driver)->count, LEFT);
    driver->ticks = true;
    driver->now.wall_ns += 61 * HERD_NS_PER_S;
    driver_advance_ms(driver, 4999);
    CHECK_INT(("left"), waits(driver)->count, LEFT);
    driver_advance_ms(driver, 1);
    CHECK_INT(("expired"), stats(driver)->waits_expired, LEFT);
    driver_free(driver);
}

/* They do so as if it had never come: the neighbours are asked. */
static void record_that_ends_between_two_ticks_is_asked_for(void **state)
{
    (void)state;
    struct driver *driver = driver_that_forgets();
    struct wire *link = driver_add_neighbour(driver, "Jaquez");
    wire_dialled(link, NULL);
    edge_resume(link, 0);
    struct wire *other = driver_accept(driver);
    crowd_waits(driver, WAITS_PER_TURN + 1, EQUAL, 5000);
    driver->ticks = false;
    bring(other, "c", 9000);
    CHECK_INT(("left"), waits(driver)->count, 1);
    driver->ticks = true;
    driver->now.wall_ns += 61 * HERD_NS_PER_S;
    driver_run(driver);
    wire_take(link);
    driver_advance_ms(driver, 50);
    struct herd_slice got = wire_take(link);
    CHECK_TRUE(("%.*s", (int)got.len, got.data), memmem(got.data, got.len, "WANT c\n", 7) != NULL);
    driver_free(driver);
}

/* Nor do they wait for longer than they would have. */
static void record_that_ends_between_two_ticks_puts_off_no_end(void **state)
{
    (void)state;
    struct driver *driver = driver_that_forgets();
    struct wire *other = driver_accept(driver);
    crowd_waits(driver, WAITS_PER_TURN + 1, EQUAL, 5000);
    driver_advance_ms(driver, 4970);
    driver->ticks = false;
    bring(other, "c", 9000);
    driver->ticks = true;
    driver->now.wall_ns += 61 * HERD_NS_PER_S;
    driver_advance_ms(driver, 29);
    CHECK_INT(("left"), waits(driver)->count, 1);
    driver_advance_ms(driver, 1);
    CHECK_INT(("in time"), stats(driver)->waits_expired, 1);
    driver_free(driver);
}

/* Its connection is lost. */
static void goes(struct driver *driver, const struct herd_ask *ask)
{
    for (size_t i = 0; i < driver->wire_count; i++) {
        if (driver->wires[i]->conn == ask->conn) {
            wire_close(driver->wires[i], "gone");
            return;
        }
    }
    fail_msg("nobody's");
}

static struct herd_ask *next_due(const struct driver *driver)
{
    struct timer *timer = timers_first(&waits(driver)->timers);
    return (struct herd_ask *)(void *)((char *)timer - offsetof(struct herd_ask, timer));
}

/* Each on a connection of its own; the record that answers all has answered what a turn may. */
static struct driver *driver_between_two_ticks(unsigned left)
{
    struct driver *driver = driver_for_crowds();
    struct wire *other = driver_accept(driver);
    for (unsigned i = 0; i < WAITS_PER_TURN + left; i++)
        wire_say(driver_accept(driver), "WHATSAT c 1 1 AFTER 1000 WAIT 5000\n");
    driver->ticks = false;
    bring(other, "c", 9000);
    CHECK_INT(("left"), waits(driver)->count, left);
    return driver;
}

/* Those that would have gone on for the rest, one after the other. */
static void crowd_is_answered_whoever_goes_between_two_ticks(void **state)
{
    (void)state;
    enum { LEFT = 10 };
    for (unsigned go = 1; go <= LEFT; go++) {
        struct driver *driver = driver_between_two_ticks(LEFT);
        for (unsigned i = 0; i < go; i++)
            goes(driver, next_due(driver));
        CHECK_INT(("%u have gone", go), waits(driver)->count, LEFT - go);
        driver->ticks = true;
        driver_run(driver);
        CHECK_INT(("%u have gone: left", go), waits(driver)->count, 0);
        CHECK_INT(("%u have gone", go), stats(driver)->waits_expired, 0);
        driver_free(driver);
    }
}

/* Whom the record does not answer waits as if there had been no crowd: its neighbours are asked. */
static void who_waits_for_more_does_not_go_on_for_a_crowd(void **state)
{
    (void)state;
    struct driver *driver = driver_between_two_ticks(1);
    struct wire *link = driver_add_neighbour(driver, "Jaquez");
    wire_dialled(link, NULL);
    edge_resume(link, 0);
    struct wire *client = driver_accept(driver);
    wire_say(client, "WHATSAT c 1 1 AFTER 9001 WAIT 5000\n");
    goes(driver, next_due(driver));
    driver->ticks = true;
    driver_run(driver);
    wire_take(link);
    driver_advance_ms(driver, 50);
    struct herd_slice got = wire_take(link);
    CHECK_TRUE(("%.*s", (int)got.len, got.data), memmem(got.data, got.len, "WANT c\n", 7) != NULL);
    driver_advance_ms(driver, 4950);
    EDGE_EXPECT(client, "%s", "? WHATSAT c 1 1 AFTER 9001 WAIT 5000\n");
    driver_free(driver);
}

static void refusals_of_a_crowd_take_several_ticks(void **state)
{
    (void)state;
    struct driver *driver = driver_for_crowds();
    crowd_waits(driver, CROWD, EQUAL, 40);
    driver->ticks = false;
    driver->now.mono_ns += 40 * HERD_NS_PER_MS;
    for (unsigned expired = 0; expired < CROWD;) {
        assert_true(herd_node_wakeup(driver->node) <= driver->now.mono_ns);
        herd_node_tick(driver->node, driver->now);
        expired += CROWD - expired < WAITS_PER_TURN ? CROWD - expired : WAITS_PER_TURN;
        CHECK_INT(("expired"), stats(driver)->waits_expired, expired);
    }
    driver_free(driver);
}

static void one_too_many_is_refused_at_once(void **state)
{
    (void)state;
    struct driver *driver = driver_for_crowds();
    struct wire *client = driver_accept(driver);
    crowd_waits(driver, WAITS_MAX - PIPELINE, EQUAL, 5000);
    for (unsigned i = 0; i < PIPELINE; i++)
        wire_say(driver_accept(driver), "WHATSAT c 1 1 AFTER 5\n");
    CHECK_INT(("all wait"), waits(driver)->count, WAITS_MAX);
    CHECK_INT(("and are counted"), stats(driver)->waits_open, WAITS_MAX);
    CHECK_INT(("refused"), stats(driver)->waits_refused, 0);
    wire_say(client, "WHATSAT d 1 1 AFTER 1\n");
    EDGE_EXPECT(client, "? WHATSAT d 1 1 AFTER 1\n");
    CHECK_INT(("refused"), stats(driver)->waits_refused, 1);
    CHECK_INT(("not for its share"), stats(driver)->waits_refused_share, 0);
    wire_close(driver->wires[driver->wire_count - 1], "gone");
    wire_say(client, "WHATSAT d 1 1 AFTER 1\n");
    EDGE_EXPECT(client, "%s", "");
    driver_free(driver);
}

static void how_many_wait_is_an_option(void **state)
{
    (void)state;
    struct herd_node_options options = driver_options("Hill");
    options.waits_max = 2;
    struct driver *driver = driver_new_with(&options);
    struct wire *client = driver_accept(driver);
    crowd_waits(driver, 1, EQUAL, 5000);
    crowd_waits(driver, 1, EQUAL, 5000);
    wire_say(client, "WHATSAT d 1 1 AFTER 1\n");
    EDGE_EXPECT(client, "? WHATSAT d 1 1 AFTER 1\n");
    CHECK_INT(("refused"), stats(driver)->waits_refused, 1);
    CHECK_INT(("told"), stats(driver)->limits_reached, 1);
    driver_free(driver);
}

/* How many more of a connection wait, of 100. */
static unsigned more_wait(struct driver *driver, struct wire *wire, const char *client)
{
    uint64_t before = stats(driver)->waits_open, refused = stats(driver)->waits_refused_share;
    for (unsigned i = 0; i < 100 && stats(driver)->waits_refused_share == refused; i++)
        wire_sayf(wire, "WHATSAT %s 1 1 AFTER 1\n", client);
    CHECK_INT(("one is refused"), stats(driver)->waits_refused_share, refused + 1);
    return (unsigned)(stats(driver)->waits_open - before);
}

/* However many one connection asks for, another one finds a place. */
static void connection_has_as_many_as_are_free(void **state)
{
    (void)state;
    struct herd_node_options options = driver_options("Hill");
    options.waits_max = 60;
    options.pipeline_max = 100;
    struct driver *driver = driver_new_with(&options);
    struct wire *greedy[] = {driver_accept(driver), driver_accept(driver)};
    CHECK_INT(("half of all"), more_wait(driver, greedy[0], "d"), 30);
    CHECK_INT(("half of the rest"), more_wait(driver, greedy[1], "d"), 15);
    CHECK_INT(("no more"), more_wait(driver, greedy[0], "d"), 0);
    CHECK_INT(("all three"), stats(driver)->waits_refused, 3);
    CHECK_INT(("told"), stats(driver)->limits_reached, 3);
    for (unsigned i = 0; i < 15; i++)
        wire_say(driver_accept(driver), "WHATSAT d 1 1 AFTER 1\n");
    CHECK_INT(("others wait"), stats(driver)->waits_open, 60);
    CHECK_INT(("refused"), stats(driver)->waits_refused, 3);
    wire_close(greedy[0], "gone");
    CHECK_INT(("its places are free"), more_wait(driver, greedy[1], "d"), 8);
    bring(driver_accept(driver), "d", 2);
    CHECK_INT(("answered"), stats(driver)->waits_open, 0);
    CHECK_INT(("its own share is free"), more_wait(driver, greedy[1], "e"), 30);
    bring(driver_accept(driver), "e", 2);
    CHECK_INT(("as anybody's"), more_wait(driver, driver_accept(driver), "f"), 30);
    driver_free(driver);
}

/* The hash that all servers share can be computed by anyone: these ids would all meet. */
static void ids_cannot_be_chosen_to_meet_in_one_bucket(void **state)
{
    (void)state;
    enum { IDS = 200 };
    struct driver *driver = driver_for_crowds();
    struct wire *client = driver_accept(driver);
    for (unsigned i = 0, found = 0; found < IDS; i++) {
        char id[24];
        snprintf(id, sizeof(id), "x%u", i);
        if (digest_client_hash(herd_slice_of(id)) % WAIT_BUCKETS != 0)
            continue;
        wire_sayf(client, "WHATSAT %s 1 1 AFTER 1\n", id);
        found++;
    }
    CHECK_INT(("all wait"), waits(driver)->count, IDS);
    CHECK_TRUE(("%" PRIu64 " steps", waits(driver)->steps), waits(driver)->steps < IDS);
    driver_free(driver);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crowd_of_one_client_ends_in_few_steps),
        cmocka_unit_test(connections_of_a_crowd_close_in_few_steps),
        cmocka_unit_test(record_looks_at_those_it_answers),
        cmocka_unit_test(crowd_is_answered_over_several_ticks),
        cmocka_unit_test(record_that_ends_between_two_ticks_answers_no_more),
        cmocka_unit_test(record_that_ends_between_two_ticks_is_asked_for),
        cmocka_unit_test(record_that_ends_between_two_ticks_puts_off_no_end),
        cmocka_unit_test(crowd_is_answered_whoever_goes_between_two_ticks),
        cmocka_unit_test(who_waits_for_more_does_not_go_on_for_a_crowd),
        cmocka_unit_test(refusals_of_a_crowd_take_several_ticks),
        cmocka_unit_test(one_too_many_is_refused_at_once),
        cmocka_unit_test(how_many_wait_is_an_option),
        cmocka_unit_test(connection_has_as_many_as_are_free),
        cmocka_unit_test(ids_cannot_be_chosen_to_meet_in_one_bucket),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
