/* ended_rig.h: a server whose records end, with a neighbour and a client. */
#ifndef TEST_ENDED_RIG_H
#define TEST_ENDED_RIG_H

#include "edge.h"

enum { TTL_S = 60 };

static inline struct herd_node_options options_of(enum herd_durability durability)
{
    struct herd_node_options options = driver_options("Hill");
    options.record_ttl_ns = TTL_S * HERD_NS_PER_S;
    options.durability = durability;
    return options;
}

struct herd {
    struct driver *driver;
    struct wire *link, *client;
    uint64_t epoch;
};

static inline void herd_open_with(struct herd *herd, const struct herd_node_options *options)
{
    herd->driver = driver_new_with(options);
    herd->link = driver_add_neighbour(herd->driver, "Jaquez");
    herd->client = driver_accept(herd->driver);
    herd->epoch = herd_node_epoch(herd->driver->node);
    wire_dialled(herd->link, NULL);
    edge_resume(herd->link, 0);
    wire_take(herd->link);
}

static inline void herd_open(struct herd *herd)
{
    struct herd_node_options options = options_of(HERD_DURABILITY_HERD);
    herd_open_with(herd, &options);
}

#endif
