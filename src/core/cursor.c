/* Cursors: slots of the list by sequence. What is behind one is what its reader has not read. */
#include <herd/proto.h>
#include <herd/store.h>

#include "core/store.h"
#include "core/store_room.h"

int herd_cursor_new(struct herd_store *store, herd_cursor *out)
{
    int rc = store_take_low_slot(store, out);
    if (rc < 0)
        return rc;
    *slot_at(store, *out) = (struct slot){.kind = SLOT_CURSOR};
    link_after(store, LIST_HEAD, *out);
    return 0;
}

void herd_cursor_free(struct herd_store *store, herd_cursor cursor)
{
    unlink_slot(store, slot_at(store, cursor));
    store_give_slot(store, cursor);
}

uint32_t store_record_behind(const struct herd_store *store, uint32_t at, struct herd_entry *out)
{
    uint32_t index = slot_at(store, at)->next;
    while (slot_at(store, index)->kind == SLOT_CURSOR)
        index = slot_at(store, index)->next;
    const struct slot *slot = slot_at(store, index);
    if (slot->kind == SLOT_HEAD)
        return STORE_NO_RECORD;
    *out = (struct herd_entry){text_of(store, slot), slot->sequence, slot->source};
    return index;
}

void store_cursor_behind(struct herd_store *store, herd_cursor cursor, uint32_t record)
{
    struct slot *slot = slot_at(store, cursor);
    unlink_slot(store, slot);
    link_after(store, record, cursor);
    slot->sequence = slot_at(store, record)->sequence;
}

bool herd_cursor_next(struct herd_store *store, herd_cursor cursor, struct herd_entry *out)
{
    uint32_t record = store_record_behind(store, cursor, out);
    if (record == STORE_NO_RECORD)
        return false;
    store_cursor_behind(store, cursor, record);
    return true;
}

size_t store_cursor_pass(struct herd_store *store, herd_cursor cursor, uint32_t source,
                         size_t steps_max, uint64_t *first)
{
    struct slot *slot = slot_at(store, cursor);
    uint32_t index = slot->next, last = LIST_HEAD;
    size_t steps = 0;
    for (; steps < steps_max; index = slot_at(store, index)->next) {
        const struct slot *next = slot_at(store, index);
        if (next->kind == SLOT_CURSOR)
            continue;
        if (next->kind == SLOT_HEAD || next->source != source)
            break;
        if (steps++ == 0)
            *first = next->sequence;
        slot->sequence = next->sequence;
        last = index;
    }
    if (steps > 0) {
        unlink_slot(store, slot);
        link_after(store, last, cursor);
    }
    return steps;
}

bool herd_cursor_at_end(const struct herd_store *store, herd_cursor cursor)
{
    const struct slot *slot = slot_at(store, slot_at(store, cursor)->next);
    while (slot->kind == SLOT_CURSOR)
        slot = slot_at(store, slot->next);
    return slot->kind == SLOT_HEAD;
}

uint64_t herd_cursor_sequence(const struct herd_store *store, herd_cursor cursor)
{
    return herd_cursor_at_end(store, cursor) ? store->sequence : slot_at(store, cursor)->sequence;
}

/* Puts the cursor behind the slot `before`, when all up to `sequence` counts as read. */
static void place(struct herd_store *store, herd_cursor cursor, uint32_t before, uint64_t sequence)
{
    struct slot *slot = slot_at(store, cursor);
    if (before != cursor) {
        unlink_slot(store, slot);
        link_after(store, before, cursor);
    }
    slot->sequence = sequence;
}

void herd_cursor_to_begin(struct herd_store *store, herd_cursor cursor)
{
    place(store, cursor, LIST_HEAD, 0);
}

void herd_cursor_to_end(struct herd_store *store, herd_cursor cursor)
{
    place(store, cursor, slot_at(store, LIST_HEAD)->prev, store->sequence);
}

bool herd_cursor_seek_back(struct herd_store *store, herd_cursor cursor, uint64_t sequence,
                           size_t steps_max)
{
    uint32_t before = slot_at(store, cursor)->prev;
    for (size_t step = 0; step < steps_max; step++) {
        const struct slot *slot = slot_at(store, before);
        if (slot->kind == SLOT_HEAD || (slot->kind == SLOT_RECORD && slot->sequence <= sequence)) {
            place(store, cursor, before, sequence);
            return true;
        }
        before = slot->prev;
    }
    place(store, cursor, before, slot_at(store, cursor)->sequence);
    return false;
}

bool store_cursor_peek(const struct herd_store *store, herd_cursor cursor, uint64_t *sequence)
{
    const struct slot *slot = slot_at(store, slot_at(store, cursor)->next);
    while (slot->kind == SLOT_CURSOR)
        slot = slot_at(store, slot->next);
    *sequence = slot->sequence;
    return slot->kind == SLOT_RECORD;
}

void store_cursor_to(struct herd_store *store, herd_cursor cursor, herd_cursor other)
{
    const struct slot *at = slot_at(store, other);
    place(store, cursor, at->prev, at->sequence);
}
