/*
 * stream_read -> data … -> end -> stream_write -> wrote -> stream_close -> (shutdown, drain) ->
 * closed. A read or write that fails closes the stream: `failed` tells why.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <herd/err.h>

#include "net/stream.h"

enum { LINGER_STEP_MS = 250 };

/*
 * What the socket did not take at once. The first goes to libuv, which waits for the socket; what
 * comes meanwhile is gathered in another, which follows once the first is sent, or once it is large
 * enough: a request of its own for each line would take several times the line's bytes.
 */
struct pending_write {
    uv_write_t req;
    struct herd_buf buf;
    struct stream_loop *shared; /* while it gathers */
};

/* A stream that closes without haste. */
struct stream_linger {
    uv_shutdown_t req; /* until on_shutdown, which comes before the stream's last callback */
    struct stream *stream;
    struct stream_loop *shared;
    struct stream_linger *next, *prev; /* in the loop's list until the socket is closed */
    uint64_t deadline_ms;              /* uv_now */
    size_t unsent, dropped;            /* bytes */
    bool shut;                         /* our half is closed, all was sent */
};

static struct stream *stream_of(void *handle)
{
    return (struct stream *)handle; /* tcp is the first member */
}

struct stream_loop *stream_loop_of(const struct stream *stream)
{
    if (stream->gathers)
        return stream->of.gathered->shared;
    return stream->lingers ? stream->of.linger->shared : stream->of.shared;
}

static const struct stream_events *events_of(const struct stream *stream)
{
    return stream_loop_of(stream)->events[stream->kind];
}

static void on_closed(uv_handle_t *handle)
{
    struct stream *stream = stream_of(handle);
    if (stream->lingers) {
        struct stream_linger *linger = stream->of.linger;
        stream->of.shared = linger->shared;
        stream->lingers = false;
        free(linger);
    }
    events_of(stream)->closed(stream);
}

static void enter_lingering(struct stream_linger *linger)
{
    struct stream_loop *shared = linger->shared;
    linger->next = shared->lingering;
    if (linger->next != NULL)
        linger->next->prev = linger;
    shared->lingering = linger;
}

static void leave_lingering(struct stream_linger *linger)
{
    struct stream_loop *shared = linger->shared;
    if (linger->prev != NULL)
        linger->prev->next = linger->next;
    else
        shared->lingering = linger->next;
    if (linger->next != NULL)
        linger->next->prev = linger->prev;
    if (shared->lingering == NULL)
        uv_timer_stop(&shared->linger);
}

static struct pending_write *take_gathered(struct stream *stream)
{
    struct pending_write *write = stream->of.gathered;
    stream->gathers = false;
    stream->of.shared = write->shared;
    return write;
}

static void forget_write(struct stream *stream, struct pending_write *write)
{
    struct herd_buf buf = write->buf;
    free(write);
    events_of(stream)->recycle(stream, &buf);
}

static void finish(struct stream *stream)
{
    if (uv_is_closing((uv_handle_t *)&stream->tcp))
        return;
    if (stream->gathers)
        forget_write(stream, take_gathered(stream));
    if (stream->lingers)
        leave_lingering(stream->of.linger);
    uv_close((uv_handle_t *)&stream->tcp, on_closed);
}

static void fail(struct stream *stream, int rc)
{
    if (!stream->closing && events_of(stream)->failed != NULL)
        events_of(stream)->failed(stream, uv_strerror(rc));
    stream_close(stream, true);
}

static void give_time(struct stream_linger *linger, uint32_t ms)
{
    linger->deadline_ms = uv_now(linger->stream->tcp.loop) + ms;
}

/* A reader that takes its time has it; one that takes nothing is given up. */
static void check_progress(struct stream_linger *linger)
{
    size_t unsent = uv_stream_get_write_queue_size((uv_stream_t *)&linger->stream->tcp);
    if (unsent == linger->unsent)
        return;
    linger->unsent = unsent;
    give_time(linger, linger->shared->stalled_ms);
}

static void on_linger(uv_timer_t *timer)
{
    struct stream_loop *shared = timer->data;
    uint64_t now = uv_now(timer->loop);
    struct stream_linger *next;
    for (struct stream_linger *linger = shared->lingering; linger != NULL; linger = next) {
        next = linger->next;
        if (!linger->shut)
            check_progress(linger);
        if (now < linger->deadline_ms)
            continue;
        shared->stalled += !linger->shut;
        finish(linger->stream);
    }
}

