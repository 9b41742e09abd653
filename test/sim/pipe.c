/*
 * One direction of a connection: writes become segments, which arrive after a delay, none before
 * the one written earlier. A pipe has one event on the queue at most: the arrival of its first
 * segment.
 */
#include <assert.h>
#include <stdlib.h>

#include "net.h"

enum {
    PIECES_MAX = 4,
    SPLIT_PIECES = 16,    /* about so many, of a write of some length */
    TAKE_MAX = 65536,     /* bytes in one read */
    RETRY_MS = 200,       /* the first time; doubles */
    RETRY_DOUBLINGS = 4,  /* up to 3.2 s */
    RETRIES_MAX = 12,     /* about 30 s, then the connection is given up */
    PENDING_RETRY_MS = 50 /* what comes before the answer to a dial */
};

void net_join(struct net_end *end, int64_t until_ns, int64_t join_ns)
{
    assert(join_ns > 0 && join_ns <= NET_JOIN_MAX_MS * SIM_MS);
    end->out.joins_until_ns = until_ns;
    end->out.join_ns = join_ns;
}

void net_split(struct net_end *end, int64_t until_ns)
{
    end->out.splits_until_ns = until_ns;
}

void net_drop(struct net_pipe *pipe)
{
    pipe->bytes.len = pipe->taken = 0;
    pipe->first = pipe->count = 0;
    pipe->fin = false;
}

void net_free_pipe(struct net_pipe *pipe)
{
    herd_buf_free(&pipe->bytes);
    free(pipe->segments);
    *pipe = (struct net_pipe){0};
}

static struct net_segment *segment_at(struct net_pipe *pipe, size_t i)
{
    return &pipe->segments[(pipe->first + i) & (pipe->cap - 1)];
}

static void grow_segments(struct net_pipe *pipe)
{
    size_t cap = pipe->cap > 0 ? pipe->cap * 2 : 8;
    struct net_segment *segments = sim_alloc(cap, sizeof(*segments));
    for (size_t i = 0; i < pipe->count; i++)
        segments[i] = *segment_at(pipe, i);
    free(pipe->segments);
    pipe->segments = segments;
    pipe->cap = cap;
    pipe->first = 0;
}

static void push_segment(struct net_pipe *pipe, int64_t at_ns, size_t len)
{
    if (pipe->count == pipe->cap)
        grow_segments(pipe);
    *segment_at(pipe, pipe->count++) = (struct net_segment){at_ns, len};
    pipe->last_at_ns = at_ns;
}

static void add_segment(struct net_end *end, size_t len)
{
    struct net *net = end->wire->net;
    struct net_pipe *pipe = &end->out;
    int64_t at_ns = net->sim->now_ns + end->wire->distance_ns + net_delay(net);
    if (at_ns < pipe->last_at_ns || (pipe->count > 0 && net->options.join_percent > 0 &&
                                     rng_percent(&net->rng, net->options.join_percent)))
        at_ns = pipe->last_at_ns;
    push_segment(pipe, at_ns, len);
}

/* The first write is held back, and those that follow soon arrive with it. */
static void begin_join(struct net_end *end, size_t len)
{
    struct net *net = end->wire->net;
    struct net_pipe *pipe = &end->out;
    pipe->joined_until_ns = net->sim->now_ns + rng_between(&net->weather_rng, 1, pipe->join_ns);
    int64_t at_ns = pipe->joined_until_ns + end->wire->distance_ns + net_delay(net);
    push_segment(pipe, at_ns > pipe->last_at_ns ? at_ns : pipe->last_at_ns, len);
}

static void add_split(struct net_end *end, size_t len)
{
    struct net *net = end->wire->net;
    struct net_pipe *pipe = &end->out;
    int64_t gap_max_ns = 1 + NET_SPLIT_MAX_MS * SIM_MS / (int64_t)len;
    add_segment(end, 1);
    net->counts.split += len > 1;
    for (size_t left = len - 1; left > 0;) {
        size_t piece = 1 + (size_t)rng_below(&net->weather_rng, len / SPLIT_PIECES * 2 + 1);
        piece = piece < left ? piece : left;
        push_segment(pipe, pipe->last_at_ns + rng_between(&net->weather_rng, 1, gap_max_ns), piece);
        left -= piece;
    }
}

