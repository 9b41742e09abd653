#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/config_mistakes.h"
#include "config_fixture.h"

/* Files that are right */

static void test_the_seed(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint16_t port;
        const char *peers[4];
    } expected[] = {
        {"Hill", 21401, {"Jaquez", "Smith"}},
        {"Jaquez", 21402, {"Hill", "Singleton"}},
        {"Smith", 21403, {"Campbell", "Singleton", "Hill"}},
        {"Campbell", 21404, {"Smith", "Singleton"}},
        {"Singleton", 21405, {"Jaquez", "Smith", "Campbell"}},
    };
    struct config *config = config_load_good(HERD_CONF);
    assert_int_equal(config->server_count, sizeof expected / sizeof *expected);
    for (size_t i = 0; i < config->server_count; i++) {
        const struct config_server *server = &config->servers[i];
        assert_string_equal(server->name, expected[i].name);
        assert_string_equal(server->listen.host, "127.0.0.1");
        assert_int_equal(server->listen.port, expected[i].port);
        assert_ptr_equal(config_find(config, expected[i].name), server);
        size_t peer = 0;
        for (; peer < server->peer_count; peer++)
            assert_string_equal(config->servers[server->peers[peer]].name, expected[i].peers[peer]);
        assert_null(expected[i].peers[peer]);
    }
    assert_null(config_find(config, "hill"));
    assert_string_equal(config->path, HERD_CONF);
    config_free(config);
}

static void test_defaults(void **state)
{
    struct config *config = config_load_good_text(*state, HILL);
    const struct config_values *values = &config->values;
    assert_string_equal(values->security, "open");
    assert_string_equal(values->log_level, "info");
    assert_string_equal(values->log_file, "");
    assert_int_equal(values->connections_max, 20000);
    assert_int_equal(values->max_skew_s, 0);
    assert_int_equal(values->output_max_kib, 256);
    assert_int_equal(values->pipeline_max, 64);
    assert_string_equal(values->prune, "auto");
    assert_false(config_wants_pruning(config));
    assert_string_equal(values->places_provider, "local");
    assert_string_equal(values->places_base_url, "");
    assert_string_equal(values->places_key_file, "");
    assert_string_equal(values->places_data_file, "");
    assert_string_equal(values->places_language, "en");
    assert_int_equal(values->places_connect_timeout_ms, 1000);
    assert_int_equal(values->places_total_timeout_ms, 3000);
    assert_int_equal(values->places_calls_max, 32);
    assert_int_equal(values->places_waiting_max, 256);
    assert_int_equal(config->server_count, 1);
    assert_int_equal(config->servers[0].peer_count, 0);
    assert_int_equal(config->servers[0].line, 1);
    config_free(config);
}

static void test_all_ways_to_write(void **state)
{
    struct config *config = config_load_good_text(
        *state, "# a comment = { \"\n"
                "/* security = \"tls\"\r\n"
                " * ${HOME} */ log_level = /* here */ debug // and here\r\n"
                "\tconnections_max='16' max_skew_s = \"86400\"//x\n"
                "places{provider=google base_url=\"https://places.example:8443\"#x\n"
                "language = 'de-AT'/* x */waiting_max=0}\n"
                "server 'Hill' { peers = { Smith , \"West.1_a-b\", } listen = localhost:1 }\n"
                "server \"Smith\" { listen = '[::1]:65535'\n"
                "  peers = Hill\n"
                "}\n"
                "server West.1_a-b { peers = {\n"
                "  'Hill'\n"
                "} listen = \"127.255.0.1:2\" } # no line end");
    const struct config_values *values = &config->values;
    assert_string_equal(values->security, "open");
    assert_string_equal(values->log_level, "debug");
    assert_int_equal(values->connections_max, 16);
    assert_int_equal(values->max_skew_s, 86400);
    assert_string_equal(values->places_provider, "google");
    assert_string_equal(values->places_base_url, "https://places.example:8443");
    assert_string_equal(values->places_language, "de-AT");
    assert_int_equal(values->places_waiting_max, 0);
    assert_int_equal(config->server_count, 3);
    static const struct {
        const char *name, *host;
        uint16_t port;
        int line;
        size_t peer_count;
    } servers[] = {
        {"Hill", "localhost", 1, 7, 2},
        {"Smith", "::1", 65535, 8, 1},
        {"West.1_a-b", "127.255.0.1", 2, 11, 1},
    };
    for (size_t i = 0; i < 3; i++) {
        assert_string_equal(config->servers[i].name, servers[i].name);
        assert_string_equal(config->servers[i].listen.host, servers[i].host);
        assert_int_equal(config->servers[i].listen.port, servers[i].port);
        assert_int_equal(config->servers[i].line, servers[i].line);
        assert_int_equal(config->servers[i].peer_count, servers[i].peer_count);
    }
    config_free(config);
}

