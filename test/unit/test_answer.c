/* The answer of a places provider, byte for byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <jansson.h>

#include <herd/err.h>

#include "places/local_render.h"
#include "places/provider.h"

static void add(struct places_answer *answer, json_t *take_object)
{
    assert_non_null(take_object);
    assert_int_equal(places_answer_add_result(answer, take_object), 0);
    json_decref(take_object);
}

static void assert_rendered(const struct places_answer *answer, size_t count, const char *expected)
{
    struct herd_buf out = {0};
    assert_int_equal(places_answer_render(answer, count, &out), 0);
    assert_int_equal(herd_buf_append(&out, "", 1), 0);
    assert_string_equal(out.data, expected);
    herd_buf_free(&out);
}

static struct places_answer *three_places(void)
{
    struct places_answer *answer = places_answer_new(PLACES_OK);
    assert_int_equal(places_answer_add_attribution(answer, "© <a href=\"https://x/\">X</a>"), 0);
    assert_int_equal(places_answer_add_attribution(answer, "Y"), 0);
    add(answer,
        json_pack("{s:{s:{s:f,s:f}},s:s,s:[s,s]}", "geometry", "location", "lat", 34.06893, "lng",
                  -118.445127, "name", "Westwood", "types", "locality", "political"));
    add(answer, json_pack("{s:s,s:[],s:{}}", "name", "Brentwood", "types", "geometry"));
    add(answer, json_pack("{s:s}", "name", "Bel Air"));
    return answer;
}

static void test_whole(void **state)
{
    (void)state;
    struct places_answer *answer = three_places();
    assert_int_equal(places_answer_count(answer), 3);
    assert_rendered(answer, PLACES_RESULTS_MAX,
                    "{\n"
                    "   \"html_attributions\": [\n"
                    "      \"© <a href=\\\"https://x/\\\">X</a>\",\n"
                    "      \"Y\"\n"
                    "   ],\n"
                    "   \"results\": [\n"
                    "      {\n"
                    "         \"geometry\": {\n"
                    "            \"location\": {\n"
                    "               \"lat\": 34.06893,\n"
                    "               \"lng\": -118.445127\n"
                    "            }\n"
                    "         },\n"
                    "         \"name\": \"Westwood\",\n"
                    "         \"types\": [\n"
                    "            \"locality\",\n"
                    "            \"political\"\n"
                    "         ]\n"
                    "      },\n"
                    "      {\n"
                    "         \"name\": \"Brentwood\",\n"
                    "         \"types\": [],\n"
                    "         \"geometry\": {}\n"
                    "      },\n"
                    "      {\n"
                    "         \"name\": \"Bel Air\"\n"
                    "      }\n"
                    "   ],\n"
                    "   \"status\": \"OK\"\n"
                    "}\n\n");
    places_answer_unref(answer);
}

static void test_count_cuts(void **state)
{
    (void)state;
    struct places_answer *answer = three_places();
    for (size_t count = 0; count <= 4; count++) {
        struct herd_buf out = {0};
        assert_int_equal(places_answer_render(answer, count, &out), 0);
        json_t *root = json_loadb(out.data, out.len, 0, NULL);
        assert_non_null(root);
        json_t *results = json_object_get(root, "results");
        assert_int_equal(json_array_size(results), count < 3 ? count : 3);
        const char *const names[] = {"Westwood", "Brentwood", "Bel Air"};
        for (size_t i = 0; i < json_array_size(results); i++) {
            json_t *name = json_object_get(json_array_get(results, i), "name");
            assert_string_equal(json_string_value(name), names[i]);
        }
        assert_int_equal(json_array_size(json_object_get(root, "html_attributions")), 2);
        assert_string_equal(json_string_value(json_object_get(root, "status")), "OK");
        json_decref(root);
        herd_buf_free(&out);
    }
    places_answer_unref(answer);
}

static const char NO_PLACES[] = "{\n"
                                "   \"html_attributions\": [],\n"
                                "   \"results\": [],\n"
                                "   \"status\": \"ZERO_RESULTS\"\n"
                                "}\n\n";

static void test_empty(void **state)
{
    (void)state;
    struct places_answer *answer = places_answer_new(PLACES_ZERO_RESULTS);
    assert_rendered(answer, 20, NO_PLACES);
    places_answer_unref(answer);
}

static void test_an_empty_attribution_is_none(void **state)
{
    (void)state;
    struct herd_buf rendered = {0};
    struct places_answer *answer = places_answer_new(PLACES_ZERO_RESULTS);
    assert_int_equal(places_answer_add_attribution(answer, ""), 0);
    assert_int_equal(places_answer_render_attribution("", &rendered), 0);
    assert_int_equal(rendered.len, 0);
    assert_rendered(answer, 20, NO_PLACES);
    places_answer_unref(answer);
}

static void test_error(void **state)
{
    (void)state;
    struct places_answer *answer = places_answer_new(PLACES_REQUEST_DENIED);
    assert_int_equal(places_answer_set_error(answer, "another"), 0);
    assert_int_equal(places_answer_set_error(answer, "The \"key\"\n\nis no key."), 0);
    assert_rendered(answer, 20,
                    "{\n"
                    "   \"html_attributions\": [],\n"
                    "   \"results\": [],\n"
                    "   \"status\": \"REQUEST_DENIED\",\n"
                    "   \"error_message\": \"The \\\"key\\\"\\n\\nis no key.\"\n"
                    "}\n\n");
    places_answer_unref(answer);
}

static void test_no_blank_line_inside(void **state)
{
    (void)state;
    struct places_answer *answer = places_answer_new(PLACES_OK);
    assert_int_equal(places_answer_add_attribution(answer, "a\n\nb"), 0);
    add(answer, json_pack("{s:s,s:s}", "name", "one\n\ntwo\r\n\r\nthree\n", "a\n\nkey", "\n\n"));
    struct herd_buf out = {0};
    assert_int_equal(places_answer_render(answer, 20, &out), 0);
    assert_memory_equal(out.data + out.len - 3, "}\n\n", 3);
    assert_ptr_equal(memmem(out.data, out.len, "\n\n", 2), out.data + out.len - 2);
    assert_null(memchr(out.data, '\r', out.len));
    herd_buf_free(&out);
    places_answer_unref(answer);
}

static void test_attributions_are_bounded(void **state)
{
    (void)state;
    struct places_answer *answer = places_answer_new(PLACES_OK);
    char *line = malloc(2001), *long_one = malloc((64 << 10) + 1);
    assert_true(line != NULL && long_one != NULL);
    memset(line, 'x', 2000);
    line[2000] = '\0';
    memset(long_one, 'y', 64 << 10);
    long_one[64 << 10] = '\0';
    assert_int_equal(places_answer_add_attribution(answer, long_one), HERD_EINVAL);
    for (int i = 0; i < 100; i++)
        assert_int_equal(places_answer_add_attribution(answer, line), i < 32 ? 0 : HERD_EINVAL);
    struct herd_buf out = {0};
    assert_int_equal(places_answer_render(answer, PLACES_RESULTS_MAX, &out), 0);
    assert_in_range(out.len, 32 * 2000, 65 << 10);
    json_t *root = json_loadb(out.data, out.len, 0, NULL);
    assert_int_equal(json_array_size(json_object_get(root, "html_attributions")), 32);
    json_decref(root);
    herd_buf_free(&out);
    free(line);
    free(long_one);
    places_answer_unref(answer);
}

static void test_text_that_is_not_utf8(void **state)
{
    (void)state;
    struct places_answer *answer = places_answer_new(PLACES_UNKNOWN_ERROR);
    assert_int_equal(places_answer_set_error(answer, "caf\xe9"), 0);
    assert_rendered(answer, 20,
                    "{\n"
                    "   \"html_attributions\": [],\n"
                    "   \"results\": [],\n"
                    "   \"status\": \"UNKNOWN_ERROR\",\n"
                    "   \"error_message\": \"caf?\"\n"
                    "}\n\n");
    places_answer_unref(answer);
}

static void test_refused_results(void **state)
{
    (void)state;
    struct places_answer *answer = places_answer_new(PLACES_OK);
    json_t *list = json_array();
    assert_int_equal(places_answer_add_result(answer, list), HERD_EINVAL);
    json_decref(list);

    json_t *ring = json_object();
    json_object_set_new(ring, "inner", json_object());
    json_object_set(json_object_get(ring, "inner"), "outer", ring);
    assert_int_equal(places_answer_add_result(answer, ring), HERD_EINVAL);
    json_object_clear(json_object_get(ring, "inner"));
    json_decref(ring);
    assert_int_equal(places_answer_count(answer), 0);

    for (int i = 0; i < PLACES_RESULTS_MAX; i++)
        add(answer, json_pack("{s:i}", "i", i));
    json_t *more = json_object();
    assert_int_equal(places_answer_add_result(answer, more), HERD_EFULL);
    json_decref(more);
    assert_int_equal(places_answer_count(answer), PLACES_RESULTS_MAX);
    places_answer_unref(answer);
}

/* 40 KB of zeros that are 26 levels deep would be two megabytes, for each asker. */
static void test_a_result_that_grows_is_left_out(void **state)
{
    (void)state;
    struct places_answer *answer = places_answer_new(PLACES_OK);
    json_t *deep = json_array();
    for (int i = 0; i < 20000; i++)
        json_array_append_new(deep, json_integer(0));
    for (int i = 0; i < 25; i++)
        deep = json_pack("[o]", deep);
    json_t *result = json_pack("{s:s,s:o}", "name", "Deep", "x", deep);
    add(answer, json_pack("{s:s}", "name", "Before"));
    assert_int_equal(places_answer_add_result(answer, result), HERD_EINVAL);
    json_decref(result);
    add(answer, json_pack("{s:s}", "name", "After"));
    assert_int_equal(places_answer_count(answer), 2);
    assert_rendered(answer, PLACES_RESULTS_MAX,
                    "{\n"
                    "   \"html_attributions\": [],\n"
                    "   \"results\": [\n"
                    "      {\n"
                    "         \"name\": \"Before\"\n"
                    "      },\n"
                    "      {\n"
                    "         \"name\": \"After\"\n"
                    "      }\n"
                    "   ],\n"
                    "   \"status\": \"OK\"\n"
                    "}\n\n");
    places_answer_unref(answer);
}

