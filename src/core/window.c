/*
 * What is on its way to a neighbour: all that it has not read, wherever that waits: here, or in the
 * kernel's buffers at either end, which together take megabytes. What has been written tells nothing
 * of that, so it is asked:
 *
 *   FLOOD … (56 KiB) PING FLOOD … (56 KiB) PING FLOOD …   -> no more than 256 KiB
 *                                                  PONG   <- all before the first PING has been read:
 *   FLOOD … (56 KiB) PING                                 -> so much more
 *
 * ACK would tell the same where no disk was waited for, and nothing where clocks differ (ended.c). A
 * plain neighbour answers nothing: to it less may wait here, and the driver bounds what its kernel
 * takes.
 */
#include <assert.h>
#include <string.h>

#include <herd/err.h>

#include "core/node.h"

/* Of usual lines fewer than what is ACKed in a stream (acks.c): the ACK goes with the PONG. */
enum { PING_BYTES = 56 * 1024 };

_Static_assert(LINK_PINGS_MAX > LINK_WINDOW_BYTES / PING_BYTES, "as many as a window has");

/* Bytes put out on this connection. */
static uint64_t told(const struct link *link)
{
    return link->written + link->conn.work->out.len;
}

size_t link_in_flight(const struct link *link)
{
    size_t unsent = conn_unsent(&link->conn); /* a neighbour may say PONG before it has read */
    uint64_t unread = link->state == LINK_PLAIN ? 0 : told(link) - link->read;
    return unread > unsent ? (size_t)unread : unsent;
}

size_t link_room(const struct link *link)
{
    size_t window = link->state == LINK_PLAIN ? LINK_PLAIN_BYTES : LINK_WINDOW_BYTES;
    size_t in_flight = link_in_flight(link);
    return in_flight < window ? window - in_flight : 0;
}

bool link_has_room(const struct link *link)
{
    return link_room(link) > 0;
}

void window_begin(struct link *link)
{
    link->written = link->read = link->pinged = 0;
    link->ping_count = 0;
}

void window_forget(struct link *link)
{
    link->read = told(link);
    link->ping_count = 0;
}

/* One more may go out. */
static int ping(struct link *link)
{
    assert(link->ping_count < LINK_PINGS_MAX);
    if (herd_buf_append_text(conn_output(&link->conn), "PING\n") < 0)
        return HERD_ENOMEM;
    link->pinged = told(link);
    link->pings[link->ping_count++] = link->pinged;
    return 0;
}

int window_ask(struct link *link)
{
    return link->ping_count > 0 ? 0 : ping(link);
}

size_t window_to_ping(const struct link *link)
{
    uint64_t since = told(link) - link->pinged;
    return since < PING_BYTES ? PING_BYTES - (size_t)since : 0;
}

int window_fill(struct link *link)
{
    bool due = window_to_ping(link) == 0 && link->ping_count < LINK_PINGS_MAX;
    return due ? ping(link) : 0;
}

void window_on_pong(struct link *link)
{
    if (link->ping_count == 0)
        return;
    link->read = link->pings[0];
    link->ping_count--;
    memmove(&link->pings[0], &link->pings[1], link->ping_count * sizeof(link->pings[0]));
}
