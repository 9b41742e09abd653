/*
 * stream_read -> data … -> end -> stream_write -> wrote -> stream_close -> (shutdown, drain) ->
 * closed. A read or write that fails closes the stream: `failed` tells why.
 */
#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <herd/err.h>

#include "net/stream_extra.h"

enum { LINGER_STEP_MS = 250, PIECES_AT_ONCE = 64 };

static struct stream *stream_of(void *handle)
{
    return (struct stream *)handle; /* tcp is the first member */
}

struct stream_loop *stream_loop_of(const struct stream *stream)
{
    return stream->has_extra ? stream->of.extra->shared : stream->of.shared;
}

static const struct stream_events *events_of(const struct stream *stream)
{
    return stream_loop_of(stream)->events[stream->kind];
}

/* NULL: no memory. */
static struct stream_extra *need_extra(struct stream *stream)
{
    if (stream->has_extra)
        return stream->of.extra;
    struct stream_extra *extra = calloc(1, sizeof(*extra));
    if (extra == NULL)
        return NULL;
    extra->stream = stream;
    extra->shared = stream->of.shared;
    extra->end = &extra->first;
    extra->write.data = extra->shutdown.data = extra;
    ring_init(&extra->resting);
    ring_init(&extra->lingering);
    stream->of.extra = extra;
    stream->has_extra = true;
    return extra;
}

static struct herd_buf take_first(struct stream_extra *extra)
{
    struct piece *piece = extra->first;
    struct herd_buf buf = piece->buf;
    extra->first = piece->next;
    if (extra->first == NULL)
        extra->end = &extra->first;
    free(piece);
    return buf;
}

static void recycle_first(struct stream_extra *extra)
{
    struct herd_buf buf = take_first(extra);
    events_of(extra->stream)->recycle(extra->stream, &buf);
}

static void drop_extra(struct stream *stream)
{
    struct stream_extra *extra = stream->of.extra;
    while (extra->first != NULL)
        recycle_first(extra);
    ring_leave(&extra->resting);
    ring_leave(&extra->lingering);
    stream->of.shared = extra->shared;
    stream->has_extra = false;
    free(extra);
}

static void on_closed(uv_handle_t *handle)
{
    struct stream *stream = stream_of(handle);
    if (stream->is_unread)
        read_queue_leave(&stream_loop_of(stream)->unread, stream);
    if (stream->has_extra)
        drop_extra(stream);
    events_of(stream)->closed(stream);
}

static void finish(struct stream *stream)
{
    if (uv_is_closing((uv_handle_t *)&stream->tcp))
        return;
    if (stream->has_extra) {
        struct stream_extra *extra = stream->of.extra;
        ring_leave(&extra->resting);
        ring_leave(&extra->lingering);
    }
    uv_close((uv_handle_t *)&stream->tcp, on_closed);
}

static void fail(struct stream *stream, int rc)
{
    if (!stream->closing && events_of(stream)->failed != NULL)
        events_of(stream)->failed(stream, uv_strerror(rc));
    stream_close(stream, true);
}

static void give_time(struct stream_extra *extra, uint32_t ms)
{
    extra->deadline_ms = uv_now(extra->stream->tcp.loop) + ms;
}

/* A reader that takes its time has it; one that takes nothing is given up. */
static void check_progress(struct stream_extra *extra)
{
    size_t unsent = extra_unsent(extra);
    if (unsent == extra->unsent)
        return;
    extra->unsent = unsent;
    give_time(extra, extra->shared->stalled_ms);
}

static struct stream_extra *lingering_of(struct stream_ring *member)
{
    return (struct stream_extra *)(void *)((char *)member -
                                           offsetof(struct stream_extra, lingering));
}

static struct stream_extra *resting_of(struct stream_ring *member)
{
    return (struct stream_extra *)(void *)((char *)member - offsetof(struct stream_extra, resting));
}

static void on_linger(uv_timer_t *timer)
{
    struct stream_loop *shared = timer->data;
    uint64_t now = uv_now(timer->loop);
    struct stream_ring *next;
    for (struct stream_ring *at = shared->lingering.next; at != &shared->lingering; at = next) {
        struct stream_extra *extra = lingering_of(at);
        next = at->next;
        if (!extra->shut)
            check_progress(extra);
        if (now < extra->deadline_ms)
            continue;
        shared->stalled += !extra->shut;
        finish(extra->stream);
    }
    if (ring_is_empty(&shared->lingering))
        uv_timer_stop(timer);
}

/* It need not do anything: the loop does not sleep while it is active. */
static void on_awake(uv_idle_t *awake)
{
    (void)awake;
}

