/* A server that its clients keep busy is not woken for its neighbours' lines, but reads them in its
 * turns; no longer than it is busy. */
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include <herd/posix_time.h>

#include "core/node.h"
#include "net/room.h"
#include "rig.h"

enum { PORT_OF_NOBODY = 1, PERIOD_NS = GATHER_PERIOD_MS * 1000000, LIMIT_MS = 120000 };

#define HELLO "HELLO B 2 00000000000000aa 0 -\n"
#define FLOOD "FLOOD B c +1+1 1 1.000000000 B +0.000000000\n"

/* Said as soon as the loop sleeps; libuv's calls come here. -1: nobody's. */
static struct {
    int fd;
    const char *text;
} on_sleep = {.fd = -1};

int epoll_wait(int epoll, struct epoll_event *events, int count, int timeout_ms);
int epoll_pwait(int epoll, struct epoll_event *events, int count, int timeout_ms,
                const sigset_t *mask);

static int wait_for(int epoll, struct epoll_event *events, int count, int timeout_ms)
{
    if (timeout_ms != 0 && on_sleep.fd >= 0) {
        send(on_sleep.fd, on_sleep.text, strlen(on_sleep.text), 0);
        rig_arrived(on_sleep.fd); /* so that nothing else ends this sleep */
        on_sleep.fd = -1;
    }
    return (int)syscall(SYS_epoll_pwait, epoll, events, count, timeout_ms, NULL, 0);
}

int epoll_wait(int epoll, struct epoll_event *events, int count, int timeout_ms)
{
    return wait_for(epoll, events, count, timeout_ms);
}

int epoll_pwait(int epoll, struct epoll_event *events, int count, int timeout_ms,
                const sigset_t *mask)
{
    (void)mask;
    return wait_for(epoll, events, count, timeout_ms);
}

struct world {
    struct rig rig;
    struct rig_server *a;
    int neighbour; /* B's connection to A, which is ours */
};

static void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), 0), (ssize_t)strlen(text));
}

static bool is_joined(void *arg)
{
    const struct world *world = arg;
    return world->a->net->neighbours == 1;
}

static struct world *world_new(enum herd_durability durability)
{
    struct world *world = calloc(1, sizeof(*world));
    rig_init(&world->rig);
    world->a = rig_add(&world->rig, "A");
    world->a->node->options.durability = durability;
    assert_int_equal(net_add_peer(world->a->net, "B", "127.0.0.1", PORT_OF_NOBODY), 0);
    world->neighbour = rig_connect(world->a->port);
    say(world->neighbour, HELLO);
    rig_run_until(&world->rig, is_joined, world);
    return world;
}

static void world_free(struct world *world)
{
    close(world->neighbour);
    rig_close(&world->rig);
    free(world);
}

static struct gather *gather_of(const struct world *world)
{
    return &world->a->net->gather;
}

/* Without a clock of this machine: so many turns of clients in a period that begins now. */
static void have_turns(const struct world *world, unsigned turns)
{
    struct gather *gather = gather_of(world);
    gather->turns = 0;
    gather->began_ns = 0;
    for (unsigned i = 1; i < turns; i++)
        gather_turn(world->a->net, PERIOD_NS - 1, true);
    gather_turn(world->a->net, PERIOD_NS, turns > 0);
}

/* For as long as the test wants. */
static void be_busy(const struct world *world)
{
    gather_of(world)->turns_least = 0;
    have_turns(world, 0);
    assert_true(gather_of(world)->is_busy);
}

/* A's end of the neighbour's connection. */
static int end_of(const struct world *world)
{
    uv_os_fd_t fd;
    const struct gather *gather = gather_of(world);
    assert_int_equal(gather->count, 1);
    assert_int_equal(uv_fileno((const uv_handle_t *)&gather->streams[0]->tcp, &fd), 0);
    return fd;
}

