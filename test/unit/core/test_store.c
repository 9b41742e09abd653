/* The store against a naive model of it: an array of records, searched from its beginning. */
#include <herd/err.h>
#include <herd/posix_time.h>
#include <herd/store.h>

#include "check.h"
#include "core/store.h"
#include "records.h"

enum { CLIENTS = 200, CURSORS = 5, STEPS = 100000 };

struct model_record {
    char text[RECORD_TEXT_MAX];
    size_t len; /* 0: none */
    uint64_t sequence;
    uint32_t source;
};

struct model_cursor {
    bool in_use, seeking;
    herd_cursor cursor;
    uint64_t at;     /* all up to this is read */
    uint64_t target; /* seeking: to where */
};

struct model {
    struct herd_store *store;
    struct rng rng;
    int64_t max_skew_ns;
    uint64_t sequence;
    size_t count;
    struct model_record records[CLIENTS];
    struct model_cursor cursors[CURSORS];
};

static void client_name(size_t client, char name[16])
{
    snprintf(name, 16, "client%zu", client);
}

/* A random record whose text has any length up to the longest: the location has decimals to fill
 * it. Times go forward with `clock_s`, but not always. */
static void random_record(struct rng *rng, unsigned clock_s, size_t client, struct text_record *out)
{
    static char zeros[HERD_LINE_MAX];
    char text[RECORD_TEXT_MAX], name[16];
    static const int decimals[] = {1, 8, 40, 300, 1000, 3900};
    memset(zeros, '0', sizeof(zeros));
    client_name(client, name);
    int zero_count =
        1 + (int)rng_below(rng, (uint64_t)decimals[rng_below(rng, COUNT_OF(decimals))]);
    snprintf(text, sizeof(text), "%s +1.%.*s-1.0 %u.%u %u.000000000 S%u +0.0", name, zero_count,
             zeros, clock_s + (unsigned)rng_below(rng, 20), (unsigned)rng_below(rng, 3),
             clock_s + (unsigned)rng_below(rng, 20), (unsigned)rng_below(rng, 3));
    record_of(text, out);
}

static bool model_is_newer(const struct model *model, const struct herd_record *record,
                           const struct model_record *held)
{
    static struct text_record other;
    record_of(held->text, &other);
    return herd_record_compare(record, &other.record, model->max_skew_ns) > 0;
}

/* Looks ahead, sometimes: once to what comes next, and once to what does not, for by then another
 * record is at this address. */
static void step_expect(struct model *model, struct herd_slice client)
{
    const struct herd_slice clients[] = {client, client};
    if (rng_below(&model->rng, 2) == 0)
        store_expect(model->store, clients, COUNT_OF(clients));
}

static void step_apply(struct model *model, unsigned clock_s)
{
    static struct text_record next;
    size_t client = rng_below(&model->rng, CLIENTS);
    uint32_t source = (uint32_t)rng_below(&model->rng, 4);
    struct model_record *held = &model->records[client];
    random_record(&model->rng, clock_s, client, &next);
    bool newer = held->len == 0 || model_is_newer(model, &next.record, held);
    step_expect(model, next.record.client);
    assert_int_equal(herd_store_apply(model->store, &next.record, source, 0), newer);
    if (!newer)
        return;
    model->count += held->len == 0;
    held->len = herd_record_text_len(&next.record);
    herd_record_write_text(&next.record, held->text);
    held->text[held->len] = '\0';
    held->sequence = ++model->sequence;
    held->source = source;
}

static void check_found(const struct model *model, size_t client)
{
    char name[16], text[RECORD_TEXT_MAX];
    struct herd_record found;
    const struct model_record *held = &model->records[client];
    client_name(client, name);
    bool there = herd_store_find(model->store, herd_slice_of(name), &found);
    CHECK_INT(("%s", name), there, held->len > 0);
    if (!there)
        return;
    CHECK_INT(("%s", name), herd_record_text_len(&found), held->len);
    herd_record_write_text(&found, text);
    CHECK_SLICE(("%s", name), herd_slice(text, held->len), herd_slice(held->text, held->len));
}

/* The record behind a place in the list, or NULL. */
static const struct model_record *model_next(const struct model *model, uint64_t at)
{
    const struct model_record *next = NULL;
    for (size_t i = 0; i < CLIENTS; i++) {
        const struct model_record *record = &model->records[i];
        if (record->len > 0 && record->sequence > at &&
            (next == NULL || record->sequence < next->sequence))
            next = record;
    }
    return next;
}

