/* Sums by prefix and the chains of the leaves, against a scan over all records. */
#include <inttypes.h>
#include <time.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <herd/store.h>

#include "core/digest.h"
#include "core/store.h"

#include "check.h"
#include "records.h"

enum { CLIENTS = 3000 };

static struct herd_store *new_store(uint64_t seed)
{
    struct herd_store *store;
    assert_int_equal(herd_store_new(seed, 0, &store), 0);
    return store;
}

static void apply(struct herd_store *store, unsigned client, unsigned second)
{
    char line[128];
    static struct text_record record;
    snprintf(line, sizeof(line), "client%u +1.5-2.5 %u %u.000000000 Hill +0.0", client, second,
             second + 1);
    record_of(line, &record);
    herd_store_apply(store, &record.record, 0, 0);
}

static struct digest_prefix prefix_of(uint64_t hash, unsigned len)
{
    return (struct digest_prefix){len == 0 ? 0 : hash >> (64 - 4 * len), len};
}

/* All records by the store's list: the sums of one prefix's parts. */
static void scan_children(struct herd_store *store, struct digest_prefix prefix,
                          uint64_t out[DIGEST_FANOUT])
{
    herd_cursor cursor;
    struct herd_entry entry;
    memset(out, 0, DIGEST_FANOUT * sizeof(*out));
    assert_int_equal(herd_cursor_new(store, &cursor), 0);
    while (herd_cursor_next(store, cursor, &entry)) {
        const char *space = memchr(entry.text.data, ' ', entry.text.len);
        struct herd_slice client = herd_slice(entry.text.data, (size_t)(space - entry.text.data));
        uint64_t hash = XXH3_64bits(client.data, client.len);
        if (digest_matches(hash, prefix))
            out[hash >> (60 - 4 * prefix.len) & 15] += XXH3_64bits(entry.text.data, entry.text.len);
    }
    herd_cursor_free(store, cursor);
}

static void check_children(struct herd_store *store, struct digest_prefix prefix)
{
    uint64_t sums[DIGEST_FANOUT], expected[DIGEST_FANOUT];
    store_children(store, prefix, sums);
    scan_children(store, prefix, expected);
    for (unsigned i = 0; i < DIGEST_FANOUT; i++)
        CHECK_INT(("prefix %" PRIx64 "/%u child %u", prefix.digits, prefix.len, i), sums[i],
                  expected[i]);
}

static void sums_of_all_depths_are_a_scans(void **state)
{
    (void)state;
    struct herd_store *store = new_store(1);
    struct rng rng = {3};
    for (unsigned i = 0; i < 2 * CLIENTS; i++)
        apply(store, (unsigned)rng_below(&rng, CLIENTS), (unsigned)rng_below(&rng, 1000));
    check_children(store, (struct digest_prefix){0, 0});
    for (int i = 0; i < 60; i++) {
        uint64_t hash = rng_next(&rng);
        for (unsigned len = 1; len < DIGEST_DEPTH; len++)
            check_children(store, prefix_of(hash, len));
    }
    uint64_t root[DIGEST_FANOUT], sum = 0;
    store_children(store, (struct digest_prefix){0, 0}, root);
    for (unsigned i = 0; i < DIGEST_FANOUT; i++)
        sum += root[i];
    CHECK_INT(("root"), sum, herd_store_digest(store));
    herd_store_free(store);
}

static void added_and_taken_out_is_nothing(void **state)
{
    (void)state;
    struct digest digest;
    struct rng rng = {5};
    static uint64_t hashes[500];
    assert_int_equal(digest_init(&digest), 0);
    for (size_t i = 0; i < COUNT_OF(hashes); i++) {
        hashes[i] = rng_next(&rng);
        digest_add(&digest, digest_leaf(hashes[i]), ~hashes[i]);
        digest_add(&digest, digest_leaf(hashes[i]), ~hashes[i]); /* equal terms do not cancel */
    }
    assert_int_not_equal(digest.notes->total, 0);
    for (size_t i = COUNT_OF(hashes); i-- > 0;) {
        digest_subtract(&digest, digest_leaf(hashes[i]), ~hashes[i]);
        digest_subtract(&digest, digest_leaf(hashes[i]), ~hashes[i]);
    }
    assert_int_equal(digest.notes->total, 0);
    for (size_t i = 0; i < DIGEST_LEAVES; i++)
        CHECK_INT(("leaf %zu", i), digest.sums[i], 0);
    digest_close(&digest);
}

