#include "local_fixture.h"

#include <stdlib.h>

#include "places/local_build.h"
#include "testing.h"

static const char head[] = "#herd-places\t1\n"
                           "#name\tTest\n"
                           "#attribution\t<b>\"Test\"</b>\n"
                           "#licence\tCC0-1.0\n"
                           "#version\ttest 1\n"
                           "#columns\tplace_id\tname\tlatitude\tlongitude\ttypes\tkind\tcountry\t"
                           "population\textent_m\tvicinity\n";

int folder_setup(void **state)
{
    struct folder *folder = calloc(1, sizeof *folder);
    assert_non_null(folder);
    folder->path = testing_make_folder();
    folder->table = testing_path(folder->path, "table.tsv");
    folder->places = testing_path(folder->path, "places.db");
    *state = folder;
    return 0;
}

int folder_teardown(void **state)
{
    struct folder *folder = *state;
    testing_remove_folder(folder->path);
    free(folder->table);
    free(folder->places);
    free(folder);
    return 0;
}

void write_table(const struct folder *folder, const char *rows)
{
    struct herd_buf text = {0};
    assert_int_equal(herd_buf_printf(&text, "%s%s", head, rows), 0);
    testing_write_file(folder->table, text.data, text.len);
    herd_buf_free(&text);
}

void build_places(const struct folder *folder, const char *rows)
{
    write_table(folder, rows);
    const char *table = folder->table;
    struct herd_buf error = {0};
    int64_t places;
    if (local_build(folder->places, &table, 1, &places, &error) < 0)
        fail_msg("%.*s", (int)error.len, error.data);
    herd_buf_free(&error);
}
