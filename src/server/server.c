/*
 * start: log, node, places, links; the folder is taken and read; only then listener and control
 * socket, so that a neighbour finds either nobody or one that answers at once; then the loop. stop:
 * no more connections, what was received is answered, everything closes, the loop ends with nothing
 * left on it but names that are looked up.
 */
#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#include <herd/err.h>
#include <herd/posix_time.h>

#include "base/json_load.h"
#include "places/secret.h"
#include "server/room.h"
#include "server/thread_pool.h"

enum {
    FILES_RESERVED = 64, /* standard ones, the loop's, log, places, disk, control */
    LINK_FILES = 2,      /* a link that is dialled anew, and one that still closes */
    /* Of stop_timeout_ms, in hundredths: when each has to be done, with time for what comes behind
     * it. The fallback's is what it has when places are done. */
    STOP_PLACES_SHARE = 40,
    STOP_FALLBACK_SHARE = 30,
    STOP_NET_SHARE = 80,
    STOP_DISK_SHARE = 90,
};

int server_log_path(const struct config_values *values, const char *name, struct herd_buf *out)
{
    const char *rest = values->log_file;
    const char *mark;
    int rc = 0;
    while (rc == 0 && (mark = strstr(rest, "%s")) != NULL) {
        rc = herd_buf_printf(out, "%.*s%s", (int)(mark - rest), rest, name);
        rest = mark + 2;
    }
    return rc < 0 ? rc : herd_buf_printf(out, "%s", rest);
}

struct log *server_open_log(const struct config_values *values, const char *name)
{
    struct herd_buf path = {0};
    struct log *log = NULL;
    enum log_level level = LOG_INFO;
    log_level_parse(values->log_level, &level);
    int rc = server_log_path(values, name, &path);
    if (rc == 0)
        rc = log_open(path.len > 0 ? path.data : NULL, level, &log);
    if (rc == 0)
        rc = log_set_server(log, name);
    if (rc == HERD_EBUSY)
        fprintf(stderr, "herd-server: the thread that writes the log cannot be started: %s\n",
                strerror(errno));
    else if (rc < 0)
        fprintf(stderr, "herd-server: log_file %s: %s\n", path.len > 0 ? path.data : "(stderr)",
                rc == HERD_EIO ? strerror(errno) : herd_strerror(rc));
    if (rc < 0) {
        log_close(log);
        log = NULL;
    }
    herd_buf_free(&path);
    return log;
}

static void on_line(void *arg, const struct herd_conn *conn, enum herd_direction direction,
                    struct herd_slice line)
{
    const struct server *server = arg;
    const char *peer = herd_conn_peer(conn);
    LOG(server->log, LOG_LINES, "line", direction == HERD_RECEIVED ? "received" : "sent",
        log_text("peer", peer != NULL ? peer : "client"), log_bytes("line", line.data, line.len));
}

void server_node_options(const struct server *server, struct herd_node_options *out)
{
    const struct config_values *values = &server->config->values;
    *out = (struct herd_node_options){
        .name = server->self->name,
        .max_skew_ns = values->max_skew_s * HERD_NS_PER_S,
        .record_ttl_ns = values->record_ttl_s * HERD_NS_PER_S,
        .durability = storage_durability(values),
        .safety_timeout_ns = values->safety_timeout_ms * HERD_NS_PER_MS,
        .has_disk = storage_is_wanted(values),
        .prune = config_wants_pruning(server->config),
        .output_max = (size_t)values->output_max_kib * 1024,
        .pipeline_max = (unsigned)values->pipeline_max,
        .turn_lines_client = (unsigned)values->turn_lines_client,
        .turn_lines_clients = (unsigned)values->turn_lines_clients,
        .turn_lines_link = (unsigned)values->turn_lines_link,
        .waits_max = (unsigned)values->waits_max,
        .on_line = log_enabled(server->log, LOG_LINES) ? on_line : NULL,
        .on_line_arg = (void *)(uintptr_t)server,
    };
}

/* As many descriptors as the system lets this process have. */
static void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

