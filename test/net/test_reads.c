/* A crowd is read from in several turns of the loop, its neighbours in each; what it says meanwhile
 * waits in the kernel. */
#include <errno.h>
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
#include "rig.h"

enum {
    CROWD = 40,
    CROWD_MAX = 200,
    LINES = 64,        /* of a client in a turn */
    TURN = 10 * LINES, /* of all */
    BULK = 3 * LINES,
    FEW = 4,
    BULK_FLOODS = 2000,
    PORT_OF_NOBODY = 1,
    LONG_LINE = 4000,
    LONG_LINES = 25,                  /* of those, that a socket takes at once: */
    SOCKET_BYTES = 200 * 1024,        /* whatever the system's sockets begin with */
    QUEUE_BYTES = 64 * sizeof(void *) /* when somebody is in it for the first time */
};

struct crowd {
    struct rig rig;
    uv_prepare_t hook; /* behind that of A's net, which begins a turn */
    bool has_few;      /* reads in each turn: */
    unsigned few;
    int64_t few_bytes; /* of clients in each turn; 0: as ever */
    struct rig_server *a;
    int fds[CROWD_MAX], count;
    unsigned answers, wanted;
    bool slept_early;
};

static bool is_without_memory;

void *__real_realloc(void *old, size_t size);
void *__wrap_realloc(void *old, size_t size);

void *__wrap_realloc(void *old, size_t size)
{
    return is_without_memory && size == QUEUE_BYTES ? NULL : __real_realloc(old, size);
}

static bool are_accepted(void *arg)
{
    const struct crowd *crowd = arg;
    return crowd->a->net->connections == (size_t)crowd->count;
}

static void on_turn(uv_prepare_t *hook)
{
    struct crowd *crowd = hook->data;
    crowd->slept_early |= rig_sleeps_early(crowd->a);
    if (crowd->has_few) {
        crowd->a->net->reads_left = crowd->few;
        crowd->a->net->streams.drops = STREAM_DROPS_PER_TURN - crowd->few;
    }
    if (crowd->few_bytes > 0)
        crowd->a->net->read_bytes_left = crowd->few_bytes;
}

static struct crowd *crowd_of(int count)
{
    struct crowd *crowd = calloc(1, sizeof(*crowd));
    rig_init(&crowd->rig);
    uv_prepare_init(&crowd->rig.loop, &crowd->hook);
    crowd->hook.data = crowd;
    uv_prepare_start(&crowd->hook, on_turn); /* hooks that begin later run before it */
    uv_unref((uv_handle_t *)&crowd->hook);
    crowd->a = rig_add(&crowd->rig, "A");
    rig_receive_buffer(crowd->a, SOCKET_BYTES);
    while (crowd->count < count)
        crowd->fds[crowd->count++] = rig_connect(crowd->a->port);
    rig_run_until(&crowd->rig, are_accepted, crowd);
    return crowd;
}

static struct crowd *crowd_new(void)
{
    return crowd_of(CROWD);
}

static void crowd_free(struct crowd *crowd)
{
    assert_false(crowd->slept_early);
    for (int i = 0; i < crowd->count; i++)
        close(crowd->fds[i]);
    uv_close((uv_handle_t *)&crowd->hook, NULL);
    rig_close(&crowd->rig);
    free(crowd);
}

/* All that clients have said lies in the server's sockets. */
static void wait_for_all(const struct crowd *crowd)
{
    for (int client = 0; client < crowd->count; client++)
        rig_arrived(crowd->fds[client]);
}

static void say(const struct crowd *crowd, unsigned lines)
{
    char text[BULK * 32];
    for (int client = 0; client < crowd->count; client++) {
        size_t len = 0;
        for (unsigned i = 0; i < lines; i++)
            len += (size_t)snprintf(text + len, sizeof(text) - len, "IAMAT c%d +1+1 %u\n", client,
                                    i + 1);
        assert_int_equal(send(crowd->fds[client], text, len, 0), (ssize_t)len);
    }
    wait_for_all(crowd);
}

