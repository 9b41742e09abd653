/*
 * sim-trees: what pruning saves, and what it costs, in a large herd: the same herd lives twice from
 * one seed, with plain flooding and with pruning, and the two are compared.
 *
 *   links come up -> the first update of some servers -> more of them, one by one -> many at once
 *   -> some servers crash -> the first update of each origin after it (--back: -> they are there
 *   again, with nothing -> more updates)
 *
 * Servers have fixed distances, so that the fastest way between two of them stays the fastest; what
 * the network adds to them by chance is --jitter.
 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "phone.h"
#include "server.h"
#include "trees_setting.h"
#include "words.h"
#include "world.h"

#ifdef SIM_MUTANTS
#include "mutant.h"
#endif

enum {
    LINK_MAX_S = 20,
    SETTLE_MS = 3000,
    BETWEEN_MS = 2000, /* two updates, one by one */
    EVEN_MAX_S = 60,
    CRASH_TRIES = 100
};

/* Of a number of updates. */
struct tally {
    uint64_t updates, lines, missed;
    int64_t sum_ns, max_ns; /* until the last server had it */
};

struct outcome {
    struct tally first, later, busy, crashed, back_first, back;
    double busy_lines; /* an update */
    uint64_t controls, bytes, busy_updates;
    uint32_t edges, alive, edges_alive;
    bool even;
};

struct life {
    const struct setting *setting;
    struct world world;
    struct rng rng; /* of the scenario: the same in both lives */
    uint32_t *origins;
    uint32_t next_client;
    bool *alive;
};

static void join(struct graph *graph, uint32_t a, uint32_t b)
{
    if (a == b || graph_joined(graph, a, b))
        return;
    graph->joined[(size_t)a * graph->size + b] = graph->joined[(size_t)b * graph->size + a] = true;
    graph->edges++;
}

/* A ring, and twice as many edges in all: chords from each server, or between any two. */
static void join_large(struct graph *graph, const struct setting *setting, struct rng *rng)
{
    uint32_t size = graph->size;
    for (uint32_t i = 0; i < size; i++)
        join(graph, i, (i + 1) % size);
    while (graph->edges < 2 * size) {
        uint32_t from = setting->chords ? graph->edges - size : (uint32_t)rng_below(rng, size);
        join(graph, from, (from + 2 + (uint32_t)rng_below(rng, size - 3)) % size);
    }
}

static void live_begin(struct life *life, const struct setting *setting, bool prune)
{
    struct world_options options = {
        .seed = setting->seed,
        .graph = GRAPH_LINE,
        .servers = setting->servers,
        .clients = setting->origins * (setting->updates + setting->back + 2) + setting->busy,
        .tidy = true,
        .wall_ns = 1700000000 * SIM_S,
        .net = {.delay_max_ns = (int64_t)(setting->jitter_ms * 1e6),
                .keepalive_ns = 20 * SIM_S,
                .distance_min_ns = (int64_t)(setting->near_ms * 1e6),
                .distance_max_ns = (int64_t)(setting->far_ms * 1e6),
                .distance_seed = setting->seed},
        .output_max = 1 << 20,
        .pipeline_max = 256,
        .prune = prune,
        .plant = setting->plant,
    };
    *life = (struct life){.setting = setting, .rng = {setting->seed * 31 + 7}};
    struct world *world = &life->world;
    world_init(world, &options);
    join_large(&world->graph, setting, &life->rng);
    life->alive = sim_alloc(setting->servers, sizeof(bool));
    for (uint32_t i = 0; i < setting->servers; i++) {
        life->alive[i] = true;
        for (uint32_t near = 0; near < setting->servers; near++)
            world->servers[i]->edges[near] = graph_joined(&world->graph, i, near);
    }
    life->origins = sim_alloc(setting->origins, sizeof(uint32_t));
    for (uint32_t i = 0; i < setting->origins; i++)
        life->origins[i] = (uint32_t)rng_below(&life->rng, setting->servers);
    world->count_floods = true;
    world_start(world);
}