int stream_loop_init(struct stream_loop *shared, uv_loop_t *loop)
{
    /* A new stream's last read was in no turn. */
    *shared = (struct stream_loop){.turn = 1, .stalled_ms = STREAM_STALLED_MS};
    shared->input = malloc(STREAM_INPUT_BYTES);
    if (shared->input == NULL)
        return HERD_ENOMEM;
    uv_timer_init(loop, &shared->linger);
    shared->linger.data = shared;
    return 0;
}

static void on_linger_closed(uv_handle_t *handle)
{
    struct stream_loop *shared = handle->data;
    shared->closed(shared->closed_arg);
}

void stream_loop_close(struct stream_loop *shared, void (*closed)(void *arg), void *arg)
{
    assert(shared->lingering == NULL);
    shared->closed = closed;
    shared->closed_arg = arg;
    uv_close((uv_handle_t *)&shared->linger, on_linger_closed);
    free(shared->input);
    shared->input = NULL;
}

void stream_loop_on(struct stream_loop *shared, enum stream_kind kind,
                    const struct stream_events *events)
{
    shared->events[kind] = events;
}

void stream_loop_begin_turn(struct stream_loop *shared)
{
    shared->turn++;
}

void stream_loop_hasten(struct stream_loop *shared)
{
    while (shared->lingering != NULL)
        finish(shared->lingering->stream);
}

int stream_init(struct stream *stream, struct stream_loop *shared, enum stream_kind kind)
{
    *stream = (struct stream){.of.shared = shared, .kind = kind};
    return uv_tcp_init(shared->linger.loop, &stream->tcp) == 0 ? 0 : HERD_EIO;
}

/*
 * libuv asks again, up to 32 times an event, as long as buffers come full. Without one it leaves
 * the rest to the next poll: what the owner does about the first (it may want no more) comes before
 * that.
 */
static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct stream *stream = stream_of(handle);
    struct stream_loop *shared = stream_loop_of(stream);
    (void)suggested;
    bool again = stream->read_turn == shared->turn;
    *buf = again ? uv_buf_init(NULL, 0) : uv_buf_init(shared->input, STREAM_INPUT_BYTES);
    stream->read_turn = shared->turn;
}

static void on_read(uv_stream_t *tcp, ssize_t len, const uv_buf_t *buf)
{
    struct stream *stream = stream_of(tcp);
    if (len > 0) {
        stream_loop_of(stream)->bytes_received += (uint64_t)len;
        if (!stream->closing)
            events_of(stream)->data(stream, buf->base, (size_t)len);
        else if ((stream->of.linger->dropped += (size_t)len) > STREAM_LINGER_BYTES)
            finish(stream);
        return;
    }
    if (len == 0 || (len == UV_ENOBUFS && buf->base == NULL)) /* as on_alloc wanted it */
        return;
    uv_read_stop(tcp);
    stream->ended = true;
    if (len != UV_EOF)
        fail(stream, (int)len);
    else if (!stream->closing)
        events_of(stream)->end(stream);
    else if (stream->of.linger->shut)
        finish(stream);
}

void stream_read(struct stream *stream, bool on)
{
    if (stream->closing || stream->ended || on == stream->reading)
        return;
    stream->reading = on;
    if (!on) {
        uv_read_stop((uv_stream_t *)&stream->tcp);
        return;
    }
    int rc = uv_read_start((uv_stream_t *)&stream->tcp, on_alloc, on_read);
    if (rc < 0)
        fail(stream, rc);
}

/* What may wait for long, with hundreds like it, must not hold what has been sent of it already
 * (the owner counts the rest alone), nor much room that is left in its buffer. */
static void tighten(struct herd_buf *buf, size_t sent)
{
    buf->len -= sent;
    if (sent > 0)
        memmove(buf->data, buf->data + sent, buf->len);
    if (buf->len > buf->cap / 4 * 3)
        return;
    char *data = realloc(buf->data, buf->len);
    if (data == NULL)
        return;
    buf->data = data;
    buf->cap = buf->len;
}

static bool waits_for_socket(const struct stream *stream)
{
    return uv_stream_get_write_queue_size((const uv_stream_t *)&stream->tcp) > 0;
}

static void on_write(uv_write_t *req, int status);

/* To libuv, behind what it has. */
static int hand_over(struct stream *stream, struct pending_write *take_write)
{
    struct pending_write *write = take_write;
    write->req.data = write;
    uv_buf_t bytes = uv_buf_init(write->buf.data, (unsigned)write->buf.len);
    int rc = uv_write(&write->req, (uv_stream_t *)&stream->tcp, &bytes, 1, on_write);
    if (rc < 0)
        forget_write(stream, write);
    return rc;
}

static int hand_gathered_over(struct stream *stream)
{
    struct pending_write *write = take_gathered(stream);
    tighten(&write->buf, 0);
    return hand_over(stream, write);
}

