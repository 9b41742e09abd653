#include <math.h>

#include <herd/err.h>
#include <herd/geo.h>

#include "check.h"
#include "core/rng.h"

#define CHECK_NEAR(row, actual, expected, tolerance)                                               \
    do {                                                                                           \
        double check_a = (actual), check_e = (expected);                                           \
        if (!(fabs(check_a - check_e) <= (tolerance))) {                                           \
            check_row row;                                                                         \
            fail_msg("%s is %.12g, expected %.12g", #actual, check_a, check_e);                    \
        }                                                                                          \
    } while (0)

static const struct {
    const char *text;
    double latitude, longitude;
} valid_rows[] = {
    {"+34.068930-118.445127", 34.068930, -118.445127},
    {"+27.5916+086.5640", 27.5916, 86.5640},
    {"+27.5916+086.5640/", 27.5916, 86.5640},
    {"+40.20361-075.00417/", 40.20361, -75.00417},
    {"-33.86708+151.20735", -33.86708, 151.20735},
    {"+00-000", 0, 0},
    {"-00.0+000.0/", 0, 0},
    {"+0+0", 0, 0},
    {"+4.5-99.25", 4.5, -99.25},
    {"+4.5+9.25", 4.5, 9.25},
    {"+48+11", 48, 11},
    {"+90+000", 90, 0},
    {"-90.000000+180.000000", -90, 180},
    {"+90.0-180.0", 90, -180},
    {"+89.999999999999-179.999999999999", 89.999999999999, -179.999999999999},
    {"+12.3456789012345678901234567890+098.7654321098765432109876543210", 12.345678901234568,
     98.765432109876543},
    /* Degrees and minutes. */
    {"+4012.22-07500.25", 40 + 12.22 / 60, -(75 + 0.25 / 60)},
    {"+4012.22-07500.25/", 40 + 12.22 / 60, -(75 + 0.25 / 60)},
    {"+4012-07500", 40 + 12.0 / 60, -75},
    {"-0059.999999+00059.999999", -59.999999 / 60, 59.999999 / 60},
    {"+9000-18000", 90, -180},
    /* Degrees, minutes and seconds. */
    {"+401213.1-0750015.1/", 40 + 12.0 / 60 + 13.1 / 3600, -(75 + 15.1 / 3600)},
    {"+401213-0750015", 40 + 12.0 / 60 + 13.0 / 3600, -(75 + 15.0 / 3600)},
    {"+352139+1384339", 35 + 21.0 / 60 + 39.0 / 3600, 138 + 43.0 / 60 + 39.0 / 3600},
    {"-005959.999+1795959.999", -(59.0 / 60 + 59.999 / 3600), 179 + 59.0 / 60 + 59.999 / 3600},
    {"+900000.0-1800000.0", 90, -180},
    /* More digits than a double has. */
    {"+90.00000000000000000000-180.00000000000000000000", 90, -180},
    {"+0859.99999999999999999999-00559.99999999999999999999", 9, -6},
    {"+895959.99999999999999999999+1795959.99999999999999999999", 90, 180},
};

static void test_valid_locations(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(valid_rows); i++) {
        struct herd_location at = {999, 999};
        const char *text = valid_rows[i].text;
        CHECK_INT(("%s", text), herd_location_parse(herd_slice_of(text), &at), 0);
        CHECK_NEAR(("%s", text), at.latitude, valid_rows[i].latitude, 1e-12);
        CHECK_NEAR(("%s", text), at.longitude, valid_rows[i].longitude, 1e-12);
    }
}

