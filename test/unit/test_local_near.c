/* Places near a location, compared with a search through all rows of the data set that herd comes
 * with. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <sqlite3.h>

#include "places/local.h"
#include "places/local_db.h"
#include "testing.h"

enum { RANDOM_QUERIES = 600 };

struct row {
    int64_t id, source;
    struct herd_location location;
};

struct world {
    struct local_db *db;
    size_t count;
    struct row *rows;
};

struct hit {
    double distance_m;
    int64_t id;
};

static int load_world(void **state)
{
    struct world *world = calloc(1, sizeof *world);
    assert_non_null(world);
    *state = world;
    struct herd_buf path = {0}, error = {0};
    assert_int_equal(places_default_file(&path), 0);
    char *file = testing_take_text(&path);
    if (local_db_open(file, &world->db, &error) < 0)
        fail_msg("%.*s", (int)error.len, error.data);

    sqlite3 *sqlite;
    sqlite3_stmt *row;
    assert_int_equal(sqlite3_open_v2(file, &sqlite, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    const char *sql = "SELECT place.id, source, lat_min / 1e7, lon_min / 1e7 FROM place"
                      " JOIN place_at ON place_at.id = place.id";
    assert_int_equal(sqlite3_prepare_v2(sqlite, sql, -1, &row, NULL), SQLITE_OK);
    while (sqlite3_step(row) == SQLITE_ROW) {
        if ((world->count & (world->count - 1)) == 0) {
            size_t cap = world->count > 0 ? world->count * 2 : 1;
            world->rows = realloc(world->rows, cap * sizeof *world->rows);
            assert_non_null(world->rows);
        }
        world->rows[world->count++] = (struct row){
            sqlite3_column_int64(row, 0),
            sqlite3_column_int64(row, 1),
            {sqlite3_column_double(row, 2), sqlite3_column_double(row, 3)},
        };
    }
    sqlite3_finalize(row);
    sqlite3_close(sqlite);
    free(file);
    return 0;
}

static int free_world(void **state)
{
    struct world *world = *state;
    local_db_close(world->db);
    free(world->rows);
    free(world);
    return 0;
}

static int compare_hits(const void *left, const void *right)
{
    const struct hit *a = left, *b = right;
    if (a->distance_m != b->distance_m)
        return a->distance_m < b->distance_m ? -1 : 1;
    return (a->id > b->id) - (a->id < b->id);
}

/* All rows within the radius, nearest first; *by_source[i] counts those of source i + 1. */
static struct hit *search_all(const struct world *world, const struct places_query *query,
                              size_t *count, size_t by_source[2])
{
    struct hit *hits = NULL;
    struct herd_location centre = {query->latitude, query->longitude};
    double band = query->radius_m / 111000 + 1e-6; /* only to be quick: degrees of latitude */
    *count = by_source[0] = by_source[1] = 0;
    for (size_t i = 0; i < world->count; i++) {
        const struct row *row = &world->rows[i];
        if (fabs(row->location.latitude - centre.latitude) > band)
            continue;
        double distance_m = herd_geo_distance_m(centre, row->location);
        if (distance_m > query->radius_m + 1e-6)
            continue;
        hits = realloc(hits, (*count + 1) * sizeof *hits);
        assert_non_null(hits);
        hits[(*count)++] = (struct hit){distance_m, row->id};
        by_source[row->source - 1]++;
    }
    if (*count > 0)
        qsort(hits, *count, sizeof *hits, compare_hits);
    return hits;
}

struct expectation {
    const struct hit *hits;
    size_t seen;
    bool has_same_order;
};

static int on_place(void *arg, const struct local_place *place)
{
    struct expectation *expectation = arg;
    if (place->distance_m != expectation->hits[expectation->seen].distance_m)
        expectation->has_same_order = false;
    expectation->seen++;
    return 0;
}

