#include <stdbool.h>
#include <string.h>

#include <herd/err.h>

#include "places/google_place.h"
#include "places/web_json.h"

/* Each takes a place and gives a new value, or NULL: the place has none. Without memory a part is
 * left out likewise. */
typedef json_t *make_part(const json_t *place);

static json_t *count_of(const json_t *object, const char *name)
{
    json_t *count = json_object_get(object, name);
    return json_is_integer(count) && json_integer_value(count) >= 0 ? count : NULL;
}

static json_t *unless_empty(json_t *take_array)
{
    if (json_array_size(take_array) > 0)
        return take_array;
    json_decref(take_array);
    return NULL;
}

static json_t *make_business_status(const json_t *place)
{
    return json_incref(web_json_string(place, "businessStatus"));
}

static json_t *make_permanently_closed(const json_t *place)
{
    const char *status = json_string_value(web_json_string(place, "businessStatus"));
    return status != NULL && strcmp(status, "CLOSED_PERMANENTLY") == 0 ? json_true() : NULL;
}

static json_t *make_point(const json_t *point)
{
    if (!web_json_is_point(point, "latitude", "longitude"))
        return NULL;
    return json_pack("{s:O,s:O}", "lat", json_object_get(point, "latitude"), "lng",
                     json_object_get(point, "longitude"));
}

static json_t *make_geometry(const json_t *place)
{
    const json_t *viewport = json_object_get(place, "viewport");
    json_t *location = make_point(json_object_get(place, "location"));
    if (location == NULL)
        return NULL;
    json_t *northeast = make_point(json_object_get(viewport, "high"));
    json_t *southwest = make_point(json_object_get(viewport, "low"));
    if (northeast != NULL && southwest != NULL)
        return json_pack("{s:o,s:{s:o,s:o}}", "location", location, "viewport", "northeast",
                         northeast, "southwest", southwest);
    json_decref(northeast);
    json_decref(southwest);
    return json_pack("{s:o}", "location", location);
}

static json_t *make_icon(const json_t *place)
{
    const char *base = json_string_value(web_json_string(place, "iconMaskBaseUri"));
    return base != NULL ? json_sprintf("%s.png", base) : NULL;
}

static json_t *make_icon_background_color(const json_t *place)
{
    return json_incref(web_json_string(place, "iconBackgroundColor"));
}

static json_t *make_icon_mask_base_uri(const json_t *place)
{
    return json_incref(web_json_string(place, "iconMaskBaseUri"));
}

static json_t *make_name(const json_t *place)
{
    return json_incref(web_json_string(json_object_get(place, "displayName"), "text"));
}

static json_t *make_opening_hours(const json_t *place)
{
    json_t *open_now = json_object_get(json_object_get(place, "currentOpeningHours"), "openNow");
    return json_is_boolean(open_now) ? json_pack("{s:O}", "open_now", open_now) : NULL;
}

/* Appends `text` as HTML: also within an attribute in double quotes. */
static int append_html(struct herd_buf *out, const char *text)
{
    static const struct {
        char byte;
        const char *entity;
    } entities[] = {
        {'&', "&amp;"}, {'<', "&lt;"}, {'>', "&gt;"}, {'"', "&quot;"}, {'\'', "&#39;"},
    };
    int rc = 0;
    for (; rc == 0 && *text != '\0'; text++) {
        const char *entity = NULL;
        for (size_t i = 0; i < sizeof entities / sizeof entities[0]; i++) {
            if (entities[i].byte == *text)
                entity = entities[i].entity;
        }
        rc = entity != NULL ? herd_buf_append_text(out, entity) : herd_buf_append(out, text, 1);
    }
    return rc;
}

/* A link only to the web: `javascript:` and the like stay text. Google leaves the scheme out at
 * times: //maps.google.com/… */
static int append_link(struct herd_buf *out, const char *name, const char *uri)
{
    bool has_scheme =
        uri != NULL && (strncmp(uri, "https://", 8) == 0 || strncmp(uri, "http://", 7) == 0);
    bool lacks_scheme = uri != NULL && strncmp(uri, "//", 2) == 0;
    if (!has_scheme && !lacks_scheme)
        return append_html(out, name);
    int rc = herd_buf_append_text(out, lacks_scheme ? "<a href=\"https:" : "<a href=\"");
    if (rc == 0)
        rc = append_html(out, uri);
    if (rc == 0)
        rc = herd_buf_append_text(out, "\">");
    if (rc == 0)
        rc = append_html(out, name);
    return rc < 0 ? rc : herd_buf_append_text(out, "</a>");
}

static int append_credit(struct herd_buf *out, const json_t *who, const char *name, const char *uri)
{
    const char *text = json_string_value(web_json_string(who, name));
    if (text == NULL)
        return HERD_EINVAL;
    return append_link(out, text, json_string_value(web_json_string(who, uri)));
}

int google_place_attribution(const json_t *attribution, struct herd_buf *out)
{
    return append_credit(out, attribution, "provider", "providerUri");
}