static void test_rendered_results(void **state)
{
    (void)state;
    struct places_answer *answer = places_answer_new(PLACES_OK);
    add(answer, json_pack("{s:s}", "name", "one"));
    struct herd_slice two = herd_slice_of("{\n         \"name\": \"two\"\n      }");
    assert_int_equal(places_answer_add_rendered(answer, two), 0);
    assert_int_equal(places_answer_count(answer), 2);
    assert_rendered(answer, 20,
                    "{\n"
                    "   \"html_attributions\": [],\n"
                    "   \"results\": [\n"
                    "      {\n"
                    "         \"name\": \"one\"\n"
                    "      },\n"
                    "      {\n"
                    "         \"name\": \"two\"\n"
                    "      }\n"
                    "   ],\n"
                    "   \"status\": \"OK\"\n"
                    "}\n\n");
    while (places_answer_count(answer) < PLACES_RESULTS_MAX)
        assert_int_equal(places_answer_add_rendered(answer, two), 0);
    assert_int_equal(places_answer_add_rendered(answer, two), HERD_EFULL);
    places_answer_unref(answer);
}

/* The allocation that fails is counted down to; below zero none does. */
static int allocations_left = -1;

static bool allocation_fails(void)
{
    return allocations_left >= 0 && allocations_left-- == 0;
}

