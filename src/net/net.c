/*
 * Once a turn, before the loop sleeps, all effects of what came in and of what timers did are
 * carried out: first what goes to neighbours, then the answers to clients, each connection's in one
 * write. Where HERD_TOUCHED_MAX connections have answers, theirs go out in between: a crowd that
 * speaks all at once takes no memory for all of it.
 */
#include <assert.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <herd/err.h>
#include <herd/posix_time.h>

#include "net/room.h"

/* Of the time that a stop has, in hundredths: for reading what clients had said before it. With as
 * much again for their answers to be read. */
enum { LAST_WORDS_SHARE = 40 };

static int64_t wall_ns(void)
{
    struct timespec wall;
    clock_gettime(CLOCK_REALTIME, &wall);
    return (int64_t)wall.tv_sec * HERD_NS_PER_S + wall.tv_nsec;
}

struct herd_now net_now(void)
{
    return (struct herd_now){wall_ns(), (int64_t)uv_hrtime()};
}

/*
 * The clock that the events of a turn share: the monotonic one is read once, what is due is due
 * to the millisecond. When a line was received has to be told exactly, so each read looks at the
 * wall's again.
 */
static struct herd_now turn_now(struct net *net)
{
    if (!net->has_now)
        net->now = net_now();
    net->has_now = true;
    return net->now;
}

static struct herd_now read_now(struct net *net)
{
    if (!net->has_now)
        return turn_now(net);
    net->now.wall_ns = wall_ns();
    return net->now;
}

int net_numeric_address(const char *host, uint16_t port, struct sockaddr_storage *out)
{
    if (strcmp(host, "localhost") == 0)
        host = "127.0.0.1"; /* whatever a hosts file says: it is allowed where loopback is */
    if (uv_ip4_addr(host, port, (struct sockaddr_in *)out) == 0)
        return 0;
    return uv_ip6_addr(host, port, (struct sockaddr_in6 *)out);
}

struct net *net_of(const struct stream *stream)
{
    char *streams = (char *)stream_loop_of(stream);
    return (struct net *)(void *)(streams - offsetof(struct net, streams));
}

struct herd_conn *net_conn(const struct stream *stream)
{
    return stream->tcp.data;
}

void net_on_data(struct stream *stream, const char *data, size_t len)
{
    struct net *net = net_of(stream);
    herd_conn_receive(net_conn(stream), read_now(net), data, len);
    if (herd_node_is_crowded(net->options.node))
        net_flush_early(net);
}

void net_on_end(struct stream *stream)
{
    herd_conn_end(net_conn(stream), net_now());
}

void net_on_wrote(struct stream *stream, size_t len)
{
    if (net_conn(stream) != NULL)
        herd_conn_wrote(net_conn(stream), turn_now(net_of(stream)), len);
}

void net_on_recycle(struct stream *stream, struct herd_buf *take_buf)
{
    herd_node_recycle(net_of(stream)->options.node, take_buf);
}

static struct stream *stream_of(struct herd_conn *conn)
{
    return herd_conn_is_link(conn) ? peer_stream(conn) : herd_conn_data(conn);
}

static void carry_out(struct net *net, struct herd_effect *effect)
{
    struct stream *stream;
    switch (effect->kind) {
    case HERD_EFFECT_DIAL:
        peer_dial(effect->conn);
        return;
    case HERD_EFFECT_PLACES:
    case HERD_EFFECT_PERSIST:
    case HERD_EFFECT_NOTICE:
        net->options.effect(net->options.arg, effect);
        return;
    case HERD_EFFECT_WRITE:
    case HERD_EFFECT_READ:
    case HERD_EFFECT_CLOSE:
        break;
    }
    stream = stream_of(effect->conn);
    if (effect->kind == HERD_EFFECT_WRITE)
        stream_write(stream, &effect->output);
    else if (effect->kind == HERD_EFFECT_READ)
        stream_read(stream, effect->read);
    else if (herd_conn_is_link(effect->conn))
        peer_close(effect->conn, effect->abort);
    else
        session_close(stream, effect->abort);
}

void net_flush_early(struct net *net)
{
    struct herd_effect effect;
    while (herd_node_early_effect(net->options.node, turn_now(net), &effect))
        carry_out(net, &effect);
}

static void on_wakeup(uv_timer_t *timer)
{
    struct net *net = timer->data;
    net->now = net_now(); /* later than what the turn's poll brought */
    net->has_now = true;
    herd_node_tick(net->options.node, net->now);
}

/* A timer that comes too early does no harm, and setting it anew each turn would take two looks at
 * the clock. */
static bool wakes_in_time(const struct net *net, int64_t at_ns)
{
    return at_ns == INT64_MAX ||
           (uv_is_active((const uv_handle_t *)&net->wakeup) && net->wakeup_ns <= at_ns);
}

