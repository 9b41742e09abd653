/* The pieces that requests to Google are written from. */
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>

#include <herd/err.h>

#include "places/web_url.h"
#include "testing.h"

static const char own[] = "https://places.googleapis.com";

static void test_origins(void **state)
{
    (void)state;
    static const struct {
        const char *base_url, *origin;
    } cases[] = {
        {"", "https://places.googleapis.com"},
        {"https://places.googleapis.com", "https://places.googleapis.com"},
        {"https://proxy.example:8443", "https://proxy.example:8443"},
        {"https://proxy.example:8443/", "https://proxy.example:8443"},
        {"HTTPS://proxy.example", "https://proxy.example"},
        {"https://[2001:db8::1]:8443", "https://[2001:db8::1]:8443"},
        {"https://10.0.0.1", "https://10.0.0.1"},
        {"http://127.0.0.1:8080", "http://127.0.0.1:8080"},
        {"http://127.1.2.3", "http://127.1.2.3"},
        {"http://127.1:80", "http://127.0.0.1:80"},
        {"http://localhost:8080/", "http://localhost:8080"},
        {"http://LocalHost", "http://LocalHost"},
        {"http://[::1]:8080", "http://[::1]:8080"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct herd_buf out = {0}, error = {0};
        assert_int_equal(web_url_origin(cases[i].base_url, own, &out, &error), 0);
        assert_int_equal(error.len, 0);
        char *origin = testing_take_text(&out);
        assert_string_equal(origin, cases[i].origin);
        free(origin);
    }
}

static void test_no_origins(void **state)
{
    (void)state;
    static const struct {
        const char *base_url, *part;
    } cases[] = {
        {"places.googleapis.com", "not a URL"},
        {"https://", "not a URL"},
        {"https://host:99999", "not a URL"},
        {"https://host:port", "not a URL"},
        {"https://ho st", "not a URL"},
        {"https://[::1", "not a URL"},
        {" https://host", "not a URL"},
        {"https://host\r\nX: y", "not a URL"},
        {"ftp://host", "only https"},
        {"file:///etc/passwd", "URL"},
        {"https://host/maps", "scheme, host and port only"},
        {"https://host/?a=b", "scheme, host and port only"},
        {"https://host?a=b", "scheme, host and port only"},
        {"https://host#x", "scheme, host and port only"},
        {"https://user@host", "user name or password"},
        {"https://user:secret@host", "user name or password"},
        {"http://places.googleapis.com", "to the network"},
        {"http://10.0.0.1", "to the network"},
        {"http://126.255.255.255", "to the network"},
        {"http://128.0.0.1", "to the network"},
        {"http://0.0.0.0", "to the network"},
        {"http://[::2]", "to the network"},
        {"http://[::ffff:10.0.0.1]", "to the network"},
        {"http://localhost.example.org", "to the network"},
        {"http://127.0.0.1.example.org", "to the network"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct herd_buf out = {0}, error = {0};
        int rc = web_url_origin(cases[i].base_url, own, &out, &error);
        if (rc != HERD_EINVAL)
            fail_msg("%s: %d", cases[i].base_url, rc);
        assert_int_equal(out.len, 0);
        char *sentence = testing_take_text(&error);
        assert_contains(sentence, cases[i].part);
        assert_null(strstr(sentence, "secret"));
        free(sentence);
    }
}

static void assert_number(double number, const char *expected)
{
    struct herd_buf out = {0};
    assert_int_equal(web_append_number(&out, number), 0);
    char *text = testing_take_text(&out);
    assert_string_equal(text, expected);
    free(text);
}

static void assert_numbers(void)
{
    assert_number(0, "0.0");
    assert_number(-0.0, "0.0");
    assert_number(34.06893, "34.06893");
    assert_number(-118.445127, "-118.445127");
    assert_number(-0.5, "-0.5");
    assert_number(0.1, "0.1");
    assert_number(90, "90.0");
    assert_number(-180, "-180.0");
    assert_number(50000, "50000.0");
    assert_number(179.9999999, "179.9999999");
    assert_number(179.99999999, "180.0");
    assert_number(-0.00000004, "0.0");
    assert_number(-0.00000006, "-0.0000001");
    assert_number(1234.5678901234, "1234.5678901");
}

static void test_numbers(void **state)
{
    (void)state;
    assert_numbers();
}

/* With a locale whose decimals have a comma, made here: the machine may have none. */
static void test_numbers_with_a_comma(void **state)
{
    (void)state;
    char *folder = testing_make_folder();
    char command[500];
    snprintf(command, sizeof command,
             "localedef -c -i de_DE -f UTF-8 %s/de_DE.UTF-8 >/dev/null 2>&1", folder);
    bool is_made = system(command) == 0;
    setenv("LOCPATH", folder, 1);
    bool has_comma = is_made && setlocale(LC_ALL, "de_DE.UTF-8") != NULL;
    if (has_comma) {
        char text[16];
        snprintf(text, sizeof text, "%.1f", 0.5);
        assert_string_equal(text, "0,5");
        assert_numbers();
    }
    setlocale(LC_ALL, "C");
    unsetenv("LOCPATH");
    testing_remove_folder(folder);
    if (!has_comma)
        skip();
}

static void test_escapes(void **state)
{
    (void)state;
    struct herd_buf out = {0};
    assert_int_equal(web_append_escaped(&out, "AZaz09-._~ &=+/?#%\"'\x7f\xc3\xa9"), 0);
    char *text = testing_take_text(&out);
    assert_string_equal(text, "AZaz09-._~%20%26%3D%2B%2F%3F%23%25%22%27%7F%C3%A9");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_origins), cmocka_unit_test(test_no_origins),
        cmocka_unit_test(test_numbers), cmocka_unit_test(test_numbers_with_a_comma),
        cmocka_unit_test(test_escapes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
