/* disk.h: a disk, as SQLite sees it, that fails at the n-th call, and loses power. */
#ifndef TEST_DISK_H
#define TEST_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum disk_failure {
    DISK_WORKS,
    DISK_FAILS_ONCE, /* one call of any kind: an input/output error */
    DISK_IS_FULL,    /* every call that writes, from there on, until disk_mend */
    DISK_DIES        /* from the n-th call that changes something on, nothing works any more */
};

/* Takes the place of SQLite's own; before SQLite is used. */
void disk_install(void);

/* The n-th call from now on (the first is 1) fails in this way. Forgets what was not synced. */
void disk_arm(enum disk_failure failure, uint64_t at);
void disk_mend(void);
/* Whether that call has come. */
bool disk_has_failed(void);

/*
 * What is in `folder` after the power was lost, into `to`: of the writes that were not synced, each
 * one is there or not, at random. All since disk_arm, which has to come before the files are
 * opened.
 */
void disk_lose_power(const char *folder, const char *to, uint64_t seed);

#endif