static void step_read(struct model *model, struct model_cursor *cursor)
{
    struct herd_entry entry;
    const struct model_record *expected = model_next(model, cursor->at);
    CHECK_INT(("read"), herd_cursor_at_end(model->store, cursor->cursor), expected == NULL);
    bool read = herd_cursor_next(model->store, cursor->cursor, &entry);
    CHECK_INT(("read"), read, expected != NULL);
    if (read) {
        CHECK_INT(("read"), entry.sequence, expected->sequence);
        CHECK_INT(("read"), entry.source, expected->source);
        CHECK_SLICE(("read"), entry.text, herd_slice(expected->text, expected->len));
        cursor->at = entry.sequence;
    }
    CHECK_INT(("read"), herd_cursor_sequence(model->store, cursor->cursor), cursor->at);
}

/* A way back in small steps, with other things going on in between. */
static void step_seek(struct model *model, struct model_cursor *cursor)
{
    if (!cursor->seeking)
        cursor->target = rng_below(&model->rng, cursor->at + 1);
    cursor->seeking = !herd_cursor_seek_back(model->store, cursor->cursor, cursor->target,
                                             rng_below(&model->rng, 30));
    if (cursor->seeking)
        return;
    cursor->at = cursor->target;
    assert_int_equal(herd_cursor_sequence(model->store, cursor->cursor), cursor->at);
}

static void step_cursor(struct model *model)
{
    struct model_cursor *cursor = &model->cursors[rng_below(&model->rng, CURSORS)];
    if (!cursor->in_use) {
        *cursor = (struct model_cursor){.in_use = true};
        assert_int_equal(herd_cursor_new(model->store, &cursor->cursor), 0);
        assert_int_equal(herd_cursor_sequence(model->store, cursor->cursor), 0);
        return;
    }
    uint64_t what = rng_below(&model->rng, 100);
    if (cursor->seeking || what < 10) {
        step_seek(model, cursor);
    } else if (what < 12) {
        herd_cursor_to_begin(model->store, cursor->cursor);
        cursor->at = 0;
    } else if (what < 14) {
        herd_cursor_to_end(model->store, cursor->cursor);
        cursor->at = model->sequence;
        assert_int_equal(herd_cursor_sequence(model->store, cursor->cursor), cursor->at);
    } else if (what < 15) {
        herd_cursor_free(model->store, cursor->cursor);
        cursor->in_use = false;
    } else {
        step_read(model, cursor);
    }
}

/* The digest is that of a store that was told the same records alone. */
static void check_digest(const struct model *model)
{
    static struct text_record record;
    struct herd_store *other;
    assert_int_equal(herd_store_new(~model->rng.state, model->max_skew_ns, &other), 0);
    for (size_t i = 0; i < CLIENTS; i++) {
        if (model->records[i].len == 0)
            continue;
        record_of(model->records[i].text, &record);
        assert_int_equal(herd_store_apply(other, &record.record, 0, 0), 1);
    }
    assert_true(herd_store_digest(model->store) == herd_store_digest(other));
    herd_store_free(other);
}

static void check_model(struct model *model)
{
    herd_cursor cursor;
    struct herd_entry entry;
    uint64_t at = 0;
    size_t count = 0;
    for (size_t i = 0; i < CLIENTS; i++)
        check_found(model, i);
    assert_int_equal(herd_cursor_new(model->store, &cursor), 0);
    for (; herd_cursor_next(model->store, cursor, &entry); count++) {
        assert_true(entry.sequence > at);
        at = entry.sequence;
    }
    assert_int_equal(count, model->count);
    herd_cursor_free(model->store, cursor);
    check_digest(model);
}

static void against_model(uint64_t seed, int64_t max_skew_ns)
{
    struct model *model = calloc(1, sizeof(*model));
    assert_non_null(model);
    model->rng.state = seed;
    model->max_skew_ns = max_skew_ns;
    assert_int_equal(herd_store_new(seed, max_skew_ns, &model->store), 0);
    for (int step = 0; step < STEPS; step++) {
        if (rng_below(&model->rng, 4) == 0)
            step_apply(model, (unsigned)step / 1000);
        else
            step_cursor(model);
        assert_int_equal(herd_store_count(model->store), model->count);
        assert_int_equal(herd_store_sequence(model->store), model->sequence);
        if (step % 5000 == 0)
            check_model(model);
    }
    check_model(model);
    assert_true(model->sequence > STEPS / 25);
    herd_store_free(model->store);
    free(model);
}

