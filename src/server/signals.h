/* signals.h: the signals that tell a server to stop or to read its configuration again. */
#ifndef SERVER_SIGNALS_H
#define SERVER_SIGNALS_H

#include <stdbool.h>

#include <uv.h>

struct signals {
    uv_poll_t poll; /* data: the signals */
    int fd;         /* -1: none */
    void (*on_signal)(void *arg, int number);
    void *arg;
};

/*
 * From here on SIGTERM, SIGINT and SIGHUP wait for signals_open, for the whole process as long as
 * it is called before there is a second thread, and never have their default effect: a second
 * SIGTERM cannot kill a server that is about to end by the first. SIGPIPE is ignored.
 */
void signals_block(void);

/* Watches them on `loop`, without keeping it alive. 0 or HERD_EIO with errno. Callers own the
 * storage, until the loop has run after signals_close, which has to be called in either case. */
int signals_open(struct signals *signals, uv_loop_t *loop, void (*on_signal)(void *arg, int number),
                 void *arg);
void signals_close(struct signals *signals);

/* Whether SIGTERM or SIGINT waits for a loop that does not run yet. */
bool signals_want_stop(void);

#endif
