#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/arena.h"

enum { CHUNK_UNITS = ARENA_CHUNK_BYTES / ARENA_STEP_BYTES };

static size_t class_of(size_t len)
{
    return (len + ARENA_STEP_BYTES - 1) / ARENA_STEP_BYTES - 1;
}

int arena_same_class(size_t a, size_t b)
{
    return class_of(a) == class_of(b);
}

static int add_chunk(struct arena *arena)
{
    if (arena->chunk_count == ARENA_CHUNKS_MAX)
        return -1;
    if (arena->chunk_count == arena->chunk_cap) {
        uint32_t cap = arena->chunk_cap > 0 ? arena->chunk_cap * 2 : 16;
        char **chunks = realloc(arena->chunks, cap * sizeof(*chunks));
        if (chunks == NULL)
            return -1;
        arena->chunks = chunks;
        arena->chunk_cap = cap;
    }
    char *chunk = malloc(ARENA_CHUNK_BYTES);
    if (chunk == NULL)
        return -1;
    arena->chunks[arena->chunk_count++] = chunk;
    arena->units = 0;
    arena->bytes += ARENA_CHUNK_BYTES;
    return 0;
}

static arena_ref cut(struct arena *arena, uint32_t units)
{
    if ((arena->chunk_count == 0 || arena->units + units > CHUNK_UNITS) && add_chunk(arena) < 0)
        return ARENA_NONE;
    arena_ref ref = (arena->chunk_count - 1) << ARENA_UNIT_BITS | arena->units;
    arena->units += units;
    return ref;
}

arena_ref arena_alloc(struct arena *arena, size_t len)
{
    size_t class = class_of(len);
    assert(class < ARENA_CLASSES);
    if (arena->free[class] == 0)
        return cut(arena, (uint32_t) class + 1);
    arena_ref ref = arena->free[class] - 1;
    memcpy(&arena->free[class], arena_text(arena, ref), sizeof(ref));
    return ref;
}

void arena_release(struct arena *arena, arena_ref ref, size_t len)
{
    arena_ref *first = &arena->free[class_of(len)];
    memcpy(arena_text(arena, ref), first, sizeof(*first));
    *first = ref + 1;
}

void arena_close(struct arena *arena)
{
    for (uint32_t i = 0; i < arena->chunk_count; i++)
        free(arena->chunks[i]);
    free(arena->chunks);
    memset(arena, 0, sizeof(*arena));
}
