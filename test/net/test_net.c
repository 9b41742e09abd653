/* Nodes over real sockets: floods, short writes, half-close, connections that break at awkward
 * moments. */
#include <errno.h>
#include <fcntl.h>
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
#include "net/limits.h"
#include "net/stream.h"
#include "rig.h"

enum { SLOW_LINES = 8000 };

/* What a test waits for: bytes on a socket. */
struct reader {
    int fd;
    struct herd_buf got;
    const char *until; /* the text that has to be there; NULL: end of file */
    bool ended;
};

static bool has_read(void *arg)
{
    struct reader *reader = arg;
    char bytes[65536];
    ssize_t len;
    while ((len = recv(reader->fd, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0)
        herd_buf_append(&reader->got, bytes, (size_t)len);
    reader->ended = reader->ended || len == 0;
    if (reader->until == NULL)
        return reader->ended;
    herd_buf_append(&reader->got, "", 1);
    reader->got.len--;
    return strstr(reader->got.data, reader->until) != NULL;
}

static void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), 0), (ssize_t)strlen(text));
}

static bool holds(void *arg)
{
    return herd_store_count(herd_node_store(((struct rig_server *)arg)->node)) > 0;
}

static void test_flood_of_two(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    struct rig_server *a = rig_add(&rig, "A"), *b = rig_add(&rig, "B");
    rig_join(a, b);
    struct reader reader = {.fd = rig_connect(a->port), .until = "\n"};
    say(reader.fd, "IAMAT x +1+1 5\n");
    rig_run_until(&rig, has_read, &reader);
    rig_run_until(&rig, holds, b);
    assert_true(herd_store_digest(herd_node_store(a->node)) ==
                herd_store_digest(herd_node_store(b->node)));
    close(reader.fd);
    herd_buf_free(&reader.got);
    rig_close(&rig);
}

static void test_half_close_is_answered_in_full(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    struct rig_server *a = rig_add(&rig, "A");
    struct reader reader = {.fd = rig_connect(a->port)};
    for (int i = 0; i < 500; i++)
        say(reader.fd, "IAMAT x +1+1 5\nWHATSAT x 1 1\nwhat\n");
    say(reader.fd, "last");
    shutdown(reader.fd, SHUT_WR);
    rig_run_until(&rig, has_read, &reader);
    size_t lines = 0;
    for (size_t i = 0; i < reader.got.len; i++)
        lines += reader.got.data[i] == '\n';
    assert_int_equal(lines, 500 * 5 + 1);
    assert_memory_equal(reader.got.data + reader.got.len - 7, "? last\n", 7);
    close(reader.fd);
    herd_buf_free(&reader.got);
    rig_close(&rig);
}

/* A small receive buffer and a reader that takes its time: writes come out short, and nothing is
 * lost or mixed up. */
