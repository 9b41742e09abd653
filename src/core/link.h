/* link.h: one end of an edge: the connection this server dials to a neighbour, and what it knows of
 * the neighbour's own. */
#ifndef CORE_LINK_H
#define CORE_LINK_H

#include "core/conn.h"
#include "core/prune.h"
#include "core/reconcile.h"

enum link_state {
    LINK_WAITING,
    LINK_DIALLING,
    LINK_GREETING,
    LINK_SEEKING,
    LINK_UP,
    LINK_PLAIN,
    LINK_CLOSING,
    LINK_STATES
};

enum {
    LINK_WINDOW_BYTES = 256 * 1024, /* that one neighbour has not read yet */
    LINK_PLAIN_BYTES = 64 * 1024,   /* that wait here for a plain one */
    LINK_PINGS_MAX = 6,
    LINK_LINES_PER_MARK = 64,
    LINK_TRIAL_LINES = 64, /* records for one that is slow, or plain since it was last met */
    LINK_CLEAN_MARKS_MAX = 16,
    LINK_STEPS_PER_TURN = 8192 /* records passed over in one turn, sent or not */
};

/* A MARK that is not yet ACKed, with nothing left behind it. */
struct clean_mark {
    uint64_t sequence;
    int64_t oldest_ns; /* server_time_received of what was sent since the one before */
};

struct link {
    struct herd_conn conn;
    struct conn_work work; /* of `conn` */
    enum link_state state;
    herd_cursor cursor;
    int64_t
        deadline_ns; /* of WAITING, DIALLING, GREETING, and of one line in PLAIN; INT64_MAX: none */
    int64_t mark_at_ns; /* INT64_MAX: nothing to mark */
    int64_t heard_ns;   /* last bytes from the neighbour */
    int64_t up_ns;      /* when RESUME came on this connection; INT64_MAX: it has not */
    int64_t pinged_ns;  /* a sign of life is awaited since then, INT64_MAX: none */
    uint64_t written;   /* bytes on this connection (window.c), of which the neighbour */
    uint64_t read;      /* has read these, as far as is known */
    uint64_t pinged;    /* up to the last PING */
    uint64_t pings[LINK_PINGS_MAX]; /* the same for each that is not answered, the oldest first */
    unsigned ping_count;
    uint64_t resume;  /* SEEKING: where to */
    uint64_t skipped; /* first record passed over as theirs since all were sent; 0: none */
    uint64_t owed_from, owed_to; /* a RESUME in here may claim what a former life held; 0: none */
    uint64_t late;    /* the first record that came since from a life before that; 0: none */
    bool counts_late; /* the neighbour has said RESUME in a new life, but not yet HELLO */
    uint64_t marked;  /* last MARK: the neighbour holds all up to this */
    uint64_t passed;  /* last MARK: and what was not held back, up to this */
    struct held held;
    int64_t one_line_ns; /* what a neighbour that takes one line has for closing; 0: it never did */
    uint32_t unmarked, unmarked_bytes; /* lines since the last MARK */
    uint32_t lines;                    /* lines sent on this connection */
    uint64_t sent;                     /* records sent, ever */
    struct clean_mark clean_marks[LINK_CLEAN_MARKS_MAX];
    unsigned clean_mark_count;
    int64_t oldest_ns;     /* as in `clean_marks`, since the last of them; INT64_MAX: nothing */
    uint64_t acked;        /* by ACK or RESUME: the neighbour holds all up to this, or has let go of
                               what has ended */
    uint64_t digest_told;  /* in the last DIGEST */
    int64_t digest_at_ns;  /* not before; INT64_MAX: not on this connection yet */
    bool digest_due;       /* none was sent on this connection */
    unsigned attempts;     /* failures in a row */
    unsigned brief;        /* connections in a row that came up and ended soon */
    unsigned broken;       /* PLAIN: connections in a row that the neighbour did not close */
    unsigned hello_closes; /* connections in a row that ended on HELLO */
    int64_t hello_at_ns;   /* PLAIN, doubtful: HELLO again; INT64_MAX: not */
    int64_t hello_again_ns; /* how long after the last one; 0: there was none */
    unsigned in_vain;       /* connections on which HELLO was said again, and that ended */
    bool doubtful;          /* what it was taken for a plain one for may have been mere mischance */
    bool unanswered;        /* PLAIN: it spoke once, and has shown no sign of life to HELLO */
    bool surely_plain;      /* it has answered `? HELLO`, or closes on it */
    bool said_hello;        /* on this connection */
    bool on_trial;          /* GREETING: LINK_TRIAL_LINES may be sent as to a plain one */
    bool plain_next;        /* it closed on HELLO: dial without it */
    bool one_line;          /* it closes after each line, as far as is known */
    bool took_one;          /* and has done so since it was sent all */
    bool sent_all;          /* PLAIN: this connection began with all records */
    bool began_anew;        /* the next plain connection starts with all records */
    bool was_up;            /* a failure is news */
    bool catches_up;  /* since RESUME, until the end of the list is reached for the first time */
    bool refused;     /* on this connection, what has not ended here: ACK says nothing (ended.c) */
    bool clocks_told; /* on this connection: it has refused what has not ended here */
    int64_t anew_at_ns; /* refused: it is dialled anew then */
    unsigned anew_ms;   /* how long after; 0: nothing was refused since an ACK counted */
    uint64_t turn;      /* of the node, that `steps` counts in */
    unsigned steps;     /* records passed over in this turn */
    bool more;          /* stopped filling because of the turn's budget */
    bool dial_wanted;   /* the driver is still to be told */
    bool removed;       /* the edge is gone from the configuration */
};

