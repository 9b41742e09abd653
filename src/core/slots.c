/* Slots come in slabs, so that growing moves none. */
#include <stdlib.h>

#include <herd/err.h>

#include "core/store_room.h"

int store_add_slab(struct herd_store *store)
{
    if (store->slab_count == store->slab_cap) {
        uint32_t cap = store->slab_cap > 0 ? store->slab_cap * 2 : 16;
        struct slot **slabs = realloc(store->slabs, cap * sizeof(*slabs));
        if (slabs == NULL)
            return HERD_ENOMEM;
        store->slabs = slabs;
        store->slab_cap = cap;
    }
    struct slot *slab = calloc(SLAB_SLOTS - SLAB_UNUSED, sizeof(*slab));
    if (slab == NULL ||
        expiry_reserve(&store->expiry, (store->slab_count + 1) * (size_t)SLAB_SLOTS) < 0) {
        free(slab);
        return HERD_ENOMEM;
    }
    store->slabs[store->slab_count++] = slab;
    return 0;
}

int store_take_slot(struct herd_store *store, uint32_t *out)
{
    if (store->free_slots != LIST_HEAD) {
        *out = store->free_slots;
        store->free_slots = slot_at(store, *out)->next;
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
    store->free_slots = index;
}
