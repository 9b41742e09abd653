#include <herd/err.h>
#include <herd/posix_time.h>
#include <herd/store.h>

#include "check.h"
#include "core/order.h"
#include "records.h"

static int sign(int order)
{
    return (order > 0) - (order < 0);
}

static const char plain[] = "c +1+1 5.0 5.100000000 M +0.100000000";

/* Each row is newer than `plain`, by the first field in the order in which the two differ. */
static const struct {
    const char *text, *why;
} newer_rows[] = {
    {"c +1+1 5.000000001 5.100000000 M +0.100000000", "sent a nanosecond later"},
    {"c +0+0 6 1.0 A -0.0", "sent later, all else smaller"},
    {"c +1+1 10.0 5.100000000 M +0.100000000", "times compare as numbers, not as text"},
    {"c +1+1 5.0 5.100000000 N +0.100000000", "origin"},
    {"c +0+0 5.0 1.0 N -0.0", "origin before location, received and diff"},
    {"c +1+1 5.0 5.100000000 MM +0.100000000", "longer origin"},
    {"c +1+2 5.0 5.100000000 M +0.100000000", "location"},
    {"c +1+2 5.0 1.0 M +0.0", "location before received and diff"},
    {"c -1+1 5.0 5.100000000 M +0.100000000", "locations compare as bytes: - after +"},
    {"c +1+1/ 5.0 5.100000000 M +0.100000000", "longer location"},
    {"c +1+1 5.0 5.100000001 M +0.100000000", "received a nanosecond later"},
    {"c +1+1 5.0 10.1 M +0.0", "received as a number, before diff"},
    {"c +1+1 5.00 5.100000000 M +0.100000000", "same time in a longer text"},
    {"c +1+1 5.0 5.1000000000 M +0.100000000", "received in a longer text"},
    {"c +1+1 5.0 5.100000000 M -0.100000000", "diff as bytes"},
};

static void test_each_field_decides_in_its_turn(void **state)
{
    struct text_record a, b;
    (void)state;
    record_of(plain, &a);
    for (size_t i = 0; i < COUNT_OF(newer_rows); i++) {
        record_of(newer_rows[i].text, &b);
        CHECK_INT(("%s", newer_rows[i].why), sign(herd_record_compare(&b.record, &a.record, 0)), 1);
        CHECK_INT(("%s", newer_rows[i].why), sign(herd_record_compare(&a.record, &b.record, 0)),
                  -1);
        CHECK_INT(("%s", newer_rows[i].why), herd_record_compare(&b.record, &b.record, 0), 0);
    }
}

static void test_max_skew(void **state)
{
    static const struct {
        int64_t sent_ns, received_ns, skew_ns, order_ns;
    } rows[] = {
        {100, 50, 0, 100},
        {100, 50, 10, 60},
        {100, 50, 50, 100},
        {100, 50, 51, 100},
        {40, 50, 10, 40},
        {INT64_MAX, 50, 10, 60},
        {INT64_MAX, INT64_MAX, 10, INT64_MAX},
        {INT64_MAX - 5, INT64_MAX - 1, 10, INT64_MAX - 5},
        {0, 0, 1, 0},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct herd_record record = {.sent_ns = rows[i].sent_ns,
                                     .received_ns = rows[i].received_ns};
        CHECK_INT(("row %zu", i), herd_record_order_ns(&record, rows[i].skew_ns), rows[i].order_ns);
    }
}

/* A phone a year ahead wins for ever without max_skew; with it, only until others are received
 * later. */
static void test_max_skew_lets_go_of_a_clock_ahead(void **state)
{
    struct text_record ahead, later;
    (void)state;
    record_of("c +1+1 1731536000 1700000000.000000000 M -31536000.0", &ahead);
    record_of("c +1+1 1700000500 1700000500.000000000 M +0.0", &later);
    assert_int_equal(sign(herd_record_compare(&ahead.record, &later.record, 0)), 1);
    assert_int_equal(sign(herd_record_compare(&ahead.record, &later.record, 300 * HERD_NS_PER_S)),
                     -1);
    assert_int_equal(sign(herd_record_compare(&ahead.record, &later.record, 600 * HERD_NS_PER_S)),
                     1);
}

static bool same_fields(const struct herd_record *a, const struct herd_record *b)
{
    return herd_slice_equal(a->location, b->location) && herd_slice_equal(a->sent, b->sent) &&
           herd_slice_equal(a->received, b->received) && herd_slice_equal(a->origin, b->origin) &&
           herd_slice_equal(a->diff, b->diff);
}

