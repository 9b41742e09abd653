/*
 * A connection takes lines and gives answers, in the order of the lines. An answer that has to wait
 * (an ask) collects the later answers in its tail (answers.c).
 *
 *   receive -> conn_process -> client_line / link_line -> conn_output -> WRITE -> wrote
 *
 *   the budget of a turn is used up           the rest is kept, reading stops, the next tick goes on
 *   too many answers wait (full)              the same, until half of them are gone
 *   the disk is behind, IAMAT (full, behind)  the same, until it is not (pace.c)
 *   line too long, three of another protocol  closing
 *   memory is short                           abort
 */
#include <assert.h>
#include <stdlib.h>

#include <herd/err.h>
#include <herd/proto.h>

#include "core/node.h"
#include "core/store.h"

static unsigned or_usual(unsigned wanted, unsigned usual)
{
    return wanted > 0 ? wanted : usual;
}

void conn_set_limits(struct herd_node_options *to, const struct herd_node_options *from)
{
    to->turn_lines_client = or_usual(from->turn_lines_client, CONN_LINES_PER_TURN);
    to->turn_lines_clients = or_usual(from->turn_lines_clients, TURN_LINES);
    to->turn_lines_link = or_usual(from->turn_lines_link, LINK_LINES_PER_TURN);
    to->waits_max = or_usual(from->waits_max, WAITS_MAX);
}

void conn_init(struct herd_conn *conn, struct herd_node *node, void *data)
{
    *conn = (struct herd_conn){.node = node, .data = data, .reading = true};
}

void conn_init_link(struct herd_conn *conn, struct herd_node *node, void *data,
                    struct neighbour *neighbour, struct conn_work *work)
{
    conn_init(conn, node, data);
    conn->is_link = true;
    conn->neighbour = neighbour;
    conn->work = work;
}

struct link *conn_link(const struct herd_conn *conn)
{
    return conn->is_link ? &conn->neighbour->link : NULL;
}

bool conn_begin_work(struct herd_conn *conn)
{
    struct herd_node *node = conn->node;
    if (conn->work != NULL)
        return true;
    if (node->spare_work_count > 0)
        conn->work = node->spare_works[--node->spare_work_count];
    else
        conn->work = calloc(1, sizeof(*conn->work));
    if (node->spare_work_count < node->idle_works)
        node->idle_works = node->spare_work_count;
    return conn->work != NULL;
}

/* It is all zero then, as conn_begin_work gives it. */
static void give_work_back(struct herd_conn *conn)
{
    struct herd_node *node = conn->node;
    struct conn_work *work = conn->work;
    if (work->frame.cap > 0) {
        node->spares.freed_bytes += work->frame.cap;
        herd_frame_free(&work->frame);
    }
    if (work->out.cap > 0)
        herd_node_recycle(node, &work->out);
    work->held = 0; /* it may be more when memory was short */
    work->kept = 0;
    if (conn->is_link)
        return;
    conn->work = NULL;
    if (node->spare_work_count < NODE_SPARE_WORKS_MAX) {
        node->spare_works[node->spare_work_count++] = work;
        return;
    }
    node->spares.freed_bytes += sizeof(*work);
    free(work);
}

void conn_end_work(struct herd_conn *conn)
{
    const struct conn_work *work = conn->work;
    if (work != NULL && conn->neighbour == NULL && work->asks == NULL && work->out.len == 0 &&
        herd_frame_kept(&work->frame) == 0)
        give_work_back(conn);
}

static void forget_asks(struct conn_work *work)
{
    while (work->asks != NULL) {
        struct herd_ask *ask = work->asks;
        work->asks = ask->next;
        ask->conn = NULL;
        if (ask->done || ask->again)
            node_free_ask(ask);
        else if (ask->kind == ASK_RECORD)
            wait_forget(ask);
        else if (ask->kind == ASK_SAFETY)
            persist_forget(ask);
    }
    work->asks_tail = NULL;
    work->ask_count = work->wait_count = 0;
    work->held = 0;
    work->kept = 0;
}

