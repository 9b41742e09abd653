/* google_place.h: a place of the Places API (New) in the words of the legacy Nearby Search. */
#ifndef PLACES_GOOGLE_PLACE_H
#define PLACES_GOOGLE_PLACE_H

#include <jansson.h>

#include <herd/buf.h>

/* The legacy result for `place`, to be freed with json_decref; NULL when it has no name or no
 * location (or without memory). Parts that are missing or of another type are left out. */
json_t *google_place_to_legacy(const json_t *place);

/* Appends the HTML that credits `attribution`, an element of a place's attributions[]: its
 * provider, linked where it has an address. 0, HERD_ENOMEM, or HERD_EINVAL: it names nobody. */
int google_place_attribution(const json_t *attribution, struct herd_buf *out);

#endif
