/* nth_sqlite.h: the nth allocation of SQLite's fails, and the nth of its calls that can (nth.h).
 * Linked with --wrap of these. */
#ifndef TEST_NTH_SQLITE_H
#define TEST_NTH_SQLITE_H

/* Once, before SQLite is used. */
void nth_sqlite_begin(void);

#endif
