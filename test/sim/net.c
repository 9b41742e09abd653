#include <assert.h>
#include <stdlib.h>

#include "net.h"

enum {
    SPIKE_TIMES = 20,
    SLOW_TIMES = 10,
    SYN_RETRY_MS = 1000, /* the first time; doubles */
    SYN_TRIES_MAX = 5,
    LINGER_S = 30 /* what a closing end waits for a reader that does not read */
};

void net_init(struct net *net, struct sim *sim, const struct net_options *options, uint64_t seed,
              uint32_t cut_hosts)
{
    *net = (struct net){.sim = sim, .options = *options, .cut_hosts = cut_hosts};
    net->rng.state = seed;
    net->cuts = sim_alloc((size_t)cut_hosts * cut_hosts, 1);
}

void net_close_all(struct net *net)
{
    while (net->wires != NULL) {
        struct net_wire *wire = net->wires;
        net->wires = wire->next;
        net_free_pipe(&wire->ends[0].out);
        net_free_pipe(&wire->ends[1].out);
        free(wire);
    }
    free(net->cuts);
}

int64_t net_delay(struct net *net)
{
    const struct net_options *options = &net->options;
    if (options->delay_min_ns == options->delay_max_ns)
        return options->delay_min_ns;
    int64_t delay_ns = rng_between(&net->rng, options->delay_min_ns, options->delay_max_ns);
    if (options->spike_permille > 0 && rng_below(&net->rng, 1000) < options->spike_permille)
        delay_ns *= rng_between(&net->rng, 1, SPIKE_TIMES);
    return net->slow > 0 ? delay_ns * SLOW_TIMES : delay_ns;
}

int64_t net_way_max_ns(const struct net *net)
{
    const struct net_options *options = &net->options;
    int64_t spike = options->spike_permille > 0 ? SPIKE_TIMES : 1;
    int64_t way_ns = options->delay_max_ns * spike + options->distance_max_ns;
    return way_ns + (net->weather ? (NET_JOIN_MAX_MS + NET_SPLIT_MAX_MS) * SIM_MS : 0);
}

static bool is_pipe_settled(const struct net *net, const struct net_pipe *pipe)
{
    return pipe->count == 0 ||
           (pipe->retries == 0 && pipe->last_at_ns <= net->sim->now_ns + net_way_max_ns(net));
}

bool net_is_settled(const struct net *net)
{
    const struct net_wire *wire = net->wires;
    while (wire != NULL && is_pipe_settled(net, &wire->ends[0].out) &&
           is_pipe_settled(net, &wire->ends[1].out))
        wire = wire->next;
    return wire == NULL;
}

bool net_is_cut(const struct net *net, uint32_t from, uint32_t to)
{
    return net->cuts[(size_t)from * net->cut_hosts + to] > 0;
}

bool net_reaches(const struct net_host *from, const struct net_host *to)
{
    const struct net *net = from->net;
    if (from->dark || to->dark)
        return false;
    return from->index >= net->cut_hosts || to->index >= net->cut_hosts ||
           !net_is_cut(net, from->index, to->index);
}

void net_cut(struct net *net, uint32_t from, uint32_t to, bool cut)
{
    uint8_t *count = &net->cuts[(size_t)from * net->cut_hosts + to];
    assert(cut ? *count < UINT8_MAX : *count > 0);
    *count = (uint8_t)(cut ? *count + 1 : *count - 1);
}

uint64_t net_tag(const struct net_end *end)
{
    return end->wire->generation << 1 | (end == &end->wire->ends[1]);
}

struct net_end *net_tagged(void *owner, uint64_t tag)
{
    struct net_wire *wire = owner;
    return wire->generation == tag >> 1 ? &wire->ends[tag & 1] : NULL;
}

static void join_host(struct net_end *end, enum net_state state)
{
    end->state = state;
    end->prev = NULL;
    end->next = end->host->ends;
    if (end->next != NULL)
        end->next->prev = end;
    end->host->ends = end;
}

