/*
 * The dialled end of a link. DIAL -> resolve -> connect -> herd_link_dialled -> as any stream ->
 * herd_conn_closed. A name may have several addresses: each is tried before the attempt has failed.
 * The stream is new at each attempt; the peer and its link stay.
 */
#include <stdlib.h>
#include <string.h>

#include <herd/err.h>

#include "net/room.h"

enum {
    KEEPALIVE_S = 10,
    SEND_BUFFER_BYTES = 128 * 1024 /* as the kernel takes it: it doubles that, and counts its own */
};

/*
 * A name that is looked up, in a thread that cannot be stopped, of which there are few for all
 * names: so a peer has one lookup at most, which goes on for its next attempt when one has ended
 * for want of an address. It may outlive the peer, and the net.
 */
struct lookup {
    uv_getaddrinfo_t request;
    struct peer *peer; /* NULL: nobody wants to know any more */
    unsigned *open;    /* as net_options.lookups */
};

/* One attempt: its stream lives until its close callback, perhaps longer than the peer. */
struct attempt {
    struct stream stream;
    struct peer *peer; /* NULL once the link has let go of it */
    uv_connect_t connect;
    struct addrinfo *addresses, *next_address;
    const char *reason; /* why it closes */
    bool up;            /* the node was told that it is connected */
    bool asked;         /* to close, by the node */
    bool failed;        /* to connect; another address may follow */
};

struct peer {
    struct net *net;
    struct herd_conn *conn;
    struct attempt *attempt;
    struct lookup *lookup;  /* NULL: none is under way */
    struct addrinfo *found; /* when no attempt was there to take it: for the next one */
    char *name, *host;
    uint16_t port;
    bool removed;
    struct peer *next;
};

static void start_connect(struct attempt *attempt, const struct sockaddr *address);

static void free_attempt(struct attempt *attempt)
{
    uv_freeaddrinfo(attempt->addresses);
    free(attempt);
}

/* It goes on where it has begun, and nobody hears of it. */
static void forget_lookup(struct peer *peer)
{
    if (peer->lookup == NULL)
        return;
    peer->lookup->peer = NULL;
    uv_cancel((uv_req_t *)&peer->lookup->request);
    peer->lookup = NULL;
}

static void free_peer(struct peer *peer)
{
    forget_lookup(peer);
    uv_freeaddrinfo(peer->found);
    struct peer **at = &peer->net->peers;
    peer->net->peer_count--;
    while (*at != peer)
        at = &(*at)->next;
    *at = peer->next;
    free(peer->name);
    free(peer->host);
    free(peer);
}

/* The attempt is over. What the node hears depends on how far it came. */
static void end_attempt(struct attempt *attempt)
{
    struct peer *peer = attempt->peer;
    struct net *net = net_of(&attempt->stream);
    bool up = attempt->up;
    bool asked = attempt->asked;
    const char *reason = attempt->reason;
    free_attempt(attempt);
    if (peer != NULL) {
        bool removed = peer->removed;
        struct herd_conn *conn = peer->conn;
        peer->attempt = NULL;
        if (removed)
            free_peer(peer);
        if (up || asked)
            herd_conn_closed(conn, net_now(), reason);
        else
            herd_link_dialled(conn, net_now(), reason);
    }
    net_check_stopped(net);
}

static struct attempt *new_attempt(struct peer *peer);

/* A connection that failed leaves a socket that is of no more use, so the next address gets a new
 * one. */
static bool try_next_address(struct attempt *attempt)
{
    struct peer *peer = attempt->peer;
    struct addrinfo *next = attempt->next_address != NULL ? attempt->next_address->ai_next : NULL;
    if (peer == NULL || next == NULL || !attempt->failed || attempt->asked)
        return false;
    struct attempt *another = new_attempt(peer);
    if (another == NULL)
        return false;
    another->addresses = attempt->addresses;
    another->next_address = next;
    attempt->addresses = NULL;
    peer->attempt = another;
    free_attempt(attempt);
    start_connect(another, next->ai_addr);
    return true;
}

static void on_closed(struct stream *stream)
{
    struct attempt *attempt = (struct attempt *)stream;
    if (!try_next_address(attempt))
        end_attempt(attempt);
}

static void on_end(struct stream *stream)
{
    ((struct attempt *)stream)->reason = "closed by the neighbour";
    net_on_end(stream);
}

static void on_failed(struct stream *stream, const char *reason)
{
    ((struct attempt *)stream)->reason = reason;
}

const struct stream_events peer_events = {
    .data = net_on_data,
    .end = on_end,
    .wrote = net_on_wrote,
    .recycle = net_on_recycle,
    .failed = on_failed,
    .closed = on_closed,
};

/* A socket that grows would take megabytes for a neighbour that does not read. One of ours is not
 * sent as much; a plain one says nothing of what it has read. Where the system refuses, it grows. */
static void bound_send_buffer(struct stream *stream)
{
    int bytes = SEND_BUFFER_BYTES;
    uv_send_buffer_size((uv_handle_t *)&stream->tcp, &bytes);
}

/* There is no connection to be had at this address. */
static void give_up(struct attempt *attempt, int rc)
{
    attempt->failed = true;
    attempt->reason = uv_strerror(rc);
    stream_close(&attempt->stream, true);
}

static void on_connected(uv_connect_t *req, int status)
{
    struct attempt *attempt = req->data;
    struct stream *stream = &attempt->stream;
    if (stream->closing)
        return;
    if (status < 0) {
        give_up(attempt, status);
        return;
    }
    attempt->up = true;
    uv_tcp_nodelay(&stream->tcp, 1);
    uv_tcp_keepalive(&stream->tcp, 1, KEEPALIVE_S);
    bound_send_buffer(stream);
    stream_read(stream, true);
    herd_link_dialled(attempt->peer->conn, net_now(), NULL);
}

