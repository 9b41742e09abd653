/* Import: features out of files of every kind and cut, geometries, ids, GeoNames' lines. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <herd/err.h>

#include "core/rng.h"
#include "places/feature.h"
#include "places/feature_reader.h"
#include "places/geometry.h"
#include "places/geonames.h"
#include "places/import.h"
#include "places/local_db.h"
#include "testing.h"

/* ---- Features out of bytes ------------------------------------------------------------------ */

struct bytes {
    struct herd_slice rest;
    size_t step; /* at most so many at once; 0: as many as there is room for */
    struct rng *rng;
};

static int64_t give_bytes(void *arg, char *data, size_t size)
{
    struct bytes *bytes = arg;
    size_t len = bytes->rest.len < size ? bytes->rest.len : size;
    if (bytes->step > 0 && len > bytes->step)
        len = bytes->step;
    if (bytes->rng != NULL && len > 1)
        len = 1 + rng_below(bytes->rng, len);
    memcpy(data, bytes->rest.data, len);
    bytes->rest = herd_slice(bytes->rest.data + len, bytes->rest.len - len);
    return (int64_t)len;
}

/* Each feature as `LINE:text ` or `LINE:!text ` (cut off), `LINE:# ` (too large) or `LINE:? `
 * (stray); then the result. */
static char *features_of(struct bytes bytes)
{
    struct feature_reader *reader;
    struct feature feature;
    struct herd_buf out = {0};
    assert_int_equal(feature_reader_new(give_bytes, &bytes, &reader), 0);
    int rc;
    while ((rc = feature_reader_next(reader, &feature)) > 0) {
        static const char *const marks[] = {[FEATURE_WHOLE] = "",
                                            [FEATURE_TOO_LARGE] = "#",
                                            [FEATURE_CUT_OFF] = "!",
                                            [FEATURE_STRAY] = "?"};
        herd_buf_printf(&out, "%d:%s%.*s ", (int)feature.line, marks[feature.state],
                        (int)feature.text.len, feature.text.data);
    }
    herd_buf_printf(&out, "%d", rc);
    feature_reader_free(reader);
    return testing_take_text(&out);
}

static const struct {
    const char *text, *features;
} texts[] = {
    {"", "0"},
    {" \n\t", "0"},
    {"{\"type\":\"FeatureCollection\",\"features\":[]}", "0"},
    {"{\"type\":\"FeatureCollection\",\"features\":[{\"a\":1},{\"b\":[{}]}]}",
     "1:{\"a\":1} 1:{\"b\":[{}]} 0"},
    {"{\n\"features\": [\n{\"a\":\n1}\n,\n{\"b\":2}], \"type\":\"FeatureCollection\"}\n",
     "3:{\"a\":\n1} 6:{\"b\":2} 0"},
    {"{\"bbox\":[1,2],\"x\":{\"features\":[{}]},\"features\":[{\"features\":[{}]}]}",
     "1:{\"features\":[{}]} 0"},
    {"{\"a\":\"}]{[\\\"\\\\\"}", "1:{\"a\":\"}]{[\\\"\\\\\"} 0"},
    {"{\"a\":1}\n{\"b\":2}\n", "1:{\"a\":1} 2:{\"b\":2} 0"},
    {"{\"a\":1}{\"b\":2}", "1:{\"a\":1} 1:{\"b\":2} 0"},
    {"\x1e{\"a\":1}\n\x1e{\n\"b\":2\n}\n", "1:{\"a\":1} 2:{\n\"b\":2\n} 0"},
    {"{\"a\":1}\n{\"b\":\n{\"c\":3}\n", "1:{\"a\":1} 2:!{\"b\": 3:{\"c\":3} 0"},
    {"{\"a\":1}\n{\"b\":\"2\n{\"c\":3}\n", "1:{\"a\":1} 2:!{\"b\":\"2 3:{\"c\":3} 0"},
    {"\x1e{\"a\":1}\n\x1e{\"b\":\n\x1e{\"c\":3}\n", "1:{\"a\":1} 2:!{\"b\":\n 3:{\"c\":3} 0"},
    {"{\"a\":1}\n{\"b\":", "1:{\"a\":1} 2:!{\"b\": 0"},
    {"{\n\"a\":1\n}\n{\n\"b\":2\n}", "1:{\n\"a\":1\n} 4:{\n\"b\":2\n} 0"},
    {"\xef\xbb\xbf{\"a\":1}", "1:{\"a\":1} 0"},
    {"{\"features\":[{\"a\":1},{\"b\"", "1:{\"a\":1} -3"},
    {"[{\"a\":1}]", "-3"},
    {"{\"a\":1}\nnonsense {[\n{\"b\":2}\n", "1:{\"a\":1} 2:? 3:{\"b\":2} 0"},
    {"{\"a\":1}\nnonsense", "1:{\"a\":1} 2:? 0"},
    {"{\"a\":1}\n{\"b\":]}\n{\"c\":3}\n", "1:{\"a\":1} 2:{\"b\":] 3:{\"c\":3} 0"},
    {"nonsense\n{\"a\":1}", "-3"},
};

