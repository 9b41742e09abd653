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
 * answers nearly every look-up of a wrong record without touching that either. While a table grows,
 * the old slots stay in use and move over with each call that changes it.
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
    struct table_half old; /* slots NULL unless growing */
    uint32_t moved;        /* old slots below this are empty or moved */
    uint32_t count;
};

/* A walk over the indices whose tag is the one looked for. */
struct table_walk {
    const struct table *table;
    uint32_t tag, at;
    bool in_old;
};

#define TABLE_NONE UINT32_MAX

int table_init(struct table *table); /* 0 or HERD_ENOMEM */
void table_close(struct table *table);

struct table_walk table_walk(const struct table *table, uint32_t tag);
/* The next index with that tag, or TABLE_NONE. The caller compares the records. */
uint32_t table_walk_next(struct table_walk *walk);

/* Makes sure that one insert cannot fail. 0 or HERD_ENOMEM. */
int table_reserve(struct table *table);
/* Adds an index; after table_reserve, and once it is known not to be there. */
void table_insert(struct table *table, uint32_t tag, uint32_t index);
/* Takes an index out, which is there. */
void table_remove(struct table *table, uint32_t tag, uint32_t index);

/* Bytes of memory held. */
size_t table_bytes(const struct table *table);

#endif
