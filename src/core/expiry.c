#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <herd/err.h>
#include <herd/posix_time.h>

#include "core/expiry.h"

int expiry_init(struct expiry *expiry, int64_t ttl_ns)
{
    *expiry = (struct expiry){.ttl_ns = ttl_ns};
    if (ttl_ns == 0)
        return 0;
    expiry->bucket_count = (size_t)(ttl_ns / HERD_NS_PER_S) + 2;
    expiry->buckets = calloc(expiry->bucket_count, sizeof(*expiry->buckets));
    return expiry->buckets != NULL ? 0 : HERD_ENOMEM;
}

void expiry_close(struct expiry *expiry)
{
    free(expiry->buckets);
    free(expiry->next);
    *expiry = (struct expiry){0};
}

int expiry_reserve(struct expiry *expiry, size_t count)
{
    if (expiry->ttl_ns == 0 || count <= expiry->next_count)
        return 0;
    uint32_t *next = realloc(expiry->next, count * sizeof(*next));
    if (next == NULL)
        return HERD_ENOMEM;
    expiry->next = next;
    expiry->next_count = count;
    return 0;
}

void expiry_add(struct expiry *expiry, uint32_t index, int64_t end_ns)
{
    if (expiry->ttl_ns == 0)
        return;
    assert(index > 0 && index < expiry->next_count);
    /* Rounded up, so that it has ended when it is looked at. What a wrong clock has put further
     * ahead than the wheel goes is looked at early, and put back. */
    int64_t second = end_ns / HERD_NS_PER_S + 1;
    int64_t last = expiry->second + (int64_t)expiry->bucket_count - 1;
    if (second < expiry->second)
        second = expiry->second;
    else if (second > last)
        second = last;
    uint32_t *head = &expiry->buckets[(size_t)second % expiry->bucket_count];
    expiry->next[index] = *head;
    *head = index;
}

uint32_t expiry_take(struct expiry *expiry, int64_t now_ns)
{
    if (expiry->ttl_ns == 0)
        return 0;
    int64_t now = now_ns / HERD_NS_PER_S;
    /* After a small step back the wheel waits: what ends meanwhile is looked at later by as much. */
    if (now < expiry->second && expiry->second - now <= EXPIRY_BACK_S)
        return 0;
    /* A clock that jumps goes around the wheel once at most. Where it has been set back, it does so as
     * well: what was added since stands where the wheel was. */
    if (now - expiry->second > (int64_t)expiry->bucket_count || now < expiry->second)
        expiry->second = now - (int64_t)expiry->bucket_count;
    for (; expiry->second <= now; expiry->second++) {
        uint32_t *head = &expiry->buckets[(size_t)expiry->second % expiry->bucket_count];
        if (*head != 0) {
            uint32_t index = *head;
            *head = expiry->next[index];
            return index;
        }
    }
    expiry->second = now;
    return 0;
}
