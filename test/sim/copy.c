/*
 * A copy of a disk takes its place, and what it was a copy of lives on in what others have heard:
 *
 *   old-copy       copy -> same copy again
 *   copy-restart   copy -> same copy again -> restart
 *   disk-exchange  copy -> what was there before
 *
 * Each begins with the same sequences as one before, and some neighbours are away while they could
 * learn of it.
 */
#include "fault_room.h"
#include "server.h"

enum {
    DOWN_MAX_MS = 200,
    LIFE_MIN_MS = 500,
    LIFE_MAX_MS = 3000 /* with a copy, or until the next step */
};

/* The server dies, and is soon there again, with another disk. */
static void restart_with(struct world *world, uint32_t i, void (*put)(struct disk *disk))
{
    server_crash(world->servers[i], rng_percent(&world->rng, 50));
    put(world->servers[i]->disk);
    sim_at(&world->sim, world->sim.now_ns + fault_some_ms(world, 1, DOWN_MAX_MS), fault_on_restart,
           world, i);
}

/* Some of its neighbours do not see what comes next, nor for a while what the server does. */
static void hide(struct world *world, uint32_t i)
{
    for (uint32_t other = 0; other < world->graph.size; other++) {
        if (!graph_joined(&world->graph, i, other) || net_is_cut(&world->net, i, other) ||
            net_is_cut(&world->net, other, i) || !rng_percent(&world->rng, 80))
            continue;
        int64_t until_ns = world->sim.now_ns + fault_some_ms(world, CUT_MAX_MS / 2, CUT_MAX_MS);
        fault_cut(world, i, other, until_ns);
        fault_cut(world, other, i, until_ns);
    }
}

static void after_some_life(struct world *world, int64_t more_ms, sim_fn step, uint64_t i)
{
    int64_t wait_ns = fault_some_ms(world, LIFE_MIN_MS, LIFE_MAX_MS) + more_ms * SIM_MS;
    sim_at(&world->sim, world->sim.now_ns + wait_ns, step, world, i);
}

static bool may_go_on(const struct world *world, uint64_t i)
{
    return world->faulty && fault_is_running(world, (uint32_t)i);
}

/* The backup that is there, or the first one. */
static struct disk *begin_with_copy(struct world *world)
{
    struct disk *disk = fault_pick_disk(world);
    if (disk == NULL)
        return NULL;
    if (disk->backup_newest == NULL)
        disk_make_backup(disk);
    restart_with(world, disk->server->index, disk_put_backup);
    return disk;
}

/* From the same sequence on: other records have it now. */
static void on_second_copy(void *owner, uint64_t i)
{
    struct world *world = owner;
    if (!may_go_on(world, i))
        return;
    hide(world, (uint32_t)i);
    restart_with(world, (uint32_t)i, disk_put_backup);
    world->counts.faults[FAULT_OLD_COPY]++;
}

bool fault_old_copy(struct world *world)
{
    struct disk *disk = begin_with_copy(world);
    if (disk != NULL)
        after_some_life(world, 0, on_second_copy, disk->server->index);
    return false;
}

/* So that the life begins above all that the one with the first copy has used. */
static void on_life_after(void *owner, uint64_t i)
{
    struct world *world = owner;
    if (!may_go_on(world, i))
        return;
    server_stop(world->servers[i]);
    fault_on_restart(world, i);
    world->counts.faults[FAULT_COPY_RESTART]++;
}

static void on_copy_before_restart(void *owner, uint64_t i)
{
    struct world *world = owner;
    if (!may_go_on(world, i))
        return;
    hide(world, (uint32_t)i);
    restart_with(world, (uint32_t)i, disk_put_backup);
    after_some_life(world, 0, on_life_after, i);
}

bool fault_copy_restart(struct world *world)
{
    struct disk *disk = begin_with_copy(world);
    if (disk != NULL)
        after_some_life(world, 0, on_copy_before_restart, disk->server->index);
    return false;
}

static void on_exchange_back(void *owner, uint64_t i)
{
    struct world *world = owner;
    if (!may_go_on(world, i))
        return;
    restart_with(world, (uint32_t)i, disk_exchange_backup);
    world->counts.faults[FAULT_DISK_EXCHANGE]++;
}

/* Those that are hidden come back in this life. */
static void on_exchange(void *owner, uint64_t i)
{
    struct world *world = owner;
    if (!may_go_on(world, i))
        return;
    restart_with(world, (uint32_t)i, disk_exchange_backup);
    after_some_life(world, CUT_MAX_MS, on_exchange_back, i);
}

bool fault_disk_exchange(struct world *world)
{
    struct disk *disk = fault_pick_disk(world);
    if (disk == NULL)
        return false;
    disk_make_backup(disk);
    hide(world, disk->server->index);
    after_some_life(world, 0, on_exchange, disk->server->index);
    return false;
}
