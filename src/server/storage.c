/*
 * The node's records over a restart. start: the folder is locked and read into the node, before the
 * loop runs. Then each effect PERSIST is a batch for the writer's thread. stop: the last batch is
 * awaited, then the files are closed.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <herd/err.h>
#include <herd/posix_time.h>

#include "durable/lock.h"
#include "server/room.h"

enum { RECORDS_BETWEEN_CHECKS = 1024 }; /* for a signal: well below a millisecond */

/* A folder that has just been made is found again after a power loss only if the one that it is in
 * was written. */
static int sync_parent(const char *path)
{
    char *copy = strdup(path);
    int fd = copy != NULL ? open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    int rc = fd >= 0 ? fsync(fd) : -1;
    int failure = errno;
    if (fd >= 0)
        close(fd);
    free(copy);
    errno = failure;
    return rc;
}

static int make_folder(const char *path, struct herd_buf *error)
{
    bool is_new = mkdir(path, 0700) == 0;
    if (!is_new && errno != EEXIST)
        herd_buf_printf(error, "data_dir: cannot make the folder %s: %s", path, strerror(errno));
    else if (is_new && sync_parent(path) != 0)
        herd_buf_printf(error, "data_dir: cannot sync the folder that %s is in: %s", path,
                        strerror(errno));
    else
        return 0;
    return HERD_EIO;
}

int server_folder(const struct server *server, struct herd_buf *out, struct herd_buf *error)
{
    const char *data_dir = server->config->values.data_dir;
    int rc = make_folder(data_dir, error);
    if (rc == 0)
        rc = herd_buf_printf(out, "%s/%s", data_dir, server->self->name);
    return rc < 0 ? rc : make_folder(out->data, error);
}

enum herd_durability storage_durability(const struct config_values *values)
{
    static const char *const names[] = {
        [HERD_DURABILITY_NONE] = "none",
        [HERD_DURABILITY_INTERVAL] = "interval",
        [HERD_DURABILITY_COMMIT] = "commit",
        [HERD_DURABILITY_HERD] = "herd",
    };
    enum herd_durability durability = HERD_DURABILITY_NONE;
    while (strcmp(names[durability], values->durability) != 0)
        durability++; /* config_load knows the names */
    return durability;
}

bool storage_is_wanted(const struct config_values *values)
{
    return values->data_dir[0] != '\0' && storage_durability(values) != HERD_DURABILITY_NONE;
}

static int on_state(void *arg, uint64_t epoch, uint64_t sequence_free)
{
    struct server *server = arg;
    server->sequence_free = sequence_free;
    herd_node_restore_epoch(server->node, epoch);
    return 0;
}

static void on_step(void *arg, const char *step)
{
    struct server *server = arg;
    start_watch_step(server->watch, step);
}

static int on_life(void *arg, const struct herd_life *life)
{
    struct server *server = arg;
    herd_node_restore_life(server->node, life);
    return 0;
}

static int on_record(void *arg, uint64_t sequence, struct herd_slice text)
{
    struct server *server = arg;
    if (++server->records_read % RECORDS_BETWEEN_CHECKS == 0 && signals_want_stop())
        return HERD_ECANCELED;
    return herd_node_restore_record(server->node, server->restored_at, sequence, text);
}

static int on_neighbour(void *arg, struct herd_slice name, const struct herd_mark *mark)
{
    struct server *server = arg;
    herd_node_restore_neighbour(server->node, name, mark);
    return 0;
}

static void on_forget_epoch(void *arg)
{
    struct server *server = arg;
    herd_node_restore_anew(server->node);
}