static void live_end(struct life *life)
{
    world_close(&life->world);
    free(life->origins);
    free(life->alive);
}

static void advance_ms(struct life *life, double ms)
{
    sim_run(&life->world.sim, life->world.sim.now_ns + (int64_t)(ms * 1e6));
}

/* An update of a client that nobody has heard of; the client's number. */
static uint32_t update(struct life *life, uint32_t origin)
{
    struct world *world = &life->world;
    struct herd_buf line = {0};
    uint32_t client = life->next_client++;
    struct herd_slice id = world->model.clients[client].id;
    words_printf(&line, "IAMAT %.*s +34.068930-118.445127 %lld", (int)id.len, id.data,
                 (long long)(world_wall_ns(world) / SIM_S));
    phone_say(world->probe, origin, herd_buf_slice(&line));
    herd_buf_free(&line);
    return client;
}

static uint32_t count_alive(const struct life *life)
{
    uint32_t alive = 0;
    for (uint32_t i = 0; i < life->setting->servers; i++)
        alive += life->alive[i];
    return alive;
}

static void count(struct life *life, struct tally *tally, uint32_t client)
{
    const struct model_record *record = life->world.model.clients[client].newest_born;
    tally->updates++;
    if (record == NULL || record->holders < count_alive(life)) {
        tally->missed++;
        return;
    }
    int64_t took_ns = record->kept_ns - record->born_ns;
    tally->lines += record->floods + record->mends;
    tally->sum_ns += took_ns;
    tally->max_ns = took_ns > tally->max_ns ? took_ns : tally->max_ns;
}

static void update_each(struct life *life, struct tally *tally)
{
    double between_ms = life->setting->every_s * 1000 / life->setting->origins;
    for (uint32_t i = 0; i < life->setting->origins; i++) {
        uint32_t client = update(life, life->origins[i]);
        advance_ms(life, between_ms > BETWEEN_MS ? between_ms : BETWEEN_MS);
        count(life, tally, client);
    }
}

/* Updates of the same origins, so many that they are on their way together. */
static void be_busy(struct life *life, struct outcome *out)
{
    const struct setting *setting = life->setting;
    struct world_counts before = life->world.counts;
    uint64_t births = life->world.model.births;
    uint32_t first = life->next_client;
    for (uint32_t i = 0; i < setting->busy; i++) {
        update(life, life->origins[rng_below(&life->rng, setting->origins)]);
        advance_ms(life, (double)rng_below(&life->rng, 10));
    }
    advance_ms(life, BETWEEN_MS);
    for (uint32_t client = first; client < life->next_client; client++) {
        if (life->world.model.clients[client].newest_born != NULL)
            count(life, &out->busy, client);
    }
    out->busy_updates = life->world.model.births - births; /* some die with their connection */
    double updates = out->busy_updates > 0 ? (double)out->busy_updates : 1;
    out->busy_lines = (double)(life->world.counts.floods - before.floods) / updates;
    out->controls = life->world.counts.controls - before.controls;
    out->bytes = life->world.counts.flood_bytes - before.flood_bytes +
                 life->world.counts.control_bytes - before.control_bytes;
}

static bool is_origin(const struct life *life, uint32_t server)
{
    for (uint32_t i = 0; i < life->setting->origins; i++) {
        if (life->origins[i] == server)
            return true;
    }
    return false;
}

/* Others than the origins die at once; those that are left are connected. */
static void crash_some(struct life *life)
{
    const struct setting *setting = life->setting;
    uint32_t left = setting->servers * setting->crash_percent / 100;
    for (uint32_t tries = 0; left > 0 && tries < setting->servers * CRASH_TRIES; tries++) {
        uint32_t victim = (uint32_t)rng_below(&life->rng, setting->servers);
        if (!life->alive[victim] || is_origin(life, victim))
            continue;
        life->alive[victim] = false;
        if (graph_connected(&life->world.graph, life->alive))
            left--;
        else
            life->alive[victim] = true;
    }
    for (uint32_t i = 0; i < setting->servers; i++) {
        if (!life->alive[i])
            server_crash(life->world.servers[i], !setting->dark);
    }
}

