/* What a store takes follows from the clients that it has and what they say now, whatever there was
 * before; and no text and no record is harmed by moving. */
#include <herd/err.h>
#include <herd/posix_time.h>

#include "check.h"
#include "core/store.h"
#include "core/store_room.h"
#include "records.h"
#include "shortage.h"

enum { CLIENTS_MAX = 40000, TTL_S = 100000, CURSORS = 12 };

/* What is expected of a store: the length of each client's text, 0 for none. */
struct model {
    struct herd_store *store;
    unsigned said; /* lines so far, the time of each */
    size_t lens[CLIENTS_MAX], live;
};

static size_t room(size_t len)
{
    return len > 0 ? (len + ARENA_STEP_BYTES - 1) / ARENA_STEP_BYTES * ARENA_STEP_BYTES : 0;
}

static void set_len(struct model *model, unsigned client, size_t len)
{
    model->live += room(len) - room(model->lens[client]);
    model->lens[client] = len;
}

static void check_bound(const struct model *model)
{
    size_t most = model->live + model->live / 8 + (1 << 20);
    if (model->store->arena.bytes > most)
        fail_msg("%zu bytes are held for texts that take %zu; at most %zu may be",
                 model->store->arena.bytes, model->live, most);
    const struct herd_store *store = model->store;
    size_t slots = store->slab_count * (size_t)SLAB_SLOTS;
    CHECK_TRUE(("%u clients, %zu slots", store->clients, slots),
               store->free_count <= store->clients / 8 + SLAB_SLOTS + CURSORS &&
                   slots <= store->clients + store->free_count + 2 * SLAB_SLOTS);
    CHECK_TRUE(("%u pages of ends", store->expiry.page_count),
               store->expiry.page_count * (size_t)EXPIRY_PAGE <= slots);
}

static void on_ended(void *arg, struct herd_slice client, uint64_t sequence)
{
    (void)sequence;
    set_len(arg, (unsigned)strtoul(client.data + 1, NULL, 10), 0);
}

static void begin(struct model *model)
{
    *model = (struct model){.said = 0};
    assert_int_equal(herd_store_new(7, 0, &model->store), 0);
    assert_int_equal(herd_store_set_ttl(model->store, TTL_S * HERD_NS_PER_S), 0);
    store_on_ended(model->store, on_ended, model);
}

/* A client says where it is with so many decimals, at a server of that name. HERD_ENOMEM if that
 * found no room. */
static int try_to_say(struct model *model, unsigned client, int decimals, const char *origin)
{
    static struct text_record record;
    static char text[RECORD_TEXT_MAX];
    model->said++;
    snprintf(text, sizeof(text), "c%05u +1.%0*u-1.0 %u %u %s +0.0", client, decimals, client,
             model->said, model->said, origin);
    record_of(text, &record);
    int rc = herd_store_apply(model->store, &record.record, 0, 0);
    if (rc < 0)
        return rc;
    assert_int_equal(rc, 1);
    set_len(model, client, herd_record_text_len(&record.record));
    return 0;
}

static void say(struct model *model, unsigned client, int decimals, const char *origin)
{
    assert_int_equal(try_to_say(model, client, decimals, origin), 0);
    check_bound(model);
}

/* Takes out those that said nothing after the line `said`. */
static void expire(struct model *model, unsigned said)
{
    int64_t now_ns = (int64_t)(said + TTL_S + 1) * HERD_NS_PER_S;
    while (!herd_store_expire(model->store, now_ns))
        check_bound(model);
    check_bound(model);
}

/* All that are held are found, with their own place. */
static void check_texts(const struct model *model)
{
    size_t count = 0;
    for (unsigned client = 0; client < CLIENTS_MAX; client++) {
        struct herd_record found;
        char id[16];
        unsigned said = 0;
        snprintf(id, sizeof(id), "c%05u", client);
        bool there = herd_store_find(model->store, herd_slice_of(id), &found);
        CHECK_INT(("%s", id), there, model->lens[client] > 0);
        if (!there)
            continue;
        count++;
        CHECK_INT(("%s", id), herd_record_text_len(&found), model->lens[client]);
        assert_int_equal(sscanf(found.location.data, "+1.%u", &said), 1);
        CHECK_INT(("%s", id), said, client);
    }
    assert_int_equal(herd_store_count(model->store), count);
    assert_int_equal(model->store->arena.live, model->live);
}

