/* When records end, and a store whose records do, against naive models: arrays that are searched. */
#include <herd/err.h>
#include <herd/posix_time.h>
#include <herd/proto.h>
#include <herd/store.h>

#include "core/digest.h"
#include "core/expiry.h"
#include "core/store.h"

#include "check.h"
#include "records.h"

enum { INDICES = 20000, ROUNDS = 3000, CLIENTS = 300, CLOCK_S = 1000000 };

static uint32_t take_now(struct expiry *expiry, int64_t now_ns)
{
    size_t groups = SIZE_MAX;
    return expiry_take(expiry, now_ns, &groups);
}

/* Takes what is to be looked at: what has ended goes, the rest is put back. */
static void take_all(struct expiry *expiry, int64_t now_ns, int64_t ends_ns[INDICES],
                     bool is_in[INDICES])
{
    unsigned looks = 0;
    for (uint32_t index; (index = take_now(expiry, now_ns)) != 0; looks++) {
        CHECK_TRUE(("index %u", index), is_in[index]);
        if (ends_ns[index] <= now_ns)
            is_in[index] = false;
        else
            expiry_add(expiry, index, ends_ns[index]);
        assert_true(looks < 4 * INDICES); /* it comes to an end */
    }
}

static int64_t random_end_ns(struct rng *rng, int64_t now_ns, int64_t ttl_ns)
{
    switch (rng_below(rng, 12)) {
    case 0:
        return INT64_MAX;
    case 1:
        return now_ns + 100 * ttl_ns + (int64_t)rng_below(rng, 1000);
    case 2:
        return now_ns - (int64_t)rng_below(rng, (uint64_t)ttl_ns); /* already over */
    default:
        return now_ns + (int64_t)rng_below(rng, (uint64_t)(2 * ttl_ns));
    }
}

static int64_t random_step_ns(struct rng *rng, int64_t ttl_ns)
{
    switch (rng_below(rng, 40)) {
    case 0:
        return 10 * ttl_ns;
    case 1:
        return -(int64_t)rng_below(rng, (uint64_t)(3 * ttl_ns));
    default:
        return (int64_t)rng_below(rng, (uint64_t)HERD_NS_PER_S);
    }
}

/* Whatever the clock does, what has been over for a second is not in any more. */
static void ends_for_ttl(int64_t ttl_s, uint64_t seed, uint32_t indices)
{
    static int64_t ends_ns[INDICES];
    static bool is_in[INDICES];
    struct rng rng = {seed};
    struct expiry expiry;
    int64_t ttl_ns = ttl_s * HERD_NS_PER_S, now_ns = CLOCK_S * HERD_NS_PER_S;
    memset(is_in, 0, sizeof(is_in));
    expiry_init(&expiry, ttl_ns);
    assert_int_equal(expiry_reserve(&expiry, indices), 0);
    for (int round = 0; round < ROUNDS; round++) {
        uint32_t index = 1 + (uint32_t)rng_below(&rng, indices - 1);
        int64_t before_ns = ends_ns[index];
        ends_ns[index] = random_end_ns(&rng, now_ns, ttl_ns); /* new, or an update */
        if (!is_in[index] || ends_ns[index] < before_ns)
            expiry_add(&expiry, index, ends_ns[index]);
        is_in[index] = true;
        now_ns += random_step_ns(&rng, ttl_ns);
        take_all(&expiry, now_ns, ends_ns, is_in);
        for (uint32_t i = 1; i < indices; i++)
            CHECK_TRUE(("ttl %lld, round %d, index %u, end %lld, now %lld", (long long)ttl_s, round,
                        i, (long long)ends_ns[i], (long long)now_ns),
                       !is_in[i] || ends_ns[i] > now_ns - HERD_NS_PER_S);
    }
    expiry_close(&expiry);
}

static void all_that_ends_is_found(void **state)
{
    (void)state;
    ends_for_ttl(1, 1, 400);
    ends_for_ttl(2, 2, 400);
    ends_for_ttl(60, 3, 400);
    ends_for_ttl(3600, 4, 400);
    ends_for_ttl(86400, 5, INDICES); /* some pages */
}

