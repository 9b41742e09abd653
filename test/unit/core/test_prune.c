/* The listener's part of pruning: PRUNE, GRAFT, LOST, and the answers to HAVE. */
#include <herd/proto.h>
#include <herd/store.h>

#include "core/node.h"
#include "trio.h"

static void hello_says_that_it_prunes(void **state)
{
    (void)state;
    for (int on = 0; on < 2; on++) {
        struct herd_node_options options = driver_options("Hill");
        options.prune = on;
        struct driver *driver = driver_new_with(&options);
        struct wire *link = driver_add_neighbour(driver, "Jaquez");
        wire_dialled(link, NULL);
        EDGE_EXPECT(link, "HELLO Hill 2 %016" PRIx64 " 0 -%s ttl=0\n",
                    herd_node_epoch(driver->node), on ? " prune" : "");
        driver_free(driver);
    }
}

static void second_copy_is_answered_with_prune(void **state)
{
    (void)state;
    struct trio trio;
    trio_open(&trio);
    trio_grow_tree(&trio);
    trio_flood(&trio, SMITH, "a", 1, "Far"); /* it was on its way */
    EDGE_EXPECT(trio.inbound[SMITH], "%s", "");
    trio_flood(&trio, JAQUEZ, "b", 1, "Other"); /* each origin has a tree of its own */
    trio_flood(&trio, SMITH, "b", 1, "Other");
    EDGE_EXPECT(trio.inbound[SMITH], "%s", "PRUNE Other\n");
    CHECK_INT(("counted"), herd_node_stats(trio.driver->node)->prunes_sent, 3);
    driver_free(trio.driver);
}

static void who_does_not_prune_is_not_told_to(void **state)
{
    (void)state;
    for (int off = 0; off < 2; off++) {
        struct trio trio;
        trio_open_with(&trio, off == 0, off == 0 ? " other words" : " prune");
        for (int i = 0; i < NEAR; i++) {
            trio_flood(&trio, i, "a", 1, "Far");
            EDGE_EXPECT(trio.inbound[i], "%s", "");
        }
        driver_free(trio.driver);
    }
}

/* A way is only given up for another one that stands. */
static void prune_needs_another_way(void **state)
{
    (void)state;
    struct trio trio;
    trio_open(&trio);
    trio_flood(&trio, JAQUEZ, "a", 1, "Far");
    trio_flood(&trio, JAQUEZ, "a", 1, "Far"); /* from the same one again */
    EDGE_EXPECT(trio.inbound[JAQUEZ], "%s", "");
    trio_flood(&trio, JAQUEZ, "a", 2, "Far");
    trio_flood(&trio, SMITH, "a", 1, "Far"); /* older: no copy of what is held */
    EDGE_EXPECT(trio.inbound[SMITH], "%s", "");
    trio_flood(&trio, SMITH, "s", 1, "Smith"); /* who made it sends it to all */
    trio_flood(&trio, JAQUEZ, "t", 1, "Smith");
    trio_flood(&trio, SMITH, "t", 1, "Smith");
    EDGE_EXPECT(trio.inbound[SMITH], "%s", "");
    struct wire *stranger = driver_accept(trio.driver);
    wire_say(stranger, "FLOOD Blake b +1+1 1 2.0 Far +0.0\n");
    wire_sayf(trio.inbound[SMITH], "FLOOD Smith b +1+1 1 2.0 Far +0.0\n"); /* no neighbour's */
    EDGE_EXPECT(trio.inbound[SMITH], "%s", "");
    wire_close(trio.inbound[JAQUEZ], "reset");
    wire_take(trio.inbound[SMITH]);
    trio_flood(&trio, SMITH, "a", 2, "Far"); /* it is gone that brought it */
    EDGE_EXPECT(trio.inbound[SMITH], "%s", "");
    driver_free(trio.driver);
}

