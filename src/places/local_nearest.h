/* local_nearest.h: the nearest places of those that are offered, in order. */
#ifndef PLACES_LOCAL_NEAREST_H
#define PLACES_LOCAL_NEAREST_H

#include <stddef.h>
#include <stdint.h>

#include <herd/geo.h>

#include "places/provider.h"

struct local_found {
    double distance_m;
    int64_t id; /* in the places file; decides between places at one distance */
    struct herd_location location;
};

/* All zero is an empty one. */
struct local_nearest {
    size_t offered; /* how many, also those that are not kept */
    size_t count;
    struct local_found found[PLACES_RESULTS_MAX]; /* nearest first */
};

void local_nearest_offer(struct local_nearest *nearest, struct local_found found);

#endif
