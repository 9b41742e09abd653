/* The table, against flags and its own layout. Memory is short when a test says so: mmap and mremap
 * are wrapped. */
#include <sys/mman.h>

#include <herd/err.h>

#include "check.h"
#include "core/rng.h"
#include "core/table.h"

enum { INDICES = 20000 };

/* mmap has no place to hand state through. */
static bool memory_is_short;

void *__real_mmap(void *at, size_t bytes, int protection, int flags, int file, off_t offset);
void *__wrap_mmap(void *at, size_t bytes, int protection, int flags, int file, off_t offset);
void *__real_mremap(void *old, size_t old_bytes, size_t bytes, int flags, ...);
void *__wrap_mremap(void *old, size_t old_bytes, size_t bytes, int flags, ...);

void *__wrap_mmap(void *at, size_t bytes, int protection, int flags, int file, off_t offset)
{
    return memory_is_short ? MAP_FAILED : __real_mmap(at, bytes, protection, flags, file, offset);
}

void *__wrap_mremap(void *old, size_t old_bytes, size_t bytes, int flags, ...)
{
    return memory_is_short ? MAP_FAILED : __real_mremap(old, old_bytes, bytes, flags);
}

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
    memory_is_short = true;
    assert_int_equal(table_init(&table), HERD_ENOMEM);
    memory_is_short = false;
    table_close(&table);
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

/* The layout, on which walks depend: by descending tags, each at its place or behind it with no free
 * slot between, and nothing in the last slot. */
static void check_layout(const struct table *table)
{
    uint32_t count = 0, free_slots = 0, tag = UINT32_MAX;
    for (uint32_t at = 0; at < table->capacity; at++) {
        const struct table_slot *slot = &table->slots[at];
        if (slot->entry == 0) {
            CHECK_INT(("slot %u", at), slot->tag, 0);
            free_slots = at + 1;
            continue;
        }
        count++;
        CHECK_TRUE(("slot %u", at), slot->tag <= tag);
        tag = slot->tag;
        uint32_t place = table_place(table, tag);
        CHECK_TRUE(("slot %u, place %u", at, place), place <= at && place >= free_slots);
    }
    CHECK_INT(("count"), count, table->count);
    CHECK_INT(("last slot free"), free_slots, table->capacity);
}

static void many_with_one_tag(uint32_t tag)
{
    struct table table;
    assert_int_equal(table_init(&table), 0);
    for (uint32_t i = 0; i < 1000; i++)
        insert(&table, tag, i);
    check_layout(&table);
    for (uint32_t i = 0; i < 1000; i++)
        assert_true(holds(&table, tag, i));
    for (uint32_t i = 0; i < 1000; i += 2)
        table_remove(&table, tag, i);
    check_layout(&table);
    for (uint32_t i = 0; i < 1000; i++)
        assert_int_equal(holds(&table, tag, i), i % 2);
    for (uint32_t i = 1; i < 1000; i += 2)
        table_remove(&table, tag, i);
    check_layout(&table);
    table_close(&table);
}

static void test_many_with_one_tag(void **state)
{
    (void)state;
    many_with_one_tag(UINT32_MAX);
    many_with_one_tag(UINT32_MAX / 3);
    many_with_one_tag(0); /* at the end of the table, beyond all places */
}

/* While it grows, what was there and what is new are both found at every step. */
static void test_growing(void **state)
{
    struct table table;
    struct rng rng = {51};
    static uint32_t tags[INDICES];
    unsigned level = 0;
    (void)state;
    assert_int_equal(table_init(&table), 0);
    for (uint32_t i = 0; i < INDICES; i++) {
        tags[i] = (uint32_t)rng_next(&rng);
        insert(&table, tags[i], i);
        assert_in_range(table.level, level, level + 1);
        level = table.level;
        assert_int_equal(table.count, i + 1);
        for (int probe = 0; probe < 8; probe++) {
            uint32_t j = (uint32_t)rng_below(&rng, i + 1);
            assert_true(holds(&table, tags[j], j));
        }
        assert_true(holds(&table, tags[0], 0) && holds(&table, tags[i], i));
        if (i % 100 == 0)
            check_layout(&table);
    }
    CHECK_TRUE(("%u levels", level), level >= 24); /* 256 slots to 28,000, four sizes a doubling */
    for (uint32_t i = 0; i < INDICES; i++)
        assert_true(holds(&table, tags[i], i));
    table_close(&table);
}

/* Slots in use, free ones between them, and no more: of any number of records, and of fewer again
 * an eighth more. */
static void check_size(const struct table *table, uint32_t count, bool fewer_again)
{
    uint64_t least = count + (uint64_t)count * 2 / 5, most = least;
    if (fewer_again)
        most += count / 8 + (uint64_t)count / 8 * 2 / 5;
    if (table->size > 256) /* the smallest */
        CHECK_TRUE(("%u records, size %u", count, table->size), table->size <= most + 64);
    CHECK_TRUE(("%u records, size %u", count, table->size), table->size + 64 >= least);
    /* Memory there may be for the next level but one, of which most has not been touched. */
    CHECK_TRUE(("%u records, %zu slots", count, table->capacity),
               table->capacity <= most * 16 / 10 + 2048);
}

