/* What is said on an accepted connection. A client's and a neighbour's lines come over the same
 * port in an open herd. */
#include <herd/err.h>
#include <herd/posix_time.h>
#include <herd/proto.h>

#include "core/node.h"

enum { FOREIGN_LINES_MAX = 3, IS_BLANK = 1 };

/* It does not end a row of lines of another protocol either: HTTP has one between two requests. */
static int on_blank(struct herd_conn *conn, struct herd_now now, struct herd_command *command)
{
    (void)conn;
    (void)now;
    (void)command;
    return IS_BLANK;
}

/* All lines of one read came in at once, and most reads in the second of the one before. */
static void write_received(struct herd_node *node, int64_t wall_ns)
{
    uint64_t into_second_ns = (uint64_t)wall_ns - (uint64_t)node->received_second_ns;
    if (node->received_len > 0 && into_second_ns < (uint64_t)HERD_NS_PER_S) {
        herd_time_decimals_format((uint32_t)into_second_ns,
                                  node->receipt + node->received_len - HERD_TIME_DECIMALS);
    } else {
        node->received_len = (uint8_t)herd_time_format(wall_ns, node->receipt);
        node->received_second_ns = wall_ns - wall_ns % HERD_NS_PER_S;
        char *at = node->receipt + node->received_len;
        *at++ = ' ';
        memcpy(at, node->name, node->name_len);
        at[node->name_len] = ' ';
    }
    node->received_ns = wall_ns;
}

/* What this server adds to a position, in one piece. */
static void add_receipt(struct herd_node *node, int64_t wall_ns, struct herd_record *record)
{
    if (node->received_len == 0 || node->received_ns != wall_ns)
        write_received(node, wall_ns);
    char *origin = node->receipt + node->received_len + 1, *diff = origin + node->name_len + 1;
    record->received_ns = wall_ns;
    record->received = herd_slice(node->receipt, node->received_len);
    record->origin = herd_slice(origin, node->name_len);
    record->diff = herd_slice(diff, herd_time_diff_format(wall_ns - record->sent_ns, diff));
}

static int on_iamat(struct herd_conn *conn, struct herd_now now, struct herd_command *command)
{
    struct herd_node *node = conn->node;
    struct herd_record *record = &command->record;
    add_receipt(node, now.wall_ns, record);
    if (!herd_record_fits(record))
        return HERD_ERANGE;
    node->stats.iamat++;
    int rc = node_apply(node, now, record, 0);
    return rc < 0 ? rc : persist_answer(conn, now, record, command->line, rc > 0);
}

static int on_whatsat(struct herd_conn *conn, struct herd_now now, struct herd_command *command)
{
    struct herd_node *node = conn->node;
    struct herd_record record;
    node->stats.whatsat++;
    bool found = herd_store_find(node->store, command->record.client, &record) &&
                 !herd_store_is_expired(node->store, &record, now.wall_ns);
    if (command->has_after && (!found || record.sent_ns < command->after_ns))
        return node->stopping ? HERD_ENOTFOUND : wait_begin(conn, now, command, command->line);
    if (!found)
        return HERD_ENOTFOUND;
    struct herd_ask *ask = node_new_ask(node, conn, ASK_PLACES);
    if (ask == NULL)
        return HERD_ENOMEM;
    ask->radius_m = command->radius_m;
    ask->count = command->count;
    return node_ask_places(ask, &record);
}

/* A neighbour that has dialled listens too: a link that waits to be dialled again need not wait.
 * Its first FLOOD shows who it is; a link that fails all the same waits in spite of the others. */
static struct neighbour *heard_from(struct herd_conn *conn, struct herd_now now,
                                    struct herd_slice server)
{
    struct neighbour *neighbour =
        conn->neighbour != NULL ? conn->neighbour : node_neighbour(conn->node, server);
    if (neighbour != NULL && !conn->known) {
        conn->known = true;
        neighbour->link.unanswered &= conn->neighbour != NULL;
        link_redial(&neighbour->link, now);
    }
    return neighbour;
}

/* It should long have been here; or its server's clock is ahead, so that there is no telling. */
static bool is_late(const struct herd_record *record, struct herd_now now)
{
    int64_t horizons_ns = 2 * FLOOD_HORIZON_MS * HERD_NS_PER_MS;
    return record->received_ns < now.wall_ns - horizons_ns ||
           record->received_ns > now.wall_ns + horizons_ns;
}

static int on_flood(struct herd_conn *conn, struct herd_now now, struct herd_command *command)
{
    struct herd_node *node = conn->node;
    node->stats.floods_received++;
    struct neighbour *neighbour = heard_from(conn, now, command->server);
    /* A record that cannot be kept must be sent again: without it, no MARK may be taken. */
    int rc = node_apply(node, now, &command->record, neighbour != NULL ? neighbour->source : 0);
    if (conn->neighbour != NULL) {
        acks_on_flood(conn->neighbour);
        ended_on_flood(conn->neighbour, now, &command->record, rc > 0);
    }
    if (rc > 0 && neighbour != NULL && is_late(&command->record, now)) {
        neighbour->reconcile.mended++;
        node->stats.records_mended++;
    }
    if (rc >= 0 && conn->neighbour != NULL)
        rc = prune_on_flood(conn->neighbour, now, &command->record, rc > 0);
    return rc < 0 ? rc : 0;
}

