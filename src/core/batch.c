/*
 * Batches for the disk: when one begins, and what is in it.
 *
 *   something has changed -> (journal_due_ns) it is cut, BATCH_STEP_RECORDS records in each turn, until
 * the end of the list, or as much as one may have -> PERSIST -> persisted -> the next one
 *
 * A batch is cut at once, and not as it is written, so that from then on what is replaced in the
 * store need not be written: a client's newest record stands for all since the last batch. So the
 * later a batch begins, the less there is to write.
 */
#include <assert.h>
#include <string.h>

#include <herd/err.h>
#include <herd/posix_time.h>
#include <herd/proto.h>

#include "core/copy.h"
#include "core/node.h"
#include "core/put.h"
#include "core/store.h"

/* `<sequence> <canonical text>` LF. */
enum { SEQUENCE_DIGITS_MAX = 20, ENTRY_BYTES_MAX = SEQUENCE_DIGITS_MAX + HERD_RECORD_TEXT_MAX + 2 };

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

void batch_init(struct herd_node *node)
{
    struct herd_node_options *options = &node->options;
    if (options->batch_step_max == 0)
        options->batch_step_max = BATCH_STEP_RECORDS;
    if (options->batch_records_max == 0)
        options->batch_records_max = BATCH_RECORDS_MAX;
    /* An answer waits for its batch: none that comes after it is to make that longer. */
    if (options->durability == HERD_DURABILITY_COMMIT)
        options->batch_records_max = least(options->batch_records_max, options->batch_step_max);
    node->persist.journal_ns = node->persist.again_ns = INT64_MIN;
    node->persist.batch_is_clean = true;
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

static bool has_next(const struct herd_store *store, herd_cursor cursor, uint64_t upto)
{
    uint64_t sequence;
    return store_cursor_peek(store, cursor, &sequence) && sequence <= upto;
}

/* Copies `records_max` records that are behind a cursor, or as many as there are up to a sequence.
 * How many, or HERD_ENOMEM for the first. */
static int fill_records(struct herd_node *node, herd_cursor cursor, uint64_t upto,
                        unsigned records_max)
{
    struct herd_buf *records = &node->persist.batch.records;
    struct herd_entry entry;
    unsigned count = 0;
    for (; count < records_max && records->len < BATCH_BYTES_MAX; count++) {
        if (!has_next(node->store, cursor, upto))
            break;
        /* Before it is read, because it cannot be given back. What did fit goes out. */
        if (herd_buf_reserve(records, ENTRY_BYTES_MAX) < 0)
            return count > 0 ? (int)count : HERD_ENOMEM;
        herd_cursor_next(node->store, cursor, &entry);
        append_entry(records, &entry);
    }
    node->persist.batch_records += count;
    return (int)count;
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

static bool snapshot_is_copied(const struct herd_node *node)
{
    const struct persist *persist = &node->persist;
    return !has_next(node->store, persist->snapshot, persist->snapshot_upto);
}

/*
 * A snapshot is what had been written before the generation began, and has not been replaced since.
 * What has is in the generation's journal, once that has come to the end of the list after the
 * snapshot has come to its own. Until then the older generation is all that has such a client: only
 * with that batch it goes.
 */
static void begin_snapshot(struct herd_node *node)
{
    struct persist *persist = &node->persist;
    persist->snapshot_wanted = false;
    persist->snapshotting = true;
    persist->snapshot_upto = persist->cut_from;
    herd_cursor_to_begin(node->store, persist->snapshot);
}

static void end_journal_batch(struct herd_node *node)
{
    struct persist *persist = &node->persist;
    persist->cutting = false;
    persist->journal_batches++;
    persist->batch_is_clean = herd_cursor_at_end(node->store, persist->journal);
    persist->batch.upto = herd_cursor_sequence(node->store, persist->journal);
    persist->batch.begins = persist->snapshot_wanted;
    /* What neighbours have marked is only borne out by a batch that leaves nothing behind. */
    if (persist->batch_is_clean && persist->marks_changed)
        append_marks(node);
    if (persist->snapshot_wanted)
        begin_snapshot(node);
    persist->batch.ends =
        persist->snapshotting && persist->batch_is_clean && snapshot_is_copied(node);
    persist->snapshotting &= !persist->batch.ends;
}

/* One step, which is that much longer by which more has come since the last one: so there is an
 * end. 1: the batch is whole. 0: there is more. Or HERD_ENOMEM. */
static int cut_journal_batch(struct herd_node *node)
{
    struct persist *persist = &node->persist;
    size_t unread = store_unread(node->store);
    size_t grown = persist->cutting && unread > persist->cut_rest ? unread - persist->cut_rest : 0;
    unsigned left = node->options.batch_records_max - persist->batch_records;
    unsigned step =
        grown < left ? least(left, node->options.batch_step_max + (unsigned)grown) : left;
    int count = fill_records(node, persist->journal, UINT64_MAX, step);
    if (count < 0 && persist->batch_records == 0)
        return count;
    if (count > 0)
        store_note_read(node->store, persist->journal, (size_t)count);
    persist->cut_rest = store_unread(node->store);
    persist->cut_turn = node->turn;
    persist->cutting = (unsigned)count == step && persist->cut_rest > 0 && step < left &&
                       persist->batch.records.len < BATCH_BYTES_MAX;
    if (!persist->cutting)
        end_journal_batch(node);
    return !persist->cutting;
}

static int make_snapshot_batch(struct herd_node *node)
{
    struct persist *persist = &node->persist;
    persist->batch.is_snapshot = true;
    unsigned records_max = least(node->options.batch_step_max, node->options.batch_records_max);
    int rc = fill_records(node, persist->snapshot, persist->snapshot_upto, records_max);
    persist->batch.ends =
        snapshot_is_copied(node) && herd_cursor_at_end(node->store, persist->journal);
    persist->batch.upto = herd_cursor_sequence(node->store, persist->snapshot);
    persist->snapshotting = !persist->batch.ends;
    persist->journal_batches = 0;
    return rc < 0 ? rc : 1;
}

size_t batch_give_back(struct herd_node *node)
{
    const struct persist *persist = &node->persist;
    struct herd_buf *records = &node->persist.batch.records;
    size_t wanted = store_unread(node->store) * BATCH_USUAL_BYTES, bytes = records->cap;
    if (persist->has_batch || persist->cutting || bytes <= BATCH_KEPT_BYTES || wanted >= bytes / 4)
        return 0;
    herd_buf_free(records);
    return bytes;
}

static void begin_batch(struct herd_node *node)
{
    struct persist *persist = &node->persist;
    struct herd_batch *batch = &persist->batch;
    node->spares.freed_bytes += batch_give_back(node);
    batch->records.len = batch->neighbours.len = 0;
    batch->epoch = node->epoch;
    batch->life = node->life;
    batch->begins = batch->ends = batch->is_snapshot = false;
    persist->batch_records = 0;
    persist->cut_from = herd_cursor_sequence(node->store, persist->journal);
}

static bool has_work(const struct herd_node *node)
{
    const struct persist *persist = &node->persist;
    return !herd_cursor_at_end(node->store, persist->journal) || persist->snapshot_wanted;
}

/* When the next journal batch begins; INT64_MIN: at once; INT64_MAX: there is nothing for it. */
static int64_t journal_due_ns(const struct herd_node *node)
{
    const struct persist *persist = &node->persist;
    bool work = has_work(node);
    if (!work && !persist->marks_changed)
        return INT64_MAX;
    if (node->stopping || !persist->batch_is_clean || persist->journal_ns == INT64_MIN)
        return INT64_MIN;
    if (work && node->options.durability == HERD_DURABILITY_COMMIT)
        return INT64_MIN;
    return persist->journal_ns + pace_period_ns(node);
}

/* Whether there is a part to be written, or only the end to be told. */
static bool snapshot_is_due(const struct herd_node *node)
{
    const struct persist *persist = &node->persist;
    return persist->snapshotting &&
           (!snapshot_is_copied(node) || herd_cursor_at_end(node->store, persist->journal));
}

/* As cut_journal_batch. */
static int make_batch(struct herd_node *node, struct herd_now now)
{
    struct persist *persist = &node->persist;
    if (persist->cutting)
        return cut_journal_batch(node);
    begin_batch(node);
    bool is_journal = now.mono_ns >= journal_due_ns(node);
    unsigned share = node->pace.is_on && !persist->batch_is_clean ? BATCH_JOURNAL_SHARE : 1;
    if (snapshot_is_due(node) && (!is_journal || persist->journal_batches >= share))
        return make_snapshot_batch(node);
    return cut_journal_batch(node);
}

int64_t batch_wakeup(const struct herd_node *node)
{
    const struct persist *persist = &node->persist;
    if (!node->options.has_disk || persist->in_flight)
        return INT64_MAX;
    bool now = persist->has_batch || persist->cutting || snapshot_is_due(node);
    int64_t at = now ? INT64_MIN : journal_due_ns(node);
    return at > persist->again_ns ? at : persist->again_ns;
}

bool persist_effect(struct herd_node *node, struct herd_now now, struct herd_effect *out)
{
    struct persist *persist = &node->persist;
    if (now.mono_ns < batch_wakeup(node) || (persist->cutting && persist->cut_turn == node->turn))
        return false;
    if (!persist->has_batch) {
        int rc = make_batch(node, now);
        if (rc < 0)
            persist->again_ns = now.mono_ns + PERSIST_AGAIN_MS * HERD_NS_PER_MS;
        if (rc <= 0)
            return false;
        if (!persist->batch.is_snapshot)
            pace_on_batch(node);
    }
    persist->has_batch = persist->in_flight = true;
    persist->handed_ns = now.mono_ns;
    if (!persist->batch.is_snapshot)
        persist->journal_ns = now.mono_ns;
    pace_on_handed(node, now);
    *out = (struct herd_effect){.kind = HERD_EFFECT_PERSIST, .batch = &persist->batch};
    return true;
}
