/* A server that is told to stop answers what it has received, also what it has yet to read. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/sockios.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/node.h"
#include "net/room.h"
#include "rig.h"

enum {
    STOP_MS = 60000,
    LITTLE_MS = 3000, /* for who runs into it */
    CROWD = 40,
    BULK = 20000, /* lines: more than a socket holds */
    SOME = 2400,  /* more than one read takes */
    FEW = 300,    /* so few that all that was sent is in the server's socket */
    FEW_BYTES = 65536,
    LINE_BYTES = 64, /* at most */
    IAMAT_BYTES = 32,
    ENDLESS_KIB = 10240, /* of a client that goes on, through sockets of so much: */
    SOCKET_BYTES = 65536,
    MUCH_BYTES = 16384, /* a socket with so much may have had no room for more */
    LATE = 3            /* times that it speaks while the server closes */
};

static const char POSITION[] = " +34.1-118.2 1.5\n";

/* A client that does not block. */
struct client {
    int fd;
    char *text; /* what it says */
    size_t len, said;
    size_t answers;
    bool is_closed; /* by the server */
    unsigned late;
};

struct scene {
    struct rig rig;
    struct rig_server *a;
    struct client clients[CROWD];
    int count;
};

static void scene_init(struct scene *scene)
{
    *scene = (struct scene){0};
    rig_init(&scene->rig);
    scene->a = rig_add(&scene->rig, "A");
}

static bool are_accepted(void *arg)
{
    const struct scene *scene = arg;
    return scene->a->net->connections == (size_t)scene->count;
}

/* One that is going to say so many lines, which differ by a number. */
static struct client *prepare(struct scene *scene, const char *begin, const char *rest,
                              unsigned lines)
{
    struct client *client = &scene->clients[scene->count++];
    client->fd = rig_connect(scene->a->port);
    client->text = malloc((size_t)lines * LINE_BYTES);
    for (unsigned i = 0; i < lines; i++)
        client->len +=
            (size_t)snprintf(client->text + client->len, LINE_BYTES, "%s%08u%s", begin, i, rest);
    return client;
}

/* The same, and it has been accepted. */
static struct client *add(struct scene *scene, const char *begin, const char *rest, unsigned lines)
{
    struct client *client = prepare(scene, begin, rest, lines);
    rig_run_until(&scene->rig, are_accepted, scene);
    return client;
}

/* As much as its socket takes. */
static void speak(struct client *client)
{
    ssize_t len = send(client->fd, client->text + client->said, client->len - client->said,
                       MSG_DONTWAIT | MSG_NOSIGNAL);
    client->said += len > 0 ? (size_t)len : 0;
}

