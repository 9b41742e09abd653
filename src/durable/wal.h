/* wal.h: a look at a write-ahead log of SQLite before SQLite reads it: is what it would leave out
 * the torn end that a crash leaves, or does more follow that was whole? */
#ifndef DURABLE_WAL_H
#define DURABLE_WAL_H

#include <stdbool.h>
#include <stdint.h>

struct wal_damage {
    int64_t at_byte; /* of the first frame that is not as it was written */
    int64_t commits; /* whole transactions behind it, which SQLite will not read */
};

/*
 * Reads all of the log. True where a transaction lies behind a frame that is damaged, and another
 * one goes on right behind it: that was begun only after the first had been synced, so no crash
 * leaves such. A log that cannot be read, or is none, has no damage that could be told.
 *
 * Format: https://www.sqlite.org/fileformat2.html#the_write_ahead_log (sections 4.1 to 4.4).
 */
bool wal_is_damaged(const char *path, struct wal_damage *out);

#endif
