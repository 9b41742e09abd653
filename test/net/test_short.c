/* Connections that come while there is no memory for them (calloc is linked with --wrap). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "rig.h"

enum { REFUSED = 5 };

static bool is_short;

void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);

void *__wrap_calloc(size_t count, size_t size)
{
    return is_short ? NULL : __real_calloc(count, size);
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
        int fd = rig_connect(a->port);
        assert_int_equal(send(fd, "IAMAT x +1+1 5\n", 15, 0), 15);
        rig_run_until(&rig, has_answer, &fd);
        close(fd);
    }
    rig_close(&rig);
}

/* The server stops while one is being refused and others wait for that. */
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_connections_are_refused_and_later_ones_served),
        cmocka_unit_test(test_stop_while_refusing),
    };
    return cmocka_run_group_tests_name("short", tests, NULL, NULL);
}
