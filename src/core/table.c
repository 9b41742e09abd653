#include <assert.h>
#include <stdlib.h>

#include <herd/err.h>

#include "core/table.h"

enum {
    TABLE_MIN_SLOTS = 64,
    MOVES_PER_INSERT = 16 /* at a load of 3/4 growing is over long before the new half is full */
};

#define ENTRY_GONE UINT32_MAX /* in the old half alone: taken out, walks go on behind it */

static struct table_slot *new_slots(size_t count)
{
    return calloc(count, sizeof(struct table_slot));
}

int table_init(struct table *table)
{
    *table = (struct table){.now.mask = TABLE_MIN_SLOTS - 1};
    table->now.slots = new_slots(TABLE_MIN_SLOTS);
    return table->now.slots != NULL ? 0 : HERD_ENOMEM;
}

void table_close(struct table *table)
{
    free(table->now.slots);
    free(table->old.slots);
    *table = (struct table){0};
}

struct table_walk table_walk(const struct table *table, uint32_t tag)
{
    return (struct table_walk){.table = table, .tag = tag, .at = tag & table->now.mask};
}

uint32_t table_walk_next(struct table_walk *walk)
{
    for (;;) {
        const struct table_half *half = walk->in_old ? &walk->table->old : &walk->table->now;
        struct table_slot slot;
        while ((slot = half->slots[walk->at]).entry != 0) {
            walk->at = (walk->at + 1) & half->mask;
            if (slot.tag == walk->tag && slot.entry != ENTRY_GONE)
                return slot.entry - 1;
        }
        if (walk->in_old || walk->table->old.slots == NULL)
            return TABLE_NONE;
        walk->in_old = true;
        walk->at = walk->tag & walk->table->old.mask;
    }
}

static void put(struct table_half *half, struct table_slot slot)
{
    uint32_t at = slot.tag & half->mask;
    while (half->slots[at].entry != 0)
        at = (at + 1) & half->mask;
    half->slots[at] = slot;
}

static void move_some(struct table *table)
{
    for (int i = 0; i < MOVES_PER_INSERT && table->old.slots != NULL; i++) {
        struct table_slot *slot = &table->old.slots[table->moved];
        if (slot->entry != 0 && slot->entry != ENTRY_GONE) {
            put(&table->now, *slot);
            slot->entry = ENTRY_GONE;
        }
        if (table->moved++ == table->old.mask) {
            free(table->old.slots);
            table->old = (struct table_half){0};
        }
    }
}

int table_reserve(struct table *table)
{
    size_t slots = (size_t)table->now.mask + 1;
    if (table->count < slots / 4 * 3)
        return 0;
    /* At 16 moves an insert the last growth ended ages ago, unless memory was short and inserts
     * went on. */
    while (table->old.slots != NULL)
        move_some(table);
    struct table_slot *grown = slots <= UINT32_MAX / 4 ? new_slots(slots * 2) : NULL;
    if (grown == NULL)
        return table->count < slots - 1 ? 0 : HERD_ENOMEM;
    table->old = table->now;
    table->now = (struct table_half){.slots = grown, .mask = (uint32_t)(slots * 2 - 1)};
    table->moved = 0;
    return 0;
}

void table_insert(struct table *table, uint32_t tag, uint32_t index)
{
    assert(index < ENTRY_GONE - 1 && table->count < table->now.mask);
    move_some(table);
    put(&table->now, (struct table_slot){tag, index + 1});
    table->count++;
}

static bool find(const struct table_half *half, uint32_t tag, uint32_t index, uint32_t *out_at)
{
    if (half->slots == NULL)
        return false;
    for (uint32_t at = tag & half->mask; half->slots[at].entry != 0; at = (at + 1) & half->mask) {
        if (half->slots[at].entry == index + 1) {
            *out_at = at;
            return true;
        }
    }
    return false;
}

/* Frees a slot and moves back what had been pushed behind it (Knuth, TAOCP 6.4, algorithm R), so
 * that no marks remain. */
static void close_gap(struct table_half *half, uint32_t gap)
{
    for (uint32_t at = (gap + 1) & half->mask; half->slots[at].entry != 0;
         at = (at + 1) & half->mask) {
        uint32_t home = half->slots[at].tag & half->mask;
        if (((at - home) & half->mask) >= ((at - gap) & half->mask)) {
            half->slots[gap] = half->slots[at];
            gap = at;
        }
    }
    half->slots[gap] = (struct table_slot){0, 0};
}

void table_remove(struct table *table, uint32_t tag, uint32_t index)
{
    uint32_t at;
    if (find(&table->now, tag, index, &at)) {
        close_gap(&table->now, at);
    } else {
        bool in_old = find(&table->old, tag, index, &at);
        assert(in_old);
        table->old.slots[at].entry = ENTRY_GONE;
    }
    table->count--;
}

size_t table_bytes(const struct table *table)
{
    size_t slots = (size_t)table->now.mask + 1;
    if (table->old.slots != NULL)
        slots += (size_t)table->old.mask + 1;
    return slots * sizeof(struct table_slot);
}
