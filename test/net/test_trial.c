/* Neighbours get in where clients have all places, and clients do not get in as neighbours. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "net/room.h"
#include "rig.h"

enum { PLACES = 2, NOWHERE = 9, LIMIT_MS = 120000 };

#define HELLO "HELLO B 2 00000000000000aa 0 -\n"
#define FLOOD "FLOOD B x +1+1 5 6.000000000 B +1.000000000\n"

/* A server A with a neighbour B, which does not listen, and as many clients as it may have. */
struct full {
    struct rig rig;
    struct rig_server *server;
    int clients[PLACES];
    int64_t expected_bytes, refused;
};

static bool has_line(void *arg)
{
    char bytes[256];
    ssize_t len = recv(*(int *)arg, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_PEEK);
    return len > 0 && memchr(bytes, '\n', (size_t)len) != NULL;
}

static bool has_ended(void *arg)
{
    char byte;
    return recv(*(int *)arg, &byte, 1, MSG_DONTWAIT) == 0;
}

static void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

static void expect(struct full *full, int fd, const char *beginning)
{
    char bytes[256];
    rig_run_until(&full->rig, has_line, &fd);
    assert_true(recv(fd, bytes, sizeof(bytes), 0) > (ssize_t)strlen(beginning));
    assert_memory_equal(bytes, beginning, strlen(beginning));
}

/* A connection that is answered. */
static int join(struct full *full, const char *line, const char *beginning)
{
    int fd = rig_connect(full->server->port);
    say(fd, line);
    expect(full, fd, beginning);
    return fd;
}

static void expect_refused(struct full *full, int take_fd)
{
    rig_run_until(&full->rig, has_ended, &take_fd);
    close(take_fd);
}

static int64_t metric(const struct full *full, enum metric which)
{
    return full->server->metrics.value[which];
}

static bool has_refused_or_tries(void *arg)
{
    const struct full *full = arg;
    return metric(full, METRIC_connections_refused_total) > full->refused ||
           metric(full, METRIC_connections_on_trial) > 0;
}

/* Not on trial before. */
static void expect_refused_at_once(struct full *full)
{
    full->refused = metric(full, METRIC_connections_refused_total);
    int fd = rig_connect(full->server->port);
    rig_run_until(&full->rig, has_refused_or_tries, full);
    assert_int_equal(metric(full, METRIC_connections_on_trial), 0);
    expect_refused(full, fd);
}

static void set_trial_timer(struct full *full, uint64_t ms)
{
    uv_timer_t *timer = &full->server->net->trial_timer;
    uv_timer_start(timer, timer->timer_cb, ms, 0);
}

/* Turns until some are on trial. They, and who comes then, have all the time that the test needs: the
 * server finds its timer set. */
static void run_until_trial(struct full *full)
{
    while (metric(full, METRIC_connections_on_trial) == 0)
        uv_run(&full->rig.loop, UV_RUN_NOWAIT);
    set_trial_timer(full, LIMIT_MS);
}

/* Their second begins. */
static void end_trials(struct full *full)
{
    set_trial_timer(full, NET_TRIAL_MS);
}

/* A connection that has not said anything yet. */
static int connect_on_trial(struct full *full)
{
    int fd = rig_connect(full->server->port);
    run_until_trial(full);
    return fd;
}

/* The same, and it is answered. */
static int join_on_trial(struct full *full, const char *line, const char *beginning)
{
    int fd = connect_on_trial(full);
    say(fd, line);
    expect(full, fd, beginning);
    return fd;
}

static bool has_one_client_less(void *arg)
{
    return metric(arg, METRIC_connections_open) < PLACES;
}

static bool has_one_neighbour_less(void *arg)
{
    return metric(arg, METRIC_connections_neighbours) < NET_NEIGHBOURS_PER_PEER;
}

static bool has_none_on_trial(void *arg)
{
    return metric(arg, METRIC_connections_on_trial) == 0;
}

static bool has_received(void *arg)
{
    struct full *full = arg;
    return metric(full, METRIC_bytes_received_total) == full->expected_bytes;
}

