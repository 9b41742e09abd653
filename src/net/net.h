/* net.h: carries a node's bytes: listeners, accepted connections, the dialled links, and the node's
 * effects once a turn. */
#ifndef NET_NET_H
#define NET_NET_H

#include <uv.h>

#include <herd/node.h>

#include "base/log.h"
#include "base/metrics.h"
#include "net/limits.h"

struct net;

enum {
    NET_TRIALS_MAX = 32, /* connections at once that may be a neighbour's and have not said so */
    NET_TRIAL_MS = 1000, /* that each has, unless more come */
    NET_NEIGHBOURS_PER_PEER = 2, /* accepted connections that are no client's */
    /* Descriptors that each takes at most: the one accepted connection that has greeted, and those
     * that have not. */
    NET_FILES_PER_PEER = NET_NEIGHBOURS_PER_PEER + 1,
    NET_TURN_READS = 512,
    NET_TURN_READ_BYTES = 1024 * 1024
};

/* How much there may be of clients. */
struct net_room {
    size_t connections_max; /* at once */
    unsigned turn_reads;    /* in a turn of the loop; 0: NET_TURN_READS */
    size_t turn_read_bytes; /* the same; 0: NET_TURN_READ_BYTES */
    /* Descriptors that clients must not have: links, accepted neighbours (NET_FILES_PER_PEER of
     * each), NET_TRIALS_MAX, places, disk. */
    size_t files_reserved;
};

struct net_options {
    uv_loop_t *loop;
    struct herd_node *node; /* borrowed; outlives the net */
    struct log *log;
    struct metrics *metrics;
    struct net_room room;
    unsigned *lookups; /* NULL, or counts the names that are looked up: they may outlive the net */
    /* Effects that are not the net's: PLACES and NOTICE. */
    void (*effect)(void *arg, const struct herd_effect *effect);
    void *arg;
};

/* Hooks into the loop. 0, HERD_ENOMEM or HERD_EIO. */
int net_new(const struct net_options *options, struct net **out);

/*
 * Listens on host:port (a number, or a name, which blocks: only before the loop runs). 0, or
 * HERD_EIO with a sentence appended to `error`. *out_port (may be NULL) is the port, also when 0
 * was asked for.
 */
int net_listen(struct net *net, const char *host, uint16_t port, uint16_t *out_port,
               struct herd_buf *error);

/* An edge: the node gets a neighbour, whose link is dialled at this address. 0, HERD_EEXISTS,
 * HERD_ENOMEM. Copied. */
int net_add_peer(struct net *net, const char *name, const char *host, uint16_t port);
/* 0 or HERD_ENOTFOUND. */
int net_remove_peer(struct net *net, const char *name);

void net_set_room(struct net *net, const struct net_room *room);
/* connections_max, or as many as the limit of open files, as it is now, leaves: at least 1. */
size_t net_room_allows(const struct net_room *room);

/* herd_node_give_back, and what the net itself has freed. */
size_t net_give_back(struct net *net, size_t *kept_bytes);

/* What the node has for neighbours and connections goes out now, not at the end of the turn. Not in
 * the callback of an effect. */
void net_flush_early(struct net *net);

/* Another room's limit was reached: told as the net's own are. */
void net_count_limit(struct net *net, enum limit which);

/* The time as the node's events want it. */
struct herd_now net_now(void);

/* Stops listening, answers what was received, closes; `stopped` runs once nothing is open, at the
 * latest after `within_ms`. */
void net_stop(struct net *net, int64_t within_ms, void (*stopped)(void *arg), void *arg);

/* After `stopped`: unhooks from the loop, frees once the handles are closed. */
void net_free(struct net *net);

#endif
