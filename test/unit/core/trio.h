/* Hill, and three neighbours that prune, with all links up for long enough. */
#ifndef TEST_TRIO_H
#define TEST_TRIO_H

#include "core/node.h"
#include "edge.h"

enum { JAQUEZ, SMITH, CAMPBELL, NEAR };

extern const char *const trio_names[NEAR];

struct trio {
    struct driver *driver;
    struct wire *links[NEAR], *inbound[NEAR];
    unsigned second; /* of the last update */
};

void trio_open(struct trio *trio);
/* Words of the neighbours' HELLO, each with a space before it. */
void trio_open_with(struct trio *trio, bool prune, const char *capabilities);
/* A neighbour dials, and says HELLO. */
struct wire *trio_greet(struct trio *trio, int who, const char *capabilities);
void trio_flood(struct trio *trio, int who, const char *client, unsigned second,
                const char *origin);
/* Jaquez has brought the origin's record first, and the others were told so: client a's, of second 1. */
void trio_grow_tree(struct trio *trio);
/* With PONG in between, so that the links stay up. */
void trio_pass_minutes(struct trio *trio, int minutes);

#endif