static void begin(struct full *full, bool has_neighbour)
{
    const struct net_room room = {.connections_max = PLACES};
    rig_init(&full->rig);
    full->server = rig_add(&full->rig, "A");
    net_set_room(full->server->net, &room);
    if (has_neighbour)
        assert_int_equal(net_add_peer(full->server->net, "B", "127.0.0.1", NOWHERE), 0);
    for (int i = 0; i < PLACES; i++)
        full->clients[i] = join(full, "IAMAT c +1+1 5\n", "AT A ");
}

static void end(struct full *full)
{
    for (int i = 0; i < PLACES; i++)
        close(full->clients[i]);
    rig_close(&full->rig);
}

static void test_a_neighbour_that_greets_gets_in(void **state)
{
    struct full full;
    (void)state;
    begin(&full, true);
    int neighbour = join(&full, HELLO, "RESUME 00000000000000aa 0");
    assert_int_equal(metric(&full, METRIC_connections_neighbours), 1);
    assert_int_equal(metric(&full, METRIC_connections_on_trial), 0);
    assert_int_equal(metric(&full, METRIC_connections_refused_total), 0);
    say(neighbour, FLOOD "MARK 00000000000000aa 1\n");
    expect(&full, neighbour, "ACK 00000000000000aa 1");
    close(neighbour);
    end(&full);
}

static void test_a_neighbour_that_floods_gets_in(void **state)
{
    struct full full;
    (void)state;
    begin(&full, true);
    int neighbour = join(&full, FLOOD "PING\n", "PONG");
    assert_int_equal(metric(&full, METRIC_connections_neighbours), 1);
    close(neighbour);
    end(&full);
}

static void test_a_greeting_may_come_in_pieces(void **state)
{
    struct full full;
    (void)state;
    begin(&full, true);
    int neighbour = connect_on_trial(&full);
    full.expected_bytes = metric(&full, METRIC_bytes_received_total) + 3;
    say(neighbour, "HEL");
    rig_run_until(&full.rig, has_received, &full);
    say(neighbour, &HELLO[3]);
    expect(&full, neighbour, "RESUME ");
    close(neighbour);
    end(&full);
}

/* It has said something that no neighbour says first: nothing is done about it. */
static void test_a_client_is_refused_by_its_first_line(void **state)
{
    struct full full;
    (void)state;
    begin(&full, true);
    int fd = connect_on_trial(&full);
    say(fd, "IAMAT late +1+1 5\n");
    expect_refused(&full, fd);
    assert_int_equal(metric(&full, METRIC_connections_refused_total), 1);
    assert_int_equal(herd_store_count(herd_node_store(full.server->node)), 1);
    say(full.clients[0], "WHATSAT late 1 0\n");
    expect(&full, full.clients[0], "? WHATSAT late");
    end(&full);
}

static void test_who_says_nothing_has_a_second(void **state)
{
    struct full full;
    (void)state;
    begin(&full, true);
    uint64_t began_ms = uv_now(&full.rig.loop);
    int fd = rig_connect(full.server->port);
    expect_refused(&full, fd);
    assert_true(uv_now(&full.rig.loop) - began_ms >= NET_TRIAL_MS);
    assert_int_equal(metric(&full, METRIC_connections_refused_total), 1);
    assert_int_equal(metric(&full, METRIC_connections_accepted_total), PLACES);
    end(&full);
}

/* A stranger's HELLO is answered, and no reason to keep it. */
static void test_who_is_no_neighbour_goes_as_well(void **state)
{
    struct full full;
    (void)state;
    begin(&full, true);
    int fd = join_on_trial(&full, "HELLO C 2 00000000000000aa 0 -\n", "RESUME ");
    end_trials(&full);
    expect_refused(&full, fd);
    assert_int_equal(metric(&full, METRIC_connections_neighbours), 0);
    end(&full);
}

static void test_without_neighbours_all_are_refused_at_once(void **state)
{
    struct full full;
    (void)state;
    begin(&full, false);
    expect_refused_at_once(&full);
    assert_int_equal(metric(&full, METRIC_connections_refused_total), 1);
    end(&full);
}

/* All come before the server looks: its neighbour is in the midst of those, and the places on trial
 * are a third of what would be needed for all. */
