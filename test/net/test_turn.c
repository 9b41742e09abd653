/* A turn of the loop takes one read and one write of a connection at most, however many lines come and
 * go. libuv's calls of read, write and writev are counted: this program's own come before libc's. */
#include <errno.h>
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
#include "rig.h"

enum { FDS = 1024, CLIENTS = 20, BURST = 64, BURSTS = 5, TURNS_MAX = 100000 };

struct calls {
    unsigned reads, writes;
};

/* Of sockets, in this turn; and ever. */
static struct calls in_turn[FDS], in_all[FDS];

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

static void one_turn(struct rig *rig)
{
    memset(in_turn, 0, sizeof(in_turn));
    uv_run(&rig->loop, UV_RUN_NOWAIT);
    assert_true(most(in_turn).reads <= 1);
    assert_true(most(in_turn).writes <= 1);
}

/* Lines of one client of the herd, each newer than those before, in one piece. */
static void say_burst(int fd, int client, unsigned burst)
{
    char text[BURST * 64];
    size_t len = 0;
    for (unsigned i = 0; i < BURST; i++)
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
    int fds[CLIENTS];
};

static bool has_all(void *arg)
{
    struct herd *herd = arg;
    for (int i = 0; i < herd->rig.count; i++) {
        if (herd_store_count(herd->rig.servers[i].node->store) < (size_t)CLIENTS * BURST)
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
static struct herd *herd_new(void)
{
    struct herd *herd = calloc(1, sizeof(*herd));
    rig_init(&herd->rig);
    struct rig_server *a = rig_add(&herd->rig, "A");
    struct rig_server *b = rig_add(&herd->rig, "B");
    struct rig_server *c = rig_add(&herd->rig, "C");
    rig_join(a, b);
    rig_join(a, c);
    rig_join(b, c);
    rig_run_until(&herd->rig, links_are_up, herd);
    for (int i = 0; i < CLIENTS; i++)
        herd->fds[i] = rig_connect(a->port);
    return herd;
}

static void herd_free(struct herd *herd)
{
    for (int i = 0; i < CLIENTS; i++)
        close(herd->fds[i]);
    rig_close(&herd->rig);
    free(herd);
}

/* All clients speak at once, and wait for their answers. */
static void all_speak(struct herd *herd, unsigned burst)
{
    unsigned answers = 0, turns = 0;
    for (int i = 0; i < CLIENTS; i++)
        say_burst(herd->fds[i], i, burst);
    for (; answers < CLIENTS * BURST; turns++) {
        assert_true(turns < TURNS_MAX);
        one_turn(&herd->rig);
        for (int i = 0; i < CLIENTS; i++)
            answers += count_answers(herd->fds[i]);
    }
    assert_int_equal(answers, CLIENTS * BURST);
}

static void a_turn_takes_one_read_and_one_write_of_a_connection(void **state)
{
    (void)state;
    struct herd *herd = herd_new();
    for (unsigned burst = 0; burst < BURSTS; burst++)
        all_speak(herd, burst);
    while (!has_all(herd))
        one_turn(&herd->rig);
    assert_true(most(in_all).reads >= BURSTS && most(in_all).writes >= BURSTS);
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
        say_burst(fd, 0, burst);
        while ((answers += count_answers(fd)) < BURST)
            uv_run(&rig.loop, UV_RUN_NOWAIT);
        assert_int_equal(most(in_all).reads, 1);
        assert_int_equal(most(in_all).writes, 1);
    }
    close(fd);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_turn_takes_one_read_and_one_write_of_a_connection),
        cmocka_unit_test(a_burst_takes_one_read_and_its_answers_one_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