/* What editors of other systems put before the first line is no mistake, and nothing else. */
static void test_byte_order_mark(void **state)
{
    const struct config_fixture *fixture = *state;
    struct config *config = config_load_good_text(fixture, "\xef\xbb\xbf"
                                                           "connections_max = 70\n" HILL);
    assert_int_equal(config->values.connections_max, 70);
    config_free(config);
    assert_config_mistakes(fixture,
                           "\xef\xbb"
                           "connections_max = 70\n" HILL,
                           "F:1: byte 0xef may stand in a string only\n");
}

static void test_strings(void **state)
{
    static const struct {
        const char *written, *meant;
    } rows[] = {
        {"\"/a b#c//d/*e*/{f}=,\"", "/a b#c//d/*e*/{f}=,"},
        {"'/a b#c//d/*e*/{f}=,'", "/a b#c//d/*e*/{f}=,"},
        {"\"/q\\\"b\\\\d\\$\"", "/q\"b\\d$"},
        {"\"/it's $5\"", "/it's $5"},
        {"'/q\"it\\'s \\\\ \\n $ ${HERD_TEST}'", "/q\"it's \\ \\n $ ${HERD_TEST}"},
        {"'/\\$'", "/\\$"},
        {"\"/\\${HERD_TEST}\"", "/${HERD_TEST}"},
        {"\"/caf\xc3\xa9\"", "/caf\xc3\xa9"},
        {"/var/lib/herd@1.5:~%s", "/var/lib/herd@1.5:~%s"},
    };
    setenv("HERD_TEST", "leaked", 1);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct herd_buf buf = {0};
        assert_int_equal(herd_buf_printf(&buf, "data_dir = %s\n" HILL, rows[i].written), 0);
        char *text = testing_take_text(&buf);
        struct config *config = config_load_good_text(*state, text);
        assert_string_equal(config->values.data_dir, rows[i].meant);
        config_free(config);
        free(text);
    }
    unsetenv("HERD_TEST");
}

static void test_relative_paths(void **state)
{
    struct config_fixture *fixture = *state;
    static const char text[] = "data_dir = \"data\" log_file = \"/var/log/%s.log\"\n"
                               "places { key_file = \"../keys/k\" data_file = \"\" }\n" HILL;
    struct config *config = config_load_good_text(fixture, text);
    char *data = testing_path(fixture->folder, "data");
    char *key = testing_path(fixture->folder, "../keys/k");
    assert_string_equal(config->values.data_dir, data);
    assert_string_equal(config->values.log_file, "/var/log/%s.log");
    assert_string_equal(config->values.places_key_file, key);
    assert_string_equal(config->values.places_data_file, "");
    config_free(config);
    free(key);

    /* The default is relative, too; and a file without a folder is in this one. */
    config = config_load_good_text(fixture, HILL);
    assert_string_equal(config->values.data_dir, data);
    config_free(config);
    free(data);
    char *here = getcwd(NULL, 0);
    assert_int_equal(chdir(fixture->folder), 0);
    config = config_load_good("herd.conf");
    assert_string_equal(config->values.data_dir, "data");
    config_free(config);
    config = config_load_good("./herd.conf");
    assert_string_equal(config->values.data_dir, "./data");
    config_free(config);
    assert_int_equal(chdir(here), 0);
    free(here);
}

