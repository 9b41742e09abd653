#include <inttypes.h>

#include <herd/proto.h>
#include <herd/record.h>
#include <herd/store.h>

#include "core/node.h"
#include "core/store.h"
#include "mutant.h"
#include "words.h"

enum { ECHO_EVERY = 5000, LEAK_EVERY = 1000 };

/* The one place for it: the functions below have the signatures of those that they stand for. */
static enum plant_kind planted;
static unsigned ends_seen, bufs_seen;
static uint64_t ended;      /* hashes of records */
static struct link *filled; /* the one whose output is made */

void mutant_plant(enum plant_kind kind)
{
    planted = kind;
}

/* The names are the linker's. */
#pragma GCC diagnostic ignored "-Wmissing-prototypes"

int64_t __real_herd_record_order_ns(const struct herd_record *record, int64_t max_skew_ns);
int __real_herd_record_compare(const struct herd_record *a, const struct herd_record *b,
                               int64_t max_skew_ns);
uint32_t __real_node_new_source(struct herd_node *node);
int __real_herd_store_apply(struct herd_store *store, const struct herd_record *record,
                            uint32_t source, int64_t now_ns);
void __real_herd_node_recycle(struct herd_node *node, struct herd_buf *take_buf);
int __real_herd_command_parse(struct herd_slice line, struct herd_command *out);
void __real_waits_on_record(struct herd_node *node, const struct herd_record *record);
bool __real_herd_store_expire(struct herd_store *store, int64_t now_ns);
uint64_t __real_herd_store_digest(const struct herd_store *store);
void __real_acks_send(struct neighbour *neighbour);
int64_t __real_acks_wakeup(const struct neighbour *neighbour);
int __real_persist_answer(struct herd_conn *conn, struct herd_now now,
                          const struct herd_record *record, struct herd_slice line, bool kept);
bool __real_herd_cursor_next(struct herd_store *store, herd_cursor cursor, struct herd_entry *out);
void __real_herd_cursor_to_begin(struct herd_store *store, herd_cursor cursor);
uint64_t __real_store_changes(const struct herd_store *store);
uint64_t __real_lives_shared(const struct herd_mark *mark, const struct herd_life *present);
uint64_t __real_lives_held(const struct herd_node *node, uint64_t life, uint64_t sequence);
void __real_link_pass_over(struct link *link, uint64_t sequence);
void __real_link_on_ended(struct link *link, struct herd_now now,
                          const struct herd_command *command);
void __real_ended_forget_doubt(struct neighbour *from, struct herd_now now);
size_t __real_store_cursor_pass(struct herd_store *store, herd_cursor cursor, uint32_t source,
                                size_t steps_max, uint64_t *first);
void __real_waiting_on_ended(void *arg, struct herd_slice client, uint64_t sequence);
uint64_t __real_held_claim(const struct link *link, uint64_t passed);
int __real_prune_on_have(struct neighbour *from, const struct herd_command *command);
int __real_prune_graft(struct neighbour *to, const struct origin_set *wanted);
void __real_trial_on_news(const struct neighbour *from, struct herd_now now, uint32_t origin);
int64_t __real_ended_by(const struct herd_node *node, struct herd_now now,
                        const struct herd_record *record);

void __real_herd_node_persisted(struct herd_node *node, struct herd_now now, int status);
bool __real_persist_effect(struct herd_node *node, struct herd_now now, struct herd_effect *out);
void __real_link_fill(struct link *link, struct herd_now now);
uint64_t __real_store_sequence_of(const struct herd_store *store, struct herd_slice client);
bool __real_pace_holds(const struct herd_conn *conn, struct herd_now now, struct herd_slice line);
void __real_conn_disk_follows(struct herd_conn *conn);
int __real_herd_append_mark(struct herd_buf *out, enum herd_verb verb, uint64_t epoch,
                            uint64_t sequence, uint64_t passed);

void __wrap_herd_node_persisted(struct herd_node *node, struct herd_now now, int status)
{
    if (planted == PLANT_CUT_IS_SAFE)
        node->persist.batch_is_clean = true;
    __real_herd_node_persisted(node, now, status);
}

/* As it does for a batch that is clean. */
static void add_marks(struct herd_node *node)
{
    struct herd_buf *out = &node->persist.batch.neighbours;
    for (size_t i = 0; i < node->neighbour_count; i++) {
        const struct herd_mark *mark = &node->neighbours[i]->mark;
        uint64_t sound = node->neighbours[i]->sound;
        uint64_t marked = mark->sequence < sound ? mark->sequence : sound;
        if (marked > 0)
            words_printf(out, "%s %016" PRIx64 " %" PRIu64 " %016" PRIx64 " %" PRIu64 "\n",
                         node->neighbours[i]->name, mark->epoch, marked, mark->life,
                         mark->life_from);
    }
}

