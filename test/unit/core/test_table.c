#include <herd/err.h>

#include "check.h"
#include "core/rng.h"
#include "core/table.h"

enum { INDICES = 20000 };

static bool holds(const struct table *table, uint32_t tag, uint32_t index)
{
    struct table_walk walk = table_walk(table, tag);
    uint32_t found;
    unsigned times = 0;
    while ((found = table_walk_next(&walk)) != TABLE_NONE)
        times += found == index;
    assert_true(times <= 1);
    return times == 1;
}

static void insert(struct table *table, uint32_t tag, uint32_t index)
{
    assert_int_equal(table_reserve(table), 0);
    table_insert(table, tag, index);
}

static void test_empty(void **state)
{
    struct table table;
    (void)state;
    assert_int_equal(table_init(&table), 0);
    struct table_walk walk = table_walk(&table, 0);
    assert_int_equal(table_walk_next(&walk), TABLE_NONE);
    assert_int_equal(table_walk_next(&walk), TABLE_NONE);
    assert_true(table_bytes(&table) > 0);
    table_close(&table);
}

/* Tag 0 and index 0 are like any others. */
static void test_zeros(void **state)
{
    struct table table;
    (void)state;
    assert_int_equal(table_init(&table), 0);
    insert(&table, 0, 0);
    assert_true(holds(&table, 0, 0));
    assert_false(holds(&table, 1, 0));
    table_remove(&table, 0, 0);
    assert_false(holds(&table, 0, 0));
    table_close(&table);
}

static void test_many_with_one_tag(void **state)
{
    struct table table;
    (void)state;
    assert_int_equal(table_init(&table), 0);
    for (uint32_t i = 0; i < 1000; i++)
        insert(&table, 0xffffffff, i);
    for (uint32_t i = 0; i < 1000; i++)
        assert_true(holds(&table, 0xffffffff, i));
    for (uint32_t i = 0; i < 1000; i += 2)
        table_remove(&table, 0xffffffff, i);
    for (uint32_t i = 0; i < 1000; i++)
        assert_int_equal(holds(&table, 0xffffffff, i), i % 2);
    table_close(&table);
}

/* While it grows, what was there and what is new are both found at every step. */
static void test_growing(void **state)
{
    struct table table;
    struct rng rng = {51};
    static uint32_t tags[INDICES];
    unsigned growths = 0;
    (void)state;
    assert_int_equal(table_init(&table), 0);
    for (uint32_t i = 0; i < INDICES; i++) {
        bool grew_before = table.old.slots != NULL;
        tags[i] = (uint32_t)rng_next(&rng);
        insert(&table, tags[i], i);
        growths += table.old.slots != NULL && !grew_before;
        assert_int_equal(table.count, i + 1);
        for (int probe = 0; probe < 8; probe++) {
            uint32_t j = (uint32_t)rng_below(&rng, i + 1);
            assert_true(holds(&table, tags[j], j));
        }
        assert_true(holds(&table, tags[0], 0) && holds(&table, tags[i], i));
    }
    assert_true(growths >= 8); /* 64 slots to 32,768, a few at a time */
    for (uint32_t i = 0; i < INDICES; i++)
        assert_true(holds(&table, tags[i], i));
    table_close(&table);
}

/* Tags spread over the table, but for runs of 32 that begin at one place. */
static uint32_t large_tag(uint32_t i)
{
    return i / 32 * 2654435761u;
}

