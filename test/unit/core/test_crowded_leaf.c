/* Thousands of clients in one leaf of the digest, as anyone may choose their ids: what one line
 * about it costs, and that it is mended all the same. */
#include <inttypes.h>

#include <herd/proto.h>
#include <herd/store.h>

#include "core/digest.h"
#include "core/node.h"
#include "core/rng.h"
#include "core/store.h"

#include "check.h"
#include "driver.h"
#include "edge.h"
#include "mesh.h"
#include "records.h"

enum { LEAF = 0xbeef, CROWD = 5000, ID_LEN = 8 };

#define SENT "1699990000.123456789"

/* XXH3 of 8 bytes is a permutation of 64 bits, so ids of a leaf can be computed: its last steps
 * (rrmxmx, <xxhash.h>) backwards. */
static uint64_t before_mixing(uint64_t hash)
{
    const uint64_t factor = UINT64_C(0x9fb21c651e98df25);
    uint64_t inverse = factor; /* mod 2^64, by Newton's method */
    for (int i = 0; i < 6; i++)
        inverse *= 2 - factor * inverse;
    hash ^= hash >> 28 ^ hash >> 56;
    hash *= inverse;
    hash ^= (hash >> 35) + ID_LEN;
    hash *= inverse;
    for (int i = 0; i < 63; i++) /* 64 times, it changes nothing */
        hash ^= (hash << 49 | hash >> 15) ^ (hash << 24 | hash >> 40);
    return hash;
}

static uint64_t number_of(const char *id)
{
    uint32_t halves[2];
    memcpy(halves, id, ID_LEN);
    return (uint64_t)halves[0] << 32 | halves[1];
}

static bool is_id(const char *id)
{
    for (int i = 0; i < ID_LEN; i++) {
        unsigned char c = (unsigned char)id[i];
        if (c <= ' ' || c == 0x7f)
            return false;
    }
    return true;
}

/* The next id of the leaf. */
static void next_id(struct rng *rng, char id[ID_LEN + 1])
{
    static const char known[ID_LEN + 1] = "anything";
    uint64_t flip = before_mixing(digest_client_hash(herd_slice_of(known))) ^ number_of(known);
    do {
        uint64_t number = before_mixing((uint64_t)LEAF << 48 | rng_next(rng) >> 16) ^ flip;
        uint32_t halves[2] = {(uint32_t)(number >> 32), (uint32_t)number};
        memcpy(id, halves, ID_LEN);
    } while (!is_id(id));
    id[ID_LEN] = '\0';
    assert_int_equal(digest_leaf(digest_client_hash(herd_slice_of(id))), LEAF);
}

/* Hill with a crowd in a leaf, and Jaquez's connection to it. */
static struct wire *open_crowd(unsigned count, char ids[][ID_LEN + 1])
{
    struct wire *link = edge_new(0);
    struct wire *flood = driver_accept(link->driver);
    struct rng rng = {1};
    for (unsigned i = 0; i < count; i++) {
        next_id(&rng, ids[i]);
        wire_sayf(flood, "FLOOD Blake %s +1+1 " SENT " 1699990001.0 Blake +0.0\n", ids[i]);
    }
    CHECK_INT(("all are there"), herd_store_count(herd_node_store(link->driver->node)), count);
    struct wire *inbound = edge_hello(link->driver, 5, 0);
    wire_take(inbound);
    return inbound;
}

/* Several TREE lines in one go, each of which differs in the leaf. */
static void say_trees(struct wire *inbound, unsigned count)
{
    struct herd_buf trees = {0};
    uint64_t sums[DIGEST_FANOUT];
    store_children(herd_node_store(inbound->driver->node), (struct digest_prefix){LEAF >> 4, 3},
                   sums);
    sums[LEAF & 15]++;
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(herd_append_tree(&trees, LEAF >> 4, 3, sums), 0);
    wire_send(inbound, herd_buf_slice(&trees));
    herd_buf_free(&trees);
}

/* Marks the ids that KEYS lines list; each line has to be all there is of its prefix. */
static void note_listed(struct herd_slice got, unsigned count, char ids[][ID_LEN + 1],
                        bool listed[])
{
    struct herd_slice client;
    while (got.len > 0) {
        const char *lf = memchr(got.data, '\n', got.len);
        struct herd_slice line = herd_slice(got.data, (size_t)(lf - got.data));
        struct herd_command command;
        int64_t sent_ns;
        CHECK_TRUE(("a line of %zu bytes", line.len), line.len <= HERD_LINE_MAX);
        assert_int_equal(herd_command_parse(line, &command), 0);
        assert_int_equal(command.verb, HERD_VERB_KEYS);
        struct digest_prefix prefix = {command.prefix, command.prefix_len};
        unsigned in_line = 0, of_prefix = 0;
        while (herd_next_key(&command.rest, &client, &sent_ns) > 0)
            in_line += digest_matches(digest_client_hash(client), prefix);
        for (unsigned i = 0; i < count; i++) {
            if (!digest_matches(digest_client_hash(herd_slice_of(ids[i])), prefix))
                continue;
            of_prefix++;
            listed[i] = memmem(line.data, line.len, ids[i], ID_LEN) != NULL;
        }
        CHECK_INT(("%.*s", 12, line.data), in_line, of_prefix);
        got = herd_slice(lf + 1, got.len - line.len - 1);
    }
}