/* Older generations go before the whole of the new one is there. */
static void end_snapshot(struct persist *persist)
{
    persist->batch.ends = true;
    persist->snapshotting = false;
}

bool __wrap_persist_effect(struct herd_node *node, struct herd_now now, struct herd_effect *out)
{
    struct persist *persist = &node->persist;
    bool is_new = !persist->has_batch;
    bool wanted = __real_persist_effect(node, now, out);
    if (planted == PLANT_CUT_MARKS && wanted && is_new && !persist->batch.is_snapshot &&
        !persist->batch_is_clean)
        add_marks(node);
    if (planted == PLANT_SHORT_SNAPSHOT && wanted && is_new && persist->batch.is_snapshot)
        end_snapshot(persist);
    return wanted;
}

uint64_t __wrap_store_sequence_of(const struct herd_store *store, struct herd_slice client)
{
    uint64_t sequence = __real_store_sequence_of(store, client);
    return planted == PLANT_NO_FOLLOW && sequence > 0 ? 1 : sequence;
}

bool __wrap_pace_holds(const struct herd_conn *conn, struct herd_now now, struct herd_slice line)
{
    return planted != PLANT_NO_PACE && __real_pace_holds(conn, now, line);
}

void __wrap_conn_disk_follows(struct herd_conn *conn)
{
    if (planted != PLANT_NO_GO)
        __real_conn_disk_follows(conn);
}

void __wrap_link_fill(struct link *link, struct herd_now now)
{
    filled = link;
    __real_link_fill(link, now);
    filled = NULL;
}

int __wrap_herd_append_mark(struct herd_buf *out, enum herd_verb verb, uint64_t epoch,
                            uint64_t sequence, uint64_t passed)
{
    unsigned count = filled != NULL ? filled->clean_mark_count : 0;
    bool is_clean = count > 0 && filled->clean_marks[count - 1].sequence == passed;
    if (planted == PLANT_CLEAN_MARK && filled != NULL && verb == HERD_VERB_MARK && !is_clean)
        link_note_clean_mark(filled);
    return __real_herd_append_mark(out, verb, epoch, sequence, passed);
}

void __wrap_link_pass_over(struct link *link, uint64_t sequence)
{
    if (planted == PLANT_LATE)
        link->counts_late = false;
    __real_link_pass_over(link, sequence);
}

void __wrap_link_on_ended(struct link *link, struct herd_now now,
                          const struct herd_command *command)
{
    if (planted != PLANT_NO_ENDED)
        __real_link_on_ended(link, now, command);
}

/* As it is asked before a HELLO. */
void __wrap_ended_forget_doubt(struct neighbour *from, struct herd_now now)
{
    if (planted == PLANT_NO_DOUBT)
        from->sound = UINT64_MAX;
    __real_ended_forget_doubt(from, now);
}

void __wrap_waiting_on_ended(void *arg, struct herd_slice client, uint64_t sequence)
{
    if (planted != PLANT_ENDED_SAFE)
        __real_waiting_on_ended(arg, client, sequence);
}

uint64_t __wrap_lives_shared(const struct herd_mark *mark, const struct herd_life *present)
{
    return planted == PLANT_NO_LIFE ? mark->sequence : __real_lives_shared(mark, present);
}

uint64_t __wrap_lives_held(const struct herd_node *node, uint64_t life, uint64_t sequence)
{
    bool heeded = planted != PLANT_NO_LIFE && planted != PLANT_NO_ANCESTRY;
    return heeded ? __real_lives_held(node, life, sequence) : sequence;
}

uint64_t __wrap_held_claim(const struct link *link, uint64_t passed)
{
    return planted == PLANT_FULL_MARK ? passed : __real_held_claim(link, passed);
}

int __wrap_prune_on_have(struct neighbour *from, const struct herd_command *command)
{
    return planted == PLANT_NO_HAVE ? 0 : __real_prune_on_have(from, command);
}

int __wrap_prune_graft(struct neighbour *to, const struct origin_set *wanted)
{
    return planted == PLANT_NO_GRAFT ? 0 : __real_prune_graft(to, wanted);
}

void __wrap_trial_on_news(const struct neighbour *from, struct herd_now now, uint32_t origin)
{
    if (planted != PLANT_NO_TRIAL)
        __real_trial_on_news(from, now, origin);
}

int64_t __wrap_ended_by(const struct herd_node *node, struct herd_now now,
                        const struct herd_record *record)
{
    return planted == PLANT_NOT_LET_GO ? now.wall_ns : __real_ended_by(node, now, record);
}

