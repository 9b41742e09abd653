/*
 * POST /api/interpreter with a query in Overpass QL. The server does not sort by distance, and has
 * more places around a large city than an answer may be long. So it is asked for rings, each four
 * times as wide as the one before, with so many places of each at most: whatever the place is like,
 * the 20 nearest are in the first ring that has as many, and that ring is then hardly ever cut. All
 * rings together, with every tag, are within the default of body_max_kib: a place comes to some 600
 * bytes, in a city that is described well to twice as many.
 */
#include "places/overpass.h"

#include <stdlib.h>

#include <herd/err.h>
#include <herd/geo.h>

#include "places/osm.h"
#include "places/web_json.h"
#include "places/web_url.h"

enum { RINGS = 4, RING_FACTOR = 4, RING_PLACES_MAX = 200, ELEMENTS_MAX = RINGS * RING_PLACES_MAX };

static const char filter[] = "[~\"^(amenity|tourism|historic|leisure|shop)$\"~\".\"][name]";

static int append_ring(struct herd_buf *out, const struct places_query *query, double radius_m)
{
    int rc = herd_buf_append_text(out, "nwr(around:");
    if (rc == 0)
        rc = web_append_number(out, radius_m);
    if (rc == 0)
        rc = herd_buf_append_text(out, ",");
    if (rc == 0)
        rc = web_append_number(out, query->latitude);
    if (rc == 0)
        rc = herd_buf_append_text(out, ",");
    if (rc == 0)
        rc = web_append_number(out, query->longitude);
    return rc < 0 ? rc : herd_buf_printf(out, ")%s;out tags center %d;", filter, RING_PLACES_MAX);
}

static int append_script(const struct web_settings *settings, const struct places_query *query,
                         struct herd_buf *out)
{
    /* The server's time is ours: it need not work on when nobody waits for it. */
    int rc = herd_buf_printf(out, "[out:json][timeout:%d];",
                             (int)(settings->total_timeout_ms + 999) / 1000);
    double radius_m = query->radius_m;
    for (int i = 1; i < RINGS; i++)
        radius_m /= RING_FACTOR;
    for (int i = 0; i < RINGS && rc == 0; i++, radius_m *= RING_FACTOR)
        rc = append_ring(out, query, radius_m);
    return rc < 0 ? rc : herd_buf_append(out, "", 1);
}

static int write_request(const struct web_settings *settings, const struct places_query *query,
                         struct web_request *out)
{
    static const char type[] = "Content-Type: application/x-www-form-urlencoded";
    struct herd_buf script = {0};
    out->post = true;
    int rc = herd_buf_printf(&out->url, "%s/api/interpreter", settings->origin.data);
    if (rc == 0)
        rc = herd_buf_append(&out->url, "", 1);
    if (rc == 0)
        rc = herd_buf_append(&out->headers, type, sizeof type);
    if (rc == 0)
        rc = append_script(settings, query, &script);
    if (rc == 0)
        rc = herd_buf_append_text(&out->body, "data=");
    if (rc == 0)
        rc = web_append_escaped(&out->body, script.data);
    herd_buf_free(&script);
    return rc;
}

struct found {
    const json_t *element;
    double distance_m;
    json_int_t id;
};

static const char *tag_of(const void *tags, const char *key)
{
    return json_string_value(json_object_get(tags, key));
}

/* A node has its own coordinates, a way or a relation a centre. NULL: neither. */
static const json_t *point_of(const json_t *element)
{
    const json_t *centre = json_object_get(element, "center");
    if (web_json_is_point(element, "lat", "lon"))
        return element;
    return web_json_is_point(centre, "lat", "lon") ? centre : NULL;
}

static bool find(const json_t *element, const struct places_query *query, struct found *out)
{
    const json_t *point = point_of(element);
    const char *type = json_string_value(json_object_get(element, "type"));
    const json_t *id = json_object_get(element, "id");
    if (point == NULL || type == NULL || !json_is_integer(id) ||
        tag_of(json_object_get(element, "tags"), "name") == NULL)
        return false;
    const struct herd_location centre = {query->latitude, query->longitude};
    const struct herd_location at = {json_number_value(json_object_get(point, "lat")),
                                     json_number_value(json_object_get(point, "lon"))};
    *out = (struct found){element, herd_geo_distance_m(centre, at), json_integer_value(id)};
    return true;
}

/* Nearest first; the same place in several rings comes together. */
static int compare(const void *a, const void *b)
{
    const struct found *left = a, *right = b;
    if (left->distance_m != right->distance_m)
        return left->distance_m < right->distance_m ? -1 : 1;
    return (left->id > right->id) - (left->id < right->id);
}

static bool is_same(const struct found *a, const struct found *b)
{
    return a->id == b->id &&
           json_equal(json_object_get(a->element, "type"), json_object_get(b->element, "type"));
}

