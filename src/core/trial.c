/*
 * A tree is as fast as the flood that made it. Another way may be faster later on: a server is back,
 * or a distance has changed. So some records go over pruned links as well.
 *
 *   news that comes another way than the last    over all links: behind this server, too, the way
 *   of that origin did                           through it may be the fastest now
 *   (FASTER, to whom this server brings them     ... for what comes that way is sooner there, too)
 *   one of so many that are news                 over one of the pruned links, each in turn
 *
 * Whoever has had it says nothing. Where it is news the way has changed again: there GRAFT is said,
 * the slower way is answered with PRUNE, and this very record goes on over all links. So it is
 * everywhere as soon as a flood would be, and takes a flood's lines just where that makes a
 * difference.
 *
 * Where distances are chance the way changes all the time: so an origin has TRIAL_RACES_MAX changes
 * that are followed up, and one more for each trial. A catch-up, in which each record comes from
 * whom it may, takes none of these: changes that have to do with young connections have a stock of
 * their own, of as many in PRUNE_YOUNG_MS.
 */
#include "core/node.h"
#include "core/store.h"

/* The next in turn of those that have pruned it and have yet to be sent the news, or NULL. */
static const struct neighbour *next_in_turn(const struct neighbour *from, uint32_t origin)
{
    const struct herd_node *node = from->link.conn.node;
    uint32_t *turn = &node->prune.origins[origin].trial_turn;
    for (size_t i = 0; i < node->neighbour_count; i++) {
        *turn = (uint32_t)((*turn + 1) % node->neighbour_count);
        const struct neighbour *next = node->neighbours[*turn];
        if (next != from && origin_set_has(&next->link.held.pruned, origin))
            return next;
    }
    return NULL;
}

static void plan(struct herd_node *node, struct origin *origin, struct herd_now now)
{
    origin->news_to_trial =
        (uint8_t)(TRIAL_NEWS_MIN + rng_below(&node->rng, TRIAL_NEWS_MAX - TRIAL_NEWS_MIN + 1));
    origin->trial_at_ns = now.mono_ns + TRIAL_EVERY_MS * HERD_NS_PER_MS;
}

/* Whether it is time for a trial; the first news begin to count. */
static bool is_due(struct herd_node *node, struct origin *origin, struct herd_now now)
{
    bool is_first = origin->news_to_trial == 0;
    if (origin->news_to_trial > 1)
        origin->news_to_trial--;
    if (!is_first && (origin->news_to_trial > 1 || now.mono_ns < origin->trial_at_ns))
        return false;
    plan(node, origin, now);
    if (origin->races_left < TRIAL_RACES_MAX)
        origin->races_left++;
    return !is_first;
}

/* To whom it is said of nothing that they have it from elsewhere: they will see whether it is. */
static void tell(const struct neighbour *from, uint32_t origin)
{
    struct herd_node *node = from->link.conn.node;
    struct origin_set set = {{0}};
    origin_set_add(&set, origin);
    for (size_t i = 0; i < node->neighbour_count; i++) {
        struct neighbour *to = node->neighbours[i];
        if (to != from && !origin_set_has(&to->link.held.pruned, origin))
            prune_tell(to, HERD_VERB_FASTER, &set);
    }
}

void trial_on_faster(const struct neighbour *from, struct herd_slice origins)
{
    struct prune *prune = &from->link.conn.node->prune;
    struct herd_slice name;
    while (herd_next_word(&origins, &name)) {
        uint32_t origin = prune_origin(prune, name, false);
        if (origin != PRUNE_NOTHING && prune->origins[origin].parent == from)
            prune->origins[origin].is_faster = true;
    }
}

/* Whether one more change is followed up: one that has to do with a young connection, or not. */
static bool take_race(struct origin *origin, bool is_young, struct herd_now now)
{
    uint8_t *left = is_young ? &origin->young_races_left : &origin->races_left;
    if (is_young && now.mono_ns - origin->young_races_ns >= PRUNE_YOUNG_MS * HERD_NS_PER_MS) {
        origin->young_races_ns = now.mono_ns;
        *left = TRIAL_RACES_MAX;
    }
    if (*left == 0)
        return false;
    --*left;
    return true;
}

/* Of news that come in one turn the last one is raced, in place of those before it, which have yet to
 * go out and may have been replaced: wherever one of them was to go. */
static void begin_turn(const struct herd_node *node, struct origin *origin)
{
    if (origin->raced_turn == node->turn)
        return;
    origin->raced_turn = node->turn;
    origin->raced_to = NULL;
    origin->races_all = false;
}

void trial_on_news(const struct neighbour *from, struct herd_now now, uint32_t origin)
{
    struct herd_node *node = from->link.conn.node;
    struct origin *tried = &node->prune.origins[origin];
    bool is_other = tried->parent != NULL && tried->parent != from;
    bool is_young = is_other && (prune_is_young(from, now) || prune_is_young(tried->parent, now));
    tried->raced = herd_store_sequence(node->store);
    begin_turn(node, tried);
    if (tried->races_all)
        return;
    if (tried->raced_to == NULL && is_due(node, tried, now))
        tried->raced_to = next_in_turn(from, origin);
    tried->races_all = (tried->is_faster || is_other) && take_race(tried, is_young, now);
    tried->is_faster = false;
    if (tried->races_all)
        tell(from, origin);
}

bool trial_sends(const struct link *link, uint32_t origin, uint64_t sequence)
{
    const struct origin *tried = &link->conn.node->prune.origins[origin];
    return sequence == tried->raced &&
           (tried->races_all || tried->raced_to == link->conn.neighbour);
}
