/* local_memory.h: a places file in memory, its texts rendered: an answer takes microseconds, so
 * that the loop itself gives it. */
#ifndef PLACES_LOCAL_MEMORY_H
#define PLACES_LOCAL_MEMORY_H

#include <stdatomic.h>

#include "places/answer_spares.h"
#include "places/local_db.h"
#include "places/provider.h"

struct local_memory;

/*
 * Reads all of `db`; takes a while, so in a thread. 0, HERD_ENOMEM, HERD_EFULL (it would take more
 * than `max_bytes`), HERD_ECANCELED (*is_over became true meanwhile), HERD_ESYNTAX (a text is not
 * UTF-8, or types are none), or HERD_EIO with the reason in local_db_reason.
 */
int local_memory_load(struct local_db *db, int64_t max_bytes, const atomic_bool *is_over,
                      struct local_memory **out);
void local_memory_free(struct local_memory *memory); /* NULL is allowed */

int64_t local_memory_bytes(const struct local_memory *memory);
int64_t local_memory_places(const struct local_memory *memory);

/* The same answer as local_answer gives, of those that `spares` has (NULL: none). Never NULL, the
 * caller's. */
struct places_answer *local_memory_answer(const struct local_memory *memory,
                                          const struct places_query *query,
                                          struct answer_spares *spares);

#endif
