/* arena.h: memory for many short texts that come and go: size classes of 8 bytes, cut from large
 * chunks, with lists of gaps. A text is named by 4 bytes. */
#ifndef CORE_ARENA_H
#define CORE_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    ARENA_STEP_BYTES = 8,
    ARENA_CLASSES = 512, /* up to 4,096 bytes, the longest text there may be */
    ARENA_UNIT_BITS = 15,
    /* A little less than can be named, so that it fits whole pages together with malloc's own. */
    ARENA_CHUNK_BYTES = (1 << ARENA_UNIT_BITS) * ARENA_STEP_BYTES - 64,
    ARENA_CHUNKS_MAX = 1 << (32 - ARENA_UNIT_BITS), /* 32 GiB */
    ARENA_IDLE_PART = 8 /* more than an eighth of the texts may not be idle */
};

/* Where a text is: its chunk, and the units of 8 bytes before it in there. */
typedef uint32_t arena_ref;

#define ARENA_NONE UINT32_MAX

struct arena_chunk {
    char *bytes;   /* NULL: given back */
    uint32_t live; /* units that texts take */
    uint32_t used; /* units that are texts or gaps; what is behind them is not cut yet */
};

/*
 * All zero is an empty one.
 *
 * A gap is used again for a text of its own class alone. What that leaves unused is bounded:
 * whatever came and went,
 *
 *     bytes <= live + live / 8 + 4 chunks (1 MiB)
 *
 * Above live / 8 and a chunk the one that has the fewest texts is emptied, and given back: its
 * texts move, as many as pay for what is given back (arena_next_to_move). So it costs nothing until
 * then, and no call has to move much. While memory is short texts stay, and it may be more.
 */
struct arena {
    struct arena_chunk *chunks;
    uint32_t chunk_count, chunk_cap;
    uint32_t newest;               /* + 1: the one that is cut from; 0: none yet */
    uint32_t missing;              /* + 1: one that was given back; its `used` names the next */
    arena_ref gaps[ARENA_CLASSES]; /* + 1: the first of each class; 0: none */
    size_t bytes;                  /* held from the system */
    size_t live;                   /* bytes that texts take */
    size_t idle;                   /* bytes that are neither that nor left of the newest chunk */
    uint32_t emptied;              /* + 1: the chunk that is being emptied; 0: none */
    uint32_t at;                   /* units of it that have been passed */
    uint32_t pace;                 /* units to pass for each one given back */
    size_t due;                    /* units still to be passed */
};

/* Gives back all texts. */
void arena_close(struct arena *arena);

/* Room for `len` bytes (1..4,096), or ARENA_NONE. They are written, and the first is no NUL, before
 * arena_next_to_move is called. */
arena_ref arena_alloc(struct arena *arena, size_t len);
/* Gives back what arena_alloc or arena_move gave for the same length. */
void arena_release(struct arena *arena, arena_ref ref, size_t len);
/* Whether texts of both lengths take the same room, so that one may be written over the other. */
bool arena_same_class(size_t a, size_t b);

/* The next text that has to move for what was given back, or ARENA_NONE: none has to now. */
arena_ref arena_next_to_move(struct arena *arena);
/* Moves it: where it is now, or ARENA_NONE, where it was, when memory is short. */
arena_ref arena_move(struct arena *arena, arena_ref ref, size_t len);

static inline char *arena_text(const struct arena *arena, arena_ref ref)
{
    return arena->chunks[ref >> ARENA_UNIT_BITS].bytes +
           (size_t)(ref & ((1u << ARENA_UNIT_BITS) - 1)) * ARENA_STEP_BYTES;
}

#endif
