/*
 * One order: records of one client, with ties in every field, in random orders of arrival at
 * several servers. All have to end with the same record, and it has to be the greatest.
 *
 *   sim-orders [ORDERS] [SEED]     how many random orders of arrival (default 200,000)
 *
 * Exits 0 when there was no disagreement. Besides, all interleavings of two and three servers'
 * streams are tried.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <herd/posix_time.h>
#include <herd/store.h>

#include "core/rng.h"

enum { RECORDS_MAX = 6, ORDERS_PER_SET = 8, CLIENTS_PER_STORE = 100000 };

struct set {
    struct herd_record records[RECORDS_MAX];
    char texts[RECORDS_MAX][6][40];
    size_t count;
    bool is_usual; /* most of its times, as servers and phones write them */
};

struct totals {
    uint64_t orders, disagreements, ties, places, interleavings;
};

enum { CHOICES_MAX = 8 };

/* Few values of each field, so that most records of a set agree in some. Times of the usual form,
 * with places of the usual length, are ordered by their texts (core/order.c); short ones, and the two
 * against each other, by what they say. */
struct form {
    const char *times[CHOICES_MAX], *places[CHOICES_MAX], *received[CHOICES_MAX];
};

static const struct form forms[] = {
    {.times = {"100", "100.0", "100.000000001", "101", "99.5"},
     .places = {"+1+1", "+1.0+1.0", "-1+1", "+2+2"},
     .received = {"100.500000000", "100.600000000", "200.000000000", "99.000000000"}},
    {.times = {"1700000000.000000000", "1700000000.000000001", "1700000000.100000000",
               "1700000000.01", "1700000000", "1699999999.999999999", "0000000100.000000001"},
     .places = {"+34.068930-118.445127", "+34.068930-118.445128", "-34.0689-118.4451", "+1+1"},
     .received = {"1700000000.500000000", "1699999999.600000000", "1699999000.000000000",
                  "1700000000.000000000"}},
};

static struct herd_slice pick(struct rng *rng, char *text, const char *const *choices)
{
    size_t count = 0;
    while (count < CHOICES_MAX && choices[count] != NULL)
        count++;
    strcpy(text, choices[rng_below(rng, count)]);
    return herd_slice_of(text);
}

static void make_record(struct rng *rng, struct set *set, size_t i, const char *client)
{
    static const char *const origins[CHOICES_MAX] = {"Hill", "Jaquez", "Smith"};
    static const char *const diffs[CHOICES_MAX] = {"+0.500000000", "-0.500000000", "+0.5"};
    /* Now and then a time of the other form is among them. */
    const struct form *form = &forms[set->is_usual], *of_time = &forms[rng_below(rng, 8) != 0];
    if (!set->is_usual)
        of_time = form;
    struct herd_record *record = &set->records[i];
    record->client = herd_slice_of(strcpy(set->texts[i][0], client));
    record->location = pick(rng, set->texts[i][1], form->places);
    record->sent = pick(rng, set->texts[i][2], of_time->times);
    record->received = pick(rng, set->texts[i][3], form->received);
    record->origin = pick(rng, set->texts[i][4], origins);
    record->diff = pick(rng, set->texts[i][5], diffs);
    int rc = herd_time_parse(record->sent, &record->sent_ns);
    assert(rc == 0);
    rc = herd_time_parse(record->received, &record->received_ns);
    assert(rc == 0);
}

static const struct herd_record *greatest(const struct set *set, int64_t skew_ns,
                                          struct totals *totals)
{
    const struct herd_record *best = &set->records[0];
    for (size_t i = 1; i < set->count; i++) {
        int order = herd_record_compare(&set->records[i], best, skew_ns);
        bool tie =
            herd_record_order_ns(&set->records[i], skew_ns) == herd_record_order_ns(best, skew_ns);
        totals->ties += tie;
        totals->places += tie && herd_slice_equal(set->records[i].location, best->location);
        if (order > 0)
            best = &set->records[i];
    }
    return best;
}

/* The same text in all fields but the client; asks nothing of the order that is on trial. */
static bool is_same(const struct herd_record *a, const struct herd_record *b)
{
    return herd_slice_equal(a->location, b->location) && herd_slice_equal(a->sent, b->sent) &&
           herd_slice_equal(a->received, b->received) && herd_slice_equal(a->origin, b->origin) &&
           herd_slice_equal(a->diff, b->diff);
}

