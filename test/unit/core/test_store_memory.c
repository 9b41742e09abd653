/* What the texts of a store take follows from the clients that it has and what they say now,
 * whatever they said before; and no text is harmed by moving. */
#include <herd/err.h>
#include <herd/posix_time.h>

#include "check.h"
#include "core/store.h"
#include "core/store_room.h"
#include "records.h"
#include "shortage.h"

enum { CLIENTS_MAX = 40000, TTL_S = 100000 };

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
        cmocka_unit_test(lines_of_any_length),
        cmocka_unit_test(memory_is_short),
    };
    return cmocka_run_group_tests_name("store_memory", tests, NULL, NULL);
}
