/* query_map.h: finds what is kept for a question (its call, its cached answer): a hash table whose
 * nodes are the caller's. */
#ifndef PLACES_QUERY_MAP_H
#define PLACES_QUERY_MAP_H

#include "places/provider.h"

enum { QUERY_MAP_BUCKETS = 4096 };

/* The first member of what is kept. */
struct query_node {
    struct places_query query;
    struct query_node *next;
};

/* All zero but for the seed is an empty one; nothing is allocated. */
struct query_map {
    uint64_t seed; /* random, so that nobody can choose questions that share a bucket */
    struct query_node *buckets[QUERY_MAP_BUCKETS];
};

/* The node of just this question, to the last bit of its numbers, or NULL. */
struct query_node *query_map_find(const struct query_map *map, const struct places_query *query);

/* `node` has its query, which is not in the map yet. */
void query_map_add(struct query_map *map, struct query_node *node);
/* `node` is in the map. */
void query_map_remove(struct query_map *map, struct query_node *node);

#endif
