/*
 * The lives that this one came to be from, in turn, as its disk tells; and what a mark that was made
 * in one of a server's lives is worth now:
 *
 *   1 -> 2 -> 3 -> 5   a mark of 2 counts up to where 3 began
 *             `-> 4    a mark of 4, whose disk made way for a copy of that of 3, counts for nothing
 */
#include <string.h>

#include "core/node.h"

void herd_node_restore_life(struct herd_node *node, const struct herd_life *life)
{
    if (node->former_count == HERD_LIVES_MAX)
        memmove(node->former, node->former + 1, --node->former_count * sizeof(*node->former));
    node->former[node->former_count++] = *life;
}

/* The life before the next one: what of it is in the present store has sequences below that one's
 * first, and all of these up to the mark are held. Of a life that the present one does not come from
 * (its disk has made way for another copy), or that is forgotten, nothing is known: what this store
 * has may have come between the copy that began it and where the two parted. */
uint64_t lives_held(const struct herd_node *node, uint64_t life, uint64_t sequence)
{
    if (life == node->life.id)
        return sequence;
    uint64_t next_from = node->life.from;
    for (unsigned i = node->former_count; i-- > 0;) {
        if (node->former[i].id == life)
            return sequence < next_from ? sequence : next_from - 1;
        next_from = node->former[i].from;
    }
    return 0;
}
