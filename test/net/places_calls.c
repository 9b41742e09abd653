/*
 * The providers google, google-legacy and overpass against a stand-in that misbehaves in every way
 * we know: each question is answered exactly once, in the right shape, within the total timeout,
 * and nothing is left behind.
 */
#include <stdlib.h>

#include "places_rig.h"

/* What a behaviour comes to, the same for both providers. */
struct row {
    const char *behaviour, *status, *message_part;
    size_t count;
    int64_t timeout_ms;
};

static const struct row both[] = {
    {"normal", "OK", "", 20, PLENTY_MS},
    {"late:200", "OK", "", 20, PLENTY_MS},
    {"pieces:7", "OK", "", 20, PLENTY_MS},
    {"bytewise", "OK", "", 20, PLENTY_MS},
    {"http10", "OK", "", 20, PLENTY_MS},
    {"chunked", "OK", "", 20, PLENTY_MS},
    {"interim", "OK", "", 20, PLENTY_MS},
    {"gzip", "OK", "", 20, PLENTY_MS},
    {"reset_after", "OK", "", 20, PLENTY_MS},
    {"hang", "UNKNOWN_ERROR", "no answer in time", 0, SHORT_MS},
    {"hang_mid_body", "UNKNOWN_ERROR", "no answer in time", 0, SHORT_MS},
    {"drip", "UNKNOWN_ERROR", "no answer in time", 0, SHORT_MS},
    {"headers_for_ever", "UNKNOWN_ERROR", "too long", 0, PLENTY_MS},
    {"header_long", "UNKNOWN_ERROR", "too long", 0, PLENTY_MS},
    {"big", "UNKNOWN_ERROR", "too long", 0, PLENTY_MS},
    {"big_chunked", "UNKNOWN_ERROR", "too long", 0, PLENTY_MS},
    {"zip_bomb", "UNKNOWN_ERROR", "too long", 0, PLENTY_MS},
    {"close_at_once", "UNKNOWN_ERROR", "broke off", 0, PLENTY_MS},
    {"reset_at_once", "UNKNOWN_ERROR", "broke off", 0, PLENTY_MS},
    {"reset_mid_body", "UNKNOWN_ERROR", "broke off", 0, PLENTY_MS},
    {"length_long", "UNKNOWN_ERROR", "broke off", 0, PLENTY_MS},
    {"length_garbage", "UNKNOWN_ERROR", "broke off", 0, PLENTY_MS},
    {"chunked_broken", "UNKNOWN_ERROR", "broke off", 0, PLENTY_MS},
    {"garbage", "UNKNOWN_ERROR", "broke off", 0, PLENTY_MS},
    {"length_short", "UNKNOWN_ERROR", "not JSON", 0, PLENTY_MS},
    {"redirect", "UNKNOWN_ERROR", "HTTP 302", 0, PLENTY_MS},
    {"empty", "UNKNOWN_ERROR", "not JSON", 0, PLENTY_MS},
    {"not_json", "UNKNOWN_ERROR", "not JSON", 0, PLENTY_MS},
    {"truncated", "UNKNOWN_ERROR", "not JSON", 0, PLENTY_MS},
    {"number", "UNKNOWN_ERROR", "not JSON", 0, PLENTY_MS},
    {"null", "UNKNOWN_ERROR", "not JSON", 0, PLENTY_MS},
    {"invalid_utf8", "UNKNOWN_ERROR", "not JSON", 0, PLENTY_MS},
    {"nul", "UNKNOWN_ERROR", "not JSON", 0, PLENTY_MS},
    {"huge_number", "UNKNOWN_ERROR", "not JSON", 0, PLENTY_MS},
    {"twice", "UNKNOWN_ERROR", "not JSON", 0, PLENTY_MS},
    {"array", "UNKNOWN_ERROR", "expected form", 0, PLENTY_MS},
    {"wrong_shape", "UNKNOWN_ERROR", "expected form", 0, PLENTY_MS},
    {"nested", "UNKNOWN_ERROR", "too deeply", 0, PLENTY_MS},
    {"nested_objects", "UNKNOWN_ERROR", "too deeply", 0, PLENTY_MS},
    {"depth_32", "OK", "", 1, PLENTY_MS},
    {"depth_33", "UNKNOWN_ERROR", "too deeply", 0, PLENTY_MS},
    {"nothing", "ZERO_RESULTS", "", 0, PLENTY_MS},
    {"no_array", "ZERO_RESULTS", "", 0, PLENTY_MS},
    {"many", "OK", "", 20, PLENTY_MS},
    {"spoiled", "OK", "", 1, PLENTY_MS},
    {"odd_names", "OK", "", 2, PLENTY_MS},
    {"http:400", "INVALID_REQUEST", "400", 0, PLENTY_MS},
    {"http:401", "REQUEST_DENIED", "401", 0, PLENTY_MS},
    {"http:403", "REQUEST_DENIED", "403", 0, PLENTY_MS},
    {"http:404", "UNKNOWN_ERROR", "404", 0, PLENTY_MS},
    {"http:429", "OVER_QUERY_LIMIT", "", 0, PLENTY_MS},
    {"http:500", "UNKNOWN_ERROR", "500", 0, PLENTY_MS},
    {"http:503", "UNKNOWN_ERROR", "503", 0, PLENTY_MS},
    {"html:400", "INVALID_REQUEST", "HTTP 400", 0, PLENTY_MS},
    {"html:502", "UNKNOWN_ERROR", "HTTP 502", 0, PLENTY_MS},
    {"key_refused", "REQUEST_DENIED", "valid", 0, PLENTY_MS},
    {"echo_key", "REQUEST_DENIED", "The key '*****", 0, PLENTY_MS},
    {"long_message", "REQUEST_DENIED", "\u20ac**", 0, PLENTY_MS},
};

