/* fault_room.h: what the files that inject faults share. */
#ifndef SIM_FAULT_ROOM_H
#define SIM_FAULT_ROOM_H

#include "disk.h"
#include "world.h"

enum { CUT_MAX_MS = 15000 };

bool fault_is_running(const struct world *world, uint32_t i);
/* Nanoseconds from so many milliseconds to so many. */
int64_t fault_some_ms(struct world *world, int64_t min_ms, int64_t max_ms);
/* The disk of a server that runs; NULL if there is none, or none was found. */
struct disk *fault_pick_disk(struct world *world);
/* One cannot reach the other until then. */
void fault_cut(struct world *world, uint32_t from, uint32_t to, int64_t until_ns);
/* An event: the server i starts, or, while it still stops, some time later. */
void fault_on_restart(void *owner, uint64_t i);

/* copy.c: copies of disks. They count when all has happened, so all give false. */
bool fault_old_copy(struct world *world);
bool fault_copy_restart(struct world *world);
bool fault_disk_exchange(struct world *world);

#endif