void *__real_realloc(void *memory, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void *__wrap_realloc(void *memory, size_t size)
{
    return allocation_fails() ? NULL : __real_realloc(memory, size);
}

void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size)
{
    return allocation_fails() ? NULL : __real_calloc(count, size);
}

/* Fills an answer whose allocation number `n` fails; whether one did. */
static bool fill_without_memory(int n, struct places_answer **out)
{
    json_t *place = json_pack("{s:s}", "name", "a name that needs memory");
    allocations_left = n;
    *out = places_answer_new(PLACES_OK);
    places_answer_add_attribution(*out, "X");
    for (int i = 0; i < PLACES_RESULTS_MAX; i++)
        places_answer_add_result(*out, place);
    bool failed = allocations_left < 0;
    allocations_left = -1;
    json_decref(place);
    return failed;
}

static void test_without_memory(void **state)
{
    (void)state;
    struct places_answer *answer;
    int n = 0;
    for (; fill_without_memory(n, &answer); n++) {
        assert_int_equal(places_answer_status(answer), PLACES_UNKNOWN_ERROR);
        assert_int_equal(places_answer_count(answer), 0);
        assert_int_equal(places_answer_set_error(answer, "another"), HERD_ENOMEM);
        assert_ptr_equal(places_answer_ref(answer), answer);
        assert_rendered(answer, 20,
                        "{\n"
                        "   \"html_attributions\": [],\n"
                        "   \"results\": [],\n"
                        "   \"status\": \"UNKNOWN_ERROR\",\n"
                        "   \"error_message\": \"out of memory\"\n"
                        "}\n\n");
        places_answer_unref(answer);
        places_answer_unref(answer);
    }
    assert_true(n > 3);
    assert_int_equal(places_answer_status(answer), PLACES_OK);
    assert_int_equal(places_answer_count(answer), PLACES_RESULTS_MAX);

    struct herd_buf out = {0};
    assert_int_equal(herd_buf_append_text(&out, "AT"), 0);
    allocations_left = 0;
    int rc = places_answer_render(answer, 20, &out);
    allocations_left = -1;
    assert_int_equal(rc, HERD_ENOMEM);
    assert_int_equal(out.len, 2);
    herd_buf_free(&out);
    places_answer_unref(answer);
}

