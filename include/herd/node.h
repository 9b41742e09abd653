/*
 * node.h: one server of the herd without its input and output. Events go in (bytes, time, answers
 * of a places provider); effects come out (bytes to send, connections to dial). The same calls in
 * the same order with the same seed give the same effects, so a thousand nodes run in one process
 * under virtual time.
 *
 * Happy path: herd_node_accept -> herd_conn_receive -> effects WRITE (and PLACES -> herd_ask_answer
 * -> WRITE) -> herd_conn_wrote -> herd_conn_end -> effect CLOSE -> herd_conn_closed.
 *
 * After any event, and at the end of each turn of a loop, herd_node_effect is called until it gives
 * no more: what goes to neighbours comes first. herd_node_wakeup says when herd_node_tick has to be
 * called.
 */
#ifndef HERD_NODE_H
#define HERD_NODE_H

#include <herd/geo.h>
#include <herd/store.h>

struct herd_node; /* a server */
struct herd_conn; /* a connection: one that was accepted, or the one that a link dials */
struct herd_ask;  /* a WHATSAT that waits for places */

/* The time of an event. Never read inside. */
struct herd_now {
    int64_t wall_ns; /* POSIX time */
    int64_t mono_ns; /* of a clock that only goes forward, for timers */
};

/* When an IAMAT is answered. */
enum herd_durability {
    HERD_DURABILITY_NONE,     /* at once; nothing is kept */
    HERD_DURABILITY_INTERVAL, /* at once; it is on disk within a second */
    HERD_DURABILITY_COMMIT,   /* once it is on disk */
    HERD_DURABILITY_HERD      /* once a neighbour holds it too */
};

enum herd_direction { HERD_RECEIVED, HERD_SENT };

struct herd_node_options {
    const char *name; /* 1..HERD_NAME_MAX bytes; copied */
    uint64_t seed;    /* of jitter, the epoch and the store's hash: random, but in the simulator */
    int64_t max_skew_ns;   /* whole seconds; 0: off */
    int64_t record_ttl_ns; /* whole seconds; 0: records do not end */
    enum herd_durability durability;
    int64_t safety_timeout_ns; /* COMMIT, HERD: an answer that has waited so long is `? ` and the
                                  line instead; 0: it waits on */
    bool has_disk;             /* effects PERSIST are wanted */
    bool prune;                /* one tree an origin, between those that have it on */
    size_t output_max; /* bytes of answers that wait for one client; above it no more of its lines
                          are taken, and no more places rendered */
    unsigned pipeline_max; /* answers of one connection that wait: WHATSAT for places or a record,
                              IAMAT, those of a turn as one, for the disk or a neighbour */
    /* 0: the default of each, in conn.h, wait.h and persist.h. */
    unsigned turn_lines_client;  /* lines of one client in one turn of the loop */
    unsigned turn_lines_clients; /* lines of all clients in one turn */
    unsigned turn_lines_link;    /* lines of a neighbour in one turn */
    unsigned waits_max; /* WHATSAT … AFTER that wait; of a connection as many as are free */
    unsigned batch_records_max; /* of one effect PERSIST; never changes */
    unsigned batch_step_max;    /* of these, copied in one turn; never changes */
    /* Sees every line, without its LF, if not NULL. The only thing here that shows where clients
     * are. */
    void (*on_line)(void *arg, const struct herd_conn *conn, enum herd_direction direction,
                    struct herd_slice line);
    void *on_line_arg;
};

/* 0 or HERD_ENOMEM. */
int herd_node_new(const struct herd_node_options *options, struct herd_node **out);
/* Frees the node and its links. Every accepted connection has been reported closed and every ask
 * answered before. */
void herd_node_free(struct herd_node *node);

/* An edge of the herd. Its link is dialled at once. 0, HERD_EEXISTS or HERD_ENOMEM; the name is
 * copied. */
