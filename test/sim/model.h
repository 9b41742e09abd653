/*
 * model.h: what the herd should know: every record that was ever made, which server holds which,
 * and what clients were told. It orders records by code of its own, so that it agrees with the
 * servers only where both follow docs/protocol.md.
 */
#ifndef SIM_MODEL_H
#define SIM_MODEL_H

#include <herd/record.h>

#include "sim.h"

struct model_record {
    struct model_record *older; /* of the same client, by birth */
    uint32_t client;
    uint32_t taker;      /* the server that has it from the client */
    uint32_t holders;    /* servers whose newest record of this client it is */
    uint32_t floods;     /* lines that carried it, from server to server */
    uint32_t mends;      /* the same, in answer to a server that had asked for it */
    bool ended;          /* some server has let it go because of its age */
    uint64_t let_go_by;  /* which: bits, by server mod 64 */
    int64_t let_go_ns;   /* when the last of them did */
    uint64_t refused_by; /* which server did not keep it, as it had ended: bits */
    int64_t born_ns;     /* virtual time */
    int64_t kept_ns;     /* when a server last took it for its newest of this client */
    int64_t order_ns;
    struct herd_record fields; /* within text */
    struct herd_slice text;    /* canonical */
    struct herd_slice at;      /* its AT line, with LF */
    char bytes[];
};

struct model_client {
    struct herd_slice id;
    struct model_record *newest_born;
    struct model_record *promised; /* newest that a client was told of and that had to survive */
    size_t records;
    struct model_record *ended; /* the newest that some server has let go */
};

struct model {
    struct sim *sim;
    struct model_client *clients;
    uint32_t client_count;
    uint32_t server_count;
    /* server_count x client_count each; NULL: nothing. */
    struct model_record **held; /* in memory */
    struct model_record **ever; /* the newest that it has ever held */
    struct model_record **disk; /* the newest on its disk */
    uint64_t *sequences;        /* of what is held */
    int64_t *let_go_ns;         /* when it last let go of a record; 0: never */
    uint32_t *table;            /* hash of an id -> client + 1 */
    uint32_t table_mask;
    int64_t max_skew_ns;
    uint64_t births, acknowledged;
    uint64_t lost; /* acknowledged, and gone with the last that held it */
};

#define MODEL_NOBODY UINT32_MAX

/* `ids` are copied. */
void model_init(struct model *model, struct sim *sim, uint32_t servers, uint32_t clients,
                const struct herd_slice *ids, int64_t max_skew_ns);
void model_close(struct model *model);

/* POSIX time in ns. */
int64_t model_time(struct herd_slice text);

/* The client with that id, or MODEL_NOBODY. */
uint32_t model_client(const struct model *model, struct herd_slice id);

/* A server takes an IAMAT at its wall time `received_ns`. */
struct model_record *model_birth(struct model *model, uint32_t server, uint32_t client,
                                 struct herd_slice origin, struct herd_slice location,
                                 struct herd_slice sent, int64_t received_ns);

/* The record with that canonical text, or NULL: nobody has ever made it. */
struct model_record *model_find(const struct model *model, struct herd_slice text);

/* < 0: a is older than b; > 0: newer; 0: the same. */
int model_compare(const struct model_record *a, const struct model_record *b);

struct model_record *model_held(const struct model *model, uint32_t server, uint32_t client);
bool model_is_news(const struct model *model, uint32_t server, const struct model_record *record);
/* `sequence`: the server's own, of this step; 0: it has none. */
void model_keep(struct model *model, uint32_t server, struct model_record *record,
                uint64_t sequence);
/* The step at which it took what it holds. */
uint64_t model_sequence(const struct model *model, uint32_t server, uint32_t client);

/* A server has lost all it held in memory; what was promised may be on its disk still. */
void model_forget(struct model *model, uint32_t server);
/* A server lets a record go because of its age, or does not read it from its disk. */
void model_let_go(struct model *model, uint32_t server, struct model_record *record);
/* When it last did so with a record of this client; 0: never. */
int64_t model_let_go_ns(const struct model *model, uint32_t server, uint32_t client);
/* It no longer holds what it held of one client: that has ended. */
void model_drop(struct model *model, uint32_t server, uint32_t client);

/* What is on a server's disk: of one client, or all (client_count, NULL: nothing). */
struct model_record *model_on_disk(const struct model *model, uint32_t server, uint32_t client);
void model_write(struct model *model, uint32_t server, struct model_record *record);
void model_put_disk(struct model *model, uint32_t server, struct model_record *const *all);

/* Whether another server has ever held it, or something newer. */
bool model_is_spread(const struct model *model, uint32_t server, const struct model_record *record);

/* A client has the AT line of its own IAMAT. */
void model_acknowledge(struct model *model, struct model_record *record);

/* The newest record of a client that any of the servers holds whose bit is set; NULL: none. */
struct model_record *model_newest(const struct model *model, uint32_t client, const bool *servers);

#endif
