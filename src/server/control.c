/*
 * The control socket: a Unix socket in the server's data folder. A line `STATUS` is answered with
 * one JSON object in one line; anything else with `? ` and the line. Lines end as on the wire: the
 * last one needs no LF once its half is closed, and one that is too long is the last. What comes
 * behind that is read and dropped until its sender closes: closed with some of it unread, the socket
 * would tell of a reset in place of an end, and the answer might get lost.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <herd/err.h>
#include <herd/frame.h>
#include <herd/proto.h>

#include "server/refuser.h"
#include "server/room.h"

enum { CONTROL_CONNECTIONS_MAX = LIMITS_CONTROL, CONTROL_INPUT_BYTES = 4096 };

struct control {
    uv_pipe_t listener;
    struct refuser refuser;
    struct server *server;
    struct caller *callers;
    int caller_count;
    bool listener_closed;
    void (*closed)(void *arg);
    void *closed_arg;
};

struct caller {
    uv_pipe_t pipe;
    struct control *control;
    struct caller *next, *prev;
    struct herd_frame frame;
    struct herd_slice rest; /* of `input`: what was read behind the line that is answered now */
    struct herd_buf output; /* being written */
    bool ended;             /* it has closed its half */
    bool over;              /* a line was too long: what comes behind it is dropped */
    uv_write_t write;
    uv_shutdown_t end;
    char input[CONTROL_INPUT_BYTES];
};

static void check_closed(struct control *control)
{
    if (!control->listener_closed || control->caller_count > 0)
        return;
    void (*closed)(void *arg) = control->closed;
    void *arg = control->closed_arg;
    free(control);
    closed(arg);
}

static void on_caller_closed(uv_handle_t *handle)
{
    struct caller *caller = handle->data;
    struct control *control = caller->control;
    if (caller->prev != NULL)
        caller->prev->next = caller->next;
    else
        control->callers = caller->next;
    if (caller->next != NULL)
        caller->next->prev = caller->prev;
    control->caller_count--;
    herd_frame_free(&caller->frame);
    herd_buf_free(&caller->output);
    free(caller);
    check_closed(control);
}

static void close_caller(struct caller *caller)
{
    if (!uv_is_closing((uv_handle_t *)&caller->pipe))
        uv_close((uv_handle_t *)&caller->pipe, on_caller_closed);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct caller *caller = handle->data;
    (void)suggested;
    *buf = uv_buf_init(caller->input, sizeof(caller->input));
}

static void on_read(uv_stream_t *stream, ssize_t len, const uv_buf_t *buf);
static void answer_next(struct caller *caller);

/* The other side closes now, or has; libuv calls this without asking whether it is there. */
static void on_ended(uv_shutdown_t *req, int status)
{
    (void)req;
    (void)status;
}

static void on_written(uv_write_t *req, int status)
{
    struct caller *caller = req->data;
    caller->output.len = 0;
    if (status < 0 ||
        (caller->over && uv_shutdown(&caller->end, (uv_stream_t *)&caller->pipe, on_ended) < 0))
        close_caller(caller);
    else
        answer_next(caller);
}

static void send_output(struct caller *caller)
{
    uv_buf_t all = uv_buf_init(caller->output.data, (unsigned)caller->output.len);
    caller->write.data = caller;
    if (uv_write(&caller->write, (uv_stream_t *)&caller->pipe, &all, 1, on_written) < 0)
        close_caller(caller);
}

static int answer(struct caller *caller, struct herd_slice line)
{
    if (line.len == 0)
        return 0;
    if (herd_slice_equal(line, herd_slice_of("STATUS")))
        return server_status(caller->control->server, &caller->output);
    return herd_append_invalid(&caller->output, line);
}

static void on_read(uv_stream_t *stream, ssize_t len, const uv_buf_t *buf)
{
    struct caller *caller = stream->data;
    if (len < 0 && len != UV_EOF) {
        close_caller(caller);
        return;
    }
    uv_read_stop(stream);
    caller->ended = len == UV_EOF;
    caller->rest = herd_slice(buf->base, len > 0 ? (size_t)len : 0);
    answer_next(caller);
}

/* 1 and the next line, 0 where there is none yet, negative where none will come. */
static int next_line(struct caller *caller, struct herd_slice *line)
{
    if (caller->over)
        return caller->ended ? HERD_ECLOSED : 0;
    int rc = herd_frame_next(&caller->frame, &caller->rest, line);
    if (rc == 0 && caller->ended)
        rc = herd_frame_last(&caller->frame, line) != 0 ? 1 : HERD_ECLOSED;
    caller->over = rc == HERD_ETOOLONG;
    return caller->over ? 1 : rc;
}

/* One answer at a time: nothing else is looked at, or read, until it has been written, of which libuv
 * tells later, up to eight times in a turn of the loop. */
