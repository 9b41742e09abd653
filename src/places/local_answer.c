#include "places/local_answer.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include <herd/err.h>
#include <herd/geo.h>

#include "places/local_area.h"

static const double degree_m = HERD_EARTH_RADIUS_M * 3.14159265358979323846 / 180;
static const double radians = 3.14159265358979323846 / 180;

/* "-180.1234567"; the digits behind the mark are those of LOCAL_UNITS_PER_DEGREE. */
enum { DEGREES_TEXT_BYTES = 16, UNITS_DIGITS = 7 };

struct composer {
    struct local_db *db;
    struct places_answer *answer;
    struct herd_buf result; /* the one that is being rendered */
    bool contributed[LOCAL_SOURCES_MAX];
};

/* The shortest decimal of a coordinate in the file's units, with one decimal at least; somewhere in
 * `text`. */
static const char *degrees_text(double degrees, char text[DEGREES_TEXT_BYTES])
{
    int32_t units = local_units(degrees);
    uint32_t rest = units < 0 ? 0U - (uint32_t)units : (uint32_t)units;
    int decimals = UNITS_DIGITS;
    for (; decimals > 1 && rest % 10 == 0; decimals--)
        rest /= 10;
    char *at = text + DEGREES_TEXT_BYTES - 1;
    *at = '\0';
    for (; decimals > 0; decimals--, rest /= 10)
        *--at = (char)('0' + rest % 10);
    *--at = '.';
    do {
        *--at = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest > 0);
    if (units < 0)
        *--at = '-';
    return at;
}

static double wrapped(double longitude)
{
    if (longitude < -180)
        return longitude + 360;
    return longitude > 180 ? longitude - 360 : longitude;
}

struct viewport {
    double north, east, south, west;
};

/* The square of half a side `extent_m` around a place. Near a pole it holds every longitude. */
static struct viewport viewport_of(struct herd_location at, double extent_m)
{
    double north = extent_m / degree_m;
    double narrowing = cos(at.latitude * radians);
    struct viewport viewport = {
        .north = fmin(90, at.latitude + north),
        .east = 180,
        .south = fmax(-90, at.latitude - north),
        .west = -180,
    };
    if (north < 180 * narrowing) {
        viewport.east = wrapped(at.longitude + north / narrowing);
        viewport.west = wrapped(at.longitude - north / narrowing);
    }
    return viewport;
}

static int append_all(struct herd_buf *out, const char *const *parts, size_t count)
{
    int rc = 0;
    for (size_t i = 0; i < count && rc == 0; i++)
        rc = herd_buf_append_text(out, parts[i]);
    return rc;
}

static int append_geometry(struct herd_buf *out, const struct local_place *place)
{
    struct viewport viewport = viewport_of(place->location, (double)place->extent_m);
    char texts[6][DEGREES_TEXT_BYTES];
    const char *const parts[] = {
        "{\n"
        "         \"geometry\": {\n"
        "            \"location\": {\n"
        "               \"lat\": ",
        degrees_text(place->location.latitude, texts[0]),
        ",\n"
        "               \"lng\": ",
        degrees_text(place->location.longitude, texts[1]),
        "\n"
        "            },\n"
        "            \"viewport\": {\n"
        "               \"northeast\": {\n"
        "                  \"lat\": ",
        degrees_text(viewport.north, texts[2]),
        ",\n"
        "                  \"lng\": ",
        degrees_text(viewport.east, texts[3]),
        "\n"
        "               },\n"
        "               \"southwest\": {\n"
        "                  \"lat\": ",
        degrees_text(viewport.south, texts[4]),
        ",\n"
        "                  \"lng\": ",
        degrees_text(viewport.west, texts[5]),
        "\n"
        "               }\n"
        "            }\n"
        "         }",
    };
    return append_all(out, parts, sizeof parts / sizeof parts[0]);
}

static bool is_plain(const char *text)
{
    for (; *text != '\0'; text++) {
        unsigned char byte = (unsigned char)*text;
        if (byte < ' ' || byte >= 0x7f || byte == '"' || byte == '\\')
            return false;
    }
    return true;
}

