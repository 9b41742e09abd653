/* local_render.h: a place as a result in the shape of Google's Nearby Search, indented to its place
 * in an answer. By hand: jansson takes five times as long for it as finding the place does. */
#ifndef PLACES_LOCAL_RENDER_H
#define PLACES_LOCAL_RENDER_H

#include <herd/buf.h>
#include <herd/geo.h>

/* A place's texts as they stand in the result. */
struct local_texts {
    struct herd_slice name; /* each a JSON string with its quotes */
    struct herd_slice place_id;
    struct herd_slice types; /* a JSON array over several lines */
    struct herd_slice vicinity;
};

/* Appends the result. `location` is in whole LOCAL_UNITS_PER_DEGREE, `extent_m` half the side of
 * the square that shows it. 0 or HERD_ENOMEM. */
int local_render(struct herd_buf *out, int32_t lat_units, int32_t lon_units, int64_t extent_m,
                 const struct local_texts *texts);

/* Appends `text` as a JSON string. 0, HERD_ENOMEM, or HERD_ESYNTAX when it is not UTF-8. */
int local_append_string(struct herd_buf *out, const char *text);

/* Appends comma-separated types as a result has them. 0, HERD_ENOMEM, or HERD_ESYNTAX. */
int local_append_types(struct herd_buf *out, const char *types);

#endif
