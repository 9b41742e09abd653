/* lock.h: a folder for one process alone, as long as that lives. */
#ifndef DURABLE_LOCK_H
#define DURABLE_LOCK_H

#include <stdbool.h>

#include <herd/buf.h>

/*
 * Takes folder/lock, which then holds this process' id, with flock(2): it ends with the process,
 * however that ends. 0 and a descriptor for lock_release, or HERD_EBUSY (another process has it),
 * HERD_EFULL (the file is not there and cannot be made, or cannot be written), HERD_EIO or
 * HERD_ENOMEM, with a sentence appended to `error`.
 */
int lock_take(const char *folder, int *out_fd, struct herd_buf *error);

void lock_release(int fd);

/* Whether `path` still names the file of the descriptor: under another one, another process may have
 * the folder as well. */
bool lock_has_name(int fd, const char *path);

/* What to do where this process may open no more files. */
extern const char lock_more_files[];

#endif