int stream_loop_init(struct stream_loop *shared, uv_loop_t *loop)
{
    /* A new stream's last read and write were in no turn. */
    *shared = (struct stream_loop){.turn = 1, .stalled_ms = STREAM_STALLED_MS};
    shared->input = malloc(STREAM_INPUT_BYTES);
    if (shared->input == NULL)
        return HERD_ENOMEM;
    ring_init(&shared->lingering);
    ring_init(&shared->resting);
    uv_timer_init(loop, &shared->linger);
    uv_idle_init(loop, &shared->awake);
    shared->linger.data = shared->awake.data = shared;
    return 0;
}

static void on_loop_closed(uv_handle_t *handle)
{
    struct stream_loop *shared = handle->data;
    if (!uv_is_closing((uv_handle_t *)&shared->linger))
        uv_close((uv_handle_t *)&shared->linger, on_loop_closed);
    else
        shared->closed(shared->closed_arg);
}

void stream_loop_close(struct stream_loop *shared, void (*closed)(void *arg), void *arg)
{
    assert(ring_is_empty(&shared->lingering) && ring_is_empty(&shared->resting));
    shared->closed = closed;
    shared->closed_arg = arg;
    uv_close((uv_handle_t *)&shared->awake, on_loop_closed);
    read_queue_free(&shared->unread);
    free(shared->input);
    shared->input = NULL;
}

void stream_loop_on(struct stream_loop *shared, enum stream_kind kind,
                    const struct stream_events *events)
{
    shared->events[kind] = events;
}

void stream_loop_hasten(struct stream_loop *shared)
{
    while (!ring_is_empty(&shared->lingering))
        finish(lingering_of(shared->lingering.next)->stream);
}

int stream_init(struct stream *stream, struct stream_loop *shared, enum stream_kind kind)
{
    *stream = (struct stream){.of.shared = shared, .kind = kind};
    return uv_tcp_init(shared->linger.loop, &stream->tcp) == 0 ? 0 : HERD_EIO;
}

static size_t read_max(struct stream_loop *shared, struct stream *stream)
{
    const struct stream_events *events = shared->events[stream->kind];
    if (events->read_max == NULL)
        return STREAM_INPUT_BYTES;
    size_t most = events->read_max(stream);
    shared->limited_reads += most > 0;
    return most;
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
    *buf = uv_buf_init(NULL, 0);
    if (stream->read_turn == shared->turn || stream->closing)
        return;
    size_t most = read_max(shared, stream);
    if (most == 0)
        return;
    most = most < STREAM_INPUT_BYTES ? most : STREAM_INPUT_BYTES;
    *buf = uv_buf_init(shared->input, (unsigned)most);
    stream->read_turn = shared->turn;
}

/* Not in this turn: the kernel keeps its bytes meanwhile, and the poll does not tell of them again.
 * Without memory for that it does, until there is a turn for them. */
static void wait_for_turn(struct stream *stream, bool was_read)
{
    if (!read_queue_join(&stream_loop_of(stream)->unread, stream, was_read))
        return;
    stream->is_unread = true;
    uv_read_stop((uv_stream_t *)&stream->tcp);
}

/*
 * There is more to read than the turn has room for, or than a stream has in a turn. The poll tells
 * of the latter first in the next turn, again and again: where others have waited they go ahead.
 */
static void leave_unread(struct stream_loop *shared, struct stream *stream)
{
    bool was_read = stream->read_turn == shared->turn;
    shared->is_short = shared->is_short || !was_read;
    if (!was_read)
        wait_for_turn(stream, false);
    else if ((shared->is_short || shared->was_short) && stream->kind == STREAM_SESSION &&
             !stream->is_neighbour)
        wait_for_turn(stream, true);
}

static void on_end(struct stream *stream, int error)
{
    uv_read_stop((uv_stream_t *)&stream->tcp);
    stream->ended = true;
    if (error != UV_EOF)
        fail(stream, error);
    else if (!stream->closing)
        events_of(stream)->end(stream);
    else if (stream->of.extra->shut)
        finish(stream);
}

/* Who closes may still send megabytes, which nobody wants: the kernel drops them, without a copy.
 */
static void drop(struct stream_loop *shared, struct stream *stream)
{
    uv_os_fd_t fd;
    if (shared->drops == STREAM_DROPS_PER_TURN) {
        wait_for_turn(stream, false);
        return;
    }
    shared->drops++;
    shared->limited_reads++;
    uv_fileno((uv_handle_t *)&stream->tcp, &fd);
    ssize_t len = recv(fd, shared->input, STREAM_INPUT_BYTES, MSG_TRUNC | MSG_DONTWAIT);
    if (len <= 0) {
        if (len == 0 || (errno != EAGAIN && errno != EINTR))
            on_end(stream, len == 0 ? UV_EOF : uv_translate_sys_error(errno));
        return;
    }
    shared->bytes_received += (uint64_t)len;
    shared->bytes_dropped += (uint64_t)len;
    stream->of.extra->dropped += (size_t)len;
    if (stream->of.extra->dropped > STREAM_LINGER_BYTES) {
        shared->cut_off++;
        finish(stream);
    }
}

