/* ledger.h: the file that keeps the calls of the day over restarts; written in libuv's thread pool.
 */
#ifndef PLACES_LEDGER_H
#define PLACES_LEDGER_H

#include <stdbool.h>

#include <herd/buf.h>

#include "places/allowance.h"

struct uv_loop_s;
struct ledger;

/* `record` is on disk, or could not be written (`error`, a text of the system's, else NULL). */
typedef void ledger_written_cb(void *arg, const struct allowance_record *record, const char *error);

/*
 * Opens the ledger FOLDER/places-calls, a line `2026-11-25 62` for each day of the record. `folder`
 * "" is none: what is written is kept nowhere, and said to be written. 0 with what an earlier life
 * left in *record (all zero: nothing), or HERD_ENOMEM, HERD_EIO, HERD_ESYNTAX with a sentence
 * appended to `error`: then nobody can say how many calls were made today.
 */
int ledger_open(struct uv_loop_s *loop, const char *folder, ledger_written_cb *written, void *arg,
                struct ledger **out, struct allowance_record *record, struct herd_buf *error);

/* Writes a record; `written` runs for each, later, in their order, and does not close the ledger.
 * 0; or HERD_ENOMEM, or HERD_EIO where no thread can be had: then `written` does not run. */
int ledger_write(struct ledger *ledger, const struct allowance_record *record);

/* Writes `record` (NULL: nothing) as the last one, without `written`; then frees and calls
 * `closed`, inside this call only where no thread can be had. Then it is not written: on the loop a
 * disk that does not answer would hold up the stop, and what it leaves unwritten is only that calls
 * which were reserved have not been made, so that the day has a block and a half less at most. */
void ledger_close(struct ledger *ledger, const struct allowance_record *record,
                  void (*closed)(void *arg), void *arg);

#endif