int64_t __wrap_herd_record_order_ns(const struct herd_record *record, int64_t max_skew_ns)
{
    return planted == PLANT_LAST_WINS ? 0 : __real_herd_record_order_ns(record, max_skew_ns);
}

int __wrap_herd_record_compare(const struct herd_record *a, const struct herd_record *b,
                               int64_t max_skew_ns)
{
    if (planted == PLANT_LAST_WINS)
        return 1;
    return planted == PLANT_NO_TIES ? 0 : __real_herd_record_compare(a, b, max_skew_ns);
}

uint32_t __wrap_node_new_source(struct herd_node *node)
{
    return planted == PLANT_ONE_SOURCE ? 1 : __real_node_new_source(node);
}

int __wrap_herd_store_apply(struct herd_store *store, const struct herd_record *record,
                            uint32_t source, int64_t now_ns)
{
    int rc = __real_herd_store_apply(store, record, source, now_ns);
    return planted == PLANT_IGNORE_SHORTAGE && rc < 0 ? 0 : rc;
}

void __wrap_herd_node_recycle(struct herd_node *node, struct herd_buf *take_buf)
{
    if (planted == PLANT_LEAK && ++bufs_seen % LEAK_EVERY == 0)
        *take_buf = (struct herd_buf){0};
    __real_herd_node_recycle(node, take_buf);
}

int __wrap_herd_command_parse(struct herd_slice line, struct herd_command *out)
{
    int rc = __real_herd_command_parse(line, out);
    if (planted == PLANT_NO_AFTER)
        out->has_after = false;
    return rc;
}

void __wrap_waits_on_record(struct herd_node *node, const struct herd_record *record)
{
    struct herd_record newer = *record;
    if (planted == PLANT_OLD_AFTER)
        newer.sent_ns = INT64_MAX;
    __real_waits_on_record(node, &newer);
}

/* Of all stores together, which is enough to see. */
bool __wrap_herd_store_expire(struct herd_store *store, int64_t now_ns)
{
    uint64_t before = __real_herd_store_digest(store);
    bool all = __real_herd_store_expire(store, now_ns);
    ended += before - __real_herd_store_digest(store);
    return all;
}

uint64_t __wrap_herd_store_digest(const struct herd_store *store)
{
    return __real_herd_store_digest(store) + (planted == PLANT_STALE_DIGEST ? ended : 0);
}

void __wrap_acks_send(struct neighbour *neighbour)
{
    struct herd_node *node = neighbour->link.conn.node;
    uint64_t on_disk = node->persist.on_disk;
    if (planted == PLANT_EARLY_ACKS)
        node->persist.on_disk = UINT64_MAX;
    __real_acks_send(neighbour);
    node->persist.on_disk = on_disk;
}

int64_t __wrap_acks_wakeup(const struct neighbour *neighbour)
{
    return planted == PLANT_LATE_ACK ? INT64_MAX : __real_acks_wakeup(neighbour);
}

int __wrap_persist_answer(struct herd_conn *conn, struct herd_now now,
                          const struct herd_record *record, struct herd_slice line, bool kept)
{
    return planted == PLANT_NO_WAIT ? herd_record_append_at(record, conn_output(conn))
                                    : __real_persist_answer(conn, now, record, line, kept);
}

void __wrap_herd_cursor_to_begin(struct herd_store *store, herd_cursor cursor)
{
    if (planted == PLANT_NO_CATCH_UP)
        herd_cursor_to_end(store, cursor);
    else
        __real_herd_cursor_to_begin(store, cursor);
}

uint64_t __wrap_store_changes(const struct herd_store *store)
{
    return planted == PLANT_STALE_RUN ? 0 : __real_store_changes(store);
}

size_t __wrap_store_cursor_pass(struct herd_store *store, herd_cursor cursor, uint32_t source,
                                size_t steps_max, uint64_t *first)
{
    return planted == PLANT_NO_SOURCE
               ? 0
               : __real_store_cursor_pass(store, cursor, source, steps_max, first);
}

bool __wrap_herd_cursor_next(struct herd_store *store, herd_cursor cursor, struct herd_entry *out)
{
    bool more = __real_herd_cursor_next(store, cursor, out);
    if (more && planted == PLANT_NO_SOURCE)
        out->source = UINT32_MAX;
    if (!more && planted == PLANT_ECHO && ++ends_seen % ECHO_EVERY == 0) {
        __real_herd_cursor_to_begin(store, cursor);
        more = __real_herd_cursor_next(store, cursor, out);
    }
    return more;
}
