/* The bridge between libcurl and the loop: hosts that are not there, break off or are not whom they
 * say, and memory that runs out. */
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <curl/curl.h>

#include "fetch_rig.h"

/* A port that nobody listens on; the socket keeps it from being given to another. */
static int closed_port(struct sockaddr_in *address)
{
    socklen_t len = sizeof *address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    *address =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_int_equal(bind(fd, (struct sockaddr *)address, sizeof *address), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)address, &len), 0);
    return fd;
}

static void test_nobody_listens(void **state)
{
    struct fixture *fixture = *state;
    struct asker asker = {0};
    struct sockaddr_in address;
    char origin[64];
    int fd = closed_port(&address);
    snprintf(origin, sizeof origin, "http://127.0.0.1:%u", ntohs(address.sin_port));
    open_fetch(fixture, NULL, PLENTY_MS);
    start(fixture, &asker, origin);
    run_until_done(fixture, &asker);
    close_fetch(fixture);
    assert_outcome(&asker, FETCH_NOT_CONNECTED, HERD_EIO);
    close(fd);
}

/* Takes the one connection that comes, and reads what it asks. */
static int accept_request(struct fixture *fixture, int listener)
{
    char request[4096];
    int fd = -1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) < 0)
        uv_run(&fixture->loop, UV_RUN_NOWAIT);
    while (recv(fd, request, sizeof request, 0) <= 0)
        uv_run(&fixture->loop, UV_RUN_NOWAIT);
    return fd;
}

/* Before that, a reset throws away what was sent. */
static void wait_until_arrived(int fd)
{
    int bytes = 0;
    do {
        assert_int_equal(ioctl(fd, SIOCOUTQ, &bytes), 0);
        sched_yield();
    } while (bytes > 0);
}

/* A host that sends `len` bytes of an answer with a body of 40,000 and resets, before the loop has
 * another turn: libuv tells of the error first. */
static void answer_and_reset(struct fixture *fixture, struct asker *asker, size_t len)
{
    enum { BODY_BYTES = 40000 };
    static const struct linger reset = {.l_onoff = 1};
    struct sockaddr_in address;
    char origin[64], *answer = NULL;
    int listener = closed_port(&address);
    assert_int_equal(fcntl(listener, F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(listen(listener, 1), 0);
    snprintf(origin, sizeof origin, "http://127.0.0.1:%u", ntohs(address.sin_port));
    int whole_len = asprintf(&answer, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%*s",
                             BODY_BYTES, BODY_BYTES, "end");
    if (len > (size_t)whole_len)
        len = (size_t)whole_len;
    open_fetch(fixture, NULL, PLENTY_MS);
    start(fixture, asker, origin);
    int fd = accept_request(fixture, listener);
    assert_int_equal(send(fd, answer, len, 0), len);
    wait_until_arrived(fd);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset), 0);
    close(fd);
    run_until_done(fixture, asker);
    close_fetch(fixture);
    free(answer);
    close(listener);
}

static void test_reset_behind_the_answer(void **state)
{
    struct asker asker = {0};
    answer_and_reset(*state, &asker, SIZE_MAX);
    assert_int_equal(asker.result.body.len, 40000);
    assert_outcome(&asker, FETCH_ANSWERED, 0);
}

static void test_reset_within_the_answer(void **state)
{
    static const size_t lens[] = {0, 1, 20, 100, 30000};
    for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++) {
        struct asker asker = {0};
        answer_and_reset(*state, &asker, lens[i]);
        assert_outcome(&asker, FETCH_BROKEN, HERD_EPROTO);
    }
}

/* A host that does not answer a SYN: here, one whose backlog is full. */
static void test_nobody_accepts(void **state)
{
    enum { FILLERS = 4 };
    struct fixture *fixture = *state;
    struct asker asker = {0};
    struct sockaddr_in address;
    char origin[64];
    int fillers[FILLERS];
    int fd = closed_port(&address);
    assert_int_equal(listen(fd, 0), 0);
    for (int i = 0; i < FILLERS; i++) {
        fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void)connect(fillers[i], (struct sockaddr *)&address, sizeof address);
    }
    snprintf(origin, sizeof origin, "http://127.0.0.1:%u", ntohs(address.sin_port));
    open_fetch(fixture, NULL, SHORT_MS);
    start(fixture, &asker, origin);
    run_until_done(fixture, &asker);
    close_fetch(fixture);
    assert_outcome(&asker, FETCH_TIMED_OUT, HERD_ETIMEDOUT);
    for (int i = 0; i < FILLERS; i++)
        close(fillers[i]);
    close(fd);
}

/* However slow the resolver is, the call ends in time, and so does the closing. */
static void test_no_such_name(void **state)
{
    struct fixture *fixture = *state;
    struct asker asker = {0};
    open_fetch(fixture, NULL, SHORT_MS);
    start(fixture, &asker, "https://places.invalid");
    run_until_done(fixture, &asker);
    close_fetch(fixture);
    assert_true(asker.result.outcome == FETCH_NOT_RESOLVED ||
                asker.result.outcome == FETCH_TIMED_OUT);
    assert_outcome(&asker, asker.result.outcome, asker.result.error);
}

