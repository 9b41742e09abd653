/*
 * Crowds: connections that a server must bear without others noticing. They do not check what a
 * server says, they are there to be a nuisance; how others fare meanwhile, a load tells.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <herd/err.h>

#include "herd_bench.h"

enum { SECOND_PARTS = 1000, FLOOD_LINES = 256, LONG_BYTES = 64 * 1024 };

struct crowd {
    const struct bench_options *options;
    int *fds;
    unsigned count;
    uint64_t done; /* connections made, or bytes sent */
    struct herd_buf lines;
};

struct pace {
    uint64_t told; /* `done` when it was told last */
    int64_t told_ns;
};

static volatile sig_atomic_t stopped;

static void on_stop(int number)
{
    (void)number;
    stopped = 1;
}

static void rest_ns(int64_t ns)
{
    const struct timespec rest = {ns / HERD_NS_PER_S, ns % HERD_NS_PER_S};
    if (ns > 0)
        nanosleep(&rest, NULL);
}

static int open_all(struct crowd *crowd)
{
    const struct bench_options *options = crowd->options;
    for (; crowd->count < (unsigned)options->connections && !stopped; crowd->count++) {
        int fd = bench_connect(&options->targets[crowd->count % options->target_count]);
        if (fd < 0)
            return fd;
        crowd->fds[crowd->count] = fd;
    }
    return 0;
}

