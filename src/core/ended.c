/*
 * Records that end, and what a neighbour's ACK is worth then. A listener keeps no record that has
 * ended by its clock; whether it has ended for the dialler as well, or one of their clocks is wrong,
 * only the dialler can tell.
 *
 *   FLOOD x          L: has ended here, is not kept
 *   MARK             L: ENDED <x>, ACK
 *   ENDED            D: x has ended here, too, or all but: it goes, and the answer that waits for x is
 *                       refused
 *                       x has not, and may be of what that ACK is about: no ACK on this connection
 *                       answers a client, and none of it counts as acknowledged (`refused`)
 *   (2 s, then 4, 8, 16, 32 s)
 *                    D: dials anew, and sends all again that is not acknowledged, x among it
 *   MARK             L: ACK without an ENDED, once x has ended at D or L's clock is right
 *   FLOOD y          y is older than what L holds, which had ended when y was received. If it has all
 *                       but ended here, y takes its place. Else y is not kept, and L says ENDED <y>:
 *                       its clock is behind, or the other one ahead
 *   D crashes, HELLO of its next life
 *                    L: RESUME from before x, for that life knows nothing of the ENDED (`sound`)
 */
#include <herd/posix_time.h>
#include <herd/proto.h>

#include "core/node.h"
#include "core/store.h"

enum {
    /* What clocks may differ by: with the second that ends are rounded up to, no more than what
     * mends nothing any more (WALK_ENDING_MS). */
    ENDED_EARLY_MS = 3000,
    ENDED_EARLY_PARTS = 4, /* and no more than this part of the time to live */
    DOUBT_TTLS = 2,        /* how long x may go on at a dialler whose clock is right */
    ANEW_MIN_MS = 2000,
    ANEW_MAX_MS = 32000
};

static int64_t early_ns(const struct herd_node *node)
{
    int64_t part_ns = node->options.record_ttl_ns / ENDED_EARLY_PARTS;
    int64_t most_ns = ENDED_EARLY_MS * HERD_NS_PER_MS;
    return part_ns < most_ns ? part_ns : most_ns;
}

int64_t ended_by(const struct herd_node *node, struct herd_now now,
                 const struct herd_record *record)
{
    int64_t latest_ns = now.wall_ns + early_ns(node);
    int64_t by_ns = record->received_ns < latest_ns ? record->received_ns : latest_ns;
    return by_ns > now.wall_ns ? by_ns : now.wall_ns;
}

/* The neighbour holds all up to a sequence. Only a mark with nothing left behind it says so of
 * every record. */
void link_on_ack(struct link *link, struct herd_now now, const struct herd_command *command)
{
    struct herd_node *node = link->conn.node;
    if (command->epoch != node->epoch || command->sequence > link->marked ||
        command->passed > link->passed)
        return;
    uint64_t held = 0;
    unsigned passed = 0;
    while (passed < link->clean_mark_count && link->clean_marks[passed].sequence <= command->passed)
        held = link->clean_marks[passed++].sequence;
    link->clean_mark_count -= passed;
    memmove(link->clean_marks, link->clean_marks + passed,
            link->clean_mark_count * sizeof(*link->clean_marks));
    if (link->refused)
        return;
    link->acked = command->sequence;
    if (held > 0)
        link->anew_ms = 0;
    persist_on_held(node, now, held);
}

int64_t link_received_ns(const struct herd_node *node, struct herd_slice text)
{
    struct herd_record record;
    return node->options.record_ttl_ns > 0 && herd_record_parse(text, &record) == 0
               ? record.received_ns
               : INT64_MAX;
}

void link_note_sent(struct link *link, int64_t received_ns)
{
    if (received_ns < link->oldest_ns)
        link->oldest_ns = received_ns;
}

void link_note_clean_mark(struct link *link)
{
    /* When the array is full the newest takes the last one's place: it says all that that one
     * did. */
    if (link->clean_mark_count < LINK_CLEAN_MARKS_MAX)
        link->clean_marks[link->clean_mark_count++].oldest_ns = INT64_MAX;
    struct clean_mark *last = &link->clean_marks[link->clean_mark_count - 1];
    last->sequence = link->passed;
    if (link->oldest_ns < last->oldest_ns)
        last->oldest_ns = link->oldest_ns;
    link->oldest_ns = INT64_MAX;
}

