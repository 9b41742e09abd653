/*
 * world.h: a herd in a virtual network, with phones that talk to it and a model of what it should
 * know. Everything that happens follows from the options and the seed.
 */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include <herd/node.h>

#include "fault.h"
#include "graph.h"
#include "model.h"
#include "net.h"
#include "plant.h"

struct server;
struct plain;
struct phone;

/* Batches of so few records, with more clients than that, take longer than a second for all. */
enum { WORLD_FEW_RECORDS_MAX = 16, WORLD_FEW_CLIENTS_MAX = 100 };

struct world_options {
    uint64_t seed;
    enum graph_kind graph;
    uint32_t servers;
    uint32_t plain;    /* how many of them are of the seed's simple kind */
    const char *kinds; /* of each server: o(urs), or plain: m(any), 1, c(loses), s(ilent); NULL: by
                          chance */
    const char *const *names; /* the ids; NULL: made up */
    uint32_t clients;         /* ids */
    uint32_t ids;             /* the first so many of them are the phones' */
    uint32_t phones;          /* connections that speak for them */
    double updates;           /* IAMAT a second, of all phones together */
    unsigned iamat_percent;
    unsigned fat_percent;  /* of locations */
    bool tidy;             /* phones send one line at a time, and nothing odd */
    int64_t turn_max_ns;   /* a server's loop collects events so long; 0: each event is a turn */
    unsigned roam_percent; /* of answers to IAMAT that make a phone go elsewhere and ask */
    int64_t phone_skew_max_ns; /* of a phone's clock, either way */
    int64_t skew_max_ns;       /* of a server's wall clock, either way */
    int64_t max_skew_ns;       /* the herd's own setting */
    int64_t wall_ns;           /* POSIX time at virtual time 0 */
    struct net_options net;
    size_t output_max;
    unsigned pipeline_max;
    unsigned batch_records_max; /* 0: the node's own */
    unsigned batch_step_max;    /* likewise */
    bool prune;
    enum herd_durability durability;
    bool disks;                /* each server of ours has one */
    bool lose_digests;         /* no DIGEST arrives: sequences alone have to do */
    int64_t record_ttl_ns;     /* 0: records do not end */
    int64_t safety_timeout_ns; /* 0: answers wait for the disk or a neighbour as long as it takes */
    unsigned faults;           /* bits of enum fault_kind */
    int64_t fault_every_ns;
    enum plant_kind plant;
    FILE *trace;
};

struct world_counts {
    uint64_t floods, flood_bytes;     /* lines from server to server */
    uint64_t controls, control_bytes; /* other lines between servers */
    uint64_t answers;                 /* whole ones that phones got */
    uint64_t refused; /* IAMAT whose records were not safe in time, or before a stop */
    uint64_t resent;  /* IAMAT that phones said again elsewhere */
    uint64_t after, after_waited, after_expired; /* WHATSAT … AFTER: answered with a record, of them
                                                    not at once; answered with `? ` */
    uint64_t batches;                            /* written to disks */
    uint64_t plain_dropped; /* FLOODs of plain servers that did not reach their neighbour */
    uint64_t deaths;        /* of servers of any kind, whatever the fault was */
    uint64_t faults[FAULT_KINDS];
};

struct world {
    struct sim sim;
    struct net net;
    struct model model;
    struct graph graph;
    struct world_options options;
    struct rng rng;          /* of what the world itself decides */
    struct server **servers; /* graph.size; NULL where there is a plain one */
    struct plain **plains;   /* graph.size; NULL where there is one of ours */
    struct net_host **hosts; /* graph.size: of either */
    bool *ours;              /* graph.size */
    struct phone **phones;
    struct phone *probe;      /* speaks only when it is told to */
    struct net_host stranger; /* sends FLOODs that it has seen */
    struct world_counts counts;
    struct plant plant;
    bool asked;        /* while it was quiet, a plain server was asked by HELLO */
    bool quiet;        /* no line but those that keep links may be said between servers */
    bool closing;      /* servers are freed one by one: what one says last reaches nobody */
    bool count_floods; /* for each record */
    bool faulty;       /* faults are injected */
    bool busy;         /* phones speak */
    bool peace;        /* and most ask for what is not there yet */
    int64_t healed_ns; /* when the last fault was over */
    int64_t calm_ns;   /* nothing of a fault is left since then; SIM_NEVER: something is */
};

/* What a server is called: those of herd.conf, then numbers. */
const char *world_server_name(uint32_t i, char room[16]);

void world_init(struct world *world, const struct world_options *options);
void world_close(struct world *world);
/* All servers start. */
void world_start(struct world *world);

static inline int64_t world_wall_ns(const struct world *world)
{
    return world->options.wall_ns + world->sim.now_ns;
}

/* Whether a record has ended by the clock of any server. */
bool world_has_ended(const struct world *world, const struct model_record *record);

/* A line goes from one server to another; in answer to a KEYS or a WANT. */
void world_line_sent(struct world *world, uint32_t to, struct herd_slice line, bool mends);

/* No fault begins any more, nothing is cut, and our servers run; the simple ones will. */
void world_heal(struct world *world);

bool world_is_up(const struct world *world);
/* Whether all stores are equal, and hold the newest of what survived. */
bool world_is_even(const struct world *world);
/* Fails the run if they are not, and says who holds what. */
void world_fail_uneven(struct world *world);
/* Whether no server has a connection of a link whose other end is gone, nor a simple one a FLOOD on
 * its way. */
bool world_is_whole(const struct world *world);
/* Whether all links of all servers are up, and have nothing left to send. */
bool world_is_linked(const struct world *world);

/* Looks whether nothing of a fault is left: all run, links are up and have sent all, ACKs count, and
 * neither network nor disks have anything to make up for. */
void world_note_calm(struct world *world);

/* Whether all phones have hung up, and the servers know it. */
bool world_is_left(const struct world *world);
/* How many requests of phones have no answer yet. */
uint64_t world_waiting(const struct world *world);

/* Compares all stores with what they should hold; fails the run if they differ. */
void world_audit(struct world *world);
/* Fails the run if servers that hold the same have not the same digest. */
void world_check_digests(struct world *world);
/* Fails the run if something that a client was told of is gone, though one who held it lives. */
void world_check_promises(struct world *world);

#endif