static void test_other_protocols(void **state)
{
    struct fixture *fixture = *state;
    static const char *const urls[] = {"file:///etc/hostname",
                                       "ftp://127.0.0.1/",
                                       "gopher://x/",
                                       "http://user:password@127.0.0.1/",
                                       "http://",
                                       "::"};
    open_fetch(fixture, NULL, PLENTY_MS);
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        struct asker asker = {0};
        assert_int_equal(try_start(fixture, &asker, &(struct fetch_request){.url = urls[i]}), 0);
        run_until_done(fixture, &asker);
        assert_int_equal(asker.done, 1);
        assert_true(asker.result.error < 0);
        free(asker.body);
    }
    close_fetch(fixture);
}

/* The certificate is checked: whom it is from, and whom it is for. */
static void test_tls(void **state)
{
    struct fixture *fixture = *state;
    static const struct {
        const char *san;
        bool is_trusted;
        enum fetch_outcome outcome;
        int error;
    } cases[] = {
        {"IP:127.0.0.1", true, FETCH_ANSWERED, 0},
        {"IP:127.0.0.1", false, FETCH_NOT_TRUSTED, HERD_EPROTO},
        {"DNS:places.googleapis.com", true, FETCH_NOT_TRUSTED, HERD_EPROTO},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct standin standin;
        struct asker asker = {0};
        char *folder = testing_make_folder();
        char *ca_file = testing_path(folder, "cert.pem");
        standin_start(&standin, folder, cases[i].san);
        open_fetch(fixture, cases[i].is_trusted ? ca_file : NULL, PLENTY_MS);
        start(fixture, &asker, standin.origin);
        run_until_done(fixture, &asker);
        close_fetch(fixture);
        assert_outcome(&asker, cases[i].outcome, cases[i].error);
        assert_int_equal(standin_count(&standin, "requests"), cases[i].error == 0 ? 1 : 0);
        standin_stop(&standin);
        free(ca_file);
        testing_remove_folder(folder);
    }
}

static void test_tls_with_a_plain_server(void **state)
{
    struct fixture *fixture = *state;
    struct asker asker = {0};
    char origin[64];
    snprintf(origin, sizeof origin, "https://127.0.0.1:%u", fixture->standin.port);
    standin_behave(&fixture->standin, "normal");
    open_fetch(fixture, NULL, SHORT_MS);
    start(fixture, &asker, origin);
    run_until_done(fixture, &asker);
    close_fetch(fixture);
    assert_true(asker.result.error < 0);
    free(asker.body);
    open_fetch(fixture, "/nonexistent/ca.pem", PLENTY_MS);
    asker = (struct asker){0};
    start(fixture, &asker, origin);
    run_until_done(fixture, &asker);
    close_fetch(fixture);
    assert_outcome(&asker, FETCH_NOT_TRUSTED, HERD_EPROTO);
}

/* libcurl's allocator: the one after `left` more fails, once. */
static struct {
    bool is_armed, has_failed;
    size_t left;
} memory;

static bool fails(void)
{
    if (!memory.is_armed || memory.has_failed)
        return false;
    memory.has_failed = memory.left == 0;
    memory.left -= !memory.has_failed;
    return memory.has_failed;
}

static void *on_malloc(size_t size)
{
    return fails() ? NULL : malloc(size);
}

static void *on_realloc(void *data, size_t size)
{
    return fails() ? NULL : realloc(data, size);
}

static void *on_calloc(size_t count, size_t size)
{
    return fails() ? NULL : calloc(count, size);
}

static char *on_strdup(const char *text)
{
    return fails() ? NULL : strdup(text);
}

static bool disarm(void)
{
    memory.is_armed = false;
    return memory.has_failed;
}

static void arm(size_t left)
{
    memory.is_armed = true;
    memory.has_failed = false;
    memory.left = left;
}

/* Whichever allocation of libcurl's fails, the call ends, once, and nothing is left of it. */
static void test_without_memory(void **state)
{
    struct fixture *fixture = *state;
    size_t n = 0, answered = 0;
    bool has_failed = true;
    standin_behave(&fixture->standin, "normal");
    for (; has_failed; n++) {
        struct asker asker = {0};
        open_fetch(fixture, NULL, PLENTY_MS);
        arm(n);
        int rc =
            try_start(fixture, &asker, &(struct fetch_request){.url = fixture->standin.origin});
        if (rc == 0)
            run_until_done(fixture, &asker);
        has_failed = disarm();
        close_fetch(fixture);
        assert_int_equal(asker.done, rc == 0 ? 1 : 0);
        answered += asker.done > 0 && asker.result.error == 0;
        free(asker.body);
    }
    assert_true(n > 50);
    assert_true(answered > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nobody_listens),
        cmocka_unit_test(test_nobody_accepts),
        cmocka_unit_test(test_reset_behind_the_answer),
        cmocka_unit_test(test_reset_within_the_answer),
        cmocka_unit_test(test_no_such_name),
        cmocka_unit_test(test_other_protocols),
        cmocka_unit_test(test_tls),
        cmocka_unit_test(test_tls_with_a_plain_server),
        cmocka_unit_test(test_without_memory),
    };
    if (curl_global_init_mem(CURL_GLOBAL_DEFAULT, on_malloc, free, on_realloc, on_strdup,
                             on_calloc) != CURLE_OK)
        return 1;
    return cmocka_run_group_tests(tests, fetch_rig_setup, fetch_rig_teardown);
}
