/* room.h: what the modules of the server share. */
#ifndef SERVER_ROOM_H
#define SERVER_ROOM_H

#include <uv.h>

#include "base/metrics.h"
#include "net/net.h"
#include "places/places.h"
#include "server/server.h"

struct control;

struct server {
    uv_loop_t loop;
    struct config *config;
    const struct config_server *self; /* in config */
    const char *config_path;
    struct log *log;
    struct metrics metrics;
    struct herd_node *node;
    struct net *net;
    struct places *places;
    struct control *control;
    uv_signal_t signals[3];
    int signal_count;
    int64_t started_ns; /* uv_hrtime */
    int closing;        /* parts that are still to report that they have closed */
    bool stopping;
    bool failed;
    struct herd_buf json; /* an answer on its way to the node */
};

/* A node's limits from the configuration. */
void server_node_options(const struct server *server, struct herd_node_options *out);
/* log_file with `%s` in it replaced by the server's name; an empty path stays empty. 0 or
 * HERD_ENOMEM. */
int server_log_path(const struct config_values *values, const char *name, struct herd_buf *out);
/* What the configuration says of places. 0, or negative with a sentence in `error`. */
int server_open_places(struct server *server, struct herd_buf *error);

/* Makes data_dir and data_dir/NAME, open to their owner alone, and appends the latter. 0, or
 * HERD_ENOMEM, or HERD_EIO with a sentence in `error`. data_dir is not empty. */
int server_folder(const struct server *server, struct herd_buf *path, struct herd_buf *error);

/* SIGHUP: reads the file again; what changed takes effect, a mistake keeps the old configuration.
 */
void server_reload(struct server *server);

/* Node's effects that are the server's: PLACES, NOTICE. `arg` is the server. */
void server_effect(void *arg, const struct herd_effect *effect);

/* One JSON object for the line STATUS, with an LF. 0 or HERD_ENOMEM. */
int server_status(struct server *server, struct herd_buf *out);
/* Brings the metrics that others count up to date. */
void server_collect_metrics(struct server *server);

/*
 * The control socket data_dir/NAME/control.sock, open to its owner alone. 0 with *out NULL when
 * data_dir is empty; else 0, or HERD_EIO with a sentence in `error`.
 */
int control_open(struct server *server, struct control **out, struct herd_buf *error);
void control_close(struct control *control, void (*closed)(void *arg), void *arg);

/* Tells systemd, where it waits for that: "READY=1", "STOPPING=1", "RELOADING=1". */
void notify_systemd(const char *state);

#endif
