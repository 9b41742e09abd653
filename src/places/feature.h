/* feature.h: a GeoJSON feature as a row of a places file. */
#ifndef PLACES_FEATURE_H
#define PLACES_FEATURE_H

#include <jansson.h>

#include "places/local_table.h"

enum feature_fault {
    FEATURE_GOOD,
    FEATURE_NOT_JSON,
    FEATURE_CUT,     /* JSON as far as it goes, which is not to its end */
    FEATURE_NOT_ONE, /* no object of type Feature */
    FEATURE_NO_NAME,
    FEATURE_NO_GEOMETRY /* none on the earth */
};

/* What a row is made in; all zero at first. Its texts are those of the last row. */
struct feature_maker {
    json_t *root; /* of the feature */
    struct herd_buf place_id, types, vicinity;
};

/*
 * Makes a row of the feature's text: name and types of its properties, as OpenStreetMap has tags;
 * place_id osm:n123 where there is an id of OpenStreetMap's (as osmium export gives it), else a
 * hash of name and location; of lines and areas the middle. 0 with *fault (FEATURE_GOOD: *out is
 * there), or HERD_ENOMEM.
 */
int feature_make(struct feature_maker *maker, struct herd_slice text, struct local_row *out,
                 enum feature_fault *fault);
void feature_maker_free(struct feature_maker *maker);

#endif
