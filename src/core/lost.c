/*
 * When the way to an origin is lost, the trees are mended before the next record comes.
 *
 *   the parent's connection is lost -> GRAFT on the other links, LOST to those behind this server
 *   LOST from the parent            -> the same
 *
 * LOST reaches just the part of the tree that hangs on what is lost, and opens all links into it:
 * so the next record goes through it as a flood does, on the fastest ways that are left.
 */
#include "core/node.h"

void prune_tell(struct neighbour *to, enum herd_verb verb, const struct origin_set *set)
{
    struct link *link = &to->link;
    if (link->state != LINK_UP || !to->prunes || !link_has_room(link))
        return;
    if (prune_append(conn_output(&link->conn), &link->conn.node->prune, verb, set) < 0)
        conn_abort(&link->conn);
    conn_touch(&link->conn);
}

/* The way to these origins is lost: others are opened, and who got them from here does the same. */
static void look_for_others(struct herd_node *node, const struct origin_set *lost,
                            const struct neighbour *except)
{
    if (origin_set_is_empty(lost))
        return;
    for (size_t i = 0; i < node->neighbour_count; i++) {
        struct neighbour *neighbour = node->neighbours[i];
        if (neighbour == except)
            continue;
        prune_graft(neighbour, lost);
        prune_tell(neighbour, HERD_VERB_LOST, lost);
    }
}

void prune_on_inbound_lost(struct neighbour *neighbour)
{
    struct herd_node *node = neighbour->link.conn.node;
    struct origin_set lost = {{0}};
    if (!neighbour->prunes)
        return;
    neighbour->prunes = false;
    neighbour->pruned = (struct origin_set){{0}};
    for (uint32_t i = 0; i < node->prune.count; i++) {
        if (node->prune.origins[i].parent != neighbour)
            continue;
        node->prune.origins[i].parent = NULL;
        origin_set_add(&lost, i);
    }
    for (size_t i = 0; i < node->neighbour_count; i++)
        held_flush(&node->neighbours[i]->link);
    look_for_others(node, &lost, neighbour);
}

void prune_on_lost(struct neighbour *from, struct herd_slice origins)
{
    struct herd_node *node = from->link.conn.node;
    struct origin_set lost = {{0}};
    struct herd_slice name;
    while (herd_next_word(&origins, &name)) {
        uint32_t origin = prune_origin(&node->prune, name, false);
        if (origin == PRUNE_NOTHING || node->prune.origins[origin].parent != from)
            continue;
        node->prune.origins[origin].parent = NULL;
        origin_set_add(&lost, origin);
    }
    look_for_others(node, &lost, from);
}

void prune_forget_neighbour(struct herd_node *node, const struct neighbour *neighbour)
{
    for (uint32_t i = 0; i < node->prune.count; i++) {
        struct origin *origin = &node->prune.origins[i];
        if (origin->parent == neighbour)
            origin->parent = NULL;
        if (origin->raced_to == neighbour)
            origin->raced_to = NULL;
    }
}
