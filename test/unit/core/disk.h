/* disk.h: plays the disk of one node: takes its batches when the test says so, and gives them back
 * to a node that begins again. */
#ifndef TEST_DISK_H
#define TEST_DISK_H

#include "driver.h"

enum { DISK_ROWS_MAX = 80000, DISK_MARKS_MAX = 8 };

struct disk_row {
    uint64_t sequence;
    char *text;
    unsigned generation;
    bool is_snapshot;
};

struct disk_mark {
    char name[HERD_NAME_MAX + 1];
    uint64_t epoch, sequence;
};

struct disk {
    struct driver *driver;
    const struct herd_batch *pending; /* NULL: none under way */
    bool is_slow;    /* a batch waits for disk_done; false: it is written at once */
    unsigned writes; /* batches that were written */
    /* What is there. */
    struct disk_row *rows;
    size_t row_count;
    struct disk_mark marks[DISK_MARKS_MAX];
    size_t mark_count;
    uint64_t epoch, upto;
    unsigned generation;       /* rows are written to */
    unsigned generation_whole; /* older ones are gone */
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
const struct disk_row *disk_newest(const struct disk *disk, const char *client);

#endif