/* How often something was told that anybody may cause at will, by HELLO. */
struct told {
    int64_t since_ns; /* of: */
    unsigned lines, untold;
};

struct neighbour {
    char name[HERD_NAME_MAX + 1];
    struct link link;
    struct herd_conn *inbound; /* its connection to this server that said HELLO last, or NULL */
    int64_t inbound_since_ns, inbound_heard_ns, inbound_pinged_ns;
    struct told greeted, turned_away; /* HELLO in its name, taken and refused */
    struct herd_mark mark;            /* its last MARK, or as much of that as counts */
    struct herd_life life;            /* of its last HELLO; all 0: it has not told */
    bool speaks;     /* it has said HELLO or RESUME, and nothing since shows a plain one there */
    bool has_spoken; /* `speaks` was true once, also in an earlier life of this server */
    bool recovered;  /* this server was read from disk and has had no MARK since */
    uint64_t to_ack,
        to_ack_own; /* a MARK to be ACKed once the disk has all up to this sequence of ours */
    uint64_t next_ack, next_ack_own;       /* as far as it passed; 0: none */
    uint64_t to_ack_all, next_ack_all;     /* as far as nothing was held back */
    unsigned marks_unacked, lines_unacked; /* MARKs since the last ACK, and FLOODs */
    bool behind_mark;                      /* FLOODs came behind the last of these MARKs */
    int64_t ack_by_ns;                     /* at the latest, once there is a MARK */
    int64_t refused_ns; /* server_time_received of a record that had ended, not yet told; 0: none */
    uint64_t sound;     /* more of its mark does not count in another life of it (ended.c) */
    int64_t sound_again_ns; /* all of it does from then on */
    struct reconcile reconcile;
    bool prunes;              /* its present connection to this server knows PRUNE */
    struct origin_set pruned; /* PRUNE was said there of these */
    uint32_t source;          /* records with this source came from it, in its present epoch */
};

/* Its cursors have been made. */
void link_init(struct neighbour *neighbour, struct herd_node *node, void *data,
               struct herd_now now);

/* Events. */
int link_line(struct link *link, struct herd_now now, struct herd_slice line);
void link_closed(struct link *link, struct herd_now now, const char *reason);
void link_tick(struct link *link, struct herd_now now);
/* The neighbour has shown that it listens. */
void link_redial(struct link *link, struct herd_now now);
/* The neighbour counts anew: what it once said it may have lost. */
void link_neighbour_reborn(struct link *link);
/* It has said HELLO in a new life of its epoch: nothing of the one before can come late any more. */
void link_neighbour_restarted(struct link *link);
/* Its RESUME says `recovered`, and maybe its life. */
void link_neighbour_recovered(struct link *link, struct herd_slice words);
/* Where the neighbour stands (lives.c). */
uint64_t link_resume_position(struct link *link, const struct herd_command *command);
/* A record is not sent, because the neighbour has told it. */
void link_pass_over(struct link *link, uint64_t sequence);
/* Of its connection to this server (heartbeat.c). The time of the next tick; INT64_MAX: none. */
void heartbeat_tick(struct neighbour *neighbour, struct herd_now now);
int64_t heartbeat_wakeup(const struct neighbour *neighbour);
/* acks.c. Of its connection to this server: a MARK, a FLOOD has come; it is a new one. */
void acks_on_mark(struct neighbour *neighbour, struct herd_now now);
void acks_on_flood(struct neighbour *neighbour);
void acks_forget(struct neighbour *neighbour);
/* Whether, with no more lines to read for now, an ACK has to go out. */
bool acks_are_due(const struct neighbour *neighbour);
/* When one goes out in any case; INT64_MAX: none is owed. */
int64_t acks_wakeup(const struct neighbour *neighbour);
/* ACKs what it has marked and is safe here. */
void acks_send(struct neighbour *neighbour);
/* Records that end (ended.c). What a listener says of them; what goes out. */
void link_on_ack(struct link *link, struct herd_now now, const struct herd_command *command);
void link_on_ended(struct link *link, struct herd_now now, const struct herd_command *command);
/* When the link is dialled anew because its ACKs say nothing; INT64_MAX: not. */
int64_t ended_wakeup(const struct link *link);
void ended_tick(struct link *link, struct herd_now now);
/* When a record was received, by its canonical text; INT64_MAX where records do not end. */
int64_t link_received_ns(const struct herd_node *node, struct herd_slice text);
/* The cursor has come to records, and they are sent: the least of their link_received_ns. */
void link_note_sent(struct link *link, int64_t received_ns);
/* A MARK up to `passed` is sent, with nothing left behind it. */
void link_note_clean_mark(struct link *link);
/* What has ended by this time gives way to a record: when that was received, as far as clocks may
 * differ. */
