/*
 * spares.h: output buffers that were written, kept for the next ones. Small and large ones apart,
 * and the large ones within a bound of bytes: a link's turn with much to say would otherwise make
 * one after the other large, until all are. A link has one of its own for that, as long as its
 * window: links are written one after the other. The large ones suffice for all that connections
 * may have at once before it goes out, but for places: a client that asks for many at once has one
 * for them that is as long as output_max is by default, and an answer more. A turn of the loop has
 * time for the places of a few clients. What waits begins in small ones, and takes a large one once
 * it has more: lines of one read, whose answers and refusals wait for the disk or a neighbour.
 *
 * Those that nobody has needed between two calls of spares_give_back go there: what is kept follows
 * what is needed now, and not the largest crowd that there was.
 */
#ifndef CORE_SPARES_H
#define CORE_SPARES_H

#include <herd/buf.h>
#include <herd/node.h>

enum {
    SPARES_SMALL_MAX = 2 * HERD_TOUCHED_MAX, /* of all connections in a turn, and of what waits */
    SPARES_SMALL_BYTES = 1024,               /* larger ones are large */
    SPARES_LEFT_TO_LINKS = 4,                /* large ones */
    SPARES_LARGE_MAX = 2 * (HERD_TOUCHED_MAX + SPARES_LEFT_TO_LINKS), /* waiting: two each */
    SPARES_LARGE_BYTES = 32768, /* larger ones are not kept, but for the long one */
    SPARES_LARGE_ALL_BYTES = HERD_TOUCHED_BYTES + 2 * SPARES_LARGE_BYTES, /* of all together */
    SPARES_LONG_BYTES = 256 * 1024,   /* a link's window; a longer one is not kept, but */
    SPARES_PLACES_BYTES = 288 * 1024, /* for places, just as long */
    SPARES_PLACES_MAX = 8
};

/* All 0: none. `idle_…`: the fewest that were there since spares_give_back, so that none of these
 * was needed. */
struct spares {
    struct herd_buf small[SPARES_SMALL_MAX], large[SPARES_LARGE_MAX];
    struct herd_buf long_one; /* longer than the large ones */
    struct herd_buf places[SPARES_PLACES_MAX];
    unsigned small_count, large_count, places_count;
    unsigned idle_small, idle_large, idle_places;
    bool long_is_idle;
    size_t large_bytes;
    size_t freed_bytes; /* since spares_give_back: of all that the node did not keep */
};

/* All give a buffer to `out`, which has no memory, if there is one. For what is short, or begins to
 * wait: none that is large. */
static inline void spares_take_small(struct spares *spares, struct herd_buf *out)
{
    if (spares->small_count == 0)
        return;
    *out = spares->small[--spares->small_count];
    if (spares->small_count < spares->idle_small)
        spares->idle_small = spares->small_count;
}

static inline void spares_take_but(struct spares *spares, unsigned left, struct herd_buf *out)
{
    if (spares->large_count <= left) {
        spares_take_small(spares, out);
        return;
    }
    *out = spares->large[--spares->large_count];
    spares->large_bytes -= out->cap;
    if (spares->large_count < spares->idle_large)
        spares->idle_large = spares->large_count;
}

/* For answers to a client, few or many: a large one if there are enough for links, too. */
static inline void spares_take(struct spares *spares, struct herd_buf *out)
{
    spares_take_but(spares, SPARES_LEFT_TO_LINKS, out);
}

/* For a link: the long one or a large one, rather than to make a small one large. */
static inline void spares_take_long(struct spares *spares, struct herd_buf *out)
{
    if (spares->long_one.cap == 0) {
        spares_take_but(spares, 0, out);
        return;
    }
    *out = spares->long_one;
    spares->long_one = (struct herd_buf){0};
    spares->long_is_idle = false;
}

/* For what waits, before `more` bytes are added to it: if a small one would not hold them, puts what
 * it has already into a large one, if there are enough for links, too, and keeps the small one. */
void spares_make_room(struct spares *spares, struct herd_buf *buf, size_t more);

/* For places of a client: puts what it has already into one for them, and keeps what it had. It
 * stays as it is if it is longer, or memory is short. */
void spares_lengthen(struct spares *spares, struct herd_buf *buf);

/* Keeps it if there is room, else frees it; it is {0} then. */
void spares_keep(struct spares *spares, struct herd_buf *take_buf);

/* Frees what nobody has needed since the last call. How many bytes were freed since then. */
size_t spares_give_back(struct spares *spares);
size_t spares_bytes(const struct spares *spares);
void spares_free(struct spares *spares);

#endif