struct net_room server_net_room(const struct server *server)
{
    const struct config_values *values = &server->config->values;
    const struct net_room room = {
        .connections_max = (size_t)values->connections_max,
        .turn_reads = (unsigned)values->turn_reads,
        .turn_read_bytes = (size_t)values->turn_read_kib * 1024,
        .files_reserved = FILES_RESERVED + NET_TRIALS_MAX +
                          (LINK_FILES + NET_FILES_PER_PEER) * (size_t)server->self->peer_count +
                          (size_t)values->places_calls_max,
    };
    size_t allowed = net_room_allows(&room);
    if (allowed < room.connections_max)
        LOG(server->log, LOG_WARNING, "server", "the limit of open files allows fewer connections",
            log_int("connections_max", values->connections_max),
            log_int("reserved", (int64_t)room.files_reserved),
            log_int("allowed", (int64_t)allowed));
    return room;
}

static int make_node(struct server *server, struct herd_buf *error)
{
    struct herd_node_options options;
    server_node_options(server, &options);
    if (getrandom(&options.seed, sizeof(options.seed), 0) != sizeof(options.seed)) {
        herd_buf_printf(error, "no random numbers: %s", strerror(errno));
        return HERD_EIO;
    }
    int rc = herd_node_new(&options, &server->node);
    const struct net_options net = {
        .loop = &server->loop,
        .node = server->node,
        .log = server->log,
        .metrics = &server->metrics,
        .room = server_net_room(server),
        .lookups = &server->lookups,
        .effect = server_effect,
        .arg = server,
    };
    return rc < 0 ? rc : net_new(&net, &server->net);
}

static int add_peers(struct server *server)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < server->self->peer_count; i++) {
        const struct config_server *peer = &server->config->servers[server->self->peers[i]];
        rc = net_add_peer(server->net, peer->name, peer->listen.host, peer->listen.port);
    }
    return rc;
}

/* A place without which it can go on: told, but no reason to stop. */
static void open_control(struct server *server)
{
    struct herd_buf error = {0};
    if (!storage_has_folder(server))
        return;
    if (control_open(server, &server->control, &error) < 0)
        LOG(server->log, LOG_WARNING, "control",
            "no control socket: herdctl status will not see this server",
            log_bytes("reason", error.data, error.len));
    herd_buf_free(&error);
}

static void on_part_closed(void *arg)
{
    struct server *server = arg;
    if (--server->closing > 0)
        return;
    if (server->net != NULL)
        net_free(server->net);
    server->net = NULL;
    uv_close((uv_handle_t *)&server->deadline, NULL);
    memory_close(&server->memory);
    signals_close(&server->signals);
    uv_stop(&server->loop); /* a name that is still looked up would keep it */
}

static void on_places_closed(void *arg)
{
    struct server *server = arg;
    server->places = NULL;
    on_part_closed(server);
}

/* A thread that hangs in the kernel cannot be ended, and what it works on cannot be freed. */
static void on_deadline(uv_timer_t *timer)
{
    struct server *server = timer->data;
    if (server->storage_closed != NULL) {
        server->unwritten = true;
        LOG(server->log, LOG_ERROR, "storage",
            "the last records could not be written: the disk does not answer");
    }
    if (server->places != NULL)
        LOG(server->log, LOG_ERROR, "places",
            "a thread has not come back, from a places file, a name or the calls of the day: the "
            "server ends without it");
    server->abandoned = true;
    uv_stop(&server->loop);
}

static void start_deadline(struct server *server)
{
    int64_t left_ns = server->stop_by_ns - (int64_t)uv_hrtime();
    uv_timer_init(&server->loop, &server->deadline);
    server->deadline.data = server;
    uv_update_time(&server->loop);
    uv_timer_start(&server->deadline, on_deadline,
                   left_ns > 0 ? (uint64_t)(left_ns / HERD_NS_PER_MS) : 0, 0);
}

