/* The dialler's part of pruning: what a link holds back, HAVE, and what MARK claims meanwhile. */
#include <herd/proto.h>
#include <herd/store.h>

#include "core/link.h"
#include "core/prune.h"
#include "edge.h"

/* Hill between Jaquez, who brings records of the server Far, and Smith, who has pruned them. */
struct edge {
    struct driver *driver;
    struct wire *from, *link; /* Jaquez's connection; Hill's link to Smith */
    uint64_t epoch;
};

static void edge_open_with(struct edge *edge, const struct herd_node_options *options)
{
    edge->driver = driver_new_with(options);
    edge->epoch = herd_node_epoch(edge->driver->node);
    driver_add_neighbour(edge->driver, "Jaquez");
    edge->link = driver_add_neighbour(edge->driver, "Smith");
    wire_dialled(edge->link, NULL);
    edge_resume(edge->link, 0);
    edge->from = driver_accept(edge->driver);
    wire_say(edge->from, "HELLO Jaquez 2 0000000000000001 0 - prune\n");
    wire_say(edge->link, "PRUNE Far\n");
    wire_take(edge->link);
}

static struct herd_node_options pruning(void)
{
    struct herd_node_options options = driver_options("Hill");
    options.prune = true;
    return options;
}

static void edge_open(struct edge *edge)
{
    struct herd_node_options options = pruning();
    edge_open_with(edge, &options);
}

#define SAYS_FAR "FLOOD Jaquez %s +1+1 %u 1700000000.000000000 Far +1.000000000\n"

static void far(struct edge *edge, const char *client, unsigned second)
{
    wire_sayf(edge->from, SAYS_FAR, client, second);
}

/* So many records in one turn of the loop. */
static void many_far(struct edge *edge, unsigned count)
{
    struct herd_buf lines = {0};
    char client[32];
    for (unsigned i = 0; i < count; i++) {
        snprintf(client, sizeof(client), "client-%04u", i);
        assert_int_equal(herd_buf_printf(&lines, SAYS_FAR, client, i), 0);
    }
    wire_send(edge->from, herd_buf_slice(&lines));
    herd_buf_free(&lines);
}

#define FLOOD_FAR(client, second)                                                                  \
    "FLOOD Hill " client " +1+1 " #second " 1700000000.000000000 Far +1.000000000\n"

/* ` <hash>:<client>:<time>` of it. */
static const char *name_of(const char *client, unsigned second, char room[128])
{
    char text[128];
    snprintf(text, sizeof(text), "%s +1+1 %u 1700000000.000000000 Far +1.000000000", client,
             second);
    snprintf(room, 128, " %08x:%s:%u.000000000", (unsigned)have_hash(herd_slice_of(text)), client,
             second);
    return room;
}

static void what_is_pruned_is_held_back_and_named(void **state)
{
    (void)state;
    struct edge edge;
    char a[128], b[128];
    edge_open(&edge);
    wire_sayf(edge.from, SAYS_FAR SAYS_FAR, "a", 1, "b", 1);
    driver_advance_ms(edge.driver, 199);
    EDGE_EXPECT(edge.link, "%s", "");
    driver_advance_ms(edge.driver, 1);
    EDGE_EXPECT(edge.link, "HAVE 0 2%s%s\n", name_of("a", 1, a), name_of("b", 1, b));
    wire_say(edge.link, "HELD 0 2\n");
    driver_advance_ms(edge.driver, 100);
    EDGE_EXPECT(edge.link, "MARK %016" PRIx64 " 2\n", edge.epoch);
    driver_advance_ms(edge.driver, 1000);
    EDGE_EXPECT(edge.link, "%s", "");
    CHECK_INT(("counted"), herd_node_stats(edge.driver->node)->floods_held_back, 2);
    driver_free(edge.driver);
}

/* What came less than 200 ms before is still on its way over the tree, as a rule. */
static void what_is_fresh_is_named_the_next_time(void **state)
{
    (void)state;
    struct edge edge;
    char room[128];
    edge_open(&edge);
    far(&edge, "a", 1);
    driver_advance_ms(edge.driver, 150);
    far(&edge, "b", 1);
    driver_advance_ms(edge.driver, 50);
    EDGE_EXPECT(edge.link, "HAVE 0 1%s\n", name_of("a", 1, room));
    driver_advance_ms(edge.driver, 200);
    EDGE_EXPECT(edge.link, "HAVE 1 2%s\n", name_of("b", 1, room));
    wire_sayf(edge.from, SAYS_FAR SAYS_FAR, "c", 1, "c", 2); /* each client once */
    driver_advance_ms(edge.driver, 200);
    EDGE_EXPECT(edge.link, "HAVE 2 4%s\n", name_of("c", 2, room));
    wire_say(edge.link, "HELD 0 1\nHELD 2 4\n"); /* one of them is missing */
    driver_advance_ms(edge.driver, 100);
    EDGE_EXPECT(edge.link, "MARK %016" PRIx64 " 1 4\n", edge.epoch);
    driver_free(edge.driver);
}

