#include "core/spares.h"

#include <stdlib.h>

static bool keeps_large(const struct spares *spares, size_t cap)
{
    return cap <= SPARES_LARGE_BYTES && spares->large_count < SPARES_LARGE_MAX &&
           spares->large_bytes + cap <= SPARES_LARGE_ALL_BYTES;
}

void spares_keep(struct spares *spares, struct herd_buf *take_buf)
{
    size_t cap = take_buf->cap;
    take_buf->len = 0;
    if (cap > 0 && cap <= SPARES_SMALL_BYTES && spares->small_count < SPARES_SMALL_MAX) {
        spares->small[spares->small_count++] = *take_buf;
    } else if (cap > SPARES_SMALL_BYTES && keeps_large(spares, cap)) {
        spares->large[spares->large_count++] = *take_buf;
        spares->large_bytes += cap;
    } else if (cap > SPARES_LARGE_BYTES && cap <= SPARES_LONG_BYTES && spares->long_one.cap == 0) {
        spares->long_one = *take_buf;
    } else if (cap == SPARES_PLACES_BYTES && spares->places_count < SPARES_PLACES_MAX) {
        spares->places[spares->places_count++] = *take_buf;
    } else {
        spares->freed_bytes += cap;
        herd_buf_free(take_buf);
    }
    *take_buf = (struct herd_buf){0};
}

/* Puts what is in one into a longer one that has no bytes yet, and keeps the first. */
static void move_into(struct spares *spares, struct herd_buf longer, struct herd_buf *buf)
{
    herd_buf_append_slice(&longer, herd_buf_slice(buf));
    spares_keep(spares, buf);
    *buf = longer;
}

void spares_make_room(struct spares *spares, struct herd_buf *buf, size_t more)
{
    struct herd_buf large = {0};
    if (more <= buf->cap - buf->len || buf->len + more <= SPARES_SMALL_BYTES ||
        buf->cap > SPARES_SMALL_BYTES || spares->large_count <= SPARES_LEFT_TO_LINKS)
        return;
    spares_take(spares, &large);
    move_into(spares, large, buf);
}

void spares_lengthen(struct spares *spares, struct herd_buf *buf)
{
    struct herd_buf longer = {.cap = SPARES_PLACES_BYTES};
    if (buf->cap >= SPARES_PLACES_BYTES)
        return;
    if (spares->places_count > 0)
        longer = spares->places[--spares->places_count];
    else
        longer.data = malloc(longer.cap);
    if (spares->places_count < spares->idle_places)
        spares->idle_places = spares->places_count;
    if (longer.data == NULL)
        return;
    move_into(spares, longer, buf);
}

static size_t free_bufs(struct herd_buf *bufs, unsigned count)
{
    size_t bytes = 0;
    for (unsigned i = 0; i < count; i++) {
        bytes += bufs[i].cap;
        herd_buf_free(&bufs[i]);
    }
    return bytes;
}

size_t spares_give_back(struct spares *spares)
{
    size_t bytes = spares->freed_bytes;
    spares->small_count -= spares->idle_small;
    spares->large_count -= spares->idle_large;
    spares->places_count -= spares->idle_places;
    size_t large = free_bufs(spares->large + spares->large_count, spares->idle_large);
    spares->large_bytes -= large;
    bytes += large + free_bufs(spares->small + spares->small_count, spares->idle_small);
    bytes += free_bufs(spares->places + spares->places_count, spares->idle_places);
    bytes += free_bufs(&spares->long_one, spares->long_is_idle);
    spares->idle_small = spares->small_count;
    spares->idle_large = spares->large_count;
    spares->idle_places = spares->places_count;
    spares->long_is_idle = spares->long_one.cap > 0;
    spares->freed_bytes = 0;
    return bytes;
}

size_t spares_bytes(const struct spares *spares)
{
    size_t bytes = spares->large_bytes + spares->long_one.cap;
    for (unsigned i = 0; i < spares->small_count; i++)
        bytes += spares->small[i].cap;
    return bytes + spares->places_count * (size_t)SPARES_PLACES_BYTES;
}

void spares_free(struct spares *spares)
{
    while (spares->small_count > 0)
        herd_buf_free(&spares->small[--spares->small_count]);
    while (spares->large_count > 0)
        herd_buf_free(&spares->large[--spares->large_count]);
    spares->large_bytes = 0;
    while (spares->places_count > 0)
        herd_buf_free(&spares->places[--spares->places_count]);
    herd_buf_free(&spares->long_one);
    spares->idle_small = spares->idle_large = spares->idle_places = 0;
    spares->long_is_idle = false;
}
