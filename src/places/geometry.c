#include "places/geometry.h"

#include <math.h>
#include <string.h>

static const double pi = 3.14159265358979323846;

/* A shape that is being gone around. Longitudes are told from its first point on, so that they do
 * not jump at the antimeridian. */
struct shape {
    size_t count;
    double first_lon;
    double west, east, south, north;
    /* Of the ring: twice the area, and the moments (the shoelace formula). */
    double area, moment_x, moment_y;
    double last_x, last_y;
};

static bool read_point(const json_t *position, double *lon, double *lat)
{
    const json_t *x = json_array_get(position, 0), *y = json_array_get(position, 1);
    *lon = json_number_value(x);
    *lat = json_number_value(y);
    return json_is_number(x) && json_is_number(y) && fabs(*lon) <= 180 && fabs(*lat) <= 90;
}

static double wrapped(double lon)
{
    return lon > 180 ? lon - 360 : lon < -180 ? lon + 360 : lon;
}

static void add_point(struct shape *shape, double lon, double lat)
{
    if (shape->count == 0)
        shape->first_lon = lon;
    double x = wrapped(lon - shape->first_lon), y = lat;
    if (shape->count++ == 0) {
        *shape = (struct shape){.count = 1, .first_lon = lon, .south = y, .north = y};
        shape->last_x = x;
        shape->last_y = y;
        return;
    }
    double cross = shape->last_x * y - x * shape->last_y;
    shape->area += cross;
    shape->moment_x += (shape->last_x + x) * cross;
    shape->moment_y += (shape->last_y + y) * cross;
    shape->west = fmin(shape->west, x);
    shape->east = fmax(shape->east, x);
    shape->south = fmin(shape->south, y);
    shape->north = fmax(shape->north, y);
    shape->last_x = x;
    shape->last_y = y;
}

/* All points of an array of positions. False: one is none. */
static bool add_points(struct shape *shape, const json_t *positions)
{
    for (size_t i = 0; i < json_array_size(positions); i++) {
        double lon, lat;
        if (!read_point(json_array_get(positions, i), &lon, &lat))
            return false;
        add_point(shape, lon, lat);
    }
    return json_array_size(positions) > 0;
}

static bool has_inside(const struct shape *shape, double x, double y)
{
    return x >= shape->west && x <= shape->east && y >= shape->south && y <= shape->north;
}

static void finish(const struct shape *shape, struct geometry *out)
{
    double x = (shape->west + shape->east) / 2, y = (shape->south + shape->north) / 2;
    double centroid_x = shape->moment_x / (3 * shape->area);
    double centroid_y = shape->moment_y / (3 * shape->area);
    /* An area of next to nothing has its centroid anywhere. */
    if (shape->area != 0 && has_inside(shape, centroid_x, centroid_y)) {
        x = centroid_x;
        y = centroid_y;
    }
    double degree_m = HERD_EARTH_RADIUS_M * pi / 180;
    double high_m = (shape->north - shape->south) * degree_m;
    double wide_m = (shape->east - shape->west) * degree_m * cos(y * pi / 180);
    out->middle = (struct herd_location){y, wrapped(shape->first_lon + x)};
    out->extent_m = (int64_t)ceil(fmax(high_m, wide_m) / 2);
}

static bool read_ring(const json_t *rings, struct shape *out)
{
    *out = (struct shape){0};
    return add_points(out, json_array_get(rings, 0)); /* the others are holes */
}

static bool read_one_point(const json_t *coordinates, struct geometry *out)
{
    out->extent_m = 0;
    return read_point(coordinates, &out->middle.longitude, &out->middle.latitude);
}

static bool read_points(const json_t *coordinates, struct geometry *out)
{
    struct shape shape = {0};
    if (!add_points(&shape, coordinates))
        return false;
    shape.area = 0;
    finish(&shape, out);
    return true;
}

static bool read_lines(const json_t *coordinates, struct geometry *out)
{
    struct shape shape = {0};
    for (size_t i = 0; i < json_array_size(coordinates); i++) {
        if (!add_points(&shape, json_array_get(coordinates, i)))
            return false;
    }
    shape.area = 0;
    finish(&shape, out);
    return shape.count > 0;
}

static bool read_polygon(const json_t *coordinates, struct geometry *out)
{
    struct shape shape;
    if (!read_ring(coordinates, &shape))
        return false;
    finish(&shape, out);
    return true;
}

static bool read_polygons(const json_t *coordinates, struct geometry *out)
{
    struct shape largest = {0}, shape;
    for (size_t i = 0; i < json_array_size(coordinates); i++) {
        if (!read_ring(json_array_get(coordinates, i), &shape))
            return false;
        if (i == 0 || fabs(shape.area) > fabs(largest.area))
            largest = shape;
    }
    finish(&largest, out);
    return largest.count > 0;
}

static const struct {
    const char *type;
    bool (*read)(const json_t *coordinates, struct geometry *out);
} types[] = {
    {"Point", read_one_point},       {"MultiPoint", read_points}, {"LineString", read_points},
    {"MultiLineString", read_lines}, {"Polygon", read_polygon},   {"MultiPolygon", read_polygons},
};

bool geometry_read(const json_t *geometry, struct geometry *out)
{
    const char *type = json_string_value(json_object_get(geometry, "type"));
    for (size_t i = 0; type != NULL && i < sizeof types / sizeof types[0]; i++) {
        if (strcmp(types[i].type, type) == 0)
            return types[i].read(json_object_get(geometry, "coordinates"), out);
    }
    return false;
}