/* Whether the weather has decided when a write arrives. */
static bool add_by_weather(struct net_end *end, size_t len)
{
    struct net *net = end->wire->net;
    struct net_pipe *pipe = &end->out;
    int64_t now_ns = net->sim->now_ns;
    if (now_ns < pipe->joined_until_ns) {
        push_segment(pipe, pipe->last_at_ns, len);
        net->counts.joined++;
    } else if (now_ns < pipe->joins_until_ns) {
        begin_join(end, len);
    } else if (now_ns < pipe->splits_until_ns) {
        add_split(end, len);
    } else {
        return false;
    }
    return true;
}

/* Most writes arrive whole; some in pieces, cut anywhere. */
static void add_pieces(struct net_end *end, size_t len)
{
    struct net *net = end->wire->net;
    if (net->weather && add_by_weather(end, len))
        return;
    if (net->options.cut_percent > 0 && rng_percent(&net->rng, net->options.cut_percent)) {
        for (uint64_t more = rng_below(&net->rng, PIECES_MAX); more > 0 && len > 1; more--) {
            size_t piece = 1 + (size_t)rng_below(&net->rng, len - 1);
            add_segment(end, piece);
            net->counts.pieces++;
            len -= piece;
        }
    }
    add_segment(end, len);
}

/* What is under way has at most half of the buffer as slack before it. */
static void compact(struct net_pipe *pipe)
{
    if (pipe->taken == pipe->bytes.len) {
        pipe->bytes.len = pipe->taken = 0;
    } else if (pipe->taken > pipe->bytes.len / 2) {
        herd_buf_consume(&pipe->bytes, pipe->taken);
        pipe->taken = 0;
    }
}

void net_write(struct net_end *end, const char *data, size_t len)
{
    struct net *net = end->wire->net;
    assert(end->state == NET_OPEN && !end->out.fin);
    if (len == 0)
        return;
    compact(&end->out);
    if (herd_buf_append(&end->out.bytes, data, len) < 0)
        abort();
    net->counts.bytes += len;
    add_pieces(end, len);
    net_schedule(end);
}

static size_t due_bytes(struct net_pipe *pipe, int64_t now_ns)
{
    size_t len = 0;
    while (pipe->count > 0 && len < TAKE_MAX && segment_at(pipe, 0)->at_ns <= now_ns) {
        len += segment_at(pipe, 0)->len;
        pipe->first = (pipe->first + 1) & (pipe->cap - 1);
        pipe->count--;
    }
    return len;
}

static void on_late_wrote(void *owner, uint64_t tag)
{
    struct net_end *end = net_tagged(owner, tag);
    if (end == NULL || end->late == 0 || (end->state != NET_OPEN && end->state != NET_CLOSING))
        return;
    struct sim *sim = end->wire->net->sim;
    if (end->host->stalled_until_ns > sim->now_ns) {
        sim_at(sim, end->host->stalled_until_ns, on_late_wrote, owner, tag);
        return;
    }
    size_t len = end->late;
    end->late = 0;
    end->host->actor->on_wrote(end->host->owner, end, len);
}

static void tell_wrote(struct net_end *end, size_t len)
{
    struct sim *sim = end->wire->net->sim;
    if (end->state != NET_OPEN && end->state != NET_CLOSING)
        return;
    if (end->late > 0 || end->host->stalled_until_ns > sim->now_ns) {
        if (end->late == 0)
            sim_at(sim, end->host->stalled_until_ns, on_late_wrote, end->wire, net_tag(end));
        end->late += len;
        return;
    }
    end->host->actor->on_wrote(end->host->owner, end, len);
}

