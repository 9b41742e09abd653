/*
 * Records live in slabs of fixed size and are named by their index, so that links between them take
 * 4 bytes and growing moves nothing. A record's text lives in an arena of size classes: an update
 * nearly always writes over the old text. Where it does not, and where a record ends, other texts
 * may move: only slots name them.
 *
 * The list by sequence is circular through slot 0, which is neither record nor cursor. Cursors are
 * slots of the same list.
 */
#include <assert.h>
#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <herd/err.h>
#include <herd/posix_time.h>
#include <herd/store.h>

#include "core/digits.h"
#include "core/order.h"
#include "core/store_room.h"

enum {
    EXPIRE_STEPS_MAX = 2000,   /* records looked at in one call */
    EXPIRE_GROUPS_MAX = 16384, /* and groups of them of which none ends */
    DROPS_PER_REMOVAL = 2      /* slots */
};

int herd_store_new(uint64_t seed, int64_t max_skew_ns, struct herd_store **out)
{
    struct herd_store *store = calloc(1, sizeof(*store));
    if (store == NULL)
        return HERD_ENOMEM;
    store->seed = seed;
    store->max_skew_ns = max_skew_ns;
    if (table_init(&store->table) < 0 || digest_init(&store->digest) < 0 ||
        store_add_slab(store) < 0) {
        herd_store_free(store);
        return HERD_ENOMEM;
    }
    *slot_at(store, LIST_HEAD) = (struct slot){.kind = SLOT_HEAD};
    store->used = 1;
    *out = store;
    return 0;
}

int herd_store_set_ttl(struct herd_store *store, int64_t ttl_ns)
{
    assert(store->clients == 0);
    expiry_close(&store->expiry);
    expiry_init(&store->expiry, ttl_ns);
    return expiry_reserve(&store->expiry, store->slab_count * (size_t)SLAB_SLOTS);
}

void herd_store_free(struct herd_store *store)
{
    if (store == NULL)
        return;
    for (uint32_t i = 0; i < store->slab_count; i++)
        free(store->slabs[i]);
    free(store->slabs);
    arena_close(&store->arena);
    table_close(&store->table);
    digest_close(&store->digest);
    expiry_close(&store->expiry);
    free(store);
}

static uint32_t tag_of(const struct herd_store *store, struct herd_slice client)
{
    return (uint32_t)XXH3_64bits_withSeed(client.data, client.len, store->seed);
}

/* An id holds no space, so it is the text's first field if a space stands behind it. */
static bool begins_with(struct herd_slice text, struct herd_slice client)
{
    return text.len > client.len && text.data[client.len] == ' ' &&
           memcmp(text.data, client.data, client.len) == 0;
}

static uint32_t find(const struct herd_store *store, struct herd_slice client, uint32_t tag)
{
    struct table_walk walk = table_walk(&store->table, tag);
    uint32_t index;
    while ((index = table_walk_next(&walk)) != TABLE_NONE) {
        if (begins_with(text_of(store, slot_at(store, index)), client))
            return index;
    }
    return TABLE_NONE;
}

/* Has a cache line fetched that is in memory for certain. A prefetch of a page that the TLB does not
 * know may be dropped, and most pages of a large store are such; a load that nothing depends on is
 * not, and does not wait either. */
static inline void fetch(const void *at)
{
    (void)*(const volatile char *)at;
}

/* Pages first: what is prefetched is in one of them, or in the digest's few. */
static void fetch_record(const struct herd_store *store, const struct slot *slot)
{
    const char *text = arena_text(&store->arena, slot->text);
    fetch(text);
    __builtin_prefetch(text + 64);
    __builtin_prefetch(text + slot->text_len - 1);
    __builtin_prefetch(&store->digest.sums[slot->leaf], 1);
    fetch(slot_at(store, slot->prev));
    fetch(slot_at(store, slot->next));
}

void store_expect(struct herd_store *store, const struct herd_slice *clients, size_t count)
{
    struct expected *expected = store->expected;
    struct table_walk walks[STORE_EXPECT_MAX];
    assert(count <= STORE_EXPECT_MAX);
    for (size_t i = 0; i < count; i++)
        walks[i] = table_walk(&store->table, tag_of(store, clients[i]));
    for (size_t i = 0; i < count; i++) {
        expected[i] = (struct expected){clients[i].data, table_walk_next(&walks[i])};
        if (expected[i].index != TABLE_NONE)
            __builtin_prefetch(slot_at(store, expected[i].index), 1);
    }
    for (size_t i = 0; i < count; i++) {
        if (expected[i].index != TABLE_NONE)
            fetch_record(store, slot_at(store, expected[i].index));
    }
    store->expected_count = (uint8_t)count;
    store->expected_next = 0;
}