static void hear(struct client *client)
{
    char bytes[65536];
    ssize_t len;
    while ((len = recv(client->fd, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0) {
        for (ssize_t i = 0; i < len; i++)
            client->answers += bytes[i] == '\n';
    }
    if (len < 0 && errno == EAGAIN)
        return;
    assert_int_equal(len, 0); /* no reset, which could destroy answers */
    client->is_closed = true;
}

static void hear_all(struct scene *scene)
{
    for (int i = 0; i < scene->count; i++) {
        if (!scene->clients[i].is_closed)
            hear(&scene->clients[i]);
    }
}

/* What the server has sent before it stopped may be on its way. */
static bool has_heard_all(void *arg)
{
    struct client *client = arg;
    if (!client->is_closed)
        hear(client);
    return client->is_closed;
}

static void hear_the_rest(struct client *client)
{
    rig_wait(has_heard_all, client);
}

/* Says all, while the server reads where it has to. */
static void say_all(struct scene *scene, struct client *client)
{
    for (speak(client); client->said < client->len; speak(client)) {
        uv_run(&scene->rig.loop, UV_RUN_NOWAIT);
        hear_all(scene);
    }
}

static uint16_t port_of(int fd, int (*get_name)(int fd, struct sockaddr *name, socklen_t *len))
{
    struct sockaddr_in name = {0};
    socklen_t len = sizeof(name);
    return get_name(fd, (struct sockaddr *)&name, &len) == 0 ? ntohs(name.sin_port) : 0;
}

static int fd_of(const struct stream *session)
{
    uv_os_fd_t fd;
    return uv_fileno((const uv_handle_t *)&session->tcp, &fd) == 0 ? fd : -1;
}

/* The server's end; NULL: it was not accepted yet, or is gone. */
static const struct stream *session_of(const struct scene *scene, const struct client *client)
{
    uint16_t port = port_of(client->fd, getsockname);
    for (struct herd_conn *conn = scene->a->node->conns; conn != NULL; conn = conn->next) {
        const struct stream *session = herd_conn_data(conn);
        if (port_of(fd_of(session), getpeername) == port)
            return session;
    }
    return NULL;
}

/* All that it has said lies in the server's socket, or that is full: what a stop answers. What is on
 * its way to a socket that is empty would be too late. */
static bool has_arrived(const struct scene *scene, const struct client *client)
{
    int under_way = 0, unread = 0;
    const struct stream *session = session_of(scene, client);
    assert_int_equal(ioctl(client->fd, SIOCOUTQ, &under_way), 0);
    if (session != NULL)
        assert_int_equal(ioctl(fd_of(session), FIONREAD, &unread), 0);
    return under_way == 0 || unread >= MUCH_BYTES;
}

static bool have_arrived(void *arg)
{
    const struct scene *scene = arg;
    bool all = true;
    for (int i = 0; i < scene->count; i++)
        all = has_arrived(scene, &scene->clients[i]) && all;
    return all;
}

static void wait_for_all(struct scene *scene)
{
    rig_wait(have_arrived, scene);
}

static void on_stopped(void *arg)
{
    struct rig_server *server = arg;
    server->stopped = 1;
    net_free(server->net);
}

/* `each_turn` (or NULL) runs in each turn meanwhile. */
static void stop_then(struct scene *scene, void (*each_turn)(struct scene *scene))
{
    wait_for_all(scene);
    net_stop(scene->a->net, STOP_MS, on_stopped, scene->a);
    while (!scene->a->stopped) {
        uv_run(&scene->rig.loop, UV_RUN_NOWAIT);
        hear_all(scene);
        if (each_turn != NULL)
            each_turn(scene);
        for (int i = 0; i < scene->count; i++) {
            if (scene->clients[i].is_closed)
                shutdown(scene->clients[i].fd, SHUT_WR);
        }
    }
    for (int i = 0; i < scene->count; i++)
        hear_the_rest(&scene->clients[i]);
}

static void scene_free(struct scene *scene)
{
    uv_run(&scene->rig.loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&scene->rig.loop), 0);
    herd_node_free(scene->a->node);
    log_close(scene->rig.log);
    for (int i = 0; i < scene->count; i++) {
        close(scene->clients[i].fd);
        free(scene->clients[i].text);
    }
}

static void check_all_is_answered(bool says_end)
{
    static const unsigned lines[] = {1, SOME, BULK};
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        struct scene scene;
        scene_init(&scene);
        struct client *client = add(&scene, "IAMAT z", POSITION, lines[i]);
        say_all(&scene, client);
        if (says_end)
            shutdown(client->fd, SHUT_WR);
        stop_then(&scene, NULL);
        assert_int_equal(client->answers, lines[i]);
        scene_free(&scene);
    }
}

static void all_of_one_who_has_ended_is_answered(void **state)
{
    (void)state;
    check_all_is_answered(true);
}

/* Nobody says that this was all. */
static void all_of_one_who_waits_is_answered(void **state)
{
    (void)state;
    check_all_is_answered(false);
}

/* They had connected, and were not even accepted yet. */
static void who_was_not_accepted_yet_is_answered(void **state)
{
    (void)state;
    struct scene scene;
    scene_init(&scene);
    while (scene.count < CROWD) {
        struct client *client = prepare(&scene, "IAMAT z", POSITION, 1);
        speak(client);
        shutdown(client->fd, SHUT_WR);
    }
    stop_then(&scene, NULL);
    for (int i = 0; i < CROWD; i++)
        assert_int_equal(scene.clients[i].answers, 1);
    scene_free(&scene);
}

static bool has_read_half_a_line(void *arg)
{
    const struct herd_conn *conn = arg;
    return conn->work != NULL && herd_frame_kept(&conn->work->frame) > 0;
}

