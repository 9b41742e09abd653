/* A neighbour that has dialled this server and fallen silent is asked, then given up. The other
 * direction: link.c. */
#include "core/node.h"

void heartbeat_tick(struct neighbour *neighbour, struct herd_now now)
{
    struct herd_conn *conn = neighbour->inbound;
    if (conn == NULL || conn->closing)
        return;
    if (neighbour->inbound_pinged_ns != INT64_MAX) {
        if (neighbour->inbound_heard_ns > neighbour->inbound_pinged_ns)
            neighbour->inbound_pinged_ns = INT64_MAX;
        else if (now.mono_ns - neighbour->inbound_pinged_ns >= DEAD_MS * HERD_NS_PER_MS)
            conn_abort(conn);
        return;
    }
    if (now.mono_ns - neighbour->inbound_heard_ns < HEARTBEAT_MS * HERD_NS_PER_MS)
        return;
    neighbour->inbound_pinged_ns = now.mono_ns;
    if (herd_buf_append_text(conn_front(conn), "PING\n") < 0)
        conn_abort(conn);
    conn_touch(conn);
}

int64_t heartbeat_wakeup(const struct neighbour *neighbour)
{
    if (neighbour->inbound == NULL || neighbour->inbound->closing)
        return INT64_MAX;
    if (neighbour->inbound_pinged_ns != INT64_MAX)
        return neighbour->inbound_pinged_ns + DEAD_MS * HERD_NS_PER_MS;
    return neighbour->inbound_heard_ns + HEARTBEAT_MS * HERD_NS_PER_MS;
}
