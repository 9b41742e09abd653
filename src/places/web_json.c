#include "places/web_json.h"

#include <herd/err.h>

#include "base/json_load.h"

/* jansson's parser recurses up to 2,048 levels, and has no smaller limit for a call. Brackets that
 * do not match are left to it. */
static bool is_too_deep(struct herd_slice body, int64_t depth_max)
{
    int64_t depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < body.len; i++) {
        char byte = body.data[i];
        if (in_string && byte == '\\')
            i++;
        else if (byte == '"')
            in_string = !in_string;
        else if (!in_string && (byte == '[' || byte == '{') && ++depth > depth_max)
            return true;
        else if (!in_string && (byte == ']' || byte == '}') && depth > 0)
            depth--;
    }
    return false;
}

json_t *web_json_read(struct herd_slice body, int64_t depth_max, const char **why)
{
    if (is_too_deep(body, depth_max)) {
        *why = "the answer was nested too deeply";
        return NULL;
    }
    json_error_t error;
    json_t *root;
    int rc = json_load_bytes(body, JSON_REJECT_DUPLICATES, &root, &error);
    if (rc < 0) {
        *why = rc == HERD_ENOMEM ? "out of memory" : "the answer was not JSON";
        return NULL;
    }
    if (json_is_object(root))
        return root;
    json_decref(root);
    *why = "the answer was not of the expected form";
    return NULL;
}

json_t *web_json_string(const json_t *object, const char *name)
{
    json_t *value = json_object_get(object, name);
    return json_string_length(value) > 0 ? value : NULL;
}

json_t *web_json_number(const json_t *object, const char *name, double min, double max)
{
    json_t *value = json_object_get(object, name);
    double number = json_number_value(value);
    return json_is_number(value) && number >= min && number <= max ? value : NULL;
}

bool web_json_is_point(const json_t *point, const char *latitude, const char *longitude)
{
    return web_json_number(point, latitude, -90, 90) != NULL &&
           web_json_number(point, longitude, -180, 180) != NULL;
}
