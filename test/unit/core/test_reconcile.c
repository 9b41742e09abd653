/* One side of DIGEST, TREE and KEYS, line by line. */
#include <inttypes.h>

#include <herd/posix_time.h>
#include <herd/proto.h>
#include <herd/store.h>

#include "core/digest.h"
#include "core/store.h"

#include "check.h"
#include "driver.h"
#include "edge.h"

enum { CROWD = 24 };

static uint64_t hash_of(const char *client)
{
    return digest_client_hash(herd_slice_of(client));
}

static unsigned leaf_of(const char *client)
{
    return digest_leaf(hash_of(client));
}

static void append_tree(struct herd_buf *out, const struct driver *driver, uint64_t digits,
                        unsigned len)
{
    uint64_t sums[DIGEST_FANOUT];
    store_children(herd_node_store(driver->node), (struct digest_prefix){digits, len}, sums);
    assert_int_equal(herd_append_tree(out, digits, len, sums), 0);
}

static void digest_is_told_on_connect_and_while_it_changes(void **state)
{
    (void)state;
    struct wire *link = edge_new(2);
    struct driver *driver = link->driver;
    const struct herd_store *store = herd_node_store(driver->node);
    driver->keeps_upkeep = true;
    edge_greet(link);
    edge_resume(link, 2);
    EDGE_EXPECT(link, "DIGEST 2 %016" PRIx64 "\n", herd_store_digest(store));
    for (unsigned i = 0; i < 10; i++) {
        wire_say(link, "PONG\n");
        driver_advance_ms(driver, 1900);
    }
    EDGE_EXPECT(link, "%s", "");
    edge_update(driver, "c9", 9);
    struct herd_buf flood = {0};
    edge_flood(&flood, "c9", 9); /* the digest says no more than was sent */
    assert_int_equal(herd_buf_printf(&flood, "DIGEST 3 %016" PRIx64 "\n", herd_store_digest(store)),
                     0);
    CHECK_SLICE(("at once"), wire_take(link), herd_buf_slice(&flood));
    edge_update(driver, "c9", 10);
    for (unsigned i = 0; i < 10; i++) {
        wire_say(link, "PONG\n");
        driver_advance_ms(driver, 490);
    }
    CHECK_TRUE(("not again within 5 s"), memmem(link->got.data + link->taken,
                                                link->got.len - link->taken, "DIGEST", 6) == NULL);
    wire_take(link);
    driver_advance_ms(driver, 101);
    EDGE_EXPECT(link, "DIGEST 3 %016" PRIx64 "\n", herd_store_digest(store));
    herd_buf_free(&flood);
    driver_free(driver);
}

static void listener_walks_after_two_horizons(void **state)
{
    (void)state;
    struct edge_pair pair;
    edge_pair_open(&pair, 3);
    struct herd_buf tree = {0};
    append_tree(&tree, pair.driver, 0, 0);
    wire_say(pair.inbound, "DIGEST 3 0123456789abcdef\n");
    driver_advance_ms(pair.driver, 1000);
    wire_say(pair.inbound, "DIGEST 4 1123456789abcdef\n"); /* it differs since the first */
    driver_advance_ms(pair.driver, 999);
    EDGE_EXPECT(pair.inbound, "%s", "");
    driver_advance_ms(pair.driver, 1);
    CHECK_SLICE(("its root"), wire_take(pair.inbound), herd_buf_slice(&tree));
    CHECK_INT(("counted"), herd_node_stats(pair.driver->node)->walks, 1);
    herd_buf_free(&tree);
    driver_free(pair.driver);
}

/* Lets time pass; heartbeats are answered. */
static void advance_alive(struct edge_pair *pair, int64_t ms)
{
    for (; ms > 0; ms -= 500) {
        wire_say(pair->inbound, "PONG\n");
        wire_say(pair->link, "PONG\n");
        driver_advance_ms(pair->driver, ms < 500 ? ms : 500);
    }
}

static uint64_t walks(const struct edge_pair *pair)
{
    return herd_node_stats(pair->driver->node)->walks;
}

/* What this server has changed or let go since that DIGEST, which was equal, its neighbour may not
 * have learnt: it tells no other one. Its KEYS show that it has more. */
