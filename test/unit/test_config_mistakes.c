#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/config_mistakes.h"
#include "config_fixture.h"

static const char two[] = "server Hill { listen = \"127.0.0.1:1\" peers = {\"Smith\"} }\n"
                          "server Smith { listen = \"127.0.0.1:2\" peers = {\"Hill\"} }\n";

/* Names */

static void test_unknown_names(void **state)
{
    static const struct config_bad_text rows[] = {
        {"conections_max = 20\n" HILL,
         "F:1: unknown key \"conections_max\" (did you mean \"connections_max\"?)\n"},
        {HILL "Security = open", "F:2: unknown key \"Security\" (did you mean \"security\"?)\n"},
        {"frobnicate = {\"a\", b}\n" HILL, "F:1: unknown key \"frobnicate\"\n"},
        {"provider = \"local\"\n" HILL,
         "F:1: unknown key \"provider\" (it belongs in a section places)\n"},
        {"places { security = open peesr = 1 }\n" HILL,
         "F:1: places: unknown key \"security\" (it belongs at the top, outside of any section)\n"
         "F:1: places: unknown key \"peesr\"\n"},
        {"server Hill { lisen = \"127.0.0.1:1\" peers = {} }\n",
         "F:1: server Hill: unknown key \"lisen\" (did you mean \"listen\"?)\n"
         "F:1: server Hill: listen is missing: listen = \"127.0.0.1:21401\", for example\n"},
        {"places = 1\n" HILL,
         "F:1: unknown key \"places\" (places is a section: no \"=\" before its \"{\")\n"},
        {"place { provider = 1 x = {} }\n" HILL,
         "F:1: unknown section \"place\" (did you mean \"places\"?)\n"},
        {"security { }\n" HILL,
         "F:1: unknown section \"security\" (it is a key: \"=\" is missing)\n"},
        {HILL "sever Smith { listen = 1 peers = {Hill} }\n",
         "F:2: unknown section \"sever\" (did you mean \"server\"?)\n"},
        {"sever Hill {\n\n}\n", "F:1: unknown section \"sever\" (did you mean \"server\"?)\n"},
        {"places here { }\n" HILL, "F:1: section places has no name\n"},
        {"server { listen = \"127.0.0.1:1\" }\n",
         "F:1: a server needs a name: server NAME { ... }\n"},
    };
    assert_config_rows(*state, rows, sizeof rows / sizeof *rows);
}

/* What is shown of a file is not obeyed: control characters, C1's too, and what is no UTF-8; and no
 * character is cut in two. */
static void test_shown(void **state)
{
    static const struct {
        const char *bytes, *shown;
    } rows[] = {
        {"", ""},
        {"caf\xc3\xa9", "caf\xc3\xa9"},
        {"\x1b[31m\x7f\t", "?[31m??"},
        {"a\xc2\x80\xc2\x9f\xc2\xa0", "a??\xc2\xa0"},
        {"\x9b\xc3", "??"},
        {"12345678901234567890123456789012345678901234567890123456789012345678901\xc2\x9b",
         "12345678901234567890123456789012345678901234567890123456789012345678901?"},
        {"1234567890123456789012345678901234567890123456789012345678901234567890\xc3\xa9",
         "1234567890123456789012345678901234567890123456789012345678901234567890\xc3\xa9"},
        {"12345678901234567890123456789012345678901234567890123456789012345678901\xc3\xa9",
         "12345678901234567890123456789012345678901234567890123456789012345678901..."},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_string_equal(config_show(rows[i].bytes, strlen(rows[i].bytes)).text, rows[i].shown);
}

static void test_names_of_servers(void **state)
{
    static const char *const names[] = {"\"\"", "\"a b\"",         ".hidden", "-x",
                                        "a/b",  "\"caf\xc3\xa9\"", "\"..\"",  "'a\\'b'"};
    struct config_fixture *fixture = *state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct herd_buf buf = {0};
        assert_int_equal(
            herd_buf_printf(&buf, "server %s { listen = \"127.0.0.1:1\" }\n", names[i]), 0);
        testing_write_file(fixture->path, buf.data, buf.len);
        herd_buf_free(&buf);
        char *mistakes = config_load_bad(fixture->path);
        assert_contains(mistakes, "is no name for a server: 1 to 64 letters, digits, ");
        free(mistakes);
    }
    char name[CONFIG_NAME_MAX + 2];
    memset(name, 'n', sizeof name);
    struct herd_buf buf = {0};
    assert_int_equal(herd_buf_printf(&buf, "server %.*s { listen = \"127.0.0.1:1\" }\n",
                                     CONFIG_NAME_MAX + 1, name),
                     0);
    char *text = testing_take_text(&buf);
    testing_write_file(fixture->path, text, strlen(text));
    char *mistakes = config_load_bad(fixture->path);
    assert_contains(mistakes, "is no name for a server");
    free(mistakes);
    memmove(text + 7, text + 8, strlen(text + 8) + 1);
    config_free(config_load_good_text(fixture, text));
    free(text);
}

