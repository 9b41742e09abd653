/*
 * D dials, L listens; D has told L all that it has, so far as sequences go.
 *
 *   D  DIGEST            on connect, then every few seconds while the store changes
 *   L  TREE -            its root, once the digests have differed for two flood horizons
 *   D  TREE a            its sums of a part that differs …
 *   L  TREE ab           … and so on, each message one digit further down
 *   D  TREE abc
 *   L  KEYS abcd         what it has of a leaf that differs
 *   D  FLOOD …           what is missing there, or older
 *
 * Where L has learnt something since that DIGEST, or told D, it is older than D's store as well. So a
 * walk begins with a DIGEST that has just come, or that nothing has happened since; or that is so old
 * that D would have told another one.
 *
 * That mends L. D is mended over L's own link to it. A walk looks into a few parts of each TREE, so
 * that it is bounded; the next one finds the rest. In a busy herd the digests always differ by what
 * is on its way: a walk that mends nothing makes the next one wait longer.
 */
#include <herd/err.h>
#include <herd/posix_time.h>

#include "core/node.h"
#include "core/store.h"

#define NEVER INT64_MAX

void reconcile_init(struct reconcile *reconcile)
{
    *reconcile = (struct reconcile){.differs_since_ns = NEVER, .interval_ms = WALK_MIN_MS};
}

static bool is_equal(const struct reconcile *reconcile, const struct herd_store *store)
{
    return reconcile->digest == herd_store_digest(store) &&
           reconcile->clients == herd_store_count(store);
}

static void become_equal(struct reconcile *reconcile)
{
    reconcile->differs_since_ns = NEVER;
    reconcile->walked = false;
}

int reconcile_on_digest(struct neighbour *neighbour, struct herd_now now,
                        const struct herd_command *command)
{
    struct reconcile *reconcile = &neighbour->reconcile;
    const struct herd_store *store = neighbour->link.conn.node->store;
    reconcile->clients = command->clients;
    reconcile->digest = command->digest;
    reconcile->told_ns = now.mono_ns;
    reconcile->own_digest = herd_store_digest(store);
    reconcile->sent = neighbour->link.sent;
    if (is_equal(reconcile, store)) {
        become_equal(reconcile);
        reconcile->interval_ms = WALK_MIN_MS;
    } else if (reconcile->differs_since_ns == NEVER) {
        reconcile->differs_since_ns = now.mono_ns;
        reconcile->walk_at_ns = now.mono_ns + 2 * FLOOD_HORIZON_MS * HERD_NS_PER_MS;
    }
    return reconcile_tick(neighbour, now);
}

/* Either store has changed since that DIGEST. */
static bool is_outdated(const struct neighbour *neighbour)
{
    const struct reconcile *reconcile = &neighbour->reconcile;
    return reconcile->sent != neighbour->link.sent ||
           reconcile->own_digest != herd_store_digest(neighbour->link.conn.node->store);
}

int64_t reconcile_wakeup(const struct neighbour *neighbour)
{
    const struct reconcile *reconcile = &neighbour->reconcile;
    if (neighbour->inbound == NULL || reconcile->differs_since_ns == NEVER)
        return NEVER;
    bool mends = reconcile->walked && reconcile->mended > reconcile->mended_before;
    int64_t next_ns = reconcile->told_ns + (DIGEST_MS + FLOOD_HORIZON_MS) * HERD_NS_PER_MS;
    if (mends || next_ns <= reconcile->walk_at_ns || !is_outdated(neighbour))
        return reconcile->walk_at_ns;
    return next_ns;
}

static int append_tree(struct herd_conn *conn, struct digest_prefix prefix)
{
    uint64_t sums[DIGEST_FANOUT];
    store_children(conn->node->store, prefix, sums);
    conn_touch(conn);
    return herd_append_tree(conn_front(conn), prefix.digits, prefix.len, sums);
}

int reconcile_tick(struct neighbour *neighbour, struct herd_now now)
{
    struct reconcile *reconcile = &neighbour->reconcile;
    struct herd_node *node = neighbour->link.conn.node;
    if (now.mono_ns < reconcile_wakeup(neighbour))
        return 0;
    if (is_equal(reconcile, node->store)) {
        become_equal(reconcile);
        return 0;
    }
    if (reconcile->mended > reconcile->mended_before)
        reconcile->interval_ms = WALK_AGAIN_MS;
    else
        reconcile->interval_ms =
            reconcile->interval_ms < WALK_MAX_MS / 2 ? reconcile->interval_ms * 2 : WALK_MAX_MS;
    reconcile->mended_before = reconcile->mended;
    reconcile->walked = true;
    reconcile->walk_at_ns = now.mono_ns + reconcile->interval_ms * HERD_NS_PER_MS;
    node->stats.walks++;
    return append_tree(neighbour->inbound, (struct digest_prefix){0, 0});
}

