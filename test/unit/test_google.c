/* The Places API (New): each row of the mapping to the legacy shape, errors, and the request. */
#include <herd/err.h>

#include "google_reading.h"

static const char name_and_place[] =
    "'displayName':{'text':'X','languageCode':'en'},'location':{'latitude':1.5,'longitude':-2}";

static const char mapped_name_and_place[] =
    "'name':'X','geometry':{'location':{'lat':1.5,'lng':-2}},'scope':'GOOGLE'";

/* The answer to a body written with single quotes. */
static json_t *read_quoted(const char *format, ...) __attribute__((format(printf, 1, 2)));
static json_t *read_quoted(const char *format, ...)
{
    char *body = NULL;
    va_list args;
    va_start(args, format);
    assert_true(vasprintf(&body, format, args) >= 0);
    va_end(args);
    for (char *quote = body; (quote = strchr(quote, '\'')) != NULL;)
        *quote = '"';
    json_t *root = read_text(&google_dialect_new, 200, body);
    free(body);
    return root;
}

/* A place with `part` besides name and location becomes a result with `mapped` besides them. */
static void assert_mapped(const char *part, const char *mapped)
{
    char expected[1000];
    json_t *root = read_quoted("{'places':[{%s%s%s}]}", name_and_place, *part ? "," : "", part);
    snprintf(expected, sizeof expected, "[{%s%s%s}]", mapped_name_and_place, *mapped ? "," : "",
             mapped);
    assert_json(json_object_get(root, "results"), expected);
    assert_status(root, "OK", NULL);
}

