/* Clients whose ids have the same hash, all 64 bits of it: no prefix tells them apart. */
#include <inttypes.h>

#include <herd/posix_time.h>
#include <herd/proto.h>
#include <herd/store.h>

#include "core/digest.h"
#include "core/node.h"
#include "core/store.h"

#include "check.h"
#include "driver.h"
#include "edge.h"
#include "mesh.h"

enum { FEW = 200, SOME = 1000, CROWD = 5000, ID_MAX = 240 };

#define SENT "1699990000.123456789"

/* XXH3 without a seed multiplies the first two words of 17 to 240 bytes, each mixed with a part of
 * its secret (<xxhash.h>): where the first word is that part, the product is 0 whatever the second
 * one is. */
static void write_id(char out[ID_MAX + 1], unsigned number)
{
    static const unsigned char secret[8] = {0xb8, 0xfe, 0x6c, 0x39, 0x23, 0xa4, 0x4b, 0xbe};
    memcpy(out, secret, sizeof(secret));
    snprintf(out + sizeof(secret), ID_MAX + 1 - sizeof(secret), "%08uABCDEFGHIJKLMNOP", number);
}

static uint64_t the_hash(void)
{
    char id[ID_MAX + 1];
    write_id(id, 0);
    return digest_client_hash(herd_slice_of(id));
}

static void ids_have_the_same_hash(void **state)
{
    char id[ID_MAX + 1];
    (void)state;
    for (unsigned i = 0; i < CROWD; i++) {
        write_id(id, i);
        assert_int_equal(digest_client_hash(herd_slice_of(id)), the_hash());
    }
}

static void update_at(struct mesh *mesh, size_t node, unsigned number, const char *where, int64_t s)
{
    char id[ID_MAX + 1], text[512];
    write_id(id, number);
    int len = snprintf(text, sizeof(text), "IAMAT %s %s %" PRId64 "\n", id, where, s);
    mesh_say(mesh, mesh->nodes[node], herd_slice(text, (size_t)len));
}

/* Both hold `count` of one hash and a thousand others. */
static struct mesh *mesh_of(unsigned count)
{
    struct mesh *mesh = mesh_new_row(2, 1000);
    for (unsigned i = 0; i < count; i++)
        update_at(mesh, 0, i, "+1+1", MESH_WALL_S);
    assert_true(mesh_run_to_equal(mesh, 60000) >= 0);
    mesh_run_ms(mesh, 20000);
    mesh_forget_traffic(mesh);
    return mesh;
}

static void check_mended(struct mesh *mesh, const char *what, int64_t within_ms,
                         uint64_t floods_max)
{
    char text[512];
    assert_false(mesh_is_equal(mesh));
    int64_t took_ms = mesh_run_to_equal(mesh, 3600000);
    mesh_describe(mesh, text, sizeof(text));
    print_message("%s: %" PRId64 " ms,%s\n", what, took_ms, text);
    CHECK_TRUE(("%s: mended after %" PRId64 " ms", what, took_ms),
               took_ms >= 0 && took_ms <= within_ms);
    CHECK_TRUE(("%s: longest line %zu", what, mesh->longest), mesh->longest <= HERD_LINE_MAX);
    mesh_run_ms(mesh, 30000);
    const struct mesh_traffic *tree = &mesh->traffic[HERD_VERB_TREE];
    const struct mesh_traffic *flood = &mesh->traffic[HERD_VERB_FLOOD];
    uint64_t trees = tree->lines, keys = mesh->traffic[HERD_VERB_KEYS].lines;
    CHECK_TRUE(("%s: %" PRIu64 " FLOOD", what, flood->lines), flood->lines <= floods_max);
    uint64_t floods = flood->lines;
    mesh_run_ms(mesh, 600000);
    CHECK_INT(("%s: then there is peace", what), tree->lines, trees);
    CHECK_INT(("%s: then there is peace", what), mesh->traffic[HERD_VERB_KEYS].lines, keys);
    CHECK_INT(("%s: then there is peace", what), flood->lines, floods);
}

