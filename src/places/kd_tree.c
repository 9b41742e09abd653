/*
 * The points lie in an array; a node is a range of it, split at its middle by the coordinate in
 * which it is widest: what is less is in front of the middle, the rest behind. Ranges of few points
 * are searched one by one. Nodes are numbered as in a heap, so that they need no pointers.
 *
 * The search goes down to where the centre is, and on its way back only into halves that can be
 * nearer than the farthest of those that it has (Arya, Mount: Algorithms for Fast Vector
 * Quantization, 1993, for the distance to a half that is kept up while going down).
 */
#include "places/kd_tree.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <herd/err.h>

enum { LEAF_POINTS = 12, DIMENSIONS = 3 };

static const double radians = 3.14159265358979323846 / 180;
static const double margin_m = 0.001; /* far above the rounding of doubles on the unit sphere */

struct point {
    double at[DIMENSIONS]; /* on the unit sphere */
    uint32_t id;
    uint32_t place; /* while it is built: where it was in the caller's array */
};

struct node {
    double split;
    int dimension;
};

struct kd_tree {
    size_t count, node_count;
    struct point *points;
    struct node *nodes;
};

struct candidate {
    double distance; /* squared, along the straight line */
    uint32_t id, position;
};

struct search {
    const struct kd_tree *tree;
    double centre[DIMENSIONS];
    double beyond[DIMENSIONS]; /* squared, from the centre to the half that is searched */
    double limit;              /* what is farther is not looked at */
    size_t count;
    struct candidate found[PLACES_RESULTS_MAX]; /* nearest first */
};

static void to_space(struct herd_location location, double out[DIMENSIONS])
{
    double across = cos(location.latitude * radians);
    out[0] = across * cos(location.longitude * radians);
    out[1] = across * sin(location.longitude * radians);
    out[2] = sin(location.latitude * radians);
}

/* ---- Building ------------------------------------------------------------------------------- */

static int widest_dimension(const struct point *points, size_t count)
{
    double widest = -1;
    int dimension = 0;
    for (int i = 0; i < DIMENSIONS; i++) {
        double min = points[0].at[i], max = min;
        for (size_t j = 1; j < count; j++) {
            min = fmin(min, points[j].at[i]);
            max = fmax(max, points[j].at[i]);
        }
        if (max - min > widest) {
            widest = max - min;
            dimension = i;
        }
    }
    return dimension;
}

static void swap(struct point *a, struct point *b)
{
    struct point kept = *a;
    *a = *b;
    *b = kept;
}

/* Brings to the front what is less than the middle's coordinate, and there is no order beyond that
 * (Hoare's FIND, with the middle one of three as its pivot). */
static void select_middle(struct point *points, size_t count, int dimension)
{
    size_t begin = 0, end = count - 1, middle = count / 2;
    while (begin < end) {
        double a = points[begin].at[dimension], b = points[end].at[dimension];
        double c = points[begin + (end - begin) / 2].at[dimension];
        double pivot = fmax(fmin(a, b), fmin(fmax(a, b), c));
        size_t i = begin, j = end;
        for (;;) {
            while (points[i].at[dimension] < pivot)
                i++;
            while (points[j].at[dimension] > pivot)
                j--;
            if (i >= j)
                break;
            swap(&points[i++], &points[j--]);
        }
        if (middle <= j)
            end = j;
        else
            begin = j + 1;
    }
}

static void build(struct kd_tree *tree, size_t node, size_t begin, size_t count)
{
    if (count <= LEAF_POINTS)
        return;
    struct point *points = tree->points + begin;
    int dimension = widest_dimension(points, count);
    select_middle(points, count, dimension);
    size_t front = count / 2;
    tree->nodes[node] = (struct node){points[front].at[dimension], dimension};
    build(tree, 2 * node + 1, begin, front);
    build(tree, 2 * node + 2, begin + front, count - front);
}

/* Halving makes all leaves of one depth, or two. */
static size_t nodes_for(size_t count)
{
    size_t nodes = 1;
    for (; count > LEAF_POINTS; count = count - count / 2)
        nodes = 2 * nodes + 1;
    return nodes;
}

static void fill_points(struct kd_tree *tree, const struct kd_place *places)
{
    for (size_t i = 0; i < tree->count; i++) {
        to_space(places[i].location, tree->points[i].at);
        tree->points[i].id = places[i].id;
        tree->points[i].place = (uint32_t)i;
    }
}

