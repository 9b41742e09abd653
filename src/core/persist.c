/*
 * Batches follow one another: all that changed since the last one, each client once. What a clean
 * batch (one that reached the end of the list) has brought to disk is there up to its sequence: a
 * record that was replaced meanwhile was replaced by one within the batch. A batch that was cut
 * short does not prove that of all, because a newer record may still be outside: it does for each
 * client whose record is not.
 *
 *   journal:   changes … PERSIST … persisted -> answers that waited for the disk
 *   snapshot:  herd_node_snapshot -> a journal batch that begins a generation -> snapshot and
 * journal batches in turn -> ends
 */
#include <assert.h>
#include <stdlib.h>

#include <herd/err.h>
#include <herd/posix_time.h>
#include <herd/proto.h>

#include "core/copy.h"
#include "core/node.h"
#include "core/put.h"
#include "core/store.h"

/* `<sequence> <canonical text>` LF. */
enum { SEQUENCE_DIGITS_MAX = 20, ENTRY_BYTES_MAX = SEQUENCE_DIGITS_MAX + HERD_RECORD_TEXT_MAX + 2 };

int persist_init(struct herd_node *node)
{
    struct persist *persist = &node->persist;
    persist->end = &persist->first;
    if (node->options.batch_records_max == 0)
        node->options.batch_records_max = PERSIST_RECORDS_MAX;
    pace_init(node);
    persist->next_ns = persist->again_ns = INT64_MIN;
    persist->refuse_by_ns = INT64_MAX;
    int rc = herd_cursor_new(node->store, &persist->journal);
    if (rc == 0)
        rc = herd_cursor_new(node->store, &persist->snapshot);
    return rc == 0 ? waiting_init(node) : rc;
}

void persist_close(struct herd_node *node)
{
    assert(node->persist.first == NULL && node->persist.in_vain == NULL);
    waiting_close(&node->persist.waiting);
    herd_buf_free(&node->persist.batch.records);
    herd_buf_free(&node->persist.batch.neighbours);
}

uint64_t persist_safe_sequence(const struct herd_node *node)
{
    return node->options.durability == HERD_DURABILITY_COMMIT ? node->persist.on_disk
                                                              : node->persist.at_neighbour;
}

static bool has_to_wait(const struct herd_node *node, uint64_t sequence)
{
    return node->options.durability >= HERD_DURABILITY_COMMIT &&
           sequence > persist_safe_sequence(node);
}

bool persist_wants_ack(const struct herd_node *node)
{
    return node->options.durability == HERD_DURABILITY_HERD && node->persist.first != NULL;
}

/* Of the limit that there is now: it may have changed since, and the first answer must not keep
 * those behind it waiting. With none, an answer waits for as long as it takes. */
static int64_t deadline(const struct herd_ask *ask)
{
    const struct herd_node *node = ask->node;
    int64_t timeout_ns = node->options.safety_timeout_ns;
    int64_t at_ns = timeout_ns > 0 ? ask->asked_ns + timeout_ns : INT64_MAX;
    return at_ns < node->persist.refuse_by_ns ? at_ns : node->persist.refuse_by_ns;
}

/* The answers of one connection in one turn wait together, as their records were received at one
 * time. */
static struct herd_ask *waiting_ask(struct herd_conn *conn, struct herd_now now,
                                    int64_t received_ns)
{
    struct herd_node *node = conn->node;
    struct herd_ask *last = conn->work->asks_tail;
    if (last != NULL && last->kind == ASK_SAFETY && last->turn == node->turn &&
        last->received_ns == received_ns && last->tail.len == 0 && !last->in_vain)
        return last;
    struct herd_ask *ask = node_new_ask(node, conn, ASK_SAFETY);
    if (ask == NULL)
        return NULL;
    spares_take_small(&node->spares, &ask->refusal);
    ask->turn = node->turn;
    ask->asked_ns = now.mono_ns;
    ask->received_ns = received_ns;
    node->stats.answers_waiting++;
    node_queue_ask(node->persist.end, ask);
    node->persist.end = &ask->next_queued;
    return ask;
}

/* The record that stands there for what a client has said: its own, or the newer one. */
static int64_t received_ns_of(const struct herd_node *node, const struct herd_record *record,
                              bool kept)
{
    struct herd_record held;
    bool other = !kept && herd_store_find(node->store, record->client, &held);
    return other ? held.received_ns : record->received_ns;
}

