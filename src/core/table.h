/* table.h: hash -> index of a record; open addressing whose size follows the number of records, a
 * few slots at a time. */
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
 * Slots stand in descending order of their tags (~tag, the rank, ascends), each at its place or
 * behind it with no free one between. So a walk ends at a lower tag, as which a free slot reads.
 *
 * A place is rank * slots / 2^32: for ranks below a limit of a table of `few` slots, for others of
 * one of `many`. Growing lowers the limit, and what stood right below it moves to the right, into
 * room that the memory behind the table has for it; shrinking raises it. At 0 `many` becomes `few`,
 * and a size a fifth larger or so `many`. The limit follows the count: at any number of records 7/5
 * slots are touched for each. (docs/decisions/0013-flat-as-it-grows.md)
 */
struct table_slot {
    uint32_t tag;
    uint32_t entry;
};

struct table {
    struct table_slot *slots;
    uint64_t limit;     /* of ranks, up to 2^32 */
    uint32_t few, many; /* sizes of this level and the next */
    uint32_t size;      /* between them: what the limit makes of both */
    uint32_t count;
    unsigned level;
    size_t margin;   /* slots wanted behind the largest place */
    size_t capacity; /* slots there is memory for; the last is always free */
};

/* A walk over the indices whose tag is the one looked for. */
struct table_walk {
    const struct table *table;
    uint32_t tag, at;
};

#define TABLE_NONE UINT32_MAX

int table_init(struct table *table); /* 0 or HERD_ENOMEM */
void table_close(struct table *table);

static inline uint32_t table_place(const struct table *table, uint32_t tag)
{
    uint32_t rank = ~tag;
    return (uint32_t)((uint64_t)rank * (rank < table->limit ? table->few : table->many) >> 32);
}

/* A walk that has not begun, for whose beginning the memory is fetched. */
static inline struct table_walk table_walk(const struct table *table, uint32_t tag)
{
    struct table_walk walk = {.table = table, .tag = tag, .at = table_place(table, tag)};
    __builtin_prefetch(&table->slots[walk.at]);
    return walk;
}

/* The next index with that tag, or TABLE_NONE. The caller compares the records. */
static inline uint32_t table_walk_next(struct table_walk *walk)
{
    const struct table_slot *slot = &walk->table->slots[walk->at];
    while (slot->tag > walk->tag)
        slot++;
    if (slot->tag != walk->tag || slot->entry == 0)
        return TABLE_NONE;
    walk->at = (uint32_t)(slot + 1 - walk->table->slots);
    return slot->entry - 1;
}

/* Makes sure that one insert cannot fail. 0 or HERD_ENOMEM. */
int table_reserve(struct table *table);
/* Adds an index; after table_reserve, and once it is known not to be there. */
void table_insert(struct table *table, uint32_t tag, uint32_t index);
/* A record has another index now. */
void table_rename(struct table *table, uint32_t tag, uint32_t from, uint32_t to);
/* Takes an index out, which is there. */
void table_remove(struct table *table, uint32_t tag, uint32_t index);

/* Bytes of memory held. */
size_t table_bytes(const struct table *table);

#endif
