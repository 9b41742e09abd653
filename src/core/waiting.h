/* waiting.h: which clients' records answers wait for (ASK_SAFETY), so that a record that ends before
 * it is safe refuses the answers that wait for it, and no others. Its lines count as bytes that wait
 * for their connection, whose output_max bounds them: above it, the client is not read from. */
#ifndef CORE_WAITING_H
#define CORE_WAITING_H

#include "core/conn.h"

enum {
    WAITING_BUCKETS = 8192,
    WAITING_LINES_FREE_MAX = 16384 /* kept for the next ones: 640 KiB */
};

/* One IAMAT of an ask; node_count_held counts its bytes. */
struct waiting_line {
    struct waiting_line *next, **at;  /* in its bucket, and what points at it there */
    struct waiting_line *next_of_ask; /* also among the free ones */
    struct herd_ask *ask;
    uint64_t hash; /* of the client */
};

struct waiting {
    struct waiting_line **buckets; /* NULL: records do not end, or no answer waits for them */
    struct waiting_line *free;
    unsigned free_count, idle_count; /* … since waiting_give_back, as in struct spares */
    size_t freed_bytes;
};

/* Where records end and answers wait. 0 or HERD_ENOMEM. */
int waiting_init(struct herd_node *node);
void waiting_close(struct waiting *waiting);
/* As spares_give_back. */
size_t waiting_give_back(struct waiting *waiting);

/* An ask waits for what is held of a client, and is to be counted anew. 0 or HERD_ENOMEM. */
int waiting_enter(struct herd_ask *ask, struct herd_slice client);
/* It waits no more; as well. */
void waiting_leave(struct herd_ask *ask);

/* What is held of a client, with this sequence of ours, has ended and goes; arg: the node. If it is
 * not safe, it is on no link and in no batch any more, and no ACK and no sync will say anything of
 * it, nor of what it has replaced. That this clock is wrong may be why. */
void waiting_on_ended(void *arg, struct herd_slice client, uint64_t sequence);

#endif