static void on_read(uv_stream_t *tcp, ssize_t len, const uv_buf_t *buf)
{
    struct stream *stream = stream_of(tcp);
    struct stream_loop *shared = stream_loop_of(stream);
    if (len > 0) {
        shared->bytes_received += (uint64_t)len;
        shared->events[stream->kind]->data(stream, buf->base, (size_t)len);
    } else if (len == UV_ENOBUFS && buf->base == NULL) { /* as on_alloc wanted it */
        if (stream->closing)
            drop(shared, stream);
        else
            leave_unread(shared, stream);
    } else if (len < 0) {
        on_end(stream, (int)len);
    }
}

static void start_reading(struct stream *stream)
{
    int rc = uv_read_start((uv_stream_t *)&stream->tcp, on_alloc, on_read);
    if (rc < 0)
        fail(stream, rc);
}

void stream_read(struct stream *stream, bool on)
{
    if (stream->closing || stream->ended || on == stream->reading)
        return;
    stream->reading = on;
    if (!on)
        uv_read_stop((uv_stream_t *)&stream->tcp);
    else if (!stream->is_unread)
        start_reading(stream);
}

/* Its turn to be read from has come. */
static void resume(struct stream *stream)
{
    stream->is_unread = false;
    if ((stream->reading || stream->closing) && !stream->ended &&
        !uv_is_closing((uv_handle_t *)&stream->tcp))
        start_reading(stream);
}

static void send_fin(struct stream_extra *extra);

/* All that waited is sent. */
static void be_drained(struct stream_extra *extra)
{
    if (extra->stream->closing)
        send_fin(extra);
    else
        drop_extra(extra->stream);
}

static void on_write(uv_write_t *req, int status)
{
    struct stream_extra *extra = req->data;
    struct stream *stream = extra->stream;
    size_t len = extra->first->buf.len;
    bool is_open = !uv_is_closing((uv_handle_t *)&stream->tcp);
    extra->is_with_libuv = extra->is_full = false;
    recycle_first(extra);
    stream->write_turn = extra->shared->turn;
    if (status == 0) {
        extra->shared->bytes_sent += len;
        if (is_open)
            events_of(stream)->wrote(stream, len);
    }
    if (!is_open)
        return;
    if (status < 0)
        fail(stream, status);
    else if (extra->first != NULL)
        ring_join(&extra->shared->resting, &extra->resting);
    else
        be_drained(extra);
}

/* To libuv, which tries to write it at once. */
static void hand_over(struct stream_extra *extra)
{
    struct herd_buf *buf = &extra->first->buf;
    struct stream *stream = extra->stream;
    extra_tighten(buf, 0);
    uv_buf_t bytes = uv_buf_init(buf->data, (unsigned)buf->len);
    ring_leave(&extra->resting);
    stream->write_turn = extra->shared->turn;
    int rc = uv_write(&extra->write, (uv_stream_t *)&stream->tcp, &bytes, 1, on_write);
    extra->is_with_libuv = rc == 0;
    if (rc < 0)
        fail(stream, rc);
}

/* What was sent of the pieces goes. */
static void drop_sent(struct stream_extra *extra, size_t sent)
{
    while (extra->first != NULL && sent >= extra->first->buf.len) {
        sent -= extra->first->buf.len;
        recycle_first(extra);
    }
    if (sent > 0)
        extra_tighten(&extra->first->buf, sent);
}

/* All pieces, or as many as go into one write; libuv has none of them. */
static void write_pieces(struct stream_extra *extra)
{
    uv_buf_t bytes[PIECES_AT_ONCE];
    unsigned count = 0;
    size_t all = 0;
    struct stream *stream = extra->stream;
    for (struct piece *at = extra->first; at != NULL && count < PIECES_AT_ONCE; at = at->next) {
        bytes[count++] = uv_buf_init(at->buf.data, (unsigned)at->buf.len);
        all += at->buf.len;
    }
    stream->write_turn = extra->shared->turn;
    int rc = uv_try_write((uv_stream_t *)&stream->tcp, bytes, count);
    if (rc < 0 && rc != UV_EAGAIN) {
        fail(stream, rc);
        return;
    }
    size_t sent = rc > 0 ? (size_t)rc : 0;
    extra->is_full = sent < all;
    extra->shared->bytes_sent += sent;
    drop_sent(extra, sent);
    events_of(stream)->wrote(stream, sent);
    if (extra->first != NULL)
        return;
    ring_leave(&extra->resting);
    be_drained(extra);
}

