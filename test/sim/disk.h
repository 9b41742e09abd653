/*
 * disk.h: the disk of a server: takes its node's batches, each after a while, whole or not at all;
 * keeps them over the server's lives; and says what has to be on it.
 *
 *   effect PERSIST -> disk_persist -> [it takes its time] -> herd_node_persisted
 *   server_start -> disk_restore
 */
#ifndef SIM_DISK_H
#define SIM_DISK_H

#include "brought.h"
#include "ledger.h"
#include "model.h"

struct server;

enum { DISK_WRITE_MAX_US = 30000 }; /* what a batch takes, where nothing makes it slow */

/* A record that its server has not held for long. */
struct disk_young {
    int64_t at_ns;
    uint64_t sequence;           /* its server's */
    bool answered;               /* an IAMAT of this life's, and not a neighbour's FLOOD */
    struct model_record *record; /* NULL: it has ended */
};

struct disk {
    struct server *server;
    struct ledger ledger;
    struct ledger backup;
    struct model_record **backup_newest; /* by client; NULL: there is no backup */
    const struct herd_batch *pending;    /* the node's; NULL: none under way */
    uint64_t number;                     /* of the write under way */
    uint64_t lives;                      /* times it was lost, or another one put in its place */
    int64_t fails_until_ns;              /* writes fail before */
    int64_t slow_until_ns;               /* writes take long before */
    int64_t trouble_ns; /* the last time that it, or its server, could not do as it should */
    bool fatal;         /* the next write is the last that its server lives to ask for */
    /* What must be on it: by client, and what will have to be. */
    struct model_record **due;
    struct disk_young *young; /* a ring; young_cap is a power of two */
    size_t young_first, young_count, young_cap;
    struct brought brought;
};

struct disk *disk_new(struct server *server);
void disk_free(struct disk *disk);

/* Whether a life was left here. */
bool disk_has_life(const struct disk *disk);
/* Gives a new node what is here, and tells the model. */
void disk_restore(struct disk *disk);

/* The node's effect PERSIST. */
void disk_persist(struct disk *disk, const struct herd_batch *batch);

/* The server dies: what is under way is written whole or not at all. What has to be there is looked
 * for. */
void disk_crash(struct disk *disk);
/* The server has stopped as asked: all that it holds has to be there. */
void disk_check_stopped(struct disk *disk);

/* Whether it, and its server, have done as they should for a while. */
bool disk_is_sound(const struct disk *disk);

/* No fault goes on. */
void disk_heal(struct disk *disk);

/* All that is on it is lost; or the backup takes its place, and is kept, or is what was there then.
 * The server is down. */
void disk_lose(struct disk *disk);
void disk_put_backup(struct disk *disk);
void disk_exchange_backup(struct disk *disk);
void disk_make_backup(struct disk *disk);

/* Its server holds a record from now on, which a neighbour has brought, or a client. */
void disk_on_kept(struct disk *disk, struct model_record *record, bool by_neighbour,
                  uint64_t sequence);
/* It holds it no longer: it has ended. */
void disk_on_ended(struct disk *disk, const struct model_record *record);
/* A client has the answer to an IAMAT: what its server held then has to be here already. */
void disk_on_answered(struct disk *disk, struct model_record *record);
/* Its server says ACK, with durability commit, to a neighbour that has that disk. */
void disk_check_acknowledged(struct disk *disk, const struct disk *dialler, uint64_t sequence);
/* It could not be written as fast as it should, for reasons of the server's. */
void disk_excuse(struct disk *disk, int64_t until_ns);

#endif
