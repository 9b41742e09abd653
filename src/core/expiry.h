/* expiry.h: when records end: a second for each of the records' indices, and the first of each
 * group of them. */
#ifndef CORE_EXPIRY_H
#define CORE_EXPIRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    EXPIRY_GROUP = 256,
    EXPIRY_PAGE_GROUPS = 32,
    EXPIRY_PAGE = EXPIRY_GROUP * EXPIRY_PAGE_GROUPS
};

/*
 * The second in which a record is to be looked at is noted when it is made. When it is updated that
 * stays; its turn come, it is looked at and its new end is noted: an update costs nothing, and each
 * record is looked at once in its time to live. Only an earlier end, because clocks differ, is noted
 * at once. What is noted is POSIX time: a clock that is set makes nothing late.
 */
struct expiry_page {
    uint32_t firsts[EXPIRY_PAGE_GROUPS]; /* no second of the group is before it */
    uint32_t seconds[EXPIRY_PAGE];
};

struct expiry {
    int64_t ttl_ns; /* 0: nothing ends, and no memory is used */
    struct expiry_page **pages;
    uint32_t page_count, page_cap;
    uint32_t
        at; /* the indices below it have yet to be passed, the last of them first: newer records
                  * are nearer to the beginning of their leaf of the digest */
    uint32_t first;       /* no second at all is before it */
    uint32_t first_again; /* nor before this one, of what has been passed */
};

void expiry_init(struct expiry *expiry, int64_t ttl_ns);
void expiry_close(struct expiry *expiry);

/* Makes sure that indices below `count` can be added. 0 or HERD_ENOMEM. */
int expiry_reserve(struct expiry *expiry, size_t count);

/* `index` (> 0) is looked at once end_ns is over; or earlier, if it was to be. */
void expiry_add(struct expiry *expiry, uint32_t index, int64_t end_ns);

/* What `from` was to be looked at, `to` is now. */
void expiry_rename(struct expiry *expiry, uint32_t from, uint32_t to);
/* Gives back the memory for indices from `count` on, of which none is to be looked at. */
void expiry_trim(struct expiry *expiry, size_t count);

/* The next index to be looked at now, which then is not noted any more; or 0: there is none, or so
 * many groups were passed as may be, and it is to go on later. *groups is how many still may; where
 * some are left, there is none. */
uint32_t expiry_take(struct expiry *expiry, int64_t now_ns, size_t *groups);

size_t expiry_bytes(const struct expiry *expiry);

#endif