/* 10^6 triples: one order, and no two that differ are equal. */
static void test_total_order(void **state)
{
    enum { RECORDS = 1000, TRIPLES = 1000000 };
    static const int64_t skews_ns[] = {0, 100000000, HERD_NS_PER_S};
    struct text_record *records = calloc(RECORDS, sizeof(*records));
    struct rng rng = {31};
    (void)state;
    assert_non_null(records);
    for (size_t i = 0; i < RECORDS; i++)
        record_random(&rng, "c", &records[i]);
    for (size_t i = 0; i < TRIPLES; i++) {
        int64_t skew_ns = skews_ns[rng_below(&rng, COUNT_OF(skews_ns))];
        const struct herd_record *a = &records[rng_below(&rng, RECORDS)].record;
        const struct herd_record *b = &records[rng_below(&rng, RECORDS)].record;
        const struct herd_record *c = &records[rng_below(&rng, RECORDS)].record;
        int ab = sign(herd_record_compare(a, b, skew_ns));
        int bc = sign(herd_record_compare(b, c, skew_ns));
        int ac = sign(herd_record_compare(a, c, skew_ns));
        CHECK_INT(("triple %zu", i), sign(herd_record_compare(b, a, skew_ns)), -ab);
        CHECK_INT(("triple %zu", i), ab == 0, same_fields(a, b));
        CHECK_TRUE(("triple %zu: %d %d %d", i, ab, bc, ac), !(ab <= 0 && bc <= 0) || ac <= 0);
        CHECK_TRUE(("triple %zu: %d %d %d", i, ab, bc, ac), !(ab < 0 && bc <= 0) || ac < 0);
    }
    free(records);
}

/* Times mostly in the usual form, and fields of which some are as long as others together. */
static void random_usual(struct rng *rng, struct text_record *out)
{
    static const char *const locations[] = {"+34.068930-118.445127",
                                            "+34.068930-118.445128",
                                            "+1+1",
                                            "-1.000000+2.000000",
                                            "+1.5+2.50",
                                            "+34.068930-118.4451270000"};
    static const char *const times[] = {"1700000000.000000001",
                                        "1700000000.000000010",
                                        "1699999999.999999999",
                                        "1700000000.100000000",
                                        "1700000000.5",
                                        "1700000000",
                                        "9234567",
                                        "2000000000.000000000",
                                        "12.000000001",
                                        "92345678",
                                        "1.234567890",
                                        "9234567.12345",
                                        "923456.5"};
    char text[RECORD_TEXT_MAX];
    uint64_t usual = rng_below(rng, 4) > 0 ? 4 : COUNT_OF(times);
    snprintf(text, sizeof(text), "c %s %s %s %s %s", locations[rng_below(rng, COUNT_OF(locations))],
             times[rng_below(rng, usual)], times[rng_below(rng, COUNT_OF(times))],
             rng_below(rng, 2) > 0 ? "A" : "B1.1", rng_below(rng, 2) > 0 ? "+0.1" : "-0.1");
    record_of(text, out);
}

/* What the texts tell is what the fields tell; and they tell it of most. */
static void test_order_by_text(void **state)
{
    struct rng rng = {91};
    unsigned told = 0, rounds = 200000;
    struct text_record a, b;
    (void)state;
    for (unsigned i = 0; i < rounds; i++) {
        int64_t skew_ns = rng_below(&rng, 2) > 0 ? 0 : 100 * HERD_NS_PER_S;
        random_usual(&rng, &a);
        random_usual(&rng, &b);
        size_t len = herd_record_text_len(&b.record);
        char *own = malloc(len); /* AddressSanitizer watches its end */
        assert_non_null(own);
        herd_record_write_text(&b.record, own);
        struct herd_slice text = herd_slice(own, len);
        int by_text = order_by_text(&a.record, text, skew_ns);
        int order = herd_record_compare(&a.record, &b.record, skew_ns);
        CHECK_TRUE(("%s against %.*s: %d, %d", a.text, (int)len, own, by_text, order),
                   by_text == 0 || sign(by_text) == sign(order));
        CHECK_TRUE(("%s is %.*s", a.text, (int)len, own),
                   herd_record_is(&a.record, text) == (order == 0));
        told += by_text != 0;
        free(own);
    }
    assert_true(told > rounds / 32);
}

