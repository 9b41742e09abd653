/* local_writer.h: writes the places file that local_db.h reads, in memory that does not grow with
 * it: 32 MiB for what is sorted, 8 MiB for pages. */
#ifndef PLACES_LOCAL_WRITER_H
#define PLACES_LOCAL_WRITER_H

#include <stdint.h>

#include <herd/buf.h>

#include "places/local_table.h"

struct local_writer;

/* Begins a file beside `path`. 0, or a negative HERD_E… with a sentence appended to `error`, which
 * the writer goes on to use. */
int local_writer_open(const char *path, struct local_writer **out, struct herd_buf *error);

/* Places of a source are added between these two; what is said of it comes at its end. 0, or as
 * above; HERD_ERANGE: too many sources. */
int local_writer_begin_source(struct local_writer *writer);
int local_writer_add(struct local_writer *writer, const struct local_row *row);
int local_writer_end_source(struct local_writer *writer, const struct local_table_head *head);

/* Places added so far. */
int64_t local_writer_places(const struct local_writer *writer);

/* From time to time while places are written: how many are, and how many there are. 0, or negative
 * to stop. */
typedef int local_writer_progress_cb(void *arg, int64_t places, int64_t places_all);
enum { LOCAL_WRITER_PROGRESS_PLACES = 4096 };

/*
 * Writes the places, brings the file to the disk and renames it over the one at `path`, if there is
 * one: whoever has that one open goes on reading it. Frees the writer. 0, what `on_progress` (may
 * be NULL) returned, or as above.
 */
int local_writer_publish(struct local_writer *take_writer, local_writer_progress_cb *on_progress,
                         void *arg);

/* Removes what was written, and frees the writer. NULL is allowed. */
void local_writer_drop(struct local_writer *take_writer);

#endif
