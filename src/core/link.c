/*
 * A link dials its neighbour and sends it what the neighbour lacks: the records behind its cursor
 * in the store's list.
 *
 *             dialled              RESUME              found
 *   WAITING --> DIALLING --> GREETING --> SEEKING -----------> UP
 *                   |            |           ^
 *                   |            | `? HELLO` | RESUME after all
 *                   |            v or 300 ms |
 *                   +--------> PLAIN --------+
 *                without HELLO
 *
 *   every state --> WAITING   the connection has ended: dialled again, after a delay or at once
 *   every state --> CLOSING   given up: no answer to PING, refused, edge removed; then WAITING
 *
 * HELLO goes out as soon as the connection stands. The neighbour's RESUME says what it holds: the
 * cursor seeks that place, then records and MARKs follow. A plain neighbour gets all records, then
 * each new one.
 *
 * A connection that breaks at the wrong moment looks like a plain neighbour that closes on HELLO:
 * one that has spoken HELLO before is not taken for plain because of it.
 *
 * Two of ours that took each other for plain ones would never find out, since none says HELLO any
 * more. Where that may be (`doubtful`) HELLO is said again on a connection that stands.
 *
 * A plain neighbour may take one line a connection and close it, which shows when it closes. From
 * then on each connection carries one line, and the next is dialled at once.
 */
#include <assert.h>

#include <herd/err.h>
#include <herd/posix_time.h>
#include <herd/proto.h>

#include "core/node.h"
#include "core/store.h"

enum {
    DELAY_MIN_MS = 100,
    DELAY_MAX_MS = 5000,
    DIAL_MS = 3000,
    GREETING_MS = 300,
    BRIEF_MS = 2000, /* from RESUME to the end of a connection that came to nothing */
    HELLO_AGAIN_MIN_MS = 2000,
    HELLO_AGAIN_MAX_MS = 600000,
};

#define NEVER INT64_MAX

static const struct {
    const char *name;
    unsigned next; /* states it may go to, as bits */
} states[LINK_STATES] = {
    [LINK_WAITING] = {"waiting", 1u << LINK_DIALLING},
    [LINK_DIALLING] = {"dialling", 1u << LINK_GREETING | 1u << LINK_PLAIN | 1u << LINK_CLOSING |
                                       1u << LINK_WAITING},
    [LINK_GREETING] = {"greeting", 1u << LINK_SEEKING | 1u << LINK_PLAIN | 1u << LINK_CLOSING |
                                       1u << LINK_WAITING},
    [LINK_SEEKING] = {"seeking", 1u << LINK_UP | 1u << LINK_CLOSING | 1u << LINK_WAITING},
    [LINK_UP] = {"up", 1u << LINK_CLOSING | 1u << LINK_WAITING},
    [LINK_PLAIN] = {"plain", 1u << LINK_SEEKING | 1u << LINK_CLOSING | 1u << LINK_WAITING},
    [LINK_CLOSING] = {"closing", 1u << LINK_WAITING},
};

const char *link_state_name(enum link_state state)
{
    return states[state].name;
}

void link_move(struct link *link, enum link_state state)
{
    assert(states[link->state].next & 1u << state);
    link->state = state;
    /* What was to be done in one state is not done in the next; it would only keep waking the node.
     */
    link->deadline_ns = NEVER;
    link->mark_at_ns = NEVER;
    link->more = false;
    link->on_trial = false;
    link->hello_at_ns = NEVER;
}

static struct herd_node *node_of(const struct link *link)
{
    return link->conn.node;
}

static void notice(struct link *link, enum herd_notice_kind kind, uint64_t sequence,
                   const char *reason)
{
    struct herd_node *node = node_of(link);
    node_notice(node, kind, link->conn.neighbour->name, node->epoch, sequence, "%s", reason);
}

static void dial(struct link *link, struct herd_now now)
{
    link_move(link, LINK_DIALLING);
    link->deadline_ns = now.mono_ns + DIAL_MS * HERD_NS_PER_MS;
    link->heard_ns = now.mono_ns;
    link->pinged_ns = NEVER;
    window_begin(link);
    link->up_ns = NEVER;
    link->unmarked = link->unmarked_bytes = 0;
    link->lines = 0;
    link->said_hello = false;
    link->clean_mark_count = 0;
    link->refused = link->clocks_told = false;
    link->oldest_ns = NEVER;
    held_reset(link);
    link->digest_due = true;
    link->digest_at_ns = now.mono_ns;
    link->unanswered = false;
    link->dial_wanted = true;
    conn_touch(&link->conn);
}

