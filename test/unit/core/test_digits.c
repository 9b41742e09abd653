/* What reads eight bytes at a time against plain code that reads one, on texts that end where their
 * memory ends (which AddressSanitizer watches). */
#include <herd/err.h>
#include <herd/geo.h>
#include <herd/posix_time.h>
#include <herd/proto.h>

#include "check.h"
#include "core/digits.h"
#include "core/rng.h"

enum { ROUNDS = 200000, TEXT_MAX = 40 };

/* A text of its own allocation, from letters of an alphabet that is mostly what is looked for. */
static struct herd_slice random_text(struct rng *rng, struct herd_slice alphabet)
{
    size_t len = rng_below(rng, TEXT_MAX);
    size_t common = 1 + rng_below(rng, alphabet.len);
    char *text = malloc(len > 0 ? len : 1);
    assert_non_null(text);
    for (size_t i = 0; i < len; i++)
        text[i] = alphabet.data[rng_below(rng, rng_below(rng, 8) > 0 ? common : alphabet.len)];
    return herd_slice(text, len);
}

static void free_text(struct herd_slice text)
{
    free((char *)(uintptr_t)text.data);
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static size_t plain_digits(struct herd_slice text, size_t at)
{
    while (at < text.len && is_digit(text.data[at]))
        at++;
    return at;
}

static int plain_time(struct herd_slice text, int64_t *out_ns)
{
    size_t mark = plain_digits(text, 0);
    size_t end = mark < text.len && text.data[mark] == '.' ? plain_digits(text, mark + 1) : mark;
    if (mark == 0 || end < text.len || end == mark + 1)
        return HERD_ESYNTAX;
    __int128_t ns = 0;
    for (size_t i = 0; i < mark; i++) {
        ns = ns * 10 + (text.data[i] - '0');
        if (ns > INT64_MAX)
            return HERD_ERANGE;
    }
    for (size_t i = mark + 1; i < mark + 10; i++)
        ns = ns * 10 + (i < end ? text.data[i] - '0' : 0);
    *out_ns = (int64_t)ns;
    return ns > INT64_MAX ? HERD_ERANGE : 0;
}

static void test_times(void **state)
{
    struct rng rng = {71};
    unsigned valid = 0;
    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        struct herd_slice text = random_text(&rng, herd_slice_of("0123456789.:/ \xb1\x80"));
        int64_t expected = -1, got = -1;
        int rc = plain_time(text, &expected);
        CHECK_INT(("%.*s", (int)text.len, text.data), herd_time_parse(text, &got), rc);
        if (rc == 0)
            CHECK_INT(("%.*s", (int)text.len, text.data), got, expected);
        valid += rc == 0;
        free_text(text);
    }
    assert_true(valid > ROUNDS / 100);
}

/* Every pair of neighbouring digits and every place. */
static void test_digits_there_and_back(void **state)
{
    struct rng rng = {72};
    (void)state;
    for (uint32_t i = 0; i < 100000; i++) {
        uint32_t value = i < 10000 ? i * 10000 + 9999 - i : (uint32_t)rng_below(&rng, 100000000);
        char expected[16], text[8];
        snprintf(expected, sizeof(expected), "%08u", value);
        digits_store(text, digits_of(value));
        CHECK_TEXT(("%u", value), herd_slice(text, 8), expected);
        for (unsigned count = 1; count <= 8; count++)
            CHECK_INT(("%u, %u digits", value, count), digits_value(digits_load(text), count),
                      value / digits_power(8 - count));
    }
}

static void test_formatted_as_printf_would(void **state)
{
    struct rng rng = {73};
    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        int64_t ns = (int64_t)(rng_next(&rng) >> (1 + rng_below(&rng, 62)));
        char expected[64], text[HERD_TIME_TEXT_MAX];
        snprintf(expected, sizeof(expected), "-%lld.%09lld", (long long)(ns / HERD_NS_PER_S),
                 (long long)(ns % HERD_NS_PER_S));
        CHECK_TEXT(("%lld", (long long)ns), herd_slice(text, herd_time_format(ns, text)),
                   expected + 1);
        if (ns > 0)
            CHECK_TEXT(("-%lld", (long long)ns), herd_slice(text, herd_time_diff_format(-ns, text)),
                       expected);
    }
}

/* A decimal of a few random digits, also none; often of the length that decides. */
static size_t random_decimal(struct rng *rng, char *out)
{
    static const char *const wholes[] = {"89", "90",  "91",   "179",  "180", "181",
                                         "0",  "099", "8959", "9000", "",    "17959"};
    size_t len = 0;
    out[len++] = "+-+-+-+-x"[rng_below(rng, 9)];
    const char *whole = wholes[rng_below(rng, COUNT_OF(wholes))];
    memcpy(out + len, whole, strlen(whole));
    len += strlen(whole);
    if (rng_below(rng, 8) == 0)
        return len;
    out[len++] = '.';
    for (size_t digits = rng_below(rng, 20); digits > 0; digits--)
        out[len++] = (char)(rng_below(rng, 3) == 0 ? '0' + rng_below(rng, 10) : '0');
    return len;
}