static void end_is_seen_within_a_second(void **state)
{
    (void)state;
    struct expiry expiry;
    int64_t now_ns = CLOCK_S * HERD_NS_PER_S;
    expiry_init(&expiry, 60 * HERD_NS_PER_S);
    assert_int_equal(expiry_reserve(&expiry, 10), 0);
    assert_int_equal(take_now(&expiry, now_ns), 0);
    expiry_add(&expiry, 1, now_ns + 30 * HERD_NS_PER_S + 1);
    assert_int_equal(take_now(&expiry, now_ns + 30 * HERD_NS_PER_S), 0);
    assert_int_equal(take_now(&expiry, now_ns + 31 * HERD_NS_PER_S), 1);
    assert_int_equal(take_now(&expiry, now_ns + 31 * HERD_NS_PER_S), 0);
    expiry_close(&expiry);
}

/* A clock that was never set, from before 1970 to after it. */
static void ends_around_1970_are_seen_in_time(void **state)
{
    (void)state;
    struct expiry expiry;
    expiry_init(&expiry, 60 * HERD_NS_PER_S);
    int64_t now_ns = -30 * HERD_NS_PER_S;
    assert_int_equal(expiry_reserve(&expiry, 100), 0);
    assert_int_equal(take_now(&expiry, now_ns), 0);
    for (uint32_t index = 1; index <= 58; index++)
        expiry_add(&expiry, index, now_ns + index * HERD_NS_PER_S);
    for (uint32_t index = 1; index <= 58; index++)
        CHECK_INT(("index %u", index), take_now(&expiry, now_ns + (index + 1) * HERD_NS_PER_S),
                  index);
    expiry_close(&expiry);
}

/* What was noted by a clock that is set back since is seen by the new one in time, and costs no look
 * before. */
static void clock_that_is_set_moves_no_end(void **state)
{
    (void)state;
    struct expiry expiry;
    int64_t now_ns = CLOCK_S * HERD_NS_PER_S;
    expiry_init(&expiry, 60 * HERD_NS_PER_S);
    assert_int_equal(expiry_reserve(&expiry, 100), 0);
    assert_int_equal(take_now(&expiry, now_ns), 0);
    for (uint32_t i = 1; i < 60; i++)
        expiry_add(&expiry, i, now_ns + i * HERD_NS_PER_S);
    assert_int_equal(take_now(&expiry, now_ns - 1000 * HERD_NS_PER_S), 0);
    expiry_add(&expiry, 60, now_ns - 800 * HERD_NS_PER_S);
    assert_int_equal(take_now(&expiry, now_ns - 801 * HERD_NS_PER_S), 0);
    assert_int_equal(take_now(&expiry, now_ns - 799 * HERD_NS_PER_S), 60);
    assert_int_equal(take_now(&expiry, now_ns), 0);
    expiry_add(&expiry, 60, now_ns - 2 * HERD_NS_PER_S); /* over already */
    assert_int_equal(take_now(&expiry, now_ns), 60);
    for (uint32_t i = 1; i < 60; i++)
        assert_int_equal(take_now(&expiry, INT64_MAX), 60 - i);
    assert_int_equal(take_now(&expiry, INT64_MAX), 0);
    expiry_close(&expiry);
}

/* Among others that end later. */
static void earlier_end_is_seen_in_time(void **state)
{
    (void)state;
    struct expiry expiry;
    int64_t now_ns = CLOCK_S * HERD_NS_PER_S, late_ns = now_ns + 50 * HERD_NS_PER_S;
    expiry_init(&expiry, 60 * HERD_NS_PER_S);
    assert_int_equal(expiry_reserve(&expiry, 10), 0);
    assert_int_equal(take_now(&expiry, now_ns), 0);
    for (uint32_t i = 1; i <= 5; i++)
        expiry_add(&expiry, i, late_ns);
    static const uint32_t moved[] = {3, 5, 1};
    for (unsigned i = 0; i < COUNT_OF(moved); i++)
        expiry_add(&expiry, moved[i], now_ns + (10 + i) * HERD_NS_PER_S);
    expiry_add(&expiry, 2, late_ns + HERD_NS_PER_S); /* it is no earlier */
    for (unsigned i = 0; i < COUNT_OF(moved); i++) {
        int64_t end_ns = now_ns + (11 + i) * HERD_NS_PER_S;
        assert_int_equal(take_now(&expiry, end_ns), moved[i]);
        assert_int_equal(take_now(&expiry, end_ns), 0);
    }
    late_ns += HERD_NS_PER_S;
    assert_int_equal(take_now(&expiry, late_ns), 4);
    assert_int_equal(take_now(&expiry, late_ns), 2);
    assert_int_equal(take_now(&expiry, late_ns), 0);
    expiry_close(&expiry);
}

