/* local_area.h: the boxes of latitude and longitude that a circle on the sphere lies in. */
#ifndef PLACES_LOCAL_AREA_H
#define PLACES_LOCAL_AREA_H

#include <stddef.h>
#include <stdint.h>

#include <herd/geo.h>

/* Coordinates in a places file are whole numbers of 1e-7 degrees (1.1 cm, as in OpenStreetMap):
 * exact in the integers of an R*Tree, and ±180° fit into 32 bits. */
enum { LOCAL_UNITS_PER_DEGREE = 10000000 };

/* Inclusive on all sides. */
struct local_box {
    int32_t lat_min, lat_max, lon_min, lon_max;
};

struct local_area {
    size_t count;
    struct local_box boxes[2]; /* two at the antimeridian; they share no point */
};

/* Every point within `radius_m` (>= 0) of `centre` is in one of the boxes, and a little more: the
 * boxes are rounded outward. */
struct local_area local_area_around(struct herd_location centre, double radius_m);

static inline int32_t local_units(double degrees)
{
    double units = degrees * LOCAL_UNITS_PER_DEGREE;
    return (int32_t)(units < 0 ? units - 0.5 : units + 0.5);
}

/* The double that strtod gives for the same decimal: both operands are exact, so the division
 * rounds once. */
static inline double local_degrees(int32_t units)
{
    return (double)units / LOCAL_UNITS_PER_DEGREE;
}

#endif