/* The answer, and what is said if it is refused. */
static int append_both(struct herd_ask *ask, const struct herd_record *record,
                       struct herd_slice line)
{
    struct spares *spares = &ask->node->spares;
    spares_make_room(spares, &ask->answer, herd_record_at_len(record));
    int rc = herd_record_append_at(record, &ask->answer);
    if (rc < 0)
        return rc;
    spares_make_room(spares, &ask->refusal, herd_invalid_len(line));
    return herd_append_invalid(&ask->refusal, line);
}

int persist_answer(struct herd_conn *conn, struct herd_now now, const struct herd_record *record,
                   struct herd_slice line, bool kept)
{
    if (conn->node->pace.is_on)
        pace_on_answer(conn, now);
    /* Also for one that was not newer: what it repeats may not be safe yet. */
    uint64_t sequence = herd_store_sequence(conn->node->store);
    if (!has_to_wait(conn->node, sequence))
        return herd_record_append_at(record, conn_output(conn));
    struct herd_ask *ask = waiting_ask(conn, now, received_ns_of(conn->node, record, kept));
    if (ask == NULL)
        return HERD_ENOMEM;
    int rc = waiting_enter(ask, record->client);
    if (rc == 0)
        rc = append_both(ask, record, line);
    node_count_held(ask);
    ask->sequence = sequence;
    ask->count++;
    node_touch_links(conn->node);
    return rc;
}

/* Takes an answer that waits out of its list. */
static void unqueue(struct herd_ask *ask)
{
    struct persist *persist = &ask->node->persist;
    node_unqueue_ask(ask);
    if (persist->end == &ask->next_queued)
        persist->end = ask->queued_at;
    if (persist->first == NULL)
        persist->ended_upto = 0;
}

static void leave(struct herd_ask *ask)
{
    unqueue(ask);
    waiting_leave(ask);
    ask->node->stats.answers_waiting--;
}

void persist_forget(struct herd_ask *ask)
{
    leave(ask);
    node_free_ask(ask);
}

/* Ends the waiting. The answer is kept until all before it on its connection is sent. */
static void finish(struct herd_ask *ask, struct herd_now now)
{
    leave(ask);
    herd_node_recycle(ask->node, &ask->refusal);
    node_count_held(ask);
    herd_ask_answer(ask, now, (struct herd_places){0});
}

/* The record is kept, and may become safe; nobody is told that it is. */
static void refuse(struct herd_ask *ask, struct herd_now now)
{
    struct herd_buf answer = ask->answer;
    ask->node->stats.answers_unsafe += ask->count;
    ask->node->stats.lines_invalid += ask->count;
    ask->answer = ask->refusal;
    ask->refusal = answer;
    finish(ask, now);
}

static bool has_ended(const struct herd_ask *ask)
{
    const struct persist *persist = &ask->node->persist;
    return ask->sequence <= persist->ended_upto && ask->received_ns <= persist->ended_ns;
}

static void release(struct herd_node *node, struct herd_now now)
{
    struct persist *persist = &node->persist;
    while (persist->first != NULL && !has_to_wait(node, persist->first->sequence)) {
        if (has_ended(persist->first))
            refuse(persist->first, now);
        else
            finish(persist->first, now);
    }
}

/* `AT <server> <diff> <client> …` LF each: the last of what is held of these clients. One that has
 * ended keeps its answer waiting until that is refused. */
static uint64_t newest_held(const struct herd_ask *ask)
{
    enum { WORDS = 4 };
    const struct herd_store *store = ask->node->store;
    struct herd_slice rest = herd_buf_slice(&ask->answer), word = {0};
    uint64_t newest = 0;
    const char *end;
    while ((end = memchr(rest.data, '\n', rest.len)) != NULL) {
        struct herd_slice line = herd_slice(rest.data, (size_t)(end - rest.data));
        for (int i = 0; i < WORDS; i++)
            herd_next_word(&line, &word);
        uint64_t sequence = store_sequence_of(store, word);
        if (sequence == 0)
            return UINT64_MAX;
        if (sequence > newest)
            newest = sequence;
        rest = herd_slice(end + 1, rest.len - (size_t)(end + 1 - rest.data));
    }
    return newest;
}

/* All that the cursor has passed is on disk, and what it has passed is not that which was replaced
 * since. The answer for such a one waits for the newer one; it is looked up no more before that is
 * passed. */