void conn_reset(struct herd_conn *conn)
{
    conn->in_flight = 0;
    if (conn->work == NULL)
        return;
    forget_asks(conn->work);
    give_work_back(conn);
}

void *herd_conn_data(const struct herd_conn *conn)
{
    return conn->data;
}

bool herd_conn_is_link(const struct herd_conn *conn)
{
    return conn->is_link;
}

bool herd_conn_is_neighbour(const struct herd_conn *conn)
{
    return conn->known;
}

const char *herd_conn_peer(const struct herd_conn *conn)
{
    return conn->neighbour != NULL ? conn->neighbour->name : NULL;
}

static void take_spare(const struct herd_conn *conn, struct herd_buf *out)
{
    struct spares *spares = &conn->node->spares;
    if (conn->is_link)
        spares_take_long(spares, out);
    else
        spares_take(spares, out);
}

struct herd_buf *conn_output(struct herd_conn *conn)
{
    struct conn_work *work = conn->work;
    struct herd_buf *buf = work->asks_tail != NULL ? &work->asks_tail->tail : &work->out;
    if (buf->cap == 0)
        take_spare(conn, buf);
    return buf;
}

struct herd_buf *conn_front(struct herd_conn *conn)
{
    struct herd_buf *buf = &conn->work->out;
    if (buf->cap == 0)
        take_spare(conn, buf);
    return buf;
}

struct herd_buf *conn_places(struct herd_conn *conn, size_t more)
{
    struct herd_buf *buf = conn_front(conn);
    size_t len = buf->len + more;
    if (len > buf->cap && len > SPARES_LARGE_BYTES && len <= SPARES_PLACES_BYTES)
        spares_lengthen(&conn->node->spares, buf);
    return buf;
}

void conn_touch(struct herd_conn *conn)
{
    if (conn->is_link)
        node_touch_links(conn->node);
    if (conn->is_link || conn->dirty)
        return;
    conn->dirty = true;
    conn->next_dirty = NULL;
    *conn->node->dirty_end = conn;
    conn->node->dirty_end = &conn->next_dirty;
    conn->node->dirty_count++;
}

void conn_close(struct herd_conn *conn)
{
    conn->closing = true;
    conn_touch(conn);
}

void conn_abort(struct herd_conn *conn)
{
    conn->closing = true;
    conn->aborted = true;
    conn_touch(conn);
}

void conn_make_ready(struct herd_conn *conn)
{
    if (conn->ready)
        return;
    conn->ready = true;
    conn->node->ready_count++;
    conn->next_ready = NULL;
    *conn->node->ready_end = conn;
    conn->node->ready_end = &conn->next_ready;
}

size_t conn_unsent(const struct herd_conn *conn)
{
    return conn->in_flight + (conn->work != NULL ? conn->work->out.len : 0);
}

size_t conn_waiting_bytes(const struct herd_conn *conn)
{
    return conn_unsent(conn) + (conn->work != NULL ? conn->work->held + conn->work->kept : 0);
}

static unsigned waiting_asks(const struct herd_conn *conn)
{
    return conn->work != NULL ? conn->work->ask_count : 0;
}

bool conn_has_room(const struct herd_conn *conn)
{
    return conn->is_link ? conn_unsent(conn) < LINK_WINDOW_BYTES
                         : conn_waiting_bytes(conn) < conn->node->options.output_max;
}

/* Links fill their output themselves, within their window. */
static bool is_full(const struct herd_conn *conn)
{
    const struct herd_node_options *options = &conn->node->options;
    return !conn->is_link && (conn_waiting_bytes(conn) >= options->output_max ||
                              waiting_asks(conn) >= options->pipeline_max);
}

static bool is_half_empty(const struct herd_conn *conn)
{
    const struct herd_node_options *options = &conn->node->options;
    return conn_waiting_bytes(conn) <= options->output_max / 2 &&
           waiting_asks(conn) <= options->pipeline_max / 2;
}

static int handle_line(struct herd_conn *conn, struct herd_now now, struct herd_slice line)
{
    struct herd_node *node = conn->node;
    node->stats.lines_received++;
    node_trace(conn, HERD_RECEIVED, line);
    if (conn->is_link)
        return link_line(conn_link(conn), now, line);
    return client_line(conn, now, line);
}

