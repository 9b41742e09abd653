/* geo.h: places on the earth: ISO 6709 text to degrees, and distances on the sphere. */
#ifndef HERD_GEO_H
#define HERD_GEO_H

#include <herd/buf.h>

/* Mean radius of the earth R1 in metres (IUGG; Moritz, Geodetic Reference System 1980). */
#define HERD_EARTH_RADIUS_M 6371008.8

/* Degrees; latitude -90..90 north positive, longitude -180..180 east positive. */
struct herd_location {
    double latitude;
    double longitude;
};

/*
 * Parses an ISO 6709 point, latitude first, both signs mandatory: `+34.068930-118.445127`, also
 * `±DDMM.M±DDDMM.M` and `±DDMMSS.S±DDDMMSS.S`, both coordinates of one form, and an optional `/` at
 * the end. Fewer leading digits of degrees
 * (`+4.5-99.25`) are accepted. 0, HERD_ESYNTAX, or HERD_ERANGE (|latitude| > 90, |longitude| > 180,
 * minutes or seconds >= 60).
 */
int herd_location_parse(struct herd_slice text, struct herd_location *out);

/* The bytes of the location in degrees at the beginning of a text, or 0: also for one at a pole or
 * the date line, which herd_location_parse has to look at. Nothing is said about what stands behind
 * it. */
size_t herd_location_begins(struct herd_slice text);

/* Metres along the great circle between two places (haversine formula on a sphere of
 * HERD_EARTH_RADIUS_M). */
double herd_geo_distance_m(struct herd_location a, struct herd_location b);

#endif
