/* What lines that no neighbour says, and strangers, come to: nothing. */
#include <herd/proto.h>
#include <herd/store.h>

#include "core/digest.h"

#include "check.h"
#include "driver.h"
#include "edge.h"

/* Lines that no server of ours says. None of them may do more than be ignored, or refused. */
static const char *const garbage[] = {
    "TREE",
    "TREE -",
    "TREE - 0 0 0",
    "TREE 00112233445566778 0000000000000000",
    "TREE xyz 0000000000000000",
    "DIGEST",
    "DIGEST 1",
    "DIGEST -1 0123456789abcdef",
    "DIGEST 99999999999999999999 0123456789abcdef",
    "DIGEST 1 0123456789ABCDEF",
    "KEYS",
    "KEYS -",
    "KEYS - c0:1",
    "KEYS abc c0:1",
    "KEYS abcd c0",
    "KEYS abcd :",
    "KEYS abcd c0: :1 c0:x",
    "KEYS 0123456789abcdef c0:1",
    "KEYS 0123456789abcdef0 c0:1",
    "KEYS ABCD c0:1",
    "WANT",
    "ACK",
    "ACK 0 0",
    "MARK 0",
    "RESUME 0 recovered",
};

static void garbage_does_no_harm(void **state)
{
    (void)state;
    struct edge_pair pair;
    edge_pair_open(&pair, 3);
    struct wire *stranger = driver_accept(pair.driver);
    uint64_t digest = herd_store_digest(herd_node_store(pair.driver->node));
    for (size_t i = 0; i < COUNT_OF(garbage); i++) {
        wire_sayf(pair.link, "%s\n", garbage[i]);
        CHECK_INT(("to the link: %s", garbage[i]), wire_take(pair.link).len, 0);
        wire_sayf(pair.inbound, "%s\n", garbage[i]);
        EDGE_EXPECT(pair.inbound, "? %s\n", garbage[i]);
        wire_sayf(stranger, "%s\n", garbage[i]);
        EDGE_EXPECT(stranger, "? %s\n", garbage[i]);
    }
    CHECK_INT(("the store"), herd_store_digest(herd_node_store(pair.driver->node)), digest);
    EDGE_STATE(pair.link, "up");
    assert_true(pair.inbound->open);
    assert_true(stranger->open);
    driver_free(pair.driver);
}

/* A TREE of as many digits as a leaf has, or more. */
static void tree_that_is_too_deep_does_no_harm(void **state)
{
    (void)state;
    struct edge_pair pair;
    edge_pair_open(&pair, 3);
    for (unsigned len = DIGEST_DEPTH; len <= HERD_PREFIX_MAX; len++) {
        struct herd_buf tree = {0};
        uint64_t sums[DIGEST_FANOUT] = {0};
        assert_int_equal(herd_append_tree(&tree, 0xabc, len, sums), 0);
        wire_send(pair.link, herd_buf_slice(&tree));
        EDGE_EXPECT(pair.link, "%s", "");
        EDGE_STATE(pair.link, "up");
        wire_send(pair.inbound, herd_buf_slice(&tree));
        CHECK_INT(("%u digits", len), wire_take(pair.inbound).len, tree.len + 2);
        herd_buf_free(&tree);
    }
    driver_free(pair.driver);
}

static void strangers_learn_nothing(void **state)
{
    (void)state;
    struct edge_pair pair;
    edge_pair_open(&pair, 3);
    struct wire *stranger = driver_accept(pair.driver);
    struct herd_buf tree = {0};
    uint64_t sums[DIGEST_FANOUT] = {0};
    assert_int_equal(herd_append_tree(&tree, 0, 0, sums), 0);
    wire_send(stranger, herd_buf_slice(&tree));
    CHECK_INT(("? TREE"), wire_take(stranger).len, tree.len + 2);
    wire_say(stranger, "DIGEST 3 0123456789abcdef\n");
    driver_advance_ms(pair.driver, 1900);
    wire_say(pair.link, "PONG\n");
    wire_say(pair.inbound, "PONG\n");
    driver_advance_ms(pair.driver, 1900);
    CHECK_INT(("no walk"), herd_node_stats(pair.driver->node)->walks, 0);
    EDGE_EXPECT(stranger, "%s", "");
    herd_buf_free(&tree);
    driver_free(pair.driver);
}

/* A listener that asks and does not read. */
static void answers_to_trees_are_bounded(void **state)
{
    (void)state;
    struct edge_pair pair;
    edge_pair_open(&pair, 100);
    struct herd_buf tree = {0};
    uint64_t sums[DIGEST_FANOUT];
    memset(sums, 1, sizeof(sums));
    assert_int_equal(herd_append_tree(&tree, 0, 0, sums), 0);
    pair.driver->reports_writes = false;
    for (unsigned i = 0; i < 2000; i++) {
        wire_send(pair.link, herd_buf_slice(&tree));
        wire_send(pair.inbound, herd_buf_slice(&tree));
    }
    CHECK_TRUE(("%zu bytes", pair.link->unwritten), pair.link->unwritten < 270000);
    CHECK_TRUE(("%zu bytes", pair.inbound->unwritten), pair.inbound->unwritten < 80000);
    assert_false(pair.inbound->reading);
    herd_buf_free(&tree);
    driver_free(pair.driver);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(garbage_does_no_harm),
        cmocka_unit_test(tree_that_is_too_deep_does_no_harm),
        cmocka_unit_test(strangers_learn_nothing),
        cmocka_unit_test(answers_to_trees_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
