/* The boxes around a circle: nothing within the circle may be outside of them. */
#include <math.h>
#include <stdbool.h>

#include "places/local_area.h"
#include "testing.h"

static const double pi = 3.14159265358979323846;

static bool is_in_box(const struct local_box *box, int32_t lat, int32_t lon)
{
    return lat >= box->lat_min && lat <= box->lat_max && lon >= box->lon_min && lon <= box->lon_max;
}

static size_t boxes_with(const struct local_area *area, int32_t lat, int32_t lon)
{
    size_t count = 0;
    for (size_t i = 0; i < area->count; i++)
        count += is_in_box(&area->boxes[i], lat, lon);
    return count;
}

/* Where one arrives from `from` after `distance_m` in the direction `bearing` (radians). */
static struct herd_location destination(struct herd_location from, double distance_m,
                                        double bearing)
{
    double angle = distance_m / HERD_EARTH_RADIUS_M;
    double lat = from.latitude * pi / 180, lon = from.longitude * pi / 180;
    double sine = sin(lat) * cos(angle) + cos(lat) * sin(angle) * cos(bearing);
    double to_lat = asin(fmax(-1, fmin(1, sine)));
    double to_lon =
        lon + atan2(sin(bearing) * sin(angle) * cos(lat), cos(angle) - sin(lat) * sin(to_lat));
    return (struct herd_location){to_lat * 180 / pi, remainder(to_lon * 180 / pi, 360)};
}

static void assert_covered(struct herd_location centre, double radius_m)
{
    struct local_area area = local_area_around(centre, radius_m);
    for (int i = 0; i < 720; i++) {
        struct herd_location edge = destination(centre, radius_m, i * pi / 360);
        size_t boxes = boxes_with(&area, local_units(edge.latitude), local_units(edge.longitude));
        if (boxes == 0)
            fail_msg("%.7f,%.7f is %.3f m from %.7f,%.7f, but in no box", edge.latitude,
                     edge.longitude, herd_geo_distance_m(centre, edge), centre.latitude,
                     centre.longitude);
    }
}

static void test_circles_are_covered(void **state)
{
    (void)state;
    static const double latitudes[] = {0,   34.06893, -33.9, 60.1,  -77.85,  89.5,
                                       -89, 89.55,    89.9,  89.99, -89.999, 90};
    static const double longitudes[] = {0, -118.445127, 179.9999, -179.95, 180, -180};
    static const double radii_m[] = {0.001, 1, 999, 10000, 49789.3, 50000};
    for (size_t i = 0; i < sizeof latitudes / sizeof latitudes[0]; i++) {
        for (size_t j = 0; j < sizeof longitudes / sizeof longitudes[0]; j++) {
            for (size_t k = 0; k < sizeof radii_m / sizeof radii_m[0]; k++)
                assert_covered((struct herd_location){latitudes[i], longitudes[j]}, radii_m[k]);
        }
    }
}

static void test_a_box_is_tight(void **state)
{
    (void)state;
    struct local_area area = local_area_around((struct herd_location){0, 0}, 10000);
    assert_int_equal(area.count, 1);
    /* 10 km are 0.0899322 degrees of a great circle. */
    assert_in_range(area.boxes[0].lat_max, 899320, 899330);
    assert_in_range(area.boxes[0].lon_max, 899320, 899330);
    assert_int_equal(area.boxes[0].lat_min, -area.boxes[0].lat_max);
    assert_int_equal(area.boxes[0].lon_min, -area.boxes[0].lon_max);
}

static void test_the_antimeridian_splits_without_overlap(void **state)
{
    (void)state;
    static const double longitudes[] = {179.95, 180, -180, -179.95};
    for (size_t i = 0; i < 4; i++) {
        struct local_area area =
            local_area_around((struct herd_location){-16.5, longitudes[i]}, 20000);
        assert_int_equal(area.count, 2);
        for (int32_t step = -2000; step <= 2000; step++) {
            int32_t lon = step < 0 ? 1800000000 + step * 1000 : -1800000000 + step * 1000;
            assert_in_range(boxes_with(&area, -165000000, lon), 0, 1);
        }
        assert_int_equal(boxes_with(&area, -165000000, 1800000000), 1);
        assert_int_equal(boxes_with(&area, -165000000, -1800000000), 1);
    }
}

static void test_a_pole_has_all_longitudes(void **state)
{
    (void)state;
    struct local_area area = local_area_around((struct herd_location){89.95, 20}, 10000);
    assert_int_equal(area.count, 1);
    assert_int_equal(boxes_with(&area, 899900000, -1700000000), 1);
    assert_int_equal(area.boxes[0].lat_max, 900000000);
    area = local_area_around((struct herd_location){-90, 0}, 0);
    assert_int_equal(boxes_with(&area, -900000000, 1234567890), 1);
    assert_int_equal(boxes_with(&area, -899999000, 0), 0);
}

static void test_radius_zero_holds_the_point(void **state)
{
    (void)state;
    struct local_area area = local_area_around((struct herd_location){34.05612, -118.43063}, 0);
    assert_int_equal(boxes_with(&area, 340561200, -1184306300), 1);
    assert_int_equal(boxes_with(&area, 340561203, -1184306300), 0);
    area = local_area_around((struct herd_location){0, 180}, 0);
    assert_int_equal(boxes_with(&area, 0, -1800000000), 1);
}

static void test_the_whole_earth(void **state)
{
    (void)state;
    struct local_area area = local_area_around((struct herd_location){10, 20}, 1e9);
    assert_int_equal(area.count, 1);
    assert_int_equal(boxes_with(&area, -900000000, -1800000000), 1);
    assert_int_equal(boxes_with(&area, 900000000, 1800000000), 1);
}

static void test_units_give_the_decimal_back(void **state)
{
    (void)state;
    assert_int_equal(local_units(-118.4306301), -1184306301);
    assert_true(local_degrees(-1184306301) == -118.4306301);
    assert_true(local_degrees(340561200) == 34.05612);
    assert_int_equal(local_units(180), 1800000000);
    assert_int_equal(local_units(-180), -1800000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_circles_are_covered),
        cmocka_unit_test(test_a_box_is_tight),
        cmocka_unit_test(test_the_antimeridian_splits_without_overlap),
        cmocka_unit_test(test_a_pole_has_all_longitudes),
        cmocka_unit_test(test_radius_zero_holds_the_point),
        cmocka_unit_test(test_the_whole_earth),
        cmocka_unit_test(test_units_give_the_decimal_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