struct model_record {
    bool held;
    int64_t sent_s, received_s;
};

struct model {
    struct herd_store *store;
    struct rng rng;
    int64_t ttl_s, now_s;
    struct model_record records[CLIENTS];
};

static void make_record(unsigned client, int64_t sent_s, int64_t received_s,
                        struct text_record *out)
{
    char line[128];
    snprintf(line, sizeof(line), "client%u +1+1 %lld %lld.000000000 Hill +0.0", client,
             (long long)sent_s, (long long)received_s);
    record_of(line, out);
}

static void apply(struct model *model)
{
    static struct text_record record;
    unsigned client = (unsigned)rng_below(&model->rng, CLIENTS);
    struct model_record *held = &model->records[client];
    struct model_record next = {true, model->now_s + (int64_t)rng_below(&model->rng, 30),
                                model->now_s - (int64_t)rng_below(&model->rng, 3)};
    if (rng_below(&model->rng, 50) == 0)
        next.received_s += 5 * model->ttl_s; /* by a wrong clock */
    make_record(client, next.sent_s, next.received_s, &record);
    /* Whether it has been removed already or waits for its turn. */
    bool has_ended = held->held && held->received_s <= model->now_s - model->ttl_s;
    if (herd_store_apply(model->store, &record.record, 0, model->now_s * HERD_NS_PER_S) > 0)
        *held = next;
    else
        CHECK_TRUE(("client%u", client), held->held && !has_ended && held->sent_s >= next.sent_s);
}

static void expire(struct model *model)
{
    while (!herd_store_expire(model->store, model->now_s * HERD_NS_PER_S))
        ;
    for (unsigned i = 0; i < CLIENTS; i++) {
        struct model_record *record = &model->records[i];
        char name[32];
        struct herd_record found;
        snprintf(name, sizeof(name), "client%u", i);
        bool there = herd_store_find(model->store, herd_slice_of(name), &found);
        if (!record->held) {
            CHECK_INT(("%s", name), there, 0);
            continue;
        }
        bool over = record->received_s + model->ttl_s <= model->now_s;
        CHECK_TRUE(("%s", name), there || over);
        bool is_late = record->received_s + model->ttl_s + 1 <= model->now_s;
        CHECK_TRUE(("%s", name), !there || !is_late);
        if (there)
            CHECK_INT(("%s", name), found.sent_ns, record->sent_s * HERD_NS_PER_S);
        record->held = there;
    }
}

/* Count, digest, list and leaves are those of a store that has only ever had these records. */
static void check_as_new(struct model *model)
{
    static struct text_record record;
    struct herd_store *fresh;
    herd_cursor cursor;
    struct herd_entry entry;
    size_t count = 0, listed = 0;
    uint64_t sequence = 0;
    assert_int_equal(herd_store_new(77, 0, &fresh), 0);
    for (unsigned i = 0; i < CLIENTS; i++) {
        if (!model->records[i].held)
            continue;
        count++;
        make_record(i, model->records[i].sent_s, model->records[i].received_s, &record);
        assert_int_equal(herd_store_apply(fresh, &record.record, 0, 0), 1);
    }
    CHECK_INT(("count"), herd_store_count(model->store), count);
    CHECK_INT(("digest"), herd_store_digest(model->store), herd_store_digest(fresh));
    assert_int_equal(herd_cursor_new(model->store, &cursor), 0);
    for (; herd_cursor_next(model->store, cursor, &entry); listed++) {
        assert_true(entry.sequence > sequence);
        sequence = entry.sequence;
    }
    herd_cursor_free(model->store, cursor);
    CHECK_INT(("list"), listed, count);
    listed = 0;
    for (unsigned leaf = 0; leaf < DIGEST_LEAVES; leaf++) {
        struct herd_record in_leaf;
        uint32_t at = STORE_FIRST;
        while (store_next_in_prefix(model->store, (struct digest_prefix){leaf, 4}, &at, &in_leaf))
            listed++;
    }
    CHECK_INT(("leaves"), listed, count);
    herd_store_free(fresh);
}

