/* The legacy Nearby Search: GET /maps/api/place/nearbysearch/json. Closed to new projects of
 * Google's since March 2025, and still served to the others. Its results are the answer's own
 * shape: they go through as they are. */
#include <math.h>

#include <herd/err.h>

#include "places/google.h"
#include "places/web_json.h"
#include "places/web_url.h"

static int append_query(struct herd_buf *url, const struct web_settings *settings,
                        const struct places_query *query)
{
    int rc = web_append_number(url, query->latitude);
    if (rc == 0)
        rc = herd_buf_append_text(url, ",");
    if (rc == 0)
        rc = web_append_number(url, query->longitude);
    if (rc == 0)
        rc = herd_buf_printf(url, "&radius=%ld&language=%s&key=", lround(query->radius_m),
                             settings->language);
    return rc < 0 ? rc : web_append_escaped(url, settings->key.text);
}

static int write_request(const struct web_settings *settings, const struct places_query *query,
                         struct web_request *out)
{
    int rc = herd_buf_printf(
        &out->url, "%s/maps/api/place/nearbysearch/json?location=", settings->origin.data);
    if (rc == 0)
        rc = append_query(&out->url, settings, query);
    return rc < 0 ? rc : herd_buf_append(&out->url, "", 1);
}

static enum places_status status_named(const char *name)
{
    for (enum places_status status = PLACES_OK; status < PLACES_UNKNOWN_ERROR; status++) {
        if (name != NULL && strcmp(places_status_name(status), name) == 0)
            return status;
    }
    return PLACES_UNKNOWN_ERROR;
}

static bool is_result(const json_t *result)
{
    const json_t *location = json_object_get(json_object_get(result, "geometry"), "location");
    return web_json_string(result, "name") != NULL && web_json_is_point(location, "lat", "lng");
}

static void read_results(const json_t *root, struct web_reply *out)
{
    const json_t *from = json_object_get(root, "results");
    const json_t *attributions = json_object_get(root, "html_attributions");
    json_t *results = json_array();
    for (size_t i = 0; i < json_array_size(from); i++) {
        json_t *result = json_array_get(from, i);
        if (is_result(result))
            json_array_append(results, result);
    }
    web_reply_places(out, results);
    json_decref(results);
    for (size_t i = 0; out->answer != NULL && i < json_array_size(attributions); i++) {
        const char *html = json_string_value(json_array_get(attributions, i));
        if (html != NULL)
            places_answer_add_attribution(out->answer, html);
    }
}

/* Errors come with HTTP 200 and a status; what stands before the API answers with HTTP's. */
static void read_answer(const struct web_settings *settings, const struct places_query *query,
                        const struct fetch_result *result, struct web_reply *out)
{
    (void)query;
    const char *why = NULL;
    json_t *root = web_json_read(result->body, settings->json_depth_max, &why);
    const char *name = json_string_value(json_object_get(root, "status"));
    const char *message = json_string_value(web_json_string(root, "error_message"));
    enum places_status status = status_named(name);
    if (result->http_status != 200)
        web_reply_fail_http(out, result->http_status);
    else if (root == NULL)
        web_reply_fail_malformed(out, why);
    else if (name == NULL)
        web_reply_fail_malformed(out, "the answer was not of the expected form");
    else if (status == PLACES_OK || status == PLACES_ZERO_RESULTS)
        read_results(root, out);
    else
        web_reply_fail_because(out, status, name);
    if (out->answer == NULL && message != NULL)
        web_reply_fail(out, out->status, message);
    json_decref(root);
}

const struct web_dialect google_dialect_legacy = {
    .type = &provider_google_legacy,
    .origin = "https://maps.googleapis.com",
    .needs_key = true,
    .write = write_request,
    .read = read_answer,
};

static int open_legacy(const struct places_options *options, struct provider **out,
                       struct herd_buf *error)
{
    return web_client_open(&google_dialect_legacy, options, out, error);
}

const struct provider_type provider_google_legacy = {
    .name = "google-legacy",
    .is_remote = true,
    .is_billed = true,
    .open = open_legacy,
    .ask = web_client_ask,
    .cancel = web_client_cancel,
    .close = web_client_close,
};
