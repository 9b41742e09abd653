#include <herd/buf.h>
#include <herd/err.h>

#include "check.h"
#include "core/rng.h"

static void test_slices_compare_as_bytes(void **state)
{
    static const struct {
        const char *a, *b;
        int order;
    } rows[] = {
        {"", "", 0},          {"", "a", -1},  {"a", "", 1},          {"a", "a", 0},
        {"a", "b", -1},       {"ab", "a", 1}, {"a", "ab", -1},       {"b", "ab", 1},
        {"\x7f", "\x80", -1}, {"A", "a", -1}, {"Hill", "Hill2", -1}, {"\xff", "a", 1},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct herd_slice a = herd_slice_of(rows[i].a), b = herd_slice_of(rows[i].b);
        int order = herd_slice_compare(a, b);
        CHECK_INT(("%s %s", rows[i].a, rows[i].b), (order > 0) - (order < 0), rows[i].order);
        CHECK_INT(("%s %s", rows[i].a, rows[i].b), herd_slice_equal(a, b), rows[i].order == 0);
    }
    assert_true(herd_slice_equal(herd_slice(NULL, 0), herd_slice("x", 0)));
    assert_int_equal(herd_slice_compare(herd_slice(NULL, 0), herd_slice("x", 0)), 0);
}

static void test_append_grows(void **state)
{
    (void)state;
    struct herd_buf buf = {0};
    assert_int_equal(herd_buf_append(&buf, NULL, 0), 0);
    assert_null(buf.data);
    assert_int_equal(herd_buf_append(&buf, "ab", 2), 0);
    assert_int_equal(herd_buf_append_text(&buf, "cd"), 0);
    assert_int_equal(herd_buf_append_slice(&buf, herd_slice("efgh", 2)), 0);
    CHECK_TEXT(("appended"), herd_buf_slice(&buf), "abcdef");
    assert_int_equal(herd_buf_append(&buf, "\0", 1), 0);
    CHECK_SLICE(("with a NUL"), herd_buf_slice(&buf), herd_slice("abcdef\0", 7));
    herd_buf_free(&buf);
    assert_null(buf.data);
    assert_int_equal(buf.len, 0);
    assert_int_equal(buf.cap, 0);
}

static void test_reserve_makes_room(void **state)
{
    (void)state;
    struct herd_buf buf = {0};
    assert_int_equal(herd_buf_reserve(&buf, 0), 0);
    assert_int_equal(buf.cap, 0);
    assert_int_equal(herd_buf_append(&buf, "x", 1), 0);
    for (size_t more = 1; more < 100000; more += 997) {
        assert_int_equal(herd_buf_reserve(&buf, more), 0);
        assert_true(buf.cap - buf.len >= more);
    }
    CHECK_TEXT(("kept"), herd_buf_slice(&buf), "x");
    herd_buf_free(&buf);
}

static void test_absurd_sizes_are_refused(void **state)
{
    (void)state;
    struct herd_buf buf = {0};
    assert_int_equal(herd_buf_append(&buf, "x", 1), 0);
    assert_int_equal(herd_buf_reserve(&buf, SIZE_MAX), HERD_ENOMEM);
    assert_int_equal(herd_buf_reserve(&buf, SIZE_MAX / 4), HERD_ENOMEM);
    CHECK_TEXT(("kept"), herd_buf_slice(&buf), "x");
    herd_buf_free(&buf);
}

static void test_printf_appends(void **state)
{
    (void)state;
    struct herd_buf buf = {0};
    assert_int_equal(herd_buf_printf(&buf, "%s", ""), 0);
    assert_int_equal(buf.len, 0);
    assert_int_equal(herd_buf_printf(&buf, "%d-%s", 42, "x"), 0);
    assert_int_equal(herd_buf_printf(&buf, "%*s|", 1000, "y"), 0);
    assert_int_equal(buf.len, 4 + 1001);
    CHECK_TEXT(("begin"), herd_slice(buf.data, 4), "42-x");
    CHECK_TEXT(("end"), herd_slice(buf.data + buf.len - 2, 2), "y|");
    herd_buf_free(&buf);
}

static void test_consume_drops_from_the_front(void **state)
{
    (void)state;
    struct herd_buf buf = {0};
    assert_int_equal(herd_buf_append_text(&buf, "abcdef"), 0);
    herd_buf_consume(&buf, 0);
    CHECK_TEXT(("0"), herd_buf_slice(&buf), "abcdef");
    herd_buf_consume(&buf, 2);
    CHECK_TEXT(("2"), herd_buf_slice(&buf), "cdef");
    herd_buf_consume(&buf, 4);
    assert_int_equal(buf.len, 0);
    herd_buf_free(&buf);
}

/* Random appends and consumes are what they are on a plain array. */
static void test_against_an_array(void **state)
{
    (void)state;
    enum { ARRAY_BYTES = 4096 };
    static char array[ARRAY_BYTES];
    struct rng rng = {7};
    struct herd_buf buf = {0};
    size_t len = 0;
    for (int step = 0; step < 20000; step++) {
        size_t n = rng_below(&rng, 300);
        if (rng_below(&rng, 2) == 0 && len + n <= ARRAY_BYTES) {
            for (size_t i = 0; i < n; i++)
                array[len + i] = (char)rng_next(&rng);
            assert_int_equal(herd_buf_append(&buf, array + len, n), 0);
            len += n;
        } else {
            n = n < len ? n : len;
            memmove(array, array + n, len - n);
            herd_buf_consume(&buf, n);
            len -= n;
        }
        CHECK_SLICE(("step %d", step), herd_buf_slice(&buf), herd_slice(array, len));
    }
    herd_buf_free(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slices_compare_as_bytes),
        cmocka_unit_test(test_append_grows),
        cmocka_unit_test(test_reserve_makes_room),
        cmocka_unit_test(test_absurd_sizes_are_refused),
        cmocka_unit_test(test_printf_appends),
        cmocka_unit_test(test_consume_drops_from_the_front),
        cmocka_unit_test(test_against_an_array),
    };
    return cmocka_run_group_tests_name("buf", tests, NULL, NULL);
}
