#include <herd/err.h>

#include "check.h"

static void test_every_error_has_its_own_text(void **state)
{
    static const struct {
        int value;
        const char *name, *text;
    } rows[] = {
#define ROW(name, value, text) {name, #name, text},
        HERD_ERROR_TABLE(ROW)
#undef ROW
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        CHECK_TRUE(("%s", rows[i].name), rows[i].value < 0);
        assert_string_equal(herd_strerror(rows[i].value), rows[i].text);
        size_t len = strlen(rows[i].text);
        CHECK_TRUE(("%s", rows[i].name), len > 0 && rows[i].text[len - 1] != '.');
        for (size_t j = 0; j < i; j++) {
            CHECK_TRUE(("%s %s", rows[i].name, rows[j].name), rows[i].value != rows[j].value);
            CHECK_TRUE(("%s %s", rows[i].name, rows[j].name),
                       strcmp(rows[i].text, rows[j].text) != 0);
        }
    }
}

static void test_other_values_have_a_text_too(void **state)
{
    (void)state;
    assert_string_equal(herd_strerror(0), "success");
    assert_string_equal(herd_strerror(1), "success");
    assert_string_equal(herd_strerror(-999), "unknown error");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_error_has_its_own_text),
        cmocka_unit_test(test_other_values_have_a_text_too),
    };
    return cmocka_run_group_tests_name("err", tests, NULL, NULL);
}