static void walks_list_a_crowded_leaf_in_turns(void **state)
{
    (void)state;
    static char ids[CROWD][ID_LEN + 1];
    static bool listed[CROWD];
    struct wire *inbound = open_crowd(CROWD, ids);
    unsigned walks = 0, left = CROWD;
    for (; left > 0 && walks < 10; walks++) {
        say_trees(inbound, 1);
        struct herd_slice got = wire_take(inbound);
        CHECK_TRUE(("%zu bytes", got.len), got.len <= WALK_KEYS_BYTES + HERD_LINE_MAX + 1);
        note_listed(got, CROWD, ids, listed);
        left = 0;
        for (unsigned i = 0; i < CROWD; i++)
            left += !listed[i];
    }
    CHECK_INT(("after %u walks", walks), left, 0);
    CHECK_INT(("each goes on where the last one stopped"), walks,
              CROWD * (ID_LEN + strlen(SENT) + 2) / WALK_KEYS_BYTES + 1);
    driver_free(inbound->driver);
}

static void crowded_leaf_is_gathered_once_for_many_lines(void **state)
{
    (void)state;
    static char ids[CROWD][ID_LEN + 1];
    struct wire *inbound = open_crowd(CROWD, ids);
    struct driver *driver = inbound->driver;
    driver->reports_writes = false;
    say_trees(inbound, 64);
    CHECK_INT(("records looked at"), driver->node->leaf.gathered, CROWD);
    size_t len = wire_take(inbound).len;
    CHECK_TRUE(("%zu bytes", len), len < 80000);
    driver_free(driver);
}

static void receive(struct wire *wire, const char *text)
{
    herd_conn_receive(wire->conn, wire->driver->now, text, strlen(text));
}

/* All in one turn of the loop. */
static void leaf_that_changes_is_gathered_anew_within_the_budget(void **state)
{
    (void)state;
    static char ids[CROWD][ID_LEN + 1];
    struct wire *inbound = open_crowd(CROWD, ids);
    struct driver *driver = inbound->driver;
    struct wire *link = driver->wires[0], *client = driver_accept(driver);
    edge_greet(link);
    edge_resume(link, CROWD);
    for (unsigned i = 0; i < 20; i++) {
        char iamat[64];
        snprintf(iamat, sizeof(iamat), "IAMAT %.*s +2+2 1699990002\n", ID_LEN, ids[i]);
        receive(client, iamat);
        receive(link, "KEYS beef0000\n");
        if (i == 1)
            CHECK_INT(("what has changed"), driver->node->leaf.gathered, 2 * CROWD);
    }
    CHECK_INT(("and no more"), driver->node->leaf.gathered,
              (WALK_GATHER_PER_TURN / CROWD + 1) * CROWD);
    driver_run(driver);
    receive(link, "KEYS beef0000\n");
    CHECK_INT(("in the next turn"), driver->node->leaf.gathered, CROWD);
    driver_run(driver);
    driver_free(driver);
}

/* What has ended is in no leaf any more: its keys point to where it was. */
static void leaf_of_which_some_have_ended_is_gathered_anew(void **state)
{
    (void)state;
    struct herd_node_options options = driver_options("Hill");
    options.record_ttl_ns = 60 * HERD_NS_PER_S;
    struct driver *driver = driver_new_with(&options);
    struct wire *link = driver_add_neighbour(driver, "Jaquez");
    wire_say(driver_accept(driver), "IAMAT a +1+1 1700000000\n");
    wire_dialled(link, NULL);
    edge_resume(link, 1);
    uint64_t leaf =
        digest_client_hash(herd_slice_of("a")) >> (4 * (HERD_PREFIX_MAX - DIGEST_DEPTH));
    for (unsigned count = 1; count < 2; count--) {
        wire_sayf(link, "KEYS %04" PRIx64 "\n", leaf);
        CHECK_INT(("keys"), driver->node->leaf.count, count);
        driver->now.wall_ns += 61 * HERD_NS_PER_S;
        driver_advance_ms(driver, 2000);
        CHECK_INT(("clients"), herd_store_count(herd_node_store(driver->node)), 0);
    }
    driver_free(driver);
}