static void hear(struct crowd *crowd)
{
    char bytes[65536];
    ssize_t len;
    for (int client = 0; client < crowd->count; client++) {
        while ((len = recv(crowd->fds[client], bytes, sizeof(bytes), MSG_DONTWAIT)) > 0) {
            for (ssize_t i = 0; i < len; i++)
                crowd->answers += bytes[i] == '\n';
        }
        assert_true(len < 0 && errno == EAGAIN);
    }
}

static bool is_answered(void *arg)
{
    struct crowd *crowd = arg;
    hear(crowd);
    return crowd->answers == crowd->wanted;
}

static size_t unread(const struct crowd *crowd)
{
    return crowd->a->net->streams.unread.count;
}

static uint64_t lines_received(const struct crowd *crowd)
{
    return herd_node_stats(crowd->a->node)->lines_received;
}

static uint64_t bytes_received(const struct crowd *crowd)
{
    return crowd->a->net->streams.bytes_received;
}

static void lines_of_a_crowd_take_several_turns(void **state)
{
    (void)state;
    struct crowd *crowd = crowd_new();
    size_t unread_most = 0;
    crowd->a->node->options.turn_lines_clients = TURN;
    crowd->wanted = CROWD * BULK;
    say(crowd, BULK);
    while (!is_answered(crowd)) {
        uint64_t before = lines_received(crowd);
        uv_run(&crowd->rig.loop, UV_RUN_NOWAIT);
        assert_in_range(lines_received(crowd) - before, 0, TURN);
        unread_most = unread(crowd) > unread_most ? unread(crowd) : unread_most;
    }
    /* Half of a turn is for those who have been read from already. */
    assert_int_equal(unread_most, CROWD - TURN / LINES / 2);
    assert_int_equal(unread(crowd), 0);
    assert_true(crowd->a->metrics.value[METRIC_turns_full_reads_total] >= (int64_t)unread_most);
    assert_true(crowd->a->net->limits.of[LIMIT_TURN_CLIENTS].told);
    crowd_free(crowd);
}

/* One turn, in which few are read from. */
static void take_turn(struct crowd *crowd, unsigned reads)
{
    crowd->has_few = true;
    crowd->few = reads;
    uv_run(&crowd->rig.loop, UV_RUN_NOWAIT);
    crowd->has_few = false;
}

static void a_turn_has_so_many_reads(void **state)
{
    (void)state;
    struct crowd *crowd = crowd_new();
    crowd->wanted = CROWD;
    say(crowd, 1);
    take_turn(crowd, FEW);
    assert_int_equal(lines_received(crowd), FEW);
    assert_int_equal(unread(crowd), CROWD - FEW);
    assert_int_equal(crowd->a->metrics.value[METRIC_turns_full_reads_total], CROWD - FEW);
    assert_true(crowd->a->net->limits.of[LIMIT_TURN_READS].told);
    rig_run_until(&crowd->rig, is_answered, crowd);
    assert_int_equal(unread(crowd), 0);
    crowd_free(crowd);
}

static void what_a_neighbour_says_is_read_all_the_same(void **state)
{
    (void)state;
    struct crowd *crowd = crowd_new();
    struct rig_server *b = rig_add(&crowd->rig, "B");
    rig_join(crowd->a, b);
    crowd->wanted = CROWD;
    for (bool is_up = false; !is_up;) {
        uv_run(&crowd->rig.loop, UV_RUN_NOWAIT);
        is_up = crowd->a->net->neighbours == 1 && b->net->neighbours == 1;
    }
    int other = rig_connect(b->port);
    static const char line[] = "IAMAT other +1+1 1\n";
    assert_int_equal(send(other, line, sizeof(line) - 1, 0), sizeof(line) - 1);
    say(crowd, 1);
    while (herd_store_count(crowd->a->node->store) == 0)
        take_turn(crowd, 0);
    assert_int_equal(herd_store_count(crowd->a->node->store), 1); /* the neighbour's */
    rig_run_until(&crowd->rig, is_answered, crowd);
    close(other);
    crowd_free(crowd);
}