static void answer_next(struct caller *caller)
{
    struct herd_slice line;
    int rc = 1;
    while (rc > 0 && caller->output.len == 0) {
        rc = next_line(caller, &line);
        if (rc > 0 && answer(caller, line) < 0)
            rc = -1;
    }
    if (rc > 0)
        send_output(caller);
    else if (rc < 0 || uv_read_start((uv_stream_t *)&caller->pipe, on_alloc, on_read) < 0)
        close_caller(caller);
}

static void count_refused(struct server *server)
{
    metrics_add(&server->metrics, METRIC_control_refused_total, 1);
    net_count_limit(server->net, LIMIT_CONTROL);
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct control *control = listener->data;
    if (status < 0)
        return;
    struct caller *caller = calloc(1, sizeof(*caller));
    if (caller == NULL || uv_pipe_init(listener->loop, &caller->pipe, 0) < 0) {
        free(caller);
        refuser_refuse(&control->refuser);
        return;
    }
    caller->control = control;
    caller->pipe.data = caller;
    caller->next = control->callers;
    if (caller->next != NULL)
        caller->next->prev = caller;
    control->callers = caller;
    control->caller_count++;
    if (control->caller_count > CONTROL_CONNECTIONS_MAX)
        count_refused(control->server);
    if (uv_accept(listener, (uv_stream_t *)&caller->pipe) < 0 ||
        control->caller_count > CONTROL_CONNECTIONS_MAX ||
        uv_read_start((uv_stream_t *)&caller->pipe, on_alloc, on_read) < 0)
        close_caller(caller);
}

static int make_path(const struct server *server, struct herd_buf *path, struct herd_buf *error)
{
    int rc = server_folder(server, path, error);
    if (rc == 0)
        rc = herd_buf_printf(path, "/control.sock");
    /* libuv would cut it short and say nothing. */
    if (rc < 0 || path->len < sizeof(((struct sockaddr_un *)NULL)->sun_path))
        return rc;
    herd_buf_printf(error, "%s: longer than a socket's path may be; use a shorter data_dir",
                    path->data);
    return HERD_EIO;
}

/* What an earlier server has left is a socket; anything else is somebody's. 0 or HERD_EIO. */
static int remove_old(const char *path, struct herd_buf *error)
{
    struct stat status;
    const char *why = NULL;
    if (lstat(path, &status) == 0) {
        if (!S_ISSOCK(status.st_mode))
            why = "something that is no socket has this name; move it away";
        else if (unlink(path) != 0)
            why = strerror(errno);
    } else if (errno != ENOENT) {
        why = strerror(errno);
    }
    if (why != NULL)
        herd_buf_printf(error, "control socket %s: %s", path, why);
    return why != NULL ? HERD_EIO : 0;
}

static int bind_and_listen(struct control *control, const char *path, struct herd_buf *error)
{
    if (remove_old(path, error) < 0)
        return HERD_EIO;
    /* The socket is its owner's from the moment it is there. */
    mode_t before = umask(0177);
    int rc = uv_pipe_bind(&control->listener, path);
    umask(before);
    if (rc == 0)
        rc = uv_listen((uv_stream_t *)&control->listener, CONTROL_CONNECTIONS_MAX, on_connection);
    if (rc < 0)
        herd_buf_printf(error, "control socket %s: %s", path, uv_strerror(rc));
    return rc < 0 ? HERD_EIO : 0;
}

static void on_listener_gone(uv_stream_t *listener)
{
    struct control *control = listener->data;
    control->listener_closed = true;
    check_closed(control);
}

static void on_open_failed(uv_handle_t *handle)
{
    free(handle->data);
}

int control_open(struct server *server, struct control **out, struct herd_buf *error)
{
    struct herd_buf path = {0};
    *out = NULL;
    int rc = make_path(server, &path, error);
    struct control *control = rc == 0 ? calloc(1, sizeof(*control)) : NULL;
    if (control == NULL || uv_pipe_init(&server->loop, &control->listener, 0) < 0) {
        free(control);
        herd_buf_free(&path);
        return rc < 0 ? rc : HERD_ENOMEM;
    }
    control->server = server;
    control->listener.data = control;
    refuser_init(&control->refuser, (uv_stream_t *)&control->listener, on_connection,
                 on_listener_gone);
    rc = bind_and_listen(control, path.data, error);
    if (rc < 0)
        uv_close((uv_handle_t *)&control->listener, on_open_failed);
    else
        *out = control;
    herd_buf_free(&path);
    return rc;
}

static void on_listener_closed(uv_handle_t *handle)
{
    struct control *control = handle->data;
    refuser_close(&control->refuser);
}

void control_close(struct control *control, void (*closed)(void *arg), void *arg)
{
    control->closed = closed;
    control->closed_arg = arg;
    for (struct caller *caller = control->callers; caller != NULL; caller = caller->next)
        close_caller(caller);
    uv_close((uv_handle_t *)&control->listener, on_listener_closed);
}