/* Whether it was sent since what is acknowledged, or one before it: the neighbour tells the latest
 * of those that it refused. One that was sent again, to mend a difference, has been held there: the
 * ACK to come is not about it. That a record was replaced here meanwhile does not matter: an answer
 * may wait for it. */
static bool may_be_of_the_next_ack(const struct link *link, int64_t received_ns)
{
    int64_t oldest_ns = link->oldest_ns;
    for (unsigned i = 0; i < link->clean_mark_count; i++) {
        if (link->clean_marks[i].oldest_ns < oldest_ns)
            oldest_ns = link->clean_marks[i].oldest_ns;
    }
    return oldest_ns <= received_ns;
}

static void tell_clocks_differ(const struct link *link)
{
    struct herd_node *node = link->conn.node;
    node_notice(node, HERD_NOTICE_CLOCKS_DIFFER, link->conn.neighbour->name, node->epoch, 0, "%s",
                "records that have not ended here have ended there");
}

/* The next connection begins with what is not acknowledged (lives.c). */
static void refuse_acks(struct link *link, struct herd_now now)
{
    if (link->refused)
        return;
    if (link->anew_ms == 0)
        tell_clocks_differ(link);
    link->refused = true;
    link->anew_ms = link->anew_ms == 0 ? ANEW_MIN_MS : link->anew_ms * 2;
    if (link->anew_ms > ANEW_MAX_MS)
        link->anew_ms = ANEW_MAX_MS;
    link->anew_at_ns = now.mono_ns + link->anew_ms * HERD_NS_PER_MS;
}

void link_on_ended(struct link *link, struct herd_now now, const struct herd_command *command)
{
    struct herd_node *node = link->conn.node;
    int64_t end_ns;
    if (__builtin_add_overflow(command->ended_ns, node->options.record_ttl_ns, &end_ns) ||
        !may_be_of_the_next_ack(link, command->ended_ns))
        return;
    if (end_ns > now.wall_ns + early_ns(node)) {
        if (node->options.durability != HERD_DURABILITY_HERD) {
            /* Nobody waits for it. */
            if (!link->clocks_told)
                tell_clocks_differ(link);
            link->clocks_told = true;
            return;
        }
        refuse_acks(link, now);
    } else if (node->options.durability == HERD_DURABILITY_HERD) {
        persist_on_ended(node, command->ended_ns);
        node_expire_to(node, now, end_ns);
    }
}

/* A catch-up that is under way goes on: it would begin anew each time, and reach no end. */
int64_t ended_wakeup(const struct link *link)
{
    bool waits =
        link->refused && link->state == LINK_UP && !link->catches_up && !link->conn.node->stopping;
    return waits ? link->anew_at_ns : INT64_MAX;
}

void ended_tick(struct link *link, struct herd_now now)
{
    if (now.mono_ns >= ended_wakeup(link))
        link_drop(link, HERD_NOTICE_LINK_DOWN,
                  "the clocks differed: all that is not acknowledged "
                  "is sent again");
}

/* Its sender had let go what is held here, and is newer: it may be the only one that holds this. */
static bool was_let_go_there(const struct herd_store *store, const struct herd_record *record)
{
    struct herd_record held;
    return herd_store_find(store, record->client, &held) &&
           herd_store_is_expired(store, &held, record->received_ns);
}

void ended_on_flood(struct neighbour *from, struct herd_now now, const struct herd_record *record,
                    bool is_news)
{
    const struct herd_node *node = from->inbound->node;
    if (node->options.record_ttl_ns == 0 || is_news || record->received_ns <= from->refused_ns)
        return;
    if (herd_store_is_expired(node->store, record, now.wall_ns) ||
        was_let_go_there(node->store, record))
        from->refused_ns = record->received_ns;
}

int ended_on_mark(struct neighbour *from, struct herd_now now, uint64_t marked_before)
{
    int64_t received_ns = from->refused_ns;
    from->refused_ns = 0;
    ended_forget_doubt(from, now);
    if (received_ns == 0)
        return 0;
    if (from->sound > marked_before)
        from->sound = marked_before;
    from->sound_again_ns = now.mono_ns + DOUBT_TTLS * from->inbound->node->options.record_ttl_ns;
    return herd_append_ended(conn_front(from->inbound), received_ns);
}

void ended_forget_doubt(struct neighbour *from, struct herd_now now)
{
    if (now.mono_ns < from->sound_again_ns)
        return;
    from->inbound->node->persist.marks_changed |= from->mark.sequence > from->sound;
    from->sound = UINT64_MAX;
}
