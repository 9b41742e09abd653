/* Two or three nodes whose stores differ although all sequences say that they do not: found and
 * mended, and at what cost. And the cost of catching up after an outage. */
#include <inttypes.h>

#include <herd/posix_time.h>
#include <herd/store.h>

#include "check.h"
#include "core/rng.h"
#include "mesh.h"

static const enum herd_verb walk_verbs[] = {HERD_VERB_TREE, HERD_VERB_KEYS, HERD_VERB_NONE};
static const enum herd_verb link_verbs[] = {HERD_VERB_HELLO, HERD_VERB_RESUME, HERD_VERB_MARK,
                                            HERD_VERB_ACK,   HERD_VERB_DIGEST, HERD_VERB_TREE,
                                            HERD_VERB_KEYS,  HERD_VERB_WANT,   HERD_VERB_NONE};

__attribute__((format(printf, 3, 4))) static void say(struct mesh *mesh, size_t node,
                                                      const char *format, ...)
{
    char text[HERD_LINE_MAX];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    mesh_say(mesh, mesh->nodes[node], herd_slice(text, (size_t)len));
}

static void print_traffic(const struct mesh *mesh, const char *what, unsigned records)
{
    char text[512];
    mesh_describe(mesh, text, sizeof(text));
    print_message("%s, %u records:%s\n", what, records, text);
}

static void update_lost(struct mesh *mesh, unsigned client)
{
    mesh->loses_floods = true;
    say(mesh, 0, "IAMAT device-%08u +1+1 %" PRId64 "\n", client, mesh->now.wall_ns / HERD_NS_PER_S);
    mesh_run_ms(mesh, 200);
    mesh->loses_floods = false;
}

static void same_time_elsewhere(struct mesh *mesh, unsigned client)
{
    int64_t second = mesh->now.wall_ns / HERD_NS_PER_S;
    mesh->loses_floods = true;
    say(mesh, 0, "IAMAT device-%08u +1+1 %" PRId64 "\n", client, second);
    say(mesh, 1, "IAMAT device-%08u +2+2 %" PRId64 "\n", client, second);
    mesh_run_ms(mesh, 200);
    mesh->loses_floods = false;
}

/* A difference is there, and nobody knows; from here to its end. */
static void check_mended(struct mesh *mesh, const char *what, unsigned records, unsigned ways)
{
    const struct mesh_traffic *digest = &mesh->traffic[HERD_VERB_DIGEST];
    const struct mesh_traffic *tree = &mesh->traffic[HERD_VERB_TREE];
    assert_false(mesh_is_equal(mesh));
    int64_t took_ms = mesh_run_to_equal(mesh, 60000);
    CHECK_TRUE(("%s, %u records: mended", what, records), took_ms >= 0);
    int64_t mended_ns = mesh->now.mono_ns;
    print_traffic(mesh, what, records);
    print_message("    mended %" PRId64 " ms after the walk began\n",
                  (mended_ns - tree->first_ns) / HERD_NS_PER_MS);
    CHECK_TRUE(("%s: not before two horizons", what),
               tree->first_ns - digest->first_ns >= 2000 * HERD_NS_PER_MS);
    CHECK_TRUE(("%s: four round trips", what),
               mended_ns - tree->first_ns <= 4 * 2 * MESH_LATENCY_MS * HERD_NS_PER_MS);
    CHECK_TRUE(("%s: %" PRIu64 " bytes", what, mesh_bytes(mesh, walk_verbs)),
               mesh_bytes(mesh, walk_verbs) <= ways * 2048);
    CHECK_TRUE(("%s: longest line %zu", what, mesh->longest), mesh->longest <= HERD_LINE_MAX);
    mesh_run_ms(mesh, 30000); /* then there is peace */
    uint64_t walked = tree->lines;
    mesh_run_ms(mesh, 60000);
    CHECK_INT(("%s: no walk without a difference", what), tree->lines, walked);
}

static void check_one_difference(struct mesh *mesh, unsigned records)
{
    mesh_forget_traffic(mesh);
    update_lost(mesh, records + 1); /* a new client */
    check_mended(mesh, "missing", records, 1);
    CHECK_INT(("missing: one record was sent"), mesh->traffic[HERD_VERB_FLOOD].lines, 1);
    mesh_forget_traffic(mesh);
    update_lost(mesh, records / 2);
    check_mended(mesh, "older", records, 1);
    CHECK_INT(("older: one record was sent"), mesh->traffic[HERD_VERB_FLOOD].lines, 1);
    mesh_forget_traffic(mesh);
    same_time_elsewhere(mesh, records / 3);
    check_mended(mesh, "same time, other origin", records, 2);
}

/* All that was said on an edge but FLOOD lines and heartbeats, once there is peace. Of those one PING
 * and its PONG may belong to it: where a connection stood when the neighbour's HELLO came. */
