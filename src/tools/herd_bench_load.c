/*
 * The load: connect -> pump (requests due -> one send) -> readable -> check each answer -> pump.
 *
 * Closed loop: each connection sends `pipeline` requests in one write, and the next ones when all
 * of them are answered. A latency counts from that write.
 * Open loop (a rate): request i is due at start + i / rate, at connection i modulo their number.
 * One that cannot be sent then, because `pipeline` requests of its connection are not answered yet,
 * is sent later and its latency counts from when it was due: a stall of the server is charged to
 * all that came due in it. What is due and not sent is a number a connection, no queue. At the end
 * what came due is still sent and waited for, for as long as the silence that is allowed; what is
 * not sent even then counts with the age that it has.
 *
 * A wrong answer, an end of a connection, or no answer in time ends the run.
 */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include <herd/err.h>

#include "herd_bench.h"
#include "herd_bench_places.h"
#include "herd_bench_process.h"
#include "herd_bench_watch.h"

enum {
    INPUT_BYTES = 1 << 20,
    EVENTS_MAX = 256,
    TOLD_MAX = 300, /* bytes of a wrong answer that are shown */
    IDLE_MAX_MS = 100
};

struct connection {
    struct bench_source source; /* must be first */
    struct load *load;
    int fd;
    unsigned target;
    bool wants_write;
    struct request *ring; /* in flight: [first, first + count) modulo the pipeline */
    unsigned first, count;
    uint64_t due, taken;           /* open loop: requests that came due, and were sent */
    uint64_t number;               /* of this connection */
    struct herd_buf input, output; /* half an answer; what the socket did not take */
    struct peer_name name;
};

struct load {
    struct bench_source alarm; /* when a request is due */
    int alarm_fd;
    const struct bench_options *options;
    const struct speech *speech;
    struct bench_result *result;
    struct maker maker;
    struct watch *watch;
    struct connection *connections;
    unsigned connection_count, pipeline;
    int poller;
    char *input, *output;
    uint64_t issued, limit;
    uint64_t due;                         /* open loop: requests that came due in all */
    int64_t start_ns, measure_ns, end_ns; /* monotonic */
    int64_t heard_ns;                     /* when the last answer came */
    int64_t cpu_before_ns[BENCH_PIDS_MAX], own_before_ns;
    bool measuring, stopping, failed;
};

int64_t bench_mono_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * HERD_NS_PER_S + now.tv_nsec;
}

int64_t bench_wall_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * HERD_NS_PER_S + now.tv_nsec;
}

int bench_connect(const struct bench_target *target)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *address;
    int one = 1;
    int rc = getaddrinfo(target->host, target->port, &hints, &address);
    if (rc != 0) {
        fprintf(stderr, "herd-bench: %s: %s\n", target->host, gai_strerror(rc));
        return HERD_EIO;
    }
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    rc = fd < 0 ? -1 : connect(fd, address->ai_addr, address->ai_addrlen);
    freeaddrinfo(address);
    if (rc != 0 || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) != 0 ||
        fcntl(fd, F_SETFL, O_NONBLOCK) != 0) {
        fprintf(stderr, "herd-bench: %s:%s: %s\n", target->host, target->port, strerror(errno));
        if (fd >= 0)
            close(fd);
        return HERD_EIO;
    }
    return fd;
}

static void fail(struct load *load, const struct connection *connection, const char *what)
{
    const struct bench_target *target = &load->options->targets[connection->target];
    if (!load->failed)
        fprintf(stderr, "herd-bench: connection %llu to %s:%s: %s\n",
                (unsigned long long)connection->number, target->host, target->port, what);
    load->failed = true;
}

/* ---- Out ------------------------------------------------------------------------------------ */

static void watch_write(struct load *load, struct connection *connection, bool on)
{
    struct epoll_event event = {.events = EPOLLIN | (on ? EPOLLOUT : 0U), .data.ptr = connection};
    if (connection->wants_write != on)
        epoll_ctl(load->poller, EPOLL_CTL_MOD, connection->fd, &event);
    connection->wants_write = on;
}