static bool is_waking(const struct world *world)
{
    struct pollfd ready = {.fd = end_of(world), .events = POLLIN};
    return poll(&ready, 1, 0) > 0;
}

static void wait_for_bytes(const struct world *world, size_t bytes)
{
    int waiting = 0;
    while ((size_t)waiting < bytes)
        assert_int_equal(ioctl(end_of(world), FIONREAD, &waiting), 0);
}

static bool holds_record(void *arg)
{
    const struct world *world = arg;
    return herd_store_count(world->a->node->store) == 1;
}

static void few_lines_wake_none_that_is_busy(void **state)
{
    (void)state;
    struct world *world = world_new(HERD_DURABILITY_NONE);
    be_busy(world);
    uint64_t before = world->a->net->streams.bytes_received;
    say(world->neighbour, FLOOD);
    wait_for_bytes(world, sizeof(FLOOD) - 1);
    assert_false(is_waking(world));
    uv_run(&world->rig.loop, UV_RUN_NOWAIT);
    assert_true(holds_record(world));
    assert_int_equal(world->a->net->streams.bytes_received - before, sizeof(FLOOD) - 1);
    assert_true(world->a->metrics.value[METRIC_loop_turns_gathered_total] > 0);
    world_free(world);
}

static void few_lines_wake_one_that_is_not(void **state)
{
    (void)state;
    struct world *world = world_new(HERD_DURABILITY_NONE);
    say(world->neighbour, FLOOD);
    wait_for_bytes(world, sizeof(FLOOD) - 1);
    assert_true(is_waking(world));
    rig_run_until(&world->rig, holds_record, world);
    assert_int_equal(world->a->metrics.value[METRIC_loop_turns_gathered_total], 0);
    world_free(world);
}

static void many_lines_wake_it_all_the_same(void **state)
{
    (void)state;
    struct world *world = world_new(HERD_DURABILITY_NONE);
    be_busy(world);
    for (size_t sent = 0; sent < GATHER_BYTES; sent += sizeof(FLOOD) - 1)
        say(world->neighbour, FLOOD);
    wait_for_bytes(world, GATHER_BYTES);
    assert_true(is_waking(world));
    rig_run_until(&world->rig, holds_record, world);
    world_free(world);
}

static bool is_alone(void *arg)
{
    const struct world *world = arg;
    return world->a->net->neighbours == 0;
}

/* With a line in front of it, which counts. */
static void an_end_wakes_it(void **state)
{
    (void)state;
    struct world *world = world_new(HERD_DURABILITY_NONE);
    be_busy(world);
    say(world->neighbour, FLOOD);
    assert_int_equal(shutdown(world->neighbour, SHUT_WR), 0);
    struct pollfd end = {.fd = end_of(world), .events = POLLIN};
    assert_int_equal(poll(&end, 1, -1), 1);
    rig_run_until(&world->rig, is_alone, world);
    assert_true(holds_record(world));
    assert_int_equal(gather_of(world)->count, 0);
    assert_false(gather_of(world)->is_busy); /* nobody is left to gather from */
    assert_false(uv_is_active((const uv_handle_t *)&gather_of(world)->timer));
    world_free(world);
}

/* Nothing but the timer brings about turns here. */
static void silence_of_clients_ends_it(void **state)
{
    (void)state;
    struct world *world = world_new(HERD_DURABILITY_NONE);
    int usual_ns = prctl(PR_GET_TIMERSLACK);
    be_busy(world);
    assert_int_equal(prctl(PR_GET_TIMERSLACK), GATHER_SLACK_NS);
    say(world->neighbour, FLOOD);
    wait_for_bytes(world, sizeof(FLOOD) - 1);
    gather_of(world)->turns_least = GATHER_TURNS;
    assert_true(uv_is_active((const uv_handle_t *)&gather_of(world)->timer));
    while (gather_of(world)->is_busy)
        uv_run(&world->rig.loop, UV_RUN_ONCE);
    rig_run_until(&world->rig, holds_record, world);
    assert_false(uv_is_active((const uv_handle_t *)&gather_of(world)->timer));
    assert_int_equal(prctl(PR_GET_TIMERSLACK), usual_ns);
    world_free(world);
}

