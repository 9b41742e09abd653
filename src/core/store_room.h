/* store_room.h: what the parts of the store's code share: its slots and the list through them. */
#ifndef CORE_STORE_ROOM_H
#define CORE_STORE_ROOM_H

#include "core/arena.h"
#include "core/expiry.h"
#include "core/store.h"
#include "core/table.h"

enum {
    SLAB_BITS = 13,
    SLAB_SLOTS = 1 << SLAB_BITS,
    SLAB_UNUSED = 2,    /* at its end: so that a slab fits whole pages together with malloc's own */
    LIST_HEAD = 0,      /* the slot the circular list begins and ends at */
    STORE_FREE_PART = 8 /* of the clients: more slots, and a slab, may not be free */
};

enum slot_kind { SLOT_FREE, SLOT_RECORD, SLOT_CURSOR, SLOT_HEAD };

/* As small as it can be: what the text tells (the order, the lengths of fields, the hash) is read
 * from there again when it is needed. */
struct slot {
    uint64_t sequence;     /* record: its own; cursor: of the last record read */
    arena_ref text;        /* record: canonical, text_len bytes */
    uint32_t prev, next;   /* in the list; or in that of free slots, LIST_HEAD: none */
    uint32_t next_in_leaf; /* record: of the digest's leaf; LIST_HEAD: none */
    uint32_t source;
    unsigned text_len : 13; /* record */
    unsigned counted : 1;   /* record: in the digest; else it is noted there for later */
    unsigned kind : 2;
    unsigned leaf : 16; /* record: of the digest */
};

_Static_assert(sizeof(struct slot) == 32, "two to a cache line");

#define SLAB_BYTES ((SLAB_SLOTS - SLAB_UNUSED) * sizeof(struct slot))

_Static_assert(HERD_RECORD_TEXT_MAX < 1 << 13 &&
                   HERD_RECORD_TEXT_MAX <= ARENA_CLASSES * ARENA_STEP_BYTES,
               "any text fits");

/* What store_expect has found. */
struct expected {
    const char *client; /* its bytes, which may be gone: only compared */
    uint32_t index;     /* TABLE_NONE: none */
};

struct herd_store {
    struct table table;
    struct arena arena;
    struct slot **slabs;
    uint32_t slab_count, slab_cap;
    uint32_t used;       /* slots below are in use, or in the list of free ones */
    uint32_t free_slots; /* LIST_HEAD: none */
    uint32_t free_count;
    uint32_t clients;
    uint64_t sequence;
    uint64_t removed; /* records, or moved to another slot, so far */
    /* NULL: nobody asks. */
    void (*on_ended)(void *arg, struct herd_slice client, uint64_t sequence);
    void *on_ended_arg;
    struct digest digest;
    struct expiry expiry;
    uint64_t seed;
    int64_t max_skew_ns;
    uint8_t expected_count, expected_next;
    struct expected expected[STORE_EXPECT_MAX];
};

static inline struct slot *slot_at(const struct herd_store *store, uint32_t index)
{
    return &store->slabs[index >> SLAB_BITS][index & (SLAB_SLOTS - 1)];
}

int store_add_slab(struct herd_store *store); /* 0 or HERD_ENOMEM */
/* A slot that is free. 0 and *out, or HERD_ENOMEM. */
int store_take_slot(struct herd_store *store, uint32_t *out);
/* The same, of the first slab while that is not full of cursors; a record there may move. */
int store_take_low_slot(struct herd_store *store, uint32_t *out);
void store_give_slot(struct herd_store *store, uint32_t index);

/*
 * What clients that ended leave goes back: while more slots are free than may be, the last one is
 * dropped, and its slab with the last of its slots. A record there is moved before, by which cursors
 * stand where they stood. A cursor cannot move: it has a slot of the first slab.
 */
bool store_has_too_many_slots(const struct herd_store *store);
uint32_t store_last_slot(const struct herd_store *store);
/* It is free. */
void store_drop_last_slot(struct herd_store *store);
/* Moves a record to a slot that was taken; its own is free then. How many records of its leaf were
 * passed on the way. */
int64_t store_move_record(struct herd_store *store, uint32_t from, uint32_t to);

static inline void unlink_slot(struct herd_store *store, const struct slot *slot)
{
    slot_at(store, slot->prev)->next = slot->next;
    slot_at(store, slot->next)->prev = slot->prev;
}

static inline void link_after(struct herd_store *store, uint32_t before, uint32_t index)
{
    struct slot *first = slot_at(store, before);
    struct slot *slot = slot_at(store, index);
    slot->prev = before;
    slot->next = first->next;
    slot_at(store, first->next)->prev = index;
    first->next = index;
}

static inline struct herd_slice text_of(const struct herd_store *store, const struct slot *slot)
{
    return herd_slice(arena_text(&store->arena, slot->text), slot->text_len);
}

#endif
