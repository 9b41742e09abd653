/*
 * A short life of a server, over and over: each time another call fails, the first, the second,
 * the third … of its kind, until a life goes by without a failure. The server may end at its start,
 * with status 1 and a sentence. Else it does all that it is asked for, if asked again, ends with
 * status 0, and has lost nothing that it had acknowledged. ASan sees to it that nothing leaks.
 *
 * Each life is a process of its own. A neighbour, without failures, lives through three of them: to
 * it each is a connection that came to nothing, after many of which it waits for 5 s before it dials
 * again.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include "base/config.h"
#include "faults.h"
#include "places/local_build.h"
#include "server/server.h"
#include "server/signals.h"
#include "standin.h"
#include "testing.h"

enum { PATIENCE_S = 60, LIVES_OF_NEIGHBOUR = 3, ANSWER_S = 10, STATUS_SANITIZER = 99 };
enum { PLACES = 1100 }; /* more than what is made for them at first */

/* Else a sanitizer ends a process with 1, as a server does that cannot start. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "exitcode=99";
}

struct life {
    pid_t pid; /* 0: it has ended */
    int status;
};

struct play {
    char *folder, *config;
    uint16_t hill, jaquez; /* theirs between their lives, too */
    int hill_fd, jaquez_fd;
    bool *fired; /* shared with the server */
    enum fault fault;
    unsigned nth;
    unsigned number; /* of this life, and its client */
    unsigned told;   /* the last client whose update was acknowledged; 0: none */
    struct life neighbour;
    struct standin standin; /* of a places provider */
    bool has_provider;
};

/* Its answers are so long that a thread reads them. A call that is lost is not waited for for long;
 * one that is not may take longer than that on a slow machine, as often as it likes. */
static void add_provider(const struct play *play, struct herd_buf *text)
{
    char *key_file = standin_key_file(play->folder);
    standin_behave(&play->standin, "fat:10000");
    herd_buf_printf(text,
                    "places {\nprovider = \"google\"\nbase_url = \"%s\"\nkey_file = \"%s\"\n"
                    "connect_timeout_ms = 500\ntotal_timeout_ms = 500\nattempts_max = 1\n"
                    "breaker_failures = 1000\ncalls_per_day = 1000000\n}\n",
                    play->standin.origin, key_file);
    free(key_file);
}

/* A few, so that a life reads all of them, and a failure there is one of its start each time. */
static void build_places(const struct play *play)
{
    struct herd_buf text = {0}, error = {0};
    char *table = testing_path(play->folder, "table.tsv");
    char *path = testing_path(play->folder, "places.db");
    const char *tables = table;
    int64_t places = 0;
    herd_buf_append_text(&text, "#herd-places\t1\n#name\tTest\n#attribution\tTest\n"
                                "#licence\tCC0-1.0\n#version\t1\n"
                                "#columns\tplace_id\tname\tlatitude\tlongitude\ttypes\tkind\t"
                                "country\tpopulation\textent_m\tvicinity\n");
    for (int i = 0; i < PLACES; i++)
        herd_buf_printf(&text,
                        "gn:%d\tPlace %d\t34.%04d\t-118.44\tlocality\tPPL\tUS\t\t500\tLos "
                        "Angeles\n",
                        i, i, i);
    testing_write_file(table, text.data, text.len);
    if (local_build(path, &tables, 1, &places, &error) < 0)
        fail_msg("%.*s", (int)error.len, error.data);
    assert_int_equal(places, PLACES);
    herd_buf_free(&text);
    herd_buf_free(&error);
    free(table);
    free(path);
}

static void write_config(struct play *play)
{
    struct herd_buf text = {0};
    if (play->has_provider) {
        add_provider(play, &text);
    } else {
        build_places(play);
        herd_buf_append_text(&text, "places { data_file = \"places.db\" }\n");
    }
    herd_buf_printf(&text,
                    "security = \"open\"\ndata_dir = \"data\"\ndurability = \"commit\"\n"
                    "server Hill { listen = \"127.0.0.1:%u\" peers = {\"Jaquez\"} }\n"
                    "server Jaquez { listen = \"127.0.0.1:%u\" peers = {\"Hill\"} }\n",
                    play->hill, play->jaquez);
    play->config = testing_path(play->folder, "herd.conf");
    testing_write_file(play->config, text.data, text.len);
    herd_buf_free(&text);
}

/* In the new process. */
static int serve(const struct play *play, const char *name, bool is_faulty)
{
    struct herd_buf errors = {0};
    struct config *config;
    char *path = testing_path(play->folder, name);
    unlink(path); /* of a file that is cut to nothing the disk is given the next bytes at once */
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    dup2(fd, STDERR_FILENO);
    close(fd);
    free(path);
    signals_block();
    if (config_load(play->config, &config, &errors) < 0)
        return STATUS_SANITIZER;
    struct log *log = server_open_log(&config->values, name);
    if (log == NULL)
        return STATUS_SANITIZER;
    if (is_faulty)
        fault_arm(play->fault, play->nth, play->fired);
    int status = server_run(config, play->config, name, log);
    fault_arm(play->fault, 0, play->fired);
    return status;
}

