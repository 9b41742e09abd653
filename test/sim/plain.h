/*
 * plain.h: a server of the seed's simple kind: it knows no HELLO, dials a new connection for each
 * FLOOD it passes on, once, and forgets about it when that fails.
 */
#ifndef SIM_PLAIN_H
#define SIM_PLAIN_H

#include "world.h"

/* What simple servers differ in. */
enum plain_manner {
    PLAIN_MANY,   /* takes lines until the other side closes; `? ` to what it does not know */
    PLAIN_ONE,    /* takes one line, answers, closes */
    PLAIN_CLOSES, /* takes lines, closes without a word on what it does not know */
    PLAIN_SILENT, /* takes lines, says nothing to HELLO */
    PLAIN_MANNERS
};

struct plain_conn;

struct plain {
    struct world *world;
    struct net_host host;
    uint32_t index;
    char name[16];
    enum plain_manner manner;
    bool running;
    int64_t started_ns;
    int64_t alive_ns; /* when somebody last took it for living */
    bool end_shows;   /* the ends of its connections tell its neighbours that it has crashed */
    struct plain_conn *conns;
};

const char *plain_manner_name(enum plain_manner manner);

struct plain *plain_new(struct world *world, uint32_t index, enum plain_manner manner);
void plain_free(struct plain *plain);
void plain_start(struct plain *plain);
void plain_crash(struct plain *plain, bool loud);

/* Sends a FLOOD to one of its neighbours. */
void plain_flood(struct plain *plain, uint32_t neighbour, struct model_record *record);

/* Whether a FLOOD of its own is on its way. */
bool plain_is_busy(const struct plain *plain);

#endif
