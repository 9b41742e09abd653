#include "places/local_answer.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <herd/err.h>
#include <herd/geo.h>

#include "places/local_area.h"
#include "places/local_render.h"

struct composer {
    struct local_db *db;
    struct places_answer *answer;
    struct herd_buf texts, result; /* of the one that is being rendered */
    bool contributed[LOCAL_SOURCES_MAX];
};

/* Renders the place's texts into composer->texts, and says where each is. */
static int make_texts(struct composer *composer, const struct local_place *place,
                      struct local_texts *out)
{
    struct herd_buf *texts = &composer->texts;
    size_t ends[4];
    texts->len = 0;
    int rc = local_append_string(texts, place->name);
    ends[0] = texts->len;
    if (rc == 0)
        rc = local_append_string(texts, place->place_id);
    ends[1] = texts->len;
    if (rc == 0)
        rc = local_append_types(texts, place->types);
    ends[2] = texts->len;
    if (rc == 0)
        rc = local_append_string(texts, place->vicinity);
    ends[3] = texts->len;
    if (rc < 0)
        return rc;
    *out = (struct local_texts){
        .name = herd_slice(texts->data, ends[0]),
        .place_id = herd_slice(texts->data + ends[0], ends[1] - ends[0]),
        .types = herd_slice(texts->data + ends[1], ends[2] - ends[1]),
        .vicinity = herd_slice(texts->data + ends[2], ends[3] - ends[2]),
    };
    return 0;
}

static int render(struct composer *composer, const struct local_place *place)
{
    struct local_texts texts;
    composer->result.len = 0;
    int rc = make_texts(composer, place, &texts);
    if (rc < 0)
        return rc;
    return local_render(&composer->result, local_units(place->location.latitude),
                        local_units(place->location.longitude), place->extent_m, &texts);
}

static int on_place(void *arg, const struct local_place *place)
{
    struct composer *composer = arg;
    composer->contributed[place->source] = true;
    int rc = render(composer, place);
    if (rc < 0)
        return rc;
    return places_answer_add_rendered(composer->answer, herd_buf_slice(&composer->result));
}

static void credit_sources(struct composer *composer)
{
    const struct local_source *source;
    for (size_t i = 0; (source = local_db_source(composer->db, i)) != NULL; i++) {
        if (composer->contributed[i])
            places_answer_add_attribution(composer->answer, source->attribution);
    }
}

static struct places_answer *failure(const char *reason)
{
    struct places_answer *answer = places_answer_new(PLACES_UNKNOWN_ERROR);
    char message[256];
    snprintf(message, sizeof message, "the places file cannot be read: %s", reason);
    places_answer_set_error(answer, message);
    return answer;
}

bool local_is_on_earth(const struct places_query *query)
{
    return fabs(query->latitude) <= 90 && fabs(query->longitude) <= 180 && query->radius_m >= 0 &&
           isfinite(query->radius_m);
}

struct places_answer *local_answer_off_earth(void)
{
    return places_answer_error(PLACES_ERROR_OFF_EARTH);
}

struct places_answer *local_answer(struct local_db *db, const struct places_query *query)
{
    if (!local_is_on_earth(query))
        return local_answer_off_earth();
    struct composer composer = {.db = db, .answer = places_answer_new(PLACES_OK)};
    int rc = local_db_near(db, query, on_place, &composer, NULL);
    herd_buf_free(&composer.texts);
    herd_buf_free(&composer.result);
    if (rc == 0 && places_answer_count(composer.answer) > 0) {
        credit_sources(&composer);
        return composer.answer;
    }
    places_answer_unref(composer.answer);
    if (rc == 0)
        return places_answer_none(false);
    return failure(rc == HERD_EIO ? local_db_reason(db) : herd_strerror(rc));
}
