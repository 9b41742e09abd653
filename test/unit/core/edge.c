#include "edge.h"
#include "core/node.h"

struct wire *edge_new(unsigned clients)
{
    struct driver *driver = driver_new("Hill", 0);
    for (unsigned i = 0; i < clients; i++) {
        char name[16];
        snprintf(name, sizeof(name), "c%u", i);
        edge_update(driver, name, i);
    }
    struct wire *link = driver_add_neighbour(driver, "Jaquez");
    assert_non_null(link);
    return link;
}

void edge_update(struct driver *driver, const char *client, unsigned second)
{
    struct wire *wire = driver_accept(driver);
    wire_sayf(wire, "IAMAT %s +1+1 %u\n", client, second);
    CHECK_TEXT(("%s %u", client, second), herd_slice(wire_take(wire).data, 8), "AT Hill ");
    wire_end(wire);
    assert_false(wire->open);
}

void edge_flood(struct herd_buf *out, const char *client, unsigned second)
{
    int rc = herd_buf_printf(out, "FLOOD Hill %s +1+1 %u %u.000000000 Hill +%u.000000000\n", client,
                             second, DRIVER_WALL_S, DRIVER_WALL_S - second);
    assert_int_equal(rc, 0);
}

void edge_greet(struct wire *link)
{
    struct herd_node *node = link->driver->node;
    wire_dialled(link, NULL);
    char life[64] = "";
    if (node->life.id != 0)
        snprintf(life, sizeof(life), " life=%016" PRIx64 " from=%" PRIu64, node->life.id,
                 node->life.from);
    EDGE_EXPECT(link, "HELLO Hill 2 %016" PRIx64 " %" PRIu64 " - ttl=0%s\n", herd_node_epoch(node),
                herd_store_sequence(herd_node_store(node)), life);
    EDGE_STATE(link, "greeting");
}

void edge_resume(struct wire *link, uint64_t sequence)
{
    wire_sayf(link, "RESUME %016" PRIx64 " %" PRIu64 "\n", herd_node_epoch(link->driver->node),
              sequence);
}

struct wire *edge_hello(struct driver *driver, uint64_t epoch, uint64_t sequence)
{
    struct wire *inbound = driver_accept(driver);
    wire_sayf(inbound, "HELLO Jaquez 2 %016" PRIx64 " %" PRIu64 " -\n", epoch, sequence);
    return inbound;
}

void edge_pair_open(struct edge_pair *pair, unsigned clients)
{
    pair->link = edge_new(clients);
    pair->driver = pair->link->driver;
    pair->driver->keeps_upkeep = true;
    edge_greet(pair->link);
    edge_resume(pair->link, clients);
    pair->inbound = edge_hello(pair->driver, 5, 0);
    wire_say(pair->link, "PONG\n");
    wire_take(pair->link);
    wire_take(pair->inbound);
}