static void test_features(void **state)
{
    (void)state;
    struct rng rng = {3};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        const struct bytes ways[] = {{herd_slice_of(texts[i].text), 0, NULL},
                                     {herd_slice_of(texts[i].text), 1, NULL},
                                     {herd_slice_of(texts[i].text), 0, &rng}};
        for (size_t j = 0; j < 3; j++) {
            char *features = features_of(ways[j]);
            assert_string_equal(features, texts[i].features);
            free(features);
        }
    }
}

/* Bytes of all kinds: it ends, and never gives what is not there. */
static void test_nonsense(void **state)
{
    (void)state;
    static const char letters[] = "{}[]\"\\:,\n\x1e a1features";
    struct rng rng = {9};
    for (int i = 0; i < 20000; i++) {
        char text[64];
        size_t len = rng_below(&rng, sizeof text);
        for (size_t j = 0; j < len; j++)
            text[j] = letters[rng_below(&rng, sizeof letters - 1)];
        struct bytes bytes = {herd_slice(text, len), 0, &rng};
        free(features_of(bytes));
    }
}

static void test_a_feature_that_is_too_large(void **state)
{
    (void)state;
    struct herd_buf text = {0};
    herd_buf_append_text(&text, "{\"features\":[{\"a\":\"");
    assert_int_equal(herd_buf_reserve(&text, FEATURE_MAX_BYTES + 100), 0);
    memset(text.data + text.len, 'x', FEATURE_MAX_BYTES);
    text.len += FEATURE_MAX_BYTES;
    herd_buf_append_text(&text, "\"},{\"b\":1}]}");
    char *features = features_of((struct bytes){herd_buf_slice(&text), 0, NULL});
    assert_string_equal(features, "1:# 1:{\"b\":1} 0");
    free(features);
    herd_buf_free(&text);
}

/* ---- Geometries ----------------------------------------------------------------------------- */

