/*
 * A neighbour that has had more than one life: which of its sequences, and which RESUME of it, mean
 * what they say. What this server's own former lives have to do with that: ancestry.c.
 *
 * What a former life of it has told can come late, when this server's link is up with the next life
 * already: it is passed over as theirs, and marked as held, and is not. Of a life that began empty
 * such records are known by `skipped`, of one that was read from disk by `late`: from its RESUME,
 * which says `recovered`, until its own HELLO. From then on nothing can come late, and RESUME is not
 * believed in between (`owed_from`, `owed_to`) until it shows that all has been sent anew.
 *
 *   D crashes; its FLOOD x is on its way
 *   link to D up: RESUME recovered life=2    all that is newer is sent, D's own words too
 *   FLOOD x                                  kept, and passed over: D has told it. `late`
 *   HELLO life=2                             D has lost x: the link is dialled anew, from before x
 */
#include <herd/proto.h>

#include "core/node.h"

/* The mark's life may have gone on, or begun, behind a copy of the disk that the present one comes
 * from. What is not below the first sequence of both they cannot have in common. */
uint64_t lives_shared(const struct herd_mark *mark, const struct herd_life *present)
{
    if (present->id == 0 || mark->sequence < present->from)
        return mark->sequence;
    bool earlier = mark->life_from > 0 && mark->life_from < present->from;
    return (earlier ? mark->life_from : present->from) - 1;
}

static uint64_t sequence_of(const struct link *link)
{
    return herd_store_sequence(link->conn.node->store);
}

/* What was passed over from there on has to be sent, whatever RESUME says. */
static void owe(struct link *link, uint64_t from)
{
    if (link->owed_to == 0 || from < link->owed_from)
        link->owed_from = from;
    link->owed_to = sequence_of(link);
}

/* The late ones are the present life's no more. */
static void owe_late(struct link *link)
{
    owe(link, link->late);
    link->late = 0;
    link->conn.neighbour->source = node_new_source(link->conn.node);
}

static void dial_anew(struct link *link)
{
    if (link->state == LINK_UP || link->state == LINK_SEEKING)
        link_drop(link, HERD_NOTICE_LINK_DOWN, "the neighbour has lost its memory");
}

void link_neighbour_reborn(struct link *link)
{
    link->late = 0;
    link->counts_late = false;
    if (link->skipped == 0)
        return;
    owe(link, link->skipped);
    dial_anew(link);
}

void link_neighbour_restarted(struct link *link)
{
    if (!link->counts_late)
        return;
    link->counts_late = false;
    /* Also what the cursor has not come to yet. */
    link->conn.neighbour->source = node_new_source(link->conn.node);
    if (link->late == 0)
        return;
    owe_late(link);
    dial_anew(link);
}

/* What was marked there it may have refused, as having ended; only the ACK, which may be lost, would
 * have said so. Nobody waits for what another neighbour holds. What it says of an earlier life is
 * believed once, when that is all that is known. */
static uint64_t without_unacknowledged(const struct link *link, uint64_t position)
{
    const struct herd_node *node = link->conn.node;
    uint64_t told = link->acked;
    if (node->options.durability != HERD_DURABILITY_HERD || node->options.record_ttl_ns == 0)
        return position;
    if (told < node->persist.at_neighbour)
        told = node->persist.at_neighbour;
    return position < told ? position : told;
}

/* Of what is marked there, what counts in this life. */
static uint64_t claimed(const struct link *link, const struct herd_command *command)
{
    const struct herd_node *node = link->conn.node;
    uint64_t life;
    if (command->epoch != node->epoch || command->sequence > sequence_of(link))
        return 0;
    if (!link_word_number(command->rest, HERD_WORD_OF, 16, &life))
        return command->sequence;
    return lives_held(node, life, command->sequence);
}

static uint64_t believed(struct link *link, const struct herd_command *command)
{
    uint64_t claim = claimed(link, command);
    if (claim > link->owed_to)
        link->owed_to = 0;
    if (link->late > 0 && claim >= link->late)
        owe_late(link);
    if (link->owed_to > 0 && claim >= link->owed_from)
        return link->owed_from - 1;
    return claim;
}

uint64_t link_resume_position(struct link *link, const struct herd_command *command)
{
    return without_unacknowledged(link, believed(link, command));
}

/* Its own latest words may be lost to it. */
void link_neighbour_recovered(struct link *link, struct herd_slice words)
{
    struct neighbour *neighbour = link->conn.neighbour;
    uint64_t life;
    neighbour->source = node_new_source(link->conn.node);
    link->late = 0;
    link->counts_late =
        link_word_number(words, HERD_WORD_LIFE, 16, &life) && life != neighbour->life.id;
}

void link_pass_over(struct link *link, uint64_t sequence)
{
    if (link->skipped == 0)
        link->skipped = sequence;
    if (link->counts_late && link->late == 0)
        link->late = sequence;
}
