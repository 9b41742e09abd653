/* A places file in memory: the tree against a search through all places, and the answers against
 * those of the file on disk, byte for byte. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <herd/err.h>

#include "core/rng.h"
#include "local_fixture.h"
#include "places/kd_tree.h"
#include "places/local.h"
#include "places/local_answer.h"
#include "places/local_memory.h"
#include "testing.h"

enum { WORLDS = 60, QUERIES = 60, RANDOM_ANSWERS = 2000 };

static const int64_t plenty_bytes = INT64_C(1) << 30;
static const atomic_bool never = false;

static double uniform(struct rng *rng, double min, double max)
{
    return min + (max - min) * (double)(rng_next(rng) >> 11) / (double)(UINT64_C(1) << 53);
}

/* Anywhere; or near a pole, the antimeridian, a city; or just where somebody else is. */
static struct herd_location random_location(struct rng *rng, const struct kd_place *others,
                                            size_t count)
{
    switch (rng_below(rng, 6)) {
    case 0:
        return (struct herd_location){uniform(rng, 89.7, 90), uniform(rng, -180, 180)};
    case 1:
        return (struct herd_location){uniform(rng, -90, -89.7), uniform(rng, -180, 180)};
    case 2:
        return (struct herd_location){uniform(rng, -1, 1), rng_below(rng, 2)
                                                               ? uniform(rng, 179.7, 180)
                                                               : uniform(rng, -180, -179.7)};
    case 3:
        if (count > 0)
            return others[rng_below(rng, count)].location;
        return (struct herd_location){rng_below(rng, 2) ? 90 : -90, 0};
    case 4:
        return (struct herd_location){uniform(rng, 51.3, 51.7), uniform(rng, -0.3, 0.1)};
    default:
        return (struct herd_location){uniform(rng, -90, 90), uniform(rng, -180, 180)};
    }
}

struct hit {
    double distance_m;
    uint32_t id;
};

static int compare_hits(const void *left, const void *right)
{
    const struct hit *a = left, *b = right;
    if (a->distance_m != b->distance_m)
        return a->distance_m < b->distance_m ? -1 : 1;
    return (a->id > b->id) - (a->id < b->id);
}

static void check_query(const struct kd_tree *tree, const struct kd_place *places, size_t count,
                        struct herd_location centre, double radius_m)
{
    struct hit *hits = malloc((count + 1) * sizeof *hits);
    uint32_t positions[PLACES_RESULTS_MAX];
    size_t within = 0;
    for (size_t i = 0; i < count; i++) {
        double distance_m = herd_geo_distance_m(centre, places[i].location);
        if (distance_m <= radius_m + 0.001)
            hits[within++] = (struct hit){distance_m, places[i].id};
    }
    qsort(hits, within, sizeof *hits, compare_hits);
    size_t found = kd_nearest(tree, centre, radius_m, positions);
    assert_int_equal(found, within < PLACES_RESULTS_MAX ? within : PLACES_RESULTS_MAX);
    for (size_t i = 0; i < found; i++) {
        const struct kd_place *place = &places[positions[i]];
        double distance_m = herd_geo_distance_m(centre, place->location);
        /* A millionth of a metre is where the two ways of computing it differ. */
        if (fabs(distance_m - hits[i].distance_m) > 1e-5)
            fail_msg("%zu. at %.17g m, not %.17g m", i, distance_m, hits[i].distance_m);
    }
    free(hits);
}

static void test_tree_against_all_places(void **state)
{
    (void)state;
    static const double radii_m[] = {0, 0.5, 10, 1000, 10000, 50000, 3000000, 2e7};
    struct rng rng = {42};
    for (size_t world = 0; world < WORLDS; world++) {
        size_t count = world < 30 ? world : rng_below(&rng, 5000);
        struct kd_place *places = malloc((count + 1) * sizeof *places);
        struct kd_tree *tree;
        for (size_t i = 0; i < count; i++)
            places[i] = (struct kd_place){random_location(&rng, places, i), (uint32_t)i};
        assert_int_equal(kd_tree_new(places, count, &tree), 0);
        for (size_t i = 0; i < QUERIES; i++) {
            struct herd_location centre = random_location(&rng, places, count);
            double radius_m = radii_m[rng_below(&rng, sizeof radii_m / sizeof radii_m[0])];
            check_query(tree, places, count, centre, radius_m);
        }
        kd_tree_free(tree);
        free(places);
    }
}

/* Hundreds of places at one point: those of the smaller ids are the nearer ones. */
static void test_tree_of_one_point(void **state)
{
    (void)state;
    enum { COUNT = 777 };
    static struct kd_place places[COUNT];
    struct kd_tree *tree;
    uint32_t positions[PLACES_RESULTS_MAX];
    for (uint32_t i = 0; i < COUNT; i++)
        places[i] = (struct kd_place){{12, 34}, (i * 500) % COUNT};
    assert_int_equal(kd_tree_new(places, COUNT, &tree), 0);
    assert_int_equal(kd_nearest(tree, (struct herd_location){12, 34}, 0, positions), 20);
    for (uint32_t i = 0; i < PLACES_RESULTS_MAX; i++)
        assert_int_equal(places[positions[i]].id, i);
    kd_tree_free(tree);
}