static void *allocate_for_json(size_t size)
{
    return allocation_fails() ? NULL : malloc(size);
}

/* An attribution whose allocation number `n` fails, jansson's among them; whether one did. */
static bool credit_without_memory(int n)
{
    struct places_answer *answer = places_answer_new(PLACES_OK);
    allocations_left = n;
    int rc = places_answer_add_attribution(answer, "© Zoë");
    bool failed = allocations_left < 0;
    allocations_left = -1;
    assert_int_equal(rc, failed ? HERD_ENOMEM : 0);
    if (rc == 0)
        assert_rendered(answer, 0,
                        "{\n"
                        "   \"html_attributions\": [\n"
                        "      \"© Zoë\"\n"
                        "   ],\n"
                        "   \"results\": [],\n"
                        "   \"status\": \"OK\"\n"
                        "}\n\n");
    places_answer_unref(answer);
    return failed;
}

static bool render_without_memory(int n)
{
    struct herd_buf out = {0};
    allocations_left = n;
    int rc = local_append_string(&out, "Zoë");
    bool failed = allocations_left < 0;
    allocations_left = -1;
    assert_int_equal(rc, failed ? HERD_ENOMEM : 0);
    herd_buf_free(&out);
    return failed;
}

/* A text that there is no memory for is not taken for one that is no UTF-8. */
static void test_text_without_memory(void **state)
{
    (void)state;
    int credits = 0, texts = 0;
    json_set_alloc_funcs(allocate_for_json, free);
    while (credit_without_memory(credits))
        credits++;
    while (render_without_memory(texts))
        texts++;
    json_set_alloc_funcs(malloc, free);
    assert_true(credits > 2 && texts > 2);
}

static void test_appends_and_is_shared(void **state)
{
    (void)state;
    struct places_answer *answer = places_answer_new(PLACES_ZERO_RESULTS);
    assert_ptr_equal(places_answer_ref(answer), answer);
    places_answer_unref(answer);
    struct herd_buf out = {0};
    assert_int_equal(herd_buf_append_text(&out, "AT Hill +0.1 kiwi\n"), 0);
    assert_int_equal(places_answer_render(answer, 20, &out), 0);
    assert_memory_equal(out.data, "AT Hill +0.1 kiwi\n{\n", 20);
    assert_int_equal(places_answer_status(answer), PLACES_ZERO_RESULTS);
    herd_buf_free(&out);
    places_answer_unref(answer);
    places_answer_unref(NULL);
}

static void test_status_names(void **state)
{
    (void)state;
    assert_string_equal(places_status_name(PLACES_OK), "OK");
    assert_string_equal(places_status_name(PLACES_INVALID_REQUEST), "INVALID_REQUEST");
    assert_string_equal(places_status_name(PLACES_OVER_QUERY_LIMIT), "OVER_QUERY_LIMIT");
    assert_string_equal(places_status_name(PLACES_UNKNOWN_ERROR), "UNKNOWN_ERROR");
}

