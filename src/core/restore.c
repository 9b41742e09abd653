/* An epoch continued from disk, in another life. */
#include <assert.h>

#include <herd/err.h>
#include <herd/posix_time.h>

#include "core/node.h"
#include "core/store.h"

void herd_node_restore_epoch(struct herd_node *node, uint64_t epoch)
{
    assert(herd_store_count(node->store) == 0);
    node->epoch = epoch;
    node->life.id = rng_next(&node->rng) | 1; /* 0 is none */
}

int herd_node_restore_record(struct herd_node *node, struct herd_now now, uint64_t sequence,
                             struct herd_slice text)
{
    struct herd_record record;
    int rc = herd_record_parse(text, &record);
    if (rc < 0 || sequence <= herd_store_sequence(node->store))
        return rc < 0 ? rc : HERD_EPROTO;
    if (herd_store_is_expired(node->store, &record, now.wall_ns))
        return 0;
    herd_store_skip_sequences(node->store, sequence - 1);
    rc = herd_store_apply(node->store, &record, 0, now.wall_ns);
    return rc < 0 ? rc : 0;
}

void herd_node_restore_neighbour(struct herd_node *node, struct herd_slice name,
                                 const struct herd_mark *mark)
{
    struct neighbour *neighbour = node_neighbour(node, name);
    if (neighbour == NULL)
        return;
    neighbour->mark = *mark;
    neighbour->life = (struct herd_life){mark->life, mark->life_from};
    neighbour->source = node_new_source(node);
    neighbour->recovered = true;
    neighbour->speaks = neighbour->has_spoken = mark->epoch != 0;
}

void herd_node_restore_end(struct herd_node *node, uint64_t sequence_free)
{
    herd_store_skip_sequences(node->store, sequence_free);
    herd_cursor_to_end(node->store, node->persist.journal);
    store_note_read(node->store, node->persist.journal, store_unread(node->store));
    node->persist.on_disk = node->pace.read = sequence_free;
    node->life.from = sequence_free + 1;
    for (size_t i = 0; i < node->neighbour_count; i++)
        node->neighbours[i]->link.acked = sequence_free; /* as far as its first RESUME says so */
    node->persist.marks_changed = true; /* this life is to be told of on disk, too */
}

void herd_node_restore_anew(struct herd_node *node)
{
    node->epoch = rng_next(&node->rng);
    node->former_count = 0;
}

void herd_node_restore_failing(struct herd_node *node)
{
    node->persist.failing = true;
    node->persist.marks_changed = true; /* there is something to be tried with */
}
