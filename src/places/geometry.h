/* geometry.h: the middle of a GeoJSON geometry, and how far it reaches. */
#ifndef PLACES_GEOMETRY_H
#define PLACES_GEOMETRY_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include <herd/geo.h>

struct geometry {
    struct herd_location middle;
    int64_t extent_m; /* half the longer side of the box around it; 0: a point */
};

/*
 * The point itself; of an area its centroid, of several the largest one's; of a line, and of an
 * area without one, the middle of its box. Across the antimeridian too. False: it is none, or not
 * on the earth.
 */
bool geometry_read(const json_t *geometry, struct geometry *out);

#endif
