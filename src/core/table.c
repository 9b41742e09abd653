#include <assert.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <herd/err.h>

#include "core/table.h"

enum {
    TABLE_MIN_SLOTS = 64,
    MOVES_PER_INSERT = 8, /* at a load of 3/4 growing is over long before the new half is full */
    /* All of 2 n slots in the n / 8 inserts between 5/8 and 3/4. */
    TOUCH_BYTES_PER_INSERT = 16 * sizeof(struct table_slot),
    PAGE_BYTES = 4096,
    RELEASE_BYTES = 64 * PAGE_BYTES,
    RELEASE_FROM_BYTES = 4 * 1024 * 1024 /* smaller ones malloc may keep among others */
};

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
    free(table->next.slots);
    *table = (struct table){0};
}

static void put(struct table_half *half, struct table_slot slot)
{
    uint32_t at = slot.tag & half->mask;
    while (half->slots[at].entry != 0)
        at = (at + 1) & half->mask;
    half->slots[at] = slot;
}

/* Slots that no walk needs any more: reading zeros there ends it, as the gap behind them would. */
static void release_some(struct table *table)
{
    size_t bytes = ((size_t)table->old.mask + 1) * sizeof(struct table_slot);
    size_t done = (size_t)table->gap * sizeof(struct table_slot);
    if (bytes < RELEASE_FROM_BYTES || done < table->released + RELEASE_BYTES + PAGE_BYTES)
        return;
    char *begin = (char *)table->old.slots;
    size_t misaligned = (PAGE_BYTES - (uintptr_t)begin % PAGE_BYTES) % PAGE_BYTES;
    madvise(begin + misaligned + table->released, RELEASE_BYTES, MADV_DONTNEED);
    table->released += RELEASE_BYTES;
}

static void move_some(struct table *table)
{
    for (int i = 0; i < MOVES_PER_INSERT && table->old.slots != NULL; i++) {
        struct table_slot *slot = &table->old.slots[table->moved];
        if (slot->entry == 0) {
            table->gap = table->moved;
        } else if (slot->entry != TABLE_ENTRY_GONE) {
            put(&table->now, *slot);
            slot->entry = TABLE_ENTRY_GONE;
        }
        if (table->moved++ == table->old.mask) {
            free(table->old.slots);
            table->old = (struct table_half){0};
        }
    }
    if (table->old.slots != NULL)
        release_some(table);
}

static void touch_some(struct table *table)
{
    size_t bytes = ((size_t)table->next.mask + 1) * sizeof(struct table_slot);
    table->touch_due += TOUCH_BYTES_PER_INSERT;
    while (table->touched < table->touch_due && table->touched < bytes) {
        *((volatile char *)table->next.slots + table->touched) = 0;
        table->touched += PAGE_BYTES;
    }
}

/* 0, or HERD_ENOMEM. */
static int prepare(struct table *table)
{
    size_t slots = ((size_t)table->now.mask + 1) * 2;
    if (table->next.slots != NULL)
        return 0;
    struct table_slot *grown = slots <= UINT32_MAX / 2 ? new_slots(slots) : NULL;
    if (grown == NULL)
        return HERD_ENOMEM;
    table->next = (struct table_half){.slots = grown, .mask = (uint32_t)(slots - 1)};
    table->touched = table->touch_due = 0;
    return 0;
}

int table_reserve(struct table *table)
{
    size_t slots = (size_t)table->now.mask + 1;
    if (table->count < slots / 8 * 5)
        return 0;
    /* At 8 moves an insert the last growth ended ages ago, unless memory was short and inserts
     * went on. */
    while (table->old.slots != NULL)
        move_some(table);
    int rc = prepare(table);
    if (table->count < slots / 4 * 3)
        return 0;
    if (rc < 0)
        return table->count < slots - 1 ? 0 : HERD_ENOMEM;
    table->old = table->now;
    table->now = table->next;
    table->next = (struct table_half){0};
    table->moved = table->gap = 0;
    table->released = 0;
    return 0;
}

void table_insert(struct table *table, uint32_t tag, uint32_t index)
{
    assert(index < TABLE_ENTRY_GONE - 1 && table->count < table->now.mask);
    if (table->old.slots != NULL)
        move_some(table);
    if (table->next.slots != NULL)
        touch_some(table);
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
        table->old.slots[at].entry = TABLE_ENTRY_GONE;
    }
    table->count--;
}

size_t table_bytes(const struct table *table)
{
    size_t slots = (size_t)table->now.mask + 1;
    if (table->old.slots != NULL)
        slots += (size_t)table->old.mask + 1;
    if (table->next.slots != NULL)
        slots += (size_t)table->next.mask + 1;
    return slots * sizeof(struct table_slot);
}
