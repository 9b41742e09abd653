/* nth.h: the nth of something fails: of allocations, which are wrapped here, or of what a test wraps
 * itself; in whichever thread, and in a process that was forked since. Linked with --wrap of malloc,
 * calloc, realloc, strdup, strndup, asprintf and vasprintf. */
#ifndef TEST_NTH_H
#define TEST_NTH_H

#include <stdbool.h>

/* Kinds of a test's own begin at NTH_KINDS; those of SQLite are wrapped by nth_sqlite.h. */
enum nth_kind {
    NTH_ALLOCATION,
    NTH_SQLITE_ALLOCATION,
    NTH_SQLITE_OPEN,
    NTH_SQLITE_PREPARE,
    NTH_SQLITE_BIND,
    NTH_SQLITE_STEP,
    NTH_SQLITE_TEXT,
    NTH_SQLITE_EXEC,
    NTH_KINDS
};

/* From now on the `nth` of that kind fails (1: the next), once; 0: nothing does. */
void nth_arm(int kind, unsigned nth);
/* One of that kind has come: whether it is to fail. */
bool nth_fails(int kind);
/* Whether one has failed since nth_arm. */
bool nth_has_failed(void);

#endif
