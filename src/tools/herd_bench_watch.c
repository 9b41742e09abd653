/*
 * open -> a server dials -> HELLO, refused -> FLOOD lines, each looked up among the updates sent
 *                                          -> not what a client of ours has sent, or not as it was
 *                                             answered, before or after: the run fails
 */
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <herd/err.h>
#include <herd/frame.h>
#include <herd/proto.h>

#include "herd_bench_watch.h"

enum { INPUT_BYTES = 1 << 18, DIALLED_MAX_MS = 30000, TOLD_MAX = 300 };

#define DIFF_UNKNOWN INT64_MIN

/* The last update of a client. */
struct update {
    int64_t due_ns, sent_ns;
    int64_t diff_ns;  /* as the first FLOOD or the answer has it; or DIFF_UNKNOWN */
    uint64_t missing; /* a bit a watcher that has not seen it */
    bool measured;
};

struct link {
    struct bench_source source; /* must be first */
    struct watcher *watcher;
    struct herd_frame frame;
    struct link *next;
    int fd;
};

struct watcher {
    struct bench_source source; /* must be first */
    struct watch *watch;
    unsigned number;
    int fd;
    bool dialled;
};

struct watch {
    struct maker *maker;
    const struct bench_options *options;
    int poller;
    struct peer_name origins[BENCH_TARGETS_MAX]; /* of the targets: who receives an update */
    struct watcher watchers[BENCH_TARGETS_MAX];
    struct link *links;
    struct update *updates;  /* a client each */
    uint64_t missing, wrong; /* updates not everywhere yet; lines that are not what was sent */
    char *input;
    struct histogram seen[BENCH_TARGETS_MAX], everywhere;
};

/* The number of one of our clients, or -1. */
static int64_t client_of(const struct watch *watch, struct herd_slice id)
{
    size_t prefix_len = strlen(watch->options->prefix);
    uint64_t number = 0;
    if (id.len != prefix_len + BENCH_CLIENT_DIGITS ||
        memcmp(id.data, watch->options->prefix, prefix_len) != 0)
        return -1;
    for (size_t i = prefix_len; i < id.len; i++) {
        if (id.data[i] < '0' || id.data[i] > '9')
            return -1;
        number = number * 10 + (uint64_t)(id.data[i] - '0');
    }
    return number < (uint64_t)watch->options->clients ? (int64_t)number : -1;
}

static void tell_wrong(const struct watcher *watcher, const char *what, struct herd_slice line)
{
    const struct bench_target *at = &watcher->watch->options->watches[watcher->number];
    if (watcher->watch->wrong++ > 0)
        return;
    fprintf(stderr, "herd-bench: watch %s:%s: %s\n  line: %.*s\n", at->host, at->port, what,
            (int)(line.len < TOLD_MAX ? line.len : TOLD_MAX), line.data);
}

/* Whether an update of `client` was received by the server of that name, with that difference, as
 * far as is known; from now on it is. */
static bool is_of(struct watch *watch, int64_t client, struct herd_slice name, int64_t diff_ns)
{
    struct update *update = &watch->updates[client];
    struct peer_name *origin = &watch->origins[client % watch->options->target_count];
    if (origin->len == 0 && name.len <= BENCH_NAME_MAX) {
        origin->len = (uint8_t)name.len;
        memcpy(origin->text, name.data, name.len);
    }
    if (update->diff_ns == DIFF_UNKNOWN)
        update->diff_ns = diff_ns;
    return update->diff_ns == diff_ns &&
           herd_slice_equal(herd_slice(origin->text, origin->len), name);
}

bool watch_answered(struct watch *watch, const struct request *request,
                    const struct peer_name *name)
{
    return watch->updates[request->client].sent_ns != request->sent_ns ||
           is_of(watch, request->client, herd_slice(name->text, name->len), request->diff_ns);
}

/* An update of one of our clients, by its number, is at a server. */
static void see(struct watch *watch, unsigned number, int64_t client, int64_t now_ns)
{
    uint64_t bit = UINT64_C(1) << number;
    struct update *update = &watch->updates[client];
    if ((update->missing & bit) == 0)
        return;
    update->missing &= ~bit;
    if (update->measured)
        histogram_add(&watch->seen[number], now_ns - update->due_ns);
    if (update->missing > 0)
        return;
    watch->missing--;
    if (update->measured)
        histogram_add(&watch->everywhere, now_ns - update->due_ns);
}