static void test_slow_reader_gets_everything(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    struct rig_server *a = rig_add(&rig, "A");
    struct reader reader = {.fd = rig_connect(a->port)};
    int small = 65536;
    setsockopt(reader.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    fcntl(reader.fd, F_SETFL, O_NONBLOCK);
    char *line = malloc(4002);
    memset(line, 'x', 4000);
    line[4000] = '\n';
    size_t sent = 0, total = (size_t)4001 * SLOW_LINES;
    while (sent < total) {
        size_t at = sent % 4001;
        ssize_t len = send(reader.fd, line + at, 4001 - at, 0);
        if (len > 0)
            sent += (size_t)len;
        else
            uv_run(&rig.loop, UV_RUN_NOWAIT);
        /* Reads nothing until the server has had enough. */
        if (herd_node_stats(a->node)->clients_paused > 0)
            has_read(&reader);
    }
    shutdown(reader.fd, SHUT_WR);
    rig_run_until(&rig, has_read, &reader);
    assert_int_equal(reader.got.len, (size_t)4003 * SLOW_LINES);
    for (size_t i = 0; i < SLOW_LINES; i++)
        assert_memory_equal(reader.got.data + i * 4003, "? xxx", 5);
    free(line);
    close(reader.fd);
    herd_buf_free(&reader.got);
    rig_close(&rig);
}

static bool has_passed(void *arg)
{
    return uv_hrtime() >= *(uint64_t *)arg;
}

/* Sends lines until the socket takes no more answers, so that some wait in the server; returns how
 * many. */
static size_t say_more_than_fits(struct rig *rig, const struct rig_server *server, int fd)
{
    char line[4001];
    memset(line, 'x', 4000);
    line[4000] = '\n';
    size_t lines = 0;
    do {
        assert_int_equal(send(fd, line, sizeof(line), 0), sizeof(line));
        lines++;
        while (herd_node_stats(server->node)->lines_received < lines)
            uv_run(&rig->loop, UV_RUN_NOWAIT);
        uv_run(&rig->loop, UV_RUN_NOWAIT); /* its answer is written */
    } while (server->metrics.value[METRIC_bytes_sent_total] >= (int64_t)lines * 4003);
    return lines;
}

/* It has closed its half, and reads on only after pauses that are longer than a connection is kept
 * for whose answers are all out. */
static void test_reader_that_pauses_after_half_close_gets_everything(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    struct rig_server *a = rig_add(&rig, "A");
    struct reader reader = {.fd = rig_connect(a->port)};
    size_t lines = say_more_than_fits(&rig, a, reader.fd);
    shutdown(reader.fd, SHUT_WR);
    for (int pause = 0; pause < 2; pause++) {
        uint64_t until_ns = uv_hrtime() + (STREAM_LINGER_MS + 500) * (uint64_t)1000000;
        rig_run_until(&rig, has_passed, &until_ns);
        char bytes[4096];
        ssize_t len = recv(reader.fd, bytes, sizeof(bytes), 0);
        assert_true(len > 0);
        herd_buf_append(&reader.got, bytes, (size_t)len);
    }
    rig_run_until(&rig, has_read, &reader);
    assert_int_equal(reader.got.len, lines * 4003);
    close(reader.fd);
    herd_buf_free(&reader.got);
    rig_close(&rig);
}

/* Asks as much as the socket takes, and reads no answer. */
static void ask_on(int fd)
{
    static const char line[] = "WHATSAT nobody 50 20\n";
    char lines[100 * (sizeof(line) - 1)];
    for (size_t i = 0; i < sizeof(lines); i += sizeof(line) - 1)
        memcpy(lines + i, line, sizeof(line) - 1);
    while (send(fd, lines, sizeof(lines), MSG_DONTWAIT) == (ssize_t)sizeof(lines))
        continue;
}

/* Megabytes wait in the socket, and one read a turn takes 64 KiB of them: a client that reads no
 * answers costs no more than its answers up to output_max, and what one read has brought. */
static void test_a_client_that_never_reads_is_read_from_once_a_turn(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    struct rig_server *a = rig_add(&rig, "A");
    const int64_t *received = &a->metrics.value[METRIC_bytes_received_total];
    int fd = rig_connect(a->port);
    while (herd_node_stats(a->node)->clients_paused == 0) {
        int64_t before = *received;
        ask_on(fd);
        uv_run(&rig.loop, UV_RUN_NOWAIT);
        assert_in_range(*received - before, 0, STREAM_INPUT_BYTES);
        const struct conn_work *work = a->node->conns != NULL ? a->node->conns->work : NULL;
        if (work != NULL)
            assert_in_range(herd_frame_kept(&work->frame), 0, STREAM_INPUT_BYTES + HERD_LINE_MAX);
    }
    assert_true(*received > 2 * STREAM_INPUT_BYTES);
    close(fd);
    rig_close(&rig);
}

struct up {
    struct rig_server *server;
    bool wanted;
};

static bool link_is(void *arg)
{
    struct up *up = arg;
    struct herd_link_status status;
    return herd_node_link(up->server->node, 0, &status) && status.up == up->wanted;
}

/* A neighbour that accepts and closes at each moment of the greeting; the link comes back each
 * time. */
static void test_neighbour_that_closes_in_the_greeting(void **state)
{
    (void)state;
    static const char *const words[] = {"", "RES", "RESUME 0000000000000000 0\n", "? HELLO A\n",
                                        "PING\nPONG\n"};
    struct rig rig;
    rig_init(&rig);
    struct rig_server *a = rig_add(&rig, "A");
    struct sockaddr_in address = {.sin_family = AF_INET};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t len = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(listener, 8), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &len), 0);
    assert_int_equal(net_add_peer(a->net, "B", "127.0.0.1", ntohs(address.sin_port)), 0);
    for (size_t i = 0; i < 3 * sizeof(words) / sizeof(words[0]); i++) {
        int fd;
        while ((fd = accept(listener, NULL, NULL)) < 0)
            uv_run(&rig.loop, UV_RUN_ONCE);
        const char *word = words[i % (sizeof(words) / sizeof(words[0]))];
        send(fd, word, strlen(word), MSG_NOSIGNAL);
        uv_run(&rig.loop, UV_RUN_NOWAIT);
        if (i % 2 == 0) {
            struct linger reset = {1, 0};
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
        }
        close(fd);
    }
    close(listener);
    struct up down = {a, false};
    rig_run_until(&rig, link_is, &down);
    rig_close(&rig);
}

static void test_stop_with_everything_open(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    struct rig_server *a = rig_add(&rig, "A"), *b = rig_add(&rig, "B"), *c = rig_add(&rig, "C");
    rig_join(a, b);
    rig_join(b, c);
    rig_join(c, a);
    int fds[50];
    for (int i = 0; i < 50; i++) {
        fds[i] = rig_connect(rig.servers[i % 3].port);
        say(fds[i], "IAMAT x +1+1 5\nIAMAT half");
    }
    rig_run_until(&rig, holds, c);
    rig_close(&rig);
    for (int i = 0; i < 50; i++)
        close(fds[i]);
}