static void leave_host(struct net_end *end)
{
    if (end->prev != NULL)
        end->prev->next = end->next;
    else
        end->host->ends = end->next;
    if (end->next != NULL)
        end->next->prev = end->prev;
    end->state = NET_GONE;
}

static bool is_over(const struct net_end *end)
{
    return end->state == NET_NONE || end->state == NET_GONE;
}

/* A wire that no host has an end of is free for the next dial. */
void net_release(struct net_wire *wire)
{
    if (!is_over(&wire->ends[0]) || !is_over(&wire->ends[1]))
        return;
    wire->generation++;
    net_drop(&wire->ends[0].out);
    net_drop(&wire->ends[1].out);
    wire->ends[0].state = wire->ends[1].state = NET_NONE;
    wire->next_free = wire->net->free_wires;
    wire->net->free_wires = wire;
}

static struct net_wire *take_wire(struct net *net)
{
    struct net_wire *wire = net->free_wires;
    if (wire != NULL) {
        net->free_wires = wire->next_free;
        return wire;
    }
    wire = sim_alloc(1, sizeof(*wire));
    wire->net = net;
    wire->next = net->wires;
    net->wires = wire;
    return wire;
}

static void clear_end(struct net_wire *wire, struct net_end *end, struct net_host *host)
{
    struct net_pipe pipe = {
        .bytes = end->out.bytes, .segments = end->out.segments, .cap = end->out.cap};
    pipe.bytes.len = 0;
    *end = (struct net_end){.wire = wire, .host = host, .out = pipe};
}

/* The end is gone, and its host is told. */
static void finish(struct net_end *end, const char *reason)
{
    enum net_state state = end->state;
    const struct net_actor *actor = end->host->actor;
    net_drop(&end->out);
    leave_host(end);
    if (state == NET_DIALLING)
        actor->on_dialled(end->host->owner, end, reason);
    else if (state != NET_PENDING)
        actor->on_closed(end->host->owner, end, reason);
    net_release(end->wire);
}

static void on_reset(void *owner, uint64_t tag)
{
    struct net_end *end = net_tagged(owner, tag);
    if (end == NULL || is_over(end) || end->state == NET_CLOSED)
        return;
    struct sim *sim = end->wire->net->sim;
    if (end->host->stalled_until_ns > sim->now_ns && end->state != NET_PENDING) {
        sim_at(sim, end->host->stalled_until_ns, on_reset, owner, tag);
        return;
    }
    end->wire->net->counts.resets++;
    finish(end, end->reason);
}

void net_reset(struct net_end *end, int64_t at_ns, const char *reason)
{
    if (is_over(end) || end->state == NET_CLOSED)
        return;
    end->reason = reason;
    sim_at(end->wire->net->sim, at_ns, on_reset, end->wire, net_tag(end));
}

static void on_keepalive(void *owner, uint64_t tag)
{
    struct net_end *end = net_tagged(owner, tag);
    if (end == NULL || (!end->wire->hole && !is_over(net_peer(end))))
        return;
    end->wire->net->counts.timeouts++;
    net_reset(end, end->wire->net->sim->now_ns, "connection timed out");
}

void net_watch(struct net_end *end)
{
    struct net *net = end->wire->net;
    if (end->host->keepalive || net_peer(end)->host->keepalive)
        sim_at(net->sim, net->sim->now_ns + net->options.keepalive_ns, on_keepalive, end->wire,
               net_tag(end));
}

static void on_report(void *owner, uint64_t tag)
{
    struct net_end *end = net_tagged(owner, tag);
    if (end == NULL || end->state != NET_CLOSED)
        return;
    struct sim *sim = end->wire->net->sim;
    if (end->host->stalled_until_ns > sim->now_ns) {
        sim_at(sim, end->host->stalled_until_ns, on_report, owner, tag);
        return;
    }
    leave_host(end);
    end->host->actor->on_closed(end->host->owner, end, "closed");
    net_release(end->wire);
}

