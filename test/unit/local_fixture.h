/* local_fixture.h: places files made of a few rows, in a folder of the test's own. */
#ifndef TEST_LOCAL_FIXTURE_H
#define TEST_LOCAL_FIXTURE_H

struct folder {
    char *path;
    char *table;  /* path/table.tsv */
    char *places; /* path/places.db */
};

/* cmocka's setup and teardown of a test: *state is a struct folder. */
int folder_setup(void **state);
int folder_teardown(void **state);

/* Writes folder->table with these rows, each with its LF, of a source "Test". */
void write_table(const struct folder *folder, const char *rows);

/* The same, and makes folder->places of it. */
void build_places(const struct folder *folder, const char *rows);

#endif