/* One ` <id>:<time>`; 1 if it fitted into the line, 0 if not. */
static int append_key(struct herd_buf *out, size_t line, const struct herd_record *record)
{
    if (out->len - line + record->client.len + record->sent.len + 2 > HERD_LINE_MAX)
        return 0;
    int rc = herd_buf_append(out, " ", 1);
    if (rc == 0)
        rc = herd_buf_append_slice(out, record->client);
    if (rc == 0)
        rc = herd_buf_append(out, ":", 1);
    if (rc == 0)
        rc = herd_buf_append_slice(out, record->sent);
    return rc < 0 ? rc : 1;
}

/* A KEYS line is all that this store has of its prefix: where that is too much for a line, its
 * parts get one each. */
static int append_keys(struct herd_conn *conn, struct digest_prefix prefix)
{
    struct herd_buf *out = conn_front(conn);
    struct herd_record record;
    uint32_t at = STORE_FIRST;
    size_t line = out->len;
    int rc = herd_append_keys(out, prefix.digits, prefix.len) < 0 ? HERD_ENOMEM : 1;
    while (rc > 0 && store_next_in_prefix(conn->node->store, prefix, &at, &record))
        rc = append_key(out, line, &record);
    if (rc > 0)
        return herd_buf_append(out, "\n", 1);
    out->len = line;
    if (rc < 0 || prefix.len == HERD_PREFIX_MAX)
        return rc;
    for (unsigned digit = 0; rc == 0 && digit < DIGEST_FANOUT; digit++)
        rc = append_keys(conn, digest_child(prefix, digit));
    return rc;
}

int reconcile_on_tree(struct herd_conn *conn, const struct herd_command *command)
{
    struct digest_prefix prefix = {command->prefix, command->prefix_len};
    uint64_t sums[DIGEST_FANOUT];
    int width = WALK_WIDTH;
    int rc = 0;
    if (prefix.len >= DIGEST_DEPTH)
        return HERD_ERANGE;
    store_children(conn->node->store, prefix, sums);
    /* From anywhere, so that differences that cannot be mended do not hide the others. */
    unsigned first = (unsigned)rng_below(&conn->node->rng, DIGEST_FANOUT);
    for (unsigned i = 0; rc == 0 && width > 0 && i < DIGEST_FANOUT; i++) {
        unsigned digit = (first + i) % DIGEST_FANOUT;
        if (sums[digit] == command->sums[digit])
            continue;
        struct digest_prefix child = digest_child(prefix, digit);
        rc = child.len < DIGEST_DEPTH ? append_tree(conn, child) : append_keys(conn, child);
        width--;
    }
    conn_touch(conn);
    return rc;
}

enum difference { SAME_TIME, OTHER_SIDE_NEWER, MISSING };

static enum difference compare(const struct herd_record *record, struct herd_slice keys)
{
    struct herd_slice client;
    int64_t sent_ns;
    while (herd_next_key(&keys, &client, &sent_ns) > 0) {
        if (!herd_slice_equal(client, record->client))
            continue;
        if (sent_ns == record->sent_ns)
            return SAME_TIME;
        return sent_ns > record->sent_ns ? OTHER_SIDE_NEWER : MISSING;
    }
    return MISSING;
}

/* Sends what of a prefix is missing on the other side; true if there was something. */
static bool send_differences(struct link *link, const struct herd_command *command,
                             enum difference which)
{
    struct herd_node *node = link->conn.node;
    struct digest_prefix prefix = {command->prefix, command->prefix_len};
    struct herd_record record;
    uint32_t at = STORE_FIRST;
    bool found = false;
    while (store_next_in_prefix(node->store, prefix, &at, &record)) {
        enum difference difference = compare(&record, command->rest);
        /* With max_skew the later time is not always the newer record; the other side knows. */
        if (difference == OTHER_SIDE_NEWER && node->options.max_skew_ns > 0)
            difference = MISSING;
        if (difference != which)
            continue;
        found = true;
        link_send_record(link, &record);
    }
    return found;
}

/* Whether the other side has something that is missing here, or older: it comes over its own link.
 */
static bool has_more(const struct herd_store *store, struct herd_slice keys)
{
    struct herd_slice client;
    struct herd_record record;
    int64_t sent_ns;
    while (herd_next_key(&keys, &client, &sent_ns) > 0) {
        if (!herd_store_find(store, client, &record) || record.sent_ns < sent_ns)
            return true;
    }
    return false;
}

int reconcile_on_keys(struct link *link, const struct herd_command *command)
{
    if (command->prefix_len < DIGEST_DEPTH)
        return 0;
    /* The prefix differs, but no time in it does: then some record has another origin or place at
     * the same time. */
    if (!send_differences(link, command, MISSING) &&
        !has_more(link->conn.node->store, command->rest))
        send_differences(link, command, SAME_TIME);
    return 0;
}