static void keys_of_more_are_a_reason_to_walk(void **state)
{
    static const char *const others[] = {"old:1", "another:1"};
    (void)state;
    struct edge_pair pair;
    edge_pair_open(&pair, 3);
    const struct herd_store *store = herd_node_store(pair.driver->node);
    wire_sayf(pair.inbound, "DIGEST 3 %016" PRIx64 "\n", herd_store_digest(store));
    wire_say(driver_accept(pair.driver), "IAMAT old +1+1 1\n");
    advance_alive(&pair, 20000);
    for (unsigned i = 0; i < 2; i++) {
        char client[16];
        snprintf(client, sizeof(client), "%.*s", (int)strcspn(others[i], ":"), others[i]);
        CHECK_INT(("%s: not yet", client), walks(&pair), 0);
        wire_sayf(pair.link, "KEYS %04x %s\n", leaf_of(client), others[i]);
        driver_advance_ms(pair.driver, 1999);
        CHECK_INT(("%s: two horizons", client), walks(&pair), 0);
        driver_advance_ms(pair.driver, 1);
        CHECK_INT(("%s", client), walks(&pair), i);
    }
    driver_free(pair.driver);
}

/* What this server has learnt since that DIGEST it has told its neighbour, whose next one is awaited. */
static void outdated_digest_is_no_reason_to_walk(void **state)
{
    (void)state;
    struct edge_pair pair;
    edge_pair_open(&pair, 3);
    wire_say(pair.inbound, "DIGEST 3 0123456789abcdef\n");
    driver_advance_ms(pair.driver, 100);
    wire_say(driver_accept(pair.driver), "IAMAT new +1+1 1\n");
    advance_alive(&pair, 4000);
    CHECK_INT(("not yet"), walks(&pair), 0);
    wire_say(pair.inbound, "DIGEST 4 1123456789abcdef\n");
    CHECK_INT(("it differs still"), walks(&pair), 1);
    driver_free(pair.driver);
}

/* What is on its way to the neighbour may not be in its DIGEST: it crosses it. */
static void what_crosses_a_digest_is_no_reason_to_walk(void **state)
{
    enum { UNMARKED, MARKED, ACKED, WAYS };
    static const int64_t walks_after_ms[WAYS] = {6000, 6000, 2000};
    (void)state;
    for (unsigned way = 0; way < WAYS; way++) {
        struct edge_pair pair;
        edge_pair_open(&pair, 3);
        wire_say(driver_accept(pair.driver), "IAMAT new +1+1 1\n");
        if (way >= MARKED)
            driver_advance_ms(pair.driver, 100);
        struct herd_slice got = wire_take(pair.link);
        CHECK_INT(("%u", way), memmem(got.data, got.len, "MARK", 4) != NULL, way >= MARKED);
        if (way == ACKED)
            wire_sayf(pair.link, "ACK %016" PRIx64 " 4\n", herd_node_epoch(pair.driver->node));
        wire_say(pair.inbound, "DIGEST 3 0123456789abcdef\n");
        for (int64_t ms = 0; ms < walks_after_ms[way]; ms += 500) {
            CHECK_INT(("%u: not yet, after %lld ms", way, (long long)ms), walks(&pair), 0);
            advance_alive(&pair, 500);
        }
        CHECK_INT(("%u: it has told no other one", way), walks(&pair), 1);
        driver_free(pair.driver);
    }
}

/* There is always something on its way. */
static void second_digest_that_differs_is_a_reason_to_walk(void **state)
{
    (void)state;
    struct edge_pair pair;
    edge_pair_open(&pair, 3);
    struct wire *client = driver_accept(pair.driver);
    wire_say(client, "IAMAT new +1+1 1\n");
    wire_say(pair.inbound, "DIGEST 3 0123456789abcdef\n");
    advance_alive(&pair, 5000);
    CHECK_INT(("not yet"), walks(&pair), 0);
    wire_say(client, "IAMAT new +1+1 2\n");
    wire_say(pair.inbound, "DIGEST 4 1123456789abcdef\n");
    CHECK_INT(("it differs still"), walks(&pair), 1);
    driver_free(pair.driver);
}

static void neighbour_that_tells_no_other_digest_has_the_old_one(void **state)
{
    (void)state;
    struct edge_pair pair;
    edge_pair_open(&pair, 3);
    wire_say(pair.inbound, "DIGEST 3 0123456789abcdef\n");
    driver_advance_ms(pair.driver, 100);
    wire_say(driver_accept(pair.driver), "IAMAT new +1+1 1\n");
    advance_alive(&pair, 5800);
    CHECK_INT(("not yet"), walks(&pair), 0);
    advance_alive(&pair, 200);
    CHECK_INT(("5 s, and the horizon"), walks(&pair), 1);
    driver_free(pair.driver);
}