int herd_node_add_neighbour(struct herd_node *node, struct herd_now now, const char *name,
                            void *data);
/* Ends an edge: its link is closed (an effect) and is gone after herd_conn_closed. HERD_ENOTFOUND
 * if there is none. */
int herd_node_remove_neighbour(struct herd_node *node, struct herd_now now, const char *name);

/* output_max, pipeline_max, turn_lines_…, waits_max, safety_timeout_ns, prune (on: from the next
 * connection of each link on; off: at once, of what it receives) and on_line may change while it
 * runs; the other options are left alone. */
void herd_node_configure(struct herd_node *node, const struct herd_node_options *options);

/* A connection was accepted. `data` is the caller's. 0 or HERD_ENOMEM. It lives until
 * herd_conn_closed. */
int herd_node_accept(struct herd_node *node, void *data, struct herd_conn **out);
void *herd_conn_data(const struct herd_conn *conn);
bool herd_conn_is_link(const struct herd_conn *conn);
/* Whether an accepted connection has shown itself as a neighbour's, by HELLO or FLOOD. */
bool herd_conn_is_neighbour(const struct herd_conn *conn);
/* The neighbour's name for a link or for a connection that said HELLO, else NULL. */
const char *herd_conn_peer(const struct herd_conn *conn);

/* Events of a connection. `reason` is a static English text for the log. */
void herd_link_dialled(struct herd_conn *conn, struct herd_now now, const char *failure);
/* Once a connection and turn at most: what it keeps of its input, unhandled, is then `len` and part
 * of a line before, for it stops reading (an effect) until that is handled. */
void herd_conn_receive(struct herd_conn *conn, struct herd_now now, const char *data, size_t len);
void herd_conn_end(struct herd_conn *conn,
                   struct herd_now now); /* the other side closed its half */
void herd_conn_wrote(struct herd_conn *conn, struct herd_now now,
                     size_t len); /* of a WRITE, or all of it */
void herd_conn_closed(struct herd_conn *conn, struct herd_now now, const char *reason);

/*
 * Places, as whoever found them keeps them: many asks may share them. They become text only when
 * the connection that asked has room for it, so that a client that does not read takes no memory
 * for all that it has asked. All zero: none.
 */
struct herd_places {
    const struct herd_places_type *type;
    void *data;
    size_t bytes; /* memory they take for this ask alone, whose question costs nothing: it is asked
                     again when there is room, rather than keep much. 0: they are kept */
};

struct herd_places_type {
    /* Appends one JSON object with at most `count` places that ends with LF LF. 0, or HERD_ENOMEM:
     * the connection closes then. */
    int (*render)(const void *data, unsigned count, struct herd_buf *out);
    /* They are not needed any more by one who was given them; NULL: nothing to do. */
    void (*let_go)(void *data);
    /* Bytes that `render` will append; NULL: whoever gave them does not know before. */
    size_t (*length)(const void *data, unsigned count);
};

/* The same text for any ask; it outlives all. */
struct herd_places herd_places_of_text(const char *json);

/* Whether places for the ask would be rendered at once: all before it is answered, and its client
 * reads. */
bool herd_ask_has_room(const struct herd_ask *ask);

/* Whether the client has not read what was sent to it before: the socket takes no more. */
bool herd_ask_is_unread(const struct herd_ask *ask);

/* Where that is not known, because what comes before the ask has not been handed out in this turn:
 * makes some of it ready to be. Whether there is something now for herd_node_early_effect. */
bool herd_ask_try(struct herd_ask *ask);

/* The places for an ask, once for each effect PLACES; they are let go of at the latest by
 * herd_conn_closed. */
void herd_ask_answer(struct herd_ask *ask, struct herd_now now, struct herd_places take_places);

/*
 * A life: one run of a server in its epoch. A disk that is put back from a copy begins a life beside
 * those that have begun from it before, so who goes on from it has to know whose son it is.
 */