static void test_given_twice(void **state)
{
    static const struct config_bad_text rows[] = {
        {"log_file = a\n\nlog_file = b\nlog_file = c\n" HILL,
         "F:3: log_file is given twice, first in line 1\n"
         "F:4: log_file is given twice, first in line 1\n"},
        {HILL "places { calls_max = 1\ncalls_max = 2 }\n",
         "F:3: places: calls_max is given twice, first in line 2\n"},
        {HILL "places { }\nplaces { }\n", "F:3: places is given twice, first in line 2\n"},
        {"server Hill { listen = \"127.0.0.1:1\"\n listen = \"127.0.0.1:2\" }\n",
         "F:2: server Hill: listen is given twice, first in line 1\n"},
        {HILL "server \"Hill\" { listen = \"127.0.0.1:2\" }\n",
         "F:2: server Hill is given twice, first in line 1\n"},
        {"server A { listen = \"127.0.0.1:1\" }\nserver B { listen = \"127.0.0.1:1\" }\n"
         "server C { listen = \"127.0.0.1:1\" }\n",
         "F:2: server B: listen: \"127.0.0.1:1\" is where server A of line 1 listens\n"
         "F:3: server C: listen: \"127.0.0.1:1\" is where server A of line 1 listens\n"},
        {"server A { listen = \"localhost:1\" }\nserver B { listen = \"127.0.0.1:1\" }\n",
         "F:2: server B: listen: \"127.0.0.1:1\" is where server A of line 1 listens\n"},
        {"server A { listen = \"[::1]:1\" }\nserver B { listen = \"[0:0::1]:1\" }\n",
         "F:2: server B: listen: \"[0:0::1]:1\" is where server A of line 1 listens\n"},
    };
    assert_config_rows(*state, rows, sizeof rows / sizeof *rows);
}

/* Values and peers */

