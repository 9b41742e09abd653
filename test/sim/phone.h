/*
 * phone.h: a client: sends commands over one connection at a time, and checks every byte that comes
 * back.
 */
#ifndef SIM_PHONE_H
#define SIM_PHONE_H

#include "world.h"

enum { PHONE_PENDING_MAX = 512 };

/* A line that was sent, and what has to come back. */
struct phone_request {
    struct herd_buf line;
    struct herd_buf text;        /* the answer, where it is not a record's AT line */
    struct herd_slice answer;    /* what has to come */
    struct model_record *record; /* an IAMAT's own */
    int64_t at_ns;
    uint64_t disk_lives; /* of the server that took it */
    bool taken;          /* by a server, so that the answer is known */
    bool iamat;
};

struct phone {
    struct world *world;
    struct net_host host;
    char name[16];
    int64_t skew_ns;
    struct net_end *end; /* NULL: not connected, nor dialling */
    uint32_t server;     /* whose connection this is */
    uint64_t life;       /* of that server, when the connection came up */
    bool up;
    bool shut;                  /* it has said that it writes no more */
    bool deaf;                  /* it reads nothing for a while */
    bool scripted;              /* does nothing by itself */
    int64_t hopeful_ns;         /* nothing has kept the answers from coming since then */
    int64_t speaks_ns;          /* next */
    struct phone_request *ring; /* PHONE_PENDING_MAX */
    uint32_t first, count, taken;
    size_t matched;        /* bytes of the first answer that have come */
    struct herd_buf again; /* an IAMAT to say again, elsewhere */
    struct herd_buf seen;  /* answers as they came, of a scripted phone */
};

struct phone *phone_new(struct world *world, uint32_t index, const char *name, bool scripted);
void phone_free(struct phone *phone);

/* Sends a line, without its LF, to a server; connects to it first where that is needed. */
void phone_say(struct phone *phone, uint32_t server, struct herd_slice line);

/* Ends the connection, if there is one. */
void phone_hang_up(struct phone *phone);

/* A server has taken a line from this end's phone. Either the answer is the record's AT line, or
 * the text. */
void phone_taken(struct net_end *at_server, struct herd_slice line, struct model_record *record,
                 struct herd_slice text);

/* Answers that are awaited. */
static inline uint32_t phone_waits(const struct phone *phone)
{
    return phone->count;
}

#endif
