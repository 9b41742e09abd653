/*
 * A byte of how it is cut, then a file of features. However it is cut, the same features come out of
 * it; and what is made of one is a row that a table of places may have.
 */
#include <math.h>
#include <stdlib.h>

#include "fuzz.h"
#include "places/feature.h"
#include "places/feature_reader.h"

struct file {
    struct herd_slice rest;
    size_t step;
};

static int64_t read_some(void *arg, char *data, size_t size)
{
    struct file *file = arg;
    size_t len = file->rest.len < size ? file->rest.len : size;
    if (file->step > 0 && len > file->step)
        len = file->step;
    if (len == 0)
        return 0;
    memcpy(data, file->rest.data, len);
    file->rest = herd_slice(file->rest.data + len, file->rest.len - len);
    return (int64_t)len;
}

static void check_row(struct feature_maker *maker, struct herd_slice text)
{
    struct local_row row;
    enum feature_fault fault;
    FUZZ_CHECK(feature_make(maker, text, &row, &fault) == 0);
    if (fault != FEATURE_GOOD)
        return;
    FUZZ_CHECK(row.name[0] != '\0' && strpbrk(row.name, "\t\n") == NULL);
    FUZZ_CHECK(fabs(row.location.latitude) <= 90 && fabs(row.location.longitude) <= 180);
    FUZZ_CHECK(row.place_id[0] != '\0' && row.types[0] != '\0' && row.extent_m > 0);
}

/* All features, one after the other, with their states and lines. */
static void read_all(struct file file, struct herd_buf *out)
{
    struct feature_reader *reader;
    struct feature_maker maker = {0};
    struct feature feature;
    FUZZ_CHECK(feature_reader_new(read_some, &file, &reader) == 0);
    int rc;
    while ((rc = feature_reader_next(reader, &feature)) > 0) {
        if (feature.state == FEATURE_WHOLE)
            check_row(&maker, feature.text);
        FUZZ_CHECK(herd_buf_printf(out, "%d %d:", (int)feature.state, (int)feature.line) == 0);
        FUZZ_CHECK(herd_buf_append_slice(out, feature.text) == 0);
    }
    FUZZ_CHECK(herd_buf_printf(out, "%d", rc) == 0);
    feature_maker_free(&maker);
    feature_reader_free(reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, data + size};
    size_t step = fuzz_byte(&input);
    struct herd_slice text = fuzz_bytes(&input, size);
    struct herd_buf whole = {0}, cut = {0};
    read_all((struct file){text, 0}, &whole);
    read_all((struct file){text, step + 1}, &cut);
    fuzz_expect("features", herd_buf_slice(&cut), herd_buf_slice(&whole));
    herd_buf_free(&whole);
    herd_buf_free(&cut);
    return 0;
}