/* The other side takes what has arrived; one that closes takes it too, and forgets it. */
static void take(struct net_end *from, struct net_end *to)
{
    struct sim *sim = from->wire->net->sim;
    struct net_pipe *pipe = &from->out;
    size_t len = due_bytes(pipe, sim->now_ns);
    if (len > 0) {
        const char *data = pipe->bytes.data + pipe->taken;
        sim_mix(sim, (uint64_t)sim->now_ns);
        sim_mix(sim, from->wire->number);
        sim_mix_bytes(sim, data, len);
        if (to->state == NET_OPEN)
            to->host->actor->on_bytes(to->host->owner, to, data, len);
        pipe->taken += len;
        tell_wrote(from, len);
    }
    if (pipe->fin && pipe->count == 0 && sim->now_ns >= pipe->last_at_ns && !to->ended &&
        to->state == NET_OPEN && to->reading) {
        to->ended = true;
        sim_mix(sim, ~from->wire->number);
        to->host->actor->on_end(to->host->owner, to);
    }
    if (pipe->count == 0 && from->state == NET_CLOSING)
        net_drained(from);
}

static void on_delivery(void *owner, uint64_t tag);

static void deliver_at(struct net_end *from, int64_t at_ns)
{
    from->out.scheduled = true;
    sim_at(from->wire->net->sim, at_ns, on_delivery, from->wire, net_tag(from));
}

/* As TCP sends again, less and less often. */
static void deliver_later(struct net_end *from)
{
    struct net_pipe *pipe = &from->out;
    struct net *net = from->wire->net;
    if (pipe->retries++ == RETRIES_MAX) {
        net->counts.timeouts++;
        net_drop(pipe);
        net_reset(from, net->sim->now_ns, "connection timed out");
        net_watch(net_peer(from));
        return;
    }
    unsigned doublings = pipe->retries < RETRY_DOUBLINGS ? pipe->retries : RETRY_DOUBLINGS;
    int64_t wait_ns = (RETRY_MS * SIM_MS) << doublings;
    deliver_at(from, net->sim->now_ns + rng_between(&net->rng, wait_ns / 2, wait_ns));
}

static void on_delivery(void *owner, uint64_t tag)
{
    struct net_end *from = net_tagged(owner, tag);
    if (from == NULL)
        return;
    struct net_end *to = net_peer(from);
    struct sim *sim = from->wire->net->sim;
    bool stalled = to->host->stalled_until_ns > sim->now_ns;
    from->out.scheduled = false;
    if (from->wire->mute)
        return;
    bool refused = from->wire->hole || to->state == NET_CLOSED || to->state == NET_GONE;
    if (!net_reaches(from->host, to->host) || (refused && !net_reaches(to->host, from->host))) {
        deliver_later(
            from); /* it does not come, or the answer that it has nowhere to go does not */
        return;
    }
    from->out.retries = 0;
    if (!from->wire->hole && (to->state == NET_PENDING || to->state == NET_DIALLING)) {
        deliver_at(from,
                   stalled ? to->host->stalled_until_ns : sim->now_ns + PENDING_RETRY_MS * SIM_MS);
    } else if (refused) {
        net_drop(&from->out);
        net_reset(from, sim->now_ns + net_delay(from->wire->net), "connection reset by peer");
    } else if (stalled) {
        deliver_at(from, to->host->stalled_until_ns);
    } else if (to->reading || to->state == NET_CLOSING) {
        take(from, to);
        net_schedule(from);
    }
}

void net_schedule(struct net_end *from)
{
    struct net_pipe *pipe = &from->out;
    struct net_end *to = net_peer(from);
    if (pipe->scheduled || (pipe->count == 0 && (!pipe->fin || to->ended)))
        return;
    /* One that does not read is asked again when it does. */
    if (to->state == NET_OPEN && !to->reading)
        return;
    if (pipe->count == 0 && to->state == NET_CLOSING)
        return;
    int64_t at_ns = pipe->count > 0 ? segment_at(pipe, 0)->at_ns : pipe->last_at_ns;
    int64_t now_ns = from->wire->net->sim->now_ns;
    deliver_at(from, at_ns > now_ns ? at_ns : now_ns);
}