/* Where store_expect has seen this client's record. All may have changed since, and other bytes may
 * be at the same address: what is there now decides. */
static uint32_t find_expected(struct herd_store *store, struct herd_slice client)
{
    for (unsigned i = store->expected_next; i < store->expected_count; i++) {
        const struct expected *expected = &store->expected[i];
        if (expected->client != client.data)
            continue;
        store->expected_next = (uint8_t)(i + 1);
        if (expected->index == TABLE_NONE)
            return TABLE_NONE;
        const struct slot *slot = slot_at(store, expected->index);
        bool is_there = slot->kind == SLOT_RECORD && begins_with(text_of(store, slot), client);
        return is_there ? expected->index : TABLE_NONE;
    }
    return TABLE_NONE;
}

/* The next field of a canonical text, which is advanced past it. */
static struct herd_slice take_field(struct herd_slice *rest)
{
    size_t len = 0;
    uint64_t spaces = 0;
    while (spaces == 0 && len < rest->len) {
        uint64_t others = digits_word(*rest, len) ^ DIGITS_EACH(' '); /* a space becomes 0 */
        spaces = (others - DIGITS_EACH(1)) & ~others & DIGITS_EACH(0x80);
        len += digits_before(spaces);
    }
    len = len < rest->len ? len : rest->len;
    struct herd_slice field = herd_slice(rest->data, len);
    size_t used = len < rest->len ? len + 1 : len;
    *rest = herd_slice(rest->data + used, rest->len - used);
    return field;
}

static struct herd_slice client_of(const struct herd_store *store, const struct slot *slot)
{
    struct herd_slice text = text_of(store, slot);
    return take_field(&text);
}

static int64_t time_of(struct herd_slice text)
{
    int64_t ns = 0;
    int rc = herd_time_parse(text, &ns);
    assert(rc == 0);
    return ns;
}

/* The slot's text as fields. */
static void view(const struct herd_store *store, const struct slot *slot, struct herd_record *out)
{
    struct herd_slice rest = text_of(store, slot);
    out->client = take_field(&rest);
    out->location = take_field(&rest);
    out->sent = take_field(&rest);
    out->received = take_field(&rest);
    out->origin = take_field(&rest);
    out->diff = rest;
    out->sent_ns = time_of(out->sent);
    out->received_ns = time_of(out->received);
}

/* A time in a canonical text, which is advanced past it. */
static int64_t take_time(struct herd_slice *rest)
{
    int64_t ns;
    if (!herd_time_begins(*rest, &ns) || rest->data[HERD_TIME_USUAL_LEN] != ' ')
        return time_of(take_field(rest));
    *rest = herd_slice(rest->data + HERD_TIME_USUAL_LEN + 1, rest->len - HERD_TIME_USUAL_LEN - 1);
    return ns;
}

/* herd_record_order_ns of what is held of a client; only the fields that it takes are looked at. */
static int64_t held_order_ns(const struct herd_store *store, const struct slot *held,
                             size_t client_len)
{
    struct herd_record record = {0};
    struct herd_slice text = text_of(store, held);
    struct herd_slice rest = herd_slice(text.data + client_len + 1, text.len - client_len - 1);
    take_field(&rest);
    record.sent_ns = take_time(&rest);
    if (store->max_skew_ns > 0)
        record.received_ns = take_time(&rest);
    return herd_record_order_ns(&record, store->max_skew_ns);
}

/* When what is held of a client was received. */
static int64_t held_received_ns(const struct herd_store *store, const struct slot *held,
                                size_t client_len)
{
    struct herd_slice text = text_of(store, held);
    struct herd_slice rest = herd_slice(text.data + client_len + 1, text.len - client_len - 1);
    take_field(&rest);
    take_field(&rest);
    return take_time(&rest);
}