/* The keys of all ids of a prefix. */
static void append_keys_of(struct herd_buf *out, struct digest_prefix prefix, unsigned count,
                           char ids[][ID_LEN + 1])
{
    assert_int_equal(herd_append_keys(out, prefix.digits, prefix.len), 0);
    for (unsigned i = 0; i < count; i++) {
        if (digest_matches(digest_client_hash(herd_slice_of(ids[i])), prefix))
            assert_int_equal(herd_buf_printf(out, " %s:" SENT, ids[i]), 0);
    }
    assert_int_equal(herd_buf_append_text(out, "\n"), 0);
}

/* Of a leaf that differs most lines may be equal, which cannot be seen from them. */
static void what_is_missing_has_room_behind_what_is_the_same(void **state)
{
    (void)state;
    static char ids[CROWD][ID_LEN + 1];
    enum { PARTS = 256 };
    struct wire *inbound = open_crowd(CROWD, ids);
    struct driver *driver = inbound->driver;
    struct wire *link = driver->wires[0];
    struct herd_buf lines = {0};
    edge_greet(link);
    edge_resume(link, CROWD);
    wire_take(link);
    driver->reports_writes = false;
    for (unsigned part = 0; part < PARTS - 1; part++)
        append_keys_of(&lines, (struct digest_prefix){LEAF << 8 | part, 6}, CROWD, ids);
    wire_send(link, herd_buf_slice(&lines));
    CHECK_TRUE(("%zu bytes", link->unwritten), link->unwritten > 60000);
    wire_take(link);
    struct digest_prefix last = {LEAF << 8 | (PARTS - 1), 6};
    wire_say(link, "KEYS beefff\n");
    struct herd_slice got = wire_take(link);
    unsigned missing = 0;
    for (unsigned i = 0; i < CROWD; i++) {
        if (!digest_matches(digest_client_hash(herd_slice_of(ids[i])), last))
            continue;
        missing++;
        CHECK_TRUE(("it is sent"), memmem(got.data, got.len, ids[i], ID_LEN) != NULL);
    }
    CHECK_TRUE(("%u were missing", missing), missing > 5);
    herd_buf_free(&lines);
    driver_free(driver);
}

/* As a neighbour may say by mistake: each adds up all leaves. The next turn goes on. */
static void whole_trees_are_answered_within_a_budget(void **state)
{
    (void)state;
    enum { SAID = 1000 };
    static char ids[CROWD][ID_LEN + 1];
    struct wire *inbound = open_crowd(CROWD, ids);
    struct driver *driver = inbound->driver;
    struct herd_buf trees = {0};
    uint64_t sums[DIGEST_FANOUT];
    store_children(herd_node_store(driver->node), (struct digest_prefix){0, 0}, sums);
    sums[LEAF >> 12]++;
    for (unsigned i = 0; i < SAID; i++)
        assert_int_equal(herd_append_tree(&trees, 0, 0, sums), 0);
    for (unsigned turn = 0; turn < 2; turn++) {
        wire_send(inbound, herd_buf_slice(&trees));
        struct herd_slice got = wire_take(inbound);
        unsigned answers = 0;
        for (size_t i = 0; i < got.len; i++)
            answers += got.data[i] == '\n';
        CHECK_INT(("turn %u", turn), answers, WALK_SUMS_PER_TURN / DIGEST_LEAVES);
    }
    herd_buf_free(&trees);
    driver_free(driver);
}

static void leaf_beyond_the_limit_is_left_alone(void **state)
{
    (void)state;
    static char ids[WALK_LEAF_MAX + 1][ID_LEN + 1];
    struct wire *inbound = open_crowd(WALK_LEAF_MAX + 1, ids);
    struct driver *driver = inbound->driver;
    say_trees(inbound, 64);
    EDGE_EXPECT(inbound, "%s", "");
    CHECK_TRUE(("%zu records looked at", driver->node->leaf.gathered),
               driver->node->leaf.gathered <= WALK_LEAF_MAX + 1);
    const struct herd_node_stats *stats = herd_node_stats(driver->node);
    CHECK_INT(("and told"), stats->leaves_beyond, 1);
    CHECK_INT(("among the limits"), stats->limits_reached, 1);
    assert_true(inbound->open);
    driver_free(driver);
}

