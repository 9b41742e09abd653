/* witness.h: a small file beside records.db that knows how far that had been written. The next
 * start finds out by it when the database or its log has less: a log that was lost, cut short or
 * exchanged looks like one that was never longer. */
#ifndef DURABLE_WITNESS_H
#define DURABLE_WITNESS_H

#include <stdint.h>

/* The number of a witness that is damaged. */
#define WITNESS_DAMAGED INT64_C(-1)

/*
 * Opens <records_path>-witness, made if there is none, and reads the number in it: the state's
 * sequence_free at the last commit that was on disk for certain. *out_number is 0 where there is
 * none, or nothing in it, as a power loss may leave it; and WITNESS_DAMAGED where what is in it was
 * never written, or cannot be read. Gives a descriptor for the others, or -1 where it cannot be
 * written: then nothing is witnessed, and nothing else is wrong.
 */
int witness_open(const char *records_path, int64_t *out_number);

/* The number may only ever tell what is on disk already. Not synced: that it outlives the
 * process is enough, and after a power loss it may be an older one, which proves less but
 * nothing wrong. */
void witness_write(int fd, int64_t number);
void witness_sync(int fd);
void witness_close(int fd);

#endif