struct herd_life {
    uint64_t id;   /* random at each start from disk; 0: of the run that began the epoch */
    uint64_t from; /* its first sequence; 0 for that one */
};

/* Lives of an epoch that are remembered. When there is one more the oldest is forgotten, and
 * who has marked nothing since is sent all records. */
enum { HERD_LIVES_MAX = 256 };

/*
 * Records on their way to disk. JOURNAL: all that changed since the last one; the disk then has all
 * up to `upto`. SNAPSHOT: a part of all records, for a new beginning of the journal.
 */
struct herd_batch {
    struct herd_buf records;    /* `<sequence> <canonical text>` LF each, by ascending sequence */
    struct herd_buf neighbours; /* JOURNAL: `<name> <epoch, 16 hex> <sequence> <life, 16 hex>
                                   <life_from>` LF each: their marks, which these records bear out,
                                   one of a name; all that there are, or none: then those stay */
    uint64_t epoch;
    struct herd_life life; /* JOURNAL: that writes this. The disk keeps the last HERD_LIVES_MAX of
                              the epoch, in their order */
    uint64_t upto;
    bool is_snapshot;
    bool begins; /* JOURNAL: from here on a new generation; older ones are needed until one ends */
    bool ends;   /* with this the generation has all records; older ones may go */
};

/* The effect PERSIST's batch has been written, or not: then it comes again after a while, without
 * marks. */
void herd_node_persisted(struct herd_node *node, struct herd_now now, int status);

/* Begins a new generation of the journal, if none is under way: the next batches are a JOURNAL that
 * `begins` and SNAPSHOTs. */
void herd_node_snapshot(struct herd_node *node);

/* Whether all that was applied has been written. */
bool herd_node_is_persisted(const struct herd_node *node);

/* How long ago the oldest IAMAT was answered (INTERVAL; HERD: received) that may not be on disk; 0:
 * there is none, or another durability. */
int64_t herd_node_unwritten_ns(const struct herd_node *node, struct herd_now now);

/* What a neighbour has marked: all that it had applied up to `sequence`, in its `epoch`, is held
 * here. */
struct herd_mark {
    uint64_t epoch, sequence;
    uint64_t life;      /* of that neighbour, when it said so; 0: it has not told */
    uint64_t life_from; /* the first sequence of that life */
};

/*
 * An epoch continued from disk: first its number and its lives so far, the oldest first, then records
 * by ascending sequence, then the neighbours' marks (they have been added before), then the end, with
 * a sequence that no record has ever had. Records that have ended are left out.
 */
void herd_node_restore_epoch(struct herd_node *node, uint64_t epoch);
void herd_node_restore_life(struct herd_node *node, const struct herd_life *life);
int herd_node_restore_record(struct herd_node *node, struct herd_now now, uint64_t sequence,
                             struct herd_slice text);
void herd_node_restore_neighbour(struct herd_node *node, struct herd_slice name,
                                 const struct herd_mark *mark);
void herd_node_restore_end(struct herd_node *node, uint64_t sequence_free);
/* What was read is kept, but goes on in another epoch than was read. */
void herd_node_restore_anew(struct herd_node *node);
/* The disk cannot be written yet: it is tried as after a batch that failed. */
void herd_node_restore_failing(struct herd_node *node);

/* When herd_node_tick has to be called, in mono_ns; INT64_MAX for never. */
int64_t herd_node_wakeup(const struct herd_node *node);
void herd_node_tick(struct herd_node *node, struct herd_now now);

/*
 * Answers what was received, takes nothing new; each accepted connection closes when its answers
 * are out. Links close. A driver that has yet to read what was received on a connection says so
 * before (herd_conn_has_more), and ends that one itself, by herd_conn_cut, or by herd_conn_end if
 * the other side has closed its half.
 */
