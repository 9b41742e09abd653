/* crew.h: threads of its owner's own, for work on a disk that may not answer. libuv's four are
 * there for the whole process: names and the calls of the day are not to wait for a places file. */
#ifndef PLACES_CREW_H
#define PLACES_CREW_H

#include <stdbool.h>
#include <sys/queue.h>

struct uv_loop_s;
struct crew;

/* A thread begins when all others are at work; none ends before the crew does. A job more waits. */
enum { CREW_THREADS_MAX = 16 };

/* The owner's storage, which is the crew's from crew_run until `done` runs. */
struct crew_job {
    TAILQ_ENTRY(crew_job) link;
    void (*work)(struct crew_job *job); /* in a thread */
    void (*done)(struct crew_job *job); /* on the loop, later, once */
    bool is_cancelled;                  /* when `done` runs: `work` did not */
    bool is_waiting;
};

/* With its first thread. 0, HERD_ENOMEM, or HERD_EIO with errno. Without jobs it keeps no loop
 * running. */
int crew_new(struct uv_loop_s *loop, struct crew **out);

/* `work` and `done` are the caller's to set. Jobs begin in the order in which they came. */
void crew_run(struct crew *crew, struct crew_job *job);

/* True: it had not begun, and does not. False: it is at work, or was. */
bool crew_cancel(struct crew *crew, struct crew_job *job);

/* Ends the threads once the last job is done, frees; then `closed` runs. No job may be given any
 * more. */
void crew_close(struct crew *crew, void (*closed)(void *arg), void *arg);

#endif
