#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <herd/err.h>

#include "server/signals.h"

static void make_set(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGHUP);
}

void signals_block(void)
{
    sigset_t set;
    make_set(&set);
    int rc = pthread_sigmask(SIG_BLOCK, &set, NULL);
    assert(rc == 0);
    /* A connection that breaks is an error of that write, not of the process. */
    signal(SIGPIPE, SIG_IGN);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct signals *signals = poll->data;
    struct signalfd_siginfo info;
    (void)status;
    (void)events;
    while (signals->fd >= 0 && read(signals->fd, &info, sizeof(info)) == sizeof(info))
        signals->on_signal(signals->arg, (int)info.ssi_signo);
}

int signals_open(struct signals *signals, uv_loop_t *loop, void (*on_signal)(void *arg, int number),
                 void *arg)
{
    sigset_t set;
    make_set(&set);
    *signals = (struct signals){
        .fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC), .on_signal = on_signal, .arg = arg};
    if (signals->fd < 0)
        return HERD_EIO;
    int rc = uv_poll_init(loop, &signals->poll, signals->fd);
    if (rc < 0) {
        close(signals->fd);
        signals->fd = -1;
        errno = -rc;
        return HERD_EIO;
    }
    signals->poll.data = signals;
    rc = uv_poll_start(&signals->poll, UV_READABLE, on_readable);
    uv_unref((uv_handle_t *)&signals->poll);
    errno = -rc;
    return rc < 0 ? HERD_EIO : 0;
}

static void on_closed(uv_handle_t *poll)
{
    struct signals *signals = poll->data;
    close(signals->fd);
    signals->fd = -1;
}

void signals_close(struct signals *signals)
{
    if (signals->fd >= 0)
        uv_close((uv_handle_t *)&signals->poll, on_closed);
}

bool signals_want_stop(void)
{
    sigset_t pending;
    return sigpending(&pending) == 0 &&
           (sigismember(&pending, SIGTERM) == 1 || sigismember(&pending, SIGINT) == 1);
}