/* As a JSON string. 0, HERD_ENOMEM, or HERD_ESYNTAX when it is not UTF-8. */
static int append_text(struct herd_buf *out, const char *text)
{
    if (is_plain(text))
        return append_all(out, (const char *const[]){"\"", text, "\""}, 3);
    json_t *string = json_string(text);
    if (string == NULL)
        return HERD_ESYNTAX;
    size_t len = json_dumpb(string, NULL, 0, JSON_ENCODE_ANY);
    int rc = herd_buf_reserve(out, len);
    if (rc == 0)
        out->len += json_dumpb(string, out->data + out->len, len, JSON_ENCODE_ANY);
    json_decref(string);
    return rc;
}

static int append_member(struct herd_buf *out, const char *name, const char *text)
{
    int rc = append_all(out, (const char *const[]){",\n         \"", name, "\": "}, 3);
    return rc == 0 ? append_text(out, text) : rc;
}

static int append_types(struct herd_buf *out, const char *types)
{
    int rc = herd_buf_append_text(out, ",\n         \"types\": [");
    for (const char *before = "\n            \""; *types != '\0' && rc == 0;
         before = ",\n            \"") {
        size_t len = local_type_length(types);
        if (len == 0)
            return HERD_ESYNTAX;
        rc = herd_buf_append_text(out, before);
        if (rc == 0)
            rc = herd_buf_append(out, types, len);
        if (rc == 0)
            rc = herd_buf_append_text(out, "\"");
        types += len + (types[len] == ',');
    }
    return rc == 0 ? herd_buf_append_text(out, "\n         ]") : rc;
}

/* By hand, because jansson takes five times as long for it as SQLite does to find the place. */
static int render(struct herd_buf *out, const struct local_place *place)
{
    int rc = append_geometry(out, place);
    if (rc == 0)
        rc = append_member(out, "name", place->name);
    if (rc == 0)
        rc = append_member(out, "place_id", place->place_id);
    if (rc == 0)
        rc = append_member(out, "reference", place->place_id);
    if (rc == 0)
        rc = append_member(out, "scope", "HERD");
    if (rc == 0)
        rc = append_types(out, place->types);
    if (rc == 0)
        rc = append_member(out, "vicinity", place->vicinity);
    return rc == 0 ? herd_buf_append_text(out, "\n      }") : rc;
}

static int on_place(void *arg, const struct local_place *place)
{
    struct composer *composer = arg;
    composer->contributed[place->source] = true;
    composer->result.len = 0;
    int rc = render(&composer->result, place);
    if (rc < 0)
        return rc;
    return places_answer_add_rendered(composer->answer, herd_buf_slice(&composer->result));
}

static void credit_sources(struct composer *composer)
{
    const struct local_source *source;
    for (size_t i = 0; (source = local_db_source(composer->db, i)) != NULL; i++) {
        if (composer->contributed[i])
            places_answer_add_attribution(composer->answer, source->attribution);
    }
}

static struct places_answer *failure(enum places_status status, const char *what,
                                     const char *reason)
{
    struct places_answer *answer = places_answer_new(status);
    char message[256];
    snprintf(message, sizeof message, "%s: %s", what, reason);
    places_answer_set_error(answer, message);
    return answer;
}

static bool is_on_earth(const struct places_query *query)
{
    return fabs(query->latitude) <= 90 && fabs(query->longitude) <= 180 && query->radius_m >= 0 &&
           isfinite(query->radius_m);
}

struct places_answer *local_answer(struct local_db *db, const struct places_query *query)
{
    if (!is_on_earth(query))
        return failure(PLACES_INVALID_REQUEST, "location or radius", herd_strerror(HERD_ERANGE));
    struct composer composer = {.db = db, .answer = places_answer_new(PLACES_OK)};
    size_t within = 0;
    int rc = local_db_near(db, query, on_place, &composer, &within);
    herd_buf_free(&composer.result);
    if (rc == 0 && within > 0) {
        credit_sources(&composer);
        return composer.answer;
    }
    places_answer_unref(composer.answer);
    if (rc == 0)
        return places_answer_new(PLACES_ZERO_RESULTS);
    return failure(PLACES_UNKNOWN_ERROR, "the places file cannot be read",
                   rc == HERD_EIO ? local_db_reason(db) : herd_strerror(rc));
}
