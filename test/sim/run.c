#include <stdlib.h>

#include "phone.h"
#include "run.h"
#include "server.h"
#include "shortage.h"
#include "words.h"

enum {
    LINK_MAX_S = 10,        /* for the links to come up, at the start */
    EVEN_MAX_S = 60,        /* from the end of the faults until all stores are equal */
    PLAIN_EVEN_MAX_S = 150, /* the same, with servers that take one line a connection */
    POLL_MS = 100,
    AUDIT_S = 3, /* each line is checked when it comes; the stores as a whole, now and then */
    PEACE_S = 8,
    REST_MS = 8000, /* of peace before it is taken for lasting */
    QUIET_MS = 6000,
    PROBES = 3,
    PROBE_MS = 8000, /* for one update to be everywhere, and so many delays a server */
    PROBE_DELAYS = 2,
    STOP_MS = 8000,
    YEAR_S = 365 * 86400,
    SKEW_S = 5,
    LATE_MAX_MS = 1000,
    SAFETY_TIMEOUT_S = 2,
    FEW_RECORDS_MIN = 4,
    STEP_RECORDS_MIN = 1,
    STEP_RECORDS_MAX = 40,
    TTL_MIN_S = 20, /* as long as a probe takes */
    TTL_MAX_S = 30,
    DOUBT_MAX_S = 40, /* from the end of all records until each connection counts again */
    ENDED_MS = 10000, /* after the time to live, for clocks that differ */
    TOLD_MS = 12000,  /* and for the last DIGEST */
    RECORD_BYTES_MAX = 4096 + 1024,
    STORE_BYTES_MIN = 2 << 20
};

const struct run_options run_defaults = {.servers = RUN_RANDOM,
                                         .graph = GRAPH_KINDS,
                                         .plain = RUN_RANDOM,
                                         .clients = RUN_RANDOM,
                                         .fat_percent = RUN_RANDOM,
                                         .durability = RUN_ANY,
                                         .ttl_s = RUN_RANDOM,
                                         .roam_percent = RUN_RANDOM,
                                         .batch = RUN_RANDOM,
                                         .faults = FAULT_ALL,
                                         .checks = (1u << SIM_CHECKS) - 1};

static const struct net_options networks[] = {
    {.delay_min_ns = SIM_MS / 10, .delay_max_ns = 2 * SIM_MS},
    {.delay_min_ns = 5 * SIM_MS, .delay_max_ns = 80 * SIM_MS},
    {.delay_min_ns = SIM_MS, .delay_max_ns = 20 * SIM_MS, .spike_permille = 10},
    {.delay_min_ns = 10 * SIM_MS, .delay_max_ns = 400 * SIM_MS},
};

static void choose_herd(const struct run_options *options, struct rng *rng,
                        struct world_options *world)
{
    world->graph = options->graph;
    if (options->graph == GRAPH_KINDS)
        world->graph = (enum graph_kind)rng_below(rng, GRAPH_KINDS);
    world->servers = options->servers;
    if (options->servers == RUN_RANDOM)
        world->servers = (uint32_t)rng_between(rng, 2, 8);
    world->plain = options->plain;
    if (options->plain == RUN_RANDOM)
        world->plain = rng_percent(rng, 35) ? (uint32_t)rng_between(rng, 1, 3) : 0;
    world->clients = options->clients;
    if (options->clients == RUN_RANDOM)
        world->clients = (uint32_t)rng_between(rng, 1, 60);
    /* A simple server takes one line a connection: 1,000 of them take their time. */
    if (options->clients == RUN_RANDOM && world->plain == 0 && rng_percent(rng, 40))
        world->clients = 1000;
    world->ids = world->clients;
    world->clients += PROBES;
    world->fat_percent = options->fat_percent;
    if (options->fat_percent == RUN_RANDOM)
        world->fat_percent = rng_percent(rng, 10) ? 50 : 0;
    world->updates = options->updates;
    if (world->updates <= 0)
        world->updates = (double)rng_between(rng, 5, 60);
}

