/* row_sorter.h: puts records into the order of their keys, in memory that does not grow with their
 * number: what is too much is sorted by parts in a file, and merged. */
#ifndef PLACES_ROW_SORTER_H
#define PLACES_ROW_SORTER_H

#include <stddef.h>
#include <stdint.h>

#include <herd/buf.h>

struct row_sorter;

/*
 * The sorter takes `memory_max_bytes` (at least 1024), but a buffer of 4 KiB or of the largest
 * record at the least for each half of that in records. Its file is made beside `path`, when it is
 * needed, and has no name: it is gone with the process. 0 or HERD_ENOMEM.
 */
int row_sorter_new(const char *path, size_t memory_max_bytes, struct row_sorter **out);
void row_sorter_free(struct row_sorter *sorter); /* NULL is allowed */

/* Copies a record, of less than 1 GiB. Not after row_sorter_next. 0, HERD_ENOMEM, HERD_ETOOLONG, or
 * HERD_EIO with errno. */
int row_sorter_add(struct row_sorter *sorter, uint64_t key, struct herd_slice record);

/* The next record: least key first, of one key in the order they were added. 1 with *out, the
 * sorter's until the next call; 0 at the end; HERD_ENOMEM, or HERD_EIO with errno. */
int row_sorter_next(struct row_sorter *sorter, struct herd_slice *out);

#endif