static void test_size_follows_the_count(void **state)
{
    enum { MOST = 300000 };
    struct table table;
    (void)state;
    assert_int_equal(table_init(&table), 0);
    size_t first = table_bytes(&table);
    for (uint32_t i = 0; i < MOST; i++) {
        insert(&table, i * 2654435761u, i);
        check_size(&table, i + 1, false);
    }
    check_layout(&table);
    for (uint32_t i = MOST; i-- > 0;) {
        uint32_t index = i * 7919u % MOST; /* in no order of theirs */
        table_remove(&table, index * 2654435761u, index);
        assert_false(holds(&table, index * 2654435761u, index));
        check_size(&table, i, true);
        if (i % 10000 == 0)
            check_layout(&table);
    }
    assert_int_equal(table.count, 0);
    CHECK_TRUE(("%zu bytes, %zu at first", table_bytes(&table), first),
               table_bytes(&table) <= 2 * first);
    table_close(&table);
}

/* Records that come and go around any number move nothing. */
static void test_no_flapping(void **state)
{
    struct table table;
    (void)state;
    assert_int_equal(table_init(&table), 0);
    for (uint32_t i = 0; i < INDICES; i++) {
        insert(&table, i * 2654435761u, i);
        if (i < 1000 || i % 16 != 0)
            continue;
        uint32_t size = table.size;
        for (uint32_t gone = 0; gone < i / 16; gone++)
            table_remove(&table, gone * 2654435761u, gone);
        CHECK_INT(("%u records", i), table.size, size);
        for (uint32_t gone = 0; gone < i / 16; gone++)
            insert(&table, gone * 2654435761u, gone);
        CHECK_TRUE(("%u records", i), table.size == size || table.size <= (i + 1) * 7 / 5);
    }
    table_close(&table);
}

/* While there is no memory it serves on as long as it can, then says so; once there is some again,
 * it grows no faster than usual. */
static void test_memory_is_short(void **state)
{
    struct table table;
    uint32_t count = 0;
    (void)state;
    assert_int_equal(table_init(&table), 0);
    for (int round = 0; round < 6; round++) {
        memory_is_short = true;
        while (table_reserve(&table) == 0) {
            table_insert(&table, count * 2654435761u, count);
            count++;
        }
        CHECK_INT(("of %u", table.many), count, table.many / 16 * 15); /* more would be slow */
        check_layout(&table);
        memory_is_short = false;
        for (uint32_t end = count + count / 2; count < end; count++) {
            uint32_t size = table.size;
            insert(&table, count * 2654435761u, count);
            CHECK_TRUE(("%u to %u", size, table.size), table.size - size <= 64);
        }
        check_layout(&table);
        CHECK_TRUE(("%u of %u", count, table.size), table.size + 32 >= count + count * 2 / 5);
    }
    for (uint32_t i = 0; i < count; i++)
        assert_true(holds(&table, i * 2654435761u, i));
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
static void against_flags(uint64_t seed, uint32_t tag_mask, bool crowd_the_ends)
{
    static uint32_t tags[INDICES];
    static bool there[INDICES];
    struct table table;
    struct rng rng = {seed};
    memset(there, 0, sizeof(there));
    assert_int_equal(table_init(&table), 0);
    for (uint32_t i = 0; i < INDICES; i++) {
        tags[i] = ((uint32_t)rng_next(&rng) & tag_mask) * 2654435761u; /* spread over the table */
        if (crowd_the_ends)
            tags[i] = 0xfffffff0u + tags[i] % 32;
    }
    /* Phases that mostly insert and mostly remove, so that it grows while it is full of gaps. */
    for (int step = 0; step < 60000; step++) {
        uint32_t i = (uint32_t)rng_below(&rng, crowd_the_ends ? 500 : INDICES);
        bool insert_next = rng_below(&rng, 10) < (step / 5000 % 3 == 2 ? 2 : 8);
        if (insert_next && !there[i]) {
            insert(&table, tags[i], i);
            there[i] = true;
        } else if (!insert_next && there[i]) {
            table_remove(&table, tags[i], i);
            there[i] = false;
        }
        CHECK_INT(("step %d, index %u", step, i), holds(&table, tags[i], i), there[i]);
        if (step % 1000 == 999)
            check_layout(&table);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_zeros),
        cmocka_unit_test(test_many_with_one_tag),
        cmocka_unit_test(test_growing),
        cmocka_unit_test(test_size_follows_the_count),
        cmocka_unit_test(test_no_flapping),
        cmocka_unit_test(test_memory_is_short),
        cmocka_unit_test(test_inserts_and_removals),
    };
    return cmocka_run_group_tests_name("table", tests, NULL, NULL);
}