static void test_default_path(void **state)
{
    struct config_fixture *fixture = *state;
    char *here = getcwd(NULL, 0);
    assert_int_equal(chdir(fixture->folder), 0);
    const char *path = config_default_path();
    if (access("/etc/herd/herd.conf", F_OK) == 0)
        assert_string_equal(path, "/etc/herd/herd.conf");
    else
        assert_null(path);
    testing_write_file("herd.conf", "", 0);
    assert_string_equal(config_default_path(), "./herd.conf");
    assert_int_equal(chdir(here), 0);
    free(here);
}

/* Files that cannot be read, and limits */

static void test_files(void **state)
{
    struct config_fixture *fixture = *state;
    char *mistakes = config_load_bad(fixture->path);
    assert_string_equal(mistakes, "F: cannot be opened: No such file or directory\n");
    free(mistakes);
    mistakes = config_load_bad(fixture->folder);
    assert_string_equal(mistakes, "F: is a folder, not a file\n");
    free(mistakes);
    char *fifo = testing_path(fixture->folder, "fifo");
    assert_int_equal(mkfifo(fifo, 0600), 0);
    mistakes = config_load_bad(fifo);
    assert_string_equal(mistakes, "F: is a device, pipe or socket, not a file\n");
    free(mistakes);
    free(fifo);
    if (geteuid() != 0) {
        testing_write_file(fixture->path, HILL, strlen(HILL));
        assert_int_equal(chmod(fixture->path, 0), 0);
        mistakes = config_load_bad(fixture->path);
        assert_string_equal(mistakes, "F: cannot be opened: Permission denied\n");
        free(mistakes);
        assert_int_equal(chmod(fixture->path, 0600), 0);
    }
    static const char nul[] = HILL "# a\0b\n";
    testing_write_file(fixture->path, nul, sizeof nul - 1);
    mistakes = config_load_bad(fixture->path);
    assert_string_equal(mistakes, "F:2: NUL byte: this is not a text file\n");
    free(mistakes);
}

static void test_size_of_the_file(void **state)
{
    struct config_fixture *fixture = *state;
    struct herd_buf text = {0};
    assert_int_equal(herd_buf_append_text(&text, HILL "#"), 0);
    assert_int_equal(herd_buf_reserve(&text, CONFIG_FILE_MAX), 0);
    memset(text.data + text.len, 'x', CONFIG_FILE_MAX + 1 - text.len);
    testing_write_file(fixture->path, text.data, CONFIG_FILE_MAX);
    config_free(config_load_good(fixture->path));
    testing_write_file(fixture->path, text.data, CONFIG_FILE_MAX + 1);
    herd_buf_free(&text);
    char *mistakes = config_load_bad(fixture->path);
    assert_string_equal(mistakes, "F: too large: 1048576 bytes are allowed\n");
    free(mistakes);
}

/* A ring in which each of `count` servers has `peer_count` peers. */
static void write_ring(const struct config_fixture *fixture, int count, int peer_count)
{
    struct herd_buf text = {0};
    for (int i = 0; i < count; i++) {
        assert_int_equal(
            herd_buf_printf(&text, "server S%d { listen = \"127.0.0.1:%d\" peers = {", i, i + 1),
            0);
        for (int k = 1; k <= peer_count / 2; k++)
            assert_int_equal(
                herd_buf_printf(&text, "S%d, S%d,", (i + k) % count, (i + count - k) % count), 0);
        assert_int_equal(herd_buf_append_text(&text, "}}\n"), 0);
    }
    testing_write_file(fixture->path, text.data, text.len);
    herd_buf_free(&text);
}

