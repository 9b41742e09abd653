/* The legacy Nearby Search: its results go through, its statuses and HTTP's become ours. */
#include "google_reading.h"

static json_t *read_legacy(const char *body)
{
    return read_text(&google_dialect_legacy, 200, body);
}

static void test_results_go_through(void **state)
{
    (void)state;
    static const char result[] =
        "{\"business_status\":\"OPERATIONAL\",\"geometry\":{\"location\":{\"lat\":34.0689254,"
        "\"lng\":"
        "-118.4451629},\"viewport\":{\"northeast\":{\"lat\":34.0703598802915,\"lng\":-118.4}}},"
        "\"icon\":\"https://i/x.png\",\"name\":\"Café \\\"Zoë\\\"\\n\",\"opening_hours\":{"
        "\"open_now\":false},\"photos\":[{\"height\":1,\"html_attributions\":[\"\\u003ca href=\\\""
        "https://m\\\"\\u003eA\\u003c/a\\u003e\"],\"photo_reference\":\"R\",\"width\":2}],"
        "\"rating\":4.5,\"types\":[\"cafe\"],\"something_new\":{\"a\":[null,true,-7,0.125]}}";
    char body[2000];
    snprintf(
        body, sizeof body,
        "{\"html_attributions\":[\"by \\u003cb\\u003eX\\u003c/b\\u003e\",7,\"Y\"],"
        "\"next_page_token\":\"T\",\"info_messages\":[],\"results\":[%s,%s],\"status\":\"OK\"}",
        result, result);
    json_t *root = read_legacy(body);
    json_t *results = json_pack("[o,o]", json_loads(result, 0, NULL), json_loads(result, 0, NULL));
    assert_true(json_equal(json_object_get(root, "results"), results));
    assert_json(json_object_get(root, "html_attributions"), "['by <b>X</b>','Y']");
    assert_int_equal(json_object_size(root), 3);
    json_decref(results);
    assert_status(root, "OK", NULL);
}

static void test_dropped(void **state)
{
    (void)state;
    static const char good[] = "{\"name\":\"A\",\"geometry\":{\"location\":{\"lat\":1,\"lng\":2}}}";
    static const char *const dropped[] = {
        "null",
        "7",
        "[]",
        "{}",
        "{\"name\":\"A\"}",
        "{\"name\":\"A\",\"geometry\":{}}",
        "{\"geometry\":{\"location\":{\"lat\":1,\"lng\":2}}}",
        "{\"name\":\"\",\"geometry\":{\"location\":{\"lat\":1,\"lng\":2}}}",
        "{\"name\":1,\"geometry\":{\"location\":{\"lat\":1,\"lng\":2}}}",
        "{\"name\":\"A\",\"geometry\":{\"location\":{\"lat\":\"1\",\"lng\":\"2\"}}}",
        "{\"name\":\"A\",\"geometry\":{\"location\":{\"lat\":91,\"lng\":2}}}",
        "{\"name\":\"A\",\"geometry\":{\"location\":{\"lat\":1}}}",
        "{\"name\":\"A\",\"geometry\":[]}",
    };
    for (size_t i = 0; i < sizeof dropped / sizeof dropped[0]; i++) {
        char body[1000];
        snprintf(body, sizeof body, "{\"status\":\"OK\",\"results\":[%s,%s,%s]}", dropped[i], good,
                 dropped[i]);
        json_t *root = read_legacy(body);
        assert_json(json_object_get(root, "results"),
                    "[{'name':'A','geometry':{'location':{'lat':1,'lng':2}}}]");
        assert_status(root, "OK", NULL);
        snprintf(body, sizeof body, "{\"status\":\"OK\",\"results\":[%s]}", dropped[i]);
        assert_status(read_legacy(body), "ZERO_RESULTS", NULL);
    }
}

