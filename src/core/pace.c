/*
 * When batches begin, and IAMAT that wait because the disk is behind. They are not taken: their
 * connections are not read from, nothing is kept for them but what had been read, and nothing is
 * refused.
 *
 *   IAMAT -> answered -> (pace_period_ns after the last one) in a batch -> on disk
 *   more comes than the disk takes -> IAMAT wait -> the batches reach all that was answered
 *                                  -> they go on
 *   the disk fails, or does not answer for PACE_PATIENCE_MS -> they go on, from memory
 *
 * How long a batch will take is known from those before it, and what has changed is counted. A batch
 * begins so early that all would be on disk in time if it took twice as long.
 *
 * While they wait, what was answered is replaced by no IAMAT, which would come behind all that is
 * still to be written, but only by records that neighbours bring, and which these have. So a batch
 * that reaches the last one answered has them all.
 */
#include <herd/posix_time.h>

#include "core/node.h"
#include "core/store.h"

void pace_init(struct herd_node *node)
{
    const struct herd_node_options *options = &node->options;
    bool promises_a_second = options->durability == HERD_DURABILITY_INTERVAL ||
                             options->durability == HERD_DURABILITY_HERD;
    node->pace = (struct pace){.is_on = options->has_disk && promises_a_second,
                               .fresh_ns = INT64_MAX,
                               .batched_ns = INT64_MAX,
                               .batch_ns = PACE_FIRST_MS * HERD_NS_PER_MS,
                               .mean_ns = PACE_FIRST_MS * HERD_NS_PER_MS,
                               .record_ns = PACE_FIRST_NS};
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

/* What one batch is expected to take. */
static int64_t batch_takes_ns(const struct pace *pace, size_t records)
{
    return pace->batch_ns + pace->record_ns * (int64_t)records;
}

/* The same for all that has changed, which may be more than one may have: of many, the mean counts.
 * Parts of a snapshot come between these. */
static int64_t rest_takes_ns(const struct herd_node *node)
{
    const struct herd_node_options *options = &node->options;
    const struct persist *persist = &node->persist;
    const struct pace *pace = &node->pace;
    size_t records = store_unread(node->store);
    int64_t others = (int64_t)(records / options->batch_records_max);
    int64_t takes_ns = batch_takes_ns(pace, records) + others * pace->mean_ns;
    if (persist->snapshotting || persist->snapshot_wanted)
        takes_ns +=
            (1 + others / BATCH_JOURNAL_SHARE) * batch_takes_ns(pace, options->batch_step_max);
    return takes_ns;
}

int64_t pace_period_ns(const struct herd_node *node)
{
    size_t records = store_unread(node->store);
    if (!node->pace.is_on)
        return PACE_PERIOD_MS * HERD_NS_PER_MS;
    if (records >= node->options.batch_records_max)
        return 0;
    int64_t usual_ns = (records < PACE_MUCH ? PACE_PERIOD_MS : PACE_LATE_MS) * HERD_NS_PER_MS;
    int64_t in_time_ns = PACE_LIMIT_MS * HERD_NS_PER_MS - 2 * rest_takes_ns(node);
    return in_time_ns < usual_ns ? in_time_ns : usual_ns;
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
            now.mono_ns < persist->handed_ns + PACE_PATIENCE_MS * HERD_NS_PER_MS);
}

/* How long it will be until all that was answered so far is on disk. Where the batch under way takes
 * longer than expected, the next one will, too. */
static int64_t until_written_ns(const struct herd_node *node, struct herd_now now)
{
    const struct persist *persist = &node->persist;
    int64_t rest_ns = rest_takes_ns(node), planned_ns = node->pace.planned_ns;
    if (!persist->in_flight)
        return rest_ns;
    int64_t elapsed_ns = now.mono_ns - persist->handed_ns;
    if (elapsed_ns <= planned_ns)
        return planned_ns - elapsed_ns + rest_ns;
    return (int64_t)((double)rest_ns * (double)elapsed_ns / (double)planned_ns);
}

static bool is_behind(const struct herd_node *node, struct herd_now now)
{
    const struct pace *pace = &node->pace;
    if (all_is_written(node) || node->stopping || !answers(node, now))
        return false;
    int64_t age_ns = pace->fresh_ns < now.mono_ns ? now.mono_ns - pace->fresh_ns : 0;
    int64_t until_ns = until_written_ns(node, now);
    /* Who waits does so for as long as it takes to write this. */
    bool much = store_unread(node->store) > node->options.batch_records_max &&
                until_ns > PACE_BACKLOG_MS * HERD_NS_PER_MS;
    return much || age_ns + until_ns > PACE_LIMIT_MS * HERD_NS_PER_MS;
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

void pace_on_batch(struct herd_node *node)
{
    struct pace *pace = &node->pace;
    pace->read = node->persist.batch.upto;
    if (pace->read >= pace->told) {
        pace->batched_ns = pace->fresh_ns;
        pace->fresh_ns = INT64_MAX;
    }
}

void pace_on_handed(struct herd_node *node, struct herd_now now)
{
    node->pace.planned_ns = batch_takes_ns(&node->pace, node->persist.batch_records);
    pace_let_go(node, now);
}

/* More than the mean, as more is lost by what is too low; but a disk that was slow once is not so for
 * ever. What is expected of a record makes batches small: so small ones, too, show where it is too
 * much. */
static int64_t learnt(int64_t known_ns, int64_t ns)
{
    return ns > known_ns ? (known_ns + ns) / 2 : known_ns - (known_ns - ns) / 16;
}

static void learn(struct herd_node *node, struct herd_now now)
{
    struct pace *pace = &node->pace;
    int64_t took_ns = now.mono_ns - node->persist.handed_ns;
    size_t records = node->persist.batch_records;
    if (records < PACE_MANY) {
        pace->batch_ns = learnt(pace->batch_ns, took_ns) + 1;
        pace->mean_ns += (took_ns - pace->mean_ns) / 8;
        if (records > 0 && took_ns / (int64_t)records < pace->record_ns)
            pace->record_ns = learnt(pace->record_ns, took_ns / (int64_t)records) + 1;
    } else {
        int64_t records_ns = took_ns > pace->batch_ns ? took_ns - pace->batch_ns : 0;
        pace->record_ns = learnt(pace->record_ns, records_ns / (int64_t)records) + 1;
    }
}

void pace_on_written(struct herd_node *node, struct herd_now now, int status)
{
    if (status == 0) {
        node->pace.batched_ns = INT64_MAX;
        learn(node, now);
    }
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
    return node->persist.handed_ns + PACE_PATIENCE_MS * HERD_NS_PER_MS;
}

int64_t herd_node_unwritten_ns(const struct herd_node *node, struct herd_now now)
{
    const struct pace *pace = &node->pace;
    int64_t fresh_ns = all_is_written(node) ? INT64_MAX : pace->fresh_ns;
    int64_t oldest_ns = pace->batched_ns < fresh_ns ? pace->batched_ns : fresh_ns;
    return oldest_ns < now.mono_ns ? now.mono_ns - oldest_ns : 0;
}
