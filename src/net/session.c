/* A client, or a neighbour that has dialled this server: a stream and the node's connection for it.
 */
#include <stdlib.h>
#include <unistd.h>

#include "net/room.h"

enum { KEEPALIVE_S = 60 };

static void on_closed(struct stream *stream)
{
    struct net *net = net_of(stream);
    if (net_conn(stream) != NULL)
        herd_conn_closed(net_conn(stream), net_now(), "closed");
    net->connections--;
    metrics_set(net->options.metrics, METRIC_connections_open, (int64_t)net->connections);
    free(stream);
    net_check_stopped(net);
}

const struct stream_events session_events = {
    .data = net_on_data,
    .end = net_on_end,
    .wrote = net_on_wrote,
    .recycle = net_on_recycle,
    .closed = on_closed,
};

static struct stream *new_session(struct net *net)
{
    struct stream *session = calloc(1, sizeof(*session));
    if (session == NULL)
        return NULL;
    if (stream_init(session, &net->streams, STREAM_SESSION) < 0) {
        free(session);
        return NULL;
    }
    net->connections++;
    return session;
}

/* False where there is no memory for what the node keeps of it. */
static bool tell_node(struct net *net, struct stream *session)
{
    struct herd_conn *conn;
    if (herd_node_accept(net->options.node, session, &conn) < 0)
        return false;
    session->tcp.data = conn;
    return true;
}

static void refuse(struct net *net, struct stream *session, enum limit why)
{
    net_count_refused(net, why);
    stream_close(session, true);
}

void session_accept(struct net *net, int take_fd)
{
    struct metrics *metrics = net->options.metrics;
    struct stream *session = new_session(net);
    if (session == NULL) {
        net_count_refused(net, LIMIT_MEMORY);
        close(take_fd);
        return;
    }
    int rc = uv_tcp_open(&session->tcp, take_fd);
    if (rc < 0) {
        metrics_add(metrics, METRIC_connections_refused_total, 1);
        limits_fail(&net->limits, LIMIT_SOCKET, -rc);
        close(take_fd);
        stream_close(session, true);
        return;
    }
    metrics_add(metrics, METRIC_connections_accepted_total, 1);
    metrics_set(metrics, METRIC_connections_open, (int64_t)net->connections);
    if (net->connections > net->options.connections_max) {
        refuse(net, session, LIMIT_CONNECTIONS);
        return;
    }
    if (!tell_node(net, session)) {
        refuse(net, session, LIMIT_MEMORY);
        return;
    }
    uv_tcp_nodelay(&session->tcp, 1);
    /* A client that has vanished without a word must not keep its place for ever. */
    uv_tcp_keepalive(&session->tcp, 1, KEEPALIVE_S);
    stream_read(session, true);
}
