/* web_json.h: what came over the network, as JSON that can be walked without a second thought.
 */
#ifndef PLACES_WEB_JSON_H
#define PLACES_WEB_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include <herd/buf.h>

/*
 * The object that `body` is, to be freed with json_decref; or NULL with *why, static: not JSON, not
 * UTF-8, not an object, nested deeper than `depth_max`, a name twice in one object (which
 * of the two counts would be a guess), a NUL within a string, a number out of range, or no memory.
 */
json_t *web_json_read(struct herd_slice body, int64_t depth_max, const char **why);

/* The string of that name in `object` unless it is missing, empty or no string: then NULL.
 * Borrowed. `object` may be NULL or no object. */
json_t *web_json_string(const json_t *object, const char *name);

/* Likewise a number from min to max. */
json_t *web_json_number(const json_t *object, const char *name, double min, double max);

/* Whether `point` has both coordinates, in degrees, under these names. */
bool web_json_is_point(const json_t *point, const char *latitude, const char *longitude);

#endif