static const struct {
    const char *text;
    int rc;
} invalid_rows[] = {
    {"", HERD_ESYNTAX},
    {"+", HERD_ESYNTAX},
    {"/", HERD_ESYNTAX},
    {"+34", HERD_ESYNTAX},
    {"+34.0", HERD_ESYNTAX},
    {"+34.0/", HERD_ESYNTAX},
    {"+34.0-", HERD_ESYNTAX},
    {"+34.0-118.4-", HERD_ESYNTAX},
    {"+34.0-118.4+12.0", HERD_ESYNTAX}, /* an altitude */
    {"+34.0-118.4CRSWGS_84/", HERD_ESYNTAX},
    {"+34.0-118.4//", HERD_ESYNTAX},
    {"+34.0/-118.4", HERD_ESYNTAX},
    {"34.0-118.4", HERD_ESYNTAX},
    {"+34.0 -118.4", HERD_ESYNTAX},
    {"+34.0118.4", HERD_ESYNTAX},
    {"-+34.0-118.4", HERD_ESYNTAX},
    {"+-34.0-118.4", HERD_ESYNTAX},
    {"+34.-118.4", HERD_ESYNTAX},
    {"+34.0-118.", HERD_ESYNTAX},
    {"+.5-118.4", HERD_ESYNTAX},
    {"+34.0-.5", HERD_ESYNTAX},
    {"+34..0-118.4", HERD_ESYNTAX},
    {"+34.0.0-118.4", HERD_ESYNTAX},
    {"+34,0-118,4", HERD_ESYNTAX},
    {"+3.4e1-118.4", HERD_ESYNTAX},
    {"+34.0-1.184e2", HERD_ESYNTAX},
    {"+nan+nan", HERD_ESYNTAX},
    {"+inf-inf", HERD_ESYNTAX},
    {"+0x10-0x10", HERD_ESYNTAX},
    {"N34.0W118.4", HERD_ESYNTAX},
    {"\xe2\x88\x92"
     "34.0-118.4",
     HERD_ESYNTAX}, /* a typographer's minus */
    /* Numbers of digits that no form has. */
    {"+034.0-118.4", HERD_ESYNTAX},
    {"+34.0-0118.4", HERD_ESYNTAX},
    {"+40123.0-0750015.0", HERD_ESYNTAX},
    {"+401213.0-075001.0", HERD_ESYNTAX},
    {"+4012130.0-0750015.0", HERD_ESYNTAX},
    {"+401213.0-07500150.0", HERD_ESYNTAX},
    /* Two forms in one. */
    {"+4012.22-075.25", HERD_ESYNTAX},
    {"+40.22-07500.25", HERD_ESYNTAX},
    {"+401213.1-07500.25", HERD_ESYNTAX},
    {"+4012.22-0750015.1", HERD_ESYNTAX},
    /* Beyond the poles and the date line. */
    {"+90.000001+000.0", HERD_ERANGE},
    {"-90.000001+000.0", HERD_ERANGE},
    {"+91+000", HERD_ERANGE},
    {"+99.9+000", HERD_ERANGE},
    {"+00.0+180.000001", HERD_ERANGE},
    {"+00.0-180.000001", HERD_ERANGE},
    {"+00+181", HERD_ERANGE},
    {"+00-999", HERD_ERANGE},
    {"+9000.1+00000.0", HERD_ERANGE},
    {"+900000.1+0000000.0", HERD_ERANGE},
    {"+0000.0+18000.1", HERD_ERANGE},
    {"+90.00000000000000000001+000.0", HERD_ERANGE},
    {"+00.0-180.00000000000000000001", HERD_ERANGE},
    {"+9000.00000000000000000001+00000.0", HERD_ERANGE},
    {"+000000.0+1800000.00000000000000000001", HERD_ERANGE},
    /* Minutes and seconds. */
    {"+4060.0-07500.0", HERD_ERANGE},
    {"+4012.0-07560.0", HERD_ERANGE},
    {"+4099.9-07500.0", HERD_ERANGE},
    {"+406000.0-0750000.0", HERD_ERANGE},
    {"+400060.0-0750000.0", HERD_ERANGE},
    {"+400000.0-0756000.0", HERD_ERANGE},
    {"+400000.0-0750060.0", HERD_ERANGE},
};

static void test_invalid_locations(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(invalid_rows); i++) {
        struct herd_location at;
        const char *text = invalid_rows[i].text;
        CHECK_INT(("%s", text), herd_location_parse(herd_slice_of(text), &at), invalid_rows[i].rc);
    }
}

/* Any text that begins with a valid one and ends early is read up to its end only. */
static void test_text_is_not_terminated(void **state)
{
    struct herd_location at;
    (void)state;
    assert_int_equal(herd_location_parse(herd_slice("+34.5-118.44", 9), &at), 0);
    CHECK_NEAR(("cut"), at.longitude, -118, 0);
    assert_int_equal(herd_location_parse(herd_slice("+34.5-118.44", 10), &at), HERD_ESYNTAX);
    assert_int_equal(herd_location_parse(herd_slice("+34.5-118.44\0", 13), &at), HERD_ESYNTAX);
}

