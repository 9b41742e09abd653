/* room.h: what the modules of net share. */
#ifndef NET_ROOM_H
#define NET_ROOM_H

#include "net/gather.h"
#include "net/net.h"
#include "net/stream.h"

enum {
    NET_LISTENERS_MAX = 16,
    LISTEN_BACKLOG = 1024,
    NET_ACCEPTS_PER_TURN = 64,  /* of all listeners; who is left waits for the next turn */
    NET_BULKY_READ_BYTES = 4096 /* of one client, where the last turn's bytes were used up */
};

struct listener {
    uv_tcp_t tcp;   /* the socket, bound; nothing else of it is used */
    uv_poll_t poll; /* of that; once it listens */
    uv_timer_t retry;
    struct net *net;
    int fd;
    int reserve; /* a descriptor to accept with and close when there is no other, or -1 */
    int handles; /* open ones */
};

struct peer;

/* An accepted connection that only a neighbour may have (trial.c). */
struct trial {
    struct stream *session;
    uint64_t until_ms; /* uv_now */
    bool is_heard;     /* something of it was read */
};

/* While it stops: what clients had said before, and was not read yet (last_words.c). */
struct last_words {
    uv_timer_t timer;
    uint64_t until_ms; /* uv_now */
    size_t unheard;    /* sessions that are still to be read from, at the last look */
    size_t unanswered; /* for whom there was no time */
    bool are_over;
};

struct net {
    struct net_options options;
    const struct herd_node_stats *stats;
    struct stream_loop streams;
    uv_prepare_t prepare;
    uv_timer_t wakeup, deadline;
    struct last_words last_words;
    struct listener *listeners[NET_LISTENERS_MAX];
    size_t listener_count;
    size_t connections; /* sessions, of which are: */
    size_t neighbours, on_trial;
    size_t freed_bytes;                  /* of sessions that are gone, since net_give_back */
    unsigned reads_left;                 /* of clients, in this turn */
    int64_t read_bytes_left;             /* the same */
    size_t read_most_bytes;              /* of one */
    struct trial trials[NET_TRIALS_MAX]; /* that may still pass, the oldest first */
    size_t trial_count;
    uv_timer_t trial_timer;
    struct gather gather; /* of neighbours' sessions */
    size_t peer_count;
    struct limits limits;
    uint64_t stalled_told, cut_off_told; /* of `streams` */
    struct peer *peers;
    struct herd_now now; /* of the events of a turn */
    bool has_now;
    int64_t turn_began_ns;
    uint64_t turn_idle_ns;
    int64_t cpu_ns;        /* time on the processor, when it was last asked for */
    int64_t cpu_unread_ns; /* what turns have taken since */
    int64_t wakeup_ns;     /* uv_hrtime, that `wakeup` was set for */
    int handles;           /* own ones, still open */
    void (*stopped)(void *arg);
    void *stopped_arg;
};

/* Of a stream, a session's or a peer's: whose it is, and what the node knows of it, its `data`. */
struct net *net_of(const struct stream *stream);
struct herd_conn *net_conn(const struct stream *stream);

/* A stream's events, but for how it ends, go to the node. */
void net_on_data(struct stream *stream, const char *data, size_t len);
void net_on_end(struct stream *stream);
void net_on_wrote(struct stream *stream, size_t len);
void net_on_recycle(struct stream *stream, struct herd_buf *take_buf);

extern const struct stream_events session_events, peer_events;

/* Takes over a connection that was accepted; closes it where there are too many, or no memory. */
void session_accept(struct net *net, int take_fd);
/* How many there are has changed. */
void session_count(struct net *net);
/* As stream_close. What a neighbour still says is dropped as it comes, however little it is. */
void session_close(struct stream *session, bool now);
/* What keeps one more client out; LIMIT_COUNT: nothing. The limit of files may be lowered at any
 * time; whoever came until none was left would keep the disk's own files from being opened. */
enum limit net_full(const struct net *net);
/* Whether one that cannot be a client's may be taken; another one may be closed for it. */
bool trial_may_begin(struct net *net);
void trial_begin(struct net *net, struct stream *session);
/* Before the node hears what a session has said. False: not to be heard, it closes. */
bool trial_hear(struct net *net, struct stream *session, const char *data, size_t len);
/* Behind that, as long as it is no neighbour's: whether it is one's from now on, and so takes no
 * client's place any more. */
bool trial_heard(struct net *net, struct stream *session);
/* A session has closed. */
void trial_end(struct net *net, struct stream *session);
/* Before the node stops: which sessions have said what is yet to be read. They have so long. */
void last_words_begin(struct net *net, int64_t within_ms);
/* How much of that may be read now, `most` at most. */
size_t last_words_read_max(const struct stream *session, size_t most);
/* Some of it was read, and the node has heard it. */
void last_words_hear(struct stream *session, size_t len);
/* A connection that was turned away: counted, and told at most once a while. */
void net_count_refused(struct net *net, enum limit why);
/* Effect DIAL. */
void peer_dial(struct herd_conn *conn);
/* What carries a link's connection; it has one from DIAL until herd_conn_closed or a failed
 * herd_link_dialled. */
struct stream *peer_stream(struct herd_conn *conn);
/* Effect CLOSE. */
void peer_close(struct herd_conn *conn, bool abort);
bool peers_connected(const struct net *net);
/* Closes all connections at once. */
void peers_abort(struct net *net);
void peers_free(struct net *net);

void listeners_close(struct net *net);

/* The address a numeric host and a port make. 0 or UV_EINVAL. */
int net_numeric_address(const char *host, uint16_t port, struct sockaddr_storage *out);

/* Runs `stopped` if the net is stopping and nothing is open. */
void net_check_stopped(struct net *net);

#endif