static void listener_walks_no_more_once_it_is_equal(void **state)
{
    (void)state;
    struct edge_pair pair;
    edge_pair_open(&pair, 3);
    const struct herd_store *store = herd_node_store(pair.driver->node);
    wire_say(pair.inbound, "DIGEST 3 0123456789abcdef\n");
    driver_advance_ms(pair.driver, 1900);
    wire_sayf(pair.inbound, "DIGEST 3 %016" PRIx64 "\n", herd_store_digest(store));
    driver_advance_ms(pair.driver, 1900);
    EDGE_EXPECT(pair.inbound, "%s", "");
    /* The same sum with another count is no equal store. */
    wire_sayf(pair.inbound, "DIGEST 4 %016" PRIx64 "\n", herd_store_digest(store));
    driver_advance_ms(pair.driver, 2000);
    CHECK_TRUE(("TREE"), wire_take(pair.inbound).len > 200);
    /* A connection that comes anew knows nothing yet. */
    struct wire *inbound = edge_hello(pair.driver, 5, 0);
    wire_take(inbound);
    driver_advance_ms(pair.driver, 1900);
    EDGE_EXPECT(inbound, "%s", "");
    driver_free(pair.driver);
}

static void walks_that_mend_nothing_get_rarer(void **state)
{
    (void)state;
    struct edge_pair pair;
    edge_pair_open(&pair, 3);
    static const int64_t seconds[] = {2, 4, 8, 16, 32, 60, 60, 60};
    wire_say(pair.inbound, "DIGEST 3 0123456789abcdef\n");
    for (size_t i = 0; i < COUNT_OF(seconds); i++) {
        int64_t waited_ms = 0;
        while (herd_node_stats(pair.driver->node)->walks <= i) {
            assert_true(waited_ms < 100000);
            if (waited_ms % 1000 == 0) {
                wire_say(pair.inbound, "PONG\n");
                wire_say(pair.link, "PONG\n");
            }
            driver_advance_ms(pair.driver, 100);
            waited_ms += 100;
        }
        CHECK_INT(("walk %zu", i), waited_ms, seconds[i] * 1000);
    }
    /* One that has mended something is followed soon. */
    pair.driver->now.wall_ns += 10 * HERD_NS_PER_S;
    wire_sayf(pair.inbound, "FLOOD Jaquez lost +1+1 1 %u.0 Jaquez +0.0\n", DRIVER_WALL_S);
    CHECK_INT(("mended"), herd_node_stats(pair.driver->node)->records_mended, 1);
    driver_free(pair.driver);
}

static void dialler_looks_into_what_differs(void **state)
{
    (void)state;
    struct edge_pair pair;
    edge_pair_open(&pair, 40);
    const struct herd_store *store = herd_node_store(pair.driver->node);
    struct herd_buf tree = {0}, expected = {0};
    uint64_t sums[DIGEST_FANOUT];
    store_children(store, (struct digest_prefix){0, 0}, sums);
    sums[3] ^= 1;
    sums[11] ^= 1;
    assert_int_equal(herd_append_tree(&tree, 0, 0, sums), 0);
    wire_send(pair.link, herd_buf_slice(&tree));
    struct herd_slice got = wire_take(pair.link);
    append_tree(&expected, pair.driver, 3, 1);
    CHECK_TRUE(("3"), memmem(got.data, got.len, expected.data, expected.len) != NULL);
    CHECK_INT(("two lines"), got.len, 2 * expected.len);
    tree.len = 0; /* all 16 differ: a few of them */
    for (unsigned i = 0; i < DIGEST_FANOUT; i++)
        sums[i] += 7;
    assert_int_equal(herd_append_tree(&tree, 0, 0, sums), 0);
    wire_send(pair.link, herd_buf_slice(&tree));
    CHECK_INT(("four lines"), wire_take(pair.link).len, 4 * expected.len);
    tree.len = 0; /* equal: nothing to say */
    append_tree(&tree, pair.driver, 0x5a, 2);
    wire_send(pair.link, herd_buf_slice(&tree));
    EDGE_EXPECT(pair.link, "%s", "");
    herd_buf_free(&tree);
    herd_buf_free(&expected);
    driver_free(pair.driver);
}