/* ---- Answers -------------------------------------------------------------------------------- */

struct both {
    struct local_db *db;
    struct local_memory *memory;
};

static void open_both(struct both *both, const char *path)
{
    struct herd_buf error = {0};
    if (local_db_open(path, &both->db, &error) < 0)
        fail_msg("%.*s", (int)error.len, error.data);
    assert_int_equal(local_memory_load(both->db, plenty_bytes, &never, &both->memory), 0);
}

static void close_both(struct both *both)
{
    local_memory_free(both->memory);
    local_db_close(both->db);
}

static char *rendered(struct places_answer *take_answer)
{
    struct herd_buf text = {0};
    assert_int_equal(places_answer_render(take_answer, PLACES_RESULTS_MAX, &text), 0);
    places_answer_unref(take_answer);
    return testing_take_text(&text);
}

static void assert_same_answer(const struct both *both, struct places_query query)
{
    char *on_disk = rendered(local_answer(both->db, &query));
    char *in_memory = rendered(local_memory_answer(both->memory, &query, NULL));
    if (strcmp(on_disk, in_memory) != 0)
        fail_msg("%.9f,%.9f %.3f m:\non disk %s\nin memory %s", query.latitude, query.longitude,
                 query.radius_m, on_disk, in_memory);
    free(on_disk);
    free(in_memory);
}

static void test_answers_as_on_disk(void **state)
{
    (void)state;
    static const struct places_query queries[] = {
        {34.06893, -118.445127, 10000},
        {51.5, -0.12, 50000},
        {35.68, 139.69, 50000},
        {31.23, 121.47, 50000},
        {90, 0, 50000},
        {-90, 123, 50000},
        {-16.8, 180, 50000},
        {-16.8, -180, 50000},
        {0, 0, 0},
        {34.05612, -118.43063, 0},
        {-90.5, 0, 10},
        {0, 0, -1},
        {89.999, -180, 50000},
        {65.6, 179.99, 50000},
    };
    struct herd_buf path = {0};
    struct both both;
    struct rng rng = {7};
    assert_int_equal(places_default_file(&path), 0);
    char *file = testing_take_text(&path);
    open_both(&both, file);
    print_message("%lld places in %lld bytes\n", (long long)local_memory_places(both.memory),
                  (long long)local_memory_bytes(both.memory));
    for (size_t i = 0; i < sizeof queries / sizeof queries[0]; i++)
        assert_same_answer(&both, queries[i]);
    for (size_t i = 0; i < RANDOM_ANSWERS; i++) {
        struct herd_location at = random_location(&rng, NULL, 0);
        assert_same_answer(
            &both, (struct places_query){at.latitude, at.longitude, uniform(&rng, 0, 50000)});
    }
    close_both(&both);
    free(file);
}

static void test_a_small_and_an_empty_file(void **state)
{
    const struct folder *folder = *state;
    struct both both;
    build_places(folder, "x:1\tA \"quoted\" caf\xc3\xa9\\\t1\t2\tcafe,food\t\t\t\t10\t\n"
                         "x:2\tPole\t-90\t10\tlocality\t\t\t\t1000\tNowhere\n");
    open_both(&both, folder->places);
    assert_same_answer(&both, (struct places_query){1, 2, 0});
    assert_same_answer(&both, (struct places_query){-90, 0, 5});
    assert_same_answer(&both, (struct places_query){1.001, 2, 112});
    close_both(&both);
    build_places(folder, "");
    open_both(&both, folder->places);
    assert_same_answer(&both, (struct places_query){1, 2, 50000});
    close_both(&both);
}

static void test_a_limit(void **state)
{
    (void)state;
    struct herd_buf path = {0}, error = {0};
    struct local_db *db;
    struct local_memory *memory;
    assert_int_equal(places_default_file(&path), 0);
    char *file = testing_take_text(&path);
    assert_int_equal(local_db_open(file, &db, &error), 0);
    for (int64_t bytes = 0; bytes < 8 << 20; bytes = bytes * 2 + 1000)
        assert_int_equal(local_memory_load(db, bytes, &never, &memory), HERD_EFULL);
    /* Nearly enough: that is found while it is read. */
    for (int64_t bytes = 20 << 20; bytes < 29 << 20; bytes += 2 << 20)
        assert_int_equal(local_memory_load(db, bytes, &never, &memory), HERD_EFULL);
    static const atomic_bool is_over = true;
    assert_int_equal(local_memory_load(db, 8 << 20, &is_over, &memory), HERD_EFULL); /* before it */
    assert_int_equal(local_memory_load(db, 20 << 20, &is_over, &memory), HERD_ECANCELED);
    assert_int_equal(local_memory_load(db, plenty_bytes, &is_over, &memory), HERD_ECANCELED);
    local_db_close(db);
    free(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tree_against_all_places),
        cmocka_unit_test(test_tree_of_one_point),
        cmocka_unit_test(test_answers_as_on_disk),
        cmocka_unit_test_setup_teardown(test_a_small_and_an_empty_file, folder_setup,
                                        folder_teardown),
        cmocka_unit_test(test_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