/* The clients have their answers: what they were asked of may go. */
static void on_net_stopped(void *arg)
{
    struct server *server = arg;
    server->closing = 1;
    start_deadline(server);
    if (server->control != NULL) { /* first: it is removed while the folder is still ours */
        server->closing++;
        control_close(server->control, on_part_closed, server);
    }
    if (server->durable != NULL) {
        server->closing++;
        storage_close(server, on_part_closed);
    }
    if (server->places != NULL) {
        server->closing++;
        places_close(server->places, on_places_closed, server);
    }
    on_part_closed(server);
}

/* What is left of such a share; the start may have used some of it. */
static int64_t stop_ms(const struct server *server, int hundredths)
{
    int64_t share_ms = server->config->values.stop_timeout_ms * hundredths / 100;
    if (server->told_to_stop_ns == 0)
        return share_ms;
    int64_t gone_ms = ((int64_t)uv_hrtime() - server->told_to_stop_ns) / HERD_NS_PER_MS;
    return gone_ms < share_ms ? share_ms - gone_ms : 0;
}

static void stop(struct server *server, const char *why)
{
    if (server->stopping)
        return;
    server->stopping = true;
    server->stop_by_ns = (int64_t)uv_hrtime() + stop_ms(server, STOP_DISK_SHARE) * HERD_NS_PER_MS;
    notify_systemd("STOPPING=1");
    if (!server->failed)
        LOG(server->log, LOG_INFO, "server", "stopping", log_text("reason", why));
    if (server->places != NULL)
        places_hurry(server->places, stop_ms(server, STOP_PLACES_SHARE),
                     stop_ms(server, STOP_FALLBACK_SHARE));
    if (server->net != NULL)
        net_stop(server->net, stop_ms(server, STOP_NET_SHARE), on_net_stopped, server);
    else
        on_net_stopped(server);
}

static void on_signal(void *arg, int number)
{
    struct server *server = arg;
    if (number == SIGHUP) {
        if (!server->stopping)
            server_reload(server);
    } else {
        stop(server, number == SIGTERM ? "SIGTERM" : "SIGINT");
    }
}

static int watch_signals(struct server *server, struct herd_buf *error)
{
    int rc = signals_open(&server->signals, &server->loop, on_signal, server);
    if (rc < 0)
        herd_buf_printf(error, "cannot wait for signals: %s", strerror(errno));
    return rc;
}

/* Up to the point from which on others can reach it. */
static int get_ready(struct server *server, uint16_t *out_port, struct herd_buf *error)
{
    const struct config_address *listen = &server->self->listen;
    int rc = make_node(server, error);
    start_watch_step(server->watch, "opening the places");
    if (rc == 0)
        rc = server_open_places(server, error);
    start_watch_step(server->watch, "adding the neighbours");
    if (rc == 0)
        rc = add_peers(server);
    if (rc == 0)
        rc = storage_open(server, error);
    start_watch_step(server->watch, "listening");
    if (rc == 0)
        rc = net_listen(server->net, listen->host, listen->port, out_port, error);
    start_watch_step(server->watch, "opening the control socket");
    if (rc == 0)
        open_control(server);
    return rc;
}

static int begin_watch(struct server *server, struct herd_buf *error)
{
    int rc = start_watch_new(server->log, stop_ms(server, STOP_DISK_SHARE), &server->watch);
    if (rc == HERD_EIO)
        herd_buf_printf(error, "no thread that watches the start: %s", strerror(errno));
    return rc;
}

static int start(struct server *server, struct herd_buf *error)
{
    uint16_t port = 0;
    int rc = watch_signals(server, error);
    if (rc == 0)
        rc = begin_watch(server, error);
    if (rc == 0) {
        rc = get_ready(server, &port, error);
        server->told_to_stop_ns = start_watch_end(server->watch);
        server->watch = NULL;
    }
    if (rc < 0) {
        if (error->len == 0)
            herd_buf_append_text(error, herd_strerror(rc));
        return rc;
    }
    LOG(server->log, LOG_INFO, "server", "started", log_text("version", HERD_VERSION),
        log_text("host", server->self->listen.host), log_int("port", port),
        log_text("places", server->config->values.places_provider),
        log_hex("epoch", herd_node_epoch(server->node)),
        log_ms("took", (int64_t)uv_hrtime() - server->started_ns));
    notify_systemd("READY=1");
    return 0;
}

