/*
 * brought.h: what neighbours bring to a server's disk. That is held up by nothing: so where it is
 * more than the disk takes, IAMAT wait until the disk has it.
 */
#ifndef SIM_BROUGHT_H
#define SIM_BROUGHT_H

#include "model.h"

struct disk;

/* The last that neighbours have brought of a client, in this life of the server. */
struct brought_record {
    int64_t at_ns;
    uint64_t sequence; /* 0: none */
    bool unwritten;
};

struct brought {
    struct brought_record *records; /* by client */
    size_t unwritten;
    int64_t flooded_ns; /* the last time that there was more than the disk takes in time */
};

void brought_init(struct disk *disk);
void brought_free(struct disk *disk);
/* The server's life ends: the next one has been told nothing. */
void brought_forget(struct disk *disk);

/* The server has kept a record, that of a neighbour or one of its own clients. */
void brought_on_kept(struct disk *disk, const struct model_record *record, bool by_neighbour,
                     uint64_t sequence);
/* A client's record is on the disk, or has ended. */
void brought_on_written(struct disk *disk, const struct model_record *record);
void brought_on_ended(struct disk *disk, uint32_t client);

/* Whether a neighbour has brought one of that client's after a sequence, and until then. */
bool brought_since(const struct disk *disk, uint32_t client, uint64_t sequence, int64_t until_ns);
/* The last time that neighbours had brought more than the disk takes while IAMAT may wait. */
int64_t brought_flooded_ns(const struct disk *disk);

#endif