/* Asks both and compares; the number of hits, by source. */
static size_t assert_same(const struct world *world, double latitude, double longitude,
                          double radius_m, size_t by_source[2])
{
    struct places_query query = {latitude, longitude, radius_m};
    size_t count, within;
    struct hit *hits = search_all(world, &query, &count, by_source);
    struct expectation expectation = {.hits = hits, .has_same_order = true};
    assert_int_equal(local_db_near(world->db, &query, on_place, &expectation, &within), 0);
    size_t shown = count < PLACES_RESULTS_MAX ? count : PLACES_RESULTS_MAX;
    if (within != count || expectation.seen != shown || !expectation.has_same_order)
        fail_msg("%.7f,%.7f %.3f m: %zu within, %zu shown; a search through all rows: %zu, %zu%s",
                 latitude, longitude, radius_m, within, expectation.seen, count, shown,
                 expectation.has_same_order ? "" : ", in another order");
    expectation.seen = 0;
    assert_int_equal(local_db_near(world->db, &query, on_place, &expectation, NULL), 0);
    if (expectation.seen != shown || !expectation.has_same_order)
        fail_msg("%.7f,%.7f %.3f m, not counted: %zu shown, not %zu%s", latitude, longitude,
                 radius_m, expectation.seen, shown,
                 expectation.has_same_order ? "" : ", in another order");
    free(hits);
    return count;
}

static void test_counts_within_10_km(void **state)
{
    static const struct {
        const char *name;
        double latitude, longitude;
        size_t places, airports;
    } cities[] = {
        {"UCLA", 34.06893, -118.445127, 15, 29},
        {"London, Charing Cross", 51.5074, -0.1278, 99, 2},
        {"Tokyo station", 35.681236, 139.767125, 109, 58},
    };
    for (size_t i = 0; i < sizeof cities / sizeof cities[0]; i++) {
        size_t by_source[2];
        assert_same(*state, cities[i].latitude, cities[i].longitude, 10000, by_source);
        if (by_source[0] != cities[i].places || by_source[1] != cities[i].airports)
            fail_msg("%s: %zu + %zu, expected %zu + %zu", cities[i].name, by_source[0],
                     by_source[1], cities[i].places, cities[i].airports);
    }
}

static void test_the_data_set(void **state)
{
    const struct world *world = *state;
    const struct local_source *geonames = local_db_source(world->db, 0);
    const struct local_source *ourairports = local_db_source(world->db, 1);
    assert_non_null(geonames);
    assert_non_null(ourairports);
    assert_null(local_db_source(world->db, 2));
    assert_string_equal(geonames->name, "GeoNames");
    assert_string_equal(geonames->licence, "CC-BY-4.0");
    assert_int_equal(geonames->places, 171075);
    assert_string_equal(ourairports->name, "OurAirports");
    assert_string_equal(ourairports->licence, "ODbL-1.0");
    assert_int_equal(ourairports->places, 59766);
    assert_int_equal(world->count, 171075 + 59766);
}

static void test_random_locations(void **state)
{
    unsigned short seed[3] = {7, 11, 13};
    const struct world *world = *state;
    size_t found = 0, by_source[2];
    for (int i = 0; i < RANDOM_QUERIES; i++) {
        /* Half of them near a place, or most would be at sea. */
        double latitude = erand48(seed) * 180 - 90, longitude = erand48(seed) * 360 - 180;
        if (i % 2 == 0) {
            const struct row *row = &world->rows[(size_t)nrand48(seed) % world->count];
            latitude = fmax(-90, fmin(90, row->location.latitude + erand48(seed) / 10));
            longitude = fmax(-180, fmin(180, row->location.longitude - erand48(seed) / 10));
        }
        found += assert_same(world, latitude, longitude, erand48(seed) * 50000, by_source) > 0;
    }
    assert_true(found > RANDOM_QUERIES / 3);
}

static void test_dense_cities_at_50_km(void **state)
{
    size_t by_source[2];
    assert_true(assert_same(*state, 35.681236, 139.767125, 50000, by_source) > 400);
    assert_true(assert_same(*state, 51.5074, -0.1278, 50000, by_source) > 500);
    assert_true(assert_same(*state, 34.06893, -118.445127, 50000, by_source) > 200);
}

static void test_poles(void **state)
{
    size_t by_source[2];
    /* The runway at the South Pole is one place, whatever longitude one stands at. */
    assert_true(assert_same(*state, -90, 0, 50000, by_source) >= 1);
    assert_true(assert_same(*state, -90, 123.4, 50000, by_source) >= 1);
    assert_true(assert_same(*state, -89.9, -170, 50000, by_source) >= 1);
    assert_int_equal(assert_same(*state, 90, 77, 50000, by_source), 0);
    for (int quarter = 0; quarter < 20; quarter++) { /* McMurdo and Alert, the farthest towns */
        assert_same(*state, -77.5 - quarter / 4., 166.5, 50000, by_source);
        assert_same(*state, 80 + quarter / 4., -62, 50000, by_source);
    }
}

