#include "trio.h"

const char *const trio_names[NEAR] = {"Jaquez", "Smith", "Campbell"};

struct wire *trio_greet(struct trio *trio, int who, const char *capabilities)
{
    struct wire *wire = driver_accept(trio->driver);
    wire_sayf(wire, "HELLO %s 2 %016d 0 -%s\n", trio_names[who], who + 1, capabilities);
    wire_take(wire);
    return wire;
}

static void pass(struct trio *trio, int64_t ms)
{
    driver_advance_ms(trio->driver, ms);
    for (int who = 0; who < NEAR; who++) {
        wire_say(trio->links[who], "PONG\n");
        wire_say(trio->inbound[who], "PONG\n");
    }
}

void trio_pass_minutes(struct trio *trio, int minutes)
{
    for (int i = 0; i < minutes * 40; i++)
        pass(trio, 1500);
}

void trio_open_with(struct trio *trio, bool prune, const char *capabilities)
{
    struct herd_node_options options = driver_options("Hill");
    options.prune = prune;
    *trio = (struct trio){.driver = driver_new_with(&options), .second = 1};
    for (int i = 0; i < NEAR; i++) {
        trio->links[i] = driver_add_neighbour(trio->driver, trio_names[i]);
        wire_dialled(trio->links[i], NULL);
        edge_resume(trio->links[i], 0);
        trio->inbound[i] = trio_greet(trio, i, capabilities);
        wire_say(trio->links[i], "PONG\n");
    }
    for (int i = 0; i < 2; i++)
        pass(trio, PRUNE_YOUNG_MS / 2);
    for (int i = 0; i < NEAR; i++) {
        wire_take(trio->links[i]);
        wire_take(trio->inbound[i]);
    }
}

void trio_open(struct trio *trio)
{
    trio_open_with(trio, true, " prune");
}

void trio_flood(struct trio *trio, int who, const char *client, unsigned second, const char *origin)
{
    wire_sayf(trio->inbound[who], "FLOOD %s %s +1+1 %u 1700000000.000000000 %s +1.000000000\n",
              trio_names[who], client, second, origin);
}

void trio_grow_tree(struct trio *trio)
{
    for (int i = 0; i < NEAR; i++) {
        trio_flood(trio, i, "a", 1, "Far");
        EDGE_EXPECT(trio->inbound[i], "%s", i == JAQUEZ ? "" : "PRUNE Far\n");
    }
    for (int i = 0; i < NEAR; i++)
        wire_take(trio->links[i]);
}
