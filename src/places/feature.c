#include "places/feature.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <herd/err.h>

#include "base/json_load.h"
#include "places/geometry.h"
#include "places/osm.h"

enum { EXTENT_MIN_M = 50, EXTENT_MAX_M = 20000000 };

/* Tags that say what a place is, for the column kind. */
static const char *const kinds[] = {"amenity",  "shop",    "tourism", "leisure",
                                    "historic", "railway", "aeroway", "office"};

static const char *tag_of(const void *tags, const char *key)
{
    return json_string_value(json_object_get(tags, key));
}

/* Not every file has OpenStreetMap's names for things. */
static const char *name_of(const json_t *properties)
{
    static const char *const keys[] = {"name", "Name", "NAME", "title"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        const char *name = tag_of(properties, keys[i]);
        if (name != NULL && name[0] != '\0')
            return name;
    }
    return NULL;
}

static const char *kind_of(const json_t *properties)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        const char *kind = tag_of(properties, kinds[i]);
        if (kind != NULL)
            return kind;
    }
    return "";
}

/* A number, also one in a string; 0: it is none. */
static int64_t number_of(const json_t *value)
{
    const char *text = json_string_value(value);
    char *end;
    int64_t number = text != NULL ? strtoll(text, &end, 10) : json_integer_value(value);
    if (text != NULL && (end == text || *end != '\0'))
        return 0;
    return number > 0 ? number : 0;
}

/* n123, w123, r123, and a123 of osmium: an area made of the way 61 or, when it is odd, of a
 * relation. */
static int append_osm_id(struct herd_buf *out, char letter, int64_t number)
{
    if (letter == 'a') {
        letter = number % 2 != 0 ? 'r' : 'w';
        number = number / 2;
    }
    return herd_buf_printf(out, "osm:%c%" PRId64, letter, number);
}

/* As `osmium export -a type,id` has them, then as its -u type_id, then as other tools do. */
static int append_id(const json_t *root, const json_t *properties, struct herd_buf *out)
{
    const char *type = tag_of(properties, "@type");
    int64_t number = number_of(json_object_get(properties, "@id"));
    if (type != NULL && number > 0 && strchr("nwra", type[0]) != NULL)
        return append_osm_id(out, type[0], number);
    const char *id = json_string_value(json_object_get(root, "id"));
    char *end;
    if (id != NULL && id[0] != '\0' && strchr("nwra", id[0]) != NULL) {
        number = strtoll(id + 1, &end, 10);
        if (number > 0 && *end == '\0')
            return append_osm_id(out, id[0], number);
    }
    number = number_of(json_object_get(properties, "osm_id"));
    return number > 0 ? herd_buf_printf(out, "osm:%" PRId64, number) : 0;
}

/* FNV-1a, 64 bits: the same place has the same id in the next edition of a file. */
static uint64_t hash_of(uint64_t hash, const void *data, size_t len)
{
    const unsigned char *bytes = data;
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
    return hash;
}

static int append_hashed_id(const struct local_row *row, struct herd_buf *out)
{
    uint64_t hash = hash_of(UINT64_C(0xcbf29ce484222325), row->name, strlen(row->name));
    hash = hash_of(hash, &row->location, sizeof row->location);
    return herd_buf_printf(out, "im:%016" PRIx64, hash);
}

static int terminate(struct herd_buf *buf)
{
    return herd_buf_append(buf, "", 1);
}

/* Control characters have no place in a name: they would end a line of the table. */
static bool is_text(const char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < ' ')
            return false;
    }
    return true;
}

static int make_texts(struct feature_maker *maker, const json_t *properties, struct local_row *out)
{
    maker->place_id.len = maker->types.len = maker->vicinity.len = 0;
    int rc = append_id(maker->root, properties, &maker->place_id);
    if (rc == 0 && maker->place_id.len == 0)
        rc = append_hashed_id(out, &maker->place_id);
    if (rc == 0)
        rc = osm_append_types(tag_of, properties, &maker->types);
    if (rc == 0)
        rc = osm_append_vicinity(tag_of, properties, &maker->vicinity);
    if (rc == 0)
        rc = terminate(&maker->place_id);
    if (rc == 0)
        rc = terminate(&maker->types);
    if (rc == 0)
        rc = terminate(&maker->vicinity);
    out->place_id = maker->place_id.data;
    out->types = maker->types.data;
    out->vicinity = maker->vicinity.data;
    return rc;
}

static enum feature_fault find_fault(const json_t *root, struct geometry *geometry)
{
    const json_t *properties = json_object_get(root, "properties");
    const char *type = json_string_value(json_object_get(root, "type"));
    if (type == NULL || strcmp(type, "Feature") != 0)
        return FEATURE_NOT_ONE;
    const char *name = name_of(properties);
    if (name == NULL || !is_text(name))
        return FEATURE_NO_NAME;
    return geometry_read(json_object_get(root, "geometry"), geometry) ? FEATURE_GOOD
                                                                      : FEATURE_NO_GEOMETRY;
}

static int64_t bounded(int64_t extent_m)
{
    if (extent_m < EXTENT_MIN_M)
        return EXTENT_MIN_M;
    return extent_m < EXTENT_MAX_M ? extent_m : EXTENT_MAX_M;
}

int feature_make(struct feature_maker *maker, struct herd_slice text, struct local_row *out,
                 enum feature_fault *fault)
{
    struct geometry geometry;
    json_error_t error;
    json_decref(maker->root);
    int rc = json_load_bytes(text, 0, &maker->root, &error);
    if (rc < 0) {
        bool is_cut = json_error_code(&error) == json_error_premature_end_of_input;
        *fault = is_cut ? FEATURE_CUT : FEATURE_NOT_JSON;
        return rc == HERD_ENOMEM ? rc : 0;
    }
    *fault = find_fault(maker->root, &geometry);
    if (*fault != FEATURE_GOOD)
        return 0;
    const json_t *properties = json_object_get(maker->root, "properties");
    *out = (struct local_row){
        .name = name_of(properties),
        .location = geometry.middle,
        .kind = kind_of(properties),
        .country = "",
        .population = -1,
        .extent_m = bounded(geometry.extent_m),
    };
    return make_texts(maker, properties, out);
}

void feature_maker_free(struct feature_maker *maker)
{
    json_decref(maker->root);
    herd_buf_free(&maker->place_id);
    herd_buf_free(&maker->types);
    herd_buf_free(&maker->vicinity);
}
