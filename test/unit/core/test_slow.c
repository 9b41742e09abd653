/* A link to a neighbour that does not answer HELLO, and is no plain one all the same: it is slow, or
 * the connections break; or a plain one has taken its place. */
#include <herd/proto.h>

#include "core/link.h"
#include "edge.h"

enum { RECORDS = 100 };

static void expect_floods(struct wire *link, unsigned first, unsigned count)
{
    struct herd_buf text = {0};
    for (unsigned i = first; i < first + count; i++) {
        char name[16];
        snprintf(name, sizeof(name), "c%u", i);
        edge_flood(&text, name, i);
    }
    CHECK_SLICE(("%u from c%u", count, first), wire_take(link), herd_buf_slice(&text));
    herd_buf_free(&text);
}

/* It holds all records, has said `own` itself, dies, cannot be dialled `refused` times, and is dialled
 * again: HELLO has gone out. */
static struct wire *edge_returned(unsigned records, int refused)
{
    struct wire *link = edge_new(records);
    struct driver *driver = link->driver;
    edge_greet(link);
    edge_resume(link, records);
    struct wire *inbound = edge_hello(driver, 7, 1);
    wire_say(inbound, "FLOOD Jaquez own +1+1 1 1.0 Jaquez +0.0\n");
    driver_advance_ms(driver, 100);
    wire_close(inbound, "reset");
    wire_close(link, "reset");
    driver_advance_to_dial(driver, link);
    while (refused-- > 0) {
        wire_dialled(link, "refused");
        driver_advance_to_dial(driver, link);
    }
    wire_take(link);
    edge_greet(link);
    return link;
}

static void test_it_answers_late(void **state)
{
    (void)state;
    for (int refused = 0; refused < 8; refused++) {
        struct wire *link = edge_returned(RECORDS, refused);
        struct driver *driver = link->driver;
        driver_advance_ms(driver, 300);
        EDGE_STATE(link, "greeting");
        expect_floods(link, 0, LINK_TRIAL_LINES); /* that much at most for a plain one */
        driver_advance_ms(driver, 3699);
        EDGE_EXPECT(link, "%s", "");
        edge_update(driver, "late", 5);
        edge_resume(link, RECORDS - 1);
        EDGE_STATE(link, "up");
        struct herd_buf text = {0};
        edge_flood(&text, "c99", 99);
        edge_flood(&text, "late", 5); /* but not its own */
        CHECK_SLICE(("refused %d", refused), wire_take(link), herd_buf_slice(&text));
        herd_buf_free(&text);
        driver_free(driver);
    }
}

/* A plain one that has taken its place: the first records at once, the others when it is sure. */
static void test_a_silent_one_in_its_place(void **state)
{
    struct wire *link = edge_returned(RECORDS, 1);
    struct driver *driver = link->driver;
    (void)state;
    driver_advance_ms(driver, 300);
    expect_floods(link, 0, LINK_TRIAL_LINES);
    driver_advance_ms(driver, 3700);
    EDGE_STATE(link, "silent");
    struct herd_link_status status;
    assert_true(herd_node_link(driver->node, 0, &status));
    assert_false(status.up);
    assert_int_equal(driver_count_notices(driver, HERD_NOTICE_LINK_PLAIN), 0);
    /* As only one does that takes this server for plain, or is plain: it lives. */
    wire_say(driver_accept(driver), "FLOOD Jaquez own +1+1 1 1.0 Jaquez +0.0\n");
    EDGE_STATE(link, "plain");
    struct herd_buf text = {0};
    for (unsigned i = 0; i < RECORDS; i++) {
        char name[16];
        snprintf(name, sizeof(name), "c%u", i);
        edge_flood(&text, name, i);
    }
    assert_int_equal(herd_buf_append_text(&text, "FLOOD Hill own +1+1 1 1.0 Jaquez +0.0\n"), 0);
    CHECK_SLICE(("all"), wire_take(link), herd_buf_slice(&text));
    herd_buf_free(&text);
    /* And then it is known: the next connection takes the usual time. */
    wire_close(link, "reset");
    driver_advance_to_dial(driver, link);
    wire_dialled(link, "refused");
    driver_advance_to_dial(driver, link);
    wire_dialled(link, NULL);
    if (strcmp(driver_link_state(driver, "Jaquez"), "plain") != 0)
        driver_advance_ms(driver, 300);
    EDGE_STATE(link, "plain");
    driver_free(driver);
}