int64_t ended_by(const struct herd_node *node, struct herd_now now,
                 const struct herd_record *record);
/* The neighbour has sent a record, which is news here or not. */
void ended_on_flood(struct neighbour *from, struct herd_now now, const struct herd_record *record,
                    bool is_news);
/* Its mark has gone on: says what was refused of what that is about. 0 or HERD_ENOMEM. */
int ended_on_mark(struct neighbour *from, struct herd_now now, uint64_t marked_before);
/* Once what was refused has ended at the neighbour, too. */
void ended_forget_doubt(struct neighbour *from, struct herd_now now);
/* What a mark can be worth at most in another life of its epoch, as far as the listener can tell. */
uint64_t lives_shared(const struct herd_mark *mark, const struct herd_life *present);
/* ancestry.c: what a mark of this node is worth that it made in one of its lives: the sequence up to which all
 * that it has now is held. */
uint64_t lives_held(const struct herd_node *node, uint64_t life, uint64_t sequence);
/* It has said HELLO or RESUME; it has shown that it does not know them (manner.c). */
void link_neighbour_speaks(struct link *link);
void link_neighbour_is_plain(struct link *link);
/* Whether a word is among these. */
bool link_has_word(struct herd_slice words, const char *wanted);
/* The number behind `name=` among these words, to base 10 or 16; false if there is none. */
bool link_word_number(struct herd_slice words, const char *name, unsigned base, uint64_t *out);

/* hello.c: HELLO as this server says it, 0 or HERD_ENOMEM; and as it takes one. */
int hello_append(const struct herd_node *node, struct herd_buf *out);
int hello_take(struct herd_conn *conn, struct herd_now now, struct herd_command *command);
/* The neighbour has said HELLO, so it knows more than FLOOD. */
void link_neighbour_greeted(struct link *link, struct herd_now now);
/* Sends what it can and closes. False when there is no connection to be closed. */
bool link_stop(struct link *link, struct herd_now now);

void link_move(struct link *link, enum link_state state);
/* Gives the connection up: it is closed, then dialled anew. */
void link_drop(struct link *link, enum herd_notice_kind kind, const char *reason);
/* Puts lines into the connection's output, as far as the window and the turn's budget go (flood.c).
 */
void link_fill(struct link *link, struct herd_now now);
/* Sends a few records without an answer to HELLO. */
void link_begin_trial(struct link *link);
/* window.c: bytes on their way, and how many more records may put out. */
size_t link_in_flight(const struct link *link);
size_t link_room(const struct link *link);
bool link_has_room(const struct link *link);
/* A new connection. */
void window_begin(struct link *link);
/* Nothing will go out after this: it matters no more what has been read. */
void window_forget(struct link *link);
/* PING, unless one is on its way. 0 or HERD_ENOMEM. */
int window_ask(struct link *link);
/* Bytes until the next PING; and says it, once that is due. 0 or HERD_ENOMEM. */
size_t window_to_ping(const struct link *link);
int window_fill(struct link *link);
void window_on_pong(struct link *link);
/* Whether there is something to tell that the last DIGEST did not. */
bool link_digest_changed(const struct link *link);
/* How the next connection begins, from how this one ended; true: dial it at once (manner.c). */
bool link_learn_from_close(struct link *link);
int64_t link_wakeup(const struct link *link);
/* Sends a record that was held back. 0 or HERD_ENOMEM. */
int link_send_entry(struct link *link, const struct herd_entry *entry);
/* Sends one record at once, whatever the cursor says, if the window is open. */
void link_send_record(struct link *link, const struct herd_record *record);
/* The neighbour wants the records of these clients. */
void link_on_want(struct link *link, struct herd_slice clients);
/* The link's next effect in this turn, if it has one. */
bool link_effect(struct link *link, struct herd_now now, struct herd_effect *out);
const char *link_state_name(enum link_state state);

#endif