static void store_forgets_what_has_ended(void **state)
{
    (void)state;
    static struct model model;
    for (int64_t ttl_s = 1; ttl_s <= 1000; ttl_s *= 10) {
        model = (struct model){.rng = {(uint64_t)ttl_s}, .ttl_s = ttl_s, .now_s = CLOCK_S};
        assert_int_equal(herd_store_new(1, 0, &model.store), 0);
        assert_int_equal(herd_store_set_ttl(model.store, ttl_s * HERD_NS_PER_S), 0);
        for (int round = 0; round < 1500; round++) {
            apply(&model);
            if (rng_below(&model.rng, 4) == 0)
                model.now_s += (int64_t)rng_below(&model.rng, (uint64_t)(ttl_s / 50 + 2));
            if (rng_below(&model.rng, 100) == 0)
                model.now_s -= (int64_t)rng_below(&model.rng, (uint64_t)(2 * ttl_s));
            if (rng_below(&model.rng, 10) == 0)
                expire(&model);
            if (round % 250 == 0)
                check_as_new(&model);
        }
        model.now_s += 20 * ttl_s;
        expire(&model);
        model.now_s += 20 * ttl_s;
        expire(&model);
        CHECK_INT(("ttl %lld", (long long)ttl_s), herd_store_count(model.store), 0);
        CHECK_INT(("ttl %lld", (long long)ttl_s), herd_store_digest(model.store), 0);
        herd_store_free(model.store);
    }
}

/* By a clock that is behind the one that the first was received by. */
static void update_that_ends_earlier_ends_in_time(void **state)
{
    (void)state;
    static struct text_record record;
    struct herd_store *store;
    assert_int_equal(herd_store_new(1, 0, &store), 0);
    assert_int_equal(herd_store_set_ttl(store, 100 * HERD_NS_PER_S), 0);
    assert_true(herd_store_expire(store, CLOCK_S * HERD_NS_PER_S));
    make_record(1, CLOCK_S, CLOCK_S, &record);
    assert_int_equal(herd_store_apply(store, &record.record, 0, 0), 1);
    make_record(1, CLOCK_S + 1, CLOCK_S - 50, &record);
    assert_int_equal(herd_store_apply(store, &record.record, 0, 0), 1);
    assert_true(herd_store_expire(store, (CLOCK_S + 49) * HERD_NS_PER_S));
    CHECK_INT(("not yet"), herd_store_count(store), 1);
    assert_true(herd_store_expire(store, (CLOCK_S + 51) * HERD_NS_PER_S));
    CHECK_INT(("then"), herd_store_count(store), 0);
    herd_store_free(store);
}

/* Cursors that stand anywhere among records that go. */
static void cursors_outlive_records(void **state)
{
    (void)state;
    static struct text_record record;
    struct herd_store *store;
    herd_cursor cursors[20];
    struct herd_entry entry;
    assert_int_equal(herd_store_new(1, 0, &store), 0);
    assert_int_equal(herd_store_set_ttl(store, 100 * HERD_NS_PER_S), 0);
    for (unsigned i = 0; i < 100; i++) {
        make_record(i, CLOCK_S, CLOCK_S + (i % 2 == 0 ? 0 : 50), &record);
        assert_int_equal(herd_store_apply(store, &record.record, i, 0), 1);
    }
    for (unsigned i = 0; i < COUNT_OF(cursors); i++) {
        assert_int_equal(herd_cursor_new(store, &cursors[i]), 0);
        for (unsigned k = 0; k < 5 * i; k++)
            assert_true(herd_cursor_next(store, cursors[i], &entry));
    }
    assert_true(herd_store_expire(store, (CLOCK_S + 120) * HERD_NS_PER_S));
    CHECK_INT(("half"), herd_store_count(store), 50);
    for (unsigned i = 0; i < COUNT_OF(cursors); i++) {
        unsigned left = 0;
        CHECK_INT(("cursor %u", i), herd_cursor_sequence(store, cursors[i]), 5 * i);
        for (; herd_cursor_next(store, cursors[i], &entry); left++)
            CHECK_TRUE(("cursor %u", i), entry.sequence > 5 * i && entry.sequence % 2 == 0);
        CHECK_INT(("cursor %u", i), left, (100 - 5 * i + (i % 2 == 1)) / 2);
        assert_true(herd_cursor_seek_back(store, cursors[i], 10, 1000));
        assert_true(herd_cursor_next(store, cursors[i], &entry));
        CHECK_INT(("cursor %u, back", i), entry.sequence, 12);
    }
    assert_true(herd_store_expire(store, (CLOCK_S + 1000) * HERD_NS_PER_S));
    for (unsigned i = 0; i < COUNT_OF(cursors); i++) {
        assert_true(herd_cursor_at_end(store, cursors[i]));
        CHECK_INT(("cursor %u, at the end", i), herd_cursor_sequence(store, cursors[i]), 100);
    }
    herd_store_free(store);
}

