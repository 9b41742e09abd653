/* no_digest.h: included before store.c, makes a store under other names that keeps no digest. */
#ifndef BENCH_NO_DIGEST_H
#define BENCH_NO_DIGEST_H

#define XXH_INLINE_ALL
#include <xxhash.h>

#define herd_store_new            plain_store_new
#define herd_store_set_ttl        plain_store_set_ttl
#define herd_store_free           plain_store_free
#define herd_store_apply          plain_store_apply
#define herd_store_find           plain_store_find
#define herd_store_is_expired     plain_store_is_expired
#define herd_store_expire         plain_store_expire
#define herd_store_skip_sequences plain_store_skip_sequences
#define herd_store_count          plain_store_count
#define herd_store_sequence       plain_store_sequence
#define herd_store_digest         plain_store_digest
#define herd_cursor_next          plain_cursor_next
#define herd_cursor_at_end        plain_cursor_at_end
#define herd_cursor_sequence      plain_cursor_sequence
#define herd_cursor_to_begin      plain_cursor_to_begin
#define herd_cursor_to_end        plain_cursor_to_end
#define herd_cursor_seek_back     plain_cursor_seek_back
#define store_children            plain_children
#define store_next_in_prefix      plain_next_in_prefix
#define store_expect              plain_store_expect
#define store_on_ended            plain_on_ended
#define store_changes             plain_store_changes
#define store_find_source         plain_find_source
#define store_sequence_of         plain_sequence_of
#define store_cursor_peek         plain_cursor_peek
#define store_cursor_to           plain_cursor_to
#define store_move_record         plain_move_record

#include "core/digest.h"

#undef XXH3_64bits
#define XXH3_64bits(data, len)                      ((void)(data), (void)(len), (uint64_t)0)
#define digest_add(digest, leaf, hash)              ((void)(leaf), (void)(hash))
#define digest_subtract(digest, leaf, hash)         ((void)(leaf), (void)(hash))
#define digest_take_note(digest, index, leaf, less) ((void)(leaf), (void)(less), false)

#endif