static void test_what_is_kept_is_counted_once(void **state)
{
    size_t total = 0;
    struct places_answer *answer = places_answer_new(PLACES_OK), *other;
    (void)state;
    assert_int_equal(places_answer_add_rendered(answer, herd_slice_of("{}")), 0);
    other = places_answer_new(PLACES_ZERO_RESULTS);
    assert_int_equal(places_answer_add_attribution(other, "X"), 0);
    places_answer_ref(answer);
    assert_false(places_answer_is_kept(answer));
    places_answer_keep(answer, &total);
    places_answer_keep(answer, &total);
    assert_int_equal(total, places_answer_bytes(answer));
    places_answer_keep(other, &total);
    assert_int_equal(total, places_answer_bytes(answer) + places_answer_bytes(other));
    places_answer_let_go(answer);
    assert_true(places_answer_is_kept(answer));
    places_answer_let_go(other);
    assert_int_equal(total, places_answer_bytes(answer));
    places_answer_ref(answer); /* as a cache has one */
    places_answer_let_go(answer);
    assert_false(places_answer_is_kept(answer));
    assert_int_equal(total, 0);
    places_answer_unref(answer);
}

/* Nor do answers without places take any, and they have no message. */
static void test_no_places_take_no_memory(void **state)
{
    (void)state;
    for (int is_found = 0; is_found < 2; is_found++) {
        struct places_answer *answer = places_answer_none(is_found);
        char expected[128];
        snprintf(expected, sizeof expected,
                 "{\n"
                 "   \"html_attributions\": [],\n"
                 "   \"results\": [],\n"
                 "   \"status\": \"%s\"\n"
                 "}\n\n",
                 is_found ? "OK" : "ZERO_RESULTS");
        assert_ptr_equal(places_answer_ref(answer), places_answer_none(is_found));
        assert_int_equal(places_answer_bytes(answer), 0);
        assert_int_equal(places_answer_count(answer), 0);
        assert_int_equal(places_answer_failure(answer).retry_after_ms, -1);
        assert_rendered(answer, 20, expected);
        places_answer_unref(answer);
    }
    assert_int_equal(places_answer_status(places_answer_error(PLACES_ERROR_OFF_EARTH)),
                     PLACES_INVALID_REQUEST);
}

/* However many of them are kept. */
static void test_errors_take_nothing_that_is_counted(void **state)
{
    size_t total = 0;
    struct places_answer *shared = places_answer_error(PLACES_ERROR_UNREAD);
    struct places_answer *own = places_answer_new(PLACES_UNKNOWN_ERROR);
    (void)state;
    assert_int_equal(places_answer_set_error(own, "HTTP 500"), 0);
    assert_ptr_equal(places_answer_error(PLACES_ERROR_UNREAD), shared);
    assert_int_equal(places_answer_bytes(shared), 0);
    assert_false(places_answer_is_long(shared));
    assert_false(places_answer_is_long(own));
    for (int i = 0; i < 3; i++) {
        places_answer_keep(places_answer_ref(shared), &total);
        places_answer_keep(places_answer_ref(own), &total);
    }
    assert_int_equal(total, 0);
    assert_rendered(shared, 20,
                    "{\n"
                    "   \"html_attributions\": [],\n"
                    "   \"results\": [],\n"
                    "   \"status\": \"OVER_QUERY_LIMIT\",\n"
                    "   \"error_message\": \"too many answers wait for clients to read them\"\n"
                    "}\n\n");
    for (int i = 0; i < 3; i++) {
        places_answer_let_go(shared);
        places_answer_let_go(own);
    }
    assert_int_equal(total, 0);
    places_answer_unref(own);
    places_answer_unref(shared);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole),
        cmocka_unit_test(test_count_cuts),
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_an_empty_attribution_is_none),
        cmocka_unit_test(test_error),
        cmocka_unit_test(test_no_blank_line_inside),
        cmocka_unit_test(test_attributions_are_bounded),
        cmocka_unit_test(test_text_that_is_not_utf8),
        cmocka_unit_test(test_refused_results),
        cmocka_unit_test(test_a_result_that_grows_is_left_out),
        cmocka_unit_test(test_rendered_results),
        cmocka_unit_test(test_without_memory),
        cmocka_unit_test(test_text_without_memory),
        cmocka_unit_test(test_appends_and_is_shared),
        cmocka_unit_test(test_what_is_kept_is_counted_once),
        cmocka_unit_test(test_errors_take_nothing_that_is_counted),
        cmocka_unit_test(test_no_places_take_no_memory),
        cmocka_unit_test(test_status_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
