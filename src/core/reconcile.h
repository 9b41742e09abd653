/* reconcile.h: finds and mends differences that sequences cannot know: DIGEST, TREE, KEYS. */
#ifndef CORE_RECONCILE_H
#define CORE_RECONCILE_H

#include <herd/proto.h>

#include "core/conn.h"

enum {
    DIGEST_MS = 5000,        /* between two DIGESTs of a link, while the store changes */
    FLOOD_HORIZON_MS = 1000, /* by then an update has reached the whole herd */
    WALK_AGAIN_MS = 1000,    /* after a walk that has mended something */
    WALK_MIN_MS = 2000,      /* after one that has not; doubling */
    WALK_MAX_MS = 60000,
    WALK_WIDTH = 4, /* parts of one TREE that are looked into; the others are for the next walk */
    WALK_KEYS_BYTES = 65536, /* of KEYS in the answer to one TREE; the rest in the next walk */
    WALK_ENDING_MS = 4000,   /* what a record has left at least that is sent to mend a difference */
    WALK_SAME_BYTES = 65536, /* on the way to a neighbour, then none of the same time any more */
    WALK_LEAF_MAX = 16384,   /* records of a leaf; one with more is left alone */
    WALK_GATHER_PER_TURN = 16384, /* records, then no other leaf is begun in this turn */
    WALK_SUMS_PER_TURN = 64 << 16 /* leaves, 64 times all, then no TREE is answered in it */
};

/* What a listener knows of the store of a neighbour that has dialled it. */
struct reconcile {
    uint64_t clients, digest; /* of its last DIGEST */
    int64_t told_ns;          /* when that came */
    uint64_t own_digest;      /* of this server's store, then */
    uint64_t sent;            /* records that the neighbour had been sent, then */
    bool crossed;             /* some of these were on their way to it, then */
    bool walked;              /* since the digests differ */
    int64_t differs_since_ns; /* INT64_MAX: equal, or nothing known */
    int64_t walk_at_ns;       /* not before */
    int64_t interval_ms;      /* to the next walk, if this one mends nothing */
    uint64_t mended;          /* records that it brought and that should long have been here */
    uint64_t mended_before;   /* at the last walk */
    uint64_t keys_from;       /* the hash that the next KEYS of its leaf begin with */
    size_t keys_at;           /* and how many clients of that hash were told already */
};

enum walk_difference {
    WALK_MISSING,
    WALK_SAME_TIME,
    WALK_OTHER_NEWER,
    WALK_UNTOLD /* the line is about others */
};

struct walk_key {
    uint64_t hash;
    struct herd_slice client, sent; /* in the store */
    int64_t sent_ns;
    enum walk_difference difference; /* of the other side's, to the KEYS line at hand */
};

/* What a store has of one leaf, for the lines about it. */
struct walk_leaf {
    struct walk_key *keys; /* by hash, then by client */
    size_t count, cap;
    bool valid; /* while the store is at this sequence and count: */
    uint64_t digits, sequence;
    size_t clients;
    uint64_t turn;
    size_t gathered; /* records in this turn */
    size_t summed;   /* leaves in this turn */
};

void walk_leaf_close(struct walk_leaf *leaf);

void reconcile_init(struct reconcile *reconcile);
int reconcile_tick(struct neighbour *neighbour, struct herd_now now);
int64_t reconcile_wakeup(const struct neighbour *neighbour);

/* The dialler's word about its store, at its listener. */
int reconcile_on_digest(struct neighbour *neighbour, struct herd_now now,
                        const struct herd_command *command);
/* Sums of a prefix from the other side, at either: answered with those of the parts that differ, or
 * their keys. */
int reconcile_on_tree(struct herd_conn *conn, const struct herd_command *command);
/* What the listener has of a prefix, at the dialler: it is sent what it lacks. */
int reconcile_on_keys(struct link *link, struct herd_now now, const struct herd_command *command);

#endif