void link_init(struct neighbour *neighbour, struct herd_node *node, void *data, struct herd_now now)
{
    struct link *link = &neighbour->link;
    conn_init_link(&link->conn, node, data, neighbour, &link->work);
    link->was_up = true;
    link->began_anew = true;
    dial(link, now);
}

/* Full jitter: anything up to a ceiling that doubles (Brooker, Exponential Backoff and Jitter,
 * 2015). */
static int64_t delay_ns(struct link *link)
{
    int64_t ceiling_ms = DELAY_MAX_MS;
    if (link->attempts < 6)
        ceiling_ms = (int64_t)DELAY_MIN_MS << link->attempts;
    if (ceiling_ms > DELAY_MAX_MS)
        ceiling_ms = DELAY_MAX_MS;
    link->attempts++;
    return (int64_t)rng_below(&node_of(link)->rng, (uint64_t)(ceiling_ms * HERD_NS_PER_MS));
}

static void wait_to_dial(struct link *link, struct herd_now now, bool at_once)
{
    link_move(link, LINK_WAITING);
    link->deadline_ns = now.mono_ns + (at_once ? 0 : delay_ns(link));
}

void link_redial(struct link *link, struct herd_now now)
{
    if (link->state != LINK_WAITING || link->removed || node_of(link)->stopping)
        return;
    link->attempts = 0;
    dial(link, now);
}

void link_drop(struct link *link, enum herd_notice_kind kind, const char *reason)
{
    if (link->state == LINK_CLOSING)
        return;
    notice(link, kind, herd_cursor_sequence(node_of(link)->store, link->cursor), reason);
    link_move(link, LINK_CLOSING);
    conn_abort(&link->conn);
}

void link_neighbour_greeted(struct link *link, struct herd_now now)
{
    link_neighbour_speaks(link);
    link->plain_next = false;
    if (link->state == LINK_PLAIN) {
        link_drop(link, HERD_NOTICE_LINK_DOWN, "the neighbour has learnt HELLO");
        return;
    }
    /* A neighbour that dials anew may have lost this connection: better to ask than to wait for
     * silence. */
    if (link->state == LINK_UP && link->pinged_ns == NEVER) {
        link->pinged_ns = now.mono_ns;
        if (window_ask(link) < 0)
            conn_abort(&link->conn);
        conn_touch(&link->conn);
    }
}

/* The neighbour holds nothing: it gets all records, its own words too. */
static void send_all(struct link *link)
{
    struct herd_node *node = node_of(link);
    link->conn.neighbour->source = node_new_source(node);
    link->skipped = link->late = 0;
    link->owed_to = 0;
    herd_cursor_to_begin(node->store, link->cursor);
}

static void become_plain(struct link *link)
{
    struct herd_node *node = node_of(link);
    link_move(link, LINK_PLAIN);
    link->lines = 0;
    link->conn.neighbour->speaks = false;
    link->sent_all = link->began_anew;
    if (link->began_anew) {
        send_all(link);
        link->took_one = false;
        uint64_t sequence = herd_cursor_sequence(node->store, link->cursor);
        if (link->unanswered)
            notice(link, HERD_NOTICE_LINK_DOWN, sequence,
                   "it once said HELLO, and does not answer one");
        else
            notice(link, HERD_NOTICE_LINK_PLAIN, sequence, "");
    }
    link->began_anew = false;
    link->was_up = true;
    conn_touch(&link->conn);
}

/* It could not be dialled, which is news only the first time, and may have lost all it knew by the
 * time it can. */
static void fail(struct link *link, const char *reason)
{
    if (link->was_up)
        notice(link, HERD_NOTICE_LINK_FAILED, 0, reason);
    link->was_up = false;
    link->began_anew = true;
    if (!link->took_one)
        link->one_line = false; /* it closed because it died */
}

