/* pace.h: with durability interval and herd, what was answered is on disk within a second; so a
 * batch begins in time for that, and no IAMAT is taken while the disk is too far behind. */
#ifndef CORE_PACE_H
#define CORE_PACE_H

#include <herd/node.h>

enum {
    PACE_LIMIT_MS = 800, /* what was answered is expected on disk by then: a second, and no luck */
    PACE_BACKLOG_MS = 400,  /* of writing, where that is more than a batch */
    PACE_PERIOD_MS = 250,   /* from one batch to the next, where little has changed */
    PACE_LATE_MS = 500,     /* and where much has, which may change again */
    PACE_MUCH = 16384,      /* records */
    PACE_MANY = 1024,       /* likewise: fewer say nothing of how long one takes */
    PACE_FIRST_MS = 20,     /* what a batch takes, before one has shown it, */
    PACE_FIRST_NS = 1500,   /* and each of its records */
    PACE_PATIENCE_MS = 1000 /* with one batch: then the disk is not behind, but does not answer */
};

struct pace {
    bool is_on;         /* there is a disk, and such a promise */
    bool paused;        /* connections wait: pace_let_go */
    int64_t fresh_ns;   /* the oldest IAMAT answered that no batch has; INT64_MAX: none */
    int64_t batched_ns; /* the oldest that the batch under way has; INT64_MAX: none */
    int64_t planned_ns; /* what the batch under way is expected to take */
    uint64_t told;      /* the sequence of the last IAMAT answered */
    uint64_t read;      /* the journal's cursor */
    /* What batches took lately. */
    int64_t batch_ns, mean_ns; /* without its records: more than the mean, and that */
    int64_t record_ns;
};

void pace_init(struct herd_node *node);
/* An IAMAT was answered, or is once a neighbour holds it. */
void pace_on_answer(const struct herd_conn *conn, struct herd_now now);
/* Whether this line of a connection has to wait; then pace_let_go is called when it has no longer.
 * Both only where it is on. */
bool pace_holds(const struct herd_conn *conn, struct herd_now now, struct herd_slice line);
/* How long after the last batch the next one of the journal begins. */
int64_t pace_period_ns(const struct herd_node *node);
/* A journal batch was made; it, or one of a snapshot, is handed out, perhaps once more; it was
 * written, or not. */
void pace_on_batch(struct herd_node *node);
void pace_on_handed(struct herd_node *node, struct herd_now now);
void pace_on_written(struct herd_node *node, struct herd_now now, int status);
/* Those that wait go on, if they have to wait no longer. */
void pace_let_go(struct herd_node *node, struct herd_now now);
/* When pace_let_go has something to do; INT64_MAX: only after one of the above. */
int64_t pace_wakeup(const struct herd_node *node);

#endif