/* What cannot be mended stays first among what differs for ever: walks must not only see that. */
static void every_part_is_looked_into_in_the_end(void **state)
{
    (void)state;
    struct edge_pair pair;
    edge_pair_open(&pair, 0);
    bool seen[DIGEST_FANOUT] = {false};
    unsigned seen_count = 0, rounds = 0;
    for (; seen_count < DIGEST_FANOUT && rounds < 500; rounds++) {
        struct herd_buf tree = {0};
        uint64_t sums[DIGEST_FANOUT];
        memset(sums, 1, sizeof(sums));
        assert_int_equal(herd_append_tree(&tree, 0, 0, sums), 0);
        wire_send(pair.link, herd_buf_slice(&tree));
        herd_buf_free(&tree);
        struct herd_slice got = wire_take(pair.link);
        for (size_t at = 0; at < got.len; at += got.len / 4) {
            unsigned digit = (unsigned)strtoul(got.data + at + 5, NULL, 16);
            seen_count += !seen[digit];
            seen[digit] = true;
        }
    }
    CHECK_INT(("after %u rounds", rounds), seen_count, DIGEST_FANOUT);
    driver_free(pair.driver);
}

static void say_keys(struct wire *link, const char *client, const char *keys)
{
    wire_sayf(link, "KEYS %04x%s\n", leaf_of(client), keys);
}

static void keys_are_answered_with_what_is_missing(void **state)
{
    (void)state;
    struct edge_pair pair;
    edge_pair_open(&pair, 10);
    struct herd_buf flood = {0};
    edge_flood(&flood, "c7", 7);
    say_keys(pair.link, "c7", "");
    CHECK_SLICE(("missing"), wire_take(pair.link), herd_buf_slice(&flood));
    say_keys(pair.link, "c7", " c7:6.999999999");
    CHECK_SLICE(("older"), wire_take(pair.link), herd_buf_slice(&flood));
    say_keys(pair.link, "c7", " c7:7.0");
    CHECK_SLICE(("the same time"), wire_take(pair.link), herd_buf_slice(&flood));
    say_keys(pair.link, "c7", " c7:7.000000001");
    EDGE_EXPECT(pair.link, "%s", "");
    say_keys(pair.link, "c7", " nobody:1 c7:7"); /* that explains the difference */
    EDGE_EXPECT(pair.link, "%s", "");
    say_keys(pair.link, "c7", " nobody:1");
    CHECK_SLICE(("missing, and more"), wire_take(pair.link), herd_buf_slice(&flood));
    herd_buf_free(&flood);
    driver_free(pair.driver);
}

/* With max_skew the record of a later time may be the older one: the other side is sent this one,
 * and judges. */
static void later_time_is_no_newer_record_with_a_skew(void **state)
{
    (void)state;
    struct driver *driver = driver_new("Hill", 300 * HERD_NS_PER_S);
    struct herd_buf flood = {0};
    edge_update(driver, "c7", 7);
    struct wire *link = driver_add_neighbour(driver, "Jaquez");
    wire_dialled(link, NULL);
    edge_resume(link, 1);
    wire_take(link);
    edge_flood(&flood, "c7", 7);
    say_keys(link, "c7", " c7:1900000000"); /* years ahead */
    CHECK_SLICE(("by a wrong clock"), wire_take(link), herd_buf_slice(&flood));
    herd_buf_free(&flood);
    driver_free(driver);
}

static void ids_may_hold_colons(void **state)
{
    (void)state;
    struct edge_pair pair;
    edge_pair_open(&pair, 0);
    static const char *const ids[] = {":", "a:", "a:1", "::1:2", "1:2.5"};
    for (size_t i = 0; i < COUNT_OF(ids); i++) {
        char keys[64];
        edge_update(pair.driver, ids[i], 7);
        wire_take(pair.link);
        struct herd_buf flood = {0};
        edge_flood(&flood, ids[i], 7);
        snprintf(keys, sizeof(keys), " %s:8", ids[i]);
        say_keys(pair.link, ids[i], keys);
        EDGE_EXPECT(pair.link, "%s", "");
        snprintf(keys, sizeof(keys), " %s:6", ids[i]);
        say_keys(pair.link, ids[i], keys);
        CHECK_SLICE(("%s", ids[i]), wire_take(pair.link), herd_buf_slice(&flood));
        /* And as this side says them. */
        uint64_t hash = hash_of(ids[i]), sums[DIGEST_FANOUT] = {0};
        struct herd_buf tree = {0};
        store_children(herd_node_store(pair.driver->node), (struct digest_prefix){hash >> 52, 3},
                       sums);
        sums[hash >> 48 & 15]++;
        assert_int_equal(herd_append_tree(&tree, hash >> 52, 3, sums), 0);
        wire_send(pair.inbound, herd_buf_slice(&tree));
        EDGE_EXPECT(pair.inbound, "KEYS %04x %s:7\n", leaf_of(ids[i]), ids[i]);
        herd_buf_free(&flood);
        herd_buf_free(&tree);
    }
    driver_free(pair.driver);
}

