/* room.h: what the modules of the server share. */
#ifndef SERVER_ROOM_H
#define SERVER_ROOM_H

#include <uv.h>

#include "base/blocks.h"
#include "base/metrics.h"
#include "durable/durable.h"
#include "net/net.h"
#include "places/places.h"
#include "server/memory.h"
#include "server/server.h"
#include "server/signals.h"
#include "server/start_watch.h"

struct control;

struct server {
    uv_loop_t loop;
    struct config *config;
    const struct config_server *self; /* in config */
    struct config *first;             /* that it was started with */
    const char *config_path;
    struct log *log;
    struct metrics metrics;
    struct herd_node *node;
    struct net *net;
    struct places *places;
    struct blocks questions; /* spare ones: struct question */
    size_t unread_bytes;     /* of answers that were paid for and wait for their clients */
    struct durable *durable; /* NULL: nothing on disk */
    uint64_t sequence_free;  /* while it is read, as the next two */
    uint64_t records_read;
    struct herd_now restored_at;
    int lock_fd;              /* of data_dir/NAME where no records are kept in it; -1: none */
    bool writing;             /* a batch is under way */
    int64_t writing_since_ns; /* uv_hrtime */
    void (*storage_closed)(void *arg); /* until it is */
    bool storage_closing;              /* nothing is written any more */
    struct control *control;
    struct signals signals;
    int64_t started_ns;        /* uv_hrtime */
    struct start_watch *watch; /* NULL: the start is over */
    int64_t told_to_stop_ns;   /* uv_hrtime; 0: not before the start was over */
    int closing;               /* parts that are still to report that they have closed */
    int64_t stop_by_ns;        /* uv_hrtime */
    bool stopping;
    bool failed;
    bool unwritten;      /* the last records could not be written before the stop */
    uv_timer_t deadline; /* of what closes behind the last connection */
    struct memory memory;
    bool abandoned; /* a thread hangs, in a disk or a name: the process ends without it */
};

/* A question to a provider that costs something. */
struct question {
    struct server *server;
    struct herd_ask *ask;
};

/* A node's limits from the configuration. */
void server_node_options(const struct server *server, struct herd_node_options *out);
/* From the configuration; where the limit of open files leaves less, that is told. */
struct net_room server_net_room(const struct server *server);
/* log_file with each `%s` in it replaced by the server's name; an empty path stays empty. 0 or
 * HERD_ENOMEM. */
int server_log_path(const struct config_values *values, const char *name, struct herd_buf *out);
/* data_dir/NAME, which is made if it is not there. 0, HERD_ENOMEM, or HERD_EIO with a sentence in
 * `error`. */
int server_folder(const struct server *server, struct herd_buf *out, struct herd_buf *error);

enum herd_durability storage_durability(const struct config_values *values);
/* Whether records are kept on disk. */
bool storage_is_wanted(const struct config_values *values);
/*
 * Takes data_dir/NAME for this process alone and reads what is on disk into the node, after its
 * neighbours were added; blocks. 0, HERD_ECANCELED (SIGTERM or SIGINT came meanwhile; it still
 * waits for the loop), or another error; each with a sentence in `error`. Where no records are kept
 * on disk, only another process in the folder is an error.
 */
int storage_open(struct server *server, struct herd_buf *error);
/* Whether data_dir/NAME is this process' alone. */
bool storage_has_folder(const struct server *server);
void storage_write(struct server *server, const struct herd_batch *batch);
/* Closes once all that was applied has been written, or cannot be. On a disk that does not answer
 * `closed` does not run. */
void storage_close(struct server *server, void (*closed)(void *arg));
/* Lets go of a folder without records. */
void storage_release(struct server *server);

/* What the configuration says of places. 0, or negative with a sentence in `error`. */
int server_open_places(struct server *server, struct herd_buf *error);

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
 * The control socket data_dir/NAME/control.sock, open to its owner alone, in the place of what is
 * left of an earlier one: so the folder has to be this process' alone. 0, HERD_ENOMEM, or HERD_EIO
 * with a sentence in `error`.
 */
int control_open(struct server *server, struct control **out, struct herd_buf *error);
void control_close(struct control *control, void (*closed)(void *arg), void *arg);

/* Tells systemd, where it waits for that: "READY=1", "STOPPING=1", "RELOADING=1". */
void notify_systemd(const char *state);

#endif