static void both_of_two_ways_are_never_pruned(void **state)
{
    (void)state;
    struct trio trio;
    trio_open(&trio);
    trio_grow_tree(&trio);
    trio_flood(&trio, SMITH, "b", 1, "Far"); /* news, over a link that was pruned */
    EDGE_EXPECT(trio.inbound[SMITH], "%s", "GRAFT Far\n");
    trio_flood(&trio, JAQUEZ, "b", 1, "Far");
    EDGE_EXPECT(trio.inbound[JAQUEZ], "%s", "PRUNE Far\n");
    trio_flood(&trio, CAMPBELL, "c", 1, "Far");
    EDGE_EXPECT(trio.inbound[CAMPBELL], "%s", "GRAFT Far\n");
    trio_flood(&trio, JAQUEZ, "c", 1, "Far");
    EDGE_EXPECT(trio.inbound[JAQUEZ], "%s", ""); /* it was told already */
    CHECK_INT(("counted"), herd_node_stats(trio.driver->node)->grafts_sent, 2);
    driver_free(trio.driver);
}

/* Who brought a record may have been pruned since: then its copy says nothing of the other way. */
static void copy_of_what_a_pruned_one_brought_proves_nothing(void **state)
{
    (void)state;
    struct trio trio;
    trio_open(&trio);
    trio_flood(&trio, SMITH, "a", 1, "Far");
    trio_flood(&trio, JAQUEZ, "b", 1, "Far");
    trio_flood(&trio, SMITH, "b", 1, "Far");
    EDGE_EXPECT(trio.inbound[SMITH], "%s", "PRUNE Far\n");
    trio_flood(&trio, JAQUEZ, "a", 1, "Far");
    EDGE_EXPECT(trio.inbound[JAQUEZ], "%s", "");
    driver_free(trio.driver);
}

static void own_words_that_come_back_are_pruned(void **state)
{
    (void)state;
    struct trio trio;
    trio_open(&trio);
    edge_update(trio.driver, "own", 5);
    wire_say(trio.inbound[SMITH], "FLOOD Smith own +1+1 5 1700000000.000000000 Hill "
                                  "+1699999995.000000000\n");
    EDGE_EXPECT(trio.inbound[SMITH], "%s", "PRUNE Hill\n");
    driver_free(trio.driver);
}

static void parent_that_is_lost_is_replaced(void **state)
{
    (void)state;
    struct trio trio;
    trio_open(&trio);
    trio_grow_tree(&trio);
    trio_flood(&trio, SMITH, "b", 1, "Other");
    wire_take(trio.inbound[SMITH]);
    for (int i = 0; i < NEAR; i++)
        wire_take(trio.links[i]);
    wire_close(trio.inbound[JAQUEZ], "reset");
    for (int i = SMITH; i < NEAR; i++) {
        EDGE_EXPECT(trio.inbound[i], "%s", "GRAFT Far\n");
        EDGE_EXPECT(trio.links[i], "%s", "LOST Far\n");
    }
    EDGE_EXPECT(trio.links[JAQUEZ], "%s", "");
    driver_free(trio.driver);
}

static void connection_that_is_replaced_is_lost(void **state)
{
    (void)state;
    struct trio trio;
    trio_open(&trio);
    trio_grow_tree(&trio);
    trio.inbound[JAQUEZ] = trio_greet(&trio, JAQUEZ, " prune");
    EDGE_EXPECT(trio.inbound[SMITH], "%s", "GRAFT Far\n");
    EDGE_EXPECT(trio.links[CAMPBELL], "%s", "LOST Far\n");
    trio.inbound[SMITH] = trio_greet(&trio, SMITH, " prune"); /* it was no parent */
    EDGE_EXPECT(trio.links[CAMPBELL], "%s", "");
    driver_free(trio.driver);
}

