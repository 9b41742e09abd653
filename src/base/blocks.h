/* blocks.h: pieces of memory of one size that nobody needs just now, kept for who needs one next. */
#ifndef BASE_BLOCKS_H
#define BASE_BLOCKS_H

#include <stddef.h>

struct block {
    struct block *next;
};

/* One thread's. `size` is at least that of a struct block; `max` bounds what is kept. */
struct blocks {
    size_t size;
    unsigned count, max;
    struct block *first;
};

/* One of them, with anything in it, for blocks_keep or free. NULL: no memory. */
void *blocks_take(struct blocks *blocks);

/* Keeps one, or frees it if there are enough; NULL is allowed. */
void blocks_keep(struct blocks *blocks, void *take_block);

/* Frees those that are kept. */
void blocks_free(struct blocks *blocks);

#endif
