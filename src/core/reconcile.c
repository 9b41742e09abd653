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
 * that D would have told another one. What L has told D shortly before may cross that DIGEST: the
 * first one that differs while D has not acknowledged all counts as older, too. Only the first: in a
 * herd where updates never rest there is always something on its way.
 *
 * Ids can be chosen so that thousands share a leaf. So a leaf is gathered once for all lines about it,
 * what is gathered in a turn and said in one answer is bounded, and a walk goes on where the last one
 * stopped.
 *
 * That mends L. D is mended over L's own link to it, also where L has nothing new to tell there: what
 * D has let go itself since L's last DIGEST shows in L's KEYS alone.
 *
 * A walk looks into a few parts of each TREE, so that it is bounded; the next one finds the rest. In
 * a busy herd the digests always differ by what is on its way: a walk that mends nothing makes the
 * next one wait longer.
 */
#include <stdlib.h>
#include <string.h>

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

/* True: until now they did not. */
static bool become_different(struct reconcile *reconcile, struct herd_now now)
{
    if (reconcile->differs_since_ns != NEVER)
        return false;
    reconcile->differs_since_ns = now.mono_ns;
    reconcile->walk_at_ns = now.mono_ns + 2 * FLOOD_HORIZON_MS * HERD_NS_PER_MS;
    return true;
}

static void become_equal(struct reconcile *reconcile)
{
    reconcile->differs_since_ns = NEVER;
    reconcile->walked = false;
}

static bool awaits_ack(const struct link *link)
{
    return link->state == LINK_UP && (link->unmarked > 0 || link->acked < link->marked);
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
    reconcile->crossed = false;
    if (is_equal(reconcile, store)) {
        become_equal(reconcile);
        reconcile->interval_ms = WALK_MIN_MS;
    } else if (become_different(reconcile, now)) {
        reconcile->crossed = awaits_ack(&neighbour->link);
    }
    return reconcile_tick(neighbour, now);
}