/* Beside the poles and the date line as well: what is found quickly is what is found slowly. */
static void test_locations(void **state)
{
    struct rng rng = {74};
    struct herd_location at;
    unsigned quick = 0, valid = 0;
    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        char text[64];
        size_t len = random_decimal(&rng, text);
        len += random_decimal(&rng, text + len);
        len -= rng_below(&rng, 16) == 0;
        char *own = malloc(len);
        assert_non_null(own);
        memcpy(own, text, len);
        int rc = herd_location_parse(herd_slice(own, len), &at);
        size_t begins = herd_location_begins(herd_slice(own, len));
        CHECK_TRUE(("%.*s: %zu", (int)len, text, begins), begins < len || rc == 0);
        if (begins > 0 && begins < len)
            CHECK_INT(("%.*s: %zu", (int)len, text, begins),
                      herd_location_parse(herd_slice(own, begins), &at), 0);
        quick += begins == len;
        valid += rc == 0;
        free(own);
    }
    assert_true(quick > ROUNDS / 100 && valid > quick && valid < ROUNDS / 2);
}

/* Times of the usual length with a byte or two changed, and what stands behind them. */
static void test_usual_times(void **state)
{
    struct rng rng = {76};
    unsigned valid = 0;
    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        char text[HERD_TIME_USUAL_LEN + 1];
        for (size_t at = 0; at < sizeof(text); at++)
            text[at] = (char)('0' + rng_below(&rng, 10));
        text[10] = '.';
        if (rng_below(&rng, 2) == 0)
            text[rng_below(&rng, sizeof(text))] = "/:. 9\xb0"[rng_below(&rng, 6)];
        size_t len = sizeof(text) - rng_below(&rng, 3);
        char *own = malloc(len);
        assert_non_null(own);
        memcpy(own, text, len);
        int64_t expected = -1, got = -1;
        size_t usual = len < HERD_TIME_USUAL_LEN ? len : HERD_TIME_USUAL_LEN;
        int rc = plain_time(herd_slice(own, usual), &expected);
        bool begins = herd_time_begins(herd_slice(own, len), &got);
        CHECK_TRUE(("%.*s", (int)len, text), !begins || (rc == 0 && got == expected && len >= 20));
        valid += begins;
        free(own);
    }
    assert_true(valid > ROUNDS / 4);
}

/* The words of a line, by their bytes: 0x21 to 0x7e and 0x80 to 0xff. False at the end, and before
 * a word with a control byte. */
static bool plain_word(struct herd_slice *rest, struct herd_slice *word)
{
    size_t from = 0;
    while (from < rest->len && memchr(" \t\n\v\f\r", rest->data[from], 6) != NULL)
        from++;
    size_t to = from;
    while (to < rest->len && (unsigned char)rest->data[to] > ' ' && rest->data[to] != 0x7f)
        to++;
    if (to < rest->len && memchr(" \t\n\v\f\r", rest->data[to], 6) == NULL)
        return false;
    *word = herd_slice(rest->data + from, to - from);
    *rest = herd_slice(rest->data + to, rest->len - to);
    return to > from;
}

static void test_words(void **state)
{
    static const char bytes[] = "abc+.09~!\x80\xff\xa0 \t\n\v\f\r\x7f\x1f\x1b\x00\x08\x0e\x81";
    struct rng rng = {75};
    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        struct herd_slice text = random_text(&rng, herd_slice(bytes, sizeof(bytes) - 1));
        struct herd_slice plain = text, rest = text, expected, got;
        bool more = true;
        while (more) {
            more = plain_word(&plain, &expected);
            CHECK_INT(("round %d", i), herd_next_word(&rest, &got), more);
            if (more)
                CHECK_SLICE(("round %d", i), got, expected);
        }
        free_text(text);
    }
}

/* Names are read a word at a time, one of seven bytes being the longest that a word shows whole. */
static void test_flood_of_servers_with_names_of_any_length(void **state)
{
    static const char name[] = "Singletons", *const spaces[] = {" ", "  ", "\t"};
    struct herd_command command;
    char line[128];
    (void)state;
    for (int len = 1; len < (int)sizeof(name); len++) {
        for (size_t i = 0; i < COUNT_OF(spaces); i++) {
            snprintf(line, sizeof(line), "FLOOD%s%.*s%sc +1+1 1 1%s%.*s%s+0.5%s", spaces[i], len,
                     name, spaces[i], spaces[i], len, name, spaces[i], i > 0 ? spaces[i] : "");
            CHECK_INT(("%s", line), herd_command_parse(herd_slice_of(line), &command), 0);
            CHECK_SLICE(("%s", line), command.server, herd_slice(name, (size_t)len));
            CHECK_SLICE(("%s", line), command.record.origin, herd_slice(name, (size_t)len));
            CHECK_TEXT(("%s", line), command.record.client, "c");
            CHECK_TEXT(("%s", line), command.record.diff, "+0.5");
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_digits_there_and_back),
        cmocka_unit_test(test_formatted_as_printf_would),
        cmocka_unit_test(test_usual_times),
        cmocka_unit_test(test_locations),
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_flood_of_servers_with_names_of_any_length),
    };
    return cmocka_run_group_tests_name("digits", tests, NULL, NULL);
}
