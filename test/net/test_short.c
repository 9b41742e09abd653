/* Connections that come while there is no memory for them, or whose socket cannot be used, and
 * names that cannot be looked up (calloc, uv_tcp_open and uv_getaddrinfo are linked with --wrap).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include <herd/err.h>

#include "rig.h"

enum { REFUSED = 5, LOOKUPS = 3 };

static bool is_short;
static int lookups_failing; /* the next ones */
static bool are_sockets_bad;

void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);

void *__wrap_calloc(size_t count, size_t size)
{
    return is_short ? NULL : __real_calloc(count, size);
}

int __real_uv_getaddrinfo(uv_loop_t *loop, uv_getaddrinfo_t *req, uv_getaddrinfo_cb run,
                          const char *node, const char *service, const struct addrinfo *hints);
int __wrap_uv_getaddrinfo(uv_loop_t *loop, uv_getaddrinfo_t *req, uv_getaddrinfo_cb run,
                          const char *node, const char *service, const struct addrinfo *hints);

int __wrap_uv_getaddrinfo(uv_loop_t *loop, uv_getaddrinfo_t *req, uv_getaddrinfo_cb run,
                          const char *node, const char *service, const struct addrinfo *hints)
{
    if (lookups_failing == 0)
        return __real_uv_getaddrinfo(loop, req, run, node, service, hints);
    lookups_failing--;
    return UV_ENOMEM;
}

int __real_uv_tcp_open(uv_tcp_t *tcp, uv_os_sock_t fd);
int __wrap_uv_tcp_open(uv_tcp_t *tcp, uv_os_sock_t fd);

int __wrap_uv_tcp_open(uv_tcp_t *tcp, uv_os_sock_t fd)
{
    return are_sockets_bad ? UV_ENOTCONN : __real_uv_tcp_open(tcp, fd);
}

/* What a test waits for: that each of the connections has been closed. */
struct ends {
    int fds[REFUSED];
};

static bool have_ended(void *arg)
{
    const struct ends *ends = arg;
    char byte;
    for (int i = 0; i < REFUSED; i++) {
        if (recv(ends->fds[i], &byte, 1, MSG_DONTWAIT | MSG_PEEK) != 0)
            return false;
    }
    return true;
}

static bool has_answer(void *arg)
{
    char bytes[256];
    ssize_t len = recv(*(int *)arg, bytes, sizeof(bytes), MSG_DONTWAIT);
    return len > 3 && memcmp(bytes, "AT A", 4) == 0;
}

/* A client that has had an answer. */
static int connect_and_ask(struct rig *rig, uint16_t port)
{
    int fd = rig_connect(port);
    assert_int_equal(send(fd, "IAMAT x +1+1 5\n", 15, 0), 15);
    rig_run_until(rig, has_answer, &fd);
    return fd;
}

/* Each of them is closed, also where several come in one turn of the loop, and the listener goes on
 * when memory is there again. */
static void test_connections_are_refused_and_later_ones_served(void **state)
{
    struct rig rig;
    (void)state;
    rig_init(&rig);
    struct rig_server *a = rig_add(&rig, "A");
    for (int round = 1; round <= 3; round++) {
        struct ends ends;
        for (int i = 0; i < REFUSED; i++)
            ends.fds[i] = rig_connect(a->port);
        is_short = true;
        rig_run_until(&rig, have_ended, &ends);
        is_short = false;
        assert_int_equal(a->metrics.value[METRIC_connections_refused_total], round * REFUSED);
        for (int i = 0; i < REFUSED; i++)
            close(ends.fds[i]);
        int fd = connect_and_ask(&rig, a->port);
        close(fd);
    }
    rig_close(&rig);
}

