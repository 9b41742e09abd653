/* store.h: what the rest of libherd may see of a store's digest. */
#ifndef CORE_STORE_H
#define CORE_STORE_H

#include <herd/store.h>

#include "core/digest.h"

#define STORE_FIRST     UINT32_MAX
#define STORE_NO_RECORD 0

enum { STORE_EXPECT_MAX = 8 };

/*
 * Looks for the records of these clients (at most STORE_EXPECT_MAX), which will be applied in this
 * order, and has the memory fetched that they will take: one after the other, an update would wait
 * for its slot in the table, then for the record, then for its text and for its neighbours in the
 * list. herd_store_apply of the same bytes need not look for it again. Nothing depends on it:
 * others may be applied, and the bytes may go.
 */
void store_expect(struct herd_store *store, const struct herd_slice *clients, size_t count);

/* As digest_children. */
void store_children(const struct herd_store *store, struct digest_prefix prefix,
                    uint64_t out[DIGEST_FANOUT]);

/*
 * The records of a prefix of at least DIGEST_DEPTH digits, in no particular order: *at is
 * STORE_FIRST, then what the last call left. False behind the last one. Valid until the next
 * apply or expire, or new cursor.
 */
bool store_next_in_prefix(const struct herd_store *store, struct digest_prefix prefix, uint32_t *at,
                          struct herd_record *out);

/* As herd_store_find, and where the record came from. */
bool store_find_source(const struct herd_store *store, struct herd_slice client,
                       struct herd_record *out, uint32_t *source);

/* The sequence of the record of a client; 0: there is none. */
uint64_t store_sequence_of(const struct herd_store *store, struct herd_slice client);

/* Another number whenever a record has been kept, taken out or moved: while it stays, records keep their
 * names, texts and places. */
uint64_t store_changes(const struct herd_store *store);
/* The record behind `at`, a cursor or a record, by its name: *out as herd_cursor_next gives it.
 * STORE_NO_RECORD: it is the last. */
uint32_t store_record_behind(const struct herd_store *store, uint32_t at, struct herd_entry *out);
/* Puts a cursor behind a record, as if it had read all up to that. */
void store_cursor_behind(struct herd_store *store, herd_cursor cursor, uint32_t record);
/* The sequence of the record that herd_cursor_next reads next; false at the end. */
bool store_cursor_peek(const struct herd_store *store, herd_cursor cursor, uint64_t *sequence);
/* Moves a cursor past the records of one source that are next, at most `steps_max` (> 0). How many,
 * and the sequence of the first, if there is one. */
size_t store_cursor_pass(struct herd_store *store, herd_cursor cursor, uint32_t source,
                         size_t steps_max, uint64_t *first);
/* Puts a cursor where another one stands. */
void store_cursor_to(struct herd_store *store, herd_cursor cursor, herd_cursor other);
/* What is told of each record that has ended, before it is taken out or gives way to an older one. */
void store_on_ended(struct herd_store *store,
                    void (*fn)(void *arg, struct herd_slice client, uint64_t sequence), void *arg);

#endif