static void test_against_a_model(void **state)
{
    (void)state;
    against_model(71, 0);
}

static void test_against_a_model_with_max_skew(void **state)
{
    (void)state;
    against_model(72, 5 * INT64_C(1000000000));
}

static void test_empty(void **state)
{
    struct herd_store *store;
    struct herd_record record;
    struct herd_entry entry;
    herd_cursor cursor;
    (void)state;
    assert_int_equal(herd_store_new(1, 0, &store), 0);
    assert_false(herd_store_find(store, herd_slice_of("c"), &record));
    assert_int_equal(herd_store_count(store), 0);
    assert_int_equal(herd_store_sequence(store), 0);
    assert_int_equal(herd_cursor_new(store, &cursor), 0);
    assert_false(herd_cursor_next(store, cursor, &entry));
    assert_true(herd_cursor_at_end(store, cursor));
    herd_cursor_to_end(store, cursor);
    herd_cursor_to_begin(store, cursor);
    assert_true(herd_cursor_seek_back(store, cursor, 0, 1));
    herd_cursor_free(store, cursor);
    herd_store_free(store);
    herd_store_free(NULL);
}

/* One client a letter of `order`; then each is read in the order of its last update. */
static void test_each_client_is_read_once_in_its_newest_form(void **state)
{
    static const char order[] = "abcabca";
    struct herd_store *store;
    struct text_record record;
    struct herd_entry entry;
    herd_cursor cursor;
    (void)state;
    assert_int_equal(herd_store_new(1, 0, &store), 0);
    assert_int_equal(herd_cursor_new(store, &cursor), 0);
    for (unsigned i = 0; order[i] != '\0'; i++) {
        char text[64];
        snprintf(text, sizeof(text), "%c +1+1 %u 1.0 A +0.0", order[i], i);
        record_of(text, &record);
        assert_int_equal(herd_store_apply(store, &record.record, i, 0), 1);
    }
    static const char *const expected[] = {"b +1+1 4 1.0 A +0.0", "c +1+1 5 1.0 A +0.0",
                                           "a +1+1 6 1.0 A +0.0"};
    for (size_t i = 0; i < COUNT_OF(expected); i++) {
        assert_true(herd_cursor_next(store, cursor, &entry));
        CHECK_TEXT(("entry %zu", i), entry.text, expected[i]);
        CHECK_INT(("entry %zu", i), entry.sequence, i + 5);
        CHECK_INT(("entry %zu", i), entry.source, i + 4);
    }
    assert_false(herd_cursor_next(store, cursor, &entry));
    /* An update of one that has been read is read again. */
    record_of("b +1+1 9 1.0 A +0.0", &record);
    assert_int_equal(herd_store_apply(store, &record.record, 0, 0), 1);
    assert_true(herd_cursor_next(store, cursor, &entry));
    CHECK_TEXT(("again"), entry.text, "b +1+1 9 1.0 A +0.0");
    herd_cursor_free(store, cursor);
    herd_store_free(store);
}

/* Ids are bytes: prefixes of each other, of other cases, with bytes that are no UTF-8. */
static void test_ids_are_bytes(void **state)
{
    static const char *const ids[] = {"a", "aa", "aaa", "A", "\xff", "\xff\xff", "\xc3\xa9", "?"};
    struct herd_store *store;
    struct text_record record;
    struct herd_record found;
    (void)state;
    assert_int_equal(herd_store_new(1, 0, &store), 0);
    for (unsigned i = 0; i < COUNT_OF(ids); i++) {
        char text[64];
        assert_false(herd_store_find(store, herd_slice_of(ids[i]), &found));
        snprintf(text, sizeof(text), "%s +1+1 %u 1.0 A +0.0", ids[i], i);
        record_of(text, &record);
        assert_int_equal(herd_store_apply(store, &record.record, 0, 0), 1);
    }
    for (unsigned i = 0; i < COUNT_OF(ids); i++) {
        assert_true(herd_store_find(store, herd_slice_of(ids[i]), &found));
        assert_int_equal(found.sent_ns, i * INT64_C(1000000000));
    }
    herd_store_free(store);
}