static void turns_of_clients_make_it_busy(void **state)
{
    (void)state;
    struct world *world = world_new(HERD_DURABILITY_NONE);
    const struct gather *gather = gather_of(world);
    have_turns(world, GATHER_TURNS - 1);
    assert_false(gather->is_busy);
    have_turns(world, GATHER_TURNS);
    assert_true(gather->is_busy);
    have_turns(world, GATHER_TURNS / 2);
    assert_true(gather->is_busy);
    have_turns(world, GATHER_TURNS / 2 - 1);
    assert_false(gather->is_busy);
    world_free(world);
}

/* A server that has slept for long in the period was not busy in it. */
static void turns_count_by_how_long_they_took(void **state)
{
    (void)state;
    struct world *world = world_new(HERD_DURABILITY_NONE);
    struct gather *gather = gather_of(world);
    gather->began_ns = 0;
    gather->turns = GATHER_TURNS;
    gather_turn(world->a->net, 2 * (int64_t)PERIOD_NS, true);
    assert_false(gather->is_busy);
    world_free(world);
}

static unsigned turns_of(const struct world *world)
{
    return gather_of(world)->turns;
}

/* Turns until the client has its answer count where it woke the loop, and no others. */
static void only_who_wakes_it_keeps_it_busy(void **state)
{
    static const char line[] = "IAMAT c +1+1 1\n";
    (void)state;
    struct world *world = world_new(HERD_DURABILITY_NONE);
    const struct herd_node_stats *stats = herd_node_stats(world->a->node);
    int client = rig_connect(world->a->port);
    gather_of(world)->began_ns = INT64_MAX / 2; /* a period without an end */
    gather_of(world)->turns = 0;
    say(client, line);
    while (stats->iamat == 0)
        uv_run(&world->rig.loop, UV_RUN_NOWAIT);
    uv_run(&world->rig.loop, UV_RUN_NOWAIT); /* the turn's end */
    assert_int_equal(turns_of(world), 0);
    on_sleep.fd = client;
    on_sleep.text = line;
    while (stats->iamat == 1)
        uv_run(&world->rig.loop, UV_RUN_ONCE);
    uv_run(&world->rig.loop, UV_RUN_NOWAIT);
    assert_int_equal(turns_of(world), 1);
    close(client);
    world_free(world);
}

/* Else two servers without clients could keep each other busy. */
static void neighbours_that_wake_it_do_not_keep_it_busy(void **state)
{
    (void)state;
    struct world *world = world_new(HERD_DURABILITY_NONE);
    gather_of(world)->began_ns = INT64_MAX / 2;
    gather_of(world)->turns = 0;
    on_sleep.fd = world->neighbour;
    on_sleep.text = FLOOD;
    while (!holds_record(world))
        uv_run(&world->rig.loop, UV_RUN_ONCE);
    uv_run(&world->rig.loop, UV_RUN_NOWAIT);
    assert_int_equal(turns_of(world), 0);
    world_free(world);
}

static uint64_t bytes_received(const struct world *world)
{
    return world->a->net->streams.bytes_received;
}

/* What a turn, at that time of the clock, reads of a line that the neighbour says before it. */
static uint64_t gathered(const struct world *world, int64_t now_ns)
{
    uint64_t before = bytes_received(world);
    gather_turn(world->a->net, now_ns, false);
    return bytes_received(world) - before;
}

static void say_and_wait(const struct world *world)
{
    say(world->neighbour, FLOOD);
    wait_for_bytes(world, sizeof(FLOOD) - 1);
}

