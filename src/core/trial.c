/*
 * A tree is as fast as the flood that made it. Another way may be faster later on: a server is back,
 * or a distance has changed. Who is next to that sees it, because a connection that comes anew is not
 * pruned; all others have to try.
 *
 *   so many records of an origin are news   -> one of the links pruned for it is next, in turn
 *   (TRIAL_WAIT_MS)                            what it holds back has been shown to be here
 *   GRAFT there                                and for TRIAL_MS a second copy proves nothing: those
 *                                              that were held back meanwhile come late
 *   the next record                            comes over both; the later one is answered with PRUNE
 *
 * So a trial costs a line for so many that are news, however many links there are, and an origin
 * that says nothing costs nothing.
 */
#include "core/node.h"

#define NEVER INT64_MAX

static void plan(struct herd_node *node, struct origin *origin, struct herd_now now)
{
    origin->news_to_trial =
        (uint8_t)(TRIAL_NEWS_MIN + rng_below(&node->rng, TRIAL_NEWS_MAX - TRIAL_NEWS_MIN + 1));
    origin->trial_at_ns = now.mono_ns + TRIAL_EVERY_MS * HERD_NS_PER_MS;
}

void trial_on_prune(struct herd_node *node, struct herd_now now, uint32_t origin)
{
    struct origin *pruned = &node->prune.origins[origin];
    if (pruned->trial_at_ns == NEVER)
        plan(node, pruned, now);
}

/* The next in turn of those that are pruned for it, or NULL. */
static struct neighbour *next_in_turn(const struct herd_node *node, uint32_t origin)
{
    uint32_t *turn = &node->prune.origins[origin].trial_turn;
    for (size_t i = 0; i < node->neighbour_count; i++) {
        *turn = (uint32_t)((*turn + 1) % node->neighbour_count);
        if (origin_set_has(&node->neighbours[*turn]->pruned, origin))
            return node->neighbours[*turn];
    }
    return NULL;
}

void trial_on_news(struct herd_node *node, struct herd_now now, uint32_t origin)
{
    struct origin *tried = &node->prune.origins[origin];
    if (tried->trial_at_ns == NEVER)
        return;
    if (tried->news_to_trial > 0)
        tried->news_to_trial--;
    if (tried->news_to_trial > 0 || now.mono_ns < tried->trial_at_ns)
        return;
    struct neighbour *next = next_in_turn(node, origin);
    tried->trial_at_ns = NEVER;
    if (next == NULL)
        return;
    plan(node, tried, now);
    origin_set_add(&next->to_try, origin);
    if (next->try_at_ns == NEVER)
        next->try_at_ns = now.mono_ns + TRIAL_WAIT_MS * HERD_NS_PER_MS;
}

bool trial_goes_on(const struct herd_node *node, struct herd_now now, uint32_t origin)
{
    return now.mono_ns < node->prune.origins[origin].trial_end_ns;
}

void trial_forget(struct neighbour *neighbour)
{
    neighbour->to_try = (struct origin_set){{0}};
    neighbour->try_at_ns = NEVER;
}

void trial_tick(struct neighbour *neighbour, struct herd_now now)
{
    struct prune *prune = &neighbour->link.conn.node->prune;
    if (now.mono_ns < neighbour->try_at_ns)
        return;
    struct origin_set wanted = neighbour->to_try;
    trial_forget(neighbour);
    for (uint32_t i = 0; i < prune->count; i++) {
        if (origin_set_has(&wanted, i) && origin_set_has(&neighbour->pruned, i))
            prune->origins[i].trial_end_ns = now.mono_ns + TRIAL_MS * HERD_NS_PER_MS;
    }
    prune_graft(neighbour, &wanted);
}

int64_t trial_wakeup(const struct neighbour *neighbour)
{
    return neighbour->try_at_ns;
}
