#include <assert.h>
#include <sys/mman.h>

#include <herd/err.h>

#include "core/table.h"

enum {
    LEVELS_PER_DOUBLING =
        4, /* sizes are 4, 5, 6, 7, 8, 10, 12, 14, 16 ... times the smallest step */
    SMALLEST_STEP_BITS = 6,
    LEVELS_MAX = LEVELS_PER_DOUBLING * (31 - 2 - SMALLEST_STEP_BITS),
    MOVE_EVERY = 16, /* records, so that what finding the limit takes is shared */
    SIZE_STEP = 64,  /* no call grows or shrinks by more slots; 22 are the usual pace */
    MOVING_MAX = 128,
    MARGIN_MIN = 512, /* what stands behind its place at the end, and what is about to move */
    PAGE_SLOTS = 4096 / sizeof(struct table_slot)
};

static const uint64_t all_ranks = (uint64_t)1 << 32;

static unsigned step_bits(unsigned level)
{
    return SMALLEST_STEP_BITS + level / LEVELS_PER_DOUBLING;
}

static uint32_t slots_of(unsigned level)
{
    return (LEVELS_PER_DOUBLING + (uint32_t)level % LEVELS_PER_DOUBLING) << step_bits(level);
}

/* Slots to have memory for at a level. */
static size_t room_of(const struct table *table, unsigned level)
{
    size_t slots = slots_of(level + 1) + table->margin;
    return (slots + PAGE_SLOTS - 1) / PAGE_SLOTS * PAGE_SLOTS;
}

/* Of so many records. */
static uint64_t size_wanted(uint64_t count)
{
    return count + count * 2 / 5;
}

static void set_level(struct table *table, unsigned level)
{
    table->level = level;
    table->few = slots_of(level);
    table->many = slots_of(level + 1);
}