/* The table grows while records leave it: at each size some stand by the smaller one, some by the
 * larger. */
static void records_go_while_the_table_grows(void **state)
{
    (void)state;
    static struct text_record record;
    struct herd_store *store;
    struct herd_record found;
    assert_int_equal(herd_store_new(1, 0, &store), 0);
    assert_int_equal(herd_store_set_ttl(store, 10 * HERD_NS_PER_S), 0);
    unsigned first = 0; /* held: first … next - 1; ten a second, then more */
    unsigned next = 0;
    for (int64_t second = 0; second < 200; second++) {
        unsigned count = (unsigned)(second < 100 ? 10 + 4 * second : 20);
        for (unsigned i = 0; i < count; i++, next++) {
            make_record(next, CLOCK_S + second, CLOCK_S + second, &record);
            assert_int_equal(herd_store_apply(store, &record.record, 0, 0), 1);
        }
        assert_true(herd_store_expire(store, (CLOCK_S + second) * HERD_NS_PER_S));
        unsigned now_first = next - (unsigned)herd_store_count(store);
        assert_true(now_first >= first);
        first = now_first;
        for (unsigned i = first > 50 ? first - 50 : 0; i < next; i++) {
            char name[32];
            snprintf(name, sizeof(name), "client%u", i);
            CHECK_INT(("second %d, %s, first %u", (int)second, name, first),
                      herd_store_find(store, herd_slice_of(name), &found), i >= first);
        }
    }
    assert_in_range(next - first, 200, 220); /* ten seconds, and the one that is not over */
    herd_store_free(store);
}

static void last_times_there_are_do_not_overflow(void **state)
{
    (void)state;
    static struct text_record record;
    struct herd_store *store;
    struct herd_record found;
    assert_int_equal(herd_store_new(1, HERD_NS_PER_S, &store), 0);
    assert_int_equal(herd_store_set_ttl(store, 31536000 * HERD_NS_PER_S), 0);
    record_of("late +1+1 9223372036.854775807 9223372036.854775807 Hill +0.0", &record);
    assert_int_equal(herd_store_apply(store, &record.record, 0, 0), 1);
    assert_true(herd_store_expire(store, CLOCK_S * HERD_NS_PER_S));
    assert_true(herd_store_find(store, herd_slice_of("late"), &found));
    assert_false(herd_store_is_expired(store, &found, INT64_MAX));
    record_of("early +1+1 0 0 Hill +0.0", &record);
    assert_int_equal(herd_store_apply(store, &record.record, 0, 0), 1);
    assert_true(herd_store_expire(store, INT64_MAX));
    assert_true(herd_store_find(store, herd_slice_of("late"), &found));
    assert_false(herd_store_find(store, herd_slice_of("early"), &found));
    herd_store_free(store);
}

static void without_a_time_to_live_nothing_ends(void **state)
{
    (void)state;
    static struct text_record record;
    struct herd_store *store;
    assert_int_equal(herd_store_new(1, 0, &store), 0);
    record_of("old +1+1 0 0 Hill +0.0", &record);
    assert_int_equal(herd_store_apply(store, &record.record, 0, 0), 1);
    assert_true(herd_store_expire(store, INT64_MAX));
    assert_false(herd_store_is_expired(store, &record.record, INT64_MAX));
    assert_int_equal(herd_store_count(store), 1);
    herd_store_free(store);
}

