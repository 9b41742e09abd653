#include <stdlib.h>
#include <string.h>

#include "fault_room.h"
#include "plain.h"
#include "server.h"
#include "words.h"
#include "world.h"

enum {
    DOWN_MAX_MS = 8000,
    QUICK_MAX_MS = 300, /* where its last words come late */
    /* A simple server does not say that it has forgotten all. A link takes it for granted when it
     * could not dial it, which it tries so often at least; and when a connection ends. Which is no
     * sign with those that take one line a connection, and none with those whose manner is not
     * known yet. */
    PLAIN_DOWN_MIN_MS = 6000,
    PLAIN_QUICK_MAX_MS = 20, /* may be back before it is dialled again */
    STALL_MAX_MS = 8000,
    EDGE_APART_MS = 1000, /* between the two servers that read their configuration anew */
    EDGE_GONE_MAX_MS = 6000,
    SLOW_MAX_MS = 4000,
    YEAR_S = 365 * 86400,
    DISK_TROUBLE_MAX_MS = 8000,
    STARVE_MAX = 60, /* allocations from now */
    BACKUP_AGE_MAX_MS = 6000,
    REPLAY_AGE_MAX = 8, /* records of the same client that are newer */
    WRONG_TTLS_MAX = 2,
    CLOCK_WRONG_MAX_MS = 6000,
    TRIES = 8 /* to find somebody whom it can befall */
};

bool fault_is_running(const struct world *world, uint32_t i)
{
    if (world->ours[i])
        return world->servers[i]->node != NULL && !world->servers[i]->stopping;
    return world->plains[i]->running;
}

/* A running server, of ours only where that is asked for; SERVER_NOBODY if none was found. */
static uint32_t pick(struct world *world, bool ours)
{
    for (int try = 0; try < TRIES; try++) {
        uint32_t i = (uint32_t)rng_below(&world->rng, world->graph.size);
        if (fault_is_running(world, i) && (world->ours[i] || !ours))
            return i;
    }
    return SERVER_NOBODY;
}

int64_t fault_some_ms(struct world *world, int64_t min_ms, int64_t max_ms)
{
    return rng_between(&world->rng, min_ms * SIM_MS, max_ms * SIM_MS);
}

/* A server of ours has a connection with it that it takes for a living one. */
static bool is_thought_alive(const struct world *world, uint32_t plain)
{
    for (uint32_t i = 0; i < world->graph.size; i++) {
        struct net_end *end = world->ours[i] ? world->hosts[i]->ends : NULL;
        for (; end != NULL; end = end->next) {
            if (end->state == NET_OPEN && net_peer(end)->host == world->hosts[plain])
                return true;
        }
    }
    return false;
}

static void on_plain_restart(void *owner, uint64_t i)
{
    struct world *world = owner;
    struct plain *plain = world->plains[i];
    int64_t now_ns = world->sim.now_ns;
    if (is_thought_alive(world, (uint32_t)i))
        plain->alive_ns = now_ns;
    if (plain->end_shows || now_ns - plain->alive_ns >= PLAIN_DOWN_MIN_MS * SIM_MS)
        plain_start(plain);
    else
        sim_at(&world->sim, now_ns + SIM_S, on_plain_restart, world, i);
}

void fault_on_restart(void *owner, uint64_t i)
{
    struct world *world = owner;
    struct server *server = world->servers[i];
    if (server->node == NULL)
        server_start(server);
    else if (server->stopping)
        sim_at(&world->sim, world->sim.now_ns + SIM_S, fault_on_restart, world, i);
}

static void restart_later(struct world *world, uint32_t i)
{
    int64_t down_max_ms = DOWN_MAX_MS;
    if (!world->ours[i] && world->plains[i]->end_shows && rng_percent(&world->rng, 50))
        down_max_ms = PLAIN_QUICK_MAX_MS;
    if (world->options.net.late_max_ns > 0)
        down_max_ms = QUICK_MAX_MS;
    int64_t at_ns = world->sim.now_ns + fault_some_ms(world, 0, down_max_ms);
    sim_at(&world->sim, at_ns, world->ours[i] ? fault_on_restart : on_plain_restart, world, i);
}

