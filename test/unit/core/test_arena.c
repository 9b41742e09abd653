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
        {1, 1, true},       {1, 8, true},        {8, 9, true},       {16, 17, false},
        {9, 16, true},      {32, 33, false},     {1024, 1017, true}, {1024, 1025, false},
        {1025, 1032, true}, {4000, 4001, false}, {3993, 4000, true},
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

enum { TEXTS = 3000 };

struct text {
    arena_ref ref;
    size_t len; /* 0: none */
    char fill;
};

/* Which one it is stands in front. */
static void write_text(const struct arena *arena, const struct text *text, uint32_t number)
{
    char *bytes = arena_text(arena, text->ref);
    memset(bytes, text->fill, text->len);
    bytes[0] = 't';
    memcpy(bytes + 1, &number, sizeof(number));
}

static void check_text(const struct arena *arena, const struct text *text, uint32_t number)
{
    const char *bytes = arena_text(arena, text->ref);
    assert_int_equal(bytes[0], 't');
    assert_memory_equal(bytes + 1, &number, sizeof(number));
    for (size_t i = 1 + sizeof(number); i < text->len; i++)
        assert_int_equal(bytes[i], text->fill);
}

static void move(struct arena *arena, struct text *texts)
{
    arena_ref ref;
    while ((ref = arena_next_to_move(arena)) != ARENA_NONE) {
        uint32_t number;
        memcpy(&number, arena_text(arena, ref) + 1, sizeof(number));
        assert_true(number < TEXTS);
        assert_int_equal(texts[number].ref, ref);
        texts[number].ref = arena_move(arena, ref, texts[number].len);
        check_text(arena, &texts[number], number);
    }
}

/* All bytes are counted once, and no more are held than may be. */
static void check_counts(const struct arena *arena, const struct text *texts)
{
    size_t live = 0, rest = ARENA_CHUNK_BYTES -
                            (size_t)arena->chunks[arena->newest - 1].used * ARENA_STEP_BYTES;
    for (uint32_t i = 0; texts != NULL && i < TEXTS; i++) {
        size_t steps = (texts[i].len + ARENA_STEP_BYTES - 1) / ARENA_STEP_BYTES;
        live += steps * ARENA_STEP_BYTES;
    }
    if (texts != NULL)
        assert_int_equal(arena->live, live);
    assert_int_equal(arena->bytes, arena->live + arena->idle + rest);
    assert_true(arena->bytes <= arena->live + arena->live / 8 + 4u * ARENA_CHUNK_BYTES);
}

/* Texts of all lengths come and go, and none writes over another one, wherever they move. Which
 * lengths there are, and how many texts, changes all the time. */
static void test_texts_keep_their_bytes(void **state)
{
    static struct text texts[TEXTS];
    struct arena arena = {0};
    struct rng rng = {62};
    (void)state;
    for (uint32_t step = 0; step < 400000; step++) {
        uint32_t number = (uint32_t)rng_below(&rng, TEXTS);
        struct text *text = &texts[number];
        size_t longest = step / 5000 % 3 == 0 ? LARGEST_CLASS : 60 + step / 50 % 400;
        if (text->len > 0) {
            check_text(&arena, text, number);
            arena_release(&arena, text->ref, text->len);
        }
        bool goes = step / 30000 % 4 == 3 && rng_below(&rng, 8) > 0;
        text->len = goes ? 0 : 9 + rng_below(&rng, longest - 9);
        text->fill = (char)step;
        if (text->len > 0) {
            text->ref = arena_alloc(&arena, text->len);
            assert_int_not_equal(text->ref, ARENA_NONE);
            write_text(&arena, text, number);
        }
        move(&arena, texts);
        check_counts(&arena, step % 1000 == 0 ? texts : NULL);
    }
    for (uint32_t i = 0; i < TEXTS; i++) {
        if (texts[i].len > 0)
            check_text(&arena, &texts[i], i);
    }
    arena_close(&arena);
}

/* Chunks that have gone leave their numbers to others. */
static void test_numbers_are_used_again(void **state)
{
    enum { LEN = 1000, COUNT = 2000, ROUNDS = 20 };
    static arena_ref refs[COUNT];
    struct arena arena = {0};
    (void)state;
    for (size_t round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < COUNT; i++) {
            refs[i] = arena_alloc(&arena, LEN + round * ARENA_STEP_BYTES);
            *arena_text(&arena, refs[i]) = 't';
        }
        for (size_t i = 0; i < COUNT; i++) {
            arena_release(&arena, refs[i], LEN + round * ARENA_STEP_BYTES);
            /* The newest go last, so that none ever has to move. */
            assert_int_equal(arena_next_to_move(&arena), ARENA_NONE);
        }
        check_counts(&arena, NULL);
    }
    assert_true(arena.chunk_count <=
                COUNT * (LEN + ROUNDS * ARENA_STEP_BYTES) / ARENA_CHUNK_BYTES + 4);
    arena_close(&arena);
    assert_int_equal(arena.bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_classes),
        cmocka_unit_test(test_released_room_is_used_again),
        cmocka_unit_test(test_bytes_held),
        cmocka_unit_test(test_texts_are_aligned),
        cmocka_unit_test(test_texts_keep_their_bytes),
        cmocka_unit_test(test_numbers_are_used_again),
    };
    return cmocka_run_group_tests_name("arena", tests, NULL, NULL);
}