/* A table large enough to give its memory back in pieces while it grows: nothing is lost. */
static void test_growing_large(void **state)
{
    enum { LARGE = 450000 };
    struct table table;
    struct rng rng = {55};
    size_t released = 0, touched = 0;
    (void)state;
    assert_int_equal(table_init(&table), 0);
    for (uint32_t i = 0; i < LARGE; i++) {
        insert(&table, large_tag(i), i);
        for (int probe = 0; probe < 2; probe++) {
            uint32_t j = (uint32_t)rng_below(&rng, i + 1);
            assert_true(holds(&table, large_tag(j), j));
        }
        if (table.old.slots != NULL && table.released > released)
            released = table.released;
        if (table.next.slots != NULL)
            touched = table.touched;
    }
    CHECK_TRUE(("%zu", released), released >= 3u << 20); /* of 4 MiB */
    CHECK_TRUE(("%zu", touched), touched == 8u << 20);   /* of the next, before it was used */
    for (uint32_t i = 0; i < LARGE; i++)
        assert_true(holds(&table, large_tag(i), i));
    table_close(&table);
}

static void check_all(const struct table *table, const uint32_t *tags, const bool *there)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < INDICES; i++) {
        CHECK_INT(("index %u", i), holds(table, tags[i], i), there[i]);
        count += there[i];
    }
    assert_int_equal(table->count, count);
}

/* Random inserts and removals, of tags that collide, against an array of flags. */
static void against_flags(uint64_t seed, uint32_t tag_mask, bool crowd_the_end)
{
    static uint32_t tags[INDICES];
    static bool there[INDICES];
    struct table table;
    struct rng rng = {seed};
    memset(there, 0, sizeof(there));
    assert_int_equal(table_init(&table), 0);
    for (uint32_t i = 0; i < INDICES; i++) {
        tags[i] = ((uint32_t)rng_next(&rng) & tag_mask) * 2654435761u; /* spread over the table */
        if (crowd_the_end) /* runs of slots that go round the end of the table */
            tags[i] = 0xfffffff0u + tags[i] % 32;
    }
    /* Phases that mostly insert and mostly remove, so that it grows while it is full of gaps. */
    for (int step = 0; step < 60000; step++) {
        uint32_t i = (uint32_t)rng_below(&rng, crowd_the_end ? 500 : INDICES);
        bool insert_next = rng_below(&rng, 10) < (step / 5000 % 3 == 2 ? 2 : 8);
        if (insert_next && !there[i]) {
            insert(&table, tags[i], i);
            there[i] = true;
        } else if (!insert_next && there[i]) {
            table_remove(&table, tags[i], i);
            there[i] = false;
        }
        CHECK_INT(("step %d, index %u", step, i), holds(&table, tags[i], i), there[i]);
        if (step % 10000 == 9999)
            check_all(&table, tags, there);
    }
    check_all(&table, tags, there);
    table_close(&table);
}

static void test_inserts_and_removals(void **state)
{
    (void)state;
    against_flags(52, UINT32_MAX, false);
    against_flags(53, 0xfff, false);
    against_flags(54, UINT32_MAX, true);
}

/* A removal from the half that is being emptied must not hide what stands behind it. */
static void test_removal_while_growing(void **state)
{
    (void)state;
    for (uint32_t gone = 0; gone < 48; gone++) {
        struct table table;
        assert_int_equal(table_init(&table), 0);
        for (uint32_t i = 0; i < 49; i++)
            insert(&table, 60 + i % 3, i); /* one run of slots, round the end */
        assert_non_null(table.old.slots);
        table_remove(&table, 60 + gone % 3, gone);
        for (uint32_t i = 0; i < 49; i++)
            CHECK_INT(("%u gone, %u", gone, i), holds(&table, 60 + i % 3, i), i != gone);
        for (uint32_t i = 49; i < 200; i++)
            insert(&table, 60 + i % 3, i);
        assert_false(holds(&table, 60 + gone % 3, gone));
        table_close(&table);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_zeros),
        cmocka_unit_test(test_many_with_one_tag),
        cmocka_unit_test(test_growing),
        cmocka_unit_test(test_growing_large),
        cmocka_unit_test(test_inserts_and_removals),
        cmocka_unit_test(test_removal_while_growing),
    };
    return cmocka_run_group_tests_name("table", tests, NULL, NULL);
}