static void check_bytes(struct mesh *mesh, unsigned changed)
{
    uint64_t there = mesh_link_bytes(mesh, 0, link_verbs);
    uint64_t back = mesh_link_bytes(mesh, 1, link_verbs);
    enum { HEARTBEAT = sizeof("PING\n") - 1 + sizeof("PONG\n") - 1 };
    print_message("    %u changed: %" PRIu64
                  " bytes besides FLOOD on the link that catches up, %" PRIu64 " on the other\n",
                  changed, there, back);
    CHECK_TRUE(("%u changed: %" PRIu64 " bytes", changed, there), there + HEARTBEAT <= 300);
    /* That one catches up on nothing, but its DIGEST is another one after this. */
    CHECK_TRUE(("%u changed, both: %" PRIu64 " bytes", changed, there + back),
               there + back + 2 * HEARTBEAT <= 600);
    CHECK_INT(("%u: no walk was needed", changed), mesh->traffic[HERD_VERB_TREE].lines, 0);
    CHECK_INT(("%u: no walk was needed", changed), mesh->traffic[HERD_VERB_KEYS].lines, 0);
    CHECK_INT(("%u: each was sent once", changed), mesh->traffic[HERD_VERB_FLOOD].lines, changed);
}

static void check_catch_up(struct mesh *mesh, unsigned records, unsigned changed)
{
    mesh_cut(mesh);
    for (unsigned i = 0; i < changed; i++) /* some more than once */
        for (unsigned k = 0; k <= i % 3; k++)
            say(mesh, 0, "IAMAT device-%08u +1+1 %" PRId64 ".%u\n", i * 7 % records,
                mesh->now.wall_ns / HERD_NS_PER_S, k);
    mesh_run_ms(mesh, 20000);
    mesh_heal(mesh);
    mesh_forget_traffic(mesh);
    assert_true(mesh_run_to_equal(mesh, 60000) >= 0);
    int64_t took_ms =
        (mesh->now.mono_ns - mesh->traffic[HERD_VERB_HELLO].first_ns) / HERD_NS_PER_MS;
    CHECK_INT(("changed"), mesh->traffic[HERD_VERB_FLOOD].lines, changed);
    /* HELLO, RESUME, FLOOD: a round trip before the first record leaves, half of one until it is
     * there; the other side may have dialled a little later. */
    CHECK_TRUE(("%" PRId64 " ms", took_ms), took_ms <= 3 * MESH_LATENCY_MS + 200);
    mesh_run_ms(mesh, 20000); /* MARK, ACK and the last DIGEST come later */
    print_traffic(mesh, "catch-up", records);
    print_message("    %" PRId64 " ms from the first HELLO\n", took_ms);
    check_bytes(mesh, changed);
    mesh_forget_traffic(mesh);
    mesh_run_ms(mesh, 20000);
    CHECK_INT(("that was all"), mesh_bytes(mesh, link_verbs), 0);
}

/* Both dial at once, after a restart of both, so that the first DIGEST of the one that lacks
 * something, of its old store, is on its way while that comes. */
static void catch_up_that_crosses_a_digest(void **state)
{
    static const struct {
        unsigned records, changed;
    } rows[] = {{1000, 1}, {1000, 50}, {1000, 1000}, {1000000, 1}};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct mesh *mesh = mesh_new_row(2, rows[i].records);
        for (unsigned n = 0; n < rows[i].changed; n++)
            say(mesh, 0, "IAMAT new-%08u +1+1 1\n", n);
        assert_true(mesh_run_to_equal(mesh, 1000) >= 0);
        int64_t began_ns = mesh->traffic[HERD_VERB_FLOOD].first_ns;
        CHECK_TRUE(("the DIGEST did not wait for it"),
                   mesh->traffic[HERD_VERB_DIGEST].first_ns <= began_ns);
        mesh_run_ms(mesh, 60000);
        print_traffic(mesh, "crossed", rows[i].records);
        check_bytes(mesh, rows[i].changed);
        mesh_free(mesh);
    }
}

static void check_size(unsigned records)
{
    struct mesh *mesh = mesh_new_row(2, records);
    mesh_run_ms(mesh, 15000);
    CHECK_INT(("nothing was sent"), mesh->traffic[HERD_VERB_FLOOD].lines, 0);
    CHECK_INT(("one DIGEST each way"), mesh->traffic[HERD_VERB_DIGEST].lines, 2);
    CHECK_TRUE(("a short one"), mesh->traffic[HERD_VERB_DIGEST].bytes <= 2 * 64);
    CHECK_INT(("no walk"), mesh->traffic[HERD_VERB_TREE].lines, 0);
    check_one_difference(mesh, records);
    check_catch_up(mesh, records, 1);
    check_catch_up(mesh, records, 50);
    check_catch_up(mesh, records, 1000);
    mesh_free(mesh);
}

static void a_thousand_records(void **state)
{
    (void)state;
    check_size(1000);
}

static void ten_thousand_records(void **state)
{
    (void)state;
    check_size(10000);
}

static void a_hundred_thousand_records(void **state)
{
    (void)state;
    check_size(100000);
}

static void a_million_records(void **state)
{
    (void)state;
    check_size(1000000);
}