/* The records of a prefix, by the chain: how many, and the sum of the hashes of their ids. */
static size_t walk(const struct herd_store *store, struct digest_prefix prefix, uint64_t *out_sum)
{
    struct herd_record record;
    uint32_t at = STORE_FIRST;
    size_t count = 0;
    *out_sum = 0;
    for (; store_next_in_prefix(store, prefix, &at, &record); count++) {
        uint64_t hash = digest_client_hash(record.client);
        CHECK_TRUE(("%.*s", (int)record.client.len, record.client.data),
                   digest_matches(hash, prefix));
        *out_sum += hash;
    }
    return count;
}

static void chains_of_all_prefixes_are_a_scans(void **state)
{
    (void)state;
    static uint64_t hashes[CLIENTS];
    struct herd_store *store = new_store(1);
    for (unsigned i = 0; i < CLIENTS; i++) {
        char name[32];
        snprintf(name, sizeof(name), "client%u", i);
        hashes[i] = digest_client_hash(herd_slice_of(name));
        apply(store, i, 10);
        apply(store, i, 20); /* an update is in the chain once */
    }
    for (unsigned i = 0; i < CLIENTS; i += 17) {
        for (unsigned len = DIGEST_DEPTH; len <= 16; len++) {
            struct digest_prefix prefix = prefix_of(hashes[i], len);
            uint64_t sum, expected = 0;
            size_t count = 0;
            for (unsigned k = 0; k < CLIENTS; k++) {
                bool match = hashes[k] >> (64 - 4 * len) == prefix.digits;
                count += match;
                expected += match ? hashes[k] : 0;
            }
            CHECK_INT(("client%u, %u digits", i, len), walk(store, prefix, &sum), count);
            CHECK_INT(("client%u, %u digits", i, len), sum, expected);
        }
        uint64_t unused;
        CHECK_INT(("client%u, none there", i), walk(store, prefix_of(~hashes[i], 16), &unused), 0);
    }
    herd_store_free(store);
}

static void order_of_arrival_does_not_matter(void **state)
{
    (void)state;
    struct herd_store *a = new_store(1), *b = new_store(2);
    struct rng rng = {9};
    for (unsigned i = 0; i < CLIENTS; i++)
        apply(a, i, i % 7);
    for (unsigned i = CLIENTS; i-- > 0;)
        apply(b, i, i % 7);
    CHECK_INT(("the same records"), herd_store_digest(a), herd_store_digest(b));
    for (int i = 0; i < 2000; i++) {
        unsigned client = (unsigned)rng_below(&rng, CLIENTS);
        unsigned second = (unsigned)rng_below(&rng, 1000);
        apply(a, client, second / 2);
        apply(a, client, second);
        apply(b, client, second);
        apply(b, client, second / 2);
    }
    CHECK_INT(("after updates"), herd_store_digest(a), herd_store_digest(b));
    apply(a, 1, 100000);
    assert_true(herd_store_digest(a) != herd_store_digest(b));
    herd_store_free(a);
    herd_store_free(b);
}

static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* No limit: a figure for who reads the output. */
static void upkeep_of_an_update_is_printed(void **state)
{
    (void)state;
    enum { ROUNDS = 2000000 };
    struct digest digest;
    char text[] = "client0000000 +34.068930-118.445127 1700000000.123456789 1700000000.223456789 "
                  "Hill +0.100000000";
    assert_int_equal(digest_init(&digest), 0);
    double began = seconds_now();
    uint64_t before = 0;
    for (unsigned i = 0; i < ROUNDS; i++) {
        memcpy(text + 6, &i, 4);
        uint64_t hash = XXH3_64bits(text, sizeof(text) - 1);
        digest_subtract(&digest, (uint16_t)(i * 40503u), before);
        digest_add(&digest, (uint16_t)(i * 40503u), hash);
        before = hash;
    }
    double took = seconds_now() - began;
    print_message("upkeep of the digest: %.0f ns an update (%016" PRIx64 ")\n", took / ROUNDS * 1e9,
                  digest.notes->total);
    digest_close(&digest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_of_all_depths_are_a_scans),
        cmocka_unit_test(added_and_taken_out_is_nothing),
        cmocka_unit_test(chains_of_all_prefixes_are_a_scans),
        cmocka_unit_test(order_of_arrival_does_not_matter),
        cmocka_unit_test(upkeep_of_an_update_is_printed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