static void set_wakeup(struct net *net)
{
    int64_t at_ns = herd_node_wakeup(net->options.node);
    if (wakes_in_time(net, at_ns))
        return;
    int64_t now_ns = (int64_t)uv_hrtime();
    int64_t delay_ms = at_ns > now_ns ? (at_ns - now_ns + HERD_NS_PER_MS - 1) / HERD_NS_PER_MS : 0;
    /* The loop's clock stands since the turn began; the timer counts from it. */
    uv_update_time(net->options.loop);
    uv_timer_start(&net->wakeup, on_wakeup, (uint64_t)delay_ms, 0);
    net->wakeup_ns = at_ns;
}

static void flush(struct net *net)
{
    struct herd_effect effect;
    struct metrics *metrics = net->options.metrics;
    struct herd_now now = turn_now(net);
    while (herd_node_effect(net->options.node, now, &effect))
        carry_out(net, &effect);
    metrics->value[METRIC_bytes_received_total] = (int64_t)net->streams.bytes_received;
    metrics->value[METRIC_bytes_sent_total] = (int64_t)net->streams.bytes_sent;
    metrics->value[METRIC_bytes_dropped_total] = (int64_t)net->streams.bytes_dropped;
    net->has_now = false; /* the loop sleeps next */
}

/* Without what other programs took of it. */
static int64_t thread_cpu_ns(void)
{
    struct timespec used;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    return (int64_t)used.tv_sec * HERD_NS_PER_S + used.tv_nsec;
}

/*
 * A turn takes no more of the processor than it takes time, so that only one which is longer than
 * the most so far can have taken more. Asking for the time on the processor is a call of the
 * system: it is asked for then, and often enough to know that turn's to the millisecond.
 */
static void measure_cpu(struct net *net, int64_t turn_ns)
{
    struct metrics *metrics = net->options.metrics;
    net->cpu_unread_ns += turn_ns;
    if (turn_ns <= metrics->value[METRIC_loop_turn_cpu_max_ns] &&
        net->cpu_unread_ns < HERD_NS_PER_MS)
        return;
    int64_t cpu_ns = thread_cpu_ns(), used_ns = cpu_ns - net->cpu_ns;
    metrics_max(metrics, METRIC_loop_turn_cpu_max_ns, used_ns < turn_ns ? used_ns : turn_ns);
    net->cpu_ns = cpu_ns;
    net->cpu_unread_ns = 0;
}

/* The end of a turn: from here the loop sleeps until something happens. */
static void measure_turn(struct net *net, uint64_t idle_ns)
{
    int64_t now_ns = (int64_t)uv_hrtime();
    if (net->turn_began_ns > 0) {
        int64_t turn_ns = now_ns - net->turn_began_ns - (int64_t)(idle_ns - net->turn_idle_ns);
        metrics_max(net->options.metrics, METRIC_loop_turn_max_ns, turn_ns);
        metrics_add(net->options.metrics, METRIC_loop_turns_total, 1);
        measure_cpu(net, turn_ns);
    } else {
        net->cpu_ns = thread_cpu_ns();
    }
    net->turn_began_ns = now_ns;
    net->turn_idle_ns = idle_ns;
}

static void count_stalled(struct net *net)
{
    uint64_t stalled = net->streams.stalled;
    metrics_set(net->options.metrics, METRIC_connections_stalled_total, (int64_t)stalled);
    limits_count(&net->limits, LIMIT_STALLED, (int64_t)(stalled - net->stalled_told));
    net->stalled_told = stalled;
}

static void count_cut_off(struct net *net)
{
    uint64_t cut_off = net->streams.cut_off;
    metrics_set(net->options.metrics, METRIC_connections_cut_off_total, (int64_t)cut_off);
    limits_count(&net->limits, LIMIT_CUT_OFF, (int64_t)(cut_off - net->cut_off_told));
    net->cut_off_told = cut_off;
}

/* Where a turn's bytes were used up, more clients share those of the next one. */
static void begin_reads(struct net *net)
{
    net->read_most_bytes = net->read_bytes_left > 0 ? STREAM_INPUT_BYTES : NET_BULKY_READ_BYTES;
    net->reads_left = net->options.room.turn_reads;
    net->read_bytes_left = (int64_t)net->options.room.turn_read_bytes;
}

static void on_prepare(uv_prepare_t *prepare)
{
    struct net *net = prepare->data;
    uint64_t idle_ns = uv_metrics_idle_time(net->options.loop);
    bool was_woken = idle_ns != net->turn_idle_ns && net->reads_left < net->options.room.turn_reads;
    gather_turn(net, turn_now(net).mono_ns, was_woken);
    flush(net);
    if (net->stats->limits_reached != net->limits.reached)
        limits_look_at(&net->limits, net->stats);
    if (net->stalled_told != net->streams.stalled)
        count_stalled(net);
    if (net->cut_off_told != net->streams.cut_off)
        count_cut_off(net);
    set_wakeup(net);
    begin_reads(net);
    stream_loop_next_turn(&net->streams);
    measure_turn(net, idle_ns);
}