static bool is_newer(const struct herd_store *store, const struct herd_record *record,
                     const struct slot *held)
{
    int order = order_by_text(record, text_of(store, held), store->max_skew_ns);
    if (order != 0)
        return order > 0;
    if (herd_record_is(record, text_of(store, held)))
        return false;
    int64_t order_ns = herd_record_order_ns(record, store->max_skew_ns);
    int64_t held_ns = held_order_ns(store, held, record->client.len);
    if (order_ns != held_ns)
        return order_ns > held_ns;
    struct herd_record other;
    view(store, held, &other);
    return herd_record_compare(record, &other, store->max_skew_ns) > 0;
}

/* What a record counts in the digest: the hash of its text. */
static uint64_t hash_of(const struct herd_store *store, const struct slot *slot)
{
    return XXH3_64bits(arena_text(&store->arena, slot->text), slot->text_len);
}

/* What has been noted. By then the text is in the cache, and no store to it is under way that its
 * hash would have to wait for. */
static void count_noted(const struct herd_store *store)
{
    struct digest_notes *notes = store->digest.notes;
    for (unsigned i = 0; i < notes->count; i++) {
        const struct digest_note *note = &notes->notes[i];
        struct slot *slot = slot_at(store, note->index);
        digest_subtract(&store->digest, note->leaf, note->less);
        if (slot->kind != SLOT_RECORD || slot->counted)
            continue;
        slot->counted = true;
        digest_add(&store->digest, (uint16_t)slot->leaf, hash_of(store, slot));
    }
    notes->count = 0;
}

/* What has to be taken off the digest for the text that a slot has now. */
static uint64_t uncount(const struct herd_store *store, struct slot *slot)
{
    uint64_t less = slot->counted ? hash_of(store, slot) : 0;
    slot->counted = false;
    return less;
}

/* The slot that a text belongs to: the id of its client stands in front. */
static struct slot *slot_of_text(const struct herd_store *store, arena_ref text)
{
    struct herd_slice rest = herd_slice(arena_text(&store->arena, text), HERD_RECORD_TEXT_MAX);
    struct table_walk walk = table_walk(&store->table, tag_of(store, take_field(&rest)));
    struct slot *slot;
    do {
        uint32_t index = table_walk_next(&walk);
        assert(index != TABLE_NONE);
        slot = slot_at(store, index);
    } while (slot->text != text);
    return slot;
}

/* Moves what has to move for what the arena was given back. How many texts. */
static int64_t tidy(struct herd_store *store)
{
    struct arena *arena = &store->arena;
    int64_t moved = 0;
    arena_ref text;
    for (; (text = arena_next_to_move(arena)) != ARENA_NONE; moved++) {
        struct slot *slot = slot_of_text(store, text);
        arena_ref to = arena_move(arena, text, slot->text_len);
        if (to == ARENA_NONE)
            break;
        slot->text = to;
    }
    return moved;
}

/* Fills a slot of the record's client, whose text takes `len` bytes, and makes it the newest of the
 * list; it is not in the list. `less` is what its old text counts in the digest. */
static void fill(struct herd_store *store, uint32_t index, const struct herd_record *record,
                 size_t len, uint64_t less)
{
    struct slot *slot = slot_at(store, index);
    slot->sequence = ++store->sequence;
    slot->text_len = len & ((1 << 13) - 1);
    herd_record_write_text(record, arena_text(&store->arena, slot->text));
    link_after(store, slot_at(store, LIST_HEAD)->prev, index);
    if (digest_take_note(&store->digest, index, (uint16_t)slot->leaf, less))
        count_noted(store);
}

/* When a record ends, which may be later than there are times. */
static int64_t end_ns(const struct herd_store *store, const struct herd_record *record)
{
    int64_t end;
    return __builtin_add_overflow(record->received_ns, store->expiry.ttl_ns, &end) ? INT64_MAX
                                                                                   : end;
}

