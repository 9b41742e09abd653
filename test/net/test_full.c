/* Neighbours and clients that do not read: what waits for their sockets takes hardly more memory than
 * its bytes, and comes whole and in order when they do (uv_write, uv_try_write and realloc are linked with
 * --wrap).
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/node.h"
#include "net/room.h"
#include "net/stream_extra.h"
#include "rig.h"

enum { SOCKET_BYTES = 4096, CLIENTS = 100, WAITING_BYTES = 100 * 1024, STALLED_MS = 50 };

static unsigned requests, requests_failing_from; /* 0: none fails */
static unsigned asked_in_vain;                   /* of a socket that was full when last heard of */
static const uv_stream_t *full;                  /* one at most is not read from at a time */
static unsigned pieces_most;                     /* that waited, of those written together */
static bool no_piece_can_be_written;
static bool is_short;

int __real_uv_write(uv_write_t *req, uv_stream_t *stream, const uv_buf_t bufs[], unsigned count,
                    uv_write_cb run);
int __wrap_uv_write(uv_write_t *req, uv_stream_t *stream, const uv_buf_t bufs[], unsigned count,
                    uv_write_cb run);

int __wrap_uv_write(uv_write_t *req, uv_stream_t *stream, const uv_buf_t bufs[], unsigned count,
                    uv_write_cb run)
{
    asked_in_vain += uv_stream_get_write_queue_size(stream) > 0;
    full = NULL; /* libuv waits until it takes more */
    if (++requests >= requests_failing_from && requests_failing_from > 0)
        return UV_ENOMEM;
    return __real_uv_write(req, stream, bufs, count, run);
}

int __real_uv_try_write(uv_stream_t *stream, const uv_buf_t bufs[], unsigned count);
int __wrap_uv_try_write(uv_stream_t *stream, const uv_buf_t bufs[], unsigned count);

int __wrap_uv_try_write(uv_stream_t *stream, const uv_buf_t bufs[], unsigned count)
{
    if (count > pieces_most)
        pieces_most = count;
    if (no_piece_can_be_written)
        return UV_EPIPE;
    size_t all = 0;
    for (unsigned i = 0; i < count; i++)
        all += bufs[i].len;
    asked_in_vain += stream == full || uv_stream_get_write_queue_size(stream) > 0;
    int sent = __real_uv_try_write(stream, bufs, count);
    if (sent == UV_EAGAIN || (sent >= 0 && (size_t)sent < all))
        full = stream;
    return sent;
}

void *__real_realloc(void *data, size_t size);
void *__wrap_realloc(void *data, size_t size);

void *__wrap_realloc(void *data, size_t size)
{
    return is_short ? NULL : __real_realloc(data, size);
}

/* The other end of a connection of the server's, which reads when it is asked whether it has. */
struct reader {
    int fd;
    struct herd_buf got;
    unsigned lines, until; /* that came; that have to come */
    bool ended;
};

static bool has_read(void *arg)
{
    struct reader *reader = arg;
    char bytes[65536];
    ssize_t len;
    while ((len = recv(reader->fd, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0) {
        assert_int_equal(herd_buf_append(&reader->got, bytes, (size_t)len), 0);
        for (ssize_t i = 0; i < len; i++)
            reader->lines += bytes[i] == '\n';
    }
    reader->ended |= len == 0 || (len < 0 && errno == ECONNRESET);
    return reader->lines >= reader->until || reader->ended;
}

static void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), 0), (ssize_t)strlen(text));
}

/* Sends a line that only the server has to read. */
static void say_and_turn(struct rig *rig, int fd, const char *line)
{
    const struct herd_node_stats *stats = herd_node_stats(rig->servers[0].node);
    uint64_t before = stats->lines_received;
    say(fd, line);
    while (stats->lines_received == before)
        uv_run(&rig->loop, UV_RUN_NOWAIT);
    uv_run(&rig->loop, UV_RUN_NOWAIT); /* what it leads to is written */
}

/* A server A, its neighbour B of the plain kind, which is a socket that takes next to nothing until
 * it is read from, and a client of A. */
struct world {
    struct rig rig;
    int listening;
    struct reader neighbour, client;
    unsigned updates;
};

static bool is_dialled(void *arg)
{
    struct world *world = arg;
    world->neighbour.fd = accept(world->listening, NULL, NULL);
    return world->neighbour.fd >= 0;
}

static uint16_t listen_small(struct world *world)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t len = sizeof(address);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = rig_small_socket(SOCKET_BYTES);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    world->listening = fd;
    return ntohs(address.sin_port);
}

