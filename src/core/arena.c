/*
 * Why texts move: gaps that only serve their own class stay for ever once texts have another
 * length. Gaps that are cut and joined would bound that for no order of lengths (Robson 1974: the
 * worst is a logarithm of the sizes), and need to know what is before a gap. Moving bounds it for
 * all of them, with no byte more a text: it begins with the id of its client, which finds whatever
 * names it. An eighth: less would be more moves a text, more would be more bytes a client.
 *
 * The bound: idle > live / 8 + a chunk is more than a ninth of all chunks but the newest (no more
 * than a chunk of which can be idle), so the emptiest of them has more than a ninth to win. It is
 * passed at a pace at which less is given back meanwhile than that. Until it goes, what its texts
 * took is idle as well, which is one chunk more; what is left of the newest is the third, and the
 * fourth has room for what one call gives back before any text has moved.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/arena.h"
#include "core/grown.h"
#include "core/pages.h"

enum {
    CHUNK_UNITS = ARENA_CHUNK_BYTES / ARENA_STEP_BYTES,
    UNITS_MIN = 2 /* a gap says what it is */
};

/* What stands in a gap. No text begins with NUL. */
struct gap {
    char nul;
    bool listed;
    uint16_t units;
    arena_ref next; /* + 1, of its class; 0: none */
    arena_ref prev; /* likewise; of the first one it says nothing */
};

_Static_assert(sizeof(struct gap) <= UNITS_MIN * ARENA_STEP_BYTES, "any gap can hold it");

static uint32_t units_of(size_t len)
{
    size_t units = (len + ARENA_STEP_BYTES - 1) / ARENA_STEP_BYTES;
    return units < UNITS_MIN ? UNITS_MIN : (uint32_t)units;
}

bool arena_same_class(size_t a, size_t b)
{
    return units_of(a) == units_of(b);
}

static struct arena_chunk *chunk_of(const struct arena *arena, arena_ref ref)
{
    return &arena->chunks[ref >> ARENA_UNIT_BITS];
}

static struct gap *gap_at(const struct arena *arena, arena_ref ref)
{
    return (struct gap *)(void *)arena_text(arena, ref);
}

static int reserve_number(struct arena *arena)
{
    if (arena->missing != 0 || arena->chunk_count < arena->chunk_cap)
        return 0;
    if (arena->chunk_count == ARENA_CHUNKS_MAX)
        return -1;
    struct arena_chunk *chunks =
        grown(arena->chunks, arena->chunk_count, &arena->chunk_cap, sizeof(*chunks));
    if (chunks == NULL)
        return -1;
    arena->chunks = chunks;
    return 0;
}

static int add_chunk(struct arena *arena)
{
    if (reserve_number(arena) < 0)
        return -1;
    char *bytes = malloc(ARENA_CHUNK_BYTES);
    if (bytes == NULL)
        return -1;
    if (arena->newest != 0)
        arena->idle +=
            (size_t)(CHUNK_UNITS - arena->chunks[arena->newest - 1].used) * ARENA_STEP_BYTES;
    uint32_t number = arena->chunk_count;
    if (arena->missing != 0) {
        number = arena->missing - 1;
        arena->missing = arena->chunks[number].used;
    } else {
        arena->chunk_count++;
    }
    arena->chunks[number] = (struct arena_chunk){.bytes = bytes};
    arena->newest = number + 1;
    arena->bytes += ARENA_CHUNK_BYTES;
    return 0;
}

static arena_ref cut(struct arena *arena, uint32_t units)
{
    if ((arena->newest == 0 || arena->chunks[arena->newest - 1].used + units > CHUNK_UNITS) &&
        add_chunk(arena) < 0)
        return ARENA_NONE;
    struct arena_chunk *chunk = &arena->chunks[arena->newest - 1];
    arena_ref ref = (arena->newest - 1) << ARENA_UNIT_BITS | chunk->used;
    chunk->used += units;
    return ref;
}

static bool is_emptied(const struct arena *arena, arena_ref ref)
{
    return (ref >> ARENA_UNIT_BITS) + 1 == arena->emptied;
}

/* Those of the chunk that is being emptied leave the list, for what would be put there had to move
 * at once. */
static arena_ref take_gap(struct arena *arena, uint32_t units)
{
    arena_ref *first = &arena->gaps[units - 1];
    while (*first != 0) {
        arena_ref ref = *first - 1;
        struct gap *gap = gap_at(arena, ref);
        *first = gap->next;
        if (!is_emptied(arena, ref)) {
            arena->idle -= (size_t)units * ARENA_STEP_BYTES;
            return ref;
        }
        gap->listed = false;
    }
    return ARENA_NONE;
}

static void leave_gap(struct arena *arena, arena_ref ref, uint32_t units)
{
    arena_ref *first = &arena->gaps[units - 1];
    struct gap *gap = gap_at(arena, ref);
    *gap = (struct gap){.units = (uint16_t)units};
    if (is_emptied(arena, ref))
        return;
    if (*first != 0)
        gap_at(arena, *first - 1)->prev = ref + 1;
    gap->listed = true;
    gap->next = *first;
    *first = ref + 1;
}

