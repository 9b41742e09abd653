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
    free(expiry->places);
    *expiry = (struct expiry){0};
}

int expiry_reserve(struct expiry *expiry, size_t count)
{
    if (expiry->ttl_ns == 0 || count <= expiry->place_count)
        return 0;
    struct expiry_place *places = realloc(expiry->places, count * sizeof(*places));
    if (places == NULL)
        return HERD_ENOMEM;
    expiry->places = places;
    expiry->place_count = count;
    return 0;
}

/* Also of a second before 1970. */
static size_t place_of(const struct expiry *expiry, int64_t second)
{
    int64_t count = (int64_t)expiry->bucket_count, place = second % count;
    return (size_t)(place < 0 ? place + count : place);
}

/* Rounded up, so that it has ended when it is looked at. What a wrong clock has put further ahead
 * than the wheel goes is looked at early, and put back. */
static uint32_t bucket_of(const struct expiry *expiry, int64_t end_ns)
{
    int64_t second = end_ns / HERD_NS_PER_S + 1;
    int64_t last = expiry->second + (int64_t)expiry->bucket_count - 1;
    if (second < expiry->second)
        second = expiry->second;
    else if (second > last)
        second = last;
    return (uint32_t)place_of(expiry, second);
}

/* How many others are emptied before it. */
static size_t turns_before(const struct expiry *expiry, uint32_t bucket)
{
    size_t now = place_of(expiry, expiry->second);
    return (bucket + expiry->bucket_count - now) % expiry->bucket_count;
}

static void put(struct expiry *expiry, uint32_t index, uint32_t bucket)
{
    uint32_t first = expiry->buckets[bucket];
    expiry->places[index] = (struct expiry_place){.next = first, .bucket = bucket};
    if (first != 0)
        expiry->places[first].prev = index;
    expiry->buckets[bucket] = index;
}

static void take(struct expiry *expiry, uint32_t index)
{
    const struct expiry_place *place = &expiry->places[index];
    if (place->prev != 0)
        expiry->places[place->prev].next = place->next;
    else
        expiry->buckets[place->bucket] = place->next;
    if (place->next != 0)
        expiry->places[place->next].prev = place->prev;
}

void expiry_add(struct expiry *expiry, uint32_t index, int64_t end_ns)
{
    if (expiry->ttl_ns == 0)
        return;
    assert(index > 0 && index < expiry->place_count);
    put(expiry, index, bucket_of(expiry, end_ns));
}

void expiry_bring_forward(struct expiry *expiry, uint32_t index, int64_t end_ns)
{
    uint32_t bucket = bucket_of(expiry, end_ns);
    if (turns_before(expiry, bucket) >= turns_before(expiry, expiry->places[index].bucket))
        return;
    take(expiry, index);
    put(expiry, index, bucket);
}

uint32_t expiry_take(struct expiry *expiry, int64_t now_ns, size_t *buckets)
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
        if (*buckets == 0)
            return 0;
        uint32_t first = expiry->buckets[place_of(expiry, expiry->second)];
        if (first != 0) {
            take(expiry, first);
            return first;
        }
        --*buckets;
    }
    expiry->second = now;
    return 0;
}
