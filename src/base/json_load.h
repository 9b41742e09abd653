/* json_load.h: JSON out of bytes, whole or not at all. jansson goes on where it has no memory for a
 * byte of a text, and leaves it out: so its allocations are watched. */
#ifndef BASE_JSON_LOAD_H
#define BASE_JSON_LOAD_H

#include <jansson.h>

#include <herd/buf.h>

/* Once, before there are threads: from now on jansson's allocations are. */
void json_load_watch(void);

/* 0 with *out, to be freed with json_decref; HERD_ENOMEM; or HERD_ESYNTAX with *error, as json_loadb
 * has it. */
int json_load_bytes(struct herd_slice bytes, size_t flags, json_t **out, json_error_t *error);

#endif
