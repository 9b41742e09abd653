#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <herd/err.h>

#include "herd_bench_places.h"
#include "places/local_db.h"
#include "places/local_memory.h"
#include "places/provider.h"

struct bench_places {
    const char *path;
    struct local_memory *memory;
    struct answer_spares *spares;
    struct herd_buf right; /* the last answer that was made */
};

static int read_file(struct bench_places *places, struct herd_buf *error)
{
    struct local_db *db;
    atomic_bool is_over = false;
    int rc = local_db_open(places->path, &db, error);
    if (rc < 0)
        return rc;
    rc = local_memory_load(db, INT64_MAX, &is_over, &places->memory);
    if (rc < 0)
        herd_buf_printf(error, "%s cannot be read: %s", places->path,
                        rc == HERD_EIO ? local_db_reason(db) : herd_strerror(rc));
    local_db_close(db);
    return rc;
}

int bench_places_open(const char *path, struct bench_places **out)
{
    struct herd_buf error = {0};
    struct bench_places *places = calloc(1, sizeof(*places));
    int rc = HERD_ENOMEM;
    if (places != NULL) {
        places->path = path;
        places->spares = answer_spares_new();
        rc = places->spares != NULL ? read_file(places, &error) : HERD_ENOMEM;
    }
    if (rc < 0) {
        struct herd_slice why =
            error.len > 0 ? herd_buf_slice(&error) : herd_slice_of(herd_strerror(rc));
        fprintf(stderr, "herd-bench: --places: %.*s\n", (int)why.len, why.data);
        bench_places_close(places);
        places = NULL;
    }
    herd_buf_free(&error);
    *out = places;
    return rc;
}

void bench_places_close(struct bench_places *places)
{
    if (places == NULL)
        return;
    local_memory_free(places->memory);
    answer_spares_close(places->spares);
    herd_buf_free(&places->right);
    free(places);
}

bool bench_places_right(struct bench_places *places, struct herd_location centre, double radius_m,
                        size_t count, struct herd_slice text)
{
    const struct places_query query = {
        .latitude = centre.latitude, .longitude = centre.longitude, .radius_m = radius_m};
    struct places_answer *answer = count > 0
                                       ? local_memory_answer(places->memory, &query, places->spares)
                                       : places_answer_none(true);
    bool is_made = places_answer_status(answer) != PLACES_UNKNOWN_ERROR;
    size_t found = places_answer_count(answer);
    places->right.len = 0;
    is_made = places_answer_render(answer, count, &places->right) == 0 && is_made;
    places_answer_unref(answer);
    if (!is_made)
        fprintf(stderr, "herd-bench: %s\n", herd_strerror(HERD_ENOMEM));
    else if (!herd_slice_equal(herd_buf_slice(&places->right), text))
        fprintf(stderr, "herd-bench: not the %zu places that %s has there\n",
                found < count ? found : count, places->path);
    else
        return true;
    return false;
}