static void test_a_socket_that_cannot_be_used_is_counted(void **state)
{
    struct rig rig;
    struct ends ends;
    (void)state;
    rig_init(&rig);
    struct rig_server *a = rig_add(&rig, "A");
    for (int i = 0; i < REFUSED; i++)
        ends.fds[i] = rig_connect(a->port);
    are_sockets_bad = true;
    rig_run_until(&rig, have_ended, &ends);
    are_sockets_bad = false;
    assert_int_equal(a->metrics.value[METRIC_connections_refused_total], REFUSED);
    int fd = connect_and_ask(&rig, a->port);
    assert_int_equal(a->metrics.value[METRIC_connections_open], 1);
    close(fd);
    for (int i = 0; i < REFUSED; i++)
        close(ends.fds[i]);
    rig_close(&rig);
}

/* The server stops in the turn in which it refuses. */
static void test_stop_while_refusing(void **state)
{
    struct rig rig;
    (void)state;
    rig_init(&rig);
    struct rig_server *a = rig_add(&rig, "A");
    int fds[REFUSED];
    for (int i = 0; i < REFUSED; i++)
        fds[i] = rig_connect(a->port);
    is_short = true;
    while (a->metrics.value[METRIC_connections_refused_total] == 0)
        uv_run(&rig.loop, UV_RUN_NOWAIT);
    rig_close(&rig);
    is_short = false;
    for (int i = 0; i < REFUSED; i++)
        close(fds[i]);
}

static bool holds(void *arg)
{
    return herd_store_count(herd_node_store(((struct rig_server *)arg)->node)) > 0;
}

/* "127.1" is no address in the usual form, so it is looked up as a name; no name server is asked.
 */
static void test_a_name_is_looked_up_until_that_works(void **state)
{
    struct rig rig;
    (void)state;
    rig_init(&rig);
    struct rig_server *a = rig_add(&rig, "A"), *b = rig_add(&rig, "B");
    lookups_failing = LOOKUPS;
    assert_int_equal(net_add_peer(a->net, "B", "127.1", b->port), 0);
    assert_int_equal(net_add_peer(b->net, "A", "127.0.0.1", a->port), 0);
    int fd = connect_and_ask(&rig, a->port);
    rig_run_until(&rig, holds, b);
    assert_true(lookups_failing < LOOKUPS);
    lookups_failing = 0;
    close(fd);
    rig_close(&rig);
}

static void test_to_listen_at_a_name_that_cannot_be_looked_up(void **state)
{
    struct rig rig;
    struct herd_buf error = {0};
    uint16_t port = 0;
    (void)state;
    rig_init(&rig);
    struct rig_server *a = rig_add(&rig, "A");
    lookups_failing = 1;
    assert_int_equal(net_listen(a->net, "127.1", 0, &port, &error), HERD_EIO);
    assert_non_null(strstr(error.data, "listen on 127.1:0: not enough memory"));
    assert_int_equal(net_listen(a->net, "127.1", 0, &port, &error), 0);
    int fd = connect_and_ask(&rig, port);
    close(fd);
    herd_buf_free(&error);
    rig_close(&rig);
}

/* No file but `files` at most can be opened from now on; returns what it was. */
static struct rlimit limit_files(rlim_t files)
{
    struct rlimit before, now;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    now = before;
    now.rlim_cur = files;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
    return before;
}

/* A server with a client that has had an answer, others that have just come, and the descriptor that
 * would be opened next. */
struct crowd {
    struct rig rig;
    struct rig_server *server;
    int fd, next;
    struct ends ends;
};

static void crowd_come(struct crowd *crowd)
{
    rig_init(&crowd->rig);
    crowd->server = rig_add(&crowd->rig, "A");
    crowd->fd = connect_and_ask(&crowd->rig, crowd->server->port);
    for (int i = 0; i < REFUSED; i++)
        crowd->ends.fds[i] = rig_connect(crowd->server->port);
    crowd->next = dup(crowd->fd);
    close(crowd->next);
}

static void crowd_go(struct crowd *crowd)
{
    for (int i = 0; i < REFUSED; i++)
        close(crowd->ends.fds[i]);
    close(crowd->fd);
    rig_close(&crowd->rig);
}