static void test_a_neighbour_gets_in_through_a_crowd(void **state)
{
    struct full full;
    int crowd[3 * NET_TRIALS_MAX], neighbour = -1;
    const int count = sizeof(crowd) / sizeof(crowd[0]);
    (void)state;
    begin(&full, true);
    for (int i = 0; i < count; i++) {
        if (i == count / 3)
            neighbour = rig_connect(full.server->port);
        crowd[i] = rig_connect(full.server->port);
    }
    say(neighbour, HELLO);
    rig_arrived(neighbour);
    run_until_trial(&full);
    expect(&full, neighbour, "RESUME ");
    assert_in_range(metric(&full, METRIC_connections_on_trial), 1, NET_TRIALS_MAX);
    expect_refused(&full, crowd[0]); /* the oldest gave way */
    assert_false(has_ended(&crowd[count - 1]));
    end_trials(&full);
    for (int i = 1; i < count; i++)
        expect_refused(&full, crowd[i]);
    assert_int_equal(metric(&full, METRIC_connections_refused_total), count);
    assert_int_equal(metric(&full, METRIC_connections_on_trial), 0);
    close(neighbour);
    end(&full);
}

/* More than may be on trial, none of which gives way: each has said a neighbour's word already. */
static void test_who_is_about_to_be_heard_does_not_give_way(void **state)
{
    enum { BEYOND = 8 };
    struct full full;
    int fds[NET_TRIALS_MAX + BEYOND];
    (void)state;
    begin(&full, true);
    for (int i = 0; i < NET_TRIALS_MAX + BEYOND; i++) {
        fds[i] = rig_connect(full.server->port);
        say(fds[i], "HELLO C 2 00000000000000aa 0 -\n");
    }
    for (int i = 0; i < NET_TRIALS_MAX + BEYOND; i++)
        rig_arrived(fds[i]);
    run_until_trial(&full);
    assert_int_equal(metric(&full, METRIC_connections_on_trial), NET_TRIALS_MAX);
    assert_int_equal(metric(&full, METRIC_connections_refused_total), BEYOND);
    for (int i = 0; i < NET_TRIALS_MAX; i++)
        expect(&full, fds[i], "RESUME ");
    end_trials(&full);
    for (int i = 0; i < NET_TRIALS_MAX + BEYOND; i++)
        expect_refused(&full, fds[i]);
    end(&full);
}

static void test_a_neighbour_that_has_a_place_of_a_client_gives_it_back(void **state)
{
    struct full full;
    (void)state;
    begin(&full, true);
    close(full.clients[0]);
    rig_run_until(&full.rig, has_one_client_less, &full);
    int neighbour = join(&full, "PING\n", "PONG"); /* not known yet */
    assert_int_equal(metric(&full, METRIC_connections_neighbours), 0);
    say(neighbour, HELLO);
    expect(&full, neighbour, "RESUME ");
    full.clients[0] = join(&full, "IAMAT d +1+1 5\n", "AT A ");
    expect_refused(&full, rig_connect(full.server->port));
    assert_int_equal(metric(&full, METRIC_connections_open), PLACES + 1);
    close(neighbour);
    end(&full);
}

/* A place became free while it was on trial. */
static void test_a_client_on_trial_may_get_a_place(void **state)
{
    struct full full;
    (void)state;
    begin(&full, true);
    int fd = connect_on_trial(&full);
    close(full.clients[0]);
    rig_run_until(&full.rig, has_one_client_less, &full);
    say(fd, "IAMAT d +1+1 5\n");
    expect(&full, fd, "AT A ");
    full.clients[0] = fd;
    assert_int_equal(metric(&full, METRIC_connections_refused_total), 0);
    end(&full);
}

