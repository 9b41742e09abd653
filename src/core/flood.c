/* What goes over a link that is up: the records behind its cursor, MARKs, and the store's DIGEST.
 */
#include <herd/err.h>
#include <herd/posix_time.h>
#include <herd/proto.h>

#include "core/copy.h"
#include "core/node.h"
#include "core/store.h"

enum { MARK_MS = 100 };

/* Whether nothing is left behind a MARK of now, so that its ACK answers those who wait. */
static bool is_all_said(const struct link *link)
{
    return herd_cursor_at_end(link->conn.node->store, link->cursor) && !link->held.walking;
}

static int mark(struct link *link)
{
    struct herd_node *node = link->conn.node;
    link->passed = herd_cursor_sequence(node->store, link->cursor);
    link->marked = held_claim(link, link->passed);
    if (is_all_said(link))
        link_note_clean_mark(link);
    link->unmarked = link->unmarked_bytes = 0;
    link->mark_at_ns = INT64_MAX;
    return herd_append_mark(conn_output(&link->conn), HERD_VERB_MARK, node->epoch, link->marked,
                            link->passed);
}

static int append_flood(struct link *link, struct herd_slice text)
{
    struct herd_slice prefix = link->conn.node->flood_prefix;
    struct herd_buf *out = conn_output(&link->conn);
    if (herd_buf_reserve(out, prefix.len + text.len + 1) < 0)
        return HERD_ENOMEM;
    char *at = copy_bytes(out->data + out->len, prefix.data, prefix.len);
    *copy_bytes(at, text.data, text.len) = '\n';
    out->len += prefix.len + text.len + 1;
    return 0;
}

static bool window_is_open(const struct link *link)
{
    return link_has_room(link) && !(link->one_line && link->lines > 0);
}

int link_send_entry(struct link *link, const struct herd_entry *entry)
{
    link->lines++;
    link->sent++;
    link->unmarked++;
    link->unmarked_bytes += (uint32_t)entry->text.len;
    link->conn.node->stats.floods_sent++;
    link_note_sent(link, link_received_ns(link->conn.node, entry->text));
    return append_flood(link, entry->text);
}

void link_send_record(struct link *link, const struct herd_record *record)
{
    struct herd_buf *out = conn_output(&link->conn);
    size_t len = herd_record_text_len(record);
    struct herd_slice prefix = link->conn.node->flood_prefix;
    if (link->state != LINK_UP || !window_is_open(link) ||
        herd_buf_reserve(out, prefix.len + len + 1) < 0)
        return;
    memcpy(out->data + out->len, prefix.data, prefix.len);
    herd_record_write_text(record, out->data + out->len + prefix.len);
    out->len += prefix.len + len + 1;
    out->data[out->len - 1] = '\n';
    link->sent++;
    link->conn.node->stats.floods_sent++;
    conn_touch(&link->conn);
}

void link_on_want(struct link *link, struct herd_slice clients)
{
    struct herd_slice client;
    struct herd_record record;
    while (herd_next_word(&clients, &client)) {
        if (herd_store_find(link->conn.node->store, client, &record))
            link_send_record(link, &record);
    }
}

/* Whether a MARK follows. On the way back from an outage there is nobody whom it would keep waiting
 * until the last line is sent, and a break costs at most what was in flight. */
static bool ends_batch(const struct link *link)
{
    return link->catches_up ? link->unmarked_bytes >= LINK_WINDOW_BYTES
                            : link->unmarked >= LINK_LINES_PER_MARK;
}

/* What came from there, mostly many together. */
static void pass_over_theirs(struct link *link)
{
    uint64_t first;
    size_t steps =
        store_cursor_pass(link->conn.node->store, link->cursor, link->conn.neighbour->source,
                          LINK_STEPS_PER_TURN - link->steps, &first);
    if (steps > 0)
        link_pass_over(link, first);
    link->steps += (unsigned)steps;
}

/* Of what may be sent in one piece: up to where fill_records would stop, pass or say MARK. In a
 * catch-up that counts the records' bytes, which are fewer than those of their lines: the next part
 * comes nearer. */