/* The last three tell of keys, which Overpass has none of. */
enum { KEY_ROWS = 3 };

static const struct row overpass[] = {
    {"remark", "UNKNOWN_ERROR", "runtime error", 0, PLENTY_MS},
};

/* Only the legacy API tells its errors with HTTP 200. */
static const struct row legacy[] = {
    {"status:INVALID_REQUEST", "INVALID_REQUEST", "told to say", 0, PLENTY_MS},
    {"status:OVER_QUERY_LIMIT", "OVER_QUERY_LIMIT", "told to say", 0, PLENTY_MS},
    {"status:REQUEST_DENIED", "REQUEST_DENIED", "told to say", 0, PLENTY_MS},
    {"status:UNKNOWN_ERROR", "UNKNOWN_ERROR", "told to say", 0, PLENTY_MS},
    {"status:SOMETHING_NEW", "UNKNOWN_ERROR", "told to say", 0, PLENTY_MS},
    {"status_alone:OVER_QUERY_LIMIT", "OVER_QUERY_LIMIT", "OVER_QUERY_LIMIT", 0, PLENTY_MS},
};

static void check_rows(struct fixture *fixture, const struct provider_type *type,
                       const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        standin_behave(&fixture->standin, rows[i].behaviour);
        json_t *answer = ask_once(fixture, type, &ucla, rows[i].timeout_ms);
        if (strcmp(text_of(answer, "status"), rows[i].status) != 0)
            print_error("%s: %s: %s\n", type->name, rows[i].behaviour,
                        text_of(answer, "error_message"));
        assert_answer(answer, rows[i].status, rows[i].count, rows[i].message_part);
        /* A call whose time was up before it could say anything has asked nothing. */
        int64_t least = rows[i].timeout_ms == PLENTY_MS ? 1 : 0;
        assert_in_range(standin_count(&fixture->standin, "requests"), least, 1);
        assert_standin_content(&fixture->standin);
        json_decref(answer);
    }
}

static void test_behaviours_google(void **state)
{
    check_rows(*state, &provider_google, both, sizeof both / sizeof both[0]);
}

static void test_behaviours_google_legacy(void **state)
{
    check_rows(*state, &provider_google_legacy, both, sizeof both / sizeof both[0]);
    check_rows(*state, &provider_google_legacy, legacy, sizeof legacy / sizeof legacy[0]);
}

static void test_behaviours_overpass(void **state)
{
    check_rows(*state, &provider_overpass, both, sizeof both / sizeof both[0] - KEY_ROWS);
    check_rows(*state, &provider_overpass, overpass, sizeof overpass / sizeof overpass[0]);
}

/* Both APIs have the same places here: what they say of them has to come out the same. */
static void test_one_shape(void **state)
{
    static const char *const parts[] = {"business_status", "name",      "permanently_closed",
                                        "plus_code",       "reference", "scope",
                                        "types",           "vicinity"};
    struct fixture *fixture = *state;
    standin_behave(&fixture->standin, "normal");
    json_t *from_new = ask_once(fixture, &provider_google, &ucla, PLENTY_MS);
    json_t *from_legacy = ask_once(fixture, &provider_google_legacy, &ucla, PLENTY_MS);
    const json_t *results = json_object_get(from_new, "results");
    assert_int_equal(json_array_size(results), 20);
    for (size_t i = 0; i < json_array_size(results); i++) {
        const json_t *a = json_array_get(results, i);
        const json_t *b = json_array_get(json_object_get(from_legacy, "results"), i);
        assert_string_equal(text_of(a, "place_id"), text_of(b, "place_id"));
        for (size_t j = 0; j < sizeof parts / sizeof parts[0]; j++) {
            if (!json_object_get(a, parts[j]) && !json_object_get(b, parts[j]))
                continue;
            if (!json_equal(json_object_get(a, parts[j]), json_object_get(b, parts[j])))
                fail_msg("%s of %s differs", parts[j], text_of(a, "name"));
        }
        char *geometry = json_dumps(json_object_get(a, "geometry"), JSON_REAL_PRECISION(12));
        char *other = json_dumps(json_object_get(b, "geometry"), JSON_REAL_PRECISION(12));
        assert_string_equal(geometry, other);
        free(geometry);
        free(other);
    }
    json_decref(from_new);
    json_decref(from_legacy);
}

static void test_names_come_through(void **state)
{
    struct fixture *fixture = *state;
    static const struct provider_type *const types[] = {&provider_google, &provider_google_legacy};
    standin_behave(&fixture->standin, "odd_names");
    for (size_t i = 0; i < 2; i++) {
        json_t *answer = ask_once(fixture, types[i], &ucla, PLENTY_MS);
        const json_t *results = json_object_get(answer, "results");
        assert_string_equal(text_of(json_array_get(results, 0), "name"), "two\n\nnewlines\r\n");
        assert_string_equal(text_of(json_array_get(results, 1), "name"),
                            "\"}\n\n{\"\t\x01\x7f\u2028");
        json_decref(answer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_behaviours_google),   cmocka_unit_test(test_behaviours_google_legacy),
        cmocka_unit_test(test_behaviours_overpass), cmocka_unit_test(test_one_shape),
        cmocka_unit_test(test_names_come_through),
    };
    return cmocka_run_group_tests(tests, places_rig_setup, places_rig_teardown);
}
