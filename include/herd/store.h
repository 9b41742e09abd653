/* store.h: the newest record of each client, in the total order of record.h, listed by the sequence
 * of their arrival. */
#ifndef HERD_STORE_H
#define HERD_STORE_H

#include <herd/record.h>

struct herd_store;

/*
 * Makes an empty store. `seed` is random, against made-up ids that would all hash alike.
 * max_skew_ns as in herd_record_order_ns. 0 or HERD_ENOMEM; free with herd_store_free.
 */
int herd_store_new(uint64_t seed, int64_t max_skew_ns, struct herd_store **out);

/* Records end this long after their server_time_received: whole seconds, 0 for never. Before the
 * first one is kept. 0 or HERD_ENOMEM. */
int herd_store_set_ttl(struct herd_store *store, int64_t ttl_ns);
void herd_store_free(struct herd_store *store);

/*
 * Keeps a record if it is newer than the one held of its client, or that one has ended at `now_ns`
 * (POSIX), as the newest of the list, and gives it the next sequence. `source` says where it came
 * from, for herd_entry. The fields are copied. 1: kept. 0: not newer; nothing changed. HERD_ENOMEM:
 * nothing changed.
 */
int herd_store_apply(struct herd_store *store, const struct herd_record *record, uint32_t source,
                     int64_t now_ns);

/* The record of a client: true and *out, whose fields are valid until the next apply or
 * expire, which move texts. */
bool herd_store_find(const struct herd_store *store, struct herd_slice client,
                     struct herd_record *out);

/* Whether a record has ended, by the time to live of this store. */
bool herd_store_is_expired(const struct herd_store *store, const struct herd_record *record,
                           int64_t now_ns);

/* Takes out records that have ended. False when there may be more: call again in another turn of
 * the loop. What they took goes back to the system but for an eighth of what the others take, a slab
 * of 256 KiB and 1 MiB, or serves others. */
bool herd_store_expire(struct herd_store *store, int64_t now_ns);

/* The next record gets a sequence above this one, which is not below herd_store_sequence: for a
 * store read from disk. */
void herd_store_skip_sequences(struct herd_store *store, uint64_t sequence);

/* Clients held; records applied so far, which is the sequence of the newest; bytes of memory held,
 * and those of them that are for texts and hold none: an eighth of what texts take and 1 MiB at
 * most, if memory was never short. */
size_t herd_store_count(const struct herd_store *store);
uint64_t herd_store_sequence(const struct herd_store *store);
/* The sum of the XXH3 hashes of all records' texts, mod 2^64: equal stores have equal digests. A
 * sum, so that no two equal terms cancel. */
uint64_t herd_store_digest(const struct herd_store *store);
size_t herd_store_bytes(const struct herd_store *store);
size_t herd_store_idle_bytes(const struct herd_store *store);

/*
 * A cursor stands between two records of the list. What is behind it (newer) has not been read with
 * it; a record that changes goes to the end of the list, so it is read again, once, in its newest
 * form. A cursor costs one record's memory however far it lags.
 */
typedef uint32_t herd_cursor;

/* A new cursor before the oldest record. 0 or HERD_ENOMEM. */
int herd_cursor_new(struct herd_store *store, herd_cursor *out);
void herd_cursor_free(struct herd_store *store, herd_cursor cursor);

/* A record as the list holds it. */
struct herd_entry {
    struct herd_slice text; /* canonical, valid until the next apply or expire */
    uint64_t sequence;
    uint32_t source;
};

/* Reads the next record and moves behind it; false at the end. */
bool herd_cursor_next(struct herd_store *store, herd_cursor cursor, struct herd_entry *out);
bool herd_cursor_at_end(const struct herd_store *store, herd_cursor cursor);

/* All up to this sequence has been read with it, or has been replaced by something newer that is
 * still to be read. */
uint64_t herd_cursor_sequence(const struct herd_store *store, herd_cursor cursor);

void herd_cursor_to_begin(struct herd_store *store, herd_cursor cursor);
void herd_cursor_to_end(struct herd_store *store, herd_cursor cursor);

/*
 * Goes back from where it stands until all behind it is newer than `sequence`, by at most
 * `steps_max` records. True once it is there; false: call again (a long way back must not hold up
 * the loop).
 */
bool herd_cursor_seek_back(struct herd_store *store, herd_cursor cursor, uint64_t sequence,
                           size_t steps_max);

#endif