int net_new(const struct net_options *options, struct net **out)
{
    struct net *net = calloc(1, sizeof(*net));
    if (net == NULL)
        return HERD_ENOMEM;
    net->options = *options;
    net->stats = herd_node_stats(options->node);
    net_set_room(net, &options->room);
    begin_reads(net);
    int rc = stream_loop_init(&net->streams, options->loop);
    if (rc < 0) {
        free(net);
        return rc;
    }
    stream_loop_on(&net->streams, STREAM_SESSION, &session_events);
    stream_loop_on(&net->streams, STREAM_PEER, &peer_events);
    uv_loop_configure(options->loop, UV_METRICS_IDLE_TIME);
    uv_prepare_init(options->loop, &net->prepare);
    uv_timer_init(options->loop, &net->wakeup);
    uv_timer_init(options->loop, &net->deadline);
    uv_timer_init(options->loop, &net->last_words.timer);
    uv_timer_init(options->loop, &net->trial_timer);
    limits_init(&net->limits, options->loop, options->log);
    gather_init(net, options->loop);
    net->prepare.data = net->wakeup.data = net->deadline.data = net;
    net->trial_timer.data = net->limits.timer.data = net->last_words.timer.data = net;
    uv_prepare_start(&net->prepare, on_prepare);
    /* The hook alone does not keep the loop running. */
    uv_unref((uv_handle_t *)&net->prepare);
    *out = net;
    return 0;
}

size_t net_give_back(struct net *net, size_t *kept_bytes)
{
    size_t bytes = net->freed_bytes + read_queue_give_back(&net->streams.unread) +
                   herd_node_give_back(net->options.node, kept_bytes);
    net->freed_bytes = 0;
    return bytes;
}

void net_count_limit(struct net *net, enum limit which)
{
    limits_count(&net->limits, which, 1);
}

void net_set_room(struct net *net, const struct net_room *room)
{
    net->options.room = *room;
    if (room->turn_reads == 0)
        net->options.room.turn_reads = NET_TURN_READS;
    if (room->turn_read_bytes == 0)
        net->options.room.turn_read_bytes = NET_TURN_READ_BYTES;
}

static bool is_open(const struct net *net)
{
    return net->connections > 0 || net->listener_count > 0 || peers_connected(net);
}

void net_check_stopped(struct net *net)
{
    if (net->stopped == NULL || is_open(net))
        return;
    void (*stopped)(void *arg) = net->stopped;
    net->stopped = NULL;
    uv_timer_stop(&net->deadline);
    stopped(net->stopped_arg);
}

static void on_deadline(uv_timer_t *timer)
{
    struct net *net = timer->data;
    if (is_open(net))
        LOG(net->options.log, LOG_WARNING, "net", "stopping late: what is still open is cut off",
            log_int("connections", (int64_t)net->connections));
    herd_node_abort(net->options.node);
    peers_abort(net);
    stream_loop_hasten(&net->streams);
    net_check_stopped(net);
}

void net_stop(struct net *net, int64_t within_ms, void (*stopped)(void *arg), void *arg)
{
    assert(net->stopped == NULL);
    net->stopped = stopped;
    net->stopped_arg = arg;
    listeners_close(net);
    last_words_begin(net, within_ms * LAST_WORDS_SHARE / 100);
    herd_node_stop(net->options.node, net_now());
    uv_timer_start(&net->deadline, on_deadline, is_open(net) ? (uint64_t)within_ms : 0, 0);
}

static void on_streams_closed(void *arg)
{
    struct net *net = arg;
    if (--net->handles == 0)
        free(net);
}

static void on_hook_closed(uv_handle_t *handle)
{
    on_streams_closed(handle->data);
}

void net_free(struct net *net)
{
    uv_handle_t *hooks[] = {
        (uv_handle_t *)&net->prepare,      (uv_handle_t *)&net->wakeup,
        (uv_handle_t *)&net->deadline,     (uv_handle_t *)&net->trial_timer,
        (uv_handle_t *)&net->limits.timer, (uv_handle_t *)&net->last_words.timer,
        (uv_handle_t *)&net->gather.timer};
    assert(net->connections == 0 && net->listener_count == 0);
    peers_free(net);
    limits_end(&net->limits);
    net->handles = sizeof(hooks) / sizeof(hooks[0]) + 1;
    stream_loop_close(&net->streams, on_streams_closed, net);
    for (int i = 0; i < (int)(sizeof(hooks) / sizeof(hooks[0])); i++)
        uv_close(hooks[i], on_hook_closed);
}
