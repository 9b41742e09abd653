/*
 * net.h: a virtual network: hosts dial each other, and what they write arrives later, in pieces, in
 * order on each connection, or never.
 *
 *   net_dial -> on_accept (there) -> on_dialled (here) -> net_write -> on_bytes (there), on_wrote
 *   (here) -> net_close -> on_end (there), on_closed (here)
 *
 * It behaves as TCP does where that shows: bytes are never lost from the middle, a reader that does
 * not read holds up its writer, bytes for a connection that is gone are answered with a reset, what
 * a cut holds up comes when the cut is over, and a host that died in silence is only found out by
 * somebody who writes, or asks. No callback is made inside a call.
 */
#ifndef SIM_NET_H
#define SIM_NET_H

#include <herd/buf.h>

#include "sim.h"

struct net;
struct net_end;

enum {
    NET_JOIN_MAX_MS = 200, /* as long as TCP waits before it sends again what was lost */
    NET_SPLIT_MAX_MS = 20  /* between a write's first piece and its last */
};

/* What a host does about what happens to its connections. `owner` is the host's. */
struct net_actor {
    void (*on_accept)(void *owner, struct net_end *end);
    /* failure: NULL, or why not; then the end is gone. */
    void (*on_dialled)(void *owner, struct net_end *end, const char *failure);
    void (*on_bytes)(void *owner, struct net_end *end, const char *data, size_t len);
    void (*on_end)(void *owner, struct net_end *end); /* the other side writes no more */
    void (*on_wrote)(void *owner, struct net_end *end, size_t len); /* the other side took it */
    void (*on_closed)(void *owner, struct net_end *end, const char *reason); /* the end is gone */
};

struct net_host {
    const char *name;
    const struct net_actor *actor;
    void *owner;
    struct net *net;
    struct net_end *ends;     /* that are not gone */
    uint32_t index;           /* < cut_hosts: can be cut off */
    bool listening;           /* else dials are refused */
    bool dark;                /* nothing answers, not even with a reset */
    bool keepalive;           /* its silent connections are found out in the end */
    int64_t stalled_until_ns; /* nothing happens to it before; its kernel goes on */
};

enum net_state {
    NET_NONE,
    NET_DIALLING,
    NET_PENDING, /* connected, not yet accepted */
    NET_OPEN,
    NET_CLOSING, /* what was written is still to be taken */
    NET_CLOSED,  /* to be reported */
    NET_GONE
};

struct net_segment {
    int64_t at_ns; /* arrives */
    size_t len;
};

/* One direction of a connection. */
struct net_pipe {
    struct herd_buf bytes;
    size_t taken; /* of bytes, from the beginning */
    struct net_segment *segments;
    size_t first, count, cap; /* a ring; cap is a power of two */
    int64_t last_at_ns;       /* of the newest segment: nothing overtakes it */
    unsigned retries;
    int64_t joins_until_ns, join_ns; /* writes of so long arrive together, before then */
    int64_t joined_until_ns;         /* what is written before arrives with the newest segment */
    int64_t splits_until_ns;         /* writes arrive in many pieces, before then */
    bool fin;                        /* nothing follows */
    bool scheduled;                  /* a delivery is on the queue */
};

struct net_end {
    struct net_wire *wire;
    struct net_host *host;
    struct net_end *prev, *next; /* of the host */
    void *data;                  /* the host's own */
    const char *reason;          /* of a reset on its way */
    struct net_pipe out;
    size_t late; /* taken bytes that a stalled host has not been told of */
    enum net_state state;
    bool reading;
    bool ended; /* it was told that the other side writes no more */
};

struct net_wire {
    struct net *net;
    struct net_wire *next; /* of all, or of the free ones */
    struct net_wire *next_free;
    struct net_end ends[2]; /* 0 has dialled 1 */
    uint64_t generation;    /* events of an older one mean nothing */
    uint64_t number;
    int64_t distance_ns;
    unsigned tries; /* to reach the other host */
    bool hole;      /* nothing gets through any more */
    bool mute;      /* and nobody says so to who tries */
};