/* The line was longer than any may be: there is no knowing where the next one begins. */
static int reject_long_line(struct herd_conn *conn, struct herd_slice line)
{
    conn->node->stats.lines_invalid++;
    conn_close(conn);
    return conn->is_link ? 0 : herd_append_invalid(conn_output(conn), line);
}

static void count_pause(const struct herd_conn *conn)
{
    struct herd_node *node = conn->node;
    struct herd_node_stats *stats = &node->stats;
    stats->limits_reached++;
    if (conn->behind) {
        stats->clients_paused_disk++;
    } else if (conn->full) {
        stats->clients_paused++;
        stats->clients_paused_pipeline += conn_waiting_bytes(conn) < node->options.output_max;
    } else if (conn->neighbour != NULL) {
        stats->turns_full_link++;
    } else if (node->lines_left < node->options.turn_lines_client) {
        stats->turns_full_clients++;
    } else {
        stats->turns_full_client++;
    }
}

/* The rest of the lines waits: for the answers to go out, or for the next turn. */
static int pause_lines(struct herd_conn *conn, struct herd_slice input)
{
    conn->full = conn->behind || is_full(conn);
    if (!conn->full)
        conn_make_ready(conn);
    count_pause(conn);
    return herd_frame_keep(&conn->work->frame, input);
}

/* What looking ahead has found of the next lines of the input. */
struct ahead {
    size_t lens[STORE_EXPECT_MAX]; /* without their LF */
    unsigned count, next;
};

/* The client of a line; empty when it names none. */
static struct herd_slice peek_client(struct herd_slice line)
{
    struct herd_slice none = {line.data, 0};
    if (line.len <= 6)
        return none;
    bool iamat = memcmp(line.data, "IAMAT ", 6) == 0;
    if (!iamat && memcmp(line.data, "FLOOD ", 6) != 0)
        return none;
    line = herd_slice(line.data + 6, line.len - 6);
    const char *space = memchr(line.data, ' ', line.len);
    if (space != NULL && !iamat) {
        line = herd_slice(space + 1, line.len - (size_t)(space - line.data) - 1);
        space = memchr(line.data, ' ', line.len);
    }
    return space != NULL ? herd_slice(line.data, (size_t)(space - line.data)) : none;
}

/* Looks ahead: where the next lines end, and whose records they will take. The latter is a guess,
 * that nothing depends on. */
static void look_ahead(const struct herd_conn *conn, struct herd_slice input, struct ahead *ahead)
{
    struct herd_slice clients[STORE_EXPECT_MAX];
    const char *lf;
    size_t count = 0;
    ahead->count = ahead->next = 0;
    while (ahead->count < STORE_EXPECT_MAX && input.len > 0 &&
           (lf = memchr(input.data, '\n', input.len)) != NULL) {
        size_t len = (size_t)(lf - input.data);
        ahead->lens[ahead->count++] = len;
        clients[count] = peek_client(herd_slice(input.data, len));
        count += clients[count].len > 0 && clients[count].len <= HERD_CLIENT_ID_MAX;
        input = herd_slice(lf + 1, input.len - len - 1);
    }
    if (count > 0)
        store_expect(conn->node->store, clients, count);
    if (herd_frame_kept(&conn->work->frame) > 0)
        ahead->count = 0; /* what was taken for the first line is the end of another one */
}

static int next_line(struct herd_conn *conn, struct ahead *ahead, struct herd_slice *input,
                     struct herd_slice *line)
{
    struct conn_work *work = conn->work;
    if (ahead->next < ahead->count)
        return herd_frame_take(input, ahead->lens[ahead->next++], line);
    int rc = herd_frame_next(&work->frame, input, line);
    /* Half a line is a whole one only where its sender has said that no more follows. */
    if (rc == 0 && conn->ended && !conn->cut)
        rc = herd_frame_last(&work->frame, line);
    return rc;
}

/* One step: 1 for a line that was handled, 0 when there is nothing more to do, or not now (behind);
 * negative to abort. */