static void wait_for_links(struct life *life)
{
    int64_t end_ns = life->world.sim.now_ns + LINK_MAX_S * SIM_S;
    while (!world_is_linked(&life->world) && life->world.sim.now_ns < end_ns)
        advance_ms(life, 100);
    advance_ms(life, SETTLE_MS);
}

/* Those that have crashed are there again, with nothing; what counts is the first round of updates,
 * and the last. */
static void come_back(struct life *life, struct tally *first, struct tally *last)
{
    for (uint32_t i = 0; i < life->setting->servers; i++) {
        if (!life->alive[i])
            server_start(life->world.servers[i]);
        life->alive[i] = true;
    }
    wait_for_links(life);
    for (uint32_t i = 0; i < life->setting->back; i++) {
        *last = (struct tally){.missed = last->missed};
        update_each(life, last);
        if (i == 0)
            *first = *last;
    }
}

/* Whether those that are left hold the same. */
static bool is_even(const struct life *life)
{
    const struct herd_store *first = NULL;
    for (uint32_t i = 0; i < life->setting->servers; i++) {
        if (!life->alive[i])
            continue;
        const struct herd_store *store = herd_node_store(life->world.servers[i]->node);
        if (first == NULL)
            first = store;
        if (herd_store_digest(store) != herd_store_digest(first))
            return false;
    }
    return true;
}

static void live(struct life *life, struct outcome *out)
{
    struct world *world = &life->world;
    *out = (struct outcome){0};
    wait_for_links(life);
    update_each(life, &out->first);
    for (uint32_t i = 0; i < life->setting->updates; i++)
        update_each(life, &out->later);
    be_busy(life, out);
    crash_some(life);
    advance_ms(life, life->setting->after_ms);
    update_each(life, &out->crashed);
    out->alive = count_alive(life);
    out->edges_alive = graph_edges_among(&world->graph, life->alive);
    if (life->setting->back > 0)
        come_back(life, &out->back_first, &out->back);
    for (int s = 0; s < EVEN_MAX_S && !is_even(life); s++)
        advance_ms(life, 1000);
    out->even = is_even(life);
    out->edges = world->graph.edges;
}

static void print_tally(const char *name, const struct tally *tally)
{
    uint64_t updates = tally->updates - tally->missed;
    double count = updates > 0 ? (double)updates : 1;
    printf("  %-28s %8.2f lines an update, everywhere after %7.2f ms (at most %7.2f), %" PRIu64
           " not everywhere\n",
           name, (double)tally->lines / count, (double)tally->sum_ns / count / 1e6,
           (double)tally->max_ns / 1e6, tally->missed);
}

static void print_outcome(const char *name, const struct outcome *out)
{
    double updates = out->busy_updates > 0 ? (double)out->busy_updates : 1;
    printf("%s\n", name);
    print_tally("first update of an origin", &out->first);
    print_tally("later ones", &out->later);
    print_tally("first one after the crash", &out->crashed);
    if (out->back.updates > 0)
        print_tally("first ones when all are back", &out->back_first);
    if (out->back.updates > 0)
        print_tally("last ones when all are back", &out->back);
    printf("  %-28s %8.2f lines an update; %.2f other lines, %.0f bytes in all\n", "many at once",
           out->busy_lines, (double)out->controls / updates, (double)out->bytes / updates);
}

static double mean(const struct tally *tally)
{
    uint64_t updates = tally->updates - tally->missed;
    return updates > 0 ? (double)tally->sum_ns / (double)updates : 0;
}

