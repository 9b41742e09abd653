#include "places/osm.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

const char osm_attribution[] =
    "© <a href=\"https://www.openstreetmap.org/copyright\">OpenStreetMap</a> contributors";

static const char always[] = "point_of_interest,establishment";

/* The first row of a key that fits counts: a value, or NULL for any other. */
static const struct {
    const char *key, *value;
    const char *type; /* NULL: it is the value */
} rows[] = {
    {"amenity", "atm", NULL},
    {"amenity", "bank", NULL},
    {"amenity", "bar", NULL},
    {"amenity", "bus_station", NULL},
    {"amenity", "cafe", NULL},
    {"amenity", "car_rental", NULL},
    {"amenity", "car_wash", NULL},
    {"amenity", "casino", NULL},
    {"amenity", "courthouse", NULL},
    {"amenity", "dentist", NULL},
    {"amenity", "embassy", NULL},
    {"amenity", "fire_station", NULL},
    {"amenity", "hospital", NULL},
    {"amenity", "library", NULL},
    {"amenity", "parking", NULL},
    {"amenity", "pharmacy", NULL},
    {"amenity", "police", NULL},
    {"amenity", "post_office", NULL},
    {"amenity", "restaurant", NULL},
    {"amenity", "school", NULL},
    {"amenity", "university", NULL},
    {"amenity", "cinema", "movie_theater"},
    {"amenity", "clinic", "doctor"},
    {"amenity", "doctors", "doctor"},
    {"amenity", "fast_food", "meal_takeaway"},
    {"amenity", "fuel", "gas_station"},
    {"amenity", "nightclub", "night_club"},
    {"amenity", "pub", "bar"},
    {"amenity", "townhall", "city_hall"},
    {"amenity", "veterinary", "veterinary_care"},
    {"office", "diplomatic", "embassy"},
    {"tourism", "aquarium", NULL},
    {"tourism", "museum", NULL},
    {"tourism", "zoo", NULL},
    {"tourism", "artwork", "tourist_attraction"},
    {"tourism", "attraction", "tourist_attraction"},
    {"tourism", "viewpoint", "tourist_attraction"},
    {"tourism", "camp_site", "campground"},
    {"tourism", "gallery", "art_gallery"},
    {"tourism", "guest_house", "lodging"},
    {"tourism", "hostel", "lodging"},
    {"tourism", "hotel", "lodging"},
    {"tourism", "motel", "lodging"},
    {"tourism", "theme_park", "amusement_park"},
    {"leisure", "park", NULL},
    {"leisure", "stadium", NULL},
    {"leisure", "fitness_centre", "gym"},
    {"historic", NULL, "tourist_attraction"},
    {"shop", "bakery", NULL},
    {"shop", "supermarket", NULL},
    {"shop", "books", "book_store"},
    {"shop", "clothes", "clothing_store"},
    {"shop", "convenience", "convenience_store"},
    {"shop", "hairdresser", "hair_care"},
    {"shop", "mall", "shopping_mall"},
    {"shop", NULL, "store"},
    {"railway", "station", "train_station"},
    {"aeroway", "aerodrome", "airport"},
};

enum { ROW_COUNT = sizeof rows / sizeof rows[0] };

static const struct {
    const char *religion, *type;
} religions[] = {
    {"christian", "church"},
    {"muslim", "mosque"},
    {"jewish", "synagogue"},
    {"hindu", "hindu_temple"},
};

/* "no" is how a mapper says that there is none. */
static const char *value_of(osm_tag_cb *tag, const void *tags, const char *key)
{
    const char *value = tag(tags, key);
    return value != NULL && value[0] != '\0' && strcmp(value, "no") != 0 ? value : NULL;
}

static const char *type_of_worship(osm_tag_cb *tag, const void *tags)
{
    const char *religion = tag(tags, "religion");
    for (size_t i = 0; religion != NULL && i < sizeof religions / sizeof religions[0]; i++) {
        if (strcmp(religions[i].religion, religion) == 0)
            return religions[i].type;
    }
    return "place_of_worship";
}

static bool has_type(struct herd_slice list, const char *type)
{
    size_t len = strlen(type);
    for (size_t i = 0; i + len < list.len; i++) {
        bool begins = i == 0 || list.data[i - 1] == ',';
        if (begins && list.data[i + len] == ',' && memcmp(list.data + i, type, len) == 0)
            return true;
    }
    return false;
}

static int append_type(struct herd_buf *out, size_t start, const char *type)
{
    struct herd_slice list = {0};
    if (out->len > start)
        list = herd_slice(out->data + start, out->len - start);
    return has_type(list, type) ? 0 : herd_buf_printf(out, "%s,", type);
}

int osm_append_types(osm_tag_cb *tag, const void *tags, struct herd_buf *out)
{
    size_t start = out->len;
    const char *amenity = tag(tags, "amenity");
    const char *done = ""; /* the key that has had its row */
    int rc = 0;
    if (amenity != NULL && strcmp(amenity, "place_of_worship") == 0)
        rc = append_type(out, start, type_of_worship(tag, tags));
    for (size_t i = 0; i < ROW_COUNT && rc == 0; i++) {
        const char *value = value_of(tag, tags, rows[i].key);
        if (value == NULL || strcmp(done, rows[i].key) == 0 ||
            (rows[i].value != NULL && strcmp(rows[i].value, value) != 0))
            continue;
        done = rows[i].key;
        rc = append_type(out, start, rows[i].type != NULL ? rows[i].type : value);
    }
    return rc == 0 ? herd_buf_append_text(out, always) : rc;
}

/* Appends ` part` or `, part` behind what there is. */
static int append_part(struct herd_buf *out, size_t start, const char *between, const char *part)
{
    if (part == NULL || part[0] == '\0')
        return 0;
    int rc = out->len > start ? herd_buf_append_text(out, between) : 0;
    return rc == 0 ? herd_buf_append_text(out, part) : rc;
}

int osm_append_vicinity(osm_tag_cb *tag, const void *tags, struct herd_buf *out)
{
    size_t start = out->len;
    const char *street = tag(tags, "addr:street");
    int rc = 0;
    if (street != NULL) /* a number without its street says nothing */
        rc = append_part(out, start, "", tag(tags, "addr:housenumber"));
    if (rc == 0)
        rc = append_part(out, start, " ", street);
    return rc == 0 ? append_part(out, start, ", ", tag(tags, "addr:city")) : rc;
}

const char *osm_name(osm_tag_cb *tag, const void *tags, const char *language)
{
    char key[32];
    snprintf(key, sizeof key, "name:%s", language);
    const char *name = tag(tags, key);
    if (name == NULL || name[0] == '\0')
        name = tag(tags, "name");
    return name != NULL && name[0] != '\0' ? name : NULL;
}