static void test_values(void **state)
{
    static const struct config_bad_text rows[] = {
        {"connections_max = many\n" HILL, "F:1: connections_max: \"many\" is not a whole number\n"},
        {"connections_max = \"\"\n" HILL, "F:1: connections_max: \"\" is not a whole number\n"},
        {"connections_max = -\n" HILL, "F:1: connections_max: \"-\" is not a whole number\n"},
        {"connections_max = 0x20\n" HILL, "F:1: connections_max: \"0x20\" is not a whole number\n"},
        {"connections_max = 1.5\n" HILL, "F:1: connections_max: \"1.5\" is not a whole number\n"},
        {"connections_max = \" 20\"\n" HILL,
         "F:1: connections_max: \" 20\" is not a whole number\n"},
        {"connections_max = 15\n" HILL,
         "F:1: connections_max: \"15\" is out of range: 16 to 1000000 connections\n"},
        {"connections_max = 1000001\n" HILL,
         "F:1: connections_max: \"1000001\" is out of range: 16 to 1000000 connections\n"},
        {"max_skew_s = -1\n" HILL, "F:1: max_skew_s: \"-1\" is out of range: 0 to 86400 s\n"},
        {"max_skew_s = 99999999999999999999\n" HILL,
         "F:1: max_skew_s: \"99999999999999999999\" is out of range: 0 to 86400 s\n"},
        {"max_skew_s = {1}\n" HILL, "F:1: max_skew_s takes one value, not a list\n"},
        {"log_level = \"dbug\"\n" HILL,
         "F:1: log_level: \"dbug\" is none of: error | warning | info | debug | lines "
         "(did you mean \"debug\"?)\n"},
        {"places { provider = \"bing\" }\n" HILL,
         "F:1: places.provider: \"bing\" is none of: local | google | google-legacy | overpass\n"},
        {"places { provider = \"google-\" }\n" HILL,
         "F:1: places.provider: \"google-\" is none of: local | google | google-legacy | overpass "
         "(did you mean \"google\"?)\n"},
        {"security = \"closed\"\n" HILL, "F:1: security: \"closed\" is none of: open | tls\n"},
        {"security = \"tls\"\n" HILL,
         "F:1: security: \"tls\" is not supported by this version: only \"open\" is\n"},
        {"places {\n language = \"x\" }\n" HILL,
         "F:2: places.language: \"x\" has 1 bytes: 2 to 16 are allowed\n"},
        {"places {\n\n language = \"01234567890123456\" }\n" HILL,
         "F:3: places.language: \"01234567890123456\" has 17 bytes: 2 to 16 are allowed\n"},
        {"places { language = \"en us\" }\n" HILL,
         "F:1: places.language: \"en us\" is no BCP 47 tag such as en or pt-BR\n"},
        {"places { language = \"caf\xc3\xa9\" }\n" HILL,
         "F:1: places.language: \"caf\xc3\xa9\" is no BCP 47 tag such as en or pt-BR\n"},
    };
    assert_config_rows(*state, rows, sizeof rows / sizeof *rows);
}

static void test_places_that_never_work(void **state)
{
    static const struct config_bad_text rows[] = {
        {"places { field_mask = \"foo\" }\n" HILL,
         "F:1: places.field_mask: \"foo\" should be fields of Google's with commas between, "
         "places.displayName and places.location among them\n"},
        {"places {\n field_mask = \"places.displayName,places.id\" }\n" HILL,
         "F:2: places.field_mask: \"places.displayName,places.id\" should be fields of Google's "
         "with commas between, places.displayName and places.location among them\n"},
        {"places { retry_min_ms = 3000 }\n" HILL,
         "F:1: places: retry_min_ms (3000) is above retry_max_ms (2000): no call would ever be "
         "made again\n"},
        {"places {\n retry_max_ms = 99\n}\n" HILL,
         "F:2: places: retry_min_ms (100) is above retry_max_ms (99): no call would ever be made "
         "again\n"},
        {"places {\n total_timeout_ms = 500\n connect_timeout_ms = 501\n}\n" HILL,
         "F:3: places: connect_timeout_ms (501) is above total_timeout_ms (500): every call "
         "ends before\n"},
    };
    assert_config_rows(*state, rows, sizeof rows / sizeof *rows);
    config_free(config_load_good_text(*state, "places { total_timeout_ms = 500 }\n" HILL));
    config_free(config_load_good_text(
        *state, "places { retry_min_ms = 7 retry_max_ms = 7 total_timeout_ms = 500 "
                "connect_timeout_ms = 500 "
                "field_mask = \"places.id,places.displayName.text,places.location\" }\n" HILL));
}