static void mark_stops_before_what_is_held_back(void **state)
{
    (void)state;
    struct edge edge;
    edge_open(&edge);
    edge_update(edge.driver, "own", 1);
    far(&edge, "a", 1);
    edge_update(edge.driver, "own", 2);
    wire_take(edge.link);
    driver_advance_ms(edge.driver, 100);
    EDGE_EXPECT(edge.link, "MARK %016" PRIx64 " 1 3\n", edge.epoch);
    driver_advance_ms(edge.driver, 100);
    wire_take(edge.link);                                            /* HAVE */
    wire_say(edge.link, "HELD 1 1\nHELD 2 3\nHELD 0 4\nHELD 1 3\n"); /* none of what was said */
    driver_advance_ms(edge.driver, 200);
    EDGE_EXPECT(edge.link, "%s", "");
    wire_say(edge.link, "HELD 1 2\n");
    driver_advance_ms(edge.driver, 100);
    EDGE_EXPECT(edge.link, "MARK %016" PRIx64 " 3\n", edge.epoch);
    driver_free(edge.driver);
}

/* A server's own clients, and what no neighbour brought, or one that is gone. */
static void what_nobody_else_holds_is_not_held_back(void **state)
{
    (void)state;
    struct edge edge;
    edge_open(&edge);
    wire_say(edge.link, "PRUNE Hill\n");
    edge_update(edge.driver, "own", 1);
    struct herd_buf flood = {0};
    edge_flood(&flood, "own", 1);
    CHECK_SLICE(("own"), wire_take(edge.link), herd_buf_slice(&flood));
    struct wire *stranger = driver_accept(edge.driver);
    wire_say(stranger, "FLOOD Blake a +1+1 1 1700000000.000000000 Far +1.000000000\n");
    EDGE_EXPECT(edge.link, "%s", FLOOD_FAR("a", 1));
    struct wire *plain = driver_accept(edge.driver); /* it does not prune: its loss is no event */
    wire_say(plain, "HELLO Jaquez 2 0000000000000001 9 -\n");
    wire_say(plain, "FLOOD Jaquez a +1+1 2 1700000000.000000000 Far +1.000000000\n");
    EDGE_EXPECT(edge.link, "%s", FLOOD_FAR("a", 2));
    herd_buf_free(&flood);
    driver_free(edge.driver);
}

static void what_was_held_back_is_sent_after_graft(void **state)
{
    (void)state;
    struct edge edge;
    edge_open(&edge);
    wire_say(edge.link, "PRUNE Other Unknown\n");
    far(&edge, "a", 1);
    wire_say(edge.from, "FLOOD Jaquez o +1+1 1 1700000000.000000000 Other +1.000000000\n");
    far(&edge, "b", 1);
    wire_say(edge.link, "GRAFT Far\n");
    char text[128];
    snprintf(
        text, sizeof(text), "%08x",
        (unsigned)have_hash(herd_slice_of("o +1+1 1 1700000000.000000000 Other +1.000000000")));
    EDGE_EXPECT(edge.link, "%s%sHAVE 0 3 %s:o:1.000000000\n", FLOOD_FAR("a", 1), FLOOD_FAR("b", 1),
                text); /* the other origin's is not */
    wire_say(edge.link, "HELD 0 3\n");
    driver_advance_ms(edge.driver, 100);
    EDGE_EXPECT(edge.link, "MARK %016" PRIx64 " 3\n", edge.epoch);
    far(&edge, "c", 1);
    EDGE_EXPECT(edge.link, "%s", FLOOD_FAR("c", 1));
    wire_say(edge.link, "GRAFT Far Other Nobody\n"); /* nothing is held back: nothing to send */
    EDGE_EXPECT(edge.link, "%s", "");
    driver_free(edge.driver);
}

static void after_graft_and_prune_it_is_named(void **state)
{
    (void)state;
    struct edge edge;
    char room[128];
    edge_open(&edge);
    far(&edge, "a", 1);
    wire_say(edge.link, "GRAFT Far\nPRUNE Far\n"); /* before the link has its turn */
    EDGE_EXPECT(edge.link, "HAVE 0 1%s\n", name_of("a", 1, room));
    driver_free(edge.driver);
}