/* Sends `len` bytes, or keeps what the socket does not take. */
static void send_bytes(struct load *load, struct connection *connection, const char *data,
                       size_t len)
{
    ssize_t sent = connection->output.len > 0 ? 0 : send(connection->fd, data, len, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) {
        fail(load, connection, strerror(errno));
        return;
    }
    size_t done = sent > 0 ? (size_t)sent : 0;
    if (done == len)
        return;
    if (herd_buf_append(&connection->output, data + done, len - done) < 0)
        fail(load, connection, "out of memory");
    watch_write(load, connection, true);
}

static void on_writable(struct load *load, struct connection *connection)
{
    struct herd_buf *output = &connection->output;
    ssize_t sent = send(connection->fd, output->data, output->len, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN)
        fail(load, connection, strerror(errno));
    if (sent > 0)
        herd_buf_consume(output, (size_t)sent);
    if (output->len == 0)
        watch_write(load, connection, false);
}

/* Makes the next request into the ring; its bytes are appended at `out`. */
static size_t make_request(struct load *load, struct connection *connection, int64_t due_ns,
                           char *out)
{
    unsigned at = connection->first + connection->count++;
    struct request *request = &connection->ring[at < load->pipeline ? at : at - load->pipeline];
    request->due_ns = due_ns;
    request->client = maker_next_client(&load->maker, connection->target);
    load->issued++;
    size_t len = load->speech->say(&load->maker, request, out);
    if (load->watch != NULL && !request->is_question &&
        watch_update(load->watch, request, due_ns >= load->measure_ns) < 0)
        fail(load, connection, "an update before the one before of its client is everywhere");
    return len;
}

/* Closed loop: until the end. Open loop: what came due until then, also afterwards. */
static bool may_issue(const struct load *load)
{
    return load->issued < load->limit && (!load->stopping || load->options->rate > 0);
}

/* When the n-th request of a connection is due. */
static int64_t due_time(const struct load *load, const struct connection *connection, uint64_t n)
{
    double at = (double)(connection->number + n * load->connection_count) / load->options->rate;
    return load->start_ns + (int64_t)(at * 1e9);
}

/* Sends all that may be sent on this connection, in one write. */
static void pump(struct load *load, struct connection *connection)
{
    bool open = load->options->rate > 0;
    size_t len = 0;
    if (!open && connection->count > 0)
        return;
    int64_t now_ns = open ? 0 : bench_mono_ns();
    while (connection->count < load->pipeline && may_issue(load) &&
           (!open || connection->taken < connection->due)) {
        if (open)
            now_ns = due_time(load, connection, connection->taken++);
        len += make_request(load, connection, now_ns, load->output + len);
    }
    if (len > 0)
        send_bytes(load, connection, load->output, len);
}

static void on_alarm(struct bench_source *source, uint32_t events)
{
    struct load *load = (struct load *)source; /* its first member */
    uint64_t times;
    (void)events;
    if (read(load->alarm_fd, &times, sizeof(times)) < 0 && errno != EAGAIN)
        load->failed = true;
}

static void set_alarm(struct load *load, int64_t at_ns)
{
    const struct itimerspec at = {
        .it_value = {at_ns / HERD_NS_PER_S, at_ns % HERD_NS_PER_S},
    };
    timerfd_settime(load->alarm_fd, TFD_TIMER_ABSTIME, &at, NULL);
}

/* Open loop: gives each request that has come due to its connection, and sets the alarm for the
 * next one. */
static void take_due(struct load *load, int64_t now_ns)
{
    uint64_t first = load->due;
    double rate = load->options->rate;
    uint64_t due = (uint64_t)((double)(now_ns - load->start_ns) / 1e9 * rate) + 1;
    for (; load->due < due && load->due < load->limit; load->due++)
        load->connections[load->due % load->connection_count].due++;
    uint64_t touched = load->due - first;
    if (touched > load->connection_count)
        touched = load->connection_count;
    for (uint64_t i = 0; i < touched; i++)
        pump(load, &load->connections[(first + i) % load->connection_count]);
    if (touched > 0)
        set_alarm(load, load->start_ns + (int64_t)((double)load->due / rate * 1e9));
}

/* ---- In ------------------------------------------------------------------------------------- */

