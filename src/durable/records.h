/* records.h: the file folder/records.db without a thread: read at the start, written in batches,
 * tidied in steps of bounded length. */
#ifndef DURABLE_RECORDS_H
#define DURABLE_RECORDS_H

#include "durable/durable.h"

struct records;

/* As durable_open; 0 with a sentence in `error` where nothing can be written. Free with
 * records_close. */
int records_open(const char *folder, bool sync, const struct durable_found *found,
                 struct records **out, struct herd_buf *error);

/* Writes a batch, all of it or nothing. 0, HERD_EFULL or HERD_EIO; records_reason says more, and
 * the same batch may be written again. */
int records_write(struct records *records, const struct herd_batch *batch);

/*
 * Does one step of what keeps the file small and its log short: a checkpoint, or one of the tables
 * of an older generation, or some pages given back. 1: there is more to do. 0: there is not.
 * Negative: it failed; records_reason says why.
 */
int records_tidy(struct records *records);

/* Whether it can be written as far as is known; records_write finds out. */
bool records_is_ready(const struct records *records);
/* What of that which had been written was lost before the opening, and how; empty: nothing. */
const char *records_lost(const struct records *records);
/* Whether that may as well not be lost: who could tell is damaged. */
bool records_is_in_doubt(const struct records *records);

/* Why the last call failed: English, without a full stop. */
const char *records_reason(const struct records *records);
const char *records_path(const struct records *records);

/* Rows that the next start would read beside those of the snapshot. */
int64_t records_journal_rows(const struct records *records);
/* Whether a snapshot has begun, in this life, and not ended. */
bool records_is_snapshotting(const struct records *records);

/* Closes the file, with a last checkpoint, and unlocks the folder. NULL is allowed. */
void records_close(struct records *records);

#endif
