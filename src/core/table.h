/* table.h: hash -> index of a record; open addressing that grows a few slots at a time, so that no
 * insert takes long. */
#ifndef CORE_TABLE_H
#define CORE_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A slot is 8 bytes, {tag, index + 1}, {0, 0} when it is free. The tag is 32 bits of the hash: it
 * gives the slot's place in a table of any size, so growing never touches the records, and it
 * answers nearly every look-up of a wrong record without touching that either.
 *
 * Growing is spread over many inserts. At 5/8 full the next slots are allocated, and from then on
 * their memory is touched a little with each insert, so that the system gives it page by page. At
 * 3/4 full they are put to use; the old ones stay in use as well and move over a few an insert, and
 * their memory goes back piece by piece.
 */
struct table_slot {
    uint32_t tag;
    uint32_t entry;
};

struct table_half {
    struct table_slot *slots;
    uint32_t mask; /* slots - 1 */
};

struct table {
    struct table_half now;
    struct table_half old;  /* slots NULL unless growing */
    struct table_half next; /* slots NULL unless it is about to grow */
    size_t touched;         /* bytes of `next` whose memory is there */
    size_t touch_due;       /* bytes of it that should be */
    uint32_t moved;         /* old slots below this are empty or moved */
    uint32_t gap;           /* old slots below this are not passed on the way to any other one */
    size_t released;        /* bytes of `old` given back to the system */
    uint32_t count;
};

/* A walk over the indices whose tag is the one looked for. */
struct table_walk {
    const struct table *table;
    uint32_t tag, at;
    bool in_old;
};

#define TABLE_NONE UINT32_MAX
/* An entry of the old half alone: taken out, walks go on behind it. */
#define TABLE_ENTRY_GONE UINT32_MAX

int table_init(struct table *table); /* 0 or HERD_ENOMEM */
void table_close(struct table *table);

/* Has the memory that a walk begins with fetched. */
static inline void table_prefetch(const struct table *table, uint32_t tag)
{
    __builtin_prefetch(&table->now.slots[tag & table->now.mask]);
}

static inline struct table_walk table_walk(const struct table *table, uint32_t tag)
{
    return (struct table_walk){.table = table, .tag = tag, .at = tag & table->now.mask};
}

/* The next index with that tag, or TABLE_NONE. The caller compares the records. */
static inline uint32_t table_walk_next(struct table_walk *walk)
{
    for (;;) {
        const struct table_half *half = walk->in_old ? &walk->table->old : &walk->table->now;
        struct table_slot slot;
        while ((slot = half->slots[walk->at]).entry != 0) {
            walk->at = (walk->at + 1) & half->mask;
            if (slot.tag == walk->tag && slot.entry != TABLE_ENTRY_GONE)
                return slot.entry - 1;
        }
        if (walk->in_old || walk->table->old.slots == NULL)
            return TABLE_NONE;
        walk->in_old = true;
        walk->at = walk->tag & walk->table->old.mask;
    }
}

/* Makes sure that one insert cannot fail. 0 or HERD_ENOMEM. */
int table_reserve(struct table *table);
/* Adds an index; after table_reserve, and once it is known not to be there. */
void table_insert(struct table *table, uint32_t tag, uint32_t index);
/* Takes an index out, which is there. */
void table_remove(struct table *table, uint32_t tag, uint32_t index);

/* Bytes of memory held. */
size_t table_bytes(const struct table *table);

#endif