static struct life begin(const struct play *play, const char *name, bool is_faulty)
{
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0 && prctl(PR_SET_PDEATHSIG, SIGKILL) == 0)
        exit(serve(play, name, is_faulty));
    return (struct life){.pid = pid};
}

static bool has_ended(struct life *life, int options)
{
    if (life->pid == 0 || waitpid(life->pid, &life->status, options) != life->pid)
        return life->pid == 0;
    life->pid = 0;
    return true;
}

static void complain(const struct play *play, const char *name, const char *what)
{
    char *path = testing_path(play->folder, name);
    char *log = testing_read_file(path);
    print_error("%s\n", log);
    free(log);
    free(path);
    fail_msg("%s %u: %s: %s", fault_name(play->fault), play->nth, name, what);
}

static int dial(int family, const struct sockaddr *address, socklen_t len)
{
    const struct timeval patience = {.tv_sec = ANSWER_S};
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    if (connect(fd, address, len) == 0)
        return fd;
    close(fd);
    return -1;
}

static int dial_port(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return dial(AF_INET, (struct sockaddr *)&address, sizeof(address));
}

static int dial_control(const struct play *play)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s/data/Hill/control.sock", play->folder);
    return dial(AF_UNIX, (struct sockaddr *)&address, sizeof(address));
}

/* Says the lines, and reads until the answer has `expected` in it. False: the end came first. */
static bool exchange(int fd, const char *text, bool ends, const char *expected)
{
    struct herd_buf got = {0};
    char bytes[65536];
    ssize_t len = send(fd, text, strlen(text), MSG_NOSIGNAL);
    bool is_found = false;
    if (ends)
        shutdown(fd, SHUT_WR);
    while (!is_found && len > 0 && (len = recv(fd, bytes, sizeof(bytes), 0)) > 0) {
        assert_int_equal(herd_buf_append(&got, bytes, (size_t)len), 0);
        assert_int_equal(herd_buf_append(&got, "", 1), 0);
        got.len--;
        is_found = strstr(got.data, expected) != NULL;
    }
    herd_buf_free(&got);
    close(fd);
    return is_found;
}

static bool ask(uint16_t port, const char *text, bool ends, const char *expected)
{
    int fd = dial_port(port);
    return fd >= 0 && exchange(fd, text, ends, expected);
}

/* What is asked of the server; each gives whether it was answered as it has to be. */

static bool remembers(struct play *play)
{
    char line[64], at[64];
    snprintf(line, sizeof(line), "WHATSAT c%u 1 0\n", play->told);
    snprintf(at, sizeof(at), " c%u +34", play->told);
    return play->told == 0 || ask(play->hill, line, false, at);
}

static bool tells(struct play *play)
{
    char line[128], at[64];
    snprintf(line, sizeof(line), "IAMAT c%u +34.068930-118.445127 1700000000\n", play->number);
    snprintf(at, sizeof(at), " c%u +34.068930-118.445127 1700000000\n", play->number);
    if (!ask(play->hill, line, false, at))
        return false;
    play->told = play->number;
    return true;
}

static bool finds_places(struct play *play)
{
    char lines[64];
    snprintf(lines, sizeof(lines), "WHATSAT c%u 10 2\nwhat?\n", play->told);
    return ask(play->hill, lines, true, "\"status\": \"OK\"\n}\n\n? what?\n");
}

static bool floods(struct play *play)
{
    char line[64], at[64];
    snprintf(line, sizeof(line), "WHATSAT c%u 1 0 AFTER 1700000000 WAIT 5000\n", play->told);
    snprintf(at, sizeof(at), "AT Hill +");
    return ask(play->jaquez, line, false, at);
}

static bool is_flooded(struct play *play)
{
    char lines[128];
    snprintf(lines, sizeof(lines), "IAMAT j%u +1+1 1700000000\n", play->number);
    if (!ask(play->jaquez, lines, false, "AT Jaquez "))
        return false;
    snprintf(lines, sizeof(lines), "WHATSAT j%u 1 0 AFTER 1700000000 WAIT 5000\n", play->number);
    return ask(play->hill, lines, false, "AT Jaquez ");
}

/* It may go on without its control socket, as it then says. */
static bool has_status(struct play *play)
{
    int fd = dial_control(play);
    return fd < 0 || exchange(fd, "STATUS\n", false, "\"server\":\"Hill\"");
}

static const struct {
    const char *what;
    bool (*is_done)(struct play *play);
} wishes[] = {
    {"it has forgotten what it had acknowledged", remembers},
    {"it does not answer an IAMAT", tells},
    {"it does not answer a WHATSAT", finds_places},
    {"its neighbour does not learn of an update", floods},
    {"it does not learn of its neighbour's update", is_flooded},
    {"it does not say how it is", has_status},
};

static void pause_shortly(void)
{
    const struct timespec pause = {.tv_nsec = 2000000};
    nanosleep(&pause, NULL);
}