static int insert(struct herd_store *store, const struct herd_record *record, size_t len,
                  uint32_t tag, uint32_t source)
{
    uint32_t index;
    if (table_reserve(&store->table) < 0)
        return HERD_ENOMEM;
    arena_ref text = arena_alloc(&store->arena, len);
    if (text == ARENA_NONE)
        return HERD_ENOMEM;
    if (store_take_slot(store, &index) < 0) {
        arena_release(&store->arena, text, len);
        return HERD_ENOMEM;
    }
    uint16_t leaf = digest_leaf(digest_client_hash(record->client));
    *slot_at(store, index) = (struct slot){.kind = SLOT_RECORD,
                                           .text = text,
                                           .source = source,
                                           .leaf = leaf,
                                           .next_in_leaf = store->digest.heads[leaf]};
    store->digest.heads[leaf] = index;
    expiry_add(&store->expiry, index, end_ns(store, record));
    table_insert(&store->table, tag, index);
    store->clients++;
    fill(store, index, record, len, 0);
    return 1;
}

static int replace(struct herd_store *store, uint32_t index, const struct herd_record *record,
                   size_t len, uint32_t source)
{
    struct slot *slot = slot_at(store, index);
    arena_ref text = slot->text;
    if (!arena_same_class(len, slot->text_len)) {
        text = arena_alloc(&store->arena, len);
        if (text == ARENA_NONE)
            return HERD_ENOMEM;
    }
    if (store->expiry.ttl_ns > 0 &&
        record->received_ns < held_received_ns(store, slot, record->client.len))
        expiry_add(&store->expiry, index, end_ns(store, record));
    uint64_t less = uncount(store, slot);
    bool moves = text != slot->text;
    if (moves)
        arena_release(&store->arena, slot->text, slot->text_len);
    slot->text = text;
    slot->source = source;
    unlink_slot(store, slot);
    fill(store, index, record, len, less);
    if (moves)
        tidy(store);
    return 1;
}

/* It only waits for its turn to be removed. */
static bool has_ended(const struct herd_store *store, const struct slot *held, int64_t now_ns)
{
    struct herd_record record;
    if (store->expiry.ttl_ns == 0)
        return false;
    view(store, held, &record);
    return herd_store_is_expired(store, &record, now_ns);
}

static void tell_ended(const struct herd_store *store, const struct slot *slot)
{
    if (store->on_ended != NULL)
        store->on_ended(store->on_ended_arg, client_of(store, slot), slot->sequence);
}

int herd_store_apply(struct herd_store *store, const struct herd_record *record, uint32_t source,
                     int64_t now_ns)
{
    size_t len = herd_record_text_len(record);
    assert(record->client.len > 0 && len <= HERD_RECORD_TEXT_MAX);
    uint32_t index = find_expected(store, record->client);
    if (index == TABLE_NONE) {
        uint32_t tag = tag_of(store, record->client);
        index = find(store, record->client, tag);
        if (index == TABLE_NONE)
            return insert(store, record, len, tag, source);
    }
    if (!is_newer(store, record, slot_at(store, index))) {
        if (!has_ended(store, slot_at(store, index), now_ns))
            return 0;
        tell_ended(store, slot_at(store, index));
    }
    return replace(store, index, record, len, source);
}

bool store_find_source(const struct herd_store *store, struct herd_slice client,
                       struct herd_record *out, uint32_t *source)
{
    uint32_t index = find(store, client, tag_of(store, client));
    if (index == TABLE_NONE)
        return false;
    view(store, slot_at(store, index), out);
    *source = slot_at(store, index)->source;
    return true;
}

uint64_t store_sequence_of(const struct herd_store *store, struct herd_slice client)
{
    uint32_t index = find(store, client, tag_of(store, client));
    return index != TABLE_NONE ? slot_at(store, index)->sequence : 0;
}

bool herd_store_find(const struct herd_store *store, struct herd_slice client,
                     struct herd_record *out)
{
    uint32_t source;
    return store_find_source(store, client, out, &source);
}

size_t herd_store_count(const struct herd_store *store)
{
    return store->clients;
}

/* Where a leaf names a record. *passed: how many of it were passed on the way; all may be in one. */
static uint32_t *name_in_leaf(const struct herd_store *store, uint32_t index, int64_t *passed)
{
    uint32_t *at = &store->digest.heads[slot_at(store, index)->leaf];
    for (; *at != index; ++*passed)
        at = &slot_at(store, *at)->next_in_leaf;
    return at;
}