static void test_stop_while_dialling(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    struct rig_server *a = rig_add(&rig, "A");
    /* A name is resolved in the thread pool; a port where nobody listens refuses. */
    assert_int_equal(net_add_peer(a->net, "B", "localhost", a->port), 0);
    assert_int_equal(net_add_peer(a->net, "C", "127.0.0.1", 1), 0);
    assert_int_equal(net_add_peer(a->net, "D", "no-such-host.invalid", 1), 0);
    uv_run(&rig.loop, UV_RUN_NOWAIT);
    rig_close(&rig);
}

static void test_edges_come_and_go(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    struct rig_server *a = rig_add(&rig, "A"), *b = rig_add(&rig, "B");
    for (int i = 0; i < 20; i++) {
        rig_join(a, b);
        for (int turn = 0; turn < i; turn++)
            uv_run(&rig.loop, UV_RUN_NOWAIT);
        assert_int_equal(net_remove_peer(a->net, "B"), 0);
        assert_int_equal(net_remove_peer(b->net, "A"), 0);
    }
    rig_join(a, b);
    struct up up = {a, true};
    rig_run_until(&rig, link_is, &up);
    rig_close(&rig);
}

static bool is_told(void *arg)
{
    const struct limits *limits = arg;
    return limits->of[LIMIT_FILES].untold == 0 && limits->of[LIMIT_OUTPUT].untold == 0;
}

/* One line at once, and the rest in one more when the time is over, whether the limit is reached
 * again or not. */
static void test_what_a_limit_has_stopped_is_told_now_and_then(void **state)
{
    struct rig rig;
    struct limits limits;
    char path[] = "/tmp/herd-limits-XXXXXX", text[2048];
    (void)state;
    close(mkstemp(path));
    rig_init(&rig);
    struct log *log;
    assert_int_equal(log_open(path, LOG_INFO, &log), 0);
    limits_init(&limits, &rig.loop, log);
    limits.again_ms = 50;
    struct herd_node_stats stats = {.clients_paused = 5,
                                    .clients_paused_pipeline = 2,
                                    .clients_paused_disk = 6,
                                    .places_held_back = 7,
                                    .answers_late = 3,
                                    .origins_beyond = 8,
                                    .notices_lost = 4};
    stats.limits_reached = 33;
    limits_look_at(&limits, &stats);
    stats.clients_paused = 6;
    limits_look_at(&limits, &stats);
    for (int i = 0; i < 300; i++)
        limits_count(&limits, LIMIT_FILES, 1);
    rig_run_until(&rig, is_told, &limits);
    limits_fail(&limits, LIMIT_ACCEPT, EMFILE);
    limits_count(&limits, LIMIT_FILES, 1); /* perhaps too early: told at the end then */
    limits_end(&limits);
    uv_close((uv_handle_t *)&limits.timer, NULL);
    log_close(log);
    rig_close(&rig);
    FILE *file = fopen(path, "r");
    text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
    fclose(file);
    unlink(path);
    static const char *const wanted[] = {
        "group=limit msg=\"clients not read from\" reason=\"output_max_kib was reached\" count=3\n",
        "msg=\"places wait for clients to read\" reason=\"output_max_kib was reached\" count=7\n",
        "reason=\"pipeline_max was reached\" count=2\n",
        "msg=\"IAMAT wait\" reason=\"the disk is behind\" count=6\n",
        "reason=\"safety_timeout_ms was reached\" count=3\n",
        "reason=\"those of 1,024 servers go over trees\" count=8\n",
        "msg=\"lines about links lost\" reason=\"64 came in one turn\" count=4\n",
        "msg=\"connections refused\" reason=\"the limit of open files was reached\" count=1\n",
        "reason=\"the limit of open files was reached\" count=299\n",
        "reason=\"output_max_kib was reached\" count=1\n",
        "to be closed\" count=1 error=\"Too many open files\"\n",
        "reason=\"the limit of open files was reached\" count=1\n",
    };
    const char *at = text;
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        at = strstr(at, wanted[i]);
        if (at == NULL)
            fail_msg("no %s in %s", wanted[i], text);
        at += strlen(wanted[i]);
    }
    assert_string_equal(at, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flood_of_two),
        cmocka_unit_test(test_half_close_is_answered_in_full),
        cmocka_unit_test(test_slow_reader_gets_everything),
        cmocka_unit_test(test_a_client_that_never_reads_is_read_from_once_a_turn),
        cmocka_unit_test(test_reader_that_pauses_after_half_close_gets_everything),
        cmocka_unit_test(test_neighbour_that_closes_in_the_greeting),
        cmocka_unit_test(test_stop_with_everything_open),
        cmocka_unit_test(test_stop_while_dialling),
        cmocka_unit_test(test_edges_come_and_go),
        cmocka_unit_test(test_what_a_limit_has_stopped_is_told_now_and_then),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
