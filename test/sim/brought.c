#include <stdlib.h>

#include "brought.h"
#include "core/pace.h"
#include "disk.h"
#include "server.h"

static struct world *world_of(const struct disk *disk)
{
    return disk->server->world;
}

void brought_init(struct disk *disk)
{
    size_t clients = world_of(disk)->model.client_count;
    disk->brought.records = sim_alloc(clients, sizeof(struct brought_record));
    disk->brought.flooded_ns = INT64_MIN;
}

void brought_free(struct disk *disk)
{
    free(disk->brought.records);
}

void brought_forget(struct disk *disk)
{
    struct brought *brought = &disk->brought;
    memset(brought->records, 0, world_of(disk)->model.client_count * sizeof(*brought->records));
    brought->unwritten = 0;
    brought->flooded_ns = INT64_MIN;
}

/* More than is written in the time after which IAMAT go on, if each batch takes as long as one can.
 * With commit it is answers that wait, and for what came before them. */
static bool is_flooded(const struct disk *disk)
{
    const struct world_options *options = &world_of(disk)->options;
    size_t batch = options->batch_records_max;
    if (batch == 0 || options->durability == HERD_DURABILITY_COMMIT)
        return false;
    size_t batches = (disk->brought.unwritten + batch - 1) / batch;
    return (int64_t)batches * DISK_WRITE_MAX_US * SIM_US > PACE_BACKLOG_MS * SIM_MS;
}

static void set_unwritten(struct disk *disk, struct brought_record *record, bool unwritten)
{
    if (is_flooded(disk))
        disk->brought.flooded_ns = world_of(disk)->sim.now_ns;
    disk->brought.unwritten += (size_t)unwritten;
    disk->brought.unwritten -= (size_t)record->unwritten;
    record->unwritten = unwritten;
}

void brought_on_kept(struct disk *disk, const struct model_record *record, bool by_neighbour,
                     uint64_t sequence)
{
    struct brought_record *brought = &disk->brought.records[record->client];
    set_unwritten(disk, brought, by_neighbour);
    if (!by_neighbour)
        return;
    brought->at_ns = world_of(disk)->sim.now_ns;
    brought->sequence = sequence;
}

void brought_on_written(struct disk *disk, const struct model_record *record)
{
    const struct server *server = disk->server;
    const struct model_record *held =
        model_held(&server->world->model, server->index, record->client);
    if (held == NULL || model_compare(record, held) >= 0)
        set_unwritten(disk, &disk->brought.records[record->client], false);
}

void brought_on_ended(struct disk *disk, uint32_t client)
{
    set_unwritten(disk, &disk->brought.records[client], false);
}

bool brought_since(const struct disk *disk, uint32_t client, uint64_t sequence, int64_t until_ns)
{
    const struct brought_record *brought = &disk->brought.records[client];
    return brought->sequence > sequence && brought->at_ns <= until_ns;
}

int64_t brought_flooded_ns(const struct disk *disk)
{
    return is_flooded(disk) ? world_of(disk)->sim.now_ns : disk->brought.flooded_ns;
}