static void end(struct model *model)
{
    check_texts(model);
    herd_store_free(model->store);
}

static void few_clients_with_lines_of_all_lengths(void **state)
{
    enum { CLIENTS = 200, STEP = ARENA_STEP_BYTES, LONGEST = 3900 };
    static struct model model;
    (void)state;
    begin(&model);
    for (int decimals = 8; decimals < LONGEST; decimals += STEP)
        for (unsigned i = 0; i < CLIENTS; i++)
            say(&model, i, decimals, "Hill");
    for (unsigned i = 0; i < CLIENTS; i++)
        say(&model, i, 8, "Hill");
    end(&model);
}

static void many_clients_whose_lines_get_longer_and_short_again(void **state)
{
    static const int decimals[] = {8, 14, 22, 30, 38, 46, 54, 62, 8};
    static struct model model;
    (void)state;
    begin(&model);
    for (size_t round = 0; round < COUNT_OF(decimals); round++)
        for (unsigned i = 0; i < CLIENTS_MAX; i++)
            say(&model, i, decimals[round], "Hill");
    end(&model);
}

static unsigned shuffled(unsigned i)
{
    return i * 12347 % CLIENTS_MAX;
}

/* In the order in which they came, and in another one. */
static void clients_that_move_to_another_server_and_back(void **state)
{
    static const char *const origins[] = {"Hill", "Singleton-in-Town", "Hill"};
    static struct model model;
    (void)state;
    for (int other = 0; other < 2; other++) {
        begin(&model);
        for (size_t round = 0; round < COUNT_OF(origins); round++)
            for (unsigned i = 0; i < CLIENTS_MAX; i++)
                say(&model, other ? shuffled(i) : i, 8, origins[round]);
        end(&model);
    }
}

/* Those that end give way to others with lines of another length; the memory of the last ones goes
 * back. */
static void clients_that_end(void **state)
{
    static const int decimals[] = {8, 40, 17, 100, 8};
    static struct model model;
    (void)state;
    begin(&model);
    for (size_t round = 0; round < COUNT_OF(decimals); round++) {
        unsigned before = model.said;
        for (unsigned i = 0; i < CLIENTS_MAX; i++)
            say(&model, shuffled(i), decimals[round], "Hill");
        check_texts(&model);
        expire(&model, before + CLIENTS_MAX / 2);
        check_texts(&model);
        expire(&model, model.said);
        assert_int_equal(model.live, 0);
        assert_true(model.store->arena.bytes <= 4u * ARENA_CHUNK_BYTES);
    }
    end(&model);
}

/* What a cursor has still to read, by the sequences of the records. */
static void check_cursor(struct model *model, herd_cursor cursor, uint64_t passed)
{
    struct herd_entry entry;
    size_t read = 0, expected = 0;
    for (unsigned client = 0; client < CLIENTS_MAX; client++) {
        char id[16];
        snprintf(id, sizeof(id), "c%05u", client);
        expected += store_sequence_of(model->store, herd_slice_of(id)) > passed;
    }
    for (; herd_cursor_next(model->store, cursor, &entry); read++) {
        CHECK_TRUE(("%zu read, sequence %llu", read, (unsigned long long)entry.sequence),
                   entry.sequence > passed);
        passed = entry.sequence;
    }
    CHECK_INT(("records behind a cursor"), read, expected);
}