/* Random updates on random nodes, all of whose FLOODs are lost. */
static void lose_updates(struct mesh *mesh, struct rng *rng, unsigned records, unsigned count)
{
    mesh->loses_floods = true;
    for (unsigned i = 0; i < count; i++) {
        size_t node = rng_below(rng, mesh->count);
        unsigned client = (unsigned)rng_below(rng, records + records / 10 + 100);
        int64_t second = mesh->now.wall_ns / HERD_NS_PER_S + (int64_t)rng_below(rng, 3);
        say(mesh, node, "IAMAT device-%08u +1+1 %" PRId64 "\n", client, second);
    }
    mesh_run_ms(mesh, 200);
    mesh->loses_floods = false;
}

static void check_many(size_t nodes, unsigned records, unsigned count, int64_t ahead_s)
{
    struct mesh *mesh = mesh_new_row(nodes, records);
    struct rng rng = {nodes};
    mesh_run_ms(mesh, 1000);
    mesh->now.wall_ns += ahead_s * HERD_NS_PER_S;
    lose_updates(mesh, &rng, records, count);
    mesh->now.wall_ns -= ahead_s * HERD_NS_PER_S;
    mesh_forget_traffic(mesh);
    int64_t took_ms = mesh_run_to_equal(mesh, 600000);
    uint64_t walks = 0;
    for (size_t i = 0; i < nodes; i++)
        walks += herd_node_stats(mesh->nodes[i])->walks;
    print_traffic(mesh, "many differences", records);
    print_message("    %u on %zu nodes mended in %" PRId64 " ms, %" PRIu64 " walks\n", count, nodes,
                  took_ms, walks);
    CHECK_TRUE(("%zu nodes", nodes), took_ms >= 0);
    /* A walk is 1 + 4 + 16 + 64 TREE lines and 256 KEYS at most. */
    CHECK_TRUE(("%" PRIu64 " walks", walks), mesh->traffic[HERD_VERB_TREE].lines <= walks * 85);
    CHECK_TRUE(("%" PRIu64 " walks", walks), mesh->traffic[HERD_VERB_KEYS].lines <= walks * 256);
    CHECK_TRUE(("longest line %zu", mesh->longest), mesh->longest <= HERD_LINE_MAX);
    mesh_free(mesh);
}

static void thousands_of_differences(void **state)
{
    (void)state;
    check_many(2, 100000, 5000, 0);
    check_many(3, 20000, 5000, 0);
    check_many(3, 0, 300, 0);
}

/* Walks do not get rarer for it. */
static void differences_of_a_clock_that_is_ahead(void **state)
{
    (void)state;
    check_many(2, 20000, 5000, 3600);
}

/* In a herd where updates never rest the digests always differ by what is on its way: walks get
 * rare. */
static void walks_back_off_in_a_busy_herd(void **state)
{
    (void)state;
    struct mesh *mesh = mesh_new_row(2, 1000);
    mesh_run_ms(mesh, 1000);
    mesh_forget_traffic(mesh);
    for (unsigned i = 0; i < 30000; i++) { /* five minutes */
        say(mesh, i % 2, "IAMAT device-%08u +1+1 %" PRId64 ".%03u\n", i * 7 % 1000,
            mesh->now.wall_ns / HERD_NS_PER_S, i % 1000);
        mesh_run_ms(mesh, 10);
    }
    uint64_t walks =
        herd_node_stats(mesh->nodes[0])->walks + herd_node_stats(mesh->nodes[1])->walks;
    print_traffic(mesh, "busy", 1000);
    print_message("    %" PRIu64 " walks in five minutes\n", walks);
    CHECK_TRUE(("%" PRIu64 " walks", walks), walks <= 2 * 10);
    mesh_run_ms(mesh, 1000);
    assert_true(mesh_is_equal(mesh));
    mesh_free(mesh);
}

/* While updates never rest, what is really missing is found too. */
static void busy_herd_is_mended(void **state)
{
    (void)state;
    struct mesh *mesh = mesh_new_row(2, 1000);
    mesh_run_ms(mesh, 1000);
    update_lost(mesh, 999999);
    struct herd_record record;
    unsigned i = 0;
    for (; i < 18000; i++) {
        say(mesh, i % 2, "IAMAT device-%08u +1+1 %" PRId64 ".%03u\n", i * 7 % 1000,
            mesh->now.wall_ns / HERD_NS_PER_S, i % 1000);
        mesh_run_ms(mesh, 10);
        if (herd_store_find(herd_node_store(mesh->nodes[1]), herd_slice_of("device-00999999"),
                            &record))
            break;
    }
    print_message("found after %u ms of updates\n", i * 10);
    CHECK_TRUE(("%u", i), i < 18000);
    mesh_free(mesh);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(catch_up_that_crosses_a_digest),
        cmocka_unit_test(a_thousand_records),
        cmocka_unit_test(ten_thousand_records),
        cmocka_unit_test(a_hundred_thousand_records),
        cmocka_unit_test(a_million_records),
        cmocka_unit_test(thousands_of_differences),
        cmocka_unit_test(differences_of_a_clock_that_is_ahead),
        cmocka_unit_test(walks_back_off_in_a_busy_herd),
        cmocka_unit_test(busy_herd_is_mended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