static void release_passed(struct herd_node *node, struct herd_now now, uint64_t upto)
{
    struct herd_ask *ask = node->persist.first, *next;
    for (; ask != NULL && ask->sequence <= upto; ask = next) {
        next = ask->next_queued;
        if (ask->follows > upto)
            continue;
        ask->follows = newest_held(ask);
        if (ask->follows <= upto)
            finish(ask, now);
    }
}

static void refuse_all(struct herd_node *node, struct herd_now now)
{
    while (node->persist.first != NULL)
        refuse(node->persist.first, now);
    while (node->persist.in_vain != NULL)
        refuse(node->persist.in_vain, now);
}

/* The node stops, and there is no neighbour any more that could hold what it was told. */
static bool waits_in_vain(const struct herd_node *node)
{
    if (!node->stopping || node->options.durability != HERD_DURABILITY_HERD)
        return false;
    for (size_t i = 0; i < node->neighbour_count; i++) {
        if (node->neighbours[i]->link.state == LINK_UP)
            return false;
    }
    return true;
}

static struct herd_ask *next_to_refuse(const struct herd_node *node, struct herd_now now)
{
    const struct persist *persist = &node->persist;
    if (persist->in_vain != NULL)
        return persist->in_vain;
    bool late = persist->first != NULL && deadline(persist->first) <= now.mono_ns;
    return late ? persist->first : NULL;
}

static void count_late(const struct herd_ask *ask)
{
    struct herd_node *node = ask->node;
    if (ask->in_vain || node->stopping)
        return;
    node->stats.answers_late += ask->count;
    node->stats.limits_reached++;
}

void persist_tick(struct herd_node *node, struct herd_now now)
{
    struct herd_ask *next;
    for (int i = 0; i < REFUSALS_PER_TURN && (next = next_to_refuse(node, now)) != NULL; i++) {
        count_late(next);
        refuse(next, now);
    }
    if (waits_in_vain(node))
        refuse_all(node, now);
    pace_let_go(node, now);
}

void persist_stop(struct herd_node *node, struct herd_now now)
{
    node->persist.again_ns = now.mono_ns; /* a disk that has failed is tried once more */
    node->persist.refuse_by_ns = now.mono_ns + SAFETY_STOP_MS * HERD_NS_PER_MS;
    persist_tick(node, now);
}

void persist_on_held(struct herd_node *node, struct herd_now now, uint64_t sequence)
{
    if (sequence <= node->persist.at_neighbour)
        return;
    node->persist.at_neighbour = sequence;
    release(node, now);
}

/* Two of these become one, of the later time, as long as answers wait that the first one was about:
 * that refuses too much only where a clock was set back between them. */
void persist_on_ended(struct herd_node *node, int64_t received_ns)
{
    struct persist *persist = &node->persist;
    if (persist->first == NULL)
        return;
    bool adds = persist->first->sequence <= persist->ended_upto;
    if (!adds || received_ns > persist->ended_ns)
        persist->ended_ns = received_ns;
    persist->ended_upto = herd_store_sequence(node->store);
}

void persist_give_up(struct herd_ask *ask)
{
    if (ask->in_vain)
        return;
    ask->in_vain = true;
    unqueue(ask);
    node_queue_ask(&ask->node->persist.in_vain, ask);
}

void herd_node_snapshot(struct herd_node *node)
{
    const struct persist *persist = &node->persist;
    bool under_way = persist->snapshotting || (persist->has_batch && persist->batch.is_snapshot);
    if (!under_way)
        node->persist.snapshot_wanted = true;
}

/* Room for it has been reserved. */
static void append_entry(struct herd_buf *out, const struct herd_entry *entry)
{
    char digits[SEQUENCE_DIGITS_MAX];
    size_t first = sizeof(digits);
    uint64_t rest = entry->sequence;
    do {
        digits[--first] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest > 0);
    char *at = copy_bytes(out->data + out->len, digits + first, sizeof(digits) - first);
    *at++ = ' ';
    at = copy_bytes(at, entry->text.data, entry->text.len);
    *at++ = '\n';
    out->len = (size_t)(at - out->data);
    assert(out->len <= out->cap);
}

