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
    trial_end(net, stream);
    net->connections--;
    session_count(net);
    net->freed_bytes += sizeof(*stream);
    free(stream);
    net_check_stopped(net);
}

static void on_data(struct stream *session, const char *data, size_t len)
{
    struct net *net = net_of(session);
    if (!session->is_neighbour)
        net->read_bytes_left -= (int64_t)len;
    if (!trial_hear(net, session, data, len))
        return;
    net_on_data(session, data, len);
    if (!session->is_neighbour)
        trial_heard(net, session);
    if (session->unheard_kib > 0)
        last_words_hear(session, len);
}

/* A client is not read from in this turn. */
static void count_unread(struct net *net)
{
    struct metrics *metrics = net->options.metrics;
    bool is_of_bytes = net->read_bytes_left <= 0;
    enum limit why = net->reads_left == 0 ? LIMIT_TURN_READS : LIMIT_TURN_CLIENTS;
    metrics_add(metrics,
                is_of_bytes ? METRIC_turns_full_bytes_total : METRIC_turns_full_reads_total, 1);
    limits_count(&net->limits, is_of_bytes ? LIMIT_TURN_BYTES : why, 1);
}

/*
 * A crowd that speaks all at once is heard in several turns, so that neighbours, who are heard in
 * each, do not wait for all of it: so many reads of clients, so many bytes, and none when their
 * lines have used up the turn. What a client says meanwhile waits in the kernel.
 */
static size_t read_max(struct stream *session)
{
    struct net *net = net_of(session);
    if (session->is_neighbour)
        return last_words_read_max(session, STREAM_INPUT_BYTES);
    bool is_full = net->reads_left == 0 || net->read_bytes_left <= 0;
    size_t most = is_full ? 0 : herd_node_read_max(net->options.node);
    if (most == 0) {
        count_unread(net);
        return 0;
    }
    net->reads_left--;
    if (most > net->read_most_bytes)
        most = net->read_most_bytes;
    /* What a stop still reads is counted in KiB: a part of one would be taken for all of it. */
    if (session->unheard_kib == 0 && most > (size_t)net->read_bytes_left)
        most = (size_t)net->read_bytes_left;
    return last_words_read_max(session, most);
}

const struct stream_events session_events = {
    .data = on_data,
    .read_max = read_max,
    .end = net_on_end,
    .wrote = net_on_wrote,
    .recycle = net_on_recycle,
    .closed = on_closed,
};

void session_count(struct net *net)
{
    struct metrics *metrics = net->options.metrics;
    metrics_set(metrics, METRIC_connections_open, (int64_t)(net->connections - net->on_trial));
    metrics_set(metrics, METRIC_connections_neighbours, (int64_t)net->neighbours);
    metrics_set(metrics, METRIC_connections_on_trial, (int64_t)net->on_trial);
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

/* As a client's, or on trial. */
static void admit(struct net *net, struct stream *session, bool is_trial)
{
    if (is_trial) {
        trial_begin(net, session);
        return;
    }
    metrics_add(net->options.metrics, METRIC_connections_accepted_total, 1);
    session_count(net);
}

void session_accept(struct net *net, int take_fd)
{
    enum limit why = net_full(net);
    bool is_trial = why != LIMIT_COUNT && trial_may_begin(net);
    struct stream *session = why == LIMIT_COUNT || is_trial ? new_session(net) : NULL;
    if (session == NULL) {
        refuse(net, take_fd, why == LIMIT_COUNT || is_trial ? LIMIT_MEMORY : why);
        return;
    }
    int rc = uv_tcp_open(&session->tcp, take_fd);
    if (rc < 0) {
        metrics_add(net->options.metrics, METRIC_connections_refused_total, 1);
        limits_fail(&net->limits, LIMIT_SOCKET, -rc);
        close(take_fd);
        stream_close(session, true);
        return;
    }
    if (!tell_node(net, session)) {
        net_count_refused(net, LIMIT_MEMORY);
        stream_close(session, true);
        return;
    }
    admit(net, session, is_trial);
    uv_tcp_nodelay(&session->tcp, 1);
    /* A client that has vanished without a word must not keep its place for ever. */
    uv_tcp_keepalive(&session->tcp, 1, KEEPALIVE_S);
    stream_read(session, true);
}

void session_close(struct stream *session, bool now)
{
    if (session->is_neighbour)
        gather_leave(net_of(session), session);
    stream_close(session, now);
}
