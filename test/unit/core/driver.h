/* driver.h: plays the loop, the sockets and the places provider of one node in virtual time, and
 * keeps all that it sends. */
#ifndef TEST_DRIVER_H
#define TEST_DRIVER_H

#include <herd/node.h>
#include <herd/posix_time.h>

enum {
    DRIVER_ASKS_MAX = 1024,
    DRIVER_NOTICES_MAX = 64,
    DRIVER_WALL_S = 1700000000 /* POSIX time at the start; stands still unless told */
};

/* A growing text in memory that a test of memory shortage cannot make short. */
struct tape {
    char *data;
    size_t len, cap;
};

/* One connection as the other side sees it. A link's lives on from one dial to the next. */
struct wire {
    struct driver *driver;
    struct herd_conn *conn;       /* NULL once it is closed (accepted) or forgotten (link) */
    char peer[HERD_NAME_MAX + 1]; /* of a link, else empty */
    struct tape got;              /* all bytes since it was accepted or dialled */
    size_t taken;                 /* of them, by wire_take */
    size_t answered;              /* of them: each PING so far */
    size_t unwritten;             /* bytes the node has not been told are written */
    unsigned dials, writes, resumes;
    bool dialling; /* the node waits for wire_dialled */
    bool open;     /* bytes may go either way */
    bool reading;  /* as the node asked */
    bool closing;  /* the node has asked to close; `aborted` how */
    bool aborted;
};

/* A question that the node has asked. */
struct question {
    struct herd_ask *ask;
    struct herd_location where;
    double radius_m;
    unsigned count;
};

struct driver {
    struct herd_node *node;
    struct herd_now now;
    struct wire **wires; /* all there ever were, so that a test may look at closed ones */
    size_t wire_count;
    struct question asks[DRIVER_ASKS_MAX]; /* they wait for driver_answer, oldest first */
    size_t ask_count;
    size_t places_padding; /* blanks before each answer of driver_answer */
    size_t places_bytes;   /* that each is said to take; 0: it is kept */
    unsigned renders;      /* of places, so far */
    size_t places_held;    /* that the node has not let go of */
    struct herd_notice notices[DRIVER_NOTICES_MAX];
    size_t notice_count;
    /* What the driver does by itself; all true at first. */
    bool answers_places; /* at once */
    bool answers_pings;  /* of links, as they are reported written; false at first */
    bool reports_writes; /* at once, as wholly written */
    bool closes;         /* when the node asks to */
    bool ticks;          /* a turn of the loop goes on until the node has no more to do */
    bool keeps_upkeep;   /* DIGEST and ACK lines are received like the others; false at first */
    /* Called with each WRITE before it counts as received. */
    void (*on_write)(void *arg, struct wire *wire, struct herd_slice bytes);
    void *on_write_arg;
    /* Takes each batch, which is then answered with herd_node_persisted; a node with a disk needs
     * it. */
    void (*on_persist)(void *arg, const struct herd_batch *batch);
    void *on_persist_arg;
};

/* A node named `name`, or NULL when there is no memory for it. The driver lives in the heap: free
 * with driver_free. */
struct driver *driver_new(const char *name, int64_t max_skew_ns);
/* The options that driver_new uses, to be changed. */
struct herd_node_options driver_options(const char *name);
struct driver *driver_new_with(const struct herd_node_options *options);
/* Answers what is asked, closes what is open, frees the node. */
void driver_free(struct driver *driver);

/* Takes all effects, and ticks as long as the node wants to be called now. Every function below
 * ends with it. */
void driver_run(struct driver *driver);
/* Lets time pass, from one wakeup to the next. */
void driver_advance_ms(struct driver *driver, int64_t ms);
/* The same until a link dials again; returns the milliseconds that took. */
int64_t driver_advance_to_dial(struct driver *driver, const struct wire *link);

/* A connection from outside; NULL when there is no memory for it. */
struct wire *driver_accept(struct driver *driver);
/* An edge; its wire, which is being dialled, or NULL. */
struct wire *driver_add_neighbour(struct driver *driver, const char *name);
void driver_remove_neighbour(struct driver *driver, const char *name);
void driver_stop(struct driver *driver);

/* How a dial ended; `failure` NULL: it is open. */
void wire_dialled(struct wire *wire, const char *failure);
void wire_send(struct wire *wire, struct herd_slice bytes);
void wire_say(struct wire *wire, const char *text);
__attribute__((format(printf, 2, 3))) void wire_sayf(struct wire *wire, const char *format, ...);
/* The other side closes its half; or is gone. */
void wire_end(struct wire *wire);
void wire_close(struct wire *wire, const char *reason);
/* Reports up to `len` bytes as written. */
void wire_wrote(struct wire *wire, size_t len);
/* Answers each PING that has been reported written, if `answers_pings`. */
void wire_answer_pings(struct wire *wire);

/* What has come since the last wire_take. */
struct herd_slice wire_take(struct wire *wire);

/* Answers the i-th of the asks with `{"lat":…,"lon":…,"radius":…,"count":…}` and an empty line. */
void driver_answer(struct driver *driver, size_t i);
/* What that is for a question, with its two LFs; returns its length. */
size_t driver_places(struct herd_location where, double radius_m, unsigned count, char *out,
                     size_t size);

/* Notices of a kind since the start, and the last of them or NULL. */
size_t driver_count_notices(const struct driver *driver, enum herd_notice_kind kind);
const struct herd_notice *driver_last_notice(const struct driver *driver,
                                             enum herd_notice_kind kind);
/* The state of the link to a neighbour, "" when there is none. */
const char *driver_link_state(const struct driver *driver, const char *name);

/* Ends the program: the node or a test broke the contract of <herd/node.h>. */
_Noreturn void driver_fail(const char *what);

#endif