/* Microdegrees written by printf come back as what strtod would say. */
static void test_decimals_against_the_c_library(void **state)
{
    struct rng rng = {21};
    (void)state;
    for (int i = 0; i < 100000; i++) {
        double latitude = (double)((int64_t)rng_below(&rng, 180000001) - 90000000) / 1e6;
        double longitude = (double)((int64_t)rng_below(&rng, 360000001) - 180000000) / 1e6;
        char text[64];
        struct herd_location at;
        int len = snprintf(text, sizeof(text), "%+.6f%+.6f", latitude, longitude);
        CHECK_INT(("%s", text), herd_location_parse(herd_slice(text, (size_t)len), &at), 0);
        CHECK_NEAR(("%s", text), at.latitude, latitude, 0);
        CHECK_NEAR(("%s", text), at.longitude, longitude, 0);
    }
}

/* The degree of a great circle on a sphere of R1 is 111,195.08 m. */
static void test_distances(void **state)
{
    static const double degree_m = HERD_EARTH_RADIUS_M * 3.14159265358979323846 / 180;
    static const struct {
        const char *name;
        struct herd_location a, b;
        double metres, tolerance;
    } rows[] = {
        {"same place", {34.068930, -118.445127}, {34.068930, -118.445127}, 0, 0},
        {"a degree of latitude", {0, 0}, {1, 0}, degree_m, 1e-3},
        {"a degree of the equator", {0, 10}, {0, 11}, degree_m, 1e-3},
        {"a degree at 60 north", {60, 0}, {60, 1}, 55595.4, 5},
        {"across the date line", {0, 179.5}, {0, -179.5}, degree_m, 1e-3},
        {"the same line", {12, 180}, {12, -180}, 0, 1e-3},
        {"pole to pole", {90, 0}, {-90, 0}, 180 * degree_m, 1e-3},
        {"at the pole all longitudes meet", {90, 0}, {90, 123}, 0, 1e-3},
        /* Haversines are at their worst here; at 50 km they are good to a micrometre. */
        {"antipodes", {10, 20}, {-10, -160}, 180 * degree_m, 1},
        {"fifty kilometres", {45, 7}, {45 + 50000 / degree_m, 7}, 50000, 1e-6},
        {"a metre", {45, 7}, {45 + 1 / degree_m, 7}, 1, 1e-6},
        /* Sinnott's and others' examples: Nashville BNA to Los Angeles LAX. */
        {"BNA to LAX", {36.12, -86.67}, {33.94, -118.40}, 2886448, 10},
        {"Big Ben to the Statue of Liberty", {51.5007, -0.1246}, {40.6892, -74.0445}, 5574848, 500},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        double there = herd_geo_distance_m(rows[i].a, rows[i].b);
        CHECK_NEAR(("%s", rows[i].name), there, rows[i].metres, rows[i].tolerance);
        CHECK_NEAR(("%s, back", rows[i].name), herd_geo_distance_m(rows[i].b, rows[i].a), there,
                   1e-6);
    }
}

static void test_distance_is_a_metric(void **state)
{
    struct rng rng = {22};
    (void)state;
    for (int i = 0; i < 20000; i++) {
        struct herd_location at[3];
        for (int j = 0; j < 3; j++) {
            at[j].latitude = (double)rng_below(&rng, 1800001) / 1e4 - 90;
            at[j].longitude = (double)rng_below(&rng, 3600001) / 1e4 - 180;
        }
        double ab = herd_geo_distance_m(at[0], at[1]);
        double bc = herd_geo_distance_m(at[1], at[2]);
        double ac = herd_geo_distance_m(at[0], at[2]);
        CHECK_TRUE(("round %d: %g %g %g", i, ab, bc, ac), ac <= ab + bc + 1e-3);
        CHECK_TRUE(("round %d: %g", i, ab), ab >= 0 && ab <= 20015115);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_valid_locations),
        cmocka_unit_test(test_invalid_locations),
        cmocka_unit_test(test_text_is_not_terminated),
        cmocka_unit_test(test_decimals_against_the_c_library),
        cmocka_unit_test(test_distances),
        cmocka_unit_test(test_distance_is_a_metric),
    };
    return cmocka_run_group_tests_name("geo", tests, NULL, NULL);
}