/* Half a line at the end is a line where its sender has said that no more follows. */
static void half_a_line_is_one_only_at_an_end(void **state)
{
    (void)state;
    for (int has_ended = 0; has_ended < 2; has_ended++) {
        struct scene scene;
        scene_init(&scene);
        struct client *client = add(&scene, "half a line ", "", 1);
        struct client *other = add(&scene, "half a line ", "", 1);
        say_all(&scene, other);
        rig_run_until(&scene.rig, has_read_half_a_line, scene.a->node->conns);
        say_all(&scene, client);
        if (has_ended) {
            shutdown(client->fd, SHUT_WR);
            shutdown(other->fd, SHUT_WR);
        }
        stop_then(&scene, NULL);
        assert_int_equal(client->answers, has_ended);
        assert_int_equal(other->answers, has_ended);
        scene_free(&scene);
    }
}

static void a_crowd_with_full_sockets_is_heard(void **state)
{
    (void)state;
    struct scene scene;
    scene_init(&scene);
    while (scene.count < CROWD)
        add(&scene, "IAMAT z", POSITION, SOME);
    for (int i = 0; i < CROWD; i++) {
        say_all(&scene, &scene.clients[i]);
        shutdown(scene.clients[i].fd, SHUT_WR);
    }
    stop_then(&scene, NULL);
    for (int i = 0; i < CROWD; i++)
        assert_int_equal(scene.clients[i].answers, SOME);
    scene_free(&scene);
}

/* A turn that has read enough ends where it is, between any two bytes of what one of them has said. */
static void a_crowd_is_heard_in_turns_of_few_bytes(void **state)
{
    (void)state;
    struct scene scene;
    scene_init(&scene);
    scene.a->net->options.room.turn_read_bytes = FEW_BYTES;
    while (scene.count < CROWD)
        add(&scene, "IAMAT z", POSITION, FEW + scene.count);
    for (int i = 0; i < CROWD; i++)
        say_all(&scene, &scene.clients[i]);
    stop_then(&scene, NULL);
    for (int i = 0; i < CROWD; i++)
        assert_int_equal(scene.clients[i].answers, FEW + i);
    scene_free(&scene);
}

/* Who is silent, by the clock of the test: one that is kept from the processor has no look too many. */
static void look(struct scene *scene)
{
    uv_timer_t *timer = &scene->a->net->last_words.timer;
    timer->timer_cb(timer);
}

static void run_until_answered(struct scene *scene, const struct client *client, size_t answers)
{
    while (!scene->a->stopped && client->answers < answers) {
        uv_run(&scene->rig.loop, UV_RUN_NOWAIT);
        hear_all(scene);
    }
}

/* Its kernel may have to try again before it can send on: one look alone says nothing, and who has
 * been heard since is not silent. */
static void who_is_silent_for_a_moment_is_heard_on(void **state)
{
    (void)state;
    struct scene scene;
    scene_init(&scene);
    struct client *client = add(&scene, "IAMAT z", POSITION, SOME + 2 * FEW);
    client->len = SOME * IAMAT_BYTES;
    say_all(&scene, client);
    wait_for_all(&scene);
    net_stop(scene.a->net, STOP_MS, on_stopped, scene.a);
    assert_int_equal(uv_timer_stop(&scene.a->net->last_words.timer), 0);
    for (size_t lines = SOME + FEW; lines <= SOME + 2 * FEW; lines += FEW) {
        run_until_answered(&scene, client, lines - FEW);
        look(&scene);
        client->len = lines * IAMAT_BYTES;
        say_all(&scene, client);
    }
    run_until_answered(&scene, client, SOME + 2 * FEW);
    shutdown(client->fd, SHUT_WR);
    while (!scene.a->stopped) {
        uv_run(&scene.rig.loop, UV_RUN_NOWAIT);
        hear_all(&scene);
    }
    hear_the_rest(client);
    assert_int_equal(client->answers, SOME + 2 * FEW);
    scene_free(&scene);
}

/* What a neighbour has flooded is kept as well. */
static void what_was_flooded_is_kept(void **state)
{
    (void)state;
    struct scene scene;
    scene_init(&scene);
    struct client *client = add(&scene, "FLOOD B z", " +1+1 1.5 1.6 B +0.1\n", SOME);
    say_all(&scene, client);
    stop_then(&scene, NULL);
    assert_int_equal(herd_store_count(scene.a->node->store), SOME);
    scene_free(&scene);
}

/* But for what would be reset: who closes drops a MiB. */
static void go_on_for_ever(struct scene *scene)
{
    struct client *client = &scene->clients[0];
    const struct stream *session = session_of(scene, client);
    if (client->is_closed || session == NULL || (session->closing && client->late++ >= LATE))
        return;
    speak(client);
    if (client->said == client->len)
        client->said = 0;
}