static struct run_limits run_limits(const struct link *link)
{
    struct run_limits limits = {
        .lines = LINK_STEPS_PER_TURN - link->steps,
        .bytes = link_room(link),
    };
    if (link->state != LINK_UP)
        return limits;
    size_t to_ping = window_to_ping(link);
    if (to_ping > 0 && to_ping < limits.bytes)
        limits.bytes = to_ping;
    if (link->catches_up) {
        size_t to_mark =
            link->unmarked_bytes < LINK_WINDOW_BYTES ? LINK_WINDOW_BYTES - link->unmarked_bytes : 1;
        limits.bytes = to_mark < limits.bytes ? to_mark : limits.bytes;
    } else {
        unsigned to_mark =
            link->unmarked < LINK_LINES_PER_MARK ? LINK_LINES_PER_MARK - link->unmarked : 1;
        limits.lines = to_mark < limits.lines ? to_mark : limits.lines;
    }
    return limits;
}

/* With memory at once for what will follow, if there is as much: it would grow by copying, from one
 * part to the next. */
static int append_part(struct link *link, const struct run_part *part)
{
    struct herd_buf *out = conn_output(&link->conn);
    size_t more = part->text.len + part->to_come;
    size_t room = link_room(link);
    if (more > room)
        more = room > part->text.len ? room : part->text.len;
    return herd_buf_reserve(out, more) < 0 && herd_buf_reserve(out, part->text.len) < 0
               ? HERD_ENOMEM
               : herd_buf_append_slice(out, part->text);
}

/* The lines of a part are in the output. */
static void go_behind(struct link *link, const struct run_part *part)
{
    struct herd_node *node = link->conn.node;
    store_cursor_behind(node->store, link->cursor, part->last);
    link->steps += part->lines;
    link->lines += part->lines;
    link->sent += part->lines;
    link->unmarked += part->lines;
    link->unmarked_bytes += (uint32_t)part->record_bytes;
    node->stats.floods_sent += part->lines;
    link_note_sent(link, part->oldest_ns);
}

/* Lines that another link has made, or needs as well, if the cursor stands before such. 1: some were
 * sent. */
static int send_run(struct link *link)
{
    struct run_limits limits = run_limits(link);
    struct run_part part;
    unsigned at;
    if (!run_reach(link, &at))
        return 0;
    run_cut(link, at, &limits, &part);
    if (part.lines == 0)
        return 0;
    if (append_part(link, &part) < 0)
        return HERD_ENOMEM;
    go_behind(link, &part);
    return 1;
}

/* Lines that it makes itself, some at a time, and then looks for a run again. As send_run. */
static int send_own(struct link *link)
{
    const struct herd_node *node = link->conn.node;
    struct run_limits limits = run_limits(link);
    struct run_part part = {.oldest_ns = INT64_MAX};
    size_t around = node->flood_prefix.len + 1;
    uint32_t at = link->cursor;
    unsigned lines_max = link->one_line ? 1 : RUN_ALONE;
    struct herd_entry entry;
    int rc = 0;
    if (limits.lines > lines_max)
        limits.lines = lines_max;
    while (part.lines < limits.lines && part.record_bytes + part.lines * around < limits.bytes) {
        at = store_record_behind(node->store, at, &entry);
        if (at == STORE_NO_RECORD || entry.source == link->conn.neighbour->source ||
            held_would_take(link, &entry) || (rc = append_flood(link, entry.text)) < 0)
            break;
        int64_t received_ns = link_received_ns(node, entry.text);
        if (received_ns < part.oldest_ns)
            part.oldest_ns = received_ns;
        part.record_bytes += entry.text.len;
        part.lines++;
        part.last = at;
    }
    if (part.lines > 0)
        go_behind(link, &part);
    return rc < 0 ? rc : part.lines > 0;
}

/* What is said behind a line, or some. */
static int end_line(struct link *link)
{
    int rc = ends_batch(link) ? mark(link) : 0;
    return rc == 0 ? window_fill(link) : rc;
}

/* The next record, alone; one that is held back is passed over. As send_run. */
static int send_next(struct link *link, bool *is_held)
{
    struct herd_entry entry;
    if (!herd_cursor_next(link->conn.node->store, link->cursor, &entry))
        return 0;
    link->steps++;
    *is_held = held_take(link, &entry);
    int rc = *is_held ? 0 : link_send_entry(link, &entry);
    return rc < 0 ? rc : 1;
}

