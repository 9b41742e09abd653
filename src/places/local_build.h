/* local_build.h: makes the places file that local_db.h reads. */
#ifndef PLACES_LOCAL_BUILD_H
#define PLACES_LOCAL_BUILD_H

#include <stddef.h>
#include <stdint.h>

#include <herd/buf.h>

/*
 * Makes the places file `path` from `count` tables (local_table.h), one source each. It is there
 * whole or not at all: it is written beside and renamed over the one before, so a server that has
 * that one open goes on reading it. The same tables give the same file.
 *
 * 0 with the number of places, or a negative HERD_E… with a sentence appended to `error`.
 */
int local_build(const char *path, const char *const *tables, size_t count, int64_t *places,
                struct herd_buf *error);

#endif