static void close_end(struct net_end *end)
{
    end->state = NET_CLOSED;
    sim_at(end->wire->net->sim, end->wire->net->sim->now_ns, on_report, end->wire, net_tag(end));
}

void net_drained(struct net_end *end)
{
    close_end(end);
}

static void write_fin(struct net_end *end)
{
    int64_t at_ns = end->wire->net->sim->now_ns + net_delay(end->wire->net);
    end->out.fin = true;
    if (at_ns > end->out.last_at_ns)
        end->out.last_at_ns = at_ns;
    net_schedule(end);
}

/* Some kernels end what was written properly, some throw it away: it depends on what is unread. A
 * reset that does not get through is lost. */
static void hang_up(struct net_end *end)
{
    struct net *net = end->wire->net;
    struct net_end *peer = net_peer(end);
    if (rng_percent(&net->rng, 50)) {
        write_fin(end);
        return;
    }
    net_drop(&end->out);
    if (net_reaches(end->host, peer->host) && !end->wire->hole)
        net_reset(peer, net->sim->now_ns + net_delay(net), "connection reset by peer");
}

static void on_linger(void *owner, uint64_t tag)
{
    struct net_end *end = net_tagged(owner, tag);
    if (end != NULL && end->state == NET_CLOSING)
        net_abort(end);
}

void net_read(struct net_end *end, bool on)
{
    end->reading = on;
    if (on && net_peer(end)->state != NET_NONE)
        net_schedule(net_peer(end));
}

void net_shutdown(struct net_end *end)
{
    assert(end->state == NET_OPEN);
    write_fin(end);
}

void net_close(struct net_end *end)
{
    struct sim *sim = end->wire->net->sim;
    assert(end->state == NET_OPEN);
    end->state = NET_CLOSING;
    write_fin(end);
    net_schedule(net_peer(end));
    if (end->out.count == 0)
        close_end(end);
    else
        sim_at(sim, sim->now_ns + LINGER_S * SIM_S, on_linger, end->wire, net_tag(end));
}

void net_abort(struct net_end *end)
{
    bool dialling = end->state == NET_DIALLING;
    assert(dialling || end->state == NET_OPEN || end->state == NET_CLOSING);
    close_end(end);
    if (!is_over(net_peer(end)))
        hang_up(end);
}

/* The answer of the other host's kernel has come. */
static void on_answered(void *owner, uint64_t tag)
{
    struct net_end *end = net_tagged(owner, tag);
    if (end == NULL || end->state != NET_DIALLING)
        return;
    struct net_host *host = end->host;
    struct sim *sim = end->wire->net->sim;
    if (!net_reaches(net_peer(end)->host, host)) {
        sim_at(sim, sim->now_ns + SYN_RETRY_MS * SIM_MS, on_answered, owner, tag);
    } else if (host->stalled_until_ns > sim->now_ns) {
        sim_at(sim, host->stalled_until_ns, on_answered, owner, tag);
    } else {
        end->state = NET_OPEN;
        end->reading = true;
        host->actor->on_dialled(host->owner, end, NULL);
    }
}

static void on_accept(void *owner, uint64_t tag)
{
    struct net_end *end = net_tagged(owner, tag);
    if (end == NULL || end->state != NET_PENDING)
        return;
    struct net_host *host = end->host;
    struct sim *sim = end->wire->net->sim;
    if (host->stalled_until_ns > sim->now_ns) {
        sim_at(sim, host->stalled_until_ns, on_accept, owner, tag);
    } else if (!host->listening) {
        net_reset(net_peer(end), sim->now_ns + net_delay(host->net), "connection reset by peer");
        finish(end, "not listening");
    } else {
        end->state = NET_OPEN;
        end->reading = true;
        host->actor->on_accept(host->owner, end);
    }
}

