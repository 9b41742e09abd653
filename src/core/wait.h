/* wait.h: questions that may only be answered from a record the flood still has to bring: WHATSAT …
 * AFTER. */
#ifndef CORE_WAIT_H
#define CORE_WAIT_H

#include "core/conn.h"
#include "core/timers.h"

enum {
    WAITS_MAX = 32768,     /* one more is refused at once; unless the node's options say else */
    WAITS_PER_TURN = 1024, /* WANTs and refusals; or answers by one record */
    WAIT_BUCKETS = 8192,
    WANT_MS = 50 /* the flood has had its chance; then the neighbours are asked */
};

struct waits {
    struct herd_ask *buckets[WAIT_BUCKETS]; /* of each client the ask for the earliest record */
    struct timers timers;
    size_t count;
    uint64_t seed;  /* of the client's hash */
    uint64_t steps; /* asks looked at so far: the measure of what they cost */
};

void waits_init(struct waits *waits, uint64_t seed);
void waits_close(struct waits *waits);

/* Makes an ask that waits for a record as the command says. 0, HERD_ENOMEM, or HERD_ENOTFOUND where
 * too many wait, or of this connection as many as there is room for. */
int wait_begin(struct herd_conn *conn, struct herd_now now, const struct herd_command *command,
               struct herd_slice line);
/* A record has been kept: asks that it will do for go on to their places; where they are many, the
 * rest of them in the next ticks. */
void waits_on_record(struct herd_node *node, const struct herd_record *record);
/* WANTs and refusals that are due, up to a budget; all refusals when the node stops. */
void waits_tick(struct herd_node *node, struct herd_now now);
void waits_give_up(struct herd_node *node, struct herd_now now);
/* The ask's connection is gone. */
void wait_forget(struct herd_ask *ask);
int64_t waits_wakeup(const struct waits *waits);

#endif
