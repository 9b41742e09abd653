/*
 * What a node keeps for the next requests suffices for a crowd; once that has gone, it need not be
 * kept. Each kind of it knows the fewest that were there since the last call: so many were not
 * needed, and go. A load that goes on finds all that it needs, and takes no memory.
 */
#include <stdlib.h>

#include "core/node.h"

static size_t free_works(struct herd_node *node, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        free(node->spare_works[--node->spare_work_count]);
    return count * sizeof(struct conn_work);
}

static size_t kept_bytes_of(const struct herd_node *node)
{
    return spares_bytes(&node->spares) +
           node->free_ask_count * (sizeof(struct herd_ask) + NODE_ASK_ANSWER_BYTES) +
           node->spare_work_count * sizeof(struct conn_work) +
           node->persist.waiting.free_count * sizeof(struct waiting_line);
}

size_t herd_node_give_back(struct herd_node *node, size_t *kept_bytes)
{
    size_t bytes = node_free_asks(node, node->idle_asks) + free_works(node, node->idle_works) +
                   waiting_give_back(&node->persist.waiting) +
                   timers_give_back(&node->waits.timers);
    node->idle_asks = node->free_ask_count;
    node->idle_works = node->spare_work_count;
    bytes += batch_give_back(node) + spares_give_back(&node->spares);
    *kept_bytes += kept_bytes_of(node);
    return bytes;
}
