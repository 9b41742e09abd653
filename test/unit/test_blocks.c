/* Pieces of memory of one size that are kept for the next: how many, and that none is had twice. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/blocks.h"
#include "testing.h"

enum { SIZE = 40, MAX = 10, MANY = 3 * MAX };

static void test_so_many_are_kept(void **state)
{
    (void)state;
    struct blocks blocks = {.size = SIZE, .max = MAX};
    void *taken[MANY];
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < MANY; i++) {
            taken[i] = blocks_take(&blocks);
            assert_non_null(taken[i]);
            memset(taken[i], i, SIZE);
        }
        assert_int_equal(blocks.count, 0);
        for (int i = 0; i < MANY; i++) {
            for (size_t byte = 0; byte < SIZE; byte++)
                assert_int_equal(((uint8_t *)taken[i])[byte], i);
            blocks_keep(&blocks, taken[i]);
            assert_int_equal(blocks.count, i < MAX ? i + 1 : MAX);
        }
    }
    blocks_keep(&blocks, NULL);
    assert_int_equal(blocks.count, MAX);
    blocks_free(&blocks);
    assert_int_equal(blocks.count, 0);
    assert_null(blocks.first);
}

static void test_the_last_one_is_had_first(void **state)
{
    (void)state;
    struct blocks blocks = {.size = SIZE, .max = MAX};
    void *first = blocks_take(&blocks), *second = blocks_take(&blocks);
    blocks_keep(&blocks, first);
    blocks_keep(&blocks, second);
    assert_ptr_equal(blocks_take(&blocks), second);
    assert_ptr_equal(blocks_take(&blocks), first);
    blocks_keep(&blocks, second);
    free(first); /* as who takes one may */
    blocks_free(&blocks);
}

/* The fewest that were there since the last look were not needed. */
static void test_what_was_not_needed_goes(void **state)
{
    (void)state;
    struct blocks blocks = {.size = SIZE, .max = MAX};
    void *taken[MANY];
    size_t kept = 0;
    for (int i = 0; i < MANY; i++)
        taken[i] = blocks_take(&blocks);
    for (int i = 0; i < MANY; i++)
        blocks_keep(&blocks, taken[i]);
    assert_int_equal(blocks_give_back(&blocks, &kept), (MANY - MAX) * SIZE); /* freed at once */
    assert_int_equal(kept, MAX * SIZE);
    for (int i = 0; i < 3; i++)
        taken[i] = blocks_take(&blocks);
    for (int i = 0; i < 3; i++)
        blocks_keep(&blocks, taken[i]);
    kept = 1; /* it is added to that */
    assert_int_equal(blocks_give_back(&blocks, &kept), (MAX - 3) * SIZE);
    assert_int_equal(kept, 1 + 3 * SIZE);
    assert_int_equal(blocks_give_back(&blocks, &kept), 3 * SIZE);
    assert_int_equal(blocks.count, 0);
    assert_null(blocks.first);
    assert_int_equal(blocks_give_back(&blocks, &kept), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_so_many_are_kept),
        cmocka_unit_test(test_the_last_one_is_had_first),
        cmocka_unit_test(test_what_was_not_needed_goes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