static int step(struct herd_conn *conn, struct herd_now now, struct ahead *ahead,
                struct herd_slice *input)
{
    struct conn_work *work = conn->work;
    struct herd_slice line, whole = *input;
    int rc = next_line(conn, ahead, input, &line);
    if (rc == 0 || rc == HERD_ENOMEM)
        return rc;
    if (rc > 0 && conn->node->pace.is_on && pace_holds(conn, now, line)) {
        conn->behind = true;
        herd_frame_put_back(&work->frame, whole, line, input);
        return 0;
    }
    struct herd_ask *last = work->asks_tail;
    size_t before = last != NULL ? last->tail.len : 0;
    rc = rc == HERD_ETOOLONG ? reject_long_line(conn, line) : handle_line(conn, now, line);
    if (last != NULL && last->tail.len != before)
        node_count_held(last);
    return rc < 0 ? rc : 1;
}

/* How many lines it may have handled now: of its own budget, and what others have left of that of
 * the turn. */
static unsigned lines_allowed(const struct herd_conn *conn)
{
    const struct herd_node *node = conn->node;
    if (conn->neighbour != NULL)
        return node->options.turn_lines_link;
    unsigned most = node->options.turn_lines_client;
    return node->lines_left < most ? node->lines_left : most;
}

static bool has_more(const struct herd_conn *conn, struct herd_slice input)
{
    return input.len > 0 || herd_frame_kept(&conn->work->frame) > 0 || conn->ended;
}

/* Nothing is left, nor memory of what was. */
static bool is_done(const struct herd_conn *conn, struct herd_slice input)
{
    return input.len == 0 && conn->work->frame.cap == 0 && !conn->ended;
}

static uint32_t carried_bytes(const struct herd_conn *conn)
{
    return conn->work != NULL ? conn->work->frame.cap : 0;
}

void conn_process(struct herd_conn *conn, struct herd_now now, struct herd_slice input)
{
    unsigned budget = lines_allowed(conn), lines = 0;
    uint32_t carried = carried_bytes(conn);
    struct ahead ahead;
    int rc = 0;
    ahead.count = ahead.next = 0;
    if (conn->work != NULL || input.len > 0)
        rc = conn_begin_work(conn) ? 1 : HERD_ENOMEM;
    while (rc > 0 && !conn->closing) {
        if (is_full(conn) || (lines >= budget && has_more(conn, input))) {
            rc = pause_lines(conn, input);
            break;
        }
        if (is_done(conn, input))
            break;
        if (lines % STORE_EXPECT_MAX == 0)
            look_ahead(conn, input, &ahead);
        rc = step(conn, now, &ahead, &input);
        lines += rc > 0;
    }
    if (conn->behind)
        rc = pause_lines(conn, input);
    if (conn->neighbour == NULL)
        conn->node->lines_left -= lines < conn->node->lines_left ? lines : conn->node->lines_left;
    else if (!conn->is_link && acks_are_due(conn->neighbour))
        acks_send(conn->neighbour);
    if (rc < 0)
        conn_abort(conn);
    else if (conn->ended && !conn->full && !conn->ready && conn->is_link)
        conn_abort(conn); /* there is nobody left who reads what was sent */
    else if (conn->ended && !conn->full && !conn->ready)
        conn->closing = true;
    if (carried > 0 && carried_bytes(conn) == 0)
        conn->node->spares.freed_bytes += carried;
    if (conn->work != NULL && !conn->is_link)
        conn->node->dirty_bytes += conn->work->out.cap;
    conn_touch(conn);
}

void herd_conn_receive(struct herd_conn *conn, struct herd_now now, const char *data, size_t len)
{
    if (conn->is_link)
        conn_link(conn)->heard_ns = now.mono_ns;
    else if (conn->neighbour != NULL)
        conn->neighbour->inbound_heard_ns = now.mono_ns;
    if (conn->closing || conn->cut)
        return;
    struct herd_slice input = herd_slice(data, len);
    if (!conn->full && !conn->ready)
        conn_process(conn, now, input);
    else if (!conn_begin_work(conn) || herd_frame_keep(&conn->work->frame, input) < 0)
        conn_abort(conn);
}