static void what_a_lost_neighbour_brought_is_sent(void **state)
{
    (void)state;
    struct edge edge;
    edge_open(&edge);
    far(&edge, "a", 1);
    edge_update(edge.driver, "own", 1);
    wire_take(edge.link);
    wire_close(edge.from, "reset");
    EDGE_EXPECT(edge.link, "%s", FLOOD_FAR("a", 1));
    driver_advance_ms(edge.driver, 100);
    EDGE_EXPECT(edge.link, "MARK %016" PRIx64 " 2\n", edge.epoch); /* it was sent: no HAVE */
    driver_free(edge.driver);
}

static void have_comes_again_less_and_less_often(void **state)
{
    static const int64_t waits_ms[] = {1000, 2000, 4000, 8000, 16000, 16000};
    (void)state;
    struct edge edge;
    char room[128];
    edge_open(&edge);
    far(&edge, "a", 1);
    driver_advance_ms(edge.driver, 200);
    EDGE_EXPECT(edge.link, "HAVE 0 1%s\n", name_of("a", 1, room));
    for (size_t i = 0; i < COUNT_OF(waits_ms); i++) {
        for (int64_t left_ms = waits_ms[i] - 1; left_ms > 0; left_ms -= 1000) {
            driver_advance_ms(edge.driver, left_ms < 1000 ? left_ms : 1000);
            wire_say(edge.link, "PONG\n");
            wire_say(edge.from, "PONG\n");
        }
        EDGE_EXPECT(edge.link, "%s", "");
        driver_advance_ms(edge.driver, 1);
        EDGE_EXPECT(edge.link, "HAVE 0 1%s\n", room);
    }
    wire_say(edge.link, "HELD 0 1\n");
    driver_advance_ms(edge.driver, 200);
    EDGE_EXPECT(edge.link, "MARK %016" PRIx64 " 1\n", edge.epoch);
    driver_free(edge.driver);
}

static void want_is_answered_and_have_comes_again(void **state)
{
    (void)state;
    struct edge edge;
    char room[128];
    edge_open(&edge);
    far(&edge, "a", 1);
    driver_advance_ms(edge.driver, 200);
    wire_take(edge.link);
    wire_say(edge.link, "WANT a\n");
    EDGE_EXPECT(edge.link, "%s", FLOOD_FAR("a", 1));
    driver_advance_ms(edge.driver, 1000);
    EDGE_EXPECT(edge.link, "HAVE 0 1%s\n", name_of("a", 1, room));
    driver_free(edge.driver);
}

static void record_that_is_replaced_needs_no_name(void **state)
{
    (void)state;
    struct edge edge;
    edge_open(&edge);
    far(&edge, "a", 1);
    edge_update(edge.driver, "a", 2); /* newer, and sent */
    wire_take(edge.link);
    driver_advance_ms(edge.driver, 299);
    EDGE_EXPECT(edge.link, "%s", "");
    driver_advance_ms(edge.driver, 1);
    EDGE_EXPECT(edge.link, "MARK %016" PRIx64 " 2\n", edge.epoch);
    driver_free(edge.driver);
}

static void new_connection_begins_where_the_mark_was(void **state)
{
    (void)state;
    struct edge edge;
    edge_open(&edge);
    edge_update(edge.driver, "own", 1);
    far(&edge, "a", 1);
    driver_advance_ms(edge.driver, 100);
    wire_close(edge.link, "reset");
    driver_advance_to_dial(edge.driver, edge.link);
    wire_dialled(edge.link, NULL);
    wire_take(edge.link);
    edge_resume(edge.link, 1); /* what MARK has claimed */
    EDGE_EXPECT(edge.link, "%s", FLOOD_FAR("a", 1));
    far(&edge, "b", 1); /* PRUNE was of the old connection */
    EDGE_EXPECT(edge.link, "%s", FLOOD_FAR("b", 1));
    driver_free(edge.driver);
}

static void prune_means_nothing_where_it_is_off(void **state)
{
    (void)state;
    struct edge edge;
    struct herd_node_options options = driver_options("Hill");
    edge_open_with(&edge, &options);
    far(&edge, "a", 1);
    EDGE_EXPECT(edge.link, "%s", FLOOD_FAR("a", 1));
    driver_free(edge.driver);
}