static int on_mark(struct herd_conn *conn, struct herd_now now, struct herd_command *command)
{
    struct herd_node *node = conn->node;
    struct neighbour *neighbour = conn->neighbour;
    if (neighbour == NULL || neighbour->mark.epoch != command->epoch)
        return 0;
    struct herd_mark *mark = &neighbour->mark;
    bool same_life = mark->life == neighbour->life.id;
    /* What another life's mark was worth in this one only the dialler knows. */
    uint64_t marked_before = same_life ? mark->sequence : 0;
    node->persist.marks_changed |= !same_life || mark->sequence != command->sequence;
    mark->sequence = command->sequence;
    mark->life = neighbour->life.id;
    mark->life_from = neighbour->life.from;
    neighbour->recovered = false;
    neighbour->next_ack = command->passed;
    neighbour->next_ack_all = command->sequence;
    neighbour->next_ack_own = herd_store_sequence(node->store);
    acks_on_mark(neighbour, now);
    return ended_on_mark(neighbour, now, marked_before);
}

static int on_digest(struct herd_conn *conn, struct herd_now now, struct herd_command *command)
{
    return conn->neighbour != NULL ? reconcile_on_digest(conn->neighbour, now, command) : 0;
}

static int on_tree(struct herd_conn *conn, struct herd_now now, struct herd_command *command)
{
    (void)now;
    return conn->neighbour != NULL ? reconcile_on_tree(conn, command) : HERD_ESYNTAX;
}

static int on_want(struct herd_conn *conn, struct herd_now now, struct herd_command *command)
{
    (void)now;
    if (conn->neighbour != NULL)
        link_on_want(&conn->neighbour->link, command->rest);
    return 0;
}

static int on_have(struct herd_conn *conn, struct herd_now now, struct herd_command *command)
{
    (void)now;
    return conn->neighbour != NULL ? prune_on_have(conn->neighbour, command) : 0;
}

static int on_lost(struct herd_conn *conn, struct herd_now now, struct herd_command *command)
{
    (void)now;
    if (conn->neighbour != NULL)
        prune_on_lost(conn->neighbour, command->rest);
    return 0;
}

static int on_faster(struct herd_conn *conn, struct herd_now now, struct herd_command *command)
{
    (void)now;
    if (conn->neighbour != NULL)
        trial_on_faster(conn->neighbour, command->rest);
    return 0;
}

/* What is to be ACKed goes with it, in one write. */
static int on_ping(struct herd_conn *conn, struct herd_now now, struct herd_command *command)
{
    (void)now;
    (void)command;
    int rc = herd_buf_append_text(conn_output(conn), "PONG\n");
    if (conn->neighbour != NULL && conn->neighbour->marks_unacked > 0)
        acks_send(conn->neighbour);
    return rc;
}

static int on_pong(struct herd_conn *conn, struct herd_now now, struct herd_command *command)
{
    (void)now;
    (void)command;
    if (conn->neighbour != NULL)
        conn->neighbour->inbound_pinged_ns = INT64_MAX;
    return 0;
}

/* Verbs without a row are only ever said on a link, by its listener. */
static int (*const handlers[HERD_VERB_COUNT])(struct herd_conn *conn, struct herd_now now,
                                              struct herd_command *command) = {
    [HERD_VERB_NONE] = on_blank,      [HERD_VERB_IAMAT] = on_iamat,
    [HERD_VERB_WHATSAT] = on_whatsat, [HERD_VERB_FLOOD] = on_flood,
    [HERD_VERB_HELLO] = hello_take,   [HERD_VERB_MARK] = on_mark,
    [HERD_VERB_DIGEST] = on_digest,   [HERD_VERB_TREE] = on_tree,
    [HERD_VERB_WANT] = on_want,       [HERD_VERB_PING] = on_ping,
    [HERD_VERB_PONG] = on_pong,       [HERD_VERB_HAVE] = on_have,
    [HERD_VERB_LOST] = on_lost,       [HERD_VERB_FASTER] = on_faster,
};

static int reject(struct herd_conn *conn, struct herd_slice line)
{
    conn->node->stats.lines_invalid++;
    conn->foreign = herd_line_is_foreign(line) ? (uint8_t)(conn->foreign + 1) : 0;
    if (conn->foreign >= FOREIGN_LINES_MAX)
        conn_close(conn);
    return herd_append_invalid(conn_output(conn), line);
}

int client_line(struct herd_conn *conn, struct herd_now now, struct herd_slice line)
{
    struct herd_command command;
    int rc = herd_command_parse(line, &command);
    if (rc == 0)
        rc = handlers[command.verb] != NULL ? handlers[command.verb](conn, now, &command)
                                            : HERD_ESYNTAX;
    if (rc == 0) {
        conn->foreign = 0;
        return 0;
    }
    return rc > 0 || rc == HERD_ENOMEM ? rc : reject(conn, line);
}