static void make_million(unsigned i, char *text, size_t size)
{
    snprintf(text, size, "client-%07u +34.068930-118.445127 %u 1700000000.000000000 Hill +0.0", i,
             i);
}

static void test_a_million_clients(void **state)
{
    enum { MILLION = 1000000 };
    struct herd_store *store;
    static struct text_record record;
    struct herd_entry entry;
    struct herd_record found;
    herd_cursor cursor;
    char text[128];
    (void)state;
    assert_int_equal(herd_store_new(1, 0, &store), 0);
    assert_int_equal(herd_cursor_new(store, &cursor), 0);
    for (unsigned i = 0; i < MILLION; i++) {
        make_million(i, text, sizeof(text));
        record_of(text, &record);
        assert_int_equal(herd_store_apply(store, &record.record, i % 3, 0), 1);
    }
    assert_int_equal(herd_store_count(store), MILLION);
    assert_true(herd_store_bytes(store) < (size_t)MILLION * 250);
    for (unsigned i = 0; i < MILLION; i++) {
        assert_true(herd_cursor_next(store, cursor, &entry));
        assert_int_equal(entry.sequence, i + 1);
    }
    assert_false(herd_cursor_next(store, cursor, &entry));
    for (unsigned i = 0; i < MILLION; i += 997) {
        make_million(i, text, sizeof(text));
        assert_true(herd_store_find(store, herd_slice(text, strlen("client-0000000")), &found));
        assert_int_equal(found.sent_ns, i * INT64_C(1000000000));
    }
    assert_false(herd_cursor_seek_back(store, cursor, 10, 1000));
    while (!herd_cursor_seek_back(store, cursor, 10, 100000))
        ;
    assert_true(herd_cursor_next(store, cursor, &entry));
    assert_int_equal(entry.sequence, 11);
    herd_cursor_free(store, cursor);
    herd_store_free(store);
}

static void test_digest(void **state)
{
    struct herd_store *store;
    struct text_record record;
    uint64_t digests[4];
    static const char *const texts[] = {"a +1+1 1 1.0 A +0.0", "b +1+1 1 1.0 A +0.0",
                                        "a +1+1 1 1.0 A +0.1"};
    (void)state;
    assert_int_equal(herd_store_new(1, 0, &store), 0);
    digests[0] = herd_store_digest(store);
    assert_int_equal(digests[0], 0);
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        record_of(texts[i], &record);
        assert_int_equal(herd_store_apply(store, &record.record, 0, 0), 1);
        digests[i + 1] = herd_store_digest(store);
        for (size_t j = 0; j <= i; j++)
            assert_true(digests[i + 1] != digests[j]);
        assert_int_equal(herd_store_apply(store, &record.record, 0, 0), 0);
        assert_true(herd_store_digest(store) == digests[i + 1]);
    }
    herd_store_free(store);
}

/* Updates of one client for ever take no more memory than the largest of its texts of each class.
 */
/* What one source has brought is passed in one go, over other cursors, as far as it may. */
static void test_cursor_passes_what_came_from_one_source(void **state)
{
    static const uint32_t sources[] = {7, 7, 7, 0, 7};
    struct herd_store *store;
    herd_cursor cursor, other;
    struct herd_entry entry;
    uint64_t first = 0;
    (void)state;
    assert_int_equal(herd_store_new(1, 0, &store), 0);
    assert_int_equal(herd_cursor_new(store, &cursor), 0);
    assert_int_equal(store_cursor_pass(store, cursor, 7, 10, &first), 0);
    for (unsigned i = 0; i < COUNT_OF(sources); i++) {
        struct text_record record;
        char text[64];
        snprintf(text, sizeof(text), "c%u +1+1 1.0 1.0 A +0.0", i);
        record_of(text, &record);
        assert_int_equal(herd_store_apply(store, &record.record, sources[i], 0), 1);
    }
    assert_int_equal(herd_cursor_new(store, &other), 0);
    assert_true(herd_cursor_next(store, other, &entry));
    assert_int_equal(store_cursor_pass(store, cursor, 8, 10, &first), 0);
    assert_int_equal(herd_cursor_sequence(store, cursor), 0);
    assert_int_equal(store_cursor_pass(store, cursor, 7, 2, &first), 2);
    assert_int_equal(first, 1);
    assert_int_equal(herd_cursor_sequence(store, cursor), 2);
    assert_int_equal(store_cursor_pass(store, cursor, 7, 10, &first), 1);
    assert_int_equal(first, 3);
    assert_int_equal(herd_cursor_sequence(store, other), 1);
    assert_true(herd_cursor_next(store, cursor, &entry));
    assert_int_equal(entry.sequence, 4);
    assert_int_equal(store_cursor_pass(store, cursor, 7, 10, &first), 1);
    assert_true(herd_cursor_at_end(store, cursor));
    assert_true(herd_cursor_next(store, other, &entry));
    assert_int_equal(entry.sequence, 2);
    herd_store_free(store);
}