/* The photographers, whom Google wants named wherever the photo is shown. */
static json_t *make_photo_attributions(const json_t *photo)
{
    json_t *credits = json_array();
    const json_t *authors = json_object_get(photo, "authorAttributions");
    for (size_t i = 0; i < json_array_size(authors); i++) {
        struct herd_buf html = {0};
        if (append_credit(&html, json_array_get(authors, i), "displayName", "uri") == 0)
            json_array_append_new(credits, json_stringn(html.data, html.len));
        herd_buf_free(&html);
    }
    return credits;
}

/* places/ChIJ…/photos/AUc7tX… -> AUc7tX… */
static json_t *make_photo(const json_t *photo)
{
    static const char before[] = "/photos/";
    const char *name = json_string_value(web_json_string(photo, "name"));
    const char *reference = name != NULL ? strstr(name, before) : NULL;
    if (reference == NULL)
        return NULL;
    return json_pack("{s:O*,s:o*,s:s,s:O*}", "height", count_of(photo, "heightPx"),
                     "html_attributions", make_photo_attributions(photo), "photo_reference",
                     reference + sizeof before - 1, "width", count_of(photo, "widthPx"));
}

static json_t *make_photos(const json_t *place)
{
    const json_t *from = json_object_get(place, "photos");
    json_t *photos = json_array();
    for (size_t i = 0; i < json_array_size(from); i++)
        json_array_append_new(photos, make_photo(json_array_get(from, i)));
    return unless_empty(photos);
}

static json_t *make_place_id(const json_t *place)
{
    return json_incref(web_json_string(place, "id"));
}

static json_t *make_plus_code(const json_t *place)
{
    const json_t *code = json_object_get(place, "plusCode");
    json_t *global = web_json_string(code, "globalCode");
    if (global == NULL)
        return NULL;
    return json_pack("{s:O*,s:O}", "compound_code", web_json_string(code, "compoundCode"),
                     "global_code", global);
}

static json_t *make_price_level(const json_t *place)
{
    static const char *const levels[] = {
        "PRICE_LEVEL_FREE",      "PRICE_LEVEL_INEXPENSIVE",    "PRICE_LEVEL_MODERATE",
        "PRICE_LEVEL_EXPENSIVE", "PRICE_LEVEL_VERY_EXPENSIVE",
    };
    const char *level = json_string_value(json_object_get(place, "priceLevel"));
    for (size_t i = 0; level != NULL && i < sizeof levels / sizeof levels[0]; i++) {
        if (strcmp(levels[i], level) == 0)
            return json_integer((json_int_t)i);
    }
    return NULL;
}

static json_t *make_rating(const json_t *place)
{
    return json_incref(web_json_number(place, "rating", 0, 5));
}

static json_t *make_scope(const json_t *place)
{
    (void)place;
    return json_string("GOOGLE");
}

static json_t *make_types(const json_t *place)
{
    const json_t *from = json_object_get(place, "types");
    json_t *primary = web_json_string(place, "primaryType");
    json_t *types = json_array();
    if (primary != NULL)
        json_array_append(types, primary);
    for (size_t i = 0; i < json_array_size(from); i++) {
        json_t *type = json_array_get(from, i);
        if (json_is_string(type) && !(primary != NULL && json_equal(type, primary)))
            json_array_append(types, type);
    }
    return unless_empty(types);
}

static json_t *make_user_ratings_total(const json_t *place)
{
    return json_incref(count_of(place, "userRatingCount"));
}

static json_t *make_vicinity(const json_t *place)
{
    json_t *address = web_json_string(place, "shortFormattedAddress");
    return json_incref(address != NULL ? address : web_json_string(place, "formattedAddress"));
}

/* In the order of the legacy answers, which is the alphabet's. */
static const struct {
    const char *name;
    make_part *make;
    bool is_required;
} parts[] = {
    {"business_status", make_business_status, false},
    {"geometry", make_geometry, true},
    {"icon", make_icon, false},
    {"icon_background_color", make_icon_background_color, false},
    {"icon_mask_base_uri", make_icon_mask_base_uri, false},
    {"name", make_name, true},
    {"opening_hours", make_opening_hours, false},
    {"permanently_closed", make_permanently_closed, false},
    {"photos", make_photos, false},
    {"place_id", make_place_id, false},
    {"plus_code", make_plus_code, false},
    {"price_level", make_price_level, false},
    {"rating", make_rating, false},
    {"reference", make_place_id, false},
    {"scope", make_scope, false},
    {"types", make_types, false},
    {"user_ratings_total", make_user_ratings_total, false},
    {"vicinity", make_vicinity, false},
};

json_t *google_place_to_legacy(const json_t *place)
{
    json_t *legacy = json_object();
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        json_t *part = parts[i].make(place);
        if (part != NULL && json_object_set_new(legacy, parts[i].name, part) == 0)
            continue;
        if (parts[i].is_required) {
            json_decref(legacy);
            return NULL;
        }
    }
    return legacy;
}
