/* conn.h: a connection's bytes: lines in, up to a budget a turn; answers out in the order of their
 * requests. */
#ifndef CORE_CONN_H
#define CORE_CONN_H

#include <herd/frame.h>
#include <herd/node.h>

#include "core/timers.h"

struct link;
struct neighbour;
struct waiting_line;

/* What a node's options have where they are 0. */
enum {
    CONN_LINES_PER_TURN = 64, /* commands of one client in one turn of the loop */
    TURN_LINES = 8192, /* commands of all clients in one turn: the others wait for the next */
    LINK_LINES_PER_TURN = 1024, /* lines of a neighbour: a catch-up comes in bulk */
    TURN_PLACES_BYTES = 1 << 20 /* of places that are rendered because there is room again */
};

/* What a connection has under way. Most have nothing most of the time, so it is lent to them. */
struct conn_work {
    struct herd_frame frame;           /* what was not handled yet, half a line mostly */
    struct herd_buf out;               /* ready to be sent */
    struct herd_ask *asks, *asks_tail; /* waiting, oldest first */
    uint32_t held;                     /* bytes that its asks keep, and that are yet to be sent */
    size_t kept;                       /* bytes of places of its own that wait for room */
    uint16_t ask_count;
    uint16_t wait_count; /* of these, that wait for a record */
};

/* Servers have many idle ones: whatever is added here they all have. */
struct herd_conn {
    struct herd_node *node;
    void *data;
    struct neighbour
        *neighbour;         /* link: of the link; accepted: whose `inbound` this is, else NULL */
    struct conn_work *work; /* lent by the node, NULL while idle; a link has its own, a neighbour's
                               connection keeps what it was lent */
    struct herd_conn *next_dirty, *next_ready, *prev, *next;
    uint32_t in_flight;  /* bytes in WRITEs that were not reported written */
    uint8_t foreign;     /* lines of another protocol in a row */
    bool is_link : 1;    /* dialled by this server; else accepted */
    bool known : 1;      /* a neighbour has shown itself by HELLO or FLOOD */
    bool stranger : 1;   /* it has said HELLO, and was no neighbour */
    bool dirty : 1;      /* in the node's list of those with effects */
    bool ready : 1;      /* in the node's list of those with lines left from the last turn */
    bool reading : 1;    /* as the driver was told */
    bool full : 1;       /* too many answers wait; no more lines are taken */
    bool behind : 1;     /* `full` because of the disk (pace.c) */
    bool ended : 1;      /* the other side closed its half */
    bool cut : 1;        /* ended by this server's stop: half a line at the end is none */
    bool has_more : 1;   /* at the stop: the driver has yet to read what was received */
    bool closing : 1;    /* close when all answers are out; no more lines are taken */
    bool aborted : 1;    /* close at once */
    bool close_told : 1; /* the driver was told to close */
    bool gone : 1;       /* closed; freed once it is in no list */
};

enum ask_kind {
    ASK_PLACES, /* the caller of the node will answer */
    ASK_RECORD, /* WHATSAT … AFTER: for the flood to bring a record (wait.c) */
    ASK_SAFETY  /* IAMAT: for its record to be on disk, or with a neighbour (persist.c) */
};