static void on_knock(void *owner, uint64_t tag)
{
    struct net_end *end = net_tagged(owner, tag);
    if (end == NULL || end->state != NET_DIALLING)
        return;
    struct net_end *peer = net_peer(end);
    struct net *net = end->wire->net;
    struct sim *sim = net->sim;
    if (!net_reaches(end->host, peer->host)) {
        int64_t wait_ns = (SYN_RETRY_MS * SIM_MS) << end->wire->tries;
        if (end->wire->tries++ == SYN_TRIES_MAX)
            net_reset(end, sim->now_ns, "connection timed out");
        else
            sim_at(sim, sim->now_ns + wait_ns, on_knock, owner, tag);
        return;
    }
    int64_t back_ns = sim->now_ns + net_delay(net);
    if (!peer->host->listening) {
        net->counts.refused++;
        net_reset(end, back_ns, "connection refused");
        return;
    }
    join_host(peer, NET_PENDING);
    peer->out.last_at_ns = back_ns;
    sim_at(sim, sim->now_ns, on_accept, end->wire, net_tag(peer));
    sim_at(sim, back_ns, on_answered, owner, tag);
}

static int64_t distance_ns(const struct net *net, uint32_t a, uint32_t b)
{
    const struct net_options *options = &net->options;
    if (options->distance_max_ns == 0 || a >= net->cut_hosts || b >= net->cut_hosts)
        return 0;
    uint64_t edge = a < b ? (uint64_t)a << 32 | b : (uint64_t)b << 32 | a;
    struct rng rng = {options->distance_seed ^ edge * UINT64_C(0x9e3779b97f4a7c15)};
    return rng_between(&rng, options->distance_min_ns, options->distance_max_ns);
}

static int64_t late_ns(struct net *net)
{
    int64_t max_ns = net->options.late_max_ns;
    return max_ns > 0 ? rng_between(&net->rng, 0, max_ns) : 0;
}

struct net_end *net_dial(struct net_host *from, struct net_host *to, void *data)
{
    struct net *net = from->net;
    struct sim *sim = net->sim;
    struct net_wire *wire = take_wire(net);
    clear_end(wire, &wire->ends[0], from);
    clear_end(wire, &wire->ends[1], to);
    wire->number = ++net->numbers;
    wire->tries = 0;
    wire->distance_ns = distance_ns(net, from->index, to->index);
    wire->hole = wire->mute = false;
    wire->ends[0].data = data;
    join_host(&wire->ends[0], NET_DIALLING);
    net->counts.dials++;
    sim_mix(sim, wire->number);
    sim_at(sim, sim->now_ns + net_delay(net) + late_ns(net), on_knock, wire,
           net_tag(&wire->ends[0]));
    return &wire->ends[0];
}

static void come_late(struct net_end *end)
{
    struct net_pipe *pipe = &end->out;
    int64_t by_ns = late_ns(end->wire->net);
    for (size_t i = 0; i < pipe->count; i++)
        pipe->segments[(pipe->first + i) & (pipe->cap - 1)].at_ns += by_ns;
    pipe->last_at_ns += by_ns;
}

void net_crash(struct net_host *host, bool loud)
{
    host->listening = false;
    host->dark = !loud;
    while (host->ends != NULL) {
        struct net_end *end = host->ends;
        struct net_end *peer = net_peer(end);
        leave_host(end);
        if (!loud)
            net_drop(&end->out);
        else if (end == &end->wire->ends[0])
            come_late(end);
        if (is_over(peer)) {
            net_release(end->wire);
            continue;
        }
        if (loud)
            hang_up(end);
        net_watch(peer);
    }
}

void net_break(struct net_wire *wire, unsigned told)
{
    struct net *net = wire->net;
    wire->hole = true;
    wire->mute = told == 0 || rng_percent(&net->rng, 50);
    for (unsigned side = 0; side < 2; side++) {
        struct net_end *end = &wire->ends[side];
        net_drop(&end->out);
        if (told & 1u << side)
            net_reset(end, net->sim->now_ns + net_delay(net), "connection timed out");
        else
            net_watch(end);
    }
}
