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
    struct model_record *kept;   /* what its server held then: that one, or a newer one */
    int64_t at_ns;
    uint64_t disk_lives; /* of the server that took it */
    uint64_t number;     /* counted by the phone */
    int64_t after_ns;    /* WHATSAT … AFTER this; 0: none */
    bool waited;         /* its answer was not known at once */
    bool open;           /* the server waits for a record: the answer is not known yet */
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
    int64_t dialled_ns;
    bool up;
    bool shut; /* it has said that it writes no more */
    uint64_t numbers;
    int64_t refused_ns; /* answers that wait for what was received then may be refused together */
    struct model_record *acked; /* its own last IAMAT that was answered */
    uint32_t acked_by;          /* the server that did */
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

/* Within the phone: say.c. A request to be sent: an empty one; whatever it says next; WHATSAT …
 * AFTER what it has been told itself. */
struct phone_request *phone_add_request(struct phone *phone);
struct phone_request *phone_write_request(struct phone *phone);
void phone_write_after(struct phone *phone);

/* prompt.c. An answer has come, or is awaited: has it been long? A WHATSAT … AFTER may wait. */
void phone_check_prompt(const struct phone *phone, const struct phone_request *request);
/* Whether its server has done nothing worse than run since then. */
bool phone_is_undisturbed(const struct phone *phone, int64_t since_ns);

/* safe.c. The AT of an IAMAT has come. */
void phone_check_safe(struct phone *phone, const struct phone_request *request);

/* Sends a line, without its LF, to a server; connects to it first where that is needed. */
void phone_say(struct phone *phone, uint32_t server, struct herd_slice line);

/* Ends the connection, if there is one. */
void phone_hang_up(struct phone *phone);

/* A server has taken a line from this end's phone. The answer is that text. */
void phone_taken(struct net_end *at_server, struct herd_slice line, struct herd_slice text);
/* An IAMAT: the answer is the record's AT line, and `kept` is what the server holds from then on. */
void phone_taken_iamat(struct net_end *at_server, struct herd_slice line,
                       struct model_record *record, struct model_record *kept);

/* The same, for a line whose answer is not known yet; what phone_resolve needs, or 0: it has hung
 * up. */
uint64_t phone_taken_open(struct net_end *at_server, struct herd_slice line);
void phone_resolve(struct net_end *at_server, uint64_t number, struct herd_slice text);

/* Answers that are awaited. */
static inline uint32_t phone_waits(const struct phone *phone)
{
    return phone->count;
}

#endif
