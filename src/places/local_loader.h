/* local_loader.h: watches a places file, and opens and reads it in a thread when it has changed. */
#ifndef PLACES_LOCAL_LOADER_H
#define PLACES_LOCAL_LOADER_H

#include "places/local_file.h"

struct crew;
struct uv_loop_s;
struct local_loader;

enum { LOCAL_WATCH_MS = 1000 };

/* A file was opened: `take_file`; or it cannot be: NULL, with the sentence `error`. */
typedef void local_loaded_cb(void *arg, struct local_file *take_file, const char *error);

/* For the file that `data_file` names (places_file_path, which is asked in a thread: it looks at a
 * disk). `file` is how it was opened before, or NULL: the first look opens it in any case. 0 or
 * HERD_ENOMEM. */
int local_loader_new(const char *data_file, int64_t max_bytes, const struct local_file *file,
                     local_loaded_cb *loaded, void *arg, struct local_loader **out);
/* One that was never started. NULL is allowed. */
void local_loader_free(struct local_loader *loader);

/* Begins to watch, with one thread of the crew. An idle loader keeps no loop running. */
void local_loader_start(struct local_loader *loader, struct uv_loop_s *loop, struct crew *crew);

/* From the first call on, the file is read into memory too: a server that is never asked for places
 * needs no time and no memory for them. */
void local_loader_want(struct local_loader *loader);

/* Looks now whether the file has changed; with another limit than before it is read in any case. */
void local_loader_look(struct local_loader *loader, int64_t max_bytes);

/* Ends it; `closed` runs later, once. `loaded` does not run any more. The crew, which frees what was
 * opened in vain, is closed after that. */
void local_loader_close(struct local_loader *loader, void (*closed)(void *arg), void *arg);

#endif
