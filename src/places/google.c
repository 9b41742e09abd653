/* The Places API (New): POST /v1/places:searchNearby. Its price is set by the dearest field asked
 * for: rating, price level and opening hours are asked for by the price class enterprise only. */
#include <stdlib.h>

#include <herd/err.h>

#include "base/config_check.h"
#include "places/google.h"
#include "places/google_place.h"
#include "places/web_json.h"
#include "places/web_url.h"

static const char mask_header[] = "X-Goog-FieldMask: ";
static const char mask_pro[] =
    "places.id,places.displayName,places.location,places.viewport,places.types,"
    "places.shortFormattedAddress,places.formattedAddress,places.businessStatus,places.plusCode";
static const char mask_enterprise[] =
    ",places.rating,places.userRatingCount,places.priceLevel,places.currentOpeningHours.openNow";

/* Headers are told apart by their NUL. */
static int append_header(struct web_request *request, const char *name, const char *value)
{
    int rc = herd_buf_append_text(&request->headers, name);
    return rc < 0 ? rc : herd_buf_append(&request->headers, value, strlen(value) + 1);
}

static int append_body(struct herd_buf *out, const char *language, const struct places_query *query)
{
    int rc = herd_buf_printf(out,
                             "{\"maxResultCount\":%d,\"rankPreference\":\"DISTANCE\","
                             "\"languageCode\":\"%s\",\"locationRestriction\":{\"circle\":{"
                             "\"center\":{\"latitude\":",
                             PLACES_RESULTS_MAX, language);
    if (rc == 0)
        rc = web_append_number(out, query->latitude);
    if (rc == 0)
        rc = herd_buf_append_text(out, ",\"longitude\":");
    if (rc == 0)
        rc = web_append_number(out, query->longitude);
    if (rc == 0)
        rc = herd_buf_append_text(out, "},\"radius\":");
    if (rc == 0)
        rc = web_append_number(out, query->radius_m);
    return rc < 0 ? rc : herd_buf_append_text(out, "}}}");
}

static int write_request(const struct web_settings *settings, const struct places_query *query,
                         struct web_request *out)
{
    out->post = true;
    int rc = herd_buf_printf(&out->url, "%s/v1/places:searchNearby", settings->origin.data);
    if (rc == 0)
        rc = herd_buf_append(&out->url, "", 1);
    if (rc == 0)
        rc = append_header(out, "Content-Type: ", "application/json");
    if (rc == 0)
        rc = append_header(out, settings->mask.data, "");
    if (rc == 0)
        rc = append_header(out, "X-Goog-Api-Key: ", settings->key.text);
    return rc < 0 ? rc : append_body(&out->body, settings->language, query);
}

/* "41s", "0.5s" -> milliseconds; -1: it is nothing of the kind. */
static int64_t duration_ms(const char *text)
{
    char *end;
    double seconds = text != NULL ? strtod(text, &end) : -1;
    bool is_duration = seconds >= 0 && seconds < 1e9 && strcmp(end, "s") == 0;
    return is_duration ? (int64_t)(seconds * 1000) : -1;
}

static int64_t retry_delay_ms(const json_t *error)
{
    const json_t *details = json_object_get(error, "details");
    for (size_t i = 0; i < json_array_size(details); i++) {
        const json_t *delay = json_object_get(json_array_get(details, i), "retryDelay");
        int64_t delay_ms = duration_ms(json_string_value(delay));
        if (delay_ms >= 0)
            return delay_ms;
    }
    return -1;
}

/* Most errors are told by the HTTP status; a key that is none is a 400 like any other mistake. */
static enum places_status status_of_error(int http_status, const json_t *error)
{
    const json_t *details = json_object_get(error, "details");
    for (size_t i = 0; i < json_array_size(details); i++) {
        const char *reason =
            json_string_value(json_object_get(json_array_get(details, i), "reason"));
        if (reason != NULL && strcmp(reason, "API_KEY_INVALID") == 0)
            return PLACES_REQUEST_DENIED;
    }
    return web_status_of_http(http_status);
}