static json_t *make_types(const json_t *tags)
{
    struct herd_buf list = {0};
    json_t *types = json_array();
    if (osm_append_types(tag_of, tags, &list) == 0) {
        struct herd_slice rest = herd_buf_slice(&list);
        while (rest.len > 0) {
            const char *comma = memchr(rest.data, ',', rest.len);
            size_t len = comma != NULL ? (size_t)(comma - rest.data) : rest.len;
            json_array_append_new(types, json_stringn(rest.data, len));
            size_t taken = len + (comma != NULL);
            rest = herd_slice(rest.data + taken, rest.len - taken);
        }
    }
    herd_buf_free(&list);
    return types;
}

static json_t *make_vicinity(const json_t *tags)
{
    struct herd_buf text = {0};
    json_t *vicinity = NULL;
    if (osm_append_vicinity(tag_of, tags, &text) == 0 && text.len > 0)
        vicinity = json_stringn(text.data, text.len);
    herd_buf_free(&text);
    return vicinity;
}

/* NULL without memory. The id is n, w or r, and the number. */
static json_t *make_result(const struct found *found, const char *language)
{
    const json_t *tags = json_object_get(found->element, "tags");
    const json_t *point = point_of(found->element);
    const char *type = json_string_value(json_object_get(found->element, "type"));
    json_t *id = json_sprintf("osm:%.1s%" JSON_INTEGER_FORMAT, type, found->id);
    return json_pack("{s:{s:{s:O,s:O}},s:s,s:O,s:o,s:s,s:o,s:o*}", "geometry", "location", "lat",
                     json_object_get(point, "lat"), "lng", json_object_get(point, "lon"), "name",
                     osm_name(tag_of, tags, language), "place_id", id, "reference", id, "scope",
                     "OSM", "types", make_types(tags), "vicinity", make_vicinity(tags));
}

static void answer_with(const struct web_settings *settings, struct found *found, size_t count,
                        struct web_reply *out)
{
    json_t *results = json_array();
    qsort(found, count, sizeof *found, compare);
    for (size_t i = 0; i < count && json_array_size(results) < PLACES_RESULTS_MAX; i++) {
        if (i == 0 || !is_same(&found[i], &found[i - 1]))
            json_array_append_new(results, make_result(&found[i], settings->language));
    }
    web_reply_places(out, results);
    if (out->answer != NULL && json_array_size(results) > 0)
        places_answer_add_attribution(out->answer, osm_attribution);
    json_decref(results);
}

static void read_elements(const struct web_settings *settings, const struct places_query *query,
                          const json_t *elements, struct web_reply *out)
{
    struct found *found = malloc(ELEMENTS_MAX * sizeof *found);
    size_t count = 0;
    if (found == NULL) {
        web_reply_fail_because(out, PLACES_UNKNOWN_ERROR, herd_strerror(HERD_ENOMEM));
        return;
    }
    for (size_t i = 0; i < json_array_size(elements) && count < ELEMENTS_MAX; i++)
        count += find(json_array_get(elements, i), query, &found[count]);
    answer_with(settings, found, count, out);
    free(found);
}

/*
 * A query that took too long or too much memory comes back with HTTP 200 and a remark, `runtime
 * error: …`, behind the elements that were written until then, which are in no order of distance.
 * All that the server had to say of a query is there in one text: `runtime remark: …` alone is no
 * failure (Overpass API, src/overpass_api/output_formats/output_json.cc, and its error_output).
 */
static bool tells_of_failure(const char *remark)
{
    return strstr(remark, "remark: ") == NULL || strstr(remark, "error: ") != NULL;
}

static void read_answer(const struct web_settings *settings, const struct places_query *query,
                        const struct fetch_result *result, struct web_reply *out)
{
    const char *why = NULL;
    if (result->http_status != 200) {
        web_reply_fail_http(out, result->http_status); /* its page is HTML */
        return;
    }
    json_t *root = web_json_read(result->body, settings->json_depth_max, &why);
    const json_t *elements = json_object_get(root, "elements");
    const char *remark = json_string_value(web_json_string(root, "remark"));
    if (root == NULL)
        web_reply_fail_malformed(out, why);
    else if (remark != NULL && tells_of_failure(remark))
        web_reply_fail(out, PLACES_UNKNOWN_ERROR, remark);
    else if (!json_is_array(elements))
        web_reply_fail_malformed(out, "the answer was not of the expected form");
    else
        read_elements(settings, query, elements, out);
    json_decref(root);
}

const struct web_dialect overpass_dialect = {
    .type = &provider_overpass,
    .origin = "https://overpass-api.de",
    .write = write_request,
    .read = read_answer,
};

static int open_overpass(const struct places_options *options, struct provider **out,
                         struct herd_buf *error)
{
    return web_client_open(&overpass_dialect, options, out, error);
}

const struct provider_type provider_overpass = {
    .name = "overpass",
    .is_remote = true,
    .may_keep = true,
    .open = open_overpass,
    .ask = web_client_ask,
    .cancel = web_client_cancel,
    .close = web_client_close,
};