static void end_turn(struct stream_extra *extra)
{
    if (extra->stream->write_turn == extra->shared->turn)
        return;
    if (extra->is_full)
        hand_over(extra);
    else
        write_pieces(extra);
}

/* One for each that was read from, for polls may have told only of those that have been stopped
 * since: who has been resumed must not compete with ever more. */
static void resume_some(struct stream_loop *shared)
{
    size_t count = shared->limited_reads;
    if (count < STREAM_RESUMED_LEAST)
        count = STREAM_RESUMED_LEAST;
    read_queue_resume(&shared->unread, count, resume);
    shared->limited_reads = shared->drops = 0;
    shared->was_short = shared->is_short;
    shared->is_short = false;
}

void stream_loop_next_turn(struct stream_loop *shared)
{
    struct stream_ring *next;
    bool rests = !ring_is_empty(&shared->resting);
    for (struct stream_ring *at = shared->resting.next; at != &shared->resting; at = next) {
        next = at->next;
        end_turn(resting_of(at));
    }
    resume_some(shared);
    /* Not before those who heard of a write, or have yet to be read from, have had their turn. */
    if (rests || shared->unread.count > 0)
        uv_idle_start(&shared->awake, on_awake);
    else
        uv_idle_stop(&shared->awake);
    shared->turn++;
}

/* What is not sent in this turn, but for the first `sent` bytes. */
static int keep(struct stream *stream, struct herd_buf *take_buf, size_t sent)
{
    struct stream_extra *extra = need_extra(stream);
    if (extra == NULL)
        return UV_ENOMEM;
    bool waits = extra->first != NULL;
    int rc = extra_add(extra, take_buf, sent);
    if (rc == 0 && !waits)
        ring_join(&extra->shared->resting, &extra->resting);
    return rc;
}

static int write_now(struct stream *stream, struct herd_buf *take_buf, size_t *sent)
{
    struct stream_loop *shared = stream->of.shared;
    uv_buf_t all = uv_buf_init(take_buf->data, (unsigned)take_buf->len);
    stream->write_turn = shared->turn;
    int rc = uv_try_write((uv_stream_t *)&stream->tcp, &all, 1);
    *sent = rc > 0 ? (size_t)rc : 0;
    shared->bytes_sent += *sent;
    bool waits = rc == UV_EAGAIN || (rc >= 0 && *sent < take_buf->len);
    if (!waits)
        return rc;
    rc = keep(stream, take_buf, *sent);
    if (rc == 0)
        stream->of.extra->is_full = true;
    return rc;
}

void stream_write(struct stream *stream, struct herd_buf *take_buf)
{
    size_t sent = 0;
    int rc = 0;
    if (stream->closing)
        rc = 0;
    else if (stream->has_extra || stream->write_turn == stream->of.shared->turn)
        rc = keep(stream, take_buf, 0);
    else
        rc = write_now(stream, take_buf, &sent);
    events_of(stream)->recycle(stream, take_buf);
    if (rc < 0)
        fail(stream, rc);
    else if (!stream->closing)
        events_of(stream)->wrote(stream, sent);
}

static void on_shutdown(uv_shutdown_t *req, int status)
{
    struct stream_extra *extra = req->data;
    extra->shut = true;
    give_time(extra, STREAM_LINGER_MS);
    if (status != 0 || extra->stream->ended)
        finish(extra->stream);
}

static void send_fin(struct stream_extra *extra)
{
    if (uv_shutdown(&extra->shutdown, (uv_stream_t *)&extra->stream->tcp, on_shutdown) < 0)
        finish(extra->stream);
}

/* Sends what was written, then FIN; whatever comes in is dropped until the other side closes too.
 */
static int begin_linger(struct stream *stream)
{
    struct stream_extra *extra = need_extra(stream);
    if (extra == NULL)
        return UV_ENOMEM;
    struct stream_loop *shared = extra->shared;
    extra->unsent = extra_unsent(extra);
    give_time(extra, shared->stalled_ms);
    ring_join(&shared->lingering, &extra->lingering);
    if (!uv_is_active((uv_handle_t *)&shared->linger))
        uv_timer_start(&shared->linger, on_linger, LINGER_STEP_MS, LINGER_STEP_MS);
    if (extra->first == NULL)
        send_fin(extra);
    if (stream->ended || stream->reading || stream->is_unread)
        return 0;
    return uv_read_start((uv_stream_t *)&stream->tcp, on_alloc, on_read);
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