/* Copies what is behind a cursor, as far as a batch may go. True at the end. */
static int fill_records(struct herd_node *node, herd_cursor cursor, bool *out_end)
{
    struct herd_buf *records = &node->persist.batch.records;
    struct herd_entry entry;
    unsigned records_max = node->options.batch_records_max;
    unsigned *count = &node->persist.batch_records;
    *out_end = false;
    for (*count = 0; *count < records_max && records->len < PERSIST_BYTES_MAX; ++*count) {
        if (herd_cursor_at_end(node->store, cursor))
            break;
        /* Before it is read, because it cannot be given back. What did fit goes out. */
        if (herd_buf_reserve(records, ENTRY_BYTES_MAX) < 0)
            return *count > 0 ? 0 : HERD_ENOMEM;
        herd_cursor_next(node->store, cursor, &entry);
        append_entry(records, &entry);
    }
    *out_end = herd_cursor_at_end(node->store, cursor);
    return 0;
}

/* `<name> <epoch> <sequence> <life> <life_from>` LF. */
static int append_mark(struct herd_buf *out, const struct neighbour *neighbour, uint64_t marked)
{
    enum {
        MARK_BYTES_MAX = HERD_NAME_MAX + 2 * (1 + HEX_DIGITS) + 2 * (1 + NUMBER_DIGITS_MAX) + 1
    };
    const struct herd_mark *mark = &neighbour->mark;
    int rc = herd_buf_reserve(out, MARK_BYTES_MAX);
    if (rc < 0)
        return rc;
    char *at = copy_bytes(out->data + out->len, neighbour->name, strlen(neighbour->name));
    at = put_number(put_hex(at, mark->epoch), marked);
    at = put_number(put_hex(at, mark->life), mark->life_from);
    *at++ = '\n';
    out->len = (size_t)(at - out->data);
    return 0;
}

/* Older marks than there are do no harm: more is sent again. So no record is held back for them.
 * One that is removed stays until its link is closed, and another may have its name by then. */
static void append_marks(struct herd_node *node)
{
    struct herd_buf *out = &node->persist.batch.neighbours;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < node->neighbour_count; i++) {
        const struct neighbour *neighbour = node->neighbours[i];
        if (neighbour->link.removed)
            continue;
        uint64_t marked = neighbour->mark.sequence;
        if (marked > neighbour->sound)
            marked = neighbour->sound; /* this server's next life will not know */
        if (marked > 0)
            rc = append_mark(out, neighbour, marked);
    }
    if (rc < 0)
        out->len = 0;
    node->persist.marks_changed = rc < 0;
}

static int make_journal_batch(struct herd_node *node)
{
    struct persist *persist = &node->persist;
    persist->batch.begins = persist->snapshot_wanted;
    int rc = fill_records(node, persist->journal, &persist->batch_is_clean);
    persist->batch.upto = herd_cursor_sequence(node->store, persist->journal);
    /* What neighbours have marked is only borne out by a batch that leaves nothing behind. */
    if (rc == 0 && persist->batch_is_clean && persist->marks_changed)
        append_marks(node);
    if (rc == 0 && persist->snapshot_wanted) {
        persist->snapshot_wanted = false;
        persist->snapshotting = true;
        herd_cursor_to_begin(node->store, persist->snapshot);
    }
    persist->last_was_journal = true;
    return rc;
}

/* It ends where the list does, and not where that was when it began: a record that has been
 * replaced meanwhile is only on disk in the generation that goes then, as long as the newer one is
 * not. */
static int make_snapshot_batch(struct herd_node *node)
{
    struct persist *persist = &node->persist;
    persist->batch.is_snapshot = true;
    int rc = fill_records(node, persist->snapshot, &persist->batch.ends);
    persist->batch.upto = herd_cursor_sequence(node->store, persist->snapshot);
    persist->snapshotting = !persist->batch.ends;
    persist->last_was_journal = false;
    return rc;
}

/* There is a batch's worth, as far as one can tell: those of a small store may be the same ones,
 * and fit into one batch in any case. */
static bool is_full_batch(const struct herd_node *node)
{
    unsigned records_max = node->options.batch_records_max;
    return herd_store_count(node->store) > records_max &&
           herd_store_sequence(node->store) - node->pace.read >= records_max;
}

static bool is_due(const struct herd_node *node, struct herd_now now)
{
    const struct persist *persist = &node->persist;
    if (!node->options.has_disk || persist->in_flight || now.mono_ns < persist->again_ns)
        return false;
    if (persist->has_batch)
        return true;
    bool work = !herd_cursor_at_end(node->store, persist->journal) || persist->snapshot_wanted;
    bool hurry =
        work && (node->options.durability == HERD_DURABILITY_COMMIT || is_full_batch(node));
    bool time = node->stopping || now.mono_ns >= persist->next_ns;
    return persist->snapshotting || hurry || (time && (work || persist->marks_changed));
}

