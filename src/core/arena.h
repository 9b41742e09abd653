/* arena.h: memory for many short texts that come and go: size classes of 16 bytes, cut from large
 * chunks, with free lists. */
#ifndef CORE_ARENA_H
#define CORE_ARENA_H

#include <stddef.h>

enum {
    ARENA_STEP_BYTES = 16,
    ARENA_CLASSES = 64, /* up to 1,024 bytes; longer texts have an allocation of their own */
    ARENA_CHUNK_BYTES = 1 << 18
};

struct arena_chunk;
struct arena_free;

struct arena {
    struct arena_chunk *chunks;
    size_t used; /* of the newest chunk */
    struct arena_free *free[ARENA_CLASSES];
    size_t bytes; /* held from the system */
};

/* Texts of more than the largest class are not known to the arena: each has to be freed with its
 * length before close. */
void arena_close(struct arena *arena);

/* Room for `len` bytes (>= 1), or NULL. */
char *arena_alloc(struct arena *arena, size_t len);
/* Gives back what arena_alloc gave for the same length. */
void arena_release(struct arena *arena, char *text, size_t len);
/* Whether texts of both lengths take the same room, so that one may be written over the other. */
int arena_same_class(size_t a, size_t b);

#endif
