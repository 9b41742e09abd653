/* A turn of the loop takes one read and one write of a connection at most, however many lines come and
 * go, whatever timers add, and however full its socket is. libuv's calls of read, write and writev
 * are counted: this program's own come before libc's. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/node.h"
#include "net/room.h"
#include "rig.h"

enum {
    FDS = 1024,
    CLIENTS = 20,
    CROWD = HERD_TOUCHED_MAX * 2,
    BURST = 64, /* lines of a client in a turn at most */
    BURSTS = 5,
    PILE = 2000,
    PILE_LINE = 256,
    SMALL_BYTES = 4096, /* of a socket */
    SLOW_TURNS = 10,
    SLOW_MS = 110, /* longer than a MARK and an ACK may wait */
};

struct calls {
    unsigned reads, writes;
};

/* Of sockets, in this turn; and ever. */
static struct calls in_turn[FDS], in_all[FDS];

/* What is counted of a loop's turns. */
struct turns {
    uv_prepare_t hook;
    uv_check_t slow_hook;
    struct rig *rig;
    int slow;          /* turns that are to take so long that timers are due at their end */
    struct calls most; /* of any socket in any turn */
    uint64_t lines, lines_most; /* the first server's: so far, in any turn */
    size_t touched_most;        /* connections with something to send, when all was read */
    bool slept_early;           /* some server */
};

ssize_t read(int fd, void *data, size_t size);
ssize_t write(int fd, const void *data, size_t size);
ssize_t writev(int fd, const struct iovec *parts, int count);

static bool is_socket(int fd)
{
    struct stat stat;
    return fd >= 0 && fd < FDS && fstat(fd, &stat) == 0 && S_ISSOCK(stat.st_mode);
}

static void note_write(int fd)
{
    if (!is_socket(fd))
        return;
    in_turn[fd].writes++;
    in_all[fd].writes++;
}

ssize_t read(int fd, void *data, size_t size)
{
    if (is_socket(fd)) {
        in_turn[fd].reads++;
        in_all[fd].reads++;
    }
    return syscall(SYS_read, fd, data, size);
}

ssize_t write(int fd, const void *data, size_t size)
{
    note_write(fd);
    return syscall(SYS_write, fd, data, size);
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    note_write(fd);
    return syscall(SYS_writev, fd, parts, count);
}

/* What the most of any connection is. */
static struct calls most(const struct calls *calls)
{
    struct calls most = {0};
    for (int fd = 0; fd < FDS; fd++) {
        if (calls[fd].reads > most.reads)
            most.reads = calls[fd].reads;
        if (calls[fd].writes > most.writes)
            most.writes = calls[fd].writes;
    }
    return most;
}

/* The loop is about to sleep: a turn ends. */
static void on_end_of_turn(uv_prepare_t *hook)
{
    struct turns *turns = hook->data;
    const struct calls of_turn = most(in_turn);
    memset(in_turn, 0, sizeof(in_turn));
    if (of_turn.reads > turns->most.reads)
        turns->most.reads = of_turn.reads;
    if (of_turn.writes > turns->most.writes)
        turns->most.writes = of_turn.writes;
    if (turns->rig->count == 0)
        return;
    for (int i = 0; i < turns->rig->count; i++)
        turns->slept_early |= rig_sleeps_early(&turns->rig->servers[i]);
    uint64_t lines = herd_node_stats(turns->rig->servers[0].node)->lines_received;
    if (lines - turns->lines > turns->lines_most)
        turns->lines_most = lines - turns->lines;
    turns->lines = lines;
}

/* Something has come in. */
static void on_check(uv_check_t *hook)
{
    struct turns *turns = hook->data;
    for (int i = 0; i < turns->rig->count; i++) {
        size_t touched = turns->rig->servers[i].node->dirty_count;
        turns->touched_most = touched > turns->touched_most ? touched : turns->touched_most;
    }
    if (turns->slow == 0 || most(in_turn).reads == 0)
        return;
    turns->slow--;
    uv_sleep(SLOW_MS);
}

/* Before there are servers: hooks that began later run before these. */
static void count_turns(struct turns *turns, struct rig *rig)
{
    memset(in_turn, 0, sizeof(in_turn));
    memset(in_all, 0, sizeof(in_all));
    *turns = (struct turns){.rig = rig};
    assert_int_equal(uv_prepare_init(&rig->loop, &turns->hook), 0);
    turns->hook.data = turns;
    uv_prepare_start(&turns->hook, on_end_of_turn);
    uv_unref((uv_handle_t *)&turns->hook);
    assert_int_equal(uv_check_init(&rig->loop, &turns->slow_hook), 0);
    turns->slow_hook.data = turns;
    uv_check_start(&turns->slow_hook, on_check);
    uv_unref((uv_handle_t *)&turns->slow_hook);
}

