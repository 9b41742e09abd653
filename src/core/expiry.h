/* expiry.h: when records end: a wheel of one-second buckets, each a chain through the records'
 * indices. */
#ifndef CORE_EXPIRY_H
#define CORE_EXPIRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { EXPIRY_BACK_S = 5 /* a clock may be set back by so much without a look at all records */ };

/*
 * A record is put into the bucket of its end once. When it is updated it stays there; its turn
 * come, it is looked at and put into the bucket of its new end: an update costs nothing, and each
 * record is looked at once in its time to live. Only one that brings an earlier end, because clocks
 * differ, is moved.
 */
struct expiry_place {
    uint32_t next, prev; /* in its chain; 0: none */
    uint32_t bucket;
};

struct expiry {
    int64_t ttl_ns;    /* 0: nothing ends, and no memory is used */
    uint32_t *buckets; /* heads of chains; 0: none */
    size_t bucket_count;
    struct expiry_place *places; /* of each index */
    size_t place_count;
    int64_t second; /* the one whose bucket is being emptied */
};

/* 0 or HERD_ENOMEM. */
int expiry_init(struct expiry *expiry, int64_t ttl_ns);
void expiry_close(struct expiry *expiry);

/* Makes sure that indices below `count` can be added. 0 or HERD_ENOMEM. */
int expiry_reserve(struct expiry *expiry, size_t count);

/* `index` (> 0, in no bucket) is looked at at end_ns. */
void expiry_add(struct expiry *expiry, uint32_t index, int64_t end_ns);

/* It ends earlier than it was to (it is in some bucket). */
void expiry_bring_forward(struct expiry *expiry, uint32_t index, int64_t end_ns);

/* The next index to be looked at now, which then is in no bucket; or 0: there is none, or so many
 * empty buckets were passed as it may, and it is to go on later. *buckets is how many it still may;
 * where some are left, there is none. */
uint32_t expiry_take(struct expiry *expiry, int64_t now_ns, size_t *buckets);

#endif
