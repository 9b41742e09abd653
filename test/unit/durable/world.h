/* world.h: a made-up server whose records are written to disk, and what is found there again. */
#ifndef TEST_WORLD_H
#define TEST_WORLD_H

#include <stdbool.h>

#include "durable/durable.h"
#include "testing.h"

enum { WORLD_CLIENTS = 300, WORLD_TEXT_MAX = 4096 };

/* The records of all clients: sequence 0 is none. A client's text follows from its value. */
struct picture {
    struct {
        uint64_t sequence;
        uint32_t value;
    } held[WORLD_CLIENTS];
    uint64_t epoch;
    uint64_t mark;         /* of the neighbour Smith */
    struct herd_life life; /* that wrote last */
};

/*
 * What the node does with its store: records change, batches are made of what has changed since the
 * last one, and a snapshot goes along beside. `disk` is what a reader has to find once the batch at
 * hand has been written.
 */
struct world {
    uint64_t random;
    uint64_t sequence; /* of the newest record */
    uint64_t mark;
    uint32_t value;
    uint32_t text_max; /* bytes; 0: some 120 */
    struct picture held, disk;
    uint64_t journal_at; /* all up to this one has been put into batches */
    bool is_snapshotting;
    uint64_t snapshot_at, snapshot_upto;
    uint64_t began_from; /* what was in batches before the one that began the generation */
    struct herd_batch batch;
};

void world_init(struct world *world, uint64_t seed);
void world_free(struct world *world);

/* A random number below `limit`. */
uint64_t world_random(struct world *world, uint64_t limit);

/* `count` records arrive, of random clients. */
void world_change(struct world *world, size_t count);

/* Makes the next batch, of at most rows_max records. */
void world_make_journal(struct world *world, size_t rows_max, bool begins);
void world_make_snapshot(struct world *world, size_t rows_max);

/* One of the two, of random size, as the node would; now and then a snapshot begins. */
void world_make_any(struct world *world);

/* A life has ended: what was not written is forgotten, and the next begins with what was found. */
struct found;
void world_restart(struct world *world, const struct found *found);

/* What a reader has found. */
struct found {
    int result; /* of the opening */
    char *error;
    char lost[256]; /* what found_in was told of it */
    bool is_in_doubt;
    struct picture picture;
    bool is_of_version_1; /* expected: marks without a life, and no lives */
    bool has_state;
    bool is_other_epoch; /* the one that was found must not be gone on with */
    uint64_t sequence_free, last_sequence;
    struct herd_life lives[HERD_LIVES_MAX]; /* the last is the picture's, too */
    size_t life_count;
    size_t rows, wrong_rows; /* read; out of order, or not as world.c makes them */
};

/* The callbacks to fill it with. It is all zero before. */
struct durable_found found_callbacks(struct found *found);
void found_free(struct found *found);

/* Opens folder/records.db and reads it. NULL: it failed, found->error says why. */
struct records *found_opened(const char *folder, bool sync, struct found *found);
/* The same, and closes it; the folder is free again afterwards. */
struct found found_in(const char *folder);

bool picture_equal(const struct picture *a, const struct picture *b);

/* Fails the test, saying why, unless exactly this is in the folder. */
void assert_found_in(const char *folder, const struct picture *expected);

/* What another program does with the file, which is made if there is none. */
void execute_sql(const char *path, const char *sql);

/* Copies records.db, its log and its witness, as they are, into another folder; what was there
 * is removed. */
void copy_files(const char *from, const char *to);
/* records.db-witness alone, of the three. */
void copy_witness(const char *from, const char *to);

#endif