static int read_records(struct server *server, const char *folder, struct herd_buf *error)
{
    const struct durable_options options = {
        .loop = &server->loop,
        .log = server->log,
        .metrics = &server->metrics,
        .folder = folder,
        .sync = true,
    };
    const struct durable_found found = {.arg = server,
                                        .step = on_step,
                                        .state = on_state,
                                        .life = on_life,
                                        .record = on_record,
                                        .neighbour = on_neighbour,
                                        .forget_epoch = on_forget_epoch};
    int64_t began_ns = (int64_t)uv_hrtime();
    server->restored_at = net_now();
    int rc = durable_open(&options, &found, &server->durable, error);
    if (rc == 0 && durable_is_failing(server->durable)) {
        metrics_set(&server->metrics, METRIC_disk_failing, 1);
        herd_node_restore_failing(server->node);
    }
    if (rc < 0 || server->sequence_free == 0)
        return rc;
    herd_node_restore_end(server->node, server->sequence_free);
    LOG(server->log, LOG_INFO, "storage", "records read",
        log_int("clients", (int64_t)herd_store_count(herd_node_store(server->node))),
        log_int("rows", (int64_t)server->records_read),
        log_ms("took", (int64_t)uv_hrtime() - began_ns));
    return 0;
}

int storage_open(struct server *server, struct herd_buf *error)
{
    const struct config_values *values = &server->config->values;
    struct herd_buf folder = {0};
    if (values->data_dir[0] == '\0')
        return 0;
    start_watch_step(server->watch, "making the folder");
    int rc = server_folder(server, &folder, error);
    if (rc == 0 && storage_is_wanted(values))
        rc = read_records(server, folder.data, error);
    else if (rc == 0)
        rc = lock_take(folder.data, &server->lock_fd, error);
    herd_buf_free(&folder);
    if (rc == 0 || rc == HERD_EBUSY || storage_is_wanted(values))
        return rc;
    LOG(server->log, LOG_WARNING, "storage",
        "no control socket: herdctl status will not see this server",
        log_bytes("reason", error->data, error->len));
    error->len = 0;
    return 0;
}

bool storage_has_folder(const struct server *server)
{
    return server->durable != NULL || server->lock_fd >= 0;
}

void storage_release(struct server *server)
{
    if (server->lock_fd >= 0)
        lock_release(server->lock_fd);
    server->lock_fd = -1;
}

static void on_files_closed(void *arg)
{
    struct server *server = arg;
    void (*closed)(void *arg) = server->storage_closed;
    server->storage_closed = NULL;
    closed(server);
}

/* From here on nothing is written, a snapshot that is under way neither: the next start goes on
 * without it. */
static void close_files(struct server *server)
{
    server->storage_closing = true;
    durable_close(server->durable, on_files_closed, server);
}

static void close_if_done(struct server *server)
{
    if (server->storage_closed != NULL && !server->storage_closing && !server->writing &&
        herd_node_is_persisted(server->node))
        close_files(server);
}

static void on_written(void *arg, int status)
{
    struct server *server = arg;
    server->writing = false;
    metrics_add(&server->metrics,
                status < 0 ? METRIC_disk_failures_total : METRIC_disk_batches_total, 1);
    metrics_set(&server->metrics, METRIC_disk_failing, status < 0);
    herd_node_persisted(server->node, net_now(), status);
    if (status == 0 &&
        durable_wants_snapshot(server->durable, herd_store_count(herd_node_store(server->node))))
        herd_node_snapshot(server->node);
    /* A disk that fails while the server stops is not waited for: it said so, and others hold the
     * records. */
    if (status < 0 && server->storage_closed != NULL) {
        server->unwritten = true;
        LOG(server->log, LOG_ERROR, "storage",
            "the last records could not be written; the reason was told when the disk failed");
        close_files(server);
        return;
    }
    close_if_done(server);
}

void storage_write(struct server *server, const struct herd_batch *batch)
{
    /* Reading failed: what is on disk stays as it is. */
    if (server->durable == NULL || server->storage_closing)
        return;
    server->writing = true;
    server->writing_since_ns = (int64_t)uv_hrtime();
    durable_write(server->durable, batch, on_written, server);
}

void storage_close(struct server *server, void (*closed)(void *arg))
{
    server->storage_closed = closed;
    close_if_done(server);
}