/* The digest, and the records of its leaves, are those of a store that never had others. */
static void check_digest(const struct model *model)
{
    struct herd_store *fresh;
    size_t in_leaves = 0;
    assert_int_equal(herd_store_new(8, 0, &fresh), 0);
    for (unsigned leaf = 0; leaf < DIGEST_LEAVES; leaf++) {
        struct herd_record record;
        uint32_t at = STORE_FIRST;
        for (; store_next_in_prefix(model->store, (struct digest_prefix){leaf, 4}, &at, &record);
             in_leaves++)
            assert_int_equal(herd_store_apply(fresh, &record, 0, 0), 1);
    }
    CHECK_INT(("records of leaves"), in_leaves, herd_store_count(model->store));
    CHECK_INT(("digest"), herd_store_digest(model->store), herd_store_digest(fresh));
    herd_store_free(fresh);
}

enum { AHEAD = 4 };

struct ahead {
    struct text_record records[AHEAD];
};

/* At the last slots, whose records move or go; what they will say is what they have said. */
static void look_ahead(const struct model *model, struct ahead *out)
{
    struct herd_slice clients[AHEAD];
    uint32_t slot = model->store->used - 1;
    for (unsigned i = 0; i < AHEAD; slot--) {
        const struct slot *last = slot_at(model->store, slot);
        char text[RECORD_TEXT_MAX];
        if (slot % SLAB_SLOTS >= SLAB_SLOTS - SLAB_UNUSED || last->kind != SLOT_RECORD)
            continue;
        struct herd_slice said = text_of(model->store, last);
        snprintf(text, sizeof(text), "%.*s", (int)said.len, said.data);
        record_of(text, &out->records[i]);
        clients[i] = out->records[i].record.client;
        i++;
    }
    store_expect(model->store, clients, AHEAD);
}

/* A line that is no news, of a client that may have ended. */
static void say_again(struct model *model, const struct herd_record *record)
{
    unsigned client = (unsigned)strtoul(record->client.data + 1, NULL, 10);
    bool is_new = model->lens[client] == 0;
    CHECK_INT(("client %u", client), herd_store_apply(model->store, record, 0, 0), is_new);
    set_len(model, client, herd_record_text_len(record));
}

/* Records move to other slots when others end. Cursors that were there before and that come later
 * stand where they stood, a look ahead finds nothing that has gone, and all is found. */
static void records_that_move(void **state)
{
    enum { ROUNDS = 10 };
    static struct model model;
    struct rng rng = {65};
    static struct ahead ahead;
    herd_cursor cursors[CURSORS];
    (void)state;
    begin(&model);
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t passed[CURSORS];
        unsigned before = model.said, clients = round % 2 == 0 ? CLIENTS_MAX : CLIENTS_MAX / 3;
        for (unsigned i = 0; i < clients; i++)
            say(&model, (unsigned)rng_below(&rng, clients), 8, "Hill");
        for (unsigned i = 0; i < CURSORS; i++) {
            struct herd_entry entry;
            assert_int_equal(herd_cursor_new(model.store, &cursors[i]), 0);
            CHECK_TRUE(("cursor in slot %u", cursors[i]), cursors[i] < SLAB_SLOTS);
            for (uint64_t read = rng_below(&rng, 5000); read > 0; read--)
                herd_cursor_next(model.store, cursors[i], &entry);
            passed[i] = herd_cursor_sequence(model.store, cursors[i]);
        }
        look_ahead(&model, &ahead);
        uint64_t changes = store_changes(model.store);
        expire(&model, before + (unsigned)rng_below(&rng, clients));
        assert_true(store_changes(model.store) > changes);
        for (unsigned i = 0; i < AHEAD; i++)
            say_again(&model, &ahead.records[i].record);
        check_texts(&model);
        check_digest(&model);
        for (unsigned i = 0; i < CURSORS; i++) {
            check_cursor(&model, cursors[i], passed[i]);
            herd_cursor_free(model.store, cursors[i]);
        }
    }
    end(&model);
}