/* More names than a line has room for: each line is answered by itself, in their order. */
static void names_fill_as_many_lines_as_it_takes(void **state)
{
    enum { RECORDS = 1000 };
    (void)state;
    struct edge edge;
    edge_open(&edge);
    many_far(&edge, RECORDS);
    driver_advance_ms(edge.driver, 200);
    struct herd_slice got = wire_take(edge.link);
    uint64_t at = 0, lines = 0, named = 0;
    while (got.len > 0) {
        const char *end = memchr(got.data, '\n', got.len);
        struct herd_slice word, line = herd_slice(got.data, (size_t)(end - got.data));
        struct herd_command command;
        got = herd_slice(end + 1, got.len - line.len - 1);
        CHECK_TRUE(("%zu bytes", line.len), line.len <= HERD_LINE_MAX);
        assert_int_equal(herd_command_parse(line, &command), 0);
        CHECK_INT(("line %d", (int)lines), command.verb, HERD_VERB_HAVE);
        CHECK_INT(("line %d", (int)lines), command.after, at);
        at = command.sequence;
        lines++;
        while (herd_next_word(&command.rest, &word))
            named++;
    }
    CHECK_INT(("the last"), at, RECORDS);
    CHECK_INT(("all of them"), named, RECORDS);
    CHECK_TRUE(("%d lines", (int)lines), lines > 5 && lines < 20);
    driver_free(edge.driver);
}

static size_t count_lines(struct herd_slice got, const char *word)
{
    size_t lines = 0, len = strlen(word);
    for (size_t at = 0; at + len < got.len; at++)
        lines += (at == 0 || got.data[at - 1] == '\n') && memcmp(got.data + at, word, len) == 0;
    return lines;
}

/* A neighbour that reads nothing gets no more than the window, then the rest. */
static void walk_stops_at_the_window(void **state)
{
    enum { RECORDS = 4000 };
    (void)state;
    struct edge edge;
    edge_open(&edge);
    many_far(&edge, RECORDS);
    edge.driver->reports_writes = false;
    wire_say(edge.link, "GRAFT Far\n");
    CHECK_TRUE(("%zu bytes", edge.link->unwritten),
               edge.link->unwritten > LINK_WINDOW_BYTES - 200 &&
                   edge.link->unwritten < LINK_WINDOW_BYTES + 200);
    driver_advance_ms(edge.driver, 500); /* the time for HAVE comes, and there is no room */
    size_t lines = 0;
    edge.driver->answers_pings = true;
    for (int round = 0; round < 10; round++) {
        lines += count_lines(wire_take(edge.link), "FLOOD ");
        wire_wrote(edge.link, edge.link->unwritten);
    }
    CHECK_INT(("each once"), lines, RECORDS);
    edge.driver->reports_writes = true;
    driver_advance_ms(edge.driver, 100);
    EDGE_EXPECT(edge.link, "MARK %016" PRIx64 " %d\n", edge.epoch, RECORDS);
    driver_free(edge.driver);
}

static void neighbour_is_lost(struct edge *edge)
{
    wire_close(edge->from, "reset");
}

static void link_is_grafted(struct edge *edge)
{
    wire_say(edge->link, "GRAFT Far\n");
}

/* With durability = "herd" a client says again what is held, while more than the window takes is
 * still to be sent: that is marked once it is, and not before, whatever has to be sent it for. */
static void answer_waits_for_a_walk_that_the_window_stops(void **state)
{
    enum { RECORDS = 4000 };
    static void (*const walks[])(struct edge *) = {neighbour_is_lost, link_is_grafted};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(walks); i++) {
        struct edge edge;
        struct herd_node_options options = pruning();
        options.durability = HERD_DURABILITY_HERD;
        edge_open_with(&edge, &options);
        struct wire *client = driver_accept(edge.driver);
        wire_say(client, "IAMAT own +1+1 100\n");
        wire_sayf(edge.link, "ACK %016" PRIx64 " 1\n", edge.epoch);
        EDGE_EXPECT(client, "%s", "AT Hill +1699999900.000000000 own +1+1 100\n");
        many_far(&edge, RECORDS);
        wire_take(edge.link);
        edge.driver->reports_writes = false;
        walks[i](&edge);
        assert_true(!link_has_room(conn_link(edge.link->conn)));
        unsigned writes = edge.link->writes;
        wire_say(client, "IAMAT own +1+1 100\n");
        driver_advance_ms(edge.driver, 500);
        CHECK_INT(("walk %zu: once", i), edge.link->writes - writes, 1);
        CHECK_INT(("walk %zu", i), count_lines(wire_take(edge.link), "MARK"), 1);
        wire_sayf(edge.link, "ACK %016" PRIx64 " 1 %d\n", edge.epoch, RECORDS + 1);
        EDGE_EXPECT(client, "%s", "");
        edge.driver->answers_pings = true;
        while (edge.link->unwritten > 0)
            wire_wrote(edge.link, edge.link->unwritten);
        struct herd_slice got = wire_take(edge.link);
        CHECK_INT(("walk %zu: one more", i), count_lines(got, "MARK"), 1);
        EDGE_EXPECT(client, "%s", "");
        wire_sayf(edge.link, "ACK %016" PRIx64 " %d\n", edge.epoch, RECORDS + 1);
        EDGE_EXPECT(client, "%s", "AT Hill +1699999900.000000000 own +1+1 100\n");
        EDGE_EXPECT(edge.link, "%s", "");
        driver_free(edge.driver);
    }
}

