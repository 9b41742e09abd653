/* A MARK says: you now hold all that I had applied up to this. Both stores are at hand here, so that
 * it can be looked up. */
#include <herd/proto.h>

#include "core/node.h"
#include "server.h"

/* What the dialler holds and the listener does not: a record, by client. */
static bool is_behind(const struct model *model, uint32_t dialler, uint32_t listener,
                      uint32_t client)
{
    const struct model_record *theirs = model_held(model, dialler, client);
    const struct model_record *own = model_held(model, listener, client);
    return theirs != NULL && (own == NULL || model_compare(own, theirs) < 0);
}

static uint32_t client_of(const struct model *model, struct herd_slice text)
{
    const char *space = memchr(text.data, ' ', text.len);
    return model_client(model, herd_slice(text.data, (size_t)(space - text.data)));
}

/* The records of the dialler's list up to the sequence, but for those that the listener has told it
 * itself. */
static void look_at_list(struct server *server, struct server *dialler, uint64_t sequence)
{
    struct world *world = server->world;
    struct herd_node *node = dialler->node;
    const struct neighbour *edge = node_neighbour(node, herd_slice_of(server->name));
    struct herd_entry entry;
    herd_cursor cursor;
    if (edge == NULL || herd_cursor_new(node->store, &cursor) < 0)
        return;
    while (herd_cursor_next(node->store, cursor, &entry) && entry.sequence <= sequence) {
        uint32_t client = client_of(&world->model, entry.text);
        if (entry.source != edge->source &&
            is_behind(&world->model, dialler->index, server->index, client))
            sim_fail(&world->sim, SIM_MARK, "%s has marked %llu at %s, which lacks %.*s",
                     dialler->name, (unsigned long long)sequence, server->name, (int)entry.text.len,
                     entry.text.data);
    }
    herd_cursor_free(node->store, cursor);
}

/* One of a former life, of the same epoch, is about another list, and comes late. */
static bool is_of_this_life(const struct server *server, const struct server *dialler)
{
    const struct neighbour *from = node_neighbour(server->node, herd_slice_of(dialler->name));
    return from != NULL && from->life.id == dialler->node->life.id;
}

void mark_check(struct server *server, uint32_t dialler, struct herd_slice line)
{
    struct world *world = server->world;
    struct herd_command command;
    struct server *other = world->servers[dialler];
    /* A listener may have forgotten what has ended, a little before the dialler. */
    if (!world->options.prune || world->options.record_ttl_ns > 0 || line.len < 5 ||
        memcmp(line.data, "MARK ", 5) != 0 || other == NULL || other->node == NULL ||
        herd_command_parse(line, &command) < 0 || command.epoch != herd_node_epoch(other->node) ||
        !is_of_this_life(server, other))
        return;
    uint32_t client = 0;
    while (client < world->model.client_count &&
           !is_behind(&world->model, dialler, server->index, client))
        client++;
    if (client < world->model.client_count)
        look_at_list(server, other, command.sequence);
}