static void test_geometries(void **state)
{
    (void)state;
    static const struct {
        const char *geometry;
        bool is_one;
        double latitude, longitude;
        int64_t extent_m;
    } cases[] = {
        {"{\"type\":\"Point\",\"coordinates\":[2,1]}", true, 1, 2, 0},
        {"{\"type\":\"Point\",\"coordinates\":[2,1,77]}", true, 1, 2, 0},
        {"{\"type\":\"MultiPoint\",\"coordinates\":[[0,0],[2,0]]}", true, 0, 1, 111195},
        {"{\"type\":\"LineString\",\"coordinates\":[[10,0],[10,2],[10,2]]}", true, 1, 10, 111195},
        {"{\"type\":\"MultiLineString\",\"coordinates\":[[[0,0],[1,0]],[[2,0]]]}", true, 0, 1,
         111195},
        {"{\"type\":\"Polygon\",\"coordinates\":[[[0,0],[2,0],[2,2],[0,2],[0,0]]]}", true, 1, 1,
         111195},
        /* An L: its centroid is not the middle of its box. */
        {"{\"type\":\"Polygon\",\"coordinates\":[[[0,0],[2,0],[2,1],[1,1],[1,2],[0,2],[0,0]]]}",
         true, 5.0 / 6, 5.0 / 6, 111195},
        {"{\"type\":\"MultiPolygon\",\"coordinates\":[[[[50,0],[51,0],[51,1],[50,0]]],"
         "[[[0,0],[0,2],[2,2],[2,0],[0,0]],[[1,1],[1.1,1],[1,1.1],[1,1]]]]}",
         true, 1, 1, 111195},
        {"{\"type\":\"Polygon\",\"coordinates\":[[[179,0],[-179,0],[-179,2],[179,2],[179,0]]]}",
         true, 1, 180, 111195},
        {"{\"type\":\"Polygon\",\"coordinates\":[[[1,1],[1,1],[1,1]]]}", true, 1, 1, 0},
        {"{\"type\":\"Point\",\"coordinates\":[181,1]}", false, 0, 0, 0},
        {"{\"type\":\"Point\",\"coordinates\":[1,\"1\"]}", false, 0, 0, 0},
        {"{\"type\":\"Point\",\"coordinates\":[]}", false, 0, 0, 0},
        {"{\"type\":\"Polygon\",\"coordinates\":[]}", false, 0, 0, 0},
        {"{\"type\":\"MultiPolygon\",\"coordinates\":[]}", false, 0, 0, 0},
        {"{\"type\":\"Polygon\",\"coordinates\":[[[0,0],[2,91]]]}", false, 0, 0, 0},
        {"{\"type\":\"Circle\",\"coordinates\":[1,1]}", false, 0, 0, 0},
        {"{}", false, 0, 0, 0},
        {"[]", false, 0, 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        json_t *json = json_loads(cases[i].geometry, 0, NULL);
        struct geometry geometry;
        assert_non_null(json);
        if (geometry_read(json, &geometry) != cases[i].is_one)
            fail_msg("%s", cases[i].geometry);
        if (cases[i].is_one) {
            bool is_there = fabs(geometry.middle.latitude - cases[i].latitude) < 1e-9 &&
                            fabs(geometry.middle.longitude - cases[i].longitude) < 1e-9 &&
                            llabs(geometry.extent_m - cases[i].extent_m) < 20;
            if (!is_there)
                fail_msg("%s: %.12g %.12g %lld m", cases[i].geometry, geometry.middle.latitude,
                         geometry.middle.longitude, (long long)geometry.extent_m);
        }
        json_decref(json);
    }
}

/* ---- Rows ----------------------------------------------------------------------------------- */

#define AT_1_2 "\"geometry\":{\"type\":\"Point\",\"coordinates\":[2,1]}"

static void test_rows(void **state)
{
    (void)state;
    static const struct {
        const char *feature;
        enum feature_fault fault;
        const char *place_id, *name, *kind;
    } cases[] = {
        {"{\"type\":\"Feature\",\"id\":\"w5\"," AT_1_2
         ",\"properties\":{\"@type\":\"node\",\"@id\":123,\"name\":\"A\",\"amenity\":\"pub\"}}",
         FEATURE_GOOD, "osm:n123", "A", "pub"},
        {"{\"type\":\"Feature\",\"id\":\"w5\"," AT_1_2 ",\"properties\":{\"name\":\"A\"}}",
         FEATURE_GOOD, "osm:w5", "A", ""},
        {"{\"type\":\"Feature\",\"id\":\"a122\"," AT_1_2 ",\"properties\":{\"name\":\"A\"}}",
         FEATURE_GOOD, "osm:w61", "A", ""},
        {"{\"type\":\"Feature\",\"id\":\"a123\"," AT_1_2 ",\"properties\":{\"name\":\"A\"}}",
         FEATURE_GOOD, "osm:r61", "A", ""},
        {"{\"type\":\"Feature\"," AT_1_2 ",\"properties\":{\"osm_id\":\"77\",\"Name\":\"A\"}}",
         FEATURE_GOOD, "osm:77", "A", ""},
        {"{\"type\":\"Feature\",\"id\":\"north\"," AT_1_2 ",\"properties\":{\"NAME\":\"A\"}}",
         FEATURE_GOOD, NULL, "A", ""},
        {"{\"type\":\"Feature\",\"id\":7," AT_1_2 ",\"properties\":{\"title\":\"A\"}}",
         FEATURE_GOOD, NULL, "A", ""},
        {"{\"type\":\"Feature\"," AT_1_2 ",\"properties\":{\"name\":\"\"}}", FEATURE_NO_NAME, NULL,
         NULL, NULL},
        {"{\"type\":\"Feature\"," AT_1_2 ",\"properties\":{\"name\":\"a\\nb\"}}", FEATURE_NO_NAME,
         NULL, NULL, NULL},
        {"{\"type\":\"Feature\"," AT_1_2 ",\"properties\":null}", FEATURE_NO_NAME, NULL, NULL,
         NULL},
        {"{\"type\":\"Feature\",\"geometry\":null,\"properties\":{\"name\":\"A\"}}",
         FEATURE_NO_GEOMETRY, NULL, NULL, NULL},
        {"{\"type\":\"Topology\"}", FEATURE_NOT_ONE, NULL, NULL, NULL},
        {"{\"type\":", FEATURE_CUT, NULL, NULL, NULL},
        {"{\"type\":\"Fea", FEATURE_CUT, NULL, NULL, NULL},
        {"{\"type\":\"Feature\",", FEATURE_CUT, NULL, NULL, NULL},
        {"{broken", FEATURE_NOT_JSON, NULL, NULL, NULL},
        {"{\"name\": \"a\"b\"}", FEATURE_NOT_JSON, NULL, NULL, NULL},
        {"{\"type\":\"Feature\"," AT_1_2 ",\"properties\":{\"name\":\"\xc3\x28\"}}",
         FEATURE_NOT_JSON, NULL, NULL, NULL},
    };
    struct feature_maker maker = {0};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct local_row row;
        enum feature_fault fault;
        assert_int_equal(feature_make(&maker, herd_slice_of(cases[i].feature), &row, &fault), 0);
        if (fault != cases[i].fault)
            fail_msg("%d: %s", (int)fault, cases[i].feature);
        if (fault != FEATURE_GOOD)
            continue;
        assert_string_equal(row.name, cases[i].name);
        assert_string_equal(row.kind, cases[i].kind);
        if (cases[i].place_id != NULL)
            assert_string_equal(row.place_id, cases[i].place_id);
        else
            assert_memory_equal(row.place_id, "im:", 3);
        assert_true(row.location.latitude == 1 && row.location.longitude == 2);
        assert_int_equal(row.extent_m, 50);
    }
    feature_maker_free(&maker);
}

