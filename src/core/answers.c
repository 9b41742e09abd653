/*
 * Answers that had to wait. The first one that is done, and its tail, move on to what is ready to be
 * sent. Places, which are long, do so only while there is room for them.
 *
 *   herd_ask_answer -> (there is room) places rendered -> WRITE
 *                   -> (there is none) held back -> wrote -> places rendered -> WRITE
 */
#include <herd/posix_time.h>

#include "core/node.h"

/* Moves the bytes of one buffer behind those of another; a whole buffer where that one is empty. */
static int move_bytes(struct herd_buf *to, struct herd_buf *from)
{
    if (to->len == 0) {
        struct herd_buf spare = *to;
        *to = *from;
        *from = spare;
        return 0;
    }
    int rc = herd_buf_append(to, from->data, from->len);
    from->len = 0;
    return rc;
}

/* Places are long: they go where there is room for them already, and their AT line with them. */
static int append_places(struct herd_conn *conn, struct herd_ask *ask)
{
    const struct herd_places *places = &ask->places;
    size_t more = ask->answer.len;
    if (places->type->length != NULL)
        more += places->type->length(places->data, ask->count);
    struct herd_buf *out = conn_places(conn, more);
    int rc = herd_buf_append_slice(out, herd_buf_slice(&ask->answer));
    return rc < 0 ? rc : places->type->render(places->data, ask->count, out);
}

/* The first ask's answer can be sent, and what waited behind it. */
static int release_first(struct herd_conn *conn)
{
    struct conn_work *work = conn->work;
    struct herd_ask *ask = work->asks;
    int rc =
        ask->places.type != NULL ? append_places(conn, ask) : move_bytes(&work->out, &ask->answer);
    work->held -= ask->held;
    work->kept -= ask->places.bytes;
    if (rc == 0 && ask->tail.len > 0)
        rc = move_bytes(&work->out, &ask->tail);
    work->asks = ask->next;
    if (work->asks == NULL)
        work->asks_tail = NULL;
    work->ask_count--;
    node_free_ask(ask);
    return rc;
}

/* What waits, but for places: those are to become part of it. */
static size_t bytes_before_places(const struct herd_conn *conn)
{
    return conn_unsent(conn) + conn->work->held;
}

/* What waits behind places takes room too; but with nothing on its way nothing would make more. */
static bool has_room_for_places(const struct herd_conn *conn)
{
    return conn_unsent(conn) == 0 || bytes_before_places(conn) < conn->node->options.output_max;
}

bool herd_ask_has_room(const struct herd_ask *ask)
{
    const struct herd_conn *conn = ask->conn;
    return conn == NULL || (conn->work->asks == ask && has_room_for_places(conn));
}

bool herd_ask_is_unread(const struct herd_ask *ask)
{
    return ask->conn != NULL && ask->conn->in_flight > 0;
}

/* Counted when the client does not read, also where its places were not kept; the room of a turn
 * may be used up by answers alone. */
static void hold_back(struct herd_ask *ask)
{
    if (ask->held_back || !herd_ask_is_unread(ask))
        return;
    ask->held_back = true;
    ask->node->stats.places_held_back++;
    ask->node->stats.limits_reached++;
}

/* A client that does not read has what there is room for kept; what it has asked besides, it will
 * again. */
static void keep_less(struct herd_conn *conn)
{
    struct conn_work *work = conn->work;
    size_t kept = 0, before = bytes_before_places(conn), max = conn->node->options.output_max;
    size_t kept_max = before < max ? max - before : 0;
    if (work->kept <= kept_max || conn->in_flight == 0)
        return;
    for (struct herd_ask *ask = work->asks; ask != NULL; ask = ask->next) {
        if (!ask->done || ask->places.bytes == 0)
            continue;
        kept += ask->places.bytes;
        if (kept <= kept_max)
            continue;
        kept -= ask->places.bytes;
        work->kept -= ask->places.bytes;
        node_forget_places(ask);
        ask->done = false;
        ask->again = true;
        conn->node->stats.places_again++;
    }
}

/* As many of the first ones as there is room for. */
static void ask_again(struct herd_conn *conn)
{
    size_t bytes = conn_unsent(conn);
    for (struct herd_ask *ask = conn->work->asks; ask != NULL && ask->again; ask = ask->next) {
        ask->again = false;
        node_queue_places(ask);
        bytes += ask->places.bytes;
        if (bytes >= conn->node->options.output_max)
            break;
    }
}

void answers_release(struct herd_conn *conn)
{
    struct conn_work *work = conn->work;
    int rc = 0;
    while (rc == 0 && work->asks != NULL && work->asks->done &&
           (work->asks->places.type == NULL || has_room_for_places(conn)))
        rc = release_first(conn);
    if (rc < 0) {
        conn_abort(conn);
        return;
    }
    keep_less(conn);
    if (work->asks != NULL && work->asks->again && has_room_for_places(conn))
        ask_again(conn);
    if (work->asks != NULL && (work->asks->done || work->asks->again))
        hold_back(work->asks);
}

static void release_for_room(struct herd_conn *conn)
{
    struct herd_node *node = conn->node;
    size_t before = conn->work->out.len;
    answers_release(conn);
    size_t more = conn->work->out.len - before;
    node->places_left -= more < node->places_left ? more : node->places_left;
    conn_touch(conn);
}

bool herd_ask_try(struct herd_ask *ask)
{
    struct herd_conn *conn = ask->conn;
    if (conn == NULL || conn->close_told || conn->aborted || conn->in_flight > 0)
        return false;
    if (conn_unsent(conn) == 0 && conn->work->asks->done)
        release_for_room(conn);
    return conn_unsent(conn) > 0 && !conn->aborted;
}

/* Many clients may have room at once, so a turn has a budget. */
void answers_go_on(struct herd_conn *conn)
{
    struct herd_node *node = conn->node;
    struct conn_work *work = conn->work;
    if (work == NULL || work->asks == NULL || conn->close_told ||
        !(work->asks->done || work->asks->again))
        return;
    if (node->places_left == 0) {
        conn_make_ready(conn);
        return;
    }
    release_for_room(conn);
}
