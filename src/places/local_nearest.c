#include "places/local_nearest.h"

#include <stdbool.h>

static bool is_nearer(const struct local_found *a, const struct local_found *b)
{
    if (a->distance_m != b->distance_m)
        return a->distance_m < b->distance_m;
    return a->id < b->id;
}

/* A sorted row rather than a heap: of n places in no order only about 20 ln(n / 20) get past the
 * first comparison, and the row needs no sort at the end. */
void local_nearest_offer(struct local_nearest *nearest, struct local_found found)
{
    nearest->offered++;
    size_t at = nearest->count;
    if (at == PLACES_RESULTS_MAX) {
        if (!is_nearer(&found, &nearest->found[at - 1]))
            return;
        at--;
    } else {
        nearest->count++;
    }
    for (; at > 0 && is_nearer(&found, &nearest->found[at - 1]); at--)
        nearest->found[at] = nearest->found[at - 1];
    nearest->found[at] = found;
}