/* Hill and Jaquez hold the same marks of each other; Jaquez lacks part of the crowd. */
static struct mesh *mesh_with_a_gap(unsigned kept_of_ten)
{
    struct mesh *mesh = mesh_new();
    static const char *const names[] = {"Hill", "Jaquez"};
    for (size_t k = 0; k < 2; k++)
        mesh_add(mesh,
                 &(struct herd_node_options){
                     .name = names[k], .seed = k + 1, .output_max = 262144, .pipeline_max = 64});
    mesh_join(mesh, mesh->nodes[0], mesh->nodes[1]);
    for (size_t k = 0; k < 2; k++) {
        struct herd_node *node = mesh->nodes[k];
        struct rng rng = {1};
        herd_node_restore_epoch(node, k + 1);
        herd_node_restore_life(node, &(struct herd_life){0, 0}); /* that began empty */
        for (unsigned i = 0; i < CROWD; i++) {
            char id[ID_LEN + 1], text[160];
            next_id(&rng, id);
            int len = snprintf(text, sizeof(text), "%s +1+1 " SENT " 1699990001.0 Hill +0.1", id);
            if (k == 0 || i % 10 < kept_of_ten)
                assert_int_equal(
                    herd_node_restore_record(node, mesh->now, i + 1, herd_slice(text, (size_t)len)),
                    0);
        }
        herd_node_restore_neighbour(node, herd_slice_of(names[1 - k]),
                                    &(struct herd_mark){.epoch = 2 - k, .sequence = CROWD});
        herd_node_restore_end(node, CROWD);
    }
    assert_false(mesh_is_equal(mesh));
    return mesh;
}

static void crowded_leaf_is_mended_in_several_walks(void **state)
{
    (void)state;
    static const unsigned kept_of_ten[] = {0, 5, 9};
    for (size_t i = 0; i < COUNT_OF(kept_of_ten); i++) {
        struct mesh *mesh = mesh_with_a_gap(kept_of_ten[i]);
        int64_t took_ms = mesh_run_to_equal(mesh, 60000);
        char text[512];
        mesh_describe(mesh, text, sizeof(text));
        print_message("%u of 10 kept: %" PRId64 " ms,%s\n", kept_of_ten[i], took_ms, text);
        CHECK_TRUE(("%u of 10 kept", kept_of_ten[i]), took_ms >= 0);
        mesh_free(mesh);
    }
}

/* Each that goes is looked for among those that came later: that is counted, so no call takes
 * long. */
static void a_crowd_that_ends_takes_many_calls(void **state)
{
    (void)state;
    enum { COUNT = 4000, STEPS_MAX = 10000 };
    static struct text_record record;
    struct herd_store *store;
    struct rng rng = {1};
    unsigned calls = 0;
    char id[ID_LEN + 1], line[128];
    assert_int_equal(herd_store_new(1, 0, &store), 0);
    assert_int_equal(herd_store_set_ttl(store, 2 * COUNT * HERD_NS_PER_S), 0);
    assert_true(herd_store_expire(store, COUNT * HERD_NS_PER_S));
    for (int i = 0; i < COUNT; i++) { /* those that end are behind those that stay, in the leaf */
        next_id(&rng, id);
        snprintf(line, sizeof(line), "%s +1+1 1 %d.000000000 Hill +0.0", id,
                 i < COUNT / 2 ? i + 1 : 9 * COUNT);
        record_of(line, &record);
        assert_int_equal(herd_store_apply(store, &record.record, 0, 0), 1);
    }
    for (bool all = false; !all; calls++) {
        int64_t before = (int64_t)herd_store_count(store);
        all = herd_store_expire(store, 4 * COUNT * HERD_NS_PER_S);
        int64_t after = (int64_t)herd_store_count(store);
        /* Each passes those that stay; the last of a call may go beyond its budget. */
        CHECK_TRUE(("%lld to %lld", (long long)before, (long long)after),
                   (before - after) * (COUNT / 2) <= STEPS_MAX + COUNT / 2);
    }
    assert_int_equal(herd_store_count(store), COUNT / 2);
    assert_in_range(calls, COUNT / 2 * (COUNT / 2) / (STEPS_MAX + COUNT / 2), COUNT);
    herd_store_free(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(walks_list_a_crowded_leaf_in_turns),
        cmocka_unit_test(crowded_leaf_is_gathered_once_for_many_lines),
        cmocka_unit_test(leaf_that_changes_is_gathered_anew_within_the_budget),
        cmocka_unit_test(leaf_of_which_some_have_ended_is_gathered_anew),
        cmocka_unit_test(what_is_missing_has_room_behind_what_is_the_same),
        cmocka_unit_test(whole_trees_are_answered_within_a_budget),
        cmocka_unit_test(leaf_beyond_the_limit_is_left_alone),
        cmocka_unit_test(crowded_leaf_is_mended_in_several_walks),
        cmocka_unit_test(a_crowd_that_ends_takes_many_calls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