static void lost_goes_down_the_tree_once(void **state)
{
    (void)state;
    struct trio trio;
    trio_open(&trio);
    trio_grow_tree(&trio);
    wire_say(trio.inbound[SMITH], "LOST Far\n"); /* not the parent */
    wire_say(trio.inbound[JAQUEZ], "LOST Unknown Hill\n");
    EDGE_EXPECT(trio.inbound[CAMPBELL], "%s", "");
    EDGE_EXPECT(trio.links[CAMPBELL], "%s", "");
    wire_say(trio.inbound[JAQUEZ], "LOST Unknown Far\n");
    EDGE_EXPECT(trio.inbound[SMITH], "%s", "GRAFT Far\n");
    EDGE_EXPECT(trio.inbound[CAMPBELL], "%s", "GRAFT Far\n");
    EDGE_EXPECT(trio.links[SMITH], "%s", "LOST Far\n");
    EDGE_EXPECT(trio.links[CAMPBELL], "%s", "LOST Far\n");
    EDGE_EXPECT(trio.links[JAQUEZ], "%s", "");
    wire_say(trio.inbound[JAQUEZ], "LOST Far\n"); /* it is no parent any more */
    EDGE_EXPECT(trio.links[SMITH], "%s", "");
    driver_free(trio.driver);
}

/* `<hash>:<client>:<time>` of a record of the origin Far. */
static const char *have_word(const char *client, unsigned second, char room[256])
{
    char text[200];
    snprintf(text, sizeof(text), "%s +1+1 %u 1700000000.000000000 Far +1.000000000", client,
             second);
    snprintf(room, 256, "%08x:%s:%u.000000000", (unsigned)have_hash(herd_slice_of(text)), client,
             second);
    return room;
}

static void have_is_answered_with_held_or_want(void **state)
{
    static const struct {
        const char *client;
        unsigned second;
        const char *other; /* word in place of the client's own; NULL: none */
        const char *answer;
    } rows[] = {
        {"a", 5, NULL, "HELD 3 9\n"},
        {"a", 4, NULL, "HELD 3 9\n"},         /* a newer one is held */
        {"a", 6, NULL, "WANT a\n"},           /* an older one */
        {"b", 1, NULL, "WANT b\n"},           /* none */
        {"a", 5, "00000000:a:5", "WANT a\n"}, /* another one of the same time */
        {"a", 5, "", "HELD 3 9\n"},           /* nothing is named */
        {"a", 5, "00000000:x:1 00000000:y:1", "WANT x y\n"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct trio trio;
        char word[256];
        trio_open(&trio);
        trio_flood(&trio, JAQUEZ, "a", 5, "Far");
        wire_sayf(trio.inbound[SMITH], "HAVE 3 9 %s\n",
                  rows[i].other != NULL ? rows[i].other
                                        : have_word(rows[i].client, rows[i].second, word));
        CHECK_TEXT(("row %zu", i), wire_take(trio.inbound[SMITH]), rows[i].answer);
        driver_free(trio.driver);
    }
}

static void have_that_is_none_is_invalid(void **state)
{
    static const char *const rows[] = {"HAVE",       "HAVE 1",       "HAVE 2 1",
                                       "HAVE 1 2 x", "HAVE 1 2 a:1", "HAVE 1 2 00000000:a:x",
                                       "LOST",       "HAVE x 2"};
    (void)state;
    struct trio trio;
    trio_open(&trio);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        wire_sayf(trio.inbound[SMITH], "%s\n", rows[i]);
        EDGE_EXPECT(trio.inbound[SMITH], "? %s\n", rows[i]);
    }
    driver_free(trio.driver);
}

/* Where no HELLO was said, they mean nothing and have no answer. */
static void strangers_are_not_answered(void **state)
{
    (void)state;
    struct trio trio;
    trio_open(&trio);
    struct wire *stranger = driver_accept(trio.driver);
    wire_say(stranger, "HAVE 1 2 00000000:a:1\nLOST Far\n");
    EDGE_EXPECT(stranger, "%s", "");
    wire_say(stranger, "PRUNE Far\nGRAFT Far\nHELD 1 2\n"); /* only said on a link */
    EDGE_EXPECT(stranger, "%s", "? PRUNE Far\n? GRAFT Far\n? HELD 1 2\n");
    driver_free(trio.driver);
}

static void switch_prune(struct trio *trio, bool prune)
{
    struct herd_node_options options = driver_options("Hill");
    options.prune = prune;
    herd_node_configure(trio->driver->node, &options);
    driver_run(trio->driver);
}

