/* A client, or a neighbour that has dialled this server: a stream and the node's connection for it.
 */
#include <stdlib.h>

#include "net/room.h"

enum { KEEPALIVE_S = 60 };

struct session {
    struct carrier carrier;
    struct session *next, *prev;
};

static void on_closed(struct stream *stream, const char *reason)
{
    struct session *session = (struct session *)stream;
    struct net *net = session->carrier.net;
    if (session->carrier.conn != NULL)
        herd_conn_closed(session->carrier.conn, net_now(), reason);
    if (session->prev != NULL)
        session->prev->next = session->next;
    else
        net->sessions = session->next;
    if (session->next != NULL)
        session->next->prev = session->prev;
    net->connections--;
    metrics_set(net->options.metrics, METRIC_connections_open, (int64_t)net->connections);
    free(session);
    net_check_stopped(net);
}

static const struct stream_events events = {
    .data = carrier_data,
    .end = carrier_end,
    .wrote = carrier_wrote,
    .recycle = carrier_recycle,
    .closed = on_closed,
};

static struct session *new_session(struct net *net)
{
    struct session *session = calloc(1, sizeof(*session));
    if (session == NULL)
        return NULL;
    if (stream_init(&session->carrier.stream, &net->streams, &events) < 0) {
        free(session);
        return NULL;
    }
    session->carrier.net = net;
    session->next = net->sessions;
    if (session->next != NULL)
        session->next->prev = session;
    net->sessions = session;
    net->connections++;
    return session;
}

bool session_accept(struct net *net, uv_stream_t *listener)
{
    struct metrics *metrics = net->options.metrics;
    struct session *session = new_session(net);
    if (session == NULL)
        return false;
    struct stream *stream = &session->carrier.stream;
    int rc = uv_accept(listener, (uv_stream_t *)&stream->tcp);
    if (rc < 0) {
        stream_close(stream, true, uv_strerror(rc));
        return true;
    }
    metrics_add(metrics, METRIC_connections_accepted_total, 1);
    metrics_set(metrics, METRIC_connections_open, (int64_t)net->connections);
    if (net->connections > net->options.connections_max) {
        net_count_refused(net, "connections_max was reached");
        stream_close(stream, true, "connections_max was reached");
        return true;
    }
    if (herd_node_accept(net->options.node, session, &session->carrier.conn) < 0) {
        session->carrier.conn = NULL;
        net_count_refused(net, "out of memory");
        stream_close(stream, true, "out of memory");
        return true;
    }
    uv_tcp_nodelay(&stream->tcp, 1);
    /* A client that has vanished without a word must not keep its place for ever. */
    uv_tcp_keepalive(&stream->tcp, 1, KEEPALIVE_S);
    stream_read(stream, true);
    return true;
}

void sessions_abort(struct net *net)
{
    for (struct session *session = net->sessions; session != NULL; session = session->next)
        stream_close(&session->carrier.stream, true, "the server stops");
}