static void test_few_records_reach_a_silent_one_at_once(void **state)
{
    struct wire *link = edge_returned(0, 1);
    struct driver *driver = link->driver;
    (void)state;
    driver_advance_ms(driver, 300);
    EDGE_EXPECT(link, "FLOOD Hill own +1+1 1 1.0 Jaquez +0.0\n");
    edge_update(driver, "c0", 0);
    expect_floods(link, 0, 1);
    driver_free(driver);
}

static void test_one_that_does_not_know_hello_in_its_place(void **state)
{
    struct wire *link = edge_returned(3, 1);
    struct driver *driver = link->driver;
    (void)state;
    driver_advance_ms(driver, 300);
    wire_take(link);
    wire_sayf(link, "? HELLO Hill 2 %016" PRIx64 " 4 -\n", herd_node_epoch(driver->node));
    EDGE_STATE(link, "plain");
    struct herd_slice all = wire_take(link);
    CHECK_TRUE(("%.*s", (int)all.len, all.data), all.len > 0);
    driver_free(driver);
}

/* Closing on HELLO is a plain one's manner where another one may listen by now. */
static void test_one_that_closes_on_hello_in_its_place(void **state)
{
    for (int refused = 0; refused < 2; refused++) {
        struct wire *link = edge_returned(3, refused);
        struct driver *driver = link->driver;
        (void)state;
        driver_advance_ms(driver, 300);
        wire_take(link);
        wire_end(link);
        driver_advance_to_dial(driver, link);
        wire_dialled(link, NULL);
        EDGE_STATE(link, refused > 0 ? "plain" : "greeting");
        driver_free(driver);
    }
}

/* This server gives up the connection: that says nothing of the neighbour. */
static void test_one_that_never_answers(void **state)
{
    struct wire *link = edge_returned(RECORDS, 1);
    struct driver *driver = link->driver;
    (void)state;
    struct wire *inbound = edge_hello(driver, 8, 0);
    for (int ms = 0; ms < 4000; ms += 1000) {
        wire_say(inbound, "PING\n");
        driver_advance_ms(driver, 1000);
    }
    assert_false(link->open);
    wire_close(inbound, "reset");
    if (!link->dialling)
        driver_advance_to_dial(driver, link);
    wire_take(link);
    edge_greet(link);
    driver_advance_ms(driver, 300);
    EDGE_STATE(link, "greeting");
    driver_free(driver);
}

/* Its marks on disk show that it has spoken in an earlier life of this server. */
static void test_one_that_spoke_before_this_server_started(void **state)
{
    (void)state;
    for (uint64_t epoch = 0; epoch < 2; epoch++) {
        struct wire *link = edge_new(RECORDS);
        struct driver *driver = link->driver;
        herd_node_restore_neighbour(driver->node, herd_slice_of("Jaquez"),
                                    &(struct herd_mark){.epoch = epoch, .sequence = epoch});
        edge_greet(link);
        driver_advance_ms(driver, 300);
        EDGE_STATE(link, epoch > 0 ? "greeting" : "plain");
        expect_floods(link, 0, epoch > 0 ? LINK_TRIAL_LINES : RECORDS);
        driver_free(driver);
    }
}

/* Plain, by connections that ended on HELLO: `orderly`, or broken off. */
static struct wire *edge_ended_on_hello(struct wire *link, bool orderly)
{
    if (orderly)
        wire_end(link);
    else
        wire_close(link, "reset");
    driver_advance_to_dial(link->driver, link);
    wire_dialled(link, NULL);
    EDGE_STATE(link, "plain");
    return link;
}

static void expect_hello(struct wire *link)
{
    struct herd_node *node = link->driver->node;
    EDGE_EXPECT(link, "HELLO Hill 2 %016" PRIx64 " %" PRIu64 " - ttl=0\n", herd_node_epoch(node),
                herd_store_sequence(herd_node_store(node)));
}

