/* arena.h: memory for many short texts that come and go: size classes of 8 bytes, cut from large
 * chunks, with free lists. A text is named by 4 bytes. */
#ifndef CORE_ARENA_H
#define CORE_ARENA_H

#include <stddef.h>
#include <stdint.h>

enum {
    ARENA_STEP_BYTES = 8,
    ARENA_CLASSES = 512, /* up to 4,096 bytes, the longest text there may be */
    ARENA_UNIT_BITS = 15,
    /* A little less than can be named, so that it fits whole pages together with malloc's own. */
    ARENA_CHUNK_BYTES = (1 << ARENA_UNIT_BITS) * ARENA_STEP_BYTES - 64,
    ARENA_CHUNKS_MAX = 1 << (32 - ARENA_UNIT_BITS) /* 32 GiB */
};

/* Where a text is: its chunk, and the units of 8 bytes before it in there. */
typedef uint32_t arena_ref;

#define ARENA_NONE UINT32_MAX

/* All zero is an empty one. */
struct arena {
    char **chunks;
    uint32_t chunk_count, chunk_cap;
    uint32_t units;                /* used of the newest chunk */
    arena_ref free[ARENA_CLASSES]; /* + 1; 0 for none */
    size_t bytes;                  /* held from the system */
};

/* Gives back all texts. */
void arena_close(struct arena *arena);

/* Room for `len` bytes (1..4,096), or ARENA_NONE. */
arena_ref arena_alloc(struct arena *arena, size_t len);
/* Gives back what arena_alloc gave for the same length. */
void arena_release(struct arena *arena, arena_ref ref, size_t len);
/* Whether texts of both lengths take the same room, so that one may be written over the other. */
int arena_same_class(size_t a, size_t b);

static inline char *arena_text(const struct arena *arena, arena_ref ref)
{
    return arena->chunks[ref >> ARENA_UNIT_BITS] +
           (size_t)(ref & ((1u << ARENA_UNIT_BITS) - 1)) * ARENA_STEP_BYTES;
}

#endif
