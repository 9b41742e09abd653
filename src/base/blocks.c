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
    if (blocks->count < blocks->idle_count)
        blocks->idle_count = blocks->count;
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
    if (block == NULL)
        return;
    if (blocks->count == blocks->max) {
        blocks->freed_bytes += blocks->size;
        free(block);
        return;
    }
    block->next = blocks->first;
    blocks->first = block;
    blocks->count++;
    FORBID(block, blocks->size);
}

size_t blocks_give_back(struct blocks *blocks, size_t *kept_bytes)
{
    size_t bytes = blocks->freed_bytes + blocks->idle_count * blocks->size;
    for (unsigned left = blocks->count - blocks->idle_count; blocks->count > left;)
        free(take_first(blocks));
    blocks->idle_count = blocks->count;
    blocks->freed_bytes = 0;
    *kept_bytes += blocks->count * blocks->size;
    return bytes;
}

void blocks_free(struct blocks *blocks)
{
    while (blocks->first != NULL)
        free(take_first(blocks));
}
