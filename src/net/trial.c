/*
 * Whoever comes when clients have all their places may be a neighbour, and a neighbour always gets
 * in: its connection is no client's. So it is taken on trial, which it passes by a HELLO or FLOOD
 * of a configured neighbour.
 *
 *   session_accept -> trial_begin -> trial_hear -> the node hears it -> trial_heard: a neighbour
 *                                    another line than a neighbour's -> closed; a client's, if a
 *                                    place is free by then
 *                     NET_TRIAL_MS are over, or it is the oldest and one more comes -> closed
 *
 * A trial cannot be had for long: in a crowd of 2,000 connections a second each has 16 ms, which
 * is enough for a line that is sent as soon as the connection stands. A line that is there already,
 * but was not read yet because the crowd came in the same turn, protects its connection.
 */
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "net/room.h"

/* How the first line of a neighbour begins. */
static const char *const greetings[] = {"HELLO ", "FLOOD "};
enum { GREETING_LEN = sizeof("HELLO ") - 1 };

/* Descriptors that are there besides the reserved ones. */
static size_t files_left(const struct net_room *room)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
        return SIZE_MAX;
    return limit.rlim_cur > room->files_reserved ? limit.rlim_cur - room->files_reserved : 0;
}

size_t net_room_allows(const struct net_room *room)
{
    size_t left = files_left(room);
    if (left == 0)
        left = 1;
    return left < room->connections_max ? left : room->connections_max;
}

static size_t clients(const struct net *net)
{
    return net->connections - net->neighbours - net->on_trial;
}

/* What bounds how many clients there are. */
static enum limit bound(const struct net_room *room)
{
    return net_room_allows(room) < room->connections_max ? LIMIT_FILES : LIMIT_CONNECTIONS;
}

enum limit net_full(const struct net *net)
{
    const struct net_room *room = &net->options.room;
    return clients(net) < net_room_allows(room) ? LIMIT_COUNT : bound(room);
}

/* Whether a first line may be a neighbour's, as far as it is known. */
static bool may_be_greeting(const char *data, size_t len)
{
    for (size_t i = 0; i < sizeof(greetings) / sizeof(greetings[0]); i++) {
        if (memcmp(data, greetings[i], len < GREETING_LEN ? len : GREETING_LEN) == 0)
            return true;
    }
    return false;
}

/* It has said a neighbour's word, which this turn or the next one will read. */
static bool is_about_to_be_heard(const struct trial *trial)
{
    char data[GREETING_LEN];
    uv_os_fd_t fd;
    if (trial->is_heard || uv_fileno((const uv_handle_t *)&trial->session->tcp, &fd) < 0)
        return false;
    return recv(fd, data, sizeof(data), MSG_PEEK | MSG_DONTWAIT) == GREETING_LEN &&
           may_be_greeting(data, GREETING_LEN);
}

static void forget(struct net *net, size_t at)
{
    net->trial_count--;
    memmove(&net->trials[at], &net->trials[at + 1],
            (net->trial_count - at) * sizeof(net->trials[0]));
    if (net->trial_count == 0)
        uv_timer_stop(&net->trial_timer);
}

/* NULL: its trial is over, and it closes. */
static struct trial *find(struct net *net, const struct stream *session)
{
    for (size_t at = 0; at < net->trial_count; at++) {
        if (net->trials[at].session == session)
            return &net->trials[at];
    }
    return NULL;
}

/* It is a client's or a neighbour's from now on. */
static void pass(struct net *net, struct stream *session)
{
    struct trial *trial = find(net, session);
    if (trial == NULL)
        return;
    forget(net, (size_t)(trial - net->trials));
    session->on_trial = false;
    net->on_trial--;
    metrics_add(net->options.metrics, METRIC_connections_accepted_total, 1);
}

/* A neighbour that greets has one connection (an older one is cut off); how many say FLOOD in a
 * neighbour's name nobody else bounds. */
static bool is_admitted(const struct net *net, const struct stream *session)
{
    const struct herd_conn *conn = net_conn(session);
    return herd_conn_is_neighbour(conn) &&
           (herd_conn_peer(conn) != NULL ||
            net->neighbours < (size_t)NET_NEIGHBOURS_PER_PEER * net->peer_count);
}

bool trial_heard(struct net *net, struct stream *session)
{
    if (!is_admitted(net, session))
        return false;
    pass(net, session);
    session->is_neighbour = true;
    net->neighbours++;
    gather_join(net, session);
    session_count(net);
    return true;
}

/* False: it goes on, because it has passed or is about to be heard. */
static bool fail(struct net *net, size_t at)
{
    struct stream *session = net->trials[at].session;
    if (is_about_to_be_heard(&net->trials[at]) || trial_heard(net, session))
        return false;
    forget(net, at);
    stream_close(session, true);
    return true;
}

static void on_timer(uv_timer_t *timer);

/* One whose time is over, and goes on, is looked at again when its line has been read. */
static void set_timer(struct net *net)
{
    uint64_t now_ms = uv_now(net->options.loop), until_ms = net->trials[0].until_ms;
    uv_timer_start(&net->trial_timer, on_timer, until_ms > now_ms ? until_ms - now_ms : 1, 0);
}

static void on_timer(uv_timer_t *timer)
{
    struct net *net = timer->data;
    uint64_t now_ms = uv_now(timer->loop);
    for (size_t at = net->trial_count; at-- > 0;) {
        if (net->trials[at].until_ms <= now_ms)
            fail(net, at);
    }
    if (net->trial_count > 0)
        set_timer(net);
}

/* The oldest gives way, unless each is about to be heard. */
static bool make_room(struct net *net)
{
    for (size_t at = 0; at < net->trial_count && net->trial_count == NET_TRIALS_MAX; at++)
        fail(net, at);
    return net->trial_count < NET_TRIALS_MAX;
}

bool trial_may_begin(struct net *net)
{
    return net->peer_count > 0 && files_left(&net->options.room) > 0 && make_room(net);
}

void trial_begin(struct net *net, struct stream *session)
{
    session->on_trial = true;
    net->on_trial++;
    net->trials[net->trial_count++] =
        (struct trial){.session = session, .until_ms = uv_now(net->options.loop) + NET_TRIAL_MS};
    if (!uv_is_active((const uv_handle_t *)&net->trial_timer))
        set_timer(net);
    session_count(net);
}

bool trial_hear(struct net *net, struct stream *session, const char *data, size_t len)
{
    struct trial *trial = session->on_trial ? find(net, session) : NULL;
    if (trial == NULL || trial->is_heard)
        return true;
    trial->is_heard = true;
    if (may_be_greeting(data, len))
        return true;
    if (net_full(net) == LIMIT_COUNT) { /* a place is free by now */
        pass(net, session);
        session_count(net);
        return true;
    }
    forget(net, (size_t)(trial - net->trials));
    stream_close(session, true);
    return false;
}

void trial_end(struct net *net, struct stream *session)
{
    if (session->is_neighbour) {
        net->neighbours--;
        gather_leave(net, session);
    }
    if (!session->on_trial)
        return;
    struct trial *trial = find(net, session);
    if (trial != NULL)
        forget(net, (size_t)(trial - net->trials));
    net->on_trial--;
    net_count_refused(net, bound(&net->options.room));
}