static void test_geonames_lines(void **state)
{
    (void)state;
    struct geonames_maker maker;
    struct local_row row;
    char line[] = "2643743\tLondon\tLondon\tLondres,Londyn\t51.50853\t-0.12574\tP\tPPLC\tGB\t\t"
                  "ENG\tGLA\t\t\t8961989\t\t25\tEurope/London\t2022-09-27";
    assert_null(geonames_make(&maker, line, &row));
    assert_string_equal(row.place_id, "gn:2643743");
    assert_string_equal(row.name, "London");
    assert_string_equal(row.types, "locality,political");
    assert_string_equal(row.kind, "PPLC");
    assert_string_equal(row.vicinity, "ENG, GB");
    assert_int_equal(row.population, 8961989);
    assert_int_equal(row.extent_m, 29937);
    assert_true(row.location.latitude == 51.50853 && row.location.longitude == -0.12574);
    static const char *const bad[] = {
        "",
        "2643743\tLondon",
        "x\tA\t\t\t1\t2\tP\tPPL\tGB\t\t\t\t\t\t\t\t\t\t",
        "1\t\t\t\t1\t2\tP\tPPL\tGB\t\t\t\t\t\t\t\t\t\t",
        "1\tA\t\t\t91\t2\tP\tPPL\tGB\t\t\t\t\t\t\t\t\t\t",
        "1\tA\t\t\t1\t\tP\tPPL\tGB\t\t\t\t\t\t\t\t\t\t",
        "1\tA\t\t\t1\t2\tP\tPPL\tGB\t\t\t\t\t\t\t\t\t\t\t",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char *copy = strdup(bad[i]);
        assert_non_null(geonames_make(&maker, copy, &row));
        free(copy);
    }
    char hill[] = "9\tHill\t\t\t1\t2\tT\tHLL\tGB\t\t\t\t\t\t0\t\t\t\t";
    assert_null(geonames_make(&maker, hill, &row));
    assert_string_equal(row.types, "natural_feature");
    assert_int_equal(row.population, -1);
    assert_string_equal(row.vicinity, "GB");
}

/* ---- Whole files ---------------------------------------------------------------------------- */

static const char london[] = "2643743\tLondon\t\t\t51.50853\t-0.12574\tP\tPPLC\tGB\t\tENG\t\t\t\t"
                             "8961989\t\t\t\t\n";

