/* google_reading.h: given bodies -> what a client is shown; for the tests of both Google APIs. */
#ifndef GOOGLE_READING_H
#define GOOGLE_READING_H

#include <stdio.h>
#include <stdlib.h>

#include <jansson.h>

#include "places/google.h"
#include "testing.h"

/* What an HTTP answer with that body comes to, rendered and read again. Free with json_decref. */
static inline json_t *read_body(const struct web_dialect *dialect, int http_status,
                                struct herd_slice body)
{
    static const struct web_key key = {.len = 8, .text = "the-key!"};
    const struct fetch_result result = {
        .http_status = http_status, .retry_after_ms = -1, .body = body};
    struct web_reply reply = {0};
    struct herd_buf out = {0};
    const struct web_settings settings = {.language = "en", .json_depth_max = 32};
    const struct places_query query = {34.06893, -118.445127, 10000};
    dialect->read(&settings, &query, &result, &reply);
    struct places_answer *answer = web_reply_finish(&reply, &key);
    assert_int_equal(places_answer_render(answer, PLACES_RESULTS_MAX, &out), 0);
    assert_string_equal(places_status_name(places_answer_status(answer)),
                        places_status_name(reply.status));
    places_answer_unref(answer);
    json_error_t error;
    json_t *root = json_loadb(out.data, out.len, JSON_REJECT_DUPLICATES, &error);
    if (root == NULL)
        fail_msg("%s in:\n%.*s", error.text, (int)out.len, out.data);
    herd_buf_free(&out);
    return root;
}

static inline json_t *read_text(const struct web_dialect *dialect, int http_status,
                                const char *body)
{
    return read_body(dialect, http_status, herd_slice_of(body));
}

/* Fails, showing both, unless `value` is what the JSON text `expected` says, in any order of
 * names. Single quotes stand for double ones. */
static inline void assert_json(const json_t *value, const char *expected)
{
    char *text = strdup(expected);
    for (char *quote = text; (quote = strchr(quote, '\'')) != NULL;)
        *quote = '"';
    json_error_t error;
    json_t *wanted = json_loads(text, JSON_DECODE_ANY, &error);
    if (wanted == NULL)
        fail_msg("%s in the test's own: %s", error.text, text);
    if (!json_equal(value, wanted)) {
        char *shown = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
        fail_msg("got      %s\nexpected %s", shown, text);
    }
    json_decref(wanted);
    free(text);
}

/* The answer has that status and, NULL for none, that message; on errors no results. */
static inline void assert_status(json_t *take_root, const char *status, const char *message)
{
    const char *got = json_string_value(json_object_get(take_root, "error_message"));
    assert_string_equal(json_string_value(json_object_get(take_root, "status")), status);
    if (message == NULL)
        assert_null(got);
    else
        assert_string_equal(got != NULL ? got : "(none)", message);
    if (strcmp(status, "OK") != 0)
        assert_json(json_object_get(take_root, "results"), "[]");
    assert_true(json_is_array(json_object_get(take_root, "html_attributions")));
    json_decref(take_root);
}

#endif
