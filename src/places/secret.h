/* secret.h: memory for the API key, and for all that copies it: left out of core dumps, and wiped
 * when it is given back. May be used from any thread. */
#ifndef PLACES_SECRET_H
#define PLACES_SECRET_H

#include <stddef.h>

/*
 * As malloc, calloc, realloc, free and strdup, in pages of their own that have MADV_DONTDUMP:
 * neither the kernel nor gcore writes them into a core file. They are not swapped out, as far as
 * RLIMIT_MEMLOCK allows: above it they may be. What is freed is overwritten. Pages
 * are kept for the next ones, so the memory is bounded by the most that was in use at once.
 */
void *secret_malloc(size_t size);
void *secret_calloc(size_t count, size_t size);
void *secret_realloc(void *block, size_t size);
void secret_free(void *block); /* NULL is allowed */
char *secret_strdup(const char *text);

/* Overwrites what functions that have returned left on the stack and in vector registers, which
 * strlen and memcpy hold text in: a core image has both. To be called after them. */
void secret_burn(void);

/*
 * Overwrites all of it, also what is in use, for a process that ends at once (_exit) with threads
 * that cannot be waited for. One of them that crashes over that waits for ever instead, unless it
 * blocks the signals of a crash (base/thread.h); so does who asks for such memory.
 */
void secret_wipe_all(void);

/* Bytes in pages that were asked of the system. */
size_t secret_bytes(void);

#endif