static void switched_off_all_links_flood_again(void **state)
{
    (void)state;
    struct trio trio;
    trio_open(&trio);
    trio_grow_tree(&trio);
    switch_prune(&trio, true);
    EDGE_EXPECT(trio.inbound[SMITH], "%s", "");
    switch_prune(&trio, false);
    EDGE_EXPECT(trio.inbound[SMITH], "%s", "GRAFT Far\n");
    EDGE_EXPECT(trio.inbound[CAMPBELL], "%s", "GRAFT Far\n");
    EDGE_EXPECT(trio.inbound[JAQUEZ], "%s", "");
    trio_flood(&trio, JAQUEZ, "a", 2, "Far");
    trio_flood(&trio, SMITH, "a", 2, "Far");
    EDGE_EXPECT(trio.inbound[SMITH], "%s", "");
    switch_prune(&trio, true); /* the neighbours have not gone */
    trio_flood(&trio, CAMPBELL, "a", 2, "Far");
    EDGE_EXPECT(trio.inbound[CAMPBELL], "%s", "PRUNE Far\n");
    driver_free(trio.driver);
}

static void origins_beyond_the_limit_are_flooded(void **state)
{
    (void)state;
    struct trio trio;
    char origin[16];
    trio_open(&trio);
    for (unsigned i = 0; i < PRUNE_ORIGINS_MAX + 1; i++) {
        snprintf(origin, sizeof(origin), "S%u", i);
        trio_flood(&trio, JAQUEZ, "a", i + 1, origin);
        trio_flood(&trio, SMITH, "a", i + 1, origin);
        if (i < PRUNE_ORIGINS_MAX)
            EDGE_EXPECT(trio.inbound[SMITH], "PRUNE S%u\n", i);
        else
            EDGE_EXPECT(trio.inbound[SMITH], "%s", "");
    }
    const struct herd_node_stats *stats = herd_node_stats(trio.driver->node);
    CHECK_INT(("both lines of the last one"), stats->origins_beyond, 2);
    CHECK_INT(("told of"), stats->limits_reached, 2);
    for (int i = 0; i < NEAR; i++)
        wire_take(trio.links[i]);
    wire_close(trio.inbound[JAQUEZ], "reset"); /* all of them, in lines that are short enough */
    struct herd_slice got = wire_take(trio.inbound[SMITH]);
    size_t origins = 0, longest = 0;
    while (got.len > 0) {
        const char *end = memchr(got.data, '\n', got.len);
        struct herd_slice word, line = herd_slice(got.data, (size_t)(end - got.data));
        longest = line.len > longest ? line.len : longest;
        got = herd_slice(end + 1, got.len - line.len - 1);
        assert_true(herd_next_word(&line, &word));
        CHECK_TEXT(("verb"), word, "GRAFT");
        while (herd_next_word(&line, &word))
            origins++;
    }
    CHECK_INT(("origins"), origins, PRUNE_ORIGINS_MAX);
    CHECK_TRUE(("%zu bytes", longest), longest <= HERD_LINE_MAX && longest > HERD_LINE_MAX - 16);
    driver_free(trio.driver);
}

/* As many as there are places for, and twice that. */
enum { MADE_UP = 2 * PRUNE_ORIGINS_MAX };

static void prune_made_up_origins(struct trio *trio)
{
    for (unsigned i = 0; i < MADE_UP; i++)
        wire_sayf(trio->links[CAMPBELL], "PRUNE x%u\n", i);
}

static void flood_made_up_origins(struct trio *trio, const char *kind)
{
    for (unsigned i = 0; i < MADE_UP; i++) {
        char origin[16];
        snprintf(origin, sizeof(origin), "%s%u", kind, i);
        trio_flood(trio, CAMPBELL, origin, 1, origin);
    }
}

/* Whether a real origin, new to this server, has a tree after that: its second copy is pruned, and
 * its records are held back from who has pruned it. */
