/* Where the API key comes from, and that it gets out nowhere. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <herd/err.h>

#include "places/web_key.h"
#include "testing.h"

static const char a_key[] = "AIzaSyStandIn-0123456789_abcdefghijklmno";

struct fixture {
    char *folder, *path;
    struct web_key key;
    struct herd_buf error;
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    fixture->folder = testing_make_folder();
    fixture->path = testing_path(fixture->folder, "places.key");
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    herd_buf_free(&fixture->error);
    free(fixture->path);
    testing_remove_folder(fixture->folder);
    free(fixture);
    return 0;
}

static void put(struct fixture *fixture, const char *bytes, size_t len, mode_t mode)
{
    testing_write_file(fixture->path, bytes, len);
    assert_int_equal(chmod(fixture->path, mode), 0);
}

static void put_text(struct fixture *fixture, const char *text, mode_t mode)
{
    put(fixture, text, strlen(text), mode);
}

static void assert_read(struct fixture *fixture, const char *path, const char *credentials)
{
    int rc = web_key_read(path, credentials, &fixture->key, &fixture->error);
    if (rc < 0)
        fail_msg("%d: %.*s", rc, (int)fixture->error.len, fixture->error.data);
    assert_string_equal(fixture->key.text, a_key);
    assert_int_equal(fixture->key.len, strlen(a_key));
}

/* The key is refused: with that error, a sentence that has `part`, and no trace of what was read.
 */
static void assert_refused(struct fixture *fixture, const char *path, const char *credentials,
                           int error, const char *part)
{
    static const struct web_key wiped;
    memset(&fixture->key, 'x', sizeof fixture->key);
    fixture->error.len = 0;
    assert_int_equal(web_key_read(path, credentials, &fixture->key, &fixture->error), error);
    assert_memory_equal(&fixture->key, &wiped, sizeof wiped);
    char *sentence = testing_take_text(&fixture->error);
    assert_contains(sentence, part);
    assert_null(strstr(sentence, "AIza"));
    free(sentence);
}

static void test_trimmed(void **state)
{
    struct fixture *fixture = *state;
    static const char *const around[][2] = {{"", ""}, {"", "\n"}, {"\r\n \t", " \r\n\n"}};
    for (size_t i = 0; i < sizeof around / sizeof around[0]; i++) {
        char text[200];
        snprintf(text, sizeof text, "%s%s%s", around[i][0], a_key, around[i][1]);
        put_text(fixture, text, 0600);
        assert_read(fixture, fixture->path, NULL);
    }
    put_text(fixture, a_key, 0400);
    assert_read(fixture, fixture->path, NULL);
}

static void test_symbolic_link(void **state)
{
    struct fixture *fixture = *state;
    put_text(fixture, a_key, 0600);
    char *link = testing_path(fixture->folder, "link");
    assert_int_equal(symlink("places.key", link), 0);
    assert_read(fixture, link, NULL);
    free(link);
}

static void test_modes(void **state)
{
    struct fixture *fixture = *state;
    static const mode_t open_modes[] = {0644, 0640, 0604, 0620, 0602, 0666, 0777, 0610, 0601};
    put_text(fixture, a_key, 0600);
    for (size_t i = 0; i < sizeof open_modes / sizeof open_modes[0]; i++) {
        assert_int_equal(chmod(fixture->path, open_modes[i]), 0);
        assert_refused(fixture, fixture->path, NULL, HERD_EINVAL, "chmod 600");
    }
}

static void test_no_file(void **state)
{
    struct fixture *fixture = *state;
    assert_refused(fixture, fixture->path, NULL, HERD_EIO, "No such file");
    assert_refused(fixture, fixture->folder, NULL, HERD_EINVAL, "not a regular file");
    assert_int_equal(mkfifo(fixture->path, 0600), 0);
    assert_refused(fixture, fixture->path, NULL, HERD_EINVAL, "not a regular file");
    assert_refused(fixture, "/dev/null", NULL, HERD_EINVAL, "not a regular file");
}

