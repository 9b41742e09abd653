#include "check.h"
#include "core/arena.h"
#include "core/rng.h"

enum { LARGEST_CLASS = ARENA_STEP_BYTES * ARENA_CLASSES };

static void test_classes(void **state)
{
    static const struct {
        size_t a, b;
        bool same;
    } rows[] = {
        {1, 1, true},        {1, 8, true},       {8, 9, false},       {9, 16, true},
        {32, 33, false},     {1024, 1017, true}, {1024, 1025, false}, {1025, 1032, true},
        {4000, 4001, false}, {3993, 4000, true},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        CHECK_INT(("%zu %zu", rows[i].a, rows[i].b), arena_same_class(rows[i].a, rows[i].b),
                  rows[i].same);
        CHECK_INT(("%zu %zu", rows[i].b, rows[i].a), arena_same_class(rows[i].b, rows[i].a),
                  rows[i].same);
    }
}

static void test_released_room_is_used_again(void **state)
{
    struct arena arena = {0};
    (void)state;
    arena_ref first = arena_alloc(&arena, 20);
    assert_int_not_equal(first, ARENA_NONE);
    arena_release(&arena, first, 20);
    assert_int_equal(arena_alloc(&arena, 24), first);
    assert_int_not_equal(arena_alloc(&arena, 24), first);
    arena_close(&arena);
    assert_int_equal(arena.bytes, 0);
}

static void test_bytes_held(void **state)
{
    struct arena arena = {0};
    (void)state;
    assert_int_not_equal(arena_alloc(&arena, 1), ARENA_NONE);
    assert_int_equal(arena.bytes, ARENA_CHUNK_BYTES);
    for (size_t len = LARGEST_CLASS; len < ARENA_CHUNK_BYTES; len += LARGEST_CLASS)
        assert_int_not_equal(arena_alloc(&arena, LARGEST_CLASS), ARENA_NONE);
    assert_int_equal(arena.bytes, ARENA_CHUNK_BYTES);
    assert_int_not_equal(arena_alloc(&arena, LARGEST_CLASS), ARENA_NONE);
    assert_int_equal(arena.bytes, 2 * ARENA_CHUNK_BYTES);
    arena_close(&arena);
}

static void test_texts_are_aligned(void **state)
{
    struct arena arena = {0};
    struct rng rng = {61};
    (void)state;
    for (int i = 0; i < 2000; i++) {
        arena_ref ref = arena_alloc(&arena, 1 + rng_below(&rng, LARGEST_CLASS));
        assert_int_equal((uintptr_t)arena_text(&arena, ref) % ARENA_STEP_BYTES, 0);
    }
    arena_close(&arena);
}

struct text {
    arena_ref ref;
    char *bytes;
    size_t len;
    char fill;
};

static void check_text(const struct text *text)
{
    for (size_t i = 0; i < text->len; i++)
        assert_int_equal(text->bytes[i], text->fill);
}

/* Texts of all sizes come and go, and none writes over another; the room of those that went is
 * enough for those that come. */
static void test_texts_keep_their_bytes(void **state)
{
    enum { TEXTS = 400 };
    static struct text texts[TEXTS];
    struct arena arena = {0};
    struct rng rng = {62};
    (void)state;
    for (int step = 0; step < 100000; step++) {
        struct text *text = &texts[rng_below(&rng, TEXTS)];
        if (text->bytes != NULL) {
            check_text(text);
            arena_release(&arena, text->ref, text->len);
        }
        text->len = 1 + rng_below(&rng, rng_below(&rng, 4) == 0 ? 4025 : 200);
        text->fill = (char)step;
        text->ref = arena_alloc(&arena, text->len);
        assert_int_not_equal(text->ref, ARENA_NONE);
        text->bytes = arena_text(&arena, text->ref);
        memset(text->bytes, text->fill, text->len);
    }
    assert_true(arena.bytes < 16u * ARENA_CHUNK_BYTES);
    for (size_t i = 0; i < TEXTS; i++) {
        if (texts[i].bytes == NULL)
            continue;
        check_text(&texts[i]);
        arena_release(&arena, texts[i].ref, texts[i].len);
    }
    arena_close(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_classes),
        cmocka_unit_test(test_released_room_is_used_again),
        cmocka_unit_test(test_bytes_held),
        cmocka_unit_test(test_texts_are_aligned),
        cmocka_unit_test(test_texts_keep_their_bytes),
    };
    return cmocka_run_group_tests_name("arena", tests, NULL, NULL);
}
