/* local_file.h: a places file as the provider has it open: connections, and its places in memory
 * once they are read. */
#ifndef PLACES_LOCAL_FILE_H
#define PLACES_LOCAL_FILE_H

#include <stdbool.h>
#include <sys/stat.h>

#include "places/crew.h"
#include "places/local_db.h"
#include "places/local_memory.h"

/* How many questions are asked on disk at once, each in a thread of the crew's. The rest waits. */
enum { LOCAL_CONNECTIONS = 2 };

struct local_file {
    char *path;
    struct stat status; /* of the file when it was opened */
    struct local_db *idle[LOCAL_CONNECTIONS];
    size_t idle_count;
    struct local_memory *memory; /* NULL: not read, or too large */
    int64_t places;
    size_t running; /* calls in threads, each with a connection that is not idle */
    bool is_retired;
    struct crew_job retirement;
};

/* Opens; 0, or a negative HERD_E… with a sentence appended to `error`. */
int local_file_open(const char *path, struct local_file **out, struct herd_buf *error);

/* Reads it into memory. 0, or as local_memory_load: it is then asked on disk. */
int local_file_load(struct local_file *file, int64_t max_bytes, const atomic_bool *is_over);

/* Not while calls run, and not on a loop that runs: to close a file may take as long as it likes,
 * and to give back the memory of millions of places takes longer than a turn may. NULL is allowed.
 */
void local_file_free(struct local_file *file);

/* Nobody asks it any more: it is freed in a thread of the crew's once no call runs. `take_file` may
 * be NULL. */
void local_file_retire(struct local_file *take_file, struct crew *crew);

/* The same, once a call that ran with it has come back, if it is retired by then. */
void local_file_leave(struct local_file *file, struct crew *crew);

/* Whether there is another file at `path` now, or it has changed. A missing one has not. */
bool local_file_has_changed(const struct local_file *file, const char *path);

#endif