void herd_node_stop(struct herd_node *node, struct herd_now now);
void herd_conn_has_more(struct herd_conn *conn);
/* Behind herd_node_stop: all that was received was handed over. Half a line at the end is none.
 * Nothing if the connection has ended already. */
void herd_conn_cut(struct herd_conn *conn, struct herd_now now);
/* Calls `visit` for each accepted connection, which must not be told that it has closed there. */
void herd_node_each(struct herd_node *node, void (*visit)(void *arg, struct herd_conn *conn),
                    void *arg);

/* Closes each accepted connection at once, with what is left to send. */
void herd_node_abort(struct herd_node *node);

enum herd_notice_kind {
    HERD_NOTICE_LINK_UP,       /* epoch, sequence: where it goes on */
    HERD_NOTICE_LINK_PLAIN,    /* up, with a neighbour that does not know HELLO */
    HERD_NOTICE_LINK_DOWN,     /* reason */
    HERD_NOTICE_LINK_FAILED,   /* could not be dialled: the first time since it was up; reason */
    HERD_NOTICE_LINK_REFUSED,  /* the neighbour said why; reason */
    HERD_NOTICE_HELLO,         /* a neighbour has dialled this server; eight in ten seconds at most;
                                  epoch, sequence */
    HERD_NOTICE_HELLO_REFUSED, /* a neighbour's, once in ten seconds; reason, sequence: how often
                                  since the last notice */
    HERD_NOTICE_CLOCKS_DIFFER, /* the neighbour's, or this server's, is wrong; reason */
    HERD_NOTICE_DISK_FAILED,   /* records stay in memory alone for now; reason */
    HERD_NOTICE_DISK_WORKS     /* again */
};

struct herd_notice {
    enum herd_notice_kind kind;
    char peer[HERD_NAME_MAX + 1];
    char reason[128];
    uint64_t epoch, sequence;
};

enum herd_effect_kind {
    HERD_EFFECT_DIAL,  /* conn: connect to this link's neighbour, then herd_link_dialled */
    HERD_EFFECT_WRITE, /* conn, output: send these bytes, then herd_conn_wrote and herd_node_recycle
                        */
    HERD_EFFECT_READ,  /* conn, read: begin or stop reading. Accepted and dialled connections begin
                          with reading on. */
    HERD_EFFECT_CLOSE, /* conn, abort: close after what was written (abort: at once), then
                          herd_conn_closed */
    HERD_EFFECT_PLACES,  /* ask, where, radius_m, count: ask the provider, then herd_ask_answer;
                            conn: who asks, or NULL once it is gone */
    HERD_EFFECT_PERSIST, /* batch: write it, then herd_node_persisted; borrowed until then */
    HERD_EFFECT_NOTICE   /* notice: something for the log */
};

struct herd_effect {
    enum herd_effect_kind kind;
    struct herd_conn *conn;
    struct herd_buf output; /* owned by the caller */
    bool read;
    bool abort;
    struct herd_ask *ask;
    struct herd_location where;
    double radius_m;
    unsigned count;
    const struct herd_batch *batch;
    struct herd_notice notice;
};

/* Takes the next effect: true and *out, or false when there is none. */
bool herd_node_effect(struct herd_node *node, struct herd_now now, struct herd_effect *out);

/*
 * Connections that may have effects: answers mostly, for which memory is held. Where they become a
 * crowd within a turn (so many connections, or buffers of so many bytes), its end need not be waited
 * for: herd_node_early_effect gives what goes to neighbours and connections so far, until it is
 * false; budgets of the turn go on counting.
 */
enum { HERD_TOUCHED_MAX = 128, HERD_TOUCHED_BYTES = 1024 * 1024 };
bool herd_node_is_crowded(const struct herd_node *node);
bool herd_node_early_effect(struct herd_node *node, struct herd_now now, struct herd_effect *out);