static void choose_conditions(const struct run_options *options, struct rng *rng,
                              struct world_options *world)
{
    static const int64_t skews_ns[] = {0, 0, 0, SIM_S, 3600 * SIM_S};
    world->phones = (uint32_t)rng_between(rng, 2, 12);
    world->phone_skew_max_ns = rng_percent(rng, 10) ? YEAR_S * SIM_S : 2 * SIM_S;
    world->roam_percent = rng_percent(rng, 50) ? (unsigned)rng_between(rng, 0, 100) : 0;
    world->iamat_percent = 70;
    world->skew_max_ns = rng_percent(rng, 50) ? SKEW_S * SIM_S : 0;
    if (world->plain == 0 && rng_percent(rng, 12))
        world->record_ttl_ns = rng_between(rng, TTL_MIN_S, TTL_MAX_S) * SIM_S;
    else if (rng_percent(rng, 10))
        world->skew_max_ns = YEAR_S * SIM_S;
    world->max_skew_ns = skews_ns[rng_below(rng, 5)];
    world->turn_max_ns = rng_percent(rng, 50) ? rng_between(rng, 0, 3 * SIM_MS) : 0;
    world->net = networks[rng_below(rng, sizeof(networks) / sizeof(networks[0]))];
    world->net.cut_percent = rng_percent(rng, 50) ? 20 : 0;
    world->net.join_percent = rng_percent(rng, 50) ? 20 : 0;
    world->net.keepalive_ns = 20 * SIM_S;
    world->net.late_max_ns = options->late ? LATE_MAX_MS * SIM_MS : 0;
    world->output_max = rng_percent(rng, 30) ? 16384 : 1 << 20;
    world->pipeline_max = rng_percent(rng, 30) ? (unsigned)rng_between(rng, 1, 4) : 256;
    world->fault_every_ns = rng_between(rng, SIM_S / 5, 3 * SIM_S);
    if (options->fault_every_ns > 0)
        world->fault_every_ns = options->fault_every_ns;
    world->faults = options->faults;
    if (!options->all_faults)
        world->faults &= (unsigned)rng_next(rng); /* a few kinds at a time reach further */
}

/* Clocks that are a year apart agree on no end. */
static void choose_ttl(const struct run_options *options, struct world_options *world)
{
    world->record_ttl_ns = options->ttl_s * SIM_S;
    if (options->ttl_s > 0 && world->skew_max_ns > SKEW_S * SIM_S)
        world->skew_max_ns = SKEW_S * SIM_S;
}

/* A thousand records in batches of a few take longer than a disk has in which to be up to date. */
static unsigned few_records(struct rng *rng, const struct world_options *world)
{
    bool few = world->clients <= WORLD_FEW_CLIENTS_MAX && rng_percent(rng, 50);
    return few ? (unsigned)rng_between(rng, FEW_RECORDS_MIN, WORLD_FEW_RECORDS_MAX) : 0;
}

/* A batch for the disk is copied over several turns then, between which more comes. */
static unsigned few_in_a_turn(struct rng *rng)
{
    return rng_percent(rng, 70) ? (unsigned)rng_between(rng, STEP_RECORDS_MIN, STEP_RECORDS_MAX)
                                : 0;
}

/* With durability herd, somebody has to be there who can say that he holds it. */
static void choose_disks(const struct run_options *options, struct rng *rng,
                         struct world_options *world)
{
    static const enum herd_durability some[] = {HERD_DURABILITY_NONE,     HERD_DURABILITY_NONE,
                                                HERD_DURABILITY_INTERVAL, HERD_DURABILITY_COMMIT,
                                                HERD_DURABILITY_HERD,     HERD_DURABILITY_HERD};
    uint64_t dice = rng_below(rng, sizeof(some) / sizeof(some[0]));
    bool disks = rng_percent(rng, 60);
    world->durability = some[dice];
    if (options->durability != RUN_ANY)
        world->durability = (enum herd_durability)options->durability;
    if (world->durability == HERD_DURABILITY_HERD && world->plain > 0)
        world->durability = HERD_DURABILITY_COMMIT;
    world->disks = world->durability == HERD_DURABILITY_HERD
                       ? disks
                       : world->durability != HERD_DURABILITY_NONE;
    struct rng other = *rng; /* a copy: what a seed has always chosen stays */
    world->safety_timeout_ns = rng_percent(&other, 50) ? SAFETY_TIMEOUT_S * SIM_S : 0;
    world->batch_records_max = options->batch;
    if (options->batch == RUN_RANDOM)
        world->batch_records_max = few_records(&other, world);
    if (world->durability != HERD_DURABILITY_COMMIT) /* where a step is all of a batch */
        world->batch_step_max = few_in_a_turn(&other);
    world->lose_digests = options->lose_digests;
}