/* Lets the records arrive in an order, some of them twice, and looks at what is kept. */
static void arrive(struct herd_store *store, const struct set *set, const size_t *order,
                   const char *client, const struct herd_record *expected, struct totals *totals)
{
    struct herd_record found;
    for (size_t i = 0; i < set->count; i++) {
        struct herd_record record = set->records[order[i]];
        record.client = herd_slice_of(client);
        int rc = herd_store_apply(store, &record, 0, 0);
        assert(rc >= 0);
        if (i % 2 == 1) /* a duplicate */
            assert(herd_store_apply(store, &record, 0, 0) == 0);
    }
    totals->orders++;
    if (!herd_store_find(store, herd_slice_of(client), &found)) {
        totals->disagreements++;
        return;
    }
    totals->disagreements += !is_same(&found, expected);
}

static void shuffle(struct rng *rng, size_t *order, size_t count)
{
    for (size_t i = 0; i < count; i++)
        order[i] = i;
    for (size_t i = count; i > 1; i--) {
        size_t j = rng_below(rng, i), swap = order[i - 1];
        order[i - 1] = order[j];
        order[j] = swap;
    }
}

static void try_set(struct rng *rng, struct herd_store *store, uint64_t number, int64_t skew_ns,
                    struct totals *totals)
{
    struct set set = {.count = 2 + rng_below(rng, RECORDS_MAX - 1),
                      .is_usual = rng_below(rng, 4) != 0};
    for (size_t i = 0; i < set.count; i++)
        make_record(rng, &set, i, "c");
    const struct herd_record *expected = greatest(&set, skew_ns, totals);
    for (int i = 0; i < ORDERS_PER_SET; i++) {
        size_t order[RECORDS_MAX];
        char client[32];
        snprintf(client, sizeof(client), "%" PRIu64 ".%d", number, i);
        shuffle(rng, order, set.count);
        arrive(store, &set, order, client, expected, totals);
    }
}

static struct herd_store *new_store(int64_t skew_ns)
{
    struct herd_store *store;
    int rc = herd_store_new(1, skew_ns, &store);
    assert(rc == 0);
    return store;
}

static void random_orders(struct rng *rng, uint64_t orders, int64_t skew_ns, struct totals *totals)
{
    struct herd_store *store = new_store(skew_ns);
    uint64_t until = totals->orders + orders;
    for (uint64_t number = 0; totals->orders < until; number++) {
        if (herd_store_count(store) >= CLIENTS_PER_STORE) {
            herd_store_free(store);
            store = new_store(skew_ns);
        }
        try_set(rng, store, number, skew_ns, totals);
    }
    herd_store_free(store);
}

/* All ways in which streams of the given lengths may be merged, each stream in its own order. */
static void interleave(const size_t *left, size_t streams, size_t *order, size_t placed,
                       const struct set *set, struct herd_store *store,
                       const struct herd_record *expected, struct totals *totals)
{
    if (placed == set->count) {
        char client[32];
        snprintf(client, sizeof(client), "i%" PRIu64, totals->interleavings++);
        arrive(store, set, order, client, expected, totals);
        return;
    }
    size_t begin = 0;
    for (size_t stream = 0; stream < streams; stream++) {
        size_t length = set->count / streams;
        if (left[stream] > 0) {
            size_t rest[3];
            memcpy(rest, left, sizeof(rest));
            order[placed] = begin + length - left[stream];
            rest[stream]--;
            interleave(rest, streams, order, placed + 1, set, store, expected, totals);
        }
        begin += length;
    }
}

static void all_interleavings(struct rng *rng, struct totals *totals)
{
    for (size_t streams = 2; streams <= 3; streams++) {
        struct herd_store *store = new_store(0);
        for (int round = 0; round < 200; round++) {
            struct set set = {.count = RECORDS_MAX, .is_usual = round % 2 == 1};
            size_t left[3] = {RECORDS_MAX / streams, RECORDS_MAX / streams, RECORDS_MAX / streams};
            size_t order[RECORDS_MAX];
            for (size_t i = 0; i < set.count; i++)
                make_record(rng, &set, i, "c");
            interleave(left, streams, order, 0, &set, store, greatest(&set, 0, totals), totals);
        }
        herd_store_free(store);
    }
}

int main(int argc, char **argv)
{
    uint64_t orders = argc > 1 ? strtoull(argv[1], NULL, 10) : 200000;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    struct rng rng = {seed};
    struct totals totals = {0};
    all_interleavings(&rng, &totals);
    random_orders(&rng, orders / 2, 0, &totals);
    random_orders(&rng, orders - orders / 2, HERD_NS_PER_S / 2, &totals);
    printf("seed %" PRIu64 ": %" PRIu64 " orders of arrival (%" PRIu64
           " of them all interleavings of small streams), of sets with %" PRIu64
           " ties in time, %" PRIu64 " of them in place too; %" PRIu64 " disagreements\n",
           seed, totals.orders, totals.interleavings, totals.ties, totals.places,
           totals.disagreements);
    return totals.disagreements == 0 ? 0 : 1;
}
