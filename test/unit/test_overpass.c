/* Overpass: what it is asked, and what becomes of its elements; tags in Google's words. */
#include "google_reading.h"
#include "places/osm.h"
#include "places/overpass.h"

#include <herd/err.h>

/* Tags as key, value, key, value, …, NULL. */
static const char *tag_of(const void *tags, const char *key)
{
    for (const char *const *at = tags; *at != NULL; at += 2) {
        if (strcmp(*at, key) == 0)
            return at[1];
    }
    return NULL;
}

static void test_types(void **state)
{
    (void)state;
#define POI "point_of_interest,establishment"
    static const struct {
        const char *tags[8];
        const char *types;
    } cases[] = {
        {{"amenity", "cafe"}, "cafe," POI},
        {{"amenity", "pub"}, "bar," POI},
        {{"amenity", "bar", "tourism", "attraction"}, "bar,tourist_attraction," POI},
        {{"amenity", "clinic"}, "doctor," POI},
        {{"amenity", "bench"}, POI},
        {{"amenity", "place_of_worship", "religion", "muslim"}, "mosque," POI},
        {{"amenity", "place_of_worship", "religion", "christian", "historic", "church"},
         "church,tourist_attraction," POI},
        {{"amenity", "place_of_worship", "religion", "shinto"}, "place_of_worship," POI},
        {{"amenity", "place_of_worship"}, "place_of_worship," POI},
        {{"tourism", "hostel"}, "lodging," POI},
        {{"tourism", "artwork", "historic", "memorial"}, "tourist_attraction," POI},
        {{"historic", "no"}, POI},
        {{"shop", "bakery"}, "bakery," POI},
        {{"shop", "fishing"}, "store," POI},
        {{"shop", "no"}, POI},
        {{"railway", "station"}, "train_station," POI},
        {{"railway", "rail"}, POI},
        {{"aeroway", "aerodrome"}, "airport," POI},
        {{"leisure", "fitness_centre"}, "gym," POI},
        {{NULL}, POI},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct herd_buf out = {0};
        assert_int_equal(osm_append_types(tag_of, cases[i].tags, &out), 0);
        char *text = testing_take_text(&out);
        assert_string_equal(text, cases[i].types);
        free(text);
    }
}

