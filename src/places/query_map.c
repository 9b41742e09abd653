#include "places/query_map.h"

#include <assert.h>
#include <string.h>

/* The finaliser of SplitMix64 (Steele, Lea, Flood 2014). */
static uint64_t mixed(uint64_t z)
{
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static uint64_t bits_of(double number)
{
    double plain = number + 0.0; /* -0 is 0 */
    uint64_t bits;
    memcpy(&bits, &plain, sizeof bits);
    return bits;
}

static size_t bucket_of(const struct query_map *map, const struct places_query *query)
{
    uint64_t hash = mixed(map->seed ^ bits_of(query->latitude));
    hash = mixed(hash ^ bits_of(query->longitude));
    hash = mixed(hash ^ bits_of(query->radius_m));
    return (size_t)(hash % QUERY_MAP_BUCKETS);
}

static bool is_same(const struct places_query *a, const struct places_query *b)
{
    return bits_of(a->latitude) == bits_of(b->latitude) &&
           bits_of(a->longitude) == bits_of(b->longitude) &&
           bits_of(a->radius_m) == bits_of(b->radius_m);
}

struct query_node *query_map_find(const struct query_map *map, const struct places_query *query)
{
    struct query_node *node = map->buckets[bucket_of(map, query)];
    while (node != NULL && !is_same(&node->query, query))
        node = node->next;
    return node;
}

void query_map_add(struct query_map *map, struct query_node *node)
{
    struct query_node **bucket = &map->buckets[bucket_of(map, &node->query)];
    node->next = *bucket;
    *bucket = node;
}

void query_map_remove(struct query_map *map, struct query_node *node)
{
    struct query_node **at = &map->buckets[bucket_of(map, &node->query)];
    while (*at != node) {
        assert(*at != NULL);
        at = &(*at)->next;
    }
    *at = node->next;
}