static void drop(int fd)
{
    char bytes[4096];
    while (recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
        continue;
}

/* The n-th of SECOND_PARTS turns a second of each kind. */

static int turn_idle(struct crowd *crowd, uint64_t n)
{
    (void)crowd;
    (void)n;
    return 0;
}

/* A byte a second each: an IAMAT that takes a minute. */
static int turn_slow(struct crowd *crowd, uint64_t n)
{
    static const char line[] = "IAMAT slow-client +34.068930-118.445127 1700000000\n";
    uint64_t byte = n / SECOND_PARTS % (sizeof(line) - 1);
    for (uint64_t i = n % SECOND_PARTS; i < crowd->count; i += SECOND_PARTS) {
        if (send(crowd->fds[i], &line[byte], 1, MSG_NOSIGNAL) == 1)
            crowd->done++;
        if (byte == 0)
            drop(crowd->fds[i]);
    }
    return 0;
}

/* --rate new connections a second; each asks once, and the oldest of --connections is closed. */
static int turn_churn(struct crowd *crowd, uint64_t n)
{
    const struct bench_options *options = crowd->options;
    uint64_t wanted = (uint64_t)((double)(n + 1) * options->rate / SECOND_PARTS);
    for (; crowd->done < wanted; crowd->done++) {
        int *fd = &crowd->fds[crowd->done % crowd->count];
        if (*fd >= 0)
            close(*fd);
        *fd = bench_connect(&options->targets[crowd->done % options->target_count]);
        if (*fd < 0)
            return HERD_EIO;
        send(*fd, "WHATSAT nobody 1 1\n", 19, MSG_NOSIGNAL);
    }
    return 0;
}

/* Asks as much as the socket takes, and never reads. */
static int turn_deaf(struct crowd *crowd, uint64_t n)
{
    (void)n;
    for (unsigned i = 0; i < crowd->count; i++) {
        ssize_t sent;
        /* Whole buffers only matter at the start: half a line is completed by no one's plan. */
        while ((sent = send(crowd->fds[i], crowd->lines.data, crowd->lines.len, MSG_NOSIGNAL)) > 0)
            crowd->done += (uint64_t)sent;
    }
    return 0;
}

/* True: the server has closed it, or its answer to a line that is too long has come to an end. */
static bool has_ended(int fd)
{
    char bytes[8192];
    ssize_t len = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
    return len == 0 || (len < 0 && errno != EAGAIN);
}

/* A line that does not end, as fast as it goes; who is closed for it comes again. */
static int turn_long(struct crowd *crowd, uint64_t n)
{
    static char bytes[LONG_BYTES];
    if (n == 0)
        memset(bytes, 'x', sizeof(bytes));
    for (unsigned i = 0; i < crowd->count; i++) {
        int *fd = &crowd->fds[i];
        ssize_t sent = send(*fd, bytes, sizeof(bytes), MSG_NOSIGNAL);
        crowd->done += sent > 0 ? (uint64_t)sent : 0;
        if (!has_ended(*fd))
            continue;
        close(*fd);
        *fd = bench_connect(&crowd->options->targets[i % crowd->options->target_count]);
        if (*fd < 0)
            return HERD_EIO;
    }
    return 0;
}

static const struct crowd_kind {
    const char *name, *text;
    int (*turn)(struct crowd *crowd, uint64_t n);
    bool opens; /* all connections before the first turn */
} kinds[] = {
    {"idle", "connected, and silent", turn_idle, true},
    {"slow", "a byte a second each", turn_slow, true},
    {"churn", "--rate new connections a second, --connections at once", turn_churn, false},
    {"long", "a line without an end each, as fast as it goes, and anew", turn_long, true},
    {"deaf", "asking without end, never reading", turn_deaf, true},
};

enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

const char *bench_crowd_kind(unsigned i, const char **out_text)
{
    if (i >= KINDS)
        return NULL;
    *out_text = kinds[i].text;
    return kinds[i].name;
}

static const struct crowd_kind *find_kind(const char *name)
{
    for (unsigned i = 0; i < KINDS; i++)
        if (strcmp(kinds[i].name, name) == 0)
            return &kinds[i];
    return NULL;
}

/* Whether it keeps its pace decides what others' latencies are worth. */
static void tell_pace(const struct crowd *crowd, const struct crowd_kind *kind, int64_t now_ns,
                      struct pace *pace)
{
    if (now_ns - pace->told_ns < HERD_NS_PER_S)
        return;
    printf("crowd %s: %.0f a second\n", kind->name,
           (double)(crowd->done - pace->told) * 1e9 / (double)(now_ns - pace->told_ns));
    fflush(stdout);
    *pace = (struct pace){crowd->done, now_ns};
}

static int run(struct crowd *crowd, const struct crowd_kind *kind)
{
    int64_t start_ns = bench_mono_ns();
    int64_t end_ns = start_ns + (int64_t)(crowd->options->duration_s * 1e9);
    struct pace pace = {crowd->done, start_ns};
    int rc = 0;
    for (uint64_t n = 0; rc == 0 && !stopped && bench_mono_ns() < end_ns; n++) {
        rc = kind->turn(crowd, n);
        tell_pace(crowd, kind, bench_mono_ns(), &pace);
        rest_ns(start_ns + (int64_t)(n + 1) * (HERD_NS_PER_S / SECOND_PARTS) - bench_mono_ns());
    }
    return rc;
}

static int prepare(struct crowd *crowd)
{
    const struct sigaction stop = {.sa_handler = on_stop, .sa_flags = SA_RESTART};
    sigaction(SIGTERM, &stop, NULL);
    sigaction(SIGINT, &stop, NULL);
    unsigned count = (unsigned)crowd->options->connections;
    crowd->fds = malloc(count * sizeof(*crowd->fds));
    for (unsigned i = 0; crowd->fds != NULL && i < count; i++)
        crowd->fds[i] = -1;
    for (int i = 0; i < FLOOD_LINES; i++)
        if (herd_buf_append_text(&crowd->lines, "WHATSAT nobody-is-called-so 10 20\n") < 0)
            return HERD_ENOMEM;
    return crowd->fds != NULL ? 0 : HERD_ENOMEM;
}

int bench_crowd(const struct bench_options *options)
{
    struct crowd crowd = {.options = options};
    const struct crowd_kind *kind = find_kind(options->crowd);
    if (kind == NULL) {
        fprintf(stderr, "herd-bench: --crowd: no kind \"%s\"\n", options->crowd);
        return HERD_EINVAL;
    }
    int rc = prepare(&crowd);
    if (rc < 0)
        fprintf(stderr, "herd-bench: %s\n", herd_strerror(rc));
    if (rc == 0 && kind->opens)
        rc = open_all(&crowd);
    else
        crowd.count = (unsigned)options->connections;
    if (rc == 0) {
        printf("crowd %s: %u connections\n", kind->name, crowd.count);
        fflush(stdout);
        rc = run(&crowd, kind);
        printf("crowd %s: %llu done\n", kind->name, (unsigned long long)crowd.done);
    }
    for (unsigned i = 0; crowd.fds != NULL && i < crowd.count; i++)
        if (crowd.fds[i] >= 0)
            close(crowd.fds[i]);
    free(crowd.fds);
    herd_buf_free(&crowd.lines);
    return rc;
}