/* Ids of one leaf, found by trying; with long times, so that few fit into a line. */
static void crowd_leaf(struct driver *driver, unsigned leaf, char ids[CROWD][24])
{
    static char zeros[1500];
    struct wire *flood = driver_accept(driver);
    memset(zeros, '0', sizeof(zeros));
    unsigned found = 0;
    for (unsigned i = 0; found < CROWD; i++) {
        char id[24];
        snprintf(id, sizeof(id), "x%u", i);
        if (leaf_of(id) != leaf)
            continue;
        memcpy(ids[found++], id, sizeof(id));
        wire_sayf(flood, "FLOOD Blake %s +1+1 7.%.*s 8.0 Blake +0.0\n", id, (int)sizeof(zeros),
                  zeros);
    }
    wire_close(flood, "done");
}

/* KEYS lines that together are the leaf, each of them all there is of its prefix. */
static void check_crowd(struct herd_slice got, char ids[CROWD][24])
{
    unsigned listed[CROWD] = {0}, lines = 0;
    while (got.len > 0) {
        const char *lf = memchr(got.data, '\n', got.len);
        struct herd_slice line = herd_slice(got.data, (size_t)(lf - got.data)), client;
        struct herd_command command;
        int64_t sent_ns;
        CHECK_TRUE(("line %u of %zu bytes", lines, line.len), line.len <= HERD_LINE_MAX);
        assert_int_equal(herd_command_parse(line, &command), 0);
        assert_int_equal(command.verb, HERD_VERB_KEYS);
        struct digest_prefix prefix = {command.prefix, command.prefix_len};
        bool is_listed[CROWD] = {false};
        while (herd_next_key(&command.rest, &client, &sent_ns) > 0)
            for (unsigned i = 0; i < CROWD; i++)
                is_listed[i] |= herd_slice_equal(client, herd_slice_of(ids[i]));
        for (unsigned i = 0; i < CROWD; i++) {
            CHECK_INT(("%s in line %u", ids[i], lines), is_listed[i],
                      digest_matches(hash_of(ids[i]), prefix));
            listed[i] += is_listed[i];
        }
        got = herd_slice(lf + 1, got.len - line.len - 1);
        lines++;
    }
    for (unsigned i = 0; i < CROWD; i++)
        CHECK_INT(("%s", ids[i]), listed[i], 1);
    CHECK_TRUE(("%u lines", lines), lines > CROWD / 2);
}

static void crowded_leaf_takes_several_lines(void **state)
{
    (void)state;
    static char ids[CROWD][24];
    enum { LEAF = 0xbeef };
    struct edge_pair pair;
    edge_pair_open(&pair, 0);
    crowd_leaf(pair.driver, LEAF, ids);
    wire_take(pair.link);
    struct herd_buf tree = {0};
    uint64_t sums[DIGEST_FANOUT];
    store_children(herd_node_store(pair.driver->node), (struct digest_prefix){LEAF >> 4, 3}, sums);
    sums[LEAF & 15]++;
    assert_int_equal(herd_append_tree(&tree, LEAF >> 4, 3, sums), 0);
    wire_send(pair.inbound, herd_buf_slice(&tree));
    check_crowd(wire_take(pair.inbound), ids);
    herd_buf_free(&tree);
    driver_free(pair.driver);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digest_is_told_on_connect_and_while_it_changes),
        cmocka_unit_test(listener_walks_after_two_horizons),
        cmocka_unit_test(keys_of_more_are_a_reason_to_walk),
        cmocka_unit_test(outdated_digest_is_no_reason_to_walk),
        cmocka_unit_test(what_crosses_a_digest_is_no_reason_to_walk),
        cmocka_unit_test(second_digest_that_differs_is_a_reason_to_walk),
        cmocka_unit_test(neighbour_that_tells_no_other_digest_has_the_old_one),
        cmocka_unit_test(listener_walks_no_more_once_it_is_equal),
        cmocka_unit_test(walks_that_mend_nothing_get_rarer),
        cmocka_unit_test(dialler_looks_into_what_differs),
        cmocka_unit_test(every_part_is_looked_into_in_the_end),
        cmocka_unit_test(keys_are_answered_with_what_is_missing),
        cmocka_unit_test(later_time_is_no_newer_record_with_a_skew),
        cmocka_unit_test(ids_may_hold_colons),
        cmocka_unit_test(crowded_leaf_takes_several_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