/* Lowered while it runs, as prlimit does: each is closed at once and counted, the others are
 * served. */
static void test_connections_without_a_file_are_refused_and_counted(void **state)
{
    struct crowd crowd;
    (void)state;
    crowd_come(&crowd);
    struct rlimit before = limit_files((rlim_t)crowd.next);
    rig_run_until(&crowd.rig, have_ended, &crowd.ends);
    assert_int_equal(crowd.server->metrics.value[METRIC_connections_refused_total], REFUSED);
    assert_int_equal(crowd.server->metrics.value[METRIC_accept_failures_total], 0);
    assert_int_equal(send(crowd.fd, "IAMAT x +1+1 6\n", 15, 0), 15);
    rig_run_until(&crowd.rig, has_answer, &crowd.fd);
    setrlimit(RLIMIT_NOFILE, &before);
    crowd_go(&crowd);
}

/* Lowered so far that what is left is for links and files: who comes is turned away before that is
 * taken, and is served once the limit is as it was. */
static void test_connections_leave_the_files_that_are_reserved(void **state)
{
    struct crowd crowd;
    (void)state;
    crowd_come(&crowd);
    const struct net_room room = {.connections_max = 1000,
                                  .files_reserved = (size_t)crowd.next + 1};
    net_set_room(crowd.server->net, &room);
    struct rlimit before = limit_files((rlim_t)crowd.next + 2);
    rig_run_until(&crowd.rig, have_ended, &crowd.ends);
    assert_int_equal(crowd.server->metrics.value[METRIC_connections_refused_total], REFUSED);
    assert_int_equal(crowd.server->metrics.value[METRIC_connections_open], 1);
    int files[] = {dup(crowd.fd), dup(crowd.fd)};
    setrlimit(RLIMIT_NOFILE, &before);
    close(connect_and_ask(&crowd.rig, crowd.server->port));
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        assert_true(files[i] >= 0);
        close(files[i]);
    }
    crowd_go(&crowd);
}

static bool has_failed_to_accept(void *arg)
{
    return ((struct rig_server *)arg)->metrics.value[METRIC_accept_failures_total] >= 2;
}

/* The limit is below what is open: not even the descriptor that is kept for it helps. Who comes
 * waits, without the loop running hot, and is served once that is over. */
static void test_connections_wait_where_they_cannot_even_be_closed(void **state)
{
    struct rig rig;
    (void)state;
    rig_init(&rig);
    struct rig_server *a = rig_add(&rig, "A");
    int fd = connect_and_ask(&rig, a->port);
    int waiting = rig_connect(a->port);
    assert_int_equal(send(waiting, "IAMAT y +1+1 5\n", 15, 0), 15);
    struct rlimit before = limit_files(3);
    rig_run_until(&rig, has_failed_to_accept, a);
    assert_int_equal(send(fd, "IAMAT x +1+1 6\n", 15, 0), 15);
    rig_run_until(&rig, has_answer, &fd);
    setrlimit(RLIMIT_NOFILE, &before);
    rig_run_until(&rig, has_answer, &waiting);
    assert_int_equal(a->metrics.value[METRIC_connections_refused_total], 0);
    close(waiting);
    close(fd);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_connections_are_refused_and_later_ones_served),
        cmocka_unit_test(test_a_socket_that_cannot_be_used_is_counted),
        cmocka_unit_test(test_stop_while_refusing),
        cmocka_unit_test(test_connections_without_a_file_are_refused_and_counted),
        cmocka_unit_test(test_connections_leave_the_files_that_are_reserved),
        cmocka_unit_test(test_connections_wait_where_they_cannot_even_be_closed),
        cmocka_unit_test(test_a_name_is_looked_up_until_that_works),
        cmocka_unit_test(test_to_listen_at_a_name_that_cannot_be_looked_up),
    };
    return cmocka_run_group_tests_name("short", tests, NULL, NULL);
}
