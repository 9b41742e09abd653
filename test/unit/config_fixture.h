/* config_fixture.h: a folder with a herd.conf to load, for the tests of config.h. */
#ifndef CONFIG_FIXTURE_H
#define CONFIG_FIXTURE_H

#include "base/config.h"
#include "testing.h"

/* A server that is needed where the test is about something else. */
#define HILL "server Hill { listen = \"127.0.0.1:1\" }\n"

struct config_fixture {
    char *folder;
    char *path; /* of herd.conf in it, which the test writes */
};

int config_setup(void **state);
int config_teardown(void **state);

/* Loads what must be right; free with config_free. */
struct config *config_load_good(const char *path);
struct config *config_load_good_text(const struct config_fixture *fixture, const char *text);

/* The mistakes in what must be wrong, with `F` for the path of the file; free with free(). */
char *config_load_bad(const char *path);
void assert_config_mistakes(const struct config_fixture *fixture, const char *text,
                            const char *expected);

/* A file and what is wrong with it. */
struct config_bad_text {
    const char *text, *expected;
};
void assert_config_rows(const struct config_fixture *fixture, const struct config_bad_text *rows,
                        size_t count);

#define CONFIG_TEST(name) cmocka_unit_test_setup_teardown(name, config_setup, config_teardown)

#endif