static void test_updates_take_no_memory(void **state)
{
    struct herd_store *store;
    static struct text_record record;
    char text[128];
    (void)state;
    assert_int_equal(herd_store_new(1, 0, &store), 0);
    record_of("c +1+1 0 1.0 A +0.0", &record);
    assert_int_equal(herd_store_apply(store, &record.record, 0, 0), 1);
    size_t bytes = herd_store_bytes(store);
    for (unsigned i = 1; i < 100000; i++) {
        snprintf(text, sizeof(text), "c +1.%0*u+1 %u 1.0 A +0.0", (int)(i % 60) + 1, 0, i);
        record_of(text, &record);
        assert_int_equal(herd_store_apply(store, &record.record, 0, 0), 1);
    }
    assert_int_equal(herd_store_bytes(store), bytes);
    herd_store_free(store);
}

/* The records behind a cursor, counted one by one. */
static size_t count_behind(struct herd_store *store, herd_cursor cursor, herd_cursor walker)
{
    struct herd_entry entry;
    size_t count = 0;
    store_cursor_to(store, walker, cursor);
    while (herd_cursor_next(store, walker, &entry))
        count++;
    return count;
}

static void test_unread_is_what_is_behind_the_noted_cursor(void **state)
{
    enum { IDS = 40, TTL_S = 50, UNREAD_STEPS = 20000 };
    struct herd_store *store;
    struct rng rng = {.state = 7};
    herd_cursor cursor, walker;
    size_t ended = 0;
    (void)state;
    assert_int_equal(herd_store_new(1, 0, &store), 0);
    assert_int_equal(herd_store_set_ttl(store, TTL_S * HERD_NS_PER_S), 0);
    assert_int_equal(herd_cursor_new(store, &cursor), 0);
    assert_int_equal(herd_cursor_new(store, &walker), 0);
    for (unsigned step = 1; step < UNREAD_STEPS; step++) {
        struct text_record record;
        struct herd_entry entry;
        char text[64];
        int64_t now_ns = step * HERD_NS_PER_S;
        if (rng_below(&rng, 100) < 80) {
            snprintf(text, sizeof(text), "c%u +1+1 %u %u.0 A +0.0", (unsigned)rng_below(&rng, IDS),
                     step, step);
            record_of(text, &record);
            assert_int_equal(herd_store_apply(store, &record.record, 0, now_ns), 1);
        } else {
            size_t wanted = rng_below(&rng, IDS), read = 0;
            while (read < wanted && herd_cursor_next(store, cursor, &entry))
                read++;
            store_note_read(store, cursor, read);
        }
        size_t before = herd_store_count(store);
        while (!herd_store_expire(store, now_ns)) {
        }
        ended += before - herd_store_count(store);
        CHECK_INT(("step %u", step), store_unread(store), count_behind(store, cursor, walker));
    }
    assert_true(ended > 100);
    herd_store_free(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_each_client_is_read_once_in_its_newest_form),
        cmocka_unit_test(test_ids_are_bytes),
        cmocka_unit_test(test_against_a_model),
        cmocka_unit_test(test_against_a_model_with_max_skew),
        cmocka_unit_test(test_digest),
        cmocka_unit_test(test_a_million_clients),
        cmocka_unit_test(test_cursor_passes_what_came_from_one_source),
        cmocka_unit_test(test_updates_take_no_memory),
        cmocka_unit_test(test_unread_is_what_is_behind_the_noted_cursor),
    };
    return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