static void expect_tree(struct trio *trio, const char *origin)
{
    for (int i = 0; i < NEAR; i++)
        wire_take(trio->links[i]);
    wire_take(trio->inbound[SMITH]);
    trio_flood(trio, JAQUEZ, origin, 1, origin);
    trio_flood(trio, SMITH, origin, 1, origin);
    EDGE_EXPECT(trio->inbound[SMITH], "PRUNE %s\n", origin);
    wire_sayf(trio->links[CAMPBELL], "PRUNE %s\n", origin);
    wire_take(trio->links[CAMPBELL]);
    trio_flood(trio, JAQUEZ, origin, 2, origin);
    EDGE_EXPECT(trio->links[CAMPBELL], "%s", "");
}

static void made_up_words_of_prune_take_no_places(void **state)
{
    (void)state;
    struct trio trio;
    trio_open(&trio);
    prune_made_up_origins(&trio);
    expect_tree(&trio, "Far");
    prune_made_up_origins(&trio); /* while something is held back */
    expect_tree(&trio, "Farther");
    const struct herd_node_stats *stats = herd_node_stats(trio.driver->node);
    CHECK_TRUE(("told of"), stats->origins_beyond > 0);
    CHECK_TRUE(("%u", trio.driver->node->prune.count),
               trio.driver->node->prune.count <= PRUNE_UNHEARD_MAX + 2);
    driver_free(trio.driver);
}

/* None of them is pruned anywhere; and all are found again that are still known. */
static void made_up_origins_give_way(void **state)
{
    (void)state;
    struct trio trio;
    trio_open(&trio);
    trio_grow_tree(&trio);
    flood_made_up_origins(&trio, "x");
    expect_tree(&trio, "New");
    flood_made_up_origins(&trio, "y");
    expect_tree(&trio, "Newer");
    trio_flood(&trio, SMITH, "b", 1, "Far"); /* it was pruned, and is not forgotten */
    EDGE_EXPECT(trio.inbound[SMITH], "%s", "GRAFT Far\n");
    const struct prune *prune = &trio.driver->node->prune;
    CHECK_INT(("all"), prune->count, PRUNE_ORIGINS_MAX);
    for (uint32_t i = 0; i < prune->count; i++) {
        const struct origin *origin = &prune->origins[i];
        struct herd_slice name = herd_slice(origin->name, origin->len);
        CHECK_INT(("%s", origin->name), prune_origin(&trio.driver->node->prune, name, false), i);
    }
    driver_free(trio.driver);
}

static bool is_known(const struct trio *trio, const char *origin)
{
    struct herd_slice name = herd_slice_of(origin);
    return prune_origin(&trio->driver->node->prune, name, false) != PRUNE_NOTHING;
}

/* One that was heard of since it was looked at last is passed over once; so many are looked at. */
static void origins_that_are_heard_of_stay(void **state)
{
    (void)state;
    struct trio trio;
    char origin[16];
    trio_open(&trio);
    for (unsigned i = 0; i < PRUNE_ORIGINS_MAX; i++) {
        snprintf(origin, sizeof(origin), "x%u", i);
        trio_flood(&trio, CAMPBELL, origin, 1, origin);
    }
    const struct herd_node_stats *stats = herd_node_stats(trio.driver->node);
    unsigned looks = PRUNE_ORIGINS_MAX / PRUNE_LOOK_MAX;
    for (unsigned i = 1; i <= looks; i++) {
        trio_flood(&trio, CAMPBELL, "new", i, "New");
        CHECK_INT(("look %u", i), stats->origins_beyond, i);
    }
    trio_flood(&trio, CAMPBELL, "x0", 2, "x0");
    trio_flood(&trio, CAMPBELL, "new", looks + 1, "New");
    CHECK_INT(("all are known or have given way"), stats->origins_beyond, looks);
    assert_true(is_known(&trio, "New") && is_known(&trio, "x0") && is_known(&trio, "x2"));
    assert_false(is_known(&trio, "x1"));
    driver_free(trio.driver);
}