/* It may be there for a second, or longer where many end at once; nobody may see that. */
static void what_has_ended_is_not_compared_with(void **state)
{
    (void)state;
    static struct text_record ahead, record;
    struct herd_record found;
    struct herd_store *store;
    assert_int_equal(herd_store_new(1, 0, &store), 0);
    assert_int_equal(herd_store_set_ttl(store, 60 * HERD_NS_PER_S), 0);
    make_record(1, CLOCK_S + 86400, CLOCK_S, &ahead); /* by a clock that was wrong */
    make_record(1, CLOCK_S + 59, CLOCK_S + 59, &record);
    assert_int_equal(herd_store_apply(store, &ahead.record, 0, CLOCK_S * HERD_NS_PER_S), 1);
    assert_int_equal(herd_store_apply(store, &record.record, 0, (CLOCK_S + 59) * HERD_NS_PER_S), 0);
    make_record(1, CLOCK_S + 60, CLOCK_S + 60, &record);
    assert_int_equal(herd_store_apply(store, &record.record, 0, (CLOCK_S + 60) * HERD_NS_PER_S), 1);
    assert_int_equal(herd_store_count(store), 1);
    assert_true(herd_store_expire(store, (CLOCK_S + 119) * HERD_NS_PER_S));
    assert_true(herd_store_find(store, herd_slice_of("client1"), &found));
    assert_true(found.sent_ns == (CLOCK_S + 60) * HERD_NS_PER_S);
    assert_true(herd_store_expire(store, (CLOCK_S + 121) * HERD_NS_PER_S));
    assert_int_equal(herd_store_count(store), 0);
    assert_int_equal(herd_store_digest(store), 0);
    herd_store_free(store);
}

/* A call takes its time from the loop, so it stops after a while and is called again. */
static void many_ends_at_once_take_several_calls(void **state)
{
    (void)state;
    static struct text_record record;
    struct herd_store *store;
    unsigned calls = 1;
    assert_int_equal(herd_store_new(1, 0, &store), 0);
    assert_int_equal(herd_store_set_ttl(store, HERD_NS_PER_S), 0);
    for (unsigned i = 0; i < 50000; i++) {
        make_record(i, CLOCK_S, CLOCK_S, &record);
        assert_int_equal(herd_store_apply(store, &record.record, 0, 0), 1);
    }
    for (; !herd_store_expire(store, (CLOCK_S + 10) * HERD_NS_PER_S); calls++)
        assert_true(calls < 100);
    assert_int_equal(herd_store_count(store), 0);
    assert_in_range(calls, 25, 30);
    herd_store_free(store);
}

/* Where few of very many end, others are passed in groups; not all of them in one call. */
static void passing_takes_several_calls(void **state)
{
    enum { GROUPS = 1000, EACH = 300 };
    struct expiry expiry;
    unsigned calls = 0, found = 0;
    uint32_t taken[3];
    (void)state;
    expiry_init(&expiry, 60 * HERD_NS_PER_S);
    assert_int_equal(expiry_reserve(&expiry, GROUPS * EXPIRY_GROUP), 0);
    for (uint32_t i = 1; i < GROUPS * EXPIRY_GROUP; i++)
        expiry_add(&expiry, i, (CLOCK_S + (i % 100000 == 7 ? 1 : 1000)) * HERD_NS_PER_S);
    for (bool all = false; !all; calls++) {
        size_t groups = EACH;
        uint32_t index;
        while ((index = expiry_take(&expiry, (CLOCK_S + 10) * HERD_NS_PER_S, &groups)) != 0)
            taken[found++ % COUNT_OF(taken)] = index;
        all = groups > 0;
    }
    CHECK_INT(("found"), found, 3);
    for (unsigned i = 0; i < 3; i++)
        CHECK_INT(("taken %u", i), taken[i], 200007 - 100000 * i);
    assert_in_range(calls, GROUPS / EACH, GROUPS / EACH + 2);
    expiry_close(&expiry);
}

