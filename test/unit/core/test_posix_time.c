#include <herd/err.h>
#include <herd/posix_time.h>

#include "check.h"
#include "core/rng.h"

static void test_parse(void **state)
{
    static const struct {
        const char *text;
        int rc;
        int64_t ns;
    } rows[] = {
        {"0", 0, 0},
        {"1", 0, HERD_NS_PER_S},
        {"1.0", 0, HERD_NS_PER_S},
        {"0.1", 0, 100000000},
        {"0.000000001", 0, 1},
        {"0.0000000019", 0, 1},
        {"0.000000000999999", 0, 0},
        {"1400794645.392014450", 0, 1400794645392014450},
        {"1479413884.392014450", 0, 1479413884392014450},
        {"1621464827.959498503", 0, 1621464827959498503},
        {"1621464827.9594985", 0, 1621464827959498500},
        {"1621464827.95949850399", 0, 1621464827959498503},
        {"1621464827", 0, 1621464827000000000},
        {"0001.5", 0, 1500000000},
        {"00000000000000000000000000000000001.5", 0, 1500000000},
        {"1.5000000000000000000000000000000000000000", 0, 1500000000},
        /* 2^63 - 1 ns is in the year 2262. */
        {"9223372036", 0, INT64_C(9223372036000000000)},
        {"9223372036.854775806", 0, INT64_MAX - 1},
        {"9223372036.854775807", 0, INT64_MAX},
        {"9223372036.8547758079", 0, INT64_MAX},
        {"9223372036.854775808", HERD_ERANGE, 0},
        {"9223372036.9", HERD_ERANGE, 0},
        {"9223372037", HERD_ERANGE, 0},
        {"10000000000", HERD_ERANGE, 0},
        {"18446744073709551616", HERD_ERANGE, 0},
        {"99999999999999999999999999999999999999999", HERD_ERANGE, 0},
        {"", HERD_ESYNTAX, 0},
        {".", HERD_ESYNTAX, 0},
        {".5", HERD_ESYNTAX, 0},
        {"5.", HERD_ESYNTAX, 0},
        {"1..5", HERD_ESYNTAX, 0},
        {"1.5.5", HERD_ESYNTAX, 0},
        {"+1", HERD_ESYNTAX, 0},
        {"-1", HERD_ESYNTAX, 0},
        {"-0", HERD_ESYNTAX, 0},
        {"1e9", HERD_ESYNTAX, 0},
        {"1.5e3", HERD_ESYNTAX, 0},
        {"0x10", HERD_ESYNTAX, 0},
        {"1,5", HERD_ESYNTAX, 0},
        {" 1", HERD_ESYNTAX, 0},
        {"1 ", HERD_ESYNTAX, 0},
        {"1.+5", HERD_ESYNTAX, 0},
        {"inf", HERD_ESYNTAX, 0},
        {"nan", HERD_ESYNTAX, 0},
        {"\xd9\xa1", HERD_ESYNTAX, 0}, /* an Arabic digit one */
        {"99999999999999999999x", HERD_ESYNTAX, 0},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        int64_t ns = -1;
        CHECK_INT(("%s", rows[i].text), herd_time_parse(herd_slice_of(rows[i].text), &ns),
                  rows[i].rc);
        if (rows[i].rc == 0)
            CHECK_INT(("%s", rows[i].text), ns, rows[i].ns);
    }
}

static void test_nul_is_no_digit(void **state)
{
    int64_t ns;
    (void)state;
    assert_int_equal(herd_time_parse(herd_slice("1\0", 2), &ns), HERD_ESYNTAX);
    assert_int_equal(herd_time_parse(herd_slice("1.5\0", 4), &ns), HERD_ESYNTAX);
}

static void test_format(void **state)
{
    static const struct {
        int64_t ns;
        const char *text;
    } rows[] = {
        {0, "0.000000000"},
        {1, "0.000000001"},
        {999999999, "0.999999999"},
        {HERD_NS_PER_S, "1.000000000"},
        {1700000000000000001, "1700000000.000000001"},
        {INT64_MAX, "9223372036.854775807"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char text[HERD_TIME_TEXT_MAX];
        size_t len = herd_time_format(rows[i].ns, text);
        CHECK_TEXT(("%s", rows[i].text), herd_slice(text, len), rows[i].text);
    }
}

static void test_format_difference(void **state)
{
    static const struct {
        int64_t ns;
        const char *text;
    } rows[] = {
        {0, "+0.000000000"},
        {1, "+0.000000001"},
        {-1, "-0.000000001"},
        {263873386, "+0.263873386"},
        {-12000, "-0.000012000"},
        {-HERD_NS_PER_S, "-1.000000000"},
        {INT64_MAX, "+9223372036.854775807"},
        {-INT64_MAX, "-9223372036.854775807"},
        {INT64_MIN, "-9223372036.854775808"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char text[HERD_TIME_TEXT_MAX];
        struct herd_slice got = herd_slice(text, herd_time_diff_format(rows[i].ns, text));
        CHECK_TEXT(("%s", rows[i].text), got, rows[i].text);
        assert_true(herd_time_diff_valid(got));
    }
}

static void test_difference_valid(void **state)
{
    static const struct {
        const char *text;
        bool valid;
    } rows[] = {
        {"+0", true},
        {"-0", true},
        {"+0.0", true},
        {"-12.5", true},
        {"+0.263873386", true},
        {"+99999999999999999999.1", true},
        {"", false},
        {"+", false},
        {"-", false},
        {"0.5", false},
        {"+.5", false},
        {"+5.", false},
        {"++5", false},
        {"+-5", false},
        {"+5x", false},
        {"+5 ", false},
        {"+1e3", false},
        {"+nan", false},
        {"-9.000000000", true},
        {"+0x263873386", false},
        {"+x.263873386", false},
        {"+0.26387338x", false},
        {"+0.x63873386", false},
        {"+0.2638733/6", false},
        {"+:.263873386", false},
        {" 0.263873386", false},
        {"+12.63873386", true},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        CHECK_INT(("%s", rows[i].text), herd_time_diff_valid(herd_slice_of(rows[i].text)),
                  rows[i].valid);
}

static void test_what_is_formatted_parses_to_the_same(void **state)
{
    struct rng rng = {11};
    (void)state;
    for (int i = 0; i < 100000; i++) {
        int64_t ns = (int64_t)(rng_next(&rng) >> (1 + rng_below(&rng, 62)));
        int64_t again = -1;
        char text[HERD_TIME_TEXT_MAX];
        size_t len = herd_time_format(ns, text);
        CHECK_INT(("%lld", (long long)ns), herd_time_parse(herd_slice(text, len), &again), 0);
        CHECK_INT(("%lld", (long long)ns), again, ns);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_nul_is_no_digit),
        cmocka_unit_test(test_format),
        cmocka_unit_test(test_format_difference),
        cmocka_unit_test(test_difference_valid),
        cmocka_unit_test(test_what_is_formatted_parses_to_the_same),
    };
    return cmocka_run_group_tests_name("posix_time", tests, NULL, NULL);
}