/* Nobody else bounds those that say FLOOD in a neighbour's name. */
static void test_floods_in_its_name_have_two_places(void **state)
{
    struct full full;
    int fds[NET_NEIGHBOURS_PER_PEER];
    (void)state;
    begin(&full, true);
    for (int i = 0; i < NET_NEIGHBOURS_PER_PEER; i++)
        fds[i] = join(&full, FLOOD "PING\n", "PONG");
    int fd = rig_connect(full.server->port);
    say(fd, FLOOD);
    expect_refused(&full, fd);
    assert_int_equal(metric(&full, METRIC_connections_neighbours), NET_NEIGHBOURS_PER_PEER);
    fd = join(&full, HELLO, "RESUME "); /* which has one of its own */
    close(fd);
    for (int i = 0; i < NET_NEIGHBOURS_PER_PEER; i++)
        close(fds[i]);
    end(&full);
}

/* It need not say anything more. */
static void test_a_flood_on_trial_gets_a_place_that_is_free(void **state)
{
    struct full full;
    int fds[NET_NEIGHBOURS_PER_PEER + 1];
    (void)state;
    begin(&full, true);
    for (int i = 0; i < NET_NEIGHBOURS_PER_PEER; i++)
        fds[i] = join(&full, FLOOD "PING\n", "PONG");
    fds[NET_NEIGHBOURS_PER_PEER] = join_on_trial(&full, FLOOD "PING\n", "PONG");
    assert_int_equal(metric(&full, METRIC_connections_on_trial), 1);
    close(fds[0]);
    rig_run_until(&full.rig, has_one_neighbour_less, &full);
    end_trials(&full);
    rig_run_until(&full.rig, has_none_on_trial, &full);
    assert_int_equal(metric(&full, METRIC_connections_neighbours), NET_NEIGHBOURS_PER_PEER);
    assert_int_equal(metric(&full, METRIC_connections_refused_total), 0);
    for (int i = 1; i <= NET_NEIGHBOURS_PER_PEER; i++) {
        say(fds[i], "PING\n");
        expect(&full, fds[i], "PONG");
        close(fds[i]);
    }
    end(&full);
}

/* As with connections_max, as long as the descriptors that are reserved are there. */
static void test_a_neighbour_gets_in_where_files_are_short(void **state)
{
    struct full full;
    struct rlimit before, now;
    (void)state;
    begin(&full, true);
    const struct net_room room = {.connections_max = 1000, .files_reserved = 200};
    net_set_room(full.server->net, &room);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    now = before;
    now.rlim_cur = room.files_reserved + PLACES;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
    int neighbour = join(&full, HELLO, "RESUME ");
    int fd = connect_on_trial(&full);
    say(fd, "IAMAT late +1+1 5\n");
    expect_refused(&full, fd);
    now.rlim_cur = room.files_reserved; /* what is reserved is not there: none on trial */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
    expect_refused_at_once(&full);
    setrlimit(RLIMIT_NOFILE, &before);
    close(neighbour);
    end(&full);
}

static void test_the_server_stops_while_some_are_on_trial(void **state)
{
    struct full full;
    (void)state;
    begin(&full, true);
    int fd = connect_on_trial(&full);
    end(&full);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_neighbour_that_greets_gets_in),
        cmocka_unit_test(test_a_neighbour_that_floods_gets_in),
        cmocka_unit_test(test_a_greeting_may_come_in_pieces),
        cmocka_unit_test(test_a_client_is_refused_by_its_first_line),
        cmocka_unit_test(test_who_says_nothing_has_a_second),
        cmocka_unit_test(test_who_is_no_neighbour_goes_as_well),
        cmocka_unit_test(test_without_neighbours_all_are_refused_at_once),
        cmocka_unit_test(test_a_neighbour_gets_in_through_a_crowd),
        cmocka_unit_test(test_who_is_about_to_be_heard_does_not_give_way),
        cmocka_unit_test(test_a_neighbour_that_has_a_place_of_a_client_gives_it_back),
        cmocka_unit_test(test_a_client_on_trial_may_get_a_place),
        cmocka_unit_test(test_floods_in_its_name_have_two_places),
        cmocka_unit_test(test_a_flood_on_trial_gets_a_place_that_is_free),
        cmocka_unit_test(test_a_neighbour_gets_in_where_files_are_short),
        cmocka_unit_test(test_the_server_stops_while_some_are_on_trial),
    };
    return cmocka_run_group_tests_name("trial", tests, NULL, NULL);
}
