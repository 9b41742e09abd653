/* conn_rig.h: a connection to a node that knows one client. */
#ifndef TEST_UNIT_CORE_CONN_RIG_H
#define TEST_UNIT_CORE_CONN_RIG_H

#include "driver.h"

#define AT_A "AT Hill +0.000000000 a +1+1 1700000000\n"
#define PLACES_1(radius)                                                                           \
    "{\"lat\":1.000000,\"lon\":1.000000,\"radius\":" radius "000.000,\"count\":1}\n\n"

/* A node that knows the client `a` and leaves places to the test, and a connection to it. */
struct wire *conn_start(const struct herd_node_options *options);
struct wire *conn_start_usual(void);

/* So many lines that are easy to tell apart, and their answers. */
void conn_say_numbered(struct wire *wire, int first, int count);
void conn_check_numbered(struct wire *wire, int first, int count);

#endif