static void test_parts(void **state)
{
    (void)state;
    static const struct {
        const char *part, *mapped;
    } rows[] = {
        {"", ""},
        {"'id':'ChIJ1'", "'place_id':'ChIJ1','reference':'ChIJ1'"},
        {"'shortFormattedAddress':'1 A St','formattedAddress':'1 A St, B, C'",
         "'vicinity':'1 A St'"},
        {"'formattedAddress':'1 A St, B, C'", "'vicinity':'1 A St, B, C'"},
        {"'shortFormattedAddress':'','formattedAddress':'B'", "'vicinity':'B'"},
        {"'types':['a','b']", "'types':['a','b']"},
        {"'primaryType':'b','types':['a','b','c']", "'types':['b','a','c']"},
        {"'primaryType':'z','types':['a']", "'types':['z','a']"},
        {"'primaryType':'z'", "'types':['z']"},
        {"'types':[]", ""},
        {"'businessStatus':'OPERATIONAL'", "'business_status':'OPERATIONAL'"},
        {"'businessStatus':'CLOSED_TEMPORARILY'", "'business_status':'CLOSED_TEMPORARILY'"},
        {"'businessStatus':'CLOSED_PERMANENTLY'",
         "'business_status':'CLOSED_PERMANENTLY','permanently_closed':true"},
        {"'rating':4.6,'userRatingCount':812", "'rating':4.6,'user_ratings_total':812"},
        {"'rating':4", "'rating':4"},
        {"'priceLevel':'PRICE_LEVEL_FREE'", "'price_level':0"},
        {"'priceLevel':'PRICE_LEVEL_INEXPENSIVE'", "'price_level':1"},
        {"'priceLevel':'PRICE_LEVEL_MODERATE'", "'price_level':2"},
        {"'priceLevel':'PRICE_LEVEL_EXPENSIVE'", "'price_level':3"},
        {"'priceLevel':'PRICE_LEVEL_VERY_EXPENSIVE'", "'price_level':4"},
        {"'priceLevel':'PRICE_LEVEL_UNSPECIFIED'", ""},
        {"'currentOpeningHours':{'openNow':true,'periods':[]}",
         "'opening_hours':{'open_now':true}"},
        {"'currentOpeningHours':{'openNow':false}", "'opening_hours':{'open_now':false}"},
        {"'currentOpeningHours':{}", ""},
        {"'plusCode':{'globalCode':'85633H93+HX','compoundCode':'3H93+HX B'}",
         "'plus_code':{'compound_code':'3H93+HX B','global_code':'85633H93+HX'}"},
        {"'plusCode':{'globalCode':'85633H93+HX'}", "'plus_code':{'global_code':'85633H93+HX'}"},
        {"'iconMaskBaseUri':'https://i/pin','iconBackgroundColor':'#7B9EB0'",
         "'icon':'https://i/pin.png','icon_mask_base_uri':'https://i/pin',"
         "'icon_background_color':'#7B9EB0'"},
        {"'photos':[{'name':'places/ChIJ1/photos/AUc7','widthPx':4032,'heightPx':3024}]",
         "'photos':[{'height':3024,'html_attributions':[],'photo_reference':'AUc7',"
         "'width':4032}]"},
        {"'photos':[{'name':'places/ChIJ1/photos/AUc7','authorAttributions':["
         "{'displayName':'A & B','uri':'https://m/1?a&b'},{'displayName':'C','uri':'//m/2'},"
         "{'displayName':'<D>','uri':'javascript:x'},{'uri':'https://m/3'}]}]",
         "'photos':[{'html_attributions':['<a href=\\'https://m/1?a&amp;b\\'>A &amp; B</a>',"
         "'<a href=\\'https://m/2\\'>C</a>','&lt;D&gt;'],'photo_reference':'AUc7'}]"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_mapped(rows[i].part, rows[i].mapped);
}

/* What is there but of another type is left out, and nothing else with it. */
static void test_parts_of_another_type(void **state)
{
    (void)state;
    static const char *const parts[] = {
        "'id':7",
        "'id':null",
        "'id':''",
        "'shortFormattedAddress':{},'formattedAddress':[]",
        "'types':'a'",
        "'types':{'a':1}",
        "'types':[1,null,{}]",
        "'primaryType':5",
        "'businessStatus':true",
        "'rating':'4.6'",
        "'rating':-1",
        "'rating':500",
        "'userRatingCount':'812'",
        "'userRatingCount':8.5",
        "'userRatingCount':-1",
        "'priceLevel':2",
        "'currentOpeningHours':true",
        "'currentOpeningHours':{'openNow':'yes'}",
        "'plusCode':'x'",
        "'plusCode':{'compoundCode':'y'}",
        "'iconMaskBaseUri':1",
        "'iconBackgroundColor':1",
        "'photos':{}",
        "'photos':[]",
        "'photos':[1,{},{'name':'x'}]",
        "'photos':[{'name':7}]",
        "'viewport':[]",
        "'viewport':{'low':{'latitude':1,'longitude':1}}",
        "'viewport':{'low':{'latitude':1,'longitude':1},'high':{'latitude':'2','longitude':2}}",
        "'attributions':{}",
        "'attributions':[1,{},{'provider':1},{'providerUri':'https://x/'}]",
        "'unknown':{'deep':[[[]]]}",
    };
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        assert_mapped(parts[i], "");
    assert_mapped("'types':['a',1,'b']", "'types':['a','b']");
    assert_mapped("'photos':[7,{'name':'places/1/photos/R','widthPx':'1','heightPx':1.5}]",
                  "'photos':[{'html_attributions':[],'photo_reference':'R'}]");
    assert_mapped("'plusCode':{'globalCode':'G','compoundCode':7}",
                  "'plus_code':{'global_code':'G'}");
}

static void test_viewport(void **state)
{
    (void)state;
    json_t *root = read_quoted(
        "{'places':[{%s,'viewport':{'low':{'latitude':1.4986510197085,'longitude':-3},'high':"
        "{'latitude':1.5,'longitude':-1.25}}}]}",
        name_and_place);
    assert_json(json_object_get(json_array_get(json_object_get(root, "results"), 0), "geometry"),
                "{'location':{'lat':1.5,'lng':-2},'viewport':{'northeast':{'lat':1.5,'lng':-1.25},"
                "'southwest':{'lat':1.4986510197085,'lng':-3}}}");
    assert_status(root, "OK", NULL);
}

static void test_attributions(void **state)
{
    (void)state;
    json_t *root = read_quoted(
        "{'places':[{%s,'attributions':[{'provider':'A <b>','providerUri':'https://a/?x&\\\\y'},"
        "{'provider':'B'}]},{%s,'attributions':[{'provider':'B'},{'provider':'C','providerUri':"
        "'ftp://c'}]},{'id':'no place','attributions':[{'provider':'D'}]}]}",
        name_and_place, name_and_place);
    assert_json(json_object_get(root, "html_attributions"),
                "['<a href=\\'https://a/?x&amp;\\\\y\\'>A &lt;b&gt;</a>','B','C']");
    assert_status(root, "OK", NULL);
}

/* Without a name or a location there is no place; the others stay, in their order. */
static void test_dropped(void **state)
{
    (void)state;
    static const char *const dropped[] = {
        "null",
        "7",
        "'x'",
        "[]",
        "{}",
        "{'displayName':{'text':'A'}}",
        "{'displayName':{'text':'A'},'location':{}}",
        "{'displayName':{'text':'A'},'location':{'latitude':1}}",
        "{'displayName':{'text':'A'},'location':{'latitude':'1','longitude':'2'}}",
        "{'displayName':{'text':'A'},'location':{'latitude':90.1,'longitude':2}}",
        "{'displayName':{'text':'A'},'location':{'latitude':1,'longitude':-180.1}}",
        "{'displayName':{'text':'A'},'location':{'latitude':null,'longitude':true}}",
        "{'displayName':{'text':'A'},'location':[1,2]}",
        "{'location':{'latitude':1,'longitude':2}}",
        "{'displayName':'A','location':{'latitude':1,'longitude':2}}",
        "{'displayName':{'text':''},'location':{'latitude':1,'longitude':2}}",
        "{'displayName':{'text':['A']},'location':{'latitude':1,'longitude':2}}",
    };
    for (size_t i = 0; i < sizeof dropped / sizeof dropped[0]; i++) {
        json_t *root = read_quoted("{'places':[%s,{%s,'id':'1'},%s,{%s,'id':'2'}]}", dropped[i],
                                   name_and_place, dropped[i], name_and_place);
        const json_t *results = json_object_get(root, "results");
        assert_int_equal(json_array_size(results), 2);
        assert_json(json_object_get(json_array_get(results, 0), "place_id"), "'1'");
        assert_json(json_object_get(json_array_get(results, 1), "place_id"), "'2'");
        assert_status(root, "OK", NULL);
        assert_status(read_quoted("{'places':[%s]}", dropped[i]), "ZERO_RESULTS", NULL);
    }
}

static void test_at_most_twenty(void **state)
{
    (void)state;
    struct herd_buf body = {0};
    for (int i = 0; i < 50; i++)
        assert_int_equal(
            herd_buf_printf(&body, "%s{},{'id':'%d',%s}", i > 0 ? "," : "", i, name_and_place), 0);
    char *places = testing_take_text(&body);
    json_t *root = read_quoted("{'places':[%s]}", places);
    const json_t *results = json_object_get(root, "results");
    assert_int_equal(json_array_size(results), PLACES_RESULTS_MAX);
    assert_json(json_object_get(json_array_get(results, 19), "place_id"), "'19'");
    assert_status(root, "OK", NULL);
    free(places);
}

static void test_nothing_there(void **state)
{
    (void)state;
    assert_status(read_text(&google_dialect_new, 200, "{}"), "ZERO_RESULTS", NULL);
    assert_status(read_text(&google_dialect_new, 200, " {\n}\n"), "ZERO_RESULTS", NULL);
    assert_status(read_text(&google_dialect_new, 200, "{\"places\":[]}"), "ZERO_RESULTS", NULL);
}

static void test_errors(void **state)
{
    (void)state;
    static const struct {
        int http_status;
        const char *status;
    } rows[] = {
        {400, "INVALID_REQUEST"},  {401, "REQUEST_DENIED"}, {403, "REQUEST_DENIED"},
        {429, "OVER_QUERY_LIMIT"}, {404, "UNKNOWN_ERROR"},  {500, "UNKNOWN_ERROR"},
        {502, "UNKNOWN_ERROR"},    {503, "UNKNOWN_ERROR"},  {504, "UNKNOWN_ERROR"},
        {302, "UNKNOWN_ERROR"},    {204, "UNKNOWN_ERROR"},  {206, "UNKNOWN_ERROR"},
    };
    static const char *const without_message[] = {
        "",
        "<html>",
        "[]",
        "{}",
        "{\"error\":7}",
        "{\"error\":{\"message\":7}}",
        "{\"error\":{\"code\":1,\"details\":[1,{\"reason\":3}]}}",
        "{\"places\":[]}",
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char ours[64];
        snprintf(ours, sizeof ours, "The places provider failed: HTTP %d", rows[i].http_status);
        assert_status(read_text(&google_dialect_new, rows[i].http_status,
                                "{\"error\":{\"code\":1,\"message\":\"Say \\u2028so\\n\\n.\","
                                "\"status\":\"X\"}}"),
                      rows[i].status, "Say \u2028so\n\n.");
        for (size_t j = 0; j < sizeof without_message / sizeof without_message[0]; j++)
            assert_status(read_text(&google_dialect_new, rows[i].http_status, without_message[j]),
                          rows[i].status, ours);
    }
}

static void test_key_refused(void **state)
{
    (void)state;
    static const char body[] =
        "{\"error\":{\"code\":400,\"message\":\"API key not valid.\",\"status\":"
        "\"INVALID_ARGUMENT\",\"details\":[{\"@type\":\"x\"},{\"reason\":\"API_KEY_INVALID\"}]}}";
    static const char without_message[] =
        "{\"error\":{\"details\":[{\"reason\":\"API_KEY_INVALID\"}]}}";
    assert_status(read_text(&google_dialect_new, 400, body), "REQUEST_DENIED",
                  "API key not valid.");
    assert_status(read_text(&google_dialect_new, 400, without_message), "REQUEST_DENIED",
                  "The places provider failed: HTTP 400");
}

static void test_the_key_is_hidden(void **state)
{
    (void)state;
    assert_status(read_text(&google_dialect_new, 403,
                            "{\"error\":{\"message\":\"the-key! (the-ke\\u0079!)\"}}"),
                  "REQUEST_DENIED", "******** (********)");
}

/* 512 bytes are shown; a key across the cut leaves no half of it. */
static void test_long_message(void **state)
{
    (void)state;
    const size_t euros_count = 169;
    struct herd_buf body = {0};
    assert_int_equal(herd_buf_append_text(&body, "{\"error\":{\"message\":\""), 0);
    for (size_t i = 0; i < euros_count; i++)
        assert_int_equal(herd_buf_append_text(&body, "\u20ac"), 0);
    for (int i = 0; i < 99; i++)
        assert_int_equal(herd_buf_append_text(&body, "the-key!"), 0);
    assert_int_equal(herd_buf_append_text(&body, "\"}}"), 0);
    json_t *root = read_body(&google_dialect_new, 403, herd_buf_slice(&body));
    const char *message = json_string_value(json_object_get(root, "error_message"));
    assert_int_equal(strlen(message), WEB_MESSAGE_MAX);
    assert_string_equal(message + euros_count * 3, "*****");
    json_decref(root);
    herd_buf_free(&body);
    body = (struct herd_buf){0};
    assert_int_equal(herd_buf_append_text(&body, "{\"error\":{\"message\":\"x"), 0);
    for (size_t i = 0; i < 200; i++)
        assert_int_equal(herd_buf_append_text(&body, "\u20ac"), 0);
    assert_int_equal(herd_buf_append_text(&body, "\"}}"), 0);
    root = read_body(&google_dialect_new, 403, herd_buf_slice(&body));
    herd_buf_free(&body);
    message = json_string_value(json_object_get(root, "error_message"));
    assert_int_equal(strlen(message), 1 + 170 * 3);
    json_decref(root);
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
        {" ", not_json},
        {"{", not_json},
        {"{\"places\":[", not_json},
        {"{\"places\":[]} x", not_json},
        {"<html></html>", not_json},
        {"{\"places\":[\"\xc3\x28\"]}", not_json},
        {"{\"places\":[\"\xed\xa0\x80\"]}", not_json},
        {"{\"places\":[\"\\ud800\"]}", not_json},
        {"{\"places\":[\"\\u0000\"]}", not_json},
        {"{\"places\":[\"a\nb\"]}", not_json},
        {"{\"places\":[],\"places\":[]}", not_json},
        {"{\"places\":[1e999]}", not_json},
        {"{\"places\":[123456789012345678901234567890]}", not_json},
        {"{\"places\":[NaN]}", not_json},
        {"\xef\xbb\xbf{}", not_json},
        {"[]", shape},
        {"{\"places\":3}", shape},
        {"{\"places\":{}}", shape},
        {"{\"places\":null}", shape},
        {"{\"other\":[]}", shape},
        {"{\"error\":{\"code\":400}}", shape},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_status(read_text(&google_dialect_new, 200, cases[i].body), "UNKNOWN_ERROR",
                      cases[i].message);
    assert_status(read_body(&google_dialect_new, 200, herd_slice("{}\0", 3)), "UNKNOWN_ERROR",
                  not_json);
}

/* A body of `depth` levels, the root included, of which the rest are within an unknown field. */
static char *nested(size_t depth)
{
    struct herd_buf body = {0};
    assert_int_equal(herd_buf_append_text(&body, "{\"places\":[],\"\\\"[[\\\\\":\"[{\","
                                                 "\"more\":"),
                     0);
    for (size_t i = 1; i < depth; i++)
        assert_int_equal(herd_buf_append_text(&body, i + 1 < depth ? "[{}," : "["), 0);
    for (size_t i = 1; i < depth; i++)
        assert_int_equal(herd_buf_append_text(&body, "]"), 0);
    assert_int_equal(herd_buf_append_text(&body, "}"), 0);
    return testing_take_text(&body);
}

static void test_depth(void **state)
{
    (void)state;
    static const struct {
        size_t depth;
        const char *status, *message;
    } cases[] = {
        {31, "ZERO_RESULTS", NULL},
        {32, "ZERO_RESULTS", NULL},
        {33, "UNKNOWN_ERROR", "The places provider failed: the answer was nested too deeply"},
        {100000, "UNKNOWN_ERROR", "The places provider failed: the answer was nested too deeply"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *body = nested(cases[i].depth);
        assert_status(read_text(&google_dialect_new, 200, body), cases[i].status, cases[i].message);
        free(body);
    }
}

static void test_request(void **state)
{
    (void)state;
    struct web_settings settings = {.language = "pt-BR", .key = {.len = 4, .text = "K&y\""}};
    const struct places_query query = {34.06893, -118.445127, 10000};
    struct web_request request = {0};
    static const char headers[] =
        "Content-Type: application/json\0"
        "X-Goog-FieldMask: places.id,places.displayName,places.location,places.viewport,"
        "places.types,places.shortFormattedAddress,places.formattedAddress,places.businessStatus,"
        "places.plusCode\0"
        "X-Goog-Api-Key: K&y\"";
    const struct places_options options = {.price_class = "pro", .field_mask = ""};
    struct herd_buf error = {0};
    assert_int_equal(herd_buf_append(&settings.origin, "http://h:1", 11), 0);
    assert_int_equal(google_dialect_new.configure(&options, &settings, &error), 0);
    assert_int_equal(google_dialect_new.write(&settings, &query, &request), 0);
    assert_true(request.post);
    assert_string_equal(request.url.data, "http://h:1/v1/places:searchNearby");
    assert_int_equal(request.headers.len, sizeof headers);
    assert_memory_equal(request.headers.data, headers, sizeof headers);
    char *body = testing_take_text(&request.body);
    assert_string_equal(body, "{\"maxResultCount\":20,\"rankPreference\":\"DISTANCE\","
                              "\"languageCode\":\"pt-BR\",\"locationRestriction\":{\"circle\":"
                              "{\"center\":{\"latitude\":34.06893,\"longitude\":-118.445127},"
                              "\"radius\":10000.0}}}");
    free(body);
    herd_buf_free(&request.url);
    herd_buf_free(&request.headers);
    herd_buf_free(&settings.origin);
    herd_buf_free(&settings.mask);
}

static void test_field_mask(void **state)
{
    (void)state;
    static const struct {
        const char *price_class, *field_mask, *header; /* NULL: it is refused */
    } cases[] = {
        {"enterprise", "",
         "X-Goog-FieldMask: places.id,places.displayName,places.location,places.viewport,"
         "places.types,places.shortFormattedAddress,places.formattedAddress,places.businessStatus,"
         "places.plusCode,places.rating,places.userRatingCount,places.priceLevel,"
         "places.currentOpeningHours.openNow"},
        {"enterprise", "places.displayName.text,places.location",
         "X-Goog-FieldMask: places.displayName.text,places.location"},
        {"pro", "places.displayName", NULL},
        {"pro", "places.location,places.displayNames", NULL},
        {"pro", "places.location,displayName", NULL},
        {"pro", "places.displayName,places.location,", NULL},
        {"pro", "places.displayName,places.location,places.", NULL},
        {"pro", "places.displayName, places.location", NULL},
        {"pro", "places.displayName,places.location\r\nX: y", NULL},
        {"pro", "*", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct web_settings settings = {0};
        struct herd_buf error = {0};
        const struct places_options options = {.price_class = cases[i].price_class,
                                               .field_mask = cases[i].field_mask};
        int rc = google_dialect_new.configure(&options, &settings, &error);
        assert_int_equal(rc, cases[i].header != NULL ? 0 : HERD_EINVAL);
        if (cases[i].header != NULL)
            assert_string_equal(settings.mask.data, cases[i].header);
        else
            assert_non_null(memmem(error.data, error.len, "field_mask: ", 12));
        herd_buf_free(&settings.mask);
        herd_buf_free(&error);
    }
}

/* How long to leave it alone is in the details, where Google says so. */
static void test_retry_delay(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        int64_t retry_after_ms;
    } cases[] = {
        {"{\"error\":{\"details\":[{\"reason\":\"RATE_LIMIT_EXCEEDED\"},{\"@type\":"
         "\"type.googleapis.com/google.rpc.RetryInfo\",\"retryDelay\":\"41s\"}]}}",
         41000},
        {"{\"error\":{\"details\":[{\"retryDelay\":\"0.25s\"}]}}", 250},
        {"{\"error\":{\"details\":[{\"retryDelay\":\"-1s\"}]}}", -1},
        {"{\"error\":{\"details\":[{\"retryDelay\":\"1e99s\"}]}}", -1},
        {"{\"error\":{\"details\":[{\"retryDelay\":\"soon\"}, 7, null]}}", -1},
        {"{\"error\":{\"details\":[{\"retryDelay\":41}]}}", -1},
        {"{}", -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct web_settings settings = {.language = "en", .json_depth_max = 32};
        const struct fetch_result result = {
            .http_status = 429, .retry_after_ms = -1, .body = herd_slice_of(cases[i].body)};
        struct web_reply reply = {.failure.retry_after_ms = -1};
        google_dialect_new.read(&settings, &(struct places_query){0}, &result, &reply);
        assert_int_equal(reply.status, PLACES_OVER_QUERY_LIMIT);
        assert_int_equal(reply.failure.retry_after_ms, cases[i].retry_after_ms);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts),         cmocka_unit_test(test_parts_of_another_type),
        cmocka_unit_test(test_viewport),      cmocka_unit_test(test_attributions),
        cmocka_unit_test(test_dropped),       cmocka_unit_test(test_at_most_twenty),
        cmocka_unit_test(test_nothing_there), cmocka_unit_test(test_errors),
        cmocka_unit_test(test_key_refused),   cmocka_unit_test(test_the_key_is_hidden),
        cmocka_unit_test(test_long_message),  cmocka_unit_test(test_nonsense),
        cmocka_unit_test(test_depth),         cmocka_unit_test(test_request),
        cmocka_unit_test(test_field_mask),    cmocka_unit_test(test_retry_delay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