static void test_base_url(void **state)
{
    static const char form[] = "is not http:// or https:// with a host, a port if need be, and "
                               "nothing behind\n";
    static const char clear[] = "would show the API key to the network: http is for this machine "
                                "alone (localhost, 127.0.0.1, [::1]), https for all others\n";
    static const struct {
        const char *url, *problem;
    } rows[] = {
        {"", NULL},
        {"http://127.0.0.1:8080", NULL},
        {"http://localhost", NULL},
        {"HTTP://[::1]", NULL},
        {"https://[2001:db8::1]:8443", NULL},
        {"https://places.example.org", NULL},
        {"HTTPS://h:1", NULL},
        {"127.0.0.1:8080", form},
        {"ftp://host", form},
        {"https://", form},
        {"https://host/", form},
        {"https://a b", form},
        {"https://key@host", form},
        {"https://host:99999", form},
        {"https://host:", form},
        {"https://::1", form},
        {"https://[::1", form},
        {"https://a..b", form},
        {"http://example.org", clear},
        {"http://10.0.0.1:80", clear},
        {"http://[2001:db8::1]", clear},
        {"Http://127.example.org", clear},
    };
    struct config_fixture *fixture = *state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct herd_buf text = {0}, expected = {0};
        assert_int_equal(herd_buf_printf(&text, "places { base_url = \"%s\" }\n" HILL, rows[i].url),
                         0);
        assert_int_equal(herd_buf_append(&text, "", 1), 0);
        if (rows[i].problem == NULL) {
            struct config *config = config_load_good_text(fixture, text.data);
            assert_string_equal(config->values.places_base_url, rows[i].url);
            config_free(config);
        } else {
            assert_int_equal(herd_buf_printf(&expected, "F:1: places.base_url: \"%s\" %s",
                                             rows[i].url, rows[i].problem),
                             0);
            assert_int_equal(herd_buf_append(&expected, "", 1), 0);
            assert_config_mistakes(fixture, text.data, expected.data);
        }
        herd_buf_free(&text);
        herd_buf_free(&expected);
    }
}

static void test_addresses(void **state)
{
    static const struct {
        const char *listen, *problem;
    } rows[] = {
        {"127.0.0.1", "is no address: host:port, [v6]:port or name:port"},
        {"", "is no address: host:port, [v6]:port or name:port"},
        {":1", "is no address: host:port, [v6]:port or name:port"},
        {"[::1]", "is no address: host:port, [v6]:port or name:port"},
        {"[::1]x:1", "is no address: host:port, [v6]:port or name:port"},
        {"[::1", "is no address: host:port, [v6]:port or name:port"},
        {"[127.0.0.1]:1", "is no address: host:port, [v6]:port or name:port"},
        {"[]:1", "is no address: host:port, [v6]:port or name:port"},
        {"[::g]:1", "is no address: host:port, [v6]:port or name:port"},
        {"::1:1", "needs brackets around an IPv6 address: [::1]:21401"},
        {"127.0.0.256:1", "is no address: host:port, [v6]:port or name:port"},
        {"127.1:1", "is no address: host:port, [v6]:port or name:port"},
        {"a..b:1", "is no address: host:port, [v6]:port or name:port"},
        {"-a:1", "is no address: host:port, [v6]:port or name:port"},
        {"a b:1", "is no address: host:port, [v6]:port or name:port"},
        {"localhost:", "has no good port: 1 to 65535"},
        {"localhost:0", "has no good port: 1 to 65535"},
        {"localhost:65536", "has no good port: 1 to 65535"},
        {"localhost:999999", "has no good port: 1 to 65535"},
        {"localhost:http", "has no good port: 1 to 65535"},
        {"localhost:+1", "has no good port: 1 to 65535"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct herd_buf text = {0}, expected = {0};
        assert_int_equal(herd_buf_printf(&text, "\nserver H { listen = \"%s\" }\n", rows[i].listen),
                         0);
        assert_int_equal(herd_buf_printf(&expected, "F:2: server H: listen: \"%s\" %s\n",
                                         rows[i].listen, rows[i].problem),
                         0);
        char *text_z = testing_take_text(&text);
        char *expected_z = testing_take_text(&expected);
        assert_config_mistakes(*state, text_z, expected_z);
        free(text_z);
        free(expected_z);
    }
}

static void test_open_is_for_loopback_alone(void **state)
{
    static const char *const hosts[] = {"0.0.0.0", "10.0.0.1",     "128.0.0.1",  "[::]",
                                        "[::2]",   "hill.example", "localhost.a"};
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
        struct herd_buf text = {0}, expected = {0};
        assert_int_equal(herd_buf_printf(&text, "server H { listen = \"%s:1\" }\n", hosts[i]), 0);
        assert_int_equal(herd_buf_printf(&expected,
                                         "F:1: server H: listen: \"%s:1\" is not on loopback, and "
                                         "security = \"open\" lets everybody in: use 127.0.0.1, "
                                         "[::1] or localhost\n",
                                         hosts[i]),
                         0);
        char *text_z = testing_take_text(&text);
        char *expected_z = testing_take_text(&expected);
        assert_config_mistakes(*state, text_z, expected_z);
        free(text_z);
        free(expected_z);
    }
}