/* A record whose fields stand apart, or in another order, is not taken for its text. */
static void test_is_text_of_one_piece(void **state)
{
    struct text_record a;
    (void)state;
    record_of(plain, &a);
    assert_true(herd_record_is(&a.record, herd_slice_of(plain)));
    assert_false(herd_record_is(&a.record, herd_slice(plain, sizeof(plain) - 2)));
    a.record.origin = herd_slice_of("M");
    assert_false(herd_record_is(&a.record, herd_slice_of(plain)));
}

static void test_text(void **state)
{
    struct text_record a;
    char text[RECORD_TEXT_MAX];
    struct herd_buf at = {0};
    (void)state;
    record_of(plain, &a);
    size_t len = herd_record_text_len(&a.record);
    assert_int_equal(len, sizeof(plain) - 1);
    text[len] = '#';
    herd_record_write_text(&a.record, text);
    CHECK_TEXT(("text"), herd_slice(text, len), plain);
    assert_int_equal(text[len], '#');
    assert_int_equal(herd_record_append_at(&a.record, &at), 0);
    CHECK_TEXT(("AT"), herd_buf_slice(&at), "AT M +0.100000000 c +1+1 5.0\n");
    herd_buf_free(&at);
}

/* What fits, fits behind the longest server's name into a line. */
static void test_fits(void **state)
{
    static char client[HERD_LINE_MAX];
    struct herd_record record = {.location = herd_slice_of("+1+1"),
                                 .sent = herd_slice_of("1"),
                                 .received = herd_slice_of("1.0"),
                                 .origin = herd_slice_of("A"),
                                 .diff = herd_slice_of("+0")};
    (void)state;
    memset(client, 'x', sizeof(client));
    size_t others = herd_record_text_len(&record);
    record.client = herd_slice(client, HERD_RECORD_TEXT_MAX - others);
    assert_true(herd_record_fits(&record));
    assert_int_equal(strlen("FLOOD ") + HERD_NAME_MAX + 1 + herd_record_text_len(&record),
                     HERD_LINE_MAX);
    record.client.len++;
    assert_false(herd_record_fits(&record));
}

/* The permutation of `count` numbers with the given index. */
static void permutation(size_t index, size_t count, size_t *out)
{
    for (size_t i = 0; i < count; i++)
        out[i] = i;
    for (size_t i = count; i > 1; i--) {
        size_t j = index % i, swap = out[i - 1];
        index /= i;
        out[i - 1] = out[j];
        out[j] = swap;
    }
}

static void check_all_orders(struct rng *rng, int64_t skew_ns)
{
    enum { RECORDS = 5, PERMUTATIONS = 120 };
    static struct text_record records[RECORDS];
    static char kept[RECORD_TEXT_MAX];
    size_t kept_len = 0;
    for (size_t i = 0; i < RECORDS; i++)
        record_random(rng, "c", &records[i]);
    for (size_t p = 0; p < PERMUTATIONS; p++) {
        size_t order[RECORDS];
        struct herd_store *store;
        struct herd_record found;
        permutation(p, RECORDS, order);
        assert_int_equal(herd_store_new(p, skew_ns, &store), 0);
        for (size_t i = 0; i < RECORDS; i++)
            assert_true(herd_store_apply(store, &records[order[i]].record, 0, 0) >= 0);
        /* Whatever comes again changes nothing. */
        for (size_t i = 0; i < RECORDS; i++)
            assert_int_equal(herd_store_apply(store, &records[i].record, 0, 0), 0);
        assert_true(herd_store_find(store, herd_slice_of("c"), &found));
        char text[RECORD_TEXT_MAX];
        size_t len = herd_record_text_len(&found);
        herd_record_write_text(&found, text);
        if (p == 0) {
            memcpy(kept, text, len);
            kept_len = len;
        }
        CHECK_SLICE(("permutation %zu", p), herd_slice(text, len), herd_slice(kept, kept_len));
        herd_store_free(store);
    }
}

static void test_any_order_of_arrival_ends_in_the_same_store(void **state)
{
    struct rng rng = {32};
    (void)state;
    for (int round = 0; round < 40; round++)
        check_all_orders(&rng, round % 2 == 0 ? 0 : HERD_NS_PER_S / 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_field_decides_in_its_turn),
        cmocka_unit_test(test_max_skew),
        cmocka_unit_test(test_max_skew_lets_go_of_a_clock_ahead),
        cmocka_unit_test(test_total_order),
        cmocka_unit_test(test_order_by_text),
        cmocka_unit_test(test_is_text_of_one_piece),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_fits),
        cmocka_unit_test(test_any_order_of_arrival_ends_in_the_same_store),
    };
    return cmocka_run_group_tests_name("record", tests, NULL, NULL);
}