static struct world *world_new(void)
{
    struct world *world = calloc(1, sizeof(*world));
    requests = requests_failing_from = pieces_most = asked_in_vain = 0;
    full = NULL;
    rig_init(&world->rig);
    struct rig_server *a = rig_add(&world->rig, "A");
    assert_int_equal(net_add_peer(a->net, "B", "127.0.0.1", listen_small(world)), 0);
    rig_run_until(&world->rig, is_dialled, world);
    world->neighbour.until = 1; /* HELLO */
    rig_run_until(&world->rig, has_read, &world->neighbour);
    say(world->neighbour.fd, "? HELLO A\n");
    herd_buf_free(&world->neighbour.got);
    world->client.fd = rig_connect(a->port);
    world->client.until = 1;
    return world;
}

static void world_free(struct world *world)
{
    close(world->listening);
    close(world->neighbour.fd);
    close(world->client.fd);
    rig_close(&world->rig);
    herd_buf_free(&world->neighbour.got);
    herd_buf_free(&world->client.got);
    free(world);
}

static struct herd_conn *link_of(struct world *world)
{
    return &world->rig.servers[0].node->neighbours[0]->link.conn;
}

/* Its number is its time. */
static void update(struct world *world)
{
    char line[64];
    unsigned number = ++world->updates;
    snprintf(line, sizeof(line), "IAMAT c%u +1+1 %u\n", number % CLIENTS, number);
    say(world->client.fd, line);
    /* Each is answered, whatever the neighbour does. */
    while (!has_read(&world->client))
        uv_run(&world->rig.loop, UV_RUN_NOWAIT);
    world->client.got.len = world->client.lines = 0;
}

/* A FLOOD for each update, in their order, and no others. */
static void expect_floods(const struct reader *reader, unsigned count)
{
    const char *at = reader->got.data, *end = at + reader->got.len;
    for (unsigned i = 1; i <= count; i++) {
        char begin[64];
        int len = snprintf(begin, sizeof(begin), "FLOOD A c%u +1+1 %u ", i % CLIENTS, i);
        assert_true(end - at > len);
        assert_memory_equal(at, begin, len);
        const char *lf = memchr(at, '\n', (size_t)(end - at));
        assert_non_null(lf);
        at = lf + 1;
    }
    assert_ptr_equal(at, end);
}

/* Line after line, each in a turn of its own, until no more may be on its way. */
static void test_a_neighbour_that_does_not_read_costs_its_bytes(void **state)
{
    (void)state;
    struct world *world = world_new();
    const struct herd_conn *link = link_of(world);
    while (link_has_room(conn_link(link)))
        update(world);
    unsigned count = world->updates;
    assert_int_equal(link->in_flight / 1024, LINK_PLAIN_BYTES / 1024);
    for (int i = 0; i < CLIENTS; i++)
        update(world); /* these keep their places in the list */
    assert_in_range(requests, 1, UINT_MAX);
    assert_int_equal(asked_in_vain, 0);
    world->neighbour.lines = 0;
    world->neighbour.until = count + CLIENTS;
    rig_run_until(&world->rig, has_read, &world->neighbour);
    expect_floods(&world->neighbour, count + CLIENTS);
    assert_int_equal(link->in_flight, 0);
    assert_in_range(pieces_most, 2, LINK_PLAIN_BYTES / STREAM_GATHER_BYTES + 2);
    update(world);
    world->neighbour.until++;
    rig_run_until(&world->rig, has_read, &world->neighbour);
    expect_floods(&world->neighbour, count + CLIENTS + 1);
    world_free(world);
}

static bool is_open(struct herd_conn *link)
{
    const struct stream *stream = peer_stream(link);
    return stream != NULL && !stream->closing;
}

/* Something waits behind what libuv has. */
static bool is_gathered(struct world *world)
{
    const struct stream *stream = peer_stream(link_of(world));
    const struct stream_extra *extra = stream->has_extra ? stream->of.extra : NULL;
    return extra != NULL && extra->is_with_libuv && extra->first->next != NULL;
}

/* A full socket may take some more before something is; a window of lines is more than it takes. */
static void update_until_gathered(struct world *world)
{
    const struct herd_conn *link = link_of(world);
    while (!is_gathered(world)) {
        assert_true(link_has_room(conn_link(link)));
        update(world);
    }
}