/* Of an update that is not the last one of its client the answer is not known any more. */
static void take_flood(const struct watcher *watcher, struct herd_slice line,
                       const struct herd_record *record, int64_t now_ns)
{
    struct watch *watch = watcher->watch;
    int64_t client = client_of(watch, record->client), diff_ns;
    if (client < 0)
        return;
    bool is_last = record->sent_ns == watch->updates[client].sent_ns;
    if (!speech_said(watch->options, (uint32_t)client, record))
        tell_wrong(watcher, "what no client has sent", line);
    else if (!speech_received(watch->maker, record, &diff_ns))
        tell_wrong(watcher, "it cannot have been received then", line);
    else if (is_last && !is_of(watch, client, record->origin, diff_ns))
        tell_wrong(watcher, "not as it was answered, or told elsewhere", line);
    else if (is_last)
        see(watch, watcher->number, client, now_ns);
}

/* 0, or negative for a link that cannot go on. */
static int take_line(struct link *link, struct herd_slice line, int64_t now_ns)
{
    struct herd_command command;
    if (herd_command_parse(line, &command) < 0)
        return HERD_EPROTO;
    if (command.verb == HERD_VERB_FLOOD) {
        take_flood(link->watcher, line, &command.record, now_ns);
        return 0;
    }
    struct herd_buf answer = {0};
    int rc = herd_append_invalid(&answer, line);
    if (rc == 0 && send(link->fd, answer.data, answer.len, MSG_NOSIGNAL) != (ssize_t)answer.len)
        rc = HERD_EIO;
    herd_buf_free(&answer);
    return rc;
}

static void end_link(struct link *link)
{
    if (link->fd >= 0)
        close(link->fd);
    link->fd = -1;
    herd_frame_free(&link->frame);
}

static void on_lines(struct bench_source *source, uint32_t events)
{
    struct link *link = (struct link *)source;
    struct watch *watch = link->watcher->watch;
    (void)events;
    ssize_t len = recv(link->fd, watch->input, INPUT_BYTES, MSG_DONTWAIT);
    if (len < 0 && errno == EAGAIN)
        return;
    struct herd_slice input = herd_slice(watch->input, len > 0 ? (size_t)len : 0);
    struct herd_slice line;
    int64_t now_ns = bench_mono_ns();
    int rc = len > 0 ? 1 : HERD_ECLOSED;
    while (rc > 0 && (rc = herd_frame_next(&link->frame, &input, &line)) > 0) {
        int taken = take_line(link, line, now_ns);
        rc = taken < 0 ? taken : 1;
    }
    if (rc < 0)
        end_link(link);
}

static void on_dialled(struct bench_source *source, uint32_t events)
{
    struct watcher *watcher = (struct watcher *)source;
    struct watch *watch = watcher->watch;
    struct link *link = calloc(1, sizeof(*link));
    (void)events;
    if (link == NULL)
        return;
    *link = (struct link){.source = {on_lines}, .watcher = watcher, .next = watch->links};
    link->fd = accept4(watcher->fd, NULL, NULL, SOCK_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = link};
    watch->links = link;
    watcher->dialled = true;
    if (link->fd >= 0 && epoll_ctl(watch->poller, EPOLL_CTL_ADD, link->fd, &event) != 0)
        end_link(link);
}

static int open_watcher(struct watch *watch, unsigned number)
{
    const struct bench_target *at = &watch->options->watches[number];
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_NUMERICSERV | AI_PASSIVE};
    struct watcher *watcher = &watch->watchers[number];
    struct addrinfo *address;
    int one = 1;
    *watcher = (struct watcher){.source = {on_dialled}, .watch = watch, .number = number, .fd = -1};
    int rc = getaddrinfo(at->host, at->port, &hints, &address);
    if (rc != 0) {
        fprintf(stderr, "herd-bench: %s: %s\n", at->host, gai_strerror(rc));
        return HERD_EIO;
    }
    watcher->fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = watcher};
    rc = watcher->fd >= 0 &&
                 setsockopt(watcher->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) == 0 &&
                 bind(watcher->fd, address->ai_addr, address->ai_addrlen) == 0 &&
                 listen(watcher->fd, 16) == 0 &&
                 epoll_ctl(watch->poller, EPOLL_CTL_ADD, watcher->fd, &event) == 0
             ? 0
             : HERD_EIO;
    if (rc < 0)
        fprintf(stderr, "herd-bench: watch %s:%s: %s\n", at->host, at->port, strerror(errno));
    freeaddrinfo(address);
    return rc;
}