static void test_how_many_servers_and_peers(void **state)
{
    struct config_fixture *fixture = *state;
    write_ring(fixture, CONFIG_SERVERS_MAX, 4);
    struct config *config = config_load_good(fixture->path);
    assert_int_equal(config->server_count, CONFIG_SERVERS_MAX);
    assert_int_equal(config->servers[CONFIG_SERVERS_MAX - 1].peers[0], 0);
    config_free(config);
    write_ring(fixture, CONFIG_SERVERS_MAX + 1, 4);
    char *mistakes = config_load_bad(fixture->path);
    assert_string_equal(mistakes, "F:1025: more than 1024 servers\n");
    free(mistakes);

    write_ring(fixture, CONFIG_PEERS_MAX + 10, CONFIG_PEERS_MAX);
    config = config_load_good(fixture->path);
    assert_int_equal(config->servers[0].peer_count, CONFIG_PEERS_MAX);
    config_free(config);
    write_ring(fixture, CONFIG_PEERS_MAX + 10, CONFIG_PEERS_MAX + 2);
    mistakes = config_load_bad(fixture->path);
    assert_contains(mistakes, "F:1: server S0: more than 64 peers\n");
    assert_null(strstr(mistakes, "does not name"));
    free(mistakes);
}

static void test_too_many_mistakes(void **state)
{
    struct config_fixture *fixture = *state;
    struct herd_buf text = {0};
    for (int i = 0; i < CONFIG_MISTAKES_MAX + 23; i++)
        assert_int_equal(herd_buf_printf(&text, "what = %d\n", i), 0);
    assert_int_equal(herd_buf_append_text(&text, HILL), 0);
    testing_write_file(fixture->path, text.data, text.len);
    herd_buf_free(&text);
    char *mistakes = config_load_bad(fixture->path);
    assert_contains(mistakes, "F:100: unknown key \"what\"\nF: and 23 more\n");
    free(mistakes);
}

/* A ring of servers, each with so many neighbours on either side. */
static struct config *load_ring(const struct config_fixture *fixture, const char *head, int servers,
                                int neighbours, bool closed)
{
    struct herd_buf text = {0};
    assert_int_equal(herd_buf_append_text(&text, head), 0);
    for (int i = 0; i < servers; i++) {
        assert_int_equal(
            herd_buf_printf(&text, "server S%d { listen = \"127.0.0.1:%d\" peers = {", i, i + 1),
            0);
        for (int k = -neighbours; k <= neighbours; k++) {
            if (k != 0 && (closed || (i + k >= 0 && i + k < servers)))
                assert_int_equal(herd_buf_printf(&text, "S%d,", (i + k + servers) % servers), 0);
        }
        assert_int_equal(herd_buf_append_text(&text, "} }\n"), 0);
    }
    assert_int_equal(herd_buf_append(&text, "", 1), 0);
    struct config *config = config_load_good_text(fixture, text.data);
    herd_buf_free(&text);
    return config;
}

static void test_which_herds_prune(void **state)
{
    static const struct {
        const char *head;
        int servers, neighbours;
        bool closed, prunes;
    } rows[] = {
        {"", 15, 2, true, false}, /* small */
        {"", 16, 2, true, true},
        {"", 100, 2, true, true},
        {"", 100, 1, false, false}, /* a line has nothing to save, a ring one in V */
        {"", 100, 1, true, false},
        {"prune = auto\n", 16, 2, true, true},
        {"prune = off\n", 100, 2, true, false},
        {"prune = on\n", 2, 1, false, true},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct config *config =
            load_ring(*state, rows[i].head, rows[i].servers, rows[i].neighbours, rows[i].closed);
        if (config_wants_pruning(config) != rows[i].prunes)
            fail_msg("row %zu: %d", i, !rows[i].prunes);
        config_free(config);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CONFIG_TEST(test_the_seed),          CONFIG_TEST(test_defaults),
        CONFIG_TEST(test_all_ways_to_write), CONFIG_TEST(test_byte_order_mark),
        CONFIG_TEST(test_strings),           CONFIG_TEST(test_relative_paths),
        CONFIG_TEST(test_default_path),      CONFIG_TEST(test_files),
        CONFIG_TEST(test_size_of_the_file),  CONFIG_TEST(test_how_many_servers_and_peers),
        CONFIG_TEST(test_too_many_mistakes), CONFIG_TEST(test_which_herds_prune),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