static void say_hello(struct link *link)
{
    struct herd_node *node = node_of(link);
    if (hello_append(node, conn_output(&link->conn)) < 0)
        conn_abort(&link->conn);
    link->said_hello = true;
    conn_touch(&link->conn);
}

static void plan_hello(struct link *link, struct herd_now now)
{
    if (link->hello_again_ns == 0)
        link->hello_again_ns = HELLO_AGAIN_MIN_MS * HERD_NS_PER_MS;
    link->hello_at_ns = now.mono_ns + link->hello_again_ns;
}

/* To one that takes one line a connection it would be that line. */
static void say_hello_again(struct link *link, struct herd_now now)
{
    if (!link->one_line)
        say_hello(link);
    link->hello_again_ns *= 2;
    if (link->hello_again_ns > HELLO_AGAIN_MAX_MS * HERD_NS_PER_MS)
        link->hello_again_ns = HELLO_AGAIN_MAX_MS * HERD_NS_PER_MS;
    plan_hello(link, now);
}

void herd_link_dialled(struct herd_conn *conn, struct herd_now now, const char *failure)
{
    struct link *link = conn_link(conn);
    struct herd_node *node = conn->node;
    if (link->state == LINK_CLOSING && failure != NULL) {
        link_closed(link, now, failure); /* it was given up meanwhile */
        return;
    }
    if (link->state != LINK_DIALLING)
        return;
    if (failure != NULL) {
        node->stats.link_failures++;
        fail(link, failure);
        conn_reset(conn);
        wait_to_dial(link, now, false);
        return;
    }
    link->heard_ns = now.mono_ns;
    if (link->plain_next) {
        become_plain(link);
        if (link->doubtful)
            plan_hello(link, now);
        return;
    }
    link_move(link, LINK_GREETING);
    link->deadline_ns = now.mono_ns + GREETING_MS * HERD_NS_PER_MS;
    say_hello(link);
}

/* Back to normal: the next failure is news again, and the delays begin anew; but where it has come
 * up and ended soon before, that counts: one that greets and closes would be dialled for ever. */
static void come_up(struct link *link, struct herd_now now)
{
    link->was_up = true;
    link->attempts = link->brief;
    link->up_ns = now.mono_ns;
    conn_touch(&link->conn);
}

/* Whether all that the neighbour lacks was sent on this connection, or is next: its answer to HELLO
 * took so long that it was taken for a plain one. */
static bool is_on_its_way(const struct link *link)
{
    uint64_t sent = herd_cursor_sequence(node_of(link)->store, link->cursor);
    return link->state == LINK_PLAIN && link->sent_all && link->skipped == 0 &&
           sent >= link->resume;
}

static void on_resume(struct link *link, struct herd_now now, const struct herd_command *command)
{
    struct herd_node *node = node_of(link);
    if (link->state != LINK_GREETING && link->state != LINK_PLAIN)
        return;
    link->resume = link_resume_position(link, command);
    bool on_its_way = is_on_its_way(link);
    link_move(link, LINK_SEEKING);
    link_neighbour_speaks(link);
    if (on_its_way)
        link_move(link, LINK_UP);
    else if (link->resume > 0)
        herd_cursor_to_end(node->store, link->cursor);
    else
        send_all(link);
    if (link_has_word(command->rest, HERD_WORD_RECOVERED))
        link_neighbour_recovered(link, command->rest);
    link->marked = link->passed = link->acked = link->resume;
    link->catches_up = true;
    come_up(link, now);
    notice(link, HERD_NOTICE_LINK_UP, link->resume, "");
}

static void on_question_mark(struct link *link, struct herd_slice line)
{
    static const char hello[] = "? HELLO ";
    if (line.len < sizeof(hello) - 1 || memcmp(line.data, hello, sizeof(hello) - 1) != 0)
        return;
    link_neighbour_is_plain(link);
    if (link->state == LINK_GREETING)
        become_plain(link);
}

static void on_refuse(struct link *link, const struct herd_command *command)
{
    char reason[96] = {0};
    size_t len = command->rest.len < sizeof(reason) - 1 ? command->rest.len : sizeof(reason) - 1;
    memcpy(reason, command->rest.data, len);
    link->attempts = 6; /* it will not change its mind soon */
    link_drop(link, HERD_NOTICE_LINK_REFUSED, reason);
}

