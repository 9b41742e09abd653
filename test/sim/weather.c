/*
 * The weather of the network: TCP keeps bytes in order, and says nothing of how many come in one
 * read. Segments that are lost come again with all that was written behind them; a kernel gathers
 * small writes; a slow way delivers them one by one. None of this may make a difference, so it goes
 * on when all faults are over.
 */
#include "fault_room.h"

enum {
    JOIN_MIN_MS = 100, /* of one direction of a connection */
    JOIN_MAX_MS = 4000,
    SPLIT_MIN_MS = 10,
    SPLIT_MAX_MS = 500, /* each piece is an event */
    JOIN_PERCENT = 75,
    BETWEEN_MAX_MS = 400 /* from one to the next */
};

/* What some server writes, or is written, on a connection that is up; NULL: none was found. */
static struct net_end *pick_end(struct world *world)
{
    struct rng *rng = &world->net.weather_rng;
    const struct net_host *host = world->hosts[rng_below(rng, world->graph.size)];
    struct net_end *end = NULL;
    uint64_t seen = 0;
    for (struct net_end *each = host->ends; each != NULL; each = each->next) {
        if (rng_below(rng, ++seen) == 0)
            end = each;
    }
    if (end == NULL || end->state != NET_OPEN)
        return NULL;
    return rng_percent(rng, 50) ? end : net_peer(end);
}

static void change(struct world *world, struct net_end *end)
{
    struct rng *rng = &world->net.weather_rng;
    bool joins = rng_percent(rng, JOIN_PERCENT);
    int64_t until_ns = world->sim.now_ns +
                       (joins ? rng_between(rng, JOIN_MIN_MS * SIM_MS, JOIN_MAX_MS * SIM_MS)
                              : rng_between(rng, SPLIT_MIN_MS * SIM_MS, SPLIT_MAX_MS * SIM_MS));
    enum fault_kind kind = joins ? FAULT_JOIN : FAULT_SPLIT;
    if (!(world->options.faults & 1u << kind))
        return;
    sim_trace(&world->sim, end->host->name, "..", net_peer(end)->host->name, "(%s until %.6f)",
              joins ? "writes are joined" : "writes are split", (double)until_ns / (double)SIM_S);
    if (joins)
        net_join(end, until_ns, rng_between(rng, SIM_MS, NET_JOIN_MAX_MS * SIM_MS));
    else
        net_split(end, until_ns);
}

static void on_weather(void *owner, uint64_t arg)
{
    struct world *world = owner;
    (void)arg;
    if (!world->net.weather)
        return;
    struct net_end *end = pick_end(world);
    if (end != NULL)
        change(world, end);
    sim_at(&world->sim,
           world->sim.now_ns + rng_between(&world->net.weather_rng, 0, BETWEEN_MAX_MS * SIM_MS),
           on_weather, world, 0);
}

void weather_begin(struct world *world)
{
    world->net.weather = true;
    world->net.weather_rng.state = ~world->options.seed;
    on_weather(world, 0);
}

void weather_end(struct world *world)
{
    world->net.weather = false;
    world->counts.faults[FAULT_JOIN] = world->net.counts.joined;
    world->counts.faults[FAULT_SPLIT] = world->net.counts.split;
}
