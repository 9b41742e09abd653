/* wait.h: questions that may only be answered from a record the flood still has to bring: WHATSAT …
 * AFTER. */
#ifndef CORE_WAIT_H
#define CORE_WAIT_H

#include "core/conn.h"
#include "core/timers.h"

enum {
    WAIT_BUCKETS = 1024,
    WANT_MS = 50 /* the flood has had its chance; then the neighbours are asked */
};

struct waits {
    struct herd_ask *buckets[WAIT_BUCKETS]; /* by the client's hash */
    struct timers timers;
    size_t count;
};

void waits_close(struct waits *waits);

/* Makes an ask that waits for a record as the command says. 0 or HERD_ENOMEM. */
int wait_begin(struct herd_conn *conn, struct herd_now now, const struct herd_command *command,
               struct herd_slice line);
/* A record has been kept: asks that it will do for go on to their places. */
void waits_on_record(struct herd_node *node, const struct herd_record *record);
/* WANTs and refusals that are due; all refusals when the node stops. */
void waits_tick(struct herd_node *node, struct herd_now now);
void waits_give_up(struct herd_node *node, struct herd_now now);
/* The ask's connection is gone. */
void wait_forget(struct herd_ask *ask);
int64_t waits_wakeup(const struct waits *waits);

#endif