static void tell_wrong(struct load *load, const struct connection *connection, const char *data,
                       size_t len)
{
    const struct request *request = &connection->ring[connection->first];
    load->result->wrong++;
    fail(load, connection, "a wrong answer");
    fprintf(stderr, "  asked: %.*s\n  answer: %.*s\n", request->echo_len, request->echo,
            (int)(len < TOLD_MAX ? len : TOLD_MAX), data);
}

static void take_answer(struct load *load, struct connection *connection, int64_t now_ns)
{
    const struct request *request = &connection->ring[connection->first];
    struct bench_result *result = load->result;
    result->answered++;
    if (load->measuring && request->due_ns >= load->measure_ns) {
        struct histogram *latency =
            request->is_question ? &result->question_latency : &result->latency;
        histogram_add(latency, now_ns - request->due_ns);
    }
    if (load->maker.acked != NULL && !request->is_question &&
        load->maker.acked[request->client].sent_ns < request->sent_ns)
        load->maker.acked[request->client] = (struct acked){request->sent_ns, request->diff_ns};
    connection->first = connection->first + 1 < load->pipeline ? connection->first + 1 : 0;
    connection->count--;
}

/* The bytes of the next answer, or what is wrong with it: with itself, or with what neighbours were
 * told of the update that it is about. */
static long check_answer(struct load *load, struct connection *connection, const char *at,
                         size_t len)
{
    struct request *request = &connection->ring[connection->first];
    long used = load->speech->check(&load->maker, request, &connection->name, at, len);
    if (used > 0 && load->watch != NULL && !request->is_question &&
        !watch_answered(load->watch, request, &connection->name))
        return SPEECH_WRONG;
    return used;
}

/* Takes whole answers from what came; what is left of the last one is kept. */
static void take_answers(struct load *load, struct connection *connection, size_t len,
                         int64_t now_ns)
{
    const char *at = load->input, *end = at + len;
    long used = 1;
    while (at < end && connection->count > 0) {
        used = check_answer(load, connection, at, (size_t)(end - at));
        if (used <= 0)
            break;
        take_answer(load, connection, now_ns);
        at += used;
    }
    if (used == SPEECH_WRONG)
        tell_wrong(load, connection, at, (size_t)(end - at));
    else if (at < end && connection->count == 0) {
        load->result->wrong++;
        fail(load, connection, "an answer that nothing was asked for");
    } else if (herd_buf_append(&connection->input, at, (size_t)(end - at)) < 0)
        fail(load, connection, "out of memory");
}

static void on_readable(struct load *load, struct connection *connection)
{
    size_t kept = connection->input.len;
    if (kept > 0)
        memcpy(load->input, connection->input.data, kept);
    ssize_t len = recv(connection->fd, load->input + kept, INPUT_BYTES - kept, 0);
    if (len < 0 && errno == EAGAIN)
        return;
    if (len <= 0) {
        fail(load, connection, len == 0 ? "the server has closed it" : strerror(errno));
        return;
    }
    connection->input.len = 0;
    load->heard_ns = bench_mono_ns();
    take_answers(load, connection, kept + (size_t)len, load->heard_ns);
    if (!load->failed)
        pump(load, connection);
}

/* ---- The run -------------------------------------------------------------------------------- */

static void on_ready(struct bench_source *source, uint32_t events)
{
    struct connection *connection = (struct connection *)source;
    if (events & EPOLLOUT)
        on_writable(connection->load, connection);
    if (events & ~(uint32_t)EPOLLOUT)
        on_readable(connection->load, connection);
}

/* A process that is gone takes what it has used with it: such a run has failed. */
static void read_cpu(struct load *load, int64_t *pid_ns, int64_t *own_ns)
{
    struct timespec own;
    for (unsigned i = 0; i < load->options->pid_count; i++) {
        if (process_cpu_ns(load->options->pids[i], &pid_ns[i]) < 0 && !load->failed) {
            fprintf(stderr, "herd-bench: process %d has ended\n", load->options->pids[i]);
            load->failed = true;
        }
    }
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &own);
    *own_ns = (int64_t)own.tv_sec * HERD_NS_PER_S + own.tv_nsec;
}