/* What measures speed should not measure odd phones. */
static void be_tidy(struct world_options *world)
{
    world->tidy = true;
    world->iamat_percent = 90;
    world->fat_percent = 0;
    world->roam_percent = 0;
    world->record_ttl_ns = 0;
    world->turn_max_ns = 0;
    world->max_skew_ns = 0;
    world->net = networks[0];
    world->net.keepalive_ns = 20 * SIM_S;
    world->output_max = 1 << 20;
    world->pipeline_max = 256;
}

static void describe(const struct world *world, struct run_result *out)
{
    static const char *const durabilities[] = {"none", "interval", "commit", "herd"};
    snprintf(out->herd, sizeof(out->herd),
             "%s of %u, %u plain, %u clients, %.0f updates/s, durability %s%s%s",
             graph_kind_name(world->options.graph), (unsigned)world->graph.size,
             (unsigned)world->options.plain, (unsigned)world->model.client_count,
             world->options.updates, durabilities[world->options.durability],
             world->options.disks ? ", disks" : "",
             world->options.record_ttl_ns > 0 ? ", records end" : "");
}

static void advance(struct world *world, int64_t ns)
{
    sim_run(&world->sim, world->sim.now_ns + ns);
}

static void become_linked(struct world *world)
{
    while (!world->sim.failed && !world_is_linked(world) && world->sim.now_ns < LINK_MAX_S * SIM_S)
        advance(world, POLL_MS * SIM_MS);
    if (!world_is_linked(world))
        sim_fail(&world->sim, SIM_LIVE, "not all links are up in %d s", LINK_MAX_S);
    advance(world, SIM_S);
}

static void live_through_faults(struct world *world, double seconds)
{
    int64_t end_ns = world->sim.now_ns + (int64_t)(seconds * 1e9);
    world->busy = true;
    if (world->options.faults != 0)
        fault_begin(world);
    if (!world->faulty)
        world->calm_ns = world->sim.now_ns;
    while (!world->sim.failed && world->sim.now_ns < end_ns) {
        int64_t left_ns = end_ns - world->sim.now_ns;
        advance(world, left_ns < AUDIT_S * SIM_S ? left_ns : AUDIT_S * SIM_S);
        world_audit(world);
        if (world->options.plant == PLANT_AMNESIA)
            server_forget(world->servers[0]);
    }
    world->busy = false;
}

static void forget_all(struct world *world)
{
    for (uint32_t i = 0; i < world->graph.size; i++) {
        if (world->ours[i])
            server_forget(world->servers[i]);
    }
}

static const struct {
    bool (*holds)(const struct world *world);
    const char *else_text;
} goals[] = {
    {world_is_left, "clients wait for answers"},
    {world_is_whole, "a server has half a connection"},
    {world_is_linked, "not all links are up and have sent all"},
    {world_is_even, NULL},
};

enum { GOALS = sizeof(goals) / sizeof(goals[0]) };

/* The first that is not reached, or GOALS. */
static size_t missed_goal(const struct world *world)
{
    size_t goal = 0;
    while (goal < GOALS && goals[goal].holds(world))
        goal++;
    return goal;
}

/* All goals have to be reached, and to stay so for a while. How long it took, in out->even_ns.
 * Clients that sent a hundred lines at once, to a server that takes one at a time, and whose answers
 * each wait for a neighbour, are served for as long as that takes. */