int link_line(struct link *link, struct herd_now now, struct herd_slice line)
{
    struct herd_command command;
    link->unanswered = false;
    int rc = herd_command_parse(line, &command);
    if (rc < 0) {
        on_question_mark(link, line);
        return 0;
    }
    switch (command.verb) {
    case HERD_VERB_RESUME:
        on_resume(link, now, &command);
        return 0;
    case HERD_VERB_PING:
        if (!conn_has_room(&link->conn))
            return 0; /* it asks, and does not read the answers */
        return herd_buf_append_text(conn_output(&link->conn), "PONG\n");
    case HERD_VERB_PONG:
        link->pinged_ns = NEVER;
        window_on_pong(link);
        return 0;
    case HERD_VERB_REFUSE:
        on_refuse(link, &command);
        return 0;
    case HERD_VERB_ACK:
        link_on_ack(link, now, &command);
        return 0;
    case HERD_VERB_ENDED:
        link_on_ended(link, now, &command);
        return 0;
    case HERD_VERB_TREE:
        if (!conn_has_room(&link->conn))
            return 0;
        rc = reconcile_on_tree(&link->conn, &command);
        return rc == HERD_ERANGE ? 0 : rc;
    case HERD_VERB_KEYS:
        return reconcile_on_keys(link, now, &command);
    case HERD_VERB_WANT:
        link_on_want(link, command.rest);
        return 0;
    case HERD_VERB_PRUNE:
        held_on_prune(link, command.rest);
        return 0;
    case HERD_VERB_GRAFT:
        held_on_graft(link, command.rest);
        return 0;
    case HERD_VERB_HELD:
        held_on_held(link, now, &command);
        return 0;
    default:
        return 0; /* nothing a listener has to say here */
    }
}

static void note_how_long(struct link *link, struct herd_now now)
{
    if (link->up_ns == NEVER)
        return;
    if (now.mono_ns - link->up_ns < BRIEF_MS * HERD_NS_PER_MS)
        link->brief++;
    else
        link->brief = link->attempts = 0;
}

void link_closed(struct link *link, struct herd_now now, const char *reason)
{
    struct herd_node *node = node_of(link);
    struct neighbour *neighbour = link->conn.neighbour;
    bool told = link->state == LINK_CLOSING;
    note_how_long(link, now);
    bool at_once = link_learn_from_close(link);
    if (!at_once && !told) {
        notice(link, HERD_NOTICE_LINK_DOWN, herd_cursor_sequence(node->store, link->cursor),
               reason);
    }
    if (!at_once)
        node->stats.link_failures++;
    conn_reset(&link->conn);
    if (link->removed) {
        node_forget_neighbour(node, neighbour);
        return;
    }
    struct herd_conn *conn = &link->conn;
    conn->reading = true;
    conn->full = conn->ended = conn->closing = conn->aborted = conn->close_told = false;
    wait_to_dial(link, now, at_once);
}

static void heartbeat(struct link *link, struct herd_now now)
{
    if (link->pinged_ns != NEVER) {
        if (now.mono_ns - link->pinged_ns >= DEAD_MS * HERD_NS_PER_MS)
            link_drop(link, HERD_NOTICE_LINK_DOWN, "no answer to PING");
        return;
    }
    if (now.mono_ns - link->heard_ns < HEARTBEAT_MS * HERD_NS_PER_MS)
        return;
    link->pinged_ns = now.mono_ns;
    if (window_ask(link) < 0)
        conn_abort(&link->conn);
    conn_touch(&link->conn);
}

/*
 * To HELLO. A neighbour that has said HELLO itself is not a plain one: it is slow, or gone. Of one
 * that did so once it may be a successor that is plain: it is sent a few records meanwhile, and all
 * of them only when a slow one, which lacks the latest alone, would have answered.
 */
static void on_no_answer(struct link *link, struct herd_now now)
{
    struct neighbour *neighbour = link->conn.neighbour;
    int64_t dead_ns = link->heard_ns + DEAD_MS * HERD_NS_PER_MS;
    bool dead = now.mono_ns >= dead_ns;
    if (neighbour->inbound != NULL && dead) {
        link_drop(link, HERD_NOTICE_LINK_DOWN, "no answer to HELLO");
    } else if (neighbour->inbound == NULL && (dead || !neighbour->speaks)) {
        link->unanswered = neighbour->has_spoken;
        become_plain(link);
    } else {
        link->deadline_ns = dead_ns;
        if (neighbour->inbound == NULL)
            link_begin_trial(link);
    }
}

