/* blocks.h: pieces of memory of one size that nobody needs just now, kept for who needs one next. */
#ifndef BASE_BLOCKS_H
#define BASE_BLOCKS_H

#include <stddef.h>

struct block {
    struct block *next;
};

/* One thread's. `size` is at least that of a struct block; `max` bounds what is kept. `idle_count`:
 * the fewest that were kept since blocks_give_back, so that none of these was needed. */
struct blocks {
    size_t size;
    unsigned count, max;
    struct block *first;
    unsigned idle_count;
    size_t freed_bytes; /* since then, of what was more than is kept */
};

/* One of them, with anything in it, for blocks_keep or free. NULL: no memory. */
void *blocks_take(struct blocks *blocks);

/* Keeps one, or frees it if there are enough; NULL is allowed. */
void blocks_keep(struct blocks *blocks, void *take_block);

/* Frees those that nobody has needed since the last call. How many bytes were freed since then; to
 * *kept_bytes is added what those have that are left. */
size_t blocks_give_back(struct blocks *blocks, size_t *kept_bytes);

/* Frees those that are kept. */
void blocks_free(struct blocks *blocks);

#endif
