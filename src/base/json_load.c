#include "base/json_load.h"

#include <stdbool.h>
#include <stdlib.h>

#include <herd/err.h>

/* jansson's allocations have no place to hand state through. */
static _Thread_local bool lacked_memory;

static void *allocate(size_t size)
{
    void *memory = malloc(size);
    lacked_memory = lacked_memory || memory == NULL;
    return memory;
}

void json_load_watch(void)
{
    json_set_alloc_funcs(allocate, free);
}

int json_load_bytes(struct herd_slice bytes, size_t flags, json_t **out, json_error_t *error)
{
    lacked_memory = false;
    *out = json_loadb(bytes.len > 0 ? bytes.data : "", bytes.len, flags, error);
    if (*out != NULL && !lacked_memory)
        return 0;
    json_decref(*out);
    *out = NULL;
    return lacked_memory ? HERD_ENOMEM : HERD_ESYNTAX;
}
