/* stream_extra.h: what few streams have at a time: something that waits to be written, or a close
 * without haste. */
#ifndef NET_STREAM_EXTRA_H
#define NET_STREAM_EXTRA_H

#include "net/stream.h"

struct piece {
    struct piece *next;
    struct herd_buf buf;
};

/*
 * What a stream has only while there is more to write than its turn's one write has taken, or while
 * it closes without haste.
 *
 * What waits does so in pieces, small ones together, for a buffer of its own for each line would
 * take several times the line's bytes. At the end of a turn that has had no write of this stream
 * all pieces are written together. If that was too much for the socket, the first one goes to libuv
 * in the next turn, which tries at once, and then waits for the socket.
 */
struct stream_extra {
    struct stream *stream;
    struct stream_loop *shared;
    struct piece *first, **end; /* not sent */
    uv_write_t write;           /* of the first, if it `is_with_libuv` */
    struct stream_ring resting; /* something is to be done at the end of a turn */
    bool is_with_libuv;
    bool is_full;                 /* the socket, when it was last written to */
    bool shut;                    /* our half is closed, all was sent */
    uv_shutdown_t shutdown;       /* until on_shutdown, before the stream's last callback */
    struct stream_ring lingering; /* closes without haste, until the socket is closed */
    uint64_t deadline_ms;         /* uv_now */
    size_t unsent, dropped;       /* bytes */
};

/* Bytes of all pieces. */
size_t extra_unsent(const struct stream_extra *extra);
/* What may wait for long, with hundreds like it, must not hold what has been sent of it already
 * (the owner counts the rest alone), nor much room that is left in its buffer. */
void extra_tighten(struct herd_buf *buf, size_t sent);
/* Behind what waits already, in the same piece if that is not libuv's and both are small. 0 or
 * UV_ENOMEM; what is left of the buffer is the caller's. */
int extra_add(struct stream_extra *extra, struct herd_buf *take_buf, size_t sent);

#endif
