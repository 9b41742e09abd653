#include "places/local_render.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include <jansson.h>

#include <herd/err.h>

#include "base/utf8.h"
#include "places/local_area.h"
#include "places/local_db.h"

static const double degree_m = HERD_EARTH_RADIUS_M * 3.14159265358979323846 / 180;
static const double radians = 3.14159265358979323846 / 180;

/* "-180.1234567"; the digits behind the mark are those of LOCAL_UNITS_PER_DEGREE. */
enum { DEGREES_TEXT_BYTES = 16, UNITS_DIGITS = 7 };

enum { FRAME_BYTES = 1024 }; /* more than all that is the same in each result, and its numbers */

static char *put(char *at, const char *text, size_t len)
{
    memcpy(at, text, len);
    return at + len;
}

static char *put_text(char *at, const char *text)
{
    return put(at, text, strlen(text)); /* of a literal, the compiler knows it */
}

/* The shortest decimal of a coordinate in the file's units, with one decimal at least. */
static char *put_units(char *at, int32_t units)
{
    char digits[DEGREES_TEXT_BYTES], *end = digits + sizeof digits, *first = end;
    uint32_t rest = units < 0 ? 0U - (uint32_t)units : (uint32_t)units;
    int decimals = UNITS_DIGITS;
    for (; decimals > 1 && rest % 10 == 0; decimals--)
        rest /= 10;
    for (; decimals > 0; decimals--, rest /= 10)
        *--first = (char)('0' + rest % 10);
    *--first = '.';
    do {
        *--first = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest > 0);
    if (units < 0)
        *--first = '-';
    return put(at, first, (size_t)(end - first));
}

static double wrapped(double longitude)
{
    if (longitude < -180)
        return longitude + 360;
    return longitude > 180 ? longitude - 360 : longitude;
}

struct viewport {
    int32_t north, east, south, west;
};

/* The square of half a side `extent_m` around a place. Near a pole it holds every longitude. */
static struct viewport viewport_of(double latitude, double longitude, double extent_m)
{
    double north = extent_m / degree_m;
    double narrowing = cos(latitude * radians);
    double east = 180, west = -180;
    if (north < 180 * narrowing) {
        east = wrapped(longitude + north / narrowing);
        west = wrapped(longitude - north / narrowing);
    }
    return (struct viewport){
        .north = local_units(fmin(90, latitude + north)),
        .east = local_units(east),
        .south = local_units(fmax(-90, latitude - north)),
        .west = local_units(west),
    };
}

static char *put_geometry(char *at, int32_t lat_units, int32_t lon_units, int64_t extent_m)
{
    struct viewport viewport =
        viewport_of(local_degrees(lat_units), local_degrees(lon_units), (double)extent_m);
    at = put_text(at, "{\n"
                      "         \"geometry\": {\n"
                      "            \"location\": {\n"
                      "               \"lat\": ");
    at = put_units(at, lat_units);
    at = put_text(at, ",\n"
                      "               \"lng\": ");
    at = put_units(at, lon_units);
    at = put_text(at, "\n"
                      "            },\n"
                      "            \"viewport\": {\n"
                      "               \"northeast\": {\n"
                      "                  \"lat\": ");
    at = put_units(at, viewport.north);
    at = put_text(at, ",\n"
                      "                  \"lng\": ");
    at = put_units(at, viewport.east);
    at = put_text(at, "\n"
                      "               },\n"
                      "               \"southwest\": {\n"
                      "                  \"lat\": ");
    at = put_units(at, viewport.south);
    at = put_text(at, ",\n"
                      "                  \"lng\": ");
    at = put_units(at, viewport.west);
    at = put_text(at, "\n"
                      "               }\n"
                      "            }\n"
                      "         }");
    return at;
}

int local_render(struct herd_buf *out, int32_t lat_units, int32_t lon_units, int64_t extent_m,
                 const struct local_texts *texts)
{
    size_t bytes = FRAME_BYTES + texts->name.len + 2 * texts->place_id.len + texts->types.len +
                   texts->vicinity.len;
    int rc = herd_buf_reserve(out, bytes);
    if (rc < 0)
        return rc;
    char *at = put_geometry(out->data + out->len, lat_units, lon_units, extent_m);
    at = put_text(at, ",\n         \"name\": ");
    at = put(at, texts->name.data, texts->name.len);
    at = put_text(at, ",\n         \"place_id\": ");
    at = put(at, texts->place_id.data, texts->place_id.len);
    at = put_text(at, ",\n         \"reference\": ");
    at = put(at, texts->place_id.data, texts->place_id.len);
    at = put_text(at, ",\n         \"scope\": \"HERD\",\n         \"types\": ");
    at = put(at, texts->types.data, texts->types.len);
    at = put_text(at, ",\n         \"vicinity\": ");
    at = put(at, texts->vicinity.data, texts->vicinity.len);
    at = put_text(at, "\n      }");
    out->len = (size_t)(at - out->data);
    return 0;
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

int local_append_string(struct herd_buf *out, const char *text)
{
    if (is_plain(text))
        return herd_buf_printf(out, "\"%s\"", text);
    if (!utf8_is_valid(text, strlen(text)))
        return HERD_ESYNTAX;
    json_t *string = json_string(text);
    if (string == NULL)
        return HERD_ENOMEM;
    /* 0 is out of memory: the shortest string has two quotes. */
    size_t len = json_dumpb(string, NULL, 0, JSON_ENCODE_ANY);
    int rc = len > 0 ? herd_buf_reserve(out, len) : HERD_ENOMEM;
    if (rc == 0 && json_dumpb(string, out->data + out->len, len, JSON_ENCODE_ANY) != len)
        rc = HERD_ENOMEM;
    if (rc == 0)
        out->len += len;
    json_decref(string);
    return rc;
}

int local_append_types(struct herd_buf *out, const char *types)
{
    int rc = herd_buf_append_text(out, "[");
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