static void start_connect(struct attempt *attempt, const struct sockaddr *address)
{
    struct stream *stream = &attempt->stream;
    attempt->connect.data = attempt;
    int rc = uv_tcp_connect(&attempt->connect, &stream->tcp, address, on_connected);
    if (rc < 0)
        give_up(attempt, rc);
}

static void connect_to(struct attempt *attempt, struct addrinfo *take_addresses)
{
    attempt->addresses = attempt->next_address = take_addresses;
    start_connect(attempt, take_addresses->ai_addr);
}

static void on_resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *addresses)
{
    struct lookup *lookup = (struct lookup *)req; /* its first member */
    struct peer *peer = lookup->peer;
    if (lookup->open != NULL)
        --*lookup->open;
    free(lookup);
    if (peer == NULL) {
        uv_freeaddrinfo(addresses);
        return;
    }
    peer->lookup = NULL;
    if (peer->attempt == NULL || peer->attempt->stream.closing)
        peer->found = addresses;
    else if (status < 0)
        give_up(peer->attempt, status);
    else
        connect_to(peer->attempt, addresses);
}

/* 0, or libuv's error. */
static int start_lookup(struct peer *peer)
{
    char service[8];
    snprintf(service, sizeof(service), "%u", (unsigned)peer->port);
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct lookup *lookup = calloc(1, sizeof(*lookup));
    if (lookup == NULL)
        return UV_ENOMEM;
    int rc = uv_getaddrinfo(peer->net->options.loop, &lookup->request, on_resolved, peer->host,
                            service, &hints);
    if (rc < 0) {
        free(lookup);
        return rc;
    }
    lookup->peer = peer;
    lookup->open = peer->net->options.lookups;
    if (lookup->open != NULL)
        ++*lookup->open;
    peer->lookup = lookup;
    return 0;
}

static void start_resolve(struct attempt *attempt)
{
    struct peer *peer = attempt->peer;
    struct addrinfo *found = peer->found;
    peer->found = NULL;
    if (found != NULL) {
        connect_to(attempt, found);
        return;
    }
    int rc = peer->lookup != NULL ? 0 : start_lookup(peer);
    if (rc < 0)
        give_up(attempt, rc);
}

static struct attempt *new_attempt(struct peer *peer)
{
    struct attempt *attempt = calloc(1, sizeof(*attempt));
    if (attempt == NULL)
        return NULL;
    if (stream_init(&attempt->stream, &peer->net->streams, STREAM_PEER) < 0) {
        free(attempt);
        return NULL;
    }
    attempt->stream.tcp.data = peer->conn;
    attempt->peer = peer;
    attempt->reason = "closed";
    return attempt;
}

void peer_dial(struct herd_conn *conn)
{
    struct peer *peer = herd_conn_data(conn);
    struct sockaddr_storage address;
    peer->conn = conn;
    peer->attempt = new_attempt(peer);
    if (peer->attempt == NULL) {
        herd_link_dialled(conn, net_now(), "out of memory");
        return;
    }
    if (net_numeric_address(peer->host, peer->port, &address) == 0)
        start_connect(peer->attempt, (const struct sockaddr *)&address);
    else
        start_resolve(peer->attempt);
}

struct stream *peer_stream(struct herd_conn *conn)
{
    struct peer *peer = herd_conn_data(conn);
    return peer->attempt != NULL ? &peer->attempt->stream : NULL;
}

void peer_close(struct herd_conn *conn, bool abort)
{
    struct peer *peer = herd_conn_data(conn);
    struct stream *stream = &peer->attempt->stream;
    peer->attempt->asked = true;
    stream_close(stream, abort || !peer->attempt->up);
}

static struct peer *find_peer(const struct net *net, const char *name)
{
    struct peer *peer = net->peers;
    while (peer != NULL && (peer->removed || strcmp(peer->name, name) != 0))
        peer = peer->next;
    return peer;
}

int net_add_peer(struct net *net, const char *name, const char *host, uint16_t port)
{
    struct peer *peer = calloc(1, sizeof(*peer));
    if (peer == NULL)
        return HERD_ENOMEM;
    peer->net = net;
    peer->port = port;
    peer->name = strdup(name);
    peer->host = strdup(host);
    peer->next = net->peers;
    net->peers = peer;
    net->peer_count++;
    int rc = HERD_ENOMEM;
    if (peer->name != NULL && peer->host != NULL)
        rc = herd_node_add_neighbour(net->options.node, net_now(), name, peer);
    if (rc < 0)
        free_peer(peer);
    return rc;
}

int net_remove_peer(struct net *net, const char *name)
{
    struct peer *peer = find_peer(net, name);
    if (peer == NULL)
        return HERD_ENOTFOUND;
    peer->removed = true;
    forget_lookup(peer);
    bool dialled = peer->attempt != NULL;
    int rc = herd_node_remove_neighbour(net->options.node, net_now(), name);
    if (!dialled)
        free_peer(peer);
    return rc;
}

bool peers_connected(const struct net *net)
{
    const struct peer *peer = net->peers;
    while (peer != NULL && peer->attempt == NULL)
        peer = peer->next;
    return peer != NULL;
}

void peers_abort(struct net *net)
{
    struct peer *next;
    for (struct peer *peer = net->peers; peer != NULL; peer = next) {
        next = peer->next;
        if (peer->attempt == NULL)
            continue;
        if (!peer->attempt->stream.closing)
            peer->attempt->reason = "the server stops";
        peer->attempt->asked = true;
        stream_close(&peer->attempt->stream, true);
    }
}

void peers_free(struct net *net)
{
    while (net->peers != NULL)
        free_peer(net->peers);
}