static void expect_one_read_and_one_write(struct turns *turns)
{
    uv_close((uv_handle_t *)&turns->hook, NULL);
    uv_close((uv_handle_t *)&turns->slow_hook, NULL);
    uv_run(&turns->rig->loop, UV_RUN_NOWAIT);
    assert_int_equal(turns->most.reads, 1);
    assert_int_equal(turns->most.writes, 1);
    assert_in_range(turns->touched_most, 1, HERD_TOUCHED_MAX); /* of a crowd, too */
    assert_false(turns->slept_early);
}

/* Lines of one client of the herd, each newer than those before, in one piece. */
static void say_burst(int fd, int client, unsigned burst, unsigned lines)
{
    char text[BURST * 64];
    size_t len = 0;
    for (unsigned i = 0; i < lines; i++)
        len += (size_t)snprintf(text + len, sizeof(text) - len, "IAMAT c%d-%u +1+1 %u\n", client, i,
                                burst + 1);
    assert_int_equal(send(fd, text, len, 0), (ssize_t)len);
}

static unsigned count_answers(int fd)
{
    char bytes[65536];
    unsigned lines = 0;
    ssize_t len;
    while ((len = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0) {
        for (ssize_t i = 0; i < len; i++)
            lines += bytes[i] == '\n';
    }
    assert_true(len < 0 && errno == EAGAIN);
    return lines;
}

struct herd {
    struct rig rig;
    struct turns turns;
    int fds[CROWD], count;
    unsigned lines; /* of each client at once */
    unsigned bursts, answers;
};

static bool has_answers(void *arg)
{
    struct herd *herd = arg;
    for (int i = 0; i < herd->count; i++)
        herd->answers += count_answers(herd->fds[i]);
    return herd->answers >= (unsigned)herd->count * herd->lines;
}

static bool has_all(void *arg)
{
    struct herd *herd = arg;
    for (int i = 0; i < herd->rig.count; i++) {
        if (herd_store_count(herd->rig.servers[i].node->store) < (size_t)herd->count * herd->lines)
            return false;
    }
    return true;
}

static bool links_are_up(void *arg)
{
    struct herd *herd = arg;
    for (int i = 0; i < herd->rig.count; i++) {
        struct herd_node *node = herd->rig.servers[i].node;
        for (size_t k = 0; k < node->neighbour_count; k++) {
            if (node->neighbours[k]->link.state != LINK_UP)
                return false;
        }
    }
    return true;
}

/* Three servers, all of them neighbours; the clients are A's. */
static struct herd *herd_new(int clients, unsigned lines)
{
    struct herd *herd = calloc(1, sizeof(*herd));
    herd->lines = lines;
    rig_init(&herd->rig);
    count_turns(&herd->turns, &herd->rig);
    struct rig_server *a = rig_add(&herd->rig, "A");
    struct rig_server *b = rig_add(&herd->rig, "B");
    struct rig_server *c = rig_add(&herd->rig, "C");
    rig_join(a, b);
    rig_join(a, c);
    rig_join(b, c);
    rig_run_until(&herd->rig, links_are_up, herd);
    for (herd->count = 0; herd->count < clients; herd->count++)
        herd->fds[herd->count] = rig_connect(a->port);
    return herd;
}

static void herd_free(struct herd *herd)
{
    for (int i = 0; i < herd->count; i++)
        close(herd->fds[i]);
    expect_one_read_and_one_write(&herd->turns);
    rig_close(&herd->rig);
    free(herd);
}

/* All clients speak at once, and wait for their answers. */
static void all_speak(struct herd *herd)
{
    for (int i = 0; i < herd->count; i++)
        say_burst(herd->fds[i], i, herd->bursts, herd->lines);
    herd->bursts++;
    herd->answers = 0;
    rig_run_until(&herd->rig, has_answers, herd);
    assert_int_equal(herd->answers, herd->count * herd->lines);
}

static void lines_of_many_and_of_timers_go_out_together(void **state)
{
    (void)state;
    struct herd *herd = herd_new(CLIENTS, BURST);
    herd->turns.slow = SLOW_TURNS;
    while (herd->bursts < BURSTS || herd->turns.slow > 0)
        all_speak(herd);
    rig_run_until(&herd->rig, has_all, herd);
    assert_true(most(in_all).reads >= BURSTS && most(in_all).writes >= BURSTS);
    herd_free(herd);
}

/* Whose answers go out before a turn's end. */
static void a_crowd_is_answered_once_a_turn(void **state)
{
    (void)state;
    struct herd *herd = herd_new(CROWD, 1);
    for (unsigned burst = 0; burst < BURSTS; burst++)
        all_speak(herd);
    rig_run_until(&herd->rig, has_all, herd);
    herd_free(herd);
}

static void a_burst_takes_one_read_and_its_answers_one_write(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    int fd = rig_connect(rig_add(&rig, "A")->port);
    for (unsigned burst = 0; burst < BURSTS; burst++) {
        unsigned answers = 0;
        memset(in_all, 0, sizeof(in_all));
        say_burst(fd, 0, burst, BURST);
        rig_arrived(fd);
        while ((answers += count_answers(fd)) < BURST)
            uv_run(&rig.loop, UV_RUN_NOWAIT);
        assert_int_equal(most(in_all).reads, 1);
        assert_int_equal(most(in_all).writes, 1);
    }
    close(fd);
    rig_close(&rig);
}

/* A client that speaks, and reads only when its answers have filled its socket. */
struct pile {
    struct rig rig;
    struct turns turns;
    int fd;
    char text[PILE * PILE_LINE];
    size_t len, sent;
    unsigned answers;
};

static void speak(struct pile *pile)
{
    if (pile->sent == pile->len)
        return;
    ssize_t len = send(pile->fd, pile->text + pile->sent, pile->len - pile->sent, MSG_DONTWAIT);
    assert_true(len > 0 || errno == EAGAIN);
    pile->sent += len > 0 ? (size_t)len : 0;
}

static bool is_accepted(void *arg)
{
    const struct pile *pile = arg;
    return pile->rig.servers[0].node->conns != NULL;
}

/* The kernel would keep megabytes for it. */
static void keep_little(struct pile *pile)
{
    struct stream *stream = herd_conn_data(pile->rig.servers[0].node->conns);
    int small = SMALL_BYTES, fd;
    assert_int_equal(uv_fileno((uv_handle_t *)&stream->tcp, &fd), 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
}

static bool is_full(void *arg)
{
    struct pile *pile = arg;
    speak(pile);
    return herd_node_stats(pile->rig.servers[0].node)->clients_paused > 0;
}

static bool has_read_on(void *arg)
{
    struct pile *pile = arg;
    speak(pile);
    pile->answers += count_answers(pile->fd);
    return pile->answers == PILE;
}

static void a_full_socket_is_asked_once_a_turn(void **state)
{
    (void)state;
    struct pile *pile = calloc(1, sizeof(*pile));
    rig_init(&pile->rig);
    count_turns(&pile->turns, &pile->rig);
    pile->fd = rig_connect_small(rig_add(&pile->rig, "A")->port, SMALL_BYTES);
    for (unsigned i = 0; i < PILE; i++) /* each comes back whole, as an error */
        pile->len += (size_t)snprintf(pile->text + pile->len, sizeof(pile->text) - pile->len,
                                      "WHATSAT %0200u 1 1\n", i);
    rig_run_until(&pile->rig, is_accepted, pile);
    keep_little(pile);
    rig_run_until(&pile->rig, is_full, pile);
    rig_run_until(&pile->rig, has_read_on, pile);
    assert_in_range(pile->turns.lines_most, 1, BURST);
    close(pile->fd);
    expect_one_read_and_one_write(&pile->turns);
    rig_close(&pile->rig);
    free(pile);
}

struct expected {
    const struct listener *listener;
    unsigned count;
};

static bool have_connected(void *arg)
{
    const struct expected *expected = arg;
    struct tcp_info info = {0};
    socklen_t len = sizeof(info);
    assert_int_equal(getsockopt(expected->listener->fd, IPPROTO_TCP, TCP_INFO, &info, &len), 0);
    return info.tcpi_unacked >= expected->count; /* of one that listens: who is to be accepted */
}

/* connect() returns before the other end knows that it has. */
static void wait_for_connections(const struct listener *listener, unsigned count)
{
    rig_wait(have_connected, &(struct expected){listener, count});
}

/* They come all at once; whoever listens on a second port waits for none of them. */
static void connections_are_accepted_some_in_a_turn(void **state)
{
    (void)state;
    struct rig rig;
    int fds[CROWD], count = 0;
    uint16_t second;
    struct herd_buf error = {0};
    rig_init(&rig);
    struct rig_server *a = rig_add(&rig, "A");
    assert_int_equal(net_listen(a->net, "127.0.0.1", 0, &second, &error), 0);
    while (count < CROWD - 1)
        fds[count++] = rig_connect(a->port);
    fds[count++] = rig_connect(second);
    wait_for_connections(a->net->listeners[0], CROWD - 1);
    wait_for_connections(a->net->listeners[1], 1);
    uv_run(&rig.loop, UV_RUN_NOWAIT);
    assert_int_equal(a->net->connections, NET_ACCEPTS_PER_TURN / 2 + 1);
    for (size_t before = 0; (before = a->net->connections) < CROWD;) {
        uv_run(&rig.loop, UV_RUN_NOWAIT);
        assert_in_range(a->net->connections, before + 1, before + NET_ACCEPTS_PER_TURN / 2);
    }
    assert_true(a->metrics.value[METRIC_turns_full_accepts_total] >= 2);
    assert_true(a->net->limits.of[LIMIT_TURN_ACCEPTS].told);
    while (count > 0)
        close(fds[--count]);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_of_many_and_of_timers_go_out_together),
        cmocka_unit_test(a_crowd_is_answered_once_a_turn),
        cmocka_unit_test(a_burst_takes_one_read_and_its_answers_one_write),
        cmocka_unit_test(a_full_socket_is_asked_once_a_turn),
        cmocka_unit_test(connections_are_accepted_some_in_a_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