static void become_even(struct world *world, struct run_result *out)
{
    int max_s = world->options.plain > 0 ? PLAIN_EVEN_MAX_S : EVEN_MAX_S;
    int64_t begin_ns = world->sim.now_ns;
    int64_t missed_ns = begin_ns, served_ns = begin_ns;
    uint64_t waiting = world_waiting(world);
    size_t goal = 0;
    while (!world->sim.failed && world->sim.now_ns - missed_ns < REST_MS * SIM_MS &&
           world->sim.now_ns < served_ns + max_s * SIM_S) {
        advance(world, POLL_MS * SIM_MS);
        world_note_calm(world);
        goal = missed_goal(world);
        if (goal < GOALS)
            missed_ns = world->sim.now_ns;
        if (world_waiting(world) < waiting) {
            waiting = world_waiting(world);
            served_ns = world->sim.now_ns;
        }
    }
    out->even_ns = missed_ns - begin_ns;
    if (goal < GOALS && goals[goal].else_text != NULL)
        sim_fail(&world->sim, SIM_LIVE, "%d s after the last fault and answer, %s", max_s,
                 goals[goal].else_text);
    else if (goal < GOALS)
        world_fail_uneven(world);
}

/* No fault is left but the weather, and phones speak: each answer has to come soon. */
static void speak_in_peace(struct world *world)
{
    struct run_result again;
    world->busy = world->peace = true;
    advance(world, PEACE_S * SIM_S);
    world->busy = world->peace = false;
    become_even(world, &again);
    weather_end(world);
}