static void check_differences(unsigned count, int64_t within_ms, uint64_t floods_max)
{
    struct mesh *mesh = mesh_of(count);
    mesh->loses_floods = true;
    update_at(mesh, 0, count, "+1+1", MESH_WALL_S);
    mesh_run_ms(mesh, 200);
    mesh->loses_floods = false;
    check_mended(mesh, "missing", within_ms, floods_max);
    mesh->loses_floods = true;
    update_at(mesh, 1, count / 2, "+1+1", MESH_WALL_S + 1);
    mesh_run_ms(mesh, 200);
    mesh->loses_floods = false;
    mesh_forget_traffic(mesh);
    check_mended(mesh, "older", within_ms, floods_max);
    mesh->loses_floods = true;
    update_at(mesh, 0, count / 3, "+1+1", MESH_WALL_S + 1);
    update_at(mesh, 1, count / 3, "+2+2", MESH_WALL_S + 1);
    mesh_run_ms(mesh, 200);
    mesh->loses_floods = false;
    mesh_forget_traffic(mesh);
    check_mended(mesh, "same time, other origin", within_ms * 4, floods_max * 4);
    mesh_free(mesh);
}

static void more_than_a_line_are_mended(void **state)
{
    (void)state;
    check_differences(FEW, 10000, 2 * FEW);
}

static void more_than_an_answer_are_mended(void **state)
{
    (void)state;
    check_differences(CROWD, 120000, 3 * CROWD);
}

static void more_than_may_be_sent_at_once_are_mended(void **state)
{
    (void)state;
    check_differences(SOME, 120000, 3 * SOME);
}

/* The longest ids that can be chosen so, and times that a line has hardly room for. */
static void long_ones_are_mended(void **state)
{
    enum { COUNT = 40, DIGITS = 3000 };
    static char digits[DIGITS + 1];
    (void)state;
    memset(digits, '7', DIGITS);
    struct mesh *mesh = mesh_new_row(2, 1000);
    for (unsigned i = 0; i <= COUNT; i++) {
        char id[ID_MAX + 1], text[HERD_LINE_MAX];
        write_id(id, i);
        memset(id + strlen(id), 'x', ID_MAX - strlen(id));
        id[ID_MAX] = '\0';
        assert_int_equal(strlen(id), ID_MAX);
        int len = snprintf(text, sizeof(text), "IAMAT %s +1+1 1700000000.%s\n", id, digits);
        mesh->loses_floods = i == COUNT;
        mesh_say(mesh, mesh->nodes[0], herd_slice(text, (size_t)len));
        mesh_run_ms(mesh, 1000);
        assert_int_equal(mesh_is_equal(mesh), i < COUNT);
    }
    mesh->loses_floods = false;
    check_mended(mesh, "long", 60000, 4 * COUNT);
    mesh_free(mesh);
}

/* Hill, which holds so many, and Jaquez's connection to it. */
static struct wire *open_crowd(unsigned count)
{
    struct wire *link = edge_new(0);
    struct wire *flood = driver_accept(link->driver);
    char id[ID_MAX + 1];
    for (unsigned i = 0; i < count; i++) {
        write_id(id, i);
        wire_sayf(flood, "FLOOD Blake %s +1+1 " SENT " 1699990001.0 Blake +0.0\n", id);
    }
    CHECK_INT(("all are there"), herd_store_count(herd_node_store(link->driver->node)), count);
    struct wire *inbound = edge_hello(link->driver, 5, 0);
    wire_take(inbound);
    return inbound;
}

static void say_tree(struct wire *inbound)
{
    struct herd_buf tree = {0};
    uint64_t sums[DIGEST_FANOUT], leaf = digest_leaf(the_hash());
    store_children(herd_node_store(inbound->driver->node), (struct digest_prefix){leaf >> 4, 3},
                   sums);
    sums[leaf & 15]++;
    assert_int_equal(herd_append_tree(&tree, leaf >> 4, 3, sums), 0);
    wire_send(inbound, herd_buf_slice(&tree));
    herd_buf_free(&tree);
}

/* Ids of a walk stand in the order of their numbers, in a circle. */
static unsigned number_in(struct herd_slice client)
{
    char digits[9] = {0};
    assert_true(client.len > 16);
    memcpy(digits, client.data + 8, 8);
    return (unsigned)strtoul(digits, NULL, 10);
}

/* Marks what a line lists: all there is between its first and its last. */
static void note_listed(struct herd_slice keys, unsigned count, bool listed[])
{
    struct herd_slice client;
    int64_t sent_ns;
    unsigned last = 0;
    for (unsigned i = 0; herd_next_key(&keys, &client, &sent_ns) > 0; i++) {
        unsigned number = number_in(client);
        if (i == 1)
            CHECK_INT(("the first one twice"), number, last);
        if (i > 1)
            CHECK_INT(("in order"), number, (last + 1) % count);
        last = number;
        listed[number] |= i > 1;
    }
}