arena_ref arena_alloc(struct arena *arena, size_t len)
{
    uint32_t units = units_of(len);
    assert(units <= ARENA_CLASSES);
    arena_ref ref = take_gap(arena, units);
    if (ref == ARENA_NONE)
        ref = cut(arena, units);
    if (ref == ARENA_NONE)
        return ARENA_NONE;
    chunk_of(arena, ref)->live += units;
    arena->live += (size_t)units * ARENA_STEP_BYTES;
    return ref;
}

static bool has_too_much_idle(const struct arena *arena)
{
    return arena->idle > arena->live / ARENA_IDLE_PART + ARENA_CHUNK_BYTES;
}

void arena_release(struct arena *arena, arena_ref ref, size_t len)
{
    uint32_t units = units_of(len);
    leave_gap(arena, ref, units);
    chunk_of(arena, ref)->live -= units;
    arena->live -= (size_t)units * ARENA_STEP_BYTES;
    arena->idle += (size_t)units * ARENA_STEP_BYTES;
    if (arena->emptied != 0 || has_too_much_idle(arena))
        arena->due += (size_t)units * (arena->pace + 1);
}

/* Begins with the chunk that has the fewest texts. */
static void begin_to_empty(struct arena *arena)
{
    uint32_t least = CHUNK_UNITS;
    for (uint32_t i = 0; i < arena->chunk_count; i++) {
        const struct arena_chunk *chunk = &arena->chunks[i];
        if (chunk->bytes == NULL || i + 1 == arena->newest || chunk->live >= least)
            continue;
        least = chunk->live;
        arena->emptied = i + 1;
    }
    assert(arena->emptied != 0);
    arena->at = 0;
    /* What is given back adds to the idle, and takes from the eighth that may be. */
    arena->pace = (ARENA_IDLE_PART + 1) * CHUNK_UNITS / (ARENA_IDLE_PART * (CHUNK_UNITS - least));
}

static void give_back(struct arena *arena, struct arena_chunk *chunk)
{
    assert(chunk->live == 0);
    pages_free(chunk->bytes, ARENA_CHUNK_BYTES);
    *chunk = (struct arena_chunk){.used = arena->missing};
    arena->missing = arena->emptied;
    arena->bytes -= ARENA_CHUNK_BYTES;
    arena->idle -= ARENA_CHUNK_BYTES;
    arena->emptied = 0;
    arena->pace = 0;
}

static void unlink_gap(struct arena *arena, arena_ref ref)
{
    const struct gap *gap = gap_at(arena, ref);
    arena_ref *first = &arena->gaps[gap->units - 1];
    if (*first == ref + 1) {
        *first = gap->next;
        return;
    }
    gap_at(arena, gap->prev - 1)->next = gap->next;
    if (gap->next != 0)
        gap_at(arena, gap->next - 1)->prev = gap->prev;
}

static void pass(struct arena *arena, uint32_t units)
{
    arena->at += units;
    arena->due = arena->due > units ? arena->due - units : 0;
}

arena_ref arena_next_to_move(struct arena *arena)
{
    while (arena->due > 0) {
        if (arena->emptied == 0 && !has_too_much_idle(arena)) {
            arena->due = 0;
            break;
        }
        if (arena->emptied == 0)
            begin_to_empty(arena);
        struct arena_chunk *chunk = &arena->chunks[arena->emptied - 1];
        if (arena->at == chunk->used) {
            give_back(arena, chunk);
            continue;
        }
        arena_ref ref = (arena->emptied - 1) << ARENA_UNIT_BITS | arena->at;
        if (*arena_text(arena, ref) != '\0')
            return ref;
        if (gap_at(arena, ref)->listed)
            unlink_gap(arena, ref);
        pass(arena, gap_at(arena, ref)->units);
    }
    return ARENA_NONE;
}

arena_ref arena_move(struct arena *arena, arena_ref ref, size_t len)
{
    uint32_t units = units_of(len);
    arena_ref to = arena_alloc(arena, len);
    if (to == ARENA_NONE) {
        if (arena->due > CHUNK_UNITS)
            arena->due = CHUNK_UNITS; /* once there is memory, one call pays */
        return ARENA_NONE;
    }
    memcpy(arena_text(arena, to), arena_text(arena, ref), len);
    chunk_of(arena, ref)->live -= units;
    arena->live -= (size_t)units * ARENA_STEP_BYTES;
    arena->idle += (size_t)units * ARENA_STEP_BYTES;
    pass(arena, units);
    return to;
}

void arena_close(struct arena *arena)
{
    for (uint32_t i = 0; i < arena->chunk_count; i++)
        free(arena->chunks[i].bytes);
    free(arena->chunks);
    memset(arena, 0, sizeof(*arena));
}
