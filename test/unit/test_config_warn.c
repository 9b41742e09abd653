/* What config_warn says of files without a mistake. */
#include <stdlib.h>

#include "config_fixture.h"

#define SERVER(name, port, peers)                                                                  \
    "server " name " { listen = \"127.0.0.1:" port "\" peers = {" peers "} }\n"

/* The warnings about a good file, with `F` for its path; free with free(). */
static char *warnings_of(const struct config_fixture *fixture, const char *text)
{
    struct config *config = config_load_good_text(fixture, text);
    struct herd_buf out = {0}, shown = {0};
    assert_int_equal(config_warn(config, &out), 0);
    config_free(config);
    char *all = testing_take_text(&out);
    char *rest = all;
    char *line;
    while ((line = strsep(&rest, "\n")) != NULL && rest != NULL) {
        assert_memory_equal(line, fixture->path, strlen(fixture->path));
        assert_int_equal(herd_buf_printf(&shown, "F%s\n", line + strlen(fixture->path)), 0);
    }
    free(all);
    return testing_take_text(&shown);
}

static void assert_warnings(void **state, const char *text, const char *expected)
{
    char *warnings = warnings_of(*state, text);
    assert_string_equal(warnings, expected);
    free(warnings);
}

static void test_a_whole_herd(void **state)
{
    assert_warnings(state, HILL, "");
    assert_warnings(state,
                    SERVER("A", "1", "B") SERVER("B", "2", "A, C") SERVER("C", "3", "B, D")
                        SERVER("D", "4", "C"),
                    "");
    char *seed = testing_read_file(HERD_CONF);
    assert_warnings(state, seed, "");
    free(seed);
}

static void test_a_herd_in_parts(void **state)
{
    assert_warnings(state, SERVER("A", "1", "B") SERVER("B", "2", "A") SERVER("C", "3", ""),
                    "F:3: warning: server C cannot be reached from server A (line 1) over any "
                    "peers: what one is told the other never learns\n");
    assert_warnings(state,
                    SERVER("A", "1", "") SERVER("B", "2", "C, D") SERVER("C", "3", "B")
                        SERVER("D", "4", "B") "\n" SERVER("E", "5", ""),
                    "F:2: warning: server B and 2 more cannot be reached from server A (line 1) "
                    "over any peers: what one is told the other never learns\n"
                    "F:6: warning: server E cannot be reached from server A (line 1) over any "
                    "peers: what one is told the other never learns\n");
}

static void test_no_peers_at_all(void **state)
{
    assert_warnings(state, SERVER("A", "1", "") SERVER("B", "2", "") SERVER("C", "3", ""),
                    "F: warning: none of the 3 servers has peers: what one is told the others "
                    "never learn\n");
}

static void test_google_without_a_key(void **state)
{
    assert_warnings(state, "places { provider = \"google\" key_file = \"key\" }\n" HILL, "");
    assert_warnings(state, "places { provider = \"google-legacy\" }\n" HILL,
                    "F: warning: places.key_file is empty: a server with provider = "
                    "\"google-legacy\" then starts only where systemd hands it the credential "
                    "places.key\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CONFIG_TEST(test_a_whole_herd),
        CONFIG_TEST(test_a_herd_in_parts),
        CONFIG_TEST(test_no_peers_at_all),
        CONFIG_TEST(test_google_without_a_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
