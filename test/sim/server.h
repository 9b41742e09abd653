/*
 * server.h: a herd_node on a virtual host: carries its events and effects to and from the network,
 * and compares each line it takes with what the model says should come of it.
 */
#ifndef SIM_SERVER_H
#define SIM_SERVER_H

#include "disk.h"
#include "world.h"

#define SERVER_NOBODY UINT32_MAX

/* A connection of a node, and the end of it in the network. */
struct plug {
    struct server *server;
    struct herd_conn *conn;
    struct net_end *end; /* NULL: a link that is not connected */
    struct plug *prev, *next;
    uint32_t neighbour; /* a link: whom it dials; accepted: SERVER_NOBODY */
    size_t planted;     /* bytes under way that the node knows nothing of */
    uint64_t mends; /* FLOODs to come that answer a KEYS or a WANT: the first that are written */
    bool removed;   /* a link whose edge is gone: it goes when it is closed */
};

/* WHATSAT that wait for the world's provider. */
struct server_ask {
    struct server *server;
    struct herd_ask *ask; /* NULL: the server has died since */
    struct server_ask *prev, *next;
    struct herd_location where;
    double radius_m;
    unsigned count;
};

/* A WHATSAT … AFTER that waits for a record. */
struct server_wait {
    struct server_wait *next;
    struct plug *plug;
    uint64_t number; /* the phone's */
    uint32_t client;
    int64_t after_ns;
    int64_t deadline_ns; /* mono */
    double radius_m;
    unsigned count;
    struct herd_buf line;
};

/* A clock is set: when, and what it showed before. */
struct clock_set {
    int64_t at_ns, before_ns;
};

struct server {
    struct world *world;
    struct net_host host;
    uint32_t index;
    char name[16];
    struct herd_node *node; /* NULL: down */
    uint64_t lives;         /* times it was started */
    int64_t skew_ns;        /* its wall clock is so much ahead */
    int64_t wrong_ns;       /* of that, for a while, where records end */
    struct clock_set *sets; /* of its clock, by time */
    size_t set_count, set_cap;
    int64_t mono_base_ns;
    int64_t disturbed_ns; /* the last time something befell it */
    int64_t tick_at_ns;
    size_t starve_at;   /* the allocation of its node that fails, counted from now; 0: none */
    int64_t starved_ns; /* the last time one did */
    bool starved;       /* in the event that is being handled */
    bool inside;        /* a call of its node is under way */
    bool turn_pending;  /* effects will be taken at the end of the turn */
    bool stopping;
    bool *edges;         /* of its configuration, by neighbour */
    struct plug **links; /* by neighbour; NULL: none */
    struct plug *plugs;  /* all: links, those removed, what was accepted */
    struct server_ask *asks;
    struct server_wait *waits;
    struct disk *disk; /* NULL: it has none */
    /* Of the line that is being handled. */
    uint64_t sequence;
    uint64_t records_expired;
    int64_t told_ended_ns;         /* by neighbours: what was received up to then */
    struct plug *taking;           /* whose line it is */
    bool by_neighbour;             /* it is a FLOOD */
    struct model_record *expected; /* what has to be kept; NULL: nothing */
};

struct server *server_new(struct world *world, uint32_t index);
void server_free(struct server *server);

void server_start(struct server *server);
/* Dies at once. Loud: its kernel closes its connections. */
void server_crash(struct server *server, bool loud);
/* Stops as asked: answers what it has received. It is down when server->node is NULL. */
void server_stop(struct server *server);

/* Its configuration gains or loses a neighbour, while it runs or not. */
void server_configure(struct server *server, uint32_t neighbour, bool edge);
/* A planted bug: it forgets all, and the model does not learn of it. */
void server_forget(struct server *server);
/* Whether its store has exactly this of the record's client. */
bool server_holds(const struct server *server, const struct model_record *record);

struct herd_now server_now(const struct server *server);
/* Its wall clock is so much ahead from now on. */
void server_set_clock(struct server *server, int64_t skew_ns);
/* The latest that its clock has shown since then. */
int64_t server_latest_ns(const struct server *server, int64_t since_ns);
/* Whether a record has ended by its clock. */
bool server_has_ended(const struct server *server, const struct model_record *record);

/* The whole store against what the model says it holds. */
void server_audit(struct server *server);

/* Whether it takes no neighbour's ACK for an answer, as one of their clocks is wrong. */
bool server_doubts(const struct server *server);

/* Around each call of its node in which an allocation may fail. */
void server_enter(struct server *server);
void server_leave(struct server *server);

/* Within the server: server.c, life.c, mirror.c. */
extern const struct net_actor server_actor;
void server_on_line(void *arg, const struct herd_conn *conn, enum herd_direction direction,
                    struct herd_slice line);
void server_after_event(struct server *server);
void server_check_stopped(struct server *server);
void server_list_plug(struct plug *plug);
void server_free_plug(struct plug *plug);
void server_free_ask(struct server_ask *ask);
void mirror_line(struct plug *plug, struct herd_slice line);
void mirror_settle(struct server *server);
/* A MARK has come: what it claims is there. */
void mark_check(struct server *server, uint32_t dialler, struct herd_slice line);
/* Records that have ended are gone from the store: so they have to be from the model. */
void mirror_expire(struct server *server);
/* The node is about to give up the waits whose time is up by then. */
void mirror_give_up(struct server *server, int64_t mono_ns);
/* Of one connection that is gone; NULL: of all. */
void mirror_forget_waits(struct server *server, const struct plug *plug);

#endif
