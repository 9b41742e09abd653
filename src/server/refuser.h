/* refuser.h: accepts a connection to a pipe only to close it. A listener whose connection is not
 * accepted is never heard of again, so this has to work when there is no memory. */
#ifndef SERVER_REFUSER_H
#define SERVER_REFUSER_H

#include <stdbool.h>

#include <uv.h>

struct refuser {
    uv_pipe_t handle;
    uv_stream_t *listener;
    uv_connection_cb again;
    void (*closed)(uv_stream_t *listener);
    bool busy, waiting, ending;
};

/*
 * `again` is the listener's own callback: called once more, from the loop, when a connection had to
 * wait because another was just being refused. `closed` runs once, after refuser_close. The storage
 * is the caller's, until then.
 */
void refuser_init(struct refuser *refuser, uv_stream_t *listener, uv_connection_cb again,
                  void (*closed)(uv_stream_t *listener));

/* In the listener's callback, instead of uv_accept. False when it has to wait. */
bool refuser_refuse(struct refuser *refuser);

/* In the listener's close callback: `closed` runs when nothing is left, perhaps at once. */
void refuser_close(struct refuser *refuser);

#endif