/* With durability = "herd" an answer does not wait for what is held back of others. */
static void own_records_are_acknowledged_all_the_same(void **state)
{
    (void)state;
    struct edge edge;
    struct herd_node_options options = pruning();
    options.durability = HERD_DURABILITY_HERD;
    edge_open_with(&edge, &options);
    far(&edge, "a", 1);
    struct wire *client = driver_accept(edge.driver);
    wire_say(client, "IAMAT own +1+1 100\n");
    EDGE_EXPECT(edge.link,
                "FLOOD Hill own +1+1 100 1700000000.000000000 Hill +1699999900.000000000\n"
                "MARK %016" PRIx64 " 0 2\n",
                edge.epoch);
    wire_sayf(edge.link, "ACK %016" PRIx64 " 0\n", edge.epoch); /* of no such MARK */
    wire_sayf(edge.link, "ACK %016" PRIx64 " 1 2\n", edge.epoch);
    wire_sayf(edge.link, "ACK %016" PRIx64 " 0 3\n", edge.epoch);
    EDGE_EXPECT(client, "%s", "");
    wire_sayf(edge.link, "ACK %016" PRIx64 " 0 2\n", edge.epoch);
    EDGE_EXPECT(client, "%s", "AT Hill +1699999900.000000000 own +1+1 100\n");
    struct herd_link_status status;
    assert_true(herd_node_link(edge.driver->node, 1, &status));
    CHECK_INT(("held there"), status.acked, 0);
    driver_free(edge.driver);
}

/* The listener's side of such a MARK. */
static void ack_says_both_numbers_of_the_mark(void **state)
{
    (void)state;
    struct edge edge;
    edge_open(&edge);
    edge.driver->keeps_upkeep = true;
    wire_take(edge.from);
    wire_say(edge.from, "MARK 0000000000000001 3 7\n");
    EDGE_EXPECT(edge.from, "%s", "ACK 0000000000000001 3 7\n");
    wire_say(edge.from, "HELLO Jaquez 2 0000000000000001 7 - prune\n");
    EDGE_EXPECT(edge.from, "%s", "RESUME 0000000000000001 3\n");
    driver_free(edge.driver);
}

/* Who does not prune any more sends all to all, whatever is said. */
static void switched_off_prune_means_nothing(void **state)
{
    (void)state;
    struct edge edge;
    struct herd_node_options options = driver_options("Hill");
    edge_open(&edge);
    herd_node_configure(edge.driver->node, &options);
    wire_say(edge.link, "PRUNE Other\n");
    wire_say(edge.from, "FLOOD Jaquez a +1+1 1 1700000000.000000000 Other +1.000000000\n");
    EDGE_EXPECT(edge.link, "%s", "FLOOD Hill a +1+1 1 1700000000.000000000 Other +1.000000000\n");
    driver_free(edge.driver);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_pruned_is_held_back_and_named),
        cmocka_unit_test(what_is_fresh_is_named_the_next_time),
        cmocka_unit_test(mark_stops_before_what_is_held_back),
        cmocka_unit_test(what_nobody_else_holds_is_not_held_back),
        cmocka_unit_test(what_was_held_back_is_sent_after_graft),
        cmocka_unit_test(after_graft_and_prune_it_is_named),
        cmocka_unit_test(what_a_lost_neighbour_brought_is_sent),
        cmocka_unit_test(have_comes_again_less_and_less_often),
        cmocka_unit_test(want_is_answered_and_have_comes_again),
        cmocka_unit_test(record_that_is_replaced_needs_no_name),
        cmocka_unit_test(new_connection_begins_where_the_mark_was),
        cmocka_unit_test(prune_means_nothing_where_it_is_off),
        cmocka_unit_test(names_fill_as_many_lines_as_it_takes),
        cmocka_unit_test(walk_stops_at_the_window),
        cmocka_unit_test(answer_waits_for_a_walk_that_the_window_stops),
        cmocka_unit_test(own_records_are_acknowledged_all_the_same),
        cmocka_unit_test(ack_says_both_numbers_of_the_mark),
        cmocka_unit_test(switched_off_prune_means_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
