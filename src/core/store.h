/* store.h: what the rest of libherd may see of a store's digest. */
#ifndef CORE_STORE_H
#define CORE_STORE_H

#include <herd/store.h>

#include "core/digest.h"

#define STORE_FIRST UINT32_MAX

/* As digest_children. */
void store_children(const struct herd_store *store, struct digest_prefix prefix,
                    uint64_t out[DIGEST_FANOUT]);

/*
 * The records of a prefix of at least DIGEST_DEPTH digits, in no particular order: *at is
 * STORE_FIRST, then what the last call left. False behind the last one. Valid until the next apply.
 */
bool store_next_in_prefix(const struct herd_store *store, struct digest_prefix prefix, uint32_t *at,
                          struct herd_record *out);

#endif
