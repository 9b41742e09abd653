/* memory.h: memory that a crowd has taken goes back to the system once the crowd is gone. */
#ifndef SERVER_MEMORY_H
#define SERVER_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uv.h>

struct server;

enum {
    MEMORY_MS = 1000,              /* between two looks for what is not needed */
    MEMORY_TRIM_BYTES = 64 * 1024, /* freed: less is left to malloc */
    MEMORY_TRIM_SHARE = 100 /* trims have at most one in so many parts of a processor's time */
};

struct memory {
    uv_timer_t timer;
    uv_work_t trim;
    bool trimming;
    size_t freed_bytes; /* since the last trim */
    size_t trim_bytes;  /* what that one is for */
    int64_t took_ns;    /* of a processor's time; the thread's, while it trims */
    int64_t trim_at_ns; /* uv_hrtime, not before */
};

/* Begins, with the loop; closes its handle. */
void memory_begin(struct server *server);
void memory_close(struct memory *memory);

#endif
