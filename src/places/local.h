/* local.h: places from a SQLite file on this machine, with an R*Tree; no key, no network. */
#ifndef PLACES_LOCAL_H
#define PLACES_LOCAL_H

#include <herd/buf.h>

#include "places/provider.h"

/* From memory, in the loop; what is too large for that, on disk, in a few threads of its own. */
extern const struct provider_type provider_local;

/*
 * Appends the path of the data set that came with herd: ../share/herd/places.db beside the folder
 * of the running program (the build tree has it there, and so has an installation wherever it was
 * moved to); when it is not there, the path that herd was configured to install it to. 0 or
 * HERD_ENOMEM; whether the file is there is for its opener to find out.
 */
int places_default_file(struct herd_buf *out);

/* The path of `data_file`, "" for the default one, for free(). 0 or HERD_ENOMEM. */
int places_file_path(const char *data_file, char **out);

/* Appends to a sentence that says why that file cannot be opened what is to be done. */
void places_file_advise(int rc, const char *data_file, struct herd_buf *error);

#endif
