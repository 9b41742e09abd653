/* local_vfs.h: how SQLite reads a places file: by calls that hold no lock of the process. */
#ifndef PLACES_LOCAL_VFS_H
#define PLACES_LOCAL_VFS_H

/*
 * The name of the VFS, for sqlite3_open_v2 with SQLITE_OPEN_READONLY; registered with SQLite, from
 * any thread, when it is not yet. NULL when SQLite cannot be initialized.
 *
 * SQLite's own for this system holds one mutex of the whole process while it opens, looks at and
 * closes files, and its connections to other files, such as the records', need it too. This one has
 * none, so that a places file's disk that does not answer holds up whoever uses that file, and
 * nobody else. It reads only, and with it a file is locked as with SQLite's own, so that one that
 * is written in place is not read meanwhile; a file in WAL mode cannot be read.
 */
const char *local_vfs(void);

#endif
