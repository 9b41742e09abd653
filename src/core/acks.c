/*
 * ACK: what this server says to a neighbour's MARKs.
 *
 *   FLOOD … MARK            -> ACK, at once: the neighbour has said all, and may wait for it
 *   FLOOD … MARK FLOOD …    -> (it goes on, and will mark that as well) -> MARK -> one ACK for both
 *
 * To ACK each MARK in the midst of a stream takes a write, and wakes the neighbour, to tell what
 * nobody waits for. What comes behind a MARK need not be marked, though (what was wanted, or mends a
 * difference): so an ACK is not put off for long.
 */
#include "core/node.h"

enum {
    ACK_MS = 100,     /* as a MARK after its lines */
    MARKS_PER_ACK = 8 /* and as many lines as these usually have: not the batches of a catch-up */
};

static void send_ack(struct neighbour *neighbour)
{
    struct herd_conn *conn = neighbour->inbound;
    if (conn == NULL || conn->closing)
        return;
    if (herd_append_mark(conn_front(conn), HERD_VERB_ACK, neighbour->mark.epoch,
                         neighbour->to_ack_all, neighbour->to_ack) < 0)
        conn_abort(conn);
    conn_touch(conn);
}

/* Two marks a neighbour: the one that waits for the disk, and the newest; a stream of marks cannot
 * put the first off. */
void acks_send(struct neighbour *neighbour)
{
    const struct herd_node *node = neighbour->link.conn.node;
    bool commit = node->options.durability == HERD_DURABILITY_COMMIT;
    neighbour->marks_unacked = neighbour->lines_unacked = 0;
    for (int round = 0; round < 2; round++) {
        if (neighbour->to_ack == 0) {
            neighbour->to_ack = neighbour->next_ack;
            neighbour->to_ack_all = neighbour->next_ack_all;
            neighbour->to_ack_own = neighbour->next_ack_own;
            neighbour->next_ack = 0;
        }
        if (neighbour->to_ack == 0 || (commit && neighbour->to_ack_own > node->persist.on_disk))
            break;
        send_ack(neighbour);
        neighbour->to_ack = 0;
    }
}

bool acks_are_due(const struct neighbour *neighbour)
{
    unsigned marks = neighbour->marks_unacked;
    bool more_comes = neighbour->behind_mark && marks < MARKS_PER_ACK &&
                      neighbour->lines_unacked <= MARKS_PER_ACK * LINK_LINES_PER_MARK;
    return marks > 0 && !more_comes;
}

int64_t acks_wakeup(const struct neighbour *neighbour)
{
    return neighbour->marks_unacked > 0 ? neighbour->ack_by_ns : INT64_MAX;
}

void acks_on_mark(struct neighbour *neighbour, struct herd_now now)
{
    if (neighbour->marks_unacked++ == 0)
        neighbour->ack_by_ns = now.mono_ns + ACK_MS * HERD_NS_PER_MS;
    neighbour->behind_mark = false;
}

void acks_on_flood(struct neighbour *neighbour)
{
    neighbour->behind_mark = true;
    neighbour->lines_unacked++;
}

void acks_forget(struct neighbour *neighbour)
{
    neighbour->to_ack = neighbour->next_ack = 0;
    neighbour->marks_unacked = neighbour->lines_unacked = 0;
    neighbour->behind_mark = false;
}