/* What is compared, and the most that it may be. */
enum {
    LATER_LINES,
    BUSY_LINES,
    LATER_TIME,
    CRASH_TIME,
    CRASH_LINES,
    BACK_FIRST_TIME,
    BACK_FIRST_LINES,
    BACK_TIME,
    BACK_LINES,
    RATIOS
};

static const struct {
    const char *key, *text;
    double limit;
} ratios[RATIOS] = {
    [LATER_LINES] = {"lines", "lines an update after the first, by V-1", 1.05},
    [BUSY_LINES] = {"busy_lines", "the same, many at once", 1.05},
    [LATER_TIME] = {"time", "time until it is everywhere, by flooding's", 1.05},
    [CRASH_TIME] = {"crash_time", "the same, first update after the crash", 1.10},
    [CRASH_LINES] = {"crash_lines", "lines of the first update after the crash, by flooding's",
                     1.10},
    [BACK_FIRST_TIME] = {"back_first_time",
                         "time of the first updates when all are back, by flooding's", 1.05},
    [BACK_FIRST_LINES] = {"back_first_lines", "lines of these, by flooding's", 1.10},
    [BACK_LINES] = {"back_lines", "lines of the last updates when all are back, by V-1", 1.05},
    [BACK_TIME] = {"back_time", "time of the last updates when all are back, by flooding's", 1.05},
};

static bool is_asked(const struct setting *setting, unsigned i)
{
    return i < BACK_FIRST_TIME || setting->back > 0;
}

/* NAN, which reaches no aim, where there is nothing to divide by. */
static double ratio(double a, double b)
{
    return b > 0 ? a / b : (double)NAN;
}

/* Of updates that were not everywhere there is none. */
static double of_all(double value, const struct tally *plain, const struct tally *pruned)
{
    return plain->missed == 0 && pruned->missed == 0 ? value : (double)NAN;
}

static double ratio_of_times(const struct tally *plain, const struct tally *pruned)
{
    return of_all(ratio(mean(pruned), mean(plain)), plain, pruned);
}

static void compare(const struct setting *setting, const struct outcome *plain,
                    const struct outcome *pruned, double out[RATIOS])
{
    double tree = (double)setting->servers - 1;
    double later = ratio((double)pruned->later.lines, (double)pruned->later.updates * tree);
    out[LATER_LINES] = of_all(later, &pruned->later, &pruned->later);
    out[BUSY_LINES] = of_all(pruned->busy_lines / tree, &pruned->busy, &pruned->busy);
    out[LATER_TIME] = ratio_of_times(&plain->later, &pruned->later);
    out[CRASH_TIME] = ratio_of_times(&plain->crashed, &pruned->crashed);
    double crashed = ratio((double)pruned->crashed.lines, (double)plain->crashed.lines);
    out[CRASH_LINES] = of_all(crashed, &plain->crashed, &pruned->crashed);
    out[BACK_FIRST_TIME] = ratio_of_times(&plain->back_first, &pruned->back_first);
    double first = ratio((double)pruned->back_first.lines, (double)plain->back_first.lines);
    out[BACK_FIRST_LINES] = of_all(first, &plain->back_first, &pruned->back_first);
    out[BACK_TIME] = ratio_of_times(&plain->back, &pruned->back);
    double back = ratio((double)pruned->back.lines, (double)pruned->back.updates * tree);
    out[BACK_LINES] = of_all(back, &pruned->back, &pruned->back);
}

static uint64_t missed(const struct outcome *outcome)
{
    return outcome->first.missed + outcome->later.missed + outcome->busy.missed +
           outcome->crashed.missed + outcome->back.missed;
}

