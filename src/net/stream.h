/* stream.h: a TCP connection on the loop: bytes in from one shared buffer, bytes out in one write a
 * turn, a close that loses nothing. */
#ifndef NET_STREAM_H
#define NET_STREAM_H

#include <uv.h>

#include <herd/buf.h>

#include "net/read_queue.h"
#include "net/stream_ring.h"

struct stream;

/* What its owner is told. Callbacks never run inside the call that asked for them, but for `wrote`
 * and `failed`. */
struct stream_events {
    void (*data)(struct stream *stream, const char *data, size_t len);
    /* How many bytes may be read of it in this turn; 0: it is read from in one of the next. NULL:
     * STREAM_INPUT_BYTES. Not asked of one that closes. */
    size_t (*read_max)(struct stream *stream);
    void (*end)(struct stream *stream); /* the other side closed its half */
    /* Bytes of a write went out; runs inside stream_write too, and tells there that none did. The
     * buffer of that write is given back when all have. */
    void (*wrote)(struct stream *stream, size_t len);
    void (*recycle)(struct stream *stream, struct herd_buf *take_buf);
    /* A read or write did not work, so it closes; may run inside stream_read and stream_write.
     * `reason` is static. NULL: nobody asks why. */
    void (*failed)(struct stream *stream, const char *reason);
    void (*closed)(struct stream *stream); /* last call; the memory may go */
};

/* Who owns a stream. */
enum stream_kind { STREAM_SESSION, STREAM_PEER, STREAM_KINDS };

/* What streams of a loop share. */
struct stream_loop {
    const struct stream_events *events[STREAM_KINDS];
    uv_timer_t linger; /* gives up on those that close too slowly */
    struct stream_ring lingering;
    struct stream_ring resting; /* have more to write, in the next turn: */
    struct read_queue unread;   /* are to be read from, in one of the next turns */
    uv_idle_t awake;            /* the loop does not sleep before that */
    char *input;            /* STREAM_INPUT_BYTES; each read's bytes, for the time of the call */
    unsigned limited_reads; /* in this turn, of streams with a read_max, or that close: */
    unsigned drops;
    bool is_short, was_short; /* somebody could not be read from in this turn; in the last one */
    uint16_t turn;            /* of the loop; a stream has one read and one write in each */
    uint64_t bytes_received, bytes_sent;
    uint32_t stalled_ms;    /* STREAM_STALLED_MS, but in tests */
    uint64_t stalled;       /* streams that were given up after that */
    uint64_t bytes_dropped; /* of bytes_received: came while the stream closed */
    uint64_t cut_off;       /* streams, after STREAM_LINGER_BYTES */
    void (*closed)(void *arg);
    void *closed_arg;
};

enum {
    STREAM_INPUT_BYTES = 64 * 1024, /* of one read: the most that comes in of a stream in a turn */
    STREAM_GATHER_BYTES = 16384,    /* of small writes that wait for the socket as one */
    STREAM_RESUMED_LEAST = 64,      /* in a turn, of those that had to wait to be read from */
    STREAM_LINGER_BYTES = 1 << 20,  /* dropped at most while it closes */
    STREAM_DROPS_PER_TURN = 64,     /* reads of all that close */
    STREAM_STALLED_MS = 30000,      /* closing, and the other side has taken nothing for so long */
    STREAM_LINGER_MS = 2000         /* all is sent: for the other side to close */
};

/* Servers have many idle ones: whatever is added here they all have. */
struct stream {
    uv_tcp_t tcp; /* its `data` is the owner's */
    union {
        struct stream_loop *shared;
        struct stream_extra *extra; /* `has_extra`: what few have, and `shared` */
    } of;
    enum stream_kind kind : 8;
    bool has_extra : 1; /* while something waits to be written, or it closes without haste */
    bool reading : 1;
    bool ended : 1;
    bool is_unread : 1;                  /* in the loop's queue */
    bool closing : 1;                    /* nothing more is written or told */
    bool on_trial : 1, is_neighbour : 1; /* a session's: see trial.c */
    bool was_silent : 1;                 /* a session's: see last_words.c */
    uint16_t read_turn, write_turn;      /* of its last read and write */
    uint16_t unheard_kib;                /* a session's: see last_words.c */
};

/* 0, HERD_ENOMEM or HERD_EIO. Close with stream_loop_close once no stream is left. */
int stream_loop_init(struct stream_loop *shared, uv_loop_t *loop);
/* `closed` is called once the loop has let go of it: only then may its memory go. */
void stream_loop_close(struct stream_loop *shared, void (*closed)(void *arg), void *arg);

/* What the owners of a kind are told; before the first stream of it. */
void stream_loop_on(struct stream_loop *shared, enum stream_kind kind,
                    const struct stream_events *events);
/* Before each poll, behind all writes: whoever has bytes may be read from again, the first ones of
 * those that could not be before; what did not go out in this turn does in the next. */
void stream_loop_next_turn(struct stream_loop *shared);
/* Ends at once what closes without haste. */
void stream_loop_hasten(struct stream_loop *shared);

/* Sets up a stream whose `tcp` is to be accepted or connected by the caller. 0 or HERD_EIO; then
 * nothing is to be closed. */
int stream_init(struct stream *stream, struct stream_loop *shared, enum stream_kind kind);
struct stream_loop *stream_loop_of(const struct stream *stream);

void stream_read(struct stream *stream, bool on);

/* Sends the bytes: at once as far as the socket takes them, if it is the turn's first write of the
 * stream. The rest waits for the next turns in pieces of about STREAM_GATHER_BYTES, however few
 * bytes come at a time. Takes the buffer in every case. */
void stream_write(struct stream *stream, struct herd_buf *take_buf);

/*
 * Ends it. Not `now`: after what was written, however long that takes as long as some of it goes
 * out; then what the other side still sends is read and dropped for a while, because closing with
 * unread bytes would reset the connection and could destroy the last answer on its way. Idempotent;
 * `now` after not `now` hastens it.
 */
void stream_close(struct stream *stream, bool now);

#endif