static bool crash(struct world *world, bool loud)
{
    uint32_t i = pick(world, false);
    if (i == SERVER_NOBODY)
        return false;
    if (world->ours[i])
        server_crash(world->servers[i], loud);
    else
        plain_crash(world->plains[i], loud);
    restart_later(world, i);
    return true;
}

void fault_crash_server(struct world *world, uint32_t i)
{
    server_crash(world->servers[i], rng_percent(&world->rng, 50));
    restart_later(world, i);
}

struct disk *fault_pick_disk(struct world *world)
{
    uint32_t i = pick(world, true);
    return i != SERVER_NOBODY ? world->servers[i]->disk : NULL;
}

/* It counts when it happens. */
static bool inject_starve(struct world *world)
{
    uint32_t i = pick(world, true);
    if (i != SERVER_NOBODY)
        world->servers[i]->starve_at = 1 + (size_t)rng_below(&world->rng, STARVE_MAX);
    return false;
}

/* It counts when it happens. */
static bool inject_torn(struct world *world)
{
    struct disk *disk = fault_pick_disk(world);
    if (disk != NULL)
        disk->fatal = true;
    return false;
}

static bool inject_disk_loss(struct world *world)
{
    struct disk *disk = fault_pick_disk(world);
    if (disk == NULL)
        return false;
    fault_crash_server(world, disk->server->index);
    disk_lose(disk);
    return true;
}

static void on_old_disk(void *owner, uint64_t i)
{
    struct world *world = owner;
    if (!world->faulty || !fault_is_running(world, (uint32_t)i))
        return;
    fault_crash_server(world, (uint32_t)i);
    disk_put_backup(world->servers[i]->disk);
    world->counts.faults[FAULT_OLD_DISK]++;
}

/* It counts when it happens, as well. */
static bool inject_old_disk(struct world *world)
{
    struct disk *disk = fault_pick_disk(world);
    if (disk == NULL)
        return false;
    int64_t at_ns = world->sim.now_ns + fault_some_ms(world, 10, BACKUP_AGE_MAX_MS);
    disk_make_backup(disk);
    sim_at(&world->sim, at_ns, on_old_disk, world, disk->server->index);
    return false;
}

static bool inject_disk_full(struct world *world)
{
    struct disk *disk = fault_pick_disk(world);
    if (disk == NULL)
        return false;
    disk->fails_until_ns = world->sim.now_ns + fault_some_ms(world, 10, DISK_TROUBLE_MAX_MS);
    disk_excuse(disk, disk->fails_until_ns);
    return true;
}

static bool inject_disk_slow(struct world *world)
{
    struct disk *disk = fault_pick_disk(world);
    if (disk == NULL)
        return false;
    disk->slow_until_ns = world->sim.now_ns + fault_some_ms(world, 10, DISK_TROUBLE_MAX_MS);
    return true;
}

static bool inject_crash(struct world *world)
{
    return crash(world, true);
}

static bool inject_dark(struct world *world)
{
    return crash(world, false);
}

static bool inject_stop(struct world *world)
{
    uint32_t i = pick(world, true);
    if (i == SERVER_NOBODY)
        return false;
    server_stop(world->servers[i]);
    restart_later(world, i);
    return true;
}

static bool inject_stall(struct world *world)
{
    uint32_t i = pick(world, false);
    if (i == SERVER_NOBODY || world->hosts[i]->stalled_until_ns > world->sim.now_ns)
        return false;
    int64_t until_ns = world->sim.now_ns + fault_some_ms(world, 1, STALL_MAX_MS);
    sim_trace(&world->sim, world->hosts[i]->name, "..", "-", "(stalls until %.6f)",
              (double)until_ns / (double)SIM_S);
    world->hosts[i]->stalled_until_ns = until_ns;
    if (world->ours[i]) {
        world->servers[i]->disturbed_ns = until_ns;
        if (world->servers[i]->disk != NULL)
            disk_excuse(world->servers[i]->disk, until_ns);
    }
    return true;
}