static void print_text(const struct setting *setting, const struct outcome *plain,
                       const struct outcome *pruned, const double values[RATIOS])
{
    printf("%u servers, %u edges; %u and %u after the crash\n", (unsigned)setting->servers,
           (unsigned)plain->edges, (unsigned)plain->alive, (unsigned)plain->edges_alive);
    print_outcome("flooding", plain);
    print_outcome("pruning", pruned);
    puts("pruning against flooding");
    for (unsigned i = 0; i < RATIOS; i++) {
        if (isnan(values[i]) && is_asked(setting, i))
            printf("  %-58s   none (updates were not everywhere)  MISSED\n", ratios[i].text);
        else if (is_asked(setting, i))
            printf("  %-58s %6.3f (at most %.2f)%s\n", ratios[i].text, values[i], ratios[i].limit,
                   values[i] <= ratios[i].limit ? "" : "  MISSED");
    }
    if (!plain->even || !pruned->even)
        puts("  the stores are not equal in the end");
}

static void print_value(double value)
{
    if (isnan(value))
        fputs("null", stdout);
    else
        printf("%.6f", value);
}

/* One object: what the herd was, each ratio with its limit (null: there is none), updates that were
 * not everywhere. */
static void print_json(const struct setting *setting, const struct outcome *plain,
                       const struct outcome *pruned, const double values[RATIOS])
{
    printf("{\"servers\": %u, \"edges\": %u, \"alive\": %u, \"seed\": %" PRIu64 ", \"ratios\": {",
           (unsigned)setting->servers, (unsigned)plain->edges, (unsigned)plain->alive,
           setting->seed);
    for (unsigned i = 0; i < RATIOS; i++) {
        if (!is_asked(setting, i))
            continue;
        printf("%s\"%s\": {\"value\": ", i > 0 ? ", " : "", ratios[i].key);
        print_value(values[i]);
        printf(", \"limit\": %.2f, \"text\": \"%s\"}", ratios[i].limit, ratios[i].text);
    }
    printf("}, \"missed\": {\"flooding\": %" PRIu64 ", \"pruning\": %" PRIu64
           "}, \"crash_ms\": {\"flooding\": %.3f, \"pruning\": %.3f}, \"equal\": %s}\n",
           missed(plain), missed(pruned), mean(&plain->crashed) / 1e6, mean(&pruned->crashed) / 1e6,
           plain->even && pruned->even ? "true" : "false");
}

/* A bit for each aim that is not reached, and one more if something else is wrong. */
static unsigned judge(const struct setting *setting, const struct outcome *plain,
                      const struct outcome *pruned, const double values[RATIOS])
{
    if (!plain->even || !pruned->even || missed(plain) > 0 || missed(pruned) > 0)
        return 1U << RATIOS;
    unsigned found = 0;
    for (unsigned i = 0; i < RATIOS; i++) {
        if (is_asked(setting, i) && !(values[i] <= ratios[i].limit))
            found |= 1U << i;
    }
    return found;
}

/* What has to show the planted bug, and nothing else. */
static unsigned aims_of(enum plant_kind plant)
{
    return plant == PLANT_NO_TRIAL ? 1U << BACK_FIRST_TIME | 1U << BACK_TIME : 1U << CRASH_TIME;
}

static void run(const struct setting *setting, bool prune, struct outcome *out)
{
    struct life life;
    live_begin(&life, setting, prune);
    live(&life, out);
    if (life.world.sim.failed) {
        printf("%s: %s\n", sim_check_name(life.world.sim.failed_check), life.world.sim.failure);
        exit(1);
    }
    live_end(&life);
}

int main(int argc, char **argv)
{
    struct setting setting;
    struct outcome plain, pruned;
    setting_parse(&setting, argc, argv);
#ifdef SIM_MUTANTS
    mutant_plant(setting.plant);
#endif
    run(&setting, false, &plain);
    run(&setting, true, &pruned);
    double values[RATIOS];
    compare(&setting, &plain, &pruned, values);
    (setting.json ? print_json : print_text)(&setting, &plain, &pruned, values);
    unsigned missed_aims = judge(&setting, &plain, &pruned, values);
    return missed_aims == (setting.expect ? aims_of(setting.plant) : 0) ? 0 : 1;
}