static void report(struct server *server, struct herd_buf *error)
{
    server->failed = true;
    fprintf(stderr, "herd-server: %.*s\n", (int)error->len, error->data);
    if (server->config->values.log_file[0] != '\0')
        LOG(server->log, LOG_ERROR, "server", "could not start",
            log_bytes("reason", error->data, error->len));
}

/*
 * No thread is ever cancelled here. In a process with threads glibc still frames each read and
 * write, as points where one may be, with two atomic instructions, unless it could be cancelled
 * anywhere.
 */
static void forgo_cancellation(void)
{
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
}

static void find_handle(uv_handle_t *handle, void *arg)
{
    (void)handle;
    *(bool *)arg = true;
}

static bool has_handles(uv_loop_t *loop)
{
    bool found = false;
    uv_walk(loop, find_handle, &found);
    return found;
}

/* All parts have closed. Their handles follow, and what threads have yet to give back; but not a
 * name that is looked up, in a thread that cannot be ended. */
static void end_loop(struct server *server)
{
    while ((has_handles(&server->loop) || server->lookups == 0) &&
           uv_run(&server->loop, UV_RUN_ONCE) != 0)
        continue;
    if (!uv_loop_alive(&server->loop)) {
        int rc = uv_loop_close(&server->loop);
        assert(rc == 0);
        return;
    }
    LOG(server->log, LOG_INFO, "link",
        "the name of a neighbour is still looked up: the server ends without it");
    server->abandoned = true;
}

static int make_loop(struct server *server, struct herd_buf *error)
{
    int rc = thread_pool_make(error);
    if (rc < 0)
        return rc;
    rc = uv_loop_init(&server->loop);
    if (rc < 0)
        herd_buf_printf(error, "no event loop: %s", uv_strerror(rc));
    return rc;
}

static void serve(struct server *server, struct herd_buf *error)
{
    int rc = make_loop(server, error);
    if (rc < 0) {
        if (error->len == 0)
            herd_buf_append_text(error, herd_strerror(rc));
        report(server, error);
        return;
    }
    memory_begin(server);
    rc = start(server, error);
    if (rc < 0 && rc != HERD_ECANCELED)
        report(server, error);
    if (rc < 0)
        stop(server, server->failed ? "it could not start" : "a signal, before it had started");
    uv_run(&server->loop, UV_RUN_DEFAULT);
    if (!server->abandoned)
        end_loop(server);
}

static void log_end(const struct server *server)
{
    if (!server->failed)
        LOG(server->log, LOG_INFO, "server", "stopped",
            log_ms("uptime", (int64_t)uv_hrtime() - server->started_ns));
}

/* What threads may still use stays as it is, but for the key. */
static void end_without_threads(const struct server *server)
{
    log_end(server);
    log_finish(server->log);
    secret_wipe_all();
    _exit(server->failed || server->unwritten ? 1 : 0);
}

int server_run(struct config *take_config, const char *config_path, const char *name,
               struct log *take_log)
{
    struct server server = {.config = take_config,
                            .first = take_config,
                            .config_path = config_path,
                            .log = take_log,
                            .lock_fd = -1};
    struct herd_buf error = {0};
    server.self = config_find(take_config, name);
    assert(server.self != NULL);
    server.started_ns = (int64_t)uv_hrtime();
    raise_file_limit();
    json_load_watch();
    forgo_cancellation();
    serve(&server, &error);
    if (server.abandoned)
        end_without_threads(&server);
    herd_node_free(server.node);
    blocks_free(&server.questions);
    storage_release(&server);
    log_end(&server);
    log_close(server.log);
    if (server.config != server.first)
        config_free(server.first);
    config_free(server.config);
    herd_buf_free(&error);
    return server.failed || server.unwritten ? 1 : 0;
}