void herd_conn_end(struct herd_conn *conn, struct herd_now now)
{
    conn->ended = true;
    if (conn->closing || conn->full || conn->ready)
        return;
    conn_process(conn, now, herd_slice(NULL, 0));
}

void herd_conn_has_more(struct herd_conn *conn)
{
    conn->has_more = true;
}

void herd_conn_cut(struct herd_conn *conn, struct herd_now now)
{
    if (conn->ended)
        return;
    conn->cut = true;
    herd_conn_end(conn, now);
}

static void go_on_if_half_empty(struct herd_conn *conn)
{
    if (!conn->full || conn->behind || !is_half_empty(conn))
        return;
    conn->full = false;
    conn_make_ready(conn);
    conn_touch(conn);
}

void conn_disk_follows(struct herd_conn *conn)
{
    if (!conn->behind)
        return;
    conn->behind = false;
    go_on_if_half_empty(conn);
}

void herd_conn_wrote(struct herd_conn *conn, struct herd_now now, size_t len)
{
    (void)now; /* every event has its time, whether that matters or not */
    assert(len <= conn->in_flight);
    conn->in_flight -= (uint32_t)len;
    if (conn->is_link)
        conn_touch(conn);
    answers_go_on(conn);
    go_on_if_half_empty(conn);
}

void conn_go_on(struct herd_conn *conn, struct herd_now now)
{
    answers_go_on(conn);
    if (conn->full)
        go_on_if_half_empty(conn);
    else
        conn_process(conn, now, herd_slice(NULL, 0));
}

void herd_ask_answer(struct herd_ask *ask, struct herd_now now, struct herd_places take_places)
{
    struct herd_conn *conn = ask->conn;
    (void)now;
    assert(!ask->done);
    ask->done = true;
    ask->places = take_places;
    ask->node->stats.places_open -= ask->kind == ASK_PLACES;
    if (conn == NULL) {
        node_free_ask(ask);
        return;
    }
    conn->work->kept += take_places.bytes;
    answers_release(conn);
    go_on_if_half_empty(conn);
    conn_touch(conn);
}

static bool wants_to_read(const struct herd_conn *conn)
{
    return !conn->full && !conn->ready && !conn->closing && !conn->ended;
}

static void trace_output(const struct herd_conn *conn)
{
    if (conn->node->options.on_line == NULL)
        return;
    const char *at = conn->work->out.data;
    const char *end = at + conn->work->out.len;
    while (at < end) {
        const char *lf = memchr(at, '\n', (size_t)(end - at));
        size_t len = lf != NULL ? (size_t)(lf - at) : (size_t)(end - at);
        node_trace(conn, HERD_SENT, herd_slice(at, len));
        at += len + 1;
    }
}

bool conn_effect(struct herd_conn *conn, struct herd_effect *out)
{
    struct conn_work *work = conn->work;
    if (conn->close_told)
        return false;
    bool has_output = work != NULL && work->out.len > 0;
    bool waits = work != NULL && work->asks != NULL;
    bool close = conn->aborted || (conn->closing && !waits && !has_output);
    if (close) {
        conn->close_told = true;
        *out =
            (struct herd_effect){.kind = HERD_EFFECT_CLOSE, .conn = conn, .abort = conn->aborted};
        return true;
    }
    if (has_output) {
        trace_output(conn);
        out->kind = HERD_EFFECT_WRITE; /* other fields are not its own, and many bytes */
        out->conn = conn;
        out->output = work->out;
        conn->in_flight += (uint32_t)work->out.len;
        work->out = (struct herd_buf){0};
        return true;
    }
    if (conn->reading == wants_to_read(conn) || conn->ended)
        return false;
    conn->reading = !conn->reading;
    *out = (struct herd_effect){.kind = HERD_EFFECT_READ, .conn = conn, .read = conn->reading};
    return true;
}

bool conn_may_have_effect(const struct herd_conn *conn)
{
    bool is_told = conn->close_told || (!conn->closing && conn->reading == wants_to_read(conn));
    return !is_told || (conn->work != NULL && conn->work->out.len > 0);
}
