/* stream_ring.h: lists of streams, doubly linked, in a circle that begins with the one who owns it. */
#ifndef NET_STREAM_RING_H
#define NET_STREAM_RING_H

#include <stdbool.h>

/* A list of streams, or a place in one. */
struct stream_ring {
    struct stream_ring *next, *prev;
};

static inline void ring_init(struct stream_ring *ring)
{
    ring->next = ring->prev = ring;
}

static inline bool ring_is_empty(const struct stream_ring *ring)
{
    return ring->next == ring;
}

static inline void ring_join(struct stream_ring *ring, struct stream_ring *at_end)
{
    at_end->prev = ring->prev;
    at_end->next = ring;
    ring->prev->next = at_end;
    ring->prev = at_end;
}

/* Whoever is in none leaves none. */
static inline void ring_leave(struct stream_ring *member)
{
    member->prev->next = member->next;
    member->next->prev = member->prev;
    ring_init(member);
}

#endif