static void test_statuses(void **state)
{
    (void)state;
    static const struct {
        const char *body, *status, *message;
    } cases[] = {
        {"{\"status\":\"ZERO_RESULTS\",\"results\":[]}", "ZERO_RESULTS", NULL},
        {"{\"status\":\"ZERO_RESULTS\"}", "ZERO_RESULTS", NULL},
        {"{\"status\":\"OK\",\"results\":[]}", "ZERO_RESULTS", NULL},
        {"{\"status\":\"OK\",\"results\":7}", "ZERO_RESULTS", NULL},
        {"{\"status\":\"INVALID_REQUEST\"}", "INVALID_REQUEST",
         "The places provider failed: INVALID_REQUEST"},
        {"{\"status\":\"OVER_QUERY_LIMIT\",\"error_message\":\"You have exceeded it.\"}",
         "OVER_QUERY_LIMIT", "You have exceeded it."},
        {"{\"status\":\"REQUEST_DENIED\",\"error_message\":\"the-key! is not valid. \"}",
         "REQUEST_DENIED", "******** is not valid. "},
        {"{\"status\":\"REQUEST_DENIED\",\"error_message\":7}", "REQUEST_DENIED",
         "The places provider failed: REQUEST_DENIED"},
        {"{\"status\":\"UNKNOWN_ERROR\",\"error_message\":\"\"}", "UNKNOWN_ERROR",
         "The places provider failed: UNKNOWN_ERROR"},
        {"{\"status\":\"NOT_FOUND\"}", "UNKNOWN_ERROR", "The places provider failed: NOT_FOUND"},
        {"{\"status\":\"ok\"}", "UNKNOWN_ERROR", "The places provider failed: ok"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_status(read_legacy(cases[i].body), cases[i].status, cases[i].message);
}

static void test_http_errors(void **state)
{
    (void)state;
    static const struct {
        int http_status;
        const char *status;
    } rows[] = {
        {400, "INVALID_REQUEST"},  {401, "REQUEST_DENIED"}, {403, "REQUEST_DENIED"},
        {429, "OVER_QUERY_LIMIT"}, {404, "UNKNOWN_ERROR"},  {500, "UNKNOWN_ERROR"},
        {503, "UNKNOWN_ERROR"},    {301, "UNKNOWN_ERROR"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char ours[64];
        snprintf(ours, sizeof ours, "The places provider failed: HTTP %d", rows[i].http_status);
        assert_status(read_text(&google_dialect_legacy, rows[i].http_status, "<html>"),
                      rows[i].status, ours);
        assert_status(read_text(&google_dialect_legacy, rows[i].http_status,
                                "{\"status\":\"OK\",\"results\":[],\"error_message\":\"So.\"}"),
                      rows[i].status, "So.");
    }
}

static void test_nonsense(void **state)
{
    (void)state;
    static const char not_json[] = "The places provider failed: the answer was not JSON";
    static const char shape[] =
        "The places provider failed: the answer was not of the expected form";
    static const struct {
        const char *body, *message;
    } cases[] = {
        {"", not_json},
        {"{\"status\":\"OK\"", not_json},
        {"{\"status\":\"\xff\"}", not_json},
        {"{\"status\":\"OK\",\"status\":\"OK\"}", not_json},
        {"17", not_json}, /* a document is an object or an array for jansson */
        {"[]", shape},
        {"{}", shape},
        {"{\"status\":3}", shape},
        {"{\"status\":null,\"results\":[]}", shape},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_status(read_legacy(cases[i].body), "UNKNOWN_ERROR", cases[i].message);
}

static void assert_url(const struct places_query *query, const char *expected)
{
    struct web_settings settings = {.language = "en", .key = {.len = 5, .text = "K&y=\""}};
    struct web_request request = {0};
    assert_int_equal(herd_buf_append(&settings.origin, "https://h", 10), 0);
    assert_int_equal(google_dialect_legacy.write(&settings, query, &request), 0);
    assert_false(request.post);
    assert_int_equal(request.headers.len + request.body.len, 0);
    assert_string_equal(request.url.data, expected);
    herd_buf_free(&request.url);
    herd_buf_free(&settings.origin);
}

static void test_request(void **state)
{
    (void)state;
    assert_url(&(struct places_query){34.06893, -118.445127, 10000},
               "https://h/maps/api/place/nearbysearch/json?location=34.06893,-118.445127"
               "&radius=10000&language=en&key=K%26y%3D%22");
    assert_url(&(struct places_query){-90, 0, 1.4},
               "https://h/maps/api/place/nearbysearch/json?location=-90.0,0.0"
               "&radius=1&language=en&key=K%26y%3D%22");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_results_go_through), cmocka_unit_test(test_dropped),
        cmocka_unit_test(test_statuses),           cmocka_unit_test(test_http_errors),
        cmocka_unit_test(test_nonsense),           cmocka_unit_test(test_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