static void on_cut_over(void *owner, uint64_t pair)
{
    struct world *world = owner;
    uint32_t from = (uint32_t)(pair >> 32);
    uint32_t to = (uint32_t)pair;
    if (net_is_cut(&world->net, from, to))
        net_cut(&world->net, from, to, false);
}

void fault_cut(struct world *world, uint32_t from, uint32_t to, int64_t until_ns)
{
    sim_trace(&world->sim, world->hosts[from]->name, "..", world->hosts[to]->name,
              "(cut until %.6f)", (double)until_ns / (double)SIM_S);
    net_cut(&world->net, from, to, true);
    sim_at(&world->sim, until_ns, on_cut_over, world, (uint64_t)from << 32 | to);
}

static bool cut_pair(struct world *world, bool both_ways)
{
    uint32_t from = (uint32_t)rng_below(&world->rng, world->graph.size);
    uint32_t to = (uint32_t)rng_below(&world->rng, world->graph.size);
    if (!graph_joined(&world->graph, from, to) || net_is_cut(&world->net, from, to))
        return false;
    int64_t until_ns = world->sim.now_ns + fault_some_ms(world, 10, CUT_MAX_MS);
    fault_cut(world, from, to, until_ns);
    if (both_ways)
        fault_cut(world, to, from, until_ns);
    return true;
}

static bool inject_cut(struct world *world)
{
    return cut_pair(world, true);
}

static bool inject_cut_one_way(struct world *world)
{
    return cut_pair(world, false);
}

static bool inject_island(struct world *world)
{
    int64_t until_ns = world->sim.now_ns + fault_some_ms(world, 10, CUT_MAX_MS);
    uint64_t side = rng_next(&world->rng);
    uint32_t size = world->graph.size;
    for (uint32_t a = 0; a < size; a++) {
        for (uint32_t b = 0; b < size; b++) {
            if (graph_joined(&world->graph, a, b) && (side >> a % 64 & 1) != (side >> b % 64 & 1) &&
                !net_is_cut(&world->net, a, b))
                fault_cut(world, a, b, until_ns);
        }
    }
    return true;
}

static struct net_wire *pick_wire(struct world *world)
{
    uint32_t i = pick(world, false);
    if (i == SERVER_NOBODY)
        return NULL;
    struct net_end *end = world->hosts[i]->ends;
    for (uint64_t skip = rng_below(&world->rng, 16); end != NULL && skip > 0; skip--)
        end = end->next;
    while (end != NULL &&
           (end->state != NET_OPEN || net_peer(end)->host->index >= world->graph.size))
        end = end->next;
    return end != NULL ? end->wire : NULL;
}

static bool break_wire(struct world *world, unsigned told)
{
    struct net_wire *wire = pick_wire(world);
    if (wire == NULL)
        return false;
    sim_trace(&world->sim, wire->ends[0].host->name, "..", wire->ends[1].host->name,
              "(connection %llu breaks, told: %u)", (unsigned long long)wire->number, told);
    net_break(wire, told);
    return true;
}

static bool inject_break(struct world *world)
{
    return break_wire(world, 3);
}

static bool inject_half_break(struct world *world)
{
    return break_wire(world, 1u << rng_below(&world->rng, 2));
}

static bool inject_hole(struct world *world)
{
    return break_wire(world, 0);
}

/* arg: the server, its neighbour, and whether it is one. */
static void on_edge(void *owner, uint64_t arg)
{
    struct world *world = owner;
    if (world->faulty) /* else all are as they should be again */
        server_configure(world->servers[arg >> 32], (uint32_t)arg >> 1, arg & 1);
}