static void test_peers(void **state)
{
    static const struct config_bad_text rows[] = {
        {"",
         "F: no servers: at least one is needed: server NAME { listen = \"127.0.0.1:21401\" }\n"},
        {"server Hill { listen = \"127.0.0.1:1\" peers = {\n\"Smith\" } }\n"
         "server Smith { listen = \"127.0.0.1:2\" }\n",
         "F:2: server Hill names Smith as a peer, but Smith (line 3) does not name Hill\n"},
        {"server Hill { listen = \"127.0.0.1:1\" peers = {\"Hill\"} }\n",
         "F:1: server Hill names itself as a peer\n"},
        {"server Jaquez { listen = \"127.0.0.1:1\" peers = {\"Smith\", \"Smith\"} }\n"
         "server Smith { listen = \"127.0.0.1:2\" peers = {\"Jaques\"} }\n",
         "F:1: server Jaquez names Smith as a peer twice\n"
         "F:1: server Jaquez names Smith as a peer, but Smith (line 2) does not name Jaquez\n"
         "F:2: server Smith: peer \"Jaques\" is no server of this file (did you mean "
         "\"Jaquez\"?)\n"},
        {"server Hill { listen = \"127.0.0.1:1\" peers = Bush }\n",
         "F:1: server Hill: peer \"Bush\" is no server of this file\n"},
        /* A peer that may be in what is left out is not reported as well. */
        {"server Hill { listen = \"127.0.0.1:1\" peers = {\"Smith\"} }\n"
         "sever Smith { listen = \"127.0.0.1:2\" peers = {\"Hill\"} }\n",
         "F:2: unknown section \"sever\" (did you mean \"server\"?)\n"},
        {"server Hill { listen = \"127.0.0.1:1\" peers = {\"Smith\"} }\n"
         "server Smith { listen = \"127.0.0.1:2\" peer = {\"Hill\"} }\n",
         "F:2: server Smith: unknown key \"peer\" (did you mean \"peers\"?)\n"},
    };
    assert_config_rows(*state, rows, sizeof rows / sizeof *rows);
}

/* The form of the file */

