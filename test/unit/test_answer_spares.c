/* Answers that are kept for the next ones: how many, how much of each, and for how long. */
#include <stdlib.h>
#include <string.h>

#include <herd/err.h>

#include "places/answer_spares.h"
#include "testing.h"

enum { MANY = 1000, LONG_RESULT_BYTES = 3000, SHORT_RESULT_BYTES = 10 };

enum {
    ROUGHLY_BYTES = 1024, /* of an answer without its texts, and to spare */
    KEPT_MAX_BYTES = ANSWER_SPARES_MAX * (ANSWER_SPARES_RESULTS_BYTES +
                                          ANSWER_SPARES_ATTRIBUTIONS_BYTES + ROUGHLY_BYTES)
};

static void add_results(struct places_answer *answer, size_t count, size_t len)
{
    char *object = malloc(len);
    assert_non_null(object);
    memset(object, 'x', len);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(places_answer_add_rendered(answer, herd_slice(object, len)), 0);
    assert_int_equal(places_answer_add_rendered_attribution(answer, herd_slice_of("\"somebody\"")),
                     0);
    free(object);
}

static struct places_answer *long_answer(struct answer_spares *spares)
{
    struct places_answer *answer = answer_spares_take(spares, PLACES_OK);
    add_results(answer, PLACES_RESULTS_MAX, LONG_RESULT_BYTES);
    return answer;
}

static char *rendered(const struct places_answer *answer)
{
    struct herd_buf out = {0};
    assert_int_equal(places_answer_render(answer, PLACES_RESULTS_MAX, &out), 0);
    return testing_take_text(&out);
}

static void assert_same(const struct places_answer *answer, const struct places_answer *expected)
{
    char *text = rendered(answer), *expected_text = rendered(expected);
    assert_string_equal(text, expected_text);
    free(text);
    free(expected_text);
}

/* Whatever was under way, so much is kept. */
static void test_a_bound(void **state)
{
    (void)state;
    static struct places_answer *answers[MANY];
    struct answer_spares *spares = answer_spares_new();
    assert_non_null(spares);
    assert_int_equal(answer_spares_bytes(spares), 0);
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < MANY; i++)
            answers[i] = long_answer(spares);
        assert_int_equal(answer_spares_bytes(spares), 0);
        for (size_t i = 0; i < MANY; i++)
            places_answer_unref(answers[i]);
        size_t kept = answer_spares_bytes(spares);
        assert_in_range(kept, ANSWER_SPARES_MAX * PLACES_RESULTS_MAX * LONG_RESULT_BYTES,
                        KEPT_MAX_BYTES);
    }
    answer_spares_close(spares);
}

/* An answer is kept, but not texts that are longer than most. */
static void test_long_texts_are_not_kept(void **state)
{
    (void)state;
    struct answer_spares *spares = answer_spares_new();
    for (size_t i = 0; i < ANSWER_SPARES_MAX; i++) {
        struct places_answer *answer = answer_spares_take(spares, PLACES_OK);
        add_results(answer, PLACES_RESULTS_MAX, ANSWER_SPARES_RESULTS_BYTES / 4);
        for (int credits = 0; credits < 500; credits++)
            assert_int_equal(places_answer_add_attribution(answer, "somebody else"), 0);
        assert_true(places_answer_bytes(answer) > 5 * ANSWER_SPARES_RESULTS_BYTES);
        places_answer_unref(answer);
    }
    assert_in_range(answer_spares_bytes(spares), 1, ANSWER_SPARES_MAX * ROUGHLY_BYTES);
    answer_spares_close(spares);
}

/* Nothing of what it was is left: of places, errors, failures, or that there was no memory. */
static void test_a_kept_one_is_new(void **state)
{
    (void)state;
    struct answer_spares *spares = answer_spares_new();
    struct places_answer *first = long_answer(spares);
    assert_int_equal(places_answer_set_error(first, "an error"), 0);
    places_answer_set_failure(first, (struct places_failure){7, true});
    places_answer_unref(first);
    struct places_answer *next = answer_spares_take(spares, PLACES_ZERO_RESULTS);
    assert_ptr_equal(next, first);
    assert_int_equal(places_answer_count(next), 0);
    assert_false(places_answer_is_long(next));
    assert_int_equal(places_answer_failure(next).retry_after_ms, -1);
    assert_false(places_answer_failure(next).is_final);
    struct places_answer *fresh = places_answer_new(PLACES_ZERO_RESULTS);
    assert_same(next, fresh);
    add_results(next, 2, SHORT_RESULT_BYTES);
    add_results(fresh, 2, SHORT_RESULT_BYTES);
    assert_same(next, fresh);
    places_answer_unref(fresh);
    places_answer_unref(next);
    answer_spares_close(spares);
}