static void read_error(const struct fetch_result *result, const json_t *root, struct web_reply *out)
{
    const json_t *error = json_object_get(root, "error");
    const char *message = json_string_value(web_json_string(error, "message"));
    web_reply_fail_http(out, result->http_status);
    out->status = status_of_error(result->http_status, error);
    out->failure.retry_after_ms = retry_delay_ms(error);
    if (message != NULL)
        web_reply_fail(out, out->status, message);
}

/* Adds each credit once, in the order of the places. */
static void add_attributions(struct places_answer *answer, const json_t *place, json_t *seen)
{
    const json_t *attributions = json_object_get(place, "attributions");
    for (size_t i = 0; i < json_array_size(attributions); i++) {
        struct herd_buf html = {0};
        if (google_place_attribution(json_array_get(attributions, i), &html) == 0 &&
            herd_buf_append(&html, "", 1) == 0 && json_object_get(seen, html.data) == NULL) {
            json_object_set_new(seen, html.data, json_true());
            places_answer_add_attribution(answer, html.data);
        }
        herd_buf_free(&html);
    }
}

/* As many of `places` as have a name and a location, in their order. */
static void read_places(const json_t *places, struct web_reply *out)
{
    json_t *results = json_array(), *credited = json_array(), *seen = json_object();
    for (size_t i = 0; i < json_array_size(places); i++) {
        json_t *place = json_array_get(places, i);
        if (json_array_append_new(results, google_place_to_legacy(place)) == 0)
            json_array_append(credited, place);
    }
    web_reply_places(out, results);
    for (size_t i = 0; out->answer != NULL && i < json_array_size(credited); i++)
        add_attributions(out->answer, json_array_get(credited, i), seen);
    json_decref(results);
    json_decref(credited);
    json_decref(seen);
}

/* `{}` is Google's way to say that there is nothing. */
static void read_answer(const struct web_settings *settings, const struct places_query *query,
                        const struct fetch_result *result, struct web_reply *out)
{
    (void)query;
    const char *why = NULL;
    json_t *root = web_json_read(result->body, settings->json_depth_max, &why);
    const json_t *places = json_object_get(root, "places");
    if (result->http_status != 200)
        read_error(result, root, out);
    else if (root == NULL)
        web_reply_fail_malformed(out, why);
    else if (json_is_array(places) || json_object_size(root) == 0)
        read_places(places, out);
    else
        web_reply_fail_malformed(out, "the answer was not of the expected form");
    json_decref(root);
}

static int configure(const struct places_options *options, struct web_settings *settings,
                     struct herd_buf *error)
{
    const char *own = options->field_mask;
    bool is_enterprise = strcmp(options->price_class, "enterprise") == 0;
    if (own[0] != '\0' && !config_is_field_mask(own)) {
        herd_buf_printf(error, "field_mask: %s", config_field_mask_form);
        return HERD_EINVAL;
    }
    int rc = herd_buf_append_text(&settings->mask, mask_header);
    if (rc == 0)
        rc = herd_buf_append_text(&settings->mask, own[0] != '\0' ? own : mask_pro);
    if (rc == 0 && own[0] == '\0' && is_enterprise)
        rc = herd_buf_append_text(&settings->mask, mask_enterprise);
    return rc < 0 ? rc : herd_buf_append(&settings->mask, "", 1);
}

const struct web_dialect google_dialect_new = {
    .type = &provider_google,
    .origin = "https://places.googleapis.com",
    .needs_key = true,
    .configure = configure,
    .write = write_request,
    .read = read_answer,
};

static int open_new(const struct places_options *options, struct provider **out,
                    struct herd_buf *error)
{
    return web_client_open(&google_dialect_new, options, out, error);
}

const struct provider_type provider_google = {
    .name = "google",
    .is_remote = true,
    .is_billed = true,
    .open = open_new,
    .ask = web_client_ask,
    .cancel = web_client_cancel,
    .close = web_client_close,
};
