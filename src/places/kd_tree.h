/* kd_tree.h: the nearest of many places on the sphere, in memory. Poles and the antimeridian are
 * places like any other: the tree is over points in space (x, y, z), where the straight line
 * between two of them is the longer the farther apart they are on the sphere. */
#ifndef PLACES_KD_TREE_H
#define PLACES_KD_TREE_H

#include <stddef.h>
#include <stdint.h>

#include <herd/geo.h>

#include "places/provider.h"

struct kd_tree;

struct kd_place {
    struct herd_location location;
    uint32_t id; /* decides between places at one distance: the smaller one is nearer */
};

/*
 * Makes a tree of `count` places, which are put into its order: kd_nearest speaks of them by their
 * position in it. The places themselves are not kept. 0 or HERD_ENOMEM.
 */
int kd_tree_new(struct kd_place *places, size_t count, struct kd_tree **out);
void kd_tree_free(struct kd_tree *tree); /* NULL is allowed */

size_t kd_tree_bytes(const struct kd_tree *tree);

/* The positions of the PLACES_RESULTS_MAX nearest places within radius_m and a millimetre, nearest
 * first; their number. */
size_t kd_nearest(const struct kd_tree *tree, struct herd_location centre, double radius_m,
                  uint32_t positions[PLACES_RESULTS_MAX]);

#endif
