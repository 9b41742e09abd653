#include <stdlib.h>

#include "base/logfmt.h"
#include "testing.h"

struct text {
    struct logfmt line;
    char storage[LOGFMT_LINE_MAX_BYTES];
};

static void begin(struct text *text, size_t cap)
{
    logfmt_begin(&text->line, text->storage, cap);
}

static void assert_line(struct text *text, const char *expected)
{
    struct herd_buf bytes = {0};
    assert_int_equal(herd_buf_append(&bytes, text->line.bytes, text->line.len), 0);
    char *line = testing_take_text(&bytes);
    assert_string_equal(line, expected);
    free(line);
}

static void test_quoting(void **state)
{
    (void)state;
    static const struct {
        const char *value, *expected;
    } rows[] = {
        {"up", "up"},
        {"127.0.0.1:21401", "127.0.0.1:21401"},
        {"'a'{b};c,d|e", "'a'{b};c,d|e"},
        {"", "\"\""},
        {"two words", "\"two words\""},
        {"a=b", "\"a=b\""},
        {"say \"hi\"", "\"say \\\"hi\\\"\""},
        {"a\\b", "\"a\\\\b\""},
        {"a\nb\rc\td", "\"a\\nb\\rc\\td\""},
        {"\x1b[31m\x7f", "\"\\u001b[31m\\u007f\""},
        {"caf\xc3\xa9", "caf\xc3\xa9"},
        {"\xe2\x82\xac\xf0\x9f\x90\x91", "\xe2\x82\xac\xf0\x9f\x90\x91"},
        /* C1: U+009B is what ESC [ is, in one character */
        {"\xc2\x9b", "\"\\u009b\""},
        {"\xc2\xa0", "\xc2\xa0"},
        /* not UTF-8: alone, too long for its value, a surrogate, too large, cut off */
        {"\xff", "\"\\xff\""},
        {"a\x80z", "\"a\\x80z\""},
        {"\xc0\xaf", "\"\\xc0\\xaf\""},
        {"\xe0\x80\xaf", "\"\\xe0\\x80\\xaf\""},
        {"\xed\xa0\x80", "\"\\xed\\xa0\\x80\""},
        {"\xf4\x90\x80\x80", "\"\\xf4\\x90\\x80\\x80\""},
        {"\xf5\x80\x80\x80", "\"\\xf5\\x80\\x80\\x80\""},
        {"\xe2\x82", "\"\\xe2\\x82\""},
        {"\xe2\x82z", "\"\\xe2\\x82z\""},
        {"\xf0\x9f\x90 ", "\"\\xf0\\x9f\\x90 \""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct text text;
        begin(&text, sizeof text.storage);
        logfmt_pair(&text.line, "k", rows[i].value, strlen(rows[i].value));
        struct herd_buf expected = {0};
        assert_int_equal(herd_buf_printf(&expected, "k=%s", rows[i].expected), 0);
        char *line = testing_take_text(&expected);
        assert_line(&text, line);
        free(line);
    }
}

static void test_nul_is_escaped(void **state)
{
    (void)state;
    struct text text;
    begin(&text, sizeof text.storage);
    logfmt_pair(&text.line, "k", "a\0b", 3);
    assert_line(&text, "k=\"a\\u0000b\"");
}

static void test_fields(void **state)
{
    (void)state;
    static const struct {
        struct log_field field;
        const char *expected;
    } rows[] = {
        {{.key = "k", .kind = LOG_FIELD_TEXT, .text = "v"}, "k=v"},
        {{.key = "k", .kind = LOG_FIELD_TEXT, .text = NULL}, "k=\"\""},
        {{.key = "k", .kind = LOG_FIELD_BYTES, .text = "vwx", .len = 2}, "k=vw"},
        {{.key = "k", .kind = LOG_FIELD_BYTES, .text = NULL, .len = 0}, "k=\"\""},
        {{.key = "k", .kind = LOG_FIELD_INT, .number = -7}, "k=-7"},
        {{.key = "k", .kind = LOG_FIELD_INT, .number = INT64_MIN}, "k=-9223372036854775808"},
        {{.key = "k", .kind = LOG_FIELD_HEX, .number = 0xbeef}, "k=000000000000beef"},
        {{.key = "k", .kind = LOG_FIELD_HEX, .number = -1}, "k=ffffffffffffffff"},
        {{.key = "k", .kind = LOG_FIELD_MS, .number = 1250000}, "k=1.250ms"},
        {{.key = "k", .kind = LOG_FIELD_MS, .number = 999}, "k=0.000ms"},
        {{.key = "k", .kind = LOG_FIELD_MS, .number = -12345678901}, "k=-12345.678ms"},
        {{.key = "k", .kind = LOG_FIELD_MS, .number = INT64_MIN}, "k=-9223372036854.775ms"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct text text;
        begin(&text, sizeof text.storage);
        logfmt_field(&text.line, &rows[i].field);
        assert_line(&text, rows[i].expected);
    }
}

static void test_pairs_are_separated(void **state)
{
    (void)state;
    struct text text;
    begin(&text, sizeof text.storage);
    logfmt_raw(&text.line, "<6>");
    logfmt_pair(&text.line, "a", "1>", 2);
    logfmt_pair(&text.line, "b", "2", 1);
    logfmt_end(&text.line);
    assert_line(&text, "<6>a=1> b=2\n");
}

/* Whatever the room, a line is whole: every length of the value and every room is tried. */
static void test_a_long_line_is_cut(void **state)
{
    (void)state;
    enum { CAP = 64, VALUE_MAX = 80 };
    static const char *const units[] = {"v", "\n", "\xe2\x82\xac", " "};
    for (size_t unit = 0; unit < sizeof units / sizeof *units; unit++) {
        for (size_t count = 0; count < VALUE_MAX; count++) {
            struct herd_buf value = {0};
            for (size_t i = 0; i < count; i++)
                assert_int_equal(herd_buf_append_text(&value, units[unit]), 0);
            struct text text;
            begin(&text, CAP);
            logfmt_pair(&text.line, "key", value.data, value.len);
            logfmt_pair(&text.line, "next", "1", 1);
            logfmt_end(&text.line);
            herd_buf_free(&value);

            assert_true(text.line.len <= CAP);
            assert_int_equal(text.storage[text.line.len - 1], '\n');
            text.storage[text.line.len - 1] = '\0';
            assert_true(strstr(text.storage, " truncated=true") != NULL ||
                        strstr(text.storage, " next=1") != NULL);
            size_t quotes = 0;
            for (size_t i = 0; text.storage[i] != '\0'; i++)
                quotes += text.storage[i] == '"';
            assert_true(quotes == 0 || quotes == 2);
            assert_int_equal(strcspn(text.storage, "\n"), strlen(text.storage));
        }
    }
}

static void test_cut_value(void **state)
{
    (void)state;
    struct text text;
    begin(&text, 64);
    logfmt_pair(&text.line, "a", "0123456789012345678901234567890123456789\n0123456789", 51);
    logfmt_pair(&text.line, "b", "not there", 9);
    logfmt_end(&text.line);
    assert_line(&text, "a=\"0123456789012345678901234567890123456789\\n01\" truncated=true\n");

    begin(&text, 64);
    logfmt_pair(&text.line, "a", "01234567890123456789012345678901234567890123456789", 50);
    logfmt_end(&text.line);
    assert_line(&text, "a=012345678901234567890123456789012345678901234 truncated=true\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quoting),
        cmocka_unit_test(test_nul_is_escaped),
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_pairs_are_separated),
        cmocka_unit_test(test_a_long_line_is_cut),
        cmocka_unit_test(test_cut_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
