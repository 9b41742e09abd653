/* start_watch.h: watches a start, which blocks: says which step of it takes long, and ends the
 * process when it is told to stop and the step under way does not come to an end. */
#ifndef SERVER_START_WATCH_H
#define SERVER_START_WATCH_H

#include <stdint.h>

struct log;
struct start_watch;

/*
 * Begins with a thread of its own. A SIGTERM or SIGINT that waits for the loop gives the start
 * stop_after_ms to come to an end by itself; then the process ends, with an error line and exit
 * status 1. 0, HERD_ENOMEM, or HERD_EIO with errno.
 */
int start_watch_new(struct log *log, int64_t stop_after_ms, struct start_watch **out);

/* The step that begins now, a static English text ("reading records.db"), and ends the one before.
 * From any thread. NULL is allowed for the watch. */
void start_watch_step(struct start_watch *watch, const char *step);

/* The start is over: ends the thread, frees. 0, or when it was first told to stop (uv_hrtime). */
int64_t start_watch_end(struct start_watch *watch);

#endif