static bool inject_edge(struct world *world)
{
    uint32_t ends[2] = {(uint32_t)rng_below(&world->rng, world->graph.size),
                        (uint32_t)rng_below(&world->rng, world->graph.size)};
    if (!graph_joined(&world->graph, ends[0], ends[1]) || !world->ours[ends[0]] ||
        !world->ours[ends[1]])
        return false;
    for (unsigned side = 0; side < 2; side++) {
        uint64_t arg = (uint64_t)ends[side] << 32 | (uint64_t)ends[!side] << 1;
        int64_t gone_ns = world->sim.now_ns + fault_some_ms(world, 0, EDGE_APART_MS);
        sim_at(&world->sim, gone_ns, on_edge, world, arg);
        sim_at(&world->sim, gone_ns + fault_some_ms(world, 1, EDGE_GONE_MAX_MS), on_edge, world,
               arg | 1);
    }
    return true;
}

static bool inject_clock(struct world *world)
{
    uint32_t i = pick(world, true);
    if (i == SERVER_NOBODY)
        return false;
    bool far = world->options.record_ttl_ns == 0 && rng_percent(&world->rng, 20);
    int64_t max_ns = far ? 3600 * SIM_S : 3 * SIM_S;
    struct server *server = world->servers[i];
    server_set_clock(server, server->wrong_ns + rng_between(&world->rng, -max_ns, max_ns));
    return true;
}

static void on_clock_right(void *owner, uint64_t i)
{
    struct world *world = owner;
    fault_set_clock_right(world->servers[i]);
}

void fault_set_clock_right(struct server *server)
{
    server_set_clock(server, server->skew_ns - server->wrong_ns);
    server->wrong_ns = 0;
}

/* Where records end, clocks that stay so far apart would agree on nothing. */
static void set_clock_wrong(struct world *world, uint32_t i)
{
    int64_t max_ns = WRONG_TTLS_MAX * world->options.record_ttl_ns;
    struct server *server = world->servers[i];
    fault_set_clock_right(server);
    server->wrong_ns = rng_between(&world->rng, -max_ns, max_ns);
    server_set_clock(server, server->skew_ns + server->wrong_ns);
    sim_at(&world->sim, world->sim.now_ns + fault_some_ms(world, 0, CLOCK_WRONG_MAX_MS),
           on_clock_right, world, i);
}

static bool inject_year(struct world *world)
{
    uint32_t i = pick(world, true);
    if (i == SERVER_NOBODY)
        return false;
    if (world->options.record_ttl_ns > 0)
        set_clock_wrong(world, i);
    else
        server_set_clock(world->servers[i],
                         rng_between(&world->rng, -YEAR_S * SIM_S, YEAR_S * SIM_S));
    return true;
}

static void on_slow_over(void *owner, uint64_t arg)
{
    struct world *world = owner;
    (void)arg;
    if (world->net.slow > 0)
        world->net.slow--;
}

static bool inject_slow(struct world *world)
{
    world->net.slow++;
    sim_at(&world->sim, world->sim.now_ns + fault_some_ms(world, 10, SLOW_MAX_MS), on_slow_over,
           world, 0);
    return true;
}

static struct model_record *pick_record(struct world *world)
{
    uint64_t client = rng_below(&world->rng, world->model.client_count);
    struct model_record *record = world->model.clients[client].newest_born;
    for (uint64_t age = rng_below(&world->rng, REPLAY_AGE_MAX); age > 0 && record != NULL; age--)
        record = record->older != NULL ? record->older : record;
    return record;
}

static bool inject_replay(struct world *world)
{
    struct model_record *record = pick_record(world);
    uint32_t i = pick(world, false);
    if (record == NULL || i == SERVER_NOBODY)
        return false;
    net_dial(&world->stranger, world->hosts[i], record);
    return true;
}

static bool resend(struct world *world, uint32_t i, uint32_t to, uint32_t client)
{
    if (i == SERVER_NOBODY || world->ours[i] || !graph_joined(&world->graph, i, to))
        return false;
    struct model_record *held = model_held(&world->model, i, client);
    if (held == NULL)
        return false;
    plain_flood(world->plains[i], to, held);
    return true;
}

