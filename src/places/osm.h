/* osm.h: tags of OpenStreetMap in the words of Google's legacy Nearby Search. */
#ifndef PLACES_OSM_H
#define PLACES_OSM_H

#include <herd/buf.h>

/* The value of the tag `key`, or NULL. */
typedef const char *osm_tag_cb(const void *tags, const char *key);

/* Appends Google's types for the tags, comma-separated, point_of_interest and establishment the
 * last ones. 0 or HERD_ENOMEM. */
int osm_append_types(osm_tag_cb *tag, const void *tags, struct herd_buf *out);

/* Appends `addr:housenumber addr:street, addr:city`, as far as they are there.
 * 0 or HERD_ENOMEM. */
int osm_append_vicinity(osm_tag_cb *tag, const void *tags, struct herd_buf *out);

/* The name in the language (BCP 47), or the one that is written there; NULL without any. */
const char *osm_name(osm_tag_cb *tag, const void *tags, const char *language);

extern const char osm_attribution[];

#endif