static int make_batch(struct herd_node *node)
{
    struct persist *persist = &node->persist;
    struct herd_batch *batch = &persist->batch;
    batch->records.len = batch->neighbours.len = 0;
    batch->epoch = node->epoch;
    batch->life = node->life;
    batch->begins = batch->ends = batch->is_snapshot = false;
    bool journal_waits = !herd_cursor_at_end(node->store, persist->journal);
    if (persist->snapshotting && (persist->last_was_journal || !journal_waits))
        return make_snapshot_batch(node);
    return make_journal_batch(node);
}

bool persist_effect(struct herd_node *node, struct herd_now now, struct herd_effect *out)
{
    struct persist *persist = &node->persist;
    if (!is_due(node, now))
        return false;
    if (!persist->has_batch) {
        if (make_batch(node) < 0) {
            persist->again_ns = now.mono_ns + PERSIST_AGAIN_MS * HERD_NS_PER_MS;
            return false;
        }
        if (!persist->batch.is_snapshot)
            pace_on_batch(node, now, persist->batch_records);
    }
    persist->has_batch = persist->in_flight = true;
    pace_on_handed(node, now);
    persist->next_ns = now.mono_ns;
    if (persist->batch.is_snapshot || persist->batch_is_clean)
        persist->next_ns += PERSIST_MS * HERD_NS_PER_MS;
    *out = (struct herd_effect){.kind = HERD_EFFECT_PERSIST, .batch = &persist->batch};
    return true;
}

/* Its records come again as they are; its marks are made anew, in a later batch: records do not fail
 * with them for ever. */
static void on_failed(struct herd_node *node, struct herd_now now, int status)
{
    struct persist *persist = &node->persist;
    if (!persist->failing)
        node_notice(node, HERD_NOTICE_DISK_FAILED, "", 0, 0, "%s", herd_strerror(status));
    persist->failing = true;
    persist->again_ns = now.mono_ns + PERSIST_AGAIN_MS * HERD_NS_PER_MS;
    persist->marks_changed |= persist->batch.neighbours.len > 0;
    persist->batch.neighbours.len = 0;
    if (node->stopping && node->options.durability == HERD_DURABILITY_COMMIT)
        refuse_all(node, now);
}

void herd_node_persisted(struct herd_node *node, struct herd_now now, int status)
{
    struct persist *persist = &node->persist;
    assert(persist->in_flight);
    persist->in_flight = false;
    if (status < 0) {
        on_failed(node, now, status);
        pace_on_written(node, now, status);
        return;
    }
    if (persist->failing)
        node_notice(node, HERD_NOTICE_DISK_WORKS, "", 0, 0, "%s", "");
    persist->failing = persist->has_batch = false;
    pace_on_written(node, now, status);
    if (persist->batch.is_snapshot)
        return;
    if (!persist->batch_is_clean) {
        if (node->options.durability == HERD_DURABILITY_COMMIT)
            release_passed(node, now, persist->batch.upto);
        return;
    }
    persist->on_disk = persist->batch.upto;
    release(node, now);
    for (size_t i = 0; i < node->neighbour_count; i++)
        acks_send(node->neighbours[i]);
}

/* When the next batch is due. */
static int64_t batch_wakeup(const struct herd_node *node)
{
    const struct persist *persist = &node->persist;
    if (!node->options.has_disk || persist->in_flight)
        return INT64_MAX;
    bool work = !herd_cursor_at_end(node->store, persist->journal) || persist->snapshot_wanted ||
                persist->marks_changed;
    int64_t at = INT64_MAX;
    if (persist->has_batch || persist->snapshotting)
        at = INT64_MIN;
    else if (work)
        at = is_full_batch(node) ? INT64_MIN : persist->next_ns;
    return at > persist->again_ns ? at : persist->again_ns;
}

int64_t persist_wakeup(const struct herd_node *node)
{
    const struct herd_ask *first = node->persist.first;
    int64_t at = batch_wakeup(node), let_go = pace_wakeup(node);
    if (let_go < at)
        at = let_go;
    if (node->persist.in_vain != NULL || (first != NULL && waits_in_vain(node)))
        return INT64_MIN;
    if (first == NULL)
        return at;
    return deadline(first) < at ? deadline(first) : at;
}

bool herd_node_is_persisted(const struct herd_node *node)
{
    const struct persist *persist = &node->persist;
    return !node->options.has_disk || (!persist->has_batch && !persist->marks_changed &&
                                       herd_cursor_at_end(node->store, persist->journal));
}
