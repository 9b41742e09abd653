/* node.h: what the modules of a node share. */
#ifndef CORE_NODE_H
#define CORE_NODE_H

#include <stdarg.h>

#include <herd/posix_time.h>

#include "core/link.h"
#include "core/pace.h"
#include "core/persist.h"
#include "core/prune.h"
#include "core/reconcile.h"
#include "core/rng.h"
#include "core/run.h"
#include "core/spares.h"
#include "core/wait.h"

enum {
    NODE_NOTICES_MAX = 64,        /* the oldest goes when one more comes */
    NODE_SPARE_WORKS_MAX = 256,   /* kept for the next connections that have something under way */
    NODE_CROWD_READ_BYTES = 4096, /* some 64 lines */
    NODE_ASKS_FREE_MAX = 4096,    /* 64 lines of each of 64 clients */
    NODE_ASK_ANSWER_BYTES = 256,  /* of a free one; longer ones go to the spares */
    EXPIRE_MS = 1000,             /* between two looks for records that have ended */
    HEARTBEAT_MS = 2000,          /* of silence, then PING */
    DEAD_MS = 4000,               /* after the PING */
    RECEIPT_MAX = 2 * HERD_TIME_TEXT_MAX + HERD_NAME_MAX + 2
};

struct herd_node {
    char name[HERD_NAME_MAX + 1];
    uint8_t name_len;
    uint8_t received_len;           /* 0: `receipt` is empty */
    char receipt[RECEIPT_MAX];      /* of the last IAMAT: `<received> <origin> <diff>` */
    int64_t received_ns;            /* what it says */
    int64_t received_second_ns;     /* the second that is in */
    struct herd_slice flood_prefix; /* `FLOOD <name> `, owned */
    struct herd_node_options options;
    struct herd_store *store;
    struct rng rng;
    uint64_t epoch;
    struct herd_life life; /* of a store that was read from disk; all 0: it began empty in this
                              epoch, which says the same */
    struct herd_life former[HERD_LIVES_MAX]; /* from which this one came to be, by age */
    unsigned former_count;
    uint32_t source_last; /* sources given out */
    struct neighbour **neighbours;
    size_t neighbour_count;
    struct herd_conn *conns; /* accepted */
    struct herd_conn *dirty, **dirty_end;
    size_t dirty_count;
    size_t dirty_bytes; /* of buffers with their answers */
    struct herd_conn *ready, **ready_end;
    size_t ready_count;
    struct herd_ask *queue, **queue_end; /* asks not yet handed out */
    struct herd_ask *free_asks;
    unsigned free_ask_count, idle_asks; /* … since herd_node_give_back, as in struct spares */
    struct waits waits;
    struct persist persist;
    struct pace pace;
    struct walk_leaf leaf;
    struct prune prune;
    int64_t expire_at_ns;
    int64_t expire_to_ns; /* what ends up to then goes, whatever the wall clock says; 0: none */
    uint64_t turn;        /* rounds of effects so far */
    unsigned lines_left;  /* of clients, in this turn */
    size_t places_left;   /* bytes of places to be rendered in this turn */
    struct herd_notice notices[NODE_NOTICES_MAX];
    unsigned notice_first, notice_count;
    struct spares spares;
    struct run run; /* lines that links share */
    struct conn_work *spare_works[NODE_SPARE_WORKS_MAX];
    unsigned spare_work_count, idle_works;
    size_t link_next;  /* whose turn it is to be asked for effects */
    size_t links_left; /* to be asked before none can have any */
    bool stopping, links_stopped;
    struct herd_node_stats stats;
};

struct neighbour *node_neighbour(const struct herd_node *node, struct herd_slice name);
/* A removed neighbour's link has closed. */
void node_forget_neighbour(struct herd_node *node, struct neighbour *neighbour);
/* The neighbour that records with this source came from, if it prunes and its connection stands. */
bool node_source_stands(const struct herd_node *node, uint32_t source, struct neighbour **out);
/* A source that no record has yet. */
uint32_t node_new_source(struct herd_node *node);
void node_notice(struct herd_node *node, enum herd_notice_kind kind, const char *peer,
                 uint64_t epoch, uint64_t sequence, const char *reason, ...)
    __attribute__((format(printf, 6, 7)));
/* Any link may have effects now, also one that has had its turn. */
void node_touch_links(struct herd_node *node);
/* Keeps a record that a client or neighbour brought, unless it has ended. As herd_store_apply. */
int node_apply(struct herd_node *node, struct herd_now now, const struct herd_record *record,
               uint32_t source);
/* Records that end up to a wall time go, though this clock may not be there yet, or be set back. */
void node_expire_to(struct herd_node *node, struct herd_now now, int64_t end_ns);
/* A new ask at the end of the connection's; NULL when memory is short. */
struct herd_ask *node_new_ask(struct herd_node *node, struct herd_conn *conn, enum ask_kind kind);
/* Once an answer, or what waits behind it, has become longer or shorter: `output_max` is about what
 * waits for answers before it, too. */
void node_count_held(struct herd_ask *ask);
/* Puts an ask on its way to the places provider: the AT line of this record, and its place. 0 or
 * HERD_ENOMEM. */
int node_ask_places(struct herd_ask *ask, const struct herd_record *record);
/* Its effect PLACES comes. */
void node_queue_places(struct herd_ask *ask);
/* Asks all neighbours for the record of a client. */
void node_want(struct herd_node *node, struct herd_slice client);
/* Puts an ask into a list of those that wait, before what `at` points at; takes it out. */
void node_queue_ask(struct herd_ask **at, struct herd_ask *ask);
void node_unqueue_ask(struct herd_ask *ask);
void node_free_ask(struct herd_ask *ask);
/* Lets go of its places. */
void node_forget_places(struct herd_ask *ask);
/* Of those that are kept for the next. How many bytes they had. */
size_t node_free_asks(struct herd_node *node, unsigned count);
/* The effect PLACES of the next ask that waits for one. */
bool node_next_places(struct herd_node *node, struct herd_effect *out);
void node_trace(const struct herd_conn *conn, enum herd_direction direction,
                struct herd_slice line);

#endif
