/* digest.h: sums of record hashes by the first digits of their clients' hashes: what differs
 * between two stores is found by comparing sums, then their parts. */
#ifndef CORE_DIGEST_H
#define CORE_DIGEST_H

#include <stdint.h>

#include <herd/buf.h>

enum {
    DIGEST_DEPTH = 4,                        /* hexadecimal digits that name a leaf */
    DIGEST_LEAVES = 1 << (4 * DIGEST_DEPTH), /* 65,536: 15 records a leaf at a million */
    DIGEST_FANOUT = 16,
    DIGEST_NOTES_MAX = 64
};

/* What is still to be counted: the record in a slot, where it is not yet; and what that took the place
 * of. */
struct digest_note {
    uint64_t less; /* of its leaf */
    uint32_t index;
    uint16_t leaf;
};

struct digest_notes {
    uint64_t total; /* of all leaves */
    unsigned count;
    struct digest_note notes[DIGEST_NOTES_MAX];
};

/*
 * Sums are mod 2^64 (Bellare and Micciancio's AdHash): the order of records does not matter, taking
 * one out is a subtraction, and equal terms do not cancel as they would in an exclusive or. Only
 * leaves are kept up to date; what is above them is added up when it is asked for, which is rare.
 *
 * An update only takes a note; some at a time are counted, at the latest when a sum is asked for. An
 * update that touched its leaf and read its own new text again would wait for memory twice.
 */
struct digest {
    uint64_t *sums;  /* of each leaf */
    uint32_t *heads; /* the first record of each leaf: the store's index */
    struct digest_notes *notes;
};

/* The first `len` hexadecimal digits of a client's hash, in the low bits. len 0 names the root. */
struct digest_prefix {
    uint64_t digits;
    unsigned len; /* 0..16 */
};

int digest_init(struct digest *digest); /* 0 or HERD_ENOMEM */
void digest_close(struct digest *digest);

/* The same on every server: not seeded. */
uint64_t digest_client_hash(struct herd_slice client);

static inline uint16_t digest_leaf(uint64_t client_hash)
{
    return (uint16_t)(client_hash >> (64 - 4 * DIGEST_DEPTH));
}

static inline void digest_add(const struct digest *digest, uint16_t leaf, uint64_t hash)
{
    digest->sums[leaf] += hash;
    digest->notes->total += hash;
}

static inline void digest_subtract(const struct digest *digest, uint16_t leaf, uint64_t hash)
{
    digest->sums[leaf] -= hash;
    digest->notes->total -= hash;
}

/* True: there is no room for another one. */
static inline bool digest_take_note(const struct digest *digest, uint32_t index, uint16_t leaf,
                                    uint64_t less)
{
    struct digest_notes *notes = digest->notes;
    __builtin_prefetch(&digest->sums[leaf], 1);
    notes->notes[notes->count++] = (struct digest_note){less, index, leaf};
    return notes->count == DIGEST_NOTES_MAX;
}

/* The sums of the 16 parts of a prefix shorter than DIGEST_DEPTH. */
void digest_children(const struct digest *digest, struct digest_prefix prefix,
                     uint64_t out[DIGEST_FANOUT]);

static inline struct digest_prefix digest_child(struct digest_prefix prefix, unsigned digit)
{
    return (struct digest_prefix){prefix.digits << 4 | digit, prefix.len + 1};
}

/* Whether a client belongs to a prefix. */
static inline bool digest_matches(uint64_t client_hash, struct digest_prefix prefix)
{
    return prefix.len == 0 || client_hash >> (64 - 4 * prefix.len) == prefix.digits;
}

#endif
