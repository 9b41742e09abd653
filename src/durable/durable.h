/* durable.h: what keeps a server's records over a restart: written in batches by a thread of its
 * own, read at the start. */
#ifndef DURABLE_DURABLE_H
#define DURABLE_DURABLE_H

#include <herd/node.h>

struct uv_loop_s;
struct log;
struct metrics;
struct durable;

struct durable_options {
    struct uv_loop_s *loop;
    struct log *log;
    struct metrics *metrics;
    const char *folder; /* the server's own: data_dir/NAME, which is there */
    bool sync; /* a batch is written when it would survive a power loss (fsync), not only a crash of
                  the process */
};

/* What is found at the start. Each call's bytes are valid during it. */
struct durable_found {
    void *arg;
    /* What the opening does next, which may take as long as the disk likes: a static English text.
     * May be NULL. */
    void (*step)(void *arg, const char *step);
    /* First, once: the epoch, and a sequence that no record of earlier lives has reached. Not
     * called for a new folder. */
    int (*state)(void *arg, uint64_t epoch, uint64_t sequence_free);
    /* Then each life of that epoch so far, the oldest first; those that a version wrote that did not
     * keep them are not known. May be NULL. */
    int (*life)(void *arg, const struct herd_life *life);
    /* Every record, by ascending sequence. A negative result ends the reading and is the result of
     * durable_open: HERD_ECANCELED when nothing is wrong with it. */
    int (*record)(void *arg, uint64_t sequence, struct herd_slice text);
    /* What each neighbour had marked. */
    int (*neighbour)(void *arg, struct herd_slice name, const struct herd_mark *mark);
    /* Last, if part of what was written is lost, or nothing can be written now: the epoch that was
     * given must not be gone on with, as sequences may have been used, or be used, that the file
     * does not know. May be NULL. */
    void (*forget_epoch)(void *arg);
};

/*
 * Opens the folder for this process alone and reads what is there; blocks, so only before the loop
 * runs. Where that can be read but nothing can be written (a full disk, a read-only folder), it
 * says so in the log, durable_is_failing is true, and each batch tries again. Where part of what
 * was written is lost, it says so in the log and by the metric disk_damaged. 0, or HERD_EBUSY
 * (another process has it), HERD_EIO, HERD_EPROTO (not a herd's file, a newer version's, or damaged
 * beyond what can be read), each with a sentence appended to `error` that says which file, what is
 * wrong and what to do.
 */
int durable_open(const struct durable_options *options, const struct durable_found *found,
                 struct durable **out, struct herd_buf *error);

/*
 * Writes a batch: all of it or nothing. One at a time; `batch` is borrowed until `done` runs, which
 * is once, later, on the loop, with 0, HERD_EFULL (no space) or HERD_EIO. After a failure the same
 * batch may be written again.
 */
void durable_write(struct durable *durable, const struct herd_batch *batch,
                   void (*done)(void *arg, int status), void *arg);

/* Whether the last batch could not be written; after the opening, whether none can. */
bool durable_is_failing(const struct durable *durable);

/* Whether the journal has grown so long that a snapshot is worth its cost: rows in it against
 * records held. */
bool durable_wants_snapshot(const struct durable *durable, size_t records_held);

/* Ends the thread after the batch under way, closes the files, unlocks the folder; then `closed`
 * runs. */
void durable_close(struct durable *durable, void (*closed)(void *arg), void *arg);

#endif
