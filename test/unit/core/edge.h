/* edge.h: what the tests of links share: a node named Hill with one edge, to Jaquez, whose part the
 * test plays. */
#ifndef TEST_EDGE_H
#define TEST_EDGE_H

#include <inttypes.h>

#include "check.h"
#include "driver.h"

/* Hill, with the clients c0, c1, … of `clients` and its link dialling. */
struct wire *edge_new(unsigned clients);
/* A client of Hill's sends an update; the number is its time, and names the record. */
void edge_update(struct driver *driver, const char *client, unsigned second);
/* The FLOOD line of that record as Hill sends it. */
void edge_flood(struct herd_buf *out, const char *client, unsigned second);

/* The connection stands and HELLO has come. */
void edge_greet(struct wire *link);
/* RESUME in the node's own epoch. */
void edge_resume(struct wire *link, uint64_t sequence);
/* A connection on which Jaquez has said HELLO, in the given epoch. */
struct wire *edge_hello(struct driver *driver, uint64_t epoch, uint64_t sequence);

/* Fails unless just this has come since the last look. */
#define EDGE_EXPECT(wire, ...)                                                                     \
    do {                                                                                           \
        char edge_text[8192];                                                                      \
        snprintf(edge_text, sizeof(edge_text), __VA_ARGS__);                                       \
        CHECK_TEXT(("since the last look"), wire_take(wire), edge_text);                           \
    } while (0)

#define EDGE_STATE(wire, state)                                                                    \
    assert_string_equal(driver_link_state((wire)->driver, (wire)->peer), state)

/* Hill with its link to Jaquez up and Jaquez's link to it: both are read. */
struct edge_pair {
    struct driver *driver;
    struct wire *link, *inbound;
};

void edge_pair_open(struct edge_pair *pair, unsigned clients);

#endif
