/* A client, or a neighbour that has dialled this server: a stream and the node's connection for it.
 */
#include <stdlib.h>
#include <sys/resource.h>
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

size_t net_room_allows(const struct net_room *room)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
        return room->connections_max;
    size_t left = limit.rlim_cur > room->files_reserved ? limit.rlim_cur - room->files_reserved : 1;
    return left < room->connections_max ? left : room->connections_max;
}

/* What keeps one more connection out; LIMIT_COUNT: nothing. The limit of files may be lowered at any
 * time; whoever came until none was left would keep the disk's own files from being opened. */
static enum limit full(const struct net *net)
{
    const struct net_room *room = &net->options.room;
    size_t allowed = net_room_allows(room);
    if (net->connections < allowed)
        return LIMIT_COUNT;
    return allowed < room->connections_max ? LIMIT_FILES : LIMIT_CONNECTIONS;
}

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

/* A connection that was turned away: no session is made for it. */
static void refuse(struct net *net, int take_fd, enum limit why)
{
    net_count_refused(net, why);
    close(take_fd);
}

void session_accept(struct net *net, int take_fd)
{
    struct metrics *metrics = net->options.metrics;
    enum limit why = full(net);
    struct stream *session = why == LIMIT_COUNT ? new_session(net) : NULL;
    if (session == NULL) {
        refuse(net, take_fd, why == LIMIT_COUNT ? LIMIT_MEMORY : why);
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
    if (!tell_node(net, session)) {
        net_count_refused(net, LIMIT_MEMORY);
        stream_close(session, true);
        return;
    }
    uv_tcp_nodelay(&session->tcp, 1);
    /* A client that has vanished without a word must not keep its place for ever. */
    uv_tcp_keepalive(&session->tcp, 1, KEEPALIVE_S);
    stream_read(session, true);
}