/* Most servers are not of the plain kind, and most pairs no neighbours. */
static bool inject_resend(struct world *world)
{
    enum { RESEND_TRIES = 16 };
    bool done = false;
    for (int i = 0; i < RESEND_TRIES && !done; i++) {
        uint32_t from = pick(world, false);
        uint32_t client = (uint32_t)rng_below(&world->rng, world->model.client_count);
        uint32_t to = (uint32_t)rng_below(&world->rng, world->graph.size);
        done = resend(world, from, to, client);
    }
    return done;
}

static bool (*const injectors[FAULT_KINDS])(struct world *world) = {
    [FAULT_CRASH] = inject_crash,
    [FAULT_DARK] = inject_dark,
    [FAULT_STOP] = inject_stop,
    [FAULT_STALL] = inject_stall,
    [FAULT_CUT] = inject_cut,
    [FAULT_CUT_ONE_WAY] = inject_cut_one_way,
    [FAULT_ISLAND] = inject_island,
    [FAULT_BREAK] = inject_break,
    [FAULT_HALF_BREAK] = inject_half_break,
    [FAULT_HOLE] = inject_hole,
    [FAULT_EDGE] = inject_edge,
    [FAULT_CLOCK] = inject_clock,
    [FAULT_YEAR] = inject_year,
    [FAULT_SLOW] = inject_slow,
    [FAULT_REPLAY] = inject_replay,
    [FAULT_STARVE] = inject_starve,
    [FAULT_TORN] = inject_torn,
    [FAULT_DISK_LOSS] = inject_disk_loss,
    [FAULT_OLD_DISK] = inject_old_disk,
    [FAULT_OLD_COPY] = fault_old_copy,
    [FAULT_COPY_RESTART] = fault_copy_restart,
    [FAULT_DISK_EXCHANGE] = fault_disk_exchange,
    [FAULT_DISK_FULL] = inject_disk_full,
    [FAULT_DISK_SLOW] = inject_disk_slow,
    [FAULT_RESEND] = inject_resend,
};

static const struct {
    const char *name, *text;
} rows[FAULT_KINDS] = {
#define FAULT_ROW(id, name, text) [id] = {name, text},
    FAULT_TABLE(FAULT_ROW)
#undef FAULT_ROW
};

const char *fault_name(enum fault_kind kind)
{
    return rows[kind].name;
}

const char *fault_text(enum fault_kind kind)
{
    return rows[kind].text;
}

enum fault_kind fault_of(const char *name)
{
    enum fault_kind kind = 0;
    while (kind < FAULT_KINDS && strcmp(name, rows[kind].name) != 0)
        kind++;
    return kind;
}

enum { DRAWN_KINDS = FAULT_JOIN }; /* the others are weather */

/* One of those that may happen. */
static enum fault_kind pick_kind(struct world *world)
{
    enum fault_kind kind;
    do {
        kind = (enum fault_kind)rng_below(&world->rng, DRAWN_KINDS);
    } while (!(world->options.faults & 1u << kind));
    return kind;
}

static void on_fault(void *owner, uint64_t arg)
{
    struct world *world = owner;
    (void)arg;
    if (!world->faulty)
        return;
    enum fault_kind kind = pick_kind(world);
    if (injectors[kind](world)) {
        sim_mix(&world->sim, kind);
        sim_trace(&world->sim, "fault", "..", "-", "(%s)", rows[kind].text);
        world->counts.faults[kind]++;
    }
    int64_t wait_ns = rng_between(&world->rng, 0, world->options.fault_every_ns * 2);
    sim_at(&world->sim, world->sim.now_ns + wait_ns, on_fault, world, 0);
}

void fault_begin(struct world *world)
{
    if (world->options.faults & FAULT_WEATHER)
        weather_begin(world);
    world->faulty = (world->options.faults & ~FAULT_WEATHER) != 0;
    if (world->faulty)
        on_fault(world, 0);
}
