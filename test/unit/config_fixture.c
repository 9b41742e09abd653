#include <stdlib.h>

#include <herd/err.h>

#include "config_fixture.h"

int config_setup(void **state)
{
    struct config_fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    fixture->folder = testing_make_folder();
    fixture->path = testing_path(fixture->folder, "herd.conf");
    *state = fixture;
    return 0;
}

int config_teardown(void **state)
{
    struct config_fixture *fixture = *state;
    free(fixture->path);
    testing_remove_folder(fixture->folder);
    free(fixture);
    return 0;
}

struct config *config_load_good(const char *path)
{
    struct config *config = NULL;
    struct herd_buf errors = {0};
    int rc = config_load(path, &config, &errors);
    char *text = testing_take_text(&errors);
    assert_string_equal(text, "");
    assert_int_equal(rc, 0);
    free(text);
    return config;
}

struct config *config_load_good_text(const struct config_fixture *fixture, const char *text)
{
    testing_write_file(fixture->path, text, strlen(text));
    return config_load_good(fixture->path);
}

char *config_load_bad(const char *path)
{
    struct config *config = NULL;
    struct herd_buf errors = {0};
    int rc = config_load(path, &config, &errors);
    char *text = testing_take_text(&errors);
    assert_null(config);
    assert_int_equal(rc, HERD_EINVAL);
    assert_string_not_equal(text, "");
    struct herd_buf shown = {0};
    char *rest = text;
    char *line;
    while ((line = strsep(&rest, "\n")) != NULL && rest != NULL) {
        assert_memory_equal(line, path, strlen(path));
        assert_int_equal(herd_buf_printf(&shown, "F%s\n", line + strlen(path)), 0);
    }
    assert_string_equal(line, "");
    free(text);
    return testing_take_text(&shown);
}

void assert_config_mistakes(const struct config_fixture *fixture, const char *text,
                            const char *expected)
{
    testing_write_file(fixture->path, text, strlen(text));
    char *mistakes = config_load_bad(fixture->path);
    assert_string_equal(mistakes, expected);
    free(mistakes);
}

void assert_config_rows(const struct config_fixture *fixture, const struct config_bad_text *rows,
                        size_t count)
{
    for (size_t i = 0; i < count; i++)
        assert_config_mistakes(fixture, rows[i].text, rows[i].expected);
}
