/* A client, or a neighbour that has dialled this server: a stream and the node's connection for it.
 */
#include <stdlib.h>

#include "net/room.h"

enum { KEEPALIVE_S = 60 };

static void on_closed(struct stream *stream)
{
    struct carrier *session = (struct carrier *)stream;
    struct net *net = carrier_net(session);
    if (session->conn != NULL)
        herd_conn_closed(session->conn, net_now(), "closed");
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

static struct carrier *new_session(struct net *net)
{
    struct carrier *session = calloc(1, sizeof(*session));
    if (session == NULL)
        return NULL;
    if (stream_init(&session->stream, &net->streams, &events) < 0) {
        free(session);
        return NULL;
    }
    net->connections++;
    return session;
}

bool session_accept(struct net *net, uv_stream_t *listener)
{
    struct metrics *metrics = net->options.metrics;
    struct carrier *session = new_session(net);
    if (session == NULL)
        return false;
    struct stream *stream = &session->stream;
    int rc = uv_accept(listener, (uv_stream_t *)&stream->tcp);
    if (rc < 0) {
        stream_close(stream, true);
        return true;
    }
    metrics_add(metrics, METRIC_connections_accepted_total, 1);
    metrics_set(metrics, METRIC_connections_open, (int64_t)net->connections);
    if (net->connections > net->options.connections_max) {
        net_count_refused(net, "connections_max was reached");
        stream_close(stream, true);
        return true;
    }
    if (herd_node_accept(net->options.node, session, &session->conn) < 0) {
        session->conn = NULL;
        net_count_refused(net, "out of memory");
        stream_close(stream, true);
        return true;
    }
    uv_tcp_nodelay(&stream->tcp, 1);
    /* A client that has vanished without a word must not keep its place for ever. */
    uv_tcp_keepalive(&stream->tcp, 1, KEEPALIVE_S);
    stream_read(stream, true);
    return true;
}

static void abort_session(uv_handle_t *handle, void *net)
{
    struct stream *stream = (struct stream *)handle;
    if (handle->data == &((struct net *)net)->streams && stream->events == &events)
        stream_close(stream, true);
}

/* The loop has them all in a list, so there is none of its own. */
void sessions_abort(struct net *net)
{
    uv_walk(net->options.loop, abort_session, net);
}