static void test_form(void **state)
{
    static const struct config_bad_text rows[] = {
        {"security \"open\"\n" HILL, "F:1: \"=\" is missing after security\n"},
        {"security\nlog_file = a\n" HILL, "F:1: \"=\" is missing after security\n"},
        {"connections_max = 100 200\n" HILL,
         "F:1: \"200\" behind the value of connections_max is too many\n"},
        {HILL "connections_max = 100 200",
         "F:2: \"200\" behind the value of connections_max is too many\n"},
        {"connections_max = 100 200\nsecurity = wide\nx = 1\n" HILL,
         "F:1: \"200\" behind the value of connections_max is too many\n"
         "F:3: unknown key \"x\"\n"},
        {"security =\n" HILL "x = 1\n", "F:1: security has no value\nF:3: unknown key \"x\"\n"},
        {"security = open, \n" HILL, "F:1: expected a key or a section, not ,\n"},
        {"= open\n" HILL, "F:1: expected a key or a section, not =\n"},
        {"\"security\" = open\n" HILL, "F:1: expected a key or a section, not \"security\"\n"},
        {"security = }\n" HILL, "F:1: expected a value, not }\n"},
        {"security", "F:1: expected \"=\" or \"{\", but the file ends here\n"},
        {"security =\n\n", "F:3: expected a value, but the file ends here\n"},
        {HILL "}\n", "F:2: \"}\" without a \"{\" before\n"},
        {"server Hill {\n listen = \"127.0.0.1:1\"\n\n",
         "F:1: the \"{\" of server Hill has no \"}\"\n"},
        {"server Hill {\n listen = \"127.0.0.1:1\"\nserver Smith { }\nx = 1\n",
         "F:3: a section in section server Hill of line 1: is a \"}\" missing before?\n"
         "F:4: unknown key \"x\"\n"},
        {"places { server Hill { } }\n",
         "F:1: a section in section places of line 1: is a \"}\" missing before?\n"},
        {"server Hill { peers = {\"A\"\n\"B\", \"C\" \"D\"} }\n",
         "F:2: expected \",\" or \"}\", not \"B\"\n"},
        {"server Hill { peers = {, } }\n", "F:1: expected a value or \"}\", not ,\n"},
        {"server Hill { peers = { { } } }\nx = 1\n",
         "F:1: expected a value or \"}\", not {\nF:2: unknown key \"x\"\n"},
        {"server Hill Smith {\nlisten = 1\n}\nx = 1\n",
         "F:1: expected \"{\", not Smith\nF:4: unknown key \"x\"\n"},
        {"server += 1\n", "F:1: \"+\" may stand in a string only\n"},
        {"data_dir = a\\b\n" HILL, "F:1: \"\\\" may stand in a string only\n"},
        {"data_dir = caf\xc3\xa9\n" HILL, "F:1: byte 0xc3 may stand in a string only\n"},
        {"data_dir = \"a\nb\"\n" HILL,
         "F:1: the string does not end on its line\nF:2: the string does not end on its line\n"},
        {HILL "data_dir = 'a\n", "F:2: the string does not end on its line\n"},
        {HILL "data_dir = \"a\\", "F:2: \"\\\" is no escape: only \\\", \\\\ and \\$ are\n"},
        {HILL "/* no end\n\nserver", "F:2: the comment that begins with /* does not end\n"},
        {"log_file = \"a\\0b\"\n" HILL, "F:1: \"\\0\" is no escape: only \\\", \\\\ and \\$ are\n"},
        {"log_file = \"a\\x41b\"\n" HILL,
         "F:1: \"\\x\" is no escape: only \\\", \\\\ and \\$ are\n"},
        {"log_file = \"a\tb\"\n" HILL, "F:1: control byte 0x09 in a string\n"},
        {"log_file = 'a\x7f'\n" HILL, "F:1: control byte 0x7f in a string\n"},
    };
    assert_config_rows(*state, rows, sizeof rows / sizeof *rows);
}

static void test_nothing_comes_from_elsewhere(void **state)
{
    static const struct config_bad_text rows[] = {
        {"data_dir = \"/x/${HERD_TEST}\"\n" HILL,
         "F:1: \"${\": the environment is not looked up; write \\$ for a $\n"},
        {"data_dir = ${HERD_TEST}\n" HILL,
         "F:1: \"$\" outside of a string: the environment is not looked up\n"},
        {"include(\"/etc/passwd\")\n" HILL,
         "F:1: \"(\": there are no functions here, and no include\n"},
        {"include = \"/etc/passwd\"\n" HILL, "F:1: unknown key \"include\"\n"},
        {"__unknown = \"x\"\n" HILL, "F:1: unknown key \"__unknown\"\n"},
    };
    setenv("HERD_TEST", "leaked", 1);
    assert_config_rows(*state, rows, sizeof rows / sizeof *rows);
    unsetenv("HERD_TEST");
}

