/* disk.h: plays the disk of one node: takes its batches when the test says so, and gives them back
 * to a node that begins again. */
#ifndef TEST_DISK_H
#define TEST_DISK_H

#include "driver.h"
#include "ledger.h"

struct disk {
    struct driver *driver;
    const struct herd_batch *pending; /* NULL: none under way */
    bool is_slow;         /* a batch waits for disk_done; false: it is written at once */
    struct ledger ledger; /* what is there */
    /* Of the batch last asked for, written or not. */
    size_t last_records;
    bool last_is_snapshot, last_begins, last_ends;
};

/* A driver whose node has this disk; the options' has_disk is set. The disk may hold what an
 * earlier node has left: what it held is read, for these neighbours' links (NULL: none). */
struct driver *disk_driver(struct disk *disk, struct herd_node_options *options,
                           const char *neighbour, struct wire **out_link);
/* How the batch under way ended. */
void disk_done(struct disk *disk, int status);
/* The server is killed: nothing more is written. Frees the driver. */
void disk_crash(struct disk *disk);
void disk_free(struct disk *disk);

/* The rows that hold a client, newest sequence last; NULL for none. */
const struct ledger_row *disk_newest(const struct disk *disk, const char *client);

#endif