/* Asks again until it is done. False: the server has ended. */
static bool insist(struct play *play, struct life *life, size_t wish)
{
    time_t end = time(NULL) + PATIENCE_S;
    while (!wishes[wish].is_done(play)) {
        if (has_ended(life, WNOHANG))
            return false;
        if (time(NULL) > end)
            complain(play, "Hill", wishes[wish].what);
        pause_shortly();
    }
    return true;
}

static bool has_said_why(const struct play *play)
{
    char *path = testing_path(play->folder, "Hill");
    char *log = testing_read_file(path);
    bool is_said = strstr(log, "herd-server: ") != NULL;
    free(log);
    free(path);
    return is_said;
}

/* A server that did not come to the end of the play. */
static void check_end(const struct play *play, const struct life *life)
{
    bool is_refusal = WIFEXITED(life->status) && WEXITSTATUS(life->status) == 1;
    bool has_served = play->told == play->number;
    if (!is_refusal || has_served || !*play->fired)
        complain(play, "Hill", "it has not ended as it should");
    if (!has_said_why(play))
        complain(play, "Hill", "it does not say why it could not start");
}

static void begin_neighbour(struct play *play)
{
    time_t end = time(NULL) + PATIENCE_S;
    int fd;
    play->neighbour = begin(play, "Jaquez", false);
    while ((fd = dial_port(play->jaquez)) < 0 && time(NULL) <= end)
        pause_shortly();
    assert_true(fd >= 0);
    close(fd);
}

static void end_neighbour(struct play *play)
{
    kill(play->neighbour.pid, SIGTERM);
    has_ended(&play->neighbour, 0);
    assert_int_equal(play->neighbour.status, 0);
}

static void live(struct play *play)
{
    const size_t wish_count = sizeof(wishes) / sizeof(*wishes);
    size_t done = 0;
    *play->fired = false;
    play->number++;
    if (play->number % LIVES_OF_NEIGHBOUR == 0) {
        end_neighbour(play);
        begin_neighbour(play);
    }
    struct life life = begin(play, "Hill", true);
    while (done < wish_count && insist(play, &life, done))
        done++;
    if (done < wish_count) {
        check_end(play, &life);
        return;
    }
    kill(life.pid, SIGHUP);
    kill(life.pid, SIGTERM);
    time_t end = time(NULL) + PATIENCE_S;
    while (!has_ended(&life, WNOHANG) && time(NULL) <= end)
        pause_shortly();
    if (life.pid != 0 || !WIFEXITED(life.status) || WEXITSTATUS(life.status) != 0)
        complain(play, "Hill", "it has not stopped as it should");
}

static void play_all(struct play *play, enum fault first, enum fault end)
{
    for (play->fault = first; play->fault < end; play->fault++) {
        struct timespec began, ended;
        clock_gettime(CLOCK_MONOTONIC, &began);
        play->nth = 0;
        do {
            play->nth++;
            live(play);
        } while (*play->fired);
        clock_gettime(CLOCK_MONOTONIC, &ended);
        print_message(
            "%s: %u failed, one in a life, %ld ms\n", fault_name(play->fault), play->nth - 1,
            (ended.tv_sec - began.tv_sec) * 1000 + (ended.tv_nsec - began.tv_nsec) / 1000000);
        assert_true(play->nth > 1); /* else the play does not come to it */
    }
}

static void test_each_call_fails_once(void **state)
{
    play_all(*state, 0, FAULT_OF_PROVIDER);
}

static void test_each_call_of_a_provider_fails_once(void **state)
{
    play_all(*state, FAULT_OF_PROVIDER, FAULT_COUNT);
}

static int setup_with(void **state, bool has_provider)
{
    struct play *play = calloc(1, sizeof(*play));
    assert_non_null(play);
    play->has_provider = has_provider;
    if (has_provider)
        standin_start(&play->standin, NULL, NULL);
    json_set_alloc_funcs(malloc, free); /* these fail; jansson's own would not */
    play->folder = testing_make_folder();
    play->hill_fd = testing_reserve_port(&play->hill);
    play->jaquez_fd = testing_reserve_port(&play->jaquez);
    play->fired =
        mmap(NULL, sizeof(bool), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(play->fired != MAP_FAILED);
    write_config(play);
    begin_neighbour(play);
    *state = play;
    return 0;
}

static int setup(void **state)
{
    return setup_with(state, false);
}

static int setup_provider(void **state)
{
    return setup_with(state, true);
}

static int teardown(void **state)
{
    struct play *play = *state;
    end_neighbour(play);
    if (play->has_provider)
        standin_stop(&play->standin);
    munmap(play->fired, sizeof(bool));
    close(play->hill_fd);
    close(play->jaquez_fd);
    testing_remove_folder(play->folder);
    free(play->config);
    free(play);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_each_call_fails_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_each_call_of_a_provider_fails_once, setup_provider,
                                        teardown),
    };
    return cmocka_run_group_tests_name("server_faults", tests, NULL, NULL);
}