struct net_options {
    int64_t delay_min_ns, delay_max_ns; /* of a segment, one way */
    unsigned spike_permille;            /* segments that take up to 20 times as long */
    unsigned cut_percent;               /* writes that arrive in pieces */
    unsigned join_percent;              /* writes that arrive together with the one before */
    int64_t keepalive_ns;
    int64_t late_max_ns; /* dials come so much later, and what a host that dies said last on
                            connections that it dialled */
    /* What a segment takes besides, always the same between two servers. */
    int64_t distance_min_ns, distance_max_ns;
    uint64_t distance_seed;
};

struct net_counts {
    uint64_t dials, refused, resets, timeouts, pieces, bytes;
    uint64_t joined, split; /* writes, by the weather */
};

struct net {
    struct sim *sim;
    struct net_options options;
    struct rng rng;
    struct net_wire *wires, *free_wires;
    uint8_t *cuts; /* cut_hosts x cut_hosts: how many cuts there are from .. to .. */
    uint32_t cut_hosts;
    uint64_t numbers;
    unsigned slow; /* how often it was made slower */
    bool weather;  /* writes may be joined or split */
    struct rng weather_rng;
    struct net_counts counts;
};

void net_init(struct net *net, struct sim *sim, const struct net_options *options, uint64_t seed,
              uint32_t cut_hosts);
void net_close_all(struct net *net);

/* While there is weather: what this end writes in `join_ns` at most arrives in one read; or what it
 * writes at once in many. */
void net_join(struct net_end *end, int64_t until_ns, int64_t join_ns);
void net_split(struct net_end *end, int64_t until_ns);
/* The longest that a segment takes where nothing is cut or slow; and whether all that is under way
 * arrives within that time. */
int64_t net_way_max_ns(const struct net *net);
bool net_is_settled(const struct net *net);

/* What a host asks for. `data` is for its end. */
struct net_end *net_dial(struct net_host *from, struct net_host *to, void *data);
void net_write(struct net_end *end, const char *data, size_t len);
void net_read(struct net_end *end, bool on);
void net_shutdown(struct net_end *end); /* writes no more, still reads */
void net_close(struct net_end *end);    /* once what was written is taken */
void net_abort(struct net_end *end);    /* at once; also while it is dialled */

static inline struct net_end *net_peer(struct net_end *end)
{
    return &end->wire->ends[end == &end->wire->ends[0]];
}

/* Bytes written that were not taken. */
static inline size_t net_untaken(const struct net_end *end)
{
    return end->out.bytes.len - end->out.taken;
}

/* What befalls hosts and connections. */
void net_crash(struct net_host *host, bool loud); /* loud: its kernel closes its connections */
void net_cut(struct net *net, uint32_t from, uint32_t to, bool cut);
bool net_is_cut(const struct net *net, uint32_t from, uint32_t to);
/* The connection dies; bits of `told`: which ends learn of it (0: none, it becomes a hole). */
void net_break(struct net_wire *wire, unsigned told);

/* Within net: pipe.c. */
int64_t net_delay(struct net *net);
bool net_reaches(const struct net_host *from, const struct net_host *to);
uint64_t net_tag(const struct net_end *end);
struct net_end *net_tagged(void *wire, uint64_t tag); /* NULL: of an older generation */
void net_schedule(struct net_end *from);
void net_drop(struct net_pipe *pipe);
void net_free_pipe(struct net_pipe *pipe);
void net_reset(struct net_end *end, int64_t at_ns, const char *reason);
/* Who waits for a connection that died in silence gives up some day, where its kernel asks. */
void net_watch(struct net_end *end);
void net_drained(struct net_end *end);
void net_release(struct net_wire *wire);

#endif