/* A request whose answer has to wait, and what has to be sent behind that. */
struct herd_ask {
    struct herd_node *node;
    struct herd_conn *conn; /* NULL once the connection is gone */
    struct herd_ask *next;
    struct herd_ask *next_queued; /* among those of its kind that wait */
    struct herd_ask **queued_at;  /* what points at it there */
    struct herd_ask *later;       /* RECORD: asks for later records of the client, a heap */
    struct herd_buf answer;       /* the AT line */
    struct herd_places places;    /* PLACES: what comes behind it, once it is `done` */
    struct herd_buf tail;         /* answers to later requests */
    struct herd_buf refusal;      /* SAFETY: the lines, as they come back if that takes too long */
    struct herd_location where;
    double radius_m;
    unsigned count;                 /* SAFETY: lines that wait */
    uint32_t held;                  /* bytes of it that its connection counts as waiting */
    uint16_t client_at, client_len; /* RECORD: the id, in `answer` */
    uint32_t line_count;            /* of `lines` */
    int64_t after_ns;               /* RECORD */
    int64_t deadline_ns;            /* RECORD */
    int64_t asked_ns;               /* SAFETY */
    int64_t received_ns;            /* SAFETY: the record's that has to be safe */
    struct timer timer;             /* RECORD */
    uint64_t sequence, turn;        /* SAFETY */
    uint64_t follows;           /* SAFETY: the newest of what is held for it, when last looked */
    struct waiting_line *lines; /* SAFETY, where records end */
    enum ask_kind kind;
    bool done;
    bool in_vain;   /* SAFETY: to be refused, in the list of those */
    bool held_back; /* counted as such */
    bool again;     /* PLACES: it was answered, and is to be asked again when there is room */
};

/* turn_lines_… and waits_max of a node's options, with the defaults for what is 0. */
void conn_set_limits(struct herd_node_options *to, const struct herd_node_options *from);

void conn_init(struct herd_conn *conn, struct herd_node *node, void *data);
/* A link's: of this neighbour, with work of its own. */
void conn_init_link(struct herd_conn *conn, struct herd_node *node, void *data,
                    struct neighbour *neighbour, struct conn_work *work);
/* Lets go of all it holds; asks under way are left to themselves. */
void conn_reset(struct herd_conn *conn);

/* Whose dialled connection this is; NULL for one that was accepted. */
struct link *conn_link(const struct herd_conn *conn);

/* Before anything is added to one that may be idle. False when memory is short. */
bool conn_begin_work(struct herd_conn *conn);
/* Gives its work back if there is none. */
void conn_end_work(struct herd_conn *conn);

/* Bytes of output that are not known to have left. */
size_t conn_unsent(const struct herd_conn *conn);

/* Where the next answer goes: behind those that are still awaited. It has work. */
struct herd_buf *conn_output(struct herd_conn *conn);
/* Where a line goes that is no answer: before those that are still awaited. It has work. */
struct herd_buf *conn_front(struct herd_conn *conn);
/* The same for the first of those, and its places: `more` bytes in all. */
struct herd_buf *conn_places(struct herd_conn *conn, size_t more);

/* Whether a line may be added that the other side has not asked for, or asks for without reading
 * the answers. */
bool conn_has_room(const struct herd_conn *conn);

/* Puts it on the node's list of connections with effects. */
void conn_touch(struct herd_conn *conn);

/* Closes once what is awaited has been sent; or at once. */
void conn_close(struct herd_conn *conn);
void conn_abort(struct herd_conn *conn);

/* What else waits because of them, too. */
size_t conn_waiting_bytes(const struct herd_conn *conn);
/* The disk is not behind any more. */
void conn_disk_follows(struct herd_conn *conn);
/* The next tick goes on with it. */
void conn_make_ready(struct herd_conn *conn);

/* Everything up to the first answer that is still awaited, or has to wait for room (answers.c). It
 * has work. */
void answers_release(struct herd_conn *conn);
/* There may be room again. */
void answers_go_on(struct herd_conn *conn);

/* Goes on where it stopped at the end of its budget. */
void conn_go_on(struct herd_conn *conn, struct herd_now now);

/* Takes lines, up to the budget of a turn; `input` is valid during the call only. */
void conn_process(struct herd_conn *conn, struct herd_now now, struct herd_slice input);

/* The connection's next effect, if it has one. */
bool conn_effect(struct herd_conn *conn, struct herd_effect *out);

/* False: it has none until it is touched again. */
bool conn_may_have_effect(const struct herd_conn *conn);

/* What a client or neighbour says on an accepted connection (client.c). Negative: close the
 * connection at once; 1: it was blank. */
int client_line(struct herd_conn *conn, struct herd_now now, struct herd_slice line);

#endif