static uint64_t lines_received(const struct scene *scene)
{
    return herd_node_stats(scene->a->node)->lines_received;
}

/* A client that goes on is heard as far as it had come, and so is one beside it. */
static void who_never_ends_is_not_heard_for_ever(void **state)
{
    static const struct {
        unsigned before; /* lines */
        size_t least, most;
    } cases[] = {{10, 10, 1024 / IAMAT_BYTES + 1},
                 {SOME, SOME, ENDLESS_KIB * 1024 / IAMAT_BYTES + 2}};
    (void)state;
    const int small = SOCKET_BYTES;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct scene scene;
        scene_init(&scene);
        rig_receive_buffer(scene.a, SOCKET_BYTES);
        struct client *client = add(&scene, "IAMAT z", POSITION, BULK);
        setsockopt(client->fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
        struct client *other = add(&scene, "IAMAT y", POSITION, SOME);
        size_t len = client->len;
        client->len = (size_t)cases[i].before * IAMAT_BYTES;
        say_all(&scene, client);
        client->len = len;
        say_all(&scene, other);
        stop_then(&scene, go_on_for_ever);
        assert_int_equal(other->answers, SOME);
        assert_in_range(lines_received(&scene), SOME + cases[i].least, SOME + cases[i].most);
        scene_free(&scene);
    }
}

/* Until its socket takes no more: the server's may take some more answers, and be read from again. */
static void fill(struct client *client)
{
    size_t before;
    do {
        client->said = client->said == client->len ? 0 : client->said;
        before = client->said;
        speak(client);
    } while (client->said > before);
}

/* The second client, in turns of the server. */
static bool has_turned_and_heard(void *arg)
{
    struct scene *scene = arg;
    uv_run(&scene->rig.loop, UV_RUN_NOWAIT);
    hear(&scene->clients[1]);
    return scene->clients[1].answers >= SOME;
}

/* Its answers fill its socket, so that it is not read from. */
static void who_does_not_read_is_cut_off_in_the_end(void **state)
{
    (void)state;
    struct scene scene;
    scene_init(&scene);
    struct client *client = add(&scene, "IAMAT z", POSITION, BULK);
    struct client *other = add(&scene, "IAMAT y", POSITION, SOME);
    scene.a->node->options.output_max = 4096;
    while (scene.a->node->stats.clients_paused == 0) {
        fill(client);
        uv_run(&scene.rig.loop, UV_RUN_NOWAIT);
    }
    fill(client);
    say_all(&scene, other);
    wait_for_all(&scene);
    struct net *net = scene.a->net;
    net_stop(net, LITTLE_MS, on_stopped, scene.a);
    /* No time passes until the other one has its answers. */
    assert_int_equal(uv_timer_stop(&net->last_words.timer), 0);
    assert_true(uv_is_active((const uv_handle_t *)&net->deadline));
    assert_int_equal(uv_timer_stop(&net->deadline), 0);
    rig_wait(has_turned_and_heard, &scene);
    assert_int_equal(uv_timer_again(&net->last_words.timer), 0);
    uv_timer_start(&net->deadline, net->deadline.timer_cb, LITTLE_MS, 0);
    while (!scene.a->stopped) {
        uv_run(&scene.rig.loop, UV_RUN_NOWAIT);
        if (!other->is_closed)
            hear(other);
    }
    hear_the_rest(other);
    assert_int_equal(other->answers, SOME);
    assert_int_equal(net->last_words.unanswered, 1);
    scene_free(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_of_one_who_has_ended_is_answered),
        cmocka_unit_test(all_of_one_who_waits_is_answered),
        cmocka_unit_test(who_was_not_accepted_yet_is_answered),
        cmocka_unit_test(half_a_line_is_one_only_at_an_end),
        cmocka_unit_test(a_crowd_with_full_sockets_is_heard),
        cmocka_unit_test(a_crowd_is_heard_in_turns_of_few_bytes),
        cmocka_unit_test(who_is_silent_for_a_moment_is_heard_on),
        cmocka_unit_test(what_was_flooded_is_kept),
        cmocka_unit_test(who_never_ends_is_not_heard_for_ever),
        cmocka_unit_test(who_does_not_read_is_cut_off_in_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