/* MARK and HAVE need its number, or would claim what nobody has. */
static void origin_that_is_held_back_does_not_give_way(void **state)
{
    (void)state;
    struct trio trio;
    trio_open(&trio);
    wire_say(trio.links[SMITH], "PRUNE Far\n");
    trio_flood(&trio, JAQUEZ, "a", 1, "Far");
    EDGE_EXPECT(trio.links[SMITH], "%s", "");
    flood_made_up_origins(&trio, "x");
    flood_made_up_origins(&trio, "y");
    wire_take(trio.links[SMITH]);
    driver_advance_ms(trio.driver, HAVE_MS);
    struct herd_slice got = wire_take(trio.links[SMITH]);
    CHECK_TRUE(("%.*s", (int)got.len, got.data), memmem(got.data, got.len, ":a:1.", 5) != NULL);
    driver_free(trio.driver);
}

/* Whoever takes its number has been pruned by nobody. */
static void origin_that_gives_way_leaves_nothing_behind(void **state)
{
    (void)state;
    struct trio trio;
    char origin[16];
    trio_open(&trio);
    wire_say(trio.links[SMITH], "PRUNE Far\n");
    for (unsigned i = 1; i < PRUNE_ORIGINS_MAX; i++) {
        snprintf(origin, sizeof(origin), "x%u", i);
        trio_flood(&trio, CAMPBELL, origin, 1, origin);
    }
    trio_flood(&trio, CAMPBELL, "new", 1, "New"); /* Far was never heard of */
    assert_true(is_known(&trio, "New") && !is_known(&trio, "Far"));
    CHECK_INT(("pruned"),
              node_neighbour(trio.driver->node, herd_slice_of("Smith"))->link.held.pruned_count, 0);
    wire_take(trio.links[SMITH]);
    trio_flood(&trio, CAMPBELL, "new", 2, "New");
    EDGE_EXPECT(trio.links[SMITH], "%s",
                "FLOOD Hill new +1+1 2 1700000000.000000000 New +1.000000000\n");
    driver_free(trio.driver);
}

/* Names of such lengths that the last one would make the line one byte too long; or not. */
static void lines_of_origins_are_as_long_as_lines_may_be(void **state)
{
    enum { VERB_BYTES = 5, WHOLE = (HERD_LINE_MAX - VERB_BYTES) / (HERD_NAME_MAX + 1) };
    (void)state;
    for (int too_long = 0; too_long < 2; too_long++) {
        struct prune prune = {0};
        struct origin_set all = {{0}};
        struct herd_buf out = {0};
        for (unsigned i = 0; i <= WHOLE; i++) {
            char name[HERD_NAME_MAX];
            int rest = HERD_LINE_MAX - VERB_BYTES - (int)WHOLE * (HERD_NAME_MAX + 1) - 1;
            int len = i < WHOLE ? HERD_NAME_MAX : rest + too_long;
            memset(name, 'x', (size_t)len);
            name[0] = (char)('0' + i / 10);
            name[1] = (char)('0' + i % 10);
            struct herd_slice origin = herd_slice(name, (size_t)len);
            origin_set_add(&all, prune_origin(&prune, origin, true));
        }
        assert_int_equal(prune_append(&out, &prune, HERD_VERB_GRAFT, &all), 0);
        const char *end = memchr(out.data, '\n', out.len);
        size_t lines = 1 + (end < out.data + out.len - 1);
        CHECK_INT(("too long: %d", too_long), lines, 1 + too_long);
        herd_buf_free(&out);
        prune_close(&prune);
    }
}

/* More than a window of records, of which the neighbour reads nothing. */
static void fill_window(struct trio *trio)
{
    enum { CLIENT_BYTES = 250 };
    for (unsigned i = 0; i * CLIENT_BYTES < 2 * LINK_WINDOW_BYTES; i++) {
        char client[CLIENT_BYTES + 1];
        snprintf(client, sizeof(client), "%0*u", CLIENT_BYTES, i);
        trio_flood(trio, CAMPBELL, client, 1, "Other");
    }
}

static bool has_come(struct wire *link, const char *line)
{
    struct herd_slice got = wire_take(link);
    return memmem(got.data, got.len, line, strlen(line)) != NULL;
}

