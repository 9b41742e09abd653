/*
 * A byte that chooses an API, and a body as its provider might send it. Whatever it is, the answer is
 * one JSON object that ends with the only blank line in it.
 */
#include <stdlib.h>

#include <jansson.h>

#include "fuzz.h"
#include "places/google.h"
#include "places/overpass.h"

static const struct web_dialect *const dialects[] = {&google_dialect_new, &google_dialect_legacy,
                                                     &overpass_dialect};

static void check_rendered(const struct places_answer *answer, size_t count)
{
    struct herd_buf out = {0};
    FUZZ_CHECK(places_answer_render(answer, count, &out) == 0);
    FUZZ_CHECK(out.len > 2 && memcmp(out.data + out.len - 2, "\n\n", 2) == 0);
    FUZZ_CHECK(memmem(out.data, out.len - 2, "\n\n", 2) == NULL);
    json_t *root = json_loadb(out.data, out.len, 0, NULL);
    FUZZ_CHECK(json_array_size(json_object_get(root, "results")) <= count);
    FUZZ_CHECK(json_is_string(json_object_get(root, "status")));
    json_decref(root);
    herd_buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const int http_statuses[] = {200, 200, 200, 400, 403, 429, 503};
    static const struct web_settings settings = {.language = "en", .json_depth_max = 32};
    static const struct web_key key = {.len = 3, .text = "key"};
    static const struct places_query query = {34.06893, -118.445127, 10000};
    struct fuzz_input input = {data, data + size};
    unsigned choice = fuzz_byte(&input);
    const struct fetch_result result = {
        .http_status = http_statuses[choice / 3 % 7],
        .retry_after_ms = -1,
        .body = fuzz_bytes(&input, size),
    };
    struct web_reply *reply = calloc(1, sizeof *reply);
    FUZZ_CHECK(reply != NULL);
    dialects[choice % 3]->read(&settings, &query, &result, reply);
    struct places_answer *answer = web_reply_finish(reply, &key);
    check_rendered(answer, PLACES_RESULTS_MAX);
    check_rendered(answer, 1);
    places_answer_unref(answer);
    free(reply);
    return 0;
}