/* Each read is a call of the system: turns that follow each other closely leave it to the next. */
static void not_every_turn_reads(void **state)
{
    (void)state;
    struct world *world = world_new(HERD_DURABILITY_NONE);
    be_busy(world); /* and has read at that time: */
    assert_int_equal(gather_of(world)->read_ns, PERIOD_NS);
    say_and_wait(world);
    assert_int_equal(gathered(world, PERIOD_NS + GATHER_EVERY_NS - 1), 0);
    assert_int_equal(gathered(world, PERIOD_NS + GATHER_EVERY_NS), sizeof(FLOOD) - 1);
    world_free(world);
}

/* Not of one that was read from in this turn, nor of one that the node wants no more of for now. */
static void who_is_not_to_be_read_from_is_not(void **state)
{
    (void)state;
    struct world *world = world_new(HERD_DURABILITY_NONE);
    be_busy(world);
    struct stream *session = gather_of(world)->streams[0];
    say_and_wait(world);
    stream_read(session, false);
    assert_int_equal(gathered(world, 2 * PERIOD_NS), 0);
    stream_read(session, true);
    assert_int_equal(gathered(world, 3 * PERIOD_NS), sizeof(FLOOD) - 1);
    say_and_wait(world);
    assert_int_equal(gathered(world, 4 * PERIOD_NS), 0);
    stream_loop_next_turn(&world->a->net->streams);
    assert_int_equal(gathered(world, 5 * PERIOD_NS), sizeof(FLOOD) - 1);
    world_free(world);
}

/* How much of it a stop still hears is counted where the loop reads. */
static void what_a_stop_still_hears_is_not_gathered(void **state)
{
    (void)state;
    struct world *world = world_new(HERD_DURABILITY_NONE);
    be_busy(world);
    say_and_wait(world);
    last_words_begin(world->a->net, LIMIT_MS);
    assert_int_equal(gather_of(world)->streams[0]->unheard_kib, 1);
    assert_int_equal(gathered(world, 2 * PERIOD_NS), 0);
    gather_of(world)->turns_least = GATHER_TURNS; /* from now on the poll tells of it */
    rig_run_until(&world->rig, holds_record, world);
    world_free(world);
}

static bool has_two(void *arg)
{
    const struct world *world = arg;
    return world->a->net->neighbours == 2;
}

static void who_comes_to_a_busy_one_is_gathered_from_too(void **state)
{
    (void)state;
    struct world *world = world_new(HERD_DURABILITY_NONE);
    struct gather *gather = gather_of(world);
    be_busy(world);
    int other = rig_connect(world->a->port);
    say(other, FLOOD); /* in B's name */
    rig_run_until(&world->rig, has_two, world);
    assert_int_equal(gather->count, 2);
    for (unsigned i = 0; i < gather->count; i++) {
        uv_os_fd_t fd;
        int bytes = 0;
        socklen_t len = sizeof(bytes);
        assert_int_equal(uv_fileno((const uv_handle_t *)&gather->streams[i]->tcp, &fd), 0);
        assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &bytes, &len), 0);
        assert_int_equal(bytes, GATHER_BYTES);
    }
    close(other);
    world_free(world);
}

/* Else each of two servers could wait for the other one's clients. */
static void none_is_gathered_from_where_clients_wait_for_neighbours(void **state)
{
    (void)state;
    struct world *world = world_new(HERD_DURABILITY_HERD);
    assert_int_equal(gather_of(world)->count, 0);
    have_turns(world, 2 * GATHER_TURNS);
    assert_false(gather_of(world)->is_busy);
    world_free(world);
}

static bool has_gone(void *arg)
{
    const struct world *world = arg;
    return world->a->net->connections == 0;
}

