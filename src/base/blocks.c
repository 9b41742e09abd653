#include "base/blocks.h"

#include <assert.h>
#include <stdlib.h>

/* Whoever still uses what he gave back is found, as with what is freed. */
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#define FORBID(block, size) ASAN_POISON_MEMORY_REGION((block) + 1, (size) - sizeof *(block))
#define ALLOW(block, size)  ASAN_UNPOISON_MEMORY_REGION((block), (size))
#else
#define FORBID(block, size) ((void)(block), (void)(size))
#define ALLOW(block, size)  ((void)(block), (void)(size))
#endif

static struct block *take_first(struct blocks *blocks)
{
    struct block *block = blocks->first;
    blocks->first = block->next;
    blocks->count--;
    ALLOW(block, blocks->size);
    return block;
}

void *blocks_take(struct blocks *blocks)
{
    assert(blocks->size >= sizeof(struct block));
    return blocks->first != NULL ? take_first(blocks) : malloc(blocks->size);
}

void blocks_keep(struct blocks *blocks, void *take_block)
{
    struct block *block = take_block;
    if (block == NULL || blocks->count == blocks->max) {
        free(block);
        return;
    }
    block->next = blocks->first;
    blocks->first = block;
    blocks->count++;
    FORBID(block, blocks->size);
}

void blocks_free(struct blocks *blocks)
{
    while (blocks->first != NULL)
        free(take_first(blocks));
}