int64_t store_move_record(struct herd_store *store, uint32_t from, uint32_t to)
{
    struct slot *slot = slot_at(store, from);
    int64_t passed = 0;
    count_noted(store); /* by their slots */
    *name_in_leaf(store, from, &passed) = to;
    table_rename(&store->table, tag_of(store, client_of(store, slot)), from, to);
    expiry_rename(&store->expiry, from, to);
    *slot_at(store, to) = *slot;
    slot_at(store, slot->prev)->next = to;
    slot_at(store, slot->next)->prev = to;
    store_give_slot(store, from);
    store->removed++;
    return passed;
}

/* Drops more slots than have become free, so that what is free meets its bound again. How many
 * records moved or were passed. */
static int64_t drop_slots(struct herd_store *store)
{
    int64_t steps = 0;
    for (int i = 0; i < DROPS_PER_REMOVAL && store_has_too_many_slots(store); i++) {
        uint32_t last = store_last_slot(store), to;
        count_noted(store); /* by their slots */
        if (slot_at(store, last)->kind == SLOT_CURSOR)
            break;
        if (slot_at(store, last)->kind == SLOT_RECORD) {
            store_take_slot(store, &to); /* one is free */
            steps += 1 + store_move_record(store, last, to);
        }
        store_drop_last_slot(store);
    }
    return steps;
}

/* How many records were passed on the way, or had to move, and texts that had to. */
static int64_t remove_record(struct herd_store *store, uint32_t index)
{
    struct slot *slot = slot_at(store, index);
    int64_t steps = 0;
    *name_in_leaf(store, index, &steps) = slot->next_in_leaf;
    digest_subtract(&store->digest, (uint16_t)slot->leaf, uncount(store, slot));
    table_remove(&store->table, tag_of(store, client_of(store, slot)), index);
    unlink_slot(store, slot);
    arena_release(&store->arena, slot->text, slot->text_len);
    store_give_slot(store, index);
    store->clients--;
    store->removed++;
    steps += tidy(store);
    return steps + drop_slots(store);
}

void store_on_ended(struct herd_store *store,
                    void (*fn)(void *arg, struct herd_slice client, uint64_t sequence), void *arg)
{
    store->on_ended = fn;
    store->on_ended_arg = arg;
}

bool herd_store_expire(struct herd_store *store, int64_t now_ns)
{
    size_t groups = EXPIRE_GROUPS_MAX;
    for (int64_t steps = 0; steps < EXPIRE_STEPS_MAX; steps++) {
        struct herd_record record;
        uint32_t index = expiry_take(&store->expiry, now_ns, &groups);
        if (index == 0)
            return groups > 0;
        view(store, slot_at(store, index), &record);
        if (herd_store_is_expired(store, &record, now_ns)) {
            tell_ended(store, slot_at(store, index));
            steps += remove_record(store, index);
        } else {
            expiry_add(&store->expiry, index, end_ns(store, &record));
        }
    }
    return false;
}

bool herd_store_is_expired(const struct herd_store *store, const struct herd_record *record,
                           int64_t now_ns)
{
    return store->expiry.ttl_ns > 0 && record->received_ns <= now_ns - store->expiry.ttl_ns;
}

void herd_store_skip_sequences(struct herd_store *store, uint64_t sequence)
{
    assert(sequence >= store->sequence);
    store->sequence = sequence;
}

void store_children(const struct herd_store *store, struct digest_prefix prefix,
                    uint64_t out[DIGEST_FANOUT])
{
    count_noted(store);
    digest_children(&store->digest, prefix, out);
}

bool store_next_in_prefix(const struct herd_store *store, struct digest_prefix prefix, uint32_t *at,
                          struct herd_record *out)
{
    assert(prefix.len >= DIGEST_DEPTH);
    uint32_t index = *at == STORE_FIRST
                         ? store->digest.heads[prefix.digits >> (4 * (prefix.len - DIGEST_DEPTH))]
                         : slot_at(store, *at)->next_in_leaf;
    while (index != LIST_HEAD) {
        const struct slot *slot = slot_at(store, index);
        if (digest_matches(digest_client_hash(client_of(store, slot)), prefix)) {
            view(store, slot, out);
            *at = index;
            return true;
        }
        index = slot->next_in_leaf;
    }
    return false;
}

uint64_t herd_store_sequence(const struct herd_store *store)
{
    return store->sequence;
}

uint64_t herd_store_digest(const struct herd_store *store)
{
    count_noted(store);
    return store->digest.notes->total;
}

uint64_t store_changes(const struct herd_store *store)
{
    return store->sequence + store->removed;
}