static void begin_measuring(struct load *load, int64_t now_ns)
{
    load->measuring = true;
    load->measure_ns = now_ns;
    load->result->measured = load->result->answered;
    read_cpu(load, load->cpu_before_ns, &load->own_before_ns);
}

static void end_measuring(struct load *load, int64_t now_ns)
{
    struct bench_result *result = load->result;
    int64_t own_ns;
    load->stopping = true;
    if (!load->measuring)
        begin_measuring(load, now_ns);
    result->measured = result->answered - result->measured;
    result->elapsed_ns = now_ns - load->measure_ns;
    read_cpu(load, result->pid_cpu_ns, &own_ns);
    result->own_cpu_ns = own_ns - load->own_before_ns;
    for (unsigned i = 0; i < load->options->pid_count; i++) {
        result->pid_cpu_ns[i] -= load->cpu_before_ns[i];
        result->server_cpu_ns += result->pid_cpu_ns[i];
        result->pid_rss_kib[i] = process_rss_kib(load->options->pids[i]);
    }
    if (load->options->rate > 0) {
        take_due(load, now_ns < load->end_ns ? now_ns : load->end_ns);
        load->limit = load->due;
        result->late = load->due - load->issued;
    }
}

/* Open loop: what came due and was not sent in all the time allowed has waited for so long at
 * least. */
static void give_up_unsent(struct load *load, int64_t now_ns)
{
    load->result->unsent = load->due - load->issued;
    for (unsigned i = 0; i < load->connection_count; i++) {
        struct connection *connection = &load->connections[i];
        for (; connection->taken < connection->due; connection->taken++) {
            int64_t due_ns = due_time(load, connection, connection->taken);
            if (due_ns >= load->measure_ns)
                histogram_add(&load->result->latency, now_ns - due_ns);
        }
    }
    load->limit = load->issued;
}

static bool is_done(const struct load *load)
{
    return load->failed || watch_wrong(load->watch) > 0 ||
           (load->result->answered == load->issued && watch_missing(load->watch) == 0 &&
            !may_issue(load));
}

static int64_t allowed_silence_ns(const struct load *load)
{
    return (int64_t)(load->options->timeout_s * 1e9);
}

static void check_silence(struct load *load, int64_t now_ns)
{
    bool waits = load->result->answered < load->issued || watch_missing(load->watch) > 0;
    if (waits && now_ns - load->heard_ns > allowed_silence_ns(load)) {
        fprintf(stderr,
                "herd-bench: %llu requests without an answer for %g s, %llu not everywhere\n",
                (unsigned long long)(load->issued - load->result->answered),
                load->options->timeout_s, (unsigned long long)watch_missing(load->watch));
        load->failed = true;
    } else if (!waits) {
        load->heard_ns = now_ns;
    }
}

static void advance(struct load *load)
{
    int64_t now_ns = bench_mono_ns();
    if (!load->measuring && now_ns >= load->measure_ns)
        begin_measuring(load, now_ns);
    if (!load->stopping && now_ns >= load->end_ns)
        end_measuring(load, now_ns);
    if (load->options->rate > 0 && !load->stopping && may_issue(load))
        take_due(load, now_ns);
    if (load->stopping && may_issue(load) && now_ns - load->end_ns > allowed_silence_ns(load))
        give_up_unsent(load, now_ns);
    check_silence(load, now_ns);
}

static void run_loop(struct load *load)
{
    struct epoll_event events[EVENTS_MAX];
    if (load->measure_ns == load->start_ns)
        begin_measuring(load, load->start_ns);
    for (unsigned i = 0; load->options->rate <= 0 && i < load->connection_count; i++)
        pump(load, &load->connections[i]);
    while (!is_done(load)) {
        advance(load);
        int count = epoll_wait(load->poller, events, EVENTS_MAX, IDLE_MAX_MS);
        for (int i = 0; i < count && !load->failed; i++) {
            struct bench_source *source = events[i].data.ptr;
            source->ready(source, events[i].events);
        }
    }
    if (!load->stopping)
        end_measuring(load, bench_mono_ns());
}

