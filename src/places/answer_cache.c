#include "places/answer_cache.h"

#include <stdlib.h>
#include <sys/queue.h>

#include <herd/err.h>

struct entry {
    struct query_node node;
    TAILQ_ENTRY(entry) by_use;
    struct places_answer *answer;
    int64_t put_ms;
    int64_t bytes;
};

struct answer_cache {
    struct query_map map;
    TAILQ_HEAD(, entry) by_use; /* the one to go first is first */
    int64_t bytes, max_bytes;
};

int answer_cache_new(uint64_t seed, int64_t max_bytes, struct answer_cache **out)
{
    struct answer_cache *cache = calloc(1, sizeof *cache);
    if (cache == NULL)
        return HERD_ENOMEM;
    cache->map.seed = seed;
    cache->max_bytes = max_bytes;
    TAILQ_INIT(&cache->by_use);
    *out = cache;
    return 0;
}

static void drop(struct answer_cache *cache, struct entry *entry)
{
    TAILQ_REMOVE(&cache->by_use, entry, by_use);
    query_map_remove(&cache->map, &entry->node);
    cache->bytes -= entry->bytes;
    places_answer_unref(entry->answer);
    free(entry);
}

void answer_cache_limit(struct answer_cache *cache, int64_t max_bytes)
{
    cache->max_bytes = max_bytes;
    while (cache->bytes > max_bytes)
        drop(cache, TAILQ_FIRST(&cache->by_use));
}

void answer_cache_free(struct answer_cache *cache)
{
    if (cache == NULL)
        return;
    answer_cache_limit(cache, 0);
    free(cache);
}

void answer_cache_put(struct answer_cache *cache, int64_t now_ms, const struct places_query *query,
                      struct places_answer *answer)
{
    struct entry *entry = (struct entry *)query_map_find(&cache->map, query);
    if (entry != NULL)
        drop(cache, entry);
    int64_t bytes = (int64_t)(sizeof *entry + places_answer_bytes(answer));
    if (bytes > cache->max_bytes)
        return;
    entry = calloc(1, sizeof *entry);
    if (entry == NULL)
        return;
    answer_cache_limit(cache, cache->max_bytes);
    while (cache->bytes > cache->max_bytes - bytes)
        drop(cache, TAILQ_FIRST(&cache->by_use));
    entry->node.query = *query;
    entry->answer = places_answer_ref(answer);
    entry->put_ms = now_ms;
    entry->bytes = bytes;
    query_map_add(&cache->map, &entry->node);
    TAILQ_INSERT_TAIL(&cache->by_use, entry, by_use);
    cache->bytes += bytes;
}

struct places_answer *answer_cache_find(struct answer_cache *cache, int64_t now_ms,
                                        const struct places_query *query, int64_t age_max_ms)
{
    struct entry *entry = (struct entry *)query_map_find(&cache->map, query);
    if (entry == NULL || now_ms - entry->put_ms > age_max_ms)
        return NULL;
    TAILQ_REMOVE(&cache->by_use, entry, by_use);
    TAILQ_INSERT_TAIL(&cache->by_use, entry, by_use);
    return entry->answer;
}

int64_t answer_cache_bytes(const struct answer_cache *cache)
{
    return cache->bytes;
}
