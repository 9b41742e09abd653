#include <assert.h>
#include <string.h>

#include <herd/err.h>
#include <herd/posix_time.h>

#include "core/expiry.h"
#include "core/grown.h"
#include "core/pages.h"

/* Seconds count from half a year before 1970, for clocks that were never set, to 2105. */
#define SECONDS_BEFORE_1970 (1 << 24)
#define SECOND_NEVER        UINT32_MAX

void expiry_init(struct expiry *expiry, int64_t ttl_ns)
{
    *expiry = (struct expiry){.ttl_ns = ttl_ns, .first = SECOND_NEVER, .first_again = SECOND_NEVER};
}

void expiry_close(struct expiry *expiry)
{
    for (uint32_t i = 0; i < expiry->page_count; i++)
        free(expiry->pages[i]);
    free(expiry->pages);
    *expiry = (struct expiry){0};
}

static int add_page(struct expiry *expiry)
{
    struct expiry_page **pages =
        grown(expiry->pages, expiry->page_count, &expiry->page_cap, sizeof(*pages));
    if (pages == NULL)
        return HERD_ENOMEM;
    expiry->pages = pages;
    struct expiry_page *page = malloc(sizeof(*page));
    if (page == NULL)
        return HERD_ENOMEM;
    memset(page, 0xff, sizeof(*page)); /* SECOND_NEVER */
    expiry->pages[expiry->page_count++] = page;
    return 0;
}

int expiry_reserve(struct expiry *expiry, size_t count)
{
    while (expiry->ttl_ns > 0 && (size_t)expiry->page_count * EXPIRY_PAGE < count) {
        if (add_page(expiry) < 0)
            return HERD_ENOMEM;
    }
    return 0;
}

static int64_t clamp(int64_t second, int64_t least, int64_t most)
{
    second = second < least ? least : second;
    return second > most ? most : second;
}

/* The first in which it is over. 1 at least, which is after all that `second_of` says of a time
 * before these. */
static uint32_t second_behind(int64_t end_ns)
{
    return (uint32_t)clamp(end_ns / HERD_NS_PER_S + 1 + SECONDS_BEFORE_1970, 1, SECOND_NEVER);
}

static uint32_t second_of(int64_t now_ns)
{
    return (uint32_t)clamp(now_ns / HERD_NS_PER_S + SECONDS_BEFORE_1970, 0, SECOND_NEVER - 1);
}

static void lower(uint32_t *first, uint32_t second)
{
    if (second < *first)
        *first = second;
}

static struct expiry_page *page_of(const struct expiry *expiry, uint32_t index)
{
    assert(index / EXPIRY_PAGE < expiry->page_count);
    return expiry->pages[index / EXPIRY_PAGE];
}

static uint32_t *first_of(const struct expiry *expiry, uint32_t index)
{
    return &page_of(expiry, index)->firsts[index % EXPIRY_PAGE / EXPIRY_GROUP];
}

static uint32_t *second_at(const struct expiry *expiry, uint32_t index)
{
    return &page_of(expiry, index)->seconds[index % EXPIRY_PAGE];
}

static void note(struct expiry *expiry, uint32_t index, uint32_t second)
{
    lower(second_at(expiry, index), second);
    lower(first_of(expiry, index), second);
    lower(&expiry->first, second);
    lower(&expiry->first_again, second);
}

void expiry_add(struct expiry *expiry, uint32_t index, int64_t end_ns)
{
    if (expiry->ttl_ns > 0)
        note(expiry, index, second_behind(end_ns));
}

void expiry_rename(struct expiry *expiry, uint32_t from, uint32_t to)
{
    if (expiry->ttl_ns == 0)
        return;
    note(expiry, to, *second_at(expiry, from));
    *second_at(expiry, from) = SECOND_NEVER;
}

void expiry_trim(struct expiry *expiry, size_t count)
{
    while (expiry->page_count > 0 && (size_t)(expiry->page_count - 1) * EXPIRY_PAGE >= count)
        pages_free(expiry->pages[--expiry->page_count], sizeof(struct expiry_page));
    uint32_t end = expiry->page_count * EXPIRY_PAGE;
    expiry->at = expiry->at < end ? expiry->at : end;
}

/* The next one in the group it is in, or 0: it has passed that. */
static uint32_t take_in_group(struct expiry *expiry, uint32_t now)
{
    uint32_t *first = first_of(expiry, expiry->at - 1), taken = 0;
    uint32_t *seconds = page_of(expiry, expiry->at - 1)->seconds;
    if (expiry->at % EXPIRY_GROUP == 0)
        *first = SECOND_NEVER; /* of those that have been passed */
    do {
        uint32_t *second = &seconds[--expiry->at % EXPIRY_PAGE];
        if (*second <= now) {
            *second = SECOND_NEVER;
            taken = expiry->at;
        }
        lower(first, *second);
    } while (taken == 0 && expiry->at % EXPIRY_GROUP != 0);
    lower(&expiry->first_again, *first);
    return taken;
}

static void begin_again(struct expiry *expiry)
{
    expiry->at = expiry->page_count * EXPIRY_PAGE;
    expiry->first = expiry->first_again;
    expiry->first_again = SECOND_NEVER;
}

uint32_t expiry_take(struct expiry *expiry, int64_t now_ns, size_t *groups)
{
    uint32_t now = second_of(now_ns);
    for (; expiry->ttl_ns > 0 && expiry->first <= now && *groups > 0; --*groups) {
        if (expiry->at == 0) {
            begin_again(expiry);
            continue;
        }
        uint32_t first = *first_of(expiry, expiry->at - 1);
        if (expiry->at % EXPIRY_GROUP == 0 && first > now) {
            lower(&expiry->first_again, first);
            expiry->at -= EXPIRY_GROUP;
            continue;
        }
        uint32_t taken = take_in_group(expiry, now);
        if (taken != 0)
            return taken;
    }
    return 0;
}

size_t expiry_bytes(const struct expiry *expiry)
{
    return expiry->page_count * sizeof(struct expiry_page) +
           expiry->page_cap * sizeof(*expiry->pages);
}
