/* graph.h: who is whose neighbour in a simulated herd. */
#ifndef SIM_GRAPH_H
#define SIM_GRAPH_H

#include <stdbool.h>
#include <stdint.h>

#include "core/rng.h"

enum graph_kind {
    GRAPH_RING,
    GRAPH_SEED,
    GRAPH_RANDOM,
    GRAPH_LINE,
    GRAPH_COMPLETE,
    GRAPH_CHORDS, /* a ring, and for each server an edge to some other one */
    GRAPH_KINDS
};

struct graph {
    uint32_t size;
    uint32_t edges;
    bool *joined; /* size x size, symmetric */
};

const char *graph_kind_name(enum graph_kind kind);
/* The kind with that name, or GRAPH_KINDS. */
enum graph_kind graph_kind_of(const char *name);

/* A connected graph. GRAPH_SEED is the herd of herd.conf, whatever `size` is asked for. */
void graph_init(struct graph *graph, enum graph_kind kind, uint32_t size, struct rng *rng);
void graph_close(struct graph *graph);

bool graph_joined(const struct graph *graph, uint32_t a, uint32_t b);

/* Whether those that are `in` are connected by edges among themselves. */
bool graph_connected(const struct graph *graph, const bool *in);

/* How many edges there are among those that are `in`. */
uint32_t graph_edges_among(const struct graph *graph, const bool *in);

#endif