/* Also where what they said last is not in the digest yet. */
static void records_that_move_when_they_have_just_changed(void **state)
{
    enum { CLIENTS = SLAB_SLOTS + 100 }; /* no slot of the first slab is free */
    static struct model model;
    herd_cursor cursors[CURSORS];
    (void)state;
    begin(&model);
    for (unsigned i = 0; i < CLIENTS; i++)
        say(&model, i, 8, "Hill");
    check_digest(&model);
    for (unsigned i = 0; i < CURSORS; i++) /* those in the first slots */
        say(&model, i, 8, "Hill");
    for (unsigned i = 0; i < CURSORS; i++)
        assert_int_equal(herd_cursor_new(model.store, &cursors[i]), 0);
    check_digest(&model);
    check_texts(&model);
    for (unsigned i = 0; i < CURSORS; i++)
        herd_cursor_free(model.store, cursors[i]);
    end(&model);
}

/* Of three million that were there, ten thousand would take as much as if there had been no others;
 * here of 40,000 one. */
static void what_is_left_of_many(void **state)
{
    static struct model model;
    (void)state;
    begin(&model);
    size_t first = herd_store_bytes(model.store);
    for (unsigned i = 0; i < CLIENTS_MAX; i++)
        say(&model, i, 8, "Hill");
    size_t most = herd_store_bytes(model.store);
    model.said += 10;
    say(&model, CLIENTS_MAX / 2, 8, "Hill");
    expire(&model, model.said - 2);
    assert_int_equal(herd_store_count(model.store), 1);
    size_t left = herd_store_bytes(model.store);
    CHECK_TRUE(("%zu bytes at first, %zu at most, %zu left", first, most, left),
               left - first < (most - first) / 4);
    end(&model);
}

/* Any client says something of any length, most of them short; at times many have ended. */
static void lines_of_any_length(void **state)
{
    enum { STEPS = 400000, CLIENTS = 8000 };
    static const unsigned decimals[] = {8, 60, 60, 300, 3800};
    static struct model model;
    struct rng rng = {63};
    (void)state;
    begin(&model);
    for (unsigned step = 0; step < STEPS; step++) {
        /* Which lengths there are changes as well. */
        unsigned longest = decimals[(step / 20000 + rng_below(&rng, 2)) % COUNT_OF(decimals)];
        say(&model, (unsigned)rng_below(&rng, CLIENTS), 5 + (int)rng_below(&rng, longest), "Hill");
        if (rng_below(&rng, 20000) == 0)
            expire(&model, model.said - (unsigned)rng_below(&rng, model.said));
    }
    end(&model);
}

/* While there is no memory, lines are refused and texts stay where they are. */
static void memory_is_short(void **state)
{
    enum { ROUNDS = 30, CLIENTS = 8000 };
    static struct model model;
    struct rng rng = {64};
    size_t failures = 0;
    (void)state;
    begin(&model);
    for (int round = 0; round < ROUNDS; round++) {
        int decimals = 5 + (int)rng_below(&rng, 400);
        shortage_begin(1 + rng_below(&rng, 4), rng_below(&rng, 2) == 0);
        for (unsigned i = 0; i < CLIENTS; i++)
            try_to_say(&model, (unsigned)rng_below(&rng, CLIENTS), decimals, "Hill");
        check_texts(&model);
        failures += shortage_failures();
        shortage_end();
        for (unsigned i = 0; i < CLIENTS; i++)
            try_to_say(&model, (unsigned)rng_below(&rng, CLIENTS), decimals + 8, "Hill");
        check_bound(&model);
    }
    assert_true(failures > ROUNDS);
    end(&model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(few_clients_with_lines_of_all_lengths),
        cmocka_unit_test(many_clients_whose_lines_get_longer_and_short_again),
        cmocka_unit_test(clients_that_move_to_another_server_and_back),
        cmocka_unit_test(clients_that_end),
        cmocka_unit_test(records_that_move),
        cmocka_unit_test(records_that_move_when_they_have_just_changed),
        cmocka_unit_test(what_is_left_of_many),
        cmocka_unit_test(lines_of_any_length),
        cmocka_unit_test(memory_is_short),
    };
    return cmocka_run_group_tests_name("store_memory", tests, NULL, NULL);
}