static void test_a_link_is_cut_while_something_is_gathered(void **state)
{
    (void)state;
    struct world *world = world_new();
    update_until_gathered(world);
    assert_int_equal(net_remove_peer(world->rig.servers[0].net, "B"), 0);
    world->neighbour.until = UINT_MAX;
    rig_run_until(&world->rig, has_read, &world->neighbour);
    assert_true(world->neighbour.ended);
    world_free(world);
}

static void test_no_memory_to_gather(void **state)
{
    (void)state;
    struct world *world = world_new();
    update_until_gathered(world);
    is_short = true;
    while (is_open(link_of(world)))
        update(world);
    is_short = false;
    world->neighbour.until = UINT_MAX;
    rig_run_until(&world->rig, has_read, &world->neighbour);
    assert_true(world->neighbour.ended);
    world_free(world);
}

/* At once; and when the socket takes more. */
static void test_what_was_gathered_cannot_be_sent(void **state)
{
    (void)state;
    for (int reads = 0; reads < 2; reads++) {
        struct world *world = world_new();
        if (reads)
            update_until_gathered(world);
        requests_failing_from = reads ? 0 : 1;
        while (!reads && is_open(link_of(world)))
            update(world);
        no_piece_can_be_written = reads;
        world->neighbour.until = UINT_MAX;
        rig_run_until(&world->rig, has_read, &world->neighbour);
        no_piece_can_be_written = false;
        assert_true(world->neighbour.ended);
        requests_failing_from = 0;
        world_free(world);
    }
}

static bool closes(void *arg)
{
    const struct rig_server *server = arg;
    return server->node->conns->close_told;
}

/* Small answers that wait when a client closes its half all come. */
static void test_a_client_that_reads_late_gets_all(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    struct rig_server *a = rig_add(&rig, "A");
    struct reader client = {.fd = rig_connect_small(a->port, SOCKET_BYTES), .until = UINT_MAX};
    unsigned count = 0;
    requests = pieces_most = asked_in_vain = 0;
    full = NULL;
    char line[64];
    do {
        snprintf(line, sizeof(line), "WHATSAT nobody%u 1 1\n", count++);
        say_and_turn(&rig, client.fd, line);
    } while (conn_unsent(a->node->conns) < WAITING_BYTES);
    assert_in_range(requests, 1, UINT_MAX);
    assert_int_equal(asked_in_vain, 0);
    shutdown(client.fd, SHUT_WR);
    rig_run_until(&rig, closes, a);
    rig_run_until(&rig, has_read, &client);
    assert_in_range(pieces_most, WAITING_BYTES / STREAM_GATHER_BYTES / 2,
                    WAITING_BYTES / STREAM_GATHER_BYTES + 2);
    assert_true(client.ended);
    const char *at = client.got.data;
    for (unsigned i = 0; i < count; i++) {
        int len = snprintf(line, sizeof(line), "? WHATSAT nobody%u 1 1\n", i);
        assert_memory_equal(at, line, len);
        at += len;
    }
    assert_ptr_equal(at, client.got.data + client.got.len);
    close(client.fd);
    herd_buf_free(&client.got);
    rig_close(&rig);
}

static bool has_given_up(void *arg)
{
    const struct rig_server *server = arg;
    return server->metrics.value[METRIC_connections_stalled_total] == 1 &&
           server->metrics.value[METRIC_connections_open] == 0;
}

/* It has closed its half, and takes nothing of what waits. */
static void test_a_client_that_takes_nothing_is_given_up_and_counted(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    struct rig_server *a = rig_add(&rig, "A");
    a->net->streams.stalled_ms = STALLED_MS;
    struct reader client = {.fd = rig_connect_small(a->port, SOCKET_BYTES)};
    char line[64];
    for (unsigned count = 0; count == 0 || conn_unsent(a->node->conns) < WAITING_BYTES; count++) {
        snprintf(line, sizeof(line), "WHATSAT nobody%u 1 1\n", count);
        say_and_turn(&rig, client.fd, line);
    }
    shutdown(client.fd, SHUT_WR);
    rig_run_until(&rig, has_given_up, a);
    assert_true(a->net->limits.of[LIMIT_STALLED].told);
    close(client.fd);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_neighbour_that_does_not_read_costs_its_bytes),
        cmocka_unit_test(test_a_link_is_cut_while_something_is_gathered),
        cmocka_unit_test(test_no_memory_to_gather),
        cmocka_unit_test(test_what_was_gathered_cannot_be_sent),
        cmocka_unit_test(test_a_client_that_reads_late_gets_all),
        cmocka_unit_test(test_a_client_that_takes_nothing_is_given_up_and_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
