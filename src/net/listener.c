/* Sockets that listen. Each connection they take becomes a session. */
#include <stdlib.h>

#include <herd/err.h>
#include <herd/posix_time.h>

#include "net/room.h"

enum { TELL_AGAIN_S = 10 };

static void on_gone(uv_stream_t *stream)
{
    struct listener *listener = stream->data;
    struct net *net = listener->net;
    free(listener);
    net->listener_count--;
    net_check_stopped(net);
}

static void on_closed(uv_handle_t *handle)
{
    struct listener *listener = handle->data;
    refuser_close(&listener->refuser);
}

/* Who comes too often must not fill the log too. */
void net_count_refused(struct net *net, const char *why)
{
    int64_t now_ns = (int64_t)uv_hrtime();
    metrics_add(net->options.metrics, METRIC_connections_refused_total, 1);
    net->refused.untold++;
    if (net->refused.told_ns > 0 && now_ns - net->refused.told_ns < TELL_AGAIN_S * HERD_NS_PER_S)
        return;
    LOG(net->options.log, LOG_WARNING, "net", "connections refused", log_text("reason", why),
        log_int("count", net->refused.untold), log_int("open", (int64_t)net->connections));
    net->refused.told_ns = now_ns;
    net->refused.untold = 0;
}

static void on_connection(uv_stream_t *stream, int status)
{
    struct listener *listener = stream->data;
    struct net *net = listener->net;
    if (status < 0) {
        net_count_refused(net, uv_strerror(status));
    } else if (!session_accept(net, stream) && refuser_refuse(&listener->refuser)) {
        net_count_refused(net, "out of memory");
    }
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

static int bind_and_listen(struct listener *listener, const struct sockaddr_storage *address)
{
    int rc = uv_tcp_bind(&listener->tcp, (const struct sockaddr *)address, 0);
    if (rc == 0)
        rc = uv_listen((uv_stream_t *)&listener->tcp, LISTEN_BACKLOG, on_connection);
    return rc;
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
    listener->tcp.data = listener;
    refuser_init(&listener->refuser, (uv_stream_t *)&listener->tcp, on_connection, on_gone);
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

void listeners_close(struct net *net)
{
    for (size_t i = 0; i < net->listener_count; i++)
        uv_close((uv_handle_t *)&net->listeners[i]->tcp, on_closed);
}