/* Tag for tag: what becomes of OpenStreetMap's words (docs/places.md; Google's types). */
static void test_every_type(void **state)
{
    (void)state;
    static const struct {
        const char *key, *same; /* values whose type has their name */
        const char *others;     /* value=type */
    } rows[] = {
        {"amenity",
         "atm bank bar cafe casino hospital library parking pharmacy police post_office restaurant "
         "school university dentist courthouse fire_station bus_station car_rental car_wash "
         "embassy",
         "fast_food=meal_takeaway pub=bar nightclub=night_club fuel=gas_station "
         "cinema=movie_theater doctors=doctor clinic=doctor townhall=city_hall "
         "veterinary=veterinary_care"},
        {"tourism", "aquarium museum zoo",
         "hotel=lodging hostel=lodging motel=lodging guest_house=lodging camp_site=campground "
         "gallery=art_gallery attraction=tourist_attraction viewpoint=tourist_attraction "
         "artwork=tourist_attraction theme_park=amusement_park"},
        {"leisure", "park stadium", "fitness_centre=gym"},
        {"shop", "bakery supermarket",
         "mall=shopping_mall clothes=clothing_store convenience=convenience_store "
         "books=book_store hairdresser=hair_care anything=store"},
        {"historic", "", "castle=tourist_attraction yes=tourist_attraction"},
        {"railway", "", "station=train_station"},
        {"aeroway", "", "aerodrome=airport"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char *words = NULL, *rest = NULL;
        assert_true(asprintf(&words, "%s %s", rows[i].same, rows[i].others) > 0);
        for (char *word = strtok_r(words, " ", &rest); word != NULL;
             word = strtok_r(NULL, " ", &rest)) {
            char *type = strchr(word, '='), *expected = NULL;
            if (type != NULL)
                *type++ = '\0';
            assert_true(asprintf(&expected, "%s," POI, type != NULL ? type : word) > 0);
            const char *const tags[8] = {rows[i].key, word};
            struct herd_buf out = {0};
            assert_int_equal(osm_append_types(tag_of, tags, &out), 0);
            char *text = testing_take_text(&out);
            assert_string_equal(text, expected);
            free(text);
            free(expected);
        }
        free(words);
    }
}

static void test_vicinity(void **state)
{
    (void)state;
    static const struct {
        const char *tags[8];
        const char *vicinity;
    } cases[] = {
        {{"addr:housenumber", "12", "addr:street", "Mill Lane", "addr:city", "Ely"},
         "12 Mill Lane, Ely"},
        {{"addr:street", "Mill Lane"}, "Mill Lane"},
        {{"addr:housenumber", "12", "addr:city", "Ely"}, "Ely"},
        {{"addr:housenumber", "12"}, ""},
        {{NULL}, ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct herd_buf out = {0};
        assert_int_equal(osm_append_vicinity(tag_of, cases[i].tags, &out), 0);
        char *text = testing_take_text(&out);
        assert_string_equal(text, cases[i].vicinity);
        free(text);
    }
}

static void test_name(void **state)
{
    (void)state;
    static const char *const tags[] = {"name", "Wien", "name:en", "Vienna", "name:fr", "", NULL};
    static const char *const none[] = {"name", "", NULL};
    assert_string_equal(osm_name(tag_of, tags, "en"), "Vienna");
    assert_string_equal(osm_name(tag_of, tags, "de"), "Wien");
    assert_string_equal(osm_name(tag_of, tags, "fr"), "Wien");
    assert_null(osm_name(tag_of, none, "en"));
}

static void test_request(void **state)
{
    (void)state;
    struct web_settings settings = {.total_timeout_ms = 2500};
    const struct places_query query = {34.06893, -118.445127, 10000};
    struct web_request request = {0};
    assert_int_equal(herd_buf_append(&settings.origin, "http://h:1", 11), 0);
    assert_int_equal(overpass_dialect.write(&settings, &query, &request), 0);
    assert_string_equal(request.url.data, "http://h:1/api/interpreter");
    assert_true(request.post);
    char *body = testing_take_text(&request.body);
    assert_contains(body, "data=%5Bout%3Ajson%5D%5Btimeout%3A3%5D%3Bnwr%28around%3A156.25%2C");
    assert_contains(body, "nwr%28around%3A10000.0%2C34.06893%2C-118.445127%29%5B~%22%5E%28amenity");
    assert_null(strpbrk(body, " \"\r\n&+"));
    int rings = 0;
    for (const char *at = body;
         (at = strstr(at, "%5Bname%5D%3Bout%20tags%20center%20200%3B")) != NULL; at++)
        rings++;
    assert_int_equal(rings, 4);
    assert_true(rings * 200 * 1200 < 1024 * 1024); /* bytes of a place; body_max_kib */
    free(body);
    herd_buf_free(&request.url);
    herd_buf_free(&request.headers);
    herd_buf_free(&settings.origin);
}

/* In no order, twice, as node, way and relation, with names in two languages. */
static const char elements[] =
    "{\"version\":0.6,\"elements\":["
    "{\"type\":\"way\",\"id\":7,\"center\":{\"lat\":34.07,\"lon\":-118.445},"
    "\"tags\":{\"name\":\"Far\",\"historic\":\"yes\"}},"
    "{\"type\":\"node\",\"id\":7,\"lat\":34.0690,\"lon\":-118.4451,"
    "\"tags\":{\"name\":\"Nah\",\"name:en\":\"Near\",\"amenity\":\"fuel\","
    "\"addr:street\":\"Hill\",\"addr:city\":\"Ely\"}},"
    "{\"type\":\"relation\",\"id\":9,\"center\":{\"lat\":34.0695,\"lon\":-118.445},"
    "\"tags\":{\"name\":\"Mid\",\"leisure\":\"park\"}},"
    "{\"type\":\"node\",\"id\":7,\"lat\":34.0690,\"lon\":-118.4451,"
    "\"tags\":{\"name\":\"Nah\",\"name:en\":\"Near\",\"amenity\":\"fuel\"}}]}";

static void test_elements(void **state)
{
    (void)state;
    json_t *root = read_text(&overpass_dialect, 200, elements);
    const json_t *results = json_object_get(root, "results");
    assert_int_equal(json_array_size(results), 3);
    assert_json(json_array_get(results, 0),
                "{'geometry':{'location':{'lat':34.069,'lng':-118.4451}},'name':'Near',"
                "'place_id':'osm:n7','reference':'osm:n7','scope':'OSM',"
                "'types':['gas_station','point_of_interest','establishment'],"
                "'vicinity':'Hill, Ely'}");
    assert_json(json_array_get(results, 1),
                "{'geometry':{'location':{'lat':34.0695,'lng':-118.445}},'name':'Mid',"
                "'place_id':'osm:r9','reference':'osm:r9','scope':'OSM',"
                "'types':['park','point_of_interest','establishment']}");
    assert_json(json_object_get(json_array_get(results, 2), "place_id"), "'osm:w7'");
    assert_json(json_object_get(root, "html_attributions"),
                "['© <a href=\\'https://www.openstreetmap.org/copyright\\'>OpenStreetMap</a> "
                "contributors']");
    json_decref(root);
}

/* The server's own pages, as it writes them. */
#define PAGE(text)                                                                                 \
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!DOCTYPE html PUBLIC "                           \
    "\"-//W3C//DTD XHTML 1.0 Strict//EN\">\n<html><head><title>OSM3S Response</title></head>\n"    \
    "<body>\n<p><strong style=\"color:#FF0000\">Error</strong>: " text "</p>\n</body></html>\n"
#define HEAD                                                                                       \
    "{\"version\":0.6,\"generator\":\"Overpass API 0.7.62\",\"osm3s\":{\"timestamp_osm_base\":"    \
    "\"2026-11-25T20:00:00Z\",\"copyright\":\"The data included in this document is from "         \
    "www.openstreetmap.org.\"},\"elements\":["
#define ONE                                                                                        \
    "{\"type\":\"node\",\"id\":1,\"lat\":34.0680000,\"lon\":-118.4450000,\"tags\":{\"amenity\":"   \
    "\"cafe\",\"name\":\"One\"}}"

static void test_what_the_server_says(void **state)
{
    (void)state;
    static const struct {
        int http_status;
        const char *body, *status, *message;
    } cases[] = {
        {429,
         PAGE("runtime error: open64: 0 Success /osm3s_osm_base "
              "Dispatcher_Client::request_read_and_idx::rate_limited. Please check "
              "/api/status for the quota of your IP address."),
         "OVER_QUERY_LIMIT", "The places provider failed: HTTP 429"},
        {504,
         PAGE("runtime error: open64: 0 Success /osm3s_osm_base "
              "Dispatcher_Client::request_read_and_idx::timeout. The server is probably too "
              "busy to handle your request."),
         "UNKNOWN_ERROR", "The places provider failed: HTTP 504"},
        {504, PAGE("The dispatcher (i.e. the database management system) is turned off."),
         "UNKNOWN_ERROR", "The places provider failed: HTTP 504"},
        {400, PAGE("line 1: parse error: Unknown type"), "INVALID_REQUEST",
         "The places provider failed: HTTP 400"},
        {200, PAGE("runtime error"), "UNKNOWN_ERROR",
         "The places provider failed: the answer was not JSON"},
        {200,
         HEAD "],\"remark\":\"runtime error: Query timed out in \\\"query\\\" at line 1 after 3 "
              "seconds.\"}",
         "UNKNOWN_ERROR", "runtime error: Query timed out in \"query\" at line 1 after 3 seconds."},
        /* What came until then is not the nearest. */
        {200,
         HEAD ONE "],\"remark\":\"runtime error: Query run out of memory using about 512 MB of "
                  "RAM.\"}",
         "UNKNOWN_ERROR", "runtime error: Query run out of memory using about 512 MB of RAM."},
        {200, HEAD ONE "],\"remark\":\"runtime remark: Test\"}", "OK", NULL},
        {200, HEAD ONE "],\"remark\":\"runtime remark: a runtime error: b\"}", "UNKNOWN_ERROR",
         "runtime remark: a runtime error: b"},
        /* What `out count` gives is no place. */
        {200, HEAD "{\"type\":\"count\",\"id\":0,\"tags\":{\"nodes\":\"7\",\"total\":\"7\"}}]}",
         "ZERO_RESULTS", NULL},
        {200, HEAD ONE, "UNKNOWN_ERROR", "The places provider failed: the answer was not JSON"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_status(read_text(&overpass_dialect, cases[i].http_status, cases[i].body),
                      cases[i].status, cases[i].message);
}

static void test_failures(void **state)
{
    (void)state;
    static const struct {
        int http_status;
        const char *body, *status, *message;
    } cases[] = {
        {200, "{\"elements\":[]}", "ZERO_RESULTS", NULL},
        {200, "{\"elements\":[],\"remark\":\"runtime error: Query timed out\"}", "UNKNOWN_ERROR",
         "runtime error: Query timed out"},
        {200, "{}", "UNKNOWN_ERROR",
         "The places provider failed: the answer was not of the expected form"},
        {200, "<html>", "UNKNOWN_ERROR", "The places provider failed: the answer was not JSON"},
        {400, "<html>parse error", "INVALID_REQUEST", "The places provider failed: HTTP 400"},
        {429, "", "OVER_QUERY_LIMIT", "The places provider failed: HTTP 429"},
        {504, "<html>", "UNKNOWN_ERROR", "The places provider failed: HTTP 504"},
        {200,
         "{\"elements\":[{\"type\":\"node\",\"id\":1,\"lat\":1,\"lon\":2,\"tags\":{}},7,null,"
         "{\"type\":\"node\",\"id\":\"1\",\"lat\":1,\"lon\":2,\"tags\":{\"name\":\"x\"}},"
         "{\"type\":\"node\",\"id\":1,\"lat\":91,\"lon\":2,\"tags\":{\"name\":\"x\"}},"
         "{\"type\":\"way\",\"id\":1,\"tags\":{\"name\":\"x\"}}]}",
         "ZERO_RESULTS", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_status(read_text(&overpass_dialect, cases[i].http_status, cases[i].body),
                      cases[i].status, cases[i].message);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types),    cmocka_unit_test(test_every_type),
        cmocka_unit_test(test_vicinity), cmocka_unit_test(test_name),
        cmocka_unit_test(test_request),  cmocka_unit_test(test_elements),
        cmocka_unit_test(test_failures), cmocka_unit_test(test_what_the_server_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
