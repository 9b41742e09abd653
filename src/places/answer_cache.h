/* answer_cache.h: answers kept for a while, the least recently used of them given up first. */
#ifndef PLACES_ANSWER_CACHE_H
#define PLACES_ANSWER_CACHE_H

#include "places/query_map.h"

struct answer_cache;

/* Holds answers of at most `max_bytes` together; 0: none at all. 0 or HERD_ENOMEM. */
int answer_cache_new(uint64_t seed, int64_t max_bytes, struct answer_cache **out);
void answer_cache_free(struct answer_cache *cache); /* NULL is allowed */

/* A smaller limit takes effect at once; 0 forgets everything. */
void answer_cache_limit(struct answer_cache *cache, int64_t max_bytes);

/* Keeps a reference to `answer`, in place of the one before. Without memory it is not kept. */
void answer_cache_put(struct answer_cache *cache, int64_t now_ms, const struct places_query *query,
                      struct places_answer *answer);

/* The answer of that question, at most `age_max_ms` old; the cache's own. NULL: there is none. */
struct places_answer *answer_cache_find(struct answer_cache *cache, int64_t now_ms,
                                        const struct places_query *query, int64_t age_max_ms);

int64_t answer_cache_bytes(const struct answer_cache *cache);

#endif