/* A file that is imported, and what came of it before stays when it is no good. */
static void test_the_old_file_stays(void **state)
{
    (void)state;
    char *folder = testing_make_folder();
    char *from = testing_path(folder, "from.txt"), *out = testing_path(folder, "out.db");
    const struct import_options options = {0};
    struct import_report report;
    struct herd_buf error = {0};
    testing_write_file(from, london, sizeof london - 1);
    assert_int_equal(import_file(out, from, &options, &report, &error), 0);
    assert_int_equal(report.places, 1);
    char *before = testing_read_file(out);
    static const struct {
        const char *text;
        int rc;
    } bad[] = {{"", HERD_ENOTFOUND},
               {"{\"features\":[{\"type\":\"Feature\"}", HERD_ESYNTAX},
               {"{\"type\":\"Topology\"}", HERD_ENOTFOUND},
               {"nothing of the kind\n", HERD_ENOTFOUND}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        testing_write_file(from, bad[i].text, strlen(bad[i].text));
        error.len = 0;
        assert_int_equal(import_file(out, from, &options, &report, &error), bad[i].rc);
        assert_true(error.len > 0);
        char *after = testing_read_file(out);
        assert_string_equal(after, before);
        free(after);
    }
    herd_buf_free(&error);
    free(before);
    free(from);
    free(out);
    testing_remove_folder(folder); /* with nothing in it that it does not know */
}

struct watcher {
    int64_t readings, writings, last, stop_at; /* of the writings; 0: never */
};

static int on_progress(void *arg, const struct import_progress *progress)
{
    struct watcher *watcher = arg;
    int64_t *count = progress->is_writing ? &watcher->writings : &watcher->readings;
    if (++*count == 1)
        watcher->last = 0;
    assert_true(progress->done > watcher->last || !progress->is_writing);
    assert_true(progress->done >= watcher->last && progress->done <= progress->all);
    watcher->last = progress->done;
    return watcher->stop_at > 0 && watcher->writings == watcher->stop_at ? HERD_ECANCELED : 0;
}

static void append_lines(struct herd_buf *out, int count)
{
    for (int i = 0; i < count; i++)
        assert_int_equal(herd_buf_append_text(out, london), 0);
}

/* Both halves of the work are told of, and it can be stopped in the second one, when all is read;
 * then nothing has happened. */
static void test_progress_and_a_stop(void **state)
{
    (void)state;
    char *folder = testing_make_folder();
    char *from = testing_path(folder, "from.txt"), *out = testing_path(folder, "out.db");
    struct watcher watcher = {.stop_at = 2};
    const struct import_options options = {.on_progress = on_progress, .arg = &watcher};
    struct import_report report;
    struct herd_buf error = {0}, lines = {0};
    append_lines(&lines, 10000);
    testing_write_file(from, lines.data, lines.len);
    assert_int_equal(import_file(out, from, &options, &report, &error), HERD_ECANCELED);
    assert_int_equal(watcher.readings, 2);
    assert_int_equal(watcher.writings, 2);
    assert_int_equal(access(out, F_OK), -1);
    watcher = (struct watcher){0};
    assert_int_equal(import_file(out, from, &options, &report, &error), 0);
    assert_int_equal(watcher.writings, 2);
    unlink(from);
    unlink(out);
    assert_int_equal(rmdir(folder), 0); /* of the first one nothing is left */
    herd_buf_free(&error);
    herd_buf_free(&lines);
    free(from);
    free(out);
    free(folder);
}

/* A name is as long as an answer can bear twenty times. */
static void test_a_name_that_is_too_long(void **state)
{
    (void)state;
    char *folder = testing_make_folder();
    char *from = testing_path(folder, "from.ndjson"), *out = testing_path(folder, "out.db");
    const struct import_options options = {0};
    struct import_report report;
    struct herd_buf error = {0}, text = {0};
    for (int len = IMPORT_TEXT_MAX_BYTES; len <= IMPORT_TEXT_MAX_BYTES + 1; len++) {
        char *name = calloc(1, (size_t)len + 1);
        memset(name, 'x', (size_t)len);
        herd_buf_printf(
            &text, "{\"type\":\"Feature\"," AT_1_2 ",\"properties\":{\"name\":\"%s\"}}\n", name);
        free(name);
    }
    testing_write_file(from, text.data, text.len);
    assert_int_equal(import_file(out, from, &options, &report, &error), 0);
    assert_int_equal(report.places, 1);
    assert_int_equal(report.faults[IMPORT_LONG_TEXT], 1);
    assert_int_equal(report.example_count, 1);
    assert_int_equal(report.examples[0].line, 2);
    herd_buf_free(&error);
    herd_buf_free(&text);
    free(from);
    free(out);
    testing_remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_features),
        cmocka_unit_test(test_nonsense),
        cmocka_unit_test(test_a_feature_that_is_too_large),
        cmocka_unit_test(test_geometries),
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_geonames_lines),
        cmocka_unit_test(test_the_old_file_stays),
        cmocka_unit_test(test_progress_and_a_stop),
        cmocka_unit_test(test_a_name_that_is_too_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
