#include <stdlib.h>
#include <string.h>

#include "graph.h"
#include "sim.h"

enum { SEED_SIZE = 5, RANDOM_MORE_PERCENT = 60 };

static const char *const names[GRAPH_KINDS] = {
    [GRAPH_RING] = "ring", [GRAPH_SEED] = "seed",         [GRAPH_RANDOM] = "random",
    [GRAPH_LINE] = "line", [GRAPH_COMPLETE] = "complete", [GRAPH_CHORDS] = "chords",
};

const char *graph_kind_name(enum graph_kind kind)
{
    return names[kind];
}

enum graph_kind graph_kind_of(const char *name)
{
    enum graph_kind kind = 0;
    while (kind < GRAPH_KINDS && strcmp(name, names[kind]) != 0)
        kind++;
    return kind;
}

bool graph_joined(const struct graph *graph, uint32_t a, uint32_t b)
{
    return graph->joined[(size_t)a * graph->size + b];
}

static void join(struct graph *graph, uint32_t a, uint32_t b)
{
    if (a == b || graph_joined(graph, a, b))
        return;
    graph->joined[(size_t)a * graph->size + b] = true;
    graph->joined[(size_t)b * graph->size + a] = true;
    graph->edges++;
}

static void join_line(struct graph *graph)
{
    for (uint32_t i = 1; i < graph->size; i++)
        join(graph, i - 1, i);
}

/* herd.conf: Hill Jaquez Smith Campbell Singleton. */
static void join_seed(struct graph *graph)
{
    static const uint32_t pairs[][2] = {{0, 1}, {0, 2}, {1, 4}, {2, 3}, {2, 4}, {3, 4}};
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
        join(graph, pairs[i][0], pairs[i][1]);
}

/* A random tree, and some edges more. */
static void join_random(struct graph *graph, struct rng *rng)
{
    for (uint32_t i = 1; i < graph->size; i++)
        join(graph, i, (uint32_t)rng_below(rng, i));
    for (uint32_t i = 0; i < graph->size; i++) {
        if (rng_percent(rng, RANDOM_MORE_PERCENT))
            join(graph, i, (uint32_t)rng_below(rng, graph->size));
    }
}

static void join_chords(struct graph *graph, struct rng *rng)
{
    join_line(graph);
    join(graph, 0, graph->size - 1);
    for (uint32_t i = 0; i < graph->size; i++)
        join(graph, i, (uint32_t)rng_below(rng, graph->size));
}

static void join_all(struct graph *graph)
{
    for (uint32_t a = 0; a < graph->size; a++) {
        for (uint32_t b = 0; b < a; b++)
            join(graph, a, b);
    }
}

void graph_init(struct graph *graph, enum graph_kind kind, uint32_t size, struct rng *rng)
{
    *graph = (struct graph){.size = kind == GRAPH_SEED ? SEED_SIZE : size};
    graph->joined = sim_alloc((size_t)graph->size * graph->size, sizeof(bool));
    switch (kind) {
    case GRAPH_SEED:
        join_seed(graph);
        break;
    case GRAPH_RANDOM:
        join_random(graph, rng);
        break;
    case GRAPH_COMPLETE:
        join_all(graph);
        break;
    case GRAPH_CHORDS:
        join_chords(graph, rng);
        break;
    default:
        join_line(graph);
        if (kind == GRAPH_RING)
            join(graph, 0, graph->size - 1);
    }
}

void graph_close(struct graph *graph)
{
    free(graph->joined);
    graph->joined = NULL;
}

static void visit(const struct graph *graph, const bool *in, bool *seen, uint32_t at)
{
    seen[at] = true;
    for (uint32_t next = 0; next < graph->size; next++) {
        if (in[next] && !seen[next] && graph_joined(graph, at, next))
            visit(graph, in, seen, next);
    }
}

bool graph_connected(const struct graph *graph, const bool *in)
{
    bool *seen = sim_alloc(graph->size, sizeof(bool));
    uint32_t first = 0;
    while (first < graph->size && !in[first])
        first++;
    if (first < graph->size)
        visit(graph, in, seen, first);
    bool all = true;
    for (uint32_t i = 0; i < graph->size; i++)
        all = all && (seen[i] || !in[i]);
    free(seen);
    return all;
}

uint32_t graph_edges_among(const struct graph *graph, const bool *in)
{
    uint32_t edges = 0;
    for (uint32_t a = 0; a < graph->size; a++) {
        for (uint32_t b = 0; b < a; b++)
            edges += in[a] && in[b] && graph_joined(graph, a, b);
    }
    return edges;
}
