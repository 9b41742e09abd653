#include <stdlib.h>

#include <herd/err.h>

#include "config_fixture.h"

/* https://prng.di.unimi.it/splitmix64.c */
static uint64_t next_random(uint64_t *seed)
{
    uint64_t z = (*seed += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

static size_t random_below(uint64_t *seed, size_t limit)
{
    return limit > 0 ? (size_t)(next_random(seed) % limit) : 0;
}

static void replace(struct herd_buf *text, size_t at, size_t len, const char *by, size_t by_len)
{
    struct herd_buf made = {0};
    assert_int_equal(herd_buf_reserve(&made, 1), 0);
    assert_int_equal(herd_buf_append(&made, text->data, at) | herd_buf_append(&made, by, by_len) |
                         herd_buf_append(&made, text->data + at + len, text->len - at - len),
                     0);
    herd_buf_free(text);
    *text = made;
}

static void mutate(struct herd_buf *text, uint64_t *seed)
{
    static const char *const pieces[] = {
        "{",
        "}",
        "=",
        ",",
        "\"",
        "'",
        "\\",
        "#",
        "//",
        "/*",
        "*/",
        "\n",
        "${HOME}",
        "$",
        "(",
        "+=",
        "server ",
        "places ",
        "peers = ",
        "listen = ",
        "security = tls ",
        "\"\\\"\"",
        "*",
        "\r",
        "\xff",
        "\x01",
        "|",
        "server Hill {",
        "99999999999999999999",
        "127.0.0.1:21401",
        "[::1]:1",
        "-",
    };
    size_t at = random_below(seed, text->len + 1);
    size_t len = random_below(seed, 12);
    len = len < text->len - at ? len : text->len - at;
    const char *piece = pieces[random_below(seed, sizeof pieces / sizeof *pieces)];
    char byte = (char)random_below(seed, 256);
    struct herd_buf part = {0};
    switch (random_below(seed, 5)) {
    case 0:
        replace(text, at, len, "", 0);
        break;
    case 1:
        replace(text, at, 0, piece, strlen(piece));
        break;
    case 2:
        replace(text, at, len > 0, &byte, 1);
        break;
    case 3:
        assert_int_equal(herd_buf_append(&part, text->data + at, len), 0);
        replace(text, random_below(seed, text->len + 1), 0, part.data, part.len);
        herd_buf_free(&part);
        break;
    default:
        if (random_below(seed, 10) == 0)
            text->len = at;
        break;
    }
}

static void assert_sound(const struct config *config)
{
    assert_true(config->server_count > 0);
    for (size_t i = 0; i < config->server_count; i++) {
        const struct config_server *server = &config->servers[i];
        assert_ptr_equal(config_find(config, server->name), server);
        assert_true(server->listen.port > 0 && server->listen.host[0] != '\0');
        for (size_t k = 0; k < server->peer_count; k++) {
            const struct config_server *peer = &config->servers[server->peers[k]];
            size_t back = 0;
            while (back < peer->peer_count && peer->peers[back] != i)
                back++;
            assert_true(peer != server && back < peer->peer_count);
        }
    }
    assert_string_equal(config->values.security, "open");
    assert_in_range(config->values.connections_max, 16, 1000000);
}

/* Whatever is in the file: it is taken, and then it is sound, or a mistake is told. */
static void test_mutations(void **state)
{
    enum { ROUNDS = 4000, MUTATIONS_MAX = 6 };
    struct config_fixture *fixture = *state;
    char *seed_text = testing_read_file(HERD_CONF);
    uint64_t seed = 20260727;
    int good = 0;
    for (int round = 0; round < ROUNDS; round++) {
        struct herd_buf text = {0};
        assert_int_equal(herd_buf_append_text(&text, seed_text), 0);
        for (size_t i = random_below(&seed, MUTATIONS_MAX) + 1; i > 0; i--)
            mutate(&text, &seed);
        testing_write_file(fixture->path, text.data, text.len);
        herd_buf_free(&text);
        struct config *config = NULL;
        struct herd_buf errors = {0};
        int rc = config_load(fixture->path, &config, &errors);
        char *mistakes = testing_take_text(&errors);
        if (rc == 0) {
            good++;
            assert_string_equal(mistakes, "");
            assert_sound(config);
            config_free(config);
        } else {
            assert_int_equal(rc, HERD_EINVAL);
            assert_contains(mistakes, fixture->path);
        }
        free(mistakes);
    }
    free(seed_text);
    assert_in_range(good, ROUNDS / 20, ROUNDS - ROUNDS / 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CONFIG_TEST(test_mutations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