static unsigned count_dialled(const struct watch *watch)
{
    unsigned dialled = 0;
    for (unsigned i = 0; i < watch->options->watch_count; i++)
        dialled += watch->watchers[i].dialled;
    return dialled;
}

static int wait_dialled(struct watch *watch)
{
    int64_t end_ns = bench_mono_ns() + DIALLED_MAX_MS * HERD_NS_PER_MS;
    struct epoll_event event;
    while (count_dialled(watch) < watch->options->watch_count) {
        if (bench_mono_ns() > end_ns) {
            fputs("herd-bench: not every server has dialled the address it is watched from\n",
                  stderr);
            return HERD_ETIMEDOUT;
        }
        if (epoll_wait(watch->poller, &event, 1, 100) == 1) {
            struct bench_source *source = event.data.ptr;
            source->ready(source, event.events);
        }
    }
    return 0;
}

/* Those that were given; others are learnt from what comes first. */
static void take_names(struct watch *watch)
{
    for (unsigned i = 0; i < watch->options->server_count; i++) {
        const char *name = watch->options->servers[i];
        watch->origins[i].len = (uint8_t)strlen(name);
        memcpy(watch->origins[i].text, name, watch->origins[i].len);
    }
}

int watch_open(struct maker *maker, int poller, struct watch **out)
{
    const struct bench_options *options = maker->options;
    *out = NULL;
    if (options->watch_count == 0)
        return 0;
    struct watch *watch = calloc(1, sizeof(*watch));
    if (watch == NULL)
        return HERD_ENOMEM;
    watch->maker = maker;
    watch->options = options;
    watch->poller = poller;
    take_names(watch);
    watch->input = malloc(INPUT_BYTES);
    watch->updates = calloc((size_t)options->clients, sizeof(*watch->updates));
    int rc = watch->input != NULL && watch->updates != NULL ? 0 : HERD_ENOMEM;
    for (unsigned i = 0; i < options->watch_count; i++)
        watch->watchers[i].fd = -1;
    for (unsigned i = 0; rc == 0 && i < options->watch_count; i++)
        rc = open_watcher(watch, i);
    if (rc == 0)
        rc = wait_dialled(watch);
    if (rc == 0)
        *out = watch;
    else
        watch_close(watch);
    return rc;
}

int watch_update(struct watch *watch, const struct request *request, bool measured)
{
    struct update *update = &watch->updates[request->client];
    unsigned count = watch->options->watch_count;
    if (update->missing > 0)
        return HERD_EBUSY;
    *update = (struct update){.due_ns = request->due_ns,
                              .sent_ns = request->sent_ns,
                              .diff_ns = DIFF_UNKNOWN,
                              .missing = count < 64 ? (UINT64_C(1) << count) - 1 : UINT64_MAX,
                              .measured = measured};
    watch->missing++;
    return 0;
}

uint64_t watch_missing(const struct watch *watch)
{
    return watch != NULL ? watch->missing : 0;
}

uint64_t watch_wrong(const struct watch *watch)
{
    return watch != NULL ? watch->wrong : 0;
}

void watch_result(const struct watch *watch, struct bench_result *out)
{
    if (watch == NULL)
        return;
    out->wrong += watch->wrong;
    memcpy(out->watched, watch->seen, sizeof(out->watched));
    out->everywhere = watch->everywhere;
}

void watch_close(struct watch *watch)
{
    struct link *next;
    if (watch == NULL)
        return;
    for (struct link *link = watch->links; link != NULL; link = next) {
        next = link->next;
        end_link(link);
        free(link);
    }
    for (unsigned i = 0; i < watch->options->watch_count; i++)
        if (watch->watchers[i].fd >= 0)
            close(watch->watchers[i].fd);
    free(watch->updates);
    free(watch->input);
    free(watch);
}
