#include "rig.h"

#include <arpa/inet.h>
#include <assert.h>
#include <linux/sockios.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <setjmp.h>

#include <cmocka.h>

#include "core/node.h"
#include "net/room.h"

/* What does not come true is a defect, however slow the machine: nobody waits so long else. */
enum { LIMIT_MS = 120000, STOP_MS = 4000 };

void rig_init(struct rig *rig)
{
    *rig = (struct rig){0};
    signal(SIGPIPE, SIG_IGN);
    assert_int_equal(uv_loop_init(&rig->loop), 0);
    assert_int_equal(log_open(NULL, LOG_ERROR, &rig->log), 0);
}

static void on_effect(void *arg, const struct herd_effect *effect)
{
    (void)arg;
    if (effect->kind == HERD_EFFECT_PLACES)
        herd_ask_answer(effect->ask, net_now(), herd_places_of_text("{}\n\n"));
}

struct rig_server *rig_add(struct rig *rig, const char *name)
{
    struct rig_server *server = &rig->servers[rig->count];
    struct herd_buf error = {0};
    snprintf(server->name, sizeof(server->name), "%s", name);
    const struct herd_node_options node = {.name = server->name,
                                           .seed = (uint64_t)++rig->count,
                                           .output_max = 256 * 1024,
                                           .pipeline_max = 64};
    assert_int_equal(herd_node_new(&node, &server->node), 0);
    const struct net_options net = {.loop = &rig->loop,
                                    .node = server->node,
                                    .log = rig->log,
                                    .metrics = &server->metrics,
                                    .room = {.connections_max = 1000},
                                    .effect = on_effect};
    assert_int_equal(net_new(&net, &server->net), 0);
    assert_int_equal(net_listen(server->net, "127.0.0.1", 0, &server->port, &error), 0);
    return server;
}

void rig_join(struct rig_server *a, struct rig_server *b)
{
    assert_int_equal(net_add_peer(a->net, b->name, "127.0.0.1", b->port), 0);
    assert_int_equal(net_add_peer(b->net, a->name, "127.0.0.1", a->port), 0);
}

static void on_limit(uv_timer_t *timer)
{
    (void)timer;
    fail_msg("the condition did not come true within %d ms", LIMIT_MS);
}

/* Keeps the loop turning, so that a condition outside it is seen. */
static void on_step(uv_timer_t *timer)
{
    (void)timer;
}

void rig_run_until(struct rig *rig, bool (*condition)(void *arg), void *arg)
{
    uv_timer_t limit, step;
    uv_timer_init(&rig->loop, &limit);
    uv_timer_init(&rig->loop, &step);
    uv_timer_start(&limit, on_limit, LIMIT_MS, 0);
    uv_timer_start(&step, on_step, 1, 1);
    while (!condition(arg))
        uv_run(&rig->loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&limit, NULL);
    uv_close((uv_handle_t *)&step, NULL);
    uv_run(&rig->loop, UV_RUN_NOWAIT);
}

bool rig_sleeps_early(const struct rig_server *server)
{
    const struct stream_loop *streams = &server->net->streams;
    bool has_more = server->node->dirty_count > 0 || streams->unread.count > 0 ||
                    !ring_is_empty(&streams->resting);
    return has_more && !uv_is_active((const uv_handle_t *)&streams->awake);
}

static void on_stopped(void *arg)
{
    struct rig_server *server = arg;
    server->stopped = 1;
    net_free(server->net);
}

void rig_close(struct rig *rig)
{
    for (int i = 0; i < rig->count; i++)
        net_stop(rig->servers[i].net, STOP_MS, on_stopped, &rig->servers[i]);
    uv_run(&rig->loop, UV_RUN_DEFAULT);
    for (int i = 0; i < rig->count; i++)
        assert_true(rig->servers[i].stopped);
    assert_int_equal(uv_loop_close(&rig->loop), 0);
    for (int i = 0; i < rig->count; i++)
        herd_node_free(rig->servers[i].node);
    log_close(rig->log);
}

int rig_small_socket(int bytes)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes)), 0);
    return fd;
}

static int connected(int fd, uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

int rig_connect_small(uint16_t port, int bytes)
{
    return connected(rig_small_socket(bytes), port);
}

void rig_receive_buffer(const struct rig_server *server, int bytes)
{
    for (size_t i = 0; i < server->net->listener_count; i++)
        assert_int_equal(
            setsockopt(server->net->listeners[i]->fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes)),
            0);
}

/* The server finds its timer set. */
void rig_give_time(struct rig_server *server)
{
    uv_timer_start(&server->net->streams.linger, on_limit, LIMIT_MS, 0);
}

void rig_wait(bool (*is_done)(void *arg), void *arg)
{
    for (uint64_t began_ns = uv_hrtime(); !is_done(arg); sched_yield()) {
        if (uv_hrtime() - began_ns > LIMIT_MS * (uint64_t)1000000)
            fail_msg("what is waited for did not come within %d ms", LIMIT_MS);
    }
}

static bool has_arrived(void *arg)
{
    int bytes = 0;
    assert_int_equal(ioctl(*(const int *)arg, SIOCOUTQ, &bytes), 0);
    return bytes == 0;
}

void rig_arrived(int fd)
{
    rig_wait(has_arrived, &fd);
}

int rig_connect(uint16_t port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    return connected(fd, port);
}