/* All of it, in the order of the file, whatever finds it. */
static void test_all_mistakes_at_once(void **state)
{
    assert_config_mistakes(
        *state,
        "/* three\n * lines\n */ security = \"tls\"  # 3\n"
        "conections_max = 5\n"
        "connections_max = many // \"\n"
        "places { provider = \"googel\" calls_max = -1 listen = \"x\" }\n"
        "server Hill { listen = \"127.0.0.1\" /*\n*/ peers = {\"Jaques\", # 7, 8\n"
        "    \"Hill\", \"Smith\", \"Smith\"} }\n"
        "server Jaquez { listen = \"localhost:0\" }\n"
        "server Smith { listen = \"127.0.0.1:21401\" lisen = \"\\\\\\\"\" peers = {} }\n"
        "log_file = \"\"\n"
        "log_file = \"a\"\n",
        "F:3: security: \"tls\" is not supported by this version: only \"open\" is\n"
        "F:4: unknown key \"conections_max\" (did you mean \"connections_max\"?)\n"
        "F:5: connections_max: \"many\" is not a whole number\n"
        "F:6: places: unknown key \"listen\" (it belongs in a section server)\n"
        "F:6: places.provider: \"googel\" is none of: local | google | google-legacy | overpass "
        "(did you mean "
        "\"google\"?)\n"
        "F:6: places.calls_max: \"-1\" is out of range: 1 to 1000 calls\n"
        "F:7: server Hill: listen: \"127.0.0.1\" is no address: host:port, [v6]:port or name:port\n"
        "F:8: server Hill: peer \"Jaques\" is no server of this file (did you mean \"Jaquez\"?)\n"
        "F:9: server Hill names itself as a peer\n"
        "F:9: server Hill names Smith as a peer twice\n"
        "F:9: server Hill names Smith as a peer, but Smith (line 11) does not name Hill\n"
        "F:10: server Jaquez: listen: \"localhost:0\" has no good port: 1 to 65535\n"
        "F:11: server Smith: unknown key \"lisen\" (did you mean \"listen\"?)\n"
        "F:13: log_file is given twice, first in line 12\n");
}

/* Comments of each kind and strings before the mistake, again and again. */
static void test_lines_of_a_long_file(void **state)
{
    struct config_fixture *fixture = *state;
    struct herd_buf text = {0};
    int line = 1;
    for (int i = 0; i < 500; i++) {
        assert_int_equal(
            herd_buf_printf(&text,
                            "# one\n// two /*\n/* three\n four */ server S%d { # five \"\n"
                            "  listen = \"127.0.0.1:%d\" /**/ peers = { // \"}\n"
                            "    %s } }\n\n",
                            i, i + 1, i % 100 == 99 ? "\"nobody's \\\" one\"" : ""),
            0);
        line += 7;
    }
    assert_int_equal(herd_buf_printf(&text, "pipeline_max = 0\n"), 0);
    testing_write_file(fixture->path, text.data, text.len);
    herd_buf_free(&text);
    struct herd_buf expected = {0};
    for (int i = 99; i < 500; i += 100)
        assert_int_equal(herd_buf_printf(&expected,
                                         "F:%d: server S%d: peer \"nobody's \" one\" is no server "
                                         "of this file\n",
                                         7 * i + 6, i),
                         0);
    assert_int_equal(
        herd_buf_printf(&expected,
                        "F:%d: pipeline_max: \"0\" is out of range: 1 to 4096 requests\n", line),
        0);
    char *expected_z = testing_take_text(&expected);
    char *mistakes = config_load_bad(fixture->path);
    assert_string_equal(mistakes, expected_z);
    free(mistakes);
    free(expected_z);
}

/* A file that is no good leaves nothing behind for the next one. */
static void test_a_good_file_after_a_bad_one(void **state)
{
    struct config_fixture *fixture = *state;
    static const char *const bad[] = {"data_dir = \"",       "data_dir = '", "/*",
                                      "server X {",          "${X",          "x = {",
                                      "data_dir = \"\\777\""};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        testing_write_file(fixture->path, bad[i], strlen(bad[i]));
        free(config_load_bad(fixture->path));
        struct config *config = config_load_good_text(fixture, two);
        assert_int_equal(config->server_count, 2);
        config_free(config);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shown),
        CONFIG_TEST(test_unknown_names),
        CONFIG_TEST(test_names_of_servers),
        CONFIG_TEST(test_given_twice),
        CONFIG_TEST(test_values),
        CONFIG_TEST(test_places_that_never_work),
        CONFIG_TEST(test_base_url),
        CONFIG_TEST(test_addresses),
        CONFIG_TEST(test_open_is_for_loopback_alone),
        CONFIG_TEST(test_peers),
        CONFIG_TEST(test_form),
        CONFIG_TEST(test_nothing_comes_from_elsewhere),
        CONFIG_TEST(test_all_mistakes_at_once),
        CONFIG_TEST(test_lines_of_a_long_file),
        CONFIG_TEST(test_a_good_file_after_a_bad_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