/* The digest is asked for only now and then: a slot may have had several records since, and none. */
static void digest_of_slots_that_had_others(void **state)
{
    static const int asked_every[] = {1, 2, 7, 1000000};
    uint64_t first = 0;
    (void)state;
    for (size_t i = 0; i < COUNT_OF(asked_every); i++) {
        struct herd_store *store, *anew;
        struct rng rng = {7};
        assert_int_equal(herd_store_new(1, 0, &store), 0);
        assert_int_equal(herd_store_set_ttl(store, 10 * HERD_NS_PER_S), 0);
        assert_int_equal(herd_store_new(2, 0, &anew), 0);
        for (int step = 0; step < 2000; step++) {
            struct text_record record;
            char text[128];
            int second = 1000 + step / 10;
            snprintf(text, sizeof(text), "c%u +1+1 %d.%d %d.0 Hill +1.0",
                     (unsigned)rng_below(&rng, 40), second, step % 10,
                     second - (int)rng_below(&rng, 9));
            record_of(text, &record);
            assert_int_equal(herd_store_apply(store, &record.record, 0, 0), 1);
            if (step % 5 == 0)
                herd_store_expire(store, second * HERD_NS_PER_S);
            if (step % asked_every[i] == 0)
                herd_store_digest(store);
        }
        herd_cursor cursor;
        struct herd_entry entry;
        assert_int_equal(herd_cursor_new(store, &cursor), 0);
        while (herd_cursor_next(store, cursor, &entry)) {
            struct herd_record record;
            assert_int_equal(herd_record_parse(entry.text, &record), 0);
            assert_int_equal(herd_store_apply(anew, &record, 0, 0), 1);
        }
        uint64_t digest = herd_store_digest(store);
        CHECK_INT(("asked every %d", asked_every[i]), digest, herd_store_digest(anew));
        first = i == 0 ? digest : first;
        CHECK_INT(("asked every %d", asked_every[i]), digest, first);
        herd_store_expire(store, 5000 * HERD_NS_PER_S);
        CHECK_INT(("of none"), herd_store_digest(store), 0);
        herd_store_free(store);
        herd_store_free(anew);
    }
}

/* What is received when the clock has been set back, and nobody has looked since, ends in time as
 * well. */
static void clock_that_is_set_back_delays_no_end(void **state)
{
    enum { TTL_S = 60, AHEAD_S = 40 };
    static struct text_record record;
    struct herd_store *store;
    (void)state;
    assert_int_equal(herd_store_new(1, 0, &store), 0);
    assert_int_equal(herd_store_set_ttl(store, TTL_S * HERD_NS_PER_S), 0);
    assert_true(herd_store_expire(store, (CLOCK_S + AHEAD_S) * HERD_NS_PER_S));
    make_record(1, CLOCK_S, CLOCK_S - TTL_S + 5, &record); /* ends in 5 s, by the clock set back */
    int64_t now_ns = CLOCK_S * HERD_NS_PER_S;
    assert_int_equal(herd_store_apply(store, &record.record, 0, now_ns), 1);
    assert_true(herd_store_expire(store, now_ns));
    CHECK_INT(("not yet"), herd_store_count(store), 1);
    assert_true(herd_store_expire(store, now_ns + 6 * HERD_NS_PER_S));
    CHECK_INT(("ended"), herd_store_count(store), 0);
    herd_store_free(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digest_of_slots_that_had_others),
        cmocka_unit_test(all_that_ends_is_found),
        cmocka_unit_test(end_is_seen_within_a_second),
        cmocka_unit_test(ends_around_1970_are_seen_in_time),
        cmocka_unit_test(clock_that_is_set_moves_no_end),
        cmocka_unit_test(earlier_end_is_seen_in_time),
        cmocka_unit_test(store_forgets_what_has_ended),
        cmocka_unit_test(update_that_ends_earlier_ends_in_time),
        cmocka_unit_test(cursors_outlive_records),
        cmocka_unit_test(records_go_while_the_table_grows),
        cmocka_unit_test(clock_that_is_set_back_delays_no_end),
        cmocka_unit_test(last_times_there_are_do_not_overflow),
        cmocka_unit_test(without_a_time_to_live_nothing_ends),
        cmocka_unit_test(what_has_ended_is_not_compared_with),
        cmocka_unit_test(many_ends_at_once_take_several_calls),
        cmocka_unit_test(passing_takes_several_calls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
