/*
 * IAMAT that wait because the disk is behind. They are not taken: their connections are not read
 * from, nothing is kept for them but what had been read, and nothing is refused.
 *
 *   IAMAT -> answered -> (within PERSIST_MS) in a batch -> on disk
 *   more comes than the disk takes -> IAMAT wait -> the batches reach all that was answered
 *                                  -> they go on
 *   the disk fails, or does not answer for PACE_PATIENCE_MS -> they go on, from memory
 *
 * While they wait, what was answered is replaced by no IAMAT, which would come behind all that is
 * still to be written, but only by records that neighbours bring, and which these have. So a batch
 * that reaches the last one answered has them all.
 */
#include <herd/posix_time.h>

#include "core/node.h"

void pace_init(struct herd_node *node)
{
    const struct herd_node_options *options = &node->options;
    bool promises_a_second = options->durability == HERD_DURABILITY_INTERVAL ||
                             options->durability == HERD_DURABILITY_HERD;
    node->pace =
        (struct pace){.is_on = options->has_disk && promises_a_second,
                      .fresh_ns = INT64_MAX,
                      .batched_ns = INT64_MAX,
                      .cut_ns = INT64_MIN,
                      .backlog_max = (uint64_t)PACE_UNKNOWN_BATCHES * options->batch_records_max};
}

void pace_on_answer(const struct herd_conn *conn, struct herd_now now)
{
    struct herd_node *node = conn->node;
    struct pace *pace = &node->pace;
    uint64_t sequence = herd_store_sequence(node->store);
    if (sequence <= pace->read || conn->neighbour != NULL)
        return;
    pace->told = sequence;
    if (pace->fresh_ns == INT64_MAX)
        pace->fresh_ns = now.mono_ns;
}

/* What has ended is not written any more. */
static bool all_is_written(const struct herd_node *node)
{
    return herd_cursor_at_end(node->store, node->persist.journal);
}

static bool answers(const struct herd_node *node, struct herd_now now)
{
    const struct persist *persist = &node->persist;
    return !persist->failing &&
           (!persist->in_flight ||
            now.mono_ns < node->pace.handed_ns + PACE_PATIENCE_MS * HERD_NS_PER_MS);
}

static bool is_behind(const struct herd_node *node, struct herd_now now)
{
    const struct pace *pace = &node->pace;
    bool old =
        pace->fresh_ns != INT64_MAX && now.mono_ns >= pace->fresh_ns + PACE_AGE_MS * HERD_NS_PER_MS;
    bool much = herd_store_sequence(node->store) - pace->read >= pace->backlog_max;
    return (old || much) && !node->stopping && answers(node, now) && !all_is_written(node);
}

bool pace_holds(const struct herd_conn *conn, struct herd_now now, struct herd_slice line)
{
    struct herd_node *node = conn->node;
    struct herd_slice verb;
    if (conn->neighbour != NULL || !is_behind(node, now) || !herd_next_word(&line, &verb) ||
        !herd_slice_equal(verb, herd_slice_of("IAMAT")))
        return false;
    node->pace.paused = true;
    return true;
}

/* From one batch that was cut short to the next there was nothing but writing. */
static void learn(struct herd_node *node, struct herd_now now, size_t records)
{
    struct pace *pace = &node->pace;
    bool cut = !node->persist.batch_is_clean;
    if (pace->cut_ns != INT64_MIN && cut && records > 0) {
        int64_t ns = (now.mono_ns - pace->cut_ns) / (int64_t)records + 1;
        pace->ns_per_record = pace->ns_per_record > 0 ? (pace->ns_per_record + ns) / 2 : ns;
        pace->backlog_max = (uint64_t)(PACE_BACKLOG_MS * HERD_NS_PER_MS / pace->ns_per_record);
        if (pace->backlog_max < node->options.batch_records_max)
            pace->backlog_max = node->options.batch_records_max;
    }
    pace->cut_ns = cut ? now.mono_ns : INT64_MIN;
}

void pace_on_batch(struct herd_node *node, struct herd_now now, size_t records)
{
    struct pace *pace = &node->pace;
    pace->read = node->persist.batch.upto;
    learn(node, now, records);
    if (pace->read >= pace->told) {
        pace->batched_ns = pace->fresh_ns;
        pace->fresh_ns = INT64_MAX;
    }
}

void pace_on_handed(struct herd_node *node, struct herd_now now)
{
    node->pace.handed_ns = now.mono_ns;
    pace_let_go(node, now);
}

void pace_on_written(struct herd_node *node, struct herd_now now, int status)
{
    if (status < 0)
        node->pace.cut_ns = INT64_MIN;
    else
        node->pace.batched_ns = INT64_MAX;
    pace_let_go(node, now);
}

void pace_let_go(struct herd_node *node, struct herd_now now)
{
    if (!node->pace.paused || is_behind(node, now))
        return;
    node->pace.paused = false;
    for (struct herd_conn *conn = node->conns; conn != NULL; conn = conn->next)
        conn_disk_follows(conn);
}

int64_t pace_wakeup(const struct herd_node *node)
{
    if (!node->pace.paused || !node->persist.in_flight)
        return INT64_MAX;
    return node->pace.handed_ns + PACE_PATIENCE_MS * HERD_NS_PER_MS;
}

int64_t herd_node_unwritten_ns(const struct herd_node *node, struct herd_now now)
{
    const struct pace *pace = &node->pace;
    int64_t fresh_ns = all_is_written(node) ? INT64_MAX : pace->fresh_ns;
    int64_t oldest_ns = pace->batched_ns < fresh_ns ? pace->batched_ns : fresh_ns;
    return oldest_ns < now.mono_ns ? now.mono_ns - oldest_ns : 0;
}
