#include <stdlib.h>

#include "base/config_table.h"
#include "testing.h"

static void test_every_default_is_good(void **state)
{
    (void)state;
    struct config_values values = {0};
    struct config_mistakes *mistakes = calloc(1, sizeof *mistakes);
    for (size_t i = 0; i < CONFIG_VALUE_COUNT; i++) {
        const struct config_row *row = &config_rows[i];
        config_value_set(&values, row, row->default_text, 0, mistakes);
        if (mistakes->count > 0)
            fail_msg("%.*s", (int)mistakes->kept[0].text.len, mistakes->kept[0].text.data);
    }
    config_values_free(&values);
    config_mistakes_free(mistakes);
    free(mistakes);
}

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < CONFIG_KEY_COUNT; i++) {
        const struct config_row *row = &config_rows[i];
        struct herd_slice section = herd_slice_of(row->section);
        struct herd_slice name = herd_slice_of(row->name);
        assert_ptr_equal(config_row_find(section, name), row);
        assert_int_equal(strspn(row->name, "abcdefghijklmnopqrstuvwxyz_"), name.len);
        assert_int_equal(row->text[strlen(row->text) - 1], '.');
        assert_int_equal(config_section_exists(section), section.len > 0);
        assert_null(strchr(row->text, '|'));
    }
    assert_null(config_row_find(herd_slice_of("places"), herd_slice_of("security")));
    assert_null(config_row_find(herd_slice_of(""), herd_slice_of("securit")));
    assert_false(config_section_exists(herd_slice_of("place")));
}

static void test_bool(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool value;
    } good[] = {{"true", true},   {"on", true},   {"Yes", true},
                {"false", false}, {"OFF", false}, {"no", false}};
    const struct config_row row = {.section = "", .name = "flag", .type = CONFIG_TYPE_BOOL};
    union {
        struct config_values values;
        bool flag;
    } field;
    struct config_mistakes *mistakes = calloc(1, sizeof *mistakes);
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        field.flag = !good[i].value;
        config_value_set(&field.values, &row, good[i].text, 1, mistakes);
        assert_int_equal(mistakes->count, 0);
        assert_int_equal(field.flag, good[i].value);
    }
    config_value_set(&field.values, &row, "1", 7, mistakes);
    struct herd_buf out = {0};
    assert_int_equal(config_mistakes_write(mistakes, "F", &out), 0);
    char *text = testing_take_text(&out);
    assert_string_equal(text, "F:7: flag: \"1\" is not true or false\n");
    free(text);
    config_mistakes_free(mistakes);
    free(mistakes);
}

static void test_choices(void **state)
{
    (void)state;
    const char *rest = "one | two";
    struct herd_slice word;
    assert_true(config_next_choice(&rest, &word));
    assert_true(herd_slice_equal(word, herd_slice_of("one")));
    assert_true(config_next_choice(&rest, &word));
    assert_true(herd_slice_equal(word, herd_slice_of("two")));
    assert_false(config_next_choice(&rest, &word));
}

static void test_nearest(void **state)
{
    (void)state;
    static const char *const candidates[] = {"Hill", "Jaquez", "Smith", "Campbell", "Singleton"};
    static const struct {
        const char *name, *best;
    } rows[] = {
        {"Jaques", "Jaquez"}, {"jaquez", "Jaquez"}, {"Hlil", "Hill"}, {"Singelton", "Singleton"},
        {"Smth", "Smith"},    {"Camp", ""},         {"Hillary", ""},  {"", ""},
        {"Smithsonian", ""},  {"Bill", "Hill"},     {"Bull", "Hill"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct config_nearest nearest = {.name = herd_slice_of(rows[i].name)};
        for (size_t k = 0; k < sizeof candidates / sizeof *candidates; k++)
            config_nearest_try(&nearest, herd_slice_of(candidates[k]));
        struct herd_buf best = {0};
        assert_int_equal(herd_buf_append_slice(&best, nearest.best), 0);
        char *text = testing_take_text(&best);
        assert_string_equal(text, rows[i].best);
        free(text);
    }
}

static void test_markdown_has_every_key(void **state)
{
    (void)state;
    struct herd_buf out = {0};
    assert_int_equal(config_write_markdown(&out), 0);
    char *text = testing_take_text(&out);
    for (size_t i = 0; i < CONFIG_KEY_COUNT; i++) {
        struct herd_buf start = {0};
        assert_int_equal(herd_buf_printf(&start, "\n| `%s` | ", config_rows[i].name), 0);
        char *part = testing_take_text(&start);
        assert_contains(text, part);
        assert_contains(text, config_rows[i].text);
        free(part);
    }
    assert_contains(text, "\n| `connections_max` | 16 to 1000000 connections | `20000` | ");
    assert_contains(
        text, "\n| `provider` | `local`, `google`, `google-legacy`, `overpass` | `\"local\"` | ");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_default_is_good),
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_bool),
        cmocka_unit_test(test_choices),
        cmocka_unit_test(test_nearest),
        cmocka_unit_test(test_markdown_has_every_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