/* What waits takes what it has to say, whoever had its memory before. */
static void test_what_waits_is_no_longer_than_its_texts(void **state)
{
    (void)state;
    struct answer_spares *spares = answer_spares_new();
    size_t total = 0;
    places_answer_unref(long_answer(spares));
    struct places_answer *answer = answer_spares_take(spares, PLACES_OK);
    add_results(answer, 1, SHORT_RESULT_BYTES);
    assert_true(places_answer_bytes(answer) > PLACES_RESULTS_MAX * LONG_RESULT_BYTES);
    places_answer_ref(answer);
    places_answer_trim(answer); /* another may count on what it takes */
    assert_true(places_answer_bytes(answer) > PLACES_RESULTS_MAX * LONG_RESULT_BYTES);
    places_answer_unref(answer);
    char *before = rendered(answer);
    places_answer_trim(answer);
    char *after = rendered(answer);
    assert_string_equal(after, before);
    assert_in_range(places_answer_bytes(answer), 1, ROUGHLY_BYTES);
    places_answer_keep(answer, &total);
    assert_int_equal(total, places_answer_bytes(answer));
    places_answer_trim(answer);
    places_answer_let_go(answer);
    assert_int_equal(total, 0);
    answer = long_answer(spares);
    places_answer_keep(answer, &total);
    places_answer_trim(answer); /* it is counted with what it takes */
    assert_int_equal(total, places_answer_bytes(answer));
    places_answer_let_go(answer);
    assert_int_equal(total, 0);
    free(before);
    free(after);
    answer_spares_close(spares);
}

/* AddressSanitizer sees what is left, and what is used after that. */
static void test_answers_outlive_their_spares(void **state)
{
    (void)state;
    struct answer_spares *spares = answer_spares_new();
    struct places_answer *first = long_answer(spares), *second = long_answer(spares);
    places_answer_unref(long_answer(spares));
    struct places_answer *without_spares = long_answer(NULL);
    answer_spares_close(spares);
    assert_same(first, without_spares);
    places_answer_unref(first);
    assert_same(second, without_spares);
    places_answer_unref(second);
    places_answer_unref(without_spares);
    answer_spares_close(NULL);
}

/* The fewest that were there since the last look were not needed. */
static void test_what_was_not_needed_goes(void **state)
{
    (void)state;
    struct answer_spares *spares = answer_spares_new();
    struct places_answer *answers[ANSWER_SPARES_MAX + 1];
    size_t kept = 0;
    for (size_t i = 0; i <= ANSWER_SPARES_MAX; i++)
        answers[i] = long_answer(spares);
    for (size_t i = 0; i <= ANSWER_SPARES_MAX; i++)
        places_answer_unref(answers[i]);
    size_t all = answer_spares_bytes(spares);
    assert_in_range(answer_spares_give_back(spares, &kept), LONG_RESULT_BYTES, all); /* one */
    assert_int_equal(kept, all);
    places_answer_unref(answer_spares_take(spares, PLACES_OK));
    kept = 1; /* it is added to that */
    assert_int_equal(answer_spares_give_back(spares, &kept), all - all / ANSWER_SPARES_MAX);
    assert_int_equal(kept, 1 + all / ANSWER_SPARES_MAX);
    assert_int_equal(answer_spares_give_back(spares, &kept), all / ANSWER_SPARES_MAX);
    assert_int_equal(answer_spares_bytes(spares), 0);
    places_answer_unref(long_answer(spares));
    answer_spares_close(spares);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_bound),
        cmocka_unit_test(test_long_texts_are_not_kept),
        cmocka_unit_test(test_a_kept_one_is_new),
        cmocka_unit_test(test_what_waits_is_no_longer_than_its_texts),
        cmocka_unit_test(test_answers_outlive_their_spares),
        cmocka_unit_test(test_what_was_not_needed_goes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