/* A connection of A's that is a neighbour's, B's; what it says next is no client's. */
static int join_neighbour(struct crowd *crowd)
{
    static const char hello[] = "HELLO B 2 00000000000000aa 0 -\n";
    assert_int_equal(net_add_peer(crowd->a->net, "B", "127.0.0.1", PORT_OF_NOBODY), 0);
    int fd = rig_connect(crowd->a->port);
    assert_int_equal(send(fd, hello, sizeof(hello) - 1, 0), sizeof(hello) - 1);
    while (crowd->a->net->neighbours == 0)
        uv_run(&crowd->rig.loop, UV_RUN_NOWAIT);
    return fd;
}

static void flood(int fd, unsigned records)
{
    char line[64];
    for (unsigned i = 0; i < records; i++) {
        int len = snprintf(line, sizeof(line), "FLOOD B z%06u +1+1 1 1.000000000 B +0.0\n", i);
        assert_int_equal(send(fd, line, (size_t)len, 0), len);
    }
    rig_arrived(fd);
}

static bool has_floods(void *arg)
{
    const struct crowd *crowd = arg;
    return herd_store_count(crowd->a->node->store) == CROWD + BULK_FLOODS;
}

/* Nor is what it says a part of what clients may, and it does not miss a turn for them. */
static void what_a_neighbour_says_is_not_counted(void **state)
{
    (void)state;
    struct crowd *crowd = crowd_new();
    const struct net *net = crowd->a->net;
    int neighbour = join_neighbour(crowd);
    flood(neighbour, 1);
    uv_run(&crowd->rig.loop, UV_RUN_NOWAIT);
    assert_int_equal(herd_store_count(crowd->a->node->store), 1);
    assert_int_equal(net->reads_left, NET_TURN_READS);
    assert_int_equal(net->read_bytes_left, NET_TURN_READ_BYTES);
    uv_run(&crowd->rig.loop, UV_RUN_NOWAIT); /* the poll tells of the crowd first */
    crowd->wanted = CROWD;
    say(crowd, 1);
    flood(neighbour, BULK_FLOODS);
    uint64_t before = bytes_received(crowd);
    take_turn(crowd, FEW);
    assert_true(bytes_received(crowd) - before > STREAM_INPUT_BYTES); /* and it has said more */
    assert_int_equal(unread(crowd), CROWD - FEW);
    rig_run_until(&crowd->rig, is_answered, crowd);
    rig_run_until(&crowd->rig, has_floods, crowd);
    close(neighbour);
    crowd_free(crowd);
}

/* As many as were read from: else they would wait the longer the more there are. */
static void as_many_are_resumed_as_were_read_from(void **state)
{
    (void)state;
    struct crowd *crowd = crowd_of(CROWD_MAX);
    crowd->wanted = CROWD_MAX;
    say(crowd, 1);
    take_turn(crowd, CROWD_MAX / 2);
    assert_int_equal(unread(crowd), CROWD_MAX / 2);
    assert_true(CROWD_MAX / 2 > STREAM_RESUMED_LEAST);
    take_turn(crowd, CROWD_MAX);
    assert_int_equal(unread(crowd), 0);
    assert_int_equal(lines_received(crowd), CROWD_MAX);
    rig_run_until(&crowd->rig, is_answered, crowd);
    crowd_free(crowd);
}

/* Where lines of many wait already, little more is taken of each. */
static void how_much_is_read_follows_what_waits(void **state)
{
    (void)state;
    struct crowd *crowd = crowd_new();
    struct herd_node *node = crowd->a->node;
    unsigned all = node->options.turn_lines_clients;
    crowd->wanted = CROWD * BULK;
    say(crowd, BULK);
    uv_run(&crowd->rig.loop, UV_RUN_NOWAIT);
    assert_int_equal(node->ready_count, CROWD); /* each has more lines than a turn takes */
    node->lines_left = all / 2 + 1;
    assert_true(herd_node_read_max(node) == SIZE_MAX);
    node->lines_left = all / 2;
    assert_int_equal(herd_node_read_max(node), 0);
    node->lines_left = all;
    node->ready_count += HERD_TOUCHED_MAX;
    assert_int_equal(herd_node_read_max(node), NODE_CROWD_READ_BYTES);
    node->ready_count -= HERD_TOUCHED_MAX;
    rig_run_until(&crowd->rig, is_answered, crowd);
    assert_int_equal(node->ready_count, 0);
    node->lines_left = 1;
    assert_true(herd_node_read_max(node) == SIZE_MAX);
    crowd_free(crowd);
}