static void on_write(uv_write_t *req, int status)
{
    struct pending_write *write = req->data;
    struct stream *stream = stream_of(req->handle);
    size_t len = write->buf.len;
    forget_write(stream, write);
    if (status == 0) {
        stream_loop_of(stream)->bytes_sent += len;
        if (!uv_is_closing((uv_handle_t *)&stream->tcp))
            events_of(stream)->wrote(stream, len);
        if (stream->gathers && !waits_for_socket(stream))
            status = hand_gathered_over(stream);
    }
    if (status < 0 && status != UV_ECANCELED)
        fail(stream, status);
}

/* What uv_try_write left over becomes what the socket is waited for, or what gathers behind that.
 */
static int write_rest(struct stream *stream, struct herd_buf *take_buf, size_t sent)
{
    struct pending_write *write = malloc(sizeof(*write));
    if (write == NULL)
        return UV_ENOMEM;
    tighten(take_buf, sent);
    *write = (struct pending_write){.buf = *take_buf, .shared = stream->of.shared};
    *take_buf = (struct herd_buf){0};
    if (!waits_for_socket(stream))
        return hand_over(stream, write);
    stream->of.gathered = write;
    stream->gathers = true;
    return 0;
}

/* Behind what gathers, or instead of it if both are too much for one request. */
static int gather(struct stream *stream, struct herd_buf *take_buf)
{
    struct herd_buf *gathered = &stream->of.gathered->buf;
    if (gathered->len + take_buf->len <= STREAM_GATHER_BYTES)
        return herd_buf_append_slice(gathered, herd_buf_slice(take_buf)) < 0 ? UV_ENOMEM : 0;
    int rc = hand_gathered_over(stream);
    return rc < 0 ? rc : write_rest(stream, take_buf, 0);
}

static int write_now(struct stream *stream, struct herd_buf *take_buf, size_t *sent)
{
    uv_buf_t all = uv_buf_init(take_buf->data, (unsigned)take_buf->len);
    int rc = uv_try_write((uv_stream_t *)&stream->tcp, &all, 1);
    *sent = rc > 0 ? (size_t)rc : 0;
    stream_loop_of(stream)->bytes_sent += *sent;
    bool waits = rc == UV_EAGAIN || (rc >= 0 && *sent < take_buf->len);
    return waits ? write_rest(stream, take_buf, *sent) : rc;
}

void stream_write(struct stream *stream, struct herd_buf *take_buf)
{
    size_t sent = 0;
    int rc = 0;
    if (stream->gathers)
        rc = gather(stream, take_buf);
    else if (!stream->closing)
        rc = write_now(stream, take_buf, &sent);
    events_of(stream)->recycle(stream, take_buf);
    if (sent > 0)
        events_of(stream)->wrote(stream, sent);
    if (rc < 0)
        fail(stream, rc);
}

static void on_shutdown(uv_shutdown_t *req, int status)
{
    struct stream *stream = stream_of(req->handle);
    stream->of.linger->shut = true;
    give_time(stream->of.linger, STREAM_LINGER_MS);
    if (status != 0 || stream->ended)
        finish(stream);
}

/* Sends what was written, then FIN; whatever comes in is dropped until the other side closes too.
 */
static int begin_linger(struct stream *stream)
{
    int rc = stream->gathers ? hand_gathered_over(stream) : 0;
    if (rc < 0)
        return rc;
    struct stream_linger *linger = malloc(sizeof(*linger));
    if (linger == NULL)
        return UV_ENOMEM;
    *linger = (struct stream_linger){.stream = stream, .shared = stream->of.shared};
    rc = uv_shutdown(&linger->req, (uv_stream_t *)&stream->tcp, on_shutdown);
    if (rc < 0) {
        free(linger);
        return rc;
    }
    struct stream_loop *shared = linger->shared;
    stream->of.linger = linger;
    stream->lingers = true;
    linger->unsent = uv_stream_get_write_queue_size((uv_stream_t *)&stream->tcp);
    give_time(linger, linger->shared->stalled_ms);
    enter_lingering(linger);
    if (!uv_is_active((uv_handle_t *)&shared->linger))
        uv_timer_start(&shared->linger, on_linger, LINGER_STEP_MS, LINGER_STEP_MS);
    if (!stream->ended && !stream->reading)
        rc = uv_read_start((uv_stream_t *)&stream->tcp, on_alloc, on_read);
    return rc;
}

void stream_close(struct stream *stream, bool now)
{
    if (stream->closing) {
        if (now)
            finish(stream);
        return;
    }
    stream->closing = true;
    if (now || begin_linger(stream) < 0)
        finish(stream);
}