/* It may think the same of this server, which says HELLO no more: somebody has to begin. */
static void test_hello_again_after_connections_broke(void **state)
{
    struct wire *link = edge_new(3);
    struct driver *driver = link->driver;
    (void)state;
    edge_greet(link);
    edge_ended_on_hello(link, false);
    expect_floods(link, 0, 3);
    for (int64_t wait_ms = 2000; wait_ms < 1200000; wait_ms *= 2) {
        driver_advance_ms(driver, (wait_ms < 600000 ? wait_ms : 600000) - 1);
        EDGE_EXPECT(link, "%s", "");
        driver_advance_ms(driver, 1);
        expect_hello(link);
    }
    edge_resume(link, 0);
    EDGE_STATE(link, "up");
    EDGE_EXPECT(link, "%s", ""); /* it has been sent all */
    driver_advance_ms(driver, 100);
    EDGE_EXPECT(link, "MARK %016" PRIx64 " 3\n", herd_node_epoch(driver->node));
    driver_free(driver);
}

/* The manner of a plain one: FLOOD lines alone go there from then on. */
static void test_no_hello_again_to_one_that_closes(void **state)
{
    struct wire *link = edge_new(3);
    struct driver *driver = link->driver;
    (void)state;
    edge_greet(link);
    edge_ended_on_hello(link, true);
    expect_floods(link, 0, 3);
    driver_advance_ms(driver, 3600000);
    EDGE_EXPECT(link, "%s", "");
    driver_free(driver);
}

/* A plain one in the place of one that has spoken: it answers HELLO said again, or ends on it. */
static void test_no_hello_again_to_one_surely_plain(void **state)
{
    (void)state;
    enum { ANSWERS, CLOSES, BREAKS_OFF, MANNERS };
    for (int manner = 0; manner < MANNERS; manner++) {
        struct wire *link = edge_returned(0, 1);
        struct driver *driver = link->driver;
        edge_ended_on_hello(link, true);
        EDGE_EXPECT(link, "FLOOD Hill own +1+1 1 1.0 Jaquez +0.0\n");
        driver_advance_ms(driver, 2000);
        expect_hello(link);
        if (manner == CLOSES) {
            edge_ended_on_hello(link, true);
            wire_take(link);
        } else if (manner == BREAKS_OFF) {
            edge_ended_on_hello(link, false);
            driver_advance_ms(driver, 10000);
            wire_take(link);
            edge_ended_on_hello(link, false);
            wire_take(link);
        } else {
            wire_sayf(link, "? HELLO Hill 2 %016" PRIx64 " 1 -\n", herd_node_epoch(driver->node));
        }
        driver_advance_ms(driver, 3600000);
        EDGE_EXPECT(link, "%s", "");
        driver_free(driver);
    }
}

/* Cut off, each dial and each HELLO is reset: it has spoken, so it is none that closes on HELLO. */
static void test_one_cut_off_for_a_while(void **state)
{
    struct wire *link = edge_returned(3, 1);
    struct driver *driver = link->driver;
    (void)state;
    for (int i = 0; i < 5; i++) {
        wire_close(link, "reset");
        driver_advance_to_dial(driver, link);
        wire_dialled(link, "refused");
        driver_advance_to_dial(driver, link);
        wire_take(link);
        edge_greet(link);
    }
    edge_ended_on_hello(link, false); /* so often that it may be one after all */
    driver_free(driver);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_answers_late),
        cmocka_unit_test(test_a_silent_one_in_its_place),
        cmocka_unit_test(test_few_records_reach_a_silent_one_at_once),
        cmocka_unit_test(test_one_that_does_not_know_hello_in_its_place),
        cmocka_unit_test(test_one_that_closes_on_hello_in_its_place),
        cmocka_unit_test(test_one_that_never_answers),
        cmocka_unit_test(test_one_that_spoke_before_this_server_started),
        cmocka_unit_test(test_hello_again_after_connections_broke),
        cmocka_unit_test(test_no_hello_again_to_one_that_closes),
        cmocka_unit_test(test_no_hello_again_to_one_surely_plain),
        cmocka_unit_test(test_one_cut_off_for_a_while),
    };
    return cmocka_run_group_tests_name("slow", tests, NULL, NULL);
}