/* As much of a line that does not end as its client's socket takes. */
static void send_all(int fd)
{
    static char bytes[65536];
    memset(bytes, 'x', sizeof(bytes));
    while (send(fd, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
        continue;
}

/* Lines of 4,000 bytes, so that lines alone would let in as much as comes. */
static void say_in_bulk(const struct crowd *crowd, int client, unsigned lines)
{
    static char line[LONG_LINE];
    memset(line, 'y', sizeof(line));
    line[sizeof(line) - 1] = '\n';
    for (unsigned i = 0; i < lines; i++)
        assert_int_equal(send(crowd->fds[client], line, sizeof(line), 0), sizeof(line));
}

static void a_crowd_says_in_bulk(const struct crowd *crowd)
{
    for (int client = 0; client < crowd->count; client++)
        say_in_bulk(crowd, client, LONG_LINES);
    wait_for_all(crowd);
}

static void a_turn_has_so_many_bytes(void **state)
{
    (void)state;
    struct crowd *crowd = crowd_new();
    crowd->wanted = CROWD * LONG_LINES;
    a_crowd_says_in_bulk(crowd);
    uint64_t all = (uint64_t)CROWD * LONG_LINES * LONG_LINE, most = 0;
    while (!is_answered(crowd)) {
        uint64_t before = bytes_received(crowd);
        uv_run(&crowd->rig.loop, UV_RUN_NOWAIT);
        uint64_t came = bytes_received(crowd) - before;
        most = came > most ? came : most;
    }
    assert_int_equal(bytes_received(crowd), all);
    assert_true(all > 2 * NET_TURN_READ_BYTES);
    assert_int_equal(most, NET_TURN_READ_BYTES); /* it was full, and no more came */
    assert_true(crowd->a->metrics.value[METRIC_turns_full_bytes_total] > 0);
    assert_true(crowd->a->net->limits.of[LIMIT_TURN_BYTES].told);
    crowd_free(crowd);
}

/* Clients that were read from in this turn. */
static unsigned were_read(const struct crowd *crowd)
{
    unsigned count = 0;
    for (struct herd_conn *conn = crowd->a->node->conns; conn != NULL; conn = conn->next) {
        const struct stream *session = herd_conn_data(conn);
        count += session->read_turn == crowd->a->net->streams.turn;
    }
    return count;
}

/* One could take all of each turn's bytes. */
static void a_turn_behind_a_full_one_takes_little_of_each(void **state)
{
    (void)state;
    struct crowd *crowd = crowd_new();
    crowd->wanted = CROWD * LONG_LINES;
    crowd->few_bytes = (int64_t)FEW * NET_BULKY_READ_BYTES;
    a_crowd_says_in_bulk(crowd);
    uv_run(&crowd->rig.loop, UV_RUN_NOWAIT);
    assert_int_equal(were_read(crowd), 1);
    for (int turn = 0; turn < 3; turn++) {
        uv_run(&crowd->rig.loop, UV_RUN_NOWAIT);
        assert_int_equal(were_read(crowd), FEW);
    }
    crowd->few_bytes = 0;
    rig_run_until(&crowd->rig, is_answered, crowd);
    crowd_free(crowd);
}

/* Who is alone waits for nobody. */
static void who_is_alone_is_read_from_in_each_turn(void **state)
{
    (void)state;
    struct crowd *crowd = crowd_new();
    crowd->wanted = LONG_LINES;
    say_in_bulk(crowd, 0, LONG_LINES);
    wait_for_all(crowd);
    uv_run(&crowd->rig.loop, UV_RUN_NOWAIT);
    assert_int_equal(bytes_received(crowd), STREAM_INPUT_BYTES); /* and there is more */
    assert_int_equal(unread(crowd), 0);
    rig_run_until(&crowd->rig, is_answered, crowd);
    crowd_free(crowd);
}

/* A turn has room for a tenth of them, whoever the poll tells of first. */
static void each_of_a_bulky_crowd_has_its_turn(void **state)
{
    (void)state;
    struct crowd *crowd = crowd_new();
    unsigned turns = 0;
    crowd->few_bytes = CROWD / 10 * (int64_t)LONG_LINE;
    for (int client = 1; client < crowd->count; client++)
        say_in_bulk(crowd, client, LONG_LINES);
    assert_int_equal(send(crowd->fds[0], "IAMAT me +1+1 1\n", 16, 0), 16);
    wait_for_all(crowd);
    for (; herd_store_count(crowd->a->node->store) == 0; turns++)
        uv_run(&crowd->rig.loop, UV_RUN_NOWAIT);
    assert_in_range(turns, 1, 2 * CROWD);
    crowd->few_bytes = 0;
    crowd->wanted = (CROWD - 1) * LONG_LINES + 1;
    rig_run_until(&crowd->rig, is_answered, crowd);
    crowd_free(crowd);
}

static bool are_gone(void *arg)
{
    const struct crowd *crowd = arg;
    return crowd->a->net->connections == 0;
}

static void who_leaves_is_seen_in_several_turns(void **state)
{
    (void)state;
    struct crowd *crowd = crowd_new();
    for (int i = 0; i < CROWD; i++)
        shutdown(crowd->fds[i], SHUT_RDWR);
    wait_for_all(crowd);
    take_turn(crowd, FEW);
    assert_int_equal(unread(crowd), CROWD - FEW);
    rig_run_until(&crowd->rig, are_gone, crowd);
    crowd_free(crowd);
}

/* Who is closed for a line that is too long, and sends on and on, takes little of each turn
 * until it is cut off. */
static void little_is_dropped_in_a_turn(void **state)
{
    (void)state;
    struct crowd *crowd = crowd_new();
    struct stream_loop *streams = &crowd->a->net->streams;
    const int64_t *metrics = crowd->a->metrics.value;
    bool was_full = false;
    rig_give_time(crowd->a);
    while (!are_gone(crowd)) {
        for (int client = 0; client < crowd->count; client++)
            send_all(crowd->fds[client]);
        uint64_t before = streams->bytes_dropped;
        take_turn(crowd, FEW);
        assert_in_range(streams->bytes_dropped - before, 0, FEW * STREAM_INPUT_BYTES);
        was_full = was_full || streams->drops == STREAM_DROPS_PER_TURN;
    }
    assert_true(was_full);
    take_turn(crowd, FEW); /* a turn's end counts them */
    assert_int_equal(metrics[METRIC_connections_cut_off_total], CROWD);
    assert_in_range(metrics[METRIC_bytes_dropped_total], CROWD * STREAM_LINGER_BYTES,
                    CROWD * (STREAM_LINGER_BYTES + STREAM_INPUT_BYTES));
    assert_true(crowd->a->net->limits.of[LIMIT_CUT_OFF].told);
    crowd_free(crowd);
}

/* Those who wait are cut off where they are. */
static void a_stop_does_not_wait_for_turns(void **state)
{
    (void)state;
    struct crowd *crowd = crowd_new();
    say(crowd, 1);
    take_turn(crowd, FEW);
    assert_int_equal(unread(crowd), CROWD - FEW);
    herd_node_abort(crowd->a->node);
    rig_run_until(&crowd->rig, are_gone, crowd);
    assert_int_equal(unread(crowd), 0);
    crowd_free(crowd);
}

static void without_memory_for_a_queue_the_poll_tells_again(void **state)
{
    (void)state;
    struct crowd *crowd = crowd_new();
    crowd->wanted = CROWD;
    say(crowd, 1);
    is_without_memory = true;
    take_turn(crowd, FEW);
    is_without_memory = false;
    assert_int_equal(unread(crowd), 0);
    rig_run_until(&crowd->rig, is_answered, crowd);
    crowd_free(crowd);
}

/* What goes with a crowd is counted; what was kept for it goes when it is not needed. */
static void a_crowd_that_has_left_leaves_nothing_behind(void **state)
{
    (void)state;
    struct crowd *crowd = crowd_new();
    size_t kept = 0, each = sizeof(struct stream) + sizeof(struct herd_conn);
    crowd->a->node->options.turn_lines_clients = TURN;
    crowd->wanted = CROWD * BULK;
    say(crowd, BULK);
    rig_run_until(&crowd->rig, is_answered, crowd);
    net_give_back(crowd->a->net, &kept);
    assert_true(kept > 0);
    net_give_back(crowd->a->net, &kept); /* so that nothing but the connections is left */
    for (; crowd->count > 0; crowd->count--)
        close(crowd->fds[crowd->count - 1]);
    rig_run_until(&crowd->rig, are_gone, crowd);
    assert_true(net_give_back(crowd->a->net, &kept) >= CROWD * each);
    kept = 0;
    net_give_back(crowd->a->net, &kept);
    assert_int_equal(kept, 0);
    assert_int_equal(net_give_back(crowd->a->net, &kept), 0);
    crowd_free(crowd);
}

/* Of those who wait. */
static bool have_ended(void *arg)
{
    const struct crowd *crowd = arg;
    int ended = 0;
    for (int client = 0; client < crowd->count; client++) {
        char bytes[64];
        ssize_t len = recv(crowd->fds[client], bytes, sizeof(bytes), MSG_DONTWAIT);
        assert_true(len >= 0 || errno == EAGAIN); /* no reset, which could destroy answers */
        if (len == 0)
            shutdown(crowd->fds[client], SHUT_WR);
        ended += len == 0;
    }
    return ended == CROWD - FEW;
}

/* What they have said is dropped when their turn has come, and nothing is cut off. */
static void who_waits_may_be_closed_without_haste(void **state)
{
    (void)state;
    struct crowd *crowd = crowd_new();
    const struct read_queue *queue = &crowd->a->net->streams.unread;
    say(crowd, 1);
    take_turn(crowd, FEW);
    assert_int_equal(unread(crowd), CROWD - FEW);
    rig_give_time(crowd->a);
    for (size_t i = 0; i < queue->count; i++) {
        stream_read(queue->streams[i], false);
        stream_close(queue->streams[i], false);
    }
    for (int turn = 0; turn < 3; turn++)
        uv_run(&crowd->rig.loop, UV_RUN_NOWAIT);
    assert_int_equal(crowd->a->net->connections, CROWD); /* until they have closed, too */
    rig_run_until(&crowd->rig, have_ended, crowd);
    crowd_free(crowd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_of_a_crowd_take_several_turns),
        cmocka_unit_test(a_turn_has_so_many_reads),
        cmocka_unit_test(what_a_neighbour_says_is_read_all_the_same),
        cmocka_unit_test(what_a_neighbour_says_is_not_counted),
        cmocka_unit_test(as_many_are_resumed_as_were_read_from),
        cmocka_unit_test(how_much_is_read_follows_what_waits),
        cmocka_unit_test(a_turn_has_so_many_bytes),
        cmocka_unit_test(a_turn_behind_a_full_one_takes_little_of_each),
        cmocka_unit_test(who_is_alone_is_read_from_in_each_turn),
        cmocka_unit_test(each_of_a_bulky_crowd_has_its_turn),
        cmocka_unit_test(who_leaves_is_seen_in_several_turns),
        cmocka_unit_test(little_is_dropped_in_a_turn),
        cmocka_unit_test(a_stop_does_not_wait_for_turns),
        cmocka_unit_test(without_memory_for_a_queue_the_poll_tells_again),
        cmocka_unit_test(a_crowd_that_has_left_leaves_nothing_behind),
        cmocka_unit_test(who_waits_may_be_closed_without_haste),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