static void test_antimeridian(void **state)
{
    size_t by_source[2], found = 0;
    /* Taveuni and Vanua Levu, Fiji, lie on both sides; then Chukotka. */
    for (int i = -20; i <= 20; i++) {
        double longitude = i < 0 ? 180 + i / 40.0 : -180 + i / 40.0;
        found += assert_same(*state, -16.8, longitude, 50000, by_source);
        found += assert_same(*state, 66.5, longitude, 50000, by_source);
    }
    assert_true(found > 100);
    size_t east = assert_same(*state, -16.8, 180, 50000, by_source);
    assert_int_equal(assert_same(*state, -16.8, -180, 50000, by_source), east);
    assert_true(east > 1);
}

static void test_radius_zero(void **state)
{
    const struct world *world = *state;
    size_t by_source[2];
    for (size_t i = 0; i < world->count; i += 5003) {
        struct herd_location at = world->rows[i].location;
        assert_true(assert_same(world, at.latitude, at.longitude, 0, by_source) >= 1);
    }
    assert_true(assert_same(world, 34.05612, -118.43063, 0, by_source) >= 1); /* Westwood */
    assert_int_equal(assert_same(world, 34.0561203, -118.43063, 0, by_source), 0);
}

static void test_a_place_at_the_radius_is_within(void **state)
{
    const struct world *world = *state;
    struct herd_location centre = {34.06893, -118.445127};
    size_t by_source[2];
    for (size_t i = 0; i < world->count; i += 97) {
        double distance_m = herd_geo_distance_m(centre, world->rows[i].location);
        if (distance_m > 50000 || distance_m < 1)
            continue;
        size_t at = assert_same(world, centre.latitude, centre.longitude, distance_m, by_source);
        size_t less =
            assert_same(world, centre.latitude, centre.longitude, distance_m - 0.001, by_source);
        assert_true(at > less);
    }
}

struct search {
    const char *name;
    size_t found;
    struct herd_location location;
};

static int on_name(void *arg, const struct local_place *place)
{
    struct search *search = arg;
    if (strcmp(place->name, search->name) == 0) {
        search->found++;
        search->location = place->location;
    }
    return 0;
}

/* The place of that name among the nearest, which must be within 10 km of UCLA. */
static void assert_near_ucla(const struct world *world, struct places_query query, const char *name)
{
    struct search search = {.name = name};
    size_t within;
    assert_int_equal(local_db_near(world->db, &query, on_name, &search, &within), 0);
    assert_int_equal(search.found, 1);
    struct herd_location ucla = {34.06893, -118.445127};
    assert_true(herd_geo_distance_m(ucla, search.location) < 10000);
}

static void test_names_around_ucla(void **state)
{
    struct places_query ucla = {34.06893, -118.445127, 10000};
    assert_near_ucla(*state, ucla, "Westwood");
    assert_near_ucla(*state, ucla, "Century City");
    assert_near_ucla(*state, ucla, "Getty Center Heliport");
    /* Farther than the 20 nearest of UCLA: seen from nearer by. */
    struct places_query south = {34.02, -118.447, 3000};
    assert_near_ucla(*state, south, "Santa Monica Municipal Airport");
}

static int stop(void *arg, const struct local_place *place)
{
    (void)place;
    ++*(int *)arg;
    return -77;
}

static void test_the_callback_can_stop(void **state)
{
    const struct world *world = *state;
    struct places_query ucla = {34.06893, -118.445127, 10000};
    size_t within;
    int calls = 0;
    assert_int_equal(local_db_near(world->db, &ucla, stop, &calls, &within), -77);
    assert_int_equal(calls, 1);
    size_t by_source[2];
    assert_same(world, 34.06893, -118.445127, 10000, by_source);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_data_set),
        cmocka_unit_test(test_counts_within_10_km),
        cmocka_unit_test(test_names_around_ucla),
        cmocka_unit_test(test_dense_cities_at_50_km),
        cmocka_unit_test(test_poles),
        cmocka_unit_test(test_antimeridian),
        cmocka_unit_test(test_radius_zero),
        cmocka_unit_test(test_a_place_at_the_radius_is_within),
        cmocka_unit_test(test_random_locations),
        cmocka_unit_test(test_the_callback_can_stop),
    };
    return cmocka_run_group_tests(tests, load_world, free_world);
}