static int reorder(const struct kd_tree *tree, struct kd_place *places)
{
    struct kd_place *copy = malloc((tree->count + 1) * sizeof *copy);
    if (copy == NULL)
        return HERD_ENOMEM;
    memcpy(copy, places, tree->count * sizeof *copy);
    for (size_t i = 0; i < tree->count; i++)
        places[i] = copy[tree->points[i].place];
    free(copy);
    return 0;
}

int kd_tree_new(struct kd_place *places, size_t count, struct kd_tree **out)
{
    struct kd_tree *tree = calloc(1, sizeof *tree);
    if (tree == NULL)
        return HERD_ENOMEM;
    tree->count = count;
    tree->node_count = nodes_for(count);
    tree->points = malloc((count + 1) * sizeof *tree->points);
    tree->nodes = malloc(tree->node_count * sizeof *tree->nodes);
    int rc = tree->points != NULL && tree->nodes != NULL ? 0 : HERD_ENOMEM;
    if (rc == 0) {
        fill_points(tree, places);
        build(tree, 0, 0, count);
        rc = reorder(tree, places);
    }
    if (rc < 0) {
        kd_tree_free(tree);
        return rc;
    }
    *out = tree;
    return 0;
}

void kd_tree_free(struct kd_tree *tree)
{
    if (tree == NULL)
        return;
    free(tree->points);
    free(tree->nodes);
    free(tree);
}

size_t kd_tree_bytes(const struct kd_tree *tree)
{
    return sizeof *tree + tree->count * sizeof *tree->points +
           tree->node_count * sizeof *tree->nodes;
}

/* ---- Searching ------------------------------------------------------------------------------ */

static bool is_nearer(const struct candidate *a, const struct candidate *b)
{
    if (a->distance != b->distance)
        return a->distance < b->distance;
    return a->id < b->id;
}

static void offer(struct search *search, struct candidate candidate)
{
    size_t at = search->count;
    if (at == PLACES_RESULTS_MAX) {
        if (!is_nearer(&candidate, &search->found[at - 1]))
            return;
        at--;
    } else {
        search->count++;
    }
    for (; at > 0 && is_nearer(&candidate, &search->found[at - 1]); at--)
        search->found[at] = search->found[at - 1];
    search->found[at] = candidate;
    if (search->count == PLACES_RESULTS_MAX)
        search->limit = search->found[PLACES_RESULTS_MAX - 1].distance;
}

static void search_leaf(struct search *search, size_t begin, size_t count)
{
    const struct point *points = search->tree->points;
    for (size_t i = begin; i < begin + count; i++) {
        double distance = 0;
        for (int j = 0; j < DIMENSIONS; j++) {
            double side = points[i].at[j] - search->centre[j];
            distance += side * side;
        }
        if (distance <= search->limit)
            offer(search, (struct candidate){distance, points[i].id, (uint32_t)i});
    }
}

/* `beyond` is the squared distance from the centre to the node's half of space. */
static void search_node(struct search *search, size_t node, size_t begin, size_t count,
                        double beyond)
{
    if (count <= LEAF_POINTS) {
        search_leaf(search, begin, count);
        return;
    }
    const struct node *split = &search->tree->nodes[node];
    double side = search->centre[split->dimension] - split->split;
    size_t front = count / 2;
    bool is_in_front = side < 0;
    double before = search->beyond[split->dimension];
    double other = beyond - before + side * side;
    if (is_in_front)
        search_node(search, 2 * node + 1, begin, front, beyond);
    else
        search_node(search, 2 * node + 2, begin + front, count - front, beyond);
    if (other > search->limit)
        return;
    search->beyond[split->dimension] = side * side;
    if (is_in_front)
        search_node(search, 2 * node + 2, begin + front, count - front, other);
    else
        search_node(search, 2 * node + 1, begin, front, other);
    search->beyond[split->dimension] = before;
}

size_t kd_nearest(const struct kd_tree *tree, struct herd_location centre, double radius_m,
                  uint32_t positions[PLACES_RESULTS_MAX])
{
    struct search search = {.tree = tree};
    double half_angle = fmin((radius_m + margin_m) / (2 * HERD_EARTH_RADIUS_M), 90 * radians);
    double chord = 2 * sin(half_angle);
    search.limit = chord * chord;
    to_space(centre, search.centre);
    search_node(&search, 0, 0, tree->count, 0);
    for (size_t i = 0; i < search.count; i++)
        positions[i] = search.found[i].position;
    return search.count;
}