int table_init(struct table *table)
{
    *table = (struct table){.limit = all_ranks, .margin = MARGIN_MIN};
    set_level(table, 0);
    table->size = table->few;
    size_t capacity = room_of(table, 0);
    void *slots = mmap(NULL, capacity * sizeof(struct table_slot), PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (slots == MAP_FAILED)
        return HERD_ENOMEM;
    table->slots = slots;
    table->capacity = capacity;
    return 0;
}

void table_close(struct table *table)
{
    if (table->slots != NULL)
        munmap(table->slots, table->capacity * sizeof(struct table_slot));
    *table = (struct table){0};
}

/* Its pages move, not what is in them, and new ones are there once they are touched: malloc may
 * copy. 0, or HERD_ENOMEM. */
static int set_capacity(struct table *table, size_t capacity)
{
    void *slots = mremap(table->slots, table->capacity * sizeof(struct table_slot),
                         capacity * sizeof(struct table_slot), MREMAP_MAYMOVE);
    if (slots == MAP_FAILED)
        return HERD_ENOMEM;
    table->slots = slots;
    table->capacity = capacity;
    return 0;
}

/* Whether that many slots at the end are free, and one before them: nothing stands behind a free slot
 * that is behind all places. */
static bool has_free_end(const struct table *table, size_t slots)
{
    return table->capacity > table->many + slots + 1 &&
           table->slots[table->capacity - 2 - slots].entry == 0;
}

static bool is_used(const struct table *table, uint32_t at)
{
    return table->slots[at].entry != 0;
}

static uint32_t rank_at(const struct table *table, uint32_t at)
{
    return ~table->slots[at].tag;
}

/* Where a rank below the limit has its place, and one at or above it. */
static uint32_t place_of(uint64_t rank, uint32_t slots)
{
    return (uint32_t)(rank * slots >> 32);
}

/* What stands there and behind it, up to a free slot, moves by one. */
static void put_at(struct table *table, uint32_t at, struct table_slot slot)
{
    while (slot.entry != 0) {
        struct table_slot next = table->slots[at];
        table->slots[at++] = slot;
        slot = next;
    }
}

static void put(struct table *table, struct table_slot slot)
{
    uint32_t at = table_place(table, slot.tag);
    while (is_used(table, at) && table->slots[at].tag >= slot.tag)
        at++;
    put_at(table, at, slot);
}

/* Moves what stands at `from` and behind it to the left, as far as places and `to`, the first slot
 * that may be used, let it; all below `until`, and of what is behind that what has room by it. */
static void pull(struct table *table, uint32_t to, uint32_t from, uint32_t until)
{
    for (uint32_t at = from; at < until || is_used(table, at); at++) {
        struct table_slot slot = table->slots[at];
        if (slot.entry == 0)
            continue;
        uint32_t place = table_place(table, slot.tag);
        to = to > place ? to : place;
        if (to == at && at >= until)
            return;
        table->slots[at] = (struct table_slot){0, 0};
        table->slots[to++] = slot;
    }
}

static void take_out(struct table *table, uint32_t at)
{
    table->slots[at] = (struct table_slot){0, 0};
    pull(table, at, at + 1, 0);
}

/* Behind the last slot whose rank is below the limit, or a free one before that; no rank from the
 * limit on stands to the left. */
static uint32_t end_below_limit(const struct table *table)
{
    if (table->limit == 0)
        return 0;
    uint32_t at = place_of(table->limit - 1, table->few);
    while (is_used(table, at) && rank_at(table, at) < table->limit)
        at++;
    return at;
}

/* Takes out what stands from `begin` to before *at with a rank at or above the limit, the last
 * first, as much as `moving` holds; how many. *at is behind what is left, *first where the first
 * stood. */
static unsigned take_last(struct table *table, uint32_t begin, uint32_t *at, uint32_t *first,
                          struct table_slot moving[MOVING_MAX])
{
    unsigned count = 0;
    while (*at > begin && count < MOVING_MAX) {
        struct table_slot *slot = &table->slots[--*at];
        if (slot->entry == 0 || ~slot->tag < table->limit)
            continue;
        moving[count++] = *slot;
        *slot = (struct table_slot){0, 0};
        *first = *at;
    }
    return count;
}

/* Lowers the limit. Places of what is above it then are further right, so nothing has to move to the
 * left; from the last on, so that there is room. False: there is too little behind the last slot;
 * more is asked for. */
static bool move_right(struct table *table, uint64_t limit)
{
    struct table_slot moving[MOVING_MAX];
    uint32_t begin = place_of(limit, table->few), at = end_below_limit(table);
    size_t most = at > begin ? at - begin : 0;
    if (!has_free_end(table, most)) {
        size_t margin = table->capacity - table->many + most + 1;
        table->margin = table->margin > margin ? table->margin : margin;
        return false;
    }
    table->limit = limit;
    while (at > begin) {
        uint32_t to = 0;
        for (unsigned count = take_last(table, begin, &at, &to, moving); count > 0; to++) {
            struct table_slot slot = moving[--count];
            uint32_t place = place_of(~slot.tag, table->many);
            to = to > place ? to : place;
            put_at(table, to, slot);
        }
    }
    return true;
}

/* Raises the limit. */
static void move_left(struct table *table, uint64_t limit)
{
    uint32_t end = end_below_limit(table);
    uint32_t begin = place_of(table->limit, table->many);
    table->limit = limit;
    pull(table, end, begin > end ? begin : end, place_of(limit - 1, table->many) + 1);
}

static uint64_t limit_at(const struct table *table, uint32_t size)
{
    return (uint64_t)(table->many - size) << (32 - step_bits(table->level));
}

static void grow(struct table *table)
{
    uint64_t wanted = size_wanted(table->count);
    if (wanted <= table->size)
        return;
    if (table->size == table->many) {
        if (table->capacity < room_of(table, table->level + 1))
            return;
        set_level(table, table->level + 1);
        table->limit = all_ranks;
    }
    uint64_t size = table->size + SIZE_STEP < wanted ? table->size + SIZE_STEP : wanted;
    size = size < table->many ? size : table->many;
    if (move_right(table, limit_at(table, (uint32_t)size)))
        table->size = (uint32_t)size;
}

/* Keeps the room of one level more, for a table that grows again. */
static void trim(struct table *table)
{
    size_t room = room_of(table, table->level + 1);
    if (room < table->capacity && table->slots[room - 2].entry == 0)
        set_capacity(table, room);
}

/* By an eighth later than it grows, so that records that come and go move nothing. */
static void shrink(struct table *table)
{
    uint64_t wanted = size_wanted((uint64_t)table->count + table->count / 8);
    if (wanted >= table->size || table->size == slots_of(0))
        return;
    if (table->size == table->few) {
        set_level(table, table->level - 1);
        table->limit = 0;
        trim(table);
    }
    uint64_t size = table->size - SIZE_STEP > wanted ? table->size - SIZE_STEP : wanted;
    size = size > table->few ? size : table->few;
    move_left(table, limit_at(table, (uint32_t)size));
    table->size = (uint32_t)size;
}

int table_reserve(struct table *table)
{
    if (!has_free_end(table, 1)) {
        size_t more = (table->margin + PAGE_SLOTS - 1) / PAGE_SLOTS * PAGE_SLOTS;
        if (set_capacity(table, table->capacity + more) < 0)
            return HERD_ENOMEM;
        table->margin += more;
    }
    bool is_full = table->count >= table->many / 16 * 15;
    if (!is_full && (table->count + 1) % MOVE_EVERY != 0)
        return 0;
    bool is_next = size_wanted((uint64_t)table->count + MOVE_EVERY) >= table->many;
    size_t room = room_of(table, table->level + is_next);
    if (room <= table->capacity)
        return 0;
    if (table->level + 2 >= LEVELS_MAX || set_capacity(table, room) < 0)
        return is_full ? HERD_ENOMEM : 0;
    return 0;
}

void table_insert(struct table *table, uint32_t tag, uint32_t index)
{
    assert(index < TABLE_NONE - 1 && has_free_end(table, 1));
    put(table, (struct table_slot){tag, index + 1});
    if (++table->count % MOVE_EVERY == 0)
        grow(table);
}

/* Of an index that is there. */
static uint32_t find(const struct table *table, uint32_t tag, uint32_t index)
{
    uint32_t at = table_place(table, tag);
    while (table->slots[at].tag > tag || (table->slots[at].tag == tag && is_used(table, at) &&
                                          table->slots[at].entry != index + 1))
        at++;
    assert(table->slots[at].tag == tag && table->slots[at].entry == index + 1);
    return at;
}

void table_rename(struct table *table, uint32_t tag, uint32_t from, uint32_t to)
{
    table->slots[find(table, tag, from)].entry = to + 1;
}

void table_remove(struct table *table, uint32_t tag, uint32_t index)
{
    take_out(table, find(table, tag, index));
    if (--table->count % MOVE_EVERY == 0)
        shrink(table);
}

size_t table_bytes(const struct table *table)
{
    return table->capacity * sizeof(struct table_slot);
}
