/* pace.h: with durability interval and herd, what was answered is on disk within a second; so no
 * IAMAT is taken while the disk is too far behind for that. */
#ifndef CORE_PACE_H
#define CORE_PACE_H

#include <herd/node.h>

enum {
    PACE_AGE_MS = 300,        /* what was answered is in a batch after that; usually PERSIST_MS */
    PACE_BACKLOG_MS = 400,    /* of writing, as long as the last batches took */
    PACE_UNKNOWN_BATCHES = 4, /* likewise, before any has shown how long it takes */
    PACE_PATIENCE_MS = 1000   /* with one batch: then the disk is not behind, but does not answer */
};

struct pace {
    bool is_on;            /* there is a disk, and such a promise */
    bool paused;           /* connections wait: pace_let_go */
    int64_t fresh_ns;      /* the oldest IAMAT answered that no batch has; INT64_MAX: none */
    int64_t batched_ns;    /* the oldest that the batch under way has; INT64_MAX: none */
    int64_t handed_ns;     /* the batch under way was handed out */
    int64_t cut_ns;        /* likewise, of the last one where that was cut short; INT64_MIN: not */
    uint64_t told;         /* the sequence of the last IAMAT answered */
    uint64_t read;         /* the journal's cursor */
    uint64_t backlog_max;  /* sequences from there that the disk takes in PACE_BACKLOG_MS */
    int64_t ns_per_record; /* 0: not known yet */
};

void pace_init(struct herd_node *node);
/* An IAMAT was answered, or is once a neighbour holds it. */
void pace_on_answer(const struct herd_conn *conn, struct herd_now now);
/* Whether this line of a connection has to wait; then pace_let_go is called when it has no longer.
 * Both only where it is on. */
bool pace_holds(const struct herd_conn *conn, struct herd_now now, struct herd_slice line);
/* A batch of so many records was made; it is handed out, perhaps once more; it was written, or
 * not. */
void pace_on_batch(struct herd_node *node, struct herd_now now, size_t records);
void pace_on_handed(struct herd_node *node, struct herd_now now);
void pace_on_written(struct herd_node *node, struct herd_now now, int status);
/* Those that wait go on, if they have to wait no longer. */
void pace_let_go(struct herd_node *node, struct herd_now now);
/* When pace_let_go has something to do; INT64_MAX: only after one of the above. */
int64_t pace_wakeup(const struct herd_node *node);

#endif