/* The records behind the cursor, but for those that came from there or are held back. */
static int fill_records(struct link *link)
{
    const struct herd_node *node = link->conn.node;
    int rc = link->state == LINK_UP ? window_fill(link) : 0;
    held_follow(link);
    while (rc == 0 && window_is_open(link)) {
        if (link->steps < LINK_STEPS_PER_TURN)
            pass_over_theirs(link);
        link->more = link->steps >= LINK_STEPS_PER_TURN;
        if (link->more)
            break;
        rc = send_run(link);
        if (rc == 0)
            rc = send_own(link);
        bool is_held = false;
        if (rc == 0)
            rc = send_next(link, &is_held);
        if (rc <= 0)
            break;
        rc = link->state == LINK_UP && !is_held ? end_line(link) : 0;
    }
    link->catches_up &= !herd_cursor_at_end(node->store, link->cursor);
    return rc;
}

void link_begin_trial(struct link *link)
{
    link->on_trial = true;
    herd_cursor_to_begin(link->conn.node->store, link->cursor);
    conn_touch(&link->conn);
}

/* Whoever it is, it gets what came from there too: its words may be those of another one. */
static int fill_trial(struct link *link)
{
    struct herd_node *node = link->conn.node;
    struct herd_entry entry;
    int rc = 0;
    while (rc == 0 && window_is_open(link) && link->lines < LINK_TRIAL_LINES &&
           herd_cursor_next(node->store, link->cursor, &entry)) {
        rc = append_flood(link, entry.text);
        link->lines++;
        link->sent++;
        node->stats.floods_sent++;
    }
    return rc;
}

/* The store in one number, once the neighbour has been sent all that went into it. */
static int tell_digest(struct link *link, struct herd_now now)
{
    const struct herd_store *store = link->conn.node->store;
    if (now.mono_ns < link->digest_at_ns || !herd_cursor_at_end(store, link->cursor) ||
        !link_digest_changed(link))
        return 0;
    link->digest_due = false;
    link->digest_told = herd_store_digest(store);
    link->digest_at_ns = now.mono_ns + DIGEST_MS * HERD_NS_PER_MS;
    return herd_append_digest(conn_output(&link->conn), herd_store_count(store), link->digest_told);
}

/* Answers wait for an ACK, and none is on its way: the one for the last MARK was lost with its
 * connection, or in an earlier life of this server. Once it is asked for, this is false: a MARK of
 * now is a clean one. */
static bool has_to_ask_again(const struct link *link)
{
    return persist_wants_ack(link->conn.node) && link->clean_mark_count == 0 && !link->refused &&
           is_all_said(link);
}

static int fill_up(struct link *link, struct herd_now now)
{
    int rc = held_fill(link, now);
    if (rc == 0)
        rc = fill_records(link);
    held_plan(link, now);
    uint64_t passed = herd_cursor_sequence(link->conn.node->store, link->cursor);
    bool behind = link->marked < held_claim(link, passed);
    bool asks = persist_wants_ack(link->conn.node);
    bool due = now.mono_ns >= link->mark_at_ns || asks;
    if (rc == 0 && ((behind && due) || (asks && link->passed < passed) || has_to_ask_again(link)))
        return mark(link);
    if (behind && !link->catches_up && link->mark_at_ns == INT64_MAX)
        link->mark_at_ns = now.mono_ns + MARK_MS * HERD_NS_PER_MS;
    return rc;
}

/* Written bytes make room at once, but a long catch-up must not take the whole turn. */
static void begin_turn(struct link *link)
{
    uint64_t turn = link->conn.node->turn;
    if (link->turn == turn)
        return;
    link->turn = turn;
    link->steps = 0;
}

/* Puts lines into the connection's output, as far as the window and the turn's budget go. */
void link_fill(struct link *link, struct herd_now now)
{
    int rc = 0;
    begin_turn(link);
    link->more = false;
    if (link->conn.closing) {
        link->mark_at_ns = INT64_MAX;
        return;
    }
    if (link->state == LINK_SEEKING) {
        struct herd_store *store = link->conn.node->store;
        if (link->resume == 0 || herd_cursor_seek_back(store, link->cursor, link->resume,
                                                       LINK_STEPS_PER_TURN - link->steps))
            link_move(link, LINK_UP);
        else
            link->steps = LINK_STEPS_PER_TURN;
        link->more = link->state == LINK_SEEKING;
    }
    if (link->state == LINK_UP) {
        rc = fill_up(link, now);
        if (rc == 0)
            rc = tell_digest(link, now);
    } else if (link->on_trial) {
        rc = fill_trial(link);
    } else if (link->state == LINK_PLAIN) {
        rc = fill_records(link);
        if (link->one_line && link->lines > 0 && link->deadline_ns == INT64_MAX)
            link->deadline_ns = now.mono_ns + link->one_line_ns;
    }
    if (rc < 0)
        conn_abort(&link->conn);
}