static int open_connection(struct load *load, unsigned number)
{
    struct connection *connection = &load->connections[number];
    connection->source.ready = on_ready;
    connection->load = load;
    connection->number = number;
    connection->target = number % load->options->target_count;
    connection->ring = calloc(load->pipeline, sizeof(*connection->ring));
    if (connection->ring == NULL)
        return HERD_ENOMEM;
    connection->fd = bench_connect(&load->options->targets[connection->target]);
    if (connection->fd < 0)
        return HERD_EIO;
    if (load->options->server_count > 0) {
        const char *name = load->options->servers[connection->target];
        connection->name.len = (uint8_t)strlen(name);
        memcpy(connection->name.text, name, connection->name.len);
    }
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    return epoll_ctl(load->poller, EPOLL_CTL_ADD, connection->fd, &event) == 0 ? 0 : HERD_EIO;
}

static int open_load(struct load *load)
{
    const struct bench_options *options = load->options;
    load->connection_count = (unsigned)options->connections;
    load->pipeline = (unsigned)options->pipeline;
    load->poller = epoll_create1(EPOLL_CLOEXEC);
    load->connections = calloc(load->connection_count, sizeof(*load->connections));
    for (unsigned i = 0; load->connections != NULL && i < load->connection_count; i++)
        load->connections[i].fd = -1;
    load->input = malloc(INPUT_BYTES);
    load->output = malloc((size_t)load->pipeline * BENCH_REQUEST_MAX);
    if (options->whatsat_share > 0)
        load->maker.acked = calloc((size_t)options->clients, sizeof(*load->maker.acked));
    load->alarm_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    struct epoll_event alarm = {.events = EPOLLIN, .data.ptr = &load->alarm};
    if (load->poller < 0 || load->alarm_fd < 0 ||
        epoll_ctl(load->poller, EPOLL_CTL_ADD, load->alarm_fd, &alarm) != 0) {
        fprintf(stderr, "herd-bench: %s\n", strerror(errno));
        return HERD_EIO;
    }
    if (load->connections == NULL || load->input == NULL || load->output == NULL ||
        (options->whatsat_share > 0 && load->maker.acked == NULL))
        return HERD_ENOMEM;
    int rc = options->places != NULL ? bench_places_open(options->places, &load->maker.places) : 0;
    for (unsigned i = 0; rc == 0 && i < load->connection_count; i++)
        rc = open_connection(load, i);
    if (rc == 0)
        rc = watch_open(&load->maker, load->poller, &load->watch);
    return rc;
}

static void close_load(struct load *load)
{
    for (unsigned i = 0; load->connections != NULL && i < load->connection_count; i++) {
        struct connection *connection = &load->connections[i];
        if (connection->fd >= 0)
            close(connection->fd);
        free(connection->ring);
        herd_buf_free(&connection->input);
        herd_buf_free(&connection->output);
    }
    watch_close(load->watch);
    if (load->alarm_fd >= 0)
        close(load->alarm_fd);
    if (load->poller >= 0)
        close(load->poller);
    free(load->connections);
    bench_places_close(load->maker.places);
    free(load->maker.acked);
    free(load->input);
    free(load->output);
}

int bench_load(const struct bench_options *options, struct bench_result *out)
{
    struct load load = {.options = options,
                        .result = out,
                        .speech = speech_find(options->speech),
                        .alarm = {on_alarm}};
    load.maker = (struct maker){.options = options, .random = (uint64_t)options->seed};
    load.limit = options->requests > 0 ? (uint64_t)options->requests : UINT64_MAX;
    int rc = open_load(&load);
    if (rc == HERD_ENOMEM)
        fputs("herd-bench: out of memory\n", stderr);
    if (rc == 0) {
        double end_s = options->duration_s > 0 ? options->warmup_s + options->duration_s : 1e9;
        load.start_ns = load.heard_ns = bench_mono_ns();
        load.measure_ns = load.start_ns + (int64_t)(options->warmup_s * 1e9);
        load.end_ns = load.start_ns + (int64_t)(end_s * 1e9);
        run_loop(&load);
        watch_result(load.watch, out);
        rc = load.failed || watch_wrong(load.watch) > 0 ? HERD_EPROTO : 0;
    }
    close_load(&load);
    return rc;
}
