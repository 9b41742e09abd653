/*
 * When the server stops, clients may have said what still lies in their sockets. It was received,
 * so it is answered.
 *
 *   net_stop -> last_words_begin: each session whose socket holds bytes is read from as ever
 *     so many bytes are read           -> its node's connection ends (half a line is none), or
 *     the other side closed its half   -> the same, with its last line
 *     nothing comes for two looks      -> it ends: who had filled its socket had no more to say
 *     the time for it is over          -> all that are left end; what is unread is not answered
 *
 * A client that goes on speaking is heard only as far as it had come: what its socket held at the
 * signal. If that is much, more of it may lie in the client's kernel, which had no leave to send
 * it: then as much as kernels keep is read, or until the client is silent. All are read from in
 * turns, as ever, so that nobody's last words wait for all of another one's.
 */
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "net/room.h"

enum {
    LOOK_MS = 100,
    MUCH_KIB = 16,      /* a socket with so much may have had no room for more */
    KERNELS_KIB = 10240 /* the most that those of both ends keep of a connection, as Linux comes: 4
                           MiB to send, 6 to be read */
};

static int fd_of(const struct stream *session)
{
    uv_os_fd_t fd;
    return uv_fileno((const uv_handle_t *)&session->tcp, &fd) < 0 ? -1 : fd;
}

static size_t unread_bytes(const struct stream *session)
{
    int bytes = 0;
    int fd = fd_of(session);
    return fd >= 0 && ioctl(fd, FIONREAD, &bytes) == 0 && bytes > 0 ? (size_t)bytes : 0;
}

/* 1: there is something to be read. 0: there is not, and the other side has closed its half.
 * Negative: there is not yet. */
static ssize_t peek(const struct stream *session)
{
    char byte;
    int fd = fd_of(session);
    return fd >= 0 ? recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) : -1;
}

static void end(struct stream *session)
{
    struct herd_conn *conn = net_conn(session);
    session->unheard_kib = 0;
    if (peek(session) == 0)
        herd_conn_end(conn, net_now());
    else
        herd_conn_cut(conn, net_now());
    stream_read(session, false);
}

static void begin(void *arg, struct herd_conn *conn)
{
    struct net *net = arg;
    struct stream *session = herd_conn_data(conn);
    if (session->closing || session->ended)
        return;
    ssize_t there = peek(session);
    if (there == 0)
        herd_conn_end(conn, net_now());
    size_t kib = there > 0 ? (unread_bytes(session) + 1023) / 1024 : 0;
    if (kib == 0)
        return;
    session->unheard_kib = (uint16_t)(kib < MUCH_KIB ? kib : KERNELS_KIB);
    herd_conn_has_more(conn);
    net->last_words.unheard++;
}

static void look(void *arg, struct herd_conn *conn)
{
    struct net *net = arg;
    struct stream *session = herd_conn_data(conn);
    if (session->unheard_kib == 0 || session->closing || session->ended)
        return;
    bool is_silent = unread_bytes(session) == 0;
    if (!net->last_words.are_over && !(is_silent && session->was_silent)) {
        net->last_words.unheard++;
    } else {
        net->last_words.unanswered += !is_silent;
        end(session);
    }
    session->was_silent = is_silent;
}

static void on_look(uv_timer_t *timer)
{
    struct net *net = timer->data;
    net->last_words.are_over = uv_now(timer->loop) >= net->last_words.until_ms;
    net->last_words.unheard = 0;
    herd_node_each(net->options.node, look, net);
    if (net->last_words.unheard > 0)
        return;
    uv_timer_stop(timer);
    if (net->last_words.unanswered > 0)
        LOG(net->options.log, LOG_WARNING, "net",
            "stopping: not all that was received could be read in time",
            log_int("connections", (int64_t)net->last_words.unanswered));
}

void last_words_begin(struct net *net, int64_t within_ms)
{
    struct last_words *last_words = &net->last_words;
    herd_node_each(net->options.node, begin, net);
    if (last_words->unheard == 0)
        return;
    uv_update_time(net->options.loop);
    last_words->until_ms = uv_now(net->options.loop) + (uint64_t)within_ms;
    uv_timer_start(&last_words->timer, on_look, LOOK_MS, LOOK_MS);
}

size_t last_words_read_max(const struct stream *session, size_t most)
{
    size_t unheard = (size_t)session->unheard_kib * 1024;
    return unheard > 0 && unheard < most ? unheard : most;
}

void last_words_hear(struct stream *session, size_t len)
{
    size_t kib = (len + 1023) / 1024;
    session->was_silent = false;
    session->unheard_kib -= (uint16_t)(kib < session->unheard_kib ? kib : session->unheard_kib);
    if (session->unheard_kib == 0 && !session->closing)
        end(session);
}
