/* The sorter of rows: in memory, by parts in a file, with records larger than its memory. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <herd/err.h>

#include "core/rng.h"
#include "places/row_sorter.h"
#include "testing.h"

enum { MEMORY_BYTES = 4096 };

struct record {
    uint64_t key;
    uint32_t number; /* in the order they are added */
    size_t len;      /* of the whole record: number, key, filling */
};

static int compare(const void *a, const void *b)
{
    const struct record *left = a, *right = b;
    if (left->key != right->key)
        return left->key < right->key ? -1 : 1;
    return left->number < right->number ? -1 : 1;
}

static size_t write_record(const struct record *record, char *out)
{
    memset(out, (int)(record->number & 0xff), record->len);
    memcpy(out, &record->key, sizeof record->key);
    memcpy(out + sizeof record->key, &record->number, sizeof record->number);
    return record->len;
}

/* Adds records, and compares what comes back with them sorted, byte for byte. */
static void check(struct record *records, size_t count)
{
    char *folder = testing_make_folder();
    char *path = testing_path(folder, "out.db");
    char *bytes = malloc(1 << 17);
    struct row_sorter *sorter;
    struct herd_slice got;
    assert_int_equal(row_sorter_new(path, MEMORY_BYTES, &sorter), 0);
    for (size_t i = 0; i < count; i++) {
        size_t len = write_record(&records[i], bytes);
        assert_int_equal(row_sorter_add(sorter, records[i].key, herd_slice(bytes, len)), 0);
    }
    qsort(records, count, sizeof *records, compare);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(row_sorter_next(sorter, &got), 1);
        assert_int_equal(got.len, write_record(&records[i], bytes));
        assert_memory_equal(got.data, bytes, got.len);
    }
    assert_int_equal(row_sorter_next(sorter, &got), 0);
    assert_int_equal(row_sorter_next(sorter, &got), 0);
    row_sorter_free(sorter);
    free(bytes);
    free(path);
    assert_int_equal(rmdir(folder), 0); /* nothing is left in it */
    free(folder);
}

/* From what fits into memory to hundreds of runs, with many records of a key. */
static void test_against_qsort(void **state)
{
    (void)state;
    static const size_t counts[] = {0, 1, 10, 60, 200, 20000};
    struct rng rng = {7};
    struct record *records = malloc(20000 * sizeof *records);
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        uint64_t keys = i % 2 == 0 ? 10 : UINT64_MAX;
        for (uint32_t j = 0; j < counts[i]; j++)
            records[j] =
                (struct record){rng_next(&rng) % keys, j, 12 + (size_t)rng_below(&rng, 100)};
        check(records, counts[i]);
    }
    free(records);
}

/* Larger than the whole memory, first, last, and between small ones. */
static void test_large_records(void **state)
{
    (void)state;
    struct record records[300];
    for (uint32_t i = 0; i < 300; i++)
        records[i] = (struct record){(i * 7919) % 300, i, i % 50 == 49 || i == 0 ? 100000 : 20};
    check(records, 300);
}

static void test_no_file_can_be_made(void **state)
{
    (void)state;
    char *folder = testing_make_folder();
    char *path = testing_path(folder, "missing/out.db");
    struct row_sorter *sorter;
    char bytes[1000] = {0};
    int rc = 0;
    assert_int_equal(row_sorter_new(path, MEMORY_BYTES, &sorter), 0);
    for (int i = 0; i < 10 && rc == 0; i++)
        rc = row_sorter_add(sorter, 1, herd_slice(bytes, sizeof bytes));
    assert_int_equal(rc, HERD_EIO);
    assert_int_equal(errno, ENOENT);
    assert_int_equal(row_sorter_add(sorter, 1, herd_slice(bytes, SIZE_MAX)), HERD_ETOOLONG);
    row_sorter_free(sorter);
    row_sorter_free(NULL);
    free(path);
    testing_remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_qsort),
        cmocka_unit_test(test_large_records),
        cmocka_unit_test(test_no_file_can_be_made),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
