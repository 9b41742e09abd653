#include <stdlib.h>
#include <string.h>

#include "core/arena.h"

struct arena_chunk {
    struct arena_chunk *next;
    char *pad; /* keeps the first text 16-byte aligned */
};

struct arena_free {
    struct arena_free *next;
};

static size_t class_of(size_t len)
{
    return (len + ARENA_STEP_BYTES - 1) / ARENA_STEP_BYTES - 1;
}

int arena_same_class(size_t a, size_t b)
{
    return class_of(a) == class_of(b);
}

static char *cut(struct arena *arena, size_t size)
{
    if (arena->chunks == NULL || arena->used + size > ARENA_CHUNK_BYTES) {
        struct arena_chunk *chunk = malloc(ARENA_CHUNK_BYTES);
        if (chunk == NULL)
            return NULL;
        chunk->next = arena->chunks;
        arena->chunks = chunk;
        arena->used = sizeof(*chunk);
        arena->bytes += ARENA_CHUNK_BYTES;
    }
    char *text = (char *)arena->chunks + arena->used;
    arena->used += size;
    return text;
}

char *arena_alloc(struct arena *arena, size_t len)
{
    size_t class = class_of(len);
    if (class >= ARENA_CLASSES) {
        char *text = malloc((class + 1) * ARENA_STEP_BYTES);
        if (text != NULL)
            arena->bytes += (class + 1) * ARENA_STEP_BYTES;
        return text;
    }
    struct arena_free *first = arena->free[class];
    if (first == NULL)
        return cut(arena, (class + 1) * ARENA_STEP_BYTES);
    arena->free[class] = first->next;
    return (char *)first;
}

void arena_release(struct arena *arena, char *text, size_t len)
{
    size_t class = class_of(len);
    if (class >= ARENA_CLASSES) {
        arena->bytes -= (class + 1) * ARENA_STEP_BYTES;
        free(text);
        return;
    }
    struct arena_free *entry = (struct arena_free *)(void *)text;
    entry->next = arena->free[class];
    arena->free[class] = entry;
}

void arena_close(struct arena *arena)
{
    while (arena->chunks != NULL) {
        struct arena_chunk *next = arena->chunks->next;
        free(arena->chunks);
        arena->chunks = next;
    }
    memset(arena, 0, sizeof(*arena));
}
