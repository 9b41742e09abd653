#include "places/local_area.h"

#include <math.h>

static const double pi = 3.14159265358979323846;

/* Far above the rounding of doubles and of 1e-7°, far below what costs a candidate. */
static const double margin_m = 0.01;

enum { LON_LIMIT = 180 * LOCAL_UNITS_PER_DEGREE, LAT_LIMIT = 90 * LOCAL_UNITS_PER_DEGREE };

static int32_t units_down(double degrees, int32_t limit)
{
    double units = floor(degrees * LOCAL_UNITS_PER_DEGREE);
    return units < -limit ? -limit : (int32_t)units;
}

static int32_t units_up(double degrees, int32_t limit)
{
    double units = ceil(degrees * LOCAL_UNITS_PER_DEGREE);
    return units > limit ? limit : (int32_t)units;
}

struct local_area local_area_around(struct herd_location centre, double radius_m)
{
    double angle = (radius_m + margin_m) / HERD_EARTH_RADIUS_M;
    double lat_half = angle * 180 / pi;
    double south = centre.latitude - lat_half, north = centre.latitude + lat_half;
    struct local_box all_longitudes = {
        .lat_min = units_down(south, LAT_LIMIT),
        .lat_max = units_up(north, LAT_LIMIT),
        .lon_min = -LON_LIMIT,
        .lon_max = LON_LIMIT,
    };
    if (south <= -90 || north >= 90) /* a pole lies within: so does every meridian */
        return (struct local_area){1, {all_longitudes}};

    /* Where a meridian touches the circle: sin Δlon = sin angle / cos latitude. */
    double lon_half = asin(fmin(1, sin(angle) / cos(centre.latitude * pi / 180))) * 180 / pi;
    double west = centre.longitude - lon_half, east = centre.longitude + lon_half;
    struct local_box box = all_longitudes, beyond = all_longitudes;
    box.lon_min = units_down(west, LON_LIMIT);
    box.lon_max = units_up(east, LON_LIMIT);
    if (west < -180) {
        beyond.lon_min = units_down(west + 360, LON_LIMIT);
        return (struct local_area){2, {box, beyond}};
    }
    if (east > 180) {
        beyond.lon_max = units_up(east - 360, LON_LIMIT);
        return (struct local_area){2, {box, beyond}};
    }
    return (struct local_area){1, {box}};
}