/* What was grafted, and has no room yet, is sent by its number, too. */
static void grafted_origin_does_not_give_way_before_it_is_sent(void **state)
{
    (void)state;
    struct trio trio;
    trio_open(&trio);
    wire_say(trio.links[SMITH], "PRUNE Far\n");
    trio_flood(&trio, JAQUEZ, "a", 1, "Far");
    fill_window(&trio);
    wire_say(trio.links[SMITH], "GRAFT Far\n");
    CHECK_TRUE(("no room"), !has_come(trio.links[SMITH], "FLOOD Hill a "));
    flood_made_up_origins(&trio, "x");
    flood_made_up_origins(&trio, "y");
    bool is_sent = false;
    for (int i = 0; i < 20; i++) {
        wire_say(trio.links[SMITH], "PONG\n");
        is_sent |= has_come(trio.links[SMITH], "FLOOD Hill a ");
    }
    assert_true(is_sent);
    driver_free(trio.driver);
}

/* However often the way is lost: what a neighbour does not read is bounded. */
static void lost_is_said_where_there_is_room(void **state)
{
    (void)state;
    struct trio trio;
    trio_open(&trio);
    trio_grow_tree(&trio);
    fill_window(&trio);
    wire_take(trio.links[SMITH]);
    wire_say(trio.inbound[JAQUEZ], "LOST Far\n");
    CHECK_TRUE(("no room"), !has_come(trio.links[SMITH], "LOST Far\n"));
    EDGE_EXPECT(trio.inbound[SMITH], "%s", "GRAFT Far\n");
    driver_free(trio.driver);
}

static void neighbour_that_is_removed_is_no_parent(void **state)
{
    (void)state;
    struct trio trio;
    trio_open(&trio);
    trio_grow_tree(&trio);
    driver_remove_neighbour(trio.driver, "Jaquez");
    EDGE_EXPECT(trio.inbound[SMITH], "%s", "GRAFT Far\n");
    EDGE_EXPECT(trio.links[SMITH], "%s", "LOST Far\n");
    trio_flood(&trio, SMITH, "b", 1, "Far");
    wire_close(trio.inbound[SMITH], "reset");
    EDGE_EXPECT(trio.inbound[CAMPBELL], "%s", "GRAFT Far\n");
    driver_free(trio.driver);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hello_says_that_it_prunes),
        cmocka_unit_test(second_copy_is_answered_with_prune),
        cmocka_unit_test(who_does_not_prune_is_not_told_to),
        cmocka_unit_test(prune_needs_another_way),
        cmocka_unit_test(both_of_two_ways_are_never_pruned),
        cmocka_unit_test(copy_of_what_a_pruned_one_brought_proves_nothing),
        cmocka_unit_test(own_words_that_come_back_are_pruned),
        cmocka_unit_test(parent_that_is_lost_is_replaced),
        cmocka_unit_test(connection_that_is_replaced_is_lost),
        cmocka_unit_test(lost_goes_down_the_tree_once),
        cmocka_unit_test(have_is_answered_with_held_or_want),
        cmocka_unit_test(have_that_is_none_is_invalid),
        cmocka_unit_test(strangers_are_not_answered),
        cmocka_unit_test(switched_off_all_links_flood_again),
        cmocka_unit_test(origins_beyond_the_limit_are_flooded),
        cmocka_unit_test(made_up_words_of_prune_take_no_places),
        cmocka_unit_test(made_up_origins_give_way),
        cmocka_unit_test(origins_that_are_heard_of_stay),
        cmocka_unit_test(origin_that_is_held_back_does_not_give_way),
        cmocka_unit_test(origin_that_gives_way_leaves_nothing_behind),
        cmocka_unit_test(lines_of_origins_are_as_long_as_lines_may_be),
        cmocka_unit_test(grafted_origin_does_not_give_way_before_it_is_sent),
        cmocka_unit_test(lost_is_said_where_there_is_room),
        cmocka_unit_test(neighbour_that_is_removed_is_no_parent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
