/*
 * A neighbour's few lines would wake a server that has just gone to sleep between two rounds of its
 * clients: it would take the processor from them for a turn of its own, and theirs would have fewer
 * lines each. So as long as clients wake it again and again, lines of neighbours wait in the
 * kernel, and turns read what is there:
 *
 *           woken by clients GATHER_TURNS times in a period
 *     quiet -----------------------------------------------> busy: a socket wakes it with
 *       ^                                                      |   GATHER_BYTES, or its end; turns
 *       +------------------------------------------------------+   read what is less
 *           less than half as often
 *
 * Where it seldom sleeps, none of these lines wakes it, and there is nothing to be gained.
 *
 * A line waits for the next turn, so for a fraction of a millisecond as a rule. When clients fall
 * silent all at once a timer brings one about. It may be late by as much as a kernel's tick: one
 * that is not would be set in the processor's clock each time the loop sleeps, which on a virtual
 * machine takes longer than the turns that are saved.
 *
 * Where clients wait for neighbours (durability = "herd") nothing is gathered: their silence would
 * keep the very lines waiting that they wait for.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <herd/posix_time.h>

#include "net/room.h"

/* What it takes to be woken for a connection. A kernel that does not know this wakes for each byte,
 * and turns find nothing. */
static void set_least(const struct stream *session, int bytes)
{
    uv_os_fd_t fd;
    if (uv_fileno((const uv_handle_t *)&session->tcp, &fd) == 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof(bytes));
}

/* What it has to do is done by the turn. */
static void on_timer(uv_timer_t *timer)
{
    (void)timer;
}

static void set_busy(struct net *net, bool is_busy)
{
    struct gather *gather = &net->gather;
    gather->is_busy = is_busy;
    for (unsigned i = 0; i < gather->count; i++)
        set_least(gather->streams[i], is_busy ? GATHER_BYTES : 1);
    prctl(PR_SET_TIMERSLACK, is_busy ? (unsigned long)GATHER_SLACK_NS : 0ul); /* 0: the usual */
    if (is_busy)
        uv_timer_start(&gather->timer, on_timer, GATHER_PERIOD_MS, GATHER_PERIOD_MS);
    else
        uv_timer_stop(&gather->timer);
}

void gather_init(struct net *net, uv_loop_t *loop)
{
    net->gather.turns_least = GATHER_TURNS;
    uv_timer_init(loop, &net->gather.timer);
    net->gather.timer.data = net;
}

void gather_join(struct net *net, struct stream *session)
{
    struct gather *gather = &net->gather;
    if (gather->count == GATHER_MAX || herd_node_waits_for_neighbours(net->options.node))
        return;
    gather->streams[gather->count++] = session;
    if (gather->is_busy)
        set_least(session, GATHER_BYTES);
}

void gather_leave(struct net *net, const struct stream *session)
{
    struct gather *gather = &net->gather;
    unsigned at = 0;
    while (at < gather->count && gather->streams[at] != session)
        at++;
    if (at == gather->count)
        return;
    if (gather->is_busy)
        set_least(session, 1);
    gather->streams[at] = gather->streams[--gather->count];
    if (gather->count == 0 && gather->is_busy)
        set_busy(net, false);
}

/* As libuv would have, if it had been told of this. It finds an end itself; an error it would not,
 * which the kernel tells once, and then an end. What a stop still reads is counted elsewhere. */
static void read_from(struct net *net, struct stream *session)
{
    struct stream_loop *shared = &net->streams;
    uv_os_fd_t fd;
    if (!session->reading || session->is_unread || session->ended || session->closing ||
        session->unheard_kib > 0 || session->read_turn == shared->turn ||
        uv_fileno((const uv_handle_t *)&session->tcp, &fd) != 0)
        return;
    ssize_t len = read(fd, shared->input, STREAM_INPUT_BYTES);
    if (len < 0 && errno != EAGAIN && errno != EINTR)
        stream_close(session, true);
    if (len <= 0)
        return;
    session->read_turn = shared->turn;
    shared->bytes_received += (uint64_t)len;
    net_on_data(session, shared->input, (size_t)len);
}

static void end_period(struct net *net, int64_t now_ns)
{
    struct gather *gather = &net->gather;
    int64_t period_ns = GATHER_PERIOD_MS * HERD_NS_PER_MS;
    int64_t turns = gather->turns * period_ns / (now_ns - gather->began_ns);
    bool is_busy = turns >= (gather->is_busy ? gather->turns_least / 2 : gather->turns_least);
    if (is_busy != gather->is_busy)
        set_busy(net, is_busy);
    gather->turns = 0;
    gather->began_ns = now_ns;
}

void gather_turn(struct net *net, int64_t now_ns, bool was_woken)
{
    struct gather *gather = &net->gather;
    if (gather->count == 0)
        return;
    gather->turns += was_woken;
    if (now_ns - gather->began_ns >= GATHER_PERIOD_MS * HERD_NS_PER_MS)
        end_period(net, now_ns);
    if (!gather->is_busy || now_ns - gather->read_ns < GATHER_EVERY_NS)
        return;
    gather->read_ns = now_ns;
    metrics_add(net->options.metrics, METRIC_loop_turns_gathered_total, 1);
    for (unsigned i = 0; i < gather->count; i++)
        read_from(net, gather->streams[i]);
}