static void on_deadline(struct link *link, struct herd_now now)
{
    link->deadline_ns = NEVER;
    switch (link->state) {
    case LINK_WAITING:
        if (!node_of(link)->stopping)
            dial(link, now);
        break;
    case LINK_DIALLING:
        if (link->dial_wanted) { /* the loop stood still: it has not begun */
            link->deadline_ns = now.mono_ns + DIAL_MS * HERD_NS_PER_MS;
            break;
        }
        fail(link, "no answer to the attempt to connect");
        link_move(link, LINK_CLOSING);
        conn_abort(&link->conn);
        break;
    case LINK_GREETING:
        on_no_answer(link, now);
        break;
    case LINK_PLAIN: /* it takes more than one line after all: what closed before was its death */
        if (link->took_one)
            send_all(link);
        link->took_one = false;
        link->one_line = false;
        conn_touch(&link->conn);
        break;
    default:
        break;
    }
}

bool link_digest_changed(const struct link *link)
{
    return link->digest_due || link->digest_told != herd_store_digest(node_of(link)->store);
}

void link_tick(struct link *link, struct herd_now now)
{
    if (now.mono_ns >= link->deadline_ns)
        on_deadline(link, now);
    if (now.mono_ns >= link->hello_at_ns)
        say_hello_again(link, now);
    if (link->state == LINK_UP || link->state == LINK_SEEKING)
        heartbeat(link, now);
    ended_tick(link, now);
    bool tell =
        link->state == LINK_UP && now.mono_ns >= link->digest_at_ns && link_digest_changed(link);
    if (now.mono_ns >= link->mark_at_ns || link->more || tell || held_is_due(link, now))
        conn_touch(&link->conn);
}

int64_t link_wakeup(const struct link *link)
{
    if (link->conn.closing)
        return NEVER;
    int64_t at = link->deadline_ns < link->mark_at_ns ? link->deadline_ns : link->mark_at_ns;
    if (link->more)
        return INT64_MIN;
    at = at < link->hello_at_ns ? at : link->hello_at_ns;
    if (link->state != LINK_UP && link->state != LINK_SEEKING)
        return at;
    int64_t beat = link->pinged_ns != NEVER ? link->pinged_ns + DEAD_MS * HERD_NS_PER_MS
                                            : link->heard_ns + HEARTBEAT_MS * HERD_NS_PER_MS;
    at = at < beat ? at : beat;
    at = at < held_wakeup(link) ? at : held_wakeup(link);
    at = at < ended_wakeup(link) ? at : ended_wakeup(link);
    bool tell = link->state == LINK_UP && link->digest_at_ns < at &&
                herd_cursor_at_end(node_of(link)->store, link->cursor) && link_digest_changed(link);
    return tell ? link->digest_at_ns : at;
}

bool link_effect(struct link *link, struct herd_now now, struct herd_effect *out)
{
    if (link->dial_wanted) {
        link->dial_wanted = false;
        *out = (struct herd_effect){.kind = HERD_EFFECT_DIAL, .conn = &link->conn};
        return true;
    }
    if (link->state == LINK_WAITING)
        return false;
    link_fill(link, now);
    if (!conn_effect(&link->conn, out))
        return false;
    if (out->kind == HERD_EFFECT_WRITE)
        link->written += out->output.len;
    return true;
}

bool link_stop(struct link *link, struct herd_now now)
{
    link->deadline_ns = NEVER;
    if (link->state == LINK_WAITING || link->dial_wanted) {
        link->dial_wanted = false;
        return false;
    }
    if (link->state == LINK_CLOSING)
        return true;
    link->digest_at_ns = NEVER;
    window_forget(link);
    link_fill(link,
              now); /* what clients were told goes out first, and so does what is on its way */
    bool connected = link->state != LINK_DIALLING;
    link_move(link, LINK_CLOSING);
    if (connected)
        conn_close(&link->conn);
    else
        conn_abort(&link->conn);
    return true;
}