/* The kernel tells of it once, and then of an end, which would make a line of half a one. */
static void a_reset_that_a_turn_sees_is_no_end(void **state)
{
    static const char half[] = "FLOOD B c +1+1 1 1.000000000 B +0.000000000";
    const struct linger at_once = {.l_onoff = 1};
    (void)state;
    struct world *world = world_new(HERD_DURABILITY_NONE);
    be_busy(world);
    say(world->neighbour, half);
    wait_for_bytes(world, strlen(half));
    gather_turn(world->a->net, 2 * PERIOD_NS, false);
    assert_int_equal(setsockopt(world->neighbour, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)),
                     0);
    close(world->neighbour);
    struct pollfd reset = {.fd = end_of(world)};
    assert_int_equal(poll(&reset, 1, -1), 1);
    stream_loop_next_turn(&world->a->net->streams); /* a connection is read once in each */
    gather_turn(world->a->net, 3 * PERIOD_NS, false);
    rig_run_until(&world->rig, has_gone, world);
    assert_int_equal(herd_store_count(world->a->node->store), 0);
    world->neighbour = rig_connect(world->a->port);
    world_free(world);
}

static bool is_closing(void *arg)
{
    const struct world *world = arg;
    const struct stream_ring *lingering = &world->a->net->streams.lingering;
    return lingering->next != lingering;
}

static bool has_dropped(void *arg)
{
    const struct world *world = arg;
    return world->a->net->streams.bytes_dropped > 0;
}

/* Who closes a connection drops what still comes. What lies in its socket in the end is answered by
 * the kernel with a reset, for which the other side's may throw away the last words that it has
 * received. A neighbour may say less than wakes a busy server; no turn reads it. */
static void what_comes_while_it_closes_is_dropped(void **state)
{
    static const char late[] = "PING\n";
    static char line[HERD_LINE_MAX + 3], heard[sizeof(line) + 2];
    (void)state;
    struct world *world = world_new(HERD_DURABILITY_NONE);
    struct stream_loop *streams = &world->a->net->streams;
    be_busy(world);
    memset(line, 'x', HERD_LINE_MAX + 2);
    say(world->neighbour, line); /* too long: it is closed */
    rig_run_until(&world->rig, is_closing, world);
    assert_int_equal(uv_timer_stop(&streams->linger), 0); /* not before it has said more */
    say(world->neighbour, late);
    rig_run_until(&world->rig, has_dropped, world);
    assert_int_equal(uv_timer_again(&streams->linger), 0);
    rig_run_until(&world->rig, has_gone, world); /* 2 s: it does not close its half */
    assert_int_equal(streams->bytes_dropped, sizeof(late) - 1);
    struct pollfd end = {.fd = world->neighbour, .events = POLLIN};
    assert_int_equal(poll(&end, 1, 0), 1);
    assert_int_equal(end.revents, POLLIN); /* and no POLLERR: no reset */
    while (recv(world->neighbour, heard, sizeof(heard), 0) > 0)
        ;
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(few_lines_wake_none_that_is_busy),
        cmocka_unit_test(few_lines_wake_one_that_is_not),
        cmocka_unit_test(many_lines_wake_it_all_the_same),
        cmocka_unit_test(an_end_wakes_it),
        cmocka_unit_test(what_comes_while_it_closes_is_dropped),
        cmocka_unit_test(a_reset_that_a_turn_sees_is_no_end),
        cmocka_unit_test(silence_of_clients_ends_it),
        cmocka_unit_test(turns_of_clients_make_it_busy),
        cmocka_unit_test(turns_count_by_how_long_they_took),
        cmocka_unit_test(only_who_wakes_it_keeps_it_busy),
        cmocka_unit_test(neighbours_that_wake_it_do_not_keep_it_busy),
        cmocka_unit_test(not_every_turn_reads),
        cmocka_unit_test(who_is_not_to_be_read_from_is_not),
        cmocka_unit_test(what_a_stop_still_hears_is_not_gathered),
        cmocka_unit_test(who_comes_to_a_busy_one_is_gathered_from_too),
        cmocka_unit_test(none_is_gathered_from_where_clients_wait_for_neighbours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