static int64_t longer(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* When the last of the records ends that a server holds now: its clock may have been ahead. */
static int64_t last_end_ns(const struct world *world)
{
    const struct model *model = &world->model;
    int64_t last_ns = world_wall_ns(world);
    for (size_t i = 0; i < (size_t)model->server_count * model->client_count; i++) {
        if (model->held[i] != NULL)
            last_ns = longer(last_ns, model->held[i]->fields.received_ns);
    }
    return last_ns + world->options.record_ttl_ns;
}

static const struct server *find_doubt(const struct world *world)
{
    for (uint32_t i = 0; i < world->graph.size; i++) {
        const struct server *server = world->servers[i];
        if (server != NULL && server->node != NULL && server_doubts(server))
            return server;
    }
    return NULL;
}

/* A neighbour whose clock was wrong counts again, soon after it is right. */
static void trust_again(struct world *world)
{
    int64_t end_ns = world->sim.now_ns + DOUBT_MAX_S * SIM_S;
    while (find_doubt(world) != NULL && !world->sim.failed && world->sim.now_ns < end_ns)
        advance(world, POLL_MS * SIM_MS);
    const struct server *server = find_doubt(world);
    if (server != NULL)
        sim_fail(&world->sim, SIM_LIVE, "to %s, ACKs of a neighbour mean nothing since %d s",
                 server->name, DOUBT_MAX_S);
}

/* Records end at all servers, and of none a trace is left in the digest. */
static void outlive(struct world *world)
{
    advance(world, last_end_ns(world) - world_wall_ns(world) + ENDED_MS * SIM_MS);
    for (uint32_t i = 0; i < world->graph.size; i++) {
        const struct server *server = world->servers[i];
        const struct herd_store *store = herd_node_store(server->node);
        if (herd_store_count(store) > 0 || herd_store_digest(store) != 0)
            sim_fail(&world->sim, SIM_EQUAL,
                     "%s holds %zu records that have ended, and its digest is %016llx",
                     server->name, herd_store_count(store),
                     (unsigned long long)herd_store_digest(store));
    }
    trust_again(world);
    advance(world, TOLD_MS * SIM_MS);
}

static void be_quiet(struct world *world)
{
    world->quiet = true;
    advance(world, QUIET_MS * SIM_MS);
    world->quiet = false;
}

/* Where records end, servers differ for as long as their clocks do, and say so; who looks for the
 * difference while an update is on its way may ask for that, too. */
static uint32_t floods_of(const struct world *world, const struct model_record *record)
{
    bool expected = world->options.record_ttl_ns > 0;
    return record->floods + (expected ? 0 : record->mends);
}

/* The floods of an update that nothing disturbs: each server says it to all neighbours, but not to
 * the one it has it from. A simple one may say it to that one as well. */
static void check_floods(struct world *world, const struct model_record *record)
{
    uint32_t servers = world->graph.size;
    uint32_t want = 2 * world->graph.edges - (servers - 1);
    uint32_t floods = floods_of(world, record);
    bool exact = world->options.plain == 0 && !world->options.prune;
    bool too_many = floods > (exact ? want : 2 * world->graph.edges);
    if (too_many || record->mends > 2 * world->graph.edges || (exact && floods < want))
        sim_fail(&world->sim, SIM_COUNT,
                 "an update caused %u FLOODs, not %u, and %u that mend, in a %s of %u: %.*s",
                 (unsigned)floods, (unsigned)want, (unsigned)record->mends,
                 graph_kind_name(world->options.graph), (unsigned)servers, (int)record->text.len,
                 record->text.data);
}

static bool has_reached_all(const struct world *world, uint32_t client)
{
    const struct model_record *record = world->model.clients[client].newest_born;
    bool all = record != NULL;
    for (uint32_t i = 0; all && i < world->graph.size; i++)
        all = model_held(&world->model, i, client) == record;
    return all;
}

static void check_reached_all(struct world *world, const struct model_record *record)
{
    for (uint32_t i = 0; i < world->graph.size; i++) {
        if (model_held(&world->model, i, record->client) != record &&
            !world_has_ended(world, record)) /* where a clock is ahead */
            sim_fail(&world->sim, SIM_EQUAL, "an update has not reached %s: %.*s",
                     world->hosts[i]->name, (int)record->text.len, record->text.data);
    }
}

/* One update in a herd at rest. Returns what it took. */
static int64_t probe(struct world *world, uint32_t client)
{
    int64_t begin_ns = world->sim.now_ns;
    struct herd_buf line = {0};
    struct herd_slice id = world->model.clients[client].id;
    uint32_t server = (uint32_t)rng_below(&world->rng, world->graph.size);
    words_printf(&line, "IAMAT %.*s +34.068930-118.445127 %lld", (int)id.len, id.data,
                 (long long)(world_wall_ns(world) / SIM_S));
    phone_say(world->probe, server, herd_buf_slice(&line));
    herd_buf_free(&line);
    int64_t end_ns = begin_ns + PROBE_MS * SIM_MS +
                     (int64_t)world->graph.size * PROBE_DELAYS * world->options.net.delay_max_ns;
    while (!world->sim.failed && !has_reached_all(world, client) && world->sim.now_ns < end_ns)
        advance(world, SIM_MS);
    int64_t reach_ns = world->sim.now_ns - begin_ns;
    advance(world, end_ns - world->sim.now_ns);
    const struct model_record *record = world->model.clients[client].newest_born;
    if (record == NULL || phone_waits(world->probe) > 0) {
        sim_fail(&world->sim, SIM_LIVE, "%s has not answered an IAMAT", world->hosts[server]->name);
        return reach_ns;
    }
    check_reached_all(world, record);
    check_floods(world, record);
    return reach_ns;
}

/* In a herd that nothing befalls, no update causes more FLOODs than that. */
static void check_all_floods(struct world *world)
{
    uint32_t most = 2 * world->graph.edges - (world->graph.size - 1);
    for (uint32_t i = 0; i < world->model.client_count; i++) {
        const struct model_record *record = world->model.clients[i].newest_born;
        for (; record != NULL; record = record->older) {
            if (floods_of(world, record) > most)
                check_floods(world, record);
        }
    }
}

static void stop_all(struct world *world)
{
    world->calm_ns = SIM_NEVER;
    for (uint32_t i = 0; i < world->graph.size; i++) {
        if (world->ours[i])
            server_stop(world->servers[i]);
    }
    advance(world, STOP_MS * SIM_MS);
    for (uint32_t i = 0; i < world->graph.size; i++) {
        if (world->ours[i] && world->servers[i]->node != NULL)
            sim_fail(&world->sim, SIM_LIVE, "%s does not stop", world->servers[i]->name);
    }
}

static void check_memory(struct world *world, struct run_result *out)
{
    size_t most = STORE_BYTES_MIN + (size_t)world->model.client_count * RECORD_BYTES_MAX;
    for (uint32_t i = 0; i < world->graph.size; i++) {
        if (!world->ours[i] || world->servers[i]->node == NULL)
            continue;
        size_t bytes = herd_store_bytes(herd_node_store(world->servers[i]->node));
        out->store_bytes = bytes > out->store_bytes ? bytes : out->store_bytes;
        if (bytes > most)
            sim_fail(&world->sim, SIM_GROWTH, "%s has a store of %zu bytes", world->hosts[i]->name,
                     bytes);
    }
}

static void run_phases(struct world *world, const struct run_options *options, double seconds,
                       struct run_result *out)
{
    int64_t reach_ns = 0;
    world->count_floods = world->options.faults == 0 && world->options.plain == 0;
    world_start(world);
    become_linked(world);
    live_through_faults(world, seconds);
    world_heal(world);
    if (options->plant == PLANT_ALL_AMNESIA)
        forget_all(world);
    become_even(world, out);
    if (world->net.weather)
        speak_in_peace(world);
    world_audit(world);
    if (world->options.record_ttl_ns == 0)
        world_check_digests(world);
    world_check_promises(world);
    if (world->options.record_ttl_ns > 0 && !world->sim.failed)
        outlive(world);
    be_quiet(world);
    if (world->count_floods)
        check_all_floods(world);
    world->count_floods = true;
    for (uint32_t i = 0; i < PROBES && !world->sim.failed; i++)
        reach_ns = longer(reach_ns, probe(world, world->model.client_count - 1 - i));
    out->reach_ns = reach_ns;
    out->edges = world->graph.edges;
    world_audit(world);
    check_memory(world, out);
    out->updates = world->model.births;
    out->acknowledged = world->model.acknowledged;
    out->lost = world->model.lost;
}

static void run_world(const struct run_options *options, uint64_t seed, struct run_result *out)
{
    struct rng rng = {seed * UINT64_C(0x9e3779b97f4a7c15)};
    struct world_options chosen = {.seed = rng_next(&rng),
                                   .wall_ns = 1700000000 * SIM_S,
                                   .plant = options->plant,
                                   .prune = options->prune,
                                   .trace = options->trace};
    choose_herd(options, &rng, &chosen);
    choose_conditions(options, &rng, &chosen);
    choose_disks(options, &rng, &chosen);
    if (options->ttl_s != RUN_RANDOM)
        choose_ttl(options, &chosen);
    double seconds = (double)rng_between(&rng, 5, 15);
    if (chosen.record_ttl_ns > 0)
        seconds *= 4; /* so that records end while faults last */
    if (options->seconds > 0)
        seconds = options->seconds;
    if (options->tidy)
        be_tidy(&chosen);
    if (options->roam_percent != RUN_RANDOM)
        chosen.roam_percent = options->roam_percent;

    struct world world;
    *out = (struct run_result){0};
    world_init(&world, &chosen);
    world.sim.checks = options->checks;
    describe(&world, out);
    run_phases(&world, options, seconds, out);
    if (!world.sim.failed)
        stop_all(&world);
    out->failed = world.sim.failed;
    out->check = world.sim.failed_check;
    out->failed_at_ns = world.sim.failed_at_ns;
    snprintf(out->failure, sizeof(out->failure), "%s", world.sim.failure);
    out->hash = world.sim.hash;
    out->virtual_ns = world.sim.now_ns;
    out->counts = world.counts;
    out->net = world.net.counts;
    world_close(&world);
}

void run_seed(const struct run_options *options, uint64_t seed, struct run_result *out)
{
    long before = shortage_live();
    run_world(options, seed, out);
    long leaked = shortage_live() - before;
    if (leaked == 0 || out->failed)
        return;
    out->failed = true;
    out->check = SIM_GROWTH;
    snprintf(out->failure, sizeof(out->failure), "%ld allocations were not freed", leaked);
}