static void test_no_key_in_it(void **state)
{
    struct fixture *fixture = *state;
    static const struct {
        const char *text;
        size_t len;
        const char *part;
    } cases[] = {
        {"", 0, "empty"},
        {" \n\t\r\n", 5, "empty"},
        {"AIza two words", 14, "printable ASCII"},
        {"AIza\nAIza", 9, "printable ASCII"},
        {"AIza\0AIza", 9, "printable ASCII"},
        {"AIza\xc3\xa9", 6, "printable ASCII"},
        {"\xef\xbb\xbf"
         "AIza",
         7, "printable ASCII"},
        {"AIza\x7f", 5, "printable ASCII"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        put(fixture, cases[i].text, cases[i].len, 0600);
        assert_refused(fixture, fixture->path, NULL, HERD_EINVAL, cases[i].part);
    }
}

static void test_sizes(void **state)
{
    struct fixture *fixture = *state;
    char text[WEB_KEY_FILE_MAX_BYTES + 1];
    memset(text, 'k', sizeof text);
    put(fixture, text, WEB_KEY_MAX, 0600);
    assert_int_equal(web_key_read(fixture->path, NULL, &fixture->key, &fixture->error), 0);
    assert_int_equal(fixture->key.len, WEB_KEY_MAX);
    assert_int_equal(strlen(fixture->key.text), WEB_KEY_MAX);
    put(fixture, text, WEB_KEY_MAX + 1, 0600);
    assert_refused(fixture, fixture->path, NULL, HERD_EINVAL, "too long");
    snprintf(text, sizeof text, "%s%*s", a_key, (int)(sizeof text - sizeof a_key), "\n");
    put(fixture, text, sizeof text - 1, 0600);
    assert_read(fixture, fixture->path, NULL);
    text[sizeof text - 1] = '\n';
    put(fixture, text, sizeof text, 0600);
    assert_refused(fixture, fixture->path, NULL, HERD_EINVAL, "too large");
}

static void test_systemd_credential(void **state)
{
    struct fixture *fixture = *state;
    assert_refused(fixture, "", NULL, HERD_ENOTFOUND, "key_file");
    assert_refused(fixture, "", "", HERD_ENOTFOUND, "key_file");
    assert_refused(fixture, "", fixture->folder, HERD_ENOTFOUND, "places.key");
    put_text(fixture, a_key, 0400);
    assert_read(fixture, "", fixture->folder);
    /* systemd lets the service's user in by an access list: its mask is the group's bits. */
    assert_int_equal(chmod(fixture->path, 0440), 0);
    assert_read(fixture, "", fixture->folder);
    assert_read(fixture, fixture->path, fixture->folder);
    assert_refused(fixture, fixture->path, NULL, HERD_EINVAL, "chmod 600");
    assert_refused(fixture, fixture->path, "/somewhere", HERD_EINVAL, "chmod 600");
    assert_int_equal(chmod(fixture->path, 0444), 0);
    assert_refused(fixture, "", fixture->folder, HERD_EINVAL, "chmod 600");
}

/* A key_file that is named counts, whatever the credentials hold. */
static void test_key_file_comes_first(void **state)
{
    struct fixture *fixture = *state;
    put_text(fixture, "another-key", 0600);
    char *named = testing_path(fixture->folder, "named");
    testing_write_file(named, a_key, strlen(a_key));
    assert_int_equal(chmod(named, 0600), 0);
    assert_read(fixture, named, fixture->folder);
    free(named);
}

static void test_hide(void **state)
{
    (void)state;
    const struct web_key key = {.len = 4, .text = "KeyK"};
    char text[] = "KeyK, KeyKKeyK! KeyKeyK KeyOK keyk";
    web_key_hide(&key, text);
    assert_string_equal(text, "****, ********! ****eyK KeyOK keyk");
    const struct web_key none = {0};
    web_key_hide(&none, text);
    assert_string_equal(text, "****, ********! ****eyK KeyOK keyk");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_trimmed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_symbolic_link, setup, teardown),
        cmocka_unit_test_setup_teardown(test_modes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_key_in_it, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sizes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_systemd_credential, setup, teardown),
        cmocka_unit_test_setup_teardown(test_key_file_comes_first, setup, teardown),
        cmocka_unit_test(test_hide),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