/*
 * How many bytes to receive of one more client in this turn, at most; 0: none, turn_lines_clients are
 * used up, half of them where lines of earlier turns wait. Those of many clients do: then no more
 * than a client may have handled in a turn. What is received all the same is kept until there is a
 * turn for it.
 */
size_t herd_node_read_max(const struct herd_node *node);

/* Whether answers to clients wait for neighbours (HERD_DURABILITY_HERD): then nothing that these say
 * should wait for clients. */
bool herd_node_waits_for_neighbours(const struct herd_node *node);

/* Gives a WRITE's buffer back for the next one. */
void herd_node_recycle(struct herd_node *node, struct herd_buf *take_buf);

/*
 * To be called from time to time: what is kept for the next requests, and none has needed since the
 * last call, is freed. How many bytes were freed since then, roughly: by this, and of connections,
 * questions and lines that are gone. To *kept_bytes is added what is still kept.
 */
size_t herd_node_give_back(struct herd_node *node, size_t *kept_bytes);

/* Counted since the start. */
struct herd_node_stats {
    uint64_t lines_received, lines_invalid, iamat, whatsat;
    uint64_t records_applied, records_old, floods_received, floods_sent;
    uint64_t link_failures;
    uint64_t clients_paused;          /* times a client was not read from: output_max, … */
    uint64_t clients_paused_pipeline; /* … those of them that pipeline_max caused */
    uint64_t clients_paused_disk;     /* IAMAT that had to wait because the disk was behind */
    uint64_t places_held_back; /* answers that waited because the client did not read others */
    uint64_t places_again;     /* of these, that were not kept and asked for again */
    /* Times that lines had to wait for the next turn: by which of the limits. */
    uint64_t turns_full_client, turns_full_clients, turns_full_link;
    /* Any of clients_paused, clients_paused_disk, places_held_back, turns_full_…, waits_refused,
     * answers_late, origins_beyond, leaves_beyond, notices_lost. */
    uint64_t limits_reached;
    uint64_t walks, records_mended, waits, waits_expired, waits_refused, records_expired;
    uint64_t waits_refused_share; /* … those whose connection had as many as were free */
    uint64_t answers_unsafe; /* IAMAT that were refused after safety_timeout_ns, or at a stop */
    uint64_t answers_late;   /* … those of them that safety_timeout_ns caused */
    uint64_t origins_beyond; /* FLOOD lines and PRUNE of origins that no tree is made for */
    uint64_t leaves_beyond;  /* times that a difference among too many clients was left alone */
    uint64_t hello_refused;  /* of neighbours and strangers */
    uint64_t notices_lost;   /* the oldest of those that waited, for newer ones */
    uint64_t waits_open, answers_waiting; /* now: for a record; for the disk or a neighbour */
    uint64_t answer_lines_waiting;        /* now: IAMAT of these whose records may end meanwhile */
    uint64_t
        places_open; /* now: asks whose places have not come, of connections that are gone too */
    uint64_t floods_held_back, prunes_sent, grafts_sent, haves_missing;
};

const struct herd_node_stats *herd_node_stats(const struct herd_node *node);
const struct herd_store *herd_node_store(const struct herd_node *node);
uint64_t herd_node_epoch(const struct herd_node *node);
const char *herd_node_name(const struct herd_node *node);

struct herd_link_status {
    const char *peer;  /* valid until the neighbour is removed */
    const char *state; /* "waiting", "dialling", "greeting", "seeking", "up", "plain", "silent"
                          (taken for a plain one, though it said HELLO once), "closing" */
    bool up;           /* up or plain */
    bool inbound;      /* the neighbour's link to this server stands */
    uint64_t sequence; /* sent up to this one of ours */
    uint64_t acked;    /* held there up to this one */
    size_t in_flight;  /* bytes that it has not read; a plain one: that have not left this server */
};

/* The i-th neighbour's link; false behind the last. */
bool herd_node_link(const struct herd_node *node, size_t i, struct herd_link_status *out);

#endif