/* Either store has changed since that DIGEST, or may have. */
static bool is_outdated(const struct neighbour *neighbour)
{
    const struct reconcile *reconcile = &neighbour->reconcile;
    return reconcile->crossed || reconcile->sent != neighbour->link.sent ||
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

static int compare_key(const struct walk_key *key, uint64_t hash, struct herd_slice client)
{
    if (key->hash != hash)
        return key->hash < hash ? -1 : 1;
    return herd_slice_compare(key->client, client);
}

static int by_hash_and_client(const void *a, const void *b)
{
    const struct walk_key *right = b;
    return compare_key(a, right->hash, right->client);
}

static int add_key(struct walk_leaf *leaf, const struct herd_record *record)
{
    if (leaf->count == leaf->cap) {
        size_t cap = leaf->cap > 0 ? leaf->cap * 2 : 64;
        struct walk_key *keys = realloc(leaf->keys, cap * sizeof(*keys));
        if (keys == NULL)
            return HERD_ENOMEM;
        leaf->keys = keys;
        leaf->cap = cap;
    }
    leaf->keys[leaf->count++] = (struct walk_key){.hash = digest_client_hash(record->client),
                                                  .client = record->client,
                                                  .sent = record->sent,
                                                  .sent_ns = record->sent_ns};
    return 0;
}

/* What is gathered and added up in one turn is bounded; what is too much for it is for a later walk. */
static struct walk_leaf *leaf_in_turn(struct herd_node *node)
{
    struct walk_leaf *leaf = &node->leaf;
    if (leaf->turn != node->turn) {
        leaf->turn = node->turn;
        leaf->gathered = leaf->summed = 0;
    }
    return leaf;
}

static bool may_gather(struct herd_node *node)
{
    return leaf_in_turn(node)->gathered < WALK_GATHER_PER_TURN;
}

/* The leaves of a prefix; those of its parts that are looked into are fewer. */
static bool may_sum(struct herd_node *node, struct digest_prefix prefix)
{
    struct walk_leaf *leaf = leaf_in_turn(node);
    if (leaf->summed >= WALK_SUMS_PER_TURN)
        return false;
    leaf->summed += (size_t)1 << (4 * (DIGEST_DEPTH - prefix.len));
    return true;
}

/* All this store has of the leaf that a prefix is of, in the order of the hashes; gathered once for
 * all lines about it until the store changes. 1; 0 for a leaf that is too large or that has to wait;
 * HERD_ENOMEM. */
static int gather(struct herd_node *node, struct digest_prefix prefix)
{
    struct walk_leaf *leaf = &node->leaf;
    const struct herd_store *store = node->store;
    uint64_t digits = prefix.digits >> (4 * (prefix.len - DIGEST_DEPTH));
    if (leaf->valid && leaf->digits == digits && leaf->sequence == herd_store_sequence(store) &&
        leaf->clients == herd_store_count(store))
        return 1;
    leaf->valid = false;
    leaf->count = 0;
    if (!may_gather(node))
        return 0;
    struct herd_record record;
    uint32_t at = STORE_FIRST;
    while (
        store_next_in_prefix(store, (struct digest_prefix){digits, DIGEST_DEPTH}, &at, &record)) {
        leaf->gathered++;
        if (leaf->count == WALK_LEAF_MAX) {
            node->stats.leaves_beyond++;
            node->stats.limits_reached++;
            return 0;
        }
        if (add_key(leaf, &record) < 0)
            return HERD_ENOMEM;
    }
    if (leaf->count > 1)
        qsort(leaf->keys, leaf->count, sizeof(*leaf->keys), by_hash_and_client);
    leaf->digits = digits;
    leaf->sequence = herd_store_sequence(store);
    leaf->clients = herd_store_count(store);
    leaf->valid = true;
    return 1;
}

void walk_leaf_close(struct walk_leaf *leaf)
{
    free(leaf->keys);
    *leaf = (struct walk_leaf){0};
}

/* The first hash of a prefix. */
static uint64_t first_hash(struct digest_prefix prefix)
{
    return prefix.digits << (4 * (HERD_PREFIX_MAX - prefix.len));
}

/* Some of a gathered leaf. */
struct keys {
    struct walk_key *first, *end;
};

static struct keys all_keys(const struct walk_leaf *leaf)
{
    /* One that is empty may have no memory, and NULL + 0 is undefined. */
    return (struct keys){leaf->keys, leaf->keys != NULL ? leaf->keys + leaf->count : NULL};
}

/* Where this client stands, or would. */
static struct walk_key *place_of(struct keys keys, uint64_t hash, struct herd_slice client)
{
    size_t count = (size_t)(keys.end - keys.first);
    while (count > 0) {
        size_t half = count / 2;
        if (compare_key(&keys.first[half], hash, client) < 0) {
            keys.first += half + 1;
            count -= half + 1;
        } else {
            count = half;
        }
    }
    return keys.first;
}

/* Where the first key with at least this hash stands, or would. */
static struct walk_key *lower_bound(struct keys keys, uint64_t hash)
{
    return place_of(keys, hash, herd_slice("", 0));
}

/* Those of a prefix, of some that may hold others. */
static struct keys keys_of(struct keys keys, struct digest_prefix prefix)
{
    uint64_t width = UINT64_C(1) << (4 * (HERD_PREFIX_MAX - prefix.len));
    uint64_t last = first_hash(prefix) + (width - 1);
    struct walk_key *end = last == UINT64_MAX ? keys.end : lower_bound(keys, last + 1);
    return (struct keys){lower_bound(keys, first_hash(prefix)), end};
}

/* KEYS lines on their way into an output. */
struct keys_writer {
    struct herd_conn *conn;
    struct herd_buf *out;
    size_t limit;   /* of out->len */
    uint64_t from;  /* the hash to begin with */
    size_t from_at; /* the first of its clients to begin with, where they take several lines */
    bool wraps;     /* now those before it */
    bool stopped;   /* no more fits */
};

static int append_key(struct herd_buf *out, struct herd_slice client, struct herd_slice sent)
{
    int rc = herd_buf_append(out, " ", 1);
    if (rc == 0)
        rc = herd_buf_append_slice(out, client);
    if (rc == 0)
        rc = herd_buf_append(out, ":", 1);
    return rc == 0 ? herd_buf_append_slice(out, sent) : rc;
}

/* With a time of few bytes, also where thousands of digits were sent: three have room in a line. */
static int append_short_key(struct herd_buf *out, const struct walk_key *key)
{
    char text[HERD_TIME_TEXT_MAX];
    struct herd_slice sent = key->sent;
    if (sent.len > sizeof(text))
        sent = herd_slice(text, herd_time_format(key->sent_ns, text));
    return append_key(out, key->client, sent);
}

static size_t short_key_len_max(const struct walk_key *key)
{
    size_t sent_len = key->sent.len < HERD_TIME_TEXT_MAX ? key->sent.len : HERD_TIME_TEXT_MAX;
    return key->client.len + sent_len + 2;
}

static bool fit_into_line(struct keys keys, struct digest_prefix prefix)
{
    size_t len = strlen(herd_verb_name(HERD_VERB_KEYS)) + 1 + prefix.len;
    for (const struct walk_key *key = keys.first; key < keys.end && len <= HERD_LINE_MAX; key++)
        len += key->client.len + key->sent.len + 2;
    return len <= HERD_LINE_MAX;
}

/* True: no more fits, and the next walk begins here. */
static bool stops_at(struct keys_writer *writer, uint64_t hash, size_t at)
{
    struct reconcile *reconcile = &writer->conn->neighbour->reconcile;
    if (writer->out->len < writer->limit && conn_has_room(writer->conn))
        return false;
    writer->stopped = true;
    reconcile->keys_from = hash;
    reconcile->keys_at = at;
    return true;
}

static int append_line(struct keys_writer *writer, struct keys keys, struct digest_prefix prefix)
{
    struct herd_buf *out = writer->out;
    if ((first_hash(prefix) < writer->from) != writer->wraps ||
        stops_at(writer, first_hash(prefix), 0))
        return 0;
    int rc = herd_append_keys(out, prefix.digits, prefix.len);
    for (const struct walk_key *key = keys.first; rc == 0 && key < keys.end; key++)
        rc = append_key(out, key->client, key->sent);
    return rc == 0 ? herd_buf_append(out, "\n", 1) : rc;
}

/* A line of clients of one hash, from `at` on, as many as it holds: that is where the next one
 * begins. */
static int append_part(struct herd_buf *out, struct keys keys, uint64_t hash, size_t *at,
                       size_t end)
{
    const struct walk_key *before = *at > 0 ? &keys.first[*at - 1] : keys.end - 1;
    size_t begin = out->len;
    int rc = herd_append_keys(out, hash, HERD_PREFIX_MAX);
    for (int twice = 0; rc == 0 && twice < 2; twice++)
        rc = append_short_key(out, before);
    while (rc == 0 && *at < end &&
           out->len - begin + short_key_len_max(&keys.first[*at]) <= HERD_LINE_MAX)
        rc = append_short_key(out, &keys.first[(*at)++]);
    return rc == 0 ? herd_buf_append(out, "\n", 1) : rc;
}

/* Ids can be chosen so that any number has the same hash. Where they are too many for a line, each
 * line is all that this store has between two of them in the order of their bytes, as if that were a
 * circle. It begins with the last one of the line before, which is said twice: that tells it from
 * one that is all of its prefix. */
static int append_parts(struct keys_writer *writer, struct keys keys, uint64_t hash)
{
    size_t at = 0, end = (size_t)(keys.end - keys.first);
    int rc = 0;
    if (hash != writer->from) {
        if ((hash < writer->from) != writer->wraps)
            return 0;
    } else if (writer->wraps) {
        end = writer->from_at < end ? writer->from_at : end;
    } else {
        at = writer->from_at;
    }
    while (rc == 0 && at < end && !stops_at(writer, hash, at))
        rc = append_part(writer->out, keys, hash, &at, end);
    return rc;
}

/* A KEYS line is all that this store has of its prefix: where that is too much for a line, its
 * parts get one each. */
static int append_lines(struct keys_writer *writer, struct keys keys, struct digest_prefix prefix)
{
    if (fit_into_line(keys, prefix))
        return append_line(writer, keys, prefix);
    int rc = 0;
    if (prefix.len == HERD_PREFIX_MAX)
        return append_parts(writer, keys, prefix.digits);
    for (unsigned digit = 0; rc == 0 && !writer->stopped && digit < DIGEST_FANOUT; digit++) {
        struct digest_prefix child = digest_child(prefix, digit);
        rc = append_lines(writer, keys_of(keys, child), child);
    }
    return rc;
}

/* Where the last walk has stopped, or anywhere. */
static void choose_begin(struct keys_writer *writer, struct keys keys, struct digest_prefix prefix)
{
    const struct reconcile *reconcile = &writer->conn->neighbour->reconcile;
    writer->from = reconcile->keys_from;
    writer->from_at = reconcile->keys_at;
    if (digest_matches(writer->from, prefix))
        return;
    uint64_t count = (uint64_t)(keys.end - keys.first);
    const struct walk_key *key = &keys.first[rng_below(&writer->conn->node->rng, count)];
    writer->from = key->hash;
    writer->from_at = (size_t)(key - lower_bound(keys, key->hash));
}

/* A leaf's KEYS lines up to a limit of the output; the next walk begins with what was left out. */
static int append_keys(struct herd_conn *conn, struct digest_prefix prefix, size_t limit)
{
    struct herd_node *node = conn->node;
    int rc = gather(node, prefix);
    if (rc <= 0)
        return rc;
    struct keys keys = all_keys(&node->leaf);
    struct keys_writer writer = {.conn = conn, .out = conn_front(conn), .limit = limit};
    if (!fit_into_line(keys, prefix))
        choose_begin(&writer, keys, prefix);
    rc = append_lines(&writer, keys, prefix);
    writer.wraps = true;
    if (rc == 0 && !writer.stopped && (writer.from != 0 || writer.from_at > 0))
        rc = append_lines(&writer, keys, prefix);
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
    if (!may_sum(conn->node, prefix))
        return 0;
    store_children(conn->node->store, prefix, sums);
    /* From anywhere, so that differences that cannot be mended do not hide the others. */
    size_t limit = conn_front(conn)->len + WALK_KEYS_BYTES;
    unsigned first = (unsigned)rng_below(&conn->node->rng, DIGEST_FANOUT);
    for (unsigned i = 0; rc == 0 && width > 0 && i < DIGEST_FANOUT; i++) {
        unsigned digit = (first + i) % DIGEST_FANOUT;
        if (sums[digit] == command->sums[digit])
            continue;
        struct digest_prefix child = digest_child(prefix, digit);
        rc = child.len < DIGEST_DEPTH ? append_tree(conn, child) : append_keys(conn, child, limit);
        width--;
    }
    conn_touch(conn);
    return rc;
}

/* In a circle: behind the last comes the first. */
static bool is_between(struct herd_slice client, struct herd_slice first, struct herd_slice last)
{
    bool behind = herd_slice_compare(client, first) >= 0;
    bool before = herd_slice_compare(client, last) <= 0;
    return herd_slice_compare(first, last) < 0 ? behind && before : behind || before;
}

/* What a line is about is missing on the other side until it says otherwise: all of a prefix, or of
 * some of one hash (append_parts). */
static void begin_comparison(struct keys keys, struct digest_prefix prefix,
                             struct herd_slice others)
{
    struct herd_slice client, first = {0}, last = {0};
    int64_t sent_ns;
    bool is_part = false;
    for (size_t i = 0; herd_next_key(&others, &client, &sent_ns) > 0; i++) {
        first = i == 0 ? client : first;
        is_part |= i == 1 && prefix.len == HERD_PREFIX_MAX && herd_slice_equal(client, first);
        last = client;
    }
    for (struct walk_key *key = keys.first; key < keys.end; key++)
        key->difference =
            is_part && !is_between(key->client, first, last) ? WALK_UNTOLD : WALK_MISSING;
}

/* Notes for each of the keys how the other side's compare; true if that has something that is
 * missing here, or older: it comes over its own link. */
static bool compare(struct keys keys, struct herd_slice others)
{
    struct herd_slice client;
    int64_t sent_ns;
    bool has_more = false;
    while (herd_next_key(&others, &client, &sent_ns) > 0) {
        uint64_t hash = digest_client_hash(client);
        struct walk_key *key = place_of(keys, hash, client);
        bool is_held = key < keys.end && compare_key(key, hash, client) == 0;
        has_more |= !is_held || key->sent_ns < sent_ns;
        if (is_held && key->sent_ns <= sent_ns)
            key->difference = key->sent_ns == sent_ns ? WALK_SAME_TIME : WALK_OTHER_NEWER;
    }
    return has_more;
}

/* A part of a leaf may be equal, so what is the same may not take the room of what is missing. */
static bool has_room_for(const struct link *link, enum walk_difference which)
{
    return link_has_room(link) &&
           (which == WALK_MISSING || conn_unsent(&link->conn) < WALK_SAME_BYTES);
}

/* Sends those that compare so, as far as there is room; true if there was one. What is about to end
 * has ended where the clock is a little ahead: it would be refused again and again. */
static bool send_differences(struct link *link, struct herd_now now, struct keys keys,
                             enum walk_difference which)
{
    struct herd_node *node = link->conn.node;
    int64_t soon_ns = now.wall_ns + WALK_ENDING_MS * HERD_NS_PER_MS;
    struct herd_record record;
    bool found = false;
    for (const struct walk_key *key = keys.first; key < keys.end; key++) {
        enum walk_difference difference = key->difference;
        /* With max_skew the later time is not always the newer record; the other side knows. */
        if (difference == WALK_OTHER_NEWER && node->options.max_skew_ns > 0)
            difference = WALK_MISSING;
        if (difference != which)
            continue;
        found = true;
        if (!has_room_for(link, which))
            break;
        if (herd_store_find(node->store, key->client, &record) &&
            !herd_store_is_expired(node->store, &record, soon_ns))
            link_send_record(link, &record);
    }
    return found;
}

int reconcile_on_keys(struct link *link, struct herd_now now, const struct herd_command *command)
{
    struct herd_node *node = link->conn.node;
    struct digest_prefix prefix = {command->prefix, command->prefix_len};
    if (prefix.len < DIGEST_DEPTH || !conn_has_room(&link->conn))
        return 0;
    int rc = gather(node, prefix);
    if (rc <= 0)
        return rc;
    struct keys keys = keys_of(all_keys(&node->leaf), prefix);
    /* The prefix differs, but no time in it does: then some record has another origin or place at
     * the same time. */
    begin_comparison(keys, prefix, command->rest);
    bool has_more = compare(keys, command->rest);
    if (has_more)
        become_different(&link->conn.neighbour->reconcile, now);
    if (!send_differences(link, now, keys, WALK_MISSING) && !has_more)
        send_differences(link, now, keys, WALK_SAME_TIME);
    return 0;
}
