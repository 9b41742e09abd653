/* Sockets that listen. Each connection they take becomes a session. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <herd/err.h>

#include "net/room.h"

enum { RETRY_MS = 100, RESERVE_NONE = -1 };

static void open_reserve(struct listener *listener)
{
    if (listener->reserve == RESERVE_NONE)
        listener->reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void close_reserve(struct listener *listener)
{
    if (listener->reserve != RESERVE_NONE)
        close(listener->reserve);
    listener->reserve = RESERVE_NONE;
}

void net_count_refused(struct net *net, enum limit why)
{
    metrics_add(net->options.metrics, METRIC_connections_refused_total, 1);
    limits_count(&net->limits, why, 1);
}

static int take(const struct listener *listener)
{
    return accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

/* Each listener has its share of a turn, so that none waits for another one. */
static int share_of(const struct net *net)
{
    return NET_ACCEPTS_PER_TURN / (int)net->listener_count;
}

/* With the descriptor that was kept for this: who waits is told, and not left to wait. False when
 * not even that works. */
static bool turn_away(struct listener *listener, int most)
{
    int fd = 0;
    close_reserve(listener);
    for (int i = 0; i < most && (fd = take(listener)) >= 0; i++) {
        close(fd);
        net_count_refused(listener->net, LIMIT_FILES);
    }
    bool is_done = fd >= 0 || errno == EAGAIN;
    open_reserve(listener);
    return is_done;
}

static void on_waiting(uv_poll_t *poll, int status, int events);

static void on_retry(uv_timer_t *timer)
{
    struct listener *listener = timer->data;
    open_reserve(listener);
    uv_poll_start(&listener->poll, UV_READABLE, on_waiting);
}

/* The poll would call at once, again and again, for those that wait. */
static void wait_a_while(struct listener *listener, int error)
{
    struct net *net = listener->net;
    metrics_add(net->options.metrics, METRIC_accept_failures_total, 1);
    limits_fail(&net->limits, LIMIT_ACCEPT, error);
    uv_poll_stop(&listener->poll);
    uv_timer_start(&listener->retry, on_retry, RETRY_MS, 0);
}

static bool is_passing(int error)
{
    return error == EINTR || error == ECONNABORTED || error == EPROTO;
}

static void on_waiting(uv_poll_t *poll, int status, int events)
{
    struct listener *listener = poll->data;
    struct net *net = listener->net;
    int left = share_of(net);
    (void)events;
    for (; left > 0 && status == 0; left--) {
        int fd = take(listener);
        if (fd >= 0) {
            session_accept(net, fd);
            continue;
        }
        int error = errno;
        if (error == EAGAIN)
            return;
        if (is_passing(error))
            continue;
        if ((error == EMFILE || error == ENFILE) && turn_away(listener, left))
            return;
        status = -error;
    }
    if (status < 0) {
        wait_a_while(listener, -status);
        return;
    }
    metrics_add(net->options.metrics, METRIC_turns_full_accepts_total, 1);
    limits_count(&net->limits, LIMIT_TURN_ACCEPTS, 1);
}

static int resolve(struct net *net, const char *host, uint16_t port, struct sockaddr_storage *out)
{
    if (net_numeric_address(host, port, out) == 0)
        return 0;
    uv_getaddrinfo_t request;
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    int rc = uv_getaddrinfo(net->options.loop, &request, NULL, host, NULL, &hints);
    if (rc < 0)
        return rc;
    memcpy(out, request.addrinfo->ai_addr, request.addrinfo->ai_addrlen);
    if (out->ss_family == AF_INET6)
        ((struct sockaddr_in6 *)out)->sin6_port = htons(port);
    else
        ((struct sockaddr_in *)out)->sin_port = htons(port);
    uv_freeaddrinfo(request.addrinfo);
    return 0;
}

/*
 * libuv binds; but who waits is accepted here: where descriptors are short libuv closes all that
 * wait without a word, and where it cannot do that it tries for ever.
 */
