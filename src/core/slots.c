/* Slots come in slabs, so that growing moves none. */
#include <stdlib.h>

#include <herd/err.h>

#include "core/grown.h"
#include "core/pages.h"
#include "core/store_room.h"

int store_add_slab(struct herd_store *store)
{
    struct slot **slabs = grown(store->slabs, store->slab_count, &store->slab_cap, sizeof(*slabs));
    if (slabs == NULL)
        return HERD_ENOMEM;
    store->slabs = slabs;
    struct slot *slab = calloc(1, SLAB_BYTES);
    if (slab == NULL ||
        expiry_reserve(&store->expiry, (store->slab_count + 1) * (size_t)SLAB_SLOTS) < 0) {
        free(slab);
        return HERD_ENOMEM;
    }
    store->slabs[store->slab_count++] = slab;
    return 0;
}

static void unlink_free(struct herd_store *store, const struct slot *slot)
{
    if (slot->prev != LIST_HEAD)
        slot_at(store, slot->prev)->next = slot->next;
    else
        store->free_slots = slot->next;
    if (slot->next != LIST_HEAD)
        slot_at(store, slot->next)->prev = slot->prev;
    store->free_count--;
}

int store_take_slot(struct herd_store *store, uint32_t *out)
{
    if (store->free_slots != LIST_HEAD) {
        *out = store->free_slots;
        unlink_free(store, slot_at(store, *out));
        return 0;
    }
    if (store->used == store->slab_count * (uint32_t)SLAB_SLOTS) {
        if (store->used >= TABLE_NONE - SLAB_SLOTS || store_add_slab(store) < 0)
            return HERD_ENOMEM;
    }
    *out = store->used++;
    if (store->used % SLAB_SLOTS == SLAB_SLOTS - SLAB_UNUSED)
        store->used += SLAB_UNUSED;
    return 0;
}

void store_give_slot(struct herd_store *store, uint32_t index)
{
    struct slot *slot = slot_at(store, index);
    *slot = (struct slot){.kind = SLOT_FREE, .next = store->free_slots};
    if (slot->next != LIST_HEAD)
        slot_at(store, slot->next)->prev = index;
    store->free_slots = index;
    store->free_count++;
}

int store_take_low_slot(struct herd_store *store, uint32_t *out)
{
    uint32_t low = LIST_HEAD + 1, end = SLAB_SLOTS - SLAB_UNUSED;
    while (low < end && low < store->used && slot_at(store, low)->kind == SLOT_CURSOR)
        low++;
    if (low == end || low == store->used)
        return store_take_slot(store, out);
    if (slot_at(store, low)->kind == SLOT_RECORD) {
        int rc = store_take_slot(store, out);
        if (rc < 0 || *out < SLAB_SLOTS)
            return rc;
        store_move_record(store, low, *out);
    }
    unlink_free(store, slot_at(store, low));
    *out = low;
    return 0;
}

bool store_has_too_many_slots(const struct herd_store *store)
{
    return store->free_count > store->clients / STORE_FREE_PART + SLAB_SLOTS;
}

uint32_t store_last_slot(const struct herd_store *store)
{
    return store->used - 1 - (store->used % SLAB_SLOTS == 0 ? SLAB_UNUSED : 0);
}

void store_drop_last_slot(struct herd_store *store)
{
    uint32_t last = store_last_slot(store);
    unlink_free(store, slot_at(store, last));
    store->expected_count = 0; /* by their slots */
    store->used = last;
    if (last % SLAB_SLOTS != 0)
        return;
    pages_free(store->slabs[--store->slab_count], SLAB_BYTES);
    expiry_trim(&store->expiry, last);
}

size_t herd_store_bytes(const struct herd_store *store)
{
    return sizeof(*store) + table_bytes(&store->table) + store->arena.bytes +
           store->arena.chunk_cap * sizeof(*store->arena.chunks) +
           store->slab_cap * sizeof(*store->slabs) +
           DIGEST_LEAVES * (sizeof(uint64_t) + sizeof(uint32_t)) + sizeof(struct digest_notes) +
           expiry_bytes(&store->expiry) + store->slab_count * SLAB_BYTES;
}

size_t herd_store_idle_bytes(const struct herd_store *store)
{
    return store->arena.bytes - store->arena.live;
}