static void walks_list_all_of_a_hash_in_turns(void **state)
{
    static bool listed[CROWD];
    (void)state;
    struct wire *inbound = open_crowd(CROWD);
    unsigned walks = 0, left = CROWD;
    for (; left > 0 && walks < 10; walks++) {
        say_tree(inbound);
        struct herd_slice got = wire_take(inbound);
        CHECK_TRUE(("%zu bytes", got.len), got.len <= WALK_KEYS_BYTES + HERD_LINE_MAX + 1);
        while (got.len > 0) {
            const char *lf = memchr(got.data, '\n', got.len);
            struct herd_slice line = herd_slice(got.data, (size_t)(lf - got.data));
            struct herd_command command;
            CHECK_TRUE(("a line of %zu bytes", line.len), line.len <= HERD_LINE_MAX);
            assert_int_equal(herd_command_parse(line, &command), 0);
            assert_int_equal(command.verb, HERD_VERB_KEYS);
            if (command.prefix_len == HERD_PREFIX_MAX && command.prefix == the_hash())
                note_listed(command.rest, CROWD, listed);
            else
                CHECK_INT(("nobody else"), command.rest.len, 0);
            got = herd_slice(lf + 1, got.len - line.len - 1);
        }
        left = 0;
        for (unsigned i = 0; i < CROWD; i++)
            left += !listed[i];
    }
    CHECK_INT(("after %u walks", walks), left, 0);
    CHECK_TRUE(("%u walks: each goes on where the last one stopped", walks),
               walks <= CROWD * 54 / WALK_KEYS_BYTES + 2);
    driver_free(inbound->driver);
}

/* `KEYS` about the whole hash with the keys of these. */
static void say_keys(struct wire *link, const unsigned *numbers, size_t count)
{
    struct herd_buf line = {0};
    assert_int_equal(herd_append_keys(&line, the_hash(), HERD_PREFIX_MAX), 0);
    for (size_t i = 0; i < count; i++) {
        char id[ID_MAX + 1];
        write_id(id, numbers[i]);
        assert_int_equal(herd_buf_printf(&line, " %s:" SENT, id), 0);
    }
    assert_int_equal(herd_buf_append_text(&line, "\n"), 0);
    wire_send(link, herd_buf_slice(&line));
    herd_buf_free(&line);
}

static void line_is_about_what_is_between_its_first_and_last(void **state)
{
    enum { COUNT = 30 };
    static const struct {
        unsigned numbers[4], from, to; /* what is missing, in a circle, but for these */
        size_t count;
    } rows[] = {
        {{10, 10, 15, 20}, 10, 20, 4},   {{25, 25, 28, 5}, 25, 5, 4}, {{7, 7}, 7, 6, 2},
        {{10, 15, 20}, 0, COUNT - 1, 3}, /* an older server's, or all there is */
        {{0}, 0, COUNT - 1, 0},
    };
    (void)state;
    struct wire *inbound = open_crowd(COUNT);
    struct wire *link = inbound->driver->wires[0];
    edge_greet(link);
    edge_resume(link, COUNT);
    wire_take(link);
    for (size_t row = 0; row < COUNT_OF(rows); row++) {
        say_keys(link, rows[row].numbers, rows[row].count);
        struct herd_slice got = wire_take(link);
        for (unsigned i = 0; i < COUNT; i++) {
            char id[ID_MAX + 1];
            unsigned from = rows[row].from, to = rows[row].to;
            bool missing = (i + COUNT - from) % COUNT <= (to + COUNT - from) % COUNT;
            for (size_t k = 0; k < rows[row].count; k++)
                missing &= rows[row].numbers[k] != i;
            write_id(id, i);
            CHECK_INT(("row %zu: %u", row, i), memmem(got.data, got.len, id, strlen(id)) != NULL,
                      missing);
        }
    }
    driver_free(inbound->driver);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_have_the_same_hash),
        cmocka_unit_test(more_than_a_line_are_mended),
        cmocka_unit_test(more_than_may_be_sent_at_once_are_mended),
        cmocka_unit_test(more_than_an_answer_are_mended),
        cmocka_unit_test(long_ones_are_mended),
        cmocka_unit_test(walks_list_all_of_a_hash_in_turns),
        cmocka_unit_test(line_is_about_what_is_between_its_first_and_last),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