static int bind_and_listen(struct listener *listener, const struct sockaddr_storage *address)
{
    int rc = uv_tcp_bind(&listener->tcp, (const struct sockaddr *)address, 0);
    struct sockaddr_storage bound;
    int len = sizeof(bound);
    if (rc == 0) /* an address in use is told by the next call only */
        rc = uv_tcp_getsockname(&listener->tcp, (struct sockaddr *)&bound, &len);
    if (rc == 0)
        rc = uv_fileno((uv_handle_t *)&listener->tcp, &listener->fd);
    if (rc == 0 && listen(listener->fd, LISTEN_BACKLOG) != 0)
        rc = uv_translate_sys_error(errno);
    if (rc == 0)
        rc = uv_poll_init(listener->net->options.loop, &listener->poll, listener->fd);
    if (rc < 0)
        return rc;
    listener->poll.data = listener;
    listener->handles++;
    return uv_poll_start(&listener->poll, UV_READABLE, on_waiting);
}

static uint16_t port_of(const struct listener *listener)
{
    struct sockaddr_storage address = {0};
    int len = sizeof(address);
    if (uv_tcp_getsockname(&listener->tcp, (struct sockaddr *)&address, &len) < 0)
        return 0;
    return ntohs(address.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&address)->sin6_port
                                               : ((struct sockaddr_in *)&address)->sin_port);
}

/* Once it is in the list it closes with the others, whether it listens or not. */
static int add_listener(struct net *net, struct listener **out)
{
    struct listener *listener = calloc(1, sizeof(*listener));
    int rc = listener != NULL ? uv_tcp_init(net->options.loop, &listener->tcp) : UV_ENOMEM;
    if (rc < 0) {
        free(listener);
        return rc;
    }
    listener->net = net;
    listener->reserve = RESERVE_NONE;
    open_reserve(listener);
    uv_timer_init(net->options.loop, &listener->retry);
    listener->tcp.data = listener->retry.data = listener;
    listener->handles = 2;
    net->listeners[net->listener_count++] = listener;
    *out = listener;
    return 0;
}

int net_listen(struct net *net, const char *host, uint16_t port, uint16_t *out_port,
               struct herd_buf *error)
{
    struct sockaddr_storage address = {0};
    if (net->listener_count == NET_LISTENERS_MAX)
        return HERD_EFULL;
    struct listener *listener;
    int rc = resolve(net, host, port, &address);
    if (rc == 0)
        rc = add_listener(net, &listener);
    if (rc == 0)
        rc = bind_and_listen(listener, &address);
    if (rc < 0) {
        herd_buf_printf(error, "listen on %s:%u: %s", host, (unsigned)port, uv_strerror(rc));
        if (rc == UV_EADDRINUSE)
            herd_buf_append_text(error, " (does this server run already?)");
        return HERD_EIO;
    }
    if (out_port != NULL)
        *out_port = port_of(listener);
    return 0;
}

static void on_closed(uv_handle_t *handle)
{
    struct listener *listener = handle->data;
    struct net *net = listener->net;
    if (--listener->handles > 0)
        return;
    close_reserve(listener);
    free(listener);
    net->listener_count--;
    net_check_stopped(net);
}

/* Who had connected before the stop is heard like the others. */
static void take_the_last(const struct listener *listener)
{
    int fd;
    for (int i = 0; i < LISTEN_BACKLOG && (fd = take(listener)) >= 0; i++)
        session_accept(listener->net, fd);
}

/* The poll first: its descriptor is the socket's. */
void listeners_close(struct net *net)
{
    for (size_t i = 0; i < net->listener_count; i++) {
        struct listener *listener = net->listeners[i];
        if (listener->poll.data != NULL) {
            take_the_last(listener);
            uv_close((uv_handle_t *)&listener->poll, on_closed);
        }
        uv_close((uv_handle_t *)&listener->retry, on_closed);
        uv_close((uv_handle_t *)&listener->tcp, on_closed);
    }
}
